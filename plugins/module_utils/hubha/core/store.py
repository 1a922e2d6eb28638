# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups as module hub_backup writes them: which are there, and what each holds. Not full ones: full_backup.py."""

from __future__ import annotations

import glob
import json
import os

from .run import CommandMissing


def complete(directory):
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


def newest(directory):
    """(path, manifest) of the newest complete backup, or (None, None)."""
    return next(complete(directory), (None, None))


def entries(manifest):
    """{path: entry} of the files in a backup."""
    return dict((entry["path"], entry) for entry in manifest["files"])


def saved(path, name):
    """Where the backup *path* keeps the file *name*."""
    return os.path.join(path, "files", name.lstrip("/"))


def read_cib(run):
    """Text of the live CIB, or None where no cluster runs."""
    try:
        done = run(["cibadmin", "--query", "--local"], check=False, timeout=20)
    except CommandMissing:
        return None
    return done.out if done.rc == 0 else None
