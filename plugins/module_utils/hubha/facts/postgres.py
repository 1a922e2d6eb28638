# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a hub's facts["postgres"] say. Pure functions on plain data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional

from ..pg import evidence
from ..pg.evidence import Side, stopped_side
from ..pg.history import from_entries


def postgres_state(facts: Mapping[str, Any]) -> str:
    """One word for the hub's PostgreSQL.

    "primary", "standby": it runs and answers; "unreachable": it runs and does not answer us;
    "stopped": there is a database and no server; "absent": no database (directory missing or empty);
    "foreign": the data directory holds files that are no database.
    """
    if facts["pid"]:
        if not facts["server"]:
            return "unreachable"
        return "standby" if facts["server"]["in_recovery"] else "primary"
    return {"database": "stopped", "other": "foreign"}.get(str(facts["data_dir_state"]), "absent")


def side(facts: Mapping[str, Any], name: str = "") -> Side:
    """evidence.Side of a hub's facts["postgres"], for comparison with another hub's.

    name: the hub's, for the texts. What the hub itself has found out about its WAL is in facts["side"].
    """
    if facts.get("side"):
        return Side.from_dict(dict(facts["side"], name=name))
    history, control = from_entries(facts.get("history")), facts.get("control") or {}
    if facts.get("state") in ("primary", "standby", "unreachable"):
        return Side(name=name, running=True, system_identifier=system_identifier(facts), history=history,
                    in_recovery={"primary": False, "standby": True}.get(facts["state"]),
                    timeline=control.get("timeline"), why=facts.get("error") or "")
    return stopped_side(control, history, name=name, standby_signal=bool(facts.get("standby_signal")),
                        backup_label=bool(facts.get("backup_label")))


def relation(mine: Mapping[str, Any], theirs: Mapping[str, Any], me: str = "", other: str = "") -> evidence.Relation:
    """evidence.Relation of the database in facts["postgres"] *mine* of hub *me* to the one that it is to follow.

    Both were read at the same time, so where a primary that runs was proves nothing of what the other one has by now.
    """
    primary = side(theirs, other)
    if primary.running and not primary.in_recovery:
        primary = replace(primary, position=None)
    return evidence.relation(side(mine, me), primary)


def system_identifier(facts: Mapping[str, Any]) -> Optional[str]:
    """The PostgreSQL system identifier of a hub's facts["postgres"], or None."""
    server = facts.get("server") or {}
    found = server.get("system_identifier") or facts.get("control", {}).get("system_identifier")
    return str(found) if found else None


def pg_major(info: Mapping[str, Any]) -> Optional[int]:
    """PostgreSQL's major version on a hub, by its facts: of what runs, else of the data; None without either."""
    server = info["postgres"]["server"]
    if server:
        return int(server["version_num"]) // 10000
    version = info["postgres"]["data_version"]
    return int(version) if version.isdigit() else None
