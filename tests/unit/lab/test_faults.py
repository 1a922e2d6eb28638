# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows of the faults and their audit (lab.faults): what samples say; each thing that is asked can make a row red."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lab import report
from lab.faults import audit, pair, processes, run, summary, table
from lab.shell import LabError

TOKEN = 3.0
CRM_MON = """<pacemaker-result api-version="2.38" request="crm_mon">
  <summary><current_dc present="true" with_quorum="true"/></summary>
  <nodes>
    <node name="hub1" online="true" standby="false" maintenance="false"/>
    <node name="hub2" online="true" standby="false" maintenance="false"/>
  </nodes>
  <resources>
    <group id="cfengine"><resource id="cfvirtip" role="Started"><node name="hub1"/></resource></group>
    <clone id="mscfpgsql">
      <resource id="cfpgsql" role="Promoted"><node name="hub1"/></resource>
      <resource id="cfpgsql" role="Unpromoted"><node name="hub2"/></resource>
    </clone>
  </resources>
  <node_attributes>
    <node name="hub1"><attribute name="cfpgsql-status" value="PRI"/></node>
    <node name="hub2"><attribute name="cfpgsql-status" value="HS:async"/></node>
  </node_attributes>
  <status code="0" message="OK"/>
</pacemaker-result>"""
VIEW = audit.view(CRM_MON)
NOW = {"hub1": audit.Sample(9.9, 10.0, "primary", True, ()), "hub2": audit.Sample(9.9, 10.0, "standby", False, ())}


def samples(*pieces, address=False, broken=()):
    """Samples every 0.1 s: pieces of (from, to, state)."""
    return [audit.Sample(at / 10 - 0.01, at / 10, state, address, broken)
            for begin, end, state in pieces for at in range(round(begin * 10), round(end * 10))]


def seen(hub1=((100, 140, "primary"),), hub2=((100, 140, "standby"),), silence=(), **changes):
    """What was seen of a row that began at 110, was mended at 116 and ended at 140, with 20 acknowledged writes/s.

    silence: (from, to) without one.
    """
    acks = [(number, 100 + number / 20) for number in range(800)]
    acks = [(number, at) for number, at in acks if not silence or not silence[0] < at < silence[1]]
    rows = [number for number, _at in acks]
    found = dict(
        began=110.0, ended=140.0, mended=116.0, last=116.0,
        watched=audit.Watched({"hub1": samples(*hub1), "hub2": samples(*hub2)}, []), writer={"acks": acks}, frozen={},
        rows={"hub1": rows, "hub2": rows}, open_rows={}, before="hub1", end=audit.State("whole", "hub1"), settled=2.0,
        proved=True)
    return audit.Seen(**dict(found, **changes))


ROW = table.Row("row", (table.Step(0, "freeze", "active"), table.Step(6, "thaw", "active")), table.Expect())


def findings(row=ROW, **changes):
    """What is wrong with a row of which this was seen."""
    return audit.audit(row, seen(**changes), TOKEN).findings


def test_a_quiet_row_is_green():
    assert findings() == ()


@pytest.mark.parametrize("changes, said", [
    ({"silence": (110, 120.1)}, "gap 10."),
    ({"silence": (114, 122)}, "served again after mending 6.0 s"),
    ({"silence": (114, 150)}, "served again after mending: never"),
    ({"hub2": ((100, 120, "standby"), (120, 130, "primary"))}, "both hubs took writes 9.9 s, must be at most 3.0 s"),
    ({"end": audit.State("alone", "hub1", "hub2 is off")}, "ends alone (hub2 is off), must be forked or whole"),
    ({"settled": 61.0}, "whole only after 61.0 s, must be within 60 s"),
    ({"settled": None}, "whole only after the row's end, must be within 60 s"),
    ({"rows": {"hub1": range(700), "hub2": range(700)}}, "100 acknowledged writes are not on hub1, must be at most 10"),
    ({"rows": {"hub1": None, "hub2": None}}, "the rows on hub1 cannot be read"),
    ({"rows": {"hub1": range(800), "hub2": range(700)}}, "its hubs hold different rows"),
    ({"proved": False}, "role verify is red, the pair is whole"),
    ({"proved": False, "after": audit.State("whole", "hub1")}, "role verify is red, the pair is whole"),
    ({"proved": True, "end": audit.State("forked", "hub1")}, "role verify is green, the pair is forked"),
    ({"end": audit.State("whole", "hub1", left=("monitor on hub1",))}, "failures are left: monitor on hub1"),
    ({"hub2": ((100, 102, "standby"), (102, 103, "primary"), (103, 104, "standby"), (104, 105, "primary"))},
     "2 promotions, must be at most 1"),
])
def test_each_thing_that_must_hold_can_make_it_red(changes, said):
    assert [text for text in findings(**changes) if said in text], findings(**changes)


