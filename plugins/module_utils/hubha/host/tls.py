# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do a certificate, its key and the authorities fit together? Found out by a handshake in memory, as libpq does it.

Python's own ssl is used, because a blank hub has no openssl program yet.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import Any, Dict, cast

STEPS = 10  # more than any handshake takes


class Protected(Exception):
    """The key asks for a passphrase."""


def look(certificate: str, key: str, authorities: str) -> Dict[str, Any]:
    """{"problem": sentence or None, "expires": seconds since 1970 or None, "authorities": SHA-256 of that file}.

    All three files exist. Nothing of the key is returned.
    """
    found: Dict[str, Any] = {"problem": None, "expires": None, "authorities": None}
    try:
        with open(authorities, "rb") as handle:
            found["authorities"] = hashlib.sha256(handle.read()).hexdigest()
        found["expires"] = shake_hands(server_side(certificate, key), client_side(authorities))
    except ssl.SSLCertVerificationError as error:
        found["problem"] = "the certificate %s does not pass with the authorities %s: %s" % (
            certificate, authorities, error.verify_message)
    except (ssl.SSLError, OSError) as error:
        found["problem"] = "%s, %s and %s cannot be used together: %s" % (certificate, key, authorities, reason(error))
    except ValueError as error:
        found["problem"] = str(error)
    return found


def reason(error: BaseException) -> str:
    """What the library or the system says of an error."""
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"


def authorities_of(context: ssl.SSLContext, path: str) -> None:
    """Have the context trust the certificates of a file. Raises ValueError with a sentence."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError("%s holds no certificate in PEM form (%s)" % (path, reason(error))) from error


def refuse() -> str:
    """In place of a passphrase."""
    raise Protected()


def server_side(certificate: str, key: str) -> ssl.SSLContext:
    """A context as PostgreSQL's server has it. Raises ValueError with a sentence."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authorities_of(context, certificate)
    try:
        context.load_cert_chain(certificate, key, refuse)
    except Protected:
        raise ValueError(
            "the key %s is protected by a passphrase, which nobody gives when PostgreSQL starts" % key) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the key %s does not belong to the certificate %s" % (key, certificate)) from error
        raise ValueError("the key %s cannot be used (%s)"
                         % (key, error.reason or "it is no key in PEM form")) from error
    return context


def client_side(authorities: str) -> ssl.SSLContext:
    """A context as the standby has it with sslmode verify-ca."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    authorities_of(context, authorities)
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> int:
    """The client takes the server's certificate: seconds since 1970 when it expires. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for dummy in range(STEPS):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            if side is sides[0]:
                return ssl.cert_time_to_seconds(cast(str, (side.getpeercert() or {})["notAfter"]))
    raise ssl.SSLError("the handshake does not end")
