# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""basebackup: decisions and texts on plain data, and the action plugin in a real ansible-playbook run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import (
    client as postgres_loader,
    clone as model,
    clone_decision,
    quote,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Kind, Relation
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab, wait

NAMES = {"host": "hub1", "port": 5432, "user": "repl", "passfile": "/p", "slot": "hub2", "sslrootcert": "/root.crt"}


def facts(state=None, identifier="7", **more):
    """A data directory with a database in that state."""
    data = {"data_dir": "/data", "exists": True, "listing": ["PG_VERSION", "base", "global"], "pid": None,
            "control": {"state": state, "system_identifier": identifier}, "unreadable": None, "standby_signal": False,
            "backup_label": False}
    data.update(more)
    return clone_decision.Facts(**data)


BEHIND, END = [Relation(kind, ("evidence",)) for kind in (Kind.SAME_LINE_BEHIND, Kind.IDENTICAL_END)]
AHEAD, PAST = [Relation(kind, ("evidence",)) for kind in (Kind.AHEAD_OF_FORK, Kind.OTHER_PAST)]
UNKNOWN = Relation(Kind.UNKNOWN, ("evidence",))


@pytest.mark.parametrize("given, force, wanted", [
    (facts(exists=False), False, ("clone", None)),
    (facts(listing=[], control=None), False, ("clone", None)),
    (facts(listing=["lost+found"], control=None), False, ("clone", None)),
    # The standby that was asked for, in every state of its life.
    (facts("in archive recovery", pid=1, standby_signal=True), False, ("present", None)),
    (facts("in archive recovery", pid=1, standby_signal=True), True, ("present", None)),
    (facts("in archive recovery", pid=1, standby_signal=True, relation=BEHIND), False, ("present", None)),
    (facts("in archive recovery", pid=1, standby_signal=True, relation=UNKNOWN), False, ("present", None)),
    (facts("shut down in recovery", standby_signal=True, relation=BEHIND), False, ("present", None)),
    (facts("in archive recovery", standby_signal=True, relation=END), False, ("present", None)),
    (facts("in archive recovery", relation=BEHIND), False, ("signal", None)),
    (facts("in production", standby_signal=True, backup_label=True, relation=BEHIND), False, ("present", None)),
    (facts("in production", standby_signal=True, backup_label=True, pid=1), False, ("present", None)),
    # A former primary that has nothing of its own: a clean switchover, a crash in which all had been received.
    (facts("shut down", relation=END), False, ("signal", None)),
    (facts("shut down", standby_signal=True, relation=END), False, ("present", None)),
    (facts("in production", relation=BEHIND), True, ("signal", None)),
    # A standby, by its files, that went another way.
    (facts("shut down in recovery", standby_signal=True, relation=AHEAD), False, ("refuse", "forked")),
    (facts("in archive recovery", standby_signal=True, relation=PAST), False, ("refuse", "forked")),
    (facts("in archive recovery", pid=1, standby_signal=True, relation=AHEAD), True, ("refuse", "forked")),
    (facts("in production", standby_signal=True, backup_label=True, relation=AHEAD), False, ("refuse", "forked")),
    (facts("shut down in recovery", standby_signal=True, relation=AHEAD), True, ("aside", None)),
    # Nothing is proven: neither files nor the cluster state do it.
    (facts("shut down in recovery", standby_signal=True), False, ("refuse", "primary")),
    (facts("in archive recovery", standby_signal=True, relation=UNKNOWN), False, ("refuse", "primary")),
    (facts("in production", standby_signal=True), False, ("refuse", "primary")),
    (facts("in production", standby_signal=True, relation=UNKNOWN), False, ("refuse", "primary")),
    # A primary, however it came to be one.
    (facts("in production", pid=1), False, ("refuse", "primary")),
    (facts("in production", pid=1), True, ("refuse", "primary")),
    (facts("in production", pid=1, relation=BEHIND), True, ("refuse", "primary")),
    (facts("in production", pid=1, standby_signal=True), True, ("refuse", "primary")),
    (facts("in production", relation=AHEAD), False, ("refuse", "forked")),
    (facts("shut down", relation=AHEAD), False, ("refuse", "forked")),
    (facts("in production"), False, ("refuse", "primary")),
    (facts("shut down"), False, ("refuse", "primary")),
    (facts("shut down", standby_signal=True), False, ("refuse", "primary")),
    (facts("in crash recovery", backup_label=True), False, ("refuse", "primary")),
    (facts("shut down"), True, ("aside", None)),
    # Somebody else's.
    (facts("in archive recovery", "8", pid=1), True, ("refuse", "foreign")),
    (facts("shut down in recovery", "8"), False, ("refuse", "foreign")),
    (facts("shut down", "8", standby_signal=True), False, ("refuse", "foreign")),
    (facts("shut down", "8"), True, ("aside", None)),
    # Damaged.
    (facts(control=None, unreadable="x"), False, ("refuse", "unreadable")),
    (facts(control=None, unreadable="x"), True, ("aside", None)),
    (facts(control=None, unreadable="x", pid=3), True, ("refuse", "running")),
    (facts(control=None, unreadable="x", listing=["global"]), False, ("refuse", "unreadable")),
])
def test_decide(given, force, wanted):
    action, kind, text = clone_decision.decide(given, "7", force)
    assert (action, kind) == wanted
    assert bool(text) == (action == "refuse")