@pytest.mark.parametrize("role, active, said", [
    ("same", "hub2", "the active role moved to hub2, must stay"), ("moves", "hub1", "stayed on hub1, must move")])
def test_role(role, active, said):
    row = replace(ROW, expect=table.Expect(role=role))
    assert said in " ".join(findings(row, end=audit.State("whole", active)))


def test_what_is_not_judged():
    row = replace(ROW, expect=table.Expect(gap=None, back=None, lost=None, left=None, overlap=None))
    assert findings(row, silence=(110, 139), rows={"hub1": range(500), "hub2": range(500)},
                    hub2=((100, 120, "standby"), (120, 130, "primary"))) == ()


def test_changes_of_a_playbook():
    row = replace(ROW, expect=table.Expect(changed=0))
    assert findings(row, changed=3) == ("the playbook changed 3 tasks, must change 0",)
    assert findings(row, changed=0) == ()


FEW = table.BY_NAME["play-sslmode"].expect
SERVERS = {"hub1": ("process 7 since 100", "process 7 since 100"), "hub2": ("process 8 since 90", "process 8 since 90")}
DONE = audit.Played("-e a=b", "done")


def change(expect=FEW, **changes):
    """What is wrong with a row that changes settings, without a mending step, of which this was seen."""
    found = dict({"mended": None, "servers": SERVERS, "plays": (DONE, DONE), "changed": 4}, **changes)
    return findings(table.Row("row", (table.Step(0, "play", "client"),), expect), **found)


def test_a_change_of_settings_that_nobody_notices_is_green():
    assert change(facts=(audit.Fact("sslmode", "verify-full", "verify-full"),)) == ()


def written(*failures):
    """What the outside writer logged, with these failures."""
    return {"acks": [(number, 100 + number / 20) for number in range(800)], "failures": list(failures)}


@pytest.mark.parametrize("changes, said", [
    ({"plays": (DONE, audit.Played("", "failed", "fatal: x")), "changed": -1},
     "the playbook failed (without options): fatal: x"),
    ({"plays": (audit.Played("-e a=b", "refused", "CIB_RESTARTS"), DONE), "changed": -1},
     "the playbook was refused (-e a=b): CIB_RESTARTS"),
    ({"facts": (audit.Fact("sslmode", "verify-full", "verify-ca"),)},
     "sslmode in force: verify-ca, must be verify-full"),
    ({"facts": (audit.Fact("usename", "lab_other", ""),)}, "usename in force: none, must be lab_other"),
    ({"facts": (audit.Fact("parameters", "", "master_ip"),)}, "parameters in force: master_ip, must be none"),
    ({"servers": dict(SERVERS, hub2=("process 8 since 90", "process 9 since 95"))},
     "PostgreSQL was restarted: hub2 (process 8 since 90, now process 9 since 95)"),
    ({"servers": dict(SERVERS, hub1=("process 7 since 100", "process 7 since 101"))}, "was restarted: hub1"),
    ({"servers": dict(SERVERS, hub1=("process 7 since 100", ""))}, "hub1 (process 7 since 100, now none)"),
    ({"servers": {}}, "whether PostgreSQL was restarted is not known"),
    ({"writer": written((9, 111.0, "OperationalError: no server"))},
     "1 attempts to write failed, must be at most 0 (OperationalError: no server)"),
    ({"hub2": ((100, 115, "standby"), (115, 135, "refused"), (135, 140, "standby"))},
     "the standby gave no answer for 20.1 s, must be at most 1.5 s"),
    ({"hub2": ((100, 140, "refused"),)}, "the standby gave no answer at all"),
    ({"hub2": ((100, 120, "standby"), (120, 140, "silent"))}, "the standby gave no answer for 20.1 s"),
])
def test_each_thing_that_a_change_of_settings_must_leave_alone_can_make_it_red(changes, said):
    assert [text for text in change(**changes) if said in text], change(**changes)


