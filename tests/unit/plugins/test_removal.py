# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pair becomes a single hub again: which hub stays, what goes, and what forbids it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.filter import remove_ha as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import removal, upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

SETTINGS = {"problems": [], "keep": "", "without": "", "keep_address": False, "allow_restart": True,
            "virtual_ips": ["192.168.100.100"], "replication_ips": [], "max_lag": 16}
LIST = {"version": 1, "vendor": True, "shared": ["192.168.100.100"], "revoked": [],
        "hubs": {"192.168.100.10": {"name": "hub1", "key": "SHA=" + "a1" * 32, "public": "p1"},
                 "192.168.100.11": {"name": "hub2", "key": "SHA=" + "b2" * 32, "public": "p2"}},
        "sync": {"policy": True, "paths": ["/x"]}}
LOST = {"unreachable": True, "msg": "Failed to\n connect"}


def test_firewalls_of_what_is_left():
    hubs = Pair()
    for host in ("hub1", "hub2"):
        hubs.hub(host)["firewall"] = {"kind": "ufw", "problem": None, "added": [], "ipv6": True}
    left = hubs.good(firewall="manage", firewall_clients=["10.0.0.0/8"])["firewalls"]
    assert [(rule["source"], rule["port"], rule["peer"]) for rule in left["hub1"]["rules"]] == [
        ("10.0.0.0/8", 5308, False)]
    assert left["hub2"]["rules"] == [] and hubs.good(firewall="check")["firewalls"]["hub1"]["rules"] == []


class Pair:
    """A pair with hub1 active, as hub_info, cib_info and replication_info tell it."""

    def __init__(self, active="hub1"):
        self.results = pair.running_pair(active)
        for result in self.results.values():
            info = result["hub"]
            info["paths"] = {info["layout"]["ha_dir"]: "directory cfpostgres:cfpostgres 0750"}
            info["cfengine"]["hub_list"] = copy.deepcopy(LIST)
            info["cluster"]["cib_ips"] = {"cfvirtip": "192.168.100.100"}
            info["postgres"]["unit"] = "pacemaker.service"
            info["units"] = dict((name, {"load": "loaded", "active": "active", "enabled": "enabled"}) for name in (
                "corosync", "pacemaker", "cf-execd", "cf-serverd", "cfengine3"))
            info["units"]["cf-postgres"] = {"load": "masked", "active": "inactive", "enabled": "masked"}
        self.looks = {"cluster": dict((host, pair.cluster_state(active)) for host in self.results),
                      "replication": pair.replication_state(active)}

    def hub(self, host):
        return self.results[host]["hub"]

    def lose(self, host):
        self.results[host] = dict(LOST)
        for kind in self.looks.values():
            kind[host] = {"skipped": True}
        for look in self.looks["cluster"].values():
            for node in look.get("nodes", []):
                if node["name"] == host:
                    node["online"] = False

    def plan(self, **settings):
        return removal.removal_plan(self.results, dict(SETTINGS, **settings), self.looks)

    def good(self, **settings):
        made = self.plan(**settings)
        assert made["failures"] == [] and made["complete"], made["failures"]
        return made

    def refused(self, *words, **settings):
        """Exactly one failure, with these words; returns it."""
        made = self.plan(**settings)
        assert len(made["failures"]) == 1, made["failures"]
        text = "%(host)s: %(problem)s -> %(remedy)s" % made["failures"][0]
        assert [word for word in words if word not in text] == [], text
        return made


@pytest.fixture(name="both")
def fixture_both():
    return Pair()


def removed(kept=()):
    """What a removal leaves: hub1 alone, hub2 stopped with its data aside."""
    made = Pair()
    done = made.good(keep_address=bool(kept))
    for host in made.results:
        info = made.hub(host)
        info["cluster"].update(corosync_conf=None, cib_nodes=[], cib_resources={}, cib_ips={}, cib_addresses=[],
                               pgsql_status={}, promoted=None, cib_readable=False, has_database=False)
        for unit in ("corosync", "pacemaker"):
            info["units"][unit] = {"load": "loaded", "active": "inactive", "enabled": "disabled"}
        info["cfengine"]["hub_list"] = copy.deepcopy(done["hub_list"])
        made.looks["cluster"][host] = {"skipped": True}
    one, two = made.hub("hub1"), made.hub("hub2")
    one["units"]["cf-postgres"] = {"load": "loaded", "active": "active", "enabled": "enabled"}
    one["postgres"].update(unit="cf-postgres.service", lock=False)
    settings = one["postgres"]["server"]["settings"]
    for item in settings.values():
        if removal.ours(item) and not kept:
            item["sourcefile"] = None
    for name in ("wal_log_hints", "wal_keep_size", "max_slot_wal_keep_size"):
        settings[name]["sourcefile"] = None
    one["postgres"]["server"]["slots"] = None
    if kept:
        one["kept_addresses"] = [{"ip": "192.168.100.100", "prefix": 24}]
    else:
        one["addresses"] = [item for item in one["addresses"] if item["address"] != "192.168.100.100"]
    two["postgres"].update(state="absent", pid=None, server=None, control={}, data_dir_state="absent", unit=None)
    two["cfengine"]["am_policy_hub"] = False
    two["ports"] = [22]
    made.looks["replication"] = {"hub1": {"role": "primary", "senders": []}, "hub2": {"skipped": True}}
    return made


