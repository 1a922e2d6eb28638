# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in each hub's /etc/cfengine-hub-ha/pair.json. A pure function of the plan and the settings."""

from __future__ import annotations

import ipaddress
from typing import Any, Mapping

from . import model


def pair_file(plan: Mapping[str, Any], host: str, settings: Mapping[str, Any]) -> str:
    """The file's text for one hub.

    plan: see upgrade.make_plan. host: inventory name. settings: {"cluster", "user", "sslmode", "token", "references",
    "run_options", "max_lag": MB} of the operator. Raises HubError when the plan makes no valid file.
    """
    layout = plan["layout"]
    peer = next(other for other in plan["hubs"] if other != host)
    first = plan["replication"]
    networks = ([first] if first else []) + [net for net in plan["networks"] if net != first]
    socket_dir = plan["pg_socket"]
    changed = socket_dir.get("source") not in (None, "default") and socket_dir.get("setting")
    mine = [net["addresses"][host] for net in networks
            if any(ipaddress.ip_address(item["ip"]) in ipaddress.ip_network(net["network"])
                   for item in plan["virtual_ips"] if item["id"] != "cfvirtip_repl")]
    return model.dump(model.from_dict({
        "schema": model.SCHEMA, "node": plan["nodes"][host], "peer": plan["nodes"][peer],
        "cluster": settings["cluster"],
        "data_dir": layout["data_dir"], "bin_dir": plan["pg_bin"], "db_user": layout["db_user"],
        "port": int(plan["pg_port"]),
        "socket_dir": socket_dir["setting"].split(",")[0].strip() if changed else None,
        "ha_dir": layout["ha_dir"], "tmp_dir": layout["tmp_dir"], "replication_user": settings["user"],
        "sslmode": settings["sslmode"], "peer_addresses": [net["addresses"][peer] for net in networks],
        "addresses": [{"id": item["id"], "ip": item["ip"], "prefix": item["prefix"]} for item in plan["virtual_ips"]],
        "client_addresses": mine, "reference_addresses": [str(item) for item in settings["references"]],
        "token_ms": int(settings["token"]), "max_lag_mb": int(settings.get("max_lag", 16)),
        "run_options": str(settings.get("run_options") or "")}))