def test_a_session_that_ends_in_a_change_of_settings_is_red():
    watched = audit.Watched({"hub1": samples((100, 140, "primary")), "hub2": samples((100, 140, "standby"))}, [],
                            (112.0, "terminating connection"))
    assert change(watched=watched) == ("the open session ended: terminating connection",)
    assert change(replace(FEW, failed=None), watched=watched) == ()


def test_what_failed_before_the_row_is_not_its_own():
    assert change(writer=written((1, 109.0, "no server"))) == ()
    assert change(replace(FEW, failed=None), writer=written((1, 111.0, "no server"))) == ()


def test_a_playbook_that_fails_is_red_in_every_row():
    for play in (audit.Played("", "failed"), audit.Played("", "refused")):
        for row in (ROW, *table.ROWS):
            assert "the playbook" in " ".join(findings(row, plays=(play,))), row.name
            assert "the playbook" not in " ".join(
                one for one in findings(row, plays=(DONE,)) if not one.startswith("the playbook changed")), row.name


def test_a_row_may_expect_a_refusal():
    expect = replace(FEW, refused=1)
    no = audit.Played("-e a=b", "refused", "x")
    assert change(expect, plays=(no, DONE)) == ()
    assert change(expect, plays=(DONE, DONE)) == ("0 playbooks were refused, must be 1",)
    assert change(expect, plays=(no, no)) == ("2 playbooks were refused, must be 1",)
    assert [text for text in change(expect, plays=(no, audit.Played("", "failed", "y"))) if "failed" in text]


def test_rows_with_a_playbook_are_judged_by_what_it_must_leave_alone():
    rows = [row for row in table.ROWS if any(step.do == "play" for step in row.steps)]
    assert len(rows) >= 5
    for row in rows:
        assert (row.expect.restarts, row.expect.failed, row.expect.lost) == (0, 0, 0), row.name
        assert row.expect.away is not None and row.expect.ends == table.WHOLE, row.name


def opened(lost, overlap=0.0, expect=table.Expect(), **changes):
    """What is wrong with a row in which the hub that serves, hub2, lacks *lost* of 200 writes of the open session."""
    acks = [(number, 110 + number / 10) for number in range(200)]
    watched = audit.Watched({"hub1": samples((100, 116 + overlap, "primary"), (116 + overlap, 140, "refused")),
                             "hub2": samples((100, 116, "standby"), (116, 140, "primary"))},
                            [one for one in acks if one[1] < 116 + overlap])
    rows = [number for number, _at in watched.open_acks]
    found = dict({"watched": watched, "open_rows": {"hub2": rows[:len(rows) - lost]}, "proved": False,
                  "end": audit.State("forked", "hub2")}, **changes)
    return findings(replace(ROW, expect=expect), **found)


def test_what_the_open_session_lost():
    assert opened(10) == () and opened(0) == ()
    assert opened(11) == ("11 acknowledged writes of the open session are not on hub2, must be at most 10",)
    assert opened(25, overlap=2.0) == (), "what it wrote while both served is what that costs"
    assert opened(40, overlap=2.0) == (
        "40 acknowledged writes of the open session are not on hub2, must be at most 30",)
    assert opened(1, expect=table.Expect(lost=0)) == (
        "1 acknowledged writes of the open session are not on hub2, must be at most 0",)
    assert opened(50, expect=table.Expect(lost=None)) == ()
    for rows in ({"hub2": None}, {}):
        assert opened(0, open_rows=rows) == ("the open session's rows on hub2 cannot be read",)


