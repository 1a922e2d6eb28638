# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every playbook says so, and fails, when the inventory names no hub or a run leaves out what the rest relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))


NOBODY = "{ansible_host: 127.0.0.1, ansible_port: 9, ansible_ssh_common_args: -oBatchMode=yes}"
INVENTORY = """
hubs: {hosts: {hub1: %s, hub2: %s}}
third_hub: {hosts: {hub3: %s}}
clients: {hosts: {client1: %s, client2: %s}}
""" % ((NOBODY,) * 5)


def run(playbook, inventory, *arguments, **environment):
    """ansible-playbook: a CompletedProcess with all that was said in stdout."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory),
         str(ROOT / "playbooks" / playbook), *arguments],
        cwd=ROOT, env=dict(os.environ, NO_COLOR="1", ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".cache" / "collections"),
                           **environment),
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@pytest.fixture(name="inventory")
def fixture_inventory(tmp_path):
    """Hubs, a third one and clients, none of which answers."""
    path = tmp_path / "hosts.yml"
    path.write_text(INVENTORY, encoding="ascii")
    return path


def refused(done, words):
    """The run has failed with these words, and no host was asked."""
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and words in said and "Nothing was changed." in said, done.stdout
    assert "UNREACHABLE" not in said and "Know both hubs" not in said, done.stdout


WHOLE = "Run it with: ansible-playbook -i INVENTORY playbooks/%s"
LEFT_OUT = "--limit leaves out %s, without which this cannot be done safely. " + WHOLE


@pytest.mark.parametrize("playbook, limit, words", [
    ("upgrade-to-ha.yml", "hub1", LEFT_OUT % ("hub2 and hub3", "upgrade-to-ha.yml")),
    ("remove-ha.yml", "hub1,client1", LEFT_OUT % ("hub2", "remove-ha.yml")),
    ("promote-third-hub.yml", "hub3", LEFT_OUT % ("hub1 and hub2", "promote-third-hub.yml")),
    ("return-from-third-hub.yml", "hubs", LEFT_OUT % ("hub3", "return-from-third-hub.yml")),
    ("clients.yml", "client1", LEFT_OUT % ("hub1 and hub2 and hub3", "clients.yml --limit client1,hubs,third_hub")),
])
def test_a_limit_that_leaves_out_a_hub(playbook, limit, words, inventory):
    done = run(playbook, inventory, "--limit", limit, "-e", "hub_ha_promote_confirm=true")
    said = " ".join(done.stdout.split())
    left, command = words.split(", without which")[0], words.rpartition("playbooks/")[2]
    for name in left.replace("--limit leaves out ", "").split(" and "):
        assert name in said.partition("leaves out ")[2].partition(", without")[0].split(" and "), said
    refused(done, "Run it with: ansible-playbook -i INVENTORY playbooks/" + command)


@pytest.mark.parametrize("playbook, arguments", [
    ("upgrade-to-ha.yml", ("--tags", "database")), ("upgrade-to-ha.yml", ("--skip-tags", "database")),
    ("promote-third-hub.yml", ("--tags", "database", "--limit", "hubs,third_hub"))])
def test_tags_leave_out_steps(playbook, arguments, inventory):
    refused(run(playbook, inventory, *arguments), "Run all of it: ansible-playbook -i INVENTORY playbooks/" + playbook)


@pytest.mark.parametrize("playbook, limit", [("backup.yml", "hub1"), ("clients.yml", "client1,hubs,third_hub")])
def test_a_limit_that_leaves_out_nobody_who_is_needed(playbook, limit, inventory):
    done = run(playbook, inventory, "--limit", limit)
    assert "leaves out" not in done.stdout and "UNREACHABLE" in done.stdout, done.stdout


@pytest.mark.parametrize("stopped, words, strategy", [
    ({}, "hub1 and hub2 gives signs of life", "linear"), ({"hub2": True}, "hub1 gives signs of life", "free"),
    ({"hub1": True, "hub2": True}, "PostgreSQL takes writes", "linear")])
def test_a_hub_that_has_not_proved_its_stop_keeps_the_third_one_from_being_promoted(tmp_path, stopped, words, strategy):
    """The promoting play alone, whatever became of the stopping one: left out, unreachable, another strategy."""
    plays = [{"hosts": "hub3", "gather_facts": False, "connection": "local", "tasks": [
        {"ansible.builtin.set_fact": {"third_hub_stops": ["hub1", "hub2"]}},
        {"ansible.builtin.import_role": {"name": "cfengine.hub_ha.third_hub", "tasks_from": "promote.yml",
                                         "rolespec_validate": False}}]}]
    playbook, hosts = tmp_path / "promote.yml", tmp_path / "hosts.yml"
    playbook.write_text(json.dumps(plays), encoding="ascii")
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": {}, "hub2": {}}}, "third_hub": {"hosts": {"hub3": {}}}}),
                     encoding="ascii")
    if stopped:
        plays.insert(0, {"hosts": ",".join(stopped), "gather_facts": False, "tasks": [
            {"ansible.builtin.set_fact": {"third_hub_stopped": True}}]})
        playbook.write_text(json.dumps(plays), encoding="ascii")
    done = run(playbook, hosts, "--limit", "hub3,localhost" if not stopped else "all", ANSIBLE_STRATEGY=strategy)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and words in said, done.stdout
    assert ("The third hub was not promoted" in said) == (len(stopped) < 2)
    assert ("[cfengine.hub_ha.third_hub : PostgreSQL takes writes]" in said) == (len(stopped) == 2), done.stdout


WORK = """
- hosts: hubs
  gather_facts: false
  connection: local
  any_errors_fatal: true
  tasks:
    - name: This run alone
      ansible.builtin.import_role: {name: cfengine.hub_ha.run_lease, rolespec_validate: false}
      vars: {run_playbook: work.yml, run_needs: [hubs]}
    - name: Change the hubs
      block:
        - name: Work
          ansible.builtin.wait_for: {path: "{{ run_directory }}/go", timeout: 60}
        - name: Fail on one hub
          ansible.builtin.fail: {msg: it failed}
          when: inventory_hostname == 'hub2' and fails is defined
      rescue:
        - name: Say so
          ansible.builtin.fail: {msg: the way back was gone}
      always:
        - name: The end of this run
          ansible.builtin.import_role: {name: cfengine.hub_ha.run_lease, tasks_from: end.yml, rolespec_validate: false}
