# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hub-ha status`: what the guard sees and has done."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any, Callable, Dict, List, Mapping

from ..core import say
from ..core.run import HubError
from ..pair.model import PATH, load
from . import guard_io
from .attributes import FORKED
from .guard_service import STATE
from .leave import GAVE_UP

FRESH = 5.0  # seconds; the guard writes every 2
ANSWERS = 0.4  # seconds for each of pacemaker's answers: a status is asked for when things are bad


def read(path: str = STATE, clock: Callable[[], float] = time.time) -> Dict[str, Any]:
    """{"running": bool, "age": seconds or None, and what the guard has written}. What is old is not believed."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {"running": False, "age": None}
    age = max(0.0, clock() - float(found.get("time", 0)))
    alive = os.path.exists("/proc/%s" % found.get("pid"))
    return dict(found, age=round(age, 1), running=alive and age <= FRESH)


def kept_off(node: str, run: Callable[..., Any] = guard_io.run) -> Dict[str, Any]:
    """{"forked", "gave_up"}: why this hub's database stays stopped, as pacemaker knows it; None where it does not say so.

    "asked": whether it has answered both times. node: of this hub. run: as guard_io.run.
    """
    found: Dict[str, Any] = {"asked": True}
    for key, name in (("forked", FORKED), ("gave_up", GAVE_UP)):
        done = run(["attrd_updater", "-Q", "-N", node, "-n", name], ANSWERS)
        told = re.search(r'value="([^"]+)"', done.stdout) if done is not None and done.returncode == 0 else None
        found[key] = told.group(1) if told else None
        # Of an attribute that is not there it says so, and fails.
        if done is None or done.returncode != 0 and "does not exist" not in done.stderr + done.stdout:
            found["asked"] = False
    return found


def hub(path: str = PATH) -> Dict[str, Any]:
    """What keeps failover or this hub's database off: {"idle": why nothing is looked after here}, and kept_off.

    An empty mapping where it is not known which pair this is.
    """
    try:
        pair = load(path)
    except HubError:
        pair = None
    return {} if pair is None else dict(kept_off(pair.node), idle=guard_io.idle(pair.node))


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
        lines.append("given up     PostgreSQL stays stopped here: %s; mend the cause, then: hub-ha retry (RESOURCE_GIVEN_UP)"
                     % found["gave_up"].replace("_", " "))
    return lines


def text(found: Dict[str, Any]) -> str:
    """For people."""
    wrong = found.get("pair_file")
    wrong = "%s: upgrade-to-ha.yml writes it (PAIR_FILE)" % wrong if wrong else ""
    if not found["running"]:
        lines = ["The guard does not run on this hub: systemctl status cfengine-hub-ha-guard"]
        return "\n".join(lines + keeps(found) + [wrong] * bool(wrong))
    lines = [
        "guard        %s, %s" % (found["version"], {
            "watch": "watching" if found["armed"] else "waiting for pacemaker",
            "recover": "starting the daemons again: %s" % found["reason"]}[found["phase"]]),
        "daemons      %s" % (", ".join("%s %s" % item for item in found["daemons"].items() if item[1] != "running")
                             or "all running"),
        "corosync     %s" % ("delivers" if found["corosync"]["silent"] is not None else "not connected"),
        "PostgreSQL   %s" % found["postgres"],
        "other hub    %s" % other_hub(found["peer"], found["corosync"]["silent"] is not None)]
    lines += keeps(found)
    lines += ["pair file    %s" % wrong] * bool(wrong)
    for item in found["done"]:
        lines.append("%s  %s" % (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item["time"])), item["text"]))
    return "\n".join(lines)


def pair_file(path: str = PATH) -> str:
    """What is wrong with this hub's file of the pair, for the guard's next start; empty when nothing is."""
    try:
        found = load(path)
    except HubError as error:
        return error.message.partition(" -> ")[0]
    return "" if found is not None else "%s is missing" % path


def other_hub(peer: Mapping[str, Any], connected: bool) -> str:
    """What this hub's guard knows of the other hub: whether it is in the cluster, and then whether its guard runs.

    peer: {"node", "guard": True, False or None (not known), "absent": seconds since it left the cluster, None while it
    is there or that is not known}. connected: whether corosync delivers to this guard, which knows nothing else of it.
    """
    node, absent = peer["node"], peer.get("absent")
    if not connected:
        return "not known how %s is: this guard is not connected to corosync" % node
    if absent is not None:
        return "%s is not in the cluster (since %d s)" % (node, absent)
    if peer["guard"] is False:
        return "%s is in the cluster, its guard is GONE: on %s: systemctl start cfengine-hub-ha-guard" % (node, node)
    return "%s, guard %s" % (node, "there" if peer["guard"] else "not known")


def main(argv: List[str], dummy_version: str) -> int:
    """Exit status 0 when the guard runs, 3 when not, 2 for wrong usage."""
    if argv not in ([], ["--json"]):
        say.err("usage: hub-ha status [--json]")
        return 2
    found = dict(read(), pair_file=pair_file(), **hub())
    say.out(json.dumps(found, sort_keys=True) if argv else text(found))
    return 0 if found["running"] else 3
