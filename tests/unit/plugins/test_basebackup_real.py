# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""basebackup against real servers: what it makes really streams, and what must stay is never touched."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import become, run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import PostgresError, processes_copying
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone_place import Place
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone_source import Primary
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import processes_on
from ansible_collections.cfengine.hub_ha.plugins.modules import basebackup
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, certificate, wait

PASSWORD = "it's a \\ \"long\" %s $HOME:pass word äß"
DRIVER = """
import json, sys
from ansible_collections.cfengine.hub_ha.plugins.modules import basebackup
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import local_runner
print(json.dumps(basebackup.result_of(basebackup.clone_run(json.loads(sys.argv[1]), local_runner).run())))
"""


@pytest.fixture(scope="module")
def lab():
    """A primary with a bit of data and a replication role."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        made.primary.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s';" % PASSWORD.replace("'", "''"))
        made.primary.sql("CREATE TABLE t AS SELECT g AS n, repeat('x', 500) AS x FROM generate_series(1, 20000) g;")
        escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        made.passfile = made.file("pass", "127.0.0.1:%d:replication:repl:%s\n" % (made.primary.port, escaped))
        shutil.copy(made.primary.data + "/server.crt", made.root + "/root.crt")
        os.chmod(made.root + "/root.crt", 0o644)
        made.count = 0
        yield made
    finally:
        made.close()


@pytest.fixture
def standby(lab):
    """A server without a data directory, and a slot name for it."""
    lab.count += 1
    server = lab.server("standby%d" % lab.count)
    server.slot = "standby%d" % lab.count
    yield server
    server.kill()
    wait(lambda: lab.primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s' AND active"
                                 % server.slot) == "0")
    lab.primary.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '%s'"
                    % server.slot)
    shutil.rmtree(server.home)


def params(lab, standby, **more):
    """The module's arguments."""
    values = dict((key, spec.get("default")) for key, spec in basebackup.ARGUMENTS.items())
    values.update(data_dir=standby.data, bin_dir=lab.bin, owner=OWNER, primary_host="127.0.0.1",
                  primary_port=lab.primary.port, user="repl", passfile=lab.passfile, sslmode="verify-full",
                  sslrootcert=lab.root + "/root.crt", slot=standby.slot, wait_lock=5)
    values.update(more)
    return values


def run(lab, standby, check_mode=False, warn=None, statvfs=os.statvfs, **more):
    """One run of the module."""
    warn = warn if warn is not None else (lambda text: None)
    made = basebackup.clone_run(params(lab, standby, **more), runner.local_runner, check_mode, warn, statvfs)
    return basebackup.result_of(made.run())


def refused(lab, standby, kind, **more):
    """The text of the error of that kind."""
    with pytest.raises(PostgresError) as caught:
        run(lab, standby, **more)
    assert caught.value.kind == kind, caught.value.message
    assert PASSWORD not in caught.value.message + json.dumps(caught.value.details)
    return caught.value.message


def start_standby(lab, standby):
    """Starts the clone with the connection settings that a cluster manager would give."""
    standby.start(primary_slot_name=standby.slot, primary_conninfo=(
        "host=127.0.0.1 port=%d user=repl passfile=%s sslmode=require application_name=%s"
        % (lab.primary.port, lab.passfile, standby.slot)))
    return wait(lambda: lab.primary.sql(
        "SELECT state FROM pg_stat_replication WHERE application_name = '%s' AND state = 'streaming'" % standby.slot))


