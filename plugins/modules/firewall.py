#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Lets in exactly what a pair of hubs needs, through the firewall that the host has
version_added: "1.0.0"
description:
  - Finds out whether firewalld, ufw or the operator's own nftables ruleset is active, and adds rules of its own to it,
    in what runs and in what is loaded at boot. Nothing is flushed or reloaded, and no rule of the operator's changes.
  - Its own rules carry a mark (firewalld the priority -5308 or 5308, ufw the comment C(hub_ha), nftables are in chains
    named C(hub_ha) and C(hub_ha_clients)). Those that are no longer wanted are removed.
  - A host without a firewall is left as it is. So is one with plain iptables, which is an error here.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  rules:
    description: What to let in. An empty list removes everything that this module has added.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description: Address or CIDR from which it comes, or V(any).
        type: str
        required: true
      to:
        description: This host's address to which it goes, or V(any).
        type: str
        default: any
      port:
        description: Destination port.
        type: int
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        required: true
      peer:
        description:
          - Whether it comes from another hub. Such a rule comes before the operator's own denials, any other one after
            them. Where nothing can come after them (a chain of nftables that ends in a drop) it comes before them; ufw
            puts every rule at the end.
        type: bool
        default: true
      interfaces:
        description: Interfaces on which it comes in; firewalld's zones are found by them.
        type: list
        elements: str
        default: []
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows this module's own rules before and after, and nothing of the operator's.
    support: full
"""

EXAMPLES = r"""
- name: Let the other hub's corosync in
  cfengine.hub_ha.firewall:
    rules:
      - {source: 192.168.0.11, to: 192.168.0.10, port: 5405, protocol: udp, interfaces: [eth0]}

- name: Take everything away that was added
  cfengine.hub_ha.firewall:
    rules: []
"""

RETURN = r"""
kind:
  description: The firewall that was found, C(firewalld), C(ufw), C(nftables), C(iptables) or C(none).
  returned: always
  type: str
rules:
  description: This module's own rules as they are now, or as a real run would leave them.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host.firewall import system


def text(lines):
    """The lines for a diff."""
    return "".join(line + "\n" for line in lines)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            rules=dict(type="list", elements="dict", default=[], options=dict(
                source=dict(type="str", required=True),
                to=dict(type="str", default="any"),
                port=dict(type="int", required=True),
                protocol=dict(type="str", choices=["tcp", "udp"], required=True),
                peer=dict(type="bool", default=True),
                interfaces=dict(type="list", elements="str", default=[]),
            )),
        ),
        supports_check_mode=True,
    )
    try:
        done = system.ensure(local_runner, module.params["rules"], module.check_mode)
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=done.changed, kind=done.kind, rules=done.after,
                     diff={"before_header": done.kind, "after_header": done.kind,
                           "before": text(done.before), "after": text(done.after)})


if __name__ == "__main__":
    main()
