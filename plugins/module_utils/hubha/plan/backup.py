# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Full backups of a pair (or of a single hub) and putting one back: from where, and what stands against it.

Pure functions on plain data. A backup is a directory of a few files: the database, the files of each hub, the CIB, and,
written last, the manifest. What is saved of a hub: cfengine/own_files.py. A *look* at a place is what module
backup_look returns.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..cfengine.layout import LAYOUTS, Layout
from ..cluster import corosync
from ..cluster.model import Cluster
from ..core.problem import Problem, Report
from ..core.run import HubError
from ..core.text import as_list, first_version, human
from ..facts import intake, postgres as pg_facts
from ..facts.backup_format import CIB, STAYS, member
from ..facts.full_backup_job import space_for
from ..facts.model import HubFacts, Infos, Results
from ..pair import networks as pair_networks
from ..pair.copies import Copy, copy_problems
from ..pg import clone as basebackup_model
from ..pg.model import Server
from ..pg.slots import slot_name
from .checks import systems
from .checks.inventory import unread

Result = Mapping[str, Any]  # of a module, or a part of one
Settings = Mapping[str, Any]
# Whether a run still goes on; None when nobody here knows, as of a run on another controller.
Alive = Callable[[Any], Optional[bool]]

SILENT = 6 * 3600  # seconds without a sign of life after which a run on another controller is taken for dead
USUAL_PORT = 5432
RESOURCES = ("cfpgsql", "cfvirtip", "cfvirtip_repl")  # what the upgrade makes anew; cfvirtip_N and fencing too
# So many backups stay on a hub when they are fetched to a controller that may not last, and the operator gave no number:
# one more each night would fill the disk, and none was meant to stay.
KEPT = 2
MAX_LAG = 16  # MB that a passive hub may be behind to be the one that is copied


# --- places ---------------------------------------------------------------------------------------------------------

def place_problems(look: Result, layout: Optional[Layout], host: Optional[str]) -> List[Problem]:
    """What is wrong with a directory for backups. host: inventory name; None for the controller, without layout."""
    path = look["path"]
    where, prefix = (host, "") if host else ("the controller", "the controller: ")
    found: List[Problem] = []

    def add(code: str, text: str, remedy: str) -> None:
        found.append(Problem(code, host or "all", prefix + text, remedy))

    if not path.startswith("/") or look["real"] == "/":
        add("BACKUP_DIRECTORY", "the backup directory %r is no absolute path of a directory of its own" % path,
            "name one, such as /var/backups/cfengine-hub-ha-full")
        return found
    inside = next((name for name in (served(layout) if layout else [])
                   if (look["real"] + "/").startswith(name + "/")), None)
    if inside:
        add("BACKUP_DIRECTORY",
            "the backup directory %s lies inside %s, which is part of what is saved" % (path, inside),
            "choose a directory outside of it, best on another file system")
    if look["kind"] == "other":
        add("BACKUP_DIRECTORY", "the backup directory %s is no directory" % path,
            "move what is there away, or choose another")
    if look["kind"] == "directory" and look["mode"] & 0o077:
        add("BACKUP_DIRECTORY_OPEN", "others than its owner can get into the backup directory %s (mode %04o), and "
            "private keys would lie in it" % (path, look["mode"]),
            "chmod 0700 %s, on %s, or choose another" % (path, where))
    if look["kind"] == "directory" and look["uid"] != look["own_uid"]:
        add("BACKUP_DIRECTORY_OPEN", "the backup directory %s belongs to another user (uid %d)" % (path, look["uid"]),
            "chown %d %s, on %s, or choose another" % (look["own_uid"], path, where))
    return found


def served(layout: Layout) -> List[str]:
    """Directories in which no backup may lie: the database's, and what goes to clients or belongs to a hub."""
    return [layout["pg_dir"], layout["masterfiles"], layout["inputs"], layout["ppkeys"]]


