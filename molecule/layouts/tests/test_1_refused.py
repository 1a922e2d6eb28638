"""Each layout that cannot be made a pair of, and what an operator types: refused in plain words, and nothing changes.

Layouts that do not hide each other are made together, for one run: its report names them all.
"""

from __future__ import annotations

import re
import time

import pytest
from conftest import BIN, BY_UNIT, DATA, DEF_JSON, HUBS, WITHOUT_ACL, Row, inventory_with, made
from shared_hosts import ADDRESSES, WORK, broken, get_host, lab, without_agents

AS_OWNER = "runuser -u cfpostgres -- "
SQL = "%s/psql -XAtq -v ON_ERROR_STOP=1 -d postgres" % BIN
FOREIGN = "/etc/hubdb"  # where an operator has PostgreSQL's configuration
RESTORED = {"primary_conninfo": "host=10.9.9.9 password=hush-hush", "primary_slot_name": "of_old",
            "restore_command": "cp /mnt/wal/%f %p", "recovery_target_name": "before the update"}
SENDER = "systemd-run --quiet --collect --unit=sender-$n " \
         "sh -c 'sleep 900 | %s/psql -X \"dbname=postgres replication=true\"'" % BIN
SENDERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = \\$\\$walsender\\$\\$"  # within \" of a shell
BY_HAND = "%s/pg_ctl -w -D %s -l /var/log/postgresql.log -o \"-c config_file=%s/postgresql.conf\" start" % (
    BIN, DATA, FOREIGN)
TO_ITS_UNIT = "%s%s/pg_ctl -D %s -m fast stop && %s" % (AS_OWNER, BIN, DATA, BY_UNIT)  # the words of the report

# Nothing is restarted for these.
LIVE = (
    Row("settings of a restore in postgresql.auto.conf",
        make=SQL + "".join(" -c \"ALTER SYSTEM SET %s = '%s'\"" % item for item in RESTORED.items()),
        mend=SQL + "".join(" -c 'ALTER SYSTEM RESET %s'" % name for name in RESTORED),
        words=("hub1: %s/postgresql.auto.conf sets %s, which counts more" % (DATA, ", ".join(RESTORED)),
               "ALTER SYSTEM RESET primary_slot_name", "(RECOVERY_LEFT_OVER)")),
    Row("settings of a restore in postgresql.conf",
        make="echo \"recovery_target_timeline = '7' # of old\" >>%s/postgresql.conf" % DATA,
        mend="sed -i '/# of old$/d' %s/postgresql.conf" % DATA,
        words=("the copy on hub2 would obey: recovery_target_timeline (%s/postgresql.conf line" % DATA,
               "take them out: a primary has no use for them (RECOVERY_LEFT_OVER)")),
    Row("postgresql.conf a link out of the data directory",
        make="mv {0}/postgresql.conf /etc/hubdb.conf && ln -s /etc/hubdb.conf {0}/postgresql.conf".format(DATA),
        mend="rm {0}/postgresql.conf && mv /etc/hubdb.conf {0}/postgresql.conf".format(DATA),
        words=("move it to %s/postgresql.conf (a file, no link)" % DATA, "(CONFIG_OUTSIDE)")),
    Row("lost+found in the data directory",
        make="mkdir -m 0700 %s/lost+found" % DATA, mend="rmdir %s/lost+found" % DATA,
        words=("hub1: %s/lost+found cannot be read by the database's user" % DATA,
               "take it away: rmdir %s/lost+found" % DATA, "(DATA_DIR_LOST_FOUND)")),
    Row("database's user without a login shell",
        make="usermod --shell /usr/sbin/nologin cfpostgres", mend="usermod --shell /bin/sh cfpostgres",
        words=("hub1: the shell of the database's user cfpostgres is /usr/sbin/nologin",
               "usermod --shell /bin/sh cfpostgres (DB_USER_NO_SHELL)")),
    Row("all replication slots taken",
        make=SQL + " -c \"SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1, 10) n\"",
        mend=SQL + " -c \"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots\"",
        words=("hub1: 10 of 10 replication slots are taken, and the other hub needs 1",
               "raise max_replication_slots to 11", "(SLOTS_TAKEN)")),
    Row("all WAL senders taken",
        make="for n in 1 2 3 4 5 6 7 8 9; do %s || exit 1; done; "
             "timeout 20 sh -c 'until [ \"$(%s -c \"%s\")\" = 9 ]; do sleep 0.2; done'" % (SENDER, SQL, SENDERS),
        mend="systemctl stop 'sender-*.service'",
        words=("hub1: 9 of 10 WAL senders are taken, and the other hub needs 2", "raise max_wal_senders to 11",
               "(SENDERS_TAKEN)")),
    # What mkfs makes of a disk of 3 GB is a mount point with this folder in it.
    Row("data directory a file system of its own", hub="hub2",
        make="mkdir -p {0} && mount -t tmpfs -o size=3g tmpfs {0} && mkdir -m 0700 {0}/lost+found".format(DATA),
        mend="umount %s" % DATA,
        words=("hub2: %s is a file system of its own (%s), and the copy" % (DATA, DATA),
               "mount that file system one directory higher, on %s/state/pg" % WORK,
               "umount %s; correct /etc/fstab" % DATA, "(DATA_DIR_MOUNTED)")),
    Row("disk smaller than the slot's bound", hub="hub2",
        words=("hub2: the file system of PostgreSQL's WAL (%s) has 3.0 GB in all" % DATA,
               "make hub_ha_max_slot_wal_keep_size (MB) smaller, here at most 1228", "(DISK_BELOW_SLOT_BOUND)")),
)

