# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a new data directory, whole or not at all: beside its place, and into it by a rename."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

from ..core.files import fsync_path
from ..core.run import CommandError, HubError
from .client import Postgres
from .quote import identifier


@dataclass(frozen=True)
class Wanted:
    """The database that there is to be.

    owner: OS user that owns it, and its first superuser. group: of the directory, None for the user's own. superusers:
    further ones that may log in. databases: empty ones to make, the owner's.
    """

    owner: str
    group: Optional[str] = None
    encoding: str = "SQL_ASCII"
    locale: str = "C"
    superusers: Sequence[str] = ("root",)
    databases: Sequence[str] = ()


def statements(wanted: Wanted) -> str:
    """SQL for a server in single-user mode, one statement a line (pure)."""
    lines = ["CREATE ROLE %s SUPERUSER LOGIN;" % identifier(name) for name in wanted.superusers if name != wanted.owner]
    lines += ["CREATE DATABASE %s OWNER %s TEMPLATE template0;" % (identifier(name), identifier(wanted.owner))
              for name in wanted.databases]
    return "".join(line + "\n" for line in lines)


def state_of(path: str) -> str:
    """"database", "other" (files that are none) or "absent" (no directory, or an empty one)."""
    if os.path.exists(os.path.join(path, "PG_VERSION")):
        return "database"
    return "other" if os.path.isdir(path) and os.listdir(path) or os.path.isfile(path) else "absent"


class Initdb:
    """The data directory at *data_dir* (a symbolic link is followed). Raises HubError, OSError.

    postgres: its programs, with owner and group as in *wanted*.
    """

    def __init__(self, postgres: Postgres, data_dir: str, wanted: Wanted) -> None:
        self.postgres = postgres
        self.wanted = wanted
        self.data_dir = os.path.realpath(data_dir)
        hidden = os.path.join(os.path.dirname(self.data_dir), "." + os.path.basename(self.data_dir))
        self.beside = hidden + ".new"
        self.lock = hidden + ".new.lock"

    def needed(self) -> bool:
        """Whether there is no database; raises HubError for what is in its way."""
        state = state_of(self.data_dir)
        if state == "other":
            raise HubError("%s holds files that are no database: move them away." % self.data_dir)
        if state == "absent" and os.path.ismount(self.data_dir):
            raise HubError("%s is a mount point, and nothing can be put in its place by a rename: mount the file "
                           "system on its parent directory." % self.data_dir)
        return state == "absent"

    def make(self) -> None:
        """initdb, roles, databases, rename; nothing when another run has made it meanwhile."""
        with self._alone():
            if self.needed():
                self._prepare()
                self._fill()
                if os.path.isdir(self.data_dir):
                    os.rmdir(self.data_dir)
                os.rename(self.beside, self.data_dir)
                fsync_path(os.path.dirname(self.data_dir))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """A lock against a run whose controller has gone and that still works."""
        with open(self.lock, "w", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        """An empty directory of the owner's; what a run that was cut off has left goes."""
        if os.path.lexists(self.beside):
            shutil.rmtree(self.beside)
        os.mkdir(self.beside, 0o700)
        try:
            entry = pwd.getpwnam(self.wanted.owner)
            group = grp.getgrnam(self.wanted.group).gr_gid if self.wanted.group else entry.pw_gid
        except KeyError as error:
            raise HubError("There is no such user or group: %s." % error)
        os.chown(self.beside, entry.pw_uid, group)

    def _fill(self) -> None:
        """Makes the database in it, with its roles and databases. No server is started."""
        postgres, wanted = self.postgres, self.wanted
        postgres.run(postgres.as_owner([
            postgres.program("initdb"), "-D", self.beside, "--username=" + wanted.owner,
            "--encoding=" + wanted.encoding, "--locale=" + wanted.locale, "--data-checksums",
            "--auth-local=peer", "--auth-host=scram-sha-256"]), timeout=300)
        single = postgres.as_owner([postgres.program("postgres"), "--single", "-D", self.beside,
                                    "-c", "exit_on_error=on", "postgres"])
        try:
            postgres.run(single, stdin=statements(wanted), timeout=300)
        except CommandError as error:
            raise HubError("Roles and databases cannot be made: %s"
                           % (error.completed.err or error.completed.out).strip())
