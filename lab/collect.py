# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`lab collector`: puts the STAND-IN for cf-hub (lab.collector) on the hosts, and tells what it has collected."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

from lab import hosts, hub, network, paths, podman, report, writer
from lab.collector import cfnet, database
from lab.shell import LabError, say, stage, wait_for

FOLDER = "/usr/local/lib/lab-collector"  # on the host; survives a power cut, as the unit does
UNITS = "/etc/systemd/system"
UNIT = {"hub": "lab-collector.service", "client": "lab-report.service"}
PROGRAM = {"hub": "lab.collector.hub", "client": "lab.collector.client serve"}
DESCRIPTION = {"hub": "STAND-IN for cf-hub (the lab's): collects reports while this hub is active",
               "client": "STAND-IN for Enterprise reporting (the lab's): keeps this client's report"}


def role(host):
    """"hub" or "client"."""
    return "hub" if host.startswith("hub") else "client"


def unit(kind):
    """Text of the unit for hosts of a kind (pure)."""
    return """[Unit]
Description=%s
After=network.target cf-serverd.service
[Service]
Type=%s
Environment=PYTHONPATH=%s PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m %s
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
""" % (DESCRIPTION[kind], "notify" if kind == "client" else "exec", FOLDER, PROGRAM[kind])


def _install(host):
    """Put program and unit on a host, whether it is on or off; the unit starts when the host boots."""
    root = hosts.root_of(host)
    for path in [paths.CODE / "__init__.py", *sorted((paths.CODE / "collector").glob("*.py"))]:
        podman.write(root, "%s/lab/%s" % (FOLDER, path.relative_to(paths.CODE)), path.read_text(encoding="utf-8"))
    podman.write(root, "%s/%s" % (UNITS, UNIT[role(host)]), unit(role(host)))
    wanted = root / UNITS[1:] / "multi-user.target.wants" / UNIT[role(host)]
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if not wanted.is_symlink():
        wanted.symlink_to("%s/%s" % (UNITS, UNIT[role(host)]))


def _start(host):
    """Start what _install has put there."""
    if role(host) == "client" and podman.execute(host, ["test", "-d", hub.WORK + "/data"], check=False).returncode:
        # The stock policy serves this folder, but only when it is there as cf-serverd reads its policy.
        podman.execute(host, ["install", "-d", "-m", "0700", hub.WORK + "/data"])
        podman.execute(host, ["systemctl", "try-restart", "cf-serverd.service"])
    podman.execute(host, ["systemctl", "daemon-reload"])
    podman.execute(host, ["systemctl", "restart", UNIT[role(host)]])


def bootstrapped(states):
    """Clients, on or off, that know a hub: sorted list. states: {host: state} of all hosts."""
    return sorted(host for host in states if role(host) == "client" and not host.startswith("build-")
                  and (hosts.root_of(host) / hub.WORK[1:] / "policy_server.dat").exists())


def identity(client, active):
    """What the database has to know of a client, on or off (dict). Its digest is made on the hub *active*."""
    try:
        key = (hosts.root_of(client) / hub.WORK[1:] / "ppkeys/localhost.pub").read_text(encoding="ascii")
    except OSError as exc:
        raise LabError("%s has no CFEngine key: %s" % (client, exc)) from exc
    digest = podman.execute(active, ["sh", "-c", "f=$(mktemp) && cat >$f && cf-key -p $f; rm -f $f"],
                            stdin=key).stdout.strip()
    if not cfnet.is_key(digest):
        raise LabError("cf-key calls the key of %s %r" % (client, digest))
    return {"hostkey": digest, "hostname": client, "ipaddress": network.address(client)}


def register(clients, active):
    """Make clients known to the collector, through the database of the hub *active*."""
    with ThreadPoolExecutor(4) as pool:
        known = list(pool.map(lambda client: identity(client, active), clients))
    if known:
        hub.psql(active, database.register(known))
    return known