def tree(path):
    """Names, inodes and times below path: equal means untouched."""
    found = {}
    for folder, unused_dirs, files in os.walk(path):
        for name in files:
            status = os.lstat(os.path.join(folder, name))
            found[os.path.join(folder, name)] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def test_clone_streams_and_second_run_changes_nothing(lab, standby):
    result = run(lab, standby, expected_database_bytes=30000000, verify=True)
    assert result["changed"] and result["state"] == "present" and not result["resumed"]
    assert result["system_identifier"] == lab.primary.sql("SELECT system_identifier FROM pg_control_system()")
    assert result["timeline"] == 1 and "/" in result["start_lsn"] and result["bytes"] > 10000000
    assert result["slot_action"] == "created" and result["old_data_dir"] is None
    status = os.stat(standby.data)
    assert (status.st_uid, status.st_mode & 0o777) == (lab.uid, 0o700)
    assert os.stat(standby.data + "/standby.signal").st_uid == lab.uid
    assert sorted(os.listdir(standby.home)) == [
        ".hub_ha_clone.json", ".hub_ha_clone.lock", ".hub_ha_clone.progress", "data"]
    with open(standby.home + "/.hub_ha_clone.progress", encoding="utf-8") as handle:
        progress = json.load(handle)
    assert progress["phase"] == "done" and progress["percent"] == 100 and progress["bytes_done"] == result["bytes"]

    before = tree(standby.home)
    again = run(lab, standby)
    assert not again["changed"] and again["state"] == "present", "completed, but not started yet"
    changed = [path for path, value in tree(standby.home).items() if before.get(path) != value]
    assert changed == [standby.home + "/.hub_ha_clone.lock"]

    start_standby(lab, standby)
    lab.primary.sql("INSERT INTO t VALUES (-1, 'new')")
    wait(lambda: standby.sql("SELECT count(*) FROM t WHERE n = -1") == "1")
    assert not run(lab, standby)["changed"], "running"
    # A live standby needs no primary to be recognized, when the identifier is given.
    assert not run(lab, standby, system_identifier=result["system_identifier"], primary_port=1)["changed"]
    standby.stop()
    assert not run(lab, standby)["changed"], "stopped"
    assert not run(lab, standby, check_mode=True)["changed"]
    os.unlink(standby.home + "/.hub_ha_clone.json")
    assert not run(lab, standby)["changed"], "without the marker"


def test_promoted_clone_is_a_primary_and_stays(lab, standby):
    run(lab, standby)
    start_standby(lab, standby)
    standby.sql("SELECT pg_promote()")
    text = refused(lab, standby, "primary")
    assert "running primary" in text and str(standby.pid()) in text
    assert "running primary" in refused(lab, standby, "primary", force_aside=True)
    standby.stop()
    before = tree(standby.data)
    assert "was promoted to timeline 2" in refused(lab, standby, "forked")
    assert tree(standby.data) == before
    result = run(lab, standby, force_aside=True)
    assert result["changed"] and result["old_data_dir"].startswith(standby.data + ".before-")
    assert sorted(path[len(result["old_data_dir"]):] for path in tree(result["old_data_dir"])) == sorted(
        path[len(standby.data):] for path in before)
    start_standby(lab, standby)


def test_killed_primary_stays(lab, standby):
    """A power cut leaves the state "in production" and a pid file."""
    run(lab, standby)
    start_standby(lab, standby)
    standby.sql("SELECT pg_promote()")
    pid = standby.pid()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not processes_on(standby.data))
    assert standby.pid() == pid
    assert "was promoted to timeline 2" in refused(lab, standby, "forked")


def test_foreign_database_stays(lab, standby):
    standby.create()
    before = standby.pid()
    assert "another database system" in refused(lab, standby, "foreign")
    assert "left alone" in refused(lab, standby, "foreign", force_aside=True)
    assert "left alone" in refused(lab, standby, "foreign", check_mode=True, force_aside=True)
    assert standby.pid() == before and standby.sql("SELECT 1") == "1"
    standby.stop()
    assert "force_aside" in refused(lab, standby, "foreign")
    predicted = run(lab, standby, check_mode=True, force_aside=True)
    result = run(lab, standby, force_aside=True, keep_old=False)
    assert result["changed"] and os.path.exists(result["old_data_dir"] + "/PG_VERSION"), "a database is always kept"
    assert predicted["diff"] == result["diff"]


def test_damaged_database_stays(lab, standby):
    standby.lab.initdb(standby.data)
    os.unlink(standby.data + "/global/pg_control")
    os.unlink(standby.data + "/PG_VERSION")
    assert "cannot be examined" in refused(lab, standby, "unreadable")
    assert run(lab, standby, force_aside=True)["changed"]


@pytest.mark.parametrize("content, keep", [((), True), (("lost",), True), (("lost",), False)])
def test_directory_without_a_database(lab, standby, content, keep):
    os.mkdir(standby.data)
    for name in content:
        with open(os.path.join(standby.data, name), "w", encoding="utf-8") as handle:
            handle.write("x")
    result = run(lab, standby, keep_old=keep)
    assert result["changed"]
    assert (result["old_data_dir"] is not None) == bool(content and keep)
    assert len([name for name in os.listdir(standby.home) if ".before-" in name]) == int(bool(content and keep))


