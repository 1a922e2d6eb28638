# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The resource agent's wrapper, with a stand-in for the distribution's agent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

WRAPPER = Path(__file__).resolve().parents[3] / "roles/resources/files/pgsql"


def soon(condition, text, seconds=5.0):
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, text
        time.sleep(0.01)


class Agent:
    """The wrapper in a folder of its own. data: its data directory."""

    def __init__(self, root):
        self.root, self.data = root, root / "data"
        (root / "resource.d/heartbeat").mkdir(parents=True)
        self.program("resource.d/heartbeat/pgsql", 'echo "inner $1 patience=$HUB_HA_PATIENCE"')
        self.data.mkdir()
        (self.data / "postgresql.conf").touch()
        (root / "bin").mkdir()
        self.program("bin/crm_node", "echo hub1")
        self.program("bin/cibadmin", 'echo "$@" >"%s/cibadmin"' % root)

    def program(self, name, text):
        """A shell program."""
        path = self.root / name
        path.write_text("#!/bin/sh\n%s\n" % text, encoding="ascii")
        path.chmod(0o755)

    def __call__(self, action, **more):
        env = {"PATH": "%s:%s" % (self.root / "bin", os.environ["PATH"]), "OCF_ROOT": str(self.root),
               "OCF_RESKEY_pgdata": str(self.data), "OCF_RESOURCE_INSTANCE": "cfpgsql:0",
               "OCF_RESKEY_CRM_meta_timeout": "4000", "OCF_RESKEY_master_ip": "127.0.0.1",
               "HUB_HA_RUN": str(self.root), **more}
        return subprocess.run(["sh", str(WRAPPER), action], env=env, text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def postmaster(self, ignores=False):
        """A process that stands for one."""
        child = subprocess.Popen(  # pylint: disable=consider-using-with
            ["sh", "-c", "%ssleep 60 & wait; wait" % ("trap '' TERM INT QUIT; " if ignores else "")], cwd=self.data)
        (self.data / "postmaster.pid").write_text("%d\n" % child.pid, encoding="ascii")
        return child

    def session(self):
        """A process of the server without a postmaster."""
        (self.root / "bin/postgres").symlink_to("/usr/bin/sleep")
        child = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(self.root / "bin/postgres"), "60"], cwd=self.data)
        soon(lambda: Path("/proc/%d/comm" % child.pid).read_text() == "postgres\n", "it has not started")
        return child


@pytest.fixture(name="agent")
def fixture_agent(tmp_path):
    """An Agent."""
    return Agent(tmp_path)


@pytest.mark.parametrize("action, code", [("stop", 0), ("demote", 0), ("notify", 0), ("monitor", 7), ("start", 1)])
def test_where_there_is_no_database_nothing_fails_to_stop(agent, action, code):
    """A stop that fails blocks, and pacemaker then demotes the hub that serves."""
    (agent.data / "postgresql.conf").unlink()
    done = agent(action)
    assert done.returncode == code and done.stdout == ""
    if action == "start":
        assert "ocf-exit-reason:there is no database in %s" % agent.data in done.stderr


def test_a_monitor_waits_for_a_server_that_recovers_and_a_probe_does_not(agent):
    assert agent("monitor", OCF_RESKEY_CRM_meta_interval="3000").stdout == "inner monitor patience=40\n"
    assert agent("monitor", OCF_RESKEY_CRM_meta_interval="0").stdout == "inner monitor patience=\n"


def look(agent, interval="3000ms"):
    """The monitor as pacemaker runs it each second."""
    return agent("monitor", OCF_RESKEY_query_interval=interval, OCF_RESKEY_CRM_meta_interval="1001")


def asks(agent, code):
    """The distribution's agent counts how often it is asked, and answers with *code*. Returns what reads the count."""
    agent.program("resource.d/heartbeat/pgsql", 'echo "$1" >>"%s/asked"; exit %d' % (agent.root, code))
    return lambda: len(agent.root.joinpath("asked").read_text().split()) if (agent.root / "asked").exists() else 0


def freeze(child):
    """SIGSTOP, until /proc says so."""
    child.send_signal(signal.SIGSTOP)
    soon(lambda: Path("/proc/%d/stat" % child.pid).read_text().split(") ")[1][0] == "T", "it is not stopped")


