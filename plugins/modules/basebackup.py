#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: basebackup
short_description: Clone a PostgreSQL standby from its primary
version_added: "1.0.0"
description:
  - Makes this host a physical standby of a primary with C(pg_basebackup). Run it on the host that is to become
    the standby.
  - Everything that can be checked is checked before the first change - what the data directory holds, the primary's
    identity and version, the passfile, the space. Then the replication slot is made, the copy goes into a new directory
    beside the data directory, and the two are swapped by a rename.
  - A running database is never touched, a primary is never overwritten, and a database is never deleted.
  - A stopped database of the same system is compared with the primary, by timelines and by the end of its WAL. One that
    holds nothing which the primary lacks needs no copy, whether it was a standby or a primary, and gets
    C(standby.signal) when that is missing. One of which this is not proven is refused.
  - While it runs as a task, a line with percentage, rate and remaining time is shown every few seconds.
  - A run that was cut off, even by SIGKILL or power loss, is finished or cleaned up by the next one. A second run while
    the first one still works waits for it.
  - The clone gets C(standby.signal), but no connection settings - C(primary_conninfo) and C(primary_slot_name)
    belong to whoever starts the standby. It is not started.
options:
  data_dir:
    description: Data directory to make. A symbolic link is followed.
    type: path
    required: true
  bin_dir:
    description: Directory with C(pg_basebackup), C(pg_controldata) and C(psql).
    type: path
    required: true
  owner:
    description: Operating system user that owns the database and runs the programs.
    type: str
    required: true
  group:
    description: Group of the data directory. The user's own group when not given.
    type: str
  primary_host:
    description: Name or address of the primary.
    type: str
    required: true
  primary_port:
    description: Port of the primary.
    type: int
    default: 5432
  user:
    description: Replication role to connect as.
    type: str
    required: true
  passfile:
    description:
      - Path on this host of a libpq password file with a line for database V(replication).
      - It must belong to O(owner) with mode 0600. Without it, the connection must need no password.
    type: path
  sslmode:
    description: How the connection is encrypted and the primary's certificate checked.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: verify-ca
  sslrootcert:
    description: Path on this host of the certificate of the authority that signed the primary's certificate.
    type: path
  slot:
    description: Physical replication slot of this standby. It is made when missing, and remade when its WAL is lost.
    type: str
    required: true
  application_name:
    description:
      - Name of the connections in the primary's C(pg_stat_replication).
      - Don't use the standby's own name. A cluster manager could take the copy for the standby.
    type: str
    default: hub_ha_basebackup
  checkpoint:
    description: Whether the primary makes its checkpoint at once or spread over minutes.
    type: str
    choices: [fast, spread]
    default: fast
  max_rate:
    description: Limit of the transfer, as C(pg_basebackup --max-rate) takes it (kB/s, or with suffix V(k) or V(M)).
    type: str
  wait_lock:
    description: Seconds to wait for another run on the same directory.
    type: int
    default: 300
  timeout:
    description: Seconds after which the copy is given up.
    type: int
    default: 86400
  system_identifier:
    description: System identifier that the primary must have. Any other one is refused.
    type: str
  progress_file:
    description:
      - File that holds the progress as JSON while a copy is made.
      - By default C(.hub_ha_clone.progress) beside the data directory.
    type: path
  expected_database_bytes:
    description:
      - Size of the primary's databases in bytes, for the space check before any change.
      - When not given, the space is checked with the server's own estimate as soon as the copy starts.
    type: int
  keep_old:
    description:
      - Whether what the data directory held is kept as DATA_DIR.before-TIME.
      - With V(false) things that are not a database are deleted. A database is kept in any case.
    type: bool
    default: true
  force_aside:
    description:
      - Whether a B(stopped) database that is in the way (another system's, or that of a former primary) is moved
        aside to DATA_DIR.before-TIME. It is never deleted, and a running one is always refused.
    type: bool
    default: false
  verify:
    description: Whether the copy's checksums are compared with its manifest by C(pg_verifybackup).
    type: bool
    default: false
  show_progress:
    description: Whether progress lines are shown. Switch it off for callbacks whose output a program reads.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Does the same checks. What an earlier task has not made yet (programs, role) gives a warning only.
  diff_mode:
    support: full
    description: Shows what the data directory holds before and after.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: Clone the passive hub from the active one
  cfengine.hub_ha.basebackup:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    primary_host: hub1.replication.example.com
    user: cf_replication
    passfile: /var/lib/cfengine3/state/pg/.pgpass
    sslmode: verify-ca
    sslrootcert: /var/lib/cfengine3/state/pg/root.crt
    slot: hub2
    system_identifier: "7438917262638719293"
    expected_database_bytes: 126255104

- name: Clone again over a stopped former primary, whose data is kept aside
  cfengine.hub_ha.basebackup:
    data_dir: /var/cfengine/state/pg/data
    bin_dir: /var/cfengine/bin
    owner: cfpostgres
    primary_host: 192.0.2.12
    user: cf_replication
    passfile: /var/cfengine/state/pg/.pgpass
    slot: hub1
    force_aside: true
"""

RETURN = r"""
state:
  description: V(present) when this host holds a standby of the primary's system, V(predicted) in check mode.
  returned: success
  type: str
  sample: present
data_dir:
  description: The data directory, symbolic links resolved.
  returned: success
  type: str
  sample: /var/lib/cfengine3/state/pg/data
system_identifier:
  description: Identifier of the database system.
  returned: success
  type: str
  sample: "7438917262638719293"
timeline:
  description: Timeline of the clone.
  returned: success
  type: int
  sample: 1
start_lsn:
  description: Where in the WAL the copy starts.
  returned: when a copy was made
  type: str
  sample: 0/2000028
bytes:
  description: Bytes copied.
  returned: when a copy was made
  type: int
  sample: 126255104
seconds:
  description: Time that the copy took.
  returned: when a copy was made
  type: float
  sample: 1.62
rate:
  description: Bytes per second.
  returned: when a copy was made
  type: float
  sample: 77935249.4
old_data_dir:
  description: Where what was in the data directory is kept, or null.
  returned: success
  type: str
  sample: null
resumed:
  description: Whether a copy that an earlier run had finished was only put in place.
  returned: success
  type: bool
  sample: false
slot_action:
  description: What was done with the replication slot, V(created), V(recreated) or V(kept).
  returned: when changed
  type: str
  sample: created
kind:
  description:
    - Which error it was, for programs.
    - Such as V(primary), V(forked), V(foreign), V(password), V(pg_hba), V(tls), V(space).
  returned: failure
  type: str
  sample: primary
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone_run import CloneRun, Options
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone_source import Source

ARGUMENTS = {
    "data_dir": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "owner": {"type": "str", "required": True},
    "group": {"type": "str"},
    "primary_host": {"type": "str", "required": True},
    "primary_port": {"type": "int", "default": 5432},
    "user": {"type": "str", "required": True},
    "passfile": {"type": "path", "no_log": False},
    "sslmode": {"type": "str", "default": "verify-ca",
                "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "sslrootcert": {"type": "path"},
    "slot": {"type": "str", "required": True},
    "application_name": {"type": "str", "default": "hub_ha_basebackup"},
    "checkpoint": {"type": "str", "default": "fast", "choices": ["fast", "spread"]},
    "max_rate": {"type": "str"},
    "wait_lock": {"type": "int", "default": 300},
    "timeout": {"type": "int", "default": 86400},
    "system_identifier": {"type": "str"},
    "progress_file": {"type": "path"},
    "expected_database_bytes": {"type": "int"},
    "keep_old": {"type": "bool", "default": True},
    "force_aside": {"type": "bool", "default": False},
    "verify": {"type": "bool", "default": False},
    "show_progress": {"type": "bool", "default": True},
}


def clone_run(params, run, check_mode=False, warn=lambda text: None, statvfs=os.statvfs):
    """The run that the module's arguments describe."""
    source = Source(host=params["primary_host"], port=params["primary_port"], **{key: params[key] for key in (
        "user", "slot", "passfile", "sslmode", "sslrootcert", "application_name", "system_identifier")})
    options = Options(expected_bytes=params["expected_database_bytes"], **{key: params[key] for key in (
        "checkpoint", "max_rate", "wait_lock", "timeout", "keep_old", "force_aside", "verify")})
    postgres = Postgres(run, params["bin_dir"], params["owner"], params["group"])
    return CloneRun(postgres, params["data_dir"], source, options, dry_run=check_mode, warn=warn,
                    progress_file=params["progress_file"], statvfs=statvfs)


def result_of(outcome):
    """The module's result."""
    result = {key: getattr(outcome, key) for key in ("changed", "state", "data_dir", "old_data_dir", "resumed",
                                                     "system_identifier", "timeline")}
    if outcome.changed:
        result["diff"] = {"before": outcome.before, "after": outcome.after}
    if outcome.copied:
        copied = outcome.copied
        result.update(slot_action=copied.slot, start_lsn=copied.start_lsn)
        if copied.size is not None:
            result.update(bytes=copied.size, seconds=round(copied.seconds, 3),
                          rate=round(copied.size / max(copied.seconds, 0.001), 1))
    return result


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = result_of(clone_run(module.params, local_runner, module.check_mode, module.warn).run())
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(kind="os", msg="Working on %s failed: %s. The database there was not changed; mend the cause "
                         "and run again." % (module.params["data_dir"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
