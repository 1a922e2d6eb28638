# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Layouts of PostgreSQL that people have, and with which a run would end red after its first change.

Each function: facts of module hub_info in, list of Problems out. "layouts" in them is what facts/layouts.py has read.
"""

from __future__ import annotations

import os
import re
from typing import Any, List, Mapping, Optional, Sequence

from ...core.problem import Problem, Report
from ...core.text import human
from ...facts.layouts import Library, library_key
from ...facts.model import HubFacts, Infos
from ...host import owners
from ...pg.memory import MB, Machine, fits
from ..model import LogDirectory

SHARED_LIBRARIES = "shared_preload_libraries"
OUR_SLOTS = 1  # of the passive hub
OUR_SENDERS = 2  # a clone takes two, a standby one
NO_LOGIN = ("nologin", "false")


def in_use(info: HubFacts) -> bool:
    """Whether there is a database here that a clone would have to take the place of, or that goes on."""
    return info["postgres"]["state"] in ("primary", "standby", "stopped", "unreachable")


def mount_problems(infos: Infos, passive: str) -> List[Problem]:
    """A clone is put in place by a rename, which no mount point allows; one below would come back over the new data."""
    info = infos[passive]
    mounts, data_dir = info["layouts"]["mounts"], info["postgres"]["data_dir"]
    if not mounts or in_use(info):
        return []
    parent = os.path.dirname(data_dir)
    what = "is a file system of its own" if data_dir in mounts else "has file systems of its own within it"
    return [Problem(
        "DATA_DIR_MOUNTED", passive, "%s %s (%s), and the copy of the database is put in its place by a rename"
        % (data_dir, what, ", ".join(mounts)),
        "mount that file system one directory higher, on %s, which takes all of the database, WAL too: umount %s; "
        "correct /etc/fstab; mount %s" % (parent, " ".join(reversed(mounts)), parent))]


def is_pair(infos: Infos) -> bool:
    """Whether the hubs are a pair already: what it lives with stops no further run."""
    return any(info["cluster"]["has_database"] for info in infos.values())


def lost_found_problems(infos: Infos, active: str, passive: str) -> List[Problem]:
    """A file system's lost+found belongs to root, and a copy of the database stops at what its user cannot read.

    Where the passive hub has its copy, nothing has to be copied.
    """
    path = infos[active]["layouts"]["lost_found"]
    if not path or in_use(infos[passive]):
        return []
    return [Problem(
        "DATA_DIR_LOST_FOUND", active, "%s cannot be read by the database's user, and PostgreSQL copies no data "
                                       "directory with something in it that it cannot read" % path,
        "it is empty unless a file system check has put something there; take it away: rmdir %s (fsck makes it anew "
        "when it needs it)" % path)]


def recovery_problems(infos: Infos, active: str, passive: str) -> List[Problem]:
    """What a restore or an earlier replication has left: it counts more than what makes the standby here."""
    found = []
    for host in (active, passive):
        facts, layout = infos[host]["layouts"], infos[host]["layout"]
        auto = infos[host]["postgres"]["data_dir"] + "/postgresql.auto.conf"
        if facts["auto_conf"]:
            names = facts["auto_conf"]
            found.append(Problem(
                "RECOVERY_LEFT_OVER", host, "%s sets %s, which counts more than what is set for the standby here"
                % (auto, ", ".join(names)),
                "; ".join("ALTER SYSTEM RESET %s" % name for name in names) + "; then: SELECT pg_reload_conf()"
                if infos[host]["postgres"]["server"] else "take these lines out of that file"))
        ours = (layout["tmp_dir"] + "/", layout["ha_dir"] + "/")
        places = ["%s (%s line %s)" % (item["name"], item["file"], item["line"]) for item in facts["recovery"]
                  if os.path.basename(item["file"]) != os.path.basename(auto) and not item["file"].startswith(ours)]
        if host == active and places and not infos[host]["cluster"]["has_database"]:
            found.append(Problem(
                "RECOVERY_LEFT_OVER", host, "the configuration has settings of a recovery, which the copy on %s would "
                                            "obey: %s"
                % (passive, ", ".join(places)), "take them out: a primary has no use for them"))
    return found


def outside_problems(infos: Infos, active: str) -> List[Problem]:
    """Configuration outside of the data directory: this collection writes into it, and a clone has no other."""
    info = infos[active]
    facts, data_dir = info["layouts"], info["postgres"]["data_dir"]
    files = {"config_file": "postgresql.conf", "hba_file": "pg_hba.conf"}
    found = [Problem(
        "CONFIG_OUTSIDE", active, "PostgreSQL reads %s, not %s/%s: what replication needs is written to the latter"
        % (path, data_dir, files[name]),
        "move it to %s/%s (a file, no link) and take %s out of the configuration and the unit's start command; then "
        "restart "
        "PostgreSQL" % (data_dir, files[name], name)) for name, path in sorted(facts["misplaced"].items())]
    if facts["outside"] and not info["cluster"]["has_database"]:
        found.append(Problem(
            "CONFIG_OUTSIDE", active, "PostgreSQL reads files outside of %s, which the other hub does not get with "
                                      "the copy: %s"
            % (data_dir, ", ".join(facts["outside"])),
            "move them into the data directory, and name them there without a path"))
    return found


def overridden_problems(infos: Infos, active: str, include: Mapping[str, str]) -> List[Problem]:
    """A line below our include wins: what is written never holds, and every run would restart PostgreSQL for it.

    include: {name: value} of what this collection sets.
    """
    places = infos[active]["layouts"]["overriding"]
    wrong = ["%s (%s)" % (name, places[name]) for name in sorted(places) if name in include]
    if not wrong:
        return []
    return [Problem(
        "SETTINGS_OVERRIDDEN", active, "set below the line that includes hub_ha.conf, and so counting more: "
                                       "%s" % ", ".join(wrong),
        "take these lines out, or move them above that line")]


def lacking_libraries(infos: Infos, active: str, passive: str) -> List[Library]:
    """Libraries that PostgreSQL loads at its start, or with a session, and that the other hub has not, or of which
    nobody knows whether it has them ("own" is false): those outside of PostgreSQL's own directory."""
    mine, theirs = infos[active]["layouts"], infos[passive]
    there, major = theirs["layouts"]["libraries"], infos[active]["postgres"]["data_version"]
    comes = packages_of(infos[active], major)
    # What a server has loaded that runs there, it has.
    loaded = [item["name"] for item in theirs["layouts"]["preload"]
              if item["setting"] == SHARED_LIBRARIES and theirs["postgres"]["server"]]
    found = [item for item in mine["preload"] if item["name"] not in loaded and item["package"] not in comes]
    own = [item for item in found if item["own"] and (
        there is None or major not in theirs["postgres"]["bins"] or library_key(item["path"]) not in there)]
    return own + [item for item in found if not item["own"] and not in_use(theirs)]


