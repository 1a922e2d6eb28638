# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pair as one hub sees it, judged by the same functions as the playbook's verification. Pure functions.

A hub is asked at bad times: each part may be missing, and what is not known is a problem of its own. What only the
other hub can see of itself (its files, whether its replay is paused) is not judged here, but by `hub-ha status` there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional

from ..core.problem import Problem
from ..pair import copies
from ..pair.model import Pair
from ..pg.evidence import Side
from ..pg.slots import slot_name
from . import checks

SCHEMA = 2  # of to_dict(); 1 was what the guard writes, alone
AGAIN = "wait some seconds, then hub-ha status again; crm_mon -1rAf says what pacemaker does"
PACEMAKER = "systemctl status corosync pacemaker; journalctl -u corosync -u pacemaker"


@dataclass(frozen=True)
class Part:
    """What came of one question. why: why it is not known, empty where it is. age: seconds since it was true."""

    value: Any = None
    why: str = ""
    age: Optional[float] = None

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return not self.why

    def to_dict(self) -> Dict[str, Any]:
        """{"known", "age" (seconds, None where nothing is known), "why"}: all but the value."""
        return {"known": self.known, "age": None if self.age is None else round(self.age, 2), "why": self.why}


@dataclass(frozen=True)
class Seen:
    """All that a hub has found out.

    cluster: of cluster's observe(). database: of pg.status.gather(), this hub's own. other: the evidence.Side of the
    other hub's server, over the replication connection; not known where none answers. guard: what this hub's guard has
    written, with "running". units: {"guard", "pacemaker": ActiveState}. addresses: those of this hub's interfaces.
    files: [{"path", "size"}] of what is in /etc/cfengine-hub-ha.
    """

    pair: Pair
    cluster: Part
    database: Part
    other: Part
    guard: Part
    units: Part
    addresses: Part
    files: Part

    @property
    def parts(self) -> Dict[str, Part]:
        """By name."""
        return {"cluster": self.cluster, "database": self.database, "other": self.other, "guard": self.guard,
                "units": self.units, "addresses": self.addresses, "files": self.files}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What pacemaker says; empty where it is not known or pacemaker does not run."""
        return self.cluster.value if self.cluster.known and self.cluster.value.get("running") else {}

    @property
    def role(self) -> Optional[str]:
        """Of this hub's server: primary, standby, stopped, absent; None where it is not known."""
        return self.database.value.get("role") if self.database.known else None

    @property
    def other_role(self) -> Optional[str]:
        """Of the other hub's server as it says itself: primary or standby; None where it is not known."""
        side: Side = self.other.value
        if not self.other.known or side.in_recovery is None:
            return None
        return "standby" if side.in_recovery else "primary"


def active_hub(seen: Seen) -> str:
    """The hub that is to be the active one: pacemaker says so, else the servers, else it is taken to be this one."""
    both = (seen.pair.node, seen.pair.peer)
    status = checks.pgsql_status(seen.facts)
    promoted = [item["node"] for item in checks.instances_of(seen.facts, checks.DATABASE[0])
                if item.get("role") == "Promoted"]
    servers = [node for node, role in zip(both, (seen.role, seen.other_role)) if role == "primary"]
    for found in (promoted, [node for node in both if status.get(node) == "PRI"], servers):
        if len(found) == 1 and found[0] in both:
            return found[0]
    return seen.pair.peer if seen.role == "standby" else seen.pair.node


def plan_of(seen: Seen) -> Dict[str, Any]:
    """What the checks and the picture need of a plan; hosts are called as the cluster calls them."""
    pair, active = seen.pair, active_hub(seen)
    links = [str(link["address"]) for link in seen.facts.get("links") or [] if link.get("address")]
    return {
        "active": active, "passive": pair.peer if active == pair.node else pair.node,
        "nodes": {pair.node: pair.node, pair.peer: pair.peer},
        "virtual_ips": [{"id": item.id, "ip": item.ip} for item in pair.addresses],
        "slots": {node: slot_name("hub_ha", node) for node in (pair.node, pair.peer)},
        "links": [{"network": address} for address in links],
        "client": {"addresses": {pair.node: "".join(pair.client_addresses[:1]),
                                 pair.peer: "".join(pair.peer_addresses[:1])}}}


def problems(seen: Seen) -> List[Problem]:
    """Everything that is wrong with the pair as far as this hub sees it, first what other things come from."""
    plan, me = plan_of(seen), seen.pair.node
    found = checks.file_problems({me: seen.files.value}) if seen.files.known else [unknown(
        "FILES_UNKNOWN", me, "what is in /etc/cfengine-hub-ha", seen.files, "ls -l /etc/cfengine-hub-ha")]
    found += checks.guard_problems({me: guard_facts(seen)})
    if seen.cluster.known:
        # Where it is seen from is this hub.
        here = dict(plan, active=me, passive=seen.pair.peer)
        database = {me: seen.database.value} if seen.database.known else {}
        found += checks.unseen_problems(seen.cluster.value, plan, database,
                                        {me: seen.addresses.value if seen.addresses.known else None})
        found += checks.cluster_problems(seen.cluster.value, here)
    else:
        found.append(unknown("CLUSTER_UNKNOWN", me, "pacemaker does not answer here: how the cluster is", seen.cluster,
                             PACEMAKER))
    if not seen.addresses.known:
        found.append(unknown("ADDRESSES_UNKNOWN", me, "which addresses this hub has", seen.addresses, "ip -br address"))
    found += database_problems(seen, plan)
    found = checks.once_each(found, plan)
    return found + other_problems(seen, found)


