#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_files
short_description: (internal) Carries policy and shared secrets from the active hub to the passive one
version_added: "1.0.0"
description:
  - With O(state=packed) reads files on the active hub into one compressed archive that is returned.
  - With O(state=present) makes the files of the passive hub the same, each file replaced in one step.
  - With O(state=written) makes files hold the texts in O(texts), all in one round trip.
  - Nothing is written to the controller's disk. A hub's own identity (C(localhost.*)) is never read or written,
    nor are its agent's own notes C(cf_promises_validated) and C(cf_promises_release_id).
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: The directory.
    type: path
    required: true
  state:
    description: Whether to read the files or to write them.
    type: str
    choices: [packed, present, written]
    required: true
  include:
    description: Shell patterns of the file names that are meant.
    type: list
    elements: str
    default: ["*"]
  archive:
    description: What O(state=packed) returned on the other hub. Required with O(state=present).
    type: str
  texts:
    description: Files below O(path) with the text that each must hold. Required with O(state=written).
    type: dict
    default: {}
  modes:
    description: Octal modes of files in O(texts) that are not C(0600).
    type: dict
    default: {}
  replace:
    description:
      - With O(state=packed), texts that go into the archive instead of what these files hold, by path below O(path).
      - For check mode, in which an earlier task has only announced that it will write them.
    type: dict
    default: {}
  augments:
    description:
      - With O(state=packed), by path below O(path), what is merged into an augments file on its way into the archive;
        see O(cfengine.hub_ha.augments#module:wanted).
      - For check mode, like O(replace).
    type: dict
    default: {}
  exact:
    description: Remove files below O(path) that match O(include) and are not in the archive.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description:
      - Shows which files are added, changed and removed, with the differing lines of policy files up to 64 kB.
      - Of other files, such as C(def.json), in which operators keep secrets, it shows size, mode and digest only.
    support: full
"""

EXAMPLES = r"""
- name: Read the policy
  cfengine.hub_ha.hub_files:
    path: /var/cfengine/masterfiles
    state: packed
  register: policy

- name: A file of ours
  cfengine.hub_ha.hub_files:
    path: /var/cfengine
    state: written
    texts: {ha.cfg: "cmp_master: PRI\n"}
    modes: {ha.cfg: "0644"}

- name: Same policy on the other hub
  cfengine.hub_ha.hub_files:
    path: /var/cfengine/masterfiles
    state: present
    archive: "{{ policy.archive }}"
    exact: true
"""

RETURN = r"""
archive:
  description: The files, as base64 of a compressed tar archive.
  returned: with state=packed
  type: str
count:
  description: Number of files in the archive.
  returned: always
  type: int
files:
  description: Names of the files that were (or would be) added, changed and removed.
  returned: with state=present and state=written
  type: dict
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import shared_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail

TEXT_LIMIT = 64 << 10
SHOWN = (".cf", "/ha_info.json")  # names of files whose text a diff shows
NEW_SHOWN = 20  # of more new files than that a diff shows the number


def shown(name, entry, ours=False):
    """What a diff shows of the file *name*. ours: nobody keeps a secret in it."""
    if entry is None:
        return ""
    mode, data, target = entry
    if target is not None:
        return "-> %s\n" % target
    if (ours or ("/" + name).endswith(SHOWN)) and len(data) <= TEXT_LIMIT and b"\0" not in data:
        return "(%d bytes, mode %04o)\n" % (len(data), mode) + data.decode("utf-8", "replace")
    return "(%d bytes, mode %04o, SHA-256 %.12s...)\n" % (len(data), mode, hashlib.sha256(data).hexdigest())


def diff_of(root, files, changes, ours):
    """The diff of shared_files.Changes, file by file."""
    diff = []
    for name in sorted([*changes.added[:NEW_SHOWN], *changes.changed]):
        path = os.path.join(root, name)
        diff.append({"before_header": path, "after_header": path, "before": shown(name, changes.old.get(name), ours),
                     "after": shown(name, files[name], ours)})
    for name in changes.removed:
        diff.append({"before_header": os.path.join(root, name), "after_header": "(removed)", "before": "(present)\n",
                     "after": ""})
    if len(changes.added) > NEW_SHOWN:
        diff.append({"before": "", "after": "and %d more new files\n" % (len(changes.added) - NEW_SHOWN)})
    return diff


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            state=dict(type="str", choices=["packed", "present", "written"], required=True),
            include=dict(type="list", elements="str", default=["*"]),
            # what an operator's def.json or Mission Portal's secrets.ini hold is nobody's business at -vvv
            archive=dict(type="str", no_log=True),
            texts=dict(type="dict", default={}),
            modes=dict(type="dict", default={}),
            replace=dict(type="dict", default={}),
            augments=dict(type="dict", default={}),
            exact=dict(type="bool", default=False),
        ),
        required_if=[("state", "present", ["archive"]), ("state", "written", ["texts"])],
        supports_check_mode=True,
    )
    params = module.params
    root = params["path"]
    ours = params["state"] == "written"
    try:
        if params["state"] == "packed":
            archive, count = shared_files.pack(root, params["include"], params["replace"], params["augments"])
            module.exit_json(changed=False, archive=archive, count=count)
        files = shared_files.texts(params["texts"], params["modes"]) if ours \
            else shared_files.unpack(params["archive"], params["include"])
        changes = shared_files.compare(root, files, params["include"], params["exact"])
        if not module.check_mode:
            shared_files.apply(root, files, changes)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="cannot write below %s: %s" % (root, error))
    module.exit_json(changed=bool(changes), files=changes.names(), count=len(files),
                     diff=diff_of(root, files, changes, ours) if module._diff else [])


if __name__ == "__main__":
    main()
