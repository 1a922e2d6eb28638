# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pacemaker CIB as plain data: wanted objects and a current CIB in, a new CIB and a readable diff out.

Pure functions, no input or output. The life of a change is::

    wanted = normalise(module_parameters)
    before = parse(text_of_cibadmin_query)
    after, notes = edit(before, wanted)         # before is not touched
    if differs(before, after): diff(before, after, wanted)

Ownership: an object is owned when its id is given, an nvpair when its set was given. Everything else in the CIB
(other ids, the status section, attributes that agents write, comments) is copied as it is.
"""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET

from ..core.run import HubError
from .values import FALSE as _FALSE, LEGACY_ROLES as _LEGACY, ROLES as _ROLES, TRUE as _TRUE, boolean

EMPTY_CIB = ("<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration>"
             "<status/></cib>")

MASK = "***"
RESOURCE_TAGS = ("primitive", "group", "clone", "master", "bundle", "template")
CONSTRAINT_TAGS = ("rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket")
CONTAINER_TAGS = ("group", "clone", "master")

#: keyword -> (section of the CIB, tag of the set, id of a set that has to be made, word in the diff)
DEFAULTS = {
    "properties": ("crm_config", "cluster_property_set", "cib-bootstrap-options", "property"),
    "rsc_defaults": ("rsc_defaults", "meta_attributes", "rsc_defaults-options", "rsc_default"),
    "op_defaults": ("op_defaults", "meta_attributes", "op_defaults-options", "op_default"),
}

#: attributes of <op> by the schema; anything else given with an operation is an instance attribute of it
OP_ATTRIBUTES = ("name", "interval", "timeout", "role", "on-fail", "start-delay", "interval-origin", "enabled",
                 "record-pending", "description")

_ID = re.compile(r"^[A-Za-z_][\w.-]*$", re.ASCII)
_SCORE = re.compile(r"^[+-]?(INFINITY|\d+)$", re.IGNORECASE)
_SECRET = re.compile(r"passw(or)?d|passphrase|secret", re.IGNORECASE)
_EMBEDDED = re.compile(r"(passw(?:or)?d\s*=\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s'\"]\S*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]")
_DURATION = re.compile(r"^\s*(\d+)\s*(ms|msec|us|usec|s|sec|m|min|h|hr|)\s*$", re.IGNORECASE)
_UNITS = {"": 1000000, "s": 1000000, "sec": 1000000, "ms": 1000, "msec": 1000, "us": 1, "usec": 1,
          "m": 60000000, "min": 60000000, "h": 3600000000, "hr": 3600000000}
#: node attributes by which pacemaker keeps its own books
_INTERNAL = re.compile(r"#|fail-count-|last-failure-|(shutdown|terminate|probe_complete)$")
#: warnings of crm_verify about the state of the nodes, which no configuration causes
_STATE = re.compile(r"Detected active orphan|Blind faith|Fencing and resource management disabled|Unexpected result|"
                    r".* cannot run on ")
#: exit statuses of an agent that cannot work here: arguments, not implemented, permissions, not installed or configured
_UNUSABLE = (2, 3, 4, 5, 6)


# ---------------------------------------------------------------- small helpers

def parse(text):
    """XML text of a CIB -> its root Element, comments kept. Raises HubError when it is not a CIB."""
    try:
        builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
        root = ET.fromstring(text, parser=ET.XMLParser(target=builder))
    except ET.ParseError as error:
        raise HubError("the CIB is not well-formed XML (%s); look at it with: cibadmin --query" % error)
    if root.tag != "cib" or root.find("configuration") is None:
        raise HubError("this is not a CIB: the outermost element is <%s>, expected <cib> with a <configuration>"
                       % root.tag)
    return root


def unparse(root):
    """Root Element -> XML text."""
    return ET.tostring(root, encoding="unicode") + "\n"


def text_of(value):
    """A YAML scalar as pacemaker writes it: True -> "true", 5 -> "5", None -> None. Raises ValueError otherwise."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("expected text, a number or a boolean, not a %s" % type(value).__name__)


def is_secret(name):
    """True when values of a parameter of this name are never shown."""
    return bool(_SECRET.search(name or ""))


def microseconds(text):
    """Pacemaker's time text ("10s", "500ms", "10") in microseconds; None when it is written in another way."""
    match = _DURATION.match(text or "0")
    return int(match.group(1)) * _UNITS[match.group(2).lower()] if match else None


def _same(name, one, other):
    """Do two texts of attribute *name* mean the same to pacemaker? Then the one in the CIB stays as it is written."""
    if one == other:
        return True
    if one is None or other is None:
        return False
    if name in ("role", "rsc-role", "with-rsc-role"):
        return _LEGACY.get(one, one) == _LEGACY.get(other, other)
    if name in ("interval", "timeout", "start-delay"):
        left = microseconds(one)
        return left is not None and left == microseconds(other)
    if name in ("symmetrical", "enabled", "record-pending"):
        return any(one.lower() in words and other.lower() in words for words in (_TRUE, _FALSE))
    if name == "score":
        return _score(one) == _score(other)
    return False


def _score(text):
    """A score as an integer within +-1000000 (infinity), or the text itself when it is none."""
    if not _SCORE.match(text):
        return text
    value = int(re.sub("INFINITY", "1000000", text, flags=re.IGNORECASE))
    return max(-1000000, min(1000000, value))


def _kids(element, *tags):
    """Child elements (no comments), only those with one of *tags* when given."""
    return [kid for kid in element if isinstance(kid.tag, str) and (not tags or kid.tag in tags)]


def _elements(root):
    return (element for element in root.iter() if isinstance(element.tag, str))


def _section(root, name, create=False):
    configuration = root.find("configuration")
    found = configuration.find(name)
    if found is None and create:
        found = ET.SubElement(configuration, name)
    return found


def _parents(root):
    return dict((kid, parent) for parent in root.iter() for kid in parent)


def _resources(root):
    """id -> element of every resource, at whatever depth."""
    section = _section(root, "resources")
    if section is None:
        return {}
    return dict((element.get("id"), element) for element in _elements(section)
                if element.tag in RESOURCE_TAGS and element.get("id"))


def _constraints(root):
    """id -> element of every constraint."""
    section = _section(root, "constraints")
    return dict((element.get("id"), element) for element in ([] if section is None else _kids(section))
                if element.tag in CONSTRAINT_TAGS)


def _detach(root, element):
    """Take *element* out of the tree without losing the white space after it."""
    parent = _parents(root).get(element)
    if parent is not None:
        parent.remove(element)


# ---------------------------------------------------------------- what is wanted

