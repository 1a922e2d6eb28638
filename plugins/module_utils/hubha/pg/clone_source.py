# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The primary that a base backup is taken from: how it is reached, what it is, and its replication slot."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from ..core.run import CommandError, CommandTimeout
from . import clone as model
from .client import Postgres, PostgresError
from .quote import identifier

DUPLICATE_OBJECT = "42710"
SQLSTATE = re.compile(r":  ([0-9A-Z]{5})\s*$")


@dataclass(frozen=True)
class Source:
    """Where the primary is, and as whom it is asked.

    user: the replication role. slot: the standby's on the primary. passfile: with a line for database "replication", of
    the owner's and of mode 0600; None when no password is needed. sslrootcert: None for libpq's own place.
    system_identifier: the one that it must have, None for any.
    """

    host: str
    user: str
    slot: str
    port: int = 5432
    passfile: Optional[str] = None
    sslmode: str = "verify-ca"
    sslrootcert: Optional[str] = None
    application_name: str = "hub_ha_basebackup"
    system_identifier: Optional[str] = None


@dataclass(frozen=True)
class Identity:
    """What is known of the primary; None is "not known". version_num: such as 170005."""

    system_identifier: Optional[str] = None
    timeline: Optional[int] = None
    version_num: Optional[int] = None


class Primary:
    """The primary as the owner of the clone reaches it. Everything raises PostgresError, HubError."""

    def __init__(self, postgres: Postgres, source: Source) -> None:
        self.postgres = postgres
        self.source = source

    def names(self) -> Dict[str, Any]:
        """What error texts name, see clone.classify()."""
        source = self.source
        default = "not given, so ~%s/.postgresql/root.crt" % self.postgres.owner
        return {"host": source.host, "port": source.port, "user": source.user, "slot": source.slot,
                "passfile": source.passfile or "(none given)", "sslrootcert": source.sslrootcert or default}

    def conninfo(self, replication: bool) -> str:
        """Connection string; it names the passfile and never holds a password."""
        source = self.source
        settings = [("host", source.host), ("port", source.port), ("user", source.user),
                    ("passfile", source.passfile), ("sslmode", source.sslmode),
                    ("sslrootcert", source.sslrootcert), ("connect_timeout", 5),
                    ("application_name", source.application_name),
                    # A dead peer must not hold the copy for the kernel's two hours.
                    ("keepalives_idle", 10), ("keepalives_interval", 5), ("keepalives_count", 4)]
        if replication:
            # The name is what libpq looks for in the passfile, as it is for pg_basebackup and for a standby.
            settings += [("dbname", "replication"), ("replication", "true")]
        return model.conninfo(settings)

    def ask(self, commands: Sequence[str]) -> List[str]:
        """Output lines of replication commands; an error has the operator's text."""
        try:
            return self.postgres.replication(self.conninfo(True), commands)
        except (CommandError, CommandTimeout) as error:
            text = error.details.get("stderr") or error.message
            kind, message = model.classify(text, self.names())
            raise PostgresError(kind, message, stderr=text)

    def sqlstate(self, command: str) -> str:
        """The code with which a command fails that has failed, whatever the server's language; "" when there is none."""
        try:
            self.postgres.replication(self.conninfo(True), [command], verbosity="sqlstate")
        except (CommandError, CommandTimeout) as error:
            found = SQLSTATE.search(error.details.get("stderr") or "")
            return found.group(1) if found else ""
        return ""

    def check_files(self) -> None:
        """Refuses a passfile or certificate that the owner cannot use."""
        passfile, certificate, owner = self.source.passfile, self.source.sslrootcert, self.postgres.owner
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

    def identify(self) -> Identity:
        """What the primary is; refuses another system, another major version, and a standby."""
        source, major = self.source, self.postgres.major_version()
        self.check_files()
        lines = self.ask(["IDENTIFY_SYSTEM", "SHOW server_version_num"])
        fields, version = lines[0].split("|"), int(lines[-1])
        if source.system_identifier and source.system_identifier != fields[0]:
            raise PostgresError("identity", "%s:%s is not the expected primary: its system identifier is %s, expected "
                                "is %s. Check primary_host." % (
                                    source.host, source.port, fields[0], source.system_identifier))
        if version // 10000 != major:
            raise PostgresError("version", "The primary runs PostgreSQL %d and %s holds version %d: a standby needs "
                                "the same major version. Install version %d here or set bin_dir." % (
                                    version // 10000, self.postgres.bin_dir, major, version // 10000))
        if version >= 140000 and self.ask(["SHOW in_hot_standby"])[-1] == "on":
            raise PostgresError("not_primary", "%s:%s is itself a standby: set primary_host to the hub that is the "
                                "primary now." % (source.host, source.port))
        return Identity(fields[0], int(fields[1]), version)

    def slot_state(self, version_num: int) -> str:
        """``missing``, ``lost`` (no WAL is reserved), ``good``, or ``unknown`` (before version 15)."""
        if version_num < 150000:
            return "unknown"
        lines = self.ask(["READ_REPLICATION_SLOT %s" % identifier(self.source.slot)])
        kind, lsn = (lines[-1].split("|") + ["", ""])[:2] if lines else ("", "")
        if not kind:
            return "missing"
        return "good" if lsn else "lost"

    def make_slot(self, state: str, version_num: int, remake: bool = False) -> str:
        """The slot is there and reserves WAL; returns created, recreated or kept.

        state: of slot_state(). remake: whatever the state.
        """
        name = identifier(self.source.slot)
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
                if "already exists" not in error.details.get("stderr", "") and self.sqlstate(create) != DUPLICATE_OBJECT:
                    raise
                action = "kept"
        if self.slot_state(version_num) not in ("good", "unknown"):
            raise PostgresError("slot", "The slot %s was made on the primary, but reserves no WAL: check "
                                "max_slot_wal_keep_size there." % self.source.slot)
        return action
