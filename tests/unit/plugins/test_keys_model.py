# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public keys: what cf-key says of real ones, and everything that is none."""

from __future__ import annotations

import base64
import random

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import keys as model
from ansible_collections.cfengine.hub_ha.tests.unit.fixtures.keys import cfkeys

A, B = cfkeys.A, cfkeys.B
MD5, SHA = "MD5=" + "1" * 32, "SHA=" + "1" * 64


def der_of(text):
    return base64.b64decode("".join(text.split("\n")[1:-2]))


@pytest.mark.parametrize("name", sorted(cfkeys.KNOWN))
def test_digests_are_those_of_cfengine(name):
    known = cfkeys.KNOWN[name]
    key = model.parse(known["public"])
    assert model.digest(key, "MD5") == known["MD5"] and model.digest(key, "SHA") == known["SHA"]
    assert model.pem(key) == known["public"].encode(), "written as CFEngine writes it"


@pytest.mark.parametrize("text", [
    A["public"].replace("\n", "\r\n"), A["public"].rstrip(), "\n " + A["public"] + "\n\n\t", A["public"].encode(),
    "\n".join([model.BEGIN, "".join(A["public"].split("\n")[1:-2]), model.END])])
def test_spacing_does_not_matter(text):
    assert model.parse(text) == model.parse(A["public"])


def bad_ders():
    modulus, exponent = cfkeys.integer(cfkeys.number(2048)), cfkeys.integer(65537)
    good = cfkeys.sequence(modulus, exponent)
    return {
        "half": (good[:100], "it is cut off"), "a byte less": (good[:-1], "it is cut off"),
        "a byte more": (good + b"\0", "something follows the key"), "empty": (b"\x30\0", "no RSA key"),
        "only a tag": (b"\x30", "cut off or damaged"), "only half a length": (b"\x30\x82\x01", "cut off or damaged"),
        "endless length": (b"\x30\x80" + modulus + exponent + b"\0\0", "damaged"),
        "huge length": (b"\x30\x84\x7f\xff\xff\xff" + good, "damaged"),
        "text": (b"hello world, this is no key", "no RSA key is inside"),
        "one number": (cfkeys.sequence(modulus), "no RSA key is inside"),
        "three numbers": (cfkeys.sequence(modulus, exponent, exponent), "something follows"),
        "no number": (cfkeys.sequence(modulus, cfkeys.tlv(4, b"\x03")), "no RSA key is inside"),
        "empty number": (cfkeys.sequence(modulus, b"\x02\0"), "cut off or damaged"),
        "number too long": (cfkeys.sequence(modulus, b"\x02\x09\x01\0\x01"), "cut off or damaged"),
        "negative": (cfkeys.sequence(cfkeys.tlv(2, b"\xff" * 256), exponent), "not DER"),
        "zeros in front": (cfkeys.sequence(cfkeys.tlv(2, b"\0\x01" + b"\xff" * 255), exponent), "not DER"),
        "long form of a short length": (cfkeys.sequence(modulus, b"\x02\x81\x03\x01\0\x01"), "not DER"),
        "length with a zero in front": (b"\x30\x83\0" + good[2:], "not DER"),
        "exponent 0": (cfkeys.sequence(modulus, b"\x02\x01\0"), "exponent is even or 1"),
        "version and nothing": (cfkeys.sequence(cfkeys.integer(0)), "PRIVATE"),
    }


