# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hubs' cluster is the pair's, or none."""

from __future__ import annotations

from typing import Iterator, List

from ...cfengine.ids import RESOURCE_IDS
from ...cluster import corosync
from ...cluster.model import Cluster
from ...core.problem import Finding, Problem
from ...facts.model import Infos
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Clusters, nodes and resources of others."""
    names = sorted(info["uname"].lower() for info in context.infos.values())
    for host, info in context.infos.items():
        text = info["cluster"]["corosync_conf"]
        stock = False
        if text:
            try:
                found = corosync.summary(text)
            except ValueError as error:
                yield Problem("COROSYNC_CONF_INVALID", host, "/etc/corosync/corosync.conf cannot be read: %s" % error,
                              "repair it, or move it away if this host is in no cluster")
                continue
            stock = found["stock"]
            if not stock and (sorted(name.lower() for name in found["nodes"]) != names
                              or found["name"] != context.settings["cluster_name"]):
                yield Problem("OTHER_CLUSTER", host, "this host belongs to another cluster: %r with the nodes %s"
                              % (found["name"], ", ".join(sorted(found["nodes"]))),
                              "take it out of that cluster first, or set hub_ha_cluster_name if it is this pair's")
                continue
        yield from contents(host, info["cluster"], names, stock)


def contents(host: str, cluster: Cluster, names: List[str], stock: bool) -> Iterator[Problem]:
    """What is in the CIB. names: the nodes of the pair. stock: the cluster is one that a package started by itself."""
    resources = cluster["cib_resources"]
    if stock and resources and "cfpgsql" not in resources:
        yield Problem("FOREIGN_RESOURCES", host, "a cluster of this host alone runs with resources of its own: %s"
                      % ", ".join(sorted(resources)),
                      "remove them if they are not needed: that cluster is stopped to make place for the pair's")
    for name in cluster["cib_nodes"]:
        if name.lower() not in names and not stock:
            yield Problem("FOREIGN_NODE", host, "the CIB knows a node %r that is not in the inventory" % name,
                          "take that node out of the cluster, or add it to the inventory")
    for name, agents in RESOURCE_IDS.items():
        agent = resources.get(name)
        if agent and agent not in agents:
            yield Problem("RESOURCE_ID_TAKEN", host, "the CIB has a resource %s of another kind: %s" % (name, agent),
                          "rename that resource: the id %s is what CFEngine's ha.cfg reads" % name)


def stock_clusters(infos: Infos) -> List[str]:
    """Hosts whose cluster is what a package started by itself: one node that is nobody's.

    Only such a one is stopped.
    """
    found = []
    for host, info in infos.items():
        try:
            if info["cluster"]["corosync_conf"] and corosync.summary(info["cluster"]["corosync_conf"])["stock"] \
                    and not info["cluster"]["cib_resources"]:
                found.append(host)
        except ValueError:
            continue  # check() says so
    return found


def authkey(context: Context) -> Iterator[Finding]:
    """corosync's key must be text: it goes from hub to hub through Ansible, in memory only."""
    for host, info in context.infos.items():
        if info["cluster"]["authkey_binary"]:
            yield Problem("AUTHKEY_BINARY", host,
                          "/etc/corosync/authkey holds a binary key, as corosync-keygen makes it",
                          "remove it on both hubs while no cluster runs; a key that is text is then made")
