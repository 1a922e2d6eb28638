# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application hub-ha: package hubha as one file that Python runs. Built on the controller, read on the hubs."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from typing import Dict, Mapping, Optional

PLACE = "/usr/local/lib/cfengine-hub-ha/hub-ha.pyz"
WRAPPER = "/usr/local/sbin/hub-ha"
TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file knows: the same sources make the same bytes
MAIN = """import sys

from hubha.agent.cli import main

sys.exit(main(sys.argv[1:], %r))
"""


def folder() -> str:
    """Where package hubha of this process lies (module_utils), on a controller."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sources(folder: str) -> Dict[str, bytes]:
    """{path in the application: bytes} of package hubha below *folder* (module_utils)."""
    found = {}
    for base, folders, names in os.walk(os.path.join(folder, "hubha")):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(base, name)
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, folder).replace(os.sep, "/")] = stream.read()
    return found


def build(files: Mapping[str, bytes], version: str) -> bytes:
    """The application's bytes, always the same for the same files ({path: bytes}) and version (text)."""
    content = {**files, "__main__.py": (MAIN % version).encode(), "VERSION": (version + "\n").encode()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(content):
            entry = zipfile.ZipInfo(path, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, whatever the controller is
            archive.writestr(entry, content[path])
    return stream.getvalue()


def collection_version(root: str) -> str:
    """The collection's version: MANIFEST.json of an installed one, galaxy.yml of a checkout; "unknown" without both."""
    try:
        with open(os.path.join(root, "MANIFEST.json"), encoding="utf-8") as stream:
            return str(json.load(stream)["collection_info"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        with open(os.path.join(root, "galaxy.yml"), encoding="utf-8") as stream:
            found = re.search(r"^version:\s*[\"']?([0-9A-Za-z.+-]+)", stream.read(), re.MULTILINE)
            return found.group(1) if found else "unknown"
    except OSError:
        return "unknown"


def version_of(path: str) -> Optional[str]:
    """The version of an application that lies there; None when there is none or it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("VERSION").decode("utf-8", "replace").strip()
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def wrapper(interpreter: str, place: str = PLACE) -> str:
    """The program that people and agents call. -I: nothing of the caller's environment or directory gets in."""
    return "#!/bin/sh\nexec %s -I %s \"$@\"\n" % (interpreter, place)
