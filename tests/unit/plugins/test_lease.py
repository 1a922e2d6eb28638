# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time: who gets the lease, what is in the file, and what the controller knows of the holder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.action import lease as action
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import lease
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.modules import lease as module

HERE = {"host": "control", "machine": "m1", "boot": "b1", "space": "pid:[1]", "pid": 4711, "started": "99"}
ME = lease.Holder("mine", "root@control", "upgrade-to-ha.yml", 3600, HERE)
OTHER = replace(ME, run="other", what="remove-ha.yml", since=900.0, renewed=1000.0, boot="hub-boot", up=500.0)
NOW = lease.Now(1100.0, "hub-boot", 600.0)


@pytest.mark.parametrize("change, held, why", [
    ({"current": None}, True, "free"),
    ({"current": replace(OTHER, run="mine")}, True, "mine"),
    ({}, False, "held"),
    ({"dead": "other"}, True, "dead"), ({"dead": "third"}, False, "held"),
    ({"word": "other"}, True, "word"), ({"word": "third"}, False, "held"), ({"word": ""}, False, "held"),
    ({"now": replace(NOW, up=500.0 + 3601)}, True, "expired"), ({"now": replace(NOW, up=500.0 + 3600)}, False, "held"),
    # Somebody has set the hub's clock: within one boot that does not count, after a boot nothing else is there.
    ({"now": replace(NOW, wall=9e9)}, False, "held"),
    ({"now": lease.Now(1000.0 + 3601, "next-boot", 5.0)}, True, "expired"),
    ({"now": lease.Now(10.0, "next-boot", 9e9)}, False, "held"),
    # A run that has ended since this one read the hub; not if it was the same run, and its own lease always counts.
    ({"current": None, "last": {"run": "other", "ended": 1050.0}, "read_at": 1049.0}, False, "changed"),
    ({"current": None, "last": {"run": "other", "ended": 1050.0}, "read_at": 1051.0}, True, "free"),
    ({"current": None, "last": {"run": "other", "ended": 1050.0}}, True, "free"),
    ({"current": None, "last": {"run": "mine", "ended": 1050.0}, "read_at": 1049.0}, True, "free"),
    ({"current": replace(OTHER, run="mine"), "last": {"run": "other", "ended": 1050.0}, "read_at": 1049.0}, True,
     "mine"),
    # The clock was ahead when that run ended, and has been set back since: within one boot it is known how long ago
    # that was; after a boot, or by a file without it, an end in the future tells nothing.
    ({"current": None, "last": {"run": "other", "ended": 5000.0}, "read_at": 1099.0}, True, "free"),
    ({"current": None, "last": {"run": "other", "ended": 5000.0, "boot": "last-boot", "up": 9e9}, "read_at": 1099.0},
     True, "free"),
    ({"current": None, "last": {"run": "other", "ended": 5000.0, "boot": "hub-boot", "up": 500.0}, "read_at": 1001.0},
     True, "free"),
    ({"current": None, "last": {"run": "other", "ended": 5000.0, "boot": "hub-boot", "up": 500.0}, "read_at": 999.0},
     False, "changed"),
    # It was behind, and has been set forward: the end is as fresh as it is.
    ({"current": None, "last": {"run": "other", "ended": 10.0, "boot": "hub-boot", "up": 500.0}, "read_at": 999.0},
     False, "changed"),
])
def test_who_gets_it(change, held, why):
    given = dict({"current": OTHER, "last": {}, "me": ME, "now": NOW}, **change)
    found = lease.decide(**given)
    assert (found.held, found.why) == (held, why)


@pytest.mark.parametrize("theirs, started, alive", [
    ({}, "99", True), ({}, "100", False), ({}, None, False), ({}, lease.HIDDEN, None),
    ({"boot": "b0"}, "99", False),                       # the controller was booted since
    ({"boot": "b0", "machine": ""}, None, None),         # a machine without a name of its own
    ({"space": "pid:[2]"}, None, None),                  # a container beside this one
    ({"host": "laptop"}, None, None), ({"machine": "m2"}, None, None), ({"host": ""}, None, None)])
def test_whether_the_holder_lives(theirs, started, alive):
    mine = dict(HERE, machine="") if theirs.get("machine") == "" else HERE
    assert lease.controller_alive(dict(HERE, **theirs), mine, started) is alive


def test_another_process_is_another_run():
    assert lease.run_id(HERE) == lease.run_id(dict(reversed(list(HERE.items()))))
    changes = ({}, {"pid": 1}, {"started": "1"}, {"boot": "b"})
    assert len({lease.run_id(dict(HERE, **change)) for change in changes}) == 4


def test_taken_renewed_and_given_back(tmp_path):
    here = lease.Lease(str(tmp_path / "lib"), NOW)
    assert not here.give("mine") and not (tmp_path / "lib").exists(), "nothing to give back, nothing made"
    assert here.take(ME).why == "free"
    assert stat.S_IMODE(os.stat(tmp_path / "lib").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "lib/run.json").st_mode) == 0o600
    later = lease.Lease(here.directory, lease.Now(1200.0, "hub-boot", 700.0))
    assert later.take(ME).why == "mine"
    kept = json.loads((tmp_path / "lib/run.json").read_text())
    assert (kept["since"], kept["renewed"], kept["up"], kept["who"]) == (1100.0, 1200.0, 700.0, "root@control")
    assert not later.take(replace(ME, run="third")).held and not later.give("third")
    assert later.give("mine") and not later.give("mine")
    assert sorted(os.listdir(here.directory)) == ["last-run.json", "run.lock"]
    assert later.take(replace(ME, run="third"), read_at=1199.0).why == "changed"
    assert later.take(replace(ME, run="third"), read_at=1201.0).why == "free"


