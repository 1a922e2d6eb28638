# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where everything of the lab lies. Nothing outside ``.cache/lab`` is written."""

from __future__ import annotations

import hashlib
from pathlib import Path

CODE = Path(__file__).resolve().parent
ROOT = CODE.parent
STATE = ROOT / ".cache" / "lab"

LOCK = STATE / "lock"                    # held by the holder as long as the lab's namespace lives
BUSY = STATE / "busy"                    # held by the one command that is changing the lab
HOLDER_LOG = STATE / "logs" / "holder.log"
LOGS = STATE / "logs"
TMP = STATE / "tmp"
SUITES = STATE / "suites"
SAVED = STATE / "saved"                  # hosts that were saved, see lab.saved
PODMAN = STATE / "engine"
HOSTS = STATE / "hosts"                  # the hosts' file systems
SSH = STATE / "ssh"
SSH_KEY = SSH / "id_ed25519"
KNOWN_HOSTS = SSH / "known_hosts"
PLAN = STATE / "plan.json"               # suite and kind of every host that was started
HOSTS_FILE = STATE / "etc-hosts"         # what /etc/hosts says, on the controller and on every host
RESOLVER_FILE = STATE / "etc-resolv.conf"
WRITER_PASS = STATE / "writer.pass"
PROBE = STATE / "probe"
VENV_PYTHON = ROOT / ".cache" / "venv" / "bin" / "python"

MARK = Path("/run/hub-ha-lab")           # exists only inside a lab's namespace, and names its STATE

CONNECTIONS = Path("/run/hub-ha-ssh")    # sockets of Ansible's open connections; /run is the namespace's own

# Two checkouts must not meet: what is global to the machine carries this checkout's name.
TAG = hashlib.sha256(str(STATE).encode()).hexdigest()[:8]
CGROUP = "hub-ha-lab-" + TAG


def make():
    """Create the folders of the lab's state."""
    for folder in (STATE, LOGS, TMP, SUITES, SAVED, PODMAN, HOSTS, SSH, PROBE):
        folder.mkdir(parents=True, exist_ok=True)
    SSH.chmod(0o700)


def repository(suite):
    """The folder with the suite's packages, mounted at /srv/packages in every host."""
    return SUITES / suite / "packages"


def enterprise(suite):
    """The folder with the stand-in for Enterprise's package, mounted at /srv/enterprise where it has been built."""
    return SUITES / suite / "enterprise-packages"
