# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the hubs' databases reach each other."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import conninfo

NETWORKS = [{"network": "192.168.100.0/24", "addresses": {"hub1": "192.168.100.10", "hub2": "192.168.100.11"}},
            {"network": "192.168.10.0/24", "addresses": {"hub1": "192.168.10.10", "hub2": "192.168.10.11"}}]


def test_the_network_of_the_replication_comes_first():
    assert conninfo.ordered(NETWORKS, "192.168.10.0/24", "hub2") == ["192.168.10.11", "192.168.100.11"]
    assert conninfo.ordered(NETWORKS, None, "hub2") == ["192.168.100.11", "192.168.10.11"]


def test_a_standby_streams_from_a_primary_only():
    """Two standbys that stream from each other: the promotion of the one that has more waits for the other one."""
    text = conninfo.streaming("/ha", "require", 17)
    assert text == conninfo.options("/ha", "require") + " target_session_attrs=primary"
    assert conninfo.streaming("/ha", "require", 13).endswith(" target_session_attrs=read-write")
    assert "target_session_attrs" not in conninfo.options("/ha", "require"), "a question is for any hub"


def test_a_standby_knows_all_addresses_and_no_password():
    text = conninfo.standby(["192.168.10.11", "192.168.100.11"], 5432, "hub_ha_repl", "hub1",
                            conninfo.options("/var/ha", "verify-ca"))
    assert text == ("host=192.168.10.11,192.168.100.11 port=5432 user=hub_ha_repl application_name=hub1 "
                    "passfile=/var/ha/pgpass sslmode=verify-ca sslrootcert=/var/ha/root.crt connect_timeout=3 "
                    "keepalives_idle=60 keepalives_interval=5 keepalives_count=5")
