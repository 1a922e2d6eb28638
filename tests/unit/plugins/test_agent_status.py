# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hub-ha status: the pair as this hub sees it, in time also when somebody does not answer, and the guard's words."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import sys
import time
from dataclasses import replace

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import leave, questions, status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    CommandMissing,
    CommandTimeout,
    Completed,
    HubError,
    local_runner,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import checks, seen as view
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health.seen import Part, Seen
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import file as pair_file, model
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import status as pg_status
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.evidence import Side
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

TOLD = {"running": True, "version": "1", "phase": "watch", "armed": True, "reason": "", "daemons": {}, "age": 0.5,
        "corosync": {"silent": 0.1, "connected": True}, "postgres": "primary",
        "peer": {"node": "hub2", "guard": True, "absent": None, "heard": 0.2},
        "done": [{"time": 0, "text": "something"}]}
ADDRESSES = ["127.0.0.1", "192.168.100.100"]
FILES = [{"path": path, "size": 9} for path in (checks.PAIR_FILE, checks.AGENT_CONF)]


def text_of(host="hub1"):
    """The pair file's text as the playbook writes it."""
    the_plan = plan.make_plan(pair.running_pair(), pair.settings())
    settings = {"cluster": "c", "user": "hub_ha", "sslmode": "verify-ca", "references": [], "token": 1000}
    return pair_file.pair_file(the_plan, host, settings)


@pytest.fixture(name="written")
def fixture_written():
    """The same, for hub1."""
    return text_of()


def the_pair(host="hub1"):
    return model.from_dict(json.loads(text_of(host)))


def side_of(host, active="hub1"):
    """What the server of *host* says over the replication connection."""
    found = pair.replication_state(active)[host]
    return Side(host, found["system_identifier"], True, host != active, found["timeline"], 50331976)


def healthy(host="hub1", active="hub1", **changes):
    """What *host* sees of a healthy pair, after changes."""
    other = "hub2" if host == "hub1" else "hub1"
    database = dict(pg_status.absent(), **pair.replication_state(active)[host])
    if host != active:
        database.update(replay_bytes=50331976, receiver={"status": "streaming", "sslmode": "verify-ca"})
    guard = dict(TOLD, peer=dict(TOLD["peer"], node=other))
    parts = {"cluster": pair.cluster_state(active), "database": database, "other": side_of(other, active),
             "guard": guard, "units": {"guard": "active", "pacemaker": "active"},
             "addresses": ADDRESSES if host == active else [], "files": FILES}
    return Seen(the_pair(host), **{name: changes.get(name, Part(value, "", 0.1)) for name, value in parts.items()})


def codes(seen):
    return [(item.code, item.host) for item in view.problems(seen)]


def in_cluster(change, active="hub1"):
    cluster = pair.cluster_state(active)
    change(cluster)
    return Part(cluster, "", 0.1)


def lost(name):
    """As pacemaker shows a hub that is off, seen by the one that serves."""
    def change(cluster):
        node = next(item for item in cluster["nodes"] if item["name"] == name)
        node.update(online=False, attributes={})
        instances = cluster["resources"]["cfpgsql"]["instances"]
        instances[:] = [item for item in instances if item["node"] != name]
        for link in cluster["links"]:
            for peer in link["peers"].values():
                peer["connected"] = False
    return change


# --- the pair ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["hub1", "hub2"])
@pytest.mark.parametrize("active", ["hub1", "hub2"])
def test_a_healthy_pair_seen_by_either_hub(host, active):
    seen = healthy(host, active)
    assert codes(seen) == []
    found = status.answer(seen, Part(None, "", 0.0), 1000.0)
    assert found["healthy"] and found["schema"] == 2 and found["hub"] == host and found["active"] == active
    assert found["time"] == 1000.0 and found["problems"] == [] and found["age"] == 0.5 and found["running"]
    assert all(part["known"] and part["age"] is not None for part in found["parts"].values())
    assert found["other_guard_age"] == 0.7, "what is heard of the other hub carries its age"
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found)), "plain values only"
    for word in ("%s  ACTIVE" % active, "PostgreSQL primary", "PostgreSQL standby", "WAL, TLS", "fencing NONE"):
        assert word in found["picture"]
    assert "? behind" not in found["picture"] and "NOT ALL UP" not in found["picture"]
    assert status.text(found).endswith("The pair is healthy.")


