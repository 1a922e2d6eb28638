# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs module hub_info and sets the hub's clock against the controller's, so that two hubs' clocks can be compared."""

from __future__ import annotations

import re
import time

from ansible.plugins.action import ActionBase

GOOD = 0.2  # seconds that a look at the clock may take; after a slower one another is taken
LOOKS = 3


class ActionModule(ActionBase):
    """Adds hub.controller_clock {"begin", "end"} (seconds since 1970) to the module's result.

    The hub's clock was read between the two. The module's own start takes so long that a second would drown in it, so
    the clock is read again by the quickest command that there is, over the connection that is open by now.
    """

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        begin = time.time()
        result.update(self._execute_module(module_name="cfengine.hub_ha.hub_info", task_vars=task_vars))
        if "hub" in result:
            result["hub"]["controller_clock"] = {"begin": begin, "end": time.time()}
            for dummy in range(LOOKS):
                if not self.look(result["hub"]):
                    break
        return result

    def look(self, hub):
        """Read the hub's clock once and note it if that was quicker than before; True when a better look is wanted."""
        begin = time.time()
        done = self._low_level_execute_command("date +%s.%N", sudoable=False)
        end = time.time()
        read = re.match(r"\d+\.\d+$", done["stdout"].strip())
        if not read:
            return False  # no GNU date: the module's own look must do
        if end - begin < hub["controller_clock"]["end"] - hub["controller_clock"]["begin"]:
            hub["controller_clock"] = {"begin": begin, "end": end}
            hub["clock"] = {"begin": float(read.group(0)), "end": float(read.group(0))}
        return end - begin > GOOD
