# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand-in for cf-hub: fetch one file from one client with cf-net, and believe nobody but that client.

cf-net trusts every server (trust_server is true in its source, and no option changes that): it takes an
unknown key, stores it in ppkeys, and goes on. So it runs in a work directory of its own, made for one fetch,
with the hub's key pair and the one client's public key out of the hub's ppkeys: nothing that it stores can
reach the hub's ppkeys. And a report counts only when cf-net says (with -v) that the server's key matched a
stored one, and that this is the client's key: neither the report's own words nor the address prove anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

WORK = "/var/lib/cfengine3"
REPORT = "lab_report.json"        # below WORK/data, which cf-serverd's stock policy serves as "data"
SCRATCH = "/run/lab-collector"    # a tmpfs
TIMEOUT = 8.0                     # seconds for one fetch, all in all
MOST = 65536                      # bytes of a report
KEY = re.compile(r"(?:MD5|SHA)=[0-9a-f]{32,128}")
OUTCOMES = ("ok", "auth", "refused", "unreachable", "other")

# What cf-net 3.21 to 3.24 says, in the order in which it matters.
_NEW_KEY = re.compile(r"Trusting new key: (\S+)")
_MATCHED = re.compile(r"Server is TRUSTED, received key '([^']+)' MATCHES stored one")
_NOT_TRUSTED = re.compile(r"hung up during identification|did not accept our identity|TRUST FAILED")
_NO_HANDSHAKE = re.compile(r"Failed to establish TLS connection[^\n]*")
_NO_CONNECTION = re.compile(r"No server is responding|Failed to connect to|Unable to (?:connect|find)")
_NO_FILE = re.compile(r"Could not stat")
_LEVEL = re.compile(r"^(?:critical|error|warning|notice|info|verbose|debug): ")
_WORTH = re.compile(r"rror|ailed|hung up|denied|refus|ould not|rust")
_WORTHLESS = re.compile(r"^Failed to connect to '|No server is responding|Unable to connect|Exit")


def is_key(text):
    """True when *text* is a key digest as CFEngine writes it, such as MD5=... or SHA=... (pure)."""
    return isinstance(text, str) and KEY.fullmatch(text) is not None


def last_words(output, length=160):
    """The last line of cf-net's output that says something, without its level (pure)."""
    lines = [_LEVEL.sub("", line.strip()) for line in output.splitlines() if line.strip()]
    worth = [line for line in lines if _WORTH.search(line) and not _WORTHLESS.search(line)]
    return (worth or lines or ["cf-net said nothing"])[-1][:length]


def classify(output, wanted, content, timed_out=False):
    """What came of one fetch: (outcome, message) (pure).

    output: what cf-net -v wrote.  wanted: the client's key as the database has it.  content: the bytes of the
    report, None when there are none.  timed_out: cf-net was stopped after its time.

    Outcomes: ok; auth (this hub does not trust who answers, or the client does not trust this hub); refused
    (closed before keys were exchanged: cf-serverd's allowconnects, or cf-serverd just stops); unreachable (no
    connection); other (connected and trusted, but no report).
    """
    new = _NEW_KEY.search(output)
    if new:
        return "auth", "the key %s that answers is not the client's" % new.group(1)
    matched = _MATCHED.search(output)
    if matched and matched.group(1) != wanted:
        return "auth", "another host answers: its key is %s" % matched.group(1)
    if _NOT_TRUSTED.search(output):
        return "auth", "the client does not trust this hub: " + last_words(output)
    if not matched:
        no_handshake = _NO_HANDSHAKE.search(output)
        if no_handshake:
            return "refused", no_handshake.group(0)[:160]
        if timed_out or _NO_CONNECTION.search(output):
            return "unreachable", "no answer in time" if timed_out else last_words(output)
        return "other", last_words(output)
    if timed_out:
        return "other", "connected, but no report in time"
    if content is None or _NO_FILE.search(output):
        return "other", "no report there, or no access to it: " + last_words(output)
    return check_report(content, wanted)


def check_report(content, wanted):
    """(outcome, message) for the bytes of a report that came from the host with the key *wanted* (pure)."""
    if len(content) > MOST:
        return "other", "the report is longer than %d bytes" % MOST
    try:
        report = json.loads(content.decode("utf-8"))
    except ValueError:
        return "other", "the report is no JSON"
    if not isinstance(report, dict) or not isinstance(report.get("at"), (int, float)):
        return "other", "the report lacks what a report must have"
    if report.get("hostkey") != wanted:
        return "auth", "the report names the key %s" % str(report.get("hostkey"))[:80]
    return "ok", ""


def workdir(key, work=WORK):
    """Make a work directory for one fetch from the client with *key*; None when the hub has not got that key.

    It holds links to the hub's own key pair and a copy of that one public key, and nothing else.
    """
    known = os.path.join(work, "ppkeys", "root-%s.pub" % key)
    if not is_key(key) or not os.path.isfile(known):
        return None
    os.makedirs(SCRATCH, mode=0o700, exist_ok=True)
    folder = tempfile.mkdtemp(dir=SCRATCH)
    keys = os.path.join(folder, "ppkeys")
    os.makedirs(keys, mode=0o700)
    os.makedirs(os.path.join(folder, "state"), mode=0o700)
    for name in ("localhost.priv", "localhost.pub"):
        os.symlink(os.path.join(work, "ppkeys", name), os.path.join(keys, name))
    shutil.copy(known, keys)
    return folder


def fetch(address, key, work=WORK, timeout=TIMEOUT):
    """Fetch the report of the client with *key* at *address* (may end with :PORT); returns a dict.

    outcome, message: see classify.  bytes: length of the report.  report: its content as a dict, or None.
    seconds: how long it took.
    """
    began = time.monotonic()
    output, content, timed_out = "", None, False
    folder = workdir(key, work)
    if folder is None:
        return {"outcome": "auth", "message": "this hub has not got the client's key in its ppkeys", "bytes": 0,
                "report": None, "seconds": 0.0}
    target = os.path.join(folder, "report")
    try:
        done = subprocess.run(["cf-net", "-v", "-H", address, "get", "-o", target, "data/" + REPORT],
                              env=dict(os.environ, CFENGINE_TEST_OVERRIDE_WORKDIR=folder, LC_ALL="C"), cwd=folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout, check=False)
        output = done.stdout.decode("utf-8", "replace")
        if os.path.exists(target):
            with open(target, "rb") as handle:
                content = handle.read(MOST + 1)
    except subprocess.TimeoutExpired as exc:
        output, timed_out = (exc.stdout or b"").decode("utf-8", "replace"), True
    except OSError as exc:
        output = "error: cf-net cannot be run: %s" % exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcome, message = classify(output, key, content, timed_out)
    return {"outcome": outcome, "message": message, "bytes": len(content or b""),
            "report": json.loads(content) if outcome == "ok" else None, "seconds": time.monotonic() - began}


def own_key(work=WORK):
    """The digest of this host's own key, or None."""
    try:
        done = subprocess.run(["cf-key", "-p", os.path.join(work, "ppkeys", "localhost.pub")], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    said = done.stdout.decode("ascii", "replace").strip()
    return said if is_key(said) else None
