# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values and names as SQL and the replication commands have them."""

from __future__ import annotations


def literal(text: str) -> str:
    """A literal that is right whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    return " E'%s'" % escaped.replace("\\", "\\\\") if "\\" in text else "'%s'" % escaped


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"%s"' % name.replace('"', '""')
