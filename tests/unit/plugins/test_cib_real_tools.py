# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cib module against the real cibadmin, crm_diff, crm_verify and crm_simulate, on files.

These tests need pacemaker's command line tools and fail without them.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import tools as cib_tools
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.parse import parse, unparse
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.observe import observe
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    Completed,
    HubError,
    local_runner,
    which,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import checks
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import wanted_cib
from ansible_collections.cfengine.hub_ha.plugins.modules import cib as cib_module

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "cib")
NASTY = "q'u\"o\\te $x% <&> end"

PRODUCT = {
    "primitives": [
        {"id": "cfvirtip", "agent": "ocf:heartbeat:IPaddr2",
         "params": {"ip": "192.168.100.100", "cidr_netmask": 24},
         "operations": [{"name": "monitor", "interval": "10s", "timeout": "20s"}]},
        {"id": "cfpgsql", "agent": "ocf:heartbeat:pgsql",
         "params": {"rep_mode": "async", "node_list": "hub1 hub2", "restart_on_promote": False},
         "operations": [{"name": "monitor", "interval": "3s", "timeout": "60s", "role": "Promoted"},
                        {"name": "monitor", "interval": "4s", "timeout": "60s", "on_fail": "restart"},
                        {"name": "start", "timeout": "3600s"}]},
        {"id": "fence-hub1", "agent": "stonith:fence_ipmilan",
         "params": {"ip": "192.168.0.210", "password": NASTY, "pcmk_host_list": "hub1"}},
    ],
    "groups": [{"id": "cfengine", "members": ["cfvirtip"]}],
    "clones": [{"id": "mscfpgsql", "member": "cfpgsql",
                "meta": {"promotable": True, "promoted-max": 1, "notify": True}}],
    "colocations": [{"id": "with-active", "rsc": "cfengine", "with_rsc": "mscfpgsql", "with_rsc_role": "Promoted",
                     "score": "INFINITY"}],
    "orders": [
        {"id": "up", "first": "mscfpgsql", "first_action": "promote", "then": "cfengine", "then_action": "start",
         "kind": "Mandatory", "symmetrical": False},
        {"id": "down", "first": "mscfpgsql", "first_action": "demote", "then": "cfengine", "then_action": "stop",
         "kind": "Optional", "symmetrical": False}],
    "locations": [{"id": "fence-hub1-away", "rsc": "fence-hub1", "node": "hub1", "score": "-INFINITY"}],
    "properties": {"no-quorum-policy": "ignore", "stonith-enabled": True},
    "rsc_defaults": {"resource-stickiness": "INFINITY", "migration-threshold": 1},
}


def product(**changes):
    return dict(copy.deepcopy(PRODUCT), **changes)


@pytest.fixture(autouse=True)
def tools():
    missing = [tool for tool in ("cibadmin", "crm_diff", "crm_verify", "crm_simulate", "crm_mon") if not which(tool)]
    assert not missing, "install pacemaker-cli-utils: no %s" % ", ".join(missing)


@pytest.fixture
def empty(tmp_path):
    path = tmp_path / "empty.xml"
    path.write_text(local_runner(["cibadmin", "--empty"]).out)
    return str(path)


@pytest.fixture
def foreign(tmp_path):
    path = str(tmp_path / "foreign.xml")
    shutil.copy(os.path.join(FIXTURES, "foreign.xml"), path)
    return path


def apply(path, given, check_mode=False, run=local_runner, **more):
    return cib_tools.converge(run, given, check_mode=check_mode, cib_file=path, **more)


def load(path):
    with open(path, encoding="utf-8") as stream:
        return parse(stream.read())


def by_id(path, name):
    found = [element for element in load(path).iter() if element.get("id") == name]
    assert len(found) == 1, "%s is there %d times" % (name, len(found))
    return found[0]


def text(element):
    """Canonical XML: the tools may lay white space out anew, nothing else."""
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True)


def sh(path, *argv):
    return local_runner(list(argv), env={"CIB_file": path})


def recording(calls, run=local_runner):
    def inner(argv, **more):
        calls.append(argv)
        return run(argv, **more)
    return inner


def tools_of(calls):
    return [argv[0] + (" " + argv[1] if argv[0] == "cibadmin" else "") for argv in calls]


# ---------------------------------------------------------------- the ordinary way

def test_product_set_goes_in_with_one_patch_under_a_second(empty):
    took = []
    for number in range(3):  # the quickest: other tests run beside it
        copy = shutil.copy(empty, "%s.%d.xml" % (empty, number))
        begin = time.monotonic()
        assert apply(copy, PRODUCT)["elapsed"] <= time.monotonic() - begin
        took.append(time.monotonic() - begin)
    assert min(took) < 1
    calls = []
    result = apply(empty, PRODUCT, run=recording(calls))
    assert result["changed"] and result["attempts"] == 1 and result["cluster"] == "file"
    assert tools_of(calls).count("cibadmin --patch") == 1
    assert not [argv for argv in calls if "--replace" in argv]
    assert local_runner(["crm_verify", "--xml-file", empty], check=False).rc == 0
    assert by_id(empty, "cfengine").tag == "group"
    assert [kid.get("id") for kid in by_id(empty, "mscfpgsql").iter("primitive")] == ["cfpgsql"]


def test_pacemaker_accepts_the_new_role_names(empty):
    result = apply(empty, PRODUCT)
    assert by_id(empty, "with-active").get("with-rsc-role") == "Promoted"
    assert not [line for line in result["warnings"] if "Promoted" in line]


def test_check_mode_equals_the_real_change(empty, foreign):
    for path in (empty, foreign):
        with open(path, encoding="utf-8") as stream:
            before = stream.read()
        calls = []
        predicted = apply(path, PRODUCT, check_mode=True, run=recording(calls))
        with open(path, encoding="utf-8") as stream:
            assert stream.read() == before, "check mode wrote"
        assert "cibadmin --patch" not in tools_of(calls)
        real = apply(path, PRODUCT)
        for key in ("changed", "diff", "patch", "simulation", "warnings", "cluster"):
            assert predicted[key] == real[key], key
        assert apply(path, PRODUCT, check_mode=True)["changed"] is False


def test_second_apply_is_one_query_and_no_change(foreign):
    first = apply(foreign, PRODUCT)
    with open(foreign, encoding="utf-8") as stream:
        before = stream.read()
    calls = []
    second = apply(foreign, PRODUCT, run=recording(calls))
    assert not second["changed"] and second["patch"] == "" and second["simulation"] == []
    assert second["diff"]["before"] == second["diff"]["after"] == first["diff"]["after"]
    assert tools_of(calls) == ["cibadmin --query"]
    with open(foreign, encoding="utf-8") as stream:
        assert stream.read() == before


