#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_database
short_description: Puts the database of a full backup in place on a blank host
version_added: "1.0.0"
description:
  - Unpacks the database beside the data directory, checks it with C(pg_verifybackup), lets a private server, which
    nobody can reach, replay the WAL and end recovery on a new timeline, stops that, and only then puts the directory
    in place by a rename. A database that would not start is never put in place.
  - An existing database is never touched. If it is that of the backup, nothing is done.
  - What a run that was cut off has left is removed. While it runs as a task, progress is shown every few seconds.
  - The server is not started for good.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: The backup.
    type: path
    required: true
  data_dir:
    description: Data directory to make.
    type: path
    required: true
  bin_dir:
    description: Directory with PostgreSQL's programs, of the backup's major version.
    type: path
    required: true
  owner:
    description: Operating system user of the database.
    type: str
    required: true
  group:
    description: Group of the data directory.
    type: str
    required: true
  progress_file:
    description: File that holds the progress as JSON.
    type: path
    required: true
  timeout:
    description: Seconds after which the replay of the WAL is given up.
    type: int
    default: 86400
  show_progress:
    description: Whether progress lines are shown.
    type: bool
    default: true
attributes:
  check_mode:
    description: Reports what would be done.
    support: full
  diff_mode:
    description: Shows what would be in the data directory.
    support: full
"""

EXAMPLES = r"""
- name: The database
  cfengine.hub_ha.restore_database:
    path: /var/backups/cfengine-hub-ha-full/2026-01-31T021500Z
    data_dir: /var/cfengine/state/pg/data
    bin_dir: /var/cfengine/bin
    owner: cfpostgres
    group: cfpostgres
    progress_file: /run/restore.progress
"""

RETURN = r"""
system_identifier:
  description: Identifier of the database system.
  returned: success
  type: str
timeline:
  description: The new timeline on which it goes on.
  returned: success, not in check mode
  type: int
bytes:
  description: Size of the database.
  returned: success
  type: int
seconds:
  description: Time that it took.
  returned: when changed, not in check mode
  type: float
