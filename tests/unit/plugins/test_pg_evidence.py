# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this data follow that primary, and which of two primaries goes on: every state by its numbers."""

from __future__ import annotations

import itertools
import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import (
    Kind,
    Side,
    may_follow,
    newest,
    relation,
    stopped_side,
    winner,
    with_probe,
)

SYSTEM = "7441234567890123456"
BEHIND, END, AHEAD, PAST, SYSTEMS, UNKNOWN = (
    Kind.SAME_LINE_BEHIND, Kind.IDENTICAL_END, Kind.AHEAD_OF_FORK, Kind.OTHER_PAST, Kind.OTHER_SYSTEM, Kind.UNKNOWN)


def primary(timeline=2, position=0x9000, history=((1, 0x5000),), **more):
    """A running primary, promoted from timeline 1 at 0/5000 unless said otherwise."""
    return Side(name="hub2", system_identifier=SYSTEM, running=True, in_recovery=False, timeline=timeline,
                position=position, history=history, **more)


def standby(timeline, position, history=(), **more):
    """A running standby."""
    return Side(**dict(dict(name="hub1", system_identifier=SYSTEM, running=True, in_recovery=True, timeline=timeline,
                            position=position, history=history), **more))


def stopped(state, timeline=1, checkpoint=0x4000, minimum=None, min_timeline=None, history=(), **more):
    """A stopped server by its pg_control."""
    control = {"system_identifier": SYSTEM, "state": state, "timeline": timeline, "checkpoint_lsn": "0/%X" % checkpoint,
               "redo_lsn": "0/%X" % (checkpoint - 0x38), "min_recovery_timeline": min_timeline,
               "min_recovery_lsn": "0/%X" % minimum if minimum else None, "next_xid": 700}
    return stopped_side(control, history, name="hub1", **more)


