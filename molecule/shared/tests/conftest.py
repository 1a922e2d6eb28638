"""Fixtures for the tests on real hosts: the two hubs, the lab, and what the play printed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
WORK = "/var/lib/cfengine3"
SHARED = "192.168.100.100"


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


def until(seconds, what, condition):
    """Poll *condition* until it is true; fails with *what* after *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "not within %s s: %s" % (seconds, what)
        time.sleep(0.2)


def get_host(name):
    """testinfra's host through the scenario's own inventory."""
    return testinfra.get_host("ansible://%s?ansible_inventory=%s" % (name, INVENTORY))


def sql(host, query, database="postgres"):
    """Rows (one string each) of a query through the local socket, as root."""
    return host.run_expect([0], "psql -XAtq -d %s -c %s" % (database, shlex.quote(query))).stdout.splitlines()


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
