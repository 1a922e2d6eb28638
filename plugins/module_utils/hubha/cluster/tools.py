# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes a pacemaker CIB, and waits until the live cluster has settled, with pacemaker's own command line.

Everything runs through an injected runner (see hubha/core/run.py). Secrets reach the tools through standard input and
through files in a private directory, never as arguments.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Tuple
from xml.etree.ElementTree import Element

from ..core.run import CommandError, CommandMissing, CommandTimeout, Completed, HubError
from .cib.edit import edit
from .cib.effects import classify_verify, disruptions, holds, summarise_simulation, unheld
from .cib.normalise import Wanted, normalise, resource_ids
from .cib.parse import EMPTY_CIB, differs, parse, unparse
from .cib.secrets import mask_patch, scrub, secret_values
from .cib.show import diff
from .observe import Runner, disconnected, pending_operations, read_status

#: where pacemaker keeps its CIB while it is stopped
CIB_ON_DISK = "/var/lib/pacemaker/cib/cib.xml"

#: seconds that a pacemaker which systemd says is running may take until it answers
START_LIMIT = 30
#: seconds that the local copy of the CIB may take to show a change that the cluster has accepted
ECHO_LIMIT = 3

INSUFFICIENT_PRIVILEGES = (4, 13)
CONFIG_ERROR = 78

Clock = Callable[[], float]  # seconds, as of a stop watch
Pause = Callable[[float], object]  # seconds to wait


class ClusterAbsent(HubError):
    """Pacemaker is not installed or does not run on this host."""

    def __init__(self, reason: str, installed: bool) -> None:
        super().__init__("pacemaker does not run on %s (%s)" % (platform.node(), reason))
        self.reason = reason
        self.installed = installed


class CibRefused(HubError):
    """crm_verify found errors that the wanted change would bring in; nothing was changed."""

    def __init__(self, errors: List[str]) -> None:
        super().__init__("crm_verify refuses the wanted cluster configuration, nothing was changed: "
                         + "; ".join(errors), errors=errors)


class CibRestarts(HubError):
    """The scheduler would interrupt a resource that must not be interrupted; nothing was changed."""

    def __init__(self, lines: List[str]) -> None:
        super().__init__("the wanted cluster configuration would make pacemaker interrupt what must go on, nothing was "
                         "changed: %s. Look yourself: crm_simulate --live-check; allow it for one run: "
                         "-e hub_ha_allow_restart=true (CIB_RESTARTS)" % "; ".join(lines), disrupts=lines)


class CibRestartsLater(HubError):
    """The scheduler would interrupt such a resource as soon as nothing keeps its hands off; nothing was changed."""

    def __init__(self, lines: Optional[List[str]], held: List[Dict[str, str]]) -> None:
        super().__init__(
            "pacemaker keeps its hands off (%s), and with the wanted cluster configuration it would interrupt what "
            "must go on as soon as that ends, so nothing was changed: %s. End it first, then run this again: %s "
            "(CIB_RESTARTS_LATER)"
            % (", ".join(item["what"] for item in held), "not known" if lines is None else "; ".join(lines),
               "; ".join(item["end"] for item in held)), disrupts_later=lines, holds=held)


class CibMoved(HubError):
    """The change did not go in within the allowed number of attempts."""


class NotSettled(HubError):
    """The cluster did not reach a stable state in time, or reached it with a wanted resource failed."""


