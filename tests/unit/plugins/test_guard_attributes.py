# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard tells pacemaker, and when."""

from __future__ import annotations

import random

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import attributes as tell, fork
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


class Hub:
    """The loop of one guard's look at its link, in steps of 50 ms; a ping that nobody answers lasts 1 s."""

    def __init__(self, chance, references, outage, delay):
        self.references, self.outage, self.delay = references, outage, delay
        self.damper, self.word, self.good, self.value = tell.Damper(), tell.Word(), None, True
        self.next, self.began, self.sends, self.says = chance.uniform(0, 2), None, chance.uniform(0, .5), []

    def step(self, now, other):
        cut = self.outage is not None and self.outage[0] <= now < self.outage[1]
        if self.began is None and now >= self.next:
            self.began, self.seen = now, not cut
            self.next = now + (0.0 if self.seen else float(self.references))
        if self.began is not None and now >= self.next:
            self.good = self.seen
            self.value = self.damper.see(now, self.good, self.word.stood(self.began, now))
            self.began, self.next = None, now + (2.0 if self.references else 0.5)
        if now >= self.sends:
            self.sends = now + 0.5
            self.says.append((now + self.delay, self.good))
        while other.says and other.says[0][0] <= now:
            self.word.hear(now, other.says.pop(0)[1])


def moves(chance, references, first, second, end=100.0, delay=0.3):
    """When the role moves (seconds): from the first hub, and from then on from whichever has it."""
    hubs = [Hub(chance, references, first, delay), Hub(chance, references, second, delay)]
    active, found = 0, []
    for tick in range(int(end / 0.05)):
        now = tick * 0.05
        for hub, other in (hubs, hubs[::-1]):
            hub.step(now, other)
        if not hubs[active].value and hubs[1 - active].value:
            active = 1 - active
            found.append(now)
    return found


@pytest.mark.parametrize("references", [0, 1, 2, 3])
def test_what_cuts_off_both_hubs_moves_nothing(references):
    chance = random.Random(1)
    for dummy in range(40):
        assert moves(chance, references, (20, 50), (20, 50)) == []


@pytest.mark.parametrize("references", [0, 1, 3])
def test_what_cuts_off_one_hub_moves_the_role_once(references):
    chance = random.Random(2)
    for dummy in range(20):
        found = moves(chance, references, (20, 50), None)
        assert len(found) == 1 and 22.9 <= found[0] <= 24 + 3 * max(2, references)


def test_a_hub_that_comes_back_first_takes_the_role():
    found = moves(random.Random(3), 0, (20, 90), (20, 40), 80)
    assert len(found) == 1 and 40 <= found[0] <= 45


def test_word_of_the_other_hub():
    word = tell.Word()
    assert not word.stood(100.0, 100.0), "a hub that is alone keeps what it has"
    word.hear(100.0, True)
    word.hear(103.0, True)
    assert not word.stood(102.9, 103.1) and word.stood(103.0, 103.1)
    assert not word.stood(106.0, 106.1), "it has not been heard of since"
    for value in (None, False, 1, "true"):
        word.hear(110.0, True)
        word.hear(113.0, True)
        word.hear(113.1, value)
        assert not word.stood(113.2, 113.2)
    word.hear(114.0, True)
    word.forget()
    assert not word.stood(120.0, 115.0)


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


def test_a_new_controller_has_everything_written_again():
    """What it has taken out of the CIB nobody writes, for attrd writes what changes: prove found no cfpgsql-status."""
    refresh = tell.Refresh()
    assert not any(refresh.due(float(now), 10) for now in range(60)), "the first one has taken nothing away"
    due = [now for now in range(60, 130) if refresh.due(float(now), 11)]
    assert due == [61, 65, 75, 100]
    assert not refresh.due(200.0, 0) and not refresh.due(201.0, 11), "gone for a moment, and the same one again"


def test_hubs_that_have_met_again_have_everything_written_again():
    """A standby that was frozen took the primary for lost, and deleted its attributes as they met."""
    refresh = tell.Refresh()
    assert not any(refresh.due(float(now), 10, 0) for now in range(60))
    due = [now for now in range(60, 130) if refresh.due(float(now), 10, 1 if now < 63 else 2)]
    assert due == [61, 64, 68, 78, 103], "counted from the last change"
