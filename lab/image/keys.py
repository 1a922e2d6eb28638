# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write public keys of hosts that report to a hub, named as CFEngine Community (MD5) or Enterprise (SHA) names them.

Each is a well-formed RSA public key of 2048 bits to which nobody has a private key: making fifty
real pairs would cost seconds, and nobody is to log in with them. Arguments: FOLDER, HOW MANY, MD5 (default) or SHA.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys

EXPONENT = bytes([1, 0, 1])


def der(tag, body):
    """One DER element."""
    if len(body) < 128:
        length = bytes([len(body)])
    else:
        digits = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
        length = bytes([128 + len(digits)]) + digits
    return bytes([tag]) + length + body


def pem(modulus):
    """A public key in the form that cf-key writes; *modulus* has its first bit set."""
    body = der(0x30, der(2, b"\0" + modulus) + der(2, EXPONENT))
    text = base64.b64encode(body).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    return "-----BEGIN RSA PUBLIC KEY-----\n%s\n-----END RSA PUBLIC KEY-----\n" % "\n".join(lines)


def main(folder, count, kind="MD5"):
    """Write *count* keys and have cf-key confirm the name of the last one."""
    name = path = ""
    for _number in range(count):
        modulus = bytearray(os.urandom(256))
        modulus[0] |= 0x80
        modulus[-1] |= 1
        digest = hashlib.sha256 if kind == "SHA" else hashlib.md5
        name = "%s=%s" % (kind, digest(bytes(modulus) + EXPONENT).hexdigest())
        path = os.path.join(folder, "root-%s.pub" % name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as handle:
            handle.write(pem(bytes(modulus)))
    said = subprocess.run(["cf-key", "--print-digest", path], check=True, capture_output=True, text=True).stdout.strip()
    return 0 if said == name else "cf-key calls %s %s" % (path, said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
