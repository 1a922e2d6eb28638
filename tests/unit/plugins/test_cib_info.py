# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live cluster as data, from what the tools of pacemaker 2.1.5 and 3.0.0 print."""

from __future__ import annotations

import os

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import tools
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.parse import parse, unparse
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.observe import (
    observe,
    read_settings,
    read_status,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    CommandMissing,
    Completed,
    HubError,
)

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "cib")
VERSIONS = ["2.1.5", "3.0.0"]


def fixture(name):
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as stream:
        return stream.read()


def fake(answers):
    """A runner that knows answers by the beginning of the command: text, (rc, out, err) or an exception."""
    def run(argv, stdin=None, env=None, timeout=None, check=True):
        for start, answer in answers.items():
            if " ".join(argv).startswith(start):
                if isinstance(answer, Exception):
                    raise answer
                rc, out, err = answer if isinstance(answer, tuple) else (0, answer, "")
                return Completed(argv, rc, out, err)
        raise CommandMissing(argv[0])
    return run


def cluster(version="3.0.0", **more):
    answers = {"crm_mon": fixture("crm_mon-%s.xml" % version), "cibadmin": fixture("pair.xml"),
               "corosync-cfgtool -s": fixture("cfgtool-s.txt"), "corosync-cfgtool -n": fixture("cfgtool-n.txt"),
               "corosync-quorumtool": fixture("quorumtool-s.txt")}
    answers.update(more)
    return answers


@pytest.mark.parametrize("version", VERSIONS)
def test_pair(version):
    info = observe(fake(cluster(version)))
    assert info["running"] and info["reason"] is None
    assert info["dc"] == "hub1" and info["quorate"] is True and info["maintenance"] is False
    assert [(node["name"], node["id"], node["online"]) for node in info["nodes"]] == [
        ("hub1", "1", True), ("hub2", "2", True)]
    assert info["nodes"][0]["attributes"]["cfpgsql-status"] == "PRI"
    assert info["nodes"][1]["attributes"]["cfpgsql-data-status"] == "STREAMING|ASYNC"
    assert info["promoted"] == {"cfpgsql": "hub1", "mscfpgsql": "hub1"}
    database = info["resources"]["cfpgsql"]
    assert (database["agent"], database["clone"], database["group"]) == ("ocf:heartbeat:pgsql", "mscfpgsql", None)
    assert [(item["node"], item["role"], item["active"]) for item in database["instances"]] == [
        ("hub1", "Promoted", True), ("hub2", "Unpromoted", True)]
    address = info["resources"]["cfvirtip"]
    assert address["group"] == "cfengine" and address["managed"] and not address["blocked"]
    assert address["instances"] == [{"node": None, "role": "Stopped", "active": False, "failed": False,
                                     "pending": None, "target_role": None}]
    failure = info["failures"][0]
    assert (failure["resource"], failure["node"], failure["operation"], failure["rc"], failure["interval"]) == (
        "cfvirtip", "hub1", "monitor", 7, 10000)
    assert failure["exit_reason"] == "Simulated action result" and failure["when"]
    assert info["fail_counts"] == {"cfvirtip": {"hub1": 1}}
    assert info["bans"] == [{"id": "cli-ban-cfengine-on-hub2", "resource": "cfengine", "node": "hub2",
                             "score": "-INFINITY", "promoted_only": False}]
    assert [ban["id"] for ban in info["active_bans"]] == ["fence-hub1-elsewhere", "cli-ban-cfengine-on-hub2"]
    assert info["options"]["no-quorum-policy"] == "ignore" and info["options"]["stonith-enabled"] == "true"
    assert info["meta"]["cfpgsql"]["migration-threshold"] == {"value": "1", "set_by": "rsc_defaults"}
    assert info["properties"]["stonith-enabled"] == "true"
    assert info["properties"]["maintenance-mode"] == "false"
    assert info["fencing_devices"] == {"fence-hub1": ["hub1"]}
    assert info["rsc_defaults"] == {"resource-stickiness": "INFINITY", "migration-threshold": "1"}


def test_links_and_quorum():
    info = observe(fake(cluster()))
    assert [(link["id"], link["transport"], link["address"]) for link in info["links"]] == [
        (0, "udp", "192.168.0.10"), (1, "udp", "192.168.10.10")]
    assert info["links"][0]["peers"]["hub2"] == {"connected": True, "address": "192.168.0.11", "mtu": 1397}
    assert info["links"][1]["peers"]["hub2"]["connected"] is False
    assert info["quorum"] == {"quorate": True, "expected_votes": 2, "total_votes": 2, "needed_votes": 1,
                              "flags": ["2Node", "Quorate", "WaitForAll"], "ring_id": "1.8"}


