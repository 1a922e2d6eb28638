"""What stands against a pair from nothing is told before anything is changed; so is what would be done."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import WORK, broken, get_host, hub1, hub2  # noqa: E402,F401

# Another conftest, loaded by its path.
_SPEC = importlib.util.spec_from_file_location("bad_input_hosts", ROOT / "molecule/bad-input/tests/conftest.py")
bad_input = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bad_input)
play = bad_input.play

DEAD = "http://192.168.100.21:9/"  # client1, where nothing listens
WEB = "http://192.168.100.21:8000/"
OTHER_VERSIONS = """mkdir /srv/other && awk '/^Package:/ {name = $2}
  /^Version:/ && name == "cfengine3" {$2 = "3.21.9-1"}
  /^Version:/ && name == "postgresql-17" {$2 = "17.1-1"}
  {print}' /srv/packages/Packages >/srv/other/Packages && sed -i s,/srv/packages,/srv/other, /etc/apt/sources.list"""
ITS_VERSIONS = "rm -r /srv/other; sed -i s,/srv/other,/srv/packages, /etc/apt/sources.list"


@pytest.fixture(scope="session")
def package():
    """(name, SHA-256) of the hub's package in the lab's repository, which client1 serves meanwhile."""
    client = get_host("client1")
    client.run_expect([0], "systemctl is-active web || systemd-run --quiet --collect --unit=web "
                           "python3 -m http.server 8000 --directory /srv/packages")
    path = client.check_output("echo /srv/packages/cfengine3_*.deb")
    return os.path.basename(path), client.check_output("sha256sum " + path).split()[0]


def run(play, *arguments, **variables):
    """One run of the playbook, for the hosts that there are."""
    return play.upgrade(variables, ["--limit", "hubs:client1", *arguments], playbook="install-ha.yml",
                        ANSIBLE_LOG_PATH=os.environ["PLAY_LOG"])


@pytest.fixture
def refused(play, hub1, hub2):
    """A function that runs the playbook and asserts that it refuses with these words and changes nothing."""
    def check(*words, **variables):
        before = [bad_input.fingerprint(host) for host in (hub1, hub2)]
        done = run(play, **variables)
        assert done.rc != 0, done.output
        done.says("Nothing was changed.", *words)
        assert done.recap and all(counters["changed"] == 0 for counters in done.recap.values()), done.output
        assert [bad_input.fingerprint(host) for host in (hub1, hub2)] == before
    return check


def test_source_that_cannot_be_reached_and_versions_that_differ(refused, hub1, hub2):
    dead = "/etc/apt/sources.list.d/dead.list"
    with broken(hub1, "echo 'deb [trusted=yes] %s ./' >%s" % (DEAD, dead), "rm " + dead), \
            broken(hub2, OTHER_VERSIONS, ITS_VERSIONS):
        refused("4 thing(s) must be put right first", "fencing is not decided",
                "hub1: a package source cannot be used: ", DEAD, "see that this host reaches its package source",
                "hub2: CFEngine 3.21.9 here and 3.24.", "all: postgresql-17 would differ between the hubs: ",
                "17.1-1 on hub2", hub_ha_fencing=None)


def test_package_that_is_not_the_one_that_was_meant(refused, package):
    name, wanted = package
    wrong = hashlib.sha256(b"another file").hexdigest()
    refused("2 thing(s) must be put right first",
            "hub1: %s%s has the checksum sha256:%s, and not the one that was given" % (WEB, name, wanted),
            "hub2: %sx.deb cannot be had: " % DEAD, "correct hub_ha_package_source or hub_ha_package_checksum",
            hub_ha_package_source="{{ {'hub1': '%s%s', 'hub2': '%sx.deb'}[inventory_hostname] }}" % (WEB, name, DEAD),
            hub_ha_package_checksum="sha256:" + wrong)


def test_host_that_has_a_database_already(refused, hub2):
    """It was started once, so it may hold anything: nothing here starts it, and nothing takes its place."""
    data = WORK + "/state/pg/data"
    with broken(hub2, "mkdir -p {0} && echo 17 >{0}/PG_VERSION && touch {0}/postmaster.opts".format(data),
                "rm -r " + WORK):
        refused("PostgreSQL runs as a primary on neither hub (hub1: absent, hub2: stopped)",
                "start the hub that holds the primary's data first")


def test_check_mode_on_blank_hosts(play, hub1, hub2):
    before = [bad_input.fingerprint(host) for host in (hub1, hub2)]
    done = run(play, "--check", "--diff")
    assert done.rc == 0, done.output
    done.says("Neither hub has a database: hub1 is made a single hub first", "active hub hub1", "PostgreSQL 17",
              "hub1 will be a single hub then, and become a pair with hub2", "+a new, empty database in")
    assert {"hub1: cfengine.hub_ha.packages : Install packages", "hub2: cfengine.hub_ha.packages : Install packages",
            "hub1: cfengine.hub_ha.install : A new database"} <= set(done.changes()), done.changes()
    assert [bad_input.fingerprint(host) for host in (hub1, hub2)] == before
