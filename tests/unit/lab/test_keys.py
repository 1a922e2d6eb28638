"""What lab.keys computes."""

import pytest

from lab import keys

RECAP = """
TASKS RECAP ********************************************************************
cfengine.hub_ha.cfengine : The passive hub knows every client ---------------- 2.50s
cfengine.hub_ha.plan : Read everything about the hub in one round trip --- 1.85s
cfengine.hub_ha.cfengine : Each hub trusts the other's key ------------------- 0.25s
"""


def test_task_seconds_are_those_of_the_role():
    assert keys.task_seconds(RECAP) == 2.75
    with pytest.raises(SystemExit):
        keys.task_seconds("")
