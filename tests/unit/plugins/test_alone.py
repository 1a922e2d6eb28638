# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a crashed primary that is alone may be started in place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import alone, guard_io, guard_state, leave
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Side

GUARD = {"running": True, "phase": "watch", "peer": {"node": "hub2", "absent": 12.5}}
CRASHED = Side("hub1", "7", state="in production", timeline=3)
ONCE = [(1.0, 1.0)]


def test_a_primary_that_ended_by_itself_where_nobody_could_take_over():
    assert alone.may_restart(GUARD, None, CRASHED, False, ONCE) is None
    assert alone.may_restart(GUARD, None, CRASHED, False, ONCE * 3) is None


@pytest.mark.parametrize("change, words", [
    ({"found": {"running": False, "age": None}}, "the guard does not run"),
    ({"found": dict(GUARD, peer={"node": "hub2", "absent": None})}, "the other hub is there"),
    ({"found": dict(GUARD, peer={"node": "hub2", "absent": 4.9})}, "has only just left"),
    ({"found": dict(GUARD, phase="recover")}, "the guard has stopped it"),
    ({"stopped": True}, "the guard has stopped it"),
    ({"idle": "the cluster is in maintenance mode"}, "maintenance mode"),
    ({"side": replace(CRASHED, state="shut down")}, "(shut down)"),
    ({"side": replace(CRASHED, state="in archive recovery")}, "(in archive recovery)"),
    ({"side": Side("hub1", why="pg_controldata fails")}, "(pg_controldata fails)"),
    ({"side": Side("hub1", running=True)}, "(it runs)"),
    ({"side": replace(CRASHED, backup_label=True)}, "no primary that ended by itself"),
    ({"third": True}, "a third hub may be the primary"), ({"times": ONCE * 4}, "crashed 4 times within 10 minutes")])
def test_why_not(change, words):
    known = {"found": GUARD, "idle": None, "side": CRASHED, "stopped": False, "times": ONCE, "third": False}
    assert words in alone.may_restart(**dict(known, **change))


def test_each_crash_is_noted_once_it_is_allowed(tmp_path, monkeypatch, capsys):
    (tmp_path / "global").mkdir()
    (tmp_path / "global/pg_control").touch()
    pair = model.Pair("hub1", "hub2", "c", str(tmp_path), "/b", "u", 5432, None, str(tmp_path), "/t", "r", "verify-ca",
                      ("192.0.2.1",), ())
    notes = leave.Notes(str(tmp_path))
    monkeypatch.setattr(alone, "this_pair", lambda: pair)
    monkeypatch.setattr(alone, "Notes", lambda: notes)
    monkeypatch.setattr(alone, "STOPPED", str(tmp_path / "stopped"))
    monkeypatch.setattr(alone.look, "local_side", lambda *arguments: CRASHED)
    monkeypatch.setattr(guard_state, "read", lambda: GUARD)
    monkeypatch.setattr(guard_io, "idle", lambda node: None)
    peer = [leave.Peer(True)]
    monkeypatch.setattr(alone, "ask_peer", lambda dummy: peer[0])
    assert alone.main([], "1") == leave.REFUSED and not notes.read()
    assert "PostgreSQL on hub2 takes connections" in capsys.readouterr().err, "out of the cluster, and about to serve"
    peer[0] = leave.Peer(False)
    assert alone.main([], "1") == 0 and len(notes.read()) == 1
    (tmp_path / "third_hub").touch()
    assert alone.main([], "1") == leave.REFUSED and "third hub" in capsys.readouterr().err
    (tmp_path / "third_hub").unlink()
    (tmp_path / "stopped").touch()
    assert alone.main([], "1") == leave.REFUSED and "not started in place" in capsys.readouterr().err
