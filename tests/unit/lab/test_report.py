# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a writer's log says (lab.report): gaps, lost rows, logs that were cut off."""

from __future__ import annotations

import pytest

from lab import report

LOG = """W inside-1 100.000000
A 1 100.010000
A 2 100.030000
F 3 100.200000 OperationalError: server closed the connection unexpectedly
F 4 101.000000 OperationalError: server closed the connection unexpectedly
A 5 102.530000
A 6 102.550000
E 102.600000
"""


def test_parse_reads_every_kind_of_line():
    log = report.parse(LOG)
    assert (log["writer"], log["began"], log["ended"]) == ("inside-1", 100.0, 102.6)
    assert [seq for seq, _at in log["acks"]] == [1, 2, 5, 6]
    assert log["failures"][0] == (3, 100.2, "OperationalError: server closed the connection unexpectedly")


@pytest.mark.parametrize("last", ["A 7 102.5", "A 7", "A", "F 8 1", "A x y\n", "\n", "A 7\n", "?? what\n"])
def test_parse_leaves_out_a_line_that_was_cut_off_or_makes_no_sense(last):
    assert report.parse(LOG + last) == report.parse(LOG)


def test_parse_of_nothing():
    assert report.parse("")["writer"] is None
    assert report.summary(report.parse(""), [])["longest_gap_s"] is None


def test_summary_counts_gap_failures_and_lost():
    figures = report.summary(report.parse(LOG), [1, 3, 5, 6])
    assert figures["acknowledged"] == 4
    assert figures["failed"] == 2
    assert figures["longest_gap_s"] == 2.5
    assert figures["longest_gap_at"] == 100.03
    assert figures["lost"] == 1 and figures["lost_seq"] == [2]
    assert figures["unconfirmed"] == 1  # 3 is there, without an answer
    assert figures["rows"] == 4 and figures["duplicates"] == 0
    assert figures["failures"] == {"OperationalError: server closed the connection unexpectedly": 2}
    assert [gap["seconds"] for gap in figures["gaps"]] == [2.5]


def test_a_gap_lasts_to_the_end_of_the_log_when_nothing_is_acknowledged_any_more():
    log = report.parse("W w 10\nA 1 10.0\nA 2 10.1\nF 3 12.0 Overdue: no answer in time\nE 15.1\n")
    assert report.summary(log, [1, 2])["longest_gap_s"] == 5.0


def test_without_an_end_the_gap_lasts_to_the_last_attempt():
    log = report.parse("W w 10\nA 1 10.0\nF 2 12.0 Overdue: no answer in time\n")
    assert report.summary(log, [1])["longest_gap_s"] == 2.0


def test_rows_that_a_running_writer_has_just_added_are_no_news():
    log = report.parse("W w 10\nA 1 10.0\nA 2 10.1\n")
    figures = report.summary(log, [1, 2, 3, 4, 5])
    assert figures["rows"] == 3  # 3 may have been sent before the host was cut off; 4 and 5 came later
    assert figures["lost"] == 0


def test_duplicate_rows_are_counted():
    log = report.parse("W w 10\nA 1 10.0\nE 11\n")
    assert report.summary(log, [1, 1])["duplicates"] == 1


def test_gaps_are_sorted_and_short_ones_left_out():
    found = report.gaps([(1, 0.0), (2, 0.1), (3, 1.1), (4, 3.1)])
    assert [round(seconds, 3) for _from, _to, seconds in found] == [2.0, 1.0]


def test_text_names_the_lost_writes():
    said = report.text(report.summary(report.parse(LOG), [1, 5, 6]))
    assert "acknowledged and lost 1: 2" in said
    assert "2.500 s" in said
    assert "2 x OperationalError" in said
