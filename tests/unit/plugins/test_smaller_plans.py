# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles restore and remove_ha run single files of other roles with smaller plans than make_plan's: these hold all that the
files ask for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.tests.unit.plugins import test_removal

ROLES = Path(__file__).parents[3] / "roles"
INCLUDES = [prefix + name for prefix in ("", "ansible.builtin.") for name in ("include_role", "import_role")]
FILES = [prefix + name for prefix in ("", "ansible.builtin.") for name in ("include_tasks", "import_tasks")]


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def tasks_of(tasks):
    """Every task, those in blocks too, without the blocks' own lists."""
    for task in tasks:
        parts = [task[name] for name in ("block", "rescue", "always") if name in task]
        yield dict((key, value) for key, value in task.items() if key not in ("block", "rescue", "always"))
        for part in parts:
            yield from tasks_of(part)


def included(task):
    """(role, file, variables) of a task that includes one of another role, or None."""
    spec = next((task[name] for name in INCLUDES if name in task), None)
    if spec is None:
        return None
    return spec["name"].rpartition(".")[2], spec.get("tasks_from", "main.yml"), task.get("vars") or {}


def texts_of(value):
    """All strings in a piece of YAML, those of keys too."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_of(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_of(part)]
    return [str(value)]


def role_texts(role, name, given):
    """All strings that Ansible evaluates when it runs that file of the role: tasks, templates, and the role's variables
    that they name. given: variables that whoever includes it sets, in the place of the role's."""
    texts = []
    path = ROLES / role / "tasks" / name
    for task in tasks_of(load(path)):
        other = included(task)
        texts += texts_of(task)
        if other:
            texts += role_texts(other[0], other[1], dict(given, **other[2]))
        file = next((task[key] for key in FILES if key in task), None)
        if file:
            texts += role_texts(role, file, dict(given, **(task.get("vars") or {})))
        template = next((task[key]["src"] for key in task if key.endswith("template")), None)
        if template:
            texts.append((ROLES / role / "templates" / template).read_text(encoding="utf-8"))
    variables = {}
    for folder in ("defaults", "vars"):
        if (ROLES / role / folder / "main.yml").exists():
            variables.update(load(ROLES / role / folder / "main.yml"))
    waiting = dict((key, texts_of(value)) for key, value in variables.items() if key not in given)
    while True:
        named = set(word for text in texts for word in re.findall(r"\w+", text)) & set(waiting)
        if not named:
            return texts
        for key in named:
            texts += waiting.pop(key)


def keys_in(texts):
    """X of every hub_ha.X."""
    # Neither cfengine.hub_ha, the collection, nor the file hub_ha.conf.
    pattern = re.compile(r"(?<![\w.])hub_ha(?:\.(?!conf\b)(\w+)|\[['\"](\w+))")
    return set(key for text in texts for pair in pattern.findall(text) for key in pair if key)


def includes(role):
    """(own file, other role, its file, given variables) of each include of another role."""
    return [(path.name,) + included(task) for path in sorted((ROLES / role / "tasks").glob("*.yml"))
            for task in tasks_of(load(path)) if included(task)]


RESTORE, REMOVE = includes("restore"), includes("remove_ha")
PLAN = set(load(ROLES / "restore" / "vars" / "main.yml")["restore_as_plan"])
REMOVAL = set(test_removal.Pair().good())
# Role plan makes the plan, and the checks before it need none.
BEFORE = [("plan", "variables.yml"), ("plan", "once.yml")]


@pytest.mark.parametrize("source, role, name, given", [
    pytest.param(*item, id="%s, %s" % item[1:3]) for item in RESTORE])
def test_everything_that_is_asked_for_is_there(source, role, name, given):
    wanted = keys_in(role_texts(role, name, given))
    assert not wanted or given.get("hub_ha") == "{{ restore_as_plan }}", source
    assert wanted - PLAN == set(), "roles/%s/tasks/%s, included by roles/restore/tasks/%s" % (role, name, source)


@pytest.mark.parametrize("source, role, name, given", [
    pytest.param(*item, id="%s, %s" % item[1:3]) for item in REMOVE if item[1:3] not in BEFORE])
def test_everything_that_a_removal_asks_for_is_there(source, role, name, given):
    wanted = keys_in(role_texts(role, name, given))
    assert wanted - REMOVAL == set(), "roles/%s/tasks/%s, included by roles/remove_ha/tasks/%s" % (role, name, source)


def test_what_it_looks_at():
    """Files that are included, further files, variables of roles, and those of variables."""
    assert RESTORE and REMOVE, "a role of another name has none"
    assert {("packages", "install.yml"), ("database", "places.yml"), ("install", "hub.yml"), ("install", "start.yml")} \
        <= set(item[1:3] for item in RESTORE)
    found = dict((item[1:3], keys_in(role_texts(*item[1:]))) for item in RESTORE)
    assert {"layout", "platform", "passive"} <= found["packages", "install.yml"], "passive is in note.yml"
    assert {"third", "db_user", "pg_bin", "packages"} <= found["database", "places.yml"], "third is in vars/main.yml"
    assert "active" not in found["database", "places.yml"], "the role's own database_is_active is not asked"
    assert "client" in found["install", "hub.yml"], "in the variables of another role that it imports"
