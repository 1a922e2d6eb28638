# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads everything about one hub that later steps decide on. I/O only, through a runner and /proc."""

from __future__ import annotations

import glob
import grp
import json
import os
import platform
import pwd
import socket
import stat
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, cast

from ..cfengine import (
    augments,
    deployed,
    key_files as keys_loader,
    keys as keys_model,
    layout as layouts,
    platforms,
    portal,
    words,
)
from ..cfengine.layout import Layout
from ..cfengine.model import Augments, CFEngine, HubIdentity, HubList, Identity
from ..cluster.model import Cluster
from ..cluster.summary import cib_summary
from ..cluster.values import cmap_number
from ..core.become import without_libpq_environment
from ..core.files import nearest_existing, read_json, read_text, sha256
from ..core.run import CommandTimeout, Completed, HubError, Runner, which
from ..core.text import first_version, tree_digest
from ..core.tree import file_state, tree
from ..host import (
    link_lock,
    owners,
    packages as host_packages,
    selinux,
    system as host_system,
    tls as tls_files,
    units as host_units,
)
from ..host.firewall import system as firewall_loader
from ..pg import agent_sql, config as pg_config, control, history as histories, look, role
from ..pg.client import passes, says_passing
from ..pg.model import Postgres, Server
from ..pg.server import pid_file, postmaster_pid
from . import layouts as pg_layouts, postgres as pg_facts
from .layouts import Space
from .model import SCHEMA, ClientFacts, HubFacts, OutsideHub, Tls, User

MANAGED_UNITS = ("corosync", "pacemaker", "cf-postgres", "cf-hub", "cf-apache", "cf-execd", "cf-serverd",
                 "cf-monitord", "cf-reactor", "cf-php-fpm", "cfengine3", layouts.GUARD_UNIT)

CLIENT_UNITS = ("cfengine3", "cf-execd", "cf-serverd", "cf-monitord")

AGENT_PATHS = ("/etc/cfengine-hub-ha", "/etc/cfengine-hub-ha/agent.conf",
               "/usr/lib/ocf/resource.d/cfengine", "/usr/lib/ocf/lib/hub_ha",
               "/usr/lib/ocf/lib/hub_ha/ocf-shellfuncs", "/usr/lib/ocf/lib/hub_ha/bin", "/usr/lib/ocf/lib/hub_ha/psql",
               "/usr/lib/ocf/resource.d/cfengine/pgsql")
PROGRAMS = ("cibadmin", "crm_simulate", "openssl", "perl", "ps")  # what the cluster's packages bring beside daemons
FENCE_AGENTS = "/usr/sbin/fence_*"  # where pacemaker looks for them
# Variables of the policy framework to which role cfengine adds its own.
AUGMENTED: Dict[str, Any] = {"lists": {name: {"items": []} for name in (
    "acl", "update_inputs", "control_common_bundlesequence_end", "control_common_update_bundlesequence_end")}}
# With it the vendor's policy writes units of its own, in the place of the mask too, and starts cf-postgres.
UNITS_CLASS = "mpf_enable_cfengine_systemd_component_management"
CIB_ON_DISK = "/var/lib/pacemaker/cib/cib.xml"  # where pacemaker keeps it while it is stopped
SSH_KEYS = "/etc/ssh/ssh_host_*_key.pub"  # public

Sleep = Callable[[float], object]
Clock = Callable[[], float]

# Restart-only settings and the others that replication depends on.
SETTINGS = ("listen_addresses", "port", "wal_level", "max_wal_senders", "max_replication_slots", "wal_log_hints",
            "hot_standby", "data_checksums", "ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file",
            "wal_keep_size", "max_slot_wal_keep_size", "restart_after_crash", "synchronous_standby_names",
            "synchronous_commit", "unix_socket_directories", "config_file", "hba_file", "archive_mode",
            "max_connections", "password_encryption", "logging_collector")