# --- making one -----------------------------------------------------------------------------------------------------

def infos_of(results: Results, settings: Settings, unreachable: str, report: Report) -> Infos:
    """{host: facts} of the hubs that answered; the others are failures.

    unreachable: what to do about one that cannot be reached; %(host)s in it is that hub, %(others)s are the other ones.
    """
    report.failures.extend(settings.get("problems") or [])
    for host, result in results.items():
        if "hub" not in result:
            others = ",".join(name for name in results if name != host)
            report.add(unread(host, result, unreachable % {"host": host, "others": others}))
    return intake.hubs(results, report)


def looks_of(results: Mapping[str, Result], number: int = 0) -> Dict[str, Result]:
    """{place: its look at the path of that number}. results: {place: result of module backup_look, or of a skip}.

    A place that was not asked for so many paths has none.
    """
    return {place: result["looks"][number] for place, result in results.items()
            if len(result.get("looks") or []) > number}


def primary(info: HubFacts) -> Server:
    """What the server of the active hub says. Raises HubError where there is none, which no plan is made of."""
    server = info["postgres"]["server"]
    if server is None:
        raise HubError("PostgreSQL on %s does not answer" % info["uname"])
    return server


def is_pair(info: HubFacts) -> bool:
    """True when this hub's cluster has the database in hand."""
    return "cfpgsql" in info["cluster"]["cib_resources"]


def against_passive(active: str, passive: Optional[str], infos: Infos,
                    replication: Mapping[str, Result]) -> List[Problem]:
    """Why the passive hub is not the one to copy from; empty when it is."""
    if passive is None or not is_pair(infos[active]):
        return [Problem("PASSIVE_MISSING", active, "there is no passive hub",
                        "make the pair: playbooks/upgrade-to-ha.yml")]
    node = infos[passive]["uname"].lower()
    state = infos[active]["cluster"]["pgsql_status"].get(node)
    found = []
    if state not in ("HS:async", "HS:sync"):
        found.append(Problem("REPL_STOPPED", passive, "%s does not stream (cfpgsql-status %s)" % (passive, state),
                             "on %s: tail /var/log/postgresql.log" % passive))
    missing = [host for host in (active, passive) if "role" not in replication.get(host, {})]
    if missing:
        return found + [Problem("REPL_UNKNOWN", missing[0] if len(missing) == 1 else "all",
                                "PostgreSQL on %s does not say how replication goes" % " and ".join(missing),
                                "there, as root: psql -X -d postgres -c 'SELECT * FROM pg_stat_replication'")]
    return found + copy_problems(replication, Copy(active, passive, node, slot_name("hub_ha", node)), MAX_LAG)


def cut_off(look: Result, alive: Alive) -> List[Dict[str, Any]]:
    """What runs that were cut off left in a directory for backups: those of look's "unfinished" that may go.

    Only a run that holds the lock copies a database, so without the lock a plain copy is nobody's.
    """
    def may_go(item: Result) -> bool:
        state = alive(item["run"])
        return bool(item["copying"] or state is False or state is None and item["silent"] > SILENT)

    return [] if look.get("locked") else [item for item in look.get("unfinished", []) if may_go(item)]


def unknown(run: Any) -> Optional[bool]:
    """Alive, where nobody knows of any run."""
    return None


