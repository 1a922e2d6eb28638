# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done for a firewall to let in what it must. Pure functions on plain data.

A *rule* is {"source": address, CIDR or "any", "to": address or "any", "port": int, "protocol": "tcp" or "udp",
"interfaces": [names on which it comes in], "peer": whether it comes from another hub}. A *state* is what
system.read returns. Ours is told from the operator's by a mark: firewalld's rules have one of PRIORITIES, ufw's
have MARK as their comment, nftables' are in CHAINS. What has no such mark is never changed.

What comes from a peer is let in before the operator's own denials: he may well keep everybody else from PostgreSQL's
port. What comes from clients is let in after them, so that his blocklists hold, where the firewall can tell.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypedDict

MARK = "hub_ha"
PRIORITIES = {True: 'priority="-5308"', False: 'priority="5308"'}  # of a peer's: before the zone's denials, else after
CHAINS = {True: MARK, False: MARK + "_clients"}
MANAGEABLE = ("firewalld", "ufw", "nftables")
IPTABLES_TABLES = ("filter", "nat", "mangle", "raw", "security")


class Rule(TypedDict):
    """What to let in; see above."""

    source: str
    to: str
    port: int
    protocol: str
    interfaces: List[str]
    peer: bool


State = Mapping[str, Any]
Step = Dict[str, Any]  # {"run", "stdin"}, {"write", "text", "check"} or {"remove"}, see system.carry_out
Found = Tuple[List[Step], List[str], List[str]]  # steps, and our lines before and after
Zones = Dict[str, Dict[str, Any]]
Tables = Dict[Tuple[str, str], Dict[str, Any]]  # see nft_tables


def version_of(rule: Rule) -> Optional[int]:
    """4 or 6: the address family of a rule, or None when it is for both."""
    for text in (rule["source"], rule["to"]):
        if text != "any":
            return ipaddress.ip_network(text, strict=False).version
    return None


# --- firewalld ---------------------------------------------------------------------------------------------------

def parse_zones(text: str) -> Zones:
    """{zone: {"target", "interfaces", "sources", "ours": [rules with our mark]}} out of --list-all-zones."""
    zones: Zones = {}
    zone: Optional[Dict[str, Any]] = None
    for line in text.splitlines():
        if line and not line[0].isspace():
            zone = zones.setdefault(line.split()[0], {"target": "", "interfaces": [], "sources": [], "ours": []})
        elif zone is not None and line.startswith("\t"):
            if any(mark in line for mark in PRIORITIES.values()):
                zone["ours"].append(line.strip())
        elif zone is not None and ":" in line:
            name, value = line.strip().split(":", 1)
            if name == "target":
                zone["target"] = value.strip()
            elif name in ("interfaces", "sources"):
                zone[name] = value.split()
    return zones


def zones_of(rule: Rule, state: State) -> List[str]:
    """Names of the zones through which the rule's packets come in, without those that let in everything."""
    names = set()
    for interface in rule["interfaces"]:
        name = state["default"]
        for candidate, zone in state["zones"].items():
            if interface in zone["interfaces"]:
                name = candidate
        # A zone that has the source takes its packets, wherever they come in.
        for candidate, zone in sorted(state["zones"].items()):
            if rule["source"] != "any" and any(contains(source, rule["source"]) for source in zone["sources"]):
                name = candidate
        names.add(name)
    return sorted(name for name in names if state["zones"].get(name, {}).get("target") != "ACCEPT")


def contains(outer: str, inner: str) -> bool:
    """True when the address or CIDR *inner* lies in *outer*; what is no address (ipset:..., a MAC) holds nothing."""
    try:
        around, within = ipaddress.ip_network(outer, strict=False), ipaddress.ip_network(inner, strict=False)
        return within.subnet_of(around)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # TypeError: one is IPv4, the other one IPv6
        return False


def rich_rule(rule: Rule) -> str:
    """The rule as firewalld writes it."""
    words = ["rule", PRIORITIES[rule["peer"]]]
    version = version_of(rule)
    if version:
        words.append('family="ipv%d"' % version)
    if rule["source"] != "any":
        words.append('source address="%s"' % rule["source"])
    if rule["to"] != "any":
        words.append('destination address="%s"' % rule["to"])
    return " ".join(words + ['port port="%d" protocol="%s" accept' % (rule["port"], rule["protocol"])])


