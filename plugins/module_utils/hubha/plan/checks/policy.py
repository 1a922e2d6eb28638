# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CFEngine's policy: the active hub has it, and ours reaches hubs and clients."""

from __future__ import annotations

import os
from typing import Iterator, List

from ...cfengine.hub_list import hub_list
from ...core.problem import WARNING, Finding, Problem
from .context import Context, Info

KEEP_BOTH = "keep both: docs/operate.md, \"Policy from version control\""


def hub(context: Context) -> Iterator[Finding]:
    """The hub whose database is the primary has the policy and the keys, or the other one must serve again."""
    active, passive, mine = context.active, context.passive, context.active_info
    if not mine["layout_found"] or mine["cfengine"]["am_policy_hub"]:
        return
    if mine["cluster"]["has_database"] and context.passive_info["cfengine"]["am_policy_hub"]:
        yield Problem(
            "HUB_UNFINISHED", active, "its database is the primary, and it is no policy hub yet: a run was cut off "
            "before it got policy and keys from %s, and a failover came after that" % passive,
            "give the role back to %s. On %s: crm_standby --node $(crm_node --name) --update on; when crm_mon -1 "
            "shows the other hub as promoted: crm_standby --node $(crm_node --name) --delete. Then run this again"
            % (passive, active))
    else:
        yield Problem("NO_POLICY_HUB", active, "this CFEngine host is not a policy hub",
                      "bootstrap it to itself first: cf-agent -B ADDRESS")


def def_json(context: Context) -> Iterator[Finding]:
    """def.json can be read."""
    error = context.active_info["cfengine"].get("def_json_error")
    if error:
        yield Problem("DEF_JSON_INVALID", context.active, "%s is not what CFEngine reads: %s" % (
            context.layout["def_json"], error),
            "correct the file; it is merged with what high availability needs, not replaced")


def undone(context: Context, info: Info) -> List[str]:
    """Names below masterfiles of what a deployment has taken away from what this collection puts there, or has put in an
    older state there. info: facts of a hub of the pair."""
    nodes = {host: other["uname"].lower() for host, other in context.infos.items()}
    wanted = hub_list(context.infos, context.chosen.client, context.virtual_ips, nodes, context.settings,
                      context.layout)
    listed, found = info["cfengine"].get("hub_list"), list(info["cfengine"].get("policy_undone") or [])
    # The third hub, which the list may have too, is none of these.
    if wanted and listed and (listed["shared"] != wanted["shared"] or any(
            listed["hubs"].get(address) != hub for address, hub in wanted["hubs"].items())):
        found.append(os.path.relpath(context.layout["hub_list"], context.layout["masterfiles"]))
    return found


def framework(context: Context) -> Iterator[Finding]:
    """Our policy reaches hubs and clients through the policy framework, from the place where hubs take theirs."""
    active, cfengine, masterfiles = context.active, context.active_info["cfengine"], context.layout["masterfiles"]
    if cfengine.get("policy_framework") is False:
        yield Problem("NO_POLICY_FRAMEWORK", active, "%s is not CFEngine's masterfiles policy framework, which reads "
                      "def.json: clients learn of the other hub from playbooks/clients.yml only" % masterfiles,
                      "have your policy read services/hub_ha.cf and run its bundles hub_ha:main and hub_ha:update",
                      WARNING)
    if cfengine.get("manages_units") and cfengine["edition"] == "enterprise":
        yield Problem("POLICY_STARTS_DATABASE", active,
                      "def.json defines mpf_enable_cfengine_systemd_component_management, with which the vendor's "
                      "policy writes cf-postgres.service, where the mask is, and starts PostgreSQL on both hubs",
                      "take that class out of def.json, or leave the hubs out: \"any.!am_policy_hub::\"")
    links = cfengine.get("policy_links")
    if links and context.settings.get("sync_policy", True):
        yield Problem("POLICY_LINKS", active, "masterfiles hold symbolic links (%s); between the hubs cf-agent carries "
                      "them as what they point to, and this playbook as links" % ", ".join(links),
                      "replace them by what they point to, or set hub_ha_sync_policy to false", WARNING)
    for host, info in context.infos.items():
        because = "; ".join(info["cfengine"].get("policy_deployed") or [])
        lost = undone(context, info) if because and context.adopted else []
        if because and not context.adopted:
            yield Problem("POLICY_DEPLOYED", host, "its policy seems to come from version control (%s): a deployment takes "
                          "what this collection has put into %s out again, until it is run the next time, unless it is in "
                          "the repository too" % (because, masterfiles), KEEP_BOTH, WARNING)
        elif lost:
            yield Problem("POLICY_DEPLOYED", host, "its policy seems to come from version control (%s), and in %s what "
                          "this collection puts there is missing or not as it should be: %s. This run puts it back, until "
                          "the next deployment" % (because, masterfiles, ", ".join(lost)), KEEP_BOTH, WARNING)
    location = cfengine.get("policy_location")
    if location not in (None, "masterfiles", masterfiles):
        yield Problem("POLICY_LOCATION", active, "def.json has hosts take their policy from %s, where the policy for "
                      "high availability is not" % location, "put services/hub_ha.cf and services/hub_ha.json there",
                      WARNING)


def acl(context: Context) -> Iterator[Finding]:
    """Role cfengine sets acl in def.json, and then a list in the policy itself counts no more."""
    cfengine = context.active_info["cfengine"]
    listed, own = cfengine.get("acl_in_policy"), cfengine.get("policy_server")
    if listed and listed != ["%s/16" % own] and cfengine.get("am_policy_hub"):
        yield Problem("ACL_IN_POLICY", context.active,
                      "the policy itself sets acl (%s), which ends as soon as def.json sets it" % ", ".join(listed),
                      "put that list into def.json, as \"vars\": {\"acl\": [...]}; it is added to, not replaced")
