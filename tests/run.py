#!/usr/bin/env python3
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every test of the project, in stages: `make test`. A single stage: `python tests/run.py STAGE`.

Each stage's output goes to .cache/test/STAGE.log; a failing stage's end is shown. The exit status is the verdict.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".cache" / "test"
BIN = ROOT / ".cache" / "venv" / "bin"
SCENARIOS = ("default", "bad-input", "interrupted", "clients", "fresh", "enterprise", "third-hub", "remove")
# restore: fresh runs its tests too, on the pair that it has anyway; alone it makes one for them, and so do default and
# faults. debian12: remove begins with that pair and its tests, and cuts the power later. layouts: the unit tests know of
# each; this makes them on hosts, and takes long.
BY_NAME_ONLY = ("restore", "debian12", "faults", "layouts")
# Programs that the unit tests run for real: pacemaker's on files, PostgreSQL's on loopback; and one that comes with the
# distribution's agent, which is in no path.
PACKAGES = {"cibadmin": "pacemaker-cli-utils", "pg_createcluster": "postgresql", "openssl": "openssl",
            "ocf-tester": "resource-agents"}
NOT_IN_COLLECTION = ("lab/", "molecule/", ".ci/", ".config/", "tests/unit/lab/", "tests/run.py")
SHOWN_LINES = 60
# The lines of a log that name what has failed, for the end of the run: often that is all that is kept of it. Pytest's,
# ansible's, the linters'.
TELLING = re.compile(r"^(FAILED|ERROR)\b.|^E   +\w*(Error|Exception|assert)\b|^fatal: |^\[ERROR\]|^\S+:\d+:(\d+:)? ")
TOLD_LINES, TOLD_WIDTH = 12, 400

MODEST = ["nice", "-n", "19"]  # takes what the other worker's stage leaves of the processors


def run(stage, argv, cwd=ROOT, modest=False, **environment):
    """Run one command of a stage; its output is added to the stage's log. Raises CalledProcessError.

    modest: it may run beside what is measured. environment: variables to set or (None) to leave out.
    The processor time that it takes is counted for the stage.
    """
    wanted = {**os.environ, "PATH": "%s:%s" % (BIN, os.environ["PATH"]), "PYTHONDONTWRITEBYTECODE": "1",
              "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1", **environment}
    env = dict((name, value) for name, value in wanted.items() if value is not None)
    with open(STATE / (stage + ".log"), "a", encoding="utf-8") as log:
        log.write("\n$ %s\n" % " ".join(map(str, argv)))
        log.flush()
        # pylint: disable-next=consider-using-with  # wait4 is what waits for it
        child = subprocess.Popen((MODEST if modest else []) + list(map(str, argv)), cwd=cwd, env=env,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        _pid, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    HERE.cpu = getattr(HERE, "cpu", 0.0) + used.ru_utime + used.ru_stime
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, list(map(str, argv)))


def hosts_cpu(root):
    """Seconds of processor time that the hosts of a checkout's lab have taken since its namespace began."""
    name = subprocess.run([sys.executable, "-c", "from lab import paths; print(paths.CGROUP)"], cwd=root, check=True,
                          text=True, stdout=subprocess.PIPE).stdout.strip()
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        file = Path(line.split()[1]) / name / "cpu.stat"
        if line.split()[2] == "cgroup2" and file.exists():
            return int(file.read_text(encoding="ascii").split()[1]) / 1e6  # usage_usec, its first line
    return 0.0