def normalise(given):
    """Module parameters -> the wanted objects as plain data with pacemaker's spelling.

    given: dict with any of primitives, groups, clones, colocations, orders, locations (lists of dicts), properties,
    rsc_defaults, op_defaults (dicts) and absent (list of ids); None or missing means "not given".
    Raises HubError that names everything that is wrong at once.
    """
    faults = []
    wanted = {"primitives": [], "groups": [], "clones": [], "constraints": [], "absent": []}

    def scalars(where, mapping, keep_none=False):
        if mapping is None:
            return None
        result = {}
        for name, value in mapping.items():
            try:
                value = text_of(value)
            except ValueError as error:
                faults.append("%s, %s: %s" % (where, name, error))
                continue
            if value is not None and _CONTROL.search(value):
                faults.append("%s, %s: the value has a line break, tab or other control character in it, which does "
                              "not survive pacemaker's tools" % (where, name))
            if value is not None or keep_none:
                result[str(name)] = value
        return result

    def role(where, name):
        if name is None:
            return None
        name = _LEGACY.get(name, name)
        if name not in _ROLES:
            faults.append("%s: role %s is none of %s" % (where, name, ", ".join(_ROLES)))
        return name

    def score(where, value):
        value = text_of(value)
        if value is not None and not _SCORE.match(value):
            faults.append("%s: score %s is neither a number nor INFINITY or -INFINITY" % (where, value))
        return value

    for item in given.get("primitives") or []:
        where = "primitive %s" % item["id"]
        agent = _agent(item.get("agent") or "")
        if agent is None:
            faults.append("%s: agent %r is not CLASS:PROVIDER:TYPE (ocf:heartbeat:IPaddr2) or CLASS:TYPE "
                          "(stonith:fence_ipmilan)" % (where, item.get("agent")))
        wanted["primitives"].append({
            "id": item["id"], "agent": agent,
            "params": scalars(where, item.get("params")),
            "meta": scalars(where, item.get("meta")),
            "operations": _operations(where, item.get("operations"), scalars, role, faults)})
    for item in given.get("groups") or []:
        where = "group %s" % item["id"]
        members = list(item.get("members") or [])
        if not members:
            faults.append("%s: a group needs at least one member" % where)
        if len(set(members)) != len(members):
            faults.append("%s: a member is listed twice" % where)
        wanted["groups"].append({"id": item["id"], "members": members, "meta": scalars(where, item.get("meta"))})
    for item in given.get("clones") or []:
        where = "clone %s" % item["id"]
        wanted["clones"].append({"id": item["id"], "member": item["member"],
                                 "meta": scalars(where, item.get("meta"))})
    for item in given.get("colocations") or []:
        where = "colocation %s" % item["id"]
        wanted["constraints"].append(("rsc_colocation", _pruned({
            "id": item["id"], "rsc": item["rsc"], "rsc-role": role(where, item.get("rsc_role")),
            "with-rsc": item["with_rsc"], "with-rsc-role": role(where, item.get("with_rsc_role")),
            "score": score(where, item.get("score"))})))
    for item in given.get("orders") or []:
        wanted["constraints"].append(("rsc_order", _pruned({
            "id": item["id"], "first": item["first"], "first-action": item.get("first_action"),
            "then": item["then"], "then-action": item.get("then_action"), "kind": item.get("kind"),
            "symmetrical": text_of(item.get("symmetrical"))})))
    for item in given.get("locations") or []:
        where = "location %s" % item["id"]
        rule = _rule(where, item, role, faults)
        points = score(where, item.get("score"))
        wanted["constraints"].append(("rsc_location", _pruned({
            "id": item["id"], "rsc": item["rsc"], "node": item.get("node"), "score": None if rule else points,
            "rule": rule and dict(rule, score=points)})))
    for key in DEFAULTS:
        wanted[key] = scalars(key, given.get(key), keep_none=True) or {}
    wanted["absent"] = list(given.get("absent") or [])
    faults.extend(_conflicts(wanted))
    if faults:
        raise HubError("the wanted cluster configuration is not usable: " + "; ".join(faults), faults=faults)
    return wanted


def _rule(where, item, role, faults):
    """The rule of a location: {"attribute", "operation", "value" or none, "role" or none}; None for one that names a node."""
    rule = item.get("rule")
    if not rule:
        if not item.get("node"):
            faults.append("%s: it needs a node or a rule" % where)
        return None
    if item.get("node"):
        faults.append("%s: a rule is instead of a node, not beside it" % where)
    unary = rule.get("operation") in ("defined", "not_defined")
    if unary == (rule.get("value") is not None):
        faults.append("%s: operation %s %s value" % (where, rule.get("operation"), "takes no" if unary else "needs a"))
    return _pruned({"attribute": rule["attribute"], "operation": rule["operation"], "value": text_of(rule.get("value")),
                    "role": role(where, rule.get("role"))})


def _pruned(mapping):
    return dict((key, value) for key, value in mapping.items() if value is not None)


def _agent(text):
    """"ocf:heartbeat:IPaddr2" -> the attributes class, provider, type; None when it is none."""
    kind, _colon, rest = text.partition(":")
    if kind == "ocf":
        provider, _colon, name = rest.partition(":")
        if provider and name:
            return {"class": kind, "provider": provider, "type": name}
        return None
    return {"class": kind, "type": rest} if kind and rest else None


def _operations(where, operations, scalars, role, faults):
    if operations is None:
        return None
    result, seen = [], set()
    for item in operations:
        item = dict(item)
        more = item.pop("attributes", None)
        for key, value in (more or {}).items():
            item.setdefault(key, value)
        values = scalars("%s, operation" % where, item) or {}
        attributes, params = {}, {}
        for key, value in values.items():
            dashed = key.replace("_", "-")
            if dashed in OP_ATTRIBUTES:
                attributes[dashed] = value
            else:
                params[key] = value
        attributes.setdefault("interval", "0s")
        if "name" not in attributes:
            faults.append("%s: an operation has no name" % where)
            continue
        if "role" in attributes:
            attributes["role"] = role("%s, operation %s" % (where, attributes["name"]), attributes["role"])
        key = _operation_key(attributes)
        if key in seen:
            faults.append("%s: operation %s with interval %s is given twice; pacemaker tells operations apart by name "
                          "and interval only, so give them different intervals (9s and 10s)"
                          % (where, attributes["name"], attributes["interval"]))
        seen.add(key)
        result.append({"attributes": attributes, "params": params})
    return result


def _operation_key(attributes):
    interval = attributes.get("interval") or "0"
    duration = microseconds(interval)
    return (attributes.get("name"), interval if duration is None else duration)


