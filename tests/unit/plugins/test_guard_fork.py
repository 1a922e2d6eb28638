# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hub that follows nobody beside a primary: the guard finds out whether its data may, and marks it when not."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard_io, guard_service
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.fork import Answer
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY

FORKED, MAY = Answer(True, "timeline=1 commits=3", "it has what hub2 lacks"), Answer(True, None, "it is behind")


def watch(guard_thread, seconds, answer, role=lambda now: STANDBY, peer=PRIMARY, streams=lambda now: False):
    """[(second, value)] of each change of the mark that the thread wants."""
    now, wanted = [0.0], []

    def want(dummy_node, dummy_name, value):
        if not wanted or wanted[-1][1] != value:
            wanted.append((now[0], value))

    class Channel:
        """What both hubs say."""

        epoch = 1

        @property
        def role(self):
            """Of the own server."""
            return role(now[0])

        @property
        def peer(self):
            """The other hub's message."""
            return {"role": peer}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guard_service.fork, "ask", lambda dummy: answer)
        guard_thread("watch_fork", seconds, clock=now, channel=Channel(), pair=SimpleNamespace(node="hub1"),
                     guard=SimpleNamespace(phase="watch"), attributes=SimpleNamespace(want=want),
                     server=SimpleNamespace(role=lambda: role(now[0]), written=lambda: 1.0,
                                            streams=lambda: streams(now[0])))
    return wanted


def test_a_standby_that_cannot_follow_is_marked_and_stays_so(guard_thread):
    found = watch(guard_thread, 120, FORKED)
    assert [value for dummy, value in found] == [None, FORKED.text] and 20 <= found[1][0] <= 26


def test_the_mark_stays_when_pacemaker_has_stopped_it_and_goes_when_it_streams(guard_thread):
    found = watch(guard_thread, 120, FORKED, role=lambda now: NO_SERVER if 40 < now < 60 else STANDBY,
                  streams=lambda now: now > 60)
    assert [value for dummy, value in found] == [None, FORKED.text, None] and found[2][0] > 60


@pytest.mark.parametrize("case", [
    {"answer": MAY}, {"answer": FORKED, "streams": lambda now: True}, {"answer": FORKED, "peer": STANDBY},
    {"answer": FORKED, "role": lambda now: PRIMARY}, {"answer": Answer(False, None, "no answer")},
    {"answer": FORKED, "streams": lambda now: now % 18 < 6}])
def test_no_mark_for_one_that_may_follow_or_streams_now_and_then(guard_thread, case):
    assert [value for dummy, value in watch(guard_thread, 120, **case)] == [None]


@pytest.mark.parametrize("title, works", [
    ("postgres: 17/main: walreceiver streaming 0/52E9330", True), ("postgres: walreceiver", True),
    ("postgres: walreceiver waiting", False), ("postgres: walreceiver restarting", False),
    ("postgres: startup", False)])
def test_whether_a_standby_streams_is_told_by_its_walreceiver(monkeypatch, title, works):
    processes = SimpleNamespace(titles=lambda pid: ["postgres: checkpointer", title])
    server = guard_io.Server(SimpleNamespace(data_dir="/d"), processes)
    monkeypatch.setattr(server, "postmaster", lambda: 7)
    assert server.streams() is works


def test_children_say_what_they_are():
    with subprocess.Popen(["sleep", "30"]) as child:
        try:
            assert "sleep 30" in guard_io.Processes().titles(os.getpid())
        finally:
            child.kill()
