# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values as people read them, and values out of what people and programs write."""

from __future__ import annotations

import hashlib
import re
from typing import Any, List, Mapping, Optional, Union


def human(count: Optional[Union[int, float]]) -> str:
    """A number of bytes: ``812 B``, ``52.1 MB``, ``3.4 GB`` (powers of 1024, as ``du -h``); "?" when it is unknown."""
    if count is None:
        return "?"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return "%d B" % size if unit == "B" else "%.1f %s" % (size, unit)
        size /= 1024
    return "%.1f TB" % size


def first_version(text: str) -> Optional[str]:
    """First dotted version number in *text*, or None."""
    match = re.search(r"\d+\.\d+(?:\.\d+)*", text)
    return match.group(0) if match else None


def sha256_digest(text: object) -> Optional[str]:
    """The 64 digits out of "sha256:..." or the digits alone, in lower case; None when it is something else."""
    match = re.fullmatch(r"(?:sha256:)?([0-9a-fA-F]{64})", str(text).strip())
    return match.group(1).lower() if match else None


def tree_digest(tree: Mapping[str, Any]) -> str:
    """One digest of {relative path: digest}; equal trees have equal digests, whatever their order."""
    text = "".join("%s\0%s\n" % item for item in sorted(tree.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def is_url(source: object) -> bool:
    """Whether a package comes from a web server."""
    return str(source).lower().startswith(("http://", "https://"))


def as_list(value: Any) -> List[Any]:
    """What an operator may give as one value or as a list, as a list; nothing is an empty one."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
