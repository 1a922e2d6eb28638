# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pg/look and pg/evidence on real servers: switchovers, crashes, forks and what is left of them."""

from __future__ import annotations

import copy
import os
import socket
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    postgres as pg_facts,
    probe as hub_loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import evidence, look
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres, PostgresError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Kind
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.lsn import lsn_to_int, segment_name
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.status import gather
from ansible_collections.cfengine.hub_ha.plugins.modules import basebackup
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

PASSWORD = "loopback-only"
MEGABYTE = 1 << 20  # bytes per segment of WAL in these servers


class Servers(Lab):
    """A primary a, its standby b, and others by name."""

    def __init__(self):
        super().__init__()
        self.passfile = self.file("pass", "*:*:*:*:%s\n" % PASSWORD)
        self.calls = []
        self.a = self.server("a").create()
        self.a.sql("CREATE TABLE t (i int); CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s'" % PASSWORD)
        self.b = self.copy(self.a, "b")
        self.follow(self.b, self.a)

    def run(self, argv, **more):
        """The runner; notes what is called."""
        self.calls.append(argv)
        return local_runner(argv, **more)

    def conninfo(self, server, who):
        """libpq's words for a replication connection."""
        return "host=127.0.0.1 port=%d user=repl passfile=%s sslmode=require application_name=%s" % (
            server.port, self.passfile, who)

    def copy(self, source, name):
        """A new base backup of *source*, not started."""
        made = self.server(name)
        self.owner(self.bin + "/pg_basebackup", "-D", made.data, "-c", "fast", "-d", self.conninfo(source, "copy"))
        return made

    def follow(self, server, source):
        """Starts *server* as a standby of *source*."""
        name = os.path.basename(server.home)
        self.file(name + "/data/standby.signal", "")
        source.sql("SELECT pg_create_physical_replication_slot('%s', true) WHERE NOT EXISTS ("
                   "SELECT FROM pg_replication_slots WHERE slot_name = '%s')" % (name, name))
        server.start(primary_conninfo=self.conninfo(source, name), primary_slot_name=name)
        return server

    def promote(self, server):
        """Promotes it and waits until it takes writes."""
        self.owner(self.bin + "/pg_ctl", "-D", server.data, "-w", "promote")
        wait(lambda: server.sql("SELECT pg_is_in_recovery()") == "f")

    def same(self, ahead, server):
        """Waits until *server* has replayed what *ahead* has written."""
        place = ahead.sql("SELECT pg_current_wal_lsn()")
        wait(lambda: server.sql("SELECT pg_last_wal_replay_lsn() >= '%s'" % place) == "t")

    def local(self, server, primary=None, **more):
        """local_side()."""
        return look.local_side(self.run, server.data, self.bin, OWNER, primary, os.path.basename(server.home), **more)

    def remote(self, server, **more):
        """remote_side()."""
        return look.remote_side(self.run, self.bin, OWNER, self.conninfo(server, "look"),
                                os.path.basename(server.home), **more)

    def relations(self, server, primary):
        """relation() by a probe at the fork, and by the end of the WAL: both must say the same."""
        theirs = self.remote(primary)
        found = [evidence.relation(side, theirs) for side in (
            self.local(server, theirs), self.local(server, whole=True))]
        assert found[0].follows == found[1].follows and found[0].forked == found[1].forked, found
        return found


@pytest.fixture(name="lab")
def fixture_lab():
    """Servers."""
    made = Servers()
    try:
        yield made
    finally:
        made.close()


def check_environment(lab, monkeypatch):
    """Nothing of it changes which server is asked."""
    with monkeypatch.context() as patch:
        for name, value in (("PGHOST", "/nowhere"), ("PGOPTIONS", "-c nonsense=1"), ("PGSERVICE", "x"),
                            ("PGUSER", "nobody"), ("PGSSLMODE", "disable"), ("PGREPLICATION", "x")):
            patch.setenv(name, value)
        assert lab.local(lab.a).in_recovery is False and lab.remote(lab.a).in_recovery is False
        assert lab.local(lab.b).timeline == 1
        assert facts(lab, lab.b)["state"] == "standby"