def _conflicts(wanted):
    """Sentences about ids that are given twice or contradict each other."""
    ids = [item["id"] for kind in ("primitives", "groups", "clones") for item in wanted[kind]]
    ids += [attributes["id"] for _tag, attributes in wanted["constraints"]]
    for name in sorted(set(ids + wanted["absent"])):
        if not _ID.match(name):
            yield "%r cannot be an id: use letters, digits, '.', '_' and '-', beginning with a letter" % name
        if ids.count(name) > 1:
            yield "id %s is given %s times" % (name, ids.count(name))
        if name in ids and name in wanted["absent"]:
            yield "id %s is wanted and listed in absent" % name
    homes = {}
    for item in wanted["groups"]:
        for member in item["members"]:
            homes.setdefault(member, []).append(item["id"])
    for item in wanted["clones"]:
        homes.setdefault(item["member"], []).append(item["id"])
    for member, containers in sorted(homes.items()):
        if len(containers) > 1:
            yield "%s cannot be in %s at the same time" % (member, " and in ".join(containers))
        if member in wanted["absent"]:
            yield "%s is a member of %s and listed in absent" % (member, containers[0])


# ---------------------------------------------------------------- editing

def edit(current, wanted):
    """Bring the wanted objects into a copy of *current*.

    current: root Element, left alone. wanted: result of normalise().
    Returns (new root, notes): notes is a list of sentences that the operator should read.
    Raises HubError when a wanted object cannot be made (a member that does not exist, an id that is another kind of
    object, a group left empty, a constraint that would name something that does not exist).
    """
    root = copy.deepcopy(current)
    notes = []
    ids = _Ids(root)
    _remove_absent(root, wanted["absent"])
    for item in wanted["primitives"]:
        _edit_primitive(root, item, ids, notes)
    for item in wanted["groups"]:
        _edit_group(root, item, ids, notes)
    for item in wanted["clones"]:
        _edit_clone(root, item, ids, notes)
    for tag, attributes in wanted["constraints"]:
        _edit_constraint(root, tag, attributes, _has_new_roles(root))
    for key in DEFAULTS:
        _edit_defaults(root, key, wanted[key], ids)
    _check_containers(current, root)
    _check_references(current, root, wanted["absent"])
    return root, notes


def differs(one, other):
    """True when two CIBs have different configurations (white space, counters and the status section apart)."""
    return _canonical(one.find("configuration")) != _canonical(other.find("configuration"))


def _canonical(element):
    return (element.tag, tuple(sorted(element.attrib.items())), (element.text or "").strip(),
            tuple(_canonical(kid) for kid in _kids(element)))


class _Ids:
    """Makes ids that nothing else in the CIB has."""

    def __init__(self, root):
        self.used = set(element.get("id") for element in _elements(root) if element.get("id"))

    def make(self, text):
        text = re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)
        name, count = text, 1
        while name in self.used:
            name, count = "%s-%d" % (text, count), count + 1
        self.used.add(name)
        return name


def _has_new_roles(root):
    """Do the CIB's schema rules know Promoted and Unpromoted (pacemaker-3.7 and newer)?"""
    match = re.match(r"pacemaker-(\d+)\.(\d+)$", root.get("validate-with") or "")
    return not match or (int(match.group(1)), int(match.group(2))) >= (3, 7)


def _spell_role(role, new_roles):
    if new_roles:
        return role
    return dict((new, old) for old, new in _LEGACY.items()).get(role, role)


def _set_attributes(element, wanted, owned=None):
    """Set attributes whose meaning differs; drop those not wanted among *owned* (None: all of them)."""
    for name in [name for name in element.attrib if name not in wanted and (owned is None or name in owned)]:
        del element.attrib[name]
    for name, value in wanted.items():
        if not _same(name, element.get(name), value):
            element.set(name, value)


def _remove_absent(root, absent):
    for name in absent:
        element = _resources(root).get(name)
        if element is None:
            element = _constraints(root).get(name)
            if element is not None:
                _section(root, "constraints").remove(element)
            continue
        parent = _parents(root)[element]
        place = list(parent).index(element)
        parent.remove(element)
        if element.tag in CONTAINER_TAGS:
            # Removing a container is not removing what is in it: its members stand alone from now on.
            home, place = (parent, place) if parent.tag == "resources" else (_section(root, "resources"), None)
            for kid in _kids(element, *RESOURCE_TAGS):
                if place is None:
                    home.append(kid)
                else:
                    home.insert(place, kid)
                    place += 1


def _find_or_make(root, name, tag):
    """The resource *name*, made at the top level when it does not exist yet. Returns (element, was made)."""
    element = _resources(root).get(name)
    if element is None:
        return ET.SubElement(_section(root, "resources", create=True), tag, {"id": name}), True
    if element.tag == "master" and tag == "clone":
        element.tag = "clone"
    if element.tag != tag:
        raise HubError("%s is a %s in the CIB but is wanted as a %s: take another id, or remove the old one first "
                       "(absent: [%s])" % (name, element.tag, tag, name))
    return element, False


def _edit_primitive(root, item, ids, notes):
    element, _made = _find_or_make(root, item["id"], "primitive")
    ids.used.add(item["id"])
    _set_attributes(element, item["agent"], owned=("class", "provider", "type", "template"))
    _edit_sets(element, "instance_attributes", item["params"], ids, notes)
    _edit_sets(element, "meta_attributes", item["meta"], ids, notes)
    if item["operations"] is not None:
        _edit_operations(element, item["operations"], ids, notes, _has_new_roles(root))


def _plain_sets(element, tag):
    """Sets of nvpairs that always hold: no rule, no reference to another set."""
    return [found for found in _kids(element, tag) if not _kids(found, "rule") and found.get("id-ref") is None]


def _edit_sets(element, tag, values, ids, notes, front=False):
    """Make the nvpairs below *element* exactly *values* (None: not owned)."""
    if values is None:
        return
    plain = _plain_sets(element, tag)
    if len(plain) != len(_kids(element, tag)):
        notes.append("%s %s has %s with a rule or a reference, which were left as they are"
                     % (element.tag, element.get("id"), tag))
    done = set()
    for found in plain:
        was_empty = not _kids(found)
        for pair in _kids(found, "nvpair"):
            name = pair.get("name")
            if pair.get("id-ref") is not None:
                continue
            if name in values and name not in done:
                done.add(name)
                if pair.get("value") != values[name]:
                    pair.set("value", values[name])
            else:
                found.remove(pair)
        if not was_empty and not _kids(found):
            element.remove(found)
    missing = [name for name in values if name not in done]
    if not missing:
        return
    plain = _plain_sets(element, tag)
    if plain:
        home = plain[0]
    else:
        home = ET.Element(tag, {"id": ids.make("%s-%s" % (element.get("id"), tag))})
        element.insert(0 if front else len(element), home)
    for name in missing:
        ET.SubElement(home, "nvpair", {"id": ids.make("%s-%s" % (home.get("id"), name)), "name": name,
                                       "value": values[name]})


