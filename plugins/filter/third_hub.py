# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for the third hub; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import third


def third_plan(the_plan):
    """See hubha/plan/third.py, widen."""
    return third.widen(the_plan)


def third_obstacles(the_plan, infos):
    """See hubha/plan/third.py, ready."""
    return [item.to_dict() for item in third.ready(the_plan, infos)]


def third_diverged(mine, primary):
    """See hubha/plan/third.py, diverged."""
    return third.diverged(mine, primary)


def third_conninfo(the_plan, host, settings, sources=None):
    """See hubha/plan/third.py, conninfo."""
    return third.conninfo(the_plan, host, settings["sslmode"], settings["user"], sources)


def third_guard(the_plan, settings):
    """See hubha/plan/third.py, guard."""
    return third.guard(the_plan, settings["sslmode"], settings["user"])


def promote_signs(facts, reached, hubs, switched_off):
    """See hubha/plan/third.py, promote_signs."""
    return third.promote_signs(facts, reached, hubs, switched_off)


def promote_verdict(facts, signs, confirmed):
    """See hubha/plan/third.py, promote_verdict."""
    return third.promote_verdict(facts, signs, confirmed)


def promote_stops(verdict, facts, signs, hubs):
    """See hubha/plan/third.py, promote_stops."""
    return third.promote_stops(verdict, facts, signs, hubs)


def promote_unproved(stops, hostvars, names=None):
    """See hubha/plan/third.py, unproved_text."""
    return third.unproved_text(stops, hostvars, names)


def shared_here(ip_json, known):
    """See hubha/plan/third.py, shared_here."""
    return third.shared_here(ip_json, known)


def return_plan(results, settings, third_hub, wanted=None):
    """See hubha/plan/third.py, return_plan."""
    return third.return_plan(results, settings, third_hub, wanted)


def lead_plan(the_plan):
    """See hubha/plan/third.py, lead_plan."""
    return third.lead_plan(the_plan)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "third_plan": third_plan, "third_obstacles": third_obstacles, "third_diverged": third_diverged,
            "third_conninfo": third_conninfo, "third_guard": third_guard, "promote_signs": promote_signs,
            "promote_verdict": promote_verdict, "promote_stops": promote_stops, "promote_unproved": promote_unproved,
            "shared_here": shared_here, "return_plan": return_plan, "lead_plan": lead_plan,
        }