"""


def test_one_run_at_a_time(tmp_path):
    """Role run_lease as playbooks use it: refused beside another run, given back after an error, followed after a kill."""
    playbook, hosts = tmp_path / "work.yml", tmp_path / "hosts.yml"
    playbook.write_text(WORK, encoding="ascii")
    hosts.write_text(json.dumps({"hubs": {"hosts": dict(
        (name, {"run_directory": str(tmp_path / name), "ansible_python_interpreter": sys.executable})
        for name in ("hub1", "hub2"))}}), encoding="ascii")
    leases = [tmp_path / name / "run.json" for name in ("hub1", "hub2")]
    first = subprocess.Popen(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(hosts), str(playbook)], cwd=ROOT,
        env=dict(os.environ, NO_COLOR="1", ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".cache" / "collections")),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not all(path.exists() for path in leases) and time.monotonic() < deadline:
            time.sleep(0.1)
        done = run(playbook, hosts)
        said = " ".join(done.stdout.split())
        assert done.returncode != 0 and "TASK [Work]" not in said, done.stdout
        assert "hub1: work.yml of " in said and "hub2: work.yml of " in said and "is at work on this pair" in said
        assert "\\n" not in said, "one line for each hub"
        assert all(path.exists() for path in leases), "it is the other run's still"
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert all(path.exists() for path in leases)
    for name in ("hub1", "hub2"):
        (tmp_path / name / "go").touch()
    done = run(playbook, hosts, "-e", "fails=1")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and "the way back was gone" in said, done.stdout
    assert "had not come to its end here; this run goes on in its place: its process is gone" in said
    assert not any(path.exists() for path in leases), "given back, although the run has failed"
    done = run(playbook, hosts, "--check", "-e", "run_directory=/nowhere/at/all")
    assert done.returncode == 0 and "TASK [Work]" in done.stdout and not Path("/nowhere").exists(), done.stdout


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_inventory_without_hubs(playbook, tmp_path):
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[clients]\nclient1\n", encoding="ascii")
    done = run(playbook, inventory)
    assert done.returncode != 0, done.stdout
    assert "The inventory has no group named hubs" in " ".join(done.stdout.split()), done.stdout
    assert "client1" not in done.stdout, "nobody is asked for anything"


@pytest.mark.parametrize("playbook", ["upgrade-to-ha.yml", "clients.yml", "backup.yml"])
def test_a_limit_in_an_inventory_without_hubs(playbook, tmp_path):
    """--limit leaves localhost out, and with it the first look at the groups."""
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[hub]\nhub1\nhub2\n", encoding="ascii")
    refused(run(playbook, inventory, "--limit", "hub"), "The inventory has no group named hubs")


TWO_PAIRS = """
hubs: {hosts: {berlin1: %s, berlin2: %s}}
third_hub: {hosts: {berlin3: %s}}
clients: {hosts: {berlin-client: %s}}
paris: {hosts: {paris1: %s, paris2: %s}}
paris_third_hub: {hosts: {paris3: %s}}
paris_clients: {hosts: {paris-client: %s}}
rome: {hosts: {rome1: %s, rome2: %s}}
""" % ((NOBODY,) * 10)
PARIS = ("-e", "hub_ha_hubs_group=paris")


@pytest.fixture(name="pairs")
def fixture_pairs(tmp_path):
    """An inventory with several pairs, none of which answers."""
    path = tmp_path / "hosts.yml"
    path.write_text(TWO_PAIRS, encoding="ascii")
    return path


def hosts_of(done):
    """Hosts of all plays but those that look at the inventory itself, out of --list-hosts."""
    assert done.returncode == 0, done.stdout
    plays = done.stdout.split("  play #")[1:]
    return {line.strip() for text in plays if "The inventory" not in text.partition("\n")[0]
            for line in text.splitlines() if line.startswith("      ")}


BOTH, THIRD, CLIENT = {"1", "2"}, {"3"}, {"-client"}


@pytest.mark.parametrize("playbook, hosts", [
    ("install_ha.yml", BOTH | THIRD | CLIENT), ("return_from_third_hub.yml", BOTH | THIRD),
    ("promote_third_hub.yml", THIRD), ("status.yml", BOTH)])
@pytest.mark.parametrize("pair, options", [("berlin", ()), ("paris", PARIS)])
def test_a_run_is_about_one_pair(playbook, hosts, pair, options, pairs):
    assert hosts_of(run(playbook, pairs, "--list-hosts", *options)) == {pair + host for host in hosts}


def test_names_of_groups_that_follow_no_rule(pairs):
    options = ("-e", "hub_ha_hubs_group=rome", "-e", "hub_ha_third_hub_group=third_hub",
               "-e", "hub_ha_clients_group=paris_clients")
    found = hosts_of(run("install_ha.yml", pairs, "--list-hosts", *options))
    assert found == {"rome1", "rome2", "berlin3", "paris-client"}
    assert hosts_of(run("install_ha.yml", pairs, "--list-hosts", *options[:2])) == {"rome1", "rome2"}


def test_nothing_is_said_or_asked_of_the_other_pair(pairs):
    """The whole way to the plan: whoever cannot be reached stands in the report."""
    said = run("upgrade-to-ha.yml", pairs, *PARIS, "-e", "hub_ha_virtual_ip=192.0.2.9").stdout
    assert "paris1: cannot be reached" in said and "paris2: cannot be reached" in said and "paris3" in said, said
    assert "berlin" not in said and "rome" not in said and "there is no variable" not in said, said


@pytest.mark.parametrize("playbook, arguments, words", [
    ("upgrade-to-ha.yml", ("--limit", "paris1"), "playbooks/upgrade-to-ha.yml -e hub_ha_hubs_group=paris"),
    ("clients.yml", ("--limit", "paris-client"),
     "playbooks/clients.yml -e hub_ha_hubs_group=paris --limit paris-client,paris,paris_third_hub"),
    ("remove-ha.yml", ("--tags", "x"), "playbooks/remove-ha.yml -e hub_ha_hubs_group=paris")])
def test_the_command_that_is_printed_means_the_same_pair(playbook, arguments, words, pairs):
    done = run(playbook, pairs, *PARIS, *arguments)
    refused(done, "ansible-playbook -i INVENTORY " + words)
    assert "berlin" not in done.stdout, done.stdout


@pytest.mark.parametrize("arguments", [(), ("--limit", "rome")])
def test_a_group_that_is_not_there(arguments, pairs):
    refused(run("third-hub.yml", pairs, "-e", "hub_ha_hubs_group=rome", *arguments), "no group named rome_third_hub")
    refused(run("status.yml", pairs, "-e", "hub_ha_hubs_group=paris,rome", *arguments), "no group named paris,rome")


@pytest.mark.parametrize("old, new", [
    ("paris: {", "paris: {vars: {hub_ha_hubs_group: paris}, "),
    ("hubs: {", "all: {vars: {hub_ha_hubs_group: paris}}\nhubs: {")])
def test_the_name_of_a_group_is_refused_in_the_inventory(old, new, pairs):
    pairs.write_text(TWO_PAIRS.replace(old, new, 1), encoding="ascii")
    refused(run("status.yml", pairs), "The inventory sets hub_ha_hubs_group (paris on")
    assert "The inventory sets" not in run("status.yml", pairs, *PARIS).stdout


def test_a_variable_of_a_vault_that_is_not_there(tmp_path):
    """Before any host is asked, and with the way out."""
    playbook, hosts = tmp_path / "know.yml", tmp_path / "hosts.json"
    playbook.write_text(json.dumps([{"hosts": "hubs", "gather_facts": False, "any_errors_fatal": True, "tasks": [
        {"ansible.builtin.import_role": {"name": "cfengine.hub_ha.plan", "tasks_from": "variables.yml",
                                         "rolespec_validate": False}}]}]), encoding="ascii")
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": {}, "hub2": {}}, "vars": {"hub_ha_fencing": [
        {"id": "a", "agent": "fence_ipmilan", "hub": "hub1", "password": "{{ vault_bmc_hub1 }}"}]}}}), encoding="ascii")
    said = " ".join(run(playbook, hosts).stdout.split())
    assert "Nothing was changed. The variable vault_bmc_hub1 is not defined" in said, said
    assert "--ask-vault-pass" in said and "(VARIABLE_UNDEFINED)" in said


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@pytest.mark.parametrize("third, words", [
    ({"ansible_host": "127.0.0.1", "ansible_port": 9}, "ssh"),
    (dict(LOCAL, ansible_python_interpreter="/nonexistent/python3"), "interpreter")], ids=["away", "no Python"])
@pytest.mark.parametrize("first", [{}, {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}])
def test_a_third_hub_that_says_nothing_ends_no_run(tmp_path, first, third, words):
    """Whatever the reason, each hub knows it and goes on, the first one too, and no host counts as failed."""
    playbook, hosts = tmp_path / "third.yml", tmp_path / "hosts.json"
    playbook.write_text(json.dumps([{"hosts": "hubs", "gather_facts": False, "any_errors_fatal": True, "tasks": [
        {"ansible.builtin.ping": {}, "ignore_unreachable": True, "any_errors_fatal": False},
        {"ansible.builtin.import_role": {"name": "cfengine.hub_ha.plan", "tasks_from": "third.yml", "rolespec_validate": False}},
        {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} heard {{ 'hub' in hub_ha_third_read }} of "
                                          "{{ hub_ha_third_read.msg }}"}}]}]), encoding="ascii")
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": dict(LOCAL, **first), "hub2": LOCAL}},
                                 "third_hub": {"hosts": {"hub3": third}}}), encoding="ascii")
    given = {"plan_packages": [], "plan_tls": [], "plan_layout": "debian", "hub_ha_firewall": "check"}
    done = run(playbook, hosts, "-e", json.dumps(given), ANSIBLE_TIMEOUT="5")
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and "failed=1" not in said, done.stdout
    assert "hub1 heard False of" in said and "hub2 heard False of" in said, done.stdout
    assert words in said.partition("hub2 heard False of")[2].lower(), done.stdout


@pytest.mark.parametrize("form, lines", [("json", True), ("yaml", False)])
def test_the_report_has_lines_whatever_ansible_cfg_says(tmp_path, form, lines):
    playbook, hosts = tmp_path / "stop.yml", tmp_path / "hosts.json"
    failures = [{"host": "hub%d" % number, "problem": "it is wrong", "remedy": "run playbooks/upgrade-to-ha.yml",
                 "code": ""} for number in (1, 2)]
    playbook.write_text(json.dumps([{"hosts": "hub1", "gather_facts": False, "tasks": [
        {"ansible.builtin.import_role": {"name": "cfengine.hub_ha.preflight", "tasks_from": "stop.yml",
                                         "rolespec_validate": False}}],
        "vars": {"hub_ha": {"failures": failures, "warnings": []}, "hub_ha_values": {"hub_ha_hubs_group": "paris"}}}]),
        encoding="ascii")
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": {}}}}), encoding="ascii")
    done = run(playbook, hosts, ANSIBLE_CALLBACK_RESULT_FORMAT=form)
    assert done.returncode != 0 and "2 thing(s) must be put right first" in done.stdout, done.stdout
    assert ('" 1. hub1: it is wrong",' in done.stdout) == lines, done.stdout
    assert "-> run playbooks/upgrade-to-ha.yml -e hub_ha_hubs_group=paris" in " ".join(done.stdout.split())


def test_no_password_for_sudo_on_both_hubs(tmp_path):
    """Ansible goes on without a host that has failed; with both of them the report would be gone."""
    sudo, hosts = tmp_path / "sudo", tmp_path / "hosts.json"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n", encoding="ascii")
    sudo.chmod(0o755)
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": {}, "hub2": {}}, "vars": {
        "ansible_connection": "local", "ansible_become_exe": str(sudo), "ansible_python_interpreter": sys.executable,
        "hub_ha_virtual_ip": "192.0.2.9", "hub_ha_fencing": "none", "hub_ha_fencing_none_reason": "a test"}}}),
        encoding="ascii")
    done = run("upgrade-to-ha.yml", hosts, ANSIBLE_BECOME_ALLOW_SAME_USER="1")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and "Nothing was changed. 2 thing(s) must be put right first" in said, done.stdout
    for host in ("hub1", "hub2"):
        assert "%s: it answers, and its user may not become root:" % host in said, done.stdout
        assert "-m ping %s (NOT_ROOT)" % host in said, done.stdout


@pytest.mark.parametrize("playbook, config, host, first, only", [
    ("upgrade-to-ha.yml", "[defaults]\n", {}, "", False),
    ("install-ha.yml", "[ssh_connection]\nssh_args = -o ServerAliveInterval=60\n", {}, "ServerAliveInterval=60", False),
    ("remove-ha.yml", "[defaults]\n", {"ansible_ssh_args": "-o ServerAliveInterval=70"}, "ServerAliveInterval=70", True),
    ("third-hub.yml", "[defaults]\n", {"ansible_ssh_extra_args": "-J jump"}, "", False)])
def test_a_hub_that_freezes_ends_the_run_with_any_ansible_cfg(tmp_path, playbook, config, host, first, only):
    """What ssh is told. It takes the first of two, so the operator's own comes first; one of the inventory is alone."""
    program, told, hosts = tmp_path / "ssh", tmp_path / "told", tmp_path / "hosts.json"
    program.write_text("#!/bin/sh\necho \"$*\" >>%s\nexit 255\n" % told, encoding="ascii")
    program.chmod(0o755)
    hosts.write_text(json.dumps({"hubs": {"hosts": {"hub1": host, "hub2": host}},
                                 "third_hub": {"hosts": {"hub3": host}}}), encoding="ascii")
    (tmp_path / "ansible.cfg").write_text(config, encoding="ascii")
    run(playbook, hosts, ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"), ANSIBLE_SSH_EXECUTABLE=str(program))
    said = told.read_text(encoding="utf-8").splitlines()
    assert said
    for line in said:
        before, ours, _after = line.partition("ServerAliveInterval=5 -o ServerAliveCountMax=3")
        assert bool(ours) != only and first in before, line
        assert ("-J jump" in line) == ("ansible_ssh_extra_args" in host)
