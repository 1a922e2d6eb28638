# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From facts to decisions: who is active, which links and addresses, what must change, what forbids it.

Pure functions on plain data. Input are the facts of module hub_info for each hub and the operator's
settings; output is the *plan*, the one dict that every later step reads. Nothing is probed here.
"""

from __future__ import annotations

import difflib
import ipaddress
import re

from ..cfengine import platforms, portal
from ..cfengine.layout import KEPT_UNIT, LAYOUTS
from ..cluster import cib as cib_model, corosync
from ..core.problem import Problem, Report
from ..core.text import first_version, human
from ..facts import postgres as pg_facts
from ..host.firewall import model as firewall_model
from ..pair.copies import slot_name
from ..pg import agent_sql, conninfo, role
from . import install, wanted_cib

SUPPORTED_POSTGRES = range(13, 19)
CLOCK_LIMIT = 1.0  # seconds between two hubs; issue of tokens, logs and certificates
EXPIRY_WARNING = 30  # days left of a given certificate
RESOURCE_IDS = {"cfpgsql": ("ocf:cfengine:pgsql", "ocf:heartbeat:pgsql"), "cfvirtip": ("ocf:heartbeat:IPaddr2",),
                "cfvirtip_repl": ("ocf:heartbeat:IPaddr2",), "cfengine": (), "mscfpgsql": ()}
DEVICE_KEYS = ("id", "agent", "hub", "params", "password")  # of a fencing device; the first three must be there
INCLUDE_FILE = "hub_ha.conf"
VENDOR_PACKAGES = tuple(LAYOUTS["enterprise"]["cfengine_packages"])
SAME_VERSION = ("corosync", "pacemaker", "resource-agents")
# Oldest versions that can work: corosync-cfgtool that tells each link's state; role names Promoted and Unpromoted; an
# agent that reads this pacemaker's crm_mon; the first CFEngine with a supported PostgreSQL.
OLDEST = {"corosync": (3, 1), "pacemaker": (2, 1), "resource-agents": (4, 6), "CFEngine": (3, 18)}
ON = ("on", "true", "yes", "1")


def as_list(value):
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def parse_ip(text):
    try:
        return ipaddress.ip_address(str(text).strip())
    except ValueError:
        return None


def check_virtual_ips(settings, report):
    """List of wanted shared addresses as text (clients first), and the one on the replication network or None."""
    wanted = as_list(settings.get("virtual_ip"))
    if not wanted:
        report.fail("all", "hub_ha_virtual_ip is not set", "set it to the address that clients and people will use")
    for text in wanted + as_list(settings.get("replication_virtual_ip")):
        if parse_ip(text) is None:
            report.fail("all", "the shared address %r is no IP address" % str(text),
                        "give a plain address such as 192.168.100.100, without a prefix")
    good = [str(parse_ip(text)) for text in wanted if parse_ip(text)]
    replication = parse_ip(settings.get("replication_virtual_ip") or "")
    every = good + ([str(replication)] if replication else [])
    for text in sorted(set(text for text in every if every.count(text) > 1)):
        report.fail("all", "the shared address %s is given twice" % text, "give each address once")
    return good, str(replication) if replication else None


def shared_networks(infos, exclude):
    """Networks on which every hub has an address: [{"network", "addresses": {host: address}, "interfaces"}].

    exclude: the shared (virtual) addresses, which belong to no hub. Order: as the first hub lists them. An address that
    several hubs have is none of a network between them: it is that of a bridge within each (docker0, virbr0).
    """
    hosts = list(infos)
    per_host = {}
    everywhere = [text for host in hosts for text in {item["address"] for item in infos[host]["addresses"]}]
    for host in hosts:
        for item in infos[host]["addresses"]:
            if item["address"] in exclude or ipaddress.ip_network(item["network"]).num_addresses < 4 \
                    or everywhere.count(item["address"]) > 1 or item.get("fleeting"):
                continue
            per_host.setdefault(item["network"], {}).setdefault(host, item)
    found = []
    for item in infos[hosts[0]]["addresses"] if hosts else []:
        members = per_host.get(item["network"], {})
        if len(members) == len(hosts) and item["network"] not in [net["network"] for net in found]:
            found.append({"network": item["network"],
                          "prefix": item["prefix"],
                          "addresses": dict((host, members[host]["address"]) for host in hosts),
                          "interfaces": dict((host, members[host]["interface"]) for host in hosts)})
    return found


def network_of(networks, text):
    """The shared network that contains the address or is the CIDR *text*; None if there is none."""
    for net in networks:
        if str(text) == net["network"]:
            return net
        address = parse_ip(text)
        if address and address in ipaddress.ip_network(net["network"]):
            return net
    return None


def find_active(infos, report):
    """(active host, passive host) by what runs now; inventory order decides only when nothing does."""
    hosts = list(infos)
    states = dict((host, infos[host]["postgres"]["state"]) for host in hosts)
    primaries = [host for host in hosts if states[host] == "primary"]
    names = dict((infos[host]["uname"].lower(), host) for host in hosts)
    promoted = [names[infos[host]["cluster"]["promoted"].lower()] for host in hosts
                if (infos[host]["cluster"]["promoted"] or "").lower() in names]
    # What the cluster says and PostgreSQL confirms; then what runs; then what may still hold the data.
    order = [host for host in promoted if host in primaries] + primaries
    cut_off = [host for host in promoted if infos[host].get("maintenance_marker")
               and infos[host]["cluster"]["maintenance"] and states[host] == "stopped"]
    if len(primaries) > 1:
        other = [host for host in primaries if host != order[0]][0]
        systems = ["%s (system %s, %s)" % (host, pg_facts.system_identifier(item), human(
            (item["server"] or {}).get("size_bytes") or 0)) for host, item in
            ((host, infos[host]["postgres"]) for host in primaries)]
        report.fail(other, "PostgreSQL runs as a primary on both hubs: %s" % " and ".join(systems),
                    "decide which hub is the one to keep; on the other one stop PostgreSQL and move its data "
                    "directory aside: nothing here overwrites a primary")
    elif not primaries and cut_off:
        report.fail(cut_off[0],
                    "PostgreSQL is stopped, and the cluster leaves it so: a run that was cut off had set maintenance "
                    "mode",
                    "if pg_ctl still runs there, wait; else start it in place, as docs/operate.md says under "
                    "\"Maintenance mode\"; then run this again: it ends the maintenance")
    elif not primaries and "unreachable" not in states.values():
        neither = "PostgreSQL runs as a primary on neither hub (%s)" % ", ".join(
            "%s: %s" % (host, states[host]) for host in hosts)
        if any(infos[host]["cluster"]["maintenance"] for host in hosts):
            report.fail("all", neither + ", and the cluster is in maintenance mode: nobody starts or promotes one",
                        "crm_attribute --type crm_config --name maintenance-mode --delete; then wait until crm_mon -1 "
                        "shows a promoted hub. When it shows one and nobody serves: docs/operate.md, \"Maintenance mode\"",
                        "CLUSTER_MAINTENANCE")
        elif [host for host in promoted if states[host] == "stopped"]:
            report.fail("all", "%s, and pacemaker calls %s promoted" % (neither, infos[promoted[0]]["uname"]),
                        "have pacemaker look at what runs, there: crm_resource --refresh --resource cfpgsql; then wait "
                        "until crm_mon -1 shows a promoted hub. Else: start the hub that holds the primary's data first "
                        "(docs/operate.md, \"After both were down\")",
                        "NO_PRIMARY")
        else:
            report.fail("all", neither, "start the hub that holds the primary's data first; of a pair: crm_mon -1rAf "
                        "says why, and docs/operate.md, \"hub2 does not take over\" and \"After both were down\", what to do",
                        "NO_PRIMARY")
    for rank in ("unreachable", "stopped", "standby", "foreign", "absent"):
        order += [host for host in promoted + hosts if states[host] == rank]
    return order[0], [host for host in hosts if host != order[0]][0]


def check_names(infos, report):
    seen = {}
    for host, info in infos.items():
        name = info["uname"].lower()
        if name in seen:
            report.fail(host, "both hubs answer to the name %r (uname -n)" % name,
                        "give each hub its own host name: hostnamectl set-hostname NAME")
        seen[name] = host
        if name in ("localhost", "localhost.localdomain"):
            report.fail(host, "the host name is %r" % name, "give the hub a name: hostnamectl set-hostname NAME")
    for host, info in infos.items():
        for other, other_info in infos.items():
            found = info["names"].get(other_info["uname"], [])
            real = [item["address"] for item in other_info["addresses"]]
            if not found:
                report.fail(host, "the name %s does not resolve" % other_info["uname"],
                            "add it to DNS or to /etc/hosts on %s" % info["uname"])
            elif info["uname"].lower() != other_info["uname"].lower() and not set(found) & set(real):
                report.fail(host, "the name %s resolves to %s, which is no address of that hub (it has %s)"
                            % (other_info["uname"], ", ".join(found), ", ".join(real)),
                            "correct DNS or /etc/hosts on %s" % info["uname"])


def clock_bounds(info):
    """(lowest, highest) possible offset in seconds of the hub's clock from the controller's."""
    hub, controller = info["clock"], info.get("controller_clock")
    if not controller:
        return None
    return hub["end"] - controller["end"], hub["begin"] - controller["begin"]


def check_clocks(infos, report):
    hosts = list(infos)
    bounds = [clock_bounds(infos[host]) for host in hosts]
    if len(hosts) != 2 or None in bounds:
        return
    apart = max(bounds[0][0] - bounds[1][1], bounds[1][0] - bounds[0][1], 0.0)
    if apart > CLOCK_LIMIT:
        report.fail("all", "the clocks of %s and %s are at least %.2f s apart" % (hosts[0], hosts[1], apart),
                    "run a time service (chrony, systemd-timesyncd) on both and wait until it has settled")


def needed_packages(infos, settings, active, passive):
    """{host: [package]} of what each hub must have in the end. The active hub's CFEngine and PostgreSQL are there,
    unless the pair is made from nothing.
    """
    layout, new = infos[active]["layout"], settings.get("install")
    hub = list(layout["cfengine_packages"])
    major = pg_major(infos[active])
    if layout["name"] == "debian" and major:
        hub.append("postgresql-%d" % major)
    cluster = dict((host, list(settings["cluster_packages"] or (info["platform"] or {}).get("cluster_packages", []))
                    + as_list(settings.get("fencing_packages"))) for host, info in infos.items())
    return {active: cluster[active] + (hub if new else []), passive: cluster[passive] + hub}


def missing_packages(infos, needed):
    """{host: [package]} of what is not installed yet; empty lists where neither apt nor dnf is the packager."""
    return dict((host, [name for name in names if infos[host]["packages"] is not None
                        and not infos[host]["packages"].get(name, {}).get("installed")])
                for host, names in needed.items())


def check_platforms(infos, layout, report,
                    remedy="set hub_ha_layout to enterprise, and install the vendor's hub package"):
    """Systems that are supported, have packages of that layout (its name), and are the same on all hubs."""
    for host, info in infos.items():
        system = info["platform"]
        if system is None:
            name = info["os"]["name"] or "there is no /etc/os-release"
            report.fail(host, "this system is not supported: %s" % name,
                        "hubs can be on %s" % platforms.SUPPORTED)
        elif layout not in system["layouts"]:
            report.fail(host, "there is no CFEngine hub of Debian's layout on %s" % system["name"], remedy)
    names = dict((host, info["platform"]["name"]) for host, info in infos.items() if info["platform"])
    if len(set(names.values())) > 1:
        report.fail("all", "the hubs differ in their system: %s" % " and ".join(
            "%s on %s" % (name, host) for host, name in names.items()), "a pair needs the same release on both hubs")


def check_selinux(infos, settings, report):
    for host, info in infos.items():
        off = [name for name, on in info["selinux"]["booleans"].items() if not on]
        if info["selinux"]["mode"] == "enforcing" and off and settings.get("selinux") != "manage":
            report.warn(host, "SELinux is enforcing, and %s is off: confined daemons of CFEngine may not ask the "
                              "cluster who is active. Set hub_ha_selinux to manage, or: setsebool -P %s on"
                        % (off[0], off[0]))


def check_offered(host, info, names, active, settings, report):
    """Whatever is not installed must be on offer. With dnf one repository brings most of it."""
    lacking = [name for name in names if not info["packages"].get(name, {}).get("installed")
               and not info["packages"].get(name, {}).get("candidate")]
    repository = (info["platform"] or {}).get("repository")
    ask = "apt-cache policy" if not repository else "dnf repoquery"
    for name in [name for name in lacking if name in VENDOR_PACKAGES or not repository]:
        report.fail(host, "package %s is not installed and no package source offers it" % name,
                    "add or repair the package source, then check with: %s %s%s" % (
                        ask, name, "" if name not in VENDOR_PACKAGES else
                        "; or install the vendor's file of it by hand, with the version that %s has, stop it, and "
                        "move its own database aside" % active))
    lacking = [name for name in lacking if name not in VENDOR_PACKAGES]
    if repository and lacking:
        report.fail(host, "not installed, and offered by no package source%s: %s" % (
            ", not even with the repository %s" % repository if settings.get("enable_repository") else "",
            ", ".join(lacking)),
            "look at: dnf repolist --all. If that repository has another name here, set hub_ha_repository"
            if settings.get("enable_repository") else
            "enable the repository %s with: %s -- or set hub_ha_enable_repository to true, and it is done here"
            % (repository, " ".join(info["platform"]["enable"])))


def check_versions(infos, needed, active, passive, settings, report, same=SAME_VERSION):
    for host, info in infos.items():
        if info["packages"] is None:
            continue
        if info["packager_interrupted"]:
            report.fail(host, "a package installation was cut off on this host", "finish it: dpkg --configure -a")
        check_offered(host, info, needed[host], active, settings, report)
    check_programs(infos, report)
    for name in same:
        versions = dict((host, component_version(info, name)) for host, info in infos.items())
        if all(versions.values()) and len(set(versions.values())) > 1:
            report.fail("all", "%s would differ between the hubs: %s"
                        % (name, ", ".join("%s on %s" % (version, host) for host, version in versions.items())),
                        "use the same package source and the same version on both hubs")
        for host, version in versions.items() if name in OLDEST else ():
            check_oldest(host, name, version, report)
    wanted = infos[active]["cfengine"]["version"]
    have = infos[passive]["cfengine"]["version"]
    check_oldest(active, "CFEngine", wanted, report)
    ours = [name for name in infos[active]["layout"]["cfengine_packages"] if name in needed[passive]]
    if wanted and not have and (not ours or infos[passive]["packages"] is None):
        report.fail(passive, "CFEngine is not installed here",
                    "install the same hub package as on %s (CFEngine %s), stop it, and move its own database aside"
                    % (active, wanted))
    for name in [] if have else ours:
        have = first_version((infos[passive]["packages"] or {}).get(name, {}).get("candidate") or "")
    if wanted and have and wanted != have:
        report.fail(passive, "CFEngine %s here and %s on %s" % (have, wanted, active),
                    "install the same version on both hubs")
    if not wanted:
        report.fail(active, "CFEngine is not installed on the hub that is to be upgraded",
                    "check the inventory; a pair from nothing is made by playbooks/install-ha.yml, on two hosts "
                    "without a database")
    major = pg_major(infos[active])
    if major and major not in SUPPORTED_POSTGRES:
        report.fail(active, "PostgreSQL %d is not supported" % major,
                    "supported are %d to %d" % (SUPPORTED_POSTGRES[0], SUPPORTED_POSTGRES[-1]))
    theirs = infos[passive]["postgres"]["bins"]
    if major and theirs and str(major) not in theirs and infos[passive]["layout_found"] == "enterprise":
        report.fail(passive, "PostgreSQL %s here and %d on %s" % (", ".join(theirs), major, active),
                    "install the same version of the hub package on both hubs")
    if infos[passive]["layout_found"] and infos[passive]["layout_found"] != infos[active]["layout_found"]:
        report.fail(passive, "the hubs differ in layout: %s here, %s on %s"
                    % (infos[passive]["layout_found"], infos[active]["layout_found"], active),
                    "both hubs must run the same edition from the same kind of package")


def check_programs(infos, report):
    """Where neither apt nor dnf is the packager nothing is installed here, so everything must be there."""
    for host, info in infos.items():
        cluster = info["cluster"]
        missing = [name for name in ("corosync", "pacemaker") if not cluster[name + "_installed"]]
        missing += sorted(agent for agent, there in cluster["agents"].items() if not there) + info["programs_missing"]
        if info["packages"] is None and missing:
            report.fail(host, "not installed here, where neither apt nor dnf is the packager: %s" % ", ".join(missing),
                        "install corosync, pacemaker with its command-line tools, resource-agents, openssl, perl and "
                        "procps from the distribution's package sources first")


def component_version(info, name):
    """Version of corosync, pacemaker or resource-agents on a hub as it will be, or "" when that is not known."""
    if info["packages"] is None:
        return info["cluster"].get(name + "_version") or ""
    state = info["packages"].get((info["platform"] or {"components": {}})["components"].get(name, name), {})
    return state.get("installed") or state.get("candidate") or ""


def check_oldest(host, name, version, report):
    number = first_version(version or "")
    if number and tuple(int(part) for part in number.split(".")) < OLDEST[name]:
        report.fail(host, "%s %s is not supported" % (name, number),
                    "%s or newer is needed" % ".".join(str(part) for part in OLDEST[name]))


def check_tls(infos, active, settings, report):
    """A given certificate, key and authorities: there on both hubs, fitting, and as PostgreSQL accepts them."""
    given = settings.get("tls") or []
    for host, info in infos.items():
        # On a blank hub the user will be made as it is on the active one.
        entry = info["db_user"] if info["db_user"]["exists"] else infos[active]["db_user"]
        user = infos[active]["layout"]["db_user"]
        make = "" if info["db_user"]["exists"] or "home" not in entry else (
            "make the database's user first: useradd --system --user-group --home-dir %s --shell %s %s; then: "
            % (entry["home"], entry["shell"], user))
        groups = [entry.get("group", user)] + entry["groups"]
        tls = info.get("tls") or {}
        for path in given:
            state = info["files"].get(path, "absent")
            if state in ("absent", "a directory"):
                report.fail(host, "%s, which the TLS variables name, %s" % (
                    path, "does not exist" if state == "absent" else "is a directory"),
                    "put the file there on both hubs, or leave hub_ha_tls_certificate, _key and _ca unset")
                continue
            asked = tls and info["db_user"]["exists"]
            readable = path not in tls["unreadable"] if asked else reads(state, user, groups)
            if path == given[1] and not (readable and strict(state, user)):
                report.fail(host, "PostgreSQL will not use the key %s with owner and mode %s" % (path, state),
                            "%schown %s %s && chmod 0600 %s; that user must be able to pass through the directories "
                            "above it" % (make, user, path, path))
            elif not readable:
                report.fail(host, "the database's user %s cannot read %s (%s)" % (user, path, state),
                            "chmod 0644 %s; that user must be able to pass through the directories above it" % path)
        if tls.get("problem"):
            report.fail(host, tls["problem"], "put a certificate, its key without a passphrase, and the authorities "
                        "that signed it there, or leave hub_ha_tls_certificate, _key and _ca unset")
        if tls.get("expires") and tls["expires"] - info["clock"]["end"] < EXPIRY_WARNING * 86400:
            report.warn(host, "the certificate %s expires in %d days, and nothing here renews it"
                        % (given[0], (tls["expires"] - info["clock"]["end"]) // 86400))
    if len(set(info["tls"]["authorities"] for info in infos.values() if info.get("tls"))) > 1:
        report.warn("all", "%s differs between the hubs: on both it must hold the authorities of both certificates"
                    % given[2])


def reads(state, user, groups):
    """May *user* with these groups read a file of this owner and mode ("root:ssl-cert 0640")?"""
    (owner, group), mode = state.split()[0].split(":"), int(state.split()[1], 8)
    return bool(mode & (0o400 if owner == user else 0o040 if group in groups else 0o004))


def strict(state, user):
    """Are owner and mode of a key as PostgreSQL demands them (src/backend/libpq/be-secure-common.c)?"""
    return not int(state.split()[1], 8) & {user: 0o077, "root": 0o027}.get(state.split(":")[0], 0o777)


def pg_major(info):
    server = info["postgres"]["server"]
    if server:
        return server["version_num"] // 10000
    version = info["postgres"]["data_version"]
    return int(version) if version.isdigit() else None


def check_databases(infos, active, passive, report):
    postgres = infos[active]["postgres"]
    if postgres["state"] == "unreachable":
        report.fail(active, "PostgreSQL runs (pid %s) but does not answer: %s"
                    % (postgres["pid"], postgres["error"]),
                    "as root, `psql -d postgres` must work through the local socket: the database role \"root\" "
                    "must exist and pg_hba.conf must admit it")
    for host, info in infos.items():
        asked = info["postgres"].get("agent_sql")
        wrong = asked and agent_sql.problem(asked)
        if wrong:
            report.fail(host, wrong, "pacemaker would take a database that is well for broken. As root this must print f or t: "
                        "%s (role %s exists as a superuser, pg_hba.conf admits it through the socket without a password, and "
                        "its shell prints nothing)" % (asked["command"], info["layout"]["db_user"]), "AGENT_SQL")
    server = postgres["server"] or {}
    for item in server.get("hba_errors") or []:
        report.fail(active, "pg_hba.conf line %s: %s" % (item["line"], item["error"]), "correct that line first")
    for folder in server.get("tablespaces") or []:
        report.fail(active, "a tablespace lies outside the data directory: %s" % folder,
                    "move its tables back to pg_default; a clone cannot place it on the other hub")
    names = (server.get("settings") or {}).get("synchronous_standby_names", {}).get("setting")
    if names:
        report.fail(active, "synchronous_standby_names is set (%s)" % names,
                    "remove it: the resource agent refuses to start while it is set in postgresql.conf")
    check_policy_hub(infos, active, passive, report)
    error = infos[active]["cfengine"].get("def_json_error")
    if error:
        report.fail(active, "%s is not what CFEngine reads: %s" % (infos[active]["layout"]["def_json"], error),
                    "correct the file; it is merged with what high availability needs, not replaced")
    check_passive_database(infos, active, passive, report)


def check_policy_hub(infos, active, passive, report):
    """The hub whose database is the primary has the policy and the keys, or the other one must serve again."""
    if not infos[active]["layout_found"] or infos[active]["cfengine"]["am_policy_hub"]:
        return
    if infos[active]["cluster"]["has_database"] and infos[passive]["cfengine"]["am_policy_hub"]:
        report.add(Problem(
            "HUB_UNFINISHED", active, "its database is the primary, and it is no policy hub yet: a run was cut off before it "
            "got policy and keys from %s, and a failover came after that" % passive,
            "give the role back to %s. On %s: crm_standby --node $(crm_node --name) --update on; when crm_mon -1 shows the "
            "other hub as promoted: crm_standby --node $(crm_node --name) --delete. Then run this again" % (passive, active)))
    else:
        report.fail(active, "this CFEngine host is not a policy hub",
                    "bootstrap it to itself first: cf-agent -B ADDRESS")


def packaged_database(passive, active):
    """Is the passive hub's database the empty one that the vendor's package makes, which this collection has installed?

    Noted before the package was installed, on a hub without a database; and it has never been in use since.
    """
    mine, wanted = passive["postgres"], pg_facts.system_identifier(active["postgres"])
    return bool(passive.get("package_marker") and mine["state"] == "stopped" and not mine["lock"] and wanted
                and not mine["standby_signal"] and mine["control"].get("state") == "shut down"
                and mine["control"].get("timeline") == 1 and pg_facts.system_identifier(mine) != wanted)


def check_package_on_a_pair(infos, missing, report):
    """The vendor's maintainer scripts stop and start PostgreSQL for themselves: never where pacemaker has it."""
    for host, info in infos.items():
        if info["cluster"]["has_database"] and set(missing[host]) & set(VENDOR_PACKAGES):
            report.fail(host, "the hub package is missing here, and pacemaker has this hub's database: the package's scripts "
                              "would stop and start PostgreSQL behind its back",
                        "take this hub out of the cluster first (systemctl stop pacemaker corosync), then install the package")


