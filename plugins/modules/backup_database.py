#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_database
short_description: A verified copy of a hub's running database, with its WAL, for a full backup
version_added: "1.0.0"
description:
  - Makes a new directory for a full backup and puts the database into it - C(pg_basebackup) with a fast checkpoint and
    the WAL that belongs to it, checked with C(pg_verifybackup), then packed into one compressed archive.
  - Works on a primary and on a standby. Of a standby it first waits until that has replayed up to O(lsn).
  - While it runs as a task, a line with percentage and rate is shown every few seconds.
  - The backup is complete only when M(cfengine.hub_ha.backup_seal) has written its manifest. A run that fails removes
    what it has made.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  directory:
    description: Where the backups go, one directory each. It is made, for root only, when it is missing.
    type: path
    required: true
  data_dir:
    description: Data directory of the running server.
    type: path
    required: true
  bin_dir:
    description: Directory with PostgreSQL's programs.
    type: path
    required: true
  port:
    description: Port of the server.
    type: int
    default: 5432
  host:
    description: Address to connect to, or the directory of the local socket.
    type: str
    required: true
  user:
    description: Role to connect as.
    type: str
    default: root
  passfile:
    description: libpq password file for that role, if it needs a password.
    type: path
  sslmode:
    description: How the connection is encrypted and the server's certificate checked, over an address.
    type: str
  sslrootcert:
    description: Certificate of the authority that signed the server's certificate.
    type: path
  system_identifier:
    description: System identifier that the database must have. Any other one is refused.
    type: str
    required: true
  size:
    description: Size of the databases in bytes, for the space check before anything is made.
    type: int
    required: true
  lsn:
    description: Position in the WAL that must be in the copy.
    type: str
  max_rate:
    description: Limit of the copy, as C(pg_basebackup --max-rate) takes it.
    type: str
  progress_file:
    description: File that holds the progress as JSON while the copy is made.
    type: path
    required: true
  run:
    description:
      - What the run of Ansible calls itself, so that a later one can tell whether it still goes on when it finds what
        this one left. The task fills it in.
    type: str
  fetched:
    description: Whether the backup goes to the controller. A later run may remove it, complete or not, if it does not.
    type: bool
    default: false
  timeout:
    description: Seconds after which the copy is given up.
    type: int
    default: 86400
  show_progress:
    description: Whether progress lines are shown.
    type: bool
    default: true
attributes:
  check_mode:
    description: Reports that a backup would be made.
    support: full
  diff_mode:
    description: Shows the new directory.
    support: full
seealso:
  - module: cfengine.hub_ha.backup_seal
"""

EXAMPLES = r"""
- name: Copy the database
  cfengine.hub_ha.backup_database:
    directory: /var/backups/cfengine-hub-ha-full
    data_dir: /var/cfengine/state/pg/data
    bin_dir: /var/cfengine/bin
    host: /tmp
    system_identifier: "7438917262638719293"
    size: 126255104
    progress_file: /run/full-backup.progress
  register: database
"""

RETURN = r"""
path:
  description: The new directory.
  returned: success, not in check mode
  type: str
member:
  description: The archive with the database, name, bytes and SHA-256.
  returned: success, not in check mode
  type: dict
bytes:
  description: Size of the copy before it was packed.
  returned: success, not in check mode
  type: int
seconds:
  description: Time that all of it took.
  returned: success, not in check mode
  type: float
timeline:
  description: Timeline of the copy.
  returned: success, not in check mode
  type: int
start_lsn:
  description: Where the WAL that belongs to the copy begins.
  returned: success, not in check mode
  type: str
end_lsn:
  description: Where it ends. Everything that was written before is in the copy.
  returned: success, not in check mode
  type: str
server_version:
  description: Version of PostgreSQL, in full.
  returned: success, not in check mode
  type: str
wal_checked:
  description: Whether C(pg_verifybackup) could read the WAL too, for which it needs C(pg_waldump).
  returned: success, not in check mode
  type: bool
