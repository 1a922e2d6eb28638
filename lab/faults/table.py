# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows: each is a fault, and what must hold while it lasts and after it. Data and pure functions.

A row's hubs are called "active" and "passive": what they are when the row begins. A limit is seconds, or a pair
(tokens, seconds) of corosync's token and seconds that are added to it, so that rows follow the pair's own setting.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple, Union

from lab.shell import LabError

Limit = Union[float, Tuple[float, float]]

DAEMONS = ("corosync", "pacemakerd", "pacemaker-based", "pacemaker-controld", "pacemaker-attrd", "pacemaker-execd",
           "pacemaker-fenced", "pacemaker-schedulerd")
ALL_NETS = ("heartbeat", "replication", "clients")
GUARD = "cfengine-hub-ha-guard.service"

# A power cut of the active hub: found after token and consensus (half of it), then promotion and address.
FAILOVER: Limit = (1.5, 5.0)
# What a power cut of the active hub may take: no daemon has to be missed and stopped first.
POWER_CUT: Limit = (1.5, 3.0)
# Of one that stands still the kernel takes connections and nobody answers: the other hub asks for 3 s (leave.SILENCE)
# before it counts as frozen, and is promoted after that.
FROZEN: Limit = (1.5, 6.0)
# Rows a second of the writer outside (lab/probe.py), and seconds for which two isolated hubs that meet may both serve.
WRITES, OVERLAP = 20, 3.0
# A hub that does not notice the other one's trouble: two inserts, with room for a busy machine.
UNNOTICED = 1.5
# The longest stall that must pass without a failover, in tokens: the token may have been seen a while before.
QUIET_STALL = 0.7

WHOLE = frozenset({"whole"})
# One hub serves; the other one has what the first lacks, is marked as forked and stays stopped with its data.
SERVED = frozenset({"whole", "forked"})

MENDING = ("thaw", "plug", "cont", "on", "start", "drain", "rest", "empty", "unclog", "quick", "hear", "release",
           "correct")
# Steps that last until something is so: the steps after them keep their distance from their end.
WAITING = ("whole", "given", "refer", "packaged", "interfere")


@dataclass(frozen=True)
class Step:
    """One thing that is done, *at* seconds after the row began.

    do: freeze, thaw, unplug, plug (with nets), kill, stop, cont (SIGKILL, SIGSTOP, SIGCONT to a daemon), postmaster
    (with a signal), backend (SIGKILL to one that serves a session), off, on, halt, start (systemctl stop and start of
    a unit), killunit (SIGKILL to a unit), fill, drain (the file system that PostgreSQL's WAL is on), play (the
    upgrade's playbook with options), burn, rest (busy loops), crowd, empty (sessions, as many as the server takes),
    clog, unclog (what the guard and the cluster write to has no room), slow, quick (a crm_mon that takes 5 s longer),
    hold, release (maintenance mode), whole (wait until the pair is), given (wait until the hub's database is given up,
    and prove says so), retry (hub-ha retry), refer (the playbook sets the address of a host as the reference), deaf,
    hear (that host does not answer this hub), see ("NAME=value" each: what must be in force by then, see
    pair.FACTS), oldparams (the database's parameters in the CIB as pairs made before have them), package (stop and
    start the database as the scripts of the hub's package do), packaged (nobody has disturbed them), spoil, correct (a
    line of postgresql.auto.conf that PostgreSQL does not start with), interfere (crm_resource --refresh of the database
    in the middle of its start).
    hub: active, passive or client.
    """

    at: float
    do: str
    hub: str
    what: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Expect:
    """What must hold. None: it is measured, and not judged.

    gap: seconds without an acknowledged write through the shared address, the longest.
    back: seconds from the last mending step until writes go on for good.
    overlap: seconds in which both hubs took writes (frozen hubs left out); overlap_from: fault, or mend where
    two isolated hubs cannot know of each other.
    lost: acknowledged writes of the outside writer that the hub which serves in the end does not have. The session
    that was open on the active hub may have lost as many, and what it wrote while both hubs took writes; of 0 it is 0.
    dead: seconds that a hub went on as primary while daemons of its cluster were missing or stopped.
    role: same, moves, any (who is active in the end).  moves: how often the active role moved, at most.
    ends: states of the pair that are right in the end.  deadline: seconds from the last step until it is reached.
    rejoin: seconds from the last step until a standby that was gone answers again.
    changed: tasks that a played playbook may change.
    left: failed actions and fail-counts that the cluster may still list in the end.
    server: hubs (active, passive) whose PostgreSQL must be the same in the end, never started anew.
    idle: the guards must have done nothing, and be the same.
    refused: playbooks that must be refused before they change anything; every other one must succeed.
    restarts: hubs whose PostgreSQL may be another process in the end than it was before.
    failed: attempts of the outside writer that may fail; with a number the open session must live on, too.
    away: seconds for which the standby may give no answer as one, the longest.
    """

    gap: Optional[Limit] = FAILOVER
    back: Optional[Limit] = 5.0
    overlap: Optional[Limit] = OVERLAP
    overlap_from: str = "fault"
    lost: Optional[int] = 10
    dead: Optional[Limit] = 3.0
    role: str = "any"
    moves: int = 1
    ends: frozenset = SERVED
    deadline: Limit = 60.0
    rejoin: Optional[Limit] = None
    changed: Optional[int] = None
    left: Optional[int] = 0
    server: Tuple[str, ...] = ()
    idle: bool = False
    refused: int = 0
    restarts: Optional[int] = None
    failed: Optional[int] = None
    away: Optional[Limit] = None


