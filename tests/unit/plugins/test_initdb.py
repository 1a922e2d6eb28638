# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""initdb with real PostgreSQL programs: whole or not at all."""

from __future__ import annotations

import fcntl
import os
import threading
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandError, HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import initdb
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg.client import Postgres
from ansible_collections.cfengine.hub_ha.plugins.modules import initdb as initdb_module
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.postgres.cluster import OWNER, Lab


@pytest.fixture(scope="module")
def lab():
    """A directory for servers."""
    made = Lab()
    yield made
    made.close()


def make(lab, server, run=runner.local_runner, check_mode=False, bin_dir=None, owner=OWNER, **more):
    """What the module does, and its result. more: of initdb.Wanted."""
    postgres = Postgres(run, bin_dir or lab.bin, owner)
    return initdb_module.go(initdb.Initdb(postgres, server.data, initdb.Wanted(owner, **more)), check_mode)


def test_what_is_made_runs_and_root_is_superuser(lab):
    server = lab.server("whole")
    predicted = make(lab, server, check_mode=True, databases=["cfdb", 'odd "name"'])
    assert not os.path.exists(server.data)
    done = make(lab, server, databases=["cfdb", 'odd "name"'])
    assert done["changed"] and done == predicted
    assert not os.path.exists(server.data + "/postmaster.opts"), "nothing was started"
    again = make(lab, server, databases=["cfdb"])
    assert not again["changed"] and not make(lab, server, check_mode=True)["changed"]
    server.start()
    assert server.sql("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = 'root'") == "root|t"
    assert server.sql("SELECT datname, pg_encoding_to_char(encoding), datcollate FROM pg_database "
                      "WHERE NOT datistemplate ORDER BY 1").splitlines() == [
                          "cfdb|SQL_ASCII|C", 'odd "name"|SQL_ASCII|C', "postgres|SQL_ASCII|C"]
    assert server.sql("SHOW data_checksums") == "on"
    assert server.sql("SELECT string_agg(DISTINCT auth_method, ',' ORDER BY auth_method) FROM pg_hba_file_rules "
                      "WHERE type = 'local'") == "peer"
    assert os.path.exists(server.data + "/postmaster.opts"), "what tells a database that ran"


def test_what_a_cut_off_run_left_is_removed(lab):
    server = lab.server("cut")
    cut = []

    def killed(argv, **more):
        if "--single" in argv:
            cut.append(argv)
            raise KeyboardInterrupt
        return runner.local_runner(argv, **more)

    with pytest.raises(KeyboardInterrupt):
        make(lab, server, run=killed)
    assert cut and not os.path.exists(server.data) and os.path.exists(server.home + "/.data.new/PG_VERSION")
    assert make(lab, server)["changed"]
    assert sorted(os.listdir(server.home)) == [".data.new.lock", "data"]


def test_sql_that_fails_leaves_no_database(lab):
    server = lab.server("sql")
    with pytest.raises(HubError, match="Roles and databases cannot be made.*already exists"):
        make(lab, server, databases=["cfdb", "cfdb"])
    assert not os.path.exists(server.data)


def test_what_is_in_the_way(lab):
    server = lab.server("other")
    os.makedirs(server.data)
    assert make(lab, server, check_mode=True)["changed"], "an empty directory is none"
    with open(server.data + "/note", "w", encoding="ascii"):
        pass
    for check_mode in (True, False):
        with pytest.raises(HubError, match="holds files that are no database: move them away"):
            make(lab, server, check_mode=check_mode)
    assert os.listdir(server.data) == ["note"]
    os.unlink(server.data + "/note")
    with open(server.data + "/PG_VERSION", "w", encoding="ascii"):
        pass
    assert not make(lab, server)["changed"], "whatever database it is"


def test_programs_that_are_not_there_yet(lab):
    server = lab.server("early")
    assert make(lab, server, check_mode=True, bin_dir="/nowhere", owner="nobody-yet")["changed"]
    with pytest.raises(HubError, match="no such user"):
        make(lab, server, owner="nobody-yet")
    with pytest.raises(HubError):
        make(lab, server, bin_dir="/nowhere")


def test_a_second_run_waits_for_the_first(lab):
    server = lab.server("two")
    calls = []

    def counted(argv, **more):
        calls.append(argv)
        return runner.local_runner(argv, **more)

    holder = open(server.home + "/.data.new.lock", "w", encoding="ascii")
    fcntl.flock(holder, fcntl.LOCK_EX)
    threads = [threading.Thread(target=make, args=(lab, server, counted)) for dummy in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert calls == []
    holder.close()
    for thread in threads:
        thread.join()
    assert len([argv for argv in calls if "--single" in argv]) == 1


def test_statements():
    wanted = initdb.Wanted("own", superusers=["root", "own"])
    assert initdb.statements(wanted) == 'CREATE ROLE "root" SUPERUSER LOGIN;\n'
    wanted = initdb.Wanted("own", superusers=[], databases=["cfdb"])
    assert initdb.statements(wanted) == 'CREATE DATABASE "cfdb" OWNER "own" TEMPLATE template0;\n'


def test_a_failing_program_is_told(lab):
    server = lab.server("locale")
    with pytest.raises(CommandError, match="not a valid server encoding"):
        make(lab, server, encoding="NO_SUCH")
    assert not os.path.exists(server.data)


def test_module(lab, run_module):
    server = lab.server("module")
    arguments = {"data_dir": server.data, "bin_dir": lab.bin, "owner": OWNER, "databases": ["cfdb"]}
    told = run_module(initdb_module, check=True, **arguments)
    assert told == run_module(initdb_module, **arguments) and told["changed"]
    assert not run_module(initdb_module, **arguments)["changed"]
    failed = run_module(initdb_module, **dict(arguments, data_dir="/nonexistent/data"))
    assert failed["failed"] and failed["msg"].startswith("Making /nonexistent/data failed")
