# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What PostgreSQL's configuration files and its program say of themselves. Pure functions on text."""

from __future__ import annotations

import re
from typing import Dict, List


def pg_major(text: str) -> str:
    """"17" out of `postgres (PostgreSQL) 17.12 (Debian ...)`."""
    match = re.search(r"\(PostgreSQL\) (\d+)", text)
    return match.group(1) if match else "0"


def include_lines(text: str) -> List[str]:
    """Lines of a postgresql.conf that include another file, as they stand."""
    return [line.strip() for line in text.splitlines() if re.match(r"include(_if_exists|_dir)?\b", line.strip())]


def managed_blocks(text: str) -> Dict[str, List[str]]:
    """{marker: [lines]} of what stands between "# BEGIN marker" and "# END marker", as ansible.builtin.blockinfile
    writes it; a marker that stands there more than once is left out. Only markers of this collection: an operator's
    lines may hold secrets (ldapbindpasswd)."""
    found = re.findall(r"^# BEGIN (cfengine\.hub_ha.*)\n((?:.*\n)*?)# END \1$", text, re.MULTILINE)
    names = [name for name, _lines in found]
    return {name: lines.splitlines() for name, lines in found if names.count(name) == 1}
