# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup on its way between a host and the controller, in real ansible-playbook runs on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import full_backup as full_backup_loader

KEYS = ("taken_from", "active", "layout", "edition", "cfengine_version", "postgres", "db_user", "shared",
        "foreign_resources")


@pytest.fixture
def backup(tmp_path):
    """A backup with a file of more than one piece, of bytes that no text could hold."""
    path = tmp_path / "here" / "2026-01-31T021500Z"
    path.mkdir(parents=True)
    members = []
    for name, data in (("database.tar.gz", os.urandom(9 << 20)), ("hub-hub1.tar.gz", b""), ("cib.xml", b"<cib/>\n")):
        (path / name).write_bytes(data)
        members.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    data = dict.fromkeys(KEYS, {})
    data.update(format=1, name=path.name, time="x", members=members, hubs={"hub1": {"archive": "hub-hub1.tar.gz"}})
    (path / "manifest.json").write_text(json.dumps(data) + "\n", encoding="utf-8")
    return path


def carry(tmp_path, state, remote, local, *options):
    """One run: (exit status, output)."""
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{
        "hosts": "localhost", "connection": "local", "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [{"cfengine.hub_ha.backup_carry": {"state": state, "remote": str(remote), "local": str(local)}}]}]),
        encoding="utf-8")
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    program = program if os.path.exists(program) else shutil.which("ansible-playbook")
    # ansible-playbook finds the collection in the tree in which this file lies.
    tree = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))
    env = dict(os.environ, NO_COLOR="1", ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"), HOME=str(tmp_path),
               ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"))
    if os.path.isdir(os.path.join(tree, "ansible_collections")):
        env["ANSIBLE_COLLECTIONS_PATH"] = tree
    done = subprocess.run([program, "-i", "localhost,", *options, str(playbook)], env=env, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def same(one, other):
    assert sorted(os.listdir(one)) == sorted(os.listdir(other))
    for name in os.listdir(one):
        with open(os.path.join(one, name), "rb") as left, open(os.path.join(other, name), "rb") as right:
            assert left.read() == right.read(), name
        assert os.stat(os.path.join(other, name)).st_mode & 0o077 == 0
    for folder in (other, os.path.dirname(other)):
        assert os.stat(folder).st_mode & 0o077 == 0


@pytest.mark.parametrize("state", ["fetched", "sent"])
def test_whole_and_only_what_lacks_the_next_time(tmp_path, backup, state):
    there = tmp_path / "there" / backup.name
    ways = {"remote": backup, "local": there} if state == "fetched" else {"remote": there, "local": backup}
    status, output = carry(tmp_path, state, ways["remote"], ways["local"], "--check")
    assert status == 0 and "changed=1" in output and not there.exists()
    status, output = carry(tmp_path, state, ways["remote"], ways["local"])
    assert status == 0, output
    same(backup, there)
    # Cut off: no manifest, and a part of a file.
    (there / "manifest.json").unlink()
    os.truncate(there / "database.tar.gz", 1 << 20)
    before = os.stat(there / "cib.xml").st_mtime_ns
    status, output = carry(tmp_path, state, ways["remote"], ways["local"])
    assert status == 0, output
    same(backup, there)
    assert os.stat(there / "cib.xml").st_mtime_ns == before


@pytest.mark.parametrize("state", ["fetched", "sent"])
def test_damaged_one_gets_no_manifest(tmp_path, backup, state):
    (backup / "cib.xml").write_bytes(b"<cid/>\n")
    there = tmp_path / "there" / backup.name
    ways = {"remote": backup, "local": there} if state == "fetched" else {"remote": there, "local": backup}
    status, output = carry(tmp_path, state, ways["remote"], ways["local"])
    assert status == 2 and "is not what was saved" in output and not (there / "manifest.json").exists()


def test_note_of_the_run_that_is_cut_off_while_it_fetches(tmp_path, backup):
    """A later run tells by it whose it is; the one on the host has a new sign of life."""
    mark = backup / ".run"
    mark.write_text("{}", encoding="utf-8")
    os.utime(mark, (1, 1))
    (backup / "cib.xml").write_bytes(b"<cid/>\n")
    there = tmp_path / "there" / backup.name
    assert carry(tmp_path, "fetched", backup, there)[0] == 2
    found = json.loads((there / ".run").read_text(encoding="utf-8"))
    assert ansible_run.alive(found["run"]) is False and found["fetched"] is False
    assert os.stat(mark).st_mtime > 1 and full_backup_loader.unfinished(str(there))["run"] == found["run"]


def test_nothing_of_it_is_shown(tmp_path, backup):
    (backup / "cib.xml").write_bytes(b"hush-hush\n")
    text = (backup / "manifest.json").read_text(encoding="utf-8")
    data = json.loads(text)
    data["members"][2].update(bytes=10, sha256=hashlib.sha256(b"hush-hush\n").hexdigest())
    (backup / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    status, output = carry(tmp_path, "fetched", backup, tmp_path / "there", "-vvvv")
    assert status == 0, output
    assert "hush-hush" not in output and "aHVzaC1odXNo" not in output
