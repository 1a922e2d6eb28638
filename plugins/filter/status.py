# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Jinja filter over what the hubs say of the pair, for playbooks/status.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.agent import answers


def pair_status(told):
    """See module_utils/hubha/agent/answers.py."""
    return answers.together(told).to_dict()


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"pair_status": pair_status}
