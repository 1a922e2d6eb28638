# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long `hub-ha status` takes on a living pair: `.cache/venv/bin/python -m lab.answers --runs 5`.

On each hub in turn, from the start of the command to its end: while all is well, and while the other hub is frozen, has
lost all cables, or has no power; right after that happened, and again when the cluster has made up its mind. The pair is
made whole in between. Prints median, minimum and maximum of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from lab import paths
from lab.network import NETWORKS

HUBS = ("hub1", "hub2")
# Milliseconds and exit status of each run.
ASK = """
for turn in $(seq "$1"); do
    began=$(date +%s%N)
    hub-ha status --json >/dev/null
    status=$?
    echo $(( ($(date +%s%N) - began) / 1000000 )) $status
done
"""
FAULTS = {
    "frozen": (("pause",), ("unpause",)),
    "without cables": (("link", "down"), ("link", "up")),
    "without power": (("power", "off"), ("power", "on")),
}
NETS = tuple(NETWORKS)
DECIDED = 20  # seconds after which the cluster has done what it does


def lab(*arguments, check=True):
    """One lab command; its standard output."""
    return subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=paths.ROOT, check=check, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def ask(host, runs):
    """[(milliseconds, exit status)] of so many runs on a host."""
    lines = lab("exec", host, "--", "bash", "-c", ASK, "ask", str(runs)).splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def do(words, host):
    """One half of a fault, to a host."""
    lab(*words, host, *(NETS if words[0] == "link" else ()))


def main():
    """The table; exit status 1 when a run took more than a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    found = {}

    def note(what, host):
        found.setdefault(what, []).extend(dict(host=host, ms=ms, exit=status) for ms, status in ask(host, options.runs))

    for host in HUBS:
        note("all is well", host)
    for name, (begin, end) in FAULTS.items():
        for victim in HUBS:
            other = HUBS[1 - HUBS.index(victim)]
            print("%s: %s" % (victim, name), flush=True)
            do(begin, victim)
            note("other hub %s, at once" % name, other)
            time.sleep(DECIDED)
            note("other hub %s, %d s later" % (name, DECIDED), other)
            do(end, victim)
            lab("faults", "--heal")
    print("| hub-ha status | median, s | min | max | runs |\n|---|---|---|---|---|")
    for what, runs in found.items():
        times = [item["ms"] / 1000 for item in runs]
        print("| %s | %.2f | %.2f | %.2f | %d |" % (what, statistics.median(times), min(times), max(times), len(times)))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return int(any(item["ms"] > 1000 for runs in found.values() for item in runs))


if __name__ == "__main__":
    sys.exit(main())
