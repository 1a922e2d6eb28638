# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub_reach on loopback: any answer is a sign of life, a refusal too; silence is none."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cfengine.hub_ha.plugins.action import hub_reach as action
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import words
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe as hub_loader
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import reach
from ansible_collections.cfengine.hub_ha.plugins.modules import hub_reach

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "hub"))
import pair  # noqa: E402

KNOWN = {"hubs": {"127.0.0.1": {"name": "hub1"}, "192.0.2.12": {"name": "hub3", "in_cluster": False}}, "shared": []}


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
        found = reach.reach(["127.0.0.1"], [port, closed], [udp], 1.0)
    assert sorted((item["port"], item["how"]) for item in found) == sorted(
        [(port, "accepts"), (closed, "refuses"), (udp, "refuses")])


def test_silence_ends_in_time(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        began = time.monotonic()
        assert reach.reach(["127.0.0.1"], [], [silent.getsockname()[1]], 1.0) == []
        assert time.monotonic() - began < 1.5


def on_another_network(tmp_path, prepare, addresses, timeout=1.0):
    """What reach() finds in a network namespace of its own, in which *prepare* (sh) has been run."""
    program = tmp_path / "look.py"
    program.write_text("import json, sys\nfrom ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host "
                       "import reach\nprint(json.dumps(reach.reach(json.loads(sys.argv[1]), [5432], [5405], %s)))\n"
                       % timeout, encoding="ascii")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-ec", prepare + '; exec "$0" "$@"', sys.executable, str(program),
         json.dumps(addresses)], env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)), text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("prepare, reason", [
    ("ip link set lo up", "Network is unreachable"),
    ("ip link set lo up; ip route add prohibit 192.0.2.0/24", "Permission denied"),
    ("ip link set lo up; ip route add unreachable 192.0.2.0/24", "No route to host"),
])
def test_what_the_kernel_does_not_send_was_not_tried(tmp_path, prepare, reason):
    """A real kernel. It is no silence: nobody has been asked."""
    assert on_another_network(tmp_path, prepare, ["192.0.2.10"]) == [
        {"address": "192.0.2.10", "port": port, "how": "untried", "reason": reason} for port in (5405, 5432)]


def test_silence_of_a_host_that_is_off_is_silence(tmp_path):
    """A neighbour that does not answer ARP: the question went out."""
    prepare = ("ip link add wire0 type veth peer name wire1; ip address add 192.0.2.1/24 dev wire0; "
               "ip link set wire0 up; "
               "ip link set wire1 up")
    assert on_another_network(tmp_path, prepare, ["192.0.2.10"], 4.0) == []


class Filtered(socket.socket):
    """What Linux does where the filter for outgoing packets drops UDP: send() fails with EPERM."""

    def send(self, *given):
        if self.type & socket.SOCK_DGRAM:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return super().send(*given)


class NoFamily(socket.socket):
    """A host without IPv6."""

    def __init__(self, *given, **named):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")


def test_a_filter_for_outgoing_packets_is_no_silence(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(reach.socket, "socket", Filtered)
        found = reach.reach(["127.0.0.1"], [port], [5405], 1.0)
    assert found == [
        {"address": "127.0.0.1", "port": 5405, "how": "untried", "reason": "Operation not permitted"},
        {"address": "127.0.0.1", "port": port, "how": "accepts"}] or found == [
        {"address": "127.0.0.1", "port": port, "how": "accepts"},
        {"address": "127.0.0.1", "port": 5405, "how": "untried", "reason": "Operation not permitted"}]


def test_a_host_without_that_family_of_addresses_has_not_tried(monkeypatch):
    monkeypatch.setattr(reach.socket, "socket", NoFamily)
    assert [(item["port"], item["how"]) for item in reach.reach(["::1"], [22], [5405], 0.2)] == [
        (22, "untried"), (5405, "untried")]


@pytest.mark.parametrize("who, filtered, code, sign", [
    ("192.0.2.10", True, errno.EHOSTUNREACH, "refuses"),  # firewalld of the hub itself: it lives
    ("192.0.2.1", True, errno.EHOSTUNREACH, "untried"), (None, False, errno.EPERM, "untried"),
    ("192.0.2.1", False, errno.EHOSTUNREACH, None), (None, False, errno.ETIMEDOUT, None),
    (None, False, errno.ENETUNREACH, None), (None, False, errno.ECONNREFUSED, "refuses")])
def test_who_says_that_a_host_is_not_there(monkeypatch, who, filtered, code, sign):
    monkeypatch.setattr(reach, "offence", lambda sock: (who, filtered))
    sock = SimpleNamespace(getsockopt=lambda level, name: code)
    found = reach.ended(sock, "192.0.2.10", ("hub1", 5432, socket.SOCK_STREAM))
    assert (found or {"how": None})["how"] == sign


def test_an_error_in_a_thread_is_an_error(monkeypatch, run_module, itself):
    def broken(*given):
        raise ValueError("filedescriptor out of range in select()")

    monkeypatch.setattr(reach.select, "select", broken)
    result = run_module(hub_reach, tcp_ports=[], udp_ports=[free(socket.SOCK_DGRAM)], timeout=1)
    assert result["failed"] and "cannot say that there are none: filedescriptor out of range" in result["msg"]
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionBase, "_execute_module",
                        lambda self, module_name, task_vars: {"reached": [], "addresses": []})
    made = action.ActionModule.__new__(action.ActionModule)
    made._task = SimpleNamespace(args={"addresses": ["127.0.0.1"], "timeout": 1})
    with pytest.raises(AnsibleActionFail, match="cannot say that there are none: filedescriptor"):
        made.run(None, {})