class Cib:
    """One CIB, live (cib_file None) or in a file, and the tools that work on it.

    run: the runner. directory: a private directory for the tools' files.
    """

    def __init__(self, run: Runner, directory: str, cib_file: Optional[str] = None) -> None:
        self._run = run
        self._directory = directory
        self._env = {"CIB_shadow_dir": directory}
        if cib_file:
            self._env["CIB_file"] = cib_file
        self.cib_file = cib_file
        self.secrets: List[str] = []

    def _call(self, argv: List[str], **more: Any) -> Completed:
        return self._run(argv, env=dict(self._env), check=False, **more)

    def _error(self, completed: Completed, hint: Optional[str] = None) -> CommandError:
        clean = completed._replace(out=scrub(completed.out, self.secrets),
                                   err=scrub(completed.err, self.secrets))
        return CommandError(clean, hint)

    def _save(self, name: str, text: str) -> str:
        path = os.path.join(self._directory, name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def query(self) -> str:
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
        return str(done.out)

    def verify(self, text: str) -> Tuple[List[str], List[str]]:
        """crm_verify's verdict on a CIB: (errors, warnings), lists of text."""
        done = self._call(["crm_verify", "--xml-file", self._save("verify.xml", text), "-VV"])
        errors, warnings = classify_verify(done.out, done.err)
        if done.rc not in (0, CONFIG_ERROR) and not errors:
            raise self._error(done)
        if done.rc == 0:
            # The tool is content. What it prints then is about the state of the nodes, not about the configuration.
            return [], []
        return ([scrub(line, self.secrets) for line in errors],
                [scrub(line, self.secrets) for line in warnings])

    def simulate(self, text: str) -> Tuple[List[str], Optional[str]]:
        """What the cluster would do with this CIB: (lines, why there are none or None). Never fails."""
        try:
            done = self._call(["crm_simulate", "--xml-file", self._save("simulate.xml", text), "--run",
                               "--output-as=xml"])
        except (CommandMissing, CommandTimeout) as error:
            return [], error.message
        if done.rc != 0:
            return [], "crm_simulate ended with exit status %s: %s" % (
                done.rc, scrub((done.err or done.out).strip(), self.secrets))
        return summarise_simulation(done.out), None

    def make_patch(self, old: str, new: str) -> str:
        """The patch that leads from one CIB text to another, "" when there is no difference."""
        done = self._call(["crm_diff", "--no-version", "--original", self._save("old.xml", old),
                           "--new", self._save("new.xml", new)])
        if done.rc not in (0, 1):
            raise self._error(done)
        return str(done.out) if done.rc == 1 else ""

    def patch(self, patch: str) -> Optional[str]:
        """Apply a patch. Returns None, or why it was refused. Raises CommandError when trying again cannot help."""
        done = self._call(["cibadmin", "--patch", "--sync-call", "--xml-pipe"], stdin=patch)
        if done.rc == 0:
            return None
        if done.rc in INSUFFICIENT_PRIVILEGES:
            raise self._error(done, "run this as root or as a user of the group haclient")
        return scrub((done.err or done.out or "exit status %s" % done.rc).strip(), self.secrets)

    def starting(self) -> bool:
        """Does systemd say that pacemaker runs or is coming up? Then a refused connection is a matter of time."""
        try:
            done = self._call(["systemctl", "is-active", "pacemaker.service"], timeout=10)
        except (CommandMissing, CommandTimeout):
            return False
        return done.out.strip() in ("active", "activating", "reloading")


def converge(run: Runner, given: Mapping[str, Any], check_mode: bool = False, cib_file: Optional[str] = None,
             attempts: int = 5, wait: int = 0, directory: Optional[str] = None, on_disk: str = CIB_ON_DISK,
             clock: Clock = time.monotonic, pause: Pause = time.sleep, keep: Collection[str] = (),
             keep_later: Collection[str] = ()) -> Dict[str, Any]:
    """Bring the wanted objects into the CIB with one patch.

    run: runner. given: what is wanted, as normalise() takes it. check_mode: find out, change nothing. cib_file: work on
    this file instead of the live cluster. attempts: how often to begin anew when somebody else changes the CIB at the
    same time. wait: seconds until the cluster must be settled, 0 for not at all. directory: parent of the temporary
    directory. on_disk: the CIB of a stopped pacemaker. keep: ids of resources that the change must not interrupt.
    keep_later: ids of those that it must not interrupt when what keeps pacemaker's hands off ends. Returns the module's
    result as a dict. Raises ClusterAbsent, CibRefused, CibRestarts, CibRestartsLater, CibMoved, NotSettled,
    CommandError, HubError.
    """
    if attempts < 1 or wait < 0:
        raise HubError("attempts must be 1 or more, and wait 0 or more")
    wanted = normalise(given)
    begin = clock()
    private = tempfile.mkdtemp(prefix="cib-", dir=directory)
    try:
        result = _converge(Cib(run, private, cib_file), wanted, check_mode, attempts, given, on_disk, clock, pause,
                           keep, keep_later)
        result["elapsed"] = round(clock() - begin, 3)
        if wait and not check_mode and not cib_file:
            result["failures"] = settle(run, wanted, wait, private, clock, pause)
        return result
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _converge(cib: Cib, wanted: Wanted, check_mode: bool, attempts: int, given: Mapping[str, Any],
              on_disk: str, clock: Clock, pause: Pause, keep: Collection[str],
              keep_later: Collection[str]) -> Dict[str, Any]:
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
    result = _nothing(state)
    names = resource_ids(wanted)
    trouble = None
    for attempt in range(1, attempts + 1):
        current = parse(text)
        cib.secrets = secret_values(current, given)
        new, notes = edit(current, wanted)
        result["attempts"] = attempt
        if not differs(current, new):
            if result["diff"] is None:
                result.update(diff=diff(current, new, wanted), warnings=notes, holds=holds(current, names))
            return result
        new_text = unparse(new)
        warnings = notes + _accept(cib, text, new_text)
        simulation, silent = cib.simulate(new_text)
        if silent:
            warnings.append("no simulation of what the cluster will do: " + silent)
        if silent and keep:
            raise HubError("what pacemaker would do could not be asked, and %s must not be interrupted, so nothing was "
                           "changed: %s" % (", ".join(keep), silent))
        # What it would do anyhow is asked for only where there is something to compare.
        before = cib.simulate(text)[0] if disruptions(simulation, []) else []
        if disruptions(simulation, before, keep):
            raise CibRestarts(disruptions(simulation, before, keep))
        held = holds(new, names)
        later: Optional[List[str]] = _later(cib, current, new, names) if held else []
        if keep_later and (later is None or disruptions(later, [], keep_later)):
            raise CibRestartsLater(None if later is None else disruptions(later, [], keep_later), held)
        patch = cib.make_patch(text, new_text)
        outcome = {"changed": True, "patch": mask_patch(patch), "simulation": simulation,
                   "disrupts": disruptions(simulation, before), "disrupts_later": later, "holds": held,
                   "warnings": warnings, "diff": diff(current, new, wanted)}
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


def _later(cib: Cib, current: Element, new: Element, names: Collection[str]) -> Optional[List[str]]:
    """What the change would interrupt as soon as nothing keeps pacemaker's hands off: lines, None: not known."""
    (after, silent), (before, mute) = [cib.simulate(unparse(unheld(root, names))) for root in (new, current)]
    return None if silent or mute else disruptions(after, before)


def _first_query(cib: Cib, check_mode: bool, clock: Clock, pause: Pause) -> str:
    """Query; a live cluster that is just starting gets START_LIMIT seconds to answer."""
    deadline = clock() + START_LIMIT
    while True:
        try:
            return cib.query()
        except ClusterAbsent as error:
            if check_mode or not error.installed or clock() >= deadline or not cib.starting():
                raise
        pause(0.5)


def _predict(wanted: Wanted, on_disk: str) -> Dict[str, Any]:
    """Check mode without a running cluster: the change as the model sees it, from the CIB on disk if there is one."""
    state, text = "absent", EMPTY_CIB
    try:
        with open(on_disk, encoding="utf-8") as stream:
            text, state = stream.read(), "stopped"
    except OSError:
        pass
    current = parse(text)
    new, notes = edit(current, wanted)
    return dict(_nothing(state), changed=differs(current, new), warnings=notes, diff=diff(current, new, wanted))


def _nothing(state: str) -> Dict[str, Any]:
    """The module's result as long as nothing was found to be done. state: what the module works on ("running")."""
    return {"changed": False, "patch": "", "simulation": [], "disrupts": [], "disrupts_later": [], "holds": [],
            "warnings": [], "attempts": 0, "cluster": state, "diff": None}


def _accept(cib: Cib, current: str, new: str) -> List[str]:
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


def _echo(cib: Cib, wanted: Wanted, clock: Clock, pause: Pause) -> Tuple[str, bool]:
    """Read the CIB until it holds what is wanted. Returns (text, whether it does)."""
    deadline = clock() + (0 if cib.cib_file else ECHO_LIMIT)
    while True:
        text = cib.query()
        current = parse(text)
        try:
            there = not differs(current, edit(current, wanted)[0])
        except HubError:
            there = False
        if there or clock() >= deadline:
            return text, there
        pause(0.1)


def settle(run: Runner, wanted: Wanted, limit: int, directory: str, clock: Clock = time.monotonic,
           pause: Pause = time.sleep) -> List[str]:
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
        if quiet > 1 and status:
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


def _look(run: Runner, directory: str) -> Tuple[List[str], Optional[Dict[str, Any]]]:
    """One look at the live cluster: (what is still to be done, list of text; read_status() or None)."""
    mon = run(["crm_mon", "--one-shot", "--inactive", "--output-as=xml"], check=False)
    if mon.rc != 0:
        return ["crm_mon ended with exit status %s" % mon.rc], None
    status = read_status(mon.out)
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
        pending += pending_operations(parse(query.out),
                                      [node["name"] for node in status["nodes"] if node["online"]])
    else:
        pending.append("cibadmin ended with exit status %s: %s" % (query.rc, query.err.strip()))
    simulation = run(["crm_simulate", "--live-check", "--run", "--output-as=xml"], check=False,
                     env={"CIB_shadow_dir": directory})
    if simulation.rc != 0:
        pending.append("crm_simulate ended with exit status %s: %s" % (simulation.rc, simulation.err.strip()))
    # What is blocked will not happen by waiting.
    pending += [line for line in summarise_simulation(simulation.out) if "(blocked)" not in line]
    return list(dict.fromkeys(pending)), status


def _sentence(failure: Mapping[str, Any]) -> str:
    return "%s of %s on %s: %s%s" % (
        failure["operation"], failure["resource"], failure["node"], failure["exit_status"],
        " (%s)" % failure["exit_reason"] if failure["exit_reason"] else "")


def _verdict(status: Mapping[str, Any], owned: Collection[str]) -> Tuple[List[str], List[str]]:
    """(failed actions that do not matter for the wanted primitives, what keeps those from running), as text."""
    harmless: List[str] = []
    down: List[str] = []
    for failure in status["failures"]:
        found = status["resources"].get(failure["resource"])
        idle = found and not any(item["active"] for item in found["instances"])
        (down if failure["resource"] in owned and idle else harmless).append(_sentence(failure))
    for name in owned:
        found = status["resources"].get(name)
        if found and found["blocked"]:
            down.append("%s is blocked" % name)
    return harmless, down
