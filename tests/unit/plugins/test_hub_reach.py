# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub_reach on loopback: any answer is a sign of life, a refusal too; silence is none."""

from __future__ import annotations

import socket
import time

from ansible_collections.cfengine.hub_ha.plugins.modules import hub_reach


def free(kind):
    """A port of loopback that nobody uses."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_accepts_and_refuses():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port, closed, udp = server.getsockname()[1], free(socket.SOCK_STREAM), free(socket.SOCK_DGRAM)
        found = hub_reach.reach(["127.0.0.1"], [port, closed], [udp], 1.0)
    assert sorted((item["port"], item["how"]) for item in found) == sorted(
        [(port, "accepts"), (closed, "refuses"), (udp, "refuses")])


def test_silence_ends_in_time(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        began = time.monotonic()
        assert hub_reach.reach(["127.0.0.1"], [], [silent.getsockname()[1]], 1.0) == []
        assert time.monotonic() - began < 1.5


def test_name_that_does_not_resolve_is_silent():
    assert hub_reach.reach(["no-such-host.invalid"], [22], [5405], 0.2) == []


def test_module(run_module):
    result = run_module(hub_reach, addresses=["127.0.0.1"], tcp_ports=[free(socket.SOCK_STREAM)], udp_ports=[],
                        timeout=1)
    assert not result["changed"] and result["reached"][0]["how"] == "refuses" and result["reached"][0]["from"]
