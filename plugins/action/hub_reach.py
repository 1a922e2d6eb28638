# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs module hub_reach and looks for signs of life from the controller at the same time: one wait for all."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import reach


class ActionModule(ActionBase):
    """Adds what the controller sees to the module's result."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        named = self._task.args.get("addresses") or []
        looking = self.look(named)
        result.update(self._execute_module(module_name="cfengine.hub_ha.hub_reach", task_vars=task_vars))
        try:
            seen = looking.result()
            if "reached" in result:
                # Of these only the host knew.
                seen += self.look([address for address in result["addresses"] if address not in named]).result()
                result["reached_here"] = seen
        except Exception as error:
            raise AnsibleActionFail("The controller could not look for signs of life of the hubs, and so cannot say that there are "
                                    "none: %s" % error) from error
        return result

    def look(self, addresses):
        """Signs of life as the module gives them, on their way."""
        given = self._task.args
        return reach.Aside(addresses, given.get("tcp_ports", reach.TCP_PORTS), given.get("udp_ports", reach.UDP_PORTS),
                           float(given.get("timeout", reach.TIMEOUT)))