TWO = ((1, 0x5000), (2, 0x7000))
STATES = [
    # a standby that runs
    ("streams", standby(2, 0x8FF0, ((1, 0x5000),)), primary(), BEHIND),
    ("has all", standby(2, 0x9000, ((1, 0x5000),)), primary(), END),
    ("is still on the old timeline, receiver away", standby(1, 0x4800), primary(), BEHIND),
    ("stands exactly where the primary turned off", standby(1, 0x5000), primary(), END),
    ("received more of the old primary than the new one", standby(1, 0x5001), primary(), AHEAD),
    ("followed the failover, receiver away", standby(2, 0x5800, ((1, 0x5000),)), primary(), BEHIND),
    ("two promotions behind", standby(1, 0x4000), primary(3, 0x9000, TWO), BEHIND),
    ("past the second fork", standby(2, 0x7008, ((1, 0x5000),)), primary(3, 0x9000, TWO), AHEAD),
    ("before the second fork", standby(2, 0x6000, ((1, 0x5000),)), primary(3, 0x9000, TWO), BEHIND),
    ("its timeline 2 is another one", standby(2, 0x6000, ((1, 0x4800),)), primary(), PAST),
    ("its timeline 2 is another one, primary on 3", standby(2, 0x5000, ((1, 0x4800),)), primary(3, 0x9000, TWO), PAST),
    ("on a timeline that the primary never had", standby(3, 0x8000, ((1, 0x5000), (2, 0x6000))),
     primary(4, 0x9000, TWO), PAST),
    ("asked after the primary, which goes on", standby(2, 0x9008, ((1, 0x5000),)), primary(), UNKNOWN),
    ("ahead of a primary that was set back", stopped("shut down in recovery", 2, 0x6000, 0x9008, 2, ((1, 0x5000),)),
     primary(), AHEAD),
    ("no answer", Side(name="hub1", running=True, why="timeout"), primary(), UNKNOWN),
    ("timeline not known", standby(None, None), primary(), UNKNOWN),
    ("history file missing", standby(2, 0x6000), primary(3, 0x9000, TWO), UNKNOWN),
    # a standby that is stopped
    ("stopped cleanly, behind", stopped("shut down in recovery", minimum=0x4800, min_timeline=1), primary(), BEHIND),
    ("stopped cleanly, at the fork", stopped("shut down in recovery", minimum=0x5000, min_timeline=1), primary(), END),
    ("stopped cleanly past the fork: a former primary started once as a standby",
     stopped("shut down in recovery", minimum=0x5100, min_timeline=1), primary(), AHEAD),
    ("stopped cleanly, same timeline", stopped("shut down in recovery", 2, 0x6000, 0x6100, 2, ((1, 0x5000),)),
     primary(), BEHIND),
    ("stopped cleanly, newer timeline in the minimum recovery point only",
     stopped("shut down in recovery", 1, 0x4000, 0x6100, 2, ((1, 0x5000),)), primary(), BEHIND),
    ("crashed, nobody looked at its WAL", stopped("in archive recovery", minimum=0x4800, min_timeline=1), primary(),
     UNKNOWN),
    ("crashed, no record behind the fork", with_probe(
        stopped("in archive recovery", minimum=0x4800, min_timeline=1), 1, 0x5000, False), primary(), BEHIND),
    ("crashed, records behind the fork", with_probe(
        stopped("in archive recovery", minimum=0x4800, min_timeline=1), 1, 0x5000, True), primary(), AHEAD),
    ("crashed, a segment is missing", with_probe(
        stopped("in archive recovery", minimum=0x4800, min_timeline=1), 1, 0x5000, None, "is missing"), primary(),
     UNKNOWN),
    ("crashed, same timeline", stopped("in archive recovery", 2, 0x6000, 0x6100, 2, ((1, 0x5000),)), primary(), BEHIND),
    ("crashed, received a later timeline past its fork", with_probe(with_probe(
        stopped("in archive recovery", minimum=0x4800, min_timeline=1), 1, 0x5000, False), 2, 0x7000, True),
     primary(3, 0x9000, TWO), AHEAD),
    ("crashed, received a later timeline, not known how much", with_probe(with_probe(
        stopped("in archive recovery", minimum=0x4800, min_timeline=1), 1, 0x5000, False), 2, 0x7000, None),
     primary(3, 0x9000, TWO), UNKNOWN),
    # a copy that was never started
    ("copied before the fork", stopped("in production", backup_label=True, standby_signal=True, position=0x4900),
     primary(), BEHIND),
    ("copied on this timeline", stopped("in production", 2, 0x6000, history=((1, 0x5000),), backup_label=True),
     primary(), BEHIND),
    ("copied of the old primary, later than the fork",
     stopped("in production", backup_label=True, standby_signal=True, position=0x5100), primary(), AHEAD),
    ("copied, its end is not known", stopped("in production", backup_label=True, standby_signal=True), primary(),
     UNKNOWN),
    # a former primary
    ("stopped cleanly, all was received", stopped("shut down", checkpoint=0x4F88), primary(), BEHIND),
    ("stopped cleanly, its end is the fork", stopped("shut down", checkpoint=0x4F88, position=0x5000), primary(), END),
    ("stopped cleanly, only its last record was not received", stopped("shut down", checkpoint=0x5000), primary(),
     AHEAD),
    ("stopped cleanly with rows of its own", stopped("shut down", checkpoint=0x5F88), primary(), AHEAD),
    ("crashed, nobody looked", stopped("in production"), primary(), UNKNOWN),
    ("crashed, no record behind the fork", with_probe(stopped("in production"), 1, 0x5000, False), primary(), BEHIND),
    ("crashed exactly at the fork", stopped("in production", position=0x5000), primary(), END),
    ("crashed with records behind the fork", with_probe(stopped("in production"), 1, 0x5000, True), primary(), AHEAD),
    ("crashed, its checkpoint is behind the fork", stopped("in production", checkpoint=0x5200), primary(), AHEAD),
    ("crashed, then given a standby.signal", stopped("in production", standby_signal=True), primary(), UNKNOWN),
    ("crashed, then given a standby.signal, records behind the fork", with_probe(
        stopped("in production", standby_signal=True), 1, 0x5000, True), primary(), AHEAD),
    ("crashed primary in recovery without a minimum recovery point", stopped("in archive recovery"), primary(),
     UNKNOWN),
    ("promoted, then crashed before its first checkpoint",
     stopped("in production", 1, 0x4000, 0x5100, 2, ((1, 0x5000),)), primary(1, 0x4FF0, ()), AHEAD),
    ("promoted apart at the same place", stopped("in production", 2, 0x6000, history=((1, 0x5000),)), primary(),
     UNKNOWN),
    ("promoted and took nothing, the other one went on",
     stopped("shut down", 2, 0x5100, history=((1, 0x5000),)), primary(1, 0x6000, ()), AHEAD),
    ("promoted apart", stopped("in production", 2, 0x6000, history=((1, 0x4800),)), primary(), PAST),
    ("both wrote on timeline 1", stopped("shut down"), primary(1, 0x9000, ()), UNKNOWN),
    ("three timelines, left at the first", stopped("shut down", checkpoint=0x4F88), primary(3, 0x9000, TWO), BEHIND),
    ("three timelines, left at the second",
     stopped("shut down", 2, 0x6F88, history=((1, 0x5000),)), primary(3, 0x9000, TWO), BEHIND),
    ("three timelines, rows of its own on the second",
     stopped("shut down", 2, 0x7000, history=((1, 0x5000),)), primary(3, 0x9000, TWO), AHEAD),
    # of another system, or not to be known
    ("another system", standby(2, 0x8000, ((1, 0x5000),), system_identifier="1"), primary(), SYSTEMS),
    ("no control data", Side(name="hub1", why="pg_controldata: no such file"), primary(), UNKNOWN),
    ("primary does not answer", standby(2, 0x8000, ((1, 0x5000),)), Side(name="hub2", why="refused"), UNKNOWN),
    # the one to follow is no primary yet
    ("standby of a primary that was stopped cleanly", standby(1, 0x4F80, name="hub3"), stopped("shut down",
     checkpoint=0x4F88), BEHIND),
    ("standby of a primary that crashed, end not known", standby(1, 0x4F80), stopped("in production"), BEHIND),
    ("standby of a primary that crashed, end known", standby(1, 0x4F80), stopped("in production", position=0x4F80),
     END),
    ("primary stopped cleanly, its standby has all", stopped("shut down", checkpoint=0x4F88, position=0x5000),
     standby(1, 0x5000, name="hub2"), END),
    ("primary stopped cleanly, its standby lacks the end", stopped("shut down", checkpoint=0x4F88, position=0x5000),
     standby(1, 0x4F88, name="hub2"), AHEAD),
    ("two standbys", standby(1, 0x4F00), standby(1, 0x4F80, name="hub2"), BEHIND),
    ("two standbys, the other way round", standby(1, 0x4F80), standby(1, 0x4F00, name="hub2"), AHEAD),
]


