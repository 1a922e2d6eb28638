# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module backup_database as a background job on the host and shows its progress meanwhile."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.action import basebackup
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup as full_backup


class ActionModule(basebackup.ActionModule):
    """Action plugin of the module backup_database; its result is the module's."""

    progress_text = staticmethod(full_backup.progress_text)
    final_text = staticmethod(full_backup.final_text)

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        self._task.args = dict(self._task.args, run=ansible_run.name())
        return super().run(tmp, task_vars)
