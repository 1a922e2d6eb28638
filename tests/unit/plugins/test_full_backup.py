# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Full backups: which hub is copied, what stands against it, what a backup must hold, and onto what it may go back."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import own_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import backup_format
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup as model
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

DEBIAN = LAYOUTS["debian"]
ID = "d" * 64


def look(path="/srv/backups", **more):
    """A good, empty directory for backups."""
    return dict({"path": path, "real": path, "kind": "directory", "mode": 0o700, "uid": 0, "own_uid": 0,
                 "free_bytes": 10 << 30, "backups": []}, **more)


def backup_settings(**more):
    return dict({"problems": [], "hub": "", "keep": 0, "lasts": False}, **more)


def planned(results=None, replication=None, looks=None, container=None, **settings):
    """The plan for a healthy pair, or for what is given."""
    results = pair.running_pair() if results is None else results
    replication = pair.replication_state() if replication is None else replication
    if "current_lsn" not in replication.get("hub1", {"current_lsn": 1}):
        replication["hub1"]["current_lsn"] = "0/5000000"
    looks = dict({"hub1": look(), "hub2": look()}, **(looks or {}))
    return model.backup_plan(results, replication, looks, backup_settings(**settings), container=container)


def texts(plan):
    return ["%s: %s -> %s" % (item["host"], item["problem"], item["remedy"]) for item in plan["failures"]]


# --- which hub is copied --------------------------------------------------------------------------------------------

def test_the_passive_hub_when_it_is_healthy():
    plan = planned()
    assert (plan["source"], plan["active"], plan["why"], plan["lsn"]) == (
        "hub2", "hub1", "the passive hub is healthy", "0/5000000")
    assert plan["address"] == "192.168.10.11", "its own, of the last network, and no shared one"
    assert plan["facts"]["active"] == "hub1" and plan["facts"]["taken_from"] == "hub2"
    assert sorted(plan["facts"]["hubs"]) == ["hub1", "hub2"] and plan["facts"]["foreign_resources"] == []


def not_streaming(results, replication):
    replication["hub1"]["senders"] = []


def behind(results, replication):
    replication["hub1"]["senders"][0]["lag_bytes"] = 17 << 20


def alone(results, replication):
    results["hub1"]["hub"]["cluster"]["pgsql_status"]["hub2"] = "HS:alone"


def silent(results, replication):
    replication["hub2"] = {"skipped": True}


@pytest.mark.parametrize("change, words", [
    (not_streaming, "does not stream"), (behind, "17.0 MB behind"), (alone, "cfpgsql-status HS:alone"),
    (silent, "PostgreSQL on hub2 does not say")])
def test_the_active_hub_when_the_passive_one_is_not(change, words):
    results, replication = pair.running_pair(), pair.replication_state()
    change(results, replication)
    plan = planned(results, replication)
    assert plan["source"] == "hub1" and words in plan["why"] and plan["lsn"] is None and not plan["failures"]
    refused = planned(results, replication, hub="hub2")
    assert len(refused["failures"]) == 1 and "no healthy passive hub" in texts(refused)[0]


def test_the_hub_that_the_operator_names():
    plan = planned(hub="hub1")
    assert (plan["source"], plan["lsn"], plan["why"]) == ("hub1", None, "hub_ha_full_backup_hub says so")
    assert "hub9, which is no hub" in texts(planned(hub="hub9"))[0]


def test_a_single_hub():
    results = {"hub1": {"hub": pair.live_hub()}}
    plan = planned(results, {"hub1": {"role": "primary", "current_lsn": "0/1"}})
    assert not plan["failures"] and (plan["source"], plan["pair"], plan["address"]) == ("hub1", False, None)
    assert plan["why"] == "there is no passive hub" and plan["socket_dir"] == "/tmp"


def test_nothing_to_copy():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["state"] = "stopped"
    assert "a primary on no hub (hub1: stopped, hub2: standby)" in texts(planned(results))[0]
    results = pair.running_pair()
    results["hub2"]["hub"]["postgres"]["state"] = "primary"
    assert "a primary on both hubs" in texts(planned(results))[0]


