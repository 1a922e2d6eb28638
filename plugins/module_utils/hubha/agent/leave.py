# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the resource agent asks before it starts or promotes this hub's database: hub-ha may-start, may-promote, retry.

A refusal is the exit status REFUSED and a line "ocf-exit-reason:..." on standard error, which pacemaker shows. Any other
status says that nothing could be found out (no pair file, an error of this program): then the agent goes by its own means.
"""

from __future__ import annotations

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

from ..core import say
from ..core.run import CommandTimeout, Completed, HubError, local_runner
from ..pair.model import Pair, load
from ..pg import conninfo, look
from ..pg.evidence import Kind, Side, Step, relation, verdict
from ..pg.lsn import int_to_lsn
from .guard_state import FOLDER, STOPPED

WHO = "hub_ha_leave"  # by which the other hub's server knows who asks
TAKES = 0.4     # seconds until a host of one's own network that takes no connection counts as away
ANSWERS = 1.5   # seconds that a server has to answer one look
SILENCE = 3.0   # seconds without any answer, over two looks at least, until one that takes connections counts as frozen
PATIENCE = 8.0  # seconds that a promotion waits for the other server to end: its guard stops it within 3
STILL, AGAIN = 0.5, 2  # seconds more than a look can take: it is not believed, so many times
SETTLES = 1.0   # seconds that the network has after that: addresses are looked up anew, bridges and bonds come back
CRASHES, WINDOW = 3, 600.0  # so many crashes within so many seconds, and the database is not started any more
REFUSED = 3
GAVE_UP = "hub_ha-gave_up"
CLEAN = ("shut down", "shut down in recovery")
CONTROL = "global/pg_control"
Crash = Tuple[float, float]  # seconds since boot, and when pg_control was written last


@dataclass(frozen=True)
class Peer:
    """The other hub's server as it answers. here: something takes connections there. side: what it said of itself, None
    when it said nothing at all (frozen). why: what was heard instead of an answer.
    """

    here: bool
    side: Optional[Side] = None
    why: str = ""

    @property
    def primary(self) -> bool:
        """Whether it said that it takes writes."""
        return self.side is not None and self.side.in_recovery is False


def taking(addresses: Sequence[str], port: int, connect: Callable[..., socket.socket] = socket.create_connection) -> List[str]:
    """Those of the addresses that take a connection, in their order; all are tried at once."""
    def one(address: str) -> bool:
        try:
            connect((address, port), TAKES).close()
            return True
        except OSError:
            return False
    if not addresses:
        return []
    with ThreadPoolExecutor(len(addresses)) as pool:
        return [address for address, takes in zip(addresses, pool.map(one, addresses)) if takes]


def ask_peer(pair: Pair, run: Callable[..., Completed] = local_runner, timeout: float = ANSWERS,
             reach: Callable[[Sequence[str], int], List[str]] = taking, settings: Sequence[str] = ()) -> Peer:
    """What the other hub's server says, of these settings too, within about *timeout* seconds."""
    hosts = reach(pair.peer_addresses, pair.port)
    if not hosts:
        return Peer(False)
    silent: List[bool] = []
    answered: List[bool] = []

    def watched(argv: List[str], **more: Any) -> Completed:
        try:
            done = run(argv, **more)
        except CommandTimeout:
            silent.append(True)
            raise
        answered.append(True)
        return done

    words = conninfo.standby(hosts, pair.port, pair.replication_user, WHO, conninfo.options(pair.ha_dir, pair.sslmode))
    side = look.remote_side(watched, pair.bin_dir, pair.db_user, words, pair.peer, timeout, settings=settings)
    if not isinstance(side, look.NoAnswer):
        return Peer(True, side)
    return Peer(True, None, "" if silent and not answered else side.why or "it answered once and then no more")


def behind(mine: Side, peer: Side) -> Optional[str]:
    """Why the other hub's standby is the one to promote: it has all that this one has, and more. None when it has not.

    Of two standbys one is behind at most. What cannot be compared is no reason: somebody has to serve.
    """
    found = relation(mine, peer)
    if found.kind is not Kind.SAME_LINE_BEHIND:
        return None
    return ("%s runs as a standby and has what is missing here (timeline %s at %s, here timeline %s at %s): that hub is to be "
            "promoted; crm_mon -1A says what is against it" % (
                peer.name, peer.timeline, int_to_lsn(peer.position), mine.timeline, int_to_lsn(mine.position)))


