"""The active hub loses power. The tests after this one find another pair."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "molecule/shared"), str(ROOT / "molecule/shared/pair")]
from conftest import hub2  # noqa: E402,F401
from test_2_power_cut import test_power_cut  # noqa: E402,F401
