# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""replication_info: the model on data, and against a real pair."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import evidence, status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import seen as view
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair.model import Pair
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import status as model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres, PostgresError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.control import parse_controldata
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.lsn import int_to_lsn, lsn_diff, lsn_to_int
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import postmaster_pid
from ansible_collections.cfengine.hub_ha.plugins.modules import replication_info
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures", "postgres")


@pytest.mark.parametrize("lsn, number", [
    ("0/0", 0), ("0/16B3748", 23803720), ("1/0", 1 << 32), ("A/FFFFFFFF", (10 << 32) + 0xFFFFFFFF), (None, None)])
def test_lsn(lsn, number):
    assert lsn_to_int(lsn) == number
    assert int_to_lsn(number) == lsn


@pytest.mark.parametrize("text", ["x", "0", "0/", "/1", "0/123456789", "0/0 ;", "-1/0"])
def test_bad_lsn(text):
    with pytest.raises(ValueError):
        lsn_to_int(text)


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_bad_position(number):
    with pytest.raises(ValueError):
        int_to_lsn(number)


def test_lsn_diff():
    assert lsn_diff("1/0", "0/FFFFFFFF") == 1
    assert lsn_diff("0/1", "0/2") == 0
    assert lsn_diff("0/1", None) is None


@pytest.mark.parametrize("name, state, role", [
    ("controldata-primary.txt", "shut down", "primary"),
    ("controldata-standby.txt", "shut down in recovery", "standby")])
def test_controldata(name, state, role):
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as handle:
        control = parse_controldata(handle.read())
    assert control["state"] == state and control["timeline"] == 1 and control["system_identifier"].isdigit()
    assert model.stopped_role(control, False) == role
    assert model.stopped_role(control, True) == "standby"
    result = model.stopped(control, 17)
    assert result["role"] == "stopped" and result["starts_as"] == role and result["version_num"] == 170000
    assert (result["replay_lsn"] is None) == (role == "primary")
    assert (result["current_lsn"] is None) == (role == "standby")


@pytest.mark.parametrize("text", ["", "pg_control version number: 1300\n", "Database system identifier: abc\n"])
def test_controldata_that_is_none(text):
    with pytest.raises(ValueError):
        parse_controldata(text)


def answer(**more):
    """What the query returns on an idle primary of version 13."""
    data = {"in_recovery": False, "version_num": 130012, "system_identifier": "7", "timeline": 1,
            "current_lsn": "0/3000000", "receive_lsn": None, "replay_lsn": None, "replay_age": None,
            "replay_paused": None, "pending_restart": [],
            "slots": [], "senders": [], "receiver": None}
    data.update(more)
    return data


def test_columns_that_a_version_lacks_are_null():
    result = model.running(answer(slots=[{"slot_name": "a", "active": False, "restart_lsn": "0/1000000"}]), 5)
    assert result["slots"][0]["retained_bytes"] == 0x2000000
    assert result["slots"][0]["invalidation_reason"] is None and result["slots"][0]["wal_status"] is None


def test_a_sender_without_lag_but_an_old_lag_time():
    row = {"application_name": "hub2", "state": "streaming", "sent_lsn": "0/3000000", "replay_lsn": "0/3000000",
           "replay_lag": 12.5}
    result = model.running(answer(senders=[row]), 5)
    assert result["lag_bytes"] == 0 and result["lag_seconds"] == 0.0
    row["replay_lsn"] = "0/2000000"
    result = model.running(answer(senders=[row]), 5)
    assert result["lag_bytes"] == 0x1000000 and result["lag_seconds"] == 12.5


