#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_unit
short_description: (internal) A PostgreSQL server runs under its own unit of systemd
version_added: "1.0.0"
description:
  - Brings a server that something else has started, such as pacemaker, under its unit. Dirty pages are written first,
    so that the one restart is short; stop and start follow each other at once, on the host.
  - A server that runs under its unit already is left alone, unless O(restart) is set. One that is stopped is started.
  - When the unit cannot start it, it is started with C(pg_ctl) as before, and the module ends with an error.
  - Nothing else may look after the server meanwhile; a cluster manager must be in maintenance mode.
options:
  unit:
    description: Name of the unit, without C(.service). It must not be masked.
    type: str
    required: true
  data_dir:
    description: Data directory.
    type: path
    required: true
  bin_dir:
    description: Directory with C(pg_ctl) and C(psql).
    type: path
    required: true
  owner:
    description: The user under which the server runs.
    type: str
    required: true
  log:
    description: The server's log, for a start without the unit.
    type: path
    required: true
  port:
    description: Port of the server. When not given, what C(postmaster.pid) says.
    type: int
  restart:
    description: Restart it also when it runs under its unit already, because a setting wants it.
    type: bool
    default: false
  wait:
    description: Seconds that the stop and the start may each take.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Tells whether it would restart the server.
  diff_mode:
    support: full
    description: Shows under which unit it runs before and after.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: PostgreSQL under systemd again
  cfengine.hub_ha.database_unit:
    unit: cf-postgres
    data_dir: /var/cfengine/state/pg/data
    bin_dir: /var/cfengine/bin
    owner: cfpostgres
    log: /var/log/postgresql.log
"""

RETURN = r"""
unit_before:
  description: Unit or scope of systemd under which the server ran, null when it was stopped.
  returned: success
  type: str
  sample: pacemaker.service
gap:
  description: Seconds from the order to stop until the server was ready again, 0 when nothing was done.
  returned: success
  type: float
  sample: 0.9
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import database_unit
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "unit": {"type": "str", "required": True},
        "data_dir": {"type": "path", "required": True},
        "bin_dir": {"type": "path", "required": True},
        "owner": {"type": "str", "required": True},
        "log": {"type": "path", "required": True},
        "port": {"type": "int"},
        "restart": {"type": "bool", "default": False},
        "wait": {"type": "int", "default": 300},
    })
    params = module.params
    server = database_unit.Server(params["unit"], params["data_dir"], params["log"], params["port"], params["wait"])
    try:
        state = database_unit.look(local_runner, server)
        wanted = params["restart"] or not state.settled(server)
        result = {"changed": wanted, "unit_before": state.unit, "gap": 0.0, "diff": {
            "before": "%s\n" % (state.unit or "stopped"),
            "after": "%s%s\n" % (server.service, ", restarted" if wanted else "")}}
        if wanted and not module.check_mode:
            postgres = Postgres(local_runner, params["bin_dir"], params["owner"])
            result["gap"] = round(database_unit.take_over(postgres, server, state), 3)
    except HubError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
