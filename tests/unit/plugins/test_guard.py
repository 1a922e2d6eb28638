# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard decides. Time is a number here; 0.2 s a step."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import (
    CHILDREN,
    CONTROLD,
    COROSYNC,
    DAEMONS,
    DROP_ADDRESSES,
    GONE,
    KILL,
    LOG,
    LOOK,
    PACEMAKERD,
    PRIMARY,
    RESTART,
    RUNNING,
    STANDBY,
    STOP_POSTGRES,
    STOPPED,
    TRACED,
    Limits,
    Look,
    Observation,
    Unit,
    idle_reason,
)

ACTIVE, FAILED = Unit("active", "success", 0), Unit("failed", "signal", 9)
ENDING, ENDED = Unit("deactivating", "success", 0), Unit("inactive", "success", 0)
UNKNOWN = {"corosync": ACTIVE, "pacemaker": ACTIVE}


class Hub:
    """Drives the machine and notes what it does: [(seconds since the fault, kind)]."""

    def __init__(self, postgres=PRIMARY, absent=None, **more):
        self.machine, self.now, self.fault = guard.Guard(Limits(silent=3.5), **more), 1000.0, None
        self.daemons, self.silent, self.postgres = dict((name, RUNNING) for name in DAEMONS), 0.1, postgres
        self.absent, self.units, self.idle, self.look, self.restart = absent, dict(UNKNOWN), None, None, ""
        self.done, self.actions = [], []
        self.pass_time(2)

    def step(self, seconds=0.2):
        self.now += seconds
        if self.silent is not None:
            self.silent = self.silent + seconds if self.stuck else 0.1
        for action in self.machine.step(Observation(self.now, dict(self.daemons), self.silent, self.postgres,
                                                    self.absent,
                                                    self.look, self.restart, self.controller, self.peer)):
            if action.kind == LOOK:
                if self.units != "silent":
                    self.look = Look(self.now, self.units, self.idle)
                continue
            self.actions.append(action)
            self.done.append((round(self.now - (self.fault or self.now), 1), action.kind))
            if action.kind == STOP_POSTGRES:
                self.postgres = "none"
            if action.kind == RESTART:
                self.restart = "running"

    stuck = False
    controller, peer = 77, False

    def pass_time(self, seconds):
        for dummy in range(int(round(seconds / 0.2))):
            self.step()

    def break_it(self, **states):
        self.fault = self.now
        for name, state in states.items():
            self.daemons[name.replace("_", "-")] = state

    def kinds(self):
        return [kind for dummy, kind in self.done if kind != LOG]

    def when(self, kind):
        return [time for time, found in self.done if found == kind]


def broken(seconds=6, postgres=PRIMARY, absent=None, units=None, idle=None, **states):
    hub = Hub(postgres, absent)
    hub.units, hub.idle = units or dict(UNKNOWN), idle
    hub.break_it(**states)
    hub.pass_time(seconds)
    return hub


def test_all_well():
    hub = Hub()
    hub.pass_time(60)
    assert hub.done == []


@pytest.mark.parametrize("states, limit", [
    ({"corosync": GONE}, 1.0), ({"corosync": STOPPED}, 1.6), ({"pacemakerd": STOPPED}, 1.6), ({"pacemakerd": GONE},
                                                                                              2.4),
    ({"pacemaker_controld": GONE}, 2.0), ({"pacemaker_based": GONE}, 2.0)] + [({name: GONE}, 2.0) for name in CHILDREN])
def test_fail_stop_in_time_and_in_this_order(states, limit):
    hub = broken(**states)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]
    assert hub.when(STOP_POSTGRES)[0] <= limit


def test_only_a_dead_corosync_is_started_again():
    assert broken(corosync=GONE).actions[-1].corosync is True
    assert broken(pacemakerd=STOPPED).actions[-1].corosync is False


def test_a_standby_is_not_stopped():
    assert broken(postgres=STANDBY, corosync=GONE).kinds() == [DROP_ADDRESSES, RESTART]


def test_a_child_that_comes_back_in_time_is_nobodys_business():
    hub = broken(1.0, pacemaker_controld=GONE)
    hub.daemons[CONTROLD] = RUNNING
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_stopped_child_is_killed_first_and_that_is_all_when_it_comes_back():
    hub = broken(2.4, pacemaker_controld=STOPPED)
    assert hub.kinds() == [KILL] and hub.actions[-1].names == (CONTROLD,)
    hub.daemons[CONTROLD] = RUNNING
    hub.pass_time(20)
    assert hub.kinds() == [KILL]