def check_passive_database(infos, active, passive, report):
    mine, theirs = infos[passive]["postgres"], infos[active]["postgres"]
    state = mine["state"]
    if state == "primary" and theirs["state"] == "primary":
        return  # find_active has said so
    if state == "foreign":
        report.fail(passive, "%s holds files that are no database" % mine["data_dir"],
                    "move them away; the clone goes there")
    identifier, wanted = pg_facts.system_identifier(mine), pg_facts.system_identifier(theirs)
    aside = "if it is not needed, stop it and move %s aside: nothing here overwrites a database" % mine["data_dir"]
    if packaged_database(infos[passive], infos[active]):
        return  # it is moved aside
    if state in ("stopped", "standby", "primary") and identifier and wanted and identifier != wanted:
        report.fail(passive, "this hub has a database of its own (system %s; the hub to be upgraded is %s)"
                    % (identifier, wanted), aside)
    elif state == "unreachable":
        report.fail(passive, "a PostgreSQL runs here (pid %s) and does not answer: %s" % (mine["pid"], mine["error"]),
                    aside)
    else:
        check_past(passive, mine, active, theirs, report,
                   infos[active]["cluster"]["forked"].get(infos[passive]["uname"].lower()))
    if state == "absent" and 5432 in infos[passive]["ports"]:
        report.fail(passive, "something else listens on port 5432", "stop and disable it: ss -ltnp sport = :5432")
    size = (theirs["server"] or {}).get("size_bytes")
    if state == "absent" and size:
        free, need = infos[passive]["space"]["free_bytes"], int(size * 1.1) + (64 << 20)
        if free < need:
            report.fail(passive, "%s free in %s, the copy needs %s"
                        % (human(free), infos[passive]["space"]["path"], human(need)),
                        "make room or mount a larger file system there")


