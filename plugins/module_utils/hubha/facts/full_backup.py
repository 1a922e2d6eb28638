# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories with full backups: what lies there, and removing it. What their content means: backup_format.py."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from typing import Callable, List, Optional, Sequence

from ..core.files import fsync_path, nearest_existing, read_json, read_text, sha256, tree_size, write_json
from ..core.run import HubError
from . import backup_format as model
from .backup_format import Backup, Look, Unfinished


def look(path: str, digest: bool = False) -> Look:
    """What lies at *path*: a directory for backups, or one backup. Raises OSError.

    digest: read every file of the backups and compare it.
    """
    real = os.path.realpath(path)
    space = os.statvfs(nearest_existing(real))
    found: Look = {"path": path, "real": real, "kind": "absent", "mode": 0, "uid": 0, "own_uid": os.geteuid(),
                   "backups": [], "locked": False, "unfinished": [], "free_bytes": space.f_bavail * space.f_frsize}
    if not os.path.lexists(real):
        return found
    info = os.stat(real)
    found["kind"] = "directory" if stat.S_ISDIR(info.st_mode) else "other"
    found["mode"], found["uid"] = stat.S_IMODE(info.st_mode), info.st_uid
    if found["kind"] == "directory":
        if is_backup(real, os.listdir(real)):
            found["backups"] = [judge(real, digest)]
        else:
            found["locked"] = locked(real)
            paths = [os.path.join(real, name) for name in sorted(os.listdir(real)) if model.NAME.match(name)]
            found["backups"] = [judge(backup, digest) for backup in paths if os.path.isdir(backup)]
            found["unfinished"] = [item for item in map(unfinished, paths) if item]
    return found


def is_backup(path: str, names: Sequence[str]) -> bool:
    """True for a backup's own directory, whole or not. names: what is in it."""
    return bool(model.NAME.match(os.path.basename(path)) or {model.MANIFEST, model.DATABASE} & set(names))


def judge(path: str, digest: bool = False) -> Backup:
    """What is to be said of the backup *path*; digest: see look()."""
    name = os.path.join(path, model.MANIFEST)
    result: Backup = {"path": path, "name": os.path.basename(path), "id": None, "complete": False, "manifest": None,
                      "problems": [], "fetched": bool((read_json(os.path.join(path, model.RUN)) or {}).get("fetched"))}
    try:
        manifest = model.parse_manifest(read_text(name))
    except ValueError as error:
        result["problems"] = [str(error)]
        return result
    problems = []
    for entry in manifest["members"]:
        file = os.path.join(path, entry["name"])
        size = os.path.getsize(file) if os.path.isfile(file) else None
        problems.append(model.member_problem(entry, size, sha256(file) if digest and size == entry["bytes"] else None))
    result["manifest"], result["id"] = manifest, sha256(name)
    result["problems"] = [text for text in problems if text]
    result["complete"] = not result["problems"]
    return result


def unfinished(path: str) -> Optional[Unfinished]:
    """What a run that still goes on or was cut off has at *path*: None for anything else.

    That is a directory of ours without a manifest, or a whole backup with the note that it goes to a controller.
    """
    try:
        if os.path.islink(path) or not os.path.isdir(path) or os.stat(path).st_uid != os.geteuid():
            return None
        names = os.listdir(path)
        note = read_json(os.path.join(path, model.RUN)) or {}
        if not all(model.OURS.match(name) for name in names) or model.MANIFEST in names and not note.get("fetched"):
            return None
        touched = max(os.lstat(name).st_mtime for name in [path] + [os.path.join(path, name) for name in names])
        return {"path": path, "run": note.get("run"), "copying": model.COPY in names,
                "complete": model.MANIFEST in names, "bytes": tree_size(path), "touched": touched,
                "silent": time.time() - touched}
    except FileNotFoundError:
        return None  # its run has just ended it


# --- making -----------------------------------------------------------------------------------------------------------

def new_directory(directory: str, clock: Callable[[], time.struct_time] = time.gmtime) -> str:
    """Path of a new backup, made and empty: named after the time. Raises HubError, OSError."""
    name = time.strftime("%Y-%m-%dT%H%M%SZ", clock())
    for count in range(1, 100):
        path = os.path.join(directory, name if count == 1 else "%s-%d" % (name, count))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        return path
    raise HubError("no new directory could be made in %s" % directory)


def mark(path: str, run: Optional[str], fetched: bool) -> None:
    """Leaves the note of a run in its backup. run: its name for itself. fetched: the backup goes to a controller."""
    write_json(os.path.join(path, model.RUN), {"run": run, "fetched": fetched}, sync=True)


def locked(directory: str) -> bool:
    """True while a run copies a database into *directory*."""
    try:
        handle = os.open(os.path.join(directory, ".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def lock(directory: str) -> int:
    """Handle of the lock that one backup at a time holds in *directory*; raises HubError when another has it."""
    handle = os.open(os.path.join(directory, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise HubError("another backup is being made in %s: wait for its end" % directory)
    return handle


# --- removing: each returns the paths that go; with check_mode nothing is removed ------------------------------------

def remove(path: str) -> None:
    """Removes a backup, the manifest first: what is left of a removal that is cut off is no backup any more."""
    try:
        os.unlink(os.path.join(path, model.MANIFEST))
        fsync_path(path)
    except FileNotFoundError:
        pass  # a part of one
    shutil.rmtree(path)


def absent(path: str, check_mode: bool = False) -> List[str]:
    """Removes one backup, if it is there."""
    if not os.path.lexists(path):
        return []
    if not check_mode:
        remove(path)
    return [path]


def prune(directory: str, keep: int, system_identifier: str, check_mode: bool = False,
          fetched_only: bool = False) -> List[str]:
    """Removes the oldest complete backups of that database; see backup_format.expired."""
    gone = model.expired(look(directory)["backups"], keep, system_identifier, fetched_only)
    if not check_mode:
        for path in gone:
            remove(path)
    return gone


def clear(directory: str, items: Sequence[Unfinished], check_mode: bool = False) -> List[str]:
    """Removes what was cut off. items: of unfinished(), as they were when it was decided. Raises HubError, OSError.

    Nothing that has changed since, and nothing while a run holds the lock: then nobody can tell whose it is.
    """
    if locked(directory):
        return []
    handle = None if check_mode else lock(directory)
    try:
        gone = [item["path"] for item in items
                if os.path.dirname(item["path"]) == os.path.realpath(directory) and unchanged(item)]
        if not check_mode:
            for path in gone:
                remove(path)
    finally:
        if handle is not None:
            os.close(handle)
    return gone


def unchanged(item: Unfinished) -> bool:
    """True when what lies there is what it was."""
    now = unfinished(item["path"])
    return now is not None and now["touched"] == item["touched"]
