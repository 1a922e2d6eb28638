# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a switchover, what follows when one fails, and the executor, with hubs that are lost at each step."""

from __future__ import annotations

import itertools
import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import switchover as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops import execute, hub, model, perform, switchover
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops.model import Kind, State
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

SIDE = {"data_dir": "/data", "bin_dir": "/bin", "owner": "cfpostgres", "log": "/log"}
# As remove_ha and as third_hub has it.
PAIR = {"serving": dict(SIDE, name="hub1", addresses=["cfvirtip"]), "chosen": dict(SIDE, name="hub2", addresses=["cfvirtip"]),
        "marker": "/marker", "marker_text": "ours\n", "hold": True}
THIRD = {"serving": dict(SIDE, name="hub3", unit="cf-postgres", group="cfpostgres"),
         "chosen": dict(SIDE, name="hub1", addresses=["cfvirtip"]), "demote": True}


def made(given):
    return switchover.switch_from_dict(given)


# --- the list ---------------------------------------------------------------------------------------------------------

def ids(steps):
    return ["%s %s" % (step.where, step.id) for step in steps.steps]


def test_steps_of_a_pair_and_of_the_way_back():
    assert ids(switchover.steps(made(PAIR))) == [
        "hub1 mark-serving", "hub2 mark-chosen", "hub2 hold", "hub1 stop", "hub1 addresses-off", "hub2 promote",
        "hub2 addresses-on"]
    assert ids(switchover.steps(made(THIRD))) == ["hub3 stop", "hub3 demote", "hub1 promote", "hub1 addresses-on"]
    assert ids(switchover.back(made(PAIR))) == [
        "hub2 end-chosen", "hub1 start-serving", "hub1 addresses-back", "hub2 follow"]
    assert ids(switchover.back(made(THIRD))) == [
        "hub1 end-chosen", "hub3 undemote", "hub3 start-serving", "hub1 follow"]


def test_no_step_of_a_hub_is_left_out_by_the_role():
    """The role has two tasks for the hubs' steps, and those before by their kind: in this order nothing lies between."""
    for given in (PAIR, THIRD):
        steps = switchover.steps(made(given)).steps
        moves = [step for step in steps if step.kind not in (Kind.MARK, Kind.HOLD)]
        assert list(steps[-len(moves):]) == moves
        assert [where for where, _group in itertools.groupby(step.where for step in moves)] == [
            given["serving"]["name"], given["chosen"]["name"]]


@pytest.mark.parametrize("given", [PAIR, THIRD])
def test_steps_are_data(given):
    for steps in (switchover.steps(made(given)), switchover.back(made(given))):
        text = json.dumps(steps.to_dict())
        assert model.steps_from_dict(json.loads(text)) == steps
    assert filters.switchover_steps(given) == switchover.steps(made(given)).to_dict()


@pytest.mark.parametrize("change", [
    {"schema": 2}, {"schema": None}, {"steps": None}, {"steps": [{"id": "a"}]},
    {"steps": [{"id": "a", "where": "b", "kind": "format"}]}, {"steps": [{"id": "a", "where": "b", "kind": "stop", "before": ["x"]}]},
    {"steps": [{"id": "a", "where": "b", "kind": "stop", "takes": {"c": ["d"]}}]}])
def test_lists_that_are_not_known_are_refused(change):
    with pytest.raises(HubError, match="this is no"):
        model.steps_from_dict(dict(switchover.steps(made(PAIR)).to_dict(), **change))


@pytest.mark.parametrize("change, words", [
    ({"chosen": PAIR["serving"]}, "hub1 is on both sides"), ({"chosen": None}, "this is no switchover"),
    ({"chosen": dict(PAIR["chosen"], data_dir=None)}, "data_dir of hub2 is None"), ({"colour": "red"}, "colour"),
    ({"chosen": dict(PAIR["chosen"], colour="red")}, "colour")])
