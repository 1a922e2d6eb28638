#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: augments
short_description: Puts classes, inputs and variables into CFEngine's def.json and leaves everything else there alone
version_added: "1.0.0"
description:
  - Merges into the augments file of a policy hub. What the operator keeps in it stays, in its order.
  - The file is replaced in one step, and only when something is missing. Its mode is kept.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: The augments file. It is made, with mode 0600, when it does not exist.
    type: path
    required: true
  wanted:
    description: What must be in it.
    type: dict
    required: true
    suboptions:
      classes:
        description: Class names with their lists of class expressions, which are set to exactly these.
        type: dict
        default: {}
      inputs:
        description: Policy files that are read too.
        type: list
        elements: str
        default: []
      lists:
        description:
          - Names of list variables, each with C(items) that it must hold, and C(default), what the policy takes while
            nobody sets the variable.
        type: dict
        default: {}
      defaults:
        description: Variables that are set only while nobody has set them.
        type: dict
        default: {}
      absent:
        description: What must not be in it, C(classes) (a list of names) and C(lists) (variables with items).
        type: dict
        default: {}
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows the parts that O(wanted) names, and nothing else of the file.
    support: full
"""

EXAMPLES = r"""
- name: Switch the class on
  cfengine.hub_ha.augments:
    path: /var/cfengine/masterfiles/def.json
    wanted:
      classes:
        enable_cfengine_enterprise_hub_ha: ["any::"]
      lists:
        acl:
          items: [192.168.100.10, 192.168.100.11]
          default: [$(sys.policy_hub)/16]
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
sha256:
  description: The digest of the file as it is now, or as a real run would leave it.
  returned: always
  type: str
"""

import hashlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import augments
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            wanted=dict(type="dict", required=True, options=dict(
                classes=dict(type="dict", default={}),
                inputs=dict(type="list", elements="str", default=[]),
                lists=dict(type="dict", default={}),
                defaults=dict(type="dict", default={}),
                absent=dict(type="dict", default={}),
            )),
        ),
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        done = augments.ensure(path, module.params["wanted"], module.check_mode)
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=done.changed, path=path, sha256=hashlib.sha256(done.text.encode("utf-8")).hexdigest(),
                     diff={"before_header": path, "after_header": path, "before": done.before, "after": done.after})


if __name__ == "__main__":
    main()
