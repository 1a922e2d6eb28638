# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shared addresses that are announced by the hub that goes on."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import announce, guard_service
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import PRIMARY, STANDBY
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Winner

MAC = bytes.fromhex("02005e100001")


def test_arp_to_everybody_with_sender_and_target_alike():
    """RFC 5227, 2.3: an announcement has the address in both places."""
    request, reply = announce.arp_frames(MAC, "192.0.2.100")
    for frame, kind in ((request, 1), (reply, 2)):
        assert len(frame) == 42 and frame[:6] == b"\xff" * 6 and frame[6:12] == MAC
        assert frame[12:22] == bytes.fromhex("08060001080006040000")[:8] + bytes([0, kind])
        assert frame[22:28] == MAC and frame[28:32] == frame[38:42] == bytes([192, 0, 2, 100])
    assert request[32:38] == b"\0" * 6


def test_neighbour_advertisement_overrides():
    text = announce.advertisement(MAC, "2001:db8::64")
    assert text[0] == 136 and text[4] == 0x20 and len(text) == 32
    assert text[8:24] == bytes.fromhex("20010db8000000000000000000000064") and text[24:] == b"\x02\x01" + MAC


def test_what_has_no_hardware_address_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "ib0").mkdir()
    (tmp_path / "ib0/address").write_text("80:00:02:08:fe:80:00\n")
    assert len(announce.mac_of("ib0", str(tmp_path))) == 7
    monkeypatch.setattr(announce, "mac_of", lambda interface: b"\x80" * 7)
    assert announce.send([("192.0.2.100", 24, "ib0")]) == []
    monkeypatch.setattr(announce, "mac_of", lambda interface: MAC)
    assert announce.send([("192.0.2.100", 24, "gone0"), ("2001:db8::64", 64, "gone0")]) == []


def test_the_hub_that_goes_on_announces_until_the_other_one_has_stopped(monkeypatch):
    """The other hub has announced the address last; clients went on sending to it for as long as their table says."""
    pair = model.Pair("hub1", "hub2", "c", "/d", "/b", "u", 5432, None, "/h", "/t", "r", "verify-ca",
                      ("192.0.2.1",), ())
    service, sent, now = guard_service.Service(pair, "1"), [], [100.0]
    monkeypatch.setattr(guard_service.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(guard_service, "worker", lambda target, *arguments: target(*arguments))
    monkeypatch.setattr(guard_service.host, "shared_here", lambda one: [("192.0.2.100", 24, "eth0")])
    monkeypatch.setattr(guard_service.announce, "send", lambda here: sent.append((now[0], here)) or ["192.0.2.100"])
    monkeypatch.setattr(service.server, "role", lambda: PRIMARY)
    service.channel.role = PRIMARY
    service.watch_announcements(100.0)
    assert sent == [], "nobody else had it"
    service.judge(None, Winner("hub1", "hub2", "it has more"))
    for step in range(100):
        now[0] = 100.0 + step * 0.2
        service.watch_announcements(now[0])
    assert 9 <= len(sent) <= 11 and sent[0][0] == 100.0 and sent[-1][0] < 110.2
    now[0] = 200.0
    service.judge(None, Winner("hub1", "hub2", "it has more"))
    service.channel.role = STANDBY
    service.watch_announcements(200.0)
    assert len(sent) <= 11, "a standby has no address to announce"
