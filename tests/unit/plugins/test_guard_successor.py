# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hub whose line goes on is promoted, whatever a primary of a moment has written of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import successor
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import NO_SERVER, PRIMARY, STANDBY

PAIR = SimpleNamespace(node="hub2", peer="hub1")
MARK = 'name="hub_ha-forked" host="hub1" value="stopped beside another primary, not looked at yet"\n'
QUERY = ["attrd_updater", "-Q", "-N", "hub1", "-n", "hub_ha-forked"]
GET = ["crm_attribute", "-l", "forever", "-N", "hub2", "-n", "cfpgsql-data-status", "-G", "-q"]
SET = GET[:-2] + ["-v", "LATEST"]


@pytest.mark.parametrize("mark, status, barred", [
    (MARK, "DISCONNECT\n", "DISCONNECT"), (MARK, "\n", "no status"), (MARK, "LATEST\n", None),
    (MARK, "STREAMING|ASYNC\n", None), (MARK, None, None), (None, "DISCONNECT\n", None),
    ('name="hub_ha-forked" host="hub1" value=""\n', "DISCONNECT\n", None)])
def test_only_the_other_hubs_mark_shows_that_this_one_is_barred_wrongly(mark, status, barred):
    """Without it the status may be true: the other hub may have more."""
    answers = {tuple(QUERY): mark, tuple(GET): status}
    assert successor.barred(PAIR, lambda argv: answers[tuple(argv)]) == barred


def watch(guard_thread, role=STANDBY, peer=NO_SERVER, phase="watch", armed=True, connected=True):
    """The commands of twenty seconds."""
    ran, status = [], ["DISCONNECT"]

    def run(argv, dummy_timeout):
        ran.append(argv)
        if argv == SET:
            status[0] = "LATEST"
        return SimpleNamespace(returncode=0, stdout=MARK if argv == QUERY else status[0])
    guard_thread("watch_succession", 20, run, pair=PAIR, guard=SimpleNamespace(phase=phase, armed=armed),
                 channel=SimpleNamespace(role=role, peer={"role": peer}, connected=connected))
    return ran


def test_where_nobody_is_the_primary_it_is_set_once(guard_thread):
    ran = watch(guard_thread)
    assert ran[:3] == [QUERY, GET, SET] and ran.count(SET) == 1


@pytest.mark.parametrize("case", [
    {"peer": PRIMARY}, {"role": PRIMARY}, {"role": NO_SERVER}, {"phase": "recover"}, {"armed": False},
    {"connected": False}])
def test_else_nobody_is_asked(guard_thread, case):
    assert watch(guard_thread, **case) == []
