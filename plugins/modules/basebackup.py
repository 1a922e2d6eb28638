#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: basebackup
short_description: Clone a PostgreSQL standby from its primary
version_added: "1.0.0"
description:
  - Makes this host a physical standby of a primary with C(pg_basebackup). Run it on the host that is to become
    the standby.
  - Everything that can be checked is checked before the first change - what the data directory holds, the primary's
    identity and version, the passfile, the space. Then the replication slot is made, the copy goes into a new directory
    beside the data directory, and the two are swapped by a rename.
  - A running database is never touched, a primary is never overwritten, and a database is never deleted.
  - A stopped database of the same system is compared with the primary, by timelines and by the end of its WAL. One that
    holds nothing which the primary lacks needs no copy, whether it was a standby or a primary, and gets
    C(standby.signal) when that is missing. One of which this is not proven is refused.
  - While it runs as a task, a line with percentage, rate and remaining time is shown every few seconds.
  - A run that was cut off, even by SIGKILL or power loss, is finished or cleaned up by the next one. A second run while
    the first one still works waits for it.
  - The clone gets C(standby.signal), but no connection settings - C(primary_conninfo) and C(primary_slot_name)
    belong to whoever starts the standby. It is not started.
options:
  data_dir:
    description: Data directory to make. A symbolic link is followed.
    type: path
    required: true
  bin_dir:
    description: Directory with C(pg_basebackup), C(pg_controldata) and C(psql).
    type: path
    required: true
  owner:
    description: Operating system user that owns the database and runs the programs.
    type: str
    required: true
  group:
    description: Group of the data directory. The user's own group when not given.
    type: str
  primary_host:
    description: Name or address of the primary.
    type: str
    required: true
  primary_port:
    description: Port of the primary.
    type: int
    default: 5432
  user:
    description: Replication role to connect as.
    type: str
    required: true
  passfile:
    description:
      - Path on this host of a libpq password file with a line for database V(replication).
      - It must belong to O(owner) with mode 0600. Without it, the connection must need no password.
    type: path
  sslmode:
    description: How the connection is encrypted and the primary's certificate checked.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: verify-ca
  sslrootcert:
    description: Path on this host of the certificate of the authority that signed the primary's certificate.
    type: path
  slot:
    description: Physical replication slot of this standby. It is made when missing, and remade when its WAL is lost.
    type: str
    required: true
  application_name:
    description:
      - Name of the connections in the primary's C(pg_stat_replication).
      - Don't use the standby's own name. A cluster manager could take the copy for the standby.
    type: str
    default: hub_ha_basebackup
  checkpoint:
    description: Whether the primary makes its checkpoint at once or spread over minutes.
    type: str
    choices: [fast, spread]
    default: fast
  max_rate:
    description: Limit of the transfer, as C(pg_basebackup --max-rate) takes it (kB/s, or with suffix V(k) or V(M)).
    type: str
  wait_lock:
    description: Seconds to wait for another run on the same directory.
    type: int
    default: 300
  timeout:
    description: Seconds after which the copy is given up.
    type: int
    default: 86400
  system_identifier:
    description: System identifier that the primary must have. Any other one is refused.
    type: str
  progress_file:
    description:
      - File that holds the progress as JSON while a copy is made.
      - By default C(.hub_ha_clone.progress) beside the data directory.
    type: path
  expected_database_bytes:
    description:
      - Size of the primary's databases in bytes, for the space check before any change.
      - When not given, the space is checked with the server's own estimate as soon as the copy starts.
    type: int
  keep_old:
    description:
      - Whether what the data directory held is kept as DATA_DIR.before-TIME.
      - With V(false) things that are not a database are deleted. A database is kept in any case.
    type: bool
    default: true
  force_aside:
    description:
      - Whether a B(stopped) database that is in the way (another system's, or that of a former primary) is moved
        aside to DATA_DIR.before-TIME. It is never deleted, and a running one is always refused.
    type: bool
    default: false
  verify:
    description: Whether the copy's checksums are compared with its manifest by C(pg_verifybackup).
    type: bool
    default: false
  show_progress:
    description: Whether progress lines are shown. Switch it off for callbacks whose output a program reads.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Does the same checks. What an earlier task has not made yet (programs, role) gives a warning only.
  diff_mode:
    support: full
    description: Shows what the data directory holds before and after.
author:
  - cfengine.hub_ha authors (@cfengine)
"""

EXAMPLES = r"""
- name: Clone the passive hub from the active one
  cfengine.hub_ha.basebackup:
    data_dir: /var/lib/cfengine3/state/pg/data
    bin_dir: /usr/lib/postgresql/17/bin
    owner: cfpostgres
    primary_host: hub1.replication.example.com
    user: cf_replication
    passfile: /var/lib/cfengine3/state/pg/.pgpass
    sslmode: verify-ca
    sslrootcert: /var/lib/cfengine3/state/pg/root.crt
    slot: hub2
    system_identifier: "7438917262638719293"
    expected_database_bytes: 126255104

- name: Clone again over a stopped former primary, whose data is kept aside
  cfengine.hub_ha.basebackup:
    data_dir: /var/cfengine/state/pg/data
    bin_dir: /var/cfengine/bin
    owner: cfpostgres
    primary_host: 192.0.2.12
    user: cf_replication
    passfile: /var/cfengine/state/pg/.pgpass
    slot: hub1
    force_aside: true
"""

RETURN = r"""
state:
  description: V(present) when this host holds a standby of the primary's system, V(predicted) in check mode.
  returned: success
  type: str
  sample: present
data_dir:
  description: The data directory, symbolic links resolved.
  returned: success
  type: str
  sample: /var/lib/cfengine3/state/pg/data
system_identifier:
  description: Identifier of the database system.
  returned: success
  type: str
  sample: "7438917262638719293"
timeline:
  description: Timeline of the clone.
  returned: success
  type: int
  sample: 1
start_lsn:
  description: Where in the WAL the copy starts.
  returned: when a copy was made
  type: str
  sample: 0/2000028
bytes:
  description: Bytes copied.
  returned: when a copy was made
  type: int
  sample: 126255104
seconds:
  description: Time that the copy took.
  returned: when a copy was made
  type: float
  sample: 1.62
rate:
  description: Bytes per second.
  returned: when a copy was made
  type: float
  sample: 77935249.4
old_data_dir:
  description: Where what was in the data directory is kept, or null.
  returned: success
  type: str
  sample: null
resumed:
  description: Whether a copy that an earlier run had finished was only put in place.
  returned: success
  type: bool
  sample: false
slot_action:
  description: What was done with the replication slot, V(created), V(recreated) or V(kept).
  returned: when changed
  type: str
  sample: created
kind:
  description:
    - Which error it was, for programs.
    - Such as V(primary), V(forked), V(foreign), V(password), V(pg_hba), V(tls), V(space).
  returned: failure
  type: str
  sample: primary
"""

import errno
import fcntl
import grp
import os
import pwd
import shutil
import stat
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.files import (
    fsync_path,
    nearest_existing,
    read_json,
    read_text,
    tree_size,
    write_json,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    CommandMissing,
    CommandTimeout,
    HubError,
    fail,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import clone as model, look
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import (
    Postgres,
    PostgresError,
    end_processes,
    processes_copying,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.control import parse_backup_label
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import relation
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import postmaster_pid, processes_on

ARGUMENTS = {
    "data_dir": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "owner": {"type": "str", "required": True},
    "group": {"type": "str"},
    "primary_host": {"type": "str", "required": True},
    "primary_port": {"type": "int", "default": 5432},
    "user": {"type": "str", "required": True},
    "passfile": {"type": "path", "no_log": False},
    "sslmode": {"type": "str", "default": "verify-ca",
                "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "sslrootcert": {"type": "path"},
    "slot": {"type": "str", "required": True},
    "application_name": {"type": "str", "default": "hub_ha_basebackup"},
    "checkpoint": {"type": "str", "default": "fast", "choices": ["fast", "spread"]},
    "max_rate": {"type": "str"},
    "wait_lock": {"type": "int", "default": 300},
    "timeout": {"type": "int", "default": 86400},
    "system_identifier": {"type": "str"},
    "progress_file": {"type": "path"},
    "expected_database_bytes": {"type": "int"},
    "keep_old": {"type": "bool", "default": True},
    "force_aside": {"type": "bool", "default": False},
    "verify": {"type": "bool", "default": False},
    "show_progress": {"type": "bool", "default": True},
}


class BaseBackup:
    """One run. params: the module's arguments; run: the runner; warn: callable for warnings (str)."""

    def __init__(self, params, run, check_mode=False, warn=lambda text: None, statvfs=os.statvfs):
        self.params = params
        self.check_mode = check_mode
        self.warn = warn
        self.statvfs = statvfs
        self.data_dir = os.path.realpath(params["data_dir"])
        self.paths = model.paths(self.data_dir)
        self.progress_file = params["progress_file"] or self.paths["progress"]
        self.postgres = Postgres(run, params["bin_dir"], params["owner"], params["group"])
        self.meter = model.Meter(time.monotonic)
        self.primary = {"system_identifier": None, "timeline": None, "version_num": None}
        self.lock = None
        self.has_owner = True

    # -- what is there -------------------------------------------------------------------------------------------

    def inspect(self):
        """Facts about the data directory for model.decide()."""
        where = self.data_dir
        facts = {"data_dir": where, "exists": os.path.lexists(where), "listing": [], "pid": None, "control": None,
                 "unreadable": None, "standby_signal": False, "backup_label": False, "relation": None,
                 "marker": read_json(self.paths["marker"])}
        if not facts["exists"]:
            return facts
        if not os.path.isdir(where):
            raise PostgresError("path", "%s is there but is not a directory: move it away." % where)
        facts["listing"] = sorted(os.listdir(where))
        facts["pid"] = postmaster_pid(where) or (processes_on(where) or [None])[0]
        facts["standby_signal"] = os.path.exists(os.path.join(where, "standby.signal"))
        facts["backup_label"] = os.path.exists(os.path.join(where, "backup_label"))
        if model.looks_like_database(facts["listing"]) or facts["pid"]:
            try:
                facts["control"] = self.postgres.controldata(where)
            except CommandMissing as error:
                facts["unreadable"] = "%s; install PostgreSQL's programs first" % error.message
            except PostgresError as error:
                facts["unreadable"] = error.message
        return facts

    def compare(self, facts):
        """*facts* with the relation of what is there to the primary, as far as there is something to compare."""
        if not facts["control"] or facts["control"]["system_identifier"] != (
                self.primary["system_identifier"] or self.params["system_identifier"]):
            return facts
        run, params = self.postgres.run, self.params

        def mine(primary=None):
            return look.local_side(run, self.data_dir, params["bin_dir"], params["owner"], primary, "this database",
                                   control=facts["control"])

        def theirs():
            return look.remote_side(run, params["bin_dir"], params["owner"], self.conninfo(False), "the primary")

        if facts["pid"]:
            here = mine()  # first, because the primary goes on
            primary = theirs()
        else:
            primary = theirs()
            here = mine(primary)
        return dict(facts, relation=None if isinstance(primary, look.NoAnswer) else relation(here, primary))

    def names(self):
        """What error texts name."""
        params = self.params
        return {"host": params["primary_host"], "port": params["primary_port"], "user": params["user"],
                "passfile": params["passfile"] or "(none given)", "slot": params["slot"],
                "sslrootcert": params["sslrootcert"] or "not given, so ~%s/.postgresql/root.crt" % params["owner"]}

    def conninfo(self, replication):
        """Connection string; it names the passfile and never holds a password."""
        params = self.params
        settings = [("host", params["primary_host"]), ("port", params["primary_port"]), ("user", params["user"]),
                    ("passfile", params["passfile"]), ("sslmode", params["sslmode"]),
                    ("sslrootcert", params["sslrootcert"]), ("connect_timeout", 5),
                    ("application_name", params["application_name"]),
                    # A dead peer must not hold the copy for the kernel's two hours.
                    ("keepalives_idle", 10), ("keepalives_interval", 5), ("keepalives_count", 4)]
        if replication:
            # The name is what libpq looks for in the passfile, as it is for pg_basebackup and for a standby.
            settings += [("dbname", "replication"), ("replication", "true")]
        return model.conninfo(settings)

    def ask(self, commands):
        """Output lines of replication commands; raises PostgresError with the operator's text."""
        try:
            return self.postgres.replication(self.conninfo(True), commands)
        except (CommandError, CommandTimeout) as error:
            text = error.details.get("stderr") or error.message
            kind, message = model.classify(text, self.names())
            raise PostgresError(kind, message, stderr=text)

    def check_files(self):
        """The passfile and the certificate can be used by the owner; raises PostgresError."""
        passfile, certificate, owner = self.params["passfile"], self.params["sslrootcert"], self.params["owner"]
        if passfile:
            if not os.path.isfile(passfile):
                raise PostgresError("passfile", "There is no passfile %s on this host: make it with a line "
                                    "HOST:PORT:replication:USER:PASSWORD, owner %s, mode 0600." % (passfile, owner))
            if stat.S_IMODE(os.stat(passfile).st_mode) & 0o077:
                raise PostgresError("passfile", "Others may read the passfile %s, so libpq ignores it: "
                                    "chmod 0600 %s" % (passfile, passfile))
            if not self.postgres.owner_can("-r", passfile):
                raise PostgresError("passfile", "%s cannot read the passfile %s: make that user its owner and the "
                                    "directories above it passable." % (owner, passfile))
        if certificate and certificate != "system" and not self.postgres.owner_can("-r", certificate):
            raise PostgresError("tls", "%s cannot read the certificate %s (sslrootcert): check that it is there and "
                                "its mode." % (owner, certificate))

    def identify(self):
        """Fills self.primary from the primary and checks it; raises PostgresError."""
        major = self.postgres.major_version()
        self.check_files()
        lines = self.ask(["IDENTIFY_SYSTEM", "SHOW server_version_num"])
        fields = lines[0].split("|")
        self.primary = {"system_identifier": fields[0], "timeline": int(fields[1]), "version_num": int(lines[-1])}
        expected = self.params["system_identifier"]
        if expected and expected != fields[0]:
            raise PostgresError("identity", "%s:%s is not the expected primary: its system identifier is %s, expected "
                                "is %s. Check primary_host." % (
                                    self.params["primary_host"], self.params["primary_port"], fields[0], expected))
        if self.primary["version_num"] // 10000 != major:
            raise PostgresError("version", "The primary runs PostgreSQL %d and %s holds version %d: a standby needs "
                                "the same major version. Install version %d here or set bin_dir." % (
                                    self.primary["version_num"] // 10000, self.params["bin_dir"], major,
                                    self.primary["version_num"] // 10000))
        if self.primary["version_num"] >= 140000 and self.ask(["SHOW in_hot_standby"])[-1] == "on":
            raise PostgresError("not_primary", "%s:%s is itself a standby: set primary_host to the hub that is the "
                                "primary now." % (self.params["primary_host"], self.params["primary_port"]))

    def predict_identity(self, facts):
        """identify() in check mode: what an earlier task would still make is no error here."""
        try:
            self.postgres.as_owner([])
            self.identify()
        except CommandMissing as error:
            self.warn("The primary was not asked: %s (yet)." % error.message)
        except PostgresError as error:
            if error.kind not in ("passfile", "password", "no_password", "pg_hba", "tls", "role", "refused"):
                raise
            self.warn("The primary could not be asked yet: %s" % error.message)
        except HubError as error:
            self.warn("The primary was not asked: %s" % error.message)
        if not self.primary["system_identifier"]:
            known = self.params["system_identifier"] or (facts["control"] or {}).get("system_identifier")
            self.primary["system_identifier"] = known

    def free_bytes(self):
        """Bytes that can be used on the filesystem of the clone; what a leftover takes counts as free."""
        status = self.statvfs(nearest_existing(self.paths["parent"]))
        return status.f_bavail * status.f_frsize + tree_size(self.paths["clone"])

    def check_space(self, size):
        """Raises PostgresError when *size* bytes do not fit."""
        problem = model.space_problem(size, self.free_bytes(), self.paths["parent"])
        if problem:
            raise PostgresError("space", problem, needed=model.space_needed(size))

    def check_place(self):
        """The directory can be swapped by a rename; raises PostgresError."""
        if os.path.ismount(self.data_dir):
            raise PostgresError("mount", "%s is a mount point and cannot be swapped by a rename: mount the filesystem "
                                "on its parent directory, and use a directory below." % self.data_dir)
        above = nearest_existing(self.paths["parent"])
        if self.has_owner and not self.postgres.owner_can("-x", above):
            raise PostgresError("path", "%s cannot pass the directory %s: check the modes of it and all above it."
                                % (self.params["owner"], above))

    # -- one at a time -------------------------------------------------------------------------------------------

    def take_lock(self):
        """Waits until no other run works here; raises PostgresError('locked') after wait_lock seconds."""
        handle = os.open(self.paths["lock"], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self.params["wait_lock"]
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if not told:
                told = True
                # Who watches us sees the holder's progress when it writes to the same file, else that we wait.
                holder = (read_json(self.progress_file) or {}).get("pid")
                if not holder or not os.path.exists("/proc/%s" % holder):
                    self.show("waiting")
            if time.monotonic() >= deadline:
                holder = (read_text(self.paths["lock"]) or "").strip() or "unknown"
                os.close(handle)
                raise PostgresError(
                    "locked", "Another base backup (pid %s) works on %s and was not done after %d s. Its progress is "
                    "in %s. Wait for it and run again, or raise wait_lock." % (
                        holder, self.data_dir, self.params["wait_lock"], self.progress_file))
            time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, ("%d\n" % os.getpid()).encode(), 0)
        self.lock = handle

    def make_parent(self):
        """The directory above the data directory, the owner's."""
        if not os.path.isdir(self.paths["parent"]):
            os.makedirs(self.paths["parent"], 0o755)
            os.chown(self.paths["parent"], *self.ids())

    def ids(self):
        """uid and gid of the clone."""
        entry, group = pwd.getpwnam(self.params["owner"]), self.params["group"]
        return entry.pw_uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid

    # -- the work ------------------------------------------------------------------------------------------------

    def show(self, phase=None):
        """Writes the progress file; that nobody can read the progress must not stop a copy."""
        if phase:
            self.meter.phase(phase)
        if self.check_mode:
            return
        try:
            write_json(self.progress_file, dict(self.meter.state, pid=os.getpid(), time=time.time(),
                                                data_dir=self.data_dir))
        except OSError:
            pass

    def slot_state(self):
        """``missing``, ``lost`` (no WAL is reserved), ``good``, or ``unknown`` (before version 15)."""
        if self.primary["version_num"] < 150000:
            return "unknown"
        lines = self.ask(["READ_REPLICATION_SLOT %s" % model.quote_identifier(self.params["slot"])])
        kind, lsn = (lines[-1].split("|") + ["", ""])[:2] if lines else ("", "")
        if not kind:
            return "missing"
        return "good" if lsn else "lost"

    def make_slot(self, state, remake=False):
        """The slot is there and reserves WAL; returns created, recreated or kept."""
        name = model.quote_identifier(self.params["slot"])
        create = "CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL" % name
        if state == "lost" or remake:
            self.ask(["DROP_REPLICATION_SLOT %s" % name, create])
            action = "recreated"
        elif state == "good":
            return "kept"
        else:
            try:
                self.ask([create])
                action = "created"
            except PostgresError as error:
                if "already exists" not in error.details.get("stderr", ""):
                    raise
                action = "kept"
        if self.slot_state() not in ("good", "unknown"):
            raise PostgresError("slot", "The slot %s was made on the primary, but reserves no WAL: check "
                                "max_slot_wal_keep_size there." % self.params["slot"])
        return action

    def copy(self):
        """Runs pg_basebackup into the clone directory; raises PostgresError."""
        self.meter = model.Meter(time.monotonic)
        self.show("checkpoint")
        params, clone = self.params, self.paths["clone"]
        argv = [self.postgres.program("pg_basebackup"), "-D", clone, "-F", "plain", "-X", "stream",
                "--checkpoint=%s" % params["checkpoint"], "--slot=%s" % params["slot"],
                "--progress", "--verbose", "--no-password", "-d", self.conninfo(False)]
        if params["max_rate"]:
            argv.append("--max-rate=%s" % params["max_rate"])
        checked = []

        def on_line(line):
            if self.meter.line(line):
                total = self.meter.state["bytes_total"]
                if total and not checked:
                    checked.append(total)
                    # What the copy has written so far is no longer free, and no longer to be written.
                    self.check_space(total)
                self.show()

        done = self.postgres.stream(argv, on_line, params["timeout"])
        if done.rc != 0:
            kind, message = model.classify(done.err, self.names())
            raise PostgresError(kind, message, rc=done.rc, stderr=done.err[-4000:])

    def fresh_clone_dir(self):
        """An empty clone directory of the owner, and no marker of an earlier clone."""
        clone = self.paths["clone"]
        if os.path.lexists(self.paths["marker"]):
            os.unlink(self.paths["marker"])
        self.drop_clone()
        os.mkdir(clone, 0o700)
        os.chown(clone, *self.ids())

    def drop_clone(self):
        """Removes what a cut-off run left, and first the copy that may still write into it."""
        clone = self.paths["clone"]
        left = end_processes(processes_copying(clone))
        if left:
            raise PostgresError("orphan", "pg_basebackup of an earlier run (pid %s) still writes into %s and cannot be "
                                "ended: end it by hand and run again." % (", ".join(map(str, left)), clone))
        if os.path.lexists(clone):
            shutil.rmtree(clone)

    def complete_clone(self):
        """Checks the copy, makes it a standby and writes the marker that says it is whole."""
        clone = self.paths["clone"]
        self.show("verify")
        control = self.postgres.controldata(clone)
        if control["system_identifier"] != self.primary["system_identifier"]:
            raise PostgresError("identity", "The copy has the system identifier %s, the primary has %s: it was not put "
                                "in place. Does primary_host lead to more than one server?" % (
                                    control["system_identifier"], self.primary["system_identifier"]))
        label = read_text(os.path.join(clone, "backup_label"))
        if not label:
            raise PostgresError("incomplete", "The copy has no backup_label and was not put in place: run again.")
        if self.params["verify"]:
            # -n: WAL is checked when it is replayed, and needs pg_waldump.
            self.postgres.run(self.postgres.as_owner([self.postgres.program("pg_verifybackup"), "-n", clone]),
                              timeout=self.params["timeout"])
        self.make_signal(clone)
        if os.path.lexists(os.path.join(clone, "postmaster.pid")):
            os.unlink(os.path.join(clone, "postmaster.pid"))
        os.chown(clone, *self.ids())
        fsync_path(clone)
        marker = parse_backup_label(label)
        marker.update(system_identifier=self.primary["system_identifier"], data_dir=self.data_dir, state="complete",
                      primary_host=self.params["primary_host"], time=int(time.time()))
        write_json(self.paths["marker"], marker, sync=True)
        return marker

    def swap(self, keep_database):
        """Puts the clone in place; returns where the old directory is kept, or None."""
        clone, target, old = self.paths["clone"], self.data_dir, None
        self.show("swap")
        if os.path.lexists(target):
            # Looked at again right before the rename: the copy may have taken hours.
            pid = postmaster_pid(target) or (processes_on(target) or [None])[0]
            if pid:
                raise PostgresError("running", "A PostgreSQL server (pid %s) was started on %s during the copy: stop "
                                    "it and run again." % (pid, target))
            if os.listdir(target):
                old = "%s.before-%s" % (target, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
                if os.path.lexists(old):
                    old += "-%d" % os.getpid()
                os.rename(target, old)
            else:
                os.rmdir(target)
        try:
            os.rename(clone, target)
        except OSError:
            if old:
                os.rename(old, target)
            raise
        fsync_path(self.paths["parent"])
        marker = read_json(self.paths["marker"]) or {}
        write_json(self.paths["marker"], dict(marker, state="done", old_data_dir=old), sync=True)
        if old and not self.params["keep_old"] and not keep_database:
            shutil.rmtree(old)
            old = None
        return old

    def described(self, facts):
        """What the data directory holds, for the diff."""
        if not facts["exists"] or not facts["listing"]:
            return "no database in %s" % self.data_dir
        control = facts["control"]
        if control:
            return "database of system %s in %s (%s)" % (control["system_identifier"], self.data_dir, control["state"])
        return "no database in %s (%d other entries)" % (self.data_dir, len(facts["listing"]))

    def present(self, facts, changed=False, **more):
        """The result when the standby is there."""
        control = facts["control"]
        result = {"changed": changed, "state": "present", "data_dir": self.data_dir, "old_data_dir": None,
                  "resumed": False, "system_identifier": control["system_identifier"],
                  "timeline": control["timeline"]}
        result.update(more)
        return result

    def made_standby(self, facts, signal):
        """The result for a database that can follow; with *signal* it gets the file that makes it do so."""
        if signal and not self.check_mode:
            self.make_signal(self.data_dir)
        if not signal:
            return self.present(facts)
        diff = {"before": "%s has no standby.signal: it would start as a primary\n" % self.data_dir,
                "after": "%s has standby.signal: it is a standby of the primary\n" % self.data_dir}
        return self.present(facts, changed=True, diff=diff)

    def make_signal(self, folder):
        """standby.signal in *folder*."""
        handle = os.open(os.path.join(folder, "standby.signal"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchown(handle, *self.ids())
        os.fsync(handle)
        os.close(handle)
        fsync_path(folder)

    def decide(self, facts):
        """model.decide() for the primary's identifier; raises PostgresError when it refuses."""
        action, kind, text = model.decide(facts, self.primary["system_identifier"], self.params["force_aside"],
                                          guess=self.check_mode)
        if action == "refuse":
            raise PostgresError(kind, text)
        return action

    def run(self):
        """Does it; returns the module's result. Raises HubError."""
        try:
            self.postgres.as_owner([])
        except HubError:
            # Before a package is installed there is no such user; check mode goes on and warns later.
            if not self.check_mode:
                raise
            self.has_owner = False
        if not self.check_mode and os.path.isdir(self.paths["parent"]):
            self.take_lock()
        facts = self.inspect()
        if facts["pid"] and self.params["system_identifier"]:
            # Beside a server that runs nothing is made, so a primary that does not answer is no obstacle.
            self.primary["system_identifier"] = self.params["system_identifier"]
            facts = self.compare(facts)
            if self.decide(facts) == "present":
                return self.present(facts)
        if self.check_mode:
            self.predict_identity(facts)
        else:
            self.identify()
        facts = self.compare(facts)
        action = self.decide(facts)
        if action in ("present", "signal"):
            return self.made_standby(facts, action == "signal")
        self.check_place()
        if self.params["expected_database_bytes"]:
            self.check_space(self.params["expected_database_bytes"])
        diff = {"before": self.described(facts) + "\n",
                "after": "standby of system %s cloned from %s in %s\n" % (
                    self.primary["system_identifier"] or "(not known yet)", self.params["primary_host"], self.data_dir)}
        if self.check_mode:
            return {"changed": True, "state": "predicted", "data_dir": self.data_dir, "old_data_dir": None,
                    "resumed": False, "system_identifier": self.primary["system_identifier"],
                    "timeline": self.primary["timeline"], "diff": diff}
        if self.lock is None:
            self.make_parent()
            self.take_lock()
            facts = self.compare(self.inspect())
            action = self.decide(facts)
            if action in ("present", "signal"):
                return self.made_standby(facts, action == "signal")
        return self.clone(facts, keep_database=action == "aside", diff=diff)

    def finishable(self, slot):
        """Marker of a whole clone of an earlier run that may be put in place as it is, else None."""
        clone, marker = self.paths["clone"], read_json(self.paths["marker"])
        if not marker or not os.path.isdir(clone):
            return None
        try:
            control = self.postgres.controldata(clone)
        except PostgresError:
            return None
        ready = model.can_finish(marker, control, os.path.exists(os.path.join(clone, "standby.signal")),
                                 self.primary["system_identifier"], slot in ("good", "unknown"), int(time.time()))
        return marker if ready else None

    def clone(self, facts, keep_database, diff):
        """Slot, copy, check, swap."""
        self.show("slot")
        slot = self.slot_state()
        marker = self.finishable(slot)
        resumed = marker is not None
        action = self.make_slot(slot)
        if action == "created" and resumed:
            # No slot kept the WAL for that clone, so some of it may be gone.
            resumed = False
        started = time.monotonic()
        if not resumed:
            self.fresh_clone_dir()
            try:
                try:
                    self.copy()
                except PostgresError as error:
                    if action == "kept" and model.INVALID_SLOT.search(error.details.get("stderr", "")):
                        action = self.make_slot(slot, remake=True)
                        self.fresh_clone_dir()
                        self.copy()
                    else:
                        raise
                marker = self.complete_clone()
            except HubError:
                self.drop_clone()
                raise
        old = self.swap(keep_database)
        seconds = time.monotonic() - started
        self.meter.state["percent"] = 100
        self.show("done")
        copied = self.meter.state["bytes_done"]
        result = self.present(dict(facts, control=self.postgres.controldata(self.data_dir)), changed=True,
                              resumed=resumed, old_data_dir=old, slot_action=action, diff=diff,
                              timeline=marker.get("timeline"), start_lsn=marker.get("start_lsn"))
        if not resumed:
            result.update(bytes=copied, seconds=round(seconds, 3), rate=round(copied / max(seconds, 0.001), 1))
        return result


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = BaseBackup(module.params, local_runner, module.check_mode, module.warn).run()
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(kind="os", msg="Working on %s failed: %s. The database there was not changed; mend the cause "
                         "and run again." % (module.params["data_dir"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
