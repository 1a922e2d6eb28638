# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CFEngine's public host keys: what is one, what it is called, and which files the wanted trust needs. Pure functions.

A host trusts a key when ppkeys holds it as USER-DIGEST.pub (HavePublicKey in CFEngine's libpromises). The digest is
that of the modulus' bytes and then the exponent's (HashPubKey): "MD5=..." on the Community edition, "SHA=..." on
Enterprise. Nothing here puts a part of a key's text into a message: it may be a private one, given by mistake.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple


class Key(NamedTuple):
    """A public RSA key: both numbers as big-endian bytes without leading zeros."""

    modulus: bytes
    exponent: bytes


class Wanted(NamedTuple):
    """A key that a host shall trust, and what it is called in messages."""

    key: Key
    label: Optional[str]


TYPES = ("MD5", "SHA")
SIZE_LIMIT = 64 << 10
NEW_KEY = "remove localhost.priv and localhost.pub from its ppkeys directory and run cf-key"
PRIVATE = "this is a PRIVATE key: who can read it can pass for its host. Take it away from here, make a new key on " \
          "that host (%s), and give the new localhost.pub" % NEW_KEY
SPKI = "this is an X.509 public key (SubjectPublicKeyInfo); CFEngine reads the PKCS#1 form, which " \
       "openssl rsa -pubin -RSAPublicKey_out makes of it"

BEGIN, END = "-----BEGIN RSA PUBLIC KEY-----", "-----END RSA PUBLIC KEY-----"
ARMOUR = re.compile(r"\s*%s[ \t]*\r?\n([A-Za-z0-9+/=\s]+)%s(\s*)(.?)" % (BEGIN, END), re.DOTALL)
OTHER_FORMS = (("-----BEGIN PUBLIC KEY-----", SPKI),
               ("-----BEGIN CERTIFICATE-----", "this is a certificate, not the host's CFEngine key (localhost.pub)"),
               ("ssh-", "this is a key of SSH, not the host's CFEngine key (localhost.pub)"),
               (BEGIN, "it is cut off or damaged"))
DIGEST = re.compile(r"(?:MD5=[0-9a-f]{32}|SHA=[0-9a-f]{64})\Z")
NAME = re.compile(r"(?![.]|localhost[.])([^/\x00-\x1f\x7f\ud800-\udfff]{1,100})-(MD5=[0-9a-f]{32}|SHA=[0-9a-f]{64})"
                  r"[.]pub\Z")
LABEL = re.compile(r"[^\x00-\x1f\x7f]{1,100}\Z")
FIELDS = ("public", "host", "digest", "user")


class KeyProblem(ValueError):
    """Why something is not a usable key, in words for the operator and with nothing of its text."""


def parse(text: object) -> Key:
    """The Key in the PEM text (str, or the bytes of a file). Raises KeyProblem for anything that is not exactly one."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not isinstance(text, str) or not text.strip("\0 \t\r\n"):
        raise KeyProblem("it is empty")
    if "PRIVATE KEY-----" in text:
        raise KeyProblem(PRIVATE)
    if len(text) > SIZE_LIMIT:
        raise KeyProblem("it is too long for a key")
    match = ARMOUR.match(text)
    if not match:
        for mark, problem in OTHER_FORMS:
            if text.lstrip().startswith(mark):
                raise KeyProblem(problem)
        raise KeyProblem("it is no public key of CFEngine: that begins with %s" % BEGIN)
    if match.group(3):
        raise KeyProblem("something follows the key")
    try:
        der = base64.b64decode("".join(match.group(1).split()), validate=True)
    except ValueError:
        raise KeyProblem("its base64 is damaged")
    return checked(*numbers(der))


def numbers(der: bytes) -> Tuple[bytes, bytes]:
    """(modulus, exponent) as bytes out of the DER of an RSAPublicKey, RFC 8017 A.1.1. Raises KeyProblem."""
    if der[:1] != b"\x30":
        raise KeyProblem("it is damaged: no RSA key is inside")
    size, start = length(der, 1)
    if len(der) != start + size:
        raise KeyProblem("it is cut off" if len(der) < start + size else "something follows the key inside its base64")
    if der[start:start + 1] == b"\x30":
        raise KeyProblem(SPKI)
    modulus, start = integer(der, start)
    if not modulus:  # the version number, with which a private key begins
        raise KeyProblem(PRIVATE)
    exponent, start = integer(der, start)
    if start != len(der):
        raise KeyProblem("something follows the key inside its base64")
    return modulus, exponent


def length(der: bytes, start: int) -> Tuple[int, int]:
    """(length, where the content begins) of the DER length at *start*."""
    first = der[start] if start < len(der) else 0xff
    if first < 0x80:
        return first, start + 1
    end = start + 1 + (first & 0x7f)
    if not 0x81 <= first <= 0x83 or end > len(der):
        raise KeyProblem("it is cut off or damaged")
    size = int.from_bytes(der[start + 1:end], "big")
    if der[start + 1] == 0 or size < 0x80:
        raise KeyProblem("it is damaged: not DER")
    return size, end


def integer(der: bytes, start: int) -> Tuple[bytes, int]:
    """(bytes without leading zeros, where it ends) of the DER INTEGER at *start*; it must not be negative."""
    if der[start:start + 1] != b"\x02":
        raise KeyProblem("it is damaged: no RSA key is inside")
    size, begin = length(der, start + 1)
    data = der[begin:begin + size]
    if not data or len(data) != size:
        raise KeyProblem("it is cut off or damaged")
    if data[0] & 0x80 or (data[0] == 0 and size > 1 and not data[1] & 0x80):
        raise KeyProblem("it is damaged: not DER")
    return data.lstrip(b"\0"), begin + size


def checked(modulus: bytes, exponent: bytes) -> Key:
    """The Key of these numbers; refuses what no cf-key makes and what is weak."""
    bits = (len(modulus) - 1) * 8 + modulus[0].bit_length()
    if bits < 1024:
        raise KeyProblem("it has only %d bits; 1024 are needed, 2048 are usual" % bits)
    if bits > 16384:
        raise KeyProblem("it has %d bits; nobody uses more than 16384" % bits)
    if not modulus[-1] & 1:
        raise KeyProblem("it is no RSA key: its modulus is even")
    if not exponent or not exponent[-1] & 1 or exponent == b"\x01":
        raise KeyProblem("it is no RSA key: its exponent is even or 1, and CFEngine would refuse it")
    if len(exponent) > 8:
        raise KeyProblem("it is no usable RSA key: its exponent has more than 64 bits")
    return Key(modulus, exponent)


def digest(key: Key, kind: str) -> str:
    """"MD5=..." or "SHA=..." (*kind*) as `cf-key --print-digest` shows it."""
    data = key.modulus + key.exponent
    if kind == "MD5":
        return "MD5=" + hashlib.md5(data, usedforsecurity=False).hexdigest()
    return "SHA=" + hashlib.sha256(data).hexdigest()


def pem(key: Key) -> bytes:
    """The bytes of the key's file, exactly as CFEngine writes them."""
    body = b""
    for number in key:
        number = b"\0" + number if number[0] & 0x80 else number
        body += b"\x02" + der_length(len(number)) + number
    text = base64.b64encode(b"\x30" + der_length(len(body)) + body).decode("ascii")
    lines = [text[start:start + 64] for start in range(0, len(text), 64)]
    return "\n".join([BEGIN] + lines + [END, ""]).encode("ascii")


def der_length(size: int) -> bytes:
    """The DER form of a length, see length()."""
    if size < 0x80:
        return bytes([size])
    data = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(data)]) + data


