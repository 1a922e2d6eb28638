# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the resource agent asks before it starts or promotes a database."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import leave
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandTimeout, Completed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Side

PAIR = model.Pair("hub1", "hub2", "cfcluster", "/d", "/b", "cfpostgres", 5432, None, "/ha", "/tmp", "hub_ha_repl",
                  "verify-ca", ("192.168.10.11", "192.168.0.11"), ())
SYSTEM = "7441234567890123456"
PRIMARY = Side("hub2", SYSTEM, True, False, 2, 5000, history=((1, 4000),))
STANDBY = Side("hub2", SYSTEM, True, True, 1, 4000)


class Clock:
    """Time that passes by pauses only."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds


def promote(*answers, unpromoted=False):
    """(what may_promote says, seconds it took); the last answer is repeated. A look at silence takes its time."""
    clock, left = Clock(), list(answers)

    def ask():
        peer = left.pop(0) if len(left) > 1 else left[0]
        clock.now += leave.ANSWERS if peer.here and peer.side is None and not peer.why else 0
        return peer

    return leave.may_promote(PAIR, ask, unpromoted, clock, clock.pause), clock.now


@pytest.mark.parametrize("peer", [leave.Peer(False), leave.Peer(True, STANDBY)], ids=["away", "a standby"])
def test_promoted_at_once_where_nobody_takes_writes(peer):
    assert promote(peer) == (None, 0.0)


@pytest.mark.parametrize("mine, refused", [
    (Side("hub1", SYSTEM, True, True, 1, 3999), True), (Side("hub1", SYSTEM, True, True, 1, 4000), False),
    (Side("hub1", SYSTEM, True, True, 1, 4001), False), (Side("hub1", "other", True, True, 1, 10), False),
    (Side("hub1", why="no answer"), False)], ids=["behind", "equal", "ahead", "another database", "not known"])
def test_not_beside_a_standby_that_has_more(mine, refused):
    """A hub that was off came back with the score of a standby that streams, and was promoted: 296 writes less."""
    why = leave.may_promote(PAIR, lambda: leave.Peer(True, STANDBY), own=lambda: mine)
    assert bool(why) == refused
    if refused:
        assert "hub2 runs as a standby and has what is missing here" in why
        assert "(timeline 1 at 0/FA0, here timeline 1 at 0/F9F)" in why


def test_of_two_standbys_one_may_always_be_promoted():
    for first, second in ((10, 20), (20, 10), (10, 10)):
        one, two = Side("hub1", SYSTEM, True, True, 1, first), Side("hub2", SYSTEM, True, True, 1, second)
        assert None in (leave.behind(one, two), leave.behind(two, one))


def test_one_that_says_nothing_for_a_while_is_frozen():
    """A machine that is short of processor time is slow, and so is the look: one silence proves nothing."""
    why, seconds = promote(leave.Peer(True, None, ""))
    assert why is None and leave.SILENCE <= seconds < leave.PATIENCE
    why, _seconds = promote(leave.Peer(True, None, ""), leave.Peer(True, PRIMARY))
    assert "takes writes" in why


@pytest.mark.parametrize("peer, refused", [
    (leave.Peer(True, None, "FATAL: password authentication failed"), False), (leave.Peer(True, PRIMARY), True)])
def test_pacemakers_word_counts_where_the_server_cannot_be_asked(peer, refused):
    why, seconds = promote(peer, unpromoted=True)
    assert bool(why) == refused and (refused or seconds == 0)


def asked_for(*seconds_and_answers):
    """(what may_promote says, how often it has asked); each look takes its seconds."""
    clock, left = Clock(), list(seconds_and_answers)

    def ask():
        seconds, peer = left.pop(0)
        clock.now += seconds
        return peer

    return (leave.may_promote(PAIR, ask, False, clock, clock.pause, own=lambda: Side("hub1", why="not asked")),
            len(seconds_and_answers) - len(left))


def test_a_look_in_which_this_machine_stood_still_is_not_believed():
    """Frozen for six seconds while it asked: "away" by its own clock, promoted beside the primary that was there."""
    away, silent, primary = leave.Peer(False), leave.Peer(True), leave.Peer(True, PRIMARY)
    why, _asked = asked_for((6.2, away), *[(0.1, primary)] * 50)
    assert "takes writes" in why
    assert asked_for((0.3, away), (0.4, away)) == (None, 1), "nothing to wait for"
    assert asked_for((6.2, away), (0.4, away), (0.4, away)) == (None, 2)
    assert asked_for((1.0, away), (1.0, away), (1.0, away), (1.0, away)) == (None, 3), "a busy machine"
    assert asked_for((60.0, silent), (0.1, leave.Peer(True, STANDBY)), (0.1, away)) == (None, 2)
    assert asked_for((60.0, silent), *[(1.5, silent)] * 9) == (None, 3), "silence is counted from then on"
    assert asked_for((60.0, primary), (0.1, primary), (0.1, away)) == (None, 3), "it has time to end"


def test_promoted_when_the_other_one_ends():
    why, seconds = promote(*[leave.Peer(True, PRIMARY)] * 4, leave.Peer(False))
    assert why is None and 0 < seconds < leave.PATIENCE


def test_never_beside_one_that_takes_writes():
    why, seconds = promote(leave.Peer(True, PRIMARY))
    assert "PostgreSQL on hub2 takes writes (timeline 2)" in why and seconds >= leave.PATIENCE


@pytest.mark.parametrize("peer", [
    leave.Peer(True, None, "FATAL: the database system is starting up"),
    leave.Peer(True, None, "FATAL: password authentication failed"),
    leave.Peer(True, Side("hub2", SYSTEM, True, None, 1, 4000, why="default_transaction_read_only is on there"))])
def test_what_is_not_known_is_no_leave(peer):
    why, _seconds = promote(peer)
    assert "does not say whether it takes writes (%s)" % (peer.why or peer.side.why) in why


def test_one_that_falls_silent_at_the_end_is_waited_for_no_more():
    """It took writes until then, and less than SILENCE proves nothing: a refusal in words, no error of this program."""
    looks = int(leave.PATIENCE / 0.3)
    why, seconds = promote(*[leave.Peer(True, PRIMARY)] * looks, leave.Peer(True, None, ""))
    assert "does not say whether it takes writes (it says nothing any more" in why and seconds >= leave.PATIENCE


MINE = Side("hub1", SYSTEM, state="shut down in recovery", timeline=1, min_recovery=3000, checkpoint=2000)
FORKED = Side("hub1", SYSTEM, state="in production", timeline=1, checkpoint=4200)
UNCLEAR = Side("hub1", SYSTEM, state="in production", timeline=1, checkpoint=2000, why="a segment is missing")
COPY = Side("hub1", SYSTEM, state="in archive recovery", timeline=None, min_recovery=10, checkpoint=2000)


@pytest.mark.parametrize("mine, locked, words", [
    (MINE, False, None), (MINE, True, None), (FORKED, False, "may not follow hub2"),
    (FORKED, True, "may not follow hub2"),
    (UNCLEAR, False, "a segment is missing"), (COPY, True, "may not follow hub2"), (COPY, False, None),
    (Side("hub1", "1", state="shut down", timeline=1), False, "belongs to database system 1")])
def test_beside_a_primary_the_evidence_decides(mine, locked, words):
    why = leave.may_start(PAIR, leave.Peer(True, PRIMARY), mine, locked, lambda: pytest.fail("asked needlessly"))
    assert why is None if words is None else words in why, why


def test_data_that_nobody_has_looked_at_does_not_start_beside_a_primary():
    why = leave.may_start(PAIR, leave.Peer(True, PRIMARY), None, False, lambda: pytest.fail("asked needlessly"))
    assert "may not follow hub2" in why and "not known" in why


@pytest.mark.parametrize("locked, status, allowed", [
    (False, "DISCONNECT", True), (True, "LATEST", True), (True, "STREAMING|ASYNC", True), (True, "DISCONNECT", False),
    (True, "", False)])
def test_without_a_primary_the_lock_counts_where_this_hub_is_known_to_be_behind(locked, status, allowed):
    why = leave.may_start(PAIR, leave.Peer(False), None, locked, lambda: status)
    assert (why is None) == allowed
    if not allowed:
        assert "hub2 is away" in why and "Start the other hub first" in why


@pytest.fixture(name="hub")
def fixture_hub(tmp_path, monkeypatch):
    """The commands of this program; side: of the data here, peer: the other hub's server."""
    (tmp_path / "global").mkdir()
    (tmp_path / "global/pg_control").touch()
    made = SimpleNamespace(side=MINE, peer=leave.Peer(True, PRIMARY), ran=[], notes=leave.Notes(str(tmp_path)))
    monkeypatch.setattr(leave, "this_pair", lambda: replace(PAIR, data_dir=str(tmp_path), tmp_dir=str(tmp_path)))
    monkeypatch.setattr(leave, "ask_peer", lambda pair, **more: made.peer)
    monkeypatch.setattr(leave.look, "local_side", lambda *arguments, **more: made.side)
    monkeypatch.setattr(leave, "local_runner", lambda argv, **more: made.ran.append(argv))
    monkeypatch.setattr(leave, "Notes", lambda: made.notes)
    monkeypatch.setattr(leave, "STOPPED", str(tmp_path / "stopped"))
    return made


