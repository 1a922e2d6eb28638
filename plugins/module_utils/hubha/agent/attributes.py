# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard tells pacemaker of this hub: transient node attributes, on which rules of the CIB look.

hub_ha-forked: this hub's data has what the primary lacks, and what; undefined when it may follow.
hub_ha-clients: 1 when clients can reach this hub, 0 when they can reach the other one only.
hub_ha-guard: "running", or "gone", set by the other hub.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

FORKED, CLIENTS, GUARD = "hub_ha-forked", "hub_ha-clients", "hub_ha-guard"
BAD_FOR, GOOD_FOR = 3.0, 20.0  # seconds
REFRESH = (1.0, 5.0, 15.0, 40.0)  # seconds after what may have taken attributes away, see Refresh
FRESH = 2.0  # seconds after which what the other hub has said counts no more
UNSET = object()

Key = Tuple[str, str]  # node, name


@dataclass
class Damper:
    """A value that falls quickly and rises slowly, so that a link that comes and goes moves the role once.

    value: True, False, or None before anything was seen.
    """

    bad_for: float = BAD_FOR
    good_for: float = GOOD_FOR
    value: Optional[bool] = None
    since: float = 0.0
    last: Optional[bool] = None

    def see(self, now: float, good: bool, may_fall: bool = True) -> bool:
        """The damped value after one look. may_fall: whether the other hub could serve instead (Word.stood)."""
        if good != self.last:
            self.last, self.since = good, now
        if self.value is None:
            self.value = True
        if good and not self.value and now - self.since >= self.good_for:
            self.value = True
        if not good and may_fall and self.value and now - self.since >= self.bad_for:
            self.value = False
        return self.value


@dataclass
class Word:
    """What the other hub says of its own link, look by look. since: it has said that it is good since then."""

    since: Optional[float] = None
    heard: float = 0.0

    def hear(self, now: float, good: Any) -> None:
        """A message has come. Anything but True is no word for it: an older guard says nothing of that."""
        self.heard = now
        if good is not True:
            self.since = None
        elif self.since is None:
            self.since = now

    def forget(self) -> None:
        """The other hub is gone, or was stopped."""
        self.since = None

    def stood(self, began: float, now: float) -> bool:
        """Whether the other hub could be reached all the time that this one could not.

        What cuts off both hubs is seen by one before the other: if the first one gave the role away then, it would move
        for nothing. began: of this hub's look, since a look may last as long as there are addresses to try.
        """
        since = self.since  # another thread may forget it
        return since is not None and now - self.heard <= FRESH and began - since >= BAD_FOR


@dataclass
class Attributes:
    """What is to be set, and what has been; a value None is to be deleted. Only differences are told to pacemaker."""

    wanted: Dict[Key, Optional[str]] = field(default_factory=dict)
    told: Dict[Key, Any] = field(default_factory=dict)
    daemon: int = 0
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)  # several threads want, one tells

    def want(self, node: str, name: str, value: Optional[str]) -> None:
        """Set it, or delete it, as soon as pacemaker takes it."""
        with self.lock:
            self.wanted[(node, name)] = value

    def forget(self, node: str, name: str) -> None:
        """It is somebody else's from now on."""
        with self.lock:
            self.wanted.pop((node, name), None)
            self.told.pop((node, name), None)

    def due(self, daemon: int) -> List[Tuple[Key, Optional[str]]]:
        """What is to be told. daemon: process id of pacemaker-attrd, 0 without; a new one knows nothing of before."""
        with self.lock:
            if daemon != self.daemon:
                self.daemon = daemon
                self.told.clear()
            if not daemon:
                return []
            return [(key, value) for key, value in sorted(self.wanted.items(), key=lambda item: item[0])
                    if self.told.get(key, UNSET) != value]

    def done(self, key: Key, value: Optional[str]) -> None:
        """Pacemaker has taken it. What was forgotten meanwhile stays so."""
        with self.lock:
            if key in self.wanted:
                self.told[key] = value

    def now(self) -> Dict[Key, Any]:
        """What pacemaker has taken, a copy."""
        with self.lock:
            return dict(self.told)


@dataclass
class Refresh:
    """When pacemaker-attrd is to write everything into the CIB again.

    A controller that ends takes its hub's attributes out of the CIB, and so does the other hub's when it has taken this one
    for lost, once they have met again. Attrd, which still has them, writes only what changes: cfpgsql-status is then
    nobody's. When exactly they go is up to the other hub, so it is done more than once.
    """

    controller: int = 0
    epoch: int = 0
    at: Tuple[float, ...] = ()

    def due(self, now: float, controller: int, epoch: int = 0) -> bool:
        """Whether it is time. controller: process id of pacemaker-controld, 0 when none is known. epoch: of the membership,
        another number after each change.
        """
        again = epoch != self.epoch
        self.epoch = epoch
        if controller and controller != self.controller:
            again = again or bool(self.controller)
            self.controller = controller
        if again:
            self.at = tuple(now + seconds for seconds in REFRESH)
        late = [when for when in self.at if when <= now]
        self.at = tuple(when for when in self.at if when > now)
        return bool(late)


REFRESH_COMMAND = ["attrd_updater", "--refresh"]


def command(key: Key, value: Optional[str]) -> List[str]:
    """The program that tells it; the short options are those of every pacemaker 2.1 and 3."""
    return ["attrd_updater", "-N", key[0], "-n", key[1]] + (["-D"] if value is None else ["-U", value])


def interfaces_of(found: Sequence[Mapping[str, Any]], addresses: Tuple[str, ...]) -> List[str]:
    """Names of the interfaces that have one of the addresses. found: `ip -j address`."""
    return sorted({item["ifname"] for item in found for info in item.get("addr_info") or []
                   if info.get("local") in addresses})


def carrier(interface: str, folder: str = "/sys/class/net") -> bool:
    """Whether a cable is in it, or what stands for one. One that is switched off has none (reading it is an error)."""
    try:
        with open(os.path.join(folder, interface, "carrier"), encoding="ascii") as stream:
            return stream.read().strip() == "1"
    except OSError:
        return False


def reachable(interfaces: List[str], references: Tuple[str, ...], has_carrier: Callable[[str], bool],
              answers: Callable[[str], bool]) -> bool:
    """Whether clients can reach this hub, as far as it can see. Interfaces that are not known speak for nothing."""
    if not all(has_carrier(name) for name in interfaces):
        return False
    return not references or any(answers(item) for item in references)


def forked_text(found: Mapping[str, Any]) -> str:
    """What this data has behind the fork, short: found is of pg/look.forked_by."""
    words = ["timeline=%s" % found["timeline"], "fork=%s" % found["fork"]]
    for name, key in (("commits", "commits"), ("bytes", "bytes"), ("last", "last_commit")):
        if found.get(key) is not None:
            words.append("%s=%s%s" % (name, str(found[key]).replace(" ", "T", 1).partition(" ")[0],
                                      "" if key != "commits" or found.get("complete") else "+"))
    return " ".join(words)
