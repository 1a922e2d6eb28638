"""Bad input on real hosts: refused in plain words that name the host, the problem and the remedy; nothing changes."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager

from shared_hosts import WORK, broken, lab

DATA = WORK + "/state/pg/data"
BIN = "/usr/lib/postgresql/17/bin"
OTHER_CLUSTER = """totem {
    version: 2
    cluster_name: warehouse
}
nodelist {
    node {
        nodeid: 1
        name: shelf1
        ring0_addr: 192.168.0.77
    }
    node {
        nodeid: 2
        name: hub2
        ring0_addr: 192.168.0.11
    }
}
"""


@contextmanager
def laboratory(breaking, mending):
    """The same with two commands of the lab."""
    lab(*breaking)
    try:
        yield
    finally:
        lab(*mending)


def test_every_wrong_variable_in_one_report(refused):
    done = refused(
        "11 thing(s) must be put right first",
        "hub_ha_virtual_ip is not set -> set it to the address",
        "fencing is not decided -> set hub_ha_fencing to a list of devices, or to 'none'",
        "hub_ha_token must be a whole number and is 'fast'",
        "hub_ha_crypto_cipher must be one of aes128, aes192, aes256 and is 'rot13'",
        "hub_ha_max_slot_wal_keep_size must be 0 or more and is -1",
        "hub_ha_replication_password must be a text ->",
        "there is no variable hub_ha_wal_keep_sizes -> did you mean hub_ha_wal_keep_size?",
        "hub_ha_tls_key alone is given -> give hub_ha_tls_certificate, hub_ha_tls_key and hub_ha_tls_ca together",
        "hub_ha_links names 10.9.8.0/24, on which the hubs have no address in common",
        "10.9.9.9 is on no network that both hubs have",
        "hub_ha_replication_user must be of small letters, digits and underscores and is",
        variables={"hub_ha_virtual_ip": None, "hub_ha_fencing": None, "hub_ha_fencing_none_reason": None,
                   "hub_ha_token": "fast", "hub_ha_crypto_cipher": "rot13", "hub_ha_max_slot_wal_keep_size": -1,
                   "hub_ha_replication_password": {"vault": "hush-hush"}, "hub_ha_wal_keep_sizes": 512,
                   "hub_ha_tls_key": "/etc/ssl/key.pem", "hub_ha_links": ["10.9.8.0/24"],
                   "hub_ha_replication_virtual_ip": "10.9.9.9", "hub_ha_replication_user": "Ann \"quote\" Lee"})
    assert "hush-hush" not in done.output


def test_none_without_a_reason_and_addresses_that_cannot_be(refused):
    refused("hub_ha_fencing is 'none' without a reason -> write the reason into hub_ha_fencing_none_reason",
            "the shared address 172.16.1.1 lies in no subnet that both hubs have (hub1: 192.168.0.10/24",
            "the shared address '192.168.100.300' is no IP address -> give a plain address",
            "hub2: the shared address 192.168.100.11 is this hub's own address -> choose a free one",
            "the shared address 192.168.100.21 is in use already", "seen from hub1) -> choose a free address",
            variables={"hub_ha_fencing_none_reason": " ",
                       "hub_ha_virtual_ip": ["172.16.1.1", "192.168.100.300", "192.168.100.11", "192.168.100.21"]})


def test_fencing_devices_that_cannot_be(refused):
    devices = [{"id": "fence-hub1", "agent": "fence_ipmilan", "hub": "hub1", "pasword": "hush-hush",
                "params": {"ip": "10.9.9.9", "login_passwd": "hush-hush"}},
               {"id": "fence-both", "agent": "fence_none", "hub": ["hub1", "hub2"], "params": "ip=10.9.9.9"},
               {"id": "fence-hub2", "agent": "fence_lacking", "hub": "hub2", "params": {"ip": "10.9.9.8"}}]
    done = refused(
        "6 thing(s) must be put right first",
        "fencing device fence-hub1 has an unknown key pasword -> did you mean password?",
        "fencing device fence-hub1 has login_passwd in params, and params go into the CIB in clear",
        "hub of fencing device fence-both is not one text -> give one", "params of fencing device fence-both is not a",
        "hub1: the fence agent fence_lacking is not installed here (/usr/sbin/fence_lacking) -> add its package",
        "hub2: the fence agent fence_lacking is not installed here", variables={"hub_ha_fencing": devices})
    assert "hush-hush" not in done.output


def test_two_equal_names(refused, hub2):
    with broken(hub2, "hostname HUB1", "hostname hub2"):
        refused("both hubs answer to the name 'hub1' (uname -n) -> give each hub its own host name: "
                "hostnamectl set-hostname NAME")


def tls_files(folder):
    """An authority, and a certificate by it that has expired: {file name: content}."""
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in ("req -x509 %s -keyout ca.key -out ca.crt -subj /CN=ca" % curve,
                    "req %s -keyout hub.key -out hub.csr -subj /CN=hub" % curve,
                    "x509 -req -in hub.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 0 -out hub.crt"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return dict((path.name, path.read_text(encoding="ascii")) for path in folder.iterdir())


def test_tls_files_that_do_not_fit(refused, hub1, hub2, tmp_path):
    """hub1: the certificate has expired. hub2, blank: another key, and one that its database's user could not read."""
    files = tls_files(tmp_path)
    write = "umask 022; mkdir /etc/own && cd /etc/own && cat >hub.crt <<'END' && cat >ca.crt <<'MID' && (umask 077; " \
            "cat >hub.key) <<'LAST'\n%sEND\n%sMID\n%sLAST\n"
    with broken(hub1, write % (files["hub.crt"], files["ca.crt"], files["hub.key"]) + "chown cfpostgres: hub.key",
                "rm -r /etc/own"), \
            broken(hub2, write % (files["hub.crt"], files["ca.crt"], files["ca.key"]), "rm -r /etc/own"):
        done = refused("3 thing(s) must be put right first",
                       "hub1: the certificate /etc/own/hub.crt does not pass with the authorities /etc/own/ca.crt: "
                       "certificate has expired -> put a certificate, its key without a passphrase",
                       "hub2: the key /etc/own/hub.key does not belong to the certificate /etc/own/hub.crt",
                       "hub2: PostgreSQL will not use the key /etc/own/hub.key with owner and mode root:root 0600 -> "
                       "make the database's user first: useradd --system",
                       variables={"hub_ha_tls_certificate": "/etc/own/hub.crt", "hub_ha_tls_key": "/etc/own/hub.key",
                                  "hub_ha_tls_ca": "/etc/own/ca.crt"})
    for name in ("ca.key", "hub.key"):
        assert files[name].splitlines()[1] not in done.output


