# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries the sources of packages: the host's own repositories, and one package file, which can be kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import IO, Callable, ContextManager, Dict, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit, urlunsplit

from ..core.files import sha256
from ..core.run import HubError, Runner, which
from ..core.text import is_url, sha256_digest
from . import system

BLOCK = 1 << 20
Opener = Callable[[str], ContextManager[IO[bytes]]]  # opens a URL; raises OSError or ValueError
# Lists of their own, so that the host's stay as they are; every source that fails counts.
APT = ("-o", "Dir::State::lists=%(folder)s/lists", "-o", "Dir::Cache=%(folder)s", "-o", "Dir::Cache::pkgcache=",
       "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any",
       "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15",
       "-o", "APT::Update::Post-Invoke=", "-o", "APT::Update::Post-Invoke-Success=")


def shown(source: str) -> str:
    """The source as it may be printed (pure): a URL without name, password and query."""
    if not is_url(source):
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def trouble(text: str) -> str:
    """The lines of apt's or dnf's output that say what is wrong, as one text (pure)."""
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line.startswith(("E:", "Err:", "Error:", "W: Failed"))] or lines
    return "; ".join(said[:4])[:600] or "no output"


def repository(run: Runner, names: Sequence[str],
               extra: str = "") -> Tuple[Optional[Dict[str, str]], Optional[str]]:
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
            return {name: state["candidate"] for name, state in system.apt_policy(policy, names).items()}, problem
        if which("dnf"):
            enabled = ["--enablerepo=" + extra] if extra else []
            done = run(["dnf", "--quiet", "--setopt=cachedir=" + folder] + enabled
                       + ["repoquery", "--latest-limit=1", "--queryformat=%{name} %{version}-%{release}\n"]
                       + list(names), check=False, timeout=300)
            words = [line.split() for line in done.out.splitlines()]
            found = {pair[0]: pair[1] for pair in words if len(pair) == 2}
            problem = "a package source cannot be used: %s" % trouble(done.err or done.out) if done.rc else None
            return {name: found.get(name, "") for name in names}, problem
        return None, None
    finally:
        shutil.rmtree(folder)


def describe(run: Runner, path: str) -> Dict[str, str]:
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


def fetch(opened: IO[bytes], path: str) -> None:
    """Write a stream (anything with read(n)) to *path*."""
    with open(path, "wb") as target:
        for block in iter(lambda: opened.read(BLOCK), b""):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def checked(run: Runner, path: str, source: str, checksum: str) -> Dict[str, str]:
    """What describe() says, with "sha256"; raises HubError when the file is not what the operator said."""
    found = sha256(path)
    wanted = sha256_digest(checksum) if checksum else found
    if found != wanted:
        raise HubError("%s has the checksum sha256:%s, and not the one that was given" % (source, found))
    try:
        return dict(describe(run, path), sha256=found)
    except HubError as error:
        raise HubError("%s cannot be used: %s" % (source, error.message))


@dataclass(frozen=True)
class PackageFile:
    """Where a package file comes from. source: URL or path. checksum: SHA-256 that it must have, "" for any. name: what
    it is called in messages, None is the source itself without its secrets."""

    source: str
    checksum: str = ""
    name: Optional[str] = None


@dataclass(frozen=True)
class Kept:
    """A package file in its place, or as it would be: its path, and what describe() says of it, with "sha256"."""

    changed: bool
    path: str
    file: Dict[str, str]


@dataclass(frozen=True)
class Offer:
    """What the sources offer. packages: see repository(). file: see Kept, None without one. problems: what is wrong."""

    packages: Optional[Dict[str, str]]
    file: Optional[Dict[str, str]] = None
    problems: List[str] = field(default_factory=list)


def bring(opener: Opener, source: str, path: str) -> None:
    """Put the file of a URL or path at *path*. Raises HubError."""
    try:
        with opener(source) if is_url(source) else open(source, "rb") as stream:
            fetch(stream, path)
    except (OSError, ValueError) as error:
        raise HubError("%s cannot be had: %s" % (shown(source), error)) from error


def keep(run: Runner, opener: Opener, wanted: PackageFile, directory: str, check: bool = False) -> Kept:
    """The package file is in *directory*, whole and the right one. Raises HubError, OSError.

    check: it is fetched, checked, and removed again.
    """
    name = os.path.basename(wanted.source.split("?", 1)[0]) or "package"
    path = os.path.join(directory, name)
    if wanted.checksum and os.path.isfile(path):
        try:
            return Kept(False, path, checked(run, path, path, wanted.checksum))
        except HubError:
            pass  # another file of that name, or a part of it: it is fetched again
    if not check:
        os.makedirs(directory, mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".hub_ha.", dir=None if check else directory) as folder:
        temporary = os.path.join(folder, name)
        bring(opener, wanted.source, temporary)
        found = checked(run, temporary, wanted.name or shown(wanted.source), wanted.checksum)
        same = os.path.isfile(path) and sha256(path) == found["sha256"]
        if not check and not same:
            os.chmod(temporary, 0o644)
            os.rename(temporary, path)
    return Kept(not same, path, found)


def offered(run: Runner, opener: Opener, packages: Sequence[str], extra: str = "",
            wanted: Optional[PackageFile] = None, directory: str = "") -> Offer:
    """What the host's repositories and the package file, if one is *wanted*, offer; nothing is changed. Raises OSError.

    packages: names whose versions are looked up. extra: see repository(). directory: where the file may be already.
    """
    found, problem = repository(run, packages, extra)
    problems = [problem] if problem else []
    if wanted is None:
        return Offer(found, None, problems)
    try:
        return Offer(found, keep(run, opener, wanted, directory, check=True).file, problems)
    except HubError as error:
        return Offer(found, None, [*problems, error.message])
