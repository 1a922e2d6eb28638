#!/usr/bin/env python3
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many CFEngine clients on one host: each is a work directory of its own with a key of its own.

``make N`` makes them, trusting what the host trusts and following the hub that it follows, and prints their
public keys; ``run TOKEN`` runs both policies of each as cf-execd would, and prints what came of it; ``remove``
removes them. Results are JSON on standard output. Runs on the host, as root; needs only Python.

What keeps the host out of it: CFENGINE_TEST_OVERRIDE_WORKDIR moves inputs, keys, state, modules and databases
below the work directory; its bin is a folder of links, so that what the policy puts into bin stays there too;
there is no cf-execd or cf-serverd among them, and the classes below switch off what in the stock policy looks
at the whole host's processes or packages. The policy leaves systemd's units alone unless the operator defines
mpf_enable_cfengine_systemd_component_management (then don't use this).
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

WORK = "/var/lib/cfengine3"
SWARM = "/var/lib/lab-swarm"
MARKER = "lab_marker.txt"
AT_ONCE = 4
UPDATE_SECONDS, RUN_SECONDS = 60, 120
# mpf_disable_cfe_internal_limit_robot_agents: no counting, killing or starting of daemons on the host.
# disable_inventory_package_refresh: no package manager, which has one lock for all.
CLASSES = "mpf_disable_cfe_internal_limit_robot_agents,disable_inventory_package_refresh"
# Where a promise stands is no cause of its failure.
NOISE = re.compile(r"Promise belongs to|Comment is|This was a promise to|Errors encountered|Method '")
FOLDERS = ("ppkeys", "inputs", "state", "modules", "outputs", "plugins", "data", "lastseen", "reports", "bin")


def names(count):
    """Names of *count* clients: 01, 02, ... (pure)."""
    return ["%02d" % number for number in range(1, count + 1)]


def environment(folder):
    """The environment of everything that runs for the client in *folder*."""
    return dict(os.environ, CFENGINE_TEST_OVERRIDE_WORKDIR=folder, LC_ALL="C.UTF-8")


def make_one(name, work=WORK, swarm=SWARM):
    """Make one client; returns {"name", "digest", "key"}."""
    folder = os.path.join(swarm, name)
    for each in FOLDERS:
        os.makedirs(os.path.join(folder, each), mode=0o700, exist_ok=True)
    for program in glob.glob("/usr/bin/cf-*") + ["/usr/bin/rpmvercmp"]:
        link = os.path.join(folder, "bin", os.path.basename(program))
        if os.path.exists(program) and not os.path.lexists(link):
            os.symlink(program, link)
    if not os.path.exists(os.path.join(folder, "ppkeys", "localhost.priv")):
        subprocess.run(["cf-key"], env=environment(folder), check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=60)
    for path in glob.glob(os.path.join(work, "ppkeys", "root-*.pub")):
        shutil.copy2(path, os.path.join(folder, "ppkeys"))
    shutil.copy2(os.path.join(work, "policy_server.dat"), folder)
    shutil.copytree(os.path.join(work, "inputs"), os.path.join(folder, "inputs"), dirs_exist_ok=True, symlinks=True)
    own = os.path.join(folder, "ppkeys", "localhost.pub")
    digest = subprocess.run(["cf-key", "-p", own], env=environment(folder), check=True, text=True, timeout=60,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.strip()
    with open(own, encoding="ascii") as handle:
        return {"name": name, "digest": digest, "key": handle.read()}


def bounded(argv, folder, seconds):
    """Run *argv* for at most *seconds*; returns (exit status or None when it was stopped, seconds, output)."""
    began = time.monotonic()
    try:
        done = subprocess.run(argv, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as exc:
        status, output = None, (exc.stdout or b"") + b"\nstopped after %d s\n" % seconds
    return status, round(time.monotonic() - began, 3), output.decode("utf-8", "replace")


def run_one(name, token, with_agent, swarm=SWARM):
    """Both policies of one client; returns what came of it (dict)."""
    folder = os.path.join(swarm, name)
    update = bounded([folder + "/bin/cf-agent", "-Kf", "update.cf", "-D", CLASSES], folder, UPDATE_SECONDS)
    fetched = text(os.path.join(folder, "inputs", MARKER)) == token
    agent = bounded([folder + "/bin/cf-agent", "-K", "-D", CLASSES], folder, RUN_SECONDS) if with_agent else (0, 0, "")
    return dict(outcome(name, fetched, update, agent), policy_server=text(os.path.join(folder, "policy_server.dat")))


def outcome(name, fetched, update, agent):
    """What came of one client (dict); update, agent: what bounded() returned (pure)."""
    good = fetched and update[0] == 0 and agent[0] == 0
    return {"name": name, "fetched": fetched, "ok": good, "update_status": update[0], "agent_status": agent[0],
            "update_seconds": update[1], "agent_seconds": agent[1],
            "output": [] if good else last_words(update[2] + agent[2])}


def last_words(output, most=5):
    """The last lines of an agent's output that name a cause: without where the promise stands (list) (pure)."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    causes = [line for line in lines if not NOISE.search(line)]
    return list(dict.fromkeys(causes or lines))[-most:]


def text(path):
    """What a small file says, or None."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read().strip()
    except OSError:
        return None


def main(arguments=None):
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("count", type=int)
    run = commands.add_parser("run")
    run.add_argument("token")
    run.add_argument("--update-only", action="store_true")
    commands.add_parser("keys")
    commands.add_parser("remove")
    options = parser.parse_args(arguments)
    known = sorted(os.path.basename(path) for path in glob.glob(SWARM + "/[0-9]*"))
    if options.command == "remove":
        shutil.rmtree(SWARM, ignore_errors=True)
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        if options.command == "run":
            result = list(pool.map(lambda name: run_one(name, options.token, not options.update_only), known))
        else:
            os.makedirs(SWARM, mode=0o700, exist_ok=True)
            result = list(pool.map(make_one, names(options.count) if options.command == "make" else known))
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