def firewalld_changes(state: State, rules: Sequence[Rule]) -> Found:
    """See changes()."""
    want: Dict[str, List[str]] = {}
    for rule in rules:
        for zone in zones_of(rule, state):
            want.setdefault(zone, []).append(rich_rule(rule))
    steps: List[Step] = []
    before: List[str] = []
    after: List[str] = []
    options: Dict[str, List[str]] = {"running": [], "permanent": ["--permanent"]}
    for place, option in options.items():
        for zone in sorted(set(state[place]) | set(want)):
            have, need = state[place].get(zone, []), want.get(zone, [])
            before += ["%s, zone %s: %s" % (place, zone, text) for text in sorted(have)]
            after += ["%s, zone %s: %s" % (place, zone, text) for text in sorted(need)]
            for change in (["--add-rich-rule=" + text for text in need if text not in have],
                           ["--remove-rich-rule=" + text for text in have if text not in need]):
                if change:
                    steps.append({"run": ["firewall-cmd", "--quiet", *option, "--zone=" + zone, *change]})
    return steps, before, after


# --- ufw -------------------------------------------------------------------------------------------------------

def parse_added(text: str) -> List[Tuple[str, str, str]]:
    """[(action, rest, comment)] out of `ufw show added`: each rule as ufw itself would write it."""
    found = []
    for line in text.splitlines():
        match = re.match(r"ufw (allow|deny|reject|limit) (.*?)(?: comment '(.*)')?$", line.strip())
        if match:
            found.append((match.group(1), match.group(2), match.group(3) or ""))
    return found


def ufw_rule(rule: Rule) -> str:
    """The rule as ufw writes it, without the action."""
    if rule["source"] == "any" and rule["to"] == "any":
        return "%d/%s" % (rule["port"], rule["protocol"])
    source = "" if rule["source"] == "any" else "from %s " % rule["source"]
    return "%sto %s port %d proto %s" % (source, rule["to"], rule["port"], rule["protocol"])


def ufw_changes(state: State, rules: Sequence[Rule]) -> Found:
    """See changes()."""
    ours = [rest for action, rest, comment in state["added"] if comment == MARK and action == "allow"]
    # The same rule without our mark is the operator's and does what is needed: ufw would put our mark on it.
    theirs = [rest for action, rest, comment in state["added"] if comment != MARK and action == "allow"]
    need = [text for text in dict.fromkeys(ufw_rule(rule) for rule in rules) if text not in theirs]
    steps: List[Step] = [{"run": ["ufw", "allow", *text.split(), "comment", MARK]} for text in need
                         if text not in ours]
    steps += [{"run": ["ufw", "--force", "delete", "allow"] + text.split()} for text in ours if text not in need]
    return steps, ["allow " + text for text in ours], ["allow " + text for text in need]


def ufw_problems(state: State, rules: Iterable[Rule]) -> Iterator[Tuple[str, str]]:
    """See problems()."""
    for rule in rules:
        text = ufw_rule(rule)
        for action, rest, dummy in state["added"]:
            if rest == text and action != "allow":
                yield ("ufw has a rule of yours that is the very opposite: ufw %s %s" % (action, rest),
                       "remove it: ufw delete %s %s" % (action, rest))
        if version_of(rule) == 6 and not state["ipv6"]:
            yield ("ufw is not set up for IPv6, and the hubs have a network with IPv6 (%s)" % rule["source"],
                   "set IPV6=yes in /etc/default/ufw, or leave that network out (hub_ha_links)")


# --- nftables --------------------------------------------------------------------------------------------------

def parse_ruleset(data: Mapping[str, Any]) -> Dict[str, Any]:
    """What matters of `nft -j list ruleset`, as {"blocking": [[family, table, chain, ends]], "jumps": [[family, table,
    chain, our chain, handle]], "chains": [[family, table, our chain]], "iptables": bool}.

    blocking: the operator's own input chains that let in only what they name: policy drop, or (ends) a drop or reject
    that stands under no condition, behind which nothing more can be let in.
    """
    tables: Dict[Tuple[str, str], Dict[str, Dict[str, Any]]] = {}
    found: Dict[str, Any] = {"blocking": [], "jumps": [], "chains": [], "iptables": False}
    for item in data.get("nftables", []):
        if "chain" in item:
            chain = item["chain"]
            tables.setdefault((chain["family"], chain["table"]), {})[chain["name"]] = dict(chain, rules=[])
            if chain["name"] in CHAINS.values():
                found["chains"].append([chain["family"], chain["table"], chain["name"]])
        elif "rule" in item:
            rule = item["rule"]
            tables[rule["family"], rule["table"]][rule["chain"]]["rules"].append(rule)
            found["jumps"] += [[rule["family"], rule["table"], rule["chain"], target(part), rule["handle"]]
                               for part in rule.get("expr", []) if target(part) in CHAINS.values()]
    for (family, table), chains in tables.items():
        for name, chain in chains.items():
            if chain.get("hook") != "input" or chain.get("type") != "filter" or family not in ("inet", "ip", "ip6"):
                continue
            if name == "INPUT" and table in IPTABLES_TABLES and family != "inet":
                found["iptables"] = True
            elif table != "firewalld" and (chain.get("policy") == "drop" or closes(chains, name)):
                found["blocking"].append([family, table, name, closes(chains, name)])
    return found


