# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a role reads of another one, or of another hub, is there under that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = [path for place in ("roles", "playbooks") for path in sorted((ROOT / place).rglob("*.yml"))]
TEXT = {path: path.read_text(encoding="utf-8") for path in FILES}
# What is read of another host: hostvars[NAME].this, and map('extract', hostvars, 'this').
READ = re.compile(r"hostvars\[[^]]+\](?:\[[^]]*\])?\.(\w+)|hostvars, \[?'(\w+)'")
GIVEN_BY_ANSIBLE = re.compile(r"ansible_\w+|inventory_hostname|get|keys|group_names")


def names_set(node, found):
    """Adds every name that a file registers, sets as a fact, or defines as a variable."""
    if isinstance(node, list):
        for item in node:
            names_set(item, found)
    elif isinstance(node, dict):
        if isinstance(node.get("register"), str):
            found.add(node["register"])
        for key in ("ansible.builtin.set_fact", "vars"):
            found.update(node.get(key) or {})
        for item in node.values():
            names_set(item, found)


def all_names():
    found = set()
    for path, text in TEXT.items():
        data = yaml.safe_load(text)
        names_set(data, found)
        if path.parent.name in ("vars", "defaults"):
            found.update(data or {})
        if path.name == "argument_specs.yml":
            found.update(data["argument_specs"]["main"]["options"])
    return found


NAMES = all_names()


@pytest.mark.parametrize("path", [path for path in FILES if READ.search(TEXT[path])],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_read_of_another_host_is_set_somewhere(path):
    read = {name for pair in READ.findall(TEXT[path]) for name in pair if name}
    assert {name for name in read if not GIVEN_BY_ANSIBLE.fullmatch(name)} - NAMES == set()


def test_the_variables_of_every_role_are_checked():
    """plan_specs names the roles whose variables the operator sets."""
    listed = set(re.findall(r"'(\w+)'", re.search(r"plan_specs: .*?\]", TEXT[ROOT / "roles/plan/vars/main.yml"],
                                                  re.DOTALL).group(0)))
    having = {path.parts[-3] for path in FILES if path.name == "argument_specs.yml" and any(
        name.startswith("hub_ha_") for name in yaml.safe_load(TEXT[path])["argument_specs"]["main"]["options"])}
    assert listed == having


def test_a_task_names_roles_that_there_are():
    for path, text in TEXT.items():
        for name in re.findall(r"cfengine\.hub_ha\.(\w+)\n\s+tasks_from|role: cfengine\.hub_ha\.(\w+)", text):
            assert (ROOT / "roles" / "".join(name) / "tasks").is_dir(), (path, name)
