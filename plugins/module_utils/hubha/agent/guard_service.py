# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard as a service: one thread watches and acts, others do what may block (corosync, disk, programs)."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import threading
import time
import traceback
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from ..core import say
from ..pair import model
from ..pg.evidence import Winner
from . import (
    announce,
    attributes as tell,
    belief,
    cpg,
    fork,
    guard as decide,
    guard_io as host,
    hold,
    join,
    score,
    successor,
)
from .guard_state import STATE, STOPPED
from .split import Split

PERIOD = 0.2      # seconds between two looks
HEARTBEAT = 0.5   # seconds between two messages to the own group
NO_PRIMARY = 5.0  # seconds without a primary until a standby asks whether it is barred wrongly
STREAMS_NOT = 20.0  # seconds without a walreceiver until a standby beside a primary is looked at
GROUP = "hub_ha"
# The groups of pacemaker's daemons tell which nodes are there without their guards. Pacemaker counts the byte that ends the
# name (pcmk_cpg_connect); without it corosync knows no such group and calls everybody absent.
PACEMAKER_GROUPS = ("crmd\0", "attrd\0", "cib\0")
PEER_TIME = 12.0  # seconds that pacemaker is held back at most, for the other hub to take over
PEER_ABSENT = 5.0  # seconds after which a hub that is not heard of is not waited for
CLAIM_TIME = 10.0  # seconds that a busy primary beside another one has to say what it has taken
CLAIM_PAUSE = 0.5  # seconds between two questions
ANNOUNCE, EACH = 10.0, 1.0  # seconds for which a hub that goes on announces its addresses, and how often
SETTLED = 2.0     # seconds that the other hub has for the addresses, once it is the primary
STACK = 256 * 1024
CHANNEL_STACK = 4 * 1024 * 1024  # libcpg has a buffer of 1 MiB on the stack


def log(text: str, level: int = 5) -> None:
    """A line for the journal; level as in syslog: 3 error, 4 warning, 5 notice, 6 information."""
    say.err("<%d>%s" % (level, text))


def notify(text: str) -> None:
    """sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError:
        pass


def lock_memory() -> bool:
    """What is in memory stays there, so that no page has to come from a disk that hangs. mlockall(2)."""
    current, future, on_fault = 1, 2, 4
    try:
        return bool(ctypes.CDLL(None, use_errno=True).mlockall(current | future | on_fault) == 0)
    except (OSError, AttributeError):
        return False


def die(why: str) -> None:
    """End the process, whatever other threads do; systemd starts it anew, and it goes on where it was.

    A guard of which a part has ended sees what was true before, and would act on it for ever.
    """
    try:
        log("the guard ends, to be started anew: %s" % why, 3)
    finally:
        os._exit(1)


def guarded(target: Callable[..., Any], *arguments: Any) -> None:
    """Run it; the process ends with it when it fails."""
    try:
        target(*arguments)
    except BaseException:
        die(" | ".join(line.strip() for line in traceback.format_exc().splitlines()[-4:]))


def worker(target: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """A thread that does not keep the process alive, and does not fail alone. RuntimeError when there can be none."""
    thread = threading.Thread(target=guarded, args=(target,) + arguments, daemon=True)
    thread.start()
    return thread


def resources(pair: model.Pair) -> List[str]:
    """Ids of the pair's resources."""
    return [belief.DATABASE] + [item.id for item in pair.addresses]


def answer_of(argv: List[str]) -> Optional[str]:
    """What a program of pacemaker's says; None when it fails or says nothing in time."""
    done = host.run(argv, 10.0)
    return done.stdout if done is not None and done.returncode == 0 else None


