# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard decides: an observation in, actions out. No I/O, no clock of its own.

A hub whose cluster daemons are dead or stopped must not serve: nobody looks after its database any more, and the other
hub takes over without asking it. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple
from xml.etree import ElementTree

COROSYNC = "corosync"
PACEMAKERD = "pacemakerd"
CONTROLD = "pacemaker-controld"
SCHEDULERD = "pacemaker-schedulerd"
CHILDREN = ("pacemaker-based", CONTROLD, "pacemaker-attrd", "pacemaker-execd", "pacemaker-fenced", SCHEDULERD)
DAEMONS = (COROSYNC, PACEMAKERD) + CHILDREN

RUNNING, STOPPED, TRACED, GONE = "running", "stopped", "traced", "gone"
SILENT, REPLACED = "silent", "replaced"  # troubles of what runs
PRIMARY, STANDBY, NO_SERVER = "primary", "standby", "none"

# Action kinds.
LOOK, LOG, KILL = "look", "log", "kill"
STOP_POSTGRES, DROP_ADDRESSES, RESTART = "stop_postgres", "drop_addresses", "restart"

TRUE = ("true", "on", "yes", "y", "1")  # pacemaker's spellings of booleans (lib/common/strings.c, crm_str_to_boolean)
FALSE = ("false", "off", "no", "n", "0")


@dataclass(frozen=True)
class Limits:
    """How long something may be wrong before the guard acts.

    corosync does not come back by itself. systemd starts a killed pacemakerd again after 1 s, and that one takes its
    children over; pacemakerd starts a killed child at once. gap: of the guard's own loop, after which it begins to
    measure anew, once for each trouble. alone: how long the other hub must have been away before a fault. look: how
    long an answer about the units is waited for. settle: what daemons that were started have to be there in full.
    """

    corosync_gone: float = 0.4
    pacemakerd_gone: float = 1.9
    child_gone: float = 1.5
    daemon_stopped: float = 1.0
    child_stopped: float = 2.0
    silent: float = 3.5
    gap: float = 1.0
    alone: float = 5.0
    look: float = 1.0
    settle: float = 15.0
    backoff: Tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)


def silent_limit(token_ms: int) -> float:
    """How long corosync may deliver nothing before it counts as not working.

    While the membership changes nothing is delivered: a token, a consensus (half a token, role cluster) and the
    synchronisation. Two seconds more, or a lost cable would be taken for a broken corosync.
    """
    return 1.5 * token_ms / 1000.0 + 2.0


@dataclass(frozen=True)
class Unit:
    """A unit as `systemctl show` tells of it: ActiveState, Result, ExecMainStatus."""

    active: str
    result: str
    status: int

    @property
    def ended(self) -> bool:
        """Stopped as somebody wanted: it ended by itself with success after being asked to."""
        return self.active == "inactive" and self.result == "success" and self.status == 0


@dataclass(frozen=True)
class Look:
    """What was asked for because something looked wrong.

    began: when the look began (monotonic). units: {"corosync", "pacemaker": Unit}, None when systemd did not answer.
    idle: why the CIB on disk forbids to act, None when it does not.
    """

    began: float
    units: Optional[Mapping[str, Unit]]
    idle: Optional[str]


@dataclass(frozen=True)
class Observation:
    """One look at the hub.

    now: monotonic clock. daemons: a state for each of DAEMONS. silent: since corosync has last brought the guard's own
    message back; None when it never has in this life of corosync. postgres: PRIMARY, STANDBY or NO_SERVER.
    peer_absent_since: when the other hub was first missed in the membership, None while it is there or is not known
    about; stays as it was when corosync goes. look: the newest answer. restart: "", "running", "done" or "failed".
    controller: process id of pacemaker-controld. peer_here: the other hub is in the membership, and a pacemaker on it.
    """

    now: float
    daemons: Mapping[str, str]
    silent: Optional[float] = None
    postgres: str = NO_SERVER
    peer_absent_since: Optional[float] = None
    look: Optional[Look] = None
    restart: str = ""
    controller: int = 0
    peer_here: bool = False

    @property
    def gives_way(self) -> bool:
        """Whether the other hub takes over as soon as this one's controller ends, however short."""
        return self.postgres == PRIMARY and self.peer_here


@dataclass(frozen=True)
class Action:
    """kind: see above. reason: for the log. names: daemons to kill. corosync: restart it too. alone: see Limits. wait:
    see restart(). meets: the hubs have just met, see hold.py.
    """

    kind: str
    reason: str = ""
    names: Tuple[str, ...] = ()
    corosync: bool = False
    alone: bool = False
    wait: bool = False
    meets: bool = False


