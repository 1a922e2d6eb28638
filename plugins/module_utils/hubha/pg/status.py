# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a server in its replication: what it is, where it is, how far behind, and who replicates from it.

All but gather() and gather_patiently() are pure functions.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Mapping, Optional

from ..core.files import read_text
from ..core.run import CommandError, HubError
from . import look
from .client import Postgres, ends
from .control import RECOVERY_STATES
from .evidence import Side, stopped_side
from .history import History, from_entries, to_entries
from .lsn import lsn_diff, lsn_to_int
from .server import postmaster_pid, server_address

# What a standby must not have lower than its primary, or it pauses its replay and ends when it is promoted:
# CheckRequiredParameterValues() in PostgreSQL's xlogrecovery.c, and "Administrator's Overview" of hot standby.
NOT_LOWER = ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
             "max_locks_per_transaction")

# to_jsonb(row) -> 'column' is null when the running version has no such column, so one text serves
# versions 13 to 18. The functions that only one role may call stand behind CASE on pg_is_in_recovery().
INFO_SQL = r"""
SET statement_timeout = '20s';
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'version_num', current_setting('server_version_num')::int,
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN NOT pg_is_in_recovery()
      THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'current_lsn', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END,
  'receive_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()::text END,
  'replay_lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END,
  'replay_age', CASE WHEN pg_is_in_recovery()
      THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
  'replay_paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END,
  'not_lower', (SELECT json_object_agg(name, setting::int) FROM pg_settings WHERE name IN ('%s')),
  'archive_mode', current_setting('archive_mode'),
  'archiver', (SELECT json_build_object('last_failed_wal', a.last_failed_wal, 'last_failed_time', a.last_failed_time,
      'last_archived_wal', a.last_archived_wal, 'last_archived_time', a.last_archived_time,
      'failing', a.last_failed_time IS NOT NULL
                 AND a.last_failed_time > coalesce(a.last_archived_time, '-infinity'::timestamptz))
      FROM pg_stat_archiver a),
  'pending_restart', (SELECT coalesce(json_agg(name ORDER BY name), '[]'::json)
                      FROM pg_settings WHERE pending_restart),
  'slots', (SELECT coalesce(json_agg(to_jsonb(s) ORDER BY s.slot_name), '[]'::json)
            FROM pg_replication_slots s),
  'senders', (SELECT coalesce(json_agg(to_jsonb(w)
                || jsonb_build_object(
                     'ssl', (SELECT l.ssl FROM pg_stat_ssl l WHERE l.pid = w.pid),
                     'write_lag', extract(epoch FROM w.write_lag),
                     'flush_lag', extract(epoch FROM w.flush_lag),
                     'replay_lag', extract(epoch FROM w.replay_lag))
                ORDER BY w.application_name, w.pid), '[]'::json)
              FROM pg_stat_replication w),
  'receiver', (SELECT to_jsonb(r) || jsonb_build_object(
                 'ssl', substring(r.conninfo FROM 'sslmode=(\S+)')) - 'conninfo'
               FROM pg_stat_wal_receiver r LIMIT 1)
);
""" % "', '".join(NOT_LOWER)


class Silent(HubError):
    """A server runs and does not answer. details: "stopping", whether that is because it ends."""


def gather_patiently(postgres: Postgres, data_dir: str, wait: float, wait_for_stop: bool = True,
                     sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic,
                     **how: Any) -> Dict[str, Any]:
    """gather() of a server that may be in a state which passes: as long as it runs and does not answer, it is asked again.

    Whatever it says: that it starts, that all connections are taken, or nothing, as before it has its socket. wait:
    seconds. wait_for_stop: whether one that ends is asked again too. how: more of gather(). Raises as that does.
    """
    deadline = clock() + wait
    while True:
        try:
            return gather(postgres, data_dir, **how)
        except Silent as error:
            if clock() >= deadline or error.details["stopping"] and not wait_for_stop:
                raise
        sleep(0.3)


