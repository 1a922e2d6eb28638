# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Standbys connect as a role of their own: one that exists and is not ours would lose its other rights."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding
from ...pg import role
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """A role of others."""
    server = context.active_info["postgres"]["server"]
    problem = role.check(context.active, context.settings.get("replication_user") or "",
                         server["roles"] if server else None, role.RESERVED + (context.layout["db_user"],))
    if problem:
        yield problem
