#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: One run at a time for a pair of hubs
version_added: "1.0.0"
description:
  - Takes the lease of a run on a hub, or gives it back. While a run has it, no other gets it.
  - A run that was killed leaves it. The next run on the same controller sees that the process is gone and goes on at
    once; a run elsewhere waits until O(valid) is over, or needs the operator's word (O(takeover)).
  - Another run's lease is no error of this module. It is told in RV(refused), so that all hubs can be heard before one
    decides.
  - What is taken and given back within a run is no change of the hub, and is never told as one.
options:
  state:
    description: Whether this run is to have the lease.
    type: str
    choices: [present, absent]
    default: present
  what:
    description: What the run is, for whoever is refused; a playbook's name.
    type: str
    default: a playbook
  valid:
    description: Seconds after which a run that has not been heard of counts no more, for runs on other controllers.
    type: int
    default: 90000
  read_at:
    description:
      - When the caller has begun to read this hub, in seconds since 1970 by the hub's own clock. The lease is refused
        when another run has given it back since then, for what the caller knows is old.
    type: float
  takeover:
    description: Run id of a holder that the operator knows to be dead. No effect while the process is known to live.
    type: str
    default: ""
  directory:
    description: Where the lease lies.
    type: path
    default: /var/lib/cfengine-hub-ha
  run:
    description: Run id. The action plugin fills it in.
    type: str
  who:
    description: User and controller. The action plugin fills it in.
    type: str
    default: ""
  controller:
    description: What tells the run's process from others. The action plugin fills it in.
    type: dict
    default: {}
  dead:
    description: Run id of a holder whose process is gone. The action plugin fills it in.
    type: str
    default: ""
attributes:
  check_mode:
    description: Takes nothing and gives nothing back, since nothing will be changed.
    support: full
  diff_mode:
    description: Not a change.
    support: none
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: This run alone works on the hub
  cfengine.hub_ha.lease:
    what: upgrade-to-ha.yml
  register: lease

- name: Stop when another one does
  ansible.builtin.fail:
    msg: "{{ lease.refused }}"
  when: lease.refused | length > 0

- name: The next one may
  cfengine.hub_ha.lease:
    state: absent
"""

RETURN = r"""
held:
  description: Whether this run has the lease now.
  returned: success
  type: bool
  sample: true
why:
  description: >-
    free, mine (an earlier play of the run has taken it), dead, expired or word (taken over from another run), held
    (another run has it), changed (another run has ended since O(read_at)), given, or none (there was nothing to give).
  returned: success
  type: str
  sample: free
refused:
  description: Why the run cannot begin, with a remedy; empty when it can.
  returned: success
  type: str
  sample: ""
taken:
  description: From whom the lease was taken over, and why; empty when it was free.
  returned: success
  type: str
  sample: ""
holder:
  description: The run that has or had the lease.
  returned: success
  type: dict
age:
  description: Seconds since that run was last heard of.
  returned: success
  type: float
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import lease
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "what": {"type": "str", "default": "a playbook"},
        "valid": {"type": "int", "default": 90000},
        "read_at": {"type": "float"},
        "takeover": {"type": "str", "default": ""},
        "directory": {"type": "path", "default": lease.DIRECTORY},
        "run": {"type": "str"},
        "who": {"type": "str", "default": ""},
        "controller": {"type": "dict", "default": {}},
        "dead": {"type": "str", "default": ""},
    })
    params, answer = module.params, lease.Answer()
    if not params["run"]:
        module.fail_json(msg="run is needed; the module's action plugin gives it")
    try:
        if not module.check_mode and params["state"] == "absent":
            answer = lease.give_back(params["directory"], params["run"])
        elif not module.check_mode:
            me = lease.Holder(params["run"], params["who"], params["what"], params["valid"], params["controller"])
            answer = lease.ask(params["directory"], me, params["read_at"], params["dead"], params["takeover"])
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, **asdict(answer))


if __name__ == "__main__":
    main()