def unknown(code: str, host: str, what: str, part: Part, remedy: str) -> Problem:
    """A problem of something that could not be found out."""
    return Problem(code, host, "%s is not known: %s" % (what, part.why), remedy)


def guard_facts(seen: Seen) -> Dict[str, Any]:
    """As guard_problems() wants them of this hub. Where systemd does not answer, a guard that writes is active."""
    status = seen.guard.value if seen.guard.known else {}
    units = seen.units.value if seen.units.known else {"guard": "active" if status.get("running") else ""}
    return {"active": units.get("guard"), "pacemaker": units.get("pacemaker"), "status": status}


def database_problems(seen: Seen, plan: Mapping[str, Any]) -> List[Problem]:
    """Why the databases are not healthy: what this hub's server says, and what the other one's says of itself."""
    me, peer = seen.pair.node, seen.pair.peer
    if not seen.database.known:
        return [unknown("DATABASE_UNKNOWN", me, "how PostgreSQL on this hub is", seen.database,
                        "tail /var/log/postgresql.log; psql -X -d postgres -c 'SELECT pg_is_in_recovery()'")]
    own, whom = seen.database.value, copies.Copy.of_plan(plan)
    both: Dict[str, Dict[str, Any]] = {me: {"role": seen.role}}
    if seen.other_role:
        both[peer] = {"role": seen.other_role}
    found = [replace(item, remedy=AGAIN) if item.code == "ROLES_MOVED" else item
             for item in copies.server_problems(both, whom)]
    identifiers = [own.get("system_identifier"), seen.other.value.system_identifier if seen.other_role else None]
    if all(identifiers):
        found += copies.system_problems(identifiers)
    if plan["active"] == me and seen.role == "primary":
        found += copies.sender_problems(own, whom, seen.pair.max_lag_mb)
    elif plan["passive"] == me and seen.other_role == "primary":
        found += copies.lag_problems((receives(seen) or {}).get("lag_bytes"), whom, seen.pair.max_lag_mb)
    return found + replay_problems(seen, plan) + checks.archiver_problems({me: own})


def replay_problems(seen: Seen, plan: Mapping[str, Any]) -> List[Problem]:
    """Whether this hub's replay is paused, and settings that are lower on the standby, which pause it."""
    me, whom, own = seen.pair.node, copies.Copy.of_plan(plan), seen.database.value
    both: Dict[str, Dict[str, Any]] = {me: own}
    if seen.other_role and seen.other.value.settings:
        both[seen.pair.peer] = {"role": seen.other_role,
                                "not_lower": {name: int(value) for name, value in seen.other.value.settings}}
    return (copies.replay_problems(both if whom.passive == me else {me: own}, whom)
            + checks.setting_problems(both, plan))


def other_problems(seen: Seen, known: List[Problem]) -> List[Problem]:
    """What this hub hears of the other one against it. known: the problems that are told anyhow."""
    peer, found = seen.pair.peer, []
    told = [item for item in known if item.host == peer]
    guard = seen.guard.value if seen.guard.known and seen.guard.value.get("running") else {}
    if (guard.get("peer") or {}).get("guard") is False and not any(
            item.code in ("GUARD_GONE", "HUB_DOWN") for item in told):
        found.append(Problem(
            "GUARD_GONE", peer, "this hub's guard hears nothing of the one on %s: maybe nobody stops the database "
            "there when its cluster daemons die" % peer,
            "on %s: systemctl restart %s; hub-ha status; journalctl -u %s" % (peer, checks.GUARD, checks.GUARD)))
    # Of a hub that is away, or whose database is kept stopped, nobody expects an answer.
    if seen.other_role is None and not any(
            item.code in ("HUB_DOWN", "REPL_STOPPED", "HUB_STANDBY") + checks.STOPS_DATABASE
            or item.code == "BAN_LEFT" and checks.KEEPS_DATABASE_OFF.search(item.problem) for item in told):
        why = seen.other.why or seen.other.value.why or "it does not say whether it takes writes"
        found.append(Problem(
            "PEER_UNKNOWN", peer, "how PostgreSQL on %s is, is not known: %s" % (peer, why),
            "on %s: hub-ha status; tail /var/log/postgresql.log; is it off, frozen or cut off: ping %s" % (
                peer, " ".join(seen.pair.peer_addresses))))
    return found


def replication_of(seen: Seen) -> Dict[str, Mapping[str, Any]]:
    """{hub: what the picture draws of its server}; on the standby the primary's view is put together from both."""
    me, peer = seen.pair.node, seen.pair.peer
    found: Dict[str, Mapping[str, Any]] = {}
    if seen.database.known:
        found[me] = seen.database.value
    if seen.other_role:
        found[peer] = {"role": seen.other_role, "timeline": seen.other.value.timeline or "?",
                       "senders": [sender for sender in [receives(seen)] if sender]}
    return found


def receives(seen: Seen) -> Optional[Dict[str, Any]]:
    """This standby as its primary would list it; None where it does not stream."""
    own = seen.database.value if seen.database.known else {}
    receiver = own.get("receiver") or {}
    if receiver.get("status") != "streaming":
        return None
    position, replayed = seen.other.value.position, own.get("replay_bytes")
    return {"application_name": seen.pair.node,
            "ssl": receiver.get("sslmode") in ("require", "verify-ca", "verify-full"),
            "lag_bytes": None if position is None or replayed is None else max(0, position - replayed)}
