# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The third hub: outside the cluster, on a site of its own, following whichever hub of the pair is active.

Pure functions on plain data: the plan of the pair widened by the third hub, and what may be done in a disaster and on
the way back. See upgrade.py for the plan itself.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, cast

from ..cfengine.model import HubList, ListedHub
from ..core.problem import Problem, Report
from ..core.run import HubError
from ..core.text import as_list, first_version, human
from ..facts import intake, postgres as pg_facts
from ..facts.layouts import Layouts
from ..facts.model import HubFacts, Infos, OutsideHub, Results
from ..host import reach, system
from ..host.system import Address
from ..pair import groups
from ..pair.networks import parse_ip
from ..pg.conninfo import primary_only
from ..pg.model import Postgres
from ..pg.slots import slot_name
from . import upgrade
from .checks.inventory import unread
from .firewalls import firewall_clients, plan_firewall, wanted_outside
from .model import ReturnPlan, ThirdHub, UpgradePlan

Settings = Mapping[str, Any]
Third = Mapping[str, Any]  # of the plan's settings, see make_plan()
Sign = Mapping[str, Any]  # of life, as module reach returns it: {"address", "port", "how", "reason", "from"}

PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n?", re.DOTALL)
ADD = "playbooks/third-hub.yml"
PROMOTE = "playbooks/promote-third-hub.yml"
RETURN = "playbooks/return-from-third-hub.yml"
UPGRADE = "playbooks/upgrade-to-ha.yml"


def make_plan(results: Results, settings: Settings, probes: Optional[upgrade.Probes] = None,
              third: Optional[Third] = None, follows: bool = False) -> UpgradePlan:
    """upgrade.make_plan, and what it is for the third hub.

    third: {"hosts": inventory names in group third_hub, "both": those of them that are in group hubs too, "result": of
    module hub_info there (or of an attempt that reached nobody), "address": that the operator gives or "",
    "inventory_address": how Ansible reaches it, "groups": names of those of the hubs and of the third hub}.
    follows: it will follow the pair, whatever its database is now. The plan gets "third" (None without one), see
    describe().
    """
    third = third or {}
    hosts = third.get("hosts") or []
    accepted = [str(name).lower() for name in as_list(settings.get("accept_hub_keys"))]
    ours = dict(settings, outsiders=outsiders(results, third) if hosts else [])
    if hosts:
        # Its entry in the list of hubs is looked at here, not as that of a hub which the inventory has forgotten.
        ours["accept_hub_keys"] = accepted + [third_name(third)] + list(hosts)
    plan = cast(UpgradePlan, upgrade.make_plan(results, ours, probes))
    plan["third"] = plan["third_unread"] = None
    report = Report()
    if third.get("both"):
        report.fail(third["both"][0], "this hub is in the groups %s and %s" % group_names(third),
                    "the third hub is outside the cluster: take it out of one of the two groups", "THIRD_IN_PAIR")
    if len(hosts) > 1:
        report.fail("all", "the group %s has %d hosts: %s" % (group_names(third)[1], len(hosts), ", ".join(hosts)),
                    "one third hub can follow a pair", "THIRD_MORE")
    if hosts and plan["complete"] and plan["client"] and len(hosts) == 1 and not third.get("both"):
        infos = intake.hubs(results, report)
        join(plan, infos, ours, third, accepted, follows, report)
    plan["failures"] += report.failures
    plan["warnings"] += report.warnings
    if plan["complete"]:
        own_addresses(plan)
    return plan


def group_names(third: Third) -> Tuple[str, str]:
    """Names of the inventory's groups of the hubs and of the third hub. third: as for make_plan."""
    hubs, outside = third.get("groups") or ("hubs", "third_hub")
    return str(hubs), str(outside)


def outsiders(results: Results, third: Third) -> List[str]:
    """Addresses of the third hub, for the firewalls of the pair's hubs: what it says itself, or what the hubs know."""
    info = answer(third)
    if info:
        return [item["address"] for item in info["addresses"]]
    for hub in intake.hubs(results, Report()).values():
        address, entry = known_entry(hub)
        if entry and address:
            return entry.get("addresses") or [address]
    return []


def answer(third: Third, report: Optional[Report] = None) -> Optional[HubFacts]:
    """Facts of the third hub, None of one that does not answer. What cannot be read of it is told to the report."""
    host = (third.get("hosts") or ["third_hub"])[0]
    return intake.hubs({host: third.get("result") or {}}, report or Report()).get(host)


def third_name(third: Third) -> str:
    """How the third hub calls itself, or the inventory's name of one that does not answer."""
    hub = answer(third)
    return hub["uname"].lower() if hub else str(third["hosts"][0])


def own_addresses(plan: UpgradePlan) -> None:
    """plan["own_addresses"] {host: its addresses on the shared networks}: what its certificate holds."""
    plan["own_addresses"] = {host: [net["addresses"][host] for net in plan["networks"]] for host in plan["hubs"]}
    third = plan["third"]
    if third:
        plan["own_addresses"][third["host"]] = third["addresses"]


