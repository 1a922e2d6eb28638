# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's settings can be what the pair needs, and the server starts again with its files."""

from __future__ import annotations

from typing import Iterator

from ...core.problem import Finding, Problem
from .context import Context


def check(context: Context) -> Iterator[Finding]:
    """Settings that stand where they override what is set elsewhere."""
    for name, file in context.wanted["blocked"]:
        yield Problem("SETTING_OVERRIDDEN", context.active,
                      "%s is set in %s, which overrides everything that is set elsewhere" % (name, file),
                      "take it out there: ALTER SYSTEM RESET %s, or correct the unit's start command" % name)


def trial(context: Context) -> Iterator[Finding]:
    """The server starts with its files. settings["trial"]: the result of module settings_trial, or None without one."""
    found = context.settings.get("trial")
    if not found or found["started"]:
        return
    late = "; ".join("%s: %s now, %s in %s" % (item["name"], item["old"], item["new"], item["where"])
                     for item in context.pending)
    late = " (what has changed since it was started: %s)" % late if late else ""
    if found["started"] is None:
        yield Problem("SETTINGS_NOT_TRIED", context.active,
                      "whether PostgreSQL would start again with what stands in its files could not be tried: %s%s"
                      % (found["reason"], late),
                      "mend that, or restart PostgreSQL yourself once, to see that it starts")
    else:
        yield Problem("SETTINGS_WONT_START", context.active,
                      "PostgreSQL would not start again with what stands in its files: %s%s" % (found["reason"], late),
                      "correct the file, or take the setting back: ALTER SYSTEM RESET NAME; then: SELECT "
                      "pg_reload_conf()")
