# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's own TLS key (P-256) and self-signed certificate: made once, and anew when it does not do any more."""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import re
import tempfile
from dataclasses import dataclass
from typing import Optional, Set, Tuple

from ..core.run import HubError, Runner
from . import owners


@dataclass(frozen=True)
class Wanted:
    """A key and its certificate as they are to be.

    key, certificate: paths. names: DNS names. addresses: IP addresses. key_mode, certificate_mode: octal digits.
    days: how long a new certificate is valid. renew_days: one that expires sooner is made anew.
    """

    key: str
    certificate: str
    common_name: str
    names: Tuple[str, ...] = ()
    addresses: Tuple[str, ...] = ()
    owner: str = "root"
    group: str = "root"
    key_mode: str = "0600"
    certificate_mode: str = "0644"
    days: int = 3650
    renew_days: int = 60

    def alternatives(self) -> Set[str]:
        """{"DNS:hub1", "IP Address:192.168.100.10", ...} in openssl's words. Raises ValueError for no address."""
        return ({"DNS:" + name for name in self.names}
                | {"IP Address:" + openssl_address(text) for text in self.addresses})

    def files(self) -> Tuple[Tuple[str, int], Tuple[str, int]]:
        """((path, mode) of the key, the same of the certificate). Raises HubError for a mode that is none."""
        return ((self.key, owners.octal(self.key_mode, "key_mode")),
                (self.certificate, owners.octal(self.certificate_mode, "certificate_mode")))


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be. why: what was wrong, None when all is right. text: the certificate, PEM; None when it
    would be made. good: the certificate that is to be, for a diff."""

    why: Optional[str]
    text: Optional[str]
    good: str


def openssl_address(text: str) -> str:
    """The address as `openssl x509 -text` prints it (IPv6: upper case, no compression, no leading zeros)."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return str(address)
    return ":".join("%X" % int(part, 16) for part in address.exploded.split(":"))


def parse_names(text: str) -> Set[str]:
    """The names and addresses, as Wanted.alternatives(), out of `openssl x509 -ext subjectAltName`."""
    parts = (part.strip() for line in text.splitlines() for part in line.split(","))
    return {part for part in parts if part.startswith(("DNS:", "IP Address:"))}


def problem(run: Runner, wanted: Wanted) -> Optional[str]:
    """Why a new certificate is needed, or None."""
    if not os.path.exists(wanted.certificate) or not os.path.exists(wanted.key):
        return "absent"
    show = ["openssl", "x509", "-in", wanted.certificate, "-noout"]
    if run(show, check=False).rc != 0:
        return "not readable"
    if run(show + ["-checkend", str(wanted.renew_days * 86400)], check=False).rc != 0:
        return "expires within %d days" % wanted.renew_days
    have = parse_names(run(show + ["-ext", "subjectAltName"], check=False).out)
    if wanted.alternatives() - have:
        return "for other names: %s" % ", ".join(sorted(have))
    public = run(show + ["-pubkey"]).out
    if run(["openssl", "pkey", "-in", wanted.key, "-pubout"], check=False).out != public:
        return "of another key"
    return None


def loose(path: str, owner: str, group: str, mode: int) -> bool:
    """True when owner, group or mode of the file are not as wanted."""
    return owners.of(os.stat(path)) != owners.shown(owner, group, mode)


def make(run: Runner, wanted: Wanted) -> None:
    """A new key with its certificate; each is put in its place by a rename. Raises HubError, OSError, KeyError."""
    alternatives = ",".join(sorted(name.replace("IP Address:", "IP:") for name in wanted.alternatives()))
    with tempfile.TemporaryDirectory(dir=os.path.dirname(wanted.key), prefix=".hub_ha.") as temporary:
        made = (temporary + "/key", temporary + "/crt")
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-sha256", "-days", str(wanted.days), "-subj", "/CN=%s" % wanted.common_name,
             "-addext", "subjectAltName=" + alternatives, "-keyout", made[0], "-out", made[1]])
        files = tuple(zip(made, wanted.files()))
        for path, (target, mode) in files:
            own(path, wanted, mode)
        for path, (target, mode) in files:
            os.rename(path, target)


def own(path: str, wanted: Wanted, mode: int) -> None:
    """Give a file its owner and mode. Raises OSError, KeyError for a user or group that is not there."""
    os.chown(path, pwd.getpwnam(wanted.owner).pw_uid, grp.getgrnam(wanted.group).gr_gid)
    os.chmod(path, mode)


def ensure(run: Runner, wanted: Wanted, check: bool = False) -> Outcome:
    """Key and certificate are as wanted. check: only tell what would be done. Raises HubError."""
    if not re.match(r"^[A-Za-z0-9._-]+$", wanted.common_name):
        raise HubError("%r is no host name" % wanted.common_name)
    files = wanted.files()
    try:
        why = problem(run, wanted)
        anew = why is not None
        if anew and not check:
            make(run, wanted)
        for path, mode in files:
            if not anew and loose(path, wanted.owner, wanted.group, mode):
                why = "owned or readable by others"
                if not check:
                    own(path, wanted, mode)
        good = "certificate for %s\n" % ", ".join(sorted(wanted.alternatives()))
    except (OSError, KeyError, ValueError) as error:
        raise HubError("cannot make the certificate %s: %s" % (wanted.certificate, error)) from error
    text = None
    if not (anew and check):
        with open(wanted.certificate, encoding="ascii") as handle:
            text = handle.read()
    return Outcome(why, text, good)
