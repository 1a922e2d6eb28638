# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of a hub."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import layout


@pytest.mark.parametrize("present, name", [
    (["/var/cfengine/bin/cf-agent"], "enterprise"), (["/usr/bin/cf-agent"], "debian"),
    (["/usr/bin/cf-agent", "/var/cfengine/bin/cf-agent"], "enterprise"), (["/usr/bin/cf-key"], None), ([], None)])
def test_detect(present, name):
    assert layout.detect(lambda path: path in present) == name


def test_both_layouts_have_the_same_keys_and_their_own_work_dir():
    enterprise, debian = layout.LAYOUTS["enterprise"], layout.LAYOUTS["debian"]
    assert set(enterprise) == set(debian)
    for name, found, root in (("enterprise", enterprise, "/var/cfengine"), ("debian", debian, "/var/lib/cfengine3")):
        assert found["name"] == name and found["work_dir"] == root
        for key in ("masterfiles", "ppkeys", "def_json", "ha_info", "ha_cfg", "hub_list", "data_dir",
                    "tmp_dir", "ha_dir"):
            assert found[key].startswith(root + "/"), key
        assert found["data_dir"] == root + "/state/pg/data"
        assert found["ha_info"] == root + "/masterfiles/cfe_internal/enterprise/ha/ha_info.json"


def test_nothing_of_ours_lies_inside_the_data_directory():
    """basebackup swaps that directory as a whole."""
    for found in layout.LAYOUTS.values():
        for key in ("tmp_dir", "ha_dir", "pg_log"):
            assert not found[key].startswith(found["data_dir"] + "/"), key