def test_what_is_no_switchover_is_refused(change, words):
    with pytest.raises(HubError, match=words):
        made(dict(PAIR, **change))


def test_every_kind_of_step_has_its_performer():
    assert set(hub.ALL) == set(Kind) and set(perform.PERFORMERS) == set(Kind) - {Kind.HOLD, Kind.LOOK}
    assert set(model.WORDS) == set(State)


def test_a_value_that_no_step_has_found_is_missed():
    promote = next(step for step in switchover.steps(made(PAIR)).steps if step.id == "promote")
    assert promote.values({"stop": {"lsn": "0/1"}})["after"] == "0/1"
    for found in ({}, {"stop": {}}, {"stop": {"lsn": None}}):
        with pytest.raises(HubError, match="needs what step stop has found"):
            promote.values(found)


# --- what follows when a step has failed ------------------------------------------------------------------------------

BASE = {"timeline": 1, "history": [], "system_identifier": pair.SYSTEM}
NEWER = {"timeline": 2, "history": [{"timeline": 1, "lsn": "0/50000A0"}]}
STOPPED = dict(BASE, role="stopped", current_lsn="0/5000028", current_bytes=0x5000028)
ANSWERS = {
    "primary": dict(BASE, role="primary"), "standby": dict(BASE, role="standby", receiver={"status": "streaming"}),
    "clean": dict(STOPPED, state="shut down", starts_as="primary"),
    "crashed": dict(STOPPED, state="in production", starts_as="primary"),
    "demoted": dict(STOPPED, state="shut down", starts_as="standby"),
    "passive": dict(STOPPED, state="shut down in recovery", starts_as="standby"),
    "unclear": dict(STOPPED, state="in production", starts_as="standby"), "absent": {"role": "absent"},
    "stopping": {"failed": True, "msg": "psql: FATAL:  das Datenbanksystem fährt herunter", "stopping": True},
    "silent": {"failed": True, "msg": "psql: FATAL:  the database system is starting up", "stopping": False},
    "lost": {"unreachable": True, "msg": "no route"}, "none": None, "odd": {"role": "something new"},
}
# What the chosen hub is once it was promoted.
TAKEN = dict(ANSWERS, primary=dict(ANSWERS["primary"], **NEWER), clean=dict(ANSWERS["clean"], **NEWER),
             crashed=dict(ANSWERS["crashed"], **NEWER))
SILENT = ("silent", "lost", "none", "odd")


def expected(left, chosen, demote):
    """The rules, in the order in which they count."""
    if chosen == "primary":
        return "unknown" if left == "primary" else "done"
    if chosen in SILENT or left in SILENT:
        return "unknown"
    if chosen in ("clean", "crashed") and left in ("clean", "demoted"):
        return "done"
    if chosen in ("standby", "passive") and left in ("primary", "clean", "crashed", "stopping") + ("demoted",) * demote:
        return "back"
    return "unknown"


@pytest.mark.parametrize("given", [PAIR, THIRD], ids=["pair", "third"])
@pytest.mark.parametrize("chosen", TAKEN)
@pytest.mark.parametrize("left", ANSWERS)
def test_after_failure(left, chosen, given):
    switch = made(given)
    verdict = switchover.after_failure(switch, ANSWERS[left], TAKEN[chosen])
    assert verdict.outcome == expected(left, chosen, switch.demote), verdict
    if verdict.outcome == "back":
        assert verdict.steps == switchover.back(switch)
    elif verdict.outcome == "done":
        assert ids(verdict.steps)[-1].endswith("addresses-on")
        assert {step.where for step in verdict.steps.steps} == {switch.chosen.name}
        assert ("start-chosen" in str(ids(verdict.steps))) == (chosen != "primary")
    else:
        assert verdict.steps.steps == () and verdict.why
    if verdict.outcome == "unknown" and chosen in SILENT:
        assert verdict.why.endswith("on %s it does not answer, and may take writes" % switch.chosen.name)


