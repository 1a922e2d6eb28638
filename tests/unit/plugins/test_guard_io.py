# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the guard looks and acts: real processes, a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard, guard_io as host
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres import cluster


def pair_of(data_dir, bin_dir="/usr/bin", port=5432, socket_dir=None):
    return model.Pair("hub1", "hub2", "cfengine", data_dir, bin_dir, "postgres", port, socket_dir, "/nowhere",
                      "/nowhere",
                      "repl", "verify-ca", ("127.0.0.1",), (model.SharedAddress("cfvirtip", "192.0.2.1", 24),))


@pytest.fixture
def daemons(tmp_path):
    """Processes with the daemons' names, as the kernel cuts them; ends them afterwards."""
    started = {}

    def start(name):
        path = tmp_path / name
        shutil.copy(shutil.which("sleep"), path)
        started[name] = subprocess.Popen([str(path), "600"])
        cluster.wait(lambda: host.Processes().stat(started[name].pid)[0] == name[:15])
        return started[name]
    yield start
    for process in started.values():
        process.kill()
        process.wait()


def test_daemons_by_name_and_state(daemons):
    names = ("corosync", "pacemaker-controld")
    started = dict((name, daemons(name)) for name in names)
    found = host.Daemons(host.Processes())
    states = found.states(100.0)
    assert [states[name] for name in names] == [guard.RUNNING, guard.RUNNING]
    assert states["pacemakerd"] == guard.GONE
    os.kill(started["corosync"].pid, signal.SIGSTOP)
    cluster.wait(lambda: found.states(100.2)["corosync"] == guard.STOPPED)
    os.kill(started["corosync"].pid, signal.SIGCONT)
    started["pacemaker-controld"].kill()
    cluster.wait(lambda: found.states(100.4)["pacemaker-controld"] == guard.GONE)
    assert found.states(100.6)["corosync"] == guard.RUNNING


def test_a_daemon_that_comes_back_is_found_at_once(daemons):
    first, found = daemons("corosync"), host.Daemons(host.Processes())
    assert found.states(100.0)["corosync"] == guard.RUNNING
    first.kill()
    first.wait()
    assert found.states(100.2)["corosync"] == guard.GONE
    second = daemons("corosync")
    assert found.states(100.4)["corosync"] == guard.RUNNING and found.pid("corosync") == second.pid


def test_kill_hits_what_was_named_and_nothing_else(daemons):
    corosync, other = daemons("corosync"), daemons("pacemaker-attrd")
    os.kill(corosync.pid, signal.SIGSTOP)  # what is stopped dies too
    host.Daemons(host.Processes()).kill(["corosync"])
    assert corosync.wait(5) == -signal.SIGKILL and other.poll() is None


# An executor and what it has started: an agent with a child, the server that this one has started, one of another resource.
EXECUTOR = """
import os, subprocess, sys, time
def start(instance, **more):
    child = subprocess.Popen(["sleep", "600"], env=dict(os.environ, OCF_RESOURCE_INSTANCE=instance), **more)
    print(child.pid, flush=True)
start("cfpgsql:0")
start("cfvirtip")
start("cfpgsql", start_new_session=True)
start("backup")
start("cfpgsqlx")
time.sleep(600)
"""


def test_agents_of_a_pacemaker_that_is_gone_end_and_nothing_else():
    """One that was left tried for hours to write an old score, and it was written: the hub that went on was demoted."""
    executor = subprocess.Popen([sys.executable, "-c", EXECUTOR], stdout=subprocess.PIPE, text=True, start_new_session=True)
    pids = [int(executor.stdout.readline()) for _turn in range(5)]
    found = host.Daemons(host.Processes())
    try:
        assert found.end_agents(["cfpgsql", "cfvirtip"]) == [], "its pacemaker waits for what they do"
        executor.kill()
        executor.wait()
        assert sorted(found.end_agents(["cfpgsql", "cfvirtip"])) == sorted(pids[:2])
        cluster.wait(lambda: all((host.Processes().stat(pid) or ("", "X"))[1] in "ZX" for pid in pids[:2]))
        assert all(host.Processes().stat(pid)[1] == "S" for pid in pids[2:])
        assert found.end_agents(["cfpgsql", "cfvirtip"]) == []
    finally:
        for pid in pids:
            host.send(pid, signal.SIGKILL)
        executor.stdout.close()