@dataclass(frozen=True)
class Row:
    """One fault. breaks: the pair must be built anew after it.  guard: part of the small set of `make test`."""

    name: str
    steps: Tuple[Step, ...]
    expect: Expect
    breaks: bool = False
    guard: bool = False
    # seconds of a stall; one below QUIET_STALL tokens must be noticed by nobody
    stall: Optional[float] = None

    @property
    def mended_at(self) -> Optional[float]:
        """Seconds after the row's begin of its last mending step, None without one."""
        return max((step.at for step in self.steps if step.do in MENDING), default=None)

    @property
    def last_at(self) -> float:
        """Seconds after the row's begin of its last step."""
        return max(step.at for step in self.steps)


def seconds(limit: Limit, token: float) -> float:
    """A limit in seconds, with corosync's token in seconds."""
    return limit[0] * token + limit[1] if isinstance(limit, tuple) else limit


def expected(row: Row, token: float) -> Expect:
    """What must hold for *row* on a pair with this token (seconds): a short stall is one that nobody notices."""
    if row.stall is None or row.stall > QUIET_STALL * token:
        return row.expect
    return Expect(gap=row.stall + UNNOTICED, back=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE,
                  deadline=row.expect.deadline)


UNTOUCHED = Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)
# The same, and nobody has stopped or started anything.
HEALTHY = replace(UNTOUCHED, server=("active", "passive"), idle=True)


def _stall(hubs: Sequence[str], length: float, cables: bool = False, twice: bool = False) -> Row:
    """Hubs frozen for *length* seconds. With cables: unplugged before, and plugged in again as they go on."""
    steps: List[Step] = []
    for start in (0.0, length + 2.0) if twice else (0.0,):
        for hub in hubs:
            if cables:
                steps.append(Step(start, "unplug", hub, ALL_NETS))
            steps.append(Step(start, "freeze", hub))
        for hub in hubs:
            steps.append(Step(start + length, "thaw", hub))
            if cables:
                steps.append(Step(start + length, "plug", hub, ALL_NETS))
    who = "both" if len(hubs) > 1 else hubs[0]
    name = "stall-%s-%g%s%s" % (who, length, "-cables" if cables else "", "-twice" if twice else "")
    if who == "active":
        # Isolated when it goes on, it serves beside the other one until they meet: the loser may have acknowledged what
        # the writer can write in that time.
        expect = Expect(gap=FROZEN if length > 5 else length + 5.0, moves=2 if twice else 1,
                        lost=10 + int(WRITES * OVERLAP) * (2 if twice else 1) if cables else 10)
    elif who == "passive":
        expect = Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)
    else:
        expect = Expect(gap=length + 5.0)
    return Row(name, tuple(steps), expect, stall=length if who != "both" else None,
               guard=name in ("stall-active-15", "stall-passive-15"))


