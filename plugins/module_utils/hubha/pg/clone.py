# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions and texts of a base backup: what to do with a directory, what an error means, how far we are.

Pure functions; sizes are bytes, times are seconds, unless said otherwise.
"""

from __future__ import annotations

import os
import re

from ..core.text import human
from .control import RECOVERY_STATES

MIB = 1024 * 1024
RESERVE = 64 * MIB
PHASES = ("waiting", "checks", "slot", "checkpoint", "copying", "verify", "swap", "done")
# A finished clone that only waits for its rename is used by the next run while it is younger than this.
CLONE_GOOD_FOR = 86400

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


def human_time(seconds):
    """A duration for people: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    left = max(0, int(round(seconds)))
    if left < 60:
        return "%d s" % left
    if left < 3600:
        return "%d min %d s" % divmod(left, 60)
    return "%d h %d min" % divmod(left // 60, 60)


def quote_conninfo(value):
    """A value for a libpq connection string."""
    return "'%s'" % str(value).replace("\\", "\\\\").replace("'", "\\'")


def conninfo(settings):
    """A libpq connection string from a list of (key, value); pairs without a value are left out."""
    return " ".join("%s=%s" % (key, quote_conninfo(value)) for key, value in settings if value not in (None, ""))


def quote_identifier(name):
    """A name for a replication command."""
    return '"%s"' % name.replace('"', '""')


def space_needed(size):
    """Bytes that must be free for a database of *size* bytes: a tenth more, for WAL and growth, and 64 MB."""
    return int(size * 1.1) + RESERVE


def space_problem(size, free, where):
    """The operator's text when *free* bytes on *where* do not suffice for *size* bytes, else None."""
    needed = space_needed(size)
    if free >= needed:
        return None
    return ("Not enough space for the clone: the primary's databases hold %s, so %s must be free on the filesystem "
            "of %s, and %s are. Free %s there (or move it to a larger disk) and run again; nothing was changed."
            % (human(size), human(needed), where, human(free), human(needed - free)))


def classify(text, names):
    """(kind, message) of what psql or pg_basebackup printed.

    names: dict with host, port, user, passfile, sslrootcert, slot for the texts. kind is ``other`` when the
    text is not known.
    """
    detail = error_lines(text)
    for pattern, kind, what, remedy in ERRORS:
        if re.search(pattern, text):
            return kind, "%s %s PostgreSQL says: %s" % (what % names, remedy % names, detail)
    return "other", "The primary %s:%s cannot be cloned. PostgreSQL says: %s" % (names["host"], names["port"], detail)


def error_lines(text):
    """The lines of *text* that tell of an error, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not PROGRESS.match(line)]
    bad = [line for line in lines if re.search(r"error|fatal|detail|hint|could not|No space", line, re.I)
           and "removing" not in line]
    return "; ".join((bad or lines)[-4:]) or "nothing"


def valid_marker(marker, system_identifier):
    """Whether *marker* (dict or None) tells of a finished clone of this system."""
    return bool(marker) and marker.get("system_identifier") == system_identifier


def looks_like_database(present):
    """Whether the listing *present* (names in the data directory) is that of a database, whole or damaged."""
    return bool({"PG_VERSION", "global", "base", "pg_wal", "pg_xact"} & set(present))


def decide(facts, system_identifier, force_aside=False, guess=False):
    """What to do with the data directory: (action, kind or None, text or None).

    action: ``present`` (is the standby that was asked for), ``signal`` (is one but for standby.signal), ``clone``
    (nothing of value is there),
    ``aside`` (a stopped database is kept beside), ``refuse`` (kind and text say why).

    facts: dict of exists, listing (names), pid (int or None), control (parse_controldata or None),
    unreadable (str or None), standby_signal, backup_label (bool), marker (dict or None), data_dir (str), relation
    (evidence.Relation of this database to the primary's, None when the primary could not be asked).
    system_identifier: the primary's. guess: take a standby's or a copy's database that could not be compared for one
    that can follow; for predictions, and for a server that runs, which is not touched anyway.

    Present is what is proven to hold nothing that the primary lacks, and starts as a standby (``signal``: has to get
    standby.signal first). Files and the cluster state prove nothing: whoever starts a server as a standby makes
    standby.signal before, and a former primary that was started so once says "shut down in recovery" like any standby.
    """
    where = facts["data_dir"]
    if not facts["exists"] or not facts["listing"]:
        return "clone", None, None
    if not looks_like_database(facts["listing"]) and not facts["pid"]:
        return "clone", None, None
    control = facts["control"]
    aside = ("If its data may go, stop it and run again with force_aside: true: it is then kept as %s.before-<time>, "
             "never deleted." % where)
    if control is None:
        if facts["pid"]:
            return "refuse", "running", ("A PostgreSQL server (pid %s) runs on %s and cannot be examined: %s"
                                         % (facts["pid"], where, facts["unreadable"]))
        if force_aside:
            return "aside", None, None
        return "refuse", "unreadable", ("%s holds a database that cannot be examined, so nothing was changed: %s. %s"
                                        % (where, facts["unreadable"], aside))
    same = control["system_identifier"] == system_identifier
    copy = control["state"] in RECOVERY_STATES or facts["standby_signal"] and facts["backup_label"]
    found = facts.get("relation")
    if same and found is not None and found.follows and (copy or not facts["pid"]):
        return "present" if facts["pid"] or facts["standby_signal"] else "signal", None, None
    if same and copy and (facts["pid"] or guess) and not (found is not None and found.forked):
        return "present", None, None
    described = "state \"%s\", system identifier %s" % (control["state"], control["system_identifier"])
    if not same:
        text = ("%s has data of its own: it belongs to another database system (%s, the primary has %s)."
                % (where, described, system_identifier))
        if facts["pid"]:
            return "refuse", "foreign", "%s A server (pid %s) runs on it, so it is left alone. %s" % (
                text, facts["pid"], aside)
        return ("aside", None, None) if force_aside else ("refuse", "foreign", "%s %s" % (text, aside))
    if facts["pid"]:
        if copy:
            return "refuse", "forked", (
                "The standby on %s (pid %s) has gone another way than the primary and can never follow it: %s. Stop it, "
                "save what the primary lacks, and clone it anew: see docs/operate.md." % (where, facts["pid"], found))
        return "refuse", "primary", (
            "%s is a running primary (pid %s, %s) and is never overwritten. If the roles of the hubs were swapped, run "
            "this on the other hub." % (where, facts["pid"], described))
    if force_aside:
        return "aside", None, None
    if found is not None and found.forked:
        return "refuse", "forked", (
            "%s has gone another way than the primary, and holds what that one lacks: %s (%s). It is never "
            "overwritten. %s" % (where, found, described, aside))
    return "refuse", "primary", (
        "It is not proven that %s has no data of its own (%s): %s. It may hold transactions that exist nowhere else, so it "
        "is never overwritten. %s" % (where, described, found or "the primary could not be asked", aside))


def can_finish(marker, control, standby_signal, system_identifier, slot_restart_known, now):
    """Whether a clone directory that waits for its rename may be used as it is.

    marker: dict or None. control: parse_controldata of the clone or None. slot_restart_known: False when the
    primary has no WAL reserved for it any more. now: epoch seconds.
    """
    return bool(
        valid_marker(marker, system_identifier) and marker.get("state") == "complete"
        and control and control["system_identifier"] == system_identifier and standby_signal
        and slot_restart_known and 0 <= now - marker.get("time", 0) < CLONE_GOOD_FOR)


class Meter:
    """Turns the lines of ``pg_basebackup --progress --verbose`` into a progress dict.

    clock: callable that returns seconds. ``state`` has percent (int), bytes_done, bytes_total, rate (bytes per
    second, float), eta_seconds (float or None), phase, start_lsn, timeline.
    """

    WINDOW = 10.0

    def __init__(self, clock):
        self.clock = clock
        self.samples = []
        self.state = {"percent": 0, "bytes_done": 0, "bytes_total": None, "rate": None, "eta_seconds": None,
                      "phase": "checks", "start_lsn": None, "timeline": None}

    def phase(self, name):
        """Goes to phase *name* (see PHASES)."""
        self.state["phase"] = name
        return self.state

    def line(self, text):
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

    def bytes(self, done, total):
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


def progress_text(host, progress, width=20):
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


def final_text(host, result):
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


def paths(data_dir):
    """Where everything is for *data_dir*: dict of parent, clone, lock, marker, progress."""
    parent, name = os.path.split(data_dir)
    return {"parent": parent, "clone": os.path.join(parent, ".%s.clone" % name),
            "lock": os.path.join(parent, ".hub_ha_clone.lock"),
            "marker": os.path.join(parent, ".hub_ha_clone.json"),
            "progress": os.path.join(parent, ".hub_ha_clone.progress")}
