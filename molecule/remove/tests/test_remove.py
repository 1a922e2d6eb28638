"""From a pair to a single hub and back, twice, under the eyes of writers. The tests follow each other."""

from __future__ import annotations

import difflib
import json
import re
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import (  # noqa: E402
    ADDRESSES, SHARED, WORK, changed_tasks, get_host, hub1, hub2, keep_figures, lab, play, power_cut, recap,
    report, sql)

DATA = WORK + "/state/pg/data"
LIMIT = 3.0  # seconds without an acknowledged write
# Where the playbook is killed, and how many seconds into that task: in the restart, before the data is moved. (In the
# switchover nobody serves until the next run, so that is a test of its own.)
CUTS = [("PostgreSQL under its own unit", 0.6), ("The data of the other hub", 0.0)]
# All that a removal changes, as text.
FINGERPRINT = r"""
cd /var/lib/cfengine3 && sha256sum state/pg/data/*.conf ha.cfg masterfiles/def.json masterfiles/services/hub_ha.* 2>&1
head -1 state/pg/data/postmaster.pid
ls -A state/pg state/pg/hub_ha /etc/corosync /etc/systemd/system /var/backups/* 2>&1
systemctl list-unit-files --no-legend --type=service --state=masked,enabled,disabled
systemctl is-active corosync pacemaker cf-execd cf-serverd cf-postgres cfengine3
for part in crm_config resources constraints; do cibadmin --query --scope $part | sha256sum; done 2>&1
"""


def remove(*options, **environment):
    """One run of the playbook: (exit status, output)."""
    return play(*options, playbook="remove-ha.yml", **environment)


def killed(folder, task, delay, *options):
    """One run that is killed that many seconds into that task."""
    note_file = folder / "cut"
    note_file.unlink(missing_ok=True)
    status, output = remove(*options, ANSIBLE_CALLBACKS_ENABLED="cut_off", CUT_NOTE=str(note_file),
                            CUT_TASKS=json.dumps({task: delay}),
                            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "molecule/interrupted/callback_plugins"))
    assert status == -9 and note_file.exists(), output


def note(what, **figures):
    """Print figures, and keep them."""
    keep_figures("remove", dict(figures, what=what))


def written(what, kind="probe", read_from="hub1"):
    """Figures of a writer that has stopped: nothing lost; returns its longest gap before its last write."""
    figures = report(kind, "--read-from", read_from)
    longest = max([gap["seconds"] for gap in figures["gaps"] if gap["at"] < figures["last_ack"]], default=0.0)
    note(what, writer=kind, acknowledged=figures["acknowledged"], lost=figures["lost"], longest_gap_s=longest,
         failed=figures["failed"])
    assert figures["acknowledged"] > 100 and figures["lost"] == figures["duplicates"] == 0, figures
    return longest


