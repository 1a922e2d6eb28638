#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_restore
short_description: (internal) Puts files back as a backup of a hub holds them
version_added: "1.0.0"
description:
  - Takes a backup that M(cfengine.hub_ha.hub_backup) made and puts single files back from it, with owner and mode.
  - Everything is looked at first; a backup that lacks a file or whose copy is damaged changes nothing.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  directory:
    description: Where the backups are.
    type: path
    required: true
  files:
    description: Files to put back. Each must be in the backup.
    type: list
    elements: path
    default: []
  optional:
    description: Files to put back if they are in the backup, and to remove if they are not.
    type: list
    elements: path
    default: []
  backup:
    description: The backup to take, a directory below O(directory). Empty for the newest one that fits.
    type: path
  lacking:
    description: Take the newest backup that holds all of O(files) and does not hold this file.
    type: path
  holding:
    description: Take the newest backup that holds this file. If there is none, nothing is done.
    type: path
attributes:
  check_mode:
    description: Reports what would be put back.
    support: full
  diff_mode:
    description: Shows the files by name; what is in them stays hidden.
    support: full
seealso:
  - module: cfengine.hub_ha.hub_backup
"""

EXAMPLES = r"""
- name: PostgreSQL's configuration as it was before the upgrade
  cfengine.hub_ha.hub_restore:
    directory: /var/backups/cfengine-hub-ha
    files:
      - /var/cfengine/state/pg/data/postgresql.conf
      - /var/cfengine/state/pg/data/pg_hba.conf
    optional: [/var/cfengine/state/pg/data/hub_ha.conf]
    lacking: /var/cfengine/state/pg/data/hub_ha.conf
"""

RETURN = r"""
path:
  description: The backup that was taken, null when there was nothing to do.
  returned: success
  type: str
restored:
  description: Files that were put back because they differed.
  returned: success
  type: list
  elements: str
removed:
  description: Files that were removed because the backup does not hold them.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import store
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", required=True),
            files=dict(type="list", elements="path", default=[]),
            optional=dict(type="list", elements="path", default=[]),
            backup=dict(type="path"),
            lacking=dict(type="path"),
            holding=dict(type="path"),
        ),
        mutually_exclusive=[("backup", "lacking", "holding")],
        supports_check_mode=True,
    )
    params = module.params
    choice = store.Choice(params["backup"], params["lacking"], params["holding"])
    try:
        plan = store.restore_plan(params["directory"], params["files"], params["optional"], choice)
        if not module.check_mode:
            store.restore(plan)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="putting files back from %s failed: %s" % (params["directory"], error))
    after = ["%s as in %s\n" % (name, plan.path) for name in plan.names] \
        + ["%s removed\n" % name for name in plan.removed]
    module.exit_json(changed=bool(after), path=plan.path, restored=plan.names, removed=list(plan.removed),
                     diff={"before": "", "after": "".join(after)})


if __name__ == "__main__":
    main()
