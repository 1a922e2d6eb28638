# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the raw output of a hub's tools means. Pure functions on text and plain data."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

from ..pg import evidence
from ..pg.evidence import Side, stopped_side
from ..pg.history import from_entries

# What each hub's own agent notes in masterfiles whenever it has checked the policy: no part of the policy.
POLICY_STAMPS = ("cf_promises_validated", "cf_promises_release_id")


def addresses(ip_json):
    """Global addresses out of `ip -j addr`: [{"interface", "address", "prefix", "network", "secondary"}].

    "fleeting" is in those that end by themselves: IPv6 addresses for privacy, and deprecated ones.
    """
    found = []
    for link in ip_json:
        for item in link.get("addr_info", []):
            if item.get("scope") != "global" or "local" not in item:
                continue
            interface = ipaddress.ip_interface("%s/%s" % (item["local"], item["prefixlen"]))
            found.append({"interface": link["ifname"], "address": str(interface.ip), "prefix": item["prefixlen"],
                          "network": str(interface.network), "secondary": bool(item.get("secondary"))})
            if interface.version == 6 and (item.get("temporary") or item.get("deprecated")):
                found[-1]["fleeting"] = True
    return found


def units(show_output):
    """{"corosync": {"load", "active", "enabled"}, ...} out of `systemctl show` blocks."""
    found = {}
    for block in show_output.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in fields:
            found[re.sub(r"\.service$", "", fields["Id"])] = {
                "load": fields.get("LoadState", ""), "active": fields.get("ActiveState", ""),
                "enabled": fields.get("UnitFileState", "")}
    return found


def apt_policy(text, names):
    """{name: {"installed", "candidate"}} out of `apt-cache policy`; "" where there is none."""
    found = dict((name, {"installed": "", "candidate": ""}) for name in names)
    current = None
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = line.rstrip(":")
        match = re.match(r"\s+(Installed|Candidate): (\S+)", line)
        if match and current in found:
            value = match.group(2)
            found[current][match.group(1).lower()] = "" if value == "(none)" else value
    return found


def os_release(text):
    """{"id", "version", "name"} out of /etc/os-release."""
    fields = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', text))
    return {"id": fields.get("ID", ""), "version": fields.get("VERSION_ID", ""),
            "name": fields.get("PRETTY_NAME", "")}


def listening(proc_net_tcp):
    """Ports in state LISTEN (0A) out of /proc/net/tcp or tcp6."""
    ports = set()
    for line in proc_net_tcp.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def first_version(text):
    """First dotted version number in *text*, or None."""
    match = re.search(r"\d+\.\d+(?:\.\d+)*", text)
    return match.group(0) if match else None


def sha256_digest(text):
    """The 64 digits out of "sha256:..." or the digits alone, in lower case; None when it is something else."""
    match = re.fullmatch(r"(?:sha256:)?([0-9a-fA-F]{64})", str(text).strip())
    return match.group(1).lower() if match else None


def cfengine_version(text):
    """"3.24.1" out of `cf-agent --version`."""
    return first_version(text)


def cmap_number(text):
    """3 out of `totem.config_version (u64) = 3`, or None."""
    match = re.search(r"=\s*(\d+)\s*$", text)
    return int(match.group(1)) if match else None


def pg_major(text):
    """"17" out of `postgres (PostgreSQL) 17.12 (Debian ...)`."""
    match = re.search(r"\(PostgreSQL\) (\d+)", text)
    return match.group(1) if match else "0"


def postgres_state(facts):
    """One word for the hub's PostgreSQL.

    "primary", "standby": it runs and answers; "unreachable": it runs and does not answer us;
    "stopped": there is a database and no server; "absent": no database (directory missing or empty);
    "foreign": the data directory holds files that are no database.
    """
    if facts["pid"]:
        if not facts["server"]:
            return "unreachable"
        return "standby" if facts["server"]["in_recovery"] else "primary"
    return {"database": "stopped", "other": "foreign"}.get(facts["data_dir_state"], "absent")


def side(facts, name=""):
    """evidence.Side of a hub's facts["postgres"], for comparison with another hub's.

    name: the hub's, for the texts. What the hub itself has found out about its WAL is in facts["side"].
    """
    if facts.get("side"):
        return Side.from_dict(dict(facts["side"], name=name))
    history, control = from_entries(facts.get("history")), facts.get("control") or {}
    if facts.get("state") in ("primary", "standby", "unreachable"):
        return Side(name=name, running=True, system_identifier=system_identifier(facts), history=history,
                    in_recovery={"primary": False, "standby": True}.get(facts["state"]),
                    timeline=control.get("timeline"), why=facts.get("error") or "")
    return stopped_side(control, history, name=name, standby_signal=bool(facts.get("standby_signal")),
                        backup_label=bool(facts.get("backup_label")))


def relation(mine, theirs, me="", other=""):
    """evidence.Relation of the database in facts["postgres"] *mine* of hub *me* to the one that it is to follow.

    Both were read at the same time, so where a primary that runs was proves nothing of what the other one has by now.
    """
    primary = side(theirs, other)
    if primary.running and not primary.in_recovery:
        primary = replace(primary, position=None)
    return evidence.relation(side(mine, me), primary)


def system_identifier(facts):
    """The PostgreSQL system identifier of a hub's facts["postgres"], or None."""
    server = facts.get("server") or {}
    return server.get("system_identifier") or facts.get("control", {}).get("system_identifier") or None


def policy_server(text):
    """Address out of policy_server.dat ("ADDRESS" or "ADDRESS:PORT", C: libpromises/bootstrap.c); None when it is empty."""
    words = (text or "").split()
    if not words:
        return None
    host = words[0]
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host


