# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the inventory's groups, the commands that mean the same pair, and defaults that stand in several places."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.filter import groups as filters, plan as plan_filters, third_hub
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import groups

ROOT = Path(__file__).parents[3]
ROLES = sorted((ROOT / "roles").glob("*/defaults/main.yml"))
PARIS = {"hub_ha_hubs_group": "paris", "hub_ha_third_hub_group": "paris_third_hub",
         "hub_ha_clients_group": "paris_clients"}


@pytest.mark.parametrize("names, options", [
    ({}, ""),
    ({"hub_ha_hubs_group": "hubs", "hub_ha_third_hub_group": "third_hub", "hub_ha_clients_group": "clients"}, ""),
    (dict(PARIS, hub_ha_token=3000), " -e hub_ha_hubs_group=paris"),
    (dict(PARIS, hub_ha_third_hub_group="third_hub"),
     " -e hub_ha_hubs_group=paris -e hub_ha_third_hub_group=third_hub"),
    ({"hub_ha_clients_group": "a b"}, " -e hub_ha_clients_group='a b'"),
    ({"hub_ha_third_hub_group": ""}, " -e hub_ha_third_hub_group=''")])
def test_what_a_command_needs(names, options):
    assert groups.run_options(names) == filters.run_options(names) == options


@pytest.mark.parametrize("text, meant", [
    ("run playbooks/upgrade-to-ha.yml, which writes it",
     "run playbooks/upgrade-to-ha.yml -e hub_ha_hubs_group=paris, which writes it"),
    ("playbooks/a.yml or playbooks/b.yml.",
     "playbooks/a.yml -e hub_ha_hubs_group=paris or playbooks/b.yml -e hub_ha_hubs_group=paris."),
    ("playbooks/a.yml -e hub_ha_hubs_group=paris", "playbooks/a.yml -e hub_ha_hubs_group=paris"),
    ("docs/operate.md, roles/playbooks/x", "docs/operate.md, roles/playbooks/x")])
def test_a_playbook_that_is_named_means_this_pair(text, meant):
    assert filters.of_this_pair(text, PARIS) == meant
    assert filters.of_this_pair(text, {}) == text


def test_what_the_inventory_sets_is_seen_too_late():
    names = groups.usual("hubs")
    hostvars = {"hub1": {"hub_ha_hubs_group": "hubs"}, "hub4": {"hub_ha_hubs_group": "paris"},
                "hub5": {"hub_ha_hubs_group": "paris", "hub_ha_clients_group": "c"}}
    assert filters.groups_misplaced(names, hostvars, {"all": ["hub1"]}) == []
    assert filters.groups_misplaced(names, hostvars, {"all": ["hub1"], "paris": ["hub4", "hub5"], "none": []}) == [
        "hub_ha_hubs_group (paris on hub4)", "hub_ha_clients_group (c on hub5)"]
    assert filters.groups_misplaced(PARIS, {"hub4": PARIS}, {"all": ["hub4"]}) == [], \
        "of the command line, every host has it"


def test_of_thousands_of_clients_the_first_ones_are_looked_at():
    looked = []

    class Hostvars(dict):
        def __getitem__(self, host):
            looked.append(host)
            return {}

    clients = ["client%d" % number for number in range(5000)]
    groups.misplaced(groups.usual("hubs"), Hostvars(), {"all": clients, "clients": clients, "hubs": ["hub1", "hub2"]})
    assert looked == ["hub1", "hub2"] + clients[:5]
    looked.clear()
    groups.misplaced(groups.usual("hubs"), Hostvars(), {
        "all": clients, **{"tag_Name_%s" % name: [name] for name in clients},
        "hubs": ["hub1", "hub2"], "paris": ["hub4", "hub5"]})
    assert looked == ["hub1", "hub2"] + clients[:5] + ["hub4", "hub5"] + clients[5:46], "a cloud's inventory has a group for each host"


THERE = {"all": ["hub1", "hub2", "c1"], "hubs": ["hub1", "hub2"], "clients": ["c1"], "empty": []}


@pytest.mark.parametrize("given, needs, lacks", [
    ({}, ["hub_ha_hubs_group"], []),
    ({}, ["hub_ha_hubs_group", "hub_ha_clients_group"], []),
    ({}, ["hub_ha_hubs_group", "hub_ha_third_hub_group"], ["third_hub"]),
    ({"hub_ha_hubs_group": "paris"}, ["hub_ha_hubs_group"], ["paris"]),
    ({"hub_ha_hubs_group": "empty"}, ["hub_ha_hubs_group"], ["empty"]),
    # Given, so it must be there, whether the run needs it or not.
    ({"hub_ha_third_hub_group": "third_hup"}, ["hub_ha_hubs_group"], ["third_hup"]),
    ({"hub_ha_clients_group": "cleints"}, ["hub_ha_hubs_group"], ["cleints"]),
    ({"hub_ha_clients_group": "empty"}, ["hub_ha_hubs_group"], []),
    ({"hub_ha_clients_group": "empty"}, ["hub_ha_clients_group"], ["empty"]),
    ({"hub_ha_third_hub_group": ""}, ["hub_ha_hubs_group"], [])])
