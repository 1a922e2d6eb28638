#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rpm_packages
short_description: Installs packages with dnf, with any Python
version_added: "1.0.0"
description:
  - Installs what is missing in one transaction of the program C(dnf), after enabling a repository if that is asked for.
  - Needs no Python library of dnf's. On RHEL 8 that library is there for a Python only that Ansible does not support
    any more, so M(ansible.builtin.dnf) cannot be used.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  name:
    description: Packages that must be installed, in whatever version.
    type: list
    elements: str
    required: true
  repository:
    description: Id of a repository that must be enabled for it; empty for none.
    type: str
    default: ""
  enable:
    description: Command and arguments that enable O(repository), for good.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows the packages and the repository.
    support: full
"""

EXAMPLES = r"""
- name: Install the cluster's packages on a rebuild of RHEL 9
  cfengine.hub_ha.rpm_packages:
    name: [corosync, pacemaker]
    repository: highavailability
    enable: [dnf, config-manager, --set-enabled, highavailability]
"""

RETURN = r"""
installed:
  description: What was missing and is installed now, or would be.
  returned: always
  type: list
  elements: str
enabled:
  description: Whether the repository was enabled, or would be.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import rpm


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            name=dict(type="list", elements="str", required=True),
            repository=dict(type="str", default=""),
            enable=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    repository = module.params["repository"]
    try:
        done = rpm.ensure(local_runner, module.params["name"], repository, module.params["enable"], module.check_mode)
    except HubError as error:
        fail(module, error)
    lines = ["repository %s enabled" % repository] if done.enabled else []
    lines += ["%s %s" % item for item in done.installed]
    module.exit_json(changed=bool(lines), installed=[name for name, dummy in done.installed], enabled=done.enabled,
                     diff={"before": "", "after": "".join(line + "\n" for line in lines)})


if __name__ == "__main__":
    main()
