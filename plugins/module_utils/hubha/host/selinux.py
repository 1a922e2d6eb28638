# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SELinux's mode and booleans, read in its file system."""

from __future__ import annotations

from typing import Dict, Iterable, Optional

from ..core.files import read_text
from ..core.run import Runner

ROOT = "/sys/fs/selinux"


def mode(root: str = ROOT) -> Optional[str]:
    """"enforcing" or "permissive"; None where there is no SELinux."""
    enforce = read_text(root + "/enforce")
    if enforce is None:
        return None
    return "enforcing" if enforce.strip() == "1" else "permissive"


def booleans(names: Iterable[str], root: str = ROOT) -> Dict[str, bool]:
    """{name: whether it is on} of those booleans that there are."""
    texts = {name: read_text("%s/booleans/%s" % (root, name)) for name in names}
    return {name: text.split()[0] == "1" for name, text in texts.items() if text}


def switch_on(run: Runner, name: str, check: bool = False) -> Optional[bool]:
    """The boolean is on, for good. Returns whether it was before; None where there is none, which is no error.

    check: only look. Raises HubError.
    """
    before = booleans([name]).get(name)
    if before is False and not check:
        run(["setsebool", "-P", name, "on"], timeout=300)  # it compiles the policy anew
    return before
