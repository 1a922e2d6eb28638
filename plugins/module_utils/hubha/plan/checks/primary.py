# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""There is one primary, and nothing else than the pair's own cluster keeps it from running."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding, Problem
from ...core.text import human
from ...facts import postgres as pg_facts
from ...facts.model import Infos
from ...pair.roles import Roles
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Two primaries, or none."""
    yield from problems(context.infos, context.roles)


def problems(infos: Infos, roles: Roles) -> Iterator[Problem]:
    """Two primaries, or none. infos: {host: facts}."""
    hosts, primaries, states = list(infos), roles.primaries, roles.states
    if len(primaries) > 1:
        other = [host for host in primaries if host != roles.active][0]
        systems = ["%s (system %s, %s)" % (host, pg_facts.system_identifier(item), human(
            (item["server"]["size_bytes"] if item["server"] else None) or 0)) for host, item in
            ((host, infos[host]["postgres"]) for host in primaries)]
        yield Problem("TWO_PRIMARIES", other, "PostgreSQL runs as a primary on both hubs: %s" % " and ".join(systems),
                      "decide which hub is the one to keep; on the other one stop PostgreSQL and move its data "
                      "directory aside: nothing here overwrites a primary")
    elif not primaries and roles.cut_off:
        yield Problem("MAINTENANCE_LEFT", roles.cut_off[0],
                      "PostgreSQL is stopped, and the cluster leaves it so: a run that was cut off had set maintenance "
                      "mode",
                      "if pg_ctl still runs there, wait; else start it in place, as docs/operate.md says under "
                      "\"Maintenance mode\"; then run this again: it ends the maintenance")
    elif not primaries and "unreachable" not in states.values():
        yield no_primary(infos, roles, "PostgreSQL runs as a primary on neither hub (%s)" % ", ".join(
            "%s: %s" % (host, states[host]) for host in hosts))


def no_primary(infos: Infos, roles: Roles, neither: str) -> Problem:
    """What keeps a primary from running. neither: the words for that there is none."""
    if any(info["cluster"]["maintenance"] for info in infos.values()):
        return Problem("CLUSTER_MAINTENANCE", "all",
                       neither + ", and the cluster is in maintenance mode: nobody starts or promotes one",
                       "crm_attribute --type crm_config --name maintenance-mode --delete; then wait until crm_mon -1 "
                       "shows a promoted hub. When it shows one and nobody serves: docs/operate.md, "
                       "\"Maintenance mode\"")
    if [host for host in roles.promoted if roles.states[host] == "stopped"]:
        return Problem("NO_PRIMARY", "all", "%s, and pacemaker calls %s promoted" % (
            neither, infos[roles.promoted[0]]["uname"]),
            "have pacemaker look at what runs, there: crm_resource --refresh --resource cfpgsql; then wait "
            "until crm_mon -1 shows a promoted hub. Else: start the hub that holds the primary's data first "
            "(docs/operate.md, \"After both were down\")")
    return Problem("NO_PRIMARY", "all", neither,
                   "start the hub that holds the primary's data first; of a pair: crm_mon -1rAf "
                   "says why, and docs/operate.md, \"hub2 does not take over\" and \"After both were down\", "
                   "what to do")
