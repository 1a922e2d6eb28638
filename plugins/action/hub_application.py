# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the application on the controller, and sends it to a hub that has another one."""

from __future__ import annotations

import hashlib
import os
import tempfile

from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import application


class ActionModule(ActionBase):
    """The module is asked with the digest first; the file goes over the connection only when it must."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") != "present":
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        folder = application.folder()
        version = application.collection_version(os.path.dirname(os.path.dirname(folder)))
        content = application.build(application.sources(folder), version)
        arguments.update(sha256=hashlib.sha256(content).hexdigest(), version=version)
        try:
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            if result.get("failed") or not result.get("needed"):
                return result
            handle, local = tempfile.mkstemp(suffix=".pyz")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                self._make_tmp_path()
                remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "hub-ha.pyz")
                self._transfer_file(local, remote)
            finally:
                os.unlink(local)
            self._fixup_perms2([self._connection._shell.tmpdir, remote])
            result.update(self._execute_module(module_args=dict(arguments, src=remote), task_vars=task_vars))
            return result
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
