# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every code of a problem has its section in docs/problems.md, and every section its code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "plugins/module_utils/hubha").rglob("*.py"))
CODE = re.compile(r"[A-Z][A-Z0-9_]{2,}")
TEXT = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in TEXT.split("\n## ")[1:]}


def called(node):
    """The name of what is called: fail of report.fail."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def code_of(node):
    """The expression that is the code in a call of Problem, of seen.unknown or of a report's fail or warn; None for any other."""
    place = {"Problem": 0, "unknown": 0, "fail": 3, "warn": 3}.get(called(node))
    named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
    if place is None or not named and len(node.args) <= place:
        return None
    return named[0] if named else node.args[place]


def texts(node):
    """Codes within an expression."""
    return {item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
            and CODE.fullmatch(item.value)}


def codes(source):
    """{codes} that a file's problems have."""
    found = set()
    for function in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]:
        for expression in filter(None, map(code_of, [node for node in ast.walk(function) if isinstance(node, ast.Call)])):
            found |= texts(expression)
            if any(isinstance(item, ast.Name) and item.id == "code" for item in ast.walk(expression)):
                found |= texts(function)  # chosen within the function, as from a table
    return found


# What a role says itself, without a plan: its code stands in brackets, as everywhere.
OF_ROLES = {code for path in sorted((ROOT / "roles").glob("*/tasks/*.yml"))
            for code in re.findall(r"\(([A-Z]+(?:_[A-Z]+)+)\)", path.read_text(encoding="utf-8"))}
ALL = set().union(OF_ROLES, *(codes(path.read_text(encoding="utf-8")) for path in SOURCES))


def test_codes_are_found():
    assert {"NO_PRIMARY", "SLOT_LOST", "ROLES_MOVED", "FENCING_INVALID", "HUB_UNREACHABLE", "RUN_HELD"} <= ALL
    assert codes('def f():\n for code, a in (("A_B", 1), ("C_D", 2)):\n  g(Problem("E_F" if a else code, "all", "", ""))') == {
        "A_B", "C_D", "E_F"}
    assert codes('def f(report):\n report.fail("all", "x", "y", "G_H"); report.fail("all", "I_J", "y", code="K_L")') == {
        "G_H", "K_L"}
    assert codes('def f(report):\n report.warn("all", "x", "y", "M_N")') == {"M_N"}


@pytest.mark.parametrize("code", sorted(ALL))
def test_every_code_has_a_section(code):
    assert code in SECTIONS, "docs/problems.md says nothing of %s" % code
    section = SECTIONS[code]
    assert "\n- **Cause**: " in section and "\n- **Remedy**: " in section
    example = section.rstrip().split("\nExample:\n\n    ")[1]
    assert "\n" not in example and "(%s)" % code in example


def test_sections_are_sorted_and_of_codes_that_there_are():
    assert list(SECTIONS) == sorted(SECTIONS)
    assert set(SECTIONS) - ALL == set()


@pytest.mark.parametrize("path", [path for path in SOURCES if path.match("hubha/plan/checks/*.py")
                                  or path.match("hubha/plan/upgrade.py")], ids=lambda path: path.name)
def test_every_refusal_of_the_upgrade_has_a_code(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and called(node) in ("fail", "warn"):
            assert code_of(node) is not None, "%s:%d" % (path.name, node.lineno)
