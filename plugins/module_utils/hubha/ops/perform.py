# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does steps on the hub where it runs: what has to be so before is looked at, then it is done, then it is proved.

Of the kinds in model.py all but HOLD and LOOK, which need much more of the library: hub.py has those.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from ..cluster import resources
from ..core.files import fsync_path, read_text, replace_file
from ..core.run import CommandError, HubError, Runner, local_runner
from ..pg.client import Postgres, ends
from ..pg.control import RECOVERY_STATES
from ..pg.server import postmaster_pid
from ..pg.takeover import Takeover
from .model import WORDS, Found, Kind, State, Step, Steps


@dataclass(frozen=True)
class Done:
    """What came of a step. found: what it has found out, for steps that come later."""

    changed: bool
    found: Mapping[str, Any] = field(default_factory=dict)


class Hub:
    """The hub where this runs. run: the runner. dry_run: tells the changes and makes none. pid: as in Takeover."""

    def __init__(self, run: Runner = local_runner, dry_run: bool = False,
                 pid: Callable[[str], Optional[int]] = postmaster_pid) -> None:
        self.run = run
        self.dry_run = dry_run
        self.pid = pid

    def server(self, values: Mapping[str, Any]) -> Takeover:
        """The database that a step is about. values: its params."""
        return Takeover(Postgres(self.run, values["bin_dir"], values["owner"]), values["data_dir"], values.get("unit"),
                        values["timeout"], self.dry_run, self.pid)


#: (hub, params of the step with what it takes, what the database is: None if that was not asked) -> what came of it
Performer = Callable[[Hub, Mapping[str, Any], Optional[State]], Done]


def state_of(server: Takeover) -> State:
    """What the database is now. Raises HubError, also of one that runs and does not answer."""
    if server.runs():
        try:
            return State.STANDBY if server.in_recovery() else State.PRIMARY
        except CommandError as error:
            if ends(error.message, server.data_dir):
                return State.STOPPING
            raise
    if read_text(os.path.join(server.data_dir, "PG_VERSION")) is None:
        return State.ABSENT
    control = server.postgres.controldata(server.data_dir)["state"]
    told = os.path.exists(os.path.join(server.data_dir, "standby.signal"))
    if control == "shut down":
        return State.DEMOTED if told else State.CLEAN
    if control in RECOVERY_STATES:
        # A promotion takes the file away before it has come to its end.
        return State.PASSIVE if told else State.UNCLEAR
    return State.UNCLEAR if told else State.CRASHED


def perform_all(steps: Steps, found: Found, hub: Hub,
                performers: Optional[Mapping[Kind, Performer]] = None) -> Dict[str, Done]:
    """Does these steps, all of them this hub's, one after the other; {id: what came of it}.

    found: what steps before, also those of other hubs, have found. Raises HubError; its details name the step.
    """
    done: Dict[str, Done] = {}
    known: Dict[str, Any] = dict(found)
    last: Dict[str, State] = {}  # {data directory: what has just been proved of it}
    foreseen = False
    places = [str(step.params["data_dir"]) for step in steps.steps if "data_dir" in step.params]
    with alone(None if hub.dry_run or not places else places[0], steps.patience):
        for step in steps.steps:
            try:
                done[step.id] = perform(step, known, hub, PERFORMERS if performers is None else performers, last, foreseen)
            except HubError as error:
                error.details.setdefault("step", step.id)
                raise
            known[step.id] = done[step.id].found
            foreseen = hub.dry_run and (foreseen or done[step.id].changed)
    return done


