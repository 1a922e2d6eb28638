# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's pure parts: names, addresses, recipes, options, prerequisites."""

from __future__ import annotations

import os
import re

import pytest

from lab import cli, hosts, hub, images, layers, network, prerequisites, repo, shell
from lab.shell import LabError


@pytest.mark.parametrize("host, net, expected", [
    ("hub1", "heartbeat", "192.168.0.10"), ("hub2", "replication", "192.168.10.11"),
    ("hub3", "clients", "192.168.100.12"),
    ("client1", "clients", "192.168.100.21"), ("client10", "clients", "192.168.100.30")])
def test_addresses_are_those_of_the_vendors_guide(host, net, expected):
    assert network.address(host, net) == expected


@pytest.mark.parametrize("name", ["", "hub", "hub0", "hub10", "client0", "client41", "web1", "hub1;reboot", "HUB1"])
def test_other_names_are_no_hosts(name):
    with pytest.raises(LabError, match="no host of the lab"):
        network.number(name)


def test_no_two_hosts_share_an_address_and_none_has_the_shared_one():
    names = ["hub%d" % n for n in range(1, network.MAX_HUBS + 1)]
    names += ["client%d" % n for n in range(1, network.MAX_CLIENTS + 1)]
    addresses = [network.address(name) for name in names]
    assert len(set(addresses)) == len(names)
    assert network.SHARED_ADDRESS not in addresses


def test_cables_fit_the_kernels_limit_and_macs_are_stable_and_different():
    for net in network.NETWORKS:
        assert len(network.cable("client40", net)) <= 15
    macs = {network.mac(host, net) for host in ("hub1", "hub2") for net in network.NETWORKS}
    assert len(macs) == 6
    assert all(re.fullmatch(r"02(:[0-9a-f]{2}){5}", mac) for mac in macs)
    assert network.mac("hub1", "clients") == network.mac("hub1", "clients")


def test_hosts_file_resolves_every_usual_name():
    lines = network.hosts_file().splitlines()
    assert "192.168.100.10 hub1" in lines and "192.168.100.11 hub2" in lines and "192.168.100.22 client2" in lines


def test_plan_gives_every_host_its_kind():
    assert hosts.plan("hub1,hub2,client1") == {"hub1": "single", "hub2": "blank", "client1": "client"}
    assert hosts.plan("hub1=blank, hub2=single") == {"hub1": "blank", "hub2": "single"}


@pytest.mark.parametrize("text, words", [
    ("", "No host is named"), ("hub1,hub1", "named twice"), ("hub1=big", "no kind of host"),
    ("nas1", "no host of the lab")])
def test_plan_refuses(text, words):
    with pytest.raises(LabError, match=words):
        hosts.plan(text)


def test_digest_tells_where_one_part_ends():
    assert images.digest(["ab", "c"]) != images.digest(["a", "bc"])
    assert images.digest(["ab", b"c"]) == images.digest([b"ab", "c"])


def test_a_recipes_hash_changes_with_all_that_stands_on_it(monkeypatch):
    before = images.recipes("trixie")
    assert before == images.recipes("trixie")
    assert before != images.recipes("bookworm")
    monkeypatch.setattr(images, "PACKAGES", images.PACKAGES + ("hello",))
    after = images.recipes("trixie")
    assert all(before[kind] != after[kind] for kind in images.KINDS)


def test_images_are_missing_from_the_first_one_that_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(images.paths, "SUITES", tmp_path)
    (tmp_path / "trixie").mkdir()
    assert images.missing("trixie") == list(images.KINDS)
    for kind, digest in images.recipes("trixie").items():
        (tmp_path / "trixie" / (kind + ".built")).write_text(digest + "\n", encoding="utf-8")
    assert images.missing("trixie") == []
    (tmp_path / "trixie" / "client.built").write_text("old\n", encoding="utf-8")
    assert images.missing("trixie") == ["client", "single"]
    with pytest.raises(LabError, match="no suite"):
        images.missing("sid")


def test_an_image_stands_on_those_before_it():
    assert [path.name for path in images.chain("trixie", "single")] == ["single", "client", "blank"]
    assert [path.name for path in images.chain("trixie", "blank")] == ["blank"]


def test_overlay_options_name_the_uppermost_first_and_refuse_what_mount_cannot_take():
    assert layers.options(["/b", "/a"], "/u", "/w").startswith("lowerdir=/b:/a,upperdir=/u,workdir=/w,")
    assert layers.options(["/a"], "/u", "/w", volatile=True).endswith(",volatile")
    with pytest.raises(LabError, match="must not contain"):
        layers.options(["/a,b"], "/u", "/w")


def test_stanza_is_a_paragraph_that_apt_reads():
    said = repo.stanza("Package: a\nVersion: 1\n", "a_1_all.deb", 5, "00ff")
    assert said == "Package: a\nVersion: 1\nFilename: ./a_1_all.deb\nSize: 5\nSHA256: 00ff\n"


