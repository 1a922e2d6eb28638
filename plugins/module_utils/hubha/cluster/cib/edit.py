# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings wanted objects into a copy of a CIB. Pure functions."""

from __future__ import annotations

import copy
import re
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Set, Tuple
from xml.etree.ElementTree import Element, SubElement

from ...core.run import HubError
from ..values import LEGACY_ROLES, microseconds, same_meaning
from .normalise import Alert, Clone, Group, Operation, Primitive, Wanted, wanted_defaults
from .parse import (
    CONTAINER_TAGS,
    DEFAULTS,
    OP_ATTRIBUTES,
    REFERENCE_TAGS,
    RESOURCE_TAGS,
    alerts_of,
    canonical,
    configuration,
    constraints_of,
    detach,
    elements,
    fencing_devices_of,
    fencing_levels_of,
    kids,
    make_section,
    operation_key,
    parents_of,
    plain_sets,
    resources_of,
    section_of,
    selected,
)


def edit(current: Element, wanted: Wanted) -> Tuple[Element, List[str]]:
    """Bring the wanted objects into a copy of *current*.

    current: root Element, left alone. wanted: result of normalise().
    Returns (new root, notes): notes is a list of sentences that the operator should read.
    Raises HubError when a wanted object cannot be made (a member that does not exist, an id that is another kind of
    object, a group left empty, a constraint or a fencing level that would name something that does not exist).
    """
    root = copy.deepcopy(current)
    notes: List[str] = []
    ids = _Ids(root)
    _remove_absent(root, wanted["absent"])
    for primitive in wanted["primitives"]:
        _edit_primitive(root, primitive, ids, notes)
    for group in wanted["groups"]:
        _edit_group(root, group, ids, notes)
    for clone in wanted["clones"]:
        _edit_clone(root, clone, ids, notes)
    for tag, attributes in wanted["constraints"]:
        _edit_constraint(root, tag, attributes, _has_new_roles(root))
    _drop_recipients(root, wanted["alerts"])
    for alert in wanted["alerts"]:
        _edit_alert(root, alert, ids, notes)
    for level in wanted["fencing_levels"]:
        home = make_section(root, "fencing-topology")
        _set_attributes(_find_or_make_in(root, home, level["id"], "fencing-level"), level)
    for key, values in wanted_defaults(wanted).items():
        _edit_defaults(root, key, values, ids)
    _check_containers(current, root)
    _check_references(current, root, wanted["absent"])
    return root, notes


class _Ids:
    """Makes ids that nothing else in the CIB has."""

    def __init__(self, root: Element) -> None:
        self.used = {element.get("id") for element in elements(root)}

    def make(self, text: str) -> str:
        """An id that begins with *text*."""
        text = re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)
        name, count = text, 1
        while name in self.used:
            name, count = "%s-%d" % (text, count), count + 1
        self.used.add(name)
        return name


def _has_new_roles(root: Element) -> bool:
    """Do the CIB's schema rules know Promoted and Unpromoted (pacemaker-3.7 and newer)?"""
    match = re.match(r"pacemaker-(\d+)\.(\d+)$", root.get("validate-with") or "")
    return not match or (int(match.group(1)), int(match.group(2))) >= (3, 7)


def _spell_role(role: str, new_roles: bool) -> str:
    return role if new_roles else {new: old for old, new in LEGACY_ROLES.items()}.get(role, role)


def _set_attributes(element: Element, wanted: Mapping[str, str], owned: Optional[Collection[str]] = None) -> None:
    """Set attributes whose meaning differs; drop those not wanted among *owned* (None: all of them)."""
    for name in [name for name in element.attrib if name not in wanted and (owned is None or name in owned)]:
        del element.attrib[name]
    for name, value in wanted.items():
        if not same_meaning(name, element.get(name), value):
            element.set(name, value)


def _remove_absent(root: Element, absent: List[str]) -> None:
    for name in absent:
        if name in resources_of(root):
            _remove_resource(root, resources_of(root)[name])
        for others in (constraints_of(root), alerts_of(root), fencing_levels_of(root)):
            if name in others:
                detach(root, others[name])


def _remove_resource(root: Element, element: Element) -> None:
    """Removing a container is not removing what is in it: its members stand alone from then on."""
    parent = parents_of(root)[element]
    place = list(parent).index(element)
    parent.remove(element)
    if element.tag not in CONTAINER_TAGS:
        return
    members = kids(element, *RESOURCE_TAGS)
    if parent.tag == "resources":
        parent[place:place] = members
    else:
        make_section(root, "resources").extend(members)


