# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to PostgreSQL's own programs: psql, pg_controldata, pg_basebackup.

Everything goes through an injected runner (see hubha/core/run.py), except the one command that must be
read while it runs (:meth:`Postgres.stream`).
"""

from __future__ import annotations

import os
import pwd
import re
import selectors
import signal
import subprocess
import time
from typing import IO, Any, Callable, Dict, Iterable, List, Optional, Sequence

from ..core.become import become_prefix, clean_environment, without_libpq_environment
from ..core.run import CommandMissing, Completed, HubError, Runner, local_runner, which
from .control import parse_controldata
from .server import is_stopping, is_zombie, numeric_entries

ENDS = "the database system is shutting down"
# What PostgreSQL says of a state that passes by itself.
PASSING = ("the database system is starting up", ENDS, "the database system is in recovery mode",
           "the database system is not yet accepting connections")
# A server's own words in what a client prints: severity, colon, two blanks. libpq's own words have no such.
SERVERS_WORDS = re.compile(r"\S:  \S")
NOT_NOW = 1  # exit status of pg_isready: the server takes no sessions at the moment (SQLSTATE 57P03)


def says_passing(text: str) -> bool:
    """Whether a server has said in English that it takes no sessions now, and will."""
    return any(item in text for item in PASSING)


def passes(run: Runner, bin_dir: str, text: str, port: Optional[int] = None, socket_dir: Optional[str] = None) -> bool:
    """Whether *text*, with which psql has failed, tells of a state of the local server that passes by itself.

    The server says it in its own language (lc_messages), and psql prints no code of an error in a connection's beginning:
    pg_isready tells in any language.
    """
    if says_passing(text):
        return True
    program = os.path.join(bin_dir, "pg_isready")
    if not SERVERS_WORDS.search(text) or not os.path.exists(program):
        return False
    argv = [program, "-q", "-t", "3"] + (["-h", socket_dir] if socket_dir else []) + (["-p", str(port)] if port else [])
    try:
        done = run(without_libpq_environment(argv), check=False, timeout=10)
    except HubError:
        return False
    return bool(done.rc == NOT_NOW)


def ends(text: str, data_dir: str) -> bool:
    """Whether the server on *data_dir* is ending, which has said *text*: by its pid file, as that is so in any language;
    by its words when it has gone with its pid file since."""
    return ENDS in text or is_stopping(data_dir)


class PostgresError(HubError):
    """PostgreSQL answered, and the answer is an error; ``kind`` (str) says which one."""

    def __init__(self, kind: str, message: str, **details: Any) -> None:
        super().__init__(message, kind=kind, **details)
        self.kind = kind


class Postgres:
    """The PostgreSQL programs of this host.

    run: the runner. bin_dir: directory with psql, pg_controldata, ... owner, group: OS user (and group, else
    the user's own) that owns the database (needed for as_owner and what uses it).
    """

    def __init__(self, run: Runner = local_runner, bin_dir: str = "", owner: Optional[str] = None,
                 group: Optional[str] = None) -> None:
        self.run = run
        self.bin_dir = bin_dir
        self.owner = owner
        self.group = group
        self._prefix: Optional[List[str]] = None

    def program(self, name: str) -> str:
        """Absolute path of a PostgreSQL program; raises CommandMissing."""
        path = os.path.join(self.bin_dir, name) if self.bin_dir else which(name)
        if not path or not os.path.exists(path):
            raise CommandMissing(path or name)
        return path

    def as_owner(self, argv: Sequence[str]) -> List[str]:
        """*argv* so that it runs as the owner of the database; raises HubError."""
        if self._prefix is None:
            self._prefix = become_prefix(self._owner(), self.group)
        return self._prefix + list(argv)

    def _owner(self) -> str:
        if self.owner is None:
            raise ValueError("the owner of the database was not given")
        return self.owner

    def owner_can(self, test: str, path: str) -> bool:
        """Whether the owner passes ``test -r|-x|-w path``."""
        done = self.run(self.as_owner([which("test") or "/usr/bin/test", test, path]), check=False)
        return bool(done.rc == 0)

    def major_version(self) -> int:
        """Major version (int) of the programs in bin_dir; raises HubError."""
        text = self.run([self.program("pg_basebackup"), "--version"]).out
        match = re.search(r"\) (\d+)", text)
        if not match:
            raise HubError("%s does not tell its version: %s" % (self.program("pg_basebackup"), text.strip()))
        return int(match.group(1))

    def controldata(self, data_dir: str) -> Dict[str, Any]:
        """parse_controldata() of *data_dir*; raises PostgresError('unreadable'), CommandMissing."""
        done = self.run([self.program("pg_controldata"), "-D", data_dir], check=False)
        try:
            if done.rc != 0:
                raise ValueError((done.err or done.out).strip())
            return parse_controldata(done.out)
        except ValueError as error:
            raise PostgresError("unreadable", "pg_controldata cannot make sense of %s: %s" % (data_dir, error))

    def replication(self, conninfo: str, commands: Sequence[str], timeout: float = 30,
                    verbosity: str = "default") -> List[str]:
        """Runs replication *commands* (list of str) over one replication connection as the owner.

        verbosity: how psql tells of errors; "sqlstate" is the code alone.

        Returns the output lines (list of str), fields separated by ``|``. Raises CommandError with
        psql's text; the caller knows what it means.
        """
        argv = [self.program("psql"), "-XAtq", "-w", "-v", "ON_ERROR_STOP=1", "-d", conninfo]
        argv += [] if verbosity == "default" else ["-v", "VERBOSITY=" + verbosity]
        for command in commands:
            argv += ["-c", command]
        # HOME: libpq looks for certificates in ~/.postgresql.
        done = self.run(self.as_owner(without_libpq_environment(argv)),
                        env={"HOME": pwd.getpwnam(self._owner()).pw_dir}, timeout=timeout)
        return str(done.out).splitlines()

    def sql(self, sql: str, database: str = "postgres", user: str = "root", socket_dir: Optional[str] = None,
            port: Optional[int] = None, timeout: float = 30) -> str:
        """Output (str) of *sql*, given to psql on stdin over the local socket; raises CommandError."""
        program = os.path.join(self.bin_dir, "psql") if self.bin_dir else ""
        argv = [program if os.path.exists(program) else "psql", "-XAtq", "-w", "-v", "ON_ERROR_STOP=1",
                "-d", database, "-U", user]
        if socket_dir:
            argv += ["-h", socket_dir]
        if port:
            argv += ["-p", str(port)]
        return str(self.run(without_libpq_environment(argv), stdin=sql, timeout=timeout).out)

    def stream(self, argv: Sequence[str], on_line: Callable[[str], Any], timeout: float) -> Completed:
        """Runs *argv* as the owner and hands each line of stderr (str) to *on_line* as it comes.

        timeout: seconds. Returns Completed with the whole stderr. When on_line raises, or the time is
        over, every process of the command is ended before the error goes on.
        """
        process = subprocess.Popen(
            self.as_owner(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=clean_environment(self.owner), cwd="/", start_new_session=True)
        if process.stderr is None:
            raise AssertionError("a pipe was asked for")
        try:
            text = read_lines(process.stderr, on_line, time.monotonic() + timeout)
            if text is None:
                raise HubError("%s did not end within %s s and was stopped." % (os.path.basename(argv[0]), timeout))
            process.wait(timeout=60)
        except BaseException:
            end_group(process)
            raise
        finally:
            process.stderr.close()
        return Completed(list(argv), process.returncode, "", text)


def read_lines(pipe: IO[bytes], on_line: Callable[[str], Any], deadline: float) -> Optional[str]:
    """Calls *on_line* for each line (ended by newline or carriage return) until end of file.

    Returns the whole text, None when *deadline* (time.monotonic) passed first.
    """
    collected: List[str] = []
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if not selector.select(min(left, 1.0)):
                continue
            chunk = os.read(pipe.fileno(), 65536)
            parts = re.split(rb"[\r\n]", rest + chunk)
            rest = parts.pop() if chunk else b""
            for part in parts:
                line = part.decode("utf-8", "replace")
                if line.strip():
                    collected.append(line)
                    on_line(line)
            if not chunk:
                return "\n".join(collected)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the session of a Popen started with start_new_session: politely, then for good within 5 s."""
    for sign, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    process.poll()


def processes_copying(directory: str) -> List[int]:
    """Pids of pg_basebackup processes that write into *directory*."""
    found = []
    for pid in numeric_entries("/proc"):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as handle:
                words = handle.read().split(b"\0")
        except OSError:
            continue
        if os.fsencode(directory) in words and any(os.path.basename(word) == b"pg_basebackup" for word in words):
            found.append(pid)
    return found


def end_processes(pids: Iterable[int], patience: float = 10) -> List[int]:
    """Ends *pids* with SIGTERM, after half of *patience* (seconds) with SIGKILL; returns those still there."""
    left = list(pids)
    deadline = time.monotonic() + patience
    sign = signal.SIGTERM
    while left and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
        left = [pid for pid in left if os.path.exists("/proc/%d" % pid)
                and not is_zombie(pid)]
        if time.monotonic() > deadline - patience / 2:
            sign = signal.SIGKILL
    return left
