"""The active hub loses power. Runs after the other tests, because the pair is another one afterwards."""

from __future__ import annotations

from conftest import power_cut


def test_power_cut():
    assert power_cut("hub1", "hub2") == 2
