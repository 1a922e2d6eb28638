#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: package_source
short_description: (internal) Tries where packages come from, and fetches one package file
version_added: "1.0.0"
description:
  - With O(state=tried) it asks the host's own repositories what they offer now, with lists of its own, and fetches the
    package file of O(source), checks it and removes it again. Nothing is changed, and what is wrong is returned.
  - With O(state=present) the package file is put into O(directory).
  - As a task it takes the file of a path from the controller.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  source:
    description: V(repository) for no package file; or the URL (http, https) or path of a package.
    type: str
    default: repository
  checksum:
    description: SHA-256 checksum that the file must have, with or without V(sha256:). A URL must have one.
    type: str
    default: ""
  packages:
    description: Packages whose versions are looked up with O(state=tried).
    type: list
    elements: str
    default: []
  directory:
    description: Where the file is kept.
    type: path
    default: /var/cache/cfengine-hub-ha
  repository:
    description: Id of a repository of dnf's that is taken for enabled; empty for none.
    type: str
    default: ""
  state:
    description: Whether all is only tried, or the file put into its place.
    type: str
    choices: [tried, present]
    default: tried
attributes:
  check_mode:
    description: O(state=tried) changes nothing; for O(state=present) the file is fetched, checked, and removed again.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Does the host reach its sources, and is the package what it should be?
  cfengine.hub_ha.package_source:
    packages: [cfengine3, postgresql-17]
    source: https://packages.example.com/cfengine3_3.24.1-1_amd64.deb
    checksum: sha256:0a1b...
"""

RETURN = r"""
packages:
  description: Version of each of O(packages) that can be installed, empty for none; null without apt and dnf.
  returned: with O(state=tried)
  type: dict
file:
  description: Name, version, architecture and SHA-256 of the package file; null without one.
  returned: always
  type: dict
path:
  description: The file.
  returned: with O(state=present)
  type: str
problems:
  description: What is wrong.
  returned: with O(state=tried)
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError, fail, local_runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.text import is_url
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import package_source
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.plan.package_source import (
    REPOSITORY,
    source_problems,
)


def opened(url):
    """A stream of what the URL leads to, through Ansible's own client."""
    return open_url(url, timeout=30, http_agent="cfengine.hub_ha")


def tried(params, wanted):
    """The result of state=tried."""
    # Without a checksum a URL is not worth its way; that it lacks one is said elsewhere.
    given = wanted.source != REPOSITORY and not source_problems(wanted.source, wanted.checksum)
    found = package_source.offered(local_runner, opened, params["packages"], params["repository"],
                                   wanted if given else None, params["directory"])
    return {"changed": False, "packages": found.packages, "file": found.file, "problems": found.problems}


def present(params, wanted, check_mode):
    """The result of state=present."""
    for wrong in source_problems(wanted.source, wanted.checksum):
        raise HubError("%s: %s" % (wrong.problem, wrong.remedy), code=wrong.code)
    kept = package_source.keep(local_runner, opened, wanted, params["directory"], check_mode)
    return {"changed": kept.changed, "path": kept.path, "file": kept.file}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=dict(
            source=dict(type="str", default=REPOSITORY),
            checksum=dict(type="str", default=""),
            packages=dict(type="list", elements="str", default=[]),
            repository=dict(type="str", default=""),
            directory=dict(type="path", default="/var/cache/cfengine-hub-ha"),
            state=dict(type="str", choices=["tried", "present"], default="tried"),
        ),
        supports_check_mode=True,
    )
    params = module.params
    source = params["source"]
    # The path is one that the action plugin has made up, but for the file's name.
    wanted = package_source.PackageFile(source, params["checksum"],
                                        None if is_url(source) else os.path.basename(source) or source)
    try:
        if params["state"] == "tried":
            result = tried(params, wanted)
        else:
            result = present(params, wanted, module.check_mode)
    except HubError as error:
        fail(module, error)
    except OSError as error:
        module.fail_json(msg="the package file cannot be kept: %s" % error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
