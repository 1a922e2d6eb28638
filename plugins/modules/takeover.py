#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: takeover
short_description: Promote a standby, or shut down what runs on a data directory
version_added: "1.0.0"
description:
  - V(promoted) promotes a standby and waits until it takes writes. What its primary has and it lacks is lost; a planned
    switchover, without losing a row, is role C(switchover)'s. pacemaker must have its hands off.
  - V(down) shuts down whatever runs there, before its data makes way. A pid file that a power cut left behind is no
    server; the number in it may be another program's by now, and no signal is sent there.
options:
  state:
    description: What the server is to be.
    type: str
    choices: [promoted, down]
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
- name: The third hub takes over
  cfengine.hub_ha.takeover:
    state: promoted
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    unit: cf-postgres
"""

RETURN = r"""
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

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.takeover import Takeover


def go(params, takeover):
    """The module's result. takeover: the library's Takeover. Raises HubError."""
    if params["state"] == "down":
        return {"changed": takeover.down()}
    return asdict(takeover.promote())


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "state": {"type": "str", "choices": ["promoted", "down"], "required": True},
        "data_dir": {"type": "path", "required": True},
        "bin_dir": {"type": "path", "required": True},
        "owner": {"type": "str", "required": True},
        "unit": {"type": "str"},
        "timeout": {"type": "int", "default": 60},
    })
    params = module.params
    takeover = Takeover(Postgres(local_runner, params["bin_dir"], params["owner"]), params["data_dir"], params["unit"],
                        params["timeout"], dry_run=module.check_mode)
    began = time.monotonic()
    try:
        result = go(params, takeover)
    except HubError as error:
        fail(module, error)
    module.exit_json(seconds=round(time.monotonic() - began, 3), **result)


if __name__ == "__main__":
    main()
