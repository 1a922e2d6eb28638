# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each client needs, and what stands against it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import layout, words as cf_words
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe as hub_loader
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import clients, upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

KEYS = dict((name, "MD5=" + char * 32) for name, char in
            (("hub1", "1"), ("hub2", "2"), ("client1", "a"), ("client2", "b"), ("other", "c")))
ADDRESSES = {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}
SHARED = "192.168.100.100"
LIST = {"version": 1, "vendor": False, "shared": [SHARED], "sync": {"policy": True, "paths": []},
        "hubs": dict((ADDRESSES[name], {"name": name, "key": KEYS[name], "public": "PEM of " + name})
                     for name in ("hub1", "hub2"))}


def facts(name, **changes):
    found = {"uname": name, "installed": True, "version": "3.24.1", "layout": layout.LAYOUTS["debian"], "units": {},
             "key_digest": KEYS[name], "key_public": "PEM of " + name, "policy_server": SHARED, "role": None,
             "policy_server_addresses": [SHARED], "addresses": [],
             "am_policy_hub": False, "hub_list": copy.deepcopy(LIST), "served_list": None}
    if name.startswith("hub"):
        found.update(am_policy_hub=True, policy_server=ADDRESSES[name],
                     addresses=[ADDRESSES[name], "10.1.1." + name[-1]], served_list=copy.deepcopy(LIST),
                     role="active" if name == "hub1" else "passive")
    found.update(changes)
    if "policy_server" in changes and "policy_server_addresses" not in changes:
        found["policy_server_addresses"] = [changes["policy_server"]] if changes["policy_server"] else []
    return {"client": found}


def decide(hubs=None, settings=None, **hosts):
    """The plan for hub1, hub2, client1 and client2; hosts: changed facts of these, or None for one that is off."""
    gone = {"unreachable": True, "msg": "No route to host"}
    results = {}
    for name in ("hub1", "hub2", "client1", "client2"):
        changes = hosts.get(name, {})
        results[name] = gone if changes is None else facts(name, **changes)
    split = [dict((name, results[name]) for name in results if name.startswith(kind)) for kind in ("hub", "client")]
    return clients.client_plan(split[0], split[1], settings or {"keys": {}, "adopt": False})


def test_nothing_to_do():
    found = decide()
    assert found["failures"] == [] and found["address"] == SHARED and found["source"] == "hub1"
    assert found["clients"] == dict.fromkeys(("client1", "client2"),
                                             {"bootstrap": False, "redirect": False, "stale": False})
    assert [key["digest"] for key in found["hub_keys"]] == [KEYS["hub1"], KEYS["hub2"]]
    assert [key["host"] for key in found["client_keys"]] == ["client1", "client2"]
    assert found["reachable"] == sorted(ADDRESSES.values())


def test_what_clients_need():
    found = decide(client1={"policy_server": None, "hub_list": None}, client2={"policy_server": ADDRESSES["hub2"]})
    assert found["failures"] == []
    assert found["clients"] == {"client1": {"bootstrap": True, "redirect": False, "stale": True},
                                "client2": {"bootstrap": False, "redirect": True, "stale": False}}


def test_where_the_vendors_policy_leads_an_address_of_a_hub_stays():
    served = dict(copy.deepcopy(LIST), vendor=True)
    found = decide(hub1={"served_list": served}, client1={"policy_server": ADDRESSES["hub1"]},
                   client2={"policy_server": SHARED})
    assert not any(item["redirect"] for item in found["clients"].values())


def test_clients_go_to_a_third_hub_that_is_active_and_come_back():
    entry = {"name": "hub3", "key": KEYS["other"], "public": "PEM of other", "in_cluster": False}
    served = dict(LIST, hubs=dict(LIST["hubs"], **{"192.168.100.12": entry}))
    hub3 = facts("other", uname="hub3", role="active", am_policy_hub=True, served_list=served)
    client = {"client1": facts("client1", policy_server=SHARED, hub_list=served)}
    gone = {"unreachable": True, "msg": "No route to host"}
    found = clients.client_plan({"hub1": gone, "hub2": gone, "hub3": hub3}, client, {"keys": {}, "adopt": False})
    assert not found["failures"] and found["address"] == "192.168.100.12"
    assert found["clients"]["client1"]["redirect"]
    hubs = dict((name, facts(name, served_list=served)) for name in ("hub1", "hub2"))
    hub3["client"]["role"] = "passive"
    client = {"client1": facts("client1", policy_server="192.168.100.12", hub_list=served)}
    found = clients.client_plan(dict(hubs, hub3=hub3), client, {"keys": {}, "adopt": False})
    assert not found["failures"] and found["address"] == SHARED and found["clients"]["client1"]["redirect"]


