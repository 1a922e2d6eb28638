# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the pair healthy: could it take the loss of either hub at this moment. Pure functions.

In: what the modules cib_info and replication_info return, systemd's units, and the plan (upgrade.make_plan) with "active"
and "passive" (inventory names), "nodes" ({inventory name: node}), "virtual_ips" ([{"id", "ip"}]) and "slots". Out: a
list of Problem, empty when all is well. What is not known is not well.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..cluster import values
from ..core.problem import Problem
from ..pair.copies import STOP_ONE, UPGRADE, Copy, copy_problems, lower_settings

Plan = Mapping[str, Any]
Facts = Mapping[str, Any]

DATABASE = ("cfpgsql", "mscfpgsql")
GROUP = "cfengine"
GUARD = "cfengine-hub-ha-guard.service"
PAIR_FILE, AGENT_CONF = "/etc/cfengine-hub-ha/pair.json", "/etc/cfengine-hub-ha/agent.conf"
FORKED, GAVE_UP, CLIENTS, WATCHED = "hub_ha-forked", "hub_ha-gave_up", "hub_ha-clients", "hub_ha-guard"
STREAMING = ("HS:async", "HS:sync")
FENCING = ("fencing-enabled", "stonith-enabled")  # the option's name since pacemaker 3.0.2, and before

#: Location constraints of ours: no device on the hub that it switches off; what the guard's attributes decide.
#: -rule: of one that was gone when the CIB was read, just after pacemaker had named its rule.
OWN_LOCATION = re.compile(r"-not-on-target$|^cfpgsql-(not-forked|not-given-up|with-clients)(-rule)?$")

#: Where one of these is said of a hub its database does not run, and that needs no words of its own.
STOPS_DATABASE = ("RESOURCE_GIVEN_UP", "FORKED", "HUB_STANDBY")
KEEPS_DATABASE_OFF = re.compile(r" keeps (ms)?cfpgsql off ")

#: What may pass without anybody doing something, so that it is worth waiting for. All else stays until it is put right.
PASSING = frozenset((
    "CLUSTER_DOWN", "NO_QUORUM", "HUB_DOWN", "NO_PRIMARY", "TWO_PRIMARIES", "ROLES_MOVED", "ADDRESS_NOT_WITH_PRIMARY",
    "RESOURCE_DOWN", "RESOURCE_FAILED", "LINK_DOWN", "REPL_STOPPED", "REPL_LAG", "SLOT_MISSING", "ARCHIVER_FAILING",
    "GUARD_DEAD", "GUARD_GONE", "GUARD_RECOVERS", "GUARD_UNARMED", "GUARD_UNCONNECTED", "CLIENTS_CUT", "FORKED"))


#: What a run starts itself before it asks. Check mode starts nothing, so that there nobody would wait for anything.
STARTED_BY_A_RUN = frozenset(("CLUSTER_DOWN", "HUB_DOWN", "GUARD_DEAD", "GUARD_GONE", "GUARD_UNARMED", "SLOT_MISSING"))


def may_pass(problems: Iterable[Mapping[str, str]], check_mode: bool = False) -> bool:
    """True when there are problems (as dicts), and each of them may go away by itself within seconds.

    check_mode: whether this is a run that starts nothing.
    """
    found = list(problems)
    return bool(found) and all(item["code"] in PASSING and not (check_mode and item["code"] in STARTED_BY_A_RUN)
                               for item in found)


def text(problems: Iterable[Mapping[str, str]]) -> str:
    """Problems (as dicts) for people, one a line."""
    return "\n".join(str(Problem.from_dict(item)) for item in problems)


def causes(problems: Iterable[Problem]) -> List[Problem]:
    """The problems without those that only follow from another one among them.

    A hub that is away has no links and no standby; nothing streams to a database that is kept from running.
    """
    found = list(problems)
    away = set(item.host for item in found if item.code == "HUB_DOWN")
    resting = away | set(item.host for item in found if item.code in STOPS_DATABASE
                         or item.code == "BAN_LEFT" and KEEPS_DATABASE_OFF.search(item.problem))
    return [item for item in found if not (item.code == "REPL_STOPPED" and item.host in resting
                                           or item.code == "LINK_DOWN" and item.host != "all" and away)]