def bad_texts():
    found = dict((name, (cfkeys.armour(der), words)) for name, (der, words) in bad_ders().items())
    lines = A["public"].split("\n")
    found.update({
        "nothing": ("", "it is empty"), "blanks": (" \n", "it is empty"), "zeros": ("\0" * 426, "it is empty"),
        "None": (None, "it is empty"), "a number": (17, "it is empty"),
        "bytes that are no text": (b"\xff\xfe", "no public key"),
        "words": ("changeme", "it is no public key of CFEngine"), "path": ("/root/localhost.pub", "no public key"),
        "armour missing": ("\n".join(lines[1:-2]), "it is no public key of CFEngine"),
        "end missing": ("\n".join(lines[:-2]), "cut off or damaged"), "empty armour": (
            "%s\n%s\n" % (model.BEGIN, model.END), "cut off or damaged"),
        "empty lines in armour": ("%s\n\n\n%s\n" % (model.BEGIN, model.END), "no RSA key is inside"),
        "foreign letter": (A["public"].replace(lines[2][7], "!", 1) if lines[2][7] not in model.BEGIN else
                           A["public"].replace(lines[2], "!" + lines[2][1:]), "cut off or damaged"),
        "padding in the middle": (A["public"].replace(lines[2], "=" + lines[2][1:]), "base64 is damaged"),
        "a letter less": (A["public"].replace(lines[2], lines[2][1:]), "base64 is damaged"),
        "a line less": (A["public"].replace(lines[2] + "\n", ""), "it is cut off"),
        "trailing text": (A["public"] + "# hub1\n", "something follows the key"),
        "text in front": ("# hub1\n" + A["public"], "no public key"),
        "two keys": (A["public"] + B["public"], "something follows the key"),
        "too long": (A["public"] + "\n" * 70000, "too long"),
        "X.509": (cfkeys.spki(), "X.509"), "X.509 in false armour": (cfkeys.spki("RSA PUBLIC KEY"), "X.509"),
        "certificate": (cfkeys.armour(b"x" * 500, "CERTIFICATE"), "certificate"),
        "SSH": ("ssh-rsa AAAAB3NzaC1yc2E root@hub1\n", "key of SSH"),
        "private": (cfkeys.private(), "PRIVATE"), "private, PKCS#8": (cfkeys.private("PRIVATE KEY"), "PRIVATE"),
        "private, encrypted": (cfkeys.private("ENCRYPTED PRIVATE KEY"), "PRIVATE"),
        "private of SSH": (cfkeys.private("OPENSSH PRIVATE KEY"), "PRIVATE"),
        "private in false armour": (cfkeys.private("RSA PUBLIC KEY"), "PRIVATE"),
        "private after the public": (A["public"] + cfkeys.private(), "PRIVATE"),
        "1023 bits": (cfkeys.public(1023), "only 1023 bits"), "512 bits": (cfkeys.public(512), "only 512 bits"),
        "16385 bits": (cfkeys.public(16385), "has 16385 bits"),
        "even exponent": (cfkeys.public(exponent=65536), "exponent is even or 1"),
        "exponent 1": (cfkeys.public(exponent=1), "exponent is even or 1"),
        "large exponent": (cfkeys.public(exponent=cfkeys.number(65)), "more than 64 bits"),
        "even modulus": (cfkeys.armour(cfkeys.sequence(cfkeys.integer(cfkeys.number(2048) - 1), cfkeys.integer(3))),
                         "modulus is even")})
    return found


BAD = bad_texts()


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_no_key_is_told_in_words_and_never_shown(name):
    text, words = BAD[name]
    with pytest.raises(model.KeyProblem) as problem:
        model.parse(text)
    assert words in str(problem.value)
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    for line in (text or "").split("\n") if isinstance(text, str) else []:
        assert "-----" in line or len(line) < 8 or line not in str(problem.value)
    if name.startswith("private"):
        assert model.NEW_KEY in str(problem.value)


def test_limits_are_in():
    for bits in (1024, 16384):
        assert len(model.parse(cfkeys.public(bits)).modulus) == bits // 8


def test_a_damaged_key_is_refused_or_another_one():
    """Whatever byte is changed, nobody takes it for the same key, and nothing but KeyProblem is raised."""
    dice, right = random.Random(1), model.parse(A["public"])
    der = der_of(A["public"])
    for dummy in range(3000):
        damaged = bytearray(der)
        damaged[dice.randrange(len(der))] ^= dice.randrange(1, 256)
        try:
            assert model.parse(cfkeys.armour(bytes(damaged))) != right
        except model.KeyProblem:
            pass
    for size in range(len(der)):
        with pytest.raises(model.KeyProblem):
            model.parse(cfkeys.armour(der[:size]))


