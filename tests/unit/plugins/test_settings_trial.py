# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Would PostgreSQL start with what stands in its files? Asked of real servers, beside one that runs."""

from __future__ import annotations

import os
import re
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import memory, trial
from ansible_collections.cfengine.hub_ha.plugins.modules import settings_trial
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab

GB = 1 << 30
MEMINFO = "MemTotal: 8388608 kB\nSwapTotal: 1048576 kB\nCommitLimit: 5242880 kB\nCommitted_AS: 2097152 kB\n" \
    "HugePages_Total: 512\nHugepagesize: 2048 kB\n"


@pytest.fixture(scope="module", name="lab")
def fixture_lab():
    """A server that runs; "places" holds a directory for scratch databases."""
    made = Lab()
    try:
        made.primary = made.server("primary").create()
        made.owner(made.bin + "/initdb", "-D", made.directory("new") + "/template", "-A", "trust", "-N", "--locale=C",
                   "--wal-segsize=1")
        made.places = made.directory("places")
        os.chown(made.places, 0, 0)
        yield made
    finally:
        made.close()


@pytest.fixture(name="quick")
def fixture_quick(lab, monkeypatch):
    """initdb is a copy of what initdb has made."""
    def run(argv, **options):
        if lab.bin + "/initdb" in argv:
            argv = argv[:argv.index("--") + 1] + ["cp", "-a", lab.root + "/new/template", argv[argv.index("-D") + 1]]
        return runner.local_runner(argv, **options)
    monkeypatch.setattr(settings_trial, "local_runner", run)
    return run


@pytest.fixture(name="attempt")
def fixture_attempt(lab, run_module, quick):
    """attempt(text, **settings): the module's verdict with that text at the end of postgresql.conf."""
    assert quick
    path = lab.primary.data + "/postgresql.conf"
    with open(path, encoding="utf-8") as handle:
        before = handle.read()

    def attempt(text="", auto="", **settings):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(before + text)
        with open(lab.primary.data + "/postgresql.auto.conf", "w", encoding="utf-8") as handle:
            handle.write(auto)
        pid = lab.primary.pid()
        result = run_module(settings_trial, check=True, data_dir=lab.primary.data, bin_dir=lab.bin, owner=OWNER,
                            config_file=path, settings=settings, places=[lab.places])
        assert result["changed"] is False and os.listdir(lab.places) == [], "nothing is left"
        assert lab.primary.pid() == pid and lab.primary.sql("SELECT 1") == "1", "the live server goes on"
        return result["trial"]
    yield attempt
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(before)


def test_what_runs_would_start_again(lab, run_module):
    found = run_module(settings_trial, data_dir=lab.primary.data, bin_dir=lab.bin, owner=OWNER, places=[lab.places],
                       config_file=lab.primary.data + "/postgresql.conf",
                       settings={"wal_log_hints": "on", "listen_addresses": "*"})["trial"]
    assert found["started"] is True and found["reason"] == "" and found["lowered"] and found["shared_memory_mb"] > 16


@pytest.mark.parametrize("text, words", [
    ("shared_buffers = 500GB\n", "could not map anonymous shared memory"),
    ("shared_preload_libraries = 'nosuch'\n", 'could not access file "nosuch"'),
    ("wal_level = minimal\n", "max_wal_senders"),
    ("max_connections = many\n", 'invalid value for parameter "max_connections": "many"'),
    ("lc_messages = 'xx_YY.UTF-8'\n", "lc_messages"),
    ("port = 99999\n", "99999 is outside the valid range"),
    ("include 'gone.conf'\n", "gone.conf"),
    ("no_such_setting = 1\n", 'unrecognized configuration parameter "no_such_setting"'),
    ("unix_socket_group = 'nosuch'\n", 'group "nosuch" does not exist'),
])
def test_what_does_not_start_is_found_with_the_servers_own_words(attempt, text, words):
    found = attempt(text)
    assert found["started"] is False and words in found["reason"], found


def test_alter_system_counts_and_what_will_be_written_counts_last(attempt):
    assert attempt(auto="shared_buffers = '500GB'\n")["started"] is False
    assert attempt("shared_buffers = 500GB\n", auto="shared_buffers = '32MB'\n")["started"] is True
    found = attempt("max_wal_senders = 0\nwal_level = minimal\n", wal_level="replica", max_wal_senders="10")
    assert found["started"] is True


