# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starting a server with the values that it was running with, whatever stands in its files. Pure functions on text."""

from __future__ import annotations

import shlex
from typing import Any, Dict, List, Mapping, Optional, Sequence


def running_values(pending: Optional[Sequence[Mapping[str, Any]]]) -> Dict[str, str]:
    """{name: value} of what a server had that its files would not give it again. pending: hub_info's of it, or None."""
    return {str(item["name"]): str(item["old"]) for item in pending or []}


def words(values: Mapping[str, str]) -> List[str]:
    """The values as words for pg_ctl, which hands them to a shell; none for no values."""
    options = " ".join("-c " + shlex.quote("%s=%s" % item) for item in sorted(values.items()))
    return ["-o", options] if options else []


def unit_word(word: str) -> str:
    """A word as it is written in a unit's command line (systemd.service(5), COMMAND LINES)."""
    for char, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(char, escaped)
    return '"%s"' % word


def dropin(values: Mapping[str, str], pg_ctl: str, data_dir: str, log: str) -> str:
    """Text of a drop-in with which the database's unit starts the server with these values. It must have a User."""
    command = [pg_ctl, "-w", "-D", data_dir, "-l", log] + words(values) + ["start"]
    return "\n".join([
        "# Made by the way back of role cfengine.hub_ha.rollback: with what stands in its files PostgreSQL may not start, so it",
        "# starts with the values that it was running with. Correct the files, then remove this and: systemctl daemon-reload",
        "[Service]", "Type=forking", "PIDFile=%s/postmaster.pid" % data_dir.replace("%", "%%"), "ExecStart=",
        "ExecStart=" + " ".join(unit_word(word) for word in command), ""])
