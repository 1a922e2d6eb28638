# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role that standbys connect as: makes it, brings it back to its rights and password, and takes it away.

A role that is somebody else's is left alone, see role.py. No password is given to the server, only its verifier.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.run import CommandError, HubError
from . import role as roles, scram
from .client import Postgres
from .quote import identifier, literal

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


@dataclass(frozen=True)
class Plan:
    """What it takes. statements: SQL. created, password_changed: what they do. before, after: the role, for a diff."""

    statements: Sequence[str]
    created: bool
    password_changed: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def query(name: str) -> str:
    """SQL for what is there: one JSON object."""
    return QUIET + """SELECT json_build_object('in_recovery', pg_is_in_recovery(), 'role',
  (SELECT to_jsonb(a) FROM pg_authid a WHERE a.rolname = %s), 'facts',
  (SELECT %s FROM pg_authid r WHERE r.rolname = %s));
""" % (literal(name), roles.FACTS, literal(name))


def plan(role: Optional[Mapping[str, Any]], name: str, password: str) -> Plan:
    """What makes the role what it has to be. role: the row of pg_authid, None when there is none."""
    before: Dict[str, Any] = {}
    after: Dict[str, Any] = {"name": name}
    words = []
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
        statements.append("%s ROLE %s %s;" % ("CREATE" if role is None else "ALTER", identifier(name), " ".join(words)))
    if role is None:
        # Its comment tells it from others for ever, whatever becomes of its rights.
        statements.append("COMMENT ON ROLE %s IS %s;" % (identifier(name), literal(roles.MARK)))
    return Plan(statements, role is None, set_password, before, after)


@dataclass(frozen=True)
class Drop:
    """One thing to drop: what, for people, and the SQL."""

    what: str
    statement: str


class ReplicationUser:
    """The role *name* on the server that is reached so. Everything raises HubError.

    postgres: its programs. login_role: a superuser to connect as. database, socket_dir, port: None for psql's own.
    """

    def __init__(self, postgres: Postgres, name: str, login_role: str = "root", database: str = "postgres",
                 socket_dir: Optional[str] = None, port: Optional[int] = None) -> None:
        self.postgres, self.name, self.login_role = postgres, name, login_role
        self.connection: Dict[str, Any] = {"database": database, "socket_dir": socket_dir, "port": port,
                                           "user": login_role}

    def look(self, password: str) -> Plan:
        """What it takes to have the role with that password. Refuses names and passwords that no passfile can hold."""
        try:
            scram.passfile_line("*", "*", "*", self.name, password)
        except ValueError as error:
            raise HubError("The name or the password of the replication role cannot be used: %s." % error)
        return plan(self._ask(query(self.name))["role"], self.name, password)

    def make(self, wanted: Plan) -> None:
        """Does what look() has found."""
        if not wanted.statements:
            return
        try:
            self.postgres.sql(QUIET + "".join(wanted.statements) + "\n", **self.connection)
        except CommandError as error:
            # The command's own text could hold the verifier.
            first = (error.completed.err or "no output").strip().splitlines()[0]
            raise HubError("The role %s could not be made: %s" % (self.name, first.split("SCRAM-SHA-256")[0]))

    def leftovers(self, slots: Sequence[str]) -> List[Drop]:
        """What is there of the role and of *slots* (names), in the order in which it goes."""
        names = ", ".join(literal(slot) for slot in slots) or "NULL"
        answer = self._ask("""SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'role', (SELECT count(*) FROM pg_roles WHERE rolname = %s),
  'facts', (SELECT %s FROM pg_roles r WHERE r.rolname = %s),
  'slots', (SELECT json_agg(slot_name ORDER BY slot_name) FROM pg_replication_slots WHERE slot_name IN (%s)));
""" % (literal(self.name), roles.FACTS, literal(self.name), names))
        steps = [Drop("slot " + slot, "SELECT pg_drop_replication_slot(%s);" % literal(slot))
                 for slot in answer["slots"] or []]
        if answer["role"]:
            steps.append(Drop("role " + self.name, "DROP ROLE %s;" % identifier(self.name)))
        return steps

    def drop(self, steps: Sequence[Drop]) -> None:
        """Drops what leftovers() has found."""
        for step in steps:
            try:
                self.postgres.sql(step.statement, **self.connection)
            except CommandError as error:
                raise HubError("The %s could not be dropped: %s" % (step.what, (error.completed.err or "").strip()))

    def _ask(self, sql: str) -> Dict[str, Any]:
        """The primary's answer to a query that returns one JSON object; refuses a role that is somebody else's."""
        try:
            answer: Dict[str, Any] = json.loads(self.postgres.sql(sql, **self.connection))
        except CommandError as error:
            raise HubError("PostgreSQL cannot be asked about its roles as %s over the local socket: %s -- Check that "
                           "the server runs, and that the role %s may log in from here and is a superuser."
                           % (self.login_role, (error.completed.err or error.completed.out).strip(), self.login_role))
        if answer["in_recovery"]:
            raise HubError("PostgreSQL on this host is a standby and cannot be written: run this on the primary, the "
                           "role then comes here by itself.")
        facts = answer.get("facts")
        problem = roles.check("this hub", self.name, [facts] if facts else [], (self.login_role,))
        if problem:
            raise HubError("%s -- %s" % (problem.problem, problem.remedy), code=problem.code)
        return answer