"""

import fcntl
import grp
import os
import pwd
import shutil
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import fsync_path, read_text
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    backup_format,
    full_backup as full_backup_loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import clone as basebackup_model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import (
    Postgres,
    PostgresError,
    end_processes,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import processes_on

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "data_dir": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "owner": {"type": "str", "required": True},
    "group": {"type": "str", "required": True},
    "progress_file": {"type": "path", "required": True},
    "timeout": {"type": "int", "default": 86400},
    "show_progress": {"type": "bool", "default": True},
}
# Of the private server: nobody reaches it, it archives nothing, and it takes WAL from nowhere but the copy itself. With
# restore_command and recovery.signal PostgreSQL ends recovery on a timeline of its own, so that what is written from
# now on is never taken for the old database's.
OPTIONS = {"listen_addresses": "", "ssl": "off", "archive_mode": "off", "logging_collector": "off",
           "hot_standby": "off", "restore_command": "false", "recovery_target_timeline": "latest"}


class Restore:
    """One run. params: the module's arguments; run: the runner."""

    def __init__(self, params, run):
        self.params = params
        self.data_dir = os.path.realpath(params["data_dir"])
        self.parent = os.path.dirname(self.data_dir)
        self.folder = os.path.join(self.parent, ".data.restore")
        self.log = os.path.join(self.parent, ".hub_ha_restore.log")
        self.postgres = Postgres(run, params["bin_dir"], params["owner"], params["group"])
        self.progress = full_backup_loader.Progress(params["progress_file"])

    def there(self, wanted):
        """True when the data directory holds the backup's database; raises PostgresError when it holds another."""
        names = os.listdir(self.data_dir) if os.path.isdir(self.data_dir) else []
        if not names:
            return False
        found = self.postgres.controldata(self.data_dir)["system_identifier"] \
            if basebackup_model.looks_like_database(names) else "none"
        if found != wanted:
            raise PostgresError("foreign", "%s is not empty (database system %s) and is left alone: move it aside if "
                                "nothing of it is needed" % (self.data_dir, found))
        return True

    def clear(self):
        """Removes what a run that was cut off has left, with its server."""
        if os.path.isdir(self.folder):
            left = end_processes(processes_on(self.folder))
            if left:
                raise PostgresError("orphan", "a server of an earlier run (pid %s) still works on %s and cannot be "
                                    "ended" % (", ".join(map(str, left)), self.folder))
            shutil.rmtree(self.folder)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def unpack(self, backup, uid, gid):
        """The copy as it was made, checked."""
        path = os.path.join(backup["path"], backup_format.DATABASE)
        entry = next(item for item in backup["manifest"]["members"] if item["name"] == backup_format.DATABASE)
        os.mkdir(self.folder, 0o700)
        os.chown(self.folder, uid, gid)
        self.progress.show("unpacking", 0, entry["bytes"])
        digest = full_backup_loader.unpack(path, self.folder, uid, gid,
                                           lambda done: self.progress.show(None, done, entry["bytes"]))
        if digest != entry["sha256"]:
            raise PostgresError("altered", "%s is not what was saved (its SHA-256 differs from the manifest's)" % path)
        self.progress.show("checking")
        full_backup_loader.verify(Postgres(self.postgres.run, self.params["bin_dir"], "root"), self.folder,
                                  self.params["timeout"])
        system = self.postgres.controldata(self.folder)["system_identifier"]
        if system != backup["manifest"]["postgres"]["system_identifier"]:
            raise PostgresError("identity", "the database in %s is of system %s, and its manifest says %s" % (
                path, system, backup["manifest"]["postgres"]["system_identifier"]))

    def recover(self, uid, gid):
        """Lets a private server replay the WAL; afterwards the copy is a database that was shut down."""
        self.progress.show("recovery")
        for name in ("standby.signal", "backup_manifest"):
            if os.path.exists(os.path.join(self.folder, name)):
                os.unlink(os.path.join(self.folder, name))
        handle = os.open(os.path.join(self.folder, "recovery.signal"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.fchown(handle, uid, gid)
        os.close(handle)
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.fchown(handle, uid, gid)
        os.close(handle)
        sockets = tempfile.mkdtemp(prefix="hub_ha.")
        try:
            os.chown(sockets, uid, gid)
            options = dict(OPTIONS, unix_socket_directories=sockets)
            words = " ".join("-c %s='%s'" % item for item in sorted(options.items()))
            ctl = [self.postgres.program("pg_ctl"), "-D", self.folder, "-w", "-s", "-t", str(self.params["timeout"])]
            done = self.postgres.run(self.postgres.as_owner(ctl + ["-l", self.log, "-o", words, "start"]),
                                     check=False, timeout=self.params["timeout"] + 60)
            if done.rc != 0:
                raise self.failed(done.err)
            self.wait_for_the_end()
            self.postgres.run(self.postgres.as_owner(ctl + ["-m", "fast", "stop"]), timeout=self.params["timeout"] + 60)
        finally:
            shutil.rmtree(sockets)
        control = self.postgres.controldata(self.folder)
        if control["state"] != "shut down":
            raise PostgresError("recovery", "the database of the backup did not end recovery (%s)" % control["state"])
        return control

    def wait_for_the_end(self):
        """All WAL is replayed. pg_ctl does not wait for that: it ends as soon as recovery has begun."""
        deadline = time.monotonic() + self.params["timeout"]
        while self.postgres.controldata(self.folder)["state"] != "in production":
            if not processes_on(self.folder):
                raise self.failed("")
            if time.monotonic() > deadline:
                raise PostgresError("timeout", "the WAL was not replayed within %d s (hub_ha_clone_timeout)"
                                    % self.params["timeout"])
            time.sleep(0.1)

    def failed(self, more):
        """The error of a server that has ended, with its last words."""
        return PostgresError("recovery", "the database of the backup does not start: %s" % "; ".join(
            ((read_text(self.log) or "") + more).strip().splitlines()[-5:]))

    def run(self, check_mode):
        """Does it; returns the module's result. Raises HubError."""
        if check_mode and not os.path.exists(self.params["path"]):
            # It will have come from the controller by then.
            return {"changed": True, "diff": {"before": "", "after": "a database in %s\n" % self.data_dir}}
        backup = full_backup_loader.judge(self.params["path"])
        if not backup["complete"]:
            raise PostgresError("incomplete", "%s cannot be used: %s"
                                % (self.params["path"], "; ".join(backup["problems"])))
        facts = backup["manifest"]["postgres"]
        result = {"system_identifier": facts["system_identifier"], "bytes": facts["bytes"]}
        diff = {"before": "no database in %s\n" % self.data_dir, "after": "database of system %s from %s\n" % (
            facts["system_identifier"], self.params["path"])}
        if check_mode:
            return dict(result, changed=True, diff=diff)
        handle = os.open(os.path.join(self.parent, ".hub_ha_clone.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PostgresError("locked", "another run works on %s: wait for its end" % self.data_dir)
            if self.there(facts["system_identifier"]):
                return dict(result, changed=False, timeline=self.postgres.controldata(self.data_dir)["timeline"])
            return dict(self.place(backup, result), diff=diff)
        finally:
            os.close(handle)

    def place(self, backup, result):
        """Unpacks, checks, recovers, swaps in; a failure leaves nothing behind but the log of the server."""
        started = time.monotonic()
        entry = pwd.getpwnam(self.params["owner"])
        uid, gid = entry.pw_uid, grp.getgrnam(self.params["group"]).gr_gid
        free = os.statvfs(self.parent)
        problem = basebackup_model.space_problem(result["bytes"], free.f_bavail * free.f_frsize, self.parent)
        if problem:
            raise PostgresError("space", problem)
        self.clear()
        try:
            self.unpack(backup, uid, gid)
            control = self.recover(uid, gid)
        except BaseException:
            if os.path.isdir(self.folder):
                end_processes(processes_on(self.folder))
                shutil.rmtree(self.folder)
            raise
        if os.path.isdir(self.data_dir):
            os.rmdir(self.data_dir)
        os.rename(self.folder, self.data_dir)
        fsync_path(self.parent)
        os.unlink(self.log)
        self.progress.show("done")
        return dict(result, changed=True, timeline=control["timeline"], seconds=round(time.monotonic() - started, 3))


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = Restore(module.params, local_runner).run(module.check_mode)
    except HubError as error:
        fail(module, error)
    except (OSError, KeyError) as error:
        module.fail_json(msg="the database could not be put back: %s; nothing is in %s"
                         % (error, module.params["data_dir"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
