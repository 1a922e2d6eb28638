# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of systemd as they are on this host."""

from __future__ import annotations

import re
from typing import Dict, Iterable, Optional, TypedDict

from ..core.files import read_text
from ..core.run import CommandMissing, Runner


class Unit(TypedDict, total=False):
    """A unit as systemd has it; {} stands for one that nobody has asked for."""

    load: str
    active: str
    enabled: str


Units = Dict[str, Unit]


def states(run: Runner, names: Iterable[str]) -> Units:
    """{unit: {"load", "active", "enabled"}}, names without ".service"; {} on a host without systemd."""
    try:
        out = run(["systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState"]
                  + [name + ".service" for name in names]).out
    except CommandMissing:
        return {}
    return parse(out)


def unit_of(pid: int) -> Optional[str]:
    """The unit or scope that a process is in, such as "cf-postgres.service"; None when it is in none or gone."""
    return parse_cgroup(read_text("/proc/%d/cgroup" % pid) or "")


def parse(show_output: str) -> Units:
    """{"corosync": {"load", "active", "enabled"}, ...} out of `systemctl show` blocks."""
    found: Units = {}
    for block in show_output.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in fields:
            found[re.sub(r"\.service$", "", fields["Id"])] = {
                "load": fields.get("LoadState", ""), "active": fields.get("ActiveState", ""),
                "enabled": fields.get("UnitFileState", "")}
    return found


def parse_cgroup(proc_cgroup: str) -> Optional[str]:
    """"cf-postgres.service" out of /proc/PID/cgroup: the unit or scope of systemd that a process is in, or None."""
    for line in proc_cgroup.splitlines():
        fields = line.split(":", 2)  # number, controllers, path; number 0 is the one hierarchy of cgroup v2
        if len(fields) == 3 and (fields[0] == "0" or fields[1] == "name=systemd"):
            names = [name for name in fields[2].split("/") if name.endswith((".service", ".scope"))]
            if names:
                return names[-1]
    return None
