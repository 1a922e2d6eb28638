# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hubs' clocks agree."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

from ...core.problem import Finding, Problem
from ...facts.model import HubFacts, Infos
from .context import Context

CLOCK_LIMIT = 1.0  # seconds between two hubs; issue of tokens, logs and certificates


def check(context: Context) -> Iterator[Finding]:
    """Clocks that are too far apart."""
    yield from problems(context.infos)


def problems(infos: Infos) -> Iterator[Problem]:
    """Clocks of two hubs that are too far apart. infos: {host: facts}."""
    apart = seconds_apart(infos)
    if apart > CLOCK_LIMIT:
        first, second = list(infos)
        yield Problem("CLOCKS_APART", "all",
                      "the clocks of %s and %s are at least %.2f s apart" % (first, second, apart),
                      "run a time service (chrony, systemd-timesyncd) on both and wait until it has settled")


def seconds_apart(infos: Infos) -> float:
    """By how many seconds the clocks of two hubs differ at least; 0.0 when that is not known."""
    bounds = [clock_bounds(info) for info in infos.values()]
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None:
        return 0.0
    return max(bounds[0][0] - bounds[1][1], bounds[1][0] - bounds[0][1], 0.0)


def clock_bounds(info: HubFacts) -> Optional[Tuple[float, float]]:
    """(lowest, highest) possible offset in seconds of the hub's clock from the controller's."""
    hub, controller = info["clock"], info.get("controller_clock")
    if not controller:
        return None
    return hub["end"] - controller["end"], hub["begin"] - controller["begin"]
