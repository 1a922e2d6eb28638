# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits for the end of links.py, whose listening is none of the host's own."""

from __future__ import annotations

import fcntl
import time
from typing import Callable

LOCK = "/run/hub_ha.link_check"  # held while one listens


def wait_for_end(limit: float = 30, sleep: Callable[[float], object] = time.sleep,
                 clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until a try that an earlier, cut-off run left behind has closed its ports (it ends by itself).

    limit: seconds; after them it is not waited for any longer.
    """
    deadline = clock() + limit
    while clock() < deadline:
        try:
            with open(LOCK, "rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            sleep(0.2)
