"""A third hub through a failover within the pair, a disaster, and the way back. The tests follow each other."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import (  # noqa: E402,F401
    ADDRESSES, SHARED, WORK, get_host, hub1, hub2, keep_figures, lab, play, recap, report, sql)

THIRD = "inventories/lab/third-hub.yml"
DATA = WORK + "/state/pg/data"
UPDATE = "cf-agent --no-lock --file update.cf"  # where a client finds its hub
WRITABLE_WITHIN = 15.0  # seconds from the command to the first write
LONGEST_GAP = 5.0       # seconds without a write on the way back
WHEREVER = "%s,%s" % (ADDRESSES["hub3"], SHARED)  # for a writer outside: whoever takes writes


def note(**figures):
    """Print figures, and keep them."""
    keep_figures("third-hub", figures)


def run(playbook, *options):
    """One run of a playbook with the third hub's inventory: (exit status, output)."""
    return play("-i", THIRD, *options, playbook=playbook)


def wait_for(what, condition, seconds):
    """Poll until *condition* returns something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.3)
    raise AssertionError("waited %d s in vain for %s" % (seconds, what))


def policy_hub(client="client1"):
    """Address from which a client gets its policy."""
    return get_host(client).file(WORK + "/policy_server.dat").content_string.strip()


def agent(name, command):
    """One run of a host's agent; what it said."""
    done = get_host(name).run(command)
    assert done.rc == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def streams(hub):
    """Does the third hub stream from this hub, encrypted?"""
    return sql(get_host(hub), "SELECT state, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) "
                              "WHERE application_name = 'hub3'") == ["streaming|t"]


def slot(hub):
    """The third hub's slot on a hub: in use, holds WAL."""
    return sql(get_host(hub), "SELECT active, restart_lsn IS NOT NULL FROM pg_replication_slots "
                              "WHERE slot_name = 'hub_ha_hub3'")


def takes_writes(hub):
    """Whether the hub's database is a primary now."""
    return get_host(hub).run("psql -XAtq -d postgres -c 'SELECT pg_is_in_recovery()'").stdout.strip() == "f"


