# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs of playbook backup leave when they are cut off: found, told from everything else, and removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from unittest import mock

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import backup_format, full_backup as loader
from ansible_collections.cfengine.hub_ha.plugins.modules import backup_seal

KEYS = ("taken_from", "active", "layout", "edition", "cfengine_version", "db_user", "shared", "foreign_resources")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "backups"
    path.mkdir(mode=0o700)
    return path


def make(folder, number, names=(), run=None, fetched=None, whole=False):
    """A backup, or what is there of one. fetched: None, it has no note of its run."""
    path = folder / ("2026-01-%02dT000000Z" % number)
    path.mkdir(mode=0o700)
    for name in names:
        (path / name).write_bytes(b"x" * 10000)
    if fetched is not None:
        loader.mark(str(path), run, fetched)
    if whole:
        members = [{"name": name, "bytes": 10000, "sha256": ""} for name in names]
        data = dict.fromkeys(KEYS, {})
        data.update(format=1, name=path.name, time=path.name, postgres={"system_identifier": "7"}, members=members,
                    hubs={"hub1": {"archive": "hub-hub1.tar.gz"}})
        (path / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    return str(path)


WHOLE = ("database.tar.gz", "hub-hub1.tar.gz")


def everything(folder):
    """{name: path} of all that there may be."""
    found = {"copy": make(folder, 1, fetched=False), "packed": make(folder, 2, WHOLE[:1], "r", False),
             "empty": make(folder, 3), "to fetch": make(folder, 4, WHOLE, "r", True, whole=True),
             "good": make(folder, 5, WHOLE, whole=True),
             "sealed just now": make(folder, 6, WHOLE, "r", False, whole=True),
             "foreign": make(folder, 7, ("notes.txt",)),
             "foreign to fetch": make(folder, 8, WHOLE + ("a",), "r", True, True)}
    os.makedirs(found["copy"] + "/.database/base")
    with open(found["copy"] + "/.database/base/1", "wb") as handle:
        handle.write(b"x" * 100000)
    (folder / "keep").mkdir()
    (folder / "2026-01-09T000000Z").symlink_to(found["empty"])
    return found


def test_found_and_removed(folder):
    paths = everything(folder)
    look = loader.look(str(folder))
    assert not look["locked"]
    found = dict((item["path"], item) for item in look["unfinished"])
    assert sorted(found) == sorted(paths[name] for name in ("copy", "packed", "empty", "to fetch"))
    item = found[paths["copy"]]
    assert item["copying"] and not item["complete"] and item["bytes"] >= 100000 and 0 <= item["silent"] < 60
    item = found[paths["to fetch"]]
    assert item["complete"] and not item["copying"] and item["run"] == "r"
    before = sorted(os.listdir(folder))
    assert loader.clear(str(folder), look["unfinished"], check_mode=True) == sorted(found)
    assert sorted(os.listdir(folder)) == before
    assert loader.clear(str(folder), look["unfinished"]) == sorted(found)
    assert not [path for path in found if os.path.exists(path)]
    stay = [os.path.basename(paths[name]) for name in ("good", "sealed just now", "foreign", "foreign to fetch")]
    assert sorted(os.listdir(folder)) == sorted(stay + [".lock", "keep", "2026-01-09T000000Z"])
    assert loader.clear(str(folder), look["unfinished"]) == [], "again"


def test_nothing_while_a_run_has_the_lock(folder):
    make(folder, 1, fetched=False)
    items = loader.look(str(folder))["unfinished"]
    handle = loader.lock(str(folder))
    try:
        assert loader.look(str(folder))["locked"]
        assert loader.clear(str(folder), items) == [] and loader.clear(str(folder), items, check_mode=True) == []
    finally:
        os.close(handle)
    assert not loader.look(str(folder))["locked"] and len(os.listdir(folder)) == 2


def test_what_changed_since_and_what_lies_elsewhere_stays(folder, tmp_path):
    path = make(folder, 1, ("database.tar.gz",))
    elsewhere = make(tmp_path, 2)
    items = loader.look(str(folder))["unfinished"] + [loader.unfinished(elsewhere)]
    os.utime(path + "/database.tar.gz", (1 << 31, 1 << 31))
    assert loader.clear(str(folder), items) == []
    assert os.path.exists(path) and os.path.exists(elsewhere)


def test_removal_that_is_cut_off_leaves_no_backup(folder, monkeypatch, run_module):
    path = make(folder, 1, WHOLE, "r", True, whole=True)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            loader.remove(path)
    found, = loader.look(str(folder))["unfinished"]
    assert found["path"] == path and not found["complete"]
    arguments = {"state": "absent", "path": path}
    assert run_module(backup_seal, check=True, **arguments)["changed"] and os.path.exists(path)
    assert run_module(backup_seal, **arguments)["removed"] == [path] and not os.path.exists(path)
    assert run_module(backup_seal, **arguments)["changed"] is False


def test_one_on_its_way_to_a_controller_does_not_count_as_kept(folder):
    make(folder, 1, WHOLE, whole=True)
    make(folder, 2, WHOLE, "r", True, whole=True)
    assert loader.prune(str(folder), 1, "7") == []


def test_runs_that_go_on_and_runs_that_ended():
    job = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    name = ansible_run.name(job.pid)
    assert ansible_run.alive(name) is True and ansible_run.alive(ansible_run.name()) is True
    again = name.rpartition(" ")[0] + " 1"
    assert ansible_run.alive(again) is False, "the number belongs to another process by now"
    job.communicate()
    assert ansible_run.alive(name) is False and ansible_run.name(job.pid) is None


@pytest.mark.parametrize("name", [None, "", "x", "other-boot pid:[1] 1 1", "a b c d e"])
def test_runs_of_which_nothing_is_known_here(name):
    assert ansible_run.alive(name) is None


def test_names_of_what_is_ours():
    for name in WHOLE + ("manifest.json", "manifest.json.new", "cib.xml", ".database", ".run", ".run.77", ".hub_ha.x1"):
        assert backup_format.OURS.match(name), name
    for name in ("notes.txt", "manifest.json.bak", "database.tar.gz.old", "hub-a.tar", ".ssh", ".run.x", "cib.xml~"):
        assert not backup_format.OURS.match(name), name
