# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what hubs and clients say of themselves to what each client needs. Pure functions on plain data."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from ..cfengine.model import HubList
from ..core.problem import Problem, Report
from ..facts.model import ClientFacts

Results = Mapping[str, Mapping[str, Any]]  # of module client_info, or of a try that reached nobody; by inventory name
UPGRADE = "playbooks/upgrade-to-ha.yml"
DIGEST = re.compile(r"(MD5=[0-9a-f]{32}|SHA=[0-9a-f]{64})\Z")


def answering(results: Results) -> Dict[str, ClientFacts]:
    """{host: facts} of those results of module client_info that are one."""
    return {host: result["client"] for host, result in results.items() if "client" in result}


def choose_list(hubs: Mapping[str, ClientFacts], report: Report) -> Tuple[Optional[str], Optional[HubList]]:
    """(host, list of hubs) of the hub that is active, or else of any that has a list; (None, None) without one."""
    for role in ("active", "passive", "unknown", None):
        for host, facts in hubs.items():
            if facts["role"] == role and facts["served_list"]:
                return host, facts["served_list"]
    report.fail("all", "no hub that answers has a list of hubs (services/hub_ha.json)",
                "make the pair first: " + UPGRADE, "HUB_LIST_MISSING")
    return None, None


def check_hubs(results: Results, hubs: Mapping[str, ClientFacts], host: str, the_list: HubList,
               report: Report) -> None:
    """The list and the inventory's hubs agree; only then may clients be told to trust what it names."""
    names = {hub["name"]: address for address, hub in the_list["hubs"].items()}
    known = {facts["uname"].lower(): facts for facts in hubs.values()}
    remedy = "correct the inventory, or the list: %s writes it" % UPGRADE
    unknown = [name for name in sorted(names) if name not in known]
    # A hub that cannot be reached may be any of them, but not two.
    for name in unknown if len(unknown) > len(results) - len(hubs) else []:
        report.fail(host, "the list of hubs names %s (%s), which the inventory does not" % (name, names[name]), remedy,
                    "HUB_LIST_DIFFERS")
    for name, facts in sorted(known.items()):
        if name not in names:
            report.fail(host, "the inventory's hub %s is not in the list of hubs" % name, remedy, "HUB_LIST_DIFFERS")
        elif facts["key_digest"] != the_list["hubs"][names[name]]["key"]:
            report.fail(host, "the key of hub %s is %s, and the list of hubs says %s"
                        % (name, facts["key_digest"], the_list["hubs"][names[name]]["key"]),
                        "run %s, which says what to do about a changed key" % UPGRADE, "KEY_CHANGED")


def client_problems(host: str, facts: ClientFacts, owners: Mapping[Optional[str], List[str]], ours: Set[str],
                    settings: Mapping[str, Any]) -> List[Problem]:
    """What stands against this one client.

    owners: {digest: [hosts]} of hubs and clients. ours: addresses of the pair.
    """
    found = []
    wanted = str(settings.get("keys", {}).get(host) or "")
    if wanted and not DIGEST.match(wanted):
        found.append(Problem("CLIENT_KEY", host, "hub_ha_client_key is %r, which is no digest of a key" % wanted,
                             "such as MD5=... or SHA=..., as cf-key -p says it of ppkeys/localhost.pub"))
    elif wanted and facts["key_digest"] and facts["key_digest"] != wanted:
        found.append(Problem("CLIENT_KEY", host, "its key is %s, and the inventory says %s"
                             % (facts["key_digest"], wanted), "find out which is right before anything trusts it: the "
                             "host may have been installed anew, or be another one"))
    if facts["am_policy_hub"]:
        found.append(Problem("CLIENT_IS_HUB", host, "it is a policy hub itself", "take it out of the group of clients"))
    same = [name for name in owners.get(facts["key_digest"], []) if name != host]
    if facts["key_digest"] and same:
        found.append(Problem("KEY_SHARED", host, "it has the same host key as %s" % ", ".join(same),
                             "make it a key of its own: remove ppkeys/localhost.* there and run cf-key (a cloned image "
                             "brings that about)"))
    server = facts["policy_server"]
    if server and not ours & {server, *facts["policy_server_addresses"]} and not settings.get("adopt"):
        found.append(Problem("CLIENT_OF_OTHERS", host,
                             "it gets its policy from %s, which is no hub of this pair" % server,
                             "if it is to move to this pair: hub_ha_client_adopt: true"))
    return found


