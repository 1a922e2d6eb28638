# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, 7677), and lines of a libpq password file.

With a verifier, the password itself never reaches the server, its logs or its statistics.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from typing import Optional, Union

ITERATIONS = 4096
SALT_BYTES = 16
VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$")
PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1)


def saslprep(password: str) -> str:
    """The password (str) as both ends hash it: RFC 4013.

    Like PostgreSQL, a password that the RFC prohibits is taken as it is.
    """
    if password.isascii():
        # Every printable ASCII text stays itself, and a control character makes it prohibited: itself, too.
        return password
    mapped = "".join(" " if stringprep.in_table_c12(char) else char
                     for char in password if not stringprep.in_table_b1(char))
    # As PostgreSQL does: tables of Unicode 3.2 as the RFC says, but the normal form of today.
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(test(char) for char in normal for test in PROHIBITED):
        return password
    if any(stringprep.in_table_d1(char) for char in normal):
        right_to_left = stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])
        if not right_to_left or any(stringprep.in_table_d2(char) for char in normal):
            return password
    return normal


def verifier(password: str, salt: Optional[bytes] = None, iterations: int = ITERATIONS) -> str:
    """The verifier (str) of *password* (str); salt: bytes, random when not given."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode("utf-8"), salt, iterations)
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (
        iterations, encode(salt), encode(hashlib.sha256(client).digest()), encode(server))


def encode(data: bytes) -> str:
    """Base64 text of bytes."""
    return base64.b64encode(data).decode("ascii")


def matches(password: str, stored: Optional[str]) -> bool:
    """Whether *stored* (str or None, from pg_authid) is a SCRAM verifier of *password*."""
    found = VERIFIER.match(stored or "")
    if stored is None or not found:
        return False
    try:
        salt = base64.b64decode(found.group(2), validate=True)
    except ValueError:
        return False
    iterations = int(found.group(1))
    if not salt or not 0 < iterations <= 10000000:
        return False
    return hmac.compare_digest(verifier(password, salt, iterations), stored)


def passfile_line(host: str, port: Union[int, str], database: str, user: str, password: str) -> str:
    """One line (without newline) of a libpq password file; ``*`` matches everything in the first four.

    Raises ValueError for what such a file cannot hold.
    """
    fields = [str(field) for field in (host, port, database, user, password)]
    if any(char in field for field in fields for char in "\n\r\0"):
        raise ValueError("a line of a password file cannot hold line breaks or null characters")
    if not all(fields):
        raise ValueError("a line of a password file needs all five fields")
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)
