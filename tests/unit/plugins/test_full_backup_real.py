# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full backup's database against real servers: made of a primary and of a standby, checked, put back, started."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive, tarball
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import sha256
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    full_backup as full_backup_loader,
    full_backup_make,
    full_backup_restore,
    full_backup_seal,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import PostgresError
from ansible_collections.cfengine.hub_ha.plugins.modules import backup_database, backup_seal, restore_database
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait


class Pair:
    """A primary and a standby, a directory for backups, and the modules."""

    def __init__(self, lab):
        self.lab, self.count = lab, 0
        self.primary = lab.server("primary").create()
        with open(self.primary.data + "/pg_hba.conf", "a", encoding="utf-8") as handle:
            handle.write("local replication all trust\n")
        self.primary.sql("SELECT pg_reload_conf(); CREATE ROLE repl LOGIN REPLICATION PASSWORD 'secret';"
                         "CREATE TABLE t AS SELECT g AS n, repeat('x', 500) AS x FROM generate_series(1, 5000) g;")
        self.passfile = lab.file("pass", "*:*:*:repl:secret\n")
        self.system = self.primary.sql("SELECT system_identifier FROM pg_control_system()")
        self.standby = lab.server("standby")
        lab.owner(lab.bin + "/pg_basebackup", "-D", self.standby.data, "-h", self.primary.home, "-p",
                  str(self.primary.port), "-U", "root", "-R", "-c", "fast")
        self.standby.start()
        self.directory = lab.root + "/backups"
        self.progress = lab.root + "/progress"

    def backup(self, server=None, **more):
        """One copy of the database: what module backup_database returns of it."""
        server = server or self.primary
        order = full_backup_make.Order(**{**{
            "directory": self.directory, "data_dir": server.data, "bin_dir": self.lab.bin, "port": server.port,
            "host": server.home, "system_identifier": self.system, "size": 1 << 20, "progress_file": self.progress},
            **more})
        return dataclasses.asdict(full_backup_make.make(order, local_runner))

    def seal(self, database):
        """The rest of the backup; returns its path."""
        facts = {"taken_from": "hub2", "active": "hub1",
                 "hubs": {"hub1": {"key": "SHA=1", "archive": "hub-hub1.tar.gz"}}, "listed": [], "shared": [],
                 "layout": "debian", "edition": "community", "cfengine_version": "3.24.1",
                 "os": "", "db_user": {}, "foreign_resources": [],
                 "postgres": {"major": 17, "system_identifier": self.system}}
        text = archive.pack({"etc/x": (0o600, b"x", None)})
        full_backup_seal.seal(database["path"], database, {"hub1": text}, facts,
                              lambda argv, **dummy: pytest.fail("no cluster is asked") if argv[0] != "cibadmin"
                              else local_runner(["false"], check=False))
        return database["path"]

    def order(self, path):
        """(order to put the backup *path* back, server) for a blank place."""
        self.count += 1
        server = self.lab.server("blank%d" % self.count)
        order = full_backup_restore.Order(path=path, data_dir=server.data, bin_dir=self.lab.bin, owner=OWNER,
                                          group=OWNER, progress_file=self.progress, timeout=60)
        return order, server

    def restore(self, path):
        """(what was done, server) of a restore to a blank place."""
        order, server = self.order(path)
        return full_backup_restore.restore(order, local_runner), server


@pytest.fixture(scope="module")
def pair():
    lab = Lab()
    try:
        yield Pair(lab)
    finally:
        lab.close()


@pytest.fixture(scope="module")
def good(pair):
    """A whole backup of the standby."""
    lsn = pair.primary.sql("INSERT INTO t VALUES (5001, 'last'); SELECT pg_current_wal_lsn()")
    wait(lambda: pair.standby.sql("SELECT count(*) FROM t") == "5001")
    return pair.seal(pair.backup(pair.standby, lsn=lsn))


@pytest.fixture
def copy(good, tmp_path):
    """A copy of it that may be spoilt."""
    return shutil.copytree(good, str(tmp_path / os.path.basename(good)))