def backup_plan(results: Results, replication: Mapping[str, Result], looks: Mapping[str, Result], settings: Settings,
                alive: Alive = unknown, container: Optional[str] = None) -> Dict[str, Any]:
    """What playbook backup will do: {"failures", "warnings", "complete", ...}.

    results: {host: result of hub_info}. replication: {host: result of replication_info, or {}}. looks: {host: look at
    the directory there, and "controller": look at the one there if it goes there}. settings: hub, keep, lasts (whether
    the controller's directory outlives a container), problems. alive: see cut_off(). container: what tells that the
    controller may be one. "kept" is the hub's directory when the backup stays there although it is fetched, else empty;
    "keep_on_hub": how many stay there, 0 for all.
    """
    report = Report()
    infos = infos_of(results, settings, "mend that, or save the other hub alone: --limit %(others)s. What only "
                     "%(host)s has, its own keys, is then not in the backup", report)
    left = {place: cut_off(look, alive) for place, look in looks.items()}
    found: Dict[str, Any] = {
        "failures": report.failures, "warnings": report.warnings, "complete": False, "hubs": list(infos),
        "cut_off": {place: items for place, items in left.items() if items}}
    primaries = [host for host in infos if infos[host]["postgres"]["state"] == "primary"]
    states = ", ".join("%s: %s" % (host, infos[host]["postgres"]["state"]) for host in infos)
    if infos and len(primaries) != 1:
        report.fail("all", "%s (%s)" % ("PostgreSQL runs as a primary on both hubs" if primaries
                                        else "PostgreSQL runs as a primary on no hub", states),
                    "there must be one active hub: see docs/operate.md", "TWO_PRIMARIES" if primaries else "NO_PRIMARY")
    if len(results) > 2:
        report.fail("all", "the inventory's group has %d hubs" % len(results), "two hubs make a pair", "GROUP_SIZE")
    if settings["hub"] and settings["hub"] not in results:
        report.fail("all", "hub_ha_full_backup_hub names %s, which is no hub of this inventory" % settings["hub"],
                    "use the inventory's name of a hub, or leave it out", "HUB_UNKNOWN")
    if settings["keep"] < 0:
        report.fail("all", "hub_ha_full_backup_keep is %d" % settings["keep"], "give 0 (all are kept) or more",
                    "BACKUP_KEEP")
    if report.failures:
        return found
    active = primaries[0]
    passive = next((host for host in infos if host != active), None)
    pair = is_pair(infos[active])
    against = against_passive(active, passive, infos, replication)
    why_not = "; ".join(item.problem for item in against)
    source: str = settings["hub"] or (active if against or passive is None else passive)
    if source != active and against:
        report.fail(source, "hub_ha_full_backup_hub names it, and it is no healthy passive hub: %s" % why_not,
                    "mend that, or leave hub_ha_full_backup_hub out", against[0].code)
    info = infos[source]
    server = primary(infos[active])
    layout = infos[active]["layout"]
    for folder in server["tablespaces"] or []:
        report.fail(active, "a tablespace lies outside the data directory: %s" % folder,
                    "move its tables back to pg_default: such a copy could not be put back", "TABLESPACE_OUTSIDE")
    check_places(source, looks, found["cut_off"], layout, server["size_bytes"], report)
    kept = container and "controller" in looks and not settings["lasts"]
    if kept:
        report.warn("all", "the controller may be a container that is thrown away (%s), and what is fetched to %s with it: "
                    "the backup stays on %s too, in %s%s" % (
                        container, looks["controller"]["path"], source, looks[source]["path"],
                        "" if settings["keep"] else ", and of such ones there the newest %d do" % KEPT),
                    "carry it from there to where it lasts. If %s lasts, as a volume does, set "
                    "hub_ha_full_backup_fetch_lasts to true, and nothing stays on the hub" % looks["controller"]["path"],
                    "BACKUP_MAY_NOT_LAST")
    described = facts(infos, active, source)
    if kept:
        described[STAYS] = True
    found.update({
        "active": active, "passive": passive, "source": source, "pair": pair, "layout": layout,
        "kept": looks[source]["path"] if kept else "",
        "keep_on_hub": settings["keep"] or (KEPT if kept else 0),
        "why": "the passive hub is healthy" if source == passive and not settings["hub"] else
        "hub_ha_full_backup_hub says so" if settings["hub"] else why_not,
        "address": own_address(infos, source) if pair else None,
        "lsn": replication.get(active, {}).get("current_lsn") if source != active else None,
        "size": server["size_bytes"], "pg_bin": info["postgres"]["bin_dir"], "pg_port": info["postgres"]["port"],
        "socket_dir": info["postgres"]["socket_dir"],
        "system_identifier": pg_facts.system_identifier(info["postgres"]),
        "facts": described, "complete": True})
    return found


