#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_keys
short_description: (internal) CFEngine's host keys, and which of them a hub or a client trusts
version_added: "1.0.0"
description:
  - Works on the directory C(ppkeys), in which a host keeps the public keys that it trusts.
  - Takes any number of keys in one call.
  - Every key is read and checked before the first file is written; when one is wrong, all that are wrong are reported
    and nothing is changed.
  - A host's own identity (C(localhost.*)) is never written, removed or carried. Keys that are not mentioned stay.
  - No part of a given key's text gets into messages, results or the host's log. It may be a private key, given by
    mistake.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  path:
    description: The directory C(ppkeys). It must exist.
    type: path
    required: true
  state:
    description:
      - V(present), the keys in O(keys) and O(archive) are trusted.
      - V(absent), the keys in O(digests) are not trusted. Files count that are named so and files that hold such a key.
      - V(packed), all trusted keys are returned in RV(archive). Files that are no keys are left out and named in a
        warning.
    type: str
    choices: [present, absent, packed]
    required: true
  keys:
    description:
      - The keys, each a dict. C(public) is the text of the host's C(localhost.pub).
      - C(host) names the host in messages. One key for two hosts is refused.
      - C(digest) is the digest that is expected, as C(cf-key --print-digest) shows it. Another key is refused.
      - C(user) is the user in the file's name, C(root) if there is none.
      - A key that is this host's own is left out.
    type: list
    elements: raw
  archive:
    description: With O(state=present), what O(state=packed) returned on another host. Files keep their names.
    type: str
  digests:
    description: With O(state=absent), digests of keys, as C(cf-key --print-digest) shows them.
    type: list
    elements: str
  exclude:
    description: With O(state=packed), digests of keys that are not carried, such as those of the hubs themselves.
    type: list
    elements: str
    default: []
  digest_type:
    description:
      - Which digest is in the names of the files of O(keys), V(MD5) on the Community edition or V(SHA) on Enterprise.
      - If there is none, it is that of the files in O(path), or else that of the given digests.
        Where they contradict each other or nothing tells, the module fails.
    type: str
    choices: [MD5, SHA]
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows the names of files that are added, written anew and removed, the first 20 of them.
    support: full
notes:
  - A file with the right name and key is written anew when others than root can write to it, or when it has more in it
    than the key.
"""

EXAMPLES = r"""
- name: A client trusts both hubs
  cfengine.hub_ha.hub_keys:
    path: /var/cfengine/ppkeys
    state: present
    keys:
      - {host: hub1, public: "{{ hub1_key }}", digest: "SHA=9c46d0..."}
      - {host: hub2, public: "{{ hub2_key }}", digest: "SHA=0b7f21..."}

- name: Read the clients' keys on one hub
  cfengine.hub_ha.hub_keys:
    path: /var/cfengine/ppkeys
    state: packed
  delegate_to: hub1
  register: clients

- name: The other hub trusts them too
  cfengine.hub_ha.hub_keys:
    path: /var/cfengine/ppkeys
    state: present
    archive: "{{ clients.archive }}"
  delegate_to: hub2

- name: A host is gone
  cfengine.hub_ha.hub_keys:
    path: /var/cfengine/ppkeys
    state: absent
    digests: ["SHA=55aa01..."]
"""

RETURN = r"""
added:
  description: Names of the files that were (or would be) made.
  returned: with state=present
  type: list
  elements: str
rewritten:
  description: Names of the files that were (or would be) written anew, with the same key.
  returned: with state=present
  type: list
  elements: str
removed:
  description: Names of the files that were (or would be) removed.
  returned: with state=absent
  type: list
  elements: str
present:
  description: How many of the keys were trusted before.
  returned: with state=present
  type: int
own:
  description: How many of the keys are this host's own and were left out.
  returned: with state=present
  type: int
count:
  description: Number of keys that were given, each counted once and without the host's own, or that are in the archive.
  returned: with state=present and state=packed
  type: int
archive:
  description: The keys, for O(archive).
  returned: with state=packed
  type: str
left_out:
  description: Files that are no keys and were left out.
  returned: with state=packed
  type: list
  elements: dict
  contains:
    file:
      description: The file's name.
      type: str
    reason:
      description: What is wrong with it.
      type: str
problems:
  description: Everything that is wrong with the given keys.
  returned: when keys were refused
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import keys, trust
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.keys import KeyProblem
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail


class KeysModule(AnsibleModule):
    """Tells nobody the keys that it was given, only how many: thousands are long, and one may be private by mistake."""

    def told(self):
        """The arguments as results and the log show them."""
        told = {}
        for name in self.argument_spec:
            value = self.params.get(name)
            if isinstance(value, str) and name != "archive" and "\n" not in value and len(value) < 300 or value is None:
                told[name] = value
            else:
                told[name] = "%d %s" % (len(value) if hasattr(value, "__len__") else 1,
                                        "characters" if isinstance(value, str) else "entries")
        return told

    def _log_invocation(self):
        self.log("Invoked with " + " ".join("%s=%s" % item for item in sorted(self.told().items())))

    def exit_json(self, **result):
        super().exit_json(invocation={"module_args": self.told()}, **result)

    def fail_json(self, msg, **result):
        if "PRIVATE KEY" in str(msg):
            msg = "a private key was given where it does not belong"
        super().fail_json(msg=msg, invocation={"module_args": self.told()}, **result)


def pack(module):
    """The result of state=packed."""
    done = trust.pack(module.params["path"], module.params["exclude"])
    warning = done.warning(module.params["path"])
    if warning:
        module.warn(warning)
    return {"changed": False, "archive": done.archive, "count": done.count, "left_out": done.left_out}


def present(module):
    """The result of state=present."""
    params = module.params
    done = trust.trust(params["path"], params["keys"] or [], params["archive"], params["digest_type"],
                       module.check_mode)
    todo = done.added + done.rewritten
    return {"changed": bool(todo), "added": done.added, "rewritten": done.rewritten, "present": done.present,
            "own": done.own, "count": done.count,
            "diff": {"before_header": params["path"], "after_header": params["path"],
                     "before": keys.shown([name + " (not as it should be)" for name in done.rewritten]),
                     "after": keys.shown(todo, done.labels)}}


def absent(module):
    """The result of state=absent."""
    params = module.params
    removed = trust.distrust(params["path"], params["digests"], module.check_mode)
    return {"changed": bool(removed), "removed": [keys.printable(name) for name in removed],
            "diff": {"before_header": params["path"], "after_header": params["path"],
                     "before": keys.shown(removed), "after": ""}}


def main():
    """Entry point."""
    module = KeysModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            state=dict(type="str", choices=["present", "absent", "packed"], required=True),
            # raw, so that Ansible's own errors cannot show what they could not read
            keys=dict(type="list", elements="raw", no_log=False),
            archive=dict(type="str", no_log=False),
            digests=dict(type="list", elements="str"),
            exclude=dict(type="list", elements="str", default=[]),
            digest_type=dict(type="str", choices=["MD5", "SHA"]),
        ),
        required_if=[("state", "absent", ["digests"])],
        supports_check_mode=True,
    )
    state = module.params["state"]
    if state == "present" and module.params["keys"] is None and module.params["archive"] is None:
        module.fail_json(msg="state=present needs keys or archive")
    try:
        result = {"present": present, "absent": absent, "packed": pack}[state](module)
    except HubError as error:
        fail(module, error)
    except KeyProblem as problem:
        module.fail_json(msg=str(problem))
    except OSError as error:
        module.fail_json(msg="cannot put the keys in %s right: %s" % (module.params["path"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
