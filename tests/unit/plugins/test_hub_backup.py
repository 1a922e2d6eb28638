# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups with a manifest, on real files; only the CIB is played."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import live
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import store
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandMissing, Completed
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_backup

CIB = """<cib crm_feature_set="3.19.0" validate-with="pacemaker-3.9" epoch="%(epoch)s" num_updates="%(updates)s">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="a" name="have-watchdog" value="false"/>
        <nvpair id="b" name="last-lrm-refresh" value="%(updates)s"/>
        <nvpair id="c" name="stonith-enabled" value="%(stonith)s"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="hub1"><instance_attributes id="n"><nvpair id="d" name="cfpgsql-data-status"
        value="%(status)s"/></instance_attributes></node>
    </nodes>
    <resources><primitive id="cfvirtip" class="ocf" provider="heartbeat" type="IPaddr2"/></resources>
    <constraints/>
  </configuration>
  <status><node_state id="1" uname="hub1" crmd="%(status)s"/></status>
</cib>
"""


def cib(**changes):
    return CIB % dict({"epoch": "7", "updates": "3", "stonith": "false", "status": "LATEST"}, **changes)


class Hub:
    """Files of a hub, its CIB and the task."""

    def __init__(self, root, run_module):
        self.root, self.cib, self.run_module = root, None, run_module
        self.backups = root / "backups"
        self.conf = root / "etc" / "corosync.conf"
        self.key = root / "keys" / "client.pub"
        for path in (self.conf, self.key):
            path.parent.mkdir()
            path.write_text(path.name + "\n")
        self.conf.chmod(0o640)
        os.chown(self.conf, 1, 2)

    def runner(self, argv, **dummy):
        assert argv[0] == "cibadmin"
        if self.cib is None:
            raise CommandMissing("cibadmin")
        return Completed(argv, *self.cib) if isinstance(self.cib, tuple) else Completed(argv, 0, self.cib, "")

    def save(self, check=False, **more):
        arguments = dict({"directory": str(self.backups), "files": [str(self.conf), str(self.root / "etc" / "none")],
                          "also": [str(self.root / "keys" / "*.pub")]}, **more)
        return self.run_module(hub_backup, check=check, diff=True, **arguments)

    def all(self):
        return sorted(os.listdir(self.backups)) if self.backups.exists() else []


@pytest.fixture(name="hub")
def fixture_hub(tmp_path, run_module, monkeypatch):
    hub = Hub(tmp_path, run_module)
    monkeypatch.setattr(hub_backup, "local_runner", hub.runner)
    return hub


def manifest(result):
    with open(result["path"] + "/manifest.json", encoding="utf-8") as handle:
        return json.load(handle)


def test_first_backup(hub):
    hub.cib = cib()
    result = hub.save()
    assert result["changed"] and result["saved"] == 2 and len(hub.all()) == 1
    assert os.path.dirname(result["path"]) == str(hub.backups)
    found = manifest(result)
    entry = [item for item in found["files"] if item["path"] == str(hub.conf)][0]
    assert (entry["mode"], entry["uid"], entry["gid"], entry["size"]) == ("0640", 1, 2, 14)
    assert entry["sha256"] == hashlib.sha256(b"corosync.conf\n").hexdigest()
    assert found["host"] == os.uname().nodename and found["cib"] == "cib.xml"
    assert found["missing"] == [str(hub.root / "etc" / "none")], "what is not there is noted"
    copy = result["path"] + "/files" + str(hub.conf)
    info = os.stat(copy)
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (1, 2, 0o640)
    with open(copy, encoding="utf-8") as handle:
        assert handle.read() == "corosync.conf\n"
    assert os.path.exists(result["path"] + "/files" + str(hub.key))
    with open(result["path"] + "/cib.xml", encoding="utf-8") as handle:
        assert handle.read() == hub.cib


def test_only_root_can_read_it(hub):
    hub.cib = cib()
    hub.backups.mkdir(mode=0o755)
    old = os.umask(0)
    try:
        result = hub.save()
    finally:
        os.umask(old)
    for path, mode in ((str(hub.backups), 0o700), (result["path"], 0o700), (result["path"] + "/cib.xml", 0o600),
                       (result["path"] + "/manifest.json", 0o600)):
        assert os.stat(path).st_mode & 0o7777 == mode, path


def test_second_time_nothing(hub):
    hub.cib = cib()
    first = hub.save()
    for check in (True, False):
        second = hub.save(check=check)
        assert second["changed"] is False and second["path"] == first["path"] and "saved" not in second
        assert second["diff"]["after"] == ""
    assert len(hub.all()) == 1


