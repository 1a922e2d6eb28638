# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults done to a living pair, and the project's own audit of what came of each.

table.py: the rows as data (what is done, what must hold). pair.py: does it, looks at the pair, heals it. watch.py: the
program lab/guest/watcher.py and the outside writer while the fault lasts. audit.py: what the samples say (pure).
run.py: `python3 -m lab faults`.
"""
