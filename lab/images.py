# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of the hosts, built from Debian packages: blank, client (CFEngine), single (a hub).

Besides, on one suite: vendor (blank, with a package source that has the stand-in for CFEngine Enterprise's hub
package), enterprise (a hub of that package).

Two halves: ``fetch`` needs the machine's network (mmdebstrap makes the base system and fetches
all packages), ``build`` runs inside the lab's namespace and installs from those packages only.
Each image is rebuilt only when its recipe has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

from lab import layers, paths, podman
from lab.enterprise import package
from lab.shell import LabError, run, say, stage

SUITES = ("trixie", "bookworm")
BASES = {"blank": None, "client": "blank", "single": "client", "vendor": "blank", "enterprise": "vendor"}
KINDS = tuple(BASES)  # in building order
ENTERPRISE = ("vendor", "enterprise")
ENTERPRISE_SUITES = ("trixie",)

BASE = ("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "iproute2", "openssh-server", "iputils-ping",
        "procps", "ca-certificates", "tzdata", "less", "nftables", "rsync", "openssl")
PACKAGES = ("corosync", "pacemaker", "pacemaker-cli-utils", "resource-agents", "cfengine3", "postgresql",
            "python3-psycopg2", "iptables", "openssl", "perl", "python3-cryptography", "rsync", "ipmitool",
            "corosync-qdevice", "corosync-qnetd", "nftables", "socat", "tcpdump", "fence-virt", "firewalld", "ufw")
# Packages go to the disk without emptying its cache after each file, and without what nobody reads here.
DPKG = ("force-unsafe-io", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*",
        "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright")
FENCING = {"trixie": ("fence-agents-ipmilan",), "bookworm": ("fence-agents",)}


def packages(suite):
    """Everything that the hosts' repository offers by name (list)."""
    return sorted(set(PACKAGES + FENCING[suite]))


def digest(parts):
    """A short hash over an iterable of strings and bytes (pure)."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:12]


def recipes(suite):
    """The recipe hash of each image of a suite: {kind: hash}. A base's change changes all above it."""
    def text(*names):
        return [(paths.CODE / name).read_bytes() for name in names]

    blank = digest(["blank", suite, *BASE, *packages(suite), *DPKG, os.environ.get("LAB_MIRROR", ""),
                    *text("image/packages.sh", "image/blank.sh", "repo.py")])
    client = digest(["client", blank, *text("image/client.sh")])
    sql = sorted(path.name for path in (paths.CODE / "sql").glob("*.sql"))
    data = text("image/keys.py", *["sql/" + name for name in sql])
    single = digest(["single", client, *text("image/single.sh"), *data])
    found = {"blank": blank, "client": client, "single": single}
    if suite in ENTERPRISE_SUITES:
        found["vendor"] = digest(["vendor", blank, *text("image/vendor.sh"), *package.recipe()])
        found["enterprise"] = digest(["enterprise", found["vendor"], *text("image/enterprise.sh"), *data])
    return found


def tree(suite, kind):
    """The folder of an image: a whole file system for blank, what was added to the one before for the others."""
    return paths.SUITES / suite / kind


def chain(suite, kind):
    """The folders that make an image, uppermost first (list)."""
    found = []
    while kind:
        found.append(tree(suite, kind))
        kind = BASES[kind]
    return found


def standing_on(kinds):
    """The images of *kinds* and all that are built on them, in building order (list)."""
    found = []
    for kind in KINDS:
        if kind in kinds or BASES[kind] in found:
            found.append(kind)
    return found


def _stamp(suite, kind):
    return paths.SUITES / suite / (kind + ".built")


def missing(suite):
    """The kinds of images (list, in building order) that are not there or whose recipe has changed."""
    if suite not in SUITES:
        raise LabError("There is no suite %r. The lab knows: %s." % (suite, ", ".join(SUITES)))
    wanted = recipes(suite)
    absent = []
    for kind, digested in wanted.items():
        stamp = _stamp(suite, kind)
        if BASES[kind] in absent or not stamp.exists() or stamp.read_text(encoding="utf-8").strip() != digested:
            absent.append(kind)
    return absent