def test_old_role_names_and_instances():
    text = ('<pacemaker-result><summary><current_dc present="true" name="hub2" with_quorum="false"/></summary><nodes/>'
            '<resources><clone id="ms" multi_state="true"><group id="g:0"><resource id="a:0" resource_agent='
            '"ocf::heartbeat:pgsql" role="Master" active="true" managed="false" failed="true" blocked="true">'
            '<node name="hub1" id="1"/></resource></group><group id="g:1"><resource id="a:1" resource_agent='
            '"ocf::heartbeat:pgsql" role="Slave" active="true" managed="true" pending="Promoting">'
            '<node name="hub2" id="2"/></resource></group></clone></resources>'
            '<failures><failure id="a:1_start_0" node="hub2" exitstatus="error" exitcode="1"/></failures>'
            '</pacemaker-result>')
    status = read_status(text)
    assert status["quorate"] is False and status["dc"] == "hub2"
    found = status["resources"]["a"]
    assert found["agent"] == "ocf:heartbeat:pgsql" and found["group"] == "g" and found["clone"] == "ms"
    assert found["managed"] is False and found["failed"] and found["blocked"]
    assert [item["role"] for item in found["instances"]] == ["Promoted", "Unpromoted"]
    assert found["instances"][1]["pending"] == "Promoting"
    assert status["promoted"] == {"ms": "hub1", "a": "hub1"}
    assert status["failures"][0]["resource"] == "a" and status["failures"][0]["operation"] == "start"


def test_two_promoted_are_both_named_and_none_is_null():
    text = ('<r><resources><clone id="ms" multi_state="true"><resource id="a" role="Promoted" active="true">'
            '<node name="hub2"/></resource><resource id="a" role="Promoted" active="true"><node name="hub1"/>'
            '</resource></clone><clone id="n" multi_state="true"><resource id="b" role="Stopped" active="false"/>'
            '</clone>'
            '</resources></r>')
    assert read_status(text)["promoted"] == {"ms": "hub1,hub2", "a": "hub1,hub2", "n": None, "b": None}


def test_no_dc():
    status = read_status('<r><summary><current_dc present="false"/></summary></r>')
    assert status["dc"] is None and status["quorate"] is None and status["nodes"] == []


def test_attributes_of_an_offline_node_come_from_the_cib():
    settings = read_settings(parse(fixture("pair.xml")))
    assert settings["attributes"]["hub2"]["cfpgsql-data-status"] == "STREAMING|ASYNC"
    assert settings["attributes"]["hub2"]["cfpgsql-status"] == "HS:async"
    assert not [name for name in settings["attributes"]["hub1"] if name.startswith(("fail-count", "last-failure", "#"))]


def test_ban_with_a_lifetime():
    root = parse('<cib><configuration><constraints><rsc_location id="cli-ban-a-on-hub1" rsc="a" role="Master">'
                 '<rule id="r" score="-INFINITY" boolean-op="and"><expression id="e" attribute="#uname" '
                 'operation="eq" value="hub1"/></rule></rsc_location></constraints></configuration></cib>')
    assert read_settings(root)["bans"] == [
        {"id": "cli-ban-a-on-hub1", "resource": "a", "node": "hub1", "score": "-INFINITY", "promoted_only": True}]


def located(xml):
    """read_settings' locations of these constraints."""
    return read_settings(parse("<cib><configuration><constraints>%s</constraints></configuration></cib>"
                               % xml))["locations"]


def test_location_constraints():
    plain = {"id": "l", "rule": None, "resource": "a", "pattern": None, "node": "hub1", "score": "-INFINITY",
             "promoted_only": False, "conditional": False}
    assert located('<rsc_location id="l" rsc="a" node="hub1" score="-INFINITY"/>') == [plain]
    assert located('<rsc_location id="l" rsc-pattern="a.*" node="hub1" score="-INFINITY"/>') == [
        dict(plain, resource=None, pattern="a.*")]
    assert located('<rsc_location id="l" node="hub1" score="-INFINITY"><resource_set id="s"><resource_ref id="a"/>'
                   '<resource_ref id="b"/></resource_set></rsc_location>') == [plain, dict(plain, resource="b")]
    assert located(
        '<rsc_location id="l" rsc="a"><rule id="r" score="-INFINITY" role="Master"><expression id="e" '
        'attribute="pingd" operation="lt" value="1"/></rule><rule id="q" score-attribute="pingd"><expression id="f" '
        'attribute="#uname" operation="eq" value="hub2"/><date_expression id="d" operation="lt" end="2026-01-01"/>'
        '</rule></rsc_location>') == [
            dict(plain, node=None, promoted_only=True, conditional=True, rule="r"),
            dict(plain, node="hub2", score="pingd", rule="q")]
    assert [item["rule"] for item in located('<rsc_location id="l" rsc="a"><rule id-ref="r"/></rsc_location>')] == ["r"]
    assert located('<rsc_colocation id="c" rsc="a" with-rsc="b" score="-INFINITY"/>') == []


