# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CIB of the cluster that runs here, as text, and the part of it that people decide."""

from __future__ import annotations

import re
from typing import Optional

from ..core.run import CommandMissing, Runner


def read_cib(run: Runner) -> Optional[str]:
    """Text of the live CIB, or None where no cluster runs. run: the runner. Raises CommandTimeout."""
    try:
        done = run(["cibadmin", "--query", "--local"], check=False, timeout=20)
    except CommandMissing:
        return None
    return str(done.out) if done.rc == 0 else None


def configuration(cib: str) -> str:
    """What people decide of the CIB's text: without status, nodes' attributes and what the cluster notes itself."""
    text = re.sub(r"(?s)<status.*?</status>|<status\s*/>|<nodes>.*?</nodes>|<nodes/>", "", cib)
    text = re.sub(r"<cib [^>]*>", "<cib>", text)
    return re.sub(r'<nvpair [^>]*name="(last-lrm-refresh|dc-version|cluster-infrastructure|have-watchdog|'
                  r'cluster-name|last-clean|dc-deadtime)"[^>]*/>', "", text)
