"""What the tests of Enterprise's layout share: the hubs, the vendor's policy on them, Mission Portal's page.

The package is a stand-in for the closed one; docs/lab-enterprise.md says what it cannot show.
"""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import ADDRESSES, SHARED, WORK, get_host, sql  # noqa: E402

SECRETS = WORK + "/httpd/secrets.ini"
CERTIFICATE = WORK + "/httpd/ssl/certs/%s.cert"
SHARED_NAME = "hub"
AGENT = "cf-agent -K -f update.cf && cf-agent -K"
NIGHT = " -D Hr05,Min00_05"  # the vendor's policy has a task of the portal for this time
ASIDE = WORK + "/state/pg/data.of-the-package"
UNITS = ("cfengine3", "cf-execd", "cf-serverd", "cf-monitord", "cf-hub", "cf-apache", "cf-reactor", "cf-php-fpm")


def hubs():
    """{name: host}."""
    return dict((name, get_host(name)) for name in ("hub1", "hub2"))


def digest(host):
    """SHA=... of the host's own key."""
    return host.check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()


def defined(host):
    """Which of the two classes has the plug-in defined on this host, as its policy is read?"""
    text = host.check_output("cf-promises --show-classes='hub_(active|passive)' -f %s/inputs/promises.cf" % WORK)
    return [name for name in ("hub_active", "hub_passive") if name in text.split()]


def run_agent(host, classes=""):
    """One run of the agent as an operator runs it; nothing may go wrong in it. classes: "" or NIGHT."""
    done = host.run(AGENT + classes)
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr


def portal(address, certificate, name=None):
    """The page of the stand-in for Mission Portal; it must show this certificate, valid for the address (or name)."""
    context = ssl.create_default_context(cadata=certificate)
    with socket.create_connection((address, 443), timeout=10) as plain, \
            context.wrap_socket(plain, server_hostname=name or address) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: stream.recv(4096), b"")).decode()


# --- what holds for a pair of such hubs, however it was made -----------------------------------------------------

def check_places(pair):
    """Everything runs, from the vendor's places; the database that the package made on hub2 is kept aside."""
    for name, host in pair.items():
        assert "stand-in for the closed package, for tests only" in host.check_output("dpkg -s cfengine-nova-hub")
        assert not host.file("/var/lib/cfengine3").exists and not host.file("/usr/bin/psql").exists
        pid = host.file(WORK + "/state/pg/data/postmaster.pid").content_string.split()[0]
        assert host.check_output("readlink /proc/%s/exe" % pid) == WORK + "/bin/postgres"
        assert host.check_output("stat -c %%U /proc/%s" % pid) == "cfpostgres"
        assert host.check_output("crm_resource --resource cfpgsql --get-parameter pgctl") == WORK + "/bin/pg_ctl"
        assert host.check_output("systemctl show -p LoadState --value cf-postgres") == "masked"
        states = host.run("systemctl is-active %s; systemctl is-enabled %s" % ((" ".join(UNITS),) * 2)).stdout.split()
        assert states == ["active"] * len(UNITS) + ["enabled"] * len(UNITS), dict(zip(UNITS * 2, states))
        assert host.file(ASIDE + "/PG_VERSION").exists == (name == "hub2")
        assert not host.file("/var/lib/cfengine-hub-ha.package").exists
    assert sql(pair["hub1"], "SELECT application_name, state FROM pg_stat_replication") == ["hub2|streaming"]
    for database in ("cfdb", "cfsettings", "cfmp"):
        assert sql(pair["hub2"], "SELECT pg_is_in_recovery()", database) == ["t"]


def check_vendors_policy(pair):
    """It works as shipped: classes come from ha.cfg, its flag is there, hubs' keys are shared, their own are spared."""
    own = [(digest(host), host.check_output("sha256sum %s/ppkeys/localhost.priv" % WORK)) for host in pair.values()]
    for classes in ("", NIGHT):  # what one hub shares in its run the other one takes in its next
        for host in pair.values():
            run_agent(host, classes)
    for (name, host), role, other in zip(pair.items(), ("hub_active", "hub_passive"), ("hub2", "hub1")):
        assert defined(host) == [role]
        flag = host.file(WORK + "/httpd/htdocs/ha_enabled")
        assert (flag.exists, flag.user, flag.group, flag.mode) == (True, "cfapache", "cfapache", 0o440), name
        assert host.file(WORK + "/state/master_hub.dat").content_string == ADDRESSES["hub1"] + "\n"
        assert host.check_output("ls %s/ppkeys_hubs" % WORK).split() == ["root-%s.pub" % digest(pair[other])]
        assert "localhost" not in host.check_output("ls %s/ppkeys_staging" % WORK)
        # Of the policy framework only what holds the hubs' addresses and keys is another file than in the package.
        differ = host.run("diff -rq %s/share/NovaBase/masterfiles %s/masterfiles" % (WORK, WORK)).stdout.splitlines()
        assert [line for line in differ if line.startswith("Files ") and "ha_info.json" not in line] == []
        assert [line for line in differ if "NovaBase" in line and line.startswith("Only ")] == []
    assert [(digest(host), host.check_output("sha256sum %s/ppkeys/localhost.priv" % WORK))
            for host in pair.values()] == own and own[0] != own[1]


def check_portal(pair):
    """Secrets are those of the database, and nobody else reads them; certificates name the shared address."""
    files = [host.file(SECRETS) for host in pair.values()]
    assert files[0].content_string == files[1].content_string
    assert [(item.user, item.mode) for item in files] == [("cfapache", 0o400)] * 2
    texts = [host.file(CERTIFICATE % name).content_string for name, host in pair.items()]
    assert texts[0] != texts[1], "each hub has its own key"
    for (name, host), text in zip(pair.items(), texts):
        answer = portal(ADDRESSES[name], text, SHARED_NAME)
        assert "stand-in for Mission Portal on %s\nrobot 200" % name in answer
        assert host.file(WORK + "/ssl/cert.pem").linked_to == CERTIFICATE % name
        key = host.file("%s/httpd/ssl/private/%s.key" % (WORK, name))
        assert (key.user, key.mode & 0o007) == ("root", 0)
    assert "on hub1\nrobot 200" in portal(SHARED, texts[0])
