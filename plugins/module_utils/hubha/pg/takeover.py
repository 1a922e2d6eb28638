# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One database takes over from the other without losing a row: the primary stops, its standby replays and is promoted.

Whoever else starts and stops the two servers, as pacemaker does, must have its hands off both meanwhile.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Callable, Optional

from ..core.run import CommandError, Completed
from .client import Postgres, PostgresError, passes
from .lsn import lsn_to_int
from .server import postmaster_pid, server_address


@dataclass(frozen=True)
class Stopped:
    """A primary that was stopped. lsn: its last record, the checkpoint of the shutdown; None in a dry run."""

    changed: bool
    lsn: Optional[str]


@dataclass(frozen=True)
class Promoted:
    """A standby that was promoted. replayed: up to where it had replayed; None when it was not promoted."""

    changed: bool
    replayed: Optional[str]


class Takeover:
    """The part of one server in it.

    postgres: its programs and its owner. data_dir: where it lies. unit: the unit under which it runs; without one
    pg_ctl starts and stops it. timeout: seconds for each step. dry_run: tells the change and makes none. pid:
    data_dir -> the server's process id or None. sleep: seconds ->. clock: -> seconds.
    """

    def __init__(self, postgres: Postgres, data_dir: str, unit: Optional[str] = None, timeout: int = 60,
                 dry_run: bool = False, pid: Callable[[str], Optional[int]] = postmaster_pid,
                 sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic) -> None:
        self.postgres = postgres
        self.data_dir = data_dir
        self.unit = unit
        self.timeout = timeout
        self.dry_run = dry_run
        self.pid, self.sleep, self.clock = pid, sleep, clock

    def stop(self) -> Stopped:
        """Shuts a primary down cleanly: it ends only when the standbys that stream have everything.

        Raises PostgresError of kind standby, and crashed when it did not end cleanly; HubError.
        """
        changed = self.runs()
        if changed:
            if self.in_recovery():
                raise PostgresError("standby", "PostgreSQL on %s is a standby: there is nothing to hand over."
                                    % self.data_dir)
            if self.dry_run:
                return Stopped(True, None)
            self._sql("CHECKPOINT", self.timeout)  # so that the shutdown is short
            if self.unit:
                self.postgres.run(["systemctl", "stop", self.unit], timeout=self.timeout)
            else:
                self._pg_ctl("-m", "fast", "stop")
        control = self.postgres.controldata(self.data_dir)
        if control["state"] != "shut down":
            raise PostgresError("crashed", "PostgreSQL on %s did not end cleanly (%s): nobody knows whether a standby "
                                "has everything. Start it again where it is." % (self.data_dir, control["state"]))
        return Stopped(changed, control["checkpoint_lsn"])

    def down(self) -> bool:
        """Shuts down whatever runs there; returns whether something did. Raises HubError."""
        changed = self.runs()
        if changed and not self.dry_run:
            try:
                self._pg_ctl("-m", "fast", "stop")
            except CommandError:
                if self.runs():
                    raise  # else it has ended by itself meanwhile
        return changed

    def promote(self, after: Optional[str] = None) -> Promoted:
        """Promotes a standby once it has replayed the record at *after*.

        A standby that does not run is started first, when it has a unit. Raises PostgresError of kind stopped, and
        behind when the record does not come; HubError.
        """
        if not self.runs():
            if not (self.unit and os.path.exists(self.data_dir + "/standby.signal")):
                raise PostgresError("stopped", "PostgreSQL does not run on %s: start it as the standby that it is."
                                    % self.data_dir)
            if self.dry_run:
                return Promoted(True, None)
            self.start()
        changed = self.in_recovery()
        if not changed or self.dry_run:
            return Promoted(changed, None)
        return Promoted(True, self.promote_running(after))

    def promote_running(self, after: Optional[str] = None) -> str:
        """promote() of what is known to be a standby that runs; returns up to where it had replayed."""
        replayed = self._replayed(after)
        self._pg_ctl("promote")
        return replayed

    def start(self, log: Optional[str] = None) -> None:
        """Starts it, and waits until it answers; an end that is under way is waited for. Raises HubError.

        log: file to which a server without a unit writes; only with a unit it may be left out.
        """
        if self.unit:
            self.postgres.run(["systemctl", "start", self.unit], timeout=self.timeout)
        else:
            if log is None:
                raise ValueError("a server without a unit needs a log")
            self._pg_ctl("-m", "fast", "-l", log, "restart" if self.runs() else "start")
        deadline = self.clock() + self.timeout
        while True:
            try:
                self._sql("SELECT 1")
                return
            except CommandError as error:
                if self.clock() >= deadline or not passes(self.postgres.run, self.postgres.bin_dir, error.message,
                                                          **server_address(self.data_dir)):
                    raise
            self.sleep(0.1)

    def in_recovery(self) -> bool:
        """Whether a server that runs is a standby. Raises HubError."""
        return self._sql("SELECT pg_is_in_recovery()") != "f"

    def runs(self) -> bool:
        """Whether a server runs there. A pid file that a power cut left behind is none."""
        return self.pid(self.data_dir) is not None

    def _replayed(self, after: Optional[str]) -> str:
        """Waits for the wanted record; returns how far the standby is. Raises HubError when it does not come."""
        wanted = lsn_to_int(after)
        deadline = self.clock() + self.timeout
        while True:
            now = self._sql("SELECT pg_last_wal_replay_lsn()")
            # The position is the end of the last record replayed, so it lies behind the start of the one wanted.
            if wanted is None or (lsn_to_int(now) or 0) > wanted:
                return now
            if self.clock() >= deadline:
                raise PostgresError("behind", "The standby has replayed up to %s, and the former primary's last record "
                                    "is at %s: it is not promoted, because rows would be lost." % (now, after))
            self.sleep(0.05)

    def _pg_ctl(self, *words: str) -> Completed:
        """Runs pg_ctl as the owner."""
        argv = [self.postgres.program("pg_ctl"), "-D", self.data_dir, "-w", "-t", str(self.timeout)]
        # It has its time twice for a restart.
        return self.postgres.run(self.postgres.as_owner(argv + list(words)), timeout=2 * self.timeout + 10)

    def _sql(self, query: str, timeout: float = 30) -> str:
        """One value; timeout: seconds."""
        return self.postgres.sql(query, timeout=timeout, **server_address(self.data_dir)).strip()
