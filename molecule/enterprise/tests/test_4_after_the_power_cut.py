"""hub1 is off: hub2 is a whole Enterprise hub."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from enterprise_pair import AGENT, defined, run_agent  # noqa: E402
from conftest import ADDRESSES, SHARED, WORK, get_host  # noqa: E402


def test_the_other_hub_is_active_for_the_vendors_policy():
    hub2 = get_host("hub2")
    # the other hub is off, which the vendor's policy complains of
    assert hub2.run(AGENT.replace("&&", ";")).rc in (0, 1)
    assert defined(hub2) == ["hub_active"]
    assert hub2.file(WORK + "/state/master_hub.dat").content_string == ADDRESSES["hub2"] + "\n"


def test_its_secrets_are_those_of_the_database():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what it names was looked at before
    with socket.create_connection((SHARED, 443), timeout=10) as plain, context.wrap_socket(plain) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    assert "on hub2\nrobot 200" in answer


def test_the_client_follows():
    client = get_host("client1")
    client.run("cf-agent -K -f update.cf")
    assert client.file(WORK + "/policy_server.dat").content_string.strip() in (ADDRESSES["hub2"], SHARED)
    run_agent(client)
