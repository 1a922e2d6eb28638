# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""History files of timelines: where each timeline was left for the next one. Pure functions.

A history is a tuple of (timeline, switch), oldest first: the line went along *timeline* until byte position *switch*.
Timeline 1 has none, which is the empty tuple. Form of the file: PostgreSQL, src/backend/access/transam/timeline.c.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from .lsn import int_to_lsn, lsn_to_int

History = Tuple[Tuple[int, int], ...]

LINE = re.compile(r"(?m)^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)")


def file_name(timeline: int) -> str:
    """Name of the history file of *timeline*."""
    return "%08X.history" % timeline


def timeline_of(name: str) -> Optional[int]:
    """Timeline (int) of a history file's name; None for any other file."""
    return int(name[:8], 16) if re.match(r"^[0-9A-F]{8}\.history$", name) else None


def parse(text: Optional[str]) -> History:
    """The history in the text of a history file (None or empty: no timeline came before)."""
    return tuple((int(timeline), lsn_to_int(lsn) or 0) for timeline, lsn in LINE.findall(text or ""))


def from_entries(entries: Optional[Iterable[Mapping[str, Any]]]) -> History:
    """The history out of [{"timeline", "lsn"}], as module hub_info returns it."""
    return tuple((int(item["timeline"]), lsn_to_int(item["lsn"]) or 0) for item in entries or ())


def to_entries(history: History) -> List[Dict[str, Any]]:
    """[{"timeline", "lsn"}] of a history."""
    return [{"timeline": timeline, "lsn": int_to_lsn(switch)} for timeline, switch in history]


def before(history: History, timeline: int) -> History:
    """What of a history lies before *timeline*."""
    return tuple(item for item in history if item[0] < timeline)


def left_at(history: History, timeline: int) -> Optional[int]:
    """Where the history left *timeline* (byte position), None when it never did."""
    return dict(history).get(timeline)


def fork(mine: History, my_timeline: int, theirs: History, their_timeline: int) -> Optional[Tuple[int, int]]:
    """(timeline, position) until which two lines are one, None when they have not even their first timeline in common.

    The position is where one of them leaves the last timeline that both have, the earlier one of the two; -1 when
    neither has left it. The same number on both sides is the same timeline only if both entered it at the same place.
    """
    ends = (mine + ((my_timeline, -1),), theirs + ((their_timeline, -1),))
    shared = None
    for one, two in zip(*ends):
        if one[0] != two[0]:
            break
        switches = [position for position in (one[1], two[1]) if position >= 0]
        shared = (one[0], min(switches) if switches else -1)
        if one[1] != two[1]:
            break
    return shared
