# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes of the hubs as the lab's namespace sees them: they are found and signalled from beside the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from lab.faults.table import DAEMONS

SHORT = dict((name[:15], name) for name in DAEMONS)  # as the kernel cuts them


@dataclass(frozen=True)
class Process:
    """One process: its number, its parent's, its name (as the kernel has it, 15 letters) and state (R, S, T, ...)."""

    pid: int
    parent: int
    name: str
    state: str


def stat(text: str) -> Process:
    """A process out of the text of /proc/PID/stat (pure). Raises ValueError."""
    begin, end = text.index("("), text.rindex(")")
    fields = text[end + 2:].split()
    return Process(int(text[:begin]), int(fields[1]), text[begin + 1:end], fields[0])


def started(text: str) -> int:
    """When a process began, in the kernel's ticks since the machine's boot, out of /proc/PID/stat (pure)."""
    return int(text[text.rindex(")") + 2:].split()[19])


def container_id(text: str) -> str:
    """The id of the container in the text of /proc/PID/cgroup, "" when it is in none (pure)."""
    for part in text.replace("\n", "/").split("/"):
        if part.startswith("libpod-"):
            return part[len("libpod-"):].split(".")[0]
    return ""


def container(pid: int) -> str:
    """The id of the container that a process is in, "" for none. Raises OSError when the process is gone."""
    return container_id(Path("/proc/%d/cgroup" % pid).read_text(encoding="ascii"))


def cgroup(pid: int) -> Path:
    """The control group of the container whose first process is *pid*."""
    for line in Path("/proc/%d/cgroup" % pid).read_text(encoding="ascii").splitlines():
        if line.startswith("0::"):
            parts = Path("/sys/fs/cgroup" + line[3:])
            for folder in [parts, *parts.parents]:
                if folder.name.startswith("libpod-"):
                    return folder
    raise OSError("process %d is in no container" % pid)


def every(names) -> Dict[str, List[Process]]:
    """{container id: processes} of all processes that have one of these names."""
    found: Dict[str, List[Process]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            one = stat(Path("/proc/%s/stat" % entry).read_text(encoding="utf-8", errors="replace"))
            if one.name in names and one.state not in "ZX":
                found.setdefault(container(one.pid), []).append(one)
        except (OSError, ValueError):
            continue
    return found


def daemons() -> Dict[str, Dict[str, bool]]:
    """{container id: {daemon: True when it is stopped}} of the cluster daemons that there are."""
    return dict((key, dict((SHORT[one.name], one.state in "Tt") for one in found))
                for key, found in every(SHORT).items())


def postmasters(found: List[Process]) -> List[Process]:
    """Of processes called postgres those that no other one of them has started (pure)."""
    own = set(one.pid for one in found)
    return [one for one in found if one.parent not in own]
