# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the database's part of a full backup: a verified copy of a running server, packed into one archive."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ..core import tarball
from ..core.files import tree_size
from ..core.run import Runner
from ..core.text import first_version, human
from ..pg import clone
from ..pg.client import Postgres, PostgresError
from ..pg.lsn import lsn_to_int
from ..pg.server import server_address
from . import backup_format, full_backup
from .full_backup_job import Progress, space_for, verify

REPLAY_PATIENCE = 60  # seconds that a standby may need to catch up with what the primary had at the start


@dataclass(frozen=True)
class Order:
    """What is to be copied, and to where.

    directory: for backups. host: an address, or the directory of the socket. system_identifier: that the database must
    have. size: of the databases, in bytes. lsn: position in the WAL that must be in the copy. max_rate: as
    pg_basebackup takes it. run, fetched: see full_backup.mark(). timeout: seconds.
    """

    directory: str
    data_dir: str
    bin_dir: str
    host: str
    system_identifier: str
    size: int
    progress_file: str
    port: int = 5432
    user: str = "root"
    passfile: Optional[str] = None
    sslmode: Optional[str] = None
    sslrootcert: Optional[str] = None
    lsn: Optional[str] = None
    max_rate: Optional[str] = None
    run: Optional[str] = None
    fetched: bool = False
    timeout: int = 86400


@dataclass(frozen=True)
class Made:
    """The new backup, not sealed yet. member: the archive, for the manifest. bytes: of the copy before it was packed.

    wal_checked: pg_verifybackup could read the WAL too. start_lsn, end_lsn: of the WAL that belongs to the copy.
    """

    path: str
    member: Dict[str, Any]
    bytes: int
    wal_checked: bool
    seconds: float
    timeline: int
    start_lsn: str
    end_lsn: str
    server_version: Optional[str]
    system_identifier: str


def make(order: Order, run: Runner) -> Made:
    """Makes it; a run that fails leaves nothing of it. run: the runner.

    Raises HubError, OSError, ValueError, KeyError.
    """
    os.makedirs(order.directory, mode=0o700, exist_ok=True)
    space = os.statvfs(order.directory)
    needed = space_for(order.size)
    if space.f_bavail * space.f_frsize < needed:
        raise PostgresError("space", "up to %s are needed in %s while the backup is made; nothing was made"
                            % (human(needed), order.directory))
    job = Job(order, run)
    handle = full_backup.lock(order.directory)
    try:
        job.wait_for_replay()
        path = full_backup.new_directory(order.directory)
        try:
            return job.fill(path)
        except BaseException:
            shutil.rmtree(path)
            raise
    finally:
        os.close(handle)


class Job:
    """One run of it."""

    def __init__(self, order: Order, run: Runner) -> None:
        self.order, self.run_command = order, run
        # The directory is root's alone, so root does the work; the server asks for the role, not for the user.
        self.postgres = Postgres(run, order.bin_dir, "root")
        self.progress = Progress(order.progress_file)

    def conninfo(self) -> str:
        """Connection string; it names the passfile and never holds a password."""
        order = self.order
        return clone.conninfo([
            ("host", order.host), ("port", order.port), ("user", order.user), ("passfile", order.passfile),
            ("sslmode", order.sslmode), ("sslrootcert", order.sslrootcert), ("connect_timeout", 5),
            ("application_name", "hub_ha_full_backup")])

    def wait_for_replay(self) -> None:
        """A standby has what the primary had when the run began; raises PostgresError('replay')."""
        wanted = lsn_to_int(self.order.lsn)
        if wanted is None:
            return
        self.progress.show("replay")
        deadline = time.monotonic() + REPLAY_PATIENCE
        while True:
            answer = self.postgres.sql("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                                       "ELSE pg_current_wal_lsn() END", **server_address(self.order.data_dir)).strip()
            position = lsn_to_int(answer)
            if position is not None and position >= wanted:
                return
            if time.monotonic() > deadline:
                raise PostgresError("replay", "after %d s this hub has replayed up to %s only, and the active one was "
                                    "at %s when the run began: run again when it has caught up, or copy the active "
                                    "hub (hub_ha_full_backup_hub)" % (REPLAY_PATIENCE, answer, self.order.lsn))
            time.sleep(0.2)

    def fill(self, path: str) -> Made:
        """Fills the new directory *path*."""
        started = time.monotonic()
        full_backup.mark(path, self.order.run, self.order.fetched)
        folder = os.path.join(path, backup_format.COPY)
        self.copy(folder)
        control, wal = self.check(folder)
        with open(os.path.join(folder, "backup_manifest"), encoding="utf-8") as handle:
            ranges = json.load(handle)["WAL-Ranges"]
        size = tree_size(folder)
        self.progress.show("packing", 0, size)
        member = tarball.pack(folder, os.path.join(path, backup_format.DATABASE),
                              lambda done: self.progress.show(None, done, size))
        shutil.rmtree(folder)
        version = first_version(self.run_command([self.postgres.program("postgres"), "--version"]).out)
        self.progress.show("done")
        return Made(path=path, member=member, bytes=size, wal_checked=wal,
                    seconds=round(time.monotonic() - started, 3), timeline=int(ranges[-1]["Timeline"]),
                    start_lsn=ranges[0]["Start-LSN"], end_lsn=ranges[-1]["End-LSN"], server_version=version,
                    system_identifier=control["system_identifier"])

    def copy(self, folder: str) -> None:
        """Runs pg_basebackup; raises PostgresError."""
        order = self.order
        argv = [self.postgres.program("pg_basebackup"), "-D", folder, "-F", "plain", "-X", "stream",
                "--checkpoint=fast", "--manifest-checksums=SHA256", "--progress", "--verbose", "--no-password", "-d",
                self.conninfo()]
        if order.max_rate:
            argv.append("--max-rate=%s" % order.max_rate)
        self.progress.show("checkpoint")
        done = self.postgres.stream(argv, self.on_line, order.timeout)
        if done.rc != 0:
            kind, message = clone.classify(done.err, {
                "host": order.host, "port": order.port, "user": order.user, "slot": "(none)",
                "passfile": order.passfile or "(none given)", "sslrootcert": order.sslrootcert or "(none given)"})
            raise PostgresError(kind, "the database could not be copied. " + message, rc=done.rc,
                                stderr=done.err[-4000:])

    def on_line(self, line: str) -> None:
        """Takes one line of pg_basebackup's."""
        meter = self.progress.meter
        before = str(meter.state["phase"])
        if meter.line(line):
            now = str(meter.state["phase"])
            self.progress.show(now if now != before else None)

    def check(self, folder: str) -> Tuple[Dict[str, Any], bool]:
        """pg_verifybackup and the identity; returns (facts of pg_controldata, whether the WAL was read too)."""
        self.progress.show("checking")
        wal = verify(self.postgres, folder, self.order.timeout)
        control: Dict[str, Any] = self.postgres.controldata(folder)
        if control["system_identifier"] != self.order.system_identifier:
            raise PostgresError("identity", "the copy has the system identifier %s, expected is %s"
                                % (control["system_identifier"], self.order.system_identifier))
        return control, wal
