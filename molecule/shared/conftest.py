"""Fixtures for the tests on real hosts: the two hubs, the lab, and what the play printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = {"hub1": "192.168.100.10", "hub2": "192.168.100.11", "hub3": "192.168.100.12", "client1": "192.168.100.21",
             "client2": "192.168.100.22", "client3": "192.168.100.23", "client4": "192.168.100.24"}
WORK = os.environ.get("HUB_WORK", "/var/lib/cfengine3")
ENTERPRISE = WORK == "/var/cfengine"  # on the lab's stand-in for the vendor's package
PSQL = WORK + "/bin/psql" if ENTERPRISE else "psql"
SHARED = "192.168.100.100"
BEGUN = time.time()  # when the tests began: the upgrade is over
# Seconds without a write through the shared address: 1.5 x token (3000 ms) + 3 s. More where other hosts share the
# processors.
POWER_CUT_LIMIT = float(os.environ.get("POWER_CUT_LIMIT", "7.5"))


def lab(*arguments, check=True):
    """One command of the lab; returns its standard output."""
    done = subprocess.run(["python3", "-m", "lab", *arguments], cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        raise AssertionError("lab %s: %s" % (" ".join(arguments), done.stderr))
    return done.stdout


def report(kind, *arguments):
    """Figures of a writer (kind writer or probe)."""
    return json.loads(lab(kind, "report", "--json", *arguments))


def play(*options, playbook="upgrade-to-ha.yml", inventory="inventories/lab/hosts.yml", **environment):
    """One run of a playbook as an operator runs it: (exit status, output)."""
    env = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), NO_COLOR="1", ANSIBLE_FORCE_COLOR="0",
               **environment)
    done = subprocess.run(["ansible-playbook", "-i", str(inventory), "playbooks/" + playbook, *options],
                          cwd=ROOT, env=env, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def recap(output):
    """{host: number of changed tasks} out of a play's output."""
    found = re.findall(r"((?:hub|client)\d) +: ok=\d+ +changed=(\d+)", output)
    return dict((host, int(count)) for host, count in found)


def changed_tasks(output):
    """["hub1: task", ...] of what a run changed or would change."""
    found, task = [], ""
    for line in output.splitlines():
        if line.startswith("TASK ["):
            task = line[6:].split("]")[0].split(" : ")[-1]
        match = re.match(r"changed: \[(\w+)", line)
        if match and "%s: %s" % (match.group(1), task) not in found:
            found.append("%s: %s" % (match.group(1), task))
    return found


def get_host(name):
    """testinfra's host, over SSH as Ansible reaches it."""
    ssh = os.environ["LAB_SSH"]
    return testinfra.get_host("ssh://root@%s" % ADDRESSES[name], ssh_identity_file=ssh + "/id_ed25519",
                              ssh_extra_args="-o UserKnownHostsFile=%s/known_hosts" % ssh, controlpersist=60)


def sql(host, query, database="postgres"):
    """Rows (one string each) of a query through the local socket, as root."""
    return host.run_expect([0], "%s -XAtq -d %s -c %s" % (PSQL, database, shlex.quote(query))).stdout.splitlines()


@contextmanager
def broken(host, breaking, mending):
    """The host is broken by a shell command inside, and mended after it in any case."""
    host.run_expect([0], breaking)
    try:
        yield
    finally:
        host.run_expect([0], mending)


@contextmanager
def without_agents(*hosts):
    """The hosts' own runs of the agent (each five minutes) do not come in between: they mend drift and fetch policy."""
    for host in hosts:
        host.check_output("systemctl kill --kill-whom=main --signal=STOP cf-execd")
    try:
        for host in hosts:
            host.check_output("timeout 120 sh -c 'while pgrep -x cf-agent; do sleep 0.2; done'")
        yield
    finally:
        for host in hosts:
            host.check_output("systemctl kill --kill-whom=main --signal=CONT cf-execd")


def keep_figures(name, figures):
    """Print figures of a test, and keep them under its name where make test wants them."""
    print("%s: %s" % (name, json.dumps(figures)))
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({name: figures}) + "\n")


def power_cut(active, passive):
    """Power off the active hub under the eyes of a writer: the other one serves in time. Returns its new timeline."""
    lab("probe", "stop")  # one that an earlier run left behind
    figures = json.loads(lab("outage", active, "--json"))
    line = "power cut: longest gap %.2f s, %d acknowledged, %d lost" % (
        figures["longest_gap_s"], figures["acknowledged"], figures["lost"])
    print(line)
    keep_figures("power_cut", figures)
    hub = get_host(passive)
    if figures["longest_gap_s"] > POWER_CUT_LIMIT:  # where the seconds went
        print(hub.check_output("journalctl --no-pager -o short-precise --since '40 s ago' -u corosync -u pacemaker | "
                               "tail -n 120; tail -n 20 /var/log/postgresql.log"))
    assert figures["longest_gap_s"] <= POWER_CUT_LIMIT, line
    assert sql(hub, "SELECT pg_is_in_recovery()") == ["f"]
    assert SHARED in hub.check_output("ip -4 addr show")
    return int(sql(hub, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][:8], 16)


@pytest.fixture(scope="session")
def hub1():
    """The hub that was upgraded."""
    return get_host("hub1")


@pytest.fixture(scope="session")
def hub2():
    """The hub that was blank."""
    return get_host("hub2")


@pytest.fixture(params=["hub1", "hub2"])
def hub(request):
    """Each hub in turn."""
    return get_host(request.param)


@pytest.fixture(scope="session")
def play_output():
    """Everything that the plays of this scenario printed."""
    return Path(os.environ["PLAY_LOG"]).read_text(encoding="utf-8")
