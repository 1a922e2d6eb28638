# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each ansible-playbook makes anew though nothing has changed, made once for all runs of `make test`: packed
modules (Ansible reads and packs each module with its module_utils in each run), and the byte code of the collection's
plugins (each worker process compiles what it loads). A third of the controller's work in a run that changes nothing.

Environment: ONCE_FOLDER (the folder that keeps both; tests/run.py begins with an empty one). What is kept belongs to
one state of plugins/ and one Ansible.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from pathlib import Path

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__
from ansible.utils.collection_loader import _collection_finder

DOCUMENTATION = """
name: once
type: aggregate
short_description: Keeps packed modules and byte code from run to run
description: For the tests, which run many playbooks on the same plugins.
options: {}
"""
PLUGINS = Path(__file__).resolve().parents[3] / "plugins"


def state():
    """A hash of all that modules are packed from (str)."""
    total = hashlib.sha256(("%s %s %s" % (__version__, sys.version, PLUGINS)).encode())
    for path in sorted(PLUGINS.rglob("*.py")):
        total.update(b"%s %d " % (str(path).encode(), path.stat().st_size) + path.read_bytes())
    return total.hexdigest()[:16]


def keep_code(folder):
    """Have Ansible's loader of collections read byte code that a process before has compiled from the same source."""
    loader = _collection_finder._AnsibleCollectionPkgLoaderBase  # pylint: disable=protected-access
    compiled = loader.get_code

    def get_code(self, fullname):
        if self._compiled_code is None:
            source, name = self.get_source(fullname), self.get_filename(fullname) or "<string>"
            if not source:
                return compiled(self, fullname)
            text = source if isinstance(source, bytes) else source.encode()
            path = folder / hashlib.sha256(name.encode() + b"\0" + text).hexdigest()
            try:
                self._compiled_code = marshal.loads(path.read_bytes())
            except FileNotFoundError:
                own = path.with_suffix(".%d" % os.getpid())
                own.write_bytes(marshal.dumps(compiled(self, fullname)))
                own.rename(path)
        return self._compiled_code

    loader.get_code = get_code


class CallbackModule(CallbackBase):
    """Sets both up, before there is any worker."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "once"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        folder = Path(os.environ["ONCE_FOLDER"]) / state()
        for name in ("modules", "code"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # Ansible's own place for it, which ends with the run.
        (Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache").symlink_to(folder / "modules")
        keep_code(folder / "code")