def check_settings(lab):
    """What is asked for beside."""
    for server in (lab.a, lab.b):
        told = dict(lab.remote(server, settings=("max_connections", "max_wal_senders")).settings)
        assert told == {name: server.sql("SHOW %s" % name) for name in ("max_connections", "max_wal_senders")}
        assert lab.remote(server).settings == ()


def check_older_version(lab, monkeypatch):
    """What the look asks of PostgreSQL 13 gives the same answer here."""
    def old(argv, **more):
        done = local_runner(argv, **more)
        assert "SHOW in_hot_standby" not in argv
        return done._replace(out=done.out.replace(str(version), "130022"))

    version = lab.a.sql("SHOW server_version_num")
    with monkeypatch.context() as patch:
        patch.setattr(lab, "run", old)
        assert lab.remote(lab.a).in_recovery is False and lab.remote(lab.b).in_recovery is True
        lab.a.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
        wait(lambda: lab.remote(lab.a).in_recovery is None)
        assert "default_transaction_read_only" in lab.remote(lab.a).why
        assert lab.remote(lab.b).in_recovery is True, "a standby has its own"
    lab.a.sql("ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")


def check_no_answer(lab):
    """A server that does not answer is no other system, and another system is told as such."""
    a, b = lab.a, lab.b
    other = lab.server("other").create()
    other.stop()
    assert lab.relations(other, a)[0].kind is Kind.OTHER_SYSTEM
    b.kill()
    side = lab.remote(b)
    assert isinstance(side, look.NoAnswer) and "refused" in side.why
    assert evidence.relation(lab.local(b), side).kind is Kind.UNKNOWN
    lab.passfile = lab.file("wrong", "*:*:*:*:nonsense\n")
    side = lab.remote(a)
    assert isinstance(side, look.NoAnswer) and "password authentication failed" in side.why
    assert "nonsense" not in side.why
    with socket.create_server(("127.0.0.1", 0)) as silent:
        b.port = silent.getsockname()[1]  # connects, and says nothing
        began = time.monotonic()
        side = lab.remote(b, timeout=2)
        assert isinstance(side, look.NoAnswer) and time.monotonic() - began < 4

    def away(address, timeout):
        assert timeout == look.CONNECT
        raise OSError("No route to host")

    assert "No route to host" in lab.remote(a, connect=away).why


def test_what_runs(lab, monkeypatch):
    a, b = lab.a, lab.b
    lab.same(a, b)
    far, here = lab.remote(a), lab.local(a)
    assert (far.running, far.in_recovery, far.timeline, far.history) == (True, False, 1, ())
    assert far.position == here.position == lsn_to_int(a.sql("SELECT pg_current_wal_lsn()"))
    assert far.system_identifier == here.system_identifier == a.sql("SELECT system_identifier FROM pg_control_system()")
    assert here.next_xid == int(a.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())"))
    far, here = lab.remote(b), lab.local(b)
    assert far.in_recovery is here.in_recovery is True and far.timeline == here.timeline == 1
    assert evidence.relation(here, lab.remote(a)).follows and evidence.relation(far, lab.local(a)).follows
    assert not any(PASSWORD in word for argv in lab.calls for word in argv)
    check_environment(lab, monkeypatch)
    check_older_version(lab, monkeypatch)
    check_settings(lab)
    check_no_answer(lab)


