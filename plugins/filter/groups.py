# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over the names of the inventory's groups; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import groups


def run_options(names):
    """See hubha/pair/groups.py, run_options."""
    return groups.run_options(names)


def of_this_pair(text, names):
    """See hubha/pair/groups.py, of_this_pair."""
    return groups.of_this_pair(text, groups.run_options(names))


def groups_misplaced(names, hostvars, inventory_groups):
    """See hubha/pair/groups.py, misplaced."""
    return groups.misplaced(names, hostvars, inventory_groups)


def groups_lacking(names, inventory_groups, needs):
    """See hubha/pair/groups.py, lacking."""
    return groups.lacking(names, inventory_groups, needs)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"run_options": run_options, "of_this_pair": of_this_pair, "groups_misplaced": groups_misplaced,
                "groups_lacking": groups_lacking}
