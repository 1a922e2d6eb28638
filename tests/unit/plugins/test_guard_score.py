# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hub that serves keeps its promotion score, whatever another primary of a moment has made of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard, guard_service, score
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Winner

PAIR = SimpleNamespace(node="hub1", peer="hub2")
SAID = 'name="master-cfpgsql" host="hub1" value="%s"\n'
QUERY = ["attrd_updater", "-Q", "-N", "hub1", "-n", "master-cfpgsql"]
SET = ["attrd_updater", "-N", "hub1", "-n", "master-cfpgsql", "-U", "1000"]
STATUS = ["crm_attribute", "-l", "forever", "-N", "hub1", "-n", "cfpgsql-data-status", "-v", "LATEST"]


@pytest.mark.parametrize("answer, found", [
    (SAID % "1000", None), (SAID % "-INFINITY", "-INFINITY"), (SAID % "100", "100"), (SAID % "", "none"), ("", "none"),
    (None, "none")])
def test_what_stands_in_its_place(answer, found):
    assert score.wrong(answer) == found


@pytest.fixture(name="idle", autouse=True)
def fixture_idle(monkeypatch):
    """[why the CIB forbids to act, or None]"""
    why = [None]
    monkeypatch.setattr(guard_service.host, "idle", lambda node: why[0])
    return why


def watch(guard_thread, said, role=PRIMARY, peer=STANDBY, phase="watch", armed=True, ready=(True,)):
    """The commands of thirty seconds; the score is said until it is set. ready: what the server is at each look."""
    left = list(ready)
    ran, value = [], [said]

    def run(argv, dummy_timeout):
        ran.append(argv)
        if argv == SET:
            value[0] = "1000"
        return SimpleNamespace(returncode=0 if argv == SET or value[0] is not None else 78, stdout=SAID % value[0])
    guard_thread("watch_score", 30, run, pair=PAIR, guard=SimpleNamespace(phase=phase, armed=armed),
                 server=SimpleNamespace(ready=lambda: left.pop(0) if len(left) > 1 else left[0]),
                 channel=SimpleNamespace(role=role, peer={} if peer is None else {"role": peer}))
    return ran


@pytest.mark.parametrize("said", ["-INFINITY", "100", "", None])
@pytest.mark.parametrize("peer", [STANDBY, NO_SERVER, None])
def test_a_primary_whose_score_is_gone_gets_it_again(guard_thread, said, peer):
    ran = watch(guard_thread, said, peer=peer)
    assert ran[:3] == [QUERY, QUERY, SET] and ran.count(SET) == 1


@pytest.mark.parametrize("ready", [(False,), (True, False, False), (True, False, True, False, False)])
def test_a_demotion_that_is_under_way_is_let_alone(guard_thread, ready):
    """The agent takes the score away first, and the server may need long to stop."""
    assert SET not in watch(guard_thread, "-INFINITY", ready=ready)


def test_one_that_has_it_is_asked_each_ten_seconds_and_nothing_is_set(guard_thread):
    assert watch(guard_thread, "1000") == [QUERY] * 3


@pytest.mark.parametrize("case", [
    {"peer": PRIMARY}, {"role": STANDBY}, {"role": NO_SERVER}, {"phase": "recover"}, {"armed": False}])
def test_else_nobody_is_asked(guard_thread, case):
    assert watch(guard_thread, "-INFINITY", **case) == []


def test_in_maintenance_mode_it_is_somebody_elses(guard_thread, idle):
    idle[0] = "the cluster is in maintenance mode"
    assert watch(guard_thread, "-INFINITY") == []


def test_the_winner_of_two_primaries_sets_it_at_once(monkeypatch, idle):
    ran = []
    monkeypatch.setattr(guard_service, "worker", lambda target, *arguments: target(*arguments))
    monkeypatch.setattr(guard_service, "answer_of", lambda argv: ran.append(argv) or SAID % "-INFINITY")
    monkeypatch.setattr(guard_service.host, "idle", lambda node: idle[0])
    monkeypatch.setattr(guard_service, "log", lambda *dummy: None)
    service = object.__new__(guard_service.Service)
    vars(service).update(pair=PAIR, server=SimpleNamespace(role=lambda: PRIMARY, ready=lambda: True), goes_on="",
                         announce_until=0.0,
                         guard=guard.Guard())
    verdict = Winner("hub1", "hub2", "hub1 has assigned 5 transactions more")
    service.judge(None, verdict)
    assert ran == [QUERY, SET, STATUS]
    service.judge(None, verdict)
    assert ran == [QUERY, SET, STATUS], "said in each message until the other one has stopped"
    idle[0] = "the cluster is in maintenance mode"
    service.goes_on = ""
    service.judge(None, verdict)
    assert ran == [QUERY, SET, STATUS]
