"""Drift made by hand is shown by --check --diff exactly as the real run then mends it."""

from __future__ import annotations

import os
import re

import yaml
from conftest import ROOT, WORK, changed_tasks, play, recap, sql, without_agents

COROSYNC = "/etc/corosync/corosync.conf"
HBA = WORK + "/state/pg/data/pg_hba.conf"
HA_INFO = WORK + "/masterfiles/cfe_internal/enterprise/ha/ha_info.json"


def diffs(output):
    """The lines of all diffs that a play printed, in a stable order.

    Without headers, which name temporary files, and without the list of what the backup at the end saves: the state
    that is saved then is there in a real run only.
    """
    found, inside = [], False
    for line in output.splitlines():
        if line.startswith(("TASK [", "PLAY ")):
            inside = False
        if line.startswith(("--- ", "+++ ")):
            inside = True
        elif re.match(r"(ok|changed|skipping|fatal): \[", line):
            inside = False
        elif inside and line.startswith(("+", "-")) and not line.startswith("+save "):
            found.append(line)
    return sorted(found)


def running(hub):
    """Process ids of what must go on running: of the daemons, not of a `pacemakerd --version` that somebody calls."""
    found = hub.check_output("systemctl show --property MainPID --value corosync pacemaker").split()
    assert len(found) == 2 and "0" not in found
    return found


def starts(hub):
    """How often PostgreSQL was started on the hub so far."""
    return hub.file("/var/log/postgresql.log").content_string.count("starting PostgreSQL")


def test_drift_is_shown_and_mended(hub1, hub2):
    with without_agents(hub1, hub2):
        drift(hub1, hub2)


def drift(hub1, hub2):
    """Make it, look, mend it."""
    # pcs and people rewrite the file and lose comments; the cluster is no less this pair's for that, and goes on.
    for hub in (hub1, hub2):
        hub.run_expect([0], "sed -i '/^#/d' %s" % COROSYNC)
        assert not hub.file(COROSYNC).contains("Ansible")
    before = [running(hub) for hub in (hub1, hub2)]
    started = starts(hub1)
    hub1.run_expect([0], "sed -i 's/token: 3000/token: 2000/' %s" % COROSYNC)
    hub1.run_expect([0], "cibadmin --modify --xml-text "
                         "'<nvpair id=\"cfvirtip-meta_attributes-migration-threshold\" value=\"5\"/>'")
    hub1.run_expect([0], "cibadmin --modify --xml-text '<rsc_order id=\"promote-then-cfengine\" kind=\"Optional\"/>'")
    hub1.run_expect([0], "sed -i '/hub_ha_repl 192.168.100.11/d' %s" % HBA)
    # A setting of the operator's that waits for a restart: on a pair that is one in place, in maintenance mode.
    hub1.run_expect([0], "echo 'max_replication_slots = 12' >>%s/postgresql.conf" % os.path.dirname(HBA))
    sql(hub1, "SELECT pg_reload_conf()")
    for hub in (hub1, hub2):
        hub.run_expect([0], "sed -i 's/\"sha\": \"..../\"sha\": \"0000/' %s" % HA_INFO)

    status, checked = play("--check", "--diff")
    assert status == 0, checked[-3000:]
    announced = recap(checked)
    assert announced["hub1"] > 0
    text = "\n".join(diffs(checked))
    for part in ("-    token: 2000", "+    token: 3000", "migration-threshold=5", "kind=Optional",
                 "+hostssl replication hub_ha_repl 192.168.100.11/32 scram-sha-256", '"sha": "0000'):
        assert part in text, part
    assert "one restart of PostgreSQL, for max_replication_slots" in checked
    assert "Restart in place, as a real run will do it" in checked
    assert hub1.file(COROSYNC).contains("token: 2000"), "check mode has changed something"
    assert sql(hub1, "SHOW max_replication_slots") == ["10"]

    status, real = play("--diff")
    assert status == 0, real[-3000:]
    assert diffs(real) == diffs(checked)
    for host, count in announced.items():
        # the backup of the state reached comes on top, where the run has changed something
        assert recap(real)[host] - count in (0, 1)

    status, output = play("--check", "--diff")
    assert (status, changed_tasks(output), diffs(output)) == (0, [], [])
    assert recap(output) == {"hub1": 0, "hub2": 0}
    assert hub1.check_output("corosync-cmapctl -g runtime.config.totem.token").endswith("= 3000")
    assert "hub_ha_repl 192.168.100.11/32" in hub1.file(HBA).content_string
    assert sql(hub1, "SHOW max_replication_slots") == ["12"]
    assert not hub1.file(WORK + "/state/pg/hub_ha/maintenance").exists
    assert "maintenance-mode" not in hub1.check_output("cibadmin --query --scope crm_config")
    assert [running(hub) for hub in (hub1, hub2)] == before
    assert starts(hub1) == started + 1, "one restart of the server that serves, for what waits for one"
    for hub in (hub1, hub2):
        assert hub.file(COROSYNC).contains("^# Managed by Ansible")


def other_order(path, names, nested):
    """The lab's inventory with its hubs the other way round, under these names: {hub: name}. Returns its path.

    nested: each hub in a group of its own, two levels below the group hubs, and the groups the other way round.
    """
    data = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text(encoding="utf-8"))
    hosts = data["hubs"].pop("hosts")
    found = dict((names.get(hub, hub), hosts[hub]) for hub in reversed(list(hosts)))
    if nested:
        data["hubs"]["children"] = {"sites": {"children": dict(
            ("site_%s" % name, {"hosts": {name: found[name]}}) for name in found)}}
        data = dict(reversed(list(data.items())))
    else:
        data["hubs"]["hosts"] = found
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def test_other_orders_names_and_groups_in_the_inventory_change_nothing(hub1, hub2, tmp_path):
    before = [running(hub) for hub in (hub1, hub2)], starts(hub1), hub1.file(COROSYNC).content_string
    for names, nested in (({}, False), ({"hub1": "zebra", "hub2": "ape"}, False), ({}, True)):
        status, output = play(inventory=other_order(tmp_path / "hosts.yml", names, nested))
        assert (status, changed_tasks(output)) == (0, []), output[-3000:]
    assert ([running(hub) for hub in (hub1, hub2)], starts(hub1), hub1.file(COROSYNC).content_string) == before