def test_a_hub_that_cannot_be_reached():
    results = pair.running_pair()
    results["hub2"] = {"unreachable": True, "msg": "no route"}
    found = texts(planned(results))
    assert found == ["hub2: cannot be reached: no route -> mend that, or save the other hub alone: --limit hub1. What "
                     "only hub2 has, its own keys, is then not in the backup"]
    results["hub2"] = {"failed": True, "msg": "Task failed: Missing sudo password"}
    found, = planned(results)["failures"]
    assert found["code"] == "NOT_ROOT" and "--ask-become-pass" in found["remedy"]
    del results["hub2"]
    plan = planned(results)
    assert plan["source"] == "hub1" and plan["pair"] and plan["address"] == "192.168.10.10"


# --- directories ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, problem, remedy", [
    ({"real": DEBIAN["data_dir"] + "/backups"}, "lies inside %s" % DEBIAN["pg_dir"], "outside of it"),
    ({"real": DEBIAN["masterfiles"]}, "lies inside " + DEBIAN["masterfiles"], "outside of it"),
    ({"real": DEBIAN["ppkeys"] + "/x"}, "lies inside " + DEBIAN["ppkeys"], "outside of it"),
    ({"mode": 0o755}, "others than its owner can get into the backup directory /srv/backups (mode 0755)",
     "chmod 0700 /srv/backups, on hub2"),
    ({"mode": 0o710}, "(mode 0710)", "chmod"),
    ({"uid": 1000}, "belongs to another user (uid 1000)", "chown 0 /srv/backups"),
    ({"kind": "other"}, "is no directory", "choose another"),
    ({"path": "backups", "real": "/root/backups"}, "no absolute path", "name one"),
    ({"path": "/", "real": "/"}, "no absolute path", "name one"),
    ({"free_bytes": 200 << 20}, "200.0 MB are free for backups", "make room")])
def test_directories_that_cannot_be(change, problem, remedy):
    plan = planned(looks={"hub2": look(**change)})
    text, = texts(plan)
    assert text.startswith("hub2: ") and problem in text and remedy in text


def test_directories_beside_what_is_served_are_fine():
    for path in (DEBIAN["work_dir"] + "/backups", DEBIAN["masterfiles"] + "2", "/var/backups/x"):
        assert planned(looks={"hub2": look(path)})["failures"] == []
    assert planned(looks={"hub2": look(kind="absent", mode=0)})["failures"] == [], "it is made then"
    assert planned(looks={"hub1": look(mode=0o777)})["failures"] == [], "none is made there"


def test_the_controllers_directory():
    plan = planned(looks={"controller": look("/home/me/b", mode=0o755, own_uid=1000, free_bytes=1 << 20)})
    assert len(plan["failures"]) == 3
    assert all(text.startswith("all: ") for text in texts(plan))
    assert "chown 1000 /home/me/b, on the controller" in "".join(texts(plan))
    plan = planned(looks={"controller": look("/home/me/b", uid=1000, own_uid=1000)})
    assert plan["failures"] == [] and plan["warnings"] == [] and plan["kept"] == ""


def test_what_goes_to_a_container_stays_on_the_hub_too():
    looks = {"hub2": look("/srv/hub"), "controller": look("/runner/b")}
    plan = planned(looks=looks, container="/run/.containerenv is there")
    warning, = plan["warnings"]
    assert plan["failures"] == [] and plan["kept"] == "/srv/hub" and warning["code"] == "BACKUP_MAY_NOT_LAST"
    assert "(/run/.containerenv is there)" in warning["problem"] and "on hub2 too, in /srv/hub, and of such ones there the newest 2 do" in warning["problem"]
    assert plan["keep_on_hub"] == 2 and plan["facts"]["stays_on_hub"] is True
    seven = planned(looks=looks, container="x", keep=7)
    assert seven["keep_on_hub"] == 7 and "newest" not in seven["warnings"][0]["problem"]
    lasts = planned(looks=looks, container="x", lasts=True)
    assert lasts["warnings"] == [] and lasts["kept"] == "" and lasts["keep_on_hub"] == 0 and "stays_on_hub" not in lasts["facts"]
    hub = planned(container="x")
    assert hub["warnings"] == [] and hub["kept"] == "", "what is not fetched lies where the operator has put it"


def test_more_that_is_wrong_stands_in_the_same_report():
    plan = planned(keep=-1, hub="hub9", problems=[{"host": "all", "problem": "x", "remedy": "y"}])
    assert len(plan["failures"]) == 3 and not plan["complete"]


def test_tablespaces_outside():
    results = pair.running_pair()
    results["hub1"]["hub"]["postgres"]["server"]["tablespaces"] = ["/fast"]
    assert "a tablespace lies outside the data directory: /fast" in texts(planned(results))[0]


