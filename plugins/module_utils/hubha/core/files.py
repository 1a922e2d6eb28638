# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small files, and writing files so that nobody ever sees half of one."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from typing import Any, Dict, Optional


def read_text(path: str) -> Optional[str]:
    """Text of a small file, None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def replace_file(path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0, sync: bool = True) -> None:
    """Make *path* hold *data* (bytes) in one step, with *mode* (int) and owner; nobody reads it before that.

    sync: wait until it is on the disk. Needed for what cannot be had again; thousands of copies do without. Raises OSError.
    """
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".hub_ha.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            os.fchown(handle, uid, gid)
            os.fchmod(handle, mode)
            stream.flush()
            if sync:
                os.fsync(handle)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def fsync_path(path: str) -> None:
    """Makes what was written to a file or directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: str, data: object, sync: bool = False) -> None:
    """Replaces *path* by *data* as JSON in one step; with *sync* also on disk."""
    temporary = "%s.%d" % (path, os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "w") as stream:
        json.dump(data, stream)
        stream.flush()
        if sync:
            os.fsync(stream.fileno())
    os.rename(temporary, path)
    if sync:
        fsync_path(os.path.dirname(path))


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """The dict in a JSON file, None when there is none or it is not whole."""
    try:
        data = json.loads(read_text(path) or "null")
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def nearest_existing(path: str) -> str:
    """*path*, or its nearest parent that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def tree_size(path: str) -> int:
    """Bytes on disk of all files below *path*."""
    total = 0
    for folder, unused_dirs, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
    return total


def sha256(path: str) -> str:
    """SHA-256 of a file, as 64 digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
