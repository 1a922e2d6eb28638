# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the samples say, and whether that is what must hold. Pure functions.

Times are seconds since the epoch, of the machine's one clock. A hub "takes writes" while it answers as a primary on its
own socket, or while a session that was open on it gets inserts acknowledged.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple
from xml.etree import ElementTree

from lab import report
from lab.faults.table import Expect, Row, expected, seconds

Spans = List[Tuple[float, float]]

BRIDGE = 1.0        # seconds between two answers that make one span of time
OPEN_WRITES = 10    # rows a second of the session that is open on the active hub (lab.faults.watcher)
OUTAGE = 1.0        # seconds without a write that count as an outage
FORKED, GAVE_UP = "hub_ha-forked", "hub_ha-gave_up"
WARNINGS = (("hub_ha-clients", "0"), ("hub_ha-guard", "gone"))
STREAMS = ("HS:async", "HS:sync")


@dataclass(frozen=True)
class Sample:
    """One look at one hub; *end* is when it answered. state: see lab.faults.watcher."""

    begin: float
    end: float
    state: str
    address: bool
    broken: Tuple[str, ...]


@dataclass(frozen=True)
class Watched:
    """The watcher's log. open_acks: times of the open session's acknowledged inserts; ended: when and why it ended."""

    samples: Mapping[str, List[Sample]]
    open_acks: List[Tuple[int, float]]
    ended: Optional[Tuple[float, str]] = None


def parse(text: str) -> Watched:
    """The watcher's log as data. A last line that was cut off is left out, unknown ones too."""
    samples: Dict[str, List[Sample]] = {}
    acks: List[Tuple[int, float]] = []
    ended = None
    for line in text.splitlines(keepends=True):
        words = line.split()
        if not line.endswith("\n") or not words:
            continue
        try:
            if words[0] == "S":
                broken = () if words[6] == "-" else tuple(words[6].split(","))
                samples.setdefault(words[1], []).append(
                    Sample(float(words[2]), float(words[3]), words[4], words[5] == "1", broken))
            elif words[0] == "O":
                acks.append((int(words[1]), float(words[2])))
            elif words[0] == "X":
                ended = (float(words[1]), " ".join(words[2:]))
        except (ValueError, IndexError):
            continue
    return Watched(samples, acks, ended)


def spans(times: Iterable[float], bridge: float = BRIDGE) -> Spans:
    """Times at which something was seen to hold, as spans: two that are no more than *bridge* apart make one."""
    found: Spans = []
    for at in sorted(times):
        if found and at - found[-1][1] <= bridge:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def without(some: Spans, others: Spans) -> Spans:
    """What of *some* is in none of the *others*."""
    for begin, end in others:
        some = [piece for a, b in some for piece in ((a, min(b, begin)), (max(a, end), b)) if piece[0] < piece[1]]
    return some


def common(some: Spans, others: Spans) -> Spans:
    """What is in both."""
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return sorted(piece for piece in both if piece[0] < piece[1])


def length(some: Spans, since: float = 0.0) -> float:
    """Seconds in all, from *since* on."""
    return sum(max(0.0, end - max(begin, since)) for begin, end in some)


def held(samples: Sequence[Sample], what) -> Spans:
    """Spans in which *what*(sample) was true at every look: one look at which it was not ends a span."""
    found: Spans = []
    going = False
    for sample in samples:
        if not what(sample):
            going = False
        elif going and sample.end - found[-1][1] <= BRIDGE:
            found[-1] = (found[-1][0], sample.end)
        else:
            found.append((sample.end, sample.end))
            going = True
    return found


def merged(some: Spans, others: Spans) -> Spans:
    """What is in one of them or both."""
    found: Spans = []
    for begin, end in sorted(some + others):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def serving(watched: Watched, frozen: Mapping[str, Spans], open_on: Optional[str]) -> Dict[str, Spans]:
    """{hub: spans in which it took writes}, frozen times left out. open_on: the hub of the open session."""
    found = {}
    for hub, samples in watched.samples.items():
        taken = held(samples, lambda one: one.state == "primary")
        if hub == open_on:
            taken = merged(taken, spans(at for _seq, at in watched.open_acks))
        found[hub] = without(taken, frozen.get(hub, []))
    return found


