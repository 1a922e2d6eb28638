# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight asks pacemaker's scheduler: the role's own tasks, with pacemaker's own tools on a CIB in a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import local_runner
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

HERE = os.path.dirname(os.path.abspath(__file__))
VARIABLES = {"hub_ha_virtual_ip": "192.168.100.100", "hub_ha_fencing": "none", "hub_ha_fencing_none_reason": "a test"}
#: What stands in the CIB, but for the parameter that an older release has put there.
DATABASE = {"id": "cfpgsql", "agent": "ocf:heartbeat:pgsql",
            "params": {"rep_mode": "async", "node_list": "hub1 hub2", "restart_on_promote": "false"}}
KEPT = dict(DATABASE, params=dict(DATABASE["params"], primary_conninfo_opt="passfile=/etc/x.pass"))


@pytest.fixture(name="ask")
def fixture_ask(tmp_path):
    """ask(primitive, command): codes of what stands against it, when the command has changed the CIB."""
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    # ansible-playbook finds the collection in the tree in which this file lies.
    tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))

    def run(primitive, *command):
        cib = str(tmp_path / "pair.xml")
        shutil.copy(os.path.join(HERE, os.pardir, "fixtures", "cib", "pair.xml"), cib)
        if command:
            local_runner(list(command), env={"CIB_file": cib})
        env = dict(os.environ, NO_COLOR="1", HOME=str(tmp_path), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"),
                   ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"), CIB_file=cib)
        if os.path.isdir(os.path.join(tree, "ansible_collections")):
            env["ANSIBLE_COLLECTIONS_PATH"] = tree
        wanted = {"primitives": [primitive], "groups": [], "clones": [], "colocations": [], "orders": [],
                  "locations": [], "properties": {}, "absent": []}
        hosts = dict((host, {"hub_ha_read": result}) for host, result in pair.running_pair().items())
        inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
        inventory.write_text(yaml.safe_dump({"hubs": {"hosts": hosts, "vars": dict(
            VARIABLES, ansible_connection="local", ansible_python_interpreter=sys.executable)}}), encoding="utf-8")
        role = {"rolespec_validate": False}
        playbook.write_text(yaml.safe_dump([{"hosts": "hubs", "gather_facts": False, "tasks": [
            {"ansible.builtin.import_role": dict(role, name="cfengine.hub_ha.plan", tasks_from="variables.yml")},
            {"ansible.builtin.import_role": dict(role, name="cfengine.hub_ha.plan", tasks_from="decide.yml")},
            {"ansible.builtin.import_role": dict(role, name="cfengine.hub_ha.preflight", tasks_from="cib.yml"),
             "vars": {"resources_wanted": wanted}},
            {"ansible.builtin.debug": {
                "msg": "against it: {{ hub_ha.failures | map(attribute='code') | join(' ') }}."}},
        ]}]), encoding="utf-8")
        done = subprocess.run([program, "-i", str(inventory), str(playbook)], env=env, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0 and "against it: " in done.stdout, done.stdout
        return done.stdout.partition("against it: ")[2].partition(".")[0].split()
    return run


def test_parameters_change_in_a_maintenance_of_ours(ask):
    assert ask(DATABASE) == []


def test_in_the_operators_maintenance_they_are_refused(ask):
    hold = ["crm_attribute", "-t", "crm_config", "-n", "maintenance-mode", "-v", "true"]
    assert ask(DATABASE, *hold) == ["CIB_RESTARTS_LATER"]
    assert ask(KEPT, *hold) == [], "no parameter changes: nothing follows when the maintenance ends"
    unmanaged = ["crm_resource", "-r", "cfpgsql", "--meta", "-p", "is-managed", "-v", "false"]
    assert ask(DATABASE, *unmanaged) == ["CIB_RESTARTS_LATER"]
