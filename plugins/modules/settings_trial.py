#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: settings_trial
short_description: Whether PostgreSQL would start with what stands in its files
version_added: "1.0.0"
description:
  - Starts an empty scratch database with a live server's configuration, and stops and removes it again. A setting that was
    written long ago and does not let the server start is found before the server is stopped.
  - The scratch database listens on no network, archives and replicates nothing, and ends by itself within a minute. The
    live server is not asked and not touched.
  - Shared memory that fits only once the live server has ended is reckoned, not taken.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  data_dir:
    description: Data directory of the live server.
    type: path
    required: true
  bin_dir:
    description: Directory with PostgreSQL's programs.
    type: path
    required: true
  owner:
    description: Operating system user of the database.
    type: str
    required: true
  config_file:
    description: The configuration file that the server will be started with.
    type: path
    required: true
  settings:
    description: Settings that will stand in the server's include file when it is started.
    type: dict
    default: {}
  held_mb:
    description: Shared memory in MB that the live server gives back when it ends.
    type: int
    default: 0
  places:
    description: Directories for the scratch database. The first one with 256 MB free is taken.
    type: list
    elements: path
    default: [/var/tmp, /tmp]
attributes:
  check_mode:
    description: Leaves nothing behind, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Would it start again?
  cfengine.hub_ha.settings_trial:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    config_file: /var/lib/cfengine3/state/pg/data/postgresql.conf
    settings: {wal_log_hints: "on"}
"""

RETURN = r"""
trial:
  description: What the trial has shown.
  returned: success
  type: dict
  contains:
    started:
      description: Whether the server came up. Null when it could not be tried.
      type: bool
      returned: always
      sample: false
    reason:
      description: The server's own words, or why it could not be tried.
      type: str
      returned: always
      sample: "FATAL: could not map anonymous shared memory: Cannot allocate memory"
    shared_memory_mb:
      description: Shared memory in MB that the server will ask for. Null when it did not come that far.
      type: int
      returned: always
      sample: 524288
    lowered:
      description: Whether the scratch database ran with small buffers, because all of it fits on this machine.
      type: bool
      returned: always
      sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.trial import Trial, look, read_machine


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "data_dir": {"type": "path", "required": True},
        "bin_dir": {"type": "path", "required": True},
        "owner": {"type": "str", "required": True},
        "config_file": {"type": "path", "required": True},
        "settings": {"type": "dict", "default": {}},
        "held_mb": {"type": "int", "default": 0},
        "places": {"type": "list", "elements": "path", "default": ["/var/tmp", "/tmp"]},
    })
    params = module.params
    try:
        server = look(local_runner, params["data_dir"], params["bin_dir"], params["owner"], params["config_file"],
                      params["settings"], params["held_mb"] << 20)
        outcome = Trial(local_runner, server, read_machine(), params["places"]).go()
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, trial=outcome.to_dict())


if __name__ == "__main__":
    main()
