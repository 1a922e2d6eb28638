# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ssh is told. Pure functions."""

from __future__ import annotations

from typing import Sequence


def with_options(configured: str, options: Sequence[str]) -> str:
    """Words for ssh: those that are configured, and options (NAME=VALUE) of ours behind them.

    ssh takes the first of two options (ssh_config(5)), so an operator's own counts more.
    """
    return " ".join([configured] + ["-o " + option for option in options]).strip()
