# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guards of two hubs on a corosync of the test's own: messages come to all in one order, as there."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import (
    cpg,
    guard,
    guard_io,
    guard_service,
    guard_state,
    hold,
    status,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import say
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model


class Database:
    """A server that answers with what it is told; None: it does not answer. busy: how often it does not before."""

    def __init__(self, answer, still=PRIMARY, busy=0):
        self.answer, self.still, self.busy = answer, still, busy

    def claim(self):
        self.busy -= 1
        return self.answer if self.busy < 0 else None

    def role(self):
        return self.still


def channel(node, role, answer=None, still=PRIMARY):
    pair = model.Pair(node, "hub2" if node == "hub1" else "hub1", "c", "/d", "/b", "u", 5432, None, "/h", "/t", "r",
                      "verify-ca", ("192.0.2.1",), ())
    now = [100.0]
    made = guard_service.Channel(pair, Database(answer, still), lambda: now[0],
                                 lambda seconds: now.__setitem__(0, now[0] + seconds))
    made.now = now
    made.role, made.nodeid = role, int(node[-1])
    return made


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Threads run to their end when they are started."""
    monkeypatch.setattr(guard_service, "worker", lambda target, *arguments: target(*arguments))


def meet(*channels):
    """All are members from now on."""
    members = [(item.nodeid, 1) for item in channels]
    for item in channels:
        item.changed(members, [], members)


def talk(channels, rounds=4):
    """Each says what it would send; all hear it in the same order."""
    for dummy in range(rounds):
        for item in channels:
            data = json.dumps({"v": 1, "node": item.pair.node, "role": item.role, "claim": item.own_claim()}).encode()
            for listener in channels:
                listener.delivered(item.nodeid, data)


def test_pacemaker_plans_nothing_from_the_meeting_until_one_is_left():
    pair = [channel("hub1", PRIMARY, {"timeline": 1, "next_xid": 900}),
            channel("hub2", PRIMARY, {"timeline": 2, "next_xid": 800})]
    held = [[], []]
    for item, told in zip(pair, held):
        item.hold = told.append
    meet(*pair)
    assert [told[-1] for told in held] == [True, True], "before anybody has said what it is"
    talk(pair)
    assert [item.verdict.name for item in pair] == ["hub1", "hub1"] and [told[-1] for told in held] == [True, True]
    pair[1].role = NO_SERVER
    talk(pair)
    assert [told[-1] for told in held] == [True, True], "the loser's pacemaker is still there, and may plan no more"
    pair[0].presence([(1, 5)])
    pair[0].hold_planning()
    assert [told[-1] for told in held] == [False, True]
    pair[1].now[0] += hold.LIMIT
    pair[1].hold_planning()
    assert held[1][-1] is False
    pair[1].role = PRIMARY
    talk(pair)
    assert [told[-1] for told in held] == [False, False], "once for each meeting"


@pytest.mark.parametrize("role, said, after, holds", [
    (PRIMARY, PRIMARY, 0.5, True), (PRIMARY, PRIMARY, 2.9, True), (PRIMARY, PRIMARY, 3.0, False),
    (PRIMARY, None, 0.9, True), (PRIMARY, None, 1.0, False), (PRIMARY, STANDBY, 0.0, False),
    (PRIMARY, NO_SERVER, 0.0, False), (STANDBY, PRIMARY, 0.0, False), (STANDBY, None, 0.0, False)])
def test_what_is_held_and_how_long(role, said, after, holds):
    meeting = hold.Meeting()
    assert not meeting.holds(99.0, role, said, True), "nobody has come"
    meeting.begins(100.0)
    assert meeting.holds(100.0 + after, role, said, True) is holds
    assert meeting.holds(100.0 + after, PRIMARY, PRIMARY, True) is holds, "what was let go is not held again"


@pytest.mark.parametrize("role, said, pacemaker, after, holds", [
    (PRIMARY, NO_SERVER, True, 1.0, True), (PRIMARY, NO_SERVER, True, 3.0, False),
    (PRIMARY, NO_SERVER, False, 1.0, False), (PRIMARY, None, True, 1.5, True), (PRIMARY, PRIMARY, False, 1.0, True),
    (NO_SERVER, PRIMARY, True, 2.9, True), (NO_SERVER, PRIMARY, True, 3.0, False)])
def test_two_primaries_are_held_until_the_losers_pacemaker_has_left(role, said, pacemaker, after, holds):
    meeting = hold.Meeting()
    meeting.begins(100.0)
    assert meeting.holds(100.0, PRIMARY, PRIMARY, True)
    assert meeting.holds(100.0 + after, role, said, pacemaker) is holds


@pytest.mark.parametrize("status, found", [
    (None, False), ("", False), ("<status", False), ("<status/>", False),
    ('<status><node_state uname="hub1" join="member"/><node_state uname="hub2" join="down"/></status>', False),
    ('<status><node_state uname="Hub1" join="member"/><node_state uname="hub2" join="member"/></status>', True),
    ('<status><node_state uname="hub1" join="member"/><node_state uname="hub3" join="member"/></status>', False)])
def test_both_have_joined(status, found):
    assert hold.joined(status, ("hub1", "hub2")) is found


@pytest.mark.parametrize("answers, waits", [(1, 0.0), (3, 0.2), (1000, hold.JOIN)])
def test_the_losers_pacemaker_joins_before_it_is_ended(monkeypatch, answers, waits):
    asked = []

    def cib(argv):
        asked.append(argv)
        return '<s><node_state uname="hub1" join="member"/><node_state uname="hub2" join="%s"/></s>' % (
            "member" if len(asked) >= answers else "down")
    monkeypatch.setattr(guard_io, "run", lambda argv, timeout: SimpleNamespace(stdout=cib(argv)))
    clock = [100.0]
    monkeypatch.setattr(guard_service.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(guard_service.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    done = []
    monkeypatch.setattr(guard_io, "start_daemons", lambda *arguments: done.append(len(asked)) or True)
    service = SimpleNamespace(pair=SimpleNamespace(node="hub1", peer="hub2", addresses=[]), daemons=None,
                              restarting="running")
    service.wait_for_join = lambda: guard_service.Service.wait_for_join(service)
    guard_service.Service.restart(service, guard.Action(guard.RESTART, meets=True))
    assert waits <= clock[0] - 99.999 < waits + 0.15 and done == [len(asked)] and service.restarting == "done"
    guard_service.Service.restart(service, guard.Action(guard.RESTART))
    assert done == [len(asked)] * 2


def test_a_conversation_that_ends_holds_nothing(monkeypatch):
    told = []

    class Group:
        nodeid = 1

        def __init__(self, *dummy):
            pass

        def close(self, leave):
            mine.ending = True
    mine = channel("hub1", PRIMARY)
    mine.hold = told.append

    def converse(dummy):
        mine.changed([(1, 1), (2, 1)], [], [(2, 1)])
        raise cpg.CpgError("corosync is gone")
    monkeypatch.setattr(cpg, "library", lambda: None)
    monkeypatch.setattr(cpg, "Group", Group)
    monkeypatch.setattr(mine, "converse", converse)
    monkeypatch.setattr(guard_service.time, "sleep", lambda seconds: None)
    mine.run()
    assert told == [True, False]


@pytest.mark.parametrize("said, connected, waits", [
    ({"role": PRIMARY}, True, guard_service.SETTLED), ({"role": STANDBY}, True, guard_service.PEER_TIME),
    ({"role": NO_SERVER, "recovers": True}, True, 0.0), ({"role": STANDBY, "recovers": False}, True, 12.0),
    ({}, True, guard_service.PEER_ABSENT), ({}, False, guard_service.PEER_TIME)])
def test_how_long_pacemaker_is_held_back_for_the_other_hub(monkeypatch, said, connected, waits):
    """Both hubs' corosync killed: each waited for the other one to take over, for twelve seconds."""
    clock = [100.0]
    monkeypatch.setattr(guard_service.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(guard_service.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    guard_service.Service.wait_for_peer(SimpleNamespace(channel=SimpleNamespace(peer=said, connected=connected)))
    assert waits <= clock[0] - 99.999 < waits + 0.15


def test_the_parts_of_the_service_are_put_together(monkeypatch):
    held, threads = [], []
    monkeypatch.setattr(guard_io, "Daemons", lambda processes: SimpleNamespace(
        holds=lambda name: False, hold=lambda name, wanted: held.append((name, wanted))))
    monkeypatch.setattr(guard_service, "log", lambda *dummy: None)
    service = guard_service.Service(channel("hub1", PRIMARY).pair, "1")
    service.channel.role = PRIMARY
    service.channel.changed([(1, 1), (2, 1)], [], [(2, 1)])
    assert held == [("pacemaker-schedulerd", True)]

    def stop(target):
        threads.append(target)
        return SimpleNamespace(is_alive=lambda: True)
    monkeypatch.setattr(guard_service, "worker", stop)
    monkeypatch.setattr(guard_service, "lock_memory", lambda: True)
    monkeypatch.setattr(guard_service.signal, "signal", lambda *dummy: None)
    service.ending = True
    service.channel.ended.set()
    service.daemons.holds = lambda name: True
    assert service.run() == 0
    assert threads == [service.channel.run, service.watch_server, service.tell, service.watch_link, service.watch_fork,
                       service.watch_belief, service.watch_succession, service.watch_score, service.watch_join]
    assert held[-1] == ("pacemaker-schedulerd", False), "its end leaves nothing held"


def test_each_guard_says_that_it_starts_its_daemons_again():
    sent = []

    class Group:
        def send(self, data):
            sent.append(json.loads(data.decode()))
            return True

        def members(self, groups):
            return None

        def wait(self, seconds):
            mine.ending = len(sent) == 2
            mine.recovers = True
    mine = channel("hub1", NO_SERVER)
    mine.converse(Group())
    assert [item["recovers"] for item in sent] == [False, True]


@pytest.mark.parametrize("one, two, wins", [
    ({"timeline": 1, "next_xid": 900}, {"timeline": 2, "next_xid": 800}, "hub1"),
    ({"timeline": 1, "next_xid": 800}, {"timeline": 2, "next_xid": 900}, "hub2"),
    (None, {"timeline": 2, "next_xid": 1}, "hub2")])
def test_two_primaries_meet_and_agree(one, two, wins):
    pair = [channel("hub1", PRIMARY, one), channel("hub2", PRIMARY, two)]
    meet(*pair)
    talk(pair)
    assert [item.verdict.name for item in pair] == [wins, wins]


@pytest.mark.parametrize("asked_first", [0, 1])
def test_a_busy_primary_is_asked_again_and_nobody_decides_before(asked_first):
    pair = [channel("hub1", PRIMARY, {"timeline": 1, "next_xid": 99999}),
            channel("hub2", PRIMARY, {"timeline": 2, "next_xid": 740})]
    pair[0].server.busy = 5
    meet(*pair)
    talk([pair[asked_first], pair[1 - asked_first]])
    assert [item.verdict.name for item in pair] == ["hub1", "hub1"]
    assert 102.0 < pair[0].now[0] < 105.0


def test_a_primary_that_never_answers_has_ten_seconds():
    mine = channel("hub1", PRIMARY, None)
    mine.peer = {"role": PRIMARY}
    assert mine.own_claim() == {"timeline": None, "next_xid": None} and mine.now[0] == 110.0
    mine.server.answer = {"timeline": 1, "next_xid": 7}
    assert mine.own_claim()["next_xid"] is None, "with pauses"
    mine.now[0] = 112.0
    assert mine.own_claim() == {"timeline": 1, "next_xid": 7}


def test_a_question_that_nobody_can_ask_is_asked_later(monkeypatch):
    def full(*dummy):
        raise RuntimeError("can't start new thread")
    mine = channel("hub1", PRIMARY, {"timeline": 1, "next_xid": 7})
    mine.peer = {"role": PRIMARY}
    with monkeypatch.context() as patched:
        patched.setattr(guard_service, "worker", full)
        assert mine.own_claim() is None
    mine.now[0] += 1.0
    assert mine.own_claim() == {"timeline": 1, "next_xid": 7}


def test_what_was_brought_is_old_when_the_conversation_fails(monkeypatch):
    class Group:
        nodeid = 1

        def __init__(self, *dummy):
            pass

        def send(self, data):
            mine.delivered(1, data)
            raise RuntimeError("not foreseen")

        def close(self, leave=False):
            pass
    mine = channel("hub1", PRIMARY)
    monkeypatch.setattr(cpg, "library", lambda: None)
    monkeypatch.setattr(cpg, "Group", Group)
    with pytest.raises(RuntimeError):
        mine.run()
    assert mine.brought is None and not mine.connected and mine.peer == {}


def test_a_thread_that_fails_ends_the_process(monkeypatch):
    ended, told = [], []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(say, "err", told.append)
    guard_service.guarded(lambda: 1 / 0)
    assert ended == [1] and "ZeroDivisionError" in told[0] and "\n" not in told[0]


def test_a_process_whose_thread_fails_is_gone_though_others_go_on():
    text = "import time; from %s import worker; worker(lambda: 1 / 0); time.sleep(30)" % guard_service.__name__
    done = subprocess.run([sys.executable, "-c", text], stderr=subprocess.PIPE, check=False, timeout=20,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(item for item in sys.path if item)))
    assert done.returncode == 1 and b"<3>the guard ends" in done.stderr and b"ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("stream", [None, "closed", "broken"])
def test_nobody_who_listens_is_no_error(stream, monkeypatch):
    if stream == "closed":
        stream = open(os.devnull, "w", encoding="utf-8")
        stream.close()
    elif stream == "broken":
        class Broken:
            def write(self, text):
                raise BrokenPipeError(32, text)
        stream = Broken()
    monkeypatch.setattr(sys, "stderr", stream)
    say.err("nobody hears this")


def test_a_pair_in_order_says_nothing():
    pair = [channel("hub1", PRIMARY, {"timeline": 1, "next_xid": 9}), channel("hub2", STANDBY)]
    meet(*pair)
    talk(pair, 20)
    assert [item.verdict for item in pair] == [None, None] and pair[0].claim is None


def test_an_old_primary_that_is_gone_when_it_is_asked_claims_nothing():
    """The role is looked at twice a second: a switchover makes two primaries for a moment, and that is none."""
    pair = [channel("hub1", PRIMARY, None, still=NO_SERVER), channel("hub2", PRIMARY, {"timeline": 2, "next_xid": 9})]
    meet(*pair)
    talk(pair)
    assert [item.verdict for item in pair] == [None, None] and pair[0].role == NO_SERVER


def test_claims_are_asked_for_anew_each_time():
    """Without a change of the membership too: what was true at an earlier split must not decide a later one."""
    pair = [channel("hub1", PRIMARY, {"timeline": 1, "next_xid": 100}),
            channel("hub2", PRIMARY, {"timeline": 2, "next_xid": 50})]
    meet(*pair)
    talk(pair)
    pair[1].role = STANDBY
    talk(pair)
    for item in pair:
        item.verdict = None
    pair[1].role, pair[1].server.answer = PRIMARY, {"timeline": 3, "next_xid": 500}
    talk(pair)
    assert [item.verdict.name for item in pair] == ["hub2", "hub2"]


def test_presence_of_the_other_hub():
    mine = channel("hub1", PRIMARY)
    mine.presence([(1, 10), (2, 20)])
    assert mine.peer_absent_since is None
    mine.presence([(1, 10)])
    assert mine.peer_absent_since == 100.0
    mine.presence(None)
    assert mine.peer_absent_since == 100.0, "no answer says nothing"
    mine.clock = lambda: 200.0
    mine.presence([(1, 10)])
    assert mine.peer_absent_since == 100.0
    mine.changed([(1, 1), (2, 1)], [], [(2, 1)])
    assert mine.peer_absent_since is None and mine.peer_guard is True
    mine.changed([(1, 1)], [(2, 1, cpg.NODEDOWN)], [])
    assert mine.peer_guard is False


def test_a_group_that_nobody_is_in_tells_of_nobody():
    """A hub that is called absent is one beside which this one goes on without its cluster."""
    mine = channel("hub1", PRIMARY)
    mine.presence([])
    assert mine.peer_absent_since is None and not mine.peer_here
    mine.presence([(1, 10)])
    mine.presence([])
    assert mine.peer_absent_since == 100.0, "its own pacemaker was there, and may have died since"


def test_pacemakers_groups_are_asked_by_the_names_that_corosync_knows():
    """pacemaker's name has its last byte with it: length = 1 + strlen (pcmk_cpg_connect)."""
    asked = []

    class Library:
        @staticmethod
        def cpg_membership_get(dummy_handle, group, found, count):
            name = ctypes.cast(group, ctypes.POINTER(cpg.Name)).contents
            asked.append((name.length, ctypes.string_at(ctypes.addressof(name) + cpg.Name.value.offset, name.length)))
            list_of = ctypes.cast(found, ctypes.POINTER(cpg.Address))
            list_of[0].nodeid, list_of[0].pid = len(asked), 7
            ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = 1
            return cpg.OK if len(asked) < 4 else cpg.TRY_AGAIN

    group = object.__new__(cpg.Group)
    group.lib, group.handle = Library, ctypes.c_uint64()
    assert group.members(guard_service.PACEMAKER_GROUPS) == [(1, 7), (2, 7), (3, 7)]
    assert asked == [(5, b"crmd\0"), (6, b"attrd\0"), (4, b"cib\0")]
    assert group.members(guard_service.PACEMAKER_GROUPS) is None, "one that does not say leaves it open"


def test_the_other_hubs_link_by_its_messages():
    mine = channel("hub1", PRIMARY)
    for dummy in range(8):
        mine.delivered(2, b'{"node": "hub2", "role": "standby", "claim": null, "clients": true}')
        mine.now[0] += 0.5
    assert mine.word.stood(103.5, 103.5)
    mine.delivered(1, b'{"node": "hub1", "role": "primary", "claim": null, "clients": false}')
    assert mine.word.stood(103.5, 103.5), "the own one says nothing of the other"
    mine.changed([(1, 1)], [(2, 1, cpg.NODEDOWN)], [])
    assert not mine.word.stood(103.5, 103.5)


def test_own_message_that_comes_back():
    mine = channel("hub1", PRIMARY)
    mine.delivered(2, b'{"node": "hub2", "role": "standby", "claim": null}')
    assert mine.brought is None and mine.peer["role"] == STANDBY
    mine.delivered(1, b'{"node": "hub1", "role": "primary", "claim": null}')
    assert mine.brought == 100.0
    mine.delivered(2, b"\xff garbage")
    mine.delivered(2, b"[]")
    assert mine.peer["role"] == STANDBY


def test_what_the_other_guard_says_has_an_age():
    mine = channel("hub1", PRIMARY)
    assert mine.peer_heard is None
    mine.delivered(1, b'{"node": "hub1", "role": "primary", "claim": null}')
    assert mine.peer_heard is None, "the own one"
    mine.delivered(2, b'{"node": "hub2", "role": "standby", "claim": null}')
    mine.now[0] += 0.5
    assert mine.peer_heard == 100.0
    mine.changed([(1, 1)], [(2, 1, cpg.NODEDOWN)], [])
    assert mine.peer_heard is None and mine.peer == {}


def test_addresses_that_may_be_here_are_tried_again_until_pacemaker_runs(monkeypatch):
    answers = [guard_io.Dropped((), None, ("192.0.2.1",))] * 3 + [guard_io.Dropped(("192.0.2.1",), ())]
    asked, states = [], dict((name, guard.GONE) for name in guard.DAEMONS)
    service = guard_service.Service(channel("hub1", PRIMARY).pair, "1")
    monkeypatch.setattr(guard_io, "drop_addresses", lambda pair, *more: asked.append(more) or answers[len(asked) - 1])
    monkeypatch.setattr(service.daemons, "read", lambda: states)
    service.guard.phase = "recover"
    service.perform(guard.Action(guard.DROP_ADDRESSES))
    assert service.held and "not known" in service.done[-1]["text"]
    states[guard.PACEMAKERD] = guard.RUNNING
    service.watch_addresses()
    assert len(asked) == 1, "what pacemaker has started is not taken away"
    states[guard.PACEMAKERD] = guard.GONE
    for dummy in range(6):
        service.watch_addresses()
    assert len(asked) == 4 and not service.held and asked[-1] == (service.may_drop,)


def test_threads_that_cannot_be_started(monkeypatch):
    """Nobody is asked then, and what was to be started is tried again."""
    def full(*dummy):
        raise RuntimeError("can't start new thread")
    service = guard_service.Service(channel("hub1", PRIMARY).pair, "1")
    monkeypatch.setattr(guard_service, "worker", full)
    service.perform(guard.Action(guard.LOOK))
    service.perform(guard.Action(guard.RESTART, "corosync is gone"))
    assert service.restarting == "failed" and "not possible now" in service.done[-1]["text"]
    service.held, service.guard.phase = True, "recover"
    monkeypatch.setattr(service.daemons, "read", lambda: dict((name, guard.GONE) for name in guard.DAEMONS))
    service.watch_addresses()
    assert service.held


def test_status_believes_what_is_fresh(tmp_path):
    path = tmp_path / "guard.json"
    assert guard_state.read(str(path)) == {"running": False, "age": None}
    told = {"time": 100.0, "pid": os.getpid(), "version": "1", "phase": "watch", "armed": True, "reason": "",
            "daemons": {"corosync": "running"},
            "corosync": {"silent": 0.1}, "postgres": "primary", "peer": {"node": "hub2", "guard": False}, "done": []}
    path.write_text(json.dumps(told), encoding="utf-8")
    fresh, old = guard_state.read(str(path), lambda: 101.0), guard_state.read(str(path), lambda: 200.0)
    assert fresh["running"] is True and old["running"] is False
    assert "its guard is GONE" in status.guard_text(fresh) and "all running" in status.guard_text(fresh)
    assert "systemctl status" in status.guard_text(old)
    path.write_text(json.dumps(dict(told, pid=2 ** 30)), encoding="utf-8")
    assert guard_state.read(str(path), lambda: 101.0)["running"] is False


@pytest.mark.parametrize("peer, connected, words", [
    ({"guard": True, "absent": None}, True, "hub2, guard there"),
    ({"guard": False, "absent": 20.7}, True, "hub2 is not in the cluster (since 20 s)"),
    ({"guard": None, "absent": 3.0}, True, "hub2 is not in the cluster (since 3 s)"),
    ({"guard": False, "absent": None}, True,
     "hub2 is in the cluster, its guard is GONE: on hub2: systemctl start cfengine-hub-ha-guard"),
    ({"guard": None, "absent": None}, True, "hub2, guard not known"), ({"guard": None}, True, "hub2, guard not known"),
    ({"guard": None, "absent": None}, False, "not known how hub2 is: this guard is not connected to corosync"),
    ({"guard": False, "absent": 9.0}, False, "not known how hub2 is: this guard is not connected to corosync")])
def test_status_tells_a_hub_that_is_away_from_one_without_a_guard(peer, connected, words):
    told = {"running": True, "version": "1", "phase": "watch", "armed": True, "reason": "", "daemons": {},
            "corosync": {"silent": 0.1 if connected else None}, "postgres": "primary", "peer": dict(peer, node="hub2"),
            "done": []}
    assert status.guard_text(told).splitlines()[-1] == "other hub    " + words


def test_ready_and_alive_are_told_to_systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel_of_systemd:
        channel_of_systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        guard_service.notify("READY=1")
        assert channel_of_systemd.recv(100) == b"READY=1"
    guard_service.notify("WATCHDOG=1")  # a systemd that is gone is no error
