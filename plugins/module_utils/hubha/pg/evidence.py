# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this data follow that primary, and which of two primaries goes on: the one place that answers. Pure functions.

What is compared is the line of each side: the timelines that its data has come along, where it left each of them, and
how far it goes on the last one. Data can follow a primary when its whole line lies on the primary's. Rules learnt from
Patroni (patroni/postgresql/rewind.py) and from PostgreSQL (src/backend/access/transam: xlog.c, xlogrecovery.c,
timeline.c):

- The timeline of a running standby is that of its last replayed record (IDENTIFY_SYSTEM), not that of its last
  restartpoint (pg_control).
- A server that was promoted and crashed before its first checkpoint has the new timeline in pg_control's minimum
  recovery point only.
- State "in archive recovery" with the minimum recovery point 0/0 is a primary that crashed and was made a standby's.
- standby.signal alone proves nothing: whoever starts a server as a standby makes it first.
- A standby is measured by its position, a former primary by the end of its last record.
- A standby that streams from nobody just now is not diverged for that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any, Dict, List, Mapping, Optional, Tuple

from . import history as histories
from .control import RECOVERY_STATES
from .history import History
from .lsn import int_to_lsn, lsn_to_int


class Kind(str, Enum):
    """How one side's data stands to a primary's."""

    SAME_LINE_BEHIND = "same_line_behind"  # all of it is on the primary's line, and the primary has more
    IDENTICAL_END = "identical_end"        # it ends exactly where the primary left that timeline, or where it is
    AHEAD_OF_FORK = "ahead_of_fork"        # it went on where the primary's line turns off: it has what that one lacks
    OTHER_PAST = "other_past"              # the timelines have the same numbers and are others
    OTHER_SYSTEM = "other_system"          # another database system
    UNKNOWN = "unknown"                    # not proven, which counts as "may not"


FOLLOWS = (Kind.SAME_LINE_BEHIND, Kind.IDENTICAL_END)
FORKED = (Kind.AHEAD_OF_FORK, Kind.OTHER_PAST)


