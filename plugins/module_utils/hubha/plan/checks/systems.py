# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hubs' operating systems: supported, alike, and SELinux there."""

from __future__ import annotations

from typing import Iterator

from ...cfengine import platforms
from ...core.problem import WARNING, Finding, Problem
from ...facts.model import Infos
from .context import Context

ENTERPRISE = "set hub_ha_layout to enterprise, and install the vendor's hub package"


def check(context: Context) -> Iterator[Finding]:
    """Systems on which there can be no pair."""
    yield from problems(context.infos, context.layout["name"], ENTERPRISE)


def problems(infos: Infos, layout: str, remedy: str) -> Iterator[Problem]:
    """Systems that are not supported, have no packages of that layout (its name), or differ.

    remedy: what to do about the layout.
    """
    for host, info in infos.items():
        system = info["platform"]
        if system is None:
            name = info["os"]["name"] or "there is no /etc/os-release"
            yield Problem("SYSTEM_UNSUPPORTED", host, "this system is not supported: %s" % name,
                          "hubs can be on %s" % platforms.SUPPORTED)
        elif layout not in system["layouts"]:
            yield Problem("LAYOUT_UNSUPPORTED", host,
                          "there is no CFEngine hub of Debian's layout on %s" % system["name"],
                          remedy)
    names = {host: info["platform"]["name"] for host, info in infos.items() if info["platform"]}
    if len(set(names.values())) > 1:
        yield Problem("SYSTEMS_DIFFER", "all", "the hubs differ in their system: %s" % " and ".join(
            "%s on %s" % (name, host) for host, name in names.items()), "a pair needs the same release on both hubs")


def selinux(context: Context) -> Iterator[Finding]:
    """SELinux lets CFEngine's daemons ask the cluster, or may be told to."""
    for host, info in context.infos.items():
        off = [name for name, on in info["selinux"]["booleans"].items() if not on]
        if info["selinux"]["mode"] == "enforcing" and off and context.settings.get("selinux") != "manage":
            yield Problem("SELINUX_BOOLEAN", host, "SELinux is enforcing, and %s is off: confined daemons of CFEngine "
                          "may not ask the cluster who is active" % off[0],
                          "set hub_ha_selinux to manage, or: setsebool -P %s on" % off[0], WARNING)
