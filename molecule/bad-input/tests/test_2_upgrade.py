"""After all refusals the same hubs become a pair: no restart, a hostile password, then changes on the finished pair."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import written
from shared_hosts import WORK, get_host, lab, report, sql

DATA = WORK + "/state/pg/data"
HA_DIR = WORK + "/state/pg/hub_ha"
BIN = "/usr/lib/postgresql/17/bin"
REPLICATION_IP = "192.168.10.100"
# Quotes, backslashes, a colon and a hash (passfile), % and $ and braces (templates, shells), spaces, an umlaut.
FIRST = r"""a"b'c\d\\e:f %s %(x)d $HOME ${y} `id` {{ z }} {% if %} #ä; --"""
SECOND = "20261123"  # in a YAML file a number
SECOND_IP = "192.168.100.101"
# Each second a client asks the hub for policy; 1 is an answer. cf-net ends with 0 whatever has happened.
POLICY = "while :; do cf-net -H 192.168.100.10 stat masterfiles/promises.cf 2>&1 | grep -c 'is a regular file' " \
         ">>/root/policy; sleep 1; done"
FENCE_PASSWORD = "it's $ecret \\ %"
FENCE_AGENT = r"""#!/bin/sh
while read -r line; do
    case $line in action=*) action=${line#*=} ;; password_script=*) script=${line#*=} ;; esac
done
case ${action:-metadata} in
metadata)
    echo '<?xml version="1.0" ?><resource-agent name="fence_lab" shortdesc="the lab"><longdesc>none</longdesc>'
    echo '<parameters>'
    for name in action port password_script; do
        echo "<parameter name=\"$name\"><content type=\"string\"/><shortdesc lang=\"en\">$name</shortdesc></parameter>"
    done
    echo '</parameters><actions>'
    for name in on off reboot status monitor metadata; do echo "<action name=\"$name\"/>"; done
    echo '</actions></resource-agent>' ;;
*)
    [ "$("$script")" = "it's \$ecret \\ %" ] ;;
esac
"""
WATCH = """while :; do ps -eo args | grep -F -f /root/patterns >>/root/seen; sleep 0.1; done"""


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory):
    """A function that writes the password into the operator's vars file and returns its path."""
    path = tmp_path_factory.mktemp("operator") / "secret.yml"
    path.touch(mode=0o600)

    def write(password):
        # !unsafe keeps Ansible from taking the braces for a template, as an operator would write it.
        text = password if password.isdigit() else "!unsafe " + json.dumps(password, ensure_ascii=False)
        path.write_text("hub_ha_replication_password: %s\n" % text, encoding="utf-8")
        return str(path)

    return write


def run(play, path, *arguments, variables=None, **environment):
    """The upgrade with two shared addresses for the clients and one of the replication's own."""
    return play.upgrade({"hub_ha_replication_virtual_ip": REPLICATION_IP,
                         "hub_ha_virtual_ip": ["192.168.100.100", SECOND_IP], **(variables or {})},
                        ["-e", "@" + path, *arguments], **environment)


def postmaster(host):
    """Process id of the running server."""
    return host.check_output("head -1 %s/postmaster.pid" % DATA)


def changes(done):
    """The changed tasks of a run that ended well."""
    assert done.rc == 0, done.output
    return done.changes()


