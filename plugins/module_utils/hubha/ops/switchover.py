# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A planned switchover, as a list of steps, and what follows when one of them fails. Pure functions on plain data.

Not through pacemaker, whose agent takes about four seconds for it. With its hands off both hubs a clean stop sends the
standby all that was written; the standby is promoted when it has replayed the last record.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..core.problem import Problem
from ..core.run import HubError
from ..pg import status
from ..pg.control import RECOVERY_STATES
from ..pg.evidence import Kind as Relation, relation
from .model import WORDS, Kind, State, Step, Steps

#: How often its timeout a step on a server can take: a checkpoint, a record or an answer that is waited for, and pg_ctl,
#: which has its time twice.
TIMES = {Kind.STOP: 3, Kind.PROMOTE: 3, Kind.START: 3, Kind.DOWN: 2}
#: Seconds on top of that: two looks at what the database is, and the end of pg_ctl.
MORE = 70
#: Seconds for which a server that runs and does not answer is asked again.
WAIT = 30

Answer = Optional[Mapping[str, Any]]  # of replication_info, or of an attempt to ask; None: nobody was reached


@dataclass(frozen=True)
class Side:
    """One of the two hubs. name: in the inventory. data_dir, bin_dir, owner, group (None: the owner's), log: of its
    PostgreSQL. unit: under which it runs; None: pg_ctl starts and stops it. addresses: ids of the cluster's resources
    that move with the primary, as far as this hub can have them."""

    name: str
    data_dir: str
    bin_dir: str
    owner: str
    log: str
    group: Optional[str] = None
    unit: Optional[str] = None
    addresses: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Switch:
    """What is to be done. serving: the hub that takes writes now; chosen: the one that will.

    demote: whether the former primary is a standby from then on, should it start again. marker: the file that tells a
    later run whose the maintenance is, with marker_text in it; None: it is there already. hold: whether a cluster is to
    be told to look away; it must not act on either of them. ..._timeout: seconds.
    """

    serving: Side
    chosen: Side
    demote: bool = False
    marker: Optional[str] = None
    marker_text: str = ""
    hold: bool = False
    hold_timeout: int = 60
    stop_timeout: int = 60
    promote_timeout: int = 20


@dataclass(frozen=True)
class Verdict:
    """After a switchover that failed. outcome: "done" (the chosen hub takes writes, or will with these steps), "back"
    (the other one goes on, with these steps) or "unknown" (a hub may serve that cannot be asked, or nobody can tell; no
    steps). why: in words, without the full stop."""

    outcome: str
    why: str
    steps: Steps = Steps()


