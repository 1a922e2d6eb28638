"""The runs of scenario bad-input, on hubs whose PostgreSQL may have its socket and port anywhere."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

# Both files are called conftest, so that of bad-input is loaded by its path; it loads the one of all scenarios.
_SPEC = importlib.util.spec_from_file_location("bad_input", ROOT / "molecule/bad-input/tests/conftest.py")
bad_input = importlib.util.module_from_spec(_SPEC)
sys.modules["bad_input"] = bad_input
_SPEC.loader.exec_module(bad_input)
shared = sys.modules["shared_hosts"]
play, hub1, hub2 = bad_input.play, shared.hub1, shared.hub2

sys.path.insert(0, str(ROOT))
from lab.report import parse, summary  # noqa: E402

DATA = shared.WORK + "/state/pg/data"
BIN = "/usr/lib/postgresql/17/bin"
BY_UNIT = "systemctl start cf-postgres.service"
DEF_JSON = shared.WORK + "/masterfiles/def.json"
# With a list of its own in def.json nobody asks the policy for it.
WITHOUT_ACL = "python3 -c \"import json; f = open('%s', 'r+'); d = json.load(f); del d['vars']['acl']; f.seek(0); " \
              "json.dump(d, f); f.truncate()\"" % DEF_JSON
WRITER = "/var/lib/lab/writer"  # .py has been put there by prepare.yml
HUBS = ("hub1", "hub2")


@dataclass(frozen=True)
class Row:
    """One layout: its name, how a shell makes it on a host and takes it back, and what the report says of it."""

    name: str
    words: tuple[str, ...]
    make: str = "true"
    mend: str = "true"
    hub: str = "hub1"


class Database:
    """hub1's PostgreSQL as its clients find it, and a writer that is one of them."""

    def __init__(self, hub):
        self.hub, self.folder, self.port = hub, "/run/postgresql", 5432

    def sql(self, query, hub=None, database="postgres"):
        """Rows (one text each) of a query, as root; also of another hub with the same socket and port."""
        command = "%s/psql -h %s -p %d -XAtq -v ON_ERROR_STOP=1 -d %s <<'END'\n%s;\nEND" % (
            BIN, self.folder, self.port, database, query)
        return (hub or self.hub).run_expect([0], command).stdout.splitlines()

    def stop_writing(self):
        """The writer of prepare.yml, or the one from here."""
        self.hub.run_expect([0], "systemctl stop lab-writer.service")

    def write(self, folder=None, port=None):
        """Have a writer begin a new log, where PostgreSQL is from now on."""
        self.folder, self.port = folder or self.folder, port or self.port
        parameters = {"dbname": "cfdb", "user": "root", "application_name": "lab_writer",
                      "host": self.folder, "port": str(self.port)}
        self.hub.run_expect([0], "rm -f {0}.log; cat >{0}.json <<'END'\n{1}\nEND\n"
                                 "systemd-run --quiet --collect --unit=lab-writer.service python3 {0}.py "
                                 "--name=layouts-{2:.0f} --log={0}.log --retry=0.02 --parameters={0}.json"
                            .format(WRITER, json.dumps(parameters), time.time()))
        deadline = time.monotonic() + 20
        while self.hub.run("grep -q '^A ' %s.log" % WRITER).rc != 0:
            assert time.monotonic() < deadline, self.hub.run("tail %s.log" % WRITER).stdout
            time.sleep(0.2)

    def written(self):
        """What lab.report says of the writer; nothing that was acknowledged may be lost."""
        log = parse(self.hub.check_output("cat %s.log" % WRITER) + "\n")
        rows = self.sql("SELECT seq FROM ha_writes WHERE writer = '%s' ORDER BY seq" % log["writer"], database="cfdb")
        figures = summary(log, [int(seq) for seq in rows])
        assert figures["lost"] == 0, figures
        return figures


@pytest.fixture(scope="session")
def database(hub1):
    """hub1's PostgreSQL."""
    return Database(hub1)


@pytest.fixture(scope="session")
def refused(play, hub1, hub2, database):
    """A function: the run (of the upgrade, or `run`) refuses with these words, changes nothing and disturbs nobody."""

    def ask(*words, run=None, hosts=None, **how):
        before = database.written()
        done = bad_input.refuses(hosts or [hub1, hub2], run or (lambda: play.upgrade(**how)), *words)
        after = database.written()
        assert after["acknowledged"] > before["acknowledged"] and after["failed"] == before["failed"]
        return done

    return ask


def made(rows):
    """An ExitStack in which these rows are made; what was made last is taken back first, in any case."""
    stack = ExitStack()
    try:
        for row in rows:
            stack.enter_context(shared.broken(shared.get_host(row.hub), row.make, row.mend))
    except BaseException:
        stack.close()
        raise
    return stack


def inventory_with(play, change, variables=None):
    """The path of the lab's inventory after a change. change: a function that changes its data in place."""
    path = Path(play.inventory(variables or {}))
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return str(path)
