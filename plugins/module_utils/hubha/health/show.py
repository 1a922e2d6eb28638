# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pair as a drawing, for people."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence

from ..core.text import human
from .checks import fencing, pgsql_status, started_on


def box(lines: Sequence[str], width: int) -> List[str]:
    """The lines in a frame."""
    edge = "+" + "-" * (width + 2) + "+"
    return [edge] + ["| %-*s |" % (width, line) for line in lines] + [edge]


def pair_picture(cluster: Mapping[str, Any], plan: Mapping[str, Any], replication: Mapping[str, Any]) -> str:
    """Who is active, where the shared address is, how replication goes. Arguments: as those of module checks.

    What a cluster that does not answer would say is drawn as "?".
    """
    status, known = pgsql_status(cluster), bool(cluster.get("running"))
    columns = []
    for host in (plan["active"], plan["passive"]):
        node = plan["nodes"][host]
        info = replication.get(host) or {}
        active = status.get(node) == "PRI"
        held = [item["ip"] for item in plan["virtual_ips"] if node in started_on(cluster, item["id"])]
        columns.append(["%s  %s" % (node, "ACTIVE" if active else "passive" if known else "?"),
                        plan["client"]["addresses"][host],
                        "shared address %s" % ", ".join(held) if held else "",
                        "PostgreSQL %s" % info.get("role", "?"),
                        "cfpgsql-status %s" % status.get(node, "-"),
                        "timeline %s" % info.get("timeline", "?")])
    width = max([27] + [len(line) for lines in columns for line in lines])
    left, right = [box(lines, width) for lines in columns]
    senders = (replication.get(plan["active"]) or {}).get("senders") or []
    sender = ([item for item in senders if item["application_name"] == plan["nodes"][plan["passive"]]] + [{}])[0]
    middle = [""] * len(left)
    middle[4] = " --- %s --> " % ("WAL, TLS" if sender.get("ssl") else "WAL")
    middle[5] = " %s behind " % human(sender.get("lag_bytes"))
    gap = max(len(line) for line in middle)
    rows = [one + line.center(gap) + other for one, line, other in zip(left, middle, right)]
    links = ", ".join(net["network"] for net in plan["links"])
    states = [peer.get("connected") for link in cluster.get("links") or []
              for peer in (link.get("peers") or {}).values()]
    rows.append("links %s%s" % (links, "" if states and all(states) else "  (NOT ALL UP)") if known else "links ?")
    rows.append("fencing %s" % ("?" if not known else "on" if fencing(cluster) else "NONE"))
    return "\n".join(rows)
