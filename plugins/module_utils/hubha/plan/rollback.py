# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A step has failed: does a hub serve, and may its database be started by hand. Pure functions on plain data.

A primary is started only if it is proven that pacemaker leaves the database alone, that no other hub has a primary, and
that no other hub has newer data. Whatever is not proven is a reason to start nothing and to say so.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.problem import Problem
from ..facts import postgres as pg_facts
from ..facts.model import HubFacts, Infos, Results
from ..facts.units import runs
from ..pg.control import RECOVERY_STATES
from ..pg.evidence import Kind
from ..pg.model import Postgres
from ..pg.startup import running_values
from .model import BegunPlan

REMEDY = 'docs/operate.md, "When an upgrade fails"'


def view(plan: BegunPlan) -> BegunPlan:
    """*plan* as this module wants it: "active" is the hub that served when the plan was made.

    In the plan of a removal that is the hub that stays, which may be about to take over. Until it takes writes, the one
    that handed over has the newest data.
    """
    serving = plan.get("serving")
    if not serving or serving == plan["active"]:
        return plan
    return {**plan, "active": serving, "passive": plan["active"]}


def values(result: Mapping[str, Any]) -> Dict[str, str]:
    """{name: value} of what PostgreSQL was running with and its files would not give it again.

    result: of module hub_info when the plan was made, or of an attempt that reached nobody.
    """
    return running_values((result["hub"]["postgres"]["server"] or {}).get("pending") if "hub" in result else None)


def judge(plan: BegunPlan, before: Results, answers: Sequence[Mapping[str, Any]], stage: str) -> Dict[str, Any]:
    """What is there and what may be done.

    plan: see upgrade.make_plan and view(). before: {host: result of hub_info when the plan was made}. answers: results
    of hub_info on each hub just now, as a loop over the hubs registers them. stage: "look"; "waited", when pacemaker
    had its time; "held", when the cluster was put into maintenance and has settled; "started", when PostgreSQL was
    started.
    Returns {"primaries": [hosts that take writes], "lost": {host: why nothing is known of it}, "do": "nothing", "wait",
    "hold", "stop", "start" or "release" (end the maintenance), "ask": host whose pacemaker can be asked or None,
    "managed": whether pacemaker has the database, "adopted": whether it had it before this run, "set_maintenance":
    bool, "maintenance": {"on": whether the cluster is in maintenance mode, "ours": whether this collection's marker is
    there}, "keep": [ids of the resources that an end of it must not interrupt], "why": [{"code", "host", "problem",
    "remedy"}]}.
    """
    old: Infos = {host: result["hub"] for host, result in before.items() if "hub" in result}
    now: Infos = {item["item"]: item["hub"] for item in answers if "hub" in item}
    lost = {item["item"]: reason(item) for item in answers if "hub" not in item}
    adopted = plan["adopted"] or any(info["cluster"]["has_database"] for info in old.values())
    managed = adopted or any(info["cluster"]["has_database"] for info in now.values())
    order = [plan["active"], plan["passive"]]
    verdict: Dict[str, Any] = {
        "primaries": [host for host in order if host in now and now[host]["postgres"]["state"] == "primary"],
        "lost": lost, "do": "nothing", "managed": managed, "adopted": adopted, "set_maintenance": False, "why": [],
        "ask": next((host for host in order if host in now and now[host]["cluster"]["cib_readable"]), None),
        "maintenance": maintenance(now), "keep": [],
    }
    if len(verdict["primaries"]) == 1 and may_release(plan, verdict, now):
        addresses = now[verdict["primaries"][0]]["cluster"]["cib_ips"]
        verdict.update({"do": "release", "keep": ["cfpgsql"] + sorted(addresses)})
    if verdict["primaries"] or stage == "started":
        return verdict
    why = obstacles(plan["active"], plan["passive"], old, now, managed, adopted)
    if not managed:
        verdict["why"] = [item.to_dict() for item in why]
        verdict["do"] = "nothing" if why else "start"
        return verdict
    hub = now.get(plan["active"])
    held = hub is not None and hub["cluster"]["maintenance"]
    if stage == "look" and not held and verdict["ask"]:
        verdict["do"] = "wait"
    elif stage == "held":
        why += [Problem("CLUSTER_MANAGED", host, "pacemaker on %s is not in maintenance mode" % host, REMEDY)
                for host in order if host in now and not leaves_alone(now[host])]
        if not why and hub is not None:
            verdict["do"] = "stop" if hub["postgres"]["state"] == "standby" else "start"
    else:
        if adopted and not held:
            why.insert(0, Problem("CLUSTER_MANAGED", plan["active"], "pacemaker has the database in hand, so nothing "
                                  "was started behind its back", REMEDY))
        elif hub is not None and not hub["cluster"]["cib_readable"]:
            why.append(Problem("CLUSTER_DOWN", plan["active"], "pacemaker does not run on %s, so it cannot be kept "
                               "from the database" % plan["active"], REMEDY))
        if not why:
            verdict.update({"do": "hold", "set_maintenance": not held})
    verdict["why"] = [item.to_dict() for item in why]
    return verdict


