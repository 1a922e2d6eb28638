# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each supported system calls things, and what the plan says of one that is not supported."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import platforms
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import system as host_system
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import upgrade as plan
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.packages import SAME_VERSION
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

RELEASES = Path(__file__).parents[1] / "fixtures" / "os-release"
APT = ["corosync", "pacemaker", "pacemaker-cli-utils"]
DNF = ["corosync", "pacemaker", "pacemaker-cli", "resource-agents", "perl-interpreter", "procps-ng", "openssl"]
# file name: packager, repository, PostgreSQL of the distribution, package of fence_ipmilan
KNOWN = {
    "debian-12": ("apt", None, 15, "fence-agents"), "debian-13": ("apt", None, 17, "fence-agents-ipmilan"),
    "ubuntu-22.04": ("apt", None, 14, "fence-agents-base"), "ubuntu-24.04": ("apt", None, 16, "fence-agents-base"),
    "rhel-8": ("dnf", "rhel-8-for-x86_64-highavailability-rpms", None, "fence-agents-ipmilan"),
    "rhel-9": ("dnf", "rhel-9-for-x86_64-highavailability-rpms", None, "fence-agents-ipmilan"),
    "rhel-10": ("dnf", "rhel-10-for-x86_64-highavailability-rpms", None, "fence-agents-ipmilan"),
    "ol-8": ("dnf", "ol8_addons", None, "fence-agents-ipmilan"),
    "ol-9": ("dnf", "ol9_addons", None, "fence-agents-ipmilan"),
    "ol-10": ("dnf", "ol10_addons", None, "fence-agents-ipmilan"),
}
for name in ("rocky", "almalinux", "centos"):
    KNOWN[name + "-8"] = ("dnf", "ha", None, "fence-agents-ipmilan")
    KNOWN[name + "-9"] = KNOWN[name + "-10"] = ("dnf", "highavailability", None, "fence-agents-ipmilan")
UNKNOWN = {"debian-sid": "Debian GNU/Linux forky/sid", "ubuntu-20.04": "Ubuntu 20.04.6 LTS", "rhel-7": "7.9 (Maipo)",
           "fedora-42": "Fedora Linux 42", "sles-15": "SUSE Linux Enterprise Server 15 SP6"}


def system(name, machine="x86_64"):
    return dict(host_system.os_release((RELEASES / name).read_text(encoding="utf-8")), machine=machine)


def hubs(first, second=None, **changes):
    """Results for two hubs on these systems, with everything installed."""
    results = pair.results()
    for result, name in zip(results.values(), (first, second or first)):
        info = result["hub"]
        info["os"] = system(name)
        info["platform"] = platforms.resolve(info["os"])
        pair.install(info)
        info.update(changes)
    return results


def enterprise(results):
    for result in results.values():
        result["hub"].update(layout=dict(LAYOUTS["enterprise"]))
        result["hub"]["cfengine"]["edition"] = "enterprise"
        result["hub"]["packages"] = dict((name, {"installed": "3.1.8-1", "candidate": "3.1.8-1"}) for name in (
            "corosync", "perl-interpreter", "procps-ng", "openssl"))
        for name, version in (("pacemaker", "2.1.7-5"), ("pacemaker-cli", "2.1.7-5"), ("resource-agents", "4.10.0-71"),
                              ("cfengine-nova-hub", "3.24.2-1.el9")):
            result["hub"]["packages"][name] = {"installed": version, "candidate": version}
    results["hub1"]["hub"]["layout_found"] = "enterprise"
    results["hub2"]["hub"].update(layout_found="enterprise")
    results["hub2"]["hub"]["cfengine"].update(version="3.24.2", installed=True)
    return results


def failures(results, **settings):
    settings.setdefault("cluster_packages", [])
    return plan.make_plan(results, pair.settings(**settings))["failures"]


def test_every_fixture_is_tested():
    assert sorted(path.name for path in RELEASES.iterdir()) == sorted(list(KNOWN) + list(UNKNOWN))


@pytest.mark.parametrize("name", KNOWN)
def test_supported(name):
    packager, repository, postgresql, fencing = KNOWN[name]
    found = platforms.resolve(system(name))
    assert found["name"] == name
    assert (found["packager"], found["repository"], found["postgresql"]) == (packager, repository, postgresql)
    assert platforms.fence_package(found, "fence_ipmilan") == fencing
    assert set(found["components"]) == set(SAME_VERSION)
    assert set(found["components"].values()) <= set(found["cluster_packages"])
    if packager == "apt":
        agents = ["resource-agents-base", "resource-agents-extra"] if "ubuntu" in name else ["resource-agents"]
        assert found["cluster_packages"] == APT + agents + ["perl", "procps", "openssl"]
        assert found["layouts"] == ["debian", "enterprise"] and found["enable"] == []
        assert found["corosync_log"] == "/var/log/corosync/corosync.log"
    else:
        assert found["cluster_packages"] == DNF and found["layouts"] == ["enterprise"]
        assert found["corosync_log"] == "/var/log/cluster/corosync.log"
        assert found["enable"][0] == ("subscription-manager" if name.startswith("rhel") else "dnf")
        assert found["enable"][-1].endswith(repository)


