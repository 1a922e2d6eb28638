#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_seal
short_description: (internal) Completes a full backup - the hubs' own files, the CIB, and last the manifest
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
  fetched_only:
    description: With O(state=pruned), whether only those count and go that were fetched and stayed here too.
    type: bool
    default: false
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import full_backup, full_backup_seal


def work(params, check_mode):
    """Does what the state says; returns the module's result. Raises HubError, OSError, ValueError, KeyError."""
    path, state = params["path"], params["state"]
    if state == "sealed":
        sealed = full_backup_seal.Sealed(0, False, 0) if check_mode else full_backup_seal.seal(
            path, params["database"], params["archives"], params["facts"], local_runner)
        return {"changed": True, "files": sealed.files, "cib": sealed.cib, "bytes": sealed.bytes}
    if state == "pruned":
        gone = full_backup.prune(path, params["keep"], params["system_identifier"], check_mode, params["fetched_only"])
    elif state == "cleared":
        gone = full_backup.clear(path, params["unfinished"], check_mode)
    else:
        gone = full_backup.absent(path, check_mode)
    return {"changed": bool(gone), "removed": gone,
            "diff": {"before": "".join("%s\n" % name for name in gone), "after": ""}}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["sealed", "pruned", "cleared", "absent"], default="sealed"),
            path=dict(type="path", required=True),
            archives=dict(type="dict", default={}, no_log=True),
            facts=dict(type="dict", default={}),
            database=dict(type="dict", default={}),
            keep=dict(type="int", default=0),
            system_identifier=dict(type="str"),
            fetched_only=dict(type="bool", default=False),
            unfinished=dict(type="list", elements="dict", default=[]),
        ),
        required_if=[("state", "pruned", ["system_identifier"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = work(params, module.check_mode)
    except HubError as error:
        fail(module, error)
    except (OSError, ValueError, KeyError) as error:
        module.fail_json(msg="%s could not be %s: %s" % (params["path"], params["state"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
