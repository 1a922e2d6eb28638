# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where this hub's PostgreSQL is laid out otherwise than the packages do it: part of probe.collect().

Nothing here is a secret: of settings that may hold one only the name, the file and the line are told.
"""

from __future__ import annotations

import glob
import json
import os
import re
import stat
from dataclasses import asdict
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict

from ..cfengine.layout import Layout
from ..core.become import without_libpq_environment
from ..core.files import read_text
from ..core.run import HubError, which
from ..host import owners
from ..pg import memory
from ..pg.model import Postgres

# They make a standby of a server, end its recovery early, or take WAL from somewhere: a restore leaves them behind.
RECOVERY = ("primary_conninfo", "primary_slot_name", "restore_command", "recovery_end_command",
            "archive_cleanup_command", "recovery_min_apply_delay", "recovery_target", "recovery_target_action", "recovery_target_inclusive",
            "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_timeline",
            "recovery_target_xid", "promote_trigger_file")
SETTINGS = ("hba_file", "ident_file", "config_file", "data_directory", "shared_preload_libraries", "lc_messages",
            "archive_mode", "max_wal_senders", "max_replication_slots", "ssl_dh_params_file", "ssl_crl_file", "ssl_crl_dir",
            "session_preload_libraries", "local_preload_libraries", "archive_library", "logging_collector", "log_directory",
            "huge_pages", "huge_page_size", "dynamic_library_path")
OWN_FILES = {"config_file": "postgresql.conf", "hba_file": "pg_hba.conf"}  # into these this collection writes
FURTHER_FILES = ("ident_file", "ssl_dh_params_file", "ssl_crl_file", "ssl_crl_dir")
# Without a library of the first the server does not start; without one of the others it takes no session.
PRELOADS = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
# What a shell has by itself, or every system; anything else in archive_command is a program that the other hub needs.
EVERYWHERE = ("test", "[", "[[", "!", "{", "(", ":", "true", "false", "cd", "cp", "mv", "echo", "exit", "exec", "env", "nice", "sh", "bash",
              "if", "then", "else", "elif", "fi", "for", "do", "done", "while", "case", "esac", "mkdir", "touch", "sync", "cat", "timeout")
SHARED_PLACES = ("/var/log", "/tmp", "/var/tmp")  # on every system, and not only PostgreSQL's
ARCHIVES = ("on", "always")
INCLUDE = "hub_ha.conf"
MOUNTS = "/proc/self/mountinfo"
# apt's own module refuses check mode without it; Debian's Python finds it there, whatever Python runs this.
PYTHON_APT = "/usr/lib/python3/dist-packages/apt/__init__.py"

SQL = """
SELECT json_build_object(
 'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN (%s)),
 'set', (SELECT json_agg(json_build_object('name', name, 'file', sourcefile, 'line', sourceline) ORDER BY seqno)
         FROM pg_file_settings WHERE name IS NOT NULL AND sourcefile IS NOT NULL),
 'archive', (SELECT setting FROM pg_settings WHERE name = 'archive_command'),
 'own_preload', (SELECT json_agg(DISTINCT item) FROM pg_db_role_setting, unnest(setconfig) item
                 WHERE item ~ '^(session|local)_preload_libraries='),
 'slots_used', (SELECT count(*) FROM pg_replication_slots),
 'senders_used', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
 'pkglibdir', (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'));
""" % ", ".join("'%s'" % name for name in SETTINGS)


class Space(TypedDict):
    """Room in the file system that holds *path*."""

    path: str
    free_bytes: int
    total_bytes: int


class Place(TypedDict):
    """Where in PostgreSQL's files a setting stands."""

    name: str
    file: str
    line: int


class Library(TypedDict):
    """A library that a setting of PRELOADS names. package: what brings it, or "". own: see is_own()."""

    setting: str
    name: str
    path: str
    package: str
    own: bool


class OwnLog(TypedDict):
    """A directory for the server's log outside of its data. owner: "OWNER:GROUP MODE"."""

    path: str
    owner: str


class Layouts(TypedDict):
    """What look() says."""

    mounts: List[str]
    lost_found: Optional[str]
    wal_space: Space
    auto_conf: List[str]
    libraries: Optional[List[str]]
    python_apt: bool
    settings: Dict[str, str]
    misplaced: Dict[str, str]
    outside: List[str]
    recovery: List[Place]
    overriding: Dict[str, str]
    preload: List[Library]
    archive_paths: List[str]
    archive_programs: List[str]
    log_directory: Optional[OwnLog]
    memory: Dict[str, Any]
    slots_used: Optional[int]
    senders_used: Optional[int]


def mounts_in(mountinfo: str, path: str) -> List[str]:
    """Mount points out of /proc/self/mountinfo that are *path* or lie below it, sorted."""
    found = set()
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
            if place == path or place.startswith(path.rstrip("/") + "/"):
                found.add(place)
    return sorted(found)


def auto_conf(text: str) -> List[str]:
    """Names of RECOVERY that a postgresql.auto.conf sets to something, in its order."""
    found = re.findall(r"(?mi)^\s*([a-z_]+)\s*=\s*'(.*)'\s*$", text)
    return list(dict.fromkeys(name.lower() for name, value in found if name.lower() in RECOVERY and value))


def below_include(text: str) -> Optional[Dict[str, Any]]:
    """What stands below the line of a postgresql.conf that includes our file: {"line": its number, "includes": [paths
    as they are written]}. None when there is no such line. The resource agent's own include is none of the operator's.
    """
    found: Optional[Dict[str, Any]] = None
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*include(?:_if_exists|_dir)?\s*=?\s*'([^']*)'", line)
        if match and match.group(1) == INCLUDE:
            found = {"line": number, "includes": []}
        elif match and found and "added by pgsql RA" not in line:
            found["includes"].append(match.group(1))
    return found


