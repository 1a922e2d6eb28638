#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_backup
short_description: (internal) Saves a hub's configuration, keys and CIB with a manifest
version_added: "1.0.0"
description:
  - Copies the files that a high availability set-up changes, and the CIB if there is one, to a new directory named
    after the time, readable by root only, with a manifest of sizes, owners, modes and SHA-256 digests.
  - Does nothing when the newest complete backup holds the same configuration already.
  - The database itself is not copied.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  directory:
    description: Where the backups go, one directory each.
    type: path
    required: true
  files:
    description: Files (or shell patterns) whose change makes a new backup necessary. Missing ones are noted.
    type: list
    elements: str
    required: true
  also:
    description: Files (or shell patterns) that are saved too, but do not by themselves make a new backup necessary.
    type: list
    elements: str
    default: []
  trees:
    description:
      - Directories that are saved whole, each as one compressed tar archive, if a file in them has changed.
      - CFEngine's own notes C(cf_promises_validated) and C(cf_promises_release_id) do not count as a change.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Reports whether a backup would be made.
    support: full
  diff_mode:
    description: Shows the files that differ from the newest backup, by name.
    support: full
"""

EXAMPLES = r"""
- name: Save the hub's configuration
  cfengine.hub_ha.hub_backup:
    directory: /var/backups/cfengine-hub-ha
    files: [/etc/corosync/corosync.conf, /var/cfengine/masterfiles/def.json]
    also: ["/var/cfengine/ppkeys/*"]
"""

RETURN = r"""
path:
  description: Directory of the newest backup, the one just made included. Null when there is none (check mode).
  returned: always
  type: str
saved:
  description: Number of files in the new backup.
  returned: when changed
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import hub_backup
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner


def after(found):
    """What the diff shows of a Comparison, by name."""
    return "".join("save %s\n" % name for name in found.differing if name in found.marks) \
        + "".join("no more to be saved here: %s\n" % name for name in found.differing if name not in found.marks)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", required=True),
            files=dict(type="list", elements="str", required=True),
            also=dict(type="list", elements="str", default=[]),
            trees=dict(type="list", elements="path", default=[]),
        ),
        supports_check_mode=True,
    )
    wanted = hub_backup.Wanted(**module.params)
    try:
        found = hub_backup.compare(wanted, local_runner)
        result = {"changed": found.due, "path": found.path, "diff": {
            "before_header": found.path or "no backup", "after_header": "new backup", "before": "",
            "after": after(found)}}
        if found.due and not module.check_mode:
            result["path"], result["saved"] = hub_backup.save(wanted, found)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="the backup to %s failed: %s" % (wanted.directory, error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
