# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes this host a standby of a primary: looks, decides, makes the slot, copies, checks, and swaps.

Everything that can be checked is checked before the first change. A running database is never touched, a primary is
never overwritten, a database is never deleted. A run that was cut off is finished or cleaned up by the next one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional

from ..core.files import read_text
from ..core.run import CommandMissing, HubError
from . import clone as model, look
from .client import SERVERS_WORDS, Postgres, PostgresError
from .clone_decision import Facts, can_finish, decide
from .clone_place import Place, server_on
from .clone_source import Identity, Primary, Source
from .control import parse_backup_label
from .evidence import Side, relation

# In a dry run, errors of what an earlier step would still make.
NOT_YET = ("passfile", "password", "no_password", "pg_hba", "tls", "role", "refused")


@dataclass(frozen=True)
class Options:
    """How it is done.

    checkpoint: fast or spread. max_rate: as pg_basebackup takes it, None for no limit. wait_lock: seconds to wait for
    another run. timeout: seconds for the copy. expected_bytes: of the primary's databases, None when nobody knows.
    keep_old: keep what is no database and made way; a database is always kept. force_aside: a stopped database of
    another past makes way, too. verify: read the copy again, by its manifest.
    """

    checkpoint: str = "fast"
    max_rate: Optional[str] = None
    wait_lock: float = 300
    timeout: float = 86400
    expected_bytes: Optional[int] = None
    keep_old: bool = True
    force_aside: bool = False
    verify: bool = False


@dataclass(frozen=True)
class Copied:
    """How a clone came to be. slot: created, recreated or kept. size, seconds: None when an earlier run copied it."""

    slot: str
    start_lsn: Optional[str]
    size: Optional[int] = None
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Outcome:
    """What was done, or in a dry run would be.

    state: "present", or "predicted" by a dry run. old_data_dir: where what made way is kept. resumed: the clone was one
    that an earlier run had completed. before, after: what the data directory holds, for people; "" when nothing
    changes. copied: of a clone that was made.
    """

    changed: bool
    state: str
    data_dir: str
    system_identifier: Optional[str]
    timeline: Optional[int]
    old_data_dir: Optional[str] = None
    resumed: bool = False
    before: str = ""
    after: str = ""
    copied: Optional[Copied] = None


