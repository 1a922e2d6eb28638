# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two primaries that meet again: which one goes on. Pure.

The guards of both hubs tell each other over corosync what they are. Messages and changes of the membership come to both
in the same order, so both decide on the same claims and come to the same answer, without asking each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

from ..pg.evidence import Side, Winner, winner

PRIMARY = "primary"


@dataclass
class Split:
    """Claims since the last change of the membership. node: this hub's name."""

    node: str
    claims: Dict[str, Side] = field(default_factory=dict)

    def changed(self) -> None:
        """The membership has changed: claims of before count no more."""
        self.claims.clear()

    def heard(self, message: Mapping[str, Any]) -> Optional[Winner]:
        """A message of either hub, in the order of delivery. Which one goes on, once both have claimed.

        message: {"node", "role", "claim": {"timeline", "next_xid"} or None}. The first claim of each hub counts, but
        one that is known takes the place of one that is not (next_xid None) as long as the other hub has not claimed.
        After that it is decided, and a hub may have stopped for it: what is heard then must not stop the other one too.
        """
        node = str(message.get("node"))
        if message.get("role") != PRIMARY:
            self.claims.pop(node, None)
            return None
        claim = message.get("claim")
        if isinstance(claim, dict) and (node not in self.claims or (
                len(self.claims) == 1 and self.claims[node].next_xid is None)):
            self.claims[node] = Side(name=node, running=True, in_recovery=False,
                                     timeline=claim.get("timeline"), next_xid=claim.get("next_xid"))
        if len(self.claims) != 2 or self.node not in self.claims:
            return None
        sides = list(self.claims.values())
        return winner(sides[0], sides[1])
