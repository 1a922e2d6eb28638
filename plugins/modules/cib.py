#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wanted cluster resources, constraints, alerts, fencing levels and properties, brought into the CIB with one patch."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cib
short_description: Cluster resources, constraints, alerts, fencing levels and properties in pacemaker's CIB
version_added: "1.0.0"
description:
  - Brings the given resources, constraints, alerts, fencing levels and cluster options into the cluster information
    base (CIB) of pacemaker with B(one) patch, and touches nothing else in it.
  - Works by id. Whatever id is not given, and every option that is left out of an object that is given, stays as it is.
    An option that is given is enforced exactly, an empty one included. C(params={}) removes all instance attributes.
  - Before the patch, C(crm_verify) judges the wanted CIB. Errors that the current CIB does not have end the module
    without a change; errors that it has already are reported as warnings.
  - When somebody else changes the CIB at the same moment, the module starts again from a fresh query.
  - The diff is a short text about the owned objects. Values of parameters whose name contains password, passwd,
    passphrase or secret are never shown, logged or given to a command as an argument.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  primitives:
    description: Primitive resources. Fencing devices are primitives of class V(stonith).
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the resource.
        type: str
        required: true
      agent:
        description: Resource agent as V(class:provider:type) or V(class:type).
        type: str
        required: true
      params:
        description: Instance attributes, exactly. Numbers and booleans are written as pacemaker writes them.
        type: dict
      meta:
        description: Meta attributes, exactly.
        type: dict
      operations:
        description:
          - Operations, exactly. Those that exist already keep their id.
          - Pacemaker tells operations apart by name and interval, so no two may have the same of both.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the operation, such as V(monitor), V(start), V(promote).
            type: str
            required: true
          interval:
            description: How often the operation is repeated, with a unit; V(0s) is once.
            type: str
            default: 0s
          timeout:
            description: How long it may take, with a unit.
            type: str
          role:
            description: Role in which a recurring operation runs.
            type: str
            choices: [Promoted, Unpromoted, Started, Stopped]
          on_fail:
            description: What the cluster does when the operation fails.
            type: str
          start_delay:
            description: How long to wait before the operation, with a unit.
            type: str
          enabled:
            description: Whether the operation is done at all.
            type: bool
          attributes:
            description: Further attributes of the operation, such as V(OCF_CHECK_LEVEL), by name.
            type: dict
  groups:
    description:
      - Groups. Members that stand elsewhere are moved into the group; members of the CIB's group that are not
        listed stay in it, with a warning.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the group.
        type: str
        required: true
      members:
        description: Ids of the primitives, in starting order.
        type: list
        elements: str
        required: true
      meta:
        description: Meta attributes, exactly.
        type: dict
  clones:
    description: Clones.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the clone.
        type: str
        required: true
      member:
        description: Id of the primitive or group that is cloned.
        type: str
        required: true
      meta:
        description: Meta attributes, exactly, such as V(promotable=true).
        type: dict
  colocations:
    description: Colocation constraints, exactly.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the constraint.
        type: str
        required: true
      rsc:
        description: The resource that goes where the other one is.
        type: str
        required: true
      with_rsc:
        description: The other resource.
        type: str
        required: true
      rsc_role:
        description: Role of O(colocations[].rsc).
        type: str
        choices: [Promoted, Unpromoted, Started, Stopped]
      with_rsc_role:
        description: Role of O(colocations[].with_rsc).
        type: str
        choices: [Promoted, Unpromoted, Started, Stopped]
      score:
        description: A number, V(INFINITY) or V(-INFINITY).
        type: str
        default: INFINITY
  orders:
    description: Order constraints, exactly.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the constraint.
        type: str
        required: true
      first:
        description: The resource whose action comes first.
        type: str
        required: true
      first_action:
        description: That action; pacemaker takes V(start) when it is not given.
        type: str
        choices: [start, stop, promote, demote]
      then:
        description: The resource whose action comes after it.
        type: str
        required: true
      then_action:
        description: That action; pacemaker takes that of O(orders[].first_action) when it is not given.
        type: str
        choices: [start, stop, promote, demote]
      kind:
        description: How the order is enforced.
        type: str
        choices: [Mandatory, Optional, Serialize]
      symmetrical:
        description: Whether the reverse order holds for the reverse actions.
        type: bool
  locations:
    description: Location constraints, exactly.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the constraint.
        type: str
        required: true
      rsc:
        description: The resource.
        type: str
        required: true
      node:
        description: Name of the node. Either this or O(locations[].rule) must be given.
        type: str
      score:
        description: A number, V(INFINITY) or V(-INFINITY).
        type: str
        default: INFINITY
      rule:
        description: Nodes by one of their attributes, instead of a name.
        type: dict
        suboptions:
          attribute:
            description: The node attribute.
            type: str
            required: true
          operation:
            description: How it is compared.
            type: str
            choices: [defined, not_defined, eq, ne, lt, lte, gt, gte]
            required: true
          value:
            description: What it is compared with; not for V(defined) and V(not_defined).
            type: str
          role:
            description: The constraint holds for this role of a promotable clone only.
            type: str
            choices: [Promoted, Unpromoted, Started, Stopped]
  alerts:
    description:
      - Alerts. Pacemaker runs an alert's agent when something happens in the cluster, once for each recipient, or once
        when it has none.
      - The agent must be there on each node.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the alert.
        type: str
        required: true
      path:
        description: Absolute path of the alert agent, which is an executable file.
        type: str
        required: true
      params:
        description: Instance attributes, exactly. They are the agent's environment.
        type: dict
      meta:
        description: Meta attributes, exactly, such as V(timeout), V(timestamp-format) and V(enabled) (pacemaker 2.1.6).
        type: dict
      select:
        description:
          - What the agent is told of, exactly. An empty list leaves it to pacemaker, which then tells of all but
            changes of node attributes.
        type: list
        elements: str
        choices: [attributes, fencing, nodes, resources]
      attributes:
        description:
          - With V(attributes) in O(alerts[].select), names of the node attributes whose changes it is told of. None
            means all of them.
        type: list
        elements: str
      recipients:
        description: Recipients, exactly. One that is not listed is removed.
        type: list
        elements: dict
        suboptions:
          id:
            description: Id of the recipient.
            type: str
            required: true
          value:
            description: What the agent gets as the recipient, such as a mail address or a file.
            type: str
            required: true
          params:
            description: Instance attributes for this recipient, exactly. They overrule those of the alert.
            type: dict
          meta:
            description: Meta attributes for this recipient, exactly. They overrule those of the alert.
            type: dict
  fencing_levels:
    description:
      - Levels of the fencing topology, exactly. Pacemaker tries the levels of a node in the order of their index, until
        one succeeds, for which all of its devices must.
      - A node needs just one of O(fencing_levels[].target), O(fencing_levels[].target_pattern) and
        O(fencing_levels[].target_attribute).
      - It is an error when a level names what is no fencing device.
    type: list
    elements: dict
    suboptions:
      id:
        description: Id of the level.
        type: str
        required: true
      target:
        description: Name of the node that is fenced.
        type: str
      target_pattern:
        description: Regular expression for the names of the nodes that are fenced.
        type: str
      target_attribute:
        description: Name of a node attribute. The level is for the nodes where it is O(fencing_levels[].target_value).
        type: str
      target_value:
        description: Value of O(fencing_levels[].target_attribute).
        type: str
      index:
        description: Place in the order of the levels of the same target, 1 to 9.
        type: int
        required: true
      devices:
        description: Ids of the fencing devices, all of which must succeed, in this order.
        type: list
        elements: str
        required: true
  properties:
    description: Cluster properties; only those named are touched. One with the value null is removed.
    type: dict
  rsc_defaults:
    description: Defaults of meta attributes of all resources; only those named are touched, null removes.
    type: dict
  op_defaults:
    description: Defaults of all operations; only those named are touched, null removes.
    type: dict
  absent:
    description:
      - Ids of resources, constraints, alerts and fencing levels that must not exist. Only these are removed. Members of
        a group or clone that is removed stand alone afterwards, unless they are listed too.
      - It is an error when a constraint or a fencing level that stays would name something that goes.
    type: list
    elements: str
  keep:
    description:
      - Ids of resources that the change must not make the cluster restart, stop, demote, move or recover. The cluster's
        scheduler is asked before; if it would, nothing is changed and the module fails, in check mode too.
      - What the cluster would do without the change too does not count.
    type: list
    elements: str
    default: []
  keep_later:
    description:
      - Like O(keep), but for what the cluster would do as soon as nothing keeps its hands off; maintenance mode of the
        cluster or of a node, or C(is-managed) of a resource. In that state the scheduler says of a change that nothing
        follows from it.
      - Nothing is looked at where nothing keeps the cluster's hands off.
    type: list
    elements: str
    default: []
  cib_file:
    description: Work on this file instead of the live cluster.
    type: path
  wait:
    description:
      - How many seconds the cluster may take to settle after the change; V(0) is not to wait.
      - Settled means that there is a designated controller, that the scheduler has nothing to do, and that no
        operation is under way, in two looks half a second apart.
      - It is an error when it is not settled by then, or when one of O(primitives) runs nowhere after a failure.
      - A cluster in maintenance mode is settled at once. A promotable resource may be promoted a moment after the
        cluster first says that it is settled; ask M(cfengine.hub_ha.cib_info) for the role.
    type: int
    default: 0
  attempts:
    description: How often to try when the CIB changes at the same time.
    type: int
    default: 5
