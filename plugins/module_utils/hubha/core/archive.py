# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files as one text on their way from host to host through Ansible: a compressed tar archive in base64.

An *entry* is (mode, bytes or None, link target or None); with neither bytes nor target it is a directory.
"""

from __future__ import annotations

import base64
import gzip
import io
import os
import tarfile
import zlib

from .run import HubError


def pack(files, owners=None):
    """The text of {relative path: entry}; the same files give the same text. owners: {path: (user, group)}."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:") as archive:
        for name in sorted(files):
            mode, data, target = files[name]
            member = tarfile.TarInfo(name)
            member.mode = mode
            member.uname, member.gname = (owners or {}).get(name, ("", ""))
            if target is None and data is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif target is not None:
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return base64.b64encode(gzip.compress(stream.getvalue(), 6, mtime=0)).decode("ascii")


def unpack(text, belongs):
    """{relative path: entry} out of the text; raises HubError for a damaged one and for paths that lead outside.

    belongs: callable relative path -> whether such a file may be in it.
    """
    found = {}
    try:
        # gzip's checksum first: tarfile takes a damaged header for the end, and the rest would be missing unnoticed
        plain = gzip.decompress(base64.b64decode(text))
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                name = os.path.normpath(member.name)
                if os.path.isabs(name) or name.split(os.sep)[0] == ".." or not belongs(name):
                    raise HubError("the archive holds a file that does not belong there: %s" % member.name)
                if member.issym():
                    found[name] = (0o777, None, member.linkname)
                elif member.type == tarfile.REGTYPE and not member.issparse():  # faster than extractfile()
                    data = plain[member.offset_data:member.offset_data + member.size]
                    found[name] = (member.mode & 0o7777, data, None)
                elif member.isfile() or member.islnk():  # of two hard links tar may store the second as a link
                    found[name] = (member.mode & 0o7777, archive.extractfile(member).read(), None)
    except (tarfile.TarError, zlib.error, ValueError, KeyError, EOFError, OSError) as error:
        raise HubError("the archive from the other hub cannot be read: %s" % error)
    for name in found:
        parts = name.split(os.sep)
        if any(os.sep.join(parts[:count]) in found for count in range(1, len(parts))):
            raise HubError("the archive holds a file that does not belong there: %s lies below a link or file" % name)
    return found


def owners(text):
    """{relative path: (user, group, mode of a directory or None)} of all in the text, which unpack() has taken."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(base64.b64decode(text))), mode="r:") as archive:
        return dict((os.path.normpath(member.name),
                     (member.uname, member.gname, member.mode & 0o7777 if member.isdir() else None))
                    for member in archive)
