"""The pair from nothing: cut off in each part of the first hub's making, then finished, then left as it is."""

from __future__ import annotations

import json
import os
import time

from test_1_refused import ROOT, WEB, get_host, package, play, run  # noqa: F401
from conftest import SHARED, WORK, sql

CUTS = [("Install it with what it needs", 2.0), ("A new database", 0.7), ("Start PostgreSQL", 0.2)]


def test_cut_off_and_finished(play, package, tmp_path):
    name, checksum = package
    source = {"hub_ha_package_source": WEB + name, "hub_ha_package_checksum": "sha256:" + checksum}
    note = tmp_path / "cut"
    cutting = {"ANSIBLE_CALLBACKS_ENABLED": "cut_off", "CUT_NOTE": str(note), "CUT_CHANGES": "0",
               "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "molecule/interrupted/callback_plugins")}
    for task, delay in CUTS:
        began = time.monotonic()
        done = play.upgrade(source, ["--limit", "hubs:client1"], playbook="install-ha.yml",
                            CUT_TASKS=json.dumps({task: delay}), **cutting)
        assert done.rc == -9, done.output
        assert task in note.read_text(encoding="utf-8")
        print("cut after %.1f s in: %s" % (time.monotonic() - began, task))
    began = time.monotonic()
    done = run(play, **source)
    assert done.rc == 0, done.output
    seconds = time.monotonic() - began
    print("the run that was not cut off took %.1f s" % seconds)
    done.says("hub1 ACTIVE", "hub2 passive")
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"install_after_cuts_s": round(seconds, 1)}) + "\n")


def test_second_run_changes_nothing(play):
    began = time.monotonic()
    done = run(play)
    print("second run: %.1f s" % (time.monotonic() - began))
    assert done.rc == 0, done.output
    assert done.changes() == []
    done.says("There is nothing to make from nothing here")


def test_nothing_is_left_of_the_making():
    for name in ("hub1", "hub2"):
        host = get_host(name)
        assert host.check_output("dpkg --audit") == ""
        assert host.check_output("ls -d /var/lib/postgresql/*/* /tmp/hub_ha.* 2>/dev/null; true") == "", \
            "no database of Debian's package, no lists of packages"
        assert not [item for item in host.check_output("ls -A %s/state/pg" % WORK).split() if item == ".data.new"]
    assert sql(get_host("hub1"), "SHOW data_checksums") == ["on"]


def test_the_client_gets_its_policy_from_the_pair():
    client = get_host("client1")
    assert client.file(WORK + "/policy_server.dat").content_string.strip() == SHARED
    done = client.run("cf-agent -K -f update.cf && cf-agent -K")
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert len(json.loads(client.file(WORK + "/inputs/services/hub_ha.json").content_string)["hubs"]) == 2
