# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-in for cf-hub: what cf-net's words mean, who is active, quoting, frames, figures."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

import pytest

from lab import collect, paths
from lab.collector import cfnet, client, database, hub, wire

KEY = "MD5=33495e5d10bbed77686adc7280db5b8c"
OTHER = "MD5=19292a300891f236f2eb44d5c8275797"
REPORT = json.dumps({"hostkey": KEY, "at": 1795411716.799}).encode()
# As cf-net 3.24.1 -v has written them.
BEGIN = """ verbose: Connecting to host 192.168.100.21, port 5308 as address 192.168.100.21
 verbose: Connected to host 192.168.100.21 address 192.168.100.21 port 5308 (socket descriptor 3)
 verbose: TLS session established, checking trust...
"""
TRUSTED = BEGIN + """ verbose: Received public key compares equal to the one we have stored
 verbose: Server is TRUSTED, received key '%s' MATCHES stored one.
"""
HUNG_UP = TRUSTED % KEY + """   error: Connection unexpectedly closed (SSL_read): (0 SSL_ERROR_SSL) unexpected eof
   error: Connection was hung up while receiving line:
   error: Connection was hung up during identification! (3)
 verbose: Connection to 192.168.100.21 is closed
Failed to connect to '192.168.100.21'
"""
NEW_KEY = BEGIN + """ verbose: Received key '{0}' not found in ppkeys
  notice: Trusting new key: {0}
 verbose: Saving public key to file '/run/lab-collector/t/ppkeys/root-{0}.pub'
 verbose: Connection to 192.168.100.21 is closed
"""
REFUSED = """ verbose: Connected to host 192.168.0.21 address 192.168.0.21 port 5308 (socket descriptor 3)
 verbose: Attempt to establish TLS connection failed: (-1 SSL_ERROR_SSL) unexpected eof while reading Broken pipe
   error: Failed to establish TLS connection: underlying network error (Broken pipe)
 verbose: Connection to 192.168.0.21 is closed
Failed to connect to '192.168.0.21'
"""
NOBODY = """ verbose: Waiting to connect...
    info: Failed to connect to server: %s
 verbose: Unable to connect to host 192.168.100.22 port 5308 (socket descriptor -1)
    info: No server is responding on port: 5308
Failed to connect to '192.168.100.22'
"""
NO_FILE = TRUSTED % KEY + """ warning: Could not stat remote file 192.168.100.21:data/lab_report.json, response: BAD
Could not stat: 'data/lab_report.json'
"""


@pytest.mark.parametrize("output, content, timed_out, outcome, words", [
    (TRUSTED % KEY, REPORT, False, "ok", ""),
    (HUNG_UP, None, False, "auth", "does not trust this hub: Connection was hung up during identification! (3)"),
    (NEW_KEY.format(OTHER), REPORT, False, "auth", "the key %s that answers" % OTHER),
    (NEW_KEY.format(KEY), REPORT, False, "auth", "the key %s that answers" % KEY),
    (TRUSTED % OTHER, REPORT, False, "auth", "another host answers: its key is %s" % OTHER),
    (TRUSTED % KEY, json.dumps({"hostkey": OTHER, "at": 1}).encode(), False, "auth", "names the key %s" % OTHER),
    (REFUSED, None, False, "refused", "Failed to establish TLS connection"),
    (NOBODY % "Connection refused", None, False, "unreachable", "Failed to connect to server: Connection refused"),
    (NOBODY % "No route to host", None, False, "unreachable", "No route to host"),
    ("", None, True, "unreachable", "no answer in time"),
    (TRUSTED % KEY, None, True, "other", "no report in time"),
    (NO_FILE, None, False, "other", "no report there"),
    (TRUSTED % KEY, None, False, "other", "no report there"),
    (TRUSTED % KEY, b"{", False, "other", "no JSON"),
    (TRUSTED % KEY, b"[]", False, "other", "lacks"),
    (TRUSTED % KEY, b" " * (cfnet.MOST + 1), False, "other", "longer than"),
    ("error: cf-net cannot be run: [Errno 2]", None, False, "other", "cannot be run"),
    ("", REPORT, False, "other", "said nothing"),
], ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "")
def test_cf_nets_words_decide_and_nobody_is_believed_whose_key_is_not_the_clients(output, content, timed_out, outcome,
                                                                                  words):
    found = cfnet.classify(output, KEY, content, timed_out)
    assert found[0] == outcome and words in found[1]
    assert found[0] in cfnet.OUTCOMES


