#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_files
short_description: Carries policy and shared secrets from the active hub to the passive one
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

import fnmatch
import hashlib
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import augments
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.words import POLICY_STAMPS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive as archives
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import read_text, replace_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail

TEXT_LIMIT = 64 << 10
SHOWN = (".cf", "/ha_info.json")  # names of files whose text a diff shows


def wanted(relative, patterns):
    """True when the file is meant; a hub's own identity and its agent's own notes never are."""
    name = os.path.basename(relative)
    if relative in POLICY_STAMPS:
        return False
    return not name.startswith("localhost.") and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def listing(root, patterns):
    """Relative paths of the wanted files and links below *root*, sorted."""
    found = []
    for folder, dummy, files in os.walk(root):
        for name in files:
            relative = os.path.relpath(os.path.join(folder, name), root)
            if wanted(relative, patterns):
                found.append(relative)
    return sorted(found)


def pack(root, patterns, replace=None, merged=None):
    """(base64 text, number of files) of the wanted files below *root*.

    replace: {relative path: text} to put into the archive instead of what the file holds now.
    merged: {relative path: what to merge into it}, of augments files. Raises HubError.
    """
    if not os.path.isdir(root):
        raise HubError("%s does not exist on this hub" % root)
    replace = dict(replace or {})
    for name, wanted_part in (merged or {}).items():
        path = os.path.join(root, name)
        try:
            replace[name] = augments.merge(read_text(path), wanted_part)
        except ValueError as error:
            raise HubError("%s: %s" % (path, error))
    files = dict((name, current(os.path.join(root, name)))
                 for name in set(listing(root, patterns)) | set(replace))
    for name, text in replace.items():
        files[name] = (files[name][0] if files[name] else 0o600, text.encode("utf-8"), None)
    files = dict((name, entry) for name, entry in files.items() if entry)  # pipes and the like stay behind
    return archives.pack(files), len(files)


def unpack(text, patterns):
    """{relative path: (mode, bytes or None, link target or None)}; see archive.unpack."""
    return archives.unpack(text, lambda name: wanted(name, patterns))


def texts(given, modes):
    """Like unpack, of {path: text} and {path: octal mode}. Raises HubError for a mode that is none."""
    found = {}
    for path, text in given.items():
        mode = str(modes.get(path, "0600"))
        if not re.match("0?[0-7]{3}$", mode):
            raise HubError("mode %r of %s is not an octal number such as 0600" % (mode, path))
        found[os.path.normpath(path)] = (int(mode, 8), text.encode("utf-8"), None)
    return found


def current(path):
    """(mode, bytes or None, link target or None) of the file on this hub, or None."""
    if os.path.islink(path):
        return 0o777, None, os.readlink(path)
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as handle:
        return os.fstat(handle.fileno()).st_mode & 0o7777, handle.read(), None


def put(path, mode, data, target):
    """Replace one file or link in one step."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    if target is not None:
        temporary = os.path.join(folder, ".hub_ha.%d" % os.getpid())
        os.symlink(target, temporary)
        os.rename(temporary, path)
        return
    replace_file(path, data, mode, sync=False)


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


def main():
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
    try:
        if params["state"] == "packed":
            archive, count = pack(root, params["include"], params["replace"], params["augments"])
            module.exit_json(changed=False, archive=archive, count=count)
        ours = params["state"] == "written"
        files = texts(params["texts"], params["modes"]) if ours else unpack(params["archive"], params["include"])
        changes = {"added": [], "changed": [], "removed": []}
        diff = []
        for name in sorted(files):
            old = current(os.path.join(root, name))
            if old == files[name]:
                continue
            changes["changed" if old else "added"].append(name)
            if module._diff and (old or len(changes["added"]) <= 20):
                diff.append({"before_header": os.path.join(root, name), "after_header": os.path.join(root, name),
                             "before": shown(name, old, ours), "after": shown(name, files[name], ours)})
            if not module.check_mode:
                put(os.path.join(root, name), *files[name])
        if params["exact"]:
            for name in listing(root, params["include"]):
                if name not in files:
                    changes["removed"].append(name)
                    diff.append({"before_header": os.path.join(root, name), "after_header": "(removed)",
                                 "before": "(present)\n", "after": ""})
                    if not module.check_mode:
                        os.unlink(os.path.join(root, name))
        if len(changes["added"]) > 20:
            diff.append({"before": "", "after": "and %d more new files\n" % (len(changes["added"]) - 20)})
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="cannot write below %s: %s" % (root, error))
    module.exit_json(changed=any(changes.values()), files=changes, count=len(files), diff=diff)


if __name__ == "__main__":
    main()
