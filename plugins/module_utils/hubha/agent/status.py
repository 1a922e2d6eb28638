# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hub-ha status`: the pair as this hub sees it, what is wrong with it, and what the guard sees and has done.

It is asked for when things are bad: everything is asked at once, and who has not answered within LIMIT is not known.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core import say
from ..core.problem import Problem
from ..core.run import Completed, HubError, local_runner
from ..health import checks, seen as view, show
from ..health.seen import Part, Seen
from ..pair.copies import UPGRADE
from ..pair.groups import of_this_pair
from ..pair.model import PATH, Pair, load
from ..pg import status as pg_status
from ..pg.client import Postgres
from . import leave
from .guard_state import read
from .questions import MARGIN, Ahead, Runner, ask_all

ANSWER = 0.95  # seconds from the start of this program until the answer is made; 1 s is promised
LEAST = 0.6    # seconds that questions have in any case, on a machine that took longer to start this program
TAKES = 0.3  # seconds until a host that takes no connection counts as away
# What cluster's observe() runs one after the other, begun at once.
CLUSTER = (("crm_mon", "--one-shot", "--inactive", "--output-as=xml"), ("cibadmin", "--query"),
           ("corosync-cfgtool", "-s"), ("corosync-cfgtool", "-n"), ("corosync-quorumtool", "-s"))
RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"


# --- the guard --------------------------------------------------------------------------------------------------------

def kept_off(node: str, cluster: Part) -> Dict[str, Any]:
    """{"forked", "gave_up"}: why this hub's database stays stopped, as pacemaker knows it; None: it does not say so.

    "asked": whether pacemaker has answered, and this hub is in the cluster. node: of this hub. cluster: as in Seen.
    """
    nodes = cluster.value.get("nodes") or [] if cluster.known else []
    found: Mapping[str, Any] = next((item for item in nodes if item["name"] == node), {})
    attributes = found.get("attributes") or {}
    return {"asked": bool(found.get("online")), "forked": attributes.get(checks.FORKED),
            "gave_up": attributes.get(checks.GAVE_UP)}


def keeps(found: Mapping[str, Any]) -> List[str]:
    """Lines of what keeps failover or this hub's database off, each with what to do."""
    lines = []
    if found.get("idle"):
        lines.append("maintenance  NO FAILOVER, and the guard does nothing: %s; "
                     'docs/operate.md, "Maintenance mode" (CLUSTER_MAINTENANCE)' % found["idle"])
    if found.get("asked") is False:
        lines.append("pacemaker    does not answer: whether it keeps PostgreSQL off this hub is not known; "
                     "systemctl status corosync pacemaker")
    if found.get("forked"):
        lines.append('forked       PostgreSQL stays stopped here: %s; docs/operate.md, "Clone it anew" (FORKED)'
                     % found["forked"])
    if found.get("gave_up"):
        lines.append("given up     PostgreSQL stays stopped here: %s; mend the cause, then: hub-ha retry "
                     "(RESOURCE_GIVEN_UP)" % found["gave_up"].replace("_", " "))
    return lines


def guard_text(found: Mapping[str, Any]) -> str:
    """What the guard says, for people. found: see answer()."""
    wrong = found.get("pair_file")
    wrong = "%s: playbooks/upgrade-to-ha.yml writes it (PAIR_FILE)" % wrong if wrong else ""
    if not found["running"]:
        lines = ["The guard does not run on this hub: systemctl status cfengine-hub-ha-guard"]
        return "\n".join(lines + keeps(found) + [wrong] * bool(wrong))
    delivers = (found.get("corosync") or {}).get("silent") is not None
    lines = [
        "guard        %s, %s" % (found.get("version", "?"), {
            "watch": "watching" if found.get("armed") else "waiting for pacemaker",
            "recover": "starting the daemons again: %s" % found.get("reason", "?")}.get(
                found.get("phase", "?"), "phase %s" % found.get("phase", "?"))),
        "daemons      %s" % (", ".join("%s %s" % item for item in (found.get("daemons") or {}).items() if item[1] != "running")
                             or "all running"),
        "corosync     %s" % ("delivers" if delivers else "not connected"),
        "PostgreSQL   %s" % found.get("postgres", "?"),
        "other hub    %s" % other_hub(found.get("peer") or {}, delivers)]
    lines += keeps(found)
    lines += ["pair file    %s" % wrong] * bool(wrong)
    for item in found.get("done") or []:
        lines.append("%s  %s" % (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item["time"])), item["text"]))
    return "\n".join(lines)


