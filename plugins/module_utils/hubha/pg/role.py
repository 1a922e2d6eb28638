# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is a role of the database the one that standbys connect as, or somebody else's?

Ours has LOGIN and REPLICATION and nothing else. To give those to a role that exists takes its other rights away: a hub
whose own role is hit has no superuser any more.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from ..core.problem import Problem

MARK = "cfengine.hub_ha: standbys connect as this role"  # the role's comment, from its making on
# Roles of the hub itself, also before its database is there; the vendor's package makes some of them.
RESERVED = ("root", "postgres", "cfpostgres", "cfmpuser", "cfapache", "cfengine", "cfsettings")

# One JSON object for each role; needs the alias r of pg_roles or pg_authid. Membership in PostgreSQL's predefined roles
# is a grant of the operator's to ours (pg_monitor, say), and no sign of another role.
FACTS = """json_build_object('name', r.rolname, 'login', r.rolcanlogin, 'replication', r.rolreplication,
  'super', r.rolsuper, 'createdb', r.rolcreatedb, 'createrole', r.rolcreaterole, 'bypassrls', r.rolbypassrls,
  'comment', shobj_description(r.oid, 'pg_authid'),
  'owns', (SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid
           AND deptype = 'o'),
  'member_of', (SELECT json_agg(g.rolname ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                WHERE m.member = r.oid AND g.rolname !~ '^pg_'))"""

RIGHTS = (("super", True, "is a superuser"), ("createdb", True, "may create databases"),
          ("createrole", True, "may create roles"), ("bypassrls", True, "bypasses row security"),
          ("login", False, "may not log in"), ("replication", False, "may not replicate"))


def foreign(role: Dict[str, Any]) -> List[str]:
    """What shows that an existing role is not ours; [] when it is.

    role: FACTS of it. Ours is known by its comment; one that was made before there was one, by having exactly our rights.
    """
    if role.get("comment") == MARK:
        return []
    found = [words for key, value, words in RIGHTS if bool(role.get(key)) is value]
    if role.get("owns"):
        found.append("owns %d objects" % role["owns"])
    if role.get("member_of"):
        found.append("is a member of %s" % ", ".join(role["member_of"]))
    return found


def check(host: str, name: str, roles: Optional[Iterable[Dict[str, Any]]],
          reserved: Iterable[str] = RESERVED) -> Optional[Problem]:
    """Why standbys must not connect as *name* on that hub, or None.

    roles: FACTS of the roles that there are; None where there is no database yet. reserved: the hub's own names.
    """
    remedy = ("give another name in hub_ha_replication_user, one that nobody uses; the default is hub_ha_repl and it is "
              "made for you")
    if name in reserved or name.startswith("pg_"):
        return Problem("ROLE_FOREIGN", host, "hub_ha_replication_user is %s, a role of the hub itself" % name, remedy)
    reasons = [reason for role in roles or () if role["name"] == name for reason in foreign(role)]
    if not reasons:
        return None
    return Problem("ROLE_FOREIGN", host, "hub_ha_replication_user names %s, which is another role: it %s"
                   % (name, ", ".join(reasons)),
                   remedy + ". If it is the pair's own and was changed by hand: psql -X -d postgres -c \"COMMENT ON ROLE "
                   "%s IS '%s'\"" % (name, MARK))
