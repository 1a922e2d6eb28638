"""What only Enterprise's layout has: the vendor's policy, Mission Portal's files, maintainer scripts.

The tests follow each other. The package is a stand-in for the closed one; docs/lab-enterprise.md says what it cannot
show.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import enterprise_pair  # noqa: E402
from enterprise_pair import CERTIFICATE, SECRETS, SHARED_NAME, digest, run_agent  # noqa: E402
from conftest import ADDRESSES, SHARED, WORK, get_host, play, play_output, recap, sql  # noqa: E402, F401

OWN = r"""
set -e
cd "$(mktemp -d)"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Example CA" -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj "/O=Example/CN=hub2" -keyout own.key -out own.csr
openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -out own.pem
install -m 0600 own.key %(work)s/httpd/ssl/private/hub2.key
install -m 0644 own.pem %(work)s/httpd/ssl/certs/hub2.cert
"""


@pytest.fixture(scope="module")
def hubs():
    """{name: host}."""
    return enterprise_pair.hubs()


def test_check_mode_came_first_and_installed_nothing(hubs, play_output):
    """It was told what would be done, the vendor's package on the blank hub among it."""
    found = re.findall(r"^(\S+ \S+),\d+ .*\| (hub\d) +: ok=\d+ +changed=(\d+)", play_output, re.MULTILINE)
    assert [name for dummy, name, dummy in found] == ["hub1", "hub2"] * 2, "one run in check mode, one real run"
    assert all(int(changed) > 0 for dummy, dummy, changed in found), found
    told = time.mktime(time.strptime(found[1][0], "%Y-%m-%d %H:%M:%S"))
    line = hubs["hub2"].check_output("grep -m1 ' install cfengine-nova-hub' /var/log/dpkg.log | cut -c1-19")
    assert int(hubs["hub2"].check_output("date -d '%s' +%%s" % line)) >= told


def test_everything_runs_from_the_vendors_places(hubs):
    enterprise_pair.check_places(hubs)


def test_vendors_policy_works_as_shipped(hubs):
    enterprise_pair.check_vendors_policy(hubs)
    for host in hubs.values():
        assert host.file("/opt/cfengine/notification_scripts/call_ops.sh").exists


def test_a_client_is_led_by_the_vendors_policy(hubs):
    client = get_host("client1")
    run_agent(client)
    keys = client.check_output("ls %s/ppkeys" % WORK).split()
    assert set("root-%s.pub" % digest(host) for host in hubs.values()) <= set(keys)
    assert client.file(WORK + "/policy_server.dat").content_string.strip() in (ADDRESSES["hub1"], SHARED)


def test_secrets_and_certificates(hubs):
    enterprise_pair.check_portal(hubs)


def test_licences_and_keys_stay_with_their_hub(hubs, play_output):
    """The licence has the digest of hub1's key in its name, from before the upgrade."""
    names = [host.check_output("find %s/licenses -type f" % WORK).split() for host in hubs.values()]
    assert names == [["%s/licenses/%s.dat" % (WORK, digest(hubs["hub1"]))], []]
    assert "no licence here, and hub1 has one" in play_output


def test_package_installed_again_on_the_passive_hub_is_mended(hubs):
    """The maintainer scripts stop PostgreSQL, make new secrets and take the mask off; an own certificate they leave."""
    hub1, hub2 = hubs["hub1"], hubs["hub2"]
    hub2.run_expect([0], OWN % {"work": WORK})
    own = hub2.file(CERTIFICATE % "hub2").content_string
    before = sql(hub1, "SELECT pg_postmaster_start_time()")
    # The vendor's flag is gone then, and the vendor's policy makes it again at the agent's next run, whenever that is.
    hub2.run_expect([0], "DEBIAN_FRONTEND=noninteractive apt-get -q -y --reinstall install cfengine-nova-hub && "
                         "test ! -e %s/httpd/htdocs/ha_enabled" % WORK)
    log = hub2.file("/var/log/CFEngine-Install.log").content_string
    for words in ("stops PostgreSQL", "unmasks cf-postgres", "the database did not take the new secrets"):
        assert words in log, words
    assert hub2.check_output("systemctl is-active cf-hub") == "active", "what was running runs again"
    assert hub2.check_output("systemctl show -p ActiveState,ConditionResult,Result cf-postgres").splitlines() == [
        "Result=success", "ActiveState=inactive", "ConditionResult=no"]
    # Nobody has to come: pacemaker has waited for the scripts, and starts the standby.
    for dummy in range(60):
        state = sql(hub1, "SELECT string_agg(state, '') FROM pg_stat_replication")
        if state == ["streaming"]:
            break
        time.sleep(1)
    assert state == ["streaming"]
    assert "hub_ha-gave_up" not in hub2.check_output("crm_mon -1A")
    assert hub2.file(SECRETS).content_string != hub1.file(SECRETS).content_string
    assert not hub2.file("/etc/systemd/system/cf-postgres.service").exists

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


def test_a_second_run_changes_nothing():
    status, output = play()
    assert (status, recap(output)) == (0, {"hub1": 0, "hub2": 0}), output[-4000:]