# --- files --------------------------------------------------------------------------------------------------------

def file_name(user: str, key_digest: str) -> str:
    """Name of a trusted key's file."""
    return "%s-%s.pub" % (user, key_digest)


def split_name(name: str) -> Optional[Tuple[str, str]]:
    """(user, digest) out of a file's name; None for any other name and for localhost.*"""
    match = NAME.match(name)
    return (match.group(1), match.group(2)) if match else None


def check_file(name: str, data: bytes) -> Key:
    """The Key in a file of ppkeys. Raises KeyProblem, also when the key is not the one that the name tells."""
    parts = split_name(name)
    if parts is None:
        raise KeyProblem("its name is not USER-DIGEST.pub")
    key = parse(data)
    found = digest(key, parts[1][:3])
    if found != parts[1]:
        raise KeyProblem("the key inside is %s, which is not what its name says" % found)
    return key


def judge(wanted: Key, text: bytes, safe: bool) -> str:
    """"present", or "rewritten" when the file holds the wanted Key, but not as it should. Raises KeyProblem.

    text: the file's bytes. safe: whether only root can write to it.
    """
    if not text.strip(b"\0"):
        return "rewritten"  # what a power cut leaves of a new file
    if text == pem(wanted):
        return "present" if safe else "rewritten"
    try:
        same = parse(text) == wanted
    except KeyProblem as problem:
        raise KeyProblem("a file of that name is there, and %s. Look at it and move it away" % problem)
    if not same:
        raise KeyProblem("a file of that name is there and holds another key. Find out who put it there, and move it "
                         "away")
    return "rewritten"


