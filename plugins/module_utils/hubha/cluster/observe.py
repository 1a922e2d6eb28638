# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live cluster as plain data, from what crm_mon, the CIB and corosync's own tools say.

observe() asks the tools; the readers of their words are pure functions.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Set
from xml.etree.ElementTree import Element

from ..core.run import CommandError, CommandMissing, CommandTimeout, Completed, HubError
from .cib.parse import (
    DEFAULTS,
    RESOURCE_TAGS,
    constraints_of,
    fencing_devices_of,
    kids,
    pairs_of,
    parents_of,
    parse,
    resources_of,
    section_of,
)
from .values import INFINITY, TRUE, boolean, current_role, score

#: see core/run.py
Runner = Callable[..., Completed]
#: resource -> node -> number
Counts = Dict[str, Dict[str, int]]

#: node attributes by which pacemaker keeps its own books
_INTERNAL = re.compile(r"#|fail-count-|last-failure-|(shutdown|terminate|probe_complete)$")
#: exit statuses of an agent that cannot work here: arguments, not implemented, permissions, not installed or configured
_UNUSABLE = (2, 3, 4, 5, 6)
_DISCONNECTED = (102, 107)
_NOT_CONNECTED_TEXTS = ("not connected", "connection refused", "could not connect", "connection to cluster failed",
                        "connection failed")


def disconnected(completed: Completed) -> bool:
    """Does this result say that there is no cluster to talk to?"""
    if completed.rc == 0:
        return False
    text = (completed.err + completed.out).lower()
    return completed.rc in _DISCONNECTED or any(part in text for part in _NOT_CONNECTED_TEXTS)


def observe(run: Runner, cib_file: Optional[str] = None) -> Dict[str, Any]:
    """The cluster as data, from crm_mon, the CIB and corosync's own tools.

    run: runner. cib_file: look at this CIB instead of the live cluster (then there is nothing to say about links).
    Returns a dict; ``running`` is False and ``reason`` says why when there is no cluster to talk to.
    Raises CommandError, HubError for anything else that goes wrong.
    """
    env = {"CIB_file": cib_file} if cib_file else {}
    nothing: Dict[str, Any] = {
        "running": False, "reason": None, "dc": None, "quorate": None, "nodes": [], "resources": {}, "promoted": {},
        "failures": [], "fail_counts": {}, "thresholds": {}, "bans": [], "active_bans": [], "locations": [], "meta": {},
        "options": {}, "fencing_devices": {}, "links": [], "quorum": None, "properties": {}, "rsc_defaults": {},
        "op_defaults": {}, "maintenance": False}
    found = []
    for argv in (["crm_mon", "--one-shot", "--inactive", "--output-as=xml"], ["cibadmin", "--query"]):
        try:
            done = run(argv, env=env, check=False)
        except CommandMissing as error:
            return dict(nothing, reason=error.message)
        if done.rc != 0:
            if disconnected(done) and not cib_file:
                return dict(nothing, reason="pacemaker does not run on this host (%s exit status %s)"
                            % (argv[0], done.rc))
            raise CommandError(done)
        found.append(done.out)
    result = dict(nothing, running=True)
    result.update(combine(read_status(found[0]), read_settings(parse(found[1]))))
    if not cib_file:
        names = {node["id"]: node["name"] for node in result["nodes"]}
        result["links"] = read_links(_output_of(run, ["corosync-cfgtool", "-s"]),
                                     _output_of(run, ["corosync-cfgtool", "-n"]), names)
        result["quorum"] = read_quorum(_output_of(run, ["corosync-quorumtool", "-s"]))
        if result["quorum"]:
            result["quorate"] = result["quorum"]["quorate"]
    return result


def _output_of(run: Runner, argv: List[str]) -> str:
    """What a corosync tool prints; "" when it is not there. Their exit status tells of links that are down."""
    try:
        return str(run(argv, check=False, timeout=10).out)
    except (CommandMissing, CommandTimeout):
        return ""


def _yes(element: Element, name: str, default: bool = False) -> bool:
    value = element.get(name)
    return default if value is None else value.lower() in TRUE