def forget(suite, kinds=KINDS):
    """Remove images; those that stand on them are removed with them."""
    for kind in standing_on(kinds):
        _stamp(suite, kind).unlink(missing_ok=True)
        if tree(suite, kind).exists():
            shutil.rmtree(tree(suite, kind))


def expire(suite):
    """Make all images of a suite count as missing, without touching them yet."""
    for kind in KINDS:
        _stamp(suite, kind).unlink(missing_ok=True)


def fetch(suite):
    """Make the base system and the packages' repository (needs the machine's network)."""
    (paths.SUITES / suite).mkdir(parents=True, exist_ok=True)
    forget(suite)
    shutil.rmtree(paths.repository(suite), ignore_errors=True)
    paths.repository(suite).mkdir()
    log = paths.LOGS / ("fetch-%s.log" % suite)
    mirror = [os.environ["LAB_MIRROR"]] if os.environ.get("LAB_MIRROR") else []
    with stage("%s: base system and %d packages from Debian" % (suite, len(packages(suite))), log), \
            layers.quick(tree(suite, "blank"), paths.TMP / ("base-" + suite)) as (before, target):
        run([*before, "mmdebstrap", "--variant=minbase", "--format=directory", "--skip=cleanup/apt",
             *["--dpkgopt=" + option for option in DPKG], "--include=" + ",".join(BASE),
             "--customize-hook=sh '%s/image/packages.sh' \"$1\" '%s'" % (paths.CODE, paths.repository(suite)),
             "--customize-hook=sh '%s/image/blank.sh' \"$1\"" % paths.CODE, suite, str(target), *mirror],
            env={"PACKAGES": " ".join(packages(suite)), "DPKG": "\n".join(DPKG), "PYTHON": sys.executable,
                 "PYTHONPATH": str(paths.ROOT), "TMPDIR": str(paths.TMP), "DEBIAN_FRONTEND": "noninteractive",
                 "LC_ALL": "C.UTF-8"},
            timeout=1200, log=log,
            hint="Is the machine's package source reachable? LAB_MIRROR=http://... names another mirror.")
    _done(suite, "blank")


def _done(suite, kind):
    _stamp(suite, kind).write_text(recipes(suite)[kind] + "\n", encoding="utf-8")


def build(suite):
    """Build what is missing on top of the base system, inside the namespace, after ``fetch``."""
    for kind in missing(suite):
        if kind == "blank":
            raise LabError("The base system of %s is not there. Outside of the lab's namespace, run: "
                           "python3 -m lab images %s" % (suite, suite))
        _add(suite, kind)
        _done(suite, kind)


def _add(suite, kind):
    worker = "build-%s-%s" % (suite, kind)
    log = paths.LOGS / (worker + ".log")
    below = chain(suite, BASES[kind])
    with stage("%s: image %s" % (suite, kind), log):
        forget(suite, [kind])
        podman.remove(worker)
        if kind == "vendor":
            package.build(suite)
        with layers.mounted(below, tree(suite, kind), paths.TMP / worker) as root:
            try:
                podman.podman("run", "--name=" + worker, "--network=none", "--hostname=build", *podman.common_options(),
                              *podman.repository_options(suite), "--volume=%s:/lab:ro" % paths.CODE,
                              "--rootfs", str(root), "sh", "/lab/image/%s.sh" % kind, timeout=600, log=log)
            finally:
                podman.remove(worker)


def describe():
    """What is built: {suite: {kind: "built" or "missing"}} (dict)."""
    return {suite: {kind: "missing" if kind in missing(suite) else "built" for kind in recipes(suite)}
            for suite in SUITES}


def fetch_all(suites):
    """Fetch, in parallel, the base of every suite whose image blank is missing."""
    wanted = [suite for suite in suites if "blank" in missing(suite)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fetch, wanted))


def build_all(suites):
    """Build, in parallel, what is missing of every suite."""
    wanted = [suite for suite in suites if missing(suite)]
    if not wanted:
        say("lab: images of %s are up to date" % ", ".join(suites))
        return
    podman.settings()  # once, before two need it at the same time
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, wanted))