def pair_problems(told: Mapping[str, Mapping[str, Any]], cluster: Facts, plan: Plan, max_lag_mb: int) -> List[Problem]:
    """Everything that is wrong with the pair, each thing once, first what other things come from.

    told: {host: {"files": see file_problems, "units": see guard_problems, "replication": see replication_problems,
    "addresses": those of its interfaces, None when not known}}; of a key that is missing nothing is said. cluster: see
    cluster_problems.
    """
    def each(key: str) -> Dict[str, Any]:
        return dict((host, item[key]) for host, item in told.items() if key in item)
    found = file_problems(each("files")) + guard_problems(each("units"))
    found += unseen_problems(cluster, plan, each("replication"), each("addresses"))
    found += cluster_problems(cluster, plan) + replication_problems(each("replication"), plan, max_lag_mb)
    return once_each(found, plan)


def once_each(problems: Iterable[Problem], plan: Plan) -> List[Problem]:
    """Problems from several sources without what follows from another one, and without what two of them have found."""
    once: Dict[Tuple[str, str, str], Problem] = {}
    for item in causes(problems):
        if item.code in ("NO_PRIMARY", "TWO_PRIMARIES"):
            key = (item.code, "", "")
        elif item.code in ("REPL_STOPPED", "PAIR_FILE"):
            key = (item.code, item.host, "")
        else:
            key = (item.code, item.host, item.problem)
        once.setdefault(key, item)
    dead = [item.host for item in once.values() if item.code == "GUARD_DEAD"]
    # Nobody uses the slot of a standby that does not run, and the other guard hears nothing of a dead one.
    still = [item for item in once.values() if item.host == plan["passive"] and (
        item.code in ("HUB_DOWN", "REPL_STOPPED") + STOPS_DATABASE
        or item.code == "BAN_LEFT" and KEEPS_DATABASE_OFF.search(item.problem))]
    return [item for item in once.values() if not (
        item.code == "SLOT_MISSING" and item.problem.endswith("is not in use") and still
        or item.code == "GUARD_GONE" and item.host in dead)]


def replication_may_pass(replication: Mapping[str, Facts], cluster: Facts, plan: Plan, max_lag_mb: int,
                         check_mode: bool) -> bool:
    """Whether it is worth asking for replication again, when the cluster has had its time and has said this.

    Not when all that is wrong with it follows from what is wrong with the cluster; and in check mode not while that
    is something that only a run would mend. Arguments: as those of pair_problems and may_pass.
    """
    known = cluster_problems(cluster, plan)
    found = [item.to_dict() for item in once_each(known + replication_problems(replication, plan, max_lag_mb), plan)
             if item not in known]
    down = check_mode and any(item.code in STARTED_BY_A_RUN for item in known)
    return not down and may_pass(found, check_mode)


def unseen_problems(cluster: Facts, plan: Plan, replication: Mapping[str, Facts],
                    addresses: Mapping[str, Optional[Sequence[str]]]) -> List[Problem]:
    """What pacemaker takes for running on a hub, and the hub has not: it does not look while it is told nothing.

    It looks where it has a monitor, and a failure that it has forgotten, or that came while nothing was monitored,
    leaves none behind. addresses: {host: those of its interfaces, None: not known}.
    """
    found = []
    hosts = dict((node, host) for host, node in plan["nodes"].items())
    for instance in instances_of(cluster, DATABASE[0]):
        host = hosts.get(instance["node"])
        role = (replication.get(host or "") or {}).get("role")
        if host and instance.get("role") == "Promoted" and role in ("stopped", "absent"):
            found.append(Problem(
                "NO_PRIMARY", host, "pacemaker calls %s promoted, and PostgreSQL does not run there (%s)"
                % (instance["node"], role), "crm_resource --refresh --resource %s" % DATABASE[0]))
    for item in plan["virtual_ips"]:
        for node in started_on(cluster, item["id"]):
            there = addresses.get(hosts.get(node, ""))
            if there is not None and item["ip"] not in there:
                found.append(Problem(
                    "ADDRESS_NOT_WITH_PRIMARY", hosts[node], "pacemaker says that shared address %s is on %s, which "
                    "does not have it" % (item["ip"], node), "crm_resource --refresh --resource %s" % item["id"]))
    return found


def addresses_of(text: Any) -> Optional[List[str]]:
    """The addresses in what `ip -json address` printed; None when that is none."""
    try:
        return [info["local"] for item in json.loads(text) for info in item.get("addr_info") or [] if "local" in info]
    except (TypeError, ValueError, AttributeError):
        return None


# --- the cluster ----------------------------------------------------------------------------------------------------

