# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the pair healthy, and its picture. Each state that must not be called healthy is made from a healthy pair."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import health as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import checks, show
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan, wanted_cib
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair


def the_plan(active="hub1", **settings):
    return plan.make_plan(pair.running_pair(active), pair.settings(**settings))


def of_cluster(*changes, active="hub1"):
    """[(code, host, problem, remedy)] of a healthy cluster after these changes."""
    cluster = pair.cluster_state(active)
    for change in changes:
        change(cluster)
    return [(item.code, item.host, item.problem, item.remedy)
            for item in checks.cluster_problems(cluster, the_plan(active))]


def of_database(*changes, most=64):
    """The same of replication."""
    found = pair.replication_state()
    for change in changes:
        change(found)
    return [(item.code, item.host, item.problem, item.remedy)
            for item in checks.replication_problems(found, the_plan(), most)]


@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_healthy(active):
    assert checks.cluster_problems(pair.cluster_state(active), the_plan(active)) == []
    assert checks.replication_problems(pair.replication_state(active), the_plan(active), 64) == []


def node(number, **values):
    return lambda cluster: cluster["nodes"][number].update(values)


def status(number, value):
    def change(cluster):
        if value is None:
            del cluster["nodes"][number]["attributes"]["cfpgsql-status"]
        else:
            cluster["nodes"][number]["attributes"]["cfpgsql-status"] = value
    return change


def forked(cluster):
    cluster["nodes"][1]["attributes"]["hub_ha-forked"] = "timeline=1 commits=7"


def given_up(cluster):
    cluster["nodes"][0]["attributes"]["hub_ha-gave_up"] = "3 in 10 min"


def address_on(*names):
    def change(cluster):
        cluster["resources"]["cfvirtip"]["instances"] = [{"node": name, "active": True} for name in names]
    return change


def failed(cluster):
    cluster["failures"] = [{"resource": "cfpgsql", "node": "hub2", "operation": "start", "exit_reason": "no WAL"}]
    cluster["fail_counts"] = {"cfpgsql": {"hub2": 1000000}}


def failed_silently(cluster):
    cluster["failures"] = [{"resource": "cfvirtip", "node": "hub1", "operation": "monitor", "exit_reason": ""}]


def counted(resource, host, count, limit=1):
    def change(cluster):
        cluster["fail_counts"] = {resource: {host: count}}
        cluster["thresholds"] = {} if limit is None else {resource: {host: limit}}
        if limit is None:
            del cluster["meta"]["cfpgsql"]["migration-threshold"]
    return change


def blocked(cluster):
    cluster["resources"]["cfpgsql"]["blocked"] = True


def cut(cluster):
    cluster["links"][1]["peers"]["hub2"]["connected"] = False


def set_meta(name, attribute, value, owner=None):
    """As cib_info shows a meta attribute that *owner* sets and *name* inherits."""
    def change(cluster):
        cluster["meta"].setdefault(name, {})[attribute] = {"value": value, "set_by": owner or name}
    return change


def unmanaged(*names):
    """As crm_mon shows it, whatever makes it so."""
    def change(cluster):
        for name in names:
            cluster["resources"][name]["managed"] = False
    return change


def target_role(name, value):
    """As crm_mon shows it."""
    def change(cluster):
        for instance in cluster["resources"][name]["instances"]:
            instance["target_role"] = value
    return change


def option(name, value, shown=None):
    """A cluster property, and what crm_mon makes of it if it shows that."""
    def change(cluster):
        cluster["properties"][name] = value
        cluster["options"].pop(name, None)
        if shown is not None:
            cluster["options"][name] = shown
    return change


def location(name, resource="mscfpgsql", where="hub2", score="-INFINITY", **more):
    def change(cluster):
        cluster["locations"].append(dict({"id": name, "resource": resource, "pattern": None, "node": where,
                                          "score": score,
                                          "promoted_only": False, "conditional": False}, **more))
    return change


def active_ban(name, resource="mscfpgsql", score="-1000000"):
    return lambda cluster: cluster["active_bans"].append(
        {"id": name, "resource": resource, "node": "hub2", "score": score, "promoted_only": False})


def attribute(number, name, value):
    return lambda cluster: cluster["nodes"][number]["attributes"].update({name: value})


def device_for(*hosts, name="fence-hub1", known=True):
    """A fencing device that runs, and switches off these hubs; known: its parameters tell that."""
    def change(cluster):
        cluster["resources"][name] = dict(
            cluster["resources"]["cfvirtip"], agent="stonith:fence_ipmilan", group=None,
            instances=[{"node": "hub2", "role": "Started", "active": True, "target_role": None}])
        cluster["meta"][name] = {}
        cluster["fencing_devices"][name] = list(hosts) if known else None
        cluster["options"]["stonith-enabled"] = "true"
        location("%s-not-on-target" % name, name, "hub1")(cluster)
    return change


device = device_for("hub1", "hub2")


def device_stopped(cluster):
    device(cluster)
    cluster["resources"]["fence-hub1"]["instances"] = [{"node": None, "role": "Stopped", "active": False}]


def instance_gone(host):
    def change(cluster):
        for instance in cluster["resources"]["cfpgsql"]["instances"]:
            if instance["node"] == host:
                instance.update(node=None, active=False, role="Stopped")
    return change


