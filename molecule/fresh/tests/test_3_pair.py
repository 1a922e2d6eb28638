"""A pair from nothing is a pair as any other: shared tests, but for those of a writer and an operator's files."""

from __future__ import annotations

import sys

from test_1_refused import ROOT

sys.path.insert(0, str(ROOT / "molecule" / "shared" / "pair"))
from conftest import hub, hub1, hub2, play_output  # noqa: E402,F401
from test_1_pair import (  # noqa: E402,F401
    test_agent_runs_on_both_hubs, test_backup_has_a_true_manifest, test_cib, test_configuration_can_be_loaded_again,
    test_file_modes, test_ha_info_is_strict_and_true, test_hubs_say_who_is_active,
    test_links_are_encrypted_and_up, test_no_secret_in_the_open, test_only_our_resources_stay_and_leave_as_we_want,
    test_processes, test_replication, test_row_reaches_the_passive_hub, test_same_policy, test_sockets,
    test_status_that_cfengine_reads, test_unit_leaves_postgresql_alone)
