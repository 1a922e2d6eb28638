# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Completes a full backup: the hubs' own files, the CIB, and last the manifest, without which nothing counts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ..cluster.live import read_cib
from ..core import archive
from ..core.files import fsync_path, replace_file
from ..core.run import Runner
from . import backup_format, full_backup
from .backup_format import Member

FROM_DATABASE = ("bytes", "timeline", "start_lsn", "end_lsn", "server_version", "wal_checked")


@dataclass(frozen=True)
class Sealed:
    """A whole backup. files: number of them in the hubs' archives. cib: there is one in it. bytes: of all of it."""

    files: int
    cib: bool
    bytes: int


def add(path: str, name: str, data: bytes) -> Member:
    """Write one file of the backup; returns its entry for the manifest."""
    replace_file(os.path.join(path, name), data, 0o600, os.geteuid(), os.getegid())
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def seal(path: str, database: Mapping[str, Any], archives: Mapping[str, str], facts: Mapping[str, Any], run: Runner,
         clock: Callable[[], time.struct_time] = time.gmtime) -> Sealed:
    """Completes the backup *path*. Raises HubError, OSError, ValueError, KeyError.

    database: full_backup_make.Made as a dict. archives: {hub's name: its files, see cfengine/own_files.py}. facts: what
    the manifest says of the hubs. run: the runner.
    """
    count, members = 0, [database["member"]]
    for node, packed in sorted(archives.items()):
        count += len(archive.unpack(packed, lambda name: True))
        members.append(add(path, backup_format.member(node), base64.b64decode(packed)))
    cib = read_cib(run)
    if cib:
        members.append(add(path, backup_format.CIB, cib.encode("utf-8")))
    postgres = {**facts["postgres"], **{key: database[key] for key in FROM_DATABASE}}
    manifest = {**facts, "format": backup_format.FORMAT, "name": os.path.basename(path), "members": members,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", clock()), "postgres": postgres}
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    backup_format.parse_manifest(text)
    add(path, backup_format.MANIFEST, text.encode("utf-8"))
    fsync_path(path)
    fsync_path(os.path.dirname(path))
    if not full_backup.judge(path)["fetched"]:
        os.unlink(os.path.join(path, backup_format.RUN))  # a whole backup that stays is no run's any more
    return Sealed(count, bool(cib), sum(item["bytes"] for item in members))
