"""The pair as it really is: processes, sockets, replication, CIB, files, secrets."""

from __future__ import annotations

import calendar
import json
import sys
import time
from xml.etree import ElementTree

from conftest import BEGUN, ENTERPRISE, ROOT, SHARED, WORK, report, lab, sql

sys.path.insert(0, str(ROOT))
from lab.hub import OPERATOR_DEF_JSON  # noqa: E402

HA_DIR = WORK + "/state/pg/hub_ha"
DATA = WORK + "/state/pg/data"


def secrets(hub):
    """Every secret of the hub: texts that may stand nowhere else."""
    found = [hub.file(HA_DIR + "/replication.password").content_string.strip(),
             hub.file("/etc/corosync/authkey").content_string.strip()]
    assert all(len(text) >= 24 for text in found)
    return found


def cib(hub):
    """The CIB as pacemaker has it."""
    return ElementTree.fromstring(hub.check_output("cibadmin --query"))


def attributes(hub, node):
    """Transient attributes of a node."""
    found = {}
    for state in cib(hub).findall("status/node_state"):
        if state.get("uname") == node:
            for pair in state.iter("nvpair"):
                found[pair.get("name")] = pair.get("value")
    return found


def test_processes(hub):
    # looked at once: a child that ends between two looks (postgres, cf-execd have them) is not a fault
    running = [line.split(None, 3) for line in hub.check_output("ps -ww -e -o user:32=,ppid=,comm=,args=").splitlines()]
    for name, user in (("corosync", "root"), ("pacemakerd", "root"), ("cf-serverd", "root"), ("cf-execd", "root")):
        # of the daemon itself: cf-execd forks for each run of the agent
        assert [item[0] for item in running if item[1:3] == ["1", name]] == [user], name
    postmasters = [item[0] for item in running if item[2] == "postgres" and " -D " in item[3]]
    assert postmasters == ["cfpostgres"]


def test_sockets(hub, hub1):
    assert hub.socket("tcp://0.0.0.0:5432").is_listening
    assert hub.socket("tcp://5308").is_listening
    udp = hub.check_output("ss -Huln")
    number = 10 if hub.check_output("uname -n") == "hub1" else 11
    for net in ("192.168.0", "192.168.10", "192.168.100"):
        assert "%s.%d:54" % (net, number) in udp
    assert SHARED in hub1.check_output("ip -4 addr show")


def test_replication(hub1, hub2):
    rows = sql(hub1, "SELECT application_name, state, sync_state, usename, ssl FROM pg_stat_replication "
                     "JOIN pg_stat_ssl USING (pid)")
    assert rows == ["hub2|streaming|async|hub_ha_repl|t"]
    assert sql(hub1, "SELECT slot_name, active, wal_status FROM pg_replication_slots") == ["hub_ha_hub2|t|reserved"]
    assert sql(hub2, "SELECT pg_is_in_recovery()") == ["t"]
    assert sql(hub1, "SELECT rolsuper, rolreplication, rolcreaterole, rolcreatedb FROM pg_roles "
                     "WHERE rolname = 'hub_ha_repl'") == ["f|t|f|f"]
    assert sql(hub1, "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'hub_ha_repl'") == ["SCRAM-SHA-256$"]


def test_row_reaches_the_passive_hub(hub1, hub2):
    lsn = sql(hub1, "SELECT pg_current_wal_lsn()")[0]
    assert sql(hub2, "SELECT pg_last_wal_replay_lsn() >= '%s'::pg_lsn OR pg_last_wal_receive_lsn() >= '%s'::pg_lsn"
               % (lsn, lsn)) == ["t"]


def test_upgrade_lost_nothing():
    lab("writer", "stop")
    figures = report("writer")
    assert figures["acknowledged"] > 500
    assert figures["lost"] == 0
    assert figures["longest_gap_s"] <= 2.0, figures
    print("upgrade: longest gap %.2f s, %d acknowledged, %d lost"
          % (figures["longest_gap_s"], figures["acknowledged"], figures["lost"]))


