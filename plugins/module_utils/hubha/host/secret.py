# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with a secret: a given one, or a random one that is made once."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
from dataclasses import dataclass
from typing import Optional, Tuple

from ..core.files import replace_file
from ..core.run import HubError
from . import owners

SHORTEST = 16  # bytes; less can be guessed


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be. before, after: of the file, for a diff, without its content. secret: the file's text
    without its last line break, None while it is not made."""

    changed: bool
    before: str
    after: str
    secret: Optional[str]


def current(path: str) -> Tuple[Optional[str], str]:
    """(text, "OWNER:GROUP MODE") of the file now; (None, "absent") without one."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return handle.read(), owners.of(os.fstat(handle.fileno()))
    except FileNotFoundError:
        return None, "absent"


def ensure(path: str, owner: str, group: str, mode: str, content: Optional[str] = None,
           random_bytes: Optional[int] = None, check: bool = False) -> Outcome:
    """Make *path* a file with a secret: *content*, or when that is None what it has, or else *random_bytes* as hex.

    mode: octal digits. check: only tell what would be done; owner and directory need not be there yet. Raises HubError,
    OSError.
    """
    permissions = owners.octal(mode)
    if random_bytes is not None and random_bytes < SHORTEST:
        raise HubError("a secret of %d bytes can be guessed; generate at least %d" % (random_bytes, SHORTEST))
    uid = gid = -1
    try:
        uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        if not check:
            raise HubError("user %s or group %s does not exist on this host" % (owner, group)) from None
    old, before = current(path)
    if content is None and any("\udc80" <= char <= "\udcff" for char in old or ""):
        raise HubError("%s holds binary data, which cannot be handed to the other hub; if nothing uses it any "
                       "more, move it away and a new one is made" % path)
    text = content if content is not None else old or secrets.token_hex(random_bytes or SHORTEST)
    if not text.endswith("\n"):
        text += "\n"
    same, after = old == text, owners.shown(owner, group, permissions)
    changed = not same or before != after
    if changed and not check:
        if not os.path.isdir(os.path.dirname(path)):
            raise HubError("the directory of %s does not exist" % path)
        replace_file(path, text.encode("utf-8", "surrogateescape"), permissions, uid, gid)
    return Outcome(changed, "%s%s\n" % (before, "" if same or old is None else ", other content (not shown)"),
                   "%s%s\n" % (after, "" if same else ", new content (not shown)"),
                   None if check and not old else text.rstrip("\n"))
