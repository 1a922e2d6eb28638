# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every kind of step on the hub where it runs: those of perform.py, and the two that need more of the library.

A controller does these two with its own modules: cib for HOLD, replication_info for LOOK. So what it sends in the middle
of a switchover stays small.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ..cluster.tools import converge
from ..pg.client import Postgres
from ..pg.status import gather_patiently
from .model import Kind, State
from .perform import PERFORMERS, Done, Hub, Performer


def hold(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: "properties" of the cluster, "timeout": seconds until it has to rest."""
    made = converge(hub.run, {"properties": values["properties"]}, check_mode=hub.dry_run, wait=values["timeout"])
    return Done(bool(made["changed"]))


def look(hub: Hub, values: Mapping[str, Any], unused_state: Optional[State]) -> Done:
    """values: those of the server, "wait", "wait_for_stop". Finds "answer", as module replication_info returns it."""
    return Done(False, {"answer": gather_patiently(Postgres(hub.run, values["bin_dir"]), values["data_dir"],
                                                   values["wait"], values["wait_for_stop"])})


ALL: Mapping[Kind, Performer] = {**PERFORMERS, Kind.HOLD: hold, Kind.LOOK: look}
