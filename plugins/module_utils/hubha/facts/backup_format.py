# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full backup's own format: the names of its files, its manifest, and what a look at a place tells. Pure.

Looks pass from host to controller as JSON, so they are plain dicts.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, List, Optional, Sequence, TypedDict

MANIFEST, DATABASE, CIB = "manifest.json", "database.tar.gz", "cib.xml"
FORMAT = 1
COPY = ".database"  # the plain copy, there while the lock is held
RUN = ".run"  # note of the run that makes a backup, or carries it away: there from its first moment to its last
# What lies in a backup, whole or not. A directory that holds anything else is not ours to remove.
OURS = re.compile(r"(manifest\.json(\.new)?|database\.tar\.gz|cib\.xml|hub-[^/]+\.tar\.gz|\.database|\.run(\.\d+)?|"
                  r"\.hub_ha\..+)\Z")
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z(-\d+)?\Z")
Manifest = Dict[str, Any]
# In the manifest of a backup that was fetched and stays on the hub too, since the controller may not last: true.
STAYS = "stays_on_hub"
KEYS = ("format", "name", "time", "taken_from", "active", "hubs", "layout", "edition", "cfengine_version", "postgres",
        "db_user", "shared", "members", "foreign_resources")


class Member(TypedDict):
    """One file of a backup, as the manifest has it. sha256: 64 digits."""

    name: str
    bytes: int
    sha256: str


class Backup(TypedDict):
    """One backup. id: digest of its manifest. fetched: it is on its way to a controller, and goes from here then."""

    path: str
    name: str
    id: Optional[str]
    complete: bool
    manifest: Optional[Manifest]
    problems: List[str]
    fetched: bool


class Unfinished(TypedDict):
    """What a run that still goes on or was cut off has somewhere.

    run: its own name for itself, see ansible_run.py; None, it left none. copying: there is a plain copy of the
    database. touched: newest time of its files, in seconds since 1970. silent: seconds since.
    """

    path: str
    run: Optional[str]
    copying: bool
    complete: bool
    bytes: int
    touched: float
    silent: float


class Look(TypedDict):
    """What lies at a place: a directory for backups, or one backup.

    real: the path without links. kind: "absent", "directory", "other". own_uid: whose process looks. locked: a run
    copies a database into it now.
    """

    path: str
    real: str
    kind: str
    mode: int
    uid: int
    own_uid: int
    free_bytes: int
    backups: List[Backup]
    locked: bool
    unfinished: List[Unfinished]


def member(node: str) -> str:
    """Name of the file with a hub's own files. node: the hub's name, `uname -n` in lower case."""
    return "hub-%s.tar.gz" % node


def parse_manifest(text: Optional[str]) -> Manifest:
    """The manifest in *text* (None: there is none). Raises ValueError with what is wrong."""
    if text is None:
        raise ValueError("it has no %s: it was cut short before its end" % MANIFEST)
    try:
        data = json.loads(text)
    except ValueError:
        raise ValueError("its %s is damaged" % MANIFEST)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("its %s is of another format (%r, this version reads %d)" % (
            MANIFEST, data.get("format") if isinstance(data, dict) else None, FORMAT))
    missing = [key for key in KEYS if key not in data]
    if missing or not isinstance(data["members"], list) or not isinstance(data["hubs"], dict):
        raise ValueError("its %s lacks %s" % (MANIFEST, ", ".join(missing) or "its members"))
    names = [item.get("name") for item in data["members"]]
    if DATABASE not in names or [hub for hub in data["hubs"].values() if hub.get("archive") not in names] \
            or [name for name in names if os.path.basename(name or "") != name]:
        raise ValueError("its %s does not name what a backup must hold" % MANIFEST)
    return data


def member_problem(entry: Member, size: Optional[int], digest: Optional[str]) -> Optional[str]:
    """What is wrong with one file of a backup, or None. size: None when it is missing; digest: None if not read."""
    if size is None:
        return "%s is missing" % entry["name"]
    if size != entry["bytes"]:
        return "%s has %d bytes, and the manifest says %d" % (entry["name"], size, entry["bytes"])
    if digest is not None and digest != entry["sha256"]:
        return "%s is not what was saved (its SHA-256 differs from the manifest's)" % entry["name"]
    return None


def expired(backups: Sequence[Backup], keep: int, system_identifier: str, fetched_only: bool = False) -> List[str]:
    """Paths of the backups that go when the newest *keep* complete ones of this database stay; none with 0.

    fetched_only: those alone count and go that were fetched too, see STAYS.

    Only complete ones that stay there count, and only such go: one that was cut short, or is on its way to a
    controller, may be another run's that is still under way.
    """
    mine = [(item["manifest"]["time"], item["name"], item["path"]) for item in backups
            if item["complete"] and not item["fetched"] and item["manifest"]
            and item["manifest"]["postgres"]["system_identifier"] == system_identifier
            and (not fetched_only or item["manifest"].get(STAYS))]
    return [path for time, name, path in sorted(mine, reverse=True)[keep:]] if keep > 0 else []
