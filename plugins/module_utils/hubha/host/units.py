# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of systemd as they are on this host."""

from __future__ import annotations

from typing import Iterable, Optional

from ..core.files import read_text
from ..core.run import CommandMissing, Runner
from . import system


def states(run: Runner, names: Iterable[str]) -> system.Units:
    """{unit: {"load", "active", "enabled"}}, names without ".service"; {} on a host without systemd."""
    try:
        out = run(["systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState"]
                  + [name + ".service" for name in names]).out
    except CommandMissing:
        return {}
    return system.units(out)


def unit_of(pid: int) -> Optional[str]:
    """The unit or scope that a process is in, such as "cf-postgres.service"; None when it is in none or gone."""
    return system.unit_of(read_text("/proc/%d/cgroup" % pid) or "")