# --- files --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, parts", [
    ("root-%s.pub" % MD5, ("root", MD5)), ("root-%s.pub" % SHA, ("root", SHA)), ("a b-c-%s.pub" % MD5, ("a b-c", MD5)),
    ("ü-%s.pub" % MD5, ("ü", MD5))])
def test_names(name, parts):
    assert model.split_name(name) == parts and model.file_name(*parts) == name


@pytest.mark.parametrize("name", [
    "localhost.pub", "localhost.-%s.pub" % MD5, "root-192.168.1.1.pub", "root-%s.priv" % MD5, "root-%s.pub\n" % MD5,
    "root-MD5=%s.pub" % ("A" * 32), "root-MD5=11.pub", "root-SHA=" + "1" * 32 + ".pub", "-%s.pub" % MD5, "%s.pub" % MD5,
    ".root-%s.pub" % MD5, "a/root-%s.pub" % MD5, "..-%s.pub" % MD5, "a\nb-%s.pub" % MD5, "\udcff-%s.pub" % MD5])
def test_what_is_no_name_of_a_trusted_key(name):
    assert model.split_name(name) is None


def test_file_and_its_name():
    key = model.parse(A["public"])
    for kind in model.TYPES:
        assert model.check_file("root-%s.pub" % A[kind], A["public"].encode()) == key
        with pytest.raises(model.KeyProblem, match="not what its name says"):
            model.check_file("root-%s.pub" % B[kind], A["public"].encode())
    with pytest.raises(model.KeyProblem, match="not USER-DIGEST.pub"):
        model.check_file("root-192.168.1.1.pub", A["public"].encode())


def test_judging_a_file_that_is_there():
    key, text = model.parse(A["public"]), A["public"].encode()
    assert model.judge(key, text, True) == "present"
    assert model.judge(key, text, False) == "rewritten"
    assert model.judge(key, text.replace(b"\n", b"\r\n"), True) == "rewritten"
    assert model.judge(key, b"", True) == model.judge(key, b"\0" * 426, True) == "rewritten", "after a power cut"
    for wrong, words in ((B["public"].encode(), "holds another key"), (b"note", "it is no public key"),
                         (text[:100], "cut off"), (cfkeys.private().encode(), "PRIVATE")):
        with pytest.raises(model.KeyProblem, match=words):
            model.judge(key, wrong, True)


# --- what is given ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("option, expected, names, kind", [
    ("SHA", [MD5], ["root-%s.pub" % MD5], "SHA"), (None, [MD5], [], "MD5"), (None, [SHA, SHA], ["x.pub"], "SHA"),
    (None, [], ["root-%s.pub" % SHA, "root-1.2.3.4.pub"], "SHA"), (None, [MD5], ["root-%s.pub" % MD5], "MD5"),
    (None, [SHA], ["root-%s.pub" % MD5, "root-%s.pub" % SHA], "SHA")])
def test_digest_type(option, expected, names, kind):
    assert model.digest_type(option, expected, names) == kind


@pytest.mark.parametrize("expected, names, words", [
    ([], [], "the files here have none, the given digests none. Give digest_type"),
    ([], ["root-%s.pub" % MD5, "root-%s.pub" % SHA], "the files here have MD5 and SHA, the given digests none"),
    ([MD5], ["root-%s.pub" % SHA], "the files here have SHA, the given digests MD5"),
    ([MD5, SHA], ["root-%s.pub" % SHA], "the given digests MD5 and SHA"), ([MD5, SHA], [], "MD5 and SHA")])
def test_digest_type_that_cannot_be_known(expected, names, words):
    with pytest.raises(model.KeyProblem, match=words):
        model.digest_type(None, expected, names)


