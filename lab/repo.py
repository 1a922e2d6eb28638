# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the index of a folder of Debian packages, so that apt can install from it.

Called by the image build: ``python3 -m lab.repo FOLDER``.
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.shell import LabError, run


def stanza(control, name, size, sha256):
    """One paragraph of a Packages index (pure).

    control: the package's control fields as text.  name: file name.  size: bytes.
    """
    return "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n" % (control.strip(), name, size, sha256)


def index(folder):
    """Write ``Packages`` for all .deb files in *folder* (Path); return how many there are."""
    files = sorted(folder.glob("*.deb"))

    def describe(path):
        control = run(["dpkg-deb", "--field", str(path)]).stdout
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return stanza(control, path.name, path.stat().st_size, digest)

    with ThreadPoolExecutor(4) as pool:
        (folder / "Packages").write_text("\n".join(pool.map(describe, files)), encoding="utf-8")
    return len(files)


def main(folder):
    """Index *folder*; returns the exit status."""
    try:
        return 0 if index(Path(folder)) else 1
    except LabError as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
