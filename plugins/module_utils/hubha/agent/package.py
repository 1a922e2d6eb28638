# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha await-package: while the hub's package is installed, its scripts have the database, and pacemaker waits.

They stop PostgreSQL, start it for themselves and stop it again. Whoever starts it in between makes them fail half-way,
and the package stays broken. Pacemaker plans nothing new while an operation is under way, so a hub that is not alone
waits for moments, and only while the other one is the primary; then it is tried again.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Optional, Sequence

from ..core import say
from . import guard_state
from .alone import peer_away
from .leave import REFUSED, ask_peer, this_pair

# Files that a package manager keeps locked while it is at work: dpkg, apt, rpm (before and since Fedora 36).
LOCKS = ("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock",
         "/usr/lib/sysimage/rpm/.rpm.lock")
TABLE = "/proc/locks"
OLD = 3600.0  # seconds; a mark that an installation of before has left
PERIOD = 0.5  # seconds between two looks
MISSES = 2    # looks one after the other in which the other hub was no primary
# Seconds. A monitor holds up all that comes after it; after 15 the guard asks why the database is gone (belief.MISSED).
MONITOR = 8.0
START = 5.0   # seconds; a start that is refused is tried again when its failure has expired
USUALLY = 120000.0  # milliseconds that an operation may take whose limit is not told


def at_work(mark: str, locks: Sequence[str] = LOCKS, table: str = TABLE,
            clock: Callable[[], float] = time.time) -> bool:
    """Whether the scripts of the hub's package run.

    mark: the file that they make first and remove last (UPGRADED_FROM_STATE.txt; packaging/common/cfengine-hub in the
    vendor's build scripts). An installation that failed leaves it, so a package manager must hold its lock too.
    """
    try:
        if clock() - os.stat(mark).st_mtime > OLD:
            return False
    except OSError:
        return False
    inodes = []
    for path in locks:
        try:
            # Without the device: on overlay and btrfs stat has another one than the table.
            inodes.append(":%d" % os.stat(path).st_ino)
        except OSError:
            pass
    with open(table, encoding="ascii") as stream:
        # 1: POSIX ADVISORY WRITE 713 fe:01:4567 0 EOF; who waits for a lock has "->" in its second column
        held = [words[5] for words in map(str.split, stream) if len(words) > 5 and words[3] == "WRITE"]
    return any(item.endswith(inode) for item in held for inode in inodes)


def limit(operation: str, lonely: bool, timeout: float) -> float:
    """Seconds that an operation waits. lonely: alone.peer_away. timeout: seconds that pacemaker gives the operation.

    What is left of a stop's time must do for its own kill, after half of it; a start's for the replay of WAL.
    """
    if operation == "start":
        return timeout / 2 if lonely else START
    return min(MONITOR, timeout / 4) if operation == "monitor" else timeout / 4


def wait(working: Callable[[], bool], seconds: float, served: Callable[[], bool],
         clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep) -> Optional[str]:
    """None as soon as the scripts have ended; else why it is not waited for any longer.

    served: whether the other hub is the primary, or this one has nobody to wait for it.
    """
    began, missed = clock(), 0
    while working():
        missed = 0 if served() else missed + 1
        if missed >= MISSES:
            return "the other hub is no primary"
        if clock() - began >= seconds:
            return "do not end in %.0f s" % seconds
        pause(PERIOD)
    return None


def main(argv: Sequence[str], _version: str) -> int:
    """hub-ha await-package OPERATION MARK: 0 when nobody is in the way, REFUSED when the scripts are still at work."""
    if len(argv) != 2:
        say.err("usage: hub-ha await-package OPERATION MARK")
        return 2
    operation, mark = argv
    if not at_work(mark):
        return 0
    pair = this_pair()
    lonely = peer_away(guard_state.read())
    if operation != "start" and not lonely and not os.path.exists(os.path.join(pair.data_dir, "standby.signal")):
        return 0
    say.err("hub-ha: the scripts of the hub's package have the database: %s waits for them" % operation)
    told = os.environ.get("OCF_RESKEY_CRM_meta_timeout", "")
    timeout = (float(told) if told.isdecimal() else USUALLY) / 1000
    why = wait(lambda: at_work(mark), limit(operation, lonely, timeout), lambda: lonely or ask_peer(pair).primary)
    if why is None:
        return 0
    # Pacemaker keeps 128 characters of it.
    say.err("ocf-exit-reason:the hub's package has the database (/var/log/CFEngine-Install.log): %s" % why)
    return REFUSED