def streaming(hub1, seconds=20):
    """Wait until the standby streams; its address and the process id of its sender."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = sql(hub1, "SELECT application_name, client_addr, state, pid FROM pg_stat_replication "
                         "WHERE application_name = 'hub2' AND state = 'streaming'")
        if rows:
            return rows[0].split("|")[1], rows[0].split("|")[3]
        time.sleep(0.2)
    raise AssertionError("the standby does not stream")


def nowhere(secret, hubs, output):
    """The password stands in no output, CIB, process list, journal, log or readable file of the hubs."""
    assert secret not in output and json.dumps(secret, ensure_ascii=False)[1:-1] not in output
    for hub in hubs:
        assert secret not in hub.check_output("cibadmin --query")
        assert secret not in hub.check_output("journalctl --no-pager -o cat")
        # The pattern goes through a file: a command line would show it.
        done = hub.run("f=$(mktemp /root/.find.XXXX) && printf %%s %s | base64 -d >$f && echo >>$f && "
                       "grep -rlF -f $f /var/log /tmp /etc /root --exclude-dir=.ssh --exclude=.find.* "
                       "--exclude=patterns; "
                       "find /var/lib /var/backups /run /dev/shm -xdev -type f -perm /o=r -size -64k "
                       "-exec grep -lF -f $f {} +; rm -f $f"
                       % shlex.quote(base64.b64encode(secret.encode()).decode()))
        assert done.stdout == "", done.stdout


def foreign(hub1):
    """The resource that somebody else had in the CIB before the upgrade."""
    root = ElementTree.fromstring(hub1.check_output("cibadmin --query"))
    return [ElementTree.tostring(item).strip() for item in root.iter("primitive") if item.get("id") == "operators-own"]


def test_upgrade_without_a_restart(play, secret_file, hub1, hub2):
    """One run of what the operator means, with settings that need no restart, in a cluster that holds something."""
    before, others = postmaster(hub1), foreign(hub1)
    assert len(others) == 1
    lab("exec", "client1", "--", "systemd-run", "--quiet", "--collect", "--unit=policy", "sh", "-c", POLICY)
    acknowledged, failed = written()
    for hub in (hub1, hub2):
        hub.run_expect([0], "rm -f /root/seen; umask 077; cat >/root/patterns <<'END'\n%s\nEND\n"
                            "systemd-run --quiet --collect --unit=watch sh -c %s" % (FIRST, shlex.quote(WATCH)))
    begun = time.monotonic()
    done = run(play, secret_file(FIRST), "--diff")
    seconds = time.monotonic() - begun
    for hub in (hub1, hub2):
        hub.run_expect([0], "systemctl stop watch")
        assert hub.check_output("cat /root/seen; rm -f /root/seen /root/patterns") == ""
    assert changes(done)
    done.says("restart none", "HS:async")
    assert postmaster(hub1) == before and foreign(hub1) == others
    assert "is running on" in hub1.check_output("crm_resource --resource operators-own --locate")
    lab("exec", "client1", "--", "systemctl", "stop", "policy")
    answers = lab("exec", "client1", "--", "cat", "/root/policy").split()
    assert len(answers) > 20 and set(answers) == {"1"}, "policy was not served all the time: %s" % answers
    figures = report("writer", "--read-from", "hub1")
    line = "upgrade without a restart: %.1f s, longest gap %.3f s, %d acknowledged, %d failed, %d lost" % (
        seconds, figures["longest_gap_s"], figures["acknowledged"], figures["failed"], figures["lost"])
    print(line)
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"upgrade_without_restart": dict(figures, run_s=round(seconds, 1))}) + "\n")
    assert figures["failed"] == failed == 0 and figures["lost"] == 0 and figures["acknowledged"] > acknowledged, line
    assert figures["longest_gap_s"] < 2.0, line
    nowhere(FIRST, (hub1, hub2), done.output)


def test_standby_streams_over_the_network_of_the_replication_address(hub1, hub2):
    """From the other hub's own address there: the shared one moves while the end of the WAL is still to be sent."""
    streaming(hub1)
    assert sql(hub2, "SELECT sender_host, slot_name FROM pg_stat_wal_receiver") == ["192.168.10.10|hub_ha_hub2"]
    assert REPLICATION_IP + "/24" in hub1.check_output("ip -4 -o addr show")
    assert sql(hub1, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)") == ["t"]
    for hub in (hub1, hub2):
        line = hub.check_output("cat %s/pgpass" % HA_DIR)
        assert line == "*:*:*:hub_ha_repl:" + FIRST.replace("\\", "\\\\").replace(":", "\\:")


