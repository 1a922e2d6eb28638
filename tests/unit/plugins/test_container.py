# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a machine may be a container: by what lies in a directory that stands for /."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.host import container

DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n30 27 0:5 / /mnt rw - overlay overlay rw,lowerdir=/a\n"
IMAGE = "600 500 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\n601 600 0:51 / /proc rw - proc proc rw\n"

COMPOSEFS = "1 0 0:31 / / ro,relatime - overlay composefs ro,seclabel,lowerdir+=/run/ostree/.private/cfsroot-lower\n"


@pytest.mark.parametrize("files, environ, words", [
    ({}, {}, None),
    ({"/proc/self/mountinfo": DISK, "/proc/1/environ": "HOME=/\0PATH=/bin"}, {"container": ""}, None),
    ({"/.dockerenv": ""}, {}, "/.dockerenv is there"),
    ({"/run/.containerenv": "", "/proc/self/mountinfo": IMAGE}, {"container": "podman"}, "/run/.containerenv is there"),
    ({"/run/systemd/container": "lxc"}, {}, "/run/systemd/container is there"),
    ({}, {"container": "oci"}, "the environment says container=oci"),
    ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "the environment has KUBERNETES_SERVICE_HOST"),
    ({"/proc/1/environ": "HOME=/\0container=systemd-nspawn\0"}, {}, "process 1 has container=systemd-nspawn"),
    ({"/proc/self/mountinfo": IMAGE}, {}, "its root is an overlay"),
    ({"/proc/self/mountinfo": DISK + IMAGE}, {}, "its root is an overlay"),
    # RHEL image mode and Fedora Atomic last, and a container on one is a container.
    ({"/proc/self/mountinfo": COMPOSEFS}, {}, None),
    ({"/proc/self/mountinfo": COMPOSEFS.replace(" composefs ", " composefs:5f3a ")}, {}, None),
    ({"/proc/self/mountinfo": IMAGE, "/run/ostree-booted": ""}, {}, None),
    ({"/proc/self/mountinfo": COMPOSEFS, "/run/ostree-booted": "", "/run/.containerenv": ""}, {}, "/run/.containerenv is there"),
    ({"/proc/self/mountinfo": "cut\n\n27 1 254:0 / /"}, {}, None)])
def test_what_tells_it(tmp_path, files, environ, words):
    for path, text in files.items():
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
    assert container.evidence(str(tmp_path), environ) == words


def test_this_machine(monkeypatch):
    """Whatever it is."""
    monkeypatch.setenv("container", "tests")
    assert container.evidence()