def test_a_lost_hub_and_a_client_that_is_off_stop_nobody():
    found = decide(hub1=None, client2=None)
    assert found["failures"] == [] and found["source"] == "hub2" and found["hubs"] == ["hub2"]
    assert found["reachable"] == [ADDRESSES["hub2"]] and found["unreachable"] == ["client2"]
    assert list(found["clients"]) == ["client1"] and len(found["hub_keys"]) == 2, "the lost hub is trusted all the same"


def test_no_list():
    found = decide(hub1={"served_list": None}, hub2=None)
    assert found["clients"] == {} and "no hub that answers has a list" in clients.failures_of(found, "client1")


@pytest.mark.parametrize("hosts, words", [
    ({"hub2": {"uname": "hub3", "key_digest": KEYS["other"]}}, "names hub2 (192.168.100.11), which the inventory"),
    ({"hub2": {"uname": "hub3", "key_digest": KEYS["other"]}}, "the inventory's hub hub3 is not in the list"),
    ({"hub2": {"key_digest": KEYS["other"]}}, "the key of hub hub2 is %s, and the list" % KEYS["other"])])
def test_list_that_does_not_fit_the_hubs(hosts, words):
    found = decide(**hosts)
    assert found["clients"] == {} and found["hub_keys"] == [] and found["client_keys"] == [], "no trust by accident"
    for client in ("client1", "client2"):
        assert words in clients.failures_of(found, client)


@pytest.mark.parametrize("changes, settings, words", [
    ({"key_digest": KEYS["client2"]}, {}, "the same host key as client2"),
    ({"key_digest": KEYS["hub2"]}, {}, "the same host key as hub2"),
    ({"am_policy_hub": True}, {}, "a policy hub itself"),
    ({"policy_server": "10.0.0.1"}, {}, "from 10.0.0.1, which is no hub of this pair"),
    ({}, {"keys": {"client1": KEYS["other"]}}, "its key is %s, and the inventory says %s" % (KEYS["client1"],
                                                                                             KEYS["other"])),
    ({}, {"keys": {"client1": "MD5=12"}}, "which is no digest of a key")])
def test_one_client_is_refused_and_the_others_go_on(changes, settings, words):
    found = decide(client1=changes, settings=settings)
    assert words in clients.failures_of(found, "client1") and "   -> " in clients.failures_of(found, "client1")
    assert "client1" not in found["clients"] and "client1" not in [key["host"] for key in found["client_keys"]]
    if changes.get("key_digest") != KEYS["client2"]:
        assert clients.failures_of(found, "client2") == "" and "client2" in found["clients"]


@pytest.mark.parametrize("server, addresses", [("10.1.1.2", ["10.1.1.2"]), ("hub.example.net", [ADDRESSES["hub1"]])])
def test_another_address_or_the_name_of_a_hub_is_ours_too(server, addresses):
    found = decide(client1={"policy_server": server, "policy_server_addresses": addresses})
    assert found["failures"] == [] and found["clients"]["client1"]["redirect"]


def test_an_unknown_hub_is_refused_when_another_one_cannot_be_reached():
    served = copy.deepcopy(LIST)
    served["hubs"]["10.9.9.9"] = {"name": "hub9", "key": KEYS["other"], "public": "P"}
    found = decide(hub1={"served_list": served}, hub2=None)
    assert found["hub_keys"] == [] and "names hub9 (10.9.9.9)" in clients.failures_of(found, "client1")


def test_a_client_of_another_hub_is_moved_on_request():
    found = decide(client1={"policy_server": "10.0.0.1"}, settings={"keys": {}, "adopt": True})
    assert found["failures"] == [] and found["clients"]["client1"]["redirect"]


def test_the_right_key_in_the_inventory():
    assert decide(settings={"keys": {"client1": KEYS["client1"]}})["failures"] == []


# --- the hubs' side -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, address", [
    ("192.168.100.10\n", "192.168.100.10"), ("192.168.100.10:5309", "192.168.100.10"), ("hub.example", "hub.example"),
    ("fd00::10\n", "fd00::10"), ("[fd00::10]:5308\n", "fd00::10"), ("", None), (None, None), ("\n", None)])