def check_past(host, mine, active, theirs, report, told=None):
    """The database of *host* can follow the active hub's: what is stopped must prove it, what runs must not contradict.

    mine, theirs: facts["postgres"] of both. told: what the hub has said itself of what it has more (commits, bytes, the
    time of the last one), as the node attribute hub_ha-forked has it.
    """
    if mine["state"] not in ("stopped", "standby") or mine["state"] == "standby" and theirs["state"] != "primary":
        return
    found = pg_facts.relation(mine, theirs, host, active)
    if found.follows or mine["state"] == "standby" and not found.forked:
        return
    remedy = ("what %s lacks is in no other place: save it, then stop PostgreSQL and move %s aside (docs/operate.md, "
              "\"Clone it anew\")" % (active, mine["data_dir"]))
    if found.forked:
        report.fail(host, "the database here has gone another way than that of %s: %s%s"
                    % (active, found, ". It has behind the fork: %s" % told if told else ""), remedy, "DATA_FORKED")
    else:
        report.fail(host, "whether the database here holds rows that %s lacks is not known: %s" % (active, found),
                    "it may be a former primary's: save it, then move %s aside" % mine["data_dir"], "DATA_UNPROVEN")


def check_cluster(infos, settings, report):
    names = sorted(info["uname"].lower() for info in infos.values())
    for host, info in infos.items():
        cluster = info["cluster"]
        text = cluster["corosync_conf"]
        if text:
            try:
                found = corosync.summary(text)
            except ValueError as error:
                report.fail(host, "/etc/corosync/corosync.conf cannot be read: %s" % error,
                            "repair it, or move it away if this host is in no cluster")
                continue
            if not found["stock"] and (sorted(name.lower() for name in found["nodes"]) != names
                                       or found["name"] != settings["cluster_name"]):
                report.fail(host, "this host belongs to another cluster: %r with the nodes %s"
                            % (found["name"], ", ".join(sorted(found["nodes"]))),
                            "take it out of that cluster first, or set hub_ha_cluster_name if it is this pair's")
                continue
        if text and found["stock"] and cluster["cib_resources"] and "cfpgsql" not in cluster["cib_resources"]:
            report.fail(host, "a cluster of this host alone runs with resources of its own: %s"
                        % ", ".join(sorted(cluster["cib_resources"])),
                        "remove them if they are not needed: that cluster is stopped to make place for the pair's")
        for name in cluster["cib_nodes"]:
            if name.lower() not in names and not (text and corosync.summary(text)["stock"]):
                report.fail(host, "the CIB knows a node %r that is not in the inventory" % name,
                            "take that node out of the cluster, or add it to the inventory")
        for name, agents in RESOURCE_IDS.items():
            agent = cluster["cib_resources"].get(name)
            if agent and agent not in agents:
                report.fail(host, "the CIB has a resource %s of another kind: %s" % (name, agent),
                            "rename that resource: the id %s is what CFEngine's ha.cfg reads" % name)


