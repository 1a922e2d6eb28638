# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts and numbers of a base backup: what an error means, what space it needs, how far we are.

Pure functions; sizes are bytes, times are seconds, unless said otherwise.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..core.text import human
from .quote import conninfo_value

MIB = 1024 * 1024
RESERVE = 64 * MIB
PHASES = ("waiting", "checks", "slot", "checkpoint", "copying", "verify", "swap", "done")

PROGRESS = re.compile(r"^\s*(\d+)/(\d+) kB \((\d+)%\)")
START = re.compile(r"write-ahead log start point: ([0-9A-F]+/[0-9A-F]+) on timeline (\d+)")

# What libpq or the server says (they have no error codes at this point), what it is, and what to do.
ERRORS = (
    (r"password authentication failed",
     "password", "The primary refuses the password of role %(user)s.",
     "Check that the passfile %(passfile)s holds the password that the role has on the primary (and that the "
     "role exists there)."),
    (r"no password supplied|password retrieved from file|fe_sendauth",
     "no_password", "No password for role %(user)s on %(host)s:%(port)s was found.",
     "The passfile %(passfile)s needs a line %(host)s:%(port)s:replication:%(user)s:PASSWORD and mode 0600."),
    (r"no pg_hba\.conf entry",
     "pg_hba", "The primary's pg_hba.conf lets no replication connection of role %(user)s in from this host.",
     "Add a line 'hostssl replication %(user)s ADDRESS_OF_THIS_HOST/32 scram-sha-256' on the primary and reload it; "
     "if there is one, check sslmode."),
    (r"pg_hba\.conf rejects",
     "pg_hba", "A 'reject' line in the primary's pg_hba.conf turns this host away.",
     "Move the entry for role %(user)s above it and reload the primary."),
    (r"certificate verify failed|does not match host name|server certificate|root certificate file|"
     r"server does not support SSL|SSL error|certificate present, but not private key|sslmode value|"
     r"could not read root certificate",
     "tls", "The TLS connection to the primary could not be made or trusted.",
     "Check that sslrootcert (%(sslrootcert)s) holds the authority that signed the primary's certificate, that "
     "the certificate names %(host)s when sslmode is verify-full, and that 'ssl' is on there."),
    (r"Connection refused",
     "refused", "Nothing listens on %(host)s port %(port)s.",
     "Check that PostgreSQL runs on the primary and that its listen_addresses include the replication address."),
    (r"could not translate host name|Name or service not known",
     "name", "The name %(host)s does not resolve on this host.",
     "Add it to /etc/hosts or DNS, or give an address."),
    (r"timeout expired|timed out|No route to host|Network is unreachable|did not end within",
     "unreachable", "%(host)s port %(port)s cannot be reached.",
     "Check the network between the hubs and the firewall on both."),
    (r"is active for PID (\d+)",
     "slot_active", "The replication slot %(slot)s is in use by another connection.",
     "Another standby streams through it, or an earlier one has not been noticed as gone yet (wal_sender_timeout). "
     "Stop that standby, or choose another slot."),
    (r"all replication slots are in use",
     "slots_full", "The primary has no free replication slot.",
     "Raise max_replication_slots on the primary (needs a restart) or drop slots that nobody uses."),
    (r"max_wal_senders|number of requested standby connections",
     "senders_full", "The primary has no free WAL sender (a clone needs two).",
     "Raise max_wal_senders on the primary (needs a restart)."),
    (r"WAL level not sufficient|wal_level",
     "wal_level", "The primary's wal_level is too low for a standby.",
     "Set wal_level = replica on the primary (needs a restart)."),
    (r"replication role|permission denied to start WAL sender|is not permitted to log in|REPLICATION attribute",
     "role", "The role %(user)s may not replicate.",
     "Give it LOGIN and REPLICATION on the primary: the module replication_role does that."),
    (r"the database system is (starting up|shutting down|in recovery mode|not yet accepting)",
     "not_ready", "The primary is starting or stopping.", "Wait until it accepts connections and run again."),
    (r"too many clients|remaining connection slots",
     "too_many", "The primary has no free connection.", "Raise max_connections there or close connections."),
    (r"No space left on device",
     "space", "The disk became full while copying.", "Free space below the parent of the data directory."),
    (r"exists but is not empty",
     "tablespace", "A directory that the copy must fill is not empty.",
     "A tablespace keeps its absolute path on the standby: empty that directory here."),
)

INVALID_SLOT = re.compile(r"has been invalidated|can no longer access replication slot|can no longer get changes|"
                          r"requested WAL segment \S+ has already been removed|exceeded the maximum reserved size|"
                          r"cannot read from .*replication slot", re.S)


def human_time(seconds: float) -> str:
    """A duration for people: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    left = max(0, int(round(seconds)))
    if left < 60:
        return "%d s" % left
    if left < 3600:
        return "%d min %d s" % divmod(left, 60)
    return "%d h %d min" % divmod(left // 60, 60)


def conninfo(settings: Iterable[Tuple[str, object]]) -> str:
    """A libpq connection string from a list of (key, value); pairs without a value are left out."""
    return " ".join("%s=%s" % (key, conninfo_value(value)) for key, value in settings if value not in (None, ""))


def space_needed(size: float) -> int:
    """Bytes that must be free for a database of *size* bytes: a tenth more, for WAL and growth, and 64 MB."""
    return int(size * 1.1) + RESERVE


def space_problem(size: float, free: float, where: str) -> Optional[str]:
    """The operator's text when *free* bytes on *where* do not suffice for *size* bytes, else None."""
    needed = space_needed(size)
    if free >= needed:
        return None
    return ("Not enough space for the clone: the primary's databases hold %s, so %s must be free on the filesystem "
            "of %s, and %s are. Free %s there (or move it to a larger disk) and run again; nothing was changed."
            % (human(size), human(needed), where, human(free), human(needed - free)))