def _find_or_make(root: Element, name: str, tag: str) -> Element:
    """The resource *name*, made at the top level when it does not exist yet."""
    element = resources_of(root).get(name)
    if element is None:
        return SubElement(make_section(root, "resources"), tag, {"id": name})
    if element.tag == "master" and tag == "clone":
        element.tag = "clone"
    if element.tag != tag:
        raise HubError("%s is a %s in the CIB but is wanted as a %s: take another id, or remove the old one first "
                       "(absent: [%s])" % (name, element.tag, tag, name))
    return element


def _find_or_make_in(root: Element, home: Element, name: str, tag: str) -> Element:
    """The element *name* with that tag in *home*, made when it does not exist yet."""
    for element in elements(configuration(root)):
        if element.get("id") == name and element.tag not in REFERENCE_TAGS:
            if element.tag == tag and element in kids(home):
                return element
            raise HubError("%s is a %s elsewhere in the CIB but is wanted as a %s: take another id, or remove the old "
                           "one first" % (name, element.tag, tag))
    return SubElement(home, tag, {"id": name})


def _edit_primitive(root: Element, item: Primitive, ids: _Ids, notes: List[str]) -> None:
    element = _find_or_make(root, item["id"], "primitive")
    ids.used.add(item["id"])
    _set_attributes(element, item["agent"], owned=("class", "provider", "type", "template"))
    _edit_sets(element, "instance_attributes", item["params"], ids, notes)
    _edit_sets(element, "meta_attributes", item["meta"], ids, notes)
    if item["operations"] is not None:
        _edit_operations(element, item["operations"], ids, notes, _has_new_roles(root))


def _edit_sets(element: Element, tag: str, values: Optional[Mapping[str, str]], ids: _Ids, notes: List[str],
               front: bool = False) -> None:
    """Make the nvpairs below *element* exactly *values* (None: not owned)."""
    if values is None:
        return
    plain = plain_sets(element, tag)
    if len(plain) != len(kids(element, tag)):
        notes.append("%s %s has %s with a rule or a reference, which were left as they are"
                     % (element.tag, element.get("id"), tag))
    done: Set[str] = set()
    for found in plain:
        was_empty = not kids(found)
        for pair in kids(found, "nvpair"):
            name = pair.get("name", "")
            if pair.get("id-ref") is not None:
                continue
            if name in values and name not in done:
                done.add(name)
                if pair.get("value") != values[name]:
                    pair.set("value", values[name])
            else:
                found.remove(pair)
        if not was_empty and not kids(found):
            element.remove(found)
    missing = [name for name in values if name not in done]
    if not missing:
        return
    plain = plain_sets(element, tag)
    if plain:
        home = plain[0]
    else:
        home = Element(tag, {"id": ids.make("%s-%s" % (element.get("id"), tag))})
        element.insert(0 if front else len(element), home)
    for name in missing:
        SubElement(home, "nvpair", {"id": ids.make("%s-%s" % (home.get("id"), name)), "name": name,
                                    "value": values[name]})


def _edit_operations(primitive: Element, operations: List[Operation], ids: _Ids, notes: List[str],
                     new_roles: bool) -> None:
    """Make the operations of a primitive exactly those given; what is there already keeps its id."""
    homes = kids(primitive, "operations")
    present = [(home, op) for home in homes for op in kids(home, "op")]
    matched: Dict[int, Element] = {}

    def match(test: Callable[[Mapping[str, str], Element], bool]) -> None:
        for index, item in enumerate(operations):
            if index in matched:
                continue
            for _home, op in present:
                if op not in matched.values() and test(item["attributes"], op):
                    matched[index] = op
                    break

    match(lambda attributes, op: operation_key(attributes) == operation_key(op.attrib))
    # A changed interval is the same operation with another value, not a new one.
    match(lambda attributes, op: attributes["name"] == op.get("name")
          and same_meaning("role", attributes.get("role", "-"), op.get("role", "-")))
    keep = list(matched.values())
    for home, op in present:
        if op not in keep:
            home.remove(op)
    for index, item in enumerate(operations):
        attributes = dict(item["attributes"])
        if "role" in attributes:
            attributes["role"] = _spell_role(attributes["role"], new_roles)
        if index in matched:
            op = matched[index]
        else:
            if not homes:
                homes = [SubElement(primitive, "operations")]
            name = "%s-%s-%s" % (primitive.get("id"), attributes["name"], attributes["interval"])
            op = SubElement(homes[0], "op", {"id": ids.make(name)})
        if "interval" not in op.attrib and microseconds(attributes["interval"]) == 0 and index in matched:
            del attributes["interval"]
        _set_attributes(op, attributes, owned=OP_ATTRIBUTES)
        _edit_sets(op, "instance_attributes", item["params"], ids, notes)
    for home in homes:
        if not len(home) and present:
            primitive.remove(home)