def test_second_run_changes_nothing_and_tells_nothing(play, secret_file, hub1, hub2, tmp_path):
    """With the most words that people use, so that every task says what it did, and with a configuration of Ansible's
    that is not ours: no module and its arguments may go through a file on the controller or a hub."""
    foreign = tmp_path / "ansible.cfg"
    foreign.write_text("[connection]\npipelining = False\n", encoding="utf-8")
    begun = time.monotonic()
    done = run(play, secret_file(FIRST), "--diff", "-vvv", ANSIBLE_CONFIG=str(foreign))
    print("second run: %.1f s" % (time.monotonic() - begun))
    assert changes(done) == []
    assert "Using %s as config file" % foreign in done.output
    assert [line for line in done.output.splitlines() if " PUT " in line and "AnsiballZ" in line] == []
    assert [done.recap[host]["changed"] for host in ("localhost", "hub1", "hub2")] == [0, 0, 0]
    nowhere(FIRST, (hub1, hub2), done.output)


def test_firewalls_let_in_what_the_pair_needs_and_nothing_else(hub1, hub2):
    """They were closed before; see test_1a_firewall.py."""
    added = hub2.check_output("ufw show added").splitlines()
    assert len([line for line in added if line.endswith("comment 'hub_ha'")]) == 9
    assert "ufw allow from 192.168.100.21 to any port 8080 proto tcp comment 'reporting'" in added
    assert hub1.check_output("nft list chain inet filter hub_ha").count("accept") == 8
    client = "python3 -c \"import socket; socket.create_connection(('192.168.100.11', %d), 1)\""
    assert get_host("client1").run(client % 5308).rc == 0
    assert "timed out" in get_host("client1").run(client % 5432).stderr


def test_password_that_is_wrong_is_told_and_nothing_is_lost(play, hub1, hub2):
    """A clone that has to be made again, with a passfile that somebody spoilt."""
    hub2.run_expect([0], "printf '*:*:*:hub_ha_repl:not it\\n' >/run/spoilt && chown cfpostgres: /run/spoilt && "
                         "chmod 0600 /run/spoilt")
    arguments = {"data_dir": WORK + "/state/pg/again", "bin_dir": BIN, "owner": "cfpostgres",
                 "primary_host": REPLICATION_IP, "user": "hub_ha_repl", "passfile": "/run/spoilt",
                 "sslrootcert": HA_DIR + "/root.crt", "slot": "hub_ha_again"}
    listing = hub2.check_output("ls -A %s/state/pg" % WORK)
    failed = written()[1]
    try:
        done = play.command(["ansible", "-i", play.inventory({}), "hub2", "-m", "cfengine.hub_ha.basebackup",
                             "-a", json.dumps(arguments)])
    finally:
        hub2.run_expect([0], "rm /run/spoilt")
    assert done.rc != 0
    done.says("kind: password", "hub_ha_repl", "/run/spoilt")
    left = set(hub2.check_output("ls -A %s/state/pg" % WORK).split()) - set(listing.split())
    assert all(name.startswith(".") for name in left), left  # its lock may stay, no data does
    assert sql(hub1, "SELECT slot_name FROM pg_replication_slots") == ["hub_ha_hub2"]
    streaming(hub1)
    assert written()[1] == failed


