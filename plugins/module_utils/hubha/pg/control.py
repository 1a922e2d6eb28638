# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pg_controldata and a backup label say. Pure functions on text; the only parser of both."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional, TypedDict, cast

# "Database cluster state" of a directory that was, or is, replaying somebody else's WAL.
RECOVERY_STATES = ("in archive recovery", "shut down in recovery")


class Control(TypedDict, total=False):
    """What pg_controldata says, see parse_controldata(); {} of what could not be asked."""

    system_identifier: str
    state: str
    timeline: Optional[int]
    checkpoint_lsn: Optional[str]
    redo_lsn: Optional[str]
    min_recovery_lsn: Optional[str]
    min_recovery_timeline: Optional[int]
    next_xid: Optional[int]
    segment_bytes: Optional[int]
    checksums: bool
    wal_log_hints: bool


def parse_controldata(text: str) -> Dict[str, Any]:
    """What pg_controldata prints, as a dict.

    Keys: system_identifier (str), state (str), timeline (int or None: of the latest checkpoint), checkpoint_lsn,
    redo_lsn (str or None), min_recovery_lsn (str or None), min_recovery_timeline (int or None), next_xid (int or None:
    epoch and number in one, as of the latest checkpoint), segment_bytes (int or None), checksums (bool), wal_log_hints
    (bool), raw (dict of all lines). Raises ValueError when the two that everything depends on, identifier and state,
    are missing.
    """
    raw = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            raw[key.strip()] = value.strip()
    identifier = raw.get("Database system identifier", "")
    state = raw.get("Database cluster state", "")
    if not identifier.isdigit() or not state:
        raise ValueError("pg_controldata gave no system identifier or no cluster state")
    minimum = raw.get("Minimum recovery ending location")
    return {
        "system_identifier": identifier,
        "state": state,
        "timeline": number(raw.get("Latest checkpoint's TimeLineID")),
        "checkpoint_lsn": raw.get("Latest checkpoint location"),
        "redo_lsn": raw.get("Latest checkpoint's REDO location"),
        "min_recovery_lsn": None if minimum in (None, "0/0") else minimum,
        "min_recovery_timeline": number(raw.get("Min recovery ending loc's timeline")) or None,
        "next_xid": full_xid(raw.get("Latest checkpoint's NextXID")),
        "segment_bytes": number(raw.get("Bytes per WAL segment")),
        "checksums": raw.get("Data page checksum version", "0") != "0",
        "wal_log_hints": raw.get("wal_log_hints setting") == "on",
        "raw": raw,
    }


def summary(text: str) -> Control:
    """parse_controldata() without "raw"; of text that it makes no sense of only that nothing is known."""
    try:
        found = parse_controldata(text)
    except ValueError:
        return {"system_identifier": "", "state": "", "timeline": None, "checkpoint_lsn": None}
    del found["raw"]
    return cast(Control, found)


def number(text: Optional[str]) -> Optional[int]:
    """A whole number, None where there is none."""
    return int(text) if text and text.isdigit() else None


def full_xid(text: Optional[str]) -> Optional[int]:
    """64-bit transaction id out of "EPOCH:XID"; None where there is none."""
    match = re.match(r"^(\d+):(\d+)$", text or "")
    return (int(match.group(1)) << 32) + int(match.group(2)) if match else None


def parse_backup_label(text: str) -> Dict[str, Any]:
    """start_lsn (str or None) and timeline (int or None) from the text of a ``backup_label`` file."""
    start = re.search(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+)", text, re.M)
    timeline = re.search(r"^START TIMELINE: (\d+)", text, re.M)
    return {"start_lsn": start.group(1) if start else None,
            "timeline": int(timeline.group(1)) if timeline else None}
