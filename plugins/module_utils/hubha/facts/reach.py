# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Before a hub outside of the cluster takes over: any sign of life of the pair's hubs, and what the hub is itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence

from ..core.run import HubError, Runner
from ..host import reach
from . import probe
from .model import OutsideHub


@dataclass(frozen=True)
class Survey:
    """hub: facts of this host, see probe.outside. addresses: what anybody may try. reached: see reach.look; the
    addresses from which this host replicates are tried from here alone."""

    hub: OutsideHub
    addresses: List[str]
    reached: List[reach.Sign]


def survey(run: Runner, addresses: Sequence[str], tcp_ports: Sequence[int] = tuple(reach.TCP_PORTS),
           udp_ports: Sequence[int] = tuple(reach.UDP_PORTS), timeout: float = reach.TIMEOUT) -> Survey:
    """Look for the hubs at *addresses* and those that this host knows of. timeout: seconds. Raises HubError."""
    layout, known, followed = probe.known_hubs()
    named = sorted({*addresses, *reach.of_pair(known)})
    # Perhaps on a network of its own, which the controller does not reach.
    tried = sorted({*named, *reach.sources(followed)})
    # Silence takes its time; meanwhile the host looks at itself.
    looking = reach.Aside(tried, sorted({*tcp_ports, *reach.port_of_pair(known)}), udp_ports, timeout)
    hub = probe.outside(run, layout)
    try:
        return Survey(hub, named, looking.result())
    except Exception as error:  # whatever it is: nobody has looked then
        raise HubError("This host could not look for signs of life of the hubs, and so cannot say that there are "
                       "none: %s" % error) from error
