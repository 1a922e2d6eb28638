#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: client_info
short_description: What a CFEngine host knows of its hubs
version_added: "1.0.0"
description:
  - Reads identity, policy hub and list of hubs of one client in one round trip. A hub also says its role and the list
    that it serves.
  - Changes nothing. No private key is read.
author:
  - cfengine.hub_ha authors (@cfengine)
options: {}
attributes:
  check_mode:
    description: Reads only, so check mode and a real run are the same.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Know the client
  cfengine.hub_ha.client_info:
  register: client
"""

RETURN = r"""
client:
  description: The facts.
  returned: always
  type: dict
  contains:
    uname:
      description: Output of C(uname -n).
      type: str
    layout:
      description: Paths, users and units.
      type: dict
    installed:
      description: Whether CFEngine is installed.
      type: bool
    version:
      description: Its version, or null.
      type: str
    key_digest:
      description: Digest of the host's key, such as C(MD5=...), or null.
      type: str
    key_public:
      description: The public key, or null.
      type: str
    policy_server:
      description: Address from which the host gets its policy, or null when it is not bootstrapped.
      type: str
    am_policy_hub:
      description: Whether the host is a policy hub.
      type: bool
    hub_list:
      description: The list of hubs that came with the policy that the host runs, or null.
      type: dict
    served_list:
      description: The list of hubs that the host, being a hub, serves, or null.
      type: dict
    role:
      description: Of a hub, V(active), V(passive) or V(unknown), as its agent last asked the cluster; else null.
      type: str
    units:
      description: Load, active and enabled state of CFEngine's units.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        client = probe.client(local_runner)
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, client=client)


if __name__ == "__main__":
    main()
