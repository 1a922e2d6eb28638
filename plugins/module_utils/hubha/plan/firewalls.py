# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the hubs' firewalls are to let in, and what of it is opened. Pure functions on plain data."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from ..core.problem import Problem, Report
from ..core.text import as_list
from ..facts.model import HubFacts, Infos
from ..host.firewall import model as firewall_model
from .model import Firewall

Settings = Mapping[str, Any]
Rules = Sequence[firewall_model.Rule]

COROSYNC, CFENGINE, PORTAL = 5405, 5308, 443


def plan_firewalls(infos: Infos, networks: Mapping[str, Any], settings: Settings) -> Dict[
        str, Firewall]:
    """{host: {"kind", "rules": what is to be let in, "open": [lines that will be added]}}; see firewall_model.

    networks: {"links", "networks", "virtual_ips", "pg_port", "layout"} of the plan. Only with hub_ha_firewall: manage
    is anything opened; otherwise what is closed is said.
    """
    return {host: firewall_change(info, wanted(
        host, networks, firewall_clients(settings), settings.get("outsiders") or []), settings)
        for host, info in infos.items()}


def wanted(host: str, plan: Mapping[str, Any], clients: Sequence[str] = (),
           outsiders: Sequence[str] = ()) -> List[firewall_model.Rule]:
    """Rules of one hub: from the other hubs what the pair needs between them, from the clients CFEngine's port.

    plan: {"links", "networks", "virtual_ips", "pg_port", "layout"} of make_plan. clients: CIDRs; none means everybody:
    CFEngine itself decides by keys and addresses whom it serves. outsiders: addresses of a third hub outside the
    cluster.
    """
    found: List[firewall_model.Rule] = []

    def rule(source: str, port: int, protocol: str, interfaces: List[str], to: str = "any", peer: bool = True) -> None:
        found.append({"source": source, "to": to, "port": port, "protocol": protocol, "interfaces": interfaces,
                      "peer": peer})

    def between(networks: Iterable[Mapping[str, Any]]) -> Iterator[Tuple[str, str, List[str]]]:
        for net in networks:
            for peer in net["addresses"]:
                if peer != host:
                    yield net["addresses"][peer], net["addresses"][host], [net["interfaces"][host]]

    for peer, own, interfaces in between(plan["links"]):
        rule(peer, COROSYNC, "udp", interfaces, own)
    for peer, dummy, interfaces in between(plan["networks"]):
        rule(peer, plan["pg_port"], "tcp", interfaces)
    shared = [ipaddress.ip_address(item["ip"]) for item in plan["virtual_ips"]]
    outside = [net["interfaces"][host] for net in plan["networks"]
               if any(address in ipaddress.ip_network(net["network"]) for address in shared)]
    outside = sorted(set(outside)) or sorted({net["interfaces"][host] for net in plan["networks"]})
    served = [CFENGINE] + ([PORTAL] if plan["layout"]["name"] == "enterprise" else [])
    for peer, dummy, interfaces in between(plan["networks"]):
        if clients or interfaces[0] not in outside:
            rule(peer, CFENGINE, "tcp", interfaces)
    every = sorted({net["interfaces"][host] for net in plan["networks"]})
    for source in outsiders:
        found += from_hub(source, every, plan["pg_port"])
    for port in served:
        for source in list(clients) or ["any"]:
            rule(source, port, "tcp", outside, peer=False)
    return found


def from_hub(source: str, interfaces: List[str], pg_port: int) -> List[firewall_model.Rule]:
    """Rules for another hub, at the address *source*, with which no cluster is shared."""
    return [{"source": source, "to": "any", "port": port, "protocol": "tcp", "interfaces": interfaces, "peer": True}
            for port in (pg_port, CFENGINE)]


def wanted_outside(interfaces: List[str], hubs: Iterable[str], plan: Mapping[str, Any],
                   clients: Sequence[str] = ()) -> List[firewall_model.Rule]:
    """Rules of a third hub outside the cluster: from the pair's hubs (addresses), and from the clients.

    interfaces: its own. plan, clients: as for wanted().
    """
    found: List[firewall_model.Rule] = []
    for source in hubs:
        found += from_hub(source, interfaces, plan["pg_port"])
    for port in [CFENGINE] + ([PORTAL] if plan["layout"]["name"] == "enterprise" else []):
        for source in list(clients) or ["any"]:
            found.append({"source": source, "to": "any", "port": port, "protocol": "tcp", "interfaces": interfaces,
                          "peer": False})
    return found


def firewall_clients(settings: Settings) -> List[str]:
    """The operator's networks in the spelling that firewalls list; single addresses without a prefix."""
    found = [ipaddress.ip_network(str(text), strict=False) for text in as_list(settings.get("firewall_clients"))
             if valid_network(text)]
    return [str(net.network_address if net.num_addresses == 1 else net) for net in found]


def valid_network(text: object) -> bool:
    """Is it a network, or a single address?"""
    try:
        return bool(ipaddress.ip_network(str(text), strict=False))
    except ValueError:
        return False


def firewall_change(info: HubFacts, rules: Rules, settings: Settings) -> Firewall:
    """What plan_firewalls says of one host. rules: see firewall_model."""
    state, manage = info["firewall"], settings.get("firewall") == "manage"
    change: Mapping[str, List[str]] = {"before": [], "after": []}
    if manage and not firewall_model.problems(state, rules):
        change = firewall_model.changes(state, rules)
    return {"kind": state["kind"], "rules": list(rules) if manage else [],
            "open": [line for line in change["after"] if line not in change["before"]]}


def firewall_problems(host: str, info: HubFacts, rules: Rules, settings: Settings) -> List[Problem]:
    """Why what is to be let in cannot be opened on a host; nothing unless it is to be."""
    if settings.get("firewall") != "manage":
        return []
    return [Problem("FIREWALL_UNMANAGEABLE", host, problem, remedy)
            for problem, remedy in firewall_model.problems(info["firewall"], rules)]


def plan_firewall(host: str, info: HubFacts, rules: Rules, settings: Settings, report: Report) -> Firewall:
    """firewall_change of one host, and what stands against it into the report."""
    report.take(firewall_problems(host, info, rules, settings))
    return firewall_change(info, rules, settings)


def text(firewalls: Mapping[str, Mapping[str, Any]], closed: Iterable[Mapping[str, Any]]) -> str:
    """One line about the hubs' firewalls, for the list of what will be done.

    firewalls: plan_firewalls'. closed: [{"address", "port", "protocol"}] of ports that do not let the other hub in now.
    """
    opened = ["%s on %s (%d rules)" % (item["kind"], host, len(item["rules"]))
              for host, item in firewalls.items() if item["open"]]
    shut = ["%s %s/%s" % (item["address"], item["port"], item["protocol"]) for item in closed]
    if not opened:
        return ", ".join("%s on %s" % (item["kind"], host) for host, item in firewalls.items()) + "; nothing is changed"
    return "will be opened: " + ", ".join(opened) + (
        "; closed now: " + ", ".join(dict.fromkeys(shut)) if shut else "")
