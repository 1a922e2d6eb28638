# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Any sign of life of other hubs, seen from where this runs. Changes nothing.

Three answers there are for an address and port: a sign of life ("accepts", "refuses"), silence, and "untried": this
host could not ask at all. Who decides by silence must take what was not tried for alive.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import select
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

Sign = Dict[str, Any]  # {"address", "port", "how", "from"}, with "untried" also "reason"
Target = Tuple[str, int, int]  # address as it was given, port, kind of socket

TCP_PORTS = [22, 5432, 5308]  # SSH, PostgreSQL, cf-serverd
UDP_PORTS = [5405]            # corosync
TIMEOUT = 2.0                 # seconds; a lost first packet is sent again after one
UNTRIED = "untried"

# linux/in.h, linux/in6.h, linux/errqueue.h; the socket module names none of them on Python 3.9.
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
ORIGIN_ICMP = (2, 3)
# What a filter answers: net, host and communication administratively prohibited (RFC 1812), prohibited (RFC 4443),
# failed policy, route rejected.
PROHIBITED = {2: ((3, 9), (3, 10), (3, 13)), 3: ((1, 1), (1, 5), (1, 6))}


def of_pair(known: Optional[Mapping[str, Any]]) -> List[str]:
    """Addresses of a pair's hubs and those that they share. known: a list of hubs (words.hub_list), or None."""
    known = known or {"hubs": {}, "shared": []}
    return [*(address for address, hub in known["hubs"].items() if hub.get("in_cluster") is not False),
            *known["shared"]]


def port_of_pair(known: Optional[Mapping[str, Any]]) -> List[int]:
    """The pair's PostgreSQL port, if the list names it: it does where there is a third hub."""
    text = str(((known or {}).get("third") or {}).get("port") or "")
    return [int(text)] if text.isdigit() else []


def sources(conf: Optional[str]) -> List[str]:
    """Addresses that a standby follows, out of the text of its settings (outside.conf) or None."""
    found = re.search(r"^primary_conninfo\s*=\s*'(?:.*\s)?host=([^\s']+)", conf or "", re.MULTILINE)
    return str(found.group(1)).split(",") if found else []


def resolved(names: Iterable[str], timeout: float) -> Dict[Tuple[int, str], str]:
    """{(family, socket address without port): name as it was given}.

    A name that does not resolve within *timeout* seconds is silent: name servers may be lost in the same disaster. The
    addresses behind it are in the list of hubs.
    """
    answers: Dict[str, Any] = {}
    found: Dict[Tuple[int, str], str] = {}

    def ask(name: str) -> None:
        try:
            answers[name] = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            pass
        except Exception as error:  # of a thread nobody would hear it
            answers[name] = error

    names = list(names)
    deadline = time.monotonic() + timeout
    asking = [Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(max(0, deadline - time.monotonic()))
    for name in names:
        answer = answers.get(name, ())
        if isinstance(answer, Exception):
            raise answer
        for item in answer:
            found.setdefault((item[0], item[4][0]), name)
    return found


class Aside:
    """look() in a thread, while the caller does something else. What fails there fails in result()."""

    def __init__(self, addresses: Sequence[str], tcp_ports: Sequence[int], udp_ports: Sequence[int],
                 timeout: float) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._looking = self._pool.submit(look, addresses, tcp_ports, udp_ports, timeout) if addresses else None

    def result(self) -> List[Sign]:
        """What was seen. Waits for it; raises what the look has raised."""
        try:
            return self._looking.result() if self._looking else []
        finally:
            self._pool.shutdown()


def look(addresses: Sequence[str], tcp_ports: Sequence[int], udp_ports: Sequence[int], timeout: float) -> List[Sign]:
    """reach(), and for each item "from", the host that has seen it."""
    return [dict(item, **{"from": platform.node()}) for item in reach(addresses, tcp_ports, udp_ports, timeout)]


def sign(target: Target, how: str, reason: str = "") -> Sign:
    """One item of reach()."""
    found = {"address": target[0], "port": target[1], "how": how}
    return dict(found, reason=reason) if how == UNTRIED else found


def begin(family: int, address: str, target: Target) -> Tuple[Optional[socket.socket], Optional[Sign]]:
    """(socket, None): a connection on its way; (None, sign): what is known at once."""
    sock = None
    try:
        sock = socket.socket(family, target[2])
        sock.setblocking(False)
        if sys.platform.startswith("linux"):  # a controller may be something else
            sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR, 1) if family == socket.AF_INET6
                              else (socket.IPPROTO_IP, IP_RECVERR, 1)))
        code = sock.connect_ex((address, target[1]))
        if code == 0 and target[2] == socket.SOCK_DGRAM:
            sock.send(b"cfengine.hub_ha")  # whether anybody refuses it is heard later
            return sock, None
        if code == errno.EINPROGRESS:
            return sock, None
    except OSError as error:
        code = error.errno or 0
    if sock is not None:
        sock.close()
    how = outcome(code)
    # Nothing of another host can have come so early: no route, a filter, no such family of addresses.
    return None, sign(target, how) if how else sign(target, UNTRIED, os.strerror(code))


