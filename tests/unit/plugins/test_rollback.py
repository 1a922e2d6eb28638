# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a failed step: when the hub that was active may be started, and when it must not."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Side
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import rollback, upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair


class State:
    """What the hubs said when the plan was made (before) and say now; hub1 was active."""

    def __init__(self, results):
        self.before = results
        self.plan = plan.make_plan(results, pair.settings())
        self.now = copy.deepcopy(results)
        assert self.plan["complete"] and self.plan["active"] == "hub1"

    def hub(self, host):
        return self.now[host]["hub"]

    def postgres(self, host, is_now, **control):
        """PostgreSQL on *host* is now so."""
        found = self.hub(host)["postgres"]
        found.update(state=is_now, pid=None if is_now == "stopped" else 7, error="no answer", side=None)
        found["control"] = dict({"state": "in archive recovery" if is_now == "standby" else "in production",
                                 "system_identifier": pair.SYSTEM, "timeline": 1}, **control)

    def cluster(self, hosts=("hub1", "hub2"), **values):
        for host in hosts:
            self.hub(host)["cluster"].update(values)

    def lose(self, *hosts):
        for host in hosts:
            self.now[host] = {"unreachable": True, "msg": "Failed to\n connect"}

    def judge(self, stage="look"):
        answers = [dict(result, item=host) for host, result in self.now.items()]
        return rollback.judge(self.plan, self.before, answers, stage)

    def text(self, stage="look", notes=(), backup="/var/backups/x"):
        return rollback.text(self.plan, self.judge(stage), 'hub2: "a step" failed: why', list(notes), backup)


@pytest.fixture(name="single")
def fixture_single():
    """Before adoption: hub2 has a clone, the cluster runs without the database; PostgreSQL on hub1 has stopped."""
    state = State(pair.results())
    state.cluster(cib_readable=True, pacemaker_installed=True)
    state.postgres("hub1", "stopped")
    state.postgres("hub2", "stopped", state="in production")
    state.hub("hub2")["postgres"].update(backup_label=True, standby_signal=True)
    return state


@pytest.fixture(name="fresh")
def fixture_fresh(single):
    """Adopted in this very run, and pacemaker has stopped hub1's PostgreSQL and not got it back."""
    single.cluster(has_database=True)
    single.postgres("hub1", "stopped", state="shut down in recovery", min_recovery_lsn="0/5000000")
    single.hub("hub1")["postgres"]["standby_signal"] = True
    single.hub("hub2")["postgres"]["side"] = Side(
        system_identifier=pair.SYSTEM, state="in production", backup_label=True, timeline=1,
        position=0x4000000).to_dict()
    return single


@pytest.fixture(name="old")
def fixture_old():
    """A pair of before, whose primary has stopped."""
    state = State(pair.running_pair())
    state.postgres("hub1", "stopped", state="shut down")
    state.postgres("hub2", "standby")
    return state


def test_a_removal_whose_switchover_failed():
    """hub1 handed over and was stopped cleanly, hub2 was not promoted, and the way back of the removal failed too."""
    state = State(pair.running_pair())
    state.plan = rollback.view(dict(state.plan, active="hub2", passive="hub1", serving="hub1"))
    assert (state.plan["active"], state.plan["passive"]) == ("hub1", "hub2")
    assert rollback.view(state.plan) == state.plan and rollback.view({"active": "hub1"}) == {"active": "hub1"}
    state.cluster(maintenance=True)
    state.postgres("hub1", "stopped", state="shut down", checkpoint_lsn="0/5000028")
    state.postgres("hub2", "standby")
    assert does(state) == "hold" and does(state, "held") == "start"
    state.postgres("hub2", "stopped", state="in production", min_recovery_lsn="0/50000A0", min_recovery_timeline=2)
    state.hub("hub2")["postgres"]["history"] = [{"timeline": 1, "lsn": "0/50000A0"}]
    assert does(state, "held") == "nothing" and "hub2 was promoted to timeline 2" in state.text("held")
    state.postgres("hub2", "primary")
    assert does(state) == "nothing" and "takes writes on hub2" in state.text()


def does(state, stage="look"):
    return state.judge(stage)["do"]


