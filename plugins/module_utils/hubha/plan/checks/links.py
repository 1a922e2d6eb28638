# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was tried over the network between the hubs."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ...core.problem import Finding, Problem
from ...facts.model import Infos
from ...host.firewall import model as firewall_model
from ...pair.networks import Network
from .cluster import stock_clusters
from .context import Context

Firewalls = Mapping[str, Mapping[str, Any]]
Probes = Mapping[str, Mapping[str, Any]]
SHUT: Mapping[str, Any] = {"open": []}


def to_probe(infos: Infos, addresses: Sequence[str]) -> Dict[str, List[str]]:
    """What preflight has to try over the network: {"ports": [those of module link_check, "tcp", "udp"], "addresses"}.

    addresses: the wanted shared ones. What an adopted pair runs is left alone: it uses its ports and links. corosync
    does not answer a probe, so where a cluster runs on a network, UDP is left to it; TCP it does not watch.
    """
    adopted = any("cfpgsql" in info["cluster"]["cib_resources"] for info in infos.values())
    stock = stock_clusters(infos)
    clusters = [host for host, info in infos.items()
                if info["units"].get("corosync", {}).get("active") == "active" and host not in stock]
    ours = [text for info in infos.values() for text in info["cluster"]["cib_addresses"]
            + [kept["ip"] for kept in info["kept_addresses"]]]
    return {"ports": [] if adopted else ["tcp"] if clusters else ["tcp", "udp"],
            "addresses": [text for text in addresses if text not in ours]}


def unanswered(probe: Mapping[str, Any], links: Sequence[Network]) -> List[Dict[str, Any]]:
    """[{"peer", "address", "port", "protocol"}] of what did not answer and should.

    probe: result of module link_check. links: those of corosync.
    """
    ring = [address for net in links for address in net["addresses"].values()]
    return [item for item in probe.get("unanswered", [])
            if not links or item["protocol"] != "udp" or item["address"] in ring]


def to_be_opened(probes: Probes, links: Sequence[Network], firewalls: Firewalls) -> List[Dict[str, Any]]:
    """What is closed now and will be opened: [{"host", "peer", "address", "port", "protocol"}].

    probes: {host: result of module link_check} or {} when nothing was probed.
    """
    return [dict(item, host=host) for host, probe in probes.items() for item in unanswered(probe, links)
            if firewalls.get(item["peer"], SHUT)["open"]]


def check(context: Context) -> Iterator[Finding]:
    """Ports that do not answer and will not be opened; shared addresses that somebody has."""
    for host, probe in context.probes.items():
        for item in unanswered(probe, context.chosen.links):
            there = context.firewalls.get(item["peer"], SHUT)
            if not there["open"]:
                yield Problem("PORT_CLOSED", host, "%s (%s) port %s/%s cannot be reached"
                              % (item["peer"], item["address"], item["port"], item["protocol"]),
                              "check cable, routes and firewall on that link between %s and %s%s"
                              % (host, item["peer"], firewall_hint(context.infos, host, item, there)))
        for item in probe.get("taken", []):
            yield Problem("SHARED_ADDRESS_IN_USE", "all",
                          "the shared address %s is in use already (%s has it, seen from %s)"
                          % (item["address"], item["by"], host), "choose a free address")


def firewall_hint(infos: Infos, host: str, item: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What to say of the firewall of the hub that did not answer."""
    state = infos[item["peer"]]["firewall"] if item["peer"] in infos else {"kind": "none"}
    if state["kind"] not in firewall_model.MANAGEABLE + ("iptables",):
        return ""
    own = {entry["address"]: entry for entry in infos[host]["addresses"]}
    theirs = [entry for entry in infos[item["peer"]]["addresses"] if entry["address"] == item["address"]]
    source = [address for address, entry in own.items() if theirs and entry["network"] == theirs[0]["network"]]
    command = by_hand(state, {
        "source": source[0], "to": "any", "port": item["port"], "protocol": item["protocol"], "peer": True,
        "interfaces": [theirs[0]["interface"]]}) if source else None
    text = "; on %s %s is active" % (item["peer"], state["kind"])
    if there.get("rules"):
        return text + ", and what the pair needs is let in there: a rule of yours or something on the way stops it"
    if not state.get("problem"):
        text += ". To have it opened for exactly the hubs: hub_ha_firewall: manage"
    return text + (". By hand, there: %s" % command if command else "")


def by_hand(state: firewall_model.State, rule: firewall_model.Rule) -> Optional[str]:
    """The command that opens a port, for an operator who does it himself."""
    if state["kind"] == "firewalld":
        zones = firewall_model.zones_of(rule, state) or [state["default"]]
        text = firewall_model.rich_rule(rule).replace(firewall_model.PRIORITIES[rule["peer"]] + " ", "")
        return "firewall-cmd --zone=%s --add-rich-rule='%s', and the same with --permanent" % (zones[0], text)
    if state["kind"] == "ufw":
        return "ufw allow " + firewall_model.ufw_rule(rule)
    if state["kind"] == "nftables" and state["blocking"]:
        return "nft insert rule %s %s" % (" ".join(state["blocking"][0][:3]), firewall_model.nft_rule(rule))
    if state["kind"] == "iptables":
        source = "" if rule["source"] == "any" else " -s " + rule["source"]
        program = "ip6tables" if firewall_model.version_of(rule) == 6 else "iptables"
        return "%s -I INPUT%s -p %s --dport %d -j ACCEPT" % (program, source, rule["protocol"], rule["port"])
    return None
