# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives module package_source the package file of the controller."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import is_url
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.package_source import REPOSITORY


class ActionModule(ActionBase):
    """A path is one of the controller; its file is sent into the task's own directory on the host."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = str(arguments.get("source") or REPOSITORY)
        local = None if source == REPOSITORY or is_url(source) else self._loader.path_dwim(os.path.expanduser(source))
        if local is None:
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        try:
            if os.path.isfile(local):
                self._make_tmp_path()
                remote = self._connection._shell.join_path(self._connection._shell.tmpdir, os.path.basename(local))
                self._transfer_file(local, remote)
                self._fixup_perms2([self._connection._shell.tmpdir, remote])
                arguments["source"] = remote
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
