#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_unit
short_description: A PostgreSQL server runs under its own unit of systemd
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

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import read_text
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    HubError,
    fail,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe as hub_loader
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import system
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import postmaster_pid, server_address


def look(run, params):
    """{"pid", "unit", "active", "load"}: the server, the unit of systemd it is in, and the state of its own one."""
    pid = postmaster_pid(params["data_dir"])
    own = hub_loader.units(run, [params["unit"]]).get(params["unit"], {})
    return {"pid": pid, "unit": system.unit_of(read_text("/proc/%d/cgroup" % pid) or "") if pid else None,
            "active": own.get("active"), "load": own.get("load")}


def settled(found, params):
    """True when the server runs where it should."""
    return bool(found["pid"]) and found["unit"] == params["unit"] + ".service" and found["active"] == "active"


def take_over(postgres, params, found, clock=time.monotonic):
    """Stop and start; returns the seconds in between. Raises HubError, with the server started again if that works."""
    run = postgres.run
    pg_ctl = postgres.as_owner([postgres.program("pg_ctl"), "-D", params["data_dir"], "-w", "-t", str(params["wait"])])
    if found["pid"]:
        # The second one writes only what has come since the first, so the stop has next to nothing left to write.
        postgres.sql("CHECKPOINT;\nCHECKPOINT;\n", timeout=params["wait"],
                     **server_address(params["data_dir"], params["port"]))
    began = clock()
    if settled(found, params):
        first = ["systemctl", "restart"]
    else:
        if found["pid"]:
            run(pg_ctl + ["-m", "fast", "stop"], timeout=params["wait"] + 30)
        run(["systemctl", "reset-failed", params["unit"] + ".service"], check=False)
        first = ["systemctl", "start"]
    try:
        run(first + [params["unit"] + ".service"], timeout=params["wait"] + 30)
        if not postmaster_pid(params["data_dir"]):
            raise HubError("systemd has started %s.service, and no server runs: a condition of the unit may not hold"
                           % params["unit"])
    except HubError as error:
        run(["systemctl", "stop", params["unit"] + ".service"], check=False, timeout=params["wait"] + 30)
        try:
            run(pg_ctl + ["-l", params["log"], "start"], timeout=params["wait"] + 30)
        except CommandError as second:
            raise HubError("PostgreSQL could not be started, neither by its unit (%s) nor by hand: %s"
                           % (error.message, second.message))
        raise HubError("%s.service could not start PostgreSQL, so it was started without it and serves: %s"
                       % (params["unit"], error.message))
    return clock() - began


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
    try:
        found = look(local_runner, params)
        wanted = params["restart"] or not settled(found, params)
        result = {"changed": wanted, "unit_before": found["unit"], "gap": 0.0, "diff": {
            "before": "%s\n" % (found["unit"] or "stopped"),
            "after": "%s.service%s\n" % (params["unit"], ", restarted" if wanted else "")}}
        if wanted and not module.check_mode:
            if found["load"] != "loaded":
                raise HubError("%s.service is %s, so PostgreSQL cannot run under it; nothing was done"
                               % (params["unit"], found["load"]))
            postgres = Postgres(local_runner, params["bin_dir"], params["owner"])
            result["gap"] = round(take_over(postgres, params, found), 3)
    except HubError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
