#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: step
short_description: (internal) Does steps of an operation on a pair on the hub where they belong
version_added: "1.0.0"
description:
  - The steps come from a list that a filter such as P(cfengine.hub_ha.switchover_steps#filter) has made. Each says what
    the database has to be before it, what is done, and what proves it.
  - A step that was done already changes nothing, so a run that was cut off is finished by the same steps.
  - Steps of a run that was cut off and still goes on here are waited for.
options:
  steps:
    description: List of steps with its schema and its patience; all of them are this hub's.
    type: dict
    required: true
  found:
    description: What steps before have found, RV(found) of those tasks.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Tells the change and makes none.
  diff_mode:
    support: none
    description: The state of a server is no text.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: The active hub hands over
  cfengine.hub_ha.step:
    steps: {schema: 1, steps: "{{ the_steps | selectattr('where', 'equalto', inventory_hostname) | list }}"}
  register: given

- name: The other one has all, and takes writes
  cfengine.hub_ha.step:
    steps: {schema: 1, steps: "{{ the_steps | selectattr('where', 'equalto', inventory_hostname) | list }}"}
    found: "{{ given.found }}"
"""

RETURN = r"""
found:
  description: What the steps have found out, by id, together with O(found).
  returned: success
  type: dict
  sample: {"stop": {"lsn": "0/5000028"}}
steps:
  description: Ids of the steps that changed something.
  returned: success
  type: list
  elements: str
  sample: [stop, addresses-off]
seconds:
  description: Time that it took.
  returned: success
  type: float
  sample: 0.61
step:
  description: The step that failed.
  returned: failure
  type: str
  sample: promote
state:
  description: What the database is, where it failed because of that.
  returned: when the database is not what it has to be before the step, or to prove it
  type: str
  sample: standby
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops.model import steps_from_dict
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops.perform import Hub, perform_all


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, argument_spec={
        "steps": {"type": "dict", "required": True},
        "found": {"type": "dict", "default": {}},
    })
    began = time.monotonic()
    try:
        done = perform_all(steps_from_dict(module.params["steps"]), module.params["found"], Hub(dry_run=module.check_mode))
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="a file of the step cannot be written: %s" % error)
    changed = [name for name, item in done.items() if item.changed]
    found = dict(module.params["found"], **{name: dict(item.found) for name, item in done.items()})
    module.exit_json(changed=bool(changed), steps=changed, found=found, seconds=round(time.monotonic() - began, 3))


if __name__ == "__main__":
    main()
