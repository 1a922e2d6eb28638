# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in the way, or is to be known: a problem with a stable code, a severity, a host, words, and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping

ERROR = "error"  # nothing goes on before it is put right
WARNING = "warning"  # the operator should know it; it stops nothing


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    code: stable, UPPER_CASE, for programs and for search. host: inventory name, or "all". problem: what is wrong, with
    the value found. remedy: what to do, a command where there is one. severity: ERROR or WARNING.
    """

    code: str
    host: str
    problem: str
    remedy: str
    severity: str = ERROR

    def to_dict(self) -> Dict[str, str]:
        """{"code", "severity", "host", "problem", "remedy"}, as plays and templates read it."""
        return {"code": self.code, "severity": self.severity, "host": self.host, "problem": self.problem,
                "remedy": self.remedy}

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Problem:
        """What to_dict() made, also that of a version that knew no severity."""
        return cls(data["code"], data["host"], data["problem"], data["remedy"], data.get("severity", ERROR))

    def __str__(self) -> str:
        return "%s: %s -> %s (%s)" % (self.host, self.problem, self.remedy, self.code)


Finding = Problem  # what a check finds, of either severity


class Report:
    """Collects every problem, so that the operator sees all of them at once.

    failures, warnings: lists of what Problem.to_dict() returns, of either severity; a failure's code is "" where a check
    has none yet.
    """

    def __init__(self) -> None:
        self.failures: List[Dict[str, str]] = []
        self.warnings: List[Dict[str, str]] = []

    def fail(self, host: str, problem: str, remedy: str, code: str = "") -> None:
        """Note something that must be put right first."""
        self.add(Problem(code, host, problem, remedy))

    def add(self, problem: Problem) -> None:
        """Note what somebody else has found, by its severity."""
        (self.warnings if problem.severity == WARNING else self.failures).append(problem.to_dict())

    def warn(self, host: str, problem: str, remedy: str, code: str) -> None:
        """Note something that the operator should know."""
        self.add(Problem(code, host, problem, remedy, WARNING))

    def take(self, findings: Iterable[Finding]) -> None:
        """Note all that a check has found."""
        for problem in findings:
            self.add(problem)