def check_places(source: str, looks: Mapping[str, Result], left: Mapping[str, List[Dict[str, Any]]], layout: Layout,
                 size: int, report: Report) -> None:
    """The directories on the hub and on the controller, and the space there, with what is removed there before."""
    for host in (source, None):
        key = host or "controller"
        place = looks.get(key)
        if not place:
            continue
        for problem in place_problems(place, layout if host else None, host):
            report.add(problem)
        need = space_for(size) if host else basebackup_model.space_needed(size)
        free = place["free_bytes"] + sum(item["bytes"] for item in left.get(key, []))
        if free < need:
            report.fail(host or "all", "%s are free for backups in %s on %s, and up to %s are needed (the database has "
                        "%s)" % (human(free), place["path"], where_is(key), human(need), human(size)),
                        "make room, or choose a directory on a larger file system", "DISK_SPACE")


def own_address(infos: Infos, host: str) -> Optional[str]:
    """An address of the hub's own from which its pg_hba.conf admits replication; None when it has none."""
    shared = {text for info in infos.values() for text in info["cluster"]["cib_addresses"]}
    networks = pair_networks.shared_networks(infos, shared)
    return networks[-1]["addresses"][host] if networks else None


def facts(infos: Infos, active: str, source: str) -> Dict[str, Any]:
    """What the manifest says of the hubs."""
    info = infos[active]
    listed = info["cfengine"]["hub_list"] or {}
    server = primary(info)
    return {
        "taken_from": infos[source]["uname"].lower(), "active": info["uname"].lower(),
        "hubs": {item["uname"].lower(): {"host": host, "key": item["cfengine"]["key_digest"],
                                         "archive": member(item["uname"].lower())}
                 for host, item in infos.items()},
        # A third hub outside the cluster is none of the pair's: a restore needs no host for it.
        "listed": sorted(hub["name"] for hub in listed.get("hubs", {}).values() if hub.get("in_cluster") is not False),
        "shared": listed.get("shared", []), "layout": info["layout"]["name"], "edition": info["cfengine"]["edition"],
        "cfengine_version": info["cfengine"]["version"], "os": info["os"]["name"],
        "db_user": {key: info["db_user"].get(key) for key in ("group", "groups", "home", "shell")},
        "postgres": {"major": server["version_num"] // 10000, "port": info["postgres"]["port"],
                     "system_identifier": pg_facts.system_identifier(info["postgres"])},
        "foreign_resources": foreign(info["cluster"])}


def foreign(cluster: Cluster) -> List[str]:
    """Resources of the CIB that the upgrade does not make by itself, sorted."""
    return sorted(name for name in cluster["cib_resources"] if name not in RESOURCES + tuple(cluster["cib_fencing"])
                  and not re.match(r"cfvirtip_\d+$", name))


def made_text(the_plan: Result, path: str, where: str, database: Result, sealed: Result, gone: Iterable[str]) -> str:
    """What the operator reads at the end."""
    lines = ["backup %s on %s" % (path, where),
             "database %s (%s packed), timeline %s, copied from %s: %s" % (
                 human(database["bytes"]), human(database["member"]["bytes"]), database["timeline"], the_plan["source"],
                 the_plan["why"]),
             "hubs %s; %d files of theirs%s" % (
                 ", ".join(sorted(the_plan["facts"]["hubs"])), sealed["files"], ", CIB" if sealed["cib"] else "")]
    lines += ["removed %s" % item for item in gone]
    missing = sorted(set(the_plan["facts"]["listed"]) - set(the_plan["facts"]["hubs"]))
    if missing:
        lines.append("NOT in it: the keys of %s" % ", ".join(missing))
    if the_plan["kept"]:
        lines.append("It lies in %s on %s too, with private keys in it, since the controller may be a container that is "
                     "thrown away: carry it to where it lasts, or set hub_ha_full_backup_fetch_lasts if it lasts here. "
                     "Of such ones the newest %d stay on a hub"
                     % (os.path.join(the_plan["kept"], os.path.basename(path)), the_plan["source"],
                        the_plan["keep_on_hub"]))
    if where != "the controller":
        lines.append("It lies on that hub only, with private keys in it: keep a copy elsewhere, or set "
                     "hub_ha_full_backup_fetch_dir")
    return "\n".join(lines)


