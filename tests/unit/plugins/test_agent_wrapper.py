# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The resource agent's wrapper, with a stand-in for the distribution's agent.

Where it waits for PostgreSQL, and where it connects, with the real ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, free_port

FILES = Path(__file__).resolve().parents[3] / "roles/resources/files"
WRAPPER = FILES / "pgsql"
PACKAGED = Path("/usr/lib/ocf")


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
        self.program("bin/logger", 'echo "$@" >>"%s/log"' % root)
        self.program("bin/runuser", "exit 1")
        self.program("hub-ha", "exit 0")
        self.port = free_port()

    def log(self):
        """What it has said to the system's log."""
        return (self.root / "log").read_text(encoding="utf-8") if (self.root / "log").exists() else ""

    def program(self, name, text):
        """A shell program."""
        path = self.root / name
        path.write_text("#!/bin/sh\n%s\n" % text, encoding="ascii")
        path.chmod(0o755)

    def __call__(self, action, wrapper=WRAPPER, **more):
        env = {"PATH": "%s:%s" % (self.root / "bin", os.environ["PATH"]), "OCF_ROOT": str(self.root),
               "HUB_HA_APP": str(self.root / "hub-ha"), "HUB_HA_CONF": str(self.root / "agent.conf"),
               "OCF_RESKEY_pgport": str(self.port),
               "OCF_RESKEY_pgdata": str(self.data), "OCF_RESOURCE_INSTANCE": "cfpgsql:0",
               "OCF_RESKEY_CRM_meta_timeout": "4000", "OCF_RESKEY_master_ip": "127.0.0.1",
               "HUB_HA_RUN": str(self.root), **more}
        return subprocess.run(["sh", str(wrapper), action], env=env, text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def postmaster(self, ignores=False, streams=False):
        """A process that stands for one. streams: with a child that stands for a walreceiver, once it is there."""
        receiver = self.root / "walreceiver"
        if not receiver.exists():
            receiver.symlink_to("/usr/bin/sleep")
        child = subprocess.Popen(  # pylint: disable=consider-using-with
            ["sh", "-c", "%s%s 60 & wait; wait" % ("trap '' TERM INT QUIT; " if ignores else "",
                                                   receiver if streams else "sleep")], cwd=self.data)
        (self.data / "postmaster.pid").write_text("%d\n" % child.pid, encoding="ascii")
        children = Path("/proc/%d/task/%d/children" % (child.pid, child.pid))
        if streams:
            soon(lambda: any(b"walreceiver" in Path("/proc/%s/cmdline" % pid).read_bytes()
                             for pid in children.read_text().split()), "it has no child")
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
    assert (agent.root / "cibadmin").exists() == (action == "start")
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
        assert [look(agent).returncode for dummy in range(4)] == [8] * 4 and asked() == 1, "a primary"
    finally:
        child.kill()
        child.wait()
    child = agent.postmaster(streams=True)
    try:
        (agent.data / "standby.signal").touch()
        assert [look(agent).returncode for dummy in range(2)] == [0] * 2 and asked() == 1, "a standby"
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


@pytest.mark.parametrize("status, streams, often", [
    ("LATEST", False, 3), ("LATEST", True, 1), ("STREAMING|ASYNC", False, 1), ("", False, 1)])
def test_one_that_was_the_primary_and_streams_from_nobody_is_asked_each_time(agent, status, streams, often):
    """The agent counts its own monitors until it is sure; another one waits for the hub that has more."""
    agent.program("bin/crm_attribute",
                  'case "$*" in "-l forever -N hub1 -G -q -n cfpgsql-data-status") echo "%s" ;; esac' % status)
    child = agent.postmaster(streams=streams)
    (agent.data / "standby.signal").touch()
    asked = asks(agent, 0)
    agent.program("resource.d/heartbeat/pgsql",
                  'echo "$OCF_RESKEY_xlog_check_count." >>"%s/asked"' % agent.root)
    try:
        assert [look(agent).returncode for dummy in range(3)] == [0] * 3 and asked() == often
        assert (agent.root / "asked").read_text().split() == (["."] + ["1."] * 2)[:often]
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


@pytest.mark.parametrize("stamp", ["", "x", "99999999999", "1 2", "08", "0x10", "-1", "9" * 15, "9" * 16, "9" * 40])
def test_without_a_time_that_makes_sense_the_database_is_asked(agent, stamp):
    child = agent.postmaster()
    try:
        asked = asks(agent, 8)
        (agent.root / "hub_ha-asked-cfpgsql").write_text(stamp + "\n")
        done = look(agent)
        assert (done.returncode, done.stderr) == (8, "") and asked() == 1
        assert look(agent).returncode == 8 and asked() == 1, "a stamp of its own"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("interval", ["3s", "08ms", "x"])
def test_with_an_interval_that_makes_no_sense_the_database_is_asked_each_time(agent, interval):
    child = agent.postmaster()
    try:
        asked = asks(agent, 8)
        assert [look(agent, interval).returncode for dummy in range(2)] == [8] * 2 and asked() == 2
    finally:
        child.kill()
        child.wait()


def test_a_limit_that_makes_no_sense_ends_no_stop(agent):
    child = agent.postmaster()
    agent.program("resource.d/heartbeat/pgsql", "kill -KILL %d" % child.pid)
    assert agent("stop", OCF_RESKEY_CRM_meta_timeout="08").returncode == 0
    assert child.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("pid", ["self", "x", "08", "../self"])
def test_a_file_of_the_postmaster_that_names_no_process_names_none(agent, pid):
    (agent.data / "postmaster.pid").write_text(pid + "\n", encoding="ascii")
    assert look(agent).returncode == 7
    child = agent.postmaster()
    try:
        assert asks(agent, 8)() == 0 and look(agent).returncode == 8
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


@pytest.mark.parametrize("code", [3, 0])
def test_a_start_that_fails_leaves_no_monitor_of_a_primary_behind(agent, code):
    """Refused or failed; pacemaker would take the hub for promoted, and demote the one that serves."""
    agent.program("hub-ha", "exit %d" % code)
    agent.program("resource.d/heartbeat/pgsql", "exit 5")
    assert agent("start").returncode == 1
    said = (agent.root / "cibadmin").read_text()
    for word in ("--delete-all --force", "@uname='hub1'", "@id='cfpgsql'", "@operation='monitor'", "@rc-code='8'"):
        assert word in said
    assert agent.log() == ""


def test_the_real_cibadmin_removes_that_monitor_and_nothing_else(agent):
    """It refuses what it calls dangerous, and ends with 107."""
    (agent.root / "bin/cibadmin").unlink()
    ops = [("monitor", "1001", 8), ("monitor", "2003", 0), ("monitor", "0", 8), ("start", "0", 0), ("promote", "0", 0)]
    op = ('<lrm_rsc_op id="{0}_{1}_{2}_{3}" operation="{1}" interval="{2}" rc-code="{3}" call-id="5" op-status="0" '
          'operation_key="k" crm_feature_set="3.16.1" transition-key="1:0:7:x" transition-magic="0:0;1:0:7:x"/>')
    resource = '<lrm_resource id="{0}" class="ocf" provider="pacemaker" type="Stateful">{1}</lrm_resource>'
    state = ('<node_state id="{0}" uname="hub{0}" in_ccm="true" crmd="online" join="member" expected="member">'
             '<lrm id="{0}"><lrm_resources>{1}</lrm_resources></lrm></node_state>')
    kept = [(hub, name, *one) for hub in ("1", "2") for name in ("cfpgsql", "other") for one in ops]
    cib = agent.root / "cib.xml"
    cib.write_text(
        '<cib validate-with="pacemaker-3.7" epoch="1" num_updates="1" admin_epoch="0" crm_feature_set="3.16.1">'
        '<configuration><crm_config/><nodes/><resources/><constraints/></configuration><status>%s</status></cib>'
        % "".join(
            state.format(hub, "".join(resource.format(name, "".join(op.format(name, *one) for one in ops))
                                      for name in ("cfpgsql", "other"))) for hub in ("1", "2")), encoding="ascii")

    def found():
        return [(state.get("id"), item.get("id"), one.get("operation"), one.get("interval"), int(one.get("rc-code")))
                for state in ET.parse(cib).getroot().iter("node_state") for item in state.iter("lrm_resource")
                for one in item.iter("lrm_rsc_op")]

    assert found() == kept
    agent.program("hub-ha", "exit 3")
    assert agent("start", CIB_file=str(cib)).returncode == 1 and agent.log() == ""
    kept.remove(("1", "cfpgsql", "monitor", "1001", 8))
    assert found() == kept
    assert agent("start", CIB_file=str(cib)).returncode == 1 and agent.log() == "", "nothing left to remove"
    assert agent("start", CIB_file="/nowhere/cib.xml").returncode == 1 and "stays in the CIB" in agent.log()


def test_what_goes_well_changes_nothing_in_the_cib(agent):
    """What cibadmin changes there starts an election, which costs a failover a second."""
    for action in ("stop", "start", "promote", "demote", "monitor", "notify"):
        assert agent(action).returncode == 0
    assert not (agent.root / "cibadmin").exists()


def test_a_monitor_that_stays_in_the_cib_is_said(agent):
    agent.program("bin/cibadmin", "echo 'considered dangerous' >&2; exit 107")
    agent.program("hub-ha", "exit 3")
    assert agent("start").returncode == 1
    assert "pgsql(cfpgsql)" in agent.log() and "stays in the CIB: considered dangerous" in agent.log()


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
        assert "ocf-exit-reason:%s/agent.conf is not there" % agent.root in done.stderr
        (agent.root / "agent.conf").write_text("OCF_RESKEY_master_ip=192.0.2.1\n", encoding="ascii")
        agent.program("resource.d/heartbeat/pgsql", 'echo "$OCF_RESKEY_master_ip"')
        assert agent(action, OCF_RESKEY_master_ip="").stdout == "192.0.2.1\n"
        (agent.root / "agent.conf").unlink()


@pytest.mark.parametrize("rest, why", [
    ("OCF_RESKEY_x='unterminated", "nterminated"), ("if", "yntax error"), ("exit 0", "()"), (". /nowhere", "nowhere"),
    ("readonly PATH; PATH=x", "read")])
def test_with_a_broken_file_nothing_is_started_and_everything_stops(agent, rest, why):
    """The shell ends at such a file: a stop that ends so blocks, and nobody serves for ever."""
    (agent.root / "agent.conf").write_text("OCF_RESKEY_master_ip=192.0.2.1\n%s\n" % rest, encoding="ascii")
    child = agent.postmaster()
    try:
        for action in ("monitor", "notify", "demote", "stop"):
            if action == "demote":
                agent.program("resource.d/heartbeat/pgsql", 'echo "inner $1 $OCF_RESKEY_master_ip"; rm -f "%s"' % (
                    agent.data / "postmaster.pid"))
            done = agent(action, OCF_RESKEY_master_ip="")
            assert (done.returncode, done.stdout[:len(action) + 6]) == (0, "inner " + action), done.stderr
        for action in ("start", "promote"):
            done = agent(action)
            assert (done.returncode, done.stdout) == (1, "")
            assert "ocf-exit-reason:%s/agent.conf is broken" % agent.root in done.stderr and why in done.stderr
            assert "upgrade-to-ha.yml" in done.stderr
    finally:
        child.kill()
        child.wait()


def test_a_line_of_the_file_that_only_fails_is_no_reason_not_to_serve(agent):
    (agent.root / "agent.conf").write_text("OCF_RESKEY_master_ip=192.0.2.1\nrubbish\n", encoding="ascii")
    assert agent("promote").stdout.startswith("inner promote")


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


def says(agent, text):
    """The psql of a server that says this instead of taking a connection."""
    agent.program("bin/psql", 'echo "psql: error: FATAL:  the database system is %s" >&2; exit 2' % text)
    return {"OCF_RESKEY_psql": str(agent.root / "bin/psql")}


@pytest.mark.parametrize("action", ["stop", "demote"])
@pytest.mark.parametrize("text, standby, killed", [
    ("in recovery mode", False, True), ("starting up", False, True), ("shutting down", False, False),
    ("starting up", True, False)])
def test_a_primary_that_recovers_is_not_waited_for(agent, action, text, standby, killed):
    """It syncs its files before it heeds a stop: seen for a minute."""
    child = agent.postmaster(ignores=True)
    if standby:
        (agent.data / "standby.signal").touch()
    agent.program("resource.d/heartbeat/pgsql",
                  "sed 's/.*) \\(.\\).*/inner, postmaster \\1/' /proc/%d/stat" % child.pid)
    try:
        found = agent(action, OCF_RESKEY_CRM_meta_timeout="60000", **says(agent, text))
        if killed:  # before the agent has begun to wait
            assert child.poll() == -signal.SIGKILL and "postmaster S" not in found.stdout and found.returncode == 0
        else:
            assert "inner, postmaster S" in found.stdout
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("absent, age, text, code", [
    ("12.5", 0, "in recovery mode", 8), ("5.0", 0, "starting up", 8), ("4.9", 0, "in recovery mode", 1),
    ("null", 0, "in recovery mode", 1), ("12.5", 30, "in recovery mode", 1), ("12.5", 0, "shutting down", 1)])
def test_a_primary_that_recovers_is_waited_for_where_nobody_could_take_over(agent, absent, age, text, code):
    """The guard knows that the other hub is away; what it wrote half a minute ago counts for nothing."""
    child = agent.postmaster()
    asks(agent, 1)
    guard = agent.root / "guard.json"
    guard.write_text('{"peer": {"node": "hub2", "absent": %s}, "done": []}' % absent)
    os.utime(guard, (time.time() - age,) * 2)
    try:
        done = agent("monitor", OCF_RESKEY_query_interval="3000ms", OCF_RESKEY_CRM_meta_interval="1001",
                     HUB_HA_GUARD=str(guard), **says(agent, text))
        assert done.returncode == code
        assert not (agent.root / "hub_ha-asked-cfpgsql").exists(), "it is asked again at the next turn"
        (agent.data / "standby.signal").touch()
        assert agent("monitor", OCF_RESKEY_query_interval="3000ms", OCF_RESKEY_CRM_meta_interval="2003",
                     HUB_HA_GUARD=str(guard), **says(agent, text)).returncode == 1, "a standby serves nobody"
    finally:
        child.kill()
        child.wait()


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


# --- may it? -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [0, 1, 3, 127])
@pytest.mark.parametrize("beside", [False, True])
def test_where_nothing_can_be_found_out_nothing_is_promoted_beside_a_server(agent, code, beside):
    """127: the program is not there."""
    if code == 127:
        (agent.root / "hub-ha").unlink()
    else:
        agent.program("hub-ha", "[ $1 = may-promote ] && exit %d" % code)
    with socket.socket() as server:
        if beside:
            server.bind(("127.0.0.1", agent.port))
            server.listen()
        done = agent("promote")
    right = code == 0 or code != 3 and not beside
    assert (done.returncode, done.stdout) == ((0, "inner promote patience=\n") if right else (1, ""))
    if not right and code != 3:
        assert "beside a server on 127.0.0.1: hub-ha may-promote fails (code %d)" % code in done.stderr
        assert "upgrade-to-ha.yml" in done.stderr


@pytest.mark.parametrize("code, right", [(0, True), (1, True), (3, False), (127, True)])
def test_a_start_is_refused_by_a_refusal_only(agent, code, right):
    """Where it cannot be found out, the agent's lock decides."""
    if code == 127:
        (agent.root / "hub-ha").unlink()
    else:
        agent.program("hub-ha", "[ $1 = may-start ] && exit %d" % code)
    assert agent("start").returncode == (0 if right else 1)


# --- the sessions of a standby that is promoted --------------------------------------------------------------------

@pytest.fixture(scope="module", name="pair")
def fixture_pair():
    """A primary and its standby, with a role of the agent's name."""
    lab = Lab()
    try:
        lab.primary = lab.server("primary").create()
        lab.primary.sql("CREATE ROLE %s SUPERUSER LOGIN; ALTER SYSTEM SET wal_level = replica" % OWNER)
        with open(lab.primary.data + "/pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write("local replication all trust\n")
        lab.primary.sql("select pg_reload_conf()")
        lab.standby = lab.server("standby")
        lab.owner(lab.bin + "/pg_basebackup", "-D", lab.standby.data, "-h", lab.primary.home,
                  "-p", str(lab.primary.port), "-U", OWNER, "-R", "-c", "fast")
        lab.standby.start()
        folder = lab.directory("ocf")
        shutil.copy(str(FILES / "psql"), folder + "/psql")
        os.chmod(folder + "/psql", 0o755)
        os.symlink(lab.bin, folder + "/bin")
        yield lab
    finally:
        lab.close()


def client(server, *words):
    """A client's session, idle or with words for psql. Returns the process."""
    return subprocess.Popen(  # pylint: disable=consider-using-with
        [server.lab.bin + "/psql", "-XAtq", "-h", server.home, "-p", str(server.port), "-U", "root", "-d", "postgres",
         *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def promote(agent, server, **more):
    """With the real runuser, and the agent's psql, to *server*."""
    (agent.root / "bin/runuser").unlink(missing_ok=True)
    given = {"OCF_RESKEY_pgport": str(server.port), "OCF_RESKEY_socketdir": server.home, "OCF_RESKEY_pgdba": OWNER,
             "OCF_RESKEY_psql": server.lab.root + "/ocf/psql", "OCF_RESKEY_pgdb": "template1"}
    return agent("promote", **dict(given, **more))


def test_sessions_that_read_for_long_end_at_a_promotion(agent, pair):
    agent.program("hub-ha", "sleep 0.1")
    sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'"
    old = [client(pair.standby, "-c", "select pg_sleep(60)") for dummy in range(2)]
    others = [client(pair.standby), client(pair.primary, "-c", "select pg_sleep(60)")]
    try:
        soon(lambda: pair.standby.sql(sleeping) == "2", "they have not begun")
        time.sleep(1.2)
        others.append(client(pair.standby, "-c", "select pg_sleep(60)"))
        soon(lambda: pair.standby.sql(sleeping) == "3", "it has not begun")
        assert promote(agent, pair.standby).stdout.startswith("inner promote")
        for child in old:
            assert b"terminating connection" in child.communicate(timeout=5)[0]
        soon(lambda: "ended for the promotion: 2 session(s)" in agent.log(), agent.log())
        time.sleep(0.2)
        assert [child.poll() for child in others] == [None] * 3, "idle, just begun, or of another server"
    finally:
        for child in old + others:
            child.kill()
            child.wait()


def test_nothing_of_it_holds_a_promotion_up(agent, pair):
    """Of a primary, of none, and of one that is frozen."""
    child = client(pair.primary, "-c", "select pg_sleep(60)")
    time.sleep(1.2)
    frozen = pair.standby.pid()
    try:
        assert promote(agent, pair.primary).returncode == 0
        os.kill(frozen, signal.SIGSTOP)
        began = time.monotonic()
        assert promote(agent, pair.standby).returncode == 0 and time.monotonic() - began < 1.5
        assert promote(agent, pair.standby, OCF_RESKEY_psql="/nowhere/psql").returncode == 0
        time.sleep(0.5)
        assert child.poll() is None and agent.log() == ""
    finally:
        os.kill(frozen, signal.SIGCONT)
        child.kill()
        child.wait()


# --- a server that does not come -----------------------------------------------------------------------------------

class Real:
    """The wrapper, its library and the distribution's agent, whole, for one server that is no pair's."""

    def __init__(self, root, lab, name):
        assert (PACKAGED / "resource.d/heartbeat/pgsql").exists(), "These tests need the package resource-agents"
        self.lab, self.root, self.server = lab, root, lab.server(name)
        lab.initdb(self.server.data)
        for folder in ("lib/hub_ha", "resource.d/heartbeat", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "lib/heartbeat").symlink_to(PACKAGED / "lib/heartbeat")
        (root / "resource.d/heartbeat/pgsql").symlink_to(PACKAGED / "resource.d/heartbeat/pgsql")
        (root / "lib/hub_ha/ocf-shellfuncs").symlink_to(FILES / "ocf-shellfuncs")
        shutil.copy(str(WRAPPER), str(root / "pgsql"))
        (root / "pgsql").chmod(0o755)
        for program in ("bin/crm_node", "bin/crm_attribute", "hub-ha"):
            (root / program).write_text("#!/bin/sh\necho hub1\n", encoding="ascii")
            (root / program).chmod(0o755)

    def start(self, limit=60, action="start", **more):
        """Returns the process's end and how long it took, in seconds."""
        began = time.monotonic()
        done = subprocess.run(
            [str(self.root / "pgsql"), action], text=True, check=False, timeout=limit, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd="/",
            env={"PATH": "%s:%s" % (self.root / "bin", os.environ["PATH"]), "OCF_ROOT": str(self.root), "LC_ALL": "C",
                 "OCF_RESOURCE_INSTANCE": "cfpgsql", "OCF_RESKEY_master_ip": "127.0.0.1", "HUB_HA_RUN": str(self.root),
                 "HUB_HA_CONF": "/nowhere/agent.conf", "HUB_HA_APP": str(self.root / "hub-ha"),
                 "HA_RSCTMP": str(self.root), "OCF_RESKEY_pgdata": self.server.data, "OCF_RESKEY_pgdba": OWNER,
                 "OCF_RESKEY_config": self.server.data + "/postgresql.conf", "OCF_RESKEY_logfile": self.server.log,
                 "OCF_RESKEY_pgctl": self.lab.bin + "/pg_ctl", "OCF_RESKEY_psql": self.lab.bin + "/psql",
                 "OCF_RESKEY_monitor_user": "root", "OCF_RESKEY_monitor_password": "none",
                 "OCF_RESKEY_pgport": str(self.server.port), "OCF_RESKEY_socketdir": self.server.home,
                 "OCF_RESKEY_start_opt": "-p %d -k %s" % (self.server.port, self.server.home), **more})
        return done, time.monotonic() - began


@pytest.fixture(name="real")
def fixture_real(tmp_path, pair):
    """A Real with a server of its own."""
    made = Real(tmp_path, pair, tmp_path.name)
    yield made
    kill_all(made)


def reason(done):
    """The exit reasons, one line."""
    return " ".join(line for line in done.stderr.splitlines() if "ocf-exit-reason:" in line)


def test_the_agent_says_what_the_library_listens_to():
    said = (PACKAGED / "resource.d/heartbeat/pgsql").read_text(encoding="utf-8")
    for step in ("started", "promoted"):
        text = "ocf_log debug \"PostgreSQL still hasn't %s yet. Waiting...\"" % step
        assert text in said and text.replace("ocf_log ", "").replace('"', "") in FILES.joinpath(
            "ocf-shellfuncs").read_text(encoding="utf-8")


def test_a_server_that_cannot_start_is_a_failure_at_once_with_its_reason(real):
    """It had no process any more, and was waited for up to the operation's limit of minutes."""
    with open(real.server.data + "/postgresql.auto.conf", "a", encoding="ascii") as conf:
        conf.write("shared_buffers = rubbish\n")
    done, took = real.start()
    assert done.returncode == 1 and 2.5 < took < 20
    assert "postgresql.auto.conf\" contains errors" in reason(done)
    assert reason(done).startswith('ocf-exit-reason:PostgreSQL ends: FATAL: configuration file "'), "128 are kept"
    assert re.search("see %s on [a-z0-9.-]+ .data in %s." % (re.escape(real.server.log), re.escape(real.server.data)),
                     reason(done))


def test_the_reason_is_found_where_the_server_writes_a_log_of_its_own(real):
    with open(real.server.data + "/postgresql.auto.conf", "a", encoding="ascii") as conf:
        conf.write("logging_collector = on\nlog_filename = 'own.log'\n")
    Path(real.server.data, "pg_hba.conf").write_text("rubbish\n", encoding="ascii")
    done = real.start()[0]
    assert done.returncode == 1 and "pg_hba.conf" in reason(done) and "FATAL" in reason(done)
    assert "FATAL" not in real.server.log_text(), "it stands in the other log alone"


def held(real):
    """Its configuration comes through a pipe: it waits before it has written its file. Returns the pipe."""
    pipe = Path(real.server.home, "pipe")
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    with open(real.server.data + "/postgresql.conf", "a", encoding="ascii") as conf:
        conf.write("include '%s'\n" % pipe)
    return pipe


def at_work(real):
    """The processes of its directory's PostgreSQL."""
    done = subprocess.run(["pgrep", "-x", "postgres"], stdout=subprocess.PIPE, text=True, check=False)
    found = []
    for pid in done.stdout.split():
        with contextlib.suppress(FileNotFoundError):
            if os.readlink("/proc/%s/cwd" % pid) == real.server.data:
                found.append(int(pid))
    return found


def kill_all(real):
    """SIGKILL to them; those that have ended with their postmaster meanwhile are none."""
    for pid in at_work(real):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_start_that_is_slow_is_waited_for(real):
    """Also while it has no file yet, as on a machine that is very busy."""
    pipe = held(real)

    def go_on():
        with open(pipe, "w", encoding="ascii"):  # it reads its configuration twice
            pipe.with_name("file").touch(0o644)
            pipe.with_name("file").rename(pipe)

    threading.Timer(7.0, go_on).start()
    done, took = real.start()
    assert (done.returncode, reason(done)) == (0, "") and took > 6.5, done.stderr
    assert real.server.sql("select 1") == "1"


def test_a_server_that_ends_in_the_middle_of_its_start_is_noticed(real):
    held(real)
    Path(real.server.log).write_text("2020-01-01 FATAL:  of another time\n", encoding="ascii")
    shutil.chown(real.server.log, OWNER)

    def end():
        soon(lambda: at_work(real), "it has not begun", 20)
        time.sleep(4)
        kill_all(real)

    thread = threading.Thread(target=end)
    thread.start()
    done, took = real.start()
    thread.join()
    assert done.returncode == 1 and "no FATAL in its log" in reason(done) and 6.5 < took < 25


def alone(root):
    """What the guard has just said."""
    guard = root / "guard.json"
    guard.write_text('{"peer": {"node": "hub2", "absent": 12.5}, "done": []}')
    return {"HUB_HA_GUARD": str(guard), "OCF_RESKEY_query_interval": "3000ms", "OCF_RESKEY_CRM_meta_interval": "1001",
            "OCF_RESKEY_CRM_meta_role": "Promoted"}


def test_a_primary_that_is_alone_is_started_in_place(real):
    """With a session that the postmaster has left, which would go on and acknowledge what nobody keeps."""
    assert real.start()[0].returncode == 0
    before = int(Path(real.server.data, "postmaster.pid").read_text().split()[0])
    children = at_work(real)
    os.kill(before, signal.SIGSTOP)  # so that none of its children ends with it by itself
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    os.kill(before, signal.SIGKILL)
    # nor as a zombie: its name stands in the socket's lock too
    soon(lambda: not Path("/proc/%d" % before).exists(), "it is still there", 20)
    real.start(action="monitor", **alone(real.root))
    after = int(Path(real.server.data, "postmaster.pid").read_text().split()[0])
    assert after != before and not set(children) & set(at_work(real))
    ready = [real.lab.bin + "/pg_isready", "-q", "-h", real.server.home, "-p", str(real.server.port)]
    soon(lambda: subprocess.run(ready, check=False).returncode == 0, "it does not serve", 20)
    assert real.server.sql("select pg_is_in_recovery()") == "f"


@pytest.mark.parametrize("answer, standby, absent, role, asked", [
    (3, False, "12.5", "Promoted", True), (1, False, "12.5", "Master", True), (0, True, "12.5", "Promoted", False),
    (0, False, "null", "Promoted", False), (0, False, "12.5", "Unpromoted", False), (0, False, "12.5", "Slave", False),
    (0, False, "12.5", "", False)])
def test_what_may_not_be_started_in_place_is_not(agent, answer, standby, absent, role, asked):
    agent.program("hub-ha", 'echo "$@" >>"%s/app"; exit %d' % (agent.root, answer))
    agent.program("bin/runuser", 'echo "$@" >>"%s/started"' % agent.root)
    if standby:
        (agent.data / "standby.signal").touch()
    more = dict(alone(agent.root), OCF_RESKEY_CRM_meta_role=role)
    (agent.root / "guard.json").write_text('{"peer": {"node": "hub2", "absent": %s}, "done": []}' % absent)
    assert agent("monitor", **more).returncode == 7
    assert not (agent.root / "started").exists()
    assert (agent.root / "app").exists() == asked


def test_a_probe_starts_nothing(agent):
    agent.program("bin/runuser", 'echo "$@" >>"%s/started"' % agent.root)
    agent("monitor", **dict(alone(agent.root), OCF_RESKEY_CRM_meta_interval="0"))
    assert not (agent.root / "started").exists()


def test_one_that_does_not_start_in_place_has_failed(agent):
    agent.program("bin/runuser", "echo no space left; exit 1")
    done = agent("monitor", **alone(agent.root))
    assert done.returncode == 7 and "no postmaster runs" in done.stderr
    assert "started in place" in agent.log() and "it is not: no space left" in agent.log()


def with_library(agent, text):
    """The agent's program, with the real library. Returns the wrapper to call."""
    for name in ("lib/heartbeat", "lib/hub_ha"):
        (agent.root / name).mkdir(parents=True)
    (agent.root / "lib/hub_ha/ocf-shellfuncs").symlink_to(FILES / "ocf-shellfuncs")
    (agent.root / "lib/heartbeat/ocf-shellfuncs").symlink_to(PACKAGED / "lib/heartbeat/ocf-shellfuncs")
    for path in (PACKAGED / "lib/heartbeat").iterdir():
        if not (agent.root / "lib/heartbeat" / path.name).exists():
            (agent.root / "lib/heartbeat" / path.name).symlink_to(path)
    shutil.copy(str(WRAPPER), str(agent.root / "pgsql"))
    (agent.root / "pgsql").chmod(0o755)
    agent.program("resource.d/heartbeat/pgsql", '. "$OCF_FUNCTIONS_DIR/ocf-shellfuncs"\n' + text)
    return agent.root / "pgsql"


STEPS = """STILL() { HUB_HA_MAY=$((HUB_HA_MAY - 4)); }
%s
ocf_log info "Changing cfpgsql-data-status on hub2 : LATEST->DISCONNECT."
echo scores taken
%s
ocf_log info "My master baseline : 000000000903B698."
ocf_log info "and once more"
echo promoted
ocf_log info "PostgreSQL promote command sent."
STILL
ocf_log info "PostgreSQL is promoted."
"""


@pytest.mark.parametrize("action, first, second, asked, said", [
    ("promote", "", "", 1, ["scores taken", "promoted"]), ("promote", "STILL", "", 2, []),
    ("promote", "", "STILL", 2, ["scores taken"]), ("start", "STILL", "", 1, ["scores taken", "promoted"])])
def test_a_promotion_in_which_this_machine_stood_still_asks_again(agent, action, first, second, asked, said):
    """The other hub has become the primary meanwhile."""
    wrapper = with_library(agent, STEPS % (first, second))
    agent.program("hub-ha", 'echo "$1" >>"%s/app"; [ "$(grep -c may-promote "%s/app")" -lt 2 ] || exit 3; '
                  '[ "$1" != may-promote ] || cut -d . -f 1 /proc/uptime' % ((agent.root,) * 2))
    done = agent(action, wrapper=wrapper)
    assert (agent.root / "app").read_text().split() == ["may-" + action] * asked
    assert done.stdout.splitlines() == said and done.returncode == (1 if asked == 2 else 0), done


def test_one_that_may_still_goes_on(agent):
    wrapper = with_library(agent, STEPS % ("STILL", ""))
    agent.program("hub-ha", 'echo "$1" >>"%s/app"; cut -d . -f 1 /proc/uptime' % agent.root)
    assert agent("promote", wrapper=wrapper).stdout.splitlines() == ["scores taken", "promoted"]
    assert (agent.root / "app").read_text().split() == ["may-promote"] * 2, "once for each time that it stood still"


# What the packaged agent says before it takes that from the other hub (change_data_status, set_master_score).
TAKES = ["Changing cfpgsql-data-status on hub2 : STREAMING|ASYNC->DISCONNECT.",
         "Changing cfpgsql master score on hub2 : 1000->-INFINITY."]
ASKED = "-l reboot -N hub2 -n cfpgsql-status -G -q"


@pytest.mark.parametrize("said", TAKES)
@pytest.mark.parametrize("action, status, code, goes_on", [
    ("monitor", "PRI", 8, False), ("monitor", "HS:alone", 8, True), ("monitor", "", 8, True), ("notify", "PRI", 0, False),
    ("start", "PRI", 0, True)])
def test_a_primary_takes_nothing_from_another_primary(agent, action, status, code, goes_on, said):
    """Two that have met: the score of the one that goes on was taken away by the other one's last monitor."""
    wrapper = with_library(agent, 'ocf_log info "%s"; echo taken; [ "$1" != monitor ] || exit 8' % said)
    agent.program("bin/crm_attribute", 'echo "$@" >"%s/asked"; echo "%s"' % (agent.root, status))
    child = agent.postmaster()
    try:
        done = agent(action, wrapper=wrapper, **(MONITOR if action == "monitor" else {}))
    finally:
        child.kill()
        child.wait()
    assert done.returncode == code and ("taken" in done.stdout) is goes_on, done
    assert (agent.root / "asked").exists() is (action != "start")
    if action != "start":
        assert (agent.root / "asked").read_text().strip() == ASKED


@pytest.mark.parametrize("said", ["Changing cfpgsql master score on hub2 : -INFINITY->100.",
                                  "Changing cfpgsql-data-status on hub2 : DISCONNECT->STREAMING|ASYNC.",
                                  "Changing cfpgsql-status on hub2 : HS:alone->HS:async."])
def test_nobody_is_asked_before_something_is_given(agent, said):
    wrapper = with_library(agent, 'ocf_log info "%s"; echo given; exit 8' % said)
    agent.program("bin/crm_attribute", 'echo "$@" >"%s/asked"; echo PRI' % agent.root)
    child = agent.postmaster()
    try:
        assert "given" in agent("monitor", wrapper=wrapper, **MONITOR).stdout and not (agent.root / "asked").exists()
    finally:
        child.kill()
        child.wait()


def test_the_packaged_agent_says_so_before_it_does():
    said = (PACKAGED / "resource.d/heartbeat/pgsql").read_text(encoding="utf-8")
    for text in ('ocf_log info "Changing $PGSQL_DATA_STATUS_ATTR on $1 : $output->$2."\n            exec_with_retry',
                 'ocf_log info "Changing $3 master score on $1 : $current_score->$2."\n        exec_with_retry',
                 'CAN_NOT_PROMOTE="-INFINITY"'):
        assert text in said


def test_a_server_that_ends_in_its_promotion_is_noticed(agent):
    """The agent waits for it in the same way."""
    wrapper = with_library(agent, 'while :; do sleep 1; ocf_log debug '
                           '"PostgreSQL still hasn\'t promoted yet. Waiting..."; done')
    child = agent.postmaster()
    threading.Timer(4.0, child.kill).start()
    threading.Timer(4.1, child.wait).start()
    began = time.monotonic()
    done = agent("promote", wrapper=wrapper)
    assert done.returncode == 1 and "PostgreSQL ends: no FATAL" in done.stderr and 6.5 < time.monotonic() - began < 20


@pytest.fixture(name="packaged")
def fixture_packaged(agent):
    """An Agent with a standby's data where the hub's package has it. mark: made first by its scripts, removed last."""
    agent.data = agent.root / "var/cfengine/state/pg/data"
    agent.data.mkdir(parents=True)
    (agent.data / "postgresql.conf").touch()
    (agent.data / "standby.signal").touch()
    (agent.root / "agent.conf").write_text("OCF_RESKEY_master_ip=127.0.0.1\n", encoding="ascii")
    agent.mark = agent.root / "var/cfengine/UPGRADED_FROM_STATE.txt"
    return agent


MONITOR = {"OCF_RESKEY_query_interval": "10000ms", "OCF_RESKEY_CRM_meta_interval": "1000"}


@pytest.mark.parametrize("action, runs, code, inner, waits", [
    ("monitor", False, 7, False, True), ("monitor", True, 0, True, False), ("start", False, 1, False, True),
    ("stop", False, 0, True, False), ("stop", True, 0, True, True), ("demote", True, 0, True, True),
    ("demote", False, 0, False, False)])
def test_the_scripts_of_the_hubs_package_are_waited_for(packaged, action, runs, code, inner, waits, tmp_path):
    """Asked only while their mark is there, and where they could be disturbed; a start that they outlast fails."""
    packaged.program("hub-ha", '[ "$1" != await-package ] || { echo "$2 $3" >>"%s/waited"; exit 3; }' % tmp_path)
    child = packaged.postmaster() if runs else None
    packaged.mark.touch()
    try:
        done = packaged(action, **MONITOR)
    finally:
        if child:
            child.kill()
            child.wait()
    assert (tmp_path / "waited").exists() is waits
    if waits:
        assert (tmp_path / "waited").read_text(encoding="ascii") == "%s %s\n" % (action, packaged.mark)
    assert (done.returncode, "inner" in done.stdout) == (code, inner), done


@pytest.mark.parametrize("action", ["monitor", "start", "stop"])
def test_without_their_mark_nobody_asks_for_them(packaged, action, tmp_path):
    packaged.program("hub-ha", '[ "$1" != await-package ] || touch "%s/waited"' % tmp_path)
    packaged(action, **MONITOR)
    assert not (tmp_path / "waited").exists()


def test_a_standby_that_runs_when_they_have_ended_has_not_failed(packaged):
    """The unit of a hub that was made a pair before starts it."""
    packaged.mark.touch()
    child = packaged.postmaster()
    (packaged.data / "postmaster.pid").unlink()
    packaged.program("hub-ha", '[ "$1" != await-package ] || echo %d >"%s/postmaster.pid"' % (child.pid, packaged.data))
    try:
        done = packaged("monitor", **MONITOR)
    finally:
        child.kill()
        child.wait()
    assert done.returncode == 0 and "inner monitor" in done.stdout, done
