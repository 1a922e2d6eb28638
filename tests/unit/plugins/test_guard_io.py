# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the guard looks and acts: real processes, a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard_io as host
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
            os.kill(item, signal.SIGKILL)


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


def test_addresses_that_are_not_here(monkeypatch):
    asked = []
    monkeypatch.setattr(host, "interfaces", lambda: [{"ifname": "eth0", "addr_info": [
        {"local": "192.0.2.1", "prefixlen": 24}, {"local": "192.0.2.10", "prefixlen": 24}]}])
    monkeypatch.setattr(host, "run", lambda argv, timeout: asked.append(argv))
    assert host.drop_addresses(pair_of("/nowhere")) == ["192.0.2.1"]
    assert asked == [["ip", "address", "del", "192.0.2.1/24", "dev", "eth0"]]


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
