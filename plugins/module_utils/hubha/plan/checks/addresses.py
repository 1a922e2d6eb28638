# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shared addresses are addresses, and nobody else's."""

from __future__ import annotations

from typing import Iterator

from ...cfengine.layout import KEPT_UNIT
from ...core.problem import Finding, Problem
from ...core.text import as_list
from ...pair.networks import parse_ip, shared_addresses
from .context import Context, Settings


def check(settings: Settings) -> Iterator[Finding]:
    """What the operator has given for addresses."""
    wanted = as_list(settings.get("virtual_ip"))
    if not wanted:
        yield Problem("SHARED_ADDRESS_UNSET", "all", "hub_ha_virtual_ip is not set",
                      "set it to the address that clients and people will use")
    for text in wanted + as_list(settings.get("replication_virtual_ip")):
        if parse_ip(text) is None:
            yield Problem("SHARED_ADDRESS_INVALID", "all", "the shared address %r is no IP address" % str(text),
                          "give a plain address such as 192.168.100.100, without a prefix")
    good, replication = shared_addresses(settings)
    every = good + as_list(replication)
    for text in sorted({text for text in every if every.count(text) > 1}):
        yield Problem("SHARED_ADDRESS_TWICE", "all", "the shared address %s is given twice" % text,
                      "give each address once")


def kept(context: Context) -> Iterator[Finding]:
    """An address that a single hub has kept becomes the pair's; else two hubs might have it one day."""
    for host, info in context.infos.items():
        for item in info["kept_addresses"]:
            if host != context.active or item["ip"] not in context.shared:
                yield Problem("KEPT_ADDRESS", host, "hub-ha-address.service brings up %s here, which is %s"
                              % (item["ip"], "no shared address of this pair" if host == context.active
                                 else "the passive hub"),
                              "%s: systemctl disable hub-ha-address; rm %s"
                              % ("name it in hub_ha_virtual_ip, or take the unit away" if host == context.active
                                 else "take the unit away, and the address if it is there", KEPT_UNIT))
