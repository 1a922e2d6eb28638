# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The owned parts of a CIB as short texts, for the diff. Pure functions."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple
from xml.etree.ElementTree import Element

from .normalise import Wanted, resource_ids, wanted_defaults
from .parse import (
    DEFAULTS,
    OP_ATTRIBUTES,
    RESOURCE_TAGS,
    alerts_of,
    constraints_of,
    fencing_levels_of,
    kids,
    operation_key,
    pairs_of,
    parents_of,
    resources_of,
    section_of,
    selected,
)
from .secrets import MASK, is_secret, mask_embedded

#: (object, set, name) -> value: what was shown, to say of a hidden value that it differs
Shown = Dict[Tuple[str, str, str], Optional[str]]


def diff(before: Element, after: Element, wanted: Wanted) -> Dict[str, str]:
    """The owned parts of two CIBs as {"before": text, "after": text}; secrets are never in it."""
    old = _Page(before, {})
    old.add_all(wanted)
    new = _Page(after, old.values)
    new.add_all(wanted)
    return {"before": old.text(), "after": new.text()}


class _Page:
    """The owned parts of one CIB. known: values of the page that it is compared with. values: those of this one."""

    def __init__(self, root: Element, known: Shown) -> None:
        self.root = root
        self.known = known
        self.values: Shown = {}
        self.lines: List[str] = []

    def text(self) -> str:
        return "".join(line + "\n" for line in self.lines)

    def add_all(self, wanted: Wanted) -> None:
        resources, constraints, parents = resources_of(self.root), constraints_of(self.root), parents_of(self.root)
        owned: Dict[str, Mapping[str, Any]] = {}
        for items in (wanted["primitives"], wanted["groups"], wanted["clones"]):
            owned.update((item["id"], item) for item in items)
        for name in resource_ids(wanted) + [name for name in wanted["absent"] if name in resources]:
            if name in resources:
                self.add_resource(resources[name], owned.get(name), parents)
        for name in [attributes["id"] for _tag, attributes in wanted["constraints"]] + wanted["absent"]:
            if name in constraints:
                self.lines.append(_constraint(constraints[name]))
        alerts, levels = alerts_of(self.root), fencing_levels_of(self.root)
        owned = {item["id"]: item for item in wanted["alerts"]}
        for name in list(owned) + wanted["absent"]:
            if name in alerts:
                self.add_alert(alerts[name], owned.get(name))
        for name in [item["id"] for item in wanted["fencing_levels"]] + wanted["absent"]:
            if name in levels:
                words = " ".join("%s=%s" % item for item in sorted(levels[name].attrib.items()) if item[0] != "id")
                self.lines.append("fencing_level %s: %s" % (name, words))
        for key, values in wanted_defaults(wanted).items():
            section_name, tag, _set_id, word = DEFAULTS[key]
            section = section_of(self.root, section_name)
            found = {} if section is None else pairs_of(section, tag)
            self.lines += ["%s %s=%s" % (word, name, self.show((word, "", name), found[name]))
                           for name in sorted(values) if name in found]

    def show(self, key: Tuple[str, str, str], value: Optional[str]) -> str:
        """Text of one value; a hidden one that changed says so."""
        self.values[key] = value
        value = "" if value is None else value
        shown = MASK if is_secret(key[2]) else mask_embedded(value)
        if shown != value and key in self.known and self.known[key] != value:
            shown += " (differs)"
        if shown == value and (not value or re.search(r"\s", value)):
            shown = '"%s"' % value
        return shown

    def pairs(self, element: Element, word: str, tag: str, indent: str = "  ") -> List[str]:
        """Lines of the values of an element's sets."""
        found = pairs_of(element, tag)
        return ["%s%s %s=%s" % (indent, word, key, self.show((element.get("id", ""), word, key), found[key]))
                for key in sorted(found)]

    def add_resource(self, element: Element, item: Optional[Mapping[str, Any]],
                     parents: Mapping[Element, Element]) -> None:
        """item: what is wanted of it, or None for one that is to go (then all of it is shown)."""
        if element.tag != "primitive":
            members = [kid.get("id", "") for kid in kids(element, *RESOURCE_TAGS)]
            self.lines.append("%s %s: %s" % (element.tag, element.get("id"), " ".join(members)))
        else:
            agent = ":".join(filter(None, (element.get(key) for key in ("class", "provider", "type"))))
            self.lines.append("primitive %s %s" % (element.get("id"), agent or "template %s" % element.get("template")))
            parent = parents[element]
            if parent.tag in RESOURCE_TAGS:
                self.lines.append("  in %s %s" % (parent.tag, parent.get("id")))
            if item is None or item.get("params") is not None:
                self.lines += self.pairs(element, "param", "instance_attributes")
        if item is None or item.get("meta") is not None:
            self.lines += self.pairs(element, "meta", "meta_attributes")
        if element.tag == "primitive" and (item is None or item.get("operations") is not None):
            self.add_operations(element)

    def add_alert(self, alert: Element, item: Optional[Mapping[str, Any]]) -> None:
        """item: what is wanted of it, or None for one that is to go."""
        self.lines.append("alert %s %s" % (alert.get("id"), alert.get("path")))
        self.add_sets(alert, item)
        if item is None or item.get("select") is not None:
            events, names = selected(alert)
            if events:
                self.lines.append("  select %s" % " ".join(events + ["attribute=%s" % name for name in names]))
        recipients = None if item is None else item.get("recipients")
        owned = {recipient["id"]: recipient for recipient in recipients or []}
        for recipient in kids(alert, "recipient") if item is None or recipients is not None else []:
            name = recipient.get("id", "")
            shown = self.show((name, "recipient", "value"), recipient.get("value"))
            self.lines.append("  recipient %s %s" % (name, shown))
            self.add_sets(recipient, owned.get(name), "    ")

    def add_sets(self, element: Element, item: Optional[Mapping[str, Any]], indent: str = "  ") -> None:
        """The instance and meta attributes of an alert or recipient, as far as they are owned."""
        for word, tag, key in (("param", "instance_attributes", "params"), ("meta", "meta_attributes", "meta")):
            if item is None or item.get(key) is not None:
                self.lines += self.pairs(element, word, tag, indent)

    def add_operations(self, primitive: Element) -> None:
        shown = []
        for op in (op for home in kids(primitive, "operations") for op in kids(home, "op")):
            words = ["%s=%s" % (key, op.get(key)) for key in OP_ATTRIBUTES[1:] if op.get(key) is not None]
            key = operation_key(op.attrib)
            extra = pairs_of(op, "instance_attributes")
            words += ["%s=%s" % (param, self.show((primitive.get("id", ""), "op %s %s" % key, param), extra[param]))
                      for param in sorted(extra)]
            shown.append(((str(key[0]), str(key[1]).zfill(20)), " ".join(["  op", str(key[0])] + words)))
        self.lines += [line for _key, line in sorted(shown)]