def test_what_the_live_server_has_for_itself_is_left_alone(attempt, lab):
    text = "external_pid_file = '%s/pid'\nlogging_collector = on\nlog_directory = '%s'\narchive_mode = on\n" \
        "archive_command = 'touch %s/archived'\nunix_socket_directories = '%s'\nport = %d\nlisten_addresses = '*'\n" \
        "data_directory = '%s'\nsynchronous_standby_names = 'nobody'\n" % (
            lab.root, lab.directory("logs"), lab.root, lab.primary.home, lab.primary.port, lab.primary.data)
    assert attempt(text)["started"] is True
    assert os.listdir(lab.root + "/logs") == [] and not os.path.exists(lab.root + "/archived")
    assert not os.path.exists(lab.root + "/pid")


def test_no_room_is_not_known(lab, run_module):
    result = run_module(settings_trial, data_dir=lab.primary.data, bin_dir=lab.bin, owner=OWNER,
                        config_file=lab.primary.data + "/postgresql.conf", places=["/proc", "/nowhere"])
    assert result["trial"]["started"] is None and "256 MB" not in result["trial"]["reason"]
    assert re.match(r"none of /proc, /nowhere has \d+ MB free", result["trial"]["reason"])


def test_a_server_that_is_not_ready_ends_by_itself(lab, monkeypatch, quick):
    """Its postmaster.pid never says that it is ready."""
    monkeypatch.setattr(trial, "LIMIT", 1)
    server = trial.Server(lab.primary.data, lab.bin, OWNER, lab.primary.data + "/postgresql.conf", 15, {}, 1 << 20)
    made = trial.Trial(quick, server, trial.read_machine(), [lab.places])
    monkeypatch.setattr(trial, "START", trial.START.replace("ready*", "never*"))
    outcome = made.go()
    assert outcome.started is None and outcome.reason == "it was not ready within 1 s"
    assert os.listdir(lab.places) == []


@pytest.fixture(name="root_file")
def fixture_root_file(lab):
    """A file that only root may read."""
    path = lab.root + "/of-root"
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("secret of root\n")
    os.chmod(path, 0o600)
    yield path
    os.unlink(path)


def server_of(lab, data_dir=None):
    config = lab.primary.data + "/postgresql.conf"
    return trial.Server(data_dir or lab.primary.data, lab.bin, OWNER, config, 15, {}, 1 << 20)


@pytest.mark.parametrize("name", ["postgresql.conf", "postgresql.auto.conf"])
def test_a_link_of_the_databases_user_leads_root_nowhere(lab, quick, root_file, name):
    """Whoever is that user may do what he likes in his directory, also while it is being filled."""
    before = os.stat(root_file)

    def run(argv, **options):
        done = quick(argv, **options)
        if lab.bin + "/initdb" in argv:
            data = argv[argv.index("-D") + 1]
            inner = os.path.dirname(data)
            outer = os.stat(os.path.dirname(inner))
            assert (outer.st_uid, outer.st_mode & 0o777) == (0, 0o711), "only root may put another one in its place"
            assert os.stat(inner).st_mode & 0o777 == 0o700
            lab.owner("ln", "-sf", root_file, data + "/" + name)
        return done
    outcome = trial.Trial(run, server_of(lab), trial.read_machine(), [lab.places]).go()
    after = os.stat(root_file)
    with open(root_file, encoding="utf-8") as handle:
        assert handle.read() == "secret of root\n"
    assert (after.st_uid, after.st_mode, after.st_mtime_ns) == (before.st_uid, before.st_mode, before.st_mtime_ns)
    assert outcome.started is None and "ermission denied" in outcome.reason, outcome
    assert os.listdir(lab.places) == []


def test_what_only_root_may_read_is_not_copied_for_the_databases_user(lab, quick, root_file):
    data_dir = lab.directory("linked")
    lab.owner("ln", "-s", root_file, data_dir + "/postgresql.auto.conf")
    seen = []

    def run(argv, **options):
        for path in (os.path.join(here, name) for here, dummy, names in os.walk(lab.places) for name in names):
            with open(path, "rb") as handle:
                seen.append(b"secret of root" in handle.read())
        return quick(argv, **options)
    memory_here = trial.read_machine()
    outcome = trial.Trial(run, server_of(lab, data_dir), memory_here, [lab.places]).go()
    assert seen and not any(seen)
    assert outcome.started is None and "ermission denied" in outcome.reason, outcome


