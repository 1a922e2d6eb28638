# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many clients on one host: their names, what came of a run, the figures of all."""

from __future__ import annotations

from lab import swarm
from lab.guest import swarm as guest

FAILED = """   error: No suitable server found
   error: Promise belongs to bundle 'cfe_internal_update_policy_cpv' in file '/x/update_policy.cf' near line 229
   error: Comment is 'Check whether'
   error: No suitable server found
   error: Errors encountered when actuating files promise '/x/inputs/cf_promises_validated'
   error: Method 'cfe_internal_update_policy_cpv' failed in some repairs
"""


def test_names_are_as_many_and_sort_as_they_count():
    names = guest.names(50)
    assert len(set(names)) == 50 and sorted(names) == names and names[0] == "01"


def test_a_client_is_fine_when_it_has_the_new_policy_and_both_agents_ended_well():
    good = guest.outcome("01", True, (0, 1.5, "said\n"), (0, 2.5, ""))
    assert good["ok"] and good["output"] == []
    assert not guest.outcome("01", True, (0, 1.5, ""), (None, 120.0, "stopped after 120 s"))["ok"]
    # cf-agent ends with 0 though no server was found: only the marker tells.
    bad = guest.outcome("01", False, (0, 1.5, FAILED), (0, 2.5, ""))
    assert not bad["ok"] and bad["output"] == ["error: No suitable server found"]


def test_an_output_without_a_cause_is_shown_as_it_is():
    assert guest.last_words("   error: Comment is 'x'\n\n") == ["error: Comment is 'x'"]
    assert guest.last_words("") == []


def test_a_command_is_stopped_after_its_time(tmp_path):
    status, seconds, output = guest.bounded(["sh", "-c", "echo begun; exec sleep 9"], str(tmp_path), 0.3)
    assert status is None and seconds < 5 and "begun" in output and "stopped after" in output


def test_a_marker_is_read_or_is_none(tmp_path):
    assert guest.text(str(tmp_path / "no")) is None
    (tmp_path / "yes").write_text("swarm-1\n", encoding="utf-8")
    assert guest.text(str(tmp_path / "yes")) == "swarm-1"


def test_figures_of_a_run():
    answer = [guest.outcome("01", True, (0, 1.0, ""), (0, 2.0, "")),
              guest.outcome("02", False, (0, 3.0, "why\n"), (0, 2.0, ""))]
    known = swarm.summary(answer, "hub2", 5.04)
    assert (known["clients"], known["fetched"], known["ok"], known["hub"], known["seconds"]) == (2, 1, 1, "hub2", 5.0)
    assert known["update_seconds"] == {"median": 2.0, "max": 3.0} and known["each"] == {"01": 3.0, "02": 5.0}
    assert [client["name"] for client in known["failed"]] == ["02"] and known["failed"][0]["output"] == ["why"]
    assert swarm.summary([], "hub2", 0)["update_seconds"] is None


def test_a_key_lies_where_cfengine_looks_for_it():
    assert swarm.key_file("MD5=00") == "/var/lib/cfengine3/ppkeys/root-MD5=00.pub"
