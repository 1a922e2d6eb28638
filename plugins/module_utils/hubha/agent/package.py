# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha await-package: while the hub's package is installed, its scripts have the database, and pacemaker waits.

They stop PostgreSQL, start it for themselves and stop it again. Whoever starts it in between makes them fail half-way,
and the package stays broken. Where another hub could take over nobody waits.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, List, Mapping, Optional, Sequence

from ..core import say
from . import status
from .guard_service import PEER_ABSENT
from .leave import REFUSED, taking, this_pair

# Files that a package manager keeps locked while it is at work: dpkg, apt, rpm (before and since Fedora 36).
LOCKS = ("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock",
         "/usr/lib/sysimage/rpm/.rpm.lock")
TABLE = "/proc/locks"
PERIOD = 0.5       # seconds between two looks
USUALLY = 30000.0  # milliseconds that an operation may take whose limit is not told


def at_work(mark: str, locks: Sequence[str] = LOCKS, table: str = TABLE) -> bool:
    """Whether the scripts of the hub's package run.

    mark: the file that they make first and remove last (UPGRADED_FROM_STATE.txt; packaging/common/cfengine-hub in the
    vendor's build scripts). An installation that failed leaves it, so a package manager must hold its lock too.
    """
    if not os.path.exists(mark):
        return False
    inodes = []
    for path in locks:
        try:
            inodes.append(":%d" % os.stat(path).st_ino)
        except OSError:
            pass
    with open(table, encoding="ascii") as stream:
        # 1: POSIX ADVISORY WRITE 713 fe:01:4567 0 EOF; who waits for a lock has "->" in its second column
        held = [words[5] for words in map(str.split, stream) if len(words) > 5 and words[3] == "WRITE"]
    return any(item.endswith(inode) for item in held for inode in inodes)


def alone(found: Mapping[str, Any]) -> bool:
    """Whether nobody could take over. found: what the guard says (status.read)."""
    absent = found.get("peer", {}).get("absent") if found.get("running") else None
    return absent is not None and absent >= PEER_ABSENT


def wait(working: Callable[[], bool], limit: float, serves: Callable[[], bool],
         clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep) -> Optional[str]:
    """None as soon as the scripts have ended; else why it is not waited for any longer.

    limit: seconds. serves: whether the other hub's server takes connections; when one that did does no more, pacemaker
    has other things to do than to wait for this hub.
    """
    began, served = clock(), False
    while working():
        now = serves()
        if served and not now:
            return "the other hub's PostgreSQL has ended meanwhile"
        served = now
        if clock() - began >= limit:
            return "they have not ended in %.0f s" % limit
        pause(PERIOD)
    return None


def main(argv: Sequence[str], _version: str) -> int:
    """hub-ha await-package OPERATION MARK"""
    operation, mark = argv
    if not at_work(mark):
        return 0
    pair = this_pair()
    standby = os.path.exists(os.path.join(pair.data_dir, "standby.signal"))
    if operation != "start" and not standby and not alone(status.read()):
        return 0
    said = "the scripts of the hub's package have the database"
    say.err("hub-ha: %s: %s waits for them" % (said, operation))
    limit = float(os.environ.get("OCF_RESKEY_CRM_meta_timeout") or USUALLY) / 1000 * 2 / 3

    def serves() -> bool:
        found: List[str] = taking(pair.peer_addresses, pair.port)
        return bool(found)
    why = wait(lambda: at_work(mark), limit, serves)
    if why is None:
        return 0
    say.err("ocf-exit-reason:%s, and %s; see /var/log/CFEngine-Install.log" % (said, why))
    return REFUSED
