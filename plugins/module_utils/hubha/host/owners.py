# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Owner, group and mode of files, as people write them."""

from __future__ import annotations

import os
import re
from typing import Tuple

from ..core.files import replace_file
from ..core.run import HubError
from ..core.tree import group_name, user_name


def octal(text: str, name: str = "mode") -> int:
    """Permissions out of octal digits such as "0600". Raises HubError, in which the value is called *name*."""
    if not re.match("^[0-7]{3,4}$", text):
        raise HubError("%s %r is not an octal number such as 0600" % (name, text))
    return int(text, 8)


def shown(owner: str, group: str, mode: int) -> str:
    """"OWNER:GROUP MODE"."""
    return "%s:%s %04o" % (owner, group, mode)


def of(info: os.stat_result) -> str:
    """"OWNER:GROUP MODE" of a file, by what stat() says of it."""
    return shown(user_name(info.st_uid), group_name(info.st_gid), info.st_mode & 0o7777)


def parts(text: str) -> Tuple[str, str, str]:
    """(owner, group, mode) out of "OWNER:GROUP MODE". A name may have blanks in it, as groups of a directory have.

    Raises ValueError for anything else.
    """
    names, mode = text.rsplit(" ", 1)
    owner, group = names.rsplit(":", 1)
    return owner, group, mode


def rewrite(path: str, text: str, mode: int) -> None:
    """Replace a file's text in one step; owner and mode stay, a new file is root's with *mode*. Raises OSError."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        replace_file(path, text.encode("utf-8"), mode)
        return
    replace_file(path, text.encode("utf-8"), info.st_mode & 0o7777, info.st_uid, info.st_gid)
