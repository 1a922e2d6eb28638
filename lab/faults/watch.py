# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The watcher's program, run and told what the harness does to the hubs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Dict, List

from lab import network, paths, probe
from lab.faults import audit
from lab.shell import LabError

NEWEST = 60000  # bytes at the log's end in which every hub's newest sample is


class Watch:
    """The running watcher of one row. log: where its lines go."""

    def __init__(self, log: Path):
        self.log = log
        self.frozen: Dict[str, List[List[float]]] = {}
        with open(log.with_suffix(".err"), "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by close()
                [probe.python_with_psycopg2(), "-m", "lab.faults.watcher", "--log=%s" % log,
                 "--address=%s" % network.SHARED_ADDRESS],
                cwd=paths.ROOT, stdin=subprocess.PIPE, stdout=errors, stderr=errors, text=True)

    def tell(self, *words) -> None:
        """One command (see lab.faults.watcher)."""
        if self.process.poll() is not None:
            raise LabError("The watcher has ended: %s" % self.log.with_suffix(".err").read_text(encoding="utf-8"))
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def freeze(self, hub: str) -> None:
        """The hub is about to be frozen."""
        self.tell("freeze", hub)
        self.frozen.setdefault(hub, []).append([time.time(), float("inf")])

    def thaw(self, hub: str) -> None:
        """The hub goes on, since a moment ago."""
        if self.frozen.get(hub):
            self.frozen[hub][-1][1] = time.time()
        self.tell("thaw", hub)

    def spans(self) -> Dict[str, audit.Spans]:
        """{hub: spans in which it was frozen}."""
        return dict((hub, [(begin, end) for begin, end in found]) for hub, found in self.frozen.items())

    def read(self) -> audit.Watched:
        """All samples so far."""
        return audit.parse(self.log.read_text(encoding="utf-8"))

    def newest(self) -> Dict[str, audit.Sample]:
        """Each hub's newest sample."""
        with open(self.log, "rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - NEWEST))
            text = handle.read().decode(errors="replace")
        return dict((hub, found[-1]) for hub, found in audit.parse(text).samples.items())

    def ready(self, hubs, seconds: float = 5.0) -> None:
        """Wait until each of the hubs has been looked at once. One that never is, its sample's reader notices."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.log.exists() and set(hubs) <= set(self.newest()):
                return
            time.sleep(0.05)

    def close(self) -> None:
        """End the program; its log stays."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