def cluster_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """Why the cluster is not healthy. cluster: result of module cib_info."""
    if not cluster.get("running"):
        reason = cluster.get("reason") or "no answer"
        return [Problem("CLUSTER_DOWN", plan["active"], "pacemaker does not run: %s" % reason,
                        "systemctl start corosync pacemaker; journalctl -u corosync -u pacemaker")]
    return causes(member_problems(cluster, plan) + option_problems(cluster) + fencing_problems(cluster, plan)
                  + restraint_problems(cluster, plan) + role_problems(cluster, plan) + failure_problems(cluster, plan)
                  + link_problems(cluster, plan))


def member_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """Both hubs are members that may run everything, and there is a quorum."""
    found = []
    nodes = dict((node["name"], node) for node in cluster.get("nodes") or [])
    if not cluster.get("quorate"):
        found.append(Problem("NO_QUORUM", "all", "the cluster has no quorum",
                             "start the other hub (systemctl start corosync pacemaker), look: corosync-quorumtool -s"))
    for host, name in plan["nodes"].items():
        node = nodes.get(name)
        start = "switch it on, then there: systemctl start corosync pacemaker; journalctl -u corosync -u pacemaker"
        if node is None:
            found.append(Problem("HUB_DOWN", host, "%s is not in the cluster" % name, start))
            continue
        if not node.get("online"):
            found.append(Problem("HUB_DOWN", host, "%s is offline" % name, start))
        elif node.get("unclean") or node.get("pending") or node.get("shutdown"):
            word = "unclean" if node.get("unclean") else "joining" if node.get("pending") else "leaving"
            found.append(Problem("HUB_DOWN", host, "%s is %s" % (name, word),
                                 "wait until it is online (crm_mon -1); look: journalctl -u pacemaker; stonith_admin "
                                 "--history '*'"))
        if node.get("standby"):
            found.append(Problem("HUB_STANDBY", host, "%s is in standby: nothing may run on it" % name,
                                 "crm_standby --node %s --delete" % name))
        if node.get("maintenance"):
            found.append(Problem("RESOURCE_UNMANAGED", host,
                                 "%s is in maintenance: nothing on it is looked after" % name,
                                 "crm_attribute --node %s --name maintenance --delete" % name))
        attributes = node.get("attributes") or {}
        if attributes.get(GAVE_UP) is not None:
            found.append(Problem("RESOURCE_GIVEN_UP", host, "its database was given up after repeated failures (%s)"
                                 % (attributes[GAVE_UP] or "no details"),
                                 "mend the cause (tail /var/log/postgresql.log), then on %s: hub-ha retry" % name))
        forked = attributes.get(FORKED)
        if forked is not None:
            found.append(Problem("FORKED", host, "its data has what the active hub's lacks, so it cannot follow (%s)"
                                 % (forked or "no details"), 'docs/operate.md, "Clone it anew"'))
        found += guards_word(host, attributes)
    return found


def guards_word(host: str, attributes: Mapping[str, str]) -> List[Problem]:
    """What the guards have told pacemaker against a hub. One that has just been started has told nothing yet."""
    found = []
    if attributes.get(CLIENTS) == "0":
        found.append(Problem(
            "CLIENTS_CUT", host, "clients can reach the other hub and not this one (%s=0): active it would serve nobody"
            % CLIENTS, "mend cable, switch or firewall of the clients' network there (ip -br link; ip -br address; "
            "ping each of hub_ha_reference_addresses); it counts as mended after 20 s: hub-ha status --json"))
    if attributes.get(WATCHED) == "gone":
        found.append(Problem(
            "GUARD_GONE", host, "the other hub's guard hears nothing of this one's (%s=gone): maybe nobody stops this "
            "hub's database when its cluster daemons die" % WATCHED,
            "systemctl restart %s; hub-ha status; journalctl -u %s" % (GUARD, GUARD)))
    return found


def effective(cluster: Facts, *names: str) -> Optional[bool]:
    """What pacemaker takes a boolean cluster option for: as it says itself, else as it would read the CIB.

    names: the option's name of today, then older ones. None when it is set nowhere, or to what is no boolean: pacemaker
    then uses its default.
    """
    for source in ("options", "properties"):
        for name in names:
            value = values.boolean((cluster.get(source) or {}).get(name))
            if value is not None:
                return value
    return None


def fencing(cluster: Facts) -> bool:
    """Whether pacemaker fences: property fencing-enabled, called stonith-enabled before 3.0.2; on by default."""
    return effective(cluster, *FENCING) is not False