class Channel:
    """This hub's end of the group, in a thread of its own.

    Read by other threads: brought (when the own message came back last, None: not in this life of corosync),
    peer_absent_since, peer_guard (True, False, None: not known), peer (its newest message).
    """

    def __init__(self, pair: model.Pair, server: host.Server, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep, planning: Callable[[bool], None] = lambda wanted: None) -> None:
        self.pair, self.server, self.clock, self.sleep, self.hold = pair, server, clock, sleep, planning
        self.meeting = hold.Meeting()
        self.peer_pacemaker = False
        self.brought: Optional[float] = None
        self.connected = False
        self.peer_absent_since: Optional[float] = None
        self.peer_guard: Optional[bool] = None
        self.peer: Dict[str, Any] = {}
        self.peer_heard: Optional[float] = None  # when its newest message came
        self.split = Split(pair.node)
        self.recovers = False  # whether this hub's daemons are being started again
        self.clients: Optional[bool] = None  # whether the last look at this hub's own link was good
        self.word = tell.Word()
        self.verdict: Optional[Winner] = None
        self.role = decide.NO_SERVER
        self.claim: Optional[Dict[str, Any]] = None
        self.asked = 0   # number of the newest question
        self.asking = 0  # number of the one that is not answered yet, 0: none
        self.both_since: Optional[float] = None  # when both hubs were first seen as primaries
        self.ask_next = 0.0
        self.epoch = 0   # number of changes of the membership
        self.nodeid = 0
        self.ending = False
        self.ended = threading.Event()
        self.seen = False  # whether the membership has ever been looked at, and this hub's own pacemaker was in it

    def run(self) -> None:
        """Until the guard ends."""
        lib, told = None, ""
        while True:
            group = None
            try:
                lib = lib or cpg.library()
                group = cpg.Group(lib, GROUP, self.delivered, self.changed)
                self.nodeid, self.connected, told = group.nodeid, True, ""
                self.converse(group)
            except cpg.CpgError as error:
                if str(error) != told:
                    told = str(error)
                    log("no connection to corosync: %s" % error, 6)
            finally:
                self.connected, self.brought = False, None
                # What was heard is old when corosync is there again.
                self.peer, self.peer_guard, self.peer_heard = {}, None, None
                self.meeting = hold.Meeting()
                self.hold(False)
                self.word.forget()
            if group is not None:
                group.close(leave=self.ending)
            if self.ending:
                self.ended.set()
                return
            time.sleep(0.2)

    def converse(self, group: cpg.Group) -> None:
        """Until the connection ends, or the guard does: then the group is left, and the other hub's guard knows why."""
        sent = asked = 0.0
        told: Tuple[Any, ...] = ()
        while not self.ending:
            now = self.clock()
            self.hold_planning()
            claim = self.own_claim()
            clients, recovers = self.clients, self.recovers
            state = (self.epoch, self.role, claim, clients, recovers)
            if now - sent >= HEARTBEAT or state != told:
                message = {"v": 1, "node": self.pair.node, "role": self.role, "claim": claim, "clients": clients,
                           "recovers": recovers}
                if group.send(json.dumps(message).encode()):
                    sent, told = now, state
            meets = self.meeting.since is not None
            if now - asked >= (0.1 if meets else 1.0):
                asked = now
                self.presence(group.members(PACEMAKER_GROUPS))
            group.wait(0.05 if meets or self.asking and self.claim is None else HEARTBEAT / 2)

    def hold_planning(self) -> None:
        """Pacemaker's scheduler stands still while two primaries meet, see hold.py."""
        self.hold(self.meeting.holds(self.clock(), self.role, self.peer.get("role"), self.peer_pacemaker))

    def own_claim(self) -> Optional[Dict[str, Any]]:
        """What this hub's database has, once both hubs say that they are primaries; asked anew each time they do."""
        both = self.role == decide.PRIMARY and self.peer.get("role") == decide.PRIMARY
        now = self.clock()
        if not both:
            self.claim, self.asking, self.both_since, self.ask_next = None, 0, None, 0.0
            return None
        self.both_since = now if self.both_since is None else self.both_since
        if self.asking == 0 and now >= self.ask_next and (self.claim is None or self.claim["next_xid"] is None):
            self.asking = self.asked = self.asked + 1
            try:
                worker(self.ask, self.asked)
            except RuntimeError as error:
                self.asking, self.ask_next = 0, now + CLAIM_PAUSE
                log("the database cannot be asked what it has taken: %s" % error, 3)
                if now - self.both_since >= CLAIM_TIME:
                    self.claim = {"timeline": None, "next_xid": None}
        return self.claim

    def ask(self, number: int) -> None:
        """A thread: ask the own database. One that is gone is no primary, and claims nothing.

        A busy one may not answer at once, and it is the one that has taken most: until it has had CLAIM_TIME nothing is
        claimed, so nobody decides. Then it is not known what it has, and it is asked on all the same.
        """
        since = self.both_since
        since = self.clock() if since is None else since
        while number == self.asking:
            found = self.server.claim()
            if found is None:
                role = self.server.role()
                if role == decide.PRIMARY:
                    if self.clock() - since < CLAIM_TIME:
                        self.sleep(CLAIM_PAUSE)
                        continue
                    found = {"timeline": None, "next_xid": None}
                elif number == self.asking:
                    self.role = role
            if number == self.asking:
                self.ask_next = self.clock() + 4 * CLAIM_PAUSE
                self.claim, self.asking = found, 0

    @property
    def peer_here(self) -> bool:
        """Whether the other hub is known to be in the membership now."""
        return self.connected and self.seen and self.peer_absent_since is None

    def presence(self, members: Optional[cpg.Members]) -> None:
        """Whether the other hub is there, by its pacemaker or its guard. members: of pacemaker's groups.

        Groups in which this hub's own pacemaker has never been are none that tell of the other one.
        """
        if members is None:
            return
        self.seen = self.seen or any(nodeid == self.nodeid for nodeid, dummy in members)
        self.peer_pacemaker = any(nodeid != self.nodeid for nodeid, dummy in members)
        if self.peer_guard or self.peer_pacemaker:
            self.peer_absent_since = None
        elif self.seen and self.peer_absent_since is None:
            self.peer_absent_since = self.clock()

    def delivered(self, nodeid: int, data: bytes) -> None:
        """A message of either hub."""
        if nodeid == self.nodeid:
            self.brought = self.clock()
        try:
            message = json.loads(data.decode())
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if nodeid != self.nodeid:
            self.peer, self.peer_heard = message, self.clock()
            self.word.hear(self.clock(), message.get("clients"))
            self.hold_planning()
        found = self.split.heard(message)
        if found is not None:
            self.verdict = found

    def changed(self, members: cpg.Members, left: List[Tuple[int, int, int]], joined: cpg.Members) -> None:
        """The group's membership has changed."""
        others = [item for item in members if item[0] != self.nodeid]
        for nodeid, dummy, reason in left:
            if nodeid != self.nodeid:
                log("the guard of %s is gone: %s" % (self.pair.peer, {
                    cpg.NODEDOWN: "the hub has left the cluster", cpg.PROCDOWN: "it has died",
                    cpg.LEAVE: "it was stopped"}.get(reason, "reason %d" % reason)), 4)
                self.peer, self.peer_heard = {}, None
                self.word.forget()
        if [item for item in joined if item[0] != self.nodeid]:
            log("the guard of %s is there" % self.pair.peer, 6)
            self.meeting.begins(self.clock())
            self.peer_pacemaker = True  # until it is seen that it is not
            self.hold_planning()
        self.peer_guard = bool(others)
        if others:
            self.peer_absent_since = None
        self.split.changed()
        self.verdict = None
        self.claim, self.asking, self.both_since, self.ask_next = None, 0, None, 0.0
        self.epoch += 1


