# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems of hosts and images: a writable folder laid over read-only ones (overlayfs).

No copies, no packing into image archives: an image is ready as soon as its packages are installed,
and a fresh host costs one mount. Where the kernel cannot lay folders over these ones (they are on
an overlay themselves), each gets a full copy instead: slower, the same otherwise.
Mounts belong to the lab's namespace and end with it.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager

from lab import paths
from lab.shell import LabError, run

_trying = threading.Lock()


def options(lower, upper, work, volatile=False):
    """Mount options of an overlay (pure). Raises LabError for folders that cannot be named in them.

    volatile: nothing is synced to the disk. For building: package tools sync thousands of times.
    """
    for path in [*lower, upper, work]:
        if set(str(path)) & set(",:\\"):
            raise LabError("The checkout's path must not contain a comma, a colon or a backslash: %s" % paths.ROOT)
    return "lowerdir=%s,upperdir=%s,workdir=%s,index=off,metacopy=off,redirect_dir=off%s" % (
        ":".join(map(str, lower)), upper, work, ",volatile" if volatile else "")


def _works(volatile):
    """True when the kernel can lay folders of the lab's state over each other. Tried, in a namespace of its own."""
    trial = paths.TMP / ("overlay-%d-%d" % (os.getpid(), volatile))
    lower, upper, work, root = (trial / name for name in ("lower", "upper", "work", "root"))
    for folder in (lower, upper, work, root):
        folder.mkdir(parents=True)
    works = run(["unshare", "--mount", "--propagation", "private", "mount", "-t", "overlay", "overlay", "-o",
                 options([lower], upper, work, volatile), str(root)], check=False, timeout=30).returncode == 0
    shutil.rmtree(trial)
    return works


def kernel():
    """What the kernel can do here: "volatile", "overlay" or "copy" (tried once, remembered)."""
    with _trying:
        answer = paths.STATE / "overlay"
        if not answer.exists():
            found = "volatile" if _works(True) else "overlay" if _works(False) else "copy"
            answer.write_text(found + "\n", encoding="utf-8")
        return answer.read_text(encoding="utf-8").strip()


def mount(lower, upper, place, building=False):
    """Make PLACE/root: the folders *lower* (uppermost first), with all changes going to *upper*; returns it.

    building: the content need not be safe on the disk before this is unmounted.
    """
    root, work = place / "root", place / "work"
    place.mkdir(parents=True, exist_ok=True)
    if kernel() == "copy":
        if not upper.exists():
            run(["cp", "-a", "--reflink=auto", str(lower[0]), str(upper)], timeout=600)
        root.mkdir(exist_ok=True)
        run(["mount", "--bind", str(upper), str(root)], timeout=30)
        return root
    for folder in (upper, work, root):
        folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "overlay", "overlay", "-o",
         options(lower, upper, work, building and kernel() == "volatile"), str(root)], timeout=30)
    return root


def unmount(place):
    """Take PLACE/root away again; *upper* stays. Nothing happens when it is not mounted."""
    root = place / "root"
    if os.path.ismount(root):
        run(["umount", str(root)], timeout=60)
    if os.path.ismount(root):
        raise LabError("%s cannot be unmounted. `python3 -m lab down` ends everything that uses it." % root)
    shutil.rmtree(place / "work", ignore_errors=True)
    if root.exists():
        root.rmdir()


def remove(upper, place):
    """Unmount PLACE/root and remove it with all that was changed."""
    unmount(place)
    if upper.exists():
        shutil.rmtree(upper)
    if place.exists():
        shutil.rmtree(place)


@contextmanager
def mounted(lower, upper, place):
    """The same while an image is being built: PLACE/root is gone afterwards, *upper* is the new image."""
    unmount(place)
    try:
        yield mount(lower, upper, place, building=True)
    finally:
        unmount(place)
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def quick(target, place):
    """How to fill the new folder *target* without syncs: gives (words before the command, folder to fill).

    Works outside of the lab's namespace: the mount belongs to the command alone and ends with it.
    """
    target.mkdir(parents=True)
    if kernel() != "volatile":
        yield [], target
        return
    shutil.rmtree(place, ignore_errors=True)
    for name in ("empty", "work", "root"):
        (place / name).mkdir(parents=True)
    try:
        yield ["unshare", "--mount", "--propagation", "private", "sh", "-c",
               'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"', "sh",
               options([place / "empty"], target, place / "work", volatile=True), str(place / "root")], place / "root"
    finally:
        shutil.rmtree(place, ignore_errors=True)
