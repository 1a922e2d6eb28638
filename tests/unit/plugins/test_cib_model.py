# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pure part of the cib module."""

from __future__ import annotations

import os

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.edit import edit as edit_cib
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.effects import (
    classify_verify,
    disruptions,
    summarise_simulation,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.normalise import normalise
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.parse import differs, parse, unparse
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.secrets import (
    mask_parameters,
    mask_patch,
    scrub,
    secret_values,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.show import diff
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.values import microseconds
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.modules import cib as cib_module

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "cib")


def cib(resources="", constraints="", config="", schema="pacemaker-3.9", more=""):
    return parse(
        '<cib validate-with="%s"><configuration><crm_config>%s</crm_config><nodes/><resources>%s</resources>'
        '<constraints>%s</constraints>%s</configuration><status/></cib>'
        % (schema, config, resources, constraints, more))


def edit(current, **given):
    wanted = normalise(given)
    new, notes = edit_cib(current, wanted)
    again, _notes = edit_cib(new, wanted)
    assert not differs(new, again), "the second edit changes something"
    return new, notes, diff(current, new, wanted)


def dummy(name, **more):
    return dict({"id": name, "agent": "ocf:heartbeat:Dummy"}, **more)


def level(**more):
    return dict({"id": "f", "target": "hub1", "index": 1, "devices": ["d"]}, **more)


P = '<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"/>'


# ---------------------------------------------------------------- input

@pytest.mark.parametrize("given, part", [
    ({"primitives": [{"id": "a", "agent": "IPaddr2"}]}, "agent 'IPaddr2'"),
    ({"primitives": [{"id": "a", "agent": "ocf:IPaddr2"}]}, "agent 'ocf:IPaddr2'"),
    ({"primitives": [dummy("a b")]}, "'a b' cannot be an id"),
    ({"primitives": [dummy("a"), dummy("a")]}, "id a is given 2 times"),
    ({"primitives": [dummy("a", params={"x": ["y"]})]}, "primitive a, x: expected text"),
    ({"primitives": [dummy("a", operations=[{"name": "monitor", "interval": "10s"},
                                            {"name": "monitor", "interval": "10000ms", "role": "Promoted"}])]},
     "given twice"),
    ({"primitives": [dummy("a", params={"password": "x\x01y"})]}, "control character"),
    ({"primitives": [dummy("a", params={"password": "two\nlines"})]}, "primitive a, password: the value has a line"),
    ({"primitives": [dummy("a", operations=[{"name": "monitor", "role": "Boss"}])]}, "role Boss"),
    ({"primitives": [dummy("a")], "absent": ["a"]}, "wanted and listed in absent"),
    ({"groups": [{"id": "g", "members": []}]}, "at least one member"),
    ({"groups": [{"id": "g", "members": ["a", "a"]}]}, "listed twice"),
    ({"groups": [{"id": "g", "members": ["a"]}], "clones": [{"id": "c", "member": "a"}]}, "a cannot be in g and in c"),
    ({"groups": [{"id": "g", "members": ["a"]}], "absent": ["a"]}, "a is a member of g and listed in absent"),
    ({"locations": [{"id": "l", "rsc": "a", "node": "n", "score": "lots"}]}, "score lots"),
    ({"alerts": [{"id": "a", "path": "agent.sh"}]}, "the path of the agent is 'agent.sh' and must begin with /"),
    ({"alerts": [{"id": "a", "path": "/a\n"}]}, "alert a, path: the value has a line break"),
    ({"alerts": [{"id": "a", "path": "/a", "params": {"x": ["y"]}}]}, "alert a, x: expected text"),
    ({"alerts": [{"id": "a", "path": "/a", "select": ["moon"]}]}, "alert a: select moon is none of attributes"),
    ({"alerts": [{"id": "a", "path": "/a", "select": ["nodes"], "attributes": ["x"]}]}, "when select has attributes"),
    ({"alerts": [{"id": "a", "path": "/a", "recipients": [{"id": "r", "value": ""}]}]}, "recipient r: it has no value"),
    ({"alerts": [{"id": "a", "path": "/a", "recipients": [{"id": "a", "value": "v"}]}]}, "id a is given 2 times"),
    ({"alerts": [{"id": "a", "path": "/a"}], "absent": ["a"]}, "id a is wanted and listed in absent"),
    ({"fencing_levels": [level(target=None)]}, "fencing level f: it needs one of target, target_pattern"),
    ({"fencing_levels": [level(target_pattern="h.*")]}, "fencing level f: it needs one of target, target_pattern"),
    ({"fencing_levels": [level(target=None, target_attribute="rack")]}, "target_value belong together"),
    ({"fencing_levels": [level(target_value="7")]}, "target_value belong together"),
    ({"fencing_levels": [level(index=0)]}, "index 0 is not 1 to 9"),
    ({"fencing_levels": [level(index=10)]}, "index 10 is not 1 to 9"),
    ({"fencing_levels": [level(devices=[])]}, "at least one device"),
    ({"fencing_levels": [level(devices=["d", "d"])]}, "a device is listed twice"),
    ({"fencing_levels": [level(devices=["d,e"])]}, "'d,e' cannot be an id"),
    ({"fencing_levels": [level(), level(id="g")]}, "fencing levels f and g have the same target and index"),
    ({"fencing_levels": [level()], "absent": ["d"]}, "d is a device of fencing level f and listed in absent"),
])
def test_bad_input_is_named(given, part):
    with pytest.raises(HubError) as caught:
        normalise(given)
    assert part in caught.value.message


def test_examples_of_the_module_are_usable():
    for task in yaml.safe_load(cib_module.EXAMPLES):
        assert normalise(task["cfengine.hub_ha.cib"])


def test_scalars_are_spelled_as_pacemaker_does():
    wanted = normalise({"primitives": [dummy("a", params={"t": True, "f": False, "n": 5, "none": None})],
                        "properties": {"x": None, "y": 1.5}})
    assert wanted["primitives"][0]["params"] == {"t": "true", "f": "false", "n": "5"}
    assert wanted["properties"] == {"x": None, "y": "1.5"}


@pytest.mark.parametrize("text, value", [
    ("10s", 10000000), ("10", 10000000), ("10000ms", 10000000), ("1m", 60000000), ("2h", 7200000000), ("0", 0),
    ("PT10S", None), ("", 0)])
def test_microseconds(text, value):
    assert microseconds(text) == value


@pytest.mark.parametrize("text", ["<cib", "<x/>", "<cib/>", ""])
def test_what_is_no_cib(text):
    with pytest.raises(HubError):
        parse(text)


# ---------------------------------------------------------------- edit

def test_current_is_left_alone():
    current = cib()
    before = unparse(current)
    edit(current, primitives=[dummy("a", params={"x": 1})], properties={"p": "q"})
    assert unparse(current) == before


def test_what_means_the_same_is_not_touched():
    current = cib(
        '<clone id="c"><primitive id="a" class="ocf" provider="heartbeat" type="Dummy"><operations>'
        '<op id="o" name="monitor" interval="10" timeout="1m" role="Master" enabled="yes"/></operations></primitive>'
        '</clone>',
        '<rsc_colocation id="l" rsc="c" with-rsc="c" with-rsc-role="Master" score="+INFINITY"/>'
        '<rsc_order id="r" first="c" then="c" symmetrical="0"/>')
    new, _notes, shown = edit(
        current,
        primitives=[dummy("a", operations=[{"name": "monitor", "interval": "10000ms", "timeout": "60s",
                                            "role": "Promoted", "enabled": True}])],
        colocations=[{"id": "l", "rsc": "c", "with_rsc": "c", "with_rsc_role": "Promoted", "score": "1000000"}],
        orders=[{"id": "r", "first": "c", "then": "c", "symmetrical": False}])
    assert not differs(current, new)
    assert shown["before"] == shown["after"]


def test_old_schema_gets_old_role_names():
    new, _notes, _shown = edit(
        cib(P % "a" + P % "b", schema="pacemaker-3.6"),
        primitives=[dummy("a", operations=[{"name": "monitor", "interval": "5s", "role": "Promoted"}])],
        colocations=[{"id": "l", "rsc": "b", "with_rsc": "a", "with_rsc_role": "Promoted", "score": "1"}])
    assert new.find(".//op").get("role") == "Master"
    assert new.find(".//rsc_colocation").get("with-rsc-role") == "Master"


def test_operations_are_exact_and_keep_ids():
    current = cib('<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"><operations>'
                  '<op id="one" name="monitor" interval="10s" timeout="5s" on-fail="block"/>'
                  '<op id="two" name="start" interval="0s" timeout="5s"/>'
                  '<op id="three" name="stop" interval="0s" timeout="5s"/></operations></primitive>')
    new, _notes, shown = edit(current, primitives=[dummy("a", operations=[
        {"name": "monitor", "interval": "20s", "timeout": "5s"}, {"name": "stop", "timeout": "9s"},
        {"name": "promote", "timeout": "1s"}])])
    found = dict((op.get("id"), dict(op.attrib)) for op in new.iter("op"))
    assert sorted(found) == ["a-promote-0s", "one", "three"]
    assert found["one"] == {"id": "one", "name": "monitor", "interval": "20s", "timeout": "5s"}
    assert "  op start interval=0s timeout=5s\n" in shown["before"]
    assert "start" not in shown["after"]


def test_operation_parameters():
    new, _notes, shown = edit(cib(), primitives=[dummy("a", operations=[
        {"name": "monitor", "interval": "5s", "attributes": {"OCF_CHECK_LEVEL": 10}}])])
    assert new.find(".//op/instance_attributes/nvpair").get("value") == "10"
    assert "OCF_CHECK_LEVEL=10" in shown["after"]


def test_not_given_is_not_owned_and_empty_is():
    resource = ('<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="i">'
                '<nvpair id="i-x" name="x" value="1"/></instance_attributes><operations><op id="o" name="start" '
                'interval="0s"/></operations></primitive>')
    new, _notes, _shown = edit(cib(resource), primitives=[dummy("a")])
    assert not differs(cib(resource), new)
    new, _notes, _shown = edit(cib(resource), primitives=[dummy("a", params={}, operations=[])])
    assert list(new.find(".//primitive")) == []


def test_new_ids_never_collide():
    current = cib(P % "a-instance_attributes" + P % "a-monitor-5s")
    new, _notes, _shown = edit(current, primitives=[dummy("a", params={"x y": 1, "x_y": 2},
                                                          operations=[{"name": "monitor", "interval": "5s"}])])
    ids = [element.get("id") for element in new.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_sets_with_rules_are_left_alone():
    resource = ('<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"><meta_attributes id="m">'
                '<rule id="r" score="1"><expression id="e" attribute="#uname" operation="eq" value="hub1"/></rule>'
                '<nvpair id="m-x" name="x" value="1"/></meta_attributes></primitive>')
    new, notes, _shown = edit(cib(resource), primitives=[dummy("a", meta={"y": 2})])
    assert new.find(".//nvpair[@id='m-x']") is not None
    assert "rule" in notes[0]


def test_kind_of_an_id_cannot_change():
    with pytest.raises(HubError, match="a is a primitive in the CIB but is wanted as a group"):
        edit(cib(P % "a" + P % "b"), groups=[{"id": "a", "members": ["b"]}])


def test_old_master_becomes_a_promotable_clone():
    new, _notes, _shown = edit(cib('<master id="c">%s</master>' % (P % "a")),
                               clones=[{"id": "c", "member": "a", "meta": {"promotable": True}}])
    assert new.find(".//clone[@id='c']/primitive") is not None and new.find(".//master") is None


def test_constraint_is_exact():
    current = cib(P % "a" + P % "b", '<rsc_colocation id="c" score="5" node-attribute="rack">'
                                     '<resource_set id="s"><resource_ref id="a"/></resource_set></rsc_colocation>')
    new, _notes, shown = edit(current, colocations=[{"id": "c", "rsc": "a", "with_rsc": "b", "score": "7"}])
    found = new.find(".//rsc_colocation")
    assert dict(found.attrib) == {"id": "c", "rsc": "a", "with-rsc": "b", "score": "7"} and not len(found)
    assert shown["before"] == "colocation c: (set) with (set) node-attribute=rack score=5 with resource_set\n"


def test_constraint_changes_its_kind():
    new, _notes, _shown = edit(cib(P % "a", '<rsc_location id="c" rsc="a" node="x" score="5"/>'),
                               orders=[{"id": "c", "first": "a", "then": "a"}])
    assert [kid.tag for kid in new.find("configuration/constraints")] == ["rsc_order"]


def test_missing_members_are_named():
    with pytest.raises(HubError, match="group g has the member nobody"):
        edit(cib(), groups=[{"id": "g", "members": ["nobody"]}])
    with pytest.raises(HubError, match="clone c has the member nobody"):
        edit(cib(), clones=[{"id": "c", "member": "nobody"}])
    with pytest.raises(HubError, match="a group holds primitives only"):
        edit(cib('<group id="h">%s</group>' % (P % "a")), groups=[{"id": "g", "members": ["h"]}])


def test_clone_changes_its_member():
    current = cib('<clone id="c">%s</clone>' % (P % "a") + P % "b")
    new, notes, _shown = edit(current, clones=[{"id": "c", "member": "b"}])
    assert [kid.get("id") for kid in new.find(".//clone")] == ["b"]
    assert "a" in [kid.get("id") for kid in new.find("configuration/resources")]
    assert notes == ["clone c held a, which stands alone from now on"]


def test_clone_of_a_group():
    new, _notes, shown = edit(cib(), primitives=[dummy("a"), dummy("b")], groups=[{"id": "g", "members": ["a", "b"]}],
                              clones=[{"id": "c", "member": "g"}])
    assert [kid.get("id") for kid in new.findall(".//clone/group/primitive")] == ["a", "b"]
    assert "clone c: g\n" in shown["after"]


def test_group_members_keep_foreign_places():
    current = cib('<group id="g">%s</group>' % "".join(P % name for name in ("a", "x", "b", "y")))
    new, _notes, _shown = edit(current, primitives=[dummy("n")], groups=[{"id": "g", "members": ["b", "a", "n"]}])
    assert [kid.get("id") for kid in new.find(".//group")] == ["b", "x", "a", "n", "y"]


def test_replacing_a_group_by_another():
    current = cib('<group id="old">%s</group>' % (P % "a"))
    new, _notes, _shown = edit(current, groups=[{"id": "new", "members": ["a"]}], absent=["old"])
    assert [kid.get("id") for kid in new.find("configuration/resources")] == ["new"]


def test_references_through_tags_and_old_dangling_ones_are_fine():
    current = cib(P % "a", '<rsc_location id="old" rsc="lost" node="x" score="1"/>',
                  more='<tags><tag id="t"><obj_ref id="a"/></tag></tags>')
    edit(current, locations=[{"id": "l", "rsc": "t", "node": "x", "score": "1"}])


def test_an_alert_that_a_tag_names_is_found():
    current = cib(more='<tags><tag id="t"><obj_ref id="mail"/></tag></tags>'
                       '<alerts><alert id="mail" path="/x"/></alerts>')
    new, _notes, shown = edit(current, alerts=[{"id": "mail", "path": "/y"}])
    assert [item.get("path") for item in new.iter("alert")] == ["/y"]
    assert shown == {"before": "alert mail /x\n", "after": "alert mail /y\n"}


def test_properties():
    config = ('<cluster_property_set id="cfpgsql_replication"><nvpair id="r" name="cfpgsql_REPL_INFO" value="x"/>'
              '</cluster_property_set>')
    new, _notes, shown = edit(cib(config=config), properties={"stonith-enabled": False, "gone": None})
    sets = new.findall("configuration/crm_config/cluster_property_set")
    assert [found.get("id") for found in sets] == ["cfpgsql_replication", "cib-bootstrap-options"]
    assert shown == {"before": "", "after": "property stonith-enabled=false\n"}
    new, _notes, shown = edit(new, properties={"stonith-enabled": None})
    assert new.find(".//nvpair[@name='stonith-enabled']") is None
    assert shown == {"before": "property stonith-enabled=false\n", "after": ""}


def test_defaults_go_into_the_set_that_is_there():
    more = '<rsc_defaults><meta_attributes id="rsc-options"/></rsc_defaults>'
    new, _notes, _shown = edit(cib(more=more), rsc_defaults={"a": 1}, op_defaults={"timeout": "60s"})
    assert new.find(".//rsc_defaults/meta_attributes").get("id") == "rsc-options"
    assert new.find(".//op_defaults/meta_attributes").get("id") == "op_defaults-options"


# ---------------------------------------------------------------- secrets

def test_diff_never_shows_secrets():
    one = {"primitives": [dummy("a", params={"passwd": "s1", "conn": "user=x password='o\\'ne two' y=1"})],
           "properties": {}}
    two = {"primitives": [dummy("a", params={"passwd": "s2", "conn": "user=x password='other' y=1"})]}
    first, _notes = edit_cib(cib(), normalise(one))
    second, _notes = edit_cib(first, normalise(two))
    shown = diff(first, second, normalise(two))
    assert "  param passwd=***\n" in shown["before"] and "  param passwd=*** (differs)\n" in shown["after"]
    assert "  param conn=user=x password=*** y=1\n" in shown["before"]
    assert "  param conn=user=x password=*** y=1 (differs)\n" in shown["after"]


def test_mask_patch():
    text = ('<diff format="2"><change operation="modify" path="/x"><change-list><change-attr name="value" '
            'operation="set" value="S3cret"/></change-list><change-result><nvpair id="p" name="password" '
            'value="S3cret"/></change-result></change><change operation="create" path="/y" position="0">'
            '<nvpair id="q" name="login_password" value="S4cret"/></change></diff>')
    masked = mask_patch(text)
    assert "S3cret" not in masked and "S4cret" not in masked and masked.count("***") == 3
    assert mask_patch("") == ""


def test_mask_parameters_and_secrets():
    given = {"primitives": [dummy("a", params={"password": "p1", "ip": "1.2.3.4", "secret_key": None, "passwd": 77})]}
    assert sorted(secret_values(given=given)) == ["77", "p1"]
    # a switch is no secret: hiding the word true everywhere would only garble the result
    assert secret_values(given={"password_in_file": True, "secret_x": "no"}) == []
    masked = mask_parameters(given)["primitives"][0]["params"]
    assert masked == {"password": "***", "ip": "1.2.3.4", "secret_key": None, "passwd": "***"}
    assert given["primitives"][0]["params"]["password"] == "p1"
    assert scrub("error near hunter22 and p1", ["hunter22", "p1"]) == "error near *** and p1"


# ---------------------------------------------------------------- tools

def test_classify_verify_of_both_versions():
    old = ('/x/verify.xml:10: element rsc_colocation: validity error : IDREF attribute with-rsc references an unknown '
           'ID "nope"\n(unpack_config) \twarning: deprecated\n(main) \terror: CIB did not pass schema validation\n'
           'crm_verify: Errors found during check: config not valid\n')
    new = ('IDREF attribute with-rsc references an unknown ID "nope"\n\nwarning: deprecated\n'
           'error: CIB did not pass schema validation\nConfiguration invalid (with errors)\n')
    assert classify_verify("", old) == classify_verify(new, "") == (
        ['IDREF attribute with-rsc references an unknown ID "nope"', "CIB did not pass schema validation"],
        ["deprecated"])
    assert classify_verify("warning: Detected active orphan slow running on hub1\n", "") == ([], [])
    assert classify_verify("", "crm_verify: Warnings found during check: config may not be valid\n") == ([], [])
    assert len(classify_verify("", "crm_verify: Errors found during check: config not valid\n")[0]) == 1


def test_summarise_simulation():
    with open(os.path.join(FIXTURES, "crm_simulate-move.xml"), encoding="utf-8") as stream:
        lines = summarise_simulation(stream.read())
    assert lines == ["move cfvirtip from hub1 to hub2",
                     "stop cfpgsql:0 on hub1 (Promoted) because: node availability",
                     "promote cfpgsql:1 on hub2 (Unpromoted -> Promoted)"]
    assert summarise_simulation("no xml") == []


# --- locations by an attribute of the node --------------------------------------------------------------------------

FORKED = {"id": "not-forked", "rsc": "mscfpgsql", "score": "-INFINITY",
          "rule": {"attribute": "hub_ha-forked", "operation": "defined"}}
CLIENTS = {"id": "with-clients", "rsc": "mscfpgsql", "score": "10000",
           "rule": {"attribute": "hub_ha-clients", "operation": "eq", "value": "1", "role": "Promoted"}}


RESOURCE = '<clone id="mscfpgsql">%s</clone>' % (P % "cfpgsql")


def test_a_location_with_a_rule_goes_in_once():
    root = edit(cib(RESOURCE), locations=[FORKED, CLIENTS])[0]
    found = root.find("configuration/constraints/rsc_location[@id='not-forked']")
    assert found.attrib == {"id": "not-forked", "rsc": "mscfpgsql"}
    assert found.find("rule").attrib == {"id": "not-forked-rule", "score": "-INFINITY"}
    assert found.find("rule/expression").attrib == {
        "id": "not-forked-rule-expression", "attribute": "hub_ha-forked", "operation": "defined"}
    assert root.find(".//rsc_location[@id='with-clients']/rule").get("role") == "Promoted"


def test_a_rule_that_somebody_changed_is_put_right_and_shown():
    root = edit(cib(RESOURCE), locations=[CLIENTS])[0]
    root.find(".//rsc_location[@id='with-clients']/rule").set("score", "1")
    again, _notes, text = edit(root, locations=[CLIENTS])
    assert again.find(".//rsc_location[@id='with-clients']/rule").get("score") == "10000"
    assert "score=1 where hub_ha-clients eq 1" in text["before"] and "score=10000 where" in text["after"]


@pytest.mark.parametrize("item, words", [
    ({"id": "x", "rsc": "r", "score": "1"}, "a node or a rule"),
    ({"id": "x", "rsc": "r", "node": "hub1", "rule": FORKED["rule"]}, "instead of a node"),
    ({"id": "x", "rsc": "r", "rule": {"attribute": "a", "operation": "eq"}}, "needs a value"),
    ({"id": "x", "rsc": "r", "rule": {"attribute": "a", "operation": "defined", "value": "1"}}, "takes no value"),
])
def test_rules_that_say_nothing_are_refused(item, words):
    with pytest.raises(HubError) as caught:
        normalise({"locations": [item]})
    assert words in caught.value.message


@pytest.mark.parametrize("after, before, keep, found", [
    (["Restart cfvirtip on hub1", "start x on hub1"], [], None, ["Restart cfvirtip on hub1"]),
    (["restart cfpgsql:0 on hub1 (Promoted) because: resource definition change"], [], ["cfpgsql"],
     ["restart cfpgsql:0 on hub1 (Promoted) because: resource definition change"]),
    (["restart cfvirtip on hub1"], [], ["cfpgsql"], []), (["restart cfvirtip on hub1"], [], [], []),
    (["stop other on hub1", "move a from hub1 to hub2"], ["stop other on hub1"], None, ["move a from hub1 to hub2"]),
    (["promote cfpgsql on hub1", "start a on hub2"], [], None, []), ([], [], None, []), (["stop"], [], ["stop"], [])])
def test_what_a_change_interrupts(after, before, keep, found):
    assert disruptions(after, before, keep) == found
