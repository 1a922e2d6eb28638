# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and writes directories with full backups. What their content means is in backup_format.py."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import time
import zlib

from ..core.files import fsync_path, nearest_existing, read_json, read_text, sha256, tree_size, write_json
from ..core.run import HubError
from ..pg import clone as basebackup_model
from ..pg.client import PostgresError
from . import backup_format as model

BLOCK = 1 << 20
EVERY = 0.5  # seconds between two notes of a job's progress


def look(path, digest=False):
    """What lies at *path*: a directory for backups, or one backup. digest: read every file and compare it.

    {"path", "real", "kind" ("absent", "directory", "other"), "mode", "uid", "own_uid" (whose process looks),
    "free_bytes", "backups", "locked" (whether a run copies into it now), "unfinished"}; see judge() and unfinished().
    """
    real = os.path.realpath(path)
    space = os.statvfs(nearest_existing(real))
    found = {"path": path, "real": real, "kind": "absent", "mode": 0, "uid": 0, "own_uid": os.geteuid(),
             "backups": [], "locked": False, "unfinished": [],
             "free_bytes": space.f_bavail * space.f_frsize}
    if not os.path.lexists(real):
        return found
    info = os.stat(real)
    found.update(kind="directory" if stat.S_ISDIR(info.st_mode) else "other", mode=stat.S_IMODE(info.st_mode),
                 uid=info.st_uid)
    if found["kind"] == "directory":
        names = sorted(os.listdir(real))
        if is_backup(real, names):
            found["backups"] = [judge(real, digest)]
        else:
            found["locked"] = locked(real)
            paths = [os.path.join(real, name) for name in sorted(os.listdir(real)) if model.NAME.match(name)]
            found["backups"] = [judge(path, digest) for path in paths if os.path.isdir(path)]
            found["unfinished"] = [item for item in map(unfinished, paths) if item]
    return found


def is_backup(path, names):
    """True for a backup's own directory, whole or not."""
    return bool(model.NAME.match(os.path.basename(path)) or {model.MANIFEST, model.DATABASE} & set(names))


def judge(path, digest=False):
    """{"path", "name", "id", "complete", "problems", "manifest", "fetched"} of one backup.

    id: digest of its manifest. fetched: it is on its way to a controller, and goes from here then.
    """
    name = os.path.join(path, model.MANIFEST)
    result = {"path": path, "name": os.path.basename(path), "id": None, "complete": False, "manifest": None,
              "problems": [], "fetched": bool((read_json(os.path.join(path, model.RUN)) or {}).get("fetched"))}
    try:
        manifest = model.parse_manifest(read_text(name))
    except ValueError as error:
        result["problems"] = [str(error)]
        return result
    found = [(entry, os.path.join(path, entry["name"])) for entry in manifest["members"]]
    sizes = [os.path.getsize(file) if os.path.isfile(file) else None for dummy, file in found]
    problems = [model.member_problem(entry, size, sha256(file) if digest and size == entry["bytes"] else None)
                for (entry, file), size in zip(found, sizes)]
    result.update(manifest=manifest, id=sha256(name), problems=[text for text in problems if text])
    result["complete"] = not result["problems"]
    return result


def unfinished(path):
    """What a run that still goes on or was cut off has at *path*: None for anything else.

    {"path", "run" (its own name for itself, see run.py; None: it left none), "copying" (there is a plain copy of the
    database), "complete", "bytes", "touched" (newest time of its files), "silent" (seconds since)}. That is a
    directory of ours without a manifest, or a whole backup with the note that it goes to a controller.
    """
    try:
        if os.path.islink(path) or not os.path.isdir(path) or os.stat(path).st_uid != os.geteuid():
            return None
        names = os.listdir(path)
        note = read_json(os.path.join(path, model.RUN)) or {}
        if [name for name in names if not model.OURS.match(name)] \
                or model.MANIFEST in names and not note.get("fetched"):
            return None
        touched = max(os.lstat(name).st_mtime for name in [path] + [os.path.join(path, name) for name in names])
        return {"path": path, "run": note.get("run"), "copying": model.COPY in names,
                "complete": model.MANIFEST in names, "bytes": tree_size(path), "touched": touched,
                "silent": time.time() - touched}
    except FileNotFoundError:
        return None  # its run has just ended it


def mark(path, run, fetched):
    """Leaves the note of a run in its backup."""
    write_json(os.path.join(path, model.RUN), {"run": run, "fetched": fetched}, sync=True)


def remove(path):
    """Removes a backup, the manifest first: what is left of a removal that is cut off is no backup any more."""
    try:
        os.unlink(os.path.join(path, model.MANIFEST))
        fsync_path(path)
    except FileNotFoundError:
        pass  # a part of one
    shutil.rmtree(path)


def clear(directory, items, check_mode=False):
    """Removes what was cut off; returns the paths. items: of unfinished(), as they were when it was decided.

    Nothing that has changed since, and nothing while a run holds the lock: then nobody can tell whose it is.
    """
    if locked(directory):
        return []
    handle = None if check_mode else lock(directory)
    try:
        gone = [item["path"] for item in items if os.path.dirname(item["path"]) == os.path.realpath(directory)
                and (unfinished(item["path"]) or {}).get("touched") == item["touched"]]
        for path in [] if check_mode else gone:
            remove(path)
    finally:
        if handle is not None:
            os.close(handle)
    return gone


