# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replication slots."""

from __future__ import annotations


def slot_name(prefix: str, node: str) -> str:
    """Name of the slot that *node* uses; the agent's own rule (heartbeat/pgsql, create_replication_slot_name)."""
    return prefix + "_" + "".join("_" if char in ".-" else char for char in node.lower())
