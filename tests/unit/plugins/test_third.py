# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The third hub: how it is added, when it may be promoted, and the way back, on facts as of module hub_info."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import third_hub as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Side
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.history import from_entries
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import report, third

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "hub"))
import pair  # noqa: E402

KEY = "SHA=" + "c3" * 32
PAST = [{"timeline": 1, "lsn": "0/3000000"}, {"timeline": 2, "lsn": "0/4000000"}]
CONTROL = {"state": "shut down", "system_identifier": pair.SYSTEM, "timeline": 3, "checkpoint_lsn": "0/5000028"}


def blank(name="hub3", last=12):
    return pair.blank_hub(name, last)


def standby():
    """A third hub that follows the pair."""
    info = pair.live_hub("hub3", 12)
    pair.install(info)
    info["postgres"].update(state="standby", standby_signal=True, certificate="cert 3", outside="x")
    info["postgres"]["server"]["in_recovery"] = True
    info["cfengine"].update(key_digest=KEY, key_public="public 3", policy_server="192.168.100.12", role="passive")
    return info


def entry():
    """What the list of hubs says of it."""
    return {"name": "hub3", "key": KEY, "public": "public 3", "in_cluster": False, "addresses": ["192.168.100.12"]}


def promoted():
    """A third hub that was promoted in a disaster."""
    info = standby()
    info["postgres"].update(state="primary", history=PAST, standby_signal=False)
    info["postgres"]["server"]["in_recovery"] = False
    info["postgres"]["control"]["timeline"] = 3
    info["postgres"]["server"]["slots"] = ["hub_ha_hub1"]
    info["cfengine"]["role"] = "active"
    info["cfengine"]["hub_list"] = {"hubs": {"192.168.100.12": entry(), "192.168.100.10": {
        "name": "hub1", "key": "SHA=" + "a1" * 32, "public": "p"}}, "shared": ["192.168.100.100"], "vendor": False}
    return info


def given(info, **more):
    """What role plan hands over."""
    found = {"hosts": ["hub3"], "both": [],
             "result": {"hub": info} if info else {"unreachable": True, "msg": "no route"},
             "address": "", "inventory_address": "192.168.100.12"}
    return dict(found, **more)


def plan_for(info, results=None, **more):
    return third.make_plan(results or pair.running_pair(), pair.settings(), {}, given(info, **more))


def problems(plan):
    return [item["problem"] for item in plan["failures"]]


def test_without_a_group_nothing_is_different():
    plan = third.make_plan(pair.running_pair(), pair.settings())
    assert plan["third"] is None and len(plan["hub_list"]["hubs"]) == 2
    assert plan["own_addresses"]["hub2"] == ["192.168.100.11", "192.168.0.11", "192.168.10.11"]


def test_a_blank_one_gets_packages_but_not_those_of_the_cluster():
    plan = plan_for(blank())
    assert not plan["failures"], plan["failures"]
    assert plan["third"]["packages"] == ["cfengine3", "postgresql-17"]
    assert plan["third"]["address"] == "192.168.100.12" and plan["slots"]["hub3"] == "hub_ha_hub3"
    assert "192.168.100.12/32" in plan["hba_addresses"]
    assert len(plan["hub_list"]["hubs"]) == 2, "it has no key yet that anybody could trust"


def test_pair_knows_a_third_hub_that_follows():
    plan = plan_for(standby())
    assert not plan["failures"], plan["failures"]
    assert plan["hub_list"]["hubs"]["192.168.100.12"]["in_cluster"] is False
    assert plan["ha_info"]["192.168.100.12"] == {"sha": KEY.split("=")[1], "internal_ip": "192.168.100.12",
                                                 "is_in_cluster": False}
    assert "is_in_cluster" not in plan["ha_info"]["192.168.100.10"]
    assert plan["hubs"] == ["hub1", "hub2"] and sorted(plan["nodes"]) == ["hub1", "hub2"], "the cluster stays at two"


