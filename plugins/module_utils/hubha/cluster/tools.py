# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and changes a pacemaker CIB, and reads the state of the live cluster, with pacemaker's own command line.

Everything runs through an injected runner (see hubha/core/run.py). Secrets reach the tools through standard input and through
files in a private directory, never as arguments.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time

from ..core.run import CommandError, CommandMissing, CommandTimeout, HubError
from . import cib as model

#: where pacemaker keeps its CIB while it is stopped
CIB_ON_DISK = "/var/lib/pacemaker/cib/cib.xml"

#: seconds that a pacemaker which systemd says is running may take until it answers
START_LIMIT = 30
#: seconds that the local copy of the CIB may take to show a change that the cluster has accepted
ECHO_LIMIT = 3

DISCONNECTED = (102, 107)
INSUFFICIENT_PRIVILEGES = (4, 13)
CONFIG_ERROR = 78
_NOT_CONNECTED_TEXTS = ("not connected", "connection refused", "could not connect", "connection to cluster failed",
                        "connection failed")


class ClusterAbsent(HubError):
    """Pacemaker is not installed or does not run on this host."""

    def __init__(self, reason, installed):
        super().__init__("pacemaker does not run on %s (%s)" % (platform.node(), reason))
        self.reason = reason
        self.installed = installed


class CibRefused(HubError):
    """crm_verify found errors that the wanted change would bring in; nothing was changed."""

    def __init__(self, errors):
        super().__init__("crm_verify refuses the wanted cluster configuration, nothing was changed: "
                         + "; ".join(errors), errors=errors)


class CibRestarts(HubError):
    """The scheduler would interrupt a resource that must not be interrupted; nothing was changed."""

    def __init__(self, lines):
        super().__init__("the wanted cluster configuration would make pacemaker interrupt what must go on, nothing was "
                         "changed: %s. Look yourself: crm_simulate --live-check; allow it for one run: "
                         "-e hub_ha_allow_restart=true (CIB_RESTARTS)" % "; ".join(lines), disrupts=lines)


class CibRestartsLater(HubError):
    """The scheduler would interrupt such a resource as soon as nothing keeps its hands off; nothing was changed."""

    def __init__(self, lines, holds):
        super().__init__(
            "pacemaker keeps its hands off (%s), and with the wanted cluster configuration it would interrupt what must go on "
            "as soon as that ends, so nothing was changed: %s. End it first, then run this again: %s (CIB_RESTARTS_LATER)"
            % (", ".join(item["what"] for item in holds), "not known" if lines is None else "; ".join(lines),
               "; ".join(item["end"] for item in holds)), disrupts_later=lines, holds=holds)


class CibMoved(HubError):
    """The change did not go in within the allowed number of attempts."""


class NotSettled(HubError):
    """The cluster did not reach a stable state in time, or reached it with a wanted resource failed."""


def disconnected(completed):
    """Does this result say that there is no cluster to talk to?"""
    if completed.rc == 0:
        return False
    text = (completed.err + completed.out).lower()
    return completed.rc in DISCONNECTED or any(part in text for part in _NOT_CONNECTED_TEXTS)


