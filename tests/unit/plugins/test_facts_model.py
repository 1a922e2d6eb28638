# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts' types fit what is forged here and what the loader asks for; facts of another version make no plan."""

from __future__ import annotations

import re

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS, Layout
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.model import CFEngine
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.model import Cluster
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.problem import Report
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import intake, layouts, model, probe
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.model import Postgres, Server
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup, removal, third, upgrade
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

CODE = "FACTS_OF_ANOTHER_VERSION"
REMOVAL = {"keep": "", "without": "", "keep_address": False, "allow_restart": True, "virtual_ips": [], "max_lag": 16}


def outdated(host="hub1", schema=0):
    results = pair.running_pair()
    results[host]["hub"]["schema"] = schema
    return results


def other_way(results):
    outside = {"hosts": ["hub3"], "result": {"hub": pair.live_hub("hub3", 12)}}
    return third.return_plan(results, pair.settings(), outside)


@pytest.mark.parametrize("info", [pair.live_hub(), pair.blank_hub(), *(
    result["hub"] for result in pair.running_pair().values())], ids=["live", "blank", "active", "passive"])
def test_forged_hubs_are_of_the_type(info):
    for kind, found in ((model.HubFacts, info), (Postgres, info["postgres"]), (CFEngine, info["cfengine"]),
                        (Cluster, info["cluster"]), (layouts.Layouts, info["layouts"]), (Layout, info["layout"])):
        assert kind.__required_keys__ <= set(found) <= kind.__required_keys__ | kind.__optional_keys__
    if info["postgres"]["server"]:
        assert set(info["postgres"]["server"]) == Server.__required_keys__


def test_layouts_are_of_the_type():
    assert all(set(found) == Layout.__required_keys__ for found in LAYOUTS.values())


def test_what_is_asked_of_the_server_is_of_the_type():
    assert set(re.findall(r"(?m)^ '(\w+)', ", probe.SQL)) == Server.__required_keys__ - {"reload_pending"}


@pytest.mark.parametrize("change, said", [
    ({"schema": model.SCHEMA + 1}, "has version %d, and version %d is read here" % (model.SCHEMA + 1, model.SCHEMA)),
    ({"schema": None}, "has version None"), ({}, None)])
def test_facts_of_another_version_are_left_out(change, said):
    results, report = pair.results(), Report()
    results["hub1"]["hub"].update(change)
    results["hub3"] = {"msg": "no route"}
    assert set(intake.hubs(results, report)) == ({"hub2"} if said else {"hub1", "hub2"})
    assert [(item["host"], item["code"], said in item["problem"]) for item in report.failures] == (
        [("hub1", CODE, True)] if said else [])


@pytest.mark.parametrize("part", ["schema", "postgres", "clock"])
def test_facts_that_are_not_whole_are_left_out(part):
    results, report = pair.results(), Report()
    del results["hub2"]["hub"][part]
    assert set(intake.hubs(results, report)) == {"hub1"}
    (problem,) = report.failures
    said = "has version none" if part == "schema" else "lacks " + part
    assert problem["code"] == CODE and said in problem["problem"]


@pytest.mark.parametrize("plan", [
    lambda results: upgrade.make_plan(results, pair.settings()),
    lambda results: third.make_plan(results, pair.settings(), None, {"hosts": ["hub3"], "result": {"msg": "no route"}}),
    lambda results: removal.removal_plan(results, REMOVAL),
    lambda results: backup.backup_plan(results, {}, {}, {"hub": "", "keep": 0}), other_way],
    ids=["upgrade", "third", "removal", "backup", "return"])
def test_no_plan_is_made_of_facts_of_another_version(plan):
    found = plan(outdated("hub2"))
    assert [(item["host"], item["code"]) for item in found["failures"]] == [("hub2", CODE)]
    assert found["complete"] is False


def test_third_hub_with_facts_of_another_version_stops_its_own_plan():
    hub3 = dict(pair.live_hub("hub3", 12), schema=0)
    outside = {"hosts": ["hub3"], "result": {"hub": hub3}}
    found = third.make_plan(pair.running_pair(), pair.settings(), None, outside)
    assert ("hub3", CODE) in [(item["host"], item["code"]) for item in found["failures"]] and found["third"] is None
    assert found["third_unread"]["code"] == CODE and "hub3" not in [item["host"] for item in found["warnings"]]
    back = third.return_plan(pair.running_pair(), pair.settings(), outside)
    assert [(item["host"], item["code"]) for item in back["failures"]] == [("hub3", CODE)]
