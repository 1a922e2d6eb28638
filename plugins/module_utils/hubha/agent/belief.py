# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pacemaker takes for running on this hub, and is not.

Pacemaker hears of a failed monitor once: as long as the next ones fail alike, the executor says nothing (execd_commands.c,
send_cmd_complete_notify). A failure whose time (failure-timeout) is over before anything could be done about it, because an
action on the other hub took so long, is forgotten, and what has failed counts as running for good. The guard, which sees
what is there, has pacemaker look again: crm_resource --refresh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Optional
from xml.etree import ElementTree

DATABASE = "cfpgsql"
MISSED = 15.0  # seconds that something is not there before pacemaker is asked; its own monitors say so within 4
PAUSE = 30.0   # seconds between two refreshes of one resource
# In these states nothing is being done with it; "Starting" and "Stopping" are told as roles too (pacemaker 3.0.0), and a
# refresh in the middle of a start leaves a failure that nothing makes pacemaker look at again.
SETTLED = ("Started", "Promoted", "Unpromoted", "Master", "Slave")
SHOW = ["crm_mon", "--output-as=xml"]


@dataclass
class Missing:
    """What is not there, since when, and when pacemaker was told to look last; by id of the resource, seconds."""

    since: Dict[str, float] = field(default_factory=dict)
    told: Dict[str, float] = field(default_factory=dict)
    before: FrozenSet[str] = frozenset()  # what pacemaker took for running at the look before

    def due(self, now: float, absent: FrozenSet[str]) -> FrozenSet[str]:
        """Of which pacemaker is to be asked. absent: ids of the resources that are not here now."""
        self.since = dict((name, self.since.get(name, now)) for name in absent)
        return frozenset(name for name, since in self.since.items()
                         if now - since >= MISSED and now - self.told.get(name, now - PAUSE) >= PAUSE)

    def sure(self, now: float, due: FrozenSet[str], taken: FrozenSet[str]) -> FrozenSet[str]:
        """Which of those that are due pacemaker is to look at: what it takes for running in two looks, one after the other.

        It does so for a moment right after a failure too. taken: see believed.
        """
        found = due & taken & self.before
        self.before = due & taken - found
        self.told.update((name, now) for name in due - self.before)
        return found


def believed(text: Optional[str], node: str) -> FrozenSet[str]:
    """Ids of the resources that pacemaker takes for well and running on the node, and looks after.

    text: of crm_mon --output-as=xml; None or what cannot be read: nothing is known, so none.
    """
    try:
        root = ElementTree.fromstring(text or "")
    except ElementTree.ParseError:
        return frozenset()
    return frozenset(
        (item.get("id") or "").partition(":")[0] for item in root.iter("resource") if well(item)
        and node.lower() in [(home.get("name") or "").lower() for home in item.findall("node")])


def well(item: Any) -> bool:
    """Whether crm_mon says of a resource: active, managed, nothing failed, nothing being done with it."""
    return (item.get("role") in SETTLED and item.get("active") == "true" and item.get("managed") == "true" and item.get("failed") == "false"
            and item.get("blocked") != "true" and item.get("maintenance") != "true" and not item.get("pending"))


def command(name: str, node: str) -> List[str]:
    """Has pacemaker forget what it knows of the resource on the node, and look."""
    return ["crm_resource", "--refresh", "--resource", name, "--node", node]
