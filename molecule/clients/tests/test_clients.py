"""What clients and hubs know of each other, before, in and after two failovers. The tests follow each other."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import ADDRESSES, SHARED, WORK, get_host, keep_figures, lab, play, recap, sql  # noqa: E402

AGENT = "cf-agent %s --file update.cf && cf-agent %s"
LIMIT = 10.0  # seconds for the first run of an agent after a failover
SWARM = 50
POLICY = WORK + "/masterfiles/services/%s.cf"
PATHS = ["/opt/cfengine/notification_scripts/", "/var/lib/hub-secrets.ini"]


def note(**figures):
    """Print figures, and keep them."""
    keep_figures("clients", figures)


def agent(name, alone=False, lock="--no-lock"):
    """One run of a host's agent: (seconds, output); it must succeed at the first try.

    alone: the other hub is off, which a hub's agent complains of. lock: "" as cf-execd runs it; promises of a run that
    was less than a minute ago are then left out, so most tests don't.
    """
    began = time.monotonic()
    done = get_host(name).run(AGENT % (lock, lock))
    text = done.stdout + done.stderr
    assert done.rc == 0 and (alone or "error:" not in text), "%s: %s" % (name, text)
    return time.monotonic() - began, text


def policy_hub(name):
    """Address from which a client gets its policy."""
    return get_host(name).file(WORK + "/policy_server.dat").content_string.strip()


def digest(name):
    """Digest of a host's own key."""
    return get_host(name).check_output("cf-key -p %s/ppkeys/localhost.pub" % WORK).strip()


def trusts(name, other):
    """True when a host trusts another one's key."""
    return get_host(name).file("%s/ppkeys/root-%s.pub" % (WORK, digest(other))).exists


READ = """bundle agent main { files: "/tmp/read" copy_from => from; }
body copy_from from { source => "%s"; servers => { "%s" }; trustkey => "false"; compare => "digest"; }
"""


def reads(name, address, path):
    """True when a host gets a file from a CFEngine server, trusting no new key (cf-net would trust anybody)."""
    host = get_host(name)
    host.check_output("umask 077; rm -f /tmp/read; cat >/tmp/read.cf <<'END'\n%sEND" % (READ % (path, address)))
    host.run("cf-agent --no-lock --file /tmp/read.cf")
    return host.run("rm /tmp/read").rc == 0


def clients(*options, **environment):
    """One run of playbook clients."""
    return play(*options, playbook="clients.yml", **environment)


@contextmanager
def changed(host, change, back):
    """A host with something changed by hand for a while."""
    host.check_output(change)
    try:
        yield
    finally:
        host.check_output(back)


def wait_for(what, condition, seconds, why=lambda: ""):
    """Poll until *condition* holds; how long a failover takes is other tests' business. why: asked when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError("waited %d s in vain for %s. %s" % (seconds, what, " ".join(why().split())))


def cluster(hub):
    """What pacemaker says of the pair: all, or the part that tells why a hub does not follow."""
    done = get_host(hub).run("crm_mon -1Arf")
    told = done.stdout + done.stderr
    lines = told[max(told.find("Clone Set"), 0):].splitlines()
    return "\n".join(line for line in lines if "baseline" not in line)


def settle(hub, other):
    """*other* has all that *hub* has, and a quiet hub writes nothing after its checkpoint.

    What it does write by itself (the running transactions, each 15 s after a change) is on its disk before it is sent;
    a hub that loses power between the two has forked.
    """
    sql(get_host(hub), "CHECKPOINT")
    place = sql(get_host(hub), "SELECT pg_current_wal_flush_lsn()")[0]
    wait_for("%s to have all" % other, lambda: sql(
        get_host(other), "SELECT pg_last_wal_replay_lsn() >= '%s'" % place) == ["t"], 10)


def active(name):
    """True when a hub takes writes and has the shared address."""
    host = get_host(name)
    return "f" in host.run("psql -XAtq -d postgres -c 'SELECT pg_is_in_recovery()'").stdout \
        and SHARED in host.check_output("ip -4 addr show")


def new_policy(hub, name):
    """Put a policy file on the active hub, as an operator does, and let the hub's own agent check it."""
    get_host(hub).check_output("echo '# %s' >%s && chmod 600 %s" % (name, POLICY % name, POLICY % name))
    agent(hub, alone=True)