def other_hub(peer: Mapping[str, Any], connected: bool) -> str:
    """What this hub's guard knows of the other hub: whether it is in the cluster, and then whether its guard runs.

    peer: {"node", "guard": True, False or None (not known), "absent": seconds since it left the cluster, None while it
    is there or that is not known}. connected: whether corosync delivers to this guard, which knows nothing else of it.
    """
    node, absent = peer.get("node", "?"), peer.get("absent")
    if not connected:
        return "not known how %s is: this guard is not connected to corosync" % node
    if absent is not None:
        return "%s is not in the cluster (since %d s)" % (node, absent)
    if peer.get("guard") is False:
        return "%s is in the cluster, its guard is GONE: on %s: systemctl start cfengine-hub-ha-guard" % (node, node)
    return "%s, guard %s" % (node, "there" if peer.get("guard") else "not known")


# --- the pair ---------------------------------------------------------------------------------------------------------

def pair_file(path: str = PATH) -> Tuple[Optional[Pair], str]:
    """(the pair, what is wrong with this hub's file of it, for the guard's next start; empty when nothing is)."""
    try:
        found = load(path)
    except HubError as error:
        return None, error.message.partition(" -> ")[0]
    return found, "" if found is not None else "%s is missing" % path


def ask_other(pair: Pair, run: Callable[..., Completed], left: Callable[[], float]) -> Any:
    """The other server's evidence.Side; raises HubError with what is heard instead, when it does not answer in time.

    left: seconds that there are.
    """
    def connect(address: Tuple[str, int], _limit: float) -> socket.socket:
        return socket.create_connection(address, TAKES)

    def reach(addresses: Sequence[str], port: int) -> List[str]:
        return leave.taking(addresses, port, connect)

    peer = leave.ask_peer(pair, run, max(0.1, left()), reach, pg_status.NOT_LOWER)
    if peer.side is not None:
        return peer.side
    raise HubError("no connection to port %d of %s" % (pair.port, " or ".join(pair.peer_addresses)) if not peer.here
                   else peer.why or "it takes connections and says nothing")


def observed(run: Callable[..., Completed]) -> Dict[str, Any]:
    """The cluster. What reads a CIB is loaded while its programs run: each start compiles all that it loads."""
    ahead = Ahead(run, CLUSTER)
    from ..cluster import observe
    return observe.observe(ahead)


def idle_here(node: str) -> Optional[str]:
    """Why nothing is looked after here, by the CIB on disk. Loaded here as in observed()."""
    from . import guard_io
    return guard_io.idle(node)


def unit_states(run: Callable[..., Completed]) -> Dict[str, str]:
    """{"guard", "pacemaker": ActiveState}."""
    done = run(["systemctl", "show", checks.GUARD, "pacemaker.service", "--property", "Id,ActiveState"])
    states = {}
    for block in done.out.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        states[values.get("Id", "")] = values.get("ActiveState", "")
    return {"guard": states.get(checks.GUARD, ""), "pacemaker": states.get("pacemaker.service", "")}


def own_addresses(run: Callable[..., Completed]) -> List[str]:
    """Those of this hub's interfaces; raises HubError."""
    found = checks.addresses_of(run(["ip", "-json", "address"]).out)
    if found is None:
        raise HubError("ip -json address prints no JSON")
    return found


def own_files() -> List[Dict[str, Any]]:
    """[{"path", "size"}] of the files that this hub must have of the pair."""
    return [{"path": path, "size": os.stat(path).st_size} for path in (checks.PAIR_FILE, checks.AGENT_CONF)
            if os.path.exists(path)]


def questions(pair: Pair, run: Runner) -> Dict[str, Callable[[], Any]]:
    """What is asked, each in its own thread: the fields of Seen, and "idle", why nothing is looked after here."""
    return {
        "other": lambda: ask_other(pair, run, run.left),
        "database": lambda: pg_status.gather(Postgres(run, pair.bin_dir), pair.data_dir),
        "cluster": lambda: observed(run),
        "units": lambda: unit_states(run),
        "addresses": lambda: own_addresses(run),
        "files": own_files,
        "guard": read,
        "idle": lambda: idle_here(pair.node)}