def test_meta_attributes_that_hold_for_a_resource():
    """Its own, then its group's, its clone's, and the defaults at last."""
    meta = '<meta_attributes id="%s-m"><nvpair id="%s-n" name="%s" value="%s"/></meta_attributes>'
    root = parse(
        '<cib><configuration><resources><clone id="ms">%s<group id="g">%s<primitive id="a">%s</primitive></group>'
        '</clone><primitive id="b"><meta_attributes id="r"><rule id="rr"/><nvpair id="rn" name="is-managed" '
        'value="false"/></meta_attributes></primitive></resources><rsc_defaults>%s</rsc_defaults></configuration>'
        '</cib>' % (
            meta % ("c", "c", "target-role", "Stopped"), meta % ("d", "d", "is-managed", "no"),
            meta % ("e", "e", "target-role", "Started"), meta % ("f", "f", "migration-threshold", "3")))
    found = read_settings(root)["meta"]
    threshold = {"migration-threshold": {"value": "3", "set_by": "rsc_defaults"}}
    stopped = dict(threshold, **{"target-role": {"value": "Stopped", "set_by": "ms"}})
    unmanaged = dict(stopped, **{"is-managed": {"value": "no", "set_by": "g"}})
    assert found == {"ms": stopped, "g": unmanaged, "b": threshold,
                     "a": dict(unmanaged, **{"target-role": {"value": "Started", "set_by": "a"}})}


@pytest.mark.parametrize("params, hosts", [
    ({"pcmk_host_list": "hub1"}, ["hub1"]),
    ({"pcmk_host_list": "hub1,hub2;third  fourth"}, ["hub1", "hub2", "third", "fourth"]),
    ({"pcmk_host_map": "hub1:7;hub2=8,9 third:1"}, ["hub1", "hub2", "third"]),
    ({"pcmk_host_list": "hub1", "pcmk_host_map": "hub1:1;hub2:2"}, ["hub1", "hub2"]),
    ({"pcmk_host_list": "hub1", "pcmk_host_check": "Static-List"}, ["hub1"]),
    ({"pcmk_host_list": ""}, []), ({"pcmk_host_check": "static-list"}, []),
    ({"pcmk_host_list": "hub1", "pcmk_host_check": "dynamic-list"}, None),
    ({"pcmk_host_list": "hub1", "pcmk_host_check": "none"}, None), ({"ip": "192.0.2.1", "password": "geheim"}, None)])
def test_whom_a_fencing_device_fences(params, hosts):
    pairs = "".join('<nvpair id="n-%s" name="%s" value="%s"/>' % (name, name, value) for name, value in params.items())
    cib = '<cib><configuration><resources>%s</resources></configuration></cib>'
    own = ('<primitive id="f" class="stonith" type="fence_ipmilan"><instance_attributes id="i">%s</instance_attributes>'
           '</primitive><primitive id="web" class="ocf" provider="heartbeat" type="apache"/>')
    assert read_settings(parse(cib % own % pairs))["fencing_devices"] == {"f": hosts}
    template = ('<template id="t" class="stonith" type="fence_ipmilan"><instance_attributes id="i">%s'
                '</instance_attributes></template><primitive id="f" template="t"/>')
    assert read_settings(parse(cib % template % pairs))["fencing_devices"] == {"f": hosts}
    rule = own.replace('id="i">', 'id="i"><rule id="r"/>')
    assert read_settings(parse(cib % rule % pairs))["fencing_devices"] == {"f": None}
    reference = own.replace('id="i">', 'id-ref="other">')
    assert read_settings(parse(cib % reference % pairs))["fencing_devices"] == {"f": None}


