#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: link_check
short_description: Ports that two hubs need between them, tried from both ends before anything runs
version_added: "1.0.0"
description:
  - Run on all hubs in one task. Each hub listens on the ports where nothing listens yet, and tries every
    address and port of the others until they answer or the time is over.
  - Also tells whether a shared address is in use by anybody (neighbour discovery on the local network).
  - Changes nothing and leaves nothing behind.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  listen:
    description: This hub's own addresses on the shared networks.
    type: list
    elements: str
    required: true
  peers:
    description: Addresses of the other hub on the shared networks.
    type: list
    elements: str
    required: true
  peer_name:
    description: Name of the other hub, for messages.
    type: str
    required: true
  tcp_ports:
    description: TCP ports to try on each address.
    type: list
    elements: int
    default: [5308, 5432]
  udp_ports:
    description: UDP ports to try on each address (corosync).
    type: list
    elements: int
    default: [5405]
  free_addresses:
    description: Shared addresses that nobody may have.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which an address and port that has not answered counts as unreachable.
    type: int
    default: 8
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: The hubs reach each other
  cfengine.hub_ha.link_check:
    listen: [192.168.0.10, 192.168.10.10]
    peers: [192.168.0.11, 192.168.10.11]
    peer_name: hub2
    free_addresses: [192.168.100.100]
"""

RETURN = r"""
unanswered:
  description: What did not answer, with peer, address, port and protocol.
  returned: always
  type: list
  elements: dict
taken:
  description: Shared addresses in use, with address and by (link-layer address of who has it).
  returned: always
  type: list
  elements: dict
"""

import errno
import fcntl
import json
import select
import socket
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts.probe import LINK_CHECK_LOCK

PROBE = b"cfengine.hub_ha link check"
ANSWER = b"cfengine.hub_ha link answer"
NEIGHBOUR_WAIT = 1.2  # seconds for the kernel to ask three times who has an address
LINGER = 1.5  # seconds a hub goes on answering after it has everything, for a peer that began later


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listeners(addresses, tcp_ports, udp_ports):
    """Open what is free; a port that is taken has its real service, which answers the peer instead."""
    tcp, udp, busy = [], [], set()
    for address in addresses:
        for port in tcp_ports + udp_ports:
            kind = socket.SOCK_STREAM if port in tcp_ports else socket.SOCK_DGRAM
            sock = socket.socket(family(address), kind)
            sock.setblocking(False)
            try:
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    sock.listen(16)
                    tcp.append(sock)
                else:
                    udp.append(sock)
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRINUSE:
                    raise HubError("cannot listen on %s port %d: %s" % (address, port, error.strerror))
                busy.add(port)
    return tcp, udp, busy


def try_tcp(address, port, timeout):
    """True when somebody accepts the connection within *timeout* seconds."""
    with socket.socket(family(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        return sock.connect_ex((address, port)) == 0


def serve(tcp, udp, heard, seconds):
    """Answer the peer for *seconds*; UDP answers to our own probes are noted in *heard*."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return
        for sock in select.select(tcp + udp, [], [], left)[0]:
            try:
                if sock in tcp:
                    sock.accept()[0].close()
                    continue
                data, sender = sock.recvfrom(64)
            except OSError:
                continue  # the peer has gone again since select() said that it was there
            if data == PROBE:
                sock.sendto(ANSWER, sender)
            elif data == ANSWER:
                heard.add(sender[:2])


def probe(params):
    tcp, udp, busy = listeners(params["listen"], params["tcp_ports"], params["udp_ports"])
    waiting = set((address, port, "tcp") for address in params["peers"] for port in params["tcp_ports"])
    waiting |= set((address, port, "udp") for address in params["peers"] for port in params["udp_ports"]
                   if port not in busy)
    heard = set()
    deadline = time.monotonic() + params["timeout"]
    try:
        while waiting and time.monotonic() < deadline:
            for address, port, protocol in sorted(waiting):
                if protocol == "tcp" and try_tcp(address, port, 0.2):
                    waiting.discard((address, port, protocol))
                if protocol == "udp":
                    for sock in udp:
                        own_address, own_port = sock.getsockname()[:2]
                        if own_port == port and family(own_address) == family(address):
                            try:
                                sock.sendto(PROBE, (address, port))
                            except OSError:
                                continue  # no route from that address; another one may have it
            serve(tcp, udp, heard, 0.15)
            waiting -= set((address, port, "udp") for address, port in heard)
        serve(tcp, udp, heard, LINGER if tcp + udp and not waiting else 0.1)
    finally:
        for sock in tcp + udp:
            sock.close()
    return [{"peer": params["peer_name"], "address": address, "port": port, "protocol": protocol}
            for address, port, protocol in sorted(waiting)]


def neighbour(run, address):
    """Link-layer address of whoever has *address*, or None after a second without an answer.

    What the kernel remembers is forgotten first: somebody who had the address a minute ago would be taken for its owner.
    """
    run(["ip", "neigh", "flush", "to", address], check=False)
    with socket.socket(family(address), socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"", (address, 9))
        except OSError:
            return None
    deadline = time.monotonic() + NEIGHBOUR_WAIT
    while time.monotonic() < deadline:
        entries = json.loads(run(["ip", "-j", "neigh", "show", "to", address]).out or "[]")
        found = [entry["lladdr"] for entry in entries
                 if entry.get("lladdr") and set(entry.get("state", [])) & {"REACHABLE", "DELAY", "PROBE"}]
        if found:
            return found[0]
        select.select([], [], [], 0.1)
    return None


def main():
    module = AnsibleModule(
        argument_spec=dict(
            listen=dict(type="list", elements="str", required=True),
            peers=dict(type="list", elements="str", required=True),
            peer_name=dict(type="str", required=True),
            tcp_ports=dict(type="list", elements="int", default=[5308, 5432]),
            udp_ports=dict(type="list", elements="int", default=[5405]),
            free_addresses=dict(type="list", elements="str", default=[]),
            timeout=dict(type="int", default=8),
        ),
        supports_check_mode=True,
    )
    try:
        with open(LINK_CHECK_LOCK, "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # an earlier one ends within its own time limit
            unreachable = probe(module.params)
        taken = []
        for address in module.params["free_addresses"]:
            by = neighbour(local_runner, address)
            if by:
                taken.append({"address": address, "by": by})
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, unanswered=unreachable, taken=taken)


if __name__ == "__main__":
    main()
