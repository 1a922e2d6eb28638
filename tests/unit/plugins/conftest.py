# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a module's main() in this process."""

from __future__ import annotations

import json
import os

import pytest

from ansible.module_utils.testing import patch_module_args

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
