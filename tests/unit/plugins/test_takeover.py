# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""takeover, replication_slot and what a third hub is configured with, on real servers on loopback."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import slots as pg_slots, takeover
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres, PostgresError
from ansible_collections.cfengine.hub_ha.plugins.modules import replication_slot, takeover as takeover_module
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

ROLES = Path(__file__).parents[3] / "roles"
PASSWORD = "loopback-only"


@pytest.fixture
def lab():
    """A primary a, its standby b, and a third server c outside that follows whichever takes writes."""
    made = Lab()
    try:
        a, b, c = made.primary, made.standby, made.third = [made.server(name) for name in "abc"]
        a.create()
        a.sql("CREATE TABLE t (i int); CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s'" % PASSWORD)
        made.passfile = made.file("pass", "*:*:*:*:%s\n" % PASSWORD)
        for server, sources in ((b, [a]), (c, [a, b])):
            made.owner(made.bin + "/pg_basebackup", "-D", server.data, "-c", "fast", "-d", conninfo(made, [a], "copy"))
            made.file("%s/data/standby.signal" % os.path.basename(server.home), "")
            name = os.path.basename(server.home)
            slot(a, name, True)
            server.start(primary_conninfo=conninfo(made, sources, name) + " target_session_attrs=primary",
                         primary_slot_name=name)
        wait(lambda: a.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2")
        yield made
    finally:
        made.close()


def conninfo(lab, servers, name):
    return "host=%s port=%s user=repl passfile=%s sslmode=require application_name=%s" % (
        ",".join("127.0.0.1" for server in servers), ",".join(str(server.port) for server in servers), lab.passfile,
        name)


def slot(server, name, reserve):
    server.sql(pg_slots.statement("create", name, reserve))


def taking(server, **more):
    """The library's part of that server; a unit is a call of pg_ctl."""
    def run(argv, **how):
        if argv[0] == "systemctl":
            server.start()
            return runner.Completed(argv, 0, "", "")
        return runner.local_runner(argv, **how)

    return takeover.Takeover(Postgres(run, server.lab.bin, OWNER), server.data, **dict({"timeout": 10}, **more))


def stop(server, **more):
    return taking(server, **more).stop()


def promote(server, after=None, **more):
    return taking(server, **more).promote(after)


def test_hand_over_and_back_without_losing_a_row(lab):
    a, b, c = lab.primary, lab.standby, lab.third
    slot(b, "c", False)
    assert b.sql("SELECT restart_lsn IS NULL FROM pg_replication_slots") == "t", "on a standby it holds nothing"
    a.sql("INSERT INTO t SELECT generate_series(1, 5000)")
    assert stop(a, dry_run=True).changed and a.pid()
    last = stop(a)
    assert last.changed and not stop(a).changed
    assert promote(b, dry_run=True).changed and b.sql("SELECT pg_is_in_recovery()") == "t"
    assert promote(b, after=last.lsn).changed
    assert not promote(b).changed
    b.sql("INSERT INTO t VALUES (5001)")
    # c follows by itself, over the change of the timeline, through a slot that held nothing before
    wait(lambda: c.sql("SELECT count(*) FROM t") == "5001")
    assert b.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'c'") == "t"
    # and a has nothing that b lacks: it only has to know that it is a standby
    lab.file("a/data/standby.signal", "")
    slot(b, "a", True)
    a.start(primary_conninfo=conninfo(lab, [b], "a"), primary_slot_name="a")
    wait(lambda: a.sql("SELECT count(*) FROM t") == "5001")


def test_module(lab, run_module):
    arguments = {"data_dir": lab.standby.data, "bin_dir": lab.bin, "owner": OWNER}
    told = run_module(takeover_module, check=True, state="promoted", **arguments)
    assert told["changed"] and told["replayed"] is None and lab.standby.sql("SELECT pg_is_in_recovery()") == "t"
    done = run_module(takeover_module, state="promoted", **arguments)
    assert done["changed"] and "/" in done["replayed"] and done["seconds"] > 0
    assert run_module(takeover_module, check=True, state="down", **arguments)["changed"] and lab.standby.pid()
    assert run_module(takeover_module, state="down", **arguments)["changed"]
    assert not run_module(takeover_module, state="down", **arguments)["changed"]
    failed = run_module(takeover_module, state="promoted", **arguments)
    assert failed["failed"] and failed["kind"] == "stopped"


def test_standby_that_lacks_the_last_record_is_not_promoted(lab):
    b = lab.standby
    with pytest.raises(PostgresError, match="rows would be lost"):
        promote(b, after="0/FF000000", timeout=1)
    assert b.sql("SELECT pg_is_in_recovery()") == "t"


def test_what_is_no_primary_is_not_stopped(lab):
    with pytest.raises(PostgresError, match="is a standby") as failed:
        stop(lab.standby)
    assert failed.value.kind == "standby"
    lab.primary.kill()
    with pytest.raises(PostgresError, match="did not end cleanly"):
        stop(lab.primary)
    with pytest.raises(PostgresError, match="does not run"):
        promote(lab.primary)


def test_stopped_standby_is_started_to_be_promoted(lab):
    """A switch of the way back stopped it and could not go on: a primary that was told that it is a standby now."""
    a = lab.primary
    a.sql("INSERT INTO t VALUES (1)")
    stop(a)
    with pytest.raises(PostgresError, match="does not run"):
        promote(a, unit="cf-postgres")
    lab.file("a/data/standby.signal", "")
    assert promote(a, unit="cf-postgres", dry_run=True).changed and not a.pid()
    assert promote(a, unit="cf-postgres").changed
    a.sql("INSERT INTO t VALUES (2)")
    assert a.sql("SELECT count(*) FROM t") == "2"


def test_down_ends_a_server_and_nobody_else(lab):
    """A stale pid file names a process that is not the server: pg_ctl would signal it."""
    b = lab.standby
    assert taking(b, dry_run=True).down() and b.pid()
    assert taking(b).down() and not b.pid() and not taking(b).down()
    lab.primary.kill()
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            lab.file("a/data/postmaster.pid", "%d\n" % other.pid)
            assert not taking(lab.primary).down()
            assert other.poll() is None
        finally:
            other.kill()


def test_agent_promotes_nothing_beside_a_third_hub_that_takes_writes(lab, tmp_path):
    """The agent's wrapper with a stand-in for the distribution's agent."""
    (tmp_path / "resource.d/heartbeat").mkdir(parents=True)
    inner = tmp_path / "resource.d/heartbeat/pgsql"
    inner.write_text("#!/bin/sh\necho inner $1\n", encoding="ascii")
    inner.chmod(0o755)
    guard = Path(lab.directory("hub_ha")) / "third_hub"
    Path(lab.directory("data"), "postgresql.conf").touch()
    environment = dict(os.environ, OCF_ROOT=str(tmp_path), OCF_RESKEY_pgdata=lab.root + "/data", OCF_RESKEY_pgdba=OWNER,
                       OCF_RESKEY_psql=lab.bin + "/psql", OCF_RESKEY_master_ip="127.0.0.2")

    def promote(action="promote"):
        return subprocess.run(["sh", str(ROLES / "resources/files/pgsql"), action], env=environment, text=True,
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    assert promote().stdout == "inner promote\n", "a pair without a third hub"
    rest = " dbname=replication replication=true target_session_attrs=read-write"
    guard.write_text(conninfo(lab, [lab.third], "guard") + rest, encoding="ascii")
    assert promote().stdout == "inner promote\n", "a third hub that follows"
    guard.write_text(conninfo(lab, [lab.primary], "guard") + rest, encoding="ascii")
    refused = promote()
    assert refused.returncode == 1 and refused.stdout == "" and "third hub is active" in refused.stderr
    assert promote("monitor").stdout == "inner monitor\n"
    slow = Path(lab.file("psql", ""))
    environment["OCF_RESKEY_psql"] = str(slow)
    slow.write_text("#!/bin/sh\nsleep 2\nexec %s/psql \"$@\"\n" % lab.bin, encoding="ascii")
    slow.chmod(0o755)
    assert promote().returncode == 1, "a slow answer is an answer"
    slow.write_text("#!/bin/sh\nexec sleep 60\n", encoding="ascii")
    silent = promote()
    assert silent.returncode == 1 and silent.stdout == "" and "does not say in 10 s" in silent.stderr
    lab.primary.kill()
    assert promote().stdout == "inner promote\n", "a third hub that is not there"
    guard.write_text("host=192.0.2.1 port=5432" + rest, encoding="ascii")
    began = time.monotonic()
    assert promote().stdout == "inner promote\n" and time.monotonic() - began < 2.5, "a site that is not there"


SLOT = {"name": "hub_ha_hub3", "active": False, "restart_lsn": None, "wal_status": None}


@pytest.mark.parametrize("slots, reserve, keep, expected", [
    ([], False, None, [("create", "hub_ha_hub3")]),
    ([SLOT], False, None, []),
    ([dict(SLOT, restart_lsn="0/1")], False, None, [("drop", "hub_ha_hub3"), ("create", "hub_ha_hub3")]),
    ([dict(SLOT, restart_lsn="0/1", active=True)], False, None, []),
    ([SLOT], True, None, [("drop", "hub_ha_hub3"), ("create", "hub_ha_hub3")]),
    ([dict(SLOT, restart_lsn="0/1", wal_status="lost")], True, None,
     [("drop", "hub_ha_hub3"), ("create", "hub_ha_hub3")]),
    ([dict(SLOT, name="hub_ha_hub1"), dict(SLOT, name="own")], True, ["hub_ha_hub3"],
     [("drop", "hub_ha_hub1"), ("create", "hub_ha_hub3")]),
])
def test_slots(slots, reserve, keep, expected):
    wanted = pg_slots.Wanted("hub_ha_hub3", reserve, keep, "hub_ha_")
    assert pg_slots.changes(slots, wanted) == expected


def test_module_of_slots(lab, run_module):
    arguments = {"name": "hub_ha_x", "reserve": False, "bin_dir": lab.bin, "data_dir": lab.primary.data}
    predicted, made = run_module(replication_slot, check=True, **arguments), run_module(replication_slot, **arguments)
    assert predicted == made and made["changed"] and made["actions"] == ["create hub_ha_x"]
    assert not run_module(replication_slot, **arguments)["changed"]
    gone = run_module(replication_slot, keep=[], bin_dir=lab.bin, data_dir=lab.primary.data)
    assert gone["actions"] == ["drop hub_ha_x"]


def test_checkpoint_before_the_stop_has_the_modules_time(monkeypatch):
    """A busy hub's checkpoint takes minutes: the documented limit holds for it, not psql's own."""
    asked = []

    def run(argv, stdin=None, timeout=None, **more):
        asked.append((stdin, timeout))
        if stdin == "CHECKPOINT":
            raise runner.CommandTimeout(argv, timeout)
        return runner.Completed(argv, 0, "f\n", "")

    monkeypatch.setattr(takeover, "server_address", lambda data_dir: {})
    made = takeover.Takeover(Postgres(run, "", OWNER), "/nowhere", timeout=600, pid=lambda data_dir: 1)
    with pytest.raises(runner.CommandTimeout, match="within 600 s"):
        made.stop()
    assert asked == [("SELECT pg_is_in_recovery()", 30), ("CHECKPOINT", 600)]