@dataclass(frozen=True)
class Side:
    """What is known of one server's data. Positions are bytes (see lsn.py); None is "not known".

    name: for texts and for the last tie-break of winner(). running: a server runs on it and answered. in_recovery: what
    that server says. timeline: of the last record. position: running: written (primary), received or replayed
    (standby); stopped: end of the last valid record. state, min_recovery, min_recovery_timeline, checkpoint, redo: of
    pg_control. history: of *timeline*. standby_signal, backup_label: the files. beyond: (timeline, position, answer)
    for places at which somebody looked for a valid record, see look.py. next_xid: next full transaction id
    (64 bits). settings: (name, value) of those that a running server was asked for, no part of its data. why: what could
    not be found out, a sentence.
    """

    name: str = ""
    system_identifier: Optional[str] = None
    running: bool = False
    in_recovery: Optional[bool] = None
    timeline: Optional[int] = None
    position: Optional[int] = None
    state: Optional[str] = None
    min_recovery: Optional[int] = None
    min_recovery_timeline: Optional[int] = None
    checkpoint: Optional[int] = None
    redo: Optional[int] = None
    history: History = ()
    standby_signal: bool = False
    backup_label: bool = False
    beyond: Tuple[Tuple[int, int, Optional[bool]], ...] = ()
    next_xid: Optional[int] = None
    settings: Tuple[Tuple[str, str], ...] = ()
    why: str = ""

    @property
    def was_primary(self) -> Optional[bool]:
        """Whether the last server on this data wrote records of its own; None when it is not known.

        A copy that was never started (backup_label) wrote none.
        """
        if self.running:
            return None if self.in_recovery is None else not self.in_recovery
        if self.backup_label:
            return False
        if not self.state:
            return None
        if self.state == "in archive recovery" and self.min_recovery is None:
            return True
        return self.state not in RECOVERY_STATES

    @property
    def at_least(self) -> Optional[int]:
        """A position that the line has reached in any case; None when none is known.

        Also one that was noted on an earlier timeline: positions only grow along a line.
        """
        known = [self.position]
        if not self.running:
            known += [self.min_recovery, None if self.backup_label else self.checkpoint]
        return max([item for item in known if item is not None], default=None)

    @property
    def end(self) -> Optional[int]:
        """Where the line ends, exactly; None when it is not known. A standby's clean stop notes it in pg_control."""
        if self.position is None and not self.running and self.state == "shut down in recovery" \
                and self.min_recovery_timeline in (None, self.timeline):
            return self.min_recovery
        return self.position

    @property
    def line_known(self) -> bool:
        """Whether timeline and history are known; only timeline 1 has no history."""
        return self.timeline is not None and (self.timeline == 1 or bool(self.history))

    def to_dict(self) -> Dict[str, Any]:
        """A dict of plain values, for facts; from_dict() makes the side of it again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Side:
        """The side in what to_dict() made, lists instead of tuples allowed; unknown keys are left out."""
        names = {item.name for item in fields(cls)}
        values = {key: value for key, value in data.items() if key in names}
        for key in ("history", "beyond", "settings"):
            values[key] = tuple(tuple(item) for item in values.get(key) or ())
        return cls(**values)


def stopped_side(control: Mapping[str, Any], history: History = (), **more: Any) -> Side:
    """The side of a stopped server from control data (see control.parse_controldata) and the history of its timeline.

    more: further fields of Side. The timeline is the newer one of the checkpoint's and the minimum recovery point's,
    unless *more* has one.
    """
    minimum = control.get("min_recovery_timeline")
    timeline = max([item for item in (control.get("timeline"), minimum) if item], default=None)
    values: Dict[str, Any] = {
        "system_identifier": control.get("system_identifier") or None, "state": control.get("state") or None,
        "timeline": timeline, "history": histories.before(history, timeline) if timeline else history,
        "min_recovery": lsn_to_int(control.get("min_recovery_lsn")), "min_recovery_timeline": minimum,
        "checkpoint": lsn_to_int(control.get("checkpoint_lsn")), "redo": lsn_to_int(control.get("redo_lsn")),
        "next_xid": control.get("next_xid")}
    values.update(more)
    return Side(**values)


@dataclass(frozen=True)
class Relation:
    """How mine stands to the primary. evidence: sentences with the numbers. fork: (timeline, position) at which the
    two lines part, when there is one.
    """

    kind: Kind
    evidence: Tuple[str, ...] = ()
    fork: Optional[Tuple[int, int]] = None

    @property
    def follows(self) -> bool:
        """Whether it is proven that the data may follow the primary as it is."""
        return self.kind in FOLLOWS

    @property
    def forked(self) -> bool:
        """Whether it is proven that the data cannot follow: it has a line of its own."""
        return self.kind in FORKED

    def __str__(self) -> str:
        return "; ".join(self.evidence) or self.kind.value


def relation(mine: Side, primary: Side) -> Relation:
    """How the data *mine* stands to that of *primary*, the server that it is to follow.

    *primary* need not run, and need not be promoted yet: "may mine follow it, if it is the one that goes on". Of two
    that run, look at mine first and at the primary afterwards, which goes on meanwhile.
    """
    me, other = mine.name or "this data", primary.name or "the primary"
    if not mine.system_identifier or not primary.system_identifier:
        who, side = (me, mine) if not mine.system_identifier else (other, primary)
        return Relation(Kind.UNKNOWN, ("the system identifier of %s is not known%s" % (who, because(side)),))
    if mine.system_identifier != primary.system_identifier:
        return Relation(Kind.OTHER_SYSTEM, ("%s belongs to database system %s, %s has %s" % (
            me, mine.system_identifier, other, primary.system_identifier),))
    my_timeline, its_timeline = mine.timeline, primary.timeline
    if my_timeline is None or its_timeline is None or not (mine.line_known and primary.line_known):
        who, side = (other, primary) if mine.line_known else (me, mine)
        what = "timeline" if side.timeline is None else "history of timeline %d" % side.timeline
        return Relation(Kind.UNKNOWN, ("the %s of %s is not known%s" % (what, who, because(side)),))
    fork = histories.fork(mine.history, my_timeline, primary.history, its_timeline)
    if my_timeline == its_timeline and mine.history == primary.history:
        return same_timeline(mine, primary, me, other, my_timeline)
    switch = histories.left_at(primary.history, my_timeline)
    if switch is not None and mine.history == histories.before(primary.history, my_timeline):
        return older_timeline(mine, primary, other, my_timeline, switch)
    left = histories.left_at(mine.history, its_timeline)
    if left is not None and primary.history == histories.before(mine.history, its_timeline):
        return Relation(Kind.AHEAD_OF_FORK, (
            "%s was promoted to timeline %d, which left timeline %d of %s at %s" % (
                me, my_timeline, its_timeline, other, text_of(left)),), fork)
    return Relation(Kind.OTHER_PAST, ("%s is on timeline %d (%s), %s on timeline %d (%s): %s" % (
        me, my_timeline, text_of_history(mine.history), other, its_timeline, text_of_history(primary.history),
        "they part on timeline %d at %s" % (fork[0], text_of(fork[1])) if fork else "they have no past in common"),),
        fork)


def because(side: Side) -> str:
    """": why" of a side that could not be looked at."""
    return ": " + side.why if side.why else ""


def text_of(position: Optional[int]) -> str:
    """A position for people."""
    return "an unknown place" if position is None else int_to_lsn(position) or "?"


def text_of_history(history: History) -> str:
    """A history for people."""
    return ", ".join("left %d at %s" % (timeline, text_of(switch)) for timeline, switch in history) or "no history"


def same_timeline(mine: Side, primary: Side, me: str, other: str, timeline: int) -> Relation:
    """relation() of two sides on one timeline: one of them has written it, the other has it from there."""
    where = "both are on timeline %d" % timeline
    if mine.was_primary is None or primary.was_primary is None:
        who, side = (me, mine) if mine.was_primary is None else (other, primary)
        return Relation(Kind.UNKNOWN, ("%s, and whether %s wrote it is not known%s" % (where, who, because(side)),))
    if mine.was_primary and primary.was_primary:
        # Same number, same start: promoted apart at the same place, or started without a promotion.
        return Relation(Kind.UNKNOWN, ("%s, and both have written records of their own" % where,))
    place = (timeline, primary.end if primary.end is not None else -1)
    if not mine.was_primary and primary.was_primary:
        # It can have got nothing that the writer had not written first.
        if primary.position is None:
            return Relation(Kind.SAME_LINE_BEHIND, ("%s, and %s is at %s, which it has from %s" % (
                where, me, text_of(mine.at_least), other),))
        if mine.at_least is not None and mine.at_least > primary.position:
            if mine.running and primary.running:
                # Both went on while they were asked one after the other.
                return Relation(Kind.UNKNOWN, ("%s, and %s is at %s, %s was at %s when it was asked" % (
                    where, me, text_of(mine.at_least), other, text_of(primary.position)),))
            return Relation(Kind.AHEAD_OF_FORK, ("%s, and %s is at %s, %s at %s only" % (
                where, me, text_of(mine.at_least), other, text_of(primary.position)),), place)
        kind = Kind.IDENTICAL_END if mine.end == primary.position else Kind.SAME_LINE_BEHIND
        return Relation(kind, ("%s: %s is at %s, %s at %s" % (
            where, me, text_of(mine.at_least), other, text_of(primary.position)),))
    # Mine has written the timeline, or both follow a third one: the exact end counts.
    if primary.end is None:
        if mine.end is not None and primary.at_least is not None and mine.end <= primary.at_least:
            return Relation(Kind.SAME_LINE_BEHIND, ("%s: %s ends at %s, %s has reached %s" % (
                where, me, text_of(mine.end), other, text_of(primary.at_least)),))
        return Relation(Kind.UNKNOWN, ("%s, and where %s ends is not known%s" % (where, other, because(primary)),))
    verdict, told = past(mine, timeline, primary.end)
    return judged(verdict, mine, primary.end, (
        "%s: %s, %s is at %s" % (where, told, other, text_of(primary.end)),), place)


def older_timeline(mine: Side, primary: Side, other: str, older: int, switch: int) -> Relation:
    """relation() of a side on timeline *older*, which the primary's line has left at *switch*."""
    fork = (older, switch)
    turned = "%s left timeline %d at %s" % (other, older, text_of(switch))
    verdict, told = past(mine, older, switch)
    result = judged(verdict, mine, switch, ("%s, %s" % (turned, told),), fork)
    if result.kind != Kind.SAME_LINE_BEHIND or mine.running:
        return result
    # A standby that crashed goes on along newer timelines whose WAL it has received.
    for timeline, place in primary.history:
        if timeline > older and (timeline, place, True) in mine.beyond:
            return Relation(Kind.AHEAD_OF_FORK, result.evidence + (
                "%s left timeline %d at %s, and there are records behind it here" % (other, timeline, text_of(place)),),
                (timeline, place))
        if timeline > older and (timeline, place, None) in mine.beyond:
            return Relation(Kind.UNKNOWN, result.evidence + (
                "whether there are records of timeline %d behind %s here is not known%s" % (
                    timeline, text_of(place), because(mine)),), (timeline, place))
    return result


