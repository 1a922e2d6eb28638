# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do hosts get through to each other's ports? Tried by all of them at the same time, before the services are there.

Each listens on the ports that are free and tries those of the others. Also: has anybody an address that should be free?
"""

from __future__ import annotations

import errno
import fcntl
import json
import select
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from ..core.run import HubError, Runner
from .link_lock import LOCK

PROBE = b"cfengine.hub_ha link check"
ANSWER = b"cfengine.hub_ha link answer"
NEIGHBOUR_WAIT = 1.2  # seconds for the kernel to ask three times who has an address
LINGER = 1.5  # seconds a hub goes on answering after it has everything, for a peer that began later


@dataclass(frozen=True, order=True)
class Target:
    """A port of another host. protocol: tcp or udp."""

    address: str
    port: int
    protocol: str

    def to_dict(self) -> Dict[str, Any]:
        """{"address", "port", "protocol"}."""
        return asdict(self)


def family(address: str) -> socket.AddressFamily:
    """The family of an IPv4 or IPv6 address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listeners(addresses: Sequence[str], tcp_ports: Sequence[int],
              udp_ports: Sequence[int]) -> Tuple[List[socket.socket], List[socket.socket], Set[int]]:
    """(TCP sockets, UDP sockets, ports that are taken): open what is free.

    A port that is taken has its real service, which answers the peer instead. Raises HubError.
    """
    tcp: List[socket.socket] = []
    udp: List[socket.socket] = []
    busy = set()
    for address in addresses:
        for port in [*tcp_ports, *udp_ports]:
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
                    raise HubError("cannot listen on %s port %d: %s" % (address, port, error.strerror)) from error
                busy.add(port)
    return tcp, udp, busy


def accepts(address: str, port: int, timeout: float) -> bool:
    """True when somebody accepts the connection within *timeout* seconds."""
    with socket.socket(family(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        return sock.connect_ex((address, port)) == 0


def send_probes(udp: Sequence[socket.socket], address: str, port: int) -> None:
    """Ask a port over UDP, from each own socket of that port and family."""
    for sock in udp:
        own_address, own_port = sock.getsockname()[:2]
        if own_port == port and family(own_address) == family(address):
            try:
                sock.sendto(PROBE, (address, port))
            except OSError:
                continue  # no route from that address; another one may have it


def serve(tcp: Sequence[socket.socket], udp: Sequence[socket.socket], heard: Set[Tuple[str, int]],
          seconds: float) -> None:
    """Answer the peer for *seconds*; UDP answers to our own probes are noted in *heard*."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return
        for sock in select.select([*tcp, *udp], [], [], left)[0]:
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


def unanswered(listen: Sequence[str], peers: Sequence[str], tcp_ports: Sequence[int], udp_ports: Sequence[int],
               timeout: float) -> List[Target]:
    """What of the peers' ports has not answered within *timeout* seconds, sorted.

    listen: this host's addresses. peers: the others'. A UDP port that is taken here is not tried. Raises HubError when
    an address cannot be listened on.
    """
    tcp, udp, busy = listeners(listen, tcp_ports, udp_ports)
    waiting = {Target(address, port, "tcp") for address in peers for port in tcp_ports}
    waiting |= {Target(address, port, "udp") for address in peers for port in udp_ports if port not in busy}
    heard: Set[Tuple[str, int]] = set()
    deadline = time.monotonic() + timeout
    try:
        while waiting and time.monotonic() < deadline:
            for target in sorted(waiting):
                if target.protocol == "udp":
                    send_probes(udp, target.address, target.port)
                elif accepts(target.address, target.port, 0.2):
                    waiting.discard(target)
            serve(tcp, udp, heard, 0.15)
            waiting -= {Target(address, port, "udp") for address, port in heard}
        serve(tcp, udp, heard, LINGER if tcp + udp and not waiting else 0.1)
    finally:
        for sock in tcp + udp:
            sock.close()
    return sorted(waiting)


def try_alone(listen: Sequence[str], peers: Sequence[str], tcp_ports: Sequence[int], udp_ports: Sequence[int],
              timeout: float) -> List[Target]:
    """unanswered(), while no other one listens on this host: an earlier one ends within its own time limit."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return unanswered(listen, peers, tcp_ports, udp_ports, timeout)


def neighbour(run: Runner, address: str) -> Optional[str]:
    """Link-layer address of whoever has *address*, or None after a second without an answer.

    What the kernel remembers is forgotten first: who had the address a minute ago would be taken for its owner.
    """
    run(["ip", "neigh", "flush", "to", address], check=False)
    with socket.socket(family(address), socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"", (address, 9))
        except OSError:
            return None
    deadline = time.monotonic() + NEIGHBOUR_WAIT
    while time.monotonic() < deadline:
        for entry in json.loads(run(["ip", "-j", "neigh", "show", "to", address]).out or "[]"):
            if entry.get("lladdr") and set(entry.get("state", [])) & {"REACHABLE", "DELAY", "PROBE"}:
                return str(entry["lladdr"])
        time.sleep(0.1)
    return None


def taken(run: Runner, addresses: Sequence[str]) -> List[Dict[str, str]]:
    """[{"address", "by" (link-layer address)}] of the *addresses* that somebody has."""
    found = ((address, neighbour(run, address)) for address in addresses)
    return [{"address": address, "by": by} for address, by in found if by]
