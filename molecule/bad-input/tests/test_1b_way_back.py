"""A look that changes nothing, then upgrades that fail: the hub serves all the time or again, and the run says so."""

from __future__ import annotations

import pytest
from conftest import fingerprint, written
from shared_hosts import WORK, lab, report, sql

DATA = WORK + "/state/pg/data"
DROP_IN = "/etc/systemd/system/cf-postgres.service.d"
# Stands for whatever keeps PostgreSQL from starting with the upgrade's settings.
REFUSE = "[Service]\nExecStartPre=/bin/sh -c '! test -e %s/hub_ha.conf'\n" % DATA


def configuration(host):
    """PostgreSQL's files as they are, and its unit."""
    return host.check_output("cd %s && sha256sum *.conf; systemctl is-enabled cf-postgres; "
                             "systemctl is-active cf-postgres" % DATA)


def postmaster(host):
    """Process id of the running server."""
    return host.check_output("head -1 %s/postmaster.pid" % DATA)


def told(done, *words):
    """The run has failed with these words, and the writer goes on."""
    assert done.rc != 0, done.output
    done.says("The hub is serving: PostgreSQL takes writes on hub1.", "What was there before is saved on hub1 in",
              "run the same command again: it goes on where it stopped.", *words)
    acknowledged = written()[0]
    assert written()[0] > acknowledged


@pytest.fixture(scope="module", name="before")
def fixture_before(hub1):
    """A setting of the operator's waits for a restart. What the hub's PostgreSQL is configured with."""
    hub1.run_expect([0], "echo 'max_replication_slots = 12' >>%s/postgresql.conf" % DATA)
    sql(hub1, "SELECT pg_reload_conf()")
    return configuration(hub1)


def test_check_mode_changes_nothing(play, hub1, hub2, before):
    hubs = [fingerprint(host) for host in (hub1, hub2)]
    done = play.upgrade(arguments=["--check", "--diff"])
    assert done.rc == 0, done.output
    done.says("one restart of PostgreSQL, for max_replication_slots")
    changes = done.changes()
    for task in ("hub1: cfengine.hub_ha.database : Restart PostgreSQL, once",
                 "hub2: cfengine.hub_ha.packages : Install packages"):
        assert task in changes, changes
    assert [fingerprint(host) for host in (hub1, hub2)] == hubs
    assert configuration(hub1) == before


def test_restart_that_is_not_allowed(play, hub1, before):
    server = postmaster(hub1)
    failed = written()[1]
    done = play.upgrade({"hub_ha_allow_restart": False})
    told(done, "NOT ALLOWED (hub_ha_allow_restart) and needed for max_replication_slots: the run will stop",
         "must be restarted once for max_replication_slots, and hub_ha_allow_restart is false",
         "systemctl restart cf-postgres")
    assert postmaster(hub1) == server and written()[1] == failed == 0
    assert hub1.file(DATA + "/hub_ha.conf").exists and configuration(hub1) != before


def test_restart_that_fails(play, hub1, before):
    """The configuration that this run found is the one that PostgreSQL refuses: the run before has left it."""
    server = postmaster(hub1)
    hub1.run_expect([0], "mkdir %s && cat >%s/refuse.conf <<'END'\n%sEND\nsystemctl daemon-reload"
                    % (DROP_IN, DROP_IN, REFUSE))
    done = play.upgrade()
    hub1.run_expect([0], "rm -r %s && systemctl daemon-reload" % DROP_IN)
    told(done, 'hub1: "Restart PostgreSQL, once" failed')
    assert configuration(hub1) == before and postmaster(hub1) != server
    oldest = hub1.check_output("ls -1d /var/backups/cfengine-hub-ha/* | head -1")
    done.says("PostgreSQL was started on hub1 with the configuration saved in " + oldest)


def test_nothing_was_lost(hub1, hub2):
    """And the writer begins a new log: what failed on purpose is no news for the tests after this one."""
    lab("writer", "stop")
    figures = report("writer", "--read-from", "hub1")
    print("failed restart and way back: longest gap %.1f s, %d acknowledged, %d lost"
          % (figures["longest_gap_s"], figures["acknowledged"], figures["lost"]))
    assert figures["lost"] == 0 and figures["longest_gap_s"] < 60
    # The way back has started it with the values of before; the operator takes what still waits.
    assert sql(hub1, "SHOW max_replication_slots") == ["10"]
    hub1.run_expect([0], "systemctl restart cf-postgres")
    assert sql(hub1, "SHOW max_replication_slots") == ["12"]
    lab("writer", "start")
    # Before the pair's resources are there, somebody else uses the cluster.
    hub1.run_expect([0], "cibadmin --create --scope resources --xml-text "
                         "'<primitive id=\"operators-own\" class=\"ocf\" provider=\"pacemaker\" type=\"Dummy\"/>'")
    assert "operators-own" in hub2.check_output("cibadmin --query --sync-call")
