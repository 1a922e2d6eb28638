"""What only Enterprise's layout has: the vendor's policy, Mission Portal's files, maintainer scripts.

The tests follow each other. The package is a stand-in for the closed one; docs/lab-enterprise.md says what it cannot
show.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import ADDRESSES, SHARED, WORK, get_host, play, play_output, recap, sql  # noqa: E402, F401

SECRETS = WORK + "/httpd/secrets.ini"
CERTIFICATE = WORK + "/httpd/ssl/certs/%s.cert"
SHARED_NAME = "hub"
AGENT = "cf-agent -K -f update.cf && cf-agent -K"
OWN = r"""
set -e
cd "$(mktemp -d)"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Example CA" -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj "/O=Example/CN=hub2" -keyout own.key -out own.csr
openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -out own.pem
install -m 0600 own.key %(work)s/httpd/ssl/private/hub2.key
install -m 0644 own.pem %(work)s/httpd/ssl/certs/hub2.cert
"""


def digest(host):
    """SHA=... of the host's own key."""
    return host.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()


def defined(host, name):
    """Is the class defined on this host, as its policy is read?"""
    return name in host.check_output("cf-promises --show-classes=%s -f %s/inputs/promises.cf" % (name, WORK)).split()


def run_agent(host):
    """One run of the agent as an operator runs it; nothing may go wrong in it."""
    done = host.run(AGENT)
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def portal(address, certificate, name=None):
    """The page of the stand-in for Mission Portal; it must show this certificate, valid for the address (or name)."""
    context = ssl.create_default_context(cadata=certificate)
    with socket.create_connection((address, 443), timeout=10) as plain, \
            context.wrap_socket(plain, server_hostname=name or address) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while True:
            block = stream.recv(4096)
            if not block:
                return answer.decode()
            answer += block


@pytest.fixture(scope="module")
def hubs():
    """{name: host}."""
    return dict((name, get_host(name)) for name in ("hub1", "hub2"))


def test_the_package_says_what_it_is(hubs):
    for host in hubs.values():
        assert "stand-in for the closed package, for tests only" in host.check_output("dpkg -s cfengine-nova-hub")


def test_everything_runs_from_the_vendors_places(hubs):
    for host in hubs.values():
        assert not host.file("/var/lib/cfengine3").exists and not host.file("/usr/bin/psql").exists
        pid = host.file(WORK + "/state/pg/data/postmaster.pid").content_string.split()[0]
        assert host.check_output("readlink /proc/%s/exe" % pid) == WORK + "/bin/postgres"
        assert host.check_output("stat -c %%U /proc/%s" % pid) == "cfpostgres"
        params = host.check_output("crm_resource --resource cfpgsql --get-parameter pgctl")
        assert params == WORK + "/bin/pg_ctl"
        for unit in ("cfengine3", "cf-execd", "cf-serverd", "cf-monitord", "cf-hub", "cf-apache", "cf-reactor",
                     "cf-php-fpm"):
            assert host.service(unit).is_running and host.service(unit).is_enabled, unit


def test_the_database_that_the_package_made_is_kept_aside(hubs):
    assert hubs["hub2"].file(WORK + "/state/pg/data.of-the-package/PG_VERSION").exists
    assert not hubs["hub2"].file("/var/lib/cfengine-hub-ha.package").exists
    assert not hubs["hub1"].file(WORK + "/state/pg/data.of-the-package").exists


def test_vendors_policy_works_as_shipped(hubs):
    """Its classes come from ha.cfg, its flag is there, it shares the hubs' keys, the notification scripts come over."""
    own = [(digest(host), host.check_output("sha256sum %s/ppkeys/localhost.priv" % WORK)) for host in hubs.values()]
    for _turn in range(2):  # what one hub shares in its run the other one takes in its next
        for host in hubs.values():
            run_agent(host)
    for (name, host), role, other in zip(hubs.items(), ("hub_active", "hub_passive"), ("hub2", "hub1")):
        assert [one for one in ("hub_active", "hub_passive") if defined(host, one)] == [role]
        flag = host.file(WORK + "/httpd/htdocs/ha_enabled")
        assert (flag.exists, flag.user, flag.group, flag.mode) == (True, "cfapache", "cfapache", 0o440), name
        assert host.file(WORK + "/state/master_hub.dat").content_string == ADDRESSES["hub1"] + "\n"
        assert host.check_output("ls %s/ppkeys_hubs" % WORK).split() == ["root-%s.pub" % digest(hubs[other])]
        assert "localhost" not in host.check_output("ls %s/ppkeys_staging" % WORK)
        assert host.file("/opt/cfengine/notification_scripts/call_ops.sh").exists
    assert [(digest(host), host.check_output("sha256sum %s/ppkeys/localhost.priv" % WORK))
            for host in hubs.values()] == own