def known_entry(info: HubFacts) -> Tuple[Optional[str], Optional[ListedHub]]:
    """(address, entry) of the third hub in the list that the hub of these facts has; (None, None) without one."""
    hubs = (info["cfengine"]["hub_list"] or {}).get("hubs", {})
    for address, entry in sorted(hubs.items()):
        if entry.get("in_cluster") is False:
            return address, entry
    return None, None


def join(plan: UpgradePlan, infos: Infos, settings: Settings, third: Third, accepted: Sequence[str], follows: bool,
         report: Report) -> None:
    """Puts the third hub into the plan; what stands against it into the report.

    accepted: names of hubs whose key may have changed, by the operator's word. follows: see make_plan().
    """
    active = infos[plan["active"]]
    address, entry = known_entry(active)
    info = answer(third, report)
    host = third["hosts"][0]
    if info is None:
        result = third.get("result") or {}
        refused = intake.problem(host, result["hub"]) if "hub" in result else None  # answer() has told it to the report
        problem = refused or unread(host, result)
        plan["third_unread"] = problem.to_dict()
        if not refused:
            report.warn(host, problem.problem + "; what is known of the third hub is left as it is", problem.remedy,
                        problem.code)
        if entry and address:
            plan["third"] = unreachable(host, address, entry, infos, plan)
            enter(plan)
        return
    info = {**info, "addresses": lasting_addresses(plan, info)}
    where = choose_address(plan, info, third)
    if where is None:
        report.fail(host, "which of its addresses (%s) clients and hubs reach the third hub under is not known"
                    % ", ".join(item["address"] for item in info["addresses"]),
                    "set hub_ha_third_hub_address for it", "THIRD_ADDRESS")
        return
    check(plan, info, host, report)
    check_key(info, entry, accepted, host, report)
    check_versions(plan, active, info, host, report)
    if follows:
        check_system(info, plan["system_identifier"], host, report)
    else:
        check_database(plan, active, info, host, report)
    check_acl(plan, active, where, host, report)
    plan["third"] = describe(plan, info, host, where)
    enter(plan)
    hubs = [net["addresses"][hub] for net in plan["networks"] for hub in plan["hubs"]]
    plan["firewalls"][host] = plan_firewall(host, info, wanted_outside(
        sorted({item["interface"] for item in info["addresses"]}), hubs, plan, firewall_clients(settings)),
        settings, report)


def lasting_addresses(plan: UpgradePlan, info: HubFacts) -> List[Address]:
    """The third hub's own of facts["addresses"]: neither shared addresses, nor those that end by themselves."""
    shared = [item["ip"] for item in plan["virtual_ips"]]
    return [item for item in info["addresses"] if item["address"] not in shared and not item.get("fleeting")]


def choose_address(plan: UpgradePlan, info: HubFacts, third: Third) -> Optional[str]:
    """The address under which clients and hubs reach the third hub; None when it cannot be known."""
    if third.get("address"):
        return str(parse_ip(third["address"]) or "") or None
    own = [str(item["address"]) for item in info["addresses"]]
    on_client_net = [str(item["address"]) for item in info["addresses"]
                     if plan["client"] and item["network"] == plan["client"]["network"]]
    given = [str(third["inventory_address"])] if third.get("inventory_address") in own else []
    alone = own if len(own) == 1 else []
    return next(iter(on_client_net + given + alone), None)


def check(plan: UpgradePlan, info: HubFacts, host: str, report: Report) -> None:
    """The third hub has a name of its own, and is in no cluster."""
    if info["uname"].lower() in plan["nodes"].values():
        report.fail(host, "the third hub has the name of a hub of the pair (%s)" % info["uname"],
                    "give each hub its own host name: hostnamectl set-hostname NAME", "HUB_NAMES_SAME")
    cluster = info["cluster"]
    if cluster["cib_resources"] or info["units"].get("pacemaker", {}).get("active") == "active":
        report.fail(host, "pacemaker runs on the third hub, which must be outside the cluster",
                    "take it out of its cluster: systemctl disable --now pacemaker corosync", "THIRD_IN_CLUSTER")


def check_key(info: HubFacts, entry: Optional[ListedHub], accepted: Sequence[str], host: str, report: Report) -> None:
    """The third hub's host key is still that of its entry in the list of hubs, or the change is accepted."""
    now = info["cfengine"]["key_digest"]
    if entry and now and now != entry["key"] and entry["name"] not in accepted:
        report.fail(host, "the host key was %s and is %s now, which no client trusts" % (entry["key"], now),
                    "bring the old key back (ppkeys/localhost.* from the last backup); if the change is meant: "
                    "-e hub_ha_accept_hub_keys=%s" % entry["name"], "KEY_CHANGED")


