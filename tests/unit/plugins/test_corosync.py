# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""corosync.conf as data, and when it needs a new version."""

from __future__ import annotations

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils import corosync
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub.pair import corosync_conf

# What Debian 13's package installs, its comments shortened.
STOCK = """# Please read the corosync.conf.5 manual page
system {
\t# This is required to use transport=knet in an unprivileged environment
\tallow_knet_handle_fallback: yes
}

totem {
\tversion: 2

\t# Corosync itself works without a cluster name, but DLM needs one.
\tcluster_name: debian

\tcrypto_cipher: none
\tcrypto_hash: none
}

nodelist {
\tnode {
\t\t# Hostname of the node.
\t\tname: node1
\t\tnodeid: 1
\t\tring0_addr: 127.0.0.1
\t}
}
"""


def test_parse_sections_that_repeat_and_those_that_do_not():
    found = corosync.parse(corosync_conf())
    assert found["totem"]["transport"] == "knet" and found["quorum"]["two_node"] == "1"
    assert [section["linknumber"] for section in found["totem"]["interface"]] == ["0", "1"]
    assert [node["name"] for node in found["nodelist"]["node"]] == ["hub1", "hub2"]
    assert found["nodelist"]["node"][1]["ring1_addr"] == "192.168.0.11"


def test_parse_keeps_colons_in_values_and_ignores_comments():
    text = "totem{\n # key: no\n  bind: fd00::1  \n\n}\nlogging {\n a {\n b: 1\n }\n}\n"
    assert corosync.parse(text) == {"totem": {"bind": "fd00::1"}, "logging": {"a": {"b": "1"}}}
    assert corosync.parse("") == {}


@pytest.mark.parametrize("text, message", [
    ("a {\n}\n}\n", "line 3: a brace is closed"), ("a {\n b: 1\n", "ends inside a section"),
    ("a {\nnonsense\n}\n", "line 2 is neither")])
def test_parse_says_where_it_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        corosync.parse(text)


def test_summary():
    assert corosync.summary(corosync_conf(version=12)) == {
        "name": "cfcluster", "version": 12, "stock": False,
        "nodes": {"hub1": ["192.168.100.10", "192.168.0.10"], "hub2": ["192.168.100.11", "192.168.0.11"]}}


def test_the_packages_own_file_is_no_cluster():
    assert corosync.summary(STOCK) == {"name": "debian", "version": 0, "nodes": {"node1": ["127.0.0.1"]},
                                       "stock": True}
    assert corosync.summary("")["stock"]
    assert corosync.summary(STOCK.replace("127.0.0.1", "::1"))["stock"]


@pytest.mark.parametrize("text", [
    corosync_conf(), STOCK.replace("127.0.0.1", "192.168.0.10"), STOCK.replace("127.0.0.1", "node1"),
    STOCK + "nodelist {\n node {\n  name: node2\n  ring0_addr: 192.168.0.11\n }\n}\n",
    "totem {\n version: 2\n cluster_name: web\n transport: udp\n interface {\n  ringnumber: 0\n"
    "  bindnetaddr: 192.168.0.0\n  mcastaddr: 239.255.1.1\n }\n}\n"],
    ids=["pair", "one node on the network", "a name", "two nodes", "multicast"])
def test_a_cluster_on_a_network_is_never_taken_for_the_packages_own(text):
    """Whatever comments it has: pcs and people rewrite the file."""
    for whole in (text, "# Managed by Ansible\n" + text):
        assert not corosync.summary(whole)["stock"]


def test_summary_of_nodes_without_names_and_of_an_odd_version():
    found = corosync.summary("totem {\nconfig_version: x\n}\nnodelist {\nnode {\nring0_addr: 10.0.0.1\n}\n"
                             "node {\nnodeid: 2\n}\n}\n")
    assert found["version"] == 0 and found["nodes"] == {"10.0.0.1": ["10.0.0.1"], "?": []} and not found["stock"]


def test_body_ignores_the_version_only():
    assert corosync.body(corosync_conf(version=1)) == corosync.body(corosync_conf(version=99))
    assert corosync.body(corosync_conf()) != corosync.body(corosync_conf(name="x"))
    assert "config_version" not in corosync.body("totem {\nconfig_version: 3\n}")


def conf(version, name="cfcluster"):
    return corosync_conf(version=version, name=name)


@pytest.mark.parametrize("current, version", [
    ([], 1), (["", ""], 1), ([conf(1), ""], 2), (["", conf(4)], 5),
    ([conf(3), conf(3)], 3), ([conf(3), conf(5)], 6), ([conf(5), conf(3)], 6),
    ([conf(3, "drift"), conf(3)], 4), ([conf(3), conf(3, "drift")], 4), ([conf(7, "a"), conf(2, "b")], 8),
    ([STOCK, STOCK], 1), ([STOCK, ""], 1)])
def test_next_version(current, version):
    assert corosync.next_version(conf(0), current) == version


def test_next_version_is_stable_once_written():
    version = corosync.next_version(conf(0), [conf(3, "old"), ""])
    assert corosync.next_version(conf(0), [conf(version), conf(version)]) == version


def test_next_version_refuses_a_broken_file():
    with pytest.raises(ValueError):
        corosync.next_version(conf(0), ["}", conf(1)])
