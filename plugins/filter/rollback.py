# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for the way back after a step that failed; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import startup
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import rollback


def rollback_view(the_plan):
    """See hubha/plan/rollback.py, view."""
    return rollback.view(the_plan)


def rollback_verdict(the_plan, before, answers, stage):
    """See hubha/plan/rollback.py, judge."""
    return rollback.judge(the_plan, before, answers, stage)


def rollback_text(the_plan, verdict, cause, notes, backup, check_mode=False):
    """See hubha/plan/rollback.py, text."""
    return rollback.text(the_plan, verdict, cause, notes, backup, check_mode)


def running_values(result):
    """See hubha/plan/rollback.py, values."""
    return rollback.values(result)


def pg_ctl_words(values):
    """See hubha/pg/startup.py, words."""
    return startup.words(values)


def unit_dropin(values, pg_ctl, data_dir, log):
    """See hubha/pg/startup.py, dropin."""
    return startup.dropin(values, pg_ctl, data_dir, log)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "rollback_view": rollback_view, "rollback_verdict": rollback_verdict, "rollback_text": rollback_text,
            "running_values": running_values, "pg_ctl_words": pg_ctl_words, "unit_dropin": unit_dropin,
        }
