# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading a hub: real files, and a runner that answers as the tools do."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from unittest import mock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.action import hub_info as action_plugin
from ansible_collections.cfengine.hub_ha.plugins.action.hub_info import ActionModule
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import layout as layouts
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandMissing, Completed, HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import (
    postgres as pg_facts,
    probe as hub_loader,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import packages, system
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.wanted import wanted_settings
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.checks import clocks
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_info
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.keys import cfkeys

KEYS = list(cfkeys.KNOWN.values())[:4]
CONTROL = "Database system identifier:           7441\nDatabase cluster state:               in production\n"


class Runner:
    """Answers by the program's name and notes what was asked."""

    def __init__(self, **answers):
        self.answers = answers
        self.calls = []

    def __call__(self, argv, stdin=None, env=None, timeout=None, check=True):
        name = os.path.basename(argv[0]).replace("-", "_")
        self.calls.append((argv, stdin, env))
        if name not in self.answers:
            raise CommandMissing(argv[0])
        answer = self.answers[name]
        answer = answer(argv) if callable(answer) else answer
        rc, out = answer if isinstance(answer, tuple) else (0, answer)
        return Completed(argv, rc, out if rc == 0 else "", "" if rc == 0 else out)


def write(path, text="x", mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    """A layout in a temporary directory, with PostgreSQL 15 and 17 installed and 17 in use."""
    layout = dict((key, value.replace("/var/lib/cfengine3", str(tmp_path)) if isinstance(value, str) else value)
                  for key, value in layouts.LAYOUTS["debian"].items())
    layout["bin_dir"] = str(tmp_path / "bin")
    layout["pg_bin_globs"] = [str(tmp_path / "pg/*/bin")]
    for major in ("15", "17"):
        write(tmp_path / "pg" / major / "bin" / "postgres", "#!/bin/sh\n", 0o755)
    return layout


def version(argv):
    return "postgres (PostgreSQL) %s.6 (Debian)\n" % argv[0].split("/")[-3]


def database(layout, pid=None, major="17"):
    data = layout["data_dir"]
    os.makedirs(data, exist_ok=True)
    for name, text in (("PG_VERSION", major + "\n"), ("postgresql.conf", "# conf\n"), ("pg_hba.conf", "# hba\n")):
        with open(os.path.join(data, name), "w", encoding="utf-8") as handle:
            handle.write(text)
    if pid:
        with open(data + "/postmaster.pid", "w", encoding="utf-8") as handle:
            handle.write("%d\n%s\n1763862120\n5433\n/run/pg\nlocalhost\n" % (pid, data))


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

def test_no_database(hub):
    found = hub_loader.postgres(Runner(postgres=version), hub)
    assert (found["state"], found["data_dir_state"], found["data_version"]) == ("absent", "absent", "")
    assert sorted(found["bins"]) == ["15", "17"] and found["bin_dir"] == hub["pg_bin_globs"][0].replace("*", "17")
    assert found["server"] is None and found["control"] == {} and not found["lock"] and not found["side"]


def test_no_postgresql_at_all(hub):
    hub["pg_bin_globs"] = ["/nowhere/*"]
    found = hub_loader.postgres(Runner(), hub)
    assert found["bin_dir"] is None and found["bins"] == {} and found["state"] == "absent"


def test_empty_and_foreign_data_directory(hub):
    os.makedirs(hub["data_dir"])
    assert hub_loader.postgres(Runner(postgres=version), hub)["state"] == "absent"
    with open(hub["data_dir"] + "/photo.jpg", "w", encoding="utf-8") as handle:
        handle.write("x")
    assert hub_loader.postgres(Runner(postgres=version), hub)["state"] == "foreign"


def test_stopped_database_is_read_with_the_programs_of_its_version(hub):
    database(hub, major="15")
    run = Runner(postgres=version, pg_controldata=CONTROL)
    found = hub_loader.postgres(run, hub)
    assert found["state"] == "stopped" and found["control"]["system_identifier"] == "7441"
    assert found["bin_dir"].endswith("/15/bin")
    assert [call[0] for call in run.calls if "pg_controldata" in call[0][0]] == [
        [found["bin_dir"] + "/pg_controldata", hub["data_dir"]]]
    assert not [call for call in run.calls if "psql" in call[0][0]], "nobody is asked who does not run"


def test_a_database_that_was_never_started_is_told_from_others(hub):
    database(hub)
    run = Runner(postgres=version, pg_controldata=CONTROL)
    assert not hub_loader.postgres(run, hub)["started"]
    with open(hub["data_dir"] + "/postmaster.opts", "w", encoding="utf-8"):
        pass
    assert hub_loader.postgres(run, hub)["started"]


def test_nothing_of_postgresqls_configuration_is_returned(hub):
    """Operators have passwords in it, such as in primary_conninfo."""
    database(hub)
    for name in ("postgresql.conf", "pg_hba.conf"):
        with open(hub["data_dir"] + "/" + name, "a", encoding="utf-8") as handle:
            handle.write("primary_conninfo = 'password=hush-hush'\n")
    assert "hush-hush" not in json.dumps(hub_loader.postgres(Runner(postgres=version, pg_controldata=CONTROL), hub))


@pytest.mark.parametrize("marks, state, minimum, was_primary", [
    (["backup_label"], "in production", "0/0", False), (["standby.signal"], "in archive recovery", "0/5000000", False),
    (["standby.signal"], "in archive recovery", "0/0", True), ([], "shut down in recovery", "0/5000000", False),
    (["standby.signal"], "in production", "0/0", True), (["standby.signal"], "shut down", "0/0", True),
    (["standby.signal", "PGSQL.lock"], "in archive recovery", "0/5000000", False)])
def test_a_copy_is_told_from_a_former_primary(hub, marks, state, minimum, was_primary):
    database(hub)
    for mark in marks:
        path = (hub["tmp_dir"] if mark == "PGSQL.lock" else hub["data_dir"]) + "/" + mark
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("START WAL LOCATION: 0/4000028 (file 000000010000000000000004)\nSTART TIMELINE: 1\n")
    control = ("Database cluster state:               %s\nDatabase system identifier:           7441\n"
               "Latest checkpoint's TimeLineID:       1\nMinimum recovery ending location:     %s\n" % (state, minimum))
    found = hub_loader.postgres(Runner(postgres=version, pg_controldata=control), hub)
    assert found["lock"] == ("PGSQL.lock" in marks)
    side = pg_facts.side(found, "hub1")
    assert (side.name, side.was_primary, side.timeline, side.running) == ("hub1", was_primary, 1, False)
    assert side.position is None and side.why, "there is no pg_waldump here, and that is said"


@pytest.fixture(name="server")
def fixture_server(hub, tmp_path):
    """A process that /proc shows as PostgreSQL 17."""
    program = tmp_path / "pg" / "17" / "bin" / "postgres"
    program.unlink()
    with open(os.path.realpath("/bin/sleep"), "rb") as source:
        program.write_bytes(source.read())
    program.chmod(0o755)
    os.makedirs(hub["data_dir"])
    # The working directory of a postmaster is its data directory.
    with subprocess.Popen([str(program), "60"], cwd=hub["data_dir"]) as process:
        database(hub, process.pid)
        yield process
        process.kill()


def answered(**changes):
    """What a server says to the one query."""
    found = dict(pair.live_hub()["postgres"]["server"], settings=None, **changes)
    del found["reload_pending"]
    return found


def test_running_database(hub, server):
    answer = answered(system_identifier="7441", conf_load_time=4e9)
    run = Runner(postgres=version, pg_controldata=CONTROL, psql=json.dumps(answer))
    found = hub_loader.postgres(run, hub)
    assert (found["state"], found["pid"], found["port"]) == ("primary", server.pid, 5433)
    assert found["server"] == dict(answer, reload_pending=False) and found["error"] is None
    argv, stdin, env = [call for call in run.calls if "psql" in call[0][0]][0]
    assert argv[1:] == ["-XAtqw", "-v", "ON_ERROR_STOP=1", "-U", "root", "-p", "5433", "-d",
                        "dbname=postgres connect_timeout=5", "-h", "/run/pg"]
    assert stdin == hub_loader.SQL and not env


def test_files_written_after_the_server_read_them(hub, server):
    answer = answered(conf_load_time=1000.0)
    run = Runner(postgres=version, pg_controldata=CONTROL, psql=json.dumps(answer))
    for folder, name in ((hub["data_dir"], "pg_hba.conf"), (hub["data_dir"], "postgresql.conf")):
        os.utime(folder + "/" + name, (999, 999))
    assert hub_loader.postgres(run, hub)["server"]["reload_pending"] is False
    os.makedirs(hub["ha_dir"])
    for path in (hub["data_dir"] + "/pg_hba.conf", hub["ha_dir"] + "/root.crt"):
        with open(path, "w", encoding="utf-8"):
            pass
        assert hub_loader.postgres(run, hub)["server"]["reload_pending"] is True
        os.utime(path, (999, 999))
    assert server.poll() is None


def test_link_that_is_newer_than_its_target_counts(tmp_path):
    """A certificate of the operator's may be older than the server that is to use it now."""
    target, link = tmp_path / "own.crt", tmp_path / "server.crt"
    target.write_text("x")
    os.utime(target, (1000, 1000))
    assert hub_loader.newest_change([str(target), str(tmp_path / "none")]) == 1000
    link.symlink_to(target)
    assert hub_loader.newest_change([str(link)]) == os.lstat(link).st_mtime > 1000


def test_running_database_that_does_not_answer(hub, server):
    run = Runner(postgres=version, pg_controldata=CONTROL, psql=(2, "FATAL:  role \"root\" does not exist\n"))
    found = hub_loader.postgres(run, hub)
    assert found["state"] == "unreachable" and found["error"] == "FATAL:  role \"root\" does not exist"
    assert found["pid"] == server.pid


def test_left_over_pid_file_is_no_server(hub):
    database(hub, os.getpid())
    found = hub_loader.postgres(Runner(postgres=version, pg_controldata=CONTROL), hub)
    assert found["state"] == "stopped" and found["pid"] is None, "the number belongs to another program now"


def test_pid_of_nobody(hub):
    database(hub, 4194304 + 5)
    found = hub_loader.postgres(Runner(postgres=version, pg_controldata=CONTROL), hub)
    assert found["state"] == "stopped" and found["pid"] is None


def test_query_reads_every_setting_that_the_plan_looks_at():
    asked = set(hub_loader.SETTINGS)
    wanted = wanted_settings(None, {"wal_keep_size": 1, "max_slot_wal_keep_size": 1}, "/x")["include"]
    assert set(wanted) | {"data_checksums", "synchronous_standby_names", "unix_socket_directories"} <= asked
    assert set(pair.stock_settings("/x")) == asked, "the fixture is what the query returns"


# --- CFEngine -----------------------------------------------------------------------------------------------------

def cfengine_files(hub, digest="SHA=" + "ab" * 32):
    for path, text in ((hub["masterfiles"] + "/promises.cf", "body"), (hub["def_json"], "{}"),
                       (hub["policy_server"], "192.168.100.10\n"), (hub["am_policy_hub"], ""),
                       (hub["ppkeys"] + "/localhost.pub", "PUBLIC"), (hub["ppkeys"] + "/localhost.priv", "PRIVATE-X"),
                       (hub["ppkeys"] + "/root-%s.pub" % KEYS[0]["SHA"], KEYS[0]["public"]),
                       (hub["ppkeys"] + "/root-%s.pub" % KEYS[1]["SHA"], KEYS[1]["public"]),
                       (hub["ppkeys"] + "/garbage.pub", "garbage of %s" % digest),
                       (hub["ppkeys"] + "/root-SHA=11.pub", "")):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)
    return Runner(cf_agent="CFEngine Core 3.24.2\n", cf_key=digest + "\n",
                  cf_promises='default:def.acl   {"192.168.100.10/16"}   source=promise\n')


def test_cfengine(hub):
    found = hub_loader.cfengine(cfengine_files(hub), hub, True)
    assert (found["version"], found["edition"], found["policy_server"]) == ("3.24.2", "community", "192.168.100.10")
    assert found["am_policy_hub"] and found["def_json_error"] is None and found["ha_info"] is None
    assert found["key_digest"] == "SHA=" + "ab" * 32 and found["key_public"] == "PUBLIC"
    assert found["client_keys"] == 2
    assert "PRIVATE-X" not in json.dumps(found)


def test_cfengine_not_installed(hub):
    found = hub_loader.cfengine(Runner(), hub, False)
    assert found["version"] is None and not found["installed"] and not found["am_policy_hub"]


def test_enterprise_edition(hub):
    run = cfengine_files(hub)
    os.makedirs(hub["bin_dir"])
    with open(hub["bin_dir"] + "/cf-hub", "w", encoding="utf-8"):
        pass
    assert hub_loader.cfengine(run, hub, True)["edition"] == "enterprise"


def test_two_hubs_that_know_the_same_hosts_compare_equal(hub, tmp_path):
    """Each has the other's key under root-DIGEST.pub and its own as localhost.pub."""
    digests = []
    for own, other in (KEYS[2:], KEYS[:1:-1]):
        folder = str(tmp_path / own["MD5"])
        layout = dict((key, value.replace(str(tmp_path), folder) if isinstance(value, str) else value)
                      for key, value in hub.items())
        run = cfengine_files(layout, own["SHA"])
        for name, key in (("localhost.pub", own), ("root-%s.pub" % other["SHA"], other)):
            with open(layout["ppkeys"] + "/" + name, "w", encoding="utf-8") as handle:
                handle.write(key["public"])
        digests.append(hub_loader.cfengine(run, layout, True)["client_keys_digest"])
    assert digests[0] == digests[1]
    os.unlink(layout["ppkeys"] + "/root-%s.pub" % KEYS[0]["SHA"])
    assert hub_loader.cfengine(run, layout, True)["client_keys_digest"] != digests[0]


def test_tree(tmp_path):
    write(tmp_path / "a" / "one", "1")
    (tmp_path / "a" / "link").symlink_to("one")
    (tmp_path / "a" / "broken").symlink_to("/nowhere")
    assert hub_loader.tree(str(tmp_path)) == {
        "a/one": hashlib.sha256(b"1").hexdigest(), "a/link": "-> one", "a/broken": "-> /nowhere"}
    assert hub_loader.tree(str(tmp_path / "none")) == {}


# --- the host -----------------------------------------------------------------------------------------------------

def test_file_state(tmp_path):
    path = write(tmp_path / "key", "secret", 0o400)
    state = hub_loader.file_state(str(path))
    assert state == {"exists": True, "sha256": hashlib.sha256(b"secret").hexdigest(), "mode": "0400", "owner": "root"}
    os.chown(path, 54321, 54321)
    assert hub_loader.file_state(str(path))["owner"] == "54321"
    assert hub_loader.file_state(str(tmp_path / "none")) == {"exists": False}


def test_read_text(tmp_path):
    path = write(tmp_path / "a", "x")
    assert hub_loader.read_text(str(path)) == "x"
    assert hub_loader.read_text(str(tmp_path / "none")) is None
    assert hub_loader.read_text(str(path / "below a file")) is None


def test_hosts_without_systemd_or_apt(monkeypatch):
    assert hub_loader.units(Runner()) == {}
    monkeypatch.setattr(packages, "which", lambda program: None)
    assert packages.states(Runner(), ["corosync"]) is None
    assert packages.states(Runner(), []) == {}


def test_packages_and_units_ask_once(monkeypatch):
    monkeypatch.setattr(packages, "which", lambda program: "/usr/bin/" + program)
    run = Runner(apt_cache="a:\n  Installed: 1\n  Candidate: 2\n", systemctl="Id=corosync.service\nLoadState=loaded\n")
    assert packages.states(run, ["a", "b"])["a"] == {"installed": "1", "candidate": "2"}
    assert list(hub_loader.units(run)) == ["corosync"]
    assert [len(call[0]) for call in run.calls] == [4, 3 + len(hub_loader.MANAGED_UNITS)]


def test_resolve():
    found = hub_loader.resolve(["127.0.0.1", "no-such-host.invalid"])
    assert found == {"127.0.0.1": ["127.0.0.1"], "no-such-host.invalid": []}


def test_free_space_of_a_directory_that_is_not_there_yet(tmp_path):
    found = hub_loader.free_space(str(tmp_path / "a" / "b"))
    assert found["path"] == str(tmp_path) and 0 < found["free_bytes"] <= found["total_bytes"]


def test_listening_ports():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert port not in hub_loader.listening_ports()
        sock.listen(1)
        assert port in hub_loader.listening_ports()


def test_user():
    assert hub_loader.user("root")["uid"] == 0 and hub_loader.user("root")["home"] == "/root"
    assert hub_loader.user("no-such-user-x") == {"exists": False, "groups": []}


def test_cluster_running_and_not(monkeypatch):
    monkeypatch.setattr(hub_loader, "which", lambda program: "/usr/sbin/" + program)
    text = "<cib><configuration><nodes><node uname='hub1'/></nodes></configuration></cib>"
    found = hub_loader.cluster(Runner(pacemakerd="Pacemaker 3.0.0\n", cibadmin=text,
                                      corosync="Corosync Cluster Engine, version '3.1.9'\nCopyright (c) 2006\n",
                                      corosync_cmapctl="totem.config_version (u64) = 12\n"))
    assert found["running_version"] == 12 and found["corosync_version"] == "3.1.9"
    assert found["cib_readable"] and found["cib_nodes"] == ["hub1"] and found["pacemaker_version"] == "3.0.0"
    found = hub_loader.cluster(Runner(pacemakerd="Pacemaker 3.0.0\n", cibadmin=(102, "not connected"), corosync="",
                                      corosync_cmapctl=(1, "Failed to initialize the cmap API")))
    assert found["running_version"] is None
    assert not found["cib_readable"] and found["cib_nodes"] == [] and found["promoted"] is None
    monkeypatch.setattr(hub_loader, "which", lambda program: None)
    found = hub_loader.cluster(Runner())
    assert not found["corosync_installed"] and not found["pacemaker_installed"] and not found["cib_readable"]


@pytest.mark.parametrize("live, disk, has", [
    ("<cib><primitive id='cfpgsql'/></cib>", None, True), ("<cib/>", '<cib><primitive id="cfpgsql"/></cib>', False),
    ((102, "not connected"), '<cib><primitive id="cfpgsql" class="ocf"/></cib>', True),
    ((102, "not connected"), "<cib/>", False), ((102, "not connected"), None, False)])
def test_whether_pacemaker_has_the_database(monkeypatch, tmp_path, live, disk, has):
    """Also while it is stopped: it will take the database when it is started."""
    monkeypatch.setattr(hub_loader, "which", lambda program: "/usr/sbin/" + program)
    monkeypatch.setattr(hub_loader, "CIB_ON_DISK", str(tmp_path / "cib.xml"))
    if disk:
        (tmp_path / "cib.xml").write_text(disk)
    found = hub_loader.cluster(Runner(pacemakerd="Pacemaker 3.0.0\n", cibadmin=live, corosync="",
                                      corosync_cmapctl=(1, "")))
    assert found["has_database"] is has


def test_waiting_for_the_packager_ends(tmp_path):
    """Free at once, free after a while, never free, and a host without dpkg."""
    lock = write(tmp_path / "lock")
    naps = []
    for busy, limit, error in ((0, 9, None), (3, 9, None), (99, 1.2, HubError)):
        answers = iter([BlockingIOError(errno.EAGAIN, "busy")] * busy + [None] * 9)
        with mock.patch.object(packages, "open", lambda path, mode: open(lock, mode), create=True), \
                mock.patch.object(packages.fcntl, "lockf", side_effect=answers):
            del naps[:]
            call = (limit, naps.append, lambda: sum(naps))
            if error:
                with pytest.raises(error, match="packages have been installed on .* for more than 1 s"):
                    packages.wait(*call)
                assert sum(naps) >= limit
            else:
                packages.wait(*call)
                assert len(naps) == busy
    with mock.patch.object(packages, "open", side_effect=FileNotFoundError, create=True):
        packages.wait(0)


def test_whether_the_packager_was_cut_off_is_told_while_nobody_is_at_work(tmp_path):
    """dpkg keeps the same files while it works and when it was cut off; only the lock tells the two apart."""
    lock = write(tmp_path / "lock")
    at_work = iter([True, True, False])

    def lockf(dummy_handle, dummy_flags):
        if next(at_work):
            raise BlockingIOError(errno.EAGAIN, "busy")

    for left in (True, False):
        at_work = iter([True, True, False])
        with mock.patch.object(packages, "open", lambda path, mode: open(lock, mode), create=True), \
                mock.patch.object(packages.fcntl, "lockf", lockf), \
                mock.patch.object(packages, "interrupted", lambda: next(at_work, "idle") == "idle" and left):
            assert packages.wait(9, lambda seconds: None, lambda: 0, ["lock"]) is left


def test_only_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HubError, match="root is needed on .*ansible_become"):
        hub_loader.collect(Runner())


