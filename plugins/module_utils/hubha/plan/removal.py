# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pair becomes a single hub again: which hub stays, what goes, what forbids it. Pure functions on plain data.

Input are the facts of module hub_info, and what cib_info and replication_info say of the hubs while their cluster runs.
Output is a plan like that of upgrade.make_plan, under the same names, so that the roles of the upgrade can be used
again. Everything is decided by what is there, so a removal that was cut off anywhere goes on.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, cast

from ..cfengine.layout import KEPT_UNIT
from ..cfengine.model import HubList
from ..cluster import corosync
from ..core.problem import Problem, Report
from ..core.text import human
from ..facts import intake, postgres as pg_facts
from ..facts.model import HubFacts, Infos, Results
from ..facts.units import RUNS, runs
from ..pair.networks import parse_ip
from ..pg.model import Setting
from ..pg.slots import slot_name
from ..pg.wanted import INCLUDE_FILE, pending_settings
from .checks.inventory import unread
from .firewalls import firewall_clients, plan_firewall, wanted_outside
from .model import AnyRemoval, Firewall, Outline, RemovalParts, RemovalPlan

Settings = Mapping[str, Any]
Result = Mapping[str, Any]  # of module cib_info or replication_info

ENTERPRISE_CLASS = "enable_cfengine_enterprise_hub_ha"
# What PostgreSQL needs to answer on an address that is kept; all else of ours goes.
ANSWERS = ("listen_addresses", "ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file")


#: The first line of the corosync.conf that role cluster writes.
OURS = "role cfengine.hub_ha.cluster"


def removal_plan(results: Results, settings: Settings,
                 looks: Optional[Mapping[str, Mapping[str, Result]]] = None) -> RemovalPlan:
    """The plan for hubs that are to be no pair any more.

    results: {inventory name: result of module hub_info, or of an attempt that reached nobody}. settings: "keep",
    "without" (inventory names or ""), "keep_address", "allow_restart" (bool), "virtual_ips" (list), "max_lag" (MB),
    "replication_ips", "problems". looks: {"cluster": {host: result of cib_info}, "replication": {host: result of
    replication_info}}, as far as hubs could be asked. Returns a dict with "failures" and "warnings" as make_plan does.
    """
    report = Report()
    report.failures.extend(settings.get("problems") or [])
    infos = intake.hubs(results, report)
    refused = [host for host, result in results.items() if "hub" in result and host not in infos]
    found: Outline = {
        "hubs": list(results), "failures": report.failures, "warnings": report.warnings, "complete": False}
    if len(results) != 2:
        report.fail("all", "the inventory's group has %d hub%s" % (len(results), "" if len(results) == 1 else "s"),
                    "name both hubs of the pair in it, also one that is gone for good", "GROUP_SIZE")
        return cast(RemovalPlan, found)
    if refused:
        return cast(RemovalPlan, found)
    for name in ("keep", "without"):
        if settings[name] and settings[name] not in results:
            report.fail("all", "hub_ha_%s names %s, which is no hub of this inventory"
                        % ("keep" if name == "keep" else "remove_without", settings[name]),
                        "use the inventory's name of the hub: %s" % " or ".join(results), "HUB_UNKNOWN")
    lost = [host for host in results if host not in infos]
    if not check_reachable(results, infos, settings, report):
        return cast(RemovalPlan, found)
    was_pair = any(info["paths"].get(info["layout"]["ha_dir"], "absent") != "absent" for info in infos.values())
    begun = [] if was_pair else begun_on(infos)
    if not was_pair and not begun:
        report.fail("all", "these hubs are no pair and have never been one: there is nothing to remove",
                    "check the inventory; playbooks/upgrade-to-ha.yml makes a pair", "PAIR_MISSING")
    serving = find_serving(infos, report)
    keep = settings["keep"] or serving or list(infos)[0]
    if keep not in infos:
        return cast(RemovalPlan, found)
    other = next(host for host in results if host != keep)
    if not begun or serving != keep:
        check_kept(infos, keep, serving, report)
    for host in infos:
        check_resources(host, infos, report)
    looks = looks or {}
    cluster = looks.get("cluster", {}).get(keep) or {}
    if begun:
        check_unfinished(infos, report)
        for name in lost:
            check_lost(cluster, name, infos, keep, report)
        return {**found, **give_up(infos, keep, other, serving, settings, report), "complete": True}
    if cluster.get("running"):
        check_cluster(cluster, infos, keep, serving, report)
        for name in lost:
            check_lost(cluster, name, infos, keep, report)
    # What was stopped cleanly by a run that was cut off: that the other has all is looked at before it is promoted.
    if looks.get("replication") and serving and serving != keep and not stopped_by_us(serving, infos):
        check_replication(looks["replication"].get(serving), infos, keep, serving, settings["max_lag"], report)
    return {**found, **decide(infos, keep, other, serving, settings, report), "complete": True}


