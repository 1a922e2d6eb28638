# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha evidence: what this hub would do with its data, and the verdict behind it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import evidence, leave
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandMissing, HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Kind, Side, Step, verdict

PAIR = model.Pair("hub1", "hub2", "cfcluster", "/nonexistent", "/b", "cfpostgres", 5432, None, "/ha",
                  "/nonexistent/tmp", "hub_ha_repl", "verify-ca", ("192.168.10.11", "192.168.0.11"), ())
SYSTEM = "7441234567890123456"
PRIMARY = Side("hub2", SYSTEM, True, False, 2, 5000, history=((1, 4000),))
BEHIND = Side("hub1", SYSTEM, timeline=1, position=3000, state="shut down", checkpoint=2900)
AHEAD = replace(BEHIND, position=4500)
STANDBY = Side("hub1", SYSTEM, True, True, 2, 4900, history=((1, 4000),))
FOREIGN = replace(BEHIND, system_identifier="1")
CRASHED = Side("hub1", SYSTEM, timeline=1, state="in production", checkpoint=3000, why="pg_waldump is missing")
COPY = Side("hub1", SYSTEM, timeline=None, backup_label=True, why="no history")
OTHER_PAST = replace(BEHIND, timeline=3, history=((2, 10),))


@pytest.mark.parametrize("mine, rewindable, marked, step, kind", [
    (BEHIND, None, True, Step.START, Kind.SAME_LINE_BEHIND), (STANDBY, None, False, Step.START, Kind.SAME_LINE_BEHIND),
    (replace(BEHIND, position=4000), None, True, Step.START, Kind.IDENTICAL_END),
    (AHEAD, True, False, Step.REWIND, Kind.AHEAD_OF_FORK), (AHEAD, False, False, Step.CLONE, Kind.AHEAD_OF_FORK),
    (AHEAD, None, False, Step.CLONE, Kind.AHEAD_OF_FORK), (FOREIGN, True, False, Step.CLONE, Kind.OTHER_SYSTEM),
    (OTHER_PAST, False, False, Step.CLONE, Kind.OTHER_PAST),
    (CRASHED, True, False, Step.REFUSE, Kind.UNKNOWN),
    (Side("hub1", why="gone"), True, False, Step.REFUSE, Kind.UNKNOWN),
    (COPY, True, False, Step.START, Kind.UNKNOWN), (COPY, True, True, Step.REFUSE, Kind.UNKNOWN)])
def test_verdict(mine, rewindable, marked, step, kind):
    found = verdict(mine, PRIMARY, rewindable, marked)
    assert (found.step, found.relation.kind) == (step, kind)
    assert found.why and found.why[:len(found.relation.evidence)] == found.relation.evidence


@pytest.mark.parametrize("mine", [BEHIND, STANDBY, AHEAD, FOREIGN, CRASHED, COPY, Side()])
@pytest.mark.parametrize("locked", [True, False])
def test_it_is_what_the_resource_agent_is_told(mine, locked):
    why = leave.may_start(PAIR, leave.Peer(True, PRIMARY), mine, locked, lambda: "LATEST")
    assert (why is None) == (verdict(mine, PRIMARY, marked=locked).step is Step.START)


def found(monkeypatch, mine, peer, rewindable=True):
    monkeypatch.setattr(evidence.look, "local_side", lambda *more, **keys: mine)
    monkeypatch.setattr(evidence, "rewinds", lambda pair, run: rewindable)
    monkeypatch.setattr(evidence.look, "forked_by", lambda *more: {
        "commits": 3, "fork": "0/FA0", "last_commit": "2026-11-30", "complete": False})
    return evidence.find(PAIR, ask=lambda: peer)


PEER = leave.Peer(True, PRIMARY)
OWN_PRIMARY = replace(PRIMARY, name="hub1")


@pytest.mark.parametrize("mine, peer, follows, step, words", [
    (BEHIND, PEER, True, "start", ["pacemaker may start"]),
    (STANDBY, PEER, True, "start", ["nothing: it runs as a standby"]),
    (AHEAD, PEER, False, "rewind", ["more here    3 commits behind 0/FA0", "there may be more", "stays stopped"]),
    (FOREIGN, PEER, False, "clone anew", ["belongs to database system", "Clone it anew"]),
    (CRASHED, PEER, False, "refuse", ["pg_waldump is missing", "until more is known"]),
    (OWN_PRIMARY, leave.Peer(True, replace(STANDBY, name="hub2")), True, "primary", ["is the primary, on timeline 2"]),
    (OWN_PRIMARY, leave.Peer(False), True, "primary", ["hub2         no answer"]),
    (OWN_PRIMARY, PEER, False, "refuse", ["both take writes", "TWO_PRIMARIES"]),
    (BEHIND, leave.Peer(False), False, "refuse", ["takes no connection", "bring hub2 back"]),
    (BEHIND, leave.Peer(True), False, "refuse", ["says nothing"]),
    (BEHIND, leave.Peer(True, None, "FATAL: no"), False, "refuse", ["FATAL: no"]),
    (BEHIND, leave.Peer(True, replace(PRIMARY, in_recovery=True)), False, "refuse", ["no primary to follow"])],
    ids=["behind", "standby", "ahead", "other system", "not known", "primary", "primary alone", "two primaries", "off",
         "frozen", "refused", "two standbys"])
def test_what_it_says(monkeypatch, capsys, mine, peer, follows, step, words):
    seen = found(monkeypatch, mine, peer)
    assert (seen.follows, seen.step) == (follows, step)
    said = evidence.text(seen)
    assert all(word in said for word in words), said
    monkeypatch.setattr(evidence, "pair_file", lambda: (PAIR, ""))
    monkeypatch.setattr(evidence, "find", lambda pair: seen)
    assert evidence.main([], "1") == evidence.main(["--json"], "1") == (0 if follows else 1)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["schema"] == 1 and told["hub"] == "hub1" and told["may_follow"] is follows and told["step"] == step
    assert told["evidence"] and told["todo"] and (told["age"] is None) == (peer.side is None)
    assert (told["more_here"] is not None) == (step == "rewind")


def test_usage_and_no_pair(monkeypatch, capsys):
    assert evidence.main(["--all"], "1") == 2
    monkeypatch.setattr(evidence, "pair_file", lambda: (None, "it is cut"))
    assert evidence.main([], "1") == 2 and "it is cut" in capsys.readouterr().err


@pytest.mark.parametrize("control, works", [
    ({"checksums": True, "wal_log_hints": False}, True), ({"checksums": False, "wal_log_hints": True}, True),
    ({"checksums": False, "wal_log_hints": False}, False), (HubError("damaged"), None), (CommandMissing("x"), None)])
def test_whether_a_rewind_works(monkeypatch, control, works):
    def controldata(_self, _data_dir):
        if isinstance(control, Exception):
            raise control
        return control
    monkeypatch.setattr(evidence.Postgres, "controldata", controldata)
    assert evidence.rewinds(PAIR, lambda *more: None) is works
