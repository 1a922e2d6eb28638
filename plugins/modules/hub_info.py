#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_info
short_description: (internal) Everything about one CFEngine hub that a high availability pair is decided on
version_added: "1.0.0"
description:
  - Reads edition, version, paths, addresses, host key digest, PostgreSQL settings and role, cluster state,
    packages, disk space and unit states of one hub in one round trip.
  - Changes nothing. No private key, password or password verifier is returned. Of the files in O(tls) the key is tried
    with its certificate; no other private key is read.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  names:
    description: Host names that must resolve on this hub; their addresses are returned in RV(hub.names).
    type: list
    elements: str
    default: []
  packages:
    description:
      - Distribution packages whose installed and candidate versions are wanted, beside those that a pair needs on the
        host's system anyhow. Of an empty list nothing is looked up at all.
    type: list
    elements: str
    default: []
  firewall:
    description: Whether to find out which firewall is active, and what of it a pair has added.
    type: bool
    default: true
  repository:
    description: Name of dnf's repository with the cluster's packages; empty for the usual one of the system.
    type: str
    default: ""
  enable_repository:
    description: Whether that repository is to be taken for enabled, because it will be.
    type: bool
    default: false
  tls:
    description:
      - Certificate, key and authorities for PostgreSQL that the operator gives, in this order; or nothing.
      - That they fit together is tried by a handshake in memory.
    type: list
    elements: path
    default: []
  layout:
    description:
      - Layout to assume on a host that has no CFEngine yet.
      - On a host with CFEngine the layout is found out and this is ignored.
    type: str
    choices: [enterprise, debian]
  shared:
    description: Shared addresses, whose names Mission Portal's certificate should have; they are looked up on the hub.
    type: list
    elements: str
    default: []
  packager_wait:
    description: Seconds to wait for the end of a package transaction that is under way; V(-1) is not to look for one.
    type: int
    default: 300
attributes:
  check_mode:
    description: Reads only, so check mode and a real run are the same.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Know the hub
  cfengine.hub_ha.hub_info:
    names: [hub1, hub2]
    packages: [corosync, pacemaker]
  register: hub
"""

RETURN = r"""
hub:
  description: The facts, one key for each area.
  returned: always
  type: dict
  contains:
    schema:
      description:
        - Version of these facts' shape. What makes a plan of them refuses those of another one.
        - What each of them is made of is said in C(plugins/module_utils/hubha/facts/model.py).
      type: int
    uname:
      description: Output of C(uname -n).
      type: str
    layout_found:
      description: Name of the layout found, or null on a host without CFEngine.
      type: str
    layout:
      description: Paths, users and units of the hub.
      type: dict
    addresses:
      description: Global addresses with interface, prefix and network.
      type: list
      elements: dict
    names:
      description: Addresses to which each of O(names) resolves on this host.
      type: dict
    units:
      description: Load, active and enabled state of the units that matter.
      type: dict
    packages:
      description: Installed and candidate version of each package; null where neither apt nor dnf is the packager.
      type: dict
    platform:
      description: What the host's system calls packages and repositories; null for a system that is not supported.
      type: dict
    firewall:
      description: Which firewall is active, why it cannot be managed, and this collection's own rules in it.
      type: dict
    selinux:
      description: Mode of SELinux, or null, and the booleans that matter.
      type: dict
    postgres:
      description: >-
        State (primary, standby, stopped, absent, unreachable, foreign), paths, settings, system identifier,
        size, roles and slots of the hub's PostgreSQL.
      type: dict
    layouts:
      description: >-
        Where PostgreSQL is laid out otherwise than the packages do it: file systems of its own, configuration outside of the
        data directory, what a restore has left, libraries, and how many slots and senders are taken.
      type: dict
    cfengine:
      description: Version, edition, key digest and public key, policy server and digests of the policy and key trees.
      type: dict
    cluster:
      description: corosync and pacemaker on this host, installed and running.
      type: dict
    files:
      description: Owner, group and mode of each of O(tls), or C(absent).
      type: dict
    tls:
      description: >-
        What is wrong with O(tls), when the certificate expires, a digest of the authorities, and which of the files the
        database's user cannot read; null when nothing is given or a file lacks.
      type: dict
    portal:
      description: >-
        Mission Portal's certificate, licence files, the names of O(shared), and owner, mode and digest of its secrets;
        null on a hub without it.
      type: dict
    space:
      description: Free and total bytes of the file system that holds the database.
      type: dict
    programs_missing:
      description: Programs that this collection's steps run and that are not installed.
      type: list
      elements: str
    fence_agents:
      description: Names of the fence agents that are installed.
      type: list
      elements: str
    ports:
      description: TCP ports on which this host listens.
      type: list
      elements: int
    clock:
      description: >-
        This host's clock, seconds since 1970, as it was read between the two times of RV(hub.controller_clock): at the
        start and the end of the module, or by a quicker command after it.
      type: dict
    controller_clock:
      description: The controller's clock before and after the reading of RV(hub.clock).
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            names=dict(type="list", elements="str", default=[]),
            packages=dict(type="list", elements="str", default=[]),
            tls=dict(type="list", elements="path", default=[]),
            layout=dict(type="str", choices=["enterprise", "debian"]),
            shared=dict(type="list", elements="str", default=[]),
            packager_wait=dict(type="int", default=300),
            firewall=dict(type="bool", default=True),
            repository=dict(type="str", default=""),
            enable_repository=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        hub = probe.collect(
            local_runner, params["names"], params["packages"], params["layout"], params["packager_wait"],
            files=params["tls"], firewall=params["firewall"], repository=params["repository"],
            enable_repository=params["enable_repository"], shared=params["shared"])
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=False, hub=hub)


if __name__ == "__main__":
    main()
