# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of one hub on the other, with real directories."""

from __future__ import annotations

import base64
import io
import os
import tarfile

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import shared_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive as archive_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.tree import tree
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_files


def write(path, text="x", mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)


def state(root):
    """{relative path: (mode, content or link target)}"""
    return dict((name, archive_file.read_entry(os.path.join(str(root), name))) for name in tree(str(root)))


@pytest.fixture(name="active")
def fixture_active(tmp_path):
    root = tmp_path / "active"
    write(root / "promises.cf", "body common control {}\n", 0o600)
    write(root / "lib" / "deep" / "paths.cf", "ä\n", 0o644)
    write(root / "modules" / "run.sh", "#!/bin/sh\n", 0o755)
    write(root / "data.bin", b"\x00\xff\x80", 0o640)
    write(root / "empty", "", 0o644)
    write(root / "..hidden name with blanks", "h", 0o644)
    (root / "link").symlink_to("lib/deep/paths.cf")
    (root / "broken").symlink_to("/nowhere")
    return root


@pytest.fixture(name="carry")
def fixture_carry(run_module, active, tmp_path):
    """carry(check=..., diff=..., include=..., exact=...) from active to passive -> result of the second task."""
    def carry(check=False, diff=False, exact=False, **more):
        packed = run_module(hub_files, path=str(active), state="packed", check=check, **more)
        assert packed["changed"] is False
        return run_module(hub_files, path=str(tmp_path / "passive"), state="present", archive=packed["archive"],
                          exact=exact, check=check, diff=diff, **more)
    return carry


def test_round_trip(carry, active, tmp_path):
    result = carry()
    assert result["changed"] and result["count"] == 8
    assert result["files"]["added"] == sorted(state(active)) and not result["files"]["changed"]
    assert state(tmp_path / "passive") == state(active)
    result = carry(exact=True)
    assert result["changed"] is False and result["files"] == {"added": [], "changed": [], "removed": []}


def test_content_mode_and_link_are_mended(carry, active, tmp_path):
    carry()
    passive = tmp_path / "passive"
    write(passive / "promises.cf", "drift", 0o600)
    (passive / "modules" / "run.sh").chmod(0o644)
    (passive / "link").unlink()
    (passive / "link").symlink_to("elsewhere")
    (passive / "broken").unlink()
    write(passive / "broken", "a file now")
    (passive / "empty").unlink()
    result = carry()
    assert result["files"] == {"added": ["empty"], "removed": [],
                               "changed": ["broken", "link", "modules/run.sh", "promises.cf"]}
    assert state(passive) == state(active)
    assert not [name for name in tree(str(passive)) if ".hub_ha." in name], "no temporary file is left"


def test_hard_links_arrive_as_files(carry, active, tmp_path):
    os.link(active / "promises.cf", active / "lib" / "same.cf")
    carry(exact=True)
    assert state(tmp_path / "passive") == state(active)
    assert (tmp_path / "passive" / "lib" / "same.cf").read_text() == "body common control {}\n"


def test_exact_removes_what_is_not_there_and_only_what_is_meant(carry, tmp_path):
    passive = tmp_path / "passive"
    carry(include=["*.cf"])
    write(passive / "old.cf")
    write(passive / "sub" / "old.cf")
    write(passive / "notes.txt")
    write(passive / "localhost.cf", "own")
    (passive / "dead.cf").symlink_to("/nowhere")
    assert carry(include=["*.cf"])["changed"] is False, "without exact nothing is removed"
    result = carry(include=["*.cf"], exact=True)
    assert result["files"]["removed"] == ["dead.cf", "old.cf", "sub/old.cf"]
    assert sorted(tree(str(passive))) == ["lib/deep/paths.cf", "localhost.cf", "notes.txt", "promises.cf"]
    assert carry(include=["*.cf"], exact=True)["changed"] is False