# --- putting one back -----------------------------------------------------------------------------------------------

def choose(looks: Mapping[str, Result]) -> Tuple[Optional[str], Optional[Dict[str, Any]]]:
    """(place, backup) of the newest backup that is complete; of those that are not, if there is no other.

    looks: {place: look}; of two that are the same the first place counts, so hubs come before the controller.
    """
    found = [(item["complete"], item["name"], -number, place, item)
             for number, (place, look) in enumerate(looks.items()) for item in look.get("backups", [])]
    if not found:
        return None, None
    best = max(found, key=lambda entry: entry[:3])
    return best[3], best[4]


def hub_state(info: HubFacts, backup_id: str, system_identifier: str, port: int) -> Tuple[str, List[str]]:
    """("blank" | "begun" | "done" | "data", why) of a host on which a backup is to be put back. port: of its database.

    "begun" and "done": what lies there was put there from this very backup, as the hub's own note says. A pair that was
    the backup's source has the same database, but no such note.
    """
    note = info["restored"] or {}
    if note.get("state") == "begun" and info["cluster"]["cib_resources"]:
        note = dict(note, state="done")  # the upgrade that follows a restore has made the pair: it was finished
    state, system = info["postgres"]["state"], pg_facts.system_identifier(info["postgres"])
    if state == "absent" and note.get("state") == "begun":
        return "begun", []  # cut off before there was a database, whichever backup it was
    if note.get("backup") == backup_id and (state == "absent" or system == system_identifier):
        return "done" if note.get("state") == "done" else "begun", []
    why = []
    if state != "absent":
        why.append("a database lies in %s (%s, system %s)" % (info["postgres"]["data_dir"], state, system or "unknown"))
    elif port in info["ports"]:
        why.append("something listens on port %d" % port)
    if info["cfengine"]["am_policy_hub"]:
        why.append("it is a policy hub")
    elif info["cfengine"]["policy_server"]:
        why.append("it is a client of %s" % info["cfengine"]["policy_server"])
    cluster = info["cluster"]
    if cluster["cib_resources"] or (cluster["corosync_conf"] and not stock(cluster["corosync_conf"])):
        why.append("it belongs to a cluster")
    return ("data" if why else "blank"), why


def stock(text: str) -> bool:
    """True when a corosync.conf is what its package brings."""
    try:
        return bool(corosync.summary(text)["stock"])
    except ValueError:
        return False


