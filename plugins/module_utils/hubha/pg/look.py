# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds out what evidence.py compares: the side of a local data directory, running or stopped, and of a remote server.

Talks to pg_controldata, pg_waldump and psql through an injected runner, reads files of the data directory (as root).
What cannot be found out is left unknown, with the reason in ``Side.why``; nothing here raises for that.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core.become import become_prefix, without_libpq_environment
from ..core.files import read_text
from ..core.run import Completed, HubError, Runner, which
from . import history as histories
from .control import parse_backup_label, parse_controldata
from .evidence import Side, stopped_side, with_probe
from .history import History
from .lsn import int_to_lsn, lsn_to_int, segment_name, segment_parts
from .quote import conninfo_value
from .server import pid_file, postmaster_pid

SEGMENT = 16 << 20
BLOCK = 8192
CONNECT = 1.0  # seconds until a host that is silent counts as away
# Bytes at the start of each page of WAL: XLogLongPHD in the first page of a segment, XLogShortPHD in all others.
LONG_HEADER, SHORT_HEADER = 40, 24

SQL = """
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'next_xid', pg_snapshot_xmax(pg_current_snapshot())::text,
  'lsn', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_flush_lsn()::text END,
  'file', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_flush_lsn()) END);
"""

RECORD = re.compile(r"^rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), "
                    r"prev [0-9A-F]+/[0-9A-F]+, desc: (.*)$")
LAST = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+):")
NOTHING = re.compile(r"could not find a valid record after")
COMMIT = re.compile(r"COMMIT(?: PREPARED|_PREPARED)? (?:\d+: )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* \S+?)[;,]?(?:\s|$)")


@dataclass(frozen=True)
class NoAnswer(Side):
    """The side of a server that did not answer; ``why`` has what was heard. Not an error of anybody's data."""


class Programs:
    """PostgreSQL's programs, which run as the owner of the data. run: the runner. bin_dir: where they are."""

    def __init__(self, run: Runner, bin_dir: str, owner: str):
        self.run = run
        self.bin_dir = bin_dir
        self.owner = owner

    def __call__(self, name: str, *argv: str, timeout: float = 30) -> Completed:
        """Completed of the program *name*; raises HubError when it is not there or does not end in time."""
        prefix = become_prefix(self.owner)
        return self.run(prefix + [os.path.join(self.bin_dir, name)] + list(argv), timeout=timeout, check=False)


# -- the local side ----------------------------------------------------------------------------------------------------

def local_side(run: Runner, data_dir: str, bin_dir: str, owner: str, primary: Optional[Side] = None,
               name: str = "", user: str = "root", port: Optional[int] = None, socket_dir: Optional[str] = None,
               whole: bool = False, timeout: float = 5, control: Optional[Mapping[str, Any]] = None) -> Side:
    """The side of the server on *data_dir*.

    Of a running server one query as database role *user* over the local socket, and IDENTIFY_SYSTEM of a standby. Of a
    stopped one pg_control, the history of its timeline, and what pg_waldump finds in pg_wal as OS user *owner*: with
    *primary* whether there are records behind the places where that one's line turns off (cheap), with *whole* where
    the last record ends (reads all WAL since the last checkpoint). timeout: seconds for each program; a whole scan may
    take ten times as long. control: of parse_controldata or summary, when somebody has just read it.
    """
    if postmaster_pid(data_dir):
        return running_side(run, data_dir, bin_dir, name, user, port, socket_dir, timeout)
    return stopped(Programs(run, bin_dir, owner), data_dir, primary, name, whole, timeout, control)


def running_side(run: Runner, data_dir: str, bin_dir: str, name: str, user: str, port: Optional[int],
                 socket_dir: Optional[str], timeout: float) -> Side:
    """local_side() of a server that runs."""
    known = pid_file(data_dir)
    base = Side(name=name, running=True)
    words = local_conninfo(user, port or known.get("port"), socket_dir or known.get("socket_dir"), timeout)
    try:
        done = psql(run, bin_dir, words, [], timeout, stdin=SQL)
        if done.rc != 0:
            return replace(base, why=said(done))
        found = json.loads(done.out)
        side = replace(base, in_recovery=found["in_recovery"], system_identifier=found["system_identifier"],
                       next_xid=int(found["next_xid"]))
        if found["in_recovery"]:
            base = side
            timeline, position = identify(run, bin_dir, words, timeout)
        else:
            timeline, position = int(found["file"][:8], 16), lsn_to_int(found["lsn"])
    except (HubError, ValueError, KeyError, IndexError) as error:
        return replace(base, why=str(error))
    return replace(side, timeline=timeline, position=position, history=history_of(data_dir, timeline))


