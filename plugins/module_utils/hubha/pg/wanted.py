# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings a primary of a pair needs, and what of them its server has not yet. Pure functions on plain data."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional

from .model import Postgres, Server, Setting

INCLUDE_FILE = "hub_ha.conf"
ON = ("on", "true", "yes", "1")


def wanted_settings(server: Optional[Server], database: Mapping[str, int], ha_dir: str) -> Dict[str, Any]:
    """What the include file must hold and what of it needs a restart.

    server: hub_info's postgres.server of the active hub. database: {"wal_keep_size", "max_slot_wal_keep_size"
    (MB, int)}. Returns {"include": {name: value}, "restart": [names], "blocked": [(name, file)]}.
    Only what is not right already is set; what stands in our file stays there.
    """
    settings: Mapping[str, Setting] = (server["settings"] if server else None) or {}
    include: Dict[str, str] = {}
    restart, blocked = [], []

    def current(name: str) -> str:
        return settings.get(name, {}).get("setting") or ""

    def need(name: str, value: str, good: bool) -> None:
        item: Setting = settings.get(name, {})
        ours = (item.get("sourcefile") or "").endswith("/" + INCLUDE_FILE)
        if ours or not good:
            include[name] = value
        if item.get("context") == "postmaster" and (not good or item.get("pending_restart")):
            restart.append(name)
        if not good and not ours and ((item.get("sourcefile") or "").endswith("/postgresql.auto.conf")
                                      or item.get("source") == "command line"):
            blocked.append((name, item.get("sourcefile") or "the server's command line"))

    def number(name: str) -> int:
        text = current(name)
        return int(text) if text.lstrip("-").isdigit() else 0

    listen = [part.strip() for part in current("listen_addresses").split(",")]
    need("listen_addresses", "*", "*" in listen or "0.0.0.0" in listen)
    need("wal_level", "replica", current("wal_level") in ("replica", "logical"))
    need("max_wal_senders", "10", number("max_wal_senders") >= 5)
    need("max_replication_slots", "10", number("max_replication_slots") >= 3)
    need("hot_standby", "on", current("hot_standby") in ON)
    need("wal_log_hints", "on", current("wal_log_hints") in ON or current("data_checksums") in ON)
    need("wal_keep_size", "%dMB" % database["wal_keep_size"], number("wal_keep_size") >= database["wal_keep_size"])
    limit = database["max_slot_wal_keep_size"]
    need("max_slot_wal_keep_size", "%dMB" % limit, number("max_slot_wal_keep_size") == limit)
    need("restart_after_crash", "on", current("restart_after_crash") in ON)
    need("ssl", "on", current("ssl") in ON)
    for name, file in (("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "root.crt")):
        need(name, "%s/%s" % (ha_dir, file), current(name) == "%s/%s" % (ha_dir, file))
    return {"include": include, "restart": restart, "blocked": blocked}


def pending_settings(server: Optional[Server]) -> List[Dict[str, str]]:
    """Settings that stand in PostgreSQL's files and do not hold: [{"name", "old", "new", "where"}], as text for people.

    server: hub_info's postgres.server. What no file has any more goes back to its default at the next start.
    """
    return [{"name": item["name"], "old": item["old"], "new": "its default" if item["new"] is None else item["new"],
             "where": "no file" if item["file"] is None else "%s line %s" % (item["file"], item["line"])}
            for item in (server["pending"] if server else None) or []]


def wanted_trial(postgres: Postgres, wanted: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """Arguments for module settings_trial, or None when the server that runs has what it will be started with.

    postgres: hub_info's of the active hub. wanted: see wanted_settings.
    """
    server = postgres["server"]
    if postgres["state"] != "primary" or not server or not (wanted["restart"] or server["pending"]):
        return None
    number = re.match(r"\d+", server["shared_memory"] or "")
    settings = server["settings"] or {}
    file = settings.get("config_file", {}).get("setting") or postgres["data_dir"] + "/postgresql.conf"
    return {"data_dir": postgres["data_dir"], "bin_dir": postgres["bin_dir"], "config_file": file,
            "settings": wanted["include"], "held_mb": int(number.group()) if number else 0}