@pytest.mark.parametrize("mine, other, kind", [item[1:] for item in STATES], ids=[item[0] for item in STATES])
def test_relation(mine, other, kind):
    found = relation(mine, other)
    assert found.kind is kind, str(found)
    assert may_follow(mine, other) is (kind in (BEHIND, END)) is found.follows
    assert found.evidence and all(text and not text.endswith(".") for text in found.evidence), "always a reason"
    if kind in (BEHIND, END, AHEAD, PAST):
        assert "0/" in str(found) and "None" not in str(found)


@pytest.mark.parametrize("mine, other", [item[1:3] for item in STATES], ids=[item[0] for item in STATES])
def test_never_may_each_follow_the_other_unless_both_end_alike(mine, other):
    if relation(mine, other).follows and relation(other, mine).follows:
        assert relation(mine, other).kind is END or mine.position is None or other.position is None \
            or mine.position == other.position


def test_fork_of_what_is_ahead():
    assert relation(stopped("shut down", checkpoint=0x5F88), primary()).fork == (1, 0x5000)
    apart = relation(stopped("in production", 2, 0x6000, history=((1, 0x4800),)), primary())
    assert apart.fork == (1, 0x4800), "the earlier one of two promotions"


def test_side_goes_through_json():
    side = with_probe(stopped("in archive recovery", minimum=0x4800, min_timeline=1, history=()), 1, 0x5000, True)
    assert Side.from_dict(json.loads(json.dumps(side.to_dict()))) == side
    assert Side.from_dict({"name": "x", "new in a later version": 1}) == Side(name="x")


def taken(name, next_xid, timeline):
    """A primary as winner() needs it."""
    return Side(name=name, running=True, in_recovery=False, next_xid=next_xid, timeline=timeline)


@pytest.mark.parametrize("one, two, name, why", [
    (taken("hub1", 805, 1), taken("hub2", 800, 2), "hub1", "5 transactions more"),
    (taken("hub1", 800, 1), taken("hub2", 801, 2), "hub2", "1 transactions more"),
    (taken("hub1", 800, 1), taken("hub2", 800, 2), "hub2", "higher timeline"),
    (taken("hub1", 800, 3), taken("hub2", 800, 2), "hub1", "higher timeline"),
    (taken("hub1", 800, 2), taken("hub2", 800, 2), "hub1", "by name"),
    (taken("hub1", None, 1), taken("hub2", 800, 2), "hub2", "not known"),
    (taken("hub1", 3, 1), taken("hub2", None, 2), "hub1", "not known"),
    (taken("hub1", None, 1), taken("hub2", None, 2), "hub2", "of neither"),
    (taken("hub1", None, None), taken("hub2", None, 2), "hub2", "unknown one"),
    (taken("hub1", None, None), taken("hub2", None, None), "hub1", "by name"),
    (taken("hub1", 1 << 32, 1), taken("hub2", (1 << 32) - 1, 9), "hub1", "1 transactions more"),
])
def test_winner(one, two, name, why):
    found = winner(one, two)
    assert {found} == {winner(*pair) for pair in itertools.permutations((one, two))}, "both hubs decide alike"
    assert found.name == name and found.loser in ("hub1", "hub2") and found.loser != name
    assert why in found.why


def test_never_do_both_lose_and_never_does_the_unknown_one_win():
    for xids in itertools.product((None, 700, 701), repeat=2):
        for timelines in itertools.product((None, 1, 2), repeat=2):
            one, two = taken("a", xids[0], timelines[0]), taken("b", xids[1], timelines[1])
            found = winner(one, two)
            assert {found.name, found.loser} == {"a", "b"}
            assert {found} == {winner(*pair) for pair in itertools.permutations((one, two))}
            if None in xids and xids != (None, None):
                assert found.name == ("b" if xids[0] is None else "a")


def test_winner_needs_two_names():
    with pytest.raises(ValueError):
        winner(taken("a", 1, 1), taken("a", 2, 1))


def test_newest():
    old, new = stopped("shut down", checkpoint=0x4F88), primary()
    assert newest([old, new]) is new and newest([new]) is new and newest([]) is None
    assert newest([stopped("in production"), new]) is None, "what is not known may hold something"
    clean = stopped("shut down", checkpoint=0x4F88, position=0x5000)
    assert newest([standby(1, 0x5000, name="hub2"), clean]) is clean, "both have all: the one that was the primary"
