# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions that can work, and are the same on both hubs where they must be."""

from __future__ import annotations

from typing import Iterator, Optional

from ...core.problem import Finding, Problem
from ...core.text import first_version
from ...facts.postgres import pg_major
from ..packages import OLDEST, SAME_VERSION, SUPPORTED_POSTGRES, component_version
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Versions that are too old, or differ."""
    yield from cluster(context)
    yield from cfengine(context)
    yield from database(context)


def cluster(context: Context) -> Iterator[Problem]:
    """The cluster's programs."""
    # From nothing there is no reason to begin with two versions of the database either.
    new = ("postgresql-%s" % pg_major(context.active_info),) if context.settings.get("install") else ()
    for name in SAME_VERSION + new:
        versions = {host: component_version(info, name) for host, info in context.infos.items()}
        if all(versions.values()) and len(set(versions.values())) > 1:
            yield Problem("VERSIONS_DIFFER", "all", "%s would differ between the hubs: %s"
                          % (name, ", ".join("%s on %s" % (version, host) for host, version in versions.items())),
                          "use the same package source and the same version on both hubs")
        if name in OLDEST:
            for host, version in versions.items():
                yield from oldest(host, name, version)


def oldest(host: str, name: str, version: Optional[str]) -> Iterator[Problem]:
    """A version that is too old."""
    number = first_version(version or "")
    if number and tuple(int(part) for part in number.split(".")) < OLDEST[name]:
        yield Problem("VERSION_UNSUPPORTED", host, "%s %s is not supported" % (name, number),
                      "%s or newer is needed" % ".".join(str(part) for part in OLDEST[name]))


def cfengine(context: Context) -> Iterator[Problem]:
    """CFEngine is on the active hub, and the same one is or can be on the passive hub."""
    active, passive, theirs = context.active, context.passive, context.passive_info
    wanted, have = context.active_info["cfengine"]["version"], theirs["cfengine"]["version"]
    yield from oldest(active, "CFEngine", wanted)
    ours = [name for name in context.layout["cfengine_packages"] if name in context.needed[passive]]
    if wanted and not have and (not ours or theirs["packages"] is None):
        yield Problem("CFENGINE_MISSING", passive, "CFEngine is not installed here",
                      "install the same hub package as on %s (CFEngine %s), stop it, and move its own database aside"
                      % (active, wanted))
    if not have and ours:
        have = first_version((theirs["packages"] or {}).get(ours[-1], {}).get("candidate") or "")
    if wanted and have and wanted != have:
        yield Problem("VERSIONS_DIFFER", passive, "CFEngine %s here and %s on %s" % (have, wanted, active),
                      "install the same version on both hubs")
    if not wanted:
        yield Problem("CFENGINE_MISSING", active, "CFEngine is not installed on the hub that is to be upgraded",
                      "check the inventory; a pair from nothing is made by playbooks/install-ha.yml, on two hosts "
                      "without a database")


def database(context: Context) -> Iterator[Problem]:
    """PostgreSQL's major version, and where it is."""
    active, passive, mine, theirs = context.active, context.passive, context.active_info, context.passive_info
    major = pg_major(mine)
    if major and major not in SUPPORTED_POSTGRES:
        yield Problem("VERSION_UNSUPPORTED", active, "PostgreSQL %d is not supported" % major,
                      "supported are %d to %d" % (SUPPORTED_POSTGRES[0], SUPPORTED_POSTGRES[-1]))
    found = theirs["postgres"]["bins"]
    if major and found and str(major) not in found and theirs["layout_found"] == "enterprise":
        yield Problem("POSTGRES_VERSION", passive,
                      "PostgreSQL %s here and %d on %s" % (", ".join(found), major, active),
                      "install the same version of the hub package on both hubs")
    if theirs["layout_found"] and theirs["layout_found"] != mine["layout_found"]:
        yield Problem("LAYOUT_DIFFERS", passive, "the hubs differ in layout: %s here, %s on %s"
                      % (theirs["layout_found"], mine["layout_found"], active),
                      "both hubs must run the same edition from the same kind of package")
