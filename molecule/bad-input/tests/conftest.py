"""Runs of the playbook with bad input, and what must be the same after each of them."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

# The fixtures of all scenarios; both files are called conftest, so this one is loaded by its path.
_SPEC = importlib.util.spec_from_file_location("shared_hosts", ROOT / "molecule/shared/conftest.py")
shared = importlib.util.module_from_spec(_SPEC)
sys.modules["shared_hosts"] = shared
_SPEC.loader.exec_module(shared)
hub1, hub2 = shared.hub1, shared.hub2

# Everything that an upgrade changes, as one text per hub. Times of the database's own files are left out.
FINGERPRINT = r"""
dpkg-query -W -f '${Package} ${Version} ${Status}\n' | sha256sum
cd /var/lib/cfengine3/masterfiles 2>/dev/null &&
  find . -type f ! -name 'cf_promises_*' -exec sha256sum {} + | sort | sha256sum
cd /
sha256sum /var/lib/cfengine3/state/pg/data/*.conf /var/lib/cfengine3/ha.cfg /etc/passwd /etc/group 2>/dev/null
sha256sum /etc/apt/sources.list.d/* /etc/hosts /var/lib/cfengine3/policy_server.dat 2>/dev/null
head -1 /var/lib/cfengine3/state/pg/data/postmaster.pid 2>/dev/null
ls -la --time-style=full-iso /etc/corosync /etc/pacemaker /etc/systemd/system /etc/postgresql-common 2>/dev/null
stat -c '%n %U %G %a' /var/lib/cfengine3 /var/lib/cfengine3/state /var/lib/cfengine3/state/pg 2>/dev/null
ls -A /var/lib/cfengine3/state/pg /var/lib/cfengine3/ppkeys /var/backups /usr/lib/ocf/resource.d 2>/dev/null
systemctl list-unit-files --no-legend --type=service --state=masked,enabled
systemctl list-units --no-legend --plain --type=service --state=running | awk '{print $1}' |
  grep -e ^cf -e postgres -e corosync -e pacemaker
"""


class Run:
    """One finished ansible command: rc, output (everything that it printed), recap {host: {counter: number}}."""

    def __init__(self, done):
        self.rc = done.returncode
        self.output = done.stdout
        self.recap = {}
        for host, counters in re.findall(r"(?m)^(\w+) +: (ok=.*)$", done.stdout.rpartition("PLAY RECAP")[2]):
            self.recap[host] = dict((name, int(number)) for name, number in re.findall(r"(\w+)=(\d+)", counters))

    def changes(self):
        """["hub1: task", ...] of what was changed."""
        found, task = [], ""
        for line in self.output.splitlines():
            if line.startswith("TASK ["):
                task = line[6:].split("]")[0]
            match = re.match(r"changed: \[(\w+)", line)
            if match:
                found.append("%s: %s" % (match.group(1), task))
        return found

    def says(self, *words):
        """Every text stands in the output, whatever the line breaks."""
        flat = " ".join(self.output.split())
        missing = [word for word in words if word not in flat]
        assert not missing, "not said: %s\n%s" % (missing, self.output)


class Play:
    """Runs ansible with the lab's inventory, in which variables are replaced or (None) left out."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.always = {}  # variables of every run from now on

    def command(self, argv, **environment):
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
               "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"), **environment}
        return Run(subprocess.run(argv, cwd=ROOT, env=env, text=True, check=False, timeout=300,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))

    def inventory(self, variables):
        data = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text(encoding="utf-8"))
        everything = data["hubs"]["vars"]
        everything.update(dict(self.always, **variables))
        for name in [name for name, value in everything.items() if value is None]:
            del everything[name]
        self.count += 1
        path = self.folder / ("hosts-%d.yml" % self.count)
        path.touch(mode=0o600)  # a password may be in it
        path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
        return str(path)

    def upgrade(self, variables=None, arguments=(), playbook="upgrade-to-ha.yml", **environment):
        """The playbook; returns its Run. environment: such as another ANSIBLE_CONFIG."""
        return self.command(["ansible-playbook", "-i", self.inventory(variables or {}), *arguments,
                             "playbooks/" + playbook], **environment)


@pytest.fixture(scope="session")
def play(tmp_path_factory):
    """Runs the playbook."""
    return Play(tmp_path_factory.mktemp("plays"))


def fingerprint(host):
    """What a run could change on a host, as text."""
    return host.run(FINGERPRINT).stdout


def written():
    """(acknowledged, failed) writes so far."""
    figures = shared.report("writer", "--read-from", "hub1")
    assert figures["lost"] == 0, figures
    return figures["acknowledged"], figures["failed"]


def refuses(hosts, run, *words):
    """Run, and assert that it refuses with these words and changes nothing.

    hosts: what may not be changed. run: a function that returns a Run, which is returned.
    """
    before = [fingerprint(host) for host in hosts]
    done = run()
    assert done.rc != 0, done.output
    done.says("Nothing was changed.", *words)
    assert done.recap and all(counters["changed"] == 0 for counters in done.recap.values()), done.output
    for old, host in zip(before, hosts):
        changes = [line for line in difflib.unified_diff(old.splitlines(), fingerprint(host).splitlines(), n=0)]
        assert not changes, changes
    return done


@pytest.fixture
def refused(play, hub1, hub2):
    """A function that runs the playbook and asserts that it refuses with these words and changes nothing."""

    def run(*words, variables=None, reachable=("hub1", "hub2"), **environment):
        hosts = [host for name, host in (("hub1", hub1), ("hub2", hub2)) if name in reachable]
        acknowledged, failed = written()
        done = refuses(hosts, lambda: play.upgrade(variables, **environment), *words)
        later = written()
        assert later[0] > acknowledged and later[1] == failed == 0
        return done

    return run
