# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM verifiers and password file lines."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import scram

# The example of RFC 7677: user "user", password "pencil".
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


def test_rfc_7677():
    stored = scram.verifier("pencil", SALT, 4096)
    assert stored == ("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                      "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
    assert scram.matches("pencil", stored)
    assert not scram.matches("Pencil", stored)


@pytest.mark.parametrize("stored", [
    None, "", "md5a3556571e93b0d20722ba62be61e8c2d", "plain", "SCRAM-SHA-256$4096:$x:y",
    "SCRAM-SHA-256$0:QQ==$QQ==:QQ==", "SCRAM-SHA-256$4096:QQ$QQ==:QQ==", "SCRAM-SHA-256$99999999999:QQ==$QQ==:QQ=="])
def test_what_is_no_verifier_never_matches(stored):
    assert not scram.matches("", stored)
    assert not scram.matches("plain", stored)


def test_salt_is_random_and_iterations_are_taken_from_the_verifier():
    assert scram.verifier("x") != scram.verifier("x")
    assert scram.matches("x", scram.verifier("x", b"salt", 1234))


@pytest.mark.parametrize("given, prepared", [
    ("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"),
    ("\u0007", "\u0007"), ("\u0627\u0031", "\u0627\u0031"),       # examples of RFC 4013; prohibited ones stay
    ("a\u00a0b", "a b"), ("\u00e4", "\u00e4"), ("a\u0308", "\u00e4"), ("\u00ad", "\u00ad"),
    ("\u00e4\u0007", "\u00e4\u0007"), ("\u0627\u0628", "\u0627\u0628"), ("\U0001f600", "\U0001f600")])
def test_saslprep(given, prepared):
    assert scram.saslprep(given) == prepared


@pytest.mark.parametrize("fields, line", [
    (("h", 5432, "replication", "r", "p"), "h:5432:replication:r:p"),
    (("::1", "*", "*", "r", "a:b\\c"), "\\:\\:1:*:*:r:a\\:b\\\\c"),
    (("h", 1, "d", "r", " # ' \" $ % "), "h:1:d:r: # ' \" $ % ")])
def test_passfile_line(fields, line):
    assert scram.passfile_line(*fields) == line


@pytest.mark.parametrize("password", ["a\nb", "a\rb", "a\0b", ""])
def test_passfile_line_refuses(password):
    with pytest.raises(ValueError):
        scram.passfile_line("h", 1, "d", "r", password)
