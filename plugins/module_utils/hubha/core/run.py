# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How every loader of this collection talks to the host: one injected callable.

A *runner* is a callable ``run(argv, stdin=None, env=None, timeout=None, check=True)``
that returns a :class:`Completed`. Loaders take it as their first argument, so tests give
them a fake one and modules give them :func:`local_runner`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence


class Completed(NamedTuple):
    """Result of one command."""

    argv: List[str]
    rc: int
    out: str
    err: str


Runner = Callable[..., Completed]

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class HubError(Exception):
    """An error whose text is meant for the operator: what is wrong and what to do."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class CommandError(HubError):
    """A command ended with an unexpected exit status.

    ``details`` carries ``cmd`` (list), ``rc`` (int), ``stdout`` and ``stderr`` (str).
    """

    def __init__(self, completed: Completed, hint: Optional[str] = None) -> None:
        text = (completed.err or completed.out or "no output").strip()
        message = "%s failed with exit status %s: %s" % (
            os.path.basename(completed.argv[0]), completed.rc, text)
        if hint:
            message += " -- " + hint
        super().__init__(message, cmd=list(completed.argv), rc=completed.rc,
                         stdout=completed.out, stderr=completed.err)
        self.completed = completed


class CommandMissing(HubError):
    """The program is not installed on this host."""

    def __init__(self, program: str) -> None:
        super().__init__("%s is not installed on this host" % program, cmd=[program])
        self.program = program


class CommandTimeout(HubError):
    """The command did not end within its time limit (seconds)."""

    def __init__(self, argv: Sequence[str], timeout: Optional[float]) -> None:
        super().__init__("%s did not end within %s s" % (" ".join(argv), timeout), cmd=list(argv))


def which(program: str) -> Optional[str]:
    """Absolute path of *program* or None; looks into the sbin directories too."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + SBIN
    return shutil.which(program, path=path)


def local_runner(argv: List[str], stdin: Optional[str] = None, env: Optional[Mapping[str, str]] = None,
                 timeout: Optional[float] = 60, check: bool = True) -> Completed:
    """Run *argv* (list of str) on this host, never through a shell.

    stdin: text given to the command, or None. env: additions to the environment.
    timeout: seconds. check: raise CommandError when the exit status is not 0.
    Raises CommandMissing, CommandTimeout, CommandError.
    """
    full = which(argv[0]) if os.sep not in argv[0] else argv[0]
    if full is None or not os.path.exists(full):
        raise CommandMissing(argv[0])
    environment = dict(os.environ, LC_ALL="C.UTF-8", LANGUAGE="C")
    environment["PATH"] = environment.get("PATH", os.defpath) + os.pathsep + SBIN
    environment.update(env or {})
    try:
        done = subprocess.run([full] + list(argv[1:]), input=stdin, env=environment, cwd="/",
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, check=False, encoding="utf-8", errors="replace")
    except subprocess.TimeoutExpired:
        raise CommandTimeout(argv, timeout)
    result = Completed(list(argv), done.returncode, done.stdout, done.stderr)
    if check and done.returncode != 0:
        raise CommandError(result)
    return result


def fail(module: Any, error: HubError) -> None:
    """End *module* with the operator's text of a HubError and its details."""
    details = {key: value for key, value in error.details.items() if key not in ("msg", "failed", "changed")}
    module.fail_json(msg=error.message, **details)
