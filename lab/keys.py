# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ten thousand clients' keys from hub to hub: `.cache/venv/bin/python -m lab.keys --runs 5`, on the lab's pair.

Each round: the keys are taken off the passive hub, a plain tar stream of the same files is timed, they are taken off
again, and the roles bring them (plan, then the part of role cfengine that is about keys), twice. Prints median, minimum and
maximum of the tasks about keys, and of the whole playbook with Ansible's start and the reading of both hubs.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time

from lab import hub, network, paths, podman

KEYS = hub.WORK + "/ppkeys"
# Keys as CFEngine stores them; n need not be a product of two primes for that. Made on the hub, named by their digest.
MAKE = r"""
import base64, hashlib, os, random, sys
def der(number):
    body = number.to_bytes((number.bit_length() + 8) // 8, "big")
    return b"\x02" + length(len(body)) + body
def length(size):
    return bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
generator = random.Random(1)
for turn in range(int(sys.argv[2])):
    n = generator.getrandbits(2048) | 1 << 2047 | 1
    e = 65537
    body = der(n) + der(e)
    text = base64.b64encode(b"\x30" + length(len(body)) + body).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    digest = hashlib.md5(n.to_bytes(256, "big") + e.to_bytes(3, "big")).hexdigest()
    with open(os.path.join(sys.argv[1], "root-MD5=%s.pub" % digest), "w") as handle:
        handle.write("-----BEGIN RSA PUBLIC KEY-----\n%s\n-----END RSA PUBLIC KEY-----\n" % "\n".join(lines))
"""
PLAY = """
- hosts: hubs
  gather_facts: false
  any_errors_fatal: true
  become: true
  vars: {ansible_pipelining: true}
  tasks:
    - ansible.builtin.import_role: {name: cfengine.hub_ha.plan, rolespec_validate: false}
    - ansible.builtin.import_role: {name: cfengine.hub_ha.cfengine, tasks_from: keys.yml, rolespec_validate: false}
"""


def timed(*argv, **options):
    """Run a command: (seconds, output)."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=paths.ROOT, text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(done.stdout[-3000:])
    return seconds, done.stdout


def ssh(host):
    """The words of an SSH command to a host, as Ansible connects."""
    return ["ssh", "-i", str(paths.SSH_KEY), "-o", "UserKnownHostsFile=%s" % paths.KNOWN_HOSTS,
            "root@" + network.address(host)]


def keep(host):
    """Lay the host's keys aside; what an earlier run that was cut off laid aside is what there was before.

    The hubs' agents, which bring each other's keys too, rest meanwhile.
    """
    podman.execute(host, ["sh", "-c", "systemctl stop cf-execd && timeout 120 sh -c 'while pgrep -x cf-agent; do "
                          "sleep 0.2; done' && { test -d %s.before || cp -a %s %s.before; }" % (KEYS, KEYS, KEYS)])


def clear(host):
    """Take the made keys off the host again: those that it did not have before."""
    podman.execute(host, ["sh", "-c", "rm -rf %s && cp -a %s.before %s" % (KEYS, KEYS, KEYS)])


def task_seconds(output, role="cfengine.hub_ha.cfengine"):
    """Seconds that the tasks of a role took, of what callback profile_tasks prints at its end. Exits without one."""
    found = re.findall(r"^%s : .*? -+ ([0-9.]+)s$" % re.escape(role), output, re.MULTILINE)
    return sum(map(float, found)) if found else sys.exit("no times in the output:\n" + output)


def active_first():
    """The two hubs, the one with the primary first."""
    done = podman.execute("hub1", ["psql", "-XAtqd", "postgres", "-c", "SELECT pg_is_in_recovery()"])
    return ("hub2", "hub1") if done.stdout.strip() == "t" else ("hub1", "hub2")


def one_round(playbook, active, passive):
    """Seconds of the tar stream, of the tasks and of the tasks again."""
    clear(passive)
    stream = " ".join(ssh(active)) + " 'cd %s && tar -cf - --exclude=localhost.* .' | " % KEYS
    stream += " ".join(ssh(passive)) + " 'tar -xf - -C %s'" % KEYS
    tar, _output = timed("bash", "-c", "set -o pipefail; " + stream)
    clear(passive)
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paths.ROOT / "ansible.cfg"), NO_COLOR="1",
                       ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks")
    command = [str(paths.VENV_PYTHON.parent / "ansible-playbook"), "-i", "inventories/lab/hosts.yml", playbook]
    whole, output = timed(*command, env=environment)
    if output.count("changed=1") != 1:
        sys.exit("the keys were not brought:\n" + output)
    first = task_seconds(output)
    again, output = timed(*command, env=environment)
    if output.count("changed=0") != 2:
        sys.exit("the second run changed something:\n" + output)
    return {"tar stream, s": tar, "keys brought, s": first, "times tar": first / tar, "playbook with it, s": whole,
            "again, s": task_seconds(output), "playbook again, s": again}


def main():
    """Make the keys, then rounds, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keys", type=int, default=10000)
    options = parser.parse_args()
    if not paths.MARK.exists():  # not yet in the lab's namespace
        os.execv(sys.executable, [sys.executable, "-m", "lab", "enter", "--", sys.executable, "-m", "lab.keys",
                                  "--runs", str(options.runs), "--keys", str(options.keys)])
    playbook = paths.TMP / "keys.yml"
    playbook.write_text(PLAY, encoding="utf-8")
    hubs = active_first()
    for host in hubs:
        keep(host)
    try:
        podman.execute(hubs[0], ["python3", "-", KEYS, str(options.keys)], stdin=MAKE, timeout=120)
        rounds = [one_round(str(playbook), *hubs) for _number in range(options.runs)]
    finally:
        for host in hubs:
            clear(host)
            podman.execute(host, ["sh", "-c", "rm -rf %s.before && systemctl start cf-execd" % KEYS])
    print("| %d keys, %d rounds | median | min | max |\n|---|---|---|---|" % (options.keys, options.runs))
    for name in rounds[0]:
        values = [item[name] for item in rounds]
        print("| %s | %.2f | %.2f | %.2f |" % (name, statistics.median(values), min(values), max(values)))


if __name__ == "__main__":
    main()
