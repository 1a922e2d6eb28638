# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The writer on the hub itself: a unit of the hub's systemd that an upgrade must not disturb."""

from __future__ import annotations

import json
import time
from pathlib import Path

from lab import hosts, hub, paths, podman, report
from lab.shell import LabError, say, wait_for

UNIT = "lab-writer.service"
FOLDER = "/var/lib/lab"
LOG = FOLDER + "/writer.log"
PARAMETERS = {"dbname": "cfdb", "user": "root", "application_name": "lab_writer"}


def start(host="hub1", rate=50.0):
    """Start the writer on *host*; returns its name. *rate*: rows per second."""
    podman.need(host)
    if active(host):
        raise LabError("The writer runs on %s already. Stop it: python3 -m lab writer stop --host %s" % (host, host))
    name = "inside-%d" % time.time()
    podman.execute(host, ["sh", "-c", "mkdir -p %s && rm -f %s && cat >%s/writer.py" % (FOLDER, LOG, FOLDER)],
                   stdin=(paths.CODE / "guest" / "writer.py").read_text(encoding="utf-8"))
    podman.execute(host, ["sh", "-c", "cat >%s/writer.json" % FOLDER], stdin=json.dumps(PARAMETERS))
    podman.execute(host, [
        "systemd-run", "--quiet", "--collect", "--unit=" + UNIT, "--description=The lab's writer",
        "python3", FOLDER + "/writer.py", "--name=" + name, "--rate=%g" % rate, "--log=" + LOG, "--retry=0.02",
        "--parameters=%s/writer.json" % FOLDER])
    wait_for("the first write on %s" % host, lambda: report.parse(read_log(host))["acks"], 20,
             hint="Is it a live hub? python3 -m lab seed. The log: python3 -m lab exec %s -- tail %s" % (host, LOG))
    return name


def active(host):
    """True while the writer runs on *host*."""
    return podman.execute(host, ["systemctl", "is-active", "--quiet", UNIT], check=False).returncode == 0


def stop(host="hub1"):
    """Stop the writer; its log stays. Returns False when it did not run (or its host is off)."""
    podman.need(host, running=False)
    if podman.containers()[host] != "running" or not active(host):
        return False
    podman.execute(host, ["systemctl", "stop", UNIT], timeout=60)
    return True


def read_log(host):
    """The writer's log (text), also of a host that is off; "" when there is none."""
    try:
        return Path(str(hosts.root_of(host)) + LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def primary():
    """The hub whose database takes writes. Raises LabError when there is none, or more than one."""
    found = []
    for host, state in sorted(podman.containers().items()):
        if not host.startswith("hub") or state != "running":
            continue
        try:
            if hub.psql(host, "SELECT pg_is_in_recovery();", database="postgres", timeout=10) == "f":
                found.append(host)
        except LabError:
            continue
    if len(found) != 1:
        raise LabError("%s. Name the hub whose rows count with --read-from HOST." % (
            "No hub has a database that takes writes" if not found
            else "More than one hub takes writes: " + ", ".join(found)))
    return found[0]


def rows(name, host=None):
    """Sequence numbers that the database has of writer *name* (list of int)."""
    answer = hub.psql(host or primary(), "SELECT seq FROM ha_writes WHERE writer = '%s' ORDER BY seq;"
                      % name.replace("'", "''"))
    return [int(line) for line in answer.split()]


def figures(host="hub1", read_from=None):
    """The summary of the writer on *host* (dict, see lab.report.summary)."""
    log = report.parse(read_log(host))
    if not log["writer"]:
        raise LabError("The writer has not run on %s. Start it: python3 -m lab writer start" % host)
    return report.summary(log, rows(log["writer"], read_from))


def command(options):
    """``lab writer start|stop|report``."""
    if options.action == "start":
        say("lab: %s writes on %s, %g rows/s" % (start(options.host, options.rate), options.host, options.rate))
    elif options.action == "stop":
        say("lab: the writer has stopped" if stop(options.host) else "lab: the writer was not running")
    else:
        known = figures(options.host, options.read_from)
        print(json.dumps(known, indent=1) if options.json else report.text(known))
    return 0