@pytest.mark.parametrize("given, action", [
    (facts("shut down in recovery", standby_signal=True), "present"),
    (facts("in production", standby_signal=True, backup_label=True), "present"),
    (facts("in archive recovery", standby_signal=True, relation=UNKNOWN), "present"),
    (facts("in archive recovery", standby_signal=True, relation=AHEAD), "refuse"),
    (facts("in production", standby_signal=True), "refuse"), (facts("shut down"), "refuse")])
def test_prediction_without_the_primary(given, action):
    assert clone_decision.decide(given, "7", guess=True)[0] == action


@pytest.mark.parametrize("change, wanted", [
    ({}, True), ({"state": "done"}, False), ({"system_identifier": "8"}, False), ({"time": 0}, False),
    ({"time": 10 ** 12}, False)])
def test_can_finish(change, wanted):
    marker = dict({"system_identifier": "7", "state": "complete", "time": 1000000}, **change)
    control = {"system_identifier": "7"}
    assert clone_decision.can_finish(marker, control, True, "7", True, 1000060) is wanted
    assert not clone_decision.can_finish(marker, control, False, "7", True, 1000060)
    assert not clone_decision.can_finish(marker, control, True, "7", False, 1000060)
    assert not clone_decision.can_finish(marker, None, True, "7", True, 1000060)
    assert not clone_decision.can_finish(None, control, True, "7", True, 1000060)


@pytest.mark.parametrize("text, kind", [
    ('psql: error: FATAL:  password authentication failed for user "repl"', "password"),
    ("psql: error: could not connect to server: Connection refused\n\tIs the server running", "refused"),
    ("psql: error: could not connect to server: timeout expired", "unreachable"),
    ("psql: error: could not connect to server: No route to host", "unreachable"),
    ("psql did not end within 30 s", "unreachable"),
    ('psql: error: could not translate host name "hub1" to address: Name or service not known', "name"),
    ('FATAL:  no pg_hba.conf entry for replication connection from host "192.0.2.2", user "repl", no encryption',
     "pg_hba"),
    ("SSL error: certificate verify failed", "tls"),
    ('server certificate for "a" does not match host name "b"', "tls"),
    ("server does not support SSL, but SSL was required", "tls"),
    ('root certificate file "/x" does not exist', "tls"),
    ('ERROR:  replication slot "hub2" is active for PID 812', "slot_active"),
    ("ERROR:  all replication slots are in use", "slots_full"),
    ("FATAL:  number of requested standby connections exceeds max_wal_senders (currently 0)", "senders_full"),
    ("ERROR:  WAL level not sufficient for making an online backup", "wal_level"),
    ("FATAL:  must be superuser or replication role to start walsender", "role"),
    ("FATAL:  permission denied to start WAL sender", "role"),
    ("FATAL:  the database system is starting up", "not_ready"),
    ("FATAL:  sorry, too many clients already", "too_many"),
    ('could not write to file "x": No space left on device', "space"),
    ('pg_basebackup: error: directory "/ts" exists but is not empty', "tablespace"),
    ("something new", "other"), ("", "other"),
])
def test_errors_have_a_kind_and_a_remedy(text, kind):
    found, message = model.classify(text, NAMES)
    assert found == kind
    assert "%(" not in message and "PostgreSQL says" in message


def test_lost_slot_is_recognized():
    for text in ('ERROR:  requested WAL segment 000000010000000000000003 has already been removed',
                 'DETAIL:  This replication slot has been invalidated due to "wal_removed".',
                 'DETAIL:  This slot has been invalidated because it exceeded the maximum reserved size.',
                 'ERROR:  can no longer access replication slot "hub2"'):
        assert model.INVALID_SLOT.search(text)
    assert not model.INVALID_SLOT.search('replication slot "hub2" is active for PID 1')