SQL = """
SELECT json_build_object(
 'version_num', current_setting('server_version_num')::int,
 'in_recovery', pg_is_in_recovery(),
 'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
 'size_bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
 'settings', (SELECT json_object_agg(name, json_build_object('setting', setting, 'context', context,
     'pending_restart', pending_restart, 'source', source, 'sourcefile', sourcefile))
     FROM pg_settings WHERE name IN (%s)),
 'roles', (SELECT json_agg(%s) FROM pg_roles r WHERE r.rolname !~ '^pg_'),
 'slots', (SELECT json_agg(slot_name) FROM pg_replication_slots),
 'slots_lost', (SELECT json_agg(slot_name) FROM pg_replication_slots WHERE wal_status = 'lost'),
 'streaming', (SELECT json_agg(application_name) FROM pg_stat_replication WHERE state = 'streaming'),
 -- what stands in the files and does not hold yet, or is an error there
 'pending', (SELECT json_agg(json_build_object('name', s.name, 'old', current_setting(s.name), 'new', f.setting,
     'file', f.sourcefile, 'line', f.sourceline)
     ORDER BY s.name) FROM pg_settings s
     LEFT JOIN (SELECT DISTINCT ON (name) * FROM pg_file_settings WHERE name IS NOT NULL ORDER BY name, seqno DESC) f
     ON f.name = s.name WHERE s.pending_restart OR (NOT f.applied AND f.error IS NOT NULL)),
 'shared_memory', current_setting('shared_memory_size', true),
 'conf_load_time', extract(epoch FROM pg_conf_load_time()),
 'tablespaces', (SELECT json_agg(pg_tablespace_location(oid)) FROM pg_tablespace
                 WHERE pg_tablespace_location(oid) <> ''),
 'hba_errors', (SELECT json_agg(json_build_object('line', line_number, 'error', error))
                FROM pg_hba_file_rules WHERE error IS NOT NULL
                -- a remark, no mistake: TLS is about to be switched on
                AND error <> 'hostssl record cannot match because SSL is disabled'));
""" % (", ".join("'%s'" % name for name in SETTINGS), role.FACTS)


def addresses(run: Runner) -> List[host_system.Address]:
    """[{"interface", "address", "prefix", "network"}] of every global IPv4 and IPv6 address."""
    out = run(["ip", "-j", "addr", "show"]).out
    return host_system.addresses(json.loads(out or "[]"))


def resolve(names: Iterable[str]) -> Dict[str, List[str]]:
    """{name: [addresses]}; an empty list for a name that does not resolve."""
    found: Dict[str, List[str]] = {}
    for name in names:
        try:
            found[name] = sorted({str(item[4][0]) for item in socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)})
        except socket.gaierror:
            found[name] = []
    return found


def units(run: Runner, names: Iterable[str] = MANAGED_UNITS) -> host_units.Units:
    """{unit: {"load", "active", "enabled"}} as systemd has it; {} on a host without systemd."""
    return host_units.states(run, names)


def user(name: str) -> User:
    """{"exists", "uid", "group", "groups", "home", "shell"}; only "exists" and "groups" when there is no such user."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"exists": False, "groups": []}
    groups = sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
    return {"exists": True, "uid": entry.pw_uid, "group": grp.getgrgid(entry.pw_gid).gr_name,
            "groups": groups, "home": entry.pw_dir, "shell": entry.pw_shell}


def free_space(path: str) -> Space:
    """{"path", "free_bytes", "total_bytes"} of the file system that holds *path* or its nearest parent."""
    path = nearest_existing(path)
    info = os.statvfs(path)
    return {"path": path, "free_bytes": info.f_bavail * info.f_frsize, "total_bytes": info.f_blocks * info.f_frsize}


def listening_ports() -> List[int]:
    """Sorted TCP ports on which something on this host listens (from /proc)."""
    found: Set[int] = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        found.update(host_system.listening(read_text(path) or ""))
    return sorted(found)


def listing(path: str) -> List[str]:
    """Names in a directory, sorted; none where there is no such directory."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def binary(path: str) -> bool:
    """True when the file exists and is not plain ASCII text."""
    try:
        with open(path, "rb") as handle:
            return not all(32 <= byte < 127 or byte in (9, 10, 13) for byte in handle.read(4096))
    except OSError:
        return False


