# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over the plan of an upgrade; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import firewalls, report, third


def make_plan(infos, settings, probes=None, third_hub=None):
    """See hubha/plan/third.py, make_plan."""
    return third.make_plan(infos, settings, probes, third_hub)


def preflight_text(the_plan):
    """See hubha/plan/report.py, text."""
    return report.text(the_plan)


def firewall_text(changes, closed):
    """See hubha/plan/firewalls.py, text."""
    return firewalls.text(changes, closed)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"make_plan": make_plan, "preflight_text": preflight_text, "firewall_text": firewall_text}
