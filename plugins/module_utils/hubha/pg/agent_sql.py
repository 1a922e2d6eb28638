# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks PostgreSQL exactly as the resource agent does, before pacemaker believes what it hears.

The agent takes the words of the answer for the state of the database: "f" is a primary, "t" a standby, and anything else
is a failure, after which a primary that is well is stopped.
"""

from __future__ import annotations

import os
import shlex
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..core.run import HubError, Runner

SQL = "select pg_is_in_recovery()"  # heartbeat/pgsql, CHECK_MS_SQL
# As roles/resources/files/psql, which the agent is given.
CLEAN = "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C"
RUNUSER = "/sbin/runuser"
LIMIT = 10  # seconds; the agent has those of its monitor, and one that takes so long is no healthy one


def question(owner: str, data_dir: str, bin_dir: str, port: int, socket_dir: Optional[str],
             exists: Callable[[str], bool] = os.path.exists) -> List[str]:
    """The command of heartbeat/pgsql, function exec_sql, as argv: user, shell, directory, program, socket.

    owner: the database's user, and superuser of that name. socket_dir: as the agent is told, None for psql's own.
    exists: path -> bool.
    """
    words = ["-p", str(port), "-U", owner, "postgres"] + (["-h", socket_dir] if socket_dir else []) + ["-U", owner]
    line = "cd %s; %s %s -X %s -Atc \"%s\"" % (
        shlex.quote(data_dir), CLEAN, shlex.quote(bin_dir + "/psql"), " ".join(shlex.quote(word) for word in words), SQL)
    return ["runuser" if exists(RUNUSER) else "su", owner, "-c", line]


def agent_socket(setting: Mapping[str, Any]) -> Optional[str]:
    """The directory of the socket that the agent is told: it wants to know when unix_socket_directories is set.

    setting: {"setting", "source"} of pg_settings, or {}.
    """
    if setting.get("source") in (None, "default") or not setting.get("setting"):
        return None
    return str(setting["setting"]).split(",", maxsplit=1)[0].strip()


def ask(run: Runner, argv: List[str]) -> Dict[str, str]:
    """{"answer": the words that the agent would get, "command": for a person to repeat}. run: a runner.

    What psql says on its standard error is put into the answer where there is no other.
    """
    command = " ".join(shlex.quote(word) for word in argv)
    try:
        done = run(argv, check=False, timeout=LIMIT)
    except HubError as error:
        return {"answer": error.message, "command": command}
    words = done.out.split() if done.rc == 0 else done.err.split()
    return {"answer": " ".join(words) or ("exit status %s" % done.rc if done.rc else ""), "command": command}


def problem(asked: Dict[str, str]) -> Optional[str]:
    """What is wrong with the answer, in words; None when the agent will understand it."""
    if asked["answer"] in ("f", "t"):
        return None
    return "asked as pacemaker's agent asks, PostgreSQL does not answer \"f\" or \"t\": %s" % (
        asked["answer"] or "nothing at all")
