# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for cf-hub: collects a report from every client, only while this hub is the active one.

A unit on both hubs. Whom to collect from is known from the replicated database alone: a hub that has just
become active has never seen a client. What this hub does is in its journal, what came of it in cfdb.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from lab.collector import cfnet, database, wire

EVERY = 5.0          # seconds from the start of a round to that of the next one
LOOK_EVERY = 1.0     # seconds between two looks while this hub is not active
AT_ONCE = 8          # clients of a round, and calls
CALL_SECONDS = 15.0
HA_CFG = cfnet.WORK + "/ha.cfg"
STATUS = ("crm_attribute", "-l", "reboot", "-n", "cfpgsql-status", "-G", "-q")


def decide(in_recovery, pacemaker, status, ha_cfg):
    """Is this hub the active one? Returns (bool, why) (pure).

    in_recovery: what PostgreSQL says, None when it does not answer.  pacemaker: it is installed.
    status: the attribute cfpgsql-status of this node, None when pacemaker does not tell.  ha_cfg: CFEngine on
    this hub has been told that it is one of a pair.
    """
    if in_recovery is None:
        return False, "PostgreSQL does not answer"
    if in_recovery:
        return False, "PostgreSQL is a standby"
    if not pacemaker:
        return True, "a single hub"
    if status == "PRI":
        return True, "cfpgsql-status is PRI"
    if not status and not ha_cfg:
        return True, "a single hub, pacemaker is installed but says nothing"
    return False, "PostgreSQL takes writes, but cfpgsql-status is %s" % (status or "unknown")


def look():
    """decide() for this hub, as it is now."""
    try:
        in_recovery = database.psql("SELECT pg_is_in_recovery();", timeout=6) == "t"
    except database.DatabaseError:
        in_recovery = None
    pacemaker, status = shutil.which(STATUS[0]) is not None, None
    if pacemaker and in_recovery is False:
        try:
            done = subprocess.run(STATUS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True, timeout=5, check=False)
            status = done.stdout.strip() if done.returncode == 0 else None
        except (OSError, subprocess.SubprocessError):
            status = None
    return decide(in_recovery, pacemaker, status, os.path.exists(HA_CFG))


def row(client, hub, direction, got, at):
    """One row of lab_collected (dict) for what cfnet.fetch has returned (pure)."""
    return {"hostkey": client["hostkey"], "hub": hub, "direction": direction, "outcome": got["outcome"], "at": at,
            "bytes": got["bytes"], "message": got["message"], "report": got["report"]}


def figures(activation, number, at, seconds, rows):
    """One row of lab_rounds (dict) (pure)."""
    counts = dict((outcome, 0) for outcome in cfnet.OUTCOMES)
    for each in rows:
        counts[each["outcome"]] += 1
    return dict(counts, activation=activation, round=number, at=at, seconds=round(seconds, 3), clients=len(rows))


def say(text):
    """One line for the journal."""
    print(text, flush=True)


class Collector:
    """The service's state: which activation this is, and how many rounds it has seen."""

    def __init__(self, name):
        self.name = name
        self.activation = None
        self.rounds = 0
        self.calls = threading.BoundedSemaphore(AT_ONCE)

    def step(self):
        """Look, and collect when active; returns the seconds to wait."""
        began = time.monotonic()
        active, why = look()
        if not active:
            if self.activation is not None:
                say("not active any more: %s" % why)
            self.activation = None
            return LOOK_EVERY
        try:
            if self.activation is None:
                self.activation = int(database.psql(database.activation(self.name, time.time(), why)))
                self.rounds = 0
                say("active (activation %d): %s" % (self.activation, why))
            self.round()
        except database.DatabaseError as exc:
            say("cannot write: %s" % exc)
            return LOOK_EVERY
        return max(0.0, began + EVERY - time.monotonic())

    def round(self):
        """Collect from every client that the database knows, and note what came of it."""
        at, began = time.time(), time.monotonic()
        clients = json.loads(database.psql(database.CLIENTS))

        def one(client):
            got = cfnet.fetch(client["ipaddress"], client["hostkey"])
            return row(client, self.name, "pull", got, time.time())

        with ThreadPoolExecutor(AT_ONCE) as pool:
            rows = list(pool.map(one, clients))
        self.rounds += 1
        known = figures(self.activation, self.rounds, at, time.monotonic() - began, rows)
        database.psql(database.collected(rows) + database.a_round(known))
        if self.rounds == 1 or known["ok"] != known["clients"]:
            say("round %(round)d: %(ok)d of %(clients)d collected in %(seconds).1f s, %(auth)d not authenticated, "
                "%(refused)d refused, %(unreachable)d unreachable, %(other)d other" % known)

    def serve_calls(self):
        """Take clients' calls, for ever."""
        with socket.create_server(("0.0.0.0", wire.PORT), backlog=64) as listener:
            while True:
                connection, address = listener.accept()
                if not self.calls.acquire(blocking=False):
                    connection.close()
                    continue
                threading.Thread(target=self.answer, args=(connection, address[0]), daemon=True).start()

    def answer(self, connection, address):
        """One call, from its first to its last byte."""
        try:
            with connection:
                outcome = self.call(connection, wire.Reader(), time.monotonic() + CALL_SECONDS)
                wire.finish(connection, outcome)
            say("call of %s: %s %s" % (address, outcome["outcome"], outcome["message"]))
        except (wire.Broken, OSError, database.DatabaseError) as exc:
            say("call of %s failed: %s" % (address, exc))
        finally:
            self.calls.release()

    def call(self, connection, reader, deadline):
        """Collect over the client's own connection; returns what the client is told (dict)."""
        active, why = look()
        if not active:
            return {"outcome": "passive", "message": "%s is not active: %s" % (self.name, why), "hub": self.name}
        kind, body = wire.receive(connection, reader, deadline)
        key = wire.decode(body).get("hostkey") if kind == wire.HELLO else None
        known = [each for each in json.loads(database.psql(database.CLIENTS)) if each["hostkey"] == key]
        if not known:
            return {"outcome": "unknown", "message": "no client with this key is known", "hub": self.name}
        got = collect_over(connection, reader, key, deadline)
        database.psql(database.collected([row(known[0], self.name, "call", got, time.time())]))
        return {"outcome": got["outcome"], "message": got["message"], "bytes": got["bytes"], "hub": self.name}


def collect_over(connection, reader, key, deadline):
    """What cfnet.fetch returns, with cf-net talking to the caller's cf-serverd through the call."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener, ThreadPoolExecutor(1) as pool:
        connection.sendall(wire.frame(wire.GO))
        work = pool.submit(cfnet.fetch, "127.0.0.1:%d" % listener.getsockname()[1], key)
        listener.settimeout(5)
        trouble = None
        try:
            local = listener.accept()[0]
            with local:
                trouble = wire.relay(connection, reader, local, deadline, to_the_result=False)
        except (wire.Broken, OSError) as exc:
            trouble = (wire.TROUBLE, str(exc).encode())
        got = work.result()
    if trouble and got["outcome"] != "ok":
        return dict(got, outcome="unreachable", message=database.plain(trouble[1].decode("utf-8", "replace"))[:160])
    return got


def main():
    """Run until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    collector = Collector(socket.gethostname())
    say("the lab's stand-in for cf-hub on %s" % collector.name)
    threading.Thread(target=collector.serve_calls, daemon=True).start()
    while True:
        time.sleep(collector.step())


if __name__ == "__main__":
    sys.exit(main())
