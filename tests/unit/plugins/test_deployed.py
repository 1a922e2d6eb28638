# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a hub's policy comes from version control: real directories."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import deployed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS

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


@pytest.mark.parametrize("line", ['GIT_URL="https://me:hunter2@example.com/policy"', "export SVN_URL='svn://example.com/p'"])
def test_a_repository_in_mission_portal(hub, line):
    (hub["root"] / "params.sh").write_text(PACKAGE.replace("GIT_URL=", "#GIT_URL=") + line + "\n", encoding="ascii")
    assert look(hub) == ["%s names a repository" % (hub["root"] / "params.sh")], "its address may hold a password"