def test_an_error_of_the_resolver_is_an_error(monkeypatch):
    def broken(*given):
        raise MemoryError("no")

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    with pytest.raises(MemoryError):
        reach.resolved(["hub1"], 1.0)


def test_name_that_does_not_resolve_is_silent():
    assert reach.reach(["no-such-host.invalid"], [22], [5405], 0.2) == []


def test_name_servers_may_be_lost_too(monkeypatch):
    asked = socket.getaddrinfo

    def slow(name, *more):
        if name == "hub1":
            time.sleep(2)
        return asked(name, *more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    assert reach.resolved(["127.0.0.1", "hub1"], 0.3) == {(socket.AF_INET, "127.0.0.1"): "127.0.0.1"}
    assert time.monotonic() - began < 1


def test_whose_life_counts():
    assert reach.of_pair(KNOWN) == ["127.0.0.1"] and reach.of_pair(None) == []
    assert reach.of_pair({"hubs": {}, "shared": ["192.0.2.1"]}) == ["192.0.2.1"]
    conf = "# host=no\nprimary_conninfo = 'host=192.0.2.10,192.0.2.11 port=5432 user=repl'\nprimary_slot_name = 'x'\n"
    assert reach.sources(conf) == ["192.0.2.10", "192.0.2.11"] and reach.sources(None) == []


@pytest.fixture(name="itself")
def fixture_itself(monkeypatch):
    """The host looks at itself while it waits for the others' silence."""
    def outside(run, layout):
        time.sleep(0.5)
        return {"uname": "hub3"}

    monkeypatch.setattr(hub_loader, "known_hubs", lambda: ({}, KNOWN, "primary_conninfo = 'host=127.0.0.2'"))
    monkeypatch.setattr(hub_loader, "outside", outside)


def test_module(run_module, itself):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("", 0))
        began = time.monotonic()
        result = run_module(hub_reach, tcp_ports=[free(socket.SOCK_STREAM)], udp_ports=[silent.getsockname()[1]],
                            timeout=1)
    assert time.monotonic() - began < 1.4, "both at the same time"
    assert not result["changed"] and result["hub"] == {"uname": "hub3"} and result["addresses"] == ["127.0.0.1"]
    assert [(item["address"], item["how"]) for item in result["reached"]] == [
        ("127.0.0.1", "refuses"), ("127.0.0.2", "refuses")]
    assert result["reached"][0]["from"]


def test_the_host_tries_the_port_that_its_list_names(run_module, monkeypatch):
    port = free(socket.SOCK_STREAM)
    monkeypatch.setattr(hub_loader, "known_hubs", lambda: ({}, dict(KNOWN, third={"port": str(port)}), None))
    monkeypatch.setattr(hub_loader, "outside", lambda run, layout: {})
    result = run_module(hub_reach, tcp_ports=[], udp_ports=[], timeout=1)
    assert [(item["address"], item["port"]) for item in result["reached"]] == [("127.0.0.1", port)]


def test_what_the_third_hub_knows_of_itself(monkeypatch):
    """The same facts as hub_info's, without what the decision does not need."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(hub_loader, "identity", lambda run, layout, installed: {"key_digest": "SHA=1"})
    monkeypatch.setattr(hub_loader, "postgres", lambda run, layout: {"state": "standby"})
    layout, known, followed = hub_loader.known_hubs()
    found = hub_loader.outside(None, layout)
    assert known is None and followed is None and found["postgres"] == {"state": "standby"}
    assert found["cfengine"] == {"key_digest": "SHA=1", "edition": "community"}
    whole = pair.live_hub()
    assert set(found) < set(whole) and set(found["cfengine"]) < set(whole["cfengine"])
    assert words.hub_list("no list") is None


@pytest.mark.parametrize("named, rest", [(["127.0.0.1"], []), ([], ["127.0.0.1"])])
def test_action_looks_from_the_controller_too(monkeypatch, named, rest):
    """At the same time at what the inventory names, afterwards at what only the host knew."""
    port, began = free(socket.SOCK_STREAM), []

    def execute(self, module_name, task_vars):
        began.append(time.monotonic())
        time.sleep(0.5)
        return {"reached": [], "addresses": named + rest, "changed": False}

    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    looks, real = [], reach.look
    monkeypatch.setattr(reach, "look", lambda *given: (looks.append((given[0], time.monotonic())), real(*given))[1])
    made = action.ActionModule.__new__(action.ActionModule)
    made._task = SimpleNamespace(args={"addresses": named, "tcp_ports": [port], "udp_ports": [], "timeout": 1})
    result = made.run(None, {})
    assert [addresses for addresses, when in looks] == [named or rest]
    assert (looks[0][1] - began[0] > 0.4) == (not named)
    assert [(item["address"], item["port"], item["how"]) for item in result["reached_here"]] == [
        ("127.0.0.1", port, "refuses")]


def test_action_hands_a_failure_on(monkeypatch):
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionBase, "_execute_module",
                        lambda self, module_name, task_vars: {"failed": True, "msg": "no"})
    made = action.ActionModule.__new__(action.ActionModule)
    made._task = SimpleNamespace(args={"addresses": []})
    assert made.run(None, {}) == {"failed": True, "msg": "no"}