# ---- a hub serves: nothing is touched, whatever else is wrong

@pytest.mark.parametrize("primary", ["hub1", "hub2"])
def test_a_hub_that_serves_is_left_alone(old, primary):
    old.postgres(primary, "primary")
    for stage in ("look", "waited", "held", "started"):
        found = old.judge(stage)
        assert (found["do"], found["primaries"]) == ("nothing", [primary])
    assert "The hub is serving: PostgreSQL takes writes on %s." % primary in old.text()


def test_one_serves_and_the_other_one_is_lost(old):
    old.postgres("hub1", "primary")
    old.lose("hub2")
    assert does(old) == "nothing"
    text = old.text()
    assert "takes writes on hub1." in text and "hub2 cannot be read: Failed to connect" in text


def test_two_primaries_are_told_loudly(old):
    old.postgres("hub1", "primary")
    old.postgres("hub2", "primary")
    assert does(old) == "nothing" and "BOTH hubs have a primary: hub1 and hub2" in old.text()


# ---- before adoption

def test_a_single_hub_is_started(single):
    found = single.judge()
    assert (found["do"], found["managed"], found["adopted"]) == ("start", False, False)


@pytest.mark.parametrize("cib", [True, False])
def test_a_single_hub_with_or_without_a_cluster(single, cib):
    single.cluster(cib_readable=cib)
    assert does(single) == "start"


def test_a_single_hub_whose_peer_is_lost(single):
    """Nothing but pacemaker starts what is cloned there."""
    single.lose("hub2")
    assert does(single) == "start"


@pytest.mark.parametrize("state", ["standby", "unreachable"])
def test_a_peer_of_which_more_than_a_clone_was_known(single, state):
    single.before["hub2"]["hub"]["postgres"]["state"] = state
    single.lose("hub2")
    assert does(single) == "nothing" and "not known whether hub2 has become the primary" in single.text()


@pytest.mark.parametrize("host, values, words", [
    ("hub1", {"state": "standby"}, "the database on hub1 is a standby's"),
    ("hub1", {"standby_signal": True}, "the database on hub1 is a standby's"),
    ("hub1", {"control": {"state": "shut down in recovery", "timeline": 1}}, "the database on hub1 is a standby's"),
    ("hub1", {"state": "unreachable", "pid": 9, "error": "starting up"}, "runs on hub1 (pid 9) and does not answer"),
    ("hub1", {"state": "absent"}, "there is no database in"),
    ("hub2", {"state": "unreachable", "pid": 9, "error": "no role"}, "runs on hub2 (pid 9) and does not answer"),
    ("hub2", {"control": {"state": "shut down", "timeline": 2, "system_identifier": pair.SYSTEM},
              "history": [{"timeline": 1, "lsn": "0/4000000"}]},
     "hub2 was a primary after hub1 was, or has rows that it lacks (hub2 was promoted to timeline 2"),
    ("hub2", {"backup_label": False},
     "whether hub2 holds newer data than hub1 is not known (both are on timeline 1, and both have written"),
    ("hub2", {"control": {}}, "whether hub2 holds newer data than hub1 is not known (the system identifier of hub2")])
def test_a_single_hub_that_must_not_be_started(single, host, values, words):
    single.hub(host)["postgres"].update(values)
    assert does(single) == "nothing"
    text = single.text()
    assert words in text and "NO hub takes writes now" in text and "journalctl -u cf-postgres" in text


def test_a_single_hub_that_is_lost(single):
    single.lose("hub1")
    assert does(single) == "nothing"
    text = single.text()
    assert "hub2 takes no writes." in text and "Whether hub1 serves is not known." in text
    assert "is serving" not in text and "NO hub" not in text


def test_both_lost(single):
    single.lose("hub1", "hub2")
    assert does(single) == "nothing" and "Whether hub1 or hub2 serves is not known." in single.text()


# ---- adopted in this run

def test_pacemaker_is_waited_for_before_anything_else(fresh):
    found = fresh.judge()
    assert (found["do"], found["ask"], found["managed"], found["adopted"]) == ("wait", "hub1", True, False)