@pytest.mark.parametrize("name", UNKNOWN)
def test_not_supported(name):
    assert platforms.resolve(system(name)) is None
    found = [item for item in failures(hubs(name), cluster_packages=pair.CLUSTER_PACKAGES)
             if "not supported" in item["problem"]]
    assert [item["host"] for item in found] == ["hub1", "hub2"]
    assert UNKNOWN[name] in found[0]["problem"] and "Debian 12 and 13, Ubuntu" in found[0]["remedy"]


def test_a_host_that_does_not_say_what_it_is():
    results = pair.results()
    results["hub2"]["hub"].update(os=dict(host_system.os_release(""), machine="x86_64"), platform=None)
    assert "there is no /etc/os-release" in failures(results, cluster_packages=pair.CLUSTER_PACKAGES)[0]["problem"]


def test_machine_and_the_operators_repository():
    assert platforms.resolve(system("rhel-9", "aarch64"))["repository"] == "rhel-9-for-aarch64-highavailability-rpms"
    found = platforms.resolve(system("rhel-9"), "our-mirror-ha")
    assert found["repository"] == "our-mirror-ha"
    assert found["enable"] == ["subscription-manager", "repos", "--enable=our-mirror-ha"]
    assert platforms.resolve(system("debian-13"), "our-mirror-ha")["repository"] is None
    assert platforms.resolve(system("rocky-8"))["enable"] == ["dnf", "config-manager", "--set-enabled", "ha"]


def test_resolving_changes_no_table():
    platforms.resolve(system("rhel-9"), "x")["cluster_packages"].append("y")
    assert platforms.resolve(system("rocky-9"))["cluster_packages"] == DNF
    assert platforms.resolve(system("rhel-9"))["cluster_packages"] == DNF


@pytest.mark.parametrize("agent, debian13, ubuntu", [
    ("fence_idrac", "fence-agents-ipmilan", "fence-agents-base"),
    ("fence_apc", "fence-agents-apc", "fence-agents-extra"),
    ("fence_vmware_rest", "fence-agents-vmware-rest", "fence-agents-extra")])
def test_fence_packages(agent, debian13, ubuntu):
    assert platforms.fence_package(platforms.resolve(system("debian-13")), agent) == debian13
    assert platforms.fence_package(platforms.resolve(system("ubuntu-24.04")), agent) == ubuntu
    assert platforms.fence_package(platforms.resolve(system("debian-12")), agent) == "fence-agents"
    assert platforms.fence_package(None, agent) is None


def test_names_come_from_the_system_unless_they_are_given():
    found = plan.make_plan(hubs("ubuntu-24.04"), pair.settings(
        cluster_packages=[], fencing_packages=["fence-agents-base"]))
    assert found["packages"]["hub1"] == ["resource-agents-base", "resource-agents-extra", "fence-agents-base"]
    found = plan.make_plan(hubs("ubuntu-24.04"), pair.settings(cluster_packages=["corosync", "own-agents"]))
    assert found["packages"]["hub1"] == ["own-agents"]


def test_hubs_of_two_systems_make_no_pair():
    found = failures(hubs("debian-12", "debian-13"))
    assert [item["problem"] for item in found] == [
        "the hubs differ in their system: debian-12 on hub1 and debian-13 on hub2"]


def test_enterprise_on_rhel():
    results = enterprise(hubs("rhel-9"))
    assert failures(results) == []
    assert plan.make_plan(results, pair.settings(cluster_packages=[]))["platform"]["name"] == "rhel-9"
    results["hub2"]["hub"]["packages"]["resource-agents"] = {"installed": "4.9.0-54", "candidate": "4.9.0-54"}
    assert "resource-agents would differ" in failures(results)[0]["problem"]


def test_debians_layout_is_not_on_rhel():
    found = [item for item in failures(hubs("rocky-9")) if "Debian's layout" in item["problem"]]
    assert len(found) == 2 and "set hub_ha_layout to enterprise" in found[0]["remedy"]


def test_the_repository_is_named_with_its_command():
    results = enterprise(hubs("rhel-8"))
    for name in ("corosync", "pacemaker"):
        results["hub2"]["hub"]["packages"][name] = {"installed": "", "candidate": ""}
    found = failures(results)
    assert [item["host"] for item in found] == ["hub2"], "one failure for one cause"
    assert found[0]["problem"] == "not installed, and offered by no package source: corosync, pacemaker"
    assert "subscription-manager repos --enable=rhel-8-for-x86_64-highavailability-rpms" in found[0]["remedy"]
    assert "hub_ha_enable_repository to true" in found[0]["remedy"]
    found = failures(results, enable_repository=True)
    assert "not even with the repository rhel-8-for-x86_64-highavailability-rpms: corosync" in found[0]["problem"]
    assert "dnf repolist --all" in found[0]["remedy"] and "hub_ha_repository" in found[0]["remedy"]


@pytest.mark.parametrize("mode, on, manage, warned", [
    ("enforcing", False, "check", True), ("enforcing", False, "manage", False), ("enforcing", True, "check", False),
    ("permissive", False, "check", False)])
def test_selinux_is_said_or_set(mode, on, manage, warned):
    results = enterprise(hubs("rhel-9", selinux={"mode": mode, "booleans": {"daemons_enable_cluster_mode": on}}))
    found = plan.make_plan(results, pair.settings(cluster_packages=[], selinux=manage))
    warnings = [item for item in found["warnings"] if item["code"] == "SELINUX_BOOLEAN"]
    assert len(warnings) == (2 if warned else 0) and found["failures"] == []
    if warned:
        assert "setsebool -P daemons_enable_cluster_mode on" in warnings[0]["remedy"]
