#!/usr/bin/env python3
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Insert rows for ever, one transaction each, and log what was acknowledged and what was not.

Runs on the hub (local socket, OS user root) and beside it (shared address, TLS). Every step has a
deadline of its own: psycopg2 is used without blocking, so a silent peer is noticed at once.
Lines of the log: see lab/report.py. Connection parameters are read as JSON from standard input,
so that a password is never an argument.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time

import psycopg2
import psycopg2.extensions as ext


class Overdue(Exception):
    """No answer within the deadline."""


class Stop(Exception):
    """Somebody wants us to end."""


def drive(connection, deadline):
    """Let libpq work until it waits for nothing more; raises Overdue at *deadline* (monotonic seconds)."""
    while True:
        state = connection.poll()
        if state == ext.POLL_OK:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise Overdue("no answer in time")
        waiting = select.select([connection] if state == ext.POLL_READ else [],
                                [connection] if state == ext.POLL_WRITE else [], [], left)
        if not any(waiting):
            raise Overdue("no answer in time")


def connect(parameters, seconds):
    """A new connection within *seconds*."""
    connection = psycopg2.connect(async_=1, **parameters)
    try:
        drive(connection, time.monotonic() + seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def reason(exc):
    """The first line of an error, short enough for a log."""
    words = str(exc).strip().splitlines()
    return "%s: %s" % (type(exc).__name__, words[0][:160] if words else "no text")


class Log:
    """Lines that are in the file as soon as the call returns: they outlive a killed host."""

    def __init__(self, path):
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def line(self, *words):
        """Append one line of words."""
        os.write(self.handle, (" ".join(map(str, words)) + "\n").encode())


def write_for_ever(parameters, options, log):
    """The loop: ends only with Stop."""
    connection, seq = None, 0
    tick = 1.0 / options.rate
    due = time.monotonic()
    while True:
        seq += 1
        try:
            if connection is None:
                connection = connect(parameters, options.connect_deadline)
            cursor = connection.cursor()
            cursor.execute("INSERT INTO ha_writes (writer, seq) VALUES (%s, %s)", (options.name, seq))
            drive(connection, time.monotonic() + options.deadline)
            log.line("A", seq, "%.6f" % time.time())
        except (psycopg2.Error, Overdue, OSError) as exc:
            log.line("F", seq, "%.6f" % time.time(), reason(exc))
            if connection is not None:
                connection.close()
                connection = None
            due = min(due, time.monotonic() + options.retry - tick)
        due = max(due + tick, time.monotonic() - tick)  # no burst after a pause
        wait = due - time.monotonic()
        if connection is None:
            wait = options.retry
        if wait > 0:
            time.sleep(wait)


def main(arguments=None):
    """Parse the arguments, write until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="what the column writer says")
    parser.add_argument("--log", required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="rows per second")
    parser.add_argument("--retry", type=float, default=0.05, help="seconds from a failure to the next attempt")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds that an insert may take")
    parser.add_argument("--connect-deadline", type=float, default=30.0, help="seconds that a connection may take")
    parser.add_argument("--parameters", help="file with the connection parameters as JSON (default: standard input)")
    options = parser.parse_args(arguments)
    if options.parameters:
        with open(options.parameters, encoding="utf-8") as handle:
            parameters = json.load(handle)
    else:
        parameters = json.load(sys.stdin)

    def stop(_number, _frame):
        raise Stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log = Log(options.log)
    log.line("W", options.name, "%.6f" % time.time())
    try:
        write_for_ever(parameters, options, log)
    except Stop:
        log.line("E", "%.6f" % time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
