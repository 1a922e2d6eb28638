# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Role verify judges all that was asked together, in real ansible-playbook runs on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

ROLE = Path(__file__).parents[3] / "roles/verify"
MAIN = yaml.safe_load((ROLE / "tasks/main.yml").read_text(encoding="utf-8"))
FILES = [{"path": "/etc/cfengine-hub-ha/" + name, "size": 9} for name in ("pair.json", "agent.conf")]
WATCHES = {"running": True, "phase": "watch", "armed": True, "daemons": {"pacemakerd": "running"},
           "corosync": {"connected": True}, "pair_file": ""}

TRIES = {"ansible.builtin.debug": {"msg": "tries {{ verify_tries_cluster }} {{ verify_tries_replication }}"}}


@pytest.fixture(name="verdict")
def fixture_verdict(ansible_playbook):
    """verdict(cluster, replication, status, *options, **variables): (exit status, output). This machine is hub1."""
    def run(cluster, replication, status, *options, **variables):
        text = json.dumps([plan.make_plan(pair.running_pair(), pair.settings()), cluster, replication])
        the_plan, cluster, replication = json.loads(text.replace('"hub1"', '"localhost"'))
        # The address that pacemaker says is here is one that is.
        ours = dict(the_plan, hubs=["localhost"], virtual_ips=[dict(the_plan["virtual_ips"][0], ip="127.0.0.1")])
        done = ansible_playbook(dict({
            "hub_ha": ours, "hub_ha_read": {"hub": {"cluster": {"cib_ips": {"cfvirtip": "127.0.0.1"}}}},
            "hub_ha_max_lag": 16, "verify_cluster": cluster, "verify_replication": replication["localhost"],
            "verify_files": {"files": FILES},
            "verify_guard": {"status": {"ActiveState": "active", "LoadState": "loaded"}},
            "verify_pacemaker": {"status": {"ActiveState": "active"}}, "verify_status": {"stdout": json.dumps(status)},
        }, **variables), [{"ansible.builtin.import_role": {
            "name": "cfengine.hub_ha.verify", "tasks_from": "verdict.yml"}}], *options)
        return done.returncode, done.stdout
    return run


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_healthy(verdict, options):
    status, output = verdict(pair.cluster_state(), pair.replication_state(), WATCHES, *options)
    assert status == 0 and "changed=0" in output, output


def test_everything_is_told_at_once(verdict):
    cluster, replication = pair.cluster_state(), pair.replication_state()
    cluster["options"]["maintenance-mode"] = "true"
    replication["hub1"]["senders"][0]["ssl"] = False
    status, output = verdict(cluster, replication, dict(WATCHES, pair_file="it is cut", armed=False),
                             verify_files={"files": FILES[:1]})
    codes = ["AGENT_CONF", "PAIR_FILE", "GUARD_UNARMED", "CLUSTER_MAINTENANCE", "REPL_NOT_ENCRYPTED"]
    assert status != 0
    places = [output.index("(%s)" % code) for code in codes]
    assert places == sorted(places), output


def test_check_mode_of_a_pair_that_has_yet_to_get_its_guard(verdict):
    bare = {"verify_files": {"skipped": True, "changed": False}, "verify_guard": {"status": {"LoadState": "not-found"}}}
    status, output = verdict(pair.cluster_state(), pair.replication_state(), {}, "--check", **bare)
    assert status == 0, output
    status, output = verdict(pair.cluster_state(), pair.replication_state(), {}, **bare)
    assert status != 0 and "(GUARD_DEAD)" in output, output


def test_an_address_that_is_not_here(verdict):
    cluster, replication = pair.cluster_state(), pair.replication_state()
    ours = json.loads(json.dumps(plan.make_plan(pair.running_pair(), pair.settings())).replace('"hub1"', '"localhost"'))
    status, output = verdict(cluster, replication, WATCHES, hub_ha=dict(ours, hubs=["localhost"]),
                             hub_ha_read={"hub": {"cluster": {"cib_ips": {"cfvirtip": "192.168.100.100"}}}})
    assert status != 0 and "crm_resource --refresh --resource cfvirtip (ADDRESS_NOT_WITH_PRIMARY)" in output, output


def test_each_part_leaves_the_verdict_to_the_end():
    """And the parts share their tries."""
    parts = [task for task in MAIN if task["ansible.builtin.import_tasks"] in (
        "files.yml", "guard.yml", "health.yml", "replication.yml")]
    assert len(parts) == 4 and all(task["vars"] == {"verify_together": True} for task in parts)
    order = [task["ansible.builtin.import_tasks"] for task in MAIN]
    assert order.index("verdict.yml") == 4 < order.index("policy.yml")


@pytest.mark.parametrize("guard, cluster, tries", [(1, 1, "60 60"), (20, 1, "41 41"), (1, 30, "60 31"), (60, 1, "1 1"),
                                                   (31, 30, "30 1")])
def test_the_parts_share_their_tries(ansible_playbook, guard, cluster, tries):
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    done = ansible_playbook(dict(
        variables, verify_together=True, hub_ha_verify_wait=60, hub_ha={"hubs": ["localhost"]}), [
            {"ansible.builtin.set_fact": {"verify_status": {"attempts": guard}, "verify_cluster": {"attempts": cluster}}},
            TRIES])
    assert "tries " + tries in done.stdout, done.stdout


def test_a_part_alone_has_all_tries(ansible_playbook):
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    done = ansible_playbook(dict(variables, hub_ha_verify_wait=7, hub_ha={"hubs": ["localhost"]}), [TRIES])
    assert "tries 7 7" in done.stdout, done.stdout