def test_a_hub_that_was_promoted_and_ended_is_not_started_beside_rows_that_it_lacks():
    switch = made(PAIR)
    forked = dict(TAKEN["clean"], history=[{"timeline": 1, "lsn": "0/5000000"}])
    assert switchover.after_failure(switch, ANSWERS["clean"], forked).outcome == "unknown"
    assert switchover.after_failure(switch, dict(ANSWERS["clean"], system_identifier=pair.OTHER_SYSTEM),
                                    TAKEN["clean"]).outcome == "unknown"


def test_the_filter_gives_legs():
    verdict = filters.switchover_verdict(PAIR, ANSWERS["clean"], ANSWERS["standby"])
    assert verdict["outcome"] == "back" and verdict["why"] == "PostgreSQL on hub1 is stopped, on hub2 it is a standby"
    assert [(leg["where"], [step["id"] for step in leg["steps"]["steps"]]) for leg in verdict["legs"]] == [
        ("hub2", ["end-chosen"]), ("hub1", ["start-serving", "addresses-back"]), ("hub2", ["follow"])]
    assert filters.switchover_verdict(PAIR, None, None) == {
        "outcome": "unknown", "legs": [], "why": "PostgreSQL on hub1 does not answer, and may take writes, on hub2 it does not "
                                                 "answer, and may take writes"}


@pytest.mark.parametrize("serving", ANSWERS)
@pytest.mark.parametrize("chosen", TAKEN)
def test_what_stands_against_a_switchover(serving, chosen):
    """Only a hub that takes writes is not to be stopped for nothing; what has begun goes on."""
    words = switchover.hindrance(made(PAIR), ANSWERS[serving], TAKEN[chosen])
    assert bool(words) == (serving == "primary" and chosen != "standby")
    assert not words or words.startswith("PostgreSQL on hub1 takes writes, on hub2 it "), words
    assert filters.switchover_hindrance(PAIR, ANSWERS[serving], TAKEN[chosen]) == words


@pytest.mark.parametrize("receiver", [None, {}, {"status": "waiting"}])
def test_a_standby_that_does_not_stream_could_not_take_over(receiver):
    words = switchover.hindrance(made(PAIR), ANSWERS["primary"], dict(ANSWERS["standby"], receiver=receiver))
    assert words == "PostgreSQL on hub2 is a standby and does not stream"
    assert not switchover.hindrance(made(PAIR), ANSWERS["clean"], dict(ANSWERS["standby"], receiver=receiver))


# --- how long another run's steps are waited for ----------------------------------------------------------------------

@pytest.mark.parametrize("given", [PAIR, THIRD], ids=["pair", "third"])
def test_patience_is_as_long_as_the_steps_of_a_hub_can_take(given):
    switch = made(given)
    # CHECKPOINT, pg_ctl, which has its time twice, and each address.
    assert switchover.patience(switch) >= 60 + (2 * 60 + 10) + 60 * len(switch.serving.addresses)
    every = (switchover.steps(switch), switchover.back(switch), switchover.serve(switch, True))
    assert {item.patience for item in every} == {switchover.patience(switch)}
    assert all(leg.patience == item.patience for item in every for leg in item.legs())
    for item in every:
        for name in ("hub1", "hub2", "hub3"):
            assert sum(switchover.longest(step) for step in item.steps if step.where == name) <= item.patience
    longer = made(dict(given, stop_timeout=600))
    assert switchover.patience(longer) >= 3 * 600 and model.Steps().patience == 0


# --- the executor -----------------------------------------------------------------------------------------------------

class Killed(BaseException):
    """The executor is killed."""


