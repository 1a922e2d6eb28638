# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a hub's policy comes from version control: real directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import augments, deployed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS

ROOT = Path(__file__).parents[3]
PACKAGE = 'ROOT="/opt/cfengine/masterfiles_staging"\nGIT_URL="/opt/cfengine/masterfiles.git"\nGIT_PASSWORD=""\n'


@pytest.fixture
def hub(tmp_path):
    """A hub of the vendor's package below a directory, with the policy and the parameters that it brings."""
    layout = {key: value.replace("/var/cfengine", str(tmp_path / "cfengine")) if isinstance(value, str) else value
              for key, value in LAYOUTS["enterprise"].items()}
    for path, text in ((layout["def_json"], '{"classes": {"other": ["any"]}}'), (tmp_path / "params.sh", PACKAGE)):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    layout["root"] = tmp_path
    return layout


def look(hub):
    return deployed.look(hub, str(hub["root"] / "params.sh"))


def test_a_hub_as_the_package_makes_it(hub):
    assert look(hub) == []
    (hub["root"] / "params.sh").unlink()
    assert look(hub) == []


@pytest.mark.parametrize("name, made", [(".git", "cfengine/masterfiles/.git"), (".svn", "cfengine/masterfiles/.svn"),
                                        (".git", "cfengine/.git")])
def test_a_checkout(hub, name, made):
    (hub["root"] / made).mkdir()
    assert look(hub) == ["%s is there" % (hub["root"] / made)] and made.endswith(name)


def test_a_checkout_elsewhere_that_masterfiles_leads_to(hub):
    """A worktree of git has a file in place of the directory."""
    policy = hub["root"] / "srv/policy"
    (policy / "masterfiles").mkdir(parents=True)
    (policy / ".git").write_text("gitdir: /srv/policy.git/worktrees/policy", encoding="ascii")
    masterfiles = hub["root"] / "cfengine/masterfiles"
    masterfiles.rename(hub["root"] / "old")
    masterfiles.symlink_to(policy / "masterfiles")
    assert look(hub) == ["%s is there" % (policy / ".git")]


def test_what_cfbs_has_built(hub):
    (hub["root"] / "cfengine/masterfiles/services/cfbs").mkdir(parents=True)
    assert look(hub) == ["cfbs has built %s" % hub["masterfiles"]]


@pytest.mark.parametrize("place, text", [
    ("masterfiles/def.json", {"cfengine_internal_masterfiles_update": ["policy_server"]}),
    ("masterfiles/def.json", {"default:cfengine_internal_masterfiles_update": {"class_expressions": ["any::"]}}),
    ("data/host_specific.json", {"default:cfengine_internal_masterfiles_update": {"comment": "x", "tags": []}})])
def test_the_vendors_deployment(hub, place, text):
    path = hub["root"] / "cfengine" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"classes": text}), encoding="ascii")
    assert look(hub) == ["%s sets cfengine_internal_masterfiles_update" % path]
    assert look(dict(hub, name="debian")) == [], "that policy does it on an Enterprise hub only"


def test_a_deployment_that_is_off_and_a_file_that_is_no_json(hub):
    path = hub["root"] / "cfengine/masterfiles/def.json"
    for text in ('{"classes": {"cfengine_internal_masterfiles_update": ["!any"]}}', "{"):
        path.write_text(text, encoding="ascii")
        assert look(hub) == []


@pytest.mark.parametrize("value", ["null", "true", "5", "[null]", '{"class_expressions": null}'])
def test_classes_that_are_no_texts_end_nothing(hub, value):
    """Nobody has looked before at what Mission Portal writes."""
    for path in ("masterfiles/def.json", "data/host_specific.json"):
        (hub["root"] / "cfengine" / path).parent.mkdir(exist_ok=True)
        (hub["root"] / "cfengine" / path).write_text(
            '{"classes": {"cfengine_internal_masterfiles_update": %s}}' % value, encoding="ascii")
    assert look(hub) == []


@pytest.mark.parametrize("line", ['GIT_URL="https://me:hunter2@example.com/policy"', "export SVN_URL='svn://example.com/p'"])
def test_a_repository_in_mission_portal(hub, line):
    (hub["root"] / "params.sh").write_text(PACKAGE.replace("GIT_URL=", "#GIT_URL=") + line + "\n", encoding="ascii")
    assert look(hub) == ["%s names a repository" % (hub["root"] / "params.sh")], "its address may hold a password"


def test_what_a_deployment_has_taken_away(hub):
    masterfiles, path = hub["root"] / "cfengine/masterfiles", hub["root"] / "cfengine/masterfiles/def.json"
    files = ["services/hub_ha.cf", "services/hub_ha.json", "cfe_internal/enterprise/ha/ha_info.json"]
    assert deployed.undone(hub) == files + ["def.json"]
    for name in files:
        (masterfiles / name).parent.mkdir(parents=True, exist_ok=True)
        (masterfiles / name).write_text("x", encoding="ascii")
    path.write_text(augments.merge('{"classes": {"other": ["any"]}}', deployed.IN_DEF_JSON), encoding="ascii")
    assert deployed.undone(hub) == []
    (masterfiles / files[1]).unlink()
    assert deployed.undone(hub) == files[1:2]
    path.write_text(json.dumps({"inputs": ["services/hub_ha.cf"]}), encoding="ascii")
    assert deployed.undone(hub) == files[1:2] + ["def.json"]
    path.write_text("{", encoding="ascii")
    assert deployed.undone(hub) == files[1:2], "that is told elsewhere"


def test_it_is_what_the_role_puts_into_def_json():
    role = yaml.safe_load((ROOT / "roles/cfengine/vars/main.yml").read_text(encoding="utf-8"))["hub_augments"]
    role["lists"].pop("acl")  # addresses of this pair
    assert deployed.IN_DEF_JSON == {"inputs": role["inputs"], "lists": role["lists"]}