def state_of(process):
    return host.Processes().stat(process.pid)[1]


def test_a_held_daemon_counts_as_running_and_goes_on(daemons):
    process, found = daemons(guard.SCHEDULERD), host.Daemons(host.Processes())
    found.states(100.0)
    assert found.hold(guard.SCHEDULERD, True) and found.holds(guard.SCHEDULERD)
    cluster.wait(lambda: state_of(process) == "T")
    assert found.states(100.2)[guard.SCHEDULERD] == guard.RUNNING
    assert found.hold(guard.SCHEDULERD, False) and not found.holds(guard.SCHEDULERD)
    cluster.wait(lambda: state_of(process) == "S")


def test_a_daemon_that_somebody_else_has_stopped_is_let_alone(daemons):
    process, found = daemons(guard.SCHEDULERD), host.Daemons(host.Processes())
    found.states(100.0)
    os.kill(process.pid, signal.SIGSTOP)
    cluster.wait(lambda: state_of(process) == "T")
    assert not found.hold(guard.SCHEDULERD, True) and not found.hold(guard.SCHEDULERD, False)
    assert found.states(100.2)[guard.SCHEDULERD] == guard.STOPPED and state_of(process) == "T"


def test_a_held_daemon_that_was_replaced_is_not_the_next_one(daemons):
    first, found = daemons(guard.SCHEDULERD), host.Daemons(host.Processes())
    found.states(100.0)
    assert found.hold(guard.SCHEDULERD, True)
    first.kill()
    first.wait()
    assert not found.holds(guard.SCHEDULERD), "another meeting may hold the next one"
    second = daemons(guard.SCHEDULERD)
    os.kill(second.pid, signal.SIGSTOP)
    cluster.wait(lambda: found.states(100.2)[guard.SCHEDULERD] == guard.STOPPED)
    assert not found.hold(guard.SCHEDULERD, False) and state_of(second) == "T"


@pytest.fixture(scope="module")
def lab():
    made = cluster.Lab()
    yield made
    made.close()


@pytest.fixture
def server(lab):
    made = lab.server("hub%d" % time.monotonic_ns())
    made.create()
    yield made
    pid = made.pid()
    if pid:
        for item in host.Processes().inside(os.path.realpath(made.data)):
            with contextlib.suppress(ProcessLookupError):  # its children end with it
                os.kill(item, signal.SIGKILL)


def test_ready_until_it_is_on_its_way_out(lab, server):
    mine = host.Server(pair_of(server.data, lab.bin, server.port, server.home), host.Processes())
    assert mine.ready()
    with open(server.data + "/postmaster.pid", "a", encoding="ascii") as stream:
        stream.write("stopping\n")
    assert not mine.ready()
    server.stop()
    assert not mine.ready()


def test_role_and_claim(lab, server):
    mine = host.Server(pair_of(server.data, lab.bin, server.port, server.home), host.Processes())
    assert mine.role() == guard.PRIMARY and mine.postmaster() == server.pid()
    before = mine.claim()
    server.sql("CREATE TABLE t (i int); INSERT INTO t VALUES (1);")
    after = mine.claim()
    assert before["timeline"] == after["timeline"] == 1 and after["next_xid"] > before["next_xid"]
    open(server.data + "/standby.signal", "w", encoding="utf-8").close()
    assert mine.role() == guard.STANDBY
    os.unlink(server.data + "/standby.signal")


