# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets have the shape that the files which keep them can hold."""

from __future__ import annotations

from typing import Any, Iterator

from ...core.problem import Finding, Problem
from .context import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """The replication's password."""
    if has_control(str(settings.get("replication_password") or "")):
        yield Problem("PASSWORD_INVALID", "all",
                      "hub_ha_replication_password holds a control character or a line break",
                      "use any other characters; a libpq passfile has one line for each password")


def has_control(text: str) -> bool:
    """Has it a control character?"""
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def one_line(value: Any) -> bool:
    """True for a text, number or yes/no that is not empty and has no control character."""
    # Not isinstance(value, str): a vaulted text may be an object of its own.
    return value is not None and not isinstance(value, (dict, list)) and bool(str(value)) \
        and not has_control(str(value))