def classify(text: str, names: Mapping[str, Any]) -> Tuple[str, str]:
    """(kind, message) of what psql or pg_basebackup printed.

    names: dict with host, port, user, passfile, sslrootcert, slot for the texts. kind is ``other`` when the
    text is not known.
    """
    detail = error_lines(text)
    for pattern, kind, what, remedy in ERRORS:
        if re.search(pattern, text):
            return kind, "%s %s PostgreSQL says: %s" % (what % names, remedy % names, detail)
    return "other", "The primary %s:%s cannot be cloned. PostgreSQL says: %s" % (names["host"], names["port"], detail)


def error_lines(text: str) -> str:
    """The lines of *text* that tell of an error, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not PROGRESS.match(line)]
    bad = [line for line in lines if re.search(r"error|fatal|detail|hint|could not|No space", line, re.I)
           and "removing" not in line]
    return "; ".join((bad or lines)[-4:]) or "nothing"


def looks_like_database(present: Sequence[str]) -> bool:
    """Whether the listing *present* (names in the data directory) is that of a database, whole or damaged."""
    return bool({"PG_VERSION", "global", "base", "pg_wal", "pg_xact"} & set(present))


class Meter:
    """Turns the lines of ``pg_basebackup --progress --verbose`` into a progress dict.

    clock: callable that returns seconds. ``state`` has percent (int), bytes_done, bytes_total, rate (bytes per
    second, float), eta_seconds (float or None), phase, start_lsn, timeline.
    """

    WINDOW = 10.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.samples: List[Tuple[float, int]] = []
        self.state: Dict[str, Any] = {
            "percent": 0, "bytes_done": 0, "bytes_total": None, "rate": None, "eta_seconds": None,
            "phase": "checks", "start_lsn": None, "timeline": None}

    def phase(self, name: str) -> Dict[str, Any]:
        """Goes to phase *name* (see PHASES)."""
        self.state["phase"] = name
        return self.state

    def line(self, text: str) -> bool:
        """Takes one line; returns True when the state changed."""
        match = PROGRESS.match(text)
        if match:
            self.bytes(int(match.group(1)) * 1024, int(match.group(2)) * 1024)
            return True
        if "waiting for checkpoint" in text:
            self.phase("checkpoint")
            return True
        match = START.search(text)
        if match:
            self.state.update(start_lsn=match.group(1), timeline=int(match.group(2)))
            self.phase("copying")
            return True
        if "syncing data to disk" in text:
            self.phase("verify")
            return True
        return False

    def bytes(self, done: int, total: int) -> None:
        """Takes *done* of *total* bytes as copied by now; the rate is over the last ten seconds."""
        now = self.clock()
        self.samples.append((now, done))
        while len(self.samples) > 2 and now - self.samples[0][0] > self.WINDOW:
            self.samples.pop(0)
        # The total is the server's estimate and can be passed.
        total = max(done, total)
        rate = None
        passed = now - self.samples[0][0]
        if passed > 0:
            rate = (done - self.samples[0][1]) / passed
        self.state.update(
            bytes_done=done, bytes_total=total, percent=int(done * 100 / total) if total else 0,
            rate=rate, eta_seconds=(total - done) / rate if rate else None, phase="copying")


def progress_text(host: str, progress: Mapping[str, Any], width: int = 20) -> str:
    """The line that a person sees, from a progress dict."""
    phase = progress.get("phase")
    head = "[%s] base backup" % host
    if phase == "waiting":
        return head + "  waiting for another one that works on the same directory"
    if phase == "checks":
        return head + "  checks before the copy"
    if phase == "slot":
        return head + "  making the replication slot"
    if phase == "checkpoint":
        return head + "  waiting for the primary's checkpoint"
    if phase == "copying" and not progress.get("bytes_total"):
        return head + "  the copy begins"
    percent = min(100, int(progress.get("percent") or 0))
    filled = percent * width // 100
    parts = ["%s %3d %% %s" % (head, percent, "#" * filled + "." * (width - filled)),
             "%s of %s" % (human(progress.get("bytes_done")), human(progress.get("bytes_total")))]
    if progress.get("rate"):
        parts.append("%s/s" % human(progress["rate"]))
    if phase == "verify":
        parts.append("writing to disk and checking")
    elif phase == "swap":
        parts.append("putting it in place")
    elif progress.get("eta_seconds") is not None:
        parts.append("about %s left" % human_time(progress["eta_seconds"]))
    return "  ".join(parts)


def final_text(host: str, result: Mapping[str, Any]) -> str:
    """The last line, from the module's result."""
    head = "[%s] base backup " % host
    if result.get("failed"):
        return head + " failed"
    if not result.get("changed"):
        return head + " not needed: this host already is a standby of system %s" % result.get("system_identifier")
    if result.get("resumed"):
        return head + " finished: the clone that an earlier run had completed was put in place"
    text = head + " 100 %% %s  %s in %.1f s" % ("#" * 20, human(result.get("bytes")), result.get("seconds") or 0.0)
    if result.get("rate"):
        text += "  %s/s" % human(result["rate"])
    return text


def paths(data_dir: str) -> Dict[str, str]:
    """Where everything is for *data_dir*: dict of parent, clone, lock, marker, progress."""
    parent, name = os.path.split(data_dir)
    return {"parent": parent, "clone": os.path.join(parent, ".%s.clone" % name),
            "lock": os.path.join(parent, ".hub_ha_clone.lock"),
            "marker": os.path.join(parent, ".hub_ha_clone.json"),
            "progress": os.path.join(parent, ".hub_ha_clone.progress")}