def test_failures_that_pacemaker_still_counts():
    """crm_mon shows the count beside the resource's history. When that is gone, the count is in pacemaker's books."""
    root = parse(
        '<cib><configuration/><status><node_state uname="hub2"><transient_attributes id="2"><instance_attributes '
        'id="i"><nvpair id="a" name="fail-count-cfpgsql#start_0" value="INFINITY"/>'
        '<nvpair id="b" name="fail-count-cfpgsql#monitor_4000" value="1"/>'
        '<nvpair id="c" name="fail-count-cfvirtip:1#monitor_10000" value="2"/>'
        '<nvpair id="e" name="fail-count-cfvirtip:1#start_0" value="2"/>'
        '<nvpair id="d" name="fail-count-other#start_0" value="0"/>'
        '</instance_attributes></transient_attributes></node_state></status></cib>')
    assert read_settings(root)["fail_counts"] == {"cfpgsql": {"hub2": 1000000}, "cfvirtip": {"hub2": 4}}
    info = observe(fake(cluster(cibadmin=unparse(root))))
    assert info["fail_counts"] == {"cfpgsql": {"hub2": 1000000}, "cfvirtip": {"hub1": 1, "hub2": 4}}
    assert info["thresholds"]["cfpgsql"] == {"hub1": 1, "hub2": 1}


@pytest.mark.parametrize("answers, reason", [
    ({}, "crm_mon is not installed"),
    ({"crm_mon": (102, "<pacemaker-result/>", "")}, "pacemaker does not run"),
    ({"crm_mon": (107, "", "crm_mon: Connection to cluster failed: Transport endpoint is not connected")},
     "pacemaker does not run"),
    ({"crm_mon": "<r/>", "cibadmin": (102, "", "Could not connect to the CIB")}, "pacemaker does not run"),
])
def test_no_cluster_is_no_error(answers, reason):
    info = observe(fake(answers))
    assert info["running"] is False and reason in info["reason"]
    assert set(info) == set(observe(fake(cluster())))


def test_other_failures_are_errors():
    with pytest.raises(CommandError):
        observe(fake({"crm_mon": (1, "", "segmentation fault")}))
    with pytest.raises(HubError, match="not well-formed"):
        observe(fake(cluster(crm_mon="garbage")))


def test_without_corosync_tools_the_rest_is_told():
    answers = cluster()
    for key in [key for key in answers if key.startswith("corosync")]:
        del answers[key]
    info = observe(fake(answers))
    assert info["links"] == [] and info["quorum"] is None and info["quorate"] is True


# ---------------------------------------------------------------- waiting

WANTED = {"primitives": [{"id": "cfvirtip"}, {"id": "cfpgsql"}]}
IDLE = "<pacemaker-result><actions/></pacemaker-result>"


def settle(answers, wanted=None, limit=5):
    """settle() with a clock of its own; answers may be functions of the seconds that have passed."""
    now = {"time": 0.0}

    def run(argv, **more):
        current = dict((key, answer(now["time"]) if callable(answer) else answer) for key, answer in answers.items())
        return fake(current)(argv, **more)

    def pause(seconds):
        now["time"] += seconds
    return tools.settle(run, wanted or WANTED, limit, "/nowhere", lambda: now["time"], pause), now["time"]


def test_settled_but_a_wanted_resource_is_down():
    with pytest.raises(tools.NotSettled,
                       match="monitor of cfvirtip on hub1: Not running .Simulated.*crm_resource --cleanup"):
        settle(cluster(crm_simulate=IDLE))


def test_settled_with_a_failure_elsewhere():
    failures, seconds = settle(cluster(crm_simulate=IDLE), {"primitives": [{"id": "cfpgsql"}]})
    assert failures == ["monitor of cfvirtip on hub1: Not running (Simulated action result)"]
    assert seconds == 0.5


def test_not_settled_in_time():
    with pytest.raises(tools.NotSettled) as caught:
        settle(cluster(crm_simulate=fixture("crm_simulate-move.xml")))
    assert "not settled after 5 s: move cfvirtip from hub1 to hub2; stop cfpgsql:0" in caught.value.message
    assert "Failed actions: monitor of cfvirtip" in caught.value.message