def test_the_removal_follows_no_link(lab, quick):
    kept = lab.directory("kept")
    os.chown(kept, 0, 0)
    with open(kept + "/file", "w", encoding="utf-8") as handle:
        handle.write("stays\n")

    def run(argv, **options):
        done = quick(argv, **options)
        if lab.bin + "/initdb" in argv:
            data = argv[argv.index("-D") + 1]
            lab.owner("ln", "-s", kept, data + "/link")
            lab.owner("mv", data, data + ".away")
            lab.owner("ln", "-s", kept, data)
        return done
    trial.Trial(run, server_of(lab), trial.read_machine(), [lab.places]).go()
    assert os.listdir(lab.places) == [] and os.listdir(kept) == ["file"]


def test_what_a_trial_left_long_ago_is_removed(lab):
    for name, age in ((trial.PREFIX + "old", 9999), (trial.PREFIX + "new", 1), ("other", 9999)):
        os.makedirs("%s/%s/data" % (lab.places, name))
        os.utime("%s/%s" % (lab.places, name), (time.time() - age,) * 2)
    trial.clear(lab.places)
    assert sorted(os.listdir(lab.places)) == [trial.PREFIX + "new", "other"]
    for name in os.listdir(lab.places):
        os.removedirs("%s/%s/data" % (lab.places, name))
    os.makedirs(lab.places, exist_ok=True)


# --- the rule for memory -----------------------------------------------------------------------------------------

def test_a_machine_is_read():
    assert memory.machine(MEMINFO, "2\n", "8\n") == memory.Machine(8 * GB, GB, 2, 5 * GB, 2 * GB, 520 * 2 << 20)
    assert memory.machine("", "", "").total == 0


@pytest.mark.parametrize("need, overcommit, held, huge, good", [
    (9 * GB, "0", 0, "try", True), (9 * GB + 1, "0", 0, "try", False), (9 * GB, "1", 0, "off", True),
    (3 * GB, "2", 0, "try", True), (3 * GB + 1, "2", 0, "try", False), (4 * GB, "2", GB, "try", True),
    (GB, "0", 0, "on", True), (GB + 1, "0", 0, "on", False)])
def test_what_fits(need, overcommit, held, huge, good):
    assert memory.fits(need, memory.machine(MEMINFO, overcommit), held, huge) is good


@pytest.mark.parametrize("page, good", [("", True), ("0", True), ("2048", False), ("1048576", True), ("524288", False)])
def test_huge_pages_come_from_the_pool_of_their_size(tmp_path, page, good):
    for size, name, text in (("2048", "nr_hugepages", "100\n"), ("1048576", "nr_hugepages", "0\n"),
                             ("1048576", "nr_overcommit_hugepages", "1\n")):
        (tmp_path / ("hugepages-%skB" % size)).mkdir(exist_ok=True)
        (tmp_path / ("hugepages-%skB" % size) / name).write_text(text, encoding="ascii")
    assert memory.pools(str(tmp_path)) == {"2048": 200 << 20, "1048576": GB} and memory.pools(str(tmp_path / "none")) == {}
    where = memory.machine(MEMINFO, "0", sizes=memory.pools(str(tmp_path)))
    assert memory.fits(GB, where, 0, "on", page) is good


def test_what_no_kernel_refuses_is_reckoned(lab, monkeypatch, quick):
    """With vm.overcommit_memory 1 half a terabyte would be given, and be missed when it is touched."""
    server = trial.Server(lab.primary.data, lab.bin, OWNER, lab.primary.data + "/postgresql.conf", 15,
                          {"shared_buffers": "500GB"}, 1 << 20)
    made = trial.Trial(quick, server, memory.machine(MEMINFO, "1"), [lab.places])
    monkeypatch.setattr(made, "start", lambda *args: pytest.fail("never started"))
    outcome = made.go()
    assert outcome.started is False and "this machine has 9216 MB" in outcome.reason


@pytest.mark.parametrize("log, words", [
    ("LOG:  starting\nFATAL:  no\nDETAIL:  x\n", "FATAL: no"),
    ("2026-11-29 04:00:00.1 UTC [7] FATAL:  no\n", "FATAL: no"),
    ("LOG:  0\nLOG:  invalid a\nLOG:  invalid b\nFATAL:  configuration file \"x\" contains errors\n",
     'LOG: 0; LOG: invalid a; LOG: invalid b; FATAL: configuration file "x" contains errors'),
    ("", "no word in its log"), ("a\nb\n", "a; b")])
def test_the_servers_words(log, words):
    assert trial.words_of(log) == words