def library_problem(infos: Infos, active: str, passive: str, at_start: bool) -> List[Problem]:
    """What to say of libraries that the other hub lacks: those without which the copy of the database does not start, or
    else those without which it does, and takes no session. The latter stop nothing now."""
    lacking = [item for item in lacking_libraries(infos, active, passive)
               if item["own"] and (item["setting"] == SHARED_LIBRARIES) is at_start]
    if not lacking:
        return []
    packages = list(dict.fromkeys(item["package"] for item in lacking if item["package"]))
    settings = " and ".join(dict.fromkeys(item["setting"] for item in lacking))
    major = infos[active]["postgres"]["data_version"]
    first = "" if packages or major in infos[passive]["postgres"]["bins"] else \
        "; what is copied is seen once PostgreSQL %s is installed here" % major
    return [Problem(
        "LIBRARY_LACKS", passive, "%s of %s names %s, which is not here and comes with no package of the hub: without it the "
                                  "copy of the database %s" % (settings, active, ", ".join(item["name"] for item in lacking),
                                                               "does not start" if at_start else "takes no session"),
        "install here what %s has it from: %s. Or take it out of %s there%s" % (
            active, ", ".join(packages) or "no package; copy " + ", ".join(item["path"] for item in lacking), settings,
            first))]


def library_problems(infos: Infos, active: str, passive: str) -> List[Problem]:
    """Libraries that the other hub lacks, and without which its copy would never start."""
    return library_problem(infos, active, passive, at_start=True)


