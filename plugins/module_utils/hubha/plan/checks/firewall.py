# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hubs' firewalls let in what the pair needs, or are opened."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import WARNING, Finding, Problem
from ...core.text import as_list
from ...host.firewall import model as firewall_model
from ..firewalls import firewall_problems, valid_network
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """The operator's networks of clients; what is left alone; what cannot be opened."""
    settings = context.settings
    for text in as_list(settings.get("firewall_clients")):
        if not valid_network(text):
            yield Problem("FIREWALL_CLIENTS_INVALID", "all",
                          "hub_ha_firewall_clients names %r, which is no network" % str(text),
                          "give networks such as 10.20.0.0/16, or single addresses")
    for host, info in context.infos.items():
        kind = info["firewall"]["kind"]
        if settings.get("firewall") == "check" and not context.adopted \
                and kind in firewall_model.MANAGEABLE + ("iptables",):
            yield Problem("FIREWALL_LEFT_ALONE", host, "%s is active and is left alone (hub_ha_firewall); only the "
                          "ports between the hubs are tried here" % kind,
                          "see yourself that all clients reach 5308/tcp on both hubs", WARNING)
    for host, info in context.infos.items():
        yield from firewall_problems(host, info, context.firewalls[host]["rules"], settings)