def fencing_option(cluster: Facts) -> Tuple[str, str]:
    """(name, value as written, else as pacemaker says it) of what decides about fencing; a name for all versions."""
    for source in ("options", "properties"):
        for name in FENCING:
            holds = values.boolean((cluster.get(source) or {}).get(name))
            if holds is not None:
                written = (cluster.get("properties") or {}).get(name)
                return name, str(written if values.boolean(written) is holds else cluster[source][name])
    return FENCING[-1], "true"


def watchdog(cluster: Facts) -> bool:
    """Whether each hub's own watchdog fences it (sbd), for which pacemaker needs no device."""
    properties = cluster.get("properties") or {}
    limit = properties.get("fencing-watchdog-timeout", properties.get("stonith-watchdog-timeout"))
    return values.boolean(properties.get("have-watchdog")) is True and bool(
        re.match(r"\s*[+-]?0*[1-9]", str(limit or "")))


def fencing_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """Where pacemaker fences, there is a device for each hub, as far as the CIB tells.

    Else a lost hub stays UNCLEAN, and pacemaker waits with the promotion of the other one until somebody confirms that
    it is off. A device of which the CIB does not tell whom it fences (it is asked itself) counts as one for each hub.
    """
    if not fencing(cluster) or watchdog(cluster):
        return []
    name, value = fencing_option(cluster)
    there = [item for item in devices(cluster) if not cluster["resources"][item].get("orphaned")]
    declare = "declare a device for each hub in hub_ha_fencing, then on the controller: " + UPGRADE
    if not there:
        return [Problem(
            "FENCING_WITHOUT_DEVICE", "all", "fencing is on (%s=%s), and there is no device: a hub that is lost stays "
            "UNCLEAN, and the other one is not promoted" % (name, value),
            "crm_attribute --type crm_config --name %s --update false # or %s" % (name, declare))]
    targets = dict((item, (cluster.get("fencing_devices") or {}).get(item)) for item in there)
    return [Problem(
        "FENCING_WITHOUT_DEVICE", host, "fencing is on (%s=%s), and no device can switch %s off (%s): when it is lost "
        "it stays UNCLEAN, and the other hub is not promoted" % (name, value, node, "; ".join(
            "%s: %s" % (item, " ".join(hosts or []) or "nobody") for item, hosts in targets.items())),
        "name it in pcmk_host_list of a device that can, or " + declare)
        for host, node in plan["nodes"].items()
        if all(hosts is not None and node.lower() not in [item.lower() for item in hosts]
               for hosts in targets.values())]


def option_problems(cluster: Facts) -> List[Problem]:
    """No cluster option keeps pacemaker from doing its work."""
    found = []
    delete = "crm_attribute --type crm_config --name %s --delete"
    properties = cluster.get("properties") or {}
    if effective(cluster, "maintenance-mode"):
        found.append(Problem(
            "CLUSTER_MAINTENANCE", "all",
            "the cluster is in maintenance mode (maintenance-mode=%s): nothing is looked after"
            % properties.get("maintenance-mode", "true"), delete % "maintenance-mode"))
    if effective(cluster, "stop-all-resources"):
        found.append(Problem("RESOURCE_STOPPED", "all", "the cluster is to stop all resources (stop-all-resources=%s)"
                             % properties.get("stop-all-resources", "true"), delete % "stop-all-resources"))
    policy = properties.get("no-quorum-policy", (cluster.get("options") or {}).get("no-quorum-policy"))
    if policy is not None and policy.lower() == "ignore":
        found.append(Problem(
            "NO_QUORUM_POLICY", "all",
            "no-quorum-policy=%s: a hub that is cut off goes on as if it were the whole cluster" % policy,
            delete % "no-quorum-policy"))
    return found


def devices(cluster: Facts) -> List[str]:
    """Ids of the fencing devices."""
    return sorted(name for name, found in (cluster.get("resources") or {}).items()
                  if (found.get("agent") or "").startswith("stonith:"))


def own_resources(plan: Plan) -> List[str]:
    """Ids of the pair's resources: the database and its clone, the shared addresses and their group."""
    return list(DATABASE) + [GROUP] + [item["id"] for item in plan["virtual_ips"]]


