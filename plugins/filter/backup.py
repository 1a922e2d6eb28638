# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for the full backup and its restore; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils import ansible_run
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import own_files
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import backup


def full_backup_plan(results, replication, looks, settings):
    """See hubha/plan/backup.py, backup_plan."""
    return backup.backup_plan(results, replication, backup.looks_of(looks), settings, ansible_run.alive,
                              looks.get("controller", {}).get("container"))


def full_backup_text(the_plan, path, where, database, sealed, gone):
    """See hubha/plan/backup.py, made_text."""
    return backup.made_text(the_plan, path, where, database, sealed, gone)


def saved_paths(layout, further):
    """See hubha/cfengine/own_files.py, all_paths."""
    return own_files.all_paths(layout, further)


def restored_paths(layout, further):
    """See hubha/cfengine/own_files.py, own_paths."""
    return own_files.own_paths(layout, further)


def restored_exactly(layout):
    """See hubha/cfengine/own_files.py, exact_paths."""
    return own_files.exact_paths(layout)


def restore_plan(results, looks, settings):
    """See hubha/plan/backup.py, restore_plan."""
    return backup.restore_plan(results, backup.looks_of(looks), backup.looks_of(looks, 1), settings)


def restore_text(the_plan):
    """See hubha/plan/backup.py, restore_text."""
    return backup.restore_text(the_plan)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "full_backup_plan": full_backup_plan, "full_backup_text": full_backup_text, "saved_paths": saved_paths,
            "restored_paths": restored_paths, "restored_exactly": restored_exactly, "restore_plan": restore_plan,
            "restore_text": restore_text,
        }
