# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change of the CIB does: what crm_verify and crm_simulate say, and what keeps pacemaker's hands off. Pure."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from typing import Collection, Dict, Iterable, List, Optional, Tuple
from xml.etree.ElementTree import Element

from ..values import boolean
from .parse import RESOURCE_TAGS, detach, kids, parents_of, plain_sets, resources_of, section_of

#: warnings of crm_verify about the state of the nodes, which no configuration causes
_STATE = re.compile(r"Detected active orphan|Blind faith|Fencing and resource management disabled|Unexpected result|"
                    r".* cannot run on ")


def classify_verify(out: str, err: str) -> Tuple[List[str], List[str]]:
    """Text of ``crm_verify -VV`` -> (errors, warnings), lists without doubles and without line numbers.

    The two texts of a current and a wanted CIB can be compared line by line.
    """
    errors: List[str] = []
    warnings: List[str] = []
    bad = re.search(r"Errors found|\(with errors\)", out + err)
    for line in (out + "\n" + err).splitlines():
        line = re.sub(r"^\(\w+\)\s*", "", line.strip())
        line = re.sub(r"^\S+:\d+: (element \S+:)", r"\1", line)
        line = re.sub(r"^element \S+: (?:validity|Relax-NG validity) error : ", "", line)
        if not line or line.startswith(("crm_verify:", "Configuration invalid", "Warnings found", "Errors found",
                                        "-V may provide")):
            continue
        kind, _colon, rest = line.partition(":")
        if kind.lower() == "warning":
            home, line = warnings, rest.strip()
            if _STATE.match(line):
                continue
        elif kind.lower() in ("notice", "info", "debug", "trace"):
            continue
        else:
            home, line = errors, rest.strip() if kind.lower() in ("error", "crit") else line
        if line not in home:
            home.append(line)
    if bad and not errors:
        errors.append("errors found, but crm_verify does not say which")
    return errors, warnings


def summarise_simulation(text: str) -> List[str]:
    """XML output of ``crm_simulate --run`` -> list of lines such as "start cfvirtip on hub1"."""
    try:
        actions = ET.fromstring(text).find("actions")
    except ET.ParseError:
        return []
    lines = []
    for action in actions if actions is not None else ():
        get = action.get
        words = [get("action") or get("task") or "?", get("resource") or ""]
        if get("source") and get("dest") and get("source") != get("dest"):
            words.append("from %s to %s" % (get("source"), get("dest")))
        elif get("node") or get("dest") or get("source"):
            words.append("on %s" % (get("node") or get("dest") or get("source")))
        if get("role"):
            words.append("(%s)" % " -> ".join(role for role in (get("role"), get("next-role")) if role))
        if get("blocked") == "true":
            words.append("(blocked)")
        if get("reason"):
            words.append("because: %s" % get("reason"))
        lines.append(" ".join(word for word in words if word))
    return lines


# What interrupts a resource; a start or a promotion of what did not run does not.
DISRUPTIVE = ("restart", "stop", "demote", "move", "migrate", "recover", "re-promote")


def disruptions(after: Iterable[str], before: Collection[str], keep: Optional[Collection[str]] = None) -> List[str]:
    """Those lines of a simulation that interrupt a resource and that the change is the reason for.

    after, before: summarise_simulation() of the CIB with the change and of the one without it: what the cluster is
    about to do anyhow is no consequence. keep: ids of the resources that count (instances of a clone too), None: all.
    """
    found = []
    for line in after:
        words = line.lower().split()
        name = line.split()[1].split(":")[0] if len(words) > 1 else ""
        if words and words[0] in DISRUPTIVE and line not in before and (keep is None or name in keep):
            found.append(line)
    return found


def holds(root: Element, names: Iterable[str]) -> List[Dict[str, str]]:
    """What keeps pacemaker's hands off these resources (ids): [{"what": as it is set, "end": command that ends it}].

    Maintenance mode of the cluster, maintenance of a node, is-managed and maintenance of a resource, of what it is in,
    or of rsc_defaults. Sets with rules are left out.
    """
    return [{"what": what, "end": end} for _pair, what, end in _holds(root, names)]


def unheld(root: Element, names: Iterable[str]) -> Element:
    """A copy of the CIB in which nothing keeps pacemaker's hands off these resources: to ask its scheduler."""
    result = copy.deepcopy(root)
    for pair, _what, _end in _holds(result, names):
        detach(result, pair)
    return result


def _holds(root: Element, names: Iterable[str]) -> List[Tuple[Element, str, str]]:
    """(nvpair, what, end) of each hold; see holds()."""
    found: List[Tuple[Element, str, str]] = []

    def look(home: Optional[Element], tag: str, name: str, on: bool, what: str, end: str) -> None:
        sets = plain_sets(home, tag) if home is not None else []
        for pair in (pair for item in sets for pair in kids(item, "nvpair")):
            if pair.get("name") == name and boolean(pair.get("value")) is on:
                found.append((pair, "%s%s=%s" % (what, name, pair.get("value")), end))

    look(section_of(root, "crm_config"), "cluster_property_set", "maintenance-mode", True, "",
         "crm_attribute --type crm_config --name maintenance-mode --delete")
    for node in root.iterfind("configuration/nodes/node"):
        look(node, "instance_attributes", "maintenance", True, "%s: " % node.get("uname"),
             "crm_attribute --node %s --name maintenance --delete" % node.get("uname"))
    for state in root.iterfind("status/node_state"):
        for home in state.iterfind("transient_attributes"):
            look(home, "instance_attributes", "maintenance", True, "%s: " % state.get("uname"),
                 "crm_attribute --node %s --name maintenance --lifetime reboot --delete" % state.get("uname"))
    parents, resources = parents_of(root), resources_of(root)
    owners: Dict[str, Element] = {}
    for name in names:
        element = resources.get(name)
        while element is not None and element.tag in RESOURCE_TAGS:
            owners[element.get("id", "")] = element
            element = parents.get(element)
    for attribute, on in (("is-managed", False), ("maintenance", True)):
        look(section_of(root, "rsc_defaults"), "meta_attributes", attribute, on, "rsc_defaults: ",
             "crm_attribute --type rsc_defaults --name %s --delete" % attribute)
        for name, element in sorted(owners.items()):
            look(element, "meta_attributes", attribute, on, "%s: " % name,
                 "crm_resource --resource %s --meta --delete-parameter %s" % (name, attribute))
    return found
