# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that were made with much work, kept for other starts: `lab save NAME`, then `lab up --from NAME`.

All hosts are stopped in good order, the hub that takes writes as the last one, and what each has written is kept. Hosts
that are started from it get a copy: same names, addresses, host keys and data, a fraction of the time. What is saved
belongs to one state of the checkout (everything that may have had a part in it) and counts for no other one. Another
checkout's lab may use it too (second lab of `make test`), with an SSH key of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from lab import hosts, hub, images, layers, network, paths, podman, writer
from lab.shell import LabError, stage, wait_for

MADE_BY = ("roles", "plugins", "playbooks", "inventories", "lab", "meta", "ansible.cfg")
STOP_SECONDS = 60
SERVE_SECONDS = 90
KILLED = 137  # exit status of a host that had to be killed


def folder(name):
    """Where it lies (Path). Raises LabError for a name that is none."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise LabError("%r is no name. Small letters, digits and dashes make one." % name)
    return paths.SAVED / name


def files_hash(root, names):
    """A hash of the files' paths and contents below these folders of *root* (str); byte code does not count."""
    total = hashlib.sha256()
    for name in names:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                total.update(b"%s %d " % (str(path.relative_to(root)).encode(), len(content)) + content)
    return total.hexdigest()[:16]


def state():
    """A hash of all that may have had a part in what hosts are: this checkout's code."""
    return files_hash(paths.ROOT, MADE_BY)


def read(name):
    """What was saved under a name (dict: state, suite, hosts, recipes, writer_password, primary, standbys, shared).

    Raises LabError when there is nothing, or when it is another state's.
    """
    path = folder(name) / "saved.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise LabError("No hosts are saved as %s. Make them, then: python3 -m lab save %s" % (name, name)) from exc
    if (known["state"], known["recipes"]) != (state(), recipes(known["suite"], known["hosts"])):
        raise LabError("What is saved as %s was made by another state of this checkout. Make the hosts again, then: "
                       "python3 -m lab save %s" % (name, name))
    return known


def recipes(suite, kinds):
    """The recipes of the images that the hosts {name: kind} stand on: {kind: hash}."""
    return dict((kind, value) for kind, value in images.recipes(suite).items() if kind in kinds.values())


def serving():
    """(hub that takes writes or None, hubs that stream from it, whether it has the shared address)."""
    try:
        primary = writer.primary()
    except LabError:
        return None, [], False
    standbys = hub.psql(primary, "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming';",
                        database="postgres").split()
    addresses = podman.execute(primary, ["ip", "-4", "-o", "addr", "show"]).stdout
    return primary, standbys, " %s/" % network.SHARED_ADDRESS in addresses


def turns(names, primary):
    """In which order hosts are stopped: clients, other hubs, the hub that takes writes: [[name]] (pure)."""
    clients = [name for name in names if not name.startswith("hub")]
    others = [name for name in names if name.startswith("hub") and name != primary]
    return [turn for turn in (clients, others, [primary] if primary else []) if turn]


def _stop(host):
    podman.podman("stop", "--time=%d" % STOP_SECONDS, host, timeout=STOP_SECONDS + 60)
    if int(podman.podman("inspect", "--format", "{{.State.ExitCode}}", host).stdout) == KILLED:
        raise LabError("%s did not stop within %d s." % (host, STOP_SECONDS))


def save(name):
    """Stop all hosts and keep what they are; there are no hosts afterwards. What had the name before is replaced."""
    target, plan = folder(name), hosts.planned()
    if not plan["hosts"]:
        raise LabError("There are no hosts to save. Start some: python3 -m lab up")
    for host in plan["hosts"]:
        podman.need(host)
    primary, standbys, shared = serving()
    known = {"state": state(), "suite": plan["suite"], "hosts": plan["hosts"],
             "recipes": recipes(plan["suite"], plan["hosts"]), "primary": primary, "standbys": standbys,
             "shared": shared, "writer_password": hub.writer_password()}
    with stage("stopping %s" % ", ".join(sorted(plan["hosts"]))), ThreadPoolExecutor(4) as pool:
        for turn in turns(sorted(plan["hosts"]), primary):
            list(pool.map(_stop, turn))
    with stage("saving them as %s" % name):
        part = paths.SAVED / (".%s.%d" % (name, os.getpid()))
        part.mkdir(mode=0o700, parents=True)  # secrets are in it
        podman.remove(*plan["hosts"])
        for host in plan["hosts"]:
            layers.unmount(paths.HOSTS / host)
            os.rename(paths.HOSTS / host / "disk", part / host)
        podman.write(part, "/saved.json", json.dumps(known, indent=1) + "\n", 0o600)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(part, target)
        hosts.remove_all()


def up(name, more):
    """Start the hosts that were saved, and fresh ones {name: kind} beside them; wait until they serve as they did."""
    known = read(name)
    both = sorted(set(known["hosts"]) & set(more))
    if both:
        raise LabError("%s is among what is saved as %s." % (" and ".join(both), name))
    paths.WRITER_PASS.touch(mode=0o600)
    paths.WRITER_PASS.write_text(known["writer_password"] + "\n", encoding="utf-8")
    hosts.up(known["suite"], {**known["hosts"], **more},
             dict((host, folder(name) / host) for host in known["hosts"]))
    if known["primary"]:
        with stage("%s to serve as before" % known["primary"]):
            wanted = (len(known["standbys"]), known["shared"])

            def as_before():
                primary, standbys, shared = serving()
                if primary and (len(standbys), shared) == wanted:
                    return True
                raise LabError("hub that takes writes: %s, standbys: %s, shared address: %s" % (
                    primary or "none", ", ".join(standbys) or "none", "there" if shared else "not there"))

            wait_for("the hubs to serve as before", as_before, SERVE_SECONDS, every=0.5)
