# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over the pure models, for the roles."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import own_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import corosync
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import checks, show
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import (
    file as pair_file,
    groups,
    settings as variables,
)
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import scram, startup
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import (
    backup as full_backup,
    clients,
    install,
    removal,
    rollback as wayback,
    third,
    wanted_cib as wanted,
)


def make_plan(infos, settings, probes=None, third_hub=None):
    """See module_utils/hubha/plan/third.py and upgrade.py, make_plan."""
    return third.make_plan(infos, settings, probes, third_hub)


def removal_plan(infos, settings, looks=None):
    """See module_utils/hubha/plan/removal.py."""
    return removal.removal_plan(infos, settings, looks)


def switch_problems(replication, keep, left):
    """See module_utils/hubha/plan/removal.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in removal.switch_problems(replication, keep, left)]


def single_problems(the_plan, results):
    """See module_utils/hubha/plan/removal.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in removal.single_problems(the_plan, results)]


# What the roles note of a hub, in names that begin like the operator's.
NOTED = ("hub_ha_read", "hub_ha_problems", "hub_ha_values", "hub_ha_checked", "hub_ha_probes", "hub_ha_client_read", "hub_ha_clients",
         "hub_ha_third_read")
WORDS = {"int": "a whole number", "bool": "yes or no", "str": "a text", "path": "a path", "list": "a list",
         "float": "a number", "dict": "a mapping"}
# What the type alone does not say. Texts that end up in other programs' files must fit there.
LEAST = {"hub_ha_token": 100, "hub_ha_clone_timeout": 1}
DURATION = (r"[1-9][0-9]*(ms|s|m|min|h)?", "a duration such as 10s")
PATTERNS = {
    "hub_ha_cluster_name": (r"[A-Za-z0-9][A-Za-z0-9_.-]*", "of letters, digits, dots, dashes and underscores"),
    "hub_ha_replication_user": (r"[a-z_][a-z0-9_]{0,62}", "of small letters, digits and underscores"),
    "hub_ha_clone_max_rate": (r"([1-9][0-9]*[kM]?)?", "a rate such as 20M"),
    "hub_ha_monitor_primary": DURATION, "hub_ha_monitor_standby": DURATION, "hub_ha_operation_timeout": DURATION,
    "hub_ha_start_timeout": DURATION,
}


def wrong_type(option, value):
    """What the value should be, or None when it is."""
    # The validator takes a mapping for a text, as it does for modules; here it is a slip of indentation.
    nested = option.get("type", "str") in ("str", "path") and isinstance(value, (dict, list)) or (
        option.get("elements") == "str" and isinstance(value, list)
        and any(isinstance(item, (dict, list)) for item in value))
    if not nested and not ArgumentSpecValidator({"value": dict(option, required=False)}).validate(
            {"value": value}).error_messages:
        return None
    if option.get("choices"):
        return "one of %s" % ", ".join(option["choices"])
    return WORDS.get(option.get("type", "str"), option.get("type"))


def wrong_value(name, option, value):
    """What the value of the right type should be, or None when it is."""
    least = LEAST.get(name, 0)
    if option.get("type") == "int" and int(value) < least:
        return "%d or more" % least
    pattern, words = PATTERNS.get(name, ("", ""))
    return words if words and not re.fullmatch(pattern, str(value)) else None


def option_problems(given, options):
    """What is wrong with the operator's variables: a list of failures as in make_plan.

    given: {name: value} of every variable that is set and begins like ours, so that a misspelt one is noticed.
    options: {name: option of an argument spec} of all roles.
    """
    found = []
    for name in sorted(set(given) & set(options)):
        option = options[name]
        wanted = wrong_type(option, given[name]) or wrong_value(name, option, given[name])
        if wanted:
            about = option["description"]
            value = "" if variables.SECRET.search(name) else " and is " + variables.shown(name, given[name])
            found.append({"host": "all", "problem": "%s must be %s%s" % (name, wanted, value),
                          "remedy": "correct it. What it is: %s" % (about if isinstance(about, str) else about[0])})
    for name in sorted(set(given) - set(options)):
        near = difflib.get_close_matches(name, options, 1, 0.8)
        found.append({"host": "all", "problem": "there is no variable %s" % name,
                      "remedy": "did you mean %s?" % near[0] if near else "remove it, or see docs/variables.md"})
    tls = [name for name in ("hub_ha_tls_certificate", "hub_ha_tls_key", "hub_ha_tls_ca") if given.get(name)]
    if len(tls) in (1, 2):
        found.append({"host": "all", "problem": "%s alone is given" % " and ".join(tls),
                      "remedy": "give hub_ha_tls_certificate, hub_ha_tls_key and hub_ha_tls_ca together, or none"})
    return found


