# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each role has a README, and it says what its argument specs say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))
import readmes  # noqa: E402

WANTED = readmes.wanted()


def test_every_role_has_argument_specs():
    assert {path.parent for path in WANTED} == {path for path in (ROOT / "roles").iterdir() if path.is_dir()}


@pytest.mark.parametrize("path", WANTED, ids=lambda path: path.parent.name)
def test_readme_is_what_the_specs_say(path):
    assert path.read_text(encoding="utf-8") == WANTED[path], "run tests/readmes.py"


def test_markup_and_values():
    row = readmes.options_table({"a": {"type": "list", "elements": "str", "default": [], "description": "See C(b|c) and B(d)."},
                                 "e": {"required": True, "choices": ["f"], "description": ["g", "h"]}})
    assert row == ["| `a` | list of str | `[]` | See `b\\|c` and **d**. |", "| `e` | str: `f` | required | g h |"]