def made(info: HubFacts) -> bool:
    """Whether a hub's corosync.conf is that of role cluster. A cluster of somebody else's is not ours to give up."""
    return OURS in (info["cluster"]["corosync_conf"] or "")


def masked(info: HubFacts) -> bool:
    """Whether the database's unit is masked. A mask that is off and that systemd was not told of counts too."""
    unit = info["units"].get(info["layout"]["db_unit"], {})
    return "masked" in (unit.get("enabled"), unit.get("load"))


def begun_on(infos: Infos) -> List[str]:
    """Hosts on which an upgrade has begun that never came to the database: our corosync.conf is there, or the database's
    unit is masked, which role packages has noted or which stands beside such a corosync.conf."""
    if any(map(made, infos.values())):
        return [host for host, info in infos.items() if made(info) or masked(info)]
    # Nor is a unit that somebody else has masked.
    return [host for host, info in infos.items() if info["mask_marker"]]


def check_unfinished(infos: Infos, report: Report) -> None:
    """An upgrade that is given up has not come to the database: pacemaker has nothing in hand whose end it would be."""
    held = [host for host, info in infos.items() if info["cluster"]["has_database"] or info["cluster"]["cib_ips"]
            or info["postgres"]["unit"] == "pacemaker.service"]
    if held:
        report.fail("all", "pacemaker has the database or its addresses in hand (%s), and %s, which every pair has, is missing on "
                    "%s: this is neither a pair nor an upgrade that never came to the database"
                    % (", ".join(held), infos[held[0]]["layout"]["ha_dir"], " and ".join(infos)),
                    "playbooks/upgrade-to-ha.yml makes what is missing; then run this again", "UPGRADE_UNFINISHED")


def check_reachable(results: Results, infos: Infos, settings: Settings, report: Report) -> bool:
    """A hub that cannot be reached is given up only on the operator's word. False when one lacks that is not."""
    known = len(report.failures)
    for host, result in results.items():
        if host in infos:
            continue
        others = [name for name in infos if name != host]
        problem = unread(
            host, result, "switch it on and mend the connection. If it is lost for good and %s is to go on alone: "
            "-e hub_ha_remove_without=%s. It must not come back by itself then, because it still counts itself "
            "a hub and a member of the cluster" % (others[0], host) if others and host != settings["keep"] else "")
        # One that answers, and wants a password or has a full disk, is not lost, whatever the operator says.
        given_up = host == settings["without"] and host != settings["keep"] and len(infos) == 1
        if not given_up or problem.code != "HUB_UNREACHABLE":
            report.add(problem)
    return len(report.failures) == known


def find_serving(infos: Infos, report: Report) -> Optional[str]:
    """The hub whose database takes writes, or took them until an earlier removal was cut off; None with a failure."""
    states = {host: info["postgres"]["state"] for host, info in infos.items()}
    primaries = [host for host, state in states.items() if state == "primary"]
    if len(primaries) > 1:
        report.fail("all", "PostgreSQL runs as a primary on both hubs",
                    "decide which hub is the one to keep and stop PostgreSQL on the other one; docs/operate.md, "
                    "\"Unplanned failover\"", "TWO_PRIMARIES")
        return None
    names = {info["uname"].lower(): host for host, info in infos.items()}
    if primaries:
        for info in infos.values():
            told = names.get((info["cluster"]["promoted"] or "").lower())
            if told and told != primaries[0] and not info["cluster"]["maintenance"]:
                report.fail(primaries[0], "its database is the primary, and the cluster says that of %s" % told,
                            "a failover may be under way: wait for its end (crm_mon -1rA), then run this again",
                            "ROLES_MOVED")
                break
        return primaries[0]
    cut_off = [host for host in infos if stopped_by_us(host, infos)]
    if cut_off:
        return cut_off[0]
    report.fail("all", "no hub takes writes (PostgreSQL: %s)"
                % ", ".join("%s %s" % (host, state) for host, state in states.items()),
                "get the pair to serve first: docs/operate.md, \"After both were down\" and \"When an upgrade fails\"",
                "NO_PRIMARY")
    return None


