# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files put back from backups, on real files."""

from __future__ import annotations

import os
import tarfile

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandMissing
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_backup, hub_restore


class Hub:
    """The configuration of a hub, its backups and the two tasks."""

    def __init__(self, root, run_module):
        self.run_module, self.backups = run_module, str(root / "backups")
        self.conf, self.extra, self.unit = (root / name for name in ("main.conf", "extra.conf", "db.service"))
        self.files = [str(self.conf), str(self.extra), str(self.unit)]
        self.conf.write_text("plain\n")
        self.conf.chmod(0o640)
        os.chown(self.conf, 1, 2)

    def save(self, **more):
        return self.run_module(hub_backup, directory=self.backups, files=self.files, **more)["path"]

    def restore(self, check=False, **arguments):
        return self.run_module(hub_restore, check=check, directory=self.backups, **arguments)


@pytest.fixture(name="hub")
def fixture_hub(tmp_path, run_module, monkeypatch):
    def no_cluster(argv, **dummy):
        raise CommandMissing(argv[0])

    monkeypatch.setattr(hub_backup, "local_runner", no_cluster)
    return Hub(tmp_path, run_module)


def test_back_from_a_named_backup(hub):
    path = hub.save()
    hub.conf.write_text("includes extra\n")
    hub.conf.chmod(0o600)
    os.chown(hub.conf, 0, 0)
    hub.extra.write_text("bad\n")
    arguments = {"backup": path, "files": [str(hub.conf)], "optional": [str(hub.extra)]}
    checked = hub.restore(check=True, **arguments)
    assert hub.conf.read_text() == "includes extra\n" and hub.extra.exists()
    done = hub.restore(**arguments)
    assert (done["changed"], done["restored"], done["removed"]) == (True, [str(hub.conf)], [str(hub.extra)])
    assert {name: done[name] for name in ("restored", "removed", "diff")} \
        == {name: checked[name] for name in ("restored", "removed", "diff")}
    info = os.stat(hub.conf)
    assert (hub.conf.read_text(), info.st_mode & 0o7777, info.st_uid, info.st_gid) == ("plain\n", 0o640, 1, 2)
    assert not hub.extra.exists()
    assert hub.restore(**arguments)["changed"] is False


def test_back_to_before_a_file_was_there(hub):
    """A run that was cut off may have written the file before the backup of the next run was made."""
    first = hub.save()
    hub.conf.write_text("includes extra\n")
    hub.extra.write_text("bad\n")
    hub.save()
    done = hub.restore(lacking=str(hub.extra), files=[str(hub.conf)], optional=[str(hub.extra)])
    assert done["path"] == first and hub.conf.read_text() == "plain\n" and not hub.extra.exists()


def test_a_backup_without_the_file_itself_is_none_of_before(hub):
    hub.conf.unlink()
    hub.save()
    hub.conf.write_text("x")
    done = hub.restore(lacking=str(hub.extra), files=[str(hub.conf)])
    assert done["failed"] and "no complete backup of before %s was there" % hub.extra in done["msg"]


def test_the_newest_backup_that_holds_a_file_or_nothing(hub):
    hub.save()
    arguments = {"holding": str(hub.unit), "optional": [str(hub.unit)]}
    os.symlink("/dev/null", hub.unit)
    done = hub.restore(**arguments)
    assert (done["changed"], done["path"], done["removed"]) == (False, None, [])
    hub.unit.unlink()
    hub.unit.write_text("[Service]\n")
    path = hub.save()
    hub.unit.unlink()
    os.symlink("/dev/null", hub.unit)
    hub.save()
    done = hub.restore(**arguments)
    assert done["path"] == path and hub.unit.read_text() == "[Service]\n" and not hub.unit.is_symlink()


def test_a_link_comes_back_as_a_link(hub, tmp_path):
    (tmp_path / "elsewhere").write_text("[Service]\n")
    hub.unit.symlink_to(tmp_path / "elsewhere")
    hub.save()
    hub.unit.unlink()
    os.symlink("/dev/null", hub.unit)
    hub.restore(holding=str(hub.unit), files=[str(hub.unit)])
    assert os.readlink(hub.unit) == str(tmp_path / "elsewhere")


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_damaged_copy_changes_nothing(hub, damage):
    path = hub.save()
    copy = path + "/files" + str(hub.conf)
    if damage == "gone":
        os.unlink(copy)
    else:
        with open(copy, "a", encoding="utf-8") as handle:
            handle.write("#")
    hub.conf.write_text("new\n")
    hub.extra.write_text("new\n")
    done = hub.restore(backup=path, files=[str(hub.conf)], optional=[str(hub.extra)])
    assert done["failed"] and path in done["msg"]
    assert hub.conf.read_text() == "new\n" and hub.extra.exists()


def test_backup_that_does_not_hold_a_file(hub):
    path = hub.save()
    done = hub.restore(backup=path, files=[str(hub.unit)])
    assert done["failed"] and "does not hold %s" % hub.unit in done["msg"]


@pytest.mark.parametrize("arguments", [{}, {"backup": "/nowhere"}, {"lacking": "/none"}])
def test_no_backup_at_all(hub, arguments):
    done = hub.restore(files=[str(hub.conf)], **arguments)
    assert done["failed"] and "no complete backup" in done["msg"]


def test_trees_are_saved_when_a_file_in_them_changes(hub, tmp_path):
    root = tmp_path / "masterfiles"
    root.mkdir()
    (root / "promises.cf").write_text("body common control {}\n")
    (root / "sub").mkdir(mode=0o700)
    (root / "sub" / "own.cf").write_text("bundle agent own {}\n")
    trees = [str(root), str(tmp_path / "none")]
    path = hub.save(trees=trees)
    (root / "cf_promises_validated").write_text("{}")
    assert hub.save(trees=trees) == path, "what the agent notes there is no change"
    (root / "sub" / "own.cf").unlink()
    assert hub.save(trees=trees) != path
    archive = path + "/trees/" + str(root).strip("/").replace("/", "-") + ".tar.gz"
    assert os.stat(archive).st_mode & 0o7777 == 0o600
    with tarfile.open(archive) as saved:
        assert saved.extractfile("./sub/own.cf").read() == b"bundle agent own {}\n"