def _edit_operations(primitive, operations, ids, notes, new_roles):
    """Make the operations of a primitive exactly those given; what is there already keeps its id."""
    homes = _kids(primitive, "operations")
    present = [(home, op) for home in homes for op in _kids(home, "op")]
    matched = {}

    def match(test):
        for index, item in enumerate(operations):
            if index in matched:
                continue
            for home, op in present:
                if op not in matched.values() and test(item["attributes"], op):
                    matched[index] = op
                    break

    match(lambda attributes, op: _operation_key(attributes) == _operation_key(op.attrib))
    # A changed interval is the same operation with another value, not a new one.
    match(lambda attributes, op: attributes["name"] == op.get("name")
          and _same("role", attributes.get("role", "-"), op.get("role", "-")))
    keep = list(matched.values())
    for home, op in present:
        if op not in keep:
            home.remove(op)
    for index, item in enumerate(operations):
        attributes = dict(item["attributes"])
        if "role" in attributes:
            attributes["role"] = _spell_role(attributes["role"], new_roles)
        op = matched.get(index)
        if op is None:
            if not homes:
                homes = [ET.SubElement(primitive, "operations")]
            name = "%s-%s-%s" % (primitive.get("id"), attributes["name"], attributes["interval"])
            op = ET.SubElement(homes[0], "op", {"id": ids.make(name)})
        if "interval" not in op.attrib and microseconds(attributes["interval"]) == 0 and index in matched:
            del attributes["interval"]
        _set_attributes(op, attributes, owned=OP_ATTRIBUTES)
        _edit_sets(op, "instance_attributes", item["params"], ids, notes)
    for home in homes:
        if not len(home) and present:
            primitive.remove(home)


def _edit_group(root, item, ids, notes):
    group, _made = _find_or_make(root, item["id"], "group")
    ids.used.add(item["id"])
    known = _resources(root)
    for name in item["members"]:
        member = known.get(name)
        if member is None:
            raise HubError("group %s has the member %s, which is neither in the CIB nor among the primitives given"
                           % (item["id"], name))
        if member.tag != "primitive":
            raise HubError("group %s has the member %s, which is a %s: a group holds primitives only"
                           % (item["id"], name, member.tag))
    current = [kid.get("id") for kid in _kids(group, "primitive")]
    foreign = [name for name in current if name not in item["members"]]
    if foreign:
        notes.append("group %s also holds %s, which was not given here and was left in it"
                     % (item["id"], ", ".join(foreign)))
    if [name for name in current if name in item["members"]] != item["members"]:
        # Listed members take the places that listed members had; foreign ones keep theirs.
        order, queue = [], list(item["members"])
        last = max([-1] + [place for place, name in enumerate(current) if name in item["members"]])
        for place, name in enumerate(current):
            order.append(name if name in foreign else queue.pop(0))
            if place == last:
                order.extend(queue)
                queue = []
        order.extend(queue)
        for name in order:
            _detach(root, known[name])
        for name in order:
            group.append(known[name])
    _edit_sets(group, "meta_attributes", item["meta"], ids, notes, front=True)


def _edit_clone(root, item, ids, notes):
    clone, _made = _find_or_make(root, item["id"], "clone")
    ids.used.add(item["id"])
    member = _resources(root).get(item["member"])
    if member is None:
        raise HubError("clone %s has the member %s, which is neither in the CIB nor given here"
                       % (item["id"], item["member"]))
    if member.tag not in ("primitive", "group"):
        raise HubError("clone %s has the member %s, which is a %s: only a primitive or a group can be cloned"
                       % (item["id"], item["member"], member.tag))
    if member not in _kids(clone):
        for old in _kids(clone, "primitive", "group"):
            notes.append("clone %s held %s, which stands alone from now on" % (item["id"], old.get("id")))
            clone.remove(old)
            _section(root, "resources").append(old)
        _detach(root, member)
        clone.append(member)
    _edit_sets(clone, "meta_attributes", item["meta"], ids, notes, front=True)


def _edit_constraint(root, tag, attributes, new_roles):
    attributes = dict(attributes)
    rule = attributes.pop("rule", None)
    for name in ("rsc-role", "with-rsc-role"):
        if name in attributes:
            attributes[name] = _spell_role(attributes[name], new_roles)
    section = _section(root, "constraints", create=True)
    element = _constraints(root).get(attributes["id"])
    if element is None:
        element = ET.SubElement(section, tag, attributes)
    element.tag = tag
    _set_attributes(element, attributes)
    wanted = _rule_element(attributes["id"], rule, new_roles) if rule else None
    for kid in _kids(element):
        if wanted is not None and _canonical(kid) == _canonical(wanted):
            wanted = None
        else:
            # Resource sets, other rules and lifetimes would overrule what is wanted.
            element.remove(kid)
    if wanted is not None:
        element.append(wanted)


def _rule_element(constraint, rule, new_roles):
    """The element of a location's rule, with ids made from its own; see the pacemaker schema constraints-*.rng."""
    name = constraint + "-rule"
    element = ET.Element("rule", {"id": name, "score": rule["score"]})
    if "role" in rule:
        element.set("role", _spell_role(rule["role"], new_roles))
    ET.SubElement(element, "expression", dict(
        ((key, rule[key]) for key in ("attribute", "operation", "value") if key in rule), id=name + "-expression"))
    return element


def _edit_defaults(root, key, values, ids):
    """Set or (value None) remove only the named values; all others stay."""
    section_name, tag, set_id, _word = DEFAULTS[key]
    section = _section(root, section_name)
    for name, value in values.items():
        pairs = [] if section is None else [
            (found, pair) for found in _plain_sets(section, tag)
            for pair in _kids(found, "nvpair") if pair.get("name") == name]
        if value is None:
            for found, pair in pairs:
                found.remove(pair)
        elif pairs:
            for _found, pair in pairs:
                if pair.get("value") != value:
                    pair.set("value", value)
        else:
            if section is None:
                section = _section(root, section_name, create=True)
            home = _default_home(section, tag, set_id, key == "properties")
            if home is None:
                home = ET.SubElement(section, tag, {"id": ids.make(set_id)})
            ET.SubElement(home, "nvpair", {"id": ids.make("%s-%s" % (home.get("id"), name)), "name": name,
                                           "value": value})


