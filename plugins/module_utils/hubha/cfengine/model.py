# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of what modules hub_info and client_info find out about CFEngine on a host, as plain data."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict


class ListedHub(TypedDict, total=False):
    """A hub in the list of hubs. in_cluster: False for a third hub, which has addresses too; else not there."""

    name: str
    key: Optional[str]
    public: Optional[str]
    in_cluster: bool
    addresses: List[str]


class HubList(TypedDict, total=False):
    """The list of hubs, services/hub_ha.json. hubs: by address. active: only of a hub that is single again.

    third: {"hubs", "slot", "psql", "port", "pair": {host: [address]}}, only with a third hub.
    """

    version: int
    vendor: bool
    shared: List[str]
    hubs: Dict[str, ListedHub]
    revoked: List[str]
    sync: Dict[str, Any]
    active: str
    third: Dict[str, Any]


class Identity(TypedDict):
    """Who a CFEngine host is, see facts/probe.py."""

    installed: bool
    version: Optional[str]
    key_digest: Optional[str]
    key_public: Optional[str]
    policy_server: Optional[str]
    am_policy_hub: bool
    hub_list: Optional[HubList]
    role: Optional[str]


class HubIdentity(Identity):
    """Who a hub is."""

    edition: str


class Augments(TypedDict):
    """What def.json says, see facts/probe.py."""

    def_json_error: Optional[str]
    policy_location: Optional[str]
    sets_acl: bool
    manages_units: bool


class CFEngine(HubIdentity, Augments):
    """CFEngine on a hub. On a host without it all else than the identity is None or empty.

    policy_deployed: what tells of version control, policy_undone: what it has taken away; see deployed.py.
    """

    ha_info: Optional[str]
    ha_cfg: Optional[str]
    acl_in_policy: Optional[List[str]]
    acl_unknown: Optional[str]
    policy_framework: Optional[bool]
    inputs: Dict[str, Optional[str]]
    policy_deployed: List[str]
    policy_undone: List[str]
    policy_links: List[str]
    masterfiles_digest: Optional[str]
    client_keys: int
    client_keys_digest: Optional[str]
