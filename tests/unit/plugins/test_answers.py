# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/status.yml: what the hubs say, put together, whoever of them is down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.filter import health as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import answers

ROOT = Path(__file__).parents[3]
PLAY = yaml.safe_load((ROOT / "playbooks/status.yml").read_text(encoding="utf-8"))[1]
DOWN = {"code": "HUB_DOWN", "host": "hub2", "problem": "hub2 is offline", "remedy": "switch it on"}
PAUSED = {"code": "REPLAY_PAUSED", "host": "hub2", "problem": "replay is paused", "remedy": "resume it"}
AWAY = {"unreachable": True, "msg": "ssh: connect to\nhost hub2: timed out"}


def says(*problems, **more):
    """The result of module command for a hub that says these problems."""
    found = {"running": True, "version": "1", "phase": "watch", "reason": "", "armed": True, "daemons": {},
             "corosync": {"silent": 0},
             "postgres": "primary", "peer": {"node": "hub2", "guard": True}, "done": [], "picture": "+--+", "parts": {},
             "healthy": not problems, "problems": list(problems)}
    found.update(more)
    return {"rc": 0 if not problems else 1, "stdout": json.dumps(found), "stderr": ""}


def test_healthy_only_when_each_hub_says_so():
    found = filters.pair_status({"hub1": says(), "hub2": says()})
    assert found["healthy"] and found["verdict"] == "the pair is healthy"
    assert "as hub1 sees it:" in found["text"] and "+--+" in found["text"] and "The pair is healthy." in found["text"]


@pytest.mark.parametrize("told, words", [
    ({"hub1": says(DOWN), "hub2": AWAY}, ["as hub1 sees it", "hub2 is offline", "(HUB_DOWN)",
                                          "hub2: cannot be reached: ssh: connect to host hub2: timed out"]),
    ({"hub1": AWAY, "hub2": says()}, ["as hub2 sees it", "hub1: cannot be reached"]),
    ({"hub1": {"timedout": {"period": 15}, "msg": "Timed out"}, "hub2": says()}, ["hub1: does not answer in time"]),
    ({"hub1": says(), "hub2": says(PAUSED)}, ["hub2 says: hub2: replay is paused -> resume it (REPLAY_PAUSED)"]),
    ({"hub1": says(), "hub2": says(running=False)}, ["hub2: the guard does not run there"]),
    ({"hub1": {"rc": 2, "msg": "[Errno 2] No such file or directory: '/usr/local/sbin/hub-ha'", "stdout": "",
               "cmd": "/usr/local/sbin/hub-ha status --json"}, "hub2": says()},
     ["hub1: hub-ha says nothing of the pair: [Errno 2]"]),
    ({"hub1": {"failed": True, "msg": "Task failed: Missing sudo password"}, "hub2": says()},
     ["hub1: it answers, and its user may not become root: Task failed: Missing sudo password -> ", "--ask-become-pass",
      "(NOT_ROOT)"]),
    ({"hub1": {"failed": True, "rc": 127, "msg": "The module interpreter '/usr/bin/python3' was not found."},
      "hub2": says()}, ["hub1: it answers, and has no Python that Ansible can use", "(HUB_UNREADABLE)"]),
    ({"hub1": {"rc": 3, "stdout": '{"running": false}'}, "hub2": says()}, ["hub1: its hub-ha is of before"]),
    ({"hub1": says(picture=None, healthy=False, problems=[
        {"code": "PAIR_FILE", "host": "a", "problem": "it is cut", "remedy": "write it"}]), "hub2": says()},
     ["as hub2 sees it", "hub1 says: a: it is cut"]),
    ({"hub1": says(healthy=None)}, []),
    ({"hub1": AWAY, "hub2": AWAY}, ["No hub answers.", "hub1: cannot be reached", "hub2: cannot be reached"]),
    ({}, ["No hub answers."])])
def test_all_else_is_not_healthy(told, words):
    found = answers.together(told)
    assert found.healthy is False and all(word in found.text for word in words), found.text
    assert found.verdict


def test_what_both_say_is_told_once():
    found = answers.together({"hub1": says(DOWN), "hub2": says(dict(DOWN, problem="other words"))})
    assert "other words" not in found.text and found.text.count("(HUB_DOWN)") == 1


@pytest.mark.parametrize("hub1, hub2, status, words", [
    (says(), says(), 0, ["The pair is healthy."]), (says(DOWN), None, 2, ["hub2: cannot be reached", "(HUB_DOWN)"]),
    (None, None, 2, ["No hub answers."])])
def test_the_play(tmp_path, hub1, hub2, status, words):
    """With hubs that are this machine, and some that cannot be reached."""
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    hosts = {}
    for name, told in (("hub1", hub1), ("hub2", hub2)):
        hub_ha = tmp_path / name
        if told is not None:
            hub_ha.write_text("#!/bin/sh\ncat <<'E'\n%s\nE\nexit %d\n" % (told["stdout"], told["rc"]), encoding="utf-8")
            hub_ha.chmod(0o755)
        hosts[name] = {"ansible_python_interpreter": sys.executable, "program": str(hub_ha), **(
            {"ansible_connection": "local"} if told is not None else {"ansible_host": "127.0.0.1", "ansible_port": 9})}
    play = json.loads(json.dumps(PLAY).replace('"/usr/local/sbin/hub-ha"', '"{{ program }}"'))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([dict(play, become=False)]), encoding="utf-8")
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"hubs": {"hosts": hosts}}), encoding="utf-8")
    tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))
    env = dict(os.environ, NO_COLOR="1", HOME=str(tmp_path), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"),
               ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"))
    if os.path.isdir(os.path.join(tree, "ansible_collections")):
        env["ANSIBLE_COLLECTIONS_PATH"] = tree
    done = subprocess.run([program, "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "play.yml")], env=env, text=True,
                          check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.replace("\\n", "\n")
    assert done.returncode == status and all(word in said for word in words), said
    assert "changed=1" not in said
