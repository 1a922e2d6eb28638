# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a base backup does with a data directory: leave it, clone into it, put it aside, or refuse. Pure functions.

Whether a database may follow the primary is evidence.relation()'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from .clone import looks_like_database
from .control import RECOVERY_STATES
from .evidence import Relation

# Seconds for which a finished clone that only waits for its rename is used by the next run.
CLONE_GOOD_FOR = 86400


@dataclass(frozen=True)
class Facts:
    """What a data directory holds.

    exists: whether it is there. listing: names in it. pid: of a server that runs on it. control: parse_controldata() of
    a database; unreadable: why there is none. standby_signal, backup_label: the files. relation: of this database to
    the primary's, None when the primary could not be asked.
    """

    data_dir: str
    exists: bool = False
    listing: Sequence[str] = ()
    pid: Optional[int] = None
    control: Optional[Mapping[str, Any]] = None
    unreadable: Optional[str] = None
    standby_signal: bool = False
    backup_label: bool = False
    relation: Optional[Relation] = None


class Decision(NamedTuple):
    """What to do with a data directory.

    action: ``present`` (is the standby that was asked for), ``signal`` (is one but for standby.signal), ``clone``
    (nothing of value is there), ``aside`` (a stopped database is kept beside), ``refuse`` (kind and text say why).
    """

    action: str
    kind: Optional[str] = None
    text: Optional[str] = None


def decide(facts: Facts, system_identifier: Optional[str], force_aside: bool = False, guess: bool = False) -> Decision:
    """What to do with the data directory.

    system_identifier: the primary's. guess: take a standby's or a copy's database that could not be compared for one
    that can follow; for predictions, and for a server that runs, which is not touched anyway.

    Present is what is proven to hold nothing that the primary lacks, and starts as a standby (``signal``: has to get
    standby.signal first). Files and the cluster state prove nothing: whoever starts a server as a standby makes
    standby.signal before, and a former primary that was started so once says "shut down in recovery" like any standby.
    """
    where = facts.data_dir
    if not facts.exists or not facts.listing:
        return Decision("clone")
    if not looks_like_database(facts.listing) and not facts.pid:
        return Decision("clone")
    control = facts.control
    aside = ("If its data may go, stop it and run again with force_aside: true: it is then kept as %s.before-<time>, "
             "never deleted." % where)
    if control is None:
        if facts.pid:
            return Decision("refuse", "running", "A PostgreSQL server (pid %s) runs on %s and cannot be examined: %s"
                            % (facts.pid, where, facts.unreadable))
        if force_aside:
            return Decision("aside")
        return Decision("refuse", "unreadable", "%s holds a database that cannot be examined, so nothing was changed: "
                        "%s. %s" % (where, facts.unreadable, aside))
    same = control["system_identifier"] == system_identifier
    copy = control["state"] in RECOVERY_STATES or facts.standby_signal and facts.backup_label
    found = facts.relation
    if same and found is not None and found.follows and (copy or not facts.pid):
        return Decision("present" if facts.pid or facts.standby_signal else "signal")
    if same and copy and (facts.pid or guess) and not (found is not None and found.forked):
        return Decision("present")
    described = "state \"%s\", system identifier %s" % (control["state"], control["system_identifier"])
    if not same:
        text = ("%s has data of its own: it belongs to another database system (%s, the primary has %s)."
                % (where, described, system_identifier))
        if facts.pid:
            return Decision("refuse", "foreign", "%s A server (pid %s) runs on it, so it is left alone. %s" % (
                text, facts.pid, aside))
        return Decision("aside") if force_aside else Decision("refuse", "foreign", "%s %s" % (text, aside))
    if facts.pid:
        if copy:
            return Decision("refuse", "forked", (
                "The standby on %s (pid %s) has gone another way than the primary and can never follow it: %s. Stop "
                "it, save what the primary lacks, and clone it anew: see docs/operate.md." % (where, facts.pid, found)))
        return Decision("refuse", "primary", (
            "%s is a running primary (pid %s, %s) and is never overwritten. If the roles of the hubs were swapped, run "
            "this on the other hub." % (where, facts.pid, described)))
    if force_aside:
        return Decision("aside")
    if found is not None and found.forked:
        return Decision("refuse", "forked", (
            "%s has gone another way than the primary, and holds what that one lacks: %s (%s). It is never "
            "overwritten. %s" % (where, found, described, aside)))
    return Decision("refuse", "primary", (
        "It is not proven that %s has no data of its own (%s): %s. It may hold transactions that exist nowhere else, "
        "so it is never overwritten. %s" % (where, described, found or "the primary could not be asked", aside)))


def can_finish(marker: Optional[Mapping[str, Any]], control: Optional[Mapping[str, Any]], standby_signal: bool,
               system_identifier: Optional[str], slot_restart_known: bool, now: int) -> bool:
    """Whether a clone directory that waits for its rename may be used as it is.

    marker: dict or None. control: parse_controldata of the clone or None. slot_restart_known: False when the
    primary has no WAL reserved for it any more. now: epoch seconds.
    """
    return bool(
        marker and marker.get("system_identifier") == system_identifier and marker.get("state") == "complete"
        and control and control["system_identifier"] == system_identifier and standby_signal
        and slot_restart_known and 0 <= now - marker.get("time", 0) < CLONE_GOOD_FOR)
