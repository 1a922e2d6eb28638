# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the operator's variables, each by itself: of no name that there is, or with a wrong value."""

from __future__ import annotations

import difflib
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..core.problem import Problem

Option = Mapping[str, Any]  # of an argument spec: {"type", "choices", "elements", "description", "default"}
Coerce = Callable[[Dict[str, Any], Any], Tuple[bool, Any]]  # (option, value) -> (it fits, value of the option's type)

TLS = ("hub_ha_tls_certificate", "hub_ha_tls_key", "hub_ha_tls_ca")
SECRET = re.compile(r"password|secret|^hub_ha_fencing$")
WORDS = {"int": "a whole number", "bool": "yes or no", "str": "a text", "path": "a path", "list": "a list",
         "float": "a number", "dict": "a mapping"}
# What the type alone does not say. Texts that end up in other programs' files must fit there.
LEAST = {"hub_ha_token": 100, "hub_ha_clone_timeout": 1}
DURATION = (r"[1-9][0-9]*(ms|s|m|min|h)?", "a duration such as 10s")
PATTERNS = {
    "hub_ha_cluster_name": (r"[A-Za-z0-9][A-Za-z0-9_.-]*", "of letters, digits, dots, dashes and underscores"),
    "hub_ha_replication_user": (r"[a-z_][a-z0-9_]{0,62}", "of small letters, digits and underscores"),
    "hub_ha_clone_max_rate": (r"([1-9][0-9]*[kM]?)?", "a rate such as 20M"),
    "hub_ha_monitor_primary": DURATION, "hub_ha_monitor_standby": DURATION, "hub_ha_operation_timeout": DURATION,
    "hub_ha_start_timeout": DURATION,
}


def shown(name: str, value: Any) -> str:
    """A value for people; nothing of one that is a secret, or that may hold one somewhere within."""
    if SECRET.search(name):
        return "a value that is not shown"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        return "a list of other things"
    return repr(value)


def is_nested(option: Option, value: Any) -> bool:
    """A mapping or a list where a text is wanted. Ansible takes it for one; here it is a slip of indentation."""
    if option.get("type", "str") in ("str", "path"):
        return isinstance(value, (dict, list))
    return option.get("elements") == "str" and isinstance(value, list) and any(
        isinstance(item, (dict, list)) for item in value)


def typed(option: Option, value: Any, coerce: Coerce) -> Tuple[bool, Any]:
    """(whether the value fits the option, the value of the option's type, or as it was)."""
    return (False, value) if is_nested(option, value) else coerce(dict(option), value)


def wrong_type(option: Option, value: Any, coerce: Coerce) -> Optional[str]:
    """What the value should be, or None when it is."""
    if typed(option, value, coerce)[0]:
        return None
    if option.get("choices"):
        return "one of %s" % ", ".join(option["choices"])
    kind = str(option.get("type", "str"))
    return WORDS.get(kind, kind)


def wrong_value(name: str, option: Option, value: Any) -> Optional[str]:
    """What a value of the right type should be, or None when it is."""
    least = LEAST.get(name, 0)
    if option.get("type") == "int" and int(value) < least:
        return "%d or more" % least
    pattern, words = PATTERNS.get(name, ("", ""))
    return words if words and not re.fullmatch(pattern, str(value)) else None


def option_problems(given: Mapping[str, Any], options: Mapping[str, Option], coerce: Coerce,
                    host: str = "all") -> List[Problem]:
    """What is wrong with variables.

    given: {name: value} of all that are set and begin like ours, so that a misspelt one is noticed. options: {name:
    option} of all roles. host: the hub for which they are set, or "all".
    """
    found = []
    for name in sorted(set(given) & set(options)):
        option, value = options[name], given[name]
        wanted = wrong_type(option, value, coerce) or wrong_value(name, option, value)
        if wanted:
            about = option["description"]
            found.append(Problem(
                "OPTION_INVALID", host, "%s must be %s%s" % (
                    name, wanted, "" if SECRET.search(name) else " and is " + shown(name, value)),
                "correct it. What it is: %s" % (about if isinstance(about, str) else about[0])))
    for name in sorted(set(given) - set(options)):
        near = difflib.get_close_matches(name, options, 1, 0.8)
        found.append(Problem("OPTION_UNKNOWN", host, "there is no variable %s" % name,
                             "did you mean %s?" % near[0] if near else "remove it, or see docs/variables.md"))
    tls = [name for name in TLS if given.get(name)]
    if len(tls) in (1, 2):
        found.append(Problem("TLS_INCOMPLETE", host, "%s alone is given" % " and ".join(tls),
                             "give hub_ha_tls_certificate, hub_ha_tls_key and hub_ha_tls_ca together, or none"))
    return found
