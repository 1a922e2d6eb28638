# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Role verify on a hub that lacks what it must know of the pair, in real ansible-playbook runs on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

MAIN = yaml.safe_load((Path(__file__).parents[3] / "roles/verify/tasks/main.yml").read_text(encoding="utf-8"))


@pytest.fixture(name="prove")
def fixture_prove(tmp_path, ansible_playbook):
    """prove(there, *options, **variables): (exit status, output) of the step with these files (name: content)."""
    def run(there, *options, **variables):
        folder = tmp_path / "etc"
        folder.mkdir()
        for name, content in there.items():
            (folder / name).write_text(content, encoding="utf-8")
        # The step as the role does it, with its condition.
        condition = [task["when"] for task in MAIN if task.get("ansible.builtin.import_tasks") == "files.yml"][0]
        done = ansible_playbook(variables, [{
            "ansible.builtin.import_role": {"name": "cfengine.hub_ha.verify", "tasks_from": "files.yml"},
            "when": condition, "vars": {"verify_directory": str(folder)}}], *options)
        return done.returncode, done.stdout
    return run


@pytest.mark.parametrize("there, codes", [
    ({"pair.json": "{}", "agent.conf": "x"}, []), ({"pair.json": "{}"}, ["AGENT_CONF"]),
    ({"pair.json": "", "agent.conf": "x", "pair.json.old": "{}"}, ["PAIR_FILE"])])
def test_what_is_missing_is_told(prove, there, codes):
    status, output = prove(there)
    assert (status == 0) == (not codes), output
    assert [code for code in ("AGENT_CONF", "PAIR_FILE") if "(%s)" % code in output] == codes, output


@pytest.mark.parametrize("adopted, load, red", [
    (True, "loaded", True), (True, "not-found", False), (False, "loaded", False)])
def test_in_check_mode_only_of_a_pair_that_has_had_them(prove, adopted, load, red):
    """A pair of an earlier release gets them in the real run that check mode foretells."""
    status, output = prove({}, "--check", hub_ha={"adopted": adopted},
                           hub_ha_read={"hub": {"units": {"cfengine-hub-ha-guard": {"load": load}}}})
    assert (status != 0) == red and ("(PAIR_FILE)" in output) == red, output