def test_the_active_hub_stays(both):
    made = both.good()
    assert (made["active"], made["passive"], made["switch"], made["resume"]) == ("hub1", "hub2", False, False)
    assert made["nodes"] == {"hub1": "hub1", "hub2": "hub2"} and made["held"] == ["hub1"] and made["adopted"]
    assert Pair("hub2").good()["active"] == "hub2"


def test_what_the_roles_of_the_upgrade_read_has_the_same_name(both):
    upgrade = plan.make_plan(both.results, pair.settings())
    made = both.good()
    for name in ("hubs", "active", "passive", "nodes", "layout", "edition", "pg_bin", "pg_port", "db_user", "adopted",
                 "system_identifier", "maintenance_ours", "complete"):
        assert made[name] == upgrade[name], name
    assert made["slots"] == [upgrade["slots"]["hub1"], upgrade["slots"]["hub2"]]


def test_everything_of_ours_goes_from_postgresql(both):
    made = both.good()
    assert made["include"] == {} and made["restart"] == ["listen_addresses", "wal_log_hints"] and not made["owned"]


def test_the_address_goes_from_the_hub_and_from_the_list(both):
    made = both.good()
    assert made["addresses"] == [] and not made["keep_address"]
    assert made["release"] == {"hub1": [{"address": "192.168.100.100/24", "interface": "eth0"}], "hub2": []}
    assert made["hub_list"] == {
        "version": 1, "vendor": False, "shared": [], "revoked": [], "active": "192.168.100.10",
        "hubs": {"192.168.100.10": LIST["hubs"]["192.168.100.10"]}, "sync": {"policy": False, "paths": []}}
    assert made["augments"]["absent"] == {"classes": ["enable_cfengine_enterprise_hub_ha"],
                                          "lists": {"acl": ["192.168.100.11"]}}
    assert made["augments"]["lists"]["acl"]["items"] == ["192.168.100.10"]


def test_the_address_stays_and_what_answers_there(both):
    made = both.good(keep_address=True)
    assert made["addresses"] == ["192.168.100.100/24"] and made["release"] == {"hub1": [], "hub2": []}
    assert made["hub_list"]["shared"] == ["192.168.100.100"]
    assert sorted(made["include"]) == ["listen_addresses", "ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file"]
    assert made["include"]["listen_addresses"] == "*" and made["restart"] == ["wal_log_hints"]


def test_a_setting_of_the_operators_is_not_kept_in_our_file(both):
    both.hub("hub1")["postgres"]["server"]["settings"]["ssl"]["sourcefile"] = "/etc/postgresql.conf"
    assert "ssl" not in both.good(keep_address=True)["include"]


def test_the_replication_address_is_never_kept(both):
    both.hub("hub1")["addresses"].append({"interface": "eth2", "address": "192.168.10.100", "prefix": 24,
                                          "network": "192.168.10.0/24", "secondary": True})
    for host in both.results:
        both.hub(host)["cluster"]["cib_ips"]["cfvirtip_repl"] = "192.168.10.100"
        both.hub(host)["cluster"]["cib_resources"]["cfvirtip_repl"] = "ocf:heartbeat:IPaddr2"
    made = both.good(keep_address=True)
    assert made["addresses"] == ["192.168.100.100/24"]
    assert made["release"]["hub1"] == [{"address": "192.168.10.100/24", "interface": "eth2"}]


def test_a_second_run_has_nothing_to_do():
    for kept in ((), ("192.168.100.100",)):
        made = removed(kept).good(keep_address=bool(kept))
        assert made["active"] == "hub1" and made["held"] == [] and not made["adopted"] and made["owned"]
        assert made["restart"] == [] and made["stop"]["hub2"] == [] and made["called_hub"] == ["hub1"]
        assert made["release"] == {"hub1": [], "hub2": []}
        assert made["hub_list"] == removed(kept).hub("hub1")["cfengine"]["hub_list"]


