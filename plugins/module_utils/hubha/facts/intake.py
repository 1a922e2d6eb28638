# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where the facts of hubs are taken in. Facts that cannot be read are refused."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, cast

from ..core.problem import Problem, Report
from .model import SCHEMA, HubFacts, Results


def problem(host: str, data: Mapping[str, Any]) -> Optional[Problem]:
    """Why these facts of *host* cannot be read, None when they can: another version's, or not whole."""
    remedy = ("run the same command again: the collection was replaced while this run went on. If that does not help, "
              "two versions of it are installed: ansible-galaxy collection list cfengine.hub_ha")
    if data.get("schema") != SCHEMA:
        return Problem("FACTS_OF_ANOTHER_VERSION", host, "what module hub_info says of it has version %s, and version "
                       "%d is read here" % (data.get("schema", "none"), SCHEMA), remedy)
    lacking = sorted(HubFacts.__required_keys__.difference(data))
    return Problem("FACTS_OF_ANOTHER_VERSION", host, "what module hub_info says of it lacks %s" % ", ".join(lacking),
                   remedy) if lacking else None


def hubs(results: Results, report: Report) -> Dict[str, HubFacts]:
    """{host: facts} of the hubs that have answered. Those that cannot be read are left out, and told to the report."""
    found = {}
    for host, result in results.items():
        wrong = problem(host, result["hub"]) if "hub" in result else None
        if wrong:
            report.add(wrong)
        elif "hub" in result:
            found[host] = cast(HubFacts, result["hub"])
    return found