def gather(postgres: Postgres, data_dir: str, database: str = "postgres", login_role: str = "root",
           port: Optional[int] = None, socket_dir: Optional[str] = None) -> Dict[str, Any]:
    """The state of the server on *data_dir*, with all keys of absent().

    One query over the local socket as *login_role*, and IDENTIFY_SYSTEM of a standby; pg_control of a stopped server.
    port, socket_dir: when they are not those of postmaster.pid. Raises Silent, other HubErrors, and OSError of a data
    directory that cannot be read.
    """
    data_dir = os.path.realpath(data_dir)
    major = read_text(os.path.join(data_dir, "PG_VERSION"))
    if major is None:
        return absent()
    pid = postmaster_pid(data_dir)
    if pid is None:
        control = postgres.controldata(data_dir)
        timeline = stopped_side(control).timeline
        return stopped(control, int(major) if major.strip().isdigit() else None,
                       os.path.exists(os.path.join(data_dir, "standby.signal")),
                       look.history_of(data_dir, timeline) if timeline else ())
    address = server_address(data_dir, port, socket_dir)
    try:
        answer = json.loads(postgres.sql(INFO_SQL, database=database, user=login_role, **address))
    except CommandError as error:
        text = (error.completed.err or error.completed.out).strip()
        raise Silent("PostgreSQL runs on %s (pid %d), but does not answer %s over the local socket: %s -- If it is "
                     "starting, run again; else check pg_hba.conf and that the role exists."
                     % (data_dir, pid, login_role, text), rc=error.completed.rc, stopping=ends(text, data_dir))
    if answer["in_recovery"]:
        try:
            answer["timeline"] = look.identify(postgres.run, postgres.bin_dir, look.local_conninfo(
                login_role, address["port"], address["socket_dir"], 10), 30)[0]
        except (HubError, ValueError):
            pass  # not known: the role may not replicate, or no walsender is free
    return running(answer, pid, look.history_of(data_dir, answer["timeline"]) if answer["timeline"] else ())


def stopped_role(control: Mapping[str, Any], has_standby_signal: bool) -> str:
    """What a stopped directory would start as: ``standby`` or ``primary``."""
    if has_standby_signal or control["state"] in RECOVERY_STATES:
        return "standby"
    return "primary"


def absent() -> Dict[str, Any]:
    """The result for a host without a database directory: every key there, nothing known."""
    return {
        "role": "absent", "running": False, "pid": None, "state": None, "starts_as": None, "version_num": None,
        "timeline": None, "history": [], "system_identifier": None,
        "current_lsn": None, "current_bytes": None, "receive_lsn": None, "receive_bytes": None,
        "replay_lsn": None, "replay_bytes": None, "lag_bytes": None, "lag_seconds": None,
        "replay_paused": None, "not_lower": {}, "archiver": None, "slots": [], "senders": [],
        "receiver": None, "pending_restart": [],
    }


def side(result: Mapping[str, Any], name: str = "") -> Side:
    """evidence.Side of what gather() returned."""
    base = Side(name=name, system_identifier=result.get("system_identifier"), timeline=result.get("timeline"),
                history=from_entries(result.get("history")))
    if result.get("running") or result.get("role") in ("primary", "standby"):
        positions = [result.get(key + "_bytes") for key in ("current", "receive", "replay")]
        return replace(base, running=True, in_recovery=result["role"] == "standby",
                       position=max([item for item in positions if item is not None], default=None))
    return replace(base, state=result.get("state"), min_recovery=result.get("replay_bytes"),
                   checkpoint=result.get("current_bytes"))


def stopped(control: Mapping[str, Any], version_major: Optional[int] = None, has_standby_signal: bool = False,
            history: History = ()) -> Dict[str, Any]:
    """The result for a stopped server. control: see parse_controldata. history: that of its timeline."""
    result = absent()
    # A stopped standby has replayed to the minimum recovery point at least, a stopped primary to its checkpoint.
    last = control["min_recovery_lsn"] or control["checkpoint_lsn"]
    result.update(role="stopped", state=control["state"], system_identifier=control["system_identifier"],
                  timeline=stopped_side(control).timeline, history=to_entries(history),
                  starts_as=stopped_role(control, has_standby_signal),
                  version_num=version_major * 10000 if version_major else None)
    key = "replay" if control["state"] in RECOVERY_STATES else "current"
    result[key + "_lsn"] = last
    result[key + "_bytes"] = lsn_to_int(last)
    return result


