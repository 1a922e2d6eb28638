# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Any sign of life of other hubs, seen from where this runs. Changes nothing."""

from __future__ import annotations

import errno
import platform
import re
import select
import socket
import time
from threading import Thread

TCP_PORTS = [22, 5432, 5308]  # SSH, PostgreSQL, cf-serverd
UDP_PORTS = [5405]            # corosync
TIMEOUT = 2.0                 # seconds; a lost first packet is sent again after one


def of_pair(known):
    """Addresses of a pair's hubs and those that they share. known: a list of hubs (hub_model.hub_list), or None."""
    known = known or {"hubs": {}, "shared": []}
    return [address for address, hub in known["hubs"].items() if hub.get("in_cluster") is not False] + known["shared"]


def sources(conf):
    """Addresses that a standby follows, out of the text of its settings (outside.conf) or None."""
    found = re.search(r"^primary_conninfo\s*=\s*'(?:.*\s)?host=([^\s']+)", conf or "", re.MULTILINE)
    return found.group(1).split(",") if found else []


def resolved(names, timeout):
    """{(family, socket address without port): name as it was given}.

    A name that does not resolve within *timeout* seconds is silent: name servers may be lost in the same disaster.
    """
    answers, found = {}, {}

    def ask(name):
        try:
            answers[name] = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
        except socket.gaierror:
            pass

    deadline = time.monotonic() + timeout
    asking = [Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(max(0, deadline - time.monotonic()))
    for name in names:
        for item in answers.get(name, ()):
            found.setdefault((item[0], item[4][0]), name)
    return found


def look(addresses, tcp_ports, udp_ports, timeout):
    """reach(), and for each sign of life "from", the host that has seen it."""
    return [dict(item, **{"from": platform.node()}) for item in reach(addresses, tcp_ports, udp_ports, timeout)]


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
    for (family, address), name in resolved(addresses, timeout).items():
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