def test_a_kept_address_is_given_up_later():
    made = removed(("192.168.100.100",)).good()
    assert made["release"]["hub1"] == [{"address": "192.168.100.100/24", "interface": "eth0"}]
    assert made["kept_unit"] == ["hub1"] and made["hub_list"]["shared"] == []


def test_the_pair_can_be_made_again_of_what_is_left():
    for kept in ((), ("192.168.100.100",)):
        made = plan.make_plan(removed(kept).results, pair.settings())
        assert made["failures"] == [], made["failures"]
        assert (made["active"], made["passive"]) == ("hub1", "hub2") and not made["adopted"]
        assert made["probe"]["addresses"] == ([] if kept else ["192.168.100.100"])
        assert made["kept_addresses"] == (["hub1"] if kept else [])
        assert sorted(made["hub_list"]["hubs"]) == ["192.168.100.10", "192.168.100.11"]
        assert "active" not in made["hub_list"]


@pytest.mark.parametrize("host, address, words", [
    ("hub1", "192.168.100.101", "no shared address of this pair"), ("hub2", "192.168.100.100", "the passive hub")])
def test_an_address_that_the_pair_would_not_move_is_refused(host, address, words):
    state = removed()
    state.hub(host)["kept_addresses"] = [{"ip": address, "prefix": 24}]
    failures = plan.make_plan(state.results, pair.settings())["failures"]
    assert len(failures) == 1 and words in failures[0]["problem"] and failures[0]["host"] == host


# --- the passive hub is named ---------------------------------------------------------------------------------------

def test_the_passive_hub_becomes_active_first(both):
    made = both.good(keep="hub2")
    assert (made["active"], made["passive"], made["serving"], made["switch"]) == ("hub2", "hub1", "hub1", True)
    assert made["restart"] == ["listen_addresses", "wal_log_hints"]
    assert made["address_resources"] == ["cfvirtip"]


@pytest.mark.parametrize("change, words", [
    (lambda state: state.looks["replication"]["hub1"]["senders"][0].update(lag_bytes=17 << 20), "17.0 MB behind hub1"),
    (lambda state: state.looks["replication"]["hub1"]["senders"][0].update(lag_bytes=None), "has not said yet how far"),
    (lambda state: state.looks["replication"]["hub1"]["senders"][0].update(state="catchup"), "does not stream from"),
    (lambda state: state.looks["replication"]["hub1"].update(senders=[]), "does not stream from hub1"),
    (lambda state: state.hub("hub1")["cluster"].update(maintenance=True), "in maintenance mode"),
    (lambda state: state.hub("hub1")["cluster"].update(cib_readable=False), "does not run"),
    (lambda state: state.looks["cluster"]["hub2"].update(quorate=False), "no quorum"),
    (lambda state: state.looks["cluster"]["hub2"]["nodes"][1].update(standby=True), "in standby"),
    (lambda state: state.hub("hub2")["postgres"]["server"].update(system_identifier="1"), "another one"),
])
def test_a_passive_hub_that_cannot_take_over_is_refused(both, change, words):
    change(both)
    both.refused(words, "hub2: ", keep="hub2")


@pytest.mark.parametrize("is_now, words", [("absent", "no database"), ("foreign", "no database"),
                                           ("unreachable", "does not answer"), ("stopped", "not a standby")])
def test_a_hub_without_data_cannot_stay(both, is_now, words):
    both.hub("hub2")["postgres"].update(state=is_now, server=None, error="why")
    both.refused(words, keep="hub2")


# --- what forbids it ------------------------------------------------------------------------------------------------

def test_no_hub_serves(both):
    both.hub("hub1")["postgres"].update(state="stopped", control={"state": "in production", "timeline": 1})
    both.hub("hub1")["cluster"]["promoted"] = both.hub("hub2")["cluster"]["promoted"] = None
    both.refused("no hub takes writes (PostgreSQL: hub1 stopped, hub2 standby)")


def test_two_primaries(both):
    both.hub("hub2")["postgres"]["state"] = "primary"
    both.refused("primary on both hubs")


def test_a_failover_is_under_way(both):
    for host in both.results:
        both.hub(host)["cluster"]["promoted"] = "hub2"
    both.refused("the cluster says that of hub2")


