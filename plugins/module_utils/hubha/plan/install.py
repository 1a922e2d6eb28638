# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pair from nothing: which hub is made a single hub first, and what both hubs will look like then.

Pure functions on plain data. The plan is made of what will be there, so that everything that stands against the pair is
known before the first package is installed.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..cfengine.layout import LAYOUTS
from ..core.problem import Problem, Report
from ..core.text import first_version
from ..facts import intake
from ..facts.model import HubFacts, Infos, Results
from .package_source import REPOSITORY, source_problems

# What the vendor's package makes of the database's user, but for the shell: PostgreSQL's programs are run with it.
USER_GROUPS, USER_SHELL = ("postgres",), "/bin/sh"


def package_made(info: HubFacts) -> bool:
    """Is the database here only what the vendor's package makes by itself? Its hub never got policy: nobody reports."""
    cfengine = info["cfengine"]
    return bool(info["layout_found"] == "enterprise" and info["postgres"]["state"] in ("primary", "stopped")
                and not cfengine["am_policy_hub"] and not cfengine["policy_server"])


def unused(info: HubFacts) -> bool:
    """Is there nothing here that anybody may have written to: no database, or one that never ran?

    Where a run was cut off this holds too, up to the moment in which the first hub is whole.
    """
    postgres = info["postgres"]
    if info["cluster"]["has_database"]:
        return False
    made = (postgres["state"] == "stopped" and postgres["control"].get("state") == "shut down"
            and not postgres["started"] and not postgres["backup_label"] and not postgres["standby_signal"])
    return bool(postgres["state"] == "absent" or made or package_made(info))


def first_hub(infos: Infos) -> Optional[str]:
    """The hub that has to be made a single hub; None when there is one, or something that is not to be touched.

    infos: {host: facts of module hub_info} in inventory order. What an earlier run has begun is gone on with.
    """
    if len(infos) != 2 or not all(unused(info) for info in infos.values()):
        return None
    begun = [host for host, info in infos.items() if info["cfengine"]["am_policy_hub"]] \
        or [host for host, info in infos.items() if info["postgres"]["state"] != "absent"]
    return next(iter(begun or infos))


def install_first(results: Results) -> Dict[str, str]:
    """{"first": first_hub()}, or {} when none is to be made. results: {host: result of module hub_info}."""
    first = first_hub(intake.hubs(results, Report()))  # the plan tells of facts that cannot be read
    return {"first": first} if first else {}


def package_layout(name: str) -> Optional[str]:
    """Name of the layout that the hub package of this name brings, or None."""
    return next((layout["name"] for layout in LAYOUTS.values() if name in layout["cfengine_packages"]), None)


def database_problems(names: Sequence[Any]) -> List[Problem]:
    """What is wrong with the operator's names of new databases."""
    wrong = ["hub_ha_databases names %r, which PostgreSQL has by itself" % name
             for name in names if name in ("postgres", "template0", "template1")]
    wrong += ["hub_ha_databases names %r, which is no name of a database" % name
              for name in names if not isinstance(name, str) or not 0 < len(name.encode()) < 64
              or any(ord(sign) < 32 for sign in name)]
    wrong += ["hub_ha_databases names %s twice" % name for name in sorted(set(names)) if names.count(name) > 1]
    remedy = "give each database of hub_ha_databases a name of its own, or leave the list out"
    return [Problem("DATABASE_NAME", "all", text, remedy) for text in wrong]


def pick_major(infos: Infos, first: str, supported: Sequence[int], report: Report) -> Optional[int]:
    """Newest major version of PostgreSQL that both hubs can have; None when there is none, or on another layout."""
    version = infos[first]["postgres"]["data_version"]
    if infos[first]["layout"]["name"] != "debian" or version:
        return int(version) if version.isdigit() else None
    can = {}
    for host, info in infos.items():
        packages = info["packages"] or {}
        can[host] = [major for major in supported if str(major) in info["postgres"]["bins"]
                     or packages.get("postgresql-%d" % major, {}).get("candidate")]
    both = [major for major in supported if all(major in majors for majors in can.values())]
    there = [major for major in both if str(major) in infos[first]["postgres"]["bins"]]
    if not both:
        there_is = "; ".join("%s: %s" % (host, ", ".join(map(str, majors)) or "none") for host, majors in can.items())
        report.fail("all", "there is no version of PostgreSQL that both hubs can have (%s)" % there_is,
                    "add the same package source on both; supported are %d to %d" % (supported[0], supported[-1]),
                    "POSTGRES_VERSION")
        return None
    return (there or both)[-1]