CLEANUP = "mend the cause, then: crm_resource --cleanup --resource cfpgsql --node hub2"
CLEAR = "crm_resource --clear --resource mscfpgsql"
NO_MAINTENANCE = "crm_attribute --type crm_config --name maintenance-mode --delete"
ONE_OF_THE_CLUSTER = [
    (lambda cluster: cluster.update(running=False, reason="corosync is stopped"), "CLUSTER_DOWN", "hub1",
     "pacemaker does not run: corosync is stopped", "systemctl start corosync pacemaker"),
    (lambda cluster: cluster.update(running=False), "CLUSTER_DOWN", "hub1", "pacemaker does not run: no answer",
     "systemctl start"),
    (lambda cluster: cluster.update(quorate=False), "NO_QUORUM", "all", "the cluster has no quorum",
     "corosync-quorumtool"),
    (lambda cluster: cluster.update(quorate=None), "NO_QUORUM", "all", "the cluster has no quorum",
     "corosync-quorumtool"),
    (node(1, online=False), "HUB_DOWN", "hub2", "hub2 is offline", "systemctl start corosync pacemaker"),
    (node(1, unclean=True), "HUB_DOWN", "hub2", "hub2 is unclean", "stonith_admin --history"),
    (node(1, pending=True), "HUB_DOWN", "hub2", "hub2 is joining", "crm_mon -1"),
    (node(0, shutdown=True), "HUB_DOWN", "hub1", "hub1 is leaving", "crm_mon -1"),
    (node(0, standby=True), "HUB_STANDBY", "hub1", "hub1 is in standby: nothing may run on it",
     "crm_standby --node hub1 --delete"),
    (node(1, maintenance=True), "RESOURCE_UNMANAGED", "hub2", "hub2 is in maintenance: nothing on it is looked after",
     "crm_attribute --node hub2 --name maintenance --delete"),
    (forked, "FORKED", "hub2", "its data has what the active hub's lacks, so it cannot follow (timeline=1 commits=7)",
     'docs/operate.md, "Clone it anew"'),
    (given_up, "RESOURCE_GIVEN_UP", "hub1", "its database was given up after repeated failures (3 in 10 min)",
     "then on hub1: hub-ha retry"),
    (attribute(1, "hub_ha-clients", "0"), "CLIENTS_CUT", "hub2",
     "clients can reach the other hub and not this one (hub_ha-clients=0)", "hub_ha_reference_addresses"),
    (attribute(0, "hub_ha-clients", "0"), "CLIENTS_CUT", "hub1", "clients can reach the other hub", "ip -br link"),
    (attribute(1, "hub_ha-guard", "gone"), "GUARD_GONE", "hub2",
     "the other hub's guard hears nothing of this one's (hub_ha-guard=gone)",
     "systemctl restart cfengine-hub-ha-guard.service"),
    (option("stonith-enabled", "yes"), "FENCING_WITHOUT_DEVICE", "all",
     "fencing is on (stonith-enabled=yes), and there is no device: a hub that is lost stays UNCLEAN",
     "crm_attribute --type crm_config --name stonith-enabled --update false # or declare a device for each hub in "
     "hub_ha_fencing"),
    (option("fencing-enabled", "true", "true"), "FENCING_WITHOUT_DEVICE", "all",
     "fencing is on (fencing-enabled=true)", "--name fencing-enabled --update false"),
    (lambda cluster: [cluster["options"].pop("stonith-enabled"), cluster["properties"].pop("stonith-enabled")],
     "FENCING_WITHOUT_DEVICE", "all", "fencing is on (stonith-enabled=true)", "--name stonith-enabled --update false"),
    (device_for("HUB1", "other"), "FENCING_WITHOUT_DEVICE", "hub2",
     "fencing is on (stonith-enabled=true), and no device can switch hub2 off (fence-hub1: HUB1 other)",
     "pcmk_host_list"),
    (option("maintenance-mode", "true"), "CLUSTER_MAINTENANCE", "all",
     "the cluster is in maintenance mode (maintenance-mode=true): nothing is looked after", NO_MAINTENANCE),
    (option("stop-all-resources", "yes"), "RESOURCE_STOPPED", "all",
     "the cluster is to stop all resources (stop-all-resources=yes)", "--name stop-all-resources --delete"),
    (option("no-quorum-policy", "ignore"), "NO_QUORUM_POLICY", "all", "no-quorum-policy=ignore: a hub that is cut off "
     "goes on as if it were the whole cluster", "crm_attribute --type crm_config --name no-quorum-policy --delete"),
    (option("no-quorum-policy", "IGNORE", "ignore"), "NO_QUORUM_POLICY", "all", "no-quorum-policy=IGNORE: a hub",
     "--name no-quorum-policy --delete"),
    (lambda cluster: cluster["options"].update({"no-quorum-policy": "ignore"}), "NO_QUORUM_POLICY", "all",
     "no-quorum-policy=ignore", "--name no-quorum-policy --delete"),
    (status(1, "HS:alone"), "REPL_STOPPED", "hub2", "hub2 does not stream (cfpgsql-status HS:alone)",
     "crm_resource --why --resource cfpgsql --node hub2"),
    (status(1, "DISCONNECT"), "REPL_STOPPED", "hub2", "hub2 does not stream (cfpgsql-status DISCONNECT)", "tail"),
    (status(1, None), "REPL_STOPPED", "hub2", "hub2 does not stream (no cfpgsql-status)", "tail"),
    (instance_gone("hub2"), "REPL_STOPPED", "hub2",
     "hub2 does not stream (cfpgsql-status HS:async, and cfpgsql does not "
     "run there)", "crm_resource --why --resource cfpgsql --node hub2"),
    (address_on(), "ADDRESS_NOT_WITH_PRIMARY", "all",
     "shared address 192.168.100.100 is on no hub, the active hub is hub1",
     "crm_resource --why --resource cfvirtip"),
    (address_on("hub2"), "ADDRESS_NOT_WITH_PRIMARY", "all",
     "shared address 192.168.100.100 is on hub2, the active hub is hub1", "crm_resource --why --resource cfvirtip"),
    (address_on("hub1", "hub2"), "ADDRESS_NOT_WITH_PRIMARY", "all",
     "shared address 192.168.100.100 is on hub1 and hub2, the active hub is hub1", "crm_resource --why"),
    (device_stopped, "RESOURCE_DOWN", "all", "fencing device fence-hub1 does not run",
     "crm_resource --why --resource fence-hub1"),
    (failed, "RESOURCE_FAILED", "hub2", "cfpgsql failed on hub2 (start): no WAL", CLEANUP),
    (failed_silently, "RESOURCE_FAILED", "hub1", "cfvirtip failed on hub1 (monitor): no reason given",
     "mend the cause, then: crm_resource --cleanup --resource cfvirtip --node hub1"),
    (counted("cfpgsql", "hub2", 1000000), "RESOURCE_FAILED", "hub2", "cfpgsql has failed so often on hub2 that it may "
     "not run there (fail-count INFINITY, migration-threshold 1)", CLEANUP),
    (counted("cfpgsql", "hub2", 3, 3), "RESOURCE_FAILED", "hub2", "cfpgsql has failed so often on hub2 that it may not "
     "run there (fail-count 3, migration-threshold 3)", CLEANUP),
    (counted("cfpgsql", "hub2", 1000000, None), "RESOURCE_FAILED", "hub2",
     "cfpgsql has failed so often on hub2 that it "
     "may not run there (fail-count INFINITY, migration-threshold INFINITY)", CLEANUP),
    (blocked, "RESOURCE_FAILED", "all", "cfpgsql is blocked: pacemaker does nothing with it any more",
     "crm_resource --why --resource cfpgsql"),
    (cut, "LINK_DOWN", "hub1", "link 1 between hub1 (where this is seen) and hub2 is down", "of either hub"),
    (lambda cluster: (cut(cluster), cluster["links"][1]["peers"]["hub2"].update(address="192.168.0.11")), "LINK_DOWN",
     "hub1", "link 1 between hub1 (where this is seen) and hub2 is down (192.168.0.10 to 192.168.0.11)", "both hubs: "),
    (lambda cluster: cluster["links"][0].update(peers={}), "LINK_DOWN", "hub1", "link 0 of hub1 reaches no other hub",
     "corosync-cfgtool -n"),
    (lambda cluster: cluster.update(links=[]), "LINK_DOWN", "all", "corosync does not say how its links are",
     "corosync-cfgtool -s"),
    # hands off
    (set_meta("cfpgsql", "is-managed", "false"), "RESOURCE_UNMANAGED", "all",
     "cfpgsql is not managed by the cluster (is-managed=false)",
     "crm_resource --resource cfpgsql --meta --delete-parameter is-managed"),
    (set_meta("cfpgsql", "is-managed", "No", "mscfpgsql"), "RESOURCE_UNMANAGED", "all",
     "cfpgsql is not managed by the cluster (is-managed=No)",
     "crm_resource --resource mscfpgsql --meta --delete-parameter is-managed"),
    (set_meta("cfvirtip", "is-managed", "0", "cfengine"), "RESOURCE_UNMANAGED", "all",
     "cfvirtip is not managed by the cluster (is-managed=0)",
     "crm_resource --resource cfengine --meta --delete-parameter is-managed"),
    (set_meta("cfvirtip", "maintenance", "on"), "RESOURCE_UNMANAGED", "all",
     "cfvirtip is not managed by the cluster (maintenance=on)",
     "crm_resource --resource cfvirtip --meta --delete-parameter maintenance"),
    (unmanaged("cfpgsql"), "RESOURCE_UNMANAGED", "all", "cfpgsql is not managed by the cluster (is-managed=false)",
     "crm_resource --resource cfpgsql --meta"),
    (set_meta("cfpgsql", "target-role", "Stopped", "mscfpgsql"), "RESOURCE_STOPPED", "all",
     "cfpgsql is to be stopped (target-role=Stopped)",
     "crm_resource --resource mscfpgsql --meta --delete-parameter target-role"),
    (target_role("cfpgsql", "stopped"), "RESOURCE_STOPPED", "all", "cfpgsql is to be stopped (target-role=stopped)",
     "crm_resource --resource cfpgsql --meta --delete-parameter target-role"),
    (set_meta("cfpgsql", "target-role", "Slave", "mscfpgsql"), "RESOURCE_STOPPED", "all",
     "cfpgsql is to be promoted nowhere (target-role=Slave)",
     "--resource mscfpgsql --meta --delete-parameter target-role"),
    (target_role("cfpgsql", "Unpromoted"), "RESOURCE_STOPPED", "all",
     "cfpgsql is to be promoted nowhere (target-role=Unpromoted)", "--delete-parameter target-role"),
    (set_meta("cfvirtip", "target-role", "Stopped", "cfengine"), "RESOURCE_STOPPED", "all",
     "cfvirtip is to be stopped (target-role=Stopped)",
     "crm_resource --resource cfengine --meta --delete-parameter target-role"),
    # bans
    (location("cli-ban-mscfpgsql-on-hub2", promoted_only=True), "BAN_LEFT", "hub2",
     "constraint cli-ban-mscfpgsql-on-hub2 keeps mscfpgsql promoted off hub2 (score -INFINITY)", CLEAR),
    (location("cli-prefer-mscfpgsql", where="hub1", score="INFINITY"), "BAN_LEFT", "hub1",
     "constraint cli-prefer-mscfpgsql ties mscfpgsql to hub1 (score INFINITY)", CLEAR),
    (location("cli-prefer-cfengine", "cfengine", "hub1", "INFINITY"), "BAN_LEFT", "hub1",
     "constraint cli-prefer-cfengine ties cfengine to hub1 (score INFINITY)",
     "crm_resource --clear --resource cfengine"),
    (location("cli-ban-cfvirtip-on-hub2", "cfvirtip", score="-5"), "BAN_LEFT", "hub2",
     "constraint cli-ban-cfvirtip-on-hub2 keeps cfvirtip off hub2 (score -5)",
     "crm_resource --clear --resource cfvirtip"),
    (location("avoid", "cfpgsql"), "BAN_LEFT", "hub2", "constraint avoid keeps cfpgsql off hub2 (score -INFINITY)",
     "cibadmin --delete --xml-text '<rsc_location id=\"avoid\"/>'"),
    (location("avoid", "cfengine", score="-1000000"), "BAN_LEFT", "hub2",
     "constraint avoid keeps cfengine off hub2 (score -1000000)", "cibadmin --delete"),
    (location("loves", "cfvirtip", "hub1", "+INFINITY"), "BAN_LEFT", "hub1",
     "constraint loves ties cfvirtip to hub1 (score +INFINITY)", "cibadmin --delete"),
    (location("pattern", None, pattern="^ms"), "BAN_LEFT", "hub2",
     "constraint pattern keeps mscfpgsql off hub2 (score -INFINITY)", "cibadmin --delete"),
    (location("unread", None, pattern="(["), "BAN_LEFT", "hub2", "constraint unread keeps cfpgsql off hub2",
     "cibadmin"),
    (location("everywhere", where=None), "BAN_LEFT", "all", "constraint everywhere keeps mscfpgsql off a hub",
     "cibadmin --delete"),
    (location("by-attribute", score="pingd"), "BAN_LEFT", "hub2", "constraint by-attribute keeps mscfpgsql off hub2 "
     "(score pingd)", "cibadmin --delete"),
    (active_ban("ping-rule"), "BAN_LEFT", "hub2", "constraint ping-rule keeps mscfpgsql off hub2 (score -1000000)",
     "cibadmin --delete"),
]


