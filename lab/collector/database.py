# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for cf-hub: its tables in cfdb, through the local socket as root, with psql's standard input.

Values go in as one JSON text in one literal: nothing that a client or cf-net says is ever part of a statement.
"""

from __future__ import annotations

import json
import subprocess

KEPT_ROUNDS = 200  # of each activation, besides its first one

TABLES = """
DROP TABLE IF EXISTS lab_rounds, lab_activations, lab_collected;
CREATE TABLE IF NOT EXISTS lab_clients (
    hostkey text PRIMARY KEY,
    hostname text NOT NULL,
    ipaddress text NOT NULL,
    registered timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE lab_collected (
    hostkey text NOT NULL,
    hub text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('pull', 'call')),
    outcome text NOT NULL CHECK (outcome IN ('ok', 'auth', 'refused', 'unreachable', 'other')),
    times bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    bytes bigint NOT NULL,
    message text NOT NULL,
    report json,
    PRIMARY KEY (hostkey, hub, direction, outcome)
);
CREATE TABLE lab_activations (
    id bigserial PRIMARY KEY,
    hub text NOT NULL,
    at timestamptz NOT NULL,
    why text NOT NULL
);
CREATE TABLE lab_rounds (
    activation bigint NOT NULL,
    round bigint NOT NULL,
    at timestamptz NOT NULL,
    seconds double precision NOT NULL,
    clients int NOT NULL,
    ok int NOT NULL,
    auth int NOT NULL,
    refused int NOT NULL,
    unreachable int NOT NULL,
    other int NOT NULL,
    PRIMARY KEY (activation, round)
);
COMMENT ON TABLE lab_clients IS 'The lab''s stand-in for cf-hub: whom to collect from';
COMMENT ON TABLE lab_collected IS 'The lab''s stand-in for cf-hub: what came of it';
"""

CLIENTS = """
SELECT coalesce(json_agg(c ORDER BY c.hostkey), '[]') FROM (SELECT hostkey, hostname, ipaddress FROM lab_clients) AS c;
"""

_REGISTER = """
INSERT INTO lab_clients (hostkey, hostname, ipaddress)
    SELECT hostkey, hostname, ipaddress FROM json_to_recordset(%s) AS r (hostkey text, hostname text, ipaddress text)
    ON CONFLICT (hostkey) DO UPDATE SET hostname = EXCLUDED.hostname, ipaddress = EXCLUDED.ipaddress;
"""
_COLLECTED = """
INSERT INTO lab_collected (hostkey, hub, direction, outcome, times, first_at, last_at, bytes, message, report)
    SELECT hostkey, hub, direction, outcome, 1, to_timestamp(at), to_timestamp(at), bytes, message, report
      FROM json_to_recordset(%s) AS r (hostkey text, hub text, direction text, outcome text, at double precision,
                                       bytes bigint, message text, report json)
    ON CONFLICT (hostkey, hub, direction, outcome) DO UPDATE
    SET times = lab_collected.times + 1, last_at = EXCLUDED.last_at, bytes = EXCLUDED.bytes,
        message = EXCLUDED.message, report = EXCLUDED.report;
"""
_ACTIVATION = """
INSERT INTO lab_activations (hub, at, why)
    SELECT hub, to_timestamp(at), why FROM json_to_recordset(%s) AS r (hub text, at double precision, why text)
    RETURNING id;
"""
_ROUND = """
INSERT INTO lab_rounds
    SELECT activation, round, to_timestamp(at), seconds, clients, ok, auth, refused, unreachable, other
      FROM json_to_recordset(%s) AS r (activation bigint, round bigint, at double precision, seconds double precision,
                                       clients int, ok int, auth int, refused int, unreachable int, other int);
DELETE FROM lab_rounds AS old USING json_to_recordset(%s) AS r (activation bigint, round bigint)
    WHERE old.activation = r.activation AND old.round > 1 AND old.round <= r.round - {kept};
""".format(kept=KEPT_ROUNDS)

REPORT = """
SELECT json_build_object(
    'clients', (SELECT coalesce(json_agg(c ORDER BY c.hostname), '[]') FROM lab_clients AS c),
    'collected', (SELECT coalesce(json_agg(c), '[]') FROM (
        SELECT hostkey, hub, direction, outcome, times, extract(epoch FROM last_at) AS last_at, bytes, message
          FROM lab_collected) AS c),
    'activations', (SELECT coalesce(json_agg(a ORDER BY a.id), '[]') FROM (
        SELECT id, hub, extract(epoch FROM at) AS at, why FROM lab_activations) AS a),
    'rounds', (SELECT coalesce(json_agg(r ORDER BY r.activation, r.round), '[]') FROM (
        SELECT activation, round, extract(epoch FROM at) AS at, seconds, clients, ok, auth, refused, unreachable, other
          FROM lab_rounds AS every
         WHERE round = 1 OR round = (SELECT max(round) FROM lab_rounds WHERE activation = every.activation)) AS r));
"""


class DatabaseError(Exception):
    """psql failed; the text is its last line."""


def literal(value):
    """*value* (lists, dicts, strings, numbers, None) as an SQL literal that holds it as JSON (pure).

    ASCII only, without control characters: cfdb's encoding is SQL_ASCII, where JSON's escapes for other
    characters fail, and a text may hold anything that a host has sent.
    """
    return "'%s'" % json.dumps(plain(value), allow_nan=False).replace("'", "''")


def plain(value):
    """*value* with every string made printable ASCII (pure)."""
    if isinstance(value, str):
        return "".join(char if " " <= char <= "~" else "?" for char in value)
    if isinstance(value, dict):
        return dict((plain(str(name)), plain(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def register(clients):
    """SQL that makes *clients* (dicts: hostkey, hostname, ipaddress) known (pure)."""
    return _REGISTER % literal(clients)


def collected(rows):
    """SQL that notes what came of fetches (dicts, see the table) (pure)."""
    return _COLLECTED % literal(rows)


def activation(hub, at, why):
    """SQL that notes that *hub* has become active, and answers with the number of this activation (pure)."""
    return _ACTIVATION % literal([{"hub": hub, "at": at, "why": why}])


def a_round(figures):
    """SQL that notes one round (dict, see the table) (pure)."""
    return _ROUND % (literal([figures]), literal([figures]))


def psql(sql, timeout=8, database="cfdb"):
    """Run SQL in one transaction as root through the local socket; returns the output. Raises DatabaseError."""
    try:
        done = subprocess.run(["psql", "-XAtq1", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"], check=False,
                              input="SET statement_timeout = '5s';\nSET standard_conforming_strings = on;\n" + sql,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
    except (OSError, subprocess.SubprocessError) as exc:
        raise DatabaseError("psql: %s" % exc) from exc
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise DatabaseError(lines[-1] if lines else "psql ended with %d" % done.returncode)
    return done.stdout.strip()