WAL = (
    Row("pg_wal a file system of its own", hub="hub2",
        make="mkdir -p {0} && mount -t tmpfs tmpfs {0} && mkdir -m 0700 {0}/lost+found".format(DATA + "/pg_wal"),
        mend="umount %s/pg_wal && rm -r %s/state" % (DATA, WORK),
        words=("hub2: %s has file systems of its own within it (%s/pg_wal)" % (DATA, DATA), "umount %s/pg_wal" % DATA,
               "(DATA_DIR_MOUNTED)")),
)

# PostgreSQL is started anew, by hand, with all of it; and at the end as the report says, which takes all of it back.
RESTARTED = (
    Row("postgresql.conf elsewhere",
        make="install -d -o cfpostgres -m 0750 {1} && cp -p {0}/postgresql.conf {1}/".format(DATA, FOREIGN),
        mend="rm -r " + FOREIGN,
        words=("hub1: PostgreSQL reads {1}/postgresql.conf, not {0}/postgresql.conf".format(DATA, FOREIGN),
               "(CONFIG_OUTSIDE)")),
    Row("pg_hba.conf elsewhere",
        make="cp -p {0}/pg_hba.conf {1}/ && echo \"hba_file = '{1}/pg_hba.conf'\" >>{1}/postgresql.conf".format(
            DATA, FOREIGN),
        words=("hub1: PostgreSQL reads {1}/pg_hba.conf, not {0}/pg_hba.conf".format(DATA, FOREIGN),
               "what replication needs is written to the latter")),
    Row("an include and pg_ident.conf elsewhere",
        make="cp -p {0}/pg_ident.conf {1}/ && "
             "printf '%s\\n' \"ident_file = '{1}/pg_ident.conf'\" \"include 'ours.conf'\" >>{1}/postgresql.conf && "
             "echo work_mem = 5MB >{1}/ours.conf && chown cfpostgres: {1}/ours.conf".format(DATA, FOREIGN),
        words=("hub1: PostgreSQL reads files outside of %s, which the other hub does not get with the copy:" % DATA,
               FOREIGN + "/ours.conf", FOREIGN + "/pg_ident.conf", "move them into the data directory")),
    # pg_stat_statements comes with PostgreSQL's package; the other library is a copy of one that does.
    Row("a library in shared_preload_libraries that hub2 lacks",
        make="cp -p /usr/lib/postgresql/17/lib/auto_explain.so /usr/lib/postgresql/17/lib/our_audit.so && "
             "echo \"shared_preload_libraries = 'pg_stat_statements, our_audit'\" >>%s/postgresql.conf" % FOREIGN,
        mend="rm /usr/lib/postgresql/17/lib/our_audit.so",
        words=("hub2: shared_preload_libraries of hub1 names our_audit, which is not here",
               "no package; copy /usr/lib/postgresql/17/lib/our_audit.so", "(LIBRARY_LACKS)")),
    Row("PostgreSQL outside of its unit",
        make="systemctl stop cf-postgres && systemd-run --quiet --collect --unit=by-hand --property=Type=forking "
             "--property=User=cfpostgres --property=WorkingDirectory=/tmp " + BY_HAND,
        mend=TO_ITS_UNIT,
        words=("hub1: PostgreSQL was not started by cf-postgres.service but in by-hand.service",
               "has to be restarted once (for listen_addresses", "stop it and start it by its unit: " + TO_ITS_UNIT,
               "(OUTSIDE_ITS_UNIT)")),
)
TOGETHER = {"live": LIVE, "wal": WAL, "restarted": RESTARTED}