# --- what is saved --------------------------------------------------------------------------------------------------

def test_what_is_saved_and_put_back():
    saved = own_files.own_paths(DEBIAN, ["/opt/scripts/"]) + own_files.other_paths(DEBIAN)
    assert {DEBIAN["ppkeys"] + "/", DEBIAN["masterfiles"] + "/", DEBIAN["ha_dir"] + "/", "/opt/scripts/",
            "/etc/corosync/", DEBIAN["policy_server"]} <= set(saved)
    back = own_files.own_paths(DEBIAN)
    assert DEBIAN["ppkeys"] + "/" in back and "/etc/corosync/" not in back and DEBIAN["policy_server"] not in back
    for name, out in (("clone.progress", True), ("maintenance", True), ("restored.json", True), ("pgpass", False)):
        assert own_files.left_out("%s/%s" % (DEBIAN["ha_dir"], name), DEBIAN) is out
    assert own_files.left_out(DEBIAN["masterfiles"] + "/cf_promises_validated", DEBIAN)
    assert not own_files.left_out(DEBIAN["masterfiles"] + "/services/cf_promises_validated", DEBIAN)


def test_resources_of_the_operators_own():
    cluster = dict(pair.running_pair()["hub1"]["hub"]["cluster"], cib_fencing=["fence-hub1"])
    cluster["cib_resources"] = dict.fromkeys(
        ["cfpgsql", "cfvirtip", "cfvirtip_2", "cfvirtip_repl", "fence-hub1", "own"])
    assert model.foreign(cluster) == ["own"]


# --- manifests ------------------------------------------------------------------------------------------------------

def manifest(**more):
    """Of a backup of the fixtures' pair."""
    data = dict(planned()["facts"], format=1, name="2026-01-31T021500Z", time="2026-01-31T02:15:00Z", members=[
        {"name": "database.tar.gz", "bytes": 30 << 20, "sha256": "a" * 64},
        {"name": "hub-hub1.tar.gz", "bytes": 10, "sha256": "b" * 64},
        {"name": "hub-hub2.tar.gz", "bytes": 10, "sha256": "c" * 64}])
    data["postgres"] = {"major": 17, "system_identifier": pair.SYSTEM, "timeline": 1, "bytes": 120 << 20}
    data["shared"] = ["192.168.100.100"]
    data.update(more)
    return data


def test_manifest():
    assert backup_format.parse_manifest(json.dumps(manifest()))["active"] == "hub1"


@pytest.mark.parametrize("text, words", [
    (None, "cut short"), ("", "damaged"), ('{"format": 1', "damaged"), ("[]", "another format"),
    (json.dumps(manifest(format=2)), "another format (2"),
    (json.dumps({key: value for key, value in manifest().items() if key != "hubs"}), "lacks hubs"),
    (json.dumps(manifest(members=manifest()["members"][1:])), "does not name what a backup must hold"),
    (json.dumps(manifest(members=manifest()["members"][:2])), "does not name what a backup must hold"),
    (json.dumps(manifest(members=manifest()["members"] + [{"name": "../x", "bytes": 1, "sha256": "d"}])),
     "does not name what a backup must hold")])