def test_clean_switchover(lab):
    a, b = lab.a, lab.b
    a.sql("INSERT INTO t SELECT generate_series(1, 100)")
    lab.same(a, b)  # a standby that is not connected gets nothing of a clean stop
    a.stop()
    lab.promote(b)
    asked = lab.remote(b, settings=("max_connections",))
    assert asked.timeline == 2 and asked.history == lab.remote(b).history and dict(asked.settings) == {"max_connections": "30"}
    b.sql("INSERT INTO t VALUES (101)")
    found = lab.relations(a, b)
    assert found[1].kind is Kind.IDENTICAL_END and found[0].follows
    control = evidence.stopped_side(Postgres(local_runner, lab.bin, OWNER).controldata(a.data), name="a")
    assert evidence.relation(control, lab.remote(b)).follows, "pg_control alone is enough after a clean stop"
    done = clone(lab, a, b)
    assert done["changed"] and done["old_data_dir"] is None and done["diff"]
    assert os.path.exists(a.data + "/standby.signal"), "no clone"
    assert not clone(lab, a, b)["changed"]
    lab.follow(a, b)
    wait(lambda: a.sql("SELECT count(*) FROM t") == "101")
    a.stop()
    assert lab.relations(a, b)[0].follows and lab.local(a).timeline == 2


def test_stopped_cleanly_while_nobody_received(lab):
    a, b = lab.a, lab.b
    lab.same(a, b)
    b.stop()
    a.stop()
    b.start()
    lab.promote(b)
    assert [item.kind for item in lab.relations(a, b)] == [Kind.AHEAD_OF_FORK] * 2, "the checkpoint of the stop is more"


def forked(lab):
    """a wrote 1,001 rows in two transactions that b never got, and crashed; b was promoted and goes on."""
    a, b = lab.a, lab.b
    lab.same(a, b)
    b.stop()
    a.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    a.sql("INSERT INTO t VALUES (1001)")
    a.kill()
    b.start()
    lab.promote(b)


def test_crashed_ahead_and_what_it_has(lab):
    a, b = lab.a, lab.b
    forked(lab)
    found = lab.relations(a, b)
    assert [item.kind for item in found] == [Kind.AHEAD_OF_FORK] * 2
    assert found[0].fork == found[1].fork == (1, lab.remote(b).history[0][1])
    has = look.forked_by(lab.run, a.data, lab.bin, OWNER, found[0].fork)
    assert (has["commits"], has["timeline"], has["complete"]) == (2, 1, True) and has["bytes"] > 60000
    assert time.strftime("%Y-%m-%d", time.gmtime()) in has["last_commit"]
    assert look.forked_by(lab.run, a.data, lab.bin, OWNER, found[0].fork, most=1)["complete"] is False
    assert look.forked_by(lab.run, "/nowhere", lab.bin, OWNER, found[0].fork)["why"]

    # Whoever starts it as a standby makes standby.signal first: that is no proof (as the agent does, without its lock).
    lab.file("a/data/standby.signal", "")
    assert lab.relations(a, b)[0].forked
    lab.follow(a, b)
    wait(lambda: "forked off" in a.log_text())
    assert a.sql("SELECT count(*) FROM t") == "1001" and b.sql("SELECT count(*) FROM t") == "0"
    running = lab.local(a)
    assert (running.timeline, running.in_recovery) == (1, True)
    assert evidence.relation(running, lab.remote(b)).kind is Kind.AHEAD_OF_FORK
    with pytest.raises(PostgresError, match="can never follow") as caught:
        clone(lab, a, b)
    assert caught.value.kind == "forked"
    a.stop()
    assert lab.local(a).state == "shut down in recovery" and lab.relations(a, b)[0].forked
    with pytest.raises(PostgresError, match="holds what that one lacks") as caught:
        clone(lab, a, b)
    assert caught.value.kind == "forked"
    made = clone(lab, a, b, force_aside=True)
    assert made["changed"] and os.path.exists(made["old_data_dir"] + "/PG_VERSION")
    assert lab.relations(a, b)[0].follows, "the new copy"


def clone(lab, server, primary, **more):
    """Module basebackup on *server*."""
    params = dict((key, value.get("default")) for key, value in basebackup.ARGUMENTS.items())
    params.update(data_dir=server.data, bin_dir=lab.bin, owner=OWNER, primary_host="127.0.0.1",
                  primary_port=primary.port, user="repl", passfile=lab.passfile, sslmode="require", slot="a",
                  system_identifier=primary.sql("SELECT system_identifier FROM pg_control_system()"))
    params.update(more)
    return basebackup.result_of(basebackup.clone_run(params, local_runner).run())


