# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at hubs ten times a second, from beside them: what a hub that is frozen or dead cannot tell.

Run as `python -m lab.faults.watcher`, by a Python that has psycopg2, in the lab's namespace. It reaches each hub's
PostgreSQL through the hub's own local socket (below /proc/PID/root of the container's first process), so nothing of
it freezes or dies with the hub. Each hub has a thread, so a hub that does not answer holds up nobody else. It never
writes, but for the one session that is asked for: a promoted standby that nobody writes to must stay one that took no
transaction.

Commands on standard input, one a line:
  hub NAME PID            the hub's first process (0: the hub is off)
  freeze NAME, thaw NAME  the hub is frozen from now on: it is not asked, and counts as one that serves nobody
  open NAME WRITER        keep one session open on that hub that inserts into ha_writes every 0.1 s, until it ends
Lines of the log (times are seconds since the epoch):
  S HUB BEGIN END STATE ADDRESS BROKEN   one sample. STATE: primary, standby, refused (no server), silent (no answer in
                          time), frozen, off. ADDRESS: 1 when the hub has the shared address. BROKEN: cluster daemons
                          that are missing or stopped, with commas, "-" when there are none
  O SEQ TIME              the open session's insert was acknowledged
  X TIME REASON           the open session has ended
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
import time

import psycopg2
import psycopg2.extensions as ext

from lab.faults import processes
from lab.faults.table import DAEMONS

EVERY = 0.1
ANSWER_SECONDS = 0.5
DAEMONS_EVERY = 0.3


def drive(connection, deadline):
    """Let libpq work until it waits for nothing more; False when *deadline* (monotonic; None: never) has passed."""
    while True:
        state = connection.poll()
        if state == ext.POLL_OK:
            return True
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        select.select([connection] if state == ext.POLL_READ else [], [connection] if state == ext.POLL_WRITE else [],
                      [], left)


def socket_folder(pid):
    """The folder of PostgreSQL's socket as this process sees it (str)."""
    return "/proc/%d/root/run/postgresql" % pid


def connect(pid, name, database):
    """A connection under way to the PostgreSQL of the hub whose first process is *pid*."""
    return psycopg2.connect(async_=1, host=socket_folder(pid), port=5432, dbname=database, user="root",
                            application_name=name)


def ask(pid):
    """State of the PostgreSQL of one hub: primary, standby, refused or silent."""
    deadline = time.monotonic() + ANSWER_SECONDS
    connection = None
    try:
        connection = connect(pid, "lab_watcher", "postgres")
        if not drive(connection, deadline):
            return "silent"
        cursor = connection.cursor()
        cursor.execute("SELECT pg_is_in_recovery()")
        if not drive(connection, deadline):
            return "silent"
        return "standby" if cursor.fetchone()[0] else "primary"
    except (psycopg2.Error, OSError):
        return "refused"
    finally:
        if connection is not None:
            connection.close()


def has_address(pid, address):
    """True when the hub has *address* on one of its interfaces."""
    try:
        with open("/proc/%d/net/fib_trie" % pid, encoding="ascii") as handle:
            return "|-- %s\n" % address in handle.read()
    except OSError:
        return False


class Watcher:
    """The hubs, their threads and the log."""

    def __init__(self, log, address):
        self.handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.address = address
        self.hubs = {}
        self.frozen = set()
        self.daemons = {}

    def line(self, *words):
        """Append one line to the log."""
        os.write(self.handle, (" ".join(map(str, words)) + "\n").encode())

    def watch(self, hub):
        """Sample one hub for ever."""
        due = time.monotonic()
        while True:
            pid = self.hubs[hub]
            frozen = hub in self.frozen
            began = time.time()
            state, address, broken = "frozen" if frozen else "off", 0, "-"
            if pid and not frozen:
                state = ask(pid)
                address = int(has_address(pid, self.address))
                broken = self.broken(pid)
            if frozen != (hub in self.frozen) or pid != self.hubs[hub]:
                state, address, broken = "frozen" if hub in self.frozen else "off", 0, "-"  # it happened meanwhile
            self.line("S", hub, "%.3f" % began, "%.3f" % time.time(), state, address, broken)
            due = max(due + EVERY, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def broken(self, pid):
        """Daemons of the hub that are missing or stopped."""
        try:
            have = self.daemons.get(processes.container(pid), {})
        except OSError:
            return "-"
        return ",".join(name for name in DAEMONS if have.get(name, True)) or "-"

    def look_at_daemons(self):
        """Look for the daemons of all hubs, for ever."""
        while True:
            self.daemons = processes.daemons()
            time.sleep(DAEMONS_EVERY)

    def open_session(self, hub, writer):
        """One session that inserts until it ends."""
        seq = 0
        connection = None
        try:
            connection = connect(self.hubs[hub], "lab_open_session", "cfdb")
            drive(connection, None)
            while True:
                seq += 1
                cursor = connection.cursor()
                cursor.execute("INSERT INTO ha_writes (writer, seq) VALUES (%s, %s)", (writer, seq))
                drive(connection, None)
                self.line("O", seq, "%.3f" % time.time())
                time.sleep(EVERY)
        except (psycopg2.Error, OSError) as exc:
            words = str(exc).strip().splitlines()
            self.line("X", "%.3f" % time.time(), words[0][:160] if words else type(exc).__name__)
        finally:
            if connection is not None:
                connection.close()

    def obey(self, line):
        """One command."""
        words = line.split()
        if words[0] == "hub":
            new = words[1] not in self.hubs
            self.hubs[words[1]] = int(words[2])
            if new:
                threading.Thread(target=self.watch, args=(words[1],), daemon=True).start()
        elif words[0] == "freeze":
            self.frozen.add(words[1])
        elif words[0] == "thaw":
            self.frozen.discard(words[1])
        elif words[0] == "open":
            threading.Thread(target=self.open_session, args=(words[1], words[2]), daemon=True).start()


def main():
    """Obey until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", required=True)
    parser.add_argument("--address", required=True, help="the shared address")
    options = parser.parse_args()
    watcher = Watcher(options.log, options.address)
    watcher.daemons = processes.daemons()
    threading.Thread(target=watcher.look_at_daemons, daemon=True).start()
    for line in sys.stdin:
        if line.strip():
            watcher.obey(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
