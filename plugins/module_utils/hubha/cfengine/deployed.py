# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tells that a hub's policy comes from version control: a deployment of it takes away what others put there."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Optional

from ..core.files import read_text
from . import augments, words
from .layout import Layout

CHECKOUTS = (".git", ".svn", ".hg")
# With it the vendor's update policy deploys from the repository that Mission Portal has (Enterprise only).
DEPLOY_CLASS = "cfengine_internal_masterfiles_update"
PARAMETERS = "/opt/cfengine/dc-scripts/params.sh"  # of that deployment; it may hold a password
OWN_REPOSITORY = "/opt/cfengine/masterfiles.git"  # what the package writes there: an empty one of the hub's own
BUILT = "services/cfbs"  # where cfbs puts modules
# What def.json has of ours on every hub, see cfengine/augments.py; roles/cfengine/vars/main.yml has all of it.
POLICY = "services/hub_ha.cf"
IN_DEF_JSON: Dict[str, Any] = {"inputs": [POLICY], "lists": {
    "update_inputs": {"items": [POLICY]},
    "control_common_bundlesequence_end": {"items": ["hub_ha:main"]},
    "control_common_update_bundlesequence_end": {"items": ["hub_ha:update"]}}}


def look(layout: Layout, parameters: str = PARAMETERS) -> List[str]:
    """What was found on this hub, each in words that follow "because"; empty where nothing tells it. No address of a
    repository and nothing else that may be secret is among it.

    layout: see layout.py. parameters: path of the vendor's file.
    """
    found = []
    checkout = checkout_of(layout["masterfiles"])
    if checkout:
        found.append("%s is there" % checkout)
    if os.path.isdir(os.path.join(layout["masterfiles"], BUILT)):
        found.append("cfbs has built %s" % layout["masterfiles"])
    if layout["name"] == "enterprise":
        host_data = layout["work_dir"] + "/data/host_specific.json"  # from Mission Portal
        found += ["%s sets %s" % (path, DEPLOY_CLASS) for path in (layout["def_json"], host_data)
                  if words.on_hubs(classes_of(path), DEPLOY_CLASS)]
        if names_repository(read_text(parameters)):
            found.append("%s names a repository" % parameters)
    return found


def undone(layout: Layout) -> List[str]:
    """Names below masterfiles of what this collection puts there and what is not there, on a hub of a pair: files of
    ours, and def.json without our part. One that cannot be read is told elsewhere.

    layout: see layout.py.
    """
    top = layout["masterfiles"]
    ours = (layout["hub_policy"], layout["hub_list"], layout["ha_info"])
    found = [os.path.relpath(path, top) for path in ours if not os.path.isfile(path)]
    try:
        text = read_text(layout["def_json"])
        if augments.merge(text, IN_DEF_JSON) != text:
            found.append(os.path.relpath(layout["def_json"], top))
    except ValueError:
        pass
    return found


def checkout_of(path: str) -> Optional[str]:
    """The mark of a checkout in a directory, or above it; None without one."""
    folder = os.path.realpath(path)
    while folder != os.path.dirname(folder):
        for name in CHECKOUTS:
            if os.path.lexists(os.path.join(folder, name)):
                return os.path.join(folder, name)
        folder = os.path.dirname(folder)
    return None


def classes_of(path: str) -> Dict[str, Any]:
    """The classes that a file of augments sets; none where it cannot be read, which is told elsewhere."""
    try:
        classes: Dict[str, Any] = augments.parse(read_text(path)).get("classes", {})
    except ValueError:
        return {}
    return classes


def names_repository(text: Optional[str]) -> bool:
    """Whether the vendor's parameters name a repository of the operator's."""
    urls = re.findall(r"""^\s*(?:export\s+)?(?:GIT|SVN)_URL=["']?([^"'\s]*)""", text or "", re.MULTILINE)
    return any(url not in ("", OWN_REPOSITORY) for url in urls)