class Hubs:
    """Two hubs that do steps, a transport to them, and what goes wrong with it."""

    def __init__(self, given):
        self.switch = made(given)
        self.one, self.two = self.switch.serving.name, self.switch.chosen.name
        self.state = {self.one: State.PRIMARY, self.two: State.STANDBY}
        self.promoted = False
        self.behind = False         # the standby does not replay what it has received
        self.addresses = {self.one} if self.switch.serving.addresses else set()
        self.marked, self.held = set(), False
        self.away = set()           # hubs that cannot be reached
        self.late = {}              # {hub: steps that it still does, before the next one}
        self.wrong = {}             # {number of a step: what goes wrong with it}
        self.unheard = False        # a question was without an answer
        self.streams = True         # the standby
        self.silent = {}            # {hub: how often it does not answer yet}
        self.log = []

    def perform(self, step, found):
        number = len(self.log)
        self.log.append("%s %s" % (step.where, step.id))
        wrong = self.wrong.pop(number, None)
        self.unheard = self.unheard or bool(wrong and step.kind is Kind.LOOK)
        if wrong in ("kill", "lose"):
            self.away |= {step.where} if wrong == "lose" else set()
            raise Killed if wrong == "kill" else execute.Unreachable("%s is lost" % step.where)
        if step.where in self.away:
            raise execute.Unreachable("%s cannot be reached" % step.where)
        if wrong == "fail":
            raise HubError("it does not work")
        if wrong == "late":
            if step.kind is Kind.LOOK:
                raise execute.Unreachable("the answer of %s was lost" % step.where)
            self.late.setdefault(step.where, []).append((step, dict(found)))
            raise execute.Unreachable("the connection to %s broke" % step.where)
        if step.kind is Kind.LOOK and self.silent.get(step.where):
            self.silent[step.where] -= 1
            raise HubError("the database system is in recovery mode", stopping=False)
        if step.kind is Kind.LOOK:
            return perform.Done(False, {"answer": self.answer(step.where)})
        for late, values in self.late.pop(step.where, []):
            try:
                self.do(late, values)
            except HubError:
                pass  # nobody hears of it
        done = self.do(step, found)
        if wrong in ("answer", "answer and lose"):
            self.away |= {step.where} if wrong != "answer" else set()
            raise execute.Unreachable("the answer of %s was lost" % step.where)
        if wrong == "kill after":
            raise Killed
        return done

    def answer(self, where):
        name = self.state[where].value
        if name == "standby" and not self.streams:
            return dict(ANSWERS[name], receiver=None)
        return (TAKEN if where == self.two and self.promoted else ANSWERS)[name]

    def do(self, step, found):
        before, values = self.state[step.where], step.values(found)
        if step.before and before not in step.before:
            raise HubError("%s is %s before %s" % (step.where, before, step.id))
        result = {}
        if step.kind is Kind.STOP:
            self.state[step.where] = State.CLEAN if before is State.PRIMARY else before
            result = {"lsn": "0/5000028"}
        elif step.kind is Kind.DEMOTE:
            self.state[step.where] = State.DEMOTED
        elif step.kind is Kind.UNDEMOTE:
            self.state[step.where] = State.CLEAN if before is State.DEMOTED else before
        elif step.kind is Kind.PROMOTE and before is State.STANDBY:
            assert values["after"]
            if self.behind:
                raise HubError("rows would be lost")
            self.state[step.where], self.promoted = State.PRIMARY, True
        elif step.kind is Kind.DOWN:
            self.state[step.where] = State.PASSIVE
        elif step.kind is Kind.START:
            self.state[step.where] = {State.PASSIVE: State.STANDBY, State.STANDBY: State.STANDBY}.get(before, State.PRIMARY)
        elif step.kind is Kind.ADDRESSES_ON:
            self.addresses.add(step.where)
        elif step.kind is Kind.ADDRESSES_OFF:
            self.addresses.discard(step.where)
        elif step.kind is Kind.MARK:
            self.marked.add(step.where)
        elif step.kind is Kind.HOLD:
            assert self.marked == {self.one, self.two}, "who ends it must know whose it is"
            self.held = True
        if step.proof and self.state[step.where] not in step.proof:
            raise HubError("%s is %s after %s" % (step.where, self.state[step.where], step.id))
        assert list(self.state.values()).count(State.PRIMARY) < 2, "two hubs take writes: %s" % self.log
        assert len(self.addresses) < 2, self.log
        assert self.held or not self.switch.hold or step.kind is Kind.MARK
        return perform.Done(self.state[step.where] is not before, result)

    def serves(self):
        return [name for name, state in self.state.items() if state is State.PRIMARY]

    def run(self):
        """One run; (outcome, what fails of what it says)."""
        try:
            report = execute.execute(self.switch, self)
        except Killed:
            return "killed"
        who = {"done": [self.two], "back": [self.one], "refused": [self.one]}.get(report.outcome)
        assert who in (None, self.serves()), (report, self.log)
        if report.outcome == "done" and not self.away:
            assert self.addresses == {self.two}
            assert {item.code for item in report.problems} <= ({"HUB_UNREACHABLE"} if self.unheard else set())
        if report.outcome == "back":
            assert self.state[self.two] is State.STANDBY and not self.addresses - {self.one}
        return report.outcome


