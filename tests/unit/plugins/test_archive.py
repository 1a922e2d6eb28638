# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files as one text; how damaged and hostile archives are refused is in test_hub_files.py."""

from __future__ import annotations

import os

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import archive
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_files

FILES = {"b": (0o600, b"\x00\xff", None), "a/ü": (0o755, b"", None), "link": (0o777, None, "/elsewhere"),
         "long" * 60: (0o644, b"x" * 20000, None)}


def test_round_trip():
    text = archive.pack(FILES)
    assert archive.unpack(text, lambda name: True) == FILES
    assert archive.pack(dict(reversed(list(FILES.items())))) == text, "neither order nor time of day is in it"
    assert archive.unpack(archive.pack({}), lambda name: False) == {}


def test_what_does_not_belong_is_refused():
    with pytest.raises(HubError, match="does not belong there: b"):
        archive.unpack(archive.pack(FILES), lambda name: name != "b")


def test_a_pipe_stays_behind_and_nobody_waits_for_it(run_module, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert run_module(hub_files, path=str(tmp_path), state="packed")["count"] == 1
