# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile


def replace_file(path, data, mode, uid=0, gid=0, sync=True):
    """Make *path* hold *data* (bytes) in one step, with *mode* (int) and owner; nobody reads it before that.

    sync: wait until it is on the disk. Needed for what cannot be had again; thousands of copies do without. Raises OSError.
    """
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".hub_ha.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            os.fchown(handle, uid, gid)
            os.fchmod(handle, mode)
            stream.flush()
            if sync:
                os.fsync(handle)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
