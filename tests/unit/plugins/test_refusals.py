# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever a plan refuses, or warns of, has a code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def refusals(path):
    """(line, whether of Problem, the arguments) of each call of Report.fail(), Report.warn() and Problem() in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and (
                isinstance(node.func, ast.Attribute) and node.func.attr in ("fail", "warn")
                or isinstance(node.func, ast.Name) and node.func.id == "Problem"):
            yield node.lineno, isinstance(node.func, ast.Name), node.args


@pytest.mark.parametrize("path", sorted(
    path for folder in ("plan", "pair") for path in (ROOT / "plugins/module_utils/hubha" / folder).rglob("*.py")
    if path.name != "upgrade.py"), ids=lambda path: path.name)
def test_whatever_is_refused_has_a_code(path):
    for line, problem, arguments in refusals(path):
        assert len(arguments) == 4 or problem and len(arguments) == 5, "line %d" % line
        code = arguments[0 if problem else 3]
        assert not isinstance(code, ast.Constant) or re.fullmatch("[A-Z]+(_[A-Z]+)+", code.value), "line %d" % line