@dataclass
class Guard:
    """The state machine. armed: pacemaker has been seen running, so what runs on this hub is its business."""

    limits: Limits = field(default_factory=Limits)
    armed: bool = False
    phase: str = "watch"  # or "recover": the daemons are being started again
    reason: str = ""
    expected: Set[str] = field(default_factory=set)
    since: Dict[Tuple[str, str], float] = field(default_factory=dict)
    forgiven: Dict[Tuple[str, str], float] = field(default_factory=dict)  # since when, before a late turn was forgiven
    late: bool = False  # the last turn was
    killed: Dict[str, float] = field(default_factory=dict)
    last: Optional[float] = None
    resumed: float = 0.0
    tries: int = 0
    next_try: float = 0.0
    waits: bool = False  # for the end of a restart
    alone: bool = False
    began: float = 0.0
    noted: str = ""
    controller: int = 0
    replaced: bool = False  # the controller is another one than before, and that has not been judged yet

    def __post_init__(self) -> None:
        if self.armed:  # by the guard that was here before: what was there then is to be there
            self.expected.update(DAEMONS)

    def step(self, seen: Observation) -> List[Action]:
        """What is to be done now, in this order."""
        before, self.last = self.last, seen.now
        if before is None:
            before = self.resumed = seen.now
        gap, was_late = seen.now - before, self.late
        self.late = gap > self.limits.gap
        if seen.daemons.get(PACEMAKERD) == RUNNING:
            self.armed = True
        self.expected.update(name for name in DAEMONS if seen.daemons.get(name) in (RUNNING, TRACED))
        told = []
        if self.late and not was_late:
            told.append(Action(LOG, "stood still for %.1f s; measuring begins anew" % gap))
        if self.phase == "recover":
            if self.late and before < self.next_try < seen.now:
                self.next_try = seen.now  # so that somebody is asked before the next try
            return told + self.recover(seen)
        if self.late and not self.measure_anew(seen, gap):
            return told + ([Action(LOOK)] if self.troubles(seen) else [])
        return told + self.watch(seen)

    def measure_anew(self, seen: Observation, gap: float) -> bool:
        """A late turn: this process, or the whole machine, stood still, and what was measured before says nothing.

        That is forgiven once for each trouble: of a loop whose turns are all late, nothing else could ever be too long.
        True when there is a trouble that was forgiven before and still is there; its time counts from its beginning.
        """
        if seen.silent is None or seen.now - seen.silent > self.resumed:
            self.resumed = seen.now
        else:  # nothing was brought since the last late turn: this one counts as the longest that is not late
            self.resumed += gap - self.limits.gap
        now, found = set(self.wrong(seen)), False
        for key in list(self.since):
            if key in self.forgiven:
                self.since[key] = self.forgiven[key]
                found = found or key in now
            else:
                self.forgiven[key], self.since[key] = self.since[key], seen.now
        return found

    def note(self, text: str) -> List[Action]:
        """The same text is logged once."""
        if text == self.noted:
            return []
        self.noted = text
        return [Action(LOG, text)]

    def forget_times(self) -> None:
        """Whatever is wrong is wrong from now on."""
        self.since.clear()
        self.forgiven.clear()

    def wrong(self, seen: Observation) -> List[Tuple[str, str]]:
        """[(daemon, state)] of everything that is wrong now."""
        now = [(name, seen.daemons.get(name, GONE)) for name in DAEMONS
               if name in self.expected and seen.daemons.get(name, GONE) in (STOPPED, GONE)]
        if seen.daemons.get(COROSYNC) == RUNNING and seen.silent is not None \
                and min(seen.silent, seen.now - self.resumed) > self.limits.silent:
            now.append((COROSYNC, SILENT))
        if seen.daemons.get(CONTROLD) == RUNNING and seen.controller not in (0, self.controller):
            # Only what was given away then counts: a hub that becomes the primary later has not lost anything.
            self.replaced = bool(self.controller) and seen.gives_way
            self.controller = seen.controller
        self.replaced = self.replaced and seen.gives_way
        if self.replaced:
            now.append((CONTROLD, REPLACED))
        return now

    def troubles(self, seen: Observation) -> Dict[Tuple[str, str], float]:
        """{(daemon, state): since when} of everything that is wrong now."""
        self.since = dict((key, self.since.get(key, seen.now)) for key in self.wrong(seen))
        self.forgiven = dict((key, since) for key, since in self.forgiven.items() if key in self.since)
        return self.since

    def limit(self, name: str, state: str, gives_way: bool) -> float:
        """How long that may last.

        A controller that ends is a hub that is lost, for the other hub's pacemaker: it forgets what runs here and takes
        over, even if the next controller is there at once. So the hub stops at once, not when it is told to.
        """
        if state in (SILENT, REPLACED) or (name, state, gives_way) == (CONTROLD, GONE, True):
            return 0.0
        if state == STOPPED:
            return self.limits.child_stopped if name in CHILDREN else self.limits.daemon_stopped
        if name == COROSYNC:
            return self.limits.corosync_gone
        return self.limits.pacemakerd_gone if name == PACEMAKERD else self.limits.child_gone

    def watch(self, seen: Observation) -> List[Action]:
        """While all is well, or not known to be otherwise."""
        troubles = self.troubles(seen)
        if not troubles:
            self.killed.clear()
            self.noted = ""
            return []
        actions = [Action(LOOK)]
        overdue = [(name, state) for (name, state), since in troubles.items()
                   if seen.now - since >= self.limit(name, state, seen.gives_way)]
        mild = [name for name, state in overdue if state == STOPPED and name in CHILDREN and name not in self.killed
                and not (name == CONTROLD and seen.gives_way)]
        if overdue and len(mild) == len(overdue):
            look = self.answer(seen, min(troubles.values()))
            if look is not None and look.idle is None:
                for name in mild:
                    self.killed[name] = seen.now
                    self.since.pop((name, STOPPED), None)
                    self.forgiven.pop((name, STOPPED), None)
                actions.append(Action(KILL, "%s is stopped; pacemakerd starts it anew" % ", ".join(mild), tuple(mild)))
            return actions
        if not overdue:
            return actions
        return actions + self.judge(seen, overdue, min(troubles.values()))

    def answer(self, seen: Observation, began: float) -> Optional[Look]:
        """A look that began after the trouble did; one that knows nothing when none has come in time."""
        if seen.look is not None and seen.look.began >= began:
            return seen.look
        if seen.now - began >= self.limits.look:
            return Look(seen.now, None, None)
        return None

    def judge(self, seen: Observation, overdue: List[Tuple[str, str]], began: float) -> List[Action]:
        """Something is wrong for too long: is it meant so, and if not, what has to be done?"""
        look = self.answer(seen, began)
        if look is None:
            return []
        what = ", ".join("%s is %s" % item for item in overdue)
        self.replaced = False
        if not self.armed:
            return self.note("%s; pacemaker has not run since the guard was started: nothing is done" % what)
        if look.idle is not None:
            return self.note("%s; nothing is done: %s" % (what, look.idle))
        planned = self.planned(look, [name for name, dummy in overdue])
        if planned == "ending":
            return self.note("%s; it is being stopped by systemd: nothing is done" % what)
        if planned == "ended":
            self.rest()
            if seen.postgres == PRIMARY:
                return [Action(STOP_POSTGRES, "pacemaker was stopped and has left a primary running"),
                        Action(DROP_ADDRESSES)]
            return self.note("%s; stopped by systemd: nothing is done" % what)
        # Only a primary's daemons get a quorum by themselves: a hub that serves nothing has not shown that it may.
        self.alone = (seen.postgres == PRIMARY and seen.peer_absent_since is not None
                      and began - seen.peer_absent_since >= self.limits.alone)
        return self.fail_stop(seen, what, COROSYNC in [name for name, dummy in overdue])

    @staticmethod
    def planned(look: Look, names: List[str]) -> str:
        """"ending" or "ended" when somebody stops or has stopped the daemons through systemd, "" when not."""
        if look.units is None or "pacemaker" not in look.units:
            return ""
        pacemaker, corosync = look.units["pacemaker"], look.units.get("corosync")
        if pacemaker.active == "deactivating":
            return "ending"
        if not pacemaker.ended:
            return ""
        if COROSYNC in names and corosync is not None:
            if corosync.active == "deactivating":
                return "ending"
            return "ended" if corosync.ended else ""
        return "ended"

    def rest(self) -> None:
        """Nothing is expected to run until pacemaker is seen again."""
        self.armed = False
        self.expected.clear()
        self.forget_times()
        self.killed.clear()
        self.phase = "watch"
        self.controller, self.replaced = 0, False

    def fail_stop(self, seen: Observation, reason: str, corosync: bool, meets: bool = False) -> List[Action]:
        """First the hub stops serving, then its daemons are started again."""
        self.phase, self.reason, self.tries, self.began = "recover", reason, 0, seen.now
        found = []
        if self.alone:
            found.append(Action(LOG, "%s; the other hub was away before: the database goes on" % reason))
        else:
            if seen.postgres == PRIMARY:
                found.append(Action(STOP_POSTGRES, reason))
            found.append(Action(DROP_ADDRESSES, reason))
        return found + self.restart(corosync, not self.alone and seen.postgres == PRIMARY, meets)

    def lost(self, seen: Observation, reason: str) -> List[Action]:
        """The other hub is a primary too, and it is the one to go on: this one stops, and joins again."""
        self.alone = False
        return self.fail_stop(seen, reason, corosync=False, meets=True)

    def restart(self, corosync: bool, wait: bool = False, meets: bool = False) -> List[Action]:
        """wait: the other hub is about to take over, and pacemaker here comes after that."""
        self.tries += 1
        self.waits = True
        self.forget_times()
        self.killed.clear()
        return [Action(RESTART, self.reason, corosync=corosync, alone=self.alone, wait=wait, meets=meets)]

    def recover(self, seen: Observation) -> List[Action]:
        """Until every daemon is there again."""
        if self.waits:
            if seen.restart == "running":
                return []
            self.waits = False
            wait = self.limits.backoff[min(self.tries, len(self.limits.backoff)) - 1]
            self.next_try = seen.now + (wait if seen.restart == "failed" else self.limits.settle + wait)
            return []
        down = [name for name in DAEMONS if seen.daemons.get(name) not in (RUNNING, TRACED)]
        if not down and seen.silent is not None and seen.silent < self.limits.silent:
            took = seen.now - self.began
            self.phase, self.noted = "watch", ""
            self.controller, self.replaced = seen.controller, False
            self.forget_times()
            self.resumed = seen.now
            return [Action(LOG, "the cluster's daemons are back %.1f s after the guard has stopped them" % took)]
        if seen.now < self.next_try:
            return []
        look = seen.look if seen.look is not None and seen.look.began >= self.next_try else None
        if look is None and seen.now - self.next_try < self.limits.look:
            return [Action(LOOK)]
        if look is not None and self.planned(look, [COROSYNC]):
            self.rest()
            return [Action(LOG, "the cluster was stopped by systemd: it is left so")]
        found = [Action(LOG, "not back yet: %s; try %d" % (", ".join(down) or "corosync delivers nothing",
                                                           self.tries + 1))]
        if seen.postgres == PRIMARY and not self.alone and (look is None or look.idle is None):
            found.append(Action(STOP_POSTGRES, self.reason))
            found.append(Action(DROP_ADDRESSES, self.reason))
        return found + self.restart(COROSYNC in down or not down)


