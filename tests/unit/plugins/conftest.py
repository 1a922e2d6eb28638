# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a module's main() in this process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard_service
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres import cluster


def pytest_configure(config):
    """One template of a database for all tests of a session, and for all its worker processes."""
    if not hasattr(config, "workerinput"):
        os.environ[cluster.TEMPLATE] = cluster.template_folder()


@pytest.fixture(name="run_module")
def fixture_run_module(capsys):
    """run_module(module, check=False, diff=False, **arguments) -> the module's result as Ansible gets it."""
    def run(module, check=False, diff=False, **arguments):
        capsys.readouterr()
        with patch_module_args(dict(arguments, _ansible_check_mode=check, _ansible_diff=diff)):
            with pytest.raises(SystemExit) as end:
                module.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(end.value.code) == bool(result.get("failed", False))
        return result
    return run


@pytest.fixture(name="guard_thread")
def fixture_guard_thread(monkeypatch):
    """guard_thread(name, seconds, run=None, clock=None, **parts): one of the guard's threads for so many seconds.

    Time passes by its pauses only. run: stands for guard_io.run. clock: [now], for those who look at it. parts: what
    the service has (pair, server, channel, guard, attributes).
    """
    class Stop(Exception):
        """The thread's end."""

    def go(name, seconds, run=None, clock=None, **parts):
        now = [0.0] if clock is None else clock

        def sleep(pause):
            now[0] += pause
            if now[0] > seconds:
                raise Stop
        monkeypatch.setattr(guard_service, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
        monkeypatch.setattr(guard_service, "log", lambda *dummy: None)
        monkeypatch.setattr(guard_service.host, "run", run)
        service = object.__new__(guard_service.Service)
        vars(service).update(parts)
        with pytest.raises(Stop):
            getattr(service, name)()
    return go


@pytest.fixture(name="ansible_playbook")
def fixture_ansible_playbook(tmp_path):
    """ansible_playbook(variables, tasks, *options) -> the finished run of one play on this machine."""
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    # ansible-playbook finds the collection in the tree in which this file lies.
    tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))
    env = dict(os.environ, NO_COLOR="1", HOME=str(tmp_path), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"),
               ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"))
    if os.path.isdir(os.path.join(tree, "ansible_collections")):
        env["ANSIBLE_COLLECTIONS_PATH"] = tree

    def run(variables, tasks, *options):
        playbook = tmp_path / "play.yml"
        playbook.write_text(yaml.safe_dump([{
            "hosts": "localhost", "connection": "local", "gather_facts": False,
            "vars": dict(variables, ansible_python_interpreter=sys.executable), "tasks": tasks}]), encoding="utf-8")
        return subprocess.run([program, "-i", "localhost,", *options, str(playbook)], env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run