class CloneRun:
    """One run. place: where it goes. primary: where it comes from. warn: text ->. Raises HubError, OSError."""

    def __init__(self, postgres: Postgres, data_dir: str, source: Source, options: Options = Options(),
                 dry_run: bool = False, warn: Callable[[str], Any] = lambda text: None,
                 progress_file: Optional[str] = None, statvfs: Callable[[str], Any] = os.statvfs) -> None:
        self.postgres = postgres
        self.place = Place(postgres, data_dir, progress_file, dry_run, statvfs)
        self.primary = Primary(postgres, source)
        self.source = source
        self.options = options
        self.dry_run = dry_run
        self.warn = warn
        self.identity = Identity()
        self.has_owner = True

    def run(self) -> Outcome:
        """Does it, alone on this data directory."""
        try:
            return self._run()
        finally:
            self.place.unlock()

    def _run(self) -> Outcome:
        try:
            self.postgres.as_owner([])
        except HubError:
            # Before a package is installed there is no such user; a dry run goes on and warns later.
            if not self.dry_run:
                raise
            self.has_owner = False
        if not self.dry_run and os.path.isdir(self.place.paths["parent"]):
            self.place.lock(self.options.wait_lock)
        facts = self._inspect()
        if facts.pid and self.source.system_identifier:
            # Beside a server that runs nothing is made, so a primary that does not answer is no obstacle.
            self.identity = Identity(self.source.system_identifier)
            facts = self._compare(facts)
            if self._decide(facts) == "present":
                return self._present(facts)
        self.identity = self._predict_identity(facts) if self.dry_run else self.primary.identify()
        facts = self._compare(facts)
        action = self._decide(facts)
        if action in ("present", "signal"):
            return self._made_standby(facts, action == "signal")
        self.place.check(self.has_owner)
        if self.options.expected_bytes:
            self.place.check_space(self.options.expected_bytes)
        wanted = Outcome(True, "predicted", self.place.data_dir, self.identity.system_identifier,
                         self.identity.timeline, before=self._described(facts) + "\n",
                         after="standby of system %s cloned from %s in %s\n" % (
                             self.identity.system_identifier or "(not known yet)", self.source.host,
                             self.place.data_dir))
        if self.dry_run:
            return wanted
        if not self.place.locked:
            self.place.make_parent()
            self.place.lock(self.options.wait_lock)
            facts = self._compare(self._inspect())
            action = self._decide(facts)
            if action in ("present", "signal"):
                return self._made_standby(facts, action == "signal")
        return self._clone(wanted, keep_old=self.options.keep_old or action == "aside")

    # -- what is there -------------------------------------------------------------------------------------------

    def _inspect(self) -> Facts:
        """What the data directory holds."""
        where = self.place.data_dir
        if not os.path.lexists(where):
            return Facts(where)
        if not os.path.isdir(where):
            raise PostgresError("path", "%s is there but is not a directory: move it away." % where)
        facts = Facts(where, True, tuple(sorted(os.listdir(where))), server_on(where),
                      standby_signal=os.path.exists(os.path.join(where, "standby.signal")),
                      backup_label=os.path.exists(os.path.join(where, "backup_label")))
        if model.looks_like_database(facts.listing) or facts.pid:
            try:
                return replace(facts, control=self.postgres.controldata(where))
            except CommandMissing as error:
                return replace(facts, unreadable="%s; install PostgreSQL's programs first" % error.message)
            except PostgresError as error:
                return replace(facts, unreadable=error.message)
        return facts

    def _compare(self, facts: Facts) -> Facts:
        """*facts* with the relation of what is there to the primary, as far as there is something to compare."""
        if not facts.control or facts.control["system_identifier"] != (
                self.identity.system_identifier or self.source.system_identifier):
            return facts
        run, bin_dir, owner = self.postgres.run, self.postgres.bin_dir, self.postgres.owner or ""

        def mine(primary: Optional[Side] = None) -> Side:
            return look.local_side(run, self.place.data_dir, bin_dir, owner, primary, "this database",
                                   control=facts.control)

        def theirs() -> Side:
            return look.remote_side(run, bin_dir, owner, self.primary.conninfo(False), "the primary")

        if facts.pid:
            here = mine()  # first, because the primary goes on
            primary = theirs()
        else:
            primary = theirs()
            here = mine(primary)
        return replace(facts, relation=None if isinstance(primary, look.NoAnswer) else relation(here, primary))

    def _predict_identity(self, facts: Facts) -> Identity:
        """Primary.identify() in a dry run: what an earlier step would still make is no error here."""
        try:
            self.postgres.as_owner([])
            return self.primary.identify()
        except CommandMissing as error:
            self.warn("The primary was not asked: %s (yet)." % error.message)
        except PostgresError as error:
            # The server's own refusal in another language than English is not known for what it is.
            refused = error.kind == "other" and SERVERS_WORDS.search(error.details.get("stderr", ""))
            if error.kind not in NOT_YET and not refused:
                raise
            self.warn("The primary could not be asked yet: %s" % error.message)
        except HubError as error:
            self.warn("The primary was not asked: %s" % error.message)
        return Identity(self.source.system_identifier or (facts.control or {}).get("system_identifier"))

    def _decide(self, facts: Facts) -> str:
        """decide() for the primary's identifier; raises PostgresError when it refuses."""
        action, kind, text = decide(facts, self.identity.system_identifier, self.options.force_aside,
                                    guess=self.dry_run)
        if action == "refuse":
            raise PostgresError(kind or "", text or "")
        return action

    # -- what comes of it ----------------------------------------------------------------------------------------

    def _described(self, facts: Facts) -> str:
        """What the data directory holds, for the diff."""
        where, control = self.place.data_dir, facts.control
        if not facts.exists or not facts.listing:
            return "no database in %s" % where
        if control:
            return "database of system %s in %s (%s)" % (control["system_identifier"], where, control["state"])
        return "no database in %s (%d other entries)" % (where, len(facts.listing))

    def _present(self, facts: Facts) -> Outcome:
        """The standby is there."""
        control = facts.control or {}
        return Outcome(False, "present", self.place.data_dir, control.get("system_identifier"),
                       control.get("timeline"))

    def _made_standby(self, facts: Facts, signal: bool) -> Outcome:
        """A database can follow; with *signal* it gets the file that makes it do so."""
        if not signal:
            return self._present(facts)
        where = self.place.data_dir
        if not self.dry_run:
            self.place.make_signal(where)
        return replace(self._present(facts), changed=True,
                       before="%s has no standby.signal: it would start as a primary\n" % where,
                       after="%s has standby.signal: it is a standby of the primary\n" % where)

    # -- the work ------------------------------------------------------------------------------------------------

    def _clone(self, wanted: Outcome, keep_old: bool) -> Outcome:
        """Slot, copy, check, swap. wanted: what comes out of it, as far as it is known before."""
        version = self.identity.version_num or 0
        self.place.show("slot")
        slot = self.primary.slot_state(version)
        marker = self._finishable(slot)
        action = self.primary.make_slot(slot, version)
        if action == "created":
            marker = None  # no slot kept the WAL for that clone, so some of it may be gone
        resumed = marker is not None
        started = time.monotonic()
        if marker is None:
            self.place.fresh_clone()
            try:
                action = self._copy_with_slot(action, slot)
                marker = self._complete()
            except HubError:
                self.place.drop_clone()
                raise
        old = self.place.swap(keep_old)
        seconds = time.monotonic() - started
        self.place.meter.state["percent"] = 100
        self.place.show("done")
        copied = Copied(action, marker.get("start_lsn"))
        if not resumed:
            copied = replace(copied, size=self.place.meter.state["bytes_done"], seconds=seconds)
        control = self.postgres.controldata(self.place.data_dir)
        return replace(wanted, state="present", system_identifier=control["system_identifier"],
                       timeline=marker.get("timeline"), old_data_dir=old, resumed=resumed, copied=copied)

    def _finishable(self, slot: str) -> Optional[Dict[str, Any]]:
        """Marker of a whole clone of an earlier run that may be put in place as it is, else None."""
        clone, marker = self.place.paths["clone"], self.place.marker()
        if not marker or not os.path.isdir(clone):
            return None
        try:
            control = self.postgres.controldata(clone)
        except PostgresError:
            return None
        ready = can_finish(marker, control, os.path.exists(os.path.join(clone, "standby.signal")),
                           self.identity.system_identifier, slot in ("good", "unknown"), int(time.time()))
        return marker if ready else None

    def _copy_with_slot(self, action: str, slot: str) -> str:
        """Copies; a slot that was kept and turns out to be lost is made again. Returns what was done with the slot."""
        try:
            self._copy()
        except PostgresError as error:
            if action != "kept" or not (model.INVALID_SLOT.search(error.details.get("stderr", "")) or self._slot_lost()):
                raise
            action = self.primary.make_slot(slot, self.identity.version_num or 0, remake=True)
            self.place.fresh_clone()
            self._copy()
        return action

    def _slot_lost(self) -> bool:
        """Whether the primary says now that the slot is lost; it says so in no language."""
        try:
            return self.primary.slot_state(self.identity.version_num or 0) == "lost"
        except PostgresError:
            return False

    def _copy(self) -> None:
        """Runs pg_basebackup into the clone directory."""
        place, options = self.place, self.options
        meter = place.meter = model.Meter(time.monotonic)
        place.show("checkpoint")
        argv = [self.postgres.program("pg_basebackup"), "-D", place.paths["clone"], "-F", "plain", "-X", "stream",
                "--checkpoint=%s" % options.checkpoint, "--slot=%s" % self.source.slot,
                "--progress", "--verbose", "--no-password", "-d", self.primary.conninfo(False)]
        if options.max_rate:
            argv.append("--max-rate=%s" % options.max_rate)
        checked: List[int] = []

        def on_line(line: str) -> None:
            if meter.line(line):
                total = meter.state["bytes_total"]
                if total and not checked:
                    checked.append(total)
                    # What the copy has written so far is no longer free, and no longer to be written.
                    place.check_space(total)
                place.show()

        done = self.postgres.stream(argv, on_line, options.timeout)
        if done.rc != 0:
            kind, message = model.classify(done.err, self.primary.names())
            raise PostgresError(kind, message, rc=done.rc, stderr=done.err[-4000:])

    def _complete(self) -> Dict[str, Any]:
        """Checks the copy, makes it a standby and writes the marker that says it is whole, which it returns."""
        clone = self.place.paths["clone"]
        self.place.show("verify")
        control = self.postgres.controldata(clone)
        if control["system_identifier"] != self.identity.system_identifier:
            raise PostgresError("identity", "The copy has the system identifier %s, the primary has %s: it was not put "
                                "in place. Does primary_host lead to more than one server?" % (
                                    control["system_identifier"], self.identity.system_identifier))
        label = read_text(os.path.join(clone, "backup_label"))
        if not label:
            raise PostgresError("incomplete", "The copy has no backup_label and was not put in place: run again.")
        if self.options.verify:
            # -n: WAL is checked when it is replayed, and needs pg_waldump.
            self.postgres.run(self.postgres.as_owner([self.postgres.program("pg_verifybackup"), "-n", clone]),
                              timeout=self.options.timeout)
        self.place.complete()
        marker = dict(parse_backup_label(label), system_identifier=self.identity.system_identifier,
                      data_dir=self.place.data_dir, state="complete", primary_host=self.source.host,
                      time=int(time.time()))
        self.place.mark(marker)
        return marker