def stopped_by_us(host: str, infos: Infos) -> bool:
    """True for a hub whose clean database nobody runs, because a removal was cut off between stop and start."""
    info = infos[host]
    mine, cluster = info["postgres"], info["cluster"]
    if not info["maintenance_marker"] or mine["state"] != "stopped" or mine["control"].get("state") != "shut down":
        return False
    idle = cluster["maintenance"] if cluster["cib_readable"] else not runs(info, "pacemaker")
    # A hub that was lost meanwhile is given up on the operator's word; one without a database holds nothing.
    unproven = [other for other in infos if other != host
                and infos[other]["postgres"]["state"] not in ("absent", "foreign")
                and not pg_facts.relation(infos[other]["postgres"], mine, other, host).follows]
    return bool(idle and not unproven and (cluster["promoted"] or info["uname"]).lower() == info["uname"].lower())


def check_kept(infos: Infos, keep: str, serving: Optional[str], report: Report) -> None:
    """The hub that stays has a database of this pair that can be served."""
    mine = infos[keep]["postgres"]
    if mine["state"] in ("absent", "foreign"):
        report.fail(keep, "there is no database in %s, so this hub cannot be the one that stays" % mine["data_dir"],
                    "leave hub_ha_keep out, or name the other hub", "DATABASE_MISSING")
    elif mine["state"] == "unreachable":
        report.fail(keep, "PostgreSQL runs here (pid %s) and does not answer: %s" % (mine["pid"], mine["error"]),
                    "as root, `psql -d postgres` must work through the local socket", "POSTGRES_SILENT")
    elif serving and serving != keep:
        theirs = infos[serving]
        if mine["state"] != "standby":
            report.fail(keep, "its PostgreSQL is %s, not a standby that could take over" % mine["state"],
                        "mend the pair first (playbooks/upgrade-to-ha.yml), or keep %s" % serving, "REPL_STOPPED")
        elif pg_facts.system_identifier(mine) != pg_facts.system_identifier(theirs["postgres"]):
            report.fail(keep, "its database is another one than that of %s" % serving, "keep %s" % serving,
                        "OTHER_SYSTEM")
        if not theirs["cluster"]["cib_readable"] or not theirs["cluster"]["has_database"]:
            report.fail(keep, "it is passive, and pacemaker, which says who is active, does not run",
                        "keep %s, or make the pair whole first: playbooks/upgrade-to-ha.yml" % serving, "CLUSTER_DOWN")
        elif theirs["cluster"]["maintenance"] and not theirs["maintenance_marker"]:
            report.fail(keep, "it is passive, and the cluster is in maintenance mode, so it is not to take over",
                        "whoever began it ends it: crm_attribute --type crm_config --name maintenance-mode --delete",
                        "CLUSTER_MAINTENANCE")
    unit = infos[keep]["layout"]["db_unit"]
    if infos[keep]["units"].get(unit, {}).get("load") == "not-found":
        report.fail(keep, "there is no unit %s.service, under which PostgreSQL is to run" % unit,
                    "install the package that brings it", "UNIT_MISSING")


def check_resources(host: str, infos: Infos, report: Report) -> None:
    """The cluster ends as a whole, so nobody else may need it: neither other resources nor a hub that is not meant."""
    cluster = infos[host]["cluster"]
    ours = [name for name in cluster["cib_resources"] if name in ("cfpgsql", "cfvirtip", "cfvirtip_repl")
            or re.fullmatch(r"cfvirtip_\d+", name)] + list(cluster["cib_fencing"])
    foreign = sorted(set(cluster["cib_resources"]) - set(ours))
    if foreign:
        report.fail(host, "the cluster runs other resources too: %s" % ", ".join(foreign),
                    "the cluster is stopped for good: move them to another one, or delete them if nobody needs them "
                    "(crm_resource --resource ID --force --delete)", "FOREIGN_RESOURCES")
    try:
        conf = corosync.summary(cluster["corosync_conf"]) if cluster["corosync_conf"] else None
    except ValueError as error:
        report.fail(host, "/etc/corosync/corosync.conf cannot be read: %s" % error, "repair it or move it away",
                    "COROSYNC_CONF_INVALID")
        return
    stock = conf is None or conf["stock"]
    nodes = [] if conf is None or stock else [name.lower() for name in conf["nodes"]]
    meant = {info["uname"].lower() for info in infos.values()}
    if not stock and (len(nodes) != 2 or not meant <= set(nodes)):
        report.fail(host, "its cluster has the nodes %s" % ", ".join(sorted(nodes)),
                    "this playbook ends a pair only; check the inventory", "OTHER_CLUSTER")