def summary(path: str) -> str:
    """What lies at *path*: "absent", "link TARGET", "directory OWNER:GROUP MODE", "file OWNER:GROUP MODE SHA256"."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "absent"
    if stat.S_ISLNK(mode):
        return "link " + os.readlink(path)
    return "directory " + file_owner(path) if stat.S_ISDIR(mode) else "file %s %s" % (file_owner(path), sha256(path))


def file_owner(path: str) -> str:
    """"OWNER:GROUP MODE" of the file, or "absent"."""
    try:
        info = os.stat(path)
    except OSError:
        return "absent"
    return owners.of(info)


def newest_change(paths: Iterable[str]) -> float:
    """Latest modification time (seconds since 1970) of those files that exist, and of links to them, or 0."""
    return max((max(os.stat(path).st_mtime, os.lstat(path).st_mtime) for path in paths if os.path.exists(path)),
               default=0)


def ask(run: Runner, argv: List[str], limit: float = 30, sleep: Sleep = time.sleep,
        clock: Clock = time.monotonic, again: Callable[[str], bool] = says_passing) -> Completed:
    """Result of the one query; a server that is starting or stopping is asked again, for *limit* seconds at most.

    again: whether what psql has said on an error is of that kind.
    """
    deadline = clock() + limit
    while True:
        done = run(argv, stdin=SQL, check=False)
        if done.rc == 0 or not again(done.err) or clock() >= deadline:
            return done
        sleep(0.3)


def postgres(run: Runner, layout: Layout) -> Postgres:
    """Everything about the hub's PostgreSQL; see pg_facts.postgres_state for "state"."""
    data_dir = layout["data_dir"]
    version = (read_text(data_dir + "/PG_VERSION") or "").strip()
    pidfile = pid_file(data_dir)
    pid = postmaster_pid(data_dir)
    running_bin = None
    if pid:
        try:
            exe = os.readlink("/proc/%d/exe" % pid)
            if os.path.basename(exe).startswith("postgres"):
                running_bin = os.path.dirname(exe.replace(" (deleted)", ""))
        except OSError:
            pid = None
    bins: Dict[str, str] = {}
    for pattern in layout["pg_bin_globs"]:
        for folder in sorted(glob.glob(pattern)):
            if os.access(folder + "/postgres", os.X_OK):
                out = run([folder + "/postgres", "--version"], check=False).out
                bins[pg_config.pg_major(out)] = folder
    bin_dir = running_bin or bins.get(version) or (bins[max(bins, key=int)] if bins else None)
    result: Postgres = {
        "data_dir": data_dir, "data_version": version, "bin_dir": bin_dir, "bins": bins,
        "pid": pid if running_bin else None, "port": pidfile.get("port", 5432),
        "unit": host_units.unit_of(pid) if pid and running_bin else None,
        "socket_dir": pidfile.get("socket_dir"), "data_dir_state": data_dir_state(data_dir),
        "lock": os.path.exists(layout["tmp_dir"] + "/PGSQL.lock"),
        "backup_label": os.path.exists(data_dir + "/backup_label"),
        "standby_signal": os.path.exists(data_dir + "/standby.signal"),
        # a server writes it when it starts and leaves it there; initdb and pg_basebackup bring none
        "started": os.path.exists(data_dir + "/postmaster.opts"),
        "conf_includes": pg_config.include_lines(read_text(data_dir + "/postgresql.conf") or ""),
        "hba_blocks": pg_config.managed_blocks(read_text(data_dir + "/pg_hba.conf") or ""),
        "server": None, "control": {}, "error": None, "agent_sql": None,
        # Certificates are public.
        "certificate": read_text(layout["ha_dir"] + "/server.crt"),
        "trusted": read_text(layout["ha_dir"] + "/root.crt"),
        # Settings of a standby that pacemaker does not look after, see role third_hub.
        "outside": read_text(layout["outside_conf"]), "history": [], "side": None,
        "state": "",  # found out at the end
    }
    if bin_dir and version:
        done = run([bin_dir + "/pg_controldata", data_dir], check=False)
        if done.rc == 0:
            result["control"] = control.summary(done.out)
    if result["pid"] and bin_dir:
        argv = [bin_dir + "/psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-U", "root", "-p", str(result["port"]),
                "-d", "dbname=postgres connect_timeout=5"]
        if result["socket_dir"]:
            argv += ["-h", result["socket_dir"]]
        done = ask(run, without_libpq_environment(argv), again=lambda text: passes(
            run, bin_dir, text, result["port"], result["socket_dir"]))
        if done.rc == 0:
            server: Server = json.loads(done.out)
            result["server"] = server
            # A run that was cut off may have written a file and not told the server.
            files = [data_dir + "/" + name for name in ("postgresql.conf", "pg_hba.conf", "hub_ha.conf")]
            files += [layout["ha_dir"] + "/" + name for name in ("server.crt", "server.key", "root.crt")]
            server["reload_pending"] = newest_change(files) > server["conf_load_time"]
            settings = server["settings"] or {}
            result["agent_sql"] = agent_sql.ask(run, agent_sql.question(
                layout["db_user"], data_dir, bin_dir, result["port"],
                agent_sql.agent_socket(settings.get("unix_socket_directories") or {})))
        else:
            result["error"] = (done.err or done.out).strip()
    if bin_dir and (result["control"].get("state") or result["pid"]):
        found = look.local_side(run, data_dir, bin_dir, layout["db_user"], port=result["port"], whole=True,
                                socket_dir=result["socket_dir"], control=result["control"])
        result["side"], result["history"] = found.to_dict(), histories.to_entries(found.history)
    result["state"] = pg_facts.postgres_state(result)
    return result


