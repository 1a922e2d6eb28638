# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pair's hubs: what is done to them, what they say, and how the pair is made whole again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Optional, Sequence
from xml.etree import ElementTree

from lab import hosts, hub, network, paths, podman, probe
from lab.faults import audit, processes
from lab.faults.table import GUARD, Row, Step
from lab.faults.watch import Watch
from lab.shell import LabError, run, say, stage

HUBS = ("hub1", "hub2")
DATA = hub.PGDATA
HERE = Path(__file__).resolve().parent
OTHER_ORDER = paths.STATE / "other-order.yml"
CRM_MON = ["timeout", "5", "crm_mon", "-1", "-r", "-A", "-f", "-L", "--output-as=xml"]
PLAY_SECONDS = 600
LOOK_PORT = 5499
SEE_SECONDS = 20
AGENT_CONF = "/etc/cfengine-hub-ha/agent.conf"
OLD_PARAMETERS = ("master_ip", "primary_conninfo_opt", "repuser")

# Of which hub, and what tells it. The receiver's own connection, not the file: what is written need not be in use.
SQL = ("psql", "-XAtq", "-d", "postgres", "-c")
RECEIVER = SQL + ("SELECT conninfo FROM pg_stat_wal_receiver WHERE status = 'streaming'",)
SENDERS = "SELECT %s FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) WHERE state = 'streaming'"
FACTS = {
    "sslmode": ("passive", RECEIVER),
    "user": ("passive", RECEIVER),
    "usename": ("active", SQL + (SENDERS % "usename",)),
    "ssl": ("active", SQL + (SENDERS % "ssl",)),
    "addresses": ("active", ("sh", "-c", "ip -o -4 address | grep -o '192[.]168[.]100[.]1[0-9][0-9]/' | tr -d /")),
    "parameters": ("active", ("sh", "-c", "cibadmin --query --xpath "
                              "\"//primitive[@id='cfpgsql']/instance_attributes\" | "
                              "sed -nE 's/.*name=\"(master_ip|repuser|primary_conninfo_opt)\".*/\\1/p'")),
    "conf": ("both", ("sh", "-c", "sed -nE 's/^OCF_RESKEY_([a-z_]+)=.+/\\1/p' %s 2>/dev/null || true" % AGENT_CONF)),
}

# The database's directory of a stopped hub is copied, and the copy is started where nobody else sees it.
LOOK = """
set -e
rm -rf /var/tmp/look && mkdir -m 0700 /var/tmp/look
cp -a "$1" /var/tmp/look/data
rm -f /var/tmp/look/data/standby.signal /var/tmp/look/data/recovery.signal /var/tmp/look/data/postmaster.pid
chown cfpostgres /var/tmp/look
cd /tmp
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
runuser -u cfpostgres -- "$bin/pg_ctl" -D /var/tmp/look/data -l /var/tmp/look/log -w -t 30 -o "-c port=$2 \\
    -c listen_addresses= -c unix_socket_directories=/var/tmp/look -c ssl=off -c archive_mode=off \\
    -c shared_buffers=16MB -c logging_collector=off -c fsync=off" start >/dev/null
psql -XAtq -h /var/tmp/look -p "$2" -d cfdb -c "$3" || true
runuser -u cfpostgres -- "$bin/pg_ctl" -D /var/tmp/look/data -m immediate stop >/dev/null
rm -rf /var/tmp/look
"""

# What docs/operate.md tells an operator to do, without the playbook's two runs.
CLONE = """
set -e
cd /tmp
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
rm -rf "$1" && install -d -m 0700 -o cfpostgres -g cfpostgres "$1"
PGPASSFILE="$(dirname "$1")/hub_ha/pgpass" PGSSLMODE=require runuser -u cfpostgres -- "$bin/pg_basebackup" \\
    -h "$2" -U hub_ha_repl -D "$1" -X stream -c fast -w
runuser -u cfpostgres -- touch "$1/standby.signal"
rm -f "$(dirname "$1")/tmp/PGSQL.lock"
"""


SMALL_DISK = """
set -e
cd /tmp
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
runuser -u cfpostgres -- "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null
if [ "$2" = there ]; then
    mkdir -p /srv/lab-wal
    mount -t tmpfs -o size=$(( $(du -sm "$1/pg_wal" | cut -f1) + 48 ))m tmpfs /srv/lab-wal
    cp -a "$1/pg_wal" /srv/lab-wal/
    rm -rf "$1/pg_wal"
    ln -s /srv/lab-wal/pg_wal "$1/pg_wal"
else
    rm "$1/pg_wal"
    cp -a /srv/lab-wal/pg_wal "$1/pg_wal"
    umount /srv/lab-wal
fi
runuser -u cfpostgres -- "$bin/pg_ctl" -D "$1" -l /var/log/postgresql.log -w start >/dev/null
"""

