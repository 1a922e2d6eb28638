# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a scratch database with a live server's configuration files, to see whether they would start it.

The scratch database has its own directory, socket and log, listens on no network, archives and replicates nothing, and ends
by itself after a minute, whatever becomes of who started it. What it reads of the live server is its configuration.

All within that directory is read and written as the database's user, never as root: whoever is that user could lay a
link there that leads root elsewhere. The directory lies in one of root's, so that only root can take its place.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ..core.files import read_text
from ..core.run import Completed, HubError, Runner
from .config import pg_major
from .control import summary
from .memory import MB, Machine, fits, machine, pools
from .quote import setting

PREFIX = ".hub_ha_trial."
LIMIT = 60  # seconds for each of the two programs
BLOCK = 8192  # bytes, as all packages build it
OLD = 600  # seconds after which what lies there is nobody's
ROOM = 256 * MB  # beside the first segments of WAL
CLEAN = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]
# $1 its directory, $2 seconds, then the server. Status 0 when it was ready to take connections; its output is the log.
# timeout(1) ends the server, and postmaster.pid's eighth line says what it does (PostgreSQL, src/include/utils/pidfile.h).
START = """
dir=$1 limit=$2; shift 2
timeout -s QUIT -k 5 "$limit" "$@" 2>&1 &
child=$!
while kill -0 "$child" 2>/dev/null; do
    case "$(sed -n 8p "$dir/postmaster.pid" 2>/dev/null)" in
        ready*) kill -QUIT "$child"; wait "$child"; exit 0 ;;
    esac
    sleep 0.1
done
wait "$child"
[ $? -ne 124 ] || exit 124
exit 1
"""
# $1 is written from standard input; $2 as $1, where there is one (ALTER SYSTEM may never have been used).
WRITE, COPY = 'umask 077; cat >"$1"', 'umask 077; [ ! -e "$1" ] || cat -- "$1" >"$2"'
INNER = "own"
# Of the running server alone, and none of what is to be found out.
QUIET = {"external_pid_file": "", "listen_addresses": "", "port": "65431", "logging_collector": "off",
         "log_destination": "stderr", "log_line_prefix": "", "log_min_messages": "warning", "lc_messages": "C", "ssl": "off",
         "archive_command": "", "synchronous_standby_names": "", "fsync": "off", "restart_after_crash": "off"}
SMALL = {"shared_buffers": "16MB", "wal_buffers": "-1", "huge_pages": "off"}