def test_check_mode_predicts_and_changes_nothing(lab, standby):
    os.rmdir(standby.home)
    predicted = run(lab, standby, check_mode=True)
    assert predicted["changed"] and predicted["state"] == "predicted"
    assert not os.path.exists(standby.home)
    assert lab.primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s'" % standby.slot) == "0"
    done = run(lab, standby)
    assert done["diff"] == predicted["diff"]
    assert predicted["diff"]["before"] == "no database in %s\n" % standby.data


@pytest.mark.parametrize("more", [{"bin_dir": "/nonexistent"}, {"passfile": "/nonexistent"}, {"user": "not_yet"},
                                  {"owner": "nosuchuser"}])
def test_check_mode_before_anything_is_installed(lab, standby, more):
    warnings = []
    predicted = run(lab, standby, check_mode=True, warn=warnings.append, **more)
    assert predicted["changed"] and len(warnings) == 1


def test_wrong_password(lab, standby):
    wrong = lab.file("wrong", "*:*:*:*:nonsense\n")
    text = refused(lab, standby, "password", passfile=wrong)
    assert wrong in text and "nonsense" not in text
    assert not os.path.exists(standby.data)


@pytest.mark.parametrize("kind, more, text", [
    ("no_password", {"passfile": "EMPTY"}, "replication:repl:PASSWORD"),
    ("passfile", {"passfile": "/nonexistent"}, "There is no passfile"),
    ("passfile", {"passfile": "OPEN"}, "chmod 0600"),
    ("pg_hba", {"user": "nobody"}, "hostssl replication nobody"),
    ("pg_hba", {"user": "intruder"}, "reject"),
    ("pg_hba", {"sslmode": "disable"}, "sslmode"),
    ("tls", {"sslrootcert": "OTHER"}, "authority"),
    ("tls", {"sslrootcert": "/nonexistent"}, "cannot read the certificate"),
    ("tls", {"primary_host": "localhost"}, "names localhost"),
    ("refused", {"primary_port": 1}, "Nothing listens on 127.0.0.1 port 1"),
    ("name", {"primary_host": "hub1.invalid"}, "does not resolve"),
    ("identity", {"system_identifier": "12345"}, "not the expected primary"),
    ("space", {"expected_database_bytes": 10 ** 17}, "Not enough space"),
])
def test_bad_input_ends_before_any_change(lab, standby, kind, more, text):
    if more.get("passfile") == "EMPTY":
        more = {"passfile": lab.file("empty", "other:1:x:y:z\n")}
    if more.get("passfile") == "OPEN":
        more = {"passfile": lab.file("open", "*:*:*:*:x\n", 0o644)}
    if more.get("sslrootcert") == "OTHER":
        other = lab.root + "/other.crt"
        certificate("/dev/null", other, "/CN=other")
        more = {"sslrootcert": other}
    assert text in refused(lab, standby, kind, **more)
    assert set(os.listdir(standby.home)) <= {".hub_ha_clone.lock"}
    assert lab.primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s'" % standby.slot) == "0"


def test_mount_point_cannot_be_swapped(lab, standby, monkeypatch):
    os.mkdir(standby.data)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == standby.data)
    assert "mount point" in refused(lab, standby, "mount")


def test_data_dir_is_a_file(lab, standby):
    with open(standby.data, "w", encoding="utf-8") as handle:
        handle.write("x")
    assert "not a directory" in refused(lab, standby, "path")


@pytest.mark.parametrize("with_runuser", [True, False])
def test_group(lab, standby, monkeypatch, with_runuser):
    which = become.which
    monkeypatch.setattr(become, "which",
                        lambda name: which(name) if with_runuser or name != "runuser" else None)
    assert run(lab, standby, group="daemon")["changed"]
    gid = grp.getgrnam("daemon").gr_gid
    found = set(os.lstat(path).st_gid for path in list(tree(standby.data)) + [standby.data])
    assert found == {gid}
    start_standby(lab, standby)


def test_no_user_no_group_and_no_programs(lab, standby):
    with pytest.raises(runner.HubError, match="no group nosuchgroup"):
        run(lab, standby, group="nosuchgroup")
    with pytest.raises(runner.HubError, match="no user nosuchuser"):
        run(lab, standby, owner="nosuchuser")
    with pytest.raises(runner.CommandMissing, match="not installed"):
        run(lab, standby, bin_dir="/nonexistent")


