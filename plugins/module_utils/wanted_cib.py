# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pair's CIB must hold, as arguments of module cib. A pure function of the plan and the settings.

Resource ids are CFEngine's interface (its HA guide and ha.cfg): cfpgsql, mscfpgsql, cfengine, cfvirtip.
"""

from __future__ import annotations

import re

from ansible_collections.cfengine.hub_ha.plugins.module_utils.layout import FENCING_DIR

# The pair stays where it is and leaves a hub at the first failure. As rsc_defaults, which CFEngine's guide sets, it would
# hold for every other resource of the cluster too, and keep a fencing device off its only hub after one failed check.
META = {"resource-stickiness": "INFINITY", "migration-threshold": "1"}


def wanted_cib(plan, settings, known):
    """Arguments for module cib.

    plan: see plan.make_plan. settings: {"fencing": list or "none", "user", "sslmode", "monitor_primary",
    "monitor_standby", "operation_timeout", "start_timeout"} of the operator. known: hub_info's "cluster" of the
    active hub.
    """
    fencing = settings["fencing"] if isinstance(settings["fencing"], list) else []
    nodes = [plan["nodes"][host] for host in plan["hubs"]]
    addresses = [address(item) for item in plan["virtual_ips"]]
    stonith = [device(item, plan["nodes"][item["hub"]]) for item in fencing]
    properties = {"stonith-enabled": "true" if fencing else "false"}
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
                       "score": "-INFINITY"} for item in fencing],
        "properties": properties,
        "absent": gone(addresses + stonith, known),
    }


def gone(wanted, known):
    """Ids of addresses and fencing devices (with their constraints) that an earlier run made and nobody wants now."""
    names = [item["id"] for item in wanted]
    addresses = [name for name, agent in known["cib_resources"].items()
                 if agent == "ocf:heartbeat:IPaddr2" and re.fullmatch(r"cfvirtip_(\d+|repl)", name)]
    devices = [item for name in known["cib_fencing"] if name not in names for item in (name, name + "-not-on-target")]
    return sorted(name for name in addresses if name not in names) + devices


def address(item):
    """The primitive of one shared address."""
    return {"id": item["id"], "agent": "ocf:heartbeat:IPaddr2",
            "params": {"ip": item["ip"], "cidr_netmask": str(item["prefix"])}, "meta": dict(META),
            "operations": [{"name": "start", "interval": "0s", "timeout": "20s"},
                           {"name": "stop", "interval": "0s", "timeout": "20s"},
                           {"name": "monitor", "interval": "10s", "timeout": "20s"}]}


def database(plan, settings, nodes):
    """The primitive of the database; the agent's parameters are those of heartbeat/pgsql."""
    layout = plan["layout"]
    params = {
        "pgctl": plan["pg_bin"] + "/pg_ctl", "psql": plan["pg_bin"] + "/psql", "pgdata": layout["data_dir"],
        "config": layout["data_dir"] + "/postgresql.conf", "logfile": layout["pg_log"], "tmpdir": layout["tmp_dir"],
        "pgdba": layout["db_user"], "pgport": str(plan["pg_port"]), "pgdb": "postgres", "rep_mode": "async",
        "node_list": " ".join(nodes), "repuser": settings["user"], "replication_slot_name": "hub_ha",
        "master_ip": plan["primary_ip"], "restart_on_promote": "false", "check_wal_receiver": "true",
        "crm_attr_timeout": "25",
        "primary_conninfo_opt": "passfile=%s/pgpass sslmode=%s sslrootcert=%s/root.crt connect_timeout=3 "
                                "keepalives_idle=60 keepalives_interval=5 keepalives_count=5"
                                % (layout["ha_dir"], settings["sslmode"], layout["ha_dir"]),
    }
    socket_dir = plan["pg_socket"]
    # The agent refuses to start without it when postgresql.conf sets unix_socket_directories.
    if socket_dir.get("source") not in (None, "default") and socket_dir.get("setting"):
        params["socketdir"] = socket_dir["setting"].split(",")[0].strip()
    operations = [{"name": "start", "interval": "0s", "timeout": settings["start_timeout"]}]
    operations += [{"name": name, "interval": "0s", "timeout": settings["operation_timeout"]}
                   for name in ("stop", "promote", "demote")]
    operations.append({"name": "notify", "interval": "0s", "timeout": "90s"})
    operations.append({"name": "monitor", "interval": settings["monitor_primary"], "timeout": "60s",
                       "role": "Promoted", "on_fail": "restart"})
    operations.append({"name": "monitor", "interval": settings["monitor_standby"], "timeout": "60s",
                       "on_fail": "restart"})
    return {"id": "cfpgsql", "agent": "ocf:cfengine:pgsql", "params": params, "meta": dict(META),
            "operations": operations}


def device(item, node):
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
