# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for what an Enterprise client reports: ``serve`` keeps the report new, ``call`` calls the hub.

The report lies where cf-serverd's stock policy serves it to the hub, in WORK/data. A call is for clients whose
port 5308 the hub cannot reach: the client opens the connection, and the hub collects through it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time

from lab.collector import cfnet, wire

EVERY = 2.0           # seconds between two reports
CALL_SECONDS = 20.0
SERVERD_PORT = 5308


def report(key, hostname, now, validated):
    """The report as text (pure).

    validated: the text of inputs/cf_promises_validated, which says when the policy was found to be right.
    """
    try:
        policy = json.loads(validated).get("timestamp")
    except (ValueError, AttributeError):
        policy = None
    return json.dumps({"what": "the lab's stand-in for a report", "hostkey": key, "hostname": hostname, "at": now,
                       "policy": policy}) + "\n"


def hub_address(text):
    """The hub's address out of the text of policy_server.dat, without a port; None when it names none (pure)."""
    lines = text.strip().splitlines()
    address = lines[0].strip() if lines else ""
    if address.startswith("["):
        return address[1:].partition("]")[0] or None
    if address.count(":") == 1:
        address = address.partition(":")[0]
    return address or None


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(4096)
    except OSError:
        return ""


def write(key, work=cfnet.WORK):
    """Write the report anew, in one piece."""
    path = os.path.join(work, "data", cfnet.REPORT)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    text = report(key, socket.gethostname(), round(time.time(), 3),
                  _text(os.path.join(work, "inputs", "cf_promises_validated")))
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(path + ".new", path)


def serve():
    """Keep the report new, for ever; the key is read once it is there. systemd is told of the first report."""
    key = None
    while True:
        if not key:
            key = cfnet.own_key()
        if key:
            write(key)
        _ready()
        time.sleep(EVERY)


def _ready():
    """Tell systemd once that this unit has started."""
    name = os.environ.pop("NOTIFY_SOCKET", None)
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + name[1:] if name.startswith("@") else name)
            notify.send(b"READY=1")


def call(work=cfnet.WORK):
    """Call the hub of policy_server.dat and be collected from; returns the outcome (dict)."""
    hub = hub_address(_text(os.path.join(work, "policy_server.dat")))
    key = cfnet.own_key(work)
    if not hub or not key:
        return {"outcome": "other", "message": "this host is not bootstrapped", "hub": None, "address": hub}
    write(key, work)
    deadline = time.monotonic() + CALL_SECONDS
    reader = wire.Reader()
    try:
        with socket.create_connection((hub, wire.PORT), timeout=5) as connection:
            connection.sendall(wire.frame(wire.HELLO, {"hostkey": key}))
            kind, body = wire.receive(connection, reader, deadline)
            if kind == wire.GO:
                kind, body = _connect(connection, reader, deadline)
            if kind != wire.RESULT:
                raise wire.Broken("the hub does not speak this protocol")
            return dict(wire.decode(body), address=hub)
    except (OSError, wire.Broken) as exc:
        return {"outcome": "unreachable", "message": "the hub: %s" % exc, "hub": None, "address": hub}


def _connect(connection, reader, deadline):
    """Put the call through to our own cf-serverd; returns the result's frame."""
    # At our own address, not 127.0.0.1: the stock policy lets 127.0.0.1 connect, but read nothing.
    own = connection.getsockname()[0]
    try:
        server = socket.create_connection((own, SERVERD_PORT), timeout=5)
    except OSError as exc:
        connection.sendall(wire.frame(wire.TROUBLE, ("the client's own cf-serverd: %s" % exc).encode()))
        return wire.receive(connection, reader, deadline)
    with server:
        return wire.relay(connection, reader, server, deadline, to_the_result=True)


def main(arguments=None):
    """``serve`` runs for ever; ``call`` prints the outcome as JSON and is 0 when the report was collected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("serve", "call"))
    if parser.parse_args(arguments).action == "serve":
        return serve()
    outcome = call()
    print(json.dumps(outcome))
    return 0 if outcome["outcome"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
