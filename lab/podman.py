# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""podman as the lab uses it: own storage, own settings, no network of its own. Only inside the namespace."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

from lab import paths
from lab.shell import LabError, run

LABEL = "hub-ha-lab"


def _keep(path, text):
    """Write *text* to *path* only when it differs: another podman may be reading it."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def settings():
    """Write podman's configuration files and return the environment that names them (dict)."""
    storage, engine = paths.PODMAN / "storage.conf", paths.PODMAN / "containers.conf"
    # The hosts' file systems are mounted by the lab (see lab.layers): podman stores no images.
    _keep(storage, '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "/run/podman/root"\n'
          % (paths.PODMAN / "root"))
    _keep(engine, '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "crun"\n'
          'tmp_dir = "/run/podman/libpod"\n[containers]\nlog_driver = "none"\n')
    return {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(engine), "TMPDIR": str(paths.TMP)}


_environment = None


def podman(*argv, **options):
    """Run podman with *argv*; options and result as for lab.shell.run."""
    global _environment  # pylint: disable=global-statement
    if not paths.MARK.exists():
        # outside, podman would take every host for stopped and write that down
        raise LabError("This runs in the lab's namespace only: python3 -m lab enter -- COMMAND")
    if _environment is None:
        _environment = settings()
    return run(["podman", *argv], env=_environment, **options)


def environment():
    """The variables with which a podman command line sees the lab's hosts (dict)."""
    return settings()


def _limit(kind, most):
    """A limit that is never above what this process may have: raising it needs CAP_SYS_RESOURCE."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def common_options():
    """Options that every container of the lab needs (list)."""
    files = _limit(resource.RLIMIT_NOFILE, 65536)
    processes = _limit(resource.RLIMIT_NPROC, 65536)
    return ["--privileged", "--no-hosts", "--pids-limit=-1", "--cgroup-parent=/%s" % paths.CGROUP,
            "--ulimit=nofile=%d:%d" % (files, files), "--ulimit=nproc=%d:%d" % (processes, processes),
            "--shm-size=512m", "--label=%s" % LABEL]


def repository_options(suite):
    """The options that mount the suite's packages where hosts look for them (list)."""
    found = ["--volume=%s:/srv/packages:ro" % paths.repository(suite)]
    if paths.enterprise(suite).exists():
        found.append("--volume=%s:/srv/enterprise:ro" % paths.enterprise(suite))
    return found


def containers():
    """All hosts of the lab: {name: state}, e.g. {"hub1": "running"}."""
    known = podman("ps", "--all", "--filter", "label=" + LABEL, "--format", "json").stdout
    return dict((item["Names"][0], item["State"]) for item in json.loads(known or "[]"))


def need(host, running=True):
    """Raise LabError unless *host* exists (and runs)."""
    state = containers().get(host)
    if state is None:
        raise LabError("There is no host %s in the lab. `python3 -m lab status` shows what there is." % host)
    if running and state != "running":
        raise LabError("The host %s is %s. `python3 -m lab power on %s` starts it." % (host, state, host))


def remove(*names):
    """Remove containers at once, whatever their state; unknown names are fine."""
    if names:
        podman("rm", "--force", "--time=0", "--ignore", *names)


def execute(host, argv, stdin=None, check=True, timeout=120, user=None, hint=None):
    """Run *argv* on *host* and return the finished process."""
    options = ["--interactive"] if stdin is not None else []
    if user:
        options.append("--user=" + user)
    return podman("exec", *options, host, *argv, stdin=stdin, check=check, timeout=timeout, hint=hint)


def write(root, name, text, mode=0o644, owner=(0, 0)):
    """Write the file *name* (absolute, as the host sees it) below *root*."""
    path = Path(str(root) + name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.chmod(path, mode)
    os.chown(path, *owner)