def test_what_the_open_session_lost_is_shown():
    result = replace(audit.audit(ROW, seen(), TOKEN), open_lost={"hub1": 37, "hub2": 12})
    assert " 37 " in run.line(result) and " 12 " not in run.line(result)
    assert len(run.HEAD) == len(run.line(result))


def test_overlap_counts_from_the_mend_where_isolated_hubs_cannot_know():
    both = {"hub2": ((100, 112, "standby"), (112, 118, "primary"), (118, 140, "standby"))}
    assert [text for text in findings(**both) if "both hubs took writes 5.9 s" in text]
    row = replace(ROW, expect=table.Expect(overlap_from="mend"))
    assert findings(row, **both) == ()
    assert audit.audit(row, seen(**both), TOKEN).overlap == pytest.approx(1.9, abs=0.01)


def test_frozen_hubs_are_left_out():
    took = {"hub1": ((100, 110, "primary"), (130, 140, "primary")),
            "hub2": ((100, 112, "standby"), (112, 130, "primary"))}
    found = audit.audit(ROW, seen(frozen={"hub1": [(110.0, 130.0)]}, **took), TOKEN)
    assert found.overlap == 0
    # an answer that was given before the freeze and read after it
    took = {"hub1": ((100, 111, "primary"),), "hub2": ((100, 105, "standby"), (105, 140, "primary"))}
    assert audit.audit(ROW, seen(frozen={"hub1": [(105.0, 140.0)]}, **took), TOKEN).overlap == 0


def test_the_open_session_counts_where_new_ones_hang():
    watched = audit.Watched({"hub1": samples((100, 110, "primary"), (110, 140, "silent")),
                             "hub2": samples((100, 115, "standby"), (115, 140, "primary"))},
                            [(number, 100 + number / 10) for number in range(250)])
    assert audit.audit(ROW, seen(watched=watched), TOKEN).overlap == pytest.approx(9.9, abs=0.02)


def test_a_dead_cluster_that_goes_on_serving():
    broken = samples((100, 110, "primary")) + samples((110, 120, "primary"), broken=("corosync",)) \
        + samples((120, 140, "refused"), broken=("corosync",))
    watched = audit.Watched({"hub1": broken, "hub2": samples((100, 140, "standby"))}, [])
    found = audit.audit(ROW, seen(watched=watched), TOKEN)
    assert found.dead == pytest.approx(9.9)
    assert "took writes for 9.9 s with a dead cluster (hub1 without corosync), must be at most 3.0 s" in found.findings


def test_two_shared_addresses():
    watched = audit.Watched({"hub1": samples((100, 140, "refused"), address=True),
                             "hub2": samples((110, 140, "primary"), address=True)}, [])
    assert "both hubs had the shared address 29.9 s, must be at most 3.0 s" in findings(watched=watched)


def test_parse():
    text = ("S hub1 1.000 1.050 primary 1 -\nS hub2 1.000 1.100 frozen 0 -\n"
            "S hub1 1.1 1.2 refused 0 corosync,pacemakerd\n"
            "O 1 1.500\nX 2.000 server closed the connection\n? what\nS hub1 bad\nS hub1 9.0 9.1 prim")
    found = audit.parse(text)
    assert [one.state for one in found.samples["hub1"]] == ["primary", "refused"]
    assert found.samples["hub1"][0].address and found.samples["hub1"][1].broken == ("corosync", "pacemakerd")
    assert found.open_acks == [(1, 1.5)] and found.ended == (2.0, "server closed the connection")