def key_digest(text):
    """"SHA=..." or "MD5=..." out of `cf-key --print-digest`, or None."""
    match = re.search(r"(?:SHA|MD5)=[0-9a-f]+", text)
    return match.group(0) if match else None


def include_lines(text):
    """Lines of a postgresql.conf that include another file, as they stand."""
    return [line.strip() for line in text.splitlines() if re.match(r"include(_if_exists|_dir)?\b", line.strip())]


def managed_blocks(text):
    """{marker: [lines]} of what stands between "# BEGIN marker" and "# END marker", as ansible.builtin.blockinfile
    writes it; a marker that stands there more than once is left out. Only markers of this collection: an operator's
    lines may hold secrets (ldapbindpasswd)."""
    found = re.findall(r"^# BEGIN (cfengine\.hub_ha.*)\n((?:.*\n)*?)# END \1$", text, re.MULTILINE)
    names = [name for name, _lines in found]
    return dict((name, lines.splitlines()) for name, lines in found if names.count(name) == 1)


def tree_digest(tree):
    """One digest of {relative path: digest}; equal trees have equal digests, whatever their order."""
    text = "".join("%s\0%s\n" % item for item in sorted(tree.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def cib_summary(xml_text):
    """What matters of a CIB: its nodes, {resource id: agent}, our addresses, each node's cfpgsql-status, maintenance mode.

    "cib_fencing" are those fencing devices that this collection has made: they have its constraint. "cib_node_list" is the
    agent's parameter.
    """
    root = ElementTree.fromstring(xml_text)
    nodes = [node.get("uname") for node in root.findall("configuration/nodes/node")]
    resources, shared = {}, {}
    for primitive in root.iter("primitive"):
        agent = ":".join(part for part in (primitive.get("class"), primitive.get("provider"), primitive.get("type"))
                         if part)
        resources[primitive.get("id")] = agent
        if primitive.get("id").startswith("cfvirtip"):
            shared.update((primitive.get("id"), pair.get("value"))
                          for pair in primitive.findall("instance_attributes/nvpair") if pair.get("name") == "ip")
    constraints = set(item.get("id") for item in root.iter("rsc_location"))
    fencing = sorted(name for name, agent in resources.items()
                     if agent.startswith("stonith:") and name + "-not-on-target" in constraints)
    attributes = {"cfpgsql-status": {}, "hub_ha-forked": {}}
    for state in root.findall("status/node_state"):
        for pair in state.findall("transient_attributes/instance_attributes/nvpair"):
            if pair.get("name") in attributes:
                attributes[pair.get("name")][state.get("uname")] = pair.get("value")
    status = attributes["cfpgsql-status"]
    promoted = [name for name, value in status.items() if value == "PRI"]
    maintenance = [pair.get("value", "").lower() for pair in root.findall("configuration/crm_config//nvpair")
                   if pair.get("name") == "maintenance-mode"]
    known = [pair.get("value", "").split() for primitive in root.iter("primitive") if primitive.get("id") == "cfpgsql"
             for pair in primitive.findall("instance_attributes/nvpair") if pair.get("name") == "node_list"]
    return {"cib_nodes": nodes, "cib_node_list": known[0] if known else [], "cib_resources": resources,
            "cib_addresses": list(shared.values()), "cib_ips": shared, "cib_fencing": fencing,
            "pgsql_status": status, "forked": attributes["hub_ha-forked"],
            "promoted": promoted[0] if len(promoted) == 1 else None,
            "maintenance": bool(maintenance) and maintenance[0] in ("true", "on", "yes", "y", "1")}


def on_hubs(classes, name):
    """Does the "classes" part of augments define the class on hubs? Unless each expression leaves them out, yes."""
    for key, value in classes.items():
        if key.rpartition(":")[2] == name:
            value = value.get("class_expressions", []) if isinstance(value, dict) else value
            texts = [value] if isinstance(value, str) else list(value)
            return not texts or not all("!am_policy_hub" in text or "!policy_server" in text for text in texts)
    return False


def hub_list(text):
    """The list of hubs out of its file's text: {"hubs": {address: {"name", "key", "public"}}, ...}; None without one.

    A file that is no such list counts as none: it is written anew.
    """
    try:
        data = json.loads(text or "")
    except ValueError:
        return None
    hubs = data.get("hubs") if isinstance(data, dict) else None
    if not isinstance(hubs, dict) or not hubs or not isinstance(data.get("shared"), list) or "vendor" not in data:
        return None
    for hub in hubs.values():
        if not isinstance(hub, dict) or not all(isinstance(hub.get(key), str) for key in ("name", "key", "public")):
            return None
    return data


def policy_list(show_vars, name):
    """The list variable *name* out of `cf-promises --show-vars`; None when it is not there."""
    for line in show_vars.splitlines():
        match = re.match(re.escape(name) + r"\s+\{(.*)\}(\s|$)", line)
        if match:
            return re.findall(r'"((?:[^"\\]|\\.)*)"', match.group(1))
    return None


def unit_of(proc_cgroup):
    """"cf-postgres.service" out of /proc/PID/cgroup: the unit or scope of systemd that a process is in, or None."""
    for line in proc_cgroup.splitlines():
        number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" or controllers == "name=systemd":
            names = [name for name in path.split("/") if name.endswith((".service", ".scope"))]
            if names:
                return names[-1]
    return None


def kept_addresses(unit):
    """[{"ip", "prefix"}] of the shared addresses that a single hub keeps, out of the unit that brings them up."""
    return [{"ip": text.split("/")[0], "prefix": int(text.split("/")[1])}
            for line in re.findall(r"(?m)^ExecStart=\S+(.*)$", unit or "")
            for text in line.split() if re.fullmatch(r"[0-9a-fA-F.:]+/\d+", text)]
