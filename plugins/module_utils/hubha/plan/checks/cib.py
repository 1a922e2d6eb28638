# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pacemaker would do with the wanted configuration."""

from __future__ import annotations

from typing import Iterator

from ...cluster.cib.effects import disruptions
from ...core.problem import Finding, Problem
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """What pacemaker would interrupt for the wanted CIB, where that is not allowed."""
    if context.disrupts and not context.settings.get("allow_restart", True):
        yield Problem("CIB_RESTARTS", context.active,
                      "the wanted configuration of the cluster makes pacemaker interrupt what runs, and "
                      "hub_ha_allow_restart is false: %s" % "; ".join(context.disrupts),
                      "leave that setting as it is, or allow it for one run: -e hub_ha_allow_restart=true")


def held(context: Context) -> Iterator[Finding]:
    """What pacemaker would interrupt as soon as the operator lets it: nobody would take that for this run's doing.

    settings["cib_later"]: {"lines": the "disrupts_later" of module cib, None when they are not known, "holds": its
    "holds"}; {} when nothing keeps pacemaker's hands off.
    """
    later = context.settings.get("cib_later") or {}
    lines = later.get("lines", [])
    lines = ["its scheduler could not be asked"] if lines is None else disruptions(lines, [], context.keep)
    if lines:
        yield Problem("CIB_RESTARTS_LATER", context.active,
                      "pacemaker keeps its hands off (%s); as soon as that ends it would interrupt what runs, for "
                      "the wanted configuration of the cluster: %s"
                      % (", ".join(item["what"] for item in later["holds"]), "; ".join(lines)),
                      "end it first: %s; then run this again, which changes the database's parameters without a stop"
                      % "; ".join(item["end"] for item in later["holds"]))
