# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's psql against a real server: a person's psqlrc and the environment change nothing of its answers."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import Lab

PSQL = pathlib.Path(__file__).parents[3] / "roles/resources/files/psql"


@pytest.fixture(scope="module", name="lab")
def fixture_lab():
    """A server, and the wrapper beside the link to the programs, as on a hub."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        folder = made.directory("ocf")
        shutil.copy(str(PSQL), folder + "/psql")
        os.chmod(folder + "/psql", 0o755)
        os.symlink(made.bin, folder + "/bin")
        made.file("psqlrc", "\\timing on\n\\echo hello\n", 0o644)
        yield made
    finally:
        made.close()


def ask(lab, program, **environment):
    """(return code, output) of the agent's question."""
    done = subprocess.run([program, "-p", str(lab.primary.port), "-U", "root", "postgres", "-h", lab.primary.home,
                           "-Atc", "select pg_is_in_recovery()"], check=False, encoding="utf-8", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=dict(os.environ, PSQLRC=lab.root + "/psqlrc", **environment))
    return done.returncode, done.stdout


def test_a_psqlrc_is_not_read(lab):
    assert "Time:" in ask(lab, lab.bin + "/psql")[1], "this psqlrc would disturb the answer"
    assert ask(lab, lab.root + "/ocf/psql") == (0, "f\n")


def test_the_environment_does_not_count(lab):
    bad = {"PGOPTIONS": "-c nosuch=1", "PGSSLMODE": "require", "PGSERVICE": "nowhere", "LC_ALL": "tlh_KL.UTF-8"}
    assert ask(lab, lab.bin + "/psql", **bad)[0] != 0
    assert ask(lab, lab.root + "/ocf/psql", **bad) == (0, "f\n")