def _stalls() -> List[Row]:
    rows = []
    for hubs in (("active",), ("passive",), ("active", "passive")):
        for length in (0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 15.0, 30.0):
            rows += [_stall(hubs, length), _stall(hubs, length, cables=True)]
        for length in (2.0, 6.0, 15.0):
            rows += [_stall(hubs, length, twice=True), _stall(hubs, length, cables=True, twice=True)]
    return rows


def _daemons() -> List[Row]:
    rows = []
    for daemon in DAEMONS:
        short = daemon.replace("pacemaker-", "")
        for hub in ("active", "passive"):
            active = hub == "active"
            killed = Expect(overlap=0.5) if active else UNTOUCHED
            # a stopped one is found by the guard, which then has 3 s
            stopped = Expect(gap=(1.5, 8.0), overlap=0.5) if active else UNTOUCHED
            rows.append(Row("kill-%s-%s" % (short, hub), (Step(0, "kill", hub, (daemon,)),), killed,
                            guard=active and daemon in ("corosync", "pacemaker-controld")))
            rows.append(Row("stop-%s-%s" % (short, hub),
                            (Step(0, "stop", hub, (daemon,)), Step(20, "cont", hub, (daemon,))), stopped,
                            guard=active and daemon == "corosync"))
    # On both hubs at once, as an update of the packages may do it: nobody can take over, and each begins anew.
    # Pacemaker itself waits 20 s for somebody who coordinates the cluster (dc-deadtime).
    rows += [Row("kill-%s-both" % daemon,
                 (Step(0, "kill", "active", (daemon,)), Step(0, "kill", "passive", (daemon,))),
                 Expect(gap=36.0, overlap=0.5, lost=0, ends=WHOLE)) for daemon in ("corosync", "pacemakerd")]
    return rows


def _database() -> List[Row]:
    return [
        Row("kill-postmaster-active", (Step(0, "postmaster", "active", ("KILL",)),),
            Expect(gap=4.0, overlap=0.5, left=None), guard=True),
        Row("kill-postmaster-passive", (Step(0, "postmaster", "passive", ("KILL",)),),
            Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE, rejoin=10.0,
                   left=None), guard=True),
        Row("stop-postmaster-active", (Step(0, "postmaster", "active", ("STOP",)),),
            Expect(gap=30.0, overlap=0.5, left=None), guard=True),
        Row("kill-backend-active", (Step(0, "backend", "active"),),
            Expect(gap=4.0, overlap=0.5, lost=0, ends=WHOLE, left=None), guard=True),
        Row("disk-full-active", (Step(0, "fill", "active"), Step(30, "drain", "active")),
            Expect(gap=(1.5, 10.0), overlap=0.5, left=None)),
    ]


def _flaps(hub: str) -> Tuple[Step, ...]:
    return tuple(Step(8.0 * turn + 5.0 * up, "plug" if up else "unplug", hub, ALL_NETS)
                 for turn in range(4) for up in (0, 1))


