#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts the application hub-ha on a hub."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_application
short_description: Puts the application hub-ha on a hub
version_added: 0.1.0
description:
  - Package C(hubha) of this collection as one file (a Python zip application), and a program C(/usr/local/sbin/hub-ha)
    that runs it with the interpreter that Ansible uses on the hub. Nothing is downloaded.
  - The same sources always make the same file, so its digest says whether it is there already. It is put in place by
    one rename; a program that runs goes on with what it has loaded.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  state:
    description: Whether it is to be there.
    type: str
    choices: [present, absent]
    default: present
  sha256:
    description: Digest of the application. Set by the action plugin, which builds it.
    type: str
    default: ''
  version:
    description: Version of the application. Set by the action plugin.
    type: str
    default: ''
  src:
    description: Where the application has been sent to on the hub. Set by the action plugin, when it has to be sent.
    type: path
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: Versions and digests.
    support: full
"""

EXAMPLES = r"""
- name: The application
  cfengine.hub_ha.hub_application:
"""

RETURN = r"""
sha256:
  description: Digest of the application as it is to be; empty when it is to be absent.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
version:
  description: Version of the application as it is to be; empty when it is to be absent.
  returned: always
  type: str
  sample: 0.1.0
needed:
  description: Whether the file itself has to be sent.
  returned: when O(state=present)
  type: bool
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import application


def read(path):
    """The file's bytes; None when it is not there."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def right(path, mode):
    """True for a file of root with that mode."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, mode)


def place(content, path, mode):
    """Write beside and rename."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".hub-ha.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(name, 0, 0)
        os.chmod(name, mode)
        os.rename(name, path)
    except OSError:
        os.unlink(name)
        raise


def describe(content):
    """For the diff."""
    if content is None:
        return "absent\n"
    version = application.version_of(application.PLACE)
    return "version %s\nsha256 %s\n" % (version, hashlib.sha256(content).hexdigest())


def main():
    module = AnsibleModule(argument_spec=dict(
        state=dict(type="str", choices=["present", "absent"], default="present"),
        sha256=dict(type="str", default=""), version=dict(type="str", default=""), src=dict(type="path"),
    ), supports_check_mode=True)
    wanted = module.params
    now, program = read(application.PLACE), read(application.WRAPPER)
    before = {"before_header": application.PLACE, "after_header": application.PLACE, "before": describe(now)}
    try:
        if wanted["state"] == "absent":
            changed = now is not None or program is not None
            if changed and not module.check_mode:
                if program is not None:
                    os.unlink(application.WRAPPER)
                if now is not None:
                    shutil.rmtree(os.path.dirname(application.PLACE))
            module.exit_json(changed=changed, sha256="", version="", diff=dict(before, after=describe(None)))
        if not wanted["sha256"]:
            module.fail_json(msg="sha256 is not given: the action plugin of this module builds the application")
        text = application.wrapper(sys.executable).encode()
        file_right = now is not None and hashlib.sha256(now).hexdigest() == wanted["sha256"] and right(
            application.PLACE, 0o644)
        program_right = program == text and right(application.WRAPPER, 0o755)
        if not module.check_mode and not file_right and wanted["src"]:
            content = read(wanted["src"])
            if content is None or hashlib.sha256(content).hexdigest() != wanted["sha256"]:
                module.fail_json(msg="the application did not arrive whole: run this again")
            place(content, application.PLACE, 0o644)
        if not module.check_mode and not program_right and (file_right or wanted["src"]):
            place(text, application.WRAPPER, 0o755)
    except OSError as error:
        module.fail_json(msg="%s cannot be put in place on this hub: %s" % (application.PLACE, error))
    after = "version %s\nsha256 %s\n" % (wanted["version"], wanted["sha256"])
    diff = [dict(before, after=after)]
    if not program_right:
        diff.append({"before_header": application.WRAPPER, "after_header": application.WRAPPER,
                     "before": (program or b"").decode("utf-8", "replace"), "after": text.decode()})
    module.exit_json(changed=not (file_right and program_right), sha256=wanted["sha256"], version=wanted["version"],
                     needed=not file_right and not module.check_mode and not wanted["src"], diff=diff)


if __name__ == "__main__":
    main()