def library_notes(infos: Infos, active: str, passive: str) -> List[Problem]:
    """Libraries that a session loads and the other hub lacks, and all those of which nobody knows whether it has them."""
    unseen = [item for item in lacking_libraries(infos, active, passive) if not item["own"]]
    settings = " and ".join(dict.fromkeys(item["setting"] for item in unseen))
    return library_problem(infos, active, passive, at_start=False) + ([Problem(
        "LIBRARY_LACKS", passive, "%s of %s names what lies outside of PostgreSQL's own directory, and whether it is here "
                                  "is not known: %s" % (settings, active, ", ".join(item["path"] for item in unseen)),
        "see that it is here under the same path: without it the copy of the database %s" % (
            "does not start" if SHARED_LIBRARIES in settings else "takes no session"))] if unseen else [])


def memory_problems(infos: Infos, active: str, passive: str) -> List[Problem]:
    """Shared memory that the other hub's machine could not give: its copy would never start.

    What PostgreSQL 15 and newer tell of themselves is compared. Where the other hub has its copy, that starts.
    """
    server, where = infos[active]["postgres"]["server"], infos[passive]["layouts"]["memory"]
    text = re.match(r"(\d+)MB$", (server["shared_memory"] if server else None) or "")
    if not text or in_use(infos[passive]):
        return []
    settings = infos[active]["layouts"]["settings"]
    huge, page = settings.get("huge_pages") or "try", settings.get("huge_page_size") or "0"
    if fits(int(text.group(1)) * MB, Machine(**where), 0, huge, page):
        return []
    pool, pages = "vm.nr_hugepages here", " in huge pages"
    if page != "0":
        pool = "in /sys/kernel/mm/hugepages/hugepages-%skB/nr_hugepages here the same" % page
        pages += " of %d MB" % (int(page) >> 10)
    return [Problem(
        "MEMORY_LACKS", passive, "PostgreSQL on %s has %s MB of shared memory%s, and this machine, with %d MB of memory and swap, "
                                 "could not give it: the copy of the database would not start" % (
                                     active, text.group(1), pages if huge == "on" else "",
                                     (where["total"] + where["swap"]) // MB),
        "%s as on %s, or huge_pages = try there" % (pool, active) if huge == "on" else
        "give this machine more memory, or make shared_buffers smaller on %s and restart PostgreSQL there" % active)]


def packages_of(info: HubFacts, major: str) -> Sequence[str]:
    """Packages that this collection installs on the other hub by itself."""
    return list(info["layout"]["cfengine_packages"]) + ["postgresql-%s" % major]


def log_directory(info: HubFacts) -> Optional[LogDirectory]:
    """{"path", "owner", "group", "mode"} of the directory outside of the data into which the active hub's server writes its
    log by itself, for the other hub, or None. Owner and group are such as the other hub has too."""
    found, user = info["layouts"]["log_directory"], info["db_user"]
    if not found:
        return None
    owner, group, mode = owners.parts(found["owner"])
    own, name = user.get("group") or info["layout"]["db_user"], info["layout"]["db_user"]
    return {"path": found["path"], "owner": owner if owner in ("root", name) else name,
            "group": group if group in ("root", own, *user["groups"]) else own, "mode": mode}


def unit_problems(infos: Infos, active: str, restart: Sequence[str]) -> List[Problem]:
    """A server that somebody started by hand is none of its unit's, which then cannot restart it."""
    info = infos[active]
    unit, own = info["postgres"]["unit"], info["layout"]["db_unit"] + ".service"
    if not restart or not unit or unit == own or info["cluster"]["has_database"]:
        return []
    return [Problem(
        "OUTSIDE_ITS_UNIT", active, "PostgreSQL was not started by %s but in %s, and has to be restarted once (for "
                                    "%s), which the unit could not do" % (own, unit, ", ".join(restart)),
        "stop it and start it by its unit: runuser -u %s -- %s/pg_ctl -D %s -m fast stop && systemctl start %s" % (
            info["layout"]["db_user"], info["postgres"]["bin_dir"], info["postgres"]["data_dir"], own))]


def taken_problems(infos: Infos, active: str, include: Mapping[str, str], slots: Sequence[str]) -> List[Problem]:
    """Slots or WAL senders that others have already, so that none is left for the other hub.

    include: {name: value} of what this collection sets. slots: names of our slots.
    """
    server, facts = infos[active]["postgres"]["server"], infos[active]["layouts"]
    found = []
    there = (server["slots"] if server else None) or []
    streaming = (server["streaming"] if server else None) or []
    ours = len(set(there) & set(slots))
    streams = 1 if set(streaming) & set(info["uname"].lower() for info in infos.values()) else 0
    for name, used, need, what in (
            ("max_replication_slots", facts["slots_used"], 0 if ours else OUR_SLOTS, "replication slots"),
            ("max_wal_senders", facts["senders_used"], OUR_SENDERS - 2 * streams, "WAL senders")):
        text = include.get(name) or facts["settings"].get(name) or ""
        if used is None or not text.isdigit() or used + need <= int(text):
            continue
        found.append(Problem(
            "SLOTS_TAKEN" if name == "max_replication_slots" else "SENDERS_TAKEN", active,
            "%d of %s %s are taken, and the other hub needs %d" % (used, text, what, need),
            "raise %s to %d or more and restart PostgreSQL, or end what nobody needs: SELECT * FROM %s" % (
                name, used + need, "pg_replication_slots" if what == "replication slots" else "pg_stat_replication")))
    return found


def space_problems(infos: Infos, limit_mb: int) -> List[Problem]:
    """A disk on which the WAL that the passive hub's slot may hold back does not fit: the primary would stop on it.

    limit_mb: hub_ha_max_slot_wal_keep_size.
    """
    found = []
    for host, info in infos.items():
        room = info["layouts"]["wal_space"]
        if limit_mb << 20 > room["total_bytes"] and not is_pair(infos):
            found.append(Problem(
                "DISK_BELOW_SLOT_BOUND", host, "the file system of PostgreSQL's WAL (%s) has %s in all, and "
                                               "hub_ha_max_slot_wal_keep_size lets an absent hub's slot hold back %s: "
                                               "a full disk stops the primary"
                % (room["path"], human(room["total_bytes"]), human(limit_mb << 20)),
                "make hub_ha_max_slot_wal_keep_size (MB) smaller, here at most %d, or the file system larger"
                % (room["total_bytes"] * 2 // 5 >> 20)))
    return found


def shell_problems(infos: Infos) -> List[Problem]:
    """The resource agent and CFEngine's unit run the database's programs through the shell of its user."""
    return [Problem(
        "DB_USER_NO_SHELL", host, "the shell of the database's user %s is %s: pacemaker's agent runs PostgreSQL's "
                                  "programs through it"
        % (info["layout"]["db_user"], info["db_user"]["shell"]),
        "usermod --shell /bin/sh %s" % info["layout"]["db_user"])
        for host, info in infos.items() if info["db_user"].get("shell")
        and os.path.basename(info["db_user"]["shell"]) in NO_LOGIN and in_use(info)]


def edition_problems(infos: Infos, active: str) -> List[Problem]:
    """The vendor's Community package has no hub in it: no PostgreSQL, no reports, nothing that could be replicated."""
    info = infos[active]
    if info["layout_found"] != "enterprise" or info["cfengine"]["edition"] == "enterprise":
        return []
    return [Problem(
        "VENDOR_COMMUNITY", active, "this is the vendor's Community package (no %s/cf-hub): it brings no PostgreSQL, "
                                    "so there is no database to replicate, and no package of it that makes a "
                                    "hub" % info["layout"]["bin_dir"],
        "a Community hub that keeps data in PostgreSQL is made from Debian's packages (cfengine3), by "
        "playbooks/install-ha.yml on two hosts without CFEngine. With the vendor's packages a pair needs the hub "
        "package, cfengine-nova-hub, on both")]


def no_database_problems(infos: Infos) -> List[Problem]:
    """Two hosts without any database are no crashed pair."""
    if any(info["postgres"]["state"] != "absent" or info["cluster"]["has_database"] for info in infos.values()):
        return []
    return [Problem(
        "NO_DATABASE", "all", "neither host has a PostgreSQL database in %s: there is nothing to make a pair of"
        % " or ".join(sorted(set(info["postgres"]["data_dir"] for info in infos.values()))),
        "a pair from nothing, also from a CFEngine hub that has no database yet, is made by playbooks/install-ha.yml")]


def notes(infos: Infos, active: str, passive: str, limit_mb: int) -> List[Problem]:
    """What the operator should know and that stops nothing."""
    info, found = infos[active], []
    facts = info["layouts"]
    for host, other in infos.items():
        mounts = other["layouts"]["mounts"]
        if mounts and in_use(other):
            found.append(Problem("DATA_DIR_MOUNTED", host, "file systems are mounted at or below its data directory (%s): "
                                 "it can serve so, and cannot be cloned anew" % ", ".join(mounts),
                                 "mount them one directory higher when you can"))
    room = facts["wal_space"]
    if is_pair(infos) and limit_mb << 20 > room["total_bytes"]:
        found.append(Problem(
            "DISK_BELOW_SLOT_BOUND", active, "the file system of PostgreSQL's WAL (%s) has %s in all, and "
            "hub_ha_max_slot_wal_keep_size lets an absent hub's slot hold back %s: a full disk stops the primary" % (
                room["path"], human(room["total_bytes"]), human(limit_mb << 20)),
            "make hub_ha_max_slot_wal_keep_size (MB) smaller"))
    if room["total_bytes"] >= limit_mb << 20 > room["free_bytes"] and not info["cluster"]["has_database"]:
        found.append(Problem("DISK_BELOW_SLOT_BOUND", active, "%s free for PostgreSQL's WAL (%s), and an absent hub's "
                                                              "slot may hold back %s"
                             % (human(room["free_bytes"]), room["path"], human(limit_mb << 20)),
                             "make room, or hub_ha_max_slot_wal_keep_size smaller"))
    settings = facts["settings"]
    names = facts["archive_paths"] + facts["archive_programs"]
    library = settings.get("archive_library") if settings.get("archive_mode") in ("on", "always") else ""
    if (names or library) and not info["cluster"]["has_database"]:
        always = settings.get("archive_mode") == "always"
        found.append(Problem(
            "ARCHIVE_ON_BOTH", active, "PostgreSQL archives its WAL, and %s %s does it with the same %s" % (
                "at once, since archive_mode is always," if always else "after a failover", passive,
                "archive_library, %s" % library if library else "archive_command, which names %s" % ", ".join(names)),
            "see that it works there too, %s" % ("also for WAL that is in the archive already, or this run ends with "
                                                 "ARCHIVER_FAILING" if always else "or WAL is kept until the disk is full")))
    if info["cfengine"]["acl_unknown"]:
        found.append(Problem("POLICY_SLOW", active, "whether the policy itself sets acl is not known: "
                                                    "%s" % info["cfengine"]["acl_unknown"],
                             "if it does, put that list into def.json, as \"vars\": {\"acl\": [...]}: a list there "
                             "takes its place"))
    found += library_notes(infos, active, passive)
    messages = facts["settings"].get("lc_messages") or "C"
    if not messages.startswith(("C", "POSIX", "en")):
        found.append(Problem("MESSAGES_LANGUAGE", active, "PostgreSQL speaks another language (lc_messages is "
                                                          "%s)" % messages,
                             "what it says is shown as it is, and known errors are not explained; with lc_messages = "
                             "'C' they are"))
    return found


def check(infos: Infos, active: str, passive: str, wanted: Mapping[str, Any], slots: Sequence[str], limit_mb: int,
          report: Report, new: bool = False) -> None:
    """All of the above into the report.

    wanted: {"include": {name: value}, "restart": [names]} of what this collection sets. slots: of both hubs.
    new: whether the pair is made from nothing in this run.
    """
    include, restart = wanted["include"], wanted["restart"]
    found = (mount_problems(infos, passive) + lost_found_problems(infos, active, passive)
             + recovery_problems(infos, active, passive) + outside_problems(infos, active) + overridden_problems(infos, active, include)
             + library_problems(infos, active, passive) + memory_problems(infos, active, passive) + unit_problems(infos, active, restart)
             + taken_problems(infos, active, include, slots) + space_problems(infos, limit_mb)
             + shell_problems(infos) + edition_problems(infos, active))
    nothing = [] if new else no_database_problems(infos)
    if nothing:  # it says better what find_active can only say of a pair
        report.failures[:] = [item for item in report.failures if item.get("code") != "NO_PRIMARY"]
    # A package without a hub in it says why there is no database.
    # Where not even the copy has room, that is what has to be mended.
    full = {item["host"] for item in report.failures if item.get("code") == "DISK_SPACE"}
    for problem in found + (nothing if not edition_problems(infos, active) else []):
        if not (problem.code == "DISK_BELOW_SLOT_BOUND" and problem.host in full):
            report.add(problem)
    for problem in notes(infos, active, passive, limit_mb):
        report.warn(problem.host, problem.problem, problem.remedy, problem.code)
