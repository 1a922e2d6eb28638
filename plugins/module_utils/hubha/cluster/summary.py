# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What matters of a CIB, in a few plain values. Pure."""

from __future__ import annotations

from typing import Dict, List
from xml.etree import ElementTree

from .model import CibSummary
from .values import boolean


def cib_summary(xml_text: str) -> CibSummary:
    """What matters of a CIB: its nodes, {resource id: agent}, our addresses, each node's cfpgsql-status, maintenance.

    "cib_fencing" are those fencing devices that this collection has made: they have its constraint. "cib_node_list" is
    the agent's parameter.
    """
    root = ElementTree.fromstring(xml_text)
    nodes = [node.get("uname", "") for node in root.findall("configuration/nodes/node")]
    resources: Dict[str, str] = {}
    shared: Dict[str, str] = {}
    node_list: List[str] = []
    for primitive in root.iter("primitive"):
        name = primitive.get("id", "")
        resources[name] = ":".join(filter(None, (primitive.get(key) for key in ("class", "provider", "type"))))
        params = [(pair.get("name"), pair.get("value", "")) for pair in primitive.findall("instance_attributes/nvpair")]
        if name.startswith("cfvirtip"):
            shared.update((name, value) for key, value in params if key == "ip")
        if name == "cfpgsql":
            node_list = next((value.split() for key, value in params if key == "node_list"), [])
    constraints = {item.get("id") for item in root.iter("rsc_location")}
    fencing = sorted(name for name, agent in resources.items()
                     if agent.startswith("stonith:") and name + "-not-on-target" in constraints)
    attributes: Dict[str, Dict[str, str]] = {"cfpgsql-status": {}, "hub_ha-forked": {}}
    for state in root.findall("status/node_state"):
        for pair in state.findall("transient_attributes/instance_attributes/nvpair"):
            if pair.get("name", "") in attributes:
                attributes[pair.get("name", "")][state.get("uname", "")] = pair.get("value", "")
    status = attributes["cfpgsql-status"]
    promoted = [node for node, value in status.items() if value == "PRI"]
    maintenance = [pair.get("value") for pair in root.findall("configuration/crm_config//nvpair")
                   if pair.get("name") == "maintenance-mode"]
    return {"cib_nodes": nodes, "cib_node_list": node_list, "cib_resources": resources,
            "cib_addresses": list(shared.values()), "cib_ips": shared, "cib_fencing": fencing,
            "pgsql_status": status, "forked": attributes["hub_ha-forked"],
            "promoted": promoted[0] if len(promoted) == 1 else None,
            "maintenance": bool(maintenance) and boolean(maintenance[0]) is True}
