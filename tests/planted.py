"""The obedient model of the experiments, for tests."""

import sys
from pathlib import Path

EXPERIMENTS = str(Path(__file__).parent.parent / "experiments")
sys.path.append(EXPERIMENTS)  # not for good: one of them is named like a module that tests load
from obedient import *  # noqa: E402, F403

sys.path.remove(EXPERIMENTS)
