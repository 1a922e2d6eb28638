# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's def.json with our part in it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import augments as model
from ansible_collections.cfengine.hub_ha.plugins.modules import augments, hub_files

HA = {"classes": {"ha": ["any::"]}}
ALL = {"classes": {"ha": ["any::"]}, "inputs": ["services/hub_ha/hub_ha.cf"],
       "lists": {"acl": {"items": ["10.0.0.1"], "default": ["$(sys.policy_hub)/16"]}},
       "defaults": {"location": "/masterfiles"}}
OPERATORS = {"z": 1, "inputs": ["a.cf"], "classes": {"b": ["c"], "ha": ["old"]},
             "vars": {"ü": "ß", "acl": ["192.168.0.0/24"], "password": "hunter2"}}


def test_into_nothing():
    for text in (None, "", "  \n"):
        assert json.loads(model.merge(text, HA)) == {"classes": {"ha": ["any::"]}}
        assert json.loads(model.merge(text, ALL)) == {
            "classes": {"ha": ["any::"]}, "inputs": ["services/hub_ha/hub_ha.cf"],
            "vars": {"acl": ["$(sys.policy_hub)/16", "10.0.0.1"], "location": "/masterfiles"}}


def test_the_same_text_when_it_is_right():
    text = '{"vars":{"a":1},   "classes":{"ha":["any::"] , "b":["c"]}}'
    assert model.merge(text, HA) is text
    merged = model.merge(json.dumps(OPERATORS), ALL)
    assert model.merge(merged, ALL) is merged


def test_everything_else_stays_in_its_place():
    text = json.dumps(OPERATORS)
    new = model.merge(text, ALL)
    assert json.loads(new) == dict(
        OPERATORS, classes={"b": ["c"], "ha": ["any::"]}, inputs=["a.cf", "services/hub_ha/hub_ha.cf"],
        vars={"ü": "ß", "acl": ["192.168.0.0/24", "10.0.0.1"], "password": "hunter2", "location": "/masterfiles"})
    assert list(json.loads(new)) == list(OPERATORS) and "ü" in new and new.endswith("}\n")


@pytest.mark.parametrize("part", [
    {"vars": {"def.acl": ["192.168.0.0/24"]}}, {"vars": {"default:def.acl": ["192.168.0.0/24"]}},
    {"variables": {"acl": {"value": ["192.168.0.0/24"], "comment": "ours"}}},
    {"variables": {"default:def.acl": {"value": "192.168.0.0/24"}}}, {"variables": {"def.acl": ["192.168.0.0/24"]}}])
def test_every_spelling_of_a_variable(part):
    new = json.loads(model.merge(json.dumps(part), {"lists": ALL["lists"]}))
    assert list(new) == list(part) and len(new[list(new)[0]]) == 1
    entry = list(list(new.values())[0].values())[0]
    assert (entry["value"] if isinstance(entry, dict) else entry) == ["192.168.0.0/24", "10.0.0.1"]
    assert not isinstance(entry, dict) or set(entry) >= set(list(part["variables"].values())[0])


def test_what_is_not_wanted_goes_and_all_else_stays():
    absent = {"absent": {"classes": ["ha", "nosuch"], "lists": {"acl": ["192.168.0.0/24"], "none": ["x"]}}}
    new = model.merge(json.dumps(OPERATORS), absent)
    assert json.loads(new) == dict(OPERATORS, classes={"b": ["c"]}, vars=dict(OPERATORS["vars"], acl=[]))
    assert model.merge(new, absent) is new
    assert "ha" in model.excerpt(json.dumps(OPERATORS), absent) and "ha" not in model.excerpt(new, absent)
    assert "hunter2" not in model.excerpt(json.dumps(OPERATORS), absent)


def test_a_variable_that_is_no_list_is_left_alone():
    text = '{"vars": {"acl": "192.168.0.0/24"}}'
    assert model.merge(text, {"absent": {"lists": {"acl": ["192.168.0.0/24"]}}}) is text


def test_a_default_of_the_operators_stays():
    text = '{"vars": {"default:def.location": "elsewhere"}}'
    assert model.merge(text, {"defaults": {"location": "/masterfiles"}}) is text


@pytest.mark.parametrize("text, words", [
    ("[]", "the file is not an object"), ('"x"', "the file is not an object"), ("{", "Expecting"),
    ('{"classes": []}', '"classes" is not an object'), ('{"vars": null}', '"vars" is not an object'),
    ('{"inputs": "a.cf"}', '"inputs" is not a list'), ('{"vars": {"acl": {"a": 1}}}', '"acl" is no list of texts'),
    ('{"vars": {"acl": [1]}}', '"acl" is no list of texts')])
def test_refuses_what_it_does_not_understand(text, words):
    with pytest.raises(ValueError, match=words):
        model.merge(text, ALL)


def test_module(run_module, tmp_path):
    path = tmp_path / "def.json"
    path.write_text(json.dumps(OPERATORS), encoding="utf-8")
    path.chmod(0o640)
    before = path.read_bytes()
    told = run_module(augments, path=str(path), wanted=ALL, check=True, diff=True)
    assert told["changed"] and path.read_bytes() == before
    done = run_module(augments, path=str(path), wanted=ALL, diff=True)
    assert done["changed"] and done["diff"] == told["diff"]
    assert "hunter2" not in json.dumps(done) and '"10.0.0.1"' in done["diff"]["after"]
    assert path.stat().st_mode & 0o7777 == 0o640 and json.loads(path.read_text())["vars"]["password"] == "hunter2"
    assert run_module(augments, path=str(path), wanted=ALL)["changed"] is False


def test_module_makes_the_file(run_module, tmp_path):
    path = tmp_path / "def.json"
    assert run_module(augments, path=str(path), wanted=HA)["changed"]
    assert path.stat().st_mode & 0o7777 == 0o600
    path.write_text("{", encoding="utf-8")
    failed = run_module(augments, path=str(path), wanted=HA)
    assert failed["failed"] and str(path) in failed["msg"] and path.read_text() == "{"


def test_archive_carries_what_will_be_merged(run_module, tmp_path):
    active, passive = tmp_path / "active", tmp_path / "passive"
    active.mkdir()
    passive.mkdir()
    for folder, text in ((active, json.dumps(OPERATORS)), (passive, "{}")):
        (folder / "def.json").write_text(text, encoding="utf-8")
    packed = run_module(hub_files, path=str(active), state="packed", augments={"def.json": ALL}, check=True)
    told = run_module(hub_files, path=str(passive), state="present", archive=packed["archive"], check=True, diff=True)
    assert told["files"]["changed"] == ["def.json"] and "hunter2" not in json.dumps(told)
    run_module(augments, path=str(active / "def.json"), wanted=ALL)
    packed = run_module(hub_files, path=str(active), state="packed", augments={"def.json": ALL})
    done = run_module(hub_files, path=str(passive), state="present", archive=packed["archive"], diff=True)
    assert done["diff"] == told["diff"]
    assert (passive / "def.json").read_text() == (active / "def.json").read_text()
    (active / "def.json").write_text("{", encoding="utf-8")
    assert "def.json" in run_module(hub_files, path=str(active), state="packed", augments={"def.json": ALL})["msg"]