def test_spans():
    assert audit.spans([1.0, 1.5, 3.0, 3.4]) == [(1.0, 1.5), (3.0, 3.4)]
    assert audit.without([(1.0, 5.0)], [(2.0, 3.0)]) == [(1.0, 2.0), (3.0, 5.0)]
    assert audit.common([(1.0, 5.0)], [(0.0, 2.0), (4.0, 9.0)]) == [(1.0, 2.0), (4.0, 5.0)]
    assert audit.merged([(1.0, 2.0)], [(1.5, 4.0), (6.0, 7.0)]) == [(1.0, 4.0), (6.0, 7.0)]
    assert audit.length([(1.0, 3.0)], 2.0) == 1.0


def test_a_look_that_was_otherwise_ends_a_span():
    assert audit.held(samples((1.0, 1.3, "primary"), (1.3, 1.4, "standby"), (1.4, 1.6, "primary")),
                      lambda one: one.state == "primary") == [(1.0, 1.2), (1.4, 1.5)]


def test_back():
    acks = [(number, number / 10) for number in range(100)]
    assert audit.back(acks, 5.0, 9.95) == 0.0
    assert audit.back([one for one in acks if not 4.0 < one[1] < 7.0], 5.0, 9.95) == pytest.approx(2.0)
    assert audit.back([one for one in acks if not 2.0 < one[1] < 4.0], 5.0, 9.95) == 0.0
    assert audit.back([one for one in acks if one[1] < 7.0], 5.0, 9.95) is None
    assert audit.back([], 5.0, 9.95) is None


def test_view():
    assert VIEW.online == ("hub1", "hub2") and VIEW.quorate and VIEW.address == "hub1"
    assert VIEW.roles == {"hub1": "Promoted", "hub2": "Unpromoted"} and not VIEW.failures and not VIEW.bans
    text = CRM_MON.replace("<status", """<node_history><node name="hub2">
        <resource_history id="cfpgsql" fail-count="INFINITY"/><resource_history id="x" fail-count="0"/></node>
        </node_history>
        <failures><failure op_key="cfpgsql_monitor_4000" node="hub2"/></failures>
        <bans><ban id="cli-ban-mscfpgsql-on-hub2"/><ban id="cfpgsql-forked"/></bans><status""")
    found = audit.view(text)
    assert found.failures == (("cfpgsql_monitor_4000", "hub2"), ("fail-count of cfpgsql", "hub2"))
    assert found.bans == ("cli-ban-mscfpgsql-on-hub2",)


def now(hub1=None, hub2=None, **views):
    """State of the pair with changes of a whole one's newest samples and of hub1's view."""
    last = {"hub1": replace(NOW["hub1"], **(hub1 or {})), "hub2": replace(NOW["hub2"], **(hub2 or {}))}
    return audit.state(last, {"hub1": replace(VIEW, **views), "hub2": VIEW})


FORKED = {"hub2": {audit.FORKED: "timeline=1"}}


@pytest.mark.parametrize("found, name", [
    (now(), "whole"),
    (now(hub2={"state": "primary"}), "double"),
    (now(hub1={"state": "refused"}), "down"),
    (now(hub1={"broken": ("corosync",)}), "unmanaged"),
    (now(hub2={"state": "refused"}), "alone"),
    (now(hub2={"broken": ("pacemaker-execd",)}), "alone"),
    (now(hub2={"address": True}), "alone"),
    (now(hub1={"address": False}), "alone"),
    (now(online=("hub1",)), "alone"),
    (now(quorate=False), "alone"),
    (now(address=None), "alone"),
    (now(bans=("cli-ban-1",)), "alone"),
    (now(roles={"hub2": "Unpromoted"}), "alone"),
    (now(attributes={"hub2": {"cfpgsql-status": "HS:alone"}}), "alone"),
    (now(hub2={"state": "refused"}, attributes=FORKED), "forked"),
    (now(hub2={"state": "refused"}, attributes=FORKED, quorate=False), "alone"),
    (now(hub2={"state": "primary"}, attributes=FORKED), "double"),
])
def test_state(found, name):
    assert found.name == name, found