def may_promote(pair: Pair, ask: Callable[[], Peer], unpromoted: bool = False,
                clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep,
                own: Callable[[], Side] = Side) -> Optional[str]:
    """Why this hub must not be promoted now, or None.

    Not while the other hub's server takes writes, or answers something that leaves that open: whoever promotes then makes
    two primaries. It is waited for (its cluster daemons may be dead, and its guard is stopping it). A server that says
    nothing at all for SILENCE, in look after look, is frozen or gone. unpromoted: pacemaker, which is in touch with that
    hub, has its server as a standby; believed where the server itself cannot be asked (a password or a certificate that is
    wrong), or nobody would ever serve. A look that took longer than it can take has been interrupted: this machine stood
    still (a snapshot, a migration), nothing that was on its way then has arrived, and what was heard is old. own: looks
    at this hub's server, asked beside another standby only: the agent's scores are of before, and a hub that was off for a
    while still has the one of a standby that streams.
    """
    deadline, quiet, again = clock() + PATIENCE, None, 0
    while True:
        began = clock()
        peer = ask()
        takes = TAKES + (ANSWERS if peer.here else 0)
        if clock() - began > takes + STILL and again < AGAIN:
            deadline, quiet, again = clock() + PATIENCE, None, again + 1
            pause(SETTLES)
            continue
        if not peer.here:
            return None
        if peer.side is not None and peer.side.in_recovery:
            return behind(own(), peer.side)
        if unpromoted and not peer.primary:
            return None
        if peer.side is None and not peer.why:
            if quiet is not None and clock() - quiet >= SILENCE:
                return None
            quiet = began if quiet is None else quiet
        else:
            quiet = None
        if clock() >= deadline:
            break
        pause(0.3)
    if peer.side is not None and peer.primary:
        return ("PostgreSQL on %s takes writes (timeline %s) and does not end: not promoted beside it; see crm_mon and "
                "systemctl status pacemaker corosync on %s" % (pair.peer, peer.side.timeline, pair.peer))
    return ("PostgreSQL on %s runs and does not say whether it takes writes (%s): not promoted beside it; stop it there, or "
            "mend what it says" % (pair.peer, peer.why or (peer.side.why if peer.side is not None else
                                                           "it says nothing any more, since less than %d s" % SILENCE)))


def may_start(pair: Pair, peer: Peer, mine: Optional[Side], locked: bool, data_status: Callable[[], str]) -> Optional[str]:
    """Why this hub's database must not be started as a standby, or None; then the agent's lock has nothing to say.

    peer: the other hub's server. mine: the side of the data here, looked at beside that primary; None where nobody has
    looked, which is no leave beside a primary.
    locked: the agent's PGSQL.lock is there. data_status: the agent's cfpgsql-data-status of this hub.
    """
    if peer.side is not None and peer.primary:
        found = verdict(Side() if mine is None else mine, peer.side, marked=locked)
        if found.step is Step.START:
            return None
        return "the data here may not follow %s: %s; see docs/operate.md, Clone it anew" % (pair.peer, found.relation)
    # Its own agent or the other hub's says of a hub that is behind: DISCONNECT. One that was promoted and killed before its
    # agent could say LATEST still has STREAMING; if that were refused too, nobody would ever start.
    if locked and data_status() in ("DISCONNECT", ""):
        return ("this hub was a primary, and whether its data is the newest is not known: no primary answers (%s). Start the "
                "other hub first" % (peer.why or ("%s is a standby" % pair.peer if peer.side else "%s is away" % pair.peer)))
    return None


def crashed(side: Side) -> bool:
    """Whether the last server on this data ended without a stop. A copy that was never started has not."""
    return not side.running and not side.backup_label and side.state is not None and side.state not in CLEAN


def crashes(before: Sequence[Crash], now: float, mark: Optional[float]) -> List[Crash]:
    """The crashes of this hub's server within the last WINDOW seconds.

    mark: when pg_control was written last, of a server that has crashed, None of one that has not. A crash after which no
    start has come as far as writing it is the same one, however often that was tried.
    """
    known = [item for item in before if 0 <= now - item[0] < WINDOW]
    return known + ([(now, mark)] if mark is not None and mark not in [item[1] for item in known] else [])


