# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for Enterprise's call-collect: how a client and its hub share the one connection that the client opened.

Frames: one byte that says what it is, four that say how long, and so many bytes:

====  =======================================================================================
H     client: JSON with the key it claims to have (proved later, by the CFEngine protocol)
G     hub: go on, connect this to your cf-serverd
D     both: bytes of the CFEngine protocol, between cf-net on the hub and the client's cf-serverd
E     both: no more of those bytes
X     client: why it cannot go on
R     hub: JSON with the outcome; ends the call
====  =======================================================================================
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from contextlib import suppress

PORT = 5309           # Enterprise's call-collect uses 5308; cf-serverd of the Community edition has no use for calls
HELLO, GO, DATA, END, TROUBLE, RESULT = (bytes([byte]) for byte in b"HGDEXR")
KINDS = (HELLO, GO, DATA, END, TROUBLE, RESULT)
MOST = 65536          # bytes of one frame
_HEAD = struct.Struct("!cI")


class Broken(Exception):
    """The call cannot go on; the text says why."""


def frame(kind, body=b""):
    """One frame as bytes (pure); *body* may also be something that JSON can hold."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return _HEAD.pack(kind, len(body)) + body


class Reader:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self):
        self.rest = b""

    def feed(self, data):
        """Add bytes that have arrived."""
        self.rest += data

    def next(self):
        """The next frame as (kind, body), or None when it is not all there yet. Raises Broken for nonsense."""
        if len(self.rest) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(self.rest)
        if kind not in KINDS or length > MOST:
            raise Broken("the other side does not speak this protocol")
        if len(self.rest) < _HEAD.size + length:
            return None
        body = self.rest[_HEAD.size:_HEAD.size + length]
        self.rest = self.rest[_HEAD.size + length:]
        return kind, body


def decode(body):
    """The JSON object in a frame's body (dict). Raises Broken when it is none (pure)."""
    try:
        value = json.loads(body.decode("utf-8"))
    except ValueError as exc:
        raise Broken("a frame that should hold JSON holds something else") from exc
    if not isinstance(value, dict):
        raise Broken("a frame that should hold a JSON object holds something else")
    return value


def receive(connection, reader, deadline):
    """The next frame from *connection*; waits until *deadline* (monotonic seconds). Raises Broken."""
    while True:
        found = reader.next()
        if found:
            return found
        connection.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            data = connection.recv(MOST)
        except OSError as exc:
            raise Broken("no answer: %s" % exc) from exc
        if not data:
            raise Broken("the other side has hung up")
        if time.monotonic() > deadline:
            raise Broken("no answer in time")
        reader.feed(data)


def relay(connection, reader, raw, deadline, to_the_result):
    """Carry bytes between the frames on *connection* and the plain socket *raw*.

    Ends when *raw* ends (returns None), or, with to_the_result, when the result or trouble arrives (returns that
    frame). Raises Broken when the other side hangs up or *deadline* (monotonic seconds) passes.
    """
    raw_open = True
    connection.settimeout(5)
    raw.settimeout(5)
    while True:
        found = reader.next()
        while found:
            kind, body = found
            if kind in (RESULT, TROUBLE):
                return found
            with suppress(OSError):  # the end of raw shows when it is read
                if kind == DATA:
                    raw.sendall(body)
                elif kind == END:
                    raw.shutdown(socket.SHUT_WR)
            found = reader.next()
        if time.monotonic() > deadline:
            raise Broken("no end in time")
        try:
            ready = select.select([connection, raw] if raw_open else [connection], [], [], 0.5)[0]
            if raw in ready:
                data = _read(raw)
                connection.sendall(frame(DATA, data) if data else frame(END))
                if not data:
                    raw_open = False
                    if not to_the_result:
                        return None
            if connection in ready:
                data = connection.recv(MOST)
                if not data:
                    raise Broken("the other side has hung up")
                reader.feed(data)
        except OSError as exc:
            raise Broken("the connection is broken: %s" % exc) from exc


def finish(connection, body, seconds=5):
    """Send the result and wait until the other side has hung up: an early close would take the result with it."""
    connection.sendall(frame(RESULT, body))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(seconds)
        while connection.recv(MOST):
            pass


def _read(raw):
    try:
        return raw.recv(MOST)
    except OSError:
        return b""