def has_policy(client, name):
    """True when the file came to a client."""
    return get_host(client).file("%s/inputs/services/%s.cf" % (WORK, name)).exists


# --- pull ---------------------------------------------------------------------------------------------------------

def test_a_client_learns_of_both_hubs_by_itself():
    assert policy_hub("client1") == ADDRESSES["hub1"] and not trusts("client1", "hub2")
    agent("client1")
    assert policy_hub("client1") == SHARED
    assert trusts("client1", "hub1") and trusts("client1", "hub2")
    _seconds, text = agent("client1")
    assert text == "", "a second run has nothing to do"


def test_both_hubs_may_connect_to_the_client_and_a_stranger_may_not():
    served = WORK + "/masterfiles/promises.cf"
    assert reads("hub1", ADDRESSES["client1"], served) and reads("hub2", ADDRESSES["client1"], served)
    stranger = get_host("client4")
    key = "%s/ppkeys/root-%s.pub" % (WORK, digest("client1"))
    stranger.check_output("umask 077; cat >%s <<'END'\n%sEND" % (
        key, get_host("client1").file(WORK + "/ppkeys/localhost.pub").content_string))
    assert not reads("client4", ADDRESSES["client1"], served), "client1 knows nothing of client4"
    stranger.check_output("rm " + key)


def test_hubs_say_who_is_active_and_offer_no_identity():
    for hub, role in (("hub1", "active"), ("hub2", "passive")):
        assert get_host(hub).file("/run/hub_ha/role").content_string.strip() == role
        offered = get_host(hub).check_output("ls %s/state/hub_ha/share/keys" % WORK).split()
        assert len(offered) > 50 and not [name for name in offered if name.startswith("localhost")]
    for name in ("localhost.priv", "localhost.pub"):
        for hub in ("hub1", "hub2"):
            assert not reads("client1", ADDRESSES[hub], "%s/ppkeys/%s" % (WORK, name))
        assert not reads("hub2", ADDRESSES["hub1"], "%s/ppkeys/%s" % (WORK, name))
    assert reads("client1", ADDRESSES["hub1"], WORK + "/masterfiles/promises.cf"), "the test itself can read"


def test_bootstrapped_to_the_passive_hub():
    """Known to hub2 only; hub2 offers its key at its agent's next run, and hub1 takes it at its own."""
    client, hub2 = get_host("client2"), get_host("hub2")
    for host, other in ((client, "hub2"), (hub2, "client2")):
        name = "%s/ppkeys/root-%s.pub" % (WORK, digest(other))
        text = get_host(other).file(WORK + "/ppkeys/localhost.pub").content_string
        host.check_output("umask 077; cat >%s <<'END'\n%sEND" % (name, text))
    client.check_output("systemctl start cf-execd")
    client.check_output("cf-agent --bootstrap %s --trust-server=no" % ADDRESSES["hub2"])
    client.check_output("systemctl enable --now cfengine3 cf-serverd cf-execd cf-monitord")
    agent("hub2")
    agent("hub1")
    assert trusts("hub1", "client2"), "hub1 has it from hub2"
    agent("client2")
    assert policy_hub("client2") == SHARED and trusts("client2", "hub1")


# --- push ---------------------------------------------------------------------------------------------------------

PRESENT = ("--limit", "hubs,client1,client2,client4")


def test_check_mode_of_the_playbook_changes_nothing():
    status, output = clients("--check", "--diff", *PRESENT)
    assert status == 0, output
    assert recap(output)["client4"] > 0
    assert not get_host("client4").file(WORK + "/policy_server.dat").exists and not trusts("hub1", "client4")


def test_a_new_client_by_the_playbook():
    status, output = clients(*PRESENT)
    assert status == 0, output
    assert policy_hub("client4") == SHARED
    for hub in ("hub1", "hub2"):
        assert trusts("client4", hub) and trusts(hub, "client4")
    agent("client4")
    began = time.monotonic()
    status, output = clients(*PRESENT)
    assert status == 0 and set(recap(output).values()) == {0}, output
    note(playbook_clients_again_s=round(time.monotonic() - began, 1))


