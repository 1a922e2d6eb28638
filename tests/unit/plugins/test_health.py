# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the pair healthy, and its picture."""

from __future__ import annotations

import pytest

from ansible_collections.cfengine.hub_ha.plugins.module_utils import health, plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair


def the_plan(active="hub1", **settings):
    return plan.make_plan(pair.running_pair(active), pair.settings(**settings))


@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_healthy(active):
    assert health.cluster_problems(pair.cluster_state(active), the_plan(active)) == []
    assert health.replication_problems(pair.replication_state(active), the_plan(active), 64) == []


def node(number, **values):
    return lambda cluster: cluster["nodes"][number].update(values)


def status(number, value):
    def change(cluster):
        if value is None:
            del cluster["nodes"][number]["attributes"]["cfpgsql-status"]
        else:
            cluster["nodes"][number]["attributes"]["cfpgsql-status"] = value
    return change


def address_on(*names):
    def change(cluster):
        cluster["resources"]["cfvirtip"]["instances"] = [{"node": name, "active": True} for name in names]
    return change


def failed(cluster):
    cluster["failures"] = [{"resource": "cfpgsql", "node": "hub2", "operation": "start", "exit_reason": "no WAL"},
                           ][:1]


def failed_silently(cluster):
    cluster["failures"] = [{"resource": "cfvirtip", "node": "hub1", "operation": "monitor", "exit_reason": ""}]


def cut(cluster):
    cluster["links"][1]["peers"]["hub2"]["connected"] = False


@pytest.mark.parametrize("change, text", [
    (lambda cluster: cluster.update(running=False, reason="corosync is stopped"),
     "pacemaker does not run: corosync is stopped"),
    (lambda cluster: cluster.update(quorate=False), "the cluster has no quorum"),
    (lambda cluster: cluster.update(quorate=None), "the cluster has no quorum"),
    (node(1, online=False), "hub2 is offline"),
    (node(0, standby=True), "hub1 is in standby or maintenance"),
    (node(1, maintenance=True), "hub2 is in standby or maintenance"),
    (lambda cluster: cluster["properties"].update({"maintenance-mode": "true"}), "the cluster is in maintenance mode"),
    (status(1, "HS:alone"), "hub2 does not stream (cfpgsql-status HS:alone)"),
    (status(1, "DISCONNECT"), "hub2 does not stream (cfpgsql-status DISCONNECT)"),
    (status(1, None), "hub2 does not stream (cfpgsql-status None)"),
    (address_on(), "shared address 192.168.100.100 is on no hub, the active hub is hub1"),
    (address_on("hub2"), "shared address 192.168.100.100 is on hub2, the active hub is hub1"),
    (address_on("hub1", "hub2"), "shared address 192.168.100.100 is on hub1 and hub2, the active hub is hub1"),
    (failed, "cfpgsql failed on hub2 (start): no WAL -> mend the cause, then: "
             "crm_resource --cleanup --resource cfpgsql --node hub2"),
    (failed_silently, "cfvirtip failed on hub1 (monitor): no reason given -> mend the cause, then: crm_resource "
                      "--cleanup --resource cfvirtip --node hub1"),
    (cut, "link 1 to hub2 is down")])
def test_one_problem_of_the_cluster(change, text):
    cluster = pair.cluster_state()
    change(cluster)
    assert health.cluster_problems(cluster, the_plan()) == [text]


def test_standby_that_failed_to_start():
    """Only while it does not run: a failure of before that was got over is no reason to do anything."""
    cluster = pair.cluster_state()
    assert health.failed_standby(cluster, the_plan()) is False
    failed(cluster)
    assert health.failed_standby(cluster, the_plan()) is False
    cluster["resources"]["cfpgsql"]["instances"] = [{"node": "hub1", "active": True}, {"node": None, "active": False}]
    assert health.failed_standby(cluster, the_plan()) is True
    cluster["failures"][0]["node"] = "hub1"
    assert health.failed_standby(cluster, the_plan()) is False


def test_sync_standby_is_healthy():
    cluster = pair.cluster_state()
    status(1, "HS:sync")(cluster)
    assert health.cluster_problems(cluster, the_plan()) == []


def test_hub_that_is_in_no_cluster():
    cluster = pair.cluster_state()
    del cluster["nodes"][1]
    assert health.cluster_problems(cluster, the_plan()) == [
        "hub2 is not in the cluster", "hub2 does not stream (cfpgsql-status None)"]


def test_two_active_hubs_and_none():
    cluster = pair.cluster_state()
    status(1, "PRI")(cluster)
    found = health.cluster_problems(cluster, the_plan())
    assert found[0].startswith("2 hubs are active") and "is on hub1, the active hub is hub1 and hub2" in found[1]
    for number in (0, 1):
        status(number, None)(cluster)
    found = health.cluster_problems(cluster, the_plan())
    assert found[0] == "0 hubs are active (no cfpgsql-status yet)" and "the active hub is none" in found[-1]


def test_all_problems_at_once():
    cluster = pair.cluster_state()
    for change in (lambda found: found.update(quorate=False), node(1, online=False), status(1, None), cut, failed):
        change(cluster)
    assert len(health.cluster_problems(cluster, the_plan())) == 5


