"""The same pair is saved, lost and put back: the tests of scenario restore, which need not make another pair then."""

from __future__ import annotations

import sys

from test_1_refused import ROOT

sys.path.insert(0, str(ROOT / "molecule" / "restore" / "tests"))
from test_restore import *  # noqa: E402,F401,F403