def restore_plan(results: Results, looks: Mapping[str, Result], stages: Mapping[str, Result],
                 settings: Settings) -> Dict[str, Any]:
    """What playbook restore will do: {"failures", "warnings", "complete", ...}; see backup_plan.

    looks: {place: look at the given path}; a place is a host of the inventory or "controller". stages: {host: look at
    the directory there into which a backup comes from the controller}. settings: from, virtual_ips, accept_hub_keys,
    problems.
    """
    report = Report()
    infos = infos_of(results, settings, "a pair is put back as a whole: check address, network and SSH key of %(host)s",
                     report)
    found: Dict[str, Any] = {
        "failures": report.failures, "warnings": report.warnings, "complete": False, "restored": False,
        "hubs": list(infos)}
    if len(results) != 2:
        report.fail("all", "the inventory's group has %d hub(s)" % len(results), "exactly two hubs make a pair",
                    "GROUP_SIZE")
    place, backup = choose(looks)
    if not settings["from"]:
        report.fail("all", "hub_ha_restore_from is not set",
                    "give the backup, or the directory with backups, on a hub or on the controller", "BACKUP_MISSING")
    elif backup is None:
        report.fail("all", "there is no backup in %s, neither on %s nor on the controller"
                    % (settings["from"], " nor on ".join(results)), "correct hub_ha_restore_from", "BACKUP_MISSING")
    elif not backup["complete"]:
        report.fail("all", "the backup %s on %s cannot be used: %s"
                    % (backup["path"], where_is(place), "; ".join(backup["problems"])), "take another backup",
                    "BACKUP_DAMAGED")
    if report.failures or place is None or backup is None:
        return found
    manifest = backup["manifest"]
    system = manifest["postgres"]["system_identifier"]
    # One that was made before the port was noted is taken to have the usual one.
    port = manifest["postgres"].get("port", USUAL_PORT)
    states = {host: hub_state(info, backup["id"], system, port) for host, info in infos.items()}
    for host, (state, why) in states.items():
        if state == "data":
            report.fail(host, "this host is not blank: %s" % ", ".join(why),
                        "a backup is put back on two blank hosts only. If nothing of that is needed any more, install "
                        "the host anew; to bring one lost hub of a living pair back see docs/operate.md",
                        "HOST_NOT_BLANK")
    target = restore_target(infos, manifest, place)
    report.take(systems.problems(infos, manifest["layout"], "put it back on hosts of the system that the hubs had"))
    check_fit(infos, manifest, settings, report)
    layout = infos[target]["layout"] if infos[target]["layout_found"] else LAYOUTS[manifest["layout"]]
    placed = infos[target]["postgres"]["state"] != "absent"
    if not placed:
        states = {host: ("begun" if state == "done" else state, why) for host, (state, why) in states.items()}
        check_room(infos[target], stages[target] if place == "controller" else None, target, backup, layout, report)
    for text in manifest["shared"]:
        if text not in settings["virtual_ips"]:
            report.warn("all", "clients know the shared address %s, which hub_ha_virtual_ip does not name" % text,
                        "name it in hub_ha_virtual_ip, or lead them to the new one with playbooks/clients.yml",
                        "SHARED_ADDRESS_DIFFERS")
    found.update({
        "target": target, "other": next(host for host in infos if host != target), "place": place,
        "backup": {"path": backup["path"], "name": backup["name"], "id": backup["id"]}, "manifest": manifest,
        "layout": layout, "states": {host: state for host, (state, _why) in states.items()},
        "restored": all(state == "done" for state, _why in states.values()),
        "put": [host for host, (state, _why) in states.items() if state != "done"], "placed": placed,
        "archives": {host: (manifest["hubs"].get(info["uname"].lower()) or {}).get("archive")
                     for host, info in infos.items()},
        "packages": wanted_packages(infos, manifest, layout),
        "address": client_address(infos, target, manifest, settings["virtual_ips"]),
        "db_user": manifest["db_user"], "complete": True})
    return found


def where_is(place: Optional[str]) -> str:
    """A place for people: the controller, or a hub's inventory name."""
    return "the controller" if place in (None, "controller") else str(place)


def restore_target(infos: Infos, manifest: Result, place: str) -> str:
    """The hub that will be active: where the database lies already, else where the backup lies, else as it was."""
    placed = [host for host, info in infos.items() if info["postgres"]["state"] == "primary"] \
        or [host for host, info in infos.items() if info["postgres"]["state"] != "absent"]
    names = {info["uname"].lower(): host for host, info in infos.items()}
    return placed[0] if placed else place if place in infos else names.get(manifest["active"], list(infos)[0])