def rewrite_manifest(path):
    """Make the manifest agree with what lies there, as somebody does who wants it to pass."""
    with open(path + "/manifest.json", encoding="utf-8") as handle:
        data = json.load(handle)
    for entry in data["members"]:
        file = os.path.join(path, entry["name"])
        entry.update(bytes=os.path.getsize(file), sha256=sha256(file))
    with open(path + "/manifest.json", "w", encoding="utf-8") as handle:
        json.dump(data, handle)


def left(server):
    """What a failed restore leaves beside the data directory."""
    return [name for name in os.listdir(server.home) if name not in (".hub_ha_clone.lock", ".hub_ha_restore.log")]


def test_of_a_standby_with_everything_that_was_acknowledged(pair, good):
    found = full_backup_loader.look(pair.directory, digest=True)["backups"]
    assert [(item["path"], item["complete"], item["problems"]) for item in found] == [(good, True, [])]
    manifest = found[0]["manifest"]
    assert manifest["postgres"]["timeline"] == 1 and manifest["postgres"]["wal_checked"]
    assert sorted(os.listdir(good)) == ["database.tar.gz", "hub-hub1.tar.gz", "manifest.json"]
    assert os.stat(pair.directory).st_mode & 0o777 == 0o700 and os.stat(good).st_mode & 0o777 == 0o700
    assert all(os.stat(os.path.join(good, name)).st_mode & 0o077 == 0 for name in os.listdir(good))

    order, unused = pair.order(good)
    predicted = full_backup_restore.predict(order)
    assert predicted.changed and predicted.system_identifier == pair.system and left(unused) == []
    result, server = pair.restore(good)
    assert result.changed and result.timeline == 2 and left(server) == ["data"]
    assert not set(os.listdir(server.data)) & {"standby.signal", "recovery.signal", "backup_manifest", "postmaster.pid"}
    server.start()
    assert server.sql("SELECT count(*), max(n), pg_is_in_recovery() FROM t") == "5001|5001|f"
    server.stop()
    again = full_backup_restore.restore(dataclasses.replace(order, data_dir=server.data), local_runner)
    assert (again.changed, again.timeline) == (False, 2)


def test_of_a_primary_over_tls_while_it_is_written_to(pair):
    writer = subprocess.Popen([pair.lab.bin + "/psql", "-Xqh", pair.primary.home, "-p", str(pair.primary.port), "-U",
                               "root", "postgres"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8")
    writer.stdin.write("CREATE TABLE w (n int);\n" + "".join("INSERT INTO w VALUES (%d);\n" % n for n in range(3000)))
    writer.stdin.flush()
    wait(lambda: pair.primary.sql("SELECT to_regclass('w')"))
    before = int(pair.primary.sql("SELECT count(*) FROM w"))
    database = pair.backup(host="127.0.0.1", user="repl", passfile=pair.passfile, sslmode="require")
    writer.communicate()
    result, server = pair.restore(pair.seal(database))
    server.start()
    count, top = server.sql("SELECT count(*), coalesce(max(n), -1) FROM w").split("|")
    assert before <= int(count) == int(top) + 1 and result.bytes == database["bytes"]
    server.stop()
    shutil.rmtree(database["path"])


@pytest.mark.parametrize("more, words", [
    ({"host": "127.0.0.1", "user": "repl", "sslmode": "require"}, "password"),
    ({"host": "127.0.0.1", "port": 1}, "Nothing listens"),
    ({"system_identifier": "1"}, "the copy has the system identifier"),
    ({"size": 1 << 60}, "are needed in")])
def test_a_copy_that_fails_leaves_nothing(pair, good, more, words):
    with pytest.raises(HubError) as caught:
        pair.backup(**more)
    assert words in caught.value.message
    assert [name for name in os.listdir(pair.directory) if name != ".lock"] == [os.path.basename(good)]


def test_one_that_goes_to_the_controller_says_so_until_it_is_removed(pair, good):
    """A run that is cut off on the way leaves it whole, with keys in it."""
    path = pair.seal(pair.backup(run="me", fetched=True))
    look = full_backup_loader.look(pair.directory, digest=True)
    item, = look["unfinished"]
    assert (item["path"], item["run"], item["complete"], item["copying"]) == (path, "me", True, False)
    assert [(found["path"], found["complete"], found["fetched"]) for found in look["backups"]] == [
        (good, True, False), (path, True, True)]
    assert full_backup_loader.clear(pair.directory, look["unfinished"]) == [path]
    assert [name for name in os.listdir(pair.directory) if name != ".lock"] == [os.path.basename(good)]


def test_standby_that_does_not_catch_up(pair, good, monkeypatch):
    monkeypatch.setattr(full_backup_make, "REPLAY_PATIENCE", 0.3)
    with pytest.raises(PostgresError) as caught:
        pair.backup(pair.standby, lsn="FF/0")
    assert caught.value.kind == "replay" and "copy the active hub" in caught.value.message
    assert [name for name in os.listdir(pair.directory) if name != ".lock"] == [os.path.basename(good)]


def test_two_at_once(pair, good):
    handle = full_backup_loader.lock(pair.directory)
    try:
        with pytest.raises(HubError) as caught:
            pair.backup()
    finally:
        os.close(handle)
    assert "another backup is being made" in caught.value.message


def spoil(path, at=0.5):
    """Turn one byte of a file over."""
    with open(path, "r+b") as handle:
        handle.seek(int(os.path.getsize(path) * at))
        byte = handle.read(1)
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte[0] ^ 255]))


