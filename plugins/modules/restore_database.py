#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_database
short_description: (internal) Puts the database of a full backup in place on a blank host
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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import full_backup_restore


def diff_of(order, placed):
    """What would be in the data directory."""
    place = os.path.realpath(order.data_dir)
    if placed.system_identifier is None:
        return {"before": "", "after": "a database in %s\n" % place}
    return {"before": "no database in %s\n" % place,
            "after": "database of system %s from %s\n" % (placed.system_identifier, order.path)}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            data_dir=dict(type="path", required=True),
            bin_dir=dict(type="path", required=True),
            owner=dict(type="str", required=True),
            group=dict(type="str", required=True),
            progress_file=dict(type="path", required=True),
            timeout=dict(type="int", default=86400),
            show_progress=dict(type="bool", default=True),
        ),
        supports_check_mode=True,
    )
    params = dict(module.params)
    del params["show_progress"]  # the action plugin's
    order = full_backup_restore.Order(**params)
    try:
        placed = full_backup_restore.predict(order) if module.check_mode \
            else full_backup_restore.restore(order, local_runner)
    except HubError as error:
        fail(module, error)
    except (OSError, KeyError) as error:
        module.fail_json(msg="the database could not be put back: %s; nothing is in %s" % (error, order.data_dir))
    result = {key: value for key, value in vars(placed).items() if value is not None}
    if placed.changed:
        result["diff"] = diff_of(order, placed)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
