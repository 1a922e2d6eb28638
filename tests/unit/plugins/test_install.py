# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hub is made first, and what is known of a pair before there is one."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.cfengine.hub_ha.plugins.filter import install as filters
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import platforms
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine.layout import LAYOUTS
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import install, package_source, upgrade as plan
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.hub import pair

GOOD = "sha256:" + "0a" * 32


def blanks():
    return {"hub1": pair.blank_hub("hub1", 10), "hub2": pair.blank_hub("hub2", 11)}


NEW = {"state": "stopped", "started": False, "control": {"state": "shut down", "system_identifier": pair.SYSTEM}}


def tried(packages=None, problems=(), file=None):
    offers = dict(pair.VERSIONS) if packages is None else packages
    return {"packages": offers, "problems": list(problems), "file": file}


def enterprise(info, version="3.24.1"):
    """The vendor's package on a host: it has made a database and started it, and never got policy."""
    info["layout_found"], info["layout"] = "enterprise", copy.deepcopy(LAYOUTS["enterprise"])
    info["cfengine"] = dict(pair.live_hub()["cfengine"], version=version, edition="enterprise", am_policy_hub=False,
                            policy_server=None)
    info["postgres"] = dict(pair.live_hub()["postgres"], data_version="16", bin_dir="/var/cfengine/bin",
                            bins={"16": "/var/cfengine/bin"})
    info["postgres"]["server"] = dict(info["postgres"]["server"], version_num=160004)
    info["ports"] = [22, 5432]
    return info


def make(infos, first="hub1", source="repository", checksum="", of=None, **settings):
    found = dict((host, {"hub": info}) for host, info in infos.items())
    of = of or {}
    plans = {"first": first, "source": source, "checksum": checksum,
             "tried": dict((host, of.get(host, tried())) for host in infos)}
    return plan.make_plan(found, pair.settings(install=plans, **settings), {})


def problems(found):
    return ["%s: %s" % (item["host"], item["problem"]) for item in found["failures"]]


# --- which hub is first ------------------------------------------------------------------------------------------

def test_the_first_of_two_blank_hosts_is_first():
    assert install.first_hub(blanks()) == "hub1"
    assert filters.install_first(dict((host, {"hub": info}) for host, info in blanks().items())) == {"first": "hub1"}


def test_what_was_begun_is_gone_on_with():
    infos = blanks()
    infos["hub2"]["postgres"].update(NEW)
    assert install.first_hub(infos) == "hub2", "a database that never ran"
    infos = blanks()
    infos["hub2"]["cfengine"]["am_policy_hub"] = True
    assert install.first_hub(infos) == "hub2", "a policy hub without a database"
    infos["hub1"]["cfengine"]["installed"] = True
    assert install.first_hub(infos) == "hub2", "a package alone is nothing"


@pytest.mark.parametrize("change", [
    dict(NEW, started=True), dict(NEW, backup_label=True), dict(NEW, standby_signal=True), dict(NEW, control={}),
    dict(NEW, control={"state": "in production"}), dict(NEW, state="primary"), {"state": "standby"},
    {"state": "unreachable"}, {"state": "foreign"}])
@pytest.mark.parametrize("host", ["hub1", "hub2"])
def test_a_database_that_ran_is_nobodys_to_make(host, change):
    infos = blanks()
    infos[host]["postgres"].update(change)
    assert install.first_hub(infos) is None


def test_a_live_hub_a_pair_and_a_hub_that_does_not_answer():
    live = dict((host, item["hub"]) for host, item in pair.results().items())
    assert install.first_hub(live) is None
    assert install.first_hub(dict((host, item["hub"]) for host, item in pair.running_pair("hub1").items())) is None
    assert filters.install_first({"hub1": {"hub": blanks()["hub1"]}, "hub2": {"msg": "no route"}}) == {}
    infos = blanks()
    infos["hub1"]["cluster"]["has_database"] = True
    assert install.first_hub(infos) is None, "pacemaker has one in hand"


def test_what_the_vendors_package_makes_is_nobodys_data_until_there_is_policy():
    infos = blanks()
    for info in infos.values():
        enterprise(info)
    assert install.first_hub(infos) == "hub1"
    assert install.package_made(infos["hub2"])
    infos["hub2"]["cfengine"]["policy_server"] = "192.168.100.11"
    assert not install.package_made(infos["hub2"])
    assert install.first_hub(infos) is None
    debian = blanks()
    debian["hub1"]["postgres"].update(state="primary", started=True)
    debian["hub1"]["layout_found"] = "debian"
    assert not install.package_made(debian["hub1"]), "Debian's package makes none"


# --- what the pair will be ---------------------------------------------------------------------------------------

