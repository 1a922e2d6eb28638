# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All checks of a pair, in the order in which an operator reads what they find."""

from __future__ import annotations

from typing import Callable, Iterator, Tuple

from ...core.problem import Finding
from . import (
    addresses,
    cib,
    clocks,
    cluster,
    databases,
    fencing,
    firewall,
    keys,
    links,
    mission_portal,
    names,
    networks,
    packages,
    policy,
    primary,
    replication_user,
    secrets,
    settings,
    shared_paths,
    systems,
    tls,
    versions,
)
from .context import Context, Settings

# Of the operator's settings alone, also when no hub answers.
SETTINGS_CHECKS: Tuple[Callable[[Settings], Iterator[Finding]], ...] = (addresses.check, fencing.check, secrets.check)
CHECKS: Tuple[Callable[[Context], Iterator[Finding]], ...] = (
    primary.check, names.check, clocks.check, systems.check, systems.selinux, packages.check, versions.check,
    fencing.agents, databases.active_database, policy.hub, policy.def_json, databases.passive_database, tls.check,
    keys.hub_list, policy.framework, policy.acl, replication_user.check, keys.copies, packages.on_a_pair,
    mission_portal.check, shared_paths.check, keys.revoked, addresses.kept, cluster.check, cluster.authkey,
    networks.check, firewall.check, links.check, settings.check, settings.trial, cib.check, cib.held)