def _cables() -> List[Row]:
    rows = []
    for hub in ("active", "passive"):
        for net in ("heartbeat", "replication"):
            for length in (2.0, 20.0):
                rows.append(Row("cable-%s-%s-%g" % (net, hub, length),
                                (Step(0, "unplug", hub, (net,)), Step(length, "plug", hub, (net,))), UNTOUCHED))
    for length in (2.0, 20.0):
        rows.append(Row("cable-clients-passive-%g" % length,
                        (Step(0, "unplug", "passive", ("clients",)), Step(length, "plug", "passive", ("clients",))),
                        UNTOUCHED))
    rows += [
        Row("cable-clients-active-2",
            (Step(0, "unplug", "active", ("clients",)), Step(2, "plug", "active", ("clients",))),
            Expect(gap=6.0, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)),
        Row("cable-clients-active-20",
            (Step(0, "unplug", "active", ("clients",)), Step(20, "plug", "active", ("clients",))),
            Expect(gap=15.0, overlap=0.5, lost=0, role="moves", ends=WHOLE), guard=True),
        Row("cable-clients-active-flaps",
            tuple(Step(4.0 * turn + 2.0 * up, "plug" if up else "unplug", "active", ("clients",))
                  for turn in range(6) for up in (0, 1)),
            Expect(gap=15.0, overlap=0.5, lost=0, ends=WHOLE)),
        Row("cable-clients-both-20",
            (Step(0, "unplug", "active", ("clients",)), Step(0, "unplug", "passive", ("clients",)),
             Step(20, "plug", "active", ("clients",)), Step(20, "plug", "passive", ("clients",))),
            Expect(gap=25.0, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)),
        Row("cables-passive-2", (Step(0, "unplug", "passive", ALL_NETS), Step(2, "plug", "passive", ALL_NETS)),
            UNTOUCHED),
        # Each alone, as without fencing it must; then the one that served goes on.
        Row("cables-passive-20", (Step(0, "unplug", "passive", ALL_NETS), Step(20, "plug", "passive", ALL_NETS)),
            Expect(gap=UNNOTICED, overlap=3.0, overlap_from="mend", lost=0, role="same"), guard=True),
        Row("cables-active-2", (Step(0, "unplug", "active", ALL_NETS), Step(2, "plug", "active", ALL_NETS)),
            Expect(gap=6.0, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)),
        # which of the two took more is the rule that decides, so what the other one acknowledged is counted only
        Row("cables-active-20", (Step(0, "unplug", "active", ALL_NETS), Step(20, "plug", "active", ALL_NETS)),
            Expect(overlap=3.0, overlap_from="mend", lost=None, moves=2)),
        # Out for as long as it takes to count as lost, and in again in the middle of what comes of that, four times.
        Row("cables-passive-flaps", _flaps("passive"),
            Expect(gap=UNNOTICED, overlap=3.0, overlap_from="mend", lost=0, role="same")),
        Row("cables-active-flaps", _flaps("active"), Expect(overlap=3.0, overlap_from="mend", lost=None, moves=4)),
    ]
    return rows


def _power() -> List[Row]:
    both = Expect(gap=None, back=60.0, overlap=0.5, lost=0, ends=SERVED, deadline=90.0)
    return [
        Row("power-active", (Step(0, "off", "active"), Step(15, "on", "active")),
            Expect(gap=POWER_CUT, overlap=0.5, role="moves"), guard=True),
        Row("power-passive", (Step(0, "off", "passive"), Step(15, "on", "passive")),
            Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE)),
        Row("power-both-active-first",
            (Step(0, "off", "active"), Step(0, "off", "passive"), Step(5, "on", "active"), Step(17, "on", "passive")),
            both),
        Row("power-both-passive-first",
            (Step(0, "off", "active"), Step(0, "off", "passive"), Step(5, "on", "passive"), Step(17, "on", "active")),
            both),
    ]


def _loads() -> List[Row]:
    """A hub that is healthy and busy is no hub to be stopped."""
    def load(name: str, begin: str, end: str, *hubs: str, guard: bool = False) -> Row:
        return Row(name, tuple([Step(0, begin, hub) for hub in hubs] + [Step(20, end, hub) for hub in hubs]), HEALTHY,
                   guard=guard)

    return [load("load-cpu", "burn", "rest", "active", guard=True), load("load-sessions", "crowd", "empty", "active"),
            load("load-disk", "clog", "unclog", "active"), load("load-crm_mon", "slow", "quick", "active", "passive")]