def data_dir_state(path: str) -> str:
    """What a data directory holds: "database", "other" (files that are none), "empty", or "absent"."""
    if os.path.exists(path + "/PG_VERSION"):
        return "database"
    try:
        return "other" if os.listdir(path) else "empty"
    except FileNotFoundError:
        return "absent"


def listed(path: str) -> Optional[HubList]:
    """The list of hubs in a file, None where there is none."""
    return cast(Optional[HubList], words.hub_list(read_text(path)))


def identity(run: Runner, layout: Layout, installed: bool) -> Identity:
    """Who this CFEngine host is and whom it gets its policy from. No private key is read."""
    result: Identity = {"installed": installed, "version": None, "key_digest": None, "key_public": None,
                        "policy_server": None, "am_policy_hub": os.path.exists(layout["am_policy_hub"]),
                        "hub_list": None, "role": None}
    if not installed:
        return result
    result["version"] = words.cfengine_version(run([layout["bin_dir"] + "/cf-agent", "--version"]).out)
    public = layout["ppkeys"] + "/localhost.pub"
    if os.path.exists(public):
        result["key_public"] = read_text(public)
        done = run([layout["bin_dir"] + "/cf-key", "--print-digest", public], check=False)
        result["key_digest"] = words.key_digest(done.out)
    result["policy_server"] = words.policy_server(read_text(layout["policy_server"]))
    result["hub_list"] = listed(layout["hub_list"])
    result["role"] = (read_text(layout["role_file"]) or "").strip() or None
    return result


def client(run: Runner) -> ClientFacts:
    """What a CFEngine host, hub or client, knows of its hubs: facts of module client_info."""
    detected = layouts.detect(os.path.exists)
    layout = layouts.LAYOUTS[detected or "debian"]
    own = identity(run, layout, detected is not None)
    server = own["policy_server"]
    return {
        **own, "uname": platform.node(), "layout": layout, "units": units(run, CLIENT_UNITS),
        "addresses": [item["address"] for item in addresses(run)],
        "policy_server_addresses": resolve([server])[server] if server else [],
        "served_list": own["hub_list"],
        "hub_list": listed(layout["inputs"] + layout["hub_list"][len(layout["masterfiles"]):]),
    }


def known_hubs() -> Tuple[Layout, Optional[HubList], Optional[str]]:
    """(layout of this host, the list of hubs that it has or None, settings of a standby outside or None)."""
    layout = layouts.LAYOUTS[layouts.detect(os.path.exists) or "debian"]
    return layout, listed(layout["hub_list"]), read_text(layout["outside_conf"])


