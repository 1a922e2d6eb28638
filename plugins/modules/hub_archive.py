#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_archive
short_description: A hub's own files, identity included, as one archive for a full backup, and back on the hub
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

import grp
import os
import pwd

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive as archives
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import replace_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.tree import group_name, user_name
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup as full_backup

SHOWN = 20


def listed(paths):
    """Every file, link and directory that the paths mean, with full paths, sorted."""
    found = set()
    for path in paths:
        if path.endswith("/"):
            for folder, folders, files in os.walk(path.rstrip("/")):
                found.add(folder)
                places = [os.path.join(folder, name) for name in folders]
                found.update(os.path.join(folder, name) for name in files)
                found.update(place for place in places if os.path.islink(place))
        elif os.path.lexists(path) and not os.path.isdir(path):
            found.add(path)
    return sorted(found)


def current(path):
    """Entry (see module_utils/archive.py) of what lies at *path*; None where nothing does, or what is no file."""
    if os.path.islink(path):
        return 0o777, None, os.readlink(path)
    if os.path.isdir(path):
        return os.stat(path).st_mode & 0o7777, None, None
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as handle:
        return os.fstat(handle.fileno()).st_mode & 0o7777, handle.read(), None


def owner(path):
    """(user, group) of what lies there, by name."""
    info = os.lstat(path)
    return user_name(info.st_uid), group_name(info.st_gid)


def pack(paths, layout):
    """(base64 text, number of files)."""
    entries = dict((path, current(path)) for path in listed(paths) if not full_backup.left_out(path, layout))
    # The mask of a unit is a link into /dev, and no file of anybody's.
    entries = dict((path, entry) for path, entry in entries.items() if entry and entry[2] != "/dev/null")
    text = archives.pack(dict((path[1:], entry) for path, entry in entries.items()),
                         dict((path[1:], owner(path)) for path in entries))
    return text, len([entry for entry in entries.values() if entry[1:] != (None, None)])


def meant(path, paths):
    """True when the paths mean this file."""
    return any(path == item or (item.endswith("/") and (path + "/").startswith(item)) for item in paths)


def ids(name, group, path, check_mode):
    """(uid, gid); raises HubError for a user that this host lacks, but in check mode: an earlier task may make it."""
    try:
        return pwd.getpwnam(name).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        if name.isdigit() and group.isdigit():
            return int(name), int(group)
        if check_mode:
            return -1, -1
        raise HubError("%s belongs to %s:%s, whom this host does not know: install the same packages as before first; "
                       "nothing was changed" % (path, name, group))


def wanted(params, check_mode):
    """({path: (entry, uid, gid)}, {directory: (mode, uid, gid)}) of what is to be put back. Raises HubError."""
    files = archives.unpack(params["archive"], lambda name: True)
    owners = archives.owners(params["archive"])
    found, folders = {}, {}
    for name, (user, group, mode) in sorted(owners.items()):
        path = "/" + name
        if not meant(path, params["paths"]):
            continue
        uid, gid = ids(user, group, path, check_mode)
        if mode is not None:
            folders[path] = (mode, uid, gid)
        elif name in files:
            found[path] = (files[name], uid, gid)
    return found, folders


def is_there(path, entry, uid, gid):
    """True when the file is as the archive has it."""
    if current(path) != entry:
        return False
    info = os.lstat(path)
    return entry[2] is not None or (info.st_uid, info.st_gid) == (uid, gid)


def put(path, entry, uid, gid):
    """Put one file or link in its place, in one step."""
    mode, data, target = entry
    if target is None:
        replace_file(path, data, mode, uid, gid)
        return
    temporary = "%s.hub_ha.%d" % (path, os.getpid())
    os.symlink(target, temporary)
    os.rename(temporary, path)


def make_folders(folders, files):
    """The directories that are missing, as they were; one of which nothing is known is root's alone to write to."""
    for path in sorted(set(folders) | set(os.path.dirname(name) for name in files)):
        mode, uid, gid = folders.get(path, (0o755, 0, 0))
        if not os.path.isdir(path):
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            os.mkdir(path, 0o700)
            os.chown(path, uid, gid)
            os.chmod(path, mode)


def main():
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
            text, count = pack(params["paths"], params["layout"])
            module.exit_json(changed=False, archive=text, count=count)
        files, folders = wanted(params, module.check_mode)
        written = [path for path in sorted(files) if not is_there(path, *files[path])]
        removed = [path for path in listed(params["exact"]) if path not in files and not os.path.isdir(path)
                   and not full_backup.left_out(path, params["layout"])]
        if not module.check_mode:
            make_folders(folders, written)
            for path in removed:
                os.unlink(path)
            for path in written:
                put(path, *files[path])
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="putting files back failed: %s; run again when the cause is mended" % error)
    lines = ["%s\n" % path for path in written] + ["%s removed\n" % path for path in removed]
    more = ["and %d more\n" % (len(lines) - SHOWN)] if len(lines) > SHOWN else []
    module.exit_json(changed=bool(written or removed), count=len(files), files={"written": written, "removed": removed},
                     diff={"before": "", "after": "".join(lines[:SHOWN] + more)})


if __name__ == "__main__":
    main()
