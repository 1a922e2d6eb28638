# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pair's CIB must hold."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import summary
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.edit import edit
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.normalise import normalise
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.parse import differs, parse, unparse
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.wanted_cib import (
    kept,
    wanted_cib,
    without_parameters,
)
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

SETTINGS = {"fencing": "none", "monitor_primary": "3s", "monitor_standby": "4s", "operation_timeout": "120s",
            "start_timeout": "300s"}
FENCING = [{"id": "fence-%s" % hub, "agent": "fence_ipmilan", "hub": hub, "password": "it's $ecret \\ %",
            "params": {"ip": "10.9.9.9", "lanplus": 1, "verbose": True}} for hub in ("hub1", "hub2")]


def make(results=None, fencing="none", monitor_primary="3s", **settings):
    results = results or pair.results()
    the_plan = plan.make_plan(results, pair.settings(fencing=fencing, **settings))
    assert the_plan["failures"] == []
    return wanted_cib(the_plan, dict(SETTINGS, fencing=fencing, monitor_primary=monitor_primary),
                      results[the_plan["active"]]["hub"]["cluster"])


def primitive(found, name):
    hits = [item for item in found["primitives"] if item["id"] == name]
    assert len(hits) == 1
    return hits[0]


def test_whole_set():
    found = make()
    assert [item["id"] for item in found["primitives"]] == ["cfvirtip", "cfpgsql"]
    assert found["groups"] == [{"id": "cfengine", "members": ["cfvirtip"]}]
    clone = found["clones"][0]
    assert (clone["id"], clone["member"], clone["meta"]["promotable"], clone["meta"]["notify"]) \
        == ("mscfpgsql", "cfpgsql", "true", "true")
    assert clone["meta"]["promoted-max"] == "1" and clone["meta"]["clone-max"] == "2"
    assert found["colocations"][0]["with_rsc_role"] == "Promoted" and found["colocations"][0]["score"] == "INFINITY"
    orders = [(item["first_action"], item["then_action"], item["kind"], item["symmetrical"])
              for item in found["orders"]]
    assert orders == [("promote", "start", "Mandatory", False), ("demote", "stop", "Optional", False)]
    assert [(item["rsc"], item["score"], sorted(item["rule"].items())) for item in found["locations"]] == [
        ("mscfpgsql", "-INFINITY", [("attribute", "hub_ha-forked"), ("operation", "defined")]),
        ("mscfpgsql", "-INFINITY", [("attribute", "hub_ha-gave_up"), ("operation", "defined")]),
        ("mscfpgsql", "10000", [("attribute", "hub_ha-clients"), ("operation", "ne"), ("role", "Promoted"),
                                ("value", "0")])]
    assert found["properties"] == {"stonith-enabled": "false", "cluster-recheck-interval": "2min"}


def test_failure_policy_holds_for_the_pairs_own_resources_only():
    found = make(fencing=FENCING, virtual_ip=["192.168.100.100", "192.168.0.100"])
    assert "rsc_defaults" not in found and "op_defaults" not in found
    for item in found["primitives"]:
        meta = item["meta"]
        if item["agent"].startswith("stonith:"):
            assert meta == {}, item["id"]
            continue
        assert meta["failure-timeout"] != "0", "%s: a failure that is never forgotten stops a hub for ever" % item["id"]
        assert meta["resource-stickiness"] == "1000", "finite: the hub that people can reach is worth more"
        assert meta["migration-threshold"] == ("1" if item["id"] == "cfpgsql" else "3"), item["id"]


def test_address():
    found = primitive(make(), "cfvirtip")
    assert found["agent"] == "ocf:heartbeat:IPaddr2"
    assert found["params"] == {"ip": "192.168.100.100", "cidr_netmask": "24"}


def test_database():
    found = primitive(make(), "cfpgsql")
    params = found["params"]
    assert found["agent"] == "ocf:cfengine:pgsql"
    assert params["pgctl"] == "/usr/lib/postgresql/17/bin/pg_ctl" and params["psql"] == "/usr/lib/ocf/lib/hub_ha/psql"
    assert params["pgdata"] == "/var/lib/cfengine3/state/pg/data"
    assert params["node_list"] == "hub1 hub2"
    assert params["rep_mode"] == "async" and params["restart_on_promote"] == "false"
    assert params["replication_slot_name"] == "hub_ha"
    assert params["pgdba"] == "cfpostgres" and params["pgport"] == "5432"
    assert all(isinstance(value, str) for value in params.values())


@pytest.mark.parametrize("changes", [
    {"virtual_ip": "192.168.100.150"}, {"replication_virtual_ip": "192.168.10.100"}])
