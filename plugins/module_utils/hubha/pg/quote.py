# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values and names quoted for those who read them: SQL, replication commands, connection strings, postgresql.conf."""

from __future__ import annotations


def literal(text: str) -> str:
    """An SQL literal that is right whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    return " E'%s'" % escaped.replace("\\", "\\\\") if "\\" in text else "'%s'" % escaped


def identifier(name: str) -> str:
    """A name for SQL or a replication command."""
    return '"%s"' % name.replace('"', '""')


def conninfo_value(value: object) -> str:
    """A value for a libpq connection string."""
    return "'%s'" % str(value).replace("\\", "\\\\").replace("'", "\\'")


def setting(value: object) -> str:
    """A value as postgresql.conf has it."""
    return "'%s'" % str(value).replace("\\", "\\\\").replace("'", "''")
