# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two primaries that meet again: which one goes on. Pure.

The guards of both hubs tell each other over corosync what they are. Messages and changes of the membership come to both
in the same order, so both decide on the same claims and come to the same answer, without asking each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

PRIMARY = "primary"


@dataclass(frozen=True)
class Claim:
    """A hub that says that it is a primary. next_xid: full id of its next transaction; None: not known, as timeline."""

    node: str
    timeline: Optional[int] = None
    next_xid: Optional[int] = None

    def to_dict(self) -> Dict[str, Any]:
        """As it is sent."""
        return {"node": self.node, "timeline": self.timeline, "next_xid": self.next_xid}


def winner(one: Claim, other: Claim) -> Claim:
    """More transactions assigned wins; equal: the higher timeline; equal: the first name. Unknown loses.

    Both have begun at the same transaction, that of the fork: who has assigned more has served.
    """
    def rank(claim: Claim):
        return (claim.next_xid is not None, claim.next_xid or 0, claim.timeline or 0)
    if rank(one) != rank(other):
        return one if rank(one) > rank(other) else other
    return one if one.node < other.node else other


@dataclass
class Split:
    """Claims since the last change of the membership. node: this hub's name."""

    node: str
    claims: Dict[str, Claim] = field(default_factory=dict)

    def changed(self) -> None:
        """The membership has changed: claims of before count no more."""
        self.claims.clear()

    def heard(self, message: Mapping[str, Any]) -> Optional[Claim]:
        """A message of either hub, in the order of delivery. The claim of the one that goes on, once both have claimed.

        message: {"node", "role", "claim": {"timeline", "next_xid"} or None}. The first claim of each hub counts.
        """
        node = str(message.get("node"))
        if message.get("role") != PRIMARY:
            self.claims.pop(node, None)
            return None
        claim = message.get("claim")
        if isinstance(claim, dict) and node not in self.claims:
            self.claims[node] = Claim(node, claim.get("timeline"), claim.get("next_xid"))
        if len(self.claims) != 2 or self.node not in self.claims:
            return None
        return winner(*self.claims.values())
