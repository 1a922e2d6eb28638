# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the raw output of a host's own tools means. Pure functions on text and plain data."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, TypedDict


class _Address(TypedDict):
    interface: str
    address: str
    prefix: int
    network: str
    secondary: bool


class Address(_Address, total=False):
    """A global address of a host, see addresses()."""

    fleeting: bool


class Package(TypedDict, total=False):
    """Versions of a package, "" where there is none; {} stands for one that nobody has asked for."""

    installed: str
    candidate: str


class KeptAddress(TypedDict):
    """A shared address that a single hub keeps."""

    ip: str
    prefix: int


def addresses(ip_json: Iterable[Mapping[str, Any]]) -> List[Address]:
    """Global addresses out of `ip -j addr`: [{"interface", "address", "prefix", "network", "secondary"}].

    "fleeting" is in those that cannot be relied on: IPv6 addresses for privacy, deprecated ones, and such as are not in use
    yet or never will be, because another host has them (tentative, dadfailed).
    """
    found: List[Address] = []
    for link in ip_json:
        for item in link.get("addr_info", []):
            if item.get("scope") != "global" or "local" not in item:
                continue
            interface = ipaddress.ip_interface("%s/%s" % (item["local"], item["prefixlen"]))
            found.append({"interface": link["ifname"], "address": str(interface.ip), "prefix": item["prefixlen"],
                          "network": str(interface.network), "secondary": bool(item.get("secondary"))})
            if interface.version == 6 and any(item.get(flag) for flag in ("temporary", "deprecated", "tentative", "dadfailed")):
                found[-1]["fleeting"] = True
    return found


def apt_policy(text: str, names: Iterable[str]) -> Dict[str, Package]:
    """{name: {"installed", "candidate"}} out of `apt-cache policy`; "" where there is none."""
    found: Dict[str, Package] = {name: {"installed": "", "candidate": ""} for name in names}
    current = ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = line.rstrip(":")
        match = re.match(r"\s+(Installed|Candidate): (\S+)", line)
        if match and current in found:
            version = "" if match.group(2) == "(none)" else match.group(2)
            found[current]["installed" if match.group(1) == "Installed" else "candidate"] = version
    return found


def os_release(text: str) -> Dict[str, str]:
    """{"id", "version", "name"} out of /etc/os-release."""
    fields = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', text))
    return {"id": fields.get("ID", ""), "version": fields.get("VERSION_ID", ""),
            "name": fields.get("PRETTY_NAME", "")}


def listening(proc_net_tcp: str) -> Set[int]:
    """Ports in state LISTEN (0A) out of /proc/net/tcp or tcp6."""
    ports = set()
    for line in proc_net_tcp.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def kept_addresses(unit: Optional[str]) -> List[KeptAddress]:
    """[{"ip", "prefix"}] of the shared addresses that a single hub keeps, out of the unit that brings them up."""
    return [{"ip": text.split("/")[0], "prefix": int(text.split("/")[1])}
            for line in re.findall(r"(?m)^ExecStart=\S+(.*)$", unit or "")
            for text in line.split() if re.fullmatch(r"[0-9a-fA-F.:]+/\d+", text)]