def perform(step: Step, found: Found, hub: Hub, performers: Mapping[Kind, Performer], last: Dict[str, State],
            foreseen: bool = False) -> Done:
    """Does one step. last: what has just been proved, and is not asked again; it is kept up to date. foreseen: in a dry
    run, that steps before would have changed the hub, so what has to be so before this one is not so yet."""
    performer = performers.get(step.kind)
    if performer is None:
        raise HubError("a step of kind %s cannot be done here" % step.kind.value)
    values = step.values(found)
    state: Optional[State] = None
    if step.before and not foreseen:
        state = last.pop(values["data_dir"], None) or state_of(hub.server(values))
        if state not in step.before:
            raise HubError("PostgreSQL on %s %s, so this was not done: %s" % (values["data_dir"], WORDS[state], step.id),
                           state=state.value)
    done = performer(hub, values, state)
    if step.proof and not hub.dry_run:
        state = state_of(hub.server(values))
        if state not in step.proof:
            raise HubError("PostgreSQL on %s %s now, so this did not succeed: %s"
                           % (values["data_dir"], WORDS[state], step.id), state=state.value)
        last[values["data_dir"]] = state
    return done


@contextmanager
def alone(directory: Optional[str], patience: float) -> Iterator[None]:
    """Waits for the steps of a run that was cut off and still goes on here. directory: the database's, None: no wait.
    patience: seconds.

    Raises HubError.
    """
    if directory is None or not os.path.isdir(directory):
        yield
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise HubError("another run's steps on %s have not come to their end within %d s"
                                   % (directory, patience))
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def mark(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: "path", "text"."""
    changed = read_text(values["path"]) != values["text"]
    if changed and not hub.dry_run:
        replace_file(values["path"], values["text"].encode(), 0o600, os.geteuid(), os.getegid())
        fsync_path(os.path.dirname(values["path"]))
    return Done(changed)


def stop(hub: Hub, values: Mapping[str, Any], state: Optional[State]) -> Done:
    """values: those of the server."""
    server = hub.server(values)
    ended = state is State.STOPPING and server.down()
    stopped = server.stop()
    return Done(ended or stopped.changed, {"lsn": stopped.lsn})


def demote(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: those of the server, "group". What survives a power cut from here on is a standby."""
    path = os.path.join(values["data_dir"], "standby.signal")
    changed = not os.path.exists(path)
    if changed and not hub.dry_run:
        owner = pwd.getpwnam(values["owner"])
        gid = grp.getgrnam(values["group"]).gr_gid if values.get("group") else owner.pw_gid
        replace_file(path, b"", 0o600, owner.pw_uid, gid)
        fsync_path(values["data_dir"])
    return Done(changed)


def undemote(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: those of the server."""
    path = os.path.join(values["data_dir"], "standby.signal")
    changed = os.path.exists(path)
    if changed and not hub.dry_run:
        os.unlink(path)
        fsync_path(values["data_dir"])
    return Done(changed)


def addresses_on(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: "resources" (ids), "timeout". Their agents leave alone what is here already."""
    if not hub.dry_run:
        resources.force(hub.run, "start", values["resources"], values["timeout"])
    return Done(bool(values["resources"]))


def addresses_off(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: as addresses_on."""
    if not hub.dry_run:
        resources.force(hub.run, "stop", values["resources"], values["timeout"])
    return Done(bool(values["resources"]))


def promote(hub: Hub, values: Mapping[str, Any], state: Optional[State]) -> Done:
    """values: those of the server, "after": the last record of the former primary."""
    if state is State.PRIMARY:
        return Done(False)
    if hub.dry_run:
        return Done(True)
    return Done(True, {"replayed": hub.server(values).promote_running(values["after"])})


def down(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: those of the server."""
    return Done(hub.server(values).down())


def start(hub: Hub, values: Mapping[str, Any], state: Optional[State]) -> Done:
    """values: those of the server, "log"."""
    if state in (State.PRIMARY, State.STANDBY):
        return Done(False)
    if not hub.dry_run:
        hub.server(values).start(values["log"])
    return Done(True)


PERFORMERS: Mapping[Kind, Performer] = {
    Kind.MARK: mark, Kind.STOP: stop, Kind.DEMOTE: demote, Kind.UNDEMOTE: undemote, Kind.ADDRESSES_ON: addresses_on,
    Kind.ADDRESSES_OFF: addresses_off, Kind.PROMOTE: promote, Kind.DOWN: down, Kind.START: start,
}
