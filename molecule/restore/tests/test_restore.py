"""A full backup, and the pair out of it on blank hosts. The tests follow each other."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "molecule" / "shared"), str(ROOT / "molecule" / "clients" / "tests")]
from conftest import (  # noqa: E402,F401
    ADDRESSES, SHARED, WORK, get_host, hub1, hub2, keep_figures, lab, play, recap, report, sql)
from test_clients import agent, policy_hub, reads, trusts  # noqa: E402

DATA = WORK + "/state/pg/data"
HUB_DIR = "/var/backups/cfengine-hub-ha-full"
NOTHING = {"hub1": 0, "hub2": 0}
# The identity and the keys of a hub, and its policy without what each agent notes there.
KEYS = "cd %s/ppkeys && sha256sum *" % WORK
POLICY = "cd %s/masterfiles && find . -type f ! -name 'cf_promises_*' -exec sha256sum {} + | sort" % WORK


def note(**figures):
    """Print figures, and keep them."""
    keep_figures("restore", figures)


def backup(*options):
    """One run of the backup: (exit status, output)."""
    return play(*options, playbook="backup.yml")


def restore(path, *options, **environment):
    """One run of the restore: (exit status, output)."""
    return play("-e", "hub_ha_restore_from=%s" % path, *options, playbook="restore.yml", **environment)


def refused(result, *words):
    """The run has changed nothing and says why."""
    status, output = result
    flat = " ".join(output.split())
    assert status != 0 and not [word for word in words if word not in flat], output
    assert recap(output) == NOTHING, output


def changes(output):
    """Lines of a play in which something was changed."""
    return [line for line in output.splitlines() if line.startswith("changed:")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Directory on the controller, readable by nobody else."""
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module", autouse=True)
def rows():
    """A pair from nothing has an empty database: it gets the rows that one from a live hub has."""
    lab("fill")


@pytest.fixture(scope="module")
def known():
    """What one test tells the later ones."""
    return {}


# --- the backup -----------------------------------------------------------------------------------------------------

def test_directories_that_cannot_be(hub2, tmp_path):
    tmp_path.chmod(0o755)
    refused(backup("-e", "hub_ha_full_backup_dir=%s/x" % DATA, "-e", "hub_ha_full_backup_fetch_dir=%s" % tmp_path),
            "No backup was made, nothing was changed. 2 thing(s)", "hub2: the backup directory %s/x lies inside" % DATA,
            "all: the controller: others than its owner can get into the backup directory %s (mode 0755)" % tmp_path)
    hub2.check_output("mkdir -m 0700 /srv/small && mount -t tmpfs -o size=48m,mode=0700 tmpfs /srv/small")
    refused(backup("-e", "hub_ha_full_backup_dir=/srv/small"),
            "hub2: 48.0 MB are free for backups in /srv/small on hub2", "-> make room")
    hub2.check_output("umount /srv/small && rmdir /srv/small")


def test_check_mode_makes_nothing(hub1, hub2, folder):
    status, output = backup("--check", "--diff", "-e", "hub_ha_full_backup_fetch_dir=%s" % folder)
    assert status == 0 and "database of hub2: the passive hub is healthy" in " ".join(output.split()), output
    assert changes(output) and not hub1.file(HUB_DIR).exists and not hub2.file(HUB_DIR).exists
    assert list(folder.iterdir()) == []