def wait_for(what, condition, seconds=30):
    """Poll until *condition* holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError("waited %d s in vain for %s" % (seconds, what))


def single(kept, gone):
    """What holds of a single hub and of the one that is stopped."""
    assert sql(kept, "SELECT pg_is_in_recovery()") == ["f"]
    assert "/cf-postgres.service" in kept.check_output("cat /proc/$(head -1 %s/postmaster.pid)/cgroup" % DATA)
    assert kept.check_output("systemctl is-enabled cf-postgres") == "enabled"
    assert sql(kept, "SELECT count(*) FROM pg_replication_slots") == ["0"]
    assert sql(kept, "SELECT count(*) FROM pg_roles WHERE rolname = 'hub_ha_repl'") == ["0"]
    assert sql(kept, "SELECT sourcefile, error FROM pg_file_settings WHERE error IS NOT NULL") == []
    text = kept.file(DATA + "/pg_hba.conf").content_string
    assert "hub_ha" not in text and "hostssl cfdb            lab_writer" in text
    assert "pgsql RA" not in kept.file(DATA + "/postgresql.conf").content_string
    for hub in (kept, gone):
        for unit in ("corosync", "pacemaker"):
            assert not hub.service(unit).is_running and not hub.service(unit).is_enabled
        for path in ("/etc/corosync/corosync.conf", "/etc/corosync/authkey", "/var/lib/pacemaker/cib/cib.xml",
                     "/usr/lib/ocf/resource.d/cfengine/pgsql", WORK + "/ha.cfg", WORK + "/state/pg/hub_ha/maintenance",
                     WORK + "/state/pg/hub_ha/pgpass", WORK + "/state/pg/tmp/PGSQL.lock",
                     "/etc/systemd/system/cf-postgres.service.d/hub_ha-pair.conf"):
            assert not hub.file(path).exists, path
    assert gone.run("pgrep -u cfpostgres -f bin/postgres").rc == 1
    assert gone.check_output("systemctl show -p LoadState --value cf-postgres") == "masked"
    assert not gone.file(DATA).exists
    aside = gone.check_output("ls -d %s.removed-*/PG_VERSION" % DATA).split()
    assert len(aside) >= 1
    assert gone.run("pgrep -l ^cf-").stdout == "" and not gone.service("cfengine3").is_enabled
    assert not gone.file(WORK + "/state/am_policy_hub").exists and not gone.file("/run/hub_ha/role").exists
    assert SHARED not in gone.check_output("ip -4 addr show")


def hubs_of(host):
    """(names in the list of hubs that a host has, its policy hub)."""
    known = json.loads(host.file(WORK + "/inputs/services/hub_ha.json").content_string)
    return (sorted(hub["name"] for hub in known["hubs"].values()),
            host.file(WORK + "/policy_server.dat").content_string.strip())


def agent(host):
    """One run of a host's agent, without an error."""
    done = host.run("cf-agent -K -f update.cf && cf-agent -K")
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr


def digest(host):
    return host.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()


# --- bad input ----------------------------------------------------------------------------------------------------

def test_everything_that_stands_against_it_in_one_report(hub1, hub2, tmp_path):
    """A resource of somebody else, another standby, wrong variables, a hub that cannot be reached."""
    client = get_host("client1")
    agent(client)
    assert client.file("%s/ppkeys/root-%s.pub" % (WORK, digest(hub2))).exists, "it knows both hubs"
    primitive = '<primitive id="theirs" class="ocf" provider="pacemaker" type="Dummy"/>'
    hub1.run_expect([0], "cibadmin --create --scope resources --xml-text '%s'" % primitive)
    sql(hub1, "SELECT pg_create_physical_replication_slot('hub_ha_hub3')")
    before = [hub.check_output(FINGERPRINT) for hub in (hub1, hub2)]
    inventory = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text(encoding="utf-8"))
    inventory["hubs"]["hosts"]["hub2"]["ansible_host"] = "192.168.100.250"
    lost = tmp_path / "hosts.yml"
    lost.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    try:
        for options, words in (
                (("-e", "hub_ha_allow_restart=false", "-e", "hub_ha_keep_adress=true"),
                 ("5 thing(s) must be put right first", "hub1: the cluster runs other resources too: theirs",
                  "hub2: the cluster runs other resources too: theirs", "did you mean hub_ha_keep_address?",
                  "another standby follows this hub (replication slot hub_ha_hub3)", "hub_ha_allow_restart is false")),
                (("-i", str(lost)), ("1 thing(s)", "hub2: cannot be reached",
                                     "hub1 is to go on alone: -e hub_ha_remove_without=hub2")),
                (("-i", str(lost), "-e", "hub_ha_remove_without=hub2"),
                 ("hub2: it is not lost: the cluster on hub1 sees it online",))):
            status, output = remove(*options)
            flat = " ".join(output.split())
            assert status != 0 and "Nothing was changed." in flat, output
            assert [word for word in words if word not in flat] == [], output
            assert set(recap(output).values()) == {0}, output
        for old, hub in zip(before, (hub1, hub2)):
            new = hub.check_output(FINGERPRINT)
            assert list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=0)) == []
    finally:
        sql(hub1, "SELECT pg_drop_replication_slot('hub_ha_hub3')")
        hub1.run_expect([0], "crm_resource --resource theirs --force --delete --resource-type primitive || "
                             "cibadmin --delete --xml-text '<primitive id=\"theirs\"/>'")


# --- the active hub stays, and keeps the address ------------------------------------------------------------------