def test_error_lines_leave_the_progress_out():
    text = "pg_basebackup: initiating base backup\n  10/100 kB (10%), 0/1 tablespace (x)\npg_basebackup: error: bad\n"
    assert model.error_lines(text) == "pg_basebackup: error: bad"


def test_conninfo():
    assert model.conninfo([("host", "a b"), ("user", "o'b\\c"), ("x", None), ("y", ""), ("port", 1)]) == (
        "host='a b' user='o\\'b\\\\c' port='1'")
    assert quote.identifier('a"b') == '"a""b"'


def test_space():
    assert model.space_needed(1000 * model.MIB) == int(1100 * model.MIB) + 64 * model.MIB
    assert model.space_problem(100, model.space_needed(100), "/x") is None
    text = model.space_problem(2048 * model.MIB, 1024 * model.MIB, "/x")
    assert "hold 2.0 GB" in text and "2.3 GB must be free" in text and "1.0 GB are" in text and "Free 1.3 GB" in text


@pytest.mark.parametrize("seconds, text", [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7500, "2 h 5 min")])
def test_human_time(seconds, text):
    assert model.human_time(seconds) == text


def test_meter_reads_what_pg_basebackup_prints():
    now = [100.0]
    meter = model.Meter(lambda: now[0])
    assert meter.line("pg_basebackup: initiating base backup, waiting for checkpoint to complete")
    assert meter.state["phase"] == "checkpoint"
    assert not meter.line("pg_basebackup: checkpoint completed")
    assert meter.line("pg_basebackup: write-ahead log start point: 0/2000028 on timeline 3")
    assert (meter.state["start_lsn"], meter.state["timeline"], meter.state["phase"]) == ("0/2000028", 3, "copying")
    assert meter.line("    0/102400 kB (0%), 0/1 tablespace (/data/.data.clone/backup_label )")
    assert meter.state["rate"] is None and meter.state["eta_seconds"] is None
    now[0] += 2
    assert meter.line(" 25600/102400 kB (25%), 0/1 tablespace (...)")
    assert meter.state["percent"] == 25
    assert meter.state["rate"] == 12.5 * model.MIB and meter.state["eta_seconds"] == 6.0
    now[0] += 20
    assert meter.line("103000/102400 kB (100%), 1/1 tablespace")
    assert meter.state["percent"] == 100 and meter.state["eta_seconds"] == 0
    assert meter.line("pg_basebackup: syncing data to disk ...") and meter.state["phase"] == "verify"
    assert not meter.line("pg_basebackup: base backup completed")


def test_progress_text():
    state = {"phase": "copying", "percent": 43, "bytes_done": 54630809, "bytes_total": 126248550, "rate": 85144371.0,
             "eta_seconds": 0.84}
    assert model.progress_text("hub2", state) == (
        "[hub2] base backup  43 % ########............  52.1 MB of 120.4 MB  81.2 MB/s  about 1 s left")
    for phase in model.PHASES[:4]:
        assert model.progress_text("hub2", {"phase": phase}).startswith("[hub2] base backup  ")
    assert "putting it in place" in model.progress_text("h", dict(state, phase="swap"))
    assert "not needed" in model.final_text("h", {"changed": False})
    assert "failed" in model.final_text("h", {"failed": True})
    assert "earlier run" in model.final_text("h", {"changed": True, "resumed": True})
    assert "1.5 s" in model.final_text("h", {"changed": True, "bytes": 5, "seconds": 1.5, "rate": 3.0})


def test_lines_come_one_by_one_and_the_time_is_bounded():
    code = ("import sys,time\nfor x in 'a\\r', 'b\\n\\n', 'c':\n sys.stderr.write(x)\n sys.stderr.flush()\n"
            " time.sleep(.05)")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    lines = []
    assert postgres_loader.read_lines(process.stderr, lines.append, time.monotonic() + 20) == "a\nb\nc"
    assert lines == ["a", "b", "c"]
    process.stderr.close()
    process.wait()
    process = subprocess.Popen(["sleep", "60"], stderr=subprocess.PIPE, start_new_session=True)
    assert postgres_loader.read_lines(process.stderr, lines.append, time.monotonic() + 0.2) is None
    postgres_loader.end_group(process)
    process.stderr.close()
    assert process.returncode == -signal.SIGTERM