def test_given_keys():
    own = model.parse(B["public"])
    items = [{"public": A["public"], "host": "hub1", "digest": A["SHA"]}, {"public": A["public"], "host": "hub1"},
             {"public": B["public"], "host": "hub2", "digest": None, "user": None},
             {"public": cfkeys.C["public"], "user": "Administrator"}]
    wanted, own_labels, problems = model.given(items, "MD5", [], own)
    assert problems == [] and own_labels == ["hub2"]
    assert wanted == {"root-%s.pub" % A["MD5"]: (model.parse(A["public"]), "hub1"),
                      "Administrator-%s.pub" % cfkeys.C["MD5"]: (model.parse(cfkeys.C["public"]), "key number 4")}
    assert model.given([], None, []) == ({}, [], [])
    assert model.given(items[2:3], None, [], own) == ({}, ["hub2"], []), "nothing is written, so no name is needed"


def test_everything_that_is_wrong_is_told_at_once():
    items = [{"public": A["public"], "host": "client1"}, {"public": A["public"], "host": "client2"},
             {"public": "x", "host": "client3"}, {"public": B["public"], "host": "client4", "digest": A["SHA"]},
             {"public": B["public"], "digest": "MD5=12"}, "text", {"host": "client7"},
             {"public": B["public"], "hots": "x"}, {"public": cfkeys.private(), "host": cfkeys.private()},
             {"public": B["public"], "user": "a/b"}, {"public": B["public"], "user": "localhost."},
             {"public": B["public"], "digest": cfkeys.private()}]
    wanted, dummy, problems = model.given(items, None, [])
    text = "\n".join(problems)
    for number, words in enumerate([
            "client3: it is no public key",
            "client4: another key is expected: %s, and this is %s" % (A["SHA"], B["SHA"]),
            "key number 5: its digest must be", "key number 6: it must be a dict", "client7: it must be a dict",
            "key number 8: it has an entry that is none of public, host, digest, user",
            "key number 9: this is a PRIVATE key",
            "key number 10: its user", "key number 11: its user", "key number 12: its digest must be",
            "client1 and client2: they have one and the same key", "Give digest_type"]):
        assert words in problems[number]
    assert len(problems) == 12 and model.NEW_KEY in text and not wanted
    assert not [line for line in cfkeys.private().split("\n")[1:-2] if line in text]


def test_one_key_with_two_users_or_without_names_is_no_conflict():
    items = [{"public": A["public"], "host": "pc", "user": "root"},
             {"public": A["public"], "host": "pc", "user": "Admin"}, {"public": A["public"]}]
    wanted, dummy, problems = model.given(items, "SHA", [])
    assert problems == [] and sorted(wanted) == ["Admin-%s.pub" % A["SHA"], "root-%s.pub" % A["SHA"]]


def test_carried_keys_are_the_same_on_the_other_side():
    keys = dict((model.file_name("root", entry["MD5"]), model.parse(entry["public"]))
                for entry in cfkeys.KNOWN.values())
    keys[model.file_name("Admin ü", A["SHA"])] = model.parse(A["public"])
    own = model.parse(B["public"])
    wanted, own_count = model.uncarried(model.carried(keys), own)
    assert own_count == 1 and len(wanted) == len(keys) - 1
    assert all(keys[name] == entry.key and entry.label is None for name, entry in wanted.items())
    assert model.uncarried(model.carried({})) == ({}, 0)


def test_digests():
    assert model.digests([MD5, SHA, MD5]) == {MD5, SHA}
    with pytest.raises(model.KeyProblem, match="digest number 2, 3 is not"):
        model.digests([MD5, MD5[:-1], cfkeys.private()])


def test_what_is_shown_of_many():
    assert model.first_ones(["a"] * 20) == ["a"] * 20
    assert model.first_ones(["a"] * 22, 2) == ["a", "a", "and 20 more"]
    assert model.shown(["a", "b\udcff"], {"a": "host"}) == "a  host\nb\ufffd\n" and model.shown([]) == ""