def stock_clusters(infos):
    """Hosts whose cluster is what a package started by itself: one node that is nobody's. Only such a one is stopped."""
    found = []
    for host, info in infos.items():
        try:
            if info["cluster"]["corosync_conf"] and corosync.summary(info["cluster"]["corosync_conf"])["stock"] \
                    and not info["cluster"]["cib_resources"]:
                found.append(host)
        except ValueError:
            continue  # check_cluster has said so
    return found


def to_probe(infos, addresses):
    """What preflight has to try over the network: {"ports": [those of module link_check, "tcp", "udp"], "addresses"}.

    addresses: the wanted shared ones. What an adopted pair runs is left alone: it uses its ports and links. corosync
    does not answer a probe, so where a cluster runs on a network, UDP is left to it; TCP it does not watch.
    """
    adopted = any("cfpgsql" in info["cluster"]["cib_resources"] for info in infos.values())
    stock = stock_clusters(infos)
    clusters = [host for host, info in infos.items()
                if info["units"].get("corosync", {}).get("active") == "active" and host not in stock]
    ours = [text for info in infos.values() for text in info["cluster"]["cib_addresses"]
            + [kept["ip"] for kept in info.get("kept_addresses") or []]]
    return {"ports": [] if adopted else ["tcp"] if clusters else ["tcp", "udp"],
            "addresses": [text for text in addresses if text not in ours]}


def check_authkey(infos, report):
    """corosync's key must be text: it goes from hub to hub through Ansible, in memory only."""
    for host, info in infos.items():
        if info["cluster"].get("authkey_binary"):
            report.fail(host, "/etc/corosync/authkey holds a binary key, as corosync-keygen makes it",
                        "remove it on both hubs while no cluster runs; a key that is text is then made")


def check_fencing(settings, report):
    fencing, reason = settings.get("fencing"), settings.get("fencing_none_reason")
    if fencing in (None, "", []):
        report.fail("all", "fencing is not decided", "set hub_ha_fencing to a list of devices, or to 'none' together "
                    "with hub_ha_fencing_none_reason; without fencing two hubs can become active at once")
    elif fencing == "none":
        if not (reason or "").strip():
            report.fail("all", "hub_ha_fencing is 'none' without a reason",
                        "write the reason into hub_ha_fencing_none_reason: whoever is called at night will read it")
    elif not isinstance(fencing, list):
        report.fail("all", "hub_ha_fencing is neither a list of devices nor 'none'",
                    "see the examples in docs/variables.md")
    else:
        for device in fencing:
            for problem, remedy in device_problems(device, settings):
                report.fail("all", problem, remedy)
        devices = [device for device in fencing if isinstance(device, dict)]
        ids = [device["id"] for device in devices if isinstance(device.get("id"), str)]
        for name in sorted(set(name for name in ids if ids.count(name) > 1)):
            report.fail("all", "two fencing devices have the id %s" % name, "give each its own id")
        covered = [host for device in devices for host in as_list(device.get("hub"))]
        for host in settings["hosts"]:
            if host not in covered:
                report.fail(host, "no fencing device can switch this hub off", "add one to hub_ha_fencing")