def restraint_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """Nobody has told pacemaker to keep its hands off the pair, to leave something stopped, or not to use a hub."""
    found = []
    primitives = [name for name in own_resources(plan) if name not in (DATABASE[1], GROUP)] + devices(cluster)
    groups: Dict[Tuple[str, str, str], List[str]] = {}
    for name in primitives:
        for attribute, value in sorted(held(cluster, name).items()):
            groups.setdefault((attribute, value, set_by(cluster, name, attribute)), []).append(name)
    for (attribute, value, owner), names in groups.items():
        what, one = " and ".join(names), len(names) == 1
        if attribute == "target-role":
            wish = "stopped" if values.role(value) == "Stopped" else "promoted nowhere"
            found.append(Problem("RESOURCE_STOPPED", "all", "%s %s to be %s (target-role=%s)" % (
                what, "is" if one else "are", wish, value), unset(owner, attribute)))
        else:
            found.append(Problem("RESOURCE_UNMANAGED", "all", "%s %s not managed by the cluster (%s=%s)" % (
                what, "is" if one else "are", attribute, value), unset(owner, attribute)))
    return found + ban_problems(cluster, plan)


def held(cluster: Facts, name: str) -> Dict[str, str]:
    """{meta attribute: value} of what keeps the cluster's hands off a resource, or has it stopped or not promoted."""
    meta = dict((key, item["value"]) for key, item in ((cluster.get("meta") or {}).get(name) or {}).items())
    resource = (cluster.get("resources") or {}).get(name) or {}
    instances = resource.get("instances") or []
    found = {}
    if values.boolean(meta.get("is-managed")) is False:
        found["is-managed"] = meta["is-managed"]
    if values.boolean(meta.get("maintenance")) is True:
        found["maintenance"] = meta["maintenance"]
    at_rest = effective(cluster, "maintenance-mode") or any(
        node.get("maintenance") for node in cluster.get("nodes") or [])
    if not found and resource.get("managed") is False and not at_rest:
        found["is-managed"] = "false"
    # A resource that cannot be promoted takes Unpromoted for Started.
    stopping = ("Stopped", "Unpromoted") if name in DATABASE else ("Stopped",)
    for value in [item.get("target_role") for item in instances] + [meta.get("target-role")]:
        if values.role(value) in stopping:
            found["target-role"] = str(value)
    return found


def set_by(cluster: Facts, name: str, attribute: str) -> str:
    """Id of what sets the resource's meta attribute; the resource itself when that is not known."""
    item = ((cluster.get("meta") or {}).get(name) or {}).get(attribute)
    return item["set_by"] if item else name


def unset(owner: str, attribute: str) -> str:
    """The command that takes a meta attribute away."""
    if owner == "rsc_defaults":
        return "crm_attribute --type rsc_defaults --name %s --delete" % attribute
    return "crm_resource --resource %s --meta --delete-parameter %s" % (owner, attribute)


def concerns(item: Mapping[str, Any], names: Sequence[str]) -> Optional[str]:
    """The first of the resources that a location constraint is about, or None."""
    if item.get("resource"):
        return item["resource"] if item["resource"] in names else None
    try:
        return next((name for name in names if item.get("pattern") and re.search(item["pattern"], name)), None)
    except re.error:
        return names[0]  # Python does not read it, so it may be about anything


def ban_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """No constraint that is not ours keeps the pair's resources off a hub, or ties them to one.

    What crm_resource --ban and --move leave behind is one, with a time limit too. A rule that decides by something else
    than the node's name, such as an attribute that an agent sets, counts while pacemaker says that it bans. pacemaker
    calls it by the rule's id then (pcmk__unpack_location()), but only the constraint around the rule can be deleted.
    """
    names = own_resources(plan)
    around: Dict[str, str] = {}
    for item in cluster.get("locations") or []:
        if item.get("rule"):
            around.setdefault(item["rule"], item["id"])
    hosts = dict((node, host) for host, node in plan["nodes"].items())
    found: Dict[str, Problem] = {}
    sources = [dict(item) for item in (cluster.get("locations") or []) + (cluster.get("bans") or [])]
    sources += [dict(item, conditional=False, id=around.get(item.get("id"), item.get("id")))
                for item in cluster.get("active_bans") or []]
    for item in sources:
        name, size = item.get("id") or "?", values.score(item.get("score"))
        made = name.startswith(("cli-ban-", "cli-prefer-"))
        about = concerns(item, names + devices(cluster) if made else names)
        if about is None or OWN_LOCATION.search(name) or name in found:
            continue
        if made or (size is None or abs(size) >= values.INFINITY) and not item.get("conditional"):
            node = item.get("node")
            role = " promoted" if item.get("promoted_only") else ""
            tied = size is not None and size > 0
            found[name] = Problem(
                "BAN_LEFT", hosts.get(node, "all"),
                "constraint %s %s %s%s %s %s (score %s)" % (
                    name, "ties" if tied else "keeps", about, role, "to" if tied else "off", node or "a hub",
                    item.get("score")),
                "crm_resource --clear --resource %s" % about if made
                else "cibadmin --delete --xml-text '<rsc_location id=\"%s\"/>'" % name)
    return list(found.values())


