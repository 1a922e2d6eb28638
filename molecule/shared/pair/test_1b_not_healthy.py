"""States in which a pair must not be called healthy: each ends role verify red, and its own remedy ends the state."""

from __future__ import annotations

import json
import re

from conftest import play


def test_each_is_told_and_its_remedy_helps(tmp_path):
    status, output = play("-e", "not_healthy_result=%s/result.json" % tmp_path,
                          playbook="../molecule/shared/pair/not_healthy.yml")
    assert status == 0, output[-3000:]
    results = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert len(results) == 14
    for result in results:
        codes = [re.search(r"\(([A-Z_]+)\)$", line).group(1) for line in result["said"].splitlines()]
        assert codes == result["codes"], result
    print("\n".join(result["said"] for result in results))
