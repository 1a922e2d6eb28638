# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runner, with real commands."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core import run as runner
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import (
    CommandError,
    CommandMissing,
    CommandTimeout,
    HubError,
    local_runner,
)


def test_output_and_no_shell():
    done = local_runner(["echo", "$HOME; `id` 'x'"])
    assert (done.rc, done.out, done.err) == (0, "$HOME; `id` 'x'\n", "") and done.argv[0] == "echo"


def test_stdin_is_given_or_empty():
    assert local_runner(["cat"], stdin="ä\n\\'\"%").out == "ä\n\\'\"%"
    assert local_runner(["cat"], timeout=5).out == "", "a command that reads must not hang"


def test_environment():
    done = local_runner(["env"], env={"HUB_HA_X": "1"})
    assert "HUB_HA_X=1" in done.out.splitlines() and "LC_ALL=C.UTF-8" in done.out.splitlines()
    assert "HUB_HA_X" not in os.environ


def test_works_in_the_root_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_runner(["pwd"]).out == "/\n", "another user's command must not fail on a directory of root's"


def test_failure_carries_command_status_and_output():
    with pytest.raises(CommandError) as caught:
        local_runner(["ls", "/does/not/exist"])
    details = caught.value.details
    assert details["cmd"] == ["ls", "/does/not/exist"] and details["rc"] == 2
    assert "No such file" in details["stderr"] and details["stdout"] == ""
    assert caught.value.message.startswith("ls failed with exit status 2: ")
    assert isinstance(caught.value, HubError)


def test_failure_is_returned_when_asked():
    assert local_runner(["false"], check=False).rc == 1


def test_hint_and_silent_failure():
    error = CommandError(runner.Completed(["/usr/bin/x"], 3, "", ""), hint="try y")
    assert error.message == "x failed with exit status 3: no output -- try y"


@pytest.mark.parametrize("program", ["hub-ha-no-such-program", "/does/not/exist"])
def test_missing_program(program):
    with pytest.raises(CommandMissing, match="is not installed on this host") as caught:
        local_runner([program])
    assert caught.value.program == program


def test_programs_in_sbin_are_found_whatever_path_says(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert runner.which("ldconfig") == "/usr/sbin/ldconfig" or runner.which("ldconfig") == "/sbin/ldconfig"
    assert runner.which("hub-ha-no-such-program") is None


def test_timeout():
    begin = time.monotonic()
    with pytest.raises(CommandTimeout, match="sleep 20 did not end within 0.2 s"):
        local_runner(["sleep", "20"], timeout=0.2)
    assert time.monotonic() - begin < 5


def test_bytes_that_are_no_text_do_no_harm():
    assert local_runner(["printf", "a\\377b"]).out == "a�b"


def test_fail_gives_text_and_details_but_not_ansibles_own_keys():
    given = {}

    class Module:
        @staticmethod
        def fail_json(**values):
            given.update(values)

    runner.fail(Module, HubError("broken", rc=3, msg="other", failed=False, changed=True))
    assert given == {"msg": "broken", "rc": 3}
