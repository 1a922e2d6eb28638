# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the machine must have: found out by looking, installed with apt-get when missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.shell import LabError, run, say, stage

# (package, a command or file that shows it is there)
NEEDED = (
    ("podman", "podman"),
    ("crun", "crun"),
    ("netavark", "/usr/lib/podman/netavark"),  # podman 5 does not start without it, though the lab has no use for it
    ("mmdebstrap", "mmdebstrap"),
    ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    ("iproute2", "ip"),
    ("openssh-client", "ssh-keygen"),
    ("util-linux", "nsenter"),
    ("util-linux", "unshare"),
    ("mount", "mount"),
    ("dpkg", "dpkg-deb"),
    ("gcc", "gcc"),  # for the stand-in for CFEngine Enterprise's plug-in
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
)


def present(sign):
    """True when a command (a bare name) or file (a path) is there."""
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=_path()) is not None


def _path():
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def missing(look=present):
    """Packages to install (list); *look* answers whether a sign is there."""
    return sorted({package for package, sign in NEEDED if not look(sign)})


def install():
    """Install what is missing. Raises LabError on a machine that is no Debian or Ubuntu, or without root."""
    absent = missing()
    if not absent:
        return []
    if not shutil.which("apt-get"):
        raise LabError("The lab needs %s, and this is no Debian or Ubuntu: install them by hand."
                       % ", ".join(absent))
    if os.geteuid() != 0:
        raise LabError("The lab needs these packages: %s. Run `python3 -m lab prerequisites` as root."
                       % " ".join(absent))
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with stage("installing on this machine: %s" % ", ".join(absent)):
        run(["apt-get", "-q", "update"], env=quiet, timeout=300,
            hint="Are the package sources in /etc/apt reachable?")
        run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *absent], env=quiet, timeout=900)
    still = missing()
    if still:
        raise LabError("apt-get installed %s, but what the lab looks for is still not there. Is it in PATH?"
                       % ", ".join(still))
    say("lab: installed %s" % ", ".join(absent))
    return absent
