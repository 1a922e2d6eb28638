"""Both hosts are replaced by blank ones: a pair from nothing, out of the stand-in's file on the controller."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import enterprise_pair  # noqa: E402
from enterprise_pair import WORK  # noqa: E402
from conftest import ROOT, lab, play, recap, sql  # noqa: E402

PACKAGE, = (ROOT / ".cache/lab/suites/trixie/enterprise-packages").glob("cfengine-nova-hub_*.deb")


@pytest.fixture(scope="module")
def hubs():
    """{name: host}."""
    return enterprise_pair.hubs()


def install():
    """One run of the playbook; the client of the pair that is gone is left out of it. Returns its output."""
    began = time.monotonic()
    status, output = play("--limit", "hubs", "-e", "hub_ha_package_source=%s" % PACKAGE, playbook="install-ha.yml")
    assert status == 0, output[-6000:]
    return time.monotonic() - began, output


def test_pair_from_nothing(hubs):
    lab("replace", "hub1=blank,hub2=blank")
    seconds, output = install()
    print("pair from nothing: %.1f s" % seconds)
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"install_enterprise_s": round(seconds, 1)}) + "\n")
    text = " ".join(output.split())
    assert "hub1 ACTIVE" in text and "hub2 passive" in text and "licence" not in text
    enterprise_pair.check_places(hubs)
    for host in hubs.values():
        assert host.check_output("dpkg --audit; ls -d /tmp/hub_ha.* 2>/dev/null; true") == ""
        assert host.check_output("ls -A %s/licenses" % WORK) == ""


def test_vendors_policy_and_mission_portal(hubs):
    enterprise_pair.check_vendors_policy(hubs)
    enterprise_pair.check_portal(hubs)


def test_second_run_changes_nothing(hubs):
    before = sql(hubs["hub1"], "SELECT pg_postmaster_start_time()")
    _seconds, output = install()
    assert recap(output) == {"hub1": 0, "hub2": 0}, output[-6000:]
    assert "There is nothing to make from nothing here" in " ".join(output.split())
    assert sql(hubs["hub1"], "SELECT pg_postmaster_start_time()") == before