def test_how_the_hubs_reach_each_other_is_no_parameter_of_the_database(changes):
    """A changed parameter makes pacemaker restart both databases."""
    assert primitive(make(**changes), "cfpgsql") == primitive(make(), "cfpgsql")
    assert not {"master_ip", "repuser", "primary_conninfo_opt"} & set(primitive(make(), "cfpgsql")["params"])


def monitors(operations):
    """Of the database's operations, by role: how often pacemaker looks, and how often the database is asked."""
    return dict((item.get("role"), (item["interval"], item["attributes"]["query_interval"]))
                for item in operations if item["name"] == "monitor")


@pytest.mark.parametrize("asked, interval, query", [
    ("10s", "1001ms", "10000ms"),
    ("500ms", "500ms", "500ms"), ("1", "1000ms", "1000ms"), ("2min", "1001ms", "120000ms")])
def test_the_process_is_looked_at_as_often_as_the_database_is_asked_or_each_second(asked, interval, query):
    assert monitors(primitive(make(monitor_primary=asked), "cfpgsql")["operations"])["Promoted"] == (interval, query)


def test_monitors_have_different_intervals_and_the_given_timeouts():
    operations = primitive(make(), "cfpgsql")["operations"]
    assert monitors(operations) == {"Promoted": ("1001ms", "3000ms"), None: ("2003ms", "4000ms")}
    timeouts = dict((item["name"], item["timeout"]) for item in operations if item["name"] != "monitor")
    assert timeouts == {"start": "300s", "stop": "120s", "promote": "120s", "demote": "120s", "notify": "90s"}


def test_slot_of_the_agent_is_the_slot_of_the_plan():
    """The agent appends the node's name to replication_slot_name; the plan makes the slots beforehand."""
    the_plan = plan.make_plan(pair.results(), pair.settings())
    prefix = primitive(make(), "cfpgsql")["params"]["replication_slot_name"]
    assert the_plan["slots"] == dict((host, prefix + "_" + node) for host, node in the_plan["nodes"].items())


@pytest.mark.parametrize("source, setting, wanted", [
    ("configuration file", "/tmp", "/tmp"), ("configuration file", "/run/a, /tmp", "/run/a"),
    ("default", "/var/run/postgresql", None), ("configuration file", "", None)])
def test_socket_directory_only_when_it_is_set(source, setting, wanted):
    results = pair.results()
    results["hub1"]["hub"]["postgres"]["server"]["settings"]["unix_socket_directories"] = pair.setting(
        setting, source=source)
    assert primitive(make(results), "cfpgsql")["params"].get("socketdir") == wanted


def test_second_hub_is_active_and_the_nodes_keep_their_order():
    params = primitive(make(pair.running_pair("hub2")), "cfpgsql")["params"]
    assert params["node_list"] == "hub1 hub2", "or every failover would change the CIB"


def test_same_arguments_before_and_after_a_failover():
    assert make(pair.running_pair("hub1")) == make(pair.running_pair("hub2"))


def test_several_addresses():
    found = make(virtual_ip=["192.168.100.100", "192.168.0.100"], replication_virtual_ip="192.168.10.100")
    names = ["cfvirtip", "cfvirtip_2", "cfvirtip_repl"]
    assert found["groups"][0]["members"] == names
    assert [primitive(found, name)["params"]["ip"] for name in names] == [
        "192.168.100.100", "192.168.0.100", "192.168.10.100"]


def test_fencing():
    found = make(fencing=FENCING)
    device = primitive(found, "fence-hub2")
    assert device["agent"] == "stonith:fence_ipmilan"
    assert device["params"] == {"pcmk_host_list": "hub2", "ip": "10.9.9.9", "lanplus": "1", "verbose": "true",
                                "password_script": "/etc/pacemaker/hub_ha/fence-hub2"}
    assert found["properties"]["stonith-enabled"] == "true"
    assert [(item["rsc"], item["node"], item["score"]) for item in found["locations"] if "node" in item] == [
        ("fence-hub1", "hub1", "-INFINITY"), ("fence-hub2", "hub2", "-INFINITY")]
    assert "ecret" not in json.dumps(found), "no password in the CIB"


def test_fencing_without_password_needs_no_script():
    bare = [dict((key, value) for key, value in item.items() if key != "password") for item in FENCING]
    assert primitive(make(fencing=bare), "fence-hub1")["params"] == {
        "pcmk_host_list": "hub1", "ip": "10.9.9.9", "lanplus": "1", "verbose": "true"}


