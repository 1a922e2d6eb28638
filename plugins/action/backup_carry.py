# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries a full backup between a host and the controller in pieces."""

from __future__ import annotations

import base64
import os
import shlex
import time

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import sha256
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import human
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    backup_format,
    full_backup,
)

display = Display()

PIECE = 8 << 20
SHOW_EVERY = 2.5


class ActionModule(ActionBase):
    """See modules/backup_carry.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """See ActionBase.run()."""
        result = super().run(tmp, task_vars)
        del tmp
        arguments = self._task.args
        state, remote, local = (str(arguments[key]) for key in ("state", "remote", "local"))
        target = local if state == "fetched" else remote
        result.update(changed=True, bytes=0, diff={"before": "", "after": "%s\n" % target})
        if self._task.check_mode:
            return result
        self.host = self._task.delegate_to or (task_vars or {}).get("inventory_hostname", "host")
        self.words = "to the controller" if state == "fetched" else "from the controller"
        self.show = boolean(arguments.get("show_progress", True), strict=False)
        self.done, self.total, self.shown = 0, 0, time.monotonic()
        # What passes here are private keys too: nothing of it is for anybody's eyes, at -vvv either.
        self._connection._play_context.no_log = True  # pylint: disable=protected-access
        result["bytes"] = self.fetch(remote, local) if state == "fetched" else self.send(local, remote)
        result["changed"] = result["bytes"] > 0
        return result

    def command(self, text, data=None, allowed=(0,)):
        """Output of a shell command on the host; data: bytes for its standard input."""
        done = self._low_level_execute_command(text, in_data=data)
        if done["rc"] not in allowed:
            raise AnsibleActionFail("%s: %s" % (self.host, (done.get("stderr") or "no answer").strip()))
        return done["stdout"]

    def say(self, size):
        """A line when it is time."""
        self.done += size
        if self.show and time.monotonic() - self.shown >= SHOW_EVERY:
            self.shown = time.monotonic()
            display.display("[%s] backup %s  %d %%  %s of %s" % (
                self.host, self.words, self.done * 100 // max(1, self.total), human(self.done), human(self.total)))

    def members(self, text):
        """What the manifest names; the total is known then."""
        try:
            members = backup_format.parse_manifest(text)["members"]
        except ValueError as error:
            raise AnsibleActionFail("the backup cannot be carried: %s" % error)
        self.total = sum(item["bytes"] for item in members)
        return members

    def fetch(self, remote, local):
        """From the host to the controller; returns bytes copied."""
        text = self.command("cat %s" % shlex.quote(os.path.join(remote, backup_format.MANIFEST)))
        copied = 0
        for folder in (os.path.dirname(local), local):  # of several, makedirs gives the mode to the last one only
            os.makedirs(folder, mode=0o700, exist_ok=True)
        full_backup.mark(local, ansible_run.name(), False)
        # A sign of life with each piece, for runs on other controllers.
        alive = "touch -c %s; " % shlex.quote(os.path.join(remote, backup_format.RUN))
        for entry in self.members(text):
            target = os.path.join(local, entry["name"])
            if os.path.exists(target) and sha256(target) == entry["sha256"]:
                self.say(entry["bytes"])
                continue
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
                for offset in range(0, entry["bytes"], PIECE):
                    data = base64.b64decode(self.command(
                        alive + "dd if=%s bs=%d skip=%d count=1 status=none | base64 -w 0" % (
                            shlex.quote(os.path.join(remote, entry["name"])), PIECE, offset // PIECE)))
                    handle.write(data)
                    self.say(len(data))
                handle.flush()
                os.fsync(handle.fileno())
            if sha256(target) != entry["sha256"]:
                raise AnsibleActionFail("%s is not what was saved: the backup on %s, in %s, is damaged"
                                        % (target, self.host, remote))
            copied += entry["bytes"]
        manifest = os.path.join(local, backup_format.MANIFEST)
        with open(os.open(manifest + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(manifest + ".new", manifest)
        os.unlink(os.path.join(local, backup_format.RUN))
        return copied + len(text)

    def send(self, local, remote):
        """From the controller to the host; returns bytes copied."""
        with open(os.path.join(local, backup_format.MANIFEST), "rb") as handle:
            text = handle.read()
        members = self.members(text.decode("utf-8"))
        self.command("umask 077; mkdir -p %s" % shlex.quote(remote))
        sums = self.command("cd %s && sha256sum -- %s 2>/dev/null" % (
            shlex.quote(remote), " ".join(shlex.quote(item["name"]) for item in members)), allowed=(0, 1))
        there = {name: digest for digest, unused_space, name in (line.partition("  ") for line in sums.splitlines())}
        copied = 0
        for entry in members:
            if there.get(entry["name"]) == entry["sha256"]:
                self.say(entry["bytes"])
                continue
            copied += self.send_file(os.path.join(local, entry["name"]), os.path.join(remote, entry["name"]))
            if self.command("sha256sum -- %s" % shlex.quote(os.path.join(remote, entry["name"]))).split()[0] \
                    != entry["sha256"]:
                raise AnsibleActionFail("%s is not what was saved: the backup on the controller is damaged, or it "
                                        "changed on its way; run again" % entry["name"])
        manifest = shlex.quote(os.path.join(remote, backup_format.MANIFEST))
        if copied or self.command("cat %s 2>/dev/null" % manifest, allowed=(0, 1)).encode("utf-8") != text:
            self.command("umask 077; cat >%s.new && mv %s.new %s" % (manifest, manifest, manifest), text)
            copied += len(text)
        return copied

    def send_file(self, local, remote):
        """One file, piece by piece; returns its size."""
        size = 0
        self.command("umask 077; : >%s" % shlex.quote(remote))
        with open(local, "rb") as handle:
            for data in iter(lambda: handle.read(PIECE), b""):
                self.command("cat >>%s" % shlex.quote(remote), data)
                size += len(data)
                self.say(len(data))
        return size