def local_conninfo(user: str, port: Optional[int], socket_dir: Optional[str], timeout: float) -> str:
    """libpq's words for a connection over the local socket."""
    words = ["user=" + conninfo_value(user), "dbname=postgres", "connect_timeout=%d" % max(2, int(timeout))]
    words += ["port=%d" % port] if port else []
    return " ".join(words + (["host=" + conninfo_value(socket_dir)] if socket_dir else []))


def identify(run: Runner, bin_dir: str, conninfo: str, timeout: float) -> Tuple[int, Optional[int]]:
    """(timeline, position) that a server names by IDENTIFY_SYSTEM; raises HubError, ValueError.

    Of a standby the timeline that it replays, where pg_control and the functions of SQL have that of the last
    restartpoint, and how far it has received that timeline. The connection is one to a database, because that needs no
    line "replication" in pg_hba.conf.
    """
    done = psql(run, bin_dir, conninfo + " replication=database", ["IDENTIFY_SYSTEM"], timeout)
    fields = done.out.strip().split("|")
    if done.rc != 0 or len(fields) < 3:
        raise HubError("IDENTIFY_SYSTEM: %s" % said(done))
    return int(fields[1]), lsn_to_int(fields[2])


def stopped(programs: Programs, data_dir: str, primary: Optional[Side], name: str, whole: bool,
            timeout: float, control: Optional[Mapping[str, Any]] = None) -> Side:
    """local_side() of a server that does not run."""
    try:
        if control is None:
            done = programs("pg_controldata", "-D", data_dir, timeout=timeout)
            if done.rc != 0:
                return Side(name=name, why=said(done))
            control = parse_controldata(done.out)
    except (HubError, ValueError) as error:
        return Side(name=name, why=str(error))
    label = read_text(os.path.join(data_dir, "backup_label"))
    side = stopped_side(control, name=name, backup_label=label is not None,
                        standby_signal=os.path.exists(os.path.join(data_dir, "standby.signal")))
    if label is not None:
        # The copy begins there, whatever pg_control of the server that was copied says.
        begin = parse_backup_label(label)
        side = replace(side, timeline=begin["timeline"], redo=lsn_to_int(begin["start_lsn"]),
                       min_recovery=max(side.min_recovery or 0, lsn_to_int(begin["start_lsn"]) or 0) or None)
    if side.timeline is None:
        return side
    side = replace(side, history=history_of(data_dir, side.timeline))
    wal = Wal(programs, data_dir, control.get("segment_bytes") or SEGMENT, timeout)
    try:
        side = gone_on(wal, side)
        if whole:
            side = with_end(wal, side)
        if primary is not None:
            side = probed(wal, side, primary)
    except OSError as error:
        return replace(side, why=side.why or "pg_wal cannot be read: %s" % error)
    return side


def history_of(data_dir: str, timeline: int) -> History:
    """The history of *timeline* as pg_wal has it; empty for timeline 1, and when the file is missing."""
    if timeline == 1:
        return ()
    return histories.parse(read_text(os.path.join(data_dir, "pg_wal", histories.file_name(timeline))))