def test_a_client_that_is_off_stops_nobody_else():
    status, output = clients("--limit", "hubs,client1,client3", "-e", "ansible_ssh_timeout=3")
    assert status == 4 and "unreachable=1" in output
    assert recap(output)["client1"] == 0 and re.search(r"client1 .* failed=0 ", output), output


# --- bad input ----------------------------------------------------------------------------------------------------

def test_two_hosts_with_the_same_key():
    other = get_host("client1")
    keys = [other.file("%s/ppkeys/localhost.%s" % (WORK, kind)).content_string for kind in ("priv", "pub")]
    client = get_host("client4")
    folder = WORK + "/ppkeys"
    with changed(client, "cp -a %s /root/kept" % folder, "rm -r %s && mv /root/kept %s" % (folder, folder)):
        for kind, text in zip(("priv", "pub"), keys):
            client.check_output("cat >%s/localhost.%s <<'END'\n%sEND" % (folder, kind, text))
        status, output = clients(*PRESENT)
    assert status == 2 and "it has the same host key as client1" in output and "the same host key as client4" in output
    assert recap(output)["client2"] == 0 and re.search(r"client2 .* failed=0 ", output), output


def test_another_key_than_the_inventory_says():
    status, output = clients("--limit", "hubs,client1", "-e", "hub_ha_client_key=MD5=" + "0" * 32)
    assert status == 2 and "its key is %s, and the inventory says MD5=000" % digest("client1") in output
    assert "find out which is right" in output and set(recap(output).values()) == {0}


def test_a_list_that_names_an_unknown_hub():
    path = WORK + "/masterfiles/services/hub_ha.json"
    edit = "cp -a %s /root/kept && sed -i 's/\"name\": \"hub2\"/\"name\": \"hub9\"/' %s" % (path, path)
    with changed(get_host("hub1"), edit, "mv /root/kept %s" % path):
        status, output = clients(*PRESENT)
        assert status == 2 and "the list of hubs names hub9 (192.168.100.11), which the inventory does not" in output
        assert set(recap(output).values()) == {0}, output
        status, output = play("--check")
        assert status == 2 and "-e hub_ha_accept_hub_keys=hub9" in output


def test_a_hub_key_that_changed():
    folder = WORK + "/ppkeys"
    with changed(get_host("hub2"), "cp -a %s /root/kept && rm %s/localhost.* && cf-key" % (folder, folder),
                 "rm -r %s && mv /root/kept %s" % (folder, folder)):
        status, output = clients(*PRESENT)
        assert status == 2 and "the key of hub hub2 is MD5=" in output and set(recap(output).values()) == {0}, output
        status, output = play("--check")
        assert status == 2 and "-e hub_ha_accept_hub_keys=hub2" in output
    agent("client1")
    assert trusts("client1", "hub2")


PARTS = ({}, {"key": None}, {"key": "MD5=nope"}, {"public": "x"})  # what one hub of the list lacks or has wrong
NO_LISTS = ["{", "[]", '{"hubs": 1}', "", '{"hubs": ["a"]}'] + [json.dumps({
    "shared": [SHARED], "vendor": False, "sync": {"policy": True, "paths": []}, "revoked": [],
    "hubs": {ADDRESSES["hub1"]: dict({"name": "hub1"}, **part)}}) for part in PARTS]


@pytest.mark.parametrize("text", NO_LISTS)
def test_a_list_that_is_none_changes_no_trust(text):
    client, path = get_host("client1"), WORK + "/inputs/services/hub_ha.json"
    before = client.check_output("ls %s/ppkeys; cat %s/policy_server.dat" % (WORK, WORK))
    with changed(client, "cp -a %s /root/kept && printf '%%s' '%s' >%s" % (path, text, path), "mv /root/kept " + path):
        said = client.run("cf-agent --no-lock --bundlesequence hub_ha:main")
        assert "no list of hubs; nothing is changed" in said.stdout + said.stderr
        assert client.check_output("ls %s/ppkeys; cat %s/policy_server.dat" % (WORK, WORK)) == before