def pgsql_status(cluster: Facts) -> Dict[str, str]:
    """{node: value of cfpgsql-status} of the nodes that have one."""
    return dict((node["name"], node["attributes"]["cfpgsql-status"]) for node in cluster.get("nodes") or []
                if "cfpgsql-status" in (node.get("attributes") or {}))


def instances_of(cluster: Facts, resource: str) -> List[Mapping[str, Any]]:
    """The instances of a resource that run somewhere."""
    found = ((cluster.get("resources") or {}).get(resource) or {}).get("instances") or []
    return [instance for instance in found if instance.get("active") and instance.get("node")]


def started_on(cluster: Facts, resource: str) -> List[str]:
    """Nodes on which the resource is started."""
    return [instance["node"] for instance in instances_of(cluster, resource)]


def failed_standby(cluster: Facts, plan: Plan) -> bool:
    """True when the passive hub's database failed to start and does not run: a cleanup lets pacemaker try at once."""
    node = plan["nodes"][plan["passive"]]
    failed = any(item["resource"] == DATABASE[0] and item["node"] == node for item in cluster.get("failures") or [])
    return failed and node not in started_on(cluster, DATABASE[0])


def role_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """One hub is active, by the agent's word and by pacemaker's; the other streams; the addresses are with it."""
    found = []
    status = pgsql_status(cluster)
    said = [name for name, value in status.items() if value == "PRI"]
    promoted = [item["node"] for item in instances_of(cluster, DATABASE[0]) if item.get("role") == "Promoted"]
    primaries = said + [name for name in promoted if name not in said]
    if len(primaries) > 1:
        found.append(Problem(
            "TWO_PRIMARIES", "all", "%d hubs are active: %s (cfpgsql-status %s, promoted %s)" % (
                len(primaries), " and ".join(primaries), status or "unknown", " and ".join(promoted) or "nowhere"),
            STOP_ONE))
    elif not said or not promoted:
        found.append(Problem(
            "NO_PRIMARY", "all", "0 hubs are active (cfpgsql-status %s, promoted %s)" % (
                status or "unknown", " and ".join(promoted) or "nowhere"),
            "crm_mon -1rAf says why; docs/operate.md, \"After both were down\""))
    stopped = [name for name in DATABASE if held(cluster, name).get("target-role")]
    for host, name in plan["nodes"].items():
        runs = name in started_on(cluster, DATABASE[0])
        if name in primaries or stopped:
            continue
        if not runs or status.get(name) not in STREAMING:
            found.append(Problem(
                "REPL_STOPPED", host, "%s does not stream (%s%s)" % (
                    name, "cfpgsql-status %s" % status[name] if name in status else "no cfpgsql-status",
                    "" if runs else ", and cfpgsql does not run there"),
                "crm_resource --why --resource cfpgsql --node %s; on %s: tail /var/log/postgresql.log" % (name, name)))
    for item in plan["virtual_ips"]:
        where = started_on(cluster, item["id"])
        if where != primaries and not held(cluster, item["id"]).get("target-role"):
            found.append(Problem(
                "ADDRESS_NOT_WITH_PRIMARY", "all", "shared address %s is on %s, the active hub is %s" % (
                    item["ip"], " and ".join(where) or "no hub", " and ".join(primaries) or "none"),
                "crm_resource --why --resource %s" % item["id"]))
    for name in devices(cluster):
        if not started_on(cluster, name) and fencing(cluster) and not held(cluster, name).get("target-role"):
            found.append(Problem("RESOURCE_DOWN", "all", "fencing device %s does not run" % name,
                                 "crm_resource --why --resource %s" % name))
    return found