def test_backup_while_the_pair_works(hub1, hub2, folder, known):
    lab("writer", "stop")
    lab("writer", "start")  # its figures are of this test alone
    deadline = time.monotonic() + 20
    acknowledged = 0
    while acknowledged < 50:
        assert time.monotonic() < deadline, "the writer gets no answers"
        acknowledged = report("writer")["acknowledged"]
    cut_off = HUB_DIR + "/2020-01-01T000000Z"  # what a run leaves that is killed while it copies
    hub2.check_output("install -d -m 0700 %s %s %s/.database" % (HUB_DIR, cut_off, cut_off))
    began = time.monotonic()
    status, output = backup("-e", "hub_ha_full_backup_fetch_dir=%s" % folder, "-e", "hub_ha_full_backup_keep=1",
                            "-e", "hub_ha_full_backup_fetch_lasts=true")  # wherever the tests run
    seconds = time.monotonic() - began
    assert status == 0 and cut_off + " on hub2: a run was cut off" in output, output
    figures = report("writer")
    assert figures["failed"] == 0 and figures["lost"] == 0
    path, = folder.iterdir()
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    note(backup_s=round(seconds, 1), database_bytes=manifest["postgres"]["bytes"],
         packed_bytes=sum(item["bytes"] for item in manifest["members"]), writer_longest_gap_s=figures["longest_gap_s"])
    assert (manifest["taken_from"], manifest["active"], sorted(manifest["hubs"])) == ("hub2", "hub1", ["hub1", "hub2"])
    assert manifest["postgres"]["wal_checked"] and "[hub2] done: " in output
    assert path.stat().st_mode & 0o077 == 0 and [item for item in path.iterdir() if item.stat().st_mode & 0o077] == []
    assert hub2.check_output("ls -A %s" % HUB_DIR).split() == [".lock", ".progress"] and not hub1.file(HUB_DIR).exists
    secret = hub1.check_output("sed -n 2p %s/ppkeys/localhost.priv" % WORK)
    assert secret not in output and secret not in (path / "manifest.json").read_text(encoding="utf-8")
    with tarfile.open(path / "hub-hub1.tar.gz") as archive:
        names = archive.getnames()
    assert WORK[1:] + "/ppkeys/localhost.priv" in names and "etc/corosync/corosync.conf" in names
    assert 'id="cfpgsql"' in (path / "cib.xml").read_text(encoding="utf-8")
    known.update(path=path, acknowledged=acknowledged)


def test_nothing_goes_over_a_living_pair(known):
    refused(restore(known["path"].parent), "hub1: this host is not blank: a database lies in %s (primary" % DATA,
            "hub2: this host is not blank: a database lies in %s (standby" % DATA, "install the host anew")
    before = report("writer")["acknowledged"]
    assert report("writer")["acknowledged"] > before


# --- both hubs are lost ---------------------------------------------------------------------------------------------

def spoil(path):
    """Turn a byte in the middle of a file over."""
    with open(path, "r+b") as handle:
        handle.seek(path.stat().st_size // 2)
        byte = handle.read(1)
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte[0] ^ 255]))


@pytest.fixture
def copy(known, tmp_path):
    """A copy of the backup that may be spoilt."""
    return Path(shutil.copytree(known["path"], tmp_path / known["path"].name))


def test_hosts_are_replaced(hub1, hub2, known):
    agent("client1")
    assert policy_hub("client1") == SHARED
    known["writer"] = sql(hub1, "SELECT max(writer) FROM ha_writes", "cfdb")[0]
    lab("writer", "stop")
    known["hosts"] = sql(hub1, "SELECT count(*) FROM hosts", "cfdb")
    known["keys"] = [hub.check_output(KEYS) for hub in (hub1, hub2)]
    known["policy"] = [hub.check_output(POLICY) for hub in (hub1, hub2)]
    known["client"] = get_host("client1").check_output("head -1 /proc/sys/kernel/random/boot_id; %s" % KEYS)
    lab("replace", "hub1=blank,hub2=blank")


def test_backup_that_was_cut_short_or_altered(copy):
    spoil(copy / "database.tar.gz")
    refused(restore(copy), "was altered: database.tar.gz is not what was saved (its SHA-256 differs")
    (copy / "manifest.json").unlink()
    refused(restore(copy), "it has no manifest.json: it was cut short before its end -> take another backup")


def test_check_mode_of_the_restore(known):
    status, output = restore(known["path"], "--check", "--diff")
    assert status == 0, output
    flat = " ".join(output.split())
    assert "active hub hub1" in flat and "upgrade-to-ha.yml makes the pair with hub2" in flat
    for hub in ("hub1", "hub2"):
        assert get_host(hub).run("ls %s || ls %s || getent passwd cfpostgres" % (WORK, HUB_DIR)).rc == 2
    assert [line for line in changes(output) if "hub1" in line] and [line for line in changes(output) if "hub2" in line]


def repack(path):
    """Alter a table inside of the archive, and make the manifest agree: only pg_verifybackup sees that."""
    sys.path.insert(0, str(ROOT / ".cache" / "collections"))
    from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import tarball
    plain = path.parent / "plain"
    plain.mkdir()
    tarball.unpack(str(path / "database.tar.gz"), str(plain), 0, 0, lambda done: None)
    spoil(max((item for item in plain.glob("base/*/*") if item.is_file()), key=lambda item: item.stat().st_size))
    (path / "database.tar.gz").unlink()
    entry = tarball.pack(str(plain), str(path / "database.tar.gz"), lambda done: None)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["members"] = [entry if item["name"] == entry["name"] else item for item in manifest["members"]]
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(plain)


