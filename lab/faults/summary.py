# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A table for docs/measured.md out of runs of the faults: `.cache/venv/bin/python -m lab.faults.summary FILE.json...`.

The files are those of `lab faults --json`; of a row that is in several the last one counts.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Dict, List, Sequence

from lab.faults import table

# (what people call it, how its rows' names begin and end), the first that fits
KINDS = (
    ("active hub stalls, 0.5 to 30 s", "stall-active-", ""), ("passive hub stalls, 0.5 to 30 s", "stall-passive-", ""),
    ("both hubs stall, 0.5 to 30 s", "stall-both-", ""),
    ("postmaster SIGKILLed, active hub", "kill-postmaster-active", ""),
    ("postmaster SIGKILLed, passive hub", "kill-postmaster-passive", ""),
    ("postmaster SIGSTOPped, active hub", "stop-postmaster-active", ""),
    ("a backend SIGKILLed", "kill-backend-active", ""), ("disk of the WAL full for 30 s", "disk-full-active", ""),
    ("guard SIGKILLed", "kill-guard-", ""),
    ("a daemon of the cluster SIGKILLed, active hub", "kill-", "-active"),
    ("a daemon of the cluster SIGKILLed, passive hub", "kill-", "-passive"),
    ("corosync or pacemakerd SIGKILLed, both hubs at once", "kill-", "-both"),
    ("a daemon of the cluster SIGSTOPped 20 s, active hub", "stop-", "-active"),
    ("a daemon of the cluster SIGSTOPped 20 s, passive hub", "stop-", "-passive"),
    ("clients' cable out", "cable-clients-", ""), ("heartbeat's or replication's cable out", "cable-", ""),
    ("all cables of the passive hub out", "cables-passive-", ""),
    ("all cables of the active hub out", "cables-active-", ""),
    ("power cut of one hub", "power-active", ""), ("power cut of one hub", "power-passive", ""),
    ("power cut of both hubs, on again one after the other", "power-both-", ""),
    ("processor, sessions, disk or crm_mon of a healthy hub at its limit for 20 s", "load-", ""),
    ("a daemon of the cluster SIGKILLed, the other hub off", "alone-kill-corosync", ""),
    ("a daemon of the cluster SIGKILLed, the other hub off", "alone-kill-pacemakerd", ""),
    ("a daemon of the cluster SIGKILLed, the other hub off", "alone-kill-controld", ""),
    ("a backend SIGKILLed, the other hub off", "alone-kill-backend", ""),
    ("postmaster SIGKILLed, the other hub off", "alone-kill-postmaster", ""),
    ("corosync SIGKILLed in maintenance mode", "maintenance-", ""),
    ("postmaster of the passive hub SIGKILLed three times", "crash-three-", ""),
    ("the hub that has rejoined takes over when the other one is lost", "rejoin-then-", ""),
    ("corosync SIGKILLed, active hub, and no guard on the other one", "guardless-", ""),
    ("the hub's package installed over itself, passive hub", "package-passive", ""),
    ("a setting with which the standby does not start, for a while", "spoilt-", ""),
    ("the reference address answers no more", "reference-", ""),
    ("systemctl stop pacemaker or corosync", "systemctl-stop-", ""), ("a playbook beside it", "play-", ""))


def kind(name: str) -> str:
    """What a row is one of."""
    return next((text for text, begin, end in KINDS if name.startswith(begin) and name.endswith(end)), name)


def spread(values: Sequence[float]) -> str:
    """Median, and minimum to maximum where there are several."""
    if not values:
        return "-"
    if len(values) == 1:
        return "%.1f" % values[0]
    return "%.1f (%.1f to %.1f)" % (statistics.median(values), min(values), max(values))


def lines(rows: Sequence[dict]) -> List[str]:
    """Lines of the table. rows: results as `--json` has them."""
    groups: Dict[str, List[dict]] = {}
    for row in table.ROWS:
        groups.setdefault(kind(row.name), []).extend(item for item in rows if item["name"] == row.name)
    found = ["| fault | rows | gap, s: median (min to max) | both took writes, s | served with a dead cluster, s "
             "| acknowledged writes that the serving hub lacks | ends | red |", "|" + "---|" * 8]
    for name, items in groups.items():
        if not items:
            continue
        ends = sorted({item["state"] for item in items})
        lost = [item["lost"].get(item["active"]) or 0 for item in items if item["active"]]
        found.append("| %s | %d | %s | %s | %.1f | %d at most | %s | %s |" % (
            name, len(items), spread([item["gap"] for item in items if item["gap"] is not None]),
            "%.1f at most" % max(item["overlap"] for item in items), max(item["dead"] for item in items),
            max(lost, default=0), ", ".join("%s %d" % (end, sum(1 for item in items if item["state"] == end))
                                            for end in ends), sum(1 for item in items if not item["green"]) or "none"))
    return found


def main() -> int:
    """Prints it."""
    newest: Dict[str, dict] = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as handle:
            newest.update((item["name"], item) for item in json.load(handle)["rows"])
    print("\n".join(lines(list(newest.values()))))
    missing = [row.name for row in table.ROWS if row.name not in newest]
    print("\n%d of %d rows%s" % (len(newest), len(table.ROWS), "; not there: " + ", ".join(missing) if missing else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