def test_a_key_file_that_is_garbage():
    path = WORK + "/ppkeys/root-MD5=%s.pub" % ("e" * 32)
    with changed(get_host("hub1"), "echo garbage >" + path, "rm " + path):
        get_host("hub1").check_output("rm -f %s/ppkeys/root-%s.pub" % (WORK, digest("client4")))
        status, output = play()
        assert status == 0, output
        assert not get_host("hub2").file(path).exists
    status, output = clients(*PRESENT)
    assert status == 0 and trusts("hub1", "client4"), output


def test_a_hubs_identity_is_never_taken_over():
    """The accident ENT-3303: another hub's localhost.* in what it offers."""
    hub1, hub2 = get_host("hub1"), get_host("hub2")
    before = hub2.check_output("sha256sum %s/ppkeys/localhost.*" % WORK)
    share = WORK + "/state/hub_ha/share/keys"
    hub1.check_output("cp %s/ppkeys/localhost.* %s" % (WORK, share))
    agent("hub2")
    assert hub2.check_output("sha256sum %s/ppkeys/localhost.*" % WORK) == before
    agent("hub1")
    assert "localhost" not in hub1.check_output("ls " + share), "the hub has cleared it away"


def test_a_key_that_is_revoked_does_not_come_back():
    key, name = digest("client4"), "root-%s.pub" % digest("client4")
    status, output = play("-e", json.dumps({"hub_ha_revoked_keys": [key]}))
    assert status == 0, output
    for hub in ("hub1", "hub2", "hub1", "hub2"):
        agent(hub)
    for hub in ("hub1", "hub2"):
        assert not trusts(hub, "client4")
        assert name not in get_host(hub).check_output("ls %s/state/hub_ha/share/keys" % WORK)
    status, output = play()  # no longer revoked
    assert status == 0, output
    status, output = clients(*PRESENT)
    assert status == 0 and trusts("hub1", "client4") and trusts("hub2", "client4"), output


def test_shared_paths_that_hold_an_identity_are_refused():
    status, output = play("--check", "-e", json.dumps({"hub_ha_shared_paths": [WORK + "/ppkeys/"]}))
    assert status == 2 and "hub_ha_shared_paths names %s/ppkeys/, which touches" % WORK in output


# --- between the hubs ---------------------------------------------------------------------------------------------

def test_policy_and_shared_files_follow_the_active_hub():
    hub1, hub2 = get_host("hub1"), get_host("hub2")
    hub1.check_output("install -d -m 0750 %s && echo true >%salert.sh && chmod 750 %salert.sh" % ((PATHS[0],) * 3))
    hub1.check_output("umask 077 && echo secret=hunter2 >%s && chown nobody:nogroup %s" % (PATHS[1], PATHS[1]))
    status, output = play("-e", json.dumps({"hub_ha_shared_paths": PATHS}))
    assert status == 0, output
    new_policy("hub1", "first")
    wait_for("cf-serverd on hub1 to read its policy", lambda: reads("hub2", ADDRESSES["hub1"], PATHS[1]), 90)
    agent("hub2")
    assert hub2.file(POLICY % "first").content_string == "# first\n"
    for path, mode, user in ((PATHS[0] + "alert.sh", 0o750, "root"), (PATHS[1], 0o600, "nobody")):
        found = hub2.file(path)
        assert (found.mode, found.user) == (mode, user) and found.content_string == hub1.file(path).content_string
    assert not reads("client1", ADDRESSES["hub1"], PATHS[1]), "for hubs only"
    agent("client1")
    assert has_policy("client1", "first")


# --- reports, and the power cuts ----------------------------------------------------------------------------------

def collected():
    """The figures of the stand-in for cf-hub."""
    return json.loads(lab("collector", "report", "--json"))


def first_round(hub):
    """The first round of the hub's newest time as the active one, or None."""
    rounds = [each["first_round"] for each in collected()["activations"] if each["hub"] == hub]
    return rounds[-1] if rounds else None