@pytest.mark.parametrize("change, code, host, problem, remedy", ONE_OF_THE_CLUSTER)
def test_one_problem_of_the_cluster(change, code, host, problem, remedy):
    found = of_cluster(change)
    assert [item[:2] for item in found] == [(code, host)]
    assert found[0][2].startswith(problem) and remedy in found[0][3]


@pytest.mark.parametrize("change", [
    status(1, "HS:sync"),
    option("maintenance-mode", "false"), option("maintenance-mode", "no"), option("maintenance-mode", "OFF"),
    option("maintenance-mode", "maybe"), option("maintenance-mode", "maybe", "false"),
    option("no-quorum-policy", "stop"), option("no-quorum-policy", "freeze"), option("stop-all-resources", "n"),
    set_meta("cfpgsql", "is-managed", "true"), set_meta("cfpgsql", "maintenance", "false"),
    set_meta("cfpgsql", "target-role", "Started", "mscfpgsql"), set_meta("cfpgsql", "target-role", "Master"),
    target_role("cfpgsql", "Promoted"), target_role("cfvirtip", "Started"), set_meta("cfvirtip", "target-role",
                                                                                     "Slave"),
    counted("cfpgsql", "hub2", 2, 3), counted("cfpgsql", "hub2", 999999, None), counted("cfpgsql", "hub2", 5, 0),
    location("fence-hub1-not-on-target", "fence-hub1", "hub1"), location("cfpgsql-not-forked"),
    location("cfpgsql-not-given-up"), location("cfpgsql-with-clients", where=None, score="10000", conditional=True),
    active_ban("cfpgsql-not-forked"),
    location("cli-ban-web-on-hub2", "web"), location("site", "web"), location("mild", score="-100"),
    location("mild", score="100"), location("empty", None), location("pattern", None, pattern="^web"),
    location("ping", where=None, conditional=True), active_ban("ping", score="-100"), active_ban("site", "web"),
    attribute(0, "hub_ha-clients", "1"), attribute(1, "hub_ha-clients", ""), attribute(1, "hub_ha-guard", "running"),
    device, device_for("hub1", known=False), option("fencing-enabled", "no", "false"), option("stonith-enabled", "OFF"),
    unmanaged(), lambda cluster: cluster.update(bans=None, locations=None, fail_counts=None)])
def test_no_problem_of_the_cluster(change):
    assert of_cluster(change) == []


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "yes", "Yes", "y", "Y", "on", "ON", "1"])
def test_maintenance_mode_however_it_is_spelt(word):
    assert [item[0] for item in of_cluster(option("maintenance-mode", word))] == ["CLUSTER_MAINTENANCE"]


def test_what_pacemaker_says_goes_before_what_the_cib_reads():
    """It knows which of several sets and rules holds."""
    assert [item[0] for item in of_cluster(option("maintenance-mode", "no", "true"))] == ["CLUSTER_MAINTENANCE"]
    assert of_cluster(option("maintenance-mode", "yes", "false")) == []


def test_maintenance_is_said_once_and_hides_nothing_that_stays_after_it():
    """crm_mon shows every resource unmanaged then; one that is unmanaged by itself will be so afterwards too."""
    everything = (option("maintenance-mode", "yes"), unmanaged("cfpgsql", "cfvirtip"))
    assert [item[0] for item in of_cluster(*everything)] == ["CLUSTER_MAINTENANCE"]
    assert [item[0] for item in of_cluster(*everything, set_meta("cfvirtip", "is-managed", "false"))] == [
        "CLUSTER_MAINTENANCE", "RESOURCE_UNMANAGED"]
    found = of_cluster(node(1, maintenance=True), unmanaged("cfpgsql"))
    assert [item[:2] for item in found] == [("RESOURCE_UNMANAGED", "hub2")]


def test_what_the_defaults_say_holds_for_all():
    changes = [set_meta(name, "is-managed", "false", "rsc_defaults") for name in ("cfpgsql", "cfvirtip")]
    assert of_cluster(*changes) == [(
        "RESOURCE_UNMANAGED", "all", "cfpgsql and cfvirtip are not managed by the cluster (is-managed=false)",
        "crm_attribute --type rsc_defaults --name is-managed --delete")]


def test_a_stopped_database_is_told_once():
    """Not also as a standby that does not stream, and an address that is with nobody."""
    found = of_cluster(set_meta("cfpgsql", "target-role", "Stopped", "mscfpgsql"), instance_gone("hub1"),
                       instance_gone("hub2"), status(0, None), status(1, None))
    assert [item[0] for item in found] == ["RESOURCE_STOPPED", "NO_PRIMARY", "ADDRESS_NOT_WITH_PRIMARY"]


def test_a_stopped_address_is_told_once():
    found = of_cluster(set_meta("cfvirtip", "target-role", "Stopped", "cfengine"), address_on())
    assert [item[0] for item in found] == ["RESOURCE_STOPPED"]


