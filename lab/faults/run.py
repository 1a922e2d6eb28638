# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python3 -m lab faults`: every row on one living pair, each with its audit; the exit status is the verdict."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import List, Optional

from lab import paths, probe
from lab.faults import audit, pair, table
from lab.faults.watch import Watch
from lab.shell import LabError, colour, say

LOGS = paths.ROOT / ".cache" / "test" / "faults"
BEFORE = 1.5        # seconds of peace before the fault
CALM = 4.0          # seconds for which the end must have held
FRESH = 1.0         # seconds since the newest acknowledged write of a pair that serves


def settle(row: table.Row, want: table.Expect, watch: Watch, last: float, token: float, before: str, slack: float):
    """Wait until the end that is wanted has held for a while, or the deadline has passed: (state, seconds or None).

    last: when the last step was done. A fault that nobody has noticed yet is not over: so long is waited at least.
    """
    least = 0.0 if row.steps[-1].do in ("play", "see") else 1.5 * token + 4.0
    deadline = last + max(table.seconds(want.deadline, token) + slack, least) + CALM
    since: Optional[float] = None
    while True:
        found = pair.now(watch)
        at = time.time()
        acks = probe.figures_so_far()["acks"]
        right = (found.name in want.ends and bool(acks) and at - acks[-1][1] < FRESH
                 and (want.left is None or len(found.left) <= want.left)
                 and (want.role == "any" or (found.active == before) == (want.role == "same")))
        since = (since or at) if right else None
        if since and at - since >= CALM and at - last >= least:
            return found, max(0.0, since - last)
        if at > deadline:
            return found, since and max(0.0, since - last)
        time.sleep(1.0)


def one(row: table.Row, watch: Watch, token: float, folder: Path, slack: float) -> audit.Result:
    """Do one row to a whole pair and audit it."""
    want = table.expected(row, token)
    before = pair.wait_for_state(watch, ("whole",), 30)
    if before.name != "whole":
        raise LabError("The pair is not whole before the row: %s, %s" % (before.name, before.why))
    (passive,) = [name for name in pair.HUBS if name != before.active]
    hands = pair.Hands({"active": before.active, "passive": passive}, watch)
    why = pair.needs(row)
    if why:
        raise LabError(why)
    if any(step.do == "fill" for step in row.steps):
        pair.small_disk(before.active, True)
        # A standby that has lost its primary looks for it every five seconds, and may not be promoted until then.
        before = pair.wait_for_state(watch, ("whole",), 60, held=8.0)
    marks = pair.marks()
    open_writer = "open-%d" % time.time()
    # Where no write may fail, one that is slow for the machine's load is none that failed: the gap judges it.
    writer = probe.start(deadline=0.5 if want.failed is None else table.UNNOTICED + slack)
    try:
        watch.tell("open", before.active, open_writer)
        time.sleep(BEFORE)
        ran = pair.servers()
        began = time.time()
        mended, last, start = None, began, began
        for step in row.steps:
            time.sleep(max(0.0, start + step.at - time.time()))
            hands.do(step)
            last = time.time()
            if step.do in table.WAITING:
                start = last - step.at
            if step.do in table.MENDING:
                mended = last
        end, settled = settle(row, want, watch, last, token, before.active, slack)
        ended, load, run_on = time.time(), os.getloadavg()[0], pair.servers()
    finally:
        probe.stop()
        hands.let_go()
    later = pair.marks()
    proved = pair.proved(folder / "prove.log")
    after = pair.now(watch)
    newest = watch.newest()  # by now a standby has replayed all that was written
    rows = dict((name, pair.rows_of(name, writer, newest.get(name))) for name in pair.HUBS)
    open_rows = dict((name, pair.rows_of(name, open_writer, newest.get(name))) for name in pair.HUBS
                     if newest.get(name) and newest[name].state in ("primary", "standby"))
    shutil.copy(probe.LOG, folder / "writer.log")
    seen = audit.Seen(
        began=began, ended=ended, mended=mended, last=last, watched=watch.read(), writer=probe.figures_so_far(),
        frozen=watch.spans(), rows=rows, open_rows=open_rows, before=before.active, end=end, settled=settled,
        proved=proved, after=after, changed=hands.changed, load=load,
        marks=dict((name, (marks[name], later[name])) for name in pair.HUBS), missed=tuple(hands.missed),
        plays=tuple(hands.plays), facts=tuple(hands.facts),
        servers=dict((name, (ran[name], run_on[name])) for name in pair.HUBS))
    return audit.audit(row, seen, token, slack)


def number(value, form="%.1f") -> str:
    """A figure for the table."""
    return "-" if value is None else form % value


def line(result: audit.Result) -> str:
    """One row of the table."""
    lost = "/".join(number(result.lost.get(name), "%d") for name in pair.HUBS)
    return "%-30s %5s %5s %7s %6s %9s %5s  %-9s %5s  %-5s %4s" % (
        result.name, number(result.gap), number(result.back), number(result.overlap), number(result.dead), lost,
        number(result.open_lost.get(result.active), "%d"),
        result.state, number(result.settled), {True: "green", False: "red", None: "-"}[result.proved],
        number(result.load, "%.0f"))