def check_acl(plan: UpgradePlan, active: HubFacts, where: str, host: str, report: Report) -> None:
    """Clients are let in on the third hub's network too."""
    if plan["client"] and not active["cfengine"]["sets_acl"]:
        inside = ipaddress.ip_network("%s/16" % plan["client"]["addresses"][plan["active"]], strict=False)
        if parse_ip(where) not in inside:
            report.warn(host, "clients are admitted by acl, which is the /16 network of the hub that they ask: the third "
                        "hub would refuse them", "name the clients' networks in vars.acl of def.json", "THIRD_ACL")


def check_versions(plan: UpgradePlan, active: HubFacts, info: HubFacts, host: str, report: Report) -> None:
    """Same CFEngine, same PostgreSQL, same layout as the pair, installed or as the package source offers it."""
    if info["packager_interrupted"]:
        report.fail(host, "a package installation was cut off on this host", "finish it: dpkg --configure -a",
                    "PACKAGES_INTERRUPTED")
    for name in needed(plan):
        state = (info["packages"] or {}).get(name, {})
        if info["packages"] is not None and not state.get("installed") and not state.get("candidate"):
            report.fail(host, "package %s is not installed and no package source offers it" % name,
                        "add or repair the package source, then check with: apt-cache policy %s" % name,
                        "PACKAGE_NOT_OFFERED")
    wanted, have = active["cfengine"]["version"], info["cfengine"]["version"]
    if not have and not needed(plan):
        report.fail(host, "CFEngine is not installed here",
                    "install the same hub package as on %s (CFEngine %s), stop it, and move its own database aside"
                    % (plan["active"], wanted), "CFENGINE_MISSING")
    if not have:
        for name in plan["layout"]["cfengine_packages"]:
            have = first_version((info["packages"] or {}).get(name, {}).get("candidate") or "")
    if wanted and have and wanted != have:
        report.fail(host, "CFEngine %s here and %s on %s" % (have, wanted, plan["active"]),
                    "install the same version on all three hubs", "VERSIONS_DIFFER")
    bins = info["postgres"]["bins"]
    if bins and str(plan["pg_major"]) not in bins and not needed(plan):
        report.fail(host, "PostgreSQL %s here and %s on %s"
                    % (", ".join(sorted(bins)), plan["pg_major"], plan["active"]),
                    "install the same version on all three hubs", "POSTGRES_VERSION")
    if info["layout_found"] and info["layout_found"] != plan["layout"]["name"]:
        report.fail(host, "the hubs differ in layout: %s here, %s on %s"
                    % (info["layout_found"], plan["layout"]["name"], plan["active"]),
                    "all three hubs must run the same edition from the same kind of package", "LAYOUT_DIFFERS")


def needed(plan: UpgradePlan) -> List[str]:
    """Packages that the third hub needs; the cluster's are not among them."""
    if plan["layout"]["name"] != "debian":
        return []
    return list(plan["layout"]["cfengine_packages"]) + (
        ["postgresql-%d" % plan["pg_major"]] if plan["pg_major"] else [])


def aside(postgres: Postgres) -> str:
    """The remedy where a database of facts["postgres"] is in the way."""
    return ("if it is not needed, stop it and move %s aside: nothing here overwrites a database" % postgres["data_dir"])


def check_system(info: HubFacts, wanted: Optional[str], host: str, report: Report) -> bool:
    """The database, if there is one, belongs to the pair's system *wanted*; False when it is another one's."""
    mine = info["postgres"]
    identifier = pg_facts.system_identifier(mine)
    if not identifier or not wanted or identifier == wanted:
        return True
    report.fail(host, "the third hub has a database of its own (%s, system %s; the pair's is %s)"
                % (mine["state"], identifier, wanted), aside(mine), "OTHER_SYSTEM")
    return False


def check_database(plan: UpgradePlan, active: HubFacts, info: HubFacts, host: str, report: Report) -> None:
    """No database but a copy of the pair's is ever touched."""
    mine, theirs = info["postgres"], active["postgres"]
    state, wanted = mine["state"], plan["system_identifier"]
    if state == "primary" and pg_facts.system_identifier(mine) == wanted:
        report.fail(host, "the third hub is active: its PostgreSQL takes writes (timeline %s)"
                    % (mine["control"].get("timeline") or "?"),
                    "if it was promoted in a disaster, the way back is %s" % RETURN, "THIRD_ACTIVE")
    elif state in ("primary", "standby", "stopped") and not check_system(info, wanted, host, report):
        pass  # it is told there
    elif state == "unreachable":
        report.fail(host, "a PostgreSQL runs here (pid %s) and does not answer: %s" % (mine["pid"], mine["error"]),
                    aside(mine), "POSTGRES_SILENT")
    elif state == "foreign":
        report.fail(host, "%s holds files that are no database" % mine["data_dir"],
                    "move them away; the clone goes there", "DATA_DIR_FOREIGN")
    elif state == "stopped":
        found = pg_facts.relation(mine, theirs, host, plan["active"])
        # One that the pair has left behind makes way for a new clone, see diverged(), unless it has rows of its own.
        if not found.follows and not (found.forked and pg_facts.side(mine).was_primary is False):
            report.fail(host, "the third hub's database may have rows that the pair lacks: %s" % found,
                        "save it, then move %s aside" % mine["data_dir"],
                        "DATA_FORKED" if found.forked else "DATA_UNPROVEN")
    elif state == "absent" and theirs["port"] in info["ports"]:
        report.fail(host, "something else listens on port %d" % theirs["port"],
                    "stop and disable it: ss -ltnp sport = :%d" % theirs["port"], "PORT_TAKEN")
    size = theirs["server"]["size_bytes"] if theirs["server"] else None
    check_space(info, size if state == "absent" else None, host, report)


