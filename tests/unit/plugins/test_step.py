# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps done for real: module step and the hub's own executor, on two servers on loopback."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops import (
    execute,
    hub as whole,
    perform,
    switchover,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.ops.model import (
    Kind,
    State,
    Step,
    Steps,
    steps_from_dict,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.server import is_stopping
from ansible_collections.cfengine.hub_ha.plugins.modules import step as step_module
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab, wait

PASSWORD = "loopback-only"


class Pair:
    """A primary hub1 and its standby hub2, whose settings stand in files, so that pg_ctl can start them."""

    def __init__(self, lab):
        self.lab = lab
        self.one, self.two = lab.server("hub1"), lab.server("hub2")
        self.calls = []
        self.lost = {}  # {id of a step: what becomes of its answer}
        self.one.create().stop()
        self.settle(self.one)
        self.one.start()
        self.one.sql("CREATE TABLE t (i int); CREATE ROLE repl LOGIN REPLICATION PASSWORD '%s'" % PASSWORD)
        words = "host=127.0.0.1 port=%d user=repl passfile=%s sslmode=require application_name=hub2" % (
            self.one.port, lab.file("pass", "*:*:*:*:%s\n" % PASSWORD))
        lab.owner(lab.bin + "/pg_basebackup", "-D", self.two.data, "-c", "fast", "-d", words)
        self.settle(self.two, "primary_conninfo = '%s'" % words)
        lab.file("hub2/data/standby.signal", "")
        self.two.start()
        self.streams()

    def settle(self, server, more=""):
        self.lab.file("%s/data/postgresql.auto.conf" % os.path.basename(server.home),
                      "port = %d\nunix_socket_directories = '%s'\n%s\n" % (server.port, server.home, more))

    def streams(self):
        wait(lambda: self.one.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1")

    def switch(self, **more):
        sides = {word: {"name": name, "data_dir": server.data, "bin_dir": self.lab.bin, "owner": OWNER, "log": server.log,
                        "addresses": ["cfvirtip"]}
                 for word, name, server in (("serving", "hub1", self.one), ("chosen", "hub2", self.two))}
        return switchover.switch_from_dict(dict(sides, marker=self.lab.root + "/maintenance", marker_text="ours\n",
                                                promote_timeout=5, **more))

    def run(self, argv, **more):
        """The runner: the cluster's tool is only written down."""
        if argv[0] != "crm_resource":
            return runner.local_runner(argv, **more)
        self.calls.append(argv)
        return runner.Completed(argv, 0, "", "")

    def perform(self, step, found):
        """A transport whose hubs are here."""
        lost = self.lost.pop(step.id, None)
        if lost == "before":
            raise execute.Unreachable("it is lost")
        done = perform.perform(step, found, perform.Hub(self.run), whole.ALL, {})
        if lost:
            raise execute.Unreachable("its answer is lost")
        return done

    def state(self, server):
        return perform.state_of(perform.Hub(self.run).server(dict(
            bin_dir=self.lab.bin, owner=OWNER, data_dir=server.data, timeout=10)))


@pytest.fixture(name="pair")
def fixture_pair():
    made = Lab()
    try:
        yield Pair(made)
    finally:
        made.close()


def steps(pair, where, *kinds, **more):
    """The steps of that hub as the module takes them."""
    listed = [item for item in switchover.steps(pair.switch(**more)).steps if item.where == where
              and (not kinds or item.kind in kinds)]
    return json.loads(json.dumps(Steps(tuple(listed), patience=20).to_dict()))


def test_module(pair, run_module, monkeypatch):
    monkeypatch.setattr(step_module, "Hub", lambda dry_run: perform.Hub(pair.run, dry_run))
    one, two = steps(pair, "hub1", demote=True), steps(pair, "hub2")
    told = run_module(step_module, check=True, steps=one)
    assert told["steps"] == ["mark-serving", "stop", "demote", "addresses-off"], told
    assert pair.state(pair.one) is State.PRIMARY and pair.calls == [] and not os.path.exists(pair.lab.root + "/maintenance")
    pair.one.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    early = run_module(step_module, steps=steps(pair, "hub2", Kind.PROMOTE))
    assert early["failed"] and "needs what step stop has found" in early["msg"] and early["step"] == "promote"
    given = run_module(step_module, steps=one)
    assert given["steps"] == told["steps"] and "/" in given["found"]["stop"]["lsn"], given
    assert pair.state(pair.one) is State.DEMOTED and os.stat(pair.one.data + "/standby.signal").st_uid == pair.lab.uid
    assert oct(os.stat(pair.lab.root + "/maintenance").st_mode)[-3:] == "600"
    taken = run_module(step_module, steps=two, found=given["found"])
    assert taken["steps"] == ["promote", "addresses-on"] and "/" in taken["found"]["promote"]["replayed"]
    assert taken["found"]["stop"] == given["found"]["stop"] and pair.two.sql("SELECT count(*) FROM t") == "1000"
    assert [argv[1] for argv in pair.calls] == ["--force-stop", "--force-start"]
    # Once more, as after a run that was cut off: nothing but what the agents of addresses see for themselves.
    again = run_module(step_module, steps=one)
    assert again["steps"] == ["addresses-off"] and again["found"] == given["found"]
    assert run_module(step_module, steps=two, found=given["found"])["steps"] == ["addresses-on"]
    refused = run_module(step_module, steps=steps(pair, "hub2", Kind.PROMOTE), found=given["found"])
    assert not refused["changed"]
    pair.two.stop()
    refused = run_module(step_module, steps=steps(pair, "hub2", Kind.PROMOTE), found=given["found"])
    assert refused["failed"] and refused["state"] == "clean" and refused["step"] == "promote"
    assert refused["msg"] == "PostgreSQL on %s is stopped, so this was not done: promote" % pair.two.data
    assert run_module(step_module, steps={"schema": 9})["failed"]


def test_steps_of_a_run_that_still_goes_on_are_waited_for(pair):
    holds, goes = threading.Event(), threading.Event()

    def orphan():
        with perform.alone(pair.one.data, 0):
            holds.set()
            goes.wait(20)

    other = threading.Thread(target=orphan)
    other.start()
    holds.wait(20)
    with pytest.raises(HubError, match="have not come to their end within 0 s"), perform.alone(pair.one.data, 0):
        pass
    began = time.monotonic()
    threading.Timer(0.4, goes.set).start()
    with perform.alone(pair.one.data, 20):
        assert time.monotonic() - began > 0.3
    other.join()
    with perform.alone(None, 0), perform.alone("/nowhere", 0):
        pass


def test_the_list_says_how_long(pair, monkeypatch):
    given = steps(pair, "hub1", Kind.STOP)
    waited = []

    @contextmanager
    def alone(directory, patience):
        waited.append((directory, patience))
        yield

    monkeypatch.setattr(perform, "alone", alone)
    perform.perform_all(steps_from_dict(dict(given, patience=7)), {}, perform.Hub(pair.run))
    assert waited == [(pair.one.data, 7)]


def test_states_and_what_takes_a_switchover_back(pair):
    switch = pair.switch(demote=True)
    back = {item.id: item for item in switchover.back(switch).steps}
    assert (pair.state(pair.one), pair.state(pair.two)) == (State.PRIMARY, State.STANDBY)
    # On a hub where it is so already nothing is done.
    for name in ("undemote", "start-serving", "follow"):
        assert not pair.perform(back[name], {}).changed
    assert pair.perform(back["end-chosen"], {}).changed and pair.state(pair.two) is State.PASSIVE
    assert not pair.perform(back["end-chosen"], {}).changed
    os.unlink(pair.two.data + "/standby.signal")
    assert pair.state(pair.two) is State.UNCLEAR, "the file goes in the middle of a promotion"
    pair.lab.file("hub2/data/standby.signal", "")
    pair.one.kill()
    assert pair.state(pair.one) is State.CRASHED
    pair.lab.file("hub1/data/standby.signal", "")
    assert pair.state(pair.one) is State.UNCLEAR
    os.unlink(pair.one.data + "/standby.signal")
    assert pair.perform(back["start-serving"], {}).changed and pair.state(pair.one) is State.PRIMARY
    pair.one.stop()
    pair.lab.file("hub1/data/standby.signal", "")
    assert pair.state(pair.one) is State.DEMOTED
    with pytest.raises(HubError, match="is stopped, and a standby from now on, so this was not done: start-serving"):
        pair.perform(back["start-serving"], {})
    for name in ("undemote", "start-serving", "follow"):
        assert pair.perform(back[name], {}).changed
    pair.streams()
    pair.lab.directory("empty")
    assert pair.state(SimpleNamespace(data=pair.lab.root + "/empty")) is State.ABSENT


def test_a_server_that_does_not_answer_is_not_touched(pair, monkeypatch):
    """And what it says is told."""
    monkeypatch.setattr(switchover, "WAIT", 0)
    pair.one.sql("ALTER ROLE root NOLOGIN")
    with pytest.raises(HubError, match='role "root" is not permitted to log in') as failed:
        perform.perform_all(Steps(switchover.steps(pair.switch()).steps[2:3]), {}, perform.Hub(pair.run))
    assert failed.value.details["step"] == "stop" and pair.one.pid()
    assert switchover.state_of(execute.ask(pair.switch(), pair)[0]) is State.SILENT


def test_a_stop_that_is_under_way_is_waited_for(pair):
    """A standby that is frozen keeps the primary from ending: it takes no more writes, and says so."""
    back = {item.id: item for item in switchover.back(pair.switch()).steps}
    receiver = int(pair.two.sql("SELECT pid FROM pg_stat_wal_receiver"))
    os.kill(receiver, 19)
    try:
        pair.one.sql("INSERT INTO t VALUES (1)")
        pair.lab.owner(pair.lab.bin + "/pg_ctl", "-D", pair.one.data, "-m", "fast", "-W", "stop")
        wait(lambda: pair.state(pair.one) is State.STOPPING)
        assert is_stopping(pair.one.data), "in any language"
        began = time.monotonic()
        answers = execute.ask(pair.switch(), pair)
        assert [switchover.state_of(answer) for answer in answers] == [State.STOPPING, State.STANDBY]
        assert time.monotonic() - began < switchover.WAIT, "it can be started again, so its end is not waited for"
        assert switchover.after_failure(pair.switch(), *answers).outcome == "back"
        threading.Timer(0.5, os.kill, (receiver, 18)).start()
        assert pair.perform(back["start-serving"], {}).changed and pair.state(pair.one) is State.PRIMARY
    finally:
        try:
            os.kill(receiver, 18)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("lost, outcome", [
    ({"stop": "after"}, "back"), ({"promote": "before"}, "back"), ({"promote": "after"}, "done")])
def test_execute(pair, lost, outcome):
    """Steps without an answer: finished or taken back, and the next run comes to the end."""
    pair.one.sql("INSERT INTO t SELECT generate_series(1, 100)")
    pair.lost = dict(lost)
    report = execute.execute(pair.switch(demote=True), pair)
    assert report.outcome == outcome and report.problems == (), report
    serving = pair.one if outcome == "back" else pair.two
    serving.sql("INSERT INTO t VALUES (101)")
    assert serving.sql("SELECT count(*) FROM t") == "101" and pair.calls[-1][1] == "--force-start"
    if outcome == "back":
        pair.streams()
        assert execute.execute(pair.switch(demote=True), pair) == execute.Report("done")
        assert pair.two.sql("SELECT count(*) FROM t") == "101"


def test_a_standby_that_lacks_rows_is_not_promoted(pair):
    pair.two.sql("SELECT pg_wal_replay_pause()")
    pair.one.sql("INSERT INTO t SELECT generate_series(1, 100)")
    report = execute.execute(pair.switch(), pair)
    assert report.outcome == "back" and "rows would be lost" in report.why
    pair.streams()


def test_a_step_of_a_kind_that_cannot_be_done_here_is_refused():
    hold = Step("hold", "hub1", Kind.HOLD, {"properties": {}, "timeout": 1})
    with pytest.raises(HubError, match="a step of kind hold cannot be done here"):
        perform.perform_all(Steps((hold,)), {}, perform.Hub())


def test_a_cluster_is_told_to_look_away(monkeypatch):
    asked = []

    def converge(run, given, check_mode, wait):
        asked.append((given, check_mode, wait))
        return {"changed": True}

    monkeypatch.setattr(whole, "converge", converge)
    hold = Step("hold", "hub1", Kind.HOLD, {"properties": {"maintenance-mode": "true"}, "timeout": 7})
    assert perform.perform_all(Steps((hold,)), {}, perform.Hub(dry_run=True), whole.ALL)["hold"].changed
    assert asked == [({"properties": {"maintenance-mode": "true"}}, True, 7)]
