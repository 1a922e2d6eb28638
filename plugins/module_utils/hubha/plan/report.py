# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plan says stands against it, for people."""

from __future__ import annotations

from typing import Any, Mapping


def text(plan: Mapping[str, Any]) -> str:
    """Every failure of a plan, numbered, and every warning where the plan has any, with their remedies and codes."""
    lines = []
    for number, item in enumerate(plan["failures"], 1):
        lines.append("%2d. %s: %s" % (number, item["host"], item["problem"]))
        lines.append("      -> %s%s" % (item["remedy"], " (%s)" % item["code"] if item.get("code") else ""))
    for item in plan.get("warnings") or []:
        lines.append("  - %s: %s (a warning)" % (item["host"], item["problem"]))
        lines.append("      -> %s (%s)" % (item["remedy"], item["code"]))
    return "\n".join(lines)