def test_policy_server(text, address):
    assert cf_words.policy_server(text) == address


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"hubs": []}', '{"hubs": {"a": 1}}', '{"hubs": {"a": {"key": 1}}}',
    '{"shared": [], "vendor": false}',
    '{"shared": [], "vendor": false, "hubs": {"a": {"key": "k", "name": "n"}}}',
    '{"hubs": {"a": {"key": "k", "name": "n", "public": "p"}}}'])
def test_what_is_no_list_of_hubs(text):
    assert cf_words.hub_list(text) is None


def made(results=None, **settings):
    return plan.make_plan(results or pair.results(), pair.settings(**settings))


def test_list_is_made_of_both_hubs():
    results = pair.results()
    for host, last in (("hub1", 1), ("hub2", 2)):
        results[host]["hub"]["cfengine"].update(installed=True, key_digest="MD5=" + str(last) * 32, key_public="PEM")
    found = made(results)["hub_list"]
    assert found["shared"] == [SHARED] and sorted(found["hubs"]) == sorted(ADDRESSES.values())
    assert found["hubs"][ADDRESSES["hub2"]] == {"name": "hub2", "key": "MD5=" + "2" * 32, "public": "PEM"}
    assert cf_words.hub_list(json.dumps(found)) == found and found["vendor"] is False
    results["hub1"]["hub"]["cfengine"]["edition"] = "enterprise"
    found = made(results, shared_paths=["/opt/x/"])["hub_list"]
    assert found["vendor"] and found["sync"]["paths"] == ["/var/lib/cfengine3/httpd/secrets.ini", "/opt/x/"]


def with_list(**changes):
    results = pair.results()
    hubs = {ADDRESSES["hub1"]: {"name": "hub1", "key": results["hub1"]["hub"]["cfengine"]["key_digest"], "public": "P"}}
    hubs.update(changes)
    results["hub1"]["hub"]["cfengine"]["hub_list"] = {"hubs": hubs}
    return results


def test_a_hub_key_that_changed_is_refused_until_the_operator_says_so():
    gone = with_list(**{"10.9.9.9": {"name": "hub9", "key": KEYS["other"], "public": "P"}})
    changed = with_list(**{ADDRESSES["hub1"]: {"name": "hub1", "key": KEYS["other"], "public": "P"}})
    for results, name, words in ((gone, "hub9", "names hub9 (10.9.9.9), which the inventory does not"),
                                 (changed, "hub1", "the host key was %s and is" % KEYS["other"])):
        assert [item for item in made(results)["failures"] if words in item["problem"]
                and "hub_ha_accept_hub_keys=" + name in item["remedy"]]
        assert made(results, accept_hub_keys=[name])["failures"] == []
    assert made(with_list())["failures"] == []


def test_policy_from_elsewhere_is_a_warning():
    results = pair.results()
    assert made(results)["warnings"] == []
    results["hub1"]["hub"]["cfengine"]["policy_location"] = "/srv/policy"
    assert "from /srv/policy" in made(results)["warnings"][0]["problem"]
    results["hub1"]["hub"]["cfengine"].update(policy_location=None, policy_framework=False)
    assert "is not CFEngine's masterfiles policy framework" in made(results)["warnings"][0]["problem"]


def test_what_def_json_names_is_in_the_policy():
    role = Path(__file__).parents[3] / "roles" / "cfengine"
    wanted = (role / "vars" / "main.yml").read_text(encoding="utf-8")
    policy = (role / "files" / "hub_ha.cf").read_text(encoding="utf-8")
    for bundle in ("main", "update"):
        assert '"hub_ha:%s"' % bundle in wanted and "\nbundle agent %s\n" % bundle in policy
    assert 'namespace => "hub_ha"' in policy
    for name in hub_loader.AUGMENTED["lists"]:
        assert "\n    %s: {items:" % name in wanted


def test_def_json_that_cannot_be_added_to_is_told_before_anything_is_changed(tmp_path):
    path = tmp_path / "def.json"
    path.write_text('{"vars": {"acl": {"a": 1}, "password": "hunter2"}}', encoding="utf-8")
    found = hub_loader.augments_facts(str(path))
    assert found["def_json_error"] == 'the variable "acl" is no list of texts'
    path.write_text('{"vars": {"mpf_update_policy_master_location": "/srv"}}', encoding="utf-8")
    found = hub_loader.augments_facts(str(path))
    assert found == {"def_json_error": None, "policy_location": "/srv", "sets_acl": False, "manages_units": False}
    (tmp_path / "def_preferred.json").write_text("{}", encoding="utf-8")
    assert "CFEngine reads def_preferred.json in its place" in hub_loader.augments_facts(str(path))["def_json_error"]