def coerced(option, value):
    """(whether the value fits the option of an argument spec, the value of its type)."""
    if wrong_type(option, value):
        return False, value
    if option.get("type") == "raw":
        return True, value
    result = ArgumentSpecValidator({"value": dict(option, required=False)}).validate({"value": value})
    return True, result.validated_parameters["value"]


def materialised(value):
    """The same as plain dicts and lists, each of Ansible's values looked at once."""
    if isinstance(value, Mapping):
        return dict((key, materialised(item)) for key, item in value.items())
    return [materialised(item) for item in value] if isinstance(value, (list, tuple)) else value


def pair_settings(hostvars, hosts, play, options):
    """The operator's variables of all hubs at once: {"problems": failures as in make_plan, "values": {name: value of the
    right type}, secrets left out}. See module_utils/hubha/pair/settings.py.

    hostvars: Ansible's. play: {name: value} of what begins like ours and is set as the play sees it: also what is set
    for no host, such as defaults and variables of plays. options: see option_problems.
    """
    # Ansible's own containers look at each value at each access.
    options, play, own = materialised(options), materialised(play), {}
    for host in hosts:
        here = hostvars[host]  # gathers all of the host's variables anew each time
        own[host] = dict((name, materialised(here[name])) for name in list(here) if name in play or (
            re.match("hub_ha_.", name) and name not in NOTED))
    everywhere = dict((name, value) for name, value in play.items() if not any(name in item for item in own.values()))
    found = variables.settings(dict((host, dict(everywhere, **own[host])) for host in hosts), options, coerced)
    problems = option_problems(found.common, options)
    for host in hosts:
        problems += [dict(item, host=host) for item in option_problems(found.own[host], options)]
    return {"problems": problems + [item.to_dict() for item in found.problems], "values": found.values}


def preflight_text(the_plan):
    """The report of every failure and warning, for people."""
    lines = []
    for number, item in enumerate(the_plan["failures"], 1):
        lines.append("%2d. %s: %s" % (number, item["host"], item["problem"]))
        lines.append("      -> %s%s" % (item["remedy"], " (%s)" % item["code"] if item.get("code") else ""))
    for item in the_plan["warnings"]:
        lines.append("  - %s: %s (a warning)" % (item["host"], item["problem"]))
    return "\n".join(lines)


def firewall_text(firewalls, closed):
    """One line about the hubs' firewalls, for the list of what will be done."""
    opened = ["%s on %s (%d rules)" % (item["kind"], host, len(item["rules"]))
              for host, item in firewalls.items() if item["open"]]
    shut = ["%s %s/%s" % (item["address"], item["port"], item["protocol"]) for item in closed]
    if not opened:
        return ", ".join("%s on %s" % (item["kind"], host) for host, item in firewalls.items()) + "; nothing is changed"
    return "will be opened: " + ", ".join(opened) + (
        "; closed now: " + ", ".join(dict.fromkeys(shut)) if shut else "")


def install_first(results):
    """{"first": the hub that is made a single hub first}, or {} when none is to be; see module_utils/hubha/plan/install.py.

    results: {host: result of module hub_info}.
    """
    first = install.first_hub(dict((host, result["hub"]) for host, result in results.items() if "hub" in result))
    return {"first": first} if first else {}


def package_layout(name):
    """See module_utils/hubha/plan/install.py."""
    return install.package_layout(name)


def package_made(facts):
    """See module_utils/hubha/plan/install.py."""
    return install.package_made(facts)


def corosync_version(wanted, current_texts):
    """config_version for the text; see module_utils/corosync.py, next_version."""
    try:
        return corosync.next_version(wanted, current_texts)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def wanted_cib(the_plan, settings, known):
    """See module_utils/hubha/plan/wanted_cib.py."""
    return wanted.wanted_cib(the_plan, settings, known)


def pair_text(the_plan, host, settings):
    """See module_utils/hubha/pair/file.py."""
    return pair_file.pair_file(the_plan, host, settings)


def cib_without_parameters(wanted_objects):
    """See module_utils/hubha/plan/wanted_cib.py, without_parameters."""
    return wanted.without_parameters(wanted_objects)


def cib_kept(the_plan, known):
    """See module_utils/hubha/plan/wanted_cib.py, kept."""
    return wanted.kept(the_plan, known)


def cluster_problems(cluster, the_plan):
    """See module_utils/hubha/health/checks.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in checks.cluster_problems(cluster, the_plan)]


def failed_standby(cluster, the_plan):
    """See module_utils/hubha/health/checks.py."""
    return checks.failed_standby(cluster, the_plan)


def replication_problems(replication, the_plan, max_lag_mb):
    """See module_utils/hubha/health/checks.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in checks.replication_problems(replication, the_plan, max_lag_mb)]


