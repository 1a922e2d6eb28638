# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""facts/layouts.py on a real server that is laid out as people have it."""

from __future__ import annotations

import os

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import layouts as facts
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab


@pytest.fixture(name="lab", scope="module")
def fixture_lab():
    made = Lab()
    yield made
    made.close()


def test_a_server_with_everything_elsewhere(lab):
    site = lab.file("site.conf", "work_mem = '5MB'\n", 0o644)
    idents = lab.file("ident.conf", "", 0o644)
    server = lab.server("a").create()
    server.sql("ALTER SYSTEM SET primary_slot_name = 'old'; ALTER SYSTEM SET recovery_target_name = 'there'")
    server.stop()
    conf = server.data + "/postgresql.conf"
    with open(server.data + "/hub_ha.conf", "w", encoding="ascii") as handle:
        handle.write("max_connections = 20\n")
    with open(conf, "a", encoding="ascii") as handle:
        handle.write("ident_file = '%s'\ninclude_if_exists 'hub_ha.conf'\ninclude '%s'\nmax_connections = 31\n"
                     "archive_mode = on\narchive_command = 'test ! -f /mnt/wal/%%f'\n" % (idents, site))
    server.start()
    server.sql("SELECT pg_create_physical_replication_slot('one')")
    home = os.path.dirname(server.data)
    found = facts.look(local_runner, {"tmp_dir": home + "/tmp", "ha_dir": home + "/hub_ha"}, {
        "data_dir": server.data, "bin_dir": lab.bin, "port": server.port, "socket_dir": server.home, "server": {"x": 1}})
    assert found["auto_conf"] == ["primary_slot_name", "recovery_target_name"]
    assert sorted(item["name"] for item in found["recovery"]) == ["primary_slot_name", "recovery_target_name"]
    assert sorted(found["outside"]) == sorted([site, idents]) and found["misplaced"] == {}
    with open(conf, encoding="ascii") as handle:
        line = handle.read().splitlines().index("max_connections = 31") + 1
    assert found["overriding"]["max_connections"] == "%s line %d" % (conf, line)
    assert found["overriding"]["work_mem"] == "%s line 1" % site
    assert found["slots_used"] == 1 and found["senders_used"] == 0 and found["archive_paths"] == ["/mnt/wal"]
    assert found["settings"]["max_wal_senders"].isdigit() and "auto_explain" in found["libraries"]
