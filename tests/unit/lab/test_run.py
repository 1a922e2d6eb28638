# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of `make test`: often the only part of its output that is kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("tests_run", Path(__file__).resolve().parents[2] / "run.py")
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)

PYTEST = """\
tests/test_1_pair.py .F
    def test_x():
>       assert gap < 2
E       AssertionError: assert (3.1 < 2)

tests/test_1_pair.py:12: AssertionError
=========================== short test summary info ============================
FAILED tests/test_1_pair.py::test_x - assert (3.1 < 2)
1 failed, 1 passed in 2.00s
ERROR    [remove > verify] Executed: Failed
"""
PLAY = """\
TASK [Say it] ******
ok: [hub1]
TASK [cfengine.hub_ha.plan : What is wrong] ****
[ERROR]: Task failed: hub2 cannot be reached
fatal: [hub1]: FAILED! =>
    msg: hub2 cannot be reached
PLAY RECAP ****
"""


def test_what_failed_is_told_by_name():
    assert run.what_failed(PYTEST) == [
        "E       AssertionError: assert (3.1 < 2)", "tests/test_1_pair.py:12: AssertionError",
        "FAILED tests/test_1_pair.py::test_x - assert (3.1 < 2)", "ERROR    [remove > verify] Executed: Failed"]
    assert run.what_failed(PLAY) == ["[ERROR]: Task failed: hub2 cannot be reached", "fatal: [hub1]: FAILED! =>"]


def test_a_log_that_names_nothing_is_told_by_its_end():
    log = "".join("line %d\n" % number for number in range(50))
    assert run.what_failed(log) == ["line %d" % number for number in range(50 - run.TOLD_LINES, 50)]


def test_much_is_told_in_few_short_lines():
    log = "".join("FAILED test_%d %s\n" % (number, "x" * 1000) for number in range(50))
    told = run.what_failed(log)
    assert len(told) == run.TOLD_LINES and max(map(len, told)) == run.TOLD_WIDTH
    assert told[-1].startswith("FAILED test_49 ")
