# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and certificates, with the real openssl."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import certificate
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_certificate

NAMES = {"names": ["hub1", "hub1.example.com"], "addresses": ["192.168.100.10", "fd00::10"]}


def openssl(*argv):
    done = subprocess.run(("openssl",) + argv, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    return tmp_path


@pytest.fixture(name="make")
def fixture_make(run_module, folder):
    def make(check=False, **changes):
        arguments = dict({"key": str(folder / "server.key"), "certificate": str(folder / "server.crt"),
                          "common_name": "hub1"}, **NAMES)
        arguments.update(changes)
        return run_module(hub_certificate, check=check, diff=True, **arguments)
    return make


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mode & 0o7777) for path in folder.iterdir()}


def test_new_key_and_certificate(make, folder):
    result = make()
    assert result["changed"] and result["certificate"] == (folder / "server.crt").read_text()
    assert sorted(os.listdir(folder)) == ["server.crt", "server.key"], "nothing else is left"
    assert [files(folder)[name][1] for name in ("server.crt", "server.key")] == [0o644, 0o600]
    text = openssl("x509", "-in", str(folder / "server.crt"), "-noout", "-text")
    for part in ("DNS:hub1", "DNS:hub1.example.com", "IP Address:192.168.100.10", "IP Address:FD00:0:0:0:0:0:0:10",
                 "prime256v1", "ecdsa-with-SHA256"):
        assert part in text
    assert "PRIVATE" not in str(result)


def test_certificate_verifies_itself_for_its_names_and_addresses(make, folder):
    make()
    crt = str(folder / "server.crt")
    for option, value in (("-verify_hostname", "hub1"), ("-verify_ip", "192.168.100.10"), ("-verify_ip", "fd00::10")):
        assert "OK" in openssl("verify", "-CAfile", crt, option, value, crt)
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", crt, "-verify_hostname", "hub2", crt)


def test_second_run_changes_nothing(make, folder):
    first = make()
    before = files(folder)
    second = make()
    assert second["changed"] is False and second["certificate"] == first["certificate"] and files(folder) == before
    assert second["diff"]["before"] == second["diff"]["after"]
    assert make(check=True) == second


def test_fewer_names_are_no_reason(make):
    make()
    assert make(names=["hub1"], addresses=["192.168.100.10"])["changed"] is False


@pytest.mark.parametrize("changes, why", [
    ({"names": ["hub1", "other"]}, "for other names: DNS:hub1, DNS:hub1.example.com"),
    ({"addresses": ["192.168.100.100"]}, "for other names"), ({"addresses": ["fd00::11"]}, "for other names"),
    ({"renew_days": 3651}, "expires within 3651 days")])
def test_renewal(make, folder, changes, why):
    first = make()
    before = files(folder)
    checked = make(check=True, **changes)
    assert checked["changed"] and checked["certificate"] is None and files(folder) == before
    assert why in checked["diff"]["before"]
    real = make(**changes)
    assert real["changed"] and real["certificate"] != first["certificate"] and real["diff"] == checked["diff"]
    changes.pop("renew_days", None)
    assert make(**changes)["changed"] is False


def test_expiry_is_seen_in_time(make):
    make(days=30, renew_days=10)
    assert make(days=30, renew_days=10)["changed"] is False
    assert "expires within 60 days" in make(check=True)["diff"]["before"]
    assert make()["changed"] and make()["changed"] is False


def test_key_of_another_certificate(make, folder):
    make()
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out",
            str(folder / "server.key"))
    result = make()
    assert result["changed"] and "of another key" in result["diff"]["before"]
    assert openssl("x509", "-in", str(folder / "server.crt"), "-noout", "-pubkey") \
        == openssl("pkey", "-in", str(folder / "server.key"), "-pubout")


@pytest.mark.parametrize("name", ["server.key", "server.crt"])
@pytest.mark.parametrize("text", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n"])
def test_lost_or_damaged_file(make, folder, name, text):
    make()
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    assert make(check=True)["changed"] and make()["changed"] and make()["changed"] is False


def test_loose_permissions_are_mended_without_a_new_key(make, folder):
    make()
    before = files(folder)
    (folder / "server.key").chmod(0o644)
    os.chown(folder / "server.crt", 1, 1)
    checked = make(check=True)
    assert checked["changed"] and checked["certificate"] == before["server.crt"][0].decode(), "it stays as it is"
    assert files(folder)["server.key"][1] == 0o644
    real = make()
    assert real == checked and files(folder) == before and (folder / "server.crt").stat().st_uid == 0
    assert make()["changed"] is False


def test_other_permissions_on_request(make, folder):
    modes = {"key_mode": "0440", "certificate_mode": "0444"}
    assert make(**modes)["changed"]
    assert [files(folder)[name][1] for name in ("server.crt", "server.key")] == [0o444, 0o440]
    assert not make(**modes)["changed"]
    key = files(folder)["server.key"][0]
    assert make(certificate_mode="0600")["changed"]
    assert files(folder)["server.key"] == (key, 0o600) and files(folder)["server.crt"][1] == 0o600
    assert "key_mode 'rw' is not an octal number" in make(key_mode="rw")["msg"]


def test_owner(make, folder):
    make(owner="daemon", group="games")
    assert not certificate.loose(str(folder / "server.key"), "daemon", "games", 0o600)
    assert make(owner="daemon", group="games")["changed"] is False
    assert make()["changed"], "another owner is wanted now"


def test_an_owner_without_a_name_is_mended(make, folder):
    make()
    os.chown(folder / "server.key", 54321, 54321)
    assert make()["changed"] and (folder / "server.key").stat().st_uid == 0


def test_check_mode_makes_nothing(make, folder):
    result = make(check=True)
    assert result["changed"] and result["certificate"] is None and os.listdir(folder) == []
    assert result["diff"]["before"] == "certificate absent\n"
    assert make()["diff"] == result["diff"]


@pytest.mark.parametrize("changes, text", [
    ({"common_name": "a/CN=b"}, "'a/CN=b' is no host name"), ({"common_name": ""}, "is no host name"),
    ({"addresses": ["300.1.1.1"]}, "300.1.1.1"), ({"owner": "no-such-user"}, "no-such-user"),
    ({"key": "/no/such/dir/server.key"}, "/no/such/dir")])
def test_wrong_arguments_are_a_clear_error(make, folder, changes, text):
    result = make(**changes)
    assert result["failed"] and text in result["msg"]
    assert os.listdir(folder) == []


@pytest.mark.parametrize("text, wanted", [
    ("fd00::1", "FD00:0:0:0:0:0:0:1"), ("::1", "0:0:0:0:0:0:0:1"), ("10.0.0.1", "10.0.0.1"),
    ("2001:db8:0:1::ab", "2001:DB8:0:1:0:0:0:AB")])
def test_address_in_openssls_words(text, wanted):
    assert certificate.openssl_address(text) == wanted


def test_parse_names():
    text = "X509v3 Subject Alternative Name: \n    DNS:hub1, IP Address:10.0.0.1, email:x@y\n"
    assert certificate.parse_names(text) == {"DNS:hub1", "IP Address:10.0.0.1"}
    assert certificate.parse_names("No extensions in certificate\n") == set()
