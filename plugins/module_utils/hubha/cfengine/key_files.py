# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and writes a directory of CFEngine's public keys (ppkeys). localhost.* is a host's own and no part of it."""

from __future__ import annotations

import os
import stat
from typing import Collection, Dict, List, Mapping, Optional, Tuple

from ..core.run import HubError
from . import keys as keys_model
from .keys import Key, KeyProblem


def names(folder: str) -> List[str]:
    """Sorted names of the files of public keys, good or not. Raises HubError when there is no such directory."""
    try:
        found = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise HubError("%s is no directory on this host: install CFEngine first, or correct the path" % folder)
    return sorted(name for name in found if name.endswith(".pub") and not name.startswith("localhost."))


def read_file(path: str) -> Tuple[bytes, bool]:
    """(bytes, safe) of a file; safe: nobody but root can write to it. Raises KeyProblem, FileNotFoundError.

    A pipe is not waited for, and of a large file only as much is read as tells that it is no key.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyProblem("it cannot be read: %s" % error.strerror)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise KeyProblem("it is no file")
        return os.read(handle, keys_model.SIZE_LIMIT + 1), info.st_uid == 0 and not info.st_mode & 0o022
    finally:
        os.close(handle)


def read(folder: str) -> Tuple[Dict[str, Key], Dict[str, str]]:
    """({file name: Key}, {file name: why it is none}) of the directory. Raises HubError."""
    keys: Dict[str, Key] = {}
    skipped: Dict[str, str] = {}
    for name in names(folder):
        try:
            keys[name] = keys_model.check_file(name, read_file(os.path.join(folder, name))[0])
        except FileNotFoundError:
            if os.path.islink(os.path.join(folder, name)):
                skipped[name] = "it is a link to nothing"
        except KeyProblem as problem:
            skipped[name] = str(problem)
    return keys, skipped


def held(folder: str) -> Dict[str, Optional[Key]]:
    """{file name: Key, or None where none is inside}, whatever the names say. Raises HubError."""
    found: Dict[str, Optional[Key]] = {}
    for name in names(folder):
        try:
            found[name] = keys_model.parse(read_file(os.path.join(folder, name))[0])
        except (FileNotFoundError, KeyProblem):
            found[name] = None
    return found


def own(folder: str) -> Optional[Key]:
    """The host's own Key, None when it has none yet. Raises HubError when it is damaged."""
    path = os.path.join(folder, "localhost.pub")
    try:
        return keys_model.parse(read_file(path)[0])
    except FileNotFoundError:
        return None
    except KeyProblem as problem:
        raise HubError("%s is not this host's public key: %s" % (path, problem))


def state(folder: str, name: str, wanted: Key, there: Collection[str]) -> str:
    """"added", "present" or "rewritten": what has to be done to trust the *wanted* Key. Raises KeyProblem.

    there: the names of the directory's files.
    """
    if name not in there:
        return "added"
    try:
        return keys_model.judge(wanted, *read_file(os.path.join(folder, name)))
    except FileNotFoundError:
        return "added"


def write(folder: str, keys: Mapping[str, Key]) -> None:
    """Trust the keys ({file name: Key}), each in one step.

    A link, or a file with other hard links, gets a file of its own.
    One temporary name for all of them: with thousands, making up names would take longer than writing the files.
    """
    temporary = ".hub_ha.%s" % os.urandom(8).hex()
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, key in keys.items():
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
            try:
                with os.fdopen(handle, "wb") as stream:
                    os.fchown(handle, 0, 0)
                    stream.write(keys_model.pem(key))
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                os.unlink(temporary, dir_fd=directory)
                raise
    finally:
        os.close(directory)


def remove(folder: str, name: str) -> None:
    """Take a file away; one that is gone already is no error."""
    try:
        os.unlink(os.path.join(folder, name))
    except FileNotFoundError:
        pass
