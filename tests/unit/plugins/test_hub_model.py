# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the raw output of a hub's tools means."""

from __future__ import annotations

import os
import re

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import words
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import summary
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import first_version, tree_digest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import postgres as pg_facts
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import system, units
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import config as pg_config

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures")

IP_ADDR = [
    {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
    {"ifname": "ifb0", "flags": ["NOARP"], "addr_info": []},
    {"ifname": "eth0", "addr_info": [
        {"family": "inet", "local": "192.168.100.10", "prefixlen": 24, "broadcast": "192.168.100.255",
         "scope": "global", "label": "eth0"},
        {"family": "inet", "local": "192.168.100.100", "prefixlen": 24, "scope": "global", "secondary": True},
        {"family": "inet6", "local": "fd00:0:0::2", "prefixlen": 64, "scope": "global", "nodad": True},
        {"family": "inet6", "local": "fe80::fc:ff:fe00:1", "prefixlen": 64, "scope": "link"}]},
    {"ifname": "tun0", "addr_info": [{"family": "inet", "scope": "global"}, {}]}]

SYSTEMCTL = """Id=corosync.service
LoadState=loaded
ActiveState=active
UnitFileState=disabled

Id=cf-postgres.service
LoadState=masked
ActiveState=inactive
UnitFileState=masked

Id=cf-php-fpm.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
"""

APT = """corosync:
  Installed: 3.1.9-2
  Candidate: 3.1.9-2
  Version table:
 *** 3.1.9-2 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
pacemaker:
  Installed: (none)
  Candidate: 3.0.0-3
  Version table:
     3.0.0-3 500
postgresql-13:
  Installed: (none)
  Candidate: (none)
  Version table:
N: Unable to locate package nosuch
other:
  Installed: 1
"""

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:14BC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1065 1 0000 100 0 0 10 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 1066 1 0000 100 0 0 10 0
   2: 020200C0:E14C 507100CB:0050 06 00000000:00000000 03:0000144F 00000000     0        0 0 3 0000
   3: 020200C0:0016 507100CB:0050 01 00000000:00000000 03:0000144F 00000000     0        0 0 3 0000
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
"""


def test_addresses():
    assert system.addresses(IP_ADDR) == [
        {"interface": "eth0", "address": "192.168.100.10", "prefix": 24, "network": "192.168.100.0/24",
         "secondary": False},
        {"interface": "eth0", "address": "192.168.100.100", "prefix": 24, "network": "192.168.100.0/24",
         "secondary": True},
        {"interface": "eth0", "address": "fd00::2", "prefix": 64, "network": "fd00::/64", "secondary": False}]
    assert system.addresses([]) == []


def test_units():
    assert units.parse(SYSTEMCTL) == {
        "corosync": {"load": "loaded", "active": "active", "enabled": "disabled"},
        "cf-postgres": {"load": "masked", "active": "inactive", "enabled": "masked"},
        "cf-php-fpm": {"load": "not-found", "active": "inactive", "enabled": ""}}
    assert units.parse("") == {}


def test_apt_policy():
    names = ["corosync", "pacemaker", "postgresql-13", "nosuch"]
    assert system.apt_policy(APT, names) == {
        "corosync": {"installed": "3.1.9-2", "candidate": "3.1.9-2"},
        "pacemaker": {"installed": "", "candidate": "3.0.0-3"},
        "postgresql-13": {"installed": "", "candidate": ""}, "nosuch": {"installed": "", "candidate": ""}}


def test_os_release():
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n'
    assert system.os_release(text) == {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13 (trixie)"}
    assert system.os_release("") == {"id": "", "version": "", "name": ""}


def test_listening_ports_only():
    assert system.listening(TCP) == {5308, 5432}
    assert system.listening(TCP6) == {22}
    assert system.listening("") == set()


@pytest.mark.parametrize("text, version", [
    ("CFEngine Core 3.24.2\n", "3.24.2"), ("CFEngine Core 3.24.2a.1\nCFEngine Enterprise 3.24.2", "3.24.2"),
    ("Pacemaker 3.0.0\nWritten by Andrew Beekhof", "3.0.0"), ("1:4.16.0-3", "4.16.0"), ("no number", None), ("", None)])
def test_first_version(text, version):
    assert first_version(text) == version
    assert words.cfengine_version(text) == version


@pytest.mark.parametrize("text, major", [
    ("postgres (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)", "17"), ("postgres (PostgreSQL) 18beta1", "18"),
    ("postgres (PostgreSQL) 13.22", "13"), ("", "0")])
def test_pg_major(text, major):
    assert pg_config.pg_major(text) == major


@pytest.mark.parametrize("pid, server, folder, state", [
    (1, {"in_recovery": False}, "database", "primary"), (1, {"in_recovery": True}, "database", "standby"),
    (1, None, "database", "unreachable"), (None, None, "database", "stopped"), (None, None, "other", "foreign"),
    (None, None, "empty", "absent"), (None, None, "absent", "absent")])
def test_postgres_state(pid, server, folder, state):
    assert pg_facts.postgres_state({"pid": pid, "server": server, "data_dir_state": folder}) == state


def test_system_identifier():
    assert pg_facts.system_identifier({"server": {"system_identifier": "1"}, "control": {}}) == "1"
    assert pg_facts.system_identifier({"server": None, "control": {"system_identifier": "2"}}) == "2"
    assert pg_facts.system_identifier({"server": None, "control": {"system_identifier": ""}}) is None
    assert pg_facts.system_identifier({"server": None, "control": {}}) is None


@pytest.mark.parametrize("text, digest", [
    ("SHA=ab12\n", "SHA=ab12"), ("/var/x.pub: MD5=00ff", "MD5=00ff"), ("error", None)])
def test_key_digest(text, digest):
    assert words.key_digest(text) == digest


def test_include_lines():
    text = "port = 5432\n include_if_exists 'hub_ha.conf'  \n#include 'x'\ninclude_dir = 'conf.d'\nincluded = 1\n"
    assert pg_config.include_lines(text) == ["include_if_exists 'hub_ha.conf'", "include_dir = 'conf.d'"]


def test_managed_blocks():
    ours, other = "cfengine.hub_ha: a", "cfengine.hub_ha: c"
    text = ("# BEGIN %s\none\ntwo\n# END %s\nlocal all\n# BEGIN %s\n# END %s\n# BEGIN cfengine.hub_ha: open\n"
            % (ours, ours, other, other))
    assert pg_config.managed_blocks(text) == {ours: ["one", "two"], other: []}
    assert pg_config.managed_blocks(text + "# BEGIN %s\nx\n# END %s\n" % (other, other)) == {
        ours: ["one", "two"]}, "which one counts?"
    assert pg_config.managed_blocks("# BEGIN ldap\nhost all all all ldap ldapbindpasswd=x\n# END ldap\n") == {}
    assert pg_config.managed_blocks("") == {}


def test_tree_digest():
    digest = tree_digest({"a": "1", "b": "2"})
    assert digest == tree_digest({"b": "2", "a": "1"})
    others = [{"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "c": "2"}, {"a": "1b", "": "2"}, {}]
    assert len(set([digest] + [tree_digest(tree) for tree in others])) == len(others) + 1
    assert tree_digest({"name\udcff": "1"}) != tree_digest({"name": "1"}), "no text, no error"


def cib(name):
    with open(os.path.join(FIXTURES, "cib", name), encoding="utf-8") as handle:
        return handle.read()


def test_cib_summary_of_a_pair():
    found = summary.cib_summary(cib("pair.xml"))
    assert found["cib_nodes"] == ["hub1", "hub2"] and found["promoted"] == "hub1"
    assert found["pgsql_status"] == {"hub1": "PRI", "hub2": "HS:async"} and found["forked"] == {}
    forked = re.sub('id="([^"]*)" name="cfpgsql-status"', r'id="x-\1" name="hub_ha-forked" value="commits=8"/>'
                    r'<nvpair id="\1" name="cfpgsql-status"', cib("pair.xml"), count=1)
    assert list(summary.cib_summary(forked)["forked"].values()) == ["commits=8"]
    assert found["cib_resources"] == {"fence-hub1": "stonith:fence_ipmilan", "cfvirtip": "ocf:heartbeat:IPaddr2",
                                      "cfpgsql": "ocf:heartbeat:pgsql"}
    assert found["cib_addresses"] == ["192.168.100.100"], "not those of fencing devices"
    assert found["cib_ips"] == {"cfvirtip": "192.168.100.100"}


def test_cib_summary_without_one_clear_primary():
    text = cib("pair.xml")
    assert summary.cib_summary(text.replace('value="HS:async"', 'value="PRI"'))["promoted"] is None
    assert summary.cib_summary(text.replace('value="PRI"', 'value="HS:alone"'))["promoted"] is None
    assert summary.cib_summary("<cib><configuration/></cib>") == {
        "cib_nodes": [], "cib_node_list": [], "cib_resources": {}, "cib_addresses": [], "cib_ips": {},
        "cib_fencing": [],
        "pgsql_status": {}, "forked": {},
        "promoted": None, "maintenance": False}


@pytest.mark.parametrize("value, on", [("true", True), ("True", True), ("1", True), ("false", False), ("", False)])
def test_cib_summary_sees_maintenance_mode(value, on):
    text = cib("pair.xml")
    assert summary.cib_summary(text)["maintenance"] is False
    text = text.replace("</cluster_property_set>",
                        '<nvpair id="m" name="maintenance-mode" value="%s"/></cluster_property_set>' % value, 1)
    assert 'name="maintenance-mode"' in text
    assert summary.cib_summary(text)["maintenance"] is on


@pytest.mark.parametrize("classes, expected", [
    ({}, False), ({"other": ["any::"]}, False), ({"x": ["any::"]}, True), ({"default:x": ["any"]}, True),
    ({"x": "any"}, True),
    ({"x": ["any.!am_policy_hub::"]}, False), ({"x": ["!any"]}, False), ({"x": ["any::", "!am_policy_hub"]}, True), ({"x": []}, True),
    ({"x": {"class_expressions": ["linux.!policy_server::"], "comment": "c"}}, False),
    *[({"x": value}, False) for value in (None, True, 5, [None], ["any", 5], {"class_expressions": None}, {"class_expressions": 5})],
    (None, False), (["x"], False)])
def test_whether_augments_define_a_class_on_hubs(classes, expected):
    assert words.on_hubs(classes, "x") is expected


@pytest.mark.parametrize("text, unit", [
    ("0::/system.slice/cf-postgres.service\n", "cf-postgres.service"),
    ("0::/system.slice/pacemaker.service\n", "pacemaker.service"),
    ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
    ("12:pids:/x\n1:name=systemd:/system.slice/cf-postgres.service\n", "cf-postgres.service"),
    ("12:pids:/system.slice/other.service\n", None), ("0::/\n", None), ("", None)])
def test_unit_of_a_process(text, unit):
    assert units.parse_cgroup(text) == unit


def test_addresses_that_a_single_hub_keeps():
    unit = "# ExecStart=/x 10.0.0.1/24\nExecStart=/usr/bin/env python3 /x.py 192.168.100.100/24 fd00::64/64\n"
    assert system.kept_addresses(unit) == [{"ip": "192.168.100.100", "prefix": 24}, {"ip": "fd00::64", "prefix": 64}]
    assert system.kept_addresses(None) == system.kept_addresses("") == []
