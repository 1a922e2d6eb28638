"""Layouts with which a hub becomes a pair all the same: all of them at once, in one upgrade; then on the pair."""

from __future__ import annotations

import time

import pytest
from bad_input import fingerprint
from conftest import BIN, BY_UNIT, DATA, WITHOUT_ACL, Row, inventory_with, made
from shared_hosts import ADDRESSES, WORK, broken, get_host, keep_figures, without_agents

PORT, SOCKETS = 5433, "/run/hubdb"
LINKS = ("192.168.0.0/24", "192.168.10.0/24", "192.168.100.0/24")
# Lists given as texts, as people write them; the bound is what the report says of a disk of 3 GB.
VARIABLES = {"hub_ha_fencing_packages": "fence-agents-ipmilan", "hub_ha_class_expression": "any::",
             "hub_ha_max_slot_wal_keep_size": 1024}
ARCHIVE = "/srv/wal-archive"
CONF = r"""
port = %d
unix_socket_directories = '%s'
lc_messages = 'de_DE.UTF-8'
archive_mode = on
archive_command = 'test -d %s && cp %%p %s/%%f'
shared_preload_libraries = 'pg_stat_statements'
# of the operator's, and in nobody's way
work_mem = 5MB
""" % (PORT, SOCKETS, ARCHIVE, ARCHIVE)
# On both hubs. Bridges within each, with the same address on both; networks of two hosts; addresses of IPv6 that go
# away (deprecated), and on hub2 one that client1 has already (dadfailed).
NETWORKS = """set -e
n=$(($(uname -n | tr -dc 0-9) - 1))
for bridge in docker0,172.17.0.1/16 virbr0,192.168.122.1/24; do
    ip link add "${bridge%,*}" type bridge
    ip addr add "${bridge#*,}" dev "${bridge%,*}"
    ip link set "${bridge%,*}" up
done
ip addr add "10.9.9.$n/31" dev eth0
[ -e /proc/net/if_inet6 ] || exit 0
echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
ip addr add "fd00:7::$((n + 2))/127" dev eth0
ip addr add "fd00:8::1$n/64" dev eth0
ip addr add "fd00:9::1$n/64" dev eth0 preferred_lft 0
[ "$n" = 0 ] || timeout 10 sh -c 'until ip addr show dev eth0 | grep -q dadfailed; do sleep 0.2; done'
"""
CLIENT = "[ ! -e /proc/net/if_inet6 ] || { echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; " \
         "ip addr add fd00:8::11/64 dev eth0 nodad; }"
# As on hosts that were installed in German; PostgreSQL's translations were left out of the lab's images.
GERMAN = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends locales && " \
         "localedef -i de_DE -f UTF-8 de_DE.UTF-8 && dpkg-deb --fsys-tarfile /srv/packages/postgresql-17_*.deb | " \
         "tar -x -C / ./usr/share/locale/de/LC_MESSAGES"
# The disks of the database and of its WAL, the latter with what mkfs leaves in it.
DISKS = """set -e
systemctl stop cf-postgres
mv {data} /srv/data
mv /srv/data/pg_wal /srv/wal
install -d -o cfpostgres -g cfpostgres -m 0700 {data} /srv/data/pg_wal
mkdir -m 0700 /srv/wal/lost+found
mount --bind /srv/data {data}
mount --bind /srv/wal {data}/pg_wal
install -d -o cfpostgres -g postgres -m 2775 {sockets}
install -d -o cfpostgres -m 0700 {archive}
cat >>{data}/postgresql.conf <<'END'
{conf}END
{start}
""".format(data=DATA, sockets=SOCKETS, archive=ARCHIVE, conf=CONF, start=BY_UNIT)
# One directory higher than the data directory, as the report of test_1_refused.py says; smaller than the usual bound.
DISK_OF_HUB2 = "mkdir -p {0} && mount -t tmpfs -o size=3g,mode=0755 tmpfs {0} && mkdir -m 0700 {0}/lost+found".format(
    WORK + "/state/pg")
