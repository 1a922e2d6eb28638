# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Mission Portal lacks on a pair."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding
from .. import portal
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Secrets and licence."""
    yield from portal.lacks(context.infos, context.active, context.passive)
