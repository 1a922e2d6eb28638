# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha status: what it says of the hub's file of the pair, whether the guard runs or not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import file as pair_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

TOLD = {"running": True, "version": "1", "phase": "watch", "armed": True, "reason": "", "daemons": {},
        "corosync": {"silent": 0.1}, "postgres": "primary", "peer": {"node": "hub2", "guard": True, "absent": None},
        "done": [{"time": 0, "text": "something"}]}


@pytest.fixture(name="written")
def fixture_written():
    """The file's text as the playbook writes it on hub1."""
    the_plan = plan.make_plan(pair.running_pair(), pair.settings())
    settings = {"cluster": "c", "user": "hub_ha", "sslmode": "verify-ca", "references": [], "token": 1000}
    return pair_file.pair_file(the_plan, "hub1", settings)


@pytest.mark.parametrize("cut, words", [
    (lambda text: text, ""), (lambda text: text[:200], "cannot be read: "), (lambda text: "", "cannot be read: "),
    (lambda text: "[]", "holds no mapping"), (lambda text: text.replace('"peer":', '"other":'), "peer is None")])
def test_what_is_wrong_with_the_file_of_the_pair(tmp_path, written, cut, words):
    path = tmp_path / "pair.json"
    path.write_text(cut(written), encoding="utf-8")
    found = status.pair_file(str(path))
    assert (words in found) if words else found == ""
    assert "upgrade-to-ha" not in found, "what to do is said by those who ask"


def test_a_file_that_is_missing(tmp_path):
    assert status.pair_file(str(tmp_path / "none")) == "%s is missing" % (tmp_path / "none")


@pytest.mark.parametrize("wrong", ["", "it is cut"])
@pytest.mark.parametrize("running", [True, False])
def test_it_is_told_to_people_and_programs(monkeypatch, capsys, wrong, running):
    monkeypatch.setattr(status, "read", lambda: dict(TOLD) if running else {"running": False, "age": 3})
    monkeypatch.setattr(status, "pair_file", lambda: wrong)
    monkeypatch.setattr(status, "hub", lambda: {"idle": None, "forked": None, "gave_up": None})
    rcs = [status.main(["--json"], "1"), status.main([], "1")]
    first, _newline, rest = capsys.readouterr().out.partition("\n")
    assert rcs == [0 if running else 3] * 2 and json.loads(first)["pair_file"] == wrong
    assert ("it is cut: upgrade-to-ha.yml writes it (PAIR_FILE)" in rest) == bool(wrong)
    assert ("something" in rest) == running and ("The guard does not run" in rest) == (not running)


ATTRIBUTE = '<pacemaker-result><attribute name="x" value="%s" host="hub1"/></pacemaker-result>'


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("known, words", [
    ({"idle": "the cluster is in maintenance mode"}, ["NO FAILOVER", "the cluster is in maintenance mode"]),
    ({"forked": "timeline=3 commits=1"}, ["stays stopped here: timeline=3 commits=1", "Clone it anew", "(FORKED)"]),
    ({"gave_up": "PostgreSQL_here_crashed"}, ["PostgreSQL here crashed", "hub-ha retry", "(RESOURCE_GIVEN_UP)"]),
    ({"asked": False}, ["pacemaker    does not answer", "not known"]), ({}, [])])
def test_what_keeps_failover_or_the_database_off_is_said(monkeypatch, capsys, running, known, words):
    """Also where the guard does not run."""
    monkeypatch.setattr(status, "read", lambda: dict(TOLD) if running else {"running": False, "age": 3})
    monkeypatch.setattr(status, "pair_file", lambda: "")
    told = dict({"idle": None, "forked": None, "gave_up": None}, **known)
    monkeypatch.setattr(status, "hub", lambda: told)
    status.main([], "1")
    said = capsys.readouterr().out
    assert all(word in said for word in words)
    assert words or not any(word in said for word in ("NO FAILOVER", "forked", "given up"))
    status.main(["--json"], "1")
    assert told.items() <= json.loads(capsys.readouterr().out).items()


def test_what_pacemaker_knows_of_this_hub(tmp_path, written, monkeypatch):
    asked = []

    def run(argv, timeout):
        asked.append((argv, timeout))
        name = argv[argv.index("-n") + 1]
        none = "Could not query value of hub_ha-gave_up: attribute does not exist"
        return {"hub_ha-forked": SimpleNamespace(returncode=0, stdout=ATTRIBUTE % "timeline=2", stderr=""),
                "hub_ha-gave_up": SimpleNamespace(returncode=6, stdout="", stderr=none)}[name]
    assert status.kept_off("hub1", run) == {"forked": "timeline=2", "gave_up": None, "asked": True}
    assert all("hub1" in argv and timeout <= 0.5 for argv, timeout in asked) and len(asked) == 2
    unknown = {"forked": None, "gave_up": None, "asked": False}
    assert status.kept_off("hub1", lambda argv, timeout: None) == unknown, "no answer in time"
    refused = SimpleNamespace(returncode=102, stdout="", stderr="Could not connect to attribute manager")
    assert status.kept_off("hub1", lambda argv, timeout: refused) == unknown

    path = tmp_path / "pair.json"
    assert status.hub(str(path)) == {}
    path.write_text(written, encoding="utf-8")
    monkeypatch.setattr(status, "kept_off", lambda node: {"forked": node, "gave_up": None})
    monkeypatch.setattr(status.guard_io, "idle", lambda node: "idle on " + node)
    assert status.hub(str(path)) == {"forked": "hub1", "gave_up": None, "idle": "idle on hub1"}
