# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A step has failed: does a hub serve, and may its database be started by hand. Pure functions on plain data.

A primary is started only if it is proven that pacemaker leaves the database alone, that no other hub has a primary, and
that no other hub has newer data. Whatever is not proven is a reason to start nothing and to say so.
"""

from __future__ import annotations

from ..facts import postgres as pg_facts
from ..pg.control import RECOVERY_STATES
from ..pg.evidence import Kind

RUNS = ("active", "activating", "reloading")


def view(plan):
    """*plan* as this module wants it: "active" is the hub that served when the plan was made.

    In the plan of a removal that is the hub that stays, which may be about to take over. Until it takes writes, the one
    that handed over has the newest data.
    """
    serving = plan.get("serving")
    if not serving or serving == plan["active"]:
        return plan
    return dict(plan, active=serving, passive=plan["active"])


def judge(plan, before, answers, stage):
    """What is there and what may be done.

    plan: see plan.make_plan and view(). before: {host: result of hub_info when the plan was made}. answers: results of hub_info on
    each hub just now, as a loop over the hubs registers them. stage: "look"; "waited", when pacemaker had its time;
    "held", when the cluster was put into maintenance and has settled; "started", when PostgreSQL was started.
    Returns {"primaries": [hosts that take writes], "lost": {host: why nothing is known of it}, "do": "nothing", "wait",
    "hold", "stop", "start" or "release" (end the maintenance), "ask": host whose pacemaker can be asked or None, "managed": whether pacemaker has the
    database, "adopted": whether it had it before this run, "set_maintenance": bool, "maintenance": {"on": whether the cluster
    is in maintenance mode, "ours": whether this collection's marker is there}, "keep": [ids of the resources that an end of it
    must not interrupt], "why": [sentences]}.
    """
    before = dict((host, result["hub"]) for host, result in before.items() if "hub" in result)
    now = dict((item["item"], item["hub"]) for item in answers if "hub" in item)
    lost = dict((item["item"], reason(item)) for item in answers if "hub" not in item)
    adopted = plan["adopted"] or any(info["cluster"]["has_database"] for info in before.values())
    managed = adopted or any(info["cluster"]["has_database"] for info in now.values())
    order = [plan["active"], plan["passive"]]
    verdict = {
        "primaries": [host for host in order if host in now and now[host]["postgres"]["state"] == "primary"],
        "lost": lost, "do": "nothing", "managed": managed, "adopted": adopted, "set_maintenance": False, "why": [],
        "ask": ([host for host in order if host in now and now[host]["cluster"]["cib_readable"]] + [None])[0],
        "maintenance": maintenance(now), "keep": [],
    }
    if len(verdict["primaries"]) == 1 and may_release(plan, verdict, now):
        addresses = now[verdict["primaries"][0]]["cluster"]["cib_ips"]
        verdict.update({"do": "release", "keep": ["cfpgsql"] + sorted(addresses)})
    if verdict["primaries"] or stage == "started":
        return verdict
    why = obstacles(plan, before, now, managed, adopted)
    if not managed:
        verdict.update({"why": why} if why else {"do": "start"})
        return verdict
    hub = now.get(plan["active"])
    held = hub is not None and hub["cluster"]["maintenance"]
    if stage == "look" and not held and verdict["ask"]:
        verdict["do"] = "wait"
    elif stage == "held":
        why += ["pacemaker on %s is not in maintenance mode" % host for host in order
                if host in now and not leaves_alone(now[host])]
        if not why:
            verdict["do"] = "stop" if hub["postgres"]["state"] == "standby" else "start"
    else:
        if adopted and not held:
            why.insert(0, "pacemaker has the database in hand, so nothing was started behind its back")
        elif hub is not None and not hub["cluster"]["cib_readable"]:
            why.append("pacemaker does not run on %s, so it cannot be kept from the database" % plan["active"])
        if not why:
            verdict.update({"do": "hold", "set_maintenance": not held})
    verdict["why"] = why
    return verdict


def maintenance(now):
    """{"on", "ours"}; see judge. Where no CIB can be read, the marker tells."""
    told = [info["cluster"]["maintenance"] for info in now.values() if info["cluster"]["cib_readable"]]
    ours = any(info["maintenance_marker"] for info in now.values())
    return {"on": any(told) if told else ours, "ours": ours}


def may_release(plan, verdict, now):
    """A hub serves in a maintenance that a run of this collection began: pacemaker may be asked to look at what runs, and to go on.

    Only on a pair of before, whose database is pacemaker's, and not in a removal ("serving"), which takes it from pacemaker; nor
    after one that was cut off, which has taken the mask off a unit; nor while the other hub has no database yet (on the way back
    from a third hub). A hub of which nothing is known may be a primary too.
    """
    unit = plan["layout"]["db_unit"]
    states = sorted(info["postgres"]["state"] for info in now.values())
    return (states in (["primary", "standby"], ["primary", "stopped"]) and not verdict["lost"]
            and verdict["maintenance"]["ours"] and verdict["adopted"] and "serving" not in plan
            and all(info["units"].get(unit, {}).get("enabled") == "masked" for info in now.values())
            and now[verdict["primaries"][0]]["cluster"]["cib_readable"])


def reason(answer):
    """Why a hub has said nothing, in one line."""
    return " ".join(str(answer.get("msg") or "no answer").split())


def leaves_alone(info):
    """True when this hub's pacemaker does nothing with the database: it is in maintenance mode or does not run."""
    if info["cluster"]["cib_readable"]:
        return info["cluster"]["maintenance"]
    return info["units"].get("pacemaker", {}).get("active") not in RUNS