def since_start() -> float:
    """Seconds since this process began; 0 where /proc does not say."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as stream:
            ticks = int(stream.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def look(pair: Pair, run: Callable[..., Completed] = local_runner, limit: Optional[float] = None,
         asked: Callable[[Pair, Runner], Mapping[str, Callable[[], Any]]] = questions) -> Tuple[Seen, Part]:
    """(what this hub sees, why nothing is looked after here).

    limit: seconds that it may take; None: what is left until ANSWER. Programs are ended a little before, so that their
    questions still say what became of them.
    """
    limit = max(LEAST, ANSWER - since_start()) if limit is None else limit
    found = dict(ask_all(asked(pair, Runner(limit - MARGIN, run)), limit))
    idle, guard = found.pop("idle"), found["guard"]
    if guard.known:
        found["guard"] = Part(guard.value, "", guard.value.get("age"))
    return Seen(pair, **found), idle


def answer(seen: Seen, idle: Part, now: float) -> Dict[str, Any]:
    """What --json prints: the guard's own words, and the pair. now: seconds since 1970."""
    pair, plan = seen.pair, view.plan_of(seen)
    guard = seen.guard.value if seen.guard.known else {"running": False, "age": None}
    found = [replace(item, remedy=of_this_pair(item.remedy, pair.run_options)) for item in view.problems(seen)]
    return dict(
        guard, **kept_off(pair.node, seen.cluster), idle=idle.value if idle.known else None, pair_file="",
        schema=view.SCHEMA, hub=pair.node, other_hub=pair.peer, active=plan["active"] if known_active(seen) else None,
        time=round(now, 3), healthy=not found, problems=[item.to_dict() for item in found],
        picture=show.pair_picture(seen.facts, plan, view.replication_of(seen)),
        parts={name: part.to_dict() for name, part in seen.parts.items()},
        database=seen.database.value if seen.database.known else None,
        other_database=seen.other.value.to_dict() if seen.other.known else None,
        other_guard_age=heard(guard))


def heard(guard: Mapping[str, Any]) -> Optional[float]:
    """Seconds since the other hub's guard was heard last, as this hub's guard has it; None where that is not known."""
    since = (guard.get("peer") or {}).get("heard") if guard.get("running") else None
    return None if since is None else round(since + (guard.get("age") or 0.0), 1)


def known_active(seen: Seen) -> bool:
    """Whether somebody said that the active hub is the active one."""
    active = view.active_hub(seen)
    role = seen.role if active == seen.pair.node else seen.other_role
    return checks.pgsql_status(seen.facts).get(active) == "PRI" or role == "primary"


def no_pair(wrong: str, now: float) -> Dict[str, Any]:
    """answer() of a hub that does not know its pair. wrong: what is wrong with the file."""
    problem = Problem("PAIR_FILE", socket.gethostname(), wrong, "on the controller: " + UPGRADE)
    return dict(read(), pair_file=wrong, schema=view.SCHEMA, hub=None, time=round(now, 3), healthy=False,
                problems=[problem.to_dict()], parts={})


def text(found: Mapping[str, Any], colour: bool = False) -> str:
    """All of it, for people."""
    def painted(word: str, paint: str) -> str:
        return paint + word + PLAIN if colour else word

    lines = [found["picture"], ""] if found.get("picture") else []
    lines += [guard_text(found), ""]
    missing = ["%s (%s)" % (name, part["why"]) for name, part in found["parts"].items() if not part["known"]]
    if missing:
        lines += ["not known    " + "; ".join(missing), ""]
    if found["healthy"]:
        return "\n".join(lines + [painted("The pair is healthy.", GREEN)])
    for item in found["problems"]:
        lines.append("%s: %s\n  -> %s (%s)" % (
            item["host"], item["problem"], item["remedy"], painted(item["code"], RED)))
    return "\n".join(lines + ["", "More of each: hub-ha explain CODE"])


def main(argv: List[str], dummy_version: str) -> int:
    """Exit status 0: healthy, 1: not, or not known, 2: wrong usage or no pair file, 3: the guard does not run."""
    if argv not in ([], ["--json"]):
        say.err("usage: hub-ha status [--json]")
        return 2
    pair, wrong = pair_file()
    if pair is None:
        found = no_pair(wrong, time.time())
    else:
        seen, idle = look(pair)
        found = answer(seen, idle, time.time())
    say.out(json.dumps(found, sort_keys=True) if argv else text(found, sys.stdout.isatty()))
    if pair is None:
        return 2
    return 3 if not found["running"] else 0 if found["healthy"] else 1
