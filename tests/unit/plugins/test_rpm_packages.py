# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages through dnf and rpm, as their programs answer; and the boolean of SELinux."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import CommandError, Completed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import packages, rpm as rpm_loader, selinux
from ansible_collections.cfengine.hub_ha.plugins.modules import rpm_packages, selinux_boolean

INSTALLED = "openssl 3.2.2-6.el9_5\npackage corosync is not installed\npackage pacemaker is not installed\n"
OFFERED = "corosync 3.1.8-2.el9\npacemaker 2.1.9-1.el9\n"
REPOLIST = "repo id                 repo name\nappstream               Rocky Linux 9 - AppStream\nbaseos     BaseOS\n"


class Host:
    """rpm and dnf of a host on which the repository of the cluster's packages can be enabled."""

    def __init__(self, enabled=False):
        self.enabled = enabled
        self.calls = []

    def __call__(self, argv, stdin=None, env=None, timeout=None, check=True):
        self.calls.append(argv)
        out, rc = "", 0
        if argv[0] == "rpm":
            out, rc = INSTALLED, 2
        elif "repoquery" in argv:
            out = OFFERED if self.enabled or "--enablerepo=highavailability" in argv else ""
        elif "repolist" in argv:
            out = REPOLIST + ("highavailability   HA\n" if self.enabled else "")
        elif "config-manager" in argv:
            self.enabled = True
        elif "install" in argv and not self.enabled:
            raise CommandError(Completed(argv, 1, "", "Error: Unable to find a match: corosync pacemaker"))
        return Completed(argv, rc, out, "")

    def changes(self):
        return [argv for argv in self.calls if "install" in argv or "config-manager" in argv]


def test_versions_installed_and_offered():
    names = ["corosync", "pacemaker", "openssl"]
    found = rpm_loader.packages(Host(), names)
    assert found["openssl"] == {"installed": "3.2.2-6.el9_5", "candidate": "3.2.2-6.el9_5"}
    assert found["corosync"] == {"installed": "", "candidate": ""}
    host = Host()
    found = rpm_loader.packages(host, names, "highavailability")
    assert found["pacemaker"] == {"installed": "", "candidate": "2.1.9-1.el9"}
    assert host.calls[-1][-2:] == ["corosync", "pacemaker"], "only what is not installed is looked for"
    assert host.changes() == []


def test_nothing_is_asked_of_the_sources_when_all_is_installed():
    host = Host()
    assert rpm_loader.packages(host, ["openssl"])["openssl"]["installed"] and len(host.calls) == 1


def test_the_hubs_loader_takes_dnf_where_there_is_no_apt(monkeypatch):
    monkeypatch.setattr(packages, "which", lambda name: None if name == "apt-cache" else "/usr/bin/" + name)
    assert packages.states(Host(True), ["corosync"])["corosync"]["candidate"] == "3.1.8-2.el9"
    monkeypatch.setattr(packages, "which", lambda name: None)
    assert packages.states(Host(), ["corosync"]) is None


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("enabled", [True, False])
def test_module(run_module, monkeypatch, check, enabled):
    host = Host(enabled)
    monkeypatch.setattr(rpm_packages, "local_runner", host)
    result = run_module(rpm_packages, check=check, diff=True, name=["corosync", "openssl"],
                        repository="highavailability",
                        enable=["dnf", "config-manager", "--set-enabled"])
    assert result["changed"] and result["installed"] == ["corosync"] and result["enabled"] is not enabled
    assert "corosync 3.1.8-2.el9" in result["diff"]["after"]
    assert ("repository highavailability enabled" in result["diff"]["after"]) is not enabled
    commands = [argv[1] if "config-manager" in argv else argv[-1] for argv in host.changes()]
    assert commands == ([] if check else ["corosync"] if enabled else ["config-manager", "corosync"])


def test_nothing_to_do(run_module, monkeypatch):
    host = Host()
    monkeypatch.setattr(rpm_packages, "local_runner", host)
    assert not run_module(rpm_packages, name=["openssl"], repository="highavailability")["changed"]
    assert host.changes() == []


def test_a_repository_that_is_not_enabled_is_dnfs_error(run_module, monkeypatch):
    monkeypatch.setattr(rpm_packages, "local_runner", Host())
    result = run_module(rpm_packages, name=["corosync"])
    assert result["failed"] and "Unable to find a match" in result["msg"]


def test_selinux_is_read_from_its_file_system(tmp_path):
    assert selinux.mode(str(tmp_path)) is None and selinux.booleans(["b"], str(tmp_path)) == {}
    (tmp_path / "booleans").mkdir()
    for name, text in (("enforce", "1"), ("booleans/b", "0 0"), ("booleans/c", "1 1")):
        (tmp_path / name).write_text(text, encoding="ascii")
    assert selinux.mode(str(tmp_path)) == "enforcing"
    assert selinux.booleans(["b", "c", "d"], str(tmp_path)) == {"b": False, "c": True}
    (tmp_path / "enforce").write_text("0", encoding="ascii")
    assert selinux.mode(str(tmp_path)) == "permissive"


@pytest.mark.parametrize("before, changed", [(False, True), (True, False), (None, False)])
@pytest.mark.parametrize("check", [True, False])
def test_boolean(run_module, monkeypatch, before, changed, check):
    calls = []
    states = {} if before is None else {"daemons_enable_cluster_mode": before}
    monkeypatch.setattr(selinux, "booleans", lambda names: states)
    monkeypatch.setattr(selinux_boolean, "local_runner", lambda argv, timeout: calls.append(argv))
    result = run_module(selinux_boolean, check=check, name="daemons_enable_cluster_mode")
    assert result["changed"] is changed and result["before"] is before
    assert calls == ([["setsebool", "-P", "daemons_enable_cluster_mode", "on"]] if changed and not check else [])
