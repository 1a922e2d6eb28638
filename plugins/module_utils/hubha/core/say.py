# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program on the hub tells its caller. Modules of Ansible never use it: their answer is JSON."""

from __future__ import annotations

import sys


def out(text: str) -> None:
    """A line on standard output."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")  # in any locale


def err(text: str) -> None:
    """A line on standard error, at once. Nobody who listens is no error: what is told must not end who tells it."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # a broken pipe, a closed stream, none at all
        pass
