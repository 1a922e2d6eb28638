# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every decision and every refusal of the plan."""

from __future__ import annotations

import copy
import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cfengine.hub_ha.plugins.filter import cluster, database, health, plan as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.hub_list import ha_info
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.problem import WARNING
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import system
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import networks as pair_networks
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair.roles import find_roles
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.slots import slot_name
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.wanted import wanted_settings
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.checks import (
    networks as network_checks,
    primary,
)
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

DATA = "/var/lib/cfengine3/state/pg/data"
HA_DIR = "/var/lib/cfengine3/state/pg/hub_ha"
DEVICES = [{"id": "fence-%s" % hub, "agent": "fence_ipmilan", "hub": hub, "params": {"ip": "10.9.9.9"},
            "password": "p"} for hub in ("hub1", "hub2")]


def enterprise(results):
    """hub1 has the vendor's package, and hub2's package source has it too."""
    results["hub1"]["hub"].update(layout=copy.deepcopy(LAYOUTS["enterprise"]), layout_found="enterprise")
    results["hub1"]["hub"]["cfengine"]["edition"] = "enterprise"
    for name, installed in (("hub1", "3.24.2-1"), ("hub2", "")):
        results[name]["hub"]["packages"]["cfengine-nova-hub"] = {"installed": installed, "candidate": "3.24.2-1"}
    return results


def make(results=None, probes=None, **settings):
    return plan.make_plan(results or pair.results(), pair.settings(**settings), probes)


# --- what is decided ---------------------------------------------------------------------------------------------

def test_the_vendors_package_is_installed_where_it_lacks_and_never_on_the_active_hub():
    results = enterprise(pair.results())
    results["hub1"]["hub"]["packages"]["cfengine-nova-hub"]["candidate"] = "3.24.3-1"
    found = make(results)
    assert found["failures"] == []
    assert "cfengine-nova-hub" in found["packages"]["hub2"] and "postgresql-17" not in found["packages"]["hub2"]
    assert "cfengine-nova-hub" not in found["packages"]["hub1"]
    assert not found["packaged_database"]


PACKAGED = {"state": "stopped", "data_dir_state": "database", "data_version": "17",
            "control": {"state": "shut down", "system_identifier": pair.OTHER_SYSTEM, "timeline": 1}}


def test_the_database_that_the_package_made_is_moved_aside():
    results = enterprise(pair.results())
    results["hub2"]["hub"]["postgres"].update(copy.deepcopy(PACKAGED))
    assert "database of its own" in make(results)["failures"][0]["problem"], "nobody has noted that it is the package's"
    results["hub2"]["hub"]["package_marker"] = True
    found = make(results)
    assert found["failures"] == [] and found["packaged_database"]


@pytest.mark.parametrize("change", [
    {"control": dict(PACKAGED["control"], timeline=2)}, {"control": dict(PACKAGED["control"], state="in production")},
    {"lock": True}, {"standby_signal": True}])
def test_a_database_that_was_in_use_is_never_taken_for_the_packages(change):
    results = enterprise(pair.results())
    results["hub2"]["hub"]["postgres"].update(copy.deepcopy(PACKAGED), **change)
    results["hub2"]["hub"]["package_marker"] = True
    found = make(results)
    assert len(found["failures"]) == 1 and not found["packaged_database"]


def test_live_hub_and_blank_hub():
    found = make()
    assert found["failures"] == [] and found["warnings"] == [] and found["complete"]
    assert (found["active"], found["passive"]) == ("hub1", "hub2")
    assert found["nodes"] == {"hub1": "hub1", "hub2": "hub2"}
    assert [net["network"] for net in found["networks"]] == ["192.168.100.0/24", "192.168.0.0/24", "192.168.10.0/24"]
    assert found["links"] == [dict(net, number=number, priority=3 - number)
                              for number, net in enumerate(found["networks"])]
    assert found["client"]["network"] == "192.168.100.0/24"
    assert found["replication"]["network"] == "192.168.10.0/24"
    assert found["virtual_ips"] == [{"id": "cfvirtip", "ip": "192.168.100.100", "prefix": 24}]
    assert found["peer_addresses"] == {"hub1": ["192.168.10.11", "192.168.100.11", "192.168.0.11"],
                                       "hub2": ["192.168.10.10", "192.168.100.10", "192.168.0.10"]}
    assert found["hba_addresses"] == ["192.168.%s/32" % end for end in
                                      ("0.10", "0.11", "10.10", "10.11", "100.10", "100.11")]
    assert (found["pg_major"], found["pg_bin"], found["pg_port"]) == (17, "/usr/lib/postgresql/17/bin", 5432)
    assert found["pg_size"] == 120 << 20 and found["system_identifier"] == pair.SYSTEM
    assert found["packages"]["hub1"] == ["corosync", "pacemaker", "pacemaker-cli-utils", "resource-agents"]
    assert found["packages"]["hub2"] == found["packages"]["hub1"] + ["openssl", "cfengine3", "postgresql-17"]
    assert found["restart"] == ["listen_addresses", "wal_log_hints"]
    assert found["slots"] == {"hub1": "hub_ha_hub1", "hub2": "hub_ha_hub2"}
    assert found["ha_info"] == {"192.168.100.10": {"sha": "a1" * 32, "internal_ip": "192.168.100.10"}}
    assert not found["adopted"]


@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_running_pair(active):
    passive = "hub2" if active == "hub1" else "hub1"
    found = make(pair.running_pair(active))
    assert found["failures"] == []
    assert (found["active"], found["passive"]) == (active, passive)
    assert found["restart"] == [] and found["packages"] == {"hub1": [], "hub2": []}
    assert found["adopted"]
    assert found["client"]["addresses"] == {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}, "not the shared one"
    assert sorted(found["ha_info"]) == ["192.168.100.10", "192.168.100.11"]
    assert found["ha_info"]["192.168.100.11"]["sha"] == "b2" * 32


def test_facts_are_not_changed():
    results, wanted = pair.results(), pair.settings()
    copies = copy.deepcopy((results, wanted))
    plan.make_plan(results, wanted)
    assert (results, wanted) == copies


def test_two_clients_addresses_and_one_for_replication():
    found = make(virtual_ip=["192.168.100.100", "192.168.0.100"], replication_virtual_ip="192.168.10.100")
    assert found["failures"] == []
    assert [(item["id"], item["ip"]) for item in found["virtual_ips"]] == [
        ("cfvirtip", "192.168.100.100"), ("cfvirtip_2", "192.168.0.100"), ("cfvirtip_repl", "192.168.10.100")]
    assert found["peer_addresses"]["hub2"][0] == "192.168.10.10", "PostgreSQL streams over the replication network"
    assert found["replication"]["network"] == "192.168.10.0/24"


def test_upper_case_host_name_becomes_lower_case_node():
    results = pair.results()
    results["hub2"]["hub"]["uname"] = "HUB2"
    for result in results.values():
        result["hub"]["names"]["HUB2"] = result["hub"]["names"]["hub2"]
    found = make(results)
    assert found["failures"] == [] and found["nodes"]["hub2"] == "hub2" and found["slots"]["hub2"] == "hub_ha_hub2"


def test_both_address_families_on_one_link():
    results = pair.results()
    for number, result in enumerate(results.values()):
        result["hub"]["addresses"].append({"interface": "eth1", "address": "fd00:5::%d" % (10 + number), "prefix": 64,
                                           "network": "fd00:5::/64", "secondary": False})
    found = make(results)
    assert found["failures"] == []
    assert found["hba_addresses"][-2:] == ["fd00:5::10/128", "fd00:5::11/128"] and len(found["hba_addresses"]) == 8


# --- find_active ---------------------------------------------------------------------------------------------------

def roles(first, second, promoted=(None, None)):
    """(active, failures) for two hubs with these states of PostgreSQL and these opinions of the cluster."""
    infos = {"hub1": pair.live_hub(), "hub2": pair.live_hub("hub2", 11)}
    for info, state, name in zip(infos.values(), (first, second), promoted):
        info["postgres"]["state"] = state
        if state not in ("primary", "standby"):
            info["postgres"]["server"] = None
        info["cluster"]["promoted"] = name
    found = find_roles(infos)
    assert {found.active, found.passive} == {"hub1", "hub2"}
    return found.active, [item.to_dict() for item in primary.problems(infos, found)]


STATES = ("primary", "standby", "unreachable", "stopped", "absent", "foreign")


@pytest.mark.parametrize("other", [state for state in STATES if state != "primary"])
def test_the_only_primary_is_active_wherever_it_stands(other):
    assert roles("primary", other) == ("hub1", [])
    assert roles(other, "primary") == ("hub2", [])


@pytest.mark.parametrize("first, second, active", [
    ("unreachable", "absent", "hub1"), ("absent", "unreachable", "hub2"),
    ("standby", "unreachable", "hub2"), ("unreachable", "standby", "hub1"), ("stopped", "unreachable", "hub2")])
def test_a_database_that_does_not_answer_may_be_the_primary(first, second, active):
    assert roles(first, second) == (active, []), "that it does not answer is said elsewhere"


@pytest.mark.parametrize("first, second, active", [
    ("stopped", "absent", "hub1"), ("absent", "stopped", "hub2"), ("absent", "absent", "hub1"),
    ("standby", "standby", "hub1"), ("standby", "stopped", "hub2"), ("foreign", "absent", "hub1")])
def test_no_primary_at_all(first, second, active):
    found, failures = roles(first, second)
    assert found == active, "hub with data first, then inventory order"
    assert len(failures) == 1
    assert "neither hub (hub1: %s, hub2: %s)" % (first, second) in failures[0]["problem"]


def test_promoted_decides_between_two_primaries_and_both_are_reported():
    for promoted, other in (("hub1", "hub2"), ("hub2", "hub1")):
        active, failures = roles("primary", "primary", (promoted, promoted))
        assert active == promoted
        assert [(item["host"], "primary on both hubs" in item["problem"]) for item in failures] == [(other, True)]


