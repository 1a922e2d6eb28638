# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hub whose pacemaker does not get into the cluster has its controller started anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import guard_service, hold, join
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY

# Of a hub that waits for 80 s (pacemaker 3.0.0, in the lab): its own CIB, before and after it has joined.
WAITS = ('<status><node_state id="2" uname="hub2" in_ccm="1" crmd="1" join="member"/>'
         '<node_state id="1" uname="Hub1" in_ccm="1" crmd="1" join="%s"/></status>')


def test_it_is_done_after_a_while_and_seldom():
    waiting = join.Waiting()
    tried = [now for now in range(0, 150, 3) if waiting.due(float(now), False)]
    assert tried == [15, 75, 135]


@pytest.mark.parametrize("seen", [True, None])
def test_one_that_has_joined_or_of_which_nothing_is_known_begins_anew(seen):
    waiting = join.Waiting()
    assert not any(waiting.due(now, False) for now in (0.0, 14.0)) and not waiting.due(14.5, seen)
    assert not any(waiting.due(now, False) for now in (15.0, 29.0)) and waiting.due(30.0, False)


def watch(guard_thread, shown, returncode=0, phase="watch", armed=True, role=NO_SERVER, here=True, pacemaker=True, idle=None):
    """(commands, daemons that were killed) in 40 s of a hub whose CIB says that. idle: why nothing is looked after."""
    ran, killed = [], []

    def run(argv, dummy_timeout):
        ran.append(argv)
        return SimpleNamespace(returncode=returncode, stdout=shown, stderr="")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guard_service.host, "idle", lambda dummy: idle)
        start(guard_thread, run, killed, phase, armed, role, here, pacemaker)
    return ran, killed


def start(guard_thread, run, killed, phase, armed, role, here, pacemaker):
    """The thread, for 40 s."""
    guard_thread("watch_join", 40, run, pair=SimpleNamespace(node="hub1", peer="hub2"),
                 daemons=SimpleNamespace(kill=killed.append), guard=SimpleNamespace(phase=phase, armed=armed),
                 channel=SimpleNamespace(role=role, peer_here=here, peer_pacemaker=pacemaker))


@pytest.mark.parametrize("shown", [WAITS % "pending", WAITS % "down", WAITS.replace("Hub1", "hub3") % "member"])
def test_a_hub_that_waits_is_joined_anew(guard_thread, shown):
    ran, killed = watch(guard_thread, shown)
    assert killed == [["pacemaker-controld"]] and set(map(tuple, ran)) == {tuple(hold.CIB_COMMAND)}


# Nobody coordinates: both hubs have just been started, and look for a coordinator (dc-deadtime).
NOBODY = WAITS.replace('join="member"', 'join="down"') % "down"


@pytest.mark.parametrize("case", [
    {"shown": WAITS % "member"}, {"shown": "", "returncode": 102}, {"shown": "<status/>"}, {"shown": NOBODY},
    {"shown": WAITS % "down", "idle": "maintenance mode"}])
def test_a_member_and_one_that_nobody_keeps_waiting_are_left_alone(guard_thread, case):
    ran, killed = watch(guard_thread, **case)
    assert ran and killed == []


@pytest.mark.parametrize("case", [{"phase": "recover"}, {"armed": False}, {"role": PRIMARY}, {"here": False},
                                  {"pacemaker": False}])
def test_nobody_is_asked_where_none_is_to_be_joined(guard_thread, case):
    """A hub that serves keeps its controller, and alone there is no cluster to wait for."""
    assert watch(guard_thread, WAITS % "down", **case) == ([], [])


def test_a_standby_waits_too(guard_thread):
    assert watch(guard_thread, WAITS % "down", role=STANDBY)[1] == [["pacemaker-controld"]]