class Wal:
    """The WAL in a data directory: segment: bytes of a segment, timeout: seconds for a look at one place."""

    def __init__(self, programs: Programs, data_dir: str, segment: int, timeout: float):
        self.programs = programs
        self.folder = os.path.join(data_dir, "pg_wal")
        self.segment = segment
        self.timeout = timeout

    def segments(self) -> List[Tuple[int, int]]:
        """(timeline, first byte) of each segment that is there, in order."""
        found = [segment_parts(name, self.segment) for name in os.listdir(self.folder)]
        return sorted(item for item in found if item)

    def has(self, timeline: int, place: int) -> bool:
        """Whether the segment with byte *place* of *timeline* is there."""
        return os.path.exists(os.path.join(self.folder, segment_name(timeline, place, self.segment)))

    def stop(self, timeline: int, place: int) -> int:
        """Where the segments end that are there without a gap from the one with *place* on."""
        there = {first for tli, first in self.segments() if tli == timeline}
        stop = place - place % self.segment
        while stop in there:
            stop += self.segment
        return stop

    def dump(self, timeline: int, place: int, *more: str, timeout: Optional[float] = None) -> Completed:
        """pg_waldump of *timeline* from the first record at or behind *place*; raises HubError.

        The segment with *place* must be there. For one that is missing pg_waldump waits 5 s, so it does not go so far.
        """
        return self.programs("pg_waldump", "-p", self.folder, "-t", str(timeline), "-s", int_to_lsn(place) or "",
                             "-e", int_to_lsn(self.stop(timeline, place)) or "", *more, timeout=timeout or self.timeout)

    def beyond(self, side: Side, timeline: int, place: int) -> Tuple[Optional[bool], str]:
        """(whether there is a valid record at or behind *place* of *timeline*, why it is not known).

        *place* is the end of a record that this side has had, or has not reached. The reader of WAL takes a record for
        valid by its checksum, its address and its link to the one before, so what is left in recycled segments is none.
        """
        if not self.has(timeline, place):
            # The WAL ends before it, unless something is missing in the middle.
            if any(tli == timeline and first > place for tli, first in self.segments()):
                return None, "%s is missing" % segment_name(timeline, place, self.segment)
            sure = side.at_least
            if side.timeline == timeline and sure and sure % self.segment and not self.has(timeline, sure):
                return None, "%s is missing" % segment_name(timeline, sure, self.segment)
            return False, ""
        try:
            done = self.dump(timeline, place, "-n", "1")
        except HubError as error:
            return None, error.message
        records = [match for match in map(RECORD.match, done.out.splitlines()) if match]
        if records:
            return (lsn_to_int(records[0].group(4)) or 0) >= place, ""
        if NOTHING.search(done.err):
            return False, ""
        return None, said(done)

    def end(self, timeline: int, start: int, timeout: float) -> Tuple[Optional[int], str]:
        """(end of the last valid record of *timeline* at or behind *start*, why it is not known).

        *start* is the start or the end of a record; when there is none from there on, *start* is the end.
        """
        if not self.has(timeline, start):
            if start % self.segment:
                return None, "%s is missing" % segment_name(timeline, start, self.segment)
            return start, ""
        try:
            done = self.dump(timeline, start, "-q", timeout=timeout)
            if NOTHING.search(done.err):
                return start, ""
            match = LAST.search(done.err)
            if match:
                records = self.records(timeline, lsn_to_int(match.group(1)) or 0, "-n", "1")
            elif done.rc == 0:
                # The last segment is full, or the last record was to go on in one that is not there.
                records = self.tail(timeline, start, self.stop(timeline, start))
            else:
                return None, said(done)
        except HubError as error:
            return None, error.message
        if not records:
            return start, ""
        place, length = lsn_to_int(records[-1].group(4)) or 0, int(records[-1].group(2))
        if switches(records[-1]):
            return (place // self.segment + 1) * self.segment, ""
        return max(start, record_end(place, length, self.segment)), ""

    def records(self, timeline: int, place: int, *more: str) -> List[re.Match[str]]:
        """The valid records from *place* on, as RECORD matches them."""
        return [item for item in map(RECORD.match, self.dump(timeline, place, *more).out.splitlines()) if item]

    def tail(self, timeline: int, start: int, stop: int) -> List[re.Match[str]]:
        """The last records before *stop*, where the last segment ends, as far as they start behind *start*."""
        for back, more in ((BLOCK, ()), (self.segment, ("--rmgr=XLOG",)), (64 * BLOCK, ()), (self.segment, ())):
            found = self.records(timeline, max(start, stop - back), *more)
            # Of one kind of records only that one is the last which gives up the rest of its segment.
            if found and (not more or switches(found[-1])):
                return found
        return self.records(timeline, start)


def switches(record: re.Match[str]) -> bool:
    """Whether a record gives up the rest of its segment (pg_switch_wal)."""
    return record.group(1) == "XLOG" and str(record.group(5)).startswith("SWITCH")


def record_end(start: int, length: int, segment: int = SEGMENT) -> int:
    """Where a record of *length* bytes that starts at *start* ends, as the server counts it (xlogreader.c)."""
    place, left = start, (length + 7) // 8 * 8
    while True:
        room = BLOCK - place % BLOCK
        if left <= room:
            return place + left
        left -= room
        place += room
        place += LONG_HEADER if place % segment == 0 else SHORT_HEADER


def gone_on(wal: Wal, side: Side) -> Side:
    """*side* on the timeline that its WAL goes on to.

    pg_control has the timeline of the last restartpoint. A standby that received and replayed a newer timeline since,
    and crashed, has its WAL and its history, and goes on with it when it is started.
    """
    for timeline in sorted({item[0] for item in wal.segments() if item[0] > (side.timeline or 0)}):
        history = histories.parse(read_text(os.path.join(wal.folder, histories.file_name(timeline))))
        place = histories.left_at(history, side.timeline or 0)
        if place is None or histories.before(history, side.timeline or 0) != side.history \
                or (side.at_least or 0) > place:
            continue
        if wal.beyond(side, timeline, history[-1][1])[0]:
            side = replace(side, timeline=timeline, history=history)
    return side


def with_end(wal: Wal, side: Side) -> Side:
    """*side* with the end of its last record as position."""
    # Both are the start or the end of a record, and the later one is on the last timeline.
    known = [side.at_least] + [switch for timeline, switch in side.history[-1:]]
    start = max([item for item in known if item is not None], default=None)
    if start is None or side.timeline is None:
        return replace(side, why=side.why or "pg_control names no place in the WAL")
    end, why = wal.end(side.timeline, start, wal.timeout * 10)
    return replace(side, position=end, why=side.why or why)


def probed(wal: Wal, side: Side, primary: Side) -> Side:
    """*side* with an answer for each place at which the primary's line turns off what may be here."""
    for timeline, place in primary.history:
        if timeline == side.timeline or timeline > (side.timeline or 0) and any(
                tli == timeline for tli, dummy in wal.segments()):
            answer, why = wal.beyond(side, timeline, place)
            side = with_probe(side, timeline, place, answer, why)
    last = primary.timeline
    if last is not None and side.timeline == last and primary.position is not None and not primary.running:
        answer, why = wal.beyond(side, last, primary.position)
        side = with_probe(side, last, primary.position, answer, why)
    return side


# -- a remote server ---------------------------------------------------------------------------------------------------

def remote_side(run: Runner, bin_dir: str, owner: str, conninfo: str, name: str = "", timeout: float = 5,
                connect: Callable[..., Any] = socket.create_connection,
                clock: Callable[[], float] = time.monotonic, settings: Sequence[str] = ()) -> Side:
    """The side of the server that *conninfo* leads to, over a physical replication connection as OS user *owner*.

    conninfo: libpq's words with host, port, user and passfile, without a password. Whether it takes writes tells
    in_hot_standby from PostgreSQL 14 on, and transaction_read_only before: every transaction of a server in recovery is
    read-only (xact.c, StartTransaction), unless default_transaction_read_only says it of all, which is then unknown.
    settings: names of those that it is asked for too, each with a value in one line.
    Returns NoAnswer for a server that does not answer within *timeout* seconds in all, CONNECT of them for each host.
    """
    deadline = clock() + timeout
    hosts = hosts_of(conninfo)
    heard = [reach(host, port, connect) for host, port in hosts]
    if hosts and all(heard):
        return NoAnswer(name=name, why="; ".join(item for item in heard if item))
    words = conninfo + " replication=true dbname=replication connect_timeout=2"
    prefix: List[str] = []
    try:
        prefix = become_prefix(owner)
        home = {"HOME": pwd.getpwnam(owner).pw_dir}  # libpq looks for certificates in ~/.postgresql

        def ask(commands: List[str]) -> List[str]:
            done = psql(run, bin_dir, words, commands, max(0.1, deadline - clock()), prefix=prefix, env=home)
            if done.rc != 0:
                raise HubError(said(done))
            return done.out.splitlines()

        lines = ask(["IDENTIFY_SYSTEM", "SHOW server_version_num", "SHOW transaction_read_only",
                     "SHOW default_transaction_read_only"])
        fields = lines[0].split("|")
        timeline, version = int(fields[1]), int(lines[1])
        more = (["SHOW in_hot_standby"] if version >= 140000 else []) + ["SHOW %s" % item for item in settings] + (
            ["TIMELINE_HISTORY %d" % timeline] if timeline > 1 else [])
        told = ask(more) if more else []
    except (HubError, ValueError, IndexError) as error:
        return NoAnswer(name=name, why=str(error))
    if version >= 140000:
        standby: Optional[bool] = told[0] == "on"
        told = told[1:]
    elif lines[2] == "off":
        standby = False
    else:
        standby = None if lines[3] == "on" else True
    values, told = tuple(zip(settings, told)), told[len(settings):]
    history = histories.parse("\n".join([told[0].split("|", 1)[-1]] + told[1:])) if told else ()
    return Side(name=name, system_identifier=fields[0], running=True, in_recovery=standby, timeline=timeline,
                position=lsn_to_int(fields[2]), history=history, settings=values,
                why="" if standby is not None else "default_transaction_read_only is on there")


def reach(host: str, port: int, connect: Callable[..., Any]) -> str:
    """Why *host* takes no connection on *port* within CONNECT seconds; "" when it does. A socket's directory does."""
    if host.startswith("/"):
        return ""
    try:
        connect((host, port), CONNECT).close()
    except OSError as error:
        return "%s port %d: %s" % (host, port, error)
    return ""


def hosts_of(conninfo: str) -> List[Tuple[str, int]]:
    """[(host, port)] that libpq would try."""
    words: Dict[str, str] = {}
    for key, quoted_value, plain in re.findall(r"(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))", conninfo):
        words[key] = re.sub(r"\\(.)", r"\1", quoted_value) if quoted_value else plain
    hosts = (words.get("hostaddr") or words.get("host") or "").split(",")
    ports = (words.get("port") or "5432").split(",")
    return [(host, int(ports[number] if len(ports) == len(hosts) else ports[0]))
            for number, host in enumerate(hosts) if host]


# -- what a side has that the other one lacks --------------------------------------------------------------------------

def forked_by(run: Runner, data_dir: str, bin_dir: str, owner: str, fork: Tuple[int, int],
              timeline: Optional[int] = None, timeout: float = 20, most: int = 100000) -> Dict[str, Any]:
    """What the data on *data_dir* has behind *fork*, the (timeline, position) of a relation.

    timeline: the data's own, when it went on to another one than the fork's. Returns {"timeline", "fork" (LSN),
    "end" (LSN or None), "bytes" of WAL (int or None), "commits" (transactions, int or None), "last_commit" (text as
    PostgreSQL prints it, or None), "complete" (False: there is more than was counted), "why"}. At most *most*
    commits are counted, within *timeout* seconds.
    """
    programs = Programs(run, bin_dir, owner)
    result: Dict[str, Any] = {"timeline": fork[0], "fork": int_to_lsn(fork[1]), "end": None, "bytes": None,
                              "commits": None, "last_commit": None, "complete": False, "why": ""}
    deadline = time.monotonic() + timeout
    try:
        control = parse_controldata(programs("pg_controldata", "-D", data_dir).out)
        wal = Wal(programs, data_dir, control["segment_bytes"] or SEGMENT, timeout)
        line = [fork]
        if timeline and timeline != fork[0]:
            history = history_of(data_dir, timeline) + ((timeline, 0),)
            later = [item[0] for item in history if item[0] > fork[0]]
            starts = [max(fork[1], histories.left_at(history, fork[0]) or fork[1])] + [
                histories.left_at(history, item) or 0 for item in later[:-1]]
            line += list(zip(later, starts))
        commits: List[str] = []
        end = fork[1]
        for tli, start in line:
            left = max(1, deadline - time.monotonic())
            done = wal.dump(tli, start, "--rmgr=Transaction", "-n", str(most), timeout=left)
            commits += [found.group(1) for found in map(COMMIT.search, done.out.splitlines()) if found]
            found_end, why = wal.end(tli, start, max(1, deadline - time.monotonic()))
            result["why"] = result["why"] or why
            end = max(end, found_end or 0)
    except (HubError, ValueError, OSError) as error:
        return dict(result, why=str(error))
    return dict(result, end=int_to_lsn(end), bytes=end - fork[1], commits=len(commits),
                last_commit=commits[-1] if commits else None, complete=len(commits) < most and not result["why"])


# -- programs ----------------------------------------------------------------------------------------------------------

def psql(run: Runner, bin_dir: str, conninfo: str, commands: List[str], timeout: float, stdin: Optional[str] = None,
         prefix: Sequence[str] = (), env: Optional[Dict[str, str]] = None) -> Completed:
    """Completed of psql with *commands* (or *stdin*), with nothing of this process's environment and no psqlrc."""
    program = os.path.join(bin_dir, "psql") if bin_dir else ""
    argv = [program if program and os.path.exists(program) else which("psql") or "psql", "-XAtqw",
            "-v", "ON_ERROR_STOP=1", "-d", conninfo]
    for command in commands:
        argv += ["-c", command]
    return run(list(prefix) + without_libpq_environment(argv), stdin=stdin, timeout=timeout, check=False,
               **({"env": env} if env else {}))


def said(done: Completed) -> str:
    """What a program that failed has said, in one line."""
    lines = [line.strip() for line in (done.err or done.out).splitlines() if line.strip()]
    return "; ".join(lines[-3:]) if lines else "it ended with exit status %s and said nothing" % done.rc
