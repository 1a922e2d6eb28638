# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module parameters -> the wanted objects as plain data with pacemaker's spelling. Pure functions."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, TypedDict

from ...core.run import HubError
from ..values import ROLES, current_role, score, text_of
from .parse import OP_ATTRIBUTES, operation_key

_ID = re.compile(r"^[A-Za-z_][\w.-]*$", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]")

Pairs = Dict[str, str]

#: What an alert is told of, see <select> in the pacemaker schema alerts-*.rng.
EVENTS = ("attributes", "fencing", "nodes", "resources")
#: attributes of a fencing level that say for which nodes it is
TARGET = ("target", "target-pattern", "target-attribute", "target-value")
#: Pacemaker's fencer ignores a level with another index: ST__LEVEL_MIN and ST__LEVEL_MAX.
LEVELS = range(1, 10)


class Operation(TypedDict):
    """An operation. attributes: of its element <op>. params: its instance attributes."""

    attributes: Pairs
    params: Pairs


class Primitive(TypedDict):
    """A primitive. agent: class, provider and type. What is None was not given, and stays as it is."""

    id: str
    agent: Pairs
    params: Optional[Pairs]
    meta: Optional[Pairs]
    operations: Optional[List[Operation]]


class Group(TypedDict):
    """A group. members: ids in starting order."""

    id: str
    members: List[str]
    meta: Optional[Pairs]


class Clone(TypedDict):
    """A clone. member: id of the primitive or group."""

    id: str
    member: str
    meta: Optional[Pairs]


class Recipient(TypedDict):
    """A recipient of an alert, as pacemaker hands it to the agent."""

    id: str
    value: str
    params: Optional[Pairs]
    meta: Optional[Pairs]


class Alert(TypedDict):
    """An alert. path: of its agent. select: of EVENTS. attributes: names of node attributes. None: not given."""

    id: str
    path: str
    params: Optional[Pairs]
    meta: Optional[Pairs]
    select: Optional[List[str]]
    attributes: List[str]
    recipients: Optional[List[Recipient]]


class Wanted(TypedDict):
    """All that is wanted.

    constraints: tag and attributes, a location's "rule" among them. fencing_levels: attributes. properties and the two
    after it: None removes one. absent: ids.
    """

    primitives: List[Primitive]
    groups: List[Group]
    clones: List[Clone]
    constraints: List[Tuple[str, Dict[str, Any]]]
    alerts: List[Alert]
    fencing_levels: List[Pairs]
    properties: Dict[str, Optional[str]]
    rsc_defaults: Dict[str, Optional[str]]
    op_defaults: Dict[str, Optional[str]]
    absent: List[str]


def normalise(given: Mapping[str, Any]) -> Wanted:
    """Module parameters -> the wanted objects as plain data with pacemaker's spelling.

    given: dict with any of primitives, groups, clones, colocations, orders, locations, alerts, fencing_levels (lists of
    dicts), properties, rsc_defaults, op_defaults (dicts) and absent (list of ids); None or missing means "not given".
    Raises HubError that names everything that is wrong at once.
    """
    reader = _Reader()
    constraints = [reader.colocation(item) for item in given.get("colocations") or []]
    constraints += [reader.order(item) for item in given.get("orders") or []]
    constraints += [reader.location(item) for item in given.get("locations") or []]
    wanted: Wanted = {
        "primitives": [reader.primitive(item) for item in given.get("primitives") or []],
        "groups": [reader.group(item) for item in given.get("groups") or []],
        "clones": [reader.clone(item) for item in given.get("clones") or []],
        "constraints": constraints,
        "alerts": [reader.alert(item) for item in given.get("alerts") or []],
        "fencing_levels": [reader.fencing_level(item) for item in given.get("fencing_levels") or []],
        "properties": reader.defaults("properties", given.get("properties")),
        "rsc_defaults": reader.defaults("rsc_defaults", given.get("rsc_defaults")),
        "op_defaults": reader.defaults("op_defaults", given.get("op_defaults")),
        "absent": list(given.get("absent") or [])}
    faults = reader.faults + list(_conflicts(wanted))
    if faults:
        raise HubError("the wanted cluster configuration is not usable: " + "; ".join(faults), faults=faults)
    return wanted