def obstacles(plan, before, now, managed, adopted):
    """Why the hub that was active must not be started as a primary: a list of sentences, empty when it may be."""
    active, passive = plan["active"], plan["passive"]
    why = []
    if active in now:
        postgres = now[active]["postgres"]
        # Adopted only now, and stopped by pacemaker as a standby: still the one that was the primary.
        standby = postgres["state"] == "standby" or postgres["state"] == "stopped" and (
            postgres["standby_signal"] or postgres["control"].get("state") in RECOVERY_STATES)
        if postgres["state"] == "unreachable":
            why.append("PostgreSQL runs on %s (pid %s) and does not answer: %s"
                       % (active, postgres["pid"], postgres["error"]))
        elif postgres["state"] in ("absent", "foreign"):
            why.append("there is no database in %s on %s" % (postgres["data_dir"], active))
        elif standby and (adopted or not managed):
            why.append("the database on %s is a standby's" % active)
    else:
        why.append("nothing can be done on %s" % active)
    if passive not in now:
        # Without pacemaker nothing starts what was cloned there, and nothing was running before.
        if managed or passive not in before or before[passive]["postgres"]["state"] not in ("absent", "stopped"):
            why.append("it is not known whether %s has become the primary" % passive)
    elif active in now:
        why += newer(passive, now[passive]["postgres"], active, now[active]["postgres"])
    return why


def newer(passive, mine, active, theirs):
    """Why the passive hub's data may be the newer one: a list of at most one sentence."""
    if mine["state"] == "unreachable":
        return ["PostgreSQL runs on %s (pid %s) and does not answer: %s" % (passive, mine["pid"], mine["error"])]
    if mine["state"] in ("absent", "foreign"):
        return []
    found = pg_facts.relation(mine, theirs, passive, active)
    if found.follows or found.kind is Kind.OTHER_SYSTEM:
        return []
    if found.forked:
        return ["%s was a primary after %s was, or has rows that it lacks (%s)" % (passive, active, found)]
    return ["whether %s holds newer data than %s is not known (%s)" % (passive, active, found)]


def text(plan, verdict, cause, notes, backup, check_mode=False):
    """The last message of a run that failed.

    cause: what failed. notes: sentences about what was done since. backup: directory with what was there before, or None.
    check_mode: whether this run has changed nothing, and saved nothing.
    """
    lines = [("The check found: " if check_mode else "") + cause.strip(), ""]
    if len(verdict["primaries"]) > 1:
        lines.append("BOTH hubs have a primary: %s. Stop one now; docs/operate.md, \"Unplanned failover\"."
                     % " and ".join(verdict["primaries"]))
    elif verdict["primaries"]:
        lines.append("The hub is serving: PostgreSQL takes writes on %s." % verdict["primaries"][0])
    elif verdict["lost"]:
        silent = [host for host in plan["hubs"] if host not in verdict["lost"]]
        lines += ["%s takes no writes." % host for host in silent]
        lines.append("Whether %s serves is not known. Look there now." % " or ".join(sorted(verdict["lost"])))
    else:
        lines.append("NO hub takes writes now. Look there now.")
    lines += ["%s cannot be read: %s" % item for item in sorted(verdict["lost"].items())]
    held = verdict.get("maintenance") or {}
    if held.get("on"):
        lines.append("The cluster is in MAINTENANCE MODE: there is no failover, and the guards do nothing. " + (
            "A run of these playbooks began it; the next run of this one, or of playbooks/upgrade-to-ha.yml, ends it. By hand: "
            "docs/operate.md, \"When an upgrade fails\"." if held["ours"] else
            "No run of these playbooks began it, so none ends it: crm_attribute --type crm_config --name maintenance-mode --delete"))
    lines += ["- " + item for item in notes]
    if not verdict["primaries"]:
        lines += ["- " + item for item in verdict["why"]]
        if verdict["managed"]:
            lines.append("Look at: crm_mon -1rAf on both hubs, %s, journalctl -u pacemaker." % plan["layout"]["pg_log"])
            lines.append("What to do then is in docs/operate.md, \"When an upgrade fails\".")
        else:
            lines.append("Look on %s at: %s, journalctl -u %s."
                         % (plan["active"], plan["layout"]["pg_log"], plan["layout"]["db_unit"]))
    if check_mode:
        lines.append("This was a check: nothing was changed. What stands in files, and services that are stopped, the same "
                     "command without --check puts right; mend everything else first.")
        return "\n".join(lines)
    if backup:
        lines.append("What was there before is saved on %s in %s." % (plan["active"], backup))
    lines.append("Mend the cause above and run the same command again: it goes on where it stopped.")
    return "\n".join(lines)
