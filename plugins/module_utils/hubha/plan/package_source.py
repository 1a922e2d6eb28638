# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator says of where the hub package comes from. Pure functions."""

from __future__ import annotations

from typing import List

from ..core.problem import Problem
from ..core.text import is_url, sha256_digest

REPOSITORY = "repository"


def source_problems(source: str, checksum: str) -> List[Problem]:
    """What is wrong with the operator's words for the package source."""
    if source == REPOSITORY and checksum:
        return [Problem("PACKAGE_CHECKSUM", "all",
                        "hub_ha_package_checksum is set, and hub_ha_package_source is the hosts' own repository",
                        "packages of a repository are checked by the packager: leave the checksum out")]
    if source == REPOSITORY:
        return []
    found = []
    if is_url(source) and not checksum:
        found.append(Problem("PACKAGE_CHECKSUM", "all",
                             "hub_ha_package_source is a URL, and hub_ha_package_checksum is not set",
                             "give the package's checksum, such as sha256:..., from where you trust it"))
    if checksum and not sha256_digest(checksum):
        found.append(Problem("PACKAGE_CHECKSUM", "all", "hub_ha_package_checksum is no SHA-256 checksum",
                             "give sha256: and 64 hexadecimal digits"))
    return found