def test_prerequisites_name_each_missing_package_once():
    assert prerequisites.missing(look=lambda sign: True) == []
    absent = prerequisites.missing(look=lambda sign: sign not in ("nsenter", "unshare", "podman"))
    assert absent == ["podman", "util-linux"]


def test_operators_def_json_is_plain_json_with_an_input_that_exists():
    assert hub.OPERATOR_DEF_JSON["inputs"] == ["services/our_own/main.cf"]
    assert hub.OPERATOR_DEF_JSON["vars"]["mpf_update_policy_master_location"] == hub.WORK + "/masterfiles"


def test_strict_trust_adds_one_key_to_the_operators_def_json_and_needs_its_masterfiles():
    strict, plain = hub.operator_def_json(strict_trust=True), hub.operator_def_json()
    assert plain == hub.OPERATOR_DEF_JSON and "trustkeysfrom" not in plain["vars"]
    assert strict["vars"].pop("trustkeysfrom") == [] and strict == plain
    assert "mpf_update_policy_master_location" in strict["vars"]


def test_clients_to_bootstrap_are_all_that_run_or_those_named():
    states = {"hub1": "running", "client1": "running", "client2": "exited", "client3": "running"}
    assert hub.chosen(None, states) == ["client1", "client3"]
    assert hub.chosen("client3, client1,client3", states) == ["client1", "client3"]
    assert hub.chosen("", states) == []
    for name in ("client2", "client9", "hub1"):
        with pytest.raises(LabError, match="No running client: %s" % name):
            hub.chosen("client1," + name, states)


def test_a_hub_made_from_nothing_gets_only_the_roles_and_databases_that_it_lacks():
    sql = "-- Roles.\nCREATE ROLE root SUPERUSER;\nCREATE ROLE lab_writer LOGIN;\nCREATE DATABASE cfdb OWNER x;\n"
    assert hub.absent(sql, ["ROLE root", "DATABASE cfdb", "ROLE cfdb"]) \
        == "-- Roles.\nCREATE ROLE lab_writer LOGIN;\n"
    assert hub.absent(sql, []) == sql


def test_run_says_what_failed_and_what_to_do():
    with pytest.raises(LabError, match="exit status 3") as caught:
        shell.run(["sh", "-c", "echo the cause >&2; exit 3"], hint="Do this.")
    assert "the cause" in str(caught.value) and "Do this." in str(caught.value)
    with pytest.raises(LabError, match="lab prerequisites"):
        shell.run(["no-such-command-here"])
    with pytest.raises(LabError, match="longer than"):
        shell.run(["sleep", "5"], timeout=0.1)


def test_wait_for_tells_the_last_answer():
    def probe():
        raise OSError("connection refused")

    with pytest.raises(LabError, match="in vain for: the door.*connection refused"):
        shell.wait_for("the door", probe, 0.05, every=0.01)
    assert shell.wait_for("three", iter([0, None, 3]).__next__, 1, every=0) == 3


def test_colour_only_on_a_terminal(tmp_path):
    with open(tmp_path / "out", "w", encoding="utf-8") as stream:
        assert shell.colour("x", "31", stream) == "x"


@pytest.mark.parametrize("line", [
    ["up", "--suite", "bookworm", "--hosts", "hub1"], ["seed", "--prepared"], ["enter", "--", "ls", "-l"],
    ["power", "off", "hub1"], ["link", "down", "hub1", "heartbeat", "clients"], ["writer", "report", "--json"],
    ["exec", "hub1", "--", "sh", "-c", "true"], ["probe", "start", "--no-wait"], ["outage", "hub1"],
    ["seed", "--strict-trust", "--clients", "client1,client3"], ["collector", "start"],
    ["collector", "report", "--json"], ["collector", "call", "client1"], ["collector", "register", "client1"],
    ["swarm", "start", "50", "--host", "client3"], ["swarm", "run", "--update-only", "--hub", "hub2"],
    ["swarm", "stop"], ["replace", "hub1=blank,hub2"]])
def test_command_lines_are_understood(line):
    assert cli.parser().parse_args(line).command in cli.WORK


def test_every_command_has_work():
    usage = cli.parser().format_help()
    assert all(name in usage for name in cli.WORK)


def test_a_command_of_the_lab_never_ends_with_a_traceback(capsys, monkeypatch):
    def broken(_options):
        raise LabError("no such thing. Do that.")

    monkeypatch.setitem(cli.WORK, "status", broken)
    assert cli.main(["status"]) == 1
    assert "no such thing. Do that." in capsys.readouterr().err


def test_everything_lies_below_the_checkouts_cache():
    """But for what lies in the namespace's own /run."""
    paths = cli.paths
    for name, value in vars(paths).items():
        if isinstance(value, os.PathLike) and name not in ("CODE", "ROOT", "MARK", "CONNECTIONS", "VENV_PYTHON"):
            assert str(value).startswith(str(paths.ROOT / ".cache" / "lab")), name