attributes:
  check_mode:
    description: Reports the change and the diff that the real run then makes.
    support: full
    details:
      - When pacemaker is not installed or does not run on the host, the prediction starts from the CIB on its disk,
        or from an empty one.
  diff_mode:
    description: Shows the owned objects before and after, as text.
    support: full
requirements:
  - pacemaker 2.1 or newer with its command line tools
seealso:
  - module: cfengine.hub_ha.cib_info
"""

EXAMPLES = r"""
- name: Shared address and promotable database
  cfengine.hub_ha.cib:
    primitives:
      - id: cfvirtip
        agent: ocf:heartbeat:IPaddr2
        params:
          ip: 192.168.100.100
          cidr_netmask: 24
        operations:
          - {name: monitor, interval: 10s, timeout: 20s}
      - id: cfpgsql
        agent: ocf:heartbeat:pgsql
        params:
          rep_mode: async
          node_list: hub1 hub2
        operations:
          - {name: monitor, interval: 3s, timeout: 60s, role: Promoted}
          - {name: monitor, interval: 4s, timeout: 60s}
    groups:
      - id: cfengine
        members: [cfvirtip]
    clones:
      - id: mscfpgsql
        member: cfpgsql
        meta: {promotable: true, promoted-max: 1, notify: true}
    colocations:
      - {id: cfengine-with-active, rsc: cfengine, with_rsc: mscfpgsql, with_rsc_role: Promoted}
    orders:
      - id: promote-then-cfengine
        first: mscfpgsql
        first_action: promote
        then: cfengine
        then_action: start
        kind: Mandatory
        symmetrical: false
    properties:
      no-quorum-policy: ignore
    rsc_defaults:
      resource-stickiness: INFINITY
      migration-threshold: 1