def overriding(text: str, items: Sequence[Mapping[str, Any]], config_file: str) -> Dict[str, str]:
    """{name: "FILE line N"} of settings that stand below our include and so count more than it.

    text: of postgresql.conf. items: "set" of SQL. config_file: its path.
    """
    below = below_include(text)
    if below is None:
        return {}
    folder = os.path.dirname(config_file)
    places = [os.path.join(folder, path) for path in below["includes"]]
    folders = [path.rstrip("/") for path in places]
    return {item["name"]: "%s line %s" % (item["file"], item["line"]) for item in items
            if item["file"] == config_file and item["line"] > below["line"]
            or item["file"] in places or os.path.dirname(item["file"]) in folders}


def library_names(setting: str) -> List[str]:
    """Names out of shared_preload_libraries, without quotes."""
    return [name for name in (part.strip().strip('"') for part in (setting or "").split(",")) if name]


def library_path(name: str, folder: str, setting: str = "shared_preload_libraries", search: str = "") -> str:
    """The file that PostgreSQL loads for a name in a setting; folder: its PKGLIBDIR. search: dynamic_library_path."""
    if setting == "local_preload_libraries" and "/" not in name:  # which everybody may set
        name = "$libdir/plugins/" + name
    places = [""] if "/" in name else [place.strip() for place in (search or "$libdir").split(":")]
    file = name if name.endswith(".so") else name + ".so"
    paths = [os.path.join(place, file).replace("$libdir", folder) for place in places]
    return next((path for path in paths if os.path.exists(path)), paths[0])


def is_own(path: str, folder: str) -> bool:
    """Whether a library lies where PostgreSQL's own do, so that libraries() of the other hub tells whether it has it.
    folder: PKGLIBDIR."""
    return os.path.dirname(os.path.normpath(path)) in (os.path.normpath(folder), os.path.normpath(folder + "/plugins"))


def library_key(path: str) -> str:
    """What a library is called in libraries()."""
    folder, name = os.path.split(path)
    return ("plugins/" if os.path.basename(folder) == "plugins" else "") + name[:-len(".so")]