def outside(run: Runner, layout: Layout) -> OutsideHub:
    """What is to be known of a hub outside of the cluster before it takes over, and no more: part of collect()."""
    if os.geteuid() != 0:
        raise HubError("root is needed on %s: connect as root or set ansible_become" % platform.node())
    installed = layouts.detect(os.path.exists) is not None
    return {"uname": platform.node(), "layout": layout, "postgres": postgres(run, layout),
            "cfengine": hub_identity(run, layout, installed)}


def edition(layout: Layout) -> str:
    """Only Enterprise brings cf-hub."""
    return "enterprise" if os.path.exists(layout["bin_dir"] + "/cf-hub") else "community"


def hub_identity(run: Runner, layout: Layout, installed: bool) -> HubIdentity:
    """Who this hub is, and its edition."""
    return {**identity(run, layout, installed), "edition": edition(layout)}


def cfengine(run: Runner, layout: Layout, installed: bool) -> CFEngine:
    """CFEngine's identity and state on this hub. Digests only; no private key is read."""
    result: CFEngine = {
        **hub_identity(run, layout, installed), "def_json_error": None, "policy_location": None, "sets_acl": False,
        "manages_units": False, "ha_info": None, "ha_cfg": None, "acl_in_policy": None, "acl_unknown": None,
        "policy_framework": None, "inputs": {}, "policy_deployed": [], "policy_undone": [], "policy_links": [],
        "masterfiles_digest": None,
        "client_keys": 0, "client_keys_digest": None}
    if not installed:
        return result
    result = {**result, **augments_facts(layout["def_json"])}
    result["ha_info"], result["ha_cfg"] = read_text(layout["ha_info"]), read_text(layout["ha_cfg"])
    if not result["sets_acl"]:
        acl, result["acl_unknown"] = acl_in_policy(run, layout)
        result["acl_in_policy"] = named(acl, result["policy_server"])
    result["policy_framework"] = os.path.exists(layout["masterfiles"] + "/controls/update_def.cf")
    served = [path[len(layout["masterfiles"]) + 1:]
              for path in (layout["def_json"], layout["ha_info"], layout["hub_policy"], layout["hub_list"])]
    read = {name: "%s/%s" % (layout["inputs"], name) for name in served}
    result["inputs"] = {name: sha256(path) if os.path.isfile(path) else None for name, path in read.items()}
    policy = tree(layout["masterfiles"])
    result["policy_deployed"] = deployed.look(layout)
    result["policy_undone"] = deployed.undone(layout)
    result["policy_links"] = sorted(name for name, digest in policy.items() if digest.startswith("-> "))[:5]
    result["masterfiles_digest"] = tree_digest(
        {name: digest for name, digest in policy.items() if name not in words.POLICY_STAMPS})
    keys = client_keys(layout["ppkeys"])
    result["client_keys"] = len(keys)
    if result["key_digest"]:
        # with the own key under the name that the other hub gives it, hubs that know the same hosts compare equal
        keys.add(keys_model.file_name("root", result["key_digest"]))
    result["client_keys_digest"] = tree_digest(dict.fromkeys(keys, ""))
    return result


def augments_facts(path: str) -> Augments:
    """{"def_json_error", "policy_location", "sets_acl", "manages_units"}: why CFEngine's augments cannot be merged
    with, or None, where they say that policy comes from, whether they set acl, and whether the vendor's policy shall
    manage systemd's units. Their text stays here: operators keep secrets in it.
    """
    try:
        text = read_text(path)
        data = augments.parse(text)
        augments.merge(text, AUGMENTED)  # a trial: what role cfengine adds to must be such that it can be added to
        if os.path.exists(os.path.join(os.path.dirname(path), "def_preferred.json")):
            raise ValueError("CFEngine reads def_preferred.json in its place; bring both together in def.json")
    except ValueError as error:
        return {"def_json_error": str(error), "policy_location": None, "sets_acl": True, "manages_units": False}
    place = augments.find(data, "mpf_update_policy_master_location")
    return {"def_json_error": None, "policy_location": place[0][place[1]] if place else None,
            "sets_acl": augments.find(data, "acl") is not None,
            "manages_units": words.on_hubs(data.get("classes", {}), UNITS_CLASS)}


