# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's psql against a real server: a person's psqlrc and the environment change nothing of its answers."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import agent_sql
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab

PSQL = pathlib.Path(__file__).parents[3] / "roles/resources/files/psql"


@pytest.fixture(scope="module", name="lab")
def fixture_lab():
    """A server, and the wrapper beside the link to the programs, as on a hub."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        folder = made.directory("ocf")
        shutil.copy(str(PSQL), folder + "/psql")
        os.chmod(folder + "/psql", 0o755)
        os.symlink(made.bin, folder + "/bin")
        made.file("psqlrc", "\\timing on\n\\echo hello\n", 0o644)
        yield made
    finally:
        made.close()


def ask(lab, program, **environment):
    """(return code, output) of the agent's question."""
    done = subprocess.run([program, "-p", str(lab.primary.port), "-U", "root", "postgres", "-h", lab.primary.home,
                           "-Atc", "select pg_is_in_recovery()"], check=False, encoding="utf-8", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=dict(os.environ, PSQLRC=lab.root + "/psqlrc", **environment))
    return done.returncode, done.stdout


def test_a_psqlrc_is_not_read(lab):
    assert "Time:" in ask(lab, lab.bin + "/psql")[1], "this psqlrc would disturb the answer"
    assert ask(lab, lab.root + "/ocf/psql") == (0, "f\n")


def test_the_environment_does_not_count(lab):
    bad = {"PGOPTIONS": "-c nosuch=1", "PGSSLMODE": "require", "PGSERVICE": "nowhere", "LC_ALL": "tlh_KL.UTF-8"}
    assert ask(lab, lab.bin + "/psql", **bad)[0] != 0
    assert ask(lab, lab.root + "/ocf/psql", **bad) == (0, "f\n")


