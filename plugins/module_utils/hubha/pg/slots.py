# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Physical replication slots of a server: which there are, which have to be made or dropped, and doing it.

A slot on a standby is not moved on by anybody, so one there must reserve no WAL until the standby is promoted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .client import Postgres
from .quote import literal
from .server import server_address

LIST = ("SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active, 'restart_lsn', restart_lsn, "
        "'wal_status', wal_status) ORDER BY slot_name), '[]') FROM pg_replication_slots WHERE slot_type = 'physical';")

Slot = Mapping[str, Any]  # {"name", "active", "restart_lsn", "wal_status"} of pg_replication_slots


def slot_name(prefix: str, node: str) -> str:
    """Name of the slot that *node* uses; the agent's own rule (heartbeat/pgsql, create_replication_slot_name)."""
    return prefix + "_" + "".join("_" if char in ".-" else char for char in node.lower())


@dataclass(frozen=True)
class Wanted:
    """What slots there are to be.

    name: one that has to be there, or None. reserve: whether it holds WAL back from now on. keep: names of those that
    may be there; other idle ones whose name begins with *prefix* go; None: none goes.
    """

    name: Optional[str] = None
    reserve: bool = True
    keep: Optional[Sequence[str]] = None
    prefix: str = "hub_ha_"


def changes(slots: Sequence[Slot], wanted: Wanted) -> List[Tuple[str, str]]:
    """[("create" or "drop", name)] in order. slots: as they are."""
    found = []
    if wanted.keep is not None:
        found = [("drop", slot["name"]) for slot in slots if slot["name"].startswith(wanted.prefix)
                 and slot["name"] not in wanted.keep and not slot["active"]]
    if not wanted.name:
        return found
    known = next((slot for slot in slots if slot["name"] == wanted.name), None)
    if known is None:
        found.append(("create", wanted.name))
    elif not known["active"] and (known["wal_status"] == "lost" or wanted.reserve != bool(known["restart_lsn"])):
        found += [("drop", wanted.name), ("create", wanted.name)]
    return found


def after(slots: Sequence[Slot], wanted: Wanted) -> List[Slot]:
    """The slots that there are once changes() are made."""
    steps = changes(slots, wanted)
    gone = [name for action, name in steps if action == "drop"]
    made: List[Slot] = [{"name": name, "restart_lsn": wanted.reserve} for action, name in steps if action == "create"]
    return sorted([slot for slot in slots if slot["name"] not in gone] + made, key=lambda slot: str(slot["name"]))


def statement(action: str, name: str, reserve: bool) -> str:
    """SQL of one change."""
    if action == "drop":
        return "SELECT pg_drop_replication_slot(%s);" % literal(name)
    return "SELECT pg_create_physical_replication_slot(%s, %s);" % (literal(name), "true" if reserve else "false")


class Slots:
    """The slots of the server that runs on *data_dir*, over its local socket. Everything raises HubError."""

    def __init__(self, postgres: Postgres, data_dir: str) -> None:
        self.postgres = postgres
        self.address: Dict[str, Any] = server_address(data_dir)

    def read(self) -> List[Slot]:
        """The physical slots, by name."""
        found: List[Slot] = json.loads(self.postgres.sql(LIST, **self.address))
        return found

    def apply(self, steps: Sequence[Tuple[str, str]], reserve: bool) -> None:
        """Makes the changes; reserve: of those that are created."""
        for action, name in steps:
            self.postgres.sql(statement(action, name, reserve), **self.address)
