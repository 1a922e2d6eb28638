# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line. Commands that touch hosts enter the lab's namespace by themselves."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys

from lab import (
    collect,
    hosts,
    hub,
    images,
    namespace,
    network,
    paths,
    podman,
    prerequisites,
    probe,
    saved,
    swarm,
    writer,
)
from lab.faults import pair, run as faults
from lab.shell import LabError, colour, say

NETS = tuple(network.NETWORKS)


def parser():
    """The argument parser."""
    top = argparse.ArgumentParser(prog="python3 -m lab", description="A lab of real hosts on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, text, inside=True, changes=False):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(inside=inside, changes=changes)
        return sub

    def suite(sub):
        sub.add_argument("--suite", default="trixie", choices=images.SUITES, help="Debian release of the hosts")
        sub.add_argument("--hosts", metavar="NAME[=KIND],...",
                         help="hosts to start; kinds: %s (default: %s)" % (
                             ", ".join(images.KINDS), hosts.DEFAULT_HOSTS))
        sub.add_argument("--from", dest="saved", metavar="NAME",
                         help="start the hosts that were saved under this name, --hosts are further ones")

    add("prerequisites", "Install what this machine lacks (as root, with apt-get).", inside=False)
    sub = add("images", "Build the hosts' images, those whose recipe has changed.", inside=False)
    sub.add_argument("suites", nargs="*", metavar="SUITE", help="trixie (default), bookworm")
    sub.add_argument("--force", action="store_true", help="build again, with the newest packages")
    sub = add("build", "What images does inside of the lab.")
    sub.add_argument("suites", nargs="+", choices=images.SUITES)
    sub = add("up", "Start fresh hosts (images are built first when run outside of the lab).", inside=False,
              changes=True)
    suite(sub)
    sub = add("reset", "Remove all hosts and start fresh ones; the namespace stays.", inside=False, changes=True)
    suite(sub)
    sub = add("save", "Stop all hosts and keep what they are, for up --from NAME.", changes=True)
    sub.add_argument("name", metavar="NAME")
    sub = add("replace", "Put fresh hosts in the place of some; the others go on.", changes=True)
    sub.add_argument("hosts", metavar="NAME[=KIND],...")
    sub = add("seed", "Make a live single hub of hub1 and bootstrap the clients to it.", changes=True)
    sub.add_argument("--host", default="hub1")
    sub.add_argument("--prepared", action="store_true",
                     help="settings of PostgreSQL that need a restart are right already")
    sub.add_argument("--operator-def-json", action="store_true", help="masterfiles have a def.json of the operator's")
    sub.add_argument("--strict-trust", action="store_true",
                     help="that def.json forbids to trust a key by first contact (implies --operator-def-json)")
    sub.add_argument("--clients", metavar="NAME,...", help="bootstrap these only (default: all running clients)")
    sub = add("fill", "Give a hub that was made from nothing the rows of the lab's own hubs.", changes=True)
    sub.add_argument("--host", default="hub1")
    sub = add("down", "Remove all hosts and end the lab; what was built stays.", inside=False, changes=True)
    sub.add_argument("--keep-holder", action="store_true", help="remove the hosts only")
    add("clean", "Like down, and remove all that the lab keeps below .cache/lab.", inside=False)
    sub = add("status", "Show what runs.", inside=False)
    sub.add_argument("--json", action="store_true")
    sub = add("enter", "Run a command (or a shell) in the lab's namespace.", inside=False)
    sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD ARG...")
    for name, text in (("exec", "Run a command on a host."), ("ssh", "Log in to a host through SSH.")):
        sub = add(name, text)
        sub.add_argument("host")
        sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD ARG...")
    sub = add("power", "Cut a host's power, or give it back.", changes=True)
    sub.add_argument("action", choices=("off", "on"))
    sub.add_argument("host")
    sub.add_argument("--no-wait", action="store_true", help="don't wait until the host has booted")
    for name, text in (("pause", "Freeze a host."), ("unpause", "Let a frozen host go on.")):
        sub = add(name, text, changes=True)
        sub.add_argument("host")
        if name == "pause":
            sub.add_argument("--seconds", type=float, help="let it go on after exactly so long")
    sub = add("link", "Cut or mend a host's cable to a network.", changes=True)
    sub.add_argument("action", choices=("down", "up"))
    sub.add_argument("host")
    sub.add_argument("nets", nargs="+", choices=NETS, metavar="NETWORK", help=", ".join(NETS))
    sub = add("writer", "The writer on the hub, through the local socket.")
    sub.add_argument("action", choices=("start", "stop", "report"))
    sub.add_argument("--host", default="hub1")
    sub.add_argument("--rate", type=float, default=50.0, help="rows per second (default: 50)")
    sub.add_argument("--read-from", metavar="HOST", help="report: count the rows on this host's database")
    sub.add_argument("--json", action="store_true")
    sub = add("probe", "The writer outside, through the shared address.")
    sub.add_argument("action", choices=("start", "stop", "report"))
    sub.add_argument("--address", default=network.SHARED_ADDRESS, metavar="ADDRESS[,...]",
                     help="of several the one that takes writes (default: %(default)s)")
    sub.add_argument("--python", default=None, help="a Python that has psycopg2 (default: the project's)")
    sub.add_argument("--read-from", metavar="HOST", help="report: count the rows on this host's database")
    sub.add_argument("--no-wait", action="store_true", help="start: don't wait for the first acknowledged write")
    sub.add_argument("--json", action="store_true")
    sub = add("collector", "A stand-in for Enterprise's cf-hub: the active hub collects a report from every client.")
    sub.add_argument("action", choices=("start", "stop", "report", "call", "register"),
                     help="call: clients call their hub; register: make clients known that came later")
    sub.add_argument("hosts", nargs="*", metavar="CLIENT", help="call, register: which clients")
    sub.add_argument("--json", action="store_true")
    sub = add("swarm", "Many CFEngine clients as processes with own work directories on one host.")
    sub.add_argument("action", choices=("start", "run", "stop"),
                     help="run: new policy on the hub, one run of the agent for each, figures as JSON")
    sub.add_argument("count", nargs="?", type=int, metavar="N", help="start: how many")
    sub.add_argument("--host", default=swarm.DEFAULT_HOST, help="the client that they live on (default: %(default)s)")
    sub.add_argument("--hub", metavar="HOST", help="run: the hub that has the new policy (default: the active one)")
    sub.add_argument("--update-only", action="store_true", help="run: fetch policy, don't run it")
    sub = add("outage", "Cut a hub's power and measure how long clients cannot write.", changes=True)
    sub.add_argument("host")
    sub.add_argument("--seconds", type=float, default=60.0, help="give up after so long (default: 60)")
    sub.add_argument("--address", default=network.SHARED_ADDRESS)
    sub.add_argument("--python", default=None, help="a Python that has psycopg2 (default: the project's)")
    sub.add_argument("--json", action="store_true")
    sub = add("faults", "Do faults to the living pair, one after the other, and audit what comes of each.",
              changes=True)
    sub.add_argument("--rows", metavar="NAME[,...]",
                     help="these only; guard: those of `make test`; NAME*: all that begin so")
    sub.add_argument("--seed", type=int, help="order of the rows (default: a new one, which is printed)")
    sub.add_argument("--list", action="store_true", help="show the rows and their steps")
    sub.add_argument("--json", metavar="FILE", help="write all figures to a file")
    sub.add_argument("--build", action="store_true", help="build a fresh pair first")
    sub.add_argument("--heal", action="store_true", help="do no fault; make the pair whole, whatever happened to it")
    sub.add_argument("--slack", type=float, default=0.0, metavar="SECONDS",
                     help="added to limits of time without writes, where another lab shares the processors")
    sub.add_argument("--stop", action="store_true", help="leave the pair as the first red row left it")
    return top


def _rest(argv):
    return argv[1:] if argv and argv[0] == "--" else argv


def _need_images(suites, hosts_may_go):
    """Outside: fetch and build what is missing; returns the exit status.

    hosts_may_go: hosts that stand on an image to be rebuilt are removed first, else that is refused.
    """
    wanted = [suite for suite in suites if images.missing(suite)]
    if not wanted:
        return 0
    if namespace.inside():
        raise LabError("Images of %s must be built, and that needs the machine's network. Outside of the lab's "
                       "namespace, run: python3 -m lab images %s" % (", ".join(wanted), " ".join(wanted)))
    prerequisites.install()
    if namespace.holder() and hosts.planned()["suite"] in wanted:
        if not hosts_may_go:
            raise LabError("Hosts of the lab stand on the images to be rebuilt. First: python3 -m lab down")
        namespace.again_inside(["down", "--keep-holder"])
    with namespace.alone("building images of " + ", ".join(wanted)):
        images.fetch_all(wanted)
        namespace.start()
        return namespace.again_inside(["build", *wanted])


def _images(options):
    suites = options.suites or ["trixie"]
    for suite in suites:
        images.missing(suite)
        if options.force:
            images.expire(suite)
    alone_here = namespace.holder() is None
    status = _need_images(suites, hosts_may_go=False)
    if alone_here and not namespace.inside():
        namespace.stop()
    if status == 0:
        say("lab: images of %s are ready" % ", ".join(suites))
    return status


def _up(options):
    if options.saved:
        wanted = hosts.plan(options.hosts) if options.hosts else {}
        options.suite = saved.read(options.saved)["suite"]
    else:
        wanted = hosts.plan(options.hosts or hosts.DEFAULT_HOSTS)
    if namespace.inside():
        if options.saved:
            saved.up(options.saved, wanted)
        else:
            hosts.up(options.suite, wanted)
        return 0
    prerequisites.install()
    status = _need_images([options.suite], hosts_may_go=True)
    if status:
        return status
    namespace.start()
    named = (["--hosts", options.hosts] if options.hosts else []) + (["--from", options.saved] if options.saved else [])
    return namespace.again_inside(["up", "--suite", options.suite] + named)


def _replace(options):
    hosts.replace(hosts.plan(options.hosts))
    return 0


def _save(options):
    saved.save(options.name)
    return 0


def _down(options):
    if namespace.inside():
        hosts.remove_all()
        if not options.keep_holder:
            say("lab: the hosts are gone. The namespace ends with `python3 -m lab down` from outside.")
        return 0
    if not namespace.holder():
        namespace.stop()
        say("lab: nothing was running")
        return 0
    if options.keep_holder:
        return namespace.again_inside(["down", "--keep-holder"])
    # The kernel takes everything down with the namespace, also what hangs.
    namespace.stop()
    say("lab: down. What was built is kept; `python3 -m lab clean` removes it too.")
    return 0


def _clean(_options):
    if namespace.inside():
        raise LabError("Run `python3 -m lab clean` outside of the lab's namespace.")
    namespace.stop()
    shutil.rmtree(paths.STATE)
    say("lab: removed %s" % paths.STATE)
    return 0


def _status(options):
    known = namespace.holder() if not namespace.inside() else {"pid": 1, "since": "", "by": "inside"}
    if known and not namespace.inside():
        return namespace.again_inside(["status"] + (["--json"] if options.json else []))
    plan = hosts.planned()
    states = podman.containers() if known else {}
    table = [{"host": name, "state": state, "kind": plan["hosts"].get(name, "?"),
              **{net: network.address(name, net) for net in NETS}}
             for name, state in sorted(states.items()) if not name.startswith("build-")]
    data = {"running": bool(known), "suite": plan["suite"] if known else None, "hosts": table,
            "images": images.describe(), "state": str(paths.STATE)}
    if options.json:
        print(json.dumps(data, indent=1))
        return 0
    if not known:
        print("The lab is down. Start it: python3 -m lab up")
    elif not table:
        print("The lab's namespace is up, without hosts.")
    for row in table:
        print("%-9s %s %-7s heartbeat %-13s replication %-14s clients %s" % (
            row["host"], colour("%-8s" % row["state"], "32" if row["state"] == "running" else "31"), row["kind"],
            row["heartbeat"], row["replication"], row["clients"]))
    for name, kinds in data["images"].items():
        print("images of %s: %s" % (name, ", ".join("%s %s" % pair for pair in kinds.items())))
    return 0


def _enter(options):
    return namespace.enter(_rest(options.argv) or [os.environ.get("SHELL", "/bin/sh")])


def _exec(options):
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    argv, env = hosts.exec_argv(options.host, _rest(options.argv) or ["bash"], terminal)
    return namespace.enter(argv, env)


def _ssh(options):
    return namespace.enter(hosts.ssh_argv(options.host, _rest(options.argv)))


def _power(options):
    if options.action == "off":
        hosts.power_off(options.host)
    elif not hosts.power_on(options.host, wait=not options.no_wait):
        say("lab: %s is on already" % options.host)
    return 0


def _link(options):
    hosts.link(options.host, options.nets, options.action == "up")
    return 0


def _writer(options):
    return writer.command(options)


def _probe(options):
    return probe.command(options)


def _build(options):
    images.build_all(options.suites)
    return 0


def _pause(options):
    if options.command == "pause" and options.seconds is not None:
        pair.stall(options.host, options.seconds)
        return 0
    hosts.pause(options.host, options.command == "pause")
    return 0


def _prerequisites(_options):
    if not prerequisites.install():
        say("lab: this machine has all that is needed")
    return 0


def _seed(options):
    hub.seed(options.host, prepared=options.prepared, with_def_json=options.operator_def_json,
             strict_trust=options.strict_trust, clients=options.clients)
    return 0


def _fill(options):
    if not hub.fill(options.host):
        say("lab: %s has its rows already" % options.host)
    return 0


WORK = {"prerequisites": _prerequisites, "images": _images, "build": _build, "up": _up, "reset": _up,
        "save": _save, "replace": _replace, "seed": _seed, "fill": _fill, "down": _down,
        "clean": _clean, "status": _status, "enter": _enter, "exec": _exec, "ssh": _ssh,
        "power": _power, "pause": _pause, "unpause": _pause, "link": _link, "writer": _writer, "probe": _probe,
        "outage": probe.outage_command, "faults": faults.command, "collector": collect.command, "swarm": swarm.command}


def main(arguments):
    """Run one command; returns the exit status (0 fine, 1 a LabError, 2 usage, else the command's own)."""
    options = parser().parse_args(arguments)
    try:
        if options.command not in ("prerequisites", "status"):
            namespace.need_root()
            paths.make()
        inside = namespace.inside()
        if options.inside and not inside:
            return namespace.again_inside(arguments)
        if options.changes and inside:
            with namespace.alone("lab " + " ".join(arguments)):
                return WORK[options.command](options)
        return WORK[options.command](options)
    except LabError as exc:
        say("%s %s" % (colour("lab: ERROR:", "31", sys.stderr), exc))
        return 1
    except KeyboardInterrupt:
        say("lab: stopped by you. `python3 -m lab status` shows what there is, `python3 -m lab down` removes it.")
        return 130
    except BrokenPipeError:
        return 1
