# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which values of a CIB and of module parameters are secret, and texts without them. Pure functions."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Set
from xml.etree.ElementTree import Element

from ..values import boolean, text_of

MASK = "***"

_SECRET = re.compile(r"passw(or)?d|passphrase|secret", re.IGNORECASE)
_EMBEDDED = re.compile(r"(passw(?:or)?d\s*=\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s'\"]\S*)", re.IGNORECASE)


def is_secret(name: Optional[str]) -> bool:
    """True when values of a parameter of this name are never shown."""
    return bool(_SECRET.search(name or ""))


def mask_embedded(text: str) -> str:
    """A text in which the values of ``password=...`` are hidden."""
    return _EMBEDDED.sub(r"\1" + MASK, text)


def secret_values(root: Optional[Element] = None, given: Optional[Mapping[str, Any]] = None) -> List[str]:
    """All secret values in a CIB (root Element) and in module parameters (dict), longest first."""
    found: Set[Optional[str]] = set()
    if root is not None:
        found.update(pair.get("value") for pair in root.iter("nvpair") if is_secret(pair.get("name")))
    for mapping in _mappings(given or {}):
        found.update(text_of(value) for name, value in mapping.items()
                     if is_secret(str(name)) and isinstance(value, (str, int, float)))
    return sorted((value for value in found if value and boolean(value) is None), key=len, reverse=True)


def _mappings(value: Any) -> Iterator[Mapping[Any, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _mappings(item)


def mask_parameters(value: Any) -> Any:
    """A copy of module parameters in which secret values are hidden."""
    if isinstance(value, dict):
        return {key: MASK if is_secret(str(key)) and item is not None else mask_parameters(item)
                for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_parameters(item) for item in value]
    return mask_embedded(value) if isinstance(value, str) else value


def findable(values: Iterable[str]) -> List[str]:
    """Those of some secret values that can be looked for in texts. Very short ones would only garble them."""
    return [value for value in values if len(value) > 3]


def scrub(text: str, values: Iterable[str]) -> str:
    """Replace secret *values* in a tool's output; no tool prints values on purpose."""
    for value in findable(values):
        text = text.replace(value, MASK)
    return text


def mask_patch(text: str) -> str:
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
            hidden = element.tag == "nvpair" and is_secret(element.get("name"))
            element.set("value", MASK if hidden else mask_embedded(value))
    return ET.tostring(root, encoding="unicode") + "\n"
