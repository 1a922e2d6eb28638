# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes each role's README.md from its argument specs. Run it when they change; a unit test compares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Union

import yaml

ROOT = Path(__file__).resolve().parents[1]


def plain(text: Union[str, List[str]]) -> str:
    """Ansible's markup as Markdown, in one line: C(x) and O(x) are `x`, B(x) is **x**."""
    words = " ".join(" ".join([text] if isinstance(text, str) else text).split())
    words = re.sub(r"\b[COVME]\(((?:[^()]|\([^()]*\))*)\)", r"`\1`", words)
    words = re.sub(r"\bB\(([^)]*)\)", r"**\1**", words)
    return re.sub(r"\bL\(([^,]+),\s*([^)]+)\)", r"[\1](\2)", words).replace("|", "\\|")


def value(option: Dict[str, Any]) -> str:
    """The default, as one writes it in YAML; required ones say so."""
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    default = option["default"]
    if default == "":
        return '`""`'
    return "`%s`" % yaml.safe_dump(default, default_flow_style=True, width=10000).replace("\n...", "").strip().replace("|", "\\|")


def kind(option: Dict[str, Any]) -> str:
    """Type, with that of a list's elements and the choices."""
    found = option.get("type", "str")
    if option.get("elements"):
        found += " of " + option["elements"]
    if option.get("choices"):
        found += ": " + ", ".join("`%s`" % item for item in option["choices"])
    return found


def options_table(options: Dict[str, Any], prefix: str = "") -> List[str]:
    """Rows of a table, those of nested options behind theirs."""
    rows = []
    for name, option in options.items():
        rows.append("| `%s%s` | %s | %s | %s |" % (prefix, name, kind(option), value(option), plain(option.get("description", ""))))
        rows += options_table(option.get("options") or {}, prefix + name + ".")
    return rows


def readme(role: str, specs: Dict[str, Any]) -> str:
    """The README of a role. specs: its argument_specs."""
    main = specs.get("main") or next(iter(specs.values()))
    lines = ["# Role `%s`" % role, "", plain(main["short_description"]) + ".", ""]
    for text in main.get("description") or []:
        lines += [plain(text), ""]
    for entry, spec in specs.items():
        if entry != "main":
            lines += ["## Entry point `%s`" % entry, "", plain(spec.get("short_description", "")) + ".", ""]
            for text in spec.get("description") or []:
                lines += [plain(text), ""]
        rows = options_table(spec.get("options") or {})
        if rows:
            lines += ["| variable | type | default | what it is |", "|---|---|---|---|"] + rows + [""]
    lines += ["What the role does, and where it stands among the others: "
              "[docs/how-it-works.md](../../docs/how-it-works.md). All variables: [docs/variables.md](../../docs/variables.md).",
              "", "Made by `tests/readmes.py` from `meta/argument_specs.yml`."]
    return "\n".join(lines) + "\n"


def wanted() -> Dict[Path, str]:
    """{file: text} of all roles."""
    found = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        role = path.parents[1]
        found[role / "README.md"] = readme(role.name, yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"])
    return found


def main() -> None:
    """Write what differs."""
    for path, text in wanted().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
