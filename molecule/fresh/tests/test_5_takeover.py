"""Last, because the pair is another one afterwards."""

from __future__ import annotations

import time

from test_1_refused import hub1, hub2  # noqa: F401
from conftest import SHARED, lab, sql


def test_the_other_hub_takes_over(hub1, hub2):
    sql(hub1, "CREATE TABLE kept AS SELECT 42 AS n")
    lsn = sql(hub1, "SELECT pg_current_wal_flush_lsn()")[0]
    deadline = time.monotonic() + 10
    while sql(hub2, "SELECT pg_last_wal_replay_lsn() >= '%s'" % lsn) != ["t"]:
        assert time.monotonic() < deadline
    lab("power", "off", "hub1")
    began = time.monotonic()
    while sql(hub2, "SELECT pg_is_in_recovery()") != ["f"] or SHARED not in hub2.check_output("ip -4 addr show"):
        assert time.monotonic() < began + 20
    print("the other hub is active %.1f s after the power cut" % (time.monotonic() - began))
    assert sql(hub2, "SELECT n FROM kept") == ["42"]
