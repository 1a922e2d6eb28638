# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May the data of this hub, which follows nobody, follow the other hub's primary? pg/look looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from ..core.run import Completed, local_runner
from ..pair.model import Pair
from ..pg import conninfo, look
from ..pg.evidence import Kind, Relation, relation
from .attributes import forked_text

WHO = "hub_ha_guard"  # by which the primary knows who asks


@dataclass(frozen=True)
class Answer:
    """known: whether it could be found out. text: what is in the way, None: the data may follow. why: for the log."""

    known: bool
    text: Optional[str]
    why: str


def answer(found: Relation, has: Callable[[Relation], str]) -> Answer:
    """The answer out of a relation. has: what this data has behind the fork, as text."""
    if found.follows:
        return Answer(True, None, str(found))
    if found.kind is Kind.OTHER_SYSTEM:
        return Answer(True, "other-system", str(found))
    if found.forked:
        return Answer(True, has(found), str(found))
    return Answer(False, None, str(found))


def ask(pair: Pair, timeout: float = 5.0, run: Callable[..., Completed] = local_runner) -> Answer:
    """Look at both sides and compare them."""
    words = conninfo.standby(pair.peer_addresses, pair.port, pair.replication_user, WHO,
                             conninfo.options(pair.ha_dir, pair.sslmode))
    primary = look.remote_side(run, pair.bin_dir, pair.db_user, words, pair.peer, timeout)
    if primary.in_recovery is not False:
        return Answer(False, None, "%s is no primary that answers: %s" % (pair.peer,
                                                                          primary.why or "it is in recovery"))
    mine = look.local_side(run, pair.data_dir, pair.bin_dir, pair.db_user, primary, pair.node, timeout=timeout)
    if mine.running and mine.in_recovery is not True:
        return Answer(False, None, "the server runs" + (": " + mine.why if mine.why else ""))

    def has(found: Relation) -> str:
        if found.fork is None:
            return "timeline=%s" % mine.timeline
        return forked_text(look.forked_by(run, pair.data_dir, pair.bin_dir, pair.db_user, found.fork, mine.timeline))
    return answer(relation(mine, primary), has)
