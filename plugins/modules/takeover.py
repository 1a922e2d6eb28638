#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: takeover
short_description: Hand a database over from a primary to its standby without losing a row
version_added: "1.0.0"
description:
  - V(stopped) shuts a primary down cleanly and tells its last record. PostgreSQL ends only when the standbys that
    stream have received everything.
  - V(promoted) waits until a standby has replayed the record that it is told, promotes it, waits until it takes writes,
    and starts resources of a cluster that is in maintenance mode, such as shared addresses. V(stopped) stops them.
  - One task on each hub, so that no time is lost between. pacemaker must have its hands off both.
  - V(down) shuts down whatever runs there, before its data makes way. A pid file that a power cut left behind is no
    server; the number in it may be another program's by now, and no signal is sent there.
options:
  state:
    description: What the server is to be.
    type: str
    choices: [stopped, promoted, down]
    required: true
  data_dir:
    description: Data directory.
    type: path
    required: true
  bin_dir:
    description: Directory with PostgreSQL's programs.
    type: path
    required: true
  owner:
    description: Operating system user that owns the database.
    type: str
    required: true
  unit:
    description:
      - Unit under which the server runs; without one C(pg_ctl) stops it.
      - With one, a standby that is to be promoted and does not run is started first.
    type: str
  after:
    description: Where the last record of the former primary is. The standby is promoted only when it has replayed it.
    type: str
  resources:
    description: Ids of the cluster's resources to start here by force once the server takes writes, or to stop when it has
      ended.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds for each of the steps.
    type: int
    default: 60
attributes:
  check_mode:
    description: Tells the change and makes none.
    support: full
  diff_mode:
    description: The state of a server is no text.
    support: none
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: The third hub gives the database back
  cfengine.hub_ha.takeover:
    state: stopped
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    unit: cf-postgres
  register: last
  delegate_to: hub3

- name: The hub takes it
  cfengine.hub_ha.takeover:
    state: promoted
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    after: "{{ last.lsn }}"
    resources: [cfvirtip]
"""

RETURN = r"""
lsn:
  description: Of a server that was stopped, its last record, the checkpoint of the shutdown.
  returned: when stopped
  type: str
  sample: 0/5000028
replayed:
  description: Up to where the standby had replayed when it was promoted.
  returned: when promoted
  type: str
  sample: 0/50000A0
seconds:
  description: Time that it took.
  returned: success
  type: float
  sample: 0.61
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    HubError,
    fail,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import PASSING, Postgres, PostgresError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.lsn import lsn_to_int
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import postmaster_pid, server_address


