#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live cluster as data."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cib_info
short_description: The live pacemaker cluster as data
version_added: "1.0.0"
description:
  - Returns nodes, resources and where they run, node attributes, failures, quorum and links of the cluster that the
    host belongs to, in one call.
  - A host without a running cluster is no error; RV(running) is then false and RV(reason) says why.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  cib_file:
    description: Look at the CIB in this file instead of the live cluster; links and quorum are then empty.
    type: path
attributes:
  check_mode:
    description: Changes nothing, so it does the same in check mode.
    support: full
requirements:
  - pacemaker 2.1 or newer with its command line tools
seealso:
  - module: cfengine.hub_ha.cib
"""

EXAMPLES = r"""
- name: Look at the cluster
  cfengine.hub_ha.cib_info:
  register: cluster

- name: Say where the active database is
  ansible.builtin.debug:
    msg: "{{ cluster.promoted.mscfpgsql | default('nowhere', true) }}"

- name: Wait until the passive hub streams
  cfengine.hub_ha.cib_info:
  register: cluster
  until: >-
    cluster.nodes | selectattr('name', 'equalto', 'hub2') | map(attribute='attributes.cfpgsql-status')
    | first | default('') == 'HS:async'
  retries: 60
  delay: 1
"""

RETURN = r"""
running:
  description: Whether pacemaker runs on the host and answers.
  returned: always
  type: bool
  sample: true
reason:
  description: Why RV(running) is false, else null.
  returned: always
  type: str
dc:
  description: Name of the designated controller, null while there is none.
  returned: always
  type: str
  sample: hub1
quorate:
  description: Whether this part of the cluster has quorum; null when unknown.
  returned: always
  type: bool
  sample: true
maintenance:
  description: Whether the whole cluster is in maintenance mode.
  returned: always
  type: bool
  sample: false
nodes:
  description: The nodes, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Node name.
      type: str
      sample: hub1
    id:
      description: Corosync's number of the node.
      type: str
      sample: "1"
    online:
      description: Whether the node is an active member.
      type: bool
    standby:
      description: Whether the node may not run resources.
      type: bool
    maintenance:
      description: Whether the node is in maintenance mode.
      type: bool
    pending:
      description: Whether the node is joining.
      type: bool
    unclean:
      description: Whether the node must be fenced, or has failed and cannot be.
      type: bool
    shutdown:
      description: Whether the node is shutting down.
      type: bool
    attributes:
      description: Node attributes, permanent and transient, also of a node that is offline.
      type: dict
      sample: {"cfpgsql-status": "PRI", "cfpgsql-data-status": "LATEST"}
resources:
  description: Primitive resources by id.
  returned: always
  type: dict
  contains:
    agent:
      description: Resource agent.
      type: str
      sample: ocf:heartbeat:pgsql
    managed:
      description: Whether the cluster manages all of its instances.
      type: bool
    failed:
      description: Whether an instance has failed.
      type: bool
    blocked:
      description: Whether an instance is blocked, so that nothing more happens without a person.
      type: bool
    orphaned:
      description: Whether it runs although it is not configured any more.
      type: bool
    group:
      description: Group that it is in, or null.
      type: str
    clone:
      description: Clone that it is in, or null.
      type: str
    instances:
      description: One entry for each instance; a stopped one has no node.
      type: list
      elements: dict
      contains:
        node:
          description: Node that it runs on, or null.
          type: str
        role:
          description: Started, Stopped, Promoted or Unpromoted, whatever the version of pacemaker calls it.
          type: str
        active:
          description: Whether it runs.
          type: bool
        failed:
          description: Whether it has failed.
          type: bool
        pending:
          description: Action that is going on, such as Promoting, or null.
          type: str
        target_role:
          description: Role that an operator asked for, or null.
          type: str
promoted:
  description:
    - Node on which each promotable clone is promoted, under the id of the clone and of its resource; null for nowhere.
    - Several nodes are separated by commas.
  returned: always
  type: dict
  sample: {"mscfpgsql": "hub1", "cfpgsql": "hub1"}
