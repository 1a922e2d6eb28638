# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several questions at once, with one deadline for all of them: whoever does not answer is not waited for."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..core.run import CommandError, CommandMissing, CommandTimeout, Completed, HubError, local_runner, which
from ..health.seen import Part

MARGIN = 0.1   # seconds that a program which is ended at the deadline has to be gone
KILLED = (-9, 137)  # how `timeout` ends when it had to kill: by the same signal


class Runner:
    """A runner (see core/run.py) of which no program goes on behind a common deadline, nor anything it has started.

    `timeout` ends them, also when this process does not live to see it: runuser and psql would go on without it.
    limit: seconds from now on.
    """

    def __init__(self, limit: float, run: Callable[..., Completed] = local_runner,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self.clock, self.deadline = run, clock, clock() + limit

    def left(self) -> float:
        """Seconds until the deadline, never less than 0."""
        return max(0.0, self.deadline - self.clock())

    def __call__(self, argv: List[str], stdin: Optional[str] = None, env: Optional[Mapping[str, str]] = None,
                 timeout: Optional[float] = None, check: bool = True) -> Completed:
        """As local_runner; the shorter one of *timeout* and what is left counts."""
        limit = self.left() if timeout is None else min(timeout, self.left())
        if limit < 0.01:  # "timeout 0" would be none
            raise CommandTimeout(argv, 0)
        if os.sep not in argv[0] and which(argv[0]) is None:
            raise CommandMissing(argv[0])
        try:
            done = self.run(["timeout", "--signal=KILL", "%.3f" % limit] + list(argv), stdin=stdin, env=env,
                            timeout=limit + MARGIN, check=False)
        except CommandTimeout as error:
            raise CommandTimeout(argv, limit) from error
        if done.rc in KILLED:
            raise CommandTimeout(argv, round(limit, 1))
        done = Completed(list(argv), done.rc, done.out, done.err)
        if check and done.rc != 0:
            raise CommandError(done)
        return done


class Ahead:
    """A runner that has begun with some programs when it is made; who then runs one of them waits for that.

    commands: the programs' words; they run without input. Anything else goes to *run* as it comes.
    """

    def __init__(self, run: Callable[..., Completed], commands: Sequence[Sequence[str]]) -> None:
        self.run = run
        self.begun: Dict[Tuple[str, ...], Begun] = {tuple(argv): Begun(run, list(argv)) for argv in commands}

    def __call__(self, argv: List[str], **more: Any) -> Completed:
        """As the runner; check is False for what has begun before."""
        begun = self.begun.pop(tuple(argv), None)
        return self.run(argv, **more) if begun is None else begun.result()


class Begun:
    """A program that runs in a thread of its own."""

    def __init__(self, run: Callable[..., Completed], argv: List[str]) -> None:
        self.run, self.argv = run, argv
        self.done: Optional[Completed] = None
        self.error: Optional[HubError] = None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        """The thread."""
        try:
            self.done = self.run(self.argv, check=False)
        except HubError as error:
            self.error = error

    def result(self) -> Completed:
        """Wait; raises what the runner has raised."""
        self.thread.join()
        if self.error is not None:
            raise self.error
        if self.done is None:
            raise HubError("%s came to no end" % self.argv[0])
        return self.done


class Asked:
    """One question, in a thread of its own that nobody waits for in the end."""

    def __init__(self, question: Callable[[], Any], clock: Callable[[], float]) -> None:
        self.question, self.clock = question, clock
        self.value: Any = None
        self.why = ""
        self.answered: Optional[float] = None
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self) -> None:
        """The thread. An answer of None is one too; an error is told as it is."""
        try:
            self.value = self.question()
        except HubError as error:
            self.why = " ".join(error.message.split())
        except Exception as error:  # whatever a program prints that nobody expects: the other answers still count
            self.why = "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
        self.answered = self.clock()


def ask_all(questions: Mapping[str, Callable[[], Any]], limit: float,
            clock: Callable[[], float] = time.monotonic) -> Dict[str, Part]:
    """{name: what came of the question} within *limit* seconds, or the time that the last answer took."""
    began = clock()
    asked = {name: Asked(question, clock) for name, question in questions.items()}
    for name, item in asked.items():
        try:
            item.thread.start()
        except RuntimeError as error:
            item.why, item.answered = "no thread can be started: %s" % error, clock()
    for item in asked.values():
        if item.thread.ident is not None:
            item.thread.join(max(0.0, began + limit - clock()))
    now, found = clock(), {}
    for name, item in asked.items():
        if item.answered is None:
            found[name] = Part(why="no answer within %.1f s" % limit)
        else:
            found[name] = Part(item.value, item.why, None if item.why else max(0.0, now - item.answered))
    return found