class Service:
    """All threads, and the loop."""

    def __init__(self, pair: model.Pair, version: str) -> None:
        self.pair, self.version = pair, version
        processes = host.Processes()
        self.daemons = host.Daemons(processes)
        self.server = host.Server(pair, processes)
        self.channel = Channel(pair, self.server, planning=self.hold_planning)
        limits = decide.Limits(silent=decide.silent_limit(pair.token_ms))
        self.guard = decide.Guard(limits, armed=self.was_armed())
        self.looked: Optional[decide.Look] = None
        self.looking: Optional[threading.Thread] = None
        self.restarting = ""
        self.held = False  # whether an address that was to be taken off may still be here
        self.dropping: Optional[threading.Thread] = None
        self.done: List[Dict[str, Any]] = []
        self.ending = False
        self.written: Tuple[Any, ...] = ()
        self.attributes = tell.Attributes()
        self.attributes.want(pair.node, tell.GUARD, "running")
        self.guardless = 0.0
        self.goes_on = ""
        self.refresh = tell.Refresh()
        self.announce_until = self.announced = 0.0

    @staticmethod
    def was_armed() -> bool:
        """What a guard of this boot has left behind; /run does not survive one."""
        try:
            with open(STATE, encoding="utf-8") as stream:
                return bool(json.load(stream).get("armed"))
        except (OSError, ValueError, AttributeError):
            return False

    def watch_server(self) -> None:
        """What runs of PostgreSQL; a thread, because it reads the disk."""
        while True:
            self.channel.role = self.server.role()
            time.sleep(0.5)

    def look_now(self) -> None:
        """A thread: what systemd and the CIB say."""
        self.looked = host.look(self.pair, time.monotonic())

    def restart(self, action: decide.Action) -> None:
        """A thread: the daemons again."""
        if action.meets:
            self.wait_for_join()
        good = host.start_daemons(self.daemons, action.corosync, action.alone, lambda text: log(text, 3),
                                  self.wait_for_peer if action.wait else lambda: None, resources(self.pair))
        self.restarting = "done" if good else "failed"

    def hold_planning(self, wanted: bool) -> None:
        """Of the channel's thread: pacemaker's scheduler stands still, or goes on."""
        if wanted != self.daemons.holds(decide.SCHEDULERD) and self.daemons.hold(decide.SCHEDULERD, wanted):
            log("pacemaker's scheduler %s" % (
                "stands still: the other hub has come" if wanted else "goes on"), 6)

    def wait_for_join(self) -> None:
        """Until this hub's pacemaker has joined the other one's; PostgreSQL is down by now."""
        began = time.monotonic()
        while time.monotonic() - began < hold.JOIN:
            done = host.run(hold.CIB_COMMAND, 1.0)
            if done is not None and hold.joined(done.stdout, (self.pair.node, self.pair.peer)):
                return
            time.sleep(0.1)

    def wait_for_peer(self) -> None:
        """Until the other hub serves: a pacemaker that joins before that makes it plan anew, and people wait longer."""
        began = time.monotonic()
        serves: Optional[float] = None
        while time.monotonic() - began < PEER_TIME:
            now = time.monotonic()
            if self.channel.peer.get("recovers"):
                return  # it does the same, and waits for this one
            if self.channel.peer.get("role") == decide.PRIMARY:
                serves = now if serves is None else serves
                if now - serves >= SETTLED:
                    return
            elif self.channel.connected and not self.channel.peer and now - began > PEER_ABSENT:
                return  # there is nobody to wait for
            time.sleep(0.1)

    def perform(self, action: decide.Action) -> None:
        """One action of the state machine."""
        if action.kind == decide.LOOK:
            if (self.looking is None or not self.looking.is_alive()) and (
                    self.looked is None or time.monotonic() - self.looked.began > 0.3):
                try:
                    self.looking = worker(self.look_now)
                except RuntimeError as error:  # nobody is asked then, and the guard judges without an answer
                    log("systemd cannot be asked: %s" % error, 3)
            return
        text = action.reason
        if action.kind == decide.STOP_POSTGRES:
            self.note_stop()  # before: who finds the server gone must know why
            text = "%s: %s" % (action.reason, self.server.stop())
            self.channel.role = self.server.role()  # the other hub waits to hear it
        elif action.kind == decide.DROP_ADDRESSES:
            dropped = host.drop_addresses(self.pair)
            self.held, text = dropped.left != (), dropped.text
        elif action.kind == decide.KILL:
            self.daemons.kill(action.names)
            self.daemons.end_agents(resources(self.pair))
        elif action.kind == decide.RESTART:
            text = "%s: %s again" % (action.reason, "corosync and pacemaker" if action.corosync else "pacemaker")
            self.restarting = "running"
            try:
                worker(self.restart, action)
            except RuntimeError as error:
                self.restarting, text = "failed", "%s: not possible now: %s" % (text, error)
        log(text, 6 if action.kind == decide.LOG else 4)
        self.done = (self.done + [{"time": time.time(), "action": action.kind, "text": text}])[-20:]

    def may_drop(self) -> bool:
        """Whether addresses here are nobody's: as soon as a pacemaker runs again they are its business."""
        return self.guard.phase == "recover" and self.daemons.read()[decide.PACEMAKERD] != decide.RUNNING

    def drop_again(self) -> None:
        """A thread: an address that could not be taken off, or may be here, is tried again."""
        dropped = host.drop_addresses(self.pair, self.may_drop)
        if dropped.left == () or dropped.taken:
            log(dropped.text, 4)
        self.held = dropped.left != ()

    def watch_addresses(self) -> None:
        """Once more in each turn, while it may be here and the daemons are not back; never two at a time."""
        if self.guard.phase != "recover":
            self.held = False
        if self.held and self.may_drop() and (self.dropping is None or not self.dropping.is_alive()):
            try:
                self.dropping = worker(self.drop_again)
            except RuntimeError:
                pass  # in the next turn

    def announce(self) -> None:
        """A thread: neighbours learn that the shared addresses are here; the other hub was the last to say so."""
        here = host.shared_here(self.pair)
        sent = announce.send(here or [])
        if sent:
            log("announced: %s" % ", ".join(sent), 6)

    def watch_announcements(self, now: float) -> None:
        """While the other hub stops, and some seconds more."""
        if now < self.announce_until and now - self.announced >= EACH and self.channel.role == decide.PRIMARY:
            self.announced = now
            try:
                worker(self.announce)
            except RuntimeError:
                pass  # in the next turn

    @staticmethod
    def note_stop() -> None:
        """For may-start: what looks like a crash of PostgreSQL was none. Without the note it counts as one."""
        try:
            with open(STOPPED, "w", encoding="ascii") as stream:
                stream.write("%d\n" % time.time())
        except OSError:
            pass

    def observe(self) -> decide.Observation:
        """One look."""
        now = time.monotonic()
        brought = self.channel.brought
        return decide.Observation(
            now, self.daemons.states(now), None if brought is None else now - brought, self.channel.role,
            self.channel.peer_absent_since, self.looked, self.restarting, self.daemons.pid(decide.CONTROLD),
            self.channel.peer_here)

    def turn(self) -> None:
        """One turn of the loop."""
        seen = self.observe()
        for action in self.guard.step(seen):
            self.perform(action)
        self.channel.recovers = self.guard.phase == "recover"
        if self.channel.peer.get("role") != decide.PRIMARY:
            self.goes_on = ""
        verdict = self.channel.verdict
        if verdict is not None and self.guard.phase == "watch":
            self.channel.verdict = None
            self.judge(seen, verdict)
        self.watch_addresses()
        self.watch_announcements(seen.now)
        self.watch_guard(seen.now)
        self.write(seen)

    def judge(self, seen: decide.Observation, verdict: Winner) -> None:
        """Both hubs are primaries: the one that does not go on stops."""
        if self.server.role() != decide.PRIMARY:
            return
        if verdict.name == self.pair.node:
            self.announce_until = time.monotonic() + ANNOUNCE
            text = "two primaries: %s: this hub goes on" % verdict.why
            if text != self.goes_on:  # it is said in each message until the other one has stopped
                self.goes_on = text
                log(text, 4)
                try:
                    worker(self.win)
                except RuntimeError:
                    pass  # watch_score does most of it
            return
        idle = host.look(self.pair, seen.now).idle
        if idle is not None:
            log("two primaries: %s: this hub should stop; nothing is done: %s" % (verdict.why, idle), 3)
            return
        for action in self.guard.lost(seen, "two primaries: %s: this hub stops" % verdict.why):
            self.perform(action)
        # Pacemaker keeps its hands off the data until it is known what there is.
        self.attributes.want(self.pair.node, tell.FORKED, "stopped beside another primary, not looked at yet")

    def tell(self) -> None:
        """A thread: pacemaker is told what has changed."""
        while True:
            if self.refresh.due(time.monotonic(), self.daemons.pid(decide.CONTROLD), self.channel.epoch):
                host.run(tell.REFRESH_COMMAND, 5.0)
            for key, value in self.attributes.due(self.daemons.pid("pacemaker-attrd")):
                done = host.run(tell.command(key, value), 5.0)
                if done is not None and done.returncode == 0:
                    self.attributes.done(key, value)
                    log("attribute %s of %s: %s" % (key[1], key[0], "none" if value is None else value), 6)
            time.sleep(0.5)

    def watch_link(self) -> None:
        """A thread: can clients reach this hub? The other hub is told at once, and asked before the value falls."""
        damper, looked = tell.Damper(), 0.0
        names: List[str] = []
        while True:
            now = time.monotonic()
            if now - looked >= 30.0 or not looked:
                found = tell.interfaces_of(host.interfaces(), self.pair.client_addresses)
                names, looked = found or names, now
            began = time.monotonic()
            good = tell.reachable(names, self.pair.reference_addresses, tell.carrier, host.answers)
            self.channel.clients = good
            now = time.monotonic()
            value = damper.see(now, good, self.channel.word.stood(began, now))
            self.attributes.want(self.pair.node, tell.CLIENTS, "1" if value else "0")
            time.sleep(2.0 if self.pair.reference_addresses else 0.5)

    def watch_fork(self) -> None:
        """A thread: a server beside a primary that is stopped, or is a standby and streams from nobody, is looked at until
        it is known whether it may follow. PostgreSQL itself tries that for ever and says it in its log only.
        """
        known: Tuple[Any, ...] = ()
        checked, streamed, marked, told = 0.0, time.monotonic(), False, ""
        while True:
            time.sleep(0.5)
            role, peer, now = self.channel.role, self.channel.peer, time.monotonic()
            beside = peer.get("role") == decide.PRIMARY
            if role != decide.NO_SERVER:
                known = ()
                if role != decide.STANDBY or not beside:
                    streamed, marked = now, False
                elif now - checked >= 5.0:
                    checked = now
                    if self.server.streams():
                        streamed, marked = now, False
                if marked:
                    continue  # pacemaker stops it
                if now - streamed < STREAMS_NOT:
                    if self.guard.phase == "watch":
                        self.attributes.want(self.pair.node, tell.FORKED, None)
                    continue
                streamed = now
            state = (self.channel.epoch, self.server.written())
            if not beside or state == known or role == decide.NO_SERVER and now - checked < 3.0:
                continue
            found = fork.ask(self.pair)
            checked = time.monotonic()
            if found.why != told:
                told = found.why
                log("the data here %s: %s" % ("has forked" if found.text else "may follow" if found.known else
                                              "cannot be judged yet", found.why), 4 if found.text else 6)
            if found.known and self.server.role() == role:
                known = state if role == decide.NO_SERVER else ()
                marked = role == decide.STANDBY and found.text is not None
                self.attributes.want(self.pair.node, tell.FORKED, found.text)

    def watch_guard(self, now: float) -> None:
        """The other hub's guard is told to be gone when its hub is there without it."""
        if self.channel.peer_guard is False and self.channel.connected and self.channel.peer_absent_since is None:
            self.guardless = self.guardless or now
            if now - self.guardless >= 5.0:
                self.attributes.want(self.pair.peer, tell.GUARD, "gone")
        else:
            self.guardless = 0.0
            self.attributes.forget(self.pair.peer, tell.GUARD)

    def score_missing(self) -> Optional[str]:
        """What stands in the place of a primary's promotion score here; None where it is right, or nobody serves."""
        found = score.wrong(answer_of(score.query(self.pair)))
        return found if found is not None and self.server.ready() else None

    def keep_score(self, found: str) -> None:
        """This hub serves: its promotion score says so. found: what it was."""
        done = answer_of(score.command(self.pair))
        log("this hub serves, and %s was %s: %s" % (score.NAME, found, "it is %s" % score.PRIMARYS if done is not None
                                                    else "it could not be set"), 4)

    def win(self) -> None:
        """A thread: of two primaries this one goes on. What the other one has written of it is undone before pacemaker plans."""
        if host.idle(self.pair.node) is not None:
            return
        found = self.score_missing()
        if found is not None:
            self.keep_score(found)
        answer_of(successor.status_command(self.pair, successor.LATEST))

    def watch_score(self) -> None:
        """A thread: a primary's promotion score is one. The agent takes it away itself at the beginning of a demotion, so it
        is looked at twice.
        """
        since = looked = 0.0
        suspect = False
        while True:
            time.sleep(1.0)
            now = time.monotonic()
            if not (self.channel.role == decide.PRIMARY and self.channel.peer.get("role") != decide.PRIMARY
                    and self.guard.phase == "watch" and self.guard.armed):
                since, suspect = 0.0, False
                continue
            since = since or now
            if now - since < score.SERVED or now - looked < (score.AGAIN if suspect else score.EACH) \
                    or host.idle(self.pair.node) is not None:
                continue
            looked, found = now, self.score_missing()
            if found is not None and suspect:
                self.keep_score(found)
            suspect = found is not None and not suspect

    def watch_succession(self) -> None:
        """A thread: where nobody is the primary, the hub whose line goes on may be promoted."""
        since = 0.0
        while True:
            time.sleep(1.0)
            now = time.monotonic()
            if not (self.channel.role == decide.STANDBY and self.channel.peer.get("role") != decide.PRIMARY
                    and self.channel.connected and self.guard.phase == "watch" and self.guard.armed):
                since = 0.0
                continue
            since = since or now
            if now - since < NO_PRIMARY:
                continue
            since = now  # asked again after as long
            status = successor.barred(self.pair, answer_of)
            if status is not None:
                done = answer_of(successor.status_command(self.pair, successor.LATEST))
                log("nobody is the primary, %s has forked, and %s bars this hub (%s): it is %s" % (
                    self.pair.peer, successor.STATUS, status, "set to " + successor.LATEST if done is not None
                    else "not set, crm_attribute failed"), 4)

    def not_here(self) -> FrozenSet[str]:
        """Ids of the pair's resources that an active hub has and this one has not: its database, else its addresses."""
        if self.server.postmaster() is None:
            return frozenset([belief.DATABASE])
        here = host.shared_here(self.pair) if self.channel.role == decide.PRIMARY else None
        if here is None:
            return frozenset()
        return frozenset(item.id for item in self.pair.addresses if item.ip not in [found[0] for found in here])

    def watch_belief(self) -> None:
        """A thread: what pacemaker takes for running here and is not, it has to look at again."""
        missing = belief.Missing()
        while True:
            now = time.monotonic()
            due = missing.due(now, self.not_here())
            if due and self.guard.phase == "watch" and self.guard.armed:
                done = host.run(belief.SHOW, 10.0)
                taken = belief.believed(done.stdout if done is not None else None, self.pair.node)
                for name in sorted(missing.sure(now, due, taken)):
                    log("pacemaker takes %s for running here, and it has not been here for %d s: it is told to look"
                        % (name, now - missing.since[name]), 4)
                    done = host.run(belief.command(name, self.pair.node), 30.0)
                    if done is None or done.returncode != 0:
                        log("crm_resource --refresh of %s: %s" % (
                            name, "no answer in 30 s" if done is None else done.stderr.strip()), 3)
            time.sleep(5.0)

    def in_cluster(self) -> Optional[bool]:
        """Whether pacemaker here has joined the other hub's; None where that is not known, or where none has to.

        Only a hub that has joined plans for others: without one nobody keeps this hub waiting but the time that pacemaker
        has for finding a coordinator (dc-deadtime), and that would begin anew. Not in maintenance either.
        """
        if not (self.guard.phase == "watch" and self.guard.armed and self.channel.peer_here and self.channel.peer_pacemaker
                and self.channel.role != decide.PRIMARY):
            return None
        done = host.run(hold.CIB_COMMAND, 2.0)
        if done is None or done.returncode != 0 or not hold.joined(done.stdout, [self.pair.peer]) \
                or host.idle(self.pair.node) is not None:
            return None
        return hold.joined(done.stdout, [self.pair.node])

    def watch_join(self) -> None:
        """A thread: a hub that does not serve, and waits for a cluster that waits for it, joins it anew."""
        waiting = join.Waiting()
        while True:
            if waiting.due(time.monotonic(), self.in_cluster()):
                log("pacemaker has not joined that of %s for %d s: its controller is started anew" % (
                    self.pair.peer, join.STUCK), 4)
                self.daemons.kill([decide.CONTROLD])
            time.sleep(3.0)

    def write(self, seen: decide.Observation) -> None:
        """The state for `hub-ha status`, when it has changed or is two seconds old. Nothing depends on it."""
        key = (self.guard.phase, self.guard.armed, tuple(seen.daemons.items()), seen.postgres, self.channel.connected,
               self.channel.peer_guard, len(self.done), int(seen.now / 2))
        if key == self.written:
            return
        self.written, heard = key, self.channel.peer_heard
        try:
            with open(STATE + ".new", "w", encoding="utf-8") as stream:
                json.dump({
                    "schema": 1, "version": self.version, "node": self.pair.node, "time": time.time(),
                    "pid": os.getpid(),
                    "phase": self.guard.phase, "reason": self.guard.reason if self.guard.phase == "recover" else "",
                    "armed": self.guard.armed, "daemons": dict(seen.daemons), "postgres": seen.postgres,
                    "corosync": {"connected": self.channel.connected, "silent": seen.silent},
                    "peer": {"node": self.pair.peer, "guard": self.channel.peer_guard, "message": self.channel.peer,
                             "heard": None if heard is None else max(0.0, seen.now - heard),
                             "absent": None if seen.peer_absent_since is None else seen.now - seen.peer_absent_since},
                    "attributes": dict(("%s %s" % key, value) for key, value in self.attributes.now().items()),
                    "done": self.done}, stream)
            os.replace(STATE + ".new", STATE)
        except OSError:
            pass

    def end(self, *dummy: Any) -> None:
        """SIGTERM."""
        self.ending = True

    def run(self) -> int:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self.end)
        threading.stack_size(CHANNEL_STACK)
        threads = [worker(self.channel.run)]
        threading.stack_size(STACK)
        threads += [worker(item) for item in (
            self.watch_server, self.tell, self.watch_link, self.watch_fork, self.watch_belief, self.watch_succession,
            self.watch_score, self.watch_join)]
        locked = lock_memory()
        log("guard of %s, version %s%s" % (self.pair.node, self.version, "" if locked
                                           else "; memory could not be locked"), 6)
        notify("READY=1")
        pinged = 0.0
        while not self.ending:
            began = time.monotonic()
            if began - pinged >= 1.0:
                notify("WATCHDOG=1")
                pinged = began
            if not all(thread.is_alive() for thread in threads):
                die("a thread is gone")
            self.turn()
            time.sleep(max(0.02, PERIOD - (time.monotonic() - began)))
        notify("STOPPING=1")
        self.channel.ending = True
        self.channel.ended.wait(1.0)
        self.hold_planning(False)
        return 0


def main(argv: List[str], version: str) -> int:
    """`hub-ha guard`. Without a pair file there is nothing to guard, and it waits for one. Its threads end with it."""
    if argv:
        say.err("hub-ha guard takes no arguments")
        return 2
    threading.stack_size(STACK)
    pair = model.load()
    if pair is None:
        log("there is no %s: nothing to guard" % model.PATH)
        notify("READY=1")
        while pair is None:
            notify("WATCHDOG=1")
            time.sleep(2)
            pair = model.load()
    try:
        return Service(pair, version).run()
    except Exception:
        die(" | ".join(line.strip() for line in traceback.format_exc().splitlines()[-4:]))
        raise
