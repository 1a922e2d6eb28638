# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's variables of a pair: one value each, of the type that the argument specs say, the same on all hubs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping

from ..core.problem import Problem
from .groups import HUBS, USUAL
from .options import SECRET, TLS, Coerce, Option, option_problems, shown, typed

# Paths on each hub, which may be called otherwise on each, and where each has its package from.
PER_HUB = TLS + ("hub_ha_package_source", "hub_ha_package_checksum")
# What the roles note of a hub, in names that begin like the operator's.
NOTED = ("hub_ha_read", "hub_ha_problems", "hub_ha_values", "hub_ha_checked", "hub_ha_probes", "hub_ha_client_read",
         "hub_ha_clients", "hub_ha_third_read")
ONCE = ("set it once, for the group %s: both hubs of a pair are configured from the same value; one that is set for a "
        "single hub alone belongs to no pair")


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


def empty(option: Option) -> Any:
    """The value of a variable that nobody has set: the spec's default, or an empty list where a list is wanted."""
    return option.get("default", [] if option.get("type") == "list" else None)


def plain(option: Option, value: Any, coerce: Coerce) -> Any:
    """A value as it is compared: coerced; one shared address and a list of one are the same."""
    if value is None:
        value = empty(option)
    fine, coerced = typed(option, value, coerce)
    found = coerced if fine else value
    return found if option.get("type") != "raw" or isinstance(found, (list, tuple, Mapping)) else [found]


def settings(given: Mapping[str, Mapping[str, Any]], options: Mapping[str, Option], coerce: Coerce) -> Settings:
    """One set of variables for all hubs.

    given: {host: {name: value}} of what is set for each hub. options: {name: option of an argument spec}. coerce:
    see options.py.
    """
    hosts, problems, values = list(given), [], {}
    common: Dict[str, Any] = {}
    own: Dict[str, Dict[str, Any]] = {host: {} for host in hosts}
    differing = any(given[host].get(name) != given[hosts[0]].get(name) for name in TLS for host in hosts)
    for name in sorted(set(options) | set(name for host in hosts for name in given[host])):
        where = [host for host in hosts if name in given[host]]
        option = options.get(name)
        if option is None or name in PER_HUB:
            same = len(where) == len(hosts) and all(given[host][name] == given[hosts[0]][name] for host in where)
        else:
            found = [plain(option, given[host].get(name), coerce) for host in hosts]
            same = all(item == found[0] for item in found)
            problems += [Problem("SETTINGS_DIFFER", host, "%s %s, and %s on %s" % (
                name, told(name, given[host]), told(name, given[hosts[0]]), hosts[0]),
                ONCE % given[hosts[0]].get(HUBS, USUAL))
                for host, item in list(zip(hosts, found))[1:] if item != found[0]]
            if not SECRET.search(name) and option.get("type") != "raw":
                first = found[0] if found else None
                fine, value = (False, None) if first is None else typed(option, first, coerce)
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


def materialised(value: Any) -> Any:
    """The same as plain dicts and lists, each value looked at once: Ansible's own containers look at each access."""
    if isinstance(value, Mapping):
        return {key: materialised(item) for key, item in value.items()}
    return [materialised(item) for item in value] if isinstance(value, (list, tuple)) else value


def given_on(host: Mapping[str, Any], play: Iterable[str]) -> Dict[str, Any]:
    """{name: value} of what is set for one hub. host: all of its variables. play: names that are set for the play."""
    return {name: materialised(host[name]) for name in list(host)
            if name in play or (re.match("hub_ha_.", name) and name not in NOTED)}


def pair_settings(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str], play: Mapping[str, Any],
                  options: Mapping[str, Option], coerce: Coerce) -> Dict[str, Any]:
    """The operator's variables of all hubs: {"problems": what is wrong with them, as dicts of Problem, "values": {name:
    value of the right type}, secrets left out}.

    hostvars: {host: all of its variables}, as Ansible has them. hosts: the hubs. play: {name: value} of what begins
    like ours and is set as the play sees it: also what is set for no host, such as defaults and variables of plays.
    options: {name: option} of all roles.
    """
    options, play = materialised(options), materialised(play)
    # Each access to a host gathers all of its variables anew.
    own = {host: given_on(hostvars[host], play) for host in hosts}
    everywhere = {name: value for name, value in play.items() if not any(name in item for item in own.values())}
    found = settings({host: dict(everywhere, **item) for host, item in own.items()}, options, coerce)
    problems = option_problems(found.common, options, coerce)
    for host in own:
        problems += option_problems(found.own[host], options, coerce, host)
    return {"problems": [item.to_dict() for item in problems + found.problems], "values": found.values}
