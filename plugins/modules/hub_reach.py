#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_reach
short_description: Any sign of life of other hubs, before one outside of their cluster takes over
version_added: "1.0.0"
description:
  - Tries TCP ports, and by UDP that of corosync, on each address, all at the same time. Accepting a connection is a sign
    of life, and so is refusing one - the host is there.
  - Silence is no proof that a hub is off. The network between may be down.
  - Changes nothing.
options:
  addresses:
    description: Addresses or names of the other hubs, and the addresses that they share.
    type: list
    elements: str
    required: true
  tcp_ports:
    description: TCP ports to try. Unless told otherwise SSH, PostgreSQL and cf-serverd.
    type: list
    elements: int
    default: [22, 5432, 5308]
  udp_ports:
    description: UDP ports to try. corosync answers no stranger; a host on which it does not run refuses.
    type: list
    elements: int
    default: [5405]
  timeout:
    description: Seconds after which silence is taken for silence.
    type: float
    default: 2.0
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: No hub of the pair is alive
  cfengine.hub_ha.hub_reach:
    addresses: [192.168.100.10, 192.168.100.11, 192.168.100.100]
  register: reach
  failed_when: reach.reached | length > 0
"""

RETURN = r"""
reached:
  description: Each sign of life, with address, port, how (accepts or refuses), and from, the host that has seen it.
  returned: always
  type: list
  elements: dict
  sample: [{"address": "192.168.100.10", "port": 22, "how": "accepts", "from": "hub3"}]
"""

import errno
import platform
import select
import socket
import time

from ansible.module_utils.basic import AnsibleModule


def resolved(addresses):
    """{(family, socket address without port): name as it was given}; a name that does not resolve is silent."""
    found = {}
    for name in addresses:
        try:
            for item in socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM):
                found.setdefault((item[0], item[4][0]), name)
        except socket.gaierror:
            continue
    return found


def begin(family, address, port, kind):
    """(socket, "accepts" or "refuses" or None): a connection on its way, or what is known at once."""
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    code = sock.connect_ex((address, port))
    if code == 0 and kind == socket.SOCK_DGRAM:
        sock.send(b"cfengine.hub_ha")  # whether anybody refuses it is heard later
        return sock, None
    return sock, outcome(code)


def outcome(code):
    """What an error number of a connection says of the host; None is nothing, or nothing yet."""
    return {0: "accepts", errno.ECONNREFUSED: "refuses", errno.ECONNRESET: "accepts"}.get(code)


def reach(addresses, tcp_ports, udp_ports, timeout):
    """[{"address", "port", "how"}] of every sign of life within *timeout* seconds."""
    waiting, found = {}, []
    for (family, address), name in resolved(addresses).items():
        for port, kind in [(port, socket.SOCK_STREAM) for port in tcp_ports] + [
                (port, socket.SOCK_DGRAM) for port in udp_ports]:
            sock, how = begin(family, address, port, kind)
            if how:
                found.append({"address": name, "port": port, "how": how})
                sock.close()
            else:
                waiting[sock] = (name, port, kind)
    deadline = time.monotonic() + timeout
    while waiting and time.monotonic() < deadline:
        streams = [sock for sock, item in waiting.items() if item[2] == socket.SOCK_STREAM]
        rest = [sock for sock in waiting if sock not in streams]
        if not streams and time.monotonic() > deadline - timeout / 2:
            break
        readable, writable, dummy = select.select(rest, streams, [], 0.1)
        for sock in set(readable + writable):
            name, port, kind = waiting.pop(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            how = outcome(code) if kind == socket.SOCK_STREAM or code else "accepts"
            if how:
                found.append({"address": name, "port": port, "how": how})
            sock.close()
    for sock in waiting:
        sock.close()
    return sorted(found, key=lambda item: (item["address"], item["port"]))


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "addresses": {"type": "list", "elements": "str", "required": True},
        "tcp_ports": {"type": "list", "elements": "int", "default": [22, 5432, 5308]},
        "udp_ports": {"type": "list", "elements": "int", "default": [5405]},
        "timeout": {"type": "float", "default": 2.0},
    })
    params = module.params
    found = reach(params["addresses"], params["tcp_ports"], params["udp_ports"], params["timeout"])
    module.exit_json(changed=False, reached=[dict(item, **{"from": platform.node()}) for item in found])


if __name__ == "__main__":
    main()