def check_cluster(cluster: Result, infos: Infos, keep: str, serving: Optional[str], report: Report) -> None:
    """The cluster of the hub that stays, as cib_info has it, is at rest; a healthy one is asked for only to switch."""
    for node in cluster["nodes"]:
        if node.get("unclean"):
            report.fail(keep, "the cluster waits for %s to be fenced" % node["name"],
                        "look at: stonith_admin --history '*'. If you have switched it off yourself and know that it "
                        "is off: stonith_admin --confirm %s" % node["name"], "FENCING_PENDING")
        elif node.get("pending") and node.get("online"):
            report.fail(keep, "%s is joining the cluster at this moment" % node["name"],
                        "wait until crm_mon -1 shows it online, then run this again", "HUB_JOINING")
    if not cluster.get("dc"):
        report.fail(keep, "the cluster has no designated controller yet",
                    "wait for it (crm_mon -1), then run this again", "CLUSTER_STARTING")
    if serving and serving != keep:
        nodes = {node["name"]: node for node in cluster["nodes"]}
        name = infos[keep]["uname"].lower()
        if not cluster.get("quorate"):
            report.fail(keep, "the cluster has no quorum, so it cannot take over", "corosync-quorumtool -s",
                        "NO_QUORUM")
        node = nodes.get(name) or {}
        if not node.get("online") or node.get("standby") or node.get("maintenance"):
            report.fail(keep, "pacemaker may not run anything here: it is offline, in standby or in maintenance",
                        "crm_mon -1rA; crm_standby --node %s --delete" % name, "HUB_STANDBY")


def check_lost(cluster: Result, host: str, infos: Infos, keep: str, report: Report) -> None:
    """A hub that the operator gives up is really not there for the cluster either."""
    known = infos[keep]["cfengine"]["hub_list"]
    name = other_name(infos, keep, known)
    for node in cluster.get("nodes") or []:
        if node["name"] == name and node.get("online"):
            report.fail(host, "it is not lost: the cluster on %s sees it online" % keep,
                        "mend the connection from here to it (ansible -m ping %s), or switch it off" % host,
                        "HUB_NOT_LOST")


def check_replication(primary: Optional[Result], infos: Infos, keep: str, serving: str, max_lag: int,
                      report: Report) -> None:
    """Before a switchover: the hub that stays streams from the other one and is up to date.

    primary: result of replication_info on the hub *serving*. max_lag: MB.
    """
    name = infos[keep]["uname"].lower()
    senders = [item for item in (primary or {}).get("senders") or [] if item["application_name"] == name]
    if not senders or senders[0]["state"] != "streaming":
        report.fail(keep, "it does not stream from %s, so rows would be lost with that one" % serving,
                    "mend replication first (playbooks/upgrade-to-ha.yml says what is wrong), or keep %s" % serving,
                    "REPL_STOPPED")
    elif senders[0].get("lag_bytes") is None:
        report.fail(keep, "it has not said yet how far behind %s it is" % serving,
                    "wait until pg_stat_replication on %s shows its replay_lsn, or keep %s" % (serving, serving),
                    "REPL_LAG")
    elif senders[0]["lag_bytes"] > max_lag << 20:
        report.fail(keep, "it is %s behind %s" % (human(senders[0]["lag_bytes"]), serving),
                    "wait until it has caught up, or keep %s" % serving, "REPL_LAG")


