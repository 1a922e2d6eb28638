# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells the network that a shared address is here, and not where it was a moment ago.

Two primaries may both have had the address: neighbours and routers send to the one that announced it last, for as long as
their table keeps it (half a minute and more). Whoever goes on has had it all the time, so nobody announces it again.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from typing import Iterable, List, Tuple

NET = "/sys/class/net"
ARP, IPV4 = 0x0806, 0x0800
REQUEST, REPLY = 1, 2
ALL_NODES = "ff02::1"
ADVERTISEMENT, OVERRIDE, TARGET_LINK = 136, 0x20000000, 2  # RFC 4861: type, flag, option


def mac_of(interface: str, net: str = NET) -> bytes:
    """Hardware address of an interface, 6 bytes; another length where it has another kind. OSError without one."""
    with open(os.path.join(net, interface, "address"), encoding="ascii") as stream:
        return bytes.fromhex(stream.read().strip().replace(":", ""))


def arp_frames(mac: bytes, address: str) -> List[bytes]:
    """An IPv4 address announced as a request (RFC 5227, 2.3) and as a reply: some stacks heed one, some the other."""
    ip = ipaddress.IPv4Address(address).packed
    everybody, nobody = b"\xff" * 6, b"\0" * 6
    head = everybody + mac + struct.pack("!H", ARP)
    return [head + struct.pack("!HHBBH", 1, IPV4, 6, 4, kind) + mac + ip + target + ip
            for kind, target in ((REQUEST, nobody), (REPLY, everybody))]


def advertisement(mac: bytes, address: str) -> bytes:
    """An unsolicited neighbour advertisement (RFC 4861, 7.2.6) without its checksum, which the kernel puts in."""
    return (struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE) + ipaddress.IPv6Address(address).packed
            + struct.pack("!BB", TARGET_LINK, 1) + mac)


def send(here: Iterable[Tuple[str, int, str]]) -> List[str]:
    """Announce addresses of this hub: (address, prefix, interface). Returns those that were sent; what cannot be is left
    out (an interface without a hardware address, a cable that is out).
    """
    sent = []
    for address, dummy, interface in here:
        try:
            mac = mac_of(interface)
            if len(mac) != 6:
                continue
            if ":" not in address:
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP)) as channel:
                    channel.bind((interface, ARP))
                    for frame in arp_frames(mac, address):
                        channel.send(frame)
            else:
                index = socket.if_nametoindex(interface)
                with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as channel:
                    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)  # or nobody heeds it
                    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                    channel.bind((address, 0, 0, index))
                    channel.sendto(advertisement(mac, address), (ALL_NODES, 0, 0, index))
            sent.append(address)
        except (OSError, ValueError):
            continue
    return sent