def test_each_half_of_a_split_cluster_calls_itself_promoted():
    active, failures = roles("primary", "primary", ("hub1", "hub2"))
    assert active == "hub1" and len(failures) == 1 and failures[0]["host"] == "hub2"


def test_the_cluster_is_not_believed_against_postgresql():
    assert roles("standby", "primary", ("hub1", "hub1")) == ("hub2", [])
    assert roles("primary", "standby", ("Hub1", None)) == ("hub1", [])
    assert roles("primary", "standby", ("elsewhere", None)) == ("hub1", [])


def test_promoted_and_silent_stays_active():
    assert roles("unreachable", "unreachable", ("hub2", "hub2")) == ("hub2", [])


# --- every failure, one by one ------------------------------------------------------------------------------------

def case(name, host, problem, remedy, change=None, probes=None, **settings):
    return pytest.param(host, problem, remedy, change, probes, settings, id=name)


def hub1(change):
    return lambda results: change(results["hub1"]["hub"])


def no_apt(info):
    """The vendor's package on a distribution with another packager; everything was installed by hand."""
    info.update(packages=None, layout_found="enterprise", layout=copy.deepcopy(LAYOUTS["enterprise"]))
    info["cfengine"].update(installed=True, version="3.24.2", edition="enterprise")
    info["cluster"].update(corosync_installed=True, pacemaker_installed=True, corosync_version="3.1.9",
                           pacemaker_version="2.1.9")
    info["cluster"]["agents"] = dict.fromkeys(info["cluster"]["agents"], True)


def both(change):
    return lambda results: [change(result["hub"]) for result in results.values()]


def hub2(change):
    return lambda results: change(results["hub2"]["hub"])


def equal_names(results):
    results["hub2"]["hub"]["uname"] = "hub1"
    results["hub2"]["hub"]["names"] = {"hub1": ["127.0.1.1"], "hub2": ["127.0.1.1"]}


def localhost(results):
    for result in results.values():
        result["hub"]["names"]["localhost"] = [result["hub"]["addresses"][0]["address"]]
    results["hub1"]["hub"]["uname"] = "localhost"
    results["hub2"]["hub"]["names"]["localhost"] = ["192.168.100.10"]


def own_data(state):
    def change(info):
        theirs = pair.live_hub("hub2", 11)["postgres"]
        theirs["control"]["system_identifier"] = pair.OTHER_SYSTEM
        theirs["state"] = state
        if state == "stopped":
            theirs.update(server=None, pid=None)
        else:
            theirs["server"].update(system_identifier=pair.OTHER_SYSTEM, in_recovery=state == "standby")
        info["postgres"] = theirs
    return hub2(change)


def former_primary(results):
    theirs = pair.live_hub("hub2", 11)["postgres"]
    theirs.update(server=None, pid=None, state="stopped")
    theirs["control"]["state"] = "shut down"
    results["hub2"]["hub"]["postgres"] = theirs


def second_primary(results):
    results["hub2"]["hub"]["postgres"] = pair.live_hub("hub2", 11)["postgres"]


def silent(info):
    info["postgres"].update(state="unreachable", pid=812, server=None, error="FATAL: role \"root\" does not exist")


def standby(info):
    info["postgres"]["state"] = "standby"
    info["postgres"]["server"]["in_recovery"] = True


def server(**values):
    return hub1(lambda info: info["postgres"]["server"].update(values))


def setting(name, **values):
    return hub1(lambda info: info["postgres"]["server"]["settings"][name].update(values))


def package(host, name, **values):
    return lambda results: results[host]["hub"]["packages"][name].update(values)


def no_common_network(results):
    for item in results["hub2"]["hub"]["addresses"]:
        item.update(address="172." + item["address"], network="172." + item["network"])
        for key in ("address", "network"):
            item[key] = item[key].replace("172.192.168", "172.16")
    for result in results.values():
        result["hub"]["names"]["hub2"] = [results["hub2"]["hub"]["addresses"][0]["address"]]


def foreign_cluster(results):
    cluster = results["hub2"]["hub"]["cluster"]
    cluster["corosync_conf"] = pair.corosync_conf("web", ("web1", "web2"))
    cluster["cib_nodes"] = ["web1", "web2"]


def conf(text, host="hub2"):
    return lambda results: results[host]["hub"]["cluster"].update(corosync_conf=text)


def resource(name, agent):
    return hub1(lambda info: info["cluster"]["cib_resources"].update({name: agent}))


def device(**changes):
    found = copy.deepcopy(DEVICES)
    for key, value in changes.items():
        if value is None:
            del found[1][key]
        else:
            found[1][key] = value
    return found


def def_json(error):
    return hub1(lambda info: info["cfengine"].update(def_json_error=error))


TLS = ["/etc/tls/hub.crt", "/etc/tls/hub.key", "/etc/tls/ca.crt"]


def tls(host, look=None, **states):
    """Given TLS files as they should be on both hubs, but for those named: crt, key or ca.

    look: what differs in what hub_info has found out by trying them.
    """
    def change(results):
        for name, result in results.items():
            info = result["hub"]
            found = {"crt": "root:root 0644", "key": "cfpostgres:cfpostgres 0600", "ca": "root:root 0644"}
            info["tls"] = {"problem": None, "expires": 1000.6 + 300 * 86400, "authorities": "a", "unreadable": []}
            if name == host:
                found.update(states)
                info["tls"].update(look or {})
            info["files"] = dict(zip(TLS, (found["crt"], found["key"], found["ca"])))
    return change


def fits(results, **settings):
    return make(results, tls=TLS, **settings)


def unreachable(results):
    results["hub2"] = {"unreachable": True, "msg": "Failed to connect to the host via ssh:\n  Connection refused"}


def third_hub(results):
    results["hub3"] = {"hub": pair.blank_hub("hub3", 12)}


STOCK_CONF = "totem {\n cluster_name: debian\n}\nnodelist {\n node {\n  name: node1\n" \
    "  ring0_addr: 127.0.0.1\n }\n}\n"
AUTO = DATA + "/postgresql.auto.conf"
NONE_TAKEN = {"hub1": {"unanswered": [], "taken": []}, "hub2": {"unanswered": [], "taken": []}}

