# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module basebackup as a background job on the host and shows its progress meanwhile."""

from __future__ import annotations

import json
import os
import shlex
import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone import final_text, progress_text

display = Display()

FIRST_POLL = 0.3    # seconds; a small database is copied in less than two
SLOWEST_POLL = 2.0
NEAR_END_POLL = 0.5
SHOW_EVERY = 2.5    # with the slowest poll, two lines are never 5 s apart
# The module writes its result last. When its process is gone and there is none, it was killed.
GONE_AFTER = 60.0
# A network that is away for less than this does not end the run: the job goes on without us.
PATIENCE = 120.0

# One command per poll, cheaper than a module: progress, whether its process lives, whether the job has a result.
POLL = ("cat %(progress)s 2>/dev/null; echo; echo ==; "
        "p=$(sed -n 's/.*\"pid\": *\\([0-9][0-9]*\\).*/\\1/p' %(progress)s 2>/dev/null); "
        "test -n \"$p\" && test -d /proc/\"$p\" && echo alive; echo ==; "
        "grep -q '\"started\": *\\(true\\|1\\)' %(job)s && echo running || echo ended")


class ActionModule(ActionBase):
    """Action plugin of the module basebackup; its result is the module's."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    # What another job that is followed in the same way shows.
    progress_text = staticmethod(progress_text)
    final_text = staticmethod(final_text)

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        result = super().run(tmp, task_vars)
        del tmp
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        if self._task.check_mode or not arguments.get("data_dir"):
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        try:
            self._show = boolean(arguments.get("show_progress", True), strict=False)
            timeout = int(arguments.get("timeout") or 86400) + int(arguments.get("wait_lock") or 300) + 60
        except (TypeError, ValueError):
            # The module says what is wrong with its arguments.
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
            return result
        # Where the module would put it too, unless data_dir is a symbolic link: so both name it.
        parent = os.path.dirname(str(arguments["data_dir"]).rstrip("/"))
        arguments.setdefault("progress_file", os.path.join(parent, ".hub_ha_clone.progress"))
        self._host = self._task.delegate_to or task_vars.get("inventory_hostname", "host")

        job = self._start(arguments, task_vars, timeout)
        if job.get("failed") or "ansible_job_id" not in job:
            result.update(job)
            return result
        answer = self._follow(job, str(arguments["progress_file"]), task_vars, timeout)
        self._say(self.final_text(self._host, answer))
        result.update(answer)
        return result

    def _start(self, arguments, task_vars, timeout):
        """Starts the module as an asynchronous job; returns async_wrapper's answer."""
        # async_wrapper takes its time limit from the task.
        self._task.async_val = timeout
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0
            # async_wrapper removes its own directory; those of later modules are ours to remove again.
            self._cleanup_remote_tmp = True

    def _follow(self, job, progress_file, task_vars, timeout):
        """Polls until the job has ended, showing progress; returns the module's result."""
        started = last_seen = last_alive = time.monotonic()
        last_shown, last_phase, pause, took = started, None, FIRST_POLL, 0.0
        command = POLL % {"progress": shlex.quote(progress_file), "job": shlex.quote(job["results_file"])}
        while True:
            time.sleep(max(FIRST_POLL, pause - took))
            pause = min(SLOWEST_POLL, pause * 1.3)
            asked = time.monotonic()
            try:
                polled = self._low_level_execute_command(command)
                parts = polled.get("stdout", "").split("==")
                if len(parts) < 3:
                    raise AnsibleConnectionFailure("no answer: %s" % polled.get("stderr", "").strip())
            except AnsibleConnectionFailure as error:
                if time.monotonic() - last_seen > PATIENCE:
                    raise AnsibleError(
                        "The host has not answered for %d s, while its base backup may go on by itself. Run again "
                        "when it can be reached: that waits for it. Last error: %s" % (PATIENCE, error))
                self._reset_connection()
                continue
            last_seen = now = time.monotonic()
            took = now - asked
            if "ended" in parts[2]:
                return self._collect(job, task_vars)
            if "alive" in parts[1]:
                last_alive = now
                progress = self._progress(parts[0])
                phase = progress.get("phase")
                if phase and (phase != last_phase or now - last_shown >= SHOW_EVERY):
                    self._say(self.progress_text(self._host, progress))
                    last_shown, last_phase = now, phase
                # Near the end a long pause would be lost time.
                if phase in ("verify", "swap"):
                    pause = min(pause, NEAR_END_POLL)
                elif progress.get("eta_seconds") is not None:
                    pause = min(pause, max(NEAR_END_POLL, progress["eta_seconds"]))
            elif now - last_alive > GONE_AFTER:
                self._cleanup(job)
                return {"failed": True, "kind": "gone",
                        "msg": "The base backup's process on the host is gone without a result (killed, or the host "
                               "was restarted). Nothing is lost: run again, that cleans up or finishes it."}
            if now - started > timeout:
                return {"failed": True, "kind": "timeout",
                        "msg": "The base backup did not end within %d s. See %s on the host." % (
                            timeout, progress_file)}

    def _progress(self, text):
        """The dict in the progress file's text; empty when there is nothing to show."""
        try:
            progress = json.loads(text)
        except ValueError:
            return {}
        if not isinstance(progress, dict) or progress.get("phase") in ("checks", "done"):
            return {}
        return progress

    def _say(self, line):
        """Shows a line, when wanted."""
        if self._show:
            display.display(line)

    def _reset_connection(self):
        """Makes the next command use a new connection."""
        try:
            self._connection.reset()
        except (AttributeError, AnsibleError) as error:
            display.vvv("The connection was not reset: %s" % error)

    def _collect(self, job, task_vars):
        """The module's own result; the job's file is removed."""
        arguments = {"jid": job["ansible_job_id"], "mode": "status", "_async_dir": os.path.dirname(job["results_file"])}
        answer = self._execute_module(module_name="ansible.legacy.async_status", module_args=arguments,
                                      task_vars=task_vars)
        self._cleanup(job)
        for key in ("ansible_job_id", "started", "finished", "results_file"):
            answer.pop(key, None)
        return answer

    def _cleanup(self, job):
        """Removes the job's file, as async_status does with mode=cleanup, but without sending a module."""
        self._low_level_execute_command("rm -f %s" % shlex.quote(job["results_file"]))
