# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in the way: a problem with a stable code, a host, words, and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Union


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    code: stable, UPPER_CASE, for programs and for search. host: inventory name, or "all". problem: what is wrong, with
    the value found. remedy: what to do, a command where there is one.
    """

    code: str
    host: str
    problem: str
    remedy: str

    def to_dict(self) -> Dict[str, str]:
        """{"code", "host", "problem", "remedy"}, as plays and templates read it."""
        return {"code": self.code, "host": self.host, "problem": self.problem, "remedy": self.remedy}

    def __str__(self) -> str:
        return "%s: %s -> %s (%s)" % (self.host, self.problem, self.remedy, self.code)


@dataclass(frozen=True)
class Note:
    """Something that the operator should know, and that stops nothing."""

    host: str
    text: str


Finding = Union[Problem, Note]


class Report:
    """Collects every problem, so that the operator sees all of them at once.

    failures: list of {"host", "problem", "remedy", "code"}; code is "" where a check has none yet.
    warnings: list of {"host", "problem"}.
    """

    def __init__(self) -> None:
        self.failures: List[Dict[str, str]] = []
        self.warnings: List[Dict[str, str]] = []

    def fail(self, host: str, problem: str, remedy: str, code: str = "") -> None:
        """Note something that must be put right first."""
        self.failures.append(Problem(code, host, problem, remedy).to_dict())

    def add(self, problem: Problem) -> None:
        """Note a problem that somebody else has found."""
        self.failures.append(problem.to_dict())

    def warn(self, host: str, text: str) -> None:
        """Note something that the operator should know."""
        self.warnings.append({"host": host, "problem": text})

    def take(self, findings: Iterable[Finding]) -> None:
        """Note all that a check has found."""
        for item in findings:
            if isinstance(item, Note):
                self.warn(item.host, item.text)
            else:
                self.add(item)
