# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the pair's own resources in the cluster."""

from __future__ import annotations

# {id: the agents that it may have; none: a group or a clone}. CFEngine's ha.cfg reads some of the ids.
RESOURCE_IDS = {"cfpgsql": ("ocf:cfengine:pgsql", "ocf:heartbeat:pgsql"), "cfvirtip": ("ocf:heartbeat:IPaddr2",),
                "cfvirtip_repl": ("ocf:heartbeat:IPaddr2",), "cfengine": (), "mscfpgsql": ()}