def session(lab, server):
    """[the process of a psql that is connected to a server and stays until its input ends], or [] without a place."""
    child = subprocess.Popen(  # pylint: disable=consider-using-with
        [lab.bin + "/psql", "-XAtq", "-h", server.home, "-p", str(server.port), "-U", "root", "-d", "postgres"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
        env=dict(os.environ, PGCONNECT_TIMEOUT="20"))
    try:
        child.stdin.write("select 'in';\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass
    if child.stdout.readline() == "in\n":
        return [child]
    child.kill()
    child.communicate()
    return []


def test_a_place_is_waited_for_where_many_connect_at_once(lab):
    """A rush of sessions has all places for a moment, those of superusers too: that is no failure of the database."""
    full = lab.server("full").create()
    full.stop()
    full.start(max_connections=3, superuser_reserved_connections=0, max_wal_senders=0, autovacuum="off")
    words = [lab.root + "/ocf/psql", "-p", str(full.port), "-h", full.home, "-U", "root", "-Atc", "select 1",
             "postgres"]
    held = []
    try:
        # one after the other, each heard before the next: whoever asks beside them may take a place of theirs
        soon = time.monotonic() + 30
        while len(held) < 3:
            assert time.monotonic() < soon, "a session that stays does not come in"
            held += session(lab, full)
        assert "too many clients" in subprocess.run(words, stderr=subprocess.PIPE, check=False, text=True).stderr
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True,
                              env=dict(os.environ, HUB_HA_PATIENCE="200")) as asked:
            with pytest.raises(subprocess.TimeoutExpired):  # it waits
                asked.wait(0.5)
            held[0].communicate()
            assert asked.communicate()[0] == "1\n" and asked.returncode == 0
    finally:
        for child in held:
            child.kill()
            child.communicate()
        full.stop()


# --- preflight's question ---------------------------------------------------------------------------------------

def question(lab, **changes):
    """The agent's question to the lab's server, as argv."""
    return agent_sql.question(**dict({"owner": OWNER, "data_dir": lab.primary.data, "bin_dir": lab.bin,
                                      "port": lab.primary.port, "socket_dir": lab.primary.home}, **changes))


def role(lab):
    """The role that the agent asks as."""
    lab.primary.sql("DROP ROLE IF EXISTS %s; CREATE ROLE %s SUPERUSER LOGIN" % (OWNER, OWNER))


def test_the_agents_question_needs_a_role_of_the_owners_name(lab):
    lab.primary.sql("DROP ROLE IF EXISTS %s" % OWNER)
    asked = agent_sql.ask(runner.local_runner, question(lab))
    assert 'role "%s" does not exist' % OWNER in agent_sql.problem(asked)
    assert asked["command"].startswith("runuser %s -c 'cd " % OWNER)
    again = subprocess.run(["sh", "-c", asked["command"]], check=False, encoding="utf-8", stderr=subprocess.PIPE)
    assert "does not exist" in again.stderr, "a person can repeat it"
    role(lab)
    asked = agent_sql.ask(runner.local_runner, question(lab))
    assert asked["answer"] == "f" and agent_sql.problem(asked) is None


def test_a_psqlrc_of_the_person_who_runs_it_is_not_read(lab, monkeypatch):
    monkeypatch.setenv("PSQLRC", lab.root + "/psqlrc")
    monkeypatch.setenv("PGHOST", "192.0.2.1")
    role(lab)
    assert agent_sql.ask(runner.local_runner, question(lab))["answer"] == "f"


def test_a_password_or_a_strange_socket_is_no_answer(lab):
    path = lab.primary.data + "/pg_hba.conf"
    role(lab)
    with open(path, encoding="utf-8") as handle:
        before = handle.read()
    try:
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("local all %s scram-sha-256\n" % OWNER + before)
        lab.primary.sql("SELECT pg_reload_conf(); SELECT pg_sleep(0.5);")
        assert "password" in agent_sql.problem(agent_sql.ask(runner.local_runner, question(lab)))
    finally:
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(before)
        lab.primary.sql("SELECT pg_reload_conf(); SELECT pg_sleep(0.5);")
    assert "No such file" in agent_sql.problem(agent_sql.ask(runner.local_runner, question(lab, socket_dir="/nowhere")))


@pytest.mark.parametrize("rc, out, err, answer, good", [
    (0, "f\n", "", "f", True), (0, "t\n", "", "t", True), (0, "f\n", "a warning\n", "f", True),
    (0, "f\nTime: 0.6 ms\n", "", "f Time: 0.6 ms", False), (0, "Welcome\nf\n", "", "Welcome f", False),
    (0, "", "", "", False), (2, "", "psql: error: x\n", "psql: error: x", False),
    (1, "f\n", "", "exit status 1", False)])
def test_what_the_agent_would_hear(rc, out, err, answer, good):
    asked = agent_sql.ask(lambda argv, **options: runner.Completed(argv, rc, out, err), ["runuser"])
    assert asked["answer"] == answer and (agent_sql.problem(asked) is None) is good


def test_a_question_without_an_answer_in_time():
    def slow(argv, **options):
        raise runner.CommandTimeout(argv, options["timeout"])
    assert "did not end within 10 s" in agent_sql.problem(agent_sql.ask(slow, ["runuser"]))


@pytest.mark.parametrize("setting, socket", [
    ({}, None), ({"setting": "/tmp", "source": "default"}, None), ({"setting": "", "source": "command line"}, None),
    ({"setting": "/run/a, /run/b", "source": "configuration file"}, "/run/a")])
def test_the_socket_that_the_agent_is_told(setting, socket):
    assert agent_sql.agent_socket(setting) == socket


def test_su_where_there_is_no_runuser():
    assert agent_sql.question("u", "/d", "/b", 5432, None, lambda path: False) == [
        "su", "u", "-c",
        'cd /d; %s /b/psql -X -p 5432 -U u postgres -U u -Atc "select pg_is_in_recovery()"' % agent_sql.CLEAN]