def test_a_look_says_what_the_postmaster_is(agent):
    """Whether it is there is looked at each time, the database is asked at its own interval."""
    child = agent.postmaster()
    try:
        asked = asks(agent, 8)
        assert [look(agent).returncode for _ in range(4)] == [8] * 4 and asked() == 1, "a primary"
        (agent.data / "standby.signal").touch()
        assert [look(agent).returncode for _ in range(2)] == [0] * 2 and asked() == 1, "a standby"
    finally:
        child.kill()
        child.wait()
    gone = look(agent)
    assert gone.returncode == 7 and "ocf-exit-reason:no postmaster runs in" in gone.stderr
    assert asked() == 1, "nobody is asked whose process is gone"


def test_the_database_is_asked_when_its_turn_comes(agent):
    child = agent.postmaster()
    try:
        asked = asks(agent, 8)
        began, counts = time.monotonic(), []
        while time.monotonic() - began < 2.4:
            assert look(agent, "1500ms").returncode == 8
            counts.append(asked())
            time.sleep(0.1)
        assert counts[0] == 1 and counts[-1] == 3, "at 0, 1 and 2 s: half a second early rather than a turn late"
        assert look(agent, "400ms").returncode == 8 and asked() == 4, "one that is asked at each monitor"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("code", [1, 0, 7, 9])
def test_a_database_that_is_not_as_it_should_be_is_asked_each_time(agent, code):
    """No look at the process may say that all is well after the database has said otherwise."""
    child = agent.postmaster()
    try:
        asks(agent, 8)
        assert look(agent).returncode == 8
        asked = asks(agent, code)
        assert [look(agent, "400ms").returncode, look(agent).returncode, look(agent).returncode] == [code] * 3
        assert asked() == 4
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("action", ["start", "promote", "demote"])
def test_after_a_change_the_database_is_asked_at_once(agent, action):
    child = agent.postmaster()
    try:
        asks(agent, 8)
        assert look(agent).returncode == 8
        asks(agent, 0)
        agent(action)
        asked = asks(agent, 8)
        before = asked()
        child = child if child.poll() is None else agent.postmaster()
        assert look(agent).returncode == 8 and asked() == before + 1
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("stamp", ["", "x", "99999999999", "1 2"])
def test_without_a_time_that_makes_sense_the_database_is_asked(agent, stamp):
    child = agent.postmaster()
    try:
        asked = asks(agent, 8)
        (agent.root / "hub_ha-asked-cfpgsql").write_text(stamp + "\n")
        assert look(agent).returncode == 8 and asked() == 1
    finally:
        child.kill()
        child.wait()


def test_a_look_at_a_postmaster_that_is_stopped_for_long_fails(agent):
    child = agent.postmaster()
    try:
        freeze(child)
        began = time.monotonic()
        done = look(agent)
        assert (done.returncode, "SIGSTOP" in done.stderr) == (1, True) and time.monotonic() - began > 2.5
    finally:
        child.kill()
        child.wait()


def test_a_look_at_one_that_goes_on_in_time_is_well(agent):
    child = agent.postmaster()
    asks(agent, 8)
    try:
        freeze(child)
        threading.Timer(1.0, child.send_signal, [signal.SIGCONT]).start()
        assert look(agent).returncode == 8
    finally:
        child.kill()
        child.wait()


def test_notifications_that_mean_nothing_here_are_answered_at_once(agent):
    def notify(kind, operation, primary="", node=""):
        return agent("notify", OCF_RESKEY_CRM_meta_notify_type=kind, OCF_RESKEY_CRM_meta_notify_operation=operation,
                     OCF_RESKEY_CRM_meta_notify_master_uname=primary, OCF_RESKEY_CRM_meta_on_node=node).stdout

    assert notify("pre", "promote") == ""
    assert notify("post", "promote") == "", "no server runs that it could ask"
    child = agent.postmaster()
    try:
        assert notify("post", "promote").startswith("inner notify")
        assert notify("post", "demote") == ""
        assert notify("post", "start", "Hub1", "hub1").startswith("inner notify"), "the primary looks at its standbys"
        assert notify("post", "stop", "Hub1").startswith("inner notify")
        assert notify("post", "start", "Hub1", "hub2") == ""
        assert notify("post", "stop", " ", "hub1") == ""
    finally:
        child.kill()
        child.wait()