def maintenance(now: Infos) -> Dict[str, bool]:
    """{"on", "ours"}; see judge. Where no CIB can be read, the marker tells."""
    told = [info["cluster"]["maintenance"] for info in now.values() if info["cluster"]["cib_readable"]]
    ours = any(info["maintenance_marker"] for info in now.values())
    return {"on": any(told) if told else ours, "ours": ours}


def may_release(plan: BegunPlan, verdict: Mapping[str, Any], now: Infos) -> bool:
    """A hub serves in a maintenance that a run of this collection began: pacemaker may be asked to look at what runs,
    and to go on.

    Only on a pair of before, whose database is pacemaker's, and not in a removal ("serving"), which takes it from
    pacemaker; nor after one that was cut off, which has taken the mask off a unit; nor while the other hub has no
    database yet (on the way back from a third hub). A hub of which nothing is known may be a primary too.
    """
    unit = plan["layout"]["db_unit"]
    states = sorted(info["postgres"]["state"] for info in now.values())
    return bool(states in (["primary", "standby"], ["primary", "stopped"]) and not verdict["lost"]
                and verdict["maintenance"]["ours"] and verdict["adopted"] and "serving" not in plan
                and all(info["units"].get(unit, {}).get("enabled") == "masked" for info in now.values())
                and now[verdict["primaries"][0]]["cluster"]["cib_readable"])


def reason(answer: Mapping[str, Any]) -> str:
    """Why a hub has said nothing, in one line."""
    return " ".join(str(answer.get("msg") or "no answer").split())


def leaves_alone(info: HubFacts) -> bool:
    """True when this hub's pacemaker does nothing with the database: it is in maintenance mode or does not run."""
    if info["cluster"]["cib_readable"]:
        return bool(info["cluster"]["maintenance"])
    return not runs(info, "pacemaker")


def obstacles(active: str, passive: str, before: Infos, now: Infos, managed: bool,
              adopted: bool) -> List[Problem]:
    """Why the hub that was active must not be started as a primary; empty when it may be.

    before, now: {host: facts of module hub_info}, when the run began and at this moment. managed, adopted: see judge().
    """
    why = []
    if active in now:
        postgres = now[active]["postgres"]
        # Adopted only now, and stopped by pacemaker as a standby: still the one that was the primary.
        standby = postgres["state"] == "standby" or postgres["state"] == "stopped" and (
            postgres["standby_signal"] or postgres["control"].get("state") in RECOVERY_STATES)
        if postgres["state"] == "unreachable":
            why.append(silent(active, postgres))
        elif postgres["state"] in ("absent", "foreign"):
            why.append(Problem("DATABASE_MISSING", active, "there is no database in %s on %s"
                               % (postgres["data_dir"], active), REMEDY))
        elif standby and (adopted or not managed):
            why.append(Problem("STANDBY_ONLY", active, "the database on %s is a standby's" % active, REMEDY))
    else:
        why.append(Problem("HUB_UNREACHABLE", active, "nothing can be done on %s" % active, REMEDY))
    if passive not in now:
        # Without pacemaker nothing starts what was cloned there, and nothing was running before.
        if managed or passive not in before or before[passive]["postgres"]["state"] not in ("absent", "stopped"):
            why.append(Problem("HUB_UNREACHABLE", passive,
                               "it is not known whether %s has become the primary" % passive, REMEDY))
    elif active in now:
        why += newer(passive, now[passive]["postgres"], active, now[active]["postgres"])
    return why