def read_status(text: str) -> Dict[str, Any]:
    """XML output of ``crm_mon`` (pacemaker 2.1 and 3.0) -> the cluster as plain data.

    Returns a dict with dc, quorate (bool or None when there is no DC), nodes, resources, promoted, failures,
    fail_counts, thresholds, bans and options. Raises HubError when the text is no such output.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise HubError("crm_mon's output is not well-formed XML: %s" % error)
    current_dc = root.find("summary/current_dc")
    present = current_dc is not None and _yes(current_dc, "present", True)
    dc = current_dc.get("name") if current_dc is not None and present else None
    options = root.find("summary/cluster_options")
    attributes = {node.get("name"): {pair.get("name"): pair.get("value") for pair in node.iterfind("attribute")}
                  for node in root.iterfind("node_attributes/node")}
    nodes = []
    for node in root.iterfind("nodes/node"):
        nodes.append({
            "name": node.get("name"), "id": node.get("id"), "online": _yes(node, "online"),
            "standby": _yes(node, "standby") or _yes(node, "standby_onfail"),
            "maintenance": _yes(node, "maintenance"), "pending": _yes(node, "pending"),
            "unclean": _yes(node, "unclean"), "shutdown": _yes(node, "shutdown"),
            "attributes": attributes.get(node.get("name"), {})})
    resources: Dict[str, Dict[str, Any]] = {}
    promoted: Dict[str, Set[str]] = {}
    section = root.find("resources")
    if section is not None:
        _read_resources(section, {"group": None, "clone": None, "promotable": False}, resources, promoted)
    return {
        "dc": dc, "quorate": _yes(current_dc, "with_quorum") if current_dc is not None and dc else None,
        "nodes": sorted(nodes, key=lambda node: node["name"] or ""), "resources": resources,
        "promoted": {key: ",".join(sorted(value)) or None for key, value in promoted.items()},
        "failures": _read_failures(root),
        "fail_counts": _read_history(root, "fail-count"),
        "thresholds": _read_history(root, "migration-threshold"),
        "bans": [{"id": ban.get("id"), "resource": ban.get("resource"), "node": ban.get("node"),
                  "score": ban.get("weight"),
                  "promoted_only": _yes(ban, "promoted-only") or _yes(ban, "promoted_only")
                  or _yes(ban, "master_only")} for ban in root.iterfind("bans/ban")],
        "options": dict(options.attrib) if options is not None else {}}


def _plain_id(name: Optional[str]) -> str:
    """Instances of clones are numbered: "cfpgsql:0" -> "cfpgsql"."""
    return re.sub(r":\d+$", "", name or "")


def _read_resources(parent: Element, around: Mapping[str, Any], resources: Dict[str, Dict[str, Any]],
                    promoted: Dict[str, Set[str]]) -> None:
    for element in parent:
        name = _plain_id(element.get("id"))
        if element.tag == "group":
            _read_resources(element, dict(around, group=name), resources, promoted)
        elif element.tag == "clone":
            promotable = _yes(element, "multi_state")
            if promotable:
                promoted.setdefault(name, set())
            _read_resources(element, dict(around, clone=name, promotable=promotable), resources, promoted)
        elif element.tag in ("bundle", "replica"):
            _read_resources(element, around, resources, promoted)
        elif element.tag == "resource":
            _read_resource(element, name, around, resources, promoted)


def _read_resource(element: Element, name: str, around: Mapping[str, Any], resources: Dict[str, Dict[str, Any]],
                   promoted: Dict[str, Set[str]]) -> None:
    found = resources.setdefault(name, {
        "agent": (element.get("resource_agent") or "").replace("::", ":"), "managed": True, "failed": False,
        "blocked": False, "orphaned": False, "group": around["group"], "clone": around["clone"], "instances": []})
    found["managed"] = found["managed"] and _yes(element, "managed", True)
    for key in ("failed", "blocked", "orphaned"):
        found[key] = found[key] or _yes(element, key)
    role = current_role(element.get("role"))
    for node in [item.get("name") for item in element.iterfind("node")] or [None]:
        found["instances"].append({
            "node": node, "role": role, "active": _yes(element, "active"), "failed": _yes(element, "failed"),
            "pending": element.get("pending"), "target_role": element.get("target_role")})
        if role == "Promoted" and node:
            promoted.setdefault(name, set()).add(node)
            if around["clone"]:
                promoted.setdefault(around["clone"], set()).add(node)
    if around["promotable"]:
        promoted.setdefault(name, set())


def _read_failures(root: Element) -> List[Dict[str, Any]]:
    """Failed actions, and probes that found an agent unusable: crm_mon does not call those failures."""
    failures = [_read_failure(item) for item in root.iterfind("failures/failure")]
    known = {(item["resource"], item["node"]) for item in failures}
    for node in root.iterfind("node_history/node"):
        for history in node.iterfind("resource_history"):
            name = _plain_id(history.get("id"))
            for operation in history.iterfind("operation_history"):
                rc = score(operation.get("rc"))
                if rc in _UNUSABLE and (name, node.get("name")) not in known:
                    known.add((name, node.get("name")))
                    failures.append({
                        "resource": name, "node": node.get("name"), "operation": operation.get("task"), "interval": 0,
                        "exit_reason": operation.get("exit-reason") or "", "exit_status": operation.get("rc_text"),
                        "rc": rc, "when": operation.get("last-rc-change")})
    return failures


def _read_failure(element: Element) -> Dict[str, Any]:
    key = element.get("op_key") or element.get("id") or ""
    parts = key.rsplit("_", 2)
    return {
        "resource": _plain_id(parts[0]), "node": element.get("node"),
        "operation": element.get("task") or (parts[1] if len(parts) == 3 else None),
        "interval": score(element.get("interval")) or 0,
        "exit_reason": element.get("exitreason") or "", "exit_status": element.get("exitstatus"),
        "rc": score(element.get("exitcode")), "when": element.get("last-rc-change")}


def _read_history(root: Element, name: str) -> Counts:
    """{resource: {node: number}} of an attribute of crm_mon's resource histories, where it is more than 0."""
    result: Counts = {}
    for node in root.iterfind("node_history/node"):
        for history in node.iterfind("resource_history"):
            count = score(history.get(name))
            if count:
                result.setdefault(_plain_id(history.get("id")), {})[node.get("name", "")] = count
    return result


