# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fencing is decided, and each device is described as pacemaker needs it.

Nothing of a value that may be secret is told.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Iterator

from ...cfengine import platforms
from ...cfengine.ids import RESOURCE_IDS
from ...cluster.cib.secrets import is_secret
from ...core.problem import Finding, Problem
from ...core.text import as_list
from .context import Context, Settings
from .secrets import one_line

DEVICE_KEYS = ("id", "agent", "hub", "params", "password")  # of a fencing device; the first three must be there


def check(settings: Settings) -> Iterator[Finding]:
    """The operator's decision."""
    fencing, reason = settings.get("fencing"), settings.get("fencing_none_reason")
    if fencing in (None, "", []):
        yield Problem("FENCING_UNDECIDED", "all", "fencing is not decided",
                      "set hub_ha_fencing to a list of devices, or to 'none' together "
                      "with hub_ha_fencing_none_reason; without fencing two hubs can become active at once")
    elif fencing == "none":
        if not (reason or "").strip():
            yield Problem("FENCING_NO_REASON", "all", "hub_ha_fencing is 'none' without a reason",
                          "write the reason into hub_ha_fencing_none_reason: whoever is called at night will read it")
    elif not isinstance(fencing, list):
        yield Problem("FENCING_INVALID", "all", "hub_ha_fencing is neither a list of devices nor 'none'",
                      "see the examples in docs/variables.md")
    else:
        for device in fencing:
            yield from device_problems(device, settings)
        devices = [device for device in fencing if isinstance(device, dict)]
        ids = [device["id"] for device in devices if isinstance(device.get("id"), str)]
        for name in sorted({name for name in ids if ids.count(name) > 1}):
            yield invalid("two fencing devices have the id %s" % name, "give each its own id")
        covered = [host for device in devices for host in as_list(device.get("hub"))]
        for host in settings["hosts"]:
            if host not in covered:
                yield Problem("FENCING_HUB_MISSING", host, "no fencing device can switch this hub off",
                              "add one to hub_ha_fencing")


def invalid(problem: str, remedy: str) -> Problem:
    """Something is wrong with a fencing device of the operator's."""
    return Problem("FENCING_INVALID", "all", problem, remedy)


def device_problems(device: Any, settings: Settings) -> Iterator[Problem]:
    """What is wrong with one fencing device."""
    if not isinstance(device, dict):
        yield invalid("a fencing device is not a mapping",
                      "each needs id, agent, hub; see the examples in docs/variables.md")
        return
    name = device["id"] if isinstance(device.get("id"), str) else "without an id"
    missing = [key for key in DEVICE_KEYS[:3] if not device.get(key)]
    if missing:
        yield invalid("a fencing device lacks %s" % ", ".join(missing),
                      "each device needs id, agent (fence_...) and hub (the host that it can switch off)")
    for key in [key for key in DEVICE_KEYS[:3] if device.get(key) and not isinstance(device[key], str)]:
        yield invalid("%s of fencing device %s is not one text" % (key, name),
                      "give one; for a device that switches both hubs off write two, each with its own id and hub")
    for key in sorted(str(key) for key in device if key not in DEVICE_KEYS):
        near = difflib.get_close_matches(key, DEVICE_KEYS, 1, 0.7)
        yield invalid("fencing device %s has an unknown key %s" % (name, key),
                      "did you mean %s?" % near[0] if near else "parameters of the agent go below params")
    values = {key: device[key] for key in DEVICE_KEYS[:3] if device.get(key) and isinstance(device[key], str)}
    if "id" in values and (not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name)
                           or name in RESOURCE_IDS or name.startswith("cfvirtip")):
        yield invalid("%r cannot be the id of a fencing device" % name,
                      "use letters, digits, dots, dashes and underscores, beginning with a letter; the pair's own "
                      "resources have %s" % ", ".join(sorted(RESOURCE_IDS)))
    if "agent" in values and not re.fullmatch(r"fence_\w+", values["agent"], re.ASCII):
        yield invalid("agent %r of fencing device %s is no fence agent" % (values["agent"], name),
                      "give its name alone, such as fence_ipmilan")
    if "hub" in values and values["hub"] not in settings["hosts"]:
        yield invalid("fencing device %s names %s, which is no hub of this inventory" % (name, values["hub"]),
                      "use the inventory's name of the hub")
    if "password" in device and (not one_line(device["password"]) or isinstance(device["password"], bool)):
        yield invalid("password of fencing device %s is not one line of text" % name,
                      "give the text alone, or leave it out")
    yield from parameter_problems(name, device.get("params") or {})


def parameter_problems(name: str, params: Any) -> Iterator[Problem]:
    """What is wrong with the parameters of the fencing device *name*."""
    if not isinstance(params, dict):
        yield invalid("params of fencing device %s is not a mapping" % name,
                      "write {ip: 198.51.100.10, username: cluster}")
        return
    for key, value in params.items():
        if not isinstance(key, str) or not one_line(value):
            yield invalid("parameter %s of fencing device %s is not one line of text or a number" % (key, name),
                          "give the text alone, or leave the parameter out")
        elif is_secret(key) and not key.endswith("_script"):
            yield Problem(
                "FENCING_SECRET_IN_CLEAR", "all",
                "fencing device %s has %s in params, and params go into the CIB in clear" % (name, key),
                "give the device's password as `password:`; it is then kept in a root-only file. For another secret "
                "name a script that prints it (%s_script), or use the agent's own file of credentials" % key)


def agents(context: Context) -> Iterator[Finding]:
    """Each device's agent is there on both hubs, or a package that is still to be installed may bring it."""
    settings = context.settings
    fencing = settings.get("fencing")
    devices = fencing if isinstance(fencing, list) else []
    wanted = sorted({device["agent"] for device in devices if not list(device_problems(device, settings))})
    for host, info in context.infos.items():
        pending = [name for name in settings.get("fencing_packages") or []
                   if info["packages"] is not None and not info["packages"].get(name, {}).get("installed")]
        for agent in wanted:
            if agent not in info["fence_agents"] and not pending:
                yield Problem("FENCE_AGENT_MISSING", host,
                              "the fence agent %s is not installed here (/usr/sbin/%s)" % (agent, agent),
                              "add its package to hub_ha_fencing_packages, here probably %s"
                              % (platforms.fence_package(info["platform"], agent) or "fence-agents"))
