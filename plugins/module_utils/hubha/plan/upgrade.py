# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From facts to decisions: who is active, which links and addresses, what must change, what forbids it.

Pure functions on plain data. Input are the facts of module hub_info for each hub and the operator's
settings; output is the *plan*, the one dict that every later step reads. Nothing is probed here. What forbids a pair is
found by the functions in checks/.
"""

from __future__ import annotations

import ipaddress
from typing import Any, List, Mapping, Optional, Sequence, cast

from ..cfengine.hub_list import ha_info, hub_list
from ..cluster import corosync
from ..cluster.cib.effects import disruptions
from ..core.problem import Report
from ..core.text import as_list
from ..facts import intake, postgres as pg_facts
from ..facts.model import Infos, Results
from ..pair import networks as pair_networks
from ..pair.roles import find_roles
from ..pg import wanted as pg_wanted
from ..pg.model import Postgres
from ..pg.slots import slot_name
from . import install, portal, wanted_cib
from .checks import inventory, layouts
from .checks.all_checks import CHECKS, SETTINGS_CHECKS
from .checks.cluster import stock_clusters
from .checks.context import Context
from .checks.databases import packaged_database
from .checks.links import to_be_opened, to_probe
from .firewalls import plan_firewalls
from .model import (
    CFEngineParts,
    DatabaseParts,
    NetworkParts,
    Outline,
    PairPlan,
    PortalPlan,
    SharedAddress,
    Who,
)
from .packages import SUPPORTED_POSTGRES, missing_packages, needed_packages

Settings = Mapping[str, Any]
Probes = Mapping[str, Mapping[str, Any]]


def make_plan(results: Results, settings: Settings, probes: Optional[Probes] = None) -> PairPlan:
    """The plan for the hubs.

    results: {inventory name: result of module hub_info, or of an attempt that reached nobody}; their order counts
    for a new pair only. settings: see roles/plan/defaults. probes: {host: link_check result}. Returns a dict with
    "failures" and "warnings" (see core.problem.Report), and as far as it could be decided the rest.
    """
    report = Report()
    for host, result in results.items():
        if "hub" not in result:
            report.add(inventory.unread(host, result))
    infos = intake.hubs(results, report)
    settings = dict(settings, hosts=list(results))
    report.failures.extend(settings.get("problems") or [])
    for settings_check in SETTINGS_CHECKS:
        report.take(settings_check(settings))
    outline: Outline = {
        "hubs": list(infos), "failures": report.failures, "warnings": report.warnings, "complete": False}
    if len(infos) != 2:
        if len(results) != 2:
            report.fail("all", "the inventory's group has %d hub%s" % (len(results), "" if len(results) == 1 else "s"),
                        "exactly two hubs make a pair", "GROUP_SIZE")
        return cast(PairPlan, outline)
    if settings.get("install"):
        infos = install.foresee(infos, settings["install"], SUPPORTED_POSTGRES, report)
    # A pair's order is that of its node numbers, whatever the inventory's is: node_list, certificates and all else
    # follow.
    names = [info["uname"].lower() for info in infos.values()]
    running = corosync.running([info["cluster"]["corosync_conf"] for info in infos.values()], names)
    node_ids = corosync.node_numbers(names, running)
    infos = dict(sorted(infos.items(), key=lambda item: node_ids[item[1]["uname"].lower()]))
    context = make_context(infos, settings, probes or {}, running)
    for check in CHECKS:
        report.take(check(context))
    parts = who(context, node_ids)
    layouts.check(infos, context.active, context.passive, context.wanted, list(parts["slots"].values()),
                  settings["database"]["max_slot_wal_keep_size"], report, bool(settings.get("install")))
    return {**outline, **parts, **network_parts(context, running), **database_parts(context),
            **cfengine_parts(context, report), "hubs": list(infos), "complete": True}


def make_context(infos: Infos, settings: Settings, probes: Probes,
                 running: Optional[corosync.Numbers]) -> Context:
    """What the checks look at, out of facts and settings alone. running: see corosync.running."""
    roles = find_roles(infos)
    needed = needed_packages(infos, settings, roles.active, roles.passive)
    virtual_ips, replication_ip = pair_networks.shared_addresses(settings)
    shared = virtual_ips + as_list(replication_ip)
    networks = pair_networks.in_link_order(pair_networks.shared_networks(infos, set(shared)), running)
    chosen = pair_networks.choose_networks(networks, settings, virtual_ips, replication_ip)
    layout, postgres = infos[roles.active]["layout"], infos[roles.active]["postgres"]
    firewalls = plan_firewalls(infos, {
        "links": chosen.links, "networks": networks, "pg_port": postgres["port"], "layout": layout,
        # Clients come to their own shared addresses; that of the replication is for the other hub.
        "virtual_ips": [{"ip": text} for text in virtual_ips]}, settings)
    wanted = pg_wanted.wanted_settings(postgres["server"], settings["database"], layout["ha_dir"])
    pending = [item for item in pg_wanted.pending_settings(postgres["server"]) if item["name"] not in wanted["restart"]]
    keep = wanted_cib.kept(shared, infos[roles.active]["cluster"])
    return Context(
        infos=infos, settings=settings, roles=roles, needed=needed, missing=missing_packages(infos, needed),
        virtual_ips=virtual_ips, replication_ip=replication_ip, networks=networks, chosen=chosen, firewalls=firewalls,
        probes=probes, wanted=wanted, pending=pending, keep=keep,
        disrupts=disruptions(settings.get("cib_simulation") or [], [], keep))


def who(context: Context, node_ids: Mapping[str, int]) -> Who:
    """The plan's hubs: names, numbers and roles. node_ids: {node: number}."""
    infos = context.infos
    nodes = {host: info["uname"].lower() for host, info in infos.items()}
    return {
        "node_ids": {host: node_ids[node] for host, node in nodes.items()},
        "active": context.active, "passive": context.passive, "nodes": nodes, "adopted": context.adopted,
        "new": bool(context.settings.get("install")), "platform": context.active_info["platform"],
        "stock_clusters": stock_clusters(infos), "packages": context.missing, "cib_disrupts": context.disrupts,
        "slots": {host: slot_name("hub_ha", node) for host, node in nodes.items()},
        "maintenance_ours": [host for host, info in infos.items() if info["maintenance_marker"]],
    }


