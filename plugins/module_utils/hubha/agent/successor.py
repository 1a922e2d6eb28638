# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nobody is the primary, and the one standby that may be promoted is barred by what another primary said of it.

The packaged agent promotes no standby whose cfpgsql-data-status says that it is behind (have_master_right). That is written by
whoever is the primary: also by one that was promoted for a moment while the hubs did not see each other, and was stopped
as the loser. When the winner is demoted before its own agent has written the opposite, nobody is promoted any more.
In a pair the mark of the one hub (hub_ha-forked) says that the other one's line goes on.
"""

from __future__ import annotations

import re
from typing import Callable, List, Optional

from ..pair.model import Pair
from .attributes import FORKED

STATUS = "cfpgsql-data-status"
LATEST = "LATEST"
MAY = (LATEST, "STREAMING|ASYNC", "STREAMING|SYNC")  # of the agent's have_master_right
Ask = Callable[[List[str]], Optional[str]]


def forked_query(pair: Pair) -> List[str]:
    """Asks for the other hub's mark."""
    return ["attrd_updater", "-Q", "-N", pair.peer, "-n", FORKED]


def status_command(pair: Pair, value: Optional[str] = None) -> List[str]:
    """Asks for this hub's cfpgsql-data-status, or sets it."""
    return ["crm_attribute", "-l", "forever", "-N", pair.node, "-n", STATUS] + (
        ["-G", "-q"] if value is None else ["-v", value])


def barred(pair: Pair, ask: Ask) -> Optional[str]:
    """The status that bars this hub although the other one is marked as forked; None when nothing of that kind does.

    ask: runs a command, returns its output, None when it failed. What cannot be asked bars nothing here.
    """
    told = re.search(r'value="([^"]+)"', ask(forked_query(pair)) or "")
    if told is None:
        return None
    status = ask(status_command(pair))
    return None if status is None or status.strip() in MAY else status.strip() or "no status"
