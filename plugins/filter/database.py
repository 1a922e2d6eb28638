# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for what the hubs' databases connect with; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pg import conninfo, scram


def streaming_options(ha_dir, sslmode, major):
    """See hubha/pg/conninfo.py, streaming."""
    return conninfo.streaming(ha_dir, sslmode, int(major or 0))


def standby_conninfo(addresses, port, user, node, more):
    """See hubha/pg/conninfo.py, standby."""
    return conninfo.standby(addresses, int(port), user, node, more)


def passfile_line(fields):
    """See hubha/pg/scram.py, passfile_line."""
    return scram.passfile_line(*fields)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {
            "streaming_options": streaming_options, "standby_conninfo": standby_conninfo,
            "passfile_line": passfile_line,
        }