def silent(host: str, postgres: Postgres) -> Problem:
    """PostgreSQL of facts["postgres"] runs and does not answer."""
    return Problem("POSTGRES_SILENT", host, "PostgreSQL runs on %s (pid %s) and does not answer: %s"
                   % (host, postgres["pid"], postgres["error"]), REMEDY)


def newer(passive: str, mine: Postgres, active: str, theirs: Postgres) -> List[Problem]:
    """Why the passive hub's data may be the newer one; empty or one. mine, theirs: facts["postgres"] of the two."""
    if mine["state"] == "unreachable":
        return [silent(passive, mine)]
    if mine["state"] in ("absent", "foreign"):
        return []
    found = pg_facts.relation(mine, theirs, passive, active)
    if found.follows or found.kind is Kind.OTHER_SYSTEM:
        return []
    if found.forked:
        return [Problem("DATA_FORKED", passive, "%s was a primary after %s was, or has rows that it lacks (%s)"
                        % (passive, active, found), REMEDY)]
    return [Problem("DATA_UNPROVEN", passive, "whether %s holds newer data than %s is not known (%s)"
                    % (passive, active, found), REMEDY)]


def text(plan: BegunPlan, verdict: Mapping[str, Any], cause: str, notes: Sequence[str], backup: Optional[str],
         check_mode: bool = False) -> str:
    """The last message of a run that failed.

    cause: what failed. notes: sentences about what was done since. backup: directory with what was there before, or
    None. check_mode: whether this run has changed nothing, and saved nothing.
    """
    lines = [("The check found: " if check_mode else "") + cause.strip(), ""]
    if len(verdict["primaries"]) > 1:
        lines.append("BOTH hubs have a primary: %s. Stop one now; docs/operate.md, \"Unplanned failover\"."
                     % " and ".join(verdict["primaries"]))
    elif verdict["primaries"]:
        lines.append("The hub is serving: PostgreSQL takes writes on %s." % verdict["primaries"][0])
    elif verdict["lost"]:
        lines += ["%s takes no writes." % host for host in plan["hubs"] if host not in verdict["lost"]]
        lines.append("Whether %s serves is not known. Look there now." % " or ".join(sorted(verdict["lost"])))
    else:
        lines.append("NO hub takes writes now. Look there now.")
    lines += ["%s cannot be read: %s" % item for item in sorted(verdict["lost"].items())]
    held = verdict.get("maintenance") or {}
    if held.get("on"):
        lines.append("The cluster is in MAINTENANCE MODE: there is no failover, and the guards do nothing. " + (
            "A run of these playbooks began it; the next run of this one, or of playbooks/upgrade-to-ha.yml, ends it. "
            "By hand: %s." % REMEDY if held["ours"] else
            "No run of these playbooks began it, so none ends it: crm_attribute --type crm_config --name "
            "maintenance-mode --delete"))
    lines += ["- " + item for item in notes]
    if not verdict["primaries"]:
        lines += ["- %s (%s)" % (item["problem"], item["code"]) for item in verdict["why"]]
        if verdict["managed"]:
            lines.append("Look at: crm_mon -1rAf on both hubs, %s, journalctl -u pacemaker." % plan["layout"]["pg_log"])
            lines.append("What to do then is in %s." % REMEDY)
        else:
            lines.append("Look on %s at: %s, journalctl -u %s."
                         % (plan["active"], plan["layout"]["pg_log"], plan["layout"]["db_unit"]))
    if check_mode:
        lines.append("This was a check: nothing was changed. What stands in files, and services that are stopped, the "
                     "same command without --check puts right; mend everything else first.")
        return "\n".join(lines)
    if backup:
        lines.append("What was there before is saved on %s in %s." % (plan["active"], backup))
    lines.append("Mend the cause above and run the same command again: it goes on where it stopped.")
    return "\n".join(lines)