def check_space(info: HubFacts, size: Optional[int], host: str, report: Report) -> None:
    """Room for a copy of *size* bytes (None: no copy is made)."""
    need = int(size * 1.1) + (64 << 20) if size else 0
    if info["space"]["free_bytes"] < need:
        report.fail(host, "%s free in %s, the copy needs %s"
                    % (human(info["space"]["free_bytes"]), info["space"]["path"], human(need)),
                    "make room or mount a larger file system there", "DISK_SPACE")


def diverged(mine: Postgres, primary: Postgres) -> bool:
    """True when the database of a standby is proven to have gone another way than the primary's: it can never follow.

    mine, primary: facts["postgres"] of the two.
    """
    return mine["state"] in ("standby", "stopped") and bool(pg_facts.relation(mine, primary).forked)


def describe(plan: UpgradePlan, info: HubFacts, host: str, address: str) -> ThirdHub:
    """plan["third"] of a third hub that answers."""
    own = [item["address"] for item in info["addresses"]]
    replication = plan["replication"]
    near = [item["address"] for item in info["addresses"] if replication and item["network"] == replication["network"]]
    near_by = replication if near else plan["client"]
    states = info["packages"] or {}
    return {
        "host": host, "name": info["uname"].lower(), "reachable": True, "address": address,
        "addresses": own + ([] if address in own else [address]),
        # How it reaches the pair's hubs, and how they reach it.
        "sources": {hub: near_by["addresses"][hub] for hub in plan["hubs"]} if near_by else {},
        "replication_address": near[0] if near else address,
        "key": info["cfengine"]["key_digest"], "public": info["cfengine"]["key_public"],
        "certificate": info["postgres"]["certificate"],
        "slot": slot_name("hub_ha", info["uname"].lower()),
        "packages": [name for name in needed(plan) if info["packages"] is not None
                     and not states.get(name, {}).get("installed")],
    }


def unreachable(host: str, address: str, entry: ListedHub, infos: Infos, plan: UpgradePlan) -> ThirdHub:
    """plan["third"] of one that does not answer, from what the active hub knows: nothing of it is taken away."""
    own = [info["postgres"]["certificate"] for info in infos.values()]
    trusted = PEM.findall(infos[plan["active"]]["postgres"]["trusted"] or "")
    return {"host": host, "name": entry["name"], "reachable": False, "address": address,
            "addresses": entry.get("addresses") or [address], "sources": {}, "replication_address": address,
            "key": entry["key"], "public": entry["public"],
            "certificate": "".join(text for text in trusted if text not in own) or None,
            "slot": slot_name("hub_ha", entry["name"]), "packages": []}


def of_plan(plan: UpgradePlan) -> ThirdHub:
    """The third hub of a plan that has one. Raises HubError when it has none."""
    if plan["third"] is None:
        raise HubError("the plan has no third hub")
    return plan["third"]


def enter(plan: UpgradePlan) -> None:
    """What the pair's own files must say of the third hub."""
    third = of_plan(plan)
    plan["slots"][third["host"]] = third["slot"]
    plan["hba_addresses"] = plan["hba_addresses"] + [
        "%s/%d" % (text, ipaddress.ip_address(text).max_prefixlen) for text in third["addresses"]]
    if not third["key"] or plan["hub_list"] is None:
        return
    plan["ha_info"][third["address"]] = {"sha": third["key"].split("=", 1)[1], "internal_ip": third["address"],
                                         "is_in_cluster": False}
    plan["hub_list"]["hubs"][third["address"]] = {
        "name": third["name"], "key": third["key"], "public": third["public"], "in_cluster": False,
        "addresses": third["addresses"]}
    plan["hub_list"]["third"] = {
        "hubs": [third["address"]], "slot": third["slot"], "psql": "%s/psql" % plan["pg_bin"],
        "port": str(plan["pg_port"]),
        # Whose an address is that gives a sign of life, for promote_stops().
        "pair": {host: [net["addresses"][host] for net in plan["networks"]] for host in plan["hubs"]}}


def widen(plan: UpgradePlan) -> UpgradePlan:
    """The plan as the roles need it to work on all three hubs: the third one takes the passive hub's place."""
    third, wide = of_plan(plan), copy.deepcopy(plan)
    host = third["host"]
    wide["hubs"] = plan["hubs"] + [host]
    wide["passive"] = host
    wide["nodes"][host] = third["name"]
    between(wide, third)
    # Mission Portal's certificate on the third hub stays the package's; its secrets are in the replicated database.
    wide["portal"]["certificates"][host] = None
    wide["portal"]["secrets"]["carry"] = plan["edition"] == "enterprise"
    wide["packages"] = {name: [] for name in plan["hubs"]}
    wide["packages"][host] = third["packages"]
    return wide