def test_crashes_of_before_are_no_reason_to_refuse_what_was_stopped_cleanly(hub):
    now = leave.time.monotonic()
    three = [(now, 1.0), (now, 2.0), (now, 3.0)]
    hub.notes.write(three)
    assert leave.start_main([], "1") == 0 and not hub.ran
    hub.side = replace(MINE, state="in archive recovery", min_recovery=3000)
    hub.notes.write(three)
    assert leave.start_main([], "1") == leave.REFUSED and "hub_ha-gave_up" in hub.ran[0]


def test_a_leave_to_promote_has_its_time(hub, capsys):
    hub.peer = leave.Peer(False)
    with open("/proc/uptime", encoding="ascii") as stream:
        before = int(float(stream.read().split()[0]))
    assert leave.promote_main([], "1") == 0
    assert before <= int(capsys.readouterr().out) <= before + 2


def test_crashes_are_counted_within_ten_minutes():
    old = [(0.0, 1.0), (500.0, 2.0), (900.0, 3.0)]
    assert leave.crashes(old, 1000.0, 4.0) == old[1:] + [(1000.0, 4.0)]
    assert leave.crashes(old[1:2], 1000.0, None) == old[1:2]
    assert leave.crashes([(5000.0, 5.0)], 1000.0, None) == [], "times of before the boot"


