# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's three networks: bridges in the namespace, and each host's own cables.

A host's network namespace is made here, not by podman: the names eth0..eth2 are always in the
same order, addresses are there before systemd starts, and a power cut can pull the cables
first, so that peers see silence (a killed process would still say good-bye on its sockets).
"""

from __future__ import annotations

import hashlib
import re

from lab.shell import LabError, run

# name: (interface on the host, bridge, prefix of the address)
NETWORKS = {
    "heartbeat": ("eth0", "heartbeat", "192.168.0."),
    "replication": ("eth1", "replication", "192.168.10."),
    "clients": ("eth2", "clients", "192.168.100."),
}
SHORT = {"heartbeat": "hb", "replication": "rep", "clients": "cli"}
SHARED_ADDRESS = "192.168.100.100"
MAX_HUBS, MAX_CLIENTS = 9, 40


def number(host):
    """Last octet of a host's addresses: hub1 is 10, hub2 is 11, client1 is 21.

    Raises LabError for any other name.
    """
    match = re.fullmatch(r"(hub|client)([1-9][0-9]?)", host)
    if match:
        index = int(match.group(2))
        if match.group(1) == "hub" and index <= MAX_HUBS:
            return 9 + index
        if match.group(1) == "client" and index <= MAX_CLIENTS:
            return 20 + index
    raise LabError("%r is no host of the lab. Hosts are called hub1 to hub%d and client1 to client%d."
                   % (host, MAX_HUBS, MAX_CLIENTS))


def address(host, net="clients"):
    """A host's address in one of the networks."""
    return NETWORKS[net][2] + str(number(host))


def cable(host, net):
    """Name of the near end of a host's cable, plugged into the bridge."""
    return "%s-%s" % (host, SHORT[net])


def mac(host, net):
    """A hardware address that stays the same over a power cycle."""
    digest = hashlib.sha256(("%s %s" % (host, net)).encode()).hexdigest()
    return "02:" + ":".join(digest[i:i + 2] for i in range(0, 10, 2))


def hosts_file():
    """Text of /etc/hosts for the controller and for every host."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += ["%s %s" % (address(h), h) for h in ["hub%d" % n for n in range(1, 4)]]
    lines += ["%s %s" % (address(h), h) for h in ["client%d" % n for n in range(1, 11)]]
    lines.append("%s hub" % SHARED_ADDRESS)
    return "\n".join(lines) + "\n"


def batch(lines, *options):
    """Many ip(8) commands in one call."""
    run(["ip", *options, "-batch", "-"], stdin="\n".join(lines) + "\n", timeout=30)


def make_bridges():
    """The three bridges; the controller is .1 on each."""
    lines = ["link set lo up"]
    for _interface, bridge, prefix in NETWORKS.values():
        lines += ["link add %s type bridge stp_state 0 forward_delay 0" % bridge,
                  "addr add %s1/24 dev %s" % (prefix, bridge),
                  "link set %s up" % bridge]
    batch(lines)


def plug_in(host):
    """Give *host* a fresh network namespace (/run/netns/HOST) with its three interfaces."""
    unplug(host)
    run(["ip", "netns", "add", host], timeout=30)
    outer, inner = [], ["link set lo up"]
    for net, (interface, bridge, _prefix) in NETWORKS.items():
        near = cable(host, net)
        outer += ["link add %s type veth peer name %s address %s netns %s" % (near, interface, mac(host, net), host),
                  "link set %s master %s up" % (near, bridge)]
        inner += ["addr add %s/24 dev %s" % (address(host, net), interface), "link set %s up" % interface]
    batch(outer)
    batch(inner, "-n", host)


def unplug(host):
    """Take a host's namespace and cables away, if there are any."""
    present = run(["ip", "-o", "link", "show"], timeout=30).stdout
    batch(["link del %s" % cable(host, net) for net in NETWORKS if " %s@" % cable(host, net) in present]
          or ["link show lo"])
    if host in run(["ip", "netns", "list"], timeout=30).stdout.split():
        run(["ip", "netns", "del", host], timeout=30)


def pull(host, nets, up=False):
    """Pull the near ends of some cables (or plug them in again): the host sees its carrier go."""
    batch(["link set %s %s" % (cable(host, net), "up" if up else "down") for net in nets])
