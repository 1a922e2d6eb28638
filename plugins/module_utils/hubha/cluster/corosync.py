# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""corosync.conf as data: parse, compare, bump the version, keep a running cluster's numbers. Pure functions."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

MAX_LINKS = 8  # knet, corosync.conf(5)


@dataclass(frozen=True)
class Member:
    """A node of a nodelist. name: lower case. number: its nodeid, None where the file has none. rings: {link number:
    address or name}.
    """

    name: str
    number: Optional[int]
    rings: Mapping[int, str]


@dataclass(frozen=True)
class Numbers:
    """Who has which number in a cluster: what must never change while it runs. version: of the configuration."""

    version: int
    members: Tuple[Member, ...]

    def node(self, name: str) -> Optional[int]:
        """Number of the node of that name; None of one that has none."""
        return next((member.number for member in self.members if member.name == name.lower()), None)

    def links(self) -> Dict[int, Tuple[str, ...]]:
        """{link number: addresses of the nodes on it}."""
        found: Dict[int, Tuple[str, ...]] = {}
        for member in self.members:
            for number, address in member.rings.items():
                found[number] = found.get(number, ()) + (address,)
        return found


def parse(text: str) -> Dict[str, Any]:
    """Parse corosync.conf into {"totem": {...}, "nodelist": {"node": [{...}, ...]}, ...}.

    Every section maps to a dict of its keys; sections that repeat (interface, node) are lists of
    dicts. Unknown keys are kept. Raises ValueError with the line number when braces do not match.
    """
    root: Dict[str, Any] = {}
    stack = [root]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.endswith("{"):
            name = line[:-1].strip()
            section: Dict[str, Any] = {}
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


def summary(text: str) -> Dict[str, Any]:
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


def body(text: str) -> str:
    """The text without its config_version line: what decides whether a new version is needed."""
    return re.sub(r"(?m)^\s*config_version:.*\n?", "", text)


def next_version(wanted: str, current_texts: Sequence[str]) -> int:
    """config_version for the *wanted* text (its own version line is ignored).

    current_texts: the files now on the hubs ("" where there is none). When every hub has the wanted
    body and they agree on a version, that version; otherwise one more than the highest (corosync
    refuses to load an older one).
    """
    versions: List[int] = [summary(text)["version"] for text in current_texts if text]
    same = all(text and body(text) == body(wanted) for text in current_texts)
    if same and len(set(versions)) == 1:
        return versions[0]
    return max(versions, default=0) + 1


def numbers(text: str) -> Numbers:
    """The numbers of nodes and links in a configuration. Raises ValueError as parse does."""
    data = parse(text)
    members = []
    for node in data.get("nodelist", {}).get("node", []):
        rings = {int(key[4:-5]): value for key, value in node.items() if re.fullmatch(r"ring\d+_addr", key)}
        number = node.get("nodeid", "")
        members.append(Member(node.get("name", "").lower(), int(number) if number.isdigit() else None, rings))
    return Numbers(summary(text)["version"], tuple(members))


def running(texts: Sequence[Optional[str]], names: Collection[str]) -> Optional[Numbers]:
    """The numbers of the cluster of these nodes, or None where there is none yet.

    texts: corosync.conf of each hub (None or "" where there is none). Of two that differ the higher config_version
    counts, since corosync loads no older one. What cannot be read, is a distribution's stock file or is the cluster
    of others does not count.
    """
    wanted = sorted(name.lower() for name in names)
    found = []
    for text in texts:
        try:
            if text and not summary(text)["stock"]:
                found.append(numbers(text))
        except ValueError:
            continue
    found = [item for item in found if sorted(member.name for member in item.members) == wanted]
    return max(found, key=lambda item: item.version) if found else None


def node_numbers(names: Sequence[str], known: Optional[Numbers]) -> Dict[str, int]:
    """{node name: nodeid}, the lowest first: those of the running cluster, and by the order of *names* where there is
    none. A nodeid that changes tears a running cluster apart.
    """
    found = {name: known.node(name) for name in names} if known else {}
    taken = [number for number in found.values() if number is not None]
    free = (number for number in range(1, len(names) + len(taken) + 1) if number not in taken)
    given = {name: found.get(name) or next(free) for name in names}
    return dict(sorted(given.items(), key=lambda item: item[1]))


def link_numbers(networks: Sequence[str], known: Optional[Numbers]) -> Dict[str, int]:
    """{network: link number} of the wanted links, by number.

    networks: CIDRs of the wanted links, eight at most. A link that runs keeps its number, whatever stands before it
    now; one that is new gets the lowest that nothing has, and while there is another not that of a link that goes with
    the same change; one that goes leaves a gap.
    """
    old = known.links() if known else {}
    given: Dict[str, int] = {}
    for network in networks:
        number = link_of(network, known)
        if number is not None and number not in given.values():
            given[network] = number
    for network in networks:
        if network not in given:
            free = [number for number in range(MAX_LINKS) if number not in given.values()]
            given[network] = next((number for number in free if number not in old), free[0])
    return dict(sorted(given.items(), key=lambda item: item[1]))


def link_of(network: str, known: Optional[Numbers]) -> Optional[int]:
    """Number of the running link on that network, or None."""
    return min((number for number, addresses in (known.links() if known else {}).items()
                if any(inside(address, network) for address in addresses)), default=None)


def inside(address: str, network: str) -> bool:
    """True when the address is one of that network. A name is no address."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False