def start():
    """Begin anew: tables, clients, programs, units. Returns (hubs, clients) that take part."""
    states = podman.containers()
    hubs = sorted(host for host, state in states.items() if role(host) == "hub" and not host.startswith("build-"))
    clients = bootstrapped(states)
    with stage("collector (stand-in for cf-hub) on %s" % ", ".join(hubs + clients)):
        stop()
        active = writer.primary()
        hub.psql(active, database.TABLES)
        register(clients, active)
        for host in hubs + clients:
            _install(host)
        for group in clients, hubs:  # each client has a report before the first round
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(_start, [host for host in group if states[host] == "running"]))
        wait_for("the first round of %s" % active,
                 lambda: any(each["first_round"] for each in figures(active)["activations"]), 30,
                 hint="Look: python3 -m lab exec %s -- journalctl -u %s" % (active, UNIT["hub"]))
    return hubs, clients


def stop():
    """Stop it everywhere, and take it away; its tables stay. Returns the hosts on which it was."""
    states = podman.containers()
    found = sorted(host for host in states
                   if not host.startswith("build-") and (hosts.root_of(host) / UNITS[1:] / UNIT[role(host)]).exists())

    def one(host):
        root = hosts.root_of(host)
        if states[host] == "running":
            podman.execute(host, ["systemctl", "stop", UNIT[role(host)]], check=False)
        for path in ("multi-user.target.wants/" + UNIT[role(host)], UNIT[role(host)]):
            (root / UNITS[1:] / path).unlink(missing_ok=True)
        shutil.rmtree(root / FOLDER[1:], ignore_errors=True)
        if states[host] == "running":
            podman.execute(host, ["systemctl", "daemon-reload"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, found))
    return found


def figures(active=None):
    """What the collector has done since it was started (dict, see summary). active: the hub to ask."""
    active = active or writer.primary()
    try:
        known = hub.psql(active, database.REPORT, timeout=20)
    except LabError as exc:
        if "lab_clients" in str(exc):
            raise LabError("The collector has not run. Start it: python3 -m lab collector start") from exc
        raise
    return summary(json.loads(known))


def summary(known):
    """The collector's tables (dict of lists, see database.REPORT) as figures by client and by activation (pure)."""
    return {"what": "the lab's stand-in for cf-hub",
            "clients": [_client(client, [row for row in known["collected"] if row["hostkey"] == client["hostkey"]])
                        for client in known["clients"]],
            "activations": [_activation(each, [row for row in known["rounds"] if row["activation"] == each["id"]])
                            for each in known["activations"]]}


def _client(client, rows):
    def total(*outcomes, direction=None):
        return sum(row["times"] for row in rows
                   if row["outcome"] in outcomes and direction in (None, row["direction"]))

    good = max((row for row in rows if row["outcome"] == "ok"), key=lambda row: row["last_at"], default=None)
    bad = max((row for row in rows if row["outcome"] != "ok"), key=lambda row: row["last_at"], default=None)
    return {"host": client["hostname"], "hostkey": client["hostkey"], "address": client["ipaddress"],
            "last_report": good and {"at": good["last_at"], "hub": good["hub"], "direction": good["direction"],
                                     "bytes": good["bytes"]},
            "collected": {"pull": total("ok", direction="pull"), "call": total("ok", direction="call")},
            "by_hub": dict((name, sum(row["times"] for row in rows if row["hub"] == name and row["outcome"] == "ok"))
                           for name in sorted({row["hub"] for row in rows})),
            "auth_failures": total("auth"), "refused": total("refused"), "unreachable": total("unreachable"),
            "other_failures": total("other"),
            "last_failure": bad and {"at": bad["last_at"], "hub": bad["hub"], "direction": bad["direction"],
                                     "outcome": bad["outcome"], "message": bad["message"]}}


