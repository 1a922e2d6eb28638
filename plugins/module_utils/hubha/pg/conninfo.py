# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How one hub's database reaches the other's, in libpq's words. No secret: the password stands in the passfile.

A standby streams from the other hub's own addresses, in order of preference, and not from a shared one: a shared address
moves while the standby is still to be sent the end of the WAL, and it lies on the clients' network.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence


def ordered(networks: Sequence[Mapping[str, Any]], first: str, host: str) -> List[str]:
    """Own addresses of *host* on the networks that both hubs have, that on network *first* first.

    networks: [{"network": CIDR, "addresses": {host: address}}].
    """
    return [net["addresses"][host] for net in sorted(networks, key=lambda net: net["network"] != first)]


def options(ha_dir: str, sslmode: str) -> str:
    """What every such connection says of TLS, passwords and of a peer that is gone without a word."""
    return ("passfile=%s/pgpass sslmode=%s sslrootcert=%s/root.crt connect_timeout=3 keepalives_idle=60 "
            "keepalives_interval=5 keepalives_count=5" % (ha_dir, sslmode, ha_dir))


def primary_only(major: int) -> str:
    """The word with which libpq takes a primary and no standby. major: PostgreSQL's; libpq knows "primary" from 14 on, and
    for 13 "read-write" is the same unless somebody forbids writes.
    """
    return "primary" if major >= 14 else "read-write"


def streaming(ha_dir: str, sslmode: str, major: int) -> str:
    """options() for a standby, which streams from a primary only.

    When no hub is the primary yet, each would stream from the other one, and the one that has more is then not promoted for
    a minute: PostgreSQL's walreceiver waits for a server that is behind, and in some minor versions (17.12) heeds no
    end while it waits, up to wal_receiver_timeout.
    """
    return "%s target_session_attrs=%s" % (options(ha_dir, sslmode), primary_only(major))


def standby(addresses: Sequence[str], port: int, user: str, node: str, more: str) -> str:
    """A standby's primary_conninfo, to the letter as heartbeat/pgsql's make_recovery_conf writes it.

    node: the name by which the primary knows its standby. more: see options().
    """
    return "host=%s port=%d user=%s application_name=%s %s" % (",".join(addresses), port, user, node, more)
