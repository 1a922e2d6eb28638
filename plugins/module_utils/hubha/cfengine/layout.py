# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a hub keeps its things: the one place for paths, users and units.

Sources: vendor packages (`/var/cfengine`), Debian's cfengine3 package (`/var/lib/cfengine3`).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

FENCING_DIR = "/etc/pacemaker/hub_ha"  # one script for each fencing device's password
# There from before the vendor's package is installed on a blank hub until its own database has been moved aside.
PACKAGE_MARKER = "/var/lib/cfengine-hub-ha.package"
# There where role packages has masked the database's unit; somebody else's mask has none.
MASK_MARKER = "/var/lib/cfengine-hub-ha.masked"
KEPT_UNIT = "/etc/systemd/system/hub-ha-address.service"  # brings up the shared addresses that a single hub keeps

GUARD_UNIT = "cfengine-hub-ha-guard"
PAIR_FILE = "/etc/cfengine-hub-ha/pair.json"
GUARD_FILES = ("/etc/systemd/system/%s.service" % GUARD_UNIT, "/etc/cfengine-hub-ha", PAIR_FILE)


Layout = Dict[str, Any]  # paths, users, units and modes as texts; "cfengine_packages" and "pg_bin_globs" are lists


def _layout(name: str, work_dir: str, bin_dir: str, packages: List[str], pg_bin_globs: List[str]) -> Layout:
    state = work_dir + "/state"
    return {
        "name": name,
        "work_dir": work_dir,
        "bin_dir": bin_dir,
        "cfengine_packages": packages,
        "pg_bin_globs": pg_bin_globs,
        "masterfiles": work_dir + "/masterfiles",
        "inputs": work_dir + "/inputs",
        "ppkeys": work_dir + "/ppkeys",
        "def_json": work_dir + "/masterfiles/def.json",
        "ha_info": work_dir + "/masterfiles/cfe_internal/enterprise/ha/ha_info.json",
        # Ours, read through def.json: policy and list of hubs.
        "hub_policy": work_dir + "/masterfiles/services/hub_ha.cf",
        "hub_list": work_dir + "/masterfiles/services/hub_ha.json",
        "role_file": "/run/hub_ha/role",  # gone after a boot
        "ha_cfg": work_dir + "/ha.cfg",
        "policy_server": work_dir + "/policy_server.dat",
        "am_policy_hub": state + "/am_policy_hub",
        "pg_dir": state + "/pg",
        "data_dir": state + "/pg/data",
        "tmp_dir": state + "/pg/tmp",
        "ha_dir": state + "/pg/hub_ha",
        "restored": state + "/pg/hub_ha/restored.json",  # which backup was put back on this hub
        "outside_conf": state + "/pg/hub_ha/outside.conf",  # of a standby that pacemaker does not look after
        "pg_log": "/var/log/postgresql.log",
        # CFEngine's keys of all hubs, for clients; the vendor's policy fills it.
        "hub_keys": work_dir + "/ppkeys_hubs",
        "db_user": "cfpostgres",
        "db_unit": "cf-postgres",
        "pair_file": PAIR_FILE,
        # Keeps the unit from starting while there is a pair file.
        "pair_dropin": "/etc/systemd/system/cf-postgres.service.d/hub_ha-pair.conf",
        "umbrella_unit": "cfengine3",
    }


LAYOUTS = {
    "enterprise": _layout("enterprise", "/var/cfengine", "/var/cfengine/bin",
                          ["cfengine-nova-hub"], ["/var/cfengine/bin"]),
    "debian": _layout("debian", "/var/lib/cfengine3", "/usr/bin",
                      ["cfengine3"], ["/usr/lib/postgresql/*/bin"]),
}


# Owner of the database's directory, owner of what only root needs to read there, and modes. The vendor's policy gives
# everything below state/pg to the database's user and takes it from all others, at each run of the agent.
LAYOUTS["enterprise"].update(pg_owner="cfpostgres", pg_mode="0700", ha_owner="cfpostgres", ha_mode="0700",
                             public_mode="0600")
LAYOUTS["debian"].update(pg_owner="root", pg_mode="0750", ha_owner="root", ha_mode="0750", public_mode="0644")


def detect(exists: Callable[[str], bool]) -> Optional[str]:
    """Name of the layout found on this host, or None on a host without CFEngine.

    exists: callable path -> bool.
    """
    if exists("/var/cfengine/bin/cf-agent"):
        return "enterprise"
    if exists("/usr/bin/cf-agent"):
        return "debian"
    return None