def network_parts(context: Context, running: Optional[corosync.Numbers]) -> NetworkParts:
    """The plan's networks, addresses and firewalls. running: see corosync.running."""
    infos, networks, chosen = context.infos, context.networks, context.chosen
    addresses = sorted({address for net in networks for address in net["addresses"].values()},
                       key=lambda text: (":" in text, int(ipaddress.ip_address(text))))
    return {
        "networks": networks, "links": pair_networks.numbered(chosen.links, running), "client": chosen.client,
        "replication": chosen.replication, "virtual_ips": address_resources(context),
        "peer_addresses": pair_networks.peer_addresses(networks, chosen.replication, list(infos)),
        "hba_addresses": ["%s/%d" % (text, ipaddress.ip_address(text).max_prefixlen) for text in addresses],
        "firewalls": context.firewalls,
        "closed": to_be_opened(context.probes, chosen.links, context.firewalls),
        "probe": to_probe(infos, context.shared),
        "kept_addresses": [host for host, info in infos.items() if info["kept_addresses"]],
    }


def address_resources(context: Context) -> List[SharedAddress]:
    """[{"id" of the resource, "ip", "prefix": length or None}] of each shared address, that of the replication last."""
    def resource(name: str, text: str) -> SharedAddress:
        network = pair_networks.network_of(context.networks, text)
        return {"id": name, "ip": text, "prefix": network["prefix"] if network else None}

    return [resource("cfvirtip" if number == 1 else "cfvirtip_%d" % number, text)
            for number, text in enumerate(context.virtual_ips, 1)] + [
                resource("cfvirtip_repl", text) for text in as_list(context.replication_ip)]


def database_parts(context: Context) -> DatabaseParts:
    """What the plan says of PostgreSQL."""
    infos, wanted = context.infos, context.wanted
    postgres = context.active_info["postgres"]
    server = postgres["server"]
    settings = (server["settings"] if server else None) or {}
    return {
        "pg_major": pg_facts.pg_major(context.active_info), "pg_bin": postgres["bin_dir"], "pg_port": postgres["port"],
        "pg_size": server["size_bytes"] if server else None,
        "log_directory": layouts.log_directory(context.active_info),
        "pg_socket": settings.get("unix_socket_directories", {}),
        "system_identifier": pg_facts.system_identifier(postgres),
        "packaged_database": packaged_database(context.passive_info, context.active_info),
        "db_user": context.active_info["db_user"],
        "include": wanted["include"], "restart": wanted["restart"], "pending": context.pending,
        "trial": None if context.settings.get("install") else pg_wanted.wanted_trial(postgres, wanted),
        "reload": [host for host, info in infos.items() if reload_pending(info["postgres"])],
    }


def reload_pending(postgres: Postgres) -> bool:
    """Whether the server that runs has not read its files since they were changed."""
    return bool(postgres["server"] and postgres["server"]["reload_pending"])


def cfengine_parts(context: Context, report: Report) -> CFEngineParts:
    """What the plan says of CFEngine: layout, keys, Mission Portal. What to know of the latter goes to the report."""
    infos, client = context.infos, context.chosen.client
    nodes = {host: info["uname"].lower() for host, info in infos.items()}
    return {
        "layout": context.layout, "edition": context.active_info["cfengine"]["edition"],
        "portal": portal_plan(context, [net["addresses"] for net in context.networks], report),
        "ha_info": ha_info(infos, client),
        "hub_list": hub_list(infos, client, context.virtual_ips, nodes, context.settings, context.layout),
    }


def portal_plan(context: Context, addresses: Sequence[Mapping[str, str]], report: Report) -> PortalPlan:
    """{"secrets": see portal.secrets_plan, "certificates": {host: arguments for module hub_certificate, or None}}.

    addresses: {host: its address} on each shared network.
    """
    certificates = {}
    for host, info in context.infos.items():
        own = [network[host] for network in addresses]
        certificates[host], warnings = portal.certificate_plan(host, info["portal"], own, context.virtual_ips,
                                                               context.settings, info["clock"]["end"])
        report.take(warnings)
    return {"secrets": portal.secrets_plan(context.active_info["portal"], context.passive_info["portal"]),
            "certificates": certificates}