def test_fencing_is_under_way(both):
    both.looks["cluster"]["hub1"]["nodes"][1].update(unclean=True, online=False)
    both.refused("waits for hub2 to be fenced", "stonith_admin --confirm hub2")


def test_a_hub_is_joining(both):
    both.looks["cluster"]["hub1"]["nodes"][1].update(pending=True)
    both.refused("hub2 is joining")
    both.looks["cluster"]["hub1"]["nodes"][1].update(pending=False)
    both.looks["cluster"]["hub1"]["dc"] = None
    both.refused("no designated controller")


def test_foreign_resources(both):
    for host in both.results:
        both.hub(host)["cluster"]["cib_resources"].update(web="ocf:heartbeat:apache", fence_x="stonith:fence_ipmilan")
    made = both.plan()
    assert len(made["failures"]) == 2 and "fence_x, web" in made["failures"][0]["problem"]
    for host in both.results:
        both.hub(host)["cluster"]["cib_resources"].pop("web")
        both.hub(host)["cluster"]["cib_fencing"] = ["fence_x"]
    both.good()


def test_the_cluster_has_more_nodes(both):
    both.hub("hub2")["cluster"]["corosync_conf"] = pair.corosync_conf(nodes=("hub1", "hub2", "hub3"))
    both.refused("nodes hub1, hub2, hub3")
    both.hub("hub2")["cluster"]["corosync_conf"] = "totem {"
    both.refused("cannot be read")


@pytest.mark.parametrize("host", ["hub1", "hub2"])
def test_a_hub_of_somebody_elses_pair_is_not_taken_out_of_it(both, host):
    both.hub(host)["cluster"]["corosync_conf"] = MADE + pair.corosync_conf(nodes=(host, "hub9"))
    both.refused("its cluster has the nodes %s" % ", ".join(sorted((host, "hub9"))))


def test_another_standby_follows(both):
    both.hub("hub1")["postgres"]["server"]["slots"] = ["hub_ha_hub2", "hub_ha_hub3", "theirs"]
    both.refused("another standby follows this hub (replication slot hub_ha_hub3)")


def test_a_socket_that_moves_with_the_restart_is_known(both):
    both.hub("hub1")["postgres"]["server"]["pending"] = [
        {"name": "unix_socket_directories", "old": "/run/a", "new": "/run/b", "file": "/etc/postgresql.conf", "line": 7}]
    assert [item["name"] for item in both.good()["pending"]] == ["unix_socket_directories"]


def test_a_restart_that_is_not_allowed(both):
    both.refused("hub_ha_allow_restart is false", allow_restart=False)
    removed().good(allow_restart=False)


def test_hubs_that_never_were_a_pair():
    state = Pair()
    state.results = pair.results()
    state.looks = None
    for host in state.results:
        state.hub(host)["units"]["cf-postgres"] = {"load": "loaded", "active": "active", "enabled": "enabled"}
    state.refused("never been one")


def single_hub_beside(change):
    """The state of two hosts that never were a pair, of which hub2 has been changed."""
    state = Pair()
    state.results = pair.results()
    state.looks = None
    state.hub("hub1")["units"]["cf-postgres"] = {"load": "loaded", "active": "active", "enabled": "enabled"}
    change(state.hub("hub2"))
    return state


MADE = "# Managed by Ansible, role cfengine.hub_ha.cluster. Changes made here are undone by the next run.\n"


@pytest.mark.parametrize("change", [
    lambda hub: hub["cluster"].update(corosync_conf=pair.corosync_conf()),
    lambda hub: hub["units"].update({"cf-postgres": {"load": "masked", "active": "inactive", "enabled": "masked"}})])
def test_nobody_is_told_to_give_up_what_is_somebody_elses(change):
    """A wrong inventory names two nodes of another cluster, or a host whose unit somebody has masked."""
    state = single_hub_beside(change)
    state.refused("never been one")


MASKED = {"load": "masked", "active": "inactive", "enabled": "masked"}


def made_cluster(hub):
    hub["cluster"].update(corosync_conf=MADE + pair.corosync_conf())


def masked(hub, noted=True):
    hub["units"]["cf-postgres"] = dict(MASKED)
    hub["mask_marker"] = noted


GIVEN_UP = [
    ("stage 4", masked, [], "hub2"),
    ("stage 4, cut off before the mask", lambda hub: hub.update(mask_marker=True), [], "hub2"),
    ("stage 5, cut off on one hub", made_cluster, ["hub2"], None),
    ("stage 5", lambda hub: (made_cluster(hub), masked(hub)), ["hub2"], "hub2"),
    ("stage 5, masked by somebody else before", lambda hub: (made_cluster(hub), masked(hub, False)), ["hub2"], None),
    ("given up, cut off before systemd knew", lambda hub: (made_cluster(hub), hub.update(mask_marker=True), hub[
        "units"].update({"cf-postgres": {"load": "masked", "active": "inactive", "enabled": "disabled"}})), ["hub2"], "hub2"),
]


