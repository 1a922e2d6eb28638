# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Adds the shared addresses that this hub has kept, and tells the neighbours of them. Arguments: ADDRESS/PREFIX ...

Run at boot by hub-ha-address.service. The interface is the one with an address of the same network, whatever its name
is today. An address that is there is left as it is. Managed by Ansible, role cfengine.hub_ha.shared_address.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
import time

PATIENCE = 120  # seconds for the network to come up
ARP, ANNOUNCEMENTS = 0x0806, 3


def interfaces():
    """What `ip` knows of every interface."""
    return json.loads(subprocess.run(["ip", "-j", "addr", "show"], check=True, stdout=subprocess.PIPE).stdout)


def place(links, wanted):
    """(interface's name, its link address, whether the address is there); None while no interface is in its network."""
    for link in links:
        own = [item for item in link.get("addr_info", []) if item.get("scope") == "global" and "local" in item]
        local = [ipaddress.ip_address(item["local"]) for item in own]
        if any(item in wanted.network and item != wanted.ip for item in local):
            return link["ifname"], link.get("address"), wanted.ip in local
    return None


def announcement(address, link_address):
    """A gratuitous ARP request as a frame (RFC 5944, 4.6): this address is at this link address."""
    mac = bytes.fromhex(link_address.replace(":", ""))
    packed = ipaddress.ip_address(address).packed
    return b"\xff" * 6 + mac + ARP.to_bytes(2, "big") + b"\x00\x01\x08\x00\x06\x04\x00\x01" \
        + mac + packed + b"\x00" * 6 + packed


def announce(name, link_address, address):
    """Tell the neighbours; for IPv6 the kernel does it by itself."""
    if ipaddress.ip_address(address).version != 4 or len((link_address or "").split(":")) != 6:
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((name, ARP))
        for number in range(ANNOUNCEMENTS):
            if number:
                time.sleep(0.5)
            link.send(announcement(address, link_address))


def main(arguments):
    """Add and announce each; ends with an error when there is no interface for one of them."""
    deadline = time.monotonic() + PATIENCE
    for text in arguments:
        wanted = ipaddress.ip_interface(text)
        found = place(interfaces(), wanted)
        while found is None and time.monotonic() < deadline:
            time.sleep(1)
            found = place(interfaces(), wanted)
        if found is None:
            sys.exit("no interface has an address in %s" % wanted.network)
        name, link_address, there = found
        if not there:
            subprocess.run(["ip", "addr", "replace", text, "dev", name], check=True)
        announce(name, link_address, str(wanted.ip))


if __name__ == "__main__":
    main(sys.argv[1:])