def _alone() -> List[Row]:
    """The other hub is off, so nobody takes over: the database goes on, and what looks after it comes back."""
    def alone(name: str, expect: Expect, *fault: Step) -> Row:
        # The guard takes a hub for alone when the other one has been missed for five seconds.
        return Row("alone-" + name, (Step(0, "off", "passive"), *fault, Step(45, "on", "passive")), expect)

    # Seconds until the daemons are back: corosync's start, pacemaker's, and its wait for a coordinator.
    goes_on = replace(UNTOUCHED, server=("active",), dead=20.0)
    rows = [alone("kill-%s" % daemon.replace("pacemaker-", ""), goes_on, Step(15, "kill", "active", (daemon,)))
            for daemon in ("corosync", "pacemakerd", "pacemaker-controld")]
    again = replace(UNTOUCHED, gap=4.0, left=None)
    return rows + [
        alone("kill-backend", replace(again, server=("active",)), Step(15, "backend", "active")),
        alone("kill-postmaster", replace(again, gap=10.0), Step(15, "postmaster", "active", ("KILL",)))]


def _long() -> List[Row]:
    """Stories of more than one fault."""
    kills = tuple(Step(25.0 * turn, "postmaster", "passive", ("KILL",)) for turn in range(3))
    rows = [
        Row("maintenance-kill-corosync-active",
            (Step(0, "hold", "passive"), Step(3, "kill", "active", ("corosync",)),
             Step(20, "start", "active", ("pacemaker",)), Step(45, "release", "passive")),
            replace(HEALTHY, dead=None)),
        Row("crash-three-passive", kills + (Step(60, "given", "passive"), Step(65, "retry", "passive")),
            replace(UNTOUCHED, server=("active",), left=None))]
    # The hub that was stopped and has followed since is the one to take over.
    for name, lose in (("power", (Step(10, "off", "passive"), Step(25, "on", "passive"))),
                       ("postmaster", (Step(10, "postmaster", "passive", ("KILL",)),))):
        rows.append(Row("rejoin-then-%s" % name, (Step(0, "kill", "active", ("corosync",)), Step(6, "whole", "active"),
                                                  *lose), Expect(overlap=0.5, role="same", moves=2, left=None)))
    for who, hubs in (("active", ("active",)), ("both", ("active", "passive"))):
        rows.append(Row("reference-unanswered-%s" % who, tuple(
            [Step(0, "refer", "client", ("client1",))] + [Step(2, "deaf", hub, ("client1",)) for hub in hubs]
            + [Step(27, "hear", hub, ("client1",)) for hub in hubs]),
            Expect(gap=15.0, overlap=0.5, lost=0, role="moves", ends=WHOLE) if who == "active"
            else replace(UNTOUCHED, server=("active", "passive"))))
    # The scripts have the database, however long they take; and while they have it the active hub's one crashes.
    packaged = Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE, rejoin=15.0, left=None)
    begins, ends = Step(0, "package", "passive"), Step(4, "packaged", "passive")
    rows += [Row("package-passive", (begins, ends), packaged),
             Row("package-passive-kill-postmaster", (begins, Step(3, "postmaster", "active", ("KILL",)), ends),
                 replace(packaged, gap=25.0, moves=1))]
    # A standby that cannot start for a while; the guard and people have pacemaker look again meanwhile.
    spoilt = (Step(0, "spoil", "passive"), Step(0, "postmaster", "passive", ("KILL",)))
    rows += [Row("spoilt-passive", (*spoilt, Step(80, "correct", "passive")), replace(packaged, rejoin=30.0)),
             Row("spoilt-passive-refresh", (*spoilt, Step(15, "interfere", "passive"), Step(
                 23, "correct", "passive")), replace(packaged, rejoin=150.0, deadline=150.0))]
    # A hub whose guard is gone is no hub that is away: its pacemaker takes over.
    rows.append(Row("guardless-kill-corosync-active", (
        Step(0, "halt", "passive", (GUARD,)), Step(10, "kill", "active", ("corosync",)),
        Step(40, "start", "passive", (GUARD,))), Expect(overlap=0.5, role="moves", left=None)))
    return rows


