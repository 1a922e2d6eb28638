# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a hub keeps its things: the one place for paths, users and units.

Sources: vendor packages (`/var/cfengine`), Debian's cfengine3 package (`/var/lib/cfengine3`).
"""

from __future__ import annotations

from typing import Callable, List, Optional, TypedDict

FENCING_DIR = "/etc/pacemaker/hub_ha"  # one script for each fencing device's password
# There from before the vendor's package is installed on a blank hub until its own database has been moved aside.
PACKAGE_MARKER = "/var/lib/cfengine-hub-ha.package"
# There where role packages has masked the database's unit; somebody else's mask has none.
MASK_MARKER = "/var/lib/cfengine-hub-ha.masked"
KEPT_UNIT = "/etc/systemd/system/hub-ha-address.service"  # brings up the shared addresses that a single hub keeps

GUARD_UNIT = "cfengine-hub-ha-guard"
PAIR_FILE = "/etc/cfengine-hub-ha/pair.json"
GUARD_FILES = ("/etc/systemd/system/%s.service" % GUARD_UNIT, "/etc/cfengine-hub-ha", PAIR_FILE)


class Layout(TypedDict):
    """Paths, users, units and modes of a hub."""

    name: str
    work_dir: str
    bin_dir: str
    cfengine_packages: List[str]
    pg_bin_globs: List[str]
    masterfiles: str
    inputs: str
    ppkeys: str
    def_json: str
    ha_info: str
    hub_policy: str
    hub_list: str
    role_file: str
    ha_cfg: str
    policy_server: str
    am_policy_hub: str
    pg_dir: str
    data_dir: str
    tmp_dir: str
    ha_dir: str
    restored: str
    outside_conf: str
    pg_log: str
    hub_keys: str
    db_user: str
    db_unit: str
    pair_file: str
    pair_dropin: str
    umbrella_unit: str
    pg_owner: str
    pg_mode: str
    ha_owner: str
    ha_mode: str
    public_mode: str


def _layout(name: str, work_dir: str, bin_dir: str, packages: List[str], pg_bin_globs: List[str], owner: str, mode: str,
            public_mode: str) -> Layout:
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
        "pg_owner": owner, "pg_mode": mode, "ha_owner": owner, "ha_mode": mode, "public_mode": public_mode,
    }


LAYOUTS = {
    "enterprise": _layout("enterprise", "/var/cfengine", "/var/cfengine/bin",
                          ["cfengine-nova-hub"], ["/var/cfengine/bin"], "cfpostgres", "0700", "0600"),
    "debian": _layout("debian", "/var/lib/cfengine3", "/usr/bin",
                      ["cfengine3"], ["/usr/lib/postgresql/*/bin"], "root", "0750", "0644"),
}


def detect(exists: Callable[[str], bool]) -> Optional[str]:
    """Name of the layout found on this host, or None on a host without CFEngine.

    exists: callable path -> bool.
    """
    if exists("/var/cfengine/bin/cf-agent"):
        return "enterprise"
    if exists("/usr/bin/cf-agent"):
        return "debian"
    return None
