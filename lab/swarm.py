# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`lab swarm`: many CFEngine clients as processes with own work directories on one host (lab/guest/swarm.py)."""

from __future__ import annotations

import json
import statistics
import time

from lab import hosts, hub, paths, podman, writer
from lab.guest import swarm as guest
from lab.shell import LabError, say, stage

PROGRAM = "/usr/local/lib/lab-swarm.py"
DEFAULT_HOST = "client3"
MOST = 99


def _guest(host, *arguments, timeout):
    podman.write(hosts.root_of(host), PROGRAM, (paths.CODE / "guest" / "swarm.py").read_text(encoding="utf-8"))
    done = podman.execute(host, ["python3", PROGRAM, *arguments], timeout=timeout)
    try:
        return json.loads(done.stdout) if done.stdout.strip() else None
    except ValueError as exc:
        raise LabError("The swarm on %s answered nonsense: %s" % (host, done.stdout[-300:])) from exc


def key_file(digest):
    """Where a host keeps the public key that has *digest* (pure)."""
    return "%s/ppkeys/root-%s.pub" % (hub.WORK, digest)


def start(count, host=DEFAULT_HOST):
    """Make *count* clients on *host*, and have the active hub trust their keys; returns the hub's name."""
    if not 1 <= count <= MOST:
        raise LabError("A swarm has 1 to %d clients, not %d." % (MOST, count))
    podman.need(host)
    root = hosts.root_of(host)
    if not (root / hub.WORK[1:] / "policy_server.dat").exists():
        raise LabError("%s is not bootstrapped, so a swarm on it would know no hub. Bootstrap it: python3 -m lab seed"
                       % host)
    active = writer.primary()
    with stage("%d clients as processes on %s" % (count, host)):
        made = _guest(host, "make", str(count), timeout=60 + 10 * count)
        for client in made:
            podman.write(hosts.root_of(active), key_file(client["digest"]), client["key"], 0o600)
    return active


def publish(hub_host, token):
    """Put a new file into the hub's masterfiles, and stamp them as the hub does when their content is new."""
    podman.execute(hub_host, ["sh", "-c", 'umask 077; cat >"$1/%s"; cf-promises -T "$1"' % guest.MARKER, "sh",
                              hub.WORK + "/masterfiles"], stdin=token + "\n", timeout=60)


def run(host=DEFAULT_HOST, hub_host=None, update_only=False):
    """Run every client's policy once, after publishing a new marker on the hub; returns the figures (dict).

    hub_host: the hub whose masterfiles get the marker (None: the one whose database takes writes).
    update_only: fetch policy only.
    """
    podman.need(host)
    if not (hosts.root_of(host) / PROGRAM[1:]).exists():
        raise LabError("There is no swarm on %s. Start one: python3 -m lab swarm start 50 --host %s" % (host, host))
    hub_host = hub_host or writer.primary()
    token = "swarm-%d" % time.time_ns()
    with stage("the swarm on %s fetches policy that is new on %s" % (host, hub_host)):
        publish(hub_host, token)
        began = time.monotonic()
        answer = _guest(host, "run", token, *(["--update-only"] if update_only else []), timeout=3600)
        return summary(answer, hub_host, time.monotonic() - began)


def summary(answer, hub_host, seconds):
    """Figures of one run (dict); answer: what lab/guest/swarm.py said of each client (pure)."""
    def spread(name):
        values = [client[name] for client in answer]
        return {"median": statistics.median(values), "max": max(values)} if values else None

    return {"hub": hub_host, "clients": len(answer), "fetched": sum(client["fetched"] for client in answer),
            "ok": sum(client["ok"] for client in answer), "seconds": round(seconds, 1),
            "update_seconds": spread("update_seconds"), "agent_seconds": spread("agent_seconds"),
            "each": dict((client["name"], round(client["update_seconds"] + client["agent_seconds"], 3))
                         for client in answer),
            "failed": [client for client in answer if not client["ok"]]}


def stop(host=DEFAULT_HOST):
    """Remove the clients and their keys on every hub; returns False when there was no swarm on *host*."""
    podman.need(host)
    root = hosts.root_of(host)
    if not (root / PROGRAM[1:]).exists():
        return False
    keys = [client["digest"] for client in _guest(host, "keys", timeout=600)]
    for name in podman.containers():
        if name.startswith("hub"):
            for digest in keys:
                (hosts.root_of(name) / key_file(digest)[1:]).unlink(missing_ok=True)
    _guest(host, "remove", timeout=120)
    (root / PROGRAM[1:]).unlink()
    return True


def command(options):
    """``lab swarm start N|run|stop``."""
    if options.action == "start":
        if options.count is None:
            raise LabError("How many clients? python3 -m lab swarm start 50")
        active = start(options.count, options.host)
        say("lab: %d clients on %s, known to %s" % (options.count, options.host, active))
    elif options.action == "stop":
        say("lab: the swarm is gone" if stop(options.host) else "lab: there was no swarm on %s" % options.host)
    else:
        known = run(options.host, options.hub, options.update_only)
        print(json.dumps(known, indent=1))
        return 0 if known["ok"] == known["clients"] else 1
    return 0