def running(answer: Mapping[str, Any], pid: int, history: History = ()) -> Dict[str, Any]:
    """The result for a running server from the object that INFO_SQL returns, the postmaster's pid and its history.

    The answer's timeline is that of a primary; a standby's has to be put there, see gather().
    """
    result = absent()
    standby = answer["in_recovery"]
    result.update(role="standby" if standby else "primary", running=True, pid=pid,
                  version_num=answer["version_num"], timeline=answer["timeline"], history=to_entries(history),
                  system_identifier=answer["system_identifier"],
                  pending_restart=answer.get("pending_restart") or [],
                  replay_paused=answer.get("replay_paused"), not_lower=answer.get("not_lower") or {},
                  archiver=archiver(answer))
    for key in ("current", "receive", "replay"):
        result[key + "_lsn"] = answer.get(key + "_lsn")
        result[key + "_bytes"] = lsn_to_int(answer.get(key + "_lsn"))
    here = result["current_lsn"] or result["receive_lsn"] or result["replay_lsn"]
    result["senders"] = [sender(row, here) for row in answer.get("senders") or []]
    result["slots"] = [slot(row, here) for row in answer.get("slots") or []]
    if standby:
        received = answer.get("receive_lsn") or answer.get("replay_lsn")
        result["lag_bytes"] = lsn_diff(received, answer.get("replay_lsn"))
        result["receiver"] = receiver(answer.get("receiver"))
        # Who receives nothing does not know what the primary has by now. The age of the last replayed commit grows on
        # an idle primary too: all replayed means no lag.
        if (answer.get("receiver") or {}).get("status") == "streaming":
            result["lag_seconds"] = 0.0 if result["lag_bytes"] == 0 else seconds(answer.get("replay_age"))
    elif result["senders"]:
        streaming = [row for row in result["senders"] if row["state"] == "streaming"]
        if streaming:
            result["lag_bytes"] = largest(row["lag_bytes"] for row in streaming)
            result["lag_seconds"] = largest(row["lag_seconds"] for row in streaming)
    return result


def seconds(value: Any) -> Optional[float]:
    """A number of seconds as a float with milliseconds, never negative; None stays None."""
    return None if value is None else round(max(0.0, float(value)), 3)


def largest(values: Iterable[Any]) -> Any:
    """The largest of some lags; None when one of them is unknown, since that one may be larger."""
    known = list(values)
    return None if None in known else max(known)


def archiver(answer: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """The row of pg_stat_archiver of a server that archives, else None. What failed before a restart counts as well."""
    mode, row = answer.get("archive_mode"), answer.get("archiver")
    if row is None or not (mode == "always" or mode == "on" and not answer["in_recovery"]):
        return None
    return {key: row.get(key) for key in ("failing", "last_failed_wal", "last_failed_time", "last_archived_wal",
                                          "last_archived_time")}


def sender(row: Mapping[str, Any], here: Optional[str]) -> Dict[str, Any]:
    """One row of pg_stat_replication; lag_bytes is from this server's position *here* to what was replayed.

    None while the standby has not told of anything that it has replayed: what was sent is no measure of that.
    """
    lag_bytes = lsn_diff(here, row.get("replay_lsn"))
    return {
        "application_name": row.get("application_name"), "client_addr": row.get("client_addr"),
        "pid": row.get("pid"), "user": row.get("usename"),
        "state": row.get("state"), "sync_state": row.get("sync_state"), "ssl": row.get("ssl"),
        "sent_lsn": row.get("sent_lsn"), "write_lsn": row.get("write_lsn"),
        "flush_lsn": row.get("flush_lsn"), "replay_lsn": row.get("replay_lsn"),
        "lag_bytes": lag_bytes,
        "write_lag_seconds": seconds(row.get("write_lag")), "flush_lag_seconds": seconds(row.get("flush_lag")),
        "replay_lag_seconds": seconds(row.get("replay_lag")),
        "lag_seconds": 0.0 if lag_bytes == 0 else seconds(row.get("replay_lag")),
    }


def slot(row: Mapping[str, Any], here: Optional[str]) -> Dict[str, Any]:
    """One row of pg_replication_slots; retained_bytes is the WAL it holds back."""
    return {
        "name": row.get("slot_name"), "type": row.get("slot_type"), "active": bool(row.get("active")),
        "active_pid": row.get("active_pid"), "wal_status": row.get("wal_status"),
        "restart_lsn": row.get("restart_lsn"), "retained_bytes": lsn_diff(here, row.get("restart_lsn")),
        "safe_wal_size": row.get("safe_wal_size"),
        "invalidation_reason": row.get("invalidation_reason"),
    }


def receiver(row: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    """The row of pg_stat_wal_receiver without its conninfo, or None when nothing is received."""
    if not row:
        return None
    return {
        "status": row.get("status"), "pid": row.get("pid"), "slot_name": row.get("slot_name"),
        "sender_host": row.get("sender_host"), "sender_port": row.get("sender_port"),
        "sslmode": row.get("ssl"), "received_timeline": row.get("received_tli"),
        "latest_end_lsn": row.get("latest_end_lsn"), "last_msg_receipt_time": row.get("last_msg_receipt_time"),
    }
