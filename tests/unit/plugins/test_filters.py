# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every filter has its documentation and somebody who uses it, and every documentation its filter."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PACKAGE = "ansible_collections.cfengine.hub_ha.plugins.filter."
FILES = {path.stem: path for path in sorted((ROOT / "plugins/filter").glob("*.yml"))}
MODULES = sorted(path.stem for path in (ROOT / "plugins/filter").glob("*.py") if path.stem != "__init__")
BY_MODULE = {name: importlib.import_module(PACKAGE + name).FilterModule().filters() for name in MODULES}
FILTERS = {name: function for filters in BY_MODULE.values() for name, function in filters.items()}
# {{ value | cfengine.hub_ha.NAME }}, and map('cfengine.hub_ha.NAME').
USE = re.compile(r"(?:\|\s*|map\(')cfengine\.hub_ha\.(\w+)")
USED = {name for place in ("roles", "playbooks") for path in (ROOT / place).rglob("*") if path.suffix in (".yml", ".j2")
        for name in USE.findall(path.read_text(encoding="utf-8"))}


def document(name):
    return yaml.safe_load(FILES[name].read_text(encoding="utf-8"))


def test_each_filter_is_in_one_file():
    assert sum(len(filters) for filters in BY_MODULE.values()) == len(FILTERS) > 0


def test_every_filter_has_its_documentation_and_every_documentation_its_filter():
    assert set(FILES) == set(FILTERS)


def test_every_filter_is_used_and_every_one_that_is_used_is_there():
    assert USED == set(FILTERS)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_the_documentation_is_of_that_function(name):
    found = document(name)
    assert set(found) == {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    told, options = found["DOCUMENTATION"], found["DOCUMENTATION"]["options"]
    assert told["name"] == name and told["short_description"].endswith(" (internal)") and told["description"]
    arguments = list(inspect.signature(FILTERS[name]).parameters.values())
    names = ["_input"] + [argument.name for argument in arguments[1:]]
    assert list(options) == names and told["positional"] == ", ".join(names)
    for argument, option in zip(arguments, options.values()):
        assert option["description"] and option["type"]
        assert option.get("required", False) == (argument.default is inspect.Parameter.empty)
        assert option.get("default") == (None if option.get("required") else argument.default)
    assert found["RETURN"]["_value"]["description"] and found["RETURN"]["_value"]["type"]


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_the_example_uses_it(name):
    text = document(name)["EXAMPLES"]
    assert yaml.safe_load(text) and name in USE.findall(text)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_what_a_filter_does_stands_in_the_library(name):
    """Its docstring says where, and the function is there."""
    path, function = re.fullmatch(r"See (hubha/[a-z_/]+\.py), (\w+)\.", FILTERS[name].__doc__).groups()
    library = importlib.import_module("ansible_collections.cfengine.hub_ha.plugins.module_utils."
                                      + path[:-len(".py")].replace("/", "."))
    assert callable(getattr(library, function))
