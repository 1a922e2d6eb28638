# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resources that are started or stopped on this host past the cluster, which has to look away."""

from __future__ import annotations

from typing import Sequence

from ..core.run import Runner


def force(run: Runner, action: str, resources: Sequence[str], timeout: float) -> None:
    """Has the agent of each resource do it here, whatever the cluster takes for its place.

    action: "start" or "stop". resources: ids. timeout: seconds for each. Raises HubError.
    """
    for resource in resources:
        run(["crm_resource", "--force-" + action, "--force", "--resource", resource], timeout=timeout)