@pytest.mark.parametrize("change, clustered, unmask", [pytest.param(*case[1:], id=case[0]) for case in GIVEN_UP])
def test_an_upgrade_that_never_came_to_the_database_is_given_up(change, clustered, unmask):
    made = single_hub_beside(change).good(allow_restart=False, keep_address=True)
    assert made["unfinished"] and (made["active"], made["passive"], made["serving"]) == ("hub1", "hub2", "hub1")
    assert (made["clustered"], made["unmask"]) == (clustered, unmask)
    assert not made["switch"] and not made["resume"] and made["owned"], "PostgreSQL is left alone"
    assert made["held"] == made["restart"] == made["addresses"] == made["called_hub"] == made["kept_unit"] == []
    assert made["stop"] == made["release"] == {"hub1": [], "hub2": []} and made["hub_list"] is None


def test_what_gives_up_an_upgrade_has_all_that_a_removal_has():
    """The roles read one plan, whichever it is."""
    assert sorted(single_hub_beside(made_cluster).good()) == sorted(Pair().good())
    assert not Pair().good()["unfinished"] and Pair().good()["unmask"] == "hub1"


def test_a_hub_with_a_database_of_its_own_keeps_it_and_its_address():
    """A given-up upgrade stops no CFEngine and takes no address, also where the inventory names one that a hub has."""
    def change(hub):
        made_cluster(hub)
        hub["cfengine"]["am_policy_hub"] = True
        hub["addresses"].append({"interface": "eth0", "address": "192.168.100.100", "prefix": 24,
                                 "network": "192.168.100.0/24", "secondary": False})
    made = single_hub_beside(change).good()
    assert made["stop"]["hub2"] == [] and made["release"]["hub2"] == [] and made["unmask"] is None


def test_the_mask_of_the_hub_that_serves_is_not_ours():
    state = single_hub_beside(made_cluster)
    state.hub("hub1")["units"]["cf-postgres"] = {"load": "masked", "active": "active", "enabled": "masked"}
    assert state.good()["unmask"] is None


def test_a_cluster_that_never_formed_can_be_given_up():
    state = single_hub_beside(lambda hub: (made_cluster(hub), masked(hub)))
    made_cluster(state.hub("hub1"))
    looks = pair.cluster_state("hub1")
    looks.update(dc=None, quorate=False)
    looks["nodes"][1].update(unclean=True, online=False)
    state.looks = {"cluster": {"hub1": looks, "hub2": {"running": False}}, "replication": {}}
    assert state.good()["clustered"] == ["hub1", "hub2"]


def test_firewalls_that_were_opened_for_an_upgrade_are_closed():
    state = single_hub_beside(made_cluster)
    for host in ("hub1", "hub2"):
        state.hub(host)["firewall"] = {"kind": "ufw", "problem": None, "added": [], "ipv6": True}
    left = state.good(firewall="manage", firewall_clients=["10.0.0.0/8"])["firewalls"]
    assert left["hub2"]["rules"] == []
    assert [(item["source"], item["port"]) for item in left["hub1"]["rules"]] == [("10.0.0.0/8", 5308)], "it serves on"


@pytest.mark.parametrize("change", [
    lambda hub: hub["cluster"].update(has_database=True),
    lambda hub: hub["cluster"].update(cib_ips={"cfvirtip": "192.168.100.100"}),
    lambda hub: hub["postgres"].update(unit="pacemaker.service")])
def test_a_pair_that_has_lost_its_directory_is_no_upgrade_to_give_up(change):
    state = single_hub_beside(made_cluster)
    change(state.hub("hub1"))
    made = state.refused("pacemaker has the database or its addresses in hand (hub1)", "state/pg/hub_ha")
    assert made["failures"][0]["code"] == "UPGRADE_UNFINISHED"


@pytest.mark.parametrize("change, words", [
    (lambda hub: hub["cluster"].update(corosync_conf=MADE + pair.corosync_conf(nodes=("hub2", "hub9"))),
     "its cluster has the nodes hub2, hub9"),
    (lambda hub: (made_cluster(hub), hub["cluster"].update(cib_resources={"web": "ocf:heartbeat:apache"})),
     "the cluster runs other resources too: web")])
