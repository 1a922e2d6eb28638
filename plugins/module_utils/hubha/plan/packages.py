# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which packages and versions the hubs of a pair need. Pure functions on the facts of module hub_info."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..cfengine.layout import LAYOUTS
from ..core.text import as_list
from ..facts.model import HubFacts, Infos
from ..facts.postgres import pg_major
from ..host.system import Package

SUPPORTED_POSTGRES = range(13, 19)
VENDOR_PACKAGES = tuple(LAYOUTS["enterprise"]["cfengine_packages"])
SAME_VERSION = ("corosync", "pacemaker", "resource-agents")
# Oldest versions that can work: corosync-cfgtool that tells each link's state; role names Promoted and Unpromoted; an
# agent that reads this pacemaker's crm_mon; the first CFEngine with a supported PostgreSQL.
OLDEST = {"corosync": (3, 1), "pacemaker": (2, 1), "resource-agents": (4, 6), "CFEngine": (3, 18)}


def needed_packages(infos: Infos, settings: Mapping[str, Any], active: str, passive: str) -> Dict[str, List[str]]:
    """{host: [package]} of what each hub must have in the end. The active hub's CFEngine and PostgreSQL are there,
    unless the pair is made from nothing.
    """
    layout, new = infos[active]["layout"], settings.get("install")
    hub = list(layout["cfengine_packages"])
    major = pg_major(infos[active])
    if layout["name"] == "debian" and major:
        hub.append("postgresql-%d" % major)
    cluster = {host: cluster_packages(info, settings) + as_list(settings.get("fencing_packages"))
               for host, info in infos.items()}
    return {active: cluster[active] + (hub if new else []), passive: cluster[passive] + hub}


def cluster_packages(info: HubFacts, settings: Mapping[str, Any]) -> List[str]:
    """The cluster's packages on a hub: the operator's, else its system's."""
    return list(settings["cluster_packages"] or (info["platform"]["cluster_packages"] if info["platform"] else []))


def missing_packages(infos: Infos, needed: Mapping[str, List[str]]) -> Dict[str, List[str]]:
    """{host: [package]} of what is not installed yet; empty lists where neither apt nor dnf is the packager."""
    return {host: lacking(infos[host]["packages"], names) for host, names in needed.items()}


def lacking(packages: Optional[Mapping[str, Package]], names: Sequence[str]) -> List[str]:
    """Those of the packages that are not installed; none where it is not known what is (None)."""
    return [] if packages is None else [name for name in names if not packages.get(name, {}).get("installed")]


def component_version(info: HubFacts, name: str) -> str:
    """Version of corosync, pacemaker or resource-agents on a hub as it will be, or "" when that is not known."""
    cluster, system = info["cluster"], info["platform"]
    if info["packages"] is None:
        return {"corosync": cluster["corosync_version"], "pacemaker": cluster["pacemaker_version"]}.get(name) or ""
    state = info["packages"].get(system["components"].get(name, name) if system else name, {})
    return state.get("installed") or state.get("candidate") or ""