def refused(pair, path):
    """(kind, message) of the refusal; nothing is left."""
    order, server = pair.order(path)
    with pytest.raises(HubError) as caught:
        full_backup_restore.restore(order, local_runner)
    assert left(server) == []
    return caught.value.message


def test_the_modules(pair, good, run_module):
    """Arguments, check mode, diff and what is returned."""
    arguments = {"directory": pair.directory, "data_dir": pair.primary.data, "bin_dir": pair.lab.bin,
                 "port": pair.primary.port, "host": pair.primary.home, "system_identifier": pair.system,
                 "size": 1 << 20, "progress_file": pair.progress}
    told = run_module(backup_database, check=True, **arguments)
    assert told["changed"] and told["diff"]["after"] == "a new backup in %s\n" % pair.directory
    made = run_module(backup_database, **arguments)
    assert made["diff"]["after"] == "backup in %s\n" % made["path"] and made["member"]["name"] == "database.tar.gz"
    assert made["changed"] and made["timeline"] == 1 and made["start_lsn"] and made["server_version"]
    shutil.rmtree(made["path"])
    failed = run_module(backup_database, **dict(arguments, system_identifier="1"))
    assert failed["failed"] and failed["kind"] == "identity"

    order, server = pair.order(good)
    arguments = dataclasses.asdict(order)
    later = run_module(restore_database, check=True, **dict(arguments, path="/nowhere"))
    assert later["changed"] and later["diff"]["after"] == "a database in %s\n" % server.data
    told = run_module(restore_database, check=True, **arguments)
    assert told["changed"] and told["diff"]["before"] == "no database in %s\n" % server.data and left(server) == []
    done = run_module(restore_database, **arguments)
    assert done["diff"] == told["diff"] and (done["timeline"], done["system_identifier"]) == (2, pair.system)
    again = run_module(restore_database, **arguments)
    assert again["changed"] is False and again["bytes"] == done["bytes"] and not {"diff", "seconds"} & set(again)
    failed = run_module(restore_database, **dict(arguments, path="/nowhere"))
    assert failed["failed"] and failed["kind"] == "incomplete"


def test_cut_short(pair, copy):
    os.unlink(copy + "/manifest.json")
    assert "it has no manifest.json: it was cut short" in refused(pair, copy)
    with open(copy + "/manifest.json", "w", encoding="utf-8") as handle:
        handle.write('{"format": 1, ')
    assert "damaged" in refused(pair, copy)


def test_one_byte_of_the_archive(pair, copy):
    spoil(copy + "/database.tar.gz", 0.99999)
    problems = full_backup_loader.judge(copy, digest=True)["problems"]
    assert problems == ["database.tar.gz is not what was saved (its SHA-256 differs from the manifest's)"]
    assert refused(pair, copy)


