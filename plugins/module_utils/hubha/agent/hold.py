# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two primaries that meet: pacemaker plans nothing until it is decided which one goes on, and the other one is out. Pure.

Hubs that have served apart meet with two primaries. The cluster's coordinator plans a quarter of a second later, by
promotion scores that say nothing of what each has taken, and demotes one. When that is the hub that people were served by,
it goes down for the other one, which the guards stop in the same moment. So each guard stops its pacemaker-schedulerd
(SIGSTOP) from the meeting on, and lets it go on when the loser's pacemaker has left.

That one leaves when it has joined, not before: the coordinator takes over the CIB of the hub with the newer one in the
middle of a join (controld_join_dc.c, do_dc_join_finalize). If that hub's pacemaker ends then, its own word that it is online
stays in the CIB, and pacemaker waits minutes for a hub that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional
from xml.etree import ElementTree

from .split import PRIMARY

LIMIT = 3.0    # seconds: then pacemaker plans, whatever it sees (pacemakerd ends a child after some 30)
SILENCE = 1.0  # seconds that the other hub's guard has to say what its hub is
JOIN = 2.0     # seconds that the loser's pacemaker has to join
CIB_COMMAND = ["cibadmin", "--query", "--local", "--scope", "status"]


@dataclass
class Meeting:
    """since: when the hubs met, seconds of the monotonic clock; None before, and when nothing is held any more. both: two
    primaries have met.
    """

    since: Optional[float] = None
    both: bool = False

    def begins(self, now: float) -> None:
        """The other hub's guard has come into the group."""
        self.since, self.both = now, False

    def holds(self, now: float, role: str, peer_role: Optional[str], peer_pacemaker: bool) -> bool:
        """Whether planning has to wait. role: of this hub. peer_role: of the other one, None while it has not said it.
        peer_pacemaker: whether the other hub's pacemaker is in touch with this one's.
        """
        if self.since is None:
            return False
        met = now - self.since
        self.both = self.both or role == peer_role == PRIMARY
        if self.both:
            ends = peer_role != PRIMARY and not peer_pacemaker  # the loser's own is ended stopped as it is
        else:
            ends = role != PRIMARY or (met >= SILENCE if peer_role is None else peer_role != PRIMARY)
        if ends or met >= LIMIT:
            self.since, self.both = None, False
        return self.since is not None


def joined(status: Optional[str], nodes: Iterable[str]) -> bool:
    """Whether all these nodes have joined the cluster. status: section status of the CIB, None when it was not told."""
    try:
        states = ElementTree.fromstring(status or "").iter("node_state")
    except ElementTree.ParseError:
        return False
    members = {(item.get("uname") or "").lower() for item in states if item.get("join") == "member"}
    return {name.lower() for name in nodes} <= members