def _constraint(element: Element) -> str:
    """The line of a constraint."""

    def get(key: str, default: str = "(set)") -> str:
        return element.get(key, default)

    def who(key: str, role: str) -> str:
        return get(key) + (" (%s)" % element.get(role) if element.get(role) else "")

    used: Tuple[str, ...]
    if element.tag == "rsc_colocation":
        text = "%s with %s" % (who("rsc", "rsc-role"), who("with-rsc", "with-rsc-role"))
        used = ("rsc", "rsc-role", "with-rsc", "with-rsc-role")
    elif element.tag == "rsc_order":
        first = get("first-action", "start")
        text = "%s %s then %s %s" % (first, get("first"), get("then-action", first), get("then"))
        used = ("first", "first-action", "then", "then-action")
    else:
        text, used = who("rsc", "role"), ("rsc", "role")
    words = ["%s=%s" % (key, value) for key, value in sorted(element.attrib.items()) if key not in used + ("id",)]
    for rule in kids(element, "rule"):
        words += ["%s=%s" % (key, rule.get(key)) for key in ("role", "score") if rule.get(key)]
        words += ["where " + " ".join(filter(None, (test.get(key) for key in ("attribute", "operation", "value"))))
                  for test in kids(rule, "expression")]
    extra = sorted({kid.tag for kid in kids(element) if kid.tag != "rule"})
    if extra:
        words.append("with " + ", ".join(extra))
    return "%s %s: %s" % (element.tag[4:], element.get("id"), " ".join([text] + words))