def test_fencing_devices():
    assert of_cluster(device) == []
    assert [item[:1] + item[2:3] for item in of_cluster(device, set_meta("fence-hub1", "is-managed", "false"))] == [
        ("RESOURCE_UNMANAGED", "fence-hub1 is not managed by the cluster (is-managed=false)")]
    found = of_cluster(device_stopped, set_meta("fence-hub1", "target-role", "Stopped"))
    assert [item[0] for item in found] == ["RESOURCE_STOPPED"]
    assert of_cluster(device_stopped, option("stonith-enabled", "false", "false")) == []
    found = of_cluster(device, location("cli-ban-fence-hub1-on-hub2", "fence-hub1"))
    assert [item[0] for item in found] == ["BAN_LEFT"]
    assert of_cluster(device, location("operators-choice", "fence-hub1", "hub1")) == []


@pytest.mark.parametrize("word", ["true", "True", "yes", "Y", "on", "ON", "1"])
def test_fencing_without_device_however_it_is_spelt(word):
    """In the CIB, when pacemaker says nothing of it."""
    found = of_cluster(option("stonith-enabled", word))
    assert [item[0] for item in found] == ["FENCING_WITHOUT_DEVICE"] and "(stonith-enabled=%s)" % word in found[0][2]


def test_a_device_for_each_hub():
    assert of_cluster(device_for("hub1"), device_for("hub2", name="fence-hub2")) == []
    assert of_cluster(device_for("hub1"), device_for(name="fence-any", known=False)) == []
    found = of_cluster(device_for("web"), device_for(name="fence-none"))
    assert [item[:2] for item in found] == [("FENCING_WITHOUT_DEVICE", "hub1"), ("FENCING_WITHOUT_DEVICE", "hub2")]
    assert "(fence-hub1: web; fence-none: nobody)" in found[0][2]
    # What an older cib_info has not told is not known.
    assert of_cluster(device_for("hub1"), lambda cluster: cluster.pop("fencing_devices")) == []
    # One that is not configured any more fences nobody.
    found = of_cluster(device, lambda cluster: cluster["resources"]["fence-hub1"].update(orphaned=True))
    assert [item[:2] for item in found] == [("FENCING_WITHOUT_DEVICE", "all")]
    assert "FENCING_WITHOUT_DEVICE" not in checks.PASSING, "waiting brings none"


@pytest.mark.parametrize("have, name, limit, healthy", [
    ("true", "stonith-watchdog-timeout", "10s", True), ("yes", "fencing-watchdog-timeout", "-1", True),
    ("true", "stonith-watchdog-timeout", "0", False), ("true", "stonith-watchdog-timeout", "0s", False),
    ("false", "stonith-watchdog-timeout", "10", False), ("true", "other", "10", False)])
def test_watchdogs_instead_of_devices(have, name, limit, healthy):
    found = of_cluster(option("stonith-enabled", "true"), option("have-watchdog", have), option(name, limit))
    assert [item[0] for item in found] == ([] if healthy else ["FENCING_WITHOUT_DEVICE"])


def test_a_guard_that_has_just_been_started_has_told_nothing_yet():
    """And what it has told before is worth waiting for: it may be old."""
    cluster = pair.cluster_state()
    assert not any(name.startswith("hub_ha-") for item in cluster["nodes"] for name in item["attributes"])
    assert checks.cluster_problems(cluster, the_plan()) == []
    for change in (attribute(0, "hub_ha-clients", "0"), attribute(1, "hub_ha-guard", "gone")):
        change(cluster)
    found = [item.to_dict() for item in checks.cluster_problems(cluster, the_plan())]
    assert [item["code"] for item in found] == ["CLIENTS_CUT", "GUARD_GONE"] and checks.may_pass(found)


def test_our_own_constraints_are_no_bans():
    """Whatever the CIB that we want comes to hold."""
    devices = [{"id": "fence-hub1", "agent": "fence_ipmilan", "hub": "hub1"}]
    wanted = wanted_cib.wanted_cib(the_plan(), {
        "fencing": devices, "user": "hub_ha", "sslmode": "require", "monitor_primary": "3s", "monitor_standby": "4s",
        "operation_timeout": "120s", "start_timeout": "300s"}, pair.running_pair()["hub1"]["hub"]["cluster"])
    assert len(wanted["locations"]) > 1
    for item in wanted["locations"]:
        for change in (location(item["id"], item["rsc"]), active_ban(item["id"], item["rsc"])):
            assert of_cluster(device, change) == []


def test_a_ban_by_a_rule_is_the_constraint_around_the_rule():
    """What pacemaker calls it nobody can delete; the others' rules may be called anything, our constraints' too."""
    rule = location("site", where=None, conditional=True, rule="cfpgsql-not-forked-rule")
    assert of_cluster(rule, active_ban("cfpgsql-not-forked-rule")) == [(
        "BAN_LEFT", "hub2", "constraint site keeps mscfpgsql off hub2 (score -1000000)",
        "cibadmin --delete --xml-text '<rsc_location id=\"site\"/>'")]
    own = location("cfpgsql-not-forked", where=None, conditional=True, rule="anything")
    assert of_cluster(own, active_ban("anything")) == []
    assert of_cluster(active_ban("cfpgsql-not-given-up-rule")) == [], "gone since pacemaker was asked"


def test_a_ban_is_told_once_however_often_it_is_seen():
    ban = {"id": "cli-ban-mscfpgsql-on-hub2", "resource": "mscfpgsql", "node": "hub2", "score": "-INFINITY",
           "promoted_only": False}
    found = of_cluster(location(ban["id"]), active_ban(ban["id"]), lambda cluster: cluster["bans"].append(ban),
                       location("cli-prefer-cfengine", "cfengine", "hub1", "INFINITY"))
    assert [item[2].split()[1] for item in found] == [ban["id"], "cli-prefer-cfengine"]
    assert [item[0] for item in of_cluster(lambda cluster: cluster["bans"].append(ban))] == ["BAN_LEFT"]


def test_every_failure_that_pacemaker_counts_is_told_once():
    """Listed, or only counted: one line for each resource and hub."""
    def both(cluster):
        failed(cluster)
        cluster["fail_counts"]["cfvirtip"] = {"hub1": 1, "hub2": 1}
    found = of_cluster(both)
    assert [(item[1], item[2].split()[0]) for item in found] == [
        ("hub2", "cfpgsql"), ("hub1", "cfvirtip"), ("hub2", "cfvirtip")]


def test_fork_without_details():
    found = of_cluster(lambda cluster: cluster["nodes"][1]["attributes"].update({"hub_ha-forked": ""}))
    assert found[0][0] == "FORKED" and "(no details)" in found[0][2]


def test_standby_that_failed_to_start():
    """Only while it does not run: a failure of before that was got over is no reason to do anything."""
    cluster = pair.cluster_state()
    assert checks.failed_standby(cluster, the_plan()) is False
    failed(cluster)
    assert checks.failed_standby(cluster, the_plan()) is False
    cluster["resources"]["cfpgsql"]["instances"] = [{"node": "hub1", "active": True}, {"node": None, "active": False}]
    assert checks.failed_standby(cluster, the_plan()) is True
    cluster["failures"][0]["node"] = "hub1"
    assert checks.failed_standby(cluster, the_plan()) is False


def test_hub_that_is_in_no_cluster():
    def gone(cluster):
        del cluster["nodes"][1]
    assert [item[:3] for item in of_cluster(gone)] == [
        ("HUB_DOWN", "hub2", "hub2 is not in the cluster")]


def links_cut(cluster):
    for link in cluster["links"]:
        link["peers"]["hub2"]["connected"] = False


