# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One settings object for a pair: of the right type, and the same on both hubs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.filter import settings as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import settings
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair.options import shown

OPTIONS = {}
for path in (Path(__file__).parents[3] / "roles").glob("*/meta/argument_specs.yml"):
    OPTIONS.update(yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])
VIP = {"hub_ha_virtual_ip": "192.168.100.100"}


def checked(hub1, hub2, play=None):
    """What filter pair_settings says of two hubs' variables."""
    hosts = {"hub1": dict(hub1, ansible_host="a"), "hub2": dict(hub2, ansible_host="b")}
    return filters.pair_settings(hosts, list(hosts), dict(hub1 if play is None else play), OPTIONS)


def problems(*given, **named):
    return ["%s: %s" % (item["host"], item["problem"]) for item in checked(*given, **named)["problems"]]


@pytest.mark.parametrize("given, name, value", [
    ({"hub_ha_class_expression": "any::"}, "hub_ha_class_expression", ["any::"]),
    ({"hub_ha_shared_paths": "/opt/x/"}, "hub_ha_shared_paths", ["/opt/x/"]),
    ({"hub_ha_fencing_packages": "fence-agents-ipmilan"}, "hub_ha_fencing_packages", ["fence-agents-ipmilan"]),
    ({"hub_ha_cluster_packages": "a,b"}, "hub_ha_cluster_packages", ["a", "b"]),
    ({"hub_ha_sync_policy": "no"}, "hub_ha_sync_policy", False), ({"hub_ha_token": "9000"}, "hub_ha_token", 9000),
    ({}, "hub_ha_links", []), ({}, "hub_ha_sync_policy", True)])
def test_coerced_by_the_spec(given, name, value):
    found = checked(given, given)
    assert found["problems"] == [] and found["values"][name] == value


@pytest.mark.parametrize("name, value", [
    ("hub_ha_fencing_packages", {"a": "b"}), ("hub_ha_shared_paths", {"a": 1}), ("hub_ha_token", "soon"),
    ("hub_ha_links", {"x": 1}), ("hub_ha_fencing_packages", None), ("hub_ha_class_expression", {"any::": 1})])
def test_what_is_of_a_wrong_type_is_reported_and_its_default_goes_on_until_then(name, value):
    found = checked({name: value}, {name: value})
    assert [(item["host"], item["code"]) for item in found["problems"]] == [("all", "OPTION_INVALID")]
    assert name in found["problems"][0]["problem"]
    assert found["values"][name] == (OPTIONS[name].get("default", []))


def test_every_list_is_a_list_whatever_is_set():
    values = checked({}, {})["values"]
    for name, option in OPTIONS.items():
        if option.get("type") == "list":
            assert isinstance(values[name], list), name


@pytest.mark.parametrize("hub1, hub2, found", [
    (VIP, {}, "hub2: hub_ha_virtual_ip is not set, and is '192.168.100.100' on hub1"),
    ({}, {"hub_ha_token": 9000}, "hub2: hub_ha_token is 9000, and is not set on hub1"),
    ({"hub_ha_token": 2000}, {"hub_ha_token": 9000}, "hub2: hub_ha_token is 9000, and is 2000 on hub1"),
    ({"hub_ha_fencing": "none"}, {"hub_ha_fencing": [{"id": "x", "password": "s3cret"}]},
     "hub2: hub_ha_fencing is a value that is not shown, and is a value that is not shown on hub1"),
    ({"hub_ha_replication_password": "s3cret"}, {},
     "hub2: hub_ha_replication_password is not set, and is a value that is not shown on hub1")])
def test_a_hub_that_differs_is_refused(hub1, hub2, found):
    assert problems(hub1, hub2) == [found]
    result = checked(hub1, hub2)["problems"][0]
    assert result["code"] == "SETTINGS_DIFFER" and "for the group hubs" in result["remedy"]
    assert "s3cret" not in str(result)


def test_a_name_that_is_misspelt_on_the_second_hub_alone():
    assert problems(VIP, dict(VIP, hub_ha_tokn=3000)) == ["hub2: there is no variable hub_ha_tokn"]
    assert problems(dict(VIP, hub_ha_tokn=1), dict(VIP, hub_ha_tokn=1)) == ["all: there is no variable hub_ha_tokn"]


@pytest.mark.parametrize("hub1, hub2", [
    ({"hub_ha_token": "9000"}, {"hub_ha_token": 9000}),
    ({"hub_ha_links": "10.0.0.0/24"}, {"hub_ha_links": ["10.0.0.0/24"]}),
    (VIP, {"hub_ha_virtual_ip": ["192.168.100.100"]}), ({"hub_ha_sync_policy": "yes"}, {}), ({"hub_ha_links": []}, {}),
    ({"hub_ha_token": OPTIONS["hub_ha_token"]["default"]}, {}),
    # Paths on the hub itself.
    ({"hub_ha_tls_certificate": "/a1", "hub_ha_tls_key": "/b1", "hub_ha_tls_ca": "/c"},
     {"hub_ha_tls_certificate": "/a2", "hub_ha_tls_key": "/b2", "hub_ha_tls_ca": "/c"})])
def test_what_means_the_same_does_not_differ(hub1, hub2):
    assert problems(hub1, hub2) == []


def test_what_plays_and_roles_set_holds_for_both():
    assert problems({}, {}, play={"hub_ha_token": 5000, "hub_ha_links": []}) == []
    assert checked({}, {}, play={"hub_ha_token": 5000})["values"]["hub_ha_token"] == 5000
    assert problems({}, {}, play={"hub_ha_tokn": 5000}) == ["all: there is no variable hub_ha_tokn"]


def test_role_plan_and_the_library_leave_out_the_same():
    text = (Path(__file__).parents[3] / "roles/plan/vars/main.yml").read_text(encoding="utf-8")
    listed = re.search(r"plan_given: .*?\[(.*?)\]", text, re.DOTALL).group(1)
    assert sorted(re.findall(r"'(\w+)'", listed)) == sorted(settings.NOTED)


def test_what_the_roles_note_is_no_variable():
    noted = {"hub_ha_read": {"hub": {}}, "hub_ha_values": {}, "hub_ha": {}}
    assert problems(dict(VIP, **noted), VIP, play=VIP) == []


@pytest.mark.parametrize("given", [
    {"hub_ha_fencing_packages": {"id": "x", "password": "s3cret"}},
    {"hub_ha_fencing_none_reason": {"password": "s3cret"}},
    {"hub_ha_links": [{"password": "s3cret"}]}, {"hub_ha_token": {"password": "s3cret"}},
    {"hub_ha_fencing": {"id": "x", "password": "s3cret"}}, {"hub_ha_replication_password": ["s3cret"]}])
def test_a_secret_in_a_wrong_place_is_not_shown(given):
    assert "s3cret" not in str(checked(given, given)) and "s3cret" not in str(checked(given, {}))


def test_of_one_hub_alone():
    """backup.yml --limit hub1."""
    found = filters.pair_settings({"hub1": dict(VIP)}, ["hub1"], dict(VIP), OPTIONS)
    assert found["problems"] == [] and found["values"]["hub_ha_links"] == []


def test_values_hold_no_secret():
    given = {"hub_ha_replication_password": "s3cret", "hub_ha_fencing": [{"password": "s3cret"}]}
    assert "s3cret" not in str(checked(given, given)["values"])
    assert shown("hub_ha_links", ["10.0.0.0/24"]) == "['10.0.0.0/24']"