def failure_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """No action has failed, and nothing is kept from a hub because of failures that are not listed any more."""
    found = []
    hosts = dict((node, host) for host, node in plan["nodes"].items())
    known = set()
    for item in cluster.get("failures") or []:
        known.add((item["resource"], item["node"]))
        found.append(Problem("RESOURCE_FAILED", hosts.get(item["node"], "all"), "%s failed on %s (%s): %s" % (
            item["resource"], item["node"], item["operation"], item.get("exit_reason") or "no reason given"),
            "mend the cause, then: " + cleanup(item["resource"], item["node"])))
    for resource, counts in sorted((cluster.get("fail_counts") or {}).items()):
        for node, count in sorted(counts.items()):
            limit = threshold(cluster, resource, node)
            if (resource, node) not in known and limit and count >= limit:
                known.add((resource, node))
                found.append(Problem(
                    "RESOURCE_FAILED", hosts.get(node, "all"), "%s has failed so often on %s that it may not run there "
                    "(fail-count %s, migration-threshold %s)" % (resource, node, number(count), number(limit)),
                    "mend the cause, then: " + cleanup(resource, node)))
    for name, resource in sorted((cluster.get("resources") or {}).items()):
        if resource.get("blocked") and not any(item[0] == name for item in known):
            found.append(Problem(
                "RESOURCE_FAILED", "all", "%s is blocked: pacemaker does nothing with it any more" % name,
                "crm_resource --why --resource %s; mend the cause, then: crm_resource --cleanup --resource %s"
                % (name, name)))
    return found


def cleanup(resource: str, node: str) -> str:
    """The command that has pacemaker forget failures."""
    return "crm_resource --cleanup --resource %s --node %s" % (resource, node)


def number(count: int) -> str:
    """A failure count as pacemaker prints it."""
    return "INFINITY" if count >= values.INFINITY else str(count)


def threshold(cluster: Facts, resource: str, node: str) -> int:
    """After how many failures the resource may not run on the node; 0 for never (pcmk__threshold_reached())."""
    seen = ((cluster.get("thresholds") or {}).get(resource) or {}).get(node)
    if seen is not None:
        return int(seen)
    meta = ((cluster.get("meta") or {}).get(resource) or {}).get("migration-threshold")
    limit = values.score(meta["value"]) if meta else None
    return values.INFINITY if limit is None or limit < 0 else limit


def link_problems(cluster: Facts, plan: Plan) -> List[Problem]:
    """Every link of corosync reaches the other hub. It is seen from one end, and the fault may be at either."""
    found = []
    look = "on both hubs: corosync-cfgtool -n; mend cable, interface or firewall of that network, of either hub"
    if not cluster.get("links"):
        return [Problem("LINK_DOWN", "all", "corosync does not say how its links are", "corosync-cfgtool -s")]
    host = plan["active"]
    node = plan["nodes"][host]
    for link in cluster["links"]:
        peers = link.get("peers") or {}
        if not peers:
            found.append(Problem("LINK_DOWN", host, "link %s of %s reaches no other hub" % (link["id"], node), look))
        for peer, state in peers.items():
            if not state.get("connected"):
                ends = [item.get("address") for item in (link, state)]
                found.append(Problem("LINK_DOWN", host, "link %s between %s (where this is seen) and %s is down%s" % (
                    link["id"], node, peer, " (%s)" % " to ".join(ends) if all(ends) else ""), look))
    return found


# --- the guard ------------------------------------------------------------------------------------------------------

def guard_problems(units: Mapping[str, Optional[Mapping[str, Any]]]) -> List[Problem]:
    """The guard runs on every hub, and watches what runs there.

    units: {host: {"active": ActiveState of unit GUARD, "pacemaker": ActiveState of pacemaker's, "status": what `hub-ha
    status --json` printed}}, or None instead when nothing is known. Without "status" only the unit is judged.
    """
    found = []
    for host, unit in units.items():
        active = (unit or {}).get("active")
        wrong = said((unit or {}).get("status")).get("pair_file")
        if wrong:
            found.append(Problem("PAIR_FILE", host, "%s: the guard cannot start again with it, and hub-ha lets no "
                                 "database start" % wrong, "on the controller: " + UPGRADE))
        if active != "active":
            found.append(Problem(
                "GUARD_DEAD", host, "%s is %s: nobody stops this hub's database when its cluster daemons die"
                % (GUARD, active or "in an unknown state"),
                "systemctl reset-failed %s; systemctl start %s; journalctl -u %s" % (GUARD, GUARD, GUARD)))
        elif unit and "status" in unit:
            found += watch_problems(host, said(unit["status"]), unit.get("pacemaker") == "active")
    return found