def device_problems(device, settings):
    """Yields (problem, remedy) of one fencing device of the operator's; nothing of a value that may be secret."""
    if not isinstance(device, dict):
        yield "a fencing device is not a mapping", "each needs id, agent, hub; see the examples in docs/variables.md"
        return
    name = device.get("id") if isinstance(device.get("id"), str) else "without an id"
    missing = [key for key in DEVICE_KEYS[:3] if not device.get(key)]
    if missing:
        yield ("a fencing device lacks %s" % ", ".join(missing),
               "each device needs id, agent (fence_...) and hub (the host that it can switch off)")
    for key in [key for key in DEVICE_KEYS[:3] if device.get(key) and not isinstance(device[key], str)]:
        yield ("%s of fencing device %s is not one text" % (key, name),
               "give one; for a device that switches both hubs off write two, each with its own id and hub")
    for key in sorted(str(key) for key in device if key not in DEVICE_KEYS):
        near = difflib.get_close_matches(key, DEVICE_KEYS, 1, 0.7)
        yield ("fencing device %s has an unknown key %s" % (name, key),
               "did you mean %s?" % near[0] if near else "parameters of the agent go below params")
    values = dict((key, device[key]) for key in DEVICE_KEYS[:3] if device.get(key) and isinstance(device[key], str))
    if "id" in values and (not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name)
                           or name in RESOURCE_IDS or name.startswith("cfvirtip")):
        yield ("%r cannot be the id of a fencing device" % name,
               "use letters, digits, dots, dashes and underscores, beginning with a letter; the pair's own resources "
               "have %s" % ", ".join(sorted(RESOURCE_IDS)))
    if "agent" in values and not re.fullmatch(r"fence_\w+", values["agent"], re.ASCII):
        yield ("agent %r of fencing device %s is no fence agent" % (values["agent"], name),
               "give its name alone, such as fence_ipmilan")
    if "hub" in values and values["hub"] not in settings["hosts"]:
        yield ("fencing device %s names %s, which is no hub of this inventory" % (name, values["hub"]),
               "use the inventory's name of the hub")
    if "password" in device and (not one_line(device["password"]) or isinstance(device["password"], bool)):
        yield ("password of fencing device %s is not one line of text" % name, "give the text alone, or leave it out")
    params = device.get("params") or {}
    if not isinstance(params, dict):
        yield ("params of fencing device %s is not a mapping" % name, "write {ip: 198.51.100.10, username: cluster}")
        return
    for key, value in params.items():
        if not isinstance(key, str) or not one_line(value):
            yield ("parameter %s of fencing device %s is not one line of text or a number" % (key, name),
                   "give the text alone, or leave the parameter out")
        elif cib_model.is_secret(key) and not key.endswith("_script"):
            yield ("fencing device %s has %s in params, and params go into the CIB in clear" % (name, key),
                   "give the device's password as `password:`; it is then kept in a root-only file. For another secret "
                   "name a script that prints it (%s_script), or use the agent's own file of credentials" % key)


def check_fence_agents(infos, settings, report):
    """Each device's agent is there on both hubs, or a package that is still to be installed may bring it."""
    fencing = settings.get("fencing")
    devices = fencing if isinstance(fencing, list) else []
    agents = sorted(set(device["agent"] for device in devices if not list(device_problems(device, settings))))
    for host, info in infos.items():
        pending = [name for name in settings.get("fencing_packages") or []
                   if info["packages"] is not None and not info["packages"].get(name, {}).get("installed")]
        for agent in agents:
            if agent not in info["fence_agents"] and not pending:
                report.fail(host, "the fence agent %s is not installed here (/usr/sbin/%s)" % (agent, agent),
                            "add its package to hub_ha_fencing_packages, here probably %s"
                            % (platforms.fence_package(info["platform"], agent) or "fence-agents"))


def has_control(text):
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def one_line(value):
    """True for a text, number or yes/no that is not empty and has no control character."""
    # Not isinstance(value, str): a vaulted text may be an object of its own.
    return value is not None and not isinstance(value, (dict, list)) and bool(str(value)) \
        and not has_control(str(value))


def check_password(settings, report):
    password = str(settings.get("replication_password") or "")
    if has_control(password):
        report.fail("all", "hub_ha_replication_password holds a control character or a line break",
                    "use any other characters; a libpq passfile has one line for each password")


def plan_firewalls(infos, networks, settings, report):
    """{host: {"kind", "rules": what is to be let in, "open": [lines that will be added]}}; see firewall_model.

    networks: {"links", "networks", "virtual_ips", "pg_port", "layout"} of the plan. Only with hub_ha_firewall: manage
    is anything opened; otherwise what is closed is said.
    """
    return dict((host, plan_firewall(host, info, firewall_model.wanted(
        host, networks, firewall_clients(settings), settings.get("outsiders") or []), settings, report))
        for host, info in infos.items())


def firewall_clients(settings):
    """The operator's networks in the spelling that firewalls list; single addresses without a prefix."""
    found = [ipaddress.ip_network(str(text), strict=False) for text in as_list(settings.get("firewall_clients"))
             if valid_network(text)]
    return [str(net.network_address if net.num_addresses == 1 else net) for net in found]


def plan_firewall(host, info, rules, settings, report):
    """What plan_firewalls says of one host. rules: see firewall_model."""
    state, manage = info["firewall"], settings.get("firewall") == "manage"
    problems = firewall_model.problems(state, rules) if manage else []
    for problem, remedy in problems:
        report.fail(host, problem, remedy)
    change = firewall_model.changes(state, rules) if manage and not problems else {"before": [], "after": []}
    return {"kind": state["kind"], "rules": rules if manage else [],
            "open": [line for line in change["after"] if line not in change["before"]]}


def check_firewalls(infos, settings, adopted, report):
    for text in as_list(settings.get("firewall_clients")):
        if not valid_network(text):
            report.fail("all", "hub_ha_firewall_clients names %r, which is no network" % str(text),
                        "give networks such as 10.20.0.0/16, or single addresses")
    for host, info in infos.items():
        kind = info["firewall"]["kind"]
        if settings.get("firewall") == "check" and not adopted and kind in firewall_model.MANAGEABLE + ("iptables",):
            report.warn(host, "%s is active and is left alone (hub_ha_firewall). The ports between the hubs are tried "
                              "here; see yourself that all clients reach 5308/tcp on both hubs" % kind)


def valid_network(text):
    try:
        return bool(ipaddress.ip_network(str(text), strict=False))
    except ValueError:
        return False


def check_links(infos, report, probes, links=None, firewalls=None):
    """probes: {host: result of module link_check} or {} when nothing was probed. Returns what is closed now and will be
    opened: [{"host", "peer", "address", "port", "protocol"}].
    """
    ring, will_open = [address for net in links or [] for address in net["addresses"].values()], []
    for host, probe in probes.items():
        for item in probe.get("unanswered", []):
            if links and item["protocol"] == "udp" and item["address"] not in ring:
                continue  # no link of corosync's
            there = (firewalls or {}).get(item["peer"], {"open": []})
            if there["open"]:
                will_open.append(dict(item, host=host))
                continue
            report.fail(host, "%s (%s) port %s/%s cannot be reached"
                        % (item["peer"], item["address"], item["port"], item["protocol"]),
                        "check cable, routes and firewall on that link between %s and %s%s"
                        % (host, item["peer"], firewall_hint(infos, host, item, there)))
        for item in probe.get("taken", []):
            report.fail("all", "the shared address %s is in use already (%s has it, seen from %s)"
                        % (item["address"], item["by"], host), "choose a free address")
    return will_open


def firewall_hint(infos, host, item, there):
    """What to say of the firewall of the hub that did not answer."""
    state = infos[item["peer"]]["firewall"] if item["peer"] in infos else {"kind": "none"}
    if state["kind"] not in firewall_model.MANAGEABLE + ("iptables",):
        return ""
    own = dict((entry["address"], entry) for entry in infos[host]["addresses"])
    theirs = [entry for entry in infos[item["peer"]]["addresses"] if entry["address"] == item["address"]]
    source = [address for address, entry in own.items() if theirs and entry["network"] == theirs[0]["network"]]
    command = firewall_model.by_hand(state, {
        "source": source[0], "to": "any", "port": item["port"], "protocol": item["protocol"], "peer": True,
        "interfaces": [theirs[0]["interface"]]}) if source else None
    text = "; on %s %s is active" % (item["peer"], state["kind"])
    if there.get("rules"):
        return text + ", and what the pair needs is let in there: a rule of yours or something on the way stops it"
    if not state.get("problem"):
        text += ". To have it opened for exactly the hubs: hub_ha_firewall: manage"
    return text + (". By hand, there: %s" % command if command else "")


