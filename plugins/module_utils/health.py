# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the pair healthy, and what does it look like. Pure functions on what cib_info and replication_info return."""

from __future__ import annotations


def cluster_problems(cluster, plan):
    """Why the cluster is not healthy: a list of sentences, empty when it is.

    cluster: result of module cib_info. plan: see plan.make_plan.
    """
    if not cluster.get("running"):
        return ["pacemaker does not run: %s" % cluster.get("reason", "no answer")]
    found = []
    nodes = dict((node["name"], node) for node in cluster["nodes"])
    if not cluster.get("quorate"):
        found.append("the cluster has no quorum")
    for name in plan["nodes"].values():
        node = nodes.get(name)
        if not node:
            found.append("%s is not in the cluster" % name)
        elif not node["online"]:
            found.append("%s is offline" % name)
        elif node.get("standby") or node.get("maintenance"):
            found.append("%s is in standby or maintenance" % name)
    if str(cluster.get("properties", {}).get("maintenance-mode", "false")).lower() == "true":
        found.append("the cluster is in maintenance mode")
    status = pgsql_status(cluster)
    primaries = [name for name, value in status.items() if value == "PRI"]
    if len(primaries) != 1:
        found.append("%d hubs are active (%s)" % (len(primaries), status or "no cfpgsql-status yet"))
    for name in plan["nodes"].values():
        if name not in primaries and status.get(name) not in ("HS:async", "HS:sync"):
            found.append("%s does not stream (cfpgsql-status %s)" % (name, status.get(name)))
    for item in plan["virtual_ips"]:
        where = started_on(cluster, item["id"])
        if where != primaries:
            found.append("shared address %s is on %s, the active hub is %s"
                         % (item["ip"], " and ".join(where) or "no hub", " and ".join(primaries) or "none"))
    for item in cluster.get("failures", []):
        found.append("%s failed on %s (%s): %s -> mend the cause, then: crm_resource --cleanup --resource %s --node %s"
                     % (item["resource"], item["node"], item["operation"], item.get("exit_reason") or "no reason given",
                        item["resource"], item["node"]))
    for link in cluster.get("links", []):
        for peer, state in (link.get("peers") or {}).items():
            if not state.get("connected"):
                found.append("link %s to %s is down" % (link["id"], peer))
    return found


def failed_standby(cluster, plan):
    """True when the passive hub's database failed to start and does not run: pacemaker will not try again by itself."""
    node = plan["nodes"][plan["passive"]]
    failed = any(item["resource"] == "cfpgsql" and item["node"] == node for item in cluster.get("failures", []))
    return failed and node not in started_on(cluster, "cfpgsql")


def pgsql_status(cluster):
    """{node: value of cfpgsql-status} of the nodes that have one."""
    return dict((node["name"], node["attributes"]["cfpgsql-status"]) for node in cluster.get("nodes", [])
                if "cfpgsql-status" in node.get("attributes", {}))


def started_on(cluster, resource):
    """Nodes on which the resource is started."""
    instances = cluster.get("resources", {}).get(resource, {}).get("instances", [])
    return [instance["node"] for instance in instances if instance.get("active") and instance.get("node")]


def replication_problems(replication, plan, max_lag_mb):
    """Why replication is not healthy: a list of sentences.

    replication: {host: result of replication_info}. Of one hub alone, what that hub knows.
    """
    found = []
    for host, role in ((plan["active"], "primary"), (plan["passive"], "standby")):
        if host in replication and replication[host].get("role") != role:
            found.append("PostgreSQL on %s is %s, not %s" % (host, replication[host].get("role"), role))
    if len(set(info.get("system_identifier") for info in replication.values())) > 1:
        found.append("the hubs hold different databases (system identifiers differ)")
    if plan["active"] in replication:
        found += sender_problems(replication[plan["active"]], plan, max_lag_mb)
    return found


def sender_problems(primary, plan, max_lag_mb):
    """What the primary (its result of replication_info) knows against its standby: a list of sentences."""
    found = []
    name = plan["nodes"][plan["passive"]]
    senders = [item for item in primary.get("senders") or [] if item["application_name"] == name]
    if not senders or senders[0]["state"] != "streaming":
        found.append("%s does not stream to %s" % (plan["active"], plan["passive"]))
    else:
        if not senders[0].get("ssl"):
            found.append("replication is not encrypted")
        if (senders[0].get("lag_bytes") or 0) > max_lag_mb << 20:
            found.append("%s is %.1f MB behind" % (plan["passive"], senders[0]["lag_bytes"] / 1048576.0))
    slots = dict((slot["name"], slot) for slot in primary.get("slots") or [])
    slot = slots.get(plan["slots"][plan["passive"]])
    if not slot or not slot["active"]:
        found.append("replication slot %s is %s" % (plan["slots"][plan["passive"]],
                                                    "not in use" if slot else "missing"))
    return found


def box(lines, width):
    """The lines in a frame."""
    return ["+" + "-" * (width + 2) + "+"] + ["| %-*s |" % (width, line) for line in lines] \
        + ["+" + "-" * (width + 2) + "+"]


def pair_picture(cluster, plan, replication):
    """The pair as a drawing, for people: who is active, where the shared address is, how replication goes."""
    status = pgsql_status(cluster)
    columns = []
    for host in (plan["active"], plan["passive"]):
        node = plan["nodes"][host]
        info = replication.get(host) or {}
        active = status.get(node) == "PRI"
        held = [item["ip"] for item in plan["virtual_ips"] if node in started_on(cluster, item["id"])]
        lines = ["%s  %s" % (node, "ACTIVE" if active else "passive"),
                 plan["client"]["addresses"][host],
                 "shared address %s" % ", ".join(held) if held else "",
                 "PostgreSQL %s" % info.get("role", "?"),
                 "cfpgsql-status %s" % status.get(node, "-"),
                 "timeline %s" % info.get("timeline", "?")]
        columns.append(lines)
    width = max([27] + [len(line) for lines in columns for line in lines])
    columns = [box(lines, width) for lines in columns]
    senders = (replication.get(plan["active"]) or {}).get("senders") or []
    sender = ([item for item in senders if item["application_name"] == plan["nodes"][plan["passive"]]] + [{}])[0]
    middle = [""] * len(columns[0])
    middle[4] = " --- %s --> " % ("WAL, TLS" if sender.get("ssl") else "WAL")
    middle[5] = " %s behind " % (human(sender.get("lag_bytes")))
    gap = max(len(text) for text in middle)
    rows = [left + text.center(gap) + right for left, text, right in zip(columns[0], middle, columns[1])]
    links = ", ".join(net["network"] for net in plan["links"])
    rows.append("links %s%s" % (links, "" if all(peer.get("connected") for link in cluster.get("links", [])
                                                 for peer in (link.get("peers") or {}).values()) else "  (NOT ALL UP)"))
    fencing = str(cluster.get("properties", {}).get("stonith-enabled", "true")).lower() == "true"
    rows.append("fencing %s" % ("on" if fencing else "NONE"))
    return "\n".join(rows)


def human(size):
    """Bytes for people; "?" when unknown."""
    if size is None:
        return "?"
    return "%d B" % size if size < 1024 else "%.1f kB" % (size / 1024.0) if size < 1 << 20 \
        else "%.1f MB" % (size / 1048576.0)
