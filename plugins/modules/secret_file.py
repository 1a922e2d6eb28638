#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_file
short_description: A file with a secret, written without a copy on the controller
version_added: "1.0.0"
description:
  - Writes a secret to a file with tight permissions, or makes a random one once and returns it.
  - Unlike M(ansible.builtin.copy) with C(content), nothing is written to the controller's disk,
    and the content never appears in a diff.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: Path of the file. Its directory must exist, except in check mode.
    type: path
    required: true
  content:
    description: The secret text. A line break is added at its end if it has none.
    type: str
  generate:
    description:
      - When there is no such file, make one from that many random bytes (written as text, two hex digits a byte).
      - The content is returned as RV(secret), so register the task with C(no_log).
    type: int
  owner:
    description: Owner of the file.
    type: str
    default: root
  group:
    description: Group of the file.
    type: str
    default: root
  mode:
    description: Permissions, octal, as text.
    type: str
    default: "0600"
attributes:
  check_mode:
    description: Reports what a real run would change. A secret that would be generated is not returned.
    support: full
  diff_mode:
    description: Shows permissions and whether the content differs, never the content.
    support: partial
"""

EXAMPLES = r"""
- name: Make the key once
  cfengine.hub_ha.secret_file:
    path: /etc/corosync/authkey
    generate: 128
    mode: "0400"
  no_log: true
  register: key

- name: Give it to the other hub
  cfengine.hub_ha.secret_file:
    path: /etc/corosync/authkey
    content: "{{ key.secret }}"
    mode: "0400"
  no_log: true
"""

RETURN = r"""
secret:
  description: The text of the file without its last line break, when O(generate) is used.
  returned: when generate is given and the file exists
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import secret


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            content=dict(type="str", no_log=True),
            generate=dict(type="int"),
            owner=dict(type="str", default="root"),
            group=dict(type="str", default="root"),
            mode=dict(type="str", default="0600"),
        ),
        required_one_of=[("content", "generate")],
        mutually_exclusive=[("content", "generate")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        done = secret.ensure(params["path"], params["owner"], params["group"], params["mode"], params["content"],
                             params["generate"], module.check_mode)
    except HubError as error:
        fail(module, error)
    result = {"changed": done.changed, "diff": {"before_header": params["path"], "after_header": params["path"],
                                                "before": done.before, "after": done.after}}
    if params["generate"] and done.secret is not None:
        result["secret"] = done.secret
    module.exit_json(**result)


if __name__ == "__main__":
    main()