def test_stubborn_process_is_ended(tmp_path):
    code = "import signal,time;signal.signal(15, signal.SIG_IGN);print(1, flush=True);time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, "pg_basebackup", str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert postgres_loader.processes_copying(str(tmp_path)) == [process.pid]
    assert postgres_loader.end_processes([process.pid], patience=2) == []
    assert process.wait(timeout=5) == -signal.SIGKILL
    process.stdout.close()


PLAY = """
- hosts: hub2
  gather_facts: false
  tasks:
    - name: Clone
      cfengine.hub_ha.basebackup:
        data_dir: {data}
        bin_dir: {bin}
        owner: postgres
        primary_host: 127.0.0.1
        primary_port: {port}
        user: repl
        passfile: {passfile}
        sslmode: require
        slot: hub2
        max_rate: "{{{{ rate }}}}"
        show_progress: "{{{{ show | default(true) }}}}"
"""


@pytest.fixture
def play():
    """A primary with 30 MB, an empty standby, and a callable that runs the play; returns the Popen."""
    lab = Lab()
    try:
        primary = lab.server("primary").create()
        primary.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD 'geheim-4711'")
        standby = lab.server("standby")
        passfile = lab.file("pass", "*:*:*:repl:geheim-4711\n")
        book = lab.file("play.yml", PLAY.format(data=standby.data, bin=lab.bin, port=primary.port, passfile=passfile))
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        program = program if os.path.exists(program) else shutil.which("ansible-playbook")
        root = os.path.abspath(__file__).split("/ansible_collections/")[0]
        environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=root, ANSIBLE_ASYNC_DIR=lab.root + "/async",
                           ANSIBLE_NOCOLOR="1", ANSIBLE_CONFIG=lab.file("ansible.cfg", ""), HOME=lab.root,
                           ANSIBLE_HOME=lab.root + "/home")
        environment.pop("PYTHONPATH", None)

        def start(rate, *more):
            argv = [program, "-i", "hub2,", "-c", "local", "-e", "rate=" + rate,
                    "-e", "ansible_python_interpreter=" + sys.executable, book, "--diff"] + list(more)
            return subprocess.Popen(argv, env=environment, cwd="/", encoding="utf-8", start_new_session=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        start.standby, start.lab = standby, lab
        yield start
    finally:
        lab.close()


def finished(process):
    """Output of a play that ended well."""
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, out
    assert "geheim" not in out
    return out


def test_action_shows_progress_and_the_modules_result(play):
    begun = time.monotonic()
    predicted = finished(play("3M", "--check"))
    machine = time.monotonic() - begun  # how long this one takes for a whole play; a busy one shows progress less often
    assert "changed=1" in predicted and "+standby of system" in predicted and "base backup" not in predicted
    assert os.listdir(play.standby.home) == []

    process = play("3M")  # seven seconds, so that a busy machine too has something to show between
    seen = []
    for line in process.stdout:
        seen.append((time.monotonic(), line))
    assert process.wait(timeout=10) == 0
    lines = [(when, line) for when, line in seen if line.startswith("[hub2] base backup")]
    assert len(lines) >= 3, seen
    assert any(re.search(r"\d+ % #*\.* .* of .*MB .*/s  about \d+ s left", line) for when, line in lines), lines
    assert re.search(r"100 % #{20}  .* in .* s", lines[-1][1])
    assert max(after[0] - before[0] for before, after in zip(lines, lines[1:])) < max(5, machine)
    # The same diff as predicted, the real run.
    diff = [line for when, line in seen if line[:1] in "+-"]
    assert diff == [line + "\n" for line in predicted.splitlines() if line[:1] and line[:1] in "+-"]

    again = finished(play("100M"))
    assert "changed=0" in again and "not needed: this host already is a standby" in again
    assert "base backup" not in finished(play("6M", "-e", "show=false"))
    assert os.listdir(play.lab.root + "/async") == []


def test_killed_playbook_then_run_again(play):
    """The copy goes on without ansible; the next run waits for it and finds it done."""
    process = play("6M")
    wait(lambda: os.path.exists(play.standby.home + "/.data.clone/base"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not os.path.exists(play.standby.data)
    out = finished(play("100M"))
    assert "changed=0" in out and os.path.exists(play.standby.data + "/standby.signal")
    assert " of " in out, "shows the first run's progress while it waits"


def test_failure_comes_through(play):
    play.lab.file("pass", "*:*:*:repl:wrong\n")
    process = play("100M")
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and "refuses the password of role repl" in out
    assert os.listdir(play.lab.root + "/async") == []