def read_settings(root: Element) -> Dict[str, Any]:
    """Root Element of a CIB -> what crm_mon does not tell.

    Returns a dict with properties, rsc_defaults, op_defaults (name -> value), attributes (node -> name -> value,
    permanent and transient, also of nodes that are offline), fail_counts, meta (resource -> name -> value and the id of
    the element that sets it), locations (location constraints), bans (those of them that ``crm_resource --ban`` and
    ``--move`` made), constraints (ids) and fencing_devices (id -> names of the nodes that it fences, None: not in the
    CIB).
    """
    result: Dict[str, Any] = {}
    for key, (section_name, tag, _set_id, _word) in DEFAULTS.items():
        section = section_of(root, section_name)
        result[key] = {} if section is None else pairs_of(section, tag)
    attributes: Dict[str, Dict[str, Optional[str]]] = {}
    for node in root.iterfind("configuration/nodes/node"):
        attributes.setdefault(node.get("uname", ""), {}).update(pairs_of(node, "instance_attributes"))
    for state in root.iterfind("status/node_state"):
        for home in state.iterfind("transient_attributes"):
            attributes.setdefault(state.get("uname", ""), {}).update(pairs_of(home, "instance_attributes"))
    result["attributes"] = {node: {name: value for name, value in pairs.items() if not _INTERNAL.match(name)}
                            for node, pairs in attributes.items()}
    result["fail_counts"] = _fail_counts(attributes)
    result["meta"] = _meta(root, result["rsc_defaults"])
    result["locations"] = [found for element in constraints_of(root).values() if element.tag == "rsc_location"
                           for found in _locations(element)]
    result["bans"] = [
        {key: found[key] for key in ("id", "resource", "node", "score", "promoted_only")}
        for found in result["locations"] if (found["id"] or "").startswith(("cli-ban-", "cli-prefer-"))]
    result["constraints"] = sorted(constraints_of(root))
    result["fencing_devices"] = _fencing_devices(root)
    return result


