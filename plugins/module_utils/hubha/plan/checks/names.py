# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each hub has a name of its own, under which both know it."""

from __future__ import annotations

from typing import Dict, Iterator

from ...core.problem import Finding, Problem
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Names that are the same, none, or lead elsewhere."""
    infos = context.infos
    seen: Dict[str, str] = {}
    for host, info in infos.items():
        name = info["uname"].lower()
        if name in seen:
            yield Problem("HUB_NAMES_SAME", host, "both hubs answer to the name %r (uname -n)" % name,
                          "give each hub its own host name: hostnamectl set-hostname NAME")
        seen[name] = host
        if name in ("localhost", "localhost.localdomain"):
            yield Problem("HUB_NAME_UNSET", host, "the host name is %r" % name,
                          "give the hub a name: hostnamectl set-hostname NAME")
    for host, info in infos.items():
        for other in infos.values():
            found = info["names"].get(other["uname"], [])
            real = [item["address"] for item in other["addresses"]]
            if not found:
                yield Problem("NAME_UNRESOLVED", host, "the name %s does not resolve" % other["uname"],
                              "add it to DNS or to /etc/hosts on %s" % info["uname"])
            elif info["uname"].lower() != other["uname"].lower() and not set(found) & set(real):
                yield Problem("NAME_RESOLVES_ELSEWHERE", host,
                              "the name %s resolves to %s, which is no address of that hub (it has %s)"
                              % (other["uname"], ", ".join(found), ", ".join(real)),
                              "correct DNS or /etc/hosts on %s" % info["uname"])
