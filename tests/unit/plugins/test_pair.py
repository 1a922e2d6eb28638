# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a hub's programs know of the pair."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair.file import pair_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

SETTINGS = {"cluster": "cfengine", "user": "hub_ha_repl", "sslmode": "verify-ca", "token": "1000", "references": []}


def made(host="hub1", results=None, **settings):
    return json.loads(pair_file(plan.make_plan(results or pair.results(), pair.settings(**settings)), host, SETTINGS))


def test_whole_file():
    found = made()
    assert found["schema"] == 1 and (found["node"], found["peer"]) == ("hub1", "hub2")
    assert found["data_dir"] == "/var/lib/cfengine3/state/pg/data" and found["bin_dir"] == "/usr/lib/postgresql/17/bin"
    assert found["port"] == 5432 and found["token_ms"] == 1000 and found["socket_dir"] == "/tmp"
    assert found["addresses"] == [{"id": "cfvirtip", "ip": "192.168.100.100", "prefix": 24}]
    assert found["client_addresses"] == ["192.168.100.10"]
    assert found["peer_addresses"][0] == "192.168.10.11", "the replication network first"
    assert sorted(found["peer_addresses"]) == ["192.168.0.11", "192.168.10.11", "192.168.100.11"]


def test_the_other_hub_sees_it_the_other_way_round():
    found = made("hub2")
    assert (found["node"], found["peer"]) == ("hub2", "hub1")
    assert found["client_addresses"] == ["192.168.100.11"] and found["peer_addresses"][0] == "192.168.10.10"


def test_address_of_the_replication_is_none_of_clients():
    found = made(replication_virtual_ip="192.168.10.100")
    assert [item["id"] for item in found["addresses"]] == ["cfvirtip", "cfvirtip_repl"]
    assert found["client_addresses"] == ["192.168.100.10"]


def test_there_and_back(tmp_path):
    path = tmp_path / "pair.json"
    path.write_text(json.dumps(made()), encoding="utf-8")
    loaded = model.load(str(path))
    assert loaded.addresses[0].prefix == 24 and loaded.peer_addresses[0] == "192.168.10.11"
    assert json.loads(model.dump(loaded)) == made()
    assert model.load(str(tmp_path / "none")) is None


@pytest.mark.parametrize("change, words", [
    ({"schema": 2}, "schema 2"), ({"node": ""}, "node is ''"), ({"port": "5432"}, "port is '5432'"), ({"port": True},
                                                                                                      "port"),
    ({"data_dir": "data"}, "no absolute path"), ({"peer": "hub1"}, "both hub1"), ({"addresses": ["x"]}, "addresses"),
    ({"reference_addresses": "192.168.100.1"}, "reference_addresses"), ({"socket_dir": 5}, "socket_dir"),
    ({"token_ms": 0}, "token_ms")])
def test_wrong_file(change, words):
    with pytest.raises(HubError) as caught:
        model.from_dict(dict(made(), **change))
    assert words in caught.value.message and "upgrade-to-ha.yml" in caught.value.message


def test_a_pair_whose_groups_have_other_names():
    text = pair_file(plan.make_plan(pair.results(), pair.settings()), "hub1", dict(SETTINGS, run_options=" -e a=b"))
    assert model.from_dict(json.loads(text)).run_options == " -e a=b"
    older = {name: value for name, value in made().items() if name != "run_options"}
    assert model.from_dict(older).run_options == ""


def test_damaged_file(tmp_path):
    path = tmp_path / "pair.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(HubError):
        model.load(str(path))


def test_what_a_later_version_says_more_is_no_reason_not_to_serve():
    assert model.from_dict(dict(made(), more=1)) == model.from_dict(made())
