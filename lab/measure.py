# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The figures of docs/measured.md: `.cache/venv/bin/python -m lab.measure --runs 5 [--suite bookworm] [--prepared]`.

Each round: fresh hosts, a live hub with a writer, the upgrade, a second run, a run in check mode, a power cut. With
--install: two blank hosts, a pair from nothing, a second run, a single hub again and a pair again, each with writers.
Prints median, minimum and maximum of each figure, and appends every round to .cache/lab/measured.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

from lab import paths

LOG = paths.STATE / "measured.jsonl"


def lab(*arguments):
    """One lab command; its standard output."""
    return subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=paths.ROOT, check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def play(*options, playbook="upgrade-to-ha.yml"):
    """(seconds, changed tasks of all hosts, output) of one run of a playbook."""
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paths.ROOT / "ansible.cfg"), NO_COLOR="1",
                       ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks")
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "lab", "enter", "--",
                           str(paths.VENV_PYTHON.parent / "ansible-playbook"), "-i", "inventories/lab/hosts.yml",
                           "playbooks/" + playbook, *options], cwd=paths.ROOT, env=environment, check=False,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(done.stdout[-6000:])
    changed = sum(int(number) for number in re.findall(r"hub\d +: ok=\d+ +changed=(\d+)", done.stdout))
    return time.monotonic() - began, changed, done.stdout


def elapsed(output, task):
    """Seconds that the module of the task whose name begins so says it took (of output with -v). Exits without one."""
    found = re.search(r"^TASK \[[^\n]*%s.*?\belapsed\"?: ([0-9.]+)" % re.escape(task), output, re.MULTILINE | re.DOTALL)
    return float(found.group(1)) if found else sys.exit("%s: no time in the output" % task)


def processor_time(text):
    """(seconds taken by other machines on the same host, all) of the first line of /proc/stat, in its own unit."""
    numbers = [int(word) for word in text.split("\n", 1)[0].split()[1:9]]
    return numbers[7], sum(numbers)


def steal():
    """That of this machine now."""
    with open("/proc/stat", encoding="ascii") as file:
        return processor_time(file.read())


def one_round(suite, prepared):
    """All figures of one round (dict)."""
    before = steal()
    lab("up", "--suite", suite, "--hosts", "hub1,hub2,client1")
    lab("seed", *(["--prepared"] if prepared else []))
    lab("writer", "start")
    check, _changed, _output = play("--check", "--diff")
    seconds, changed, output = play("-v")
    lab("writer", "stop")
    writer = json.loads(lab("writer", "report", "--json"))
    again, changed_again, _output = play()
    outage = json.loads(lab("outage", "hub1", "--json"))
    after = steal()
    return {
        "check before, s": round(check, 1), "upgrade, s": round(seconds, 1), "upgrade, changed tasks": changed,
        "upgrade, module cib, s": elapsed(output, "Resources, constraints, properties"),
        "upgrade, longest write gap, s": writer["longest_gap_s"], "upgrade, failed writes": writer["failed"],
        "upgrade, acknowledged writes": writer["acknowledged"], "upgrade, lost writes": writer["lost"],
        "second run, s": round(again, 1), "second run, changed tasks": changed_again,
        "power cut, s to the next write": outage["outage_s"], "power cut, longest gap, s": outage["longest_gap_s"],
        "power cut, acknowledged writes": outage["acknowledged"], "power cut, lost writes": outage["lost"],
        # What a virtual machine's host gave to others meanwhile: figures of rounds that differ in it do not compare.
        "processor time stolen, %": round(100 * (after[0] - before[0]) / max(1, after[1] - before[1])),
    }


def install_round(suite):
    """All figures of one round from nothing (dict)."""
    before = steal()
    lab("up", "--suite", suite, "--hosts", "hub1=blank,hub2=blank,client1=blank")
    limit = ("--limit", "localhost:hubs:client1")
    seconds, changed, _output = play(*limit, playbook="install-ha.yml")
    again, changed_again, _output = play(*limit, playbook="install-ha.yml")
    found = {"install, s": round(seconds, 1), "install, changed tasks": changed, "install again, s": round(again, 1),
             "install again, changed tasks": changed_again}
    lab("fill")
    for what, playbook, options in (("single hub", "remove-ha.yml", ("-e", "hub_ha_keep_address=true")),
                                    ("pair again", "upgrade-to-ha.yml", ())):
        lab("probe", "start")
        seconds, _changed, _output = play(*options, playbook=playbook)
        lab("probe", "stop")
        writer = json.loads(lab("probe", "report", "--json", "--read-from", "hub1"))
        found.update({what + ", s": round(seconds, 1), what + ", longest write gap, s": writer["longest_gap_s"],
                      what + ", acknowledged writes": writer["acknowledged"], what + ", lost writes": writer["lost"]})
    after = steal()
    found["processor time stolen, %"] = round(100 * (after[0] - before[0]) / max(1, after[1] - before[1]))
    return found


def main():
    """Rounds, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--prepared", action="store_true")
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    rounds = []
    for number in range(options.runs):
        rounds.append(install_round(options.suite) if options.install else one_round(options.suite, options.prepared))
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(dict(rounds[-1], **vars(options))) + "\n")
        print("round %d: %s" % (number + 1, json.dumps(rounds[-1])), flush=True)
    print("| %s, %d rounds%s | median | min | max |\n|---|---|---|---|" % (
        options.suite, options.runs, ", prepared" if options.prepared else ""))
    for name in rounds[0]:
        values = [item[name] for item in rounds]
        print("| %s | %g | %g | %g |" % (name, statistics.median(values), min(values), max(values)))


if __name__ == "__main__":
    main()
