"""Firewalls that are closed: refused, or opened for exactly the hubs and ports. nftables on hub1; firewalld on hub2,
then ufw, which with nftables is closed again for the upgrades after this: they open both.
"""

from __future__ import annotations

import re
import time

import pytest
from conftest import written
from shared_hosts import get_host

# The operator's own: ssh, a writer of his reporting job, a blocklist.
NFTABLES = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    set bad { type ipv4_addr; elements = { 192.168.100.66 }; }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        ip saddr @bad drop
        tcp dport 22 accept
        ip saddr 192.168.100.0/24 tcp dport 5432 accept
    }
}
"""
UFW = "ufw allow 22/tcp && ufw allow from 192.168.100.21 to any port 8080 proto tcp comment 'reporting' && " \
      "ufw --force enable"
FIREWALLD = "firewall-cmd --permanent --zone=internal --change-interface=eth1 && " \
            "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=192.168.100.66 drop' && " \
            "firewall-cmd --reload"
# What a packet finds: "in" (somebody listens, or the kernel says that nobody does) or "out" (a firewall stops it).
REACH = r"""
import errno, socket, sys
from concurrent.futures import ThreadPoolExecutor

def look(word):
    address, port, kind = word.split(",")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    sock.settimeout(0.8)
    try:
        sock.connect((address, int(port)))
        if kind == "udp":
            sock.send(b"cfengine.hub_ha test")
            sock.recv(1)
        found = 0
    except socket.timeout:
        found = errno.ETIMEDOUT
    except OSError as error:
        found = error.errno
    return " ".join([address, port, kind, "in" if found in (0, errno.ECONNREFUSED) else "out"])

with ThreadPoolExecutor(20) as pool:
    print("\n".join(pool.map(look, sys.argv[1:])))
"""
MODULE = "cfengine.hub_ha.firewall"
TASK = "cfengine.hub_ha.firewall : Let in what the pair needs, and nothing else"


def reach(source, *targets):
    """{"ADDRESS PORT KIND": "in" or "out"} as the host *source* finds it."""
    source.run_expect([0], "cat >/tmp/reach.py <<'END'\n%sEND" % REACH)
    lines = source.check_output("python3 /tmp/reach.py " + " ".join(targets)).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


def exact(number, hub, other):
    """Whatever the pair needs is let in on the hub with this number; the client gets at CFEngine's port alone."""
    peer = ["192.168.%s.%d,%d,%s" % (net, number, port, kind) for net in ("0", "10", "100")
            for port, kind in ((5405, "udp"), (5432, "tcp"), (5308, "tcp"))]
    assert set(reach(other, *peer).values()) == {"in"}, reach(other, *peer)
    closed = ["192.168.%s.%d,%d,tcp" % (net, number, port) for net, port in (("0", 9999), ("10", 2224), ("100", 8081))]
    assert set(reach(other, *closed).values()) == {"out"}, "the other hub gets at nothing else"
    client = reach(get_host("client1"), *["192.168.100.%d,%s" % (number, end) for end in (
        "5308,tcp", "5405,udp", "9999,tcp") + (("5432,tcp",) if number == 11 else ())])
    assert client.pop("192.168.100.%d 5308 tcp" % number) == "in"
    assert set(client.values()) == {"out"}, client
    assert hub.check_output("hostname") == "hub%d" % (number - 9)


def firewalls(play, *arguments, **variables):
    """The play as far as the firewalls, and its seconds."""
    inventory = play.inventory(dict({"hub_ha_firewall": "manage", "preflight_link_timeout": 3}, **variables))
    begun = time.monotonic()
    done = play.command(["ansible-playbook", "-i", inventory, *arguments, "molecule/bad-input/firewall.yml"])
    print("firewalls: %.1f s" % (time.monotonic() - begun))
    return done


def module(play, host):
    """The module alone, with no rules: everything that it has added is taken away."""
    done = play.command(["ansible", "-i", play.inventory({}), host, "-m", MODULE])
    assert done.rc == 0 and done.output.count("changed: true") == 2, done.output


def install(hub, package):
    hub.run_expect([0], "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends " + package)


@pytest.fixture(scope="module", autouse=True, name="operators")
def fixture_operators(hub1, hub2):
    """The operator's own firewalls, as they are before."""
    install(hub2, "firewalld")
    hub2.run_expect([0], FIREWALLD)
    hub1.run_expect([0], "cat >/etc/nftables.conf <<'END'\n%sEND\nsystemctl enable --now nftables" % NFTABLES)


def test_closed_and_left_alone(refused):
    # UDP 5405 is not among them: both ends send to it, and a firewall takes the other's packets for answers.
    refused("hub1: hub2 (192.168.10.11) port 5432/tcp cannot be reached -> check cable",
            "on hub2 firewalld is active. To have it opened for exactly the hubs: hub_ha_firewall: manage. By hand, "
            "there: firewall-cmd --zone=internal --add-rich-rule='rule family=\"ipv4\" source "
            "address=\"192.168.10.10\" port port=\"5432\" protocol=\"tcp\" accept'",
            "on hub1 nftables is active. To have it opened for exactly the hubs: hub_ha_firewall: manage",
            variables={"preflight_link_timeout": 3})


def test_nftables_and_firewalld(play, hub1, hub2):
    before = hub1.check_output("nft list ruleset")
    failed = written()[1]
    done = firewalls(play, "--diff")
    assert done.rc == 0, done.output
    done.says("will be opened: nftables on hub1 (9 rules), firewalld on hub2 (9 rules); closed now: ",
              "192.168.10.11 5432/tcp")
    assert done.changes() == ["hub1: " + TASK, "hub2: " + TASK], done.output
    # Everything of the operator's is there, in its order.
    chain = re.compile(r"(?s)chain input \{(.*?)\}")
    rules = chain.search(hub1.check_output("nft list ruleset")).group(1)
    assert re.sub(r"\t\tjump hub_ha(_clients)?\n", "", rules) == chain.search(before).group(1)
    assert "192.168.100.66" in hub2.check_output("firewall-cmd --list-rich-rules")
    exact(10, hub1, hub2)
    exact(11, hub2, hub1)
    again = firewalls(play)
    assert again.rc == 0 and again.changes() == [], again.output
    again.says("nftables on hub1, firewalld on hub2; nothing is changed")
    # As after a boot.
    hub2.run_expect([0], "firewall-cmd --reload")
    hub1.run_expect([0], "systemctl reload nftables")
    exact(10, hub1, hub2)
    exact(11, hub2, hub1)
    assert written()[1] == failed == 0


def test_everything_is_taken_away_again(play, hub1, hub2):
    module(play, "hubs")
    assert "5308" not in hub2.check_output("firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones")
    assert "hub_ha" not in hub1.check_output("nft list ruleset")
    assert hub1.file("/etc/nftables.conf").content_string == NFTABLES
    assert not hub1.file("/etc/nftables-hub_ha.conf").exists
    assert "192.168.100.66" in hub2.check_output("firewall-cmd --list-rich-rules")
    assert set(reach(hub1, "192.168.0.11,5432,tcp", "192.168.0.11,5405,udp").values()) == {"out"}


def test_ufw_for_the_upgrades(play, hub1, hub2):
    hub2.run_expect([0], "DEBIAN_FRONTEND=noninteractive apt-get purge -y firewalld && nft flush ruleset")
    install(hub2, "ufw")
    hub2.run_expect([0], UFW)
    assert set(reach(hub1, "192.168.0.11,5432,tcp", "192.168.0.11,5405,udp").values()) == {"out"}
    play.always = {"hub_ha_firewall": "manage"}