CASES = [
    # wrong or missing variables
    case("no address", "all", "hub_ha_virtual_ip is not set", "set it to", virtual_ip=""),
    case("address missing", "all", "hub_ha_virtual_ip is not set", "set it to", virtual_ip=None),
    case("no address, list", "all", "hub_ha_virtual_ip is not set", "set it to", virtual_ip=[]),
    case("no ip", "all", "'hub.example.com' is no IP address", "plain address", virtual_ip="hub.example.com"),
    case("prefix given", "all", "'192.168.100.100/24' is no IP address", "without a prefix",
         virtual_ip="192.168.100.100/24"),
    case("number out of range", "all", "'192.168.100.256' is no IP", "plain address", virtual_ip="192.168.100.256"),
    case("bad replication address", "all", "'x' is no IP address", "plain address", replication_virtual_ip="x"),
    case("address twice", "all", "192.168.100.100 is given twice", "once",
         virtual_ip=["192.168.100.100", "192.168.100.100"]),
    case("address twice, replication", "all", "192.168.100.100 is given twice", "once",
         replication_virtual_ip="192.168.100.100"),
    case("outside", "all", "10.1.2.3 lies in no subnet that both hubs have (hub1: 192.168.100.10/24",
         "a network on which both hubs have one", virtual_ip="10.1.2.3"),
    case("replication address outside", "all", "10.1.2.3 is on no network", "hub_ha_replication_virtual_ip",
         replication_virtual_ip="10.1.2.3"),
    case("own address", "hub1", "192.168.100.10 is this hub's own address", "free one", virtual_ip="192.168.100.10"),
    case("own replication address", "hub2", "192.168.10.11 is this hub's own address", "free one",
         replication_virtual_ip="192.168.10.11"),
    case("unknown replication network", "all", "10.0.0.0/8 is on no network", "hub_ha_replication_network",
         replication_network="10.0.0.0/8"),
    case("unknown link", "all", "hub_ha_links names 10.0.0.0/24", "leave hub_ha_links out",
         links=["10.0.0.0/24", "192.168.0.0/24", "192.168.10.0/24"]),
    # hubs
    case("unreachable", "hub2", "cannot be reached: Failed to connect to the host via ssh: Connection refused",
         "ansible -i INVENTORY -m ping hub2", unreachable),
    case("one hub", "all", "has 1 hub", "exactly two", lambda results: results.pop("hub2")),
    case("three hubs", "all", "has 3 hubs", "exactly two", third_hub),
    case("equal names", "hub2", "both hubs answer to the name 'hub1'", "hostnamectl set-hostname", equal_names),
    case("localhost", "hub1", "the host name is 'localhost'", "hostnamectl set-hostname", localhost),
    case("name unknown", "hub1", "the name hub2 does not resolve", "/etc/hosts on hub1",
         hub1(lambda info: info["names"].update(hub2=[]))),
    case("own name unknown", "hub2", "the name hub2 does not resolve", "/etc/hosts on hub2",
         hub2(lambda info: info["names"].update(hub2=[]))),
    case("wrong name", "hub2", "the name hub1 resolves to 10.0.0.9, which is no address of that hub",
         "/etc/hosts on hub2", hub2(lambda info: info["names"].update(hub1=["10.0.0.9"]))),
    case("clocks", "all", "at least 2.", "chrony", hub2(lambda info: info["clock"].update(begin=1003.1, end=1003.6))),
    case("clocks, behind", "all", "at least 2.", "chrony",
         hub2(lambda info: info["clock"].update(begin=997.1, end=997.6))),
    # versions and packages
    case("no source", "hub2", "package pacemaker is not installed and no package source offers it",
         "apt-cache policy pacemaker", package("hub2", "pacemaker", candidate="")),
    case("no source for PostgreSQL", "hub2", "package postgresql-17 is not installed", "apt-cache policy",
         package("hub2", "postgresql-17", candidate="")),
    case("installation cut off", "hub2", "a package installation was cut off", "dpkg --configure -a",
         hub2(lambda info: info.update(packager_interrupted=True))),
    case("pacemaker differs", "all", "pacemaker would differ between the hubs: 2.1.5-1 on hub1, 3.0.0-3 on hub2",
         "same version", package("hub1", "pacemaker", installed="2.1.5-1")),
    case("agents differ", "all", "resource-agents would differ", "same version",
         package("hub2", "resource-agents", candidate="1:4.12.0-2")),
    case("cfengine differs, not installed yet", "hub2", "CFEngine 3.21.0 here and 3.24.2 on hub1", "same version",
         package("hub2", "cfengine3", candidate="3.21.0-1")),
    case("cfengine differs", "hub2", "CFEngine 3.21.5 here and 3.24.2 on hub1", "same version",
         hub2(lambda info: info["cfengine"].update(version="3.21.5"))),
    case("no cfengine", "hub1", "CFEngine is not installed", "playbooks/install-ha.yml",
         hub1(lambda info: info["cfengine"].update(version=None))),
    case("postgresql too old", "hub1", "PostgreSQL 12 is not supported", "supported are 13 to 18", lambda results: (
        server(version_num=120022)(results),
        [result["hub"]["packages"].update({"postgresql-12": {"installed": "12", "candidate": "12"}})
         for result in results.values()])),
    case("layouts differ", "hub2", "the hubs differ in layout: enterprise here, debian on hub1", "same edition",
         hub2(lambda info: info.update(layout_found="enterprise"))),
    case("hub packages bring another PostgreSQL", "hub2", "PostgreSQL 15 here and 17 on hub1", "hub package",
         lambda results: (both(no_apt)(results),
                          results["hub2"]["hub"]["postgres"].update(bins={"15": "/var/cfengine/bin"}))),
    case("hub package lacks", "hub2", "CFEngine is not installed here", "same hub package as on hub1 (CFEngine 3.24.2)",
         lambda results: (both(no_apt)(results), results["hub2"]["hub"].update(layout_found=None),
                          results["hub2"]["hub"]["cfengine"].update(installed=False, version=None))),
    case("hub package lacks and no source has it", "hub2",
         "cfengine-nova-hub is not installed and no package source offers",
         "install the vendor's file of it by hand, with the version that hub1 has",
         lambda results: (enterprise(results), [result["hub"]["packages"].pop("cfengine-nova-hub")
                                                for result in results.values()])),
    case("hub package lacks and apt offers another version", "hub2", "CFEngine 3.27.0 here and 3.24.2 on hub1",
         "same version",
         lambda results: (enterprise(results), results["hub2"]["hub"]["packages"].update({
             "cfengine-nova-hub": {"installed": "", "candidate": "3.27.0-1"}}))),
    case("the vendor's policy manages units", "hub1", "mpf_enable_cfengine_systemd_component_management",
         "take that class out of def.json",
         lambda results: enterprise(results)["hub1"]["hub"]["cfengine"].update(manages_units=True)),
    case("hub package lacks on a hub of a pair", "hub2", "pacemaker has this hub's database",
         "out of the cluster first",
         lambda results: (enterprise(results), results["hub2"]["hub"]["cluster"].update(has_database=True))),
    case("no cluster programs and no apt", "hub2",
         "nor dnf is the packager: corosync, pacemaker, ocf:heartbeat:IPaddr2, ocf:heartbeat:pgsql, openssl",
         "package sources first", lambda results: (both(no_apt)(results), results["hub2"]["hub"].update(
             cluster=pair.blank_cluster(), programs_missing=["openssl"]))),
    case("no agent and no apt", "hub1", "nor dnf is the packager: ocf:heartbeat:pgsql", "resource-agents",
         lambda results: (both(no_apt)(results),
                          results["hub1"]["hub"]["cluster"]["agents"].update({"ocf:heartbeat:pgsql": False}))),
    case("pacemaker differs, no apt", "all", "pacemaker would differ between the hubs: 2.1.9 on hub1, 2.1.7 on hub2",
         "same version", lambda results: (both(no_apt)(results), results["hub2"]["hub"]["cluster"].update(
             pacemaker_version="2.1.7"))),
    case("cfengine too old", "hub1", "CFEngine 3.15.4 is not supported", "3.18 or newer", lambda results: (
        results["hub1"]["hub"]["cfengine"].update(version="3.15.4"),
        results["hub2"]["hub"]["packages"]["cfengine3"].update(candidate="3.15.4-1"))),
    # the active hub's database and policy
    case("does not answer", "hub1", "PostgreSQL runs (pid 812) but does not answer: FATAL: role \"root\"",
         "psql -d postgres", hub1(silent)),
    case("in recovery", "all", "neither hub (hub1: standby, hub2: absent)", "primary's data first", hub1(standby)),
    case("nothing runs", "all", "neither hub (hub1: stopped, hub2: absent)", "docs/operate.md",
         hub1(lambda info: info["postgres"].update(state="stopped", server=None, pid=None))),
    case("stopped by a run that was cut off", "hub1", "stopped, and the cluster leaves it so: a run that was cut off",
         "start it in place", hub1(lambda info: (info.update(maintenance_marker=True), info["postgres"].update(
             state="stopped", server=None, pid=None), info["cluster"].update(promoted="hub1", maintenance=True)))),
    case("stopped, the maintenance over", "all", "PostgreSQL runs as a primary on neither hub",
         "start the hub that holds the primary's data first",
         hub1(lambda info: (info.update(maintenance_marker=True), info["postgres"].update(
             state="stopped", server=None, pid=None), info["cluster"].update(promoted="hub1", maintenance=False)))),
    case("nobody serves in maintenance mode", "all",
         "neither hub (hub1: stopped, hub2: absent), and the cluster is in maintenance mode",
         "crm_attribute --type crm_config --name maintenance-mode --delete",
         hub1(lambda info: (info["postgres"].update(state="stopped", server=None, pid=None),
                            info["cluster"].update(maintenance=True)))),
    case("pg_hba.conf broken", "hub1", "pg_hba.conf line 7: invalid authentication method", "correct that line",
         server(hba_errors=[{"line": 7, "error": "invalid authentication method \"x\""}])),
    case("tablespace", "hub1", "a tablespace lies outside the data directory: /srv/fast", "pg_default",
         server(tablespaces=["/srv/fast"])),
    case("synchronous names", "hub1", "synchronous_standby_names is set (hub2)", "remove it",
         setting("synchronous_standby_names", setting="hub2")),
    case("no policy hub", "hub1", "is not a policy hub", "cf-agent -B",
         hub1(lambda info: info["cfengine"].update(am_policy_hub=False))),
    case("TLS file missing", "hub2", "/etc/tls/ca.crt, which the TLS variables name, does not exist", "both hubs",
         tls("hub2", ca="absent"), tls=TLS),
    case("TLS file a directory", "hub1", "/etc/tls/hub.crt, which the TLS variables name, is a directory", "both hubs",
         tls("hub1", crt="a directory"), tls=TLS),
    case("TLS key of root", "hub1", "will not use the key /etc/tls/hub.key with owner and mode root:root 0600", "chown",
         tls("hub1", {"unreadable": TLS[1:2]}, key="root:root 0600"), tls=TLS),
    case("TLS key in a directory of root", "hub1", "will not use the key /etc/tls/hub.key with owner and mode cfp",
         "pass through the directories", tls("hub1", {"unreadable": TLS[1:2]}), tls=TLS),
    case("TLS key of root on a blank hub", "hub2", "will not use the key /etc/tls/hub.key with owner and mode root:",
         "useradd --system --user-group --home-dir /var/lib/cfengine3/state/pg --shell /bin/sh cfpostgres; then",
         tls("hub2", key="root:root 0600"), tls=TLS),
    case("TLS key of a group that the user will not be in", "hub2", "will not use the key", "useradd",
         tls("hub2", key="root:www-data 0640"), tls=TLS),
    case("TLS authorities for root only", "hub1", "the database's user cfpostgres cannot read /etc/tls/ca.crt", "chmod",
         tls("hub1", {"unreadable": TLS[2:]}, ca="root:root 0600"), tls=TLS),
    case("TLS certificate for root only, blank hub", "hub2", "cfpostgres cannot read /etc/tls/hub.crt (root:root 0600)",
         "chmod 0644 /etc/tls/hub.crt", tls("hub2", crt="root:root 0600"), tls=TLS),
    case("TLS files do not fit", "hub2", "the key k does not belong to the certificate c", "signed it",
         tls("hub2", {"problem": "the key k does not belong to the certificate c", "expires": None}), tls=TLS),
    case("TLS key for all", "hub1", "will not use the key /etc/tls/hub.key with owner and mode cfpostgres", "chmod",
         tls("hub1", key="cfpostgres:cfpostgres 0640"), tls=TLS),
    case("def.json broken", "hub1", "is not what CFEngine reads: Expecting value", "correct the file",
         def_json("Expecting value: line 1 column 22 (char 21)")),
    case("set by ALTER SYSTEM", "hub1", "listen_addresses is set in " + AUTO, "ALTER SYSTEM RESET listen_addresses",
         setting("listen_addresses", sourcefile=AUTO, source="configuration file")),
    case("set on the command line", "hub1", "wal_log_hints is set in the server's command line", "start command",
         setting("wal_log_hints", source="command line")),
    # the passive hub's database
    case("own data, running", "hub2", "primary on both hubs", "nothing here overwrites a primary",
         own_data("primary")),
    case("own data, stopped", "hub2", "a database of its own (system %s; the hub to be upgraded is %s)"
         % (pair.OTHER_SYSTEM, pair.SYSTEM), "move %s aside" % DATA, own_data("stopped")),
    case("own data, standby of another", "hub2", "a database of its own", "aside", own_data("standby")),
    case("already a primary of the same data", "hub2", "primary on both hubs: hub1 (system %s, 120.0 MB)"
         % pair.SYSTEM, "decide which hub", second_primary),
    case("former primary", "hub2",
         "holds rows that hub1 lacks is not known: both are on timeline 1, and both have written", "save it, then move",
         former_primary),
    case("passive silent", "hub2", "a PostgreSQL runs here (pid 812) and does not answer", "stop it", hub2(silent)),
    case("files in the way", "hub2", DATA + " holds files that are no database", "move them away",
         hub2(lambda info: info["postgres"].update(state="foreign"))),
    case("port taken", "hub2", "something else listens on port 5432", "ss -ltnp",
         hub2(lambda info: info["ports"].append(5432))),
    case("no space", "hub2", "100.0 MB free in /var/lib, the copy needs 196.0 MB", "make room",
         hub2(lambda info: info["space"].update(free_bytes=100 << 20))),
    # cluster
    case("foreign cluster", "hub2", "belongs to another cluster: 'web' with the nodes web1, web2", "take it out",
         foreign_cluster),
    case("other cluster name", "hub1", "belongs to another cluster: 'old'", "hub_ha_cluster_name",
         conf(pair.corosync_conf("old"), "hub1")),
    case("corosync.conf broken", "hub2", "corosync.conf cannot be read: corosync.conf line 1", "repair it",
         conf("}\n")),
    case("multicast cluster", "hub2", "belongs to another cluster: 'web'", "take it out",
         conf("totem {\n cluster_name: web\n interface {\n  bindnetaddr: 192.168.0.0\n }\n}\n")),
    case("stock cluster in use", "hub1", "runs with resources of its own: web", "remove them", lambda results: (
        conf(STOCK_CONF, "hub1")(results), resource("web", "systemd:nginx")(results))),
    case("foreign node in the CIB", "hub1", "the CIB knows a node 'db9'", "take that node out",
         hub1(lambda info: info["cluster"].update(cib_nodes=["hub1", "db9"]))),
    case("id taken by another agent", "hub1", "resource cfpgsql of another kind: ocf:heartbeat:mysql",
         "rename that resource", resource("cfpgsql", "ocf:heartbeat:mysql")),
    case("address id taken", "hub1", "resource cfvirtip of another kind: systemd:nginx", "rename",
         resource("cfvirtip", "systemd:nginx")),
    case("group's id taken", "hub1", "resource cfengine of another kind: systemd:cfengine3", "rename",
         resource("cfengine", "systemd:cfengine3")),
    # fencing
    case("fencing undecided", "all", "fencing is not decided", "hub_ha_fencing_none_reason", fencing=[],
         fencing_none_reason=""),
    case("fencing none, no reason", "all", "'none' without a reason", "write the reason", fencing_none_reason="  "),
    case("fencing misspelt", "all", "neither a list of devices nor 'none'", "docs/variables.md", fencing="off"),
    case("device without agent", "all", "a fencing device lacks agent", "fence_...", fencing=device(agent=None)),
    case("device for nobody", "all", "fence-hub2 names hub9, which is no hub", "inventory's name",
         fencing=device(hub="hub9") + [dict(DEVICES[1], id="fence-2")]),
    case("device is a text", "all", "a fencing device is not a mapping", "docs/variables.md",
         fencing=device() + ["fence_ipmilan"]),
    case("device with a list of hubs", "all", "hub of fencing device fence-hub2 is not one text", "write two",
         fencing=device(hub=["hub1", "hub2"])),
    case("device with a number for id", "all", "id of fencing device without an id is not one text", "give one",
         fencing=device(id=7)),
    case("device with an id of the pair", "all", "'cfvirtip_2' cannot be the id", "own resources",
         fencing=device(id="cfvirtip_2")),
    case("two devices of one id", "all", "two fencing devices have the id fence-hub1", "own id",
         fencing=device(id="fence-hub1")),
    case("device with a misspelt key", "all", "fence-hub2 has an unknown key pasword", "did you mean password?",
         fencing=device(password=None, pasword="hush-hush")),
    case("device with a parameter outside params", "all", "fence-hub2 has an unknown key lanplus", "below params",
         fencing=device(lanplus="1")),
    case("agent with a class", "all", "agent 'stonith:fence_ipmilan' of fencing device fence-hub2 is no fence agent",
         "name alone", fencing=device(agent="stonith:fence_ipmilan")),
    case("agent of another kind", "all", "agent 'external/ipmi' of", "name alone",
         fencing=device(agent="external/ipmi")),
    case("params as a text", "all", "params of fencing device fence-hub2 is not a mapping", "write {",
         fencing=device(params="ip=10.9.9.9")),
    case("params as a list", "all", "params of fencing device fence-hub2 is not a mapping", "write {",
         fencing=device(params=["ip", "10.9.9.9"])),
    case("parameter without a value", "all", "parameter ip of fencing device fence-hub2 is not one line", "leave",
         fencing=device(params={"ip": None})),
    case("parameter that is a list", "all", "parameter ip of fencing device fence-hub2 is not one line", "leave",
         fencing=device(params={"ip": ["10.9.9.9", "10.9.9.8"]})),
    case("password that is a mapping", "all", "password of fencing device fence-hub2 is not one line", "leave it out",
         fencing=device(password={"vault": "hush-hush"})),
    case("password of two lines", "all", "password of fencing device fence-hub2 is not one line", "leave it out",
         fencing=device(password="hush-hush\nx")),
    case("agent missing", "hub2", "the fence agent fence_ipmilan is not installed here (/usr/sbin/fence_ipmilan)",
         "hub_ha_fencing_packages", hub2(lambda info: info.update(fence_agents=["fence_apc"])), fencing=DEVICES),
    case("agent missing, its package is there", "hub1", "the fence agent fence_ipmilan is not installed here",
         "hub_ha_fencing_packages", lambda results: (
             results["hub1"]["hub"].update(fence_agents=[]),
             [result["hub"]["packages"].update({"fence-agents": {"installed": "4.12", "candidate": "4.12"}})
              for result in results.values()]),
         fencing=DEVICES, fencing_packages=["fence-agents"]),
    case("hub without device", "hub2", "no fencing device can switch this hub off", "add one", fencing=DEVICES[:1]),
    # the password
    case("password with line break", "all", "control character or a line break", "any other",
         replication_password="abc\ndef"),
    case("password with DEL", "all", "control character", "any other", replication_password="abc\x7f"),
    # links
    case("no common network", "all", "the hubs have no network in common (hub1: 192.168.100.10/24", "connect them",
         no_common_network),
    case("link down", "hub1", "hub2 (192.168.10.11) port 5405/udp cannot be reached", "cable, routes and firewall",
         probes=dict(NONE_TAKEN, hub1={"taken": [], "unanswered": [
             {"peer": "hub2", "address": "192.168.10.11", "port": 5405, "protocol": "udp"}]})),
    case("address in use", "all", "192.168.100.100 is in use already (02:42:aa has it, seen from hub2)",
         "free address", probes=dict(NONE_TAKEN, hub2={"unanswered": [], "taken": [
             {"address": "192.168.100.100", "by": "02:42:aa"}]})),
]