def test_nothing_given_changes_nothing(foreign):
    result = apply(foreign, {})
    assert not result["changed"] and result["diff"] == {"before": "", "after": ""}


def test_wanted_absent_cib_file_is_a_clear_error(tmp_path):
    with pytest.raises(HubError, match="does not exist; make an empty one"):
        apply(str(tmp_path / "none.xml"), PRODUCT)


# ---------------------------------------------------------------- what belongs to others

def test_foreign_parts_stay(foreign):
    old = load(foreign)
    apply(foreign, PRODUCT)
    new = load(foreign)
    for path in ("configuration/nodes", "configuration/tags", "status",
                 "configuration/resources/primitive[@id='webserver']",
                 "configuration/resources/clone[@id='ping-clone']",
                 "configuration/resources/group[@id='storage']/primitive[@id='disk']",
                 "configuration/constraints/rsc_location[@id='web-here']",
                 "configuration/crm_config/cluster_property_set[@id='cfpgsql_replication']"):
        assert text(new.find(path)) == text(old.find(path)), path
    for name in ("dc-version", "have-watchdog", "cluster-infrastructure"):
        query = ".//nvpair[@name='%s']" % name
        assert text(new.find(query)) == text(old.find(query))
    with open(foreign, encoding="utf-8") as stream:
        assert "kept by hand" in stream.read()


def test_existing_objects_keep_their_ids(foreign):
    apply(foreign, PRODUCT)
    assert by_id(foreign, "odd-id").attrib == {"id": "odd-id", "name": "no-quorum-policy", "value": "ignore"}
    assert by_id(foreign, "by-hand-ip").get("value") == "192.168.100.100"
    # 10 and 10s are the same to pacemaker, so what is written there stays
    assert by_id(foreign, "by-hand-op").get("interval") == "10"


def test_primitive_moves_from_a_foreign_group(foreign):
    result = apply(foreign, PRODUCT)
    root = load(foreign)
    assert [kid.get("id") for kid in root.iterfind(".//group[@id='cfengine']/primitive")] == ["cfvirtip"]
    assert [kid.get("id") for kid in root.iterfind(".//group[@id='storage']/primitive")] == ["disk"]
    assert "  in group storage\n" in result["diff"]["before"]
    assert "  in group cfengine\n" in result["diff"]["after"]


def test_primitives_standing_alone_move_into_group_and_clone(empty):
    apply(empty, {"primitives": PRODUCT["primitives"], "properties": PRODUCT["properties"]})
    assert [kid.tag for kid in load(empty).find("configuration/resources")] == ["primitive"] * 3
    result = apply(empty, PRODUCT)
    assert result["changed"]
    assert [kid.get("id") for kid in load(empty).iterfind(".//clone/primitive")] == ["cfpgsql"]
    assert not apply(empty, PRODUCT)["changed"]


def test_a_primitive_alone_keeps_its_place(foreign):
    apply(foreign, {"primitives": [PRODUCT["primitives"][0]]})
    assert [kid.get("id") for kid in load(foreign).iterfind(".//group[@id='storage']/primitive")] == [
        "disk", "cfvirtip"]


def test_only_named_options_are_owned(foreign):
    given = {"primitives": [{"id": "cfvirtip", "agent": "ocf:heartbeat:IPaddr2", "meta": {"target-role": "Started"}}]}
    result = apply(foreign, given)
    assert by_id(foreign, "by-hand-nic").get("value") == "eth7"
    assert by_id(foreign, "by-hand-start") is not None
    assert "nic" not in result["diff"]["before"]


# ---------------------------------------------------------------- drift