def _edit_group(root: Element, item: Group, ids: _Ids, notes: List[str]) -> None:
    group = _find_or_make(root, item["id"], "group")
    ids.used.add(item["id"])
    known = resources_of(root)
    for name in item["members"]:
        member = known.get(name)
        if member is None:
            raise HubError("group %s has the member %s, which is neither in the CIB nor among the primitives given"
                           % (item["id"], name))
        if member.tag != "primitive":
            raise HubError("group %s has the member %s, which is a %s: a group holds primitives only"
                           % (item["id"], name, member.tag))
    current = [kid.get("id", "") for kid in kids(group, "primitive")]
    foreign = [name for name in current if name not in item["members"]]
    if foreign:
        notes.append("group %s also holds %s, which was not given here and was left in it"
                     % (item["id"], ", ".join(foreign)))
    if [name for name in current if name in item["members"]] != item["members"]:
        # Listed members take the places that listed members had; foreign ones keep theirs.
        order: List[str] = []
        queue = list(item["members"])
        last = max((place for place, name in enumerate(current) if name in item["members"]), default=-1)
        for place, name in enumerate(current):
            order.append(name if name in foreign else queue.pop(0))
            if place == last:
                order.extend(queue)
                queue = []
        order.extend(queue)
        for name in order:
            detach(root, known[name])
        group.extend(known[name] for name in order)
    _edit_sets(group, "meta_attributes", item["meta"], ids, notes, front=True)


def _edit_clone(root: Element, item: Clone, ids: _Ids, notes: List[str]) -> None:
    clone = _find_or_make(root, item["id"], "clone")
    ids.used.add(item["id"])
    member = resources_of(root).get(item["member"])
    if member is None:
        raise HubError("clone %s has the member %s, which is neither in the CIB nor given here"
                       % (item["id"], item["member"]))
    if member.tag not in ("primitive", "group"):
        raise HubError("clone %s has the member %s, which is a %s: only a primitive or a group can be cloned"
                       % (item["id"], item["member"], member.tag))
    if member not in kids(clone):
        for old in kids(clone, "primitive", "group"):
            notes.append("clone %s held %s, which stands alone from now on" % (item["id"], old.get("id")))
            clone.remove(old)
            make_section(root, "resources").append(old)
        detach(root, member)
        clone.append(member)
    _edit_sets(clone, "meta_attributes", item["meta"], ids, notes, front=True)


def _edit_constraint(root: Element, tag: str, wanted: Mapping[str, Any], new_roles: bool) -> None:
    attributes = dict(wanted)
    rule = attributes.pop("rule", None)
    for name in ("rsc-role", "with-rsc-role"):
        if name in attributes:
            attributes[name] = _spell_role(attributes[name], new_roles)
    section = make_section(root, "constraints")
    element = constraints_of(root).get(attributes["id"])
    if element is None:
        element = SubElement(section, tag, attributes)
    element.tag = tag
    _set_attributes(element, attributes)
    missing = [_rule_element(attributes["id"], rule, new_roles)] if rule else []
    for kid in kids(element):
        if missing and canonical(kid) == canonical(missing[0]):
            missing = []
        else:
            # Resource sets, other rules and lifetimes would overrule what is wanted.
            element.remove(kid)
    element.extend(missing)


def _rule_element(constraint: str, rule: Mapping[str, str], new_roles: bool) -> Element:
    """The element of a location's rule, with ids made from its own; see the pacemaker schema constraints-*.rng."""
    name = constraint + "-rule"
    element = Element("rule", {"id": name, "score": rule["score"]})
    if "role" in rule:
        element.set("role", _spell_role(rule["role"], new_roles))
    expression = {key: rule[key] for key in ("attribute", "operation", "value") if key in rule}
    SubElement(element, "expression", dict(expression, id=name + "-expression"))
    return element


def _drop_recipients(root: Element, alerts: List[Alert]) -> None:
    """Take away recipients that are not wanted, of all alerts before any is edited: one may go to another alert."""
    known = alerts_of(root)
    for item in alerts:
        wanted = [recipient["id"] for recipient in item["recipients"] or []]
        for recipient in kids(known[item["id"]], "recipient") if item["id"] in known else []:
            if item["recipients"] is not None and recipient.get("id") not in wanted:
                known[item["id"]].remove(recipient)