def test_third_hub_follows_outside_of_the_cluster(hub1):
    assert streams("hub1")
    assert slot("hub1") == ["t|t"] and slot("hub2") == ["f|f"], "on the passive hub it holds nothing"
    third = get_host("hub3")
    assert third.service("cf-postgres").is_running and third.service("cf-postgres").is_enabled
    assert third.service("cf-execd").is_running and third.service("cf-serverd").is_running
    assert not third.file("/etc/corosync/corosync.conf").exists and third.run("command -v pacemakerd").rc != 0
    assert "hub3" not in hub1.check_output("crm_resource --resource cfpgsql --get-parameter node_list")
    assert sql(hub1, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lab_writer'") == ["1"]


def test_pair_and_clients_know_it_before_any_disaster(hub1):
    for name in ("hub1", "hub2", "hub3"):
        host = get_host(name)
        info = json.loads(host.file(WORK + "/masterfiles/cfe_internal/enterprise/ha/ha_info.json").content_string)
        assert info[ADDRESSES["hub3"]]["is_in_cluster"] is False and "is_in_cluster" not in info[ADDRESSES["hub1"]]
    agent("client1", UPDATE + " && cf-agent --no-lock")
    digest = get_host("hub3").check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()
    assert get_host("client1").file("%s/ppkeys/root-%s.pub" % (WORK, digest)).exists
    augments = json.loads(get_host("client1").file(WORK + "/inputs/def.json").content_string)
    assert ADDRESSES["hub3"] in augments["vars"]["acl"]
    assert [get_host(name).file("/run/hub_ha/role").content_string for name in ("hub1", "hub2", "hub3")] == [
        "active\n", "passive\n", "passive\n"]
    assert policy_hub() == SHARED


def test_secrets_of_the_third_hub_are_for_few():
    third = get_host("hub3")
    for path, user, mode in (("/pgpass", "cfpostgres", 0o600), ("/outside.conf", "cfpostgres", 0o600),
                             ("/replication.password", "root", 0o600), ("/server.key", "cfpostgres", 0o600)):
        item = third.file(WORK + "/state/pg/hub_ha" + path)
        assert (item.user, item.mode) == (user, mode), path
    secret = third.file(WORK + "/state/pg/hub_ha/replication.password").content_string.strip()
    assert secret not in third.check_output("ps -eo args") + third.check_output("journalctl --no-pager -o cat")


def test_third_hub_inside_the_cluster_is_refused(tmp_path):
    both = tmp_path / "both.yml"
    both.write_text("hubs: {hosts: {hub3: }}\n", encoding="utf-8")
    status, output = run("third-hub.yml", "-i", str(both))
    assert status != 0 and "this hub is in the groups hubs and third_hub" in output, output
    assert "Nothing was changed." in output and set(recap(output).values()) == {0}


def test_promotion_is_refused_while_the_pair_lives(hub1):
    status, output = run("promote-third-hub.yml")
    assert status != 0 and "a hub of the pair can be reached: " in output, output
    for address in (ADDRESSES["hub1"], ADDRESSES["hub2"], SHARED):
        assert "%s (port 22 accepts" % address in output, output
    assert set(recap(output).values()) == {0} and not takes_writes("hub3")
    # Only with the operator's word, and then the hubs that live are stopped before.
    status, output = run("promote-third-hub.yml", "--check", "-e", "hub_ha_promote_confirm=true")
    assert status == 0 and recap(output) == {"hub1": 3, "hub2": 3, "hub3": 1}, output
    assert output.index("must not serve beside the third hub") < output.index("PostgreSQL takes writes"), output
    assert not takes_writes("hub3") and hub1.service("pacemaker").is_running


def test_a_limit_does_not_get_round_the_stop_of_the_pair(hub1):
    """Nobody of the pair would be stopped, and the third hub promoted beside it."""
    status, output = run("promote-third-hub.yml", "-e", "hub_ha_promote_confirm=true", "--limit", "hub3")
    assert status != 0 and "leaves out hub1 and hub2" in " ".join(output.split()), output
    assert not takes_writes("hub3") and takes_writes("hub1") and hub1.service("pacemaker").is_running


def test_failover_within_the_pair(hub1, hub2):
    lab("writer", "stop")
    figures = report("writer", "--read-from", "hub1")
    assert figures["lost"] == 0 and figures["longest_gap_s"] <= 2.0, figures
    lab("probe", "start", "--address", WHEREVER)
    began = time.monotonic()
    hub1.check_output("crm_standby --node hub1 --update on")
    wait_for("hub2 to be active", lambda: takes_writes("hub2"), 30)
    wait_for("the third hub to follow hub2", lambda: streams("hub2"), 40)
    note(failover_s=round(time.monotonic() - began, 1))
    assert slot("hub2") == ["t|t"]
    hub1.check_output("crm_standby --node hub1 --delete")
    wait_for("hub1 to stream", lambda: sql(hub2, "SELECT state FROM pg_stat_replication "
                                                 "WHERE application_name = 'hub1'") == ["streaming"], 60)
    # The slot that was in use on hub1 stands still since then: the hub's own agent sees to it that it holds nothing.
    agent("hub1", "cf-agent --no-lock")
    assert slot("hub1") == ["f|f"]


def test_both_hubs_are_lost_and_the_third_one_takes_over():
    lab("power", "off", "hub2")
    lab("power", "off", "hub1")
    third = get_host("hub3")
    received = sql(third, "SELECT pg_last_wal_receive_lsn()")[0]
    rows = int(sql(third, "SELECT count(*) FROM ha_writes", "cfdb")[0])
    began = time.time()
    status, output = run("promote-third-hub.yml")
    assert status == 0 and takes_writes("hub3"), output
    lab("probe", "stop")
    # Of a writer outside, from the command to the first write that was acknowledged again.
    gap = [item for item in report("probe", "--read-from", "hub3")["gaps"]
           if item["at"] <= began <= item["at"] + item["seconds"]][0]
    writable = gap["at"] + gap["seconds"] - began
    note(writable_s=round(writable, 1), whole_playbook_s=round(time.time() - began, 1), rows=rows)
    assert writable <= WRITABLE_WITHIN
    kept = int(sql(third, "SELECT count(*) FROM ha_writes", "cfdb")[0])
    assert kept > rows, "every row that it had received is there, and the first ones since"
    fork = third.check_output("tail -1 $(ls %s/pg_wal/*.history | tail -1)" % DATA).split()[1]
    assert sql(third, "SELECT '%s'::pg_lsn >= '%s'::pg_lsn" % (fork, received)) == ["t"]


def test_clients_follow_to_the_third_hub():
    said = agent("client1", UPDATE)
    assert policy_hub() == ADDRESSES["hub3"], said + get_host("hub3").check_output(
        "cat /run/hub_ha/role; ps -C cf-serverd -o etime")
    get_host("hub3").check_output("umask 077; echo '# in the disaster' >%s/masterfiles/services/disaster.cf" % WORK)


def test_promoted_again_changes_nothing():
    status, output = run("promote-third-hub.yml")
    assert status == 0 and recap(output)["hub3"] == 0, output


def test_old_hubs_that_come_back_do_not_serve(hub1, hub2):
    lab("power", "on", "hub1")
    lab("power", "on", "hub2")
    wait_for("the cluster", lambda: hub1.run("crm_mon -1 | grep -q 'Online: .* hub1 hub2'").rc == 0, 60)
    wait_for("pacemaker to have tried", lambda: "third hub is active" in hub1.run("crm_mon -1f").stdout
             or "third hub is active" in hub2.run("crm_mon -1f").stdout, 90)
    assert not takes_writes("hub1") and not takes_writes("hub2") and takes_writes("hub3")
    assert SHARED not in hub1.check_output("ip -4 addr show") + hub2.check_output("ip -4 addr show")
    status, output = run("upgrade-to-ha.yml")
    assert status != 0 and set(recap(output).values()) == {0}, output


def test_way_back(hub1, hub2):
    lab("probe", "start", "--address", WHEREVER)
    began = time.monotonic()
    status, output = run("return-from-third-hub.yml")
    seconds = time.monotonic() - began
    lab("probe", "stop")
    assert status == 0, output
    found = report("probe", "--read-from", "hub1")
    note(return_s=round(seconds), longest_gap_s=found["longest_gap_s"], acknowledged=found["acknowledged"],
         lost=found["lost"])
    assert found["lost"] == 0 and found["longest_gap_s"] < LONGEST_GAP, found
    assert takes_writes("hub1") and not takes_writes("hub2") and not takes_writes("hub3")
    assert streams("hub1") and slot("hub1") == ["t|t"] and slot("hub2") == ["f|f"]
    assert SHARED in hub1.check_output("ip -4 addr show")
    assert [get_host(name).file("/run/hub_ha/role").content_string for name in ("hub1", "hub2", "hub3")] == [
        "active\n", "passive\n", "passive\n"]
    assert hub1.check_output("ls -d %s.before-*" % DATA) and hub2.check_output("ls -d %s.before-*" % DATA)


def test_clients_and_policy_are_back(hub1):
    agent("client1", UPDATE)
    assert policy_hub() == SHARED
    for name in ("hub1", "hub2", "hub3"):
        assert get_host(name).file(WORK + "/masterfiles/services/disaster.cf").exists, name


def test_nothing_is_left_to_return():
    """Nor to do for upgrade-to-ha.yml and third-hub.yml, with which it ends."""
    status, output = run("return-from-third-hub.yml")
    assert status == 0 and recap(output) == {"hub1": 0, "hub2": 0, "hub3": 0}, output


def test_confirmed_promotion_stops_a_pair_that_lives(hub1, hub2):
    """With the operator's word. The last test: nobody brings this pair back."""
    lab("probe", "start", "--address", WHEREVER)
    status, output = run("promote-third-hub.yml", "-e", "hub_ha_promote_confirm=true")
    assert status == 0 and takes_writes("hub3"), output
    ended = time.time()
    wait_for("a write on the third hub", lambda: report("probe", "--read-from", "hub3")["last_ack"] > ended, 20)
    lab("probe", "stop")
    found = report("probe", "--read-from", "hub3")
    note(confirmed_gap_s=found["longest_gap_s"], acknowledged=found["acknowledged"], lost=found["lost"])
    assert found["lost"] == 0, "a clean stop waits until the standbys have received everything"
    for hub in (hub1, hub2):
        assert hub.run("pgrep -u cfpostgres -f bin/postgres").rc == 1
        assert SHARED not in hub.check_output("ip -4 addr show")
        for unit in ("pacemaker", "corosync"):
            assert not hub.service(unit).is_running and not hub.service(unit).is_enabled
