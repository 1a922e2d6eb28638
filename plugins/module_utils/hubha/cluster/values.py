# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of the CIB as pacemaker reads them."""

from __future__ import annotations

import re
from typing import Optional

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
