# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a hub's facts["postgres"] say. Pure functions on plain data."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, TypedDict

from ..pg import evidence
from ..pg.evidence import Side, stopped_side
from ..pg.history import from_entries
from ..pg.model import Postgres


class Hub(TypedDict):
    """What of a hub's facts counts here."""

    postgres: Postgres


def postgres_state(facts: Postgres) -> str:
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


def side(facts: Postgres, name: str = "") -> Side:
    """evidence.Side of a hub's facts["postgres"], for comparison with another hub's.

    name: the hub's, for the texts. What the hub itself has found out about its WAL is in facts["side"].
    """
    if facts["side"]:
        return Side.from_dict(dict(facts["side"], name=name))
    history, control = from_entries(facts["history"]), facts["control"]
    if facts["state"] in ("primary", "standby", "unreachable"):
        return Side(name=name, running=True, system_identifier=system_identifier(facts), history=history,
                    in_recovery={"primary": False, "standby": True}.get(facts["state"]),
                    timeline=control.get("timeline"), why=facts["error"] or "")
    return stopped_side(control, history, name=name, standby_signal=facts["standby_signal"],
                        backup_label=facts["backup_label"])


def relation(mine: Postgres, theirs: Postgres, me: str = "", other: str = "") -> evidence.Relation:
    """evidence.Relation of the database in facts["postgres"] *mine* of hub *me* to the one that it is to follow.

    Both were read at the same time, so where a primary that runs was proves nothing of what the other one has by now.
    """
    primary = side(theirs, other)
    if primary.running and not primary.in_recovery:
        primary = replace(primary, position=None)
    return evidence.relation(side(mine, me), primary)


def system_identifier(facts: Postgres) -> Optional[str]:
    """The PostgreSQL system identifier of a hub's facts["postgres"], or None."""
    server = facts["server"]
    found = server["system_identifier"] if server else facts["control"].get("system_identifier")
    return str(found) if found else None


def pg_major(info: Hub) -> Optional[int]:
    """PostgreSQL's major version on a hub, by its facts: of what runs, else of the data; None without either."""
    server = info["postgres"]["server"]
    if server:
        return int(server["version_num"]) // 10000
    version = info["postgres"]["data_version"]
    return int(version) if version.isdigit() else None