def test_resources_that_do_not_exist_are_on_no_node():
    assert health.started_on({}, "cfvirtip") == []
    cluster = pair.cluster_state()
    cluster["resources"]["cfvirtip"]["instances"][0]["active"] = False
    assert health.started_on(cluster, "cfvirtip") == []


def primary(**values):
    return lambda found: found["hub1"].update(values)


def sender(**values):
    return lambda found: found["hub1"]["senders"][0].update(values)


@pytest.mark.parametrize("change, text", [
    (primary(role="standby"), "PostgreSQL on hub1 is standby, not primary"),
    (lambda found: found["hub2"].update(role="stopped"), "PostgreSQL on hub2 is stopped, not standby"),
    (lambda found: found["hub2"].update(system_identifier=pair.OTHER_SYSTEM),
     "the hubs hold different databases (system identifiers differ)"),
    (primary(senders=[]), "hub1 does not stream to hub2"), (primary(senders=None), "hub1 does not stream to hub2"),
    (sender(state="catchup"), "hub1 does not stream to hub2"),
    (sender(application_name="backup"), "hub1 does not stream to hub2"),
    (sender(ssl=False), "replication is not encrypted"),
    (sender(lag_bytes=(64 << 20) + 1), "hub2 is 64.0 MB behind"),
    (primary(slots=[]), "replication slot hub_ha_hub2 is missing"),
    (primary(slots=None), "replication slot hub_ha_hub2 is missing"),
    (lambda found: found["hub1"]["slots"][0].update(active=False), "replication slot hub_ha_hub2 is not in use")])
def test_one_problem_of_replication(change, text):
    found = pair.replication_state()
    change(found)
    assert health.replication_problems(found, the_plan(), 64) == [text]


def test_one_hub_alone_says_what_it_knows():
    found = pair.replication_state()
    for host in found:
        assert health.replication_problems({host: found[host]}, the_plan(), 64) == []
    sender(lag_bytes=(64 << 20) + 1)(found)
    found["hub2"]["role"] = "stopped"
    assert health.replication_problems({"hub1": found["hub1"]}, the_plan(), 64) == ["hub2 is 64.0 MB behind"]
    assert health.replication_problems({"hub2": found["hub2"]}, the_plan(), 64) == [
        "PostgreSQL on hub2 is stopped, not standby"]


def test_lag_at_the_limit_or_unknown_is_no_problem():
    for lag in (64 << 20, None, 0):
        found = pair.replication_state()
        sender(lag_bytes=lag)(found)
        assert health.replication_problems(found, the_plan(), 64) == []


PICTURE = """\
+--------------------------------+                  +--------------------------------+
| hub1  ACTIVE                   |                  | hub2  passive                  |
| 192.168.100.10                 |                  | 192.168.100.11                 |
| shared address 192.168.100.100 |                  |                                |
| PostgreSQL primary             | --- WAL, TLS --> | PostgreSQL standby             |
| cfpgsql-status PRI             |  2.0 kB behind   | cfpgsql-status HS:async        |
| timeline 1                     |                  | timeline 1                     |
+--------------------------------+                  +--------------------------------+
links 192.168.100.0/24, 192.168.0.0/24, 192.168.10.0/24
fencing NONE"""


def test_picture_of_a_healthy_pair():
    found = health.pair_picture(pair.cluster_state(), the_plan(), pair.replication_state())
    assert found == PICTURE


def squeezed(text):
    """Lines with every run of blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_picture_shows_what_is_wrong():
    cluster, replication = pair.cluster_state(), pair.replication_state()
    cut(cluster)
    cluster["properties"]["stonith-enabled"] = "true"
    status(1, None)(cluster)
    address_on("hub2")(cluster)
    replication["hub1"]["senders"] = []
    replication["hub2"] = None
    found = squeezed(health.pair_picture(cluster, the_plan(), replication))
    assert "| hub1 ACTIVE | | hub2 passive |" in found
    assert "| | | shared address 192.168.100.100 |" in found
    assert "| PostgreSQL primary | --- WAL --> | PostgreSQL ? |" in found
    assert "| cfpgsql-status PRI | ? behind | cfpgsql-status - |" in found
    assert found[-2].endswith("(NOT ALL UP)") and found[-1] == "fencing on"


def test_picture_names_every_address_however_long():
    addresses = ["192.168.100.100", "fd00:1:2:3:4:5:6:100"]
    results = pair.running_pair()
    for number, result in enumerate(results.values()):
        result["hub"]["addresses"].append({"interface": "eth0", "address": "fd00:1:2:3:4:5:6:%d" % number,
                                           "prefix": 64, "network": "fd00:1:2:3::/64", "secondary": False})
    made = plan.make_plan(results, pair.settings(virtual_ip=addresses))
    cluster = pair.cluster_state()
    cluster["resources"]["cfvirtip_2"] = cluster["resources"]["cfvirtip"]
    found = health.pair_picture(cluster, made, pair.replication_state())
    assert "| shared address 192.168.100.100, fd00:1:2:3:4:5:6:100 |" in found


@pytest.mark.parametrize("size, text", [(None, "?"), (0, "0 B"), (1023, "1023 B"), (2048, "2.0 kB"),
                                        (3 << 20, "3.0 MB")])
def test_human(size, text):
    assert health.human(size) == text