def nvpairs(parent: Any) -> Dict[str, str]:
    """{name: value} of every nvpair below an element; None counts as an empty element."""
    found = [] if parent is None else parent.iter("nvpair")
    return dict((item.get("name", ""), item.get("value", "")) for item in found)


def is_true(value: Optional[str]) -> bool:
    """As pacemaker reads a boolean."""
    return (value or "").strip().lower() in TRUE


def is_false(value: Optional[str]) -> bool:
    """As pacemaker reads a boolean."""
    return (value or "").strip().lower() in FALSE


def idle_reason(text: Optional[str], node: str) -> Optional[str]:
    """Why the guard must not act, by the CIB on disk; None when it may.

    text: of cib.xml, None when there is no such file. Nobody who holds it in memory answers when this is asked.
    """
    if text is None:
        return "there is no CIB: this hub is no part of a cluster"
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None  # pacemaker replaces the file by rename; what cannot be read gives no leave to serve
    if is_true(nvpairs(root.find("configuration/crm_config")).get("maintenance-mode")):
        return "the cluster is in maintenance mode"
    for item in root.iterfind("configuration/nodes/node"):
        if (item.get("uname") or "").lower() == node.lower() and is_true(nvpairs(
                item.find("instance_attributes")).get("maintenance")):
            return "this hub is in maintenance"
    defaults = nvpairs(root.find("configuration/rsc_defaults"))
    primitive, parents = find_resource(root.find("configuration/resources"), "cfpgsql")
    if primitive is None:
        return "cfpgsql is not in the CIB: the database is not pacemaker's"
    meta = dict(defaults)
    for item in parents + [primitive]:
        for attributes in item.findall("meta_attributes"):
            meta.update(nvpairs(attributes))
    if is_false(meta.get("is-managed")) or is_true(meta.get("maintenance")):
        return "cfpgsql is not managed"
    return None


def find_resource(parent: Any, name: str) -> Tuple[Any, List[Any]]:
    """(element, its parents from the outside) of a primitive; (None, []) when there is none."""
    for item in [] if parent is None else list(parent):
        if item.tag == "primitive" and item.get("id") == name:
            return item, []
        if item.tag in ("clone", "master", "group"):
            found, between = find_resource(item, name)
            if found is not None:
                return found, [item] + between
    return None, []
