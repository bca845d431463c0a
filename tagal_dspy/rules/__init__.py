"""What every row of a table must keep: SDV's constraints as rules, from Python or TOML, or mined."""

from tagal_dspy.rules.kinds import FixedCombinations, FixedIncrements, Inequality, OneHotEncoding, Range
from tagal_dspy.rules.mining import suggest_rules
from tagal_dspy.rules.programmed import Programmed
from tagal_dspy.rules.rules import Rules

__all__ = [
    "FixedCombinations",
    "FixedIncrements",
    "Inequality",
    "OneHotEncoding",
    "Programmed",
    "Range",
    "Rules",
    "suggest_rules",
]
