# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the passive hub's database is a true copy of the active one's at this moment. Pure functions.

In: what module replication_info returns for each hub, and who is to copy whom. Out: a list of Problem, empty if it is.
What is not known is not well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from ..core.problem import Problem
from ..core.text import human

Facts = Mapping[str, Any]

UPGRADE = "ansible-playbook -i INVENTORY playbooks/upgrade-to-ha.yml"
STOP_ONE = ('on the hub whose writes you can do without: systemctl stop pacemaker corosync. Which one that is: '
            'docs/operate.md, "Unplanned failover"')


@dataclass(frozen=True)
class Copy:
    """Who is to copy whom. active, passive: inventory names. node, slot: the passive hub's."""

    active: str
    passive: str
    node: str
    slot: str

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any]) -> Copy:
        """What a plan of upgrade.make_plan says of it."""
        passive = plan["passive"]
        return cls(plan["active"], passive, plan["nodes"][passive], plan["slots"][passive])


def copy_problems(replication: Mapping[str, Facts], pair: Copy, max_lag_mb: int) -> List[Problem]:
    """Why the passive hub's database is no true copy of the active one's at this moment."""
    found = server_problems(replication, pair)
    found += system_problems([info.get("system_identifier") for info in replication.values()])
    if pair.active in replication:
        found += sender_problems(replication[pair.active], pair, max_lag_mb)
    return found + replay_problems(replication, pair)


def system_problems(identifiers: Iterable[Optional[str]]) -> List[Problem]:
    """All servers belong to one database system."""
    if len(set(identifiers)) < 2:
        return []
    return [Problem("OTHER_SYSTEM", "all", "the hubs hold different databases (system identifiers differ)",
                    'docs/operate.md, "Clone it anew"')]


def server_problems(replication: Mapping[str, Facts], pair: Copy) -> List[Problem]:
    """PostgreSQL runs as the primary on the active hub and as a standby on the passive one."""
    roles = {host: info.get("role") for host, info in replication.items()}
    active, passive = pair.active, pair.passive
    if [roles.get(host) for host in (active, passive)] == ["primary", "primary"]:
        return [Problem("TWO_PRIMARIES", "all", "PostgreSQL on %s and on %s is primary" % (active, passive),
                        STOP_ONE)]
    found = []
    for host, role, code in ((active, "primary", "NO_PRIMARY"), (passive, "standby", "REPL_STOPPED")):
        if host not in roles or roles[host] == role:
            continue
        moved = roles[host] in ("primary", "standby") and roles.get(passive, "primary") == "primary"
        word = roles[host] or "in an unknown state"
        if not roles[host] and replication[host].get("msg"):
            word += " (%s)" % " ".join(str(replication[host]["msg"]).split())
        found.append(Problem(
            "ROLES_MOVED" if moved else code, host, "PostgreSQL on %s is %s, not %s" % (host, word, role),
            "the active role has moved meanwhile; run it again: " + UPGRADE if moved
            else "crm_mon -1rAf says why; tail /var/log/postgresql.log"))
    return found


def sender_problems(primary: Facts, pair: Copy, max_lag_mb: int) -> List[Problem]:
    """What the primary (its result of replication_info) knows against its standby."""
    found = []
    active, passive = pair.active, pair.passive
    name = pair.node
    senders = [item for item in primary.get("senders") or [] if item["application_name"] == name]
    if not senders or senders[0]["state"] != "streaming":
        state = senders[0]["state"] if senders else "no connection"
        found.append(Problem("REPL_STOPPED", passive, "%s does not stream to %s (%s)" % (active, passive, state),
                             "on %s: tail /var/log/postgresql.log; psql -X -d postgres -c 'SELECT * FROM "
                             "pg_stat_wal_receiver'" % passive))
    else:
        lag = senders[0].get("lag_bytes")
        if not senders[0].get("ssl"):
            found.append(Problem("REPL_NOT_ENCRYPTED", passive, "replication is not encrypted",
                                 "set hub_ha_sslmode to verify-ca or verify-full, then: " + UPGRADE))
        if lag is None:
            found.append(Problem(
                "REPL_LAG", passive, "how far %s is behind is not known: it has replayed nothing yet" % passive,
                "wait, then on %s: psql -X -d postgres -c 'SELECT * FROM pg_stat_replication'" % active))
        found += lag_problems(lag, pair, max_lag_mb)
    return found + slot_problems(primary, pair)


def lag_problems(lag: Optional[int], pair: Copy, max_lag_mb: int) -> List[Problem]:
    """The standby has replayed all but a little. lag: bytes of WAL that it has not, None when that is not known."""
    if lag is None or lag <= int(max_lag_mb) << 20:
        return []
    return [Problem("REPL_LAG", pair.passive, "%s is %s behind" % (pair.passive, human(lag)),
                    "wait until it has caught up; what hinders it: disk, network, or a long query on %s" % pair.passive)]


def slot_problems(primary: Facts, pair: Copy) -> List[Problem]:
    """The passive hub's slot on the active one is there, in use, and has all WAL that is needed."""
    passive = pair.passive
    name = pair.slot
    slot = next((item for item in primary.get("slots") or [] if item["name"] == name), None)
    if slot is None:
        return [Problem("SLOT_MISSING", pair.active, "replication slot %s is missing" % name,
                        "psql -X -d postgres -c \"SELECT pg_create_physical_replication_slot('%s', true)\"" % name)]
    if slot.get("wal_status") == "lost":
        return [Problem("SLOT_LOST", pair.active, "replication slot %s is lost: the WAL that %s needs is gone" % (
            name, passive), 'docs/operate.md, "Clone it anew", for %s' % passive)]
    if not slot.get("active"):
        return [Problem("SLOT_MISSING", pair.active, "replication slot %s is not in use" % name,
                        "on %s: psql -X -d postgres -c 'SELECT status, slot_name FROM pg_stat_wal_receiver'; tail "
                        "/var/log/postgresql.log" % passive)]
    return []


def lower_settings(replication: Mapping[str, Facts], pair: Copy) -> List[Tuple[str, Optional[int], int]]:
    """(name, the standby's value or None when unknown, the primary's) of settings that are lower on the standby."""
    if pair.active not in replication or pair.passive not in replication:
        return []
    primary, standby = [replication[host].get("not_lower") or {} for host in (pair.active, pair.passive)]
    return [(name, standby.get(name), value) for name, value in sorted(primary.items())
            if standby.get(name) is None or standby[name] < value]


def replay_problems(replication: Mapping[str, Facts], pair: Copy) -> List[Problem]:
    """The standby replays what it receives."""
    passive = pair.passive
    info = replication.get(passive) or {}
    if info.get("role") != "standby" or info.get("replay_paused") is False:
        return []
    if info.get("replay_paused") is None:
        return [Problem("REPLAY_PAUSED", passive, "whether replay is paused is not known",
                        "psql -X -d postgres -c 'SELECT pg_is_wal_replay_paused()'")]
    low = lower_settings(replication, pair)
    return [Problem(
        "REPLAY_PAUSED", passive,
        "replay is paused: what is received waits, and a promotion would wait for it or end the server",
        "raise its settings and restart it, as said for STANDBY_SETTING_LOWER. Do not resume it: that would end it"
        if low else "psql -X -d postgres -c 'SELECT pg_wal_replay_resume()'")]
