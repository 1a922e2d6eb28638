# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files as one text on their way from host to host through Ansible: a compressed tar archive in base64.

An *entry* is (mode, bytes or None, link target or None); with neither bytes nor target it is a directory. What is too
large for memory goes through tarball.py.
"""

from __future__ import annotations

import base64
import gzip
import io
import os
import tarfile
import zlib
from typing import Callable, Dict, Mapping, Optional, Tuple

from .files import replace_file, replace_link
from .run import HubError

Entry = Tuple[int, Optional[bytes], Optional[str]]
Owner = Tuple[str, str]
LINK_MODE = 0o777


def read_entry(path: str, folders: bool = False) -> Optional[Entry]:
    """What lies at *path*; None where nothing does, or what is no file. folders: directories count too."""
    if os.path.islink(path):
        return LINK_MODE, None, os.readlink(path)
    if folders and os.path.isdir(path):
        return os.stat(path).st_mode & 0o7777, None, None
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as handle:
        return os.fstat(handle.fileno()).st_mode & 0o7777, handle.read(), None


def put_entry(path: str, entry: Entry, uid: int = 0, gid: int = 0, sync: bool = True) -> None:
    """Put one file or link in its place, in one step; a link keeps root as its owner. See replace_file."""
    mode, data, target = entry
    if target is not None:
        replace_link(path, target)
    elif data is not None:
        replace_file(path, data, mode, uid, gid, sync)
    else:
        raise ValueError("%s is a directory" % path)


def pack(files: Mapping[str, Entry], owners: Optional[Mapping[str, Owner]] = None) -> str:
    """The text of {relative path: entry}; the same files give the same text. owners: {path: (user, group)}."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:") as archive:
        for name in sorted(files):
            mode, data, target = files[name]
            member = tarfile.TarInfo(name)
            member.mode = mode
            member.uname, member.gname = (owners or {}).get(name, ("", ""))
            if target is not None:
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
            elif data is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return base64.b64encode(gzip.compress(stream.getvalue(), 6, mtime=0)).decode("ascii")


def unpack(text: str, belongs: Callable[[str], bool]) -> Dict[str, Entry]:
    """{relative path: entry} out of the text; raises HubError for a damaged one and for paths that lead outside.

    belongs: callable relative path -> whether such a file may be in it.
    """
    found: Dict[str, Entry] = {}
    try:
        # gzip's checksum first: tarfile takes a damaged header for the end, and the rest would be missing unnoticed
        plain = gzip.decompress(base64.b64decode(text))
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                name = os.path.normpath(member.name)
                if os.path.isabs(name) or name.split(os.sep)[0] == ".." or not belongs(name):
                    raise HubError("the archive holds a file that does not belong there: %s" % member.name)
                if member.issym():
                    found[name] = (LINK_MODE, None, member.linkname)
                elif member.type == tarfile.REGTYPE and not member.issparse():  # faster than extractfile()
                    data = plain[member.offset_data:member.offset_data + member.size]
                    found[name] = (member.mode & 0o7777, data, None)
                elif member.isfile() or member.islnk():  # of two hard links tar may store the second as a link
                    content = archive.extractfile(member)
                    found[name] = (member.mode & 0o7777, content.read() if content else b"", None)
    except (tarfile.TarError, zlib.error, ValueError, KeyError, EOFError, OSError) as error:
        raise HubError("the archive from the other hub cannot be read: %s" % error)
    for name in found:
        parts = name.split(os.sep)
        if any(os.sep.join(parts[:count]) in found for count in range(1, len(parts))):
            raise HubError("the archive holds a file that does not belong there: %s lies below a link or file" % name)
    return found


def owners(text: str) -> Dict[str, Tuple[str, str, Optional[int]]]:
    """{relative path: (user, group, mode of a directory or None)} of all in the text, which unpack() has taken."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(base64.b64decode(text))), mode="r:") as archive:
        return {os.path.normpath(member.name):
                (member.uname, member.gname, member.mode & 0o7777 if member.isdir() else None)
                for member in archive}