def test_a_switchover_that_goes_well():
    for given in (PAIR, THIRD):
        hubs = Hubs(given)
        assert hubs.run() == "done" and hubs.run() == "done"


LENGTHS = [(given, number) for given in (PAIR, THIRD) for number in range(2 + len(switchover.steps(made(given)).steps) + 2)]


@pytest.mark.parametrize("wrong", ["lose", "answer", "answer and lose", "late", "fail", "kill", "kill after"])
@pytest.mark.parametrize("given, number", LENGTHS)
def test_a_hub_is_lost_at_each_step(given, number, wrong):
    """Or the executor: whatever happens no two hubs take writes, what it says is true, and the next run ends it."""
    hubs = Hubs(given)
    hubs.wrong = {number: wrong}
    first = hubs.run()
    assert first in ("done", "back", "unknown", "refused", "killed")
    assert first != "unknown" or wrong not in ("fail", "answer", "late"), "nobody was lost: it is to be known"
    hubs.away = set()
    hubs.wrong = {}
    assert [hubs.run() for _again in range(3)][-1] == "done", hubs.log


@pytest.mark.parametrize("second", ["lose", "answer and lose", "fail", "late", "kill", "kill after"])
@pytest.mark.parametrize("given, number", [(given, number) for given in (PAIR, THIRD) for number in range(20)])
def test_it_is_interrupted_while_it_is_taken_back(given, number, second):
    hubs = Hubs(given)
    hubs.behind = True
    hubs.wrong = {number: second}
    hubs.run()
    hubs.away, hubs.wrong = set(), {}
    assert hubs.run() == "back" and hubs.serves() == [hubs.one], hubs.log
    hubs.behind = False
    assert hubs.run() == "done"


def test_a_promotion_that_comes_to_pass_late_is_finished():
    hubs = Hubs(PAIR)
    hubs.wrong = {2 + 5: "late"}
    report = execute.execute(hubs.switch, hubs)
    assert report.outcome == "done" and hubs.log[7] == "hub2 promote" and "the connection to hub2 broke" in report.why
    assert hubs.addresses == {"hub2"}


def test_before_anything_was_done_to_a_database_nothing_is_taken_back():
    hubs = Hubs(PAIR)
    hubs.wrong = {4: "fail"}
    assert execute.execute(hubs.switch, hubs) == execute.Report("refused", "it does not work")
    assert hubs.log[-1] == "hub2 hold"


def test_two_primaries_are_let_alone():
    hubs = Hubs(PAIR)
    hubs.state["hub2"] = State.PRIMARY
    report = execute.execute(hubs.switch, hubs)
    assert report.outcome == "unknown" and hubs.log == 2 * ["hub1 look-serving", "hub2 look-chosen"], "they are asked again"


def test_a_standby_that_does_not_stream_is_found_before_anything_is_stopped():
    hubs = Hubs(PAIR)
    hubs.streams = False
    assert execute.execute(hubs.switch, hubs) == execute.Report("refused", "PostgreSQL on hub2 is a standby and does not stream")
    assert hubs.log == ["hub1 look-serving", "hub2 look-chosen"] and not hubs.marked


