# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of CFEngine Enterprise each hub has for itself: Mission Portal's secrets, certificate and licence.

What is decided about it: plan/portal.py.
"""

from __future__ import annotations

import calendar
import os
import re
import socket
import time
from typing import Callable, Dict, List, Optional, Sequence, TypedDict

from ..core.run import CommandMissing, Runner


class Certificate(TypedDict):
    """What a certificate says of itself, see parse()."""

    subject: str
    issuer: str
    expires: Optional[int]
    names: List[str]
    addresses: List[str]


class Portal(TypedDict):
    """Mission Portal on a hub, see look(). stale: the web server has another certificate than the file."""

    secrets: str
    full_name: str
    certificate: str
    key: str
    licences: List[str]
    names: Dict[str, Optional[str]]
    tls: Optional[Certificate]
    stale: bool


def look(run: Runner, work_dir: str, summary: Callable[[str], str],
         addresses: Sequence[str] = ()) -> Optional[Portal]:
    """Facts of a hub with Mission Portal, or None on one without.

    summary: callable path -> what lies there, in one line. addresses: shared ones, whose names are looked up.
    """
    httpd = work_dir + "/httpd"
    if not os.path.isdir(httpd):
        return None
    name = full_name(run)
    certificate, key = "%s/ssl/certs/%s.cert" % (httpd, name), "%s/ssl/private/%s.key" % (httpd, name)
    licences = [work_dir + "/license.dat"] if os.path.exists(work_dir + "/license.dat") else []
    for folder, dummy, files in os.walk(work_dir + "/licenses"):
        licences += [os.path.join(folder, file) for file in files]
    found: Portal = {
        "secrets": summary(httpd + "/secrets.ini"), "full_name": name, "certificate": certificate, "key": key,
        "licences": sorted(licences), "names": {text: name_of(text) for text in addresses}, "tls": None, "stale": False}
    if os.path.isfile(certificate) and os.path.isfile(key):
        found["tls"] = parse(run(["openssl", "x509", "-in", certificate, "-noout", "-subject", "-issuer", "-enddate",
                                  "-ext", "subjectAltName", "-nameopt", "RFC2253"], check=False).out)
        found["stale"] = stale(run(["systemctl", "show", "cf-apache", "--property=ActiveState",
                                    "--property=StateChangeTimestampMonotonic"], check=False).out,
                               time.time() - os.stat(certificate).st_mtime, time.monotonic())
    return found


def stale(text: str, age: float, now: float) -> bool:
    """True when the web server runs and was neither started nor reloaded since its certificate was written (pure).

    text: of `systemctl show`. age: of the certificate, seconds. now: seconds of the monotonic clock.
    """
    found = {line.partition("=")[0]: line.partition("=")[2] for line in text.splitlines()}
    changed = found.get("StateChangeTimestampMonotonic", "")
    return found.get("ActiveState") == "active" and changed.isdigit() and age < now - int(changed) / 1e6


def full_name(run: Runner) -> str:
    """The hub's full name as its package and CFEngine's policy know it."""
    try:
        return run(["hostname", "-f"], check=False).out.strip() or socket.gethostname()
    except CommandMissing:
        return socket.getfqdn()


def name_of(address: str) -> Optional[str]:
    """The name of an address, as this host's resolver has it, or None."""
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return None


def parse(text: str) -> Certificate:
    """{"subject", "issuer", "expires" (seconds since 1970), "names", "addresses"} out of `openssl x509`."""
    found: Certificate = {"subject": of_line("subject", text), "issuer": of_line("issuer", text), "expires": None,
                          "names": re.findall(r"DNS:([^,\s]+)", text),
                          "addresses": re.findall(r"IP Address:([^,\s]+)", text)}
    match = re.search(r"(?m)^notAfter=(.*) GMT$", text)
    if match:
        found["expires"] = calendar.timegm(time.strptime(match.group(1), "%b %d %H:%M:%S %Y"))
    return found


def of_line(name: str, text: str) -> str:
    """What stands behind "NAME=" in openssl's output, "" where there is no such line."""
    match = re.search(r"(?m)^%s=\s*(.*)$" % name, text)
    return match.group(1).strip() if match else ""
