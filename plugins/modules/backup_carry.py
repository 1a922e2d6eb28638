#!/usr/bin/python
# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_carry
short_description: (internal) Carries a full backup from a hub to the controller, or back
version_added: "1.0.0"
description:
  - Copies the files that the backup's manifest names in pieces, so that a large database needs no memory, over the
    connection that Ansible has, with whatever O(ignore:become) says. Each file is compared with its SHA-256, and the
    manifest comes last, so that a copy that was cut short is recognised.
  - Files that are there already and right are not copied again. Progress is shown every few seconds.
  - On the controller the backup belongs to whoever runs Ansible, and nobody else can read it.
  - This runs on the controller; there is nothing in the module itself.
author:
  - cfengine.hub_ha authors (@cfengine)
options:
  state:
    description: V(fetched), the controller has it. V(sent), the host has it.
    type: str
    choices: [fetched, sent]
    required: true
  remote:
    description: The backup's directory on the host.
    type: path
    required: true
  local:
    description: The backup's directory on the controller.
    type: path
    required: true
  show_progress:
    description: Whether progress lines are shown.
    type: bool
    default: true
attributes:
  check_mode:
    description: Reports that it would be copied.
    support: full
  diff_mode:
    description: Shows the directory.
    support: full
"""

EXAMPLES = r"""
- name: The backup to the controller
  cfengine.hub_ha.backup_carry:
    state: fetched
    remote: /var/backups/cfengine-hub-ha-full/2026-01-31T021500Z
    local: /srv/hub-backups/2026-01-31T021500Z
"""

RETURN = r"""
bytes:
  description: Bytes that were copied.
  returned: success
  type: int
"""
