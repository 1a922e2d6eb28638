"""The small set of faults, on the pair that the scenario has made."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_faults(tmp_path):
    figures = tmp_path / "faults.json"
    # of a pair whose active hub has just lost its power (scenario default)
    subprocess.run(["python3", "-m", "lab", "faults", "--heal"], cwd=ROOT, check=True)
    subprocess.run(["python3", "-m", "lab", "faults", "--rows", "guard", "--json", str(figures),
                    "--slack", os.environ.get("FAULTS_SLACK", "0")], cwd=ROOT, check=False)
    found = json.loads(figures.read_text(encoding="utf-8"))
    if os.environ.get("FIGURES"):
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"faults": found}) + "\n")
    assert not found["errors"]
    assert {row["name"]: row["findings"] for row in found["rows"] if row["findings"]} == {}
    assert found["left_out"] == []
