# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hub's own files as one archive and back, on real files."""

from __future__ import annotations

import base64
import gzip
import os
import shutil

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive as archives
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_archive


class Hub:
    """Keys, policy and a link below a directory of their own, and the module."""

    def __init__(self, root, run_module):
        self.root, self.run_module = root, run_module
        self.layout = dict(LAYOUTS["debian"], masterfiles=str(root / "masterfiles"), ha_dir=str(root / "ha"),
                           restored=str(root / "ha/restored.json"))
        self.paths = ["%s/%s" % (root, name) for name in ("keys/", "masterfiles/", "ha/", "one")]

    def fill(self):
        for name, text, mode in (("keys/localhost.priv", "secret", 0o600), ("keys/root-SHA=1.pub", "public", 0o600),
                                 ("masterfiles/promises.cf", "policy", 0o640),
                                 ("masterfiles/cf_promises_validated", "stamp", 0o600), ("ha/pgpass", "pw", 0o600),
                                 ("ha/restored.json", "{}", 0o600), ("one", "x", 0o644)):
            path = self.root / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(mode)
        (self.root / "keys").chmod(0o700)
        os.chown(self.root / "ha/pgpass", 1, 2)
        (self.root / "keys/link").symlink_to("localhost.priv")
        return self

    def packed(self):
        done = self.run_module(hub_archive, state="packed", paths=self.paths, layout=self.layout)
        assert not done["changed"]
        return done

    def present(self, archive, check=False, **more):
        return self.run_module(hub_archive, state="present", layout=self.layout, archive=archive, check=check,
                               **dict({"paths": self.paths}, **more))

    def names(self):
        return sorted(os.path.relpath(os.path.join(folder, name), self.root)
                      for folder, dummy, names in os.walk(self.root) for name in names)


@pytest.fixture
def hub(tmp_path, run_module):
    return Hub(tmp_path / "hub", run_module)


@pytest.fixture
def archive(hub):
    hub.root.mkdir()
    done = hub.fill().packed()
    assert done["count"] == 6
    return done["archive"]


def test_back_on_a_blank_host(hub, archive):
    shutil.rmtree(hub.root)
    checked = hub.present(archive, check=True)
    assert checked["changed"] and not hub.root.exists()
    done = hub.present(archive)
    assert {key: done[key] for key in ("changed", "files", "diff", "count")} == {
        key: checked[key] for key in ("changed", "files", "diff", "count")}
    assert hub.names() == ["ha/pgpass", "keys/link", "keys/localhost.priv", "keys/root-SHA=1.pub",
                           "masterfiles/promises.cf", "one"], "progress, stamps and notes are nobody's"
    info = os.stat(hub.root / "ha/pgpass")
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (1, 2, 0o600)
    assert os.stat(hub.root / "keys").st_mode & 0o7777 == 0o700
    assert (hub.root / "masterfiles/promises.cf").stat().st_mode & 0o7777 == 0o640
    assert os.readlink(hub.root / "keys/link") == "localhost.priv"
    assert hub.present(archive)["changed"] is False
    assert "secret" not in str(done) and archive not in str(done)


def test_only_what_differs_and_nothing_foreign_in_exact_directories(hub, archive):
    (hub.root / "keys/localhost.priv").write_text("another", encoding="utf-8")
    (hub.root / "keys/root-SHA=2.pub").write_text("of the identity that the package made", encoding="utf-8")
    (hub.root / "masterfiles/own.cf").write_text("stays", encoding="utf-8")
    os.chown(hub.root / "ha/pgpass", 0, 0)
    done = hub.present(archive, exact=[str(hub.root) + "/keys/"])
    assert done["files"] == {"written": [str(hub.root / "ha/pgpass"), str(hub.root / "keys/localhost.priv")],
                             "removed": [str(hub.root / "keys/root-SHA=2.pub")]}
    assert (hub.root / "keys/localhost.priv").read_text() == "secret" and (hub.root / "masterfiles/own.cf").exists()


def test_part_of_it(hub, archive):
    shutil.rmtree(hub.root)
    hub.present(archive, paths=[str(hub.root) + "/keys/"])
    assert hub.names() == ["keys/link", "keys/localhost.priv", "keys/root-SHA=1.pub"]


def test_unknown_owner_changes_nothing(hub, archive):
    text = archives.pack({str(hub.root)[1:] + "/one": (0o600, b"new", None)},
                         {str(hub.root)[1:] + "/one": ("nobody-knows", "nobody-knows")})
    done = hub.present(text)
    assert done["failed"] and "belongs to nobody-knows:nobody-knows, whom this host does not know" in done["msg"]
    assert (hub.root / "one").read_text() == "x"
    assert hub.present(text, check=True)["changed"], "in check mode the user may still be to come"


def test_damaged_archive_changes_nothing(hub, archive):
    shutil.rmtree(hub.root)
    raw = gzip.decompress(base64.b64decode(archive))
    done = hub.present(base64.b64encode(gzip.compress(raw)[:-20]).decode("ascii"))
    assert done["failed"] and "cannot be read" in done["msg"] and not hub.root.exists()


def test_the_mask_of_a_unit_is_no_file(hub, archive):
    os.unlink(hub.root / "one")
    (hub.root / "one").symlink_to("/dev/null")
    assert hub.packed()["count"] == 5