def test_a_cluster_with_somebody_else_in_it_is_not_given_up(change, words):
    single_hub_beside(change).refused(words)


def test_the_hub_without_a_database_does_not_stay():
    found = single_hub_beside(lambda hub: (made_cluster(hub), masked(hub))).plan(keep="hub2")["failures"]
    assert [(item["host"], item["code"]) for item in found] == [("hub2", "DATABASE_MISSING")]


def test_an_upgrade_is_given_up_without_the_hub_that_is_lost():
    state = single_hub_beside(lambda hub: None)
    made_cluster(state.hub("hub1"))
    state.looks = {"cluster": {"hub1": pair.cluster_state("hub1")}, "replication": {}}
    state.lose("hub2")
    made = state.good(without="hub2")
    assert made["there"] == ["hub1"] and made["unmask"] is None and made["stop"] == {"hub1": []}


def test_nothing_is_left_to_give_up():
    """What a second run finds."""
    state = single_hub_beside(lambda hub: None)
    state.refused("never been one")


def test_a_given_up_upgrade_is_proven():
    state = single_hub_beside(lambda hub: (made_cluster(hub), masked(hub)))
    made = state.good()
    state.hub("hub1")["postgres"]["unit"] = "session-3.scope"
    assert removal.single_problems(made, state.results) == [], "how PostgreSQL runs was the operator's, and is"
    state.hub("hub2")["units"]["corosync"] = {"load": "loaded", "active": "active", "enabled": "enabled"}
    assert [item.code for item in removal.single_problems(made, state.results)] == ["CLUSTER_RUNS"]


# --- the roles' tasks -----------------------------------------------------------------------------------------------

ROLES = Path(__file__).parents[3] / "roles"
UNTOUCHED = {"active.yml": [], "other.yml": ["Its PostgreSQL stops"], "hub.yml": ["What made a pair of it for the vendor's policy"],
             "database.yml": ["Settings of the pair go from PostgreSQL's configuration", "Under its own unit, with one restart",
                              "Nothing replicates from here any more"],
             "cluster.yml": ["The other hub's data aside"]}


def tasks_of(role, name):
    return yaml.safe_load((ROLES / role / "tasks" / name).read_text(encoding="utf-8"))


def test_what_would_touch_the_hub_that_serves_is_left_out():
    for name, wanted in UNTOUCHED.items():
        found = {task["name"]: str(task.get("when")) for task in tasks_of("remove_ha", name)}
        assert [item for item in found if "not hub_ha.unfinished" in found[item]] == wanted


def test_what_says_that_an_upgrade_has_begun_goes_last():
    assert tasks_of("cluster", "withdraw.yml")[-1]["loop"][-1] == "/etc/corosync/corosync.conf"
    names = [task["name"] for task in tasks_of("remove_ha", "cluster.yml")]
    assert names.index("Firewalls, where this collection looks after them") + 1 == names.index(
        "Configuration, key and CIB of the cluster") == names.index("The note that the mask was ours") - 1


def test_wrong_names_and_wrong_numbers(both):
    both.refused("hub_ha_keep names hub3", "hub1 or hub2", keep="hub3")
    both.refused("hub_ha_remove_without names hub3", without="hub3")
    del both.results["hub2"]
    both.refused("the inventory's group has 1 hub")


def test_all_that_is_wrong_stands_in_one_report(both):
    both.looks["cluster"]["hub1"]["nodes"][1].update(unclean=True)
    both.hub("hub1")["postgres"]["server"]["slots"] = ["hub_ha_hub3"]
    for host in both.results:
        both.hub(host)["cluster"]["cib_resources"]["web"] = "ocf:heartbeat:apache"
    made = both.plan(allow_restart=False, problems=[{"host": "all", "problem": "p", "remedy": "r"}])
    assert len(made["failures"]) == 6


def test_no_unit_to_run_under(both):
    both.hub("hub1")["units"]["cf-postgres"]["load"] = "not-found"
    both.refused("no unit cf-postgres.service")


def test_an_address_outside_of_the_hubs_networks_cannot_be_kept(both):
    both.refused("10.9.9.9 cannot be kept", keep_address=True, virtual_ips=["192.168.100.100", "10.9.9.9"])


# --- the other hub is gone ------------------------------------------------------------------------------------------

def test_an_unreachable_hub_needs_a_word(both):
    both.lose("hub2")
    both.refused("hub2: cannot be reached: Failed to connect", "hub1 is to go on alone: -e hub_ha_remove_without=hub2")


