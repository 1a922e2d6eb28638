# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pair's CIB must hold, as arguments of module cib. A pure function of the plan and the settings.

Resource ids are CFEngine's interface (its HA guide and ha.cfg): cfpgsql, mscfpgsql, cfengine, cfvirtip.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..cfengine.layout import FENCING_DIR
from ..cluster.model import Cluster
from ..cluster.values import microseconds
from ..core.run import HubError
from ..pg import agent_sql
from .model import PairPlan

Item = Dict[str, Any]  # an object of the CIB, as module cib takes it

# One failure of the primary moves the role at once; the hub that failed may be a standby again after a few seconds (the
# agent looks whether its data may follow). As rsc_defaults, which CFEngine's guide sets, these would hold for every other
# resource of the cluster too, and keep a fencing device off its only hub after one failed check.
DATABASE_META = {"resource-stickiness": "1000", "migration-threshold": "1", "failure-timeout": "5s"}
# An address that is gone is brought up again where it was, before the database has to move for it.
ADDRESS_META = {"resource-stickiness": "1000", "migration-threshold": "3", "failure-timeout": "60s"}
# A failure whose operation was deleted (crm_resource --refresh in the middle of a start) expires, and nothing makes
# pacemaker see that it has: it plans anew at the next event, and by default after 15 min.
RECHECK = "2min"
# The hub that people can reach is worth more than the one that is active (its score is 1000, and as much for staying). A
# hub of which that is not known, because its guard has just been started, counts like one that they can reach: "eq 1"
# moved the role when the passive hub's guard was the first to speak.
CLIENTS_SCORE = "10000"
# How often pacemaker runs the monitors (ms): each looks whether the postmaster is there at all, which costs a few
# milliseconds, and a failover of a killed one begins seconds earlier. The database itself is asked at the operator's
# interval, by the same operation. Two different ones: pacemaker tells operations apart by name and interval.
LOOKS: Dict[Optional[str], int] = {"Promoted": 1001, None: 2003}
AGENT_PSQL = "/usr/lib/ocf/lib/hub_ha/psql"
# Node attributes of hub-ha; what each means stands in docs/how-it-works.md.
FORKED, GAVE_UP, CLIENTS = "hub_ha-forked", "hub_ha-gave_up", "hub_ha-clients"


def wanted_cib(plan: PairPlan, settings: Mapping[str, Any], known: Cluster) -> Dict[str, Any]:
    """Arguments for module cib.

    plan: see upgrade.make_plan. settings: {"fencing": list or "none", "monitor_primary", "monitor_standby",
    "operation_timeout", "start_timeout"} of the operator. known: hub_info's "cluster" of the active hub.
    """
    fencing: List[Item] = settings["fencing"] if isinstance(settings["fencing"], list) else []
    nodes = [plan["nodes"][host] for host in plan["hubs"]]
    # The agent does not care for the order, but each change of a parameter is a restart.
    if sorted(known["cib_node_list"]) == sorted(nodes):
        nodes = known["cib_node_list"]
    addresses = [address(item) for item in plan["virtual_ips"]]
    stonith = [device(item, plan["nodes"][item["hub"]]) for item in fencing]
    properties: Dict[str, Optional[str]] = {
        "stonith-enabled": "true" if fencing else "false", "cluster-recheck-interval": RECHECK}
    if plan["maintenance_ours"]:
        properties["maintenance-mode"] = None  # an earlier run set it and was cut off
    return {
        "primitives": addresses + [database(plan, settings, nodes)] + stonith,
        "groups": [{"id": "cfengine", "members": [item["id"] for item in addresses]}],
        "clones": [{"id": "mscfpgsql", "member": "cfpgsql", "meta": {
            "promotable": "true", "promoted-max": "1", "promoted-node-max": "1", "clone-max": "2",
            "clone-node-max": "1", "notify": "true"}}],
        "colocations": [{"id": "cfengine-with-primary", "rsc": "cfengine", "with_rsc": "mscfpgsql",
                         "with_rsc_role": "Promoted", "score": "INFINITY"}],
        "orders": [
            {"id": "promote-then-cfengine", "first": "mscfpgsql", "first_action": "promote", "then": "cfengine",
             "then_action": "start", "kind": "Mandatory", "symmetrical": False},
            {"id": "demote-then-cfengine", "first": "mscfpgsql", "first_action": "demote", "then": "cfengine",
             "then_action": "stop", "kind": "Optional", "symmetrical": False}],
        # A device must not run on the hub that it is to switch off.
        "locations": [{"id": "%s-not-on-target" % item["id"], "rsc": item["id"], "node": plan["nodes"][item["hub"]],
                       "score": "-INFINITY"} for item in fencing] + [
            {"id": "cfpgsql-not-forked", "rsc": "mscfpgsql", "score": "-INFINITY",
             "rule": {"attribute": FORKED, "operation": "defined"}},
            {"id": "cfpgsql-not-given-up", "rsc": "mscfpgsql", "score": "-INFINITY",
             "rule": {"attribute": GAVE_UP, "operation": "defined"}},
            {"id": "cfpgsql-with-clients", "rsc": "mscfpgsql", "score": CLIENTS_SCORE,
             "rule": {"attribute": CLIENTS, "operation": "ne", "value": "0", "role": "Promoted"}}],
        "properties": properties,
        "absent": gone(addresses + stonith, known),
    }


