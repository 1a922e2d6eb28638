# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a hub's configuration is saved again: what counts as a change of it. The backups themselves: core/store.py."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..cluster.live import configuration, read_cib
from ..core import store
from ..core.run import Runner
from ..core.text import tree_digest
from ..core.tree import file_state, tree
from .words import POLICY_STAMPS


@dataclass(frozen=True)
class Wanted:
    """What is to be saved, below *directory*. files, also: shell patterns; a change of also makes no new backup.

    trees: directories that are saved whole.
    """

    directory: str
    files: Sequence[str]
    also: Sequence[str] = ()
    trees: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """A hub beside its newest backup. path: that backup, None when there is none. cib: text, None without a cluster.

    marks: {name: digest} of what counts now. differing: names that are not as in the backup, sorted.
    """

    path: Optional[str]
    cib: Optional[str]
    marks: Mapping[str, str]
    differing: Sequence[str]

    @property
    def due(self) -> bool:
        """True when a new backup is needed."""
        return self.path is None or bool(self.differing)


def tree_mark(root: str) -> str:
    """Digest of what lies below *root*; the agent's own notes do not count."""
    return tree_digest({name: digest for name, digest in tree(root).items() if name not in POLICY_STAMPS})


def fingerprint(paths: Sequence[str], cib: Optional[str], trees: Sequence[str] = ()) -> Dict[str, str]:
    """{name: digest} of everything whose change matters."""
    found: Dict[str, str] = {path: file_state(path)["sha256"] for path in paths}
    found.update((root, tree_mark(root)) for root in trees)
    if cib:
        found[store.CIB_NAME] = hashlib.sha256(configuration(cib).encode("utf-8")).hexdigest()
    return found


def existing(trees: Sequence[str]) -> List[str]:
    """Those of the directories that are there."""
    return [root for root in trees if os.path.isdir(root)]


def compare(wanted: Wanted, run: Runner) -> Comparison:
    """Reads what counts, and the newest backup; changes nothing. run: the runner. Raises HubError, OSError."""
    cib = read_cib(run)
    marks = fingerprint(store.expand(wanted.files), cib, existing(wanted.trees))
    path, manifest = store.newest(wanted.directory)
    old: Mapping[str, str] = manifest["marks"] if manifest else {}
    differing = sorted(name for name in set(marks) | set(old) if marks.get(name) != old.get(name))
    return Comparison(path, cib, marks, differing)


def save(wanted: Wanted, found: Comparison) -> Tuple[str, int]:
    """Makes a new backup: (its directory, number of files in it). found: of compare(). Raises OSError."""
    return store.save(wanted.directory, store.expand([*wanted.files, *wanted.also]), found.marks, found.cib,
                      [name for name in wanted.files if not store.expand([name])], existing(wanted.trees))