AWAY = Part(why="no connection to port 5432 of 192.168.10.11")
SILENT = Part(why="it takes connections and says nothing")
NOBODY = Part(why="no answer within 0.8 s")


@pytest.mark.parametrize("other", [AWAY, SILENT, NOBODY], ids=["off", "frozen", "half open"])
def test_the_other_hub_is_lost(other):
    """What follows from that is not told again, and the picture has a question mark for what is not known."""
    seen = healthy(cluster=in_cluster(lost("hub2")), other=other)
    assert codes(seen) == [("HUB_DOWN", "hub2")]
    assert "PostgreSQL ?" in status.answer(seen, Part(), 0.0)["picture"]


@pytest.mark.parametrize("other", [AWAY, SILENT])
def test_the_other_server_is_lost_and_pacemaker_has_not_noticed(other):
    found = view.problems(healthy(other=other))
    assert [(item.code, item.host) for item in found] == [("PEER_UNKNOWN", "hub2")]
    assert other.why in found[0].problem and "192.168" in found[0].remedy


@pytest.mark.parametrize("host", ["hub1", "hub2"])
def test_pacemaker_hangs(host):
    seen = healthy(host, cluster=Part(why="crm_mon --one-shot did not end within 0.6 s"))
    found = status.answer(seen, Part(None), 0.0)
    assert [item["code"] for item in found["problems"]] == ["CLUSTER_UNKNOWN"] and not found["healthy"]
    assert found["active"] == "hub1", "the servers say so"
    assert "fencing ?" in found["picture"] and "links ?" in found["picture"] and "passive" not in found["picture"]
    assert found["asked"] is False and "pacemaker    does not answer" in status.text(found)
    assert "not known    cluster (crm_mon --one-shot did not end within 0.6 s)" in status.text(found)


def test_nothing_answers():
    nothing = {name: NOBODY for name in ("cluster", "database", "other", "guard", "units", "addresses", "files")}
    found = status.answer(healthy(**nothing), NOBODY, 0.0)
    assert [item["code"] for item in found["problems"]] == [
        "FILES_UNKNOWN", "GUARD_DEAD", "CLUSTER_UNKNOWN", "ADDRESSES_UNKNOWN", "DATABASE_UNKNOWN", "PEER_UNKNOWN"]
    assert found["active"] is None and not found["running"] and "ACTIVE" not in found["picture"]
    assert not any(part["known"] or part["age"] is not None for part in found["parts"].values())


@pytest.mark.parametrize("name, code", [
    ("database", "DATABASE_UNKNOWN"), ("addresses", "ADDRESSES_UNKNOWN"), ("files", "FILES_UNKNOWN"),
    ("other", "PEER_UNKNOWN"), ("cluster", "CLUSTER_UNKNOWN")])
def test_what_is_not_known_is_not_healthy(name, code):
    assert [item[0] for item in codes(healthy(**{name: NOBODY}))] == [code]


def test_where_systemd_does_not_answer_the_guards_own_word_counts():
    assert codes(healthy(units=NOBODY)) == []
    dead = Part({"running": False, "age": 60.0}, "", 60.0)
    assert codes(healthy(units=NOBODY, guard=dead)) == [("GUARD_DEAD", "hub1")]