def test_a_stopped_child_that_does_not_come_back():
    hub = broken(2.4, pacemaker_controld=STOPPED)
    hub.daemons[CONTROLD] = GONE
    hub.pass_time(3)
    assert hub.kinds() == [KILL, STOP_POSTGRES, DROP_ADDRESSES, RESTART]


def test_a_controller_that_ends_gives_the_role_away_and_so_the_hub_stops_at_once():
    """The other hub takes over though the next controller is there in a moment."""
    hub = Hub()
    hub.peer = True
    hub.pass_time(1)
    hub.fault, hub.controller = hub.now, 78
    hub.pass_time(2)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART] and hub.when(STOP_POSTGRES)[0] <= 0.6
    assert hub.actions[-1].wait and not hub.actions[-1].corosync


def test_a_controller_that_is_gone_is_not_waited_for():
    hub = Hub()
    hub.peer = True
    hub.break_it(pacemaker_controld=GONE)
    hub.pass_time(1)
    assert STOP_POSTGRES in hub.kinds()


def test_a_stopped_controller_is_not_killed_where_that_gives_the_role_away():
    hub = Hub()
    hub.peer = True
    hub.break_it(pacemaker_controld=STOPPED)
    hub.pass_time(3)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART] and hub.when(STOP_POSTGRES)[0] <= 2.4


@pytest.mark.parametrize("postgres, peer", [(STANDBY, True), (PRIMARY, False)])
def test_a_new_controller_of_a_standby_or_of_a_hub_alone_changes_nothing(postgres, peer):
    hub = Hub(postgres)
    hub.peer = peer
    hub.pass_time(1)
    hub.controller = 78
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_standby_with_a_new_controller_that_is_promoted_later_goes_on():
    hub = Hub(STANDBY)
    hub.peer = True
    hub.pass_time(1)
    hub.controller = 78
    hub.pass_time(5)
    hub.postgres = PRIMARY
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_new_controller_after_a_planned_stop_is_no_trouble():
    hub = broken(5, postgres="none", units={"corosync": ENDED, "pacemaker": ENDED}, **everything(GONE))
    hub.break_it(**everything(RUNNING))
    hub.controller, hub.peer, hub.postgres, hub.units = 99, True, PRIMARY, dict(UNKNOWN)
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_controller_that_ends_in_maintenance_is_left_to_whoever_works_there():
    hub = Hub()
    hub.peer, hub.idle = True, "maintenance"
    hub.pass_time(1)
    hub.controller = 78
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_debugger_is_left_alone():
    assert broken(30, corosync=TRACED).kinds() == []


def test_corosync_that_delivers_nothing():
    hub = Hub()
    hub.fault, hub.stuck = hub.now, True
    hub.pass_time(3)
    assert hub.kinds() == [], "a change of the membership takes that long"
    hub.pass_time(2)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART] and hub.actions[-1].corosync is True


def test_limit_of_the_silence_follows_the_token():
    assert guard.silent_limit(1000) == 3.5 and guard.silent_limit(5000) == 9.5


@pytest.mark.parametrize("idle", ["maintenance"])
@pytest.mark.parametrize("states", [{"corosync": GONE}, {"pacemakerd": STOPPED}, {"pacemaker_attrd": STOPPED}])
def test_idle_when_the_cib_says_so(idle, states):
    assert broken(60, idle=idle, **states).kinds() == []


def everything(state):
    return dict((name.replace("-", "_"), state) for name in DAEMONS)


def test_planned_stop_of_the_cluster():
    """pacemaker has stopped PostgreSQL before its daemons end."""
    hub = broken(5, postgres="none", units={"corosync": ACTIVE, "pacemaker": ENDING}, pacemaker_schedulerd=GONE)
    hub.units = {"corosync": ENDED, "pacemaker": ENDED}
    hub.break_it(**everything(GONE))
    hub.pass_time(60)
    assert hub.kinds() == []
    assert not hub.machine.armed, "what runs now is the operator's business"


def test_it_watches_again_after_a_planned_stop():
    hub = broken(5, postgres="none", units={"corosync": ENDED, "pacemaker": ENDED}, **everything(GONE))
    hub.break_it(**everything(RUNNING))
    hub.units, hub.postgres = dict(UNKNOWN), PRIMARY
    hub.pass_time(5)
    hub.break_it(corosync=GONE)
    hub.pass_time(2)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]


def test_a_primary_that_a_stopped_pacemaker_leaves_behind_is_stopped_and_nothing_started():
    hub = broken(30, units={"corosync": ENDED, "pacemaker": ENDED}, **everything(GONE))
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES]