def test_altered_so_that_the_manifest_agrees(pair, copy, tmp_path):
    """Only pg_verifybackup sees that."""
    folder = str(tmp_path / "plain")
    os.mkdir(folder)
    tarball.unpack(copy + "/database.tar.gz", folder, 0, 0, lambda done: None)
    table = max((os.path.join(root, name) for root, dummy, names in os.walk(folder + "/base") for name in names),
                key=os.path.getsize)
    spoil(table)
    os.unlink(copy + "/database.tar.gz")
    tarball.pack(folder, copy + "/database.tar.gz", lambda done: None)
    rewrite_manifest(copy)
    assert full_backup_loader.judge(copy, digest=True)["complete"]
    message = refused(pair, copy)
    assert "pg_verifybackup refuses the copy" in message and os.path.relpath(table, folder) in message


def test_archive_of_something_else(pair, copy):
    os.unlink(copy + "/database.tar.gz")
    with open(copy + "/database.tar.gz", "wb") as handle:
        handle.write(base64.b64decode(archive.pack({"../../etc/x": (0o600, b"x", None)})))
    rewrite_manifest(copy)
    assert "holds what does not belong there: ../../etc/x" in refused(pair, copy)


def test_database_that_is_there_is_left_alone(pair, good):
    order, server = pair.order(good)
    pair.lab.initdb(server.data)
    with pytest.raises(PostgresError) as caught:
        full_backup_restore.restore(order, local_runner)
    assert caught.value.kind == "foreign" and os.path.exists(server.data + "/PG_VERSION")


def test_what_a_cut_off_run_left_is_removed(pair, good):
    """With the private server still at work."""
    order, server = pair.order(good)
    folder = server.home + "/.data.restore"
    os.mkdir(folder, 0o700)
    os.chown(folder, pair.lab.uid, pair.lab.gid)
    tarball.unpack(good + "/database.tar.gz", folder, pair.lab.uid, pair.lab.gid, lambda done: None)
    left_over = pair.lab.server(os.path.basename(server.home))
    left_over.data = folder
    left_over.start()
    assert left_over.pid()
    result = full_backup_restore.restore(order, local_runner)
    assert result.changed and sorted(left(server)) == ["data", "log"]


def test_old_ones_go(pair, good, run_module):
    clock = ["2020-01-01T000000Z", "2020-01-02T000000Z"]
    for name in clock:
        path = shutil.copytree(good, os.path.join(pair.directory, name))
        with open(path + "/manifest.json", encoding="utf-8") as handle:
            data = json.load(handle)
        data.update(name=name, time=name)
        with open(path + "/manifest.json", "w", encoding="utf-8") as handle:
            json.dump(data, handle)
    os.unlink(os.path.join(pair.directory, clock[1], "hub-hub1.tar.gz"))
    arguments = {"state": "pruned", "path": pair.directory, "keep": 1, "system_identifier": pair.system}
    oldest = os.path.join(pair.directory, clock[0])
    assert run_module(backup_seal, check=True, **arguments)["removed"] == [oldest] and os.path.exists(oldest)
    assert run_module(backup_seal, **arguments)["removed"] == [oldest] and not os.path.exists(oldest)
    assert os.path.exists(good + "/manifest.json") and os.path.exists(os.path.join(pair.directory, clock[1]))
    assert run_module(backup_seal, **arguments)["changed"] is False


@pytest.mark.parametrize("states, pids, kind", [
    (["in archive recovery", "in archive recovery", "in production"], [1], None),
    (["in archive recovery"], [], "recovery"), (["in archive recovery"] * 30, [1], "timeout")])
def test_all_wal_is_replayed_before_the_private_server_ends(monkeypatch, tmp_path, states, pids, kind):
    """pg_ctl --wait ends when recovery begins, and much WAL takes longer than that."""
    order = full_backup_restore.Order(path="", data_dir=str(tmp_path / "data"), bin_dir="/bin", owner=OWNER,
                                      group=OWNER, progress_file="/dev/null", timeout=0.5)
    restore = full_backup_restore.Job(order, None)
    monkeypatch.setattr(restore.postgres, "controldata", lambda folder: {"state": states.pop(0)})
    monkeypatch.setattr(full_backup_restore, "processes_on", lambda folder: pids)
    if kind is None:
        restore.wait_for_the_end()
        assert states == []
        return
    with pytest.raises(PostgresError) as caught:
        restore.wait_for_the_end()
    assert caught.value.kind == kind
