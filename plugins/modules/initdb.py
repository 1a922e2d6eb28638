#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: initdb
short_description: Makes a new PostgreSQL data directory, whole or not at all
version_added: "1.0.0"
description:
  - Runs C(initdb) in a directory beside the data directory, adds roles and databases without a server, and puts the
    result into its place by a rename. What a run that was cut off left beside it is removed.
  - A data directory that holds a database is left alone, whatever is in it; one that holds other files is refused.
  - Nothing is started.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  data_dir:
    description: The data directory. The directory above it must be there.
    type: path
    required: true
  bin_dir:
    description: Directory with C(initdb) and C(postgres).
    type: path
    required: true
  owner:
    description: Operating system user that owns the database, and name of its first superuser.
    type: str
    required: true
  group:
    description: Group of the data directory. The user's own group when not given.
    type: str
  encoding:
    description: Encoding of its databases.
    type: str
    default: SQL_ASCII
  locale:
    description: Locale of its databases.
    type: str
    default: C
  superusers:
    description: Further superusers that may log in. Through the local socket, the user of the same name is one of them.
    type: list
    elements: str
    default: [root]
  databases:
    description: Empty databases to make, owned by O(owner).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Tells whether it would be made. The programs need not be there yet.
    support: full
  diff_mode:
    description: Shows what the data directory holds before and after.
    support: full
"""

EXAMPLES = r"""
- name: A new database for the hub
  cfengine.hub_ha.initdb:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    databases: [cfdb]
"""

RETURN = r"""
data_dir:
  description: The data directory.
  returned: always
  type: str
"""

import fcntl
import grp
import os
import pwd
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    HubError,
    fail,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone import quote_identifier


def statements(superusers, databases, owner):
    """SQL for a server in single-user mode, one statement a line (pure)."""
    lines = ["CREATE ROLE %s SUPERUSER LOGIN;" % quote_identifier(name) for name in superusers if name != owner]
    lines += ["CREATE DATABASE %s OWNER %s TEMPLATE template0;" % (quote_identifier(name), quote_identifier(owner))
              for name in databases]
    return "".join(line + "\n" for line in lines)


def state_of(path):
    """"database", "other" (files that are none) or "absent" (no directory, or an empty one)."""
    if os.path.exists(os.path.join(path, "PG_VERSION")):
        return "database"
    return "other" if os.path.isdir(path) and os.listdir(path) or os.path.isfile(path) else "absent"


class Initdb:
    """One run of the module. Raises HubError."""

    def __init__(self, params, run=local_runner, check_mode=False):
        self.params = params
        self.run = run
        self.check_mode = check_mode
        self.data_dir = os.path.realpath(params["data_dir"])
        self.hidden = os.path.join(os.path.dirname(self.data_dir), "." + os.path.basename(self.data_dir))
        self.beside = self.hidden + ".new"
        self.postgres = Postgres(run, params["bin_dir"], params["owner"], params["group"])

    def main(self):
        """Makes it when it is missing; returns the module's result."""
        result = {"changed": False, "data_dir": self.data_dir}
        if self.needed():
            result.update(changed=True, diff={"before": "no database in %s\n" % self.data_dir,
                                              "after": "a new, empty database in %s\n" % self.data_dir})
            if not self.check_mode:
                with self.alone():
                    if self.needed():  # another run may have made it meanwhile
                        self.make()
        return result

    def needed(self):
        """Whether there is no database; raises HubError for what is in its way."""
        state = state_of(self.data_dir)
        if state == "other":
            raise HubError("%s holds files that are no database: move them away." % self.data_dir)
        if state == "absent" and os.path.ismount(self.data_dir):
            raise HubError("%s is a mount point, and nothing can be put in its place by a rename: mount the file system "
                           "on its parent directory." % self.data_dir)
        return state == "absent"

    def alone(self):
        """A lock (context manager) against a run whose controller has gone and that still works."""
        handle = open(self.hidden + ".new.lock", "w", encoding="ascii")
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle

    def make(self):
        """initdb, roles, databases, rename."""
        params = self.params
        if os.path.lexists(self.beside):
            shutil.rmtree(self.beside)
        os.mkdir(self.beside, 0o700)
        try:
            entry = pwd.getpwnam(params["owner"])
            group = grp.getgrnam(params["group"]).gr_gid if params["group"] else entry.pw_gid
        except KeyError as error:
            raise HubError("There is no such user or group: %s." % error)
        os.chown(self.beside, entry.pw_uid, group)
        self.postgres.run(self.postgres.as_owner([
            self.postgres.program("initdb"), "-D", self.beside, "--username=" + params["owner"],
            "--encoding=" + params["encoding"], "--locale=" + params["locale"], "--data-checksums",
            "--auth-local=peer", "--auth-host=scram-sha-256"]), timeout=300)
        text = statements(params["superusers"], params["databases"], params["owner"])
        try:
            self.postgres.run(self.postgres.as_owner([
                self.postgres.program("postgres"), "--single", "-D", self.beside, "-c", "exit_on_error=on", "postgres"]),
                stdin=text, timeout=300)
        except CommandError as error:
            raise HubError("Roles and databases cannot be made: %s" % (error.completed.err or error.completed.out).strip())
        if os.path.isdir(self.data_dir):
            os.rmdir(self.data_dir)
        os.rename(self.beside, self.data_dir)
        folder = os.open(os.path.dirname(self.data_dir), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            data_dir=dict(type="path", required=True),
            bin_dir=dict(type="path", required=True),
            owner=dict(type="str", required=True),
            group=dict(type="str"),
            encoding=dict(type="str", default="SQL_ASCII"),
            locale=dict(type="str", default="C"),
            superusers=dict(type="list", elements="str", default=["root"]),
            databases=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    try:
        result = Initdb(module.params, local_runner, module.check_mode).main()
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="Making %s failed: %s" % (module.params["data_dir"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
