# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for the scripts of the hub's package."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import leave, package, status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model

ABSENT = {"running": True, "peer": {"absent": 12.5}}
HOLDS = """
import fcntl, sys
with open(sys.argv[1], 'w') as stream:
    fcntl.lockf(stream, fcntl.LOCK_EX)
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture(name="places")
def fixture_places(tmp_path):
    """(mark, lock), both there; nobody holds the lock."""
    for name in ("mark", "lock"):
        (tmp_path / name).touch()
    return str(tmp_path / "mark"), str(tmp_path / "lock")


def test_it_is_at_work_while_its_mark_is_there_and_the_package_manager_holds_its_lock(places, tmp_path):
    mark, lock = places
    locks = ["/nowhere", lock]
    assert not package.at_work(mark, locks), "an installation that failed leaves its mark"
    with subprocess.Popen([sys.executable, "-c", HOLDS, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert package.at_work(mark, locks)
        assert not package.at_work(str(tmp_path / "other"), locks), "another package is installed"
        assert not package.at_work(mark, ["/nowhere"])
        holder.stdin.close()
        holder.wait()
    assert not package.at_work(mark, locks)


def test_who_only_waits_for_the_lock_or_reads_does_not_hold_it(places, tmp_path):
    mark, lock = places
    inode = (tmp_path / "lock").stat().st_ino
    table = tmp_path / "table"
    for line, right in (("1: POSIX  ADVISORY  WRITE 713 fe:01:%d 0 EOF", True),
                        ("1: POSIX  ADVISORY  READ 713 fe:01:%d 0 EOF", False),
                        ("1: -> POSIX  ADVISORY  WRITE 713 fe:01:%d 0 EOF", False),
                        ("1: POSIX  ADVISORY  WRITE 713 fe:01:1%d 0 EOF", False), ("1: LEASE", False)):
        table.write_text(line.replace("%d", str(inode)) + "\n", encoding="ascii")
        assert package.at_work(mark, [lock], str(table)) is right, line


def test_nobody_could_take_over_only_if_the_guard_says_so():
    assert package.alone(ABSENT)
    for found in ({"running": False}, {"running": True}, dict(ABSENT, peer={"absent": 4.9}),
                  dict(ABSENT, peer={"absent": None}), dict(ABSENT, running=False)):
        assert not package.alone(found), found


def ticking():
    """A clock that goes on by itself, half a second a look."""
    ticks = itertools.count()
    return lambda: next(ticks) / 2


def test_it_is_waited_for_until_it_ends_or_the_time_is_over():
    answers = iter([True, True, False])
    assert package.wait(lambda: next(answers), 10, lambda: True, ticking(), lambda dummy: None) is None
    assert "not ended in 10 s" in package.wait(lambda: True, 10, lambda: False, ticking(), lambda dummy: None)


def test_pacemaker_has_other_things_to_do_when_the_other_hubs_server_ends():
    serves = iter([False, True, True, False])
    assert "has ended meanwhile" in package.wait(lambda: True, 100, lambda: next(serves), ticking(), lambda dummy: None)


@pytest.mark.parametrize("operation, standby, found, waits", [
    ("start", False, {}, True), ("stop", True, {}, True), ("monitor", True, {}, True), ("demote", False, ABSENT, True),
    ("stop", False, {}, False), ("monitor", False, {"running": True, "peer": {"absent": None}}, False)])
def test_where_another_hub_could_take_over_nobody_waits(operation, standby, found, waits, tmp_path, monkeypatch,
                                                        capsys):
    pair = model.Pair("hub1", "hub2", "c", str(tmp_path), "/b", "u", 5432, None, str(tmp_path), "/t", "r", "verify-ca",
                      ("192.0.2.1",), ())
    if standby:
        (tmp_path / "standby.signal").touch()
    asked = []
    monkeypatch.setattr(package, "this_pair", lambda: pair)
    monkeypatch.setattr(package, "at_work", lambda mark: True)
    monkeypatch.setattr(package, "taking", lambda addresses, port: asked.append((addresses, port)) or [])
    monkeypatch.setattr(package.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(status, "read", lambda: found)
    monkeypatch.setenv("OCF_RESKEY_CRM_meta_timeout", "30")
    assert package.main([operation, "/mark"], "1") == (leave.REFUSED if waits else 0)
    said = capsys.readouterr().err
    assert ("%s waits for them" % operation in said) is waits
    assert bool(asked) is waits
    if waits:
        assert "ocf-exit-reason:the scripts of the hub's package have the database" in said
        assert "not ended in 0 s" in said
        assert asked[0] == (("192.0.2.1",), 5432)
    monkeypatch.setattr(package, "at_work", lambda mark: False)
    assert package.main([operation, "/mark"], "1") == 0