def given_tls(folder, hubs):
    """The operator's own authority, and a certificate of it for each hub; the paths on the hubs."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30",
            "-subj", "/CN=house authority")
    for number, hub in enumerate(hubs, 1):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "hub.key", "-out", "hub.csr", "-subj",
                "/CN=hub%d" % number)
        openssl("x509", "-req", "-in", "hub.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                "hub.crt", "-days", "30")
        hub.run_expect([0], "install -d /etc/ssl/house && cd /etc/ssl/house && umask 077 && cat >all <<'END'\n%sEND\n"
                            "openssl x509 -in all >hub.crt && openssl pkey -in all >hub.key && rm all && "
                            "cat >ca.crt <<'END'\n%sEND\nchmod 644 *.crt && chown cfpostgres hub.key"
                       % ((folder / "hub.crt").read_text() + (folder / "hub.key").read_text(),
                          (folder / "ca.crt").read_text()))
    return {"hub_ha_tls_" + name: "/etc/ssl/house/" + file
            for name, file in (("certificate", "hub.crt"), ("key", "hub.key"), ("ca", "ca.crt"))}


def fencing(hubs):
    """Two devices of an agent that does nothing but look at its password."""
    for hub in hubs:
        hub.run_expect([0], "cat >/usr/sbin/fence_lab <<'END'\n%sEND\nchmod 755 /usr/sbin/fence_lab" % FENCE_AGENT)
    return {"hub_ha_fencing_none_reason": None, "hub_ha_fencing": [
        {"id": "fence-" + hub, "agent": "fence_lab", "hub": hub, "password": FENCE_PASSWORD, "params": {"port": hub}}
        for hub in ("hub1", "hub2")]}


def test_changes_of_the_operators_on_the_pair(play, secret_file, hub1, hub2, tmp_path):
    """Another password, own certificates, fencing devices, an address less; and what somebody spoilt is mended."""
    hubs = (hub1, hub2)
    pid = postmaster(hub1)
    variables = dict(given_tls(tmp_path, hubs), **fencing(hubs))
    variables["hub_ha_virtual_ip"] = "192.168.100.100"
    sql(hub1, "ALTER ROLE hub_ha_repl PASSWORD 'somebody else'")
    hub2.run_expect([0], "sed -i 's/hub_ha_repl:.*/hub_ha_repl:not it/' %s/pgpass" % HA_DIR)
    done = run(play, secret_file(SECOND), "--diff", variables=variables)
    assert set(name for name in changes(done) if "password" in name or "Role that" in name) == set([
        "hub1: cfengine.hub_ha.database : Give the password to both hubs, readable by the database user only",
        "hub2: cfengine.hub_ha.database : Give the password to both hubs, readable by the database user only",
        "hub1: cfengine.hub_ha.database : Role that may replicate and nothing else",
        "hub1: cfengine.hub_ha.resources : Directory of the fencing passwords",
        "hub2: cfengine.hub_ha.resources : Directory of the fencing passwords",
        "hub1: cfengine.hub_ha.resources : Fencing passwords, each in a script that only root can read",
        "hub2: cfengine.hub_ha.resources : Fencing passwords, each in a script that only root can read"])
    done.says("fencing on")
    again = run(play, secret_file(SECOND), variables=variables)
    assert changes(again) == [] and postmaster(hub1) == pid
    nowhere(FENCE_PASSWORD, hubs, done.output + again.output)
    for hub in hubs:
        assert hub.check_output("cat %s/pgpass" % HA_DIR) == "*:*:*:hub_ha_repl:" + SECOND
        assert hub.check_output("stat -c '%a %U' /etc/pacemaker/hub_ha/*").split() == ["700", "root"] * 2


def test_standby_connects_with_the_new_password_and_certificates(hub1):
    sender = streaming(hub1)[1]
    sql(hub1, "SELECT pg_terminate_backend(%s)" % sender)
    deadline = time.monotonic() + 20
    while streaming(hub1)[1] == sender and time.monotonic() < deadline:
        time.sleep(0.1)
    assert streaming(hub1)[1] != sender
    shown = hub1.check_output("openssl s_client -starttls postgres -connect 192.168.10.10:5432 </dev/null 2>&1")
    assert "issuer=CN = house authority" in shown or "issuer=CN=house authority" in shown, shown


def test_devices_run_on_the_other_hub_and_the_address_is_gone(hub1):
    for hub, other in (("hub1", "hub2"), ("hub2", "hub1")):
        assert hub1.check_output("crm_resource --resource fence-%s --locate" % hub).endswith("on: " + other)
    assert hub1.check_output("crm_attribute --type crm_config --name stonith-enabled --query --quiet") == "true"
    assert "cfvirtip_2" not in hub1.check_output("cibadmin --query --scope configuration")
    assert SECOND_IP not in hub1.check_output("ip -4 -o addr show")


def test_nothing_was_lost(hub1):
    figures = report("writer", "--read-from", "hub1")
    assert figures["failed"] == 0 and figures["lost"] == 0
    print("all of it: longest gap %.3f s, %d acknowledged, 0 failed, 0 lost"
          % (figures["longest_gap_s"], figures["acknowledged"]))
