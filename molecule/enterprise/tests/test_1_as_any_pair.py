"""Of the shared tests, those to which the layout matters: paths, users, units, policy, secrets, a writer."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "molecule/shared"), str(ROOT / "molecule/shared/pair")]
from conftest import hub, hub1, hub2, play_output  # noqa: E402,F401
from test_1_pair import test_upgrade_lost_nothing  # noqa: E402,F401  first: it stops the writer
from test_1_pair import (  # noqa: E402,F401
    test_at_most_one_restart, test_backup_has_a_true_manifest, test_configuration_can_be_loaded_again,
    test_def_json_keeps_what_was_there, test_file_modes, test_ha_info_is_strict_and_true,
    test_hubs_have_their_own_keys_and_know_each_other, test_hubs_say_who_is_active, test_no_secret_in_the_open,
    test_operators_access_rule_survives, test_same_policy, test_status_that_cfengine_reads)
