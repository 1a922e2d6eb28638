# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Jinja filter over the operator's variables; it is described in plugins/filter/pair_settings.yml."""

from __future__ import annotations

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.pair import settings


def coerced(option, value):
    """(whether the value fits the option of an argument spec, the value of its type), as Ansible has it for modules."""
    if option.get("type") == "raw":
        return True, value
    result = ArgumentSpecValidator({"value": dict(option, required=False)}).validate({"value": value})
    return (False, value) if result.error_messages else (True, result.validated_parameters["value"])


def pair_settings(hostvars, hosts, play, options):
    """See hubha/pair/settings.py, pair_settings."""
    return settings.pair_settings(hostvars, hosts, play, options, coerced)


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Name to function."""
        return {"pair_settings": pair_settings}