@pytest.mark.parametrize("without", ["", "hub2"])
def test_a_hub_that_wants_a_password_is_not_lost(both, without):
    both.results["hub2"] = {"failed": True, "msg": "Task failed: Missing sudo password"}
    failures, = both.plan(without=without)["failures"]
    assert failures["code"] == "NOT_ROOT" and "--ask-become-pass" in failures["remedy"]
    assert "hub_ha_remove_without" not in failures["remedy"]


def test_without_the_hub_that_is_lost(both):
    both.lose("hub2")
    made = both.good(without="hub2")
    assert (made["active"], made["passive"], made["there"]) == ("hub1", "hub2", ["hub1"])
    assert made["nodes"]["hub2"] == "hub2" and made["slots"] == ["hub_ha_hub1", "hub_ha_hub2"]
    assert list(made["hub_list"]["hubs"]) == ["192.168.100.10"] and list(made["release"]) == ["hub1"]


def test_a_hub_that_the_cluster_sees_is_not_lost(both):
    both.lose("hub2")
    both.looks["cluster"]["hub1"]["nodes"][1]["online"] = True
    both.refused("it is not lost", without="hub2")


def test_the_word_does_not_give_up_the_hub_that_stays(both):
    both.lose("hub1")
    both.refused("hub1: cannot be reached", without="hub2")
    both.refused("hub1: cannot be reached", keep="hub1", without="hub1")
    both.refused("no hub takes writes", without="hub1")


def test_nobody_answers(both):
    both.lose("hub1")
    both.lose("hub2")
    assert [item["host"] for item in both.plan(without="hub2")["failures"]] == ["hub1", "hub2"]


def test_a_hub_that_comes_back_later_is_stopped(both):
    """hub1 was made a single hub while hub2 was off."""
    state, late = removed(), Pair().results["hub2"]
    state.results["hub2"] = late
    late["hub"]["postgres"].update(state="stopped", pid=None, server=None,
                                   control={"state": "in archive recovery", "timeline": 1})
    late["hub"]["cluster"]["promoted"] = None
    made = state.good()
    assert made["active"] == "hub1" and made["held"] == [] and made["adopted"]
    assert made["stop"]["hub2"] == ["cfengine3", "cf-execd", "cf-serverd"]


# --- a removal that was cut off -------------------------------------------------------------------------------------

CONTROL = {"timeline": 1, "system_identifier": pair.SYSTEM}


def cut_off_in_the_restart():
    state = Pair()
    one = state.hub("hub1")
    one["postgres"].update(state="stopped", pid=None, server=None, control=dict(
        CONTROL, state="shut down"))
    one["maintenance_marker"] = True
    state.hub("hub2")["postgres"].update(state="stopped", pid=None, server=None,
                                         control=dict(CONTROL, state="shut down in recovery"))
    for host in state.results:
        state.hub(host)["cluster"]["maintenance"] = True
    state.looks["replication"] = {"hub1": {"skipped": True}, "hub2": {"skipped": True}}
    return state


def test_a_removal_that_was_cut_off_in_the_restart_goes_on():
    made = cut_off_in_the_restart().good()
    assert made["active"] == "hub1" and made["resume"] and not made["switch"] and made["maintenance_ours"] == ["hub1"]


def cut_off_in_the_switchover():
    """hub1 has stopped to hand over, hub2 is not promoted yet."""
    state = cut_off_in_the_restart()
    state.hub("hub2")["postgres"] = Pair().hub("hub2")["postgres"]
    state.hub("hub1")["postgres"]["control"]["system_identifier"] = \
        state.hub("hub2")["postgres"]["server"]["system_identifier"]
    state.looks["replication"]["hub2"] = {"role": "standby"}
    return state


def test_a_removal_that_was_cut_off_in_the_switchover_goes_on_or_back():
    made = cut_off_in_the_switchover().good(keep="hub2")
    assert (made["active"], made["serving"], made["switch"], made["resume"]) == ("hub2", "hub1", True, False)
    made = cut_off_in_the_switchover().good(keep="hub1")
    assert (made["active"], made["switch"], made["resume"]) == ("hub1", False, True)


def test_a_removal_that_was_cut_off_before_the_switchover_goes_on(both):
    """pacemaker looks away already, for us."""
    for host in both.results:
        both.hub(host)["cluster"]["maintenance"] = both.hub(host)["maintenance_marker"] = True
    assert both.good(keep="hub2")["switch"]


