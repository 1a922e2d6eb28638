# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Layouts that people have: each is handled, or refused before the first change, with its code, cause and remedy."""

from __future__ import annotations

import copy
import json
import os
import pwd
import tempfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandTimeout,
    Completed,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import layouts as facts, probe
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import owners
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab
from jinja2.nativetypes import NativeEnvironment

DATA = "/var/lib/cfengine3/state/pg/data"


def made(results=None, change=None, hub1=None, hub2=None, **settings):
    """The plan with these facts of facts/layouts.py. change: results -> None, for all other facts."""
    results = results or pair.results()
    for host, layout in (("hub1", hub1), ("hub2", hub2)):
        results[host]["hub"]["layouts"] = dict(copy.deepcopy(pair.PLAIN_LAYOUT), **(layout or {}))
    if change:
        change(results)
    return plan.make_plan(results, pair.settings(**settings))


def codes(found):
    return [item["code"] for item in found["failures"]]


def library(name, package=""):
    return {"setting": "shared_preload_libraries", "name": name, "path": "/usr/lib/postgresql/17/lib/%s.so" % name,
            "package": package, "own": True}


def elsewhere(path):
    return {"name": path, "path": path, "package": "", "own": False, "setting": "shared_preload_libraries"}


def there(results):
    """PostgreSQL 17 is on hub2 already."""
    results["hub2"]["hub"]["postgres"]["bins"] = {"17": "/usr/lib/postgresql/17/bin"}


def of(host, *keys, **values):
    """A change of a hub's facts below these keys."""
    def change(results):
        place = results[host]["hub"]
        for key in keys:
            place = place[key]
        place.update(values)
    return change


def community(results):
    """The vendor's package without a hub in it, on both."""
    for result in results.values():
        result["hub"].update(layout=copy.deepcopy(LAYOUTS["enterprise"]), layout_found="enterprise")


def no_database(results):
    of("hub1", "postgres", state="absent", data_dir_state="absent", pid=None, server=None, control={}, data_version="")(results)


def hub1_has(**facts_of_hub1):
    return {"hub1": facts_of_hub1}


def memory(total_mb):
    return {"total": total_mb << 20, "swap": 0, "overcommit": 0, "commit_limit": 0, "committed": 0, "huge": 0}


def shared(text):
    """PostgreSQL on hub1 has that much shared memory."""
    return of("hub1", "postgres", "server", shared_memory=text)


