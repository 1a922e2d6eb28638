# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes hubha/health/explanations.py, what `hub-ha explain CODE` prints, from the documents. Run it when they change.

docs/problems.md has a section "## CODE" (or "## CODE, CODE") for each code; a code that has none there is taken from
the tables of docs/operate.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "plugins/module_utils/hubha/health/explanations.py"
CODES = r"`?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*`?"
HEADING = re.compile(r"^## +(%s(?:, *%s)*)\s*$" % (CODES, CODES))
TABLES = ("### What verify says", "### What hub-ha status says", "### What preflight refuses")
HEAD = '''# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each code of a problem means, and what to do. Made by tests/problems.py from docs: change it there."""

from __future__ import annotations

from typing import Dict

SECTIONS: Dict[str, str] = {
'''


def codes_of(text: str) -> List[str]:
    """The codes in a heading or in the first cell of a row."""
    return re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*", text)


def plain(text: str, document: str) -> str:
    """Markdown as a terminal shows it: a link is its text, and the document that it leads to."""
    def link(found: re.Match[str]) -> str:
        target = found.group(2).partition("#")[0]
        return found.group(1) if target.startswith("http") else "%s (docs/%s)" % (
            found.group(1), target.rpartition("/")[2] or document)
    return re.sub(r"\[([^]]+)\]\(([^)]+)\)", link, text).replace("\\|", "|").strip()


def sections(text: str, document: str = "problems.md") -> Dict[str, str]:
    """{code: text} of a document with sections "## CODE"; other sections are left out."""
    found: Dict[str, str] = {}
    codes: List[str] = []
    lines: List[str] = []
    fenced = False

    def close() -> None:
        for code in codes:
            found[code] = plain("\n".join(lines), document)

    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and re.match(r"#{1,2} ", line):
            close()
            heading = HEADING.match(line)
            codes, lines = codes_of(heading.group(1)) if heading else [], []
        else:
            lines.append(line)
    close()
    return found


def tables(text: str, document: str = "operate.md") -> Dict[str, str]:
    """{code: text} of the tables "| codes | what | what to do |" below the headings in TABLES."""
    found: Dict[str, str] = {}
    for heading in TABLES:
        body = re.split(r"\n#{1,3} ", text.partition(heading + "\n")[2])[0]
        for line in body.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) != 3 or not re.fullmatch("%s(?:, *%s)*" % (CODES, CODES), cells[0]):
                continue
            for code in codes_of(cells[0]):
                told = "%s.\n\nWhat to do: %s." % (cells[1], cells[2] or "nothing")
                found[code] = "\n\n".join(([found[code]] if code in found else []) + [plain(told, document)])
    return found


def explanations(root: Path = ROOT) -> Dict[str, str]:
    """{code: text} out of all documents."""
    found = tables((root / "docs/operate.md").read_text(encoding="utf-8"))
    written = root / "docs/problems.md"
    found.update(sections(written.read_text(encoding="utf-8")) if written.exists() else {})
    return found


def literal(line: str, width: int = 100) -> List[str]:
    """A line as string literals of Python, short enough for the house."""
    pieces = [line[start:start + width] for start in range(0, len(line), width)] or [""]
    pieces[-1] += "\n"
    return ["        " + quoted(piece) for piece in pieces]


def quoted(piece: str) -> str:
    """A string literal in double quotes, or in single ones where that spares escapes."""
    mark = "'" if '"' in piece and "'" not in piece else '"'
    return mark + piece.replace("\\", "\\\\").replace(mark, "\\" + mark).replace("\n", "\\n") + mark


def module(found: Dict[str, str]) -> str:
    """The text of explanations.py."""
    lines = [HEAD.rstrip("\n")]
    for code in sorted(found):
        lines.append('    "%s": (' % code)
        for line in found[code].splitlines():
            lines += literal(line)
        lines[-1] += "),"
    return "\n".join(lines + ["}"]) + "\n"


if __name__ == "__main__":
    MODULE.write_text(module(explanations()), encoding="utf-8")