class _Reader:
    """Reads the module's parameters object by object.

    Each method takes one as it was given, and returns it as it is wanted; *where* names it in messages.
    faults: sentences about all that is wrong.
    """

    def __init__(self) -> None:
        self.faults: List[str] = []

    def primitive(self, item: Mapping[str, Any]) -> Primitive:
        where = "primitive %s" % item["id"]
        agent = _agent(item.get("agent") or "")
        if agent is None:
            self.faults.append("%s: agent %r is not CLASS:PROVIDER:TYPE (ocf:heartbeat:IPaddr2) or CLASS:TYPE "
                               "(stonith:fence_ipmilan)" % (where, item.get("agent")))
        return {"id": item["id"], "agent": agent or {},
                "params": self.pairs(where, item.get("params")),
                "meta": self.pairs(where, item.get("meta")),
                "operations": self.operations(where, item.get("operations"))}

    def group(self, item: Mapping[str, Any]) -> Group:
        where = "group %s" % item["id"]
        members = list(item.get("members") or [])
        if not members:
            self.faults.append("%s: a group needs at least one member" % where)
        if len(set(members)) != len(members):
            self.faults.append("%s: a member is listed twice" % where)
        return {"id": item["id"], "members": members, "meta": self.pairs(where, item.get("meta"))}

    def clone(self, item: Mapping[str, Any]) -> Clone:
        where = "clone %s" % item["id"]
        return {"id": item["id"], "member": item["member"], "meta": self.pairs(where, item.get("meta"))}

    def colocation(self, item: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
        where = "colocation %s" % item["id"]
        return "rsc_colocation", _pruned({
            "id": item["id"], "rsc": item["rsc"], "rsc-role": self.role(where, item.get("rsc_role")),
            "with-rsc": item["with_rsc"], "with-rsc-role": self.role(where, item.get("with_rsc_role")),
            "score": self.score(where, item.get("score"))})

    def order(self, item: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
        return "rsc_order", _pruned({
            "id": item["id"], "first": item["first"], "first-action": item.get("first_action"),
            "then": item["then"], "then-action": item.get("then_action"), "kind": item.get("kind"),
            "symmetrical": text_of(item.get("symmetrical"))})

    def location(self, item: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
        where = "location %s" % item["id"]
        rule = self.rule(where, item)
        points = self.score(where, item.get("score"))
        return "rsc_location", _pruned({
            "id": item["id"], "rsc": item["rsc"], "node": item.get("node"), "score": None if rule else points,
            "rule": dict(rule, score=points) if rule else None})

    def rule(self, where: str, item: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
        """The rule of a location: attribute, operation, value and role if any; None for one that names a node."""
        rule = item.get("rule")
        if not rule:
            if not item.get("node"):
                self.faults.append("%s: it needs a node or a rule" % where)
            return None
        if item.get("node"):
            self.faults.append("%s: a rule is instead of a node, not beside it" % where)
        unary = rule.get("operation") in ("defined", "not_defined")
        if unary == (rule.get("value") is not None):
            self.faults.append("%s: operation %s %s value"
                               % (where, rule.get("operation"), "takes no" if unary else "needs a"))
        return _pruned({"attribute": rule["attribute"], "operation": rule["operation"],
                        "value": text_of(rule.get("value")), "role": self.role(where, rule.get("role"))})

    def operations(self, where: str, given: Optional[List[Mapping[str, Any]]]) -> Optional[List[Operation]]:
        """The operations of a primitive, each with its interval."""
        if given is None:
            return None
        result: List[Operation] = []
        seen = set()
        for item in given:
            values = {key: value for key, value in item.items() if key != "attributes"}
            for key, value in (item.get("attributes") or {}).items():
                values.setdefault(key, value)
            attributes, params = {}, {}
            for key, text in (self.pairs("%s, operation" % where, values) or {}).items():
                dashed = key.replace("_", "-")
                if dashed in OP_ATTRIBUTES:
                    attributes[dashed] = text
                else:
                    params[key] = text
            attributes.setdefault("interval", "0s")
            if "name" not in attributes:
                self.faults.append("%s: an operation has no name" % where)
                continue
            role = self.role("%s, operation %s" % (where, attributes["name"]), attributes.get("role"))
            if role is not None:
                attributes["role"] = role
            known = operation_key(attributes)
            if known in seen:
                self.faults.append("%s: operation %s with interval %s is given twice; pacemaker tells operations apart "
                                   "by name and interval only, so give them different intervals (9s and 10s)"
                                   % (where, attributes["name"], attributes["interval"]))
            seen.add(known)
            result.append({"attributes": attributes, "params": params})
        return result

    def alert(self, item: Mapping[str, Any]) -> Alert:
        where = "alert %s" % item["id"]
        self.check_text("%s, path" % where, item["path"])
        if not item["path"].startswith("/"):
            self.faults.append("%s: the path of the agent is %r and must begin with /" % (where, item["path"]))
        select = None if item.get("select") is None else sorted(set(item["select"]))
        for event in select or []:
            if event not in EVENTS:
                self.faults.append("%s: select %s is none of %s" % (where, event, ", ".join(EVENTS)))
        attributes = sorted(set(item.get("attributes") or []))
        for name in attributes:
            self.check_text("%s, attributes" % where, name)
        if attributes and "attributes" not in (select or []):
            self.faults.append("%s: names of attributes say something only when select has attributes" % where)
        recipients = item.get("recipients")
        return {"id": item["id"], "path": item["path"],
                "params": self.pairs(where, item.get("params")),
                "meta": self.pairs(where, item.get("meta")),
                "select": select, "attributes": attributes,
                "recipients": None if recipients is None else [self.recipient(where, found) for found in recipients]}

    def recipient(self, where: str, item: Mapping[str, Any]) -> Recipient:
        where = "%s, recipient %s" % (where, item["id"])
        self.check_text(where, item["value"])
        if not item["value"]:
            self.faults.append("%s: it has no value" % where)
        return {"id": item["id"], "value": item["value"],
                "params": self.pairs(where, item.get("params")),
                "meta": self.pairs(where, item.get("meta"))}

    def fencing_level(self, item: Mapping[str, Any]) -> Pairs:
        where = "fencing level %s" % item["id"]
        targets = {key: item[key.replace("-", "_")] for key in TARGET[:3]
                   if item.get(key.replace("-", "_"))}
        if len(targets) != 1:
            self.faults.append("%s: it needs one of target, target_pattern and target_attribute" % where)
        value = text_of(item.get("target_value"))
        if (value is None) == ("target-attribute" in targets):
            self.faults.append("%s: target_attribute and target_value belong together" % where)
        if int(item["index"]) not in LEVELS:
            self.faults.append("%s: index %s is not %d to %d" % (where, item["index"], LEVELS[0], LEVELS[-1]))
        devices = list(item.get("devices") or [])
        if not devices:
            self.faults.append("%s: it needs at least one device" % where)
        if len(set(devices)) != len(devices):
            self.faults.append("%s: a device is listed twice" % where)
        self.faults += ["%s: %r cannot be an id" % (where, device) for device in devices if not _ID.match(device)]
        for text in list(targets.values()) + [value]:
            self.check_text(where, text)
        return _pruned(dict(targets, **{"id": item["id"], "target-value": value, "index": str(item["index"]),
                                        "devices": ",".join(devices)}))

    def defaults(self, where: str, mapping: Optional[Mapping[str, Any]]) -> Dict[str, Optional[str]]:
        """name -> value as text, None for one that is to be removed."""
        result: Dict[str, Optional[str]] = {}
        for name, value in (mapping or {}).items():
            try:
                text = text_of(value)
            except ValueError as error:
                self.faults.append("%s, %s: %s" % (where, name, error))
                continue
            self.check_text("%s, %s" % (where, name), text)
            result[str(name)] = text
        return result

    def pairs(self, where: str, mapping: Optional[Mapping[str, Any]]) -> Optional[Pairs]:
        """name -> value as text, without those that have none; None for what is not given."""
        if mapping is None:
            return None
        return {name: text for name, text in self.defaults(where, mapping).items() if text is not None}

    def check_text(self, where: str, text: Optional[str]) -> None:
        if text is not None and _CONTROL.search(text):
            self.faults.append("%s: the value has a line break, tab or other control character in it, which does "
                               "not survive pacemaker's tools" % where)

    def role(self, where: str, name: Optional[str]) -> Optional[str]:
        if name is None:
            return None
        known = current_role(name)
        if known not in ROLES:
            self.faults.append("%s: role %s is none of %s" % (where, known, ", ".join(ROLES)))
        return known

    def score(self, where: str, value: Any) -> Optional[str]:
        text = text_of(value)
        if text is not None and (score(text) is None or text != text.strip()):
            self.faults.append("%s: score %s is neither a number nor INFINITY or -INFINITY" % (where, text))
        return text


def _pruned(mapping: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _agent(text: str) -> Optional[Pairs]:
    """"ocf:heartbeat:IPaddr2" -> the attributes class, provider, type; None when it is none."""
    kind, _colon, rest = text.partition(":")
    if kind == "ocf":
        provider, _colon, name = rest.partition(":")
        return {"class": kind, "provider": provider, "type": name} if provider and name else None
    return {"class": kind, "type": rest} if kind and rest else None


def resource_ids(wanted: Wanted) -> List[str]:
    """Ids of the wanted resources: primitives, groups, clones."""
    return ([item["id"] for item in wanted["primitives"]] + [item["id"] for item in wanted["groups"]]
            + [item["id"] for item in wanted["clones"]])


def wanted_defaults(wanted: Wanted) -> Dict[str, Dict[str, Optional[str]]]:
    """What is wanted of each of the sets in parse.DEFAULTS, by keyword."""
    return {"properties": wanted["properties"], "rsc_defaults": wanted["rsc_defaults"],
            "op_defaults": wanted["op_defaults"]}


def _conflicts(wanted: Wanted) -> Iterator[str]:
    """Sentences about ids that are given twice or contradict each other."""
    ids = resource_ids(wanted) + [attributes["id"] for _tag, attributes in wanted["constraints"]]
    ids += [alert["id"] for alert in wanted["alerts"]] + [level["id"] for level in wanted["fencing_levels"]]
    ids += [recipient["id"] for alert in wanted["alerts"] for recipient in alert["recipients"] or []]
    for name in sorted(set(ids + wanted["absent"])):
        if not _ID.match(name):
            yield "%r cannot be an id: use letters, digits, '.', '_' and '-', beginning with a letter" % name
        if ids.count(name) > 1:
            yield "id %s is given %s times" % (name, ids.count(name))
        if name in ids and name in wanted["absent"]:
            yield "id %s is wanted and listed in absent" % name
    homes: Dict[str, List[str]] = {}
    for group in wanted["groups"]:
        for member in group["members"]:
            homes.setdefault(member, []).append(group["id"])
    for clone in wanted["clones"]:
        homes.setdefault(clone["member"], []).append(clone["id"])
    for member, containers in sorted(homes.items()):
        if len(containers) > 1:
            yield "%s cannot be in %s at the same time" % (member, " and in ".join(containers))
        if member in wanted["absent"]:
            yield "%s is a member of %s and listed in absent" % (member, containers[0])
    levels: Dict[Tuple[Optional[str], ...], str] = {}
    for level in wanted["fencing_levels"]:
        place = tuple(level.get(key) for key in ("index",) + TARGET)
        if place in levels:
            yield ("fencing levels %s and %s have the same target and index; list all devices in one"
                   % (levels[place], level["id"]))
        levels[place] = level["id"]
        for device in level["devices"].split(","):
            if device in wanted["absent"]:
                yield "%s is a device of fencing level %s and listed in absent" % (device, level["id"])
