# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many sessions on one PostgreSQL, as many as it takes of the number that is wanted, until standard input ends.

Run as `python -m lab.faults.crowd NUMBER`, by a Python that has psycopg2. The first line of standard input has the
connection's parameters as JSON. Sessions that are refused are tried again, as people's programs do. The last line of
the output says how many there were at most, and why others were refused.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

AT_ONCE = 8      # connections that are made at the same time
AGAIN = 2.0      # seconds between two tries
LONGEST = 120.0  # seconds after which they end in any case


def main():
    """See above."""
    wanted = int(sys.argv[1])
    parameters = json.loads(sys.stdin.readline())
    ended = threading.Event()

    def wait():
        sys.stdin.read()
        ended.set()

    def connect(_number):
        try:
            return None if ended.is_set() else psycopg2.connect(**parameters)
        except psycopg2.Error as exc:
            refused.append(str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__)
            return None

    threading.Thread(target=wait, daemon=True).start()
    sessions, refused, most, began = [], [], 0, time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while not ended.is_set() and time.monotonic() - began < LONGEST:
            sessions += [one for one in pool.map(connect, range(wanted - len(sessions))) if one is not None]
            most = max(most, len(sessions))
            ended.wait(AGAIN)
    for one in sessions:
        one.close()
    print("%d at most, %d refused%s" % (most, len(refused), ": " + refused[-1] if refused else ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
