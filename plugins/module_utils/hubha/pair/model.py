# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program on a hub knows of the pair: the file /etc/cfengine-hub-ha/pair.json. No secret is in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..core.problem import Problem
from ..core.run import HubError

PATH = "/etc/cfengine-hub-ha/pair.json"
SCHEMA = 1


@dataclass(frozen=True)
class SharedAddress:
    """An address that moves with the active hub. id: of its resource, ip: without prefix, prefix: length or None."""

    id: str
    ip: str
    prefix: Optional[int] = None


@dataclass(frozen=True)
class Pair:
    """One hub's view of the pair.

    node, peer: the cluster's names of this hub and of the other one. cluster: corosync's cluster_name. data_dir,
    bin_dir, db_user, port, socket_dir (None: PostgreSQL's default): this hub's database. ha_dir, tmp_dir: see
    layout. replication_user, sslmode: how a standby comes to its primary. peer_addresses: the other hub's own
    addresses, that of the replication network first. addresses: the shared ones. client_addresses: this hub's own in
    the networks of the shared addresses of clients. reference_addresses: what must answer where clients can be reached;
    may be empty. token_ms: corosync's token, milliseconds. max_lag_mb: WAL that a healthy standby may be behind,
    megabytes. run_options: what a playbook needs on its command line to mean this pair, see groups; with a space before
    it.
    """

    node: str
    peer: str
    cluster: str
    data_dir: str
    bin_dir: str
    db_user: str
    port: int
    socket_dir: Optional[str]
    ha_dir: str
    tmp_dir: str
    replication_user: str
    sslmode: str
    peer_addresses: Tuple[str, ...]
    addresses: Tuple[SharedAddress, ...]
    client_addresses: Tuple[str, ...] = ()
    reference_addresses: Tuple[str, ...] = ()
    token_ms: int = 3000
    max_lag_mb: int = 16
    run_options: str = ""
    schema: int = field(default=SCHEMA)

    def to_dict(self) -> Dict[str, Any]:
        """As it stands in the file."""
        found = asdict(self)
        for name in ("peer_addresses", "client_addresses", "reference_addresses", "addresses"):
            found[name] = list(found[name])
        return found


def problems(given: Mapping[str, Any]) -> List[Problem]:
    """What is wrong with the contents of a pair file; an empty list when nothing is."""
    found: List[Problem] = []
    node = str(given.get("node") or "this hub")

    def wrong(text: str) -> None:
        found.append(Problem("PAIR_FILE", node, "%s: %s" % (PATH, text),
                             "run playbooks/upgrade-to-ha.yml: it writes this file"))

    if given.get("schema") != SCHEMA:
        wrong("schema %r, where %d is known" % (given.get("schema"), SCHEMA))
        return found
    for name in ("node", "peer", "cluster", "data_dir", "bin_dir", "db_user", "ha_dir", "tmp_dir", "replication_user",
                 "sslmode"):
        if not isinstance(given.get(name), str) or not given.get(name):
            wrong("%s is %r, where a text is wanted" % (name, given.get(name)))
    for name in ("data_dir", "bin_dir", "ha_dir", "tmp_dir"):
        if isinstance(given.get(name), str) and not given[name].startswith("/"):
            wrong("%s is %r, no absolute path" % (name, given[name]))
    for name, least, most in (("port", 1, 65535), ("token_ms", 100, 3600000), ("max_lag_mb", 0, 1 << 20)):
        if name == "max_lag_mb" and name not in given:
            continue  # a file of before
        value = given.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            wrong("%s is %r, where a number from %d to %d is wanted" % (name, value, least, most))
    if given.get("socket_dir") is not None and not isinstance(given["socket_dir"], str):
        wrong("socket_dir is %r, where a path or null is wanted" % (given["socket_dir"],))
    if not isinstance(given.get("run_options", ""), str):
        wrong("run_options is %r, where a text is wanted" % (given["run_options"],))
    for name in ("peer_addresses", "client_addresses", "reference_addresses"):
        value = given.get(name)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
            wrong("%s is %r, where a list of addresses is wanted" % (name, value))
    shared = given.get("addresses")
    if not isinstance(shared, (list, tuple)) or not all(
            isinstance(item, dict) and item.get("id") and item.get("ip") for item in shared):
        wrong("addresses is %r, where a list of {id, ip, prefix} is wanted" % (shared,))
    if given.get("node") and given.get("node") == given.get("peer"):
        wrong("node and peer are both %s" % given["node"])
    return found


def from_dict(given: Mapping[str, Any]) -> Pair:
    """The pair out of the file's contents; HubError with every problem in its text."""
    bad = problems(given)
    if bad:
        raise HubError("; ".join(str(item) for item in bad), problems=[item.to_dict() for item in bad])
    names = [item.name for item in fields(Pair)]
    values = dict((name, value) for name, value in given.items() if name in names)  # a later version may say more
    for name in ("peer_addresses", "client_addresses", "reference_addresses"):
        values[name] = tuple(values[name])
    values["addresses"] = tuple(SharedAddress(item["id"], item["ip"], item.get(
        "prefix")) for item in given["addresses"])
    return Pair(**values)


def dump(pair: Pair) -> str:
    """The file's text, the same for the same pair."""
    return json.dumps(pair.to_dict(), indent=2, sort_keys=True) + "\n"


def load(path: str = PATH) -> Optional[Pair]:
    """The pair of this hub; None when there is no such file. HubError when it cannot be read or is wrong."""
    try:
        with open(path, encoding="utf-8") as stream:
            given = json.load(stream)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HubError("%s cannot be read: %s -> run playbooks/upgrade-to-ha.yml, which writes it" % (path,
                                                                                                      error)) from error
    if not isinstance(given, dict):
        raise HubError("%s holds no mapping -> run playbooks/upgrade-to-ha.yml, which writes it" % path)
    return from_dict(given)
