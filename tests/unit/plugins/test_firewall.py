# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a hub's firewall must let in, and what is changed for it. That the firewalls do what they are told is tried on
real hosts: molecule/bad-input.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import plan as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandError, Completed, HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host.firewall import (
    model,
    system as loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair.networks import shared_networks
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import firewalls, upgrade as plan
from ansible_collections.cfengine.hub_ha.plugins.modules import firewall
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

ZONES = (Path(__file__).parents[1] / "fixtures/firewall/zones.txt").read_text(encoding="utf-8")


def rule(source="192.168.0.11", to="any", port=5432, protocol="tcp", interfaces=("eth1",), peer=True):
    return {"source": source, "to": to, "port": port, "protocol": protocol, "interfaces": list(interfaces),
            "peer": peer}


COROSYNC = rule(to="192.168.0.10", port=5405, protocol="udp")
CLIENTS = rule("any", port=5308, interfaces=["eth0"], peer=False)


def firewalld(**changes):
    return dict({"kind": "firewalld", "problem": None, "default": "public", "running": {}, "permanent": {}, "zones": {
        "public": {"target": "default", "interfaces": ["eth0"], "sources": []},
        "inner": {"target": "%%REJECT%%", "interfaces": ["eth1"], "sources": []}}}, **changes)


def nft(**changes):
    return dict({"kind": "nftables", "problem": None, "blocking": [["inet", "filter", "input", False]], "jumps": [],
                 "chains": [], "rules": {}, "conf_path": "/etc/nftables.conf", "conf": "flush ruleset\n",
                 "file_path": "/etc/nftables-hub_ha.conf", "file": None}, **changes)


def ufw(*added, **changes):
    return dict({"kind": "ufw", "problem": None, "added": model.parse_added("\n".join(added)), "ipv6": True}, **changes)


# --- what is wanted --------------------------------------------------------------------------------------------------

def made(**settings):
    results = pair.results()
    for result in results.values():
        result["hub"]["firewall"] = firewalld()
    return plan.make_plan(results, pair.settings(firewall="manage", **settings))["firewalls"]


def told(rules):
    return ["%(source)s > %(to)s %(port)s/%(protocol)s" % item for item in rules]


def test_exactly_the_peers_and_ports():
    assert told(made()["hub2"]["rules"]) == [
        "192.168.100.10 > 192.168.100.11 5405/udp", "192.168.0.10 > 192.168.0.11 5405/udp",
        "192.168.10.10 > 192.168.10.11 5405/udp", "192.168.100.10 > any 5432/tcp", "192.168.0.10 > any 5432/tcp",
        "192.168.10.10 > any 5432/tcp", "192.168.0.10 > any 5308/tcp", "192.168.10.10 > any 5308/tcp",
        "any > any 5308/tcp"]
    assert made()["hub2"]["rules"][-1]["interfaces"] == ["eth0"], "clients come in where the shared address is"


def test_links_that_are_left_out_get_no_corosync():
    rules = told(made(links=["192.168.0.0/24"])["hub1"]["rules"])
    assert [text for text in rules if "udp" in text] == ["192.168.0.11 > 192.168.0.10 5405/udp"]
    assert "192.168.10.11 > any 5432/tcp" in rules, "the copy of the database may take that way"


def test_clients_from_named_networks_only():
    rules = told(made(firewall_clients=["10.20.0.0/16", "192.168.100.77"])["hub1"]["rules"])
    assert [text for text in rules if "5308" in text] == [
        "192.168.100.11 > any 5308/tcp", "192.168.0.11 > any 5308/tcp", "192.168.10.11 > any 5308/tcp",
        "10.20.0.0/16 > any 5308/tcp", "192.168.100.77 > any 5308/tcp"]


def test_the_address_of_the_replication_is_none_for_clients():
    results = pair.results()
    results["hub2"]["hub"]["firewall"] = ufw()
    found = plan.make_plan(results, pair.settings(firewall="manage", replication_virtual_ip="192.168.10.100"))
    rules = found["firewalls"]["hub2"]["rules"]
    assert len(rules) == 9, "three times corosync and PostgreSQL, twice CFEngine, once the clients"
    assert [rule["interfaces"] for rule in rules if not rule["peer"]] == [["eth0"]]


def test_the_portal_of_the_enterprise_edition():
    networks = shared_networks({"hub1": pair.live_hub(), "hub2": pair.blank_hub()}, set())
    layout = {"name": "enterprise"}
    found = firewalls.wanted("hub1", {"links": networks, "networks": networks, "virtual_ips": [{"ip": "192.168.100.100"}],
                                      "pg_port": 5432, "layout": layout})
    assert told(found)[-1] == "any > any 443/tcp"


def test_only_on_request():
    assert pair.settings().get("firewall") is None
    results = pair.results()
    results["hub2"]["hub"]["firewall"] = firewalld()
    for mode, warnings in (("check", 1), ("ignore", 0)):
        found = plan.make_plan(results, pair.settings(firewall=mode))
        assert found["firewalls"]["hub2"] == {"kind": "firewalld", "rules": [], "open": []}
        assert len([item for item in found["warnings"] if "left alone" in item["problem"]]) == warnings
    results = pair.running_pair()
    results["hub2"]["hub"]["firewall"] = firewalld()
    assert plan.make_plan(results, pair.settings(firewall="check"))["warnings"] == [], "no word of it on a pair"


def test_a_network_that_is_none():
    results = pair.results()
    found = plan.make_plan(results, pair.settings(firewall="manage", firewall_clients=["10.0.0.0/8", "office"]))
    assert [item["problem"] for item in found["failures"]] == [
        "hub_ha_firewall_clients names 'office', which is no network"]


# --- closed ports --------------------------------------------------------------------------------------------------

CLOSED = {"hub1": {"unanswered": [{"peer": "hub2", "address": "192.168.0.11", "port": 5432, "protocol": "tcp"}]},
          "hub2": {"unanswered": []}}


def closed(state, mode, **settings):
    results = pair.results()
    results["hub2"]["hub"]["firewall"] = state
    return plan.make_plan(results, pair.settings(firewall=mode, **settings), CLOSED)


def test_a_closed_port_that_will_be_opened_is_no_failure():
    found = closed(firewalld(), "manage")
    assert found["failures"] == []
    assert found["closed"] == [dict(CLOSED["hub1"]["unanswered"][0], host="hub1")]
    text = filters.firewall_text(found["firewalls"], found["closed"])
    assert text.startswith("will be opened: firewalld on hub2 (")
    assert text.endswith("; closed now: 192.168.0.11 5432/tcp")


@pytest.mark.parametrize("state, mode, words", [
    (firewalld(), "check", "firewalld is active. To have it opened for exactly the hubs: hub_ha_firewall: manage. "
                           "By hand, there: firewall-cmd --zone=inner --add-rich-rule='rule family=\"ipv4\" source "
                           "address=\"192.168.0.10\" port port=\"5432\" protocol=\"tcp\" accept'"),
    (ufw(), "check", "By hand, there: ufw allow from 192.168.0.10 to any port 5432 proto tcp"),
    (nft(), "check", "nft insert rule inet filter input ip saddr 192.168.0.10 tcp dport 5432 accept"),
    ({"kind": "iptables", "problem": "x"}, "check", "iptables -I INPUT -s 192.168.0.10 -p tcp --dport 5432 -j ACCEPT"),
    ({"kind": "none", "problem": None}, "manage", "check cable, routes and firewall")])
def test_a_closed_port_that_stays_closed_is_a_failure(state, mode, words):
    failures = closed(state, mode)["failures"]
    assert len(failures) == 1 and failures[0]["problem"] == "hub2 (192.168.0.11) port 5432/tcp cannot be reached"
    assert words in failures[0]["remedy"]
    assert ("hub_ha_firewall: manage" in failures[0]["remedy"]) is (state["kind"] in model.MANAGEABLE)


def test_a_port_that_is_still_closed_after_opening_is_a_failure():
    rules = made()["hub2"]["rules"]
    state = firewalld()
    for place in ("running", "permanent"):
        for item in rules:
            for zone in model.zones_of(item, state):
                state[place].setdefault(zone, []).append(model.rich_rule(item))
    failures = closed(state, "manage")["failures"]
    assert len(failures) == 1 and "a rule of yours or something on the way stops it" in failures[0]["remedy"]


def test_plain_iptables_is_not_managed():
    failures = closed({"kind": "iptables", "problem": "packets are dropped by plain iptables"}, "manage")["failures"]
    assert [item["host"] for item in failures] == ["hub2", "hub1"]
    assert "set hub_ha_firewall to check" in failures[0]["remedy"]


def test_udp_off_the_links_is_not_needed():
    probes = {"hub1": {"unanswered": [{"peer": "hub2", "address": "192.168.10.11", "port": 5405, "protocol": "udp"}]}}
    assert len(plan.make_plan(pair.results(), pair.settings(), probes)["failures"]) == 1
    assert plan.make_plan(pair.results(), pair.settings(links=["192.168.0.0/24"]), probes)["failures"] == []


# --- firewalld -----------------------------------------------------------------------------------------------------

def test_zones_as_firewalld_lists_them():
    zones = model.parse_zones(ZONES)
    assert zones["public"] == {"target": "default", "interfaces": ["eth0", "eth2"], "sources": [], "ours": [
        'rule priority="5308" port port="5308" protocol="tcp" accept']}
    assert zones["trusted"]["target"] == "ACCEPT" and zones["block"]["ours"] == []


def test_zone_of_a_rule():
    state = firewalld()
    assert model.zones_of(COROSYNC, state) == ["inner"]
    assert model.zones_of(rule(interfaces=["eth9"]), state) == ["public"], "the default, for an interface of no zone"
    state["zones"]["peers"] = {"target": "default", "interfaces": [], "sources": ["192.168.0.0/24", "ipset:x"]}
    assert model.zones_of(COROSYNC, state) == ["peers"], "a zone with the source takes its packets"
    assert model.zones_of(CLIENTS, state) == ["public"]
    state["zones"]["peers"]["target"] = "ACCEPT"
    assert model.zones_of(COROSYNC, state) == [], "everything is let in there"


def test_firewalld_running_and_permanent_each_as_needed():
    text = ('rule priority="-5308" family="ipv4" source address="192.168.0.11" destination address="192.168.0.10" '
            'port port="5405" protocol="udp" accept')
    assert model.rich_rule(COROSYNC) == text
    old = 'rule priority="-5308" family="ipv4" source address="192.168.0.99" port port="5432" protocol="tcp" accept'
    state = firewalld(running={"inner": [text]}, permanent={"public": [old]})
    steps = model.changes(state, [COROSYNC])["steps"]
    assert [step["run"] for step in steps] == [
        ["firewall-cmd", "--quiet", "--permanent", "--zone=inner", "--add-rich-rule=" + text],
        ["firewall-cmd", "--quiet", "--permanent", "--zone=public", "--remove-rich-rule=" + old]]
    state = firewalld(running={"inner": [text]}, permanent={"inner": [text]})
    assert model.changes(state, [COROSYNC])["steps"] == []
    removal = model.changes(state, [])
    assert ["--remove-rich-rule=" + text in step["run"] for step in removal["steps"]] == [True, True]
    assert removal["after"] == [] and len(removal["before"]) == 2


def test_families():
    assert model.rich_rule(rule("fd00::11", "fd00::10")).startswith('rule priority="-5308" family="ipv6" source')
    assert model.rich_rule(CLIENTS) == 'rule priority="5308" port port="5308" protocol="tcp" accept'
    assert model.nft_rule(rule("fd00::11", "fd00::10")) == "ip6 saddr fd00::11 ip6 daddr fd00::10 tcp dport 5432 accept"
    state = nft(blocking=[["ip", "filter", "in", False], ["ip6", "filter", "in", False]])
    tables = model.nft_tables(state, [rule(), rule("fd00::11"), CLIENTS])
    clients = ("hub_ha_clients", ["tcp dport 5308 accept"])
    assert tables["ip", "filter"]["groups"] == [("hub_ha", ["ip saddr 192.168.0.11 tcp dport 5432 accept"]), clients]
    assert tables["ip6", "filter"]["groups"] == [("hub_ha", ["ip6 saddr fd00::11 tcp dport 5432 accept"]), clients]


# --- ufw -------------------------------------------------------------------------------------------------------------

PEER = "from 192.168.0.11 to 192.168.0.10 port 5405 proto udp".split()
OURS = "ufw allow from 192.168.0.11 to 192.168.0.10 port 5405 proto udp comment 'hub_ha'"


def test_ufw_adds_removes_and_leaves_alone():
    assert [step["run"] for step in model.changes(ufw("ufw allow 22/tcp"), [COROSYNC, CLIENTS])["steps"]] == [
        ["ufw", "allow"] + PEER + ["comment", "hub_ha"], ["ufw", "allow", "5308/tcp", "comment", "hub_ha"]]
    assert model.changes(ufw(OURS), [COROSYNC])["steps"] == []
    theirs = ufw("ufw allow 5308/tcp comment 'ticket 4711'", OURS, "ufw deny 23")
    assert model.changes(theirs, [COROSYNC, CLIENTS])["steps"] == [], "ufw would put our mark on the operator's rule"
    assert [step["run"] for step in model.changes(theirs, [])["steps"]] == [
        ["ufw", "--force", "delete", "allow"] + PEER]


def test_ufw_what_cannot_be():
    state = ufw("ufw deny 5308/tcp", ipv6=False)
    found = model.problems(state, [CLIENTS, rule("fd00::11")])
    assert [item[0] for item in found] == [
        "ufw has a rule of yours that is the very opposite: ufw deny 5308/tcp",
        "ufw is not set up for IPv6, and the hubs have a network with IPv6 (fd00::11)"]
    assert model.problems(ufw(), [CLIENTS, rule("fd00::11")]) == []


# --- nftables --------------------------------------------------------------------------------------------------------

def ruleset(rules=(), policy="drop", name="input", table="filter", family="inet", more=()):
    base = {"family": family, "table": table, "name": name, "handle": 1, "type": "filter", "hook": "input", "prio": 0,
            "policy": policy}
    found = [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": family, "name": table, "handle": 1}},
             {"chain": base}]
    found += [{"chain": {"family": family, "table": table, "name": other, "handle": 2}} for other in more]
    rules = [(name if chain == "input" else chain, expr) for chain, expr in rules]
    for handle, (chain, expr) in enumerate(rules, 5):
        found.append({"rule": {"family": family, "table": table, "chain": chain, "handle": handle, "expr": expr}})
    return {"nftables": found}


SSH = ("input", [{"match": {"op": "==", "left": {}, "right": 22}}, {"accept": None}])
BLOCKLIST = ("input", [{"match": {"op": "==", "left": {}, "right": "@bad"}}, {"drop": None}])


@pytest.mark.parametrize("data, blocking", [
    (ruleset([SSH]), [["inet", "filter", "input", False]]),
    (ruleset([SSH], policy="accept"), []),
    (ruleset([BLOCKLIST], policy="accept"), []),
    (ruleset([SSH, ("input", [{"counter": {}}, {"reject": {}}])], "accept"), [["inet", "filter", "input", True]]),
    (ruleset([("input", [{"jump": {"target": "end"}}]), ("end", [{"log": {}}, {"drop": None}])], "accept",
             more=["end"]), [["inet", "filter", "input", True]]),
    (ruleset([("input", [{"jump": {"target": "a"}}]), ("a", [{"jump": {"target": "input"}}])], "accept", more=["a"]),
     []),
    (ruleset([SSH], table="firewalld", name="filter_INPUT"), []),
    (ruleset([SSH], family="ip", name="INPUT"), []),
    (ruleset([SSH], family="bridge"), [])])
def test_chains_that_let_in_only_what_they_name(data, blocking):
    found = model.parse_ruleset(data)
    assert found["blocking"] == blocking
    assert found["iptables"] is (data["nftables"][2]["chain"]["name"] == "INPUT")


def test_nftables_from_nothing():
    found = model.changes(nft(), [COROSYNC, CLIENTS])
    run, file, conf = found["steps"]
    assert run == {"run": ["nft", "-f", "-"], "stdin": "add chain inet filter hub_ha\nflush chain inet filter hub_ha\n"
                   "add rule inet filter hub_ha ip saddr 192.168.0.11 ip daddr 192.168.0.10 udp dport 5405 accept\n"
                   "add chain inet filter hub_ha_clients\nflush chain inet filter hub_ha_clients\n"
                   "add rule inet filter hub_ha_clients tcp dport 5308 accept\n"
                   "insert rule inet filter input jump hub_ha\nadd rule inet filter input jump hub_ha_clients\n"}
    assert file["write"] == "/etc/nftables-hub_ha.conf"
    lines = run["stdin"].splitlines()
    assert file["text"].splitlines()[1:] == ["add table inet filter"] + lines[:-2] + [
        "add chain inet filter input"] + lines[-2:]
    assert conf["check"] and conf["text"] == "flush ruleset\n" + model.include_block("/etc/nftables-hub_ha.conf")
    assert found["before"] == [] and 'include "/etc/nftables-hub_ha.conf"' in found["after"][-1]


def running(rules, **changes):
    """The state that these rules leave."""
    found = model.changes(nft(), rules)
    return nft(chains=[["inet", "filter", "hub_ha"], ["inet", "filter", "hub_ha_clients"]],
               jumps=[["inet", "filter", "input", "hub_ha", 9], ["inet", "filter", "input", "hub_ha_clients", 30]],
               file=found["steps"][1]["text"], conf=found["steps"][2]["text"], rules=dict(
                   ("inet filter " + own, [model.nft_rule(item) for item in rules if item["peer"] is peer])
                   for peer, own in model.CHAINS.items()), **changes)


def test_nftables_second_run_and_removal():
    state = running([COROSYNC, CLIENTS])
    found = model.changes(state, [COROSYNC, CLIENTS])
    assert found["steps"] == [] and found["before"] == found["after"]
    run, conf, file = model.changes(state, [])["steps"]
    assert run["stdin"] == ("delete rule inet filter input handle 9\ndelete rule inet filter input handle 30\n"
                            "delete chain inet filter hub_ha\ndelete chain inet filter hub_ha_clients\n")
    assert conf["text"] == "flush ruleset\n" and file == {"remove": "/etc/nftables-hub_ha.conf"}


def test_nftables_what_was_lost_is_put_back():
    """By a reload of the operator's file without the include, or by a run that was cut off."""
    rules = [COROSYNC, CLIENTS]
    whole = running(rules)
    lost = dict(whole, chains=[], jumps=[], rules={})
    assert [list(step)[0] for step in model.changes(lost, rules)["steps"]] == ["run"]
    cut = dict(whole, file=None, conf="flush ruleset\n")
    assert [step["write"] for step in model.changes(cut, rules)["steps"]] == [whole["file_path"], whole["conf_path"]]
    jump = model.changes(dict(whole, jumps=whole["jumps"][1:]), rules)["steps"]
    assert [step["stdin"] for step in jump] == ["insert rule inet filter input jump hub_ha\n"]
    second = [["inet", "filter", "input", "hub_ha", 40]]
    twice = model.changes(dict(whole, jumps=whole["jumps"] + second), rules)["steps"]
    assert [step["stdin"] for step in twice] == ["delete rule inet filter input handle 40\n"]


def test_clients_come_behind_the_operators_denials_where_they_can():
    assert "add rule inet filter input jump hub_ha_clients" in model.changes(nft(), [CLIENTS])["steps"][1]["text"]
    ends = nft(blocking=[["inet", "filter", "input", True]])
    assert "insert rule inet filter input jump hub_ha_clients" in model.changes(ends, [CLIENTS])["steps"][1]["text"]


def test_the_include_stands_once_and_the_operators_lines_stay():
    text = "flush ruleset\n# ours\n"
    with_it = model.with_include(text, "/etc/a", True)
    assert model.with_include(with_it, "/etc/a", True) == with_it
    assert model.with_include(with_it, "/etc/b", True) == model.with_include(text, "/etc/b", True)
    assert model.with_include(with_it, "/etc/a", False) == text
    assert model.with_include("x", "/etc/a", True).startswith("x\n# BEGIN")


# --- reading and doing -----------------------------------------------------------------------------------------------

class Host:
    """Answers by the words of the command; notes what was run."""

    def __init__(self, **answers):
        self.answers = dict({"systemctl": ""}, **answers)
        self.calls = []

    def __call__(self, argv, stdin=None, env=None, timeout=None, check=True):
        self.calls.append((argv, stdin))
        for words, answer in self.answers.items():
            if all(word in " ".join(argv) for word in words.split("__")):
                rc, out = answer if isinstance(answer, tuple) else (0, answer)
                done = Completed(argv, rc, out if rc == 0 else "", "" if rc == 0 else out)
                if check and rc:
                    raise CommandError(done)
                return done
        raise AssertionError(argv)


def units(**active):
    return "\n\n".join("Id=%s.service\nLoadState=loaded\nActiveState=%s\nUnitFileState=%s\nExecStart={ path=/x/nft ; "
                       "argv[]=/usr/sbin/nft -f /etc/x/nftables.conf ; }" % (name, state, enabled)
                       for name, (state, enabled) in active.items())


@pytest.fixture(name="programs")
def fixture_programs(monkeypatch, tmp_path):
    """A set of the programs that the host has; /etc is a temporary directory."""
    found = set()
    monkeypatch.setattr(loader, "which", lambda name: name if name in found else None)
    real = loader.read_text
    monkeypatch.setattr(loader, "read_text", lambda path: real(str(tmp_path) + path))
    return found


def put(folder, path, text):
    target = folder / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def test_no_firewall(programs):
    assert loader.read(Host()) == {"kind": "none", "problem": None}
    programs |= {"nft", "iptables", "ufw"}
    host = Host(nft=json.dumps(ruleset([BLOCKLIST], policy="accept")), iptables="-P INPUT ACCEPT\n")
    assert loader.read(host)["kind"] == "none"


def test_firewalld_before_all_others(programs, tmp_path):
    programs |= {"nft", "iptables", "ufw"}
    host = Host(systemctl=units(firewalld=("active", "enabled")), permanent=ZONES, **{"list-all-zones": ZONES})
    found = loader.read(host)
    assert (found["kind"], found["default"], sorted(found["zones"])) == ("firewalld", "public", ["public", "trusted"])
    put(tmp_path, loader.FIREWALLD_CONF, "# x\nDefaultZone=home\n")
    assert loader.read(host)["default"] == "home"
    ours = {"public": ['rule priority="5308" port port="5308" protocol="tcp" accept']}
    assert found["running"] == found["permanent"] == ours


def test_ufw_counts_when_it_is_enabled(programs, tmp_path):
    programs.add("ufw")
    put(tmp_path, loader.UFW_CONF, "ENABLED=no\n")
    assert loader.read(Host())["kind"] == "none"
    put(tmp_path, loader.UFW_CONF, "# x\nENABLED=yes\n")
    put(tmp_path, loader.UFW_DEFAULT, "IPV6=yes\n")
    found = loader.read(Host(ufw="Added user rules (see 'ufw status' for running firewall):\n%s\n" % OURS))
    assert found["kind"] == "ufw" and found["ipv6"]
    assert found["added"] == [("allow", "from 192.168.0.11 to 192.168.0.10 port 5405 proto udp", "hub_ha")]


def test_nftables_of_the_operator(programs, tmp_path):
    programs.add("nft")
    put(tmp_path, "/etc/x/nftables.conf", "flush ruleset\n")
    host = Host(systemctl=units(nftables=("active", "enabled")), nft=json.dumps(ruleset([SSH])))
    found = loader.read(host)
    assert (found["kind"], found["problem"]) == ("nftables", None)
    assert (found["conf_path"], found["file_path"]) == ("/etc/x/nftables.conf", "/etc/x/nftables-hub_ha.conf")
    host = Host(systemctl=units(nftables=("inactive", "disabled")), nft=json.dumps(ruleset([SSH])))
    assert "nftables.service does not load that from /etc/x/nftables.conf" in loader.read(host)["problem"]


def test_nftables_with_our_chain(programs, tmp_path):
    programs.add("nft")
    put(tmp_path, "/etc/x/nftables.conf", "flush ruleset\n")
    data = ruleset([("input", [{"jump": {"target": "hub_ha"}}])], more=["hub_ha"])
    host = Host(systemctl=units(nftables=("active", "enabled")), **{"-j__ruleset": json.dumps(data), "list__chain": (
        "table inet filter {\n\tchain hub_ha {\n\t\ttcp dport 5308 accept\n\t}\n}\n")})
    found = loader.read(host)
    assert found["rules"] == {"inet filter hub_ha": ["tcp dport 5308 accept"]}
    assert found["jumps"] == [["inet", "filter", "input", "hub_ha", 5]]
    assert found["chains"] == [["inet", "filter", "hub_ha"]]


@pytest.mark.parametrize("rules, kind", [
    ("-P INPUT DROP\n", "iptables"), ("-P INPUT ACCEPT\n-A INPUT -j REJECT\n", "iptables"),
    ("-P INPUT ACCEPT\n", "none")])
def test_plain_iptables(programs, rules, kind):
    programs.add("iptables")
    assert loader.read(Host(iptables=rules))["kind"] == kind


def test_steps_are_done_and_a_file_that_would_not_load_is_not_written(tmp_path):
    path, conf = tmp_path / "rules", tmp_path / "nftables.conf"
    conf.write_text("flush ruleset\n", encoding="ascii")
    conf.chmod(0o700)
    steps = [{"run": ["nft", "-f", "-"], "stdin": "add\n"}, {"write": str(path), "text": "ours\n"},
             {"write": str(conf), "text": "flush ruleset\ninclude\n", "check": True}]
    host = Host(**{"unshare": (1, "syntax error"), "nft__-f": ""})
    with pytest.raises(HubError, match="nftables.conf would not be loaded at boot: syntax error"):
        loader.carry_out(host, steps)
    assert host.calls[0] == (["nft", "-f", "-"], "add\n") and path.read_text() == "ours\n"
    assert conf.read_text() == "flush ruleset\n" and sorted(item.name for item in tmp_path.iterdir()) == [
        "nftables.conf", "rules"]
    host = Host(**{"unshare": "", "nft__-f": ""})
    loader.carry_out(host, steps + [{"remove": str(path)}])
    assert "include" in conf.read_text() and conf.stat().st_mode & 0o7777 == 0o700 and not path.exists()
    assert host.calls[-1][0][:4] == ["unshare", "--net", "nft", "--check"]


def test_module(run_module, monkeypatch):
    state, done = ufw("ufw allow 22/tcp"), []
    monkeypatch.setattr(loader, "read", lambda run: state)
    monkeypatch.setattr(loader, "carry_out", lambda run, steps: done.extend(steps))
    wanted = [dict(COROSYNC)]
    first = run_module(firewall, check=True, diff=True, rules=wanted)
    assert first["changed"] and done == [] and first["diff"]["before"] == ""
    second = run_module(firewall, diff=True, rules=wanted)
    assert (second["changed"], second["diff"], second["kind"]) == (True, first["diff"], "ufw") and len(done) == 1
    assert "22/tcp" not in json.dumps(second), "nothing of the operator's"
    state["added"].append(("allow", "from 192.168.0.11 to 192.168.0.10 port 5405 proto udp", "hub_ha"))
    assert not run_module(firewall, rules=wanted)["changed"]
    assert "names no address" in run_module(firewall, rules=[dict(COROSYNC, source="hub1")])["msg"]
    state.update(problem="dropped by somebody")
    assert "dropped by somebody" in run_module(firewall, rules=wanted)["msg"]
    assert "failed" not in run_module(firewall, check=True, rules=[])