def judged(verdict: Optional[bool], mine: Side, place: int, told: Tuple[str, ...],
           fork: Optional[Tuple[int, int]]) -> Relation:
    """The relation that follows from "there is something behind *place*" (None: not known)."""
    if verdict is None:
        return Relation(Kind.UNKNOWN, told, fork)
    if verdict:
        return Relation(Kind.AHEAD_OF_FORK, told, fork)
    return Relation(Kind.IDENTICAL_END if mine.end == place else Kind.SAME_LINE_BEHIND, told, fork)


def past(mine: Side, timeline: int, place: int) -> Tuple[Optional[bool], str]:
    """(whether *mine*, which is on *timeline*, has a record at or behind *place*, a clause that says why).

    *place* is the end of a record that both had. None: not known.
    """
    me = mine.name or "this data"
    if mine.at_least is not None and mine.at_least > place:
        return True, "%s has reached %s" % (me, text_of(mine.at_least))
    if not mine.running and not mine.backup_label and mine.checkpoint is not None and mine.checkpoint == place:
        # pg_control names a record by its start: one that starts there is one behind it.
        return True, "%s has a checkpoint at %s" % (me, text_of(place))
    for where, position, answer in mine.beyond:
        if (where, position) == (timeline, place) and answer is not None:
            return answer, "%s has %s record behind it" % (me, "a" if answer else "no")
    if mine.end is not None:
        return False, "%s %s at %s" % (me, "is" if mine.running else "ends", text_of(mine.end))
    if not mine.running and mine.state == "shut down" and mine.checkpoint is not None:
        # Its last record is the checkpoint of the clean stop, which starts before the place, so it ends there at most.
        return False, "%s was stopped cleanly, its last record starts at %s" % (me, text_of(mine.checkpoint))
    return None, "where %s ends is not known%s" % (me, because(mine))