# Segments that are there already are used up first.
FILL = """
dd if=/dev/zero of=/srv/lab-wal/filler bs=64k 2>/dev/null
for turn in $(seq 60); do
    timeout 5 psql -XAtq -d postgres -c "SELECT pg_logical_emit_message(false, 'lab', 'full')" \\
        -c "SELECT pg_switch_wal()" >/dev/null 2>&1 || exit 0
done
echo "PostgreSQL went on without room" >&2
exit 1
"""

# Loops that never wait, three for each processor, each a unit of its own as any busy service is.
BURN = """
for number in $(seq $(( $(nproc) * 3 ))); do
    systemd-run --quiet --collect --unit=lab-burn-$number --property=RuntimeMaxSec=60 sh -c 'while :; do :; done'
done
"""

# Memory that the hub writes to is made as large as what is in it; directories on its disk get a full one instead.
CLOG = """
set -e
for folder in /run /tmp; do
    [ "$(findmnt -no FSTYPE "$folder")" = tmpfs ]
    mount -o "remount,size=$(( $(df -k --output=used "$folder" | tail -1) + 64 ))k" "$folder"
done
for folder in /var/lib/pacemaker /var/lib/corosync; do
    copy=/srv/lab-full/$(basename "$folder")
    mkdir -p "$copy"
    mount -t tmpfs -o "size=$(( $(du -sk "$folder" | cut -f1) + 1024 ))k" tmpfs "$copy"
    cp -a "$folder/." "$copy/"
    chown --reference="$folder" "$copy"
    chmod --reference="$folder" "$copy"
    mount --bind "$copy" "$folder"
done
for folder in /run /tmp /var/lib/pacemaker /var/lib/corosync; do
    dd if=/dev/zero of="$folder/lab-filler" bs=4k 2>/dev/null || true
    if dd if=/dev/zero of="$folder/lab-probe" bs=4k count=1 2>/dev/null; then
        echo "$folder has room" >&2
        exit 1
    fi
done
"""

SLOW = """
set -e
cp -p "$(readlink -f /usr/sbin/crm_mon)" /var/tmp/lab-crm_mon
printf '#!/bin/sh\\nsleep 5\\nexec /var/tmp/lab-crm_mon "$@"\\n' > /var/tmp/lab-slow
chmod 0755 /var/tmp/lab-slow
mount --bind /var/tmp/lab-slow /usr/sbin/crm_mon
"""

# What the scripts of the hub's package do to the database, with the pauses of a large one on a slow disk: 45 s in all.
PACKAGE = r"""
import fcntl, os, subprocess, sys, time
data = sys.argv[1]
mark = os.path.join(data, "../../../UPGRADED_FROM_STATE.txt")
programs = subprocess.run(["sh", "-c", "ls -d /usr/lib/postgresql/*/bin | tail -1"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()
def server(*argv):
    subprocess.run(["runuser", "-u", "cfpostgres", "--", programs + "/pg_ctl", "-w", "-D", data, *argv], cwd="/tmp",
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
with open("/var/lib/dpkg/lock", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    open(mark, "w").close()
    try:
        server("-m", "fast", "stop")
        time.sleep(25)
        if os.path.exists(data + "/postmaster.pid"):
            sys.exit("somebody has started the database meanwhile")
        server("-l", "/var/log/postgresql.log", "start")
        time.sleep(10)
        server("-m", "fast", "stop")
        time.sleep(8)
    finally:
        os.unlink(mark)
"""

# All that may have been done to a healthy hub; nothing of it need have been.
PEACE = """
systemctl stop 'lab-burn-*' lab-package
if findmnt -n /usr/sbin/crm_mon >/dev/null; then umount -l /usr/sbin/crm_mon; fi
for folder in /var/lib/pacemaker /var/lib/corosync; do
    if findmnt -n "$folder" >/dev/null; then
        umount -l "$folder"
        umount "/srv/lab-full/$(basename "$folder")"
    fi
done
for folder in /run /tmp; do
    if [ -e "$folder/lab-filler" ]; then
        rm -f "$folder/lab-filler" "$folder/lab-probe"
        mount -o remount,size=50% "$folder"
    fi
done
ip neighbour flush nud permanent
"""

CONTROL = '"$(ls -d /usr/lib/postgresql/*/bin | tail -1)/pg_controldata" "$1"; ls -la "$1" "$1/../tmp"'


MAINTENANCE = ["crm_attribute", "--type", "crm_config", "--name", "maintenance-mode"]
PAIR = "/etc/cfengine-hub-ha/pair.json"
GUARD_STATE = "/run/cfengine-hub-ha/guard.json"
NOBODY = "02:00:00:00:00:01"  # a hardware address that nothing has: what is sent to it is not answered
SESSIONS = 200


def states() -> Dict[str, str]:
    """{hub: running, paused, exited} as podman has them."""
    known = podman.containers()
    absent = [name for name in HUBS if name not in known]
    if absent:
        raise LabError("There is no %s in this lab. Faults need a pair: python3 -m lab up; python3 -m lab seed; then "
                       "the playbook upgrade-to-ha.yml." % " and ".join(absent))
    return dict((name, known[name]) for name in HUBS)