def test_state_without_an_answer_of_the_cluster():
    assert audit.state(NOW, {"hub1": None, "hub2": VIEW}).name == "unmanaged"


def test_failures_are_told_beside_the_state():
    found = now(failures=(("cfpgsql_monitor", "hub2"),))
    assert (found.name, found.left) == ("whole", ("cfpgsql_monitor on hub2",))


def test_what_the_guards_tell_is_told_beside_the_state():
    told = {"hub1": {"hub_ha-guard": "running", "hub_ha-clients": "1"},
            "hub2": dict(VIEW.attributes["hub2"], **{"hub_ha-guard": "gone", "hub_ha-clients": "0"})}
    found = now(attributes=told)
    assert (found.name, found.warned) == ("whole", ("hub_ha-clients=0 on hub2", "hub_ha-guard=gone on hub2"))
    assert now().well and not found.well and not now(bans=("cli-ban-x",)).well


def test_what_changes_while_the_proof_runs_is_no_contradiction():
    assert findings(proved=False, after=audit.State("alone", "hub1")) == ()


def test_what_the_guards_have_told_against_a_hub_makes_prove_red():
    """Until they have told that it is over, which may be while prove looks."""
    warned = audit.State("whole", "hub1", warned=("hub_ha-clients=0 on hub2",))
    assert findings(proved=True, end=warned) == (
        "role verify is green, the pair is whole, hub_ha-clients=0 on hub2",)
    assert findings(proved=False, end=warned) == ()
    for proved in (True, False):
        assert findings(proved=proved, end=warned, after=audit.State("whole", "hub1")) == ()


def test_rejoined():
    gone = samples((100, 116, "standby"), (116, 120, "refused"), (120, 140, "standby"))
    found = audit.Watched({"hub1": samples((100, 140, "primary")), "hub2": gone}, [])
    assert audit.rejoined(found, 115.0) == pytest.approx(5.0) and audit.rejoined(found, 125.0) == 0
    never = audit.Watched({"hub2": gone[:200]}, [])
    assert audit.rejoined(never, 115.0) is None
    row = replace(ROW, expect=table.Expect(rejoin=3.0))
    assert findings(row, watched=found) == ("the standby answers again after 4.0 s, must be within 3 s",)


def test_promotions():
    assert audit.promotions(samples((1, 2, "standby"), (2, 3, "silent"), (3, 4, "primary"), (4, 5, "refused"),
                                    (5, 6, "primary"))) == 1


MARK = audit.Mark(100, 50, ((90.0, "an hour ago"),))
HEALTHY = replace(ROW, expect=table.HEALTHY)


def marks(**hub1):
    """Of both hubs, the first with changes after the row."""
    return {"hub1": (MARK, replace(MARK, **hub1)), "hub2": (MARK, MARK)}


@pytest.mark.parametrize("hub1, said", [
    ({}, ()),
    ({"server": 101}, ("PostgreSQL on hub1 was started anew (process 100, then 101)",)),
    ({"guard": 51}, ("the guard on hub1 was started anew (process 50, then 51)",)),
    ({"done": MARK.done + ((112.0, "PostgreSQL is stopped"),)},
     ("the guard on hub1 has acted: PostgreSQL is stopped",)),
])
def test_a_healthy_hub_to_which_something_was_done(hub1, said):
    assert findings(HEALTHY, marks=marks(**hub1)) == said
    assert findings(replace(ROW, expect=table.UNTOUCHED), marks=marks(**hub1)) == ()


def test_a_hub_whose_daemons_alone_may_be_started_anew():
    """server without idle: the guard may act. Of the other hub nothing is asked."""
    row = replace(ROW, expect=replace(table.UNTOUCHED, server=("active",)))
    assert findings(row, marks=marks(done=((112.0, "pacemaker again"),))) == ()
    assert findings(row, before="hub2", end=audit.State("whole", "hub2"), marks=marks(server=101)) == ()
    assert findings(row, marks=marks(server=0)) == ("PostgreSQL on hub1 was started anew (process 100, then 0)",)
    assert findings(row) == ("what ran before and after is not known",)


