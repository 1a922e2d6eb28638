# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two primaries that meet: pacemaker plans nothing until it is decided which one goes on. Pure.

Hubs that have served apart meet with two primaries. The cluster's coordinator plans a quarter of a second later, by
promotion scores that say nothing of what each has taken, and demotes one. When that is the hub that people were served by,
it goes down for the other one, which the guards stop in the same moment. So each guard stops its pacemaker-schedulerd
(SIGSTOP) from the meeting on, and lets it go on when the other hub is a primary no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .split import PRIMARY

LIMIT = 3.0   # seconds: then pacemaker plans, whatever it sees (pacemakerd ends a child that is silent for 5)
SILENCE = 1.0  # seconds that the other hub's guard has to say what its hub is


@dataclass
class Meeting:
    """since: when the hubs met, seconds of the monotonic clock; None before, and when nothing is held any more."""

    since: Optional[float] = None

    def begins(self, now: float) -> None:
        """The other hub's guard has come into the group."""
        self.since = now

    def holds(self, now: float, role: str, peer_role: Optional[str]) -> bool:
        """Whether planning has to wait. role: of this hub. peer_role: of the other one, None while it has not said it."""
        if self.since is None:
            return False
        met = now - self.since
        if role != PRIMARY or met >= LIMIT or (met >= SILENCE if peer_role is None else peer_role != PRIMARY):
            self.since = None
        return self.since is not None
