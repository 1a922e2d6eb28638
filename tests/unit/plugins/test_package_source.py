# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""package_source: what sources offer, and that only the right file is ever kept."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
from functools import partial

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import Completed, HubError, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import package_source as loader
from ansible_collections.cfengine.hub_ha.plugins.modules import package_source

POLICY = """cfengine3:
  Installed: (none)
  Candidate: 3.24.1-1
  Version table:
     3.24.1-1 500
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """(path, SHA-256) of a real Debian package."""
    folder = tmp_path_factory.mktemp("deb")
    (folder / "root/DEBIAN").mkdir(parents=True)
    (folder / "root/DEBIAN/control").write_text(
        "Package: cfengine3\nVersion: 1:3.24.1-1\nArchitecture: all\nMaintainer: t <t@example.com>\n"
        "Description: test\n",
        encoding="ascii")
    path = folder / "cfengine3_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(folder / "root"), str(path)], check=True, capture_output=True)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def url(package):
    """The package's folder over HTTP on loopback."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=os.path.dirname(package[0]))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_port
    server.shutdown()


def keep(source, checksum, directory, check=False):
    """The library's keep(), with the client of the module."""
    return loader.keep(local_runner, package_source.opened, loader.PackageFile(source, checksum), str(directory), check)


def test_a_file_is_kept_once(package, url, tmp_path):
    folder = tmp_path / "cache"
    wanted = {"name": "cfengine3", "version": "1:3.24.1-1", "architecture": "all", "sha256": package[1]}
    for source in (package[0], url + "/cfengine3_all.deb?x=1"):
        checked = keep(source, "sha256:" + package[1], folder, True)
        assert checked.changed and checked.file == wanted and not folder.exists()
        done = keep(source, "sha256:" + package[1].upper(), folder)
        assert done == checked and done.path == str(folder / "cfengine3_all.deb")
        assert not keep(source, package[1], folder).changed
        assert os.listdir(folder) == ["cfengine3_all.deb"]
        (folder / "cfengine3_all.deb").write_bytes(b"a part of it")
        assert keep(source, package[1], folder).changed
        (folder / "cfengine3_all.deb").unlink()
        folder.rmdir()


@pytest.mark.parametrize("name, checksum, said", [
    ("cfengine3_all.deb", "0" * 64, "and not the one that was given"),
    ("lacks.deb", "0" * 64, "cannot be had: HTTP Error 404"),
    ("root/DEBIAN/control", None, "is neither a Debian nor an RPM package")])
def test_a_wrong_file_is_not_kept(package, url, tmp_path, name, checksum, said):
    if checksum is None:
        with open(os.path.join(os.path.dirname(package[0]), name), "rb") as stream:
            checksum = hashlib.sha256(stream.read()).hexdigest()
    with pytest.raises(HubError, match=said):
        keep("%s/%s" % (url, name), checksum, tmp_path)
    assert os.listdir(tmp_path) == []


def test_no_secret_of_a_url_is_printed(tmp_path):
    assert loader.shown("https://user:word@h.example:8443/p/x.deb?token=t#f") == "https://h.example:8443/p/x.deb"
    assert loader.shown("/srv/x.deb") == "/srv/x.deb"
    with pytest.raises(HubError) as caught:
        keep("http://user:word@127.0.0.1:9/x.deb?token=t", "0" * 64, tmp_path)
    assert "word" not in caught.value.message and "token" not in caught.value.message


def test_nobody_answers(tmp_path):
    with pytest.raises(HubError, match="http://127.0.0.1:9/x.deb cannot be had: .*refused"):
        keep("http://127.0.0.1:9/x.deb", "0" * 64, tmp_path)
    with pytest.raises(HubError, match="/lacks.deb cannot be had: .*No such file"):
        keep("/lacks.deb", "", tmp_path)


class Apt:
    """A runner that answers as apt does and keeps what was run."""

    def __init__(self, rc=0, err=""):
        self.rc, self.err, self.calls = rc, err, []

    def __call__(self, argv, **more):
        self.calls.append(argv)
        if argv[:2] == ["apt-get", "update"]:
            return Completed(argv, self.rc, "", self.err)
        return Completed(argv, 0, POLICY, "")


@pytest.fixture(autouse=True)
def apt_host(monkeypatch):
    monkeypatch.setattr(loader, "which", lambda name: "/usr/bin/" + name if name.startswith("apt") else None)


def test_repositories_are_asked_with_lists_of_their_own():
    run = Apt()
    assert loader.repository(run, ["cfengine3", "lacks"]) == ({"cfengine3": "3.24.1-1", "lacks": ""}, None)
    for argv in run.calls:
        lists = [word for word in argv if word.startswith("Dir::State::lists=")][0].split("=")[1]
        assert "/hub_ha.sources." in lists and not os.path.exists(lists)


@pytest.mark.parametrize("rc, err", [
    (100, "W: something\nE: Failed to fetch http://x  Could not connect\nE: Some index files failed to download\n"),
    (0, "W: Failed to fetch http://x  Could not connect\n")])
def test_a_repository_that_fails_is_told(rc, err):
    offers, problem = loader.repository(Apt(rc, err), ["cfengine3"])
    assert offers == {"cfengine3": "3.24.1-1"}
    assert problem.startswith("a package source cannot be used: ") and "Failed to fetch http://x" in problem
    assert "something" not in problem


def test_dnf(monkeypatch):
    monkeypatch.setattr(loader, "which", lambda name: "/usr/bin/dnf" if name == "dnf" else None)
    answer = Completed([], 0, "cfengine-nova-hub 3.24.1-1.el9\n\n", "")
    assert loader.repository(lambda argv, **more: answer, ["cfengine-nova-hub", "lacks"]) == (
        {"cfengine-nova-hub": "3.24.1-1.el9", "lacks": ""}, None)
    broken = Completed([], 1, "", "Error: Failed to download metadata for repo 'x'\n")
    assert "Failed to download metadata" in loader.repository(lambda argv, **more: broken, [])[1]


def test_neither_apt_nor_dnf(monkeypatch):
    monkeypatch.setattr(loader, "which", lambda name: None)
    assert loader.repository(None, ["cfengine3"]) == (None, None)


def test_module_tries_and_changes_nothing(run_module, package, monkeypatch, tmp_path):
    monkeypatch.setattr(loader, "repository", lambda run, names, extra: ({"cfengine3": "1"}, "no route"))
    done = run_module(package_source, source=package[0], checksum="0" * 64, packages=["cfengine3"])
    assert not done["changed"] and done["file"] is None and done["packages"] == {"cfengine3": "1"}
    assert done["problems"][0] == "no route" and "cfengine3_all.deb has the checksum sha256:" in done["problems"][1]
    assert run_module(package_source, source=package[0])["file"]["name"] == "cfengine3"
    # a URL without a checksum is not even asked; the plan says what is missing
    assert run_module(package_source, source="http://127.0.0.1:9/x.deb")["problems"] == ["no route"]
    assert run_module(package_source)["file"] is None


def test_module_puts_it_into_its_place(run_module, package, tmp_path):
    arguments = dict(source=package[0], state="present", directory=str(tmp_path / "cache"))
    assert run_module(package_source, check=True, **arguments)["changed"] and not (tmp_path / "cache").exists()
    assert run_module(package_source, **arguments)["changed"]
    assert not run_module(package_source, **arguments)["changed"]
    assert run_module(package_source, state="present", source="http://127.0.0.1:9/x.deb")["failed"]
