# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is decided about Mission Portal: its certificate, its secrets, its licence. Pure functions on hubs' facts."""

from __future__ import annotations

import ipaddress
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from ..cfengine.portal import Portal
from ..core.problem import WARNING, Problem
from ..facts.model import Infos

SECRETS_OWNER, SECRETS_MODE = "cfapache", "0400"
EXPIRY_WARNING = 30  # days


def by_the_package(facts: Portal, need: Mapping[str, List[str]]) -> bool:
    """True when the certificate is what the package makes, or this collection: signed by itself, with no name beyond
    those that are wanted (see wanted()).
    """
    tls = facts["tls"]
    name = facts["full_name"]
    return (tls is not None and tls["subject"] == tls["issuer"]
            and tls["subject"] in ("CN=" + name, "CN=" + name.split(".")[0])
            and set(tls["names"]) <= set(need["names"]))


def plain(text: str) -> str:
    """An address in its usual spelling; anything else as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def wanted(facts: Portal, addresses: List[str], shared: List[str], names: Sequence[str]) -> Dict[str, List[str]]:
    """{"names", "addresses"} that the certificate must have.

    addresses: the hub's own. shared: the shared ones. names: the operator's for these; else those of the resolver.
    """
    full = facts["full_name"]
    found = [full, full.split(".")[0], "localhost"]
    found += list(names) or [name for name in (facts["names"].get(text) for text in shared) if name]
    return {"names": list(dict.fromkeys(found)), "addresses": list(dict.fromkeys(["127.0.0.1"] + addresses + shared))}


def certificate_plan(host: str, facts: Optional[Portal], own_addresses: List[str], shared: List[str],
                     settings: Mapping[str, Any], now: float) -> Tuple[Optional[Dict[str, Any]], List[Problem]]:
    """(arguments for module hub_certificate or None, [warnings]) for one hub.

    host: its inventory name. settings: {"portal_certificate": auto, renew or keep, "portal_names": list}. now: seconds
    since 1970.
    """
    if facts is None:
        return None, []
    need = wanted(facts, own_addresses, shared, settings.get("portal_names") or [])
    choice = settings.get("portal_certificate") or "auto"
    if choice == "renew" or (choice == "auto" and (facts["tls"] is None or by_the_package(facts, need))):
        return dict(need, key=facts["key"], certificate=facts["certificate"],
                    common_name=facts["full_name"].split(".")[0]), []
    if facts["tls"] is None:
        return None, []
    warnings: List[Problem] = []
    mine = {*facts["tls"]["names"], *(plain(text) for text in facts["tls"]["addresses"])}
    own_names = (facts["full_name"], facts["full_name"].split(".")[0], "localhost")
    missing = [text for text in shared if plain(text) not in mine]
    missing += [text for text in need["names"] if text not in own_names and not covered(text, mine)]
    if missing:
        warnings.append(Problem(
            "PORTAL_CERTIFICATE_NAMES", host, "Mission Portal's certificate %s is your own and does not name %s: who "
            "checks it through the shared address will refuse it" % (facts["certificate"], " and ".join(missing)),
            "have it issued anew with that, or set hub_ha_portal_certificate to renew", WARNING))
    if facts["tls"]["expires"] and facts["tls"]["expires"] - now < EXPIRY_WARNING * 86400:
        warnings.append(Problem(
            "PORTAL_CERTIFICATE_EXPIRING", host, "Mission Portal's certificate %s is your own and expires in %d days"
            % (facts["certificate"], (facts["tls"]["expires"] - now) // 86400),
            "have it issued anew, or set hub_ha_portal_certificate to renew", WARNING))
    return None, warnings


def covered(name: str, have: Collection[str]) -> bool:
    """Is the name in the certificate, as it is or by a wildcard?"""
    return name in have or "*." + name.partition(".")[2] in have


def secrets_plan(active: Optional[Portal], passive: Optional[Portal]) -> Dict[str, bool]:
    """{"carry": the active hub's secrets must be brought to the passive one, "loose": owner or mode is wrong on the
    active one}. active, passive: facts of the hubs, None where Mission Portal is not (yet).
    """
    if active is None or not active["secrets"].startswith("file "):
        return {"carry": False, "loose": False}
    differ = passive is not None and passive["secrets"].split()[-1] != active["secrets"].split()[-1]
    return {"carry": differ or (passive is not None and not well_kept(passive["secrets"])),
            "loose": not well_kept(active["secrets"])}


def well_kept(summary: str) -> bool:
    """Is it a file of the web server's user that nobody else may read?"""
    words = summary.split()
    return words[0] == "file" and words[1].startswith(SECRETS_OWNER + ":") and words[2] == SECRETS_MODE


def lacks(infos: Infos, active: str, passive: str) -> List[Problem]:
    """What Mission Portal lacks on a pair, all of it warnings."""
    mine, theirs = infos[active]["portal"], infos[passive]["portal"]
    if mine is None:
        return []
    found = []
    if not mine["secrets"].startswith("file "):
        found.append(Problem(
            "PORTAL_SECRETS_MISSING", active, "there is no httpd/secrets.ini, as there is from CFEngine 3.16 on; its "
            "counterparts are in the database, so nobody but a backup has it: the hubs' secrets are left as they are",
            "bring it back from a backup of this hub; CFEngine before 3.16 has none", WARNING))
    if mine["licences"] and not (theirs and theirs["licences"]):
        key = infos[passive]["cfengine"]["key_digest"] or "that the hub gets now (cf-key -p, see README)"
        found.append(Problem(
            "LICENCE_MISSING", passive, "no licence here, and %s has one. It is for one hub's key, so it is never "
            "copied; without an own one this hub reports on 25 hosts only after a failover" % active,
            "ask the vendor for one for the key %s" % key, WARNING))
    return found