def test_a_sender_that_has_replayed_nothing_yet_is_behind_by_nobody_knows_how_much():
    """What was sent is no measure: the standby may not have read a byte of it."""
    rows = [{"application_name": "hub2", "state": "streaming", "sent_lsn": "0/3000000", "replay_lsn": None},
            {"application_name": "hub3", "state": "streaming", "sent_lsn": "0/3000000", "replay_lsn": "0/3000000"}]
    result = model.running(answer(senders=rows), 5)
    assert [row["lag_bytes"] for row in result["senders"]] == [None, 0]
    assert [row["lag_seconds"] for row in result["senders"]] == [None, 0.0]
    assert result["lag_bytes"] is None and result["lag_seconds"] is None
    rows[0].update(replay_lsn="0/2FFFFFF", replay_lag=None)
    result = model.running(answer(senders=rows), 5)
    assert result["lag_bytes"] == 1 and result["lag_seconds"] is None


@pytest.mark.parametrize("receiver", [None, {"status": "waiting"}, {"status": "starting"}])
def test_a_standby_that_receives_nothing_does_not_know_its_lag(receiver):
    standby = answer(in_recovery=True, current_lsn=None, receive_lsn="0/3000000", replay_lsn="0/3000000",
                     replay_age=3600.0, receiver=receiver)
    result = model.running(standby, 5)
    assert result["lag_seconds"] is None and result["lag_bytes"] == 0


@pytest.mark.parametrize("mode, in_recovery, there", [
    ("on", False, True), ("always", False, True), ("always", True, True), ("on", True, False), ("off", False, False)])
def test_archiver_of_a_server_that_archives(mode, in_recovery, there):
    """A standby's figures with archive_mode "on" are from the time when it was the primary."""
    row = {"failing": True, "last_failed_wal": "1", "last_failed_time": "t", "last_archived_wal": None,
           "last_archived_time": None}
    result = model.running(answer(archive_mode=mode, in_recovery=in_recovery, archiver=row), 5)
    assert result["archiver"] == (row if there else None)


def test_standby_lag():
    standby = answer(in_recovery=True, current_lsn=None, receive_lsn="0/3000000", replay_lsn="0/3000000",
                     replay_age=3600.0, receiver={"status": "streaming"})
    assert model.running(standby, 5)["lag_seconds"] == 0.0
    standby["replay_lsn"] = "0/2FFFFFF"
    assert model.running(standby, 5)["lag_bytes"] == 1 and model.running(standby, 5)["lag_seconds"] == 3600.0


def silent(times, stopping):
    """gather() of a server that does not answer so often."""
    left = [model.Silent("it does not answer", stopping=stopping)] * times

    def gather(postgres, data_dir, **how):
        if left:
            raise left.pop()
        return {"role": "standby", "data_dir": data_dir, **how}
    return gather


@pytest.mark.parametrize("times, stopping, wait_for_stop, answers", [
    (0, False, True, True), (3, False, False, True), (3, True, True, True), (1, True, False, False), (50, False, True, False)])
def test_a_state_that_passes_is_waited_for(monkeypatch, times, stopping, wait_for_stop, answers):
    now = [0.0]
    monkeypatch.setattr(model, "gather", silent(times, stopping))

    def ask():
        return model.gather_patiently(Postgres(), "/data", 10, wait_for_stop, lambda seconds: now.append(now[-1] + seconds),
                                      lambda: now[-1], port=5)
    if answers:
        assert ask() == {"role": "standby", "data_dir": "/data", "port": 5}
        return
    with pytest.raises(model.Silent) as failed:
        ask()
    assert failed.value.details == {"stopping": stopping} and now[-1] <= 10.3


def test_an_error_of_another_kind_is_not_waited_for(monkeypatch):
    def gather(postgres, data_dir, **how):
        raise PostgresError("unreadable", "pg_control is damaged")
    monkeypatch.setattr(model, "gather", gather)
    with pytest.raises(PostgresError):
        model.gather_patiently(Postgres(), "/data", 1000, sleep=None)


def test_every_result_has_the_same_keys():
    keys = set(model.absent())
    assert set(model.running(answer(), 5)) == keys
    control = {"system_identifier": "7", "state": "shut down", "timeline": 1, "checkpoint_lsn": "0/1",
               "min_recovery_lsn": None}
    assert set(model.stopped(control)) == keys