@pytest.mark.parametrize("host", ["hub1", "hub2"])
def test_forked(host):
    def change(cluster):
        cluster["nodes"][1]["attributes"] = {"hub_ha-forked": "timeline=1 commits=7", "cfpgsql-status": "STOP"}
        del cluster["resources"]["cfpgsql"]["instances"][1]
    changes = {"cluster": in_cluster(change)}
    if host == "hub2":
        changes["database"] = Part(dict(pg_status.absent(), role="stopped"), "", 0.1)
    else:
        changes["database"] = Part(dict(healthy().database.value, senders=[]), "", 0.1)
        changes["other"] = AWAY
    assert codes(healthy(host, **changes)) == [("FORKED", "hub2")]
    told = status.answer(healthy(host, **changes), Part(None), 0.0)
    assert told["forked"] == ("timeline=1 commits=7" if host == "hub2" else None) and told["asked"] is True


@pytest.mark.parametrize("cluster", [Part(pair.cluster_state(), "", 0.1), NOBODY])
@pytest.mark.parametrize("host, other", [("hub1", "hub2"), ("hub2", "hub1")])
def test_two_primaries(host, other, cluster):
    database = dict(pg_status.absent(), **dict(pair.replication_state(host)[host], senders=[]))
    seen = healthy(host, cluster=cluster, database=Part(database, "", 0.1),
                   other=Part(side_of(other, active=other), "", 0.1))
    found = view.problems(seen)
    assert ("TWO_PRIMARIES", "all") in [(item.code, item.host) for item in found]


def test_another_database():
    other = replace(side_of("hub2"), system_identifier="1")
    assert codes(healthy(other=Part(other, "", 0.1))) == [("OTHER_SYSTEM", "all")]


@pytest.mark.parametrize("host", ["hub1", "hub2"])
def test_a_switch_of_the_role_on_its_way(host):
    """Pacemaker still calls hub1 promoted; the servers have changed places."""
    seen = healthy(host, "hub2", cluster=Part(pair.cluster_state("hub1"), "", 0.1))
    found = [item for item in view.problems(seen) if item.code == "ROLES_MOVED"]
    assert found and all("upgrade-to-ha" not in item.remedy and "hub-ha status" in item.remedy for item in found)


def test_what_only_one_hub_knows_is_its_own_to_say():
    paused = Part(dict(healthy("hub2").database.value, replay_paused=True), "", 0.1)
    assert codes(healthy("hub2", database=paused)) == [("REPLAY_PAUSED", "hub2")]
    cut = Part(dict(healthy().database.value, slots=[]), "", 0.1)
    assert codes(healthy(database=cut)) == [("SLOT_MISSING", "hub1")]
    failing = Part(dict(healthy().database.value, archiver={"failing": True}), "", 0.1)
    assert codes(healthy(database=failing)) == [("ARCHIVER_FAILING", "hub1")]


def told_of_settings(host, **values):
    """What the server of *host* says, with its settings."""
    settings = tuple((name, str(values.get(name, value))) for name, value in pair.NOT_LOWER.items())
    return Part(replace(side_of(host), settings=settings), "", 0.1)


@pytest.mark.parametrize("host, other, own", [("hub1", 99, 100), ("hub2", 100, 99)])
def test_a_setting_that_is_lower_on_the_standby_is_seen_by_either_hub(host, other, own):
    peer = "hub2" if host == "hub1" else "hub1"
    database = Part(dict(healthy(host).database.value, not_lower=dict(pair.NOT_LOWER, max_connections=own)), "", 0.1)
    seen = healthy(host, database=database, other=told_of_settings(peer, max_connections=other))
    assert codes(seen) == [("STANDBY_SETTING_LOWER", "hub2")]
    assert "max_connections is 99, lower than 100 on hub1" in view.problems(seen)[0].problem
    assert codes(healthy(host, other=told_of_settings(peer))) == []


