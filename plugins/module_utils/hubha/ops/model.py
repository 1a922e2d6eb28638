# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A step of an operation on a pair: what is done, on which hub, and what must be so before and after it.

Steps are plain data without secrets: a controller sends them to the hubs, and a hub keeps them for the case that it is
interrupted. A step that was done already is found done when it is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..core.run import HubError

SCHEMA = 1

#: What steps have found out: {id of the step: {name: value}}.
Found = Mapping[str, Mapping[str, Any]]


class Kind(str, Enum):
    """What a step does. Each has its performer in perform.py, or in hub.py."""

    MARK = "mark"                    # notes on the hub that the cluster's maintenance is ours
    HOLD = "hold"                    # the cluster looks away, and rests
    STOP = "stop"                    # a primary ends cleanly; finds "lsn", its last record
    DEMOTE = "demote"                # a stopped server is a standby when it starts again
    UNDEMOTE = "undemote"            # it is none
    ADDRESSES_ON = "addresses_on"    # shared addresses come here
    ADDRESSES_OFF = "addresses_off"  # they go
    PROMOTE = "promote"              # a standby takes writes, once it has replayed the record at "after"
    DOWN = "down"                    # whatever runs there ends
    START = "start"                  # a server that is stopped, or ends at this moment, runs
    LOOK = "look"                    # asks the server how it is; finds "answer"


class State(str, Enum):
    """What a hub's PostgreSQL is; each is in one of these."""

    PRIMARY = "primary"    # takes writes
    STANDBY = "standby"    # replays
    CLEAN = "clean"        # stopped as a primary, cleanly
    CRASHED = "crashed"    # not cleanly
    DEMOTED = "demoted"    # stopped as a primary, cleanly, and told since that it is a standby
    PASSIVE = "passive"    # stopped as a standby
    STOPPING = "stopping"  # ends at this moment
    SILENT = "silent"      # says nothing, so it may take writes
    UNCLEAR = "unclear"    # stopped, and neither a primary nor a standby: ended while it was promoted, for one
    ABSENT = "absent"      # there is no database


#: Each in the words of a message, behind "PostgreSQL".
WORDS = {
    State.PRIMARY: "takes writes", State.STANDBY: "is a standby", State.CLEAN: "is stopped",
    State.CRASHED: "has ended without a clean stop", State.DEMOTED: "is stopped, and a standby from now on",
    State.PASSIVE: "is stopped as a standby", State.STOPPING: "is about to end", State.SILENT: "does not answer, and may take writes",
    State.UNCLEAR: "is stopped, and neither a primary nor a standby", State.ABSENT: "has no database",
}


@dataclass(frozen=True)
class Step:
    """One step.

    id: its name within the list. where: inventory name of the hub. params: what it is done with. takes: {name in params:
    (id of a step before, name of what that one found)}, values that are known only then. before: what the database there
    has to be, one of these; empty: no matter what. proof: the same, once it is done. undo: what takes it back, in this
    order.
    """

    id: str
    where: str
    kind: Kind
    params: Mapping[str, Any] = field(default_factory=dict)
    takes: Mapping[str, Tuple[str, str]] = field(default_factory=dict)
    before: Tuple[State, ...] = ()
    proof: Tuple[State, ...] = ()
    undo: Tuple[Step, ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """As JSON has it."""
        return {"id": self.id, "where": self.where, "kind": self.kind.value, "params": dict(self.params),
                "takes": {name: list(source) for name, source in self.takes.items()},
                "before": [state.value for state in self.before], "proof": [state.value for state in self.proof],
                "undo": [step.to_dict() for step in self.undo]}

    def values(self, found: Found) -> Dict[str, Any]:
        """params, with what steps before have found. Raises HubError when one is missing."""
        values = dict(self.params)
        for name, (source, what) in self.takes.items():
            value = found.get(source, {}).get(what)
            if value is None:
                raise HubError("step %s needs what step %s has found (%s), and that is not known"
                               % (self.id, source, what), step=self.id)
            values[name] = value
        return values


def step_from_dict(given: Mapping[str, Any]) -> Step:
    """The step out of its dict. Raises HubError."""
    try:
        return Step(
            str(given["id"]), str(given["where"]), Kind(given["kind"]), dict(given.get("params") or {}),
            {str(name): (str(source[0]), str(source[1])) for name, source in (given.get("takes") or {}).items()},
            states(given.get("before")), states(given.get("proof")),
            tuple(step_from_dict(item) for item in given.get("undo") or ()))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise HubError("this is no step that is known here (%r): %r" % (error, given))


def states(names: Any) -> Tuple[State, ...]:
    """The states of these names. Raises ValueError."""
    return tuple(State(name) for name in names or ())


@dataclass(frozen=True)
class Steps:
    """A list of steps, in their order. patience: seconds that those of a run that was cut off may still take on a hub."""

    steps: Tuple[Step, ...] = ()
    schema: int = SCHEMA
    patience: int = 0

    def to_dict(self) -> Dict[str, Any]:
        """As JSON has it."""
        return {"schema": self.schema, "patience": self.patience, "steps": [step.to_dict() for step in self.steps]}

    def legs(self) -> List[Steps]:
        """The same in pieces: what is done one after the other on one hub."""
        found: List[List[Step]] = []
        for step in self.steps:
            if found and found[-1][-1].where == step.where:
                found[-1].append(step)
            else:
                found.append([step])
        return [Steps(tuple(leg), self.schema, self.patience) for leg in found]


def steps_from_dict(given: Mapping[str, Any]) -> Steps:
    """The list out of its dict. Raises HubError, also for a list of another schema."""
    if given.get("schema") != SCHEMA or not isinstance(given.get("steps"), Sequence):
        raise HubError("this is no list of steps of schema %d: %r" % (SCHEMA, given.get("schema")))
    return Steps(tuple(step_from_dict(item) for item in given["steps"]), SCHEMA, int(given.get("patience") or 0))