def test_manifest_that_cannot_be(text, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        backup_format.parse_manifest(text)


@pytest.mark.parametrize("size, digest, words", [
    (None, None, "is missing"), (9, None, "has 9 bytes"), (10, "x", "SHA-256 differs"), (10, None, None),
    (10, "b" * 64, None)])
def test_member(size, digest, words):
    problem = backup_format.member_problem(manifest()["members"][1], size, digest)
    assert words in problem if words else problem is None


def listed(number, complete=True, system=pair.SYSTEM):
    name = "2026-01-0%dT000000Z" % number
    return {"path": "/b/" + name, "name": name, "complete": complete, "id": ID,
            "problems": [] if complete else ["short"], "fetched": False,
            "manifest": {"time": name, "postgres": {"system_identifier": system}} if complete else None}


@pytest.mark.parametrize("backups, keep, wanted", [
    ([1, 2, 3], 0, []), ([1, 2, 3], 1, [2, 1]), ([1, 2, 3], 2, [1]), ([1, 2, 3], 9, []), ([1], 1, []), ([], 1, [])])
def test_which_ones_go(backups, keep, wanted):
    found = backup_format.expired([listed(number) for number in backups], keep, pair.SYSTEM)
    assert found == [listed(number)["path"] for number in wanted]


def test_those_cut_short_and_other_databases_neither_count_nor_go():
    backups = [listed(1), listed(2, complete=False), listed(3, system="other"), listed(4, complete=False)]
    assert backup_format.expired(backups, 1, pair.SYSTEM) == [], "the only good one stays"
    assert backup_format.expired(backups + [listed(5)], 1, pair.SYSTEM) == [listed(1)["path"]]
    assert backup_format.expired(backups + [dict(listed(5), fetched=True)], 1, pair.SYSTEM) == [], "it goes to a controller"


def test_of_those_that_stay_because_the_controller_may_not_last_only_such_go():
    def stays(number):
        item = listed(number)
        item["manifest"]["stays_on_hub"] = True
        return item

    backups = [listed(1), stays(2), stays(3), listed(4), stays(5), listed(6)]
    assert backup_format.expired(backups, 2, pair.SYSTEM, True) == [stays(2)["path"]], "the operator's own neither count nor go"
    assert backup_format.expired(backups, 2, pair.SYSTEM) == [item["path"] for item in reversed(backups[:4])]


# --- what runs left that were cut off -------------------------------------------------------------------------------

def unfinished(**more):
    return dict({"path": "/srv/backups/2026-01-01T000000Z", "run": "me", "copying": False, "complete": True,
                 "bytes": 5 << 30, "touched": 1.0, "silent": 10.0}, **more)


@pytest.mark.parametrize("item, state, goes", [
    ({}, True, False), ({}, False, True), ({}, None, False),
    ({"silent": 3 << 20}, True, False), ({"silent": 3 << 20}, None, True),
    ({"complete": False, "copying": True}, None, True), ({"complete": False, "copying": True}, True, True),
    ({"complete": False, "run": None}, None, False), ({"complete": False, "run": None, "silent": 3 << 20}, None, True)])
def test_what_was_cut_off_goes_and_what_goes_on_stays(item, state, goes):
    found = look(unfinished=[unfinished(**item)], locked=False)
    assert model.cut_off(found, lambda run: state) == (found["unfinished"] if goes else [])
    assert model.cut_off(dict(found, locked=True), lambda run: state) == [], "a run copies into it now"


def test_what_goes_counts_as_room():
    left = {"unfinished": [unfinished()], "locked": False, "free_bytes": 1 << 20}
    looks = {"hub2": look(**left), "hub1": look(), "controller": look("/home/me/b", **left)}
    settings = backup_settings()
    found = model.backup_plan(pair.running_pair(), pair.replication_state(), looks, settings, lambda run: False)
    assert found["failures"] == [] and found["complete"]
    assert found["cut_off"] == {"hub2": [unfinished()], "controller": [unfinished()]}
    found = model.backup_plan(pair.running_pair(), pair.replication_state(), looks, settings, lambda run: True)
    assert [text.split(" free ")[0] for text in texts(found)] == ["hub2: 1.0 MB are", "all: 1.0 MB are"]
    assert found["cut_off"] == {}


# --- onto what it may go back ---------------------------------------------------------------------------------------

def blank(name, last):
    return pair.blank_hub(name, last)


def blank_pair():
    return {"hub1": {"hub": blank("hub1", 10)}, "hub2": {"hub": blank("hub2", 11)}}


def whole(**more):
    """A backup as module backup_look lists it."""
    return dict({"path": "/b/2026-01-31T021500Z", "name": "2026-01-31T021500Z", "id": ID, "complete": True,
                 "problems": [], "manifest": manifest()}, **more)


def test_looks_at_paths_out_of_what_the_module_said():
    said = {"hub1": {"looks": ["a1", "b1"]}, "hub2": {"skipped": True}, "controller": {"looks": ["a2"]}}
    assert model.looks_of(said) == {"hub1": "a1", "controller": "a2"}
    assert model.looks_of(said, 1) == {"hub1": "b1"}, "the controller is asked for one path"


def restored(results=None, backup=None, place="controller", looks=None, stages=None, **settings):
    """The plan of a restore on two blank hosts, or on what is given."""
    results = blank_pair() if results is None else results
    looks = looks or {"hub1": look("/b"), "hub2": look("/b"), "controller": look("/b")}
    looks[place] = dict(looks[place], backups=[whole() if backup is None else backup])
    stages = stages or {"hub1": look(), "hub2": look()}
    given = dict({"problems": [], "from": "/b", "virtual_ips": ["192.168.100.100"], "accept_hub_keys": []}, **settings)
    return model.restore_plan(results, looks, stages, given)


def test_on_two_blank_hosts():
    plan = restored()
    assert plan["failures"] == [] and plan["warnings"] == [] and not plan["restored"] and not plan["placed"]
    assert (plan["target"], plan["other"], plan["put"], plan["address"]) == (
        "hub1", "hub2", ["hub1", "hub2"], "192.168.100.10")
    assert plan["packages"] == {"hub1": ["cfengine3", "postgresql-17"], "hub2": ["cfengine3", "postgresql-17"]}
    assert plan["archives"] == {"hub1": "hub-hub1.tar.gz", "hub2": "hub-hub2.tar.gz"}
    assert "hub1 active" in model.restore_text(plan)


def test_the_hub_that_has_the_backup_is_the_active_one():
    assert restored(place="hub2")["target"] == "hub2"


def test_hosts_with_packages_and_identities_of_their_own_are_blank_too():
    results = blank_pair()
    for result in results.values():
        pair.install(result["hub"])
        result["hub"].update(layout_found="debian")
        result["hub"]["cfengine"].update(installed=True, version="3.24.2", key_digest="SHA=new", client_keys=1)
        result["hub"]["postgres"]["bins"] = {"17": "/usr/lib/postgresql/17/bin"}
    plan = restored(results)
    assert plan["failures"] == [] and plan["packages"] == {"hub1": [], "hub2": []}


def living():
    return pair.running_pair()


def with_data(key, **change):
    def make():
        results = blank_pair()
        target = results["hub2"]["hub"]
        if key:
            target[key].update(change)
        else:
            target.update(change)
        return results
    return make


@pytest.mark.parametrize("results, words", [
    (living, "hub1: this host is not blank: a database lies in %s (primary" % DEBIAN["data_dir"]),
    (with_data("postgres", state="stopped", control={"system_identifier": "77"}), "(stopped, system 77)"),
    (with_data("postgres", state="foreign"), "(foreign, system unknown)"),
    (with_data("cfengine", am_policy_hub=True), "it is a policy hub"),
    (with_data("cfengine", policy_server="192.0.2.1"), "it is a client of 192.0.2.1"),
    (with_data("cluster", corosync_conf=pair.corosync_conf("warehouse")), "it belongs to a cluster"),
    (with_data("cluster", cib_resources={"own": "x"}), "it belongs to a cluster"),
    (with_data(None, ports=[22, 5432]), "something listens on port 5432"),
    # A backup of the same pair that went onto other hosts, and the note of another backup, say nothing.
    (with_data(None, restored={"backup": "e" * 64, "state": "done"}, ports=[5432]), "something listens"),
])
def test_hosts_that_are_not_blank(results, words):
    plan = restored(results())
    found = [text for text in texts(plan) if words in text]
    assert found and "install the host anew" in found[0] and not plan["restored"]


def test_the_port_that_must_be_free_is_that_of_the_backup():
    backup = whole()
    backup["manifest"]["postgres"]["port"] = 5433
    for ports, blank in (([22, 5432], True), ([22, 5433], False)):
        assert (restored(with_data(None, ports=ports)(), backup=backup)["failures"] == []) is blank
    del backup["manifest"]["postgres"]["port"]
    assert restored(with_data(None, ports=[22, 5432])(), backup=backup)["failures"], "one of before has the usual port"


def note(results, state, backup=ID, hosts=("hub1", "hub2")):
    for host in hosts:
        results[host]["hub"]["restored"] = {"backup": backup, "name": "x", "state": state}
    return results


def test_the_pair_that_came_out_of_it_is_restored_already():
    plan = restored(note(living(), "done"))
    assert plan["failures"] == [] and plan["restored"] and plan["put"] == [] and plan["placed"]
    assert "restored already" in model.restore_text(plan)


def test_after_a_failover_too():
    plan = restored(note(pair.running_pair("hub2"), "done"))
    assert plan["failures"] == [] and plan["restored"] and plan["target"] == "hub2"


def test_the_pair_that_was_saved_is_no_restored_one():
    assert restored(living())["failures"] and restored(note(living(), "done", "e" * 64))["failures"]
    other = note(living(), "done")
    for result in other.values():
        result["hub"]["postgres"]["server"]["system_identifier"] = pair.OTHER_SYSTEM
    assert restored(other)["failures"], "somebody put another database there since"


@pytest.mark.parametrize("backup", [ID, "e" * 64])
def test_a_run_that_was_cut_off_before_the_database(backup):
    plan = restored(note(blank_pair(), "begun", backup, ["hub1"]))
    assert plan["failures"] == [] and plan["put"] == ["hub1", "hub2"] and not plan["placed"]


def test_a_run_that_was_cut_off_after_the_database():
    results = note(blank_pair(), "begun")
    live = pair.live_hub()
    results["hub1"]["hub"].update(postgres=live["postgres"], cfengine=live["cfengine"], restored={
        "backup": ID, "name": "x", "state": "begun"})
    plan = restored(results)
    assert plan["failures"] == [] and plan["placed"] and plan["put"] == ["hub1", "hub2"] and plan["target"] == "hub1"
    results["hub1"]["hub"]["restored"]["backup"] = "e" * 64
    assert restored(results)["failures"], "a database of another backup is one that is there"


def test_a_database_that_was_moved_away_again():
    plan = restored(note(blank_pair(), "done"))
    assert plan["failures"] == [] and not plan["restored"] and plan["put"] == ["hub1", "hub2"]


# --- which backup, and does it fit ----------------------------------------------------------------------------------

def test_the_newest_complete_one_of_all_places():
    looks = {"hub1": look(backups=[listed(1), listed(4, complete=False)]), "hub2": look(backups=[listed(3)]),
             "controller": look(backups=[listed(3), listed(2)])}
    assert [model.choose(looks)[0], model.choose(looks)[1]["name"]] == ["hub2", "2026-01-03T000000Z"]
    assert model.choose({"hub1": look()}) == (None, None)
    only = {"hub1": look(backups=[listed(4, complete=False)])}
    assert model.choose(only)[1]["complete"] is False


def test_no_backup_and_one_that_was_cut_short():
    looks = {"hub1": look("/b"), "hub2": look("/b"), "controller": look("/b")}
    settings = {"problems": [], "from": "/b", "virtual_ips": [], "accept_hub_keys": []}
    assert "there is no backup in /b, neither on hub1 nor on hub2 nor on the controller" in texts(
        model.restore_plan(blank_pair(), looks, {}, settings))[0]
    assert "hub_ha_restore_from is not set" in texts(
        model.restore_plan(blank_pair(), looks, {}, dict(settings, **{"from": ""})))[0]
    short = whole(complete=False, manifest=None, problems=["it has no manifest.json: it was cut short before its end"])
    assert texts(restored(backup=short)) == [
        "all: the backup /b/2026-01-31T021500Z on the controller cannot be used: it has no manifest.json: it was cut "
        "short before its end -> take another backup"]


def fits(change):
    data = copy.deepcopy(manifest())
    change(data)
    return whole(manifest=data)


@pytest.mark.parametrize("change, words, remedy", [
    (lambda data: data["postgres"].update(major=15), "the backup is of PostgreSQL 15, which is not installed here",
     "add a package source with PostgreSQL 15"),
    (lambda data: data.update(layout="enterprise", edition="enterprise"), "the hub package is not installed here",
     "3.24"),
    (lambda data: data["hubs"].update(hub9=dict(data["hubs"].pop("hub2"))), "no host calls itself hub9",
     "hostnamectl set-hostname"),
    (lambda data: (data.update(listed=["hub1", "hub2"]), data["hubs"].pop("hub2")), "does not hold this hub's own keys",
     "hub_ha_accept_hub_keys=hub2")])
def test_backups_that_do_not_fit(change, words, remedy):
    plan = restored(backup=fits(change))
    assert [text for text in texts(plan) if words in text and remedy in text], texts(plan)


def test_a_hub_whose_keys_are_lost_by_the_operators_word():
    backup = fits(lambda data: (data.update(listed=["hub1", "hub2"]), data["hubs"].pop("hub2")))
    plan = restored(backup=backup, accept_hub_keys=["HUB2"])
    assert plan["failures"] == [] and plan["archives"] == {"hub1": "hub-hub1.tar.gz", "hub2": None}


@pytest.mark.parametrize("found, edition, words", [
    ("enterprise", "enterprise", "CFEngine here has layout enterprise"),
    ("debian", "enterprise", "the backup is of the edition community, and this is enterprise")])
def test_hosts_of_another_edition_or_layout(found, edition, words):
    results = blank_pair()
    for result in results.values():
        result["hub"].update(layout_found=found, layout=copy.deepcopy(LAYOUTS[found]))
        result["hub"]["cfengine"].update(installed=True, version="3.24.2", edition=edition)
    assert len([text for text in texts(restored(results)) if words in text]) == 2


def test_other_versions_and_addresses_are_a_warning():
    plan = restored(backup=fits(lambda data: data.update(cfengine_version="3.21.0")), virtual_ips=["192.168.100.200"])
    assert plan["failures"] == []
    assert [item["problem"] for item in plan["warnings"]] == [
        "CFEngine 3.24.2 here, the backup is of 3.21.0", "CFEngine 3.24.2 here, the backup is of 3.21.0",
        "clients know the shared address 192.168.100.100, which hub_ha_virtual_ip does not name"]


@pytest.mark.parametrize("platform, words", [
    (None, "hub2: this system is not supported: Gentoo -> hubs can be on Debian"),
    ({"name": "RHEL 9", "layouts": ["enterprise"]},
     "hub2: there is no CFEngine hub of Debian's layout on RHEL 9 -> put it back on hosts of the system")])
def test_hosts_of_another_system(platform, words):
    """Before anything is changed: what comes after would look for its packages."""
    results = blank_pair()
    results["hub2"]["hub"].update(platform=platform, os=dict(results["hub2"]["hub"]["os"], name="Gentoo"))
    assert [text for text in texts(restored(results)) if text.startswith(words)]
    assert not [text for text in texts(restored()) if "system" in text]


def test_no_space():
    results = blank_pair()
    results["hub1"]["hub"]["space"]["free_bytes"] = 48 << 20
    assert "48.0 MB free in /var/lib, the database needs" in texts(restored(results))[0]
    stages = {"hub1": look("/var/backups/x", free_bytes=1 << 20, mode=0o755), "hub2": look()}
    found = texts(restored(stages=stages))
    assert len(found) == 2 and "for the backup on its way" in found[1] and "mode 0755" in found[0]
    assert restored(place="hub1", stages=stages)["failures"] == [], "nothing is on its way"


def test_one_host_only():
    results = blank_pair()
    results["hub2"] = {"unreachable": True, "msg": "no route"}
    assert "hub2: cannot be reached: no route -> a pair is put back as a whole" in texts(restored(results))[0]
    del results["hub2"]
    assert "exactly two hubs make a pair" in texts(restored(results))[0]


# --- what people read -----------------------------------------------------------------------------------------------

def test_report():
    plan = planned()
    database = {"bytes": 120 << 20, "member": {"bytes": 30 << 20}, "timeline": 1}
    text = model.made_text(plan, "/srv/backups/x", "hub2", database, {"files": 70, "cib": True}, ["/srv/backups/old"])
    assert "copied from hub2: the passive hub is healthy" in text and "removed /srv/backups/old" in text
    assert "on that hub only" in text and "NOT in it" not in text
    del plan["facts"]["hubs"]["hub2"]
    plan["facts"]["listed"] = ["hub1", "hub2"]
    text = model.made_text(plan, "/b/x", "the controller", database, {"files": 70, "cib": False}, [])
    assert "NOT in it: the keys of hub2" in text and "on that hub only" not in text and "lies in" not in text
    text = model.made_text(dict(plan, kept="/srv/hub", keep_on_hub=2), "/b/x", "the controller", database, {"files": 70, "cib": False}, [])
    assert "It lies in /srv/hub/x on hub2 too, with private keys in it" in text


@pytest.mark.parametrize("progress, words", [
    ({"phase": "packing", "bytes_done": 50, "bytes_total": 200}, "[hub2] packing  25 %  50 B of 200 B"),
    ({"phase": "checking"}, "[hub2] checking with pg_verifybackup"), ({"phase": "recovery"}, "[hub2] replaying WAL"),
    ({"phase": "checkpoint"}, "[hub2] base backup  waiting for the primary's checkpoint")])
def test_progress(progress, words):
    assert model.progress_text("hub2", progress) == words


def test_last_line():
    assert model.final_text("hub1", {"failed": True}) == "[hub1] failed"
    assert model.final_text("hub1", {"changed": False}).endswith("there already")
    assert "done: 1.0 MB in 2.0 s" in model.final_text("hub1", {"changed": True, "bytes": 1 << 20, "seconds": 2.0})
