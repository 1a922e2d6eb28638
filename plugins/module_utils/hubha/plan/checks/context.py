# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the checks of a pair look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ...cfengine.layout import Layout
from ...core.text import as_list
from ...facts.model import HubFacts, Infos
from ...pair.networks import Choice, Network
from ...pair.roles import Roles
from ..model import Firewall

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """The facts of two hubs, the operator's settings, and what the plan makes of both.

    infos: {host: facts of module hub_info}, in the order of the node numbers. settings: see roles/plan/defaults, with
    "hosts": the inventory names. needed, missing: {host: [package]}. virtual_ips, replication_ip: the shared addresses.
    networks: those that both hubs have. firewalls: see plan/firewalls.py. probes: {host: result of module link_check}.
    wanted, pending: see pg/wanted.py. disrupts: what pacemaker would interrupt. keep: ids of the resources that count.
    """

    infos: Infos
    settings: Settings
    roles: Roles
    needed: Dict[str, List[str]]
    missing: Dict[str, List[str]]
    virtual_ips: List[str]
    replication_ip: Optional[str]
    networks: List[Network]
    chosen: Choice
    firewalls: Dict[str, Firewall]
    probes: Mapping[str, Mapping[str, Any]]
    wanted: Mapping[str, Any]
    pending: List[Dict[str, str]]
    disrupts: List[str]
    keep: List[str]

    @property
    def active(self) -> str:
        """Inventory name of the active hub."""
        return self.roles.active

    @property
    def passive(self) -> str:
        """Inventory name of the passive hub."""
        return self.roles.passive

    @property
    def active_info(self) -> HubFacts:
        """Facts of the active hub."""
        return self.infos[self.active]

    @property
    def passive_info(self) -> HubFacts:
        """Facts of the passive hub."""
        return self.infos[self.passive]

    @property
    def layout(self) -> Layout:
        """Where the active hub has CFEngine."""
        return self.active_info["layout"]

    @property
    def adopted(self) -> bool:
        """Does a pair run already?"""
        return "cfpgsql" in self.active_info["cluster"]["cib_resources"]

    @property
    def shared(self) -> List[str]:
        """All shared addresses."""
        return self.virtual_ips + as_list(self.replication_ip)
