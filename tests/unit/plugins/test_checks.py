# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No check of a pair is forgotten in the list of all."""

from __future__ import annotations

import inspect
from pathlib import Path

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.checks import all_checks

FOLDER = Path(all_checks.__file__).parent


def functions():
    """Every check of the files that all_checks imports."""
    for module in filter(inspect.ismodule, vars(all_checks).values()):
        for item in filter(inspect.isfunction, vars(module).values()):
            if item.__module__ == module.__name__ and item.__annotations__.get("return") == "Iterator[Finding]":
                yield item


def test_every_check_is_in_the_list():
    for wanted, listed in (("context", all_checks.CHECKS), ("settings", all_checks.SETTINGS_CHECKS)):
        found = [item for item in functions() if list(inspect.signature(item).parameters) == [wanted]]
        assert sorted(map(repr, found)) == sorted(map(repr, listed)), wanted
        assert len(set(listed)) == len(listed)


def test_every_file_of_checks_is_imported():
    # past: what databases asks. inventory, layouts: what make_plan asks, of hubs that it could not read and of the whole.
    others = {"__init__", "all_checks", "context", "past", "inventory", "layouts"}
    assert {path.stem for path in FOLDER.glob("*.py")} - others == {
        name for name in vars(all_checks) if (FOLDER / (name + ".py")).exists()} - others