def test_check_mode_equals_the_real_run(carry, tmp_path):
    passive = tmp_path / "passive"
    write(passive / "promises.cf", "drift\n", 0o600)
    write(passive / "old.cf", "gone")
    before = state(passive)
    checked = carry(check=True, diff=True, exact=True)
    assert state(passive) == before
    real = carry(diff=True, exact=True)
    assert checked == real and real["changed"]
    assert real["files"]["changed"] == ["promises.cf"] and real["files"]["removed"] == ["old.cf"]
    again = carry(check=True, diff=True, exact=True)
    assert again["changed"] is False and again["diff"] == []


def test_check_mode_makes_no_directory(carry, tmp_path):
    assert carry(check=True)["changed"]
    assert not (tmp_path / "passive").exists()


def test_diff_shows_lines_modes_and_links_but_no_binary(carry, tmp_path):
    write(tmp_path / "passive" / "promises.cf", "old line\n", 0o644)
    shown = dict((os.path.basename(item["before_header"]), item) for item in carry(check=True, diff=True)["diff"])
    assert shown["promises.cf"]["before"] == "(9 bytes, mode 0644)\nold line\n"
    assert shown["promises.cf"]["after"] == "(23 bytes, mode 0600)\nbody common control {}\n"
    assert shown["data.bin"]["after"].startswith("(3 bytes, mode 0640, SHA-256 ") and shown["data.bin"]["before"] == ""
    assert shown["broken"]["after"] == "-> /nowhere\n"


def test_diff_of_many_new_files_is_cut(carry, active):
    for number in range(30):
        write(active / ("n%02d" % number))
    result = carry(check=True, diff=True)
    assert len(result["files"]["added"]) == 38 and len(result["diff"]) == 21
    assert result["diff"][-1]["after"] == "and 18 more new files\n"


def test_large_text_is_not_shown(carry, active):
    write(active / "big.cf", "y" * ((64 << 10) + 1))
    write(active / "secrets.json", "hunter2")
    shown = [item["after"] for item in carry(check=True, diff=True)["diff"]
             if item["after_header"].endswith(("/big.cf", "/secrets.json"))]
    assert [text.split("SHA")[0] for text in shown] == ["(65537 bytes, mode 0644, ", "(7 bytes, mode 0644, "]
    assert "hunter2" not in str(shown)


# --- identity -----------------------------------------------------------------------------------------------------

def test_a_hubs_own_identity_is_never_packed(run_module, tmp_path):
    keys = tmp_path / "ppkeys"
    for name in ("localhost.priv", "localhost.pub", "root-SHA=11.pub", "root-SHA=11.priv"):
        write(keys / name, name)
    packed = run_module(hub_files, path=str(keys), state="packed", include=["*"])
    assert sorted(shared_files.unpack(packed["archive"], ["*"])) == ["root-SHA=11.priv", "root-SHA=11.pub"]
    packed = run_module(hub_files, path=str(keys), state="packed", include=["*.pub"])
    assert list(shared_files.unpack(packed["archive"], ["*.pub"])) == ["root-SHA=11.pub"] and packed["count"] == 1


