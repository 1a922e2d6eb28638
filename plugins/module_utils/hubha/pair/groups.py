# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which groups of the inventory the hosts of a pair are. Pure functions.

An inventory may hold several pairs; a run is told the group of its hubs, and the other names follow from that one. What
is said of a playbook has to mean the same pair.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, Collection, Dict, List, Mapping, Sequence

HUBS, THIRD_HUB, CLIENTS = "hub_ha_hubs_group", "hub_ha_third_hub_group", "hub_ha_clients_group"
USUAL = "hubs"
#: So many hosts of each group are looked at for variables that stand at the wrong place: to gather all variables of
#: thousands of clients takes minutes, and what a group has shows at its first hosts.
LOOKED_AT = 5
#: And so many in all: an inventory out of a cloud may have a group for each host.
LOOKED_AT_IN_ALL = 50


def usual(hubs: str) -> Dict[str, str]:
    """{variable: name} as it is when the operator gives no more than the group of the hubs."""
    prefix = "" if hubs == USUAL else hubs + "_"
    return {HUBS: USUAL, THIRD_HUB: prefix + "third_hub", CLIENTS: prefix + "clients"}


def run_options(names: Mapping[str, Any]) -> str:
    """What a command needs to mean the same groups, with a space before it; "" where they have their usual names.

    names: {variable: name}; one that is not there has its usual name. There may be other keys.
    """
    return "".join(" -e %s=%s" % (variable, shlex.quote(str(names[variable])))
                   for variable, name in usual(str(names.get(HUBS, USUAL))).items()
                   if names.get(variable, name) != name)


def of_this_pair(text: str, options: str) -> str:
    """A text with these options (run_options') behind each playbook that it names and that has none yet."""
    return re.sub(r"\bplaybooks/[\w-]+\.yml\b(?! -e hub_ha_\w+_group=)", lambda match: match.group() + options, text)


def lacking(names: Mapping[str, Any], groups: Mapping[str, Sequence[str]],
            needs: Collection[str]) -> List[Dict[str, str]]:
    """Groups without which the run would skip everything and end well, as [{"variable", "name"}].

    names: {variable: name} of the run. groups: Ansible's. needs: variables whose groups must have somebody in them. A
    name that the operator has given must be one that the inventory has in any case.
    """
    expected = usual(str(names[HUBS]))
    return [{"variable": variable, "name": str(names[variable])} for variable in (HUBS, THIRD_HUB, CLIENTS)
            if (variable in needs and not groups.get(names[variable]))
            or (names[variable] not in ("", expected[variable]) and names[variable] not in groups)]


def misplaced(names: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]],
              groups: Mapping[str, Sequence[str]]) -> List[str]:
    """Variables that name a group for a host and do not for the run, as ["VARIABLE (VALUE on HOST)"].

    names: those of the run. hostvars, groups: Ansible's; the first hosts of each group are looked at, those of the run's
    own groups before all others, and groups of one host last: no pair is one. A play has its hosts before it has any
    host's variables.
    """
    found: Dict[str, str] = {}
    ours = [str(names[variable]) for variable in (HUBS, THIRD_HUB, CLIENTS)]
    order = dict.fromkeys([*ours, *sorted(groups, key=lambda name: len(groups[name]) == 1)])
    hosts = dict.fromkeys(host for group in order for host in groups.get(group, [])[:LOOKED_AT])
    for host in list(hosts)[:LOOKED_AT_IN_ALL]:
        here = hostvars[host]  # gathers all of the host's variables anew each time
        for variable in (HUBS, THIRD_HUB, CLIENTS):
            if variable in here and here[variable] != names[variable]:
                found.setdefault(variable, "%s (%s on %s)" % (variable, here[variable], host))
    return list(found.values())