@pytest.fixture(scope="module", name="report")
def fixture_report(refused):
    """A function: name of rows that are made together -> the Run that refused them; they are made once."""
    runs = {}

    def ask(name):
        if name not in runs:
            runs[name] = None  # what could not be made is not tried for each of its rows
            with made(TOGETHER[name]):
                runs[name] = refused("thing(s) must be put right first")
        return runs[name]

    return ask


@pytest.mark.parametrize("together, row", [pytest.param(name, row, id=row.name.replace(" ", "-"))
                                           for name, rows in TOGETHER.items() for row in rows])
def test_layout(together, row, report):
    done = report(together)
    assert done is not None, "the run for these rows has failed, see the first of them"
    done.says(*row.words)
    assert "hush-hush" not in done.output


def test_policy_that_is_slow_to_read(refused, hub1):
    """A warning, beside something that ends the run: nothing is said of a hub that cannot be reached."""
    policy = WORK + "/masterfiles/services/our_own/main.cf"
    slow = 'bundle common our_slow { vars: "x" string => execresult("/bin/sleep 70", "noshell"); }'
    make = "cp -p %s /root/def.json && cp -p %s /root/main.cf && %s && echo '%s' >>%s" % (
        DEF_JSON, policy, WITHOUT_ACL, slow, policy)
    with without_agents(hub1), broken(hub1, make, "mv /root/def.json %s && mv /root/main.cf %s" % (DEF_JSON, policy)):
        done = refused("hub_ha_virtual_ip is not set",
                       "hub1: whether the policy itself sets acl is not known: ", "did not end within 60 s",
                       "(POLICY_SLOW)", variables={"hub_ha_virtual_ip": None})
    assert "cannot be reached" not in done.output


WHOLE = "Run it with: ansible-playbook -i INVENTORY playbooks/%s"


@pytest.mark.parametrize("playbook, arguments, words", [
    ("upgrade-to-ha.yml", ("--tags", "database"),
     ("--tags and --skip-tags leave out steps that the others rely on",
      "Run all of it: ansible-playbook -i INVENTORY playbooks/upgrade-to-ha.yml")),
    ("upgrade-to-ha.yml", ("--limit", "hub1"), ("--limit leaves out hub2", WHOLE % "upgrade-to-ha.yml")),
    ("clients.yml", ("--limit", "client1"),
     ("--limit leaves out hub1 and hub2", WHOLE % "clients.yml --limit client1,hubs"))],
    ids=["tags", "limit-to-one-hub", "clients-limit-to-a-new-client"])
def test_operator_leaves_out(playbook, arguments, words, refused):
    refused(*words, arguments=arguments, playbook=playbook)


def test_operator_has_a_group_of_another_name_and_a_limit(refused, play):
    path = inventory_with(play, lambda data: data.update(hub=data.pop("hubs")))
    refused("The inventory has no group named hubs", "-e hub_ha_hubs_group=NAME", run=lambda: play.command(
        ["ansible-playbook", "-i", path, "--limit", "hub", "playbooks/upgrade-to-ha.yml"]))


