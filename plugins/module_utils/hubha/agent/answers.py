# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `hub-ha status --json` of each hub says, put together on the controller. Pure functions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional

from ..core.problem import Problem
from ..plan.checks.inventory import unread
from . import status


@dataclass(frozen=True)
class Report:
    """text: the pair for people. verdict: one line, or several, of what is wrong. healthy: whether each hub says so."""

    healthy: bool
    text: str
    verdict: str

    def to_dict(self) -> Dict[str, Any]:
        """As plays read it."""
        return asdict(self)


def answer_of(told: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """The answer in a result of module command; None where there is none."""
    try:
        found = json.loads(told.get("stdout") or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) and "problems" in found else None


def silence(host: str, told: Mapping[str, Any]) -> str:
    """Why there is no answer in a result of module command on that host, with the host."""
    if told.get("timedout"):
        return "%s: does not answer in time" % host
    if told.get("rc") in (0, 3) and str(told.get("stdout") or "").startswith("{"):
        return "%s: its hub-ha is of before; run playbooks/upgrade-to-ha.yml" % host
    if "cmd" not in told and "stdout" not in told:  # nothing was run there
        return str(unread(host, told))
    heard = " ".join(str(told.get("stderr") or told.get("msg") or told.get("stdout") or "no reason given").split())
    return "%s: hub-ha says nothing of the pair: %s" % (host, heard)


def problem_text(item: Mapping[str, str]) -> str:
    """A problem (as dict) in one line."""
    return str(Problem.from_dict(item))


def sees_cluster(answer: Mapping[str, Any]) -> bool:
    """Whether that hub's pacemaker said something of the cluster."""
    return not any(item["code"] in ("CLUSTER_DOWN", "CLUSTER_UNKNOWN") for item in answer["problems"])


def text_of(answer: Mapping[str, Any]) -> str:
    """The answer for people; a hub-ha of another version may leave out what is shown here."""
    try:
        return status.text(answer)
    except (KeyError, TypeError, AttributeError):
        return "its hub-ha is of another version: run playbooks/upgrade-to-ha.yml"


def together(told: Mapping[str, Mapping[str, Any]]) -> Report:
    """The pair as the first hub sees it that knows one, what the others say beside that, and who says nothing.

    told: {host: result of module command}, of all hubs that were asked. Of a hub that does not answer it is not known
    that it is healthy.
    """
    answers = {host: answer for host, answer in ((host, answer_of(item)) for host, item in told.items()) if answer}
    lines: List[str] = []
    silent = [silence(host, item) for host, item in told.items() if host not in answers]
    # A hub without a pair file has no picture, and its problems come with the others'.
    first = max(answers, default=None, key=lambda host: (bool(answers[host].get("picture")), sees_cluster(answers[host])))
    known: List[Any] = []
    if first is not None:
        lines += ["as %s sees it:" % first, "", text_of(answers[first])]
        known = [(item["code"], item["host"]) for item in answers[first]["problems"]]
    more: List[str] = []
    for host, answer in answers.items():
        more += ["%s says: %s" % (host, problem_text(item)) for item in answer["problems"]
                 if host != first and (item["code"], item["host"]) not in known]
        if not answer.get("running"):
            more.append("%s: the guard does not run there" % host)
    lines += ["", *more] * bool(more) + ["", *silent] * bool(silent)
    if not answers:
        lines.append("No hub answers.")
    wrong = [problem_text(item) for item in (answers[first]["problems"] if first is not None else [])] + more + silent
    healthy = bool(answers) and not wrong and all(answer.get("healthy") is True for answer in answers.values())
    verdict = "\n".join(wrong) or ("the pair is healthy" if healthy else "no hub answers")
    return Report(healthy, "\n".join(lines).strip("\n"), verdict)