@pytest.mark.parametrize("given", [PAIR, THIRD], ids=["pair", "third"])
@pytest.mark.parametrize("which", ["one", "two"])
def test_a_hub_that_is_silent_for_a_while_is_asked_again(given, which):
    """The old primary has stopped, and the chosen one has crashed just then and recovers; or the old one says nothing."""
    hubs = Hubs(given)
    hubs.state[hubs.one] = State.DEMOTED if hubs.switch.demote else State.CLEAN
    hubs.behind = hubs.held = True
    hubs.silent = {getattr(hubs, which): 1}
    answers = execute.known(hubs.switch, hubs)
    report = execute.settle(hubs.switch, hubs, "it failed", answers)
    assert report.outcome == "back" and hubs.serves() == [hubs.one], (report, hubs.log)
    hubs.silent = {getattr(hubs, which): 2}
    assert execute.settle(hubs.switch, hubs, "it failed", execute.known(hubs.switch, hubs)).outcome == "unknown"


def test_a_hub_that_is_silent_before_all_is_asked_again_and_nothing_else_is_done():
    hubs = Hubs(PAIR)
    hubs.silent = {"hub2": 1}
    assert execute.execute(hubs.switch, hubs).outcome == "done"
    assert hubs.log[2:5] == ["hub1 look-serving", "hub2 look-chosen", "hub1 mark-serving"]


# --- proof ------------------------------------------------------------------------------------------------------------

SWITCHED = {"hub1": {"role": "stopped", "state": "shut down", "timeline": 1, "current_lsn": "0/5000028",
                     "current_bytes": 0x5000028, "history": [], "system_identifier": pair.SYSTEM},
            "hub2": {"role": "primary", "timeline": 2, "history": [{"timeline": 1, "lsn": "0/50000A0"}],
                     "system_identifier": pair.SYSTEM}}


def test_a_switchover_that_has_lost_nothing():
    assert switchover.switch_problems(SWITCHED, "hub2", "hub1") == []


@pytest.mark.parametrize("old, new, words, code", [
    ({}, {"history": [{"timeline": 1, "lsn": "0/5000028"}]},
     "hub2 left timeline 1 at 0/5000028, hub1 has a checkpoint", "DATA_FORKED"),
    ({}, {"timeline": 3, "history": [{"timeline": 2, "lsn": "0/50000A0"}]}, "they have no past in common", "DATA_FORKED"),
    ({}, {"history": []}, "the history of timeline 2 of hub2 is not known", "DATA_UNPROVEN"),
    ({}, {"system_identifier": pair.OTHER_SYSTEM}, "belongs to database system", "OTHER_SYSTEM"),
    ({"state": "in production"}, {}, "not stopped cleanly (in production)", "STOP_UNCLEAN"),
    ({"role": "primary", "state": None}, {}, "not stopped cleanly (primary)", "STOP_UNCLEAN"),
    ({}, {"role": "standby"}, "hub2 is standby, not the primary", "NO_PRIMARY"),
])
def test_a_switchover_that_is_not_proven(old, new, words, code):
    state = {"hub1": dict(SWITCHED["hub1"], **old), "hub2": dict(SWITCHED["hub2"], **new)}
    found = switchover.switch_problems(state, "hub2", "hub1")
    assert [item.code for item in found] == [code] and words in found[0].problem


def test_what_is_not_proven_reaches_the_role_with_its_code():
    state = dict(SWITCHED, hub2=dict(SWITCHED["hub2"], role="standby"))
    assert filters.switch_problems(state, "hub2", "hub1") == [{
        "code": "NO_PRIMARY", "severity": "error", "host": "hub2", "problem": "PostgreSQL on hub2 is standby, not the primary",
        "remedy": "keep the data of hub1 until you have compared"}]