def test_an_acl_that_the_policy_sets_itself():
    text = 'Variable name     Variable value\ndefault:def.acl      {"10.0.0.0/8","172.16.0.0/12"}   source=promise\n'
    assert cf_words.policy_list(text, "default:def.acl") == ["10.0.0.0/8", "172.16.0.0/12"]
    assert cf_words.policy_list("default:def.acl_derived {\"x\"}\n", "default:def.acl") is None
    results = pair.results()
    results["hub1"]["hub"]["cfengine"]["acl_in_policy"] = ["192.168.100.10/16"]
    assert made(results)["failures"] == []
    results["hub1"]["hub"]["cfengine"]["acl_in_policy"] = ["10.0.0.0/8"]
    assert "the policy itself sets acl (10.0.0.0/8)" in made(results)["failures"][0]["problem"]


@pytest.mark.parametrize("path", ["/var/lib/cfengine3/ppkeys/", "/var/lib/cfengine3", "/var/lib/", "relative/path",
                                  "/var/lib/cfengine3/state/pg/", "/var/lib/cfengine3/policy_server.dat", "/opt/../etc",
                                  "/etc/corosync/authkey"])
def test_what_belongs_to_one_hub_is_not_shared(path):
    found = made(shared_paths=[path])["failures"]
    assert len(found) == 1 and "hub_ha_shared_paths names %s" % path in found[0]["problem"]


def test_what_may_be_shared():
    assert made(shared_paths=["/opt/cfengine/notification_scripts/", "/var/lib/cfengine3/httpd/x"])["failures"] == []
    assert "is no digest of a key" in made(revoked_keys=["MD5=1"])["failures"][0]["problem"]
    assert made(revoked_keys=[KEYS["other"]])["failures"] == []


DEPLOYED = ["/srv/policy/.git is there"]


def test_policy_from_version_control_is_a_warning_before_there_is_a_pair():
    results = pair.results()
    results["hub1"]["hub"]["cfengine"]["policy_deployed"] = DEPLOYED
    results["hub1"]["hub"]["cfengine"]["policy_undone"] = ["services/hub_ha.cf"]
    warning, = made(results)["warnings"]
    assert (warning["code"], warning["host"]) == ("POLICY_DEPLOYED", "hub1") and "a deployment takes what" in warning["problem"]
    assert "/srv/policy/.git is there" in warning["problem"]


def as_wanted(results):
    """The list of hubs as the pair's last run left it on both; with a third hub in it."""
    for result in results.values():
        result["hub"]["cfengine"]["hub_list"] = json.loads(json.dumps(made(results)["hub_list"]))
        result["hub"]["cfengine"]["hub_list"]["hubs"]["10.9.9.9"] = {"name": "hub3", "key": "k", "public": "p", "in_cluster": False}


def no_file(cfengine):
    cfengine["policy_undone"] = ["services/hub_ha.cf", "def.json"]


def older_list(cfengine):
    next(iter(cfengine["hub_list"]["hubs"].values()))["key"] = "SHA=old"


def another_address(cfengine):
    cfengine["hub_list"]["shared"] = ["192.168.100.99"]


@pytest.mark.parametrize("host", ["hub1", "hub2"])
@pytest.mark.parametrize("change, words", [(no_file, ": services/hub_ha.cf, def.json. This run puts"),
                                           (older_list, ": services/hub_ha.json. This run puts"),
                                           (another_address, ": services/hub_ha.json. This run puts")])
def test_in_a_pair_it_is_said_only_when_a_deployment_has_taken_something_away(host, change, words):
    results = pair.running_pair()
    as_wanted(results)
    for result in results.values():
        result["hub"]["cfengine"]["policy_deployed"] = DEPLOYED
    assert made(results)["warnings"] == [], "the files are in the repository too"
    change(results[host]["hub"]["cfengine"])
    warning, = made(results)["warnings"]
    assert (warning["code"], warning["host"]) == ("POLICY_DEPLOYED", host) and words in warning["problem"]
    results[host]["hub"]["cfengine"]["policy_deployed"] = []
    assert made(results)["warnings"] == [], "nobody deploys there: the run mends it and that is all"


def test_links_in_the_policy_are_a_warning():
    results = pair.results()
    results["hub1"]["hub"]["cfengine"]["policy_links"] = ["services/a"]
    assert "symbolic links (services/a)" in made(results)["warnings"][0]["problem"]
    assert made(results, sync_policy=False)["warnings"] == []
