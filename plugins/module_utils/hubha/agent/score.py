# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The promotion score of the hub that serves: without it pacemaker demotes the primary as soon as it plans anew.

The packaged agent sets it at a promotion and no more (pgsql_promote, and before it in have_master_right), and the other
hub's agent takes it away at the beginning of its own. Where that promotion comes to nothing, because the guards stop one
of two primaries, or where pacemaker-attrd has died on both hubs, the score stays away while the database serves.
"""

from __future__ import annotations

import re
from typing import List, Optional

from ..pair.model import Pair

NAME = "master-cfpgsql"
PRIMARYS = "1000"  # the agent's PROMOTE_ME
SERVED = 3.0  # seconds as a primary until it is looked at: before, a promotion may be under way
EACH, AGAIN = 10.0, 2.0  # seconds between two looks; after one that found it wrong


def query(pair: Pair) -> List[str]:
    """Asks pacemaker-attrd for this hub's score."""
    return ["attrd_updater", "-Q", "-N", pair.node, "-n", NAME]


def command(pair: Pair) -> List[str]:
    """Sets it to that of a primary."""
    return ["attrd_updater", "-N", pair.node, "-n", NAME, "-U", PRIMARYS]


def wrong(answer: Optional[str]) -> Optional[str]:
    """What stands in its place, "none" where nothing is known of it; None when it is right. answer: of query()."""
    told = re.search(r'value="([^"]*)"', answer or "")
    value = told.group(1) if told else ""
    return None if value == PRIMARYS else value or "none"