def decide(infos: Infos, keep: str, other: str, serving: Optional[str], settings: Settings,
           report: Report) -> RemovalParts:
    """Everything that the steps need to know; see removal_plan."""
    mine, layout = infos[keep], infos[keep]["layout"]
    server = mine["postgres"]["server"]
    known = mine["cfengine"]["hub_list"]
    node = mine["uname"].lower()
    other_node = outline(infos, keep, other, serving)["nodes"][other]
    # While a hub is still passive the address is with the other one.
    shared = shared_addresses(infos, known, settings)
    wanted = [item["ip"] for item in shared if item["id"] != "cfvirtip_repl"] if settings["keep_address"] else []
    kept = kept_addresses(mine, wanted, keep, report)
    conf = (server["settings"] if server else None) or {}
    stays = {name: conf[name]["setting"] for name in ANSWERS if wanted and name in conf and ours(conf[name])}
    restart = sorted(name for name, item in conf.items()
                     if ours(item) and item["context"] == "postmaster" and name not in stays)
    owned = mine["postgres"]["unit"] == layout["db_unit"] + ".service" and runs(mine, layout["db_unit"])
    if (restart or not owned) and not settings["allow_restart"]:
        report.fail(keep, "PostgreSQL must be restarted once to leave pacemaker, and hub_ha_allow_restart is false",
                    "allow it for this run: -e hub_ha_allow_restart=true", "RESTART_NOT_ALLOWED")
    slots = [slot_name("hub_ha", name) for name in (node, other_node)]
    there = (server["slots"] if server else None) or []
    more = sorted(name for name in there if name.startswith("hub_ha_") and name not in slots)
    if more:
        report.fail(keep, "another standby follows this hub (replication slot %s)" % ", ".join(more),
                    "a third hub: stop its database and switch that off first (systemctl disable --now cf-postgres "
                    "there), take it out of the inventory; then, or if it is gone: "
                    "psql -X -d postgres -c \"SELECT pg_drop_replication_slot('%s')\"" % more[0], "STANDBY_MORE")
    the_list = single_list(known, node, other_node, wanted)
    addresses = {hub["name"]: address for address, hub in (known or {}).get("hubs", {}).items()}
    return {
        **outline(infos, keep, other, serving),
        "switch": bool(serving) and serving != keep, "resume": mine["postgres"]["state"] == "stopped",
        "unfinished": False, "clustered": list(infos), "unmask": keep,
        "address_resources": sorted(mine["cluster"]["cib_ips"]),
        "held": [host for host in (keep,) if mine["cluster"]["cib_readable"] and mine["cluster"]["has_database"]],
        "maintenance_ours": [host for host, info in infos.items() if info["maintenance_marker"]],
        "include": stays, "restart": restart, "pending": pending_settings(server), "owned": owned, "slots": slots,
        "keep_address": bool(wanted),
        "addresses": kept, "release": released(infos, keep, shared, wanted),
        "hub_list": the_list, "augments": single_augments(the_list, addresses.get(other_node)),
        "stop": {host: hub_units(info) for host, info in infos.items()},
        "called_hub": [host for host, info in infos.items() if info["cfengine"]["am_policy_hub"]],
        "kept_unit": [host for host, info in infos.items() if info["kept_addresses"]],
        "firewalls": firewalls(infos, keep, shared, settings, report),
    }


def outline(infos: Infos, keep: str, other: str, serving: Optional[str]) -> AnyRemoval:
    """What is true of any removal: who the hubs are, and what their database is."""
    mine = infos[keep]
    known = mine["cfengine"]["hub_list"]
    return {
        "active": keep, "passive": other, "serving": serving, "there": list(infos), "layout": mine["layout"],
        "nodes": {keep: mine["uname"].lower(), other: infos[other]["uname"].lower() if other in infos
                  else other_name(infos, keep, known) or other},
        "edition": mine["cfengine"]["edition"], "pg_bin": mine["postgres"]["bin_dir"],
        "pg_port": mine["postgres"]["port"], "db_user": mine["db_user"],
        "system_identifier": pg_facts.system_identifier(mine["postgres"]),
        "adopted": any(info["cluster"]["cib_readable"] and info["cluster"]["has_database"] for info in infos.values()),
        "third": None,  # none follows any more; roles database and hub ask for it
    }