def _by_hand() -> List[Row]:
    rows = []
    for unit in ("pacemaker", "corosync"):
        for hub in ("active", "passive"):
            steps = (Step(0, "halt", hub, (unit,)), Step(15, "start", hub, ("pacemaker",)))
            rows.append(Row("systemctl-stop-%s-%s" % (unit, hub), steps,
                            Expect(gap=6.0, overlap=0.5, lost=0, role="moves", ends=WHOLE) if hub == "active"
                            else UNTOUCHED, guard=(unit, hub) == ("corosync", "active")))
    for hub in ("active", "passive"):
        rows.append(Row("kill-guard-%s" % hub, (Step(0, "killunit", hub, (GUARD,)),), UNTOUCHED))
    return rows


def _play(at: float, *options: str) -> Step:
    """A run of the upgrade's playbook that has no leave to restart anything."""
    return Step(at, "play", "client", options + ("-e", "hub_ha_allow_restart=false"))


def _addresses(*last: int) -> Tuple[str, ...]:
    """Options with these shared addresses."""
    return "-e", '{"hub_ha_virtual_ip": [%s]}' % ", ".join('"192.168.100.%d"' % one for one in last)


def _see(at: float, *facts: str) -> Step:
    return Step(at, "see", "active", facts)


def _plays() -> List[Row]:
    # A change of settings: no server restarts, no write fails, no session ends, the standby streams as is wanted then.
    few = Expect(gap=UNNOTICED, overlap=0.5, lost=0, role="same", moves=0, ends=WHOLE, restarts=0, failed=0,
                 away=UNNOTICED)
    one = "addresses=192.168.100.100"
    moved = ("parameters=", "conf=master_ip,primary_conninfo_opt,repuser", "usename=hub_ha_repl", "sslmode=verify-ca")
    return [
        Row("play-hubs-in-other-order", (Step(0, "play", "client", ("before",)),
                                         Step(1, "play", "client", ("other-order",))), replace(few, changed=0)),
        Row("play-sslmode", (_play(0, "-e", "hub_ha_sslmode=verify-full"), _see(1, "sslmode=verify-full", "ssl=t"),
                             _play(2), _see(3, "sslmode=verify-ca", "ssl=t")), few),
        Row("play-user", (_play(0, "-e", "hub_ha_replication_user=lab_other"), _see(1, "usename=lab_other", "ssl=t"),
                          _play(2), _see(3, "usename=hub_ha_repl", "ssl=t")), few),
        # an additional one, another one in its place, and back; the writer's is the one that stays
        Row("play-address", (_play(0, *_addresses(100, 101)), _see(1, one + ",192.168.100.101"),
                             _play(2, *_addresses(100, 102)), _see(3, one + ",192.168.100.102"),
                             _play(4), _see(5, one)), few),
        # check mode reads nothing through an address that is not there yet
        Row("play-check-address", (_play(0, "--check", *_addresses(103)), _see(1, one)), few),
        # A pair made before has them in the CIB, where a change of them restarts the databases.
        Row("play-old-parameters", (Step(0, "oldparams", "active"),
                                    _see(1, "parameters=master_ip,primary_conninfo_opt,repuser", "conf="),
                                    _play(2), _see(3, *moved)), few),
    ]


ROWS: Tuple[Row, ...] = tuple(_stalls() + _daemons() + _database() + _cables() + _power() + _by_hand() + _loads()
                              + _alone() + _long() + _plays())
BY_NAME: Dict[str, Row] = dict((row.name, row) for row in ROWS)


def select(text: Optional[str]) -> List[Row]:
    """The rows named in "a,b" (None: all; "guard": the small set; "stall-*": all that begin so), in the table's order.

    Raises LabError for a name that no row has.
    """
    if not text:
        return list(ROWS)
    chosen = set()
    for word in filter(None, text.replace(" ", "").split(",")):
        found = [row.name for row in ROWS if row.name == word or (word == "guard" and row.guard)
                 or (word.endswith("*") and row.name.startswith(word[:-1]))]
        if not found:
            raise LabError("There is no row %r. `python3 -m lab faults --list` shows all." % word)
        chosen.update(found)
    return [row for row in ROWS if row.name in chosen]


def order(rows: Sequence[Row], seed: int) -> List[Row]:
    """The rows in the order of a seed, those that break the pair last."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    return sorted(shuffled, key=lambda row: row.breaks)