def test_pacemaker_that_ends_because_corosync_has_died_is_no_planned_stop():
    hub = broken(units={"corosync": FAILED, "pacemaker": Unit("inactive", "success", 100)}, **everything(GONE))
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]
    hub = broken(units={"corosync": FAILED, "pacemaker": ENDED}, **everything(GONE))
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]


def test_systemd_that_does_not_answer_is_no_excuse():
    hub = broken(units="silent", corosync=GONE)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART] and hub.when(STOP_POSTGRES)[0] <= 1.4


def test_an_answer_of_before_the_fault_does_not_count():
    hub = Hub()
    hub.look, hub.units = Look(hub.now, {"corosync": ENDED, "pacemaker": ENDED}, "maintenance"), dict(UNKNOWN)
    hub.break_it(corosync=GONE)
    hub.pass_time(3)
    assert STOP_POSTGRES in hub.kinds()


def test_before_pacemaker_was_seen():
    hub = Hub()
    hub.machine = guard.Guard(Limits())
    hub.break_it(**dict(everything(GONE), corosync=RUNNING))
    hub.pass_time(5)
    hub.break_it(corosync=GONE)
    hub.pass_time(30)
    assert hub.kinds() == []


def test_after_its_own_restart_it_goes_on_where_it_was():
    """Guard and corosync died together; the new guard has never seen the daemons."""
    hub = Hub()
    hub.machine = guard.Guard(Limits(), armed=True)
    hub.break_it(**everything(GONE))
    hub.pass_time(3)
    assert hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]


def test_alone_the_database_goes_on():
    hub = broken(absent=900.0, corosync=GONE)
    assert hub.kinds() == [RESTART] and hub.actions[-1].alone and hub.actions[-1].corosync and not hub.actions[-1].wait


@pytest.mark.parametrize("postgres", [STANDBY, "none"])
def test_a_hub_alone_that_serves_nothing_gets_no_quorum_by_itself(postgres):
    hub = broken(postgres=postgres, absent=900.0, corosync=GONE)
    assert hub.kinds() == [DROP_ADDRESSES, RESTART] and not hub.actions[-1].alone and hub.actions[-1].corosync
    assert not [action for action in hub.actions if "the database goes on" in action.reason]


def test_a_hub_that_the_other_one_has_just_left_is_not_alone():
    hub = broken(absent=1000.5, corosync=GONE)
    assert STOP_POSTGRES in hub.kinds() and hub.actions[-1].wait


def test_its_own_standstill_begins_the_measuring_anew():
    hub = Hub()
    hub.break_it(corosync=GONE)
    hub.step(0.2)
    hub.silent = 30.0
    hub.daemons[COROSYNC] = STOPPED
    hub.step(10.0)
    hub.step(0.2)
    assert hub.kinds() == []
    hub.daemons[COROSYNC] = RUNNING
    hub.pass_time(20)
    assert hub.kinds() == []


def late(hub, period, seconds):
    for dummy in range(int(seconds / period)):
        hub.step(period)


@pytest.mark.parametrize("period", [1.1, 3.0])
@pytest.mark.parametrize("states", [{"corosync": GONE}, {"pacemakerd": GONE}, {"pacemaker_based": GONE},
                                    {"corosync": STOPPED}])
def test_a_loop_that_is_always_late_acts_all_the_same(states, period):
    hub = Hub()
    hub.break_it(**states)
    late(hub, period, 10 * period)
    assert hub.kinds()[:3] == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]
    assert hub.when(STOP_POSTGRES)[0] <= 3 * period + 0.1, "seen, forgiven, acted upon"
    assert len([action for action in hub.actions if "stood still" in action.reason]) == 1


def test_a_loop_that_is_always_late_and_a_corosync_that_delivers_nothing():
    hub = Hub()
    hub.fault, hub.stuck = hub.now, True
    late(hub, 1.1, 12)
    assert hub.kinds()[:1] == [STOP_POSTGRES]


def test_a_loop_that_is_always_late_and_a_hub_in_order():
    hub = Hub()
    late(hub, 1.1, 120)
    assert hub.kinds() == []


def test_two_standstills_in_a_row_are_no_silence():
    """After each of them the membership is made anew."""
    hub = Hub()
    hub.stuck = True
    hub.step(30.0)
    hub.step(0.2)
    hub.step(30.0)
    hub.pass_time(2)
    hub.stuck = False
    hub.pass_time(20)
    assert hub.kinds() == []


def test_a_single_standstill_begins_anew_for_what_was_wrong_before():
    hub = Hub()
    hub.break_it(pacemakerd=GONE)
    hub.pass_time(0.4)
    hub.step(10.0)
    hub.pass_time(1.6)
    assert hub.kinds() == []
    hub.pass_time(1.0)
    assert STOP_POSTGRES in hub.kinds()