failures:
  description: Failed actions that have not been cleaned up, and probes that found an agent unusable on a node.
  returned: always
  type: list
  elements: dict
  contains:
    resource:
      description: Id of the resource.
      type: str
    node:
      description: Node on which it failed.
      type: str
    operation:
      description: Name of the operation.
      type: str
    interval:
      description: Interval of a recurring operation in milliseconds.
      type: int
    exit_reason:
      description: What the agent said.
      type: str
    exit_status:
      description: Exit status in words.
      type: str
    rc:
      description: Exit status of the agent.
      type: int
    when:
      description: When it failed, as pacemaker prints it.
      type: str
fail_counts:
  description:
    - How often resources have failed, by resource and node; 1000000 stands for infinity.
    - Also of failures whose action is not in RV(failures) any more. They count until they are cleaned up.
  returned: always
  type: dict
  sample: {"cfpgsql": {"hub1": 1}}
thresholds:
  description: Failures after which a resource may not run on a node any more (C(migration-threshold)), as fail_counts.
  returned: always
  type: dict
  sample: {"cfpgsql": {"hub1": 1}}
meta:
  description:
    - Meta attributes that hold for each resource, group and clone, by id and name. Each has a value and set_by, the id of
      the resource that sets it, of the group or clone around it, or V(rsc_defaults). Sets with rules are left out.
  returned: always
  type: dict
  sample: {"cfpgsql": {"target-role": {"value": "Stopped", "set_by": "mscfpgsql"}}}
options:
  description: Cluster options as pacemaker understands them, as far as C(crm_mon) prints them.
  returned: always
  type: dict
  sample: {"stonith-enabled": "false", "no-quorum-policy": "stop", "maintenance-mode": "false"}
bans:
  description: Location constraints that C(crm_resource --ban) or C(--move) left behind.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the constraint.
      type: str
    resource:
      description: Resource.
      type: str
    node:
      description: Node.
      type: str
    score:
      description: Score.
      type: str
    promoted_only:
      description: Whether only the promoted role is meant.
      type: bool
active_bans:
  description:
    - Location constraints that keep a resource from a node at this moment, as pacemaker evaluates them.
    - As RV(bans), but pacemaker calls one with a rule by the id of the rule; RV(locations) has both.
  returned: always
  type: list
  elements: dict
  sample: [{"id": "cli-ban-mscfpgsql-on-hub2", "resource": "mscfpgsql", "node": "hub2", "score": "-1000000",
            "promoted_only": true}]
locations:
  description:
    - All location constraints; one with several rules is there for each of them.
    - Beside the keys of RV(bans) each has pattern (a regular expression for resources, or null), rule (id of the rule, or
      null) and conditional (whether a rule decides by something else than the node's name).
  returned: always
  type: list
  elements: dict
  sample: [{"id": "cli-ban-mscfpgsql-on-hub2", "rule": null, "resource": "mscfpgsql", "pattern": null, "node": "hub2",
            "score": "-INFINITY", "promoted_only": true, "conditional": false}]
fencing_devices:
  description:
    - Fencing devices by id, each with the names of the nodes that it fences by its parameters C(pcmk_host_list) and
      C(pcmk_host_map). Null where the CIB does not tell, so that pacemaker asks the device.
  returned: always
  type: dict
  sample: {"fence-hub1": ["hub1"]}
links:
  description: Corosync's links as this host sees them.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Number of the link.
      type: int
    transport:
      description: Transport of the link.
      type: str
      sample: udp
    address:
      description: Address of this host.
      type: str
    peers:
      description: The other nodes by name, each with connected (bool), address (str) and mtu (int).
      type: dict
      sample: {"hub2": {"connected": true, "address": "192.168.0.11", "mtu": 1397}}
quorum:
  description:
    - What corosync says about votes. The keys are quorate, expected_votes, total_votes, needed_votes, flags, ring_id.
    - Null when corosync cannot be asked.
  returned: always
  type: dict
properties:
  description: Cluster properties, with pacemaker's defaults of the most important ones.
  returned: always
  type: dict
  sample: {"stonith-enabled": "true", "maintenance-mode": "false"}
rsc_defaults:
  description: Defaults of meta attributes.
  returned: always
  type: dict
op_defaults:
  description: Defaults of operations.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.observe import observe
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=dict(cib_file=dict(type="path")), supports_check_mode=True)
    try:
        result = observe(local_runner, cib_file=module.params["cib_file"])
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