@pytest.mark.parametrize("text, good", [
    (KEY, True), ("SHA=" + "a" * 64, True), ("", False), (None, False), ("MD5=../../etc/passwd", False),
    (KEY + "\n", False), ("md5=" + "a" * 32, False)])
def test_a_key_is_a_digest_and_nothing_else(text, good):
    assert cfnet.is_key(text) is good


def test_a_fetch_has_a_work_directory_with_the_hubs_keys_and_one_more(tmp_path, monkeypatch):
    monkeypatch.setattr(cfnet, "SCRATCH", str(tmp_path / "scratch"))
    keys = tmp_path / "work" / "ppkeys"
    keys.mkdir(parents=True)
    for name in ("localhost.priv", "localhost.pub", "root-%s.pub" % KEY, "root-%s.pub" % OTHER):
        (keys / name).write_text(name, encoding="utf-8")
    folder = tmp_path / cfnet.workdir(KEY, str(tmp_path / "work"))
    assert sorted(path.name for path in (folder / "ppkeys").iterdir()) == [
        "localhost.priv", "localhost.pub", "root-%s.pub" % KEY]
    assert (folder / "ppkeys" / "localhost.priv").is_symlink()
    assert cfnet.workdir("MD5=" + "0" * 32, str(tmp_path / "work")) is None
    assert cfnet.workdir("../root-%s" % KEY, str(tmp_path / "work")) is None


def test_a_client_whose_key_the_hub_has_not_got_is_not_even_asked(tmp_path):
    got = cfnet.fetch("192.168.100.21", KEY, work=str(tmp_path))
    assert got["outcome"] == "auth" and "has not got the client's key" in got["message"] and got["report"] is None


@pytest.mark.parametrize("in_recovery, pacemaker, status, ha_cfg, active", [
    (None, True, "PRI", True, False),
    (True, True, "HS:async", True, False),
    (True, False, None, False, False),
    (False, False, None, False, True),
    (False, True, "PRI", True, True),
    (False, True, "PRI", False, True),        # while the upgrade is under way
    (False, True, None, False, True),         # packages are there, the cluster is not
    (False, True, None, True, False),         # one of a pair whose pacemaker is silent
    (False, True, "HS:alone", False, False),
    (False, True, "STOP", True, False),
])
def test_only_the_active_hub_collects(in_recovery, pacemaker, status, ha_cfg, active):
    found, why = hub.decide(in_recovery, pacemaker, status, ha_cfg)
    assert found is active and why


def test_a_round_counts_every_outcome():
    got = {"bytes": 1, "message": "", "report": None}
    rows = [hub.row({"hostkey": KEY}, "hub1", "pull", dict(got, outcome=outcome), 9)
            for outcome in ("ok", "ok", "auth", "unreachable")]
    known = hub.figures(3, 1, 100.0, 1.23456, rows)
    assert known == {"activation": 3, "round": 1, "at": 100.0, "seconds": 1.235, "clients": 4, "ok": 2, "auth": 1,
                     "refused": 0, "unreachable": 1, "other": 0}


