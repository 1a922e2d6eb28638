#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_boolean
short_description: Switches a boolean of SELinux on, now and for good
version_added: "1.0.0"
description:
  - Runs C(setsebool -P) when the boolean is off. Needs no Python library of SELinux's.
  - On a host without SELinux, or whose policy does not know the boolean, nothing is done.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  name:
    description: Name of the boolean.
    type: str
    required: true
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows the boolean before and after.
    support: full
"""

EXAMPLES = r"""
- name: Let CFEngine's daemons ask the cluster
  cfengine.hub_ha.selinux_boolean:
    name: daemons_enable_cluster_mode
"""

RETURN = r"""
before:
  description: Whether it was on; null where there is no such boolean.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import selinux


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=dict(name=dict(type="str", required=True)), supports_check_mode=True)
    name = module.params["name"]
    try:
        before = selinux.switch_on(local_runner, name, module.check_mode)
    except HubError as error:
        fail(module, error)
    diff = {"before": "%s %s\n" % (name, before), "after": "%s %s\n" % (name, before is not None)}
    module.exit_json(changed=before is False, before=before, diff=diff)


if __name__ == "__main__":
    main()