def outcome(code: int) -> Optional[str]:
    """What an error number of a connection says of the host; None is nothing, or nothing yet."""
    return {0: "accepts", errno.ECONNREFUSED: "refuses", errno.ECONNRESET: "accepts"}.get(code)


def offence(sock: socket.socket) -> Tuple[Optional[str], bool]:
    """(address of who has sent the ICMP message in the socket's queue of errors, does a filter say so); (None, False)
    without one. See ip(7), IP_RECVERR.
    """
    try:
        ancillary = sock.recvmsg(512, 512, MSG_ERRQUEUE)[1]
    except OSError:
        return None, False
    for level, kind, data in ancillary:
        if (level, kind) not in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            continue
        dummy, origin, icmp, code = struct.unpack_from("IBBB", data)
        place = data[16:]
        if origin not in ORIGIN_ICMP or len(place) < 8:
            continue
        family = struct.unpack_from("H", place)[0]
        who = (socket.inet_ntop(family, place[4:8]) if family == socket.AF_INET
               else socket.inet_ntop(family, place[8:24]) if family == socket.AF_INET6 else None)
        return who, (icmp, code) in PROHIBITED[origin]
    return None, False


def ended(sock: socket.socket, address: str, target: Target) -> Optional[Sign]:
    """What a connection that has come to an end says, or None for silence (a router knows no such host)."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if target[2] == socket.SOCK_DGRAM and not code:
        return sign(target, "accepts")
    how = outcome(code)
    if how:
        return sign(target, how)
    who, filtered = offence(sock)
    if who == address:
        return sign(target, "refuses")  # its own filter: the host lives
    if filtered or code in (errno.EPERM, errno.EACCES):
        return sign(target, UNTRIED, os.strerror(code) + (" (%s filters it)" % who if filtered else ""))
    return None


def reach(addresses: Sequence[str], tcp_ports: Sequence[int], udp_ports: Sequence[int],
          timeout: float) -> List[Sign]:
    """[{"address", "port", "how"}] of every sign of life within *timeout* seconds.

    how: "accepts", "refuses", or "untried" for what this host could not ask, with "reason". What is not in it was asked
    and is silent.
    """
    waiting: Dict[socket.socket, Tuple[str, Target]] = {}
    found = []
    try:
        for (family, address), name in resolved(addresses, timeout).items():
            for target in [(name, port, int(socket.SOCK_STREAM)) for port in tcp_ports] + [
                    (name, port, int(socket.SOCK_DGRAM)) for port in udp_ports]:
                sock, known = begin(family, address, target)
                if known:
                    found.append(known)
                if sock:
                    waiting[sock] = (address, target)
        deadline = time.monotonic() + timeout
        while waiting and time.monotonic() < deadline:
            streams = [sock for sock, (dummy, target) in waiting.items() if target[2] == socket.SOCK_STREAM]
            rest = [sock for sock in waiting if sock not in streams]
            if not streams and time.monotonic() > deadline - timeout / 2:
                break
            readable, writable, dummy = select.select(rest, streams, [], 0.1)
            for sock in set(readable + writable):
                address, target = waiting.pop(sock)
                known = ended(sock, address, target)
                if known:
                    found.append(known)
                sock.close()
    finally:
        for sock in waiting:
            sock.close()
    return sorted(found, key=lambda item: (item["address"], item["port"], item["how"]))
