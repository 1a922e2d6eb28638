# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over what the pair says of itself; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import answers
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.health import checks, show


def cluster_problems(cluster, the_plan):
    """See hubha/health/checks.py, cluster_problems."""
    return [item.to_dict() for item in checks.cluster_problems(cluster, the_plan)]


def replication_problems(replication, the_plan, max_lag_mb):
    """See hubha/health/checks.py, replication_problems."""
    return [item.to_dict() for item in checks.replication_problems(replication, the_plan, max_lag_mb)]


def guard_problems(units):
    """See hubha/health/checks.py, guard_problems."""
    return [item.to_dict() for item in checks.guard_problems(units)]


def file_problems(files):
    """See hubha/health/checks.py, file_problems."""
    return [item.to_dict() for item in checks.file_problems(files)]


def pair_problems(told, cluster, the_plan, max_lag_mb):
    """See hubha/health/checks.py, pair_problems."""
    return [item.to_dict() for item in checks.pair_problems(told, cluster, the_plan, max_lag_mb)]


def problems_text(problems):
    """See hubha/health/checks.py, text."""
    return checks.text(problems)


def may_pass(problems, check_mode=False):
    """See hubha/health/checks.py, may_pass."""
    return checks.may_pass(problems, check_mode)


def replication_may_pass(replication, cluster, the_plan, max_lag_mb, check_mode):
    """See hubha/health/checks.py, replication_may_pass."""
    return checks.replication_may_pass(replication, cluster, the_plan, max_lag_mb, check_mode)


def failed_standby(cluster, the_plan):
    """See hubha/health/checks.py, failed_standby."""
    return checks.failed_standby(cluster, the_plan)


def addresses_of(text):
    """See hubha/health/checks.py, addresses_of."""
    return checks.addresses_of(text)


def pair_picture(cluster, the_plan, replication):
    """See hubha/health/show.py, pair_picture."""
    return show.pair_picture(cluster, the_plan, replication)


def pair_status(told):
    """See hubha/agent/answers.py, together."""
    return answers.together(told).to_dict()


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "cluster_problems": cluster_problems, "replication_problems": replication_problems,
            "guard_problems": guard_problems, "file_problems": file_problems, "pair_problems": pair_problems,
            "problems_text": problems_text, "may_pass": may_pass, "replication_may_pass": replication_may_pass,
            "failed_standby": failed_standby, "addresses_of": addresses_of, "pair_picture": pair_picture,
            "pair_status": pair_status,
        }