def kept(wanted: Sequence[str], known: Cluster) -> List[str]:
    """Ids of the resources that no change may interrupt without leave: the database, and each shared address that
    stays.
    wanted: the shared addresses.
    known: hub_info's "cluster" of the active hub. An address that nobody wants any more is taken off as was asked; one
    that is only to be under another id must go on.
    """
    return (["cfpgsql"] if "cfpgsql" in known["cib_resources"] else []) + [
        name for name, address in sorted(known["cib_ips"].items()) if address in wanted]


def without_parameters(wanted: Mapping[str, Any]) -> Dict[str, Any]:
    """The wanted objects without the database's parameters, which change while pacemaker looks away (role resources)."""
    return dict(wanted, primitives=[{key: value for key, value in item.items() if key != "params"}
                                    if item["id"] == "cfpgsql" else item for item in wanted["primitives"]])


def gone(wanted: Sequence[Item], known: Cluster) -> List[str]:
    """Ids of addresses and fencing devices (with their constraints) that an earlier run made and nobody wants now."""
    names = [item["id"] for item in wanted]
    addresses = [name for name, agent in known["cib_resources"].items()
                 if agent == "ocf:heartbeat:IPaddr2" and re.fullmatch(r"cfvirtip_(\d+|repl)", name)]
    devices = [item for name in known["cib_fencing"] if name not in names for item in (name, name + "-not-on-target")]
    return sorted(name for name in addresses if name not in names) + devices


def address(item: Mapping[str, Any]) -> Item:
    """The primitive of one shared address."""
    return {"id": item["id"], "agent": "ocf:heartbeat:IPaddr2",
            "params": {"ip": item["ip"], "cidr_netmask": str(item["prefix"])}, "meta": dict(ADDRESS_META),
            "operations": [{"name": "start", "interval": "0s", "timeout": "20s"},
                           {"name": "stop", "interval": "0s", "timeout": "20s"},
                           {"name": "monitor", "interval": "10s", "timeout": "20s"}]}


def database(plan: PairPlan, settings: Mapping[str, Any], nodes: Sequence[str]) -> Item:
    """The primitive of the database; the agent's parameters are those of heartbeat/pgsql.

    How the hubs' databases reach each other (master_ip, repuser, primary_conninfo_opt) is not here: a changed parameter
    makes pacemaker restart both. The agent takes it from a file of the hub's own, and a change is a reload.
    """
    layout = plan["layout"]
    params = {
        "pgctl": "%s/pg_ctl" % plan["pg_bin"], "psql": AGENT_PSQL, "pgdata": layout["data_dir"],
        "config": layout["data_dir"] + "/postgresql.conf", "logfile": layout["pg_log"], "tmpdir": layout["tmp_dir"],
        "pgdba": layout["db_user"], "pgport": str(plan["pg_port"]), "pgdb": "postgres", "rep_mode": "async",
        "node_list": " ".join(nodes), "replication_slot_name": "hub_ha", "restart_on_promote": "false",
        "check_wal_receiver": "true", "crm_attr_timeout": "25",
    }
    # The agent refuses to start without it when postgresql.conf sets unix_socket_directories.
    socket_dir = agent_sql.agent_socket(plan["pg_socket"])
    if socket_dir:
        params["socketdir"] = socket_dir
    operations: List[Item] = [{"name": "start", "interval": "0s", "timeout": settings["start_timeout"]}]
    operations += [{"name": name, "interval": "0s", "timeout": settings["operation_timeout"]}
                   for name in ("stop", "promote", "demote")]
    operations.append({"name": "notify", "interval": "0s", "timeout": "90s"})
    operations.append(monitor("Promoted", settings["monitor_primary"]))
    operations.append(monitor(None, settings["monitor_standby"]))
    return {"id": "cfpgsql", "agent": "ocf:cfengine:pgsql", "params": params, "meta": dict(DATABASE_META),
            "operations": operations}


def monitor(role: Optional[str], asked: str) -> Item:
    """The monitor operation of a role; asked: how often the database itself is asked (a duration)."""
    asked_us = microseconds(asked)
    if asked_us is None:
        raise HubError("%r is no duration that pacemaker knows: write 10s or 500ms" % asked)
    query = asked_us // 1000
    operation: Item = {
        "name": "monitor", "interval": "%dms" % min(LOOKS[role], query), "timeout": "30s", "on_fail": "restart",
        "attributes": {"query_interval": "%dms" % query}}
    if role:
        operation["role"] = role
    return operation


def device(item: Mapping[str, Any], node: str) -> Item:
    """The primitive of one fencing device; its password comes from a root-only script, not from the CIB.

    node: the hub that it switches off, and no other.
    """
    params = {"pcmk_host_list": node}
    params.update((key, str(value).lower() if isinstance(value, bool) else str(value))
                  for key, value in (item.get("params") or {}).items())
    if item.get("password"):
        params["password_script"] = FENCING_DIR + "/" + item["id"]
    return {"id": item["id"], "agent": "stonith:" + item["agent"], "params": params, "meta": {},
            "operations": [{"name": "monitor", "interval": "60s", "timeout": "60s"}]}
