# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a token costs: `.cache/venv/bin/python -m lab.tokens --tokens 1000,3000,5000 --cuts 3`.

For each token of corosync, on a pair of the lab: the longest stall of a hub that makes no new membership, and how
long nobody writes after a power cut of the active hub. Each token is a run of the playbook on the pair that is there;
without one, one is made. After a cut the lost hub is made a standby again (`lab faults --heal`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from lab import paths
from lab.measure import lab, play

LOG = paths.STATE / "tokens.jsonl"
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)  # of the token: lengths of the stalls that are tried


def on(host, *argv):
    """Standard output of a command on a host."""
    return lab("exec", host, "--", *argv)


def fresh():
    """A pair, where none is."""
    if not roles():
        lab("up", "--hosts", "hub1,hub2,client1")
        lab("seed")
        play()


def roles():
    """{hub: its cfpgsql-status}, as far as a hub answers."""
    for host in ("hub1", "hub2"):
        try:
            text = on(host, "crm_mon", "-1A")
        except Exception:  # pylint: disable=broad-exception-caught  # off, or booting
            continue
        found, node = {}, ""
        for line in text.splitlines():
            words = line.split()
            if words[:2] == ["*", "Node:"]:
                node = words[2].rstrip(":")
            elif len(words) == 4 and words[1] == "cfpgsql-status":
                found[node] = words[3]
        if found:
            return found
    return {}


def whole(seconds):
    """The active hub as soon as the other one streams; None when that takes longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = roles()
        active = [name for name, status in found.items() if status == "PRI"]
        if len(active) == 1 and sorted(found.values()) == ["HS:async", "PRI"]:
            return active[0]
        time.sleep(1)
    return None


def memberships(host):
    """How many memberships corosync has formed on a host."""
    return on(host, "journalctl", "-u", "corosync", "--no-pager").count("A new membership")


def unnoticed(active, token):
    """Seconds of the longest stall of the other hub that made no new membership; 0 when the shortest did."""
    passive = "hub2" if active == "hub1" else "hub1"
    best = 0.0
    for share in SHARES:
        before = memberships(active)
        lab("pause", passive, "--seconds", "%.2f" % (share * token / 1000))
        time.sleep(2 + token / 1000)
        if memberships(active) != before:
            break
        best = share * token / 1000
    return round(best, 2)


def one_token(token, cuts):
    """{"token", "unnoticed_s", "gaps_s": [...], "lost": [...]}."""
    fresh()
    play("-e", "hub_ha_token=%d" % token)
    found = {"token": token, "unnoticed_s": unnoticed(whole(60), token), "gaps_s": [], "lost": []}
    while len(found["gaps_s"]) < cuts:
        active = whole(60)
        if active is None:
            raise SystemExit("The pair is not whole: %s" % roles())
        figures = json.loads(lab("outage", active, "--json"))
        found["gaps_s"].append(figures["longest_gap_s"])
        found["lost"].append(figures["lost"])
        lab("power", "on", active)
        lab("faults", "--heal")
    return found


def main():
    """Each token, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="1000,2000,3000,5000")
    parser.add_argument("--cuts", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for token in map(int, options.tokens.split(",")):
        rows.append(one_token(token, options.cuts))
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    print("| token, ms | longest stall without a new membership, s | power cut, s without a write: median (min to max) "
          "| lost |\n|---|---|---|---|")
    for row in rows:
        gaps = row["gaps_s"]
        print("| %d | %.1f | %.1f (%.1f to %.1f), %d cuts | %s |" % (
            row["token"], row["unnoticed_s"], statistics.median(gaps), min(gaps), max(gaps), len(gaps),
            ", ".join(map(str, row["lost"]))))


if __name__ == "__main__":
    main()