def late_clock(hub):
    """Containers share their machine's clock, so it is the hub's answer that is wrong."""
    date = "/usr/local/bin/date"
    late = "#!/bin/sh\\nexec /bin/date -d \"+1.2 seconds\" \"$@\"\\n"
    return broken(hub, "printf '%%b' '%s' >%s && chmod +x %s" % (late, date, date), "rm " + date)


def foreign_cluster_and_taken_port(hub):
    folder = "/etc/corosync"
    listener = "systemd-run --quiet --collect --unit=squatter python3 -c 'import socket, time; " \
               "s = socket.create_server((\"127.0.0.1\", 5432)); time.sleep(600)'"
    return broken(hub, "mkdir %s && cat >%s/corosync.conf <<'END'\n%sEND\n%s" % (
        folder, folder, OTHER_CLUSTER, listener), "rm -r %s; systemctl stop squatter" % folder)


def no_space(hub):
    state = WORK + "/state"
    return broken(hub, "mkdir -p %s && mount -t tmpfs -o size=48m tmpfs %s" % (state, state),
                  "umount %s && rmdir -p --ignore-fail-on-non-empty %s" % (state, state))


def test_five_things_on_the_hubs_in_one_report(refused, hub1, hub2):
    path = WORK + "/masterfiles/def.json"
    spoilt = broken(hub1, "cp -a %s /root/kept && echo ,, >>%s" % (path, path), "mv /root/kept %s" % path)
    with late_clock(hub2), spoilt, foreign_cluster_and_taken_port(hub2), no_space(hub2):
        refused("5 thing(s) must be put right first",
                "the clocks of hub1 and hub2 are at least 1.",
                "s apart -> run a time service (chrony, systemd-timesyncd) on both",
                "hub1: %s is not what CFEngine reads: Extra data" % path, "-> correct the file",
                "hub2: this host belongs to another cluster: 'warehouse' with the nodes hub2, shelf1 -> "
                "take it out of that cluster first",
                "hub2: something else listens on port 5432 -> stop and disable it",
                "hub2: 48.0 MB free in %s/state, the copy needs" % WORK,
                "-> make room or mount a larger file system there")