- name: A fencing device
  cfengine.hub_ha.cib:
    primitives:
      - id: fence-hub1
        agent: stonith:fence_ipmilan
        params:
          ip: 192.168.0.210
          username: cluster
          password: "{{ fence_password }}"
          pcmk_host_list: hub1
    locations:
      - {id: fence-hub1-elsewhere, rsc: fence-hub1, node: hub1, score: -INFINITY}
      - id: cfpgsql-not-forked
        rsc: mscfpgsql
        score: -INFINITY
        rule: {attribute: hub_ha-forked, operation: defined}
    properties:
      stonith-enabled: true

- name: Mail for every event, a line in a file for fencing and for a change of one attribute
  cfengine.hub_ha.cib:
    alerts:
      - id: mail
        path: /var/lib/pacemaker/alerts/alert_smtp.sh
        params: {email_sender: cluster@example.com}
        meta: {timeout: 15s}
        recipients:
          - {id: mail-admin, value: admin@example.com}
      - id: log
        path: /var/lib/pacemaker/alerts/alert_file.sh
        select: [fencing, attributes]
        attributes: [hub_ha-forked]
        recipients:
          - {id: log-file, value: /var/log/cluster-alerts.log}

- name: Fence hub1 by its management board, and by its power strip when that fails
  cfengine.hub_ha.cib:
    fencing_levels:
      - {id: fence-hub1-board, target: hub1, index: 1, devices: [fence-hub1]}
      - {id: fence-hub1-power, target: hub1, index: 2, devices: [fence-hub1-strip-a, fence-hub1-strip-b]}

