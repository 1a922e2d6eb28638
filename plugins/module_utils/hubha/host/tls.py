# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do a certificate, its key and the authorities fit together? Found out by a handshake in memory, as libpq does it.

Python's own ssl is used, because a blank hub has no openssl program yet.
"""

from __future__ import annotations

import hashlib
import ssl

STEPS = 10  # more than any handshake takes


class Protected(Exception):
    """The key asks for a passphrase."""


def look(certificate, key, authorities):
    """{"problem": sentence or None, "expires": seconds since 1970 or None, "authorities": SHA-256 of that file}.

    All three files exist. Nothing of the key is returned.
    """
    found = {"problem": None, "expires": None, "authorities": None}
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


def reason(error):
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"


def authorities_of(context, path):
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError("%s holds no certificate in PEM form (%s)" % (path, reason(error)))


def refuse():
    raise Protected()


def server_side(certificate, key):
    """A context as PostgreSQL's server has it. Raises ValueError with a sentence."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authorities_of(context, certificate)
    try:
        context.load_cert_chain(certificate, key, refuse)
    except Protected:
        raise ValueError("the key %s is protected by a passphrase, which nobody gives when PostgreSQL starts" % key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the key %s does not belong to the certificate %s" % (key, certificate))
        raise ValueError("the key %s cannot be used (%s)" % (key, error.reason or "it is no key in PEM form"))
    return context


def client_side(authorities):
    """A context as the standby has it with sslmode verify-ca."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    authorities_of(context, authorities)
    return context


def shake_hands(server, client):
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
                return int(ssl.cert_time_to_seconds(side.getpeercert()["notAfter"]))
    raise ssl.SSLError("the handshake does not end")
