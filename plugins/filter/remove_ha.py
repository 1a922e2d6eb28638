# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for taking a pair apart; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import removal


def removal_plan(infos, settings, looks=None):
    """See hubha/plan/removal.py, removal_plan."""
    return removal.removal_plan(infos, settings, looks)


def single_problems(the_plan, results):
    """See hubha/plan/removal.py, single_problems."""
    return [item.to_dict() for item in removal.single_problems(the_plan, results)]


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"removal_plan": removal_plan, "single_problems": single_problems}