def foresee(infos: Infos, install: Mapping[str, Any], supported: Sequence[int],
            report: Report) -> Dict[str, HubFacts]:
    """Facts of both hubs as they will be once the first one is a single hub: {host: facts}.

    install: {"first": host, "source", "checksum", "tried": {host: result of module package_source}}. What of it cannot
    be is reported. supported: major versions of PostgreSQL.
    """
    first = install["first"]
    for problem in (source_problems(install["source"], install["checksum"])
                    + database_problems(install.get("databases") or [])):
        report.add(problem)
    tried = {host: install["tried"].get(host) or {} for host in infos}
    infos = {host: offered(info, tried[host]) for host, info in infos.items()}
    for host, info in infos.items():
        check_host(host, info, infos, install, report)
    hubs = [host for host, info in infos.items() if info["cfengine"]["am_policy_hub"]]
    if len(hubs) > 1:
        report.fail("all", "both hosts are policy hubs already, and neither has a database",
                    "decide whose policy the pair is to have; on the other one remove policy_server.dat and "
                    "state/am_policy_hub below %s" % infos[first]["layout"]["work_dir"], "TWO_POLICY_HUBS")
    major = pick_major(infos, first, supported, report)
    versions = {host: info["cfengine"]["version"] or coming(info, tried[host]) for host, info in infos.items()}
    return {host: as_first(info, major, versions[host]) if host == first else as_other(info, versions[host])
            for host, info in infos.items()}


def offered(info: HubFacts, tried: Mapping[str, Any]) -> HubFacts:
    """The facts with what the package source really offers now, which the host's own lists may not say yet."""
    packages = info["packages"]
    if packages is not None:
        packages = {name: state.copy() for name, state in packages.items()}
        for name, candidate in (tried.get("packages") or {}).items():
            packages.setdefault(name, {"installed": ""})["candidate"] = candidate
        file = tried.get("file")
        if file:
            packages.setdefault(file["name"], {"installed": ""})["candidate"] = file["version"]
    return {**info, "packages": packages}


def coming(info: HubFacts, tried: Mapping[str, Any]) -> Optional[str]:
    """Version (text) of CFEngine that will be installed, or None when it is not known."""
    if tried.get("file"):
        return first_version(tried["file"]["version"])
    name = info["layout"]["cfengine_packages"][0]
    return first_version((tried.get("packages") or {}).get(name) or "")


def check_host(host: str, info: HubFacts, infos: Infos, install: Mapping[str, Any], report: Report) -> None:
    """What stands against making a hub of this host."""
    tried, cfengine = install["tried"].get(host) or {}, info["cfengine"]
    for problem in tried.get("problems") or []:
        report.fail(host, problem, "see that this host reaches its package source and that the source is right"
                    if install["source"] == REPOSITORY else "correct hub_ha_package_source or hub_ha_package_checksum",
                    "PACKAGE_SOURCE")
    name = (tried.get("file") or {}).get("name")
    if name and package_layout(name) is None:
        ours = ", ".join(item for layout in LAYOUTS.values() for item in layout["cfengine_packages"])
        report.fail(host, "the package of hub_ha_package_source is %s, which is no hub's" % name,
                    "a hub needs one of: %s" % ours, "PACKAGE_NOT_A_HUB")
    own = [item["address"] for facts in infos.values() for item in facts["addresses"]]
    if cfengine["policy_server"] and not cfengine["am_policy_hub"] and cfengine["policy_server"] not in own:
        report.fail(host, "this host is a client: it gets its policy from %s" % cfengine["policy_server"],
                    "if it is to be a hub from now on, remove %s" % info["layout"]["policy_server"], "HUB_IS_CLIENT")


def as_other(info: HubFacts, version: Optional[str]) -> HubFacts:
    """Facts of the hub that will be cloned: its package may come. The database which that makes by itself is put aside
    when it was noted before that there was none.

    version: of CFEngine as it will be.
    """
    info, cfengine = info.copy(), info["cfengine"]
    brings_all = info["layout"]["name"] == "enterprise"
    if not cfengine["installed"] and brings_all and version:
        info["layout_found"] = info["layout"]["name"]
        info["cfengine"] = {**cfengine, "version": version}
    if package_made(info) and info["package_marker"]:
        info["postgres"] = {**info["postgres"], "state": "absent", "server": None, "control": {}, "pid": None}
        info["ports"] = [port for port in info["ports"] if port != info["postgres"]["port"]]
    return info


def as_first(info: HubFacts, major: Optional[int], version: Optional[str]) -> HubFacts:
    """Facts of the first hub once it is one: bootstrapped to itself, with a database that runs.

    major: of PostgreSQL; version: of CFEngine.
    """
    layout, cfengine, user, postgres = info["layout"], info["cfengine"].copy(), info["db_user"], info["postgres"].copy()
    cfengine["version"] = version
    if not cfengine["installed"]:
        cfengine["def_json_error"], cfengine["policy_framework"], cfengine["policy_links"] = None, True, []
        cfengine["policy_location"], cfengine["hub_list"] = None, None
        cfengine["edition"] = "enterprise" if layout["name"] == "enterprise" else "community"
    if not cfengine["am_policy_hub"]:
        cfengine["acl_in_policy"] = None  # the framework's own names the policy hub, which there is not yet
        cfengine["am_policy_hub"] = True
    if not user["exists"]:
        user = {**user, "group": layout["db_user"], "home": layout["pg_dir"], "groups": list(USER_GROUPS),
                "shell": USER_SHELL}
    postgres["state"] = "primary"
    if layout["name"] == "debian" and major:
        postgres["data_version"] = str(major)
        postgres["bin_dir"] = postgres["bins"].get(str(major)) or layout["pg_bin_globs"][0].replace("*", str(major))
    return {**info, "layout_found": layout["name"], "cfengine": cfengine, "db_user": user, "postgres": postgres}
