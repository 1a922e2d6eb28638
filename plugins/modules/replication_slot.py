#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_slot
short_description: Physical replication slots of a hub's PostgreSQL, on a primary or a standby
version_added: "1.0.0"
description:
  - Makes a physical slot, or removes idle ones. Over the local socket.
  - A slot on a standby is not moved on by anybody. One that reserves WAL would hold it back up to
    C(max_slot_wal_keep_size) and then be lost, just when it is needed. So there it must reserve nothing - it is there
    for the moment at which the standby is promoted, and begins to hold WAL with the first connection.
options:
  name:
    description: Name of the slot.
    type: str
  reserve:
    description:
      - Whether the slot holds WAL back from now on. With V(false) an idle slot that does, is made anew; one in use is
        left alone.
    type: bool
    default: true
  keep:
    description:
      - Names of the slots that may be there; all other idle physical slots whose name begins with O(prefix) go.
    type: list
    elements: str
  prefix:
    description: How the names of those slots begin that O(keep) is about.
    type: str
    default: hub_ha_
  bin_dir:
    description: Directory with C(psql).
    type: path
    required: true
  data_dir:
    description: Data directory of the running server, which tells its port and socket.
    type: path
    required: true
attributes:
  check_mode:
    description: Predicts the same changes.
    support: full
  diff_mode:
    description: Shows the slots before and after.
    support: full
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: Slot of the third hub, on the passive hub
  cfengine.hub_ha.replication_slot:
    name: hub_ha_hub3
    reserve: false
    bin_dir: /usr/lib/postgresql/17/bin
    data_dir: /var/lib/cfengine3/state/pg/data
"""

RETURN = r"""
actions:
  description: What was done, or would be.
  returned: success
  type: list
  elements: str
  sample: [created hub_ha_hub3]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.slots import Slots, Wanted, after, changes


def text(slots):
    """The slots for the diff."""
    return "".join("%s%s\n" % (slot["name"], " reserves WAL" if slot["restart_lsn"] else "") for slot in slots)


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, required_one_of=[("name", "keep")], argument_spec={
        "name": {"type": "str"},
        "reserve": {"type": "bool", "default": True},
        "keep": {"type": "list", "elements": "str"},
        "prefix": {"type": "str", "default": "hub_ha_"},
        "bin_dir": {"type": "path", "required": True},
        "data_dir": {"type": "path", "required": True},
    })
    params = module.params
    wanted = Wanted(params["name"], params["reserve"], params["keep"], params["prefix"])
    slots = Slots(Postgres(local_runner, params["bin_dir"]), params["data_dir"])
    try:
        found = slots.read()
        steps = changes(found, wanted)
        if not module.check_mode:
            slots.apply(steps, wanted.reserve)
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=bool(steps), actions=["%s %s" % step for step in steps],
                     diff={"before": text(found), "after": text(after(found, wanted))})


if __name__ == "__main__":
    main()