def test_in_both_groups():
    plan = plan_for(standby(), both=["hub3"])
    assert problems(plan) == ["this hub is in the groups hubs and third_hub"]
    assert plan["third"] is None


def test_two_of_them():
    assert "the group third_hub has 2 hosts: hub3, hub4" in problems(plan_for(standby(), hosts=["hub3", "hub4"]))


def test_primary_of_its_own():
    info = standby()
    info["postgres"].update(state="primary")
    info["postgres"]["server"]["system_identifier"] = pair.OTHER_SYSTEM
    assert "the third hub has a database of its own (primary, system %s; the pair's is %s)" % (
        pair.OTHER_SYSTEM, pair.SYSTEM) in problems(plan_for(info))


def test_pair_is_left_alone_while_the_third_hub_is_active():
    found = plan_for(promoted())["failures"]
    assert any("is active: its PostgreSQL takes writes" in item["problem"]
               and "return-from-third-hub" in item["remedy"] for item in found)


@pytest.mark.parametrize("change, words", [
    (lambda info: info["cfengine"].update(version="3.21.0"), "CFEngine 3.21.0 here and 3.24.2 on hub1"),
    (lambda info: info["packages"].pop("postgresql-17"), "package postgresql-17 is not installed and no package"),
    (lambda info: info.update(layout_found="enterprise"), "the hubs differ in layout"),
    (lambda info: info.update(uname="hub2"), "the third hub has the name of a hub of the pair"),
    (lambda info: info["cluster"].update(cib_resources={"cfpgsql": "x"}), "pacemaker runs on the third hub"),
    (lambda info: info["postgres"].update(state="foreign"), "holds files that are no database"),
    (lambda info: info["postgres"].update(state="unreachable", error="boom"), "does not answer: boom"),
    (lambda info: info.update(packager_interrupted=True), "a package installation was cut off"),
    (lambda info: info["postgres"].update(state="stopped"),
     "may have rows that the pair lacks: both are on timeline 1"),
])
def test_refused(change, words):
    info = standby()
    change(info)
    assert any(words in text for text in problems(plan_for(info))), problems(plan_for(info))


def test_the_port_is_the_pairs():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["port"] = 5433
    for port, words in ((5432, []), (5433, ["something else listens on port 5433"])):
        info = blank()
        info["ports"] = [22, port]
        assert [text for text in problems(plan_for(info, results)) if "listens on" in text] == words


def test_space_and_port_of_a_blank_one():
    info = blank()
    info["space"]["free_bytes"], info["ports"] = 1 << 20, [22, 5432]
    found = problems(plan_for(info))
    assert "something else listens on port 5432" in found and any("the copy needs" in text for text in found)


def test_key_that_changed_needs_the_operators_word():
    results = pair.running_pair()
    results["hub1"]["hub"]["cfengine"]["hub_list"] = {"hubs": {"192.168.100.12": dict(entry(), key="SHA=" + "d" * 64)}}
    assert any("the host key was" in text for text in problems(plan_for(standby(), results)))
    accepted = third.make_plan(results, pair.settings(accept_hub_keys=["HUB3"]), {}, given(standby()))
    assert not any("the host key was" in text for text in problems(accepted))


