# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be installed is there or on offer."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding, Problem
from ...facts.model import HubFacts
from ..packages import VENDOR_PACKAGES
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Packages and programs that are missing and cannot be had."""
    for host, info in context.infos.items():
        if info["packages"] is None:
            continue
        if info["packager_interrupted"]:
            yield Problem("PACKAGES_INTERRUPTED", host, "a package installation was cut off on this host",
                          "finish it: dpkg --configure -a")
        yield from offered(context, host, info)
    for host, info in context.infos.items():
        yield from programs(host, info)


def offered(context: Context, host: str, info: HubFacts) -> Iterator[Problem]:
    """Whatever is not installed must be on offer. With dnf one repository brings most of it."""
    enable = context.settings.get("enable_repository")
    packages, system = info["packages"] or {}, info["platform"]
    lacking = [name for name in context.needed[host] if not packages.get(name, {}).get("installed")
               and not packages.get(name, {}).get("candidate")]
    repository = system["repository"] if system else None
    ask = "apt-cache policy" if not repository else "dnf repoquery"
    for name in [name for name in lacking if name in VENDOR_PACKAGES or not repository]:
        yield Problem("PACKAGE_NOT_OFFERED", host, "package %s is not installed and no package source offers it" % name,
                      "add or repair the package source, then check with: %s %s%s" % (
                          ask, name, "" if name not in VENDOR_PACKAGES else
                          "; or install the vendor's file of it by hand, with the version that %s has, stop it, and "
                          "move its own database aside" % context.active))
    lacking = [name for name in lacking if name not in VENDOR_PACKAGES]
    if system and repository and lacking:
        yield Problem("PACKAGE_NOT_OFFERED", host, "not installed, and offered by no package source%s: %s" % (
            ", not even with the repository %s" % repository if enable else "", ", ".join(lacking)),
            "look at: dnf repolist --all. If that repository has another name here, set hub_ha_repository"
            if enable else
            "enable the repository %s with: %s -- or set hub_ha_enable_repository to true, and it is done here"
            % (repository, " ".join(system["enable"])))


def programs(host: str, info: HubFacts) -> Iterator[Problem]:
    """Where neither apt nor dnf is the packager nothing is installed here, so everything must be there."""
    cluster = info["cluster"]
    missing = [] if cluster["corosync_installed"] else ["corosync"]
    missing += [] if cluster["pacemaker_installed"] else ["pacemaker"]
    missing += sorted(agent for agent, there in cluster["agents"].items() if not there) + info["programs_missing"]
    if info["packages"] is None and missing:
        yield Problem("PROGRAMS_MISSING", host,
                      "not installed here, where neither apt nor dnf is the packager: %s" % ", ".join(missing),
                      "install corosync, pacemaker with its command-line tools, resource-agents, openssl, perl and "
                      "procps from the distribution's package sources first")


def on_a_pair(context: Context) -> Iterator[Finding]:
    """The vendor's maintainer scripts stop and start PostgreSQL for themselves: never where pacemaker has it."""
    for host, info in context.infos.items():
        if info["cluster"]["has_database"] and set(context.missing[host]) & set(VENDOR_PACKAGES):
            yield Problem("PACKAGE_ON_A_PAIR", host,
                          "the hub package is missing here, and pacemaker has this hub's database: the package's "
                          "scripts would stop and start PostgreSQL behind its back",
                          "take this hub out of the cluster first (systemctl stop pacemaker corosync), then install "
                          "the package")