@pytest.fixture(scope="module")
def lab():
    """A primary and a standby that streams from it."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        made.primary.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD 'geheim-4711'; "
                         "SELECT pg_create_physical_replication_slot('idle', true); SELECT pg_switch_wal();")
        made.standby = made.server("standby")
        made.passfile = made.file("pass", "*:*:*:repl:geheim-4711\n")
        made.conninfo = "host=127.0.0.1 port=%d user=repl passfile=%s sslmode=require" % (
            made.primary.port, made.passfile)
        made.owner(made.bin + "/pg_basebackup", "-D", made.standby.data, "-c", "fast", "-C", "-S", "hub2",
                   "-d", made.conninfo)
        open(made.standby.data + "/standby.signal", "w", encoding="utf-8").close()
        # A password in the connection string, as no hub should have it: it must not come out.
        made.follow = {"primary_slot_name": "hub2", "hot_standby_feedback": "on", "primary_conninfo":
                       made.conninfo.replace("passfile=%s" % made.passfile, "password=geheim-4711")
                       + " application_name=hub2"}
        made.standby.start(**made.follow)
        wait(lambda: made.primary.sql("SELECT state FROM pg_stat_replication") == "streaming")
        yield made
    finally:
        made.close()


def pair_of(lab, node, peer, mine, other):
    """What pair.json would say on *mine*."""
    folder = os.path.dirname(lab.file("pgpass", "*:*:*:repl:geheim-4711\n"))
    return Pair(node, peer, "c", mine.data, lab.bin, OWNER, other.port, None, folder, folder, "repl", "require",
                ("127.0.0.1",), ())


def test_what_each_hub_asks_of_both_servers(lab):
    """hub-ha status and hub-ha evidence, with the questions that they really ask."""
    for node, peer, mine, other in (("hub1", "hub2", lab.primary, lab.standby),
                                    ("hub2", "hub1", lab.standby, lab.primary)):
        known = pair_of(lab, node, peer, mine, other)
        seen, _idle = status.look(known, limit=5.0)
        assert (seen.role, seen.other_role) == (("primary", "standby") if node == "hub1" else ("standby", "primary"))
        assert view.active_hub(seen) == "hub1" and seen.other.age is not None
        codes = {item.code for item in view.problems(seen)}
        assert not codes & {"PEER_UNKNOWN", "DATABASE_UNKNOWN", "TWO_PRIMARIES", "OTHER_SYSTEM", "NO_PRIMARY"}, codes
        found = evidence.find(known)
        assert found.follows and found.step == ("primary" if node == "hub1" else "start"), found
        assert found.peer.side.name == peer and found.age is not None


def gather(lab, server, run=runner.local_runner, **more):
    """The state of the server."""
    return model.gather(Postgres(run, lab.bin), more.pop("data_dir", server.data), **more)


def test_running_pair(lab):
    calls = []

    def run(argv, **more):
        calls.append(argv)
        return runner.local_runner(argv, **more)

    lab.primary.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    wait(lambda: gather(lab, lab.primary)["lag_bytes"] == 0)
    primary = gather(lab, lab.primary, run=run)
    assert len(calls) == 1, "one round trip"
    standby = gather(lab, lab.standby)
    assert set(primary) == set(standby) == set(model.absent())
    assert (primary["role"], standby["role"]) == ("primary", "standby")
    assert primary["running"] and primary["pid"] == lab.primary.pid() == postmaster_pid(lab.primary.data)
    assert primary["system_identifier"] == standby["system_identifier"]
    assert primary["timeline"] == standby["timeline"] == 1
    assert primary["version_num"] == int(lab.primary.sql("SHOW server_version_num"))
    assert primary["current_bytes"] == lsn_to_int(primary["current_lsn"]) > 0 and primary["receive_lsn"] is None
    assert standby["current_lsn"] is None and standby["replay_bytes"] >= primary["current_bytes"] - 65536
    assert standby["lag_bytes"] == 0 and standby["lag_seconds"] == 0.0 and standby["replay_paused"] is False

    sender = primary["senders"][0]
    assert len(primary["senders"]) == 1
    assert sender["application_name"] == "hub2" and sender["client_addr"] == "127.0.0.1"
    assert sender["state"] == "streaming" and sender["sync_state"] == "async" and sender["ssl"] is True
    assert sender["lag_bytes"] == 0 and sender["lag_seconds"] == 0.0
    slots = dict((slot["name"], slot) for slot in primary["slots"])
    assert slots["hub2"]["active"] and not slots["idle"]["active"]
    assert slots["idle"]["wal_status"] == "reserved" and slots["idle"]["retained_bytes"] > 0
    assert slots["idle"]["safe_wal_size"] is None
    receiver = standby["receiver"]
    assert receiver["status"] == "streaming" and receiver["slot_name"] == "hub2"
    assert receiver["sender_host"] == "127.0.0.1"
    assert receiver["sslmode"] == "require" and receiver["sender_port"] == lab.primary.port
    assert "geheim" not in json.dumps(standby) and "conninfo" not in json.dumps(standby)
    assert primary["pending_restart"] == []


def test_lag_while_replay_is_paused(lab):
    lab.primary.sql("CREATE TABLE before_lag AS SELECT 1")  # the age of the last replayed transaction is known then
    wait(lambda: gather(lab, lab.standby)["lag_seconds"] is not None and not gather(lab, lab.standby)["lag_bytes"])
    lab.standby.sql("SELECT pg_wal_replay_pause()")
    wait(lambda: gather(lab, lab.standby)["replay_paused"])
    lab.primary.sql("CREATE TABLE lag AS SELECT generate_series(1, 5000)")
    standby = wait(lambda: [info for info in [gather(lab, lab.standby)] if info["lag_bytes"]])[0]
    assert standby["lag_bytes"] > 100000 and standby["lag_seconds"] >= 0
    assert gather(lab, lab.primary)["lag_bytes"] > 100000
    lab.standby.sql("SELECT pg_wal_replay_resume()")
    wait(lambda: gather(lab, lab.standby)["lag_bytes"] == 0)


def test_settings_that_must_not_be_lower(lab):
    for server in (lab.primary, lab.standby):
        found = gather(lab, server)["not_lower"]
        assert found == dict((name, int(server.sql("SHOW " + name))) for name in model.NOT_LOWER)


def test_standby_whose_primary_is_gone(lab):
    """It has replayed all that it had, and that says nothing."""
    lab.primary.stop()
    standby = wait(lambda: [info for info in [gather(lab, lab.standby)] if info["receiver"] is None])[0]
    assert standby["lag_bytes"] == 0 and standby["lag_seconds"] is None
    lab.primary.start()
    wait(lambda: gather(lab, lab.standby)["lag_seconds"] == 0.0, 30)


def test_replay_that_postgresql_pauses_itself(lab):
    """max_connections was raised on the primary alone: the standby stops replaying, and a promotion would end it."""
    if lab.primary.sql("SELECT current_setting('server_version_num')::int < 140000") == "t":
        return  # such a standby stops at once
    usual = int(lab.primary.sql("SHOW max_connections"))
    lab.primary.stop()
    lab.primary.start(max_connections=usual + 5)
    wait(lambda: gather(lab, lab.standby)["replay_paused"], 30)
    low, high = gather(lab, lab.standby)["not_lower"], gather(lab, lab.primary)["not_lower"]
    assert (low["max_connections"], high["max_connections"]) == (usual, usual + 5)
    lab.standby.stop()
    lab.standby.start(max_connections=usual + 5, **lab.follow)
    lab.primary.stop()
    lab.primary.start()
    wait(lambda: gather(lab, lab.standby)["lag_seconds"] == 0.0, 30)
    lab.standby.stop()
    lab.standby.start(**lab.follow)
    assert gather(lab, lab.standby)["replay_paused"] is False


def test_archive_command_that_fails(lab):
    assert gather(lab, lab.primary)["archiver"] is None
    lab.primary.sql("ALTER SYSTEM SET archive_command = 'false'")
    lab.primary.stop()
    lab.primary.start(archive_mode="on")
    assert gather(lab, lab.primary)["archiver"]["failing"] is False, "nothing was tried yet"
    lab.primary.sql("SELECT pg_switch_wal()")
    failing = wait(lambda: [found for found in [gather(lab, lab.primary)["archiver"]] if found["failing"]], 30)[0]
    assert failing["last_failed_wal"] and not failing["last_archived_wal"]
    lab.primary.sql("ALTER SYSTEM SET archive_command = 'true'")
    lab.primary.sql("SELECT pg_reload_conf()")
    done = wait(lambda: [found for found in [gather(lab, lab.primary)["archiver"]] if found["last_archived_wal"]], 90)
    assert done[0]["failing"] is False
    lab.primary.sql("ALTER SYSTEM RESET archive_command")
    lab.primary.stop()
    lab.primary.start()


def test_pending_restart(lab):
    lab.primary.sql("ALTER SYSTEM SET max_wal_senders = 12")
    lab.primary.sql("SELECT pg_reload_conf()")
    wait(lambda: gather(lab, lab.primary)["pending_restart"] == ["max_wal_senders"])
    # Back by value: PostgreSQL keeps the flag of a setting whose line is only taken away.
    lab.primary.sql("ALTER SYSTEM SET max_wal_senders = 10")
    lab.primary.sql("SELECT pg_reload_conf()")
    wait(lambda: gather(lab, lab.primary)["pending_restart"] == [])


def test_stopped_promoted_killed_and_absent(lab):
    lab.standby.stop()
    stopped = gather(lab, lab.standby)
    assert stopped["role"] == "stopped" and not stopped["running"] and stopped["starts_as"] == "standby"
    assert stopped["state"] == "shut down in recovery" and stopped["replay_bytes"] > 0
    assert stopped["version_num"] // 10000 == gather(lab, lab.primary)["version_num"] // 10000
    lab.standby.start()
    lab.standby.sql("SELECT pg_promote()")
    # Right after the promotion the last checkpoint still is that of the old timeline.
    promoted = gather(lab, lab.standby)
    assert promoted["role"] == "primary" and promoted["timeline"] == 2
    os.kill(lab.standby.pid(), signal.SIGKILL)
    wait(lambda: postmaster_pid(lab.standby.data) is None)
    killed = gather(lab, lab.standby)
    assert lab.standby.pid() and killed["role"] == "stopped" and killed["starts_as"] == "primary"
    assert gather(lab, lab.standby, data_dir="/nonexistent")["role"] == "absent"


def test_pid_file_of_somebody_else(lab):
    other = lab.directory("other") + "/data"
    shutil.copytree(lab.standby.data, other)
    with open(other + "/postmaster.pid", "w", encoding="utf-8") as handle:
        handle.write("%d\n" % os.getpid())
    assert gather(lab, lab.standby, data_dir=other)["role"] == "stopped"
    os.unlink(other + "/global/pg_control")
    with pytest.raises(PostgresError, match="cannot make sense"):
        gather(lab, lab.standby, data_dir=other)


def test_role_that_may_not_log_in(lab):
    with pytest.raises(runner.HubError, match="does not answer nobody"):
        gather(lab, lab.primary, login_role="nobody")


def test_module(lab, run_module):
    found = run_module(replication_info, data_dir=lab.primary.data, bin_dir=lab.bin)
    assert found["role"] == "primary" and not found["changed"] and set(model.absent()) < set(found)
    assert run_module(replication_info, data_dir="/nonexistent")["role"] == "absent"
    failed = run_module(replication_info, data_dir=lab.primary.data, bin_dir=lab.bin, login_role="nobody")
    assert failed["failed"] and "does not answer nobody" in failed["msg"]
