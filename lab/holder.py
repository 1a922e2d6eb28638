# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's holder: process 1 of the lab's own mount, network and process namespace.

It sets the namespace up and then only keeps it alive. When it ends, the kernel ends every
process of the lab and takes down its networks and mounts: nothing can stay behind.
Started by ``lab.namespace.start`` through ``unshare``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from lab import namespace, network, paths
from lab.shell import LabError, run


def mount(*argv):
    """One mount(8) call."""
    run(["mount", *argv], timeout=20)


def cover_resolver():
    """No name service but /etc/hosts: asking gets "nobody there" at once. podman copies this to the hosts."""
    paths.RESOLVER_FILE.write_text("nameserver 192.168.100.1\noptions attempts:1 timeout:1\n", encoding="utf-8")
    target = Path(os.path.realpath("/etc/resolv.conf"))
    if target.is_relative_to("/run"):  # systemd-resolved's, which our own /run has just covered
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.RESOLVER_FILE, target)
    elif target.exists():
        mount("--bind", str(paths.RESOLVER_FILE), str(target))


def set_up():
    """Make the namespace private: own /proc, /sys, /run, /dev/shm, cgroup2, host names, bridges."""
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    # A new sysfs shows this network namespace. It also covers /sys/fs/cgroup: with cgroup2
    # alone on top, a machine with v1 controllers beside v2 looks like one with v2 only.
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    # podman's locks and run-time state must not be shared with a podman outside.
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")
    for folder in ("/run/lock", "/run/netns"):
        os.mkdir(folder)
    paths.HOSTS_FILE.write_text(network.hosts_file(), encoding="utf-8")
    mount("--bind", str(paths.HOSTS_FILE), "/etc/hosts")
    cover_resolver()
    network.make_bridges()
    paths.MARK.write_text(str(paths.STATE), encoding="utf-8")


def main(ready_fd, lock_fd, by):
    """Set up, sign the lock file, tell the starter through *ready_fd* ("ready" or the error), wait for ever.

    lock_fd: the open and locked lock file: as long as we live, nobody else gets it.
    """
    outer_pid = int(os.readlink("/proc/self"))  # /proc is still the outer one here
    known = {"pid": outer_pid, "born": namespace.born(outer_pid), "by": by,
             "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with os.fdopen(ready_fd, "w", encoding="utf-8") as ready:
        try:
            set_up()
        except (LabError, OSError) as exc:
            ready.write("error %s\n" % " ".join(str(exc).split()))
            return 1
        os.pwrite(lock_fd, (json.dumps(known) + "\n").encode(), 0)
        ready.write("ready\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans of the lab are reaped by the kernel
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
