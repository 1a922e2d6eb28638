# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this machine may be a container, which is thrown away with all that was not put elsewhere."""

from __future__ import annotations

import os
from typing import Mapping, Optional, Tuple

# Docker's, podman's (ansible-navigator, CRI-O), and what systemd in a container writes.
MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
POD = "KUBERNETES_SERVICE_HOST"
# Systems that boot from an image (RHEL image mode, Fedora Atomic): their root is an overlay too, and they last.
BOOTED_IMAGE = "/run/ostree-booted"
COMPOSEFS = "composefs"  # what is mounted there, also as composefs:DIGEST


def evidence(root: str = "", environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """What tells it, in words that follow "because"; None where nothing does. That a container lasts cannot be told.

    root: directory in place of /. environ: of this process, where not given.
    """
    environ = os.environ if environ is None else environ
    for path in MARKS:
        if os.path.exists(root + path):
            return "%s is there" % path
    if environ.get("container"):
        return "the environment says container=%s" % environ["container"]
    if environ.get(POD):
        return "the environment has %s" % POD
    kind = first_process(read(root + "/proc/1/environ"))
    if kind:
        return "process 1 has container=%s" % kind
    kind, source = root_mount(read(root + "/proc/self/mountinfo"))
    if kind == "overlay" and source.split(":")[0] != COMPOSEFS and not os.path.exists(root + BOOTED_IMAGE):
        return "its root is an overlay"
    return None


def read(path: str) -> str:
    """Text of a file in /proc; empty where this user may not read it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def first_process(text: str) -> str:
    """The value of "container" in a process's environment, as /proc has it; empty without one."""
    return next((item.partition("=")[2] for item in text.split("\0") if item.startswith("container=")), "")


def root_mount(text: str) -> Tuple[str, str]:
    """(type, source) of what is mounted last at /, out of mountinfo; empty texts where that is not known."""
    found = ("", "")
    for line in text.splitlines():
        place, _dash, rest = line.partition(" - ")
        if place.split()[4:5] == ["/"] and len(rest.split()) > 1:
            found = (rest.split()[0], rest.split()[1])
    return found
