# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every playbook says so, and fails, when the inventory names no hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml") if path.name != "inventory.yml")


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_inventory_without_hubs(playbook, tmp_path):
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[clients]\nclient1\n", encoding="ascii")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory),
         str(ROOT / "playbooks" / playbook)],
        cwd=ROOT, env=dict(os.environ, NO_COLOR="1", ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".cache" / "collections")),
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode != 0, done.stdout
    assert "The inventory has no group named hubs" in " ".join(done.stdout.split()), done.stdout
    assert "client1" not in done.stdout, "nobody is asked for anything"