def may_follow(mine: Side, primary: Side) -> bool:
    """Whether it is proven that *mine* holds nothing that *primary* lacks, so that it can follow as a standby."""
    return relation(mine, primary).follows


class Step(str, Enum):
    """What is to be done so that this data follows that primary."""

    START = "start"       # nothing but a start as its standby
    REWIND = "rewind"     # pg_rewind can take back what this data has more, which is lost here then
    CLONE = "clone anew"  # only a new copy can follow
    REFUSE = "refuse"     # not known enough to say so


@dataclass(frozen=True)
class Verdict:
    """step: what is to be done. relation: how the data stands to the primary's. why: sentences, the evidence first."""

    step: Step
    relation: Relation
    why: Tuple[str, ...]


def verdict(mine: Side, primary: Side, rewindable: Optional[bool] = None, marked: bool = False) -> Verdict:
    """May *mine* follow *primary*, and if not, what would make it.

    rewindable: whether pg_rewind works on this data (checksums or wal_log_hints); None: not known, which is no leave.
    marked: somebody has noted that this data may be the newest (the agent's lock), so that only a proof clears it.
    """
    found = relation(mine, primary)
    if found.follows:
        return Verdict(Step.START, found, found.evidence)
    if found.kind is Kind.UNKNOWN:
        if mine.was_primary is False and not marked:
            return Verdict(Step.START, found, found.evidence + (
                "%s has written nothing of its own: PostgreSQL itself says whether it finds what it needs" % (
                    mine.name or "this data"),))
        return Verdict(Step.REFUSE, found, found.evidence)
    if found.kind is Kind.OTHER_SYSTEM:
        return Verdict(Step.CLONE, found, found.evidence)
    if found.fork is None:
        return Verdict(Step.CLONE, found, found.evidence + ("there is no place to which it could be taken back",))
    if rewindable:
        return Verdict(Step.REWIND, found, found.evidence)
    return Verdict(Step.CLONE, found, found.evidence + (
        "whether pg_rewind works on it is not known" if rewindable is None
        else "pg_rewind does not work on it: neither checksums nor wal_log_hints",))


