# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log sequence numbers: positions in PostgreSQL's write-ahead log. Pure functions.

Text is what PostgreSQL prints (``0/16B3748``), a number is the byte position (int) that it stands for.
"""

from __future__ import annotations

import re
from typing import Optional, Tuple

LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")


def lsn_to_int(lsn: object) -> Optional[int]:
    """Byte position (int) of an LSN such as ``0/16B3748``; None and "" give None. Raises ValueError."""
    if lsn is None or lsn == "":
        return None
    match = LSN.match(str(lsn).strip())
    if not match:
        raise ValueError("not a log sequence number: %r" % (lsn,))
    return (int(match.group(1), 16) << 32) + int(match.group(2), 16)


def int_to_lsn(position: Optional[int]) -> Optional[str]:
    """LSN text of a byte position (int); None stays None. Raises ValueError outside 64 bits."""
    if position is None:
        return None
    if not 0 <= position < 1 << 64:
        raise ValueError("not a log position: %r" % (position,))
    return "%X/%X" % (position >> 32, position & 0xFFFFFFFF)


def lsn_diff(ahead: object, behind: object) -> Optional[int]:
    """Bytes from *behind* to *ahead* (LSN texts), never negative; None when either is unknown."""
    first, second = lsn_to_int(ahead), lsn_to_int(behind)
    if first is None or second is None:
        return None
    return max(0, first - second)


def segment_name(timeline: int, position: int, size: int) -> str:
    """Name of the file in pg_wal that holds the byte *position* of *timeline*; size: bytes per segment."""
    number = position // size
    per_id = (1 << 32) // size
    return "%08X%08X%08X" % (timeline, number // per_id, number % per_id)


def segment_parts(name: str, size: int) -> Optional[Tuple[int, int]]:
    """(timeline, first byte position) of a file in pg_wal that is a whole segment; None for any other file."""
    if not re.match(r"^[0-9A-F]{24}$", name):
        return None
    number = int(name[8:16], 16) * ((1 << 32) // size) + int(name[16:], 16)
    return int(name[:8], 16), number * size
