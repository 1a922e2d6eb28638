# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of what module hub_info finds out about corosync and pacemaker on a host, as plain data."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict


class CibSummary(TypedDict):
    """What matters of a CIB, see summary.py; all empty where none can be read."""

    cib_nodes: List[str]
    cib_node_list: List[str]
    cib_resources: Dict[str, str]
    cib_addresses: List[str]
    cib_ips: Dict[str, str]
    cib_fencing: List[str]
    pgsql_status: Dict[str, str]
    forked: Dict[str, str]
    promoted: Optional[str]
    maintenance: bool


class Cluster(CibSummary):
    """The cluster as one host sees it, running or not. authkey: see core.tree.file_state."""

    corosync_installed: bool
    pacemaker_installed: bool
    corosync_version: Optional[str]
    pacemaker_version: Optional[str]
    corosync_conf: Optional[str]
    running_version: Optional[int]
    authkey: Dict[str, Any]
    authkey_binary: bool
    agents: Dict[str, bool]
    cib_readable: bool
    has_database: bool