def switch_from_dict(given: Mapping[str, Any]) -> Switch:
    """The switch out of what a role says. Raises HubError."""
    values = dict(given)
    try:
        for name in ("serving", "chosen"):
            own: Dict[str, Any] = dict(values[name])
            values[name] = Side(**dict(own, addresses=tuple(own.get("addresses") or ())))
        switch = Switch(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise HubError("this is no switchover: %s" % error)
    if switch.serving.name == switch.chosen.name:
        raise HubError("this is no switchover: %s is on both sides" % switch.chosen.name)
    for side in (switch.serving, switch.chosen):
        for item in fields(Side):
            if item.name not in ("group", "unit", "addresses") and not (
                    isinstance(getattr(side, item.name), str) and getattr(side, item.name)):
                raise HubError("this is no switchover: %s of %s is %r" % (item.name, side.name, getattr(side, item.name)))
    return switch


def steps(switch: Switch) -> Steps:
    """The list. It is done in this order; interrupted anywhere, the same list finishes it."""
    return Steps(forward(switch), patience=patience(switch))


def patience(switch: Switch) -> int:
    """Seconds that the steps of one hub can take at most, those that do it or those that take it back."""
    return max(sum(longest(step) for step in listed if step.where == side.name)
               for listed in (forward(switch), backward(switch)) for side in (switch.serving, switch.chosen))


def longest(step: Step) -> int:
    """Seconds that a step can take at most on a server or its addresses, by its own timeout; 0 for other kinds."""
    timeout = int(step.params.get("timeout") or 0)
    if step.kind in TIMES:
        return TIMES[step.kind] * timeout + MORE
    return timeout * len(step.params.get("resources") or ())


def forward(switch: Switch) -> Tuple[Step, ...]:
    """The steps of steps()."""
    serving, chosen = switch.serving, switch.chosen
    ended = (State.CLEAN,) + ((State.DEMOTED,) if switch.demote else ())
    found: List[Step] = []
    if switch.marker:
        found += [Step("mark-" + word, side.name, Kind.MARK, {"path": switch.marker, "text": switch.marker_text})
                  for word, side in (("serving", serving), ("chosen", chosen))]
    if switch.hold:
        found.append(Step("hold", chosen.name, Kind.HOLD, {
            "properties": {"maintenance-mode": "true"}, "timeout": switch.hold_timeout}))
    # The server ends when a standby that streams has received the last record.
    found.append(Step("stop", serving.name, Kind.STOP, server(serving, switch.stop_timeout),
                      before=(State.PRIMARY, State.STOPPING) + ended, proof=ended, undo=go_on(switch)))
    if switch.demote:
        # From here on it must not come up as a second primary, not by a reboot either.
        found.append(Step("demote", serving.name, Kind.DEMOTE, server(serving, switch.stop_timeout),
                          before=ended, proof=(State.DEMOTED,), undo=(undemote(switch),)))
    if serving.addresses:
        found.append(Step("addresses-off", serving.name, Kind.ADDRESSES_OFF, addresses(serving, switch), before=ended))
    found.append(Step("promote", chosen.name, Kind.PROMOTE, server(chosen, switch.promote_timeout),
                      takes={"after": ("stop", "lsn")}, before=(State.STANDBY, State.PRIMARY), proof=(State.PRIMARY,),
                      undo=(end_chosen(switch),)))
    if chosen.addresses:
        found.append(Step("addresses-on", chosen.name, Kind.ADDRESSES_ON, addresses(chosen, switch),
                          before=(State.PRIMARY,)))
    return tuple(found)


def looks(switch: Switch) -> Tuple[Step, Step]:
    """The steps that ask both: (the hub that was to hand over, the chosen one). A state that passes is waited for; but
    that the first one is about to end is an answer, it can be started again."""
    serving, chosen = (dict(server(side, switch.stop_timeout), wait=WAIT, wait_for_stop=side is switch.chosen)
                       for side in (switch.serving, switch.chosen))
    return (Step("look-serving", switch.serving.name, Kind.LOOK, serving),
            Step("look-chosen", switch.chosen.name, Kind.LOOK, chosen))


def server(side: Side, timeout: int) -> Dict[str, Any]:
    """params of a step on that hub's database. timeout: seconds."""
    found: Dict[str, Any] = {"data_dir": side.data_dir, "bin_dir": side.bin_dir, "owner": side.owner, "timeout": timeout,
                             "log": side.log}
    found.update({name: value for name, value in (("unit", side.unit), ("group", side.group)) if value})
    return found


def addresses(side: Side, switch: Switch) -> Dict[str, Any]:
    """params of a step on that hub's shared addresses."""
    return dict(server(side, switch.stop_timeout), resources=list(side.addresses))


def go_on(switch: Switch) -> Tuple[Step, ...]:
    """What takes a stop back: the hub that was to hand over serves again."""
    side = switch.serving
    found = [Step("start-serving", side.name, Kind.START, server(side, switch.stop_timeout),
                  before=(State.PRIMARY, State.CLEAN, State.CRASHED, State.STOPPING), proof=(State.PRIMARY,))]
    if side.addresses:
        found.append(Step("addresses-back", side.name, Kind.ADDRESSES_ON, addresses(side, switch),
                          before=(State.PRIMARY,)))
    return tuple(found)


def undemote(switch: Switch) -> Step:
    """What takes "it is a standby from now on" back."""
    as_primary = (State.PRIMARY, State.CLEAN, State.CRASHED, State.STOPPING)
    return Step("undemote", switch.serving.name, Kind.UNDEMOTE, server(switch.serving, switch.stop_timeout),
                before=as_primary + (State.DEMOTED,), proof=as_primary)


def end_chosen(switch: Switch) -> Step:
    """A promotion that is still pending does not come to pass; the proof fails when it has come to pass meanwhile."""
    return Step("end-chosen", switch.chosen.name, Kind.DOWN, server(switch.chosen, switch.stop_timeout),
                before=(State.STANDBY, State.PASSIVE), proof=(State.PASSIVE,))


def hindrance(switch: Switch, serving: Answer, chosen: Answer) -> str:
    """Why the hub that serves must not be stopped now, without the full stop: the chosen one could not take over.

    serving, chosen: as for after_failure(). Empty when it could, and when the other one takes no writes any more: a
    switchover has begun then, which the steps finish or take back.
    """
    gave, took = state_of(serving), state_of(chosen)
    if gave is not State.PRIMARY:
        return ""
    if took is not State.STANDBY:
        return "PostgreSQL on %s %s, on %s it %s" % (switch.serving.name, WORDS[gave], switch.chosen.name, WORDS[took])
    receiver = (chosen or {}).get("receiver") or {}
    if receiver.get("status") != "streaming":
        return "PostgreSQL on %s is a standby and does not stream" % switch.chosen.name
    return ""


def after_failure(switch: Switch, left: Answer, chosen: Answer) -> Verdict:
    """What follows when a step failed, or a hub was lost in it.

    left, chosen: what replication_info says of the hub that was to hand over and of the other one; or the result of an
    attempt that failed, or None. A hub that says nothing may serve.
    """
    gave, took = state_of(left), state_of(chosen)
    here, there = switch.serving, switch.chosen
    both = "PostgreSQL on %s %s, on %s it %s" % (here.name, WORDS[gave], there.name, WORDS[took])
    unknown = Verdict("unknown", both)
    if took is State.PRIMARY:
        return unknown if gave is State.PRIMARY else Verdict("done", both, serve(switch, started=False))
    if State.SILENT in (gave, took):
        return unknown
    if took in (State.CLEAN, State.CRASHED) and gave in (State.CLEAN, State.DEMOTED):
        # The promotion had come to pass when the server was ended.
        found = relation(status.side(left or {}, here.name), status.side(chosen or {}, there.name))
        return Verdict("done", both, serve(switch, started=True)) if found.follows else unknown
    fit = (State.PRIMARY, State.CLEAN, State.CRASHED, State.STOPPING) + ((State.DEMOTED,) if switch.demote else ())
    if took in (State.STANDBY, State.PASSIVE) and gave in fit:
        return Verdict("back", both, back(switch))
    return unknown


def back(switch: Switch) -> Steps:
    """All that takes the switchover back, last things first; then the chosen hub follows again."""
    return Steps(backward(switch), patience=patience(switch))


def backward(switch: Switch) -> Tuple[Step, ...]:
    """The steps of back()."""
    follow = Step("follow", switch.chosen.name, Kind.START, server(switch.chosen, switch.stop_timeout),
                  before=(State.PASSIVE, State.STANDBY), proof=(State.STANDBY,))
    return tuple(undo for step in reversed(forward(switch)) for undo in step.undo) + (follow,)


def serve(switch: Switch, started: bool) -> Steps:
    """The chosen hub, which was promoted, serves. started: whether its server has to be."""
    side = switch.chosen
    found = []
    if started:
        found.append(Step("start-chosen", side.name, Kind.START, server(side, switch.stop_timeout),
                          before=(State.PRIMARY, State.CLEAN, State.CRASHED), proof=(State.PRIMARY,)))
    if side.addresses:
        found.append(Step("addresses-on", side.name, Kind.ADDRESSES_ON, addresses(side, switch), before=(State.PRIMARY,)))
    return Steps(tuple(found), patience=patience(switch))


def state_of(answer: Answer) -> State:
    """What a hub's database is, by what replication_info returned; perform.state_of looks itself, and sees more."""
    if not answer or not answer.get("role"):
        return State.STOPPING if (answer or {}).get("stopping") else State.SILENT
    role, control = answer["role"], answer.get("state")
    if role != "stopped":
        return {"primary": State.PRIMARY, "standby": State.STANDBY, "absent": State.ABSENT}.get(role, State.SILENT)
    if control in RECOVERY_STATES:
        return State.PASSIVE
    as_primary = answer.get("starts_as") == "primary"
    if control == "shut down":
        return State.CLEAN if as_primary else State.DEMOTED
    return State.CRASHED if as_primary else State.UNCLEAR


def switch_problems(replication: Mapping[str, Mapping[str, Any]], keep: str, left: str) -> List[Problem]:
    """After a switchover: why the old primary may have rows that the new one lacks; empty without, or one.

    replication: {host: result of replication_info}. keep: the hub that serves now. left: the hub that was the primary.
    """
    old, new = replication[left], replication[keep]
    remedy = "keep the data of %s until you have compared" % left
    if new.get("role") != "primary":
        return [Problem("NO_PRIMARY", keep, "PostgreSQL on %s is %s, not the primary" % (keep, new.get("role")),
                        remedy)]
    if old.get("role") != "stopped" or old.get("state") != "shut down":
        return [Problem("STOP_UNCLEAN", left, "PostgreSQL on %s was not stopped cleanly (%s)"
                        % (left, old.get("state") or old.get("role")), remedy)]
    found = relation(status.side(old, left), status.side(new, keep))
    if found.follows:
        return []
    code = "OTHER_SYSTEM" if found.kind is Relation.OTHER_SYSTEM else "DATA_FORKED" if found.forked else "DATA_UNPROVEN"
    return [Problem(code, left, str(found), remedy)]