def test_then_its_hands_are_taken_off(fresh):
    found = fresh.judge("waited")
    assert (found["do"], found["set_maintenance"]) == ("hold", True)
    fresh.cluster(maintenance=True)
    assert does(fresh, "held") == "start"


def test_a_standby_is_stopped_first(fresh):
    fresh.cluster(maintenance=True)
    fresh.postgres("hub1", "standby")
    fresh.hub("hub1")["postgres"]["side"] = Side(
        system_identifier=pair.SYSTEM, running=True, in_recovery=True, timeline=1, position=0x5000000).to_dict()
    assert does(fresh, "held") == "stop"
    fresh.hub("hub2")["postgres"]["side"]["position"] = 0x5000060
    assert does(fresh, "held") == "nothing" and "hub2 has reached 0/5000060" in fresh.text("held")


def test_peer_that_does_not_see_the_maintenance(fresh):
    fresh.cluster(["hub1"], maintenance=True)
    assert does(fresh, "held") == "nothing" and "pacemaker on hub2 is not in maintenance" in fresh.text("held")


def test_peer_whose_pacemaker_does_not_run(fresh):
    fresh.cluster(["hub1"], maintenance=True)
    fresh.cluster(["hub2"], cib_readable=False)
    assert does(fresh, "held") == "start"
    fresh.hub("hub2")["units"]["pacemaker"] = {"active": "activating"}
    assert does(fresh, "held") == "nothing"


@pytest.mark.parametrize("stage", ["waited", "held"])
def test_peer_that_was_promoted_or_is_lost(fresh, stage):
    fresh.cluster(maintenance=stage == "held")
    fresh.postgres("hub2", "standby", timeline=2)
    assert does(fresh, stage) == "nothing"
    fresh.lose("hub2")
    assert does(fresh, stage) == "nothing" and "not known whether hub2 has become the primary" in fresh.text(stage)


def test_own_pacemaker_that_does_not_answer(fresh):
    fresh.cluster(["hub1"], cib_readable=False)
    assert fresh.judge()["ask"] == "hub2"
    assert does(fresh, "waited") == "nothing" and "pacemaker does not run on hub1" in fresh.text("waited")


def test_no_pacemaker_can_be_asked(fresh):
    """Stopped on both hubs; what is on its disk says that the database is its own."""
    fresh.cluster(cib_readable=False)
    assert does(fresh) == "nothing" and "pacemaker does not run on hub1" in fresh.text()


# ---- a pair of before

def test_failover_is_pacemakers(old):
    assert does(old) == "wait"
    found = old.judge("waited")
    assert found["do"] == "nothing" and found["why"][0]["code"] == "CLUSTER_MANAGED"
    assert found["why"][0]["problem"].startswith("pacemaker has the database in hand")
    assert "behind its back (CLUSTER_MANAGED)" in old.text("waited")
    assert "crm_mon" in old.text("waited") and "docs/operate.md" in old.text("waited")


def test_failed_restart_in_maintenance_mode(old):
    old.cluster(maintenance=True)
    found = old.judge()
    assert (found["do"], found["set_maintenance"], found["adopted"]) == ("hold", False, True)
    assert does(old, "held") == "start"


@pytest.mark.parametrize("change", [
    lambda old: old.postgres("hub1", "standby"), lambda old: old.postgres("hub1", "unreachable"),
    lambda old: old.postgres("hub2", "standby", timeline=2), lambda old: old.lose("hub2"), lambda old: old.lose("hub1"),
    lambda old: old.cluster(["hub2"], maintenance=False)])
def test_pair_in_maintenance_mode_that_must_not_be_started(old, change):
    old.cluster(maintenance=True)
    change(old)
    assert does(old, "held") == "nothing"


# ---- a step failed in a maintenance of ours, and a hub serves

@pytest.fixture(name="ours")
def fixture_ours(old):
    """A pair of before whose primary runs; the run has begun a maintenance and not ended it."""
    old.postgres("hub1", "primary")
    old.cluster(maintenance=True, cib_readable=True, cib_ips={"cfvirtip": "192.168.100.100"})
    old.hub("hub1")["maintenance_marker"] = True
    for host in old.now:
        old.hub(host)["units"]["cf-postgres"] = {"enabled": "masked", "load": "masked", "active": "active"}
    return old