@pytest.mark.parametrize("host, problem, remedy, change, probes, settings", CASES)
def test_one_failure(host, problem, remedy, change, probes, settings):
    results = pair.results()
    if change:
        change(results)
    failures = make(results, probes, **settings)["failures"]
    assert len(failures) == 1, failures
    assert failures[0]["host"] == host
    assert problem in failures[0]["problem"]
    assert remedy in failures[0]["remedy"]
    text = filters.preflight_text({"failures": failures, "warnings": []})
    assert text.startswith(" 1. %s: " % host) and "\n      -> " in text


def test_every_failure_at_once():
    """Whatever is wrong is said in the first report, not one after another."""
    results = pair.results()
    together = {
        "name unknown", "clocks", "no source", "pacemaker differs", "pg_hba.conf broken", "tablespace",
        "synchronous names", "no policy hub", "def.json broken", "set by ALTER SYSTEM", "set on the command line",
        "own data, stopped", "corosync.conf broken", "foreign node in the CIB", "id taken by another agent",
        "address id taken", "layouts differ", "cfengine differs"}
    expected = [param.values for param in CASES if param.id in together]
    assert len(expected) == len(together)
    probes = {"hub1": {"taken": [], "unanswered": [{"peer": "hub2", "address": "192.168.10.11", "port": 5405,
                                                    "protocol": "udp"}]}, "hub2": {}}
    for values in expected:
        values[3](results)
    failures = make(results, probes, virtual_ip=["x", "10.1.2.3"], fencing_none_reason="", links=["10.0.0.0/24"],
                    replication_password="\t")["failures"]
    problems = [(item["host"], item["problem"]) for item in failures]
    for values in expected:
        hits = [problem for host, problem in problems if host == values[0] and values[1] in problem]
        # the one package that both cases mean is told of by whichever looks at it
        assert hits or values[1].startswith("pacemaker would differ"), (values[1], problems)
    for text in ("'x' is no IP address", "10.1.2.3 lies in no subnet", "without a reason", "hub_ha_links names",
                 "control character", "port 5405/udp cannot be reached"):
        assert [problem for dummy, problem in problems if text in problem], text
    assert len(problems) == len(set(problems)), "nothing is said twice"
    assert all(item["remedy"] for item in failures)