@pytest.mark.parametrize("change, code", [
    (node(1, online=False), "HUB_DOWN"), (node(1, unclean=True), "HUB_DOWN"), (node(1, standby=True), "HUB_STANDBY"),
    (forked, "FORKED"), (attribute(1, "hub_ha-gave_up", "3"), "RESOURCE_GIVEN_UP"),
    (location("avoid", "cfpgsql"), "BAN_LEFT"), (location("cli-ban-mscfpgsql-on-hub2"), "BAN_LEFT")])
def test_what_follows_from_another_problem_is_left_out(change, code):
    """Nothing streams to a database that is kept from running; only a hub that is away explains its links."""
    found = of_cluster(change, status(1, None), instance_gone("hub2"), links_cut)
    assert [item[0] for item in found] == [code] + (["LINK_DOWN"] * 2 if code != "HUB_DOWN" else [])


@pytest.mark.parametrize("change", [
    location("cli-ban-mscfpgsql-on-hub2", promoted_only=True), location("avoid", "cfvirtip"),
    location("cli-ban-mscfpgsql-on-hub1", where="hub1"), given_up])
def test_what_has_another_cause_is_told(change):
    """A database that may run there and not be promoted does stream, and so does one beside an address that may not."""
    assert "REPL_STOPPED" in [item[0] for item in of_cluster(change, status(1, None))]


def test_a_link_is_named_from_the_end_that_sees_it():
    """Found by the active hub, which asks corosync."""
    def other(cluster):
        cluster["links"] = [{"id": 0, "address": "10.0.0.2",
                             "peers": {"hub1": {"connected": False, "address": "10.0.0.1"}}}]
    assert of_cluster(other, active="hub2") == [(
        "LINK_DOWN", "hub2", "link 0 between hub2 (where this is seen) and hub1 is down (10.0.0.2 to 10.0.0.1)",
        "on both hubs: corosync-cfgtool -n; mend cable, interface or firewall of that network, of either hub")]


def test_two_active_hubs():
    found = of_cluster(status(1, "PRI"))
    assert [item[0] for item in found] == ["TWO_PRIMARIES", "ADDRESS_NOT_WITH_PRIMARY"]
    assert found[0][2].startswith("2 hubs are active: hub1 and hub2") and "systemctl stop pacemaker" in found[0][3]
    assert "is on hub1, the active hub is hub1 and hub2" in found[1][2]

    def promoted(cluster):
        cluster["resources"]["cfpgsql"]["instances"][1]["role"] = "Promoted"
    assert of_cluster(promoted)[0][0] == "TWO_PRIMARIES", "by pacemaker's word, whatever the agent's attribute says"


def test_no_active_hub():
    found = of_cluster(status(0, None), status(1, None))
    assert [item[0] for item in found] == ["NO_PRIMARY", "REPL_STOPPED"]
    assert found[0][2] == "0 hubs are active (cfpgsql-status unknown, promoted hub1)"

    def demoted(cluster):
        cluster["resources"]["cfpgsql"]["instances"][0]["role"] = "Unpromoted"
    found = of_cluster(demoted)
    assert [item[0] for item in found] == ["NO_PRIMARY"], "an attribute that is left over does not make a primary"
    found = of_cluster(demoted, status(0, None), address_on())
    assert found[-1][2].endswith("is on no hub, the active hub is none") or found[0][0] == "NO_PRIMARY"


def test_all_problems_at_once():
    found = of_cluster(lambda cluster: cluster.update(quorate=False), node(1, online=False), status(1, None), cut,
                       failed)
    assert [item[0] for item in found] == ["NO_QUORUM", "HUB_DOWN", "RESOURCE_FAILED"]
    found = of_cluster(lambda cluster: cluster.update(quorate=False), status(1, None), cut, failed)
    assert [item[0] for item in found] == ["NO_QUORUM", "REPL_STOPPED", "RESOURCE_FAILED", "LINK_DOWN"]


def test_a_hub_that_has_another_name_in_the_inventory():
    """Problems name the inventory's host, commands the cluster's node."""
    made = dict(the_plan(), nodes={"one": "hub1", "two": "hub2"}, active="one", passive="two",
                slots={"two": "hub_ha_hub2"})
    cluster = pair.cluster_state()
    for change in (node(1, standby=True), failed, cut, location("cli-ban-mscfpgsql-on-hub2")):
        change(cluster)
    found = checks.cluster_problems(cluster, made)
    assert [item.host for item in found] == ["two", "two", "two", "one"], "a link is seen from the active hub"
    assert [item.remedy for item in found if item.code == "HUB_STANDBY"] == ["crm_standby --node hub2 --delete"]


def test_nothing_known_is_not_healthy():
    """A cluster that runs and says nothing more."""
    codes = [item[0] for item in of_cluster(lambda cluster: [cluster.clear(), cluster.update(running=True)])]
    assert codes == ["NO_QUORUM", "HUB_DOWN", "HUB_DOWN", "FENCING_WITHOUT_DEVICE", "NO_PRIMARY", "LINK_DOWN"]
    assert [item[0] for item in of_cluster(lambda cluster: cluster.clear())] == ["CLUSTER_DOWN"]


def test_resources_that_do_not_exist_are_on_no_node():
    assert checks.started_on({}, "cfvirtip") == []
    cluster = pair.cluster_state()
    cluster["resources"]["cfvirtip"]["instances"][0]["active"] = False
    assert checks.started_on(cluster, "cfvirtip") == []


# --- the guard ------------------------------------------------------------------------------------------------------

def test_guard():
    assert checks.guard_problems({}) == []
    assert checks.guard_problems({"hub1": {"active": "active"}, "hub2": {"active": "active"}}) == []
    for unit, word in (({"active": "failed"}, "failed"), ({"active": "inactive"}, "inactive"),
                       ({"active": "activating"}, "activating"), ({}, "in an unknown state"),
                       (None, "in an unknown state")):
        found = checks.guard_problems({"hub1": {"active": "active"}, "hub2": unit})
        assert [(item.code, item.host) for item in found] == [("GUARD_DEAD", "hub2")]
        assert "cfengine-hub-ha-guard.service is %s:" % word in found[0].problem
        assert "systemctl start cfengine-hub-ha-guard.service" in found[0].remedy


def told(**values):
    """What `hub-ha status --json` prints of a guard that watches."""
    return json.dumps(dict({
        "running": True, "age": 0.4, "phase": "watch", "armed": True, "reason": "",
        "daemons": {"corosync": "running", "pacemakerd": "running"},
        "corosync": {"connected": True, "silent": 0.1}}, **values))


NO_DAEMONS = {"corosync": "gone", "pacemakerd": "gone"}


@pytest.mark.parametrize("status, pacemaker, code, problem, remedy", [
    (told(running=False, age=None), "active", "GUARD_DEAD", "has told nothing of itself: ", "systemctl restart"),
    (told(running=False, age=12.5), "active", "GUARD_DEAD", "has told nothing of itself for 12.5 s: ", "journalctl -u"),
    ("", "active", "GUARD_DEAD", "has told nothing of itself: ", "systemctl restart cfengine-hub-ha-guard.service"),
    ("usage: hub-ha", "active", "GUARD_DEAD", "has told nothing of itself: ", "systemctl restart"),
    ("[]", "active", "GUARD_DEAD", "has told nothing of itself: ", "systemctl restart"),
    (told(phase="recover", reason="corosync is gone", daemons=NO_DAEMONS, corosync={"connected": False}), "failed",
     "GUARD_RECOVERS", "starts this hub's cluster daemons again (corosync is gone)", "journalctl -u corosync"),
    (told(phase="recover"), "active", "GUARD_RECOVERS", "(no reason given)", "hub-ha status"),
    (told(armed=False, daemons=NO_DAEMONS), "active", "GUARD_UNARMED",
     "pacemaker runs, and the guard does not see it (pacemakerd gone)", "systemctl restart"),
    (told(armed=False), "", "GUARD_UNARMED", "does not see it (pacemakerd running)", "systemctl restart"),
    (told(corosync={"connected": False}), "active", "GUARD_UNCONNECTED", "is not connected to corosync", "restart"),
    (told(corosync={"connected": False}, daemons={"corosync": "running"}, armed=False), "inactive",
     "GUARD_UNCONNECTED", "is not connected to corosync", "hub-ha status")])
