#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_look
short_description: (internal) Which full backups lie somewhere, and whether they are whole
version_added: "1.0.0"
description:
  - Reads directories for full backups, or single full backups, with the manifest of each.
  - A backup without a manifest is being made, or was cut short. Sizes are compared with the manifest, and with O(digest)
    every file.
  - Changes nothing.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  paths:
    description: The directories.
    type: list
    elements: path
    required: true
  digest:
    description: Read every file and compare its SHA-256 with the manifest. For large databases this takes minutes.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reads only, so check mode and a real run are the same.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: What is there
  cfengine.hub_ha.backup_look:
    paths: [/var/backups/cfengine-hub-ha-full]
  register: look
"""

RETURN = r"""
looks:
  description:
    - For each path what lies there, the backups with manifest, problems and whether they are complete.
    - Of a directory also what runs have there that still go on or were cut off (unfinished), and whether one copies a
      database into it now (locked).
  returned: success
  type: list
  elements: dict
container:
  description: What tells that the host may be a container, in words; null where nothing does.
  returned: success
  type: str
  sample: /run/.containerenv is there
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import full_backup
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import container


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(paths=dict(type="list", elements="path", required=True),
                           digest=dict(type="bool", default=False)),
        supports_check_mode=True,
    )
    try:
        looks = [full_backup.look(path, module.params["digest"]) for path in module.params["paths"]]
    except OSError as error:
        module.fail_json(msg="the backups cannot be read: %s" % error)
    module.exit_json(changed=False, looks=looks, container=container.evidence())


if __name__ == "__main__":
    main()