def acl_in_policy(run: Runner, layout: Layout) -> Tuple[Optional[List[str]], Optional[str]]:
    """(the list def.acl as the hub's policy sets it itself, None when that cannot be known; why it is not known or None).

    A large policy may take long to read, and is no reason not to know the rest of the hub.
    """
    policy = layout["masterfiles"] + "/promises.cf"
    if not os.path.exists(policy):
        return None, None
    try:
        done = run([layout["bin_dir"] + "/cf-promises", "--show-vars=default:def\\.acl$", "--file", policy], check=False)
    except CommandTimeout as error:
        return None, error.message
    return (words.policy_list(done.out, "default:def.acl") if done.rc == 0 else None), None


def named(acl: Optional[List[str]], server: Optional[str]) -> Optional[List[str]]:
    """The list def.acl; the policy framework's own names an address, and as such the name that the hub was bootstrapped to."""
    own = resolve([server])[server] if server and acl and len(acl) == 1 else []
    return ["%s/16" % server] if acl and acl[0] in ["%s/16" % address for address in own] else acl


def client_keys(ppkeys: str) -> Set[str]:
    """Names of the files of other hosts' public keys, as a set. A name tells the key, so names are enough to compare.

    What is no key is no part of it: module hub_keys does not bring it to the other hub, so hubs may differ in it.
    """
    return set(keys_loader.read(ppkeys)[0]) if os.path.isdir(ppkeys) else set()


def cluster(run: Runner) -> Cluster:
    """What corosync and pacemaker look like on this host, running or not."""
    conf = read_text("/etc/corosync/corosync.conf")
    result: Cluster = {
        **cib_summary("<cib/>"), "corosync_installed": which("corosync") is not None,
        "pacemaker_installed": which("pacemakerd") is not None,
        "corosync_conf": conf, "authkey": file_state("/etc/corosync/authkey"),
        "authkey_binary": binary("/etc/corosync/authkey"),
        "pacemaker_version": None, "has_database": False, "cib_readable": False, "running_version": None,
        "corosync_version": None,
        "agents": {"ocf:heartbeat:" + name: os.path.exists("/usr/lib/ocf/resource.d/heartbeat/" + name)
                   for name in ("pgsql", "IPaddr2")},
    }
    if result["corosync_installed"]:
        result["corosync_version"] = first_version(run(["corosync", "-v"], check=False).out)
        done = run(["corosync-cmapctl", "-g", "totem.config_version"], check=False)
        result["running_version"] = cmap_number(done.out) if done.rc == 0 else None
    if result["pacemaker_installed"]:
        result["pacemaker_version"] = first_version(run(["pacemakerd", "--version"], check=False).out)
    if result["pacemaker_installed"]:
        done = run(["cibadmin", "--query", "--local"], check=False, timeout=20)
        if done.rc == 0:
            result = {**result, **cib_summary(done.out), "cib_readable": True}
    # Pacemaker has the database in hand, or will when it is started.
    result["has_database"] = ("cfpgsql" in result["cib_resources"] if result["cib_readable"]
                              else 'id="cfpgsql"' in (read_text(CIB_ON_DISK) or ""))
    return result


def tls(run: Runner, files: Sequence[str], name: str, exists: bool) -> Optional[Tls]:
    """What tls_files.look says of the operator's [certificate, key, authorities], and which of them the database's user
    cannot read ("unreadable"; none while there is no such user). None when nothing is given or a file lacks.

    name: of the database's user; exists: whether there is one.
    """
    if not files or not all(os.path.isfile(path) for path in files):
        return None
    found = tls_files.look(*files)
    return {"problem": found["problem"], "expires": found["expires"], "authorities": found["authorities"],
            "unreadable": [path for path in files if exists
                           and run(["runuser", "-u", name, "--", "test", "-r", path], check=False).rc != 0]}


def host_keys() -> List[str]:
    """The texts of the host's public SSH keys, sorted."""
    found = [(read_text(path) or "").split(None, 2) for path in glob.glob(SSH_KEYS)]
    return sorted(words_of_key[1] for words_of_key in found if len(words_of_key) > 1)