class Takeover:
    """One run. params: the module's arguments; run: the runner; pid: callable for the server's pid."""

    def __init__(self, params, run, check_mode=False, pid=postmaster_pid, sleep=time.sleep, clock=time.monotonic):
        self.params, self.run, self.check_mode = params, run, check_mode
        self.pid, self.sleep, self.clock = pid, sleep, clock
        self.postgres = Postgres(run, params["bin_dir"], params["owner"])

    def pg_ctl(self, *words):
        """Runs pg_ctl as the owner."""
        argv = [self.postgres.program("pg_ctl"), "-D", self.params["data_dir"], "-w", "-t", str(self.params["timeout"])]
        return self.run(self.postgres.as_owner(argv + list(words)), timeout=self.params["timeout"] + 10)

    def sql(self, query, timeout=30):
        """One value; timeout: seconds."""
        return self.postgres.sql(query, timeout=timeout, **server_address(self.params["data_dir"])).strip()

    def stopped(self):
        """The module's result for state stopped. Raises HubError."""
        changed = self.pid(self.params["data_dir"]) is not None
        if changed:
            if self.sql("SELECT pg_is_in_recovery()") != "f":
                raise PostgresError("standby", "PostgreSQL on %s is a standby: there is nothing to hand over."
                                    % self.params["data_dir"])
            if self.check_mode:
                return {"changed": True, "lsn": None}
            self.sql("CHECKPOINT", self.params["timeout"])  # so that the shutdown is short
            if self.params["unit"]:
                self.run(["systemctl", "stop", self.params["unit"]], timeout=self.params["timeout"])
            else:
                self.pg_ctl("-m", "fast", "stop")
        if not self.check_mode:
            self.force("stop")
        control = self.postgres.controldata(self.params["data_dir"])
        if control["state"] != "shut down":
            raise PostgresError("crashed", "PostgreSQL on %s did not end cleanly (%s): nobody knows whether a standby "
                                "has everything. Start it again where it is."
                                % (self.params["data_dir"], control["state"]))
        return {"changed": changed, "lsn": control["checkpoint_lsn"]}

    def down(self):
        """The module's result for state down. Raises HubError."""
        changed = self.pid(self.params["data_dir"]) is not None
        if changed and not self.check_mode:
            try:
                self.pg_ctl("-m", "fast", "stop")
            except CommandError:
                if self.pid(self.params["data_dir"]) is not None:
                    raise  # else it has ended by itself meanwhile
        return {"changed": changed}

    def replayed(self):
        """Waits for the wanted record; returns how far the standby is. Raises HubError when it does not come."""
        wanted = lsn_to_int(self.params["after"])
        deadline = self.clock() + self.params["timeout"]
        while True:
            now = self.sql("SELECT pg_last_wal_replay_lsn()")
            # The position is the end of the last record replayed, so it lies behind the start of the one wanted.
            if wanted is None or (lsn_to_int(now) or 0) > wanted:
                return now
            if self.clock() >= deadline:
                raise PostgresError("behind", "The standby has replayed up to %s, and the former primary's last record "
                                    "is at %s: it is not promoted, because rows would be lost."
                                    % (now, self.params["after"]))
            self.sleep(0.05)

    def start(self):
        """Starts the unit, and waits until the server answers. Raises HubError."""
        self.run(["systemctl", "start", self.params["unit"]], timeout=self.params["timeout"])
        deadline = self.clock() + self.params["timeout"]
        while True:
            try:
                return self.sql("SELECT 1")
            except CommandError as error:
                if self.clock() >= deadline or not any(text in error.message for text in PASSING):
                    raise
            self.sleep(0.1)

    def promoted(self):
        """The module's result for state promoted. Raises HubError."""
        if self.pid(self.params["data_dir"]) is None:
            if not (self.params["unit"] and os.path.exists(self.params["data_dir"] + "/standby.signal")):
                raise PostgresError("stopped", "PostgreSQL does not run on %s: start it as the standby that it is."
                                    % self.params["data_dir"])
            if self.check_mode:
                return {"changed": True, "replayed": None}
            self.start()
        changed = self.sql("SELECT pg_is_in_recovery()") == "t"
        if not changed or self.check_mode:
            return {"changed": changed, "replayed": None}
        replayed = self.replayed()
        self.pg_ctl("promote")
        self.force("start")
        return {"changed": True, "replayed": replayed}

    def force(self, what):
        """Starts or stops the resources here, whatever the cluster, which looks away, takes for their place."""
        for resource in self.params["resources"]:
            self.run(["crm_resource", "--force-" + what, "--force", "--resource", resource], timeout=self.params["timeout"])

    def go(self):
        """Does it; returns the module's result. Raises HubError."""
        began = self.clock()
        result = getattr(self, self.params["state"])()
        return dict(result, seconds=round(self.clock() - began, 3))


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "state": {"type": "str", "choices": ["stopped", "promoted", "down"], "required": True},
        "data_dir": {"type": "path", "required": True},
        "bin_dir": {"type": "path", "required": True},
        "owner": {"type": "str", "required": True},
        "unit": {"type": "str"},
        "after": {"type": "str"},
        "resources": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "int", "default": 60},
    })
    try:
        module.exit_json(**Takeover(module.params, local_runner, module.check_mode).go())
    except HubError as error:
        fail(module, error)


if __name__ == "__main__":
    main()
