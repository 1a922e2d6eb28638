# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificate, key and authorities of the operator's, made by openssl, tried as a standby would."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import Completed
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.facts import probe as hub_loader
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import tls as tls_files

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module", name="folder")
def fixture_folder(tmp_path_factory):
    """An authority, a key with certificates of several kinds, and what does not belong to them."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        openssl(folder, "req", "-x509", *CURVE, "-keyout", name + ".key", "-out", name + ".crt", "-subj", "/CN=" + name,
                "-days", "30")
    openssl(folder, "req", *CURVE, "-keyout", "hub.key", "-out", "hub.csr", "-subj", "/CN=hub1")
    (folder / "client.cnf").write_text("extendedKeyUsage = clientAuth\n", encoding="ascii")
    for name, more in (("hub", ["-days", "10"]), ("expired", ["-days", "0"]),
                       ("client", ["-days", "10", "-extfile", "client.cnf"])):
        openssl(folder, "x509", "-req", "-in", "hub.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", name + ".crt", *more)
    openssl(folder, "pkey", "-in", "hub.key", "-aes256", "-passout", "pass:hush-hush", "-out", "protected.key")
    (folder / "both.crt").write_bytes((folder / "other.crt").read_bytes() + (folder / "ca.crt").read_bytes())
    (folder / "text").write_text("no PEM\n", encoding="ascii")
    return folder


def look(folder, *names):
    return tls_files.look(*[str(folder / name) for name in names])


@pytest.mark.parametrize("names, days", [
    (("hub.crt", "hub.key", "ca.crt"), 10), (("hub.crt", "hub.key", "both.crt"), 10),
    (("ca.crt", "ca.key", "ca.crt"), 30)],
    ids=["one authority", "two", "self-signed"])
def test_what_fits(folder, names, days):
    found = look(folder, *names)
    assert found["problem"] is None
    assert found["expires"] == pytest.approx(time.time() + days * 86400, abs=600)
    assert found["authorities"] == hashlib.sha256((folder / names[2]).read_bytes()).hexdigest()


@pytest.mark.parametrize("names, words", [
    (("hub.crt", "other.key", "ca.crt"), "other.key does not belong to the certificate "),
    (("hub.crt", "protected.key", "ca.crt"), "protected.key is protected by a passphrase"),
    (("hub.crt", "text", "ca.crt"), "text cannot be used (it is no key in PEM form)"),
    (("text", "hub.key", "ca.crt"), "text holds no certificate in PEM form"),
    (("hub.crt", "hub.key", "text"), "text holds no certificate in PEM form"),
    (("hub.crt", "hub.key", "other.crt"), "other.crt: unable to get local issuer certificate"),
    (("expired.crt", "hub.key", "ca.crt"), "ca.crt: certificate has expired"),
    (("client.crt", "hub.key", "ca.crt"), "ca.crt: unsuitable certificate purpose"),
    (("hub.crt", "hub.key", "nothing"), "cannot be used together: No such file")], ids=lambda value: value[:40]
    if isinstance(value, str) else "-")
def test_what_does_not_fit(folder, names, words):
    found = look(folder, *names)
    assert words in found["problem"] and found["expires"] is None


def test_nothing_of_the_key_is_returned(folder):
    text = json.dumps([look(folder, "hub.crt", key, "ca.crt") for key in ("hub.key", "other.key", "protected.key")])
    for name in ("hub.key", "other.key"):
        for line in (folder / name).read_text(encoding="ascii").splitlines()[1:-1]:
            assert line not in text


def test_hub_info_asks_as_the_databases_user(folder):
    """Whether it can read the files is the kernel's word; a file that lacks is told of elsewhere."""
    paths = [str(folder / name) for name in ("hub.crt", "hub.key", "ca.crt")]
    calls = []

    def run(argv, check=True):
        calls.append((argv, check))
        return Completed(argv, 1 if argv[-1] == paths[1] else 0, "", "")

    assert hub_loader.tls(run, paths, "cfpostgres", True)["unreadable"] == [paths[1]]
    assert calls[0] == (["runuser", "-u", "cfpostgres", "--", "test", "-r", paths[0]], False) and len(calls) == 3
    del calls[:]
    found = hub_loader.tls(run, paths, "cfpostgres", False)
    assert found["unreadable"] == [] and found["problem"] is None and calls == []
    assert hub_loader.tls(run, [], "cfpostgres", True) is None
    assert hub_loader.tls(run, paths[:2] + [os.devnull], "cfpostgres", True) is None