# --- module and action --------------------------------------------------------------------------------------------

def test_module_on_this_host(run_module, monkeypatch):
    """Real /proc, real files; only the commands that this host may lack are played."""
    run = Runner(ip="[]", systemctl="", apt_cache="", pacemakerd="", cibadmin=(102, ""), postgres=version,
                 corosync_cmapctl=(1, ""), corosync="",
                 cf_agent="3.24.2", cf_key="", psql=(2, ""), pg_controldata=(1, ""), nft="{}",
                 iptables=(1, ""), ufw="", firewall_cmd="")
    monkeypatch.setattr(hub_info, "local_runner", run)
    results = [run_module(hub_info, check=check, names=["localhost"], packages=["corosync"]) for check in (True, False)]
    for result in results:
        hub = result["hub"]
        assert result["changed"] is False
        assert hub["uname"] == os.uname().nodename and hub["clock"]["begin"] <= hub["clock"]["end"]
        assert hub["names"]["localhost"] and set(pair.live_hub()) - {"controller_clock"} == set(hub)
        del hub["clock"]
    assert results[0]["hub"]["layout"] == results[1]["hub"]["layout"]


def test_module_gives_the_operators_text(run_module, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run_module(hub_info)
    assert result["failed"] and "root is needed" in result["msg"]


def test_fixture_has_the_loaders_shape(hub):
    found = hub_loader.postgres(Runner(postgres=version), hub)
    for info in (pair.live_hub(), pair.blank_hub()):
        assert set(info["postgres"]) == set(found)
    assert set(pair.blank_hub()["cfengine"]) == set(hub_loader.cfengine(Runner(), hub, False))
    assert set(pair.live_hub()["cfengine"]) == set(hub_loader.cfengine(cfengine_files(hub), hub, True))
    assert set(pair.blank_cluster()) == set(hub_loader.cluster(
        Runner(pacemakerd="", cibadmin=(1, ""), corosync_cmapctl=(1, ""), corosync="")))
    assert set(pair.addresses(1)[0]) == set(system.addresses(
        [{"ifname": "e", "addr_info": [{"scope": "global", "local": "10.0.0.1", "prefixlen": 24}]}])[0])


class Time:
    """The controller's clock, and a hub's that is *ahead* s ahead of it; a look at that takes the next of *looks* s."""

    def __init__(self, ahead, module, looks):
        self.now, self.ahead, self.module, self.looks = 1000.0, ahead, module, list(looks)

    def time(self):
        return self.now

    def execute(self, result):
        """The module, slow to start."""
        if "hub" in result:
            result["hub"]["clock"] = {"begin": self.now + self.module * 0.9 + self.ahead,
                                      "end": self.now + self.module + self.ahead}
        self.now += self.module
        return result

    def date(self, *dummy, **options):
        assert options == {"sudoable": False}, "reading a clock needs no root"
        seconds = self.looks.pop(0)
        self.now += seconds
        text = "%.9f\n" % (self.now - seconds / 2 + self.ahead)
        return {"rc": 0, "stdout": text}


def action(result, clock=None, date=None):
    clock = clock or Time(0, 1, [0.05])
    plugin = ActionModule.__new__(ActionModule)
    with mock.patch.object(ActionBase, "run", return_value={}), mock.patch.object(action_plugin, "time", clock), \
            mock.patch.object(ActionModule, "_low_level_execute_command", side_effect=date or clock.date), \
            mock.patch.object(ActionModule, "_execute_module") as execute:
        execute.side_effect = lambda **dummy: clock.execute(result)
        found = plugin.run(task_vars={"a": 1})
    assert execute.call_args.kwargs == {"module_name": "cfengine.hub_ha.hub_info", "task_vars": {"a": 1}}
    return found


def bounds(clock):
    return clocks.clock_bounds(action({"changed": False, "hub": {}}, clock)["hub"])


@pytest.mark.parametrize("looks, left, width", [
    ([0.05, 0.05, 0.05], 2, 0.05), ([0.9, 0.05, 0.05], 1, 0.05), ([0.9, 0.8, 0.7], 0, 0.7)],
    ids=["one is enough", "one was slow", "a slow line"])
def test_action_reads_the_clock_as_closely_as_it_must(looks, left, width):
    clock = Time(1.3, 2.0, looks)
    lowest, highest = bounds(clock)
    assert lowest <= 1.3 <= highest and highest - lowest == pytest.approx(width)
    assert len(clock.looks) == left


def test_clocks_that_are_little_more_than_a_second_apart_are_told():
    infos = dict((host, action({"hub": pair.live_hub(host)}, Time(ahead, 2.0, [0.06]))["hub"])
                 for host, ahead in (("hub1", 0.0), ("hub2", 1.1)))
    assert [item.problem for item in clocks.problems(infos)] == [
        "the clocks of hub1 and hub2 are at least 1.04 s apart"]


def test_action_keeps_the_modules_look_where_there_is_no_gnu_date():
    def date(*dummy, **options):
        return {"rc": 0, "stdout": "1000.%N\n"}

    found = action({"hub": {}}, Time(5.0, 2.0, []), date)["hub"]
    assert clocks.clock_bounds(found) == (5.0, pytest.approx(6.8))


def test_action_passes_a_failure_on():
    assert action({"failed": True, "msg": "x"}) == {"failed": True, "msg": "x"}


def test_modules_run_on_their_own():
    """As Ansible starts them: a process of its own, arguments on stdin are refused with JSON, not a traceback."""
    done = subprocess.run([sys.executable, "-c", "import sys; from ansible_collections.cfengine.hub_ha.plugins.modules "
                           "import hub_files, hub_keys, hub_backup, hub_certificate, secret_file, link_check"],
                          capture_output=True, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0, done.stderr


def test_server_that_is_starting_is_asked_again():
    answers = [Completed(["psql"], 2, "", "FATAL:  the database system is starting up")] * 3
    answers.append(Completed(["psql"], 0, "{}", ""))
    naps = []
    assert hub_loader.ask(lambda *args, **options: answers.pop(0), ["psql"], 9, naps.append, lambda: sum(naps)).rc == 0
    assert len(naps) == 3
    never = Completed(["psql"], 2, "", "FATAL:  the database system is starting up")
    assert hub_loader.ask(lambda *args, **options: never, ["psql"], 2, naps.append, lambda: sum(naps)).rc == 2
    no_role = Completed(["psql"], 2, "", "FATAL:  role \"root\" does not exist")
    del naps[:]
    assert hub_loader.ask(lambda *args, **options: no_role, ["psql"], 9, naps.append, lambda: sum(naps)) == no_role
    assert naps == []