def test_what_a_waiting_step_did_not_find():
    assert findings(missed=("hub2 is not marked as given up",)) == ("hub2 is not marked as given up",)


def test_limits_of_what_it_must_reach():
    power = table.BY_NAME["power-active"]
    assert table.seconds(power.expect.gap, 3.0) == 7.5 and power.expect.dead == 3.0


def test_rows_have_names_of_their_own_and_steps_in_order():
    assert len(table.BY_NAME) == len(table.ROWS)
    for row in table.ROWS:
        assert [step.at for step in row.steps] == sorted(step.at for step in row.steps), row.name
        assert {step.hub for step in row.steps} <= {"active", "passive", "client"}


def test_what_a_row_does_it_undoes():
    undone = {"freeze": "thaw", "unplug": "plug", "stop": "cont", "off": "on", "fill": "drain", "burn": "rest",
              "crowd": "empty", "clog": "unclog", "slow": "quick", "hold": "release", "given": "retry", "deaf": "hear",
              "package": "packaged", "spoil": "correct"}
    for row in table.ROWS:
        for step in row.steps:
            if step.do in undone:
                assert [one for one in row.steps if one.do == undone[step.do] and one.hub == step.hub
                        and one.at >= step.at], (row.name, step)


@pytest.mark.parametrize("name", [
    "stall-active-2", "stall-passive-30-cables", "stall-both-6-twice", "kill-corosync-active",
    "stop-schedulerd-passive", "kill-postmaster-passive", "kill-backend-active", "stop-postmaster-active",
    "cable-clients-active-20", "cables-passive-20", "power-active", "power-both-active-first",
    "power-both-passive-first", "play-hubs-in-other-order",
    "play-sslmode", "play-user", "play-address", "play-old-parameters",
    "systemctl-stop-corosync-active", "kill-guard-active",
    "disk-full-active", "load-cpu", "load-sessions", "load-disk", "load-crm_mon", "alone-kill-corosync",
    "crash-three-passive", "package-passive", "package-passive-kill-postmaster",
    "spoilt-passive", "spoilt-passive-refresh",
    "maintenance-kill-corosync-active", "rejoin-then-power"])
def test_rows_that_are_asked_for(name):
    assert name in table.BY_NAME


def test_the_small_set():
    assert {row.name for row in table.select("guard")} == {
        "stall-active-15", "stall-passive-15", "kill-corosync-active", "stop-corosync-active",
        "kill-postmaster-active", "kill-postmaster-passive", "cable-clients-active-20", "cables-passive-20",
        "power-active", "kill-backend-active", "kill-controld-active", "stop-postmaster-active",
        "systemctl-stop-corosync-active", "load-cpu"}


def test_select():
    assert [row.name for row in table.select("power-passive, power-active")] == ["power-active", "power-passive"]
    assert len(table.select("kill-guard*")) == 2 and table.select(None) == list(table.ROWS)
    with pytest.raises(LabError, match="no row 'nonsense'"):
        table.select("power-active,nonsense")


def test_a_seed_is_an_order():
    assert table.order(table.ROWS, 7) == table.order(table.ROWS, 7) != table.order(table.ROWS, 8)
    assert sorted(row.name for row in table.order(table.ROWS, 7)) == sorted(table.BY_NAME)
    last = replace(ROW, name="last", breaks=True)
    assert table.order([last, *table.ROWS], 7)[-1] is last


def test_limits_follow_the_token():
    assert table.seconds((1.5, 5.0), 3.0) == 9.5 and table.seconds(4, 3.0) == 4
    quiet = table.expected(table.BY_NAME["stall-active-2"], 3.0)
    assert (quiet.role, quiet.ends, quiet.lost) == ("same", table.WHOLE, 0)
    assert table.expected(table.BY_NAME["stall-active-2"], 1.0).role == "any"
    assert table.expected(table.BY_NAME["stall-active-15"], 3.0) is table.BY_NAME["stall-active-15"].expect


