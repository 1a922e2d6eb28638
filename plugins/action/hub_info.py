# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs module hub_info and notes the controller's clock around it, so that two hubs' clocks can be compared."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Adds hub.controller_clock {"begin", "end"} (seconds since 1970) to the module's result."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        begin = time.time()
        result.update(self._execute_module(module_name="cfengine.hub_ha.hub_info", task_vars=task_vars))
        if "hub" in result:
            result["hub"]["controller_clock"] = {"begin": begin, "end": time.time()}
        return result