def test_replay_that_a_setting_has_paused_is_not_to_be_resumed():
    database = Part(dict(healthy("hub2").database.value, replay_paused=True), "", 0.1)
    seen = healthy("hub2", database=database, other=told_of_settings("hub1", max_connections=500))
    assert codes(seen) == [("REPLAY_PAUSED", "hub2"), ("STANDBY_SETTING_LOWER", "hub2")]
    assert "Do not resume it" in view.problems(seen)[0].remedy


def test_an_address_that_pacemaker_only_takes_for_there():
    assert codes(healthy(addresses=Part(["127.0.0.1"], "", 0.1))) == [("ADDRESS_NOT_WITH_PRIMARY", "hub1")]


def test_the_other_guard_is_gone_before_pacemaker_knows():
    guard = dict(TOLD, peer=dict(TOLD["peer"], guard=False))
    assert codes(healthy(guard=Part(guard, "", 0.1))) == [("GUARD_GONE", "hub2")]

    def said(cluster):
        cluster["nodes"][1]["attributes"]["hub_ha-guard"] = "gone"
    assert codes(healthy(guard=Part(guard, "", 0.1), cluster=in_cluster(said))) == [("GUARD_GONE", "hub2")], "once"


def test_pacemaker_does_not_run_here():
    """Said of this hub, also where it is the passive one."""
    down = Part({"running": False, "reason": "not installed", "nodes": [], "resources": {}}, "", 0.1)
    assert codes(healthy("hub2", cluster=down)) == [("CLUSTER_DOWN", "hub2")]


# --- in time ----------------------------------------------------------------------------------------------------------

def seconds_of(call):
    began = time.monotonic()
    result = call()
    return result, time.monotonic() - began


def test_whoever_does_not_answer_is_not_waited_for():
    done = []

    def slow():
        time.sleep(3)
        done.append(True)

    def broken():
        raise HubError("it is\nbroken")

    asked = {"quick": lambda: 1, "none": lambda: None, "broken": broken, "odd": lambda: {}["x"], "one": slow,
             "two": slow}
    found, took = seconds_of(lambda: questions.ask_all(asked, 0.4))
    assert 0.4 <= took < 0.8 and not done
    assert found["quick"].value == 1 and found["none"].known and 0.3 < found["quick"].age <= took
    assert (found["broken"].why, found["broken"].age) == ("it is broken", None) and found["odd"].why == "KeyError: 'x'"
    assert found["one"].why == found["two"].why == "no answer within 0.4 s" and found["one"].age is None
    found, took = seconds_of(lambda: questions.ask_all({"quick": lambda: 1}, 5.0))
    assert took < 1 and found["quick"].value == 1


def test_a_program_ends_at_the_deadline_with_all_that_it_started(tmp_path):
    mark = tmp_path / "mark"
    run = questions.Runner(0.3)
    code = "import subprocess, sys; subprocess.run(['sh', '-c', 'sleep 1; touch %s'])" % mark
    (_none, took) = seconds_of(lambda: pytest.raises(CommandTimeout, run, [sys.executable, "-c", code], timeout=60))
    assert took < 0.8
    with pytest.raises(CommandTimeout):
        run(["true"])
    time.sleep(1.2)
    assert not mark.exists()


def test_the_programs_of_the_cluster_are_begun_at_once(monkeypatch):
    """All that observe() runs, and nothing else."""
    ran = []

    class Recorder:
        def __init__(self, run, commands):
            self.commands = commands

        def __call__(self, argv, **more):
            ran.append(tuple(argv))
            told = {"crm_mon": "<pacemaker-result/>", "cibadmin": "<cib><configuration/></cib>"}
            return Completed(argv, 0, told.get(argv[0], ""), "")

    monkeypatch.setattr(status, "Ahead", Recorder)
    assert status.observed(None)["running"] is True
    assert tuple(ran) == status.CLUSTER


