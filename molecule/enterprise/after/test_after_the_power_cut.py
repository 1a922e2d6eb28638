"""hub1 is off: hub2 is a whole Enterprise hub."""

from __future__ import annotations

import ssl
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))
from conftest import ADDRESSES, SHARED, WORK, get_host, sql  # noqa: E402


def test_the_other_hub_is_active_for_the_vendors_policy():
    hub2 = get_host("hub2")
    # the other hub is off, which the vendor's policy complains of
    assert hub2.run("cf-agent -K -f update.cf; cf-agent -K").rc in (0, 1)
    shown = hub2.check_output("cf-promises --show-classes='hub_(active|passive)' -f %s/inputs/promises.cf" % WORK)
    assert "hub_active" in shown and "hub_passive" not in shown
    assert hub2.file(WORK + "/state/master_hub.dat").content_string == ADDRESSES["hub2"] + "\n"


def test_its_secrets_are_those_of_the_database():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what it names was looked at before
    with socket.create_connection((SHARED, 443), timeout=10) as plain, context.wrap_socket(plain) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    assert "on hub2\nrobot 200" in answer
    assert len(sql(get_host("hub2"), "SELECT username FROM users WHERE username = 'CFE_ROBOT'", "cfsettings")) == 1


def test_the_client_follows():
    client = get_host("client1")
    client.run("cf-agent -K -f update.cf")
    assert client.file(WORK + "/policy_server.dat").content_string.strip() in (ADDRESSES["hub2"], SHARED)
    done = client.run("cf-agent -K -f update.cf && cf-agent -K")
    assert done.rc == 0 and "error:" not in done.stdout + done.stderr, done.stdout + done.stderr
