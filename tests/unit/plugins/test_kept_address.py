# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that keeps a shared address on a single hub."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path

import pytest
import yaml
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import layout

ROLE = Path(__file__).parents[3] / "roles" / "shared_address"
LINKS = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
    {"ifname": "eth1", "address": "aa:00:00:00:00:01",
     "addr_info": [{"local": "192.168.0.10", "prefixlen": 24, "scope": "global"}]},
    {"ifname": "eth0", "address": "aa:00:00:00:00:02",
     "addr_info": [{"local": "192.168.100.10", "prefixlen": 24, "scope": "global"},
                   {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
                   {"local": "fd00::10", "prefixlen": 64, "scope": "global"}]}]


@pytest.fixture(name="program")
def fixture_program():
    spec = importlib.util.spec_from_file_location("hub_ha_address", ROLE / "files" / "hub_ha_address.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_interface_is_found_by_the_network(program):
    def find(text, links=None):
        return program.place(links or LINKS, ipaddress.ip_interface(text))

    assert find("192.168.100.100/24") == ("eth0", "aa:00:00:00:00:02", False)
    assert find("fd00::64/64") == ("eth0", "aa:00:00:00:00:02", False)
    assert find("10.0.0.1/24") is None
    there = LINKS[:2] + [dict(LINKS[2], addr_info=LINKS[2]["addr_info"] + [
        {"local": "192.168.100.100", "prefixlen": 24, "scope": "global"}])]
    assert find("192.168.100.100/24", there) == ("eth0", "aa:00:00:00:00:02", True)
    alone = [{"ifname": "eth0", "addr_info": [{"local": "192.168.100.100", "prefixlen": 24, "scope": "global"}]}]
    assert find("192.168.100.100/24", alone) is None, "the address itself says nothing of where it belongs"


def test_the_announcement_is_a_gratuitous_arp_request(program):
    frame = program.announcement("192.168.100.100", "aa:00:00:00:00:02")
    mac, address = bytes.fromhex("aa0000000002"), bytes([192, 168, 100, 100])
    assert frame[:6] == b"\xff" * 6 and frame[6:12] == mac and frame[12:14] == b"\x08\x06"
    assert frame[14:22] == bytes.fromhex("0001080006040001")
    assert frame[22:28] == mac and frame[28:32] == frame[38:42] == address and len(frame) == 42


def test_the_unit_is_where_hub_info_looks_for_it():
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert variables["shared_address_unit"] == layout.KEPT_UNIT
    unit = (ROLE / "templates" / "hub-ha-address.service.j2").read_text(encoding="utf-8")
    assert "\nExecStart=" in unit and "\nExecStop=" not in unit