def check_fit(infos: Infos, manifest: Result, settings: Settings, report: Report) -> None:
    """Names, layout, edition and versions of the hosts against those of the backup."""
    accepted = [str(name).lower() for name in as_list(settings["accept_hub_keys"])]
    names = sorted(info["uname"].lower() for info in infos.values())
    listed = manifest.get("listed") or sorted(manifest["hubs"])
    for name in sorted(set(manifest["hubs"]) | set(listed)):
        if name not in names:
            report.fail("all", "the backup is of %s, and no host calls itself %s (they are %s)"
                        % (" and ".join(sorted(manifest["hubs"])), name, " and ".join(names)),
                        "give the hosts the names that the hubs had: hostnamectl set-hostname NAME", "HOST_NAMES")
    for host, info in infos.items():
        name = info["uname"].lower()
        if name in listed and name not in manifest["hubs"] and name not in accepted:
            report.fail(host, "the backup does not hold this hub's own keys, and clients trust no others",
                        "take a backup of both hubs; if its keys are lost: -e hub_ha_accept_hub_keys=%s, and clients "
                        "learn its new one from the other hub" % name, "BACKUP_WITHOUT_KEYS")
        if info["layout_found"] not in (None, manifest["layout"]):
            report.fail(host, "the backup is of layout %s, and CFEngine here has layout %s"
                        % (manifest["layout"], info["layout_found"]), "install the same kind of package as before",
                        "LAYOUT_DIFFERS")
            continue
        if info["layout_found"] is None and manifest["layout"] == "enterprise":
            report.fail(host, "the hub package is not installed here, and the backup is of the Enterprise layout",
                        "install the hub package (%s), stop it, and move its own database aside"
                        % manifest["cfengine_version"], "CFENGINE_MISSING")
            continue
        if info["layout_found"] and info["cfengine"]["edition"] != manifest["edition"]:
            report.fail(host, "the backup is of the edition %s, and this is %s"
                        % (manifest["edition"], info["cfengine"]["edition"]), "install the same edition as before",
                        "EDITION_DIFFERS")
        check_versions(host, info, manifest, report)


def check_versions(host: str, info: HubFacts, manifest: Result, report: Report) -> None:
    """CFEngine's and PostgreSQL's versions, installed or to be had."""
    version = info["cfengine"]["version"] or first_version(
        ((info["packages"] or {}).get("cfengine3") or {}).get("candidate") or "")
    if not version:
        report.fail(host, "CFEngine is not installed and no package source offers it",
                    "apt-get update, or add the package source, then check with: apt-cache policy cfengine3",
                    "CFENGINE_MISSING")
    elif version != manifest["cfengine_version"]:
        report.warn(host, "CFEngine %s here, the backup is of %s" % (version, manifest["cfengine_version"]),
                    "if that is not meant, install CFEngine %s here before" % manifest["cfengine_version"],
                    "BACKUP_VERSION")
    major = str(manifest["postgres"]["major"])
    package = (info["packages"] or {}).get("postgresql-" + major) or {}
    if major not in info["postgres"]["bins"] and (manifest["layout"] == "enterprise" or not package.get("candidate")):
        have = ", ".join(sorted(info["postgres"]["bins"])) or "none"
        report.fail(host, "the backup is of PostgreSQL %s, which is not installed here (%s) and no package source "
                    "offers" % (major, have),
                    "apt-get update, or add a package source with PostgreSQL %s: another version cannot read the "
                    "database" % major, "POSTGRES_VERSION")