def test_database_that_was_altered_with_its_checksum(copy):
    repack(copy)
    status, output = restore(copy)
    assert status != 0 and "pg_verifybackup refuses the copy of the database" in " ".join(output.split()), output
    for hub in ("hub1", "hub2"):
        assert not get_host(hub).file(DATA).exists and not get_host(hub).file(WORK + "/policy_server.dat").exists
        # None of the old keys is there yet, only what the package made.
        assert len(get_host(hub).check_output("ls %s/ppkeys" % WORK).split()) <= 3
    assert [name for name in get_host("hub1").check_output("ls -A %s/state/pg" % WORK).split() if "restore" in name] \
        in ([], [".hub_ha_restore.log"])


def test_restore_that_is_cut_off(known, tmp_path):
    cut = tmp_path / "cut"
    status, output = restore(
        known["path"], ANSIBLE_CALLBACKS_ENABLED="cut_off", CUT_NOTE=str(cut), CUT_CHANGES="0",
        CUT_TASKS=json.dumps({"Identity, keys, policy and secrets, as this hub had them": 0.0}),
        ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "molecule/interrupted/callback_plugins"))
    assert status == -9 and cut.exists(), output


def test_restore(known):
    began = time.monotonic()
    status, output = restore(known["path"])
    seconds = time.monotonic() - began
    assert status == 0, output
    note(restore_s=round(seconds, 1))
    assert "hub1 ACTIVE" in " ".join(output.split())


def test_all_rows(known):
    hub1, hub2 = get_host("hub1"), get_host("hub2")
    count, least, most = sql(hub1, "SELECT count(*), min(seq), max(seq) FROM ha_writes WHERE writer = '%s'"
                             % known["writer"], "cfdb")[0].split("|")
    assert int(count) == int(most) - int(least) + 1 and int(count) >= known["acknowledged"]
    assert sql(hub1, "SELECT count(*) FROM hosts", "cfdb") == known["hosts"]
    note(rows=int(count), acknowledged_before_the_backup=known["acknowledged"])
    assert sql(hub1, "SELECT application_name, state FROM pg_stat_replication") == ["hub2|streaming"]
    assert sql(hub2, "SELECT count(*) FROM hosts", "cfdb") == known["hosts"]


def test_all_keys_and_the_policy(known):
    for number, hub in enumerate(("hub1", "hub2")):
        assert get_host(hub).check_output(KEYS) == known["keys"][number]
        assert get_host(hub).check_output(POLICY) == known["policy"][number]
        modes = get_host(hub).check_output("cd %s && stat -c '%%a %%U' ppkeys/localhost.priv state/pg/hub_ha/pgpass"
                                           % WORK)
        assert modes.splitlines() == ["600 root", "600 cfpostgres"]


def test_second_run_changes_nothing(known):
    began = time.monotonic()
    status, output = restore(known["path"])
    assert status == 0 and "This backup is restored already" in " ".join(output.split()), output
    assert recap(output) == NOTHING, output
    note(restore_again_s=round(time.monotonic() - began, 1))


def test_the_client_goes_on_as_it_was(known):
    client = get_host("client1")
    assert client.check_output("head -1 /proc/sys/kernel/random/boot_id; %s" % KEYS) == known["client"]
    policy = WORK + "/masterfiles/services/after.cf"
    get_host("hub1").check_output("echo '# after' >%s && chmod 600 %s" % (policy, policy))
    agent("hub1")
    seconds, _text = agent("client1")
    assert client.file(WORK + "/inputs/services/after.cf").exists and policy_hub("client1") == SHARED
    assert trusts("client1", "hub1") and trusts("client1", "hub2")
    # A hub fetches the client's report with its own key, as this does.
    for hub in ("hub1", "hub2"):
        assert reads(hub, ADDRESSES["client1"], WORK + "/masterfiles/promises.cf")
    note(client_agent_s=round(seconds, 1))


def test_backup_of_it_on_the_hub_that_the_operator_names(hub2):
    """The new pair is saved again, on the active hub, by way of no controller; the older backup of it goes."""
    for _turn in range(2):
        status, output = backup("-e", "hub_ha_full_backup_hub=hub1", "-e", "hub_ha_full_backup_keep=1")
        assert status == 0 and "hub_ha_full_backup_hub says so" in output, output
    hub1 = get_host("hub1")
    names = [name for name in hub1.check_output("ls %s" % HUB_DIR).split()]
    assert len(names) == 1 and "removed %s/" % HUB_DIR in output
    assert hub1.check_output("stat -c %%a %s %s/*" % (HUB_DIR, HUB_DIR)).split() == ["700", "700"]
    assert not hub2.file(HUB_DIR + "/" + names[0]).exists
