# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server that speaks German (lc_messages) and a person whose programs do: what is decided is the same."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import Completed, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import client, look, status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import (
    SERVERS_WORDS,
    Postgres,
    PostgresError,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.clone_source import Primary, Source
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

ROLES = Path(__file__).parents[3] / "roles"
GERMAN = "de_DE.UTF-8"
PASSWORD = "loopback-only"
CATALOGUES = glob.glob("/usr/share/locale/de/LC_MESSAGES/postgres-*.mo")


@pytest.fixture(scope="module", name="lab")
def fixture_lab():
    """Servers that find the German locale, and the agent's psql beside the link to the programs, as on a hub."""
    if not shutil.which("localedef") or not CATALOGUES or not os.path.exists("/usr/share/i18n/locales/de_DE"):
        pytest.skip("neither PostgreSQL's German texts nor a way to make the locale are here")
    made = Lab()
    try:
        places = made.directory("locale")
        subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", places + "/" + GERMAN], check=True)
        made.environment = {"LOCPATH": places}
        folder = made.directory("ocf")
        shutil.copy(str(ROLES / "resources/files/psql"), folder + "/psql")
        os.chmod(folder + "/psql", 0o755)
        os.symlink(made.bin, folder + "/bin")
        made.primary = german(made, "primary")
        made.primary.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s'" % PASSWORD)
        yield made
    finally:
        made.close()


def german(lab, name, **settings):
    """A server that speaks German."""
    server = lab.server(name)
    lab.initdb(server.data)
    return speaks(lab, server, **settings)


def speaks(lab, server, **settings):
    """Starts it."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in lab.environment.items():
            patch.setenv(key, value)
        return server.start(lc_messages=GERMAN, **settings)


def refusal(lab, server, user="root"):
    """What psql prints when this server does not let it in."""
    with pytest.raises(client.HubError) as caught:
        Postgres(local_runner, lab.bin).sql("SELECT 1", user=user, socket_dir=server.home, port=server.port)
    return caught.value.message


def passes(lab, server, text):
    return client.passes(local_runner, lab.bin, text, server.port, server.home)


def agent_asks(lab, server, patience=0, user="root"):
    """(return code, what it says, seconds) of the agent's question."""
    began = time.monotonic()
    done = subprocess.run([lab.root + "/ocf/psql", "-p", str(server.port), "-U", user, "postgres", "-h", server.home, "-Atc",
                           "select 1"], check=False, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, HUB_HA_PATIENCE=str(patience), OCF_RESKEY_pgdata=server.data))
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def test_a_server_that_takes_no_sessions_yet_is_waited_for(lab):
    server = german(lab, "starting")
    server.stop()
    lab.file("starting/data/standby.signal", "")
    speaks(lab, server, hot_standby="off", primary_conninfo="host=/nowhere")
    text = refusal(lab, server)
    assert "Datenbanksystem" in text and not client.says_passing(text), text
    assert passes(lab, server, text)
    code, said, dummy = agent_asks(lab, server)
    assert code == 2 and "Datenbanksystem" in said and "the database system is starting up" in said
    assert agent_asks(lab, server, 6)[2] > 0.5
    server.kill()


def test_what_does_not_pass_is_no_wait(lab):
    text = refusal(lab, lab.primary, "nobody_here")
    assert "existiert nicht" in text and not passes(lab, lab.primary, text)
    code, said, dummy = agent_asks(lab, lab.primary, user="nobody_here")
    assert code == 2 and "starting up" not in said
    assert agent_asks(lab, lab.primary) == (0, "1\n", pytest.approx(0, abs=5))
    assert not client.passes(local_runner, "/nowhere/bin", text, 1, "/nowhere"), "no pg_isready"
    assert not client.passes(local_runner, lab.bin, "psql: error: connection refused", lab.primary.port, lab.primary.home)