@pytest.mark.parametrize("frozen", [False, True])
def test_stop_ends_server_and_sessions_in_a_second(lab, server, frozen):
    session = subprocess.Popen([lab.bin + "/psql", "-h", server.home, "-p", str(server.port), "-U", "root", "-d",
                                "postgres",
                                "-c", "SELECT pg_sleep(600)"], stderr=subprocess.DEVNULL)
    cluster.wait(lambda: server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(6%'") == "2")
    mine = host.Server(pair_of(server.data, lab.bin, server.port, server.home), host.Processes())
    if frozen:
        os.kill(server.pid(), signal.SIGSTOP)
        cluster.wait(lambda: host.Processes().stat(server.pid())[1] == "T")
    began = time.monotonic()
    text = mine.stop()
    assert time.monotonic() - began < 1.5, text
    assert mine.alive(host.Processes().inside(os.path.realpath(server.data))) == []
    assert mine.role() == guard.NO_SERVER
    assert session.wait(5) != 0
    assert ("SIGKILL" in text) or not frozen


def test_stop_leaves_another_server_alone(lab, server):
    other = lab.server("other%d" % time.monotonic_ns())
    other.create()
    host.Server(pair_of(server.data, lab.bin), host.Processes()).stop()
    assert other.sql("SELECT 1") == "1"
    other.kill()
    assert "does not run" in host.Server(pair_of(server.data, lab.bin), host.Processes()).stop()


def test_a_stale_file_of_a_pid_is_no_server(lab, server):
    server.stop()
    with open(server.data + "/postmaster.pid", "w", encoding="utf-8") as stream:
        stream.write("%d\n" % os.getpid())
    mine = host.Server(pair_of(server.data, lab.bin), host.Processes())
    assert mine.postmaster() is None and mine.role() == guard.NO_SERVER
    os.unlink(server.data + "/postmaster.pid")


def test_a_shell_in_the_data_directory_is_no_server(lab, server):
    shell = subprocess.Popen(["sleep", "600"], cwd=server.data)
    try:
        text = host.Server(pair_of(server.data, lab.bin), host.Processes()).stop()
        assert text.startswith("PostgreSQL is stopped") and shell.poll() is None
        assert "does not run" in host.Server(pair_of(server.data, lab.bin), host.Processes()).stop()
    finally:
        shell.kill()
        shell.wait()


class Table:
    """Processes of the test's own: {pid: (name, state, parent, start)}; signals end them, or not."""

    def __init__(self, table, inside, immortal=()):
        self.table, self.cwd, self.immortal, self.sent = dict(table), inside, immortal, []

    def inside(self, dummy):
        return [pid for pid in self.cwd if pid in self.table]

    def stat(self, pid):
        return self.table.get(pid)

    def program(self, dummy):
        return ""

    def signal(self, pid, number):
        self.sent.append(pid)
        if pid not in self.immortal:
            self.table.pop(pid, None)
            for child, row in list(self.table.items()):
                if row[2] == pid:
                    self.table[child] = (row[0], row[1], 1, row[3])


SERVER = {10: ("postgres", "S", 1, 5), 11: ("postgres", "S", 10, 6), 12: ("sh", "S", 11, 7), 13: ("cp", "S", 12, 8),
          20: ("bash", "S", 19, 3), 21: ("vi", "S", 20, 4), 19: ("sshd", "S", 1, 2)}


def test_what_the_server_has_started_ends_with_it_and_nothing_else(monkeypatch):
    table = Table(SERVER, [10, 11, 12, 13, 20, 21])
    monkeypatch.setattr(host, "send", table.signal)
    text = host.Server(pair_of("/nowhere"), table).stop(sleep=lambda seconds: None)
    assert "is stopped" in text and sorted(table.table) == [19, 20, 21] and set(table.sent) == {10, 11, 12, 13}


def test_a_server_that_survives_is_told_of(monkeypatch):
    table = Table({**SERVER, 11: ("postgres", "D", 10, 6)}, [10, 11, 12, 13, 20], immortal=[11])
    monkeypatch.setattr(host, "send", table.signal)
    text = host.Server(pair_of("/nowhere"), table).stop(sleep=lambda seconds: None)
    assert "NOT stopped" in text and "postgres 11 in state D" in text and "bash" not in text


class Addresses:
    """`ip` of a hub: {interface: addresses}. answers: for how many questions it tells what is there."""

    def __init__(self, here, answers=99, stuck=False):
        self.here, self.answers, self.stuck, self.asked = here, answers, stuck, []

    def __call__(self, argv, timeout):
        if argv == ["ip", "-j", "address"]:
            self.answers -= 1
            found = [{"ifname": name, "addr_info": [{"local": item, "prefixlen": 24} for item in items]}
                     for name, items in self.here.items()]
            return subprocess.CompletedProcess(argv, 0, json.dumps(found), "") if self.answers >= 0 else None
        address, name = argv[3].partition("/")[0], argv[5]
        self.asked.append((argv[3], name))
        if self.stuck or address not in self.here[name]:
            return subprocess.CompletedProcess(argv, 2, "", "RTNETLINK answers: Cannot assign requested address")
        self.here[name].remove(address)
        return subprocess.CompletedProcess(argv, 0, "", "")


def test_addresses_that_are_not_here(monkeypatch):
    hub = Addresses({"eth0": ["192.0.2.1", "192.0.2.10"]})
    monkeypatch.setattr(host, "run", hub)
    found = host.drop_addresses(pair_of("/nowhere"))
    assert (found.taken, found.left, found.text) == (("192.0.2.1",), (), "addresses taken off: 192.0.2.1")
    assert hub.asked == [("192.0.2.1/24", "eth0")] and hub.here == {"eth0": ["192.0.2.10"]}
    assert "none was here" in host.drop_addresses(pair_of("/nowhere")).text


def test_an_address_that_stays_is_told_of(monkeypatch):
    monkeypatch.setattr(host, "run", Addresses({"eth0": ["192.0.2.1"]}, stuck=True))
    found = host.drop_addresses(pair_of("/nowhere"))
    assert (found.taken, found.left) == ((), ("192.0.2.1",)) and "STILL HERE: 192.0.2.1" in found.text


def test_an_ip_that_does_not_answer_is_no_proof(monkeypatch, tmp_path):
    for name in ("eth0", "eth1", "lo"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(host, "run", lambda argv, timeout: None)
    found = host.drop_addresses(pair_of("/nowhere"), net=str(tmp_path))
    assert found.left is None and "192.0.2.1 is still here is not known" in found.text
    hub = Addresses({"eth0": [], "eth1": ["192.0.2.1"]}, answers=0)
    monkeypatch.setattr(host, "run", hub)
    found = host.drop_addresses(pair_of("/nowhere"), net=str(tmp_path))
    assert (found.taken, found.left) == (("192.0.2.1",), ()) and hub.here["eth1"] == []
    assert host.drop_addresses(pair_of("/nowhere"), net=str(tmp_path)).left is None
    assert host.drop_addresses(pair_of("/nowhere"), lambda: False, net=str(tmp_path)).taken == ()


def test_a_shared_address_whose_prefix_is_not_known(monkeypatch, tmp_path):
    """Where `ip` does not tell what is here, the pair's file counts; "192.0.2.1/None" is no address to `ip`."""
    (tmp_path / "eth0").mkdir()
    hub = Addresses({"eth0": ["192.0.2.1"]}, answers=0)
    monkeypatch.setattr(host, "run", hub)
    pair = replace(pair_of("/nowhere"), addresses=(model.SharedAddress("cfvirtip", "192.0.2.1"),))
    assert host.drop_addresses(pair, net=str(tmp_path)).taken == ("192.0.2.1",)
    assert hub.asked == [("192.0.2.1", "eth0")]


def test_addresses_are_not_tried_for_ever(monkeypatch):
    now = [0.0]

    def slow(argv, timeout):
        now[0] += timeout
    monkeypatch.setattr(host, "run", slow)
    assert host.drop_addresses(pair_of("/nowhere"), clock=lambda: now[0]).left is None and now[0] <= 5.0


def test_units(monkeypatch):
    class Done:
        returncode = 0
        stdout = ("Result=signal\nExecMainStatus=9\nId=corosync.service\nActiveState=failed\n\n"
                  "Result=success\nExecMainStatus=0\nId=pacemaker.service\nActiveState=deactivating\n")
    monkeypatch.setattr(host, "run", lambda argv, timeout: Done)
    found = host.units()
    assert found == {"corosync": guard.Unit("failed", "signal", 9), "pacemaker": guard.Unit("deactivating", "success",
                                                                                            0)}
    monkeypatch.setattr(host, "run", lambda argv, timeout: None)
    assert host.units() is None


def test_look_at_a_hub_without_cib(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "units", lambda: None)
    assert "no part" in host.look(pair_of("/nowhere"), 5.0, str(tmp_path / "none")).idle
    assert host.look(pair_of("/nowhere"), 5.0, str(tmp_path)).idle is None, "unreadable gives no leave"


def test_program_that_is_missing_or_hangs():
    assert host.run(["no-such-program"], 1.0) is None
    assert host.run(["sleep", "5"], 0.2) is None
