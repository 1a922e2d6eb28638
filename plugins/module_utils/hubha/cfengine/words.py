# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What CFEngine's own tools and files say. Pure functions on text and plain data."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Optional

from ..core.text import first_version

# What each hub's own agent notes in masterfiles whenever it has checked the policy: no part of the policy.
POLICY_STAMPS = ("cf_promises_validated", "cf_promises_release_id")


def cfengine_version(text: str) -> Optional[str]:
    """"3.24.1" out of `cf-agent --version`."""
    return first_version(text)


def policy_server(text: Optional[str]) -> Optional[str]:
    """Address out of policy_server.dat: "ADDRESS" or "ADDRESS:PORT" (libpromises/bootstrap.c); None when empty."""
    words = (text or "").split()
    if not words:
        return None
    host = words[0]
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host


def key_digest(text: str) -> Optional[str]:
    """"SHA=..." or "MD5=..." out of `cf-key --print-digest`, or None."""
    match = re.search(r"(?:SHA|MD5)=[0-9a-f]+", text)
    return match.group(0) if match else None


def on_hubs(classes: Any, name: str) -> bool:
    """Does the "classes" part of augments define the class on hubs? Unless each expression leaves them out, yes.

    What is no text and no list of texts defines nothing: CFEngine takes it for an error of its own.
    """
    for key, value in classes.items() if isinstance(classes, dict) else ():
        if key.rpartition(":")[2] == name:
            value = value.get("class_expressions", []) if isinstance(value, dict) else value
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                return False
            return not texts or not all(re.search(r"!(am_policy_hub|policy_server|any)\b", text) for text in texts)
    return False


def hub_list(text: Optional[str]) -> Optional[Dict[str, Any]]:
    """The list of hubs out of its file's text: {"hubs": {address: {"name", "key", "public"}}, ...}; None without one.

    A file that is no such list counts as none: it is written anew.
    """
    try:
        data = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    hubs = data.get("hubs")
    if not isinstance(hubs, dict) or not hubs or not isinstance(data.get("shared"), list) or "vendor" not in data:
        return None
    for hub in hubs.values():
        if not isinstance(hub, dict) or not all(isinstance(hub.get(key), str) for key in ("name", "key", "public")):
            return None
    return data


def policy_list(show_vars: str, name: str) -> Optional[List[str]]:
    """The list variable *name* out of `cf-promises --show-vars`; None when it is not there."""
    for line in show_vars.splitlines():
        match = re.match(re.escape(name) + r"\s+\{(.*)\}(\s|$)", line)
        if match:
            return re.findall(r'"((?:[^"\\]|\\.)*)"', match.group(1))
    return None
