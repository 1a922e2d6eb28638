# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check mode of the hand-over to pacemaker: the role's own tasks, with pacemaker's own tools on a CIB in a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
HUB_HA = {
    "active": "localhost", "passive": "localhost", "hubs": ["localhost"], "nodes": {"localhost": "hub1"},
    "adopted": True, "virtual_ips": [{"id": "cfvirtip", "ip": "192.168.100.100", "prefix": 24}], "kept_addresses": [],
    "maintenance_ours": [], "layout": {"db_unit": "cf-postgres", "pair_file": "/pair.json"}}
READ = {"hub": {"units": {"cf-postgres": {"enabled": "masked", "load": "masked"}}, "postgres": {"state": "primary"},
                "fencing_files": [], "cluster": {"cib_resources": {"cfpgsql": "ocf:heartbeat:pgsql"},
                                                 "cib_ips": {"cfvirtip": "192.168.100.100"}}}}
#: What stands in the CIB, but for the parameter that an older release has put there.
DATABASE = {"id": "cfpgsql", "agent": "ocf:heartbeat:pgsql",
            "params": {"rep_mode": "async", "node_list": "hub1 hub2", "restart_on_promote": "false"}}
AWAY = {"id": "away", "rsc": "mscfpgsql", "node": "hub1", "score": "-INFINITY"}


@pytest.fixture(name="check")
def fixture_check(tmp_path):
    """check(locations, **variables): (exit status, output) of the role's hand-over in check mode."""
    cib = str(tmp_path / "pair.xml")
    dropin = tmp_path / "pair.conf"
    dropin.write_text("# Pacemaker starts PostgreSQL on this hub. A single hub again: playbooks/remove-ha.yml, or "
                      "remove this file.\n[Unit]\nConditionPathExists=!/pair.json\n", encoding="ascii")
    dropin.chmod(0o644)
    tmp_path.chmod(0o755)
    hub_ha = dict(HUB_HA, layout=dict(HUB_HA["layout"], pair_dropin=str(dropin)))
    shutil.copy(os.path.join(HERE, os.pardir, "fixtures", "cib", "pair.xml"), cib)
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    # ansible-playbook finds the collection in the tree in which this file lies.
    tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))
    env = dict(os.environ, NO_COLOR="1", HOME=str(tmp_path), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"),
               ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"), CIB_file=cib)
    if os.path.isdir(os.path.join(tree, "ansible_collections")):
        env["ANSIBLE_COLLECTIONS_PATH"] = tree

    def run(locations=(), **variables):
        wanted = {"primitives": [DATABASE], "groups": [], "clones": [], "colocations": [], "orders": [],
                  "locations": list(locations), "properties": {}, "absent": []}
        inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {"hub_ha_read": READ}}}}), encoding="utf-8")
        playbook.write_text(yaml.safe_dump([{
            "hosts": "localhost", "connection": "local", "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable, "hub_ha": hub_ha,
                     "hub_ha_resource_wait": 60},
            "tasks": [{"ansible.builtin.import_role": {"name": "cfengine.hub_ha.resources",
                                                       "tasks_from": "handover.yml"},
                       "vars": dict(variables, resources_wanted=wanted, resources_fencing=[])}]}]), encoding="utf-8")
        done = subprocess.run([program, "-i", str(inventory), "--check", "--diff", str(playbook)], env=env, text=True,
                              check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout
    return run


@pytest.mark.parametrize("allow", [True, False])
def test_parameters_that_change_at_rest_are_shown_and_not_refused(check, allow):
    """The real run changes them in maintenance mode, with leave to restart and without."""
    status, output = check(hub_ha_allow_restart=allow)
    assert status == 0, output
    assert output.count("primary_conninfo_opt") == 1 and "passfile=/etc/x.pass" in output, output
    assert "changed=1 " in output


def test_what_interrupts_the_database_by_itself_is_refused(check):
    status, output = check([AWAY], hub_ha_allow_restart=False)
    assert status != 0 and "CIB_RESTARTS" in output, output
    status, output = check([AWAY], hub_ha_allow_restart=True)
    assert status == 0 and "CIB_RESTARTS" not in output, output