def target(part: Mapping[str, Any]) -> Optional[str]:
    """The chain to which a part of a rule goes, or None."""
    for verb in ("jump", "goto"):
        if verb in part:
            name: Optional[str] = part[verb].get("target")
            return name
    return None


def closes(chains: Mapping[str, Mapping[str, Any]], name: str, seen: Tuple[str, ...] = ()) -> bool:
    """True when a chain ends in a drop or reject that stands under no condition, itself or in a chain it goes to."""
    for rule in chains.get(name, {}).get("rules", []):
        expr = rule.get("expr", [])
        plain = [part for part in expr if not set(part) & {"counter", "log", "comment"}]
        if len(plain) != 1:
            continue
        if "drop" in plain[0] or "reject" in plain[0]:
            return True
        follow = target(plain[0])
        if follow and follow not in seen and closes(chains, follow, seen + (name,)):
            return True
    return False


def nft_rule(rule: Rule) -> str:
    """The rule as nft lists it (numbers, no names)."""
    words = []
    if rule["source"] != "any":
        words.append("%s saddr %s" % ("ip6" if version_of(rule) == 6 else "ip", rule["source"]))
    if rule["to"] != "any":
        words.append("%s daddr %s" % ("ip6" if version_of(rule) == 6 else "ip", rule["to"]))
    return " ".join(words + ["%s dport %d accept" % (rule["protocol"], rule["port"])])


def nft_tables(state: State, rules: Sequence[Rule]) -> Tables:
    """{(family, table): {"chains": [(base chain, ends)], "groups": [(our chain, [rules as text])]}}: what is to be."""
    found: Tables = {}
    if not rules:
        return found
    for family, table, chain, ends in state["blocking"]:
        groups = []
        for peer in (True, False):
            texts = [nft_rule(rule) for rule in rules if rule["peer"] is peer and (
                family == "inet" or version_of(rule) in (None, {"ip": 4, "ip6": 6}[family]))]
            groups += [(CHAINS[peer], list(dict.fromkeys(texts)))] if texts else []
        found.setdefault((family, table), {"chains": [], "groups": groups})["chains"].append((chain, ends))
    return found


def jump_line(family: str, table: str, chain: str, ends: bool, own: str) -> str:
    """nft's line for the jump from the operator's *chain* to ours; before a chain's end where it has one."""
    verb = "add" if own == CHAINS[False] and not ends else "insert"
    return "%s rule %s %s %s jump %s" % (verb, family, table, chain, own)


def chain_lines(family: str, table: str, own: str, texts: Iterable[str]) -> List[str]:
    """nft's lines for a chain of ours with these rules."""
    place = "%s %s %s" % (family, table, own)
    return ["add chain " + place, "flush chain " + place] + ["add rule %s %s" % (place, text) for text in texts]


def nft_file(tables: Tables) -> Optional[str]:
    """The file that nftables.service loads after the operator's own rules; it breaks nothing where a chain has gone."""
    if not tables:
        return None
    lines = ["# Managed by Ansible, role cfengine.hub_ha.firewall: what the hubs of the pair need from each other."]
    for (family, table), item in sorted(tables.items()):
        lines.append("add table %s %s" % (family, table))
        for own, texts in item["groups"]:
            lines += chain_lines(family, table, own, texts)
        for chain, ends in item["chains"]:
            lines.append("add chain %s %s %s" % (family, table, chain))
            lines += [jump_line(family, table, chain, ends, own) for own, dummy in item["groups"]]
    return "\n".join(lines) + "\n"


def include_block(path: str) -> str:
    """What makes nftables.conf load our file."""
    return "# BEGIN %s (Ansible, role cfengine.hub_ha.firewall)\ninclude \"%s\"\n# END %s\n" % (MARK, path, MARK)


