# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a live single hub: CFEngine serving policy to bootstrapped clients, PostgreSQL with a hub's data."""

from __future__ import annotations

import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

from lab import hosts, images, network, paths, podman
from lab.shell import LabError, stage, wait_for

WORK = "/var/lib/cfengine3"
PGDATA = WORK + "/state/pg/data"
DAEMONS = ("cf-serverd.service", "cf-execd.service", "cf-monitord.service")
ENTERPRISE = "/var/cfengine"  # the work directory with the stand-in for Enterprise's package
PORTAL_DAEMONS = ("cf-hub.service", "cf-apache.service", "cf-reactor.service", "cf-php-fpm.service")

# What an operator has put there over the years: an upgrade must keep every key of it.
OPERATOR_DEF_JSON = {
    "classes": {"our_production_hub": ["any"], "our_patch_window": ["Monday", "Thursday"]},
    "inputs": ["services/our_own/main.cf"],
    "vars": {
        # Debian's policy has the hub take its own policy from the package's folder unless told otherwise:
        # whoever keeps own policy in masterfiles needs this line.
        "mpf_update_policy_master_location": WORK + "/masterfiles",
        "acl": ["192.168.100.0/24", "10.20.0.0/16"],
        "our_ntp_servers": ["ntp1.example.net", "ntp2.example.net"],
        "our_motd": "Hands off: \"quotes\", back\\slashes and 100 % are ours.",
        "our_nested": {"level": {"deep": [1, 2, {"three": "four"}]}, "on": True, "ratio": 0.5},
    },
}
# Nobody's key is trusted because it came first. Needs the line about the policy's master location above: without
# it hubs take their inputs from the package's folder, and this does not reach their own cf-serverd.
STRICT_TRUST = {"trustkeysfrom": []}
OPERATOR_POLICY = """# The operator's own policy: an upgrade must keep it.
bundle agent our_own_main
{
  reports:
    verbose_mode::
      "our own policy ran on $(sys.uqhost)";
}
"""


def writer_password():
    """The password of the role lab_writer: made once, kept in .cache/lab/writer.pass."""
    if not paths.WRITER_PASS.exists():
        paths.WRITER_PASS.touch(mode=0o600)
        paths.WRITER_PASS.write_text(secrets.token_urlsafe(18) + "\n", encoding="utf-8")
    return paths.WRITER_PASS.read_text(encoding="utf-8").strip()


def operator_def_json(strict_trust=False):
    """The operator's def.json (dict); strict_trust: no host that has it trusts a key by first contact (pure)."""
    added = STRICT_TRUST if strict_trust else {}
    return dict(OPERATOR_DEF_JSON, vars=dict(OPERATOR_DEF_JSON["vars"], **added))


def enterprise(host):
    """True for a host that has, or is to get, the stand-in for Enterprise's package."""
    return hosts.planned()["hosts"].get(host) in images.ENTERPRISE


def work(host):
    """CFEngine's work directory on *host*."""
    return ENTERPRISE if enterprise(host) else WORK


def chosen(names, states):
    """The clients to bootstrap, from "client1,client3" (None: all that run): sorted list (pure).

    states: {host: state} of all hosts.  Raises LabError for a host that is no client or does not run.
    """
    running = sorted(name for name, state in states.items() if name.startswith("client") and state == "running")
    if names is None:
        return running
    wanted = sorted(set(filter(None, re.split(r"[,\s]+", names))))
    wrong = [name for name in wanted if name not in running]
    if wrong:
        raise LabError("No running client: %s. Running clients: %s." % (", ".join(wrong), ", ".join(running) or "none"))
    return wanted


def psql(host, sql, database="cfdb", timeout=60):
    """Run SQL on a hub through the local socket as root; returns the unaligned output."""
    return podman.execute(host, ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"],
                          stdin=sql, timeout=timeout).stdout.strip()


def seed(host="hub1", prepared=False, with_def_json=False, strict_trust=False, clients=None):
    """Bring the hub to life on *host* (of the image "single") and bootstrap running clients to it.

    prepared: settings of PostgreSQL that need a restart have their final values already.
    with_def_json: masterfiles hold a def.json and a policy file of the operator's own.
    strict_trust: that def.json forbids hub and clients to trust a key by first contact (implies with_def_json).
    clients: names with commas between (None: all running clients).
    """
    podman.need(host)
    kind = hosts.planned()["hosts"].get(host)
    if kind not in ("single", "enterprise"):
        raise LabError("%s was started from the image %s, and only single and enterprise can become a live hub. "
                       "Start it so: python3 -m lab reset --hosts %s=single,..." % (host, kind, host))
    clients = chosen(clients, podman.containers())
    if kind == "enterprise":
        _install_again(host)
    # Bootstrapping restarts every unit of CFEngine, cf-postgres.service among them: database after policy.
    _policy(host, operator_def_json(strict_trust) if with_def_json or strict_trust else None)
    with ThreadPoolExecutor(4) as pool:
        database = pool.submit(_database, host, prepared)
        joined = [pool.submit(_client, client, host) for client in clients]
        for work in [database, *joined]:
            work.result()
    with stage("%s serves its database and its policy" % host):
        _check(host, clients)
    if strict_trust:
        with stage("nobody's key is trusted by first contact"):
            for stranger, target in [(client, host) for client in clients[:1]] + [(host, each) for each in clients]:
                check_strict(stranger, target)


