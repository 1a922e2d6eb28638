# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each code of a problem means, and what to do. Made by tests/problems.py from docs: change it there."""

from __future__ import annotations

from typing import Dict

SECTIONS: Dict[str, str] = {
    "ADDRESSES_UNKNOWN": (
        "this hub does not tell its addresses, or what is in `/etc/cfengine-hub-ha`, in time: it is overloade"
        "d, or a disk hangs.\n"
        "\n"
        "What to do: `ip -br address`; `ls -l /etc/cfengine-hub-ha`; `dmesg`.\n"),
    "ADDRESS_NOT_WITH_PRIMARY": (
        "a shared address is not on the active hub alone; or pacemaker says that it is on a hub which does no"
        "t have it.\n"
        "\n"
        "What to do: of the latter `crm_resource --refresh --resource cfvirtip`; else `crm_resource --why --r"
        "esource cfvirtip`.\n"),
    "AGENT_CONF": (
        "`pair.json` or `agent.conf` in `/etc/cfengine-hub-ha` of that hub is missing or empty, or `pair.json"
        "` cannot be read: its guard guards nothing, or its database cannot be started.\n"
        "\n"
        "What to do: run `upgrade-to-ha.yml`, which writes it.\n"),
    "AGENT_SQL": (
        "asked as pacemaker's agent asks, a running database does not answer `f` or `t`: pacemaker would stop"
        " it although it is well.\n"
        "\n"
        "What to do: run the command that the message shows, as root, until it prints one of the two: the rol"
        "e of the database's user, `pg_hba.conf` for the local socket, that user's shell.\n"),
    "ARCHIVER_FAILING": (
        "`archive_command` fails; WAL is kept until the disk is full.\n"
        "\n"
        "What to do: `/var/log/postgresql.log`; `SELECT * FROM pg_stat_archiver`.\n"),
    "BAN_LEFT": (
        "what `crm_resource --ban` or `--move` left, or another constraint that keeps the pair off a hub or t"
        "ies it to one.\n"
        "\n"
        "What to do: `crm_resource --clear --resource mscfpgsql`; the other kind: `cibadmin --delete --xml-te"
        "xt '<rsc_location id=\"ID\"/>'`, with the id of the constraint: that of its rule, which `crm_mon` show"
        "s, deletes nothing and says nothing.\n"),
    "CIB_RESTARTS": (
        "pacemaker would restart or move what runs for the changed configuration, and `hub_ha_allow_restart` "
        "is false.\n"
        "\n"
        "What to do: leave the setting as it was, or for one run `-e hub_ha_allow_restart=true`.\n"),
    "CIB_RESTARTS_LATER": (
        "you have taken pacemaker's hands off the pair, and it would restart what runs, for the changed confi"
        "guration, as soon as you let it on again.\n"
        "\n"
        "What to do: end the maintenance first with the command that the message shows, then run it again: pa"
        "rameters of the database change without a stop.\n"),
    "CLIENTS_CUT": (
        "clients cannot reach the hub, but the other one (`hub_ha-clients=0`): active it would serve nobody.\n"
        "\n"
        "What to do: cable, switch, firewall of the clients' network, and what answers of `hub_ha_reference_a"
        "ddresses`; it counts as mended after 20 s.\n"),
    "CLUSTER_DOWN": (
        "pacemaker or a hub is not there, or not a full member.\n"
        "\n"
        "What to do: `systemctl start corosync pacemaker` there.\n"),
    "CLUSTER_MAINTENANCE": (
        "nothing is looked after.\n"
        "\n"
        "What to do: `crm_attribute --type crm_config --name maintenance-mode --delete`.\n"
        "\n"
        "the same, and the cluster is in maintenance mode, so that nobody starts or promotes one.\n"
        "\n"
        "What to do: `crm_attribute --type crm_config --name maintenance-mode --delete`; maintenance mode (do"
        "cs/operate.md).\n"),
    "CLUSTER_UNKNOWN": (
        "pacemaker or its tools do not answer on this hub.\n"
        "\n"
        "What to do: `systemctl status corosync pacemaker`; `journalctl -u corosync -u pacemaker`.\n"),
    "DATABASE_UNKNOWN": (
        "this hub's PostgreSQL runs and does not answer, or its files cannot be read.\n"
        "\n"
        "What to do: `/var/log/postgresql.log`; `psql -X -d postgres -c 'SELECT pg_is_in_recovery()'`.\n"),
    "DATA_FORKED": (
        "the passive (or third) hub's data has what the active one's lacks, or nobody can prove that it has n"
        "ot.\n"
        "\n"
        "What to do: clone it anew (docs/operate.md).\n"),
    "DATA_UNPROVEN": (
        "the passive (or third) hub's data has what the active one's lacks, or nobody can prove that it has n"
        "ot.\n"
        "\n"
        "What to do: clone it anew (docs/operate.md).\n"),
    "FENCING_WITHOUT_DEVICE": (
        "`stonith-enabled` (since pacemaker 3.0.2 `fencing-enabled`) is on, as it is by default, and there is"
        " no fencing device, or none that can switch off that hub (`pcmk_host_list`, `pcmk_host_map`): once l"
        "ost it stays `UNCLEAN`, and the other one is not promoted.\n"
        "\n"
        "What to do: `crm_attribute --type crm_config --name stonith-enabled --update false`, or a device for"
        " each hub in `hub_ha_fencing`, then the playbook.\n"),
    "FILES_UNKNOWN": (
        "this hub does not tell its addresses, or what is in `/etc/cfengine-hub-ha`, in time: it is overloade"
        "d, or a disk hangs.\n"
        "\n"
        "What to do: `ip -br address`; `ls -l /etc/cfengine-hub-ha`; `dmesg`.\n"),
    "FORKED": (
        "the hub's data cannot follow the active one's; what it has more stands in the message.\n"
        "\n"
        "What to do: clone it anew (docs/operate.md).\n"),
    "GUARD_DEAD": (
        "`cfengine-hub-ha-guard.service` does not run, or tells nothing of itself.\n"
        "\n"
        "What to do: there: `systemctl reset-failed cfengine-hub-ha-guard`, `systemctl start cfengine-hub-ha-"
        "guard`; why: `journalctl -u cfengine-hub-ha-guard`.\n"),
    "GUARD_GONE": (
        "the other hub's guard hears nothing of this one's (`hub_ha-guard=gone`).\n"
        "\n"
        "What to do: there: `systemctl restart cfengine-hub-ha-guard`, `hub-ha status`.\n"),
    "GUARD_RECOVERS": (
        "the guard has taken the hub out of service and starts corosync and pacemaker again.\n"
        "\n"
        "What to do: the guard has stopped a hub (docs/operate.md).\n"),
    "GUARD_UNARMED": (
        "the guard runs, but does not see pacemaker, or is not connected to corosync: it would not act.\n"
        "\n"
        "What to do: there: `systemctl restart cfengine-hub-ha-guard`; why: `journalctl -u cfengine-hub-ha-gu"
        "ard`.\n"),
    "GUARD_UNCONNECTED": (
        "the guard runs, but does not see pacemaker, or is not connected to corosync: it would not act.\n"
        "\n"
        "What to do: there: `systemctl restart cfengine-hub-ha-guard`; why: `journalctl -u cfengine-hub-ha-gu"
        "ard`.\n"),
    "HUB_COPIED": (
        "both hubs have the same CFEngine host key: one is a copy of the other's machine.\n"
        "\n"
        "What to do: give the one that is not active keys and a machine id of its own, as the message says.\n"),
    "HUB_DOWN": (
        "pacemaker or a hub is not there, or not a full member.\n"
        "\n"
        "What to do: `systemctl start corosync pacemaker` there.\n"),
    "HUB_STANDBY": (
        "nothing may run on the hub.\n"
        "\n"
        "What to do: `crm_standby --node hub2 --delete`.\n"),
    "HUB_UNFINISHED": (
        "the hub whose database is the primary is no policy hub yet: a run was cut off, and a failover came b"
        "efore it was repeated.\n"
        "\n"
        "What to do: give the role back to the other hub with `crm_standby`, as the message says, and run it "
        "again.\n"),
    "LINK_DOWN": (
        "a link of corosync, between the hub that says it and the other one; not told of a hub that is away.\n"
        "\n"
        "What to do: on both hubs `corosync-cfgtool -n`; cable, interface, firewall of either hub.\n"),
    "NO_PRIMARY": (
        "no hub is active, or another one than when the run began; or pacemaker calls a hub promoted on which"
        " no PostgreSQL runs.\n"
        "\n"
        "What to do: of the last one `crm_resource --refresh --resource cfpgsql`, which has pacemaker look; e"
        "lse `crm_mon -1rAf`; hub2 does not take over (docs/operate.md), after both were down (docs/operate.m"
        "d).\n"
        "\n"
        "PostgreSQL is a primary on neither hub.\n"
        "\n"
        "What to do: pacemaker calls one promoted all the same: `crm_resource --refresh --resource cfpgsql`, "
        "which has it look; else, of a pair: hub2 does not take over (docs/operate.md), after both were down "
        "(docs/operate.md); else start the hub that holds the data.\n"),
    "NO_QUORUM": (
        "pacemaker or a hub is not there, or not a full member.\n"
        "\n"
        "What to do: `systemctl start corosync pacemaker` there.\n"),
    "NO_QUORUM_POLICY": (
        "`no-quorum-policy=ignore`.\n"
        "\n"
        "What to do: `crm_attribute --type crm_config --name no-quorum-policy --delete`.\n"),
    "OTHER_SYSTEM": (
        "the hub's data cannot follow the active one's; what it has more stands in the message.\n"
        "\n"
        "What to do: clone it anew (docs/operate.md).\n"),
    "PAIR_FILE": (
        "`pair.json` or `agent.conf` in `/etc/cfengine-hub-ha` of that hub is missing or empty, or `pair.json"
        "` cannot be read: its guard guards nothing, or its database cannot be started.\n"
        "\n"
        "What to do: run `upgrade-to-ha.yml`, which writes it.\n"),
    "PEER_UNKNOWN": (
        "the other hub's PostgreSQL does not answer this hub: off, frozen, cut off, or it refuses the replica"
        "tion user; not told of a hub that pacemaker has lost.\n"
        "\n"
        "What to do: there `hub-ha status`; `ping` its addresses.\n"),
    "REPLAY_PAUSED": (
        "the passive hub receives and does not replay.\n"
        "\n"
        "What to do: `psql -X -d postgres -c 'SELECT pg_wal_replay_resume()'` there, but not with `STANDBY_SE"
        "TTING_LOWER`: that ends its server.\n"),
    "REPL_LAG": (
        "the passive hub does not stream, or is behind, or nobody knows how far.\n"
        "\n"
        "What to do: `/var/log/postgresql.log` there.\n"),
    "REPL_NOT_ENCRYPTED": (
        "replication goes without TLS.\n"
        "\n"
        "What to do: `hub_ha_sslmode`, then the playbook.\n"),
    "REPL_STOPPED": (
        "the passive hub does not stream, or is behind, or nobody knows how far.\n"
        "\n"
        "What to do: `/var/log/postgresql.log` there.\n"),
    "RESOURCE_DOWN": (
        "a fencing device does not run.\n"
        "\n"
        "What to do: `crm_resource --why --resource ID`.\n"),
    "RESOURCE_FAILED": (
        "a failed action, or failures that still count though none is listed.\n"
        "\n"
        "What to do: mend the cause, then `crm_resource --cleanup --resource cfpgsql --node hub2`.\n"),
    "RESOURCE_GIVEN_UP": (
        "the database of that hub failed again and again.\n"
        "\n"
        "What to do: mend the cause, then there: `hub-ha retry`.\n"),
    "RESOURCE_STOPPED": (
        "`target-role` Stopped, or Unpromoted; `stop-all-resources`.\n"
        "\n"
        "What to do: `crm_resource --resource mscfpgsql --meta --delete-parameter target-role`.\n"),
    "RESOURCE_UNMANAGED": (
        "`is-managed`, or `maintenance` of a resource or a hub.\n"
        "\n"
        "What to do: it names the resource, group or clone that has it: `crm_resource --resource cfengine --m"
        "eta --delete-parameter is-managed`; of a hub `crm_attribute --node hub2 --name maintenance --delete`"
        ".\n"),
    "ROLES_MOVED": (
        "no hub is active, or another one than when the run began; or pacemaker calls a hub promoted on which"
        " no PostgreSQL runs.\n"
        "\n"
        "What to do: of the last one `crm_resource --refresh --resource cfpgsql`, which has pacemaker look; e"
        "lse `crm_mon -1rAf`; hub2 does not take over (docs/operate.md), after both were down (docs/operate.m"
        "d).\n"),
    "ROLE_FOREIGN": (
        "`hub_ha_replication_user` names a role that is not the pair's own.\n"
        "\n"
        "What to do: another name; the default makes one.\n"),
    "SETTINGS_DIFFER": (
        "a variable is set for one hub alone, or otherwise for each.\n"
        "\n"
        "What to do: set it once, for the group `hubs`.\n"),
    "SETTINGS_NOT_TRIED": (
        "that could not be tried.\n"
        "\n"
        "What to do: mostly room: 256 MB below `state/pg`, in `/var/tmp` or in `/tmp`.\n"),
    "SETTINGS_WONT_START": (
        "with what stands in its files PostgreSQL would not start again, often a value written long ago.\n"
        "\n"
        "What to do: correct the file, or `ALTER SYSTEM RESET NAME`; then `SELECT pg_reload_conf()`.\n"),
    "SLOT_LOST": (
        "the passive hub's slot on the active one.\n"
        "\n"
        "What to do: it says how to make it, and where to look when it is not in use; a lost one: clone it an"
        "ew (docs/operate.md).\n"),
    "SLOT_MISSING": (
        "the passive hub's slot on the active one.\n"
        "\n"
        "What to do: it says how to make it, and where to look when it is not in use; a lost one: clone it an"
        "ew (docs/operate.md).\n"),
    "STANDBY_SETTING_LOWER": (
        "a setting is lower on the standby, with which it stops replaying and ends at a promotion (`max_conne"
        "ctions` and four more).\n"
        "\n"
        "What to do: `ALTER SYSTEM SET` there, then restart it as it says.\n"),
    "TWO_PRIMARIES": (
        "both hubs are active.\n"
        "\n"
        "What to do: stop one: unplanned failover (docs/operate.md).\n"),
}
