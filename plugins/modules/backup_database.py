#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_database
short_description: (internal) A verified copy of a hub's running database, with its WAL, for a full backup
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

import dataclasses

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import full_backup_make


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", required=True),
            data_dir=dict(type="path", required=True),
            bin_dir=dict(type="path", required=True),
            port=dict(type="int", default=5432),
            host=dict(type="str", required=True),
            user=dict(type="str", default="root"),
            passfile=dict(type="path", no_log=False),
            sslmode=dict(type="str"),
            sslrootcert=dict(type="path"),
            system_identifier=dict(type="str", required=True),
            size=dict(type="int", required=True),
            lsn=dict(type="str"),
            max_rate=dict(type="str"),
            progress_file=dict(type="path", required=True),
            run=dict(type="str"),
            fetched=dict(type="bool", default=False),
            timeout=dict(type="int", default=86400),
            show_progress=dict(type="bool", default=True),
        ),
        supports_check_mode=True,
    )
    params = dict(module.params)
    del params["show_progress"]  # the action plugin's
    order = full_backup_make.Order(**params)
    if module.check_mode:
        module.exit_json(changed=True, diff={"before": "", "after": "a new backup in %s\n" % order.directory})
    try:
        made = full_backup_make.make(order, local_runner)
    except HubError as error:
        fail(module, error)
    except (OSError, ValueError, KeyError) as error:
        module.fail_json(msg="the backup in %s failed: %s; what was made of it is removed" % (order.directory, error))
    module.exit_json(changed=True, diff={"before": "", "after": "backup in %s\n" % made.path},
                     **dataclasses.asdict(made))


if __name__ == "__main__":
    main()