@dataclass(frozen=True)
class Winner:
    """Which of two primaries goes on. name, loser: names of the sides. why: a sentence."""

    name: str
    loser: str
    why: str


def winner(one: Side, two: Side) -> Winner:
    """Which of two servers that both take writes goes on. The same answer whichever is named first.

    More transactions assigned since the fork: both sides share the counter up to there, so the greater next transaction
    id has more. Equal: the higher timeline, which is the one that was promoted. Equal again: the name that sorts first.
    A side of which this is not known loses against one of which it is; never do both lose. Names must differ.
    """
    if one.name == two.name:
        raise ValueError("two sides with the same name: %r" % one.name)
    one, two = sorted((one, two), key=lambda side: side.name)
    for side, other in ((one, two), (two, one)):
        if side.next_xid is not None and other.next_xid is None:
            return Winner(side.name, other.name, "what %s has taken is not known%s" % (other.name, because(other)))
    if one.next_xid is not None and one.next_xid != two.next_xid:
        first, second = (one, two) if one.next_xid > (two.next_xid or 0) else (two, one)
        return Winner(first.name, second.name, "%s has assigned %d transactions more than %s since they parted" % (
            first.name, (first.next_xid or 0) - (second.next_xid or 0), second.name))
    equal = "both have assigned the same number of transactions" if one.next_xid is not None \
        else "of neither it is known what it has taken"
    if (one.timeline or 0) != (two.timeline or 0):
        first, second = (one, two) if (one.timeline or 0) > (two.timeline or 0) else (two, one)
        return Winner(first.name, second.name, "%s, and %s is on the higher timeline (%s, %s on %s)" % (
            equal, first.name, first.timeline, second.name, second.timeline or "an unknown one"))
    return Winner(one.name, two.name, "%s, on the same timeline: by name" % equal)


def newest(sides: List[Side]) -> Optional[Side]:
    """The side that may go on as the primary with nothing lost: every other one may follow it. None when none is.

    Of several that hold the same, the one that was a primary comes first, then the name that sorts first.
    """
    fit = [side for side in sides
           if all(may_follow(other, side) for other in sides if other is not side)]
    return min(fit, key=lambda side: (not side.was_primary, side.name), default=None)


def with_probe(side: Side, timeline: int, place: int, answer: Optional[bool], why: str = "") -> Side:
    """*side* with one more answer to "is there a valid record at or behind this place"."""
    return replace(side, beyond=side.beyond + ((timeline, place, answer),), why=side.why or why)
