#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_seal
short_description: Completes a full backup - the hubs' own files, the CIB, and last the manifest
version_added: "1.0.0"
description:
  - Adds to the directory that M(cfengine.hub_ha.backup_database) has made the archives of the hubs, the live CIB if
    there is one, and at the very end the manifest, with size and SHA-256 of each file. Without it nothing counts.
  - With O(state=pruned) removes the oldest complete backups of the same database instead.
  - With O(state=cleared) removes what runs left that were cut off, unless a run holds the directory's lock.
  - With O(state=absent) removes one backup, its manifest first.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  state:
    description: Whether to complete one backup, or which ones to remove.
    type: str
    choices: [sealed, pruned, cleared, absent]
    default: sealed
  path:
    description: The backup, or with O(state=pruned) and O(state=cleared) the directory that holds backups.
    type: path
    required: true
  archives:
    description: For each hub's name what M(cfengine.hub_ha.hub_archive) returned.
    type: dict
    default: {}
  facts:
    description: What the manifest says of the hubs.
    type: dict
    default: {}
  database:
    description: Result of M(cfengine.hub_ha.backup_database).
    type: dict
    default: {}
  keep:
    description: With O(state=pruned), how many complete backups stay, the newest ones. V(0) is all.
    type: int
    default: 0
  system_identifier:
    description: With O(state=pruned), the database whose backups are meant. Others in the directory stay.
    type: str
  unfinished:
    description:
      - With O(state=cleared), what goes, as M(cfengine.hub_ha.backup_look) found it. What has changed since stays.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Reports what would be made or removed.
    support: full
  diff_mode:
    description: Shows what is removed.
    support: full
"""

EXAMPLES = r"""
- name: Complete the backup
  cfengine.hub_ha.backup_seal:
    path: "{{ database.path }}"
    archives: {hub1: "{{ saved.archive }}"}
    facts: "{{ plan.facts }}"
    database: "{{ database }}"
  no_log: true

- name: Keep seven
  cfengine.hub_ha.backup_seal:
    state: pruned
    path: /var/backups/cfengine-hub-ha-full
    keep: 7
    system_identifier: "7438917262638719293"
"""

RETURN = r"""
files:
  description: Number of files in the archives.
  returned: with state=sealed
  type: int
cib:
  description: Whether there is a CIB in the backup.
  returned: with state=sealed
  type: bool
bytes:
  description: Size of the whole backup.
  returned: with state=sealed
  type: int
removed:
  description: Backups that were (or would be) removed.
  returned: with state=pruned, state=cleared and state=absent
  type: list
  elements: str
"""

import base64
import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.live import read_cib
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive as archives
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import fsync_path, replace_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    backup_format,
    full_backup as full_backup_loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup as full_backup


def add(path, name, data):
    """Write one file of the backup; returns its entry for the manifest."""
    replace_file(os.path.join(path, name), data, 0o600, os.geteuid(), os.getegid())
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def seal(params, run, clock=time.gmtime):
    """Completes the backup; returns the module's result. Raises HubError."""
    path, database = params["path"], params["database"]
    count, members = 0, [database["member"]]
    for node, text in sorted(params["archives"].items()):
        count += len(archives.unpack(text, lambda name: True))
        members.append(add(path, backup_format.member(node), base64.b64decode(text)))
    cib = read_cib(run)
    if cib:
        members.append(add(path, backup_format.CIB, cib.encode("utf-8")))
    postgres = dict(params["facts"]["postgres"], **dict((key, database[key]) for key in (
        "bytes", "timeline", "start_lsn", "end_lsn", "server_version", "wal_checked")))
    manifest = dict(params["facts"], format=backup_format.FORMAT, name=os.path.basename(path), members=members,
                    time=time.strftime("%Y-%m-%dT%H:%M:%SZ", clock()), postgres=postgres)
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    backup_format.parse_manifest(text)
    add(path, backup_format.MANIFEST, text.encode("utf-8"))
    fsync_path(path)
    fsync_path(os.path.dirname(path))
    if not full_backup_loader.judge(path)["fetched"]:
        os.unlink(os.path.join(path, backup_format.RUN))  # a whole backup that stays is no run's any more
    return {"changed": True, "files": count, "cib": bool(cib), "bytes": sum(item["bytes"] for item in members)}


def prune(params, check_mode):
    """Removes old backups; returns the module's result."""
    backups = full_backup_loader.look(params["path"])["backups"]
    gone = full_backup.expired(backups, params["keep"], params["system_identifier"])
    for path in [] if check_mode else gone:
        full_backup_loader.remove(path)
    return removed(gone)


def removed(gone):
    """The module's result."""
    return {"changed": bool(gone), "removed": gone,
            "diff": {"before": "".join("%s\n" % path for path in gone), "after": ""}}


def absent(path, check_mode):
    """Removes one backup; returns the module's result."""
    gone = [path] if os.path.lexists(path) else []
    for path in [] if check_mode else gone:
        full_backup_loader.remove(path)
    return removed(gone)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["sealed", "pruned", "cleared", "absent"], default="sealed"),
            path=dict(type="path", required=True),
            archives=dict(type="dict", default={}, no_log=True),
            facts=dict(type="dict", default={}),
            database=dict(type="dict", default={}),
            keep=dict(type="int", default=0),
            system_identifier=dict(type="str"),
            unfinished=dict(type="list", elements="dict", default=[]),
        ),
        required_if=[("state", "pruned", ["system_identifier"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "pruned":
            result = prune(params, module.check_mode)
        elif params["state"] == "cleared":
            result = removed(full_backup_loader.clear(params["path"], params["unfinished"], module.check_mode))
        elif params["state"] == "absent":
            result = absent(params["path"], module.check_mode)
        elif module.check_mode:
            result = {"changed": True, "files": 0, "cib": False, "bytes": 0}
        else:
            result = seal(params, local_runner)
    except HubError as error:
        fail(module, error)
    except (OSError, ValueError, KeyError) as error:
        module.fail_json(msg="%s could not be %s: %s" % (params["path"], params["state"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