def test_change_of_a_file_that_counts(hub):
    first = hub.save()
    hub.conf.write_text("changed\n")
    checked = hub.save(check=True)
    assert checked["changed"] and checked["path"] == first["path"] and len(hub.all()) == 1
    assert checked["diff"]["after"] == "save %s\n" % hub.conf
    real = hub.save()
    assert real["changed"] and real["path"] != first["path"] and real["diff"] == checked["diff"]
    assert hub.save()["changed"] is False, "the newest is compared, even if both are of the same second"
    with open(first["path"] + "/files" + str(hub.conf), encoding="utf-8") as handle:
        assert handle.read() == "corosync.conf\n", "an old backup is never touched"


def test_change_back_is_a_change(hub):
    hub.save()
    hub.conf.write_text("changed\n")
    hub.save()
    hub.conf.write_text("corosync.conf\n")
    assert hub.save()["changed"] and len(hub.all()) == 3


def test_a_file_that_goes_and_one_that_comes(hub):
    hub.save()
    hub.conf.unlink()
    (hub.root / "etc" / "none").write_text("x")
    result = hub.save()
    assert result["diff"]["after"] == "save %s\nno more to be saved here: %s\n" % (
        hub.root / "etc" / "none", hub.conf)
    assert hub.save()["changed"] is False


def test_files_that_are_saved_along_do_not_count(hub):
    hub.save()
    hub.key.write_text("another client's\n")
    (hub.key.parent / "new.pub").write_text("new")
    assert hub.save()["changed"] is False


@pytest.mark.parametrize("changes, counts", [
    ({"updates": "99"}, False), ({"status": "DISCONNECT"}, False), ({"epoch": "8"}, False),
    ({"stonith": "true"}, True)])
def test_what_counts_in_the_cib(hub, changes, counts):
    hub.cib = cib()
    hub.save()
    hub.cib = cib(**changes)
    assert hub.save(check=True)["changed"] is counts
    assert hub.save()["changed"] is counts


def test_a_new_resource_counts_and_a_cluster_that_comes(hub):
    assert hub.save()["changed"]
    hub.cib = cib()
    assert hub.save()["diff"]["after"] == "save cib.xml\n"
    hub.cib = cib().replace("</resources>", '<primitive id="web" class="systemd" type="nginx"/></resources>')
    assert hub.save()["changed"]


def test_stopped_cluster_has_no_cib(hub):
    hub.cib = (102, "", "not connected")
    result = hub.save()
    assert manifest(result)["cib"] is None and not os.path.exists(result["path"] + "/cib.xml")


@pytest.mark.parametrize("text", [None, "", '{"marks": {"a', "{}", "[]", '{"marks": null}'])
def test_backup_that_was_cut_off_does_not_count(hub, text):
    path = hub.save()["path"]
    os.unlink(path + "/manifest.json")
    if text is not None:
        with open(path + "/manifest.json", "w", encoding="utf-8") as handle:
            handle.write(text)
    assert hub.save(check=True)["path"] is None
    result = hub.save()
    assert result["changed"] and result["path"] != path and hub.save()["changed"] is False


def test_a_good_backup_before_a_cut_off_one_counts(hub):
    good = hub.save()["path"]
    os.mkdir(hub.backups / "2999-01-01T000000Z")
    result = hub.save()
    assert result["changed"] is False and result["path"] == good


def test_manifest_is_the_last_thing_written(hub, monkeypatch):
    rename = os.rename

    def stop(old, new):
        if new.endswith("manifest.json"):
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(os, "rename", stop)
    result = hub.save()
    assert result["failed"] and "No space left on device" in result["msg"] and str(hub.backups) in result["msg"]
    monkeypatch.setattr(os, "rename", rename)
    assert hub.save()["changed"] and hub.save()["changed"] is False


def test_check_mode_writes_nothing(hub):
    result = hub.save(check=True)
    assert result["changed"] and result["path"] is None and not hub.backups.exists()
    assert hub.save()["diff"] == result["diff"]


def test_names_sort_by_time(hub):
    paths = []
    for number in range(4):
        hub.conf.write_text("%d\n" % number)
        paths.append(hub.save()["path"])
    assert store.newest(str(hub.backups))[0] == paths[-1] and len(set(paths)) == 4


def test_configuration_is_what_people_decide():
    text = live.configuration(cib())
    for gone in ("epoch", "LATEST", "last-lrm-refresh", "have-watchdog", "node_state"):
        assert gone not in text
    for kept in ("stonith-enabled", "cfvirtip", "constraints"):
        assert kept in text
