# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two hubs try each other's ports, here on two loopback addresses."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import Completed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import links
from ansible_collections.cfengine.hub_ha.plugins.modules import link_check

ONE, TWO = "127.0.0.1", "127.0.0.2"


def free_port(kind):
    """A port that is free on both addresses."""
    for dummy in range(50):
        with socket.socket(socket.AF_INET, kind) as first, socket.socket(socket.AF_INET, kind) as second:
            first.bind((ONE, 0))
            port = first.getsockname()[1]
            try:
                second.bind((TWO, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@pytest.fixture(name="ports")
def fixture_ports():
    return {"tcp_ports": [free_port(socket.SOCK_STREAM)], "udp_ports": [free_port(socket.SOCK_DGRAM)]}


@pytest.fixture(name="quick", autouse=True)
def fixture_quick(monkeypatch):
    monkeypatch.setattr(links, "LINGER", 0.3)
    monkeypatch.setattr(links, "NEIGHBOUR_WAIT", 0.3)


def params(own, peer, ports, timeout=3, **changes):
    return dict({"listen": [own], "peers": [peer], "peer_name": "hub2" if own == ONE else "hub1",
                 "timeout": timeout}, **dict(ports, **changes))


def probe(arguments):
    """What has not answered, as the module says it."""
    given = {name: value for name, value in arguments.items() if name != "peer_name"}
    return [dict(item.to_dict(), peer=arguments["peer_name"]) for item in links.unanswered(**given)]


def together(first, second, delay=0.0):
    """Results of both hubs, the second one beginning *delay* seconds later."""
    found = {}

    def run(name, arguments, wait):
        time.sleep(wait)
        found[name] = probe(arguments)

    threads = [threading.Thread(target=run, args=("first", first, 0)),
               threading.Thread(target=run, args=("second", second, delay))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found["first"], found["second"]


def missing(address, port, protocol, peer="hub2"):
    return {"peer": peer, "address": address, "port": port, "protocol": protocol}


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_both_reach_each_other(ports, delay):
    begin = time.monotonic()
    assert together(params(ONE, TWO, ports), params(TWO, ONE, ports), delay) == ([], [])
    assert time.monotonic() - begin < 3, "it does not wait for the time to be over"


def test_a_hub_that_does_not_listen_is_reported(ports):
    """The second hub lacks the UDP port and one TCP port: a firewall, seen from the first hub."""
    more = free_port(socket.SOCK_STREAM)
    tcp, udp = ports["tcp_ports"][0], ports["udp_ports"][0]
    first, second = together(params(ONE, TWO, {"tcp_ports": [tcp, more], "udp_ports": [udp]}, timeout=0.5),
                             params(TWO, ONE, {"tcp_ports": [tcp], "udp_ports": []}, timeout=0.5))
    assert first == sorted([missing(TWO, more, "tcp"), missing(TWO, udp, "udp")], key=lambda item: item["port"])
    assert second == []


def test_nobody_there(ports):
    begin = time.monotonic()
    found = probe(params(ONE, TWO, ports, timeout=0.5))
    assert found == sorted([missing(TWO, ports["tcp_ports"][0], "tcp"), missing(TWO, ports["udp_ports"][0], "udp")],
                           key=lambda item: item["port"])
    assert 0.5 <= time.monotonic() - begin < 3


def test_address_that_swallows_everything(ports):
    """240.0.0.0/4 is reserved: no route, or no answer."""
    begin = time.monotonic()
    found = probe(params(ONE, "240.0.0.1", ports, timeout=0.5))
    assert len(found) == 2 and time.monotonic() - begin < 4


def test_real_services_answer_instead_of_ours(ports):
    """Port taken on the own side: no error; taken on the other side: the service there answers."""
    tcp, udp = ports["tcp_ports"][0], ports["udp_ports"][0]
    with socket.socket() as service, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as corosync:
        service.bind((TWO, tcp))
        service.listen(5)
        corosync.bind((ONE, udp))
        first, second = together(params(ONE, TWO, ports, timeout=0.5), params(TWO, ONE, ports, timeout=0.5))
    assert first == [], "it cannot send from corosync's port, so it says nothing about UDP"
    assert second == [missing(ONE, udp, "udp", "hub1")], "a corosync that does not know this hub does not answer"


def test_only_our_answer_counts(ports):
    """Somebody else who echoes on the port is no hub."""
    udp = ports["udp_ports"][0]
    stop = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((TWO, udp))
        echo.settimeout(0.1)

        def serve():
            while not stop.is_set():
                try:
                    echo.sendto(b"hello", echo.recvfrom(64)[1])
                except socket.timeout:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        found = probe(params(ONE, TWO, {"tcp_ports": [], "udp_ports": [udp]}, timeout=0.5))
        stop.set()
        thread.join(5)
    assert found == [missing(TWO, udp, "udp")]


def test_address_of_somebody_else_cannot_be_listened_on(run_module):
    result = run_module(link_check, listen=["192.0.2.77"], peers=[TWO], peer_name="hub2", tcp_ports=[1], udp_ports=[])
    assert result["failed"] and "cannot listen on 192.0.2.77 port 1: " in result["msg"]


def test_nothing_is_left_open(ports):
    together(params(ONE, TWO, ports), params(TWO, ONE, ports))
    for port, kind in ((ports["tcp_ports"][0], socket.SOCK_STREAM), (ports["udp_ports"][0], socket.SOCK_DGRAM)):
        for address in (ONE, TWO):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
                sock.bind((address, port))


def test_no_ports_cost_no_time(monkeypatch):
    """On a pair only a new shared address is asked for."""
    monkeypatch.setattr(links, "LINGER", 60)
    assert probe(params(ONE, TWO, {"tcp_ports": [], "udp_ports": []})) == []


def neighbours(*answers):
    """A runner that gives these answers of `ip neigh` one after another, then the last one for ever.

    Until it is told to forget, it answers with somebody who had the address before.
    """
    left = [entry("DELAY")]

    def run(argv, **dummy):
        if argv == ["ip", "neigh", "flush", "to", ONE]:
            left[:] = answers
            return Completed(argv, 0, "", "")
        assert argv == ["ip", "-j", "neigh", "show", "to", ONE]
        return Completed(argv, 0, json.dumps(left.pop(0) if len(left) > 1 else left[0]), "")
    return run


def entry(*state):
    return [{"dst": ONE, "dev": "eth0", "lladdr": "02:42:c0:a8:64:64", "state": list(state)}]


def test_address_in_use():
    assert links.neighbour(neighbours([{"dst": ONE, "state": ["INCOMPLETE"]}], entry("REACHABLE")), ONE) \
        == "02:42:c0:a8:64:64"
    assert links.neighbour(neighbours(entry("DELAY")), ONE) == "02:42:c0:a8:64:64"


@pytest.mark.parametrize("answer", [[], [{"dst": ONE, "state": ["FAILED"]}], entry("STALE"), entry("FAILED")])
def test_address_that_is_free(answer):
    begin = time.monotonic()
    assert links.neighbour(neighbours(answer), ONE) is None
    assert 0.3 < time.monotonic() - begin < 3, "an answer needs its time"


def test_module(run_module, monkeypatch, ports):
    monkeypatch.setattr(link_check, "local_runner", neighbours(entry("REACHABLE")))
    for check in (True, False):
        found = run_module(link_check, check=check, free_addresses=[ONE], **params(ONE, TWO, ports, timeout=1))
        assert found["changed"] is False and found["taken"] == [{"address": ONE, "by": "02:42:c0:a8:64:64"}]
        assert sorted(item["protocol"] for item in found["unanswered"]) == ["tcp", "udp"]