def test_an_unreachable_hub_does_not_hide_wrong_variables():
    results = pair.results()
    unreachable(results)
    failures = make(results, virtual_ip="x", fencing=device(agent=None), replication_password="\n")["failures"]
    assert [item["problem"].split(":")[0] for item in failures] == [
        "cannot be reached", "the shared address 'x' is no IP address", "a fencing device lacks agent",
        "hub_ha_replication_password holds a control character or a line break"]


def test_one_hub_in_the_inventory_and_wrong_variables():
    results = pair.results()
    del results["hub2"]
    problems = [item["problem"] for item in make(results, fencing=[])["failures"]]
    assert problems == ["fencing is not decided", "the inventory's group has 1 hub"]


def test_both_hubs_unreachable():
    failures = make(dict((host, {"unreachable": True, "msg": "no route"}) for host in ("hub1", "hub2")))["failures"]
    assert [item["host"] for item in failures] == ["hub1", "hub2"]


@pytest.mark.parametrize("password", ["it's", 'a"b', "back\\slash", "100%", "$HOME $(id) `id`", "a b  c", "ä€", "a:b",
                                      "'\"\\%$ {{ x }}", ""])
def test_any_printable_password_is_accepted(password):
    assert make(replication_password=password)["failures"] == []


# --- what must not be refused -------------------------------------------------------------------------------------

def test_foreign_resources_in_the_cib_are_allowed():
    results = pair.running_pair()
    for result in results.values():
        result["hub"]["cluster"]["cib_resources"].update(web="systemd:nginx", mail="ocf:heartbeat:postfix")
    assert make(results)["failures"] == []


def test_own_address_is_refused_beside_foreign_resources():
    results = pair.results()
    results["hub1"]["hub"]["cluster"]["cib_resources"] = {"web": "systemd:nginx"}
    failures = make(results, virtual_ip="192.168.100.10")["failures"]
    assert [item["problem"] for item in failures] == ["the shared address 192.168.100.10 is this hub's own address"]


def test_stock_corosync_configuration_is_no_cluster():
    results = pair.results()
    for result in results.values():
        result["hub"]["cluster"].update(corosync_conf=STOCK_CONF, cib_nodes=["node1"])
    found = make(results)
    assert found["failures"] == [] and found["stock_clusters"] == ["hub1", "hub2"]


@pytest.mark.parametrize("change", [
    lambda cluster: None, lambda cluster: cluster.update(corosync_conf=None),
    lambda cluster: cluster.update(corosync_conf="# a comment was here\n" + cluster["corosync_conf"]),
    lambda cluster: cluster.update(corosync_conf=STOCK_CONF), lambda cluster: cluster.update(corosync_conf="}")],
    ids=["as it is", "file gone", "comment", "package's file put back", "broken"])
def test_a_running_pair_is_never_taken_for_the_packages_own_cluster(change):
    """Nobody's cluster is stopped, so this must not depend on a comment that pcs or an operator may have removed."""
    results = pair.running_pair()
    for result in results.values():
        assert "Ansible" not in result["hub"]["cluster"]["corosync_conf"]
        change(result["hub"]["cluster"])
    assert make(results)["stock_clusters"] == []


def test_a_pair_made_by_hand_is_not_stopped():
    """The same names, a cluster without resources yet."""
    results = pair.results()
    for result in results.values():
        result["hub"]["cluster"].update(corosync_conf=pair.corosync_conf(), cib_nodes=["hub1", "hub2"],
                                        cib_readable=True)
    found = make(results)
    assert found["failures"] == [] and found["stock_clusters"] == []


def test_clock_difference_within_the_limit_or_unknown():
    results = pair.results()
    results["hub2"]["hub"]["clock"] = {"begin": 1001.1, "end": 1001.6}
    assert make(results)["failures"] == []
    results["hub2"]["hub"]["clock"] = {"begin": 1009.1, "end": 1009.6}
    del results["hub1"]["hub"]["controller_clock"]
    assert make(results)["failures"] == []


def test_a_slow_connection_is_no_clock_difference():
    results = pair.results()
    results["hub2"]["hub"].update(clock={"begin": 1008.0, "end": 1008.5},
                                  controller_clock={"begin": 1000.0, "end": 1008.6})
    assert make(results)["failures"] == []


def test_clone_in_progress_or_stopped_standby_is_no_data_of_its_own():
    results = pair.results()
    former_primary(results)
    theirs = results["hub2"]["hub"]["postgres"]
    theirs["backup_label"] = True
    assert make(results)["failures"] == []
    theirs.update(backup_label=False, standby_signal=True)
    for state in ("shut down in recovery", "in archive recovery"):
        theirs["control"].update(state=state, min_recovery_lsn="0/4000000", min_recovery_timeline=1)
        assert make(results)["failures"] == []
    results["hub1"]["hub"]["postgres"]["control"]["timeline"] = 2
    results["hub1"]["hub"]["postgres"]["history"] = [{"timeline": 1, "lsn": "0/3000000"}]
    found = make(results)["failures"]
    assert [(item["host"], item["code"]) for item in found] == [("hub2", "DATA_FORKED")]
    assert "hub1 left timeline 1 at 0/3000000, hub2 has reached 0/4000000" in found[0]["problem"]
    assert "behind the fork" not in found[0]["problem"], "it has said nothing"
    results["hub1"]["hub"]["cluster"]["forked"] = {"hub1": "not its", "hub2": "commits=8 bytes=5120"}
    assert make(results)["failures"][0]["problem"].endswith(". It has behind the fork: commits=8 bytes=5120")
    theirs["lock"] = True
    results["hub1"]["hub"]["postgres"]["history"] = [{"timeline": 1, "lsn": "0/4000000"}]
    theirs["control"].update(state="shut down in recovery")
    assert make(results)["failures"] == [], "the agent's lock says nothing that the data do not say"


def test_a_copy_that_is_there_needs_no_more_space():
    results = pair.running_pair()
    results["hub2"]["hub"]["space"]["free_bytes"] = 1 << 20
    assert make(results)["failures"] == []


@pytest.mark.parametrize("key", ["passwd", "password", "login_passwd", "snmp_priv_passwd", "secret_key",
                                 "client_secret", "ssh_passphrase"])
def test_secrets_do_not_go_into_the_cib(key):
    failures = make(fencing=device(params={"ip": "10.9.9.9", key: "hush-hush"}))["failures"]
    assert [item["problem"] for item in failures] == [
        "fencing device fence-hub2 has %s in params, and params go into the CIB in clear" % key]
    assert key + "_script" in failures[0]["remedy"]
    assert make(fencing=device(params={"ip": "10.9.9.9", key + "_script": "/etc/pacemaker/own"}))["failures"] == []


def test_nothing_of_a_wrong_device_that_may_be_secret_is_shown():
    devices = device(pasword="hush-hush", params={"passwd": "hush-hush"}, hub={"hub2": "hush-hush"})
    failures = make(fencing=devices)["failures"]
    assert len(failures) == 4 and "hush" not in str(failures), "three of the device, and hub2 is covered by nothing"


def test_every_wrong_shape_of_fencing_is_told_and_breaks_nothing():
    for odd in (None, True, 7, 1.5, "x", "", [], ["x"], {}, {"a": "b"}, [["x"]], {"a": {"b": 1}}):
        for key in ("id", "agent", "hub", "params", "password"):
            plan.make_plan(pair.results(), pair.settings(fencing=device(**{key: odd})))
        assert make(fencing=[odd])["failures"], odd


def test_fencing_devices_are_accepted():
    assert make(fencing=DEVICES, fencing_none_reason="")["failures"] == []
    plain = device(password=None, params={"ip": "10.9.9.9", "ipport": 623, "lanplus": True, "power_wait": 1.5})
    assert make(fencing=plain)["failures"] == []
    assert make(fencing=device(password=20261123, params=None))["failures"] == [], "digits are a number in YAML"


@pytest.mark.parametrize("key", ["cfpostgres:root 0600", "cfpostgres:cfpostgres 0400", "root:cfpostgres 0640",
                                 "root:ssl-cert 0640"])
def test_tls_keys_that_postgresql_takes(key):
    """Also on a blank hub, where the user will have the groups that it has on the active one."""
    for host in ("hub1", "hub2"):
        results = pair.results()
        results["hub1"]["hub"]["db_user"]["groups"] = ["ssl-cert"]
        tls(host, key=key)(results)
        assert fits(results)["failures"] == [] and fits(results)["warnings"] == []


def test_tls_certificate_that_expires_soon_and_authorities_that_differ():
    results = pair.results()
    tls("hub2", {"expires": 1000.6 + 10.5 * 86400, "authorities": "b"})(results)
    found = fits(results)
    assert found["failures"] == []
    assert [item["problem"].split(",")[0] for item in found["warnings"]] == [
        "the certificate /etc/tls/hub.crt expires in 10 days",
        "/etc/tls/ca.crt differs between the hubs: on both it must hold the authorities of both certificates"]


def test_a_fence_agent_may_come_with_a_package():
    """What a package will bring is not known before it is there; which packages are asked for is known."""
    results = pair.results()
    for result in results.values():
        result["hub"]["fence_agents"] = []
        result["hub"]["packages"]["fence-agents-ipmilan"] = {"installed": "", "candidate": "4.16.0"}
    assert make(results, fencing=DEVICES, fencing_packages=["fence-agents-ipmilan"])["failures"] == []


def test_no_apt_means_no_statement_about_packages():
    results = pair.results()
    both(no_apt)(results)
    found = make(results)
    assert found["failures"] == [] and found["packages"] == {"hub1": [], "hub2": []}


@pytest.mark.parametrize("name, old, good", [
    ("corosync", "3.0.3-2ubuntu2", "3.1.0-1"), ("pacemaker", "2.0.3-3ubuntu4", "2.1.2-1ubuntu3"),
    ("resource-agents", "1:4.5.0-2ubuntu2", "1:4.7.0-1")])
