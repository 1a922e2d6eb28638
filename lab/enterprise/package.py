# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the stand-in for CFEngine Enterprise's hub package, and the repository that offers it.

Everything that runs comes from Debian's packages in the lab's repository; from here come the maintainer scripts, the
plug-in and small programs in place of what is closed (cf-hub, Mission Portal's web server).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab import paths, repo
from lab.shell import LabError, run

HERE = Path(__file__).resolve().parent
NAME = "cfengine-nova-hub"
WORK = "var/cfengine"
REAL = WORK + "/lib/stand-in"   # Debian's programs themselves
# Debian's programs have Debian's work directory compiled in; CFEngine reads another one from this variable, which its
# daemons hand on to all that they start. bin/ is found below it too.
WRAPPER = """#!/bin/sh
# Stand-in for Enterprise's program: Debian's, in Enterprise's work directory.
CFENGINE_TEST_OVERRIDE_WORKDIR=/var/cfengine
export CFENGINE_TEST_OVERRIDE_WORKDIR
exec /{real}/{name} "$@"
"""
CONTROL = """Package: {name}
Version: {version}-0standin1
Architecture: {architecture}
Maintainer: cfengine.hub_ha authors <nobody@example.net>
Section: admin
Priority: optional
Depends: {depends}
Conflicts: cfengine3, postgresql-{major}, postgresql-client-{major}
Description: stand-in for the closed package, for tests only
 This is NOT CFEngine Enterprise. It has the layout of its hub package, made of Debian's CFEngine Community and
 PostgreSQL, with maintainer scripts that behave as the vendor's do.
"""
# What only Debian's packages need of each other.
OWN = re.compile(r"^(cfengine3|postgresql-|debconf|ssl-cert|locales|sensible-utils)")
UMBRELLA_WANTS = "Wants=cf-reactor.service"


def depends(*fields):
    """The Depends field (str) for files of several packages, out of theirs (pure)."""
    found = {"openssl", "adduser", "python3"}
    for field in fields:
        found.update(word.strip() for word in field.split(",") if not OWN.match(word.strip()))
    return ", ".join(sorted(found))


def unit(text):
    """Debian's unit of CFEngine with Enterprise's paths (pure)."""
    text = text.replace("/var/lib/cfengine3", "/var/cfengine")
    text = re.sub(r"/usr/bin/(cf-|pg_ctl)", r"/var/cfengine/bin/\1", text)
    return text.replace(UMBRELLA_WANTS, UMBRELLA_WANTS + "\nWants=cf-php-fpm.service")


def policy(text):
    """controls/update_def.cf as the vendor ships it: a hub takes its policy from its masterfiles (pure)."""
    return text.replace('"/usr/share/cfengine3/masterfiles"', '"/var/cfengine/masterfiles"')


def recipe():
    """What the package is made from in this folder (list of bytes)."""
    files = sorted(path for path in HERE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [path.name.encode() + path.read_bytes() for path in files]


def build(suite):
    """Make the package for *suite* and its repository, anew (needs gcc, no network)."""
    packages, place, target = paths.repository(suite), paths.TMP / ("enterprise-" + suite), paths.enterprise(suite)
    for folder in (place, target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    source, root = place / "debian", place / "package"
    server = _one(packages, r"postgresql-(\d+)_")
    major = re.match(r"postgresql-(\d+)_", server.name).group(1)
    debs = [_one(packages, "cfengine3_"), server, _one(packages, "postgresql-client-%s_" % major)]
    for deb in debs:
        run(["dpkg-deb", "--extract", str(deb), str(source)])
    version, architecture = _field(debs[0], "Version").split("-")[0], _field(debs[0], "Architecture")
    _cfengine(source, root, version)
    _postgresql(source, root, major)
    _own_files(root)
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(CONTROL.format(
        name=NAME, version=version, architecture=architecture, major=major,
        depends=depends(*[_field(deb, "Depends") for deb in debs])), encoding="utf-8")
    for name in ("preinst", "postinst", "prerm"):
        _put(HERE / name, control / name, 0o755)
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(target)])
    repo.index(target)
    shutil.rmtree(place)


def _one(folder, pattern):
    found = [path for path in sorted(folder.glob("*.deb")) if re.match(pattern, path.name)]
    if len(found) != 1:
        raise LabError("%s has %d packages that match %s. Fetch them again: python3 -m lab images --force"
                       % (folder, len(found), pattern))
    return found[0]


def _field(deb, name):
    return run(["dpkg-deb", "--field", str(deb), name]).stdout.strip()


def _put(source, target, mode):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _text(target, text, mode=0o644):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    target.chmod(mode)


def _cfengine(source, root, version):
    for program in sorted((source / "usr/bin").glob("cf-*")):
        if not program.is_symlink():
            _put(program, root / REAL / program.name, 0o755)
            _text(root / WORK / "bin" / program.name, WRAPPER.format(real=REAL, name=program.name), 0o755)
            link = root / "usr/local/sbin" / program.name  # as the vendor's package makes them
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to("/%s/bin/%s" % (WORK, program.name))
    library = root / WORK / "lib/cfengine-enterprise.so"
    run(["gcc", "-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-O1", "-Wall", "-Werror", "-Wl,-z,noexecstack",
         '-DVERSION="%s"' % version, "-o", str(library), str(HERE / "plugin.c")])
    policies = root / WORK / "share/NovaBase/masterfiles"
    shutil.copytree(source / "usr/share/cfengine3/masterfiles", policies)
    update_def = policies / "controls/update_def.cf"
    text = update_def.read_text(encoding="utf-8")
    if policy(text) == text:
        raise LabError("Debian's policy has another place for a hub's own policy: see lab/enterprise/package.py")
    _text(update_def, policy(text))
    for path in sorted((source / "usr/lib/systemd/system").glob("*.service")):
        if path.name.startswith("cf"):
            _text(root / "usr/lib/systemd/system" / path.name, unit(path.read_text(encoding="utf-8")))


def _postgresql(source, root, major):
    for program in sorted((source / "usr/lib/postgresql" / major / "bin").iterdir()):
        _put(program, root / WORK / "bin" / program.name, 0o755)
    # Debian's programs look for libraries beside bin, wherever that is, and for their samples where Debian has them.
    share = "usr/share/postgresql/" + major
    for name, target in (("usr/lib/postgresql/%s/lib" % major, WORK + "/lib"), (share, share)):
        shutil.copytree(source / name, root / target, symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("bitcode", "llvmjit*", "pgxs", "man"))


def _own_files(root):
    for path in sorted((HERE / "root").rglob("*")):
        if path.is_file():
            _put(path, root / path.relative_to(HERE / "root"), 0o755 if "bin" in path.parts else 0o644)
    for path in sorted((paths.CODE / "sql").glob("*.sql")):
        if path.name != "cfdb.sql":  # a new hub has no hosts
            _put(path, root / WORK / "share/stand-in" / path.name, 0o644)