def test_the_active_hub_goes_on_alone_with_the_address(hub1, hub2):
    lab("writer", "start")
    lab("probe", "start")
    before = [hub.check_output(FINGERPRINT) for hub in (hub1, hub2)]
    status, told = remove("--check", "-e", "hub_ha_keep_address=true")
    assert status == 0, told
    assert [hub.check_output(FINGERPRINT) for hub in (hub1, hub2)] == before

    status, output = remove("-e", "hub_ha_keep_address=true")
    assert status == 0, output
    lab("probe", "stop")
    lab("writer", "stop")
    assert written("active hub stays, through the shared address") < LIMIT
    assert written("active hub stays, on the hub", "writer") < LIMIT
    print("restart: " + re.search(r"it was away for ([0-9.]+) s", output).group(0))
    single(hub1, hub2)
    assert SHARED in hub1.check_output("ip -4 addr show")
    # What cannot be foretold: the start of a unit that is new, the marker that the run itself has made, the save of the
    # state that it reaches, and whether cf-agent has anything to say. Everything else is.
    assert set(changed_tasks(output)) - set(changed_tasks(told)) <= {
        "hub1: Run it now, and at each boot", "hub1: The maintenance is over, with the cluster",
        "hub1: Save configuration, keys and CIB", "hub2: Save configuration, keys and CIB"}
    assert [task for task in changed_tasks(told) if task not in changed_tasks(output)
            and "The hub says who it is" not in task] == []

    status, output = remove("-e", "hub_ha_keep_address=true")
    assert status == 0 and recap(output) == {"hub1": 0, "hub2": 0}, output


def test_clients_go_on_through_the_address(hub1, hub2):
    client = get_host("client1")
    agent(client)
    agent(hub1)
    assert hubs_of(client) == (["hub1"], SHARED)
    agent(client)
    for host in (client, hub1):
        assert not host.file("%s/ppkeys/root-%s.pub" % (WORK, digest(hub2))).exists
    assert hub1.file("/run/hub_ha/role").content_string == "active\n"
    assert ADDRESSES["hub2"] not in json.loads(hub1.file(WORK + "/masterfiles/def.json").content_string)["vars"]["acl"]


def test_the_hub_comes_back_from_a_power_cut_by_itself(hub1):
    lab("power", "off", "hub1")
    lab("power", "on", "hub1")
    wait_for("PostgreSQL on hub1", lambda: hub1.run("psql -XAtq -d postgres -c 'SELECT 1'").stdout == "1\n")
    wait_for("the shared address", lambda: SHARED in hub1.check_output("ip -4 addr show"))
    assert not hub1.service("pacemaker").is_running and hub1.service("cf-postgres").is_running
    hub1.run_expect([0], "systemctl stop hub-ha-address")
    assert SHARED in hub1.check_output("ip -4 addr show"), "a stop of the unit takes nothing away"
    hub1.run_expect([0], "systemctl start hub-ha-address")


# --- a pair again -------------------------------------------------------------------------------------------------

def test_the_two_become_a_pair_again(hub1, hub2):
    lab("probe", "start")
    status, output = play()
    assert status == 0, output
    lab("probe", "stop")
    assert written("a pair again") < LIMIT
    assert sql(hub1, "SELECT application_name, state FROM pg_stat_replication") == ["hub2|streaming"]
    assert sql(hub2, "SELECT pg_is_in_recovery()") == ["t"]
    assert not hub1.file("/etc/systemd/system/hub-ha-address.service").exists
    for hub, role in ((hub1, "active"), (hub2, "passive")):
        assert hub.file("/run/hub_ha/role").content_string == role + "\n"
        assert hub.service("cfengine3").is_enabled and hub.service("cf-execd").is_running
    assert hub2.check_output("ls -d %s.removed-*" % DATA), "what was put aside stays"
    client = get_host("client1")
    agent(client)
    assert hubs_of(client) == (["hub1", "hub2"], SHARED)
    agent(client)


# --- the passive hub stays, without the address -------------------------------------------------------------------

