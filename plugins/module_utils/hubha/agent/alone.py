# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha may-restart: may a primary whose server has ended by itself be started where it is, as a single hub's would be?

Where the other hub is away nobody can take over. Pacemaker would stop what has ended, wait until the failure has expired,
start a standby, have the agent wait for the other hub's word, and promote: 23 s for what PostgreSQL does in one. A hub
that is only out of the cluster, and whose PostgreSQL takes connections, may be about to be promoted: then it is
pacemaker's way, which asks it.
"""

from __future__ import annotations

import os
import time
from typing import Any, Mapping, Optional, Sequence

from ..core import say
from ..core.run import local_runner
from ..pg import look
from ..pg.evidence import Side
from . import guard_io, guard_state
from .guard_service import PEER_ABSENT
from .guard_state import STOPPED
from .leave import CONTROL, CRASHES, REFUSED, WINDOW, Crash, Notes, ask_peer, crashed, crashes, this_pair

THIRD_HUB = "third_hub"  # how it is reached, of role third


def peer_away(found: Mapping[str, Any]) -> bool:
    """Whether nobody could take over, as far as the guard says so. found: what it says (guard_state.read)."""
    absent = found.get("peer", {}).get("absent") if found.get("running") else None
    return absent is not None and absent >= PEER_ABSENT


def may_restart(found: Mapping[str, Any], idle: Optional[str], side: Side, stopped: bool,
                times: Sequence[Crash], third: bool = False) -> Optional[str]:
    """Why it must not, or None.

    found: what the guard says (guard_state.read). idle: why the CIB forbids to act (guard.idle_reason). side: of the data here.
    stopped: the guard itself has stopped the server. times: the crashes of late, this one among them.
    third: there is a third hub, which only a promotion asks.
    """
    if not found.get("running"):
        return "the guard does not run, so it is not known whether the other hub is away"
    if not peer_away(found):
        return "the other hub is there, or has only just left"
    if found.get("phase") != "watch" or stopped:
        return "the guard has stopped it"
    if idle is not None:
        return idle
    if not crashed(side) or side.state != "in production":
        return "it was no primary that ended by itself (%s)" % (side.state or side.why or "it runs")
    if third:
        return "a third hub may be the primary"
    if len(times) > CRASHES:
        return "it has crashed %d times within %d minutes" % (len(times), WINDOW // 60)
    return None


def main(_argv: Sequence[str], _version: str) -> int:
    """hub-ha may-restart"""
    pair = this_pair()
    side = look.local_side(local_runner, pair.data_dir, pair.bin_dir, pair.db_user, None, pair.node)
    notes = Notes()
    times = crashes(notes.read(), time.monotonic(), os.stat(os.path.join(pair.data_dir, CONTROL)).st_mtime
                    if crashed(side) else None)
    why = may_restart(guard_state.read(), guard_io.idle(pair.node), side, os.path.exists(STOPPED), times,
                      os.path.exists(os.path.join(pair.ha_dir, THIRD_HUB)))
    if why is None and ask_peer(pair).here:
        why = "PostgreSQL on %s takes connections" % pair.peer
    if why:
        say.err("hub-ha: PostgreSQL is not started in place: %s" % why)
        return REFUSED
    notes.write(times)
    return 0