def test_a_server_that_ends_is_not_waited_for_by_the_agent(lab):
    server = german(lab, "ending")
    with subprocess.Popen([lab.bin + "/psql", "-XAtq", "-h", server.home, "-p", str(server.port), "-U", "root", "-d", "postgres"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as held:
        held.stdin.write("select 'in';\n")
        held.stdin.flush()
        assert held.stdout.readline() == "in\n"
        lab.owner(lab.bin + "/pg_ctl", "-D", server.data, "-m", "smart", "-W", "stop")
        wait(lambda: agent_asks(lab, server)[0] == 2)
        code, said, took = agent_asks(lab, server, 40)
        assert code == 2 and "Datenbanksystem" in said and "starting up" not in said and took < 3
        held.communicate()
    wait(lambda: server.pid() is None)


def test_a_place_is_waited_for(lab):
    server = german(lab, "full", max_connections=3, superuser_reserved_connections=0, max_wal_senders=0, autovacuum="off")
    held = []
    try:
        deadline = time.monotonic() + 30
        while agent_asks(lab, server)[0] == 0:
            assert time.monotonic() < deadline
            held.append(subprocess.Popen(  # pylint: disable=consider-using-with
                [lab.bin + "/psql", "-XAtq", "-h", server.home, "-p", str(server.port), "-U", "root", "-d", "postgres"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True))
            time.sleep(0.3)
        assert agent_asks(lab, server, 6)[2] > 0.5
    finally:
        for child in held:
            child.kill()
            child.communicate()
    wait(lambda: agent_asks(lab, server, 40)[0] == 0)
    server.kill()


def source(lab, user="repl"):
    """The German server as a clone's source."""
    path = lab.file("pass", "*:*:*:*:%s\n" % PASSWORD)
    return Primary(Postgres(local_runner, lab.bin, OWNER), Source(
        "127.0.0.1", user, "hub2", port=lab.primary.port, passfile=path, sslmode="require"))


def test_a_slot_that_is_there_already_is_kept(lab):
    primary = source(lab)
    version = primary.identify().version_num
    assert primary.make_slot("missing", version) == "created"
    assert primary.make_slot("unknown", version) == "kept", "as before PostgreSQL 15, where nobody can look first"
    with pytest.raises(PostgresError) as caught:
        primary.ask(["CREATE_REPLICATION_SLOT hub2 PHYSICAL"])
    assert "existiert bereits" in caught.value.details["stderr"]
    assert primary.sqlstate("CREATE_REPLICATION_SLOT hub2 PHYSICAL") == "42710"
    assert primary.sqlstate("IDENTIFY_SYSTEM") == ""


def test_a_refusal_in_unknown_words_is_known_for_the_servers(lab):
    """In check mode the role may be made by an earlier step of the real run."""
    with pytest.raises(PostgresError) as caught:
        source(lab, "stranger").identify()
    assert "kein pg_hba.conf-Eintrag" in caught.value.details["stderr"]
    assert caught.value.kind == "other" and SERVERS_WORDS.search(caught.value.details["stderr"])
    assert not SERVERS_WORDS.search('psql: error: connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
                                    "\tIs the server running on that host and accepting TCP/IP connections?")


def test_what_is_known_of_a_server_is_the_same(lab, monkeypatch):
    # Not LANGUAGE: this process would keep German words for errors of its own beyond the test.
    for name, value in dict(lab.environment, LC_ALL=GERMAN, LANG=GERMAN).items():
        monkeypatch.setenv(name, value)
    postgres = Postgres(local_runner, lab.bin, OWNER)
    assert status.gather(postgres, lab.primary.data, port=lab.primary.port, socket_dir=lab.primary.home)["role"] == "primary"
    assert postgres.controldata(lab.primary.data)["state"] == "in production"
    primary = source(lab)
    side = look.remote_side(local_runner, lab.bin, OWNER, primary.conninfo(False))
    assert side.in_recovery is False and side.timeline == 1
    assert look.local_side(local_runner, lab.primary.data, lab.bin, OWNER, port=lab.primary.port,
                           socket_dir=lab.primary.home).in_recovery is False


@pytest.mark.parametrize("role, name", [("remove_ha", "other.yml"), ("third_hub", "return_follow.yml")])
def test_what_a_task_looks_for_in_pg_ctls_words_is_said_in_english(role, name):
    tasks = yaml.safe_load((ROLES / role / "tasks" / name).read_text(encoding="utf-8"))
    found = [task for task in tasks if "stdout is search" in str(task.get("changed_when"))]
    assert found and all(task["environment"] == {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"} for task in found)


def test_a_pg_isready_that_does_not_end_is_no_answer(tmp_path):
    (tmp_path / "pg_isready").touch()

    def run(argv, **more):
        raise client.HubError("pg_isready did not end")
    assert not client.passes(run, str(tmp_path), "FATAL:  das Datenbanksystem startet")
    assert client.passes(lambda argv, **more: Completed(argv, 1, "", ""), str(tmp_path), "FATAL:  das Datenbanksystem startet")
