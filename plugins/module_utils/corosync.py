# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""corosync.conf as data: parse, compare, bump the version. Pure functions."""

from __future__ import annotations

import re


def parse(text):
    """Parse corosync.conf into {"totem": {...}, "nodelist": {"node": [{...}, ...]}, ...}.

    Every section maps to a dict of its keys; sections that repeat (interface, node) are lists of
    dicts. Unknown keys are kept. Raises ValueError with the line number when braces do not match.
    """
    root = {}
    stack = [root]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.endswith("{"):
            name = line[:-1].strip()
            section = {}
            if name in ("node", "interface"):
                stack[-1].setdefault(name, []).append(section)
            else:
                section = stack[-1].setdefault(name, {})
            stack.append(section)
        elif line == "}":
            if len(stack) == 1:
                raise ValueError("corosync.conf line %d: a brace is closed that was not opened" % number)
            stack.pop()
        elif ":" in line:
            key, value = line.split(":", 1)
            stack[-1][key.strip()] = value.strip()
        else:
            raise ValueError("corosync.conf line %d is neither a section nor a 'key: value'" % number)
    if len(stack) != 1:
        raise ValueError("corosync.conf ends inside a section that is not closed")
    return root


def summary(text):
    """What later steps decide on: {"name", "version" (int), "nodes": {name: [addresses]}, "stock" (bool)}.

    stock: the configuration that a distribution's package brings, which describes no real cluster
    (Debian: one node at 127.0.0.1). No comment counts for that, only the addresses.
    """
    data = parse(text)
    nodes = {}
    for node in data.get("nodelist", {}).get("node", []):
        addresses = [node[key] for key in sorted(node) if re.match(r"ring\d+_addr$", key)]
        nodes[node.get("name", addresses[0] if addresses else "?")] = addresses
    addresses = [address for rings in nodes.values() for address in rings]
    # Without a list of nodes a cluster finds itself by multicast.
    addresses += [item["bindnetaddr"] for item in data.get("totem", {}).get("interface", []) if "bindnetaddr" in item]
    version = data.get("totem", {}).get("config_version", "0")
    return {
        "name": data.get("totem", {}).get("cluster_name", ""),
        "version": int(version) if version.isdigit() else 0,
        "nodes": nodes,
        "stock": all(address.startswith("127.") or address == "::1" for address in addresses),
    }


def body(text):
    """The text without its config_version line: what decides whether a new version is needed."""
    return re.sub(r"(?m)^\s*config_version:.*\n?", "", text)


def next_version(wanted, current_texts):
    """config_version for the *wanted* text (its own version line is ignored).

    current_texts: the files now on the hubs ("" where there is none). When every hub has the wanted
    body and they agree on a version, that version; otherwise one more than the highest (corosync
    refuses to load an older one).
    """
    versions = [summary(text)["version"] for text in current_texts if text]
    same = all(text and body(text) == body(wanted) for text in current_texts)
    if same and len(set(versions)) == 1:
        return versions[0]
    return max(versions or [0]) + 1