def test_a_group_that_would_end_well_without_anything_done(given, needs, lacks):
    hubs = given.get("hub_ha_hubs_group", "hubs")
    names = {**groups.usual(hubs), "hub_ha_hubs_group": hubs, **given}
    found = filters.groups_lacking(names, THERE, needs)
    assert [item["name"] for item in found] == lacks
    assert all(names[item["variable"]] == item["name"] for item in found)


def run_of(tmp_path, hosts, *options):
    """The first plays of a playbook, which ask no host."""
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {
        "hosts": hosts, "children": {"hubs": {"hosts": {"hub1": None, "hub2": None}}}}}), encoding="utf-8")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{
        "ansible.builtin.import_playbook": str(ROOT / "playbooks/parts/inventory.yml"),
        "vars": {"run_playbook": "upgrade-to-ha.yml"}}]), encoding="utf-8")
    program = shutil.which("ansible-playbook")
    assert program
    return subprocess.run([program, "-i", "hosts.yml", "play.yml", *options], cwd=tmp_path, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, ANSIBLE_LOCALHOST_WARNING="false", NO_COLOR="1"))


@pytest.mark.parametrize("hosts", [{}, {"localhost": {"ansible_connection": "local"}}])
def test_an_inventory_may_have_localhost(tmp_path, hosts):
    done = run_of(tmp_path, hosts)
    assert done.returncode == 0, done.stdout
    done = run_of(tmp_path, hosts, "-e", "hub_ha_third_hub_group=typo")
    assert done.returncode == 2 and "no group named typo" in done.stdout
    assert "-e hub_ha_third_hub_group=NAME" in done.stdout


def test_the_group_is_named_in_what_is_said():
    said = third_hub.promote_unproved(["hub4"], {"hub4": {}}, PARIS)
    assert "all hosts of the groups paris and paris_third_hub" in said
    result = plan_filters.make_plan({}, {}, None, {"hosts": ["hub6", "hub7"], "groups": ["paris", "paris_third_hub"]})
    assert "the group paris_third_hub has 2 hosts" in str(result["failures"])


def defaults():
    """[(variable, value, role)] of all roles."""
    return [(name, value, path.parts[-3]) for path in ROLES
            for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items()]


def test_a_default_that_several_roles_have_is_the_same_in_each():
    """Each of these roles is also used where no other one has run."""
    known, repeated = {}, set()
    for name, value, role in defaults():
        repeated |= {name} & set(known)
        assert known.setdefault(name, (value, role))[0] == value, (name, role, known[name])
    assert repeated == set(PARIS), "of all others one role has it"


def test_the_names_that_follow_from_that_of_the_hubs_are_made_the_same_way_everywhere():
    own = {name: value for name, value, _role in defaults() if name in PARIS}
    for play in yaml.safe_load((ROOT / "playbooks/parts/inventory.yml").read_text(encoding="utf-8")):
        assert own == {name: play["vars"][name] for name in PARIS}
    # A play has no defaults of roles when it looks for its hosts.
    text = " ".join(" ".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").glob("*.yml")).split())
    for name, value in own.items():
        wanted = repr(value) if "{{" not in value else value.strip("{} ").replace(
            "if hub_ha_hubs_group", "if hub_ha_hubs_group | default('hubs')")
        assert text.count("%s | default(" % name) == text.count("%s | default(%s)" % (name, wanted)) > 0
    assert not re.search(r"hosts: (hubs|third_hub|clients)\b|groups(\.|\[')(hubs|third_hub|clients)", text)


def test_no_role_has_the_name_of_a_group_in_it():
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "roles").rglob("*") if path.suffix in (".yml", ".j2")
            and re.search(r"groups(\.|\[')(hubs|third_hub|clients)", path.read_text(encoding="utf-8"))] == []


def test_a_fallback_is_the_default_of_the_role_that_has_the_variable():
    """Where another role reads it, with default(...), because that role may not have run."""
    known = {name: value for name, value, _role in defaults()}
    known["hub_ha_virtual_ip"] = ""
    pattern = re.compile(r"\b(hub_ha_\w+) \| default\(('[^']*'|\d+|true|false)[,)]")
    found = [(path.parts[-3], name, yaml.safe_load(value)) for path in sorted((ROOT / "roles").rglob("*.yml"))
             for name, value in pattern.findall(path.read_text(encoding="utf-8"))]
    assert len(found) > 20
    assert [item for item in found if item[1] in known and item[2] != known[item[1]]] == []