# --- what is given ------------------------------------------------------------------------------------------------

def label(item: Any, number: int) -> str:
    """What the given key is called in messages: its host, or "key number N"."""
    host = item.get("host") if isinstance(item, dict) else None
    return str(host) if isinstance(host, (str, int)) and LABEL.match(str(host)) else "key number %d" % number


def read_item(item: Any) -> Tuple[Key, str, Optional[str]]:
    """(Key, user, expected digest or None) of one given key. Raises KeyProblem; every text may be the wrong one."""
    if not isinstance(item, dict) or "public" not in item:
        raise KeyProblem("it must be a dict with public, the text of the key, and perhaps host, digest, user")
    if set(item) - set(FIELDS):
        raise KeyProblem("it has an entry that is none of %s" % ", ".join(FIELDS))
    expected, user = item.get("digest") or None, item.get("user") or "root"
    key = parse(item["public"])
    if expected is not None and not (isinstance(expected, str) and DIGEST.match(expected)):
        raise KeyProblem("its digest must be MD5=... or SHA=..., as cf-key --print-digest shows it")
    if not isinstance(user, str) or split_name(file_name(user, digest(key, "MD5"))) is None:
        raise KeyProblem("its user is not the name of one")
    if expected and digest(key, expected[:3]) != expected:
        raise KeyProblem("another key is expected: %s, and this is %s. If the host has a new key, correct the digest; "
                         "if not, somebody has exchanged the key" % (expected, digest(key, expected[:3])))
    return key, user, expected