@pytest.mark.parametrize("stage", ["look", "waited", "held", "started"])
def test_a_maintenance_of_ours_is_ended(ours, stage):
    found = ours.judge(stage)
    assert (found["do"], found["keep"]) == ("release", ["cfpgsql", "cfvirtip"])
    assert found["maintenance"] == {"on": True, "ours": True}
    ours.postgres("hub2", "stopped")
    assert does(ours, stage) == "release", "its restart has failed; pacemaker starts it"
    ours.hub("hub1")["maintenance_marker"] = False
    ours.cluster(maintenance=False)
    assert does(ours, stage) == "nothing" and "MAINTENANCE" not in ours.text(stage)


def test_a_maintenance_that_is_over_leaves_no_marker(ours):
    """Or a later one, of the operator, would be taken for ours."""
    ours.cluster(maintenance=False)
    assert does(ours) == "release" and "MAINTENANCE" not in ours.text()


@pytest.mark.parametrize("change", [
    lambda ours: ours.lose("hub2"), lambda ours: ours.postgres("hub2", "primary"),
    lambda ours: ours.postgres("hub2", "absent"), lambda ours: ours.postgres("hub2", "unreachable"),
    lambda ours: ours.cluster(["hub1"], cib_readable=False),
    lambda ours: ours.hub("hub1")["units"].update({"cf-postgres": {"enabled": "enabled"}}),
    lambda ours: ours.plan.update(serving="hub1")])
def test_a_maintenance_of_ours_that_is_not_ended_is_told(ours, change):
    change(ours)
    assert does(ours) == "nothing"
    text = ours.text()
    assert "MAINTENANCE MODE: there is no failover, and the guards do nothing." in text
    assert "the next run of this one, or of playbooks/upgrade-to-ha.yml, ends it" in text


def test_the_operators_maintenance_is_his_to_end(ours):
    ours.hub("hub1")["maintenance_marker"] = False
    assert does(ours) == "nothing" and "no failover" in ours.text()
    assert "none ends it: crm_attribute --type crm_config --name maintenance-mode --delete" in ours.text()


def test_a_first_adoption_that_ended_in_maintenance_is_told(fresh):
    """The hub was started as a single one, beside pacemaker: only the next run puts that right."""
    fresh.cluster(maintenance=True)
    fresh.hub("hub1")["maintenance_marker"] = True
    fresh.postgres("hub1", "primary")
    assert does(fresh, "started") == "nothing" and "MAINTENANCE MODE" in fresh.text("started")


def test_where_no_cib_can_be_read_the_marker_tells(ours):
    ours.cluster(cib_readable=False, maintenance=False)
    assert ours.judge()["maintenance"] == {"on": True, "ours": True} and "MAINTENANCE MODE" in ours.text()


def test_known_to_pacemaker_when_the_plan_was_made_counts(single):
    """A CIB that cannot be read now may hold what it held before."""
    single.before["hub2"]["hub"]["cluster"]["has_database"] = True
    single.cluster(cib_readable=False)
    assert does(single) == "nothing"


# ---- the words

def test_words_about_a_start(old):
    old.postgres("hub1", "primary")
    text = old.text("started", ["PostgreSQL was started on hub1 with the configuration saved in /b"])
    assert text.splitlines() == [
        'hub2: "a step" failed: why', "", "The hub is serving: PostgreSQL takes writes on hub1.",
        "- PostgreSQL was started on hub1 with the configuration saved in /b",
        "What was there before is saved on hub1 in /var/backups/x.",
        "Mend the cause above and run the same command again: it goes on where it stopped."]


def test_words_of_a_check(old):
    """It has saved nothing, and nothing goes on."""
    old.postgres("hub1", "primary")
    text = rollback.text(old.plan, old.judge(), 'hub2: "a step" failed: why', [], "/var/backups/of-an-earlier-run", True)
    assert text.splitlines()[:3] == [
        'The check found: hub2: "a step" failed: why', "", "The hub is serving: PostgreSQL takes writes on hub1."]
    assert "This was a check: nothing was changed." in text and "saved" not in text and "goes on" not in text


def test_no_backup_is_no_line(old):
    assert "saved" not in old.text(backup=None)