@dataclass(frozen=True)
class Outcome:
    """What a trial has shown.

    started: True, False, or None when it could not be tried. reason: the server's own words, or why it could not be
    tried. need: bytes of shared memory that the server will ask for, None when it did not come that far. lowered:
    whether the trial itself ran with less, because the whole fits only once the running server has ended.
    """

    started: Optional[bool]
    reason: str = ""
    need: Optional[int] = None
    lowered: bool = False

    def to_dict(self) -> Dict[str, Any]:
        """For a module's result; need in MB."""
        return {"started": self.started, "reason": self.reason, "lowered": self.lowered,
                "shared_memory_mb": None if self.need is None else -(-self.need // MB)}


@dataclass(frozen=True)
class Server:
    """The live server: where it and its programs are, whom it belongs to, and what it will be started with.

    settings: {name: value} that will be written to its include file before. segment: bytes of a WAL segment. held: bytes
    of shared memory that it has now.
    """

    data_dir: str
    bin_dir: str
    owner: str
    config_file: str
    major: int
    settings: Mapping[str, str]
    segment: int
    held: int = 0


def look(run: Runner, data_dir: str, bin_dir: str, owner: str, config_file: str,
         settings: Mapping[str, Any], held: int = 0) -> Server:
    """The live server, with the rest out of its own files. run: a runner. Raises HubError."""
    segment = summary(run([bin_dir + "/pg_controldata", data_dir]).out).get("segment_bytes")
    version = run([bin_dir + "/postgres", "--version"]).out
    if not segment:
        raise HubError("pg_controldata does not tell the size of WAL segments in %s" % data_dir)
    return Server(data_dir, bin_dir, owner, config_file, int(pg_major(version)),
                  {name: str(value) for name, value in settings.items()}, segment, held)


def read_machine(read: Callable[[str], Optional[str]] = read_text) -> Machine:
    """This machine's memory. read: path -> text or None."""
    return machine(read("/proc/meminfo") or "", read("/proc/sys/vm/overcommit_memory") or "",
                   read("/proc/sys/vm/nr_overcommit_hugepages") or "", pools())


def place(candidates: Sequence[str], room: int) -> Optional[str]:
    """The first directory whose file system has *room* bytes free, or None."""
    for path in candidates:
        try:
            free = os.statvfs(path)
        except OSError:
            continue
        if free.f_bavail * free.f_frsize >= room:
            return path
    return None


def clear(path: str) -> None:
    """Removes what a trial that was cut off has left in that directory. Its server ends by itself, a minute after."""
    for name in os.listdir(path):
        full = os.path.join(path, name)
        if name.startswith(PREFIX):
            found = os.lstat(full)
            if stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > OLD:
                shutil.rmtree(full, ignore_errors=True)


def words_of(log: str) -> str:
    """The server's reason out of its log: the fatal line, and those before it where it only says that there are errors."""
    lines = [re.sub(r"^.*?\b(FATAL|PANIC|LOG|ERROR|WARNING|DETAIL|HINT):  ?", r"\1: ", line.strip())
             for line in log.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith(("FATAL: ", "PANIC: ")):
            before = lines[:number] if re.search("contains errors|could not create any", line) else []
            return "; ".join(before[-3:] + [line])
    return "; ".join(lines[-3:]) or "no word in its log"


class Trial:
    """One trial. run: a runner. where: this machine's memory. places: directories for the scratch database, by preference."""

    def __init__(self, run: Runner, server: Server, where: Machine, places: Sequence[str]) -> None:
        self.run, self.server, self.where, self.places = run, server, where, places
        self.root = ""  # the owner's directory, in one of root's

    def go(self) -> Outcome:
        """Makes, starts, stops and removes the scratch database."""
        room = ROOM + 4 * self.server.segment
        path = place(self.places, room)
        if path is None:
            return Outcome(None, "none of %s has %d MB free for a scratch database" % (
                ", ".join(self.places), room // MB))
        clear(path)
        outer = tempfile.mkdtemp(prefix=PREFIX, dir=path)
        self.root = os.path.join(outer, INNER)
        try:
            give_inner(outer, pwd.getpwnam(self.server.owner))
            return self.attempt()
        except (HubError, OSError, KeyError) as error:
            return Outcome(None, str(error))
        finally:
            shutil.rmtree(outer, ignore_errors=True)  # by file descriptors: it removes links and follows none

    def attempt(self) -> Outcome:
        """The trial in self.root, which belongs to the database's user."""
        data = self.root + "/data"
        self.as_owner([self.server.bin_dir + "/initdb", "-D", data, "-A", "trust", "-N", "-E", "UTF8", "--locale=C",
                       "--wal-segsize=%d" % (self.server.segment // MB)], check=True)
        self.as_owner(["sh", "-c", WRITE, "trial", data + "/postgresql.conf"], check=True,
                      stdin="include %s\n" % setting(self.server.config_file) + "".join(
                          "%s = %s\n" % (name, setting(value)) for name, value in sorted(self.server.settings.items())))
        self.as_owner(["sh", "-c", COPY, "trial", self.server.data_dir + "/postgresql.auto.conf",
                       data + "/postgresql.auto.conf"], check=True)
        own = {"data_directory": data, "hba_file": data + "/pg_hba.conf", "ident_file": data + "/pg_ident.conf",
               "lc_messages": QUIET["lc_messages"]}
        quiet = dict(own, **dict(QUIET, unix_socket_directories=self.root))
        # The first looks at each value in the files, the second at the libraries too.
        huge = self.value("huge_pages", own)
        asked = huge if huge.rc else self.value("shared_memory_size" if self.server.major >= 15 else "shared_buffers", quiet)
        if asked.rc != 0:
            return Outcome(False, words_of(asked.err + asked.out))
        # In the setting's own unit: MB, or blocks, of which the buffers' headers and what else there is take a share more.
        number = int(asked.out.strip())
        need = number * MB if self.server.major >= 15 else number * BLOCK * 33 // 32
        sized = huge.out.strip() == "on" and self.server.major >= 14
        page = self.value("huge_page_size", own).out.strip() if sized else ""
        lowered = fits(need, self.where, self.server.held, huge.out.strip(), page)
        if not lowered and self.where.overcommit == 1 and huge.out.strip() != "on":
            return Outcome(False, "it asks for %d MB of shared memory, and this machine has %d MB of memory and swap"
                           % (need // MB, (self.where.total + self.where.swap) // MB), need)
        # What does not fit is tried as it is: the kernel refuses it before anything is touched, and the server says so.
        started = self.start(data, dict(quiet, **(SMALL if lowered else {})))
        return Outcome(started.rc == 0, "" if started.rc == 0 else words_of(started.out + started.err), need, lowered)

    def value(self, name: str, settings: Mapping[str, str]) -> Completed:
        """The value of a setting as the configuration has it: the program's result."""
        return self.as_owner([self.server.bin_dir + "/postgres", "-D", self.root + "/data"] + options(settings) + ["-C", name])

    def start(self, data: str, settings: Dict[str, str]) -> Completed:
        """Starts the server, and stops it at once: status 0 when it came up."""
        if self.server.major >= 14 and "shared_buffers" in settings:
            settings["min_dynamic_shared_memory"] = "0"
        if self.server.major >= 15:
            settings["archive_library"] = ""
        else:
            settings["stats_temp_directory"] = "pg_stat_tmp"
        done = self.as_owner(["sh", "-c", START, "trial", data, str(LIMIT), self.server.bin_dir + "/postgres", "-D", data]
                             + options(settings))
        if done.rc == 124:  # of timeout(1)
            raise HubError("it was not ready within %d s" % LIMIT)
        return done

    def as_owner(self, argv: List[str], check: bool = False, stdin: Optional[str] = None) -> Completed:
        """Runs argv as the database's user, with nothing of the environment."""
        return self.run(["runuser", "-u", self.server.owner, "--"] + CLEAN + argv, stdin=stdin, timeout=LIMIT + 10,
                        check=check)


def give_inner(outer: str, entry: pwd.struct_passwd) -> None:
    """Makes the owner's directory INNER in *outer*, which stays root's and lets the owner pass. Raises OSError."""
    handle = os.open(outer, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.mkdir(INNER, 0o700, dir_fd=handle)
        os.chown(INNER, entry.pw_uid, entry.pw_gid, dir_fd=handle, follow_symlinks=False)
        os.fchmod(handle, 0o711)
    finally:
        os.close(handle)


def options(settings: Mapping[str, str]) -> List[str]:
    """Settings as words of the server's command line."""
    return [word for name, value in sorted(settings.items()) for word in ("-c", "%s=%s" % (name, value))]