class Cib:
    """One CIB, live (cib_file None) or in a file, and the tools that work on it.

    run: the runner. directory: a private directory for the tools' files.
    """

    def __init__(self, run, directory, cib_file=None):
        self._run = run
        self._directory = directory
        self._env = {"CIB_shadow_dir": directory}
        if cib_file:
            self._env["CIB_file"] = cib_file
        self.cib_file = cib_file
        self.secrets = []

    def _call(self, argv, **more):
        return self._run(argv, env=dict(self._env), check=False, **more)

    def _error(self, completed, hint=None):
        clean = completed._replace(out=model.scrub(completed.out, self.secrets),
                                   err=model.scrub(completed.err, self.secrets))
        return CommandError(clean, hint)

    def _save(self, name, text):
        path = os.path.join(self._directory, name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def query(self):
        """XML text of the CIB as it is now. Raises ClusterAbsent, CommandError, HubError."""
        if self.cib_file and not os.path.isfile(self.cib_file):
            raise HubError("the CIB file %s does not exist; make an empty one with: cibadmin --empty > %s"
                           % (self.cib_file, self.cib_file))
        try:
            done = self._call(["cibadmin", "--query"])
        except CommandMissing as error:
            if self.cib_file:
                raise HubError(error.message + ": install pacemaker-cli-utils (Debian, Ubuntu) or pacemaker-cli")
            raise ClusterAbsent(error.message, installed=False)
        if done.rc != 0:
            if not self.cib_file and disconnected(done):
                raise ClusterAbsent("cibadmin: " + (done.err or done.out).strip().replace("\n", "; "), installed=True)
            raise self._error(done)
        return done.out

    def verify(self, text):
        """crm_verify's verdict on a CIB: (errors, warnings), lists of text."""
        done = self._call(["crm_verify", "--xml-file", self._save("verify.xml", text), "-VV"])
        errors, warnings = model.classify_verify(done.out, done.err)
        if done.rc not in (0, CONFIG_ERROR) and not errors:
            raise self._error(done)
        if done.rc == 0:
            # The tool is content. What it prints then is about the state of the nodes, not about the configuration.
            return [], []
        return ([model.scrub(line, self.secrets) for line in errors],
                [model.scrub(line, self.secrets) for line in warnings])

    def simulate(self, text):
        """What the cluster would do with this CIB: (lines, why there are none or None). Never fails."""
        try:
            done = self._call(["crm_simulate", "--xml-file", self._save("simulate.xml", text), "--run",
                               "--output-as=xml"])
        except (CommandMissing, CommandTimeout) as error:
            return [], error.message
        if done.rc != 0:
            return [], "crm_simulate ended with exit status %s: %s" % (
                done.rc, model.scrub((done.err or done.out).strip(), self.secrets))
        return model.summarise_simulation(done.out), None

    def make_patch(self, old, new):
        """The patch that leads from one CIB text to another, "" when there is no difference."""
        done = self._call(["crm_diff", "--no-version", "--original", self._save("old.xml", old),
                           "--new", self._save("new.xml", new)])
        if done.rc not in (0, 1):
            raise self._error(done)
        return done.out if done.rc == 1 else ""

    def patch(self, patch):
        """Apply a patch. Returns None, or why it was refused. Raises CommandError when trying again cannot help."""
        done = self._call(["cibadmin", "--patch", "--sync-call", "--xml-pipe"], stdin=patch)
        if done.rc == 0:
            return None
        if done.rc in INSUFFICIENT_PRIVILEGES:
            raise self._error(done, "run this as root or as a user of the group haclient")
        return model.scrub((done.err or done.out or "exit status %s" % done.rc).strip(), self.secrets)

    def starting(self):
        """Does systemd say that pacemaker runs or is coming up? Then a refused connection is a matter of time."""
        try:
            done = self._call(["systemctl", "is-active", "pacemaker.service"], timeout=10)
        except (CommandMissing, CommandTimeout):
            return False
        return done.out.strip() in ("active", "activating", "reloading")


def converge(run, wanted, check_mode=False, cib_file=None, attempts=5, wait=0, directory=None, given=None,
             on_disk=CIB_ON_DISK, clock=time.monotonic, pause=time.sleep, keep=(), keep_later=()):
    """Bring the wanted objects into the CIB with one patch.

    run: runner. wanted: result of cib_model.normalise(). check_mode: find out, change nothing. cib_file: work on this
    file instead of the live cluster. attempts: how often to begin anew when somebody else changes the CIB at the same
    time. wait: seconds until the cluster must be settled, 0 for not at all. directory: parent of the temporary
    directory. given: module parameters, to know the secrets in them. on_disk: the CIB of a stopped pacemaker. keep: ids of
    resources that the change must not interrupt. keep_later: ids of those that it must not interrupt when what keeps
    pacemaker's hands off ends. Returns the module's result as a dict. Raises ClusterAbsent, CibRefused, CibRestarts,
    CibRestartsLater, CibMoved, NotSettled, CommandError, HubError.
    """
    begin = clock()
    private = tempfile.mkdtemp(prefix="cib-", dir=directory)
    try:
        result = _converge(Cib(run, private, cib_file), wanted, check_mode, attempts, given, on_disk, clock, pause, keep,
                           keep_later)
        result["elapsed"] = round(clock() - begin, 3)
        if wait and not check_mode and not cib_file:
            result["failures"] = settle(run, wanted, wait, private, clock, pause)
        return result
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _converge(cib, wanted, check_mode, attempts, given, on_disk, clock, pause, keep=(), keep_later=()):
    state = "file" if cib.cib_file else "running"
    try:
        text = _first_query(cib, check_mode, clock, pause)
    except ClusterAbsent as error:
        if not check_mode:
            raise HubError("%s: start it with 'systemctl start corosync pacemaker' and run this again"
                           % error.message if error.installed else
                           "%s: install corosync and pacemaker, start them and run this again" % error.message,
                           cluster="absent")
        return _predict(wanted, on_disk)
    result = {"changed": False, "patch": "", "simulation": [], "disrupts": [], "disrupts_later": [], "holds": [],
              "warnings": [], "attempts": 0, "cluster": state, "diff": None}
    names = [item["id"] for key in ("primitives", "groups", "clones") for item in wanted[key]]
    trouble = None
    for attempt in range(1, attempts + 1):
        current = model.parse(text)
        cib.secrets = model.secrets(current, given)
        new, notes = model.edit(current, wanted)
        result["attempts"] = attempt
        if not model.differs(current, new):
            if result["diff"] is None:
                result.update(diff=model.diff(current, new, wanted), warnings=notes, holds=model.holds(current, names))
            return result
        new_text = model.unparse(new)
        warnings = notes + _accept(cib, text, new_text)
        simulation, silent = cib.simulate(new_text)
        if silent:
            warnings.append("no simulation of what the cluster will do: " + silent)
        if silent and keep:
            raise HubError("what pacemaker would do could not be asked, and %s must not be interrupted, so nothing was "
                           "changed: %s" % (", ".join(keep), silent))
        # What it would do anyhow is asked for only where there is something to compare.
        before = cib.simulate(text)[0] if model.disruptions(simulation, []) else []
        if model.disruptions(simulation, before, keep):
            raise CibRestarts(model.disruptions(simulation, before, keep))
        held = model.holds(new, names)
        later = _later(cib, current, new, names) if held else []
        if keep_later and (later is None or model.disruptions(later, [], keep_later)):
            raise CibRestartsLater(later and model.disruptions(later, [], keep_later), held)
        patch = cib.make_patch(text, new_text)
        outcome = {"changed": True, "patch": model.mask_patch(patch), "simulation": simulation,
                   "disrupts": model.disruptions(simulation, before), "disrupts_later": later, "holds": held,
                   "warnings": warnings, "diff": model.diff(current, new, wanted)}
        if check_mode:
            result.update(outcome)
            return result
        trouble = cib.patch(patch)
        if trouble is None:
            if not result["changed"]:
                result.update(outcome)
            text, there = _echo(cib, wanted, clock, pause)
            if there:
                return result
            trouble = "the CIB took the change but does not hold all of it"
        else:
            text = cib.query()
        if attempt < attempts:
            # Whoever else is writing gets time to finish; the first retry is at once.
            pause(0 if attempt == 1 else min(2.0, 0.1 * 2 ** attempt))
    raise CibMoved("the wanted cluster configuration did not go in within %d attempts, the last time because: %s. "
                   "Is something else changing the CIB all the time, or is the cluster without a DC or quorum? "
                   "Look with: crm_mon -1" % (attempts, trouble), attempts=attempts)


def _later(cib, current, new, names):
    """What the change would interrupt as soon as nothing keeps pacemaker's hands off: lines, None when it is not known."""
    (after, silent), (before, mute) = [cib.simulate(model.unparse(model.unheld(root, names))) for root in (new, current)]
    return None if silent or mute else model.disruptions(after, before)


def _first_query(cib, check_mode, clock, pause):
    """Query; a live cluster that is just starting gets START_LIMIT seconds to answer."""
    deadline = clock() + START_LIMIT
    while True:
        try:
            return cib.query()
        except ClusterAbsent as error:
            if check_mode or not error.installed or clock() >= deadline or not cib.starting():
                raise
        pause(0.5)


def _predict(wanted, on_disk):
    """Check mode without a running cluster: the change as the model sees it, from the CIB on disk if there is one."""
    state, text = "absent", model.EMPTY_CIB
    try:
        with open(on_disk, encoding="utf-8") as stream:
            text, state = stream.read(), "stopped"
    except OSError:
        pass
    current = model.parse(text)
    new, notes = model.edit(current, wanted)
    return {"changed": model.differs(current, new), "patch": "", "simulation": [], "disrupts": [], "disrupts_later": [],
            "holds": [], "warnings": notes, "attempts": 0, "cluster": state, "diff": model.diff(current, new, wanted)}


def _accept(cib, current, new):
    """Let crm_verify judge the new CIB. Returns warnings; raises CibRefused for errors that the old one has not."""
    errors, warnings = cib.verify(new)
    if not errors and not warnings:
        return []
    old_errors, old_warnings = cib.verify(current)
    fresh = [line for line in errors if line not in old_errors]
    if fresh and [line for line in fresh if "schema validation" not in line]:
        fresh = [line for line in fresh if "schema validation" not in line]
    if fresh:
        raise CibRefused(fresh)
    return (["crm_verify had this complaint before the change already: " + line for line in errors]
            + ["crm_verify: " + line for line in warnings if line not in old_warnings])


def _echo(cib, wanted, clock, pause):
    """Read the CIB until it holds what is wanted. Returns (text, whether it does)."""
    deadline = clock() + (0 if cib.cib_file else ECHO_LIMIT)
    while True:
        text = cib.query()
        current = model.parse(text)
        try:
            there = not model.differs(current, model.edit(current, wanted)[0])
        except HubError:
            there = False
        if there or clock() >= deadline:
            return text, there
        pause(0.1)


def settle(run, wanted, limit, directory, clock=time.monotonic, pause=time.sleep):
    """Wait until the cluster has nothing left to do, at most *limit* seconds.

    Settled means: there is a DC, the scheduler has no action for the live CIB, nothing is on its way; and that holds
    in two looks, because an agent may vote for promotion just after its start has ended.
    directory: where crm_simulate may write. Returns the failed actions that do not keep a wanted resource from running
    (list of text). Raises NotSettled with what is still to be done and what failed.
    """
    deadline = clock() + limit
    quiet = 0
    while True:
        pending, status = _look(run, directory)
        quiet = 0 if pending else quiet + 1
        if quiet > 1:
            break
        if clock() >= deadline:
            failures = [_sentence(item) for item in status["failures"]] if status else []
            raise NotSettled("the cluster is not settled after %s s: %s%s" % (
                limit, "; ".join(pending) or "it came to rest just now",
                ". Failed actions: " + "; ".join(failures) if failures else ""), pending=pending, failures=failures)
        pause(0.5)
    failures, down = _verdict(status, [item["id"] for item in wanted["primitives"]])
    if down:
        raise NotSettled("the cluster is settled, but these wanted resources do not run: %s. Mend the cause, then run: "
                         "crm_resource --cleanup" % "; ".join(down), failures=failures + down)
    return failures


def _look(run, directory):
    """One look at the live cluster: (what is still to be done, list of text; read_status() or None)."""
    mon = run(["crm_mon", "--one-shot", "--inactive", "--output-as=xml"], check=False)
    if mon.rc != 0:
        return ["crm_mon ended with exit status %s" % mon.rc], None
    status = model.read_status(mon.out)
    if not status["dc"]:
        return ["no designated controller has been elected yet"], status
    pending = ["node %s is joining" % node["name"] for node in status["nodes"] if node["pending"]]
    for name, found in sorted(status["resources"].items()):
        for item in found["instances"]:
            for word in (item["role"], item["pending"]):
                if word in ("Starting", "Stopping", "Promoting", "Demoting", "Migrating"):
                    pending.append("%s is %s on %s" % (name, word.lower(), item["node"] or "?"))
    query = run(["cibadmin", "--query"], check=False)
    if query.rc == 0:
        pending += model.pending_operations(model.parse(query.out),
                                            [node["name"] for node in status["nodes"] if node["online"]])
    else:
        pending.append("cibadmin ended with exit status %s: %s" % (query.rc, query.err.strip()))
    simulation = run(["crm_simulate", "--live-check", "--run", "--output-as=xml"], check=False,
                     env={"CIB_shadow_dir": directory})
    if simulation.rc != 0:
        pending.append("crm_simulate ended with exit status %s: %s" % (simulation.rc, simulation.err.strip()))
    # What is blocked will not happen by waiting.
    pending += [line for line in model.summarise_simulation(simulation.out) if "(blocked)" not in line]
    return list(dict.fromkeys(pending)), status


def _sentence(failure):
    return "%s of %s on %s: %s%s" % (
        failure["operation"], failure["resource"], failure["node"], failure["exit_status"],
        " (%s)" % failure["exit_reason"] if failure["exit_reason"] else "")


def _verdict(status, owned):
    """(failed actions that do not matter for the wanted primitives, what keeps those from running), as text."""
    harmless, down = [], []
    for failure in status["failures"]:
        found = status["resources"].get(failure["resource"])
        idle = found and not any(item["active"] for item in found["instances"])
        (down if failure["resource"] in owned and idle else harmless).append(_sentence(failure))
    for name in owned:
        found = status["resources"].get(name)
        if found and found["blocked"]:
            down.append("%s is blocked" % name)
    return harmless, down


def observe(run, cib_file=None):
    """The cluster as data, from crm_mon, the CIB and corosync's own tools.

    run: runner. cib_file: look at this CIB instead of the live cluster (then there is nothing to say about links).
    Returns a dict; ``running`` is False and ``reason`` says why when there is no cluster to talk to.
    Raises CommandError, HubError for anything else that goes wrong.
    """
    env = {"CIB_file": cib_file} if cib_file else {}
    nothing = {"running": False, "reason": None, "dc": None, "quorate": None, "nodes": [], "resources": {},
               "promoted": {}, "failures": [], "fail_counts": {}, "thresholds": {}, "bans": [], "active_bans": [],
               "locations": [], "meta": {}, "options": {}, "fencing_devices": {}, "links": [], "quorum": None,
               "properties": {}, "rsc_defaults": {}, "op_defaults": {}, "maintenance": False}
    found = []
    for argv in (["crm_mon", "--one-shot", "--inactive", "--output-as=xml"], ["cibadmin", "--query"]):
        try:
            done = run(argv, env=env, check=False)
        except CommandMissing as error:
            return dict(nothing, reason=error.message)
        if done.rc != 0:
            if disconnected(done) and not cib_file:
                return dict(nothing, reason="pacemaker does not run on this host (%s exit status %s)"
                            % (argv[0], done.rc))
            raise CommandError(done)
        found.append(done.out)
    result = dict(nothing, running=True)
    result.update(model.combine(model.read_status(found[0]), model.read_settings(model.parse(found[1]))))
    if not cib_file:
        names = dict((node["id"], node["name"]) for node in result["nodes"])
        result["links"] = model.read_links(_text_of(run, ["corosync-cfgtool", "-s"]),
                                           _text_of(run, ["corosync-cfgtool", "-n"]), names)
        result["quorum"] = model.read_quorum(_text_of(run, ["corosync-quorumtool", "-s"]))
        if result["quorum"]:
            result["quorate"] = result["quorum"]["quorate"]
    return result


def _text_of(run, argv):
    """What a corosync tool prints; "" when it is not there. Their exit status tells of links that are down."""
    try:
        return run(argv, check=False, timeout=10).out
    except (CommandMissing, CommandTimeout):
        return ""
