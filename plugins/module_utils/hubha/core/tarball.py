# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory as one compressed archive on disk, and back: in blocks, so that size does not matter. See archive.py."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from typing import IO, Callable, Dict, Optional, Union

from .run import HubError

BLOCK = 1 << 20
Done = Callable[[int], None]  # is given the bytes so far


class Digesting:
    """A file on which is written or read, with its digest and a call for each block. done: see Done."""

    def __init__(self, handle: IO[bytes], done: Optional[Done] = None) -> None:
        self.handle, self.done = handle, done
        self.digest, self.bytes = hashlib.sha256(), 0

    def passed(self, data: bytes) -> bytes:
        """Counts one block, and returns it."""
        self.digest.update(data)
        self.bytes += len(data)
        if self.done:
            self.done(self.bytes)
        return data

    def write(self, data: bytes) -> int:
        """See io.RawIOBase."""
        self.handle.write(self.passed(data))
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """See io.RawIOBase."""
        return self.passed(self.handle.read(size))

    def flush(self) -> None:
        """See io.RawIOBase."""
        self.handle.flush()


class Counting:
    """A file that is read, with a call for each block. count: is given the bytes of the block."""

    def __init__(self, handle: IO[bytes], count: Done) -> None:
        self.handle, self.count = handle, count

    def read(self, size: int = -1) -> bytes:
        """See io.RawIOBase."""
        data = self.handle.read(size)
        self.count(len(data))
        return data


def pack(folder: str, path: str, done: Done) -> Dict[str, Union[str, int]]:
    """Make the archive *path* of all that is below *folder*: {"name", "bytes", "sha256"} of it. Raises OSError.

    done: is given the bytes of the files that are in it so far.
    """
    so_far = 0

    def count(size: int) -> None:
        nonlocal so_far
        so_far += size
        done(so_far)

    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
        target = Digesting(raw)
        # The quickest level: a database's pages shrink to a fraction already.
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0, filename="") as packed:
            with tarfile.open(fileobj=packed, mode="w|", bufsize=BLOCK) as archive:
                for root, folders, files in os.walk(folder):
                    folders.sort()
                    for name in [""] + sorted(files):
                        place = os.path.join(root, name) if name else root
                        entry = archive.gettarinfo(place, os.path.relpath(place, folder))
                        entry.uid = entry.gid = 0
                        entry.uname = entry.gname = ""
                        if entry.isfile():
                            with open(place, "rb") as handle:
                                archive.addfile(entry, Counting(handle, count))
                        else:
                            archive.addfile(entry)
        raw.flush()
        os.fsync(raw.fileno())
    return {"name": os.path.basename(path), "bytes": target.bytes, "sha256": target.digest.hexdigest()}


def unpack(path: str, folder: str, uid: int, gid: int, done: Done) -> str:
    """Fill the empty directory *folder* from the archive *path*; returns the archive's digest.

    done: is given the bytes of the archive that are read so far. Raises HubError for an archive that is damaged or
    leads outside.
    """
    with open(path, "rb") as raw:
        source = Digesting(raw, done)
        try:
            with gzip.GzipFile(fileobj=source, mode="rb") as plain, \
                    tarfile.open(fileobj=plain, mode="r|", bufsize=BLOCK) as archive:
                for entry in archive:
                    name = os.path.normpath(entry.name)
                    if os.path.isabs(name) or name.split(os.sep)[0] == ".." or not (entry.isdir() or entry.isreg()):
                        raise HubError("%s holds what does not belong there: %s" % (path, entry.name))
                    place = os.path.join(folder, name) if name != "." else folder
                    if entry.isdir():
                        if place != folder:
                            os.mkdir(place, 0o700)
                    else:
                        write_member(archive, entry, place)
                    os.chown(place, uid, gid)
                plain.read()  # what follows the end of the archive counts for gzip's own checksum
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise HubError("%s is damaged: %s" % (path, error))
        except OSError as error:
            raise HubError("%s could not be unpacked into %s: %s" % (path, folder, error))
        while source.read(BLOCK):
            pass  # all of it counts for the digest
    return source.digest.hexdigest()


def write_member(archive: tarfile.TarFile, entry: tarfile.TarInfo, place: str) -> None:
    """Make the file *place* of one member. Raises OSError when there is one already."""
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        content = archive.extractfile(entry)
        while content:
            data = content.read(BLOCK)
            if not data:
                break
            target.write(data)
