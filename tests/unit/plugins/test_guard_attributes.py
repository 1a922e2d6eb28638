# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard tells pacemaker, and when."""

from __future__ import annotations

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import attributes as tell
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import fork
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Kind, Relation


def damped(pattern, step=0.5):
    """The damped value at the end of each stretch of [(good, seconds)]."""
    damper, now, found = tell.Damper(), 100.0, []
    for good, seconds in pattern:
        for dummy in range(int(seconds / step)):
            now += step
            value = damper.see(now, good)
        found.append(value)
    return found


@pytest.mark.parametrize("pattern, wanted", [
    ([(True, 60)], [True]), ([(True, 60), (False, 2.5)], [True, True]), ([(True, 60), (False, 4)], [True, False]),
    ([(False, 2)], [True]), ([(False, 5)], [False]),
    ([(True, 60), (False, 4), (True, 19)], [True, False, False]), ([(True, 60), (False, 4), (True, 21)], [True, False,
                                                                                                          True]),
    ([(True, 60)] + [(False, 2), (True, 2)] * 5, [True] * 11),
    ([(True, 60), (False, 4)] + [(True, 10), (False, 1)] * 5, [True] + [False] * 11)])
def test_falls_quickly_and_rises_slowly(pattern, wanted):
    assert damped(pattern) == wanted


@pytest.mark.parametrize("cable, references, answering, wanted", [
    (True, (), (), True), (False, (), (), False), (True, ("a", "b"), ("b",), True), (True, ("a", "b"), (), False),
    (False, ("a",), ("a",), False)])
def test_can_clients_reach_it(cable, references, answering, wanted):
    assert tell.reachable(["eth2"], references, lambda name: cable, lambda item: item in answering) is wanted


def test_unknown_interfaces_move_nothing():
    assert tell.reachable([], (), lambda name: False, lambda item: False) is True


def test_interfaces():
    found = [{"ifname": "eth0", "addr_info": [{"local": "10.0.0.1"}]}, {"ifname": "lo"},
             {"ifname": "eth2", "addr_info": [{"local": "192.168.100.10"}, {"local": "192.168.100.100"}]}]
    assert tell.interfaces_of(found, ("192.168.100.10",)) == ["eth2"]


def test_carrier(tmp_path):
    (tmp_path / "eth0").mkdir()
    assert tell.carrier("eth0", str(tmp_path)) is False
    for text, wanted in (("1\n", True), ("0\n", False)):
        (tmp_path / "eth0" / "carrier").write_text(text, encoding="ascii")
        assert tell.carrier("eth0", str(tmp_path)) is wanted


def test_only_differences_are_told_and_a_new_attrd_is_told_all():
    found = tell.Attributes()
    found.want("hub1", tell.CLIENTS, "1")
    found.want("hub1", tell.FORKED, None)
    assert found.due(0) == [], "nobody listens"
    assert [value for dummy, value in found.due(7)] == ["1", None]
    for key, value in found.due(7):
        found.done(key, value)
    assert found.due(7) == []
    found.want("hub1", tell.CLIENTS, "0")
    assert found.due(7) == [(("hub1", tell.CLIENTS), "0")]
    assert len(found.due(8)) == 2, "transient attributes are gone with pacemaker"


def test_what_is_told_can_be_looked_at_while_others_tell():
    found = tell.Attributes()
    found.want("hub1", tell.CLIENTS, "1")
    found.due(7)
    found.done(("hub1", tell.CLIENTS), "1")
    for dummy in found.now():
        found.due(8)
    assert found.now() == {}
    found.forget("hub1", tell.CLIENTS)
    found.done(("hub1", tell.CLIENTS), "1")
    assert found.now() == {}, "forgotten while it was told"


def test_program():
    assert tell.command(("hub1", "a"), "x y") == ["attrd_updater", "-N", "hub1", "-n", "a", "-U", "x y"]
    assert tell.command(("hub1", "a"), None)[-1] == "-D"


def test_text_of_a_fork():
    found = {"timeline": 1, "fork": "0/5000060", "commits": 7, "bytes": 1234, "complete": True,
             "last_commit": "2026-11-29 04:12:33.5 UTC"}
    assert tell.forked_text(found) == "timeline=1 fork=0/5000060 commits=7 bytes=1234 last=2026-11-29T04:12:33.5"
    assert "commits=7+ " in tell.forked_text(dict(found, complete=False))
    assert tell.forked_text(dict(found, commits=None, bytes=None, last_commit=None)) == "timeline=1 fork=0/5000060"


@pytest.mark.parametrize("kind, known, text", [
    (Kind.SAME_LINE_BEHIND, True, None), (Kind.IDENTICAL_END, True, None), (Kind.AHEAD_OF_FORK, True, "more"),
    (Kind.OTHER_PAST, True, "more"), (Kind.OTHER_SYSTEM, True, "other-system"), (Kind.UNKNOWN, False, None)])
def test_answer(kind, known, text):
    found = fork.answer(Relation(kind, ("why",)), lambda relation: "more")
    assert (found.known, found.text, found.why) == (known, text, "why")