def test_processes():
    one = processes.stat("42 (pacemaker-contr (x)) T 7 1 1 0 -1")
    assert (one.pid, one.parent, one.name, one.state) == (42, 7, "pacemaker-contr (x)", "T")
    rest = " ".join(map(str, range(3, 22))) + " 4711 0 0"
    assert processes.started("42 (a (b) c) " + rest.replace("3", "S", 1)) == 4711
    assert processes.container_id("9:name=systemd:/\n0::/hub-ha-lab-1/libpod-abc.scope/init.scope\n") == "abc"
    assert processes.container_id("0::/user.slice\n") == ""
    found = [processes.Process(10, 1, "postgres", "S"), processes.Process(11, 10, "postgres", "S")]
    assert processes.postmasters(found) == found[:1]


def test_changed_tasks_of_a_play():
    recap = "PLAY RECAP\nhub1 : ok=7   changed=2   unreachable=0    failed=0\nhub2 : ok=5   changed=1   failed=0\n"
    assert pair.changed(recap) == 3
    assert pair.changed(recap.replace("failed=0", "failed=1")) == -1
    assert pair.changed("nothing") == -1


def test_what_became_of_a_play():
    recap = "PLAY RECAP\nhub1 : ok=7   changed=0   unreachable=0    failed=1\n"
    assert pair.refused(recap) and not pair.refused(recap.replace("changed=0", "changed=2"))
    assert not pair.refused("ERROR! the playbook could not be found")
    assert pair.why_failed("TASK [x]\nfatal: [hub1]: FAILED! => no\nmore") == "fatal: [hub1]: FAILED! => no"
    assert pair.why_failed("ERROR! not found\n") == "ERROR! not found" and pair.why_failed("nothing\n") == "nothing "


def test_the_receivers_connection():
    text = "user=hub_ha_repl passfile=/x channel_binding=prefer dbname=replication host=192.168.0.10 sslmode=verify-ca"
    assert pair.receiver(text, "sslmode") == "verify-ca" and pair.receiver(text, "user") == "hub_ha_repl"
    assert pair.receiver("requiressl=1 xsslmode=no", "sslmode") == "" and pair.receiver("", "user") == ""


def test_facts_that_rows_ask_for_are_known():
    for row in table.ROWS:
        for step in row.steps:
            for fact in step.what if step.do == "see" else ():
                assert fact.split("=", 1)[0] in pair.FACTS, (row.name, fact)


def test_a_row_without_a_write_is_no_gap_of_zero():
    assert report.gaps([]) == []
    assert [text for text in findings(writer={"acks": []}) if text.startswith("gap: never")]


def test_every_row_is_of_a_kind_that_the_table_names():
    assert {summary.kind(row.name) for row in table.ROWS} <= {text for text, dummy, dummy_end in summary.KINDS}
    rows = [{"name": name, "gap": gap, "overlap": 0.5, "dead": 0.0, "lost": {"hub1": 3, "hub2": None}, "active": active,
             "state": "whole", "green": name != "stall-active-2"}
            for name, gap, active in (("stall-active-1", 1.0, "hub1"), ("stall-active-2", 3.0, "hub2"))]
    text = summary.lines(rows)
    assert len(text) == 3 and "| 2 | 2.0 (1.0 to 3.0) | 0.5 at most | 0.0 | 3 at most | whole 2 | 1 |" in text[2]


def test_figures_are_there_when_a_run_is_cut_off(tmp_path):
    run.write_json(str(tmp_path / "figures.json"), 7, 3.0, [], ["power-active: no answer"], ["load-cpu"])
    assert json.loads((tmp_path / "figures.json").read_text()) == {
        "seed": 7, "token": 3.0, "rows": [], "errors": ["power-active: no answer"], "left_out": ["load-cpu"]}