def preloads(told: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """[(setting, name)] of the libraries that a server loads when it starts, or a session of some role or database."""
    settings = told.get("settings") or {}
    found = [(setting, settings.get(setting) or "") for setting in PRELOADS]
    found += [(item.split("=", 1)[0], item.split("=", 1)[1]) for item in told.get("own_preload") or []]
    return list(dict.fromkeys((setting, name) for setting, text in found for name in library_names(text)))


def package_of(run: Callable[..., Any], path: str) -> str:
    """Name of the package that brings the file, or ""."""
    if which("dpkg-query"):
        done = run(["dpkg-query", "--search", os.path.realpath(path)], check=False)
        return str(done.out.split(":")[0]) if done.rc == 0 else ""
    if which("rpm"):
        done = run(["rpm", "-qf", "--queryformat", "%{NAME}", os.path.realpath(path)], check=False)
        return str(done.out.strip()) if done.rc == 0 else ""
    return ""


def libraries(bin_dir: Optional[str]) -> Optional[List[str]]:
    """Names of the libraries that a PostgreSQL with its programs there can load; None when there are no programs."""
    if not bin_dir:
        return None
    home = os.path.dirname(os.path.realpath(bin_dir))
    found = [path for folder in ("lib", "lib64", "lib/postgresql", "lib64/postgresql", "lib/pgsql", "lib64/pgsql")
             for place in ("", "plugins/") for path in glob.glob("%s/%s/%s*.so" % (home, folder, place))]
    return sorted(set(library_key(path) for path in found))


def absolute_paths(command: str) -> List[str]:
    """Absolute paths in a shell command such as archive_command, in its order; nothing else of it."""
    return list(dict.fromkeys(path.rstrip("/") for path in re.findall(r"(?<![\w./%:@=-])/[\w./-]*\w", command or "")))


def programs(command: str) -> List[str]:
    """Names of programs in a shell command that not every system has, in its order; nothing else of it."""
    found = []
    for part in re.split(r"[;&|\n]+", command or ""):
        words = [word for word in part.split() if word not in EVERYWHERE and not re.match(r"\w+=", word)]
        if words and part.split()[0] not in ("test", "[", "[[", "cp", "mv", "echo", "for", "case") and re.fullmatch(r"[A-Za-z][\w.+-]*", words[0]):
            found.append(words[0])
    return list(dict.fromkeys(found))


def own_log(settings: Mapping[str, str], data_dir: str) -> Optional[OwnLog]:
    """{"path", "owner": "OWNER:GROUP MODE"} of the directory into which a server with a collector of its own writes its
    log, where that is outside of its data: without it no copy starts. None else."""
    path = settings.get("log_directory") or ""
    if settings.get("logging_collector") != "on" or not os.path.isabs(path) or os.path.normpath(path) in SHARED_PLACES \
            or not outside([path], [data_dir]):
        return None
    try:
        return {"path": os.path.normpath(path), "owner": owners.of(os.stat(path))}
    except OSError:
        return None


def own_memory() -> Dict[str, Any]:
    """This machine's memory, as memory.Machine has it."""
    meminfo, overcommit, huge = (read_text(path) or "" for path in (
        "/proc/meminfo", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/nr_overcommit_hugepages"))
    return asdict(memory.machine(meminfo, overcommit, huge, memory.pools()))


def space(path: str) -> Space:
    """{"path", "free_bytes", "total_bytes"} of the file system that holds *path*, or its nearest parent that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return {"path": path, "free_bytes": found.f_bavail * found.f_frsize, "total_bytes": found.f_blocks * found.f_frsize}


def lost_and_found(data_dir: str, uid: Optional[int]) -> Optional[str]:
    """The lost+found in the data directory that the database's user (uid) cannot read, or None: a copy fails at it.

    That of pg_wal is none of it, since pg_basebackup does not look into that directory.
    """
    path = data_dir + "/lost+found"
    try:
        found = os.stat(path)
    except OSError:
        return None
    readable = found.st_mode & (stat.S_IRUSR if found.st_uid == uid else stat.S_IROTH)
    return None if readable else path


def ask(run: Callable[..., Any], postgres: Postgres) -> Dict[str, Any]:
    """What SQL says, or {} when there is no server that answers."""
    if not postgres["server"] or not postgres["bin_dir"]:
        return {}
    argv = [postgres["bin_dir"] + "/psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-U", "root", "-p", str(postgres["port"]),
            "-d", "dbname=postgres connect_timeout=5"]
    if postgres["socket_dir"]:
        argv += ["-h", postgres["socket_dir"]]
    try:
        done = run(without_libpq_environment(argv), stdin=SQL, check=False)
        found = json.loads(done.out) if done.rc == 0 else {}
    except (HubError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def outside(paths: Sequence[str], folders: Sequence[str]) -> List[str]:
    """Those paths that lie in none of the folders, links followed: a copy of a data directory has no links in it."""
    real = [os.path.realpath(folder) + "/" for folder in folders]
    return list(dict.fromkeys(path for path in paths if not os.path.realpath(path).startswith(tuple(real))))


def look(run: Callable[..., Any], layout: Layout, postgres: Postgres, uid: Optional[int] = None,
         mountinfo: str = MOUNTS, python_apt: str = PYTHON_APT) -> Layouts:
    """Facts about the layout. postgres: probe.postgres() of this hub. uid: of the database's user, None without one.

    In what is returned "mounts" are mount points at or below the data directory, "auto_conf" names of settings,
    "misplaced" is {"config_file" or "hba_file": path that is not the one in the data directory}, "outside" further
    configuration files that are not in it, "overriding" {name: place}, "log_directory" see own_log(), "memory" see
    own_memory().
    """
    data_dir = os.path.realpath(postgres["data_dir"])
    wal = os.path.realpath(data_dir + "/pg_wal")
    told = ask(run, postgres)
    settings, items = told.get("settings") or {}, told.get("set") or []
    config_file = settings.get("config_file") or data_dir + "/postgresql.conf"
    misplaced = {name: settings[name] for name, file in OWN_FILES.items()
                 if settings.get(name) and os.path.realpath(settings[name]) != "%s/%s" % (data_dir, file)}
    further = [item["file"] for item in items] + [settings[name] for name in FURTHER_FILES
                                                  if os.path.isabs(settings.get(name) or "")]
    preload: List[Library] = []
    for setting, name in preloads(told):
        folder = told.get("pkglibdir") or ""
        path = library_path(name, folder, setting, settings.get("dynamic_library_path") or "")
        preload.append({"setting": setting, "name": name, "path": path, "package": package_of(run, path),
                        "own": is_own(path, folder)})
    archive = told.get("archive") or "" if settings.get("archive_mode") in ARCHIVES else ""
    return {
        "mounts": mounts_in(read_text(mountinfo) or "", data_dir), "lost_found": lost_and_found(data_dir, uid),
        "wal_space": space(wal), "auto_conf": auto_conf(read_text(data_dir + "/postgresql.auto.conf") or ""),
        "libraries": libraries(postgres["bin_dir"]), "python_apt": os.path.exists(python_apt),
        "settings": settings, "recovery": [item for item in items if item["name"] in RECOVERY],
        "misplaced": misplaced,
        "outside": outside([path for path in further if path not in misplaced.values()],
                           [data_dir, layout["tmp_dir"], layout["ha_dir"]]),
        "overriding": overriding(read_text(config_file) or "", items, config_file), "preload": preload,
        "archive_paths": absolute_paths(archive), "archive_programs": programs(archive),
        "log_directory": own_log(settings, data_dir), "memory": own_memory(),
        "slots_used": told.get("slots_used"), "senders_used": told.get("senders_used"),
    }
