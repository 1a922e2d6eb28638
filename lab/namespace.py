# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's namespace seen from outside: start it, look at it, enter it, end it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import paths
from lab.shell import LabError, wait_for


def inside():
    """True when this process runs within this checkout's lab. Raises LabError within another one's."""
    try:
        owner = paths.MARK.read_text(encoding="utf-8").strip()
    except OSError:
        return False
    if owner != str(paths.STATE):
        raise LabError("This shell is inside another checkout's lab (%s). Leave it first." % owner)
    return True


def born(pid):
    """Start time of a process in clock ticks (tells it from a later one with its number), or None."""
    try:
        stat = Path("/proc/%d/stat" % pid).read_text(encoding="utf-8")
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])


def holder():
    """What is known of the running holder (dict: pid, born, since, by), or None when there is none."""
    try:
        known = json.loads(paths.LOCK.read_text(encoding="utf-8"))
        return known if born(known["pid"]) == known["born"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def need_root():
    """Raise LabError unless we are root."""
    if os.geteuid() != 0:
        raise LabError("The lab needs root: it makes namespaces and mounts. Run it as root, or with sudo.")


def start():
    """Start the holder unless it runs already; return what holder() returns."""
    need_root()
    paths.make()
    known = holder()
    if known:
        return known
    lock = os.open(paths.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        return _start_locked(lock)
    finally:
        os.close(lock)


def _start_locked(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Somebody is starting it at this moment.
        return wait_for("the lab's namespace that another command is starting", holder, 30,
                        hint="Look into %s." % paths.HOLDER_LOG)
    os.ftruncate(lock, 0)
    remove_remains()
    by = "%s, process %d" % (os.environ.get("SUDO_USER") or os.environ.get("USER") or "root", os.getpid())
    ready_in, ready_out = os.pipe()
    with open(paths.HOLDER_LOG, "w", encoding="utf-8") as log:
        try:
            subprocess.Popen(  # pylint: disable=consider-using-with  # it stays
                ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--propagation", "private",
                 sys.executable, "-m", "lab.holder", str(ready_out), str(lock), by],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=(ready_out, lock), cwd="/",
                env={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C.UTF-8",
                     "PYTHONPATH": str(paths.ROOT), "PYTHONDONTWRITEBYTECODE": "1"})
        except FileNotFoundError as exc:
            raise LabError("The command unshare is missing: install the package util-linux.") from exc
        finally:
            os.close(ready_out)
    with os.fdopen(ready_in, encoding="utf-8") as ready:
        answer = ready.readline()  # a line, not all: unshare keeps the pipe open
    if answer.strip() != "ready":
        said = answer[len("error "):].strip() or paths.HOLDER_LOG.read_text(encoding="utf-8").strip()
        raise LabError("The lab's namespace could not be set up: %s\n(log: %s)" % (said, paths.HOLDER_LOG))
    known = holder()
    if not known:
        raise LabError("The lab's namespace ended as soon as it was there. Look into %s." % paths.HOLDER_LOG)
    return known


def stop():
    """End the namespace with everything in it, whatever it is doing. Returns False when none was there."""
    known = holder()
    if known:
        with suppress(ProcessLookupError):
            os.kill(known["pid"], signal.SIGKILL)
        wait_for("the end of the lab's processes", lambda: born(known["pid"]) is None and _lock_is_free(), 30)
        paths.LOCK.write_text("", encoding="utf-8")
    remove_remains()
    return known is not None


def _lock_is_free():
    """True when the last process of the namespace is gone: the kernel ends them one after the other."""
    with open(paths.LOCK, "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def remove_remains():
    """Remove what hosts leave behind when the namespace ends: their disks, podman's notes, control groups."""
    remove_cgroups()
    for folder in (paths.HOSTS, paths.PODMAN, paths.TMP):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    for file in (paths.PLAN, paths.KNOWN_HOSTS):
        file.unlink(missing_ok=True)


def remove_cgroups():
    """Remove the empty control groups that a lab of this checkout left behind."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    for root in {line.split()[1] for line in mounts if line.split()[2] == "cgroup2"}:
        top = Path(root) / paths.CGROUP
        if not top.is_dir():
            continue
        for folder, _folders, _files in list(os.walk(top, topdown=False)):
            _remove_cgroup(folder)


def _remove_cgroup(folder):
    """rmdir one control group; processes that the kernel has just killed may need a moment to be gone."""
    for _attempt in range(50):
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
    raise LabError("The control group %s is still in use. See which processes are in %s/cgroup.procs."
                   % (folder, folder))


def command(argv, env=None, cwd=None):
    """The argument list that runs *argv* inside the namespace (or *argv* itself when already inside).

    env: variables to add (dict).  cwd: working directory, by default the present one.
    """
    # Two labs have hosts of the same addresses: Ansible must not find the other one's open connections.
    env = dict({"ANSIBLE_SSH_CONTROL_PATH_DIR": str(paths.CONNECTIONS)}, **(env or {}))
    change = ["env", "--chdir=%s" % (cwd or os.getcwd())] + ["%s=%s" % pair for pair in env.items()]
    if inside():
        return change + list(argv)
    known = holder()
    if not known:
        raise LabError("No lab is running here. Start one: python3 -m lab up")
    return ["nsenter", "--target", str(known["pid"]), "--mount", "--net", "--pid", "--"] + change + list(argv)


def enter(argv, env=None, cwd=None):
    """Run *argv* inside with our own terminal, and return its exit status (128+n when signal n ended it)."""
    need_root()
    # The child gets the keyboard's interrupt itself; we wait for what it makes of it.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with subprocess.Popen(command(argv, env, cwd),
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as child:
            status = child.wait()
    except FileNotFoundError as exc:
        raise LabError("The command nsenter is missing: install the package util-linux.") from exc
    finally:
        signal.signal(signal.SIGINT, previous)
    return status if status >= 0 else 128 - status


def again_inside(arguments):
    """Run this very lab command once more, inside; return its exit status."""
    return enter([sys.executable, "-m", "lab", *arguments],
                 env={"PYTHONPATH": str(paths.ROOT), "PYTHONDONTWRITEBYTECODE": "1"})


@contextmanager
def alone(name):
    """Only one command at a time may change the lab."""
    paths.make()
    with open(paths.BUSY, "a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            handle.seek(0)
            raise LabError("Another lab command is at work here: %s. Wait for its end." % handle.read().strip()) \
                from exc
        handle.truncate(0)
        handle.write("%s (process %d), since %s\n" % (name, os.getpid(), time.strftime("%H:%M:%S")))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
