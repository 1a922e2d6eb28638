# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hubha/pg on text: positions, histories, control data, pid files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import control, history, lsn, quote, server

CONTROLDATA = """pg_control version number:            1700
Catalog version number:               202406281
Database system identifier:           7441234567890123456
Database cluster state:               shut down in recovery
pg_control last modified:             Sun 23 Nov 2025 01:42:00 AM UTC
Latest checkpoint location:           0/3000060
Latest checkpoint's TimeLineID:       2
Latest checkpoint's PrevTimeLineID:   1
"""


@pytest.mark.parametrize("name, size, parts", [
    ("000000010000000000000005", 16 << 20, (1, 5 * (16 << 20))),
    ("0000000A00000001000000FF", 16 << 20, (10, (1 << 32) + 255 * (16 << 20))),
    ("000000020000000100000FFF", 1 << 20, (2, (1 << 32) + 4095 * (1 << 20))), ("00000002.history", 16 << 20, None),
    ("000000010000000000000005.partial", 16 << 20, None), ("archive_status", 16 << 20, None)])
def test_segments(name, size, parts):
    assert lsn.segment_parts(name, size) == parts
    if parts:
        assert lsn.segment_name(parts[0], parts[1] + 17, size) == name


def test_pid_file():
    text = "812\n/var/lib/cfengine3/state/pg/data\n1763862120\n5432\n/tmp\nlocalhost\n  5432001 0\nready   \n"
    assert server.parse_pid_file(text) == {"pid": 812, "port": 5432, "socket_dir": "/tmp"}
    assert server.parse_pid_file("812\n/data\n1763862120\n5433\n\n*\n")["socket_dir"] is None
    assert server.parse_pid_file("812\n/data\n") == {}, "being written"
    assert server.parse_pid_file("-812\n/data\n1\n5432\n\n") == {}, "single user mode"
    assert server.parse_pid_file("") == server.parse_pid_file(None) == {}


def test_pid_file_of_a_server_that_is_gone(tmp_path):
    assert server.pid_file(str(tmp_path)) == {} and server.postmaster_pid(str(tmp_path)) is None
    (tmp_path / "postmaster.pid").write_text("%d\n%s\n1\n5433\n/run/pg\n" % (os.getpid(), tmp_path))
    assert server.pid_file(str(tmp_path))["port"] == 5433
    assert server.postmaster_pid(str(tmp_path)) is None, "that number is somebody else's now"
    assert server.server_address(str(tmp_path)) == {"port": 5433, "socket_dir": "/run/pg"}
    assert server.server_address(str(tmp_path), 1, "/x") == {"port": 1, "socket_dir": "/x"}


def test_summary():
    assert control.summary(CONTROLDATA) == {
        "state": "shut down in recovery", "system_identifier": "7441234567890123456", "timeline": 2,
        "checkpoint_lsn": "0/3000060", "redo_lsn": None, "min_recovery_lsn": None, "min_recovery_timeline": None,
        "next_xid": None, "segment_bytes": None, "checksums": False, "wal_log_hints": False}
    assert control.summary("") == {"state": "", "system_identifier": "", "timeline": None, "checkpoint_lsn": None}


@pytest.mark.parametrize("text, number", [("0:735", 735), ("1:3", (1 << 32) + 3), ("735", None), (None, None)])
def test_transaction_id_with_its_epoch(text, number):
    assert control.full_xid(text) == number


def test_history_of_a_timeline():
    text = "1\t0/3000148\tno recovery target specified\n\n2\t0/50000A0\tno recovery target specified\n"
    entries = [{"timeline": 1, "lsn": "0/3000148"}, {"timeline": 2, "lsn": "0/50000A0"}]
    assert history.parse(text) == ((1, 0x3000148), (2, 0x50000A0)) == history.from_entries(entries)
    assert history.to_entries(history.parse(text)) == entries
    assert history.parse(None) == () == history.from_entries(None)


def test_names_of_history_files():
    assert history.file_name(10) == "0000000A.history" and history.timeline_of("0000000A.history") == 10
    assert history.timeline_of("000000010000000000000005") is None


@pytest.mark.parametrize("mine, theirs, fork", [
    (((), 1), ((), 1), (1, -1)), (((), 1), (((1, 5),), 2), (1, 5)), ((((1, 5),), 2), (((1, 5),), 2), (2, -1)),
    ((((1, 5),), 2), (((1, 7),), 2), (1, 5)), ((((1, 5), (2, 9)), 3), (((1, 5),), 2), (2, 9)),
    ((((1, 5), (2, 9)), 4), (((1, 5), (2, 8)), 3), (2, 8)), ((((1, 5),), 3), (((1, 5),), 2), (1, 5)),
    ((((2, 5),), 3), ((), 1), None)])
def test_fork(mine, theirs, fork):
    assert history.fork(*mine, *theirs) == fork == history.fork(*theirs, *mine)


def test_quoted():
    assert quote.literal("it's") == "'it''s'" and quote.literal("a\\b'") == r" E'a\\b'''"
    assert quote.identifier('a"b') == '"a""b"'
    assert quote.conninfo_value("o'b\\c") == r"'o\'b\\c'" and quote.conninfo_value(1) == "'1'"
    assert quote.setting("o'b\\c") == r"'o''b\\c'"


def test_needs_no_ansible_and_nothing_of_the_hub():
    """A program on the hub has package hubha and nothing else."""
    folder = Path(quote.__file__).parents[2]
    names = sorted("hubha.pg." + path.stem for path in (folder / "hubha/pg").glob("*.py") if path.stem != "__init__")
    code = "import sys; sys.path.insert(0, %r); import %s; print(*sys.modules)" % (str(folder), ", ".join(names))
    done = subprocess.run([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    found = done.stdout.split()
    assert set(names) < set(found) and not [name for name in found if name.startswith("ansible")]
    assert {name.split(".")[1] for name in found if name.startswith("hubha.")} == {"core", "pg"}