def promotions(samples: Sequence[Sample]) -> int:
    """How often a standby was seen to become a primary."""
    roles = [one.state for one in samples if one.state in ("standby", "primary")]
    return sum(1 for before, after in zip(roles, roles[1:]) if (before, after) == ("standby", "primary"))


def longest_dead(watched: Watched, frozen: Mapping[str, Spans], open_on: Optional[str]) -> Tuple[float, str]:
    """(seconds, what) of the longest time that a hub took writes while cluster daemons were missing or stopped."""
    worst = (0.0, "")
    for hub, taken in serving(watched, frozen, open_on).items():
        for begin, end in common(taken, held(watched.samples[hub], lambda one: bool(one.broken))):
            if end - begin > worst[0]:
                names = sorted(set(name for one in watched.samples[hub] if begin <= one.end <= end
                                   for name in one.broken))
                worst = (end - begin, "%s without %s" % (hub, ", ".join(names)))
    return worst


def back(acks: Sequence[Tuple[int, float]], mended: float, end: float) -> Optional[float]:
    """Seconds from *mended* to the end of the last outage; 0 without one after it, None when none is over at *end*."""
    outages = [gap for gap in report.gaps(acks, end, least=OUTAGE) if gap[1] > mended]
    if not acks or end - max(at for _seq, at in acks) >= OUTAGE:
        return None
    return max([gap[1] - mended for gap in outages], default=0.0)


@dataclass(frozen=True)
class View:
    """The cluster as one hub's crm_mon sees it. roles: of cfpgsql. address: the hub that has cfvirtip, None without."""

    online: Tuple[str, ...]
    quorate: bool
    roles: Mapping[str, str]
    address: Optional[str]
    attributes: Mapping[str, Mapping[str, str]]
    failures: Tuple[Tuple[str, str], ...]
    bans: Tuple[str, ...]

    def forked(self, hub: str) -> bool:
        """True when the hub is marked as one that has what the other one lacks."""
        return FORKED in self.attributes.get(hub, {})


def view(text: str) -> View:
    """What `crm_mon -1 -r -A -f -L --output-as=xml` says. Raises ParseError for what is no XML."""
    root = ElementTree.fromstring(text)
    roles, address = {}, None
    for resource in root.iter("resource"):
        for node in resource.findall("node"):
            if resource.get("id") == "cfpgsql":
                roles[node.get("name")] = resource.get("role")
            elif resource.get("id") == "cfvirtip" and resource.get("role") == "Started":
                address = node.get("name")
    attributes = dict((node.get("name"), dict((one.get("name"), one.get("value")) for one in node.iter("attribute")))
                      for node in root.findall("node_attributes/node"))
    dc = root.find("summary/current_dc")
    failures = [((one.get("op_key") or one.get("id") or "?"), one.get("node") or "?")
                for one in root.findall("failures/failure")]
    for node in root.findall("node_history/node"):
        for history in node.findall("resource_history"):
            if int(re.sub(r"\D", "", history.get("fail-count") or "0") or (
                    "1" if history.get("fail-count") == "INFINITY" else "0")):
                failures.append(("fail-count of %s" % history.get("id"), node.get("name")))
    return View(
        online=tuple(node.get("name") for node in root.findall("nodes/node")
                     if node.get("online") == "true" and node.get("standby") == "false"
                     and node.get("maintenance") == "false"),
        quorate=dc is not None and dc.get("with_quorum") == "true", roles=roles, address=address,
        attributes=attributes, failures=tuple(failures),
        bans=tuple(ban.get("id") for ban in root.findall("bans/ban") if (ban.get("id") or "").startswith("cli-")))


