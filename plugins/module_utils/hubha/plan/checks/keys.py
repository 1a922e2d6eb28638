# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host keys: each hub has its own, and it is the one that clients trust."""

from __future__ import annotations

import re
from typing import Iterator

from ...core.problem import WARNING, Finding, Problem
from ...core.text import as_list
from .context import Context


def hub_list(context: Context) -> Iterator[Finding]:
    """Clients trust what the list names: a key that changed or a hub that is gone needs the operator's word."""
    infos = context.infos
    known = (context.active_info["cfengine"]["hub_list"] or {}).get("hubs", {})
    accepted = [str(name).lower() for name in as_list(context.settings.get("accept_hub_keys"))]
    names = {info["uname"].lower(): host for host, info in infos.items()}
    for address, hub in sorted(known.items()):
        name = hub["name"]
        if name in accepted:
            continue
        if name not in names:
            yield Problem("HUB_LIST_DIFFERS", context.active,
                          "the list of hubs names %s (%s), which the inventory does not" % (name, address),
                          "correct the inventory; if that hub is gone for good: -e hub_ha_accept_hub_keys=%s" % name)
            continue
        now = infos[names[name]]["cfengine"]["key_digest"]
        if now and now != hub["key"]:
            yield Problem("KEY_CHANGED", names[name],
                          "the host key was %s and is %s now, which no client trusts" % (hub["key"], now),
                          "bring the old key back (ppkeys/localhost.* from the last backup); if the change is meant: "
                          "-e hub_ha_accept_hub_keys=%s" % name)


def copies(context: Context) -> Iterator[Finding]:
    """A hub that was made as a copy of the other one's machine: what tells them apart is the same on both."""
    infos = context.infos
    first, second = list(infos)
    keys = [infos[host]["cfengine"]["key_digest"] for host in (first, second)]
    machines = [infos[host]["machine"] for host in (first, second)]
    same = [words for words, found in (
        ("machine id", machines[0]["id"] and machines[0]["id"] == machines[1]["id"]),
        ("SSH host keys", set(machines[0]["ssh_keys"]) & set(machines[1]["ssh_keys"]))) if found]
    renew = ("rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup; rm -f /etc/ssh/ssh_host_* && "
             "ssh-keygen -A; then boot it")
    if keys[0] and keys[0] == keys[1]:
        yield Problem(
            "HUB_COPIED", second, "it has the host key of %s (%s): it is a copy of that machine%s" % (
                first, keys[0], ", with the same %s too" % " and ".join(same) if same else ""),
            "make one of the two a machine of its own, the one that is not active: rm %s/localhost.* there, and %s. "
            "Its database is moved aside, not copied; see docs/operate.md" % (infos[first]["layout"]["ppkeys"], renew))
    elif same:
        yield Problem("MACHINE_COPIED", second, "it has the same %s as %s, as a copy of its machine has"
                      % (" and ".join(same), first), "on the one that is not active: %s" % renew, WARNING)


def revoked(context: Context) -> Iterator[Finding]:
    """What is to be revoked are digests of keys."""
    for digest in as_list(context.settings.get("revoked_keys")):
        if not re.match(r"(MD5=[0-9a-f]{32}|SHA=[0-9a-f]{64})\Z", str(digest)):
            yield Problem("REVOKED_KEY_INVALID", "all",
                          "hub_ha_revoked_keys names %r, which is no digest of a key" % str(digest),
                          "such as MD5=... or SHA=..., as in the name of the client's file in ppkeys")
