# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mission Portal's certificate, secrets and licence: what is read, and what is decided about it."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import portal
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import portal as portal_plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

SHARED = ["192.168.100.100"]
OWN = ["192.168.100.10", "192.168.0.10"]
NOW = 1_800_000_000
GOOD = "file cfapache:root 0400 " + "a" * 64
TEXT = """subject=CN=hub1
issuer=CN=hub1
notAfter=Nov 20 09:07:36 2036 GMT
X509v3 Subject Alternative Name:
    DNS:hub1.example.net, DNS:localhost, IP Address:127.0.0.1, IP Address:192.168.100.10
"""


def facts(**changes):
    found = {"secrets": GOOD, "full_name": "hub1.example.net", "licences": [], "names": {SHARED[0]: "hub.example.net"},
             "certificate": "/var/cfengine/httpd/ssl/certs/hub1.example.net.cert",
             "key": "/var/cfengine/httpd/ssl/private/hub1.example.net.key", "tls": portal.parse(TEXT),
             "stale": False}
    found.update(changes)
    return found


def own_certificate(**changes):
    tls = dict(portal.parse(TEXT), subject="CN=hub1.example.net,O=Example", issuer="CN=Example CA",
               expires=NOW + 10 ** 9)
    tls.update(changes)
    return facts(tls=tls)