def test_oldest_versions(name, old, good):
    results = pair.results()
    for result in results.values():
        result["hub"]["packages"][name].update(candidate=old)
    assert [(item["host"], item["problem"].split(" is ")[0]) for item in make(results)["failures"]] == [
        (host, "%s %s" % (name, old.split(":")[-1].split("-")[0])) for host in ("hub1", "hub2")]
    for result in results.values():
        result["hub"]["packages"][name].update(candidate=good)
    assert make(results)["failures"] == []


def test_one_network_is_a_warning():
    found = make(links=["192.168.0.0/24"])
    assert found["failures"] == [] and [net["network"] for net in found["links"]] == ["192.168.0.0/24"]
    assert "one network only" in found["warnings"][0]["problem"]
    text = filters.preflight_text(found)
    assert text.splitlines() == [
        "  - all: the hubs share one network only: a fault there separates them (a warning)",
        "      -> connect them by a second network, best by a cable of its own, and run this again (ONE_NETWORK)"]


# --- what is tried over the network -----------------------------------------------------------------------------------

def corosync_runs(results, text, *hosts, **cluster):
    for host in hosts:
        results[host]["hub"]["units"]["corosync"].update(active="active", load="loaded")
        results[host]["hub"]["cluster"].update(corosync_conf=text, cib_readable=True, **cluster)
    return results


def test_everything_is_tried_before_there_is_a_cluster():
    found = make(virtual_ip=["192.168.100.100", "192.168.0.100"], replication_virtual_ip="192.168.10.100")
    assert found["probe"] == {"ports": ["tcp", "udp"],
                              "addresses": ["192.168.100.100", "192.168.0.100", "192.168.10.100"]}


def test_the_packages_own_cluster_is_no_reason_to_try_less():
    results = corosync_runs(pair.results(), STOCK_CONF, "hub1", "hub2", cib_nodes=["node1"])
    found = make(results)
    assert found["failures"] == []
    assert found["probe"] == {"ports": ["tcp", "udp"], "addresses": ["192.168.100.100"]}


@pytest.mark.parametrize("hosts", [["hub1"], ["hub2"], ["hub1", "hub2"]])
def test_cluster_of_a_run_that_was_cut_off_before_its_resources(hosts):
    """corosync has port 5405 and answers no probe; the ports of CFEngine and PostgreSQL and the address are tried."""
    results = corosync_runs(pair.results(), pair.corosync_conf(), *hosts, cib_nodes=["hub1", "hub2"])
    found = make(results)
    assert found["failures"] == [] and found["probe"] == {"ports": ["tcp"], "addresses": ["192.168.100.100"]}
    taken = {"hub1": {"unanswered": [], "taken": [{"address": "192.168.100.100", "by": "02:42:aa"}]}, "hub2": {}}
    assert "is in use already" in make(results, taken)["failures"][0]["problem"]


@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_a_pair_is_left_alone_and_only_new_addresses_are_tried(active):
    results = corosync_runs(pair.running_pair(active), pair.corosync_conf(), "hub1", "hub2")
    assert make(results)["probe"] == {"ports": [], "addresses": []}
    assert make(results, virtual_ip=["192.168.100.100", "192.168.0.100"])["probe"] == {
        "ports": [], "addresses": ["192.168.0.100"]}
    assert make(results, virtual_ip="192.168.100.200")["probe"]["addresses"] == ["192.168.100.200"], \
        "another address under the same id"
    results["hub1"]["hub"]["cluster"].update(cib_resources={}, cib_addresses=[], cib_readable=False)
    assert make(results)["probe"] == {"ports": [], "addresses": []}, "one hub that knows of the pair is enough"


# --- networks -----------------------------------------------------------------------------------------------------

def address(interface, text, prefix, network):
    return {"interface": interface, "address": text, "prefix": prefix, "network": network, "secondary": False}


@pytest.mark.parametrize("user, change, words", [
    ("hub_ha_repl", None, None), ("hub_ha_repl", {"replication": True}, None),
    ("hub_ha_repl", {"replication": True, "super": True,
                     "comment": "cfengine.hub_ha: standbys connect as this role"}, None),
    ("root", None, "is root, a role of the hub itself"), ("cfmpuser", None, "is cfmpuser, a role of the hub itself"),
    ("cfpostgres", None, "a role of the hub itself"), ("pg_monitor", None, "a role of the hub itself"),
    ("barman", {"replication": True, "super": True}, "names barman, which is another role: it is a superuser"),
    ("mine", {"replication": True, "owns": 3}, "owns 3 objects"),
    ("mine", {"replication": True, "member_of": ["team"]}, "is a member of team"), ("mine", {}, "may not replicate")])
def test_the_role_of_standbys_is_nobody_elses(user, change, words):
    results = pair.results()
    if change is not None:
        results["hub1"]["hub"]["postgres"]["server"]["roles"].append(pair.role(user, **change))
    failures = make(results, replication_user=user)["failures"]
    assert [item["code"] for item in failures] == (["ROLE_FOREIGN"] if words else [])
    assert not words or words in failures[0]["problem"]


def test_a_copy_of_the_first_hub_is_refused():
    results = pair.results()
    one, two = (results[name]["hub"] for name in ("hub1", "hub2"))
    one["machine"] = {"id": "3f", "ssh_keys": ["A", "B"]}
    two["machine"] = {"id": "4f", "ssh_keys": ["C"]}
    assert make(results)["failures"] == [] and make(results)["warnings"] == make()["warnings"]
    two["machine"] = {"id": "3f", "ssh_keys": ["B"]}
    found = make(results)
    assert found["failures"] == []
    assert "same machine id and SSH host keys as hub1" in found["warnings"][-1]["problem"]
    two["cfengine"]["key_digest"] = one["cfengine"]["key_digest"]
    failure = make(results)["failures"][0]
    assert (failure["code"], failure["host"]) == ("HUB_COPIED", "hub2")
    assert "with the same machine id and SSH host keys too" in failure["problem"]
    assert "rm /var/lib/cfengine3/ppkeys/localhost.*" in failure["remedy"]
    two["machine"] = one["machine"] = {"id": "", "ssh_keys": []}
    assert "too" not in make(results)["failures"][0]["problem"]


def test_shared_networks():
    infos = {"hub1": {"addresses": [address("a", "10.0.0.1", 24, "10.0.0.0/24"),
                                    address("a", "10.0.0.7", 24, "10.0.0.0/24"),
                                    address("b", "10.1.0.1", 24, "10.1.0.0/24"),
                                    address("c", "10.2.0.1", 31, "10.2.0.0/31"),
                                    address("d", "10.9.0.1", 32, "10.9.0.1/32"),
                                    address("e", "fd00::1", 64, "fd00::/64")]},
             "hub2": {"addresses": [address("x", "fd00::2", 64, "fd00::/64"),
                                    address("y", "10.0.0.100", 24, "10.0.0.0/24"),
                                    address("y", "10.0.0.2", 24, "10.0.0.0/24"),
                                    address("z", "10.1.0.2", 16, "10.1.0.0/16")]}}
    found = pair_networks.shared_networks(infos, {"10.0.0.100"})
    assert found == [
        {"network": "10.0.0.0/24", "prefix": 24, "addresses": {"hub1": "10.0.0.1", "hub2": "10.0.0.2"},
         "interfaces": {"hub1": "a", "hub2": "y"}},
        {"network": "fd00::/64", "prefix": 64, "addresses": {"hub1": "fd00::1", "hub2": "fd00::2"},
         "interfaces": {"hub1": "e", "hub2": "x"}}]
    assert pair_networks.shared_networks({}, set()) == []


@pytest.mark.parametrize("interface, text, network", [
    ("docker0", "172.17.0.1", "172.17.0.0/16"), ("virbr0", "192.168.122.1", "192.168.122.0/24"),
    ("cni-podman0", "10.88.0.1", "10.88.0.0/16")])
def test_a_bridge_that_each_hub_has_for_itself_is_no_network_between_them(interface, text, network):
    results = pair.results()
    for result in results.values():
        result["hub"]["addresses"].append(address(interface, text, int(network.partition("/")[2]), network))
    found, before = make(results), make()
    assert found["failures"] == []
    for key in ("networks", "links", "replication", "hba_addresses"):
        assert found[key] == before[key], key


def test_an_address_that_both_hubs_have_does_not_hide_their_own():
    infos = dict((host, {"addresses": [address("a", text, 24, "10.0.0.0/24") for text in ("10.0.0.1", own)]})
                 for host, own in (("hub1", "10.0.0.7"), ("hub2", "10.0.0.8")))
    assert [net["addresses"] for net in pair_networks.shared_networks(infos, set())] == [
        {"hub1": "10.0.0.7", "hub2": "10.0.0.8"}]


def test_addresses_that_end_by_themselves_are_nobodys():
    def seen(last):
        """As `ip -j addr` of Linux with privacy extensions."""
        return system.addresses([{"ifname": "eth0", "addr_info": [
            {"family": "inet6", "local": "2001:db8::%s%d" % (text, last), "prefixlen": 64, "scope": "global",
             mark: True}
            for text, mark in (("aa", "temporary"), ("dead:", "deprecated"),
                               ("dad:", "tentative"), ("bad:", "dadfailed"), ("", "mngtmpaddr"))]}])

    infos = {"hub1": {"addresses": seen(10)}, "hub2": {"addresses": seen(11)}}
    assert [net["addresses"] for net in pair_networks.shared_networks(infos, set())] == [
        {"hub1": "2001:db8::10", "hub2": "2001:db8::11"}]
    assert len(seen(10)) == 5, "they are the hub's all the same: names may resolve to them"


def test_network_of():
    networks = [{"network": "10.0.0.0/24"}, {"network": "fd00::/64"}]
    assert pair_networks.network_of(networks, "10.0.0.9") is networks[0]
    assert pair_networks.network_of(networks, "10.0.0.0/24") is networks[0]
    assert pair_networks.network_of(networks, "fd00::99") is networks[1]
    assert pair_networks.network_of(networks, "10.0.1.9") is None
    assert pair_networks.network_of(networks, "nonsense") is None


