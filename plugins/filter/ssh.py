# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for what ssh is told; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible import constants
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import ssh


def ssh_args(options):
    """See hubha/host/ssh.py, with_options."""
    # The lookup of this name would answer with the variable that this is a default of.
    return ssh.with_options(constants.config.get_config_value("ssh_args", plugin_type="connection", plugin_name="ssh"),
                            options)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"ssh_args": ssh_args}
