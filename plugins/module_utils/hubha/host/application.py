# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application hub-ha and the program that runs it, in their places on a hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from typing import Optional

from ..core import application
from ..core.files import replace_file
from ..core.run import HubError


@dataclass(frozen=True)
class Places:
    """Paths of the application, alone in its directory, and of the program."""

    file: str = application.PLACE
    program: str = application.WRAPPER


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be.

    needed: the application itself has to be sent first. before, after: of the application, for a diff. program_before,
    program_after: texts of the program.
    """

    changed: bool
    needed: bool
    before: str
    after: str
    program_before: str
    program_after: str


def read(path: str) -> Optional[bytes]:
    """The file's bytes; None when it is not there."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def right(path: str, mode: int) -> bool:
    """True for a file of root with that mode."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, mode)


def digest(content: Optional[bytes]) -> str:
    """SHA-256, 64 digits; "" of nothing."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def described(version: Optional[str], sha256: str) -> str:
    """An application for a diff."""
    return "version %s\nsha256 %s\n" % (version, sha256) if sha256 else "absent\n"


def text(content: Optional[bytes]) -> str:
    """A program's text, as far as it is one."""
    return (content or b"").decode("utf-8", "replace")


def put(path: str, content: bytes, mode: int) -> None:
    """Replace a file of root in one step; its directory is made. A program that runs keeps what it has loaded."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    replace_file(path, content, mode)


def present(sha256: str, version: str, source: Optional[str] = None, check: bool = False,
            interpreter: str = sys.executable, places: Places = Places()) -> Outcome:
    """The application with that digest and the program are in their places. Raises HubError.

    source: where the application has been sent to; without it, one that is missing is only told as needed. check: only
    tell. interpreter: the Python that runs it.
    """
    now, program = read(places.file), read(places.program)
    before = described(application.version_of(places.file), digest(now))
    wanted = application.wrapper(interpreter, places.file).encode()
    file_right = digest(now) == sha256 and right(places.file, 0o644)
    program_right = program == wanted and right(places.program, 0o755)
    try:
        if not check and not file_right and source:
            content = read(source)
            if content is None or digest(content) != sha256:
                raise HubError("the application did not arrive whole: run this again")
            put(places.file, content, 0o644)
        if not check and not program_right and (file_right or source):
            put(places.program, wanted, 0o755)
    except OSError as error:
        raise HubError("%s cannot be put in place on this hub: %s" % (places.file, error)) from error
    return Outcome(not (file_right and program_right), not file_right and not check and not source,
                   before, described(version, sha256),
                   text(program) + "# with another mode or owner\n" * (program == wanted and not program_right), text(wanted))


def absent(check: bool = False, places: Places = Places()) -> Outcome:
    """Neither the application nor the program is there. check: only tell. Raises HubError."""
    now, program = read(places.file), read(places.program)
    before = described(application.version_of(places.file), digest(now))
    try:
        if program is not None and not check:
            os.unlink(places.program)
        if now is not None and not check:
            shutil.rmtree(os.path.dirname(places.file))
    except OSError as error:
        raise HubError("%s cannot be put in place on this hub: %s" % (places.file, error)) from error
    return Outcome(now is not None or program is not None, False, before, described(None, ""), text(program), "")
