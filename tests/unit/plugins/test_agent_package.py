# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for the scripts of the hub's package."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import (
    alone,
    belief,
    guard_state,
    leave,
    package,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import rpm as rpm_loader
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


def test_a_mark_of_long_ago_is_one_that_a_failed_installation_has_left(places):
    mark, lock = places
    with subprocess.Popen([sys.executable, "-c", HOLDS, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        for age, right in ((3500, True), (3700, False)):
            assert package.at_work(mark, [lock], clock=lambda age=age: os.stat(mark).st_mtime + age) is right, age
        holder.stdin.close()


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
    assert alone.peer_away(ABSENT)
    for found in ({"running": False}, {"running": True}, dict(ABSENT, peer={"absent": 4.9}),
                  dict(ABSENT, peer={"absent": None}), dict(ABSENT, running=False)):
        assert not alone.peer_away(found), found


def ticking():
    """A clock that goes on by itself, half a second a look."""
    ticks = itertools.count()
    return lambda: next(ticks) / 2


def test_it_is_waited_for_until_it_ends_or_the_time_is_over():
    answers = iter([True, True, False])
    assert package.wait(lambda: next(answers), 10, lambda: True, ticking(), lambda dummy: None) is None
    assert package.wait(lambda: True, 10, lambda: True, ticking(), lambda dummy: None) == "do not end in 10 s"


@pytest.mark.parametrize("served, looks", [([False, False], 2), ([True, False, True, False, False], 5)])
def test_pacemaker_has_other_things_to_do_when_the_other_hub_is_no_primary(served, looks):
    """From the first look on; one that is lost is none."""
    left = list(served)
    why = package.wait(lambda: True, 100, lambda: left.pop(0), ticking(), lambda dummy: None)
    assert why == "the other hub is no primary"
    assert len(served) - len(left) == looks


@pytest.mark.parametrize("operation, lonely, seconds", [
    ("monitor", False, 8), ("monitor", True, 8), ("start", False, 5), ("start", True, 60), ("stop", False, 30),
    ("demote", True, 30)])
def test_how_long(operation, lonely, seconds):
    """Of pacemaker's 120 s; a monitor that has 30 waits 7.5."""
    assert package.limit(operation, lonely, 120.0) == seconds
    assert package.limit("monitor", lonely, 30.0) == 7.5 < belief.MISSED / 2 + 1


@pytest.mark.parametrize("operation, standby, found, primary, why", [
    ("start", False, {}, True, "do not end in 5 s"), ("start", False, {}, False, "no primary"),
    ("stop", True, {}, True, "do not end in 10 s"), ("monitor", True, {}, True, "do not end in 8 s"),
    ("monitor", True, {}, False, "no primary"), ("demote", False, ABSENT, False, "do not end in 10 s"),
    ("start", False, ABSENT, False, "do not end in 20 s"), ("stop", False, {}, True, None),
    ("monitor", False, {"running": True, "peer": {"absent": None}}, True, None)])
def test_where_another_hub_could_take_over_nobody_waits(operation, standby, found, primary, why, tmp_path, monkeypatch,
                                                        capsys):
    pair = model.Pair("hub1", "hub2", "c", str(tmp_path), "/b", "u", 5432, None, str(tmp_path), "/t", "r", "verify-ca",
                      ("192.0.2.1",), ())
    if standby:
        (tmp_path / "standby.signal").touch()
    now = [0.0]
    monkeypatch.setattr(package, "this_pair", lambda: pair)
    monkeypatch.setattr(package, "at_work", lambda mark: True)
    monkeypatch.setattr(package, "ask_peer", lambda asked: SimpleNamespace(primary=primary and asked is pair))
    real = package.wait
    monkeypatch.setattr(package, "wait", lambda working, seconds, served: real(
        working, seconds, served, lambda: now[0], lambda pause: now.__setitem__(0, now[0] + pause)))
    monkeypatch.setattr(guard_state, "read", lambda: found)
    monkeypatch.setenv("OCF_RESKEY_CRM_meta_timeout", "40000")
    assert package.main([operation, "/mark"], "1") == (leave.REFUSED if why else 0)
    said = capsys.readouterr().err
    if why:
        assert "the scripts of the hub's package have the database: %s waits for them" % operation in said
        reason = said.splitlines()[1]
        assert reason.startswith("ocf-exit-reason:") and reason.endswith(why), said
        assert len(reason) <= len("ocf-exit-reason:") + 128, "pacemaker cuts the rest"
    else:
        assert not said
    monkeypatch.setattr(package, "at_work", lambda mark: False)
    assert package.main([operation, "/mark"], "1") == 0


def test_the_locks_are_those_that_the_library_knows():
    assert set(rpm_loader.LOCKS) <= set(package.LOCKS)


@pytest.mark.parametrize("told", ["", "rubbish", "-5", "1e3", "\u00b2"])
def test_a_limit_that_makes_no_sense_is_the_usual_one(told, monkeypatch):
    waited = []
    monkeypatch.setattr(package, "at_work", lambda mark: True)
    monkeypatch.setattr(package, "this_pair", lambda: SimpleNamespace(data_dir="/nowhere"))
    monkeypatch.setattr(package, "wait", lambda working, seconds, served: waited.append(seconds))
    monkeypatch.setattr(guard_state, "read", lambda: ABSENT)
    monkeypatch.setenv("OCF_RESKEY_CRM_meta_timeout", told)
    assert package.main(["start", "/mark"], "1") == 0 and waited == [60.0]


@pytest.mark.parametrize("argv", [[], ["start"], ["start", "/mark", "more"]])
def test_wrong_usage_is_told(argv, capsys):
    assert package.main(argv, "1") == 2 and "usage" in capsys.readouterr().err
