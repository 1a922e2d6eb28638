# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guards of two hubs on a corosync of the test's own: messages come to all in one order, as there."""

from __future__ import annotations

import json
import os
import socket

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import cpg, guard_service, status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model


class Database:
    """A server that answers with what it is told; None: it does not answer."""

    def __init__(self, answer, still=PRIMARY):
        self.answer, self.still = answer, still

    def claim(self):
        return self.answer

    def role(self):
        return self.still


def channel(node, role, answer=None, still=PRIMARY):
    pair = model.Pair(node, "hub2" if node == "hub1" else "hub1", "c", "/d", "/b", "u", 5432, None, "/h", "/t", "r",
                      "verify-ca", ("192.0.2.1",), ())
    made = guard_service.Channel(pair, Database(answer, still), lambda: 100.0)
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


@pytest.mark.parametrize("one, two, wins", [
    ({"timeline": 1, "next_xid": 900}, {"timeline": 2, "next_xid": 800}, "hub1"),
    ({"timeline": 1, "next_xid": 800}, {"timeline": 2, "next_xid": 900}, "hub2"),
    (None, {"timeline": 2, "next_xid": 1}, "hub2")])
def test_two_primaries_meet_and_agree(one, two, wins):
    pair = [channel("hub1", PRIMARY, one), channel("hub2", PRIMARY, two)]
    meet(*pair)
    talk(pair)
    assert [item.verdict.name for item in pair] == [wins, wins]


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


def test_own_message_that_comes_back():
    mine = channel("hub1", PRIMARY)
    mine.delivered(2, b'{"node": "hub2", "role": "standby", "claim": null}')
    assert mine.brought is None and mine.peer["role"] == STANDBY
    mine.delivered(1, b'{"node": "hub1", "role": "primary", "claim": null}')
    assert mine.brought == 100.0
    mine.delivered(2, b"\xff garbage")
    mine.delivered(2, b"[]")
    assert mine.peer["role"] == STANDBY


def test_status_believes_what_is_fresh(tmp_path):
    path = tmp_path / "guard.json"
    assert status.read(str(path)) == {"running": False, "age": None}
    told = {"time": 100.0, "pid": os.getpid(), "version": "1", "phase": "watch", "armed": True, "reason": "",
            "daemons": {"corosync": "running"},
            "corosync": {"silent": 0.1}, "postgres": "primary", "peer": {"node": "hub2", "guard": False}, "done": []}
    path.write_text(json.dumps(told), encoding="utf-8")
    fresh, old = status.read(str(path), lambda: 101.0), status.read(str(path), lambda: 200.0)
    assert fresh["running"] is True and old["running"] is False
    assert "guard GONE" in status.text(fresh) and "all running" in status.text(fresh)
    assert "systemctl status" in status.text(old)
    path.write_text(json.dumps(dict(told, pid=2 ** 30)), encoding="utf-8")
    assert status.read(str(path), lambda: 101.0)["running"] is False


def test_ready_and_alive_are_told_to_systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel_of_systemd:
        channel_of_systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        guard_service.notify("READY=1")
        assert channel_of_systemd.recv(100) == b"READY=1"
    guard_service.notify("WATCHDOG=1")  # a systemd that is gone is no error
