# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the guard looks at the hub and acts on it: /proc, signals, addresses, units.

What is asked five times a second starts no process and reads no disk: a disk that hangs must not hang the guard.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from ..core.run import SBIN, which
from ..pair.model import Pair
from . import guard as decide

COMM = dict((name[:15], name) for name in decide.DAEMONS)  # the kernel cuts a process's name there
SERVER_NAMES = ("postgres", "postmaster")
NET = "/sys/class/net"
DROP_TIME = 2.0  # seconds after which no more addresses are tried to be taken off in one go
QUIT_TIME = 0.5  # seconds that PostgreSQL has after SIGQUIT
CIB = "/var/lib/pacemaker/cib/cib.xml"
CLAIM = """SELECT pg_is_in_recovery(),
 CASE WHEN NOT pg_is_in_recovery() THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
 pg_snapshot_xmax(pg_current_snapshot())"""


def run(argv: List[str], timeout: float) -> Optional[subprocess.CompletedProcess[str]]:
    """The finished program, or None when it did not start or not end in time. Nothing of it is logged here."""
    environment = {"PATH": "%s:/usr/bin:/bin" % SBIN, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "1"}
    try:
        return subprocess.run(argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False, encoding="utf-8", errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None


class Processes:
    """Processes of this host by /proc, those of other pid namespaces (containers on the hub) left out."""

    def __init__(self, proc: str = "/proc") -> None:
        self.proc = proc
        self.own = self.namespace("self")

    def namespace(self, pid: Union[int, str]) -> Optional[int]:
        """The pid namespace's number; None when the process is gone."""
        try:
            return os.stat("%s/%s/ns/pid" % (self.proc, pid)).st_ino
        except OSError:
            return None

    def stat(self, pid: int) -> Optional[Tuple[str, str, int, int]]:
        """(name, state, parent, start time in ticks since boot), None when the process is gone. proc(5)."""
        try:
            with open("%s/%d/stat" % (self.proc, pid), "rb", buffering=0) as stream:
                text = stream.read(4096).decode("utf-8", "replace")
        except OSError:
            return None
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        return name, rest[0], int(rest[1]), int(rest[19])

    def session(self, pid: int) -> Optional[int]:
        """Its session: the pid of the process that began it. None when it is gone."""
        try:
            with open("%s/%d/stat" % (self.proc, pid), "rb", buffering=0) as stream:
                return int(stream.read(4096).rpartition(b")")[2].split()[3])
        except OSError:
            return None

    def variable(self, pid: int, name: str) -> Optional[str]:
        """A variable of the environment that it was started with, None without."""
        try:
            with open("%s/%d/environ" % (self.proc, pid), "rb") as stream:
                found = [item for item in stream.read().split(b"\0") if item.startswith(name.encode() + b"=")]
        except OSError:
            return None
        return found[0].decode("utf-8", "replace").partition("=")[2] if found else None

    def program(self, pid: int) -> str:
        """Name of the file that it runs, "" when that is not known."""
        try:
            return os.path.basename(os.readlink("%s/%d/exe" % (self.proc, pid))).replace(" (deleted)", "")
        except OSError:
            return ""

    def pids(self) -> Iterable[int]:
        """Of everything that runs."""
        return [int(name) for name in os.listdir(self.proc) if name.isdigit()]

    def named(self, names: Mapping[str, str]) -> Dict[str, List[Tuple[int, int]]]:
        """{value of names: [(start time, pid)], the oldest first} of this namespace's processes with these names."""
        found: Dict[str, List[Tuple[int, int]]] = {}
        for pid in self.pids():
            try:
                with open("%s/%d/comm" % (self.proc, pid), "rb", buffering=0) as stream:
                    comm = stream.read(64).decode("utf-8", "replace").rstrip("\n")
            except OSError:
                continue
            if comm in names and self.namespace(pid) == self.own:
                stat = self.stat(pid)
                if stat and stat[1] not in "ZX":
                    found.setdefault(names[comm], []).append((stat[3], pid))
        return dict((name, sorted(items)) for name, items in found.items())

    def titles(self, parent: int) -> List[str]:
        """What the children of a process call themselves."""
        found = []
        for pid in self.pids():
            if (self.stat(pid) or ("", "", 0))[2] != parent:
                continue
            try:
                with open("%s/%d/cmdline" % (self.proc, pid), "rb", buffering=0) as stream:
                    found.append(stream.read(256).decode("utf-8", "replace").replace("\0", " ").strip())
            except OSError:
                continue
        return found

    def inside(self, directory: str) -> List[int]:
        """Processes whose working directory it is: a PostgreSQL server's have its data directory, and a shell may."""
        found = []
        for pid in self.pids():
            try:
                if os.readlink("%s/%d/cwd" % (self.proc, pid)) == directory and self.namespace(pid) == self.own:
                    found.append(pid)
            except OSError:
                continue
        return found


class Daemons:
    """The cluster's daemons, found once and then looked at by their ids."""

    RESCAN = 5.0  # seconds; at once while one is missing

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.known: Dict[str, Tuple[int, int]] = {}
        self.held: Dict[str, Tuple[int, int]] = {}  # those that hold() has stopped
        self.scanned = 0.0

    def states(self, now: float) -> Dict[str, str]:
        """A state for each daemon."""
        found = self.read()
        missing = any(state == decide.GONE for state in found.values())
        if now - self.scanned >= self.RESCAN or missing:
            self.scanned = now
            # A forked child bears its parent's name until it becomes something else: the oldest is the daemon.
            self.known = dict((name, items[0]) for name, items in self.processes.named(COMM).items())
            found = self.read()
        return found

    def read(self) -> Dict[str, str]:
        found = {}
        for name in decide.DAEMONS:
            start, pid = self.known.get(name, (0, 0))
            stat = self.processes.stat(pid) if pid else None
            if stat is None or stat[3] != start or stat[1] in "ZX":
                found[name] = decide.GONE
            else:
                found[name] = {"T": decide.STOPPED, "t": decide.TRACED}.get(stat[1], decide.RUNNING)
                if found[name] == decide.STOPPED and self.held.get(name) == (start, pid):
                    found[name] = decide.RUNNING  # as it is meant to be
        return found

    def holds(self, name: str) -> bool:
        """Whether hold() has stopped it, and it is still that process."""
        start, pid = self.held.get(name, (0, 0))
        stat = self.processes.stat(pid) if pid else None
        return stat is not None and stat[3] == start

    def hold(self, name: str, wanted: bool) -> bool:
        """Stop a daemon (SIGSTOP), or let go on what was stopped here and no other one; whether that was done.

        Should the guard be killed meanwhile, its unit lets it go on (ExecStopPost), or else the next guard finds it stopped.
        """
        start, pid = self.known.get(name, (0, 0)) if wanted else self.held.pop(name, (0, 0))
        stat = self.processes.stat(pid) if pid else None
        if stat is None or stat[3] != start or stat[1] in "ZX" or wanted and stat[1] in "Tt":
            return False
        if wanted:
            self.held[name] = (start, pid)
        send(pid, signal.SIGSTOP if wanted else signal.SIGCONT)
        return True

    def pid(self, name: str) -> int:
        """Process id of a daemon that was seen, 0 when none was."""
        return self.known.get(name, (0, 0))[1]

    def kill(self, names: Iterable[str]) -> None:
        """SIGKILL, and only to what still is that daemon."""
        for name, items in self.processes.named(COMM).items():
            if name in names:
                for start, pid in items:
                    stat = self.processes.stat(pid)
                    if stat and stat[3] == start:
                        send(pid, signal.SIGKILL)

    def end_agents(self, resources: Collection[str]) -> List[int]:
        """SIGKILL to what resource agents of a pacemaker that is gone still do for these resources; their process ids.

        Nobody waits for their results, and the agent of PostgreSQL tries a day long to tell pacemaker what it saw: the next
        pacemaker here, and through it the hub that goes on, hears of a primary that has long been stopped. A PostgreSQL that
        an agent has started has a session of its own (pg_ctl), and is left alone.
        """
        found = []
        for pid in self.processes.pids():
            name = self.processes.variable(pid, "OCF_RESOURCE_INSTANCE")
            if name is None or name.partition(":")[0] not in resources \
                    or self.processes.namespace(pid) != self.processes.own:
                continue
            leader = self.processes.session(pid)
            stat = self.processes.stat(leader) if leader else None
            if leader and leader != pid and (stat is None or stat[1] in "ZX"):
                found.append(pid)
        for pid in found:
            send(pid, signal.SIGKILL)
        return found


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone by now."""
    try:
        os.kill(pid, number)
    except OSError:
        pass


class Server:
    """This hub's PostgreSQL, and no other."""

    def __init__(self, pair: Pair, processes: Processes) -> None:
        self.pair, self.processes = pair, processes

    def postmaster(self) -> Optional[int]:
        """Process id by postmaster.pid, confirmed by /proc; None when no server runs. Reads the disk."""
        try:
            with open(self.pair.data_dir + "/postmaster.pid", encoding="utf-8", errors="replace") as stream:
                pid = int(stream.readline())
            if os.readlink("%s/%d/cwd" % (self.processes.proc, pid)) == os.path.realpath(self.pair.data_dir):
                return pid
        except (OSError, ValueError):
            pass
        return None

    def role(self) -> str:
        """What runs here. Reads the disk. A server that recovers from a crash counts as what it will be."""
        if self.postmaster() is None:
            return decide.NO_SERVER
        return decide.STANDBY if any(os.path.exists("%s/%s.signal" % (self.pair.data_dir, name))
                                     for name in ("standby", "recovery")) else decide.PRIMARY

    def ready(self) -> bool:
        """Whether the server takes writes, by the last line of postmaster.pid: one that is on its way out does not."""
        try:
            with open(self.pair.data_dir + "/postmaster.pid", encoding="utf-8", errors="replace") as stream:
                return stream.read().splitlines()[-1].strip() == "ready"
        except (OSError, IndexError):
            return False

    def streams(self) -> bool:
        """Whether a standby's walreceiver is at work. One that PostgreSQL starts again and again, or that waits, is not."""
        postmaster = self.postmaster()
        titles = [] if postmaster is None else self.processes.titles(postmaster)
        return any("walreceiver" in item and not any(word in item for word in ("waiting", "restarting", "starting", "stopping"))
                   for item in titles)

    def written(self) -> Optional[float]:
        """When pg_control was written last: a stopped server's data has changed when this has. Reads the disk."""
        try:
            return os.stat(self.pair.data_dir + "/global/pg_control").st_mtime
        except OSError:
            return None

    def alive(self, pids: Iterable[int]) -> List[int]:
        """Those that are no zombies."""
        return [pid for pid in pids if (self.processes.stat(pid) or ("", "Z"))[1] not in "ZX"]

    def own(self, directory: str) -> List[int]:
        """The server's processes: PostgreSQL's in its data directory, and what was started by one and is there too.

        An administrator's shell in that directory is none. No disk is read.
        """
        inside = self.alive(self.processes.inside(directory))
        found = [pid for pid in inside if (self.processes.stat(pid) or ("",))[0] in SERVER_NAMES
                 or self.processes.program(pid) in SERVER_NAMES]
        servers = set(found)
        for pid in [pid for pid in inside if pid not in servers]:
            above = pid
            for dummy in range(32):
                above = (self.processes.stat(above) or ("", "", 0))[2]
                if above in servers or above <= 1:
                    break
            if above in servers:
                found.append(pid)
        return found

    def stop(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> str:
        """Stop the server at once, in 0.5 s and a little; what was done, for the log.

        SIGQUIT, an immediate shutdown: sessions end, WAL is complete to the last commit. What is left after half a
        second, and a server that somebody has stopped with a signal, is killed, sessions too.
        """
        directory, began = os.path.realpath(self.pair.data_dir), clock()
        pids = self.own(directory)
        # Of its children those that are reparented when it ends are still its own.
        known = dict((pid, (self.processes.stat(pid) or ("", "", 0, -1))[3]) for pid in pids)
        servers = [pid for pid in pids if (self.processes.stat(pid) or ("", "", 0))[2] not in pids]
        if not pids:
            return "PostgreSQL does not run"
        frozen = [pid for pid in servers if (self.processes.stat(pid) or ("", ""))[1] == "T"]
        if not frozen:
            for pid in servers:
                send(pid, signal.SIGQUIT)
            while clock() - began < QUIT_TIME and self.alive(pids):
                sleep(0.02)
        killed = 0
        for dummy in range(50):  # the postmaster first, or it starts new children
            left = self.own(directory)
            left += [pid for pid in self.alive(known) if pid not in left
                     and (self.processes.stat(pid) or ("", "", 0, -2))[3] == known[pid]]
            if not left:
                break
            for pid in [pid for pid in servers if pid in left] + [pid for pid in left if pid not in servers]:
                send(pid, signal.SIGKILL)
                killed += 1
            sleep(0.02)
        else:
            return "PostgreSQL is NOT stopped after %.2f s: %s" % (clock() - began, ", ".join(
                "%s %d in state %s" % (stat[0], pid, stat[1])
                for pid, stat in ((pid, self.processes.stat(pid) or ("process", "?")) for pid in left)))
        return "PostgreSQL is stopped after %.2f s%s" % (clock() - began, ", %d processes by SIGKILL" % killed
                                                         if killed else "")

    def claim(self) -> Optional[Dict[str, Optional[int]]]:
        """{"timeline", "next_xid"} of a primary as it answers; None when it does not, or is none.

        Asked as root, whose role every hub has.
        """
        argv = [self.pair.bin_dir + "/psql", "-XAtqw", "-F", " ", "-d", "postgres", "-p", str(self.pair.port), "-c",
                CLAIM]
        if self.pair.socket_dir:
            argv += ["-h", self.pair.socket_dir]
        done = run(argv, 1.5)
        words = done.stdout.split() if done is not None and done.returncode == 0 else []
        if len(words) != 3 or words[0] != "f":
            return None
        return {"timeline": int(words[1]), "next_xid": int(words[2])}


def addresses() -> Optional[List[Dict[str, Any]]]:
    """`ip -j address`; None when it does not answer."""
    done = run(["ip", "-j", "address"], 1.0)
    try:
        return json.loads(done.stdout) if done is not None and done.returncode == 0 else None
    except ValueError:
        return None


def interfaces() -> List[Dict[str, Any]]:
    """`ip -j address`; an empty list when it does not answer."""
    return addresses() or []


def answers(address: str) -> bool:
    """Whether an address answers one ping within a second. What cannot be tried, for want of ping, moves nothing."""
    if which("ping") is None:
        return True
    done = run(["ping", "-n", "-q", "-c", "1", "-W", "1", address], 2.0)
    return done is not None and done.returncode == 0


@dataclass(frozen=True)
class Dropped:
    """taken: shared addresses that were taken off. left: those that are still here, None when that is not known."""

    taken: Tuple[str, ...]
    left: Optional[Tuple[str, ...]]
    shared: Tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the log."""
        taken = "addresses taken off: %s" % (", ".join(self.taken) or "none")
        if self.left is None:
            return "%s; whether %s is still here is not known: `ip address` does not answer" % (
                taken, ", ".join(item for item in self.shared if item not in self.taken))
        if self.left:
            return "%s; STILL HERE: %s" % (taken, ", ".join(self.left))
        return taken if self.taken else "addresses taken off: none was here"


def shared_here(pair: Pair) -> Optional[List[Tuple[str, int, str]]]:
    """[(address, prefix, interface)] of the shared addresses that this hub has; None when `ip` does not answer."""
    found = addresses()
    shared = [item.ip for item in pair.addresses]
    return None if found is None else [
        (info["local"], info["prefixlen"], item["ifname"]) for item in found for info in item.get("addr_info") or []
        if info.get("local") in shared]


def drop_addresses(pair: Pair, go_on: Callable[[], bool] = lambda: True,
                   clock: Callable[[], float] = time.monotonic, net: str = NET) -> Dropped:
    """Take the shared addresses off this hub's interfaces, and look whether they are gone. Takes 4 s at most.

    Where `ip` does not tell what is here, each address is tried on each interface. go_on: asked before each.
    """
    began, here = clock(), shared_here(pair)
    taken: List[str] = []
    shared = tuple(item.ip for item in pair.addresses)
    if here is None:
        try:
            names = sorted(name for name in os.listdir(net) if name != "lo")
        except OSError:
            names = []
        # Without a prefix `ip` takes an IPv4 address off whatever its prefix is.
        tries = [(item.ip, item.ip if item.prefix is None else "%s/%s" % (item.ip, item.prefix), name)
                 for item in pair.addresses for name in names]
    else:
        tries = [(address, "%s/%s" % (address, prefix), name) for address, prefix, name in here]
    for address, word, name in tries:
        if clock() - began > DROP_TIME or not go_on():
            break
        done = run(["ip", "address", "del", word, "dev", name], 1.0)
        if done is not None and done.returncode == 0 and address not in taken:
            taken.append(address)
    after = here if not tries else shared_here(pair)
    if after is not None:
        left: Optional[Tuple[str, ...]] = tuple(address for address, dummy, dummy_name in after)
    else:
        left = () if set(taken) == set(shared) else None
    return Dropped(tuple(taken), left, shared)


def units() -> Optional[Dict[str, decide.Unit]]:
    """The cluster's units; None when systemd does not answer within a second."""
    done = run(["systemctl", "show", "corosync.service", "pacemaker.service", "--property",
                "Id,ActiveState,Result,ExecMainStatus"], 1.0)
    if done is None or done.returncode != 0:
        return None
    found = {}
    for block in done.stdout.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = values.get("Id", "").rsplit(".", 1)[0]
        status = values.get("ExecMainStatus", "")
        found[name] = decide.Unit(values.get("ActiveState", ""), values.get("Result", ""), int(status)
                                  if status.isdigit() else -1)
    return found


def idle(node: str, path: str = CIB) -> Optional[str]:
    """Why the CIB on disk forbids to act on this hub's database, None when it does not."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        text = None
    except (OSError, ValueError):
        text = ""
    return decide.idle_reason(text, node)


def look(pair: Pair, now: float, path: str = CIB) -> decide.Look:
    """What systemd and the CIB on disk say. now: when it began."""
    return decide.Look(now, units(), idle(pair.node, path))


def start_daemons(daemons: Daemons, corosync: bool, alone: bool, log: Callable[[str], None],
                  wait: Callable[[], None], resources: Collection[str] = ()) -> bool:
    """What is left of the daemons is killed, and they are started again. corosync: it too. True when systemd did it.

    alone: a hub whose peer is away. A corosync that starts alone has no quorum (wait_for_all), and pacemaker would stop
    everything: this hub had the quorum before, and keeps it. wait: called before pacemaker is started. resources: ids of
    those whose agents' work of before ends then.
    """
    def systemctl(*words: str, limit: float = 30.0) -> bool:
        done = run(["systemctl"] + list(words), limit)
        if done is None or done.returncode != 0:
            log("systemctl %s: %s" % (" ".join(words), "no answer in %d s" % limit if done is None
                                      else done.stderr.strip()))
            return False
        return True

    daemons.kill([name for name in decide.DAEMONS if corosync or name != decide.COROSYNC])
    # Or systemd starts a pacemakerd that was killed again, by itself and too early. Nothing else of the unit is touched
    # (KillMode=process): PostgreSQL may be a part of it.
    systemctl("stop", "pacemaker.service", limit=10.0)
    daemons.end_agents(resources)
    run(["systemctl", "reset-failed", "corosync.service", "pacemaker.service"], 5.0)
    if not systemctl("start", "corosync.service"):
        return False
    if corosync and alone:
        done = run(["corosync-cmapctl", "-s", "quorum.cancel_wait_for_all", "u8", "1"], 5.0)
        if done is None or done.returncode != 0:
            log("corosync-cmapctl -s quorum.cancel_wait_for_all: %s" % (
                "no answer in 5 s" if done is None else (done.stderr or done.stdout).strip()))
    wait()
    daemons.end_agents(resources)  # of one that was on its way to its end
    return systemctl("start", "pacemaker.service")