@dataclass(frozen=True)
class State:
    """What the pair is. name: whole, forked (one serves, the other one is marked and takes no writes), alone (one
    serves, the other one is stopped or lost), unmanaged (one serves and its cluster does not answer), double, down.
    left: failed actions and fail-counts that the cluster has kept. They need not mean that something is wrong now.
    warned: what the guards have told pacemaker against a hub; that clients reach it again is told 20 s later."""

    name: str
    active: Optional[str]
    why: str = ""
    left: Tuple[str, ...] = ()
    warned: Tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """True when the pair is whole and nothing is told against a hub."""
        return self.name == "whole" and not self.warned


def state(last: Mapping[str, Sample], views: Mapping[str, Optional[View]]) -> State:
    """What the pair is now. last: each hub's newest sample. views: each hub's crm_mon, None when it does not answer."""
    primaries = sorted(hub for hub, one in last.items() if one.state == "primary")
    shown = ", ".join("%s %s" % (hub, one.state) for hub, one in sorted(last.items()))
    if len(primaries) != 1:
        return State("double" if primaries else "down", None, shown)
    active = primaries[0]
    (other,) = [hub for hub in last if hub != active]
    seen = views.get(active)
    if seen is None or last[active].broken:
        return State("unmanaged", active, "the cluster on %s does not answer, or lacks %s" % (
            active, ", ".join(last[active].broken) or "an answer"))
    against = []
    if not last[active].address or seen.address != active:
        against.append("the shared address is not on %s" % active)
    if last[other].address:
        against.append("the shared address is on %s too" % other)
    if not seen.quorate:
        against.append("no quorum")
    if seen.roles.get(active) != "Promoted":
        against.append("pacemaker has %s as %s" % (active, seen.roles.get(active, "stopped")))
    against += ["constraint %s is left" % ban for ban in seen.bans]
    left = tuple("%s on %s" % pair for pair in seen.failures)
    if seen.forked(other) and not against:
        return State("forked", active, "%s: %s" % (other, seen.attributes[other][FORKED]), left)
    status = seen.attributes.get(other, {}).get("cfpgsql-status")
    if other not in seen.online:
        against.append("%s is offline or in standby" % other)
    if status not in STREAMS or last[other].state != "standby":
        against.append("%s does not stream (PostgreSQL %s, cfpgsql-status %s)" % (other, last[other].state, status))
    if last[other].broken:
        against.append("%s lacks %s" % (other, ", ".join(last[other].broken)))
    warned = tuple("%s=%s on %s" % (name, value, hub) for name, value in WARNINGS for hub in sorted(last)
                   if seen.attributes.get(hub, {}).get(name) == value)
    return State("alone" if against else "whole", active, "; ".join(against), left, warned)


