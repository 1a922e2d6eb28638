# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha status: what it says of the hub's file of the pair, whether the guard runs or not."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils import pair_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils import plan
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import status
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
    rcs = [status.main(["--json"], "1"), status.main([], "1")]
    first, _newline, rest = capsys.readouterr().out.partition("\n")
    assert rcs == [0 if running else 3] * 2 and json.loads(first)["pair_file"] == wrong
    assert ("it is cut: upgrade-to-ha.yml writes it (PAIR_FILE)" in rest) == bool(wrong)
    assert ("something" in rest) == running and ("The guard does not run" in rest) == (not running)