- name: Take an address out of the group
  cfengine.hub_ha.cib:
    absent: [cfvirtip_repl]
    wait: 30
"""

RETURN = r"""
cluster:
  description:
    - What the module worked on. V(running) is the live cluster and V(file) is O(cib_file).
    - V(stopped) is, in check mode, the CIB on the disk of a host whose pacemaker is stopped, and V(absent) an empty
      CIB because there is none.
  returned: always
  type: str
  sample: running
patch:
  description: The patch as XML, secrets hidden; empty when nothing is to change or no cluster runs.
  returned: always
  type: str
  sample: <diff format="2">...</diff>
simulation:
  description: What the cluster will do because of the change, as crm_simulate sees it.
  returned: always
  type: list
  elements: str
  sample: ["start cfvirtip on hub1"]
disrupts:
  description: Of that, what interrupts a resource that runs and what the cluster would not do without the change.
  returned: always
  type: list
  elements: str
  sample: ["restart cfvirtip on hub1"]
holds:
  description:
    - What keeps the cluster's hands off the given resources after the change, as it is set (C(what)), and the command that ends
      it (C(end)).
  returned: always
  type: list
  elements: dict
  sample: [{"what": "maintenance-mode=true", "end": "crm_attribute --type crm_config --name maintenance-mode --delete"}]
disrupts_later:
  description:
    - What interrupts a resource, because of the change, as soon as that has ended; null when the scheduler could not be asked.
  returned: always
  type: list
  elements: str
  sample: []
attempts:
  description: How many times the edit was begun; more than 1 when the CIB changed at the same time.
  returned: always
  type: int
  sample: 1
elapsed:
  description: Seconds that the whole edit took, without waiting for the cluster to settle.
  returned: always
  type: float
  sample: 0.21
