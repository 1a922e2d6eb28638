# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters over hubha/pg/conninfo.py, for the roles."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import conninfo


def streaming_options(ha_dir, sslmode, major):
    """See conninfo.streaming."""
    return conninfo.streaming(ha_dir, sslmode, int(major or 0))


def standby_conninfo(addresses, port, user, node, more):
    """See conninfo.standby."""
    return conninfo.standby(addresses, int(port), user, node, more)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"streaming_options": streaming_options, "standby_conninfo": standby_conninfo}