# The policy framework then makes its list of who may connect of that name.
BY_NAME = WITHOUT_ACL + " && cf-agent --no-lock --trust-server=no --bootstrap hub1"


@pytest.fixture(scope="module", name="peculiar", autouse=True)
def fixture_peculiar(hub1, hub2, database):
    """All of it; PostgreSQL is restarted, and the writer begins anew where it is then."""
    get_host("client1").run_expect([0], CLIENT)
    for hub in (hub1, hub2):
        hub.run_expect([0], NETWORKS)
        hub.run_expect([0], GERMAN)
    database.stop_writing()
    hub1.run_expect([0], BY_NAME)
    hub1.run_expect([0], DISKS)
    hub2.run_expect([0], DISK_OF_HUB2)
    hub2.run_expect([0], "DEBIAN_FRONTEND=noninteractive apt-get remove -y python3-apt")
    database.write(SOCKETS, PORT)


def upgrade(play, *arguments):
    """The playbook with the variables of this scenario."""
    return play.upgrade(VARIABLES, arguments)


def ended_well(done):
    """The changed tasks of a run that ended well."""
    assert done.rc == 0, done.output
    return done.changes()


def test_port_that_is_taken_on_hub2(refused):
    """PostgreSQL's own, which is not the usual one. And addresses that both hubs have are no network between them."""
    squatter = "systemd-run --quiet --collect --unit=squatter python3 -c 'import socket, time; " \
               "s = socket.create_server((\"127.0.0.1\", %d)); time.sleep(600)' && " \
               "timeout 20 sh -c 'until ss -Htln sport = :%d | grep -q .; do sleep 0.2; done'" % (PORT, PORT)
    with made([Row("port", (), squatter, "systemctl stop squatter", "hub2")]):
        refused("hub2: something else listens on port %d, which PostgreSQL has on hub1" % PORT, "(PORT_TAKEN)",
                "hub_ha_links names 172.17.0.0/16, on which the hubs have no address in common", "(LINKS_OFF_NETWORK)",
                variables=dict(VARIABLES, hub_ha_links=["172.17.0.0/16", *LINKS]))


def test_check_mode_without_python3_apt(play, hub1, hub2):
    """It tells what the run will do, and of what the operator should know; nothing changes."""
    before = [fingerprint(host) for host in (hub1, hub2)]
    done = upgrade(play, "--check", "--diff")
    changes = ended_well(done)
    assert "hub2: cfengine.hub_ha.packages : Install packages, as a real run will do it" in changes, changes
    done.says("(ARCHIVE_ON_BOTH)", "which names " + ARCHIVE, "(DATA_DIR_MOUNTED)",
              "at or below its data directory (%s, %s/pg_wal)" % (DATA, DATA))
    assert [fingerprint(host) for host in (hub1, hub2)] == before


def test_upgrade(play, hub1, hub2, database):
    begun = time.monotonic()
    done = upgrade(play, "--diff")
    seconds = time.monotonic() - begun
    assert ended_well(done)
    figures = database.written()
    keep_figures("layouts_upgrade", dict(figures, run_s=round(seconds, 1)))
    assert figures["longest_gap_s"] < 10.0, figures
    # The same address on both hubs, networks of two hosts, and addresses that go away are no links.
    done.says("links " + ", ".join(LINKS), "clone over 192.168.10.0/24")
    for hub in (hub1, hub2):
        conf = hub.check_output("cat /etc/corosync/corosync.conf")
        assert "ring2_addr" in conf and "ring3_addr" not in conf
        assert not [text for text in ("172.17.", "192.168.122.", "10.9.9.", "fd00:") if text in conf], conf


def test_port_and_socket_of_the_operators(hub1, hub2, database):
    rows = database.sql("SELECT application_name, state FROM pg_stat_replication")
    assert rows == ["hub2|streaming"]
    for hub, standby in ((hub1, "f"), (hub2, "t")):
        rows = database.sql("SELECT pg_is_in_recovery(), current_setting('port'), "
                            "current_setting('unix_socket_directories')", hub)
        assert rows == ["%s|%d|%s" % (standby, PORT, SOCKETS)]
    assert database.sql("SELECT sender_port FROM pg_stat_wal_receiver", hub2) == [str(PORT)]