def test_space_is_checked_with_the_servers_estimate(lab, standby):
    Status = namedtuple("Status", "f_bavail f_frsize")
    text = refused(lab, standby, "space", statvfs=lambda path: Status(20, 1024 * 1024))
    assert "must be free on the filesystem of %s" % standby.home in text and "nothing was changed" in text
    assert not os.path.exists(standby.data) and not os.path.exists(standby.home + "/.data.clone")


def test_other_major_version(lab, standby):
    def older(argv, **more):
        if argv[-1] == "--version":
            return runner.Completed(argv, 0, "pg_basebackup (PostgreSQL) 11.3", "")
        return runner.local_runner(argv, **more)

    with pytest.raises(PostgresError, match="same major version"):
        basebackup.clone_run(params(lab, standby), older).run()


def test_clone_from_a_standby_is_refused(lab, standby):
    run(lab, standby)
    start_standby(lab, standby)
    other = lab.server("other")
    other.slot = standby.slot
    passfile = lab.file("pass2", "*:*:*:repl:%s\n" % PASSWORD.replace("\\", "\\\\").replace(":", "\\:"))
    assert "itself a standby" in refused(lab, other, "not_primary", primary_port=standby.port, passfile=passfile)


def test_slot_in_use(lab, standby):
    run(lab, standby)
    start_standby(lab, standby)
    other = lab.server("second")
    other.slot = standby.slot
    assert "in use by another connection" in refused(lab, other, "slot_active")
    assert not os.path.exists(other.data) and not os.path.exists(other.home + "/.data.clone")
    assert standby.sql("SELECT 1") == "1"


def test_lost_slot_is_made_again(lab, standby):
    lab.primary.sql("SELECT pg_create_physical_replication_slot('%s')" % standby.slot)
    assert run(lab, standby)["slot_action"] == ("recreated" if version(lab) >= 15 else "kept")
    start_standby(lab, standby)


@pytest.mark.parametrize("like_13", [False, True])
def test_slot_whose_wal_is_gone_is_made_again(lab, standby, monkeypatch, like_13):
    """What max_slot_wal_keep_size does to a standby that was away too long; version 13 cannot read a slot's state."""
    lab.primary.sql("SELECT pg_create_physical_replication_slot('%s', true)" % standby.slot)
    try:
        lab.primary.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        lab.primary.sql("SELECT pg_reload_conf()")

        def lost():
            lab.primary.sql("DROP TABLE IF EXISTS w; CREATE TABLE w AS SELECT repeat('x', 500) FROM "
                            "generate_series(1, 10000); SELECT pg_switch_wal(); CHECKPOINT;")
            return lab.primary.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '%s'"
                                   % standby.slot) == "lost"

        wait(lost)
    finally:
        lab.primary.sql("DROP TABLE IF EXISTS w; ALTER SYSTEM RESET max_slot_wal_keep_size")
        lab.primary.sql("SELECT pg_reload_conf()")
    if like_13:
        monkeypatch.setattr(Primary, "slot_state", lambda self, version_num: "unknown")
    action = run(lab, standby)["slot_action"]
    # Without knowing the state it is tried as it is, and streaming may revive it.
    assert action == "recreated" or like_13
    start_standby(lab, standby)
    if not like_13 or version(lab) < 16:
        assert lab.primary.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '%s'"
                               % standby.slot) == "reserved"


def version(lab):
    """Major version of the servers."""
    return int(lab.primary.sql("SHOW server_version_num")) // 10000


def test_leftover_of_a_cut_off_run(lab, standby):
    os.mkdir(standby.home + "/.data.clone")
    with open(standby.home + "/.data.clone/PG_VERSION", "w", encoding="utf-8") as handle:
        handle.write("half")
    result = run(lab, standby)
    assert result["changed"] and not result["resumed"]
    start_standby(lab, standby)


@pytest.mark.parametrize("with_old", [False, True])
def test_cut_off_between_the_renames(lab, standby, monkeypatch, with_old):
    if with_old:
        os.mkdir(standby.data)
        with open(standby.data + "/precious", "w", encoding="utf-8") as handle:
            handle.write("x")

    class Cut(BaseException):
        """The power is gone."""

    real = os.rename

    def rename(source, target):
        if source == standby.home + "/.data.clone":
            raise Cut()
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(Cut):
        run(lab, standby)
    monkeypatch.setattr(os, "rename", real)
    assert not os.path.exists(standby.data)
    inode = os.stat(standby.home + "/.data.clone").st_ino
    result = run(lab, standby)
    assert result["changed"] and result["resumed"] and "bytes" not in result
    assert os.stat(standby.data).st_ino == inode
    if with_old:
        old = [name for name in os.listdir(standby.home) if ".before-" in name]
        assert os.listdir(os.path.join(standby.home, old[0])) == ["precious"]
    assert not run(lab, standby)["changed"]
    start_standby(lab, standby)


