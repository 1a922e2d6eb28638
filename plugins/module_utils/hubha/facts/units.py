# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a hub's facts["units"] say. Pure functions on plain data."""

from __future__ import annotations

from typing import TypedDict

from ..host.units import Units

RUNS = ("active", "activating", "reloading")


class Host(TypedDict):
    """What of a host's facts counts here."""

    units: Units


def runs(info: Host, unit: str) -> bool:
    """True when a unit runs on the hub of these facts, or is about to."""
    return info["units"].get(unit, {}).get("active") in RUNS
