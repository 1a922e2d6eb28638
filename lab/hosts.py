# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts' life: made, started, cut off, removed. Everything here runs inside the namespace."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import images, layers, network, paths, podman
from lab.shell import LabError, run, stage, wait_for

BOOT_SECONDS = 90
DEFAULT_HOSTS = "hub1,hub2,client1,client2"
# Of the lab's own commands on hosts; Enterprise's package has psql where nobody's PATH has it.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/var/cfengine/bin"


def plan(text, kinds=images.KINDS):
    """Hosts wanted, from "hub1,hub2=blank,client1": {name: kind} (pure).

    Without "=KIND": hub1 is a single hub, further hubs are blank, clients are clients.
    """
    wanted = {}
    for word in filter(None, re.split(r"[,\s]+", text)):
        name, _equals, kind = word.partition("=")
        network.number(name)
        if not kind:
            kind = "client" if name.startswith("client") else "single" if name == "hub1" else "blank"
        if kind not in kinds:
            raise LabError("%r is no kind of host. The lab knows: %s." % (kind, ", ".join(kinds)))
        if name in wanted:
            raise LabError("The host %s is named twice." % name)
        wanted[name] = kind
    if not wanted:
        raise LabError("No host is named. Example: --hosts %s" % DEFAULT_HOSTS)
    return wanted


def planned():
    """What was started last: {"suite": ..., "hosts": {name: kind}}."""
    try:
        return json.loads(paths.PLAN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"suite": None, "hosts": {}}


def ssh_key():
    """Make the lab user's key pair once; return the public key's line."""
    if not paths.SSH_KEY.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(paths.SSH_KEY)])
    return paths.SSH_KEY.with_suffix(".pub").read_text(encoding="utf-8")


def root_of(host):
    """The root of a host's file system as the controller sees it (Path), whether the host is on or off."""
    return paths.HOSTS / host / "root"


def _create(suite, host, kind, saved=None):
    """Make one host with its own identity, not started yet; return its line for known_hosts.

    saved: the folder (Path) with what it had written when it was saved; it goes on from there.
    """
    network.plug_in(host)
    disk = paths.HOSTS / host / "disk"
    if saved:
        # No layer: a folder of one cannot be renamed (EXDEV), and PostgreSQL renames that of a slot to drop it.
        disk.parent.mkdir(parents=True, exist_ok=True)
        run(["cp", "-a", "--reflink=auto", str(saved), str(disk)], timeout=600)
    root = layers.mount(images.chain(suite, kind), disk, paths.HOSTS / host)
    key = root / "etc/ssh/ssh_host_ed25519_key"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host, "-f", str(key)])
    public = Path(str(key) + ".pub").read_text(encoding="utf-8").split()[:2]
    podman.write(root, "/etc/hosts", network.hosts_file())
    podman.write(root, "/etc/hostname", host + "\n")
    os.makedirs(root / "root/.ssh", mode=0o700, exist_ok=True)
    podman.write(root, "/root/.ssh/authorized_keys", ssh_key(), 0o600)
    podman.podman(
        "create", "--name=" + host, "--hostname=" + host, "--systemd=always", "--network=ns:/run/netns/" + host,
        "--env=PATH=" + PATH, *podman.common_options(), *podman.repository_options(suite), "--stop-signal=SIGRTMIN+3",
        "--rootfs", str(root), "/sbin/init")
    names = [host] + [network.address(host, net) for net in network.NETWORKS]
    return "%s %s" % (",".join(names), " ".join(public))


def _boot(host):
    podman.podman("start", host, hint="See what the kernel says: dmesg | tail")


