# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads which firewall a host has and what of it is ours, and carries out the steps of model. I/O only."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence

from ...core.files import read_text, replace_file
from ...core.run import CommandMissing, HubError, Runner, which
from .. import owners, units as host_units
from . import model

FIREWALLD_CONF = "/etc/firewalld/firewalld.conf"
UFW_CONF = "/etc/ufw/ufw.conf"
UFW_DEFAULT = "/etc/default/ufw"
LEGACY_TABLES = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")


def read(run: Runner) -> Dict[str, Any]:
    """The state of this host's firewall, as model takes it: "kind" is firewalld, ufw, nftables, iptables or
    none; "problem" says why it cannot be managed here.
    """
    try:
        out = run(["systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState,ExecStart",
                   "firewalld.service", "nftables.service"]).out
    except CommandMissing:
        out = ""
    units = host_units.parse(out)
    if units.get("firewalld", {}).get("active") == "active":
        return firewalld(run)
    if which("ufw") and re.search(r"(?mi)^ENABLED=[\"']?yes\b", read_text(UFW_CONF) or ""):
        return ufw(run)
    found = nftables(run, units, out) if which("nft") else None
    if found:
        return found
    return iptables(run) or {"kind": "none", "problem": None}


def firewalld(run: Runner) -> Dict[str, Any]:
    """The state of firewalld."""
    zones = model.parse_zones(run(["firewall-cmd", "--list-all-zones"]).out)
    permanent = model.parse_zones(run(["firewall-cmd", "--permanent", "--list-all-zones"]).out)
    # firewall-cmd takes a second to start; this one value is in its file, which it writes whenever the value changes.
    default = re.search(r"(?m)^DefaultZone=(\S+)", read_text(FIREWALLD_CONF) or "")
    return {"kind": "firewalld", "problem": None, "default": default.group(1) if default else "public",
            "zones": {name: {"target": zone["target"], "interfaces": zone["interfaces"], "sources": zone["sources"]}
                      for name, zone in zones.items()
                      if zone["interfaces"] or zone["sources"] or zone["target"] == "ACCEPT"},
            "running": {name: zone["ours"] for name, zone in zones.items() if zone["ours"]},
            "permanent": {name: zone["ours"] for name, zone in permanent.items() if zone["ours"]}}


def ufw(run: Runner) -> Dict[str, Any]:
    """The state of ufw."""
    return {"kind": "ufw", "problem": None, "added": model.parse_added(run(["ufw", "show", "added"]).out),
            "ipv6": bool(re.search(r"(?mi)^IPV6=[\"']?yes\b", read_text(UFW_DEFAULT) or ""))}


def nftables(run: Runner, units: host_units.Units, shown: str) -> Optional[Dict[str, Any]]:
    """The state of nftables; None when no chain of the operator's own closes anything and nothing of ours is there.

    units, shown: of nftables.service, as read() has them.
    """
    done = run(["nft", "-j", "list", "ruleset"], check=False)
    found = model.parse_ruleset(json.loads(done.out or "{}")) if done.rc == 0 else {}
    if not found or not (found["blocking"] or found["chains"] or found["jumps"]):
        return None
    match = re.search(r"argv\[\]=\S*nft\b[^;]*?-f (\S+)", shown)
    conf_path = match.group(1) if match else "/etc/nftables.conf"
    stem, extension = os.path.splitext(conf_path)
    file_path = stem + "-hub_ha" + extension
    rules = {}
    for chain in found["chains"]:
        text = run(["nft", "-nn", "list", "chain"] + chain).out
        rules[" ".join(chain)] = [line.strip() for line in text.splitlines()[2:-2]]
    state: Dict[str, Any] = {
        "kind": "nftables", "problem": None, "blocking": found["blocking"], "jumps": found["jumps"],
        "chains": found["chains"], "rules": rules, "conf_path": conf_path, "conf": read_text(conf_path),
        "file_path": file_path, "file": read_text(file_path)}
    if units.get("nftables", {}).get("enabled") != "enabled" or state["conf"] is None:
        state["problem"] = "packets are dropped by nftables (%s), and nftables.service does not load that from %s" % (
            ", ".join(" ".join(chain[:3]) for chain in found["blocking"]) or model.MARK, conf_path)
    return state


def iptables(run: Runner) -> Optional[Dict[str, Any]]:
    """State of plain iptables that closes something; None otherwise."""
    legacy = any("filter" in (read_text(path) or "").split() for path in LEGACY_TABLES)
    data = run(["nft", "-j", "list", "tables"], check=False).out if which("nft") else ""
    if not which("iptables") or not (legacy or '"ip"' in data or not data):
        return None
    done = run(["iptables", "-S", "INPUT"], check=False)
    if done.rc != 0 or not re.search(r"(?m)^-P INPUT DROP|-j (DROP|REJECT)\b", done.out):
        return None
    return {"kind": "iptables", "problem": "packets are dropped by plain iptables, whose rules somebody else loads"}


def carry_out(run: Runner, steps: Iterable[model.Step]) -> None:
    """Do the steps in their order. Raises HubError, and then what was done before stays."""
    for step in steps:
        if "run" in step:
            run(step["run"], stdin=step.get("stdin"))
        elif "remove" in step:
            os.unlink(step["remove"])
        else:
            if step.get("check"):
                try_at_boot(run, step["write"], step["text"])
            owners.rewrite(step["write"], step["text"], 0o644)


def try_at_boot(run: Runner, path: str, text: str) -> None:
    """Would nftables.service load that at boot? Tried in a network namespace, which is as empty as the host is then.

    Raises HubError when not.
    """
    trial = path + ".hub_ha-trial"
    replace_file(trial, text.encode("utf-8"), 0o600)
    try:
        done = run(["unshare", "--net", "nft", "--check", "--file", trial], check=False)
    finally:
        os.unlink(trial)
    if done.rc != 0:
        raise HubError("%s would not be loaded at boot: %s" % (path, (done.err or done.out).strip()))


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be. kind: of the firewall. before, after: our own rules in it."""

    changed: bool
    kind: str
    before: List[str]
    after: List[str]


def ensure(run: Runner, rules: Sequence[model.Rule], check: bool = False) -> Outcome:
    """The firewall lets in *rules* and what the operator's own let in, no more. check: only tell. Raises HubError."""
    try:
        state = read(run)
        if rules:
            for problem, remedy in model.problems(state, rules):
                raise HubError("%s: %s" % (problem, remedy))
        found = model.changes(state, rules)
        if not check:
            carry_out(run, found["steps"])
    except ValueError as error:
        raise HubError("a rule names no address: %s" % error) from error
    except OSError as error:
        raise HubError("cannot change the firewall's configuration: %s" % error) from error
    return Outcome(bool(found["steps"]), state["kind"], found["before"], found["after"])
