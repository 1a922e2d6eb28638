# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time for a pair: a lease that lies on each hub.

A run of a playbook takes it on all hubs before its first change and gives it back at its end. A run that was killed
leaves it. Who may take it then is decided here:

1. the run that has it (another play of the same run),
2. anybody, when nobody has it,
3. a run on the same controller as the holder's, when the holder's process is known to be gone there (said by the
   caller, who alone can look),
4. anybody, when it has not been renewed for as long as the holder wanted (Holder.valid),
5. who names the holder by the operator's word.

Nobody else; and nobody who read the hub before another run ended on it: what he knows is old.

The files lie below /var/lib, not /run: a hub that is booted in the middle of a run is still being worked on. Each is
replaced by a rename, all is decided under a lock of the kernel's, and only root may look.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Dict, Iterator, Optional

from .problem import Problem
from .run import HubError

DIRECTORY = "/var/lib/cfengine-hub-ha"
HELD, LAST, LOCK = "run.json", "last-run.json", "run.lock"
UNREADABLE = "unreadable"  # run id of a lease that cannot be read
HIDDEN = "hidden"          # start of a process that is there and is not shown


@dataclass(frozen=True)
class Holder:
    """A run.

    run: a short name of it, the same in all its plays. who: USER@CONTROLLER. what: its playbook. since, renewed:
    seconds since 1970 by this hub's clock. boot: this hub's boot at the renewal; up: seconds since that boot then.
    valid: seconds after the last renewal in which nobody else may take it. controller: what tells it from other
    machines and processes (see controller_alive).
    """

    run: str
    who: str
    what: str
    valid: float
    controller: Dict[str, Any]
    since: float = 0.0
    renewed: float = 0.0
    boot: str = ""
    up: float = 0.0

    def to_dict(self) -> Dict[str, Any]:
        """For the file, and for plays."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any) -> "Holder":
        """What the file says; anything that is no such thing is a holder that nobody knows."""
        names = {item.name for item in fields(Holder)}
        try:
            return Holder(**{key: value for key, value in data.items() if key in names})
        except (AttributeError, TypeError):
            return Holder(UNREADABLE, "nobody knows whom", "a playbook", float("inf"), {})


@dataclass(frozen=True)
class Now:
    """This hub's time: wall clock (seconds since 1970), name of the boot, seconds since it."""

    wall: float
    boot: str
    up: float

    def age(self, holder: Holder) -> float:
        """Seconds since the last renewal; a clock that was set meanwhile does not count within one boot."""
        return self.up - holder.up if holder.boot and holder.boot == self.boot else self.wall - holder.renewed

    def since_end(self, last: Dict[str, Any]) -> Optional[float]:
        """Seconds since a run has given its lease back; None when none has, or when only a clock that has been set back
        could tell. last: {"run", "ended", "boot", "up"}, the last two not in files of before."""
        if last.get("boot") and last.get("boot") == self.boot and "up" in last:
            return self.up - float(last["up"])
        age = self.wall - last["ended"] if "ended" in last else -1.0
        return age if age >= 0 else None


def this_hub() -> Now:
    """This hub's time. Raises HubError."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            boot = handle.read().strip()
    except OSError as error:
        raise HubError("this hub's boot cannot be told: %s" % error) from error
    return Now(time.time(), boot, time.clock_gettime(time.CLOCK_BOOTTIME))


@dataclass(frozen=True)
class Verdict:
    """held: the caller has it now. why: "free", "mine", "dead", "expired", "word" (held), "held", "changed" (not).

    holder: who has it, or had it until now; None when nobody did.
    """

    held: bool
    why: str
    holder: Optional[Holder] = None


def decide(current: Optional[Holder], last: Dict[str, Any], me: Holder, now: Now, read_at: Optional[float] = None,
           dead: str = "", word: str = "") -> Verdict:
    """Who has the lease now; see the rules above.

    current: who has it. last: of the run that gave it back last (see Now.since_end), or {}. read_at: when *me* began to
    read this hub, by its clock. dead: run id whose process is known to be gone. word: the operator's, a run id.
    """
    if current is not None and current.run == me.run:
        return Verdict(True, "mine", current)
    ended = now.since_end(last)
    if read_at is not None and last.get("run") != me.run and ended is not None and now.wall - read_at > ended:
        return Verdict(False, "changed", None)
    if current is None:
        return Verdict(True, "free")
    if current.run == dead:
        return Verdict(True, "dead", current)
    if now.age(current) > current.valid:
        return Verdict(True, "expired", current)
    return Verdict(True, "word", current) if word == current.run else Verdict(False, "held", current)


def run_id(controller: Dict[str, Any]) -> str:
    """A short name of a run, of what tells its process from all others."""
    return hashlib.sha256(json.dumps(controller, sort_keys=True).encode("utf-8")).hexdigest()[:10]


def controller_alive(theirs: Dict[str, Any], mine: Dict[str, Any], started: Optional[str]) -> Optional[bool]:
    """Whether the holder's process still runs, asked on *mine*; None when that cannot be told here.

    theirs, mine: {"host", "machine" (machine-id or ""), "boot", "space" (of process numbers), "pid", "started"}.
    started: when the process with that number on this machine was started, None when there is none, HIDDEN when that is
    not shown.
    """
    if not theirs.get("host") or any(theirs.get(key) != mine.get(key) for key in ("host", "machine")):
        return None
    if theirs.get("boot") != mine.get("boot"):
        return False if theirs.get("machine") and theirs.get("boot") and mine.get("boot") else None
    if theirs.get("space") != mine.get("space") or started == HIDDEN:
        return None
    return started is not None and started == theirs.get("started")


def stamp(seconds: float) -> str:
    """1790000000 -> "1 h"; how long, for people."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % max(0, seconds)


