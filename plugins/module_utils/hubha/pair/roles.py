# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hub of two is the active one, by what runs now. Pure functions on plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, TypedDict

from ..cluster.model import Cluster
from ..pg.model import Postgres


class Hub(TypedDict):
    """What of a hub's facts counts here."""

    uname: str
    postgres: Postgres
    cluster: Cluster
    maintenance_marker: bool


Infos = Mapping[str, Hub]


@dataclass(frozen=True)
class Roles:
    """active, passive: inventory names. states: {host: see facts/postgres.py, postgres_state}. primaries: hosts where
    PostgreSQL runs as one. promoted: hosts that the cluster calls promoted, once for each hub that says so.
    cut_off: those of them where a run was cut off that had stopped PostgreSQL in maintenance mode.
    """

    active: str
    passive: str
    states: Dict[str, str]
    primaries: List[str]
    promoted: List[str]
    cut_off: List[str]


def find_roles(infos: Infos) -> Roles:
    """The roles of two hubs by what runs now; the order of *infos* ({host: facts}) decides only when nothing does."""
    hosts = list(infos)
    states = {host: infos[host]["postgres"]["state"] for host in hosts}
    primaries = [host for host in hosts if states[host] == "primary"]
    names = {infos[host]["uname"].lower(): host for host in hosts}
    told = [(infos[host]["cluster"]["promoted"] or "").lower() for host in hosts]
    promoted = [names[name] for name in told if name in names]
    # What the cluster says and PostgreSQL confirms; then what runs; then what may still hold the data.
    order = [host for host in promoted if host in primaries] + primaries
    for rank in ("unreachable", "stopped", "standby", "foreign", "absent"):
        order += [host for host in promoted + hosts if states[host] == rank]
    cut_off = [host for host in promoted if infos[host]["maintenance_marker"]
               and infos[host]["cluster"]["maintenance"] and states[host] == "stopped"]
    return Roles(order[0], next(host for host in hosts if host != order[0]), states,
                 primaries, promoted, cut_off)
