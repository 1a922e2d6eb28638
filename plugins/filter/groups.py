# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over the names of the inventory's groups.

names: {"hub_ha_hubs_group": NAME, ...}; hub_ha_values is one.
"""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import groups


def run_options(names):
    """See module_utils/hubha/pair/groups.py."""
    return groups.run_options(names)


def of_this_pair(text, names):
    """See module_utils/hubha/pair/groups.py."""
    return groups.of_this_pair(text, groups.run_options(names))


def groups_misplaced(names, hostvars, hosts):
    """Variables that name a group for one of these hosts and do not for the run, as ["VARIABLE (VALUE on HOST)"].

    names: those of the run. hostvars: Ansible's. A play has its hosts before it has any host's variables.
    """
    found = {}
    for host in hosts:
        here = hostvars[host]  # gathers all of the host's variables anew each time
        for variable in (groups.HUBS, groups.THIRD_HUB, groups.CLIENTS):
            if variable in here and here[variable] != names[variable]:
                found.setdefault(variable, "%s (%s on %s)" % (variable, here[variable], host))
    return list(found.values())


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"run_options": run_options, "of_this_pair": of_this_pair, "groups_misplaced": groups_misplaced}