def _fencing_devices(root: Element) -> Dict[str, Optional[List[str]]]:
    """Fencing devices: {id: nodes that the device fences by its parameters, or None where only the device knows}.

    As pacemaker's fencer decides (target_list_type() in daemons/fenced): a device with pcmk_host_list or pcmk_host_map
    fences the nodes in them, unless pcmk_host_check says otherwise; any other one is asked.
    """
    known = resources_of(root)
    result: Dict[str, Optional[List[str]]] = {}
    for name, element in fencing_devices_of(root).items():
        model = known.get(element.get("template", ""))
        line = [element] + ([] if model is None else [model])
        sets = [found for item in line for found in kids(item, "instance_attributes")]
        certain = all(not kids(found, "rule") and found.get("id-ref") is None
                      and all(pair.get("id-ref") is None for pair in kids(found, "nvpair")) for found in sets)
        params: Dict[str, Optional[str]] = {}
        for item in reversed(line):
            params.update(pairs_of(item, "instance_attributes"))
        listed = "pcmk_host_list" in params or "pcmk_host_map" in params
        check = params.get("pcmk_host_check") or ("static-list" if listed else "")
        result[name] = None
        if certain and check.lower() == "static-list":
            names = re.split(r"[\s,;]+", params.get("pcmk_host_list") or "")
            names += [re.split("[=:]", part)[0] for part in re.split(r"[\s;]+", params.get("pcmk_host_map") or "")]
            result[name] = list(dict.fromkeys(item for item in names if item))
    return result


def _fail_counts(attributes: Mapping[str, Mapping[str, Optional[str]]]) -> Counts:
    """Pacemaker's own books (node attributes) -> {resource: {node: number of failures}}, 1000000 for infinity."""
    result: Counts = {}
    for node, pairs in attributes.items():
        for name, value in pairs.items():
            match = re.match(r"fail-count-(.+)#[^#]+$", name)
            count = score(value)
            if match and count:
                counts = result.setdefault(_plain_id(match.group(1)), {})
                counts[node] = min(INFINITY, counts.get(node, 0) + count)
    return result


def _meta(root: Element, defaults: Mapping[str, Optional[str]]) -> Dict[str, Dict[str, Dict[str, Optional[str]]]]:
    """Meta attributes that hold for each resource: {id: {name: {"value", "set_by"}}}.

    What a resource does not set it has from its group, its clone and at last from rsc_defaults, as pacemaker reads it.
    set_by: id of the resource that sets it, or "rsc_defaults". Sets with rules are left out.
    """
    parents = parents_of(root)
    result: Dict[str, Dict[str, Dict[str, Optional[str]]]] = {}
    for name, element in resources_of(root).items():
        if element.tag == "template":
            continue
        line = [element]
        while line[-1] in parents and parents[line[-1]].tag in RESOURCE_TAGS:
            line.append(parents[line[-1]])
        found = {key: {"value": value, "set_by": "rsc_defaults"} for key, value in defaults.items()}
        for owner in reversed(line):
            found.update((key, {"value": value, "set_by": owner.get("id")})
                         for key, value in pairs_of(owner, "meta_attributes").items())
        result[name] = found
    return result


def _locations(element: Element) -> List[Dict[str, Any]]:
    """A location constraint as plain data, one entry for each of its rules, and one when it has none.

    Keys: id, rule (id of the rule, None without one: crm_mon calls a ban by it), resource (or pattern, a regular
    expression), node (None where no node is named), score (as it is written), promoted_only, conditional (True when a
    rule decides by something else than the node's name, such as an attribute).
    """
    rules: List[Optional[Element]] = [*element.iterfind("rule")] or [None]
    resources = [found.get("id") for found in element.iter("resource_ref")] or [element.get("rsc")]
    result: List[Dict[str, Any]] = []
    for rule in rules:
        home = element if rule is None else rule
        tests = [] if rule is None else list(rule.iter("expression"))
        role = home.get("role", element.get("role"))
        result += [{
            "id": element.get("id"), "rule": None if rule is None else rule.get("id", rule.get("id-ref")),
            "resource": resource, "pattern": element.get("rsc-pattern"),
            "node": _ban_node(element if rule is None else rule, element.get("node")),
            "score": home.get("score", home.get("score-attribute")),
            "promoted_only": current_role(role) == "Promoted",
            "conditional": any(test.get("attribute") not in ("#uname", "#id") for test in tests),
        } for resource in resources]
    return result


def pending_operations(root: Element, nodes: Collection[Optional[str]]) -> List[str]:
    """Operations that were begun and have not ended on these nodes (names), from the status section, as text.

    Only this tells of a resource that is stopping and is not configured any more.
    """
    return ["%s of %s on %s is not done" % (op.get("operation"), _plain_id(home.get("id")), state.get("uname"))
            for state in root.iterfind("status/node_state") if state.get("uname") in nodes
            for home in state.iter("lrm_resource") for op in home.iterfind("lrm_rsc_op")
            if op.get("op-status") == "-1" and (op.get("interval") or "0") == "0"]


