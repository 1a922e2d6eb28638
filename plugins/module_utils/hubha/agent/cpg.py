# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""corosync's closed process groups, by ctypes over libcpg (corosync/cpg.h, libcpg.so.4).

Every call may block for as long as corosync stands still: it belongs into a thread of its own.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import select
from typing import Any, Callable, List, Optional, Sequence, Tuple

OK, TRY_AGAIN = 1, 6
DISPATCH_ALL = 1
TYPE_AGREED = 2
# Reasons of a change.
LEAVE, NODEDOWN, PROCDOWN = 2, 3, 5


class CpgError(Exception):
    """A call has failed; corosync is gone, most often."""


class Address(ctypes.Structure):
    """struct cpg_address."""

    _fields_ = [("nodeid", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("reason", ctypes.c_uint32)]


class Name(ctypes.Structure):
    """struct cpg_name."""

    _fields_ = [("length", ctypes.c_uint32), ("value", ctypes.c_char * 128)]


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


DELIVER = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.POINTER(Name), ctypes.c_uint32, ctypes.c_uint32,
                           ctypes.c_void_p, ctypes.c_int)
CONFCHG = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.POINTER(Name),
                           ctypes.POINTER(Address), ctypes.c_int, ctypes.POINTER(Address), ctypes.c_int,
                           ctypes.POINTER(Address), ctypes.c_int)


class Callbacks(ctypes.Structure):
    """cpg_callbacks_t."""

    _fields_ = [("deliver", DELIVER), ("confchg", CONFCHG)]


Members = List[Tuple[int, int]]  # (node id, process id)


def name_of(text: str) -> Name:
    """A group's name as libcpg wants it."""
    data = text.encode()
    return Name(len(data), data)


def library() -> ctypes.CDLL:
    """libcpg, or CpgError when it is not installed."""
    for path in ("libcpg.so.4", ctypes.util.find_library("cpg") or "libcpg.so"):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise CpgError("libcpg is not installed: it comes with corosync's packages")


class Group:
    """Membership of one group.

    delivered(nodeid, data) and changed(members, left, joined) are called by wait(); left is a list of (node id, process
    id, reason).
    """

    def __init__(self, lib: ctypes.CDLL, group: str, delivered: Callable[[int, bytes], None],
                 changed: Callable[[Members, List[Tuple[int, int, int]], Members], None]) -> None:
        self.lib, self.group = lib, name_of(group)
        self.handle = ctypes.c_uint64()

        def on_deliver(dummy_handle: int, dummy_name: Any, nodeid: int, dummy_pid: int, data: Any, length: int) -> None:
            delivered(nodeid, ctypes.string_at(data, length))

        def on_change(dummy_handle: int, dummy_name: Any, members: Any, count: int, left: Any, left_count: int,
                      joined: Any, joined_count: int) -> None:
            changed([(members[i].nodeid, members[i].pid) for i in range(count)],
                    [(left[i].nodeid, left[i].pid, left[i].reason) for i in range(left_count)],
                    [(joined[i].nodeid, joined[i].pid) for i in range(joined_count)])

        self.callbacks = Callbacks(DELIVER(on_deliver), CONFCHG(on_change))  # must live as long as the handle
        self.check(lib.cpg_initialize(ctypes.byref(self.handle), ctypes.byref(self.callbacks)), "cpg_initialize")
        try:
            descriptor = ctypes.c_int()
            self.check(lib.cpg_fd_get(self.handle, ctypes.byref(descriptor)), "cpg_fd_get")
            self.descriptor = descriptor.value
            nodeid = ctypes.c_uint()
            self.check(lib.cpg_local_get(self.handle, ctypes.byref(nodeid)), "cpg_local_get")
            self.nodeid = nodeid.value
            self.check(lib.cpg_join(self.handle, ctypes.byref(self.group)), "cpg_join")
        except CpgError:
            self.close()
            raise

    @staticmethod
    def check(code: int, call: str) -> None:
        if code != OK:
            raise CpgError("%s answers %d" % (call, code))

    def wait(self, seconds: float) -> None:
        """Call back for what has come, or comes within that time."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        if poller.poll(int(seconds * 1000)):
            code = self.lib.cpg_dispatch(self.handle, DISPATCH_ALL)
            if code != TRY_AGAIN:
                self.check(code, "cpg_dispatch")

    def send(self, data: bytes) -> bool:
        """Multicast to all members, this one too. False when corosync has no room now (a change is under way)."""
        code = self.lib.cpg_mcast_joined(self.handle, TYPE_AGREED, ctypes.byref(Vector(data, len(data))), 1)
        if code == TRY_AGAIN:
            return False
        self.check(code, "cpg_mcast_joined")
        return True

    def members(self, groups: Sequence[str]) -> Optional[Members]:
        """Who is in one of some other groups; None when corosync does not say now."""
        result: Members = []
        for group in groups:
            found, count = (Address * 128)(), ctypes.c_int()
            if self.lib.cpg_membership_get(self.handle, ctypes.byref(name_of(group)), found, ctypes.byref(count)) != OK:
                return None
            result += [(found[i].nodeid, found[i].pid) for i in range(count.value)]
        return result

    def close(self, leave: bool = False) -> None:
        """The end. leave: say so; else the others see a process that has died. What corosync answers is no matter."""
        if leave:
            self.lib.cpg_leave(self.handle, ctypes.byref(self.group))
        self.lib.cpg_finalize(self.handle)
