# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to PostgreSQL's own programs: psql, pg_controldata, pg_basebackup.

Everything goes through an injected runner (see hubha/core/run.py), except the one command that must be
read while it runs (:meth:`Postgres.stream`).
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import selectors
import signal
import subprocess
import sys
import time

from ansible_collections.cfengine.hub_ha.plugins.module_utils import replication_model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandMissing, Completed, HubError, local_runner, which)

# Where runuser is missing: become the user for good, then exec. argv: USER GID PROGRAM ARGUMENTS...
BECOME = ("import os,pwd,sys; u=pwd.getpwnam(sys.argv[1]); g=int(sys.argv[2]); os.initgroups(u.pw_name,g); "
          "os.setgid(g); os.setuid(u.pw_uid); os.environ['HOME']=u.pw_dir; os.execv(sys.argv[3],sys.argv[3:])")

# What PostgreSQL says of a state that passes by itself.
PASSING = ("the database system is starting up", "the database system is shutting down",
           "the database system is not yet accepting connections")


class PostgresError(HubError):
    """PostgreSQL answered, and the answer is an error; ``kind`` (str) says which one."""

    def __init__(self, kind, message, **details):
        super().__init__(message, kind=kind, **details)
        self.kind = kind


def become_prefix(user, group=None):
    """The words to put before a command so that it runs as OS user *user* (and *group*); raises HubError.

    Nothing when this process already is that user; runuser when it is there, else python itself.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise HubError("There is no user %s on this host: install the hub's PostgreSQL package first "
                       "(it makes that user), or set the right owner." % user)
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise HubError("There is no group %s on this host: make it, or set the right group." % group)
    if os.geteuid() == entry.pw_uid:
        return []
    if os.geteuid() != 0:
        raise HubError("This must run as root, to work as %s: use 'become: true'." % user)
    runuser = which("runuser")
    if runuser:
        return [runuser, "-u", user] + (["-g", group] if group else []) + ["--"]
    return [sys.executable, "-c", BECOME, user, str(gid)]


def clean_environment(user=None):
    """An environment for libpq programs in which nothing from outside changes where they connect."""
    environment = dict((key, value) for key, value in os.environ.items() if not key.startswith("PG"))
    environment.update(LC_ALL="C.UTF-8", LANGUAGE="C")
    if user:
        environment["HOME"] = pwd.getpwnam(user).pw_dir
    return environment


def without_libpq_environment(argv):
    """*argv* so that no PG* variable of this process reaches it (an empty one would not do: PGSSLMODE= is an error)."""
    names = sorted(key for key in os.environ if key.startswith("PG"))
    if not names:
        return list(argv)
    prefix = [which("env") or "/usr/bin/env"]
    for name in names:
        prefix += ["-u", name]
    return prefix + list(argv)


class Postgres:
    """The PostgreSQL programs of this host.

    run: the runner. bin_dir: directory with psql, pg_controldata, ... owner, group: OS user (and group, else
    the user's own) that owns the database (needed for as_owner and what uses it).
    """

    def __init__(self, run=local_runner, bin_dir="", owner=None, group=None):
        self.run = run
        self.bin_dir = bin_dir
        self.owner = owner
        self.group = group
        self._prefix = None

    def program(self, name):
        """Absolute path of a PostgreSQL program; raises CommandMissing."""
        path = os.path.join(self.bin_dir, name) if self.bin_dir else which(name)
        if not path or not os.path.exists(path):
            raise CommandMissing(path or name)
        return path

    def as_owner(self, argv):
        """*argv* so that it runs as the owner of the database."""
        if self._prefix is None:
            self._prefix = become_prefix(self.owner, self.group)
        return self._prefix + list(argv)

    def owner_can(self, test, path):
        """Whether the owner passes ``test -r|-x|-w path``."""
        return self.run(self.as_owner([which("test") or "/usr/bin/test", test, path]), check=False).rc == 0

    def major_version(self):
        """Major version (int) of the programs in bin_dir; raises HubError."""
        text = self.run([self.program("pg_basebackup"), "--version"]).out
        match = re.search(r"\) (\d+)", text)
        if not match:
            raise HubError("%s does not tell its version: %s" % (self.program("pg_basebackup"), text.strip()))
        return int(match.group(1))

    def controldata(self, data_dir):
        """parse_controldata() of *data_dir*; raises PostgresError('unreadable'), CommandMissing."""
        done = self.run([self.program("pg_controldata"), "-D", data_dir], check=False)
        try:
            if done.rc != 0:
                raise ValueError((done.err or done.out).strip())
            return replication_model.parse_controldata(done.out)
        except ValueError as error:
            raise PostgresError("unreadable", "pg_controldata cannot make sense of %s: %s" % (data_dir, error))

    def replication(self, conninfo, commands, timeout=30):
        """Runs replication *commands* (list of str) over one replication connection as the owner.

        Returns the output lines (list of str), fields separated by ``|``. Raises CommandError with
        psql's text; the caller knows what it means.
        """
        argv = [self.program("psql"), "-XAtq", "-w", "-v", "ON_ERROR_STOP=1", "-d", conninfo]
        for command in commands:
            argv += ["-c", command]
        # HOME: libpq looks for certificates in ~/.postgresql.
        return self.run(self.as_owner(without_libpq_environment(argv)),
                        env={"HOME": pwd.getpwnam(self.owner).pw_dir}, timeout=timeout).out.splitlines()

    def sql(self, sql, database="postgres", user="root", socket_dir=None, port=None, timeout=30):
        """Output (str) of *sql*, given to psql on stdin over the local socket; raises CommandError."""
        program = os.path.join(self.bin_dir, "psql") if self.bin_dir else ""
        argv = [program if os.path.exists(program) else "psql", "-XAtq", "-w", "-v", "ON_ERROR_STOP=1",
                "-d", database, "-U", user]
        if socket_dir:
            argv += ["-h", socket_dir]
        if port:
            argv += ["-p", str(port)]
        return self.run(without_libpq_environment(argv), stdin=sql, timeout=timeout).out

    def info(self, **connection):
        """The object that replication_model.INFO_SQL returns; connection: see sql()."""
        return json.loads(self.sql(replication_model.INFO_SQL, **connection))

    def stream(self, argv, on_line, timeout):
        """Runs *argv* as the owner and hands each line of stderr (str) to *on_line* as it comes.

        timeout: seconds. Returns Completed with the whole stderr. When on_line raises, or the time is
        over, every process of the command is ended before the error goes on.
        """
        process = subprocess.Popen(
            self.as_owner(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=clean_environment(self.owner), cwd="/", start_new_session=True)
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


def read_lines(pipe, on_line, deadline):
    """Calls *on_line* for each line (ended by newline or carriage return) until end of file.

    Returns the whole text, None when *deadline* (time.monotonic) passed first.
    """
    collected, rest = [], b""
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


def end_group(process):
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


def postmaster_pid(data_dir):
    """Pid (int) of the server that runs on *data_dir*, or None.

    A pid file alone proves nothing (a crash leaves it, and the number may be somebody else's now): the
    postmaster's working directory is its data directory.
    """
    try:
        with open(os.path.join(data_dir, "postmaster.pid"), encoding="utf-8", errors="replace") as handle:
            pid = abs(int(handle.readline().strip() or "0"))
    except (OSError, ValueError):
        return None
    if pid <= 0:
        return None
    try:
        same = os.path.samefile("/proc/%d/cwd" % pid, data_dir)
    except OSError:
        return None
    return pid if same else None


def server_address(data_dir, port=None, socket_dir=None):
    """{"port", "socket_dir"} of the running server: what is given, else lines 4 and 5 of postmaster.pid."""
    lines = (read_text(os.path.join(data_dir, "postmaster.pid")) or "").splitlines() + [""] * 5
    return {"port": port or (int(lines[3]) if lines[3].strip().isdigit() else None),
            "socket_dir": socket_dir or lines[4].strip() or None}


def processes_on(data_dir):
    """Pids of PostgreSQL processes whose working directory is *data_dir*, whatever the pid file says."""
    found = []
    for pid in numeric_entries("/proc"):
        try:
            if (os.path.samefile("/proc/%d/cwd" % pid, data_dir)
                    and os.path.basename(os.readlink("/proc/%d/exe" % pid).split(" (deleted)")[0])
                    in ("postgres", "postmaster")):
                found.append(pid)
        except OSError:
            continue
    return found


def processes_copying(directory):
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


def end_processes(pids, patience=10):
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


def is_zombie(pid):
    """Whether *pid* is dead and only not collected yet."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as handle:
            return handle.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except OSError:
        return True


def numeric_entries(directory):
    """The entries of *directory* that are numbers, as ints."""
    return [int(name) for name in os.listdir(directory) if name.isdigit()]


def read_text(path):
    """Text of a small file, None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
