# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the guard writes what others read, and how they read it."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict

FOLDER = "/run/cfengine-hub-ha"
STATE = FOLDER + "/guard.json"
STOPPED = FOLDER + "/stopped"  # the guard has stopped PostgreSQL at once, and it has not been started since
FRESH = 5.0  # seconds; the guard writes every 2


def read(path: str = STATE, clock: Callable[[], float] = time.time) -> Dict[str, Any]:
    """{"running": bool, "age": seconds or None, and what the guard has written}. What is old is not believed."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        age = max(0.0, clock() - float(found.get("time", 0)))
    except (OSError, ValueError, TypeError, AttributeError):
        return {"running": False, "age": None}
    alive = os.path.exists("/proc/%s" % found.get("pid"))
    return dict(found, age=round(age, 1), running=alive and age <= FRESH)
