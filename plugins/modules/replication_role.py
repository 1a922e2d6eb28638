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

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    HubError,
    fail,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import role as roles, scram
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres

# Column of pg_roles, wanted value, word of ALTER ROLE for it.
ATTRIBUTES = (
    ("rolcanlogin", True, "LOGIN"), ("rolreplication", True, "REPLICATION"), ("rolsuper", False, "NOSUPERUSER"),
    ("rolcreatedb", False, "NOCREATEDB"), ("rolcreaterole", False, "NOCREATEROLE"),
    ("rolbypassrls", False, "NOBYPASSRLS"))

# Nothing of this session goes to the server's log: a verifier is not the password, but it is not public either.
QUIET = """SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET log_min_messages = 'panic';
"""


def literal(text):
    """An SQL literal that is right whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    return " E'%s'" % escaped.replace("\\", "\\\\") if "\\" in text else "'%s'" % escaped


def identifier(name):
    """A quoted SQL identifier."""
    return '"%s"' % name.replace('"', '""')


def query(name):
    """SQL that returns the server's state and the role as one JSON object."""
    return QUIET + """SELECT json_build_object('in_recovery', pg_is_in_recovery(), 'role',
  (SELECT to_jsonb(a) FROM pg_authid a WHERE a.rolname = %s), 'facts',
  (SELECT %s FROM pg_authid r WHERE r.rolname = %s));
""" % (literal(name), roles.FACTS, literal(name))


def plan(role, name, password):
    """What to do: dict of statements (list of SQL), created, password_changed (bool), before, after (dict).

    role: the row of pg_authid as a dict, None when there is none.
    """
    before, after, words = {}, {"name": name}, []
    if role is not None:
        before["name"] = name
    for column, wanted, word in ATTRIBUTES:
        now = None if role is None else bool(role.get(column))
        if role is not None:
            before[column[3:]] = now
        after[column[3:]] = wanted
        if now != wanted:
            words.append(word)
    expires = role.get("rolvaliduntil") if role else None
    if expires not in (None, "infinity"):
        # A password that ends one day ends the replication that day.
        before["validuntil"], after["validuntil"] = expires, "infinity"
        words.append("VALID UNTIL 'infinity'")
    set_password = role is None or not scram.matches(password, role.get("rolpassword"))
    if role is not None:
        before["password"] = "different" if set_password else "unchanged"
    after["password"] = "will be set" if set_password else "unchanged"
    if set_password:
        words.append("PASSWORD %s" % literal(scram.verifier(password)))
    statements = []
    if words:
        # Its comment tells it from others for ever, whatever becomes of its rights.
        statements.append("%s ROLE %s %s;" % ("CREATE" if role is None else "ALTER", identifier(name), " ".join(words)))
    if role is None:
        statements.append("COMMENT ON ROLE %s IS %s;" % (identifier(name), literal(roles.MARK)))
    return {"statements": statements, "created": role is None, "password_changed": set_password,
            "before": before, "after": after}


def ask(postgres, sql, params, connection):
    """The primary's answer to a query that returns one JSON object. Raises HubError."""
    try:
        answer = json.loads(postgres.sql(sql, **connection))
    except CommandError as error:
        raise HubError("PostgreSQL cannot be asked about its roles as %s over the local socket: %s -- Check that the "
                       "server runs, and that the role %s may log in from here and is a superuser."
                       % (params["login_role"], (error.completed.err or error.completed.out).strip(),
                          params["login_role"]))
    if answer["in_recovery"]:
        raise HubError("PostgreSQL on this host is a standby and cannot be written: run this on the primary, the "
                       "role then comes here by itself.")
    return answer


def check_ours(facts, params):
    """Raises HubError when the role exists and is somebody else's. facts: roles.FACTS, None when there is none."""
    problem = roles.check("this hub", params["name"], [facts] if facts else [], (params["login_role"],))
    if problem:
        raise HubError("%s -- %s" % (problem.problem, problem.remedy), code=problem.code)


def connection_of(params):
    """How to reach the server, as Postgres.sql takes it."""
    return dict(((key, params[key]) for key in ("database", "socket_dir", "port")), user=params["login_role"])


def remove(postgres, params, check_mode):
    """Drops slots and role as far as they are there; returns the module's result. Raises HubError."""
    connection = connection_of(params)
    name = params["name"]
    slots = ", ".join(literal(slot) for slot in params["slots"]) or "NULL"
    answer = ask(postgres, """SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'role', (SELECT count(*) FROM pg_roles WHERE rolname = %s),
  'facts', (SELECT %s FROM pg_roles r WHERE r.rolname = %s),
  'slots', (SELECT json_agg(slot_name ORDER BY slot_name) FROM pg_replication_slots WHERE slot_name IN (%s)));
""" % (literal(name), roles.FACTS, literal(name), slots), params, connection)
    check_ours(answer.get("facts"), params)
    steps = [("slot " + slot, "SELECT pg_drop_replication_slot(%s);" % literal(slot)) for slot in answer["slots"] or []]
    if answer["role"]:
        steps.append(("role " + name, "DROP ROLE %s;" % identifier(name)))
    if not check_mode:
        for what, statement in steps:
            try:
                postgres.sql(statement, **connection)
            except CommandError as error:
                raise HubError("The %s could not be dropped: %s" % (what, (error.completed.err or "").strip()))
    dropped = [what for what, statement in steps]
    return {"changed": bool(steps), "name": name, "created": False, "password_changed": False, "dropped": dropped,
            "diff": {"before": "".join(what + "\n" for what in dropped), "after": ""}}


def ensure(postgres, params, check_mode):
    """Does it; returns the module's result. Raises HubError."""
    connection = connection_of(params)
    name, password = params["name"], params["password"]
    try:
        scram.passfile_line("*", "*", "*", name, password)
    except ValueError as error:
        raise HubError("The name or the password of the replication role cannot be used: %s." % error)
    answer = ask(postgres, query(name), params, connection)
    check_ours(answer.get("facts"), params)
    steps = plan(answer["role"], name, password)
    if steps["statements"] and not check_mode:
        try:
            postgres.sql(QUIET + "".join(steps["statements"]) + "\n", **connection)
        except CommandError as error:
            # The command's own text could hold the verifier.
            first = (error.completed.err or "no output").strip().splitlines()[0]
            raise HubError("The role %s could not be made: %s" % (name, first.split("SCRAM-SHA-256")[0]))
    return {"changed": bool(steps["statements"]), "name": name, "created": steps["created"],
            "password_changed": steps["password_changed"],
            "diff": {"before": steps["before"], "after": steps["after"]}}


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
    try:
        do = remove if module.params["state"] == "absent" else ensure
        result = do(Postgres(local_runner, module.params["bin_dir"] or ""), module.params, module.check_mode)
    except HubError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
