# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Role switchover as playbooks use it, with ansible-playbook and two real servers as the databases of two hubs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

REMOVE = Path(__file__).parents[3] / "roles" / "remove_ha"
PASSWORD = "loopback-only"
# Like remove_ha.yml: an error ends it for all, and a rescue and an always come after it. hub0 has no part in it.
PLAY = [{
    "hosts": "hubs", "gather_facts": False, "any_errors_fatal": True, "strategy": "linear",
    "tasks": [{"name": "Change the hubs", "block": [
        {"name": "Switch over", "ansible.builtin.include_role": {"name": "cfengine.hub_ha.switchover"},
         "vars": {"switchover": "{{ the_switch }}", "switchover_advice": {
             "done": "IT IS DONE", "back": "IT IS BACK", "unknown": "IT IS UNKNOWN"}}},
        {"name": "Go on", "ansible.builtin.debug": {"msg": "AND SO ON"}}],
        "rescue": [{"name": "The way back", "ansible.builtin.debug": {
            "msg": "AFTER {{ inventory_hostname }} {{ ansible_failed_result.msg | default('nothing') }}"}},
            {"name": "It ends red", "ansible.builtin.fail": {"msg": "red"}}],
        "always": [{"name": "The end", "ansible.builtin.debug": {"msg": "THE END {{ inventory_hostname }}"}}]}]}]
# Stands for crm_resource; if that is asked for, hub2 is lost when the addresses of hub1 go, or its server does not answer for a
# while, or the next starts fail.
TOOL = """#!/bin/sh
echo "$*" >> {root}/crm
case $1 in
--force-stop)
    test ! -e {root}/lose || mv {root}/lose {root}/lost-hub2
    if test -e {root}/hide; then
        mv {socket} {socket}.away
        (sleep 8; mv {socket}.away {socket}) > /dev/null 2>&1 &
    fi ;;
--force-start) for file in {root}/fail-*; do test ! -e $file || {{ rm $file; exit 1; }}; done ;;
esac
"""