def test_a_dead_primary_is_demoted_at_once_and_stopped_by_the_agent(agent):
    """The agent sets the same attributes in both; between them everybody waits."""
    done = agent("demote")
    assert (done.returncode, done.stdout) == (0, "")
    assert agent("stop").stdout.startswith("inner stop")


@pytest.mark.parametrize("action", ["stop", "demote"])
def test_sessions_that_a_dead_postmaster_has_left_end_with_it(agent, action):
    """They would finish their statement and acknowledge it. What is no server's process is somebody's shell."""
    with agent.session() as session, subprocess.Popen(["sleep", "60"], cwd=agent.data) as shell:
        try:
            assert agent(action).returncode == 0
            assert session.wait(5) == -signal.SIGKILL
            assert shell.poll() is None
        finally:
            session.kill()
            shell.kill()


@pytest.mark.parametrize("action", ["stop", "demote"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_server_whose_files_are_gone_ends_too(agent, action, whole):
    """A disk that is gone under a server: its sessions go on, and the other hub is not promoted beside it."""
    with agent.session() as session:
        try:
            (agent.data / "postgresql.conf").unlink()
            if whole:
                agent.data.rmdir()
            done = agent(action)
            assert (done.returncode, done.stdout) == (0, "") and session.wait(5) == -signal.SIGKILL
        finally:
            session.kill()


def test_the_server_of_a_container_with_the_same_path_is_left_alone(agent):
    """Of another namespace of processes, as a container's on this host is."""
    agent.program("bin/readlink", 'case "$1" in /proc/self/ns/pid) echo "pid:[1]" ;; /proc/*/ns/pid) echo "pid:[2]" ;; '
                  '*) exec /usr/bin/readlink "$@" ;; esac')
    with agent.session() as session:
        try:
            assert agent("stop").returncode == 0
            assert session.poll() is None
        finally:
            session.kill()


def test_a_stopped_database_leaves_no_monitor_behind(agent):
    assert agent("stop").returncode == 0
    said = (agent.root / "cibadmin").read_text()
    for word in ("--delete-all", "@uname='hub1'", "@id='cfpgsql'", "@operation='monitor'"):
        assert word in said


def test_a_failure_is_one_of_this_hub_alone(agent):
    """"Not configured" is fatal on every hub: the passive one's next start would stop the active one."""
    agent.program("resource.d/heartbeat/pgsql", "exit 6")
    assert [agent(action).returncode for action in ("start", "promote", "stop", "demote")] == [1, 1, 0, 0]
    agent.program("resource.d/heartbeat/pgsql", "exit 5")
    assert agent("start").returncode == 1


def test_without_its_file_nothing_is_started_and_everything_stops(agent):
    assert agent("monitor", OCF_RESKEY_master_ip="").stdout.startswith("inner monitor")
    assert agent("stop", OCF_RESKEY_master_ip="").stdout.startswith("inner stop")
    for action in ("start", "promote"):
        done = agent(action, OCF_RESKEY_master_ip="")
        assert (done.returncode, done.stdout) == (1, "")
        assert "ocf-exit-reason:/etc/cfengine-hub-ha/agent.conf" in done.stderr


def test_a_server_that_still_runs_was_not_stopped(agent):
    child = agent.postmaster()
    assert agent("stop").returncode == 0
    assert child.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("action", ["stop", "demote"])
def test_a_postmaster_that_was_stopped_obeys_sigkill_only(agent, action):
    child = agent.postmaster()
    freeze(child)
    agent(action)
    assert child.wait(5) == -signal.SIGKILL


def test_one_that_does_not_obey_is_killed_after_half_the_time(agent):
    child = agent.postmaster(ignores=True)
    agent.program("resource.d/heartbeat/pgsql", "while kill -0 %d 2>/dev/null; do case $(cut -d ')' -f 2 /proc/%d/stat)"
                  " in ' Z'*) exit 0 ;; esac; sleep 0.1; done" % ((child.pid,) * 2))
    began = time.monotonic()
    assert agent("stop").returncode == 0
    assert child.wait(5) == -signal.SIGKILL and 1.5 < time.monotonic() - began < 10


def test_a_process_that_has_the_number_of_an_old_postmaster_is_left_alone(agent, tmp_path):
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        (agent.data / "postmaster.pid").write_text("%d\n" % other.pid, encoding="ascii")
        other.send_signal(signal.SIGSTOP)
        agent("stop")
        assert other.poll() is None
        other.kill()
