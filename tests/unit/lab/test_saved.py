# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saved hosts: in which order hosts stop, and for which state of the checkout they count."""

from __future__ import annotations

import json

import pytest

from lab import images, paths, saved
from lab.shell import LabError


def test_the_hub_that_takes_writes_stops_last():
    names = ["client1", "client2", "hub1", "hub2", "hub3"]
    assert saved.turns(names, "hub2") == [["client1", "client2"], ["hub1", "hub3"], ["hub2"]]
    assert saved.turns(["hub1"], "hub1") == [["hub1"]]
    assert saved.turns(["client1", "hub1"], None) == [["client1"], ["hub1"]]


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".a"])
def test_names_that_are_none(name):
    with pytest.raises(LabError, match="is no name"):
        saved.folder(name)


def test_hash_sees_content_and_names_and_no_byte_code(tmp_path):
    (tmp_path / "roles").mkdir()
    file = tmp_path / "roles" / "a.yml"
    file.write_text("1", encoding="utf-8")
    (tmp_path / "cfg").write_text("x", encoding="utf-8")
    first = saved.files_hash(tmp_path, ("roles", "cfg"))
    (tmp_path / "roles" / "__pycache__").mkdir()
    (tmp_path / "roles" / "__pycache__" / "a.pyc").write_text("2", encoding="utf-8")
    assert saved.files_hash(tmp_path, ("roles", "cfg")) == first
    file.write_text("2", encoding="utf-8")
    second = saved.files_hash(tmp_path, ("roles", "cfg"))
    file.rename(tmp_path / "roles" / "b.yml")
    assert len({first, second, saved.files_hash(tmp_path, ("roles", "cfg"))}) == 3


def test_what_another_state_made_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SAVED", tmp_path)
    with pytest.raises(LabError, match="No hosts are saved as pair"):
        saved.read("pair")
    known = {"state": saved.state(), "suite": "trixie", "hosts": {"hub1": "single"},
             "recipes": {"single": images.recipes("trixie")["single"]}}
    (tmp_path / "pair").mkdir()

    def write(**other):
        (tmp_path / "pair" / "saved.json").write_text(json.dumps(dict(known, **other)), encoding="utf-8")

    write()
    assert saved.read("pair") == known
    for other in ({"state": "x"}, {"recipes": {"single": "x"}}):
        write(**other)
        with pytest.raises(LabError, match="made by another state"):
            saved.read("pair")
