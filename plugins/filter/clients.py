# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for the clients and the keys that they trust; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import keys
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import clients


def client_plan(hub_results, client_results, settings):
    """See hubha/plan/clients.py, client_plan."""
    return clients.client_plan(hub_results, client_results, settings)


def client_failures(the_plan, host):
    """See hubha/plan/clients.py, failures_of."""
    return clients.failures_of(the_plan, host)


def host_key(pair):
    """See hubha/cfengine/keys.py, item_of."""
    return keys.item_of(*pair)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"client_plan": client_plan, "client_failures": client_failures, "host_key": host_key}