GIANT = {"huge_pages": "on", "huge_page_size": "1048576"}
REFUSED = [
    ("the data directory is a mount point", {"hub2": {"mounts": [DATA]}}, "DATA_DIR_MOUNTED", "hub2",
     "is a file system of its own (%s)" % DATA, "on /var/lib/cfengine3/state/pg,"),
    ("pg_wal is a mount point", {"hub2": {"mounts": [DATA + "/pg_wal"]}, "change": of("hub2", "postgres", state="foreign")},
     "DATA_DIR_MOUNTED", "hub2", "has file systems of its own within it", "umount %s/pg_wal" % DATA),
    ("lost+found", hub1_has(lost_found=DATA + "/lost+found"), "DATA_DIR_LOST_FOUND", "hub1", "cannot be read by",
     "rmdir %s/lost+found" % DATA),
    ("primary_conninfo is left", hub1_has(auto_conf=["primary_conninfo", "recovery_target_time"]), "RECOVERY_LEFT_OVER", "hub1",
     "postgresql.auto.conf sets primary_conninfo, recovery_target_time",
     "ALTER SYSTEM RESET primary_conninfo; ALTER SYSTEM RESET recovery_target_time; then: SELECT pg_reload_conf()"),
    ("it is left on the other hub", {"hub2": {"auto_conf": ["primary_slot_name"]}}, "RECOVERY_LEFT_OVER", "hub2",
     "sets primary_slot_name", "take these lines out"),
    ("a recovery target in a file", hub1_has(recovery=[{"name": "recovery_target_time", "file": DATA + "/postgresql.conf",
                                                        "line": 812}]),
     "RECOVERY_LEFT_OVER", "hub1", "recovery_target_time (%s/postgresql.conf line 812)" % DATA, "no use for them"),
    ("pg_hba.conf elsewhere", hub1_has(misplaced={"hba_file": "/etc/pg/pg_hba.conf"}), "CONFIG_OUTSIDE", "hub1",
     "PostgreSQL reads /etc/pg/pg_hba.conf, not %s/pg_hba.conf" % DATA, "take hba_file out"),
    ("postgresql.conf elsewhere", hub1_has(misplaced={"config_file": "/etc/pg/postgresql.conf"}), "CONFIG_OUTSIDE", "hub1",
     "PostgreSQL reads /etc/pg/postgresql.conf", "move it to %s/postgresql.conf" % DATA),
    ("an include elsewhere", hub1_has(outside=["/etc/pg/site.conf"]), "CONFIG_OUTSIDE", "hub1", "/etc/pg/site.conf",
     "into the data directory"),
    ("lines below our include", hub1_has(overriding={"listen_addresses": DATA + "/postgresql.conf line "
                                                                                "900", "work_mem": "x"}),
     "SETTINGS_OVERRIDDEN", "hub1", "listen_addresses (%s/postgresql.conf line 900)" % DATA, "above that line"),
    ("a library that hub2 lacks", {"hub1": {"preload": [library("pg_cron", "postgresql-17-cron")]}, "hub2": {"libraries": ["auto_explain"]},
                                   "change": there},
     "LIBRARY_LACKS", "hub2", "names pg_cron", "postgresql-17-cron"),
    ("and no PostgreSQL yet", hub1_has(preload=[library("pg_cron", "postgresql-17-cron")]), "LIBRARY_LACKS", "hub2",
     "names pg_cron", "postgresql-17-cron"),
    ("a library of no package", hub1_has(preload=[library("mine")]), "LIBRARY_LACKS", "hub2", "names mine",
     "copy /usr/lib/postgresql/17/lib/mine.so. Or take it out of shared_preload_libraries there; what is copied is seen once "
     "PostgreSQL 17 is installed here"),
    ("less memory", {"hub2": {"memory": memory(4096)}, "change": shared("9000MB")}, "MEMORY_LACKS", "hub2",
     "has 9000 MB of shared memory, and this machine, with 4096 MB of memory and swap", "shared_buffers smaller on hub1"),
    ("no huge pages", {"hub1": {"settings": {"huge_pages": "on"}}, "hub2": {"memory": memory(64000)}, "change": shared("9000MB")},
     "MEMORY_LACKS", "hub2", "9000 MB of shared memory in huge pages,", "vm.nr_hugepages here as on hub1"),
    ("no huge pages of that size", {"hub1": {"settings": GIANT}, "hub2": {"memory": dict(memory(64000), huge=20 << 30)},
                                    "change": shared("9000MB")},
     "MEMORY_LACKS", "hub2", "9000 MB of shared memory in huge pages of 1024 MB,",
     "in /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages here the same as on hub1"),
    ("outside its unit", {"change": of("hub1", "postgres", unit="session-3.scope")}, "OUTSIDE_ITS_UNIT", "hub1",
     "not started by cf-postgres.service but in session-3.scope", "systemctl start cf-postgres.service"),
    ("all slots taken", hub1_has(slots_used=10, settings={"max_replication_slots": "10"}), "SLOTS_TAKEN", "hub1",
     "10 of 10 replication slots are taken, and the other hub needs 1", "raise max_replication_slots to 11"),
    ("all senders taken", hub1_has(senders_used=9, settings={"max_wal_senders": "10"}), "SENDERS_TAKEN", "hub1",
     "9 of 10 WAL senders are taken, and the other hub needs 2", "raise max_wal_senders to 11"),
    ("a disk below the slot's bound", {"hub2": {"wal_space": {"path": "/var/lib", "free_bytes": 3 << 30, "total_bytes": 3 << 30}}},
     "DISK_BELOW_SLOT_BOUND", "hub2", "has 3.0 GB in all", "here at most 1228"),
    ("another port, taken", {"change": lambda results: (of("hub1", "postgres", port=5433)(results),
                                                        of("hub2", ports=[22, 5433])(results))},
     "PORT_TAKEN", "hub2", "listens on port 5433", "sport = :5433"),
    ("no login shell", {"change": of("hub1", "db_user", shell="/usr/sbin/nologin")}, "DB_USER_NO_SHELL", "hub1",
     "is /usr/sbin/nologin", "usermod --shell /bin/sh cfpostgres"),
    ("the vendor's Community package", {"change": community}, "VENDOR_COMMUNITY", "hub1", "Community package",
     "cfengine-nova-hub"),
    ("no database at all", {"change": no_database}, "NO_DATABASE", "all", "neither host has a PostgreSQL database",
     "playbooks/install-ha.yml"),
]


