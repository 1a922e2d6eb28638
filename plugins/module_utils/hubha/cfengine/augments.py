# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CFEngine's augments (def.json): putting our part in and leaving the operator's as it is. Pure, but for ensure().

What is wanted is a dict with any of

* ``classes``: {class: [expression]}, set to exactly these;
* ``inputs``: [policy file], each in the list of inputs, after the operator's;
* ``lists``: {variable: {"items": [text], "default": [text]}}, each item in the variable's list; "default" is what the
  policy framework takes while nobody sets the variable, and comes first when it has to be made;
* ``defaults``: {variable: value}, set only while nobody has set it;
* ``absent``: {"classes": [class], "lists": {variable: [text]}}, classes and items of lists that must not be there.

A variable may be spelt NAME, def.NAME or default:def.NAME, in "vars" or (with {"value": ...}) in "variables":
reference of CFEngine 3.24, "Augments".
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core.files import read_text
from ..core.run import HubError
from ..host import owners

SPELLINGS = ("%s", "def.%s", "default:def.%s")


def parse(text: Optional[str]) -> Dict[str, Any]:
    """The augments as a dict; {} for no text. Raises ValueError, in words for the operator."""
    data = json.loads(text) if text and text.strip() else {}
    if not isinstance(data, dict):
        raise ValueError("the file is not an object")
    for key in ("classes", "vars", "variables"):
        if not isinstance(data.get(key, {}), dict):
            raise ValueError('"%s" is not an object' % key)
    if not isinstance(data.get("inputs", []), list):
        raise ValueError('"inputs" is not a list')
    return data


def find(data: Dict[str, Any], name: str) -> Optional[Tuple[Dict[str, Any], str]]:
    """(dict, key) that holds the variable's value, or None when nobody sets it."""
    for spelling in SPELLINGS:
        key = spelling % name
        if key in data.get("variables", {}):
            entry = data["variables"][key]
            return (entry, "value") if isinstance(entry, dict) and "value" in entry else (data["variables"], key)
        if key in data.get("vars", {}):
            return data["vars"], key
    return None


def add_to_list(data: Dict[str, Any], name: str, items: Sequence[str], default: Sequence[str]) -> None:
    """The variable's list has every item; a single text counts as a list of one, anything else raises ValueError."""
    place = find(data, name)
    if place is None:
        data.setdefault("vars", {})[name] = list(default) + [item for item in items if item not in default]
        return
    holder, key = place
    old: List[str] = [holder[key]] if isinstance(holder[key], str) else holder[key]
    if not isinstance(old, list) or not all(isinstance(item, str) for item in old):
        raise ValueError('the variable "%s" is no list of texts' % name)
    new = old + [item for item in items if item not in old]
    if new != old:
        holder[key] = new


def take_from_list(data: Dict[str, Any], name: str, items: Sequence[str]) -> None:
    """The variable's list has none of the items; a variable that is no list is the operator's business."""
    place = find(data, name)
    if place and isinstance(place[0][place[1]], list):
        holder, key = place
        holder[key] = [item for item in holder[key] if item not in items]


def merge(text: Optional[str], wanted: Mapping[str, Any]) -> str:
    """The text of the augments with what is wanted in it; the very same text when it is all there.

    text: the file now, or None. Raises ValueError when it is not what CFEngine reads.
    """
    data = parse(text)
    new = copy.deepcopy(data)
    for name, expressions in wanted.get("classes", {}).items():
        new.setdefault("classes", {})[name] = list(expressions)
    missing = [item for item in wanted.get("inputs", []) if item not in new.get("inputs", [])]
    if missing:
        new["inputs"] = new.get("inputs", []) + missing
    for name, part in wanted.get("lists", {}).items():
        add_to_list(new, name, part["items"], part.get("default", []))
    for name, value in wanted.get("defaults", {}).items():
        if find(new, name) is None:
            new.setdefault("vars", {})[name] = value
    absent = wanted.get("absent") or {}
    for name in absent.get("classes", []):
        new.get("classes", {}).pop(name, None)
    for name, items in absent.get("lists", {}).items():
        take_from_list(new, name, items)
    if text and new == data:
        return text
    return json.dumps(new, indent=2, ensure_ascii=False) + "\n"


def excerpt(text: Optional[str], wanted: Mapping[str, Any]) -> str:
    """Those parts of the augments that *wanted* names, as text for a diff; an operator's other values stay unseen."""
    if not text or not text.strip():
        return ""
    data = parse(text)
    absent = wanted.get("absent") or {}
    classes = list(wanted.get("classes", {})) + list(absent.get("classes", []))
    variables: Dict[str, Any] = {}
    for name in [*wanted.get("lists", {}), *wanted.get("defaults", {}), *absent.get("lists", {})]:
        place = find(data, name)
        variables[name] = place[0][place[1]] if place else None
    part = {"classes": {name: data["classes"][name] for name in classes if name in data.get("classes", {})},
            "inputs": data.get("inputs", []) if wanted.get("inputs") else [], "vars": variables}
    return json.dumps({key: value for key, value in part.items() if value}, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be. text: of the file. before, after: the parts that are wanted, for a diff."""

    changed: bool
    text: str
    before: str
    after: str


def ensure(path: str, wanted: Mapping[str, Any], check: bool = False) -> Outcome:
    """What is wanted is in the file, which is made, with mode 0600, when it does not exist. check: only tell.

    Raises HubError.
    """
    try:
        old = read_text(path)
        new = merge(old, wanted)
        before, after = excerpt(old, wanted), excerpt(new, wanted)
        if new != old and not check:
            owners.rewrite(path, new, 0o600)
    except ValueError as error:
        raise HubError("%s: %s. Correct the file; it is merged, not replaced." % (path, error)) from error
    except OSError as error:
        raise HubError("cannot write %s: %s" % (path, error)) from error
    return Outcome(new != old, new, before, after)