def test_a_program_that_was_begun_is_waited_for_and_its_error_raised():
    began = []

    def run(argv, **more):
        began.append((tuple(argv), more))
        time.sleep(0.2)
        if argv[0] == "missing":
            raise CommandMissing("missing")
        return Completed(argv, 1, argv[0], "")

    ahead = questions.Ahead(run, [("a", "x"), ("b",), ("missing",)])
    (results, took) = seconds_of(lambda: [ahead(["a", "x"], env={}, check=False).out, ahead(["b"]).out])
    assert results == ["a", "b"] and took < 0.35
    with pytest.raises(CommandMissing):
        ahead(["missing"])
    assert ahead(["a", "x"], timeout=1).rc == 1 and began[-1] == (("a", "x"), {"timeout": 1}), "once only"


def test_until_then_it_is_a_runner_like_any_other():
    run = questions.Runner(20.0)
    assert run(["cat"], stdin="x").out == "x"
    assert run(["sh", "-c", "echo $A; exit 3"], env={"A": "1"}, check=False)[1:3] == (3, "1\n")
    with pytest.raises(CommandError):
        run(["false"])
    with pytest.raises(CommandMissing):
        run(["no-such-program"])
    assert run(["true"]).argv == ["true"]


@pytest.mark.parametrize("hangs", [["crm_mon"], ["crm_mon", "runuser", "systemctl", "ip"]], ids=["pacemaker", "all"])
def test_the_answer_comes_in_time(monkeypatch, hangs):
    """Whatever hangs, with the real questions; programs that hang are those of this host."""
    reached = []
    monkeypatch.setattr(leave, "taking", lambda hosts, port, connect: reached.append(hosts) or list(hosts))
    monkeypatch.setattr(leave.look, "remote_side", lambda run, *more: run(["runuser", "x"]) and side_of("hub2"))

    def run(argv, **more):
        if any(item in argv[3] for item in hangs):
            return local_runner(argv[:3] + ["sleep", "5"], **more)
        return Completed(argv, 0, '[{"addr_info": [{"local": "10.0.0.1"}]}]' if "ip" in argv else "", "")

    monkeypatch.setattr(questions, "which", lambda name: "/bin/" + name)
    (seen, idle), took = seconds_of(lambda: status.look(the_pair(), run, 0.7))
    assert took < 1.0 and reached == [the_pair().peer_addresses]
    assert "did not end within" in seen.cluster.why and idle.known and not seen.guard.value["running"]
    assert seen.addresses.known == ("ip" not in hangs)
    assert seen.database.value["role"] == "absent"
    assert {"CLUSTER_UNKNOWN", "GUARD_DEAD"} <= {item.code for item in view.problems(seen)}


@pytest.mark.parametrize("peer, words", [
    (leave.Peer(False), "no connection to port 5432 of 192.168.10.11 or 192.168.100.11"),
    (leave.Peer(True), "it takes connections and says nothing"), (leave.Peer(True, None, "FATAL: no"), "FATAL: no")])
