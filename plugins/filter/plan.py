# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over the pure models, for the roles."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ansible_collections.cfengine.hub_ha.plugins.module_utils import corosync, health, plan, scram
from ansible_collections.cfengine.hub_ha.plugins.module_utils import wanted_cib as wanted


def make_plan(infos, settings, probes=None):
    """See module_utils/plan.py, make_plan."""
    return plan.make_plan(infos, settings, probes)


def preflight_text(the_plan):
    """The report of every failure and warning, for people."""
    lines = []
    for number, item in enumerate(the_plan["failures"], 1):
        lines.append("%2d. %s: %s" % (number, item["host"], item["problem"]))
        lines.append("      -> %s" % item["remedy"])
    for item in the_plan["warnings"]:
        lines.append("  - %s: %s (a warning)" % (item["host"], item["problem"]))
    return "\n".join(lines)


def corosync_version(wanted, current_texts):
    """config_version for the text; see module_utils/corosync.py, next_version."""
    try:
        return corosync.next_version(wanted, current_texts)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def merge_class(text, name, expressions):
    """def.json text with classes[name] = expressions, everything else as it was.

    The operator's own spelling is kept when the class is there already with the same expressions.
    """
    try:
        return plan.merge_class(text, name, expressions)
    except ValueError as error:
        raise AnsibleFilterError("def.json: %s" % error) from error


def wanted_cib(the_plan, settings):
    """See module_utils/wanted_cib.py."""
    return wanted.wanted_cib(the_plan, settings)


def cluster_problems(cluster, the_plan):
    """See module_utils/health.py."""
    return health.cluster_problems(cluster, the_plan)


def replication_problems(replication, the_plan, max_lag_mb):
    """See module_utils/health.py."""
    return health.replication_problems(replication, the_plan, max_lag_mb)


def pair_picture(cluster, the_plan, replication):
    """See module_utils/health.py."""
    return health.pair_picture(cluster, the_plan, replication)


def passfile_line(fields):
    """[host, port, database, user, password] as one line of a libpq passfile."""
    return scram.passfile_line(*fields)


class FilterModule:
    """Filters of cfengine.hub_ha."""

    def filters(self):
        """Name to function."""
        return {"make_plan": make_plan, "preflight_text": preflight_text, "corosync_version": corosync_version,
                "merge_class": merge_class, "passfile_line": passfile_line,
                "wanted_cib": wanted_cib, "cluster_problems": cluster_problems,
                "replication_problems": replication_problems, "pair_picture": pair_picture}
