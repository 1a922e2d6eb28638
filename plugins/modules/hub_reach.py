#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_reach
short_description: (internal) Any sign of life of the hubs of a pair, before one outside of their cluster takes over
version_added: "1.0.0"
description:
  - Tries TCP ports, and by UDP that of corosync, on each address, from the host and from the controller, all at the
    same time. Accepting a connection is a sign of life, and so is refusing one - the host is there.
  - Silence is no proof that a hub is off. The network between may be down.
  - Meanwhile the host looks at itself. In a disaster seconds count, so this is all that the decision needs.
  - Changes nothing.
options:
  addresses:
    description:
      - Addresses or names of the hubs of the pair, and the addresses that they share.
      - What the host's own list of hubs (C(services/hub_ha.json)) names is tried as well. What is named here can be
        tried from the controller before the host has answered.
    type: list
    elements: str
    default: []
  tcp_ports:
    description:
      - TCP ports to try. Unless told otherwise SSH, PostgreSQL and cf-serverd.
      - The host itself also tries the port that its list of hubs names for PostgreSQL.
    type: list
    elements: int
    default: [22, 5432, 5308]
  udp_ports:
    description: UDP ports to try. corosync answers no stranger; a host on which it does not run refuses.
    type: list
    elements: int
    default: [5405]
  timeout:
    description: Seconds after which silence is taken for silence. A name that does not resolve in that time is silent.
    type: float
    default: 2.0
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: The third hub, and any sign of life of the pair
  cfengine.hub_ha.hub_reach:
    addresses: [192.168.100.10, 192.168.100.11, 192.168.100.100]
  register: seen
  failed_when: (seen.reached + seen.reached_here) | length > 0
"""

RETURN = r"""
reached:
  description: >-
    Each sign of life that the host has seen, with address, port, how (accepts or refuses), and from, the host's name.
    What the host could not try at all, for a filter, no route or no IPv6, is in it too, with how C(untried) and the
    reason; who looks for silence must take that for alive.
  returned: success
  type: list
  elements: dict
  sample: [{"address": "192.168.100.10", "port": 22, "how": "accepts", "from": "hub3"}]
reached_here:
  description: The same, as the controller sees it.
  returned: success
  type: list
  elements: dict
  sample: []
addresses:
  description: What was tried. The addresses from which the host replicates are tried from there alone.
  returned: success
  type: list
  elements: str
  sample: ["192.168.100.10", "192.168.100.100", "192.168.100.11"]
hub:
  description: >-
    Of the host itself, as module M(cfengine.hub_ha.hub_info) tells it, uname, layout, postgres and cfengine, of the
    latter only version, edition, key, role, policy server and list of hubs.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts.reach import survey
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import reach


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "addresses": {"type": "list", "elements": "str", "default": []},
        "tcp_ports": {"type": "list", "elements": "int", "default": reach.TCP_PORTS},
        "udp_ports": {"type": "list", "elements": "int", "default": reach.UDP_PORTS},
        "timeout": {"type": "float", "default": reach.TIMEOUT},
    })
    params = module.params
    try:
        found = survey(local_runner, params["addresses"], params["tcp_ports"], params["udp_ports"], params["timeout"])
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, hub=found.hub, addresses=found.addresses, reached=found.reached)


if __name__ == "__main__":
    main()
