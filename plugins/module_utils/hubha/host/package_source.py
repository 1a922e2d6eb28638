# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries the sources of packages: the host's own repositories, and one package file. I/O through a runner."""

from __future__ import annotations

import os
import shutil
import tempfile
from urllib.parse import urlsplit, urlunsplit

from ..core.files import sha256
from ..core.run import HubError, which
from ..core.text import is_url, sha256_digest
from . import system

BLOCK = 1 << 20
# Lists of their own, so that the host's stay as they are; every source that fails counts.
APT = ("-o", "Dir::State::lists=%(folder)s/lists", "-o", "Dir::Cache=%(folder)s", "-o", "Dir::Cache::pkgcache=",
       "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any",
       "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15",
       "-o", "APT::Update::Post-Invoke=", "-o", "APT::Update::Post-Invoke-Success=")


def shown(source):
    """The source as it may be printed (pure): a URL without name, password and query."""
    if not is_url(source):
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def trouble(text):
    """The lines of apt's or dnf's output that say what is wrong, as one text (pure)."""
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line.startswith(("E:", "Err:", "Error:", "W: Failed"))] or lines
    return "; ".join(said[:4])[:600] or "no output"


def repository(run, names, extra=""):
    """({package: version that can be installed or ""}, problem or None) as the host's own repositories offer it now.

    extra: id of a repository of dnf's that is to be taken for enabled, or "". Nothing of the host's is changed. The
    first is None where there is neither apt nor dnf.
    """
    folder = tempfile.mkdtemp(prefix="hub_ha.sources.")
    try:
        if which("apt-get"):
            os.makedirs(folder + "/lists/partial")
            options = [word % {"folder": folder} for word in APT]
            done = run(["apt-get", "update", "-qq"] + options, check=False, timeout=300)
            failed = done.rc != 0 or "W: Failed to fetch" in done.err
            problem = "a package source cannot be used: %s" % trouble(done.err or done.out) if failed else None
            policy = run(["apt-cache", "policy"] + options + list(names)).out if names else ""
            return dict((name, state["candidate"]) for name, state in system.apt_policy(policy, names).items()), problem
        if which("dnf"):
            enabled = ["--enablerepo=" + extra] if extra else []
            done = run(["dnf", "--quiet", "--setopt=cachedir=" + folder] + enabled
                       + ["repoquery", "--latest-limit=1", "--queryformat=%{name} %{version}-%{release}\n"]
                       + list(names), check=False, timeout=300)
            found = dict(line.split() for line in done.out.splitlines() if len(line.split()) == 2)
            problem = "a package source cannot be used: %s" % trouble(done.err or done.out) if done.rc else None
            return dict((name, found.get(name, "")) for name in names), problem
        return None, None
    finally:
        shutil.rmtree(folder)


def describe(run, path):
    """{"name", "version", "architecture"} of a package file; raises HubError."""
    with open(path, "rb") as stream:
        magic = stream.read(8)
    if magic == b"!<arch>\n":
        argv = ["dpkg-deb", "--showformat=${Package}\n${Version}\n${Architecture}\n", "--show", path]
    elif magic[:4] == b"\xed\xab\xee\xdb":
        argv = ["rpm", "-qp", "--nosignature", "--queryformat=%{NAME}\n%{VERSION}-%{RELEASE}\n%{ARCH}\n", path]
    else:
        raise HubError("it is neither a Debian nor an RPM package")
    words = run(argv).out.split("\n")
    return {"name": words[0], "version": words[1], "architecture": words[2]}


def fetch(opened, path):
    """Write a stream (anything with read(n)) to *path*."""
    with open(path, "wb") as target:
        for block in iter(lambda: opened.read(BLOCK), b""):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def checked(run, path, source, checksum):
    """What describe() says, with "sha256"; raises HubError when the file is not what the operator said."""
    found = sha256(path)
    wanted = sha256_digest(checksum) if checksum else found
    if found != wanted:
        raise HubError("%s has the checksum sha256:%s, and not the one that was given" % (source, found))
    try:
        return dict(describe(run, path), sha256=found)
    except HubError as error:
        raise HubError("%s cannot be used: %s" % (source, error.message))
