#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_role
short_description: Make the PostgreSQL role that a standby connects as
version_added: "1.0.0"
description:
  - Makes sure that a role with LOGIN and REPLICATION, and no other right, exists and has the given password.
  - Runs on the primary, over the local socket. On a standby it is refused.
  - A role that exists and is not the one that this module makes (by its comment, or by having exactly these rights) is
    refused, and not dropped either.
  - The password is turned into a SCRAM-SHA-256 verifier on the host by the module, so the server and its logs never see
    it. A password that is stored with MD5, or not at all, counts as different.
options:
  name:
    description: Name of the role.
    type: str
    required: true
  password:
    description:
      - The password. Any characters except null and line breaks, which a password file cannot hold.
      - Needed to make the role.
    type: str
  state:
    description: Whether the role is to be there.
    type: str
    choices: [present, absent]
    default: present
  slots:
    description: Replication slots that go together with the role, with O(state=absent). Their standbys must be stopped.
    type: list
    elements: str
    default: []
  database:
    description: Database to connect to.
    type: str
    default: postgres
  bin_dir:
    description: Directory with C(psql). When not given, it is looked up in the path.
    type: path
  socket_dir:
    description: Directory of the server's socket. When not given, psql's own default.
    type: path
  port:
    description: Port of the server. When not given, psql's own default.
    type: int
  login_role:
    description: Superuser role to connect as. The server's pg_hba.conf must let the running user be that role.
    type: str
    default: root
attributes:
  check_mode:
    support: full
    description: Tells what it would change.
  diff_mode:
    support: full
    description: Shows the attributes before and after, never the password or its verifier.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: The standby's role exists
  cfengine.hub_ha.replication_role:
    name: cf_replication
    password: "{{ vault_replication_password }}"

- name: Nobody replicates from here any more
  cfengine.hub_ha.replication_role:
    name: cf_replication
    state: absent
    slots: [hub_ha_hub2]
"""

RETURN = r"""
name:
  description: The role.
  returned: success
  type: str
  sample: cf_replication
created:
  description: Whether the role did not exist before.
  returned: success
  type: bool
  sample: true
password_changed:
  description: Whether the password was, or in check mode would be, set.
  returned: success
  type: bool
  sample: true
dropped:
  description: What was, or in check mode would be, dropped.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [slot hub_ha_hub2, role cf_replication]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.replication_user import ReplicationUser


def remove(user, slots, check_mode):
    """The result of state absent. Raises HubError."""
    steps = user.leftovers(slots)
    if not check_mode:
        user.drop(steps)
    dropped = [step.what for step in steps]
    return {"changed": bool(steps), "name": user.name, "created": False, "password_changed": False, "dropped": dropped,
            "diff": {"before": "".join(what + "\n" for what in dropped), "after": ""}}


def ensure(user, password, check_mode):
    """The result of state present. Raises HubError."""
    plan = user.look(password)
    if not check_mode:
        user.make(plan)
    return {"changed": bool(plan.statements), "name": user.name, "created": plan.created,
            "password_changed": plan.password_changed, "diff": {"before": plan.before, "after": plan.after}}


def main():
    """Entry point."""
    module = AnsibleModule(supports_check_mode=True, required_if=[("state", "present", ["password"])], argument_spec={
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "slots": {"type": "list", "elements": "str", "default": []},
        "database": {"type": "str", "default": "postgres"},
        "bin_dir": {"type": "path"},
        "socket_dir": {"type": "path"},
        "port": {"type": "int"},
        "login_role": {"type": "str", "default": "root"},
    })
    params = module.params
    user = ReplicationUser(Postgres(local_runner, params["bin_dir"] or ""), params["name"], params["login_role"],
                           params["database"], params["socket_dir"], params["port"])
    try:
        if params["state"] == "absent":
            result = remove(user, params["slots"], module.check_mode)
        else:
            result = ensure(user, params["password"], module.check_mode)
    except HubError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
