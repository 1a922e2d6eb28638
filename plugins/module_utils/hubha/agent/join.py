# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hub whose pacemaker does not get into the cluster. Pure.

The coordinator lets nobody join while it carries out what it has planned ("Delaying join finalization while transition in
progress"). When it has just sent an action to a hub whose pacemaker ended in the same moment, it waits for the answer until
that action's time and cluster-delay are over, 80 s, and acts on nothing meanwhile, not even on a failure of the hub that
serves. It gives such actions up when that hub's controller leaves (controld_te_actions.c, fail_incompletable_actions). So
the hub that waits has its controller started anew: pacemakerd does that within a second, and nothing that runs is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

STUCK = 15.0   # seconds that a hub waits; joining takes 3, and a promotion on the other hub that it waits for 12
PAUSE = 60.0   # seconds between two tries


@dataclass
class Waiting:
    """since: when this hub was first seen outside of its cluster, None: it is in. tried: when that was acted on last."""

    since: Optional[float] = None
    tried: Optional[float] = None

    def due(self, now: float, joined: Optional[bool]) -> bool:
        """Whether to start the controller anew now. joined: whether this hub is in the cluster; None: not known, not asked."""
        if joined is not False:
            self.since = None
            return False
        self.since = now if self.since is None else self.since
        if now - self.since < STUCK or (self.tried is not None and now - self.tried < PAUSE):
            return False
        self.tried = now
        return True