@pytest.mark.parametrize("changes", [{}, {"fencing": FENCING}, {"replication_virtual_ip": "192.168.10.100"}])
def test_module_cib_accepts_the_arguments_and_the_second_time_finds_nothing_to_do(changes):
    found = normalise(dict(make(**changes)))
    empty = "<cib validate-with='pacemaker-3.9' epoch='0' num_updates='0' admin_epoch='0'><configuration>" \
        "<crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"
    first, dummy = edit(parse(empty), found)[:2]
    text = unparse(first)
    for name in ("cfpgsql", "mscfpgsql", "cfengine", "cfvirtip", "cfengine-with-primary", "promote-then-cfengine"):
        assert 'id="%s"' % name in text
    second = edit(parse(text), found)[0]
    assert not differs(parse(text), second)


def test_nothing_is_gone_on_a_blank_hub_or_a_pair_that_is_wanted_so():
    assert make()["absent"] == make(pair.running_pair())["absent"] == []


def test_what_is_not_wanted_any_more_goes():
    results = pair.running_pair()
    cluster = results["hub1"]["hub"]["cluster"]
    cluster["cib_resources"].update({
        "cfvirtip_2": "ocf:heartbeat:IPaddr2", "cfvirtip_repl": "ocf:heartbeat:IPaddr2", "portal": "systemd:nginx",
        "cfvirtip_old": "ocf:heartbeat:IPaddr2", "cfvirtip_3": "ocf:pacemaker:Dummy",
        "fence-hub1": "stonith:fence_ipmilan", "fence-old": "stonith:fence_ipmilan", "ups": "stonith:fence_apc"})
    cluster["cib_fencing"] = ["fence-hub1", "fence-old"]
    assert make(results, fencing=FENCING)["absent"] == [
        "cfvirtip_2", "cfvirtip_repl", "fence-old", "fence-old-not-on-target"], "what is not ours stays"
    assert make(results, fencing=FENCING, virtual_ip=["192.168.100.100", "192.168.0.100"],
                replication_virtual_ip="192.168.10.100")["absent"] == ["fence-old", "fence-old-not-on-target"]


def test_module_cib_takes_them_out_of_the_group():
    before = normalise(dict(make(pair.running_pair(), fencing=FENCING,
                                 virtual_ip=["192.168.100.100", "192.168.0.100"])))
    empty = "<cib validate-with='pacemaker-3.9' epoch='0' num_updates='0' admin_epoch='0'><configuration>" \
        "<crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"
    text = unparse(edit(parse(empty), before)[0])
    results = pair.running_pair()
    results["hub1"]["hub"]["cluster"].update(summary.cib_summary(text))
    assert results["hub1"]["hub"]["cluster"]["cib_fencing"] == ["fence-hub1", "fence-hub2"]
    after = unparse(edit(parse(text), normalise(dict(make(results))))[0])
    assert "fence-" not in after and "cfvirtip_2" not in after and 'id="cfvirtip"' in after


@pytest.mark.parametrize("known, wanted", [(["hub2", "hub1"], "hub2 hub1"), ([], "hub1 hub2"),
                                           (["hub1", "hub3"], "hub1 hub2")])
def test_node_list_keeps_its_order(known, wanted):
    results = pair.running_pair()
    results["hub1"]["hub"]["cluster"]["cib_node_list"] = known
    database = [item for item in make(results)["primitives"] if item["id"] == "cfpgsql"][0]
    assert database["params"]["node_list"] == wanted


def interrupted_never(the_plan, known):
    return kept([item["ip"] for item in the_plan["virtual_ips"]], known)


def test_what_no_change_may_interrupt():
    results = pair.running_pair()
    known = results["hub1"]["hub"]["cluster"]
    the_plan = plan.make_plan(results, pair.settings(virtual_ip=["192.168.100.100", "192.168.0.100"]))
    assert interrupted_never(the_plan, known) == ["cfpgsql", "cfvirtip"], "the second one is not there yet"
    known["cib_ips"] = {"cfvirtip": "192.168.100.9"}
    assert interrupted_never(the_plan, known) == ["cfpgsql"]
    assert interrupted_never(the_plan, {"cib_ips": {}, "cib_resources": {}}) == []
    known["cib_ips"] = {"cfvirtip": "192.168.0.100"}
    assert interrupted_never(the_plan, known) == ["cfpgsql", "cfvirtip"], "it would be cfvirtip_2 now"


def test_the_databases_parameters_are_left_out_and_nothing_else():
    wanted = make(pair.running_pair())
    less = without_parameters(wanted)
    assert "params" not in primitive(less, "cfpgsql") and primitive(less, "cfpgsql")["operations"]
    assert primitive(less, "cfvirtip") == primitive(wanted, "cfvirtip") and primitive(wanted, "cfpgsql")["params"]
    assert set(less) == set(wanted)
