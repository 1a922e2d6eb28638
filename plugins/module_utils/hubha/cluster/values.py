# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of the CIB as pacemaker reads them."""

from __future__ import annotations

import re
from typing import Any, Optional

#: What pacemaker takes for a boolean, in any case of letters: pcmk__parse_bool() in its lib/common/strings.c (3.0),
#: before that crm_str_to_boolean(), with the same words in 2.1.
TRUE = ("true", "on", "yes", "y", "1")
FALSE = ("false", "off", "no", "n", "0")

#: Pacemaker's infinity. Scores and failure counts end there.
INFINITY = 1000000

#: Role names before pacemaker 2.1. Newer ones still take them, and compare without regard to case (pcmk_parse_role() in
#: lib/common/roles.c).
LEGACY_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
ROLES = ("Stopped", "Started", "Unpromoted", "Promoted")

_UNITS = {"": 1000000, "s": 1000000, "sec": 1000000, "ms": 1000, "msec": 1000, "us": 1, "usec": 1,
          "m": 60000000, "min": 60000000, "h": 3600000000, "hr": 3600000000}
_DURATION = re.compile(r"^\s*(\d+)\s*(%s)\s*$" % "|".join(_UNITS), re.IGNORECASE)
_SCORE = re.compile(r"^([+-]?)(INFINITY|\d+)$", re.IGNORECASE)


def boolean(text: Optional[str]) -> Optional[bool]:
    """What pacemaker takes *text* for; None when it is not set or no boolean to it (it then uses the default)."""
    word = str(text).lower()
    if text is None or word not in TRUE + FALSE:
        return None
    return word in TRUE


def score(text: Optional[str]) -> Optional[int]:
    """A score between -INFINITY and INFINITY, or None when *text* is none."""
    match = _SCORE.match(str(text).strip()) if text is not None else None
    if not match:
        return None
    size = INFINITY if match.group(2).upper() == "INFINITY" else min(INFINITY, int(match.group(2)))
    return -size if match.group(1) == "-" else size


def role(text: Optional[str]) -> Optional[str]:
    """A role by its name of today, as in ROLES, or None when *text* is none."""
    for known in ROLES + tuple(LEGACY_ROLES):
        if text is not None and str(text).lower() == known.lower():
            return LEGACY_ROLES.get(known, known)
    return None


def current_role(name: Optional[str]) -> Optional[str]:
    """The name of today of a role that the CIB or a tool spells exactly; anything else as it is."""
    return LEGACY_ROLES.get(name, name) if name is not None else None


def microseconds(text: Optional[str]) -> Optional[int]:
    """Pacemaker's time text ("10s", "500ms", "10") in microseconds; None when it is written in another way."""
    match = _DURATION.match(text or "0")
    return int(match.group(1)) * _UNITS[match.group(2).lower()] if match else None


def text_of(value: Any) -> Optional[str]:
    """A YAML scalar as pacemaker writes it: True -> "true", 5 -> "5", None -> None. Raises ValueError otherwise."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("expected text, a number or a boolean, not a %s" % type(value).__name__)


def same_meaning(name: str, one: Optional[str], other: Optional[str]) -> bool:
    """Do two texts of attribute *name* mean the same to pacemaker? Then the one in the CIB stays as it is written."""
    if one == other:
        return True
    if one is None or other is None:
        return False
    if name in ("role", "rsc-role", "with-rsc-role"):
        return current_role(one) == current_role(other)
    if name in ("interval", "timeout", "start-delay"):
        return microseconds(one) is not None and microseconds(one) == microseconds(other)
    if name in ("symmetrical", "enabled", "record-pending"):
        return boolean(one) is not None and boolean(one) == boolean(other)
    if name == "score":
        return score(one) is not None and score(one) == score(other)
    return False


def cmap_number(text: str) -> Optional[int]:
    """3 out of `totem.config_version (u64) = 3`, or None."""
    match = re.search(r"=\s*(\d+)\s*$", text)
    return int(match.group(1)) if match else None
