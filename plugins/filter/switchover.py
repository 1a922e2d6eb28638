# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for a planned switchover; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops import switchover


def switchover_steps(switch):
    """See hubha/ops/switchover.py, steps."""
    return switchover.steps(switchover.switch_from_dict(switch)).to_dict()


def switchover_verdict(switch, left, chosen):
    """See hubha/ops/switchover.py, after_failure."""
    verdict = switchover.after_failure(switchover.switch_from_dict(switch), left, chosen)
    return {"outcome": verdict.outcome, "why": verdict.why,
            "legs": [{"where": leg.steps[0].where, "steps": leg.to_dict()} for leg in verdict.steps.legs()]}


def switchover_hindrance(switch, serving, chosen):
    """See hubha/ops/switchover.py, hindrance."""
    return switchover.hindrance(switchover.switch_from_dict(switch), serving, chosen)


def switch_problems(replication, keep, left):
    """See hubha/ops/switchover.py, switch_problems."""
    return [item.to_dict() for item in switchover.switch_problems(replication, keep, left)]


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"switchover_steps": switchover_steps, "switchover_verdict": switchover_verdict,
                "switchover_hindrance": switchover_hindrance, "switch_problems": switch_problems}