def locked(directory):
    """True while a run copies a database into *directory*."""
    try:
        handle = os.open(os.path.join(directory, ".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def lock(directory):
    """Handle of the lock that one backup at a time holds in *directory*; raises HubError when another has it."""
    handle = os.open(os.path.join(directory, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise HubError("another backup is being made in %s: wait for its end" % directory)
    return handle


def new_directory(directory, clock=time.gmtime):
    """Path of a new backup, made and empty: named after the time."""
    name = time.strftime("%Y-%m-%dT%H%M%SZ", clock())
    for count in range(1, 100):
        path = os.path.join(directory, name if count == 1 else "%s-%d" % (name, count))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        return path
    raise HubError("no new directory could be made in %s" % directory)


class Digesting:
    """A file on which is written or read, with its digest and a call for each block: progress(bytes so far)."""

    def __init__(self, handle, progress=lambda done: None):
        self.handle, self.progress = handle, progress
        self.digest, self.bytes = hashlib.sha256(), 0

    def passed(self, data):
        self.digest.update(data)
        self.bytes += len(data)
        self.progress(self.bytes)
        return data

    def write(self, data):
        self.handle.write(self.passed(data))
        return len(data)

    def read(self, size=-1):
        return self.passed(self.handle.read(size))

    def flush(self):
        self.handle.flush()


class Counting:
    """A file that is read, with a call for each block: progress(bytes of it)."""

    def __init__(self, handle, progress):
        self.handle, self.progress = handle, progress

    def read(self, size=-1):
        data = self.handle.read(size)
        self.progress(len(data))
        return data


def pack(folder, path, progress):
    """Make the archive *path* of all that is below *folder*; returns its entry for the manifest. progress(bytes)."""
    done = [0]

    def count(size):
        done[0] += size
        progress(done[0])

    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
        target = Digesting(raw)
        # The quickest level: a database's pages shrink to a fraction already.
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0, filename="") as packed:
            with tarfile.open(fileobj=packed, mode="w|", bufsize=BLOCK) as archive:
                for root, folders, files in os.walk(folder):
                    folders.sort()
                    for name in [""] + sorted(files):
                        place = os.path.join(root, name) if name else root
                        entry = archive.gettarinfo(place, os.path.relpath(place, folder))
                        entry.uid = entry.gid = 0
                        entry.uname = entry.gname = ""
                        if entry.isfile():
                            with open(place, "rb") as handle:
                                archive.addfile(entry, Counting(handle, count))
                        else:
                            archive.addfile(entry)
        raw.flush()
        os.fsync(raw.fileno())
    return {"name": os.path.basename(path), "bytes": target.bytes, "sha256": target.digest.hexdigest()}


def unpack(path, folder, uid, gid, progress):
    """Fill the empty directory *folder* from the archive *path*; returns the archive's digest. progress(bytes read).

    Raises HubError for an archive that is damaged or leads outside.
    """
    with open(path, "rb") as raw:
        source = Digesting(raw, progress)
        try:
            with gzip.GzipFile(fileobj=source, mode="rb") as plain, \
                    tarfile.open(fileobj=plain, mode="r|", bufsize=BLOCK) as archive:
                for entry in archive:
                    name = os.path.normpath(entry.name)
                    if os.path.isabs(name) or name.split(os.sep)[0] == ".." or not (entry.isdir() or entry.isreg()):
                        raise HubError("%s holds what does not belong there: %s" % (path, entry.name))
                    place = os.path.join(folder, name) if name != "." else folder
                    if entry.isdir():
                        if place != folder:
                            os.mkdir(place, 0o700)
                    else:
                        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                            content = archive.extractfile(entry)
                            for data in iter(lambda: content.read(BLOCK), b""):
                                target.write(data)
                    os.chown(place, uid, gid)
                plain.read()  # what follows the end of the archive counts for gzip's own checksum
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise HubError("%s is damaged: %s" % (path, error))
        except OSError as error:
            raise HubError("%s could not be unpacked into %s: %s" % (path, folder, error))
        for dummy in iter(lambda: source.read(BLOCK), b""):
            pass
    return source.digest.hexdigest()


class Progress:
    """The progress file of a job; that nobody can read the progress must not stop the job."""

    def __init__(self, path, clock=time.monotonic):
        self.path, self.clock, self.written = path, clock, 0.0
        self.meter = basebackup_model.Meter(clock)

    def show(self, phase=None, done=None, total=None):
        """Notes it: a new phase at once, else now and then."""
        now = self.clock()
        if phase:
            self.meter.phase(phase)
        elif now - self.written < EVERY:
            return
        if done is not None:
            self.meter.state.update(bytes_done=done, bytes_total=total)
        self.written = now
        try:
            write_json(self.path, dict(self.meter.state, pid=os.getpid(), time=time.time()))
        except OSError:
            pass


def verify(postgres, folder, timeout):
    """pg_verifybackup of a plain copy; returns whether it could read the WAL too. Raises PostgresError('altered')."""
    wal = os.path.exists(os.path.join(os.path.dirname(postgres.program("pg_verifybackup")), "pg_waldump"))
    done = postgres.run([postgres.program("pg_verifybackup"), "-q"] + ([] if wal else ["-n"]) + [folder], check=False,
                        timeout=timeout)
    if done.rc != 0:
        raise PostgresError("altered", "pg_verifybackup refuses the copy of the database: %s"
                            % "; ".join((done.err or done.out).strip().splitlines()[:5]))
    return wal
