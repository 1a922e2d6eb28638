# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hub-ha explain CODE`: what the code of a problem means, and what to do. It asks nobody and needs no pair."""

from __future__ import annotations

import difflib
from typing import List, Mapping

from ..core import say
from ..health.explanations import SECTIONS


def near(code: str, known: Mapping[str, str]) -> List[str]:
    """Codes that are written like it, then those that have a word of it."""
    words = [word for word in code.split("_") if word]
    return list(dict.fromkeys(difflib.get_close_matches(code, known, 3) + [
        item for item in sorted(known) if set(words) & set(item.split("_"))]))[:5]


def main(argv: List[str], dummy_version: str) -> int:
    """Exit status 0; 2 for wrong usage and a code that there is not."""
    if len(argv) != 1 or argv[0].startswith("-"):
        say.err("usage: hub-ha explain CODE\ncodes: %s" % " ".join(sorted(SECTIONS)))
        return 2
    code = argv[0].strip().upper()
    if code not in SECTIONS:
        like = near(code, SECTIONS)
        say.err("there is no code %s%s" % (code, "; near it: %s" % ", ".join(like) if like
                                           else "; all of them: hub-ha explain"))
        return 2
    say.out("%s\n\n%s" % (code, SECTIONS[code].rstrip("\n")))
    return 0
