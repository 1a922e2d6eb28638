# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does a CFEngine host get a file from its hubs, with the keys that both ends trust? cf-agent tries to copy one."""

from __future__ import annotations

import os
import tempfile
from typing import Dict, List, Optional, Sequence, Tuple

from ..core.run import HubError, Runner

POLICY = """body common control { bundlesequence => { "hub_ha_check" }; }
bundle agent hub_ha_check
{
  files:
      "%(target)s" copy_from => hub_ha_read;
}
body copy_from hub_ha_read
{
      source => "%(path)s";
      servers => { "%(address)s" };
      trustkey => "false";
      compare => "digest";
      copy_backup => "false";
      timeout => "%(timeout)d";
}
"""


def said(output: str) -> str:
    """The errors in cf-agent's output as one text, without its remarks on where in the policy it is (pure)."""
    lines = [line.strip()[len("error: "):] for line in output.splitlines() if line.strip().startswith("error: ")]
    lines = [line for line in lines if "Promise belongs to" not in line and "Errors encountered" not in line]
    return "; ".join(lines) or "no answer"


def read(run: Runner, agent: str, address: str, path: str, folder: str, timeout: int) -> Optional[str]:
    """None when *address* serves the file *path* to this host, else what cf-agent said. Raises HubError.

    agent: path of cf-agent. folder: a directory of ours. timeout: seconds.
    """
    for text in (agent, address, path):
        if '"' in text or "\n" in text:
            raise HubError("%r is no address or path" % text)
    policy, target = os.path.join(folder, "check.cf"), os.path.join(folder, "read")
    with open(policy, "w", encoding="utf-8") as handle:
        handle.write(POLICY % {"target": target, "path": path, "address": address, "timeout": timeout})
    os.chmod(policy, 0o600)
    done = run([agent, "--no-lock", "--file", policy], timeout=timeout * 3 + 30, check=False)
    if os.path.exists(target):
        os.unlink(target)
        return None
    return said(done.out + done.err)


def check(run: Runner, agent: str, addresses: Sequence[str], path: str,
          timeout: int = 10) -> Tuple[List[str], Dict[str, str]]:
    """([addresses from which the file was read], {other address: what cf-agent said}). Raises HubError; see read()."""
    good: List[str] = []
    bad: Dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="hub_ha.") as folder:
        for address in addresses:
            text = read(run, agent, address, path, folder, timeout)
            if text is None:
                good.append(address)
            else:
                bad[address] = text
    return good, bad