def check_room(info: HubFacts, stage: Optional[Result], host: str, backup: Result, layout: Layout,
               report: Report) -> None:
    """Space for the database, and for a backup on its way from the controller. stage: None when it is there already."""
    size = backup["manifest"]["postgres"]["bytes"]
    free, need = info["space"]["free_bytes"], basebackup_model.space_needed(size)
    if free < need:
        report.fail(host, "%s free in %s, the database needs %s" % (human(free), info["space"]["path"], human(need)),
                    "make room or mount a larger file system there", "DISK_SPACE")
    if stage is None:
        return
    packed = sum(item["bytes"] for item in backup["manifest"]["members"])
    for problem in place_problems(stage, layout, host):
        report.add(problem)
    if stage["free_bytes"] < packed + basebackup_model.RESERVE:
        report.fail(host, "%s free in %s for the backup on its way, which has %s"
                    % (human(stage["free_bytes"]), stage["path"], human(packed)),
                    "make room, or choose another hub_ha_full_backup_dir", "DISK_SPACE")


def wanted_packages(infos: Infos, manifest: Result, layout: Layout) -> Dict[str, List[str]]:
    """{host: packages that are missing}: CFEngine and PostgreSQL on both hubs, where they come from packages."""
    wanted = list(layout["cfengine_packages"]) + ["postgresql-%s" % manifest["postgres"]["major"]]
    if layout["name"] != "debian":
        wanted = []
    return {host: [name for name in wanted if info["packages"] is not None
                   and not (info["packages"].get(name) or {}).get("installed")]
            for host, info in infos.items()}


def client_address(infos: Infos, target: str, manifest: Result, virtual_ips: Sequence[str]) -> Optional[str]:
    """The target's own address on the clients' network: to itself it is bootstrapped there."""
    shared = list(virtual_ips) + list(manifest["shared"])
    networks = pair_networks.shared_networks(infos, set(shared))
    chosen = [net for net in (pair_networks.network_of(networks, text) for text in shared) if net] or networks
    return chosen[0]["addresses"][target] if chosen else None


def restore_text(the_plan: Result) -> str:
    """What the operator reads before anything is put back."""
    manifest = the_plan["manifest"]
    if the_plan["restored"]:
        return ("This backup is restored already: %s was put back on these hosts. Nothing is put back again."
                % the_plan["backup"]["name"])
    lines = ["backup        %s on %s" % (the_plan["backup"]["path"], where_is(the_plan["place"])),
             "of            %s, %s active, %s" % (" and ".join(sorted(manifest["hubs"])), manifest["active"],
                                                  manifest["time"]),
             "database      PostgreSQL %s, %s, timeline %s" % (
                 manifest["postgres"]["major"], human(manifest["postgres"]["bytes"]), manifest["postgres"]["timeline"]),
             "active hub    %s" % the_plan["target"]]
    if manifest["foreign_resources"]:
        lines.append("not put back  resources of your own in the cluster: %s. They are in the backup's %s; see "
                     "docs/operate.md" % (", ".join(manifest["foreign_resources"]), CIB))
    lines += ["warning       %s" % Problem.from_dict(item) for item in the_plan["warnings"]]
    return "\n".join(lines)


# --- progress -------------------------------------------------------------------------------------------------------

WORDS = {"packing": "packing", "unpacking": "unpacking", "checking": "checking with pg_verifybackup",
         "recovery": "replaying WAL",
         "replay": "waiting until the passive hub has replayed all that the active one has"}


def progress_text(host: str, progress: Result) -> str:
    """A line for people while a backup is made or put back."""
    doing = WORDS.get(str(progress.get("phase")))
    if not doing:
        return str(basebackup_model.progress_text(host, progress))
    line = "[%s] %s" % (host, doing)
    if progress.get("phase") in ("packing", "unpacking") and progress.get("bytes_total"):
        line += "  %d %%  %s of %s" % (min(100, progress["bytes_done"] * 100 // progress["bytes_total"]),
                                       human(progress["bytes_done"]), human(progress["bytes_total"]))
    return line


def final_text(host: str, result: Result) -> str:
    """The last line, from the module's result."""
    if result.get("failed"):
        return "[%s] failed" % host
    if not result.get("changed"):
        return "[%s] the database is there already" % host
    return "[%s] done: %s in %.1f s" % (host, human(result.get("bytes")), result.get("seconds") or 0.0)