def test_a_late_loop_tries_again_too():
    hub = broken(1, corosync=GONE)
    hub.restart = "failed"
    late(hub, 1.1, 20)
    assert hub.kinds().count(RESTART) == 2


def test_silence_of_a_standstill_is_not_counted():
    hub = Hub()
    hub.step(10.0)
    hub.stuck, hub.silent = True, 10.0
    hub.pass_time(2)
    hub.stuck = False
    hub.pass_time(20)
    assert hub.kinds() == []


def recovered(hub):
    for name in DAEMONS:
        hub.daemons[name] = RUNNING
    hub.silent, hub.restart = 0.1, "done"


def test_back_to_watching():
    hub = broken(3, corosync=GONE)
    recovered(hub)
    hub.pass_time(2)
    assert hub.machine.phase == "watch" and hub.kinds() == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]
    hub.pass_time(60)
    assert len(hub.kinds()) == 3


def test_daemons_that_do_not_come_back_are_tried_with_pauses():
    hub = broken(1, corosync=GONE)
    starts = []
    for dummy in range(1500):
        if hub.restart == "running":
            starts.append(hub.now)
            hub.restart = "failed"
        hub.step()
    waits = [round(later - earlier) for earlier, later in zip(starts, starts[1:])]
    assert all(abs(one - other) <= 1 for one, other in zip(waits, (1, 2, 5, 10))), waits
    assert all(9 <= wait <= 12 for wait in waits[3:]), "never spinning"


def test_what_somebody_stops_in_the_meantime_stays_stopped():
    hub = broken(1, **everything(GONE))
    hub.restart, hub.units = "failed", {"corosync": ENDED, "pacemaker": ENDED}
    hub.pass_time(30)
    assert hub.kinds().count(RESTART) == 1 and not hub.machine.armed


def test_two_primaries_the_loser_stops_and_joins_again():
    hub = Hub()
    found = hub.machine.lost(Observation(hub.now, hub.daemons, 0.1, PRIMARY), "two primaries")
    assert [action.kind for action in found] == [STOP_POSTGRES, DROP_ADDRESSES, RESTART]
    assert found[-1].meets and not found[-1].corosync, "its pacemaker has to join before"
    other = Hub().machine.fail_stop(Observation(hub.now, hub.daemons, 0.1, PRIMARY), "corosync is gone", True)
    assert not other[-1].meets


CIB = """<cib><configuration><crm_config><cluster_property_set id="a">
<nvpair id="m" name="maintenance-mode" value="%s"/>
</cluster_property_set></crm_config><nodes><node id="1" uname="hub1"><instance_attributes id="n">
<nvpair id="nm" name="maintenance" value="%s"/></instance_attributes></node><node id="2" uname="hub2"/></nodes>
<resources>
<clone id="mscfpgsql"><meta_attributes id="c"><nvpair id="ci" name="%s" value="%s"/></meta_attributes>
<primitive id="cfpgsql" class="ocf" provider="cfengine" type="pgsql"/></clone></resources>
<constraints/></configuration></cib>"""


@pytest.mark.parametrize("values, words", [
    (("false", "false", "is-managed", "true"), None), (("true", "no", "x", "y"), "maintenance mode"),
    (("Yes", "no", "x", "y"), "mode"),
    (("1", "no", "x", "y"), "mode"), (("off", "ON", "x", "y"), "this hub"), (("0", "n", "is-managed", "No"),
                                                                             "not managed"),
    (("0", "n", "maintenance", "on"), "not managed"), (("0", "n", "is-managed", "y"), None), (("perhaps", "n", "x",
                                                                                               "y"), None)])
def test_cib_on_disk(values, words):
    found = idle_reason(CIB % values, "HUB1")
    assert found is None if words is None else words in found


def test_maintenance_of_the_other_hub_is_its_own():
    assert idle_reason(CIB % ("no", "yes", "x", "y"), "hub2") is None


def test_cib_that_is_missing_or_damaged_or_of_somebody_else():
    assert "no part of a cluster" in idle_reason(None, "hub1")
    assert idle_reason("", "hub1") is None, "nothing is known: that gives no leave to serve"
    assert "not pacemaker's" in idle_reason((CIB % ("0", "0", "x", "y")).replace('id="cfpgsql"', 'id="other"'), "hub1")


def test_pacemakerd_is_a_daemon_of_its_own():
    assert set(CHILDREN) | {COROSYNC, PACEMAKERD} == set(DAEMONS)
