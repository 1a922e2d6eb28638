# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two primaries: both guards come to the same answer."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.split import Split


def message(node, role="primary", timeline=1, next_xid=1000, claim=True):
    return {"v": 1, "node": node, "role": role, "claim": {"timeline": timeline, "next_xid": next_xid} if claim
            else None}


@pytest.mark.parametrize("one, other, wins", [
    ((1, 1010), (2, 1000), "hub1"), ((1, 1000), (2, 1010), "hub2"), ((1, 1000), (2, 1000), "hub2"),
    ((2, 1000), (2, 1000), "hub1"),
    ((None, None), (2, 1000), "hub2"), ((1, 1), (None, None), "hub1"), ((None, None), (None, None), "hub1"),
    ((1, 4294967296 + 5), (2, 4294967290), "hub1")])
def test_who_goes_on(one, other, wins):
    split = Split("hub1")
    split.heard(message("hub1", timeline=one[0], next_xid=one[1]))
    found = split.heard(message("hub2", timeline=other[0], next_xid=other[1]))
    assert found.name == wins and found.loser != wins and found.why


def test_both_hear_the_same_and_say_the_same_in_any_order():
    sent = [message("hub1", claim=False), message("hub2", claim=False), message("hub1", next_xid=5000), message(
        "hub2", timeline=2)]
    for order in itertools.permutations(sent):
        answers = []
        for node in ("hub1", "hub2"):
            split = Split(node)
            answers.append([found.name if found else None for found in map(split.heard, order)])
        assert answers[0] == answers[1] and answers[0][-1] == "hub1"


def test_one_primary_is_no_split():
    split = Split("hub1")
    assert split.heard(message("hub1")) is None and split.heard(message("hub2", role="standby")) is None


def test_the_first_claim_counts_for_both():
    split = Split("hub1")
    split.heard(message("hub1", next_xid=1000))
    split.heard(message("hub1", next_xid=9000))
    assert split.heard(message("hub2", next_xid=2000)).name == "hub2"


def test_a_known_claim_takes_the_place_of_an_unknown_one_until_it_is_decided():
    for node in ("hub1", "hub2"):
        split = Split(node)
        split.heard(message("hub1", timeline=None, next_xid=None))
        split.heard(message("hub1", next_xid=9000))
        assert split.heard(message("hub2", timeline=2)).name == "hub1"
        split = Split(node)
        split.heard(message("hub1", timeline=None, next_xid=None))
        assert split.heard(message("hub2", timeline=2)).name == "hub2"
        assert split.heard(message("hub1", next_xid=9000)).name == "hub2", "or both stop"


def test_unknown_and_known_claims_in_any_order_are_decided_once_and_alike():
    sent = [message(node, timeline=None, next_xid=None) for node in ("hub1", "hub2")]
    sent += [message("hub1", next_xid=9000), message("hub2", timeline=2)]
    for order in itertools.permutations(sent):
        answers = []
        for node in ("hub1", "hub2"):
            split = Split(node)
            answers.append([found.name if found else None for found in map(split.heard, order)])
        assert answers[0] == answers[1] and len(set(answers[0]) - {None}) == 1


def test_who_is_no_primary_any_more_claims_nothing():
    split = Split("hub2")
    split.heard(message("hub1", next_xid=9000))
    split.heard(message("hub1", role="none"))
    assert split.heard(message("hub2", timeline=2)) is None


def test_a_change_of_the_membership_begins_anew():
    split = Split("hub2")
    split.heard(message("hub1", next_xid=9000))
    split.changed()
    assert split.heard(message("hub2", timeline=2)) is None
