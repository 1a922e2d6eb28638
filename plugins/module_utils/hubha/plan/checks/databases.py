# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The active hub's database can be cloned, and the passive hub has room for it and nothing in its way."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding, Problem
from ...core.text import human
from ...facts import postgres as pg_facts
from ...facts.model import HubFacts
from ...pg import agent_sql
from ...pg.model import Server
from .context import Context
from .past import follows

USUAL_PORT = 5432


def active_database(context: Context) -> Iterator[Finding]:
    """The active hub's database answers, and holds nothing that cannot be replicated."""
    active, postgres = context.active, context.active_info["postgres"]
    if postgres["state"] == "unreachable":
        yield Problem("POSTGRES_SILENT", active, "PostgreSQL runs (pid %s) but does not answer: %s"
                      % (postgres["pid"], postgres["error"]),
                      "as root, `psql -d postgres` must work through the local socket: the database role \"root\" "
                      "must exist and pg_hba.conf must admit it")
    yield from agent(context)
    server = postgres["server"]
    if server:
        yield from contents(active, server)


def contents(active: str, server: Server) -> Iterator[Problem]:
    """What the database of the active hub has that keeps it from being replicated."""
    for item in server["hba_errors"] or []:
        yield Problem("HBA_INVALID", active, "pg_hba.conf line %s: %s" % (item["line"], item["error"]),
                      "correct that line first")
    for folder in server["tablespaces"] or []:
        yield Problem("TABLESPACE_OUTSIDE", active, "a tablespace lies outside the data directory: %s" % folder,
                      "move its tables back to pg_default; a clone cannot place it on the other hub")
    names = (server["settings"] or {}).get("synchronous_standby_names", {}).get("setting")
    if names:
        yield Problem("SYNC_STANDBY_SET", active, "synchronous_standby_names is set (%s)" % names,
                      "remove it: the resource agent refuses to start while it is set in postgresql.conf")


def agent(context: Context) -> Iterator[Problem]:
    """Asked as the resource agent asks, a database that is well says so."""
    for host, info in context.infos.items():
        asked = info["postgres"]["agent_sql"]
        wrong = agent_sql.problem(asked) if asked else None
        if asked and wrong:
            yield Problem("AGENT_SQL", host, wrong,
                          "pacemaker would take a database that is well for broken. As root this must print f or t: "
                          "%s (role %s exists as a superuser, pg_hba.conf admits it through the socket without a "
                          "password, and its shell prints nothing)" % (asked["command"], info["layout"]["db_user"]))


def packaged_database(passive: HubFacts, active: HubFacts) -> bool:
    """Is the passive hub's database the empty one that the vendor's package makes, which this collection has installed?

    Noted before the package was installed, on a hub without a database; and it has never been in use since.
    """
    mine, wanted = passive["postgres"], pg_facts.system_identifier(active["postgres"])
    return bool(passive["package_marker"] and mine["state"] == "stopped" and not mine["lock"] and wanted
                and not mine["standby_signal"] and mine["control"].get("state") == "shut down"
                and mine["control"].get("timeline") == 1 and pg_facts.system_identifier(mine) != wanted)


def passive_database(context: Context) -> Iterator[Finding]:
    """Nothing on the passive hub would be overwritten, or keep the clone out."""
    active, passive, info = context.active, context.passive, context.passive_info
    mine, theirs = info["postgres"], context.active_info["postgres"]
    state = mine["state"]
    if state == "primary" and theirs["state"] == "primary":
        return  # primary.check has said so
    if state == "foreign":
        yield Problem("DATA_DIR_FOREIGN", passive, "%s holds files that are no database" % mine["data_dir"],
                      "move them away; the clone goes there")
    identifier, wanted = pg_facts.system_identifier(mine), pg_facts.system_identifier(theirs)
    aside = "if it is not needed, stop it and move %s aside: nothing here overwrites a database" % mine["data_dir"]
    if packaged_database(info, context.active_info):
        return  # it is moved aside
    if state in ("stopped", "standby", "primary") and identifier and wanted and identifier != wanted:
        yield Problem("OTHER_SYSTEM", passive,
                      "this hub has a database of its own (system %s; the hub to be upgraded is %s)"
                      % (identifier, wanted), aside)
    elif state == "unreachable":
        yield Problem("POSTGRES_SILENT", passive, "a PostgreSQL runs here (pid %s) and does not answer: %s" % (
            mine["pid"], mine["error"]), aside)
    else:
        yield from follows(passive, mine, active, theirs,
                           context.active_info["cluster"]["forked"].get(info["uname"].lower()))
    port = theirs["port"]
    if state == "absent" and port in info["ports"]:
        why = "" if port == USUAL_PORT else ", which PostgreSQL has on %s" % active
        yield Problem("PORT_TAKEN", passive, "something else listens on port %d%s" % (port, why),
                      "stop and disable it: ss -ltnp sport = :%d" % port)
    size = theirs["server"]["size_bytes"] if theirs["server"] else None
    if state == "absent" and size:
        free, need = info["space"]["free_bytes"], int(size * 1.1) + (64 << 20)
        if free < need:
            yield Problem("DISK_SPACE", passive, "%s free in %s, the copy needs %s"
                          % (human(free), info["space"]["path"], human(need)),
                          "make room or mount a larger file system there")
