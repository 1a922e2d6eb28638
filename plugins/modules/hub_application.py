#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts the application hub-ha on a hub."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_application
short_description: (internal) Puts the application hub-ha on a hub
version_added: 0.1.0
description:
  - Package C(hubha) of this collection as one file (a Python zip application), and a program C(/usr/local/sbin/hub-ha)
    that runs it with the interpreter that Ansible uses on the hub. Nothing is downloaded.
  - The same sources always make the same file, so its digest says whether it is there already. It is put in place by
    one rename; a program that runs goes on with what it has loaded.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
  sha256:
    description: Digest of the application. Set by the action plugin, which builds it.
    type: str
    default: ''
  version:
    description: Version of the application. Set by the action plugin.
    type: str
    default: ''
  src:
    description: Where the application has been sent to on the hub. Set by the action plugin, when it has to be sent.
    type: path
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: Versions and digests.
    support: full
"""

EXAMPLES = r"""
- name: The application
  cfengine.hub_ha.hub_application:
"""

RETURN = r"""
sha256:
  description: Digest of the application as it is to be; empty when it is to be absent.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
version:
  description: Version of the application as it is to be; empty when it is to be absent.
  returned: always
  type: str
  sample: 0.1.0
needed:
  description: Whether the file itself has to be sent.
  returned: when O(state=present)
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import application


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=dict(
        state=dict(type="str", choices=["present", "absent"], default="present"),
        sha256=dict(type="str", default=""), version=dict(type="str", default=""), src=dict(type="path"),
    ), supports_check_mode=True)
    wanted, places = module.params, application.Places()
    headers = {"before_header": places.file, "after_header": places.file}
    try:
        if wanted["state"] == "absent":
            done = application.absent(module.check_mode, places)
            module.exit_json(changed=done.changed, sha256="", version="",
                             diff=dict(headers, before=done.before, after=done.after))
        if not wanted["sha256"]:
            module.fail_json(msg="sha256 is not given: the action plugin of this module builds the application")
        done = application.present(wanted["sha256"], wanted["version"], wanted["src"], module.check_mode, places=places)
    except HubError as error:
        fail(module, error)
    diff = [dict(headers, before=done.before, after=done.after)]
    if done.program_before != done.program_after:
        diff.append({"before_header": places.program, "after_header": places.program,
                     "before": done.program_before, "after": done.program_after})
    module.exit_json(changed=done.changed, sha256=wanted["sha256"], version=wanted["version"], needed=done.needed,
                     diff=diff)


if __name__ == "__main__":
    main()
