# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make demo`: the main job on real hosts, for somebody who watches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from lab import network, paths
from lab.shell import LabError, colour

HOSTS = "hub1,hub2,client1,client2"
CLIENTS = ("client1", "client2")
STAGES = 7
AGENT = "cf-agent --no-lock --file update.cf && cf-agent --no-lock && cat /var/lib/cfengine3/policy_server.dat"


class Demo:
    """Runs the stages and keeps the figures for the report."""

    def __init__(self):
        self.began = time.monotonic()
        self.stage_number = 0
        self.stage_began = self.began
        self.figures = []

    def stage(self, text):
        """Announce the next stage."""
        self.end_stage()
        self.stage_number += 1
        self.stage_began = time.monotonic()
        print("\n%s" % colour("== %d/%d  %s" % (self.stage_number, STAGES, text), "1;36"), flush=True)

    def end_stage(self):
        """Say how long the stage took."""
        if self.stage_number:
            print(colour("   (%.0f s)" % (time.monotonic() - self.stage_began), "2"), flush=True)

    def figure(self, what, value):
        """Note one line of the report."""
        self.figures.append((what, value))


def lab(*arguments, capture=False):
    """One lab command; raises LabError when it fails."""
    done = subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=paths.ROOT, check=False, text=True,
                          stdout=subprocess.PIPE if capture else None)
    if done.returncode != 0:
        raise LabError("`python3 -m lab %s` failed (see above)." % " ".join(arguments))
    return done.stdout


def report(kind, *arguments):
    """The figures of a writer (kind writer or probe) as a dict."""
    return json.loads(lab(kind, "report", "--json", *arguments, capture=True))


def upgrade():
    """The playbook over SSH, as an operator runs it. Returns the seconds it took."""
    began = time.monotonic()
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paths.ROOT / "ansible.cfg"))
    if sys.stdout.isatty():
        environment["ANSIBLE_FORCE_COLOR"] = "1"
    playbook = paths.VENV_PYTHON.parent / "ansible-playbook"
    done = subprocess.run([sys.executable, "-m", "lab", "enter", "--", str(playbook), "-i", "inventories/lab/hosts.yml",
                           "playbooks/upgrade-to-ha.yml"], cwd=paths.ROOT, env=environment, check=False)
    if done.returncode != 0:
        raise LabError("The upgrade failed (see above). Look around with: python3 -m lab ssh hub1")
    return time.monotonic() - began


def power_cut(demo):
    """Cut the active hub's power under a writer that uses the shared address."""
    figures = json.loads(lab("outage", "hub1", "--json", capture=True))
    demo.figure("writes through %s stopped for" % network.SHARED_ADDRESS, "%.1f s" % figures["longest_gap_s"])
    demo.figure("acknowledged writes lost by the power cut", "%d of %d" % (figures["lost"], figures["acknowledged"]))


def clients(demo, when):
    """The next run of each client's agent, which cf-execd starts every five minutes; nobody touches the clients."""
    for client in CLIENTS:
        began = time.monotonic()
        hub = lab("exec", client, "--", "sh", "-c", AGENT, capture=True).strip().splitlines()[-1]
        print("   %s has run its policy and gets it from %s" % (client, hub), flush=True)
        demo.figure("%s: agent's next run %s" % (client, when), "%.1f s, policy from %s"
                    % (time.monotonic() - began, hub))


def run():
    """All stages; returns the exit status."""
    demo = Demo()
    demo.stage("Build the hosts' image, when it is not there yet")
    lab("prerequisites")
    lab("images", "trixie")
    demo.stage("Start hub1, hub2 (blank) and two clients; make hub1 a live single hub")
    lab("up", "--suite", "trixie", "--hosts", HOSTS)
    lab("seed")
    lab("writer", "start")
    demo.stage("ansible-playbook -i inventories/lab/hosts.yml playbooks/upgrade-to-ha.yml")
    demo.figure("upgrade of the live hub", "%.0f s" % upgrade())
    lab("writer", "stop")
    figures = report("writer")
    demo.figure("longest write gap during the upgrade", "%.2f s" % figures["longest_gap_s"])
    demo.figure("acknowledged writes lost by the upgrade", "%d of %d" % (figures["lost"], figures["acknowledged"]))
    demo.stage("The clients learn of both hubs with their policy")
    clients(demo, "after the upgrade")
    demo.stage("Cut the power of hub1, the active hub")
    power_cut(demo)
    clients(demo, "after the power cut")
    demo.stage("The cluster now, as hub2 sees it")
    lab("exec", "hub2", "--", "crm_mon", "-1", "-r", "-A", "-f")
    demo.stage("Report")
    for what, value in demo.figures:
        print("   %-52s %s" % (what, colour(value, "1")))
    print("   %-52s %.0f s" % ("all of this", time.monotonic() - demo.began))
    print("""
The lab stays up. hub1 is without power, hub2 is active. A cut is noticed after 1.5 times the token (hub_ha_token, 3 s).
Back on, hub1 follows hub2 by itself where its data may; where it took a write that hub2 never got, it stays stopped
with its data, marked as forked (docs/operate.md, "The old active hub comes back" and "Clone it anew").
   log in        python3 -m lab ssh hub2
   look          python3 -m lab exec hub2 -- crm_mon -1rAf
   power on      python3 -m lab power on hub1
   playbook      python3 -m lab enter -- .cache/venv/bin/ansible-playbook -i inventories/lab/hosts.yml \\
                     playbooks/upgrade-to-ha.yml --check --diff
   tear down     make demo-down
All from this directory; the hosts are reached from the lab's own network only. The inventory has four clients, of which
client1 and client2 run.""")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run())
    except LabError as error:
        print("%s %s" % (colour("demo: ERROR:", "31"), error), file=sys.stderr)
        print("The lab stays as it is; tear it down with: make demo-down", file=sys.stderr)
        sys.exit(1)
