# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pacemaker takes for running and is not: the guard has it look again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import belief, guard_service
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent.guard import PRIMARY, STANDBY

# Of pacemaker 3.0.0 on a pair; what is of no interest is left out.
ITEM = ('<resource id="%s" resource_agent="x" role="%s" active="true" orphaned="false" blocked="false" '
        'maintenance="false" managed="true" failed="false" failure_ignored="false" nodes_running_on="1">'
        '<node name="%s" id="1" cached="true"/></resource>')
SHOWN = ('<pacemaker-result api-version="2.38"><resources><group id="cfengine">%s</group>'
         '<clone id="mscfpgsql">%s%s</clone></resources></pacemaker-result>' % (
             ITEM % ("cfvirtip", "Started", "hub1"), ITEM % ("cfpgsql", "Promoted", "hub1"),
             ITEM % ("cfpgsql:1", "Unpromoted", "hub2")))


def test_what_pacemaker_takes_for_running():
    assert belief.believed(SHOWN, "HUB1") == {"cfvirtip", "cfpgsql"}
    assert belief.believed(SHOWN, "hub2") == {"cfpgsql"} and belief.believed(SHOWN, "hub3") == frozenset()


@pytest.mark.parametrize("text", [None, "", "<pacemaker", "Connection to cluster failed"])
def test_no_answer_is_no_belief(text):
    assert belief.believed(text, "hub1") == frozenset()


@pytest.mark.parametrize("old, new", [
    ('active="true"', 'active="false"'), ('managed="true"', 'managed="false"'), ('failed="false"', 'failed="true"'),
    ('blocked="false"', 'blocked="true"'), ('maintenance="false"', 'maintenance="true"'),
    ('orphaned="false"', 'orphaned="false" pending="Starting"'), ('role="Promoted"', 'role="Starting"'),
    ('role="Promoted"', 'role="Stopping"'), ('role="Promoted"', 'role="Promoting"'),
    ('role="Promoted"', 'role="Stopped"')])
def test_what_pacemaker_works_on_or_must_not_touch_is_left_alone(old, new):
    assert "cfpgsql" not in belief.believed(SHOWN.replace(old, new), "hub1")


def test_it_is_asked_after_a_while_and_not_again_at_once():
    missing, gone = belief.Missing(), frozenset(["cfpgsql"])
    assert missing.due(100.0, gone) == frozenset() and missing.due(114.0, gone) == frozenset()
    assert missing.due(115.0, gone) == gone
    assert missing.sure(115.0, gone, gone) == frozenset() and missing.due(116.0, gone) == gone, "seen once"
    assert missing.sure(116.0, gone, gone) == gone
    assert missing.due(145.0, gone) == frozenset() and missing.due(146.0, gone) == gone
    assert missing.due(147.0, frozenset()) == frozenset() and missing.due(148.0, gone) == frozenset(), "it was there"
    assert missing.due(163.0, gone) == gone, "missing anew"


def test_what_pacemaker_takes_for_running_for_a_moment_only_is_left_alone():
    """As right after a start that has failed, before it knows of the failure."""
    missing, gone, none = belief.Missing(), frozenset(["cfpgsql"]), frozenset()
    missing.due(0.0, gone)
    for turn, taken in enumerate((gone, none, gone, none)):
        now = 15.0 + 40.0 * turn
        assert missing.due(now, gone) == gone and missing.sure(now, gone, taken) == none, turn
    assert missing.due(140.0, gone) == none, "asked again after a while only"


def watch(guard_thread, postmaster, here, role=PRIMARY, shown=SHOWN, phase="watch", armed=True):
    """The commands that the thread runs in a minute of a hub without what is not *here*."""
    ran = []

    def run(argv, dummy_timeout):
        ran.append(argv)
        return SimpleNamespace(returncode=0, stdout=shown, stderr="")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guard_service.host, "shared_here", lambda dummy: here)
        guard_thread("watch_belief", 60, run, server=SimpleNamespace(postmaster=lambda: postmaster),
                     pair=SimpleNamespace(node="hub1", addresses=[SimpleNamespace(id="cfvirtip", ip="192.0.2.100")]),
                     channel=SimpleNamespace(role=role), guard=SimpleNamespace(phase=phase, armed=armed))
    return ran


REFRESH = ["crm_resource", "--refresh", "--resource"]
HERE = [("192.0.2.100", 24, "eth0")]


def test_a_database_that_counts_as_running_and_is_gone(guard_thread):
    ran = watch(guard_thread, None, HERE)
    assert [argv for argv in ran if argv != belief.SHOW] == [REFRESH + ["cfpgsql", "--node", "hub1"]] * 2


def test_an_address_that_counts_as_here_and_is_not(guard_thread):
    ran = watch(guard_thread, 77, [])
    assert [argv for argv in ran if argv != belief.SHOW] == [REFRESH + ["cfvirtip", "--node", "hub1"]] * 2


@pytest.mark.parametrize("case", [
    {"postmaster": 77, "here": HERE}, {"postmaster": 77, "here": None}, {"postmaster": 77, "here": [], "role": STANDBY},
    {"postmaster": None, "here": [], "phase": "recover"}, {"postmaster": None, "here": [], "armed": False}])
def test_nobody_is_asked_where_all_is_as_it_should_be_or_is_being_mended(guard_thread, case):
    assert watch(guard_thread, **case) == []


def test_a_database_that_pacemaker_knows_to_be_stopped_stays_so(guard_thread):
    shown = SHOWN.replace('id="cfpgsql"', 'id="other"')
    assert set(map(tuple, watch(guard_thread, None, HERE, shown=shown))) == {tuple(belief.SHOW)}
