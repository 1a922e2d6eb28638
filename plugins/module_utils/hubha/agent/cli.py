# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of hub-ha, the program on the hubs."""

from __future__ import annotations

import importlib
import sys
from typing import Dict, List, Optional, Tuple

from ..core import say
from ..core.run import HubError

# Sub-command: module of this package, its function (argv, version) -> exit status, and one line of help. A module is
# loaded only when it is asked for: the resource agent starts this program often.
COMMANDS: Dict[str, Tuple[str, str, str]] = {
    "guard": (".guard_service", "main", "the service that watches the cluster's daemons; started by systemd"),
    "status": (".status", "main", "the pair, what is wrong with it, and what the guard does; --json for programs"),
    "explain": (".explain", "main", "what the code of a problem means and what to do: hub-ha explain CODE"),
    "evidence": (".evidence", "main", "whether this hub's data may follow the active hub's; --json for programs"),
    "may-start": (".leave", "start_main", "whether this hub's database may be a standby now; the resource agent asks"),
    "may-promote": (".leave", "promote_main", "whether this hub may be promoted now; the resource agent asks"),
    "may-restart": (".alone", "main", "whether a crashed primary may be started in place; the resource agent asks"),
    "await-package": (".package", "main", "wait until the hub's package is installed; the resource agent asks"),
    "retry": (".leave", "retry_main", "have a database started again that crashed too often"),
}


def usage() -> str:
    """The text of --help."""
    lines = ["usage: hub-ha COMMAND [ARGUMENT...]", ""]
    lines += ["  %-14s %s" % (name, COMMANDS[name][2]) for name in sorted(COMMANDS)]
    return "\n".join(lines + ["  %-14s %s" % ("version", "of this program")])


def main(argv: Optional[List[str]] = None, version: str = "unknown") -> int:
    """Runs one sub-command; returns the exit status (2: wrong usage, 1: an error that is told on stderr)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if name in ("version", "--version"):
        say.out(version)
        return 0
    if name in ("-h", "--help", "help"):
        say.out(usage())
        return 0
    if name not in COMMANDS:
        say.err(usage())
        return 2
    module = importlib.import_module(COMMANDS[name][0], __package__)
    try:
        return int(getattr(module, COMMANDS[name][1])(arguments[1:], version))
    except (HubError, OSError) as error:
        say.err("hub-ha %s: %s" % (name, getattr(error, "message", error)))
        return 1
