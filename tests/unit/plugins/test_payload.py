# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of module_utils goes to the host with each module: what it imports, and all that this imports in turn.

Ansible packs the files that it sees in import statements, wherever they stand, with the __init__ of each package.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[3] / "plugins"
UTILS = PLUGINS / "module_utils"
PREFIX = ("ansible_collections", "cfengine", "hub_ha", "plugins", "module_utils")
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))

# Lines of module_utils that each module may send. Raise a bound only for what the host needs; lower it when it can be.
BOUNDS = {
    "augments": 500,
    "backup_carry": 0,
    "backup_database": 1850,
    "backup_look": 650,
    "backup_seal": 800,
    "basebackup": 2950,
    "cib": 2650,
    "cib_info": 900,
    "client_info": 5900,
    "database_unit": 950,
    "firewall": 1000,
    "hub_application": 500,
    "hub_archive": 850,
    "hub_backup": 800,
    "hub_certificate": 500,
    "hub_files": 900,
    "hub_info": 5900,
    "hub_keys": 800,
    "hub_reach": 6150,
    "hub_restore": 550,
    "initdb": 900,
    "lease": 550,
    "link_check": 350,
    "package_source": 700,
    "policy_check": 250,
    "replication_info": 2050,
    "replication_role": 1150,
    "replication_slot": 850,
    "restore_database": 1850,
    "rpm_packages": 250,
    "secret_file": 450,
    "selinux_boolean": 300,
    "settings_trial": 750,
    "step": 1400,
    "takeover": 1000,
}


def file_of(parts):
    """The file of a module or package below module_utils, None when it is neither; parts: its name in pieces."""
    places = [UTILS.joinpath(*parts[:-1], parts[-1] + ".py"), UTILS.joinpath(*parts, "__init__.py")]
    return next((place for place in places if place.is_file()), None)


def imported(path):
    """Names below module_utils, in pieces, that the file imports, each followed by what it may mean beside a module."""
    package = path.relative_to(UTILS).parts[:-1] if UTILS in path.parents else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            name = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                name = PREFIX + package[:len(package) - node.level + 1] + name
            names = [name + (alias.name,) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            if name[:len(PREFIX)] == PREFIX:
                yield name[len(PREFIX):]


def payload(path):
    """{file: number of its lines} of all of module_utils that the file at *path* pulls in."""
    found, todo = {}, [path]
    while todo:
        for name in imported(todo.pop()):
            for length in range(1, len(name) + 1):
                file = file_of(name[:length])
                if file and file not in found:
                    found[file] = len(file.read_text(encoding="utf-8").splitlines())
                    todo.append(file)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_module_sends_more_than_its_bound(module):
    found = payload(PLUGINS / "modules" / (module + ".py"))
    assert module in BOUNDS, "give it a bound: it sends %d lines" % sum(found.values())
    heaviest = sorted(found, key=found.get, reverse=True)[:8]
    assert sum(found.values()) <= BOUNDS[module], "most of it is %s" % ", ".join(
        "%s (%d)" % (file.relative_to(UTILS), found[file]) for file in heaviest)


def test_no_bound_without_its_module():
    assert sorted(BOUNDS) == MODULES


def test_imports_are_followed():
    """Relative ones, absolute ones, packages with their parents, and names that are no modules."""
    names = {str(file.relative_to(UTILS)) for file in payload(PLUGINS / "modules" / "backup_look.py")}
    assert {"hubha/__init__.py", "hubha/core/__init__.py", "hubha/core/files.py", "hubha/core/run.py",
            "hubha/facts/__init__.py", "hubha/facts/backup_format.py", "hubha/facts/full_backup.py"} <= names
    assert not [name for name in names if name.startswith(("hubha/pg/", "hubha/plan/"))], "it only lists a directory"
