# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over hubha/pg/conninfo.py, for the roles."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import conninfo


def conninfo_options(ha_dir, sslmode):
    """See conninfo.options."""
    return conninfo.options(ha_dir, sslmode)


def standby_conninfo(addresses, port, user, node, more):
    """See conninfo.standby."""
    return conninfo.standby(addresses, int(port), user, node, more)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"conninfo_options": conninfo_options, "standby_conninfo": standby_conninfo}