def first_process(name: str) -> int:
    """The number of a hub's first process, 0 when it is off."""
    return int(json.loads(podman.podman("inspect", name).stdout)[0]["State"]["Pid"])


def stall(name: str, seconds: float) -> None:
    """Freeze a host for exactly so long."""
    switch = processes.cgroup(first_process(name)) / "cgroup.freeze"
    switch.write_text("1\n", encoding="ascii")
    try:
        time.sleep(seconds)
    finally:
        switch.write_text("0\n", encoding="ascii")


def look(name: str, seconds: float = 8) -> Optional[audit.View]:
    """The cluster as a hub sees it; None when it does not answer in time."""
    try:
        done = podman.execute(name, CRM_MON, check=False, timeout=seconds)
        return audit.view(done.stdout) if done.returncode == 0 else None
    except (LabError, ElementTree.ParseError):
        return None


def token(name: str) -> float:
    """Corosync's token on a hub, in seconds."""
    text = (Path(str(hosts.root_of(name))) / "etc/corosync/corosync.conf").read_text(encoding="utf-8")
    found = re.search(r"^\s*token:\s*(\d+)", text, re.MULTILINE)
    return int(found.group(1)) / 1000.0 if found else 3.0


def play(playbook: str, *options: str, inventory: str = "inventories/lab/hosts.yml", log: Optional[Path] = None):
    """One run of a playbook: (exit status, output)."""
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paths.ROOT / "ansible.cfg"), NO_COLOR="1",
                       ANSIBLE_FORCE_COLOR="0", LAB_SSH=str(paths.SSH),
                       ANSIBLE_COLLECTIONS_PATH=str(paths.ROOT / ".cache" / "collections"))
    done = run([str(paths.VENV_PYTHON.parent / "ansible-playbook"), "-i", inventory, playbook, *options],
               env=environment, cwd=paths.ROOT, check=False, timeout=PLAY_SECONDS)
    output = done.stdout + done.stderr
    if log:
        log.write_text(output, encoding="utf-8")
    return done.returncode, output


def refused(output: str) -> bool:
    """True when a run that failed has changed nothing on any host (pure)."""
    return "PLAY RECAP" in output and not re.search(r"\bchanged=[1-9]", output)


def why_failed(output: str) -> str:
    """What a run says it failed for, in one line (pure)."""
    found = (re.search(r"^(?:fatal|failed): .*", output, re.MULTILINE)
             or re.search(r"^.*(?:ERROR|FAILED).*", output, re.MULTILINE))
    return (found.group(0) if found else output[-300:].replace("\n", " "))[:300]


def changed(output: str) -> int:
    """Tasks that a run changed on the hubs, -1 when it failed (pure)."""
    if re.search(r"(failed|unreachable)=[1-9]", output) or "PLAY RECAP" not in output:
        return -1
    return sum(int(count) for count in re.findall(r"hub\d +: ok=\d+ +changed=(\d+)", output))


def other_order() -> str:
    """The path of an inventory like the lab's with the hubs the other way round."""
    text = (paths.ROOT / "inventories" / "lab" / "hosts.yml").read_text(encoding="utf-8")
    one, two = ["    %s:\n      ansible_host: %s\n" % (name, network.address(name)) for name in HUBS]
    if one + two not in text:
        raise LabError("inventories/lab/hosts.yml does not list hub1 and hub2 as the row expects.")
    OTHER_ORDER.write_text(text.replace(one + two, two + one), encoding="utf-8")
    return str(OTHER_ORDER)


def settings_back(log: Path) -> None:
    """The settings of the lab's inventory again, after a row that may have left others. LabError when it fails."""
    if play("playbooks/upgrade-to-ha.yml", log=log)[0] != 0:
        raise LabError("The playbook does not bring the pair's settings back: %s" % log)


def proved(log: Path) -> bool:
    """True when role verify calls the pair healthy."""
    return play(str(HERE / "prove.yml"), log=log)[0] == 0


def build(suite: Optional[str] = None) -> None:
    """Fresh hosts, a live single hub, and the pair that the playbook makes of it."""
    hosts.up(suite or hosts.planned()["suite"] or "trixie", hosts.plan("hub1,hub2,client1"))
    hub.seed("hub1")
    log = paths.LOGS / "faults-build.log"
    with stage("upgrade-to-ha.yml", log):
        if play("playbooks/upgrade-to-ha.yml", log=log)[0] != 0:
            raise LabError("The upgrade failed: %s" % log)