def test_a_start_that_comes_nowhere_is_no_other_crash():
    """One crash, and a log that cannot be written: each try would count, and the hub be given up."""
    once = leave.crashes([], 10.0, 7.5)
    assert once == [(10.0, 7.5)]
    assert leave.crashes(leave.crashes(once, 18.0, 7.5), 26.0, 7.5) == once
    assert len(leave.crashes(once, 18.0, 17.0)) == 2, "a server that wrote it again ran in between"


@pytest.mark.parametrize("side, again", [
    (FORKED, True), (MINE, False), (Side(state="shut down"), False), (Side(running=True), False), (Side(), False),
    (Side(state="in production", backup_label=True), False), (Side(state="in archive recovery"), True)])
def test_a_crash_is_what_was_not_stopped(side, again):
    assert leave.crashed(side) == again


def test_notes_survive_rubbish_and_a_missing_folder(tmp_path):
    notes = leave.Notes(str(tmp_path / "run"))
    assert notes.read() == []
    notes.write([(1.5, 2.0)])
    assert notes.read() == [(1.5, 2.0)]
    (tmp_path / "run" / "crashes.json").write_text("[1.5, 2.0]")
    assert notes.read() == [], "as an older version wrote it"
    (tmp_path / "run" / "crashes.json").write_text("rubbish")
    assert notes.read() == []


def test_addresses_are_tried_at_once_and_keep_their_order():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert leave.taking(["127.0.0.2", "127.0.0.1"], port) == ["127.0.0.1"]
    assert leave.taking([], port) == []


def test_a_frozen_server_says_nothing_and_one_that_refuses_us_is_there():
    def frozen(argv, **more):
        raise CommandTimeout(argv, 1)

    def refusing(argv, **more):
        return Completed(list(argv), 2, "", 'psql: error: connection failed: FATAL:  no pg_hba.conf entry')

    with socket.create_server(("127.0.0.1", 0)) as server:  # look.py tries it too
        pair = model.Pair(**{**PAIR.__dict__, "db_user": "root", "peer_addresses": ("127.0.0.1",),
                             "port": server.getsockname()[1]})
        found = leave.ask_peer(pair, frozen)
        assert found.here and found.side is None and found.why == ""
        turns = []

        def slow(argv, **more):
            turns.append(argv)
            if len(turns) > 1:
                raise CommandTimeout(argv, 1)
            return Completed(list(argv), 0, "7441234567890123456|2|0/1388|\n170000\noff\noff\n", "")

        found = leave.ask_peer(pair, slow)
        assert found.here and found.side is None and found.why, "one that has answered is not frozen"
        found = leave.ask_peer(pair, refusing)
        assert found.here and found.side is None and "no pg_hba.conf entry" in found.why
    assert leave.ask_peer(pair, frozen) == leave.Peer(False)