def test_two_blank_hosts():
    before = blanks()
    found = make(before)
    assert problems(found) == [] and found["complete"]
    assert (found["active"], found["passive"]) == ("hub1", "hub2")
    assert (found["pg_major"], found["pg_bin"], found["edition"]) == (17, "/usr/lib/postgresql/17/bin", "community")
    assert found["packages"]["hub1"] == found["packages"]["hub2"]
    assert set(found["packages"]["hub1"]) >= {"cfengine3", "postgresql-17", "corosync", "pacemaker"}
    assert found["db_user"] == {"exists": False, "group": "cfpostgres", "groups": ["postgres"], "shell": "/bin/sh",
                                "home": "/var/lib/cfengine3/state/pg"}
    assert before == blanks(), "the facts themselves stay as they were read"


def test_every_check_of_the_upgrade_holds_here_too():
    infos = blanks()
    infos["hub2"]["uname"] = "hub1"
    infos["hub2"]["postgres"]["state"] = "absent"
    infos["hub2"]["ports"] = [22, 5432]
    found = make(infos, fencing=None, virtual_ip="10.1.1.1")
    said = "\n".join(problems(found))
    for words in ("both hubs answer to the name", "fencing is not decided", "lies in no subnet",
                  "hub2: something else listens on port 5432"):
        assert words in said


def test_what_a_source_offers_now_counts_and_not_the_hosts_old_lists():
    infos = blanks()
    for info in infos.values():
        info["packages"] = dict((name, {"installed": "", "candidate": ""}) for name in info["packages"])
    assert problems(make(infos)) == []
    gone = dict(pair.VERSIONS, cfengine3="")
    assert "hub2: package cfengine3 is not installed and no package source offers it" in problems(
        make(infos, of={"hub2": tried(gone)}))


def test_a_source_that_cannot_be_reached_stands_in_the_report():
    found = make(blanks(), of={"hub2": tried({}, ["a package source cannot be used: E: no route"])})
    assert problems(found)[0] == "hub2: a package source cannot be used: E: no route"
    assert "reaches its package source" in found["failures"][0]["remedy"]


@pytest.mark.parametrize("name, version, said", [
    ("cfengine3", "3.21.0-1", "hub2: CFEngine 3.21.0 here and 3.24.2 on hub1"),
    ("postgresql-17", "17.2-1",
     "all: postgresql-17 would differ between the hubs: 17.6-0+deb13u1 on hub1, 17.2-1 on hub2"),
    ("corosync", "3.1.8-1", "all: corosync would differ between the hubs: 3.1.9-2 on hub1, 3.1.8-1 on hub2"),
    ("postgresql-17", "", "all: there is no version of PostgreSQL that both hubs can have (hub1: 17; hub2: none)")])
def test_versions_that_would_differ(name, version, said):
    found = make(blanks(), of={"hub2": tried(dict(pair.VERSIONS, **{name: version}))})
    assert said in problems(found)


def test_newest_postgresql_that_both_have_unless_one_is_there():
    both = tried(dict(pair.VERSIONS, **{"postgresql-18": "18.1-1", "postgresql-16": "16.4-1"}))
    assert make(blanks(), of={"hub1": both})["pg_major"] == 17
    assert make(blanks(), of={"hub1": both, "hub2": both})["pg_major"] == 18
    infos = blanks()
    infos["hub1"]["postgres"]["bins"] = {"16": "/usr/lib/postgresql/16/bin"}
    assert make(infos, of={"hub1": both, "hub2": both})["pg_major"] == 16
    infos["hub1"]["postgres"].update(state="stopped", data_version="17")
    assert make(infos, of={"hub1": both, "hub2": both})["pg_major"] == 17, "the database that is there decides"


def test_a_client_and_two_policy_hubs_are_refused():
    infos = blanks()
    infos["hub1"]["cfengine"].update(policy_server="10.7.7.7", installed=True)
    assert "hub1: this host is a client: it gets its policy from 10.7.7.7" in problems(make(infos))
    infos = blanks()
    for info in infos.values():
        info["cfengine"].update(am_policy_hub=True, version="3.24.2", installed=True)
    assert "all: both hosts are policy hubs already, and neither has a database" in problems(make(infos))


def test_a_policy_hub_keeps_what_is_wrong_with_it():
    infos = blanks()
    infos["hub1"]["cfengine"] = dict(pair.live_hub()["cfengine"], def_json_error="Extra data")
    assert any("is not what CFEngine reads: Extra data" in text for text in problems(make(infos)))


# --- a package file ----------------------------------------------------------------------------------------------

def test_a_package_file_gives_the_version():
    file = {"name": "cfengine3", "version": "3.27.0-1", "architecture": "amd64", "sha256": "0" * 64}
    of = dict((host, tried(dict(pair.VERSIONS, cfengine3=""), file=file)) for host in ("hub1", "hub2"))
    found = make(blanks(), source="/srv/cfengine3.deb", of=of)
    assert problems(found) == [] and "cfengine3" in found["packages"]["hub1"]
    infos = blanks()
    infos["hub2"]["cfengine"].update(installed=True, version="3.24.1")
    infos["hub2"]["layout_found"] = "debian"
    assert "hub2: CFEngine 3.24.1 here and 3.27.0 on hub1" in problems(make(infos, source="/srv/cfengine3.deb", of=of))