def test_link_down(refused):
    with laboratory(["link", "down", "hub2", "replication"], ["link", "up", "hub2", "replication"]):
        refused("hub1: hub2 (192.168.10.11) port 5405/udp cannot be reached -> check cable, routes and firewall",
                "hub1: hub2 (192.168.10.11) port 5432/tcp cannot be reached",
                "hub2: hub1 (192.168.10.10) port 5405/udp cannot be reached")


def test_firewall_drops_one_port(refused, hub2):
    rule = "nft add table inet shut && nft add chain inet shut in '{ type filter hook input priority 0; }' && " \
           "nft add rule inet shut in ip daddr 192.168.10.11 tcp dport 5432 drop"
    with broken(hub2, rule, "nft delete table inet shut"):
        done = refused("1 thing(s) must be put right first",
                       "hub1: hub2 (192.168.10.11) port 5432/tcp cannot be reached")
        assert "udp" not in done.output


ALTER = "psql -XAtq -d postgres -c \"ALTER SYSTEM %s\" -c 'SELECT pg_reload_conf()'"


def test_a_setting_of_long_ago_with_which_postgresql_would_not_start(refused, hub1):
    """Nobody has restarted it since; the restart of an upgrade, or the next failover, would have found out."""
    with broken(hub1, ALTER % "SET shared_buffers = '500GB'", ALTER % "RESET shared_buffers"):
        refused("1 thing(s) must be put right first",
                "hub1: PostgreSQL would not start again with what stands in its files: FATAL: could not map "
                "anonymous shared memory: Cannot allocate memory (what has changed since it was started: "
                "shared_buffers: 128MB now, 500GB in",
                "ALTER SYSTEM RESET NAME; then: SELECT pg_reload_conf() (SETTINGS_WONT_START)")


def test_a_database_that_the_agent_could_not_ask(refused, hub1):
    load = "; psql -XAtq -d postgres -c 'SELECT pg_reload_conf()'; sleep 1"
    with broken(hub1, "sed -i '1i local all cfpostgres reject' %s/pg_hba.conf" % DATA + load,
                "sed -i 1d %s/pg_hba.conf" % DATA + load):
        refused("1 thing(s) must be put right first",
                "hub1: asked as pacemaker's agent asks, PostgreSQL does not answer \"f\" or \"t\":",
                "pg_hba.conf rejects connection", "As root this must print f or t: runuser cfpostgres -c",
                "(AGENT_SQL)")


def test_unreachable_hub(refused):
    with laboratory(["pause", "hub2"], ["unpause", "hub2"]):
        refused("1 thing(s) must be put right first", "hub2: cannot be reached:",
                "-> check address, network and SSH key with: ansible -i INVENTORY -m ping hub2",
                reachable=["hub1"], ANSIBLE_TIMEOUT="4")


def test_passive_hub_has_data_of_its_own(refused, hub2):
    """Stopped and running; then the operator does what the report says."""
    hub2.run_expect([0], "mkdir -p /etc/postgresql-common && "
                         "echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf && "
                         "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-17")
    hub2.run_expect([0], "useradd --system --groups postgres --home-dir %s cfpostgres && mkdir -p %s/state/pg && "
                         "install -d -o cfpostgres -m 0700 %s && runuser -u cfpostgres -- %s/initdb -D %s "
                         "&& echo 'local all all trust' >%s/pg_hba.conf"
                    % (WORK, WORK, DATA, BIN, DATA, DATA))
    try:
        refused("hub2: this hub has a database of its own (system", "move %s aside: nothing here overwrites" % DATA)
        hub2.run_expect([0], "runuser -u cfpostgres -- %s/pg_ctl -D %s -w -l /tmp/own.log start" % (BIN, DATA))
        # A database that root may not ask; then one that answers and is a primary.
        refused("hub2: a PostgreSQL runs here (pid", "does not answer",
                "if it is not needed, stop it and move %s aside" % DATA)
        hub2.run_expect([0], "runuser -u cfpostgres -- createuser -s root")
        refused("hub2: PostgreSQL runs as a primary on both hubs: hub1 (system", "and hub2 (system",
                "on the other one stop PostgreSQL and move its data directory aside: nothing here overwrites a primary")
    finally:
        hub2.run("runuser -u cfpostgres -- %s/pg_ctl -D %s -m fast stop" % (BIN, DATA))
    hub2.run_expect([0], "mv %s %s.mine && ls %s.mine/PG_VERSION" % (DATA, DATA, DATA))