def choose_networks(networks, settings, virtual_ips, replication_ip, infos, report):
    """{"links", "client", "replication"}: which shared network serves what."""
    where = "; ".join(
        "%s: %s" % (host, ", ".join("%s/%s" % (item["address"], item["prefix"]) for item in info["addresses"]))
        for host, info in infos.items())
    client = None
    # A pair's own resource may have put it there; nothing else may.
    own = dict((item["address"], host) for host, info in infos.items() for item in info["addresses"]
               if item["address"] in virtual_ips + as_list(replication_ip)
               and item["address"] not in [kept["ip"] for kept in info.get("kept_addresses") or []]
               and not set(info["cluster"]["cib_resources"]) & set(RESOURCE_IDS))
    for text, host in own.items():
        report.fail(host, "the shared address %s is this hub's own address" % text,
                    "choose a free one: it will move between the hubs")
    for text in virtual_ips:
        net = network_of(networks, text)
        if net is None and networks and text not in own:
            report.fail("all", "the shared address %s lies in no subnet that both hubs have (%s)" % (text, where),
                        "choose an address of a network on which both hubs have one")
        client = client or net
    if not networks:
        report.fail("all", "the hubs have no network in common (%s)" % where, "connect them, best by two networks")
        return {"links": [], "client": None, "replication": None}
    links = networks
    if settings.get("links"):
        links = []
        for text in as_list(settings["links"]):
            net = network_of(networks, text)
            if net is None:
                report.fail("all", "hub_ha_links names %s, on which the hubs have no address in common (%s)"
                            % (text, where), "correct it, or leave hub_ha_links out: every shared network is used")
            elif net not in links:
                links.append(net)
    if len(links) == 1:
        report.warn("all", "the hubs share one network only: a fault there separates them")
    replication = None
    for text in as_list(settings.get("replication_network")) + as_list(replication_ip):
        net = network_of(networks, text)
        if net is None and text not in own:
            report.fail("all", "%s is on no network that both hubs have (%s)" % (text, where),
                        "correct hub_ha_replication_network or hub_ha_replication_virtual_ip")
        replication = replication or net
    if replication is None:
        others = [net for net in networks if net is not client]
        replication = others[-1] if others else client
    return {"links": links[:corosync.MAX_LINKS], "client": client, "replication": replication}


def numbered(links, running):
    """The links, the preferred one first, each with its "number" for corosync and its "priority".

    running: see corosync.running. What runs keeps its number; which one is preferred is hub_ha_links' order.
    """
    numbers = corosync.link_numbers([net["network"] for net in links], running)
    return [dict(net, number=numbers[net["network"]], priority=len(links) - place) for place, net in enumerate(links)]