def test_a_switchover_that_fails_is_undone(hub1, hub2):
    """A standby that does not replay what it receives lacks rows: it is not promoted."""
    sql(hub2, "SELECT pg_wal_replay_pause()")
    status, output = remove("-e", "hub_ha_keep=hub2")
    flat = " ".join(output.split())
    assert status != 0 and "it is not promoted, because rows would be lost" in flat, output
    assert "hub1 takes writes again" in flat, output
    assert sql(hub1, "SELECT pg_is_in_recovery()") == ["f"] and SHARED in hub1.check_output("ip -4 addr show")
    wait_for("the standby", lambda: sql(hub1, "SELECT application_name, state FROM pg_stat_replication")
             == ["hub2|streaming"])


def test_the_passive_hub_goes_on_alone_without_the_address(hub1, hub2, tmp_path):
    """The playbook is killed twice on the way; the next run goes on each time."""
    lab("probe", "start")
    for task, delay in CUTS:
        killed(tmp_path, task, delay, "-e", "hub_ha_keep=hub2")
    status, output = remove("-e", "hub_ha_keep=hub2")
    assert status == 0, output
    lab("probe", "stop")
    assert written("passive hub stays", read_from="hub2") < LIMIT
    single(hub2, hub1)
    assert SHARED not in hub2.check_output("ip -4 addr show")
    assert not hub2.file(DATA + "/hub_ha.conf").exists
    assert sql(hub2, "SELECT name FROM pg_settings WHERE sourcefile LIKE '%hub_ha%' OR pending_restart") == []

    status, output = remove("-e", "hub_ha_keep=hub2")
    assert status == 0 and recap(output) == {"hub1": 0, "hub2": 0}, output


def test_clients_are_led_to_the_hub(hub2):
    client = get_host("client1")
    client.run("cf-agent -K -f update.cf; cf-agent -K")  # it complains of the address that does not answer
    agent(client)
    assert hubs_of(client) == (["hub2"], ADDRESSES["hub2"])
    agent(client)
    agent(hub2)


# --- a pair again, of the hub that stayed, and the active hub is lost ----------------------------------------------

def test_a_removal_that_is_killed_in_the_switchover_can_be_taken_back(hub1, hub2, tmp_path):
    """As docs/operate.md says, "Maintenance mode": the database is started in place, the upgrade does the rest."""
    status, output = play()
    assert status == 0, output
    killed(tmp_path, "The other one has all, and takes writes", 0.0, "-e", "hub_ha_keep=hub1")
    assert SHARED not in hub2.check_output("ip -4 addr show")
    status, output = play()
    assert status != 0 and "a run that was cut off had set maintenance mode" in " ".join(output.split()), output
    assert set(recap(output).values()) == {0}, output
    hub2.check_output("cd /tmp && runuser -u cfpostgres -- /usr/lib/postgresql/15/bin/pg_ctl -D %s -w "
                      "-l /var/log/postgresql.log start" % DATA)
    status, output = play()
    assert status == 0, output
    assert sql(hub2, "SELECT application_name, state FROM pg_stat_replication") == ["hub1|streaming"]
    assert SHARED in hub2.check_output("ip -4 addr show")


def test_a_pair_again_survives_a_power_cut():
    assert power_cut("hub2", "hub1") == 3


def test_the_hub_that_is_lost_is_given_up(hub1):
    """hub2 has no power."""
    status, output = remove("-e", "hub_ha_remove_without=hub2", "-e", "hub_ha_keep_address=true")
    assert status == 0, output
    assert sql(hub1, "SELECT pg_is_in_recovery()") == ["f"]
    assert "/cf-postgres.service" in hub1.check_output("cat /proc/$(head -1 %s/postmaster.pid)/cgroup" % DATA)
    assert SHARED in hub1.check_output("ip -4 addr show")
    agent(hub1)
    assert hubs_of(hub1)[0] == ["hub1"]


def test_should_it_come_back_it_is_stopped(hub1, hub2):
    lab("power", "on", "hub2")
    assert sql(hub1, "SELECT pg_is_in_recovery()") == ["f"] and SHARED in hub1.check_output("ip -4 addr show")
    status, output = remove("-e", "hub_ha_keep_address=true")
    assert status == 0, output
    single(hub1, hub2)
    assert SHARED in hub1.check_output("ip -4 addr show")