def test_guard_that_does_not_watch(status, pacemaker, code, problem, remedy):
    unit = {"active": "active", "pacemaker": pacemaker, "status": status}
    found = checks.guard_problems({"hub1": {"active": "active"}, "hub2": unit})
    assert [(item.code, item.host) for item in found] == [(code, "hub2")]
    assert problem in found[0].problem and remedy in found[0].remedy
    assert code in checks.PASSING, "a guard that has just been started comes to that by itself"


@pytest.mark.parametrize("status, pacemaker", [
    (told(), "active"), (json.loads(told()), "active"),
    # Pacemaker was stopped: what is said then is that the hub is offline.
    (told(armed=False, daemons=NO_DAEMONS, corosync={"connected": False}), "inactive"),
    (told(armed=False, daemons={"corosync": "running", "pacemakerd": "gone"}), "inactive"),
    # An older guard says less.
    ('{"running": true}', "active"), ('{"running": true, "daemons": null, "corosync": null}', "active")])
def test_guard_that_watches_or_has_nothing_to_watch(status, pacemaker):
    assert checks.guard_problems({"hub1": {"active": "active", "pacemaker": pacemaker, "status": status}}) == []


def test_guard_that_is_dead_and_not_armed_is_told_once():
    unit = {"active": "failed", "pacemaker": "active", "status": told(running=False, armed=False)}
    assert [item.code for item in checks.guard_problems({"hub1": unit})] == ["GUARD_DEAD"]


def test_files_of_the_pair():
    whole = [{"path": checks.PAIR_FILE, "size": 900}, {"path": checks.AGENT_CONF, "size": 200}]
    assert checks.file_problems({}) == [] and checks.file_problems({"hub1": whole, "hub2": whole}) == []
    for there, codes in ((whole[:1], ["AGENT_CONF"]), (whole[1:], ["PAIR_FILE"]), ([], ["PAIR_FILE", "AGENT_CONF"]),
                         ([dict(whole[0], size=0), whole[1]], ["PAIR_FILE"])):
        found = checks.file_problems({"hub1": whole, "hub2": there})
        assert [(item.code, item.host) for item in found] == [(code, "hub2") for code in codes]
        assert all(item.problem.startswith("/etc/cfengine-hub-ha/") and item.remedy.endswith("upgrade-to-ha.yml")
                   for item in found)
    assert not checks.PASSING & {"PAIR_FILE", "AGENT_CONF"}, "waiting brings none of them"


# --- the database ---------------------------------------------------------------------------------------------------

def primary(**values):
    return lambda found: found["hub1"].update(values)


def standby(**values):
    return lambda found: found["hub2"].update(values)


def sender(**values):
    return lambda found: found["hub1"]["senders"][0].update(values)


def slot(**values):
    return lambda found: found["hub1"]["slots"][0].update(values)


def lower(**values):
    return lambda found: found["hub2"]["not_lower"].update(values)


def archiver(host, failing):
    return lambda found: found[host].update(archiver={
        "failing": failing, "last_failed_wal": "000000010000000000000007",
        "last_failed_time": "2026-11-29T04:00:00+00:00",
        "last_archived_wal": None, "last_archived_time": None})


RESUME = "psql -X -d postgres -c 'SELECT pg_wal_replay_resume()'"
ONE_OF_REPLICATION = [
    (standby(role="stopped"), "REPL_STOPPED", "hub2", "PostgreSQL on hub2 is stopped, not standby", "crm_mon"),
    (standby(role=None), "REPL_STOPPED", "hub2", "PostgreSQL on hub2 is in an unknown state, not standby", "crm_mon"),
    (primary(role="stopped"), "NO_PRIMARY", "hub1", "PostgreSQL on hub1 is stopped, not primary", "crm_mon"),
    (primary(role="standby"), "NO_PRIMARY", "hub1", "PostgreSQL on hub1 is standby, not primary", "crm_mon"),
    (standby(role="primary"), "TWO_PRIMARIES", "all", "PostgreSQL on hub1 and on hub2 is primary",
     "systemctl stop pacemaker corosync"),
    (standby(system_identifier=pair.OTHER_SYSTEM), "OTHER_SYSTEM", "all",
     "the hubs hold different databases (system identifiers differ)", "Clone it anew"),
    (primary(senders=[]), "REPL_STOPPED", "hub2", "hub1 does not stream to hub2 (no connection)",
     "pg_stat_wal_receiver"),
    (primary(senders=None), "REPL_STOPPED", "hub2", "hub1 does not stream to hub2 (no connection)", "tail"),
    (sender(state="catchup"), "REPL_STOPPED", "hub2", "hub1 does not stream to hub2 (catchup)", "tail"),
    (sender(application_name="backup"), "REPL_STOPPED", "hub2", "hub1 does not stream to hub2 (no connection)", "tail"),
    (sender(ssl=False), "REPL_NOT_ENCRYPTED", "hub2", "replication is not encrypted", "hub_ha_sslmode"),
    (sender(ssl=None), "REPL_NOT_ENCRYPTED", "hub2", "replication is not encrypted", "hub_ha_sslmode"),
    (sender(lag_bytes=(64 << 20) + 1), "REPL_LAG", "hub2", "hub2 is 64.0 MB behind", "wait"),
    (sender(lag_bytes=None), "REPL_LAG", "hub2", "how far hub2 is behind is not known: it has replayed nothing yet",
     "wait"),
    (primary(slots=[]), "SLOT_MISSING", "hub1", "replication slot hub_ha_hub2 is missing",
     "SELECT pg_create_physical_replication_slot('hub_ha_hub2', true)"),
    (primary(slots=None), "SLOT_MISSING", "hub1", "replication slot hub_ha_hub2 is missing", "pg_create_physical"),
    (slot(active=False), "SLOT_MISSING", "hub1", "replication slot hub_ha_hub2 is not in use", "pg_stat_wal_receiver"),
    (slot(active=False, wal_status="lost"), "SLOT_LOST", "hub1", "replication slot hub_ha_hub2 is lost",
     "Clone it anew"),
    (slot(wal_status="lost"), "SLOT_LOST", "hub1", "replication slot hub_ha_hub2 is lost", "Clone it anew"),
    (standby(replay_paused=True), "REPLAY_PAUSED", "hub2", "replay is paused", RESUME),
    (standby(replay_paused=None), "REPLAY_PAUSED", "hub2", "whether replay is paused is not known",
     "pg_is_wal_replay_paused"),
    (lower(max_connections=99), "STANDBY_SETTING_LOWER", "hub2", "max_connections is 99, lower than 100 on hub1",
     'psql -X -d postgres -c "ALTER SYSTEM SET max_connections = 100"'),
    (lower(max_locks_per_transaction=None), "STANDBY_SETTING_LOWER", "hub2",
     "max_locks_per_transaction is unknown, lower than 64",
     "ALTER SYSTEM SET max_locks_per_transaction = 64"),
    (primary(not_lower={}), "STANDBY_SETTING_LOWER", "hub1", "its settings are not known", "SHOW max_connections"),
    (archiver("hub1", True), "ARCHIVER_FAILING", "hub1",
     "archive_command fails since 2026-11-29T04:00:00+00:00 (WAL file 000000010000000000000007)", "pg_stat_archiver"),
    (archiver("hub2", True), "ARCHIVER_FAILING", "hub2", "archive_command fails since", "pg_stat_archiver"),
]


@pytest.mark.parametrize("change, code, host, problem, remedy", ONE_OF_REPLICATION)
def test_one_problem_of_replication(change, code, host, problem, remedy):
    found = of_database(change)
    assert [item[:2] for item in found] == [(code, host)]
    assert found[0][2].startswith(problem) and remedy in found[0][3]