@pytest.mark.parametrize("change", [
    lambda state: state.hub("hub1").update(maintenance_marker=False),
    lambda state: state.hub("hub1")["cluster"].update(maintenance=False),
    lambda state: state.hub("hub1")["postgres"]["control"].update(state="in production"),
    lambda state: state.hub("hub2")["postgres"]["control"].update(timeline=2),
    lambda state: state.hub("hub1")["cluster"].update(promoted="hub2"),
])
def test_nothing_else_that_is_stopped_is_started(change):
    state = cut_off_in_the_restart()
    change(state)
    state.refused("no hub takes writes")


def test_a_cluster_that_is_stopped_already_on_the_other_hub(both):
    both.hub("hub2")["cluster"].update(corosync_conf=None, cib_readable=False, has_database=False, cib_resources={},
                                       promoted=None, cib_ips={})
    both.hub("hub2")["postgres"].update(state="stopped", pid=None, server=None)
    both.hub("hub1")["cluster"]["maintenance"] = True
    both.looks["cluster"]["hub1"]["nodes"][1].update(online=False)
    both.looks["cluster"]["hub2"] = {"running": False}
    made = both.good()
    assert made["active"] == "hub1" and made["held"] == ["hub1"]


# --- what CFEngine runs there ---------------------------------------------------------------------------------------

def test_units_of_a_hub_are_stopped_umbrella_first(both):
    both.hub("hub2")["units"]["cf-monitord"] = {"load": "loaded", "active": "inactive", "enabled": "disabled"}
    assert both.good()["stop"]["hub2"] == ["cfengine3", "cf-execd", "cf-serverd"]


def test_a_host_that_is_no_hub_any_more_is_left_alone(both):
    both.hub("hub2")["cfengine"]["am_policy_hub"] = False
    made = both.good()
    assert made["stop"]["hub2"] == [] and made["called_hub"] == ["hub1"]


def test_without_a_list_of_hubs_there_is_none_to_write(both):
    for host in both.results:
        both.hub(host)["cfengine"]["hub_list"] = None
    made = both.good()
    assert made["hub_list"] is None and made["augments"]["lists"] == {}


def test_a_third_hub_is_none_of_a_single_hub(both):
    known = both.hub("hub1")["cfengine"]["hub_list"]
    known["hubs"]["192.168.200.12"] = {"name": "hub3", "key": "SHA=c3", "public": "p3", "in_cluster": False}
    known["third"] = {"hubs": ["192.168.200.12"]}
    left = both.good()["hub_list"]
    assert [hub["name"] for hub in left["hubs"].values()] == ["hub1"] and "third" not in left


# --- proofs ---------------------------------------------------------------------------------------------------------

def test_a_healthy_single_hub():
    for kept in ((), ("192.168.100.100",)):
        state = removed(kept)
        assert removal.single_problems(Pair().good(keep_address=bool(kept)), state.results) == []


@pytest.mark.parametrize("change, words, code", [
    (lambda state: state.hub("hub1")["postgres"].update(state="standby"), "takes no writes", "NO_PRIMARY"),
    (lambda state: state.hub("hub1")["postgres"].update(unit="session-3.scope"), "not run under cf-postgres.service",
     "POSTGRES_UNIT"),
    (lambda state: state.hub("hub2")["units"]["pacemaker"].update(active="active"), "pacemaker runs on hub2",
     "CLUSTER_RUNS"),
    (lambda state: state.hub("hub2")["postgres"].update(pid=7), "PostgreSQL still runs on hub2", "POSTGRES_RUNS"),
    (lambda state: state.hub("hub1")["addresses"].append(
        {"address": "192.168.100.100", "prefix": 24, "interface": "eth0"}), "still has", "ADDRESS_LEFT"),
])
def test_what_is_not_healthy_is_told(change, words, code):
    made, state = Pair().good(), removed()
    change(state)
    found = removal.single_problems(made, state.results)
    assert [item.code for item in found] == [code] and words in found[0].problem and found[0].remedy


def test_an_address_that_was_to_be_kept_and_is_gone_is_told():
    found = removal.single_problems(Pair().good(keep_address=True), removed().results)
    assert [(item.code, item.problem) for item in found] == [
        ("ADDRESS_MISSING", "hub1 does not have the address 192.168.100.100/24")]


def test_the_filter_gives_what_the_role_reads():
    assert filters.single_problems(Pair().good(), removed().results) == []
    state = removed()
    state.hub("hub2")["postgres"].update(pid=7)
    assert [item["code"] for item in filters.single_problems(Pair().good(), state.results)] == ["POSTGRES_RUNS"]
