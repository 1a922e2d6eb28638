# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hub-ha evidence`: what this hub knows of its own data against the active hub's, and what it would do with it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..core import say
from ..core.run import Completed, HubError, local_runner
from ..pair.model import Pair
from ..pg import look
from ..pg.client import Postgres
from ..pg.evidence import Side, Step, Verdict, verdict
from ..pg.lsn import int_to_lsn
from .leave import Peer, ask_peer
from .status import pair_file

SCHEMA = 1
LIMIT = 5.0  # seconds for each side
CLONE = 'See docs/operate.md, "Clone it anew"'
TODO = {
    Step.START: "pacemaker may start PostgreSQL here as a standby",
    Step.REWIND: "it stays stopped: a rewind or a clone loses what it has more. " + CLONE,
    Step.CLONE: "it stays stopped. " + CLONE,
    Step.REFUSE: "it stays stopped until more is known; else: see docs/operate.md, \"Clone it anew\""}


@dataclass(frozen=True)
class Evidence:
    """What was found. follows: whether this data may follow, or is the active hub's. step: "primary", or a Step's
    value. lines: the evidence. age: seconds since the other hub's server was asked, None when it has not answered.
    """

    pair: Pair
    mine: Side
    peer: Peer
    follows: bool
    step: str
    lines: Tuple[str, ...]
    todo: str
    more: Optional[Dict[str, Any]] = None
    age: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """As --json prints it."""
        return {"schema": SCHEMA, "hub": self.pair.node, "other_hub": self.pair.peer, "time": round(time.time(), 3),
                "may_follow": self.follows, "step": self.step, "evidence": list(self.lines), "todo": self.todo,
                "more_here": self.more, "age": None if self.age is None else round(self.age, 2),
                "mine": self.mine.to_dict(), "other": self.peer.side.to_dict() if self.peer.side else None,
                "other_why": self.peer.why}


def judge(pair: Pair, mine: Side, peer: Peer, rewindable: Optional[bool], locked: bool) -> Evidence:
    """What follows from both sides. mine: looked at after the other one. locked: the agent's PGSQL.lock is there."""
    if mine.running and mine.in_recovery is False:
        if peer.primary:
            return Evidence(pair, mine, peer, False, Step.REFUSE.value, (
                "PostgreSQL here and on %s both take writes" % pair.peer,),
                'one has to stop: docs/operate.md, "Unplanned failover" (TWO_PRIMARIES)')
        return Evidence(pair, mine, peer, True, "primary", (
            "PostgreSQL here is the primary, on timeline %s" % mine.timeline,), "nothing")
    if peer.side is None:
        heard = peer.why or ("it takes connections and says nothing" if peer.here else "it takes no connection")
        return Evidence(pair, mine, peer, False, Step.REFUSE.value, (
            "PostgreSQL on %s does not answer: %s" % (pair.peer, heard),),
            "nothing is known to compare with: see hub-ha status, and bring %s back" % pair.peer)
    found: Verdict = verdict(mine, peer.side, rewindable, locked)
    if not peer.primary:
        return Evidence(pair, mine, peer, False, Step.REFUSE.value, found.why + (
            "PostgreSQL on %s does not take writes, so there is no primary to follow" % pair.peer,),
            "whoever has more is to be promoted: crm_mon -1rAf says what is against it")
    todo = "nothing: it runs as a standby" if mine.running and found.step is Step.START else TODO[found.step]
    return Evidence(pair, mine, peer, found.step is Step.START, found.step.value, found.why, todo)


def rewinds(pair: Pair, run: Callable[..., Completed]) -> Optional[bool]:
    """Whether pg_rewind works on this hub's data; None where pg_control cannot be read."""
    try:
        control = Postgres(run, pair.bin_dir).controldata(pair.data_dir)
    except HubError:
        return None
    return bool(control["checksums"] or control["wal_log_hints"])


def find(pair: Pair, run: Callable[..., Completed] = local_runner, ask: Optional[Callable[[], Peer]] = None,
         clock: Callable[[], float] = time.monotonic) -> Evidence:
    """Ask the other hub's server, look at this hub's data, and judge. ask: instead of the other hub."""
    peer = ask() if ask else ask_peer(pair, run, LIMIT)
    asked = clock()
    primary = peer.side if peer.primary else None
    mine = look.local_side(run, pair.data_dir, pair.bin_dir, pair.db_user, primary, pair.node, timeout=LIMIT)
    found = judge(pair, mine, peer, rewinds(pair, run), os.path.exists(os.path.join(pair.tmp_dir, "PGSQL.lock")))
    more = None
    if found.step in (Step.REWIND.value, Step.CLONE.value) and peer.side is not None:
        fork = verdict(mine, peer.side).relation.fork
        if fork is not None:
            more = look.forked_by(run, pair.data_dir, pair.bin_dir, pair.db_user, fork, mine.timeline)
    return Evidence(found.pair, mine, peer, found.follows, found.step, found.lines, found.todo, more,
                    clock() - asked if peer.side is not None else None)


def side_text(side: Side) -> str:
    """One side in one line."""
    if not side.running:
        words = ["stopped (%s)" % (side.state or "state not known")]
    elif side.in_recovery is None:
        words = ["runs"]
    else:
        words = ["runs as a %s" % ("standby" if side.in_recovery else "primary")]
    words.append("timeline %s" % (side.timeline if side.timeline is not None else "not known"))
    place = int_to_lsn(side.at_least)
    words.append("at %s" % place if place else "position not known")
    return ", ".join(words + ([side.why] if side.why else []))


def text(found: Evidence) -> str:
    """For people."""
    pair, side = found.pair, found.peer.side
    lines = ["%s (here)  %s" % (pair.node, side_text(found.mine)),
             "%s         %s" % (pair.peer, "no answer" if side is None else "%s (%.1f s ago)" % (
                 side_text(side), found.age or 0))]
    lines += ["evidence     %s" % line for line in found.lines]
    if found.more:
        lines.append("more here    %s commits behind %s, the last one %s%s" % (
            found.more["commits"] if found.more["commits"] is not None else "not known how many", found.more["fork"],
            found.more["last_commit"] or "not known", "" if found.more["complete"] else "; there may be more"))
    return "\n".join(lines + ["verdict      %s" % found.step, "             %s" % found.todo])


def main(argv: List[str], dummy_version: str) -> int:
    """Exit status 0: the data may follow, or is the primary's; 1: not, or not known; 2: wrong usage or no pair file."""
    if argv not in ([], ["--json"]):
        say.err("usage: hub-ha evidence [--json]")
        return 2
    pair, wrong = pair_file()
    if pair is None:
        say.err("hub-ha evidence: %s -> run playbooks/upgrade-to-ha.yml, which writes it (PAIR_FILE)" % wrong)
        return 2
    found = find(pair)
    say.out(json.dumps(found.to_dict(), sort_keys=True) if argv else text(found))
    return 0 if found.follows else 1
