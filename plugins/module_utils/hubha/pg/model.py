# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of what module hub_info finds out about PostgreSQL, as plain data; why it is plain: facts/model.py."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict

from .control import Control


class Setting(TypedDict, total=False):
    """A row of pg_settings; {} stands for a setting that the server does not know."""

    setting: Optional[str]
    context: str
    pending_restart: bool
    source: str
    sourcefile: Optional[str]


class Pending(TypedDict):
    """A setting whose value in the files does not hold yet. new, file, line: None where no file has it any more."""

    name: str
    old: str
    new: Optional[str]
    file: Optional[str]
    line: Optional[int]


class HbaError(TypedDict):
    """A line of pg_hba.conf that the server cannot read."""

    line: int
    error: str


class Server(TypedDict):
    """What a server that runs says by SQL. None stands for an empty list; roles: see role.FACTS."""

    version_num: int
    in_recovery: bool
    system_identifier: str
    size_bytes: int
    settings: Optional[Dict[str, Setting]]
    roles: Optional[List[Dict[str, Any]]]
    slots: Optional[List[str]]
    slots_lost: Optional[List[str]]
    streaming: Optional[List[str]]
    pending: Optional[List[Pending]]
    shared_memory: Optional[str]
    conf_load_time: float
    tablespaces: Optional[List[str]]
    hba_errors: Optional[List[HbaError]]
    reload_pending: bool


class Postgres(TypedDict):
    """A hub's PostgreSQL, whether it runs or not. server: None when none answers. side: see evidence.Side."""

    data_dir: str
    data_version: str
    data_dir_state: str
    bin_dir: Optional[str]
    bins: Dict[str, str]
    pid: Optional[int]
    port: int
    unit: Optional[str]
    socket_dir: Optional[str]
    lock: bool
    backup_label: bool
    standby_signal: bool
    started: bool
    conf_includes: List[str]
    hba_blocks: Dict[str, List[str]]
    server: Optional[Server]
    control: Control
    error: Optional[str]
    agent_sql: Optional[Dict[str, str]]
    certificate: Optional[str]
    trusted: Optional[str]
    outside: Optional[str]
    history: List[Dict[str, Any]]
    side: Optional[Dict[str, Any]]
    state: str