def install_packages():
    """Debian packages that the unit tests need. Nothing that they bring is started."""
    found = [package for program, package in PACKAGES.items()
             if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if not found:
        return
    IMAGES.wait()  # the lab's prerequisites need the packager too
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        policy.chmod(0o755)
    try:
        run("packages", ["apt-get", "update", "-qq"])
        run("packages", ["apt-get", "install", "-y", "-qq", "--no-install-recommends"] + found,
            DEBIAN_FRONTEND="noninteractive")
    finally:
        if ours:
            policy.unlink()


def tracked():
    """Files of the checkout that git knows or would know."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def copy_collection(stage):
    """(folder, home directory) of the stage: ansible-test wants the collection in a tree of its own, alone in it."""
    shutil.rmtree(STATE / "tree" / stage, ignore_errors=True)
    folder = STATE / "tree" / stage / "ansible_collections" / "cfengine" / "hub_ha"
    for name in tracked():
        if not name.startswith(NOT_IN_COLLECTION):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    # It asks git for the files, and below .cache the checkout's git knows none.
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    # ansible-test fetches pip's bootstrap script from the network; Python brings an own one.
    home = STATE / "tree" / stage / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "get_pip_24_2.py").write_text("import ensurepip; ensurepip.bootstrap(upgrade=True, default_pip=True)\n",
                                           encoding="ascii")
    return folder, str(home)


def lint():
    """ansible-lint (production), ruff, mypy on the library, and pylint's errors on the lab; sanity runs it on the rest."""
    run("lint", ["ansible-lint", "--offline", "--profile", "production", "--strict"], modest=True)
    run("lint", ["ruff", "check", "--no-cache"], modest=True)
    run("lint", ["mypy", "--strict", "--python-version", "3.9", "--cache-dir", STATE / "mypy", "-p", "hubha"],
        cwd=ROOT / "plugins" / "module_utils", modest=True)
    run("lint", ["pylint", "--errors-only", "lab", "tests/run.py"], modest=True)
    run("lint", ["antsibull-changelog", "lint"], modest=True)


def sanity():
    """ansible-test sanity."""
    folder, home = copy_collection("sanity")
    run("sanity", ["ansible-test", "sanity", "--requirements", "--python", python_version(), "--color", "no"],
        cwd=folder, modest=True, HOME=home)
    if 'Running sanity test "validate-modules"' not in (STATE / "sanity.log").read_text(encoding="utf-8"):
        raise subprocess.CalledProcessError(1, "ansible-test sanity: it has tested nothing")


def unit():
    """ansible-test units, and the lab's own."""
    install_packages()
    folder, home = copy_collection("unit")
    workers = "2" if STRICT.is_set() else "1"  # beside what is measured one processor is left alone
    run("unit", ["ansible-test", "units", "--num-workers", workers, "--python", python_version(), "--color", "no"],
        cwd=folder, modest=True, HOME=home)
    run("unit", [BIN / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/lab"], modest=True)


def build():
    """Build the collection, install the artifact elsewhere, and use it from there."""
    target = STATE / "installed"
    shutil.rmtree(target, ignore_errors=True)
    folder, _home = copy_collection("build")
    run("build", ["ansible-galaxy", "collection", "build", "--force", "--output-path", STATE], cwd=folder, modest=True)
    artifact = sorted(STATE.glob("cfengine-hub_ha-*.tar.gz"))[-1]
    run("build", ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "--force", "-p", target,
                  artifact], modest=True)
    installed = target / "ansible_collections" / "cfengine" / "hub_ha"
    playbooks = sorted((installed / "playbooks").glob("*.yml"))
    run("build", ["ansible-playbook", "-i", ROOT / "inventories" / "lab" / "hosts.yml", "--syntax-check"] + playbooks,
        cwd="/", modest=True, ANSIBLE_COLLECTIONS_PATH=str(target))
    # By name, as the artifact's users call them; a name with a dash cannot be called.
    run("build", ["ansible-playbook", "-i", ROOT / "inventories" / "lab" / "hosts.yml", "--syntax-check"]
        + ["cfengine.hub_ha." + path.stem for path in playbooks if "-" not in path.stem], cwd="/", modest=True,
        ANSIBLE_COLLECTIONS_PATH=str(target))
    filters = sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.yml"))
    run("build", ["ansible-doc", "-t", "filter"] + ["cfengine.hub_ha." + name for name in filters], cwd="/", modest=True,
        ANSIBLE_COLLECTIONS_PATH=str(target))
    for module in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        run("build", ["ansible-doc", "-t", "module", "cfengine.hub_ha." + module.stem], cwd="/", modest=True,
            ANSIBLE_COLLECTIONS_PATH=str(target))


def python_version():
    """Such as 3.11, of the Python that runs the tests."""
    return "%d.%d" % sys.version_info[:2]


def images():
    """The lab's hosts of both releases."""
    run("images", ["python3", "-m", "lab", "prerequisites"])
    run("images", ["python3", "-m", "lab", "images", "trixie", "bookworm"])


def scenario(name):
    """A stage that runs one molecule scenario inside the namespace of its checkout's lab."""
    def stage():
        stage_name = "molecule-" + name
        IMAGES.wait()
        root = getattr(HERE, "root", ROOT)
        run(stage_name, ["python3", "-m", "lab", "up", "--hosts", "client1=client"], cwd=root)  # the namespace
        before = hosts_cpu(root)
        # of this checkout alone: molecule's own choice is shared by all checkouts whose folders have the same name
        ephemeral = root / ".cache" / "molecule" / name
        shutil.rmtree(ephemeral, ignore_errors=True)
        try:
            run(stage_name, ["python3", "-m", "lab", "enter", "--", "molecule", "test", "-s", name], cwd=root,
                MOLECULE_EPHEMERAL_DIRECTORY=str(ephemeral), FIGURES=str(STATE / "figures.jsonl"),
                PYTHONDONTWRITEBYTECODE=None, ONCE_FOLDER=str(STATE / "once"), ANSIBLE_CALLBACKS_ENABLED="once",
                ANSIBLE_CALLBACK_PLUGINS=str(root / "molecule" / "shared" / "callback_plugins"))
        finally:
            HERE.cpu += hosts_cpu(root) - before
    return stage


def second_checkout():
    """A copy of the checkout, with a lab of its own on the same images: a checkout has one lab."""
    folder = STATE / "tree" / "second"
    (ROOT / ".cache" / "lab" / "saved").mkdir(parents=True, exist_ok=True)
    if folder.exists():
        run("second", [sys.executable, "-m", "lab", "down"], cwd=folder)
        shutil.rmtree(folder)
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    for link, target in ((".cache/venv", ROOT / ".cache" / "venv"),
                         (".cache/lab/suites", ROOT / ".cache" / "lab" / "suites"),
                         (".cache/lab/saved", ROOT / ".cache" / "lab" / "saved"),
                         (".cache/collections/ansible_collections/cfengine/hub_ha", folder)):
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(target)
    return folder


STAGES = {"lint": lint, "sanity": sanity, "unit": unit, "build": build, "images": images}
STAGES.update(("molecule-" + name, scenario(name)) for name in SCENARIOS + BY_NAME_ONLY)
GROUPS = {"molecule": ["images"] + ["molecule-" + name for name in SCENARIOS]}


# Taken in this order by two workers, one for each core, each with a lab of its own: the images first, for all need
# them. The scenario with the strictest limits for how long nobody serves, and with the faults, has only modest stages
# beside it; everything else waits for its end. (Others time it too; their limits leave room for a neighbour.) Then the
# longest ones first.
SHARED_TIME = ("images", "lint", "molecule-default", "sanity", "build", "unit", "molecule-remove",
               "molecule-interrupted", "molecule-fresh", "molecule-bad-input", "molecule-clients",
               "molecule-enterprise", "molecule-third-hub")
BESIDE_STRICT = ("images", "lint", "molecule-default", "sanity", "build", "unit")
IMAGES = threading.Event()  # the lab's images are there, or nobody is making them
STRICT = threading.Event()  # the scenario with the strictest limit has ended, or nobody runs it
# root: the checkout whose lab this worker uses; cpu: seconds of processor time of the stage that it runs.
HERE = threading.local()
BEGAN = time.monotonic()
TIMES = []  # one entry for each stage that has ended


def one(name):
    """Run one stage; returns its name when it failed, else None."""
    if name not in BESIDE_STRICT:
        STRICT.wait()
    (STATE / (name + ".log")).unlink(missing_ok=True)
    print("== %s" % name, flush=True)
    start, HERE.cpu = time.monotonic(), 0.0
    try:
        STAGES[name]()
    except subprocess.CalledProcessError as error:
        log = (STATE / (name + ".log")).read_text(encoding="utf-8", errors="replace")
        print("\n".join(log.splitlines()[-SHOWN_LINES:]))
        print("   %s FAILED in %.0f s: %s\n   whole output: %s" % (
            name, time.monotonic() - start, error, (STATE / (name + ".log")).relative_to(ROOT)), flush=True)
        return name
    finally:
        if name == "images":
            IMAGES.set()
        if name == "molecule-default":
            STRICT.set()
        TIMES.append({"stage": name, "began_s": round(start - BEGAN), "wall_s": round(time.monotonic() - start),
                      "cpu_s": round(HERE.cpu)})
    print("   %s passed in %.0f s" % (name, time.monotonic() - start), flush=True)
    return None


def what_failed(log):
    """The lines of a failed stage's log that name what has failed, or its last ones when none does."""
    lines = [line for line in log.splitlines() if line.strip()]
    found = list(dict.fromkeys(line for line in lines if TELLING.match(line))) or lines
    return [line[:TOLD_WIDTH] for line in found[-TOLD_LINES:]]


def show_failed(names):
    """Once more at the end, where people look first: what failed in each stage."""
    for name in names:
        print("== %s FAILED" % name)
        for line in what_failed((STATE / (name + ".log")).read_text(encoding="utf-8", errors="replace")):
            print("   " + line)


def show_times():
    """Where the time went: a table, and the same in .cache/test/times.json."""
    (STATE / "times.json").write_text(json.dumps(TIMES, indent=1) + "\n", encoding="utf-8")
    print("%-24s %8s %8s %8s" % ("stage", "began s", "wall s", "cpu s"))
    for entry in TIMES:
        print("%(stage)-24s %(began_s)8d %(wall_s)8d %(cpu_s)8d" % entry)


def work(stages, root):
    """Run stages of a queue until it is empty, with the lab of the checkout *root*; returns what `one` returned."""
    HERE.root = root
    done = []
    while True:
        try:
            done.append(one(stages.get_nowait()))
        except queue.Empty:
            return done


def main(wanted):
    """Run the stages; returns the exit status."""
    STATE.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(STATE / "once", ignore_errors=True)  # of another Ansible or other collections, perhaps
    names = [stage for name in wanted for stage in GROUPS.get(name, [name])] \
        or [stage for stage in STAGES if stage not in ["molecule-" + name for name in BY_NAME_ONLY]]
    if "images" not in names:
        IMAGES.set()
    if "molecule-default" not in names:
        STRICT.set()
    together = queue.SimpleQueue()
    for name in SHARED_TIME:
        if name in names:
            together.put(name)
    labs = [name for name in names if name.startswith("molecule-") and name in SHARED_TIME]
    roots = [ROOT, second_checkout()] if len(labs) > 1 else [ROOT]
    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(lambda root: work(together, root), roots), [])
    done += [one(name) for name in names if name not in SHARED_TIME]
    for root in roots:
        subprocess.run([sys.executable, "-m", "lab", "down"], cwd=root, check=False)
    failed = [name for name in done if name]
    show_times()
    show_failed(failed)
    print("== all stages in %.0f s%s" % (time.monotonic() - BEGAN, "; failed: " + ", ".join(failed) if failed else ""))
    print("%d passed, %d failed" % (len(done) - len(failed), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
