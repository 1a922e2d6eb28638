# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that are the same on both hubs, policy before all: read on the active hub, made the same on the passive one.

A hub's own identity (localhost.*) and its agent's own notes are never part of them. Entries: see core/archive.py.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core import archive
from ..core.archive import Entry
from ..core.files import read_text
from ..core.run import HubError
from . import augments
from .words import POLICY_STAMPS


@dataclass(frozen=True)
class Changes:
    """Names below a directory whose files are not as they should be, sorted. old: what the changed ones hold now."""

    added: Sequence[str]
    changed: Sequence[str]
    removed: Sequence[str]
    old: Mapping[str, Entry]

    def names(self) -> Dict[str, List[str]]:
        """{"added", "changed", "removed"}: lists of names."""
        return {"added": list(self.added), "changed": list(self.changed), "removed": list(self.removed)}

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def wanted(relative: str, patterns: Sequence[str]) -> bool:
    """True when the shell patterns mean the file, and it is one that hubs share."""
    name = os.path.basename(relative)
    if relative in POLICY_STAMPS:
        return False
    return not name.startswith("localhost.") and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def listing(root: str, patterns: Sequence[str]) -> List[str]:
    """Relative paths of the wanted files and links below *root*, sorted."""
    found = []
    for folder, unused_dirs, files in os.walk(root):
        for name in files:
            relative = os.path.relpath(os.path.join(folder, name), root)
            if wanted(relative, patterns):
                found.append(relative)
    return sorted(found)


def pack(root: str, patterns: Sequence[str], replace: Optional[Mapping[str, str]] = None,
         merged: Optional[Mapping[str, Any]] = None) -> Tuple[str, int]:
    """(base64 text, number of files) of the wanted files below *root*.

    replace: {relative path: text} to put into the archive instead of what the file holds now.
    merged: {relative path: what to merge into it}, of augments files. Raises HubError.
    """
    if not os.path.isdir(root):
        raise HubError("%s does not exist on this hub" % root)
    texts = dict(replace or {})
    for name, wanted_part in (merged or {}).items():
        path = os.path.join(root, name)
        try:
            texts[name] = augments.merge(read_text(path), wanted_part)
        except ValueError as error:
            raise HubError("%s: %s" % (path, error))
    files: Dict[str, Entry] = {}
    for name in set(listing(root, patterns)) | set(texts):
        entry = archive.read_entry(os.path.join(root, name))
        if name in texts:
            files[name] = (entry[0] if entry else 0o600, texts[name].encode("utf-8"), None)
        elif entry:  # pipes and the like stay behind
            files[name] = entry
    return archive.pack(files), len(files)


def unpack(text: str, patterns: Sequence[str]) -> Dict[str, Entry]:
    """{relative path: entry}; see archive.unpack."""
    return archive.unpack(text, lambda name: wanted(name, patterns))


def texts(given: Mapping[str, str], modes: Mapping[str, object]) -> Dict[str, Entry]:
    """Like unpack, of {path: text} and {path: octal mode}. Raises HubError for a mode that is none."""
    found: Dict[str, Entry] = {}
    for path, text in given.items():
        mode = str(modes.get(path, "0600"))
        if not re.match("0?[0-7]{3}$", mode):
            raise HubError("mode %r of %s is not an octal number such as 0600" % (mode, path))
        found[os.path.normpath(path)] = (int(mode, 8), text.encode("utf-8"), None)
    return found


def compare(root: str, files: Mapping[str, Entry], patterns: Sequence[str] = (), exact: bool = False) -> Changes:
    """How the files below *root* differ from *files*; changes nothing.

    exact: what the patterns mean and *files* does not hold counts as removed. Raises OSError.
    """
    added, old = [], {}
    for name in sorted(files):
        entry = archive.read_entry(os.path.join(root, name))
        if entry is None:
            added.append(name)
        elif entry != files[name]:
            old[name] = entry
    removed = [name for name in listing(root, patterns) if name not in files] if exact else []
    return Changes(added, list(old), removed, old)


def apply(root: str, files: Mapping[str, Entry], changes: Changes) -> None:
    """Makes the files below *root* what they should be, each in one step, owned by root. Raises OSError."""
    for name in sorted([*changes.added, *changes.changed]):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        archive.put_entry(path, files[name], sync=False)
    for name in changes.removed:
        os.unlink(os.path.join(root, name))