failures:
  description: Failed actions that the cluster has recovered from or that concern other resources.
  returned: when O(wait) is not 0 and the cluster has settled
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.normalise import EVENTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.cib.secrets import (
    findable,
    mask_parameters,
    secret_values,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster.tools import converge
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner

ROLES = ["Promoted", "Unpromoted", "Started", "Stopped"]
ACTIONS = ["start", "stop", "promote", "demote"]


def objects(**options):
    """Argument specification of a list of objects that each have an id."""
    options["id"] = dict(type="str", required=True)
    return dict(type="list", elements="dict", options=options)


ARGUMENTS = dict(
    primitives=objects(
        agent=dict(type="str", required=True),
        params=dict(type="dict"),
        meta=dict(type="dict"),
        operations=dict(type="list", elements="dict", options=dict(
            name=dict(type="str", required=True),
            interval=dict(type="str", default="0s"),
            timeout=dict(type="str"),
            role=dict(type="str", choices=ROLES),
            on_fail=dict(type="str"),
            start_delay=dict(type="str"),
            enabled=dict(type="bool"),
            attributes=dict(type="dict"),
        )),
    ),
    groups=objects(members=dict(type="list", elements="str", required=True), meta=dict(type="dict")),
    clones=objects(member=dict(type="str", required=True), meta=dict(type="dict")),
    colocations=objects(
        rsc=dict(type="str", required=True),
        with_rsc=dict(type="str", required=True),
        rsc_role=dict(type="str", choices=ROLES),
        with_rsc_role=dict(type="str", choices=ROLES),
        score=dict(type="str", default="INFINITY"),
    ),
    orders=objects(
        first=dict(type="str", required=True),
        first_action=dict(type="str", choices=ACTIONS),
        then=dict(type="str", required=True),
        then_action=dict(type="str", choices=ACTIONS),
        kind=dict(type="str", choices=["Mandatory", "Optional", "Serialize"]),
        symmetrical=dict(type="bool"),
    ),
    locations=objects(
        rsc=dict(type="str", required=True),
        node=dict(type="str"),
        score=dict(type="str", default="INFINITY"),
        rule=dict(type="dict", options=dict(
            attribute=dict(type="str", required=True),
            operation=dict(type="str", required=True,
                           choices=["defined", "not_defined", "eq", "ne", "lt", "lte", "gt", "gte"]),
            value=dict(type="str"),
            role=dict(type="str", choices=ROLES),
        )),
    ),
    alerts=objects(
        path=dict(type="str", required=True),
        params=dict(type="dict"),
        meta=dict(type="dict"),
        select=dict(type="list", elements="str", choices=list(EVENTS)),
        attributes=dict(type="list", elements="str"),
        recipients=objects(
            value=dict(type="str", required=True),
            params=dict(type="dict"),
            meta=dict(type="dict"),
        ),
    ),
    fencing_levels=objects(
        target=dict(type="str"),
        target_pattern=dict(type="str"),
        target_attribute=dict(type="str"),
        target_value=dict(type="str"),
        index=dict(type="int", required=True),
        devices=dict(type="list", elements="str", required=True),
    ),
    properties=dict(type="dict"),
    rsc_defaults=dict(type="dict"),
    op_defaults=dict(type="dict"),
    absent=dict(type="list", elements="str"),
    keep=dict(type="list", elements="str", default=[]),
    keep_later=dict(type="list", elements="str", default=[]),
    cib_file=dict(type="path"),
    wait=dict(type="int", default=0),
    attempts=dict(type="int", default=5),
)


class SecretiveModule(AnsibleModule):
    """An AnsibleModule that writes parameters to the system log only with their secrets hidden.

    no_log in the argument specification would hide every parameter of a resource, and in the diff every word that
    happens to be the value of one.
    """

    def _log_invocation(self):
        real = self.params
        self.params = mask_parameters(real)
        try:
            super()._log_invocation()
        finally:
            self.params = real

    def _masked(self, kwargs):
        kwargs.setdefault("invocation", {"module_args": mask_parameters(getattr(self, "params", None) or {})})
        return kwargs

    def exit_json(self, **kwargs):
        """End well; the parameters that are returned have their secrets hidden."""
        super().exit_json(**self._masked(kwargs))

    def fail_json(self, msg, **kwargs):
        """End with an error, also when the parameters are wrong; the secrets in them are hidden."""
        super().fail_json(msg, **self._masked(kwargs))


def main():
    """Run the module."""
    module = SecretiveModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    # Whatever else may happen to print a secret, Ansible removes it.
    module.no_log_values.update(findable(secret_values(given=params)))
    try:
        result = converge(
            local_runner, params, check_mode=module.check_mode, cib_file=params["cib_file"],
            attempts=params["attempts"], wait=params["wait"], directory=module.tmpdir, keep=params["keep"],
            keep_later=params["keep_later"])
    except HubError as error:
        fail(module, error)
    for text in result.pop("warnings"):
        module.warn(text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
