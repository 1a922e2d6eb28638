#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_file
short_description: A file with a secret, written without a copy on the controller
version_added: "1.0.0"
description:
  - Writes a secret to a file with tight permissions, or makes a random one once and returns it.
  - Unlike M(ansible.builtin.copy) with C(content), nothing is written to the controller's disk,
    and the content never appears in a diff.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: Path of the file. Its directory must exist, except in check mode.
    type: path
    required: true
  content:
    description: The secret text. A line break is added at its end if it has none.
    type: str
  generate:
    description:
      - When there is no such file, make one from that many random bytes (written as text, two hex digits a byte).
      - The content is returned as RV(secret), so register the task with C(no_log).
    type: int
  owner:
    description: Owner of the file.
    type: str
    default: root
  group:
    description: Group of the file.
    type: str
    default: root
  mode:
    description: Permissions, octal, as text.
    type: str
    default: "0600"
attributes:
  check_mode:
    description: Reports what a real run would change. A secret that would be generated is not returned.
    support: full
  diff_mode:
    description: Shows permissions and whether the content differs, never the content.
    support: partial
"""

EXAMPLES = r"""
- name: Make the key once
  cfengine.hub_ha.secret_file:
    path: /etc/corosync/authkey
    generate: 128
    mode: "0400"
  no_log: true
  register: key

- name: Give it to the other hub
  cfengine.hub_ha.secret_file:
    path: /etc/corosync/authkey
    content: "{{ key.secret }}"
    mode: "0400"
  no_log: true
"""

RETURN = r"""
secret:
  description: The text of the file without its last line break, when O(generate) is used.
  returned: when generate is given and the file exists
  type: str
"""

import grp
import os
import pwd
import re
import secrets

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import replace_file


def current(path):
    """(text or None, "owner:group mode" or "absent") of the file now."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            text = handle.read()
            info = os.fstat(handle.fileno())
    except FileNotFoundError:
        return None, "absent"
    return text, describe(name_of(pwd.getpwuid, info.st_uid), name_of(grp.getgrgid, info.st_gid),
                          "%04o" % (info.st_mode & 0o7777))


def name_of(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)


def describe(owner, group, mode):
    return "%s:%s %s" % (owner, group, mode)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            content=dict(type="str", no_log=True),
            generate=dict(type="int"),
            owner=dict(type="str", default="root"),
            group=dict(type="str", default="root"),
            mode=dict(type="str", default="0600"),
        ),
        required_one_of=[("content", "generate")],
        mutually_exclusive=[("content", "generate")],
        supports_check_mode=True,
    )
    params = module.params
    path = params["path"]
    if not re.match("^[0-7]{3,4}$", params["mode"]):
        module.fail_json(msg="mode %r is not an octal number such as 0600" % params["mode"])
    if params["generate"] is not None and params["generate"] < 16:
        module.fail_json(msg="a secret of %d bytes can be guessed; generate at least 16" % params["generate"])
    try:
        pwd.getpwnam(params["owner"]), grp.getgrnam(params["group"])
    except KeyError:
        if not module.check_mode:  # in check mode an earlier task may not have made them
            module.fail_json(msg="user %s or group %s does not exist on this host" % (params["owner"], params["group"]))
    old, before = current(path)
    if params["generate"] is not None and any("\udc80" <= char <= "\udcff" for char in old or ""):
        module.fail_json(msg="%s holds binary data, which cannot be handed to the other hub; if nothing uses it any "
                         "more, move it away and a new one is made" % path)
    after = describe(params["owner"], params["group"], "%04o" % int(params["mode"], 8))
    text = params["content"]
    if text is None:
        text = old if old else secrets.token_hex(params["generate"])
    if not text.endswith("\n"):
        text += "\n"
    same = old == text
    changed = not same or before != after
    if changed and not module.check_mode:
        if not os.path.isdir(os.path.dirname(path)):
            module.fail_json(msg="the directory of %s does not exist" % path)
        replace_file(path, text.encode("utf-8", "surrogateescape"), int(params["mode"], 8),
                     pwd.getpwnam(params["owner"]).pw_uid, grp.getgrnam(params["group"]).gr_gid)
    result = {"changed": changed, "diff": {
        "before_header": path, "after_header": path,
        "before": "%s%s\n" % (before, "" if same or old is None else ", other content (not shown)"),
        "after": "%s%s\n" % (after, "" if same else ", new content (not shown)")}}
    if params["generate"] and (old or not module.check_mode):
        result["secret"] = text.rstrip("\n")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
