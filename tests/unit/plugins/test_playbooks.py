# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every playbook must say by itself, because the operator's ansible.cfg may say otherwise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PLAYBOOKS = sorted((Path(__file__).parents[3] / "playbooks").glob("*.yml"))
PLAYS = [pytest.param(play, id="%s, %s" % (path.name, play["name"])) for path in PLAYBOOKS
         for play in yaml.safe_load(path.read_text(encoding="utf-8")) if "hosts" in play]


def test_there_is_something_to_look_at():
    assert PLAYS


@pytest.mark.parametrize("play", PLAYS)
def test_the_connection_is_pipelined(play):
    assert play["vars"]["ansible_pipelining"] is True


@pytest.mark.parametrize("play", PLAYS)
def test_the_strategy_is_the_plays_own(play):
    """An operator's ansible.cfg may say free; run_once and facts of other hosts need all hosts at the same task."""
    assert play["strategy"] == "linear"


def test_lists_keep_their_order():
    """Ansible's filters of sets give any order, another one in each run: of units to start, of names in a message."""
    files = [path for place in ("playbooks", "roles") for path in (PLAYBOOKS[0].parents[1] / place).rglob("*")
             if path.suffix in (".yml", ".j2")]
    assert files and [(path.name, found.group()) for path in files for found in re.finditer(
        r"\|\s*(difference|intersect|union|symmetric_difference)\b.*", path.read_text(encoding="utf-8"))] == []


def test_no_error_is_ignored():
    """What may fail is judged: rescued, or asked for and looked at. A change that is only claimed says why."""
    files = [path for place in ("playbooks", "roles") for path in (PLAYBOOKS[0].parents[1] / place).rglob("*.yml")]
    assert files and [(path.name, found.group()) for path in files for found in re.finditer(
        r"^\s*(ignore_errors:.*|failed_when: false.*|changed_when: true\s*)$", path.read_text(encoding="utf-8"), re.M)] == []


def test_so_secrets_do_not_go_through_files_of_the_controller(tmp_path):
    """Ansible with a configuration that has no pipelining, without the plays' variable and with it."""
    foreign, playbook = tmp_path / "ansible.cfg", tmp_path / "play.yml"
    foreign.write_text("[ssh_connection]\npipelining = False\n[connection]\npipelining = False\n", encoding="utf-8")
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    env = dict((name, value) for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH")))
    env.update(ANSIBLE_CONFIG=str(foreign), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"), NO_COLOR="1",
               ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"), HOME=str(tmp_path))
    sent = []
    for variables in ({}, {"ansible_pipelining": True}):
        playbook.write_text(yaml.safe_dump([{
            "hosts": "localhost", "connection": "local", "gather_facts": False,
            "vars": dict(variables, ansible_python_interpreter=sys.executable),
            "tasks": [{"ansible.builtin.ping": {"data": "hush-hush"}}]}]), encoding="utf-8")
        done = subprocess.run([program, "-vvv", str(playbook)], env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        sent.append([line for line in done.stdout.splitlines() if " PUT " in line and "AnsiballZ" in line])
    assert sent[0], "without the variable the module goes through a file, or this test shows nothing"
    assert sent[1] == []
