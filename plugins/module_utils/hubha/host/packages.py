# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages of this host, whichever packager it has (apt or dnf), and whether that is at work."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import time
from typing import Callable, Dict, Iterable, Optional, Sequence, cast

from ..core.run import HubError, Runner, which
from . import rpm, system

LOCKS = ("/var/lib/dpkg/lock-frontend", *rpm.LOCKS)


def states(run: Runner, names: Sequence[str], repository: str = "") -> Optional[Dict[str, system.Package]]:
    """{package: {"installed": version or "", "candidate": version or ""}}; None where neither apt nor dnf is the
    packager. repository: one of dnf's that is to be taken for enabled, or "".
    """
    if not names:
        return {}
    if which("apt-cache"):
        return system.apt_policy(run(["apt-cache", "policy"] + list(names)).out, names)
    if which("dnf") and which("rpm"):
        return cast(Dict[str, system.Package], rpm.packages(run, names, repository))
    return None


def wait(limit: float, sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic,
         locks: Iterable[str] = LOCKS) -> bool:
    """Wait until no package transaction is under way: what it would leave is not known before its end.

    limit: seconds. dpkg and rpm hold POSIX locks. Raises HubError when it is still busy then. Returns whether dpkg was
    cut off, which can only be told while nobody is at work.
    """
    deadline = clock() + limit
    with contextlib.ExitStack() as held:
        for path in locks:
            while True:
                try:
                    handle = held.enter_context(open(path, "r+b"))
                    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno not in (errno.EACCES, errno.EAGAIN):
                        break  # nobody holds it; the file system says something else, and the packager says it better
                    if clock() >= deadline:
                        raise HubError("packages have been installed on %s for more than %d s: wait for the end, or "
                                       "look for what holds the lock: fuser -v %s" % (platform.node(), limit, path))
                    sleep(0.5)
        return interrupted()


def interrupted() -> bool:
    """True when dpkg was cut off and wants `dpkg --configure -a` first."""
    try:
        return bool(os.listdir("/var/lib/dpkg/updates"))
    except FileNotFoundError:
        return False