def wait_ready(host, seconds=BOOT_SECONDS):
    """Wait until systemd has come up without failed units and sshd answers."""
    def sshd():
        with socket.create_connection((network.address(host), 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"

    def systemd():
        state = podman.execute(host, ["systemctl", "is-system-running"], check=False, timeout=20).stdout.strip()
        if state == "degraded":
            failed = podman.execute(host, ["systemctl", "--failed", "--plain", "--no-legend"], check=False).stdout
            # Units that somebody else's work made fail are not the boot's business.
            raise LabError("units failed: %s" % ", ".join(line.split()[0] for line in failed.splitlines()))
        return state == "running"

    wait_for("%s to boot" % host, systemd, seconds, every=0.2,
             hint="Look: python3 -m lab exec %s -- systemctl --failed" % host)
    wait_for("the SSH server of %s" % host, sshd, 20)


def up(suite, wanted, saved=None):
    """Start fresh hosts {name: kind} of a suite, after removing all there are; wait until all are ready.

    saved: {name: folder} of hosts that go on from what was saved (see lab.saved).
    """
    _need_images(suite, wanted)
    with stage("starting %s (%s)" % (", ".join("%s=%s" % pair for pair in sorted(wanted.items())), suite)):
        remove_all()
        ssh_key()
        _start(suite, wanted, {}, [], saved or {})


def _start(suite, wanted, others, lines, saved):
    """Start fresh hosts {name: kind} beside the others, whose lines for known_hosts are given, and wait for them.

    saved: as for up().
    """
    known = {"suite": suite, "hosts": {**others, **wanted}}
    paths.PLAN.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")

    def one(pair):
        line = _create(suite, *pair, saved=saved.get(pair[0]))
        _boot(pair[0])
        return line

    with ThreadPoolExecutor(4) as pool:
        lines = lines + list(pool.map(one, sorted(wanted.items())))
    paths.KNOWN_HOSTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(wait_ready, sorted(wanted)))


def _need_images(suite, wanted):
    for kind in set(wanted.values()):
        if kind in images.missing(suite):
            raise LabError("The image %s of %s is not built. Outside of the lab's namespace, run: "
                           "python3 -m lab images %s" % (kind, suite, suite))


def replace(wanted):
    """Put fresh hosts {name: kind} in the place of those that are lost with all that they held; the others go on."""
    known = planned()
    for host in wanted:
        podman.need(host, running=False)
    _need_images(known["suite"], wanted)
    with stage("replacing %s" % ", ".join("%s=%s" % pair for pair in sorted(wanted.items()))):
        podman.remove(*wanted)
        for host in wanted:
            network.unplug(host)
            layers.remove(paths.HOSTS / host / "disk", paths.HOSTS / host)
        lines = [line for line in paths.KNOWN_HOSTS.read_text(encoding="utf-8").splitlines()
                 if line.split(",", 1)[0] not in wanted]
        others = {name: kind for name, kind in known["hosts"].items() if name not in wanted}
        _start(known["suite"], wanted, others, lines, {})


def remove_all():
    """Remove every host and its cables."""
    present = podman.containers()
    podman.remove(*present)
    for folder in paths.HOSTS.iterdir():
        network.unplug(folder.name)
        layers.remove(folder / "disk", folder)
    paths.PLAN.unlink(missing_ok=True)
    paths.KNOWN_HOSTS.unlink(missing_ok=True)


def power_off(host):
    """A power cut: the cables go dead first (no good-bye reaches anybody), then everything dies at once.

    Returns the times (seconds since the epoch) before and after the cables went dead: what looks at the host first
    takes a while on a busy machine, and writes are acknowledged until then.
    """
    podman.need(host)
    before = time.time()
    network.pull(host, network.NETWORKS)
    after = time.time()
    podman.podman("kill", "--signal=KILL", host)
    wait_for("%s to be off" % host, lambda: podman.containers().get(host) != "running", 20)
    return before, after


def power_on(host, wait=True):
    """Power on again: same disk, same addresses, nothing else kept."""
    podman.need(host, running=False)
    if podman.containers()[host] == "running":
        return False
    network.plug_in(host)
    _boot(host)
    if wait:
        wait_ready(host)
    return True


def pause(host, freeze=True):
    """Freeze every process of a host, or let them go on."""
    podman.need(host, running=False)
    podman.podman("pause" if freeze else "unpause", host)


def link(host, nets, up_again):
    """Cut or mend a host's cables to some networks."""
    podman.need(host, running=False)
    network.pull(host, nets, up=up_again)


def exec_argv(host, argv, tty):
    """The command line that runs *argv* on *host* with our own standard input (list), and its environment."""
    podman.need(host)
    terminal = ["--tty", "--env=TERM=%s" % os.environ.get("TERM", "xterm")] if tty else []
    return ["podman", "exec", "--interactive", *terminal, host, *argv], podman.environment()


def ssh_argv(host, argv):
    """The command line of an SSH session to *host* as root (list)."""
    network.number(host)
    return ["ssh", "-i", str(paths.SSH_KEY), "-o", "UserKnownHostsFile=%s" % paths.KNOWN_HOSTS,
            "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=5",
            "root@" + network.address(host), *argv]