def give_up(infos: Infos, keep: str, other: str, serving: Optional[str], settings: Settings,
            report: Report) -> RemovalParts:
    """As decide(), for an upgrade that never came to the database. The hub that serves, and CFEngine on both, stay as they
    are, with clients let in; what goes are cluster, mask and what the firewalls let in for the pair.

    "clustered": hosts whose cluster is ours. "unmask": whose mask is ours, or None.
    """
    return {
        **outline(infos, keep, other, serving),
        "unfinished": True, "clustered": [host for host, info in infos.items() if made(info)],
        # A mask without the note was there before the upgrade: somebody wants that database not to start.
        "unmask": other if other in infos and infos[other]["mask_marker"] else None,
        "switch": False, "resume": False, "address_resources": [], "held": [], "maintenance_ours": [],
        "include": {}, "restart": [], "pending": [], "owned": True, "slots": [],
        "keep_address": False, "addresses": [], "release": {host: [] for host in infos},
        "hub_list": None, "augments": {}, "stop": {host: [] for host in infos}, "called_hub": [], "kept_unit": [],
        "firewalls": firewalls(infos, keep, [], settings, report),
    }


def firewalls(infos: Infos, keep: str, shared: Sequence[Mapping[str, str]], settings: Settings,
              report: Report) -> Dict[str, Firewall]:
    """{host: {"rules"}} as in make_plan: the hub that stays goes on letting clients in, all else of ours goes."""
    mine = infos[keep]
    addresses = [ipaddress.ip_address(item["ip"]) for item in shared if item["id"] != "cfvirtip_repl"]
    near = [item["interface"] for item in mine["addresses"]
            if any(address in ipaddress.ip_network(item["network"]) for address in addresses)]
    every = [item["interface"] for item in mine["addresses"]]
    rules = wanted_outside(sorted(set(near or every)), [], {"layout": mine["layout"]}, firewall_clients(settings))
    return {host: plan_firewall(host, info, rules if host == keep else [], settings, report)
            for host, info in infos.items()}


def ours(setting: Setting) -> bool:
    """True for a setting (as hub_info returns it) that stands in the include file of this collection."""
    return str(setting.get("sourcefile") or "").endswith("/" + INCLUDE_FILE)


def other_name(infos: Infos, keep: str, known: Optional[HubList]) -> Optional[str]:
    """Node name of a hub that cannot be asked, by what the one that stays knows of the pair; None if it knows none."""
    mine = infos[keep]["uname"].lower()
    names = [name.lower() for name in infos[keep]["cluster"]["cib_nodes"]]
    names += [hub["name"] for hub in (known or {}).get("hubs", {}).values()]
    return next((name for name in names if name != mine), None)


def shared_addresses(infos: Infos, known: Optional[HubList], settings: Settings) -> List[Dict[str, str]]:
    """[{"id", "ip"}] of the pair's shared addresses, each once: as CIB, list of hubs and operator name them.

    The list and the operator count too, because the CIB goes before the addresses do.
    """
    found: Dict[str, str] = {}
    for info in infos.values():
        for name, text in sorted(info["cluster"]["cib_ips"].items()):
            found.setdefault(text, name)
        for item in info["kept_addresses"]:
            found.setdefault(item["ip"], "cfvirtip")
    for text in (known or {}).get("shared", []) + [str(parse_ip(text)) for text in settings["virtual_ips"]
                                                   if parse_ip(text)]:
        found.setdefault(text, "cfvirtip")
    for text in settings.get("replication_ips") or []:
        found[text] = "cfvirtip_repl"
    return [{"id": name, "ip": text} for text, name in found.items()]


def kept_addresses(info: HubFacts, wanted: Sequence[str], keep: str, report: Report) -> List[str]:
    """["ADDRESS/PREFIX"] of the addresses that the hub keeps, with the prefix of the network that they lie in."""
    found = []
    for text in wanted:
        address = parse_ip(text)
        prefixes = [item["prefix"] for item in info["addresses"]
                    if address in ipaddress.ip_network(item["network"]) and item["address"] != text]
        if prefixes:
            found.append("%s/%d" % (text, prefixes[0]))
        else:
            report.fail(keep, "the shared address %s cannot be kept: this hub has no address of its own in that subnet"
                        % text, "give it one, or leave hub_ha_keep_address out", "ADDRESS_WITHOUT_SUBNET")
    return found


def released(infos: Infos, keep: str, shared: Sequence[Mapping[str, str]],
             wanted: Sequence[str]) -> Dict[str, List[Dict[str, str]]]:
    """{host: [{"address": "ADDRESS/PREFIX", "interface"}]} of shared addresses that a hub has and must not have."""
    every = [item["ip"] for item in shared]
    return {host: [{"address": "%s/%d" % (item["address"], item["prefix"]), "interface": item["interface"]}
                   for item in info["addresses"]
                   if item["address"] in every and not (host == keep and item["address"] in wanted)]
            for host, info in infos.items()}