def test_a_package_that_is_no_hubs():
    file = {"name": "nginx", "version": "1.0", "architecture": "amd64", "sha256": "0" * 64}
    found = make(blanks(), source="/srv/nginx.deb", of={"hub1": tried(file=file), "hub2": tried(file=file)})
    assert "hub1: the package of hub_ha_package_source is nginx, which is no hub's" in problems(found)


@pytest.mark.parametrize("source, checksum, said", [
    ("repository", "", None), ("repository", GOOD, "is the hosts' own repository"),
    ("https://x/y.deb", "", "is a URL, and hub_ha_package_checksum is not set"),
    ("https://x/y.deb", GOOD, None), ("https://x/y.deb", "md5:12", "is no SHA-256 checksum"),
    ("/srv/y.deb", "", None), ("/srv/y.deb", "0A" * 32, None), ("y.deb", "sha256:12", "is no SHA-256 checksum")])
def test_words_for_the_source(source, checksum, said):
    found = package_source.source_problems(source, checksum)
    assert [(item.code, said in item.problem) for item in found] == ([("PACKAGE_CHECKSUM", True)] if said else [])
    assert any(said in text for text in problems(make(blanks(), source=source, checksum=checksum))) if said else True


# --- the vendor's package ----------------------------------------------------------------------------------------

def enterprise_blanks(installed=False):
    infos = blanks()
    for info in infos.values():
        info["layout"] = copy.deepcopy(LAYOUTS["enterprise"])
        if installed:
            enterprise(info)
            info["cfengine"]["key_digest"] = "SHA=" + info["uname"][-1] * 64
        else:
            info["packages"]["cfengine-nova-hub"] = {"installed": "", "candidate": "3.24.1-1"}
    return infos


def test_enterprise_from_its_package():
    of = dict((host, tried(dict(pair.VERSIONS, **{"cfengine-nova-hub": "3.24.1-1"}))) for host in ("hub1", "hub2"))
    found = make(enterprise_blanks(), of=of)
    assert problems(found) == []
    assert found["edition"] == "enterprise" and found["layout"]["name"] == "enterprise"
    for host in ("hub1", "hub2"):
        assert "cfengine-nova-hub" in found["packages"][host]
        assert not [name for name in found["packages"][host] if name.startswith(("postgresql", "cfengine3"))]


def test_enterprise_with_its_package_installed():
    infos = enterprise_blanks(installed=True)
    infos["hub1"]["packages"]["cfengine-nova-hub"] = infos["hub2"]["packages"]["cfengine-nova-hub"] = {
        "installed": "3.24.1-1", "candidate": "3.24.1-1"}
    assert "hub2: PostgreSQL runs as a primary on both hubs" in "".join(problems(make(infos)))
    stopped = copy.deepcopy(infos)
    stopped["hub2"]["postgres"].update(state="stopped", server=None, control={
        "state": "shut down", "system_identifier": pair.OTHER_SYSTEM, "timeline": 1})
    stopped["hub2"]["ports"] = [22]
    assert [text for text in problems(make(stopped)) if text.startswith("hub2: this hub has a database of its own")], \
        "nobody has noted that it is the package's, so it may be somebody's"
    infos["hub2"]["package_marker"] = stopped["hub2"]["package_marker"] = True
    assert problems(make(stopped)) == []
    found = make(infos)
    assert problems(found) == [], "the other hub's own database will be aside"
    assert (found["active"], found["pg_bin"], found["pg_major"]) == ("hub1", "/var/cfengine/bin", 16)
    infos["hub2"]["cfengine"]["version"] = "3.24.0"
    assert "hub2: CFEngine 3.24.0 here and 3.24.1 on hub1" in problems(make(infos))


def test_enterprise_where_dnf_is_the_packager():
    infos = enterprise_blanks()
    for info in infos.values():
        info["os"] = {"id": "rocky", "version": "9.4", "name": "Rocky Linux 9.4", "machine": "x86_64"}
        info["platform"] = platforms.resolve(info["os"])
        info["packages"] = dict((name, {"installed": "3.1.8-1", "candidate": "3.1.8-1"})
                                for name in info["platform"]["cluster_packages"])
        info["packages"]["resource-agents"]["installed"] = "4.10.0-71"
    of = dict((host, tried({"cfengine-nova-hub": "3.24.1-1.el9"})) for host in infos)
    found = make(infos, of=of, cluster_packages=[])
    assert problems(found) == []
    assert found["packages"] == {"hub1": ["cfengine-nova-hub"], "hub2": ["cfengine-nova-hub"]}
    assert "hub1: package cfengine-nova-hub is not installed and no package source offers it" in problems(
        make(infos, of={"hub1": tried({}), "hub2": of["hub2"]}, cluster_packages=[]))


def test_layout_of_a_package():
    assert install.package_layout("cfengine3") == "debian"
    assert filters.package_layout("cfengine-nova-hub") == "enterprise"
    assert install.package_layout("cfengine-community") is None
