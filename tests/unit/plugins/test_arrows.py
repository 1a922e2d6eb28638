# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The library's rooms import each other in one direction, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODULE_UTILS = Path(__file__).parents[3] / "plugins" / "module_utils"
HUBHA = MODULE_UTILS / "hubha"
# Each level may import those below it. Rooms of one level do not import each other.
LEVELS = (("core",), ("pg", "cluster", "host"), ("cfengine",), ("facts", "pair"), ("plan", "health"), ("ops",), ("agent",))
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
SOURCES = sorted(path for path in HUBHA.rglob("*.py"))


def imported(path, source):
    """[(line, dotted name below hubha)] of what a file imports; an absolute import of the collection is told whole."""
    package = path.relative_to(HUBHA).parts[:-1]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if "hub_ha" in alias.name or "hubha" in alias.name]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if "hub_ha" in (node.module or "") or "hubha" in (node.module or ""):
                found.append((node.lineno, node.module))
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - (node.level - 1)] + tuple((node.module or "").split(".") if node.module else ())
            found += [(node.lineno, ".".join(base + (alias.name,))) for alias in node.names]
    return found


def against(path, source):
    """What is wrong with the imports of a file."""
    room = path.relative_to(HUBHA).parts[0]
    wrong = []
    for line, name in imported(path, source):
        there = name.split(".")[0]
        if "hub_ha" in name or there == "hubha":
            wrong.append("%s:%d: %s is not relative" % (path, line, name))
        elif there not in LEVEL:
            wrong.append("%s:%d: %s is in no room" % (path, line, name))
        elif there != room and LEVEL[there] >= LEVEL[room]:
            wrong.append("%s:%d: %s imports %s" % (path, line, room, there))
    return wrong


def test_arrows_go_one_way():
    assert SOURCES
    assert [text for path in SOURCES if path.parent != HUBHA
            for text in against(path, path.read_text(encoding="utf-8"))] == []


def test_every_file_is_in_a_room():
    assert {path.relative_to(HUBHA).parts[0] for path in SOURCES} <= set(LEVEL) | {"__init__.py"}
    assert imported(HUBHA / "__init__.py", (HUBHA / "__init__.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("room, line, said", [
    ("pg", "from ..cluster import cib", "pg imports cluster"), ("pg", "from ..cfengine import layout", "pg imports cfengine"),
    ("core", "from ..pg.lsn import lsn_to_int", "core imports pg"), ("facts", "from ..pair import model", "facts imports pair"),
    ("plan", "from ..health import checks", "plan imports health"), ("agent", "from ..nowhere import x", "is in no room"),
    ("agent", "from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run", "not relative"),
    ("agent", "import hubha.core.run", "not relative")])
def test_an_arrow_against_it_is_seen(room, line, said):
    (wrong,) = against(HUBHA / room / "some.py", line + "\n")
    assert said in wrong


def test_what_is_right_is_let_alone():
    assert against(HUBHA / "agent" / "some.py", "from ..pg import look\nfrom . import cpg\nimport os\nfrom .cpg import Group\n") == []
    assert against(HUBHA / "cluster" / "cib" / "some.py", "from ...core import text\nfrom .parse import x\n") == []


def circles(graph):
    """The circles in {name: names that it imports}, each as a text."""
    found, done = [], set()

    def visit(name, way):
        if name in way:
            found.append(" -> ".join(way[way.index(name):] + [name]))
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, way + [name])
            done.add(name)
    for name in sorted(graph):
        visit(name, [])
    return found


def test_no_circles():
    names = {".".join(path.relative_to(HUBHA).with_suffix("").parts).replace(".__init__", "") for path in SOURCES}
    graph = {}
    for path in SOURCES:
        name = ".".join(path.relative_to(HUBHA).with_suffix("").parts).replace(".__init__", "")
        wanted = [item for _line, item in imported(path, path.read_text(encoding="utf-8"))]
        graph[name] = {item if item in names else item.rpartition(".")[0] for item in wanted} - {name}
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
