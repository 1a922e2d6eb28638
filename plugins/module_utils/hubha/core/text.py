# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values as people read them."""

from __future__ import annotations

from typing import Optional, Union


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
