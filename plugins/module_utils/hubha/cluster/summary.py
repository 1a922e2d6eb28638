# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What matters of a CIB, in a few plain values. Pure."""

from __future__ import annotations

from xml.etree import ElementTree


def cib_summary(xml_text):
    """What matters of a CIB: its nodes, {resource id: agent}, our addresses, each node's cfpgsql-status, maintenance mode.

    "cib_fencing" are those fencing devices that this collection has made: they have its constraint. "cib_node_list" is the
    agent's parameter.
    """
    root = ElementTree.fromstring(xml_text)
    nodes = [node.get("uname") for node in root.findall("configuration/nodes/node")]
    resources, shared = {}, {}
    for primitive in root.iter("primitive"):
        agent = ":".join(part for part in (primitive.get("class"), primitive.get("provider"), primitive.get("type"))
                         if part)
        resources[primitive.get("id")] = agent
        if primitive.get("id").startswith("cfvirtip"):
            shared.update((primitive.get("id"), pair.get("value"))
                          for pair in primitive.findall("instance_attributes/nvpair") if pair.get("name") == "ip")
    constraints = set(item.get("id") for item in root.iter("rsc_location"))
    fencing = sorted(name for name, agent in resources.items()
                     if agent.startswith("stonith:") and name + "-not-on-target" in constraints)
    attributes = {"cfpgsql-status": {}, "hub_ha-forked": {}}
    for state in root.findall("status/node_state"):
        for pair in state.findall("transient_attributes/instance_attributes/nvpair"):
            if pair.get("name") in attributes:
                attributes[pair.get("name")][state.get("uname")] = pair.get("value")
    status = attributes["cfpgsql-status"]
    promoted = [name for name, value in status.items() if value == "PRI"]
    maintenance = [pair.get("value", "").lower() for pair in root.findall("configuration/crm_config//nvpair")
                   if pair.get("name") == "maintenance-mode"]
    known = [pair.get("value", "").split() for primitive in root.iter("primitive") if primitive.get("id") == "cfpgsql"
             for pair in primitive.findall("instance_attributes/nvpair") if pair.get("name") == "node_list"]
    return {"cib_nodes": nodes, "cib_node_list": known[0] if known else [], "cib_resources": resources,
            "cib_addresses": list(shared.values()), "cib_ips": shared, "cib_fencing": fencing,
            "pgsql_status": status, "forked": attributes["hub_ha-forked"],
            "promoted": promoted[0] if len(promoted) == 1 else None,
            "maintenance": bool(maintenance) and maintenance[0] in ("true", "on", "yes", "y", "1")}
