# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the operator's variables, each by itself."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter.settings import coerced
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import options

OPTIONS = {
    "hub_ha_token": {"type": "int", "description": "Milliseconds."},
    "hub_ha_start_at_boot": {"type": "bool", "description": ["At boot."]},
    "hub_ha_sslmode": {"type": "str", "choices": ["verify-ca", "verify-full"], "description": "Check."},
    "hub_ha_replication_password": {"type": "str", "description": "Password."},
    "hub_ha_cluster_name": {"type": "str", "description": "Name."},
    "hub_ha_monitor_primary": {"type": "str", "description": "Interval."},
    "hub_ha_tls_certificate": {"type": "str", "description": "Path."},
    "hub_ha_tls_key": {"type": "str", "description": "Path."},
    "hub_ha_tls_ca": {"type": "str", "description": "Path."},
}


def problems(given):
    return options.option_problems(given, OPTIONS, coerced)


@pytest.mark.parametrize("given", [
    {}, {"hub_ha_token": 1000}, {"hub_ha_token": "1000"}, {"hub_ha_start_at_boot": "no"},
    {"hub_ha_sslmode": "verify-full"}, {"hub_ha_monitor_primary": "3s"}, {"hub_ha_replication_password": "a 'b' \\ %"},
    {"hub_ha_tls_certificate": "/a", "hub_ha_tls_key": "/b", "hub_ha_tls_ca": "/c"},
])
def test_right_variables(given):
    assert problems(given) == []


@pytest.mark.parametrize("given, code, words", [
    ({"hub_ha_token": "soon"}, "OPTION_INVALID", "hub_ha_token must be a whole number and is 'soon'"),
    ({"hub_ha_token": 10}, "OPTION_INVALID", "hub_ha_token must be 100 or more"),
    ({"hub_ha_start_at_boot": "perhaps"}, "OPTION_INVALID", "must be yes or no"),
    ({"hub_ha_sslmode": "disable"}, "OPTION_INVALID", "must be one of verify-ca, verify-full"),
    ({"hub_ha_cluster_name": "my cluster"}, "OPTION_INVALID", "must be of letters"),
    ({"hub_ha_cluster_name": {"a": 1}}, "OPTION_INVALID", "must be a text"),
    ({"hub_ha_monitor_primary": "often"}, "OPTION_INVALID", "a duration such as 10s"),
    ({"hub_ha_tokn": 1}, "OPTION_UNKNOWN", "there is no variable hub_ha_tokn"),
    ({"hub_ha_tls_key": "/b"}, "TLS_INCOMPLETE", "hub_ha_tls_key alone is given"),
])
def test_wrong_variable(given, code, words):
    found = problems(given)
    assert [(item.code, item.host) for item in found] == [(code, "all")]
    assert words in found[0].problem and found[0].remedy


def test_misspelt_name_is_recognised():
    assert problems({"hub_ha_tokn": 1})[0].remedy == "did you mean hub_ha_token?"


def test_password_is_not_shown():
    found = problems({"hub_ha_replication_password": ["geheim"]})
    assert len(found) == 1 and "geheim" not in str(found)


def test_all_at_once():
    assert len(problems({"hub_ha_token": "x", "hub_ha_sslmode": "x", "hub_ha_nothing": 1})) == 3


def test_of_one_hub_alone():
    found = options.option_problems({"hub_ha_tokn": 1, "hub_ha_token": 1}, OPTIONS, coerced, "hub2")
    assert [(item.host, item.code) for item in found] == [("hub2", "OPTION_INVALID"), ("hub2", "OPTION_UNKNOWN")]
