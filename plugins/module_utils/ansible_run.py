# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of Ansible calls itself, so that a later one can tell whether it goes on. For controllers."""

from __future__ import annotations

import os

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import read_text


def place():
    """Where a process number means something: this boot and this space of processes. None where there is no /proc."""
    boot = (read_text("/proc/sys/kernel/random/boot_id") or "").strip()
    try:
        return "%s %s" % (boot, os.readlink("/proc/self/ns/pid")) if boot else None
    except OSError:
        return None


def started(pid):
    """When that process started, in the kernel's ticks: a number that is used again has another. None: it is gone."""
    try:
        text = read_text("/proc/%d/stat" % pid)
    except ProcessLookupError:
        return None  # it has just ended
    return text.rpartition(")")[2].split()[19] if text else None


def name(pid=None):
    """Of the run whose task this is; None where that cannot be told. pid: ansible-playbook, parent of all its tasks."""
    pid = os.getppid() if pid is None else pid
    here, since = place(), started(pid)
    return "%s %d %s" % (here, pid, since) if here and since else None


def alive(run):
    """Whether the run of that name still goes on; None when that cannot be told here."""
    words = (run or "").split(" ")
    here = place()
    if here is None or len(words) != 4 or " ".join(words[:2]) != here or not words[2].isdigit():
        return None
    since = started(int(words[2]))
    return None if since is None and hidden(int(words[2])) else since == words[3]


def hidden(pid):
    """True for another user's process that /proc does not show."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
