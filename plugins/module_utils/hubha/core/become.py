# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a program as another OS user, and with an environment in which libpq finds nothing but what it is given."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from typing import Dict, List, Optional, Sequence

from .run import HubError, which

# Where runuser is missing: become the user for good, then exec. argv: USER GID PROGRAM ARGUMENTS...
BECOME = ("import os,pwd,sys; u=pwd.getpwnam(sys.argv[1]); g=int(sys.argv[2]); os.initgroups(u.pw_name,g); "
          "os.setgid(g); os.setuid(u.pw_uid); os.environ['HOME']=u.pw_dir; os.execv(sys.argv[3],sys.argv[3:])")


def become_prefix(user: str, group: Optional[str] = None) -> List[str]:
    """The words to put before a command so that it runs as OS user *user* (and *group*); raises HubError.

    Nothing when this process already is that user; runuser when it is there, else python itself.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise HubError("There is no user %s on this host: install the hub's PostgreSQL package first "
                       "(it makes that user), or set the right owner." % user)
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise HubError("There is no group %s on this host: make it, or set the right group." % group)
    if os.geteuid() == entry.pw_uid:
        return []
    if os.geteuid() != 0:
        raise HubError("This must run as root, to work as %s: use 'become: true'." % user)
    runuser = which("runuser")
    if runuser:
        return [runuser, "-u", user] + (["-g", group] if group else []) + ["--"]
    return [sys.executable, "-c", BECOME, user, str(gid)]


def clean_environment(user: Optional[str] = None) -> Dict[str, str]:
    """An environment for libpq programs in which nothing from outside changes where they connect."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment.update(LC_ALL="C.UTF-8", LANGUAGE="C")
    if user:
        environment["HOME"] = pwd.getpwnam(user).pw_dir
    return environment


def without_libpq_environment(argv: Sequence[str]) -> List[str]:
    """*argv* so that no PG* variable of this process reaches it (an empty one would not do: PGSSLMODE= is an error)."""
    names = sorted(key for key in os.environ if key.startswith("PG"))
    if not names:
        return list(argv)
    prefix = [which("env") or "/usr/bin/env"]
    for name in names:
        prefix += ["-u", name]
    return prefix + list(argv)
