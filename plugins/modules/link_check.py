#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: link_check
short_description: Ports that two hubs need between them, tried from both ends before anything runs
version_added: "1.0.0"
description:
  - Run on all hubs in one task. Each hub listens on the ports where nothing listens yet, and tries every
    address and port of the others until they answer or the time is over.
  - Also tells whether a shared address is in use by anybody (neighbour discovery on the local network).
  - Changes nothing and leaves nothing behind.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  listen:
    description: This hub's own addresses on the shared networks.
    type: list
    elements: str
    required: true
  peers:
    description: Addresses of the other hub on the shared networks.
    type: list
    elements: str
    required: true
  peer_name:
    description: Name of the other hub, for messages.
    type: str
    required: true
  tcp_ports:
    description: TCP ports to try on each address.
    type: list
    elements: int
    default: [5308, 5432]
  udp_ports:
    description: UDP ports to try on each address (corosync).
    type: list
    elements: int
    default: [5405]
  free_addresses:
    description: Shared addresses that nobody may have.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which an address and port that has not answered counts as unreachable.
    type: int
    default: 8
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: The hubs reach each other
  cfengine.hub_ha.link_check:
    listen: [192.168.0.10, 192.168.10.10]
    peers: [192.168.0.11, 192.168.10.11]
    peer_name: hub2
    free_addresses: [192.168.100.100]
"""

RETURN = r"""
unanswered:
  description: What did not answer, with peer, address, port and protocol.
  returned: always
  type: list
  elements: dict
taken:
  description: Shared addresses in use, with address and by (link-layer address of who has it).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import links


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            listen=dict(type="list", elements="str", required=True),
            peers=dict(type="list", elements="str", required=True),
            peer_name=dict(type="str", required=True),
            tcp_ports=dict(type="list", elements="int", default=[5308, 5432]),
            udp_ports=dict(type="list", elements="int", default=[5405]),
            free_addresses=dict(type="list", elements="str", default=[]),
            timeout=dict(type="int", default=8),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        unanswered = links.try_alone(params["listen"], params["peers"], params["tcp_ports"], params["udp_ports"],
                                     params["timeout"])
        taken = links.taken(local_runner, params["free_addresses"])
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, taken=taken,
                     unanswered=[dict(item.to_dict(), peer=params["peer_name"]) for item in unanswered])


if __name__ == "__main__":
    main()
