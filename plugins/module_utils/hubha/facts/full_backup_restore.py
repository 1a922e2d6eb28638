# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts the database of a full backup in place on a blank host."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional

from ..core import tarball
from ..core.files import fsync_path, read_text
from ..core.run import Runner
from ..pg import clone
from ..pg.client import Postgres, PostgresError, end_processes
from ..pg.server import processes_on
from . import backup_format, full_backup
from .backup_format import Manifest
from .full_backup_job import Progress, verify

# Of the private server: nobody reaches it, it archives nothing, and it takes WAL from nowhere but the copy itself. With
# restore_command and recovery.signal PostgreSQL ends recovery on a timeline of its own, so that what is written from
# now on is never taken for the old database's.
OPTIONS = {"listen_addresses": "", "ssl": "off", "archive_mode": "off", "logging_collector": "off",
           "hot_standby": "off", "restore_command": "false", "recovery_target_timeline": "latest"}


@dataclass(frozen=True)
class Order:
    """What is to be put where. path: the backup. owner, group: OS user and group of the database. timeout: seconds."""

    path: str
    data_dir: str
    bin_dir: str
    owner: str
    group: str
    progress_file: str
    timeout: int = 86400


@dataclass(frozen=True)
class Placed:
    """What was done, or would be. changed: False when that database is there already.

    system_identifier, bytes: of the database, None when the backup is not there to be read yet. timeline: on which it
    goes on, None when nothing was done. seconds: that it took, None when nothing was done.
    """

    changed: bool
    system_identifier: Optional[str] = None
    bytes: Optional[int] = None
    timeline: Optional[int] = None
    seconds: Optional[float] = None


def predict(order: Order) -> Placed:
    """What restore() would do; changes nothing. Raises HubError for a backup that cannot be used."""
    if not os.path.exists(order.path):
        return Placed(True)  # it will have come from the controller by then
    facts = usable(order.path)["postgres"]
    return Placed(True, facts["system_identifier"], facts["bytes"])


def restore(order: Order, run: Runner) -> Placed:
    """Puts it in place. An existing database is never touched. run: the runner. Raises HubError, OSError, KeyError."""
    return Job(order, run).run()


def usable(path: str) -> Manifest:
    """Manifest of the backup; raises PostgresError('incomplete') when it cannot be used."""
    backup = full_backup.judge(path)
    if not backup["complete"] or backup["manifest"] is None:
        raise PostgresError("incomplete", "%s cannot be used: %s" % (path, "; ".join(backup["problems"])))
    return backup["manifest"]


