# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of single files, one directory each with a manifest, and putting files back from them. Not full backups.

A backup: ``manifest.json``, written last, so that one that was cut off does not count; ``files/PATH``;
``trees/*.tar.gz``; ``cib.xml``. The manifest: "host", "time", "files" (see Entry), "missing" and "trees" (lists), "cib" (name of the file
or None), "marks" ({name: digest} of all whose change makes a new backup necessary).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import tarfile
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from .files import replace_file, replace_link
from .run import HubError
from .tree import file_state

CIB_NAME = "cib.xml"
Manifest = Dict[str, Any]
Entry = Dict[str, Any]  # of one file: file_state(), "path", "size", "uid", "gid", of a link "link", its target


def complete(directory: str) -> Iterator[Tuple[str, Manifest]]:
    """(path, manifest) of every backup that was not cut off, the newest first."""
    for path in sorted(map(os.path.dirname, glob.glob(directory + "/*/manifest.json")), reverse=True):
        try:
            with open(path + "/manifest.json", encoding="utf-8") as handle:
                manifest = json.load(handle)
                manifest["marks"].items()
                manifest["files"].sort(key=lambda entry: entry["path"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off while it was written: not a backup
        yield path, manifest


def newest(directory: str) -> Tuple[Optional[str], Optional[Manifest]]:
    """(path, manifest) of the newest complete backup, or (None, None)."""
    return next(complete(directory), (None, None))


def entries(manifest: Manifest) -> Dict[str, Entry]:
    """{path: entry} of the files in a backup."""
    return {entry["path"]: entry for entry in manifest["files"]}


def saved(path: str, name: str) -> str:
    """Where the backup *path* keeps the file *name*."""
    return os.path.join(path, "files", name.lstrip("/"))


# --- saving -----------------------------------------------------------------------------------------------------------

def expand(patterns: Sequence[str]) -> List[str]:
    """Existing files that the shell patterns mean, sorted."""
    return sorted({path for pattern in patterns for path in glob.glob(pattern) if os.path.isfile(path)})


def save(directory: str, paths: Sequence[str], marks: Mapping[str, str], cib: Optional[str] = None,
         missing: Sequence[str] = (), trees: Sequence[str] = ()) -> Tuple[str, int]:
    """Write a new backup below *directory*, which is made, and root's alone: (path, number of files).

    trees: directories that are saved whole. missing: noted in the manifest. Raises OSError.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)
    target = new_directory(directory)
    files = [save_file(target, path) for path in paths]
    if cib:
        with private(os.path.join(target, CIB_NAME)) as handle:
            handle.write(cib)
    manifest = {"host": platform.node(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "files": files, "missing": list(missing), "trees": [save_tree(target, root) for root in trees],
                "cib": CIB_NAME if cib else None, "marks": dict(marks)}
    temporary = os.path.join(target, ".manifest")
    with private(temporary) as handle:
        json.dump(manifest, handle, indent=1, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(temporary, os.path.join(target, "manifest.json"))
    return target, len(files)


def new_directory(directory: str) -> str:
    """Path of a new directory below *directory*, named after the time."""
    name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    target = os.path.join(directory, name)
    count = 1
    while os.path.exists(target):
        count += 1
        target = os.path.join(directory, "%s-%d" % (name, count))
    os.mkdir(target, 0o700)
    return target


def private(path: str) -> Any:
    """A new text file for root only, open for writing."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8")


def save_file(target: str, path: str) -> Entry:
    """Save one file, with owner and mode, in the backup *target*; returns its entry for the manifest."""
    copy = saved(target, path)
    os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
    shutil.copy2(path, copy)
    info = os.stat(path)
    os.chown(copy, info.st_uid, info.st_gid)
    entry = dict(file_state(path), path=path, size=info.st_size, uid=info.st_uid, gid=info.st_gid)
    if os.path.islink(path):
        entry["link"] = os.readlink(path)
    return entry


def save_tree(target: str, root: str) -> Dict[str, str]:
    """Save one directory in the backup *target*; returns its entry for the manifest."""
    name = os.path.join("trees", root.strip("/").replace("/", "-") + ".tar.gz")
    os.makedirs(os.path.join(target, "trees"), mode=0o700, exist_ok=True)
    with open(os.open(os.path.join(target, name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as handle:
        with tarfile.open(fileobj=handle, mode="w:gz", compresslevel=6) as archive:
            archive.add(os.path.realpath(root), arcname=".")
    return {"path": root, "archive": name}


# --- putting back -----------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Choice:
    """Which backup is to be taken: that one, or the newest one that fits. At most one of the three is given.

    backup: that directory. lacking: the newest that holds all files and not this one. holding: the newest that holds
    this file; if there is none, nothing is done.
    """

    backup: Optional[str] = None
    lacking: Optional[str] = None
    holding: Optional[str] = None


@dataclass(frozen=True)
class Restore:
    """What is to be put back. path: the backup, None when there is nothing to do."""

    path: Optional[str]
    restored: Sequence[Entry] = ()  # files that differ
    removed: Sequence[str] = ()  # files that are there and not in the backup
    data: Optional[Mapping[str, bytes]] = None  # what the restored files hold, by path

    @property
    def names(self) -> List[str]:
        """Paths of the files that are put back."""
        return [entry["path"] for entry in self.restored]


def fits(manifest: Manifest, files: Sequence[str], choice: Choice) -> bool:
    """True when this backup is one that may be taken."""
    held = entries(manifest)
    if choice.lacking:
        return choice.lacking not in held and all(name in held for name in files)
    return not choice.holding or choice.holding in held


def choose(directory: str, files: Sequence[str], choice: Choice) -> Tuple[Optional[str], Manifest]:
    """(path, manifest) of the backup to take, or (None, {}) when there is nothing to do. Raises HubError."""
    for path, manifest in complete(directory):
        if choice.backup:
            if os.path.realpath(path) == os.path.realpath(choice.backup):
                return path, manifest
        elif fits(manifest, files, choice):
            return path, manifest
    if choice.holding and not choice.backup:
        return None, {}
    wanted = choice.backup or ("of before %s was there" % choice.lacking if choice.lacking else "at all")
    raise HubError("%s holds no complete backup %s" % (directory, wanted))


def content(path: str, entry: Entry) -> bytes:
    """What the backup holds of one file; raises HubError when it is not what was saved."""
    try:
        with open(saved(path, entry["path"]), "rb") as handle:
            data = handle.read()
    except OSError as error:
        raise HubError("the backup %s cannot be read: %s" % (path, error))
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise HubError("the copy of %s in %s is not what was saved; nothing was changed" % (entry["path"], path))
    return data


def is_as_saved(entry: Entry) -> bool:
    """True when the file on the hub is the one in the backup already."""
    path = entry["path"]
    if entry.get("link") is not None:
        return os.path.islink(path) and os.readlink(path) == entry["link"]
    if os.path.islink(path):
        return False
    state = file_state(path)
    if not state["exists"]:
        return False
    info = os.stat(path)
    return (state["sha256"], state["mode"], info.st_uid, info.st_gid) == (
        entry["sha256"], entry["mode"], entry["uid"], entry["gid"])


def restore_plan(directory: str, files: Sequence[str], optional: Sequence[str], choice: Choice) -> Restore:
    """Which files are to be put back from a backup below *directory*; changes nothing.

    files: must be in it. optional: are removed here when they are not in it. Raises HubError, also for a copy that is
    damaged.
    """
    path, manifest = choose(directory, files, choice)
    if path is None:
        return Restore(None)
    held = entries(manifest)
    missing = [name for name in files if name not in held]
    if missing:
        raise HubError("the backup %s does not hold %s" % (path, ", ".join(missing)))
    wanted = [held[name] for name in [*files, *optional] if name in held]
    data = {entry["path"]: content(path, entry) for entry in wanted}
    return Restore(path, [entry for entry in wanted if not is_as_saved(entry)],
                   [name for name in optional if name not in held and os.path.lexists(name)], data)


def restore(plan: Restore) -> None:
    """Puts the files back, each in one step. Raises OSError."""
    for entry in plan.restored:
        if entry.get("link") is not None:
            replace_link(entry["path"], entry["link"])
        else:
            replace_file(entry["path"], (plan.data or {})[entry["path"]], int(entry["mode"], 8), entry["uid"],
                         entry["gid"])
    for name in plan.removed:
        os.unlink(name)