def outside(facts: ClientFacts, the_list: HubList) -> Optional[str]:
    """Address of a third hub that is active: no shared address leads there. None while the pair has an active hub."""
    for address, hub in the_list["hubs"].items():
        if hub.get("in_cluster") is False and hub["key"] == facts["key_digest"] and facts["role"] == "active":
            return str(address)
    return None


def client_plan(hub_results: Results, client_results: Results,
                settings: Mapping[str, Any]) -> Dict[str, Any]:
    """What each client needs.

    hub_results, client_results: {inventory name: result of module client_info, or of an attempt that reached nobody}.
    settings: "keys" {client: digest that its key must have}, "adopt" (bool).
    Returns {"failures" (as make_plan's), "source", "list", "address", "hubs", "hub_keys", "client_keys", "list_path",
    "reachable", "clients": {host: {"bootstrap", "redirect", "stale"}}, "unreachable"}. A failure of host "all" or of a
    hub concerns every client.
    """
    report = Report()
    hubs, clients = answering(hub_results), answering(client_results)
    plan: Dict[str, Any] = {
        "failures": report.failures, "hubs": list(hubs), "clients": {}, "hub_keys": [], "client_keys": [], "list": None,
        "address": None, "unreachable": sorted(set(client_results) - set(clients)), "source": None}
    source, the_list = choose_list(hubs, report)
    if source is None or the_list is None:
        return plan
    check_hubs(hub_results, hubs, source, the_list, report)
    owners: Dict[Optional[str], List[str]] = {}
    for host, facts in list(hubs.items()) + list(clients.items()):
        owners.setdefault(facts["key_digest"], []).append(host)
    if report.failures:
        return plan
    ours = set(the_list["hubs"]) | set(the_list["shared"])
    for facts in hubs.values():
        ours |= set(facts["addresses"])
    for host, facts in clients.items():
        for problem in client_problems(host, facts, owners, ours, settings):
            report.add(problem)
    bad = {item["host"] for item in report.failures}
    address = outside(hubs[source], the_list) or (the_list["shared"] or list(the_list["hubs"]))[0]
    served = the_list["shared"] if address in the_list["shared"] else [address]
    plan.update({
        "source": source, "list": the_list, "address": address,
        # what every client may read on a hub, and the hubs that answer, for the proof at the end
        "list_path": hubs[source]["layout"]["hub_list"],
        "reachable": sorted(address for address, hub in the_list["hubs"].items()
                            if hub["name"] in [facts["uname"].lower() for facts in hubs.values()]),
        "hub_keys": [{"host": hub["name"], "public": hub["public"], "digest": hub["key"]}
                     for _address, hub in sorted(the_list["hubs"].items())],
        "client_keys": [{"host": host, "public": facts["key_public"], "digest": facts["key_digest"]}
                        for host, facts in clients.items() if host not in bad and facts["key_digest"]],
        "clients": {host: {
            "bootstrap": not facts["policy_server"],
            # where the vendor's policy leads the clients, an address of a hub is its business
            "redirect": bool(facts["policy_server"]) and facts["policy_server"] not in served
            and not (the_list["vendor"] and facts["policy_server"] in the_list["hubs"]),
            "stale": facts["hub_list"] != the_list} for host, facts in clients.items() if host not in bad},
    })
    return plan


def failures_of(plan: Mapping[str, Any], host: str) -> str:
    """What keeps this client from being touched, as text: its own failures and those of the hubs; empty without any."""
    found = [item for item in plan["failures"] if item["host"] in (host, "all") or item["host"] in plan["hubs"]]
    return "\n".join("%s: %s\n   -> %s (%s)" % (item["host"], item["problem"], item["remedy"], item["code"])
                     for item in found)