def test_what_is_heard_of_a_server_that_does_not_answer(monkeypatch, peer, words):
    monkeypatch.setattr(leave, "ask_peer", lambda *more: peer)
    with pytest.raises(HubError) as error:
        status.ask_other(the_pair(), local_runner, lambda: 0.5)
    assert all(word in error.value.message for word in words.split(" or "))


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql")
def test_a_frozen_server_is_given_up_in_time_and_nothing_is_left():
    """As the kernel of a frozen hub does: it takes the connection, and nobody ever answers. With the real psql."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = replace(the_pair(), peer_addresses=("127.0.0.1",), port=server.getsockname()[1], bin_dir="/nonexistent",
                       db_user=pwd.getpwuid(os.getuid()).pw_name)
        run = questions.Runner(0.5)
        asked = {"other": lambda: status.ask_other(here, run, run.left)}
        found, took = seconds_of(lambda: questions.ask_all(asked, 0.7))
        assert took < 0.9 and found["other"].why in ("it takes connections and says nothing", "no answer within 0.7 s")
        time.sleep(0.3)
        port = ("port=%d" % here.port).encode()
        assert [pid for pid in os.listdir("/proc") if pid.isdigit() and port in command_line(pid)] == []


def command_line(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as stream:
            words = stream.read()
    except OSError:
        return b""
    return words


def test_a_host_that_takes_no_connection_is_given_up_soon(monkeypatch):
    limits = []
    monkeypatch.setattr(status.socket, "create_connection", lambda address, limit: limits.append(limit) or 1 / 0)

    def asks(_pair, _run, _timeout, reach, settings):
        assert settings == pg_status.NOT_LOWER
        with pytest.raises(ZeroDivisionError):
            reach(["10.0.0.1"], 5432)
        return leave.Peer(True, side_of("hub2"))
    monkeypatch.setattr(leave, "ask_peer", asks)
    assert status.ask_other(the_pair(), local_runner, lambda: 0.5) == side_of("hub2")
    assert limits == [status.TAKES] and status.TAKES < status.ANSWER / 2


def test_the_time_of_the_start_counts(monkeypatch):
    """1 s is promised from the start of the program on."""
    limits = []
    monkeypatch.setattr(status, "ask_all", lambda asked, limit: limits.append(limit) or {
        name: NOBODY for name in asked})
    for since in (0.2, 5.0):
        monkeypatch.setattr(status, "since_start", lambda since=since: since)
        status.look(the_pair())
    assert limits == [pytest.approx(0.75), status.LEAST]
    monkeypatch.undo()
    assert 0 < status.since_start() < 36000


def test_what_systemd_and_the_network_say():
    units = "Id=%s\nActiveState=active\n\nId=pacemaker.service\nActiveState=inactive\n" % checks.GUARD
    found = status.unit_states(lambda argv: Completed(argv, 0, units, ""))
    assert found == {"guard": "active", "pacemaker": "inactive"}
    with pytest.raises(HubError):
        status.own_addresses(lambda argv: Completed(argv, 0, "no JSON", ""))


# --- the program ------------------------------------------------------------------------------------------------------

def told(monkeypatch, capsys, seen, *argv, idle=None):
    """(exit status, what is printed) of the program."""
    monkeypatch.setattr(status, "pair_file", lambda: (seen.pair, ""))
    monkeypatch.setattr(status, "look", lambda the_pair: (seen, Part(idle)))
    return status.main(list(argv), "1"), capsys.readouterr().out


def test_exit_status(monkeypatch, capsys):
    dead = Part({"running": False, "age": 3}, "", 3.0)
    for seen, rc in ((healthy(), 0), (healthy(other=AWAY), 1), (healthy(guard=dead), 3), (healthy(guard=NOBODY), 3)):
        assert told(monkeypatch, capsys, seen)[0] == told(monkeypatch, capsys, seen, "--json")[0] == rc
    assert status.main(["--jsn"], "1") == 2 and "usage" in capsys.readouterr().err


def test_no_pair(monkeypatch, capsys):
    """The guard may run on with what it has read before."""
    monkeypatch.setattr(status, "read", lambda: dict(TOLD))
    monkeypatch.setattr(status, "pair_file", lambda: (None, "it is cut"))
    assert status.main(["--json"], "1") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["problems"][0]["code"] == "PAIR_FILE" and found["pair_file"] == "it is cut" and not found["healthy"]
    assert found["running"] and found["armed"], "so that the playbook can judge the guard all the same"
    assert status.main([], "1") == 2
    assert "it is cut: playbooks/upgrade-to-ha.yml writes it (PAIR_FILE)" in capsys.readouterr().out


def test_problems_for_people(monkeypatch, capsys):
    rc, said = told(monkeypatch, capsys, healthy(other=AWAY))
    assert rc == 1 and "hub2: how PostgreSQL on hub2 is, is not known: no connection" in said
    assert "(PEER_UNKNOWN)" in said and "hub-ha explain CODE" in said and "healthy" not in said
    assert "other hub    hub2, guard there" in said and "something" in said


def test_a_command_for_the_controller_means_this_pair():
    seen = healthy(files=Part([], "", 0.1))
    seen = replace(seen, pair=replace(seen.pair, run_options=" -e hub_ha_hubs_group=paris"))
    found = [item["remedy"] for item in status.answer(seen, Part(None), 0.0)["problems"]]
    assert any(text.endswith("playbooks/upgrade-to-ha.yml -e hub_ha_hubs_group=paris") for text in found), found


def test_colour_on_a_terminal_only(monkeypatch, capsys):
    assert "\033" not in told(monkeypatch, capsys, healthy(other=AWAY))[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\033[31mPEER_UNKNOWN\033[0m" in told(monkeypatch, capsys, healthy(other=AWAY))[1]
    assert "\033[32mThe pair is healthy.\033[0m" in told(monkeypatch, capsys, healthy())[1]
    assert "\033" not in told(monkeypatch, capsys, healthy(other=AWAY), "--json")[1]


@pytest.mark.parametrize("cut, words", [
    (lambda text: text, ""), (lambda text: text[:200], "cannot be read: "), (lambda text: "", "cannot be read: "),
    (lambda text: "[]", "holds no mapping"), (lambda text: text.replace('"peer":', '"other":'), "peer is None")])
def test_what_is_wrong_with_the_file_of_the_pair(tmp_path, written, cut, words):
    path = tmp_path / "pair.json"
    path.write_text(cut(written), encoding="utf-8")
    known, found = status.pair_file(str(path))
    assert (words in found) if words else found == "" and known.node == "hub1"
    assert (known is None) == bool(words)
    assert "upgrade-to-ha" not in found, "what to do is said by those who ask"


def test_a_file_that_is_missing(tmp_path):
    assert status.pair_file(str(tmp_path / "none")) == (None, "%s is missing" % (tmp_path / "none"))


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("known, words", [
    ({"idle": "the cluster is in maintenance mode"}, ["NO FAILOVER", "the cluster is in maintenance mode"]),
    ({"hub_ha-forked": "timeline=3 commits=1"}, ["stays stopped here: timeline=3 commits=1", "Clone it anew",
                                                 "(FORKED)"]),
    ({"hub_ha-gave_up": "PostgreSQL_here_crashed"}, ["PostgreSQL here crashed", "hub-ha retry", "(RESOURCE_GIVEN_UP)"]),
    ({"asked": False}, ["pacemaker    does not answer", "not known"]), ({}, [])])
def test_what_keeps_failover_or_the_database_off_is_said(monkeypatch, capsys, running, known, words):
    """Also where the guard does not run."""
    def change(cluster):
        cluster["nodes"][0]["attributes"].update(
            {name: value for name, value in known.items() if name.startswith("hub_ha-")})
    changes = {"cluster": NOBODY if "asked" in known else in_cluster(change)}
    if not running:
        changes["guard"] = Part({"running": False, "age": 3}, "", 3.0)
    seen = healthy(**changes)
    said = told(monkeypatch, capsys, seen, idle=known.get("idle"))[1]
    assert all(word in said for word in words)
    assert words or not any(word in said for word in ("NO FAILOVER", "forked", "given up"))
    found = json.loads(told(monkeypatch, capsys, seen, "--json", idle=known.get("idle"))[1])
    assert found["idle"] == known.get("idle") and found["asked"] is ("asked" not in known)
    assert found["forked"] == known.get("hub_ha-forked") and found["gave_up"] == known.get("hub_ha-gave_up")


def test_a_hub_that_is_not_in_the_cluster_has_not_asked():
    """What pacemaker keeps of it there is not known."""
    for change in (lambda cluster: cluster["nodes"][0].update(online=False), lambda cluster: cluster["nodes"].pop(0)):
        assert status.kept_off("hub1", in_cluster(change)) == {"asked": False, "forked": None, "gave_up": None}