HEAD = "%-30s %5s %5s %7s %6s %9s %5s  %-9s %5s  %-5s %4s" % (
    "row", "gap", "back", "overlap", "dead", "lost 1/2", "open", "end", "after", "prove", "load")


def show(results: List[audit.Result], errors: List[str]) -> None:
    """The table of all rows, with what is wrong."""
    print("\n" + colour(HEAD, "1"))
    for result in results:
        print("%s %s" % (line(result), colour("green", "32") if result.green else colour("RED", "1;31")))
        for finding in result.findings:
            print("    %s" % colour(finding, "31"))
    for error in errors:
        print(colour(error, "1;31"))
    red = sum(1 for result in results if not result.green) + len(errors)
    print("%d rows, %s (seconds; lost: acknowledged writes of the outside writer that hub1/hub2 lacks; open: those of "
          "the session that was open on the active hub, that the serving one lacks)" % (
              len(results) + len(errors), colour("%d red" % red, "1;31") if red else colour("all green", "1;32")))


def as_data(result: audit.Result) -> dict:
    """A result for JSON."""
    return dict(vars(result), green=result.green, lost=dict(result.lost), open_lost=dict(result.open_lost))


def run_rows(rows: List[table.Row], seed: int, json_file: Optional[str] = None, stop: bool = False,
             slack: float = 0.0) -> int:
    """All rows one after the other; returns the exit status. slack: see audit.audit."""
    results: List[audit.Result] = []
    errors: List[str] = []
    token = pair.token("hub1")
    say("lab: %d rows, seed %d, token %.1f s; the order is the seed's (--seed %d repeats it)" % (
        len(rows), seed, token, seed))
    LOGS.mkdir(parents=True, exist_ok=True)
    ordered = table.order(rows, seed)
    for index, row in enumerate(ordered, 1):
        folder = LOGS / row.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        watch = Watch(folder / "watch.log")
        rebuild, result = row.breaks and row is not ordered[-1], None
        began = time.time()
        say("%s %d/%d %s" % (colour("lab:", "36"), index, len(rows), row.name))
        try:
            for name in pair.HUBS:
                watch.tell("hub", name, pair.first_process(name))
            watch.ready(pair.HUBS)
            try:
                result = one(row, watch, token, folder, slack)
                results.append(result)
                data = as_data(result)
                (folder / "result.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
                say("     %s %s" % (line(result), colour("green", "32") if result.green else colour("RED", "1;31")))
                for finding in result.findings:
                    say("       %s" % colour(finding, "31"))
            except LabError as exc:
                errors.append("%s: %s" % (row.name, exc))
                say("     %s" % colour(errors[-1], "1;31"))
            if result is None or not result.green:
                pair.keep_logs(folder, began)
                say("     logs: %s" % folder.relative_to(paths.ROOT))
                if stop:
                    break
            if (result is None or not result.green) and any(step.do == "play" for step in row.steps):
                pair.settings_back(folder / "back.log")
            if not rebuild:
                say("     %s, %.0f s" % (pair.Healer(watch).heal(), time.time() - began))
        except LabError as exc:
            say("     %s" % colour("the pair cannot be made whole again and is built anew: %s" % exc, "31"))
            pair.keep_logs(folder, began)
            rebuild = True
        finally:
            watch.close()
            if result is not None and result.green:
                shutil.rmtree(folder, ignore_errors=True)
            if json_file:  # after each row: a run that is cut off has measured what it has
                write_json(json_file, seed, token, results, errors, [row.name for row in ordered[index:]])
        if rebuild:
            pair.build()
    left_out = [row.name for row in ordered[index:]]
    show(results, errors)
    if left_out:
        print(colour("not run: %s" % ", ".join(left_out), "1;31"))
    return 1 if errors or left_out or any(not one.green for one in results) else 0


def write_json(path: str, seed: int, token: float, results: List[audit.Result], errors: List[str],
               left_out: List[str]) -> None:
    """All figures so far. left_out: names of the rows that were not run."""
    data = {"seed": seed, "token": token, "rows": [as_data(one) for one in results], "errors": errors,
            "left_out": left_out}
    Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def heal() -> int:
    """The pair is made whole; a forked hub gets a new copy. Returns the exit status; LabError when it cannot be."""
    LOGS.mkdir(parents=True, exist_ok=True)
    watch = Watch(LOGS / "heal.log")
    try:
        for name in pair.HUBS:
            watch.tell("hub", name, pair.first_process(name))
        watch.ready(pair.HUBS)
        say("     %s" % pair.Healer(watch).heal())
    finally:
        watch.close()
    return 0


def command(options) -> int:
    """``lab faults``."""
    rows = table.select(options.rows)
    if options.list:
        for row in rows:
            print("%-30s %s%s" % (row.name, " ".join("%g:%s:%s%s" % (
                step.at, step.do, step.hub, ":" + "+".join(step.what) if step.what else "") for step in row.steps),
                "  (guard)" if row.guard else ""))
        return 0
    if probe.running():
        probe.stop()  # of a run that was cut off
    if options.build:
        pair.build()
    pair.states()
    if options.heal:
        return heal()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10000)
    return run_rows(rows, seed, options.json, options.stop, options.slack)