def item_of(host: str, facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The key of a host as an item for read_item(). facts: hub_info's of its CFEngine."""
    return {"host": host, "public": facts["key_public"], "digest": facts["key_digest"]}


def digest_type(option: Optional[str], expected: Iterable[str], names: Iterable[str]) -> str:
    """"MD5" or "SHA" for the names of files. Raises KeyProblem when it cannot be known.

    option: what was asked for, or None. expected: digests that were given with keys. names: of files that are there.
    """
    if option:
        return option
    given_kinds = {text[:3] for text in expected}
    there = {parts[1][:3] for parts in map(split_name, names) if parts}
    if len(given_kinds) == 1 and len(there) != 1:
        return given_kinds.pop()
    if len(there) == 1 and given_kinds <= there:
        return there.pop()
    raise KeyProblem("whether files are to be named with MD5 (Community) or SHA (Enterprise) cannot be known: the "
                     "files here have %s, the given digests %s. Give digest_type"
                     % tuple(" and ".join(sorted(kinds)) or "none" for kinds in (there, given_kinds)))


def given(items: Sequence[Any], option: Optional[str], names: Iterable[str],
          own: Optional[Key] = None) -> Tuple[Dict[str, Wanted], List[str], List[str]]:
    """({file name: Wanted}, [labels of keys that are the host's own], [problem]) of the given keys.

    items: [{"public", "host", "digest", "user"}]. option, names: see digest_type. own: the host's own Key or None.
    """
    wanted: Dict[str, Wanted] = {}
    problems: List[str] = []
    expected: List[str] = []
    good: List[Tuple[Key, str, str]] = []
    hosts: Dict[Key, Dict[str, bool]] = {}  # the inner ones are used as ordered sets
    for number, item in enumerate(items, 1):
        name = label(item, number)
        try:
            key, user, key_digest = read_item(item)
        except KeyProblem as problem:
            problems.append("%s: %s" % (name, problem))
            continue
        if key_digest:
            expected.append(key_digest)
        good.append((key, user, name))
        if item.get("host"):
            hosts.setdefault(key, {})[name] = True
    for key, names_of in hosts.items():
        if len(names_of) > 1:
            problems.append("%s: they have one and the same key, so each can pass for the other. Make a new key on all "
                            "but one of them: %s" % (" and ".join(names_of), NEW_KEY))
    others = [entry for entry in good if entry[0] != own]
    own_labels = [name for key, dummy, name in good if key == own]
    if others:
        try:
            kind = digest_type(option, expected, names)
            for key, user, name in others:
                wanted.setdefault(file_name(user, digest(key, kind)), Wanted(key, name))
        except KeyProblem as problem:
            problems.append(str(problem))
    return wanted, own_labels, problems


def carried(keys: Mapping[str, Key]) -> str:
    """The keys of {file name: Key} as one text on their way from host to host; see uncarried.

    Only user, kind of digest and the two numbers travel: names and texts are made of them again, so neither can lie.
    """
    parts = []
    for name in sorted(keys):
        parts_of_name = split_name(name)
        if parts_of_name is None:
            raise ValueError("%r is no name of a key" % name)
        user, key_digest = parts_of_name
        for data in (user.encode("utf-8"), key_digest[:3].encode("ascii"), *keys[name]):
            parts.append(len(data).to_bytes(2, "big") + data)
    plain = b"".join(parts)
    return base64.b64encode(zlib.crc32(plain).to_bytes(4, "big") + plain).decode("ascii")


def uncarried(text: str, own: Optional[Key] = None) -> Tuple[Dict[str, Wanted], int]:
    """({file name: Wanted}, number of keys that are the host's own) out of carried()'s text.

    Raises KeyProblem when it is damaged. own: the host's own Key or None.
    """
    try:
        data = base64.b64decode(text, validate=True)
        plain, at = data[4:], 0
        fields: List[bytes] = []
        if data[:4] != zlib.crc32(plain).to_bytes(4, "big"):
            raise ValueError("its checksum is wrong")
        while at < len(plain):
            end = at + 2 + int.from_bytes(plain[at:at + 2], "big")
            fields.append(plain[at + 2:end])
            at = end
        wanted: Dict[str, Wanted] = {}
        own_count = 0
        for first in range(0, len(fields) - 3, 4):
            user, kind, modulus, exponent = fields[first:first + 4]
            key = checked(modulus, exponent)
            name = file_name(user.decode("utf-8"), digest(key, kind.decode("ascii")))
            if split_name(name) is None:
                raise ValueError("it holds a file that does not belong there")
            if key == own:
                own_count += 1
            else:
                wanted[name] = Wanted(key, None)
    except (ValueError, IndexError) as error:
        raise KeyProblem("the archive from the other hub cannot be read: %s" % error)
    return wanted, own_count


def digests(texts: Sequence[Any]) -> Set[str]:
    """The set of digests in the list *texts*. Raises KeyProblem that tells which are none."""
    wrong = [str(number) for number, text in enumerate(texts, 1) if not (isinstance(text, str) and DIGEST.match(text))]
    if wrong:
        raise KeyProblem("digest number %s is not MD5=... or SHA=..., as cf-key --print-digest shows it"
                         % ", ".join(wrong))
    return set(texts)


def has_digest(name: str, key: Optional[Key], wanted: Set[str]) -> bool:
    """Whether a file of ppkeys is one of the *wanted* digests (set), by its name or by its Key (None: it has none)."""
    parts = split_name(name)
    if not wanted:
        return False  # and no digest has to be computed
    if parts and parts[1] in wanted:
        return True
    return key is not None and any(digest(key, kind) in wanted for kind in TYPES)


# --- what is shown ------------------------------------------------------------------------------------------------

def printable(name: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def first_ones(texts: Sequence[str], limit: int = 20) -> List[str]:
    """The first *limit* of the texts, and how many more there are."""
    rest = len(texts) - limit
    return list(texts[:limit]) + (["and %d more" % rest] if rest > 0 else [])


def shown(names: Sequence[str], labels: Optional[Mapping[str, Optional[str]]] = None) -> str:
    """What a diff shows of the file *names*, each with its host where *labels* {name: label} tells one."""
    lines = ["%s  %s" % (printable(name), labels[name]) if labels and labels.get(name) else printable(name)
             for name in names]
    return "".join(line + "\n" for line in first_ones(lines))
