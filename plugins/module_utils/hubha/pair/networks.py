# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The networks that the hubs share, and which of them serves what. Pure functions on plain data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

from ..cluster import corosync
from ..core.text import as_list
from ..host.system import Address
from ..pg import conninfo


class Network(TypedDict):
    """A network (CIDR) on which every hub has an address. addresses, interfaces: by inventory name."""

    network: str
    prefix: int
    addresses: Dict[str, str]
    interfaces: Dict[str, str]


class Link(Network):
    """A network that is a link of corosync, with its number there."""

    number: int
    priority: int


class Hub(TypedDict):
    """What of a hub's facts counts here."""

    addresses: List[Address]


Infos = Mapping[str, Hub]


@dataclass(frozen=True)
class Choice:
    """links: networks for corosync, the preferred one first. client, replication: those of clients and of the standby;
    None when the hubs share no network, and client also when it has no shared address.
    """

    links: List[Network]
    client: Optional[Network]
    replication: Optional[Network]


def parse_ip(text: object) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    """The address, or None when *text* is none."""
    try:
        return ipaddress.ip_address(str(text).strip())
    except ValueError:
        return None


def shared_addresses(settings: Mapping[str, Any]) -> Tuple[List[str], Optional[str]]:
    """The wanted shared addresses that are addresses: those of clients, and that of the replication or None."""
    clients = [parse_ip(text) for text in as_list(settings.get("virtual_ip"))]
    replication = parse_ip(settings.get("replication_virtual_ip") or "")
    return [str(address) for address in clients if address], str(replication) if replication else None


def shared_networks(infos: Infos, exclude: Collection[str]) -> List[Network]:
    """Networks on which every hub has an address: [{"network", "prefix", "addresses": {host: address}, "interfaces"}].

    exclude: the shared (virtual) addresses, which belong to no hub. Order: as the first hub lists them. An address that
    several hubs have is none of a network between them: it is that of a bridge within each (docker0, virbr0).
    """
    hosts = list(infos)
    per_host: Dict[str, Dict[str, Address]] = {}
    everywhere = [text for host in hosts for text in {item["address"] for item in infos[host]["addresses"]}]
    for host in hosts:
        for item in infos[host]["addresses"]:
            if item["address"] in exclude or ipaddress.ip_network(item["network"]).num_addresses < 4 \
                    or everywhere.count(item["address"]) > 1 or item.get("fleeting"):
                continue
            per_host.setdefault(item["network"], {}).setdefault(host, item)
    found: List[Network] = []
    for item in infos[hosts[0]]["addresses"] if hosts else []:
        members = per_host.get(item["network"], {})
        if len(members) == len(hosts) and item["network"] not in [net["network"] for net in found]:
            found.append({"network": item["network"],
                          "prefix": item["prefix"],
                          "addresses": {host: members[host]["address"] for host in hosts},
                          "interfaces": {host: members[host]["interface"] for host in hosts}})
    return found


def in_link_order(networks: Sequence[Network], running: Optional[corosync.Numbers]) -> List[Network]:
    """The networks, those that are links of a cluster that runs first. running: see corosync.running."""
    def place(net: Network) -> int:
        number = corosync.link_of(net["network"], running)
        return corosync.MAX_LINKS if number is None else number

    return sorted(networks, key=place)


def network_of(networks: Sequence[Network], text: str) -> Optional[Network]:
    """The shared network that contains the address or is the CIDR *text*; None if there is none."""
    for net in networks:
        if str(text) == net["network"]:
            return net
        address = parse_ip(text)
        if address and address in ipaddress.ip_network(net["network"]):
            return net
    return None


def first_of(networks: Sequence[Network], texts: Sequence[str]) -> Optional[Network]:
    """The shared network of the first of the addresses that is in one."""
    return next((net for net in (network_of(networks, text) for text in texts) if net), None)


def choose_networks(networks: Sequence[Network], settings: Mapping[str, Any], virtual_ips: Sequence[str],
                    replication_ip: Optional[str]) -> Choice:
    """Which shared network serves what. What of the settings fits no network is passed over;
    plan/checks/networks.py tells it.

    settings: "links" and "replication_network" of the operator.
    """
    if not networks:
        return Choice([], None, None)
    client = first_of(networks, virtual_ips)
    links = list(networks)
    if settings.get("links"):
        links = []
        for text in as_list(settings["links"]):
            net = network_of(networks, text)
            if net is not None and net not in links:
                links.append(net)
    replication = first_of(networks, as_list(settings.get("replication_network")) + as_list(replication_ip))
    if replication is None:
        others = [net for net in networks if net is not client]
        replication = others[-1] if others else client
    return Choice(links[:corosync.MAX_LINKS], client, replication)


def numbered(links: Sequence[Network], running: Optional[corosync.Numbers]) -> List[Link]:
    """The links, the preferred one first, each with its "number" for corosync and its "priority".

    running: see corosync.running. What runs keeps its number; which one is preferred is hub_ha_links' order.
    """
    numbers = corosync.link_numbers([net["network"] for net in links], running)
    return [{**net, "number": numbers[net["network"]], "priority": len(links) - place}
            for place, net in enumerate(links)]


def peer_addresses(networks: Sequence[Network], replication: Optional[Network], hosts: Collection[str]) -> Dict[
        str, List[str]]:
    """{host: own addresses of the other hub, the network of the replication first}: whence its standby streams."""
    first = replication["network"] if replication else ""
    return {host: conninfo.ordered(networks, first, other) for host in hosts for other in hosts if other != host}
