# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's holder: process 1 of the lab's own mount, network and process namespace.

It sets the namespace up and then only keeps it alive. When it ends, the kernel ends every
process of the lab and takes down its networks and mounts: nothing can stay behind.
Started by ``lab.namespace.start`` through ``unshare``.
"""

from __future__ import annotations

import os
import signal
import sys

from lab import network, paths
from lab.shell import LabError, run


def mount(*argv):
    """One mount(8) call."""
    run(["mount", *argv], timeout=20)


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
    network.make_bridges()
    paths.MARK.write_text(str(paths.STATE), encoding="utf-8")


def main(ready_fd):
    """Set up, tell the starter through *ready_fd* ("ready PID" or the error), then wait for ever."""
    outer_pid = os.readlink("/proc/self")  # /proc is still the outer one here
    with os.fdopen(ready_fd, "w", encoding="utf-8") as ready:
        try:
            set_up()
        except (LabError, OSError) as exc:
            ready.write("error %s" % exc)
            return 1
        ready.write("ready %s" % outer_pid)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans of the lab are reaped by the kernel
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