def between(plan: UpgradePlan, third: ThirdHub) -> None:
    """Has the plan's networks of clients and of replication lead to the third hub and from there."""
    if plan["client"]:
        plan["client"]["addresses"][third["host"]] = third["address"]
    if plan["replication"]:
        plan["replication"]["addresses"] = {**third["sources"], third["host"]: third["replication_address"]}


def ready(plan: UpgradePlan, infos: Infos) -> List[Problem]:
    """What keeps a third hub from being added, beside the plan's own failures.

    infos: {host: facts} of the pair's hubs.
    """
    found = []
    if not plan["third"] or not plan["third"]["reachable"]:
        why = plan["third_unread"]
        found.append(Problem.from_dict(why) if why else unread("third_hub", {}))
    if not plan["adopted"] or plan["restart"] or plan["maintenance_ours"]:
        found.append(Problem("PAIR_UNFINISHED", "all", "the hubs are no pair yet, or wait for a restart",
                             "run %s first" % UPGRADE))
    for host, state, code in ((plan["active"], "primary", "NO_PRIMARY"), (plan["passive"], "standby", "REPL_STOPPED")):
        if infos[host]["postgres"]["state"] != state:
            found.append(Problem(code, host, "PostgreSQL on %s is %s, not %s"
                                 % (host, infos[host]["postgres"]["state"], state),
                                 "make the pair healthy first, with %s" % UPGRADE))
    return found


def conninfo(plan: UpgradePlan, host: str, sslmode: str, user: str, sources: Optional[Sequence[str]] = None) -> str:
    """primary_conninfo of a standby outside of pacemaker's hands. Only who takes writes is followed, whoever that is.

    sources: addresses, the pair's as the third hub reaches them when not given. No password: the passfile has it.
    """
    third = of_plan(plan)
    addresses = sources or [third["sources"][hub] for hub in plan["nodes"] if hub in third["sources"]]
    names = [("host", ",".join(addresses)), ("port", plan["pg_port"]), ("user", user),
             ("application_name", plan["nodes"].get(host, third["name"])),
             ("passfile", plan["layout"]["ha_dir"] + "/pgpass"), ("sslmode", sslmode),
             ("sslrootcert", plan["layout"]["ha_dir"] + "/root.crt"),
             ("target_session_attrs", primary_only(plan["pg_major"] or 0)),
             # The walreceiver heeds no connect_timeout: a silent host is given up by the kernel after this many ms.
             ("tcp_user_timeout", 5000), ("keepalives_idle", 5), ("keepalives_interval", 3), ("keepalives_count", 3)]
    return " ".join("%s=%s" % item for item in names)


def guard(plan: UpgradePlan, sslmode: str, user: str) -> str:
    """Connection string with which a hub's agent finds out, before it promotes, whether the third hub takes writes.

    No connect_timeout: the agent limits the whole question, and tells a timeout from a no.
    """
    third = of_plan(plan)
    return ("host=%s port=%s user=%s dbname=replication replication=true target_session_attrs=read-write "
            "passfile=%s/pgpass sslmode=%s sslrootcert=%s/root.crt" % (
                third["replication_address"], plan["pg_port"], user, plan["layout"]["ha_dir"], sslmode,
                plan["layout"]["ha_dir"]))


def promote_signs(facts: OutsideHub, reached: Iterable[Sign], hubs: Mapping[str, str],
                  off: Iterable[str] = ()) -> List[Sign]:
    """Of what reach has found that which counts: every sign of life, and what could not be tried.

    facts: hub_info's of the third hub. hubs: {inventory name: address for SSH}. off: names of hubs that the
    operator has switched off: for those, and where an address is nobody's for all of them, he answers for what could
    not be tried. A real sign of life always counts.
    """
    pair_addresses = ((facts["cfengine"]["hub_list"] or {}).get("third") or {}).get("pair") or {}
    own = {name: {name, address, *pair_addresses.get(name, [])} for name, address in hubs.items()}
    return [item for item in reached if item["how"] != reach.UNTRIED or not set(off).issuperset(
        [name for name in hubs if item["address"] in own[name]] or list(hubs) or [""])]