def archive(*members):
    """base64 archive of (name, content or None, link target or None, type or None)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as handle:
        for name, content, target, kind in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            if kind:
                info.type = kind
            if target is not None:
                info.type, info.linkname = kind or tarfile.SYMTYPE, target
            info.size = len(content or b"")
            handle.addfile(info, io.BytesIO(content or b""))
    return base64.b64encode(stream.getvalue()).decode()


FILE = (b"x", None, None)
BAD = {
    "own key": [("localhost.priv",) + FILE], "own key below": [("a/localhost.pub",) + FILE],
    "not included": [("a.txt",) + FILE], "up": [("../evil.cf",) + FILE], "up in the middle": [("a/../../e.cf",) + FILE],
    "absolute": [("/etc/evil.cf",) + FILE], "only up": [("..",) + FILE],
    "through a link": [("a.cf", None, "/etc", None), ("a.cf/evil.cf",) + FILE],
    "through a deep link": [("b/a.cf", None, "/etc", None), ("b/a.cf/c/evil.cf",) + FILE],
    "below a file": [("a.cf",) + FILE, ("a.cf/b.cf",) + FILE]}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("check", [True, False])
def test_archive_with_what_does_not_belong_there_is_refused_as_a_whole(run_module, tmp_path, name, check):
    root = tmp_path / "root"
    root.mkdir()
    result = run_module(hub_files, path=str(root), state="present", include=["*.cf", "*.priv", "*.pub", ".."],
                        archive=archive(("good.cf",) + FILE, *BAD[name]), check=check) if name != "not included" else \
        run_module(hub_files, path=str(root), state="present", include=["*.cf"], check=check,
                   archive=archive(("good.cf",) + FILE, *BAD[name]))
    assert result["failed"] and "does not belong there" in result["msg"]
    assert os.listdir(root) == [] and sorted(os.listdir(tmp_path)) == ["root"], "nothing was written"


def test_devices_and_directories_in_an_archive_are_left_out():
    text = archive(("dev", None, None, tarfile.CHRTYPE), ("fifo", None, None, tarfile.FIFOTYPE),
                   ("dir", None, None, tarfile.DIRTYPE), ("file",) + FILE)
    assert list(shared_files.unpack(text, ["*"])) == ["file"]


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"no archive").decode(), "AAAA"])
def test_unreadable_archive(run_module, tmp_path, text):
    result = run_module(hub_files, path=str(tmp_path), state="present", archive=text)
    assert result["failed"] and "the archive from the other hub cannot be read" in result["msg"]


def test_damaged_archive_is_an_error_and_never_a_part_of_the_files(active):
    data = bytearray(base64.b64decode(shared_files.pack(str(active), ["*"])[0]))
    whole = shared_files.unpack(base64.b64encode(bytes(data)).decode(), ["*"])
    with pytest.raises(HubError, match="cannot be read"):
        shared_files.unpack(base64.b64encode(bytes(data[:len(data) // 2])).decode(), ["*"])
    for position in range(12, len(data) - 8, 9):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            found = shared_files.unpack(base64.b64encode(bytes(damaged)).decode(), ["*"])
        except HubError:
            continue
        assert found == whole, "a damaged archive was taken for a good one (byte %d)" % position


def test_pack_of_a_directory_that_is_not_there(run_module, tmp_path):
    result = run_module(hub_files, path=str(tmp_path / "none"), state="packed")
    assert result["failed"] and result["msg"] == "%s/none does not exist on this hub" % tmp_path


def test_present_needs_an_archive(run_module, tmp_path):
    result = run_module(hub_files, path=str(tmp_path), state="present")
    assert result["failed"] and "archive" in result["msg"]


def test_a_directory_in_the_place_of_a_file_is_a_clear_error(carry, tmp_path):
    write(tmp_path / "passive" / "promises.cf" / "inner")
    result = carry()
    assert result["failed"] and "cannot write below %s/passive" % tmp_path in result["msg"]


# --- texts of ours ------------------------------------------------------------------------------------------------

def test_texts_are_written_and_shown(run_module, tmp_path):
    given = {"ha.cfg": "one\n", "masterfiles/services/hub_ha.json": "{}\n"}
    arguments = {"path": str(tmp_path), "state": "written", "texts": given, "modes": {"ha.cfg": "0644"}}
    told = run_module(hub_files, check=True, diff=True, **arguments)
    assert told["files"]["added"] == sorted(given) and not os.listdir(tmp_path)
    done = run_module(hub_files, diff=True, **arguments)
    assert done == told and done["diff"][0]["after"] == "(4 bytes, mode 0644)\none\n"
    assert (tmp_path / "ha.cfg").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "masterfiles/services/hub_ha.json").stat().st_mode & 0o7777 == 0o600
    assert run_module(hub_files, **arguments)["changed"] is False
    (tmp_path / "ha.cfg").chmod(0o600)
    assert run_module(hub_files, **arguments)["files"]["changed"] == ["ha.cfg"]


def test_a_mode_that_is_none(run_module, tmp_path):
    failed = run_module(hub_files, path=str(tmp_path), state="written", texts={"a": "b"}, modes={"a": "rw-"})
    assert failed["failed"] and "mode 'rw-' of a" in failed["msg"] and not os.listdir(tmp_path)