@pytest.mark.parametrize("change", [
    sender(lag_bytes=64 << 20), sender(lag_bytes=0), slot(wal_status="extended"), slot(wal_status=None),
    lower(max_connections=101), archiver("hub1", False), archiver("hub2", False), primary(replay_paused=None)])
def test_no_problem_of_replication(change):
    assert of_database(change) == []


def test_a_limit_of_zero_and_one_given_as_text():
    assert of_database(sender(lag_bytes=0), most=0) == []
    assert [item[0] for item in of_database(sender(lag_bytes=1), most=0)] == ["REPL_LAG"]
    assert of_database(sender(lag_bytes=1 << 20), most="1") == []


@pytest.mark.parametrize("name", sorted(pair.NOT_LOWER))
def test_every_setting_that_must_not_be_lower_is_compared(name):
    found = of_database(lower(**{name: pair.NOT_LOWER[name] - 1}))
    assert [item[0] for item in found] == ["STANDBY_SETTING_LOWER"] and found[0][2].startswith(name)


def test_replay_that_postgresql_has_paused_itself():
    """To resume it would end the server: the settings come first."""
    found = of_database(standby(replay_paused=True), lower(max_connections=50))
    assert [item[0] for item in found] == ["REPLAY_PAUSED", "STANDBY_SETTING_LOWER"]
    assert "Do not resume it" in found[0][3] and "pg_wal_replay_resume" not in found[0][3]
    assert "crm_standby --node hub2 --update on; crm_resource --wait; crm_standby --node hub2 --delete" in found[1][3]


def test_roles_that_have_moved_while_the_play_ran():
    found = of_database(primary(role="standby", senders=[]), standby(role="primary"))
    assert [item[:2] for item in found[:2]] == [("ROLES_MOVED", "hub1"), ("ROLES_MOVED", "hub2")]
    assert "playbooks/upgrade-to-ha.yml" in found[0][3]


def test_both_hubs_recover():
    found = of_database(primary(role="standby"))
    assert [item[0] for item in found] == ["NO_PRIMARY"]


def test_one_hub_alone_says_what_it_knows():
    found = pair.replication_state()
    for host in found:
        assert checks.replication_problems({host: found[host]}, the_plan(), 64) == []
    sender(lag_bytes=(64 << 20) + 1)(found)
    standby(role="stopped")(found)
    assert [item.problem for item in checks.replication_problems({"hub1": found["hub1"]}, the_plan(), 64)] == [
        "hub2 is 64.0 MB behind"]
    assert [item.problem for item in checks.replication_problems({"hub2": found["hub2"]}, the_plan(), 64)] == [
        "PostgreSQL on hub2 is stopped, not standby"]


def test_a_backup_does_not_care_what_comes_after_a_failover():
    found, of = pair.replication_state(), checks.Copy.of_plan(the_plan())
    for change in (lower(max_connections=1), archiver("hub1", True)):
        change(found)
    assert checks.copy_problems(found, of, 64) == []
    standby(replay_paused=True)(found)
    assert [item.code for item in checks.copy_problems(found, of, 64)] == ["REPLAY_PAUSED"]


def test_nothing_known_of_the_database_is_not_healthy():
    codes = [item[0] for item in of_database(lambda found: found.update(hub1={}, hub2={}))]
    assert codes == ["NO_PRIMARY", "REPL_STOPPED", "REPL_STOPPED", "SLOT_MISSING"]


# --- the pair, all at once ------------------------------------------------------------------------------------------

def of_pair(*changes, **more):
    """[(code, host, problem, remedy)] of a healthy pair after these changes to ({host: what it says}, cluster)."""
    replication = pair.replication_state()
    files = [{"path": "/etc/cfengine-hub-ha/" + name, "size": 9} for name in ("pair.json", "agent.conf")]
    status = json.dumps({"running": True, "phase": "watch", "armed": True, "daemons": {"pacemakerd": "running"},
                         "corosync": {"connected": True}, "pair_file": ""})
    told = dict((host, {"files": list(files), "replication": replication[host],
                        "units": {"active": "active", "pacemaker": "active", "status": status},
                        "addresses": ["127.0.0.1"] + ["192.168.100.100"] * (host == "hub1")}) for host in replication)
    cluster = pair.cluster_state()
    for change in changes:
        change(told, cluster)
    return [(item.code, item.host, item.problem, item.remedy)
            for item in checks.pair_problems(told, cluster, dict(the_plan(), **more), 64)]


def in_cluster(change):
    return lambda told, cluster: change(cluster)


def server(host, **values):
    return lambda told, cluster: told[host]["replication"].update(values)


def server_stopped(host):
    """What replication_info says of one that does not run."""
    return server(host, role="stopped", senders=[], slots=[], not_lower={}, replay_paused=None)


def not_streaming(told, cluster):
    told["hub1"]["replication"]["senders"] = []
    told["hub1"]["replication"]["slots"][0]["active"] = False


def guard_dead(host):
    def change(told, cluster):
        told[host]["units"] = {"active": "failed", "pacemaker": "active", "status": ""}
        cluster["nodes"][1]["attributes"]["hub_ha-guard"] = "gone"
    return change


def test_a_healthy_pair():
    assert of_pair() == []


def test_four_faults_are_told_at_once():
    """And what follows from one of them, or is another word for it, is not told again."""
    found = of_pair(guard_dead("hub2"), in_cluster(location("cli-ban-cfengine-on-hub2", "cfengine")),
                    in_cluster(option("maintenance-mode", "true")), server("hub2", replay_paused=True))
    assert [item[:2] for item in found] == [
        ("GUARD_DEAD", "hub2"), ("CLUSTER_MAINTENANCE", "all"), ("BAN_LEFT", "hub2"), ("REPLAY_PAUSED", "hub2")]


def test_a_standby_that_does_not_stream_is_told_once():
    found = of_pair(in_cluster(status(1, "HS:alone")), not_streaming)
    assert [item[:2] for item in found] == [("REPL_STOPPED", "hub2")]


@pytest.mark.parametrize("change, code", [
    (node(1, online=False), "HUB_DOWN"), (node(1, standby=True), "HUB_STANDBY"), (forked, "FORKED"),
    (location("avoid", "mscfpgsql"), "BAN_LEFT")])
def test_a_hub_whose_database_rests_is_told_once(change, code):
    found = of_pair(in_cluster(change), in_cluster(status(1, None)), in_cluster(instance_gone("hub2")), not_streaming,
                    server_stopped("hub2"))
    assert [item[:2] for item in found] == [(code, "hub2")]


def test_a_slot_that_is_missing_is_told_beside_a_hub_that_is_away():
    found = of_pair(in_cluster(node(1, online=False)), not_streaming,
                    lambda told, cluster: told["hub1"]["replication"].update(slots=[]))
    assert [item[0] for item in found] == ["HUB_DOWN", "SLOT_MISSING"]
    # In use or not, it is told where the standby is there and streams.
    assert [item[0] for item in of_pair(
        lambda told, cluster: told["hub1"]["replication"]["slots"][0].update(active=False))] == ["SLOT_MISSING"]


def test_a_promoted_hub_without_a_server():
    found = of_pair(server_stopped("hub1"))
    assert found[0] == (
        "NO_PRIMARY", "hub1", "pacemaker calls hub1 promoted, and PostgreSQL does not run there (stopped)",
        "crm_resource --refresh --resource cfpgsql")
    assert [item[0] for item in found].count("NO_PRIMARY") == 1


