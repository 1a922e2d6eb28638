# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""corosync.conf as data, and when it needs a new version."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import corosync
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


def pair_text(ids=(1, 2), rings=(("0", "100"), ("1", "0"), ("2", "10")), version=3, names=("hub1", "hub2")):
    """A pair's corosync.conf with these node ids, and (ring number, third part of its network) as links."""
    nodes = "".join("node {\nnodeid: %s\nname: %s\n%s}\n" % (ids[number], name, "".join(
        "ring%s_addr: 192.168.%s.%d\n" % (ring, part, 10 + number)
        for ring, part in rings)) for number, name in enumerate(names))
    return "totem {\ncluster_name: cfcluster\nconfig_version: %d\n}\nnodelist {\n%s}\n" % (version, nodes)


NAMES = ["hub1", "hub2"]
NETS = ["192.168.100.0/24", "192.168.0.0/24", "192.168.10.0/24"]


def test_the_running_cluster_is_the_one_of_the_highest_version_whose_nodes_are_ours():
    old, new = pair_text(version=3), pair_text((2, 1), version=7)
    for texts in ([old, new], [new, old], [None, new], ["", new], ["{", new], [STOCK, new]):
        known = corosync.running(texts, NAMES)
        assert (known.version, known.node("hub1"), known.node("HUB2"), known.node("hub9")) == (7, 2, 1, None)
    for texts in ([], [None, ""], [STOCK], ["{"], [pair_text(names=("hub1", "hub3"))]):
        assert corosync.running(texts, NAMES) is None
    assert corosync.running([pair_text(names=("Hub1", "HUB2"))], NAMES).node("hub1") == 1


def test_node_numbers_stay_whatever_the_order():
    swapped = corosync.running([pair_text((2, 1))], NAMES)
    for names in (["hub1", "hub2"], ["hub2", "hub1"]):
        assert list(corosync.node_numbers(names, swapped).items()) == [("hub2", 1), ("hub1", 2)]
    assert corosync.node_numbers(["hub2", "hub1"], None) == {"hub2": 1, "hub1": 2}, "a new pair: inventory order"
    far = corosync.running([pair_text((7, 3))], NAMES)
    assert list(corosync.node_numbers(NAMES, far).items()) == [("hub2", 3), ("hub1", 7)]


def test_a_node_without_a_number_gets_one_that_is_free():
    half = corosync.running([pair_text(("x", 1))], NAMES)
    assert corosync.node_numbers(NAMES, half) == {"hub1": 2, "hub2": 1}


@pytest.mark.parametrize("wanted, numbers", [
    (NETS, {NETS[0]: 0, NETS[1]: 1, NETS[2]: 2}),
    (NETS[::-1], {NETS[0]: 0, NETS[1]: 1, NETS[2]: 2}),
    ([NETS[0], NETS[2]], {NETS[0]: 0, NETS[2]: 2}),  # a gap
    (["10.0.0.0/8"] + NETS, {NETS[0]: 0, NETS[1]: 1, NETS[2]: 2, "10.0.0.0/8": 3}),
    ([NETS[2], "10.0.0.0/8"], {NETS[2]: 2, "10.0.0.0/8": 3}),  # not the number of one that goes in the same change
])
def test_link_numbers_of_what_runs_stay(wanted, numbers):
    known = corosync.running([pair_text()], NAMES)
    assert list(corosync.link_numbers(wanted, known).items()) == sorted(numbers.items(), key=lambda item: item[1])


def test_link_numbers_fill_a_gap_and_a_new_cluster_counts_from_nought():
    gap = corosync.running([pair_text(rings=(("0", "100"), ("2", "10")))], NAMES)
    assert corosync.link_numbers(NETS, gap) == {NETS[0]: 0, NETS[1]: 1, NETS[2]: 2}
    assert corosync.link_numbers(NETS[::-1], None) == {NETS[2]: 0, NETS[1]: 1, NETS[0]: 2}


def test_link_numbers_are_used_again_when_there_is_no_other():
    full = corosync.running([pair_text(rings=[(str(number), str(number)) for number in range(8)])], NAMES)
    wanted = ["192.168.%d.0/24" % number for number in range(7)] + ["10.0.0.0/8"]
    assert corosync.link_numbers(wanted, full)["10.0.0.0/8"] == 7


def test_a_link_by_name_is_on_no_network():
    named = corosync.running([pair_text().replace("192.168.100.10", "hub1.example")
                              .replace("192.168.100.11", "hub2.example")], NAMES)
    assert corosync.link_of(NETS[0], named) is None and corosync.link_of(NETS[1], named) == 1
    assert corosync.link_numbers([NETS[0], NETS[1]], named)[NETS[0]] == 3