def fill(host="hub1"):
    """Give a hub that was made from nothing what the lab's own hubs hold: roles, databases with rows, an access rule
    for the writer outside, and the library that the writer needs. Returns False when that is there already."""
    podman.need(host)
    if psql(host, "SELECT 1 FROM pg_roles WHERE rolname = 'lab_writer';", database="postgres"):
        return False
    with stage("%s: rows in its database" % host):
        podman.execute(host, ["apt-get", "-q", "-y", "--no-install-recommends", "install", "python3-psycopg2"])
        have = psql(host, "SELECT 'ROLE ' || rolname FROM pg_roles UNION "
                          "SELECT 'DATABASE ' || datname FROM pg_database;", database="postgres").splitlines()
        psql(host, absent((paths.CODE / "sql" / "roles.sql").read_text(encoding="utf-8"), have), database="postgres")
        for name in ("cfsettings", "cfmp", "cfdb"):
            psql(host, (paths.CODE / "sql" / (name + ".sql")).read_text(encoding="utf-8"), database=name)
        set_writer_password(host)
        podman.execute(host, ["sh", "-c", "cat >>%s/state/pg/data/pg_hba.conf" % work(host)],
                       stdin="hostssl cfdb lab_writer 192.168.100.0/24 scram-sha-256\n")
        psql(host, "SELECT pg_reload_conf();", database="postgres")
    return True


def set_writer_password(host):
    """Let the writer outside log in, and nobody read its password in a log."""
    psql(host, "SET log_statement = 'none';\nSET password_encryption = 'scram-sha-256';\n"
               "ALTER ROLE lab_writer PASSWORD '%s';\n" % writer_password())


def absent(sql, have):
    """Those lines of *sql* that make something that is not there yet; have: such as ["ROLE root", "DATABASE cfdb"]
    (pure)."""
    return "\n".join(line for line in sql.splitlines() if " ".join(line.split()[1:3]) not in have) + "\n"


def _database(host, prepared):
    with stage("%s: PostgreSQL under cf-postgres.service" % host):
        if prepared:
            # As if the operator had restarted PostgreSQL with these in the last maintenance window.
            podman.execute(host, ["sh", "-c", "cat >>%s/state/pg/data/postgresql.conf" % work(host)],
                           stdin="listen_addresses = '*'\nwal_log_hints = on\n")
        podman.execute(host, ["systemctl", "enable", "cf-postgres.service"])
        podman.execute(host, ["systemctl", "restart" if prepared else "start", "cf-postgres.service"],
                       hint="Look: python3 -m lab exec %s -- tail /var/log/postgresql.log" % host)
        wait_for("PostgreSQL on %s" % host, lambda: psql(host, "SELECT 1;") == "1", 30)
        set_writer_password(host)


def _install_again(host):
    """The package's maintainer scripts give the host its own keys, certificate and secrets; then what operators add."""
    with stage("%s: the stand-in for Enterprise's package, once more" % host):
        podman.execute(host, ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--reinstall", "install",
                              "cfengine-nova-hub"], timeout=120)
        digest = public_key(host)[0]
        for path, text, mode in (
                ("%s/licenses/%s.dat" % (ENTERPRISE, digest), "a licence of the lab for this hub\n", "0600"),
                ("/opt/cfengine/notification_scripts/call_ops.sh", "#!/bin/sh\nexit 0\n", "0770")):
            podman.execute(host, ["sh", "-c", 'cat >"$1" && chmod "$2" "$1"', "sh", path, mode], stdin=text)


def _policy(host, def_json):
    with stage("%s: CFEngine, bootstrapped to itself" % host):
        if def_json:
            folder = work(host) + "/masterfiles"
            podman.execute(host, ["install", "-d", "-m", "0700", folder + "/services/our_own"])
            for name, text in (("def.json", json.dumps(def_json, indent=2).replace(WORK, work(host)) + "\n"),
                               ("services/our_own/main.cf", OPERATOR_POLICY)):
                podman.execute(host, ["sh", "-c", "umask 077; cat >%s/%s" % (folder, name)], stdin=text)
        _bootstrap(host, host)
        _start_daemons(host)
        wait_for("cf-serverd on %s" % host, lambda: _listens(host, 5308), 30)