def test_a_shared_address_that_is_not_there():
    def without(told, cluster):
        told["hub1"]["addresses"].remove("192.168.100.100")
    assert of_pair(without) == [(
        "ADDRESS_NOT_WITH_PRIMARY", "hub1", "pacemaker says that shared address 192.168.100.100 is on hub1, which does "
        "not have it", "crm_resource --refresh --resource cfvirtip")]
    assert of_pair(lambda told, cluster: told["hub1"].update(addresses=None)) == [], "not known"
    assert checks.addresses_of('[{"addr_info": [{"local": "192.0.2.1"}, {}]}, {}]') == ["192.0.2.1"]
    assert [checks.addresses_of(text) for text in (None, "", "{", "[1]", '{"a": 1}')] == [None] * 5


@pytest.mark.parametrize("changes, replication, waits", [
    ([], {"lag_bytes": None}, [True, True]), ([], {"ssl": False}, [False, False]), ([], {}, [False, False]),
    ([node(1, online=False)], {"state": "catchup"}, [False, False]),       # follows from it
    ([node(1, standby=True)], {"state": "catchup"}, [False, False]),
    ([location("mild", "cfvirtip")], {"lag_bytes": None}, [True, True]),   # has nothing to do with it
    ([attribute(1, "hub_ha-guard", "gone")], {"lag_bytes": None}, [True, False]),   # a run would have mended it before
    ([lambda cluster: cluster.update(running=False)], {"lag_bytes": None}, [True, False])])
def test_when_replication_is_asked_again_beside_the_cluster(changes, replication, waits):
    cluster, found = pair.cluster_state(), pair.replication_state()
    for change in changes:
        change(cluster)
    found["hub1"]["senders"][0].update(replication)
    assert [checks.replication_may_pass({"hub1": found["hub1"]}, cluster, the_plan(), 64, check)
            for check in (False, True)] == waits


def test_a_pair_file_that_cannot_be_read():
    def broken(told, cluster):
        status_now = json.loads(told["hub2"]["units"]["status"])
        told["hub2"]["units"]["status"] = json.dumps(dict(status_now, pair_file="x: cut"))
    found = of_pair(broken)
    assert [item[:2] for item in found] == [("PAIR_FILE", "hub2")]
    assert found[0][2].startswith("x: cut: the guard cannot")
    assert checks.UPGRADE in found[0][3]
    # Missing, it is told by one word only; of a guard that does not run too.
    found = of_pair(broken, guard_dead("hub2"), broken_files("hub2"))
    assert [item[:2] for item in found] == [("PAIR_FILE", "hub2"), ("GUARD_DEAD", "hub2")]


def broken_files(host):
    return lambda told, cluster: told[host].update(files=told[host]["files"][1:])


def test_what_was_not_asked_is_no_problem():
    """In check mode, of a pair that has yet to get its guard and files."""
    def nothing(told, cluster):
        for item in told.values():
            del item["units"], item["files"], item["addresses"]
    assert of_pair(nothing) == []


def test_a_server_that_does_not_answer_is_told_with_what_it_said():
    found = of_pair(lambda told, cluster: told["hub2"].update(
        replication={"failed": True, "msg": "runs, but does not\nanswer"}))
    assert [item[:3] for item in found if item[0] == "REPL_STOPPED"] == [
        ("REPL_STOPPED", "hub2", "PostgreSQL on hub2 is in an unknown state (runs, but does not answer), not standby")]


# --- for the roles --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", sorted(checks.STARTED_BY_A_RUN))
def test_check_mode_waits_for_nothing_that_only_a_run_starts(code):
    assert checks.may_pass([{"code": code}]) is True and checks.may_pass([{"code": code}], True) is False
    assert checks.may_pass([{"code": "REPL_LAG"}], True) is True
    assert checks.may_pass([{"code": code}, {"code": "REPL_LAG"}], True) is False


def test_what_is_worth_waiting_for():
    passing, lasting = {"code": "REPL_LAG"}, {"code": "BAN_LEFT"}
    assert checks.may_pass([passing, {"code": "HUB_DOWN"}]) is True
    assert checks.may_pass([]) is False and checks.may_pass([passing, lasting]) is False
    every = set(item[1] for item in ONE_OF_THE_CLUSTER + ONE_OF_REPLICATION) | {
        "ROLES_MOVED", "GUARD_DEAD", "GUARD_RECOVERS", "GUARD_UNARMED", "GUARD_UNCONNECTED"}
    lasting = {"HUB_STANDBY", "RESOURCE_UNMANAGED", "CLUSTER_MAINTENANCE", "RESOURCE_STOPPED", "NO_QUORUM_POLICY",
               "BAN_LEFT", "OTHER_SYSTEM", "REPL_NOT_ENCRYPTED", "SLOT_LOST", "REPLAY_PAUSED", "STANDBY_SETTING_LOWER",
               "RESOURCE_GIVEN_UP", "FENCING_WITHOUT_DEVICE"}
    assert checks.PASSING <= every | {"NO_PRIMARY"}
    assert every - checks.PASSING == lasting


def test_filters_give_plain_data_and_text_for_people():
    found = filters.FilterModule().filters()
    cluster, replication = pair.cluster_state(), pair.replication_state()
    location("cli-ban-mscfpgsql-on-hub2")(cluster)
    standby(replay_paused=True)(replication)
    problems = found["cluster_problems"](cluster, the_plan())
    problems += found["replication_problems"](replication, the_plan(), 64) + found["guard_problems"]({"hub1": None})
    assert [sorted(item) for item in problems] == [["code", "host", "problem", "remedy", "severity"]] * 3
    lines = found["problems_text"](problems).splitlines()
    assert lines[0] == ("hub2: constraint cli-ban-mscfpgsql-on-hub2 keeps mscfpgsql off hub2 (score -INFINITY) -> "
                        "crm_resource --clear --resource mscfpgsql (BAN_LEFT)")
    assert lines[1].endswith("-> %s (REPLAY_PAUSED)" % RESUME) and lines[2].endswith("(GUARD_DEAD)")
    assert found["may_pass"](problems) is False and found["problems_text"]([]) == ""


# --- the picture ----------------------------------------------------------------------------------------------------

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
    found = show.pair_picture(pair.cluster_state(), the_plan(), pair.replication_state())
    assert found == PICTURE


def squeezed(text):
    """Lines with every run of blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_picture_shows_what_is_wrong():
    cluster, replication = pair.cluster_state(), pair.replication_state()
    cut(cluster)
    option("stonith-enabled", "true")(cluster)
    status(1, None)(cluster)
    address_on("hub2")(cluster)
    replication["hub1"]["senders"] = []
    replication["hub2"] = None
    found = squeezed(show.pair_picture(cluster, the_plan(), replication))
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
    found = show.pair_picture(cluster, made, pair.replication_state())
    assert "| shared address 192.168.100.100, fd00:1:2:3:4:5:6:100 |" in found


@pytest.mark.parametrize("changes, text", [
    ([], "NONE"), ([option("stonith-enabled", "false", "false")], "NONE"), ([option("stonith-enabled", "No")], "NONE"),
    ([option("stonith-enabled", "yes")], "on"), ([option("stonith-enabled", "yes", "true")], "on"),
    ([option("stonith-enabled", "off")], "NONE"), ([option("stonith-enabled", "maybe")], "on"),
    ([option("stonith-enabled", "true"), option("fencing-enabled", "no")], "NONE"),
    ([option("stonith-enabled", "false"), option("fencing-enabled", "1")], "on"),
    # before 3.0.2 the new name means nothing, and crm_mon says so
    ([option("stonith-enabled", "true", "true"), option("fencing-enabled", "false")], "on"),
    ([lambda cluster: cluster.update(options={}, properties={})], "on")])
def test_picture_says_whether_the_cluster_fences(changes, text):
    cluster = pair.cluster_state()
    for change in changes:
        change(cluster)
    assert show.pair_picture(cluster, the_plan(), pair.replication_state()).splitlines()[-1] == "fencing " + text


def test_picture_of_links_that_nobody_knows():
    cluster = pair.cluster_state()
    cluster["links"] = []
    assert "(NOT ALL UP)" in show.pair_picture(cluster, the_plan(), pair.replication_state())
