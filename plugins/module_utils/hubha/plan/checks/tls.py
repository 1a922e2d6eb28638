# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's certificate, key and authorities for PostgreSQL."""

from __future__ import annotations

from typing import Iterator, Sequence

from ...core.problem import WARNING, Finding, Problem
from ...facts.model import HubFacts
from ...host import owners
from .context import Context

EXPIRY_WARNING = 30  # days left of a given certificate
UNSET = "leave hub_ha_tls_certificate, _key and _ca unset"


def check(context: Context) -> Iterator[Finding]:
    """A given certificate, key and authorities: there on both hubs, fitting, and as PostgreSQL accepts them."""
    given = context.settings.get("tls") or []
    for host, info in context.infos.items():
        yield from files(context, host, info, given)
        tls = info["tls"]
        if tls and tls["problem"]:
            yield Problem("TLS_INVALID", host,
                          tls["problem"], "put a certificate, its key without a passphrase, and the "
                          "authorities that signed it there, or " + UNSET)
        if tls and tls["expires"] and tls["expires"] - info["clock"]["end"] < EXPIRY_WARNING * 86400:
            yield Problem("TLS_EXPIRING", host, "the certificate %s expires in %d days, and nothing here renews it"
                          % (given[0], (tls["expires"] - info["clock"]["end"]) // 86400),
                          "put a new one and its key there in time, and run this again", WARNING)
    if len({info["tls"]["authorities"] for info in context.infos.values() if info["tls"]}) > 1:
        yield Problem("TLS_AUTHORITIES_DIFFER", "all", "%s differs between the hubs: on both it must hold the "
                      "authorities of both certificates" % given[2], "write the same authorities into it on both hubs",
                      WARNING)


def files(context: Context, host: str, info: HubFacts, given: Sequence[str]) -> Iterator[Problem]:
    """Each file is there, and the database's user may read it as PostgreSQL demands.

    given: certificate, key, authorities.
    """
    # On a blank hub the user will be made as it is on the active one.
    entry = info["db_user"] if info["db_user"]["exists"] else context.active_info["db_user"]
    user, tls = context.layout["db_user"], info["tls"]
    make = "" if info["db_user"]["exists"] or "home" not in entry else (
        "make the database's user first: useradd --system --user-group --home-dir %s --shell %s %s; then: "
        % (entry["home"], entry["shell"], user))
    groups = [entry.get("group", user)] + entry["groups"]
    for path in given:
        state = info["files"].get(path, "absent")
        if state in ("absent", "a directory"):
            yield Problem("TLS_FILE_MISSING", host, "%s, which the TLS variables name, %s" % (
                path, "does not exist" if state == "absent" else "is a directory"),
                "put the file there on both hubs, or " + UNSET)
            continue
        readable = path not in tls["unreadable"] if tls and info["db_user"]["exists"] else reads(state, user, groups)
        if path == given[1] and not (readable and strict(state, user)):
            yield Problem("TLS_KEY_MODE", host,
                          "PostgreSQL will not use the key %s with owner and mode %s" % (path, state),
                          "%schown %s %s && chmod 0600 %s; that user must be able to pass through the directories "
                          "above it" % (make, user, path, path))
        elif not readable:
            yield Problem("TLS_FILE_UNREADABLE", host,
                          "the database's user %s cannot read %s (%s)" % (user, path, state),
                          "chmod 0644 %s; that user must be able to pass through the directories above it" % path)


def reads(state: str, user: str, groups: Sequence[str]) -> bool:
    """May *user* with these groups read a file of this owner and mode ("root:ssl-cert 0640")?"""
    owner, group, mode = owners.parts(state)
    return bool(int(mode, 8) & (0o400 if owner == user else 0o040 if group in groups else 0o004))


def strict(state: str, user: str) -> bool:
    """Are owner and mode of a key as PostgreSQL demands them (src/backend/libpq/be-secure-common.c)?"""
    owner, _group, mode = owners.parts(state)
    return not int(mode, 8) & {user: 0o077, "root": 0o027}.get(owner, 0o777)