def choose(virtual_ips, replication_ip=None, **settings):
    infos = {"hub1": pair.live_hub(), "hub2": pair.blank_hub()}
    wanted = pair.settings(virtual_ip=virtual_ips, replication_virtual_ip=replication_ip, **settings)
    context = plan.make_context(infos, wanted, {}, None)
    assert list(network_checks.check(context)) == []
    found = context.chosen
    return [net["network"].split(".")[2] for net in found.links], \
        found.client["network"].split(".")[2], found.replication["network"].split(".")[2]


def test_choose_networks():
    assert choose(["192.168.100.9"]) == (["100", "0", "10"], "100", "10")
    assert choose(["192.168.10.9"]) == (["100", "0", "10"], "10", "0"), "not the clients' network"
    assert choose(["192.168.100.9"], "192.168.0.9") == (["100", "0", "10"], "100", "0")
    assert choose(["192.168.100.9"], replication_network="192.168.0.0/24") == (["100", "0", "10"], "100", "0")
    assert choose(["192.168.100.9"], links=["192.168.10.0/24", "192.168.0.0/24"]) == (["10", "0"], "100", "10"), \
        "links in the operator's order"


def test_one_network_serves_everything():
    infos = {"hub1": pair.live_hub(), "hub2": pair.blank_hub()}
    infos["hub2"]["addresses"] = [item for item in infos["hub2"]["addresses"]
                                  if item["network"] in ("192.168.100.0/24", "127.0.0.0/8")]
    context = plan.make_context(infos, pair.settings(virtual_ip="192.168.100.9"), {}, None)
    networks = context.networks
    assert [net["network"] for net in networks] == ["192.168.100.0/24"]
    assert context.chosen == pair_networks.Choice(networks, networks[0], networks[0])
    found = list(network_checks.check(context))
    assert len(found) == 1 and found[0].severity == WARNING and found[0].code


def test_no_more_links_than_knet_has():
    infos = {"hub%d" % host: {"addresses": [address("e%d" % net, "10.%d.0.%d" % (net, host), 24, "10.%d.0.0/24" % net)
                                            for net in range(10)],
                              "cluster": {"cib_resources": {}}} for host in (1, 2)}
    found = pair_networks.choose_networks(pair_networks.shared_networks(infos, set()), {}, ["10.0.0.9"], None)
    assert len(found.links) == 8


def test_a_database_that_does_not_answer_the_agent_is_refused():
    for results, host in ((pair.results(), "hub1"), (pair.running_pair(), "hub2")):
        results[host]["hub"]["postgres"]["agent_sql"] = {
            "answer": "f Time: 0.6 ms", "command": "runuser cfpostgres -c x"}
        (failure,) = make(results)["failures"]
        assert (failure["host"], failure["code"]) == (host, "AGENT_SQL")
        assert "f Time: 0.6 ms" in failure["problem"] and "runuser cfpostgres -c x" in failure["remedy"]


# --- what stands in PostgreSQL's files ---------------------------------------------------------------------------

PENDING = {"name": "shared_buffers", "old": "128MB", "new": "500GB", "file": DATA + "/postgresql.conf", "line": 7}


def with_pending(*items):
    """A pair whose active hub's database has these settings pending."""
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["server"]["pending"] = list(items)
    return results


def test_a_pair_with_nothing_pending_tries_nothing():
    found = make(pair.running_pair())
    assert found["trial"] is None and found["pending"] == []


def test_a_restart_is_tried_before_with_the_settings_that_it_is_for():
    found = make()
    assert found["restart"] and found["trial"] == {
        "data_dir": DATA, "bin_dir": "/usr/lib/postgresql/17/bin", "config_file": DATA + "/postgresql.conf",
        "settings": found["include"], "held_mb": 143}


def test_what_is_pending_is_told_and_tried():
    found = make(with_pending(PENDING, {"name": "max_locks_per_transaction", "old": "128", "new": None, "file": None,
                                        "line": None}))
    assert found["failures"] == [] and found["trial"]["held_mb"] == 143 and found["restart"] == []
    assert found["pending"] == [
        {"name": "shared_buffers", "old": "128MB", "new": "500GB", "where": DATA + "/postgresql.conf line 7"},
        {"name": "max_locks_per_transaction", "old": "128", "new": "its default", "where": "no file"}]


def test_our_own_setting_that_waits_for_the_restart_is_told_once():
    results = pair.results()
    server = results["hub1"]["hub"]["postgres"]["server"]
    server["settings"]["wal_log_hints"]["pending_restart"] = True
    server["pending"] = [dict(PENDING, name="wal_log_hints", old="off", new="on")]
    assert make(results)["pending"] == [] and "wal_log_hints" in make(results)["restart"]


def test_the_trial_of_a_server_that_tells_no_size():
    results = with_pending(PENDING)
    results["hub1"]["hub"]["postgres"]["server"]["shared_memory"] = None  # PostgreSQL 13 and 14
    assert make(results)["trial"]["held_mb"] == 0


@pytest.mark.parametrize("maintenance, code, heading", [
    (True, "CLUSTER_MAINTENANCE", "Maintenance mode"), (False, "NO_PRIMARY", "After both were down")])
def test_nobody_serves(maintenance, code, heading):
    """What is said first has a code, a command or a heading of docs/operate.md; maintenance mode is named."""
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"].update(state="standby")
    results["hub2"]["hub"]["postgres"].update(state="stopped", server=None, pid=None)
    for result in results.values():
        result["hub"]["cluster"].update(maintenance=maintenance, promoted="hub1")
    failures = plan.make_plan(results, pair.settings())["failures"]
    failure = [item for item in failures if "neither hub" in item["problem"]][0]
    assert (failure["host"], failure["code"]) == ("all", code) and '"%s"' % heading in failure["remedy"]
    assert ("maintenance mode" in failure["problem"]) == maintenance


def test_nobody_serves_though_pacemaker_calls_a_hub_promoted():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"].update(state="stopped", server=None, pid=None)
    failures = plan.make_plan(results, pair.settings())["failures"]
    failure = [item for item in failures if "neither hub" in item["problem"]][0]
    assert failure["code"] == "NO_PRIMARY" and "and pacemaker calls hub1 promoted" in failure["problem"]
    assert "crm_resource --refresh --resource cfpgsql;" in failure["remedy"]


@pytest.mark.parametrize("trial, code, words", [
    (None, None, ""), ({}, None, ""), ({"started": True, "reason": ""}, None, ""),
    ({"started": False, "reason": "FATAL: no memory"}, "SETTINGS_WONT_START", "would not start again"),
    ({"started": None, "reason": "no room"}, "SETTINGS_NOT_TRIED", "could not be tried: no room")])
def test_what_the_trial_says(trial, code, words):
    failures = make(with_pending(PENDING), trial=trial)["failures"]
    assert [(item["host"], item["code"]) for item in failures] == ([("hub1", code)] if code else [])
    assert all(words in item["problem"] and "shared_buffers: 128MB now, 500GB in " + DATA in item["problem"]
               for item in failures)


# --- what pacemaker would interrupt ------------------------------------------------------------------------------

def test_what_pacemaker_would_interrupt_is_told_and_without_leave_refused():
    lines = ["restart cfpgsql:0 on hub1", "restart cfvirtip on hub1", "restart fence-hub1 on hub2"]
    found = make(pair.running_pair(), cib_simulation=lines)
    assert found["failures"] == [] and found["cib_disrupts"] == lines[:2], "a device set up anew interrupts nobody"
    (failure,) = make(pair.running_pair(), cib_simulation=lines, allow_restart=False)["failures"]
    assert failure["code"] == "CIB_RESTARTS" and "restart cfpgsql:0 on hub1" in failure["problem"]
    assert make(pair.running_pair(), allow_restart=False)["failures"] == []


def test_an_address_that_is_to_be_another_one_is_taken_off_as_asked():
    found = make(pair.running_pair(), cib_simulation=["restart cfvirtip on hub1"], allow_restart=False,
                 virtual_ip="192.168.100.101")
    assert found["failures"] == [] and found["cib_disrupts"] == []


HELD = [{"what": "maintenance-mode=true", "end": "crm_attribute --delete"}]


@pytest.mark.parametrize("lines, refused", [
    ([], False), (["restart fence-hub1 on hub2"], False), (["restart cfpgsql:0 on hub1"], True), (None, True)])
@pytest.mark.parametrize("allow", [True, False])
def test_what_pacemaker_would_interrupt_after_the_operators_maintenance_is_refused(lines, refused, allow):
    failures = make(pair.running_pair(), cib_later={"lines": lines, "holds": HELD}, allow_restart=allow)["failures"]
    assert [item["code"] for item in failures] == ["CIB_RESTARTS_LATER"] * refused
    assert all("maintenance-mode=true" in item["problem"] and item["remedy"].startswith(
        "end it first: crm_attribute --delete;") for item in failures)
    assert make(pair.running_pair(), cib_later={}, allow_restart=allow)["failures"] == []


# --- a pair keeps its order ---------------------------------------------------------------------------------------

KEPT = ("hubs", "node_ids", "networks", "links", "client", "replication", "hba_addresses", "ha_info", "hub_list",
        "nodes")


def as_json(found):
    """What a pair is made of, with the order of everything."""
    return json.dumps([found[name] for name in KEPT])


def test_a_new_pair_takes_the_order_of_the_inventory():
    found = make(dict(reversed(list(pair.results().items()))))
    assert found["hubs"] == ["hub2", "hub1"] and found["node_ids"] == {"hub2": 1, "hub1": 2}
    assert found["active"] == "hub1"