def test_archive_command_for_a_directory_of_hub1s(hub1, hub2, database):
    database.sql("SELECT pg_switch_wal()")
    hub1.run_expect([0], "timeout 30 sh -c 'until ls %s | grep -q .; do sleep 0.5; done'" % ARCHIVE)
    assert not hub2.file(ARCHIVE).exists


def test_messages_in_german(hub1, hub2, database):
    for hub in (hub1, hub2):
        assert database.sql("SHOW lc_messages", hub) == ["de_DE.UTF-8"]
        hub.run_expect([0], "grep -q 'Datenbanksystem ist bereit' /var/log/postgresql.log")


def test_hub_that_was_bootstrapped_to_a_name(hub1, hub2):
    assert hub1.check_output("cat %s/policy_server.dat" % WORK) == "hub1"
    assert hub2.check_output("cat %s/policy_server.dat" % WORK) == ADDRESSES["hub2"]


def test_list_given_as_a_text(hub1, hub2):
    for hub in (hub1, hub2):
        assert hub.package("fence-agents-ipmilan").is_installed
    # Of Enterprise's policy, which the Community edition does not have.
    assert "enable_cfengine_enterprise_hub_ha" not in hub1.check_output("cat %s/masterfiles/def.json" % WORK)


def test_libraries_and_disks_of_both_hubs(hub1, hub2, database):
    for hub in (hub1, hub2):
        assert database.sql("SHOW shared_preload_libraries", hub) == ["pg_stat_statements"]
    assert hub1.check_output("findmnt -n -o TARGET %s/pg_wal" % DATA) == DATA + "/pg_wal"
    assert hub2.check_output("findmnt -n -o FSTYPE --target %s" % DATA) == "tmpfs"
    assert database.sql("SHOW max_slot_wal_keep_size") == ["1GB"]


def test_second_run_changes_nothing(play, hub1, database):
    """With a line of the operator's below the one that includes our settings, which sets none of them."""
    hub1.run_expect([0], "echo 'maintenance_work_mem = 70MB' >>%s/postgresql.conf" % DATA)
    database.sql("SELECT pg_reload_conf()")
    assert ended_well(upgrade(play)) == ["hub1: cfengine.hub_ha.config_backup : Save configuration, keys and CIB"], \
        "what the operator has changed is saved, and nothing else is done"
    begun = time.monotonic()
    done = upgrade(play)
    print("second run: %.1f s" % (time.monotonic() - begun))
    assert ended_well(done) == [], done.output
    assert [done.recap[host]["changed"] for host in ("localhost", "hub1", "hub2")] == [0, 0, 0]


def test_lines_below_our_include_and_settings_of_a_restore_on_the_pair(refused, hub1, hub2):
    psql = "%s/psql -h %s -p %d -XAtq -d postgres -c \"ALTER SYSTEM %%s\"" % (BIN, SOCKETS, PORT)
    with without_agents(hub1, hub2), broken(
            hub1, "echo \"listen_addresses = 'localhost' # of ours\" >>%s/postgresql.conf" % DATA,
            "sed -i '/# of ours$/d' %s/postgresql.conf" % DATA), \
            broken(hub1, psql % "SET primary_slot_name = 'of_old'", psql % "RESET primary_slot_name"):
        refused("set below the line that includes hub_ha.conf, and so counting more: listen_addresses "
                "(%s/postgresql.conf line" % DATA, "or move them above that line (SETTINGS_OVERRIDDEN)",
                "hub1: %s/postgresql.auto.conf sets primary_slot_name" % DATA, "(RECOVERY_LEFT_OVER)",
                variables=VARIABLES)


def test_clients_limited_to_one_of_them(play):
    """With the command that the refusal prints, twice."""
    path = inventory_with(play, lambda data: None)
    command = ["ansible-playbook", "-i", path, "--limit", "client1,hubs", "playbooks/clients.yml"]
    first = play.command(command)
    assert first.rc == 0 and "client2" not in first.recap, first.output
    assert ended_well(play.command(command)) == []
