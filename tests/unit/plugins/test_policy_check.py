# Copyright: the cfengine.hub_ha authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading from hubs: an agent that answers as cf-agent does."""

from __future__ import annotations

import pytest
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.cfengine import policy_check as library
from ansible_collections.cfengine.hub_ha.plugins.module_utils.hubha.core.run import HubError
from ansible_collections.cfengine.hub_ha.plugins.modules import policy_check

UNTRUSTED = """   error: TRUST FAILED, server presented untrusted key: MD5=ab
   error: No suitable server found for '/tmp/x/read'
   error: Promise belongs to bundle 'hub_ha_check' in file '/tmp/x/check.cf' near line 5
   error: Errors encountered when actuating files promise '/tmp/x/read'
"""
AGENT = """#!/usr/bin/python3
import re, sys
text = open(sys.argv[sys.argv.index("--file") + 1]).read()
assert 'trustkey => "false"' in text and 'source => "/m/promises.cf"' in text
if re.search('servers => { "(.*)" }', text).group(1) == "10.0.0.1":
    open(re.search('"(.*)" copy_from', text).group(1), "w").write("policy")
else:
    sys.stderr.write(%r)
""" % UNTRUSTED


@pytest.fixture(name="agent")
def fixture_agent(tmp_path):
    path = tmp_path / "cf-agent"
    path.write_text(AGENT, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_good(run_module, agent):
    done = run_module(policy_check, addresses=["10.0.0.1"], path="/m/promises.cf", agent=agent)
    assert done["changed"] is False and done["read"] == ["10.0.0.1"]


def test_one_that_is_not_trusted(run_module, agent):
    done = run_module(policy_check, addresses=["10.0.0.1", "10.0.0.2"], path="/m/promises.cf", agent=agent)
    assert done["failed"] and done["read"] == ["10.0.0.1"]
    assert "10.0.0.2 (TRUST FAILED, server presented untrusted key: MD5=ab" in done["msg"]
    assert "near line" not in done["msg"] and "do both ends trust each other" in done["msg"]


def test_no_agent(run_module, tmp_path):
    done = run_module(policy_check, addresses=["10.0.0.1"], path="/m", agent=str(tmp_path / "none"))
    assert done["failed"] and "not installed" in done["msg"]


def test_nothing_gets_out_of_its_quotes(tmp_path):
    with pytest.raises(HubError):
        library.read(None, "/bin/true", '1" }; }', "/m", str(tmp_path), 1)


def test_no_answer():
    assert library.said("") == "no answer"
