# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Goes through a switchover's steps without Ansible, as a service on the hubs will.

How a step comes to the hub where it is done is the transport's business; that over the network comes with the service.
Role switchover is the other executor of the same list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Protocol, Tuple

from ..core.problem import Problem
from ..core.run import HubError
from .model import Found, State, Step
from .perform import Done
from .switchover import Answer, Switch, Verdict, after_failure, hindrance, looks, state_of, steps, switch_problems

#: How often the steps that follow from what the hubs are can be tried: a promotion may come to pass just then.
ROUNDS = 2


class Unreachable(HubError):
    """The hub of a step was not reached, or its answer was not: the step may have been done, or be under way."""


class Transport(Protocol):
    """Has steps done where they belong."""

    def perform(self, step: Step, found: Found) -> Done:
        """perform.perform on the hub step.where. Raises Unreachable, and HubError when the step failed there."""


@dataclass(frozen=True)
class Report:
    """What came of it. outcome: "done", "back", "unknown" as in switchover.Verdict, or "refused": it failed before
    anything was done to a database. why: what failed, and how the hubs are. problems: of one that is done, whether every
    row came over."""

    outcome: str
    why: str = ""
    problems: Tuple[Problem, ...] = ()


def execute(switch: Switch, transport: Transport) -> Report:
    """Does the switchover, or goes on with one that was interrupted; when a step fails, finishes it or takes it back."""
    answers = known(switch, transport)
    gave, took = map(state_of, answers)
    if took not in (State.STANDBY, State.PRIMARY) or gave is took:
        # One that was interrupted while it was taken back, for one. The chosen hub has to be there before the other stops.
        return settle(switch, transport, "%s cannot take over" % switch.chosen.name, answers)
    cause = hindrance(switch, *answers)
    if cause:
        return Report("refused", cause)
    found: Dict[str, Mapping[str, Any]] = {}
    begun = False
    for step in steps(switch).steps:
        begun = begun or bool(step.undo)
        try:
            found[step.id] = transport.perform(step, found).found
        except HubError as error:
            if not begun:
                return Report("refused", error.message)
            return settle(switch, transport, error.message, known(switch, transport))
    return Report("done", "", proof(switch, transport))


def settle(switch: Switch, transport: Transport, cause: str, answers: Tuple[Answer, Answer]) -> Report:
    """After a step that failed. cause: in words. answers: of known()."""
    for left in reversed(range(ROUNDS)):
        verdict = after_failure(switch, *answers)
        try:
            for step in verdict.steps.steps:
                transport.perform(step, {})
            break
        except HubError as error:
            cause = "%s; then %s" % (cause, error.message)
            verdict = Verdict("unknown", verdict.why)
            answers = known(switch, transport) if left else answers
    return Report(verdict.outcome, "%s: %s" % (cause, verdict.why),
                  proof(switch, transport) if verdict.outcome == "done" else ())


def known(switch: Switch, transport: Transport) -> Tuple[Answer, Answer]:
    """ask(), once more where it does not tell what is to be done: a hub that says nothing may, a moment later."""
    answers = ask(switch, transport)
    return answers if after_failure(switch, *answers).outcome != "unknown" else ask(switch, transport)


def ask(switch: Switch, transport: Transport) -> Tuple[Answer, Answer]:
    """What both hubs are: (the one that was to hand over, the chosen one)."""
    answers = []
    for step in looks(switch):
        try:
            answers.append(transport.perform(step, {}).found["answer"])
        except HubError as error:
            answers.append({**error.details, "msg": error.message})
    return answers[0], answers[1]


def proof(switch: Switch, transport: Transport) -> Tuple[Problem, ...]:
    """Why it is not proven that every row came over; empty when it is."""
    answers = dict(zip((switch.serving.name, switch.chosen.name), ask(switch, transport)))
    silent = tuple(Problem("HUB_UNREACHABLE", name, "it does not answer after the switchover, so nothing is proven",
                           "make it answer, and keep the data of %s until you have compared" % switch.serving.name)
                   for name, answer in answers.items() if state_of(answer) is State.SILENT)
    return silent or tuple(switch_problems({name: answer or {} for name, answer in answers.items()}, switch.chosen.name,
                                           switch.serving.name))