class Pair:
    """Two hubs that are two servers; play() switches from one to the other."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self.one, self.two = lab.server("hub1"), lab.server("hub2")
        self.root = lab.root
        tools = lab.directory("tools")
        tool = lab.file("tools/crm_resource", TOOL.format(
            root=self.root, socket="%s/.s.PGSQL.%d" % (self.two.home, self.two.port)))
        os.chmod(tool, 0o755)
        self.path = tools
        self.one.create()
        self.one.stop()
        passfile = lab.file("pass", "*:*:*:*:%s\n" % PASSWORD)
        self.settle(self.one, "")
        self.pg_ctl(self.one, "start")
        self.one.sql("CREATE TABLE t (i int); CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s'" % PASSWORD)
        self.words = "host=127.0.0.1 port=%d user=repl passfile=%s sslmode=require application_name=hub2" % (
            self.one.port, passfile)
        lab.owner(lab.bin + "/pg_basebackup", "-D", self.two.data, "-c", "fast", "-d", self.words)
        self.settle(self.two, "primary_conninfo = '%s'" % self.words)
        lab.file("hub2/data/standby.signal", "")
        self.pg_ctl(self.two, "start")
        self.streams()

    def settle(self, server, more):
        """What start() gives on the command line, in a file: pg_ctl starts it without one later."""
        self.lab.file("%s/data/postgresql.auto.conf" % os.path.basename(server.home),
                      "port = %d\nunix_socket_directories = '%s'\n%s\n" % (server.port, server.home, more))

    def pg_ctl(self, server, word):
        self.lab.owner(self.lab.bin + "/pg_ctl", "-D", server.data, "-l", server.log, "-w", word)

    def streams(self):
        """The first one has its standby."""
        wait(lambda: self.one.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1")

    def side(self, server, name, **more):
        return dict({"name": name, "data_dir": server.data, "bin_dir": self.lab.bin, "owner": OWNER, "log": server.log,
                     "addresses": ["cfvirtip"]}, **more)

    def play(self, *options, **more):
        """One run: (exit status, output in one line)."""
        switch = dict({"serving": self.side(self.one, "hub1"), "chosen": self.side(self.two, "hub2"),
                       "marker": self.root + "/maintenance", "marker_text": "ours\n"}, **more)
        return self.ansible([dict(PLAY[0], vars={"the_switch": switch})], *options)

    def ansible(self, plays, *options):
        """One run of these plays on the hubs: (exit status, output)."""
        hosts = {name: {"ansible_connection": "{{ 'ssh' if lost_file is exists else 'local' }}", "ansible_port": 9,
                        "ansible_host": "127.0.0.1", "lost_file": "%s/lost-%s" % (self.root, name),
                        "ansible_python_interpreter": sys.executable} for name in ("hub0", "hub1", "hub2")}
        book, inventory = self.folder / "play.yml", self.folder / "hosts.yml"
        book.write_text(json.dumps(plays), encoding="utf-8")
        inventory.write_text(json.dumps({"hubs": {"hosts": hosts}}), encoding="utf-8")
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))
        env = dict(os.environ, NO_COLOR="1", HOME=str(self.folder), ANSIBLE_LOCAL_TEMP=str(self.folder / "local"),
                   ANSIBLE_REMOTE_TEMP=str(self.folder / "remote"), PATH=self.path + os.pathsep + os.environ["PATH"])
        if os.path.isdir(os.path.join(tree, "ansible_collections")):
            env["ANSIBLE_COLLECTIONS_PATH"] = tree
        done = subprocess.run([program if os.path.exists(program) else shutil.which("ansible-playbook"), "-i",
                               str(inventory), *options, str(book)], env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def crm(self):
        """What crm_resource was told, and forgets it."""
        path = self.root + "/crm"
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as handle:
            found = [line.split()[0] for line in handle]
        os.unlink(path)
        return found

    def takes_writes(self):
        """Names of the servers that do."""
        return [name for name, server in (("hub1", self.one), ("hub2", self.two))
                if server.pid() and server.sql("SELECT pg_is_in_recovery()") == "f"]


@pytest.fixture(name="pair")
def fixture_pair(tmp_path):
    made = Lab()
    try:
        yield Pair(made, tmp_path)
    finally:
        made.close()


def test_switchover_and_check_mode(pair):
    pair.one.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    status, said = pair.play("--check")
    assert status == 0 and "AND SO ON" in said and pair.takes_writes() == ["hub1"] and pair.crm() == [], said
    assert not os.path.exists(pair.root + "/maintenance")
    status, said = pair.play(demote=True)
    assert status == 0 and "AND SO ON" in said, said
    assert pair.takes_writes() == ["hub2"] and pair.two.sql("SELECT count(*) FROM t") == "1000"
    assert pair.crm() == ["--force-stop", "--force-start"] and os.path.exists(pair.one.data + "/standby.signal")
    with open(pair.root + "/maintenance", encoding="utf-8") as handle:
        assert handle.read() == "ours\n"


def test_standby_that_lacks_rows_is_not_promoted(pair):
    pair.two.sql("SELECT pg_wal_replay_pause()")
    status, said = pair.play(promote_timeout=1)
    flat = " ".join(said.split())
    assert status != 0 and "it is not promoted, because rows would be lost" in flat and "IT IS BACK" in flat, said
    assert all("AFTER %s The switchover to hub2 failed" % name in flat for name in ("hub0", "hub1", "hub2")), said
    assert all("THE END %s" % name in flat for name in ("hub0", "hub1", "hub2")), said
    assert pair.takes_writes() == ["hub1"] and pair.crm() == ["--force-stop", "--force-start"]
    pair.streams()


def test_hub_that_is_lost_before_it_takes_over(pair):
    pair.lab.file("lose", "")
    status, said = pair.play()
    flat = " ".join(said.split())
    assert status != 0 and "hub2 could not be reached any more" in flat, said
    assert "hub1 is stopped, on hub2 it does not answer, and may take writes. IT IS UNKNOWN" in flat, said
    assert all("THE END %s" % name in flat for name in ("hub0", "hub1")), said
    assert pair.takes_writes() == [], "it may take writes, so the other one does not"
    os.unlink(pair.root + "/lost-hub2")
    status, said = pair.play()
    assert status == 0 and pair.takes_writes() == ["hub2"], said


def test_hub_that_is_lost_before_it_hands_over(pair):
    pair.lab.file("lost-hub1", "")
    status, said = pair.play(marker=None)  # or it would be lost before
    flat = " ".join(said.split())
    assert status != 0 and "hub1 could not be reached any more" in flat, said
    assert "hub1 does not answer, and may take writes, on hub2 it is a standby. IT IS UNKNOWN" in flat, said
    assert "THE END hub2" in flat, said
    assert pair.takes_writes() == ["hub1"]


def test_hub_that_takes_writes_all_the_same_is_finished(pair):
    """The second time a step fails that was to finish it, and both are asked once more."""
    for number in (1, 2):
        pair.lab.file("fail-%d" % number, "")
    status, said = pair.play()
    flat = " ".join(said.split())
    assert status != 0 and "crm_resource failed with exit status 1" in flat and "IT IS DONE" in flat, said
    assert said.count("What both hubs are now] ***") == 1 + 2 and "AND SO ON" not in said, said
    assert pair.takes_writes() == ["hub2"] and pair.crm() == ["--force-stop"] + 3 * ["--force-start"]


def test_hub_that_does_not_answer_for_a_while_is_asked_again(pair):
    """Not to answer right when it is to take over is no reason for nobody to serve."""
    pair.lab.file("hide", "")
    status, said = pair.play()
    flat = " ".join(said.split())
    assert status != 0 and "No such file or directory" in flat and "IT IS BACK" in flat, said
    assert pair.takes_writes() == ["hub1"] and pair.crm() == ["--force-stop", "--force-start"]
    pair.streams()


def test_hub_that_cannot_take_over_is_found_before_anything_is_stopped(pair):
    started = pair.one.sql("SELECT pg_postmaster_start_time()")
    pair.lab.owner(pair.lab.bin + "/pg_ctl", "-D", pair.two.data, "-m", "fast", "-w", "stop")
    status, said = pair.play()
    flat = " ".join(said.split())
    assert status != 0 and all("AFTER %s The switchover to hub2 was not begun, and nothing was stopped: PostgreSQL on hub1 takes "
                               "writes, on hub2 it is stopped as a standby." % name in flat for name in ("hub0", "hub1", "hub2")), said
    assert "IT IS BACK" in flat and all("THE END %s" % name in flat for name in ("hub0", "hub1", "hub2")), said
    assert pair.one.sql("SELECT pg_postmaster_start_time()") == started and pair.crm() == []
    # One that was cut off while nobody served goes on: what has begun is finished or taken back.
    pair.pg_ctl(pair.two, "start")
    pair.streams()
    pair.lab.owner(pair.lab.bin + "/pg_ctl", "-D", pair.one.data, "-m", "fast", "-w", "stop")
    status, said = pair.play()
    assert status == 0 and pair.takes_writes() == ["hub2"], said


@pytest.mark.parametrize("how", ["lost", "silent"])
def test_hub_that_says_nothing_is_no_reason_to_stop_the_other_one(pair, how):
    if how == "lost":
        pair.lab.file("lost-hub2", "")
    else:
        os.rename("%s/.s.PGSQL.%d" % (pair.two.home, pair.two.port), pair.root + "/away")
    status, said = pair.play("-e", "switchover_wait=1", marker=None)
    flat = " ".join(said.split())
    assert status != 0 and "nothing was stopped: PostgreSQL on hub1 takes writes, on hub2 it does not answer, and may take" in flat, said
    assert all("%s %s" % (word, name) in flat for name in ("hub0", "hub1") for word in ("AFTER", "THE END")), said
    assert pair.one.sql("SELECT pg_is_in_recovery()") == "f" and pair.crm() == []
    if how == "silent":
        os.rename(pair.root + "/away", "%s/.s.PGSQL.%d" % (pair.two.home, pair.two.port))


@pytest.mark.parametrize("promoted", [False, True])
def test_removal_that_goes_on_where_another_hub_takes_over_meanwhile(pair, promoted):
    """The first tasks of remove_ha's resume.yml: a promotion that has come to pass since the hubs were read ends nothing."""
    first, again, serve = yaml.safe_load((REMOVE / "tasks" / "resume.yml").read_text(encoding="utf-8"))
    assert [item["ansible.builtin.include_tasks"] for item in (again, serve)] == ["again.yml", "serve.yml"]
    tasks = [first] + [{"name": word, "ansible.builtin.debug": {"msg": word}, "when": item["when"]}
                       for word, item in (("IT PLANS ANEW", again), ("IT STARTS", serve))]
    plan = {"active": "hub1", "passive": "hub2", "serving": "hub1", "pg_bin": pair.lab.bin, "resume": True, "address_resources": [],
            "layout": {"data_dir": pair.two.data, "db_user": OWNER, "pg_log": pair.two.log, "ha_dir": pair.root}}
    pair.lab.owner(pair.lab.bin + "/pg_ctl", "-D", pair.one.data, "-m", "fast", "-w", "stop")
    if promoted:
        pair.pg_ctl(pair.two, "promote")
    status, said = pair.ansible([{
        "hosts": "hub1:hub2", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks,
        "vars_files": [str(REMOVE / "vars" / "main.yml")],
        "vars": {"hub_ha": plan, "hub_ha_read": {"hub": {"postgres": {"pid": pair.two.pid()}}}}}])
    assert status == 0 and ("IT PLANS ANEW" in said.replace("[IT PLANS ANEW]", "")) == promoted, said
    assert pair.takes_writes() == ["hub2"] * promoted and bool(pair.two.pid()) == promoted, "it is ended as a standby only"
