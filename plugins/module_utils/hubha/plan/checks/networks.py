# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hubs share networks, and what the settings name lies on them."""

from __future__ import annotations

from typing import Iterator

from ...cfengine.ids import RESOURCE_IDS
from ...core.problem import WARNING, Finding, Problem
from ...core.text import as_list
from ...pair.networks import network_of
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Addresses and networks of the settings against those that both hubs have."""
    networks, settings = context.networks, context.settings
    where = "; ".join(
        "%s: %s" % (host, ", ".join("%s/%s" % (item["address"], item["prefix"]) for item in info["addresses"]))
        for host, info in context.infos.items())
    # A pair's own resource may have put it there; nothing else may.
    own = {item["address"]: host for host, info in context.infos.items() for item in info["addresses"]
           if item["address"] in context.shared
           and item["address"] not in [kept["ip"] for kept in info["kept_addresses"]]
           and not set(info["cluster"]["cib_resources"]) & set(RESOURCE_IDS)}
    for text, host in own.items():
        yield Problem("SHARED_ADDRESS_IN_USE", host, "the shared address %s is this hub's own address" % text,
                      "choose a free one: it will move between the hubs")
    for text in context.virtual_ips:
        if networks and network_of(networks, text) is None and text not in own:
            yield Problem("SHARED_ADDRESS_OFF_NETWORK", "all",
                          "the shared address %s lies in no subnet that both hubs have (%s)" % (text, where),
                          "choose an address of a network on which both hubs have one")
    if not networks:
        yield Problem("NO_COMMON_NETWORK", "all", "the hubs have no network in common (%s)" % where,
                      "connect them, best by two networks")
        return
    for text in as_list(settings.get("links")):
        if network_of(networks, text) is None:
            yield Problem("LINKS_OFF_NETWORK", "all",
                          "hub_ha_links names %s, on which the hubs have no address in common (%s)" % (text, where),
                          "correct it, or leave hub_ha_links out: every shared network is used")
    if len(context.chosen.links) == 1:
        yield Problem("ONE_NETWORK", "all", "the hubs share one network only: a fault there separates them",
                      "connect them by a second network, best by a cable of its own, and run this again", WARNING)
    for text in as_list(settings.get("replication_network")) + as_list(context.replication_ip):
        if network_of(networks, text) is None and text not in own:
            yield Problem("REPLICATION_OFF_NETWORK", "all",
                          "%s is on no network that both hubs have (%s)" % (text, where),
                          "correct hub_ha_replication_network or hub_ha_replication_virtual_ip")