def promote_verdict(facts: OutsideHub, reached: Sequence[Sign], confirmed: bool) -> Dict[str, Any]:
    """May the third hub be promoted? {"do": "promote" or "nothing" or "refuse", "failures"}.

    facts: hub_info's of the third hub. reached: promote_signs', [{"address", "port", "how", "from"}] of every sign of
    life of a hub of the pair; what could not be tried counts as one. confirmed: the operator takes it on himself; hubs
    that live are stopped first then.
    """
    report = Report()
    host, postgres = facts["uname"], facts["postgres"]
    known = (facts["cfengine"]["hub_list"] or {}).get("hubs", {})
    mine = [entry for entry in known.values() if entry.get("in_cluster") is False
            and entry["key"] == facts["cfengine"]["key_digest"]]
    if postgres["state"] == "primary" and mine:
        return {"do": "nothing", "failures": []}
    if not mine:
        report.fail(host, "this is no third hub of a pair: the list of hubs (services/hub_ha.json) does not name it",
                    "%s makes it one, while the pair lives" % ADD, "THIRD_UNKNOWN")
    elif postgres["state"] == "stopped" and postgres["standby_signal"]:
        pass  # it is started first; also after a way back that stopped it and could not go on
    elif postgres["state"] != "standby":
        report.fail(host, "PostgreSQL is no standby here (%s)" % postgres["state"],
                    "without a copy of the pair's database there is nothing to promote. If a way back has just stopped "
                    "it, and no hub of the pair takes writes: systemctl start %s" % facts["layout"]["db_unit"],
                    "THIRD_NO_STANDBY")
    alive = places([item for item in reached if item["how"] != reach.UNTRIED])
    untried = places([item for item in reached if item["how"] == reach.UNTRIED])
    if alive and not confirmed:
        report.fail(host, "a hub of the pair can be reached: %s" % "; ".join(alive),
                    "two active hubs would each take writes that the other never sees. While the pair lives, fail over "
                    "within it. If this is meant, say so: -e hub_ha_promote_confirm=true; what lives is stopped first "
                    "then, and what cannot be stopped you must switch off", "PAIR_LIVES")
    if untried and not confirmed:
        report.fail(host, "whether the pair lives could not be tried: %s" % "; ".join(untried),
                    "silence only counts where the question went out. Let these ports out where they are tried from "
                    "(route, filter for outgoing packets, IPv6), and run this again. Or look at the hubs yourself, "
                    "switch them off, and name each one that is off: -e hub_ha_promote_off=hub1,hub2", "PAIR_UNTRIED")
    return {"do": "refuse" if report.failures else "promote", "failures": report.failures}


def places(signs: Sequence[Sign]) -> List[str]:
    """Signs of life for people: ["ADDRESS (port 22 accepts; seen from HOST)"]."""
    found = []
    for address in sorted({item["address"] for item in signs}):
        here = [item for item in signs if item["address"] == address]
        ports = sorted({(item["port"], item["how"], item.get("reason", "")) for item in here})
        found.append("%s (%s; %s from %s)" % (
            address, ", ".join("port %s %s%s" % (port, how, ": " + why if why else "") for port, how, why in ports),
            "seen" if here[0]["how"] != reach.UNTRIED else "asked",
            " and ".join(sorted({item["from"] for item in here}))))
    return found


def promote_stops(verdict: Mapping[str, Any], facts: OutsideHub, signs: Sequence[Sign],
                  hubs: Mapping[str, str]) -> List[str]:
    """Inventory names of the hubs that are stopped before the promotion, after the operator's word: each that lives,
    or that could not be asked.

    verdict: promote_verdict's; facts, signs: as it has got them. hubs: {name: address for SSH}. Whether a hub can be
    stopped is found out by Ansible's connection, whatever its port or way: one that lives and cannot be is an error.
    """
    known = facts["cfengine"]["hub_list"] or {}
    pair_addresses = (known.get("third") or {}).get("pair") or {}
    own = {name: {address, *pair_addresses.get(name, [])} for name, address in hubs.items()}
    alive = {item["address"] for item in signs if verdict["do"] == "promote"}
    found = [name for name in hubs if own[name] & alive]
    # Whose is it? A shared address is one of those that are stopped anyhow; for any other all hubs have to answer.
    strangers = alive.difference(*own.values()) - set(known.get("shared", []) if found else [])
    return list(hubs) if strangers else found


def promote_unproved(stops: Sequence[str], proved: Sequence[str],
                     named: Tuple[str, str] = ("hubs", "third_hub")) -> Optional[Problem]:
    """What keeps the third hub from being promoted after the stop; None when nothing does.

    stops: promote_stops'. proved: names of the hubs that have said at the end of their stop that nothing serves there
    any more; anything else (left out of the run, unreachable, failed, never asked) is no proof. named: names of the
    inventory's groups of the hubs and of the third hub.
    """
    lacking = [name for name in stops if name not in proved]
    return None if not lacking else Problem(
        "STOP_UNPROVEN", lacking[0] if len(lacking) == 1 else "all",
        "The third hub was not promoted: %s gives signs of life, or could not be asked, and has not proved that it is "
        "stopped, see above" % " and ".join(lacking),
        "Switch it off, and run this again, for all hosts of the groups %s and %s. If it is off already and "
        "only could not be asked: -e hub_ha_promote_off=%s" % (*named, ",".join(lacking)))


