#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_backup
short_description: Saves a hub's configuration, keys and CIB with a manifest
version_added: "1.0.0"
description:
  - Copies the files that a high availability set-up changes, and the CIB if there is one, to a new directory named
    after the time, readable by root only, with a manifest of sizes, owners, modes and SHA-256 digests.
  - Does nothing when the newest complete backup holds the same configuration already.
  - The database itself is not copied.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  directory:
    description: Where the backups go, one directory each.
    type: path
    required: true
  files:
    description: Files (or shell patterns) whose change makes a new backup necessary. Missing ones are noted.
    type: list
    elements: str
    required: true
  also:
    description: Files (or shell patterns) that are saved too, but do not by themselves make a new backup necessary.
    type: list
    elements: str
    default: []
  trees:
    description:
      - Directories that are saved whole, each as one compressed tar archive, if a file in them has changed.
      - CFEngine's own notes C(cf_promises_validated) and C(cf_promises_release_id) do not count as a change.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Reports whether a backup would be made.
    support: full
  diff_mode:
    description: Shows the files that differ from the newest backup, by name.
    support: full
"""

EXAMPLES = r"""
- name: Save the hub's configuration
  cfengine.hub_ha.hub_backup:
    directory: /var/backups/cfengine-hub-ha
    files: [/etc/corosync/corosync.conf, /var/cfengine/masterfiles/def.json]
    also: ["/var/cfengine/ppkeys/*"]
"""

RETURN = r"""
path:
  description: Directory of the newest backup, the one just made included. Null when there is none (check mode).
  returned: always
  type: str
saved:
  description: Number of files in the new backup.
  returned: when changed
  type: int
"""

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import tarfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.words import POLICY_STAMPS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.store import newest, read_cib, saved
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import tree_digest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts.probe import file_state, tree

CIB_NAME = "cib.xml"


def expand(patterns):
    """Existing files that the patterns mean, sorted."""
    return sorted(set(path for pattern in patterns for path in glob.glob(pattern) if os.path.isfile(path)))


def configuration(cib):
    """The part of the CIB that people decide: without status, nodes' attributes and what the cluster notes itself."""
    text = re.sub(r"(?s)<status.*?</status>|<status\s*/>|<nodes>.*?</nodes>|<nodes/>", "", cib)
    text = re.sub(r"<cib [^>]*>", "<cib>", text)
    return re.sub(r'<nvpair [^>]*name="(last-lrm-refresh|dc-version|cluster-infrastructure|have-watchdog|'
                  r'cluster-name|last-clean|dc-deadtime)"[^>]*/>', "", text)


def tree_mark(root):
    """Digest of what lies below *root*."""
    return tree_digest(dict((name, digest) for name, digest in tree(root).items() if name not in POLICY_STAMPS))


def fingerprint(paths, cib, trees=()):
    """{name: digest} of everything whose change matters."""
    found = dict((path, file_state(path)["sha256"]) for path in paths)
    found.update((root, tree_mark(root)) for root in trees)
    if cib:
        found[CIB_NAME] = hashlib.sha256(configuration(cib).encode("utf-8")).hexdigest()
    return found


def save_tree(target, root):
    """Save one directory in the backup *target*; returns its entry for the manifest."""
    name = os.path.join("trees", root.strip("/").replace("/", "-") + ".tar.gz")
    os.makedirs(os.path.join(target, "trees"), mode=0o700, exist_ok=True)
    with open(os.open(os.path.join(target, name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as handle:
        with tarfile.open(fileobj=handle, mode="w:gz", compresslevel=6) as archive:
            archive.add(os.path.realpath(root), arcname=".")
    return {"path": root, "archive": name}


def save(directory, paths, cib, marks, missing=(), trees=()):
    """Write a new backup; its manifest comes last, so a backup that was cut off does not count."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)
    name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    target = os.path.join(directory, name)
    count = 1
    while os.path.exists(target):
        count += 1
        target = os.path.join(directory, "%s-%d" % (name, count))
    os.mkdir(target, 0o700)
    entries = []
    for path in paths:
        copy = saved(target, path)
        os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
        shutil.copy2(path, copy)
        info = os.stat(path)
        os.chown(copy, info.st_uid, info.st_gid)
        entry = dict(file_state(path), path=path, size=info.st_size, uid=info.st_uid, gid=info.st_gid)
        if os.path.islink(path):
            entry["link"] = os.readlink(path)
        entries.append(entry)
    if cib:
        with open(os.open(os.path.join(target, CIB_NAME), os.O_WRONLY | os.O_CREAT, 0o600), "w",
                  encoding="utf-8") as handle:
            handle.write(cib)
    manifest = {"host": platform.node(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "files": entries, "missing": list(missing), "trees": [save_tree(target, root) for root in trees],
                "cib": CIB_NAME if cib else None, "marks": marks}
    temporary = os.path.join(target, ".manifest")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as handle:
        json.dump(manifest, handle, indent=1, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(temporary, os.path.join(target, "manifest.json"))
    return target, len(entries)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            directory=dict(type="path", required=True),
            files=dict(type="list", elements="str", required=True),
            also=dict(type="list", elements="str", default=[]),
            trees=dict(type="list", elements="path", default=[]),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        cib = read_cib(local_runner)
        paths = expand(params["files"])
        trees = [root for root in params["trees"] if os.path.isdir(root)]
        marks = fingerprint(paths, cib, trees)
        path, manifest = newest(params["directory"])
        old = manifest["marks"] if manifest else {}
        differing = sorted(name for name in set(marks) | set(old) if marks.get(name) != old.get(name))
        result = {"changed": manifest is None or bool(differing), "path": path, "diff": {
            "before_header": path or "no backup", "after_header": "new backup",
            "before": "", "after": "".join("save %s\n" % name for name in differing if name in marks)
            + "".join("no more to be saved here: %s\n" % name for name in differing if name not in marks)}}
        if result["changed"] and not module.check_mode:
            result["path"], result["saved"] = save(params["directory"], expand(params["files"] + params["also"]),
                                                   cib, marks, [name for name in params["files"] if not expand([name])],
                                                   trees)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="the backup to %s failed: %s" % (params["directory"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
