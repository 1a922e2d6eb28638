# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server comes under its own unit: what is run in which order, and that it serves whatever goes wrong."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import database_unit as library
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandError, Completed, HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import units
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.modules import database_unit

OWN = "cf-postgres.service"


class Host:
    """A host with systemd and a server, as far as the module sees it."""

    def __init__(self, monkeypatch, tmp_path, unit="pacemaker.service", pid=7, active="inactive", load="loaded"):
        self.unit, self.pid, self.active, self.load = unit, pid, active, load
        self.calls, self.broken = [], ()
        self.params = {"unit": "cf-postgres", "data_dir": str(tmp_path), "bin_dir": str(tmp_path), "owner": "x",
                       "log": "/log", "port": None, "restart": False, "wait": 60}
        (tmp_path / "pg_ctl").touch()
        (tmp_path / "postmaster.pid").write_text("7\n%s\n1\n5433\n/run/pg\n*\n" % tmp_path, encoding="ascii")
        monkeypatch.setattr(library, "postmaster_pid", lambda data_dir: self.pid)
        monkeypatch.setattr(database_unit, "local_runner", self)
        monkeypatch.setattr(Postgres, "as_owner", lambda this, argv: list(argv))
        monkeypatch.setattr(units, "read_text", self.read)

    def read(self, path):
        if path.startswith("/proc/"):
            return "0::/system.slice/%s\n" % self.unit
        with open(path, encoding="ascii") as handle:
            return handle.read()

    def __call__(self, argv, check=True, **more):
        if argv[:2] == ["systemctl", "show"]:
            return Completed(argv, 0, "Id=%s\nLoadState=%s\nActiveState=%s\nUnitFileState=enabled\n"
                             % (OWN, self.load, self.active), "")
        words = " ".join(word.rsplit("/", 1)[-1] for word in argv)
        kind = [text for text in ("CHECKPOINT", "stop", "systemctl start", "systemctl restart", "systemctl stop",
                                  "reset-failed", "start") if text in words + (more.get("stdin") or "")][0]
        if argv[0] == "systemctl" and kind in ("stop", "start"):
            kind = "systemctl " + kind
        self.calls.append(kind)
        if kind in self.broken:
            done = Completed(argv, 1, "", "broken")
            if check:
                raise CommandError(done)
            return done
        if kind == "stop":
            self.pid = None
        if kind in ("systemctl start", "systemctl restart"):
            self.pid, self.unit, self.active = 8, OWN, "active"
        if kind == "start":
            self.pid = 9
        return Completed(argv, 0, "", "")


def run(host, run_module, check=False, **more):
    given = {key: value for key, value in dict(host.params, **more).items() if value is not None}
    return run_module(database_unit, check=check, diff=True, **given)


def test_a_server_of_pacemakers(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path)
    told = run(host, run_module, check=True)
    assert told["changed"] and host.calls == []
    done = run(host, run_module)
    assert done["changed"] and done["unit_before"] == "pacemaker.service" and done["diff"] == told["diff"]
    assert host.calls == ["CHECKPOINT", "stop", "reset-failed", "systemctl start"]
    again = run(host, run_module)
    assert not again["changed"] and again["gap"] == 0 and len(host.calls) == 4


def test_one_that_is_adopted_and_still_under_its_unit(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path, unit=OWN, active="active")
    assert not run(host, run_module)["changed"] and host.calls == []
    assert run(host, run_module, restart=True)["changed"]
    assert host.calls == ["CHECKPOINT", "systemctl restart"]


def test_one_whose_unit_has_failed_is_not_taken_for_running_under_it(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path, unit=OWN, active="failed")
    assert run(host, run_module)["changed"]


def test_a_stopped_one_is_started(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path, pid=None)
    done = run(host, run_module)
    assert done["changed"] and done["unit_before"] is None and host.calls == ["reset-failed", "systemctl start"]


def test_nothing_is_stopped_for_a_unit_that_is_masked(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path, load="masked")
    done = run(host, run_module)
    assert done["failed"] and "is masked" in done["msg"] and host.calls == []


def test_it_serves_when_the_unit_cannot_start_it(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path)
    host.broken = ("systemctl start",)
    done = run(host, run_module)
    assert done["failed"] and "started without it and serves" in done["msg"] and host.pid == 9
    assert host.calls[-2:] == ["systemctl stop", "start"]


def test_both_ways_fail(monkeypatch, tmp_path, run_module):
    host = Host(monkeypatch, tmp_path)
    host.broken = ("systemctl start", "start")
    done = run(host, run_module)
    assert done["failed"] and "neither by its unit" in done["msg"]


def test_a_unit_whose_condition_does_not_hold(monkeypatch, tmp_path):
    host = Host(monkeypatch, tmp_path)
    monkeypatch.setattr(host, "broken", ())
    server = library.Server("cf-postgres", str(tmp_path), "/log", None, 60)
    found = library.look(host, server)
    original = host.__call__

    def lazy(argv, **more):
        done = original(argv, **more)
        if argv[:2] == ["systemctl", "start"]:
            host.pid = None
        return done

    with pytest.raises(HubError, match="a condition of the unit may not hold"):
        library.take_over(Postgres(lazy, str(tmp_path), "x"), server, found)
    assert host.pid == 9