def collect(run: Runner, names: Sequence[str] = (), package_names: Sequence[str] = (),
            layout_name: Optional[str] = None, packager_wait: float = 300, clock: Clock = time.time,
            files: Sequence[str] = (), firewall: bool = True, repository: str = "", enable_repository: bool = False,
            shared: Sequence[str] = ()) -> HubFacts:
    """All of the above in one, for module hub_info. *names*: hub names to resolve here; *files*: the operator's TLS
    files; *package_names*: beside those that the system needs anyhow; *firewall*: whether to look at it; *repository*:
    the operator's name of the one with the cluster's packages; *enable_repository*: whether it is to be taken for
    enabled; *shared*: addresses whose names Mission Portal's certificate should have.
    """
    if os.geteuid() != 0:
        raise HubError("root is needed on %s: connect as root or set ansible_become" % platform.node())
    interrupted = host_packages.wait(packager_wait) if packager_wait >= 0 else host_packages.interrupted()
    link_lock.wait_for_end()
    began = clock()
    detected = layouts.detect(os.path.exists)
    layout = layouts.LAYOUTS[detected or layout_name or "debian"]
    release = host_system.os_release(read_text("/etc/os-release") or "")
    system: platforms.System = {"id": release["id"], "version": release["version"], "name": release["name"],
                                "machine": platform.machine()}
    kind = platforms.resolve(system, repository)
    wanted = list(dict.fromkeys(list(package_names) + (kind["cluster_packages"] if kind and package_names else [])))
    db_user, database = user(layout["db_user"]), postgres(run, layout)
    return {
        "schema": SCHEMA, "uname": platform.node(), "os": system, "platform": kind, "layout_found": detected,
        "layout": layout,
        "firewall": firewall_loader.read(run) if firewall else {"kind": "not looked at", "problem": None},
        "selinux": {"mode": selinux.mode(), "booleans": selinux.booleans(platforms.SELINUX_BOOLEANS)},
        "addresses": addresses(run), "names": resolve(names), "units": units(run),
        "packages": host_packages.states(run, wanted, (kind["repository"] or "") if kind and enable_repository else ""),
        "packager_interrupted": interrupted,
        "db_user": db_user,
        "space": free_space(layout["pg_dir"]), "ports": listening_ports(),
        "programs_missing": [name for name in PROGRAMS if which(name) is None],
        "fence_agents": sorted(os.path.basename(path) for path in glob.glob(FENCE_AGENTS)),
        "postgres": database, "cfengine": cfengine(run, layout, detected is not None),
        # What the roles look after and would otherwise ask for one by one; the log's content does not matter.
        "paths": {path: summary(path) for path in (
            *AGENT_PATHS, *layouts.GUARD_FILES,
            os.path.dirname(layout["pg_dir"]), layout["pg_dir"], layout["tmp_dir"], layout["ha_dir"],
            layout["tmp_dir"] + "/recovery.conf", "/usr/bin/pg_ctl", "/etc/corosync/corosync.conf",
            layout["hub_keys"], layout["ha_dir"] + "/root.crt", layout["data_dir"] + "/hub_ha.conf")},
        "files": {path: file_owner(path) if not os.path.isdir(path) else "a directory" for path in files},
        "tls": tls(run, files, layout["db_user"], db_user["exists"]),
        "pg_log": file_owner(layout["pg_log"]), "fencing_files": listing(layouts.FENCING_DIR),
        "portal": portal.look(run, layout["work_dir"], summary, shared) if detected == "enterprise" else None,
        "package_marker": os.path.exists(layouts.PACKAGE_MARKER),
        "mask_marker": os.path.exists(layouts.MASK_MARKER),
        "restored": read_json(layout["restored"]),
        "cluster": cluster(run), "maintenance_marker": os.path.exists(layout["ha_dir"] + "/maintenance"),
        "kept_addresses": host_system.kept_addresses(read_text(layouts.KEPT_UNIT)),
        "machine": {"id": (read_text("/etc/machine-id") or "").strip(),
                    "ssh_keys": host_keys()},
        "layouts": pg_layouts.look(run, layout, database, db_user.get("uid")),
        "clock": {"begin": began, "end": clock()},
    }
