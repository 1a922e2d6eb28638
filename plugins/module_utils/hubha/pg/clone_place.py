# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a base backup is put: a directory beside the data directory, and into its place by a rename.

Beside them lie a lock, a marker that says that the copy is whole, and a file that tells how far it is.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import shutil
import time
from typing import Any, Callable, Dict, Optional, Tuple

from ..core.files import fsync_path, nearest_existing, read_json, read_text, tree_size, write_json
from . import clone as model
from .client import Postgres, PostgresError, end_processes, processes_copying
from .server import postmaster_pid, processes_on


def server_on(data_dir: str) -> Optional[int]:
    """Pid of a server on *data_dir*, whatever its pid file says; None when there is none."""
    return postmaster_pid(data_dir) or next(iter(processes_on(data_dir)), None)


class Place:
    """The data directory, and the clone beside it.

    postgres: its owner and group. progress_file: None for one beside it. dry_run: no progress is written. statvfs:
    path -> os.statvfs_result. Everything raises PostgresError, OSError.
    """

    def __init__(self, postgres: Postgres, data_dir: str, progress_file: Optional[str] = None, dry_run: bool = False,
                 statvfs: Callable[[str], Any] = os.statvfs) -> None:
        self.postgres = postgres
        self.data_dir = os.path.realpath(data_dir)
        self.paths = model.paths(self.data_dir)
        self.progress_file = progress_file or self.paths["progress"]
        self.dry_run = dry_run
        self.statvfs = statvfs
        self.meter = model.Meter(time.monotonic)
        self._lock: Optional[int] = None

    # -- one at a time -------------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether this run has the lock."""
        return self._lock is not None

    def lock(self, wait: float) -> None:
        """Waits until no other run works here; raises PostgresError('locked') after *wait* seconds."""
        handle = os.open(self.paths["lock"], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(handle, wait)
            os.ftruncate(handle, 0)
            os.pwrite(handle, ("%d\n" % os.getpid()).encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        self._lock = handle

    def _wait_for(self, handle: int, wait: float) -> None:
        """Locks *handle*, see lock()."""
        deadline = time.monotonic() + wait
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if not told:
                told = True
                # Who watches us sees the holder's progress when it writes to the same file, else that we wait.
                working = (read_json(self.progress_file) or {}).get("pid")
                if not working or not os.path.exists("/proc/%s" % working):
                    self.show("waiting")
            if time.monotonic() >= deadline:
                holder = (read_text(self.paths["lock"]) or "").strip() or "unknown"
                raise PostgresError(
                    "locked", "Another base backup (pid %s) works on %s and was not done after %d s. Its progress is "
                    "in %s. Wait for it and run again, or raise wait_lock." % (
                        holder, self.data_dir, wait, self.progress_file))
            time.sleep(0.2)

    def unlock(self) -> None:
        """Gives the lock back, if this run has it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- what is told --------------------------------------------------------------------------------------------

    def show(self, phase: Optional[str] = None) -> None:
        """Writes the progress file; that nobody can read the progress must not stop a copy."""
        if phase:
            self.meter.phase(phase)
        if self.dry_run:
            return
        try:
            write_json(self.progress_file, dict(self.meter.state, pid=os.getpid(), time=time.time(),
                                                data_dir=self.data_dir))
        except OSError:
            pass

    # -- what fits -----------------------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        """Bytes that can be used on the filesystem of the clone; what a leftover takes counts as free."""
        status = self.statvfs(nearest_existing(self.paths["parent"]))
        return int(status.f_bavail * status.f_frsize) + tree_size(self.paths["clone"])

    def check_space(self, size: int) -> None:
        """Raises PostgresError when *size* bytes do not fit."""
        problem = model.space_problem(size, self.free_bytes(), self.paths["parent"])
        if problem:
            raise PostgresError("space", problem, needed=model.space_needed(size))

    def check(self, has_owner: bool) -> None:
        """Raises PostgresError when the directory cannot be swapped by a rename. has_owner: there is such a user."""
        if os.path.ismount(self.data_dir):
            raise PostgresError("mount", "%s is a mount point and cannot be swapped by a rename: mount the filesystem "
                                "on its parent directory, and use a directory below." % self.data_dir)
        above = nearest_existing(self.paths["parent"])
        if has_owner and not self.postgres.owner_can("-x", above):
            raise PostgresError("path", "%s cannot pass the directory %s: check the modes of it and all above it."
                                % (self.postgres.owner, above))

    # -- directories ---------------------------------------------------------------------------------------------

    def ids(self) -> Tuple[int, int]:
        """uid and gid of the clone."""
        entry, group = pwd.getpwnam(self.postgres.owner or ""), self.postgres.group
        return entry.pw_uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid

    def make_parent(self) -> None:
        """The directory above the data directory, the owner's."""
        if not os.path.isdir(self.paths["parent"]):
            os.makedirs(self.paths["parent"], 0o755)
            os.chown(self.paths["parent"], *self.ids())

    def fresh_clone(self) -> None:
        """An empty clone directory of the owner, and no marker of an earlier clone."""
        if os.path.lexists(self.paths["marker"]):
            os.unlink(self.paths["marker"])
        self.drop_clone()
        os.mkdir(self.paths["clone"], 0o700)
        os.chown(self.paths["clone"], *self.ids())

    def drop_clone(self) -> None:
        """Removes what a cut-off run left, and first the copy that may still write into it."""
        clone = self.paths["clone"]
        left = end_processes(processes_copying(clone))
        if left:
            raise PostgresError("orphan", "pg_basebackup of an earlier run (pid %s) still writes into %s and cannot be "
                                "ended: end it by hand and run again." % (", ".join(map(str, left)), clone))
        if os.path.lexists(clone):
            shutil.rmtree(clone)

    def make_signal(self, folder: str) -> None:
        """standby.signal in *folder*."""
        handle = os.open(os.path.join(folder, "standby.signal"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchown(handle, *self.ids())
        os.fsync(handle)
        os.close(handle)
        fsync_path(folder)

    # -- the marker of a whole clone, and the swap ---------------------------------------------------------------

    def marker(self) -> Optional[Dict[str, Any]]:
        """What the marker says; None when there is none."""
        return read_json(self.paths["marker"])

    def mark(self, marker: Dict[str, Any]) -> None:
        """Writes the marker."""
        write_json(self.paths["marker"], marker, sync=True)

    def complete(self) -> None:
        """Makes the copy in the clone directory a standby's, safe on the disk."""
        clone = self.paths["clone"]
        self.make_signal(clone)
        if os.path.lexists(os.path.join(clone, "postmaster.pid")):
            os.unlink(os.path.join(clone, "postmaster.pid"))
        os.chown(clone, *self.ids())
        fsync_path(clone)

    def swap(self, keep_old: bool) -> Optional[str]:
        """Puts the clone in place; returns where the old directory is kept, None when there was none or it went."""
        clone, target, old = self.paths["clone"], self.data_dir, None
        self.show("swap")
        if os.path.lexists(target):
            # Looked at again right before the rename: the copy may have taken hours.
            pid = server_on(target)
            if pid:
                raise PostgresError("running", "A PostgreSQL server (pid %s) was started on %s during the copy: stop "
                                    "it and run again." % (pid, target))
            if os.listdir(target):
                old = "%s.before-%s" % (target, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
                if os.path.lexists(old):
                    old += "-%d" % os.getpid()
                os.rename(target, old)
            else:
                os.rmdir(target)
        try:
            os.rename(clone, target)
        except OSError:
            if old:
                os.rename(old, target)
            raise
        fsync_path(self.paths["parent"])
        self.mark(dict(self.marker() or {}, state="done", old_data_dir=old))
        if old and not keep_old:
            shutil.rmtree(old)
            old = None
        return old
