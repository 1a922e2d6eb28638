# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages on a system with dnf, through its command line: dnf's Python library is not there for every Python.

(On RHEL 8 it is there for Python 3.6 only, which Ansible's own module cannot use any more.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Collection, Dict, List, Sequence, Tuple

from ..core.run import Runner

LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")  # POSIX locks of a transaction under way
FORMAT = "%{name} %{version}-%{release}\n"
PATIENCE = 300  # seconds for a query: it may fetch the repositories' metadata first


def versions(text: str, names: Collection[str]) -> Dict[str, str]:
    """{name: version} out of lines "NAME VERSION"; of several the last (pure)."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in names:
            found[words[0]] = words[1]
    return found


def enabled(text: str) -> List[str]:
    """Ids of the repositories out of `dnf repolist` (pure)."""
    return [line.split()[0] for line in text.splitlines() if line.strip() and not re.match(r"repo id\s", line)]


def packages(run: Runner, names: Sequence[str], repository: str = "") -> Dict[str, Dict[str, str]]:
    """{package: {"installed", "candidate"}}, "" where there is none. repository: one to be taken for enabled, or "".

    Only for what is not installed are the package sources asked.
    """
    done = run(["rpm", "--query", "--queryformat", FORMAT] + list(names), check=False)
    installed = versions(done.out, names)
    missing = [name for name in names if name not in installed]
    offered: Dict[str, str] = {}
    if missing:
        extra = ["--enablerepo=" + repository] if repository else []
        done = run(["dnf", "--quiet"] + extra + ["repoquery", "--latest-limit=1", "--queryformat", FORMAT.strip()]
                   + missing, check=False, timeout=PATIENCE)
        offered = versions(done.out, missing)
    return {name: {"installed": installed.get(name, ""), "candidate": installed.get(name, offered.get(name, ""))}
            for name in names}


def repository_is_enabled(run: Runner, name: str) -> bool:
    """Whether dnf uses the repository. Raises HubError."""
    return name in enabled(run(["dnf", "--quiet", "repolist", "--enabled"], timeout=PATIENCE).out)


def install(run: Runner, names: Sequence[str]) -> None:
    """One transaction, without what the packages only recommend. No service is started by packages there."""
    run(["dnf", "--quiet", "--assumeyes", "--setopt=install_weak_deps=False", "install"] + list(names), timeout=1800)


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be. enabled: whether the repository was enabled. installed: [(package, version)]."""

    enabled: bool
    installed: List[Tuple[str, str]]


def ensure(run: Runner, names: Sequence[str], repository: str = "", enable: Sequence[str] = (),
           check: bool = False) -> Outcome:
    """The packages are installed, in whatever version; what is missing in one transaction. Raises HubError.

    repository: one that must be enabled for it, or "". enable: command and arguments that enable it. check: only tell.
    """
    state = packages(run, names, repository)
    missing = [name for name in names if not state[name]["installed"]]
    switch = bool(repository and missing) and not repository_is_enabled(run, repository)
    if switch and not check:
        run(list(enable), timeout=PATIENCE)
    if missing and not check:
        install(run, missing)
    return Outcome(switch, [(name, state[name]["candidate"]) for name in missing])
