# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documents name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SPECS = sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))
# Roles bootstrap and switchover are called by others, with what they have found out; a user sets nothing there, nor
# run_...: what a playbook says of itself.
OPTIONS = [(path.parts[-3], name) for path in SPECS if path.parts[-3] not in ("bootstrap", "switchover")
           for name in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
           if not name.startswith("run_")]


def read(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py")))
def test_every_module_is_in_the_list_of_modules(module):
    assert "| `%s` |" % module in read("how-it-works.md")


@pytest.mark.parametrize("role, option", OPTIONS)
def test_every_variable_is_in_the_list_of_variables(role, option):
    assert "| `%s` |" % option in read("variables.md"), role


def told_in(heading):
    """The codes in the first column of the table below a heading of operate.md."""
    table = re.split("\n#{2,3} ", read("operate.md").partition(heading + "\n")[2])[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))


def test_every_code_of_a_problem_of_the_pair_is_explained():
    source = "".join((ROOT / "plugins/module_utils/hubha" / name).read_text(encoding="utf-8")
                     for name in ("health/checks.py", "pair/copies.py"))
    made = set(re.findall(r'Problem\(\s*"([A-Z_]+)"', source)) | {"ROLES_MOVED"}
    assert told_in("### What verify says") == made


def test_every_code_of_what_a_hub_does_not_know_is_explained():
    source = (ROOT / "plugins/module_utils/hubha/health/seen.py").read_text(encoding="utf-8")
    made = set(re.findall(r'(?:Problem|unknown)\(\s*"([A-Z_]+)"', source)) - told_in("### What verify says")
    assert made and told_in("### What hub-ha status says") == made