class Job:
    """One run of it."""

    def __init__(self, order: Order, run: Runner) -> None:
        self.order = order
        self.data_dir = os.path.realpath(order.data_dir)
        self.parent = os.path.dirname(self.data_dir)
        self.folder = os.path.join(self.parent, ".data.restore")
        self.log = os.path.join(self.parent, ".hub_ha_restore.log")
        self.postgres = Postgres(run, order.bin_dir, order.owner, order.group)
        self.progress = Progress(order.progress_file)

    def run(self) -> Placed:
        """See restore()."""
        manifest = usable(self.order.path)
        facts = manifest["postgres"]
        handle = os.open(os.path.join(self.parent, ".hub_ha_clone.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PostgresError("locked", "another run works on %s: wait for its end" % self.data_dir)
            if self.there(facts["system_identifier"]):
                return Placed(False, facts["system_identifier"], facts["bytes"],
                              self.postgres.controldata(self.data_dir)["timeline"])
            return self.place(manifest)
        finally:
            os.close(handle)

    def there(self, wanted: str) -> bool:
        """True when the data directory holds the backup's database; raises PostgresError when it holds another."""
        names = os.listdir(self.data_dir) if os.path.isdir(self.data_dir) else []
        if not names:
            return False
        found = self.postgres.controldata(self.data_dir)["system_identifier"] \
            if clone.looks_like_database(names) else "none"
        if found != wanted:
            raise PostgresError("foreign", "%s is not empty (database system %s) and is left alone: move it aside if "
                                "nothing of it is needed" % (self.data_dir, found))
        return True

    def place(self, manifest: Manifest) -> Placed:
        """Unpacks, checks, recovers, swaps in; a failure leaves nothing behind but the log of the server."""
        started = time.monotonic()
        facts = manifest["postgres"]
        uid, gid = pwd.getpwnam(self.order.owner).pw_uid, grp.getgrnam(self.order.group).gr_gid
        space = os.statvfs(self.parent)
        problem = clone.space_problem(facts["bytes"], space.f_bavail * space.f_frsize, self.parent)
        if problem:
            raise PostgresError("space", problem)
        self.clear()
        try:
            self.unpack(manifest, uid, gid)
            control = self.recover(uid, gid)
        except BaseException:
            if os.path.isdir(self.folder):
                end_processes(processes_on(self.folder))
                shutil.rmtree(self.folder)
            raise
        if os.path.isdir(self.data_dir):
            os.rmdir(self.data_dir)
        os.rename(self.folder, self.data_dir)
        fsync_path(self.parent)
        os.unlink(self.log)
        self.progress.show("done")
        return Placed(True, facts["system_identifier"], facts["bytes"], control["timeline"],
                      round(time.monotonic() - started, 3))

    def clear(self) -> None:
        """Removes what a run that was cut off has left, with its server."""
        if os.path.isdir(self.folder):
            left = end_processes(processes_on(self.folder))
            if left:
                raise PostgresError("orphan", "a server of an earlier run (pid %s) still works on %s and cannot be "
                                    "ended" % (", ".join(map(str, left)), self.folder))
            shutil.rmtree(self.folder)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def unpack(self, manifest: Manifest, uid: int, gid: int) -> None:
        """The copy as it was made, checked."""
        path = os.path.join(self.order.path, backup_format.DATABASE)
        entry = next(item for item in manifest["members"] if item["name"] == backup_format.DATABASE)
        os.mkdir(self.folder, 0o700)
        os.chown(self.folder, uid, gid)
        self.progress.show("unpacking", 0, entry["bytes"])
        digest = tarball.unpack(path, self.folder, uid, gid,
                                lambda done: self.progress.show(None, done, entry["bytes"]))
        if digest != entry["sha256"]:
            raise PostgresError("altered", "%s is not what was saved (its SHA-256 differs from the manifest's)" % path)
        self.progress.show("checking")
        verify(Postgres(self.postgres.run, self.order.bin_dir, "root"), self.folder, self.order.timeout)
        system = self.postgres.controldata(self.folder)["system_identifier"]
        if system != manifest["postgres"]["system_identifier"]:
            raise PostgresError("identity", "the database in %s is of system %s, and its manifest says %s" % (
                path, system, manifest["postgres"]["system_identifier"]))

    def recover(self, uid: int, gid: int) -> Dict[str, Any]:
        """Lets a private server replay the WAL; afterwards the copy is a database that was shut down.

        Returns what pg_controldata says of it then.
        """
        self.progress.show("recovery")
        for name in ("standby.signal", "backup_manifest"):
            if os.path.exists(os.path.join(self.folder, name)):
                os.unlink(os.path.join(self.folder, name))
        for path, flags in ((os.path.join(self.folder, "recovery.signal"), 0),
                            (self.log, os.O_EXCL | os.O_NOFOLLOW)):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
            os.fchown(handle, uid, gid)
            os.close(handle)
        limit = self.order.timeout + 60
        sockets = tempfile.mkdtemp(prefix="hub_ha.")
        try:
            os.chown(sockets, uid, gid)
            options = {**OPTIONS, "unix_socket_directories": sockets}
            words = " ".join("-c %s='%s'" % item for item in sorted(options.items()))
            ctl = [self.postgres.program("pg_ctl"), "-D", self.folder, "-w", "-s", "-t", str(self.order.timeout)]
            done = self.postgres.run(self.postgres.as_owner(ctl + ["-l", self.log, "-o", words, "start"]),
                                     check=False, timeout=limit)
            if done.rc != 0:
                raise self.failed(done.err)
            self.wait_for_the_end()
            self.postgres.run(self.postgres.as_owner(ctl + ["-m", "fast", "stop"]), timeout=limit)
        finally:
            shutil.rmtree(sockets)
        control: Dict[str, Any] = self.postgres.controldata(self.folder)
        if control["state"] != "shut down":
            raise PostgresError("recovery", "the database of the backup did not end recovery (%s)" % control["state"])
        return control

    def wait_for_the_end(self) -> None:
        """All WAL is replayed. pg_ctl does not wait for that: it ends as soon as recovery has begun."""
        deadline = time.monotonic() + self.order.timeout
        while self.postgres.controldata(self.folder)["state"] != "in production":
            if not processes_on(self.folder):
                raise self.failed("")
            if time.monotonic() > deadline:
                raise PostgresError("timeout", "the WAL was not replayed within %d s (hub_ha_clone_timeout)"
                                    % self.order.timeout)
            time.sleep(0.1)

    def failed(self, more: str) -> PostgresError:
        """The error of a server that has ended, with its last words."""
        return PostgresError("recovery", "the database of the backup does not start: %s" % "; ".join(
            ((read_text(self.log) or "") + more).strip().splitlines()[-5:]))