def test_operator_has_no_vault_for_the_passwords_of_fencing(refused):
    """As inventories/example has it."""
    refused("The variable vault_bmc_hub1 is not defined", "--ask-vault-pass", "(VARIABLE_UNDEFINED)",
            variables={"hub_ha_fencing_none_reason": None, "hub_ha_fencing": [
                {"id": "fence-hub1", "agent": "fence_ipmilan", "hub": "hub1", "password": "{{ vault_bmc_hub1 }}",
                 "params": {"ip": "10.9.9.9", "username": "cluster"}}]})


def test_operator_gives_no_password_for_sudo(refused, hub1, hub2):
    """The hosts' repository has no sudo: this one says what it says when it may not ask for the password."""
    sudo = "#!/bin/sh\\necho 'sudo: a password is required' >&2\\nexit 1\\n"
    make = "useradd --create-home --shell /bin/sh jo && cp -r /root/.ssh /home/jo/ && chown -R jo: /home/jo && " \
           "printf \"%s\" >/usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo" % sudo
    mend = "rm /usr/local/bin/sudo; userdel --force jo; rm -r /home/jo"
    with broken(hub1, make, mend), broken(hub2, make, mend):
        done = refused(*["%s: it answers, and its user may not become root:" % name for name in HUBS],
                       "give sudo's password with --ask-become-pass (-K)",
                       "ansible -i INVENTORY -b -m ping hub1 (NOT_ROOT)", variables={"ansible_user": "jo"})
    assert "cannot be reached" not in done.output


def test_operator_has_no_ansible_cfg_of_ours(refused, tmp_path):
    """The report has lines; and a hub that is frozen does not hang the run."""
    own = tmp_path / "ansible.cfg"
    own.write_text("[defaults]\n", encoding="ascii")
    done = refused(variables={"hub_ha_virtual_ip": None, "hub_ha_token": "fast"}, ANSIBLE_CONFIG=str(own))
    assert {"1", "2"} <= set(re.findall(r'(?m)^ *" ?(\d+)\. all: .*"', done.output)), done.output
    begun = time.monotonic()
    lab("pause", "hub2")
    try:
        refused("hub2: cannot be reached:", "with: ansible -i INVENTORY -m ping hub2 (HUB_UNREACHABLE)",
                hosts=[get_host("hub1")], ANSIBLE_CONFIG=str(own),
                ANSIBLE_SSH_CONTROL_PATH_DIR=str(tmp_path / "new"))  # where no connection is there yet
    finally:
        lab("unpause", "hub2")
    assert time.monotonic() - begun < 90


@pytest.fixture(scope="module", name="community")
def fixture_community():
    """client2 as a policy hub of its own, without PostgreSQL."""
    host = get_host("client2")
    bootstrap = "cf-agent --no-lock --trust-server=no --bootstrap " + ADDRESSES["client2"]
    host.run_expect([0], "%s || { systemctl start cf-execd && %s; }" % (bootstrap, bootstrap))
    return host


def with_community_hub(play):
    """A run whose hub1 is client2."""
    path = inventory_with(play, lambda data: data["hubs"]["hosts"]["hub1"].update(ansible_host=ADDRESSES["client2"]))
    return play.command(["ansible-playbook", "-i", path, "playbooks/upgrade-to-ha.yml"])


def test_community_hub_without_postgresql(refused, play, community, hub2):
    done = refused("neither host has a PostgreSQL database in %s: there is nothing to make a pair of" % DATA,
                   "is made by playbooks/install-ha.yml", "(NO_DATABASE)", run=lambda: with_community_hub(play),
                   hosts=[community, hub2])
    assert "NO_PRIMARY" not in done.output


def test_community_package_of_the_vendors(refused, play, community, hub2):
    """Its programs lie where the hub package has them, and cf-hub is not among them."""
    programs = "/var/cfengine/bin"
    with broken(community, "mkdir -p {0} && cp -p /usr/bin/cf-* {0}/".format(programs), "rm -r /var/cfengine"):
        done = refused("this is the vendor's Community package (no %s/cf-hub)" % programs, "cfengine-nova-hub",
                       "by playbooks/install-ha.yml", "(VENDOR_COMMUNITY)", run=lambda: with_community_hub(play),
                       hosts=[community, hub2])
    assert "NO_DATABASE" not in done.output
