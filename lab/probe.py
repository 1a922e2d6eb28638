# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The writer outside: it reaches the hub as a client does, through the shared address, with TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab import hosts, hub, network, paths, report, writer
from lab.shell import LabError, run, say, stage, wait_for

CONNECT_DEADLINE = 0.3  # seconds; on the lab's network a connection with TLS takes a tenth of it

LOG = paths.PROBE / "probe.log"
ERRORS = paths.PROBE / "probe.err"
PID = paths.PROBE / "probe.pid"


def python_with_psycopg2(wanted=None):
    """Path of a Python that has psycopg2: the one that is wanted, else the project's, else our own."""
    for candidate in [wanted] if wanted else [str(paths.VENV_PYTHON), sys.executable]:
        if Path(candidate).exists() and run([candidate, "-c", "import psycopg2"], check=False).returncode == 0:
            return candidate
    raise LabError("No Python with psycopg2: %s has none. Name one with --python." % (wanted or paths.VENV_PYTHON))


def running():
    """The process number of the probe inside the namespace, or None."""
    try:
        pid = int(PID.read_text(encoding="utf-8"))
        command_line = Path("/proc/%d/cmdline" % pid).read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(LOG).encode() in command_line else None


def start(address=network.SHARED_ADDRESS, python=None, deadline=0.5, need_ack=True):
    """Start the probe; returns its name.

    address: where the database is expected, several with commas between are tried in turn.
    deadline: seconds that an insert may take before it
    counts as failed.  need_ack: wait for the first acknowledged write.
    """
    if running():
        raise LabError("The probe runs already. Stop it: python3 -m lab probe stop")
    name = "outside-%d" % time.time()
    LOG.unlink(missing_ok=True)
    parameters = {"host": address, "port": 5432, "dbname": "cfdb", "user": "lab_writer", "sslmode": "require",
                  "password": hub.writer_password(), "application_name": "lab_probe", "gssencmode": "disable",
                  "tcp_user_timeout": 1000}
    several = "," in address
    if several:
        parameters["target_session_attrs"] = "read-write"
    with open(ERRORS, "w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # it stays
            [python_with_psycopg2(python), str(paths.CODE / "guest" / "writer.py"), "--name=" + name, "--log=%s" % LOG,
             "--rate=20", "--retry=0.05", "--deadline=%g" % deadline,
             "--connect-deadline=%g" % min(deadline, CONNECT_DEADLINE * (2 if several else 1))],
            stdin=subprocess.PIPE, stdout=errors, stderr=errors, start_new_session=True)
    PID.write_text("%d\n" % process.pid, encoding="utf-8")
    with process.stdin as handle:
        handle.write(json.dumps(parameters).encode())

    def answered():
        if process.poll() is not None:
            raise LabError("the probe has ended: %s" % ERRORS.read_text(encoding="utf-8").strip())
        known = _log()
        if known["failures"] and not known["acks"]:
            raise LabError(known["failures"][-1][2])
        return known["acks"]

    if need_ack:
        try:
            wait_for("the first write through %s" % address, answered, 15)
        except LabError:
            stop()
            raise
    return name


def stop():
    """Stop the probe; its log stays. Returns False when it did not run."""
    pid = running()
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    wait_for("the probe's end", lambda: running() is None, 10)
    return True


def _log():
    try:
        return report.parse(LOG.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return report.parse("")


def figures_so_far():
    """The probe's log as data (see lab.report.parse), also while it runs."""
    return _log()


def figures(read_from=None):
    """The summary of the probe (dict, see lab.report.summary)."""
    log = _log()
    if not log["writer"]:
        raise LabError("The probe has not run. Start it: python3 -m lab probe start")
    return report.summary(log, writer.rows(log["writer"], read_from))


def outage(host, seconds=60, settle=2.0, python=None, address=network.SHARED_ADDRESS):
    """Cut the power of *host* under the probe's eyes; returns the probe's figures once writes go on.

    seconds: how long to wait for the next acknowledged write.  settle: seconds to go on writing
    before the cut and after the first write that follows it.  Adds cut_at (time) and outage_s,
    the seconds from the cut to the first write acknowledged after it.
    """
    with stage("writing through %s" % address):
        start(address, python)
        time.sleep(settle)
    try:
        with stage("power cut of %s; waiting for the next acknowledged write" % host):
            cut, dead = hosts.power_off(host)

            def first():
                # the writer may note an acknowledgement of before a little late; nobody is promoted so soon
                later = [at for _seq, at in _log()["acks"] if at > dead + 0.3]
                return later[0] if later else None

            back = wait_for("a write through %s after the cut" % address, first, seconds, every=0.05,
                            hint="The probe's last lines: tail %s" % LOG)
        time.sleep(settle)
    finally:
        stop()
    known = figures()
    known.update(cut_at=cut, outage_s=round(back - cut, 3))
    return known


def command(options):
    """``lab probe start|stop|report``."""
    if options.action == "start":
        say("lab: %s writes through %s" % (start(options.address, options.python, need_ack=not options.no_wait),
                                           options.address))
    elif options.action == "stop":
        say("lab: the probe has stopped" if stop() else "lab: the probe was not running")
    else:
        known = figures(options.read_from)
        print(json.dumps(known, indent=1) if options.json else report.text(known))
    return 0


def outage_command(options):
    """``lab outage HOST``."""
    known = outage(options.host, options.seconds, python=options.python, address=options.address)
    if options.json:
        print(json.dumps(known, indent=1))
    else:
        print("power cut of %s at %s: the next write was acknowledged %.3f s later" % (
            options.host, report.clock(known["cut_at"]), known["outage_s"]))
        print(report.text(known))
    return 0
