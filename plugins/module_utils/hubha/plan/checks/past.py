# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose database may follow whose."""

from __future__ import annotations

from typing import Iterator, Optional

from ...core.problem import Problem
from ...facts import postgres as pg_facts
from ...pg.model import Postgres


def follows(host: str, mine: Postgres, active: str, theirs: Postgres, told: Optional[str] = None) -> Iterator[Problem]:
    """The database of *host* can follow the active hub's: what is stopped must prove it, what runs must not contradict.

    mine, theirs: facts["postgres"] of both. told: what the hub has said itself of what it has more (commits, bytes, the
    time of the last one), as the node attribute hub_ha-forked has it.
    """
    if mine["state"] not in ("stopped", "standby") or mine["state"] == "standby" and theirs["state"] != "primary":
        return
    found = pg_facts.relation(mine, theirs, host, active)
    if found.follows or mine["state"] == "standby" and not found.forked:
        return
    remedy = ("what %s lacks is in no other place: save it, then stop PostgreSQL and move %s aside (docs/operate.md, "
              "\"Clone it anew\")" % (active, mine["data_dir"]))
    if found.forked:
        yield Problem("DATA_FORKED", host, "the database here has gone another way than that of %s: %s%s"
                      % (active, found, ". It has behind the fork: %s" % told if told else ""), remedy)
    else:
        yield Problem("DATA_UNPROVEN", host, "whether the database here holds rows that %s lacks is not known: %s" % (
            active, found), "it may be a former primary's: save it, then move %s aside" % mine["data_dir"])
