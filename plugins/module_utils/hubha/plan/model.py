# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of the plans that roles read as the fact hub_ha. Plain dicts, for the reason that facts/model.py gives."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict

from ..cfengine.layout import Layout
from ..cfengine.model import HubList
from ..cfengine.platforms import Platform
from ..facts.model import User
from ..host.firewall.model import Rule
from ..pair.networks import Link, Network
from ..pg.model import Setting


class Outline(TypedDict):
    """What every plan has. complete: False where something is so wrong that the rest is not there.

    failures: [{"host", "problem", "remedy", "code"}], warnings: [{"host", "problem"}].
    """

    hubs: List[str]
    failures: List[Dict[str, str]]
    warnings: List[Dict[str, str]]
    complete: bool


class SharedAddress(TypedDict):
    """An address that moves with the active hub. id: of its resource. prefix: None where no network has it."""

    id: str
    ip: str
    prefix: Optional[int]


class Firewall(TypedDict):
    """What is let in on a host: kind of its firewall, rules that are wanted there, lines that will be added."""

    kind: str
    rules: List[Rule]
    open: List[str]


class Who(TypedDict):
    """The hubs: names, numbers and roles; what they need. By inventory name where it is a dict."""

    node_ids: Dict[str, int]
    active: str
    passive: str
    nodes: Dict[str, str]
    adopted: bool
    new: bool
    platform: Optional[Platform]
    stock_clusters: List[str]
    packages: Dict[str, List[str]]
    cib_disrupts: List[str]
    slots: Dict[str, str]
    maintenance_ours: List[str]


class NetworkParts(TypedDict):
    """Networks, addresses and firewalls."""

    networks: List[Network]
    links: List[Link]
    client: Optional[Network]
    replication: Optional[Network]
    virtual_ips: List[SharedAddress]
    peer_addresses: Dict[str, List[str]]
    hba_addresses: List[str]
    firewalls: Dict[str, Firewall]
    closed: List[Dict[str, Any]]
    probe: Dict[str, List[str]]
    kept_addresses: List[str]


class LogDirectory(TypedDict):
    """A directory outside of the data into which the server writes its log by itself. See checks/layouts.py."""

    path: str
    owner: str
    group: str
    mode: str


class DatabaseParts(TypedDict):
    """PostgreSQL. pg_socket: a row of pg_settings or {}; include, restart, pending, trial: see pg/wanted.py."""

    pg_major: Optional[int]
    pg_bin: Optional[str]
    pg_port: int
    pg_size: Optional[int]
    log_directory: Optional[LogDirectory]
    pg_socket: Setting
    system_identifier: Optional[str]
    packaged_database: bool
    db_user: User
    include: Dict[str, str]
    restart: List[str]
    pending: List[Dict[str, str]]
    trial: Optional[Dict[str, Any]]
    reload: List[str]


class PortalPlan(TypedDict):
    """See plan/portal.py: secrets_plan() and, by host, certificate_plan()."""

    secrets: Dict[str, bool]
    certificates: Dict[str, Optional[Dict[str, Any]]]


class CFEngineParts(TypedDict):
    """CFEngine. ha_info, hub_list: see cfengine/hub_list.py."""

    layout: Layout
    edition: str
    portal: PortalPlan
    ha_info: Dict[str, Dict[str, Any]]
    hub_list: Optional[HubList]


class PairPlan(Outline, Who, NetworkParts, DatabaseParts, CFEngineParts):
    """The plan of a pair, see upgrade.make_plan(). Of one that is not complete only the outline is there."""


class ThirdHub(TypedDict):
    """The third hub in a plan. sources: {host of the pair: its address as the third hub reaches it}."""

    host: str
    name: str
    reachable: bool
    address: str
    addresses: List[str]
    sources: Dict[str, str]
    replication_address: str
    key: Optional[str]
    public: Optional[str]
    certificate: Optional[str]
    slot: str
    packages: List[str]


class UpgradePlan(PairPlan):  # pylint: disable=duplicate-bases  # a TypedDict has all keys of its bases, and no order
    """The plan of a pair and its third hub, see third.make_plan(). own_addresses: by host, for certificates.

    third_unread: why the third hub has said nothing, as failures are; None where it has, or where there is none.
    """

    third: Optional[ThirdHub]
    third_unread: Optional[Dict[str, str]]
    own_addresses: Dict[str, List[str]]


class ReturnPlan(UpgradePlan):  # pylint: disable=duplicate-bases
    """The way back from a third hub, see third.return_plan(). former: the system that the pair will have."""

    stage: str
    former: Optional[str]


class AnyRemoval(TypedDict):
    """What is true of any removal. active, serving: the hub that stays and the one that takes writes now."""

    active: str
    passive: str
    serving: Optional[str]
    there: List[str]
    nodes: Dict[str, str]
    layout: Layout
    edition: str
    pg_bin: Optional[str]
    pg_port: int
    db_user: User
    system_identifier: Optional[str]
    adopted: bool
    third: None


class RemovalParts(AnyRemoval):
    """What removal.decide() says, or removal.give_up() where unfinished.

    clustered: hosts whose cluster is ours. unmask: the one whose database's unit gets its mask taken off.
    """

    unfinished: bool
    clustered: List[str]
    unmask: Optional[str]
    switch: bool
    resume: bool
    address_resources: List[str]
    held: List[str]
    maintenance_ours: List[str]
    include: Dict[str, Optional[str]]
    restart: List[str]
    pending: List[Dict[str, str]]
    owned: bool
    slots: List[str]
    keep_address: bool
    addresses: List[str]
    release: Dict[str, List[Dict[str, str]]]
    hub_list: Optional[HubList]
    augments: Dict[str, Any]
    stop: Dict[str, List[str]]
    called_hub: List[str]
    kept_unit: List[str]
    firewalls: Dict[str, Firewall]


class RemovalPlan(Outline, RemovalParts):
    """A pair becomes a single hub, see removal.removal_plan(). Of an incomplete one only the outline is there."""


class _Begun(TypedDict):
    hubs: List[str]
    active: str
    passive: str
    adopted: bool
    layout: Layout


class BegunPlan(_Begun, total=False):
    """What a rollback needs of a plan that was begun, of an upgrade or of a removal. serving: of the latter only."""

    serving: Optional[str]