def refusal(host: str, verdict: Verdict, age: float, alive: Optional[bool]) -> Problem:
    """Why a run cannot begin on *host*. age: seconds since the holder's last renewal. alive: its process, by
    controller_alive."""
    holder = verdict.holder
    if verdict.why == "changed" or holder is None:
        return Problem("RUN_CHANGED", host, "another run has ended here since this one looked at the hub",
                       "what this one knows is old: run it again")
    if holder.run == UNREADABLE:
        return Problem("RUN_HELD", host, "the lease of another run cannot be read (%s/%s)" % (DIRECTORY, HELD),
                       "see that no playbook is at work on this pair, then: rm %s/%s" % (DIRECTORY, HELD))
    text = "%s of %s is at work on this pair (run %s, last heard of %s ago)" % (
        holder.what, holder.who, holder.run, stamp(age))
    if alive:
        return Problem("RUN_HELD", host, text, "wait for its end, or end it: it is process %s on this controller"
                       % holder.controller.get("pid"))
    return Problem("RUN_HELD", host, text, "wait for its end. If you know that it is dead, take its place: "
                   "-e hub_ha_run_takeover=%s (without that it counts for another %s)"
                   % (holder.run, stamp(holder.valid - age)))


def taken_text(verdict: Verdict, age: float) -> str:
    """What is said when a lease was taken over from a run that has not given it back; "" else."""
    reasons = {"dead": "its process is gone", "word": "by your word",
               "expired": "it has not been heard of for too long"}
    if verdict.why not in reasons or verdict.holder is None:
        return ""
    return "%s of %s (run %s, last heard of %s ago) had not come to its end here; this run goes on in its place: %s" % (
        verdict.holder.what, verdict.holder.who, verdict.holder.run, stamp(age), reasons[verdict.why])


class Lease:
    """The lease on this hub."""

    def __init__(self, directory: str, now: Now) -> None:
        self.directory, self.now = directory, now

    def take(self, me: Holder, read_at: Optional[float] = None, dead: str = "", word: str = "") -> Verdict:
        """Take or renew it, if that may be. Raises HubError when the files cannot be written."""
        with self._locked():
            verdict = decide(self._current(), self._read(LAST) or {}, me, self.now, read_at, dead, word)
            if verdict.held:
                mine = verdict.holder is not None and verdict.why == "mine"
                self._write(HELD, replace(
                    me, since=verdict.holder.since if mine and verdict.holder else self.now.wall,
                    renewed=self.now.wall, boot=self.now.boot, up=self.now.up).to_dict())
            return verdict

    def give(self, run: str) -> bool:
        """Give it back, if it is *run*'s; returns whether it was."""
        if not os.path.isdir(self.directory):
            return False
        with self._locked():
            current = self._current()
            if current is None or current.run != run:
                return False
            self._write(LAST, {"run": run, "ended": self.now.wall, "boot": self.now.boot, "up": self.now.up})
            os.unlink(os.path.join(self.directory, HELD))
            self._sync()
            return True

    def _current(self) -> Optional[Holder]:
        data = self._read(HELD)
        return None if data is None else Holder.from_dict(data)

    def _read(self, name: str) -> Any:
        """What is in the file; None when there is none, "" when it cannot be understood."""
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8") as handle:
                data = json.load(handle)
        except FileNotFoundError:
            return None
        except ValueError:
            data = ""
        return data if isinstance(data, dict) else "" if name == HELD else {}

    def _write(self, name: str, data: Dict[str, Any]) -> None:
        path = os.path.join(self.directory, name)
        handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)
        self._sync()

    def _sync(self) -> None:
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time looks and writes. The kernel ends the lock with the process."""
        try:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            handle = os.open(os.path.join(self.directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            raise HubError("the lease of this run cannot be written: %s -- See that %s is a directory of root's "
                           "with room." % (error, self.directory)) from error


@dataclass(frozen=True)
class Answer:
    """What a run is told. held, why: see Verdict; also "given", and "none" when there was nothing to give.

    refused: why it cannot begin, with a remedy. taken: from whom the lease was taken over. holder: who has it or had
    it, {} for nobody; age: seconds since he was last heard of.
    """

    held: bool = False
    why: str = "none"
    refused: str = ""
    taken: str = ""
    holder: Dict[str, Any] = field(default_factory=dict)
    age: float = 0.0


def ask(directory: str, me: Holder, read_at: Optional[float] = None, dead: str = "", word: str = "") -> Answer:
    """Take or renew the lease on this hub, if that may be; see Lease.take. Raises HubError."""
    here = Lease(directory, this_hub())
    verdict = here.take(me, read_at, dead, word)
    age = here.now.age(verdict.holder) if verdict.holder else 0.0
    return Answer(verdict.held, verdict.why,
                  "" if verdict.held else str(refusal(platform.node(), verdict, age, None)),
                  taken_text(verdict, age), verdict.holder.to_dict() if verdict.holder else {}, age)


def give_back(directory: str, run: str) -> Answer:
    """Give the lease on this hub back, if it is *run*'s. Raises HubError."""
    return Answer(why="given" if Lease(directory, this_hub()).give(run) else "none")
