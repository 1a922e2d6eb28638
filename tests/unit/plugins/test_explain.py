# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha explain: what it says is what the documents say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import explain
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import explanations

ROOT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("problems", str(ROOT / "tests/problems.py"))
problems = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(problems)

DOCUMENT = """# Problems

Of all kinds.

## LINK_DOWN

**Cause**: a [cable](operate.md#look), see `corosync-cfgtool -n`.

### Example

```
## NOT_A_CODE
hub1: link 0 is down
```

## GUARD_DEAD, `GUARD_GONE`

Start it.

## More

Not of a code.
"""


def test_it_says_what_the_documents_say():
    """After a change there: python3 tests/problems.py"""
    made = problems.module(problems.explanations(ROOT))
    assert Path(explanations.__file__).read_text(encoding="utf-8") == made
    assert explanations.SECTIONS == {code: text + "\n" for code, text in problems.explanations(ROOT).items()}


def test_sections():
    found = problems.sections(DOCUMENT)
    assert sorted(found) == ["GUARD_DEAD", "GUARD_GONE", "LINK_DOWN"]
    assert found["GUARD_DEAD"] == found["GUARD_GONE"] == "Start it."
    assert found["LINK_DOWN"].startswith(
        "**Cause**: a cable (docs/operate.md), see `corosync-cfgtool -n`.\n\n### Example")
    assert "## NOT_A_CODE" in found["LINK_DOWN"]


def test_tables_where_there_is_no_section_yet(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/operate.md").write_text(
        "### What verify says\n\n| code | what | what to do |\n|---|---|---|\n"
        "| `LINK_DOWN`, `SLOT_LOST` | a \\| b | [so](#here) |\n"
        "\n### Else\n\n| `NOT_THIS` | a | b |\n", encoding="utf-8")
    found = problems.explanations(tmp_path)
    assert found == dict.fromkeys(("LINK_DOWN", "SLOT_LOST"), "a | b.\n\nWhat to do: so (docs/operate.md).")
    (tmp_path / "docs/problems.md").write_text(DOCUMENT, encoding="utf-8")
    found = problems.explanations(tmp_path)
    assert found["LINK_DOWN"].startswith("**Cause**") and found["SLOT_LOST"].startswith("a | b")


def test_the_module_holds_any_text():
    texts = {"A": "it's \"quoted\" \\ " + "x" * 300, "B": "one\n\ntwo"}
    made = problems.module(texts)
    space: dict = {}
    exec(compile(made, "explanations.py", "exec"), space)
    assert space["SECTIONS"] == {code: text + "\n" for code, text in texts.items()}
    assert max(len(line) for line in made.splitlines()) <= 120


@pytest.mark.parametrize("code", ["GUARD_DEAD", "guard_dead", "PEER_UNKNOWN", "FORKED"])
def test_a_code(capsys, code):
    assert explain.main([code], "1") == 0
    said = capsys.readouterr().out
    assert said.startswith(code.upper() + "\n\n") and said == said.rstrip("\n") + "\n"


@pytest.mark.parametrize("code, near", [
    ("GARD_DEAD", "GUARD_DEAD"), ("GUARD", "GUARD_GONE"), ("LAG", "REPL_LAG"), ("QQQQ", "")])
def test_a_code_that_there_is_not(capsys, code, near):
    assert explain.main([code], "1") == 2
    said = capsys.readouterr()
    assert said.out == "" and "there is no code %s" % code in said.err and near in said.err
    assert "near it" in said.err if near else "hub-ha explain" in said.err


@pytest.mark.parametrize("argv", [[], ["--help"], ["FORKED", "NO_QUORUM"]])
def test_usage_has_the_codes(capsys, argv):
    assert explain.main(argv, "1") == 2
    said = capsys.readouterr().err
    assert "usage: hub-ha explain CODE" in said and all(code in said for code in explanations.SECTIONS)
