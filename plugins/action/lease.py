# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells module lease which run this is, and whether the process of the run that has the lease is gone."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import platform
import subprocess

from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import lease


def started(pid):
    """When that process of this machine was started, as a text; None when there is none, "hidden" for one of another
    user that is not shown.
    """
    if os.path.isdir("/proc/self"):
        since = ansible_run.started(pid)
        return since if since is not None else lease.HIDDEN if pid > 0 and ansible_run.hidden(pid) else None
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], stdout=subprocess.PIPE, check=False, text=True)
    return done.stdout.strip() or None


def first_line(path):
    """Of a small file, "" where there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.readline().strip()
    except OSError:
        return ""


def controller():
    """What tells this run from all others: {"host", "machine", "boot", "space", "pid", "started"}."""
    # The parent that has started this worker, also when it is gone by now and another one has taken its children.
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else os.getppid()
    boot, dummy, space = (ansible_run.place() or "").partition(" ")
    return {"host": platform.node(), "machine": first_line("/etc/machine-id"), "boot": boot, "space": space,
            "pid": pid, "started": started(pid) or "gone"}


def user():
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class ActionModule(ActionBase):
    """Action plugin of the module lease; its result is the module's."""

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        result = super().run(tmp, task_vars)
        mine = controller()
        given = dict(self._task.args, run=lease.run_id(mine), who="%s@%s" % (user(), mine["host"]), controller=mine)
        word, host = given.pop("takeover", ""), (task_vars or {}).get("inventory_hostname", "hub")
        found = self.take(given, task_vars)
        if found.get("why") == "held":
            holder = lease.Holder.from_dict(found["holder"])
            alive = lease.controller_alive(holder.controller, mine, started(holder.controller.get("pid") or 0))
            if alive is False:
                found = self.take(dict(given, dead=holder.run), task_vars)
            elif alive is None and word:
                found = self.take(dict(given, takeover=word), task_vars)
            if found.get("why") == "held":
                found["refused"] = str(lease.refusal(host, lease.Verdict(False, "held", holder), found["age"], alive))
        if found.get("why") == "changed":
            found["refused"] = str(lease.refusal(host, lease.Verdict(False, "changed"), 0.0, None))
        result.update(found)
        return result

    def take(self, args, task_vars):
        """One run of the module."""
        return self._execute_module(module_name="cfengine.hub_ha.lease", module_args=args, task_vars=task_vars)
