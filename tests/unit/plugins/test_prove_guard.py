# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Role verify and what the guard says of itself, in real ansible-playbook runs on this machine.

What systemd says is given, so that this needs none; the program is a script that answers as it is told.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/verify"
TASKS = [task for task in yaml.safe_load((ROLE / "tasks/guard.yml").read_text(encoding="utf-8"))
         if "ansible.builtin.systemd_service" not in task]
WATCHES = {"running": True, "age": 0.4, "phase": "watch", "armed": True, "reason": "",
           "daemons": {"corosync": "running", "pacemakerd": "running"}, "corosync": {"connected": True, "silent": 0.1}}
LOST = dict(WATCHES, corosync={"connected": False, "silent": None})


@pytest.fixture(name="prove")
def fixture_prove(tmp_path, ansible_playbook):
    """prove(answers, *options, guard, pacemaker): (exit status, output, how often the program was asked).

    answers: [(exit status, text)] of the program, the last one for ever. guard, pacemaker: what systemd says of them.
    """
    def run(answers, *options, guard="active", pacemaker="active", load="loaded"):
        hub_ha, asked = tmp_path / "hub-ha", tmp_path / "asked"
        asked.write_text("", encoding="utf-8")
        hub_ha.write_text("#!%s\nimport sys\nassert sys.argv[1:] == ['status', '--json']\nanswers = %r\n"
                          "with open(%r, 'a+') as stream:\n    stream.write('x')\n    stream.seek(0)\n"
                          "    number = len(stream.read())\n"
                          "status, text = answers[min(number, len(answers)) - 1]\nprint(text)\nsys.exit(status)\n"
                          % (sys.executable, answers, str(asked)), encoding="utf-8")
        hub_ha.chmod(0o755)
        variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
        done = ansible_playbook(dict(
            variables, hub_ha_verify_wait=3, verify_program=str(hub_ha),
            verify_guard={"status": {"ActiveState": guard, "LoadState": load}},
            verify_pacemaker={"status": {"ActiveState": pacemaker}}), TASKS, *options)
        return done.returncode, done.stdout, len(asked.read_text(encoding="utf-8"))
    return run


def test_a_guard_that_comes_to_watch_is_waited_for(prove):
    status, output, asked = prove([(3, '{"running": false, "age": null}'), (0, json.dumps(LOST)),
                                   (0, json.dumps(WATCHES))])
    assert status == 0 and asked == 3 and "changed=0" in output, output


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_one_that_does_not_is_told(prove, options):
    status, output, asked = prove([(0, json.dumps(LOST))], *options)
    assert status != 0 and asked == 3 and "localhost: the guard is not connected" in output, output
    assert "(GUARD_UNCONNECTED)" in output


def test_where_pacemaker_was_stopped_there_is_nothing_to_watch(prove):
    idle = dict(LOST, armed=False, daemons={"corosync": "gone", "pacemakerd": "gone"})
    status, output, asked = prove([(0, json.dumps(idle))], pacemaker="inactive")
    assert status == 0 and asked == 1, output


@pytest.mark.parametrize("rc, text", [(3, '{"running": false, "pair_file": "it is cut"}'), (1, "Traceback")])
def test_a_dead_guard_is_asked_once_for_what_may_be_the_reason(prove, rc, text):
    status, output, asked = prove([(rc, text)], guard="failed")
    assert status != 0 and asked == 1 and "(GUARD_DEAD)" in output, output
    assert ("it is cut: the guard cannot start again with it" in output) == (rc == 3), output


def test_check_mode_does_not_wait_for_what_only_a_run_would_mend(prove):
    unarmed = dict(WATCHES, armed=False)
    assert prove([(0, json.dumps(unarmed))], "--check")[2] == 1
    assert prove([(0, json.dumps(unarmed))])[2] == 3


def test_check_mode_of_a_pair_that_has_yet_to_get_a_guard(prove):
    status, output, asked = prove([(0, "")], "--check", guard="inactive", load="not-found")
    assert status == 0 and asked == 0, output


@pytest.mark.parametrize("rc", [1, 2, 4])
def test_a_program_that_fails_is_an_error(prove, rc):
    status, output, asked = prove([(rc, "Traceback")])
    assert status != 0 and asked == 3 and "Traceback" in output, output


def test_other_problems_of_the_pair_are_no_failure_of_the_program(prove):
    """It says them by its exit status; they are judged with what all hubs say."""
    status, output, asked = prove([(1, json.dumps(dict(WATCHES, healthy=False)))])
    assert status == 0 and asked == 1, output


def test_a_pair_file_that_is_wrong_is_told(prove):
    status, output, _asked = prove([(2, json.dumps(dict(WATCHES, pair_file="it is cut")))])
    assert status != 0 and "it is cut: the guard cannot start again with it" in output, output
