"""The active hub loses power. Runs after the other tests, because the pair is another one afterwards."""

from __future__ import annotations

import json
import os

from conftest import SHARED, lab, sql

LIMIT = 5.0  # seconds without a write through the shared address, with token 1000 ms


def test_power_cut(hub2):
    lab("probe", "stop")  # one that an earlier run left behind
    figures = json.loads(lab("outage", "hub1", "--json"))
    line = "power cut: longest gap %.2f s, %d acknowledged, %d lost" % (
        figures["longest_gap_s"], figures["acknowledged"], figures["lost"])
    print(line)
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"power_cut": figures}) + "\n")
    assert figures["longest_gap_s"] <= LIMIT, line
    assert sql(hub2, "SELECT pg_is_in_recovery()") == ["f"]
    assert SHARED in hub2.check_output("ip -4 addr show")
    assert int(sql(hub2, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][:8], 16) == 2