def _client(client, host):
    with stage("%s: bootstrapped to %s" % (client, host)):
        if enterprise(client):
            # The hub's package with the agent alone; elsewhere each host makes its own key at its first boot.
            podman.execute(client, ["systemctl", "mask", "cf-postgres.service", *PORTAL_DAEMONS])
            podman.execute(client, ["cf-key"])
        # Keys first, by a way that is safe already (the operator's SSH, in the lab podman): then neither has to
        # believe the network.
        trust(host, client)
        trust(client, host)
        # The stock policy serves this folder, but only when it is there as cf-serverd reads its policy.
        podman.execute(client, ["install", "-d", "-m", "0700", work(client) + "/data"])
        _bootstrap(client, host)
        _start_daemons(client)


def public_key(host):
    """A host's CFEngine key: (digest, text of the public key's file)."""
    path = work(host) + "/ppkeys/localhost.pub"
    digest = podman.execute(host, ["cf-key", "-p", path]).stdout.strip()
    return digest, podman.execute(host, ["cat", path]).stdout


def trust(host, other):
    """Have *host* trust the CFEngine key of *other*: the public key under the name that its digest gives it."""
    digest, text = public_key(other)
    podman.execute(host, ["sh", "-c", 'umask 077; cat >"$1"', "sh", "%s/ppkeys/root-%s.pub" % (work(host), digest)],
                   stdin=text)


# cf-net trusts any server; what counts here is whether the server trusts the client.
TRY_AS_STRANGER = """
set -e
export CFENGINE_TEST_OVERRIDE_WORKDIR="$(mktemp -d)"
trap 'rm -rf "$CFENGINE_TEST_OVERRIDE_WORKDIR"' EXIT
install -d -m 0700 "$CFENGINE_TEST_OVERRIDE_WORKDIR/ppkeys" "$CFENGINE_TEST_OVERRIDE_WORKDIR/state"
cf-key >/dev/null
cf-net -H "$1" connect 2>&1
"""


def check_strict(stranger, target):
    """Raise LabError unless cf-serverd on *target* refuses a key that it has never seen, and forgets it.

    stranger: the host that tries, with a key made for it, from an address that the access rules admit.
    """
    def keys():
        return podman.execute(target, ["ls", WORK + "/ppkeys"]).stdout

    before = keys()
    said = podman.execute(stranger, ["sh", "-c", TRY_AS_STRANGER, "sh", network.address(target)], timeout=60,
                          check=False).stdout
    if "hung up during identification" not in said or keys() != before:
        raise LabError("cf-serverd on %s should have refused an unknown key, and cf-net on %s said: %s"
                       % (target, stranger, said.strip() or "nothing"))


def _bootstrap(host, hub):
    argv = ["cf-agent", "--no-lock", "--trust-server=no", "--bootstrap", network.address(hub)]
    first = podman.execute(host, argv, timeout=120, check=False)
    if first.returncode == 0:
        return
    if "cf-execd is not running" in first.stdout + first.stderr:
        # cf-agent restarts CFEngine's units when cf-execd does not run, and then looks for cf-execd before
        # systemd has started it. Once cf-execd runs, bootstrapping restarts nothing.
        podman.execute(host, ["systemctl", "start", "cf-execd.service"], timeout=60)
    podman.execute(host, argv, timeout=120, hint="Look: python3 -m lab exec %s -- cf-agent -KI --trust-server=no "
                   "--bootstrap %s" % (host, network.address(hub)))


def _start_daemons(host):
    daemons = DAEMONS + (PORTAL_DAEMONS if enterprise(host) and host.startswith("hub") else ())
    podman.execute(host, ["systemctl", "enable", "cfengine3.service", *daemons])
    podman.execute(host, ["systemctl", "start", *daemons], timeout=60)
    # It alone has to begin anew; cf-monitord loses a SIGTERM in its first seconds, and systemd then waits 90 s for it.
    podman.execute(host, ["systemctl", "restart", DAEMONS[0]], timeout=60)


def _listens(host, port):
    return podman.execute(host, ["ss", "-Htln", "sport = :%d" % port]).stdout.strip() != ""


def _check(host, clients):
    count, size = psql(host, "SELECT count(*), pg_database_size('cfdb') FROM hosts;").split("|")
    if int(count) < 1000 or int(size) < 100 * 2 ** 20:
        raise LabError("cfdb on %s holds %s hosts in %d MB, not 1,000 in 100 MB. Build the images again: "
                       "python3 -m lab images --force" % (host, count, int(size) // 2 ** 20))

    def served(client):
        # cf-net 3.24 ends with 0 whatever has happened: only its words count.
        return "is a regular file" in podman.execute(
            client, ["cf-net", "-H", network.address(host), "stat", "masterfiles/promises.cf"],
            check=False, timeout=20).stdout

    for client in clients:
        wait_for("%s to get policy from %s" % (client, host), lambda c=client: served(c), 30, every=0.5)
