# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages on a system with dnf, through its command line: dnf's Python library is not there for every Python.

(On RHEL 8 it is there for Python 3.6 only, which Ansible's own module cannot use any more.)
"""

from __future__ import annotations

import re

LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")  # POSIX locks of a transaction under way
FORMAT = "%{name} %{version}-%{release}\n"
PATIENCE = 300  # seconds for a query: it may fetch the repositories' metadata first


def versions(text, names):
    """{name: version} out of lines "NAME VERSION"; of several the last (pure)."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in names:
            found[words[0]] = words[1]
    return found


def enabled(text):
    """Ids of the repositories out of `dnf repolist` (pure)."""
    return [line.split()[0] for line in text.splitlines() if line.strip() and not re.match(r"repo id\s", line)]


def packages(run, names, repository=""):
    """{package: {"installed", "candidate"}}, "" where there is none. repository: one to be taken for enabled, or "".

    Only for what is not installed are the package sources asked.
    """
    done = run(["rpm", "--query", "--queryformat", FORMAT] + list(names), check=False)
    installed = versions(done.out, names)
    missing = [name for name in names if name not in installed]
    offered = {}
    if missing:
        extra = ["--enablerepo=" + repository] if repository else []
        done = run(["dnf", "--quiet"] + extra + ["repoquery", "--latest-limit=1", "--queryformat", FORMAT.strip()]
                   + missing, check=False, timeout=PATIENCE)
        offered = versions(done.out, missing)
    return dict((name, {"installed": installed.get(name, ""), "candidate": installed.get(name, offered.get(name, ""))})
                for name in names)


def repository_is_enabled(run, name):
    return name in enabled(run(["dnf", "--quiet", "repolist", "--enabled"], timeout=PATIENCE).out)


def install(run, names):
    """One transaction, without what the packages only recommend. No service is started by packages there."""
    run(["dnf", "--quiet", "--assumeyes", "--setopt=install_weak_deps=False", "install"] + list(names), timeout=1800)
