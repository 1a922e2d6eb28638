# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server is started with the values that it was running with, whatever stands in its files."""

from __future__ import annotations

import shlex

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import rollback as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import startup
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab

AWKWARD = "it's a 100% \"strange\" $name \\ here"


@pytest.fixture(name="server")
def fixture_server():
    """A server that runs."""
    made = Lab()
    try:
        yield made.server("one").create()
    finally:
        made.close()


def start(server, values):
    """pg_ctl with these values: the result."""
    own = ["-o", "-p %d -k %s" % (server.port, server.home)]
    return server.lab.owner(server.lab.bin + "/pg_ctl", "-D", server.data, "-l", server.log, "-w", "-t", "20", *own,
                            *startup.words(values), "start", check=False)


def test_a_server_with_a_setting_that_does_not_start_starts_with_what_it_had(server):
    pending = "SELECT name FROM pg_settings WHERE pending_restart"
    server.sql("ALTER SYSTEM SET shared_buffers = '500GB'")
    server.sql("ALTER SYSTEM SET cluster_name = %s" % ("'" + AWKWARD.replace("'", "''") + "'"))
    server.sql("SELECT pg_reload_conf(); SELECT pg_sleep(0.5)")
    server.stop()
    assert start(server, {}).returncode != 0, "its files do not let it start"
    assert start(server, {"shared_buffers": "16MB", "cluster_name": AWKWARD}).returncode == 0
    assert server.sql("SHOW shared_buffers") == "16MB" and server.sql("SHOW cluster_name") == AWKWARD
    assert server.sql(pending) == "", "and the values hold"


def test_no_values_are_no_words():
    assert startup.words({}) == [] and startup.running_values(None) == {} and startup.running_values([]) == {}
    assert startup.words({"b": "2", "a": "x y"}) == ["-o", "-c 'a=x y' -c b=2"]


def unit_words(line):
    """A unit's command line as systemd reads it: quotes, backslashes, then specifiers and variables."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def test_the_unit_gives_pg_ctl_the_same_words():
    text = startup.dropin({"cluster_name": AWKWARD, "shared_buffers": "16MB"}, "/b/pg_ctl", "/d", "/l")
    lines = text.splitlines()
    assert lines[2:6] == ["[Service]", "Type=forking", "PIDFile=/d/postmaster.pid", "ExecStart="]
    command = unit_words(lines[6][len("ExecStart="):])
    assert command[:6] == ["/b/pg_ctl", "-w", "-D", "/d", "-l", "/l"] and command[-1] == "start"
    assert shlex.split(command[7]) == ["-c", "cluster_name=" + AWKWARD, "-c", "shared_buffers=16MB"]


def test_values_out_of_what_hub_info_said():
    result = pair.results()["hub1"]
    assert filters.running_values(result) == {}
    result["hub"]["postgres"]["server"]["pending"] = [{"name": "shared_buffers", "old": "128MB", "new": "500GB"}]
    assert filters.running_values(result) == {"shared_buffers": "128MB"}
    result["hub"]["postgres"]["server"] = None
    assert filters.running_values(result) == {} and filters.running_values({"unreachable": True}) == {}