def test_a_hub_is_looked_at(tmp_path, monkeypatch):
    asked = []

    class Done:
        rc = 0

        def __init__(self, out):
            self.out = out

    def run(argv, check=True):
        asked.append(argv)
        return Done("hub1.example.net\n" if argv[0] == "hostname" else TEXT)

    assert portal.look(run, str(tmp_path), str) is None
    for name in ("httpd/ssl/certs/hub1.example.net.cert", "httpd/ssl/private/hub1.example.net.key", "httpd/secrets.ini",
                 "licenses/hub1/one.dat", "license.dat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="ascii")
    monkeypatch.setattr(portal, "name_of", {"192.168.100.100": "hub.example.net"}.get)
    found = portal.look(run, str(tmp_path), lambda path: "summary of " + path, ["192.168.100.100", "192.168.0.100"])
    assert found["licences"] == [str(tmp_path / "license.dat"), str(tmp_path / "licenses/hub1/one.dat")]
    assert found["secrets"] == "summary of %s/httpd/secrets.ini" % tmp_path
    assert found["names"] == {"192.168.100.100": "hub.example.net", "192.168.0.100": None}
    assert found["full_name"] == "hub1.example.net" and found["tls"] == portal.parse(TEXT)
    assert set(found) == set(facts())
    (tmp_path / "httpd/ssl/private/hub1.example.net.key").unlink()
    assert portal.look(run, str(tmp_path), str)["tls"] is None
    assert not [argv for argv in asked if "private" in " ".join(argv)], "no private key is read"


def test_names_come_from_the_resolver():
    assert portal.name_of("127.0.0.1") and portal.name_of("no address") is None


def decide(hub, **settings):
    return portal_plan.certificate_plan("hub1", hub, OWN, SHARED, settings, NOW)


def test_certificate_is_read():
    found = portal.parse(TEXT)
    assert found == {"subject": "CN=hub1", "issuer": "CN=hub1", "expires": 2110784856,
                     "names": ["hub1.example.net", "localhost"], "addresses": ["127.0.0.1", "192.168.100.10"]}
    assert portal.parse("unable to load certificate\n")["subject"] == ""


def test_the_packages_certificate_gets_the_shared_address_and_its_name():
    arguments, warnings = decide(facts())
    assert arguments == {
        "certificate": "/var/cfengine/httpd/ssl/certs/hub1.example.net.cert",
        "key": "/var/cfengine/httpd/ssl/private/hub1.example.net.key", "common_name": "hub1",
        "names": ["hub1.example.net", "hub1", "localhost", "hub.example.net"],
        "addresses": ["127.0.0.1"] + OWN + SHARED}
    assert warnings == []


def test_names_of_the_operators_choice_and_no_name_at_all():
    assert decide(facts(), portal_names=["portal.example.net"])[0]["names"][-1] == "portal.example.net"
    assert decide(facts(names={SHARED[0]: None}))[0]["names"] == ["hub1.example.net", "hub1", "localhost"]


def test_where_there_is_no_certificate_one_is_made_and_without_mission_portal_none():
    assert decide(facts(tls=None))[0]["common_name"] == "hub1"
    assert decide(None) == (None, [])


@pytest.mark.parametrize("change", [
    {"issuer": "CN=Example CA"}, {"subject": "CN=hub1,O=Example", "issuer": "CN=hub1,O=Example"},
    {"subject": "CN=portal", "issuer": "CN=portal"}])
def test_an_own_certificate_is_never_replaced_but_looked_at(change):
    arguments, warnings = decide(own_certificate(**change))
    assert arguments is None
    assert len(warnings) == 1 and "does not name 192.168.100.100 and hub.example.net" in warnings[0].problem
    assert (warnings[0].host, warnings[0].code) == ("hub1", "PORTAL_CERTIFICATE_NAMES")


def test_an_own_certificate_that_names_everything_is_no_matter():
    tls = {"names": ["hub1.example.net", "hub.example.net"], "addresses": OWN + SHARED}
    assert decide(own_certificate(**tls)) == (None, [])
    assert "expires in 9 days" in decide(own_certificate(**dict(tls, expires=NOW + 10 * 86400 - 1)))[1][0].problem
    tls["names"] = ["*.example.net"]
    assert decide(own_certificate(**tls)) == (None, [])


def test_on_request_it_is_made_anew_or_left_alone():
    assert decide(own_certificate(), portal_certificate="renew")[0]["addresses"][-1] == SHARED[0]
    assert decide(facts(), portal_certificate="keep")[0] is None
    assert decide(facts(tls=None), portal_certificate="keep") == (None, [])


@pytest.mark.parametrize("passive, carry", [
    (GOOD, False), ("file cfapache:cfapache 0400 " + "a" * 64, False), ("absent", True),
    ("file cfapache:root 0400 " + "b" * 64, True), ("file root:root 0400 " + "a" * 64, True),
    ("file cfapache:root 0640 " + "a" * 64, True), ("link /elsewhere", True)])
def test_secrets_go_to_the_passive_hub_when_they_differ_or_others_could_read_them(passive, carry):
    assert portal_plan.secrets_plan(facts(), facts(secrets=passive)) == {"carry": carry, "loose": False}


def test_secrets_of_a_hub_that_has_none_are_not_carried():
    assert portal_plan.secrets_plan(facts(secrets="absent"), facts()) == {"carry": False, "loose": False}
    assert portal_plan.secrets_plan(None, None) == {"carry": False, "loose": False}
    assert portal_plan.secrets_plan(facts(), None) == {"carry": False, "loose": False}
    assert portal_plan.secrets_plan(facts(secrets="file root:root 0644 " + "a" * 64), None)["loose"]


def checked(mine, theirs):
    results = pair.results()
    infos = {"hub1": results["hub1"]["hub"], "hub2": results["hub2"]["hub"]}
    infos["hub1"]["portal"], infos["hub2"]["portal"] = copy.deepcopy(mine), copy.deepcopy(theirs)
    found = portal_plan.lacks(infos, "hub1", "hub2")
    assert {item.severity for item in found} <= {"warning"} and all(item.code and item.remedy for item in found)
    return ["%s: %s" % (item.host, item.problem) for item in found]


def test_a_licence_that_lacks_is_said_before():
    licensed = facts(licences=["/var/cfengine/licenses/hub1.dat"])
    assert checked(licensed, facts())[0].startswith("hub2: no licence here, and hub1 has one.")
    assert len(checked(licensed, None)) == 1
    assert checked(licensed, licensed) == checked(facts(), facts()) == checked(None, None) == []


def test_secrets_that_lack_are_said():
    assert "there is no httpd/secrets.ini" in checked(facts(secrets="absent"), None)[0]


@pytest.mark.parametrize("state, changed, age, stale", [
    ("active", "100000000", 50, False), ("active", "100000000", 10, True), ("inactive", "100000000", 10, False),
    ("active", "", 10, False)])
def test_web_server_that_does_not_know_its_new_certificate(state, changed, age, stale):
    """It changed its state 30 s ago: now is 130 s of the monotonic clock."""
    text = "ActiveState=%s\nStateChangeTimestampMonotonic=%s\n" % (state, changed)
    assert portal.stale(text, age, 130.0) is stale


def test_certificate_with_names_of_somebody_is_not_the_packages():
    tls = dict(portal.parse(TEXT), subject="CN=hub1.example.net", issuer="CN=hub1.example.net")
    need = {"names": ["hub1.example.net", "localhost"]}
    assert portal_plan.by_the_package(facts(tls=tls), need)
    assert not portal_plan.by_the_package(facts(tls=dict(tls, names=tls["names"] + ["portal.example.net"])), need)