def said(text: Any) -> Mapping[str, Any]:
    """What the guard says of itself, from its JSON text; empty when that is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def watch_problems(host: str, status: Mapping[str, Any], pacemaker: bool) -> List[Problem]:
    """Why a guard whose unit is active does not watch.

    status: what it says. pacemaker: whether pacemaker's unit is active. What an older guard does not tell is no
    problem. Where pacemaker was stopped there is nothing to watch, and the cluster's checks say so.
    """
    again = "systemctl restart %s; hub-ha status; journalctl -u %s" % (GUARD, GUARD)
    if status.get("running") is not True:
        age = status.get("age")
        return [Problem("GUARD_DEAD", host, "%s is active, and has told nothing of itself%s: whether somebody stops "
                        "this hub's database when its cluster daemons die is not known" % (
                            GUARD, "" if age is None else " for %s s" % age), again)]
    if status.get("phase") == "recover":
        return [Problem(
            "GUARD_RECOVERS", host, "the guard starts this hub's cluster daemons again (%s)"
            % (status.get("reason") or "no reason given"),
            "why they do not start: journalctl -u corosync -u pacemaker; what the guard did: hub-ha status")]
    daemons, found = status.get("daemons") or {}, []
    runs = pacemaker or daemons.get("pacemakerd") == "running"
    if runs and status.get("armed") is False:
        found.append(Problem(
            "GUARD_UNARMED", host, "pacemaker runs, and the guard does not see it (pacemakerd %s): it would not act if "
            "that died" % (daemons.get("pacemakerd") or "unknown"), again))
    if (runs or daemons.get("corosync") == "running") and (status.get("corosync") or {}).get("connected") is False:
        found.append(Problem(
            "GUARD_UNCONNECTED", host, "the guard is not connected to corosync: it does not see when that hangs, and "
            "the guards do not hear each other", again))
    return found


def file_problems(files: Mapping[str, Iterable[Mapping[str, Any]]]) -> List[Problem]:
    """Every hub knows what it must of the pair. files: {host: [{"path", "size" (bytes)}] of what is there}."""
    found = []
    for host, there in files.items():
        paths = [os.path.basename(item["path"]) for item in there if item.get("size")]
        if os.path.basename(PAIR_FILE) not in paths:
            found.append(Problem(
                "PAIR_FILE", host, "%s is missing or empty: without it the guard has nothing to guard, and hub-ha no "
                "say in who may start or be promoted" % PAIR_FILE, "on the controller: " + UPGRADE))
        if os.path.basename(AGENT_CONF) not in paths:
            found.append(Problem(
                "AGENT_CONF", host, "%s is missing or empty: without it this hub's database can neither be started nor "
                "follow the other one" % AGENT_CONF, "on the controller: " + UPGRADE))
    return found


# --- the database ---------------------------------------------------------------------------------------------------

def replication_problems(replication: Mapping[str, Facts], plan: Plan, max_lag_mb: int) -> List[Problem]:
    """Why replication is not healthy, or would not be after a failover.

    replication: {host: result of replication_info}. Of one hub alone, what that hub knows.
    """
    return (copy_problems(replication, Copy.of_plan(plan), max_lag_mb) + setting_problems(replication, plan)
            + archiver_problems(replication))


def setting_problems(replication: Mapping[str, Facts], plan: Plan) -> List[Problem]:
    """No setting is lower on the standby than on the primary of those that must not be."""
    active, passive = plan["active"], plan["passive"]
    if active not in replication or passive not in replication:
        return []
    node = plan["nodes"][passive]
    low_ones = (lower_settings(replication, Copy.of_plan(plan))
                if replication[passive].get("role") in ("primary", "standby") else [])
    found = [Problem(
        "STANDBY_SETTING_LOWER", passive,
        "%s is %s, lower than %s on %s: with it PostgreSQL stops replaying, and ends at a promotion" % (
            name, "unknown" if low is None else low, high, active),
        "psql -X -d postgres -c \"ALTER SYSTEM SET %s = %s\"; then restart it: crm_standby --node %s --update on; "
        "crm_resource --wait; crm_standby --node %s --delete" % (name, high, node, node))
        for name, low, high in low_ones]
    if not replication[active].get("not_lower") and replication[active].get("role") == "primary":
        found.append(Problem("STANDBY_SETTING_LOWER", active,
                             "its settings are not known, so neither is whether the standby's are lower",
                             "psql -X -d postgres -c 'SHOW max_connections'"))
    return found


def archiver_problems(replication: Mapping[str, Facts]) -> List[Problem]:
    """Where WAL is archived, that works: what cannot be archived is kept, until the disk is full."""
    return [Problem("ARCHIVER_FAILING", host, "archive_command fails since %s (WAL file %s)" % (
        info["archiver"].get("last_failed_time"), info["archiver"].get("last_failed_wal")),
        "/var/log/postgresql.log says why; psql -X -d postgres -c 'SELECT * FROM pg_stat_archiver'")
        for host, info in replication.items() if (info.get("archiver") or {}).get("failing")]
