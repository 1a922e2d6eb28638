# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's variables of a pair: one value each, of the type that the argument specs say, the same on all hubs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ..core.problem import Problem
from .groups import HUBS, USUAL

# Paths on each hub, which may be called otherwise on each, and where each has its package from.
TLS = ("hub_ha_tls_certificate", "hub_ha_tls_key", "hub_ha_tls_ca")
PER_HUB = TLS + ("hub_ha_package_source", "hub_ha_package_checksum")
SECRET = re.compile(r"password|secret|^hub_ha_fencing$")
ONCE = ("set it once, for the group %s: both hubs of a pair are configured from the same value; one that is set for a "
        "single hub alone belongs to no pair")

Coerce = Callable[[Dict[str, Any], Any], Tuple[bool, Any]]


@dataclass(frozen=True)
class Settings:
    """values: {name: value} of each variable that is no secret, coerced; what is wrong or not set has the default.

    common: {name: value as given} of those that are the same on all hubs. own: {host: {name: value}} of the others.
    problems: what differs.
    """

    values: Dict[str, Any]
    common: Dict[str, Any]
    own: Dict[str, Dict[str, Any]]
    problems: List[Problem]


def shown(name: str, value: Any) -> str:
    """A value for people; nothing of one that is a secret, or that may hold one somewhere within."""
    if SECRET.search(name):
        return "a value that is not shown"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        return "a list of other things"
    return repr(value)


def empty(option: Mapping[str, Any]) -> Any:
    """The value of a variable that nobody has set: the spec's default, or an empty list where a list is wanted."""
    return option.get("default", [] if option.get("type") == "list" else None)


def plain(name: str, option: Mapping[str, Any], value: Any, coerce: Coerce) -> Any:
    """A value as it is compared: coerced; one shared address and a list of one are the same."""
    if value is None:
        value = empty(option)
    fine, coerced = coerce(dict(option), value)
    found = coerced if fine else value
    return found if option.get("type") != "raw" or isinstance(found, (list, tuple, Mapping)) else [found]


def settings(given: Mapping[str, Mapping[str, Any]], options: Mapping[str, Mapping[str, Any]],
             coerce: Coerce) -> Settings:
    """One set of variables for all hubs.

    given: {host: {name: value}} of what is set for each hub. options: {name: option of an argument spec}. coerce:
    (option, value) -> (whether it fits, value of the option's type).
    """
    hosts, problems, values = list(given), [], {}
    common: Dict[str, Any] = {}
    own: Dict[str, Dict[str, Any]] = dict((host, {}) for host in hosts)
    differing = any(given[host].get(name) != given[hosts[0]].get(name) for name in TLS for host in hosts)
    for name in sorted(set(options) | set(name for host in hosts for name in given[host])):
        where = [host for host in hosts if name in given[host]]
        option = options.get(name)
        if option is None or name in PER_HUB:
            same = len(where) == len(hosts) and all(given[host][name] == given[hosts[0]][name] for host in where)
        else:
            found = [plain(name, option, given[host].get(name), coerce) for host in hosts]
            same = all(item == found[0] for item in found)
            problems += [Problem("SETTINGS_DIFFER", host, "%s %s, and %s on %s" % (
                name, told(name, given[host]), told(name, given[hosts[0]]), hosts[0]),
                ONCE % given[hosts[0]].get(HUBS, USUAL))
                for host, item in list(zip(hosts, found))[1:] if item != found[0]]
            if not SECRET.search(name) and option.get("type") != "raw":
                fine, value = coerce(dict(option), found[0]) if found and found[0] is not None else (False, None)
                values[name] = value if fine else empty(option)
        for host in where:
            # Of one certificate: told apart as a whole, or not at all.
            if same and not (name in TLS and differing):
                common[name] = given[host][name]
            else:
                own[host][name] = given[host][name]
    return Settings(values, common, own, problems)


def told(name: str, given: Mapping[str, Any]) -> str:
    """"is 9000", or "is not set"."""
    return "is not set" if given.get(name) is None else "is " + shown(name, given[name])
