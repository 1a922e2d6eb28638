#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_archive
short_description: (internal) A hub's own files, identity included, as one archive for a full backup, and back on the hub
version_added: "1.0.0"
description:
  - With O(state=packed) reads files with owner and mode into one compressed archive that is returned.
  - With O(state=present) puts files of such an archive back, each in one step. Everything is read and checked first.
  - The archive holds private keys. Nothing of it is written to the controller's disk by this module.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  state:
    description: Whether to read the files or to put them back.
    type: str
    choices: [packed, present]
    required: true
  paths:
    description:
      - With O(state=packed), files, and directories (with a slash at the end) with all that is below them. What is
        missing is left out.
      - With O(state=present), what is put back of the archive, named in the same way.
    type: list
    elements: str
    required: true
  layout:
    description: The hub's layout, as M(cfengine.hub_ha.hub_info) returns it. It says which files belong to a moment.
    type: dict
    required: true
  archive:
    description: What O(state=packed) returned. Required with O(state=present).
    type: str
  exact:
    description: With O(state=present), directories in which files that are not in the archive are removed.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows the files by name, the first 20 of them; what is in them stays hidden.
    support: full
seealso:
  - module: cfengine.hub_ha.backup_seal
"""

EXAMPLES = r"""
- name: Everything that makes this host the hub that it is
  cfengine.hub_ha.hub_archive:
    state: packed
    paths: [/var/cfengine/ppkeys/, /var/cfengine/masterfiles/, /var/cfengine/policy_server.dat]
    layout: "{{ hub.layout }}"
  no_log: true
  register: saved

- name: The old identity on the new host
  cfengine.hub_ha.hub_archive:
    state: present
    paths: [/var/cfengine/ppkeys/]
    exact: [/var/cfengine/ppkeys/]
    layout: "{{ hub.layout }}"
    archive: "{{ saved.archive }}"
"""

RETURN = r"""
archive:
  description: The files, as base64 of a compressed tar archive.
  returned: with state=packed
  type: str
count:
  description: Number of files in the archive, or of those that are meant.
  returned: always
  type: int
files:
  description: Files that were (or would be) written and removed.
  returned: with state=present
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import own_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail

SHOWN = 20  # names of files in a diff


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["packed", "present"], required=True),
            paths=dict(type="list", elements="str", required=True),
            layout=dict(type="dict", required=True),
            archive=dict(type="str", no_log=True),
            exact=dict(type="list", elements="str", default=[]),
        ),
        required_if=[("state", "present", ["archive"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "packed":
            text, count = own_files.pack(params["paths"], params["layout"])
            module.exit_json(changed=False, archive=text, count=count)
        plan = own_files.restore_plan(params["archive"], params["paths"], params["exact"], params["layout"],
                                      any_owner=module.check_mode)
        if not module.check_mode:
            own_files.restore(plan)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="putting files back failed: %s; run again when the cause is mended" % error)
    lines = ["%s\n" % path for path in plan.written] + ["%s removed\n" % path for path in plan.removed]
    more = ["and %d more\n" % (len(lines) - SHOWN)] if len(lines) > SHOWN else []
    module.exit_json(changed=bool(lines), count=len(plan.files),
                     files={"written": list(plan.written), "removed": list(plan.removed)},
                     diff={"before": "", "after": "".join(lines[:SHOWN] + more)})


if __name__ == "__main__":
    main()
