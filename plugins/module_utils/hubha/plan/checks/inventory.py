# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator may have typed: of whom a run could learn nothing, and why."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ...core.problem import Problem

# As Ansible and sudo say it, of whatever becomes root.
NO_ROOT = re.compile(r"(missing|incorrect) \w+ password|password is required|not in the sudoers|not allowed to execute|"
                     r"^(task failed: )?root is needed on", re.IGNORECASE)
# As Ansible says it of a host without Python, or with one that is too old for it.
NO_PYTHON = re.compile(r"module interpreter .* was not found|/python[\d.]*: (not found|No such file or directory)|"
                       r"requires a minimum of Python", re.IGNORECASE)


def unread(host: str, result: Mapping[str, Any], away: str = "") -> Problem:
    """Why a hub has said nothing: not reached, not let in as root, or failed there.

    result: of a module there, as registered. away: what to do about one that cannot be reached, instead of looking for
    the cause.
    """
    why = " ".join(str(result.get("msg") or "no answer").split())
    if NO_ROOT.search(why):
        return Problem("NOT_ROOT", host, "it answers, and its user may not become root: %s" % why,
                       "give sudo's password with --ask-become-pass (-K), or let that user become root without one; "
                       "check with: ansible -i INVENTORY -b -m ping %s" % host)
    if result.get("unreachable") or not result.get("failed"):
        return Problem("HUB_UNREACHABLE", host, "cannot be reached: %s" % why,
                       away or "check address, network and SSH key with: ansible -i INVENTORY -m ping %s" % host)
    if NO_PYTHON.search(" ".join(str(result.get(key) or "") for key in ("msg", "module_stdout", "module_stderr"))):
        return Problem("HUB_UNREADABLE", host, "it answers, and has no Python that Ansible can use: %s" % why,
                       "install python3 (3.9 or newer) there, or say where it is with ansible_python_interpreter; check "
                       "with: ansible -i INVENTORY -m ping %s" % host)
    return Problem("HUB_UNREADABLE", host, "it answers, and could not be read: %s" % why,
                   "mend that there; to ask it alone: ansible -i INVENTORY -b -m cfengine.hub_ha.hub_info %s" % host)