def test_at_most_one_restart(hub1):
    first = report("writer")["first_ack"]
    starts = [line[:23] for line in hub1.file("/var/log/postgresql.log").content_string.splitlines()
              if "database system is ready to accept connections" in line]
    times = [calendar.timegm(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S")) for line in starts]
    # What was restarted since the upgrade, the test of drift has wanted.
    assert len(times) >= 1 and len([at for at in times if first < at < BEGUN]) <= 1


def test_cib(hub1):
    root = cib(hub1)
    identifiers = [item.get("id") for item in root.find("configuration").iter() if item.get("id")]
    assert len(identifiers) == len(set(identifiers))
    agents = dict((item.get("id"), item.get("type")) for item in root.iter("primitive"))
    assert agents == {"cfvirtip": "IPaddr2", "cfpgsql": "pgsql"}
    assert [item.get("id") for item in root.iter("group")] == ["cfengine"]
    assert [item.get("id") for item in root.iter("clone")] == ["mscfpgsql"]
    assert hub1.run("crm_verify --live-check").rc == 0


def test_only_our_resources_stay_and_leave_as_we_want(hub1):
    """Every other resource of the cluster has pacemaker's own defaults."""
    assert cib(hub1).find("configuration/rsc_defaults//nvpair") is None
    for resource, threshold, forgotten in (("cfvirtip", "3", "60s"), ("cfpgsql", "1", "5s")):
        for name, value in (("resource-stickiness", "1000"), ("migration-threshold", threshold),
                            ("failure-timeout", forgotten)):
            assert hub1.check_output("crm_resource --resource %s --meta --get-parameter %s" % (resource, name)) == value


def test_configuration_can_be_loaded_again(hub):
    """The agent has postgresql.conf include a file. Where that is missing, no reload takes and no restart ends."""
    assert sql(hub, "SELECT sourcefile, error FROM pg_file_settings WHERE error IS NOT NULL") == []


def test_status_that_cfengine_reads(hub1):
    active, passive = attributes(hub1, "hub1"), attributes(hub1, "hub2")
    assert (active["cfpgsql-status"], passive["cfpgsql-status"]) == ("PRI", "HS:async")
    assert (active["master-cfpgsql"], passive["master-cfpgsql"]) == ("1000", "100")
    assert hub1.check_output("sh -c \"$(sed -n 's/^cmd: //p' %s/ha.cfg)\"" % WORK) == "PRI"


def test_links_are_encrypted_and_up(hub1):
    keys = hub1.check_output("corosync-cmapctl")
    assert "totem.crypto_cipher (str) = aes256" in keys
    assert "totem.crypto_hash (str) = sha256" in keys
    links = hub1.check_output("corosync-cfgtool -s")
    assert links.count("LINK ID") == 3 and "disconnected" not in links


def test_unit_leaves_postgresql_alone(hub):
    assert hub.check_output("systemctl show -p LoadState --value cf-postgres") == "masked"
    assert hub.service("corosync").is_enabled and hub.service("pacemaker").is_enabled
    assert not hub.file("/usr/sbin/policy-rc.d").exists


def test_file_modes(hub):
    for path, user, mode in (("/etc/corosync/authkey", "root", 0o400),
                             (HA_DIR + "/pgpass", "cfpostgres", 0o600),
                             (HA_DIR + "/server.key", "cfpostgres", 0o600),
                             (HA_DIR + "/replication.password", "cfpostgres" if ENTERPRISE else "root", 0o600),
                             (DATA, "cfpostgres", 0o700),
                             (WORK + "/ppkeys/localhost.priv", "root", 0o600),
                             ("/var/backups/cfengine-hub-ha", "root", 0o700)):
        item = hub.file(path)
        assert (item.user, item.mode) == (user, mode), path


def test_no_secret_in_the_open(hub, play_output):
    cib_text = hub.check_output("cibadmin --query")
    processes = hub.check_output("ps -eo args")
    journal = hub.check_output("journalctl --no-pager -o cat")
    for secret in secrets(hub):
        for name, text in (("CIB", cib_text), ("process list", processes), ("journal", journal),
                           ("play's output", play_output)):
            assert secret not in text, name
        assert hub.run("grep -rlF -e %s /var/log /tmp /etc/pacemaker %s/masterfiles" % (secret, WORK)).stdout == ""
        readable = hub.check_output("find /etc /var/lib /var/backups /root -xdev -type f -perm -o=r -size -64k "
                                    "-exec grep -lF -e %s {} +; true" % secret)
        assert readable == ""


def test_ha_info_is_strict_and_true(hub, hub1, hub2):
    text = hub.file(WORK + "/masterfiles/cfe_internal/enterprise/ha/ha_info.json").content_string
    assert len(text.encode()) < 4096
    data = json.loads(text)
    assert sorted(data) == ["192.168.100.10", "192.168.100.11"]
    for host, address in ((hub1, "192.168.100.10"), (hub2, "192.168.100.11")):
        digest = host.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).split("=")[1].strip()
        assert data[address] == {"sha": digest, "internal_ip": address}


def test_def_json_keeps_what_was_there(hub):
    data = json.loads(hub.file(WORK + "/masterfiles/def.json").content_string)
    operators = json.loads(json.dumps(OPERATOR_DEF_JSON).replace("/var/lib/cfengine3", WORK))
    kept = dict(operators["vars"], acl=OPERATOR_DEF_JSON["vars"]["acl"] + ["192.168.100.10", "192.168.100.11"])
    assert dict((name, data["vars"][name]) for name in kept) == kept
    vendors = {"enable_cfengine_enterprise_hub_ha": ["any::"]} if ENTERPRISE else {}  # off on the Community edition
    assert data["classes"] == dict(operators["classes"], **vendors)
    assert data["inputs"] == operators["inputs"] + ["services/hub_ha.cf"]


def test_operators_access_rule_survives(hub):
    text = hub.file(DATA + "/pg_hba.conf").content_string
    assert "hostssl cfdb            lab_writer      192.168.100.0/24        scram-sha-256" in text


def test_hubs_have_their_own_keys_and_know_each_other(hub1, hub2):
    keys = [host.file(WORK + "/ppkeys/localhost.pub").content_string for host in (hub1, hub2)]
    assert keys[0] != keys[1]
    names = []
    for host, other in ((hub1, hub2), (hub2, hub1)):
        digest = other.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()
        assert host.file("%s/ppkeys/root-%s.pub" % (WORK, digest)).exists
        names.append(set(host.check_output("ls %s/ppkeys" % WORK).split()))
    own = "root-%s.pub" % hub2.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()
    assert names[0] - names[1] <= {own}
    assert len(names[1]) > 50


def test_same_policy(hub1, hub2):
    command = ("cd %s/masterfiles && find . -type f ! -name 'cf_promises_*' -exec sha256sum {} + | sort | sha256sum"
               % WORK)
    assert hub1.check_output(command) == hub2.check_output(command)


def test_agent_runs_on_both_hubs(hub):
    done = hub.run("cf-agent -K -f update.cf && cf-agent -K && cf-promises -f %s/inputs/promises.cf" % WORK)
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_hubs_say_who_is_active(hub1, hub2):
    assert [host.file("/run/hub_ha/role").content_string for host in (hub1, hub2)] == ["active\n", "passive\n"]


def test_backup_has_a_true_manifest(hub):
    first = hub.check_output("ls -1d /var/backups/cfengine-hub-ha/* | head -1")
    manifest = json.loads(hub.file(first + "/manifest.json").content_string)
    assert manifest["host"] == hub.check_output("uname -n")
    lines = hub.check_output("cd %s && find . -path './files/*' -type f -exec sha256sum {} +" % first).splitlines()
    found = dict((line.split("  ./files", 1)[1], line.split()[0]) for line in lines)
    assert found == dict((entry["path"], entry["sha256"]) for entry in manifest["files"])