def mark(pid: int) -> audit.Mark:
    """What runs on the hub whose first process is *pid*."""
    found = processes.postmasters(processes.every(("postgres",)).get(processes.container(pid), [])) if pid else []
    try:
        guard = json.loads(Path("/proc/%d/root%s" % (pid, GUARD_STATE)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        guard = {}
    return audit.Mark(found[0].pid if len(found) == 1 else 0, int(guard.get("pid", 0)), tuple(
        (item["time"], item["text"]) for item in guard.get("done", []) if item["action"] != "log"))


def marks() -> Dict[str, audit.Mark]:
    """Of both hubs."""
    return dict((name, mark(first_process(name))) for name in HUBS)


def referred() -> bool:
    """True while the pair has a reference address."""
    return any(json.loads((Path(str(hosts.root_of(name)) + PAIR)).read_text(encoding="utf-8"))
               .get("reference_addresses") for name in HUBS)


class Hands:
    """Does a row's steps. hubs: {"active": name, "passive": name}."""

    def __init__(self, hubs: Dict[str, str], watch: Watch):
        self.hubs = hubs
        self.watch = watch
        self.changed: Optional[int] = None
        self.missed: List[str] = []
        self.sessions: Optional[subprocess.Popen] = None
        self.plays: List[audit.Played] = []
        self.facts: List[audit.Fact] = []
        self.pids = dict((name, first_process(name)) for name in HUBS)

    def do(self, step: Step) -> None:
        """One step."""
        name = self.hubs.get(step.hub, step.hub)
        getattr(self, "do_" + step.do)(name, *step.what)

    def do_freeze(self, name: str) -> None:
        """Every process of the hub stops where it is. (podman pause does the same, and takes a third of a second.)"""
        self.watch.freeze(name)
        (processes.cgroup(self.pids[name]) / "cgroup.freeze").write_text("1\n", encoding="ascii")

    def do_thaw(self, name: str) -> None:
        """They go on."""
        (processes.cgroup(self.pids[name]) / "cgroup.freeze").write_text("0\n", encoding="ascii")
        self.watch.thaw(name)

    def do_unplug(self, name: str, *nets: str) -> None:
        """Cables out."""
        network.pull(name, nets)

    def do_plug(self, name: str, *nets: str) -> None:
        """Cables in."""
        network.pull(name, nets, up=True)

    def of(self, name: str, names) -> List[processes.Process]:
        """Processes of a hub with one of these names."""
        return processes.every(names).get(processes.container(self.pids[name]), [])

    def signal_daemon(self, name: str, daemon: str, number: signal.Signals, needed: bool = True) -> None:
        """A signal to a daemon of the cluster."""
        found = self.of(name, (daemon[:15],))
        if needed and not found:
            raise LabError("%s does not run on %s" % (daemon, name))
        for one in found:
            os.kill(one.pid, number)

    def do_kill(self, name: str, daemon: str) -> None:
        """SIGKILL to a daemon."""
        self.signal_daemon(name, daemon, signal.SIGKILL)

    def do_stop(self, name: str, daemon: str) -> None:
        """SIGSTOP to a daemon."""
        self.signal_daemon(name, daemon, signal.SIGSTOP)

    def do_cont(self, name: str, daemon: str) -> None:
        """SIGCONT to it, if it is still the one that was stopped."""
        self.signal_daemon(name, daemon, signal.SIGCONT, needed=False)

    def do_postmaster(self, name: str, what: str) -> None:
        """A signal to the postmaster."""
        found = processes.postmasters(self.of(name, ("postgres",)))
        if len(found) != 1:
            raise LabError("%d servers of PostgreSQL run on %s, not one" % (len(found), name))
        os.kill(found[0].pid, signal.Signals["SIG" + what])

    def do_backend(self, name: str) -> None:
        """SIGKILL to the process that serves the outside writer, as the kernel does when memory is short."""
        for one in self.of(name, ("postgres",)):
            if b"lab_writer cfdb" in Path("/proc/%d/cmdline" % one.pid).read_bytes():
                os.kill(one.pid, signal.SIGKILL)
                return
        raise LabError("no process on %s serves the outside writer" % name)

    def do_off(self, name: str) -> None:
        """A power cut."""
        hosts.power_off(name)
        self.pids[name] = 0
        self.watch.tell("hub", name, 0)

    def do_on(self, name: str) -> None:
        """Power on; the boot is not waited for."""
        hosts.power_on(name, wait=False)
        self.pids[name] = first_process(name)
        self.watch.tell("hub", name, self.pids[name])

    def do_halt(self, name: str, unit: str) -> None:
        """systemctl stop."""
        podman.execute(name, ["systemctl", "--no-block", "stop", unit])

    def do_start(self, name: str, unit: str) -> None:
        """systemctl start."""
        podman.execute(name, ["systemctl", "--no-block", "start", unit])

    def do_killunit(self, name: str, unit: str) -> None:
        """SIGKILL to every process of a unit."""
        podman.execute(name, ["systemctl", "kill", "--signal=SIGKILL", unit],
                       hint="%s does not run on %s." % (unit, name))

    def do_play(self, _name: str, *options: str) -> None:
        """A run of the upgrade's playbook; a run that fails counts as one that changed what it must not. With "before"
        it is one that takes what an earlier failover has left for the hubs' own agents: its changes are not counted.
        """
        inventory = other_order() if "other-order" in options else "inventories/lab/hosts.yml"
        more = [one for one in options if one not in ("other-order", "before")]
        status, output = play("playbooks/upgrade-to-ha.yml", *more, inventory=inventory,
                              log=self.watch.log.with_name("play%d.log" % (len(self.plays) + 1)))
        self.plays.append(audit.Played(" ".join(options), "done" if status == 0 else "refused" if refused(output)
                                       else "failed", "" if status == 0 else why_failed(output)))
        if "before" in options and status == 0:
            return
        count = changed(output) if status == 0 else -1
        self.changed = count if self.changed is None or self.changed >= 0 > count else self.changed + max(0, count)

    def do_see(self, _name: str, *wanted: str) -> None:
        """What must be in force by now; a standby that was told to stream otherwise has some seconds for it."""
        pairs = [one.split("=", 1) for one in wanted]
        deadline = time.monotonic() + SEE_SECONDS
        while True:
            found = in_force([name for name, _value in pairs], self.hubs["active"], self.hubs["passive"])
            if all(found[name] == value for name, value in pairs) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.facts += [audit.Fact(name, value, found[name]) for name, value in pairs]

    def do_oldparams(self, name: str) -> None:
        """The pair as it was made before: see old_parameters."""
        old_parameters(name, [self.hubs["active"], self.hubs["passive"]])

    def do_fill(self, name: str) -> None:
        """No room is left where PostgreSQL's WAL is (see small_disk), and it needs some."""
        podman.execute(name, ["sh", "-c", FILL], timeout=60)

    def do_drain(self, name: str) -> None:
        """There is room again."""
        podman.execute(name, ["rm", "-f", "/srv/lab-wal/filler"])

    def do_burn(self, name: str) -> None:
        """More busy loops than processors."""
        podman.execute(name, ["sh", "-c", BURN])

    def do_clog(self, name: str) -> None:
        """No room is left where the guard and the cluster write."""
        podman.execute(name, ["sh", "-c", CLOG])

    def do_slow(self, name: str) -> None:
        """crm_mon takes five seconds longer."""
        podman.execute(name, ["sh", "-c", SLOW])

    def peace(self, name: str) -> None:
        """The end of all that may be done to a healthy hub."""
        podman.execute(name, ["sh", "-c", PEACE])

    do_rest = do_unclog = do_quick = peace

    def do_crowd(self, name: str) -> None:
        """Sessions, as many as the server takes of SESSIONS, and tries for those that it does not take."""
        parameters = {"host": network.address(name), "port": 5432, "dbname": "cfdb", "user": "lab_writer",
                      "password": hub.writer_password(), "sslmode": "require", "connect_timeout": 3,
                      "gssencmode": "disable", "application_name": "lab_crowd"}
        with open(self.watch.log.with_name("crowd.log"), "w", encoding="utf-8") as log:
            self.sessions = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by let_go()
                [probe.python_with_psycopg2(), "-m", "lab.faults.crowd", str(SESSIONS)], cwd=paths.ROOT, text=True,
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.sessions.stdin.write(json.dumps(parameters) + "\n")
        self.sessions.stdin.flush()

    def do_empty(self, _name: str) -> None:
        """They end."""
        self.let_go()
        text = self.watch.log.with_name("crowd.log").read_text(encoding="utf-8").strip()
        say("     sessions: %s" % (text.splitlines() or ["none"])[-1])
        if not re.search(r"^[1-9]\d* at most", text, re.MULTILINE):
            self.missed.append("there were no sessions: %s" % text)

    def let_go(self) -> None:
        """End what was started beside the hubs."""
        if self.sessions is not None:
            self.sessions.stdin.close()
            try:
                self.sessions.wait(10)
            except subprocess.TimeoutExpired:
                self.sessions.kill()
                self.sessions.wait()
            self.sessions = None

    def do_hold(self, name: str) -> None:
        """Maintenance mode, said on this hub."""
        podman.execute(name, MAINTENANCE + ["--update", "true"], timeout=30)

    def do_release(self, name: str) -> None:
        """No maintenance mode."""
        podman.execute(name, MAINTENANCE + ["--delete"], timeout=30)

    def do_whole(self, _name: str) -> None:
        """Wait until the pair is whole, and has been for some seconds."""
        found = wait_for_state(self.watch, ("whole",), 60, held=4.0)
        if found.name != "whole":
            self.missed.append("the pair is %s (%s), must be whole again" % (found.name, found.why))

    def do_given(self, name: str) -> None:
        """Wait until the hub's database is given up; role verify must say so, with what to do."""
        (other,) = [one for one in HUBS if one != name]
        deadline, said = time.monotonic() + 20, None
        while said is None and time.monotonic() < deadline:
            seen = look(other)
            said = seen and seen.attributes.get(name, {}).get(audit.GAVE_UP)
            time.sleep(0.5)
        if said is None:
            self.missed.append("%s is not marked as given up" % name)
        status, output = play(str(HERE / "prove.yml"), log=self.watch.log.with_name("given.log"))
        for word in ("RESOURCE_GIVEN_UP", "hub-ha retry"):
            if status == 0 or word not in output:
                self.missed.append("role verify does not say %s of a hub that was given up" % word)

    def do_package(self, name: str) -> None:
        """The hub's package is installed over itself; see do_packaged."""
        podman.execute(name, ["systemd-run", "--quiet", "--unit=lab-package", "--property=RuntimeMaxSec=90",
                              "--remain-after-exit", "python3", "-c", PACKAGE, DATA])

    def do_packaged(self, name: str) -> None:
        """Its scripts have come through to their end, with nobody in their way."""
        show = ["systemctl", "show", "--property=SubState", "--value", "lab-package"]
        deadline, state = time.monotonic() + 100, "running"
        while state == "running" and time.monotonic() < deadline:
            time.sleep(0.5)
            state = podman.execute(name, show, timeout=20).stdout.strip()
        if state != "exited":
            log = ["journalctl", "--output=cat", "--no-pager", "--lines=5", "--unit=lab-package"]
            self.missed.append("the package's scripts were disturbed (%s): %s" % (
                state, podman.execute(name, log, timeout=20).stdout.strip()))
        podman.execute(name, ["systemctl", "stop", "lab-package"])
        podman.execute(name, ["systemctl", "reset-failed", "lab-package"], check=False)

    def do_spoil(self, name: str) -> None:
        """PostgreSQL does not start with this line."""
        podman.execute(name, ["sh", "-c", "echo 'shared_buffers = rubbish # lab' >>%s/postgresql.auto.conf" % DATA])

    def do_correct(self, name: str) -> None:
        """The line goes."""
        podman.execute(name, ["sed", "-i", "/# lab$/d", DATA + "/postgresql.auto.conf"])

    def do_interfere(self, name: str) -> None:
        """Wait until the agent starts the database, and have pacemaker look then."""
        deadline = time.monotonic() + 30
        while podman.execute(name, ["pgrep", "-f", "cfengine/pgsql start"], check=False).returncode != 0:
            if time.monotonic() > deadline:
                self.missed.append("pacemaker has not tried to start the database on %s for 30 s" % name)
                break
            time.sleep(0.1)
        podman.execute(name, ["crm_resource", "--refresh", "--resource", "cfpgsql", "--node", name], timeout=30)

    def do_retry(self, name: str) -> None:
        """What verify says is to be done."""
        podman.execute(name, ["hub-ha", "retry"], timeout=30)

    def do_refer(self, _name: str, host: str) -> None:
        """The playbook makes a host of the clients' network the reference."""
        refer(self.watch.log.with_name("refer.log"), network.address(host))

    def do_deaf(self, name: str, host: str) -> None:
        """The host does not answer this hub: what the hub sends to it goes to nobody."""
        interface = network.NETWORKS["clients"][0]
        podman.execute(name, ["ip", "neighbour", "replace", network.address(host), "lladdr", NOBODY, "dev", interface,
                              "nud", "permanent"])

    def do_hear(self, name: str, host: str) -> None:
        """It does again."""
        podman.execute(name, ["ip", "neighbour", "del", network.address(host), "dev",
                              network.NETWORKS["clients"][0]])


def refer(log: Path, *addresses: str) -> None:
    """The playbook sets the reference addresses."""
    status, _output = play("playbooks/upgrade-to-ha.yml", "-e",
                           json.dumps({"hub_ha_reference_addresses": list(addresses)}), log=log)
    if status != 0:
        raise LabError("upgrade-to-ha.yml with hub_ha_reference_addresses failed: %s" % log)


def old_parameters(active: str, both: Sequence[str]) -> None:
    """How the standby comes to its primary goes to the CIB, through the shared address, and no hub has a file of it.

    In maintenance mode, and pacemaker looks at what runs before it is let loose: by itself it would restart both.
    """
    def tool(*argv: str) -> str:
        return podman.execute(active, list(argv), timeout=60).stdout

    text = (Path(str(hosts.root_of(active)) + AGENT_CONF)).read_text(encoding="utf-8")
    options = tool("sh", "-c", '. %s; printf %%s "$OCF_RESKEY_primary_conninfo_opt"' % AGENT_CONF)
    if not options or "OCF_RESKEY_repuser=hub_ha_repl" not in text:
        raise LabError("%s on %s is not as the row expects: %s" % (AGENT_CONF, active, text))
    tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", "true")
    tool("crm_resource", "--wait", "--timeout=30")
    for key, value in zip(OLD_PARAMETERS, (network.SHARED_ADDRESS, options, "hub_ha_repl")):
        tool("crm_resource", "--resource", "cfpgsql", "--set-parameter", key, "--parameter-value", value)
    for name in both:
        podman.execute(name, ["rm", AGENT_CONF])
    tool("crm_resource", "--refresh", "--resource", "cfpgsql")
    tool("crm_resource", "--wait", "--timeout=60")
    tool("crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--delete")
    tool("crm_resource", "--wait", "--timeout=60")


def receiver(conninfo: str, key: str) -> str:
    """The value of a key in a connection string as pg_stat_wal_receiver shows it, "" without it (pure)."""
    return (re.findall(r"(?:^|\s)%s=(\S+)" % re.escape(key), conninfo) or [""])[-1]


def in_force(names: Sequence[str], active: str, passive: str) -> Dict[str, str]:
    """{name: what is in force now}, "" for what is not there. For the names see FACTS. Several are joined by commas."""
    found = {}
    for name in names:
        of, argv = FACTS[name]
        values = set()
        for host in {"active": [active], "passive": [passive], "both": [active, passive]}[of]:
            done = podman.execute(host, list(argv), check=False, timeout=20)
            text = done.stdout.strip() if done.returncode == 0 else "no answer of %s: %s" % (host, done.stderr.strip())
            values.add(receiver(text, name) if argv is RECEIVER and done.returncode == 0
                       else ",".join(sorted(set(text.split("\n")))))
        found[name] = " and ".join(sorted(values))
    return found


def servers() -> Dict[str, str]:
    """{hub: its postmaster, as "process PID since TICKS"}, "" where none or more than one runs."""
    found = {}
    for name in HUBS:
        pid = first_process(name)
        some = processes.postmasters(processes.every(("postgres",)).get(processes.container(pid), [])) if pid else []
        try:
            (one,) = some
            text = Path("/proc/%d/stat" % one.pid).read_text(encoding="utf-8", errors="replace")
            found[name] = "process %d since %d" % (one.pid, processes.started(text))
        except (ValueError, OSError):
            found[name] = ""
    return found


def rows_of(name: str, writer: str, last: Optional[audit.Sample]) -> Optional[List[int]]:
    """Sequence numbers that a hub has of a writer; of a stopped database out of a copy of it. None: unknown."""
    query = "SELECT seq FROM ha_writes WHERE writer = '%s' ORDER BY seq;" % writer
    try:
        if last is not None and last.state in ("primary", "standby"):
            answer = hub.psql(name, query, timeout=20)
        elif states()[name] == "running":
            answer = podman.execute(name, ["sh", "-c", LOOK, "sh", DATA, str(LOOK_PORT), query], timeout=90).stdout
        else:
            return None
        return [int(line) for line in answer.split()]
    except (LabError, ValueError) as exc:
        say("     rows of %s on %s cannot be read: %s" % (writer, name, str(exc).splitlines()[0]))
        return None


def keep_logs(folder: Path, since: float, names: Sequence[str] = HUBS) -> None:
    """The logs of both hubs go to a folder."""
    for name in names:
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        root = str(hosts.root_of(name))
        for path in ("/var/log/postgresql.log", "/var/log/pacemaker/pacemaker.log", "/var/log/corosync/corosync.log"):
            try:
                lines = Path(root + path).read_text(encoding="utf-8", errors="replace").splitlines()[-4000:]
                (target / Path(path).name).write_text("\n".join(lines) + "\n", encoding="utf-8")
            except OSError:
                continue
        if states()[name] != "running":
            continue
        for file, argv in (("journal.log", ["journalctl", "--no-pager", "-o", "short-precise", "--since",
                                            "@%d" % (since - 5)]),
                           ("guard.log", ["journalctl", "--no-pager", "-o", "short-precise", "-u", GUARD, "--since",
                                          "@%d" % (since - 60)]),
                           ("crm_mon.xml", CRM_MON), ("cib.xml", ["timeout", "5", "cibadmin", "--query"]),
                           ("controldata.log", ["sh", "-c", CONTROL, "sh", DATA])):
            done = podman.execute(name, argv, check=False, timeout=30)
            (target / file).write_text(done.stdout + done.stderr, encoding="utf-8")


def now(watch: Watch) -> audit.State:
    """What the pair is at this moment."""
    last = watch.newest()
    running = [name for name, one in last.items() if one.state not in ("off", "frozen")]
    with ThreadPoolExecutor(2) as pool:
        views = dict(zip(running, pool.map(look, running)))
    return audit.state(last, views)


def wait_for_state(watch: Watch, wanted, seconds: float, held: float = 0.0) -> audit.State:
    """Wait until the pair is in one of these states, and has been for *held* seconds; returns the last one seen."""
    deadline, since = time.monotonic() + seconds, None
    while True:
        found = now(watch)
        at = time.monotonic()
        since = (since or at) if found.name in wanted else None
        if (since and at - since >= held) or at > deadline:
            return found
        time.sleep(0.5)


class Healer:
    """Makes the pair whole after a row, by the mildest means that does it."""

    def __init__(self, watch: Watch):
        self.watch = watch

    def undo(self) -> None:
        """What a row may have left: frozen hubs, cables out, hubs off, stopped processes, a full disk."""
        for name, state in states().items():
            pid = first_process(name)
            if state == "running":
                (processes.cgroup(pid) / "cgroup.freeze").write_text("0\n", encoding="ascii")
                network.pull(name, network.NETWORKS, up=True)
                for one in processes.every(tuple(processes.SHORT) + ("postgres",)).get(processes.container(pid), []):
                    if one.state in "Tt":
                        os.kill(one.pid, signal.SIGCONT)
                podman.execute(name, ["rm", "-f", "/srv/lab-wal/filler"])
                podman.execute(name, ["sh", "-c", PEACE], check=False, timeout=60)
                podman.execute(name, MAINTENANCE + ["--delete"], check=False, timeout=30)
            else:
                hosts.power_on(name, wait=False)
                pid = first_process(name)
            self.watch.tell("hub", name, pid)

    def heal(self) -> str:
        """Returns how (see mend). A reference address that a row has set is taken out again."""
        how = self.mend()
        if referred():
            refer(self.watch.log.with_name("refer.log"))
        return how

    def mend(self) -> str:
        """Returns how: "whole by itself", "cleaned up", "cloned anew". Raises LabError when nothing helped."""
        self.undo()
        self.forget_crashes()
        for name in HUBS:
            if has_small_disk(name) and self.watch.newest()[name].state == "primary":
                small_disk(name, False)
        found = wait_for_state(self.watch, ("whole", "forked"), 15)
        if found.name == "whole" and not found.left and not any(map(has_small_disk, HUBS)):
            return "whole by itself"
        for name in HUBS:
            podman.execute(name, ["systemctl", "start", "corosync", "pacemaker"], check=False, timeout=90)
        if found.name != "forked":
            self.clean_up()
            found = wait_for_state(self.watch, ("whole",), 20)
            if found.name == "whole" and not any(map(has_small_disk, HUBS)):
                return "cleaned up"
        active = found.active or self.survivor()
        with stage("cloning the other hub anew from %s (%s: %s)" % (active, found.name, found.why)):
            self.clone(active)
        found = wait_for_state(self.watch, ("whole",), 60)
        if found.name != "whole":
            raise LabError("The pair is %s after a new clone: %s" % (found.name, found.why))
        self.clean_up()
        return "cloned anew"

    def forget_crashes(self) -> None:
        """A row begins as the first one does: a third crash within ten minutes would be given up, as it must be."""
        for name, state in states().items():
            if state == "running":
                podman.execute(name, ["hub-ha", "retry"], check=False, timeout=30)

    def clean_up(self) -> None:
        """Forget failed actions, once some hub's cluster answers."""
        for name in HUBS:
            if look(name):
                podman.execute(name, ["crm_resource", "--cleanup"], check=False, timeout=60)
                return

    def survivor(self) -> str:
        """The hub to go on with when none or both serve: of primaries the one that has the address, else the one with
        the higher timeline and checkpoint, made to serve."""
        last = self.watch.newest()
        primaries = [name for name, one in last.items() if one.state == "primary"]
        if primaries:
            return max(primaries, key=lambda name: (last[name].address, name))
        raise LabError("No hub serves, and cleaning up did not help.")

    def clone(self, active: str) -> None:
        """The other hub gets a new copy of the database of *active*."""
        (other,) = [name for name in HUBS if name != active]
        podman.execute(active, ["crm_standby", "--node", other, "--update", "on"], timeout=30)
        self.stop_database(other)
        podman.execute(other, ["sh", "-c", CLONE, "sh", DATA, network.address(active, "replication")], timeout=120)
        podman.execute(other, ["umount", "/srv/lab-wal"], check=False)
        podman.execute(active, ["attrd_updater", "--name", audit.FORKED, "--delete", "--node", other], check=False,
                       timeout=30)
        podman.execute(active, ["crm_standby", "--node", other, "--delete"], timeout=30)
        self.clean_up()

    def stop_database(self, name: str) -> None:
        """Wait until no PostgreSQL runs on the hub; what pacemaker does not stop in time is killed."""
        pid = first_process(name)
        deadline = time.monotonic() + 15
        while True:
            found = processes.every(("postgres",)).get(processes.container(pid), [])
            if not found:
                return
            if time.monotonic() > deadline:
                for one in found:
                    os.kill(one.pid, signal.SIGKILL)
            time.sleep(0.3)


def small_disk(name: str, small: bool) -> None:
    """PostgreSQL's WAL moves to a small file system of its own, or back. It takes a restart, in maintenance mode."""
    podman.execute(name, ["crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", "true"])
    try:
        podman.execute(name, ["sh", "-c", SMALL_DISK, "sh", DATA, "there" if small else "back"], timeout=120)
    finally:
        podman.execute(name, ["crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--delete"])


def has_small_disk(name: str) -> bool:
    """True while a hub's WAL is on the small file system."""
    return (Path(str(hosts.root_of(name)) + DATA) / "pg_wal").is_symlink()


def needs(row: Row) -> Optional[str]:
    """What stands against running a row here, None for nothing."""
    if any(step.do == "killunit" for step in row.steps):
        for name in HUBS:
            if podman.execute(name, ["systemctl", "is-active", "--quiet", GUARD], check=False).returncode != 0:
                return "%s does not run on %s" % (GUARD, name)
    return None
