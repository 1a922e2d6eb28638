# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kills ansible-playbook with SIGKILL: in a named task, or in the task after a number of changes.

Environment: CUT_CHANGES (number of changed tasks after which the next task is cut), CUT_DELAY (seconds into that task),
CUT_TASKS (JSON: {part of a task's name: seconds into it}), CUT_NOTE (file to which the cut task's name is written).
"""

from __future__ import annotations

import json
import os
import signal
import threading

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: cut_off
type: aggregate
short_description: Kills ansible-playbook in the middle of its work
description: For the test that a run that was cut off is finished by the next one.
options: {}
"""


class CallbackModule(CallbackBase):
    """Counts changed tasks and pulls the trigger."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "cut_off"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.left = int(os.environ.get("CUT_CHANGES", "0"))
        self.tasks = json.loads(os.environ.get("CUT_TASKS", "{}"))
        self.changed_task = None

    def cut(self, task, delay):
        """End this process *delay* seconds from now. At once means before the task begins: a task's worker, once it
        runs, outlives this process and does its work."""
        def kill():
            with open(os.environ["CUT_NOTE"], "w", encoding="utf-8") as note:
                note.write(task.get_name())
            os.kill(os.getpid(), signal.SIGKILL)
        if delay:
            threading.Timer(delay, kill).start()
        else:
            kill()

    def v2_playbook_on_task_start(self, task, is_conditional):
        """Cut here, when it is time."""
        name = task.get_name()
        for part, delay in self.tasks.items():
            if part in name:
                self.cut(task, delay)
        if self.changed_task:
            self.changed_task = None
            self.left -= 1
            if self.left == 0:
                self.cut(task, float(os.environ.get("CUT_DELAY", "0")))

    def v2_runner_on_ok(self, result):
        """Note that this task has changed something."""
        if result.is_changed():
            self.changed_task = True
