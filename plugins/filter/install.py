# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jinja filters for a pair from nothing; each is described in plugins/filter/NAME.yml."""

from __future__ import annotations

from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan import install


def install_first(results):
    """See hubha/plan/install.py, install_first."""
    return install.install_first(results)


def package_layout(name):
    """See hubha/plan/install.py, package_layout."""
    return install.package_layout(name)


def package_made(facts):
    """See hubha/plan/install.py, package_made."""
    return install.package_made(facts)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"install_first": install_first, "package_layout": package_layout, "package_made": package_made}
