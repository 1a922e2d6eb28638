#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_info
short_description: Replication state of the PostgreSQL server of a hub
version_added: "1.0.0"
description:
  - Tells whether the server is the primary, a standby, stopped or not there, where it is in the WAL, how far behind,
    who replicates from it, and which settings wait for a restart.
  - One query over the local socket. Of a stopped server, C(pg_controldata) tells what can be known.
  - Changes nothing. No password and no connection string is returned.
options:
  data_dir:
    description: Data directory.
    type: path
    required: true
  bin_dir:
    description: Directory with C(psql) and C(pg_controldata). When not given, they are looked up in the path.
    type: path
  socket_dir:
    description: Directory of the server's socket. When not given, what C(postmaster.pid) says.
    type: path
  port:
    description: Port of the server. When not given, what C(postmaster.pid) says.
    type: int
  database:
    description: Database to connect to.
    type: str
    default: postgres
  login_role:
    description: Role to connect as. It must be a superuser, or see less.
    type: str
    default: root
  wait:
    description:
      - Seconds for which a server that runs and does not answer is asked again, whatever it says. It may be starting, or
        all its connections may be taken.
    type: int
    default: 0
  wait_for_stop:
    description: Whether a server that is shutting down is asked again too, for O(wait) seconds.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Changes nothing at any time.
  diff_mode:
    support: none
    description: Changes nothing at any time.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: Ask PostgreSQL
  cfengine.hub_ha.replication_info:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
  register: replication

- name: The standby streams
  ansible.builtin.assert:
    that:
      - replication.senders | selectattr('state', 'equalto', 'streaming') | length == 1
"""

RETURN = r"""
role:
  description: V(primary), V(standby), V(stopped), or V(absent) when there is no database in O(data_dir).
  returned: success
  type: str
  sample: primary
running:
  description: Whether the server runs.
  returned: success
  type: bool
  sample: true
pid:
  description: Process id of the postmaster, or null.
  returned: success
  type: int
  sample: 812
state:
  description: Cluster state of a stopped server as C(pg_controldata) prints it, or null.
  returned: success
  type: str
  sample: shut down in recovery
starts_as:
  description: What a stopped server would start as, V(primary) or V(standby), or null.
  returned: success
  type: str
  sample: standby
version_num:
  description: Version as a number, of a stopped server only the major version.
  returned: success
  type: int
  sample: 170005
timeline:
  description:
    - Timeline that the server is on. A standby's is the one that it replays, or null when no walsender is free to tell it.
    - Of a stopped server that of its last checkpoint, or of the promotion after it.
  returned: success
  type: int
  sample: 1
history:
  description: Where the timeline's history left each earlier timeline.
  returned: success
  type: list
  elements: dict
  sample: [{"timeline": 1, "lsn": "0/3000148"}]
system_identifier:
  description: Identifier of the database system, the same on a primary and its standbys.
  returned: success
  type: str
  sample: "7438917262638719293"
current_lsn:
  description: Where a primary writes. Of a stopped one, its last checkpoint.
  returned: success
  type: str
  sample: 0/3000148
current_bytes:
  description: The same as a number.
  returned: success
  type: int
  sample: 50331976
receive_lsn:
  description: Up to where a standby has received and flushed.
  returned: success
  type: str
  sample: 0/3000148
receive_bytes:
  description: The same as a number.
  returned: success
  type: int
  sample: 50331976
replay_lsn:
  description: Up to where a standby has replayed. Of a stopped one, the least that it has.
  returned: success
  type: str
  sample: 0/3000148
replay_bytes:
  description: The same as a number.
  returned: success
  type: int
  sample: 50331976
lag_bytes:
  description:
    - On a standby, received and not yet replayed. On a primary, the largest one of its streaming senders.
    - Null when it is unknown, as of a standby that has not told of anything that it has replayed.
  returned: success
  type: int
  sample: 0
lag_seconds:
  description:
    - On a standby, age of the last replayed commit, 0 when all is replayed. On a primary, the largest one.
    - Null when it is unknown, as on a standby that receives nothing.
  returned: success
  type: float
  sample: 0.0
replay_paused:
  description:
    - Whether replay is paused on a standby, or is about to be, by C(pg_wal_replay_pause()) or by PostgreSQL itself because
      a setting in RV(not_lower) is lower than the primary's.
  returned: success
  type: bool
  sample: false
not_lower:
  description: Settings that must not be lower on a standby than on its primary, with the running value of each.
  returned: success
  type: dict
  sample: {"max_connections": 100, "max_worker_processes": 8, "max_wal_senders": 10, "max_prepared_transactions": 0,
           "max_locks_per_transaction": 64}
archiver:
  description:
    - What C(pg_stat_archiver) says on a server that archives its WAL, else null.
    - Its key failing is true when the last attempt to archive a file failed.
  returned: success
  type: dict
  sample: {"failing": false, "last_failed_wal": null, "last_failed_time": null,
           "last_archived_wal": "000000010000000000000003", "last_archived_time": "2026-11-29T04:00:00+00:00"}
slots:
  description: Replication slots. What the version does not know is null.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "hub2", "type": "physical", "active": true, "active_pid": 901, "wal_status": "reserved",
            "restart_lsn": "0/3000148", "retained_bytes": 0, "safe_wal_size": 1073741824, "invalidation_reason": null}]
senders:
  description: Who replicates from this server.
  returned: success
  type: list
  elements: dict
  sample: [{"application_name": "hub2", "client_addr": "192.0.2.12", "state": "streaming", "sync_state": "async",
            "ssl": true, "lag_bytes": 0, "lag_seconds": 0.0}]
receiver:
  description: From whom this server receives, or null.
  returned: success
  type: dict
  sample: {"status": "streaming", "sender_host": "192.0.2.11", "sender_port": 5432, "slot_name": "hub2",
           "sslmode": "verify-ca"}
pending_restart:
  description:
    - Names of settings that are changed in the files and wait for a restart, as C(pg_settings) has them.
    - PostgreSQL keeps a name here, too, when its line was only taken away again. To clear it, write the running value.
  returned: success
  type: list
  elements: str
  sample: []
stopping:
  description: Whether a server that runs did not answer because it is shutting down.
  returned: when a server runs and does not answer
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.status import gather_patiently


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "data_dir": {"type": "path", "required": True},
        "bin_dir": {"type": "path"},
        "socket_dir": {"type": "path"},
        "port": {"type": "int"},
        "database": {"type": "str", "default": "postgres"},
        "login_role": {"type": "str", "default": "root"},
        "wait": {"type": "int", "default": 0},
        "wait_for_stop": {"type": "bool", "default": True},
    })
    try:
        wanted = {key: module.params[key] for key in (
            "data_dir", "database", "login_role", "port", "socket_dir", "wait", "wait_for_stop")}
        result = gather_patiently(Postgres(local_runner, module.params["bin_dir"] or ""), **wanted)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="The data directory %s cannot be read: %s" % (module.params["data_dir"], error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