def test_no_value_becomes_part_of_a_statement():
    evil = "'); DROP TABLE hosts; -- \\! rm -rf / \n\\q \x00 ü € :'x' $$ %s"
    said = database.collected([{"hostkey": evil, "message": evil, "report": {evil: [evil, 1, None, True]}}])
    held = re.search(r"json_to_recordset\('((?:[^']|'')*)'\) AS r", said)
    assert held and said.count("DROP TABLE") == 4
    assert "'" not in (said[:held.start(1)] + said[held.end(1):]).replace("('", "").replace("')", "")
    back = json.loads(held.group(1).replace("''", "'"))
    assert back[0]["message"] == evil.replace("\n", "?").replace("\x00", "?").replace("ü", "?").replace("€", "?")
    assert said.isascii() and "\\u" not in said


def test_numbers_that_json_has_not_got_are_refused():
    with pytest.raises(ValueError):
        database.literal([float("nan")])


def test_the_tables_know_every_outcome():
    assert "(%s)" % ", ".join("'%s'" % outcome for outcome in cfnet.OUTCOMES) in database.TABLES
    assert all(" %s int NOT NULL" % outcome in database.TABLES for outcome in cfnet.OUTCOMES)


@pytest.mark.parametrize("text, address", [
    ("192.168.100.10\n", "192.168.100.10"), ("hub1:5308", "hub1"), ("[fd00::1]:5308\n", "fd00::1"),
    ("fd00::1", "fd00::1"), ("", None), ("\n", None)])
def test_the_hubs_address_is_that_of_policy_server_dat(text, address):
    assert client.hub_address(text) == address


@pytest.mark.parametrize("validated, policy", [('{"timestamp": 17}', 17), ("", None), ("[]", None), ("{", None)])
def test_a_report_names_its_host_and_its_policy(validated, policy):
    known = json.loads(client.report(KEY, "client1", 5.5, validated))
    assert (known["hostkey"], known["hostname"], known["at"], known["policy"]) == (KEY, "client1", 5.5, policy)
    assert "stand-in" in known["what"]
    assert cfnet.check_report(json.dumps(known).encode(), KEY) == ("ok", "")
    assert cfnet.check_report(json.dumps(known).encode(), OTHER)[0] == "auth"


def test_frames_come_whole_or_not_at_all():
    reader = wire.Reader()
    whole = wire.frame(wire.HELLO, {"hostkey": KEY}) + wire.frame(wire.DATA, b"\x00" * 300) + wire.frame(wire.END)
    found = []
    for at in range(0, len(whole), 7):
        reader.feed(whole[at:at + 7])
        each = reader.next()
        while each:
            found.append(each)
            each = reader.next()
    assert [kind for kind, _body in found] == [wire.HELLO, wire.DATA, wire.END]
    assert wire.decode(found[0][1]) == {"hostkey": KEY} and len(found[1][1]) == 300


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"D\xff\xff\xff\xff", b"Z\x00\x00\x00\x00"])
def test_other_protocols_are_refused(data):
    reader = wire.Reader()
    reader.feed(data)
    with pytest.raises(wire.Broken):
        reader.next()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_frame_that_should_hold_json_holds_it(body):
    with pytest.raises(wire.Broken):
        wire.decode(body)


def test_a_call_carries_bytes_both_ways_and_the_result_at_the_end():
    """hub side <-> framed connection <-> client side, with an echo in the place of cf-serverd."""
    hub_end, client_end = socket.socketpair()
    cf_net, hub_raw = socket.socketpair()
    echo, client_raw = socket.socketpair()
    deadline = time.monotonic() + 10

    def serverd():
        with echo:
            data = echo.recv(1000)
            while data:
                echo.sendall(data.upper())
                data = echo.recv(1000)

    def hub_side():
        with hub_end, hub_raw:
            assert wire.relay(hub_end, wire.Reader(), hub_raw, deadline, to_the_result=False) is None
            wire.finish(hub_end, {"outcome": "ok"})

    threads = [threading.Thread(target=work, daemon=True) for work in (serverd, hub_side)]
    for thread in threads:
        thread.start()

    def talk():
        with cf_net:
            cf_net.sendall(b"hello")
            assert cf_net.recv(100) == b"HELLO"

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    with client_end, client_raw:
        kind, body = wire.relay(client_end, wire.Reader(), client_raw, deadline, to_the_result=True)
    assert (kind, wire.decode(body)) == (wire.RESULT, {"outcome": "ok"})
    for thread in [*threads, talker]:
        thread.join(5)
        assert not thread.is_alive()


