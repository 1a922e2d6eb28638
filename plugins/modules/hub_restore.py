#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_restore
short_description: Puts files back as a backup of a hub holds them
version_added: "1.0.0"
description:
  - Takes a backup that M(cfengine.hub_ha.hub_backup) made and puts single files back from it, with owner and mode.
  - Everything is looked at first; a backup that lacks a file or whose copy is damaged changes nothing.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  directory:
    description: Where the backups are.
    type: path
    required: true
  files:
    description: Files to put back. Each must be in the backup.
    type: list
    elements: path
    default: []
  optional:
    description: Files to put back if they are in the backup, and to remove if they are not.
    type: list
    elements: path
    default: []
  backup:
    description: The backup to take, a directory below O(directory). Empty for the newest one that fits.
    type: path
  lacking:
    description: Take the newest backup that holds all of O(files) and does not hold this file.
    type: path
  holding:
    description: Take the newest backup that holds this file. If there is none, nothing is done.
    type: path
attributes:
  check_mode:
    description: Reports what would be put back.
    support: full
  diff_mode:
    description: Shows the files by name; what is in them stays hidden.
    support: full
seealso:
  - module: cfengine.hub_ha.hub_backup
"""

EXAMPLES = r"""
- name: PostgreSQL's configuration as it was before the upgrade
  cfengine.hub_ha.hub_restore:
    directory: /var/backups/cfengine-hub-ha
    files:
      - /var/cfengine/state/pg/data/postgresql.conf
      - /var/cfengine/state/pg/data/pg_hba.conf
    optional: [/var/cfengine/state/pg/data/hub_ha.conf]
    lacking: /var/cfengine/state/pg/data/hub_ha.conf
"""

RETURN = r"""
path:
  description: The backup that was taken, null when there was nothing to do.
  returned: success
  type: str
restored:
  description: Files that were put back because they differed.
  returned: success
  type: list
  elements: str
removed:
  description: Files that were removed because the backup does not hold them.
  returned: success
  type: list
  elements: str
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import store as backup_store
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import replace_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts.probe import file_state


def fits(manifest, params):
    """True when this backup is one that may be taken."""
    held = backup_store.entries(manifest)
    if params["lacking"]:
        return params["lacking"] not in held and all(name in held for name in params["files"])
    return not params["holding"] or params["holding"] in held


def choose(params):
    """(path, manifest) of the backup to take, or (None, None) when there is nothing to do. Raises HubError."""
    directory = params["directory"]
    for path, manifest in backup_store.complete(directory):
        if params["backup"]:
            if os.path.realpath(path) == os.path.realpath(params["backup"]):
                return path, manifest
        elif fits(manifest, params):
            return path, manifest
    if params["holding"] and not params["backup"]:
        return None, None
    raise HubError("%s holds no complete backup %s" % (
        directory, params["backup"] or "of before %s was there" % params["lacking"]
        if params["backup"] or params["lacking"] else "at all"))


def content(path, entry):
    """What the backup holds of one file; raises HubError when it is not what was saved."""
    try:
        with open(backup_store.saved(path, entry["path"]), "rb") as handle:
            data = handle.read()
    except OSError as error:
        raise HubError("the backup %s cannot be read: %s" % (path, error))
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise HubError("the copy of %s in %s is not what was saved; nothing was changed" % (entry["path"], path))
    return data


def is_as_saved(entry):
    """True when the file on the hub is the one in the backup already."""
    path = entry["path"]
    if entry.get("link") is not None:
        return os.path.islink(path) and os.readlink(path) == entry["link"]
    if os.path.islink(path):
        return False
    state = file_state(path)
    if not state["exists"]:
        return False
    info = os.stat(path)
    return (state["sha256"], state["mode"], info.st_uid, info.st_gid) == (
        entry["sha256"], entry["mode"], entry["uid"], entry["gid"])


def put(entry, data):
    """Put one file (or the link that it was) in its place, in one step."""
    path = entry["path"]
    if entry.get("link") is None:
        replace_file(path, data, int(entry["mode"], 8), entry["uid"], entry["gid"])
        return
    temporary = "%s.hub_ha.%d" % (path, os.getpid())
    os.symlink(entry["link"], temporary)
    os.rename(temporary, path)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", required=True),
            files=dict(type="list", elements="path", default=[]),
            optional=dict(type="list", elements="path", default=[]),
            backup=dict(type="path"),
            lacking=dict(type="path"),
            holding=dict(type="path"),
        ),
        mutually_exclusive=[("backup", "lacking", "holding")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        path, manifest = choose(params)
        held = backup_store.entries(manifest) if path else {}
        missing = [name for name in params["files"] if path and name not in held]
        if missing:
            raise HubError("the backup %s does not hold %s" % (path, ", ".join(missing)))
        wanted = [held[name] for name in params["files"] + params["optional"] if name in held]
        data = dict((entry["path"], content(path, entry)) for entry in wanted)
        restored = [entry for entry in wanted if not is_as_saved(entry)]
        removed = [name for name in params["optional"] if path and name not in held and os.path.lexists(name)]
        if not module.check_mode:
            for entry in restored:
                put(entry, data[entry["path"]])
            for name in removed:
                os.unlink(name)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="putting files back from %s failed: %s" % (params["directory"], error))
    names = [entry["path"] for entry in restored]
    module.exit_json(changed=bool(restored or removed), path=path, restored=names, removed=removed, diff={
        "before": "", "after": "".join("%s as in %s\n" % (name, path) for name in names)
        + "".join("%s removed\n" % name for name in removed)})


if __name__ == "__main__":
    main()