@pytest.mark.parametrize("given, code, host, problem, remedy", [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_refused_before_the_first_change(given, code, host, problem, remedy):
    found = [item for item in made(**given)["failures"] if item["code"] == code]
    assert len(found) == 1, made(**given)["failures"]
    assert found[0]["host"] == host and problem in found[0]["problem"] and remedy in found[0]["remedy"]


def test_a_disk_without_room_for_the_copy_is_told_once():
    tiny = {"path": "/var/lib", "free_bytes": 48 << 20, "total_bytes": 48 << 20}
    found = made(change=of("hub2", space=tiny), hub2={"wal_space": tiny})
    assert codes(found) == ["DISK_SPACE"], found["failures"]


def test_a_plain_hub_has_none_of_it_and_neither_has_a_pair():
    assert made()["failures"] == [] and made()["warnings"] == []
    assert made(pair.running_pair())["failures"] == [] and made(pair.running_pair())["warnings"] == []


def test_no_database_is_not_told_as_a_pair_that_has_crashed():
    assert "NO_PRIMARY" not in codes(made(change=no_database))


def test_a_package_without_a_hub_says_why_there_is_no_database():
    found = codes(made(change=lambda results: (community(results), no_database(results))))
    assert "VENDOR_COMMUNITY" in found and not set(found) & {"NO_DATABASE", "NO_PRIMARY"}


FINE = [
    ("another PostgreSQL on the usual port, which the pair does not use", {},
     lambda results: (of("hub1", "postgres", port=5433)(results), of("hub2", ports=[22, 5432])(results))),
    ("our own slot is there", hub1_has(slots_used=10, settings={"max_replication_slots": "10"}),
     of("hub1", "postgres", "server", slots=["hub_ha_hub2"])),
    ("the setting is raised in this run", hub1_has(senders_used=4, settings={"max_wal_senders": "4"}),
     lambda results: results["hub1"]["hub"]["postgres"]["server"]["settings"]["max_wal_senders"].update(setting="4")),
    ("a library of the hub's own package", hub1_has(preload=[library("auto_explain", "postgresql-17")]), None),
    ("a library that the standby there has loaded", {"results": pair.running_pair(), "hub1": {"preload": [library("mine")]}, "hub2": {
        "libraries": [], "preload": [library("mine")]}}, None),
    ("a library elsewhere, in a pair", {"results": pair.running_pair(), **hub1_has(preload=[elsewhere("/opt/x/foo.so")])}, None),
    ("a library that is there", {"hub1": {"preload": [library("pg_cron", "x")]}, "hub2": {"libraries": ["pg_cron"]}}, there),
    ("what the agent itself sets", hub1_has(recovery=[{
        "name": "primary_conninfo", "file": "/var/lib/cfengine3/state/pg/tmp/recovery.conf", "line": 1}]), None),
    ("huge pages of that size", {"hub1": {"settings": GIANT}, "hub2": {
        "memory": dict(memory(64000), pools={"2048": 0, "1048576": 9 << 30})}}, shared("9000MB")),
    ("huge pages, by a version without their size", {"hub1": {"settings": {"huge_pages": "on"}}, "hub2": {
        "memory": dict(memory(64000), huge=9 << 30)}}, shared("9000MB")),
    ("memory enough", {"hub2": {"memory": memory(16000)}}, shared("9000MB")),
    ("a version that does not tell its memory", {"hub2": {"memory": memory(16)}}, shared(None)),
    ("a library of a session that is there", {"hub1": {"preload": [dict(library("plugins/mine"), setting="local_preload_libraries")]},
                                              "hub2": {"libraries": ["plugins/mine"]}}, there),
    ("a line below our include that is not ours", hub1_has(overriding={"work_mem": "x line 1"}), None),
]


@pytest.mark.parametrize("given, change", [pytest.param(*case[1:], id=case[0]) for case in FINE])
def test_what_stands_in_nobodys_way(given, change):
    found = made(change=change, **given)
    assert found["failures"] == [] and [item for item in found["warnings"] if item["code"] == "LIBRARY_LACKS"] == []


def test_a_standby_that_streams_has_its_sender():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["server"]["streaming"] = ["hub2"]
    assert made(results, hub1={"senders_used": 10, "settings": {"max_wal_senders": "10"}})["failures"] == []


def test_a_server_outside_its_unit_may_stay_when_nothing_restarts_it():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["unit"] = "pacemaker.service"
    assert made(results)["failures"] == []


WARNED = [
    ("a library that each session loads", hub1_has(preload=[dict(library("pgaudit", "postgresql-17-pgaudit"),
                                                                 setting="session_preload_libraries")]),
     "session_preload_libraries of hub1 names pgaudit, which is not here and comes with no package of the hub: without it the copy "
     "of the database takes no session", "LIBRARY_LACKS"),
    ("a library that anybody may load", {"hub1": {"preload": [dict(library("plugins/mine"), setting="local_preload_libraries")]},
                                         "hub2": {"libraries": ["mine"]}, "change": there}, "names plugins/mine", "LIBRARY_LACKS"),
    ("a library elsewhere", hub1_has(preload=[elsewhere("/opt/x/foo.so")]),
     "outside of PostgreSQL's own directory, and whether it is here is not known: /opt/x/foo.so", "LIBRARY_LACKS"),
    ("mounted where it serves", hub1_has(mounts=[DATA]), "cannot be cloned anew", "DATA_DIR_MOUNTED"),
    ("little room for WAL", hub1_has(wal_space={"path": "/var/lib", "free_bytes": 1 << 30, "total_bytes": 60 << 30}),
     "1.0 GB free for PostgreSQL's WAL", "DISK_BELOW_SLOT_BOUND"),
    ("archiving", hub1_has(archive_paths=["/mnt/wal"]), "archive_command, which names /mnt/wal", "ARCHIVE_ON_BOTH"),
    ("archiving by a program", hub1_has(archive_programs=["pgbackrest"]), "which names pgbackrest", "ARCHIVE_ON_BOTH"),
    ("archiving by a library", hub1_has(settings={"archive_mode": "on", "archive_library": "basic_archive"}),
     "the same archive_library, basic_archive", "ARCHIVE_ON_BOTH"),
    ("archiving at once", hub1_has(archive_paths=["/mnt/wal"], settings={"archive_mode": "always"}),
     "and at once, since archive_mode is always, hub2 does it", "ARCHIVE_ON_BOTH"),
    ("German", hub1_has(settings={"lc_messages": "de_DE.UTF-8"}), "lc_messages is de_DE.UTF-8", "MESSAGES_LANGUAGE"),
]


@pytest.mark.parametrize("given, text, code", [pytest.param(*case[1:], id=case[0]) for case in WARNED])
def test_said_and_no_refusal(given, text, code):
    found = made(**given)
    assert found["failures"] == [] and len(found["warnings"]) == 1
    warning = found["warnings"][0]
    assert text in warning["problem"] and (warning["code"], warning["severity"]) == (code, "warning") and warning["remedy"]


# --- facts -------------------------------------------------------------------------------------------------------

def test_mount_points_at_and_below_a_directory():
    text = ("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:2 / /srv/pg rw - xfs /dev/sdb rw\n"
            "31 30 8:3 / /srv/pg/pg_wal rw - xfs /dev/sdc rw\n32 22 8:4 / /srv/pg2 rw - xfs /dev/sdd rw\n"
            "33 22 8:5 / /srv/my\\040pg rw - xfs /dev/sde rw\n")
    assert facts.mounts_in(text, "/srv/pg") == ["/srv/pg", "/srv/pg/pg_wal"]
    assert facts.mounts_in(text, "/srv/my pg") == ["/srv/my pg"]
    assert facts.mounts_in(text, "/srv/pg3") == []


def test_what_a_restore_leaves_is_named_and_not_shown():
    text = ("# Do not edit this file manually!\nwork_mem = '4MB'\nprimary_conninfo = 'host=x password=hush'\n"
            "restore_command = ''\nrecovery_target_time = '2026-01-01'\n")
    assert facts.auto_conf(text) == ["primary_conninfo", "recovery_target_time"]


CONF = """
listen_addresses = 'localhost'
include_if_exists 'hub_ha.conf'
include '/x/recovery.conf' # added by pgsql RA
ssl = off
include_dir 'conf.d'
"""


def test_what_stands_below_our_include():
    items = [{"name": name, "file": file, "line": line} for name, file, line in (
        ("listen_addresses", "/d/postgresql.conf", 2), ("ssl", "/d/hub_ha.conf", 1), ("ssl", "/d/postgresql.conf", 5),
        ("primary_conninfo", "/x/recovery.conf", 1), ("port", "/d/conf.d/site.conf", 3))]
    assert facts.overriding(CONF, items, "/d/postgresql.conf") == {
        "ssl": "/d/postgresql.conf line 5", "port": "/d/conf.d/site.conf line 3"}
    assert facts.overriding("ssl = off\n", items, "/d/postgresql.conf") == {}, "our line will be the last one"


def test_paths_of_an_archive_command_and_nothing_else_of_it():
    assert facts.absolute_paths("test ! -f /mnt/wal/%f && TOKEN=hush cp %p /mnt/wal/%f") == ["/mnt/wal"]
    assert facts.absolute_paths("rsync -a %p backup@host:/wal/%f") == []
    assert facts.absolute_paths("/usr/bin/pgbackrest --stanza=hub archive-push %p") == ["/usr/bin/pgbackrest"]


@pytest.mark.parametrize("command, names", [
    ("test ! -f /mnt/wal/%f && TOKEN=hush cp %p /mnt/wal/%f", []), ("rsync -a %p backup@host:/wal/%f", ["rsync"]),
    ("pgbackrest --stanza=hub archive-push %p", ["pgbackrest"]), ("/usr/bin/pgbackrest archive-push %p", []),
    ("TOKEN=hush wal-g wal-push %p || exit 1", ["wal-g"]), ("gzip < %p > /mnt/%f && sync", ["gzip"]), ("", []), (" ; ", [])])
def test_programs_of_an_archive_command_and_nothing_else_of_it(command, names):
    assert facts.programs(command) == names


def test_a_log_that_the_server_writes_outside_of_its_data(tmp_path):
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    log.mkdir(mode=0o750)
    given = {"logging_collector": "on", "log_directory": str(log)}
    assert facts.own_log(given, str(data)) == {"path": str(log), "owner": owners.of(os.stat(log))}
    for change in ({"logging_collector": "off"}, {"log_directory": "log"}, {"log_directory": "/var/log/"},
                   {"log_directory": str(tmp_path / "none")}, {"log_directory": str(data / "log")}):
        assert facts.own_log(dict(given, **change), str(data)) is None, change


@pytest.mark.parametrize("owner, wanted", [
    ("cfpostgres:cfpostgres 0700", ("cfpostgres", "cfpostgres", "0700")), ("root:postgres 1775", ("root", "postgres", "1775")),
    ("logs:staff 0777", ("cfpostgres", "cfpostgres", "0777")),
    ("logs:domain users 0770", ("cfpostgres", "cfpostgres", "0770"))])
def test_that_log_has_its_place_on_the_other_hub(owner, wanted):
    change = of("hub1", "db_user", group="cfpostgres", groups=["postgres"])
    found = made(change=change, hub1={"log_directory": {"path": "/srv/log", "owner": owner}})
    place = found["log_directory"]
    assert found["failures"] == [] and (place["owner"], place["group"], place["mode"]) == wanted and place["path"] == "/srv/log"
    assert made()["log_directory"] is None
    tasks = yaml.safe_load((ROLES / "database/tasks/places.yml").read_text(encoding="utf-8"))
    names = [task["name"] for task in tasks]
    assert names.index("Groups that the database user is in on the active hub") < names.index("Database user, as on the active hub") \
        < names.index("Directory of the log that PostgreSQL writes itself, as on the active hub")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_a_place_for_that_log_that_serves_stays_as_it_is():
    tasks = yaml.safe_load((ROLES / "database/tasks/places.yml").read_text(encoding="utf-8"))
    look, make = [next(task for task in tasks if task["name"].startswith(name)) for name in (
        "Look whether the database user can write", "Directory of the log that PostgreSQL writes itself")]
    assert "%s.rc | default(0) != 0" % look["register"] in make["when"] and look["changed_when"] is False
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        found = {}
        for name, mode in (("open", 0o1777), ("own", 0o755), ("no x", 0o666), ("closed", 0o755), ("none", None)):
            path = os.path.join(folder, name)
            if mode is not None:
                os.mkdir(path)
                os.chmod(path, mode)
            if name == "own":
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
            argv = NativeEnvironment().from_string(look["ansible.builtin.command"]["argv"]).render(
                database_runuser=["runuser", "-u", "nobody", "--"], hub_ha={"log_directory": {"path": path}})
            found[name] = local_runner(argv, check=False).rc
    assert found == {"open": 0, "own": 0, "no x": 1, "closed": 1, "none": 1}


def test_libraries_of_sessions_are_read_too():
    told = {"settings": {"shared_preload_libraries": "pg_cron", "local_preload_libraries": "x, $libdir/plugins/y"},
            "own_preload": ["session_preload_libraries=pgaudit,pg_cron"]}
    assert facts.preloads(told) == [
        ("shared_preload_libraries", "pg_cron"), ("local_preload_libraries", "x"), ("local_preload_libraries", "$libdir/plugins/y"),
        ("session_preload_libraries", "pgaudit"), ("session_preload_libraries", "pg_cron")]
    paths = [facts.library_path(name, "/lib", setting) for setting, name in facts.preloads(told)]
    assert [facts.library_key(path) for path in paths] == ["pg_cron", "plugins/x", "plugins/y", "pgaudit", "pg_cron"]


def test_the_question_is_one_that_a_server_answers():
    lab = Lab()
    try:
        server = lab.server("a").create()
        server.sql("CREATE ROLE r; ALTER ROLE r SET session_preload_libraries = 'x'")
        found = facts.ask(local_runner, {"server": {"x": 1}, "bin_dir": lab.bin, "port": server.port, "socket_dir": server.home})
        assert ("session_preload_libraries", "x") in facts.preloads(found)
        assert found["settings"]["huge_pages"] == "try" and found["settings"]["log_directory"] == "log"
    finally:
        lab.close()


def test_where_a_library_lies(tmp_path):
    assert facts.library_names('pg_cron, "auto_explain",$libdir/x') == ["pg_cron", "auto_explain", "$libdir/x"]
    assert facts.library_path("pg_cron", "/lib/pg") == "/lib/pg/pg_cron.so"
    assert facts.library_path("$libdir/x", "/lib/pg") == "/lib/pg/x.so"
    (tmp_path / "foo.so").write_text("", encoding="ascii")
    search = "$libdir:%s" % tmp_path
    assert facts.library_path("foo", "/lib/pg", search=search) == str(tmp_path / "foo.so")
    assert facts.library_path("bar", "/lib/pg", search=search) == "/lib/pg/bar.so"
    assert facts.library_path("/opt/x/foo", "/lib/pg", search=search) == "/opt/x/foo.so"
    assert [facts.is_own(path, "/lib/pg") for path in ("/lib/pg/a.so", "/lib/pg/plugins/a.so", "/opt/x/a.so", "/lib/pg/../a.so")] \
        == [True, True, False, False]


TOLD = {"settings": {"hba_file": "/etc/pg_hba.conf", "shared_preload_libraries": "", "archive_mode": "on",
                     "max_wal_senders": "10"},
        "set": [{"name": "ssl", "file": "/etc/site.conf", "line": 1}, {"name": "restore_command", "file": "/etc/site.conf", "line": 2}],
        "archive": "cp %p /mnt/%f", "slots_used": 2, "senders_used": 1, "pkglibdir": "/usr/lib/x"}


def test_the_facts_of_a_hub(tmp_path):
    data = tmp_path / "pg" / "data"
    (data / "pg_wal").mkdir(parents=True)
    (data / "lost+found").mkdir(mode=0o700)
    (data / "postgresql.auto.conf").write_text("primary_slot_name = 'old'\n", encoding="ascii")
    (tmp_path / "17" / "bin").mkdir(parents=True)
    (tmp_path / "17" / "lib").mkdir()
    (tmp_path / "17" / "lib" / "pg_cron.so").write_text("", encoding="ascii")
    (tmp_path / "mounts").write_text("1 2 8:1 / %s rw\n" % data, encoding="ascii")
    answers = []

    def run(argv, stdin=None, check=True, **_more):
        answers.append(stdin)
        return Completed(argv, 0, json.dumps(TOLD), "")
    postgres = {"data_dir": str(data), "bin_dir": str(tmp_path / "17" / "bin"), "port": 5432, "socket_dir": "/tmp", "server": {"x": 1}}
    layout = {"tmp_dir": str(tmp_path / "pg/tmp"), "ha_dir": str(tmp_path / "pg/hub_ha")}
    found = facts.look(run, layout, postgres, os.getuid() + 1, str(tmp_path / "mounts"), str(tmp_path / "none"))
    assert found["mounts"] == [str(data)] and found["lost_found"] == str(data / "lost+found")
    assert found["auto_conf"] == ["primary_slot_name"] and found["libraries"] == ["pg_cron"]
    assert found["misplaced"] == {"hba_file": "/etc/pg_hba.conf"} and found["outside"] == ["/etc/site.conf"]
    assert [item["name"] for item in found["recovery"]] == ["restore_command"]
    assert found["archive_paths"] == ["/mnt"] and (found["slots_used"], found["senders_used"]) == (2, 1)
    assert found["wal_space"]["total_bytes"] > 0 and not found["python_apt"] and len(answers) == 1
    still = facts.look(run, layout, dict(postgres, server=None, bin_dir=None), os.getuid(), str(tmp_path / "mounts"))
    assert still["libraries"] is None and still["lost_found"] is None and still["slots_used"] is None and len(answers) == 1


# --- who said nothing --------------------------------------------------------------------------------------------

UNREAD = [
    ("no route", {"unreachable": True, "msg": "ssh:\n connect timed out"}, "HUB_UNREACHABLE",
     "cannot be reached: ssh: connect timed out", "-m ping hub2"),
    ("nothing at all", {}, "HUB_UNREACHABLE", "cannot be reached: no answer", "-m ping hub2"),
    ("no sudo password", {"failed": True, "msg": "Task failed: Missing sudo password"}, "NOT_ROOT",
     "may not become root: Task failed: Missing sudo password", "--ask-become-pass"),
    ("a wrong one", {"failed": True, "msg": "Incorrect sudo password"}, "NOT_ROOT", "may not become "
                                                                                    "root", "--ask-become-pass"),
    ("sudo itself", {"unreachable": True, "msg": "Premature end of stream waiting for become success.\nsudo: a "
                                                 "password is required"},
     "NOT_ROOT", "may not become root", "--ask-become-pass"),
    ("no become", {"failed": True, "msg": "root is needed on hub2: connect as root or set ansible_become"}, "NOT_ROOT",
     "may not become root", "ansible -i INVENTORY -b -m ping hub2"),
    ("no Python", {"failed": True, "rc": 127, "msg": "The module interpreter '/usr/bin/python3' was not found."},
     "HUB_UNREADABLE", "no Python that Ansible can use: The module interpreter '/usr/bin/python3' was not found.",
     "ansible_python_interpreter"),
    ("one that is too old", {"failed": True, "rc": 1, "msg": "MODULE FAILURE", "module_stderr": "ansible-core requires a "
                             "minimum of Python version 3.9. Current version: 3.6.8"}, "HUB_UNREADABLE",
     "no Python that Ansible can use: MODULE FAILURE", "3.9 or newer"),
    ("it failed there", {"failed": True, "msg": "ip did not end within 60 s"}, "HUB_UNREADABLE",
     "it answers, and could not be read: ip did not end within 60 s", "cfengine.hub_ha.hub_info hub2"),
]


@pytest.mark.parametrize("result, code, problem, remedy", [pytest.param(*case[1:], id=case[0]) for case in UNREAD])
def test_why_a_hub_could_not_be_read(result, code, problem, remedy):
    found = plan.make_plan(dict(pair.results(), hub2=result), pair.settings())["failures"]
    assert [(item["host"], item["code"]) for item in found] == [("hub2", code)]
    assert problem in found[0]["problem"] and remedy in found[0]["remedy"]


def test_a_policy_that_takes_long_to_read_is_no_hub_that_cannot_be_reached(tmp_path):
    (tmp_path / "promises.cf").write_text("body", encoding="ascii")

    def run(argv, **_more):
        raise CommandTimeout(["cf-promises"], 60)
    assert probe.acl_in_policy(run, {"masterfiles": str(tmp_path), "bin_dir": "/bin"}) == (
        None, "cf-promises did not end within 60 s")
    found = made(change=of("hub1", "cfengine", acl_in_policy=None, acl_unknown="cf-promises did not end within 60 s"))
    assert found["failures"] == [] and [item["code"] for item in found["warnings"]] == ["POLICY_SLOW"]


def test_a_hub_that_was_bootstrapped_to_a_name(monkeypatch):
    """The framework's own list names its address, which is no list of the operator's."""
    monkeypatch.setattr(probe, "resolve", lambda names: {name: ["192.168.100.10"] for name in names})
    assert probe.named(["192.168.100.10/16"], "hub1.example.com") == ["hub1.example.com/16"]
    assert probe.named(["10.0.0.0/8"], "hub1.example.com") == ["10.0.0.0/8"] and probe.named(None, "hub1.example.com") is None
    found = made(change=of("hub1", "cfengine", policy_server="hub1.example.com", acl_in_policy=["hub1.example.com/16"]))
    assert found["failures"] == [] and found["warnings"] == []


# --- what the roles do with them ---------------------------------------------------------------------------------

ROLES = Path(__file__).parents[3] / "roles"


def rendered(text, **variables):
    return NativeEnvironment().from_string(text).render(**variables)


@pytest.mark.parametrize("socket, words", [("/run/elsewhere", ["-h", "/run/elsewhere"]), ("", [])])
def test_psql_goes_to_the_servers_own_socket_and_port(socket, words):
    own = yaml.safe_load((ROLES / "database/vars/main.yml").read_text(encoding="utf-8"))
    assert rendered(own["database_psql"], hub_ha={"pg_bin": "/pg", "pg_port": 5433}, database_socket=socket) == [
        "/pg/psql", "-XAtq", "-p", "5433"] + words + ["-d", "postgres", "-c"]
    tasks = "".join(path.read_text(encoding="utf-8") for path in (ROLES / "database/tasks").glob("*.yml"))
    assert "/psql" not in tasks and tasks.count("socket_dir: \"{{ database_socket") == tasks.count("hub_ha.replication_role:")


def test_the_ports_that_are_tried_are_those_that_are_used():
    task = yaml.safe_load((ROLES / "preflight/tasks/links.yml").read_text(encoding="utf-8"))[0]
    assert rendered(task["cfengine.hub_ha.link_check"]["tcp_ports"],
                    hub_ha={"pg_port": 5433, "probe": {"ports": ["tcp"]}}) == [5308, 5433]


@pytest.mark.parametrize("check, there, tried", [(True, False, False), (True, True, True), (False, False, True)])
def test_check_mode_does_without_python3_apt(check, there, tried):
    """Ansible's module fails in check mode where python3-apt lacks, which it installs in a real run."""
    own = yaml.safe_load((ROLES / "packages/vars/main.yml").read_text(encoding="utf-8"))
    tasks = {task["name"]: task for task in yaml.safe_load((ROLES / "packages/tasks/install.yml").read_text(encoding="utf-8"))}
    facts_of_hub = {"hub": {"layouts": {"python_apt": there}}}
    untried = rendered(own["packages_untried"], ansible_check_mode=check, hub_ha_read=facts_of_hub)
    known = {"packages_missing": ["x"], "hub_ha": {"platform": {"packager": "apt"}}, "packages_untried": untried}
    for name, wanted in (("Install packages", tried), ("Install packages, as a real run will do it", not tried)):
        assert rendered("{{ %s }}" % tasks[name]["when"], **known) == wanted