def wanted_settings(server, database, ha_dir):
    """What the include file must hold and what of it needs a restart.

    server: hub_info's postgres.server of the active hub. database: {"wal_keep_size", "max_slot_wal_keep_size"
    (MB, int)}. Returns {"include": {name: value}, "restart": [names], "blocked": [(name, file)]}.
    Only what is not right already is set; what stands in our file stays there.
    """
    settings = (server or {}).get("settings") or {}
    include, restart, blocked = {}, [], []

    def current(name):
        return settings.get(name, {}).get("setting") or ""

    def need(name, value, good):
        item = settings.get(name, {})
        ours = (item.get("sourcefile") or "").endswith("/" + INCLUDE_FILE)
        if ours or not good:
            include[name] = value
        if item.get("context") == "postmaster" and (not good or item.get("pending_restart")):
            restart.append(name)
        if not good and not ours and ((item.get("sourcefile") or "").endswith("/postgresql.auto.conf")
                                      or item.get("source") == "command line"):
            blocked.append((name, item.get("sourcefile") or "the server's command line"))

    def number(name):
        text = current(name)
        return int(text) if text.lstrip("-").isdigit() else 0

    listen = [part.strip() for part in current("listen_addresses").split(",")]
    need("listen_addresses", "*", "*" in listen or "0.0.0.0" in listen)
    need("wal_level", "replica", current("wal_level") in ("replica", "logical"))
    need("max_wal_senders", "10", number("max_wal_senders") >= 5)
    need("max_replication_slots", "10", number("max_replication_slots") >= 3)
    need("hot_standby", "on", current("hot_standby") in ON)
    need("wal_log_hints", "on", current("wal_log_hints") in ON or current("data_checksums") in ON)
    need("wal_keep_size", "%dMB" % database["wal_keep_size"], number("wal_keep_size") >= database["wal_keep_size"])
    limit = database["max_slot_wal_keep_size"]
    need("max_slot_wal_keep_size", "%dMB" % limit, number("max_slot_wal_keep_size") == limit)
    need("restart_after_crash", "on", current("restart_after_crash") in ON)
    need("ssl", "on", current("ssl") in ON)
    for name, file in (("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "root.crt")):
        need(name, "%s/%s" % (ha_dir, file), current(name) == "%s/%s" % (ha_dir, file))
    return {"include": include, "restart": restart, "blocked": blocked}


def peer_addresses(networks, replication, infos):
    """{host: own addresses of the other hub, the network of the replication first}: whence its standby streams."""
    first = (replication or {}).get("network")
    return dict((host, conninfo.ordered(networks, first, other)) for host in infos for other in infos if other != host)


def pending_settings(server):
    """Settings that stand in PostgreSQL's files and do not hold: [{"name", "old", "new", "where"}], as text for people.

    server: hub_info's postgres.server. What no file has any more goes back to its default at the next start.
    """
    return [{"name": item["name"], "old": item["old"], "new": "its default" if item["new"] is None else item["new"],
             "where": "no file" if item["file"] is None else "%s line %s" % (item["file"], item["line"])}
            for item in (server or {}).get("pending") or []]


def wanted_trial(postgres, wanted):
    """Arguments for module settings_trial, or None when the server that runs has what it will be started with.

    postgres: hub_info's of the active hub. wanted: see wanted_settings.
    """
    server = postgres["server"]
    if postgres["state"] != "primary" or not server or not (wanted["restart"] or server.get("pending")):
        return None
    number = re.match(r"\d+", server.get("shared_memory") or "")
    file = server["settings"].get("config_file", {}).get("setting") or postgres["data_dir"] + "/postgresql.conf"
    return {"data_dir": postgres["data_dir"], "bin_dir": postgres["bin_dir"], "config_file": file,
            "settings": wanted["include"], "held_mb": int(number.group()) if number else 0}


def check_trial(active, trial, pending, report):
    """trial: the result of module settings_trial, or None when there was none yet."""
    if not trial or trial["started"]:
        return
    late = "; ".join("%s: %s now, %s in %s" % (item["name"], item["old"], item["new"], item["where"]) for item in pending)
    late = " (what has changed since it was started: %s)" % late if late else ""
    if trial["started"] is None:
        report.fail(active, "whether PostgreSQL would start again with what stands in its files could not be tried: %s%s"
                    % (trial["reason"], late), "mend that, or restart PostgreSQL yourself once, to see that it starts",
                    "SETTINGS_NOT_TRIED")
    else:
        report.fail(active, "PostgreSQL would not start again with what stands in its files: %s%s" % (trial["reason"], late),
                    "correct the file, or take the setting back: ALTER SYSTEM RESET NAME; then: SELECT pg_reload_conf()",
                    "SETTINGS_WONT_START")


def check_cib(active, lines, allowed, report):
    """lines: what pacemaker would interrupt for the wanted CIB, see cib_model.disruptions; none when it was not asked."""
    if lines and not allowed:
        report.fail(active, "the wanted configuration of the cluster makes pacemaker interrupt what runs, and "
                    "hub_ha_allow_restart is false: %s" % "; ".join(lines),
                    "leave that setting as it is, or allow it for one run: -e hub_ha_allow_restart=true", "CIB_RESTARTS")


def check_held(active, later, keep, report):
    """What pacemaker would interrupt as soon as the operator lets it: nobody would take that for this run's doing.

    later: {"lines": the "disrupts_later" of module cib, None when they are not known, "holds": its "holds"}; {} when nothing
    keeps pacemaker's hands off. keep: ids of the resources that count.
    """
    lines = later.get("lines", [])
    lines = ["its scheduler could not be asked"] if lines is None else cib_model.disruptions(lines, [], keep)
    if lines:
        report.fail(active, "pacemaker keeps its hands off (%s); as soon as that ends it would interrupt what runs, for the wanted "
                    "configuration of the cluster: %s" % (", ".join(item["what"] for item in later["holds"]), "; ".join(lines)),
                    "end it first: %s; then run this again, which changes the database's parameters without a stop"
                    % "; ".join(item["end"] for item in later["holds"]), "CIB_RESTARTS_LATER")


def ha_info(infos, client):
    """{hub address: {"sha", "internal_ip"}} as the vendor's policy reads it; addresses on the client network."""
    found = {}
    for host, info in infos.items():
        digest = info["cfengine"]["key_digest"]
        if digest and client:
            address = client["addresses"][host]
            found[address] = {"sha": digest.split("=", 1)[1], "internal_ip": address}
    return found


def portal_plan(infos, active, passive, addresses, virtual_ips, settings, report):
    """{"secrets": see portal.secrets_plan, "certificates": {host: arguments for module hub_certificate, or None}}."""
    certificates = {}
    for host, info in infos.items():
        own = [network[host] for network in addresses]
        certificates[host], warnings = portal.certificate_plan(info.get("portal"), own, virtual_ips, settings,
                                                               info["clock"]["end"])
        for text in warnings:
            report.warn(host, text)
    return {"secrets": portal.secrets_plan(infos[active].get("portal"), infos[passive].get("portal")),
            "certificates": certificates}


def hub_list(infos, client, virtual_ips, nodes, settings, layout):
    """What hubs and clients must know of each other, as services/hub_ha.json; see roles/hub/files/hub_ha.cf. None
    until both hubs have a key.
    """
    if not client or not all(info["cfengine"]["key_public"] for info in infos.values()):
        return None
    vendor = any(info["cfengine"]["edition"] == "enterprise" for info in infos.values())
    # The counterparts of its secrets are in the replicated database; the vendor's policy leaves it out.
    secrets = [layout["work_dir"] + "/httpd/secrets.ini"] if vendor else []
    return {
        "version": 1, "vendor": vendor, "shared": list(virtual_ips),
        "hubs": dict((client["addresses"][host], {
            "name": nodes[host], "key": info["cfengine"]["key_digest"], "public": info["cfengine"]["key_public"]})
            for host, info in infos.items()),
        "revoked": as_list(settings.get("revoked_keys")),
        "sync": {"policy": bool(settings.get("sync_policy", True)),
                 "paths": secrets + as_list(settings.get("shared_paths"))},
    }


def check_hub_list(infos, active, settings, report):
    """Clients trust what the list names: a key that changed or a hub that is gone needs the operator's word."""
    known = (infos[active]["cfengine"].get("hub_list") or {}).get("hubs", {})
    accepted = [str(name).lower() for name in as_list(settings.get("accept_hub_keys"))]
    names = dict((info["uname"].lower(), host) for host, info in infos.items())
    for address, hub in sorted(known.items()):
        name = hub["name"]
        if name in accepted:
            continue
        if name not in names:
            report.fail(active, "the list of hubs names %s (%s), which the inventory does not" % (name, address),
                        "correct the inventory; if that hub is gone for good: -e hub_ha_accept_hub_keys=%s" % name)
            continue
        now = infos[names[name]]["cfengine"]["key_digest"]
        if now and now != hub["key"]:
            report.fail(names[name], "the host key was %s and is %s now, which no client trusts" % (hub["key"], now),
                        "bring the old key back (ppkeys/localhost.* from the last backup); if the change is meant: "
                        "-e hub_ha_accept_hub_keys=%s" % name)


def check_replication_user(infos, active, settings, report):
    """Standbys connect as a role of their own: one that exists and is not ours would lose its other rights."""
    server, layout = infos[active]["postgres"]["server"] or {}, infos[active]["layout"]
    problem = role.check(active, settings.get("replication_user") or "", server.get("roles"),
                         role.RESERVED + (layout["db_user"],))
    if problem:
        report.add(problem)


def check_copies(infos, report):
    """A hub that was made as a copy of the other one's machine: what tells them apart is the same on both."""
    first, second = list(infos)
    keys = [infos[host]["cfengine"]["key_digest"] for host in (first, second)]
    machines = [infos[host].get("machine") or {"id": "", "ssh_keys": []} for host in (first, second)]
    same = [words for words, found in (
        ("machine id", machines[0]["id"] and machines[0]["id"] == machines[1]["id"]),
        ("SSH host keys", set(machines[0]["ssh_keys"]) & set(machines[1]["ssh_keys"]))) if found]
    renew = ("rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup; rm -f /etc/ssh/ssh_host_* && "
             "ssh-keygen -A; then boot it")
    if keys[0] and keys[0] == keys[1]:
        report.add(Problem(
            "HUB_COPIED", second, "it has the host key of %s (%s): it is a copy of that machine%s" % (
                first, keys[0], ", with the same %s too" % " and ".join(same) if same else ""),
            "make one of the two a machine of its own, the one that is not active: rm %s/localhost.* there, and %s. Its "
            "database is moved aside, not copied; see docs/operate.md" % (infos[first]["layout"]["ppkeys"], renew)))
    elif same:
        report.warn(second, "it has the same %s as %s, as a copy of its machine has. On the one that is not active: %s"
                    % (" and ".join(same), first, renew))


def check_acl(infos, active, report):
    """Role hub sets acl in def.json, and then a list in the policy itself counts no more."""
    info = infos[active]
    acl, own = info["cfengine"].get("acl_in_policy"), info["cfengine"].get("policy_server")
    if acl and acl != ["%s/16" % own] and info["cfengine"].get("am_policy_hub"):
        report.fail(active, "the policy itself sets acl (%s), which ends as soon as def.json sets it" % ", ".join(acl),
                    "put that list into def.json, as \"vars\": {\"acl\": [...]}; it is added to, not replaced")


def check_shared_paths(infos, active, settings, report):
    """What belongs to one hub is not shared, nor anything above or below it."""
    layout = infos[active]["layout"]
    own = [layout[key] for key in ("ppkeys", "masterfiles", "inputs", "policy_server", "ha_cfg")] + [
        layout["work_dir"] + "/state", layout["work_dir"] + "/licenses", "/etc/corosync", "/etc/pacemaker"]
    for path in as_list(settings.get("shared_paths")):
        plain = str(path).rstrip("/")
        clash = [item for item in own if plain == item or plain.startswith(item + "/") or item.startswith(plain + "/")]
        if not plain.startswith("/") or "/../" in plain + "/" or clash:
            why = "touches %s, a hub's own" % clash[0] if clash else "is no absolute path"
            report.fail("all", "hub_ha_shared_paths names %s, which %s" % (path, why),
                        "name files and directories that both hubs must have alike, and nothing of CFEngine's own state")


def check_kept_addresses(infos, active, wanted, report):
    """An address that a single hub has kept becomes the pair's; else two hubs might have it one day."""
    for host, info in infos.items():
        for kept in info.get("kept_addresses") or []:
            if host != active or kept["ip"] not in wanted:
                report.fail(host, "hub-ha-address.service brings up %s here, which is %s"
                            % (kept["ip"], "no shared address of this pair" if host == active else "the passive hub"),
                            "%s: systemctl disable hub-ha-address; rm %s"
                            % ("name it in hub_ha_virtual_ip, or take the unit away" if host == active
                               else "take the unit away, and the address if it is there", KEPT_UNIT))


def check_revoked(settings, report):
    for digest in as_list(settings.get("revoked_keys")):
        if not re.match(r"(MD5=[0-9a-f]{32}|SHA=[0-9a-f]{64})\Z", str(digest)):
            report.fail("all", "hub_ha_revoked_keys names %r, which is no digest of a key" % str(digest),
                        "such as MD5=... or SHA=..., as in the name of the client's file in ppkeys")


def check_policy(infos, active, settings, report):
    """Our policy reaches hubs and clients through the policy framework, from the place where hubs take theirs."""
    info = infos[active]
    if info["cfengine"].get("policy_framework") is False:
        report.warn(active, "%s is not CFEngine's masterfiles policy framework, which reads def.json: have your policy "
                            "read services/hub_ha.cf and run its bundles hub_ha:main and hub_ha:update, or clients "
                            "learn of the other hub from playbooks/clients.yml only" % info["layout"]["masterfiles"])
    if info["cfengine"].get("manages_units") and info["cfengine"]["edition"] == "enterprise":
        report.fail(active, "def.json defines mpf_enable_cfengine_systemd_component_management, with which the vendor's policy "
                            "writes cf-postgres.service, where the mask is, and starts PostgreSQL on both hubs",
                    "take that class out of def.json, or leave the hubs out: \"any.!am_policy_hub::\"")
    links = info["cfengine"].get("policy_links")
    if links and settings.get("sync_policy", True):
        report.warn(active, "masterfiles hold symbolic links (%s); between the hubs cf-agent carries them as what they "
                            "point to, and this playbook as links: replace them, or set hub_ha_sync_policy to false"
                    % ", ".join(links))
    location = info["cfengine"].get("policy_location")
    if location not in (None, "masterfiles", info["layout"]["masterfiles"]):
        report.warn(active, "def.json has hosts take their policy from %s, where the policy for high availability is "
                            "not: put services/hub_ha.cf and services/hub_ha.json there" % location)


def make_plan(results, settings, probes=None):
    """The plan for the hubs.

    results: {inventory name: result of module hub_info, or of an attempt that reached nobody}; their order counts
    for a new pair only. settings: see roles/know/defaults. probes: {host: link_check result}. Returns a dict with "failures"
    (list of {"host", "problem", "remedy"}), "warnings", and as far as it could be decided the rest.
    """
    report = Report()
    for host, result in results.items():
        if "hub" not in result:
            report.fail(host, "cannot be reached: %s" % " ".join(str(result.get("msg", "no answer")).split()),
                        "check address, network and SSH key with: ansible -i INVENTORY -m ping %s" % host)
    infos = dict((host, result["hub"]) for host, result in results.items() if "hub" in result)
    settings = dict(settings, hosts=list(results))
    report.failures.extend(settings.get("problems") or [])
    virtual_ips, replication_ip = check_virtual_ips(settings, report)
    check_fencing(settings, report)
    check_password(settings, report)
    plan = {"hubs": list(infos), "failures": report.failures, "warnings": report.warnings, "complete": False}
    if len(infos) != 2:
        if len(results) != 2:
            report.fail("all", "the inventory's group has %d hub%s" % (len(results), "" if len(results) == 1 else "s"),
                        "exactly two hubs make a pair")
        return plan
    new = settings.get("install")
    if new:
        infos = install.foresee(infos, new, SUPPORTED_POSTGRES, report)
    # A pair's order is that of its node numbers, whatever the inventory's is: node_list, certificates and all else follow.
    names = [info["uname"].lower() for info in infos.values()]
    running = corosync.running([info["cluster"]["corosync_conf"] for info in infos.values()], names)
    node_ids = corosync.node_numbers(names, running)
    infos = dict(sorted(infos.items(), key=lambda item: node_ids[item[1]["uname"].lower()]))
    active, passive = find_active(infos, report)
    check_names(infos, report)
    check_clocks(infos, report)
    needed = needed_packages(infos, settings, active, passive)
    check_platforms(infos, infos[active]["layout"]["name"], report)
    check_selinux(infos, settings, report)
    # From nothing there is no reason to begin with two versions of the database either.
    check_versions(infos, needed, active, passive, settings, report, SAME_VERSION + (
        ("postgresql-%s" % pg_major(infos[active]),) if new else ()))
    check_fence_agents(infos, settings, report)
    check_databases(infos, active, passive, report)
    check_tls(infos, active, settings, report)
    check_hub_list(infos, active, settings, report)
    check_policy(infos, active, settings, report)
    check_acl(infos, active, report)
    check_replication_user(infos, active, settings, report)
    check_copies(infos, report)
    missing = missing_packages(infos, needed)
    check_package_on_a_pair(infos, missing, report)
    portal.check(infos, active, passive, report)
    check_shared_paths(infos, active, settings, report)
    check_revoked(settings, report)
    check_kept_addresses(infos, active, virtual_ips + as_list(replication_ip), report)
    check_cluster(infos, settings, report)
    check_authkey(infos, report)
    networks = sorted(shared_networks(infos, set(virtual_ips + as_list(replication_ip))), key=lambda net: (
        corosync.MAX_LINKS if corosync.link_of(net["network"], running) is None
        else corosync.link_of(net["network"], running)))
    chosen = choose_networks(networks, settings, virtual_ips, replication_ip, infos, report)
    layout = infos[active]["layout"]
    postgres = infos[active]["postgres"]
    adopted = "cfpgsql" in infos[active]["cluster"]["cib_resources"]
    check_firewalls(infos, settings, adopted, report)
    firewalls = plan_firewalls(infos, {
        "links": chosen["links"], "networks": networks, "pg_port": postgres["port"], "layout": layout,
        # Clients come to their own shared addresses; that of the replication is for the other hub.
        "virtual_ips": [{"ip": text} for text in virtual_ips]}, settings, report)
    closed = check_links(infos, report, probes or {}, chosen["links"], firewalls)
    wanted = wanted_settings(postgres["server"], settings["database"], layout["ha_dir"])
    for name, file in wanted["blocked"]:
        report.fail(active, "%s is set in %s, which overrides everything that is set elsewhere" % (name, file),
                    "take it out there: ALTER SYSTEM RESET %s, or correct the unit's start command" % name)
    shared = [{"id": "cfvirtip" if number == 0 else "cfvirtip_%d" % (number + 1), "ip": text,
               "prefix": (network_of(networks, text) or {}).get("prefix")} for number, text in enumerate(virtual_ips)]
    shared += [{"id": "cfvirtip_repl", "ip": text, "prefix": (network_of(networks, text) or {}).get("prefix")}
               for text in as_list(replication_ip)]
    pending = [item for item in pending_settings(postgres["server"]) if item["name"] not in wanted["restart"]]
    check_trial(active, settings.get("trial"), pending, report)
    keep = wanted_cib.kept({"virtual_ips": shared}, infos[active]["cluster"])
    disrupts = cib_model.disruptions(settings.get("cib_simulation") or [], [], keep)
    check_cib(active, disrupts, settings.get("allow_restart", True), report)
    check_held(active, settings.get("cib_later") or {}, keep, report)
    nodes = dict((host, info["uname"].lower()) for host, info in infos.items())
    clients = chosen["client"]
    addresses = sorted(set(address for net in networks for address in net["addresses"].values()),
                       key=lambda text: (":" in text, int(ipaddress.ip_address(text))))
    plan.update({
        "hubs": list(infos), "node_ids": dict((host, node_ids[node]) for host, node in nodes.items()),
        "active": active, "passive": passive, "nodes": nodes, "layout": layout,
        "edition": infos[active]["cfengine"]["edition"],
        "networks": networks, "links": numbered(chosen["links"], running), "client": clients, "replication": chosen["replication"],
        "virtual_ips": shared, "cib_disrupts": disrupts,
        "peer_addresses": peer_addresses(networks, chosen["replication"], infos),
        "hba_addresses": ["%s/%d" % (text, ipaddress.ip_address(text).max_prefixlen) for text in addresses],
        "pg_major": pg_major(infos[active]), "pg_bin": postgres["bin_dir"], "pg_port": postgres["port"],
        "pg_size": (postgres["server"] or {}).get("size_bytes"),
        "pg_socket": ((postgres["server"] or {}).get("settings") or {}).get("unix_socket_directories", {}),
        "system_identifier": pg_facts.system_identifier(postgres),
        "packages": missing,
        "packaged_database": packaged_database(infos[passive], infos[active]),
        "portal": portal_plan(infos, active, passive, [net["addresses"] for net in networks], virtual_ips, settings, report),
        "db_user": infos[active]["db_user"],
        "include": wanted["include"], "restart": wanted["restart"], "pending": pending,
        "trial": None if new else wanted_trial(postgres, wanted),
        "reload": [host for host, info in infos.items()
                   if (info["postgres"]["server"] or {}).get("reload_pending")],
        "slots": dict((host, slot_name("hub_ha", node)) for host, node in nodes.items()),
        "ha_info": ha_info(infos, clients),
        "hub_list": hub_list(infos, clients, virtual_ips, nodes, settings, layout),
        "adopted": adopted, "platform": infos[active]["platform"],
        "firewalls": firewalls, "closed": closed,
        "stock_clusters": stock_clusters(infos),
        "probe": to_probe(infos, virtual_ips + as_list(replication_ip)),
        "maintenance_ours": [host for host, info in infos.items() if info.get("maintenance_marker")],
        "kept_addresses": [host for host, info in infos.items() if info.get("kept_addresses")],
        "new": bool(new), "complete": True,
    })
    return plan
