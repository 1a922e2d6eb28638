# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running commands, telling progress, and the error that a person reads."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

LIVE_SIGN_EVERY = 10.0  # seconds between two signs of life of one long stage


class LabError(Exception):
    """Something is wrong; the text says what, and what to do about it."""


def tail(text, lines=25):
    """The last *lines* lines of *text*, for an error message."""
    return "\n".join(text.strip().splitlines()[-lines:])


def run(argv, stdin=None, env=None, check=True, timeout=120, hint=None, cwd=None, log=None):
    """Run *argv* (list of str) and return the ``subprocess.CompletedProcess`` with text output.

    stdin: text for the command's standard input (None: nothing).  env: variables added to
    ours.  timeout: seconds.  hint: what the person should do when it fails.  log: a file that
    gets standard output and standard error instead of memory.
    Raises LabError when the command is missing, takes too long, or (check) fails.
    """
    argv = [str(word) for word in argv]
    environment = dict(os.environ, **env) if env else None
    shown = shlex.join(argv if len(argv) < 14 else argv[:12] + ["..."])
    out = open(log, "w", encoding="utf-8") if log else subprocess.PIPE
    try:
        done = subprocess.run(
            argv, input=stdin if stdin is not None else "", stdout=out,
            stderr=subprocess.STDOUT if log else subprocess.PIPE, env=environment,
            timeout=timeout, cwd=cwd, text=True, errors="replace", check=False)
    except FileNotFoundError as exc:
        raise LabError("The command %s is not on this machine. Run `python3 -m lab prerequisites` as root."
                       % argv[0]) from exc
    except subprocess.TimeoutExpired as exc:
        raise LabError("This took longer than %d s and was stopped: %s%s"
                       % (timeout, shown, "\nIts output: %s" % log if log else "")) from exc
    finally:
        if log:
            out.close()
    if check and done.returncode != 0:
        if log:
            with open(log, encoding="utf-8", errors="replace") as handle:
                said = tail(handle.read())
            said += "\n(the whole output: %s)" % log
        else:
            said = tail((done.stderr or "") + ("\n" + done.stdout if done.stdout else "")) or "no output"
        raise LabError("This failed with exit status %d: %s\n%s%s"
                       % (done.returncode, shown, said, "\n" + hint if hint else ""))
    return done


def colour(text, code, stream=None):
    """*text* in an ANSI colour when *stream* is a terminal that wants colours."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return "\033[%sm%s\033[0m" % (code, text)


_said = threading.Lock()


def say(text, stream=None):
    """One whole line on standard error (results go to standard output)."""
    stream = stream or sys.stderr
    with _said:
        stream.write(text + "\n")
        stream.flush()


def last_line(path):
    """The last line of a log that says something, cut to a line's length; "" when there is none."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:90] if lines else ""


@contextmanager
def stage(name, log=None):
    """Announce a stage, give a sign of life during long ones, tell the seconds it took.

    log: the file (Path) that the stage writes: its last line is part of the sign of life.
    """
    began = time.monotonic()
    over = threading.Event()

    def alive():
        while not over.wait(LIVE_SIGN_EVERY):
            said = last_line(log) if log else ""
            say("     ... %s, %d s%s" % (name, time.monotonic() - began, ": " + said if said else ""))

    say("%s %s" % (colour("lab:", "36", sys.stderr), name))
    threading.Thread(target=alive, daemon=True).start()
    try:
        yield
    except BaseException:
        say("%s %s, after %.1f s" % (colour("lab: FAILED:", "31", sys.stderr), name, time.monotonic() - began))
        raise
    else:
        say("%s %s: %.1f s" % (colour("lab: done:", "32", sys.stderr), name, time.monotonic() - began))
    finally:
        over.set()


def wait_for(what, probe, seconds, every=0.1, hint=None):
    """Poll *probe* until it returns something true, and return that.

    seconds: the deadline.  Raises LabError naming *what* when the deadline passes; the last
    exception of the probe (OSError, LabError) is part of the text.
    """
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
        except (OSError, LabError) as exc:
            last = exc
        if time.monotonic() >= deadline:
            raise LabError("Waited %d s in vain for: %s.%s%s" % (
                seconds, what, " Last answer: %s" % last if last else "", " " + hint if hint else ""))
        time.sleep(every)