def unproved_text(stops: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]],
                  names: Optional[Mapping[str, Any]] = None) -> str:
    """promote_unproved() for people, "" when nothing keeps the third hub.

    hostvars: {host: its variables}; the mark of a hub that has proved it is "third_hub_stopped", set to true. names:
    {variable: name of a group}, the usual ones when not given.
    """
    names = names or groups.usual(groups.USUAL)
    found = promote_unproved(stops, [host for host in stops if hostvars[host].get("third_hub_stopped") is True],
                             (names[groups.HUBS], names[groups.THIRD_HUB]))
    return "%s. %s (%s)" % (found.problem, found.remedy, found.code) if found else ""


def shared_here(ip_json: Optional[str], known: HubList) -> List[Dict[str, str]]:
    """[{"interface", "address" (with its prefix)}] of the pair's shared addresses that a host has.

    ip_json: output of `ip -j addr`. known: the list of hubs.
    """
    return [{"interface": item["interface"], "address": "%s/%d" % (item["address"], item["prefix"])}
            for item in system.addresses(json.loads(ip_json or "[]")) if item["address"] in known["shared"]]


def return_plan(results: Results, settings: Settings, third: Third, wanted: Optional[str] = None) -> ReturnPlan:
    """The way back from a third hub that was promoted: the pair as it will be, and how far it is.

    results, settings, third: as for make_plan. wanted: the hub that is to be active, the first one when not given.
    Returns a plan with "failures" and "stage": "clone" (the pair's old data makes way), "switch" (the chosen hub
    streams from the third one, or has all of it), "done" (a hub of the pair takes writes again).
    "active" is the chosen hub.
    """
    report = Report()
    infos = intake.hubs(results, report)
    info = answer(third, report)
    refused = [item["host"] for item in report.failures]
    missing = [host for host in results if host not in infos] + ([] if info else third.get("hosts") or ["third_hub"])
    if info is None or missing or len(infos) != 2:
        nobody = info and info["postgres"]["state"] != "primary"
        for host in [host for host in missing if host not in refused]:
            report.add(unread(
                host, results.get(host) or third.get("result") or {}, "all three hubs are needed for the way back; check "
                "with: ansible -i INVENTORY -m ping %s%s"
                % (host, ". If nobody takes writes now: " + PROMOTE if nobody else "")))
        if not missing:
            report.fail("all", "the group %s has %d hosts" % (group_names(third)[0], len(infos)),
                        "exactly two hubs make a pair", "GROUP_SIZE")
        return cast(ReturnPlan, {"failures": report.failures, "warnings": [], "stage": "refuse", "complete": False,
                                 "third": None})
    states = {host: item["postgres"]["state"] for host, item in infos.items()}
    primaries = [host for host, state in states.items() if state == "primary"]
    ours = pg_facts.system_identifier(info["postgres"])
    # A standby beside pacemaker: an earlier run of the way back has made it a follower of the third hub.
    copies = [host for host, item in infos.items() if item["postgres"]["outside"]
              and is_copy(item, info["postgres"])
              and pg_facts.system_identifier(item["postgres"]) == ours and not left_behind(item, info["postgres"])]
    target = next(iter(primaries + copies), wanted if wanted in infos else next(iter(infos)))
    third_state = info["postgres"]["state"]
    stage = "done" if primaries else "switch" if copies else "clone"
    problems = Report()
    if wanted and wanted not in infos:
        problems.fail("all", "hub_ha_return_to names %s, which is no hub of the pair" % wanted,
                      "name one of %s, or leave it out" % " and ".join(infos), "HUB_UNKNOWN")
    if primaries and third_state == "primary":
        problems.fail(primaries[0], "PostgreSQL takes writes on %s and on %s: both are active"
                      % (" and ".join(primaries), third["hosts"][0]),
                      "decide which writes you can do without, and stop pacemaker on the pair's hub if they are its "
                      "own: systemctl stop pacemaker corosync; its data is kept aside then", "TWO_PRIMARIES")
    elif not primaries and third_state != "primary" and not (stage == "switch" and ended_cleanly(info["postgres"])):
        problems.fail(third["hosts"][0],
                      "PostgreSQL takes writes on no hub (%s: %s)" % (third["hosts"][0], third_state),
                      "start it where it was active last; the way back begins at a third hub that is active. If an "
                      "earlier run stopped the third one and could not go on: %s, and run this again" % PROMOTE,
                      "NO_PRIMARY")
    if stage == "clone" and third_state == "primary":
        check_same(infos, info, third["hosts"][0], problems)
    for host, item in infos.items():
        if stage == "clone" and states[host] == "unreachable":
            continue  # starting, or stopping: it is stopped before its data is moved
        if stage == "clone" and item["cluster"]["maintenance"] and not item["maintenance_marker"] \
                and not any(other["maintenance_marker"] for other in infos.values()):
            problems.fail(host, "the cluster is in maintenance mode, and no run of this collection has put it there",
                          "end it first: crm_attribute --type crm_config --name maintenance-mode --delete",
                          "CLUSTER_MAINTENANCE")
    if stage == "clone":
        server = info["postgres"]["server"]
        for host, item in infos.items():
            check_space(item, server["size_bytes"] if server else None, host, problems)
    if stage != "done":
        infos = {host: as_active(item, info["postgres"]) if host == target else without_database(item)
                 for host, item in infos.items()}
    # After the switch a third hub that stopped as a standby is looked at as any other one.
    follows = stage != "done" or third_state == "primary" or not info["postgres"]["standby_signal"]
    pair = {host: {"hub": item} for host, item in infos.items()}
    plan = cast(ReturnPlan, make_plan(pair, settings, None, third, follows))
    plan["failures"] = problems.failures + plan["failures"]
    plan["stage"] = stage
    plan["former"] = pg_facts.system_identifier(info["postgres"])
    return plan


