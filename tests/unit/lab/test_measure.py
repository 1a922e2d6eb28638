"""What lab.measure computes."""

import pytest

from lab import measure


def test_processor_time_of_proc_stat():
    text = "cpu  100 5 50 800 10 0 5 30 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert measure.processor_time(text) == (30, 1000)


def test_elapsed_is_that_of_the_named_task():
    output = 'TASK [a : Clone] ***\n"elapsed": 1.0\n' \
             'TASK [b : Resources, constraints in one] ***\nok => {"elapsed": 0.25}\n'
    assert measure.elapsed(output, "Resources, constraints") == 0.25
    assert measure.elapsed(output.replace('"', ""), "Resources, constraints") == 0.25, "written as YAML"
    with pytest.raises(SystemExit):
        measure.elapsed(output, "No such task")