def test_a_client_is_led_by_the_vendors_policy(hubs):
    client = get_host("client1")
    run_agent(client)
    keys = client.check_output("ls %s/ppkeys" % WORK).split()
    assert set("root-%s.pub" % digest(host) for host in hubs.values()) <= set(keys)
    assert client.file(WORK + "/policy_server.dat").content_string.strip() in (ADDRESSES["hub1"], SHARED)


def test_secrets_are_the_same_and_nobody_else_reads_them(hubs):
    files = [host.file(SECRETS) for host in hubs.values()]
    assert files[0].content_string == files[1].content_string
    assert [(item.user, item.mode) for item in files] == [("cfapache", 0o400)] * 2


def test_certificates_name_the_shared_address(hubs):
    texts = [host.file(CERTIFICATE % name).content_string for name, host in hubs.items()]
    assert texts[0] != texts[1], "each hub has its own key"
    for (name, host), text in zip(hubs.items(), texts):
        answer = portal(ADDRESSES[name], text, SHARED_NAME)
        assert "stand-in for Mission Portal on %s\nrobot 200" % name in answer
        assert host.file(WORK + "/ssl/cert.pem").linked_to == CERTIFICATE % name
    assert "on hub1\nrobot 200" in portal(SHARED, texts[0])


def test_licences_stay_with_their_hub(hubs, play_output):
    names = [host.check_output("find %s/licenses -type f" % WORK).split() for host in hubs.values()]
    assert names == [["%s/licenses/%s.dat" % (WORK, digest(hubs["hub1"]))], []]
    assert "no licence here, and hub1 has one" in play_output


def test_package_installed_again_on_the_passive_hub_is_mended(hubs):
    """The maintainer scripts stop PostgreSQL, make new secrets and take the mask off; an own certificate they leave."""
    hub1, hub2 = hubs["hub1"], hubs["hub2"]
    hub2.run_expect([0], OWN % {"work": WORK})
    own = hub2.file(CERTIFICATE % "hub2").content_string
    before = sql(hub1, "SELECT pg_postmaster_start_time()")
    hub2.run_expect([0], "DEBIAN_FRONTEND=noninteractive apt-get -q -y --reinstall install cfengine-nova-hub")
    log = hub2.file("/var/log/CFEngine-Install.log").content_string
    for words in ("stops PostgreSQL", "unmasks cf-postgres", "the database did not take the new secrets"):
        assert words in log, words
    assert hub2.file(SECRETS).content_string != hub1.file(SECRETS).content_string
    assert not hub2.file("/etc/systemd/system/cf-postgres.service").exists
    assert not hub2.file(WORK + "/httpd/htdocs/ha_enabled").exists

    status, output = play()
    assert status == 0, output[-4000:]
    text = " ".join(output.split())
    named = (CERTIFICATE % "hub2", SHARED, SHARED_NAME)
    assert "certificate %s is your own and does not name %s and %s" % named in text
    # Delegated tasks are counted there (secrets, that pacemaker tries again), and the backup of the state reached.
    assert recap(output)["hub1"] <= 3, output
    assert hub2.file(SECRETS).content_string == hub1.file(SECRETS).content_string
    assert (hub2.file(SECRETS).user, hub2.file(SECRETS).mode) == ("cfapache", 0o400)
    assert hub2.check_output("systemctl show -p LoadState --value cf-postgres") == "masked"
    assert hub2.file(CERTIFICATE % "hub2").content_string == own
    assert sql(hub1, "SELECT pg_postmaster_start_time()") == before, "the active hub's database went on"
    secret = [line.split("=", 1)[1] for line in hub1.file(SECRETS).content_string.splitlines()]
    for word in secret + [hashlib.sha256(hub1.file(SECRETS).content).hexdigest()]:
        assert word not in output


def test_a_second_run_changes_nothing(hubs):
    status, output = play()
    assert (status, recap(output)) == (0, {"hub1": 0, "hub2": 0}), output[-4000:]
    assert os.environ["HUB_WORK"] == WORK