class Notes:
    """The crashes of this hub's server, kept until the next boot. folder: where, root's own."""

    def __init__(self, folder: str = FOLDER) -> None:
        self.path = os.path.join(folder, "crashes.json")

    def read(self) -> List[Crash]:
        """None when the file is not there or not ours."""
        try:
            with open(self.path, encoding="ascii") as stream:
                found = json.load(stream)
            return [(float(when), float(mark)) for when, mark in found]
        except (OSError, ValueError, TypeError):
            return []

    def write(self, times: Sequence[Crash]) -> None:
        """By one rename. A full disk is no reason not to start: /run is memory, and the count begins anew."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            with open(self.path + ".new", "w", encoding="ascii") as stream:
                json.dump([list(item) for item in times], stream)
            os.rename(self.path + ".new", self.path)
        except OSError as error:
            say.err("hub-ha: the crash could not be noted: %s" % error)


def refuse(text: str) -> int:
    """Tell pacemaker; returns the exit status."""
    say.err("ocf-exit-reason:" + text)
    return REFUSED


def this_pair() -> Pair:
    """The pair, or HubError where this hub has none."""
    pair = load()
    if pair is None:
        raise HubError("there is no pair on this hub -> run playbooks/upgrade-to-ha.yml")
    return pair


def promote_main(_argv: Sequence[str], _version: str) -> int:
    """hub-ha may-promote: a leave comes with its time on standard output, in seconds since boot as /proc/uptime has them."""
    pair = this_pair()
    asked = [0.0]

    def ask() -> Peer:
        asked[0] = time.clock_gettime(time.CLOCK_BOOTTIME)
        return ask_peer(pair)
    unpromoted = os.environ.get("OCF_RESKEY_CRM_meta_notify_slave_uname", "").lower().split()
    why = may_promote(pair, ask, pair.peer.lower() in unpromoted,
                      own=lambda: look.local_side(local_runner, pair.data_dir, pair.bin_dir, pair.db_user, None, pair.node,
                                                  timeout=ANSWERS))
    if why:
        return refuse(why)
    say.out("%d" % asked[0])
    return 0


def start_main(_argv: Sequence[str], _version: str) -> int:
    """hub-ha may-start: removes the agent's lock where it is proven that it has nothing to say."""
    pair = this_pair()
    lock = os.path.join(pair.tmp_dir, "PGSQL.lock")
    locked = os.path.exists(lock)
    peer = ask_peer(pair, timeout=5.0)

    mine = look.local_side(local_runner, pair.data_dir, pair.bin_dir, pair.db_user, peer.side,
                           pair.node) if peer.primary else None

    def data_status() -> str:
        done = local_runner(["crm_attribute", "-l", "forever", "-N", pair.node, "-n", "cfpgsql-data-status", "-G", "-q"],
                            timeout=10, check=False)
        return str(done.out).strip()

    why = may_start(pair, peer, mine, locked, data_status)
    if why:
        return refuse(why)
    if mine is not None:
        # Only beside a hub that serves: one that is alone goes on trying.
        notes = Notes()
        counts = crashed(mine) and not os.path.exists(STOPPED)
        times = crashes(notes.read(), time.monotonic(), os.stat(os.path.join(pair.data_dir, CONTROL)).st_mtime
                        if counts else None)
        notes.write(times)
        if counts and len(times) >= CRASHES:
            text = "PostgreSQL here crashed %d times within %d minutes" % (len(times), WINDOW // 60)
            local_runner(["attrd_updater", "-N", pair.node, "-n", GAVE_UP, "-U", text.replace(" ", "_")], timeout=10)
            return refuse("%s: it is not started any more. Look into its log, then: hub-ha retry" % text)
    if locked:
        say.err("hub-ha: PGSQL.lock is removed: %s" % (
            "the data here may follow" if peer.primary else "nobody says of this hub that it is behind"))
        os.unlink(lock)
    if os.path.exists(STOPPED):
        os.unlink(STOPPED)
    return 0


def retry_main(_argv: Sequence[str], _version: str) -> int:
    """hub-ha retry: forget the crashes; pacemaker may start the database again."""
    pair = this_pair()
    Notes().write([])
    local_runner(["attrd_updater", "-N", pair.node, "-n", GAVE_UP, "-D"], timeout=10)
    say.out("pacemaker starts PostgreSQL again; look: crm_mon -1A")
    return 0