@dataclass(frozen=True)
class Mark:
    """What must not change on a hub to which nothing happens: process numbers (0: none) of its PostgreSQL and of its
    guard, and what that guard has done: (time, what)."""

    server: int
    guard: int
    done: Tuple[Tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Played:
    """A playbook that was run with these options. outcome: done, refused (it failed and changed nothing), failed."""

    options: str
    outcome: str
    why: str = ""


@dataclass(frozen=True)
class Fact:
    """What had to be in force after a step, and what was."""

    name: str
    wanted: str
    found: str


@dataclass(frozen=True)
class Seen:
    """All that was seen of one row; audit() makes figures of it.

    began, ended: of the row.  mended, last: the times of the last mending step (None: none) and of the last step.
    frozen: {hub: spans}.  rows: {hub: sequence numbers of the outside writer, None when they cannot be read}.
    open_rows: the same of the open session.  before: the hub that was active.  end: the state in the end, *settled*
    seconds after the last step (None: not reached in time).  proved: what role verify said (True: green; None: not
    asked), and *after* what the pair was then.  changed: tasks that playbooks changed.  load: see Result.
    marks: {hub: before the row and after it}.  missed: what steps that wait did not find.
    plays: all playbooks that were run.  facts: all that was looked at.  servers: {hub: (its postmaster before the row,
    and in the end)}, "" for none.
    """

    began: float
    ended: float
    mended: Optional[float]
    last: float
    watched: Watched
    writer: Mapping
    frozen: Mapping[str, Spans]
    rows: Mapping[str, Optional[Sequence[int]]]
    open_rows: Mapping[str, Optional[Sequence[int]]]
    before: str
    end: State
    settled: Optional[float]
    proved: Optional[bool]
    after: Optional[State] = None
    changed: Optional[int] = None
    load: Optional[float] = None
    marks: Mapping[str, Tuple[Mark, Mark]] = field(default_factory=dict)
    missed: Tuple[str, ...] = ()
    plays: Tuple[Played, ...] = ()
    facts: Tuple[Fact, ...] = ()
    servers: Mapping[str, Tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Figures of one row and what is wrong with them (findings: sentences, none when it is green).

    failed: attempts of the outside writer that failed.  restarts: hubs whose PostgreSQL is another process in the end.
    away: seconds for which the standby gave no answer as one, the longest (None: it never did).
    load: processes that waited for a processor, of the machine that has all hubs, in the last minute: figures of rows
    that differ in it do not compare.
    """

    name: str
    gap: Optional[float]
    back: Optional[float]
    overlap: float
    addresses: float
    dead: float
    lost: Mapping[str, Optional[int]]
    open_lost: Mapping[str, Optional[int]]
    acknowledged: int
    moves: int
    settled: Optional[float]
    rejoined: Optional[float]
    before: str
    active: Optional[str]
    state: str
    why: str
    left: Tuple[str, ...]
    proved: Optional[bool]
    changed: Optional[int] = None
    load: Optional[float] = None
    failed: int = 0
    restarts: int = 0
    away: Optional[float] = None
    findings: Tuple[str, ...] = field(default=())

    @property
    def green(self) -> bool:
        """True when all that must hold did."""
        return not self.findings


def rejoined(watched: Watched, since: float) -> Optional[float]:
    """Seconds from *since* until a standby that was gone answered again; 0 when none was, None when it never did."""
    found = []
    for samples in watched.samples.values():
        later = [one for one in samples if one.end > since]
        gone = [one.end for one in later if one.state in ("refused", "silent")]
        if gone:
            found.append(next((one.end - since for one in later if one.end > gone[0] and one.state == "standby"), None))
    return None if None in found else max(found, default=0.0)


def away(samples: Sequence[Sample], began: float, ended: float) -> Optional[float]:
    """Seconds of the longest time from *began* to *ended* without an answer as a standby; None without any answer."""
    answers = [one.end for one in samples if one.state == "standby" and began <= one.end <= ended]
    times = [began, *answers, ended]
    return max(b - a for a, b in zip(times, times[1:])) if answers else None


def missing(acknowledged: Iterable[int], rows: Optional[Sequence[int]]) -> Optional[int]:
    """How many acknowledged writes are not among the rows; None when those are not known."""
    return None if rows is None else len(set(acknowledged) - set(rows))


def audit(row: Row, seen: Seen, token: float, slack: float = 0.0) -> Result:
    """The figures of *row* and its verdict, on a pair with this token (seconds).

    slack: seconds that are added to every limit of time without writes, where others share the processors.
    """
    want = expected(row, token)
    acks = seen.writer["acks"]
    took = serving(seen.watched, seen.frozen, seen.before)
    hubs = sorted(took)
    both = common(took[hubs[0]], took[hubs[1]]) if len(hubs) == 2 else []
    since = seen.mended if want.overlap_from == "mend" and seen.mended is not None else seen.began
    shared = [without(held(seen.watched.samples[hub], lambda one: one.address), seen.frozen.get(hub, []))
              for hub in hubs]
    gaps = [gap for gap in report.gaps(acks, seen.ended, least=0.0) if gap[1] > seen.began]
    dead, where = longest_dead(seen.watched, seen.frozen, seen.before)
    acked = [seq for seq, _at in acks]
    result = Result(
        name=row.name, gap=gaps[0][2] if gaps else None,
        back=None if seen.mended is None else back(acks, seen.mended, seen.ended),
        overlap=length(both, since),
        addresses=length(common(shared[0], shared[1]), since) if len(hubs) == 2 else 0.0, dead=dead,
        lost=dict((hub, missing(acked, found)) for hub, found in seen.rows.items()),
        open_lost=dict((hub, missing([seq for seq, at in seen.watched.open_acks if at < seen.ended], found))
                       for hub, found in seen.open_rows.items()),
        acknowledged=len(acks), moves=sum(promotions(seen.watched.samples[hub]) for hub in hubs),
        settled=seen.settled, rejoined=rejoined(seen.watched, seen.last), before=seen.before,
        active=seen.end.active, state=seen.end.name, why=seen.end.why, left=seen.end.left,
        proved=seen.proved, changed=seen.changed, load=seen.load,
        failed=sum(1 for _seq, at, *_why in seen.writer.get("failures", ()) if seen.began <= at <= seen.ended),
        restarts=sum(1 for was, is_now in seen.servers.values() if not was or was != is_now),
        away=max([away(seen.watched.samples[hub], seen.began, seen.ended) for hub in hubs if hub != seen.before],
                 default=None, key=lambda value: float("inf") if value is None else value))
    return Result(**dict(vars(result), findings=tuple(verdict(result, want, token, seen, where, slack))))


def disturbed(want: Expect, seen: Seen) -> Iterable[str]:
    """What somebody has stopped, started or done where nothing may happen."""
    for hub, (before, after) in sorted(seen.marks.items()):
        if ("active" if hub == seen.before else "passive") in want.server and before.server != after.server:
            yield "PostgreSQL on %s was started anew (process %d, then %d)" % (hub, before.server, after.server)
        if want.idle:
            if before.guard != after.guard:
                yield "the guard on %s was started anew (process %d, then %d)" % (hub, before.guard, after.guard)
            for when, what in after.done:
                if when >= seen.began:
                    yield "the guard on %s has acted: %s" % (hub, what)
    if (want.server or want.idle) and not seen.marks:
        yield "what ran before and after is not known"


def of_changes(result: Result, want: Expect, token: float, seen: Seen, slack: float) -> Iterable[str]:
    """What of the playbooks of a row, and of what they must leave alone, is not as it must be."""
    for one in seen.plays:
        if one.outcome == "failed" or (one.outcome == "refused" and not want.refused):
            yield "the playbook %s (%s): %s" % ("failed" if one.outcome == "failed" else "was refused",
                                                one.options or "without options", one.why)
    refused = sum(1 for one in seen.plays if one.outcome == "refused")
    if want.refused and refused != want.refused:
        yield "%d playbooks were refused, must be %d" % (refused, want.refused)
    for fact in seen.facts:
        if fact.found != fact.wanted:
            yield "%s in force: %s, must be %s" % (fact.name, fact.found or "none", fact.wanted or "none")
    if want.restarts is not None and not seen.servers:
        yield "whether PostgreSQL was restarted is not known"
    if want.restarts is not None and result.restarts > want.restarts:
        yield "PostgreSQL was restarted: %s" % "; ".join(
            "%s (%s, now %s)" % (hub, was or "none", is_now or "none")
            for hub, (was, is_now) in sorted(seen.servers.items()) if not was or was != is_now)
    if want.failed is not None and result.failed > want.failed:
        yield "%d attempts to write failed, must be at most %d (%s)" % (
            result.failed, want.failed, next(" ".join(map(str, why)) for _seq, at, *why in seen.writer["failures"]
                                             if seen.began <= at <= seen.ended))
    if want.failed is not None and seen.watched.ended and seen.watched.ended[0] <= seen.ended:
        yield "the open session ended: %s" % seen.watched.ended[1]
    if want.away is not None and (result.away is None or result.away > seconds(want.away, token) + slack):
        yield "the standby gave no answer %s, must be at most %.1f s" % (
            "at all" if result.away is None else "for %.1f s" % result.away, seconds(want.away, token) + slack)


def verdict(result: Result, want: Expect, token: float, seen: Seen, where: str, slack: float) -> Iterable[str]:
    """What of a result is not as it must be: sentences with the value found and the limit."""
    def over(what, value, limit, added=0.0):
        if limit is None:
            return
        most = seconds(limit, token) + added
        if value is None:
            yield "%s: never, must be at most %.1f s" % (what, most)
        elif value > most:
            yield "%s %.1f s, must be at most %.1f s" % (what, value, most)

    yield from seen.missed
    yield from disturbed(want, seen)
    yield from over("gap", result.gap, want.gap, slack)
    if seen.mended is not None:
        yield from over("served again after mending", result.back, want.back, slack)
    yield from over("both hubs took writes", result.overlap, want.overlap)
    yield from over("both hubs had the shared address", result.addresses, want.overlap)
    if want.dead is not None and result.dead > seconds(want.dead, token):
        yield "took writes for %.1f s with a dead cluster (%s), must be at most %.1f s" % (
            result.dead, where, seconds(want.dead, token))
    if result.state not in want.ends:
        yield "ends %s (%s), must be %s" % (result.state, result.why, " or ".join(sorted(want.ends)))
    elif result.settled is None or result.settled > seconds(want.deadline, token) + slack:
        yield "%s only after %s, must be within %.0f s" % (
            result.state, "the row's end" if result.settled is None else "%.1f s" % result.settled,
            seconds(want.deadline, token) + slack)
    if want.rejoin is not None and (result.rejoined is None or result.rejoined > seconds(want.rejoin, token) + slack):
        yield "the standby answers again %s, must be within %.0f s" % (
            "never" if result.rejoined is None else "after %.1f s" % result.rejoined,
            seconds(want.rejoin, token) + slack)
    if result.active is not None and want.role == "same" and result.active != result.before:
        yield "the active role moved to %s, must stay" % result.active
    if want.role == "moves" and result.active == result.before:
        yield "the active role stayed on %s, must move" % result.before
    if result.moves > want.moves:
        yield "%d promotions, must be at most %d" % (result.moves, want.moves)
    if want.lost is not None and result.active is not None:
        lost = result.lost.get(result.active)
        if lost is None:
            yield "the rows on %s cannot be read" % result.active
        elif lost > want.lost:
            yield "%d acknowledged writes are not on %s, must be at most %d" % (lost, result.active, want.lost)
        open_lost = result.open_lost.get(result.active, None if seen.watched.open_acks else 0)
        most = want.lost and want.lost + math.ceil(OPEN_WRITES * result.overlap)
        if open_lost is None:
            yield "the open session's rows on %s cannot be read" % result.active
        elif open_lost > most:
            yield "%d acknowledged writes of the open session are not on %s, must be at most %d" % (
                open_lost, result.active, most)
    if result.state == "whole":
        lost = dict((hub, count) for hub, count in result.lost.items() if count != result.lost.get(result.active))
        if lost:
            yield "the pair is called whole, and its hubs hold different rows (missing: %s)" % dict(result.lost)
    if want.left is not None and len(result.left) > want.left:
        yield "failures are left: %s" % ", ".join(result.left)
    # A failure that was mended and is still listed: the proof may name it or not.
    unsure = result.state == "whole" and result.left
    states = set([seen.end.well, (seen.after or seen.end).well])
    if result.proved is not None and not unsure and result.proved not in states:
        yield "role verify is %s, the pair is %s" % ("green" if result.proved else "red", ", ".join(
            (result.state,) + seen.end.warned))
    yield from of_changes(result, want, token, seen, slack)
    if want.changed is not None and result.changed != want.changed:
        yield "the playbook changed %s tasks, must change %d" % (result.changed, want.changed)