def single_list(known: Optional[HubList], node: str, gone: str, shared: Sequence[str]) -> Optional[HubList]:
    """The list of hubs (services/hub_ha.json) of a hub that is single: clients are led to the shared addresses that it
    keeps, or to the hub itself, and the other hub is trusted no more. None when there is no list.
    """
    hubs = (known or {}).get("hubs", {})
    mine = next((address for address, hub in hubs.items() if hub["name"] == node), None)
    if known is None or mine is None:
        return None
    left = {address: hub for address, hub in hubs.items()
            if hub["name"] != gone and hub.get("in_cluster") is not False}
    found = known.copy()
    found.pop("third", None)
    found.update({"vendor": False, "shared": list(shared), "active": mine, "sync": {"policy": False, "paths": []},
                  "hubs": left})
    return found


def single_augments(the_list: Optional[HubList], gone: Optional[str]) -> Dict[str, Any]:
    """What def.json must and must not hold, as module augments takes it. gone: the other hub's address, if known."""
    absent = {"classes": [ENTERPRISE_CLASS], "lists": {"acl": [gone]} if gone else {}}
    return {"lists": {"acl": {"items": [the_list["active"]], "default": ["$(sys.policy_hub)/16"]}} if the_list else {},
            "absent": absent}


def hub_units(info: HubFacts) -> List[str]:
    """CFEngine's units that run or start at boot on a host that calls itself a hub; the umbrella first, which starts
    all others. Not one on a host that is no policy hub any more: it may be somebody's client by now.
    """
    if not info["cfengine"]["am_policy_hub"]:
        return []
    database, umbrella = info["layout"]["db_unit"], info["layout"]["umbrella_unit"]
    names = [name for name, unit in info["units"].items() if name.startswith("cf-") and name != database
             and (unit["active"] in RUNS or unit["enabled"] == "enabled")]
    unit = info["units"].get(umbrella, {})
    return ([umbrella] if unit.get("active") in RUNS or unit.get("enabled") == "enabled" else []) + names


def single_problems(the_plan: RemovalPlan, results: Results) -> List[Problem]:
    """After all: why the hub is not a healthy single one. results: {host: result of hub_info}."""
    found = []
    keep, layout = the_plan["active"], the_plan["layout"]
    info: HubFacts = results[keep]["hub"]
    unit = layout["db_unit"] + ".service"
    if info["postgres"]["state"] != "primary":
        found.append(Problem("NO_PRIMARY", keep, "PostgreSQL on %s is %s and takes no writes"
                             % (keep, info["postgres"]["state"]), "journalctl -u %s" % unit))
    if not the_plan["unfinished"] and (info["postgres"]["unit"] != unit or not runs(info, layout["db_unit"])):
        found.append(Problem("POSTGRES_UNIT", keep, "PostgreSQL on %s does not run under %s but under %s"
                             % (keep, unit, info["postgres"]["unit"]),
                             "systemctl status %s; run this again" % unit))
    have = ["%s/%d" % (item["address"], item["prefix"]) for item in info["addresses"]]
    found += [Problem("ADDRESS_MISSING", keep, "%s does not have the address %s" % (keep, text),
                      "systemctl restart %s" % posixpath.basename(KEPT_UNIT))
              for text in the_plan["addresses"] if text not in have]
    for host in the_plan["there"]:
        hub: HubFacts = results[host]["hub"]
        found += [Problem("CLUSTER_RUNS", host, "%s runs on %s" % (name, host), "systemctl disable --now %s" % name)
                  for name in ("pacemaker", "corosync") if host in the_plan["clustered"] and runs(hub, name)]
        if host != keep and hub["postgres"]["pid"] and not the_plan["unfinished"]:
            found.append(Problem("POSTGRES_RUNS", host, "PostgreSQL still runs on %s" % host,
                                 "stop it: two hubs must not take writes"))
        gone = [item["address"] for item in the_plan["release"][host]]
        found += [Problem("ADDRESS_LEFT", host, "%s still has the address %s/%d"
                          % (host, item["address"], item["prefix"]), "ip address del %s/%d dev %s"
                          % (item["address"], item["prefix"], item["interface"]))
                  for item in hub["addresses"] if "%s/%d" % (item["address"], item["prefix"]) in gone]
    return found