def _default_home(section, tag, set_id, exact):
    """The set that a new value goes to. Agents keep sets of their own in crm_config, so there the id must match."""
    plain = _plain_sets(section, tag)
    for found in plain:
        if found.get("id") == set_id:
            return found
    return plain[0] if plain and not exact else None


def _check_containers(current, root):
    def empty(tree):
        return set((element.tag, name) for name, element in _resources(tree).items()
                   if element.tag in CONTAINER_TAGS and not _kids(element, "primitive", "group"))
    for tag, name in sorted(empty(root) - empty(current)):
        raise HubError("%s %s would be left with nothing in it: list %s in absent too" % (tag, name, name))


def _references(root):
    """Set of (id of the constraint, id of a resource it names that does not exist)."""
    known = set(_resources(root))
    tags = _section(root, "tags")
    if tags is not None:
        known.update(tag.get("id") for tag in _kids(tags, "tag"))
    result = set()
    for name, element in _constraints(root).items():
        named = [element.get(key) for key in ("rsc", "with-rsc", "first", "then")]
        named += [found.get("id") for found in element.iter("resource_ref")]
        result.update((name, target) for target in named if target and target not in known)
    return result


def _check_references(current, root, absent):
    for name, target in sorted(_references(root) - _references(current)):
        if target in absent:
            raise HubError("constraint %s still names %s, which is to be removed: list %s in absent too"
                           % (name, target, name))
        raise HubError("constraint %s names %s, which is neither in the CIB nor given here" % (name, target))


# ---------------------------------------------------------------- showing

def diff(before, after, wanted):
    """The owned parts of two CIBs as {"before": text, "after": text}; secrets are never in it."""
    old, known = _render(before, wanted, {})
    new, _values = _render(after, wanted, known)
    return {"before": old, "after": new}


def _show(key, value, known, values):
    """Text of one value; a hidden one that changed says so."""
    values[key] = value
    value = "" if value is None else value
    shown = MASK if is_secret(key[2]) else _EMBEDDED.sub(r"\1" + MASK, value)
    if shown != value and key in known and known[key] != value:
        shown += " (differs)"
    if shown == value and (not value or re.search(r"\s", value)):
        shown = '"%s"' % value
    return shown


def _render(root, wanted, known):
    lines, values = [], {}
    resources, constraints, parents = _resources(root), _constraints(root), _parents(root)
    order = [item["id"] for kind in ("primitives", "groups", "clones") for item in wanted[kind]]
    owned = dict((item["id"], item) for kind in ("primitives", "groups", "clones") for item in wanted[kind])
    for name in order + [name for name in wanted["absent"] if name in resources]:
        element = resources.get(name)
        if element is not None:
            lines.extend(_render_resource(element, owned.get(name), parents, known, values))
    for name in [item[1]["id"] for item in wanted["constraints"]] + wanted["absent"]:
        if name in constraints:
            lines.append(_render_constraint(constraints[name]))
    for key, (section_name, tag, _set_id, word) in DEFAULTS.items():
        section = _section(root, section_name)
        for name in sorted(wanted[key]):
            found = {} if section is None else _pairs(section, tag)
            if name in found:
                lines.append("%s %s=%s" % (word, name, _show((word, "", name), found[name], known, values)))
    return "".join(line + "\n" for line in lines), values


def _pairs(element, tag):
    """name -> value of the plain sets below *element*; the first one wins."""
    result = {}
    for found in _plain_sets(element, tag):
        for pair in _kids(found, "nvpair"):
            if pair.get("id-ref") is None:
                result.setdefault(pair.get("name"), pair.get("value"))
    return result


def _render_resource(element, item, parents, known, values):
    """Lines of one resource. item: what is wanted of it, or None for one that is to go (then all of it is shown)."""
    name = element.get("id")
    everything = item is None
    item = item or {}

    def pairs(word, tag):
        if everything or item.get({"param": "params", "meta": "meta"}[word]) is not None:
            found = _pairs(element, tag)
            for key in sorted(found):
                yield "  %s %s=%s" % (word, key, _show((name, word, key), found[key], known, values))

    if element.tag != "primitive":
        members = [kid.get("id") for kid in _kids(element, *RESOURCE_TAGS)]
        return ["%s %s: %s" % (element.tag, name, " ".join(members))] + list(pairs("meta", "meta_attributes"))
    agent = ":".join(element.get(key) for key in ("class", "provider", "type") if element.get(key))
    lines = ["primitive %s %s" % (name, agent or "template %s" % element.get("template"))]
    parent = parents[element]
    if parent.tag in RESOURCE_TAGS:
        lines.append("  in %s %s" % (parent.tag, parent.get("id")))
    lines.extend(pairs("param", "instance_attributes"))
    lines.extend(pairs("meta", "meta_attributes"))
    if everything or item.get("operations") is not None:
        shown = []
        for home in _kids(element, "operations"):
            for op in _kids(home, "op"):
                words = ["%s=%s" % (key, op.get(key)) for key in OP_ATTRIBUTES[1:] if op.get(key) is not None]
                key = _operation_key(op.attrib)
                extra = _pairs(op, "instance_attributes")
                words += ["%s=%s" % (param, _show((name, "op %s %s" % key, param), extra[param], known, values))
                          for param in sorted(extra)]
                shown.append(((str(key[0]), str(key[1]).zfill(20)), " ".join(["  op", str(key[0])] + words)))
        lines.extend(line for _key, line in sorted(shown))
    return lines


def _render_constraint(element):
    get = element.get

    def who(key, role):
        return get(key, "(set)") + (" (%s)" % get(role) if get(role) else "")

    if element.tag == "rsc_colocation":
        text, used = "%s with %s" % (who("rsc", "rsc-role"), who("with-rsc", "with-rsc-role")), (
            "rsc", "rsc-role", "with-rsc", "with-rsc-role")
    elif element.tag == "rsc_order":
        text, used = "%s %s then %s %s" % (
            get("first-action", "start"), get("first", "(set)"),
            get("then-action", get("first-action", "start")), get("then", "(set)")), (
            "first", "first-action", "then", "then-action")
    else:
        text, used = who("rsc", "role"), ("rsc", "role")
    words = ["%s=%s" % (key, value) for key, value in sorted(element.attrib.items()) if key not in used + ("id",)]
    for rule in _kids(element, "rule"):
        words += ["%s=%s" % (key, rule.get(key)) for key in ("role", "score") if rule.get(key)]
        words += ["where " + " ".join(expression.get(key) for key in ("attribute", "operation", "value")
                                      if expression.get(key)) for expression in _kids(rule, "expression")]
    extra = sorted(set(kid.tag for kid in _kids(element) if kid.tag != "rule"))
    if extra:
        words.append("with " + ", ".join(extra))
    return "%s %s: %s" % (element.tag[4:], get("id"), " ".join([text] + words))


