#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_certificate
short_description: (internal) A hub's own TLS key and certificate, for its PostgreSQL or Mission Portal
version_added: "1.0.0"
description:
  - Makes a key (P-256) and a self-signed certificate with the given names and addresses, once.
  - The key never leaves the hub. Each hub trusts the certificates of all hubs, so no authority and no authority's
    key has to be kept anywhere.
  - A new certificate is made when the old one lacks a name or address, expires within O(renew_days), or does not
    belong to the key.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  key:
    description: Path of the private key.
    type: path
    required: true
  certificate:
    description: Path of the certificate.
    type: path
    required: true
  common_name:
    description: Common name, the hub's node name.
    type: str
    required: true
  names:
    description: DNS names in the certificate.
    type: list
    elements: str
    default: []
  addresses:
    description: IP addresses in the certificate.
    type: list
    elements: str
    default: []
  owner:
    description: Owner of both files.
    type: str
    default: root
  group:
    description: Group of both files.
    type: str
    default: root
  key_mode:
    description: Permissions of the key, octal, as text.
    type: str
    default: "0600"
  certificate_mode:
    description: Permissions of the certificate, octal, as text.
    type: str
    default: "0644"
  days:
    description: How many days the certificate is valid.
    type: int
    default: 3650
  renew_days:
    description: A certificate that expires within so many days is made anew.
    type: int
    default: 60
attributes:
  check_mode:
    description: Reports what a real run would change.
    support: full
  diff_mode:
    description: Shows names, addresses and expiry.
    support: full
"""

EXAMPLES = r"""
- name: The hub has a certificate of its own
  cfengine.hub_ha.hub_certificate:
    key: /var/cfengine/state/pg/hub_ha/server.key
    certificate: /var/cfengine/state/pg/hub_ha/server.crt
    common_name: hub1
    names: [hub1]
    addresses: [192.168.100.10, 192.168.100.100]
    owner: cfpostgres
    group: cfpostgres
"""

RETURN = r"""
certificate:
  description: The certificate, PEM. Null in check mode when it would be made.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import certificate


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            key=dict(type="path", required=True, no_log=False),
            certificate=dict(type="path", required=True),
            common_name=dict(type="str", required=True),
            names=dict(type="list", elements="str", default=[]),
            addresses=dict(type="list", elements="str", default=[]),
            owner=dict(type="str", default="root"),
            group=dict(type="str", default="root"),
            key_mode=dict(type="str", default="0600", no_log=False),
            certificate_mode=dict(type="str", default="0644"),
            days=dict(type="int", default=3650),
            renew_days=dict(type="int", default=60),
        ),
        supports_check_mode=True,
    )
    params = dict(module.params, names=tuple(module.params["names"]), addresses=tuple(module.params["addresses"]))
    wanted = certificate.Wanted(**params)
    try:
        done = certificate.ensure(local_runner, wanted, module.check_mode)
    except HubError as error:
        fail(module, error)
    module.exit_json(changed=done.why is not None, certificate=done.text, diff={
        "before_header": wanted.certificate, "after_header": wanted.certificate,
        "before": "certificate %s\n" % done.why if done.why else done.good, "after": done.good})


if __name__ == "__main__":
    main()
