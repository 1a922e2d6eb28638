# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application hub-ha: one file, the same bytes for the same sources, and it runs."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import application
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import application as placing

FOLDER = application.folder()


def built(version="1.2.3"):
    return application.build(application.sources(FOLDER), version)


def test_the_same_sources_make_the_same_bytes():
    assert built() == built()
    assert built() != built("1.2.4")


def test_it_runs_alone_and_tells_its_version(tmp_path):
    """With -I and from an empty directory: nothing but the file and the standard library."""
    path = tmp_path / "hub-ha.pyz"
    path.write_bytes(built())
    assert application.version_of(str(path)) == "1.2.3"

    def run(*arguments):
        return subprocess.run([sys.executable, "-I", str(path)] + list(arguments), cwd=str(tmp_path), text=True,
                              check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.defpath})
    assert run("version").stdout == "1.2.3\n"
    assert run("--help").returncode == 0 and "guard" in run("--help").stdout
    assert run("nonsense").returncode == 2
    assert run("status", "--json").returncode == 2 and '"running": false' in run("status", "--json").stdout, "no pair"
    assert run("evidence").returncode == 2 and "PAIR_FILE" in run("evidence").stderr
    assert run("explain", "guard_dead").returncode == 0 and "journalctl" in run("explain", "GUARD_DEAD").stdout


def test_the_status_is_there_within_a_second_whoever_hangs(tmp_path):
    """From the program's start on, with a frozen server of the other hub and a pacemaker that says nothing."""
    path, programs = tmp_path / "hub-ha.pyz", tmp_path / "bin"
    path.write_bytes(built())
    programs.mkdir()
    for name in ("crm_mon", "cibadmin", "systemctl", "corosync-cfgtool", "ip"):
        (programs / name).write_text("#!/bin/sh\nexec sleep 20\n", encoding="ascii")
        (programs / name).chmod(0o755)
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from hubha.agent import status; from hubha.pair.model import Pair\n"
            "pair = Pair('hub1', 'hub2', 'c', '/none', '/none', sys.argv[3], int(sys.argv[2]), None, '/none', '/none',\n"
            "            'r', 'verify-ca', ('127.0.0.1', '192.0.2.1'), ())\n"
            "status.pair_file = lambda: (pair, '')\n"
            "sys.exit(status.main(['--json'], '1'))\n")
    seconds = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _attempt in range(3):  # a busy machine takes its time to start any program
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-I", "-c", code, str(path), str(server.getsockname()[1]),
                 pwd.getpwuid(os.getuid()).pw_name], check=False, text=True, cwd=str(tmp_path),
                stdout=subprocess.PIPE, env=dict(os.environ, PATH="%s:%s" % (programs, os.environ["PATH"])))
            seconds.append(time.monotonic() - began)
            assert done.returncode == 3, "no guard runs here"
            assert not json.loads(done.stdout)["parts"]["cluster"]["known"]
    assert min(seconds) < 1.0, seconds


def test_every_module_of_the_package_can_be_imported_from_it(tmp_path):
    path = tmp_path / "hub-ha.pyz"
    path.write_bytes(built())
    names = [name[:-3].replace("/", ".") for name in application.sources(FOLDER) if not name.endswith("__init__.py")]
    code = "import sys, importlib; sys.path.insert(0, %r); [importlib.import_module(name) for name in %r]" % (str(
        path), names)
    done = subprocess.run([sys.executable, "-I", "-c", code], check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_version_is_that_of_the_collection(tmp_path):
    assert application.collection_version(str(tmp_path)) == "unknown"
    (tmp_path / "galaxy.yml").write_text("namespace: cfengine\nversion: 0.1.0\n", encoding="utf-8")
    assert application.collection_version(str(tmp_path)) == "0.1.0"
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "0.2.0"}}', encoding="utf-8")
    assert application.collection_version(str(tmp_path)) == "0.2.0", "what was installed counts"


def test_what_is_no_application_has_no_version(tmp_path):
    assert application.version_of(str(tmp_path / "none")) is None
    (tmp_path / "text").write_text("x", encoding="utf-8")
    assert application.version_of(str(tmp_path / "text")) is None


@pytest.fixture(name="places")
def fixture_places(tmp_path):
    return placing.Places(str(tmp_path / "lib" / "hub-ha.pyz"), str(tmp_path / "sbin" / "hub-ha"))


def test_it_is_put_in_place_and_taken_away(places, tmp_path):
    content = built()
    digest, sent = placing.digest(content), tmp_path / "sent"
    first = placing.present(digest, "1.2.3", None, places=places)
    assert first.changed and first.needed and first.before == "absent\n" and not os.path.exists(places.program)
    sent.write_bytes(content)
    told = placing.present(digest, "1.2.3", str(sent), check=True, places=places)
    assert told.changed and not told.needed and not os.path.exists(places.file)
    done = placing.present(digest, "1.2.3", str(sent), places=places)
    assert done == told and done.after == "version 1.2.3\nsha256 %s\n" % digest
    assert placing.right(places.file, 0o644) and placing.right(places.program, 0o755)
    assert subprocess.run([places.program, "version"], check=True, capture_output=True, text=True).stdout == "1.2.3\n"
    again = placing.present(digest, "1.2.3", None, places=places)
    assert not again.changed and not again.needed and again.before == again.after
    os.chmod(places.program, 0o700)
    mended = placing.present(digest, "1.2.3", None, places=places)
    assert mended.changed and not mended.needed and placing.right(places.program, 0o755)
    assert placing.absent(check=True, places=places).changed and os.path.exists(places.file)
    gone = placing.absent(places=places)
    assert gone.changed and gone.after == "absent\n" and not os.path.exists(places.program)
    assert not os.path.exists(os.path.dirname(places.file)) and not placing.absent(places=places).changed


def test_half_of_it_is_not_put_in_place(places, tmp_path):
    (tmp_path / "sent").write_bytes(built()[:-1])
    with pytest.raises(HubError, match="did not arrive whole"):
        placing.present(placing.digest(built()), "1.2.3", str(tmp_path / "sent"), places=places)
    assert not os.path.exists(places.file) and not os.path.exists(places.program)