DRIFT = {
    "a parameter changed": (
        ["crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "1.2.3.4"],
        "-  param ip=1.2.3.4", "+  param ip=192.168.100.100"),
    "a parameter added": (
        ["crm_resource", "-r", "cfvirtip", "-p", "nic", "-v", "eth9"], "-  param nic=eth9", None),
    "a parameter removed": (
        ["crm_resource", "-r", "cfvirtip", "-d", "cidr_netmask"], None, "+  param cidr_netmask=24"),
    "an operation removed": (
        ["cibadmin", "--delete", "--xpath", "//op[@id='cfpgsql-monitor-4s']"],
        None, "+  op monitor interval=4s timeout=60s on-fail=restart"),
    "an operation changed": (
        ["cibadmin", "--modify", "--xml-text", '<op id="cfpgsql-monitor-4s" interval="44s"/>'],
        "-  op monitor interval=44s timeout=60s on-fail=restart",
        "+  op monitor interval=4s timeout=60s on-fail=restart"),
    "a score changed": (
        ["cibadmin", "--modify", "--xml-text",
         '<rsc_colocation id="with-active" rsc="cfengine" with-rsc="mscfpgsql" score="5"/>'],
        "-colocation with-active: cfengine with mscfpgsql (Promoted) score=5",
        "+colocation with-active: cfengine with mscfpgsql (Promoted) score=INFINITY"),
    "a constraint removed": (
        ["cibadmin", "--delete", "--xml-text", '<rsc_order id="up"/>'], None,
        "+order up: promote mscfpgsql then start cfengine kind=Mandatory symmetrical=false"),
    "a property changed": (
        ["crm_attribute", "-t", "crm_config", "-n", "no-quorum-policy", "-v", "stop"],
        "-property no-quorum-policy=stop", "+property no-quorum-policy=ignore"),
    "a default removed": (
        ["cibadmin", "--delete", "--xpath", "//rsc_defaults//nvpair[@name='migration-threshold']"], None,
        "+rsc_default migration-threshold=1"),
    "a meta attribute changed": (
        ["crm_resource", "-r", "mscfpgsql", "--meta", "-p", "notify", "-v", "false"],
        "-  meta notify=false", "+  meta notify=true"),
}


def changed_lines(result):
    """Lines of the diff, as Ansible would mark them."""
    old, new = result["diff"]["before"].splitlines(), result["diff"]["after"].splitlines()
    return ["-" + line for line in old if line not in new] + ["+" + line for line in new if line not in old]


@pytest.mark.parametrize("name", sorted(DRIFT))
def test_drift_is_shown_and_mended(empty, name):
    command, removed, added = DRIFT[name]
    apply(empty, PRODUCT)
    good = text(load(empty).find("configuration"))
    sh(empty, *command)
    assert text(load(empty).find("configuration")) != good, "the drift did not happen"
    predicted = apply(empty, PRODUCT, check_mode=True)
    result = apply(empty, PRODUCT)
    assert result["changed"] and predicted["diff"] == result["diff"]
    assert changed_lines(result) == [line for line in (removed, added) if line]
    assert not apply(empty, PRODUCT)["changed"]


def test_a_whole_primitive_that_was_removed_comes_back(empty):
    apply(empty, PRODUCT)
    root = load(empty)
    for section, name in (("resources", "cfengine"), ("constraints", "with-active"), ("constraints", "up"),
                          ("constraints", "down")):
        home = root.find("configuration/" + section)
        home.remove(home.find("*[@id='%s']" % name))
    with open(empty, "w", encoding="utf-8") as stream:
        stream.write(unparse(root))
    assert apply(empty, PRODUCT)["changed"]
    assert not apply(empty, PRODUCT)["changed"]
    assert [kid.get("id") for kid in load(empty).iterfind(".//group/primitive")] == ["cfvirtip"]


def test_group_order_is_enforced_and_foreign_members_stay(empty):
    given = product()
    given["primitives"].append({"id": "cfvirtip_repl", "agent": "ocf:heartbeat:IPaddr2", "params": {"ip": "10.0.0.9"}})
    given["groups"][0]["members"] = ["cfvirtip", "cfvirtip_repl"]
    apply(empty, given)
    sh(empty, "cibadmin", "--modify", "--allow-create", "--xml-text",
       '<group id="cfengine"><primitive id="stranger" class="ocf" provider="heartbeat" type="Dummy"/></group>')
    given["groups"][0]["members"] = ["cfvirtip_repl", "cfvirtip"]
    result = apply(empty, given)
    assert "group cfengine: cfvirtip_repl cfvirtip stranger\n" in result["diff"]["after"]
    assert [line for line in result["warnings"] if "stranger" in line]
    assert [kid.get("id") for kid in load(empty).iterfind(".//group/primitive")] == [
        "cfvirtip_repl", "cfvirtip", "stranger"]
    assert not apply(empty, given)["changed"]


# ---------------------------------------------------------------- removing

def test_absent_removes_only_what_is_named(foreign):
    apply(foreign, PRODUCT)
    result = apply(foreign, {"absent": ["web-here", "webserver", "never-was"]})
    # the tag of the fixture names the primitive, and the schema has no objection to that only for tags
    assert result["changed"]
    assert "primitive webserver systemd:nginx" in result["diff"]["before"] and result["diff"]["after"] == ""
    assert not [element for element in load(foreign).iter("primitive") if element.get("id") == "webserver"]
    assert not apply(foreign, {"absent": ["web-here", "webserver"]})["changed"]
    assert not apply(foreign, PRODUCT)["changed"]


def test_absent_that_leaves_a_constraint_dangling_is_refused(foreign):
    with open(foreign, encoding="utf-8") as stream:
        before = stream.read()
    with pytest.raises(HubError, match="constraint web-here still names webserver.*list web-here in absent too"):
        apply(foreign, {"absent": ["webserver"]})
    with open(foreign, encoding="utf-8") as stream:
        assert stream.read() == before


def test_absent_container_leaves_its_members(foreign):
    apply(foreign, {"absent": ["storage", "ping-clone"]})
    assert [kid.get("id") for kid in load(foreign).find("configuration/resources")] == [
        "webserver", "disk", "cfvirtip", "ping"]


def test_absent_last_member_is_refused_unless_the_group_goes_too(empty):
    apply(empty, PRODUCT)
    with pytest.raises(HubError, match="group cfengine would be left with nothing in it"):
        apply(empty, {"absent": ["cfvirtip"]})
    assert apply(empty, {"absent": ["cfvirtip", "cfengine", "up", "down", "with-active"]})["changed"]


# ---------------------------------------------------------------- verdicts of the tools

def test_dangling_constraint_is_refused_before_any_patch(empty):
    calls = []
    given = product(colocations=[{"id": "bad", "rsc": "cfengine", "with_rsc": "nobody", "score": "1"}])
    with pytest.raises(HubError, match="constraint bad names nobody"):
        apply(empty, given, run=recording(calls))
    assert "cibadmin --patch" not in tools_of(calls)


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_crm_verify_refuses_is_not_patched(empty, check_mode):
    calls = []
    given = product()
    given["primitives"][0]["operations"][0]["on_fail"] = "explode"
    with pytest.raises(cib_tools.CibRefused) as caught:
        apply(empty, given, run=recording(calls), check_mode=check_mode)
    assert "crm_verify refuses" in caught.value.message
    assert "cibadmin --patch" not in tools_of(calls)
    assert "cfvirtip" not in [element.get("id") for element in load(empty).iter()]


def test_a_foreign_error_is_a_warning_only(foreign):
    # stonith enabled without a device is an error of crm_verify, and it was there before
    sh(foreign, "crm_attribute", "-t", "crm_config", "-n", "stonith-enabled", "-v", "true")
    result = apply(foreign, {"rsc_defaults": {"migration-threshold": 1}})
    assert result["changed"]
    assert [line for line in result["warnings"] if "before the change already" in line and "STONITH" in line]


def test_an_error_of_ours_is_refused_even_beside_a_foreign_one(foreign):
    sh(foreign, "crm_attribute", "-t", "crm_config", "-n", "stonith-enabled", "-v", "true")
    given = {"primitives": [{"id": "x", "agent": "ocf:heartbeat:Dummy",
                             "operations": [{"name": "monitor", "interval": "5s", "on_fail": "explode"}]}]}
    with pytest.raises(cib_tools.CibRefused) as caught:
        apply(foreign, given)
    assert "STONITH" not in caught.value.message


def test_mere_warnings_do_not_fail(empty):
    def warning(argv, **more):
        if argv[0] == "crm_verify":
            with open(argv[2], encoding="utf-8") as stream:
                if "cfpgsql" in stream.read():
                    return Completed(argv, 78, "", "(unpack_x) \twarning: only a thought\nWarnings found\n")
        return local_runner(argv, **more)
    result = apply(empty, PRODUCT, run=warning)
    assert result["changed"] and "crm_verify: only a thought" in result["warnings"]


def test_a_real_warning_does_not_fail(foreign):
    # Pacemaker 2.1 ends with 78 for this deprecated value; 3.0 has nothing to say about it under the old schema.
    result = apply(foreign, product(properties={"stonith-action": "poweroff"}))
    assert result["changed"]


def test_simulation_says_what_will_happen(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    given = {"primitives": [{"id": "extra", "agent": "ocf:heartbeat:Dummy", "params": {}}]}
    result = apply(path, given)
    assert "start extra on hub" in "\n".join(result["simulation"])


def test_a_silent_simulation_does_not_matter(empty):
    def broken(argv, **more):
        if argv[0] == "crm_simulate":
            return Completed(argv, 1, "", "no can do")
        return local_runner(argv, **more)
    result = apply(empty, PRODUCT, run=broken)
    assert result["changed"] and result["simulation"] == []
    assert [line for line in result["warnings"] if "no can do" in line]


# ---------------------------------------------------------------- the CIB moves

def moving(path, times, *command):
    """A runner that changes the CIB just before each of the first *times* patches."""
    state = {"left": times}

    def run(argv, **more):
        if argv[:2] == ["cibadmin", "--patch"] and state["left"]:
            state["left"] -= 1
            sh(path, *[word.replace("COUNT", str(state["left"])) for word in command])
        return local_runner(argv, **more)
    return run


def test_moved_cib_harmless_rival(empty):
    apply(empty, PRODUCT)
    sh(empty, "crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "1.2.3.4")
    run = moving(empty, 1, "crm_attribute", "-t", "crm_config", "-n", "rival", "-v", "here")
    result = apply(empty, PRODUCT, run=run)
    assert result["changed"]
    assert by_id(empty, "cib-bootstrap-options-rival").get("value") == "here"
    assert not apply(empty, PRODUCT)["changed"]


def test_moved_cib_conflict_is_retried_and_right(empty):
    apply(empty, PRODUCT)
    sh(empty, "crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "1.2.3.4")
    # the rival removes the very element that the patch changes
    run = moving(empty, 1, "crm_resource", "-r", "cfvirtip", "-d", "ip")
    result = apply(empty, PRODUCT, run=run, pause=lambda seconds: None)
    assert result["changed"] and result["attempts"] == 2
    assert not apply(empty, PRODUCT)["changed"]
    assert load(empty).find(".//primitive[@id='cfvirtip']//nvpair[@name='ip']").get("value") == "192.168.100.100"


def test_rival_undoes_an_owned_value_meanwhile(empty):
    apply(empty, PRODUCT)
    sh(empty, "crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "1.2.3.4")
    # the patch goes in, but another owned value is wrong by then
    run = moving(empty, 1, "crm_attribute", "-t", "crm_config", "-n", "no-quorum-policy", "-v", "stop")
    result = apply(empty, PRODUCT, run=run, pause=lambda seconds: None)
    assert result["changed"] and result["attempts"] == 2
    assert not apply(empty, PRODUCT)["changed"]


def test_rival_makes_the_same_change(empty):
    apply(empty, PRODUCT)
    sh(empty, "cibadmin", "--delete", "--xpath", "//nvpair[@id='cfvirtip-instance_attributes-ip']")
    run = moving(empty, 1, "crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "192.168.100.100")
    apply(empty, PRODUCT, run=run, pause=lambda seconds: None)
    assert len(load(empty).findall(".//primitive[@id='cfvirtip']//nvpair[@name='ip']")) == 1
    assert not apply(empty, PRODUCT)["changed"]


def test_first_creation_races_with_another_creator(empty):
    """Two controllers create the whole set at once: no duplicates."""
    first = {"done": False}

    def run(argv, **more):
        if argv[:2] == ["cibadmin", "--patch"] and not first["done"]:
            first["done"] = True
            apply(empty, PRODUCT)
        return local_runner(argv, **more)
    apply(empty, PRODUCT, run=run, pause=lambda seconds: None)
    ids = [element.get("id") for element in load(empty).iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert local_runner(["crm_verify", "--xml-file", empty], check=False).rc == 0
    assert not apply(empty, PRODUCT)["changed"]


def test_endless_rival_ends_bounded(empty):
    apply(empty, PRODUCT)
    sh(empty, "crm_resource", "-r", "cfvirtip", "-p", "ip", "-v", "1.2.3.4")
    pauses, calls = [], []

    def run(argv, **more):
        calls.append(argv)
        if argv[:2] == ["cibadmin", "--patch"]:
            # breaks the one of two values that the patch does not mend
            name, value = [("no-quorum-policy", "stop"), ("stonith-enabled", "false")][len(pauses) % 2]
            sh(empty, "crm_attribute", "-t", "crm_config", "-n", name, "-v", value)
        return local_runner(argv, **more)
    with pytest.raises(cib_tools.CibMoved, match="within 3 attempts.*does not hold all of it"):
        apply(empty, PRODUCT, run=run, attempts=3, pause=pauses.append)
    assert len(pauses) == 2 and max(pauses) <= 2
    assert tools_of(calls).count("cibadmin --patch") == 3


def test_refused_patches_end_bounded(empty):
    def refuse(argv, **more):
        if argv[:2] == ["cibadmin", "--patch"]:
            return Completed(argv, 76, "", "Call cib_apply_diff failed (-205): Update was older than existing")
        return local_runner(argv, **more)
    pauses = []
    with pytest.raises(cib_tools.CibMoved, match="within 5 attempts.*Update was older"):
        apply(empty, PRODUCT, run=refuse, pause=pauses.append)
    assert sum(pauses) < 10


def test_missing_privilege_is_not_retried(empty):
    calls = []

    def denied(argv, **more):
        calls.append(argv)
        if argv[:2] == ["cibadmin", "--patch"]:
            return Completed(argv, 4, "", "Permission denied")
        return local_runner(argv, **more)
    with pytest.raises(CommandError, match="run this as root"):
        apply(empty, PRODUCT, run=denied)
    assert tools_of(calls).count("cibadmin --patch") == 1


# ---------------------------------------------------------------- secrets

def test_secrets_are_masked_everywhere(empty):
    calls, inputs = [], []

    def run(argv, **more):
        calls.append((argv, more.get("env")))
        inputs.append(more.get("stdin"))
        return local_runner(argv, **more)
    result = apply(empty, PRODUCT, run=run)
    shown = json.dumps(result) + repr(result)
    assert NASTY not in shown and "q'u" not in shown and "te $x%" not in shown
    assert "param password=***\n" in result["diff"]["after"]
    assert 'name="password" value="***"' in result["patch"]
    assert "$x%" not in repr(calls)
    pair = load(empty).find(".//primitive[@id='fence-hub1']//nvpair[@name='password']")
    assert pair.get("value") == NASTY

    given = product()
    given["primitives"][2]["params"]["password"] = "another one"
    result = apply(empty, given, run=run)
    assert changed_lines(result) == ["-  param password=***", "+  param password=*** (differs)"]
    assert "another one" not in json.dumps(result) and "$x%" not in json.dumps(result)
    assert "***" in result["patch"]
    assert not apply(empty, given)["changed"]


def test_no_file_with_secrets_is_left(empty, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    modes = []

    def run(argv, **more):
        for home, _dirs, files in os.walk(str(work)):
            modes.extend(os.stat(os.path.join(home, name)).st_mode & 0o077 for name in files if name.endswith(".xml"))
        return local_runner(argv, **more)
    apply(empty, PRODUCT, run=run, directory=str(work))
    assert modes and not any(modes)
    assert list(work.iterdir()) == []


def module(params, capsys, check_mode=False, monkeypatch=None):
    """Run the real module; returns (result, what it wrote to the system log)."""
    logged = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.log",
                        lambda self, msg, log_args=None: logged.append("%s %r" % (msg, log_args)))
    capsys.readouterr()
    with patch_module_args(dict(params, _ansible_check_mode=check_mode, _ansible_diff=True)):
        with pytest.raises(SystemExit):
            cib_module.main()
    return json.loads(capsys.readouterr().out), "\n".join(logged)


@pytest.mark.parametrize("secret", [NASTY, "plain-secret", "0 spaces \\ and 'quotes'", "Gr\u00fc\u00dfe \u20ac"])
def test_module_shows_and_logs_no_secret(empty, capsys, monkeypatch, secret):
    given = product(cib_file=empty)
    given["primitives"][2]["params"]["password"] = secret
    predicted, log = module(given, capsys, True, monkeypatch)
    result, log_too = module(given, capsys, False, monkeypatch)
    assert predicted["diff"] == result["diff"] and predicted["changed"] and result["changed"]
    assert log and log_too
    for shown in (json.dumps(result), repr(result), log, log_too, json.dumps(predicted)):
        assert secret not in shown and repr(secret)[1:-1] not in shown and json.dumps(secret)[1:-1] not in shown
    assert load(empty).find(".//nvpair[@name='password']").get("value") == secret
    result, _log = module(given, capsys, False, monkeypatch)
    assert not result["changed"]


def test_module_fails_with_all_faults(empty, capsys, monkeypatch):
    given = {"cib_file": empty, "primitives": [{"id": "1bad", "agent": "nonsense"}],
             "locations": [{"id": "l", "rsc": "x", "node": "n", "score": "much"}]}
    result, _log = module(given, capsys, False, monkeypatch)
    assert result["failed"] and not result.get("changed")
    for part in ("'1bad' cannot be an id", "agent 'nonsense'", "score much"):
        assert part in result["msg"]


def test_wrong_arguments_show_no_secret(empty, capsys, monkeypatch):
    given = product(cib_file=empty)
    given["primitives"][0]["operations"][0]["role"] = "Boss"
    result, log = module(given, capsys, False, monkeypatch)
    assert result["failed"] and "Boss" in result["msg"]
    assert "$x%" not in json.dumps(result) and "$x%" not in log
    assert result["invocation"]["module_args"]["primitives"][2]["params"]["password"] == "***"


# ---------------------------------------------------------------- alerts and fencing levels

ALERT = {
    "id": "mail", "path": "/var/lib/pacemaker/alerts/alert_smtp.sh",
    "params": {"email_sender": "cluster@example.com", "smtp_password": NASTY}, "meta": {"timeout": "15s"},
    "select": ["nodes", "attributes"], "attributes": ["hub_ha-forked", "cfpgsql-status"],
    "recipients": [{"id": "admin", "value": "admin@example.com", "params": {"secret": "for admin only"}},
                   {"id": "night", "value": "night@example.com", "meta": {"enabled": False}}]}
LEVELS = [{"id": "hub1-board", "target": "hub1", "index": 1, "devices": ["fence-hub1"]},
          {"id": "hub1-power", "target": "hub1", "index": 2, "devices": ["strip-b", "strip-a"]},
          {"id": "any", "target_pattern": "^hub[0-9]$", "index": 9, "devices": ["strip-a"]},
          {"id": "rack", "target_attribute": "rack", "target_value": "7", "index": 1, "devices": ["strip-a"]}]
STRIPS = [{"id": name, "agent": "stonith:fence_apc", "params": {"ip": "192.168.0.220"}}
          for name in ("strip-a", "strip-b")]


def watched(**changes):
    """The product with alerts and fencing levels."""
    return product(**dict({"primitives": PRODUCT["primitives"] + STRIPS, "alerts": [copy.deepcopy(ALERT)],
                           "fencing_levels": copy.deepcopy(LEVELS)}, **changes))


def test_alerts_and_levels_go_in_with_one_patch(empty, foreign):
    for path in (empty, foreign):
        calls = []
        predicted = apply(path, watched(), check_mode=True)
        result = apply(path, watched(), run=recording(calls))
        assert result["changed"] and tools_of(calls).count("cibadmin --patch") == 1
        for key in ("changed", "diff", "patch", "simulation", "warnings", "cluster"):
            assert predicted[key] == result[key], key
        calls = []
        assert not apply(path, watched(), run=recording(calls))["changed"]
        assert tools_of(calls) == ["cibadmin --query"]
    assert local_runner(["crm_verify", "--xml-file", empty], check=False).rc == 0
    alert = by_id(empty, "mail")
    assert [kid.tag for kid in alert] == ["instance_attributes", "meta_attributes", "select", "recipient", "recipient"]
    assert {item.get("name") for item in alert.iter("attribute")} == {"hub_ha-forked", "cfpgsql-status"}
    assert alert.find("select/select_nodes") is not None and alert.find("select/select_fencing") is None
    assert by_id(empty, "hub1-power").attrib == {
        "id": "hub1-power", "target": "hub1", "index": "2", "devices": "strip-b,strip-a"}
    assert by_id(empty, "rack").attrib == {
        "id": "rack", "target-attribute": "rack", "target-value": "7", "index": "1", "devices": "strip-a"}


def test_secrets_of_alerts_are_masked(empty, capsys, monkeypatch):
    result, log = module(watched(cib_file=empty), capsys, False, monkeypatch)
    assert result["changed"]
    for shown in (json.dumps(result), log):
        assert "$x%" not in shown and "admin only" not in shown
    assert "  param smtp_password=***\n" in result["diff"]["after"]
    assert "  recipient admin admin@example.com\n    param secret=***\n" in result["diff"]["after"]
    assert by_id(empty, "mail").find("instance_attributes/nvpair[@name='smtp_password']").get("value") == NASTY
    given = watched()
    given["alerts"][0]["params"]["smtp_password"] = "a new one"
    assert changed_lines(apply(empty, given)) == [
        "-  param smtp_password=***", "+  param smtp_password=*** (differs)"]


@pytest.mark.parametrize("command, removed, added", [
    (["cibadmin", "--modify", "--xml-text", '<alert id="mail" path="/bin/true"/>'],
     "-alert mail /bin/true", "+alert mail /var/lib/pacemaker/alerts/alert_smtp.sh"),
    (["cibadmin", "--delete", "--xpath", "//alert//nvpair[@name='timeout']"], None, "+  meta timeout=15s"),
    (["cibadmin", "--delete", "--xpath", "//recipient[@id='night']"],
     None, ["+  recipient night night@example.com", "+    meta enabled=false"]),
    (["cibadmin", "--delete", "--xpath", "//select_nodes"],
     "-  select attributes attribute=cfpgsql-status attribute=hub_ha-forked",
     "+  select attributes nodes attribute=cfpgsql-status attribute=hub_ha-forked"),
    (["cibadmin", "--modify", "--allow-create", "--xml-text", '<alert id="mail"><recipient id="x" value="y"/></alert>'],
     "-  recipient x y", None),
    (["cibadmin", "--modify", "--xml-text", '<fencing-level id="hub1-board" index="3" devices="strip-a"/>'],
     "-fencing_level hub1-board: devices=strip-a index=3 target=hub1",
     "+fencing_level hub1-board: devices=fence-hub1 index=1 target=hub1"),
    (["cibadmin", "--delete", "--xpath", "//fencing-level[@id='any']"],
     None, "+fencing_level any: devices=strip-a index=9 target-pattern=^hub[0-9]$"),
])
def test_drift_of_alerts_and_levels_is_mended(empty, command, removed, added):
    apply(empty, watched())
    good = text(load(empty).find("configuration"))
    sh(empty, *command)
    assert text(load(empty).find("configuration")) != good, "the drift did not happen"
    result = apply(empty, watched())
    expected = [removed] if isinstance(removed, str) else removed or []
    assert changed_lines(result) == expected + ([added] if isinstance(added, str) else added or [])
    assert not apply(empty, watched())["changed"]


def foreign_alert(path):
    """Somebody else's alert, level and device, beside ours."""
    apply(path, watched())
    sh(path, "cibadmin", "--create", "--scope", "alerts", "--xml-text",
       '<alert id="theirs" path="/x" description="by hand"><meta_attributes id="m"><rule id="r" score="1">'
       '<date_expression id="d" operation="gt" start="2020-01-01"/></rule>'
       '<nvpair id="n" name="timeout" value="9s"/></meta_attributes>'
       '<recipient id="their-r" value="v" description="of theirs"/></alert>')
    sh(path, "cibadmin", "--create", "--scope", "fencing-topology", "--xml-text",
       '<fencing-level id="their-level" target="hub2" index="1" devices="gone-device"/>')


def test_foreign_alerts_and_levels_stay(empty):
    foreign_alert(empty)
    before = load(empty)
    given = watched()
    given["alerts"][0].update(params=None, meta={"timeout": "20s"}, recipients=None, select=None, attributes=None)
    given["fencing_levels"] = [dict(LEVELS[0], index=4)]
    result = apply(empty, given)
    assert changed_lines(result) == [
        "-  meta timeout=15s", "-fencing_level hub1-board: devices=fence-hub1 index=1 target=hub1",
        "+  meta timeout=20s", "+fencing_level hub1-board: devices=fence-hub1 index=4 target=hub1"]
    after = load(empty)
    for xpath in (".//alert[@id='theirs']", ".//fencing-level[@id='their-level']", ".//fencing-level[@id='hub1-power']",
                  ".//alert[@id='mail']/instance_attributes", ".//alert[@id='mail']/select",
                  ".//recipient[@id='admin']"):
        assert text(after.find(xpath)) == text(before.find(xpath)), xpath
    # taken over by its id: what is not given stays, sets with a rule too
    result = apply(empty, {"alerts": [{"id": "theirs", "path": "/y", "meta": {}}]})
    assert "have a rule" not in result["diff"]["after"] and any("with a rule" in line for line in result["warnings"])
    found = by_id(empty, "theirs")
    assert found.get("description") == "by hand" and found.get("path") == "/y" and found.find("recipient") is not None
    assert found.find("meta_attributes/nvpair") is not None


def test_empty_options_of_an_alert_remove(empty):
    apply(empty, watched())
    nothing = {"params": {}, "meta": {}, "select": [], "recipients": []}
    given = {"alerts": [dict(nothing, id="mail", path=ALERT["path"])]}
    assert apply(empty, given)["changed"]
    assert len(by_id(empty, "mail")) == 0
    assert not apply(empty, given)["changed"]


def test_absent_removes_alerts_and_levels(empty):
    foreign_alert(empty)
    given = {"absent": ["mail", "any", "hub1-power", "no-such-thing"]}
    predicted = apply(empty, given, check_mode=True)
    result = apply(empty, given)
    assert predicted["diff"] == result["diff"] and result["diff"]["after"] == ""
    assert "alert mail /var/lib/pacemaker/alerts/alert_smtp.sh\n  param email_sender=" in result["diff"]["before"]
    assert "  recipient admin admin@example.com\n    param secret=***\n" in result["diff"]["before"]
    assert "fencing_level hub1-power: devices=strip-b,strip-a index=2 target=hub1\n" in result["diff"]["before"]
    root = load(empty)
    assert [item.get("id") for item in root.iter("alert")] == ["theirs"]
    assert [item.get("id") for item in root.iter("fencing-level")] == ["hub1-board", "rack", "their-level"]
    assert not apply(empty, given)["changed"]


def test_a_level_with_an_unknown_device_is_refused(empty):
    calls = []
    for device in ("nope", "cfvirtip", "cfengine"):
        with pytest.raises(HubError, match="fencing level x names %s, which is no fencing device" % device):
            apply(empty, watched(fencing_levels=[{"id": "x", "target": "hub1", "index": 1, "devices": [device]}]),
                  run=recording(calls))
    assert "cibadmin --patch" not in tools_of(calls)
    foreign_alert(empty)
    with pytest.raises(HubError, match=r"fencing level hub1-power still names strip-b.*list hub1-power in absent too"):
        apply(empty, {"absent": ["strip-b"]})
    # a foreign level that dangles is no hindrance
    assert apply(empty, {"absent": ["strip-b", "hub1-power"]})["changed"]


def test_a_device_by_a_template_is_one(empty):
    sh(empty, "cibadmin", "--create", "--scope", "resources", "--xml-text",
       '<template id="t" class="stonith" type="fence_apc"/>')
    sh(empty, "cibadmin", "--create", "--scope", "resources", "--xml-text", '<primitive id="by-t" template="t"/>')
    assert apply(empty, {"fencing_levels": [{"id": "x", "target": "hub1", "index": 1, "devices": ["by-t"]}]})["changed"]


def test_a_recipient_may_go_to_another_alert(empty):
    apply(empty, watched())
    given = watched()
    moved = given["alerts"][0]["recipients"].pop()
    given["alerts"].insert(0, {"id": "second", "path": "/x", "recipients": [moved]})
    assert apply(empty, given)["changed"]
    assert [item.get("id") for item in by_id(empty, "second").iter("recipient")] == ["night"]
    with pytest.raises(HubError, match="admin is a recipient elsewhere in the CIB"):
        apply(empty, {"alerts": [{"id": "third", "path": "/x", "recipients": [{"id": "admin", "value": "a"}]}]})
    with pytest.raises(HubError, match="cfvirtip is a primitive elsewhere in the CIB but is wanted as a fencing-level"):
        apply(empty, {"fencing_levels": [dict(LEVELS[0], id="cfvirtip")]})


# ---------------------------------------------------------------- no cluster

def gone(argv, **more):
    return Completed(argv, 102, "", "Could not connect to the CIB: Transport endpoint is not connected")


def test_check_mode_without_a_cluster_predicts(tmp_path, empty):
    given = PRODUCT
    offline = cib_tools.converge(gone, given, check_mode=True,
                                 on_disk=str(tmp_path / "none.xml"))
    assert offline["changed"] and offline["cluster"] == "absent" and offline["patch"] == ""
    real = apply(empty, given)
    assert offline["diff"] == real["diff"]


def test_check_mode_of_a_stopped_cluster_reads_its_disk(empty):
    apply(empty, PRODUCT)
    stopped = cib_tools.converge(gone, PRODUCT, check_mode=True, on_disk=empty)
    assert not stopped["changed"] and stopped["cluster"] == "stopped"


def test_the_tools_say_that_no_cluster_runs(tmp_path):
    """The real cibadmin on a host without a running pacemaker."""
    with pytest.raises(HubError, match="pacemaker does not run on .*start it with 'systemctl start"):
        cib_tools.converge(local_runner, PRODUCT)
    offline = cib_tools.converge(local_runner, PRODUCT, check_mode=True,
                                 on_disk=str(tmp_path / "none.xml"))
    assert offline["changed"] and offline["cluster"] == "absent"


# ---------------------------------------------------------------- what keeps a resource off a hub

PAIR_PLAN = {"active": "hub1", "passive": "hub2", "nodes": {"hub1": "hub1", "hub2": "hub2"}, "slots": {},
             "virtual_ips": [{"id": "cfvirtip", "ip": "192.168.100.100"}]}
BY_RULE = ("<rsc_location id='%s' rsc='mscfpgsql'><rule id='%s-rule' score='-INFINITY'>"
           "<expression id='%s-expression' attribute='%s' operation='defined'/></rule></rsc_location>")


def test_a_ban_by_a_rule_and_what_ends_it(tmp_path):
    """As pacemaker tells it (by the rule's id), and as somebody pastes what is to be done."""
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    for name, attribute in (("cfpgsql-not-given-up", "hub_ha-gave_up"), ("cfpgsql-not-forked", "hub_ha-forked"),
                            ("operators", "broken")):
        sh(path, "cibadmin", "--create", "--scope", "constraints", "--xml-text",
           BY_RULE % (name, name, name, attribute))
        sh(path, "crm_attribute", "--node", "hub2", "--name", attribute, "--update", "1")

    def bans():
        found = observe(local_runner, path)
        assert {"cfpgsql-not-given-up-rule", "cfpgsql-not-forked-rule"} <= set(
            item["id"] for item in found["active_bans"]), "pacemaker has other names for them"
        return [item for item in checks.ban_problems(found, PAIR_PLAN)
                if " cli-ban-cfengine-on-hub2 " not in item.problem]
    told = bans()
    assert [(item.host, item.problem.split()[1]) for item in told] == [("hub2", "operators")]
    sh(path, "sh", "-c", told[0].remedy)
    assert bans() == [] and not any(element.get("id") == "operators" for element in load(path).iter())


# ---------------------------------------------------------------- what a change interrupts

AWAY = {"locations": [{"id": "away", "rsc": "mscfpgsql", "node": "hub1", "score": "-INFINITY"}]}


def test_the_scheduler_is_asked_what_a_change_interrupts(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    with open(path, encoding="utf-8") as handle:
        before = handle.read()
    result = apply(path, AWAY, check_mode=True)
    assert result["disrupts"] and all("cfpgsql" in line for line in result["disrupts"]), result["simulation"]
    with pytest.raises(cib_tools.CibRestarts) as caught:
        apply(path, AWAY, keep=["cfpgsql"])
    assert "CIB_RESTARTS" in caught.value.message and "cfpgsql" in caught.value.message
    with open(path, encoding="utf-8") as handle:
        assert handle.read() == before, "nothing was changed"
    assert apply(path, AWAY, keep=["cfvirtip"])["changed"], "what is not to be kept may be interrupted"
    assert by_id(path, "away").get("score") == "-INFINITY"


def test_a_scheduler_that_says_nothing_is_no_leave(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)

    def mute(argv, **more):
        return local_runner(["false"], check=False) if argv[0] == "crm_simulate" else local_runner(argv, **more)
    with pytest.raises(HubError, match="could not be asked"):
        apply(path, AWAY, keep=["cfpgsql"], run=mute)
    assert apply(path, AWAY, run=mute)["disrupts"] == []


HOLDS = [
    (["crm_attribute", "-t", "crm_config", "-n", "maintenance-mode", "-v", "true"], "maintenance-mode=true"),
    (["crm_attribute", "-N", "hub1", "-n", "maintenance", "-v", "on"], "hub1: maintenance=on"),
    (["crm_resource", "-r", "cfpgsql", "--meta", "-p", "is-managed", "-v", "false"], "mscfpgsql: is-managed=false"),
    (["crm_resource", "-r", "cfpgsql", "--meta", "-p", "maintenance", "-v", "true"], "mscfpgsql: maintenance=true"),
    (["crm_attribute", "-N", "hub1", "-t", "rsc_defaults", "-n", "is-managed", "-v", "false"],
     "rsc_defaults: is-managed=false")]
OTHER_PARAMETER = {"primitives": [{"id": "cfpgsql", "agent": "ocf:heartbeat:pgsql", "params": {
    "rep_mode": "async", "node_list": "hub1 hub2", "restart_on_promote": "false",
    "primary_conninfo_opt": "passfile=/etc/y.pass"}}]}


@pytest.mark.parametrize("command, what", HOLDS)
def test_what_a_change_interrupts_as_soon_as_the_operator_lets_it(tmp_path, command, what):
    """Pacemaker's own scheduler. While its hands are off it says of a new parameter that nothing follows from it."""
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    assert "cfpgsql" in " ".join(apply(path, OTHER_PARAMETER, check_mode=True)["disrupts"]), "managed, it restarts"
    sh(path, *command)
    with open(path, encoding="utf-8") as handle:
        before = handle.read()
    result = apply(path, OTHER_PARAMETER, check_mode=True)
    assert [item["what"] for item in result["holds"]] == [what]
    assert "cfpgsql" in " ".join(result["disrupts_later"]), result
    with pytest.raises(cib_tools.CibRestartsLater) as caught:
        apply(path, OTHER_PARAMETER, keep_later=["cfpgsql"])
    assert "CIB_RESTARTS_LATER" in caught.value.message and what in caught.value.message
    with open(path, encoding="utf-8") as handle:
        assert handle.read() == before, "nothing was changed"
    # The command of the message ends it, and the change says itself what it interrupts. (crm_attribute knows this
    # machine's name to be none of the file's nodes, and asks for it always.)
    end = caught.value.details["holds"][0]["end"].split()
    sh(path, *(end + ["--node", "hub1"] if "rsc_defaults" in end else end))
    result = apply(path, OTHER_PARAMETER, check_mode=True, keep_later=["cfpgsql"])
    assert result["holds"] == [] and result["disrupts_later"] == [] and result["disrupts"]


def test_what_keeps_the_hands_off_something_else_is_no_hold(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    sh(path, *HOLDS[2][0])
    address = {"primitives": [{"id": "cfvirtip", "agent": "ocf:heartbeat:IPaddr2",
                               "params": {"ip": "192.168.100.101"}}]}
    assert apply(path, address, check_mode=True, keep_later=["cfvirtip"])["holds"] == []
    assert apply(path, OTHER_PARAMETER, keep_later=["cfvirtip"])["changed"], "what is not to be kept may be interrupted"


def test_a_change_that_interrupts_nothing_goes_on_in_maintenance(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    sh(path, *HOLDS[0][0])
    same = {"primitives": [{"id": "cfpgsql", "agent": "ocf:heartbeat:pgsql"}], "properties": {"dc-deadtime": "20s"}}
    result = apply(path, same, keep_later=["cfpgsql"])
    assert result["changed"] and result["disrupts_later"] == []
    result = apply(path, same, keep_later=["cfpgsql"])
    assert not result["changed"] and [item["what"] for item in result["holds"]] == ["maintenance-mode=true"]


def test_later_is_not_known_without_the_scheduler(tmp_path):
    path = str(tmp_path / "pair.xml")
    shutil.copy(os.path.join(FIXTURES, "pair.xml"), path)
    sh(path, *HOLDS[0][0])

    def mute(argv, **more):
        return local_runner(["false"], check=False) if argv[0] == "crm_simulate" else local_runner(argv, **more)
    assert apply(path, OTHER_PARAMETER, check_mode=True, run=mute)["disrupts_later"] is None
    with pytest.raises(cib_tools.CibRestartsLater, match="not known"):
        apply(path, OTHER_PARAMETER, run=mute, keep_later=["cfpgsql"])


@pytest.mark.parametrize("attributes, moves", [
    ({}, False), ({"hub2": "1"}, False), ({"hub1": "1", "hub2": "1"}, False), ({"hub1": "0", "hub2": "0"}, False),
    ({"hub2": "0"}, False), ({"hub1": "0"}, True), ({"hub1": "0", "hub2": "1"}, True)])
def test_the_role_moves_only_to_a_hub_that_clients_can_reach(tmp_path, attributes, moves):
    """Pacemaker's own scheduler; hub1 is promoted: guards that start one after the other move nothing."""
    rule = ('<rule id="r" role="Promoted" score="%s"><expression id="e" attribute="%s" operation="ne" value="0"/>'
            '</rule>' % (wanted_cib.CLIENTS_SCORE, wanted_cib.CLIENTS))

    def state(number, score, rc):
        more = "".join('<nvpair id="c%d" name="%s" value="%s"/>' % (number, wanted_cib.CLIENTS, value)
                       for node, value in attributes.items() if node == "hub%d" % number)
        return ('<node_state id="{0}" uname="hub{0}" in_ccm="true" crmd="online" join="member" expected="member">'
                '<transient_attributes id="{0}"><instance_attributes id="s{0}"><nvpair id="m{0}" name="master-cfpgsql" '
                'value="{1}"/>{2}</instance_attributes></transient_attributes><lrm id="{0}"><lrm_resources>'
                '<lrm_resource id="cfpgsql" class="ocf" provider="pacemaker" type="Stateful"><lrm_rsc_op id="o{0}" '
                'operation_key="cfpgsql_monitor_0" operation="monitor" crm_feature_set="3.16.1" '
                'transition-key="1:0:7:x" transition-magic="0:{3};1:0:7:x" call-id="5" rc-code="{3}" op-status="0" '
                'interval="0"/></lrm_resource></lrm_resources></lrm></node_state>').format(number, score, more, rc)

    path = tmp_path / "cib.xml"
    path.write_text(
        '<cib validate-with="pacemaker-3.7" epoch="1" num_updates="1" admin_epoch="0" have-quorum="1" dc-uuid="1" '
        'crm_feature_set="3.16.1"><configuration><crm_config><cluster_property_set id="p"><nvpair id="p1" '
        'name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="hub1"/>'
        '<node id="2" uname="hub2"/></nodes><resources><clone id="mscfpgsql"><meta_attributes id="ma"><nvpair id="m1" '
        'name="promotable" value="true"/><nvpair id="ma2" name="resource-stickiness" value="1000"/></meta_attributes>'
        '<primitive id="cfpgsql" class="ocf" provider="pacemaker" type="Stateful"/></clone></resources><constraints>'
        '<rsc_location id="l" rsc="mscfpgsql">%s</rsc_location></constraints></configuration>'
        '<status>%s%s</status></cib>'
        % (rule, state(1, 1000, 8), state(2, 100, 0)), encoding="ascii")
    done = subprocess.run(["crm_simulate", "--simulate", "--xml-file", str(path)], check=True, text=True,
                          stdout=subprocess.PIPE, env=dict(os.environ, CIB_shadow_dir=str(tmp_path)))
    after = done.stdout.split("Revised Cluster Status")[1]
    assert "Promoted: [ %s ]" % ("hub2" if moves else "hub1") in after, done.stdout
