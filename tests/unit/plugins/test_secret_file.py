# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file with a secret."""

from __future__ import annotations

import json
import os
import re

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import secret
from ansible_collections.cfengine.hub_ha.plugins.modules import secret_file

SECRET = "top 'secret' \"%$ \\ word"


def mode(path):
    return os.stat(path).st_mode & 0o7777


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    return tmp_path / "dir" / "key"


@pytest.fixture(name="ready")
def fixture_ready(path):
    path.parent.mkdir()
    return path


def test_content_is_written_with_tight_permissions(run_module, ready):
    result = run_module(secret_file, path=str(ready), content=SECRET)
    assert result["changed"] and ready.read_text() == SECRET + "\n" and mode(ready) == 0o600
    assert os.listdir(ready.parent) == ["key"], "no temporary file is left"
    assert run_module(secret_file, path=str(ready), content=SECRET)["changed"] is False
    assert run_module(secret_file, path=str(ready), content=SECRET + "\n")["changed"] is False


@pytest.mark.parametrize("text", ["ä€", "a\r\nb\n", "line\n\n", "\t", "{{ x }} %s $(id)"])
def test_every_byte_arrives(run_module, ready, text):
    run_module(secret_file, path=str(ready), content=text)
    assert ready.read_bytes().decode() == (text if text.endswith("\n") else text + "\n")
    assert run_module(secret_file, path=str(ready), content=text)["changed"] is False


def test_nobody_else_can_read_it_at_any_time(run_module, ready, monkeypatch):
    modes = []
    rename = os.rename
    monkeypatch.setattr(os, "fchmod", lambda file, value: modes.append((os.fstat(file).st_mode & 0o7777, value)))
    monkeypatch.setattr(os, "rename", lambda old, new: (modes.append(mode(old)), rename(old, new)))
    old = os.umask(0)
    try:
        run_module(secret_file, path=str(ready), content=SECRET, mode="0400")
    finally:
        os.umask(old)
    assert modes[0] == (0o600, 0o400) and modes[1] == 0o600, "private from its first byte on"


def test_only_permissions_are_mended(run_module, ready):
    run_module(secret_file, path=str(ready), content=SECRET)
    ready.chmod(0o644)
    os.chown(ready, 54321, 54321)
    result = run_module(secret_file, path=str(ready), content=SECRET, diff=True)
    assert result["changed"] and mode(ready) == 0o600 and os.stat(ready).st_uid == 0
    assert result["diff"]["before"] == "54321:54321 0644\n" and result["diff"]["after"] == "root:root 0600\n"


def test_owner_and_group(run_module, ready):
    run_module(secret_file, path=str(ready), content=SECRET, owner="daemon", group="games", mode="0640")
    info = os.stat(ready)
    assert secret.current(str(ready))[1] == "daemon:games 0640" and info.st_uid != 0 and info.st_gid != 0


def test_no_content_in_the_result(run_module, ready):
    ready.write_text("the old one\n")
    for check in (True, False):
        text = json.dumps(run_module(secret_file, path=str(ready), content=SECRET, check=check, diff=True))
        assert "secret'" not in text and "the old one" not in text
        assert "other content (not shown)" in text and "new content (not shown)" in text


def test_generate_once(run_module, ready):
    first = run_module(secret_file, path=str(ready), generate=128, mode="0400")
    assert first["changed"] and re.match("^[0-9a-f]{256}$", first["secret"])
    assert ready.read_text() == first["secret"] + "\n" and mode(ready) == 0o400
    second = run_module(secret_file, path=str(ready), generate=128, mode="0400")
    assert second["changed"] is False and second["secret"] == first["secret"]
    assert first["secret"] not in json.dumps(second["diff"]) + json.dumps(first["diff"])


def test_generated_secrets_differ(run_module, ready):
    made = set()
    for dummy in range(3):
        made.add(run_module(secret_file, path=str(ready), generate=16)["secret"])
        ready.unlink()
    assert len(made) == 3


def test_a_given_secret_is_kept_by_generate(run_module, ready):
    ready.write_text(SECRET + "\n")
    result = run_module(secret_file, path=str(ready), generate=24)
    assert result["secret"] == SECRET and ready.read_text() == SECRET + "\n" and mode(ready) == 0o600


def test_empty_file_counts_as_none(run_module, ready):
    ready.write_text("")
    assert len(run_module(secret_file, path=str(ready), generate=24)["secret"]) == 48


def test_check_mode(run_module, ready):
    result = run_module(secret_file, path=str(ready), generate=24, check=True, diff=True)
    assert result["changed"] and "secret" not in result and not ready.exists()
    result = run_module(secret_file, path=str(ready), content=SECRET, check=True, diff=True)
    assert result["changed"] and not ready.exists()
    real = run_module(secret_file, path=str(ready), content=SECRET, diff=True)
    assert real == result
    ready.chmod(0o644)
    result = run_module(secret_file, path=str(ready), content="another", check=True, diff=True)
    assert result["changed"] and ready.read_text() == SECRET + "\n" and mode(ready) == 0o644
    assert run_module(secret_file, path=str(ready), content="another", diff=True) == result
    assert ready.read_text() == "another\n"


def test_check_mode_knows_an_existing_secret(run_module, ready):
    made = run_module(secret_file, path=str(ready), generate=24)["secret"]
    result = run_module(secret_file, path=str(ready), generate=24, check=True)
    assert result["secret"] == made and result["changed"] is False


def test_directory_must_exist_but_not_in_check_mode(run_module, path):
    assert run_module(secret_file, path=str(path), content=SECRET, check=True)["changed"]
    result = run_module(secret_file, path=str(path), content=SECRET)
    assert result["failed"] and result["msg"] == "the directory of %s does not exist" % path


def test_user_must_exist_but_not_in_check_mode(run_module, ready):
    for key in ("owner", "group"):
        arguments = {"path": str(ready), "content": SECRET, key: "no-such-name"}
        assert run_module(secret_file, check=True, **arguments)["changed"]
        result = run_module(secret_file, **arguments)
        assert result["failed"] and "no-such-name" in result["msg"] and "does not exist" in result["msg"]
        assert os.listdir(ready.parent) == []


def test_binary_key_is_left_alone(run_module, ready):
    """Made by corosync-keygen: it cannot go through JSON, so it must not be touched either."""
    ready.write_bytes(b"a\r\n\x80\xff\x00")
    result = run_module(secret_file, path=str(ready), generate=128)
    assert result["failed"] and "binary data" in result["msg"] and ready.read_bytes() == b"a\r\n\x80\xff\x00"
    assert run_module(secret_file, path=str(ready), content=SECRET)["changed"], "but it can be replaced"


@pytest.mark.parametrize("arguments, text", [
    ({}, "one of the following is required"), ({"content": SECRET, "generate": 24}, "mutually exclusive"),
    ({"content": SECRET, "mode": "u=rw"}, "octal"), ({"content": SECRET, "mode": "0999"}, "octal"),
    ({"generate": 4}, "at least 16"), ({"generate": 0}, "at least 16")])
def test_wrong_arguments(run_module, ready, arguments, text):
    result = run_module(secret_file, path=str(ready), **arguments)
    assert result["failed"] and text in result["msg"] and not ready.exists()