def test_a_call_ends_when_the_other_side_hangs_up_or_time_is_over():
    near, far = socket.socketpair()
    raw, other = socket.socketpair()
    with near, raw, other:
        with far, pytest.raises(wire.Broken, match="no end in time"):
            wire.relay(near, wire.Reader(), raw, time.monotonic() - 1, to_the_result=True)
        with pytest.raises(wire.Broken, match="hung up"):
            wire.relay(near, wire.Reader(), raw, time.monotonic() + 5, to_the_result=True)


def known_tables():
    def row(hostkey, name, direction, outcome, times, last_at, message=""):
        return {"hostkey": hostkey, "hub": name, "direction": direction, "outcome": outcome, "times": times,
                "last_at": last_at, "bytes": 7, "message": message}

    def a_round(activation, number, good):
        return dict(dict.fromkeys(cfnet.OUTCOMES, 0), activation=activation, round=number, at=100.0 + number,
                    seconds=0.4, clients=2, ok=good, auth=2 - good)

    return {
        "clients": [{"hostkey": KEY, "hostname": "client1", "ipaddress": "192.168.100.21", "registered": "x"},
                    {"hostkey": OTHER, "hostname": "client3", "ipaddress": "192.168.100.23", "registered": "x"}],
        "collected": [row(KEY, "hub1", "pull", "ok", 50, 200.0), row(KEY, "hub2", "pull", "ok", 6, 300.0),
                      row(KEY, "hub1", "call", "ok", 1, 190.0),
                      row(KEY, "hub1", "pull", "unreachable", 2, 250.0, "gone"),
                      row(OTHER, "hub2", "pull", "auth", 5, 310.0, "no trust")],
        "activations": [{"id": 1, "hub": "hub1", "at": 100.0, "why": "a single hub"},
                        {"id": 34, "hub": "hub2", "at": 290.0, "why": "cfpgsql-status is PRI"}],
        "rounds": [a_round(1, 1, 2), a_round(1, 40, 2), a_round(34, 1, 1)]}


def test_the_report_tells_who_was_collected_by_whom_and_what_each_first_round_brought():
    known = collect.summary(known_tables())
    first, second = known["clients"]
    assert first["last_report"] == {"at": 300.0, "hub": "hub2", "direction": "pull", "bytes": 7}
    assert first["collected"] == {"pull": 56, "call": 1} and first["by_hub"] == {"hub1": 51, "hub2": 6}
    assert (first["auth_failures"], first["unreachable"]) == (0, 2)
    assert second["last_report"] is None and second["auth_failures"] == 5
    assert second["last_failure"]["message"] == "no trust"
    assert [(each["hub"], each["first_round"]["ok"], each["last_round"]["round"]) for each in known["activations"]] == [
        ("hub1", 2, 40), ("hub2", 1, 1)]
    said = collect.text(known)
    assert "stand-in" in said and "1 of 2 collected" in said and "no trust" in said


def test_an_activation_without_a_round_is_told():
    tables = known_tables()
    tables["rounds"] = []
    assert "no round yet" in collect.text(collect.summary(tables))


def test_it_is_labelled_a_stand_in_wherever_it_shows():
    for kind in ("hub", "client"):
        assert "STAND-IN" in collect.unit(kind)
    for path in (paths.CODE / "collector").glob("*.py"):
        assert "stand-in" in path.read_text(encoding="utf-8").split('"""')[1].lower(), path
