#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_check
short_description: Proves that a CFEngine host can read a file from its hubs with the keys that it trusts
version_added: "1.0.0"
description:
  - Has C(cf-agent) copy one file from each address into a temporary directory, trusting no new key. That succeeds only
    when both ends trust each other and the server admits this host.
  - C(cf-net) is no such proof; it trusts every server, keeps its key as a trusted one and ends with 0 when it fails.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  addresses:
    description: Addresses of CFEngine servers.
    type: list
    elements: str
    required: true
  path:
    description: A file that each of them serves to this host.
    type: str
    required: true
  agent:
    description: Path of cf-agent on this host.
    type: path
    required: true
  timeout:
    description: Seconds for each address.
    type: int
    default: 10
attributes:
  check_mode:
    description: Changes nothing, so check mode and a real run are the same.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: The shared address serves policy, and we trust who answers
  cfengine.hub_ha.policy_check:
    addresses: [192.168.100.100]
    path: /var/cfengine/masterfiles/promises.cf
    agent: /var/cfengine/bin/cf-agent
"""

RETURN = r"""
read:
  description: The addresses from which the file was read.
  returned: always
  type: list
  elements: str
failed_addresses:
  description: For each other address, what cf-agent said.
  returned: when there is one
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import policy_check
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            addresses=dict(type="list", elements="str", required=True),
            path=dict(type="str", required=True),
            agent=dict(type="path", required=True),
            timeout=dict(type="int", default=10),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        good, bad = policy_check.check(local_runner, params["agent"], params["addresses"], params["path"],
                                       params["timeout"])
    except HubError as error:
        fail(module, error)
    if bad:
        module.fail_json(
            msg="%s could not be read from %s. Is cf-serverd running there, and do both ends trust each other's key?"
            % (params["path"], "; nor from ".join("%s (%s)" % item for item in sorted(bad.items()))),
            read=good, failed_addresses=bad)
    module.exit_json(changed=False, read=good)


if __name__ == "__main__":
    main()
