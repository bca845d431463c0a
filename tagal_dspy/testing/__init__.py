"""For tests of what others build: scripted language models, and the contracts that parts promise to keep."""

from tagal_dspy.testing.columns import ColumnKindContract
from tagal_dspy.testing.scripted import Answer, Asked, ScriptedEngine, scripted_lm

__all__ = ["Answer", "Asked", "ColumnKindContract", "ScriptedEngine", "scripted_lm"]