def _ban_node(element: Element, node: Optional[str] = None) -> Optional[str]:
    """The node of a location constraint or its rule; a command line ban with a lifetime has it in a rule."""
    if element.get("node") or node:
        return element.get("node") or node
    for expression in element.iter("expression"):
        if expression.get("attribute") == "#uname":
            return expression.get("value")
    return None


def combine(status: Mapping[str, Any], settings: Mapping[str, Any]) -> Dict[str, Any]:
    """read_status() and read_settings() -> one description of the cluster."""
    result = dict(status, active_bans=status["bans"])
    properties = dict(settings["properties"])
    # Options that are not set have a default that crm_mon knows.
    for name in ("fencing-enabled", "stonith-enabled", "no-quorum-policy", "maintenance-mode", "symmetric-cluster"):
        if name in status["options"]:
            properties.setdefault(name, status["options"][name])
    result.update(properties=properties, rsc_defaults=settings["rsc_defaults"], op_defaults=settings["op_defaults"],
                  bans=settings["bans"], locations=settings["locations"], meta=settings["meta"],
                  fencing_devices=settings["fencing_devices"],
                  fail_counts=_larger(status["fail_counts"], settings["fail_counts"]))
    result["maintenance"] = boolean(properties.get("maintenance-mode")) is True
    result["nodes"] = [dict(node, attributes=dict(settings["attributes"].get(node["name"], {}), **node["attributes"]))
                       for node in status["nodes"]]
    return result


def _larger(one: Counts, other: Counts) -> Counts:
    """The larger numbers of two {resource: {node: number}}. crm_mon tells of resources only whose history is kept."""
    return {resource: {node: max(found.get(resource, {}).get(node, 0) for found in (one, other))
                       for node in [*one.get(resource, {}), *other.get(resource, {})]}
            for resource in [*one, *other]}


def read_links(status: str, neighbours: str, names: Mapping[str, str]) -> List[Dict[str, Any]]:
    """Text of ``corosync-cfgtool -s`` and ``-n`` -> list of links as the local node sees them.

    names: node id (text) -> node name. Each link: id (int), transport, address, peers (name -> connected, address,
    mtu); the local node is not a peer.
    """
    links: List[Dict[str, Any]] = []
    link: Optional[Dict[str, Any]] = None
    for line in status.splitlines():
        head = re.match(r"^LINK ID (\d+)(?:\s+(\S+))?", line)
        if head:
            link = {"id": int(head.group(1)), "transport": head.group(2), "address": None, "peers": {}}
            links.append(link)
            continue
        if link is None:
            continue
        address = re.match(r"^\s*addr\s*=\s*(\S+)", line)
        if address:
            link["address"] = address.group(1)
        peer = re.match(r"^\s*node(?:id:)?\s+(\d+):\s*(.+?)\s*$", line)
        if peer and peer.group(2) != "localhost":
            text = peer.group(2)
            connected = text == "connected" or "connected:1" in text.replace(" ", "")
            link["peers"][names.get(peer.group(1), peer.group(1))] = {
                "connected": connected, "address": None, "mtu": None}
    name = None
    for line in neighbours.splitlines():
        head = re.match(r"^nodeid:\s+(\d+)", line)
        if head:
            name = names.get(head.group(1), head.group(1))
        found = re.match(r"^\s+LINK:\s+(\d+)\s+\S+\s+\(\S+->(\S+)\)(.*)$", line)
        for item in links:
            if found and item["id"] == int(found.group(1)) and name in item["peers"]:
                mtu = re.search(r"mtu:\s*(\d+)", found.group(3))
                item["peers"][name].update(address=found.group(2), mtu=int(mtu.group(1)) if mtu else None)
    return links


def read_quorum(text: str) -> Optional[Dict[str, Any]]:
    """Text of ``corosync-quorumtool -s`` -> dict, or None when there is nothing to read.

    Keys: quorate (bool), expected_votes, total_votes, needed_votes (int or None), flags (list), ring_id (text).
    """
    values: Dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip().lower(), value.strip())
    if "quorate" not in values:
        return None

    def number(key: str) -> Optional[int]:
        match = re.match(r"\d+", values.get(key, ""))
        return int(match.group(0)) if match else None

    return {"quorate": values["quorate"].lower() == "yes", "expected_votes": number("expected votes"),
            "total_votes": number("total votes"), "needed_votes": number("quorum"),
            "flags": values.get("flags", "").split(), "ring_id": values.get("ring id")}