def as_active(info: HubFacts, third: Postgres) -> HubFacts:
    """The facts of the chosen hub as they will be: it has the third hub's database.

    third: facts["postgres"] of the third hub.
    """
    mine = info["postgres"]
    return {**info, "layouts": of_machine(info), "postgres": {
        **third, "data_dir": mine["data_dir"], "state": "primary", "server": third["server"] or mine["server"],
        "certificate": mine["certificate"], "trusted": mine["trusted"]}}


def without_database(info: HubFacts) -> HubFacts:
    """The facts of the other hub as they will be: its database has made way, and it is cloned later."""
    own = [info["postgres"]["port"]] if info["postgres"]["pid"] else []
    return {**info, "ports": [port for port in info["ports"] if port not in own], "layouts": of_machine(info),
            "postgres": {**info["postgres"], "state": "absent", "server": None, "control": {}, "pid": None,
                         "lock": False}}


def of_machine(info: HubFacts) -> Layouts:
    """What facts/layouts.py says of the machine, without what it says of a database that makes way."""
    return {**info["layouts"], "lost_found": None, "auto_conf": [], "settings": {}, "misplaced": {}, "outside": [],
            "recovery": [], "overriding": {}, "preload": [], "archive_paths": [], "archive_programs": [],
            "log_directory": None, "slots_used": None, "senders_used": None}


def ended_cleanly(postgres: Postgres) -> bool:
    """Whether the server of facts["postgres"] was a primary, or was told since to be none, and was stopped cleanly."""
    return bool(postgres["state"] == "stopped" and postgres["control"].get("state") == "shut down")


def is_copy(info: HubFacts, third: Postgres) -> bool:
    """True on a hub of the pair that follows the third one, or did until a switch that failed brought it down.

    third: facts["postgres"] of the third hub. Where that one is stopped too, the switch was cut off while it was taken
    back: it is done anew then, or taken back.
    """
    postgres = info["postgres"]
    return bool(postgres["state"] == "standby" or (
        postgres["state"] == "stopped" and (third["state"] == "primary" or ended_cleanly(third))
        and info["cluster"]["maintenance"]
        and postgres["control"].get("state") == "shut down in recovery"
        and pg_facts.relation(postgres, third).follows))


def left_behind(info: HubFacts, third: Postgres) -> bool:
    """True when a copy does not stream from the third hub and never will: the WAL that it lacks is not kept there."""
    server, name = third["server"], info["uname"].lower()
    if third["state"] != "primary" or server is None:
        return False
    slot = slot_name("hub_ha", name)
    kept = slot in (server["slots"] or []) and slot not in (server["slots_lost"] or [])
    return not kept and name not in (server["streaming"] or [])


def check_same(infos: Infos, info: HubFacts, host: str, report: Report) -> None:
    """What makes way is replaced by a copy of the third hub's database: that must be one of the pair's."""
    postgres, known = info["postgres"], (info["cfengine"]["hub_list"] or {}).get("hubs", {})
    ours = pg_facts.system_identifier(postgres)
    if not any(entry.get("in_cluster") is False and entry["key"] == info["cfengine"]["key_digest"]
               for entry in known.values()):
        report.fail(host, "this is no third hub of a pair: the list of hubs (services/hub_ha.json) does not name it",
                    "there is nothing to return from it; %s makes it one, while the pair lives" % ADD, "THIRD_UNKNOWN")
    for name, item in infos.items():
        theirs = pg_facts.system_identifier(item["postgres"])
        if theirs and theirs != ours:
            report.fail(name, "the third hub's database is no copy of this hub's (system %s on %s, %s here)"
                        % (ours, host, theirs),
                        "find out which one has your data. If it is the third hub's, and this hub was installed anew, "
                        "stop PostgreSQL here, move %s aside, and run this again" % item["postgres"]["data_dir"],
                        "OTHER_SYSTEM")


def lead_plan(plan: ReturnPlan) -> ReturnPlan:
    """Of return_plan's plan the one for the time before the switch: the third hub leads, the chosen one follows it."""
    lead, third = copy.deepcopy(plan), of_plan(plan)
    lead["hubs"] = [third["host"]] + plan["hubs"]
    lead["active"], lead["passive"] = third["host"], plan["active"]
    lead["nodes"][third["host"]] = third["name"]
    between(lead, third)
    return lead
