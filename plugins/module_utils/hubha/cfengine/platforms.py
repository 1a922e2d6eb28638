# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each operating system calls things: the one place for package, repository and log names. Pure.

Paths of CFEngine and its database depend on the package of CFEngine, not on the system: they are in layout.py. The same
everywhere are the units corosync and pacemaker, /etc/corosync, /usr/lib/ocf/resource.d, /usr/sbin/fence_* and
/var/lib/pacemaker. Debian 12 and 13 were run; the names of the others were read in their documentation and in public
code that installs a cluster on them.
"""

from __future__ import annotations

import copy
from typing import Dict, List, Optional, TypedDict


class System(TypedDict):
    """The operating system, as /etc/os-release and uname call it."""

    id: str
    version: str
    name: str
    machine: str


class _Unnamed(TypedDict):
    packager: str
    cluster_packages: List[str]
    fencing: str
    components: Dict[str, str]
    postgresql: Optional[int]
    layouts: List[str]
    repository: Optional[str]
    enable: List[str]
    corosync_log: str


class Platform(_Unnamed):
    """What a system calls things, see resolve()."""

    name: str


APT = ["corosync", "pacemaker", "pacemaker-cli-utils"]
COMMON_APT = ["perl", "procps", "openssl"]
DNF = ["corosync", "pacemaker", "pacemaker-cli", "resource-agents", "perl-interpreter", "procps-ng", "openssl"]
# Ubuntu has split the agents: IPaddr2 is in -base, pgsql in -extra. fence_ipmilan and few others are in -base.
UBUNTU_AGENTS = ["resource-agents-base", "resource-agents-extra"]
UBUNTU_FENCING = ("fence_ipmilan", "fence_idrac", "fence_ilo3", "fence_ilo4", "fence_ilo5", "fence_imm", "fence_mpath",
                  "fence_sbd", "fence_scsi", "fence_virsh")
# Agents that are another one under a second name, and so in its package.
SAME_AGENT = {"fence_idrac": "ipmilan", "fence_ilo3": "ipmilan", "fence_ilo4": "ipmilan", "fence_ilo5": "ipmilan",
              "fence_imm": "ipmilan", "fence_ipmilanplus": "ipmilan"}


def _apt(agents: List[str], fencing: str, postgresql: int) -> _Unnamed:
    return {"packager": "apt", "cluster_packages": APT + agents + COMMON_APT, "fencing": fencing,
            "components": {"corosync": "corosync", "pacemaker": "pacemaker", "resource-agents": agents[0]},
            "postgresql": postgresql, "layouts": ["debian", "enterprise"], "repository": None, "enable": [],
            "corosync_log": "/var/log/corosync/corosync.log"}


def _dnf(repository: str, enable: List[str]) -> _Unnamed:
    return {"packager": "dnf", "cluster_packages": list(DNF), "fencing": "each", "postgresql": None,
            "components": {"corosync": "corosync", "pacemaker": "pacemaker", "resource-agents": "resource-agents"},
            # Only the vendor's package makes a hub here: it brings its own PostgreSQL.
            "layouts": ["enterprise"], "repository": repository, "enable": enable,
            "corosync_log": "/var/log/cluster/corosync.log"}


# CFEngine's daemons ask pacemaker which hub is active (ha.cfg); a confined daemon may do that with this one on.
SELINUX_BOOLEANS = ("daemons_enable_cluster_mode",)
SUBSCRIPTION = ["subscription-manager", "repos", "--enable=%s"]
CONFIG_MANAGER = ["dnf", "config-manager", "--set-enabled", "%s"]
PLATFORMS = {
    ("debian", "12"): _apt(["resource-agents"], "all", 15),
    ("debian", "13"): _apt(["resource-agents"], "each", 17),
    ("ubuntu", "22.04"): _apt(UBUNTU_AGENTS, "ubuntu", 14),
    ("ubuntu", "24.04"): _apt(UBUNTU_AGENTS, "ubuntu", 16),
}
for _major in ("8", "9", "10"):
    PLATFORMS["rhel", _major] = _dnf("rhel-%s-for-{machine}-highavailability-rpms" % _major, SUBSCRIPTION)
    for _name in ("centos", "rocky", "almalinux"):
        PLATFORMS[_name, _major] = _dnf("ha" if _major == "8" else "highavailability", CONFIG_MANAGER)
    PLATFORMS["ol", _major] = _dnf("ol%s_addons" % _major, CONFIG_MANAGER)
SUPPORTED = ("Debian 12 and 13, Ubuntu 22.04 and 24.04, RHEL, Rocky Linux, AlmaLinux, CentOS Stream and Oracle Linux "
             "8, 9 and 10")


def resolve(system: System, repository: str = "") -> Optional[Platform]:
    """What this system calls things; None for one that is not supported.

    system: {"id", "version", "name", "machine"} (host.system.os_release and uname). repository: the operator's name of
    the repository with the cluster's packages, in place of the usual one. Returns {"name": such as "rhel-9",
    "packager": "apt" or "dnf", "cluster_packages": [what both hubs need], "components": {component: package whose
    version counts}, "fencing": how fence agents are packed, "layouts": [layouts of CFEngine that exist there],
    "postgresql": major version of the system's own or None, "repository": the one that must be enabled or None,
    "enable": [command and arguments that enable it], "corosync_log"}.
    """
    version = system["version"]
    major = version.split(".")[0]
    for key in ((system["id"], version), (system["id"], major)):
        if key in PLATFORMS:
            found: Platform = {**copy.deepcopy(PLATFORMS[key]), "name": "%s-%s" % key}
            if found["repository"]:
                found["repository"] = repository or found["repository"].format(machine=system["machine"])
                found["enable"] = [word.replace("%s", found["repository"]) for word in found["enable"]]
            return found
    return None


def fence_package(platform: Optional[Platform], agent: str) -> Optional[str]:
    """Name of the package that holds the fence agent; None where that is not known."""
    if platform is None:
        return None
    if platform["fencing"] == "ubuntu":
        return "fence-agents-base" if agent in UBUNTU_FENCING else "fence-agents-extra"
    if platform["fencing"] == "all":
        return "fence-agents"
    return "fence-agents-" + SAME_AGENT.get(agent, agent[len("fence_"):]).replace("_", "-")