"""

import json
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import tree_size
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import first_version, human
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    backup_format,
    full_backup as full_backup_loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import clone as basebackup_model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres, PostgresError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.lsn import lsn_to_int
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import server_address
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup as full_backup

ARGUMENTS = {
    "directory": {"type": "path", "required": True},
    "data_dir": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "port": {"type": "int", "default": 5432},
    "host": {"type": "str", "required": True},
    "user": {"type": "str", "default": "root"},
    "passfile": {"type": "path", "no_log": False},
    "sslmode": {"type": "str"},
    "sslrootcert": {"type": "path"},
    "system_identifier": {"type": "str", "required": True},
    "size": {"type": "int", "required": True},
    "lsn": {"type": "str"},
    "max_rate": {"type": "str"},
    "progress_file": {"type": "path", "required": True},
    "run": {"type": "str"},
    "fetched": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 86400},
    "show_progress": {"type": "bool", "default": True},
}
REPLAY_PATIENCE = 60  # seconds that a standby may need to catch up with what the primary had at the start


class Backup:
    """One run. params: the module's arguments; run: the runner."""

    def __init__(self, params, run):
        self.params, self.run_command = params, run
        # The directory is root's alone, so root does the work; the server asks for the role, not for the user.
        self.postgres = Postgres(run, params["bin_dir"], "root")
        self.progress = full_backup_loader.Progress(params["progress_file"])

    def conninfo(self):
        """Connection string; it names the passfile and never holds a password."""
        params = self.params
        return basebackup_model.conninfo([
            ("host", params["host"]), ("port", params["port"]), ("user", params["user"]),
            ("passfile", params["passfile"]), ("sslmode", params["sslmode"]), ("sslrootcert", params["sslrootcert"]),
            ("connect_timeout", 5), ("application_name", "hub_ha_full_backup")])

    def wait_for_replay(self):
        """A standby has what the primary had when the run began; raises PostgresError('replay')."""
        wanted = lsn_to_int(self.params["lsn"])
        if wanted is None:
            return
        self.progress.show("replay")
        deadline = time.monotonic() + REPLAY_PATIENCE
        while True:
            answer = self.postgres.sql("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                                       "ELSE pg_current_wal_lsn() END", **self.local()).strip()
            if answer and lsn_to_int(answer) >= wanted:
                return
            if time.monotonic() > deadline:
                raise PostgresError("replay", "after %d s this hub has replayed up to %s only, and the active one was "
                                    "at %s when the run began: run again when it has caught up, or copy the active "
                                    "hub (hub_ha_full_backup_hub)" % (REPLAY_PATIENCE, answer, self.params["lsn"]))
            time.sleep(0.2)

    def local(self):
        """Port and directory of the local socket, as the server's own file says."""
        return server_address(self.params["data_dir"])

    def copy(self, folder):
        """Runs pg_basebackup; raises PostgresError."""
        params = self.params
        argv = [self.postgres.program("pg_basebackup"), "-D", folder, "-F", "plain", "-X", "stream",
                "--checkpoint=fast", "--manifest-checksums=SHA256", "--progress", "--verbose", "--no-password", "-d",
                self.conninfo()]
        if params["max_rate"]:
            argv.append("--max-rate=%s" % params["max_rate"])
        self.progress.show("checkpoint")

        def on_line(line):
            phase = self.progress.meter.state["phase"]
            if self.progress.meter.line(line):
                now = self.progress.meter.state["phase"]
                self.progress.show(now if now != phase else None)

        done = self.postgres.stream(argv, on_line, params["timeout"])
        if done.rc != 0:
            kind, message = basebackup_model.classify(done.err, {
                "host": params["host"], "port": params["port"], "user": params["user"], "slot": "(none)",
                "passfile": params["passfile"] or "(none given)",
                "sslrootcert": params["sslrootcert"] or "(none given)"})
            raise PostgresError(kind, "the database could not be copied. " + message, rc=done.rc,
                                stderr=done.err[-4000:])

    def check(self, folder):
        """pg_verifybackup and the identity; returns (facts of pg_controldata, whether the WAL was read too)."""
        self.progress.show("checking")
        wal = full_backup_loader.verify(self.postgres, folder, self.params["timeout"])
        control = self.postgres.controldata(folder)
        if control["system_identifier"] != self.params["system_identifier"]:
            raise PostgresError("identity", "the copy has the system identifier %s, expected is %s"
                                % (control["system_identifier"], self.params["system_identifier"]))
        return control, wal

    def make(self, path):
        """Fills the new directory; returns the module's result."""
        started = time.monotonic()
        full_backup_loader.mark(path, self.params["run"], self.params["fetched"])
        folder = os.path.join(path, backup_format.COPY)
        self.copy(folder)
        control, wal = self.check(folder)
        with open(os.path.join(folder, "backup_manifest"), encoding="utf-8") as handle:
            ranges = json.load(handle)["WAL-Ranges"]
        size = tree_size(folder)
        self.progress.show("packing", 0, size)
        member = full_backup_loader.pack(folder, os.path.join(path, backup_format.DATABASE),
                                         lambda done: self.progress.show(None, done, size))
        shutil.rmtree(folder)
        version = first_version(self.run_command([self.postgres.program("postgres"), "--version"]).out)
        self.progress.show("done")
        return {"changed": True, "path": path, "member": member, "bytes": size, "wal_checked": wal,
                "seconds": round(time.monotonic() - started, 3), "timeline": int(ranges[-1]["Timeline"]),
                "start_lsn": ranges[0]["Start-LSN"], "end_lsn": ranges[-1]["End-LSN"], "server_version": version,
                "system_identifier": control["system_identifier"],
                "diff": {"before": "", "after": "backup in %s\n" % path}}

    def run(self):
        """Does it; returns the module's result. Raises HubError."""
        directory = self.params["directory"]
        os.makedirs(directory, mode=0o700, exist_ok=True)
        free = os.statvfs(directory)
        needed = full_backup.space_for(self.params["size"])
        if free.f_bavail * free.f_frsize < needed:
            raise PostgresError("space", "up to %s are needed in %s while the backup is made; nothing was made"
                                % (human(needed), directory))
        handle = full_backup_loader.lock(directory)
        try:
            self.wait_for_replay()
            path = full_backup_loader.new_directory(directory)
            try:
                return self.make(path)
            except BaseException:
                shutil.rmtree(path)
                raise
        finally:
            os.close(handle)


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=True, diff={"before": "",
                                             "after": "a new backup in %s\n" % module.params["directory"]})
    try:
        result = Backup(module.params, local_runner).run()
    except HubError as error:
        fail(module, error)
    except (OSError, ValueError, KeyError) as error:
        module.fail_json(msg="the backup in %s failed: %s; what was made of it is removed"
                         % (module.params["directory"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