def test_settles_after_a_while():
    busy = fixture("crm_mon-3.0.0.xml").replace('role="Unpromoted"', 'role="Starting"')
    no_dc = fixture("crm_mon-3.0.0.xml").replace('<current_dc present="true"', '<current_dc present="false"')
    calm = fixture("crm_mon-3.0.0.xml")
    _failures, seconds = settle(
        cluster(crm_mon=lambda now: (102, "", "") if now < 1 else no_dc if now < 2 else busy if now < 3 else calm,
                crm_simulate=lambda now: fixture("crm_simulate-move.xml") if 3 <= now < 4 else IDLE),
        {"primitives": []}, limit=10)
    assert seconds == 4.5


@pytest.mark.parametrize("answer, part", [
    ((102, "", ""), "crm_mon ended with exit status 102"),
    ('<r><summary><current_dc present="false"/></summary></r>', "no designated controller"),
    ('<r><summary><current_dc present="true" name="a"/></summary><nodes><node name="b" pending="true"/></nodes></r>',
     "node b is joining"),
    ('<r><summary><current_dc present="true" name="a"/></summary><resources><resource id="x" pending="Stopping">'
     '<node name="b"/></resource></resources></r>', "x is stopping on b"),
])
def test_what_is_pending_is_named(answer, part):
    with pytest.raises(tools.NotSettled, match=part):
        settle(cluster(crm_mon=answer, crm_simulate=IDLE))


def test_a_stop_of_what_is_not_configured_any_more_is_pending():
    status = ('<status><node_state uname="%s"><lrm><lrm_resources><lrm_resource id="old:0">'
              '<lrm_rsc_op operation="stop" interval="0" op-status="-1"/>'
              '<lrm_rsc_op operation="monitor" interval="5000" op-status="-1"/>'
              '</lrm_resource></lrm_resources></lrm></node_state></status>')
    cib = "<cib><configuration/>%s</cib>"
    with pytest.raises(tools.NotSettled, match="after 5 s: stop of old on hub2 is not done. Failed"):
        settle(cluster(cibadmin=cib % status % "hub2", crm_simulate=IDLE))
    settle(cluster(cibadmin=cib % status % "dead", crm_simulate=IDLE), {"primitives": []})


def test_blocked_is_not_waited_for_but_told():
    mon = ('<r><summary><current_dc present="true" name="a"/></summary><resources><resource id="x" blocked="true" '
           'active="true"><node name="a"/></resource></resources></r>')
    blocked = '<r><actions><rsc_action action="stop" resource="x" node="a" blocked="true"/></actions></r>'
    with pytest.raises(tools.NotSettled, match="x is blocked"):
        settle(cluster(crm_mon=mon, crm_simulate=blocked), {"primitives": [{"id": "x"}]})


def test_an_agent_that_is_not_installed_is_a_failure():
    # crm_mon of pacemaker 3.0.0 lists no failure for this
    mon = ('<r><summary><current_dc present="true" name="a"/></summary><resources><resource id="x" role="Stopped" '
           'active="false"/></resources><node_history><node name="a"><resource_history id="x"><operation_history '
           'call="22" task="probe" rc="5" rc_text="Not installed"/><operation_history call="22" task="probe" rc="5" '
           'rc_text="Not installed"/></resource_history></node></node_history></r>')
    assert [(item["resource"], item["rc"]) for item in read_status(mon)["failures"]] == [("x", 5)]
    with pytest.raises(tools.NotSettled, match="probe of x on a: Not installed"):
        settle(cluster(crm_mon=mon, crm_simulate=IDLE), {"primitives": [{"id": "x"}]})


def test_a_pacemaker_that_is_starting_is_waited_for():
    now = {"time": 0.0, "calls": 0}

    def run(argv, **more):
        if argv[0] == "systemctl":
            return Completed(argv, 0, "active\n", "")
        now["calls"] += 1
        if now["calls"] < 4:
            return Completed(argv, 102, "", "Could not connect to the CIB: Transport endpoint is not connected")
        return Completed(argv, 0, fixture("pair.xml"), "")

    def pause(seconds):
        now["time"] += seconds
    result = tools.converge(run, {}, clock=lambda: now["time"], pause=pause)
    assert result["changed"] is False and result["cluster"] == "running" and now["calls"] == 4


def test_a_pacemaker_that_never_answers_ends_bounded():
    now = {"time": 0.0}

    def run(argv, **more):
        if argv[0] == "systemctl":
            return Completed(argv, 0, "active\n", "")
        return Completed(argv, 102, "", "Could not connect to the CIB")

    def pause(seconds):
        now["time"] += seconds
    with pytest.raises(HubError, match="start it with"):
        tools.converge(run, {}, clock=lambda: now["time"], pause=pause)
    assert now["time"] <= tools.START_LIMIT + 1
