# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts of a hub: their shape and their version. Taken in they are by intake.py.

Facts cross three borders as JSON: they are a module's result, then a variable of the play, then an argument of a
filter. So they stay plain dicts with a type (TypedDict): nothing is converted, nothing can be lost on the way, and mypy
finds a key that nobody writes. The type of a part stands in the room that it comes from (pg/model.py,
cluster/model.py, cfengine/model.py and so on), so that this room can be given it without knowing hubs.

Use facts["key"] for what is always there: mypy does not look at the key of facts.get("key").
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, TypedDict

from ..cfengine.layout import Layout
from ..cfengine.model import CFEngine, HubIdentity, HubList, Identity
from ..cfengine.platforms import Platform, System
from ..cfengine.portal import Portal
from ..cluster.model import Cluster
from ..host.system import Address, KeptAddress, Package
from ..host.units import Units
from ..pg.model import Postgres
from .layouts import Layouts, Space

# Raised with each change after which older facts would be read wrongly.
SCHEMA = 1


class _Entry(TypedDict):
    exists: bool
    groups: List[str]


class User(_Entry, total=False):
    """A user of the host. What may lack is of one that exists."""

    uid: int
    group: str
    home: str
    shell: str


class Selinux(TypedDict):
    """mode: None where there is no SELinux."""

    mode: Optional[str]
    booleans: Dict[str, bool]


class Tls(TypedDict):
    """The operator's certificate, key and authorities, see host/tls.py. unreadable: to the database's user."""

    problem: Optional[str]
    expires: Optional[int]
    authorities: Optional[str]
    unreadable: List[str]


class Clock(TypedDict):
    """Seconds since 1970, before and after something was read."""

    begin: float
    end: float


class Machine(TypedDict):
    """What tells a machine from its copy."""

    id: str
    ssh_keys: List[str]


class OutsideHub(TypedDict):
    """What is to be known of a hub outside of the cluster before it takes over, see probe.outside()."""

    uname: str
    layout: Layout
    postgres: Postgres
    cfengine: HubIdentity


class _Collected(TypedDict):
    schema: int
    uname: str
    layout: Layout
    os: System
    platform: Optional[Platform]
    layout_found: Optional[str]
    firewall: Dict[str, Any]
    selinux: Selinux
    addresses: List[Address]
    names: Dict[str, List[str]]
    units: Units
    packages: Optional[Dict[str, Package]]
    packager_interrupted: bool
    db_user: User
    space: Space
    ports: List[int]
    programs_missing: List[str]
    fence_agents: List[str]
    paths: Dict[str, str]
    files: Dict[str, str]
    tls: Optional[Tls]
    pg_log: str
    fencing_files: List[str]
    portal: Optional[Portal]
    package_marker: bool
    mask_marker: bool
    restored: Optional[Dict[str, Any]]
    cluster: Cluster
    maintenance_marker: bool
    kept_addresses: List[KeptAddress]
    machine: Machine
    layouts: Layouts
    postgres: Postgres
    cfengine: CFEngine
    clock: Clock


class HubFacts(_Collected, total=False):
    """All that module hub_info says of a hub, see probe.collect(). firewall: see host/firewall/model.py, State.

    controller_clock: set by the action plugin, around the reading of "clock".
    """

    controller_clock: Clock


class ClientFacts(Identity):
    """All that module client_info says of a host. hub_list: that it obeys; served_list: that it gives others."""

    uname: str
    layout: Layout
    units: Units
    addresses: List[str]
    policy_server_addresses: List[str]
    served_list: Optional[HubList]


Infos = Mapping[str, HubFacts]  # by inventory name
Results = Mapping[str, Mapping[str, Any]]  # of module hub_info, or of a try that reached nobody; by inventory name