# ---------------------------------------------------------------- secrets

def secrets(root=None, given=None):
    """All secret values in a CIB (root Element) and in module parameters (dict), longest first."""
    found = set()
    if root is not None:
        found.update(pair.get("value") for pair in root.iter("nvpair") if is_secret(pair.get("name")))
    for mapping in _mappings(given or {}):
        found.update(text_of(value) for name, value in mapping.items()
                     if is_secret(str(name)) and isinstance(value, (str, int, float)))
    return sorted((value for value in found if value and value.lower() not in _TRUE + _FALSE), key=len, reverse=True)


def _mappings(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _mappings(item)


def mask_parameters(value):
    """A copy of module parameters in which secret values are hidden."""
    if isinstance(value, dict):
        return dict((key, MASK if is_secret(str(key)) and item is not None else mask_parameters(item))
                    for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return [mask_parameters(item) for item in value]
    if isinstance(value, str):
        return _EMBEDDED.sub(r"\1" + MASK, value)
    return value


def scrub(text, values):
    """Replace secret *values* in a tool's output. Very short ones would only garble it, and no tool prints values."""
    for value in values:
        if len(value) > 3:
            text = text.replace(value, MASK)
    return text


def mask_patch(text):
    """XML text of a patch with the values of secret nvpairs hidden, for people to read."""
    if not text.strip():
        return ""
    root = ET.fromstring(text)
    for change in root.iter("change"):
        result = change.find("change-result")
        if result is not None and len(result) and is_secret(result[0].get("name")):
            for attribute in change.iter("change-attr"):
                if attribute.get("name") == "value":
                    attribute.set("value", MASK)
    for element in root.iter():
        value = element.get("value")
        if value is not None:
            element.set("value", MASK if element.tag == "nvpair" and is_secret(element.get("name"))
                        else _EMBEDDED.sub(r"\1" + MASK, value))
    return ET.tostring(root, encoding="unicode") + "\n"


# ---------------------------------------------------------------- reading what the tools say

def classify_verify(out, err):
    """Text of ``crm_verify -VV`` -> (errors, warnings), lists without doubles and without line numbers.

    The two texts of a current and a wanted CIB can be compared line by line.
    """
    errors, warnings = [], []
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


def summarise_simulation(text):
    """XML output of ``crm_simulate --run`` -> list of lines such as "start cfvirtip on hub1"."""
    try:
        actions = ET.fromstring(text).find("actions")
    except ET.ParseError:
        return []
    lines = []
    for action in [] if actions is None else actions:
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


def disruptions(after, before, keep=None):
    """Those lines of a simulation that interrupt a resource and that the change is the reason for.

    after, before: summarise_simulation() of the CIB with the change and of the one without it: what the cluster is about to
    do anyhow is no consequence. keep: ids of the resources that count (instances of a clone too), None for all.
    """
    found = []
    for line in after:
        words = line.lower().split()
        name = line.split()[1].split(":")[0] if len(words) > 1 else ""
        if words and words[0] in DISRUPTIVE and line not in before and (keep is None or name in keep):
            found.append(line)
    return found


def holds(root, names):
    """What keeps pacemaker's hands off these resources (ids): [{"what": as it is set, "end": the command that ends it}].

    Maintenance mode of the cluster, maintenance of a node, is-managed and maintenance of a resource, of what it is in, or
    of rsc_defaults. Sets with rules are left out.
    """
    return [{"what": what, "end": end} for _pair, what, end in _holds(root, names)]


def unheld(root, names):
    """A copy of the CIB in which nothing keeps pacemaker's hands off these resources: for its scheduler, to be asked."""
    result = copy.deepcopy(root)
    for pair, _what, _end in _holds(result, names):
        _detach(result, pair)
    return result


def _holds(root, names):
    """(nvpair, what, end) of each hold; see holds()."""
    found = []

    def look(home, tag, name, on, what, end):
        for pair in [] if home is None else [pair for item in _plain_sets(home, tag) for pair in _kids(item, "nvpair")]:
            if pair.get("name") == name and boolean(pair.get("value")) is on:
                found.append((pair, "%s%s=%s" % (what, name, pair.get("value")), end))
    look(_section(root, "crm_config"), "cluster_property_set", "maintenance-mode", True, "",
         "crm_attribute --type crm_config --name maintenance-mode --delete")
    for node in root.iterfind("configuration/nodes/node"):
        look(node, "instance_attributes", "maintenance", True, "%s: " % node.get("uname"),
             "crm_attribute --node %s --name maintenance --delete" % node.get("uname"))
    for state in root.iterfind("status/node_state"):
        for home in state.iterfind("transient_attributes"):
            look(home, "instance_attributes", "maintenance", True, "%s: " % state.get("uname"),
                 "crm_attribute --node %s --name maintenance --lifetime reboot --delete" % state.get("uname"))
    parents, resources, owners = _parents(root), _resources(root), {}
    for name in names:
        element = resources.get(name)
        while element is not None and element.tag in RESOURCE_TAGS:
            owners[element.get("id")] = element
            element = parents.get(element)
    for attribute, on in (("is-managed", False), ("maintenance", True)):
        look(_section(root, "rsc_defaults"), "meta_attributes", attribute, on, "rsc_defaults: ",
             "crm_attribute --type rsc_defaults --name %s --delete" % attribute)
        for name, element in sorted(owners.items()):
            look(element, "meta_attributes", attribute, on, "%s: " % name,
                 "crm_resource --resource %s --meta --delete-parameter %s" % (name, attribute))
    return found


# ---------------------------------------------------------------- the live cluster

def _yes(element, name, default=False):
    value = element.get(name)
    return default if value is None else value.lower() in _TRUE


def _count(text):
    """"3" -> 3, "INFINITY" -> 1000000, anything else -> None."""
    value = _score(text or "")
    return value if isinstance(value, int) else None


def read_status(text):
    """XML output of ``crm_mon`` (pacemaker 2.1 and 3.0) -> the cluster as plain data.

    Returns a dict with dc, quorate (bool or None when there is no DC), nodes, resources, promoted, failures,
    fail_counts, thresholds, bans and options. Raises HubError when the text is no such output.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise HubError("crm_mon's output is not well-formed XML: %s" % error)
    current_dc = root.find("summary/current_dc")
    dc = current_dc.get("name") if current_dc is not None and _yes(current_dc, "present", True) else None
    options = root.find("summary/cluster_options")
    attributes = dict(
        (node.get("name"), dict((pair.get("name"), pair.get("value")) for pair in node.iterfind("attribute")))
        for node in root.iterfind("node_attributes/node"))
    nodes = []
    for node in root.iterfind("nodes/node"):
        nodes.append({
            "name": node.get("name"), "id": node.get("id"), "online": _yes(node, "online"),
            "standby": _yes(node, "standby") or _yes(node, "standby_onfail"),
            "maintenance": _yes(node, "maintenance"), "pending": _yes(node, "pending"),
            "unclean": _yes(node, "unclean"), "shutdown": _yes(node, "shutdown"),
            "attributes": attributes.get(node.get("name"), {})})
    resources, promoted = {}, {}
    section = root.find("resources")
    if section is not None:
        _read_resources(section, {"group": None, "clone": None, "promotable": False}, resources, promoted)
    return {
        "dc": dc, "quorate": _yes(current_dc, "with_quorum") if dc else None,
        "nodes": sorted(nodes, key=lambda node: node["name"] or ""), "resources": resources,
        "promoted": dict((key, ",".join(sorted(value)) or None) for key, value in promoted.items()),
        "failures": _read_failures(root),
        "fail_counts": _read_history(root, "fail-count"),
        "thresholds": _read_history(root, "migration-threshold"),
        "bans": [{"id": ban.get("id"), "resource": ban.get("resource"), "node": ban.get("node"),
                  "score": ban.get("weight"),
                  "promoted_only": _yes(ban, "promoted-only") or _yes(ban, "promoted_only")
                  or _yes(ban, "master_only")} for ban in root.iterfind("bans/ban")],
        "options": dict(options.attrib) if options is not None else {}}


def _plain_id(name):
    """Instances of clones are numbered: "cfpgsql:0" -> "cfpgsql"."""
    return re.sub(r":\d+$", "", name or "")


def _read_resources(parent, around, resources, promoted):
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


def _read_resource(element, name, around, resources, promoted):
    found = resources.setdefault(name, {
        "agent": (element.get("resource_agent") or "").replace("::", ":"), "managed": True, "failed": False,
        "blocked": False, "orphaned": False, "group": around["group"], "clone": around["clone"], "instances": []})
    found["managed"] = found["managed"] and _yes(element, "managed", True)
    for key in ("failed", "blocked", "orphaned"):
        found[key] = found[key] or _yes(element, key)
    role = _LEGACY.get(element.get("role"), element.get("role"))
    on_nodes = [node.get("name") for node in element.iterfind("node")] or [None]
    for node in on_nodes:
        found["instances"].append({
            "node": node, "role": role, "active": _yes(element, "active"), "failed": _yes(element, "failed"),
            "pending": element.get("pending"), "target_role": element.get("target_role")})
        if role == "Promoted" and node:
            promoted.setdefault(name, set()).add(node)
            if around["clone"]:
                promoted.setdefault(around["clone"], set()).add(node)
    if around["promotable"]:
        promoted.setdefault(name, set())


def _read_failures(root):
    """Failed actions, and probes that found an agent unusable: crm_mon does not call those failures."""
    failures = [_read_failure(item) for item in root.iterfind("failures/failure")]
    known = set((item["resource"], item["node"]) for item in failures)
    for node in root.iterfind("node_history/node"):
        for history in node.iterfind("resource_history"):
            name = _plain_id(history.get("id"))
            for operation in history.iterfind("operation_history"):
                rc = _count(operation.get("rc"))
                if rc in _UNUSABLE and (name, node.get("name")) not in known:
                    known.add((name, node.get("name")))
                    failures.append({
                        "resource": name, "node": node.get("name"), "operation": operation.get("task"), "interval": 0,
                        "exit_reason": operation.get("exit-reason") or "", "exit_status": operation.get("rc_text"),
                        "rc": rc, "when": operation.get("last-rc-change")})
    return failures


def _read_failure(element):
    key = element.get("op_key") or element.get("id") or ""
    parts = key.rsplit("_", 2)
    return {
        "resource": _plain_id(parts[0]), "node": element.get("node"),
        "operation": element.get("task") or (parts[1] if len(parts) == 3 else None),
        "interval": _count(element.get("interval")) or 0,
        "exit_reason": element.get("exitreason") or "", "exit_status": element.get("exitstatus"),
        "rc": _count(element.get("exitcode")), "when": element.get("last-rc-change")}


def _read_history(root, name):
    """{resource: {node: number}} of an attribute of crm_mon's resource histories, where it is more than 0."""
    result = {}
    for node in root.iterfind("node_history/node"):
        for history in node.iterfind("resource_history"):
            count = _count(history.get(name))
            if count:
                result.setdefault(_plain_id(history.get("id")), {})[node.get("name")] = count
    return result


def read_settings(root):
    """Root Element of a CIB -> what crm_mon does not tell.

    Returns a dict with properties, rsc_defaults, op_defaults (name -> value), attributes (node -> name -> value,
    permanent and transient, also of nodes that are offline), fail_counts, meta (resource -> name -> value and the id of
    the element that sets it), locations (location constraints), bans (those of them that ``crm_resource --ban`` and
    ``--move`` made), constraints (ids) and fencing_devices (id -> names of the nodes that it fences, None: not in the CIB).
    """
    result = {}
    for key, (section_name, tag, _set_id, _word) in DEFAULTS.items():
        section = _section(root, section_name)
        result[key] = {} if section is None else _pairs(section, tag)
    attributes = {}
    for node in root.iterfind("configuration/nodes/node"):
        attributes.setdefault(node.get("uname"), {}).update(_pairs(node, "instance_attributes"))
    for state in root.iterfind("status/node_state"):
        for home in state.iterfind("transient_attributes"):
            attributes.setdefault(state.get("uname"), {}).update(_pairs(home, "instance_attributes"))
    result["attributes"] = dict(
        (node, dict((name, value) for name, value in pairs.items() if not _INTERNAL.match(name or "")))
        for node, pairs in attributes.items())
    result["fail_counts"] = _fail_counts(attributes)
    result["meta"] = _meta(root, result["rsc_defaults"])
    result["locations"] = [found for element in _constraints(root).values() if element.tag == "rsc_location"
                           for found in _locations(element)]
    result["bans"] = [
        dict((key, found[key]) for key in ("id", "resource", "node", "score", "promoted_only"))
        for found in result["locations"] if (found["id"] or "").startswith(("cli-ban-", "cli-prefer-"))]
    result["constraints"] = sorted(name for name in _constraints(root) if name)
    result["fencing_devices"] = _fencing_devices(root)
    return result


def _fencing_devices(root):
    """Fencing devices: {id: nodes that the device fences by its parameters, or None where only the device knows}.

    As pacemaker's fencer decides (target_list_type() in daemons/fenced): a device with pcmk_host_list or pcmk_host_map
    fences the nodes in them, unless pcmk_host_check says otherwise; any other one is asked.
    """
    known, result = _resources(root), {}
    for name, element in known.items():
        model = known.get(element.get("template"))
        line = [element] + ([] if model is None else [model])
        if element.tag != "primitive" or "stonith" not in [item.get("class") for item in line]:
            continue
        sets = [found for item in line for found in _kids(item, "instance_attributes")]
        certain = all(not _kids(found, "rule") and found.get("id-ref") is None
                      and all(pair.get("id-ref") is None for pair in _kids(found, "nvpair")) for found in sets)
        params = {}
        for item in reversed(line):
            params.update(_pairs(item, "instance_attributes"))
        listed = "pcmk_host_list" in params or "pcmk_host_map" in params
        check = params.get("pcmk_host_check") or ("static-list" if listed else "")
        result[name] = None
        if certain and check.lower() == "static-list":
            names = re.split(r"[\s,;]+", params.get("pcmk_host_list") or "")
            names += [re.split("[=:]", part)[0] for part in re.split(r"[\s;]+", params.get("pcmk_host_map") or "")]
            result[name] = list(dict.fromkeys(item for item in names if item))
    return result


def _fail_counts(attributes):
    """Pacemaker's own books (node attributes) -> {resource: {node: number of failures}}, 1000000 for infinity."""
    result = {}
    for node, pairs in attributes.items():
        for name, value in pairs.items():
            match = re.match(r"fail-count-(.+)#[^#]+$", name or "")
            count = _count(value)
            if match and count:
                counts = result.setdefault(_plain_id(match.group(1)), {})
                counts[node] = min(1000000, counts.get(node, 0) + count)
    return result


def _meta(root, defaults):
    """Meta attributes that hold for each resource: {id: {name: {"value", "set_by"}}}.

    What a resource does not set it has from its group, its clone and at last from rsc_defaults, as pacemaker reads it.
    set_by: id of the resource that sets it, or "rsc_defaults". Sets with rules are left out.
    """
    parents, result = _parents(root), {}
    for name, element in _resources(root).items():
        if element.tag == "template":
            continue
        found = dict((key, {"value": value, "set_by": "rsc_defaults"}) for key, value in defaults.items())
        line = [element]
        while parents.get(line[-1]) is not None and parents[line[-1]].tag in RESOURCE_TAGS:
            line.append(parents[line[-1]])
        for owner in reversed(line):
            found.update((key, {"value": value, "set_by": owner.get("id")})
                         for key, value in _pairs(owner, "meta_attributes").items())
        result[name] = found
    return result


def _locations(element):
    """A location constraint as plain data, one entry for each of its rules, and one when it has none.

    Keys: id, rule (id of the rule, None without one: crm_mon calls a ban by it), resource (or pattern, a regular
    expression), node (None where no node is named), score (as it is written), promoted_only, conditional (True when a
    rule decides by something else than the node's name, such as an attribute).
    """
    rules = list(element.iterfind("rule")) or [None]
    resources = [found.get("id") for found in element.iter("resource_ref")] or [element.get("rsc")]
    result = []
    for rule in rules:
        home = element if rule is None else rule
        tests = [] if rule is None else list(rule.iter("expression"))
        role = home.get("role", element.get("role"))
        result += [{
            "id": element.get("id"), "rule": None if rule is None else rule.get("id", rule.get("id-ref")),
            "resource": resource, "pattern": element.get("rsc-pattern"),
            "node": _ban_node(element if rule is None else rule, element.get("node")),
            "score": home.get("score", home.get("score-attribute")),
            "promoted_only": _LEGACY.get(role, role) == "Promoted",
            "conditional": any(test.get("attribute") not in ("#uname", "#id") for test in tests),
        } for resource in resources]
    return result


def pending_operations(root, nodes):
    """Operations that were begun and have not ended on these nodes (names), from the status section, as text.

    Only this tells of a resource that is stopping and is not configured any more.
    """
    return ["%s of %s on %s is not done" % (op.get("operation"), _plain_id(home.get("id")), state.get("uname"))
            for state in root.iterfind("status/node_state") if state.get("uname") in nodes
            for home in state.iter("lrm_resource") for op in home.iterfind("lrm_rsc_op")
            if op.get("op-status") == "-1" and (op.get("interval") or "0") == "0"]


def _ban_node(element, node=None):
    """The node of a location constraint or its rule; a command line ban with a lifetime has it in a rule."""
    if element.get("node") or node:
        return element.get("node") or node
    for expression in element.iter("expression"):
        if expression.get("attribute") == "#uname":
            return expression.get("value")
    return None


def combine(status, settings):
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


def _larger(one, other):
    """The larger numbers of two {resource: {node: number}}. crm_mon tells of resources only whose history is kept."""
    return dict((resource, dict((node, max(found.get(resource, {}).get(node, 0) for found in (one, other)))
                                for node in list(one.get(resource, {})) + list(other.get(resource, {}))))
                for resource in list(one) + list(other))


def read_links(status, neighbours, names):
    """Text of ``corosync-cfgtool -s`` and ``-n`` -> list of links as the local node sees them.

    names: node id (text) -> node name. Each link: id (int), transport, address, peers (name -> connected, address,
    mtu); the local node is not a peer.
    """
    links, link = [], None
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
    peer = None
    for line in neighbours.splitlines():
        head = re.match(r"^nodeid:\s+(\d+)", line)
        if head:
            peer = names.get(head.group(1), head.group(1))
        found = re.match(r"^\s+LINK:\s+(\d+)\s+\S+\s+\(\S+->(\S+)\)(.*)$", line)
        if not found or peer is None:
            continue
        for link in links:
            if link["id"] == int(found.group(1)) and peer in link["peers"]:
                mtu = re.search(r"mtu:\s*(\d+)", found.group(3))
                link["peers"][peer].update(address=found.group(2), mtu=int(mtu.group(1)) if mtu else None)
    return links


def read_quorum(text):
    """Text of ``corosync-quorumtool -s`` -> dict, or None when there is nothing to read.

    Keys: quorate (bool), expected_votes, total_votes, needed_votes (int or None), flags (list), ring_id (text).
    """
    values = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip().lower(), value.strip())
    if "quorate" not in values:
        return None

    def number(key):
        match = re.match(r"\d+", values.get(key, ""))
        return int(match.group(0)) if match else None

    return {"quorate": values["quorate"].lower() == "yes", "expected_votes": number("expected votes"),
            "total_votes": number("total votes"), "needed_votes": number("quorum"),
            "flags": values.get("flags", "").split(), "ring_id": values.get("ring id")}
