# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What files and directory trees are like, to compare them: digests, modes, owners."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any, Dict

from .files import sha256


def user_name(number: int) -> str:
    """Name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Name of a group, or the number where there is none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def file_state(path: str) -> Dict[str, Any]:
    """{"exists", "sha256", "mode" (octal text), "owner"}: enough to see drift, nothing of the content."""
    try:
        info = os.stat(path)
    except OSError:
        return {"exists": False}
    return {"exists": True, "sha256": sha256(path), "mode": "%04o" % (info.st_mode & 0o7777),
            "owner": user_name(info.st_uid)}


def tree(root: str, follow: bool = False) -> Dict[str, str]:
    """{relative path: sha256 or "-> target"} of every file and link below *root*. follow: into linked directories."""
    found = {}
    for folder, unused_dirs, files in os.walk(root, followlinks=follow):
        for name in files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = "-> " + os.readlink(path)
            elif os.path.isfile(path):
                found[relative] = sha256(path)
    return found