def guard_problems(units):
    """See module_utils/hubha/health/checks.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in checks.guard_problems(units)]


def file_problems(files):
    """See module_utils/hubha/health/checks.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in checks.file_problems(files)]


def pair_problems(told, cluster, the_plan, max_lag_mb):
    """See module_utils/hubha/health/checks.py. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in checks.pair_problems(told, cluster, the_plan, max_lag_mb)]


def replication_may_pass(replication, cluster, the_plan, max_lag_mb, check_mode):
    """See module_utils/hubha/health/checks.py."""
    return checks.replication_may_pass(replication, cluster, the_plan, max_lag_mb, check_mode)


def addresses_of(text):
    """See module_utils/hubha/health/checks.py."""
    return checks.addresses_of(text)


def may_pass(problems, check_mode=False):
    """See module_utils/hubha/health/checks.py."""
    return checks.may_pass(problems, check_mode)


def problems_text(problems):
    """See module_utils/hubha/health/checks.py, text."""
    return checks.text(problems)


def pair_picture(cluster, the_plan, replication):
    """See module_utils/hubha/health/show.py."""
    return show.pair_picture(cluster, the_plan, replication)


def wayback_verdict(the_plan, before, answers, stage):
    """See module_utils/hubha/plan/rollback.py, judge. The plan is one of wayback_view."""
    return wayback.judge(the_plan, before, answers, stage)


def wayback_text(the_plan, verdict, cause, notes, backup, check_mode=False):
    """See module_utils/hubha/plan/rollback.py, text."""
    return wayback.text(the_plan, verdict, cause, notes, backup, check_mode)


def running_values(result):
    """{name: value} of settings that the files would not give back; result: of module hub_info. See hubha/pg/startup.py."""
    return startup.running_values((result["hub"]["postgres"]["server"] or {}).get("pending") if "hub" in result else None)


def pg_ctl_words(values):
    """See module_utils/hubha/pg/startup.py, words."""
    return startup.words(values)


def unit_dropin(values, pg_ctl, data_dir, log):
    """See module_utils/hubha/pg/startup.py, dropin."""
    return startup.dropin(values, pg_ctl, data_dir, log)


def host_key(pair):
    """[host, hub_info's facts of its CFEngine] as an item of module hub_keys."""
    host, facts = pair
    return {"host": host, "public": facts["key_public"], "digest": facts["key_digest"]}


def passfile_line(fields):
    """[host, port, database, user, password] as one line of a libpq passfile."""
    return scram.passfile_line(*fields)


def client_plan(hub_results, client_results, settings):
    """See module_utils/hubha/plan/clients.py."""
    return clients.client_plan(hub_results, client_results, settings)


def client_failures(the_plan, host):
    """See module_utils/hubha/plan/clients.py, failures_of."""
    return clients.failures_of(the_plan, host)


def full_backup_plan(results, replication, looks, settings):
    """See module_utils/hubha/plan/backup.py, backup_plan. looks: {host: result of module backup_look}."""
    return full_backup.backup_plan(results, replication, first_looks(looks), settings, ansible_run.alive)


def first_looks(looks, number=0):
    """{place: its look at the path of that number} out of {place: result of module backup_look, or of a skip}."""
    return dict((place, result["looks"][number]) for place, result in looks.items() if "looks" in result)


def full_backup_text(the_plan, path, where, database, sealed, gone):
    """See module_utils/hubha/plan/backup.py, made_text."""
    return full_backup.made_text(the_plan, path, where, database, sealed, gone)


def saved_paths(layout, further):
    """All that a full backup holds of a hub; see hubha/cfengine/own_files.py."""
    return own_files.own_paths(layout, further) + own_files.other_paths(layout)


def restored_paths(layout, further):
    """What of it a restore puts back."""
    return own_files.own_paths(layout, further)


def restored_exactly(layout):
    """See hubha/cfengine/own_files.py, exact_paths."""
    return own_files.exact_paths(layout)


def restore_plan(results, looks, settings):
    """See module_utils/hubha/plan/backup.py, restore_plan. looks: {place: result of module backup_look of the given path, and
    on hubs of the directory for a backup on its way}.
    """
    stages = first_looks(dict((place, look) for place, look in looks.items() if place != "controller"), 1)
    return full_backup.restore_plan(results, first_looks(looks), stages, settings)


def restore_text(the_plan):
    """See module_utils/hubha/plan/backup.py, restore_text."""
    return full_backup.restore_text(the_plan)


def third_plan(the_plan):
    """See module_utils/hubha/plan/third.py, widen."""
    return third.widen(the_plan)


def third_obstacles(the_plan, infos):
    """See module_utils/hubha/plan/third.py, ready. A list of {"code", "host", "problem", "remedy"}."""
    return [item.to_dict() for item in third.ready(the_plan, infos)]


def third_diverged(mine, primary):
    """See module_utils/hubha/plan/third.py, diverged."""
    return third.diverged(mine, primary)


def third_conninfo(the_plan, host, settings, sources=None):
    """See module_utils/hubha/plan/third.py, conninfo. settings: {"sslmode", "user"}."""
    return third.conninfo(the_plan, host, settings["sslmode"], settings["user"], sources)


def third_guard(the_plan, settings):
    """See module_utils/hubha/plan/third.py, guard. settings: {"sslmode", "user"}."""
    return third.guard(the_plan, settings["sslmode"], settings["user"])


def promote_verdict(facts, reached, confirmed):
    """See module_utils/hubha/plan/third.py."""
    return third.promote_verdict(facts, reached, confirmed)


def promote_stops(verdict, facts, signs, hubs):
    """See module_utils/hubha/plan/third.py."""
    return third.promote_stops(verdict, facts, signs, hubs)


def promote_signs(facts, reached, hubs, off):
    """See module_utils/hubha/plan/third.py."""
    return third.promote_signs(facts, reached, hubs, off)


def promote_unproved(stops, facts, names=None):
    """What keeps the third hub from being promoted, as text, or ""; see module_utils/hubha/plan/third.py.

    facts: {host: its variables}; the mark of a hub that has proved it is a fact. names: {variable: name of a group}.
    """
    names = names or groups.usual(groups.USUAL)
    found = third.promote_unproved(stops, [host for host in stops if facts[host].get("third_hub_stopped") is True],
                                   (names[groups.HUBS], names[groups.THIRD_HUB]))
    return "%s. %s (%s)" % (found.problem, found.remedy, found.code) if found else ""


def shared_here(ip_json, known):
    """See module_utils/hubha/plan/third.py."""
    return third.shared_here(ip_json, known)


def return_plan(results, settings, third_hub, wanted=None):
    """See module_utils/hubha/plan/third.py."""
    return third.return_plan(results, settings, third_hub, wanted)


def lead_plan(the_plan):
    """See module_utils/hubha/plan/third.py."""
    return third.lead_plan(the_plan)


def failures_text(failures):
    """See module_utils/hubha/plan/third.py."""
    return third.failures_text(failures)


class FilterModule:
    """Filters of cfengine.hub_ha."""

    def filters(self):
        """Name to function."""
        return {"removal_plan": removal_plan, "switch_problems": switch_problems, "single_problems": single_problems,
                "make_plan": make_plan, "preflight_text": preflight_text, "corosync_version": corosync_version,
                "option_problems": option_problems, "pair_settings": pair_settings, "firewall_text": firewall_text,
                "install_first": install_first, "package_layout": package_layout, "package_made": package_made,
                "full_backup_plan": full_backup_plan, "full_backup_text": full_backup_text,
                "saved_paths": saved_paths, "restored_paths": restored_paths, "restored_exactly": restored_exactly,
                "restore_plan": restore_plan, "restore_text": restore_text,
                "passfile_line": passfile_line, "host_key": host_key,
                "client_plan": client_plan, "client_failures": client_failures,
                "third_plan": third_plan, "third_obstacles": third_obstacles,
                "third_diverged": third_diverged, "third_conninfo": third_conninfo,
                "third_guard": third_guard, "promote_verdict": promote_verdict,
                "promote_stops": promote_stops, "promote_signs": promote_signs, "promote_unproved": promote_unproved,
                "shared_here": shared_here, "return_plan": return_plan,
                "failures_text": failures_text, "lead_plan": lead_plan,
                "wayback_view": wayback.view, "wayback_verdict": wayback_verdict, "wayback_text": wayback_text,
                "running_values": running_values, "pg_ctl_words": pg_ctl_words, "unit_dropin": unit_dropin,
                "pair_text": pair_text, "wanted_cib": wanted_cib,
                "cib_without_parameters": cib_without_parameters, "cib_kept": cib_kept,
                "cluster_problems": cluster_problems, "failed_standby": failed_standby,
                "replication_problems": replication_problems, "pair_picture": pair_picture,
                "pair_problems": pair_problems, "addresses_of": addresses_of,
                "replication_may_pass": replication_may_pass,
                "guard_problems": guard_problems, "file_problems": file_problems, "may_pass": may_pass,
                "problems_text": problems_text}