@pytest.mark.parametrize("back", [lease.Now(1100.0, "hub-boot", 700.0), lease.Now(1100.0, "next-boot", 7.0)])
def test_a_clock_that_was_ahead_locks_nobody_out(tmp_path, back):
    ahead = lease.Lease(str(tmp_path), lease.Now(5000.0, "hub-boot", 600.0))
    ahead.take(OTHER)
    assert ahead.give("other")
    assert lease.Lease(str(tmp_path), back).take(ME, read_at=1099.0).why == "free"


def test_taken_over_it_is_the_new_runs(tmp_path):
    here = lease.Lease(str(tmp_path), NOW)
    here.take(OTHER)
    assert here.take(ME, dead="other").why == "dead"
    assert not here.give("other"), "who comes too late gives nothing back"
    assert here.take(replace(OTHER, run="third")).holder.run == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"run": "x"}', "null"])
def test_a_file_that_nobody_understands_is_somebodys(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    here = lease.Lease(str(tmp_path), NOW)
    found = here.take(ME)
    assert not found.held and "rm /var/lib/cfengine-hub-ha/run.json" in str(lease.refusal("hub1", found, 0.0, None))


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "lib").write_text("a file")
    with pytest.raises(HubError, match="cannot be written"):
        lease.Lease(str(tmp_path / "lib"), NOW).take(ME)


def race(directory, name, results):
    """One of many that want it at the same moment."""
    results.put((name, lease.Lease(directory, NOW).take(replace(ME, run=name)).held))


def test_of_many_at_once_one_gets_it(tmp_path):
    context = get_context("fork")
    results = context.Queue()
    everybody = [context.Process(target=race, args=(str(tmp_path), "run%d" % number, results)) for number in range(12)]
    for process in everybody:
        process.start()
    found = [results.get(timeout=30) for process in everybody]
    for process in everybody:
        process.join()
    winners = [name for name, held in found if held]
    assert len(winners) == 1
    assert json.loads((tmp_path / "run.json").read_text())["run"] == winners[0]


@pytest.mark.parametrize("alive, words", [
    (True, "it is process 4711 on this controller"), (None, "-e hub_ha_run_takeover=other")])
def test_what_is_said(alive, words):
    problem = lease.refusal("hub1", lease.Verdict(False, "held", OTHER), 300.0, alive)
    assert problem.code == "RUN_HELD" and words in problem.remedy
    assert "remove-ha.yml of root@control is at work on this pair (run other, last heard of 5 min ago)" \
        in problem.problem
    assert lease.refusal("hub1", lease.Verdict(False, "changed"), 0.0, None).code == "RUN_CHANGED"
    assert lease.taken_text(lease.Verdict(True, "free"), 0.0) == ""
    assert "its process is gone" in lease.taken_text(lease.Verdict(True, "dead", OTHER), 0.0)


class Ansible:
    """The action plugin with the real module behind it, in a directory."""

    def __init__(self, run_module, monkeypatch, directory):
        self.run_module, self.directory = run_module, str(directory)
        monkeypatch.setattr(ActionBase, "run", lambda this, tmp, task_vars: {})
        monkeypatch.setattr(ActionBase, "_execute_module", self.execute)

    def execute(self, module_name, module_args, task_vars):
        return self.run_module(module, **dict(module_args, directory=self.directory))

    def __call__(self, **args):
        made = action.ActionModule.__new__(action.ActionModule)
        made._task = SimpleNamespace(args=args)
        return made.run(None, {"inventory_hostname": "hub1"})


@pytest.fixture(name="ansible")
def fixture_ansible(run_module, monkeypatch, tmp_path):
    return Ansible(run_module, monkeypatch, tmp_path / "lib")


def other_run(monkeypatch, pid, **change):
    """From now on the run is that of this process."""
    here = dict(action.controller(), pid=pid, started=action.started(pid) or "gone", **change)
    monkeypatch.setattr(action, "controller", lambda: here)


def test_a_run_that_was_killed_is_followed_at_once_and_one_that_lives_is_not(ansible, monkeypatch):
    first = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    real = action.controller
    other_run(monkeypatch, first.pid)
    assert ansible(what="remove-ha.yml")["why"] == "free"
    monkeypatch.setattr(action, "controller", real)
    refused = ansible(what="upgrade-to-ha.yml")
    assert not refused["changed"] and not refused["held"] and refused["holder"]["what"] == "remove-ha.yml"
    assert "process %d on this controller" % first.pid in refused["refused"]
    assert not ansible(takeover=refused["holder"]["run"])["held"], "no word helps against a process that lives"
    first.kill()
    first.wait()
    taken = ansible(what="upgrade-to-ha.yml")
    assert taken["held"] and taken["why"] == "dead" and "its process is gone" in taken["taken"]
    assert taken["refused"] == "" and ansible(what="third-hub.yml")["why"] == "mine"
    assert ansible(state="absent")["why"] == "given" and ansible(state="absent")["why"] == "none"


def test_a_run_elsewhere_needs_a_word(ansible, monkeypatch):
    real = action.controller
    other_run(monkeypatch, 1, host="laptop")
    ansible(what="remove-ha.yml")
    monkeypatch.setattr(action, "controller", real)
    refused = ansible()
    assert "hub_ha_run_takeover=" + refused["holder"]["run"] in refused["refused"]
    assert not ansible(takeover="nonsense")["held"]
    assert ansible(takeover=refused["holder"]["run"])["why"] == "word"


def test_check_mode_takes_nothing(run_module, tmp_path):
    result = run_module(module, directory=str(tmp_path / "lib"), run="mine", check=True)
    assert not result["changed"] and not result["held"] and not (tmp_path / "lib").exists()
    assert run_module(module, directory=str(tmp_path))["failed"]