def test_pair_does_without_a_third_hub_that_cannot_be_reached():
    results = pair.running_pair()
    known = {"hubs": {"192.168.100.12": entry()}}
    results["hub1"]["hub"]["cfengine"]["hub_list"] = known
    ours, theirs = ["-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % text for text in ("1", "3")]
    results["hub1"]["hub"]["postgres"].update(certificate=ours, trusted=ours + theirs)
    plan = plan_for(None, results)
    assert not plan["failures"] and "cannot be reached" in plan["warnings"][-1]["problem"]
    assert plan["hub_list"]["hubs"]["192.168.100.12"] == entry(), "nothing of it is taken away"
    assert plan["third"]["certificate"] == theirs
    found = third.ready(plan, {host: item["hub"] for host, item in results.items()})
    assert [(item.code, item.host) for item in found] == [("HUB_UNREACHABLE", "hub3")]
    told = dict(given(None), result={"failed": True, "msg": "Task failed: Missing sudo password"})
    plan = third.make_plan(results, pair.settings(), {}, told)
    assert not plan["failures"] and plan["warnings"][-1]["code"] == "NOT_ROOT"
    found = third.ready(plan, {host: item["hub"] for host, item in results.items()})
    assert [(item.code, item.host) for item in found] == [("NOT_ROOT", "hub3")]


def test_address_that_cannot_be_known():
    info = standby()
    info["addresses"] = [dict(item, network="10.%d.0.0/24" % number, address="10.%d.0.12" % number)
                         for number, item in enumerate(info["addresses"])]
    assert "is not known" in problems(plan_for(info))[0]
    plan = plan_for(info, address="203.0.113.12")
    assert plan["third"]["address"] == "203.0.113.12" and "203.0.113.12/32" in plan["hba_addresses"]
    assert plan["third"]["sources"] == {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}
    assert plan_for(info, inventory_address="10.1.0.12")["third"]["address"] == "10.1.0.12"


def test_widened_plan():
    plan = plan_for(standby())
    wide = third.widen(plan)
    assert wide["hubs"] == ["hub1", "hub2", "hub3"] and wide["passive"] == "hub3" and wide["active"] == "hub1"
    assert wide["packages"] == {"hub1": [], "hub2": [], "hub3": []}
    assert plan["hubs"] == ["hub1", "hub2"], "the pair's plan is another one"
    assert not third.ready(plan, dict((host, item["hub"]) for host, item in pair.running_pair().items()))


def test_not_ready_without_a_healthy_pair():
    results = pair.running_pair()
    results["hub2"]["hub"]["postgres"]["state"] = "stopped"
    found = third.ready(plan_for(standby(), results), dict((host, item["hub"]) for host, item in results.items()))
    assert [item.code for item in found] == ["REPL_STOPPED"] and "PostgreSQL on hub2 is stopped" in found[0].problem


def test_conninfo_follows_whoever_takes_writes_and_holds_no_password():
    plan = plan_for(standby())
    text = third.conninfo(plan, "hub3", "verify-ca", "hub_ha_repl")
    assert "host=192.168.10.10,192.168.10.11 " in text and "target_session_attrs=primary" in text
    assert "application_name=hub3" in text and "password=" not in text.replace("passfile", "")
    plan["pg_major"] = 13
    assert "target_session_attrs=read-write" in third.conninfo(plan, "hub3", "verify-ca", "hub_ha_repl")
    assert third.conninfo(plan, "hub1", "verify-ca", "r", ["192.168.10.12"]).startswith("host=192.168.10.12 ")


def test_what_the_agent_asks():
    text = third.guard(plan_for(standby()), "verify-ca", "hub_ha_repl")
    assert text.startswith("host=192.168.10.12 port=5432 ") and "target_session_attrs=read-write" in text
    assert "connect_timeout" not in text, "the agent's own limit tells a timeout from a no"


@pytest.mark.parametrize("control, history, may", [
    (CONTROL, PAST + [{"timeline": 3, "lsn": "0/50000A0"}], True),
    (CONTROL, PAST + [{"timeline": 3, "lsn": "0/5000028"}], False),
    (CONTROL, PAST[:1] + [{"timeline": 2, "lsn": "0/50000A0"}], False),
    (CONTROL, None, False),
    (dict(CONTROL, state="in production"), PAST + [{"timeline": 3, "lsn": "0/50000A0"}], False),
    (dict(CONTROL, system_identifier=pair.OTHER_SYSTEM), PAST + [{"timeline": 3, "lsn": "0/50000A0"}], False),
])
def test_former_primary_may_follow_only_with_proof(control, history, may):
    results, info = pair.running_pair(), standby()
    results["hub1"]["hub"]["postgres"].update(history=history)
    results["hub1"]["hub"]["postgres"]["control"]["timeline"] = 4
    info["postgres"].update(state="stopped", server=None, control=control, history=PAST, standby_signal=False)
    found = [item["code"] for item in plan_for(info, results)["failures"] if item["host"] == "hub3"]
    assert found == [] if may else len(found) == 1


# Promoted at 0/3000000 in one place and at 0/3000060 in another: both call it timeline 2.
OURS, APART = [[{"timeline": 1, "lsn": lsn}] for lsn in ("0/3000000", "0/3000060")]


@pytest.mark.parametrize("mine, theirs, same", [
    (OURS, OURS, True), (OURS, APART, False),
    (OURS + [{"timeline": 2, "lsn": "0/4000000"}], OURS, True),  # it knows of a timeline that it is not on
])
def test_same_number_of_another_timeline(mine, theirs, same):
    control = {"state": "shut down in recovery", "timeline": 2, "system_identifier": pair.SYSTEM,
               "min_recovery_lsn": "0/4000000", "min_recovery_timeline": 2}
    stopped = dict(pair.live_hub()["postgres"], state="stopped", server=None)
    state = dict(stopped, control=control, history=mine)
    primary = dict(pair.live_hub()["postgres"], control={"timeline": 3},
                   history=theirs + [{"timeline": 2, "lsn": "0/50000A0"}])
    assert third.diverged(state, primary) is not same
    # a promoted third hub that was stopped, and a pair that is not that far
    ahead = dict(stopped, control=dict(control, timeline=3), history=primary["history"])
    assert third.diverged(ahead, dict(primary, history=OURS, control={"timeline": 2}))
    assert not third.diverged(dict(state, state="absent"), primary)


@pytest.mark.parametrize("timeline, position, expected", [
    (1, 0x6000000, True), (1, 0x4000000, False), (2, 0x6000000, False), (None, None, False)])
def test_standby_that_was_ahead_of_the_new_active_hub(timeline, position, expected):
    """Whether it streams at this moment tells nothing: a connection that is away for a second is no other past."""
    history = [{"timeline": 1, "lsn": "0/5000000"}]
    primary = dict(pair.live_hub()["postgres"], control={"timeline": 2}, history=history)
    mine = dict(pair.live_hub()["postgres"], state="standby", side=Side(
        system_identifier=pair.SYSTEM, running=True, in_recovery=True, timeline=timeline, position=position,
        history=from_entries(history) if timeline == 2 else ()).to_dict())
    assert third.diverged(mine, primary) is expected


def test_promote():
    info = promoted()
    info["postgres"].update(state="standby", standby_signal=True)
    assert third.promote_verdict(info, [], False)["do"] == "promote"
    alive = [{"address": "192.168.100.10", "port": 22, "how": "accepts", "from": "hub3"}]
    refused = third.promote_verdict(info, alive, False)
    assert refused["do"] == "refuse"
    assert "192.168.100.10 (port 22 accepts; seen from hub3)" in refused["failures"][0]["problem"]
    both = [dict(item, **{"from": place}) for place in ("hub3", "control") for item in (
        alive[0], dict(alive[0], port=5405, how="refuses"))]
    assert third.promote_verdict(info, both, False)["failures"][0]["problem"].endswith(
        "192.168.100.10 (port 22 accepts, port 5405 refuses; seen from control and hub3)")
    assert "hub_ha_promote_confirm" in report.text(refused)
    confirmed = third.promote_verdict(info, alive, True)
    assert confirmed["do"] == "promote"
    hubs = {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}
    assert third.promote_stops(confirmed, info, alive, hubs) == ["hub1"]
    assert third.promote_stops(refused, info, alive, hubs) == []
    assert third.promote_stops(confirmed, info, [], hubs) == []


@pytest.mark.parametrize("signs, hubs, stops", [
    # SSH on another port, or behind a jump host: every sign of life counts, not only an open port 22.
    (["192.168.100.10"], {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}, ["hub1"]),
    (["bastion"], {"hub1": "bastion", "hub2": "bastion"}, ["hub1", "hub2"]),
    (["192.168.10.11"], {"hub1": "bastion-a", "hub2": "bastion-b"}, ["hub2"]),
    (["192.168.100.11", "192.168.100.100"], {"hub1": "a", "hub2": "b"}, ["hub2"]),
    (["192.168.100.100"], {"hub1": "a", "hub2": "b"}, ["hub1", "hub2"]),
    (["192.168.100.11", "192.168.77.1"], {"hub1": "a", "hub2": "b"}, ["hub1", "hub2"]),
])
def test_every_hub_that_lives_is_stopped_before(signs, hubs, stops):
    info = promoted()
    info["postgres"].update(state="standby", standby_signal=True)
    info["cfengine"]["hub_list"]["third"] = plan_for(standby())["hub_list"]["third"]
    seen = [{"address": address, "port": 5432, "how": "refuses", "from": "hub3"} for address in signs]
    assert third.promote_stops(third.promote_verdict(info, seen, True), info, seen, hubs) == stops


UNTRIED = {"address": "192.168.100.10", "port": 5405, "how": "untried", "reason": "Operation not permitted",
           "from": "hub3"}


def test_what_could_not_be_tried_counts_as_alive():
    info = promoted()
    info["postgres"].update(state="standby", standby_signal=True)
    info["cfengine"]["hub_list"]["third"] = plan_for(standby())["hub_list"]["third"]
    hubs = {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}
    signs = third.promote_signs(info, [UNTRIED], hubs)
    refused = third.promote_verdict(info, signs, False)
    assert refused["do"] == "refuse" and refused["failures"][0]["code"] == "PAIR_UNTRIED"
    assert "192.168.100.10 (port 5405 untried: Operation not permitted; asked from hub3)" in (
        refused["failures"][0]["problem"])
    assert "hub_ha_promote_off" in refused["failures"][0]["remedy"]
    confirmed = third.promote_verdict(info, signs, True)
    assert third.promote_stops(confirmed, info, signs, hubs) == ["hub1"]
    alive = dict(UNTRIED, port=22, how="accepts")
    assert [item["code"] for item in third.promote_verdict(info, signs + [alive], False)["failures"]] == [
        "PAIR_LIVES", "PAIR_UNTRIED"]


@pytest.mark.parametrize("change, off, counts", [
    ({}, ["hub1"], False), ({}, ["hub1", "hub2"], False), ({}, [], True), ({}, ["hub2"], True), ({}, ["hub9"], True),
    ({"how": "refuses"}, ["hub1"], True), ({"address": "192.168.10.10"}, ["hub1"], False),
    ({"address": "hub1"}, ["hub1"], False), ({"address": "bastion"}, ["hub1"], False),
    # Shared, or nobody's: it takes the word for both.
    ({"address": "192.168.100.100"}, ["hub1"], True), ({"address": "192.168.100.100"}, ["hub1", "hub2"], False)])
def test_only_the_operators_word_for_that_hub_waives_it(change, off, counts):
    info = promoted()
    info["cfengine"]["hub_list"]["third"] = plan_for(standby())["hub_list"]["third"]
    item = dict(UNTRIED, **change)
    hubs = {"hub1": "bastion", "hub2": "192.168.100.11"}
    assert third.promote_signs(info, [item], hubs, off) == ([item] if counts else [])


def test_without_hubs_no_word_waives_anything():
    info = promoted()
    assert third.promote_signs(info, [UNTRIED], {}, ["hub1"]) == [UNTRIED]


@pytest.mark.parametrize("proved, lacking", [
    ([], "hub1 and hub2"), (["hub1"], "hub2"), (["hub3"], "hub1 and hub2"), (["hub1", "hub2"], "")])
def test_promoted_only_when_each_that_was_to_be_stopped_has_proved_it(proved, lacking):
    found = third.promote_unproved(["hub1", "hub2"], proved)
    assert (lacking in found.problem and found.code == "STOP_UNPROVEN") if lacking else found is None
    assert third.promote_unproved([], []) is None


def test_shared_address_that_outlived_its_cluster():
    text = json.dumps([{"ifname": "eth0", "addr_info": [
        {"local": "192.168.100.%d" % last, "prefixlen": 24, "scope": "global"} for last in (10, 100)]}])
    assert third.shared_here(text, {"shared": ["192.168.100.100"]}) == [
        {"interface": "eth0", "address": "192.168.100.100/24"}]
    assert third.shared_here("", {"shared": ["192.168.100.100"]}) == []


def test_promote_again_does_nothing_and_asks_nobody():
    alive = [{"address": "192.168.100.10", "port": 22, "how": "refuses", "from": "hub3"}]
    assert third.promote_verdict(promoted(), alive, False) == {"do": "nothing", "failures": []}


@pytest.mark.parametrize("change, words", [
    (lambda info: info["cfengine"].update(hub_list=None), "this is no third hub of a pair"),
    (lambda info: info["postgres"].update(state="absent"), "PostgreSQL is no standby here (absent)"),
    (lambda info: info["postgres"].update(state="stopped", standby_signal=False), "is no standby here (stopped)"),
])
def test_promote_refused(change, words):
    info = promoted()
    info["postgres"].update(state="standby")
    change(info)
    assert words in third.promote_verdict(info, [], True)["failures"][0]["problem"]


def test_promote_a_standby_that_is_stopped():
    """After a way back that lost the chosen hub at the switch; it is started first."""
    info = promoted()
    info["postgres"].update(state="stopped", standby_signal=True, control=CONTROL)
    assert third.promote_verdict(info, [], False) == {"do": "promote", "failures": []}


def lost_pair(**states):
    """The pair after both hubs were lost and came back: stopped, with their old data."""
    results = pair.running_pair()
    for host, result in results.items():
        result["hub"]["postgres"].update(state=states.get(host, "stopped"), server=None, outside=None)
        result["hub"]["cluster"]["promoted"] = None
    return results


def copied(results, state="standby"):
    """hub1 follows the third hub, as an earlier run of the way back has left it."""
    postgres = results["hub1"]["hub"]["postgres"]
    postgres.update(state=state, outside="conf", standby_signal=True)
    if state == "standby":
        postgres["server"] = copy.deepcopy(promoted()["postgres"]["server"])
    else:
        postgres["control"].update(state="shut down in recovery", min_recovery_lsn="0/4800000", timeline=3)
        postgres["history"] = PAST
        results["hub1"]["hub"]["cluster"]["maintenance"] = results["hub1"]["hub"]["maintenance_marker"] = True
    return results


def way_back(results, info=None, wanted=None):
    return third.return_plan(results, pair.settings(), given(info or promoted()), wanted)


def test_way_back_begins():
    plan = way_back(lost_pair())
    assert not plan["failures"], plan["failures"]
    assert plan["stage"] == "clone" and plan["active"] == "hub1" and plan["passive"] == "hub2"
    lead = third.lead_plan(plan)
    assert lead["active"] == "hub3" and lead["passive"] == "hub1"
    assert lead["replication"]["addresses"]["hub3"] == "192.168.10.12"
    assert way_back(lost_pair(), wanted="hub2")["active"] == "hub2"
    assert "hub_ha_return_to names hub9" in way_back(lost_pair(), wanted="hub9")["failures"][0]["problem"]


@pytest.mark.parametrize("signal", [True, False])
@pytest.mark.parametrize("state", ["primary", "stopped"])
def test_way_back_that_was_cut_off_after_the_clone(state, signal):
    info = promoted()
    info["postgres"].update(state=state, standby_signal=signal and state == "stopped")
    info["postgres"]["control"]["state"] = "in production" if state == "primary" else "shut down"
    plan = way_back(copied(lost_pair()), info)
    assert (plan["stage"], plan["failures"]) == ("switch", [])


def test_way_back_whose_switch_failed():
    plan = way_back(copied(lost_pair(), "stopped"))
    assert (plan["stage"], plan["failures"]) == ("switch", []), "it is started again"
    older = copied(lost_pair(), "stopped")
    older["hub1"]["hub"]["postgres"]["history"] = PAST[:1]
    assert way_back(older)["stage"] == "clone", "a timeline 3 that the third hub's is not"


@pytest.mark.parametrize("signal", [True, False])
def test_way_back_that_was_cut_off_while_its_switch_was_taken_back(signal):
    """Both are stopped: the switch is done anew, which proves that the chosen hub has all, or takes it back."""
    info = promoted()
    info["postgres"].update(state="stopped", standby_signal=signal, control=CONTROL, server=None)
    plan = way_back(copied(lost_pair(), "stopped"), info)
    assert (plan["stage"], plan["failures"], plan["active"]) == ("switch", [], "hub1")
    # Nothing that differs from the plan of the run that was cut off is done before all is read again.
    streams = copied(lost_pair())
    streams["hub1"]["hub"]["cluster"]["maintenance"] = streams["hub1"]["hub"]["maintenance_marker"] = True
    before = way_back(streams)
    assert {key for key in plan if plan[key] != before[key]} <= {"include", "restart", "trial", "pg_size", "pg_socket"}, "told by a server"
    for change in ({"history": PAST[:1]}, {"control": {"state": "in production"}}, {"outside": None}):
        results = copied(lost_pair(), "stopped")
        results["hub1"]["hub"]["postgres"].update(change)
        found = way_back(results, info)["failures"][0]
        assert "takes writes on no hub" in found["problem"] and "promote-third-hub" in found["remedy"]


@pytest.mark.parametrize("slots, lost, streaming, stage", [
    (["hub_ha_hub1"], None, None, "switch"), (["hub_ha_hub1"], ["hub_ha_hub1"], None, "clone"),
    (None, None, None, "clone"), (["hub_ha_hub3"], None, ["hub2"], "clone"),
    (["hub_ha_hub1"], ["hub_ha_hub1"], ["hub1"], "switch"),
])
def test_copy_that_can_never_catch_up_is_made_again(slots, lost, streaming, stage):
    info = promoted()
    info["postgres"]["server"].update(slots=slots, slots_lost=lost, streaming=streaming)
    plan = way_back(copied(lost_pair()), info)
    assert (plan["stage"], plan["failures"]) == (stage, [])


def test_only_a_copy_of_the_pairs_database_replaces_it():
    info = promoted()
    info["postgres"]["server"]["system_identifier"] = pair.OTHER_SYSTEM
    found = way_back(lost_pair(), info)["failures"]
    assert [item["host"] for item in found[:2]] == ["hub1", "hub2"]
    assert pair.OTHER_SYSTEM in found[0]["problem"] and pair.SYSTEM in found[0]["problem"]
    assert "move /var/lib/cfengine3/state/pg/data aside" in found[0]["remedy"]
    for change in ({"key_digest": "SHA=" + "d4" * 32}, {"hub_list": None}):
        info = promoted()
        info["cfengine"].update(change)
        assert "this is no third hub of a pair" in way_back(lost_pair(), info)["failures"][0]["problem"]
    results = lost_pair()
    for result in results.values():
        result["hub"]["postgres"].update(state="absent", control={})
    assert not way_back(results)["failures"], "an earlier run has moved it aside"


def test_way_back_that_was_cut_off_after_the_switch():
    results = pair.running_pair()
    info = promoted()
    results["hub1"]["hub"]["postgres"]["history"] = PAST + [{"timeline": 3, "lsn": "0/50000A0"}]
    results["hub1"]["hub"]["postgres"]["control"]["timeline"] = 4
    for signal in (False, True):
        info["postgres"].update(state="stopped", control=CONTROL, standby_signal=signal)
        plan = way_back(results, info)
        assert plan["stage"] == "done" and plan["active"] == "hub1" and not plan["failures"]
    info["postgres"]["control"] = dict(CONTROL, checkpoint_lsn="0/6000000")
    assert "hub1 left timeline 3 at 0/50000A0, hub3 has reached 0/6000000" in problems(way_back(results, info))[0]


def test_two_active_hubs():
    found = way_back(pair.running_pair())["failures"]
    assert "both are active" in found[0]["problem"] and "systemctl stop pacemaker" in found[0]["remedy"]


def test_nobody_is_active():
    info = promoted()
    info["postgres"].update(state="standby")
    assert "takes writes on no hub" in way_back(lost_pair(), info)["failures"][0]["problem"]


def test_all_three_are_needed():
    results = lost_pair()
    results["hub2"] = {"unreachable": True, "msg": "no route"}
    found = way_back(results)
    assert found["stage"] == "refuse" and found["failures"][0]["host"] == "hub2"
    assert found["failures"][0]["remedy"].endswith("ansible -i INVENTORY -m ping hub2")
    info = promoted()
    info["postgres"].update(state="stopped", standby_signal=True)
    assert "promote-third-hub.yml" in way_back(results, info)["failures"][0]["remedy"], "cut at the switch"
    results["hub2"] = {"failed": True, "msg": "Task failed: Missing sudo password"}
    assert [item["code"] for item in way_back(results)["failures"]] == ["NOT_ROOT"]


def test_operators_own_maintenance_is_not_taken_over():
    results = lost_pair()
    results["hub1"]["hub"]["cluster"]["maintenance"] = True
    assert "maintenance mode" in way_back(results)["failures"][0]["problem"]
    results["hub1"]["hub"]["maintenance_marker"] = True
    assert not way_back(results)["failures"]


# --- firewalls ----------------------------------------------------------------------------------------------------

def test_firewalls_let_the_third_hub_in_and_its_own_the_pair():
    results = pair.results()
    third_info = standby()
    for info in [result["hub"] for result in results.values()] + [third_info]:
        info["firewall"] = {"kind": "ufw", "problem": None, "added": [], "ipv6": True}
    found = third.make_plan(results, pair.settings(firewall="manage", firewall_clients=["192.168.100.0/24"]), {},
                            given(third_info))
    for host in ("hub1", "hub2"):
        theirs = [(rule["port"], rule["protocol"]) for rule in found["firewalls"][host]["rules"]
                  if rule["source"] in [item["address"] for item in third_info["addresses"]]]
        assert sorted(set(theirs)) == [(5308, "tcp"), (5432, "tcp")], "no port of corosync's"
    own = found["firewalls"]["hub3"]["rules"]
    assert {rule["source"] for rule in own if rule["port"] == 5432} == {
        "192.168.%d.%d" % (net, last) for net in (0, 10, 100) for last in (10, 11)}
    assert {rule["port"] for rule in own} == {5432, 5308} and found["firewalls"]["hub3"]["open"]
    assert "192.168.100.0/24" in {rule["source"] for rule in own}


# --- what the roles get -------------------------------------------------------------------------------------------

def test_a_stop_that_is_not_proved_is_told_with_its_code():
    said = filters.promote_unproved(["hub1", "hub2"], {"hub1": {"third_hub_stopped": True}, "hub2": {}})
    assert said.startswith("The third hub was not promoted: hub2 gives") and said.endswith("=hub2 (STOP_UNPROVEN)")
    assert filters.promote_unproved([], {}) == ""


def test_what_keeps_a_third_hub_from_being_added_is_told_as_every_problem():
    plan = dict(plan_for(standby()), adopted=False)
    infos = {host: item["hub"] for host, item in pair.running_pair().items()}
    assert filters.third_obstacles(plan, infos) == [{
        "code": "PAIR_UNFINISHED", "severity": "error", "host": "all", "problem": "the hubs are no pair yet, or wait for a restart",
        "remedy": "run playbooks/upgrade-to-ha.yml first"}]


def test_a_third_hub_that_will_follow_may_have_any_database_of_the_pairs():
    info = promoted()
    info["postgres"]["state"] = "unreachable"
    info["postgres"].update(pid=7, error="no answer")
    assert "does not answer" in problems(plan_for(info))[0]
    found = third.make_plan(pair.running_pair(), pair.settings(), {}, given(info), True)
    assert not found["failures"] and info["addresses"] == promoted()["addresses"], "nothing that is given is changed"