def with_include(text: str, path: str, present: bool) -> str:
    """The text of nftables.conf with our block at its end, or without it."""
    plain = re.sub(r"(?ms)^# BEGIN %s .*?^# END %s\n?" % (MARK, MARK), "", text)
    if not present:
        return plain
    if include_block(path) in text:
        return text
    return plain + ("" if not plain or plain.endswith("\n") else "\n") + include_block(path)


def nft_script(state: State, tables: Tables) -> List[str]:
    """Lines for one transaction in what runs, in which nothing but our chains and the jumps to them is changed."""
    script: List[str] = []
    there: List[List[str]] = []
    wanted = [[family, table, chain, own] for (family, table), item in tables.items()
              for chain, dummy in item["chains"] for own, dummy in item["groups"]]
    for jump in state["jumps"]:
        # A second jump to the same place is left by a configuration that was loaded twice without a flush.
        if jump[:4] not in wanted or jump[:4] in there:
            script.append("delete rule %s %s %s handle %d" % (jump[0], jump[1], jump[2], jump[4]))
        there.append(jump[:4])
    owns = [[family, table, own] for (family, table), item in tables.items() for own, dummy in item["groups"]]
    script += ["delete chain " + " ".join(chain) for chain in state["chains"] if chain not in owns]
    for (family, table), item in sorted(tables.items()):
        for own, texts in item["groups"]:
            if state["rules"].get("%s %s %s" % (family, table, own)) != texts:
                script += chain_lines(family, table, own, texts)
        script += [jump_line(family, table, chain, ends, own) for chain, ends in item["chains"]
                   for own, dummy in item["groups"] if [family, table, chain, own] not in there]
    return script


def nft_lines(rules: Mapping[str, Sequence[str]], jumps: Iterable[List[str]], path: str, text: Optional[str],
              conf_path: str, conf: Optional[str]) -> List[str]:
    """What is ours, for a diff. rules: {"FAMILY TABLE CHAIN": [rules]}. jumps: [[family, table, chain, our chain]]."""
    found = ["running, %s: %s" % (chain, line) for chain, lines in sorted(rules.items()) for line in lines]
    found += ["running, %s %s %s: jump %s" % tuple(jump) for jump in sorted(jumps)]
    found += ["%s: %s" % (path, line) for line in (text or "").splitlines()]
    shows = 'include "%s"' % path
    return found + (["%s: %s" % (conf_path, shows)] if shows in (conf or "") else [])


def nft_changes(state: State, rules: Sequence[Rule]) -> Found:
    """See changes()."""
    tables = nft_tables(state, rules)
    script = nft_script(state, tables)
    steps: List[Step] = []
    if script:
        steps.append({"run": ["nft", "-f", "-"], "stdin": "\n".join(script) + "\n"})
    # What is loaded at boot and by a reload.
    text, path, conf_path = nft_file(tables), state["file_path"], state["conf_path"]
    conf = with_include(state["conf"], path, text is not None) if state["conf"] is not None else None
    before = nft_lines(state["rules"], [jump[:4] for jump in state["jumps"]], path, state["file"], conf_path,
                       state["conf"])
    after = nft_lines(
        {"%s %s %s" % (*key, own): texts for key, item in tables.items() for own, texts in item["groups"]},
        [[*key, chain, own] for key, item in tables.items() for chain, dummy in item["chains"]
         for own, dummy in item["groups"]], path, text, conf_path, conf)
    if text is not None and text != state["file"]:
        steps.append({"write": path, "text": text})
    if conf is not None and conf != state["conf"]:
        steps.append({"write": conf_path, "text": conf, "check": True})
    if text is None and state["file"] is not None:
        steps.append({"remove": path})
    return steps, before, after


# --- all of them -----------------------------------------------------------------------------------------------

CHANGES = {"firewalld": firewalld_changes, "ufw": ufw_changes, "nftables": nft_changes}


def changes(state: State, rules: Sequence[Rule]) -> Dict[str, List[Any]]:
    """{"steps": what to do in this order, "before", "after": lines for a diff}; no steps where all is right."""
    if state["kind"] not in CHANGES:
        return {"steps": [], "before": [], "after": []}
    steps, before, after = CHANGES[state["kind"]](state, rules)
    return {"steps": steps, "before": before, "after": after}


def problems(state: State, rules: Sequence[Rule]) -> List[Tuple[str, str]]:
    """[(problem, remedy)]: why this firewall cannot be managed here. Empty where there is none to manage."""
    if state.get("problem"):
        return [(state["problem"], "open by hand what docs/how-it-works.md lists, and set hub_ha_firewall to check")]
    return list(ufw_problems(state, rules)) if state["kind"] == "ufw" else []
