# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All files that make a host the hub that it is, identity included: which they are, in one archive, and back.

*layout* is the hub's, see layout.py. Paths name files, and directories, with a slash at the end, with all that is below
them. Entries: see core/archive.py.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ..core import archive
from ..core.archive import Entry
from ..core.run import HubError
from ..core.tree import group_name, user_name
from .layout import FENCING_DIR
from .words import POLICY_STAMPS

Layout = Mapping[str, Any]


# --- what is saved ----------------------------------------------------------------------------------------------------

def own_paths(layout: Layout, further: Sequence[object] = ()) -> List[str]:
    """Files and directories of a hub that a restore puts back.

    further: what both hubs share beside that, and the operator's TLS files.
    """
    work = layout["work_dir"]
    paths = [layout["ppkeys"] + "/", layout["masterfiles"] + "/", layout["ha_dir"] + "/", work + "/httpd/secrets.ini",
             work + "/httpd/ssl/", work + "/licenses/"]
    if layout["name"] == "enterprise":  # the vendor's policy copies them from hub to hub, whoever names them
        paths.append("/opt/cfengine/notification_scripts/")
    return paths + [str(path) for path in further]


def other_paths(layout: Layout) -> List[str]:
    """What is saved beside that, to look something up: a restore makes it anew or leaves it to the packages."""
    unit = "/etc/systemd/system/%s.service" % layout["db_unit"]
    return [layout["ha_cfg"], layout["policy_server"], "/etc/corosync/", FENCING_DIR + "/", unit, unit + ".d/",
            "/etc/postgresql-common/createcluster.conf"] \
        + [layout["data_dir"] + name for name in ("/postgresql.conf", "/pg_hba.conf", "/hub_ha.conf")]


def all_paths(layout: Layout, further: Sequence[object] = ()) -> List[str]:
    """All that a full backup holds of a hub: own_paths() and other_paths()."""
    return own_paths(layout, further) + other_paths(layout)


def left_out(path: str, layout: Layout) -> bool:
    """True for files below own_paths that belong to a moment: progress, markers, the agent's own notes."""
    folder, name = os.path.split(path)
    if folder == layout["ha_dir"]:
        return name.endswith(".progress") or name == "maintenance" or path == layout["restored"]
    return bool(folder == layout["masterfiles"] and name in POLICY_STAMPS)


def exact_paths(layout: Layout) -> List[str]:
    """Directories in which nothing else stays: a key that the package made anew is nobody's any more."""
    return [layout["ppkeys"] + "/", layout["masterfiles"] + "/"]


# --- reading ----------------------------------------------------------------------------------------------------------

def listed(paths: Sequence[str]) -> List[str]:
    """Every file, link and directory that the paths mean, with full paths, sorted. What is missing is left out."""
    found: Set[str] = set()
    for path in paths:
        if path.endswith("/"):
            for folder, folders, files in os.walk(path.rstrip("/")):
                found.add(folder)
                places = [os.path.join(folder, name) for name in folders]
                found.update(os.path.join(folder, name) for name in files)
                found.update(place for place in places if os.path.islink(place))
        elif os.path.lexists(path) and not os.path.isdir(path):
            found.add(path)
    return sorted(found)


def owner(path: str) -> Tuple[str, str]:
    """(user, group) of what lies there, by name."""
    info = os.lstat(path)
    return user_name(info.st_uid), group_name(info.st_gid)


def pack(paths: Sequence[str], layout: Layout) -> Tuple[str, int]:
    """(base64 text, number of files). Raises OSError."""
    entries: Dict[str, Entry] = {}
    for path in listed(paths):
        entry = None if left_out(path, layout) else archive.read_entry(path, folders=True)
        if entry and entry[2] != "/dev/null":  # the mask of a unit is a link into /dev, and no file of anybody's
            entries[path] = entry
    text = archive.pack({path[1:]: entry for path, entry in entries.items()},
                        {path[1:]: owner(path) for path in entries})
    return text, len([entry for entry in entries.values() if entry[1:] != (None, None)])


# --- putting back -----------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Restore:
    """What is to be put back. files: {path: (entry, uid, gid)} of all that is meant.

    folders: {directory: (mode, uid, gid)}. written: paths of files that differ. removed: paths of files that go.
    """

    files: Mapping[str, Tuple[Entry, int, int]]
    folders: Mapping[str, Tuple[int, int, int]]
    written: Sequence[str]
    removed: Sequence[str]


def meant(path: str, paths: Sequence[str]) -> bool:
    """True when the paths mean this file."""
    return any(path == item or (item.endswith("/") and (path + "/").startswith(item)) for item in paths)


def ids(name: str, group: str) -> Optional[Tuple[int, int]]:
    """(uid, gid) of a user and a group, by name or number; None when this host does not know them."""
    try:
        return pwd.getpwnam(name).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        return (int(name), int(group)) if name.isdigit() and group.isdigit() else None


def is_there(path: str, entry: Entry, uid: int, gid: int) -> bool:
    """True when the file is as the archive has it."""
    if archive.read_entry(path, folders=True) != entry:
        return False
    info = os.lstat(path)
    return entry[2] is not None or (info.st_uid, info.st_gid) == (uid, gid)


def restore_plan(text: str, paths: Sequence[str], exact: Sequence[str], layout: Layout,
                 any_owner: bool = False) -> Restore:
    """What of the archive *text* is to be put back; changes nothing.

    paths: what is meant of it. exact: directories in which files go that are not in it. any_owner: a user that this
    host does not know is no error, for check mode: an earlier task may make it. Raises HubError, OSError.
    """
    entries = archive.unpack(text, lambda name: True)
    files: Dict[str, Tuple[Entry, int, int]] = {}
    folders: Dict[str, Tuple[int, int, int]] = {}
    for name, (user, group, mode) in sorted(archive.owners(text).items()):
        path = "/" + name
        if not meant(path, paths):
            continue
        found = ids(user, group) or ((-1, -1) if any_owner else None)
        if found is None:
            raise HubError("%s belongs to %s:%s, whom this host does not know: install the same packages as before "
                           "first; nothing was changed" % (path, user, group))
        if mode is not None:
            folders[path] = (mode, *found)
        elif name in entries:
            files[path] = (entries[name], *found)
    return Restore(files, folders, [path for path in sorted(files) if not is_there(path, *files[path])],
                   [path for path in listed(exact) if path not in files and not os.path.isdir(path)
                    and not left_out(path, layout)])


def restore(plan: Restore) -> None:
    """Puts the files back, each in one step. Raises OSError."""
    make_folders(plan.folders, plan.written)
    for path in plan.removed:
        os.unlink(path)
    for path in plan.written:
        archive.put_entry(path, *plan.files[path])


def make_folders(folders: Mapping[str, Tuple[int, int, int]], files: Sequence[str]) -> None:
    """The directories that are missing, as they were; one of which nothing is known is root's alone to write to."""
    for path in sorted(set(folders) | {os.path.dirname(name) for name in files}):
        mode, uid, gid = folders.get(path, (0o755, 0, 0))
        if not os.path.isdir(path):
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            os.mkdir(path, 0o700)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
