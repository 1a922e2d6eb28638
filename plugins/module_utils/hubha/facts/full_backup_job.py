# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What making a full backup and putting one back have in common: space, progress, and the check of the copy."""

from __future__ import annotations

import os
import time
from typing import Callable, Optional

from ..core.files import write_json
from ..pg.client import Postgres, PostgresError
from ..pg.clone import Meter, space_needed

EVERY = 0.5  # seconds between two notes of a job's progress


def space_for(size: int) -> int:
    """Bytes that a backup of a database of *size* bytes needs while it is made: a copy, and the archive of it."""
    return space_needed(size) + size


class Progress:
    """The progress file of a job; that nobody can read the progress must not stop the job."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock, self.written = path, clock, 0.0
        self.meter = Meter(clock)

    def show(self, phase: Optional[str] = None, done: Optional[int] = None, total: Optional[int] = None) -> None:
        """Notes it: a new phase at once, else now and then. done, total: bytes."""
        now = self.clock()
        if phase:
            self.meter.phase(phase)
        elif now - self.written < EVERY:
            return
        if done is not None:
            self.meter.state.update(bytes_done=done, bytes_total=total)
        self.written = now
        try:
            write_json(self.path, dict(self.meter.state, pid=os.getpid(), time=time.time()))
        except OSError:
            pass


def verify(postgres: Postgres, folder: str, timeout: float) -> bool:
    """pg_verifybackup of a plain copy; returns whether it could read the WAL too. Raises PostgresError('altered')."""
    program = postgres.program("pg_verifybackup")
    wal = os.path.exists(os.path.join(os.path.dirname(program), "pg_waldump"))
    done = postgres.run([program, "-q"] + ([] if wal else ["-n"]) + [folder], check=False, timeout=timeout)
    if done.rc != 0:
        raise PostgresError("altered", "pg_verifybackup refuses the copy of the database: %s"
                            % "; ".join((done.err or done.out).strip().splitlines()[:5]))
    return wal
