# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts' keys a directory of CFEngine's public keys (ppkeys) trusts: bring them in, take them out, carry them.

Everything is read and checked before the first file is written. With *check* it is only told what would be done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from ..core.run import HubError
from . import key_files, keys as keys_model
from .keys import KeyProblem


@dataclass(frozen=True)
class Trusted:
    """What trust() has done: names of files that were made and of those that were written anew with the same key, how
    many keys were trusted before, how many of all are the host's own and were left out, and how many keys there are
    without those. labels: {name: what the key is called in messages} of the files written."""

    added: List[str]
    rewritten: List[str]
    present: int
    own: int
    count: int
    labels: Dict[str, Optional[str]]


@dataclass(frozen=True)
class Packed:
    """All trusted keys as one text for trust(), how many they are, and [{"file", "reason"}] of files that are none."""

    archive: str
    count: int
    left_out: List[Dict[str, str]]

    def warning(self, folder: str) -> Optional[str]:
        """What an operator should hear of the files that were left out; None when there are none."""
        if not self.left_out:
            return None
        one = len(self.left_out) == 1
        return "%d %s left out: %s" % (
            len(self.left_out), ("file in %s is no trusted key and is" if one else
                                 "files in %s are no trusted keys and are") % folder,
            "; ".join(keys_model.first_ones(["%(file)s: %(reason)s" % item for item in self.left_out])))


def pack(folder: str, exclude: Sequence[str] = ()) -> Packed:
    """The trusted keys of *folder* without those of the digests in *exclude*. Raises HubError, KeyProblem."""
    unwanted = keys_model.digests(exclude)
    keys, reasons = key_files.read(folder)
    keys = {name: key for name, key in keys.items() if not keys_model.has_digest(name, key, unwanted)}
    left_out = [{"file": keys_model.printable(name), "reason": reason} for name, reason in sorted(reasons.items())]
    return Packed(keys_model.carried(keys), len(keys), left_out)


def trust(folder: str, items: Sequence[Any], archive: Optional[str] = None, digest_type: Optional[str] = None,
          check: bool = False) -> Trusted:
    """The keys in *items* and *archive* are trusted. Raises HubError with all that is wrong, KeyProblem, OSError.

    items: [{"public", "host", "digest", "user"}], see keys.given. archive: of pack() on another host; files keep their
    names. digest_type: MD5 or SHA for the names of files, None is what the files here and the digests tell.
    """
    names = key_files.names(folder)
    own = key_files.own(folder)
    wanted, own_count = keys_model.uncarried(archive, own) if archive is not None else ({}, 0)
    given, own_labels, problems = keys_model.given(items, digest_type, names, own)
    wanted.update(given)
    actions: Dict[str, List[str]] = {"added": [], "rewritten": [], "present": []}
    there = set(names)
    for name in sorted(wanted):
        try:
            actions[key_files.state(folder, name, wanted[name].key, there)].append(name)
        except KeyProblem as problem:
            problems.append("%s: %s: %s" % (wanted[name].label or "the archive", name, problem))
    if problems:
        raise HubError("nothing was changed in %s, because not every key can be used:\n%s"
                       % (folder, "\n".join(problems)), problems=problems)
    todo = actions["added"] + actions["rewritten"]
    if not check:
        key_files.write(folder, {name: wanted[name].key for name in todo})
    return Trusted(actions["added"], actions["rewritten"], len(actions["present"]), own_count + len(own_labels),
                   len(wanted), {name: wanted[name].label for name in todo})


def distrust(folder: str, digests: Sequence[str], check: bool = False) -> List[str]:
    """No key of these *digests* is trusted. Returns the names of the files that were removed.

    These are the files that are named so, and those that hold such a key. Raises HubError, KeyProblem, OSError.
    """
    unwanted = keys_model.digests(digests)
    removed = [name for name, key in sorted(key_files.held(folder).items())
               if keys_model.has_digest(name, key, unwanted)]
    if not check:
        for name in removed:
            key_files.remove(folder, name)
    return removed