def test_reports_by_the_stand_in_for_cf_hub():
    lab("collector", "start")
    wait_for("a round on hub1", lambda: first_round("hub1"), 30)
    found = first_round("hub1")
    assert (found["ok"], found["auth"], found["unreachable"]) == (3, 0, 1), "client3 is off: %s" % found
    lab("collector", "call", "client1")


def test_power_cut_of_the_active_hub():
    lab("swarm", "start", str(SWARM), "--host", "client1")
    for hub in ("hub1", "hub2"):  # every five minutes: hub1 offers the swarm's keys, and hub2 takes them
        agent(hub)
    get_host("hub1").check_output("systemctl stop lab-collector")  # so that hub1 has written nothing that hub2 lacks
    settle("hub1", "hub2")
    lab("power", "off", "hub1")
    wait_for("hub2 to be active", lambda: active("hub2"), 20)
    seconds = dict((name, agent(name, lock="")[0]) for name in ("client1", "client2", "client4"))
    assert max(seconds.values()) <= LIMIT, seconds
    note(agent_after_failover_s=dict((name, round(value, 1)) for name, value in seconds.items()))
    new_policy("hub2", "second")
    for name in seconds:
        agent(name)
        assert has_policy(name, "second") and policy_hub(name) == SHARED
    wait_for("a round on hub2", lambda: first_round("hub2"), 30)
    found = first_round("hub2")
    assert (found["ok"], found["auth"], found["unreachable"]) == (3, 0, 1), found


def test_where_the_shared_address_does_not_answer():
    """The client finds the active hub in the list, and returns to the shared address when that answers again."""
    client, drop = get_host("client2"), "ip route %s blackhole " + SHARED
    with changed(client, drop % "add", drop % "del"):
        client.check_output("echo %s >%s/policy_server.dat" % (SHARED, WORK))
        done = client.run(AGENT % ("--no-lock", "--no-lock"))
        assert done.rc == 0 and policy_hub("client2") == ADDRESSES["hub2"], done.stdout
    agent("client2")
    assert policy_hub("client2") == SHARED


def test_no_client_of_fifty_is_left_behind():
    figures = json.loads(lab("swarm", "run", "--host", "client1", "--update-only"))
    assert figures["hub"] == "hub2" and figures["ok"] == figures["clients"] == SWARM, figures["failed"][:3]
    note(swarm=dict((name, figures[name]) for name in ("clients", "ok", "seconds", "update_seconds")))
    lab("swarm", "stop", "--host", "client1")


def test_the_client_that_was_off_finds_the_active_hub():
    """It knows hub1 only, which comes back as the passive hub."""
    lab("power", "on", "hub1")
    began = time.monotonic()
    wait_for("hub1 to follow", lambda: "hub1|streaming" in sql(
        get_host("hub2"), "SELECT application_name, state FROM pg_stat_replication"), 60, lambda: cluster("hub2"))
    note(follows_s=round(time.monotonic() - began, 1))
    lab("power", "on", "client3")
    assert policy_hub("client3") == ADDRESSES["hub1"] and not trusts("client3", "hub2")
    wait_for("hub1 to serve", lambda: reads("client3", ADDRESSES["hub1"], WORK + "/masterfiles/promises.cf"), 30)
    agent("client3")
    assert policy_hub("client3") == SHARED and trusts("client3", "hub2")
    agent("client3")
    assert has_policy("client3", "second")


def test_and_back():
    agent("hub1")  # it takes policy from hub2, as it does every five minutes
    assert get_host("hub1").file(POLICY % "second").exists
    wait_for("hub1 to be ready to take over", lambda: "HS:async" in get_host("hub1").check_output(
        "crm_attribute -l reboot -n cfpgsql-status -N hub1 -G -q"), 30)
    lab("power", "off", "hub2")
    wait_for("hub1 to be active", lambda: active("hub1"), 20)
    seconds = dict((name, agent(name, lock="")[0]) for name in ("client1", "client2", "client3", "client4"))
    assert max(seconds.values()) <= LIMIT, seconds
    wait_for("a round on hub1", lambda: (first_round("hub1") or {}).get("ok") == 4, 30)
    found = first_round("hub1")
    assert (found["auth"], found["refused"], found["unreachable"]) == (0, 0, 0), found
