# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a writer's log says: acknowledged and failed writes, the longest gap, lost rows. Pure functions.

A log is lines of words: ``W NAME TIME`` (started), ``A SEQ TIME`` (acknowledged), ``F SEQ TIME REASON``
(failed or unknown), ``E TIME`` (ended by itself). TIME is seconds since the epoch, of one clock for
the whole machine.
"""

from __future__ import annotations

import time

NOTED_GAP = 0.25  # seconds; longer gaps are listed one by one


def parse(text):
    """A log as data: {"writer": str, "began": s, "ended": s or None, "acks": [(seq, s)], "failures": [(seq, s, why)]}.

    A last line that was cut off (the host lost its power) is left out. Unknown lines too.
    """
    data = {"writer": None, "began": None, "ended": None, "acks": [], "failures": []}
    for line in text.splitlines(keepends=True):
        words = line.split(None, 3)
        if not line.endswith("\n") or not words:
            continue
        try:
            if words[0] == "A":
                data["acks"].append((int(words[1]), float(words[2])))
            elif words[0] == "F":
                data["failures"].append((int(words[1]), float(words[2]), words[3].strip() if words[3:] else ""))
            elif words[0] == "W":
                data["writer"], data["began"] = words[1], float(words[2])
            elif words[0] == "E":
                data["ended"] = float(words[1])
        except (ValueError, IndexError):
            continue
    return data


def gaps(acks, ended=None, least=NOTED_GAP):
    """Gaps of *least* seconds or more without an acknowledged write: [(from, to, seconds)], longest first.

    acks: [(seq, time)].  ended: the time to which the writer tried (its end counts as a gap's end).
    """
    times = sorted(at for _seq, at in acks)
    if ended is not None and times:
        times.append(max(ended, times[-1]))
    found = [(a, b, b - a) for a, b in zip(times, times[1:]) if b - a >= least]
    return sorted(found, key=lambda gap: -gap[2])


def summary(log, rows):
    """All figures of one writer (dict).

    log: what parse() returned.  rows: the sequence numbers found in the database (iterable of int).
    lost counts acknowledged writes that the database does not have; unconfirmed counts rows that
    it does have though the writer got no answer.
    """
    # While the writer runs, rows arrive after its log was read: those are no news.
    tried = max([seq for seq, *_rest in log["acks"] + log["failures"]], default=0)
    present = [seq for seq in rows if log["ended"] is not None or seq <= tried + 1]
    known = set(present)
    acked = {seq for seq, _at in log["acks"]}
    lost = sorted(acked - known)
    times = [at for _seq, at in log["acks"]]
    last_try = max([at for _seq, at, *_why in log["failures"]] + times, default=None)
    ended = log["ended"] if log["ended"] is not None else last_try
    every = gaps(log["acks"], ended, least=0.0)
    seconds = (ended - log["began"]) if ended and log["began"] else 0.0
    reasons = {}
    for _seq, _at, why in log["failures"]:
        reasons[why] = reasons.get(why, 0) + 1
    return {
        "writer": log["writer"],
        "seconds": round(seconds, 3),
        "acknowledged": len(log["acks"]),
        "failed": len(log["failures"]),
        "failures": reasons,
        "longest_gap_s": round(every[0][2], 3) if every else None,
        "longest_gap_at": every[0][0] if every else None,
        "gaps": [{"at": at, "seconds": round(length, 3)} for at, _to, length in every if length >= NOTED_GAP][:20],
        "first_ack": min(times, default=None),
        "last_ack": max(times, default=None),
        "rows": len(present),
        "duplicates": len(present) - len(known),
        "lost": len(lost),
        "lost_seq": lost[:20],
        "unconfirmed": len(known - acked),
    }


def clock(at):
    """A time of the log as local wall clock with milliseconds."""
    return "never" if at is None else time.strftime("%H:%M:%S", time.localtime(at)) + ".%03d" % (at % 1 * 1000)


def text(figures):
    """The summary for a person."""
    lines = [
        "writer %s, %.1f s" % (figures["writer"], figures["seconds"]),
        "  acknowledged writes   %d" % figures["acknowledged"],
        "  failed attempts       %d" % figures["failed"],
        "  longest write gap     %s" % ("%.3f s (from %s)" % (figures["longest_gap_s"],
                                                              clock(figures["longest_gap_at"]))
                                        if figures["longest_gap_s"] is not None else "unknown"),
        "  rows in the table     %d (%d of them without an answer to the writer)" % (
            figures["rows"], figures["unconfirmed"]),
        "  acknowledged and lost %d%s" % (figures["lost"], "" if not figures["lost"] else ": " + ", ".join(
            map(str, figures["lost_seq"])) + (" ..." if figures["lost"] > 20 else "")),
    ]
    for gap in figures["gaps"][1:5]:
        lines.append("  further gap           %.3f s (from %s)" % (gap["seconds"], clock(gap["at"])))
    for why, count in sorted(figures["failures"].items(), key=lambda pair: -pair[1])[:5]:
        lines.append("  %5d x %s" % (count, why))
    return "\n".join(lines)
