"""ansible-playbook is killed in the middle of its work, run after run, until one run reaches the end."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import get_host, lab, play, recap, report, sql  # noqa: E402

EVERY = int(os.environ.get("CUT_EVERY", "3"))  # changed tasks between two cuts; 1 cuts after each
DELAYS = (0.0, 0.4, 1.5)                       # seconds into the task that is cut
# Long or delicate tasks are cut in their middle, once each, when they are first reached. Packages: before, in the upgrade that
# is given up.
TASKS = [("Start and enable", 0.8), ("Restart PostgreSQL, once", 0.15),
         ("Clone the passive hub", 0.9), ("Resources, constraints, properties", 0.7),
         ("bootstrap : Bootstrap", 0.3)]
MOST_RUNS = 80


def cut_play(note, **how):
    """One run of the playbook that is killed: (exit status, output); the file *note* then names the task."""
    return play(ANSIBLE_CALLBACKS_ENABLED="cut_off", CUT_NOTE=str(note),
                ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "molecule/interrupted/callback_plugins"), **how)


def removal():
    """remove-ha.yml to its end: (exit status, output in one line, number of changed tasks of each hub)."""
    status, output = play(playbook="remove-ha.yml")
    return status, " ".join(output.split()), recap(output)


def test_an_upgrade_that_never_came_to_the_database_is_given_up(tmp_path):
    """Cut off in the middle of stages 4 and 5; then its removal is cut off too, and the upgrade is made anew below."""
    hub1, hub2 = get_host("hub1"), get_host("hub2")
    pid = "head -n 1 /var/lib/cfengine3/state/pg/data/postmaster.pid"
    server = hub1.check_output(pid)
    for number, (task, delay) in enumerate((("Install packages", 5.0), ("Start and enable", 0.8))):
        note = tmp_path / ("upgrade-%d" % number)
        status, output = cut_play(note, CUT_CHANGES="0", CUT_TASKS=json.dumps({task: delay}))
        assert status == -9 and note.exists(), output[-4000:]
    assert hub2.run("systemctl is-enabled cf-postgres").stdout.strip() == "masked"

    status, output = play("--check", playbook="remove-ha.yml")
    assert status == 0 and recap(output)["hub1"] > 0 and recap(output)["hub2"] > 0, output[-4000:]
    assert "an upgrade that never came to the database" in " ".join(output.split())
    for hub in (hub1, hub2):
        assert hub.file("/etc/corosync/corosync.conf").exists, "a check changes nothing"

    note = tmp_path / "removal"
    status, output = cut_play(note, playbook="remove-ha.yml", CUT_CHANGES="0",
                              CUT_TASKS=json.dumps({"Key and configuration": 0.0}))
    assert status == -9 and note.exists(), output[-4000:]
    status, text, _changed = removal()
    assert status == 0 and "The upgrade is given up. hub1 serves as before" in text, text[-4000:]
    status, text, changed = removal()
    assert status == 2 and "there is nothing to remove" in text and changed == {"hub1": 0, "hub2": 0}, text[-4000:]

    assert hub1.check_output(pid) == server, "nobody has restarted it"
    for hub in (hub1, hub2):
        for unit in ("corosync", "pacemaker"):
            assert not hub.service(unit).is_running and not hub.service(unit).is_enabled
        for path in ("/etc/corosync/corosync.conf", "/etc/corosync/authkey", "/var/lib/cfengine-hub-ha.masked",
                     "/var/lib/cfengine3/state/pg/hub_ha"):
            assert not hub.file(path).exists
        assert hub.check_output("find /var/lib/pacemaker/cib -type f -name 'cib*'") == ""
    assert not hub2.file("/etc/systemd/system/cf-postgres.service").is_symlink
    assert hub2.run("systemctl is-enabled cf-postgres").stdout.strip() != "masked"


def test_every_cut_is_healed(tmp_path):
    cuts = []
    waiting = list(TASKS)
    for number in range(MOST_RUNS):
        note = tmp_path / ("cut-%d" % number)
        began = time.monotonic()
        status, output = cut_play(note, CUT_CHANGES=str(EVERY), CUT_DELAY=str(DELAYS[number % len(DELAYS)]),
                                  CUT_TASKS=json.dumps(dict(waiting)))
        if status == 0:
            break
        assert status == -9 and note.exists(), output[-4000:]
        cuts.append(note.read_text(encoding="utf-8"))
        print("run %d was cut after %.1f s in: %s" % (number + 1, time.monotonic() - began, cuts[-1]))
        waiting = [item for item in waiting if item[0] not in cuts[-1]]
    else:
        raise AssertionError("not finished after %d runs" % MOST_RUNS)
    assert len(cuts) >= 10
    assert waiting == [], "never reached"
    print("%d runs were cut off, the next one reached the end" % len(cuts))


def test_cut_in_maintenance_mode(tmp_path):
    """On the pair, with the server restarted and the cluster still told to look away."""
    hub1 = get_host("hub1")
    hub1.run_expect([0], "echo 'max_replication_slots = 12' >>/var/lib/cfengine3/state/pg/data/postgresql.conf")
    sql(hub1, "SELECT pg_reload_conf()")
    note = tmp_path / "cut"
    status, output = cut_play(note, CUT_CHANGES="0", CUT_TASKS=json.dumps({"Cluster out of maintenance": 0.0}))
    assert status == -9 and note.exists(), output[-4000:]
    marker = "/var/lib/cfengine3/state/pg/hub_ha/maintenance"
    assert hub1.file(marker).exists
    assert hub1.check_output("crm_attribute --type crm_config --name maintenance-mode --query --quiet") == "true"
    assert sql(hub1, "SHOW max_replication_slots") == ["12"]

    # Had the cut left the server stopped, the cluster is not let loose on it.
    data = "/var/lib/cfengine3/state/pg/data"
    pg_ctl = "cd /tmp && runuser -u cfpostgres -- /usr/lib/postgresql/17/bin/pg_ctl -w -D %s " % data
    hub1.run_expect([0], pg_ctl + "-m fast stop")
    status, output = play()
    assert status == 2, output[-4000:]
    assert "PostgreSQL is stopped, and the cluster leaves it so: a run that was cut off" in output
    assert recap(output) == {"hub1": 0, "hub2": 0}
    hub1.run_expect([0], pg_ctl + "-l /var/log/postgresql.log start")

    status, output = play()
    assert status == 0, output[-4000:]
    assert not hub1.file(marker).exists
    assert "maintenance-mode" not in hub1.check_output("cibadmin --query --scope crm_config")


def test_a_run_of_another_controller_is_not_followed_without_a_word():
    """Of the runs above, all on this controller, each next one goes on at once; who works elsewhere cannot be seen."""
    hub2, lease = get_host("hub2"), "/var/lib/cfengine-hub-ha/run.json"
    assert not hub2.file(lease).exists, "the last run has given it back"
    held = {"run": "elsewhere", "who": "root@laptop", "what": "remove-ha.yml", "valid": 3600, "since": time.time(),
            "renewed": time.time(), "controller": {"host": "laptop", "pid": 1, "started": "1"}}
    hub2.run_expect([0], "umask 077; echo '%s' >%s" % (json.dumps(held), lease))
    status, output = play()
    said = " ".join(output.split())
    assert status == 2 and "hub2: remove-ha.yml of root@laptop is at work on this pair" in said, output[-4000:]
    assert "-e hub_ha_run_takeover=elsewhere" in said and recap(output) == {"hub1": 0, "hub2": 0}
    assert not get_host("hub1").file("/var/lib/cfengine-hub-ha/run.json").exists, "taken beside it, and given back"
    assert hub2.file(lease).exists


def test_pair_is_whole():
    status, output = play("-e", "hub_ha_run_takeover=elsewhere")
    assert status == 0, output[-4000:]
    assert "this run goes on in its place: by your word" in " ".join(output.split())
    assert recap(output) == {"hub1": 0, "hub2": 0}

    lab("writer", "stop")
    figures = report("writer")
    assert figures["lost"] == 0 and figures["duplicates"] == 0
    hub1, hub2 = get_host("hub1"), get_host("hub2")
    assert sql(hub1, "SELECT application_name, state FROM pg_stat_replication") == ["hub2|streaming"]
    assert sql(hub2, "SELECT pg_is_in_recovery()") == ["t"]
    root = ElementTree.fromstring(hub1.check_output("cibadmin --query"))
    assert sorted(item.get("id") for item in root.iter("primitive")) == ["cfpgsql", "cfvirtip"]
    for hub in (hub1, hub2):
        assert not hub.file("/usr/sbin/policy-rc.d").exists
        assert hub.check_output("dpkg --audit") == ""
        assert hub.check_output("ls -A /var/lib/cfengine3/state/pg").split().count("data") == 1
        assert ".data.clone" not in hub.check_output("ls -A /var/lib/cfengine3/state/pg")