def _edit_alert(root: Element, item: Alert, ids: _Ids, notes: List[str]) -> None:
    alert = _find_or_make_in(root, make_section(root, "alerts"), item["id"], "alert")
    ids.used.add(item["id"])
    _set_attributes(alert, {"path": item["path"]}, owned=("path",))
    # Older schemas want the sets before the recipients.
    _edit_sets(alert, "meta_attributes", item["meta"], ids, notes, front=True)
    _edit_sets(alert, "instance_attributes", item["params"], ids, notes, front=True)
    if item["select"] is not None and selected(alert) != (item["select"], item["attributes"]):
        for old in kids(alert, "select"):
            alert.remove(old)
        if item["select"]:
            alert.insert(len(alert) - len(kids(alert, "recipient")), _select_element(item, ids))
    for recipient in item["recipients"] or []:
        element = _find_or_make_in(root, alert, recipient["id"], "recipient")
        ids.used.add(recipient["id"])
        _set_attributes(element, {"value": recipient["value"]}, owned=("value",))
        _edit_sets(element, "meta_attributes", recipient["meta"], ids, notes)
        _edit_sets(element, "instance_attributes", recipient["params"], ids, notes)


def _select_element(item: Alert, ids: _Ids) -> Element:
    """The element that says of what an alert is told."""
    element = Element("select")
    for event in item["select"] or []:
        home = SubElement(element, "select_" + event)
        for name in item["attributes"] if event == "attributes" else []:
            SubElement(home, "attribute", {"id": ids.make("%s-select-%s" % (item["id"], name)), "name": name})
    return element


def _edit_defaults(root: Element, key: str, values: Mapping[str, Optional[str]], ids: _Ids) -> None:
    """Set or (value None) remove only the named values; all others stay."""
    section_name, tag, set_id, _word = DEFAULTS[key]
    section = section_of(root, section_name)
    for name, value in values.items():
        pairs = [] if section is None else [
            (found, pair) for found in plain_sets(section, tag)
            for pair in kids(found, "nvpair") if pair.get("name") == name]
        if value is None:
            for found, pair in pairs:
                found.remove(pair)
        elif pairs:
            for _found, pair in pairs:
                if pair.get("value") != value:
                    pair.set("value", value)
        else:
            section = make_section(root, section_name)
            home = _default_home(section, tag, set_id, key == "properties")
            if home is None:
                home = SubElement(section, tag, {"id": ids.make(set_id)})
            SubElement(home, "nvpair", {"id": ids.make("%s-%s" % (home.get("id"), name)), "name": name,
                                        "value": value})


def _default_home(section: Element, tag: str, set_id: str, exact: bool) -> Optional[Element]:
    """The set that a new value goes to. Agents keep sets of their own in crm_config, so there the id must match."""
    plain = plain_sets(section, tag)
    for found in plain:
        if found.get("id") == set_id:
            return found
    return plain[0] if plain and not exact else None


def _check_containers(current: Element, root: Element) -> None:
    for tag, name in sorted(_empty_containers(root) - _empty_containers(current)):
        raise HubError("%s %s would be left with nothing in it: list %s in absent too" % (tag, name, name))


def _empty_containers(root: Element) -> Set[Tuple[str, str]]:
    """(tag, id) of groups and clones that hold nothing."""
    return {(element.tag, name) for name, element in resources_of(root).items()
            if element.tag in CONTAINER_TAGS and not kids(element, "primitive", "group")}


def _references(root: Element) -> Set[Tuple[str, str]]:
    """Set of (id of the constraint, id of a resource it names that does not exist)."""
    known = set(resources_of(root))
    tags = section_of(root, "tags")
    if tags is not None:
        known.update(tag.get("id", "") for tag in kids(tags, "tag"))
    result: Set[Tuple[str, str]] = set()
    for name, element in constraints_of(root).items():
        named = [element.get(key) for key in ("rsc", "with-rsc", "first", "then")]
        named += [found.get("id") for found in element.iter("resource_ref")]
        result.update((name, target) for target in named if target and target not in known)
    return result


def _unknown_devices(root: Element) -> Set[Tuple[str, str]]:
    """Set of (id of the fencing level, a device of it that is none)."""
    known = fencing_devices_of(root)
    return {(name, device) for name, level in fencing_levels_of(root).items()
            for device in level.get("devices", "").split(",") if device not in known}


def _check_references(current: Element, root: Element, absent: List[str]) -> None:
    for name, device in sorted(_unknown_devices(root) - _unknown_devices(current)):
        if device in absent:
            raise HubError("fencing level %s still names %s, which is to be removed: list %s in absent too, or take the "
                           "level out first: cibadmin --delete --xml-text '<fencing-level id=\"%s\"/>'"
                           % (name, device, name, name))
        raise HubError("fencing level %s names %s, which is no fencing device (class stonith) in the CIB or given here"
                       % (name, device))
    for name, target in sorted(_references(root) - _references(current)):
        if target in absent:
            raise HubError("constraint %s still names %s, which is to be removed: list %s in absent too"
                           % (name, target, name))
        raise HubError("constraint %s names %s, which is neither in the CIB nor given here" % (name, target))