def test_cut_off_clone_without_its_slot_is_made_again(lab, standby):
    run(lab, standby)
    os.rename(standby.data, standby.home + "/.data.clone")
    with open(standby.home + "/.hub_ha_clone.json", encoding="utf-8") as handle:
        marker = json.load(handle)
    with open(standby.home + "/.hub_ha_clone.json", "w", encoding="utf-8") as handle:
        json.dump(dict(marker, state="complete"), handle)
    lab.primary.sql("SELECT pg_drop_replication_slot('%s')" % standby.slot)
    result = run(lab, standby)
    assert result["changed"] and not result["resumed"]


def test_failed_rename_puts_the_old_one_back(lab, standby, monkeypatch):
    os.mkdir(standby.data)
    with open(standby.data + "/precious", "w", encoding="utf-8") as handle:
        handle.write("x")
    real = os.rename

    def rename(source, target):
        if source == standby.home + "/.data.clone":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError):
        run(lab, standby)
    assert os.listdir(standby.data) == ["precious"]


def start_process(lab, standby, **more):
    """The run as a process of its own."""
    # ansible-test finds collections through an import hook, which a new process does not have
    root = basebackup.__file__.rsplit("/ansible_collections/", 1)[0]
    return subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(params(lab, standby, **more))],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                            env=dict(os.environ, PYTHONPATH=root))


def test_killed_in_the_middle_then_run_again(lab, standby):
    process = start_process(lab, standby, max_rate="2M")
    clone = standby.home + "/.data.clone"
    wait(lambda: os.path.exists(clone + "/base") and processes_copying(clone))
    with open("/proc/%d/cmdline" % processes_copying(clone)[0], "rb") as handle:
        assert PASSWORD.encode() not in handle.read()
    process.kill()
    process.communicate()
    started = time.monotonic()
    result = run(lab, standby)
    assert result["changed"] and not result["resumed"] and time.monotonic() - started < 8
    assert not processes_copying(clone) and not os.path.exists(clone)
    start_standby(lab, standby)


def test_second_run_waits_for_the_first(lab, standby):
    process = start_process(lab, standby, max_rate="8M")
    wait(lambda: os.path.exists(standby.home + "/.data.clone"))
    assert "pid %d" % process.pid in refused(lab, standby, "locked", wait_lock=0)
    result = run(lab, standby, wait_lock=30)
    out = process.communicate()[0]
    assert process.returncode == 0 and json.loads(out)["changed"]
    assert not result["changed"]


def test_lock_of_a_stranger(lab, standby):
    handle = os.open(standby.home + "/.hub_ha_clone.lock", os.O_RDWR | os.O_CREAT)
    os.write(handle, b"4711\n")
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert "pid 4711" in refused(lab, standby, "locked", wait_lock=1)
    finally:
        os.close(handle)


def test_timeout_ends_every_process(lab, standby):
    with pytest.raises(runner.HubError, match="did not end within 1 s"):
        run(lab, standby, max_rate="1M", timeout=1)
    clone = standby.home + "/.data.clone"
    assert not processes_copying(clone) and not os.path.exists(clone)


def test_server_started_during_the_copy(lab, standby, monkeypatch):
    real = Place.complete

    def complete(self):
        standby.create()
        return real(self)

    monkeypatch.setattr(Place, "complete", complete)
    assert "was started" in refused(lab, standby, "running")
    assert standby.sql("SELECT 1") == "1"


def test_data_dir_behind_a_symbolic_link(lab, standby):
    real = lab.directory(os.path.basename(standby.home) + ".real") + "/pg"
    os.symlink(real, standby.data)
    result = run(lab, standby)
    assert result["data_dir"] == real and os.path.islink(standby.data) and os.path.exists(real + "/PG_VERSION")


def test_environment_does_not_matter(lab, standby, monkeypatch):
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGPASSWORD", "nonsense")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    assert run(lab, standby)["changed"]
