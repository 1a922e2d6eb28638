# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What both hubs are to have alike beside the policy."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding, Problem
from ...core.text import as_list
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """What belongs to one hub is not shared, nor anything above or below it."""
    layout = context.layout
    own = [
        layout["ppkeys"], layout["masterfiles"], layout["inputs"], layout["policy_server"], layout["ha_cfg"],
        layout["work_dir"] + "/state", layout["work_dir"] + "/licenses", "/etc/corosync", "/etc/pacemaker"]
    for path in as_list(context.settings.get("shared_paths")):
        plain = str(path).rstrip("/")
        clash = [item for item in own if plain == item or plain.startswith(item + "/") or item.startswith(plain + "/")]
        if not plain.startswith("/") or "/../" in plain + "/" or clash:
            why = "touches %s, a hub's own" % clash[0] if clash else "is no absolute path"
            yield Problem("SHARED_PATH_INVALID", "all", "hub_ha_shared_paths names %s, which %s" % (path, why),
                          "name files and directories that both hubs must have alike, and nothing of "
                          "CFEngine's own state")
