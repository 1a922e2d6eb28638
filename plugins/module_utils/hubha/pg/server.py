# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server on a data directory: its pid file and its processes. Reads files and /proc."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from ..core.files import read_text


def parse_pid_file(text: Optional[str]) -> Dict[str, Any]:
    """{"pid", "port" (int), "socket_dir" (str or None)} out of postmaster.pid.

    Form: PostgreSQL, src/include/utils/pidfile.h. {} when there is none, when it is being written, and of a server in
    single user mode, whose number is negative.
    """
    lines = (text or "").splitlines()
    if len(lines) < 4 or not lines[0].strip().isdigit() or not lines[3].strip().isdigit():
        return {}
    return {"pid": int(lines[0]), "port": int(lines[3]),
            "socket_dir": lines[4].strip() if len(lines) > 4 and lines[4].strip() else None}


def pid_file(data_dir: str) -> Dict[str, Any]:
    """parse_pid_file() of *data_dir*, whether its server still runs or not."""
    return parse_pid_file(read_text(os.path.join(data_dir, "postmaster.pid")))


def is_stopping(data_dir: str) -> bool:
    """Whether the server says in its pid file that it ends, as it does in any language (PM_STATUS_STOPPING)."""
    lines = (read_text(os.path.join(data_dir, "postmaster.pid")) or "").splitlines()
    return len(lines) > 7 and lines[7].strip() == "stopping"


def postmaster_pid(data_dir: str) -> Optional[int]:
    """Pid of the server that runs on *data_dir* (also one in single user mode), or None.

    A pid file alone proves nothing (a crash leaves it, and the number may be somebody else's now): the
    postmaster's working directory is its data directory.
    """
    lines = (read_text(os.path.join(data_dir, "postmaster.pid")) or "").splitlines()
    try:
        pid = abs(int(lines[0])) if lines else 0
    except ValueError:
        return None
    if pid <= 0:
        return None
    try:
        same = os.path.samefile("/proc/%d/cwd" % pid, data_dir)
    except OSError:
        return None
    return pid if same else None


def server_address(data_dir: str, port: Optional[int] = None, socket_dir: Optional[str] = None) -> Dict[str, Any]:
    """{"port", "socket_dir"} of the running server: what is given, else what its pid file says."""
    found = pid_file(data_dir)
    return {"port": port or found.get("port"), "socket_dir": socket_dir or found.get("socket_dir")}


def processes_on(data_dir: str) -> List[int]:
    """Pids of PostgreSQL processes whose working directory is *data_dir*, whatever the pid file says."""
    found = []
    for pid in numeric_entries("/proc"):
        try:
            if (os.path.samefile("/proc/%d/cwd" % pid, data_dir)
                    and os.path.basename(os.readlink("/proc/%d/exe" % pid).split(" (deleted)")[0])
                    in ("postgres", "postmaster")):
                found.append(pid)
        except OSError:
            continue
    return found


def is_zombie(pid: int) -> bool:
    """Whether *pid* is dead and only not collected yet."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as handle:
            return handle.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except OSError:
        return True


def numeric_entries(directory: str) -> List[int]:
    """The entries of *directory* that are numbers, as ints."""
    return [int(name) for name in os.listdir(directory) if name.isdigit()]
