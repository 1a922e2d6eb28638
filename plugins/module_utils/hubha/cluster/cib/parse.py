# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CIB's XML: text in and out, and where in it what stands. Pure functions."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union
from xml.etree.ElementTree import Element

from ...core.run import HubError
from ..values import microseconds

EMPTY_CIB = ("<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration>"
             "<status/></cib>")

RESOURCE_TAGS = ("primitive", "group", "clone", "master", "bundle", "template")
CONSTRAINT_TAGS = ("rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket")
CONTAINER_TAGS = ("group", "clone", "master")
#: elements whose id is that of another one
REFERENCE_TAGS = ("obj_ref", "resource_ref", "role")

#: keyword -> (section of the CIB, tag of the set, id of a set that has to be made, word in the diff)
DEFAULTS = {
    "properties": ("crm_config", "cluster_property_set", "cib-bootstrap-options", "property"),
    "rsc_defaults": ("rsc_defaults", "meta_attributes", "rsc_defaults-options", "rsc_default"),
    "op_defaults": ("op_defaults", "meta_attributes", "op_defaults-options", "op_default"),
}

#: attributes of <op> by the schema; anything else given with an operation is an instance attribute of it
OP_ATTRIBUTES = ("name", "interval", "timeout", "role", "on-fail", "start-delay", "interval-origin", "enabled",
                 "record-pending", "description")


def parse(text: str) -> Element:
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


def unparse(root: Element) -> str:
    """Root Element -> XML text."""
    return ET.tostring(root, encoding="unicode") + "\n"


def kids(element: Element, *tags: str) -> List[Element]:
    """Child elements (no comments), only those with one of *tags* when given."""
    return [kid for kid in element if isinstance(kid.tag, str) and (not tags or kid.tag in tags)]


def elements(root: Element) -> Iterator[Element]:
    """All elements of a tree, no comments."""
    return (element for element in root.iter() if isinstance(element.tag, str))


def section_of(root: Element, name: str) -> Optional[Element]:
    """That section of the configuration, None when the CIB has none."""
    return root.find("configuration/" + name)


def make_section(root: Element, name: str) -> Element:
    """That section of the configuration, made when the CIB has none."""
    section = section_of(root, name)
    if section is None:
        section = ET.SubElement(configuration(root), name)
    return section


def configuration(root: Element) -> Element:
    """The part of a CIB that is configured, without the status section. Raises HubError when it has none."""
    found = root.find("configuration")
    if found is None:
        raise HubError("this is not a CIB: it has no <configuration>")
    return found


def parents_of(root: Element) -> Dict[Element, Element]:
    """element -> the one that it stands in."""
    return {kid: parent for parent in root.iter() for kid in parent}


def resources_of(root: Element) -> Dict[str, Element]:
    """id -> element of every resource, at whatever depth."""
    section = section_of(root, "resources")
    return {name: element for element in ([] if section is None else elements(section))
            if element.tag in RESOURCE_TAGS and (name := element.get("id"))}


def constraints_of(root: Element) -> Dict[str, Element]:
    """id -> element of every constraint."""
    return _in_section(root, "constraints", *CONSTRAINT_TAGS)


def alerts_of(root: Element) -> Dict[str, Element]:
    """id -> element of every alert."""
    return _in_section(root, "alerts", "alert")


def fencing_levels_of(root: Element) -> Dict[str, Element]:
    """id -> element of every fencing level."""
    return _in_section(root, "fencing-topology", "fencing-level")


def fencing_devices_of(root: Element) -> Dict[str, Element]:
    """id -> element of every fencing device, a primitive that is of class stonith by itself or by its template."""
    known = resources_of(root)
    classes = {name: element.get("class") for name, element in known.items()}
    return {name: element for name, element in known.items() if element.tag == "primitive"
            and "stonith" in (classes[name], classes.get(element.get("template", "")))}


def _in_section(root: Element, section_name: str, *tags: str) -> Dict[str, Element]:
    section = section_of(root, section_name)
    return {name: element for element in ([] if section is None else kids(section, *tags))
            if (name := element.get("id"))}


def detach(root: Element, element: Element) -> None:
    """Take *element* out of the tree without losing the white space after it."""
    parent = parents_of(root).get(element)
    if parent is not None:
        parent.remove(element)


def plain_sets(element: Element, tag: str) -> List[Element]:
    """Sets of nvpairs that always hold: no rule, no reference to another set."""
    return [found for found in kids(element, tag) if not kids(found, "rule") and found.get("id-ref") is None]


def pairs_of(element: Element, tag: str) -> Dict[str, Optional[str]]:
    """name -> value of the plain sets below *element*; the first one wins."""
    result: Dict[str, Optional[str]] = {}
    for found in plain_sets(element, tag):
        for pair in kids(found, "nvpair"):
            if pair.get("id-ref") is None:
                result.setdefault(pair.get("name", ""), pair.get("value"))
    return result


def selected(alert: Element) -> Tuple[List[str], List[str]]:
    """What an alert is told of, by its element <select>: (events, names of node attributes), sorted; none of both
    without one.
    """
    select = alert.find("select")
    if select is None:
        return [], []
    return (sorted(kid.tag.replace("select_", "", 1) for kid in kids(select)),
            sorted(item.get("name", "") for item in select.iterfind("select_attributes/attribute")))


def operation_key(attributes: Mapping[str, str]) -> Tuple[Optional[str], Union[int, str]]:
    """What pacemaker tells operations apart by: name and interval (microseconds, or as it is written)."""
    interval = attributes.get("interval") or "0"
    duration = microseconds(interval)
    return attributes.get("name"), interval if duration is None else duration


def differs(one: Element, other: Element) -> bool:
    """True when two CIBs have different configurations (white space, counters and the status section apart)."""
    return canonical(configuration(one)) != canonical(configuration(other))


def canonical(element: Element) -> Tuple[Any, ...]:
    """An element as something to compare: order of attributes and white space apart."""
    return (element.tag, tuple(sorted(element.attrib.items())), (element.text or "").strip(),
            tuple(canonical(kid) for kid in kids(element)))