def _activation(activation, rounds):
    def shown(row):
        return row and dict((name, row[name]) for name in ("round", "at", "seconds", "clients", "ok", "auth", "refused",
                                                           "unreachable", "other"))

    rounds = sorted(rounds, key=lambda row: row["round"])
    return {"hub": activation["hub"], "at": activation["at"], "why": activation["why"],
            "first_round": shown(rounds[0] if rounds and rounds[0]["round"] == 1 else None),
            "last_round": shown(rounds[-1] if rounds else None)}


def text(known):
    """The figures for a person (pure)."""
    lines = ["the lab's stand-in for cf-hub"]
    for client in known["clients"]:
        last = client["last_report"]
        lines.append("  %-9s %s, %d pulled, %d called, %d not authenticated, %d refused, %d unreachable, %d other" % (
            client["host"],
            "last report %s by %s (%s)" % (report.clock(last["at"]), last["hub"], last["direction"])
            if last else "no report", client["collected"]["pull"], client["collected"]["call"],
            client["auth_failures"], client["refused"], client["unreachable"], client["other_failures"]))
        if client["last_failure"]:
            lines.append("            last failure %s on %s: %s" % (
                report.clock(client["last_failure"]["at"]), client["last_failure"]["hub"],
                client["last_failure"]["message"]))
    for each in known["activations"]:
        first = each["first_round"]
        lines.append("  %s active %s (%s): %s" % (
            each["hub"], report.clock(each["at"]), each["why"],
            "first round %s, %d of %d collected in %.1f s" % (report.clock(first["at"]), first["ok"], first["clients"],
                                                              first["seconds"]) if first else "no round yet"))
    return "\n".join(lines)


def call(host):
    """Have a client call its hub and be collected from; returns the outcome (dict)."""
    podman.need(host)
    if role(host) != "client" or not (hosts.root_of(host) / FOLDER[1:]).exists():
        raise LabError("The collector's client is not on %s. Start it: python3 -m lab collector start" % host)
    done = podman.execute(host, ["env", "PYTHONPATH=" + FOLDER, "PYTHONDONTWRITEBYTECODE=1", "python3", "-m",
                                 "lab.collector.client", "call"], check=False, timeout=60)
    try:
        return json.loads(done.stdout)
    except ValueError as exc:
        raise LabError("The call of %s gave no answer: %s" % (host, done.stderr.strip()[-300:])) from exc


def command(options):
    """``lab collector start|stop|report|call|register``."""
    if options.action == "start":
        hubs, clients = start()
        say("lab: the collector (stand-in for cf-hub) runs on %s, for %s" % (
            ", ".join(hubs), ", ".join(clients) or "no client"))
    elif options.action == "stop":
        found = stop()
        say("lab: the collector has stopped on " + ", ".join(found) if found else "lab: no collector was running")
    elif options.action == "register":
        _register(options.hosts)
    elif options.action == "call":
        return _call(options.hosts, options.json)
    else:
        known = figures()
        print(json.dumps(known, indent=1) if options.json else text(known))
    return 0


def _register(wanted):
    states = podman.containers()
    clients = wanted or bootstrapped(states)
    for host in clients:
        podman.need(host, running=False)
        _install(host)
        if states[host] == "running":
            _start(host)
    register(clients, writer.primary())
    say("lab: the collector knows %s" % ", ".join(clients))


def _call(wanted, as_json):
    if not wanted:
        raise LabError("Which client is to call? python3 -m lab collector call client1")
    outcomes = dict((host, call(host)) for host in wanted)
    if as_json:
        print(json.dumps(outcomes, indent=1))
    else:
        for host, outcome in outcomes.items():
            print("%s called %s: %s%s" % (host, outcome["hub"] or outcome["address"], outcome["outcome"],
                                          ", " + outcome["message"] if outcome["message"] else ""))
    return 0 if all(outcome["outcome"] == "ok" for outcome in outcomes.values()) else 1
