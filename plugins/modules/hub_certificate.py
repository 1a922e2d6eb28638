#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_certificate
short_description: A hub's own TLS key and certificate, for its PostgreSQL or Mission Portal
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

import grp
import ipaddress
import os
import pwd
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner


def wanted_names(params):
    """{"DNS:hub1", "IP Address:192.168.100.10", ...} in openssl's words."""
    return set(["DNS:" + name for name in params["names"]]
               + ["IP Address:" + openssl_address(text) for text in params["addresses"]])


def openssl_address(text):
    """The address as `openssl x509 -text` prints it (IPv6: upper case, no compression, no leading zeros)."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return str(address)
    return ":".join("%X" % int(part, 16) for part in address.exploded.split(":"))


def parse_names(text):
    """The same set out of the output of `openssl x509 -ext subjectAltName`."""
    return set(part.strip() for line in text.splitlines() for part in line.split(",")
               if part.strip().startswith(("DNS:", "IP Address:")))


def problem(run, params):
    """Why a new certificate is needed, or None."""
    key, certificate = params["key"], params["certificate"]
    if not os.path.exists(certificate) or not os.path.exists(key):
        return "absent"
    if run(["openssl", "x509", "-in", certificate, "-noout"], check=False).rc != 0:
        return "not readable"
    if run(["openssl", "x509", "-in", certificate, "-noout", "-checkend", str(params["renew_days"] * 86400)],
           check=False).rc != 0:
        return "expires within %d days" % params["renew_days"]
    have = parse_names(run(["openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"],
                           check=False).out)
    if wanted_names(params) - have:
        return "for other names: %s" % ", ".join(sorted(have))
    public = run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"]).out
    if run(["openssl", "pkey", "-in", key, "-pubout"], check=False).out != public:
        return "of another key"
    return None


def loose(path, owner, group, mode):
    """True when owner, group or mode of the file are not as wanted."""
    info = os.stat(path)
    return (pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name,
            info.st_mode & 0o7777) != (owner, group, mode)


def make(run, params):
    folder = os.path.dirname(params["key"])
    san = ",".join(sorted(name.replace("IP Address:", "IP:") for name in wanted_names(params)))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".hub_ha.") as temporary:
        key, certificate = temporary + "/key", temporary + "/crt"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-sha256", "-days", str(params["days"]), "-subj", "/CN=%s" % params["common_name"],
             "-addext", "subjectAltName=" + san, "-keyout", key, "-out", certificate])
        own(key, params, int(params["key_mode"], 8))
        own(certificate, params, int(params["certificate_mode"], 8))
        os.rename(key, params["key"])
        os.rename(certificate, params["certificate"])


def own(path, params, mode):
    os.chown(path, pwd.getpwnam(params["owner"]).pw_uid, grp.getgrnam(params["group"]).gr_gid)
    os.chmod(path, mode)


def main():
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
    params = module.params
    if not re.match(r"^[A-Za-z0-9._-]+$", params["common_name"]):
        module.fail_json(msg="%r is no host name" % params["common_name"])
    for name in ("key_mode", "certificate_mode"):
        if not re.match("^[0-7]{3,4}$", params[name]):
            module.fail_json(msg="%s %r is not an octal number such as 0600" % (name, params[name]))
    try:
        why = problem(local_runner, params)
        changed = anew = why is not None
        if why and not module.check_mode:
            make(local_runner, params)
        if not why:
            for path, mode in ((params["key"], int(params["key_mode"], 8)),
                               (params["certificate"], int(params["certificate_mode"], 8))):
                if loose(path, params["owner"], params["group"], mode):
                    changed, why = True, "owned or readable by others"
                    if not module.check_mode:
                        own(path, params, mode)
    except HubError as error:
        fail(module, error)
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg="cannot make the certificate %s: %s" % (params["certificate"], error))
    text = None
    if os.path.exists(params["certificate"]) and not (anew and module.check_mode):
        with open(params["certificate"], encoding="ascii") as handle:
            text = handle.read()
    good = "certificate for %s\n" % ", ".join(sorted(wanted_names(params)))
    module.exit_json(changed=changed, certificate=text, diff={
        "before_header": params["certificate"], "after_header": params["certificate"],
        "before": "certificate %s\n" % why if why else good, "after": good})


if __name__ == "__main__":
    main()
