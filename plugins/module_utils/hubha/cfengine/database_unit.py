# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a PostgreSQL server that something else has started under its own unit of systemd, with one short gap."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, List, NoReturn, Optional

from ..core.run import CommandError, HubError, Runner
from ..host import units
from ..pg.client import Postgres
from ..pg.server import postmaster_pid, server_address


@dataclass(frozen=True)
class Server:
    """A server and its unit.

    unit: name without ".service". log: for a start without the unit. port: None is what postmaster.pid says. wait:
    seconds that the stop and the start may each take.
    """

    unit: str
    data_dir: str
    log: str
    port: Optional[int] = None
    wait: int = 300

    @property
    def service(self) -> str:
        """The unit's full name."""
        return self.unit + ".service"


@dataclass(frozen=True)
class State:
    """pid: of the server, None while it is stopped. unit: the unit or scope that it is in. active, load: states of the
    server's own unit, None on a host without systemd."""

    pid: Optional[int]
    unit: Optional[str]
    active: Optional[str]
    load: Optional[str]

    def settled(self, server: Server) -> bool:
        """True when the server runs where it should."""
        return bool(self.pid) and self.unit == server.service and self.active == "active"


def look(run: Runner, server: Server) -> State:
    """Where the server runs now."""
    pid = postmaster_pid(server.data_dir)
    own = units.states(run, [server.unit]).get(server.unit, {})
    return State(pid, units.unit_of(pid) if pid else None, own.get("active"), own.get("load"))


def take_over(postgres: Postgres, server: Server, state: State,
              clock: Callable[[], float] = time.monotonic) -> float:
    """Stop and start; returns the seconds in between. Raises HubError, with the server started again if that works.

    Nothing else may look after the server meanwhile. A unit that is not loaded (masked) is refused before anything is
    done.
    """
    if state.load != "loaded":
        raise HubError("%s is %s, so PostgreSQL cannot run under it; nothing was done" % (server.service, state.load))
    run, patience = postgres.run, server.wait + 30
    pg_ctl = postgres.as_owner([postgres.program("pg_ctl"), "-D", server.data_dir, "-w", "-t", str(server.wait)])
    if state.pid:
        # The second one writes only what has come since the first, so the stop has next to nothing left to write.
        postgres.sql("CHECKPOINT;\nCHECKPOINT;\n", timeout=server.wait,
                     **server_address(server.data_dir, server.port))
    began = clock()
    if state.settled(server):
        verb = "restart"
    else:
        if state.pid:
            run(pg_ctl + ["-m", "fast", "stop"], timeout=patience)
        run(["systemctl", "reset-failed", server.service], check=False)
        verb = "start"
    try:
        run(["systemctl", verb, server.service], timeout=patience)
        if not postmaster_pid(server.data_dir):
            raise HubError("systemd has started %s, and no server runs: a condition of the unit may not hold"
                           % server.service)
    except HubError as error:
        start_without_unit(run, pg_ctl, server, error)
    return clock() - began


def start_without_unit(run: Runner, pg_ctl: List[str], server: Server, error: HubError) -> NoReturn:
    """The unit has failed with *error*: start the server by hand. Raises HubError in any case."""
    patience = server.wait + 30
    run(["systemctl", "stop", server.service], check=False, timeout=patience)
    try:
        run(pg_ctl + ["-l", server.log, "start"], timeout=patience)
    except CommandError as second:
        raise HubError("PostgreSQL could not be started, neither by its unit (%s) nor by hand: %s"
                       % (error.message, second.message)) from second
    raise HubError("%s could not start PostgreSQL, so it was started without it and serves: %s"
                   % (server.service, error.message)) from error