@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_the_inventorys_order_changes_no_pair(active):
    results = pair.running_pair(active)
    swapped = dict(reversed(list(results.items())))
    assert list(swapped) == ["hub2", "hub1"]
    assert as_json(make(swapped)) == as_json(make(results))
    assert make(swapped)["hubs"] == ["hub1", "hub2"] and make(swapped)["node_ids"] == {"hub1": 1, "hub2": 2}


def test_a_pair_that_was_made_in_the_other_order_stays_as_it_is():
    results = pair.running_pair()
    for host, version in (("hub1", 3), ("hub2", 4)):
        results[host]["hub"]["cluster"]["corosync_conf"] = pair.corosync_conf(nodes=("hub2", "hub1"), version=version)
    results["hub1"]["hub"]["cluster"]["corosync_conf"] = pair.corosync_conf(version=3)  # older: does not count
    found = make(results)
    assert found["failures"] == [] and found["hubs"] == ["hub2", "hub1"] and found["node_ids"] == {"hub2": 1, "hub1": 2}


def test_another_name_in_the_inventory_is_the_same_node():
    results = pair.running_pair()
    renamed = make({"b": results["hub2"], "a": results["hub1"]})
    assert renamed["failures"] == [] and renamed["hubs"] == ["a", "b"] and renamed["node_ids"] == {"a": 1, "b": 2}
    assert [link["number"] for link in renamed["links"]] == [0, 1, 2]


def test_the_order_of_interfaces_changes_no_link():
    results = pair.running_pair()
    for info in results.values():
        info["hub"]["addresses"].reverse()
    found = make(results)
    # eth2 is no link of the running cluster (see the fixture): it comes last, as link 2
    assert [(link["network"], link["number"], link["priority"]) for link in found["links"]] == [
        ("192.168.100.0/24", 0, 3), ("192.168.0.0/24", 1, 2), ("192.168.10.0/24", 2, 1)]


def test_links_in_the_operators_order_keep_their_numbers_and_are_preferred_in_it():
    wanted = ["192.168.10.0/24", "192.168.0.0/24"]
    found = make(pair.running_pair(), links=wanted + wanted)
    assert [(link["network"], link["number"], link["priority"]) for link in found["links"]] == [
        ("192.168.10.0/24", 2, 2), ("192.168.0.0/24", 1, 1)]


# --- settings of PostgreSQL ---------------------------------------------------------------------------------------

DATABASE = {"wal_keep_size": 512, "max_slot_wal_keep_size": 4096}
INCLUDE = {"listen_addresses": "*", "wal_log_hints": "on", "wal_keep_size": "512MB",
           "max_slot_wal_keep_size": "4096MB", "ssl": "on",
           "ssl_cert_file": HA_DIR + "/server.crt", "ssl_key_file": HA_DIR + "/server.key",
           "ssl_ca_file": HA_DIR + "/root.crt"}


def wanted(settings, **database):
    return wanted_settings({"settings": settings}, dict(DATABASE, **database), HA_DIR)


def after(include, before):
    """pg_settings after the include file has taken effect."""
    found = copy.deepcopy(before)
    for name, value in include.items():
        found[name].update(setting=value[:-2] if value.endswith("MB") else value, source="configuration file",
                           sourcefile=DATA + "/hub_ha.conf")
    return found


def test_stock_settings():
    assert wanted(pair.stock_settings(DATA)) == {
        "include": INCLUDE, "restart": ["listen_addresses", "wal_log_hints"], "blocked": []}


def test_a_server_that_has_not_read_its_files_is_told():
    results = pair.running_pair()
    assert make(results)["reload"] == []
    results["hub2"]["hub"]["postgres"]["server"]["reload_pending"] = True
    assert make(results)["reload"] == ["hub2"]


def test_second_run_wants_the_very_same_file_and_no_restart():
    assert wanted(after(INCLUDE, pair.stock_settings(DATA))) == {"include": INCLUDE, "restart": [], "blocked": []}


def test_prepared_hub_needs_no_restart_and_keeps_its_own_settings():
    settings = pair.stock_settings(DATA)
    for name, value in (("listen_addresses", "localhost, 0.0.0.0"), ("wal_log_hints", "on"), ("wal_level", "logical")):
        settings[name].update(setting=value, source="configuration file", sourcefile=DATA + "/postgresql.conf")
    found = wanted(settings)
    assert found["restart"] == []
    assert set(found["include"]) == set(INCLUDE) - {"listen_addresses", "wal_log_hints"}


def test_checksums_make_wal_log_hints_needless():
    settings = pair.stock_settings(DATA)
    settings["data_checksums"]["setting"] = "on"
    found = wanted(settings)
    assert found["restart"] == ["listen_addresses"] and "wal_log_hints" not in found["include"]


@pytest.mark.parametrize("name, value, wants", [
    ("wal_level", "minimal", "replica"), ("max_wal_senders", "4", "10"), ("max_replication_slots", "2", "10"),
    ("hot_standby", "off", "on"), ("listen_addresses", "192.168.100.10", "*"), ("listen_addresses", "", "*")])
def test_restart_only_settings_that_are_too_small(name, value, wants):
    settings = after(INCLUDE, pair.stock_settings(DATA))
    settings[name]["setting"] = value
    found = wanted(settings)
    assert found["include"][name] == wants and found["restart"] == [name]


@pytest.mark.parametrize("name, value", [("max_wal_senders", "5"), ("max_replication_slots", "3"),
                                         ("wal_level", "logical"), ("wal_keep_size", "1024")])
def test_enough_is_enough(name, value):
    settings = after(INCLUDE, pair.stock_settings(DATA))
    settings[name].update(setting=value, source="configuration file", sourcefile=DATA + "/postgresql.conf")
    found = wanted(settings)
    assert name not in found["include"] and found["restart"] == []


def test_drift_is_mended_by_the_same_file():
    settings = after(INCLUDE, pair.stock_settings(DATA))
    settings["wal_keep_size"]["setting"] = "16"
    settings["wal_log_hints"].update(setting="on", pending_restart=True)
    found = wanted(settings)
    assert found["include"] == INCLUDE
    assert found["restart"] == ["wal_log_hints"], "the running server is to lose it at its next start"


def test_a_backends_crash_is_mended_in_place():
    """Pairs made before had it off: a failover for what PostgreSQL mends in a second, an outage of a lone hub."""
    before = dict(INCLUDE, restart_after_crash="off")
    found = wanted(after(before, pair.stock_settings(DATA)))
    assert found["include"]["restart_after_crash"] == "on" and found["restart"] == []


def test_changed_variable_changes_the_file_without_a_restart():
    found = wanted(after(INCLUDE, pair.stock_settings(DATA)), max_slot_wal_keep_size=8192)
    assert found["include"] == dict(INCLUDE, max_slot_wal_keep_size="8192MB") and found["restart"] == []


def test_blocked_settings():
    settings = pair.stock_settings(DATA)
    settings["wal_level"].update(setting="minimal", source="configuration file", sourcefile=AUTO)
    settings["max_wal_senders"].update(setting="20", source="configuration file", sourcefile=AUTO)
    settings["ssl"].update(source="command line")
    assert wanted(settings)["blocked"] == [("wal_level", AUTO), ("ssl", "the server's command line")], \
        "a good value may stay where it is"


def test_no_server_no_restart():
    assert wanted_settings(None, DATABASE, HA_DIR)["restart"] == []


# --- small things -------------------------------------------------------------------------------------------------

def test_slot_name():
    assert slot_name("hub_ha", "Hub-1.example.com") == "hub_ha_hub_1_example_com"


def test_ha_info_leaves_out_a_hub_without_key():
    infos = {"hub1": pair.live_hub(), "hub2": pair.blank_hub()}
    client = {"addresses": {"hub1": "10.0.0.1", "hub2": "10.0.0.2"}}
    assert ha_info(infos, client) == {"10.0.0.1": {"sha": "a1" * 32, "internal_ip": "10.0.0.1"}}
    assert ha_info(infos, None) == {}


def test_ha_info_of_a_pair_stays_below_4_kb():
    infos = dict((host, result["hub"]) for host, result in pair.running_pair().items())
    found = ha_info(infos, {"addresses": {"hub1": "fd00:1:2:3:4:5:6:7", "hub2": "fd00:1:2:3:4:5:6:8"}})
    assert len(found) == 2 and len(json.dumps(found, indent=2)) < 4096


def test_filters_are_the_models():
    found = {}
    for module in (cluster, database, health, filters):
        found.update(module.FilterModule().filters())
    assert found["make_plan"](pair.results(), pair.settings())["complete"]
    text = pair.corosync_conf(version=7)
    assert found["corosync_version"](text, [text, text]) == 7
    with pytest.raises(AnsibleFilterError, match="line 1"):
        found["corosync_version"](text, ["}", text])
    assert found["passfile_line"](["*", "*", "*", "u", "a:b\\c"]).strip() == "*:*:*:u:a\\:b\\\\c"
    the_plan = make(pair.running_pair())
    assert found["cluster_problems"](pair.cluster_state(), the_plan) == []
    assert found["replication_problems"](pair.replication_state(), the_plan, 64) == []
    assert "ACTIVE" in found["pair_picture"](pair.cluster_state(), the_plan, pair.replication_state())


def test_a_primary_that_is_no_policy_hub_yet_gives_the_role_back():
    """A run that was cut off before role cfengine, and a failover before it was repeated."""
    results = pair.running_pair("hub2")
    assert plan.make_plan(results, pair.settings())["failures"] == []
    results["hub2"]["hub"]["cfengine"].update(am_policy_hub=False, policy_server=None, acl_in_policy=["10.0.0.0/8"])
    failures = plan.make_plan(results, pair.settings())["failures"]
    assert [item["host"] for item in failures] == ["hub2"]
    said = json.dumps(failures[0])
    assert "HUB_UNFINISHED" in said and "policy and keys from hub1" in said and "On hub2: crm_standby" in said
