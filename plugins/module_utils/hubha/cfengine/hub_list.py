# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hubs and clients must know of the pair's hubs. Pure functions on plain data."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, TypedDict

from ..core.text import as_list
from .layout import Layout
from .model import CFEngine, HubList


class Hub(TypedDict):
    """What of a hub's facts counts here."""

    cfengine: CFEngine


Infos = Mapping[str, Hub]
Network = Mapping[str, Any]


def ha_info(infos: Infos, client: Optional[Network]) -> Dict[str, Dict[str, str]]:
    """{hub address: {"sha", "internal_ip"}} as the vendor's policy reads it; addresses on the client network."""
    found = {}
    for host, info in infos.items():
        digest = info["cfengine"]["key_digest"]
        if digest and client:
            address = client["addresses"][host]
            found[address] = {"sha": digest.split("=", 1)[1], "internal_ip": address}
    return found


def hub_list(infos: Infos, client: Optional[Network], virtual_ips: Sequence[str], nodes: Mapping[str, str],
             settings: Mapping[str, Any], layout: Layout) -> Optional[HubList]:
    """What hubs and clients must know of each other, as services/hub_ha.json; see roles/cfengine/files/hub_ha.cf. None
    until both hubs have a key.
    """
    if not client or not all(info["cfengine"]["key_public"] for info in infos.values()):
        return None
    vendor = any(info["cfengine"]["edition"] == "enterprise" for info in infos.values())
    # The counterparts of its secrets are in the replicated database; the vendor's policy leaves it out.
    secrets = [layout["work_dir"] + "/httpd/secrets.ini"] if vendor else []
    return {
        "version": 1, "vendor": vendor, "shared": list(virtual_ips),
        "hubs": {client["addresses"][host]: {
            "name": nodes[host], "key": info["cfengine"]["key_digest"], "public": info["cfengine"]["key_public"]}
            for host, info in infos.items()},
        "revoked": as_list(settings.get("revoked_keys")),
        "sync": {"policy": bool(settings.get("sync_policy", True)),
                 "paths": secrets + as_list(settings.get("shared_paths"))},
    }