def test_promoted_and_crashed_before_its_first_checkpoint(lab):
    a, b = lab.a, lab.b
    a.sql("INSERT INTO t VALUES (1)")
    lab.same(a, b)
    a.stop()
    lab.promote(b)
    b.sql("INSERT INTO t VALUES (2)")
    b.kill()
    control = Postgres(local_runner, lab.bin, OWNER).controldata(b.data)
    if control["timeline"] == 1:  # else its checkpoint was quicker than the kill
        assert control["min_recovery_timeline"] == 2
    one, two = lab.local(a, whole=True), lab.local(b, whole=True)
    assert two.timeline == 2 and two.history == ((1, one.position),)
    assert evidence.relation(two, one).kind is Kind.AHEAD_OF_FORK, "the stopped one lacks a row"
    assert evidence.relation(one, two).kind is Kind.IDENTICAL_END
    assert evidence.newest([one, two]) is two
    info = gather(Postgres(local_runner, lab.bin, OWNER), b.data)
    assert info["timeline"] == 2 and info["history"][0]["timeline"] == 1


def info(lab, server):
    """What module replication_info returns."""
    return gather(Postgres(local_runner, lab.bin, OWNER), server.data)


def test_receiver_away_and_three_timelines(lab):
    a, b = lab.a, lab.b
    c = lab.follow(lab.copy(a, "c"), a)
    lab.same(a, b)
    lab.same(a, c)
    a.kill()
    lab.promote(b)
    c.stop()
    lab.follow(c, b)
    b.sql("INSERT INTO t SELECT generate_series(1, 500)")
    wait(lambda: c.sql("SELECT count(*) FROM t") == "500")
    theirs = lab.remote(b)
    b.stop()
    wait(lambda: c.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0")
    assert c.sql("SELECT timeline_id FROM pg_control_checkpoint()") == "1", "that of the last restartpoint"
    assert info(lab, c)["timeline"] == 2 == lab.local(c).timeline and info(lab, c)["history"][0]["timeline"] == 1
    assert not evidence.relation(lab.local(c), theirs).forked

    # Killed now, its pg_control says timeline 1, and its WAL goes on along 2.
    c.kill()
    assert Postgres(local_runner, lab.bin, OWNER).controldata(c.data)["timeline"] == 1
    crashed = lab.local(c, whole=True)
    assert crashed.timeline == 2 and crashed.history == theirs.history
    assert evidence.relation(crashed, lab.local(b, whole=True)).follows

    # c goes on alone: timeline 3; a and b are measured against it.
    lab.follow(c, lab.b.start())
    lab.same(b, c)
    b.stop()
    lab.promote(c)
    c.sql("INSERT INTO t VALUES (0)")
    assert lab.remote(c).timeline == 3 and len(lab.remote(c).history) == 2
    assert lab.relations(b, c)[0].follows and lab.relations(a, c)[0].follows
    lab.follow(a, c)
    wait(lambda: a.sql("SELECT count(*) FROM t") == "501")


def test_end_of_the_wal_wherever_it_is(lab):
    a, b = lab.a, lab.b
    b.stop()
    for statement in ("INSERT INTO t VALUES (1)", "SELECT pg_switch_wal()", "CHECKPOINT",
                      "INSERT INTO t SELECT generate_series(1, 50000)", "CREATE TABLE u AS SELECT repeat('x', 2000000)",
                      "SELECT pg_switch_wal()"):
        a.sql(statement)
        end = lsn_to_int(a.sql("SELECT pg_current_wal_flush_lsn()"))
        a.kill()
        side = lab.local(a, whole=True)
        # Behind a page's or a segment's end the server counts from the first byte after its header, or before it.
        assert abs(side.position - end) in (0, look.SHORT_HEADER, look.LONG_HEADER), (statement, side)
        assert side.position <= end and not side.why
        a.start()
    assert lab.local(lab.copy(a, "d"), whole=True).position is not None, "a copy that ends with a segment"


def test_what_is_left_in_recycled_segments_is_no_record(lab):
    a, b = lab.a, lab.b
    for dummy in range(6):
        a.sql("INSERT INTO t SELECT generate_series(1, 10000); SELECT pg_switch_wal(); CHECKPOINT")
    lab.same(a, b)
    b.sql("CHECKPOINT")
    a.sql("INSERT INTO t VALUES (0)")
    lab.same(a, b)
    for server, other in ((a, b), (b, a)):
        names = sorted(name for name in os.listdir(server.data + "/pg_wal") if len(name) == 24)
        assert names[-1] > segment_name(1, lab.local(a).position, MEGABYTE), "%s has some" % server.home
    a.kill()
    lab.promote(b)
    assert all(item.follows for item in lab.relations(a, b)), "a crashed primary all of whose records were received"
    b.sql("INSERT INTO t VALUES (-1)")
    lab.follow(a, b)
    wait(lambda: a.sql("SELECT count(*) FROM t WHERE i = -1") == "1")
    b.kill()
    assert lab.local(b, whole=True).timeline == 2


def test_standby_that_is_far_behind(lab):
    a, b = lab.a, lab.b
    lab.same(a, b)
    b.kill()
    for dummy in range(5):
        a.sql("INSERT INTO t SELECT generate_series(1, 10000); SELECT pg_switch_wal()")
    assert all(item.kind is Kind.SAME_LINE_BEHIND for item in lab.relations(b, a))
    c = lab.follow(lab.copy(a, "c"), a)
    lab.same(a, c)
    a.kill()
    lab.promote(c)
    assert all(item.kind is Kind.SAME_LINE_BEHIND for item in lab.relations(b, c)), "the fork lies where it never was"


def facts(lab, server):
    """What module hub_info says of the database."""
    layout = dict(copy.deepcopy(LAYOUTS["debian"]), data_dir=server.data, ha_dir=lab.root + "/ha", db_user=OWNER,
                  tmp_dir=lab.root + "/tmp", outside_conf=lab.root + "/x", pg_bin_globs=[lab.bin])
    return hub_loader.postgres(local_runner, layout)


def test_facts_of_a_hub_and_missing_segments(lab):
    a, b = lab.a, lab.b
    lab.same(a, b)
    found = facts(lab, a)
    assert (found["state"], found["side"]["timeline"], found["history"]) == ("primary", 1, [])
    assert pg_facts.relation(facts(lab, b), found).follows
    forked(lab)
    relation = pg_facts.relation(facts(lab, a), facts(lab, b), "hub1", "hub2")
    assert relation.kind is Kind.AHEAD_OF_FORK and "hub2 left timeline 1 at" in str(relation)
    # A power cut has left its pid file, and the number is that of another cluster's postmaster after the boot.
    lab.file("a/data/postmaster.pid", "%d\n%s\n1700000000\n%d\n%s\n\n" % (b.pid(), a.data, b.port, b.home))
    found = facts(lab, a)
    assert (found["state"], found["pid"], found["server"]) == ("stopped", None, None)
    assert found["side"]["running"] is False

    # What is missing is not known, and no pg_waldump is as little.
    theirs = lab.remote(b)
    place = theirs.history[0][1]
    os.unlink(os.path.join(a.data, "pg_wal", segment_name(1, place, MEGABYTE)))
    found = evidence.relation(lab.local(a, theirs), theirs)
    assert found.kind is Kind.UNKNOWN and "is missing" in str(found)
    assert evidence.relation(look.local_side(local_runner, a.data, "/nowhere", OWNER, theirs, control={
        "system_identifier": theirs.system_identifier, "state": "in production", "timeline": 1}), theirs).kind \
        is Kind.UNKNOWN, "without pg_waldump nothing is proven"
