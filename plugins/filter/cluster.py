# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for what the cluster is configured with; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cluster import corosync
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import file as pair_file
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import wanted_cib as cib


def corosync_version(wanted, current_texts):
    """See hubha/cluster/corosync.py, next_version."""
    try:
        return corosync.next_version(wanted, current_texts)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def wanted_cib(the_plan, settings, known):
    """See hubha/plan/wanted_cib.py, wanted_cib."""
    return cib.wanted_cib(the_plan, settings, known)


def cib_without_parameters(wanted):
    """See hubha/plan/wanted_cib.py, without_parameters."""
    return cib.without_parameters(wanted)


def cib_kept(the_plan, known):
    """See hubha/plan/wanted_cib.py, kept."""
    return cib.kept([item["ip"] for item in the_plan["virtual_ips"]], known)


def pair_text(the_plan, host, settings):
    """See hubha/pair/file.py, pair_file."""
    return pair_file.pair_file(the_plan, host, settings)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "corosync_version": corosync_version, "wanted_cib": wanted_cib,
            "cib_without_parameters": cib_without_parameters, "cib_kept": cib_kept, "pair_text": pair_text,
        }
