# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""replication_role against a real server: every password logs in, and none is seen anywhere."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import scram
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.replication_user import ReplicationUser
from ansible_collections.cfengine.hub_ha.plugins.modules import replication_role
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab

PASSWORDS = [
    "simple", "it's \"quoted\"", "back\\slash\\\\", "\\", "%s %d 100%", "$HOME $(id) `id`", " leading and trailing ",
    "col:on::", "semi;colon -- comment /* x */", "E'\\047'", "äöüß é", "ＡＢ\u00a0x\u00ad", "日本語", "\U0001f600",
    "tab\there", ":'var' :name", "#hash", "*", "x" * 900, "{{ jinja }}", "\u0627\u0031"]


@pytest.fixture(scope="module")
def lab():
    """One running server."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        yield made
    finally:
        made.close()


class Recorder:
    """A runner that keeps what was run."""

    def __init__(self):
        self.calls = []

    def __call__(self, argv, **more):
        self.calls.append((argv, more))
        return runner.local_runner(argv, **more)


def ensure(lab, password, name="repl", check_mode=False, run=runner.local_runner, server=None):
    """One run of the module."""
    return replication_role.ensure(user(lab, name, run, server or lab.primary), password, check_mode)


def user(lab, name, run=runner.local_runner, server=None):
    """The role on that server, the primary when none is given."""
    server = server or lab.primary
    return ReplicationUser(Postgres(run, lab.bin), name, socket_dir=server.home, port=server.port)


def login(lab, name, password):
    """Whether a replication connection over TCP and TLS with a passfile gets in."""
    line = scram.passfile_line("127.0.0.1", lab.primary.port, "replication", name, password)
    passfile = lab.file("pass", line + "\n")
    done = subprocess.run(
        [lab.bin + "/psql", "-XAtq", "-w", "-d", "host=127.0.0.1 port=%d user='%s' sslmode=require "
         "replication=true dbname=replication passfile=%s" % (
             lab.primary.port, name.replace("\\", "\\\\").replace("'", "\\'"), passfile),
         "-c", "IDENTIFY_SYSTEM"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_password_logs_in_and_is_nowhere_seen(lab, password):
    recorder = Recorder()
    before = len(lab.primary.log_text())
    predicted = ensure(lab, password, check_mode=True)
    result = ensure(lab, password, run=recorder)
    assert result["changed"] and result["password_changed"]
    assert predicted == result
    assert login(lab, "repl", password)
    assert not ensure(lab, password)["changed"]
    assert not ensure(lab, password, check_mode=True)["changed"]
    assert not login(lab, "repl", password + "x")
    log = lab.primary.log_text()[before:]
    everything = json.dumps(result, ensure_ascii=False) + json.dumps([argv for argv, more in recorder.calls])
    assert "SCRAM-SHA-256$" not in everything + log
    if len(password) > 4:
        assert password not in everything + log
        assert password not in "".join(more.get("stdin") or "" for argv, more in recorder.calls)


@pytest.mark.parametrize("name", ["cf replication", "o'brien", 'dou"ble', "back\\slash"])
def test_every_name(lab, name):
    assert ensure(lab, "secret", name=name)["created"]
    assert not ensure(lab, "secret", name=name)["changed"]


def test_attributes_are_mended_and_shown(lab):
    ensure(lab, "secret", name="drift")
    lab.primary.sql("ALTER ROLE drift SUPERUSER CREATEDB NOLOGIN NOREPLICATION VALID UNTIL '2020-01-01'")
    predicted = ensure(lab, "secret", name="drift", check_mode=True)
    result = ensure(lab, "secret", name="drift")
    assert predicted == result and result["changed"] and not result["password_changed"] and not result["created"]
    before, after = result["diff"]["before"], result["diff"]["after"]
    names = ("super", "createdb", "canlogin", "replication")
    assert [before[name] for name in names] == [True, True, False, False]
    assert [after[name] for name in names] == [False, False, True, True]
    assert before["password"] == after["password"] == "unchanged"
    assert lab.primary.sql("SELECT rolsuper, rolcreatedb, rolcanlogin, rolreplication, rolvaliduntil FROM pg_roles "
                           "WHERE rolname = 'drift'") == "f|f|t|t|infinity"
    assert not ensure(lab, "secret", name="drift")["changed"]


@pytest.mark.parametrize("make, words", [
    ("SUPERUSER REPLICATION LOGIN", "is a superuser"), ("LOGIN", "may not replicate"),
    ("REPLICATION", "may not log in"), ("LOGIN REPLICATION CREATEDB", "may create databases"),
    ("LOGIN REPLICATION CREATEROLE", "may create roles"), ("LOGIN REPLICATION BYPASSRLS", "bypasses row security"),
    ("LOGIN REPLICATION; CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO somebody", "owns 1 objects"),
    ("LOGIN REPLICATION; CREATE ROLE team; GRANT team TO somebody", "is a member of team")])
def test_a_role_of_somebody_elses_is_left_alone(lab, make, words):
    """Its rights would be gone, and its password another one."""
    lab.primary.sql("CREATE ROLE somebody " + make)
    try:
        before = lab.primary.sql("SELECT a::text FROM pg_authid a WHERE rolname = 'somebody'")
        for check_mode in (True, False):
            with pytest.raises(runner.HubError, match=words) as error:
                ensure(lab, "secret", name="somebody", check_mode=check_mode)
        assert "give another name" in error.value.message and error.value.details["code"] == "ROLE_FOREIGN"
        with pytest.raises(runner.HubError, match=words):
            replication_role.remove(user(lab, "somebody"), [], False)
        assert lab.primary.sql("SELECT a::text FROM pg_authid a WHERE rolname = 'somebody'") == before
    finally:
        lab.primary.sql("DROP TABLE IF EXISTS theirs; DROP ROLE somebody; DROP ROLE IF EXISTS team")


def test_the_hubs_own_role_is_left_alone(lab):
    with pytest.raises(runner.HubError, match="a role of the hub itself"):
        ensure(lab, "secret", name="root")
    assert lab.primary.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'root'") == "t"


@pytest.mark.parametrize("stored", ["SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'secret'",
                                    "ALTER ROLE old PASSWORD NULL"])
def test_md5_or_no_password_is_replaced(lab, stored):
    ensure(lab, "secret", name="old")
    lab.primary.sql(stored)
    result = ensure(lab, "secret", name="old")
    assert result["password_changed"]
    assert (result["diff"]["before"]["password"], result["diff"]["after"]["password"]) == ("different", "will be set")


def test_the_servers_own_verifier_is_recognized(lab):
    lab.primary.sql("CREATE ROLE own LOGIN REPLICATION PASSWORD 'geheim \u00e4'")
    assert not ensure(lab, "geheim \u00e4", name="own")["changed"]


def test_other_grants_stay(lab):
    ensure(lab, "secret", name="grants")
    lab.primary.sql("GRANT pg_monitor TO grants; ALTER ROLE grants CONNECTION LIMIT 7")
    ensure(lab, "other", name="grants")
    assert lab.primary.sql("SELECT rolconnlimit, pg_has_role('grants', 'pg_monitor', 'member') FROM pg_roles "
                           "WHERE rolname = 'grants'") == "7|t"


@pytest.mark.parametrize("password", ["a\nb", "a\0b", ""])
def test_unusable_password(lab, password):
    with pytest.raises(runner.HubError, match="cannot be used"):
        ensure(lab, password, name="never")
    assert lab.primary.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'never'") == "0"


def test_no_server(lab):
    nobody = lab.server("nobody")
    with pytest.raises(runner.HubError, match="Check that the server runs"):
        ensure(lab, "secret", server=nobody)


def test_standby_is_refused(lab):
    def standby(argv, **unused_more):
        return runner.Completed(argv, 0, '{"in_recovery": true, "role": null}', "")

    with pytest.raises(runner.HubError, match="run this on the primary"):
        ensure(lab, "secret", run=standby)


def test_a_failing_statement_does_not_show_the_verifier(lab):
    with pytest.raises(runner.HubError) as caught:
        ensure(lab, "secret", name="pg_reserved")
    assert "SCRAM" not in caught.value.message + json.dumps(caught.value.details)
    assert "reserved" in caught.value.message


def test_role_and_slots_go(lab):
    ensure(lab, "simple", name="leaves")
    postgres = Postgres(runner.local_runner, lab.bin)
    where = {"user": "root", "socket_dir": lab.primary.home, "port": lab.primary.port}
    for slot in ("hub_ha_hub2", "theirs"):
        postgres.sql("SELECT pg_create_physical_replication_slot('%s');" % slot, **where)
    slots = ["hub_ha_hub1", "hub_ha_hub2"]
    told = replication_role.remove(user(lab, "leaves"), slots, True)
    done = replication_role.remove(user(lab, "leaves"), slots, False)
    assert told == done and done["changed"] and done["dropped"] == ["slot hub_ha_hub2", "role leaves"]
    again = replication_role.remove(user(lab, "leaves"), slots, False)
    assert not again["changed"] and again["dropped"] == []
    assert postgres.sql("SELECT slot_name FROM pg_replication_slots;", **where).split() == ["theirs"]
    postgres.sql("SELECT pg_drop_replication_slot('theirs');", **where)
    assert not replication_role.remove(user(lab, "leaves"), [], False)["changed"]


def test_module(lab, run_module):
    where = {"name": "by_module", "bin_dir": lab.bin, "socket_dir": lab.primary.home, "port": lab.primary.port}
    told = run_module(replication_role, check=True, password="simple", **where)
    done = run_module(replication_role, password="simple", **where)
    assert told == done and done["created"]
    assert lab.primary.sql("SELECT rolreplication FROM pg_roles WHERE rolname = 'by_module'") == "t"
    assert run_module(replication_role, state="absent", **where)["dropped"] == ["role by_module"]
    failed = run_module(replication_role, **dict(where, name="root", password="simple"))
    assert failed["failed"] and failed["code"] == "ROLE_FOREIGN"
