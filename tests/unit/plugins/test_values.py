# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How pacemaker spells values, and how people read sizes."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import values
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import human


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "on", "ON", "yes", "Yes", "y", "Y", "1"])
def test_true(text):
    assert values.boolean(text) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "off", "Off", "no", "NO", "n", "N", "0"])
def test_false(text):
    assert values.boolean(text) is False


@pytest.mark.parametrize("text", [None, "", "maybe", "2", " true", "t", "none"])
def test_no_boolean(text):
    assert values.boolean(text) is None


@pytest.mark.parametrize("text, number", [
    ("INFINITY", 1000000), ("+INFINITY", 1000000), ("-INFINITY", -1000000), ("-infinity", -1000000), ("0", 0), ("-5",
                                                                                                                -5),
    ("+7", 7), ("2000000", 1000000), ("-2000000", -1000000), (None, None), ("", None), ("pingd", None), ("1.5", None)])
def test_score(text, number):
    assert values.score(text) == number


@pytest.mark.parametrize("text, name", [
    ("Stopped", "Stopped"), ("stopped", "Stopped"), ("Slave", "Unpromoted"), ("slave", "Unpromoted"),
    ("unpromoted", "Unpromoted"), ("MASTER", "Promoted"), ("Promoted", "Promoted"), ("Started", "Started"), (None,
                                                                                                             None),
    ("none", None)])
def test_role(text, name):
    assert values.role(text) == name


@pytest.mark.parametrize("count, text", [
    (None, "?"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 kB"), (832000, "812.5 kB"), (3 << 20, "3.0 MB"),
    (54630809, "52.1 MB"), (5 << 30, "5.0 GB"), (5 << 40, "5.0 TB"), (5 << 50, "5120.0 TB")])
def test_human(count, text):
    assert human(count) == text
